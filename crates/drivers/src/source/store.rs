//! Content by hash: `blobs/ab/<sha256>`, each file once for all releases. Releases are built from it.
//! Blocking: call it on a thread that may block.
//!
//! A blob under its name is whole and on disk: it is written under another name, synced, then renamed. Many small files
//! are synced together, which takes a tenth of the time.

use super::paths::{bad_path, escapes};
use rustix::fs::{ioctl_ficlone, syncfs};
use safelight_engine::driver::{
    host::{HostError, HostErrorKind},
    source::{EntryKind, ManifestEntry},
};
use sha2::{Digest as _, Sha256};
use std::{
    collections::{BTreeSet, HashSet},
    fs::{self, File},
    io::{self, Read, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

/// New blobs that wait to be synced together.
const BATCH_FILES: usize = 2000;
/// Bytes of them.
const BATCH_BYTES: u64 = 256 << 20;

/// The store.
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
}

/// What building a release took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Materialised {
    /// Files and links that were made; 0 when the release was there already.
    pub entries: usize,
    /// Bytes of files.
    pub bytes: u64,
    /// Files that share their blocks with the store (reflinks).
    pub cloned: usize,
}

/// What tidying up gave back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Freed {
    /// Files.
    pub files: usize,
    /// Bytes.
    pub bytes: u64,
}

/// Hash of a whole manifest: the name of this content for good. The order of entries does not matter.
#[must_use]
pub fn content_id(manifest: &[ManifestEntry]) -> String {
    let mut entries: Vec<&ManifestEntry> = manifest.iter().collect();
    entries.sort();
    let mut hash = Sha256::new();
    for entry in entries {
        let kind = match &entry.kind {
            EntryKind::File => "file",
            EntryKind::Executable => "executable",
            EntryKind::Link(_) => "link",
        };
        // Paths hold no NUL, so no two manifests give the same text.
        hash.update(format!("{kind}\0{}\0{}\0{}\n", entry.path, entry.sha256, entry.size));
    }
    crate::hex(&hash.finalize())
}

impl Store {
    /// Opens the store at `root`, which is made when needed.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, HostError> {
        let this = Self { root: root.into() };
        for dir in ["blobs", "tmp", "cache", "deps"] {
            let dir = this.root.join(dir);
            fs::create_dir_all(&dir).map_err(|e| io_error("make", &dir, &e))?;
        }
        Ok(this)
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    fn blob(&self, sha256: &str) -> PathBuf {
        self.root.join("blobs").join(sha256.get(..2).unwrap_or("xx")).join(sha256)
    }

    /// True when a file of that content and size is there.
    #[must_use]
    pub fn has(&self, sha256: &str, size: u64) -> bool {
        fs::metadata(self.blob(sha256)).is_ok_and(|m| m.len() == size)
    }

    /// Keeps the store from being tidied while it is read or filled.
    pub(super) fn share(&self) -> Result<File, HostError> {
        let (file, path) = self.lock_file()?;
        file.lock_shared().map_err(|e| io_error("lock", &path, &e))?;
        Ok(file)
    }

    fn lock_file(&self) -> Result<(File, PathBuf), HostError> {
        let path = self.root.join("lock");
        let file = fs::OpenOptions::new().create(true).append(true).mode(0o600).open(&path);
        Ok((file.map_err(|e| io_error("open", &path, &e))?, path))
    }

    /// Builds the tree of `manifest` at `target`: beside it first, every file checked against its hash, synced, then
    /// renamed. A `target` that exists is complete, and is left alone: releases change after they were built.
    pub fn materialise(&self, manifest: &[ManifestEntry], target: &Path) -> Result<Materialised, HostError> {
        if target.exists() {
            return Ok(Materialised::default());
        }
        let _lock = self.share()?;
        let temp = with_ending(target, ".tmp");
        remove_tree(&temp)?;
        let result = self.build(manifest, &temp).and_then(|made| {
            let sync = || {
                syncfs(File::open(&temp)?)?;
                fs::rename(&temp, target)?;
                target.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
            };
            sync().map_err(|e: io::Error| io_error("build the release at", target, &e))?;
            Ok(made)
        });
        if result.is_err() {
            let _ = remove_tree(&temp);
        }
        result
    }

