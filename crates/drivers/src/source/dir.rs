//! A plain directory as the source of releases: what lies there is what is deployed.
//! Nothing outside of it is ever followed.

use super::{
    cache::Cache,
    paths::Excludes,
    store::{Filler, Store, check_entry, content_id, io_error},
};
use async_trait::async_trait;
use safelight_engine::driver::{
    host::{HostError, HostErrorKind},
    source::{EntryKind, GitState, Ingested, ManifestEntry, RemoteState, Revision, Source},
};
use sha2::{Digest as _, Sha256};
use std::{
    fs::{self, File},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

/// A file changed this recently may change again without a new time stamp: its hash is not remembered.
const SETTLED: Duration = Duration::from_secs(2);
/// So often a file that changes while it is read is read again.
const TRIES: u32 = 3;

/// A directory.
#[derive(Clone, Debug)]
pub struct Dir {
    root: PathBuf,
    excludes: Excludes,
}

impl Dir {
    /// The directory `root` without the paths in `exclude` (a name anywhere, or a path from the top; `*` within a name)
    /// and without `.git`.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>, exclude: &[String]) -> Self {
        let mut all = exclude.to_vec();
        all.push(".git".to_owned());
        Self { root: root.into(), excludes: Excludes::new(&all) }
    }

    fn ingest_now(&self, store: &Path) -> Result<Ingested, HostError> {
        let store = Store::open(store)?;
        let _lock = store.share()?;
        let key = crate::hex(&Sha256::digest(self.root.as_os_str().as_encoded_bytes()));
        let mut walk = Walk {
            source: self,
            store: &store,
            filler: Filler::new(&store),
            cache: Cache::load(&store.root().join(format!("cache/dir-{}.json", &key[..16]))),
            settled: SystemTime::now() - SETTLED,
            manifest: Vec::new(),
            store_dir: fs::canonicalize(store.root()).map_err(|e| io_error("read", store.root(), &e))?,
        };
        walk.dir("")?;
        walk.filler.flush()?;
        let Walk { mut manifest, cache, filler, .. } = walk;
        cache.save();
        manifest.sort();
        Ok(Ingested {
            content_id: content_id(&manifest),
            total_bytes: manifest.iter().map(|e| e.size).sum(),
            new_files: filler.new_files,
            new_bytes: filler.new_bytes,
            manifest,
        })
    }
}

struct Walk<'a> {
    source: &'a Dir,
    store: &'a Store,
    filler: Filler<'a>,
    cache: Cache,
    settled: SystemTime,
    manifest: Vec<ManifestEntry>,
    store_dir: PathBuf,
}

impl Walk<'_> {
    fn dir(&mut self, below: &str) -> Result<(), HostError> {
        let dir = self.source.root.join(below);
        let mut entries = fs::read_dir(&dir)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|e| io_error("list", &dir, &e))?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let path = entry.path();
            let Ok(name) = entry.file_name().into_string() else {
                return Err(refuse(&path, "its name is not UTF-8; rename it or exclude it"));
            };
            let relative = if below.is_empty() { name } else { format!("{below}/{name}") };
            if self.source.excludes.hit(&relative) {
                continue;
            }
            let kind = entry.file_type().map_err(|e| io_error("look at", &path, &e))?;
            if kind.is_dir() {
                if fs::canonicalize(&path).is_ok_and(|p| p == self.store_dir) {
                    continue;
                }
                self.dir(&relative)?;
            } else if kind.is_symlink() {
                self.link(relative, &path)?;
            } else if kind.is_file() {
                self.file(relative, &path)?;
            } else {
                return Err(refuse(&path, "it is a socket, pipe or device; remove it or exclude it"));
            }
        }
        Ok(())
    }

    fn push(&mut self, entry: ManifestEntry) -> Result<(), HostError> {
        check_entry(&entry)?;
        self.manifest.push(entry);
        Ok(())
    }

    fn link(&mut self, relative: String, path: &Path) -> Result<(), HostError> {
        let target = fs::read_link(path).map_err(|e| io_error("read the link", path, &e))?;
        let Some(target) = target.to_str() else {
            return Err(refuse(path, "it is a link to a name that is not UTF-8"));
        };
        self.push(link_entry(relative, target))
    }

    fn file(&mut self, relative: String, path: &Path) -> Result<(), HostError> {
        for _ in 0..TRIES {
            let mut file = File::open(path).map_err(|e| io_error("read", path, &e))?;
            let before = file.metadata().map_err(|e| io_error("read", path, &e))?;
            if !before.is_file() {
                continue;
            }
            let key = stamp(&relative, &before);
            let known = self.cache.get(&key).filter(|(sha, size)| self.store.has(sha, *size)).cloned();
            let (sha256, size) = match known {
                Some(known) => known,
                None => self.filler.put(&mut file)?,
            };
            let after = fs::metadata(path).map_err(|e| io_error("read", path, &e))?;
            if stamp(&relative, &after) != key || size != before.len() {
                continue;
            }
            let old = |seconds: i64| {
                let settled = self.settled.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
                u64::try_from(seconds).unwrap_or(0) < settled.as_secs()
            };
            if old(after.mtime()) && old(after.ctime()) {
                self.cache.note(key, &sha256, size);
            }
            let kind = if after.mode() & 0o100 == 0 { EntryKind::File } else { EntryKind::Executable };
            return self.push(ManifestEntry { path: relative, sha256, size, kind });
        }
        Err(refuse(path, "it changes while it is read; stop what writes it, or exclude it"))
    }
}

