//! Installed dependencies, kept by what decided them, so that a deploy with unchanged lock files installs nothing.
//! Blocking: call it on a thread that may block.
//!
//! Files are shared with releases as hard links: no copy, no space. A program that writes into an installed file would
//! change it in every release; that is noticed by size and time before the next use, and the cache is dropped then.

use super::{
    paths::bad_path,
    store::{Freed, Store, io_error, list, remove_tree, wanted, with_ending},
};
use rustix::io::Errno;
use safelight_engine::driver::host::{HostError, HostErrorKind};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::{
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

/// What decides an installation.
#[derive(Clone, Debug)]
pub struct DepsInput<'a> {
    /// Lock files: path and content.
    pub lock_files: &'a [(String, Vec<u8>)],
    /// Version of the runtime, `v20.20.2`: native modules are built for it.
    pub runtime: &'a str,
    /// The install command.
    pub install: &'a str,
    /// Variables of the install that change what it does.
    pub env: &'a [(String, String)],
}

/// The key of an installation: differs whenever its outcome may.
#[must_use]
pub fn deps_key(input: &DepsInput<'_>) -> String {
    let mut hash = Sha256::new();
    let mut part = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    for text in [std::env::consts::ARCH, std::env::consts::OS, input.runtime, input.install] {
        part(text.as_bytes());
    }
    for (path, content) in input.lock_files {
        part(path.as_bytes());
        part(content);
    }
    part(b"env");
    for (key, value) in input.env {
        part(key.as_bytes());
        part(value.as_bytes());
    }
    crate::hex(&hash.finalize())
}

/// One file as it was when it was saved.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Saved {
    path: String,
    size: u64,
    mtime: (i64, i64),
}

#[derive(Debug, Serialize, Deserialize)]
struct Index {
    dirs: Vec<String>,
    files: Vec<Saved>,
}

impl Store {
    fn deps_dir(&self, key: &str) -> Result<PathBuf, HostError> {
        if key.is_empty() || !key.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return Err(HostError::new(
                HostErrorKind::Other,
                format!("dependency key {key:?}"),
                "not a hash",
            ));
        }
        Ok(self.root().join("deps").join(key))
    }

    /// Keeps `dirs` of a release under `key`. Directories that do not exist are left out. Does nothing when the key is
    /// there already.
    pub fn save_deps(&self, key: &str, release_dir: &Path, dirs: &[String]) -> Result<(), HostError> {
        let home = self.deps_dir(key)?;
        if home.join("index.json").exists() {
            return Ok(());
        }
        let temp = with_ending(&home, &format!(".{}.tmp", std::process::id()));
        remove_tree(&temp)?;
        let result = (|| {
            let mut index = Index { dirs: Vec::new(), files: Vec::new() };
            for dir in dirs {
                check_dir(dir)?;
                let from = release_dir.join(dir);
                if from.is_dir() {
                    link_tree(&from, &temp.join("tree").join(dir), dir, &mut index.files)?;
                    index.dirs.push(dir.clone());
                }
            }
            if index.dirs.is_empty() {
                return Ok(());
            }
            let finish = || {
                fs::write(temp.join("index.json"), serde_json::to_vec(&index)?)?;
                rustix::fs::syncfs(File::open(&temp)?)?;
                if home.exists() {
                    fs::remove_dir_all(&home)?;
                }
                fs::rename(&temp, &home)
            };
            finish().map_err(|e: io::Error| io_error("keep the dependencies at", &home, &e))
        })();
        if temp.exists() {
            let _ = remove_tree(&temp);
        }
        result
    }

    /// Puts the directories kept under `key` into a release. False when there are none, or when one of their files was
    /// changed meanwhile: then install. A directory that the release has already is left alone.
    pub fn restore_deps(&self, key: &str, release_dir: &Path) -> Result<bool, HostError> {
        let home = self.deps_dir(key)?;
        let Some(index) = fs::read(home.join("index.json"))
            .ok()
            .and_then(|bytes| serde_json::from_slice::<Index>(&bytes).ok())
        else {
            return Ok(false);
        };
        let tree = home.join("tree");
        let intact = index.files.iter().all(|file| {
            fs::symlink_metadata(tree.join(&file.path)).is_ok_and(|m| saved(&file.path, &m) == *file)
        });
        if !intact {
            tracing::warn!(
                "a file of the kept dependencies {} was changed; they are installed anew",
                home.display()
            );
            remove_tree(&home)?;
            return Ok(false);
        }
        for dir in &index.dirs {
            check_dir(dir)?;
            let target = release_dir.join(dir);
            if target.exists() {
                continue;
            }
            let temp = with_ending(&target, ".safelight.tmp");
            remove_tree(&temp)?;
            let linked = link_tree(&tree.join(dir), &temp, dir, &mut Vec::new())
                .and_then(|()| fs::rename(&temp, &target).map_err(|e| io_error("make", &target, &e)));
            if linked.is_err() {
                let _ = remove_tree(&temp);
            }
            linked?;
        }
        Ok(true)
    }

    /// Forgets all kept dependencies but those of `keep`.
    pub fn gc_deps(&self, keep: &[String]) -> Result<Freed, HostError> {
        let mut freed = Freed::default();
        for dir in list(&self.root().join("deps"))? {
            if dir.file_name().and_then(|n| n.to_str()).is_some_and(|n| keep.iter().any(|k| k == n)) {
                continue;
            }
            let index =
                fs::read(dir.join("index.json")).ok().and_then(|b| serde_json::from_slice::<Index>(&b).ok());
            if let Some(index) = index {
                freed.files += index.files.len();
                freed.bytes += index.files.iter().map(|f| f.size).sum::<u64>();
            }
            remove_tree(&dir)?;
        }
        Ok(freed)
    }
}