    fn build(&self, manifest: &[ManifestEntry], temp: &Path) -> Result<Materialised, HostError> {
        let mut made = Materialised { entries: manifest.len(), ..Materialised::default() };
        fs::create_dir_all(temp).map_err(|e| io_error("make", temp, &e))?;
        let mut dirs = BTreeSet::new();
        let mut clones = true;
        // Links last: no file is ever written through one.
        let links = |e: &&ManifestEntry| matches!(e.kind, EntryKind::Link(_));
        for entry in manifest.iter().filter(|e| !links(e)).chain(manifest.iter().filter(links)) {
            check_entry(entry)?;
            wanted("build the release at", temp)?;
            let path = temp.join(&entry.path);
            if let Some(dir) = path.parent()
                && dirs.insert(dir.to_owned())
            {
                fs::create_dir_all(dir).map_err(|e| io_error("make", dir, &e))?;
            }
            match &entry.kind {
                EntryKind::Link(to) => {
                    std::os::unix::fs::symlink(to, &path).map_err(|e| io_error("link", &path, &e))?;
                }
                kind => {
                    let mode = if *kind == EntryKind::Executable { 0o755 } else { 0o644 };
                    clones = self.copy_out(entry, &path, mode, clones)?;
                    made.cloned += usize::from(clones);
                    made.bytes += entry.size;
                }
            }
        }
        Ok(made)
    }

    /// Copies a blob to `path` and checks it. Returns whether the file system can clone.
    fn copy_out(
        &self,
        entry: &ManifestEntry,
        path: &Path,
        mode: u32,
        clone: bool,
    ) -> Result<bool, HostError> {
        let blob = self.blob(&entry.sha256);
        let mut from = File::open(&blob).map_err(|e| io_error("read the stored file", &blob, &e))?;
        let mut to = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(path)
            .map_err(|e| io_error("write", path, &e))?;
        // Whatever the umask took away.
        to.set_permissions(fs::Permissions::from_mode(mode)).map_err(|e| io_error("write", path, &e))?;
        let cloned = clone && ioctl_ficlone(&to, &from).is_ok();
        let mut hash = Sha256::new();
        let mut size = 0;
        let mut chunk = vec![0; 128 << 10];
        loop {
            let n = from.read(&mut chunk).map_err(|e| io_error("read the stored file", &blob, &e))?;
            if n == 0 {
                break;
            }
            hash.update(&chunk[..n]);
            size += n as u64;
            if !cloned {
                to.write_all(&chunk[..n]).map_err(|e| io_error("write", path, &e))?;
            }
        }
        if size != entry.size || crate::hex(&hash.finalize()) != entry.sha256 {
            // So that the next ingest writes it anew.
            let _ = fs::remove_file(&blob);
            return Err(HostError::new(
                HostErrorKind::Other,
                format!("read the stored file {}", blob.display()),
                format!("it was damaged and is removed; deploy {} again to store it anew", entry.path),
            ));
        }
        Ok(cloned)
    }

    /// Removes every blob that none of the manifests names, and what killed runs left behind.
    pub fn gc(&self, keep: &[&[ManifestEntry]]) -> Result<Freed, HostError> {
        let (lock, path) = self.lock_file()?;
        lock.lock().map_err(|e| io_error("lock", &path, &e))?;
        let named: HashSet<&str> = keep.iter().flat_map(|m| m.iter()).map(|e| e.sha256.as_str()).collect();
        let mut freed = Freed::default();
        let mut drop_file = |path: &Path| {
            let bytes = fs::metadata(path).map_or(0, |m| m.len());
            fs::remove_file(path).map_err(|e| io_error("remove", path, &e))?;
            freed.files += 1;
            freed.bytes += bytes;
            Ok::<(), HostError>(())
        };
        for dir in list(&self.root.join("blobs"))? {
            for blob in list(&dir)? {
                if !blob.file_name().and_then(|n| n.to_str()).is_some_and(|n| named.contains(n)) {
                    drop_file(&blob)?;
                }
            }
        }
        for temp in list(&self.root.join("tmp"))? {
            drop_file(&temp)?;
        }
        Ok(freed)
    }
}

/// Adds blobs, many at a time.
pub(super) struct Filler<'a> {
    store: &'a Store,
    pending: Vec<(PathBuf, PathBuf)>,
    pending_names: HashSet<String>,
    pending_bytes: u64,
    pub(super) new_files: usize,
    pub(super) new_bytes: u64,
}

impl<'a> Filler<'a> {
    pub(super) fn new(store: &'a Store) -> Self {
        Self {
            store,
            pending: Vec::new(),
            pending_names: HashSet::new(),
            pending_bytes: 0,
            new_files: 0,
            new_bytes: 0,
        }
    }

