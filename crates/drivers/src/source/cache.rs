//! What is known of files already: keys that change with the content, and its SHA-256. Losing it costs time only.

use serde::{Deserialize, Serialize};
use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

/// SHA-256 and size by key.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Cache {
    #[serde(skip)]
    path: PathBuf,
    #[serde(skip)]
    used: HashMap<String, (String, u64)>,
    known: HashMap<String, (String, u64)>,
}

impl Cache {
    /// Reads the cache; an unreadable one is an empty one.
    pub(super) fn load(path: &Path) -> Self {
        let mut this: Self =
            fs::read(path).ok().and_then(|b| serde_json::from_slice(&b).ok()).unwrap_or_default();
        path.clone_into(&mut this.path);
        this
    }

    pub(super) fn get(&self, key: &str) -> Option<&(String, u64)> {
        self.known.get(key)
    }

    /// Remembers; what is not noted again in this run is forgotten.
    pub(super) fn note(&mut self, key: String, sha256: &str, size: u64) {
        self.used.insert(key, (sha256.to_owned(), size));
    }

    /// Writes it. Failure is no error: the next run hashes again.
    pub(super) fn save(mut self) {
        self.known = std::mem::take(&mut self.used);
        let temp = self.path.with_extension(format!("{}.tmp", std::process::id()));
        let written = serde_json::to_vec(&self)
            .map_err(std::io::Error::other)
            .and_then(|bytes| fs::write(&temp, bytes))
            .and_then(|()| fs::rename(&temp, &self.path));
        if let Err(e) = written {
            let _ = fs::remove_file(&temp);
            tracing::debug!("cannot write {}: {e}", self.path.display());
        }
    }
}