fn check_dir(dir: &str) -> Result<(), HostError> {
    bad_path(dir).map_or(Ok(()), |why| {
        Err(HostError::new(HostErrorKind::Other, format!("keep the dependencies in {dir:?}"), why))
    })
}

fn saved(path: &str, meta: &fs::Metadata) -> Saved {
    Saved { path: path.to_owned(), size: meta.len(), mtime: (meta.mtime(), meta.mtime_nsec()) }
}

/// Makes `to` a tree of hard links to the files of `from`, and lists these.
fn link_tree(from: &Path, to: &Path, below: &str, files: &mut Vec<Saved>) -> Result<(), HostError> {
    fs::create_dir_all(to).map_err(|e| io_error("make", to, &e))?;
    let entries = fs::read_dir(from)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|e| io_error("list", from, &e))?;
    for entry in entries {
        wanted("link the dependencies at", to)?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let path = format!("{below}/{}", entry.file_name().to_string_lossy());
        let meta = entry.metadata().map_err(|e| io_error("look at", &source, &e))?;
        let fail = |e: io::Error| io_error("link", &target, &e);
        if meta.is_dir() {
            link_tree(&source, &target, &path, files)?;
            fs::set_permissions(&target, meta.permissions()).map_err(fail)?;
        } else if meta.is_symlink() {
            let to = fs::read_link(&source).map_err(fail)?;
            std::os::unix::fs::symlink(to, &target).map_err(fail)?;
        } else if meta.is_file() {
            match fs::hard_link(&source, &target) {
                Ok(()) => {}
                // Another file system, or as many links as one file can have.
                Err(e)
                    if [Errno::XDEV, Errno::MLINK]
                        .iter()
                        .any(|n| e.raw_os_error() == Some(n.raw_os_error())) =>
                {
                    fs::copy(&source, &target).map_err(fail)?;
                    File::open(&target).and_then(|f| f.set_modified(meta.modified()?)).map_err(fail)?;
                }
                Err(e) => return Err(fail(e)),
            }
            files.push(saved(&path, &meta));
        }
    }
    Ok(())
}