    /// Stores what `from` gives. Returns its SHA-256 and size.
    pub(super) fn put(&mut self, from: &mut dyn Read) -> Result<(String, u64), HostError> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let temp = self.store.root.join("tmp").join(format!("{}-{number}", std::process::id()));
        let result = self.put_at(&temp, from);
        if !matches!(result, Ok((_, _, true))) {
            let _ = fs::remove_file(&temp);
        }
        let (sha256, size, _) = result?;
        if self.pending.len() >= BATCH_FILES || self.pending_bytes >= BATCH_BYTES {
            self.flush()?;
        }
        Ok((sha256, size))
    }

    fn put_at(&mut self, temp: &Path, from: &mut dyn Read) -> Result<(String, u64, bool), HostError> {
        wanted("write", temp)?;
        let fail = |e: io::Error| io_error("write", temp, &e);
        // A number may come again after a restart of the machine.
        let _ = fs::remove_file(temp);
        let mut file =
            fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(temp).map_err(fail)?;
        let mut hash = Sha256::new();
        let mut size = 0;
        let mut chunk = vec![0; 128 << 10];
        loop {
            let n = from.read(&mut chunk).map_err(|e| io_error("read the content for", temp, &e))?;
            if n == 0 {
                break;
            }
            hash.update(&chunk[..n]);
            size += n as u64;
            file.write_all(&chunk[..n]).map_err(fail)?;
        }
        let sha256 = crate::hex(&hash.finalize());
        if self.pending_names.contains(&sha256) || self.store.has(&sha256, size) {
            return Ok((sha256, size, false));
        }
        self.pending.push((temp.to_owned(), self.store.blob(&sha256)));
        self.pending_names.insert(sha256.clone());
        self.pending_bytes += size;
        self.new_files += 1;
        self.new_bytes += size;
        Ok((sha256, size, true))
    }

    /// Brings everything put so far to disk under its name.
    pub(super) fn flush(&mut self) -> Result<(), HostError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let root = &self.store.root;
        let sync = || -> io::Result<()> { Ok(syncfs(File::open(root)?)?) };
        sync().map_err(|e| io_error("sync", root, &e))?;
        for (temp, blob) in self.pending.drain(..) {
            let name = || {
                if let Some(dir) = blob.parent() {
                    fs::create_dir_all(dir)?;
                }
                fs::rename(&temp, &blob)
            };
            name().map_err(|e| io_error("store", &blob, &e))?;
        }
        self.pending_names.clear();
        self.pending_bytes = 0;
        sync().map_err(|e| io_error("sync", root, &e))
    }
}

impl Drop for Filler<'_> {
    fn drop(&mut self) {
        for (temp, _) in &self.pending {
            let _ = fs::remove_file(temp);
        }
    }
}

/// Refuses an entry that would not stay below the release.
pub(super) fn check_entry(entry: &ManifestEntry) -> Result<(), HostError> {
    let refuse = |why: &str| {
        Err(HostError::new(HostErrorKind::Other, format!("take {:?} into a release", entry.path), why))
    };
    if let Some(why) = bad_path(&entry.path) {
        return refuse(why);
    }
    if let EntryKind::Link(to) = &entry.kind
        && escapes(&entry.path, to)
    {
        let why =
            format!("it is a link that leads out of the release, to {to:?}; exclude it or make it `shared`");
        return refuse(&why);
    }
    Ok(())
}

/// Stops work that whoever began it has given up.
pub(super) fn wanted(what: &str, path: &Path) -> Result<(), HostError> {
    if crate::blocking::given_up() {
        let op = format!("{what} {}", path.display());
        return Err(HostError::new(HostErrorKind::Other, op, "it was given up"));
    }
    Ok(())
}

pub(super) fn io_error(what: &str, path: &Path, e: &io::Error) -> HostError {
    HostError::io(format!("{what} {}", path.display()), e)
}

pub(super) fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

pub(super) fn remove_tree(path: &Path) -> Result<(), HostError> {
    match fs::remove_dir_all(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(io_error("remove", path, &e)),
        _ => Ok(()),
    }
}

pub(super) fn list(dir: &Path) -> Result<Vec<PathBuf>, HostError> {
    match fs::read_dir(dir) {
        Ok(entries) => Ok(entries.flatten().map(|e| e.path()).collect()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(e) => Err(io_error("list", dir, &e)),
    }
}