/// Changes when the file changes.
fn stamp(path: &str, meta: &fs::Metadata) -> String {
    format!(
        "{path}|{}|{}.{}|{}.{}|{}|{}|{:o}",
        meta.len(),
        meta.mtime(),
        meta.mtime_nsec(),
        meta.ctime(),
        meta.ctime_nsec(),
        meta.dev(),
        meta.ino(),
        meta.mode()
    )
}

pub(super) fn link_entry(path: String, target: &str) -> ManifestEntry {
    ManifestEntry {
        path,
        sha256: crate::hex(&Sha256::digest(target.as_bytes())),
        size: target.len() as u64,
        kind: EntryKind::Link(target.to_owned()),
    }
}

/// What the directory calls itself: the first line of `VERSION`, the version in `package.json`, or its own name.
fn version_of(root: &Path) -> String {
    let plain = |v: &str| {
        let v = v.trim();
        (!v.is_empty() && v.len() <= 64 && v.chars().all(|c| c.is_ascii_graphic())).then(|| v.to_owned())
    };
    let file = || plain(fs::read_to_string(root.join("VERSION")).ok()?.lines().next()?);
    let package = || {
        let json: serde_json::Value =
            serde_json::from_slice(&fs::read(root.join("package.json")).ok()?).ok()?;
        plain(json.get("version")?.as_str()?)
    };
    file()
        .or_else(package)
        .or_else(|| Some(root.file_name()?.to_string_lossy().into_owned()))
        .unwrap_or_else(|| root.display().to_string())
}

fn refuse(path: &Path, why: &str) -> HostError {
    HostError::new(HostErrorKind::Other, format!("take {} into a release", path.display()), why)
}

#[async_trait]
impl Source for Dir {
    async fn resolve(&self, asked: Option<&str>) -> Result<Revision, HostError> {
        let here = self.root.display().to_string();
        if let Some(asked) = asked.filter(|a| *a != here && *a != version_of(&self.root)) {
            return Err(HostError::new(
                HostErrorKind::NotFound,
                format!("find the revision {asked:?}"),
                format!(
                    "{here} is a directory without revisions; leave the revision out, or use a git source"
                ),
            ));
        }
        let meta = fs::metadata(&self.root).map_err(|e| io_error("open the source", &self.root, &e))?;
        if !meta.is_dir() {
            return Err(refuse(&self.root, "it is not a directory"));
        }
        Ok(Revision { asked: version_of(&self.root), commit: None, tags: Vec::new(), subject: None })
    }

    async fn git_state(&self) -> Result<Option<GitState>, HostError> {
        Ok(None)
    }

    async fn remote_state(&self, _revision: &Revision) -> Result<Option<RemoteState>, HostError> {
        Ok(None)
    }

    async fn ingest(&self, _revision: &Revision, store: &Path) -> Result<Ingested, HostError> {
        let (this, store) = (self.clone(), store.to_owned());
        super::git_run::blocking("store the directory", move || this.ingest_now(&store)).await
    }

    fn location(&self) -> PathBuf {
        self.root.clone()
    }
}
