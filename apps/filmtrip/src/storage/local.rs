//! Local storage of originals and variants. A marker file proves that the right folder is mounted.
//! Knows nothing of the database; who may read what is decided elsewhere.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use tempfile::NamedTempFile;
use tokio::io::AsyncReadExt;

use super::{Content, Meta, ObjectError, new_key};

const MARKER: &str = ".filmtrip-media";
/// What is older in `tmp` belongs to no live process: an upload or a copy counts as given up after an hour, and the work on
/// one image ends after an hour at most.
const STALE: Duration = Duration::from_secs(6 * 3600);
const CHUNK: usize = 128 * 1024;

/// The media folder.
#[derive(Debug, Clone)]
pub struct Local {
    root: PathBuf,
}

/// Why the media folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The database knows photos, the folder is not the one they are in.
    #[error(
        "FILMTRIP_MEDIA_DIR: {0} has no {MARKER} file, but the database has photos: is the disk mounted? \
         (if the folder is right, create that file in it)"
    )]
    NotMounted(PathBuf),
    /// The folder could not be made or written.
    #[error("FILMTRIP_MEDIA_DIR: {0}: {1}")]
    Io(PathBuf, #[source] io::Error),
}

impl Local {
    /// Opens the folder, making it when there are no photos yet.
    ///
    /// # Errors
    /// No marker although there are photos, or the folder cannot be written.
    pub fn open(root: &Path, has_photos: bool) -> Result<Self, StorageError> {
        let failed = |e| StorageError::Io(root.to_owned(), e);
        let marker = root.join(MARKER);
        if !marker.is_file() {
            if has_photos {
                return Err(StorageError::NotMounted(root.to_owned()));
            }
            fs::create_dir_all(root).map_err(failed)?;
            // Without it a folder with photos counts as not mounted: it must survive a power cut.
            File::create(&marker).and_then(|marker| marker.sync_all()).map_err(failed)?;
            sync(root).map_err(failed)?;
        }
        for folder in ["originals", "variants", "tmp"] {
            fs::create_dir_all(root.join(folder)).map_err(failed)?;
        }
        let local = Self { root: root.to_owned() };
        local.probe().map_err(failed)?;
        Ok(local)
    }

    /// Removes what a killed process left in `tmp`. Young files may be this or another instance's uploads.
    ///
    /// # Errors
    /// The folder cannot be read. A file that cannot be removed is warned of, and tried again the next time.
    pub fn sweep(&self) -> io::Result<()> {
        for entry in fs::read_dir(self.root.join("tmp"))? {
            let path = entry?.path();
            let touched = match touched(&path) {
                Ok(touched) => touched,
                // Its process was faster.
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                Err(e) => return Err(e),
            };
            // A clock that was put back makes a file of the future, which is not old.
            if SystemTime::now().duration_since(touched).is_ok_and(|age| age > STALE) {
                match gone(remove_any(&path)) {
                    Ok(()) => tracing::info!("removed {}, left by a process that ended", path.display()),
                    Err(e) => tracing::warn!("{}, left by a process that ended, stays: {e}", path.display()),
                }
            }
        }
        Ok(())
    }

    /// Writes a small file, reads it back and deletes it, under the marker.
    ///
    /// # Errors
    /// Whatever of this failed.
    pub fn probe(&self) -> io::Result<()> {
        if !self.root.join(MARKER).is_file() {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                format!("{MARKER} is missing: not mounted?"),
            ));
        }
        let path = self.root.join("tmp").join(format!("probe-{}", new_key()));
        let text = new_key();
        let result = fs::write(&path, &text).and_then(|()| fs::read_to_string(&path));
        let removed = fs::remove_file(&path);
        if result? != text {
            return Err(io::Error::other("read something else than was written"));
        }
        removed
    }

    /// Bytes of the volume that the folder is on: in all, and those that may still be written.
    ///
    /// # Errors
    /// The folder cannot be asked for.
    pub fn volume(&self) -> io::Result<(u64, u64)> {
        let volume = rustix::fs::statvfs(&self.root)?;
        Ok((volume.f_blocks.saturating_mul(volume.f_frsize), volume.f_bavail.saturating_mul(volume.f_frsize)))
    }

    /// A file for an upload on its way in. It is deleted when dropped.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn temporary(&self) -> io::Result<NamedTempFile> {
        NamedTempFile::with_prefix_in("upload-", self.root.join("tmp"))
    }

    /// A folder for the work on one image. It is deleted when dropped.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn scratch(&self) -> io::Result<tempfile::TempDir> {
        tempfile::TempDir::with_prefix_in("work-", self.root.join("tmp"))
    }

    /// Where an object is. Names are made of checked keys, never of what somebody sent.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Moves a file of this folder's file system to its name, durably.
    pub(super) fn adopt(&self, file: &Path, name: &str) -> io::Result<()> {
        let to = self.path(name);
        fs::create_dir_all(self.folder_of(&to))?;
        File::open(file)?.sync_all()?;
        fs::rename(file, &to)?;
        self.sync_up(&to)
    }

    /// Writes a file under a temporary name first, so that there is never half of it.
    pub(super) fn write(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let to = self.path(name);
        fs::create_dir_all(self.folder_of(&to))?;
        let mut file = self.temporary()?;
        file.write_all(content)?;
        file.as_file().sync_all()?;
        file.persist(&to).map_err(|e| e.error)?;
        self.sync_up(&to)
    }

    fn folder_of<'a>(&'a self, path: &'a Path) -> &'a Path {
        path.parent().unwrap_or(&self.root)
    }

    /// The folders whose entries a file needs to be found again: its own, and all above it up to the root.
    fn folders<'a>(&'a self, path: &'a Path) -> impl Iterator<Item = &'a Path> {
        self.folder_of(path).ancestors().take_while(|folder| folder.starts_with(&self.root))
    }

    /// Makes a new file durable with the folders that it may be the first in. All of them each time: whoever made one a
    /// moment ago may not be done with it, and a folder that has not changed costs next to nothing.
    fn sync_up(&self, path: &Path) -> io::Result<()> {
        self.folders(path).try_for_each(sync)
    }

    pub(super) async fn read(&self, name: &str) -> Result<Content, ObjectError> {
        let file = match tokio::fs::File::open(self.path(name)).await {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                return Err(ObjectError::Missing(name.to_owned()));
            }
            Err(e) => return Err(e.into()),
        };
        let bytes = file.metadata().await?.len();
        let stream = futures_util::stream::try_unfold(file, |mut file| async move {
            let mut chunk = vec![0; CHUNK];
            let read = file.read(&mut chunk).await?;
            chunk.truncate(read);
            Ok::<_, io::Error>((read > 0).then(|| (Bytes::from(chunk), file)))
        });
        Ok(Content { bytes, stream: Box::pin(stream) })
    }

    pub(super) async fn head(&self, name: &str) -> Result<Option<Meta>, ObjectError> {
        match tokio::fs::metadata(self.path(name)).await {
            Ok(meta) => Ok(Some(Meta { bytes: meta.len(), md5: None })),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        gone(fs::remove_file(self.path(name)))
    }

    pub(super) fn remove_folder(&self, name: &str) -> io::Result<()> {
        gone(fs::remove_dir(self.path(name)))
    }
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// When a file, or anything in a folder, was last written.
fn touched(path: &Path) -> io::Result<SystemTime> {
    let meta = fs::symlink_metadata(path)?;
    let mut newest = meta.modified()?;
    if meta.is_dir() {
        for entry in fs::read_dir(path)? {
            newest = newest.max(touched(&entry?.path())?);
        }
    }
    Ok(newest)
}

fn remove_any(path: &Path) -> io::Result<()> {
    if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }
}

fn gone(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_folder_above_a_file_is_made_durable_with_it() {
        let dir = tempfile::tempdir().expect("dir");
        let storage = Local::open(dir.path(), false).expect("fresh");
        let path = storage.path("variants/ab/key/thumb.jpg");
        let folders: Vec<PathBuf> = storage.folders(&path).map(Path::to_owned).collect();
        assert_eq!(folders, ["variants/ab/key", "variants/ab", "variants", ""].map(|f| dir.path().join(f)));
        storage.write("variants/ab/key/thumb.jpg", b"x").expect("writes");
        assert_eq!(fs::read(path).expect("reads"), b"x");
    }

    #[test]
    fn only_what_nothing_has_written_to_for_hours_is_swept() {
        let dir = tempfile::tempdir().expect("dir");
        let storage = Local::open(dir.path(), false).expect("fresh");
        let tmp = storage.path("tmp");
        let long_ago = SystemTime::now() - STALE - Duration::from_secs(60);
        let age = |path: &Path| File::open(path).and_then(|f| f.set_modified(long_ago)).expect("aged");
        for name in ["upload-old", "upload-young"] {
            fs::write(tmp.join(name), b"half a photo").expect("file");
        }
        for name in ["work-old", "work-young"] {
            fs::create_dir(tmp.join(name)).expect("folder");
            fs::write(tmp.join(name).join("original"), b"half a photo").expect("file");
            age(&tmp.join(name));
        }
        age(&tmp.join("upload-old"));
        age(&tmp.join("work-old/original"));
        storage.sweep().expect("sweeps");
        let mut left: Vec<_> =
            fs::read_dir(&tmp).expect("tmp").map(|entry| entry.expect("entry").file_name()).collect();
        left.sort();
        assert_eq!(
            left,
            ["upload-young", "work-young"],
            "a large file is still being written into an old folder"
        );
    }

    #[test]
    fn folder_without_its_marker_is_refused_once_there_are_photos() {
        let dir = tempfile::tempdir().expect("dir");
        assert!(matches!(Local::open(dir.path(), true), Err(StorageError::NotMounted(_))));
        let storage = Local::open(dir.path(), false).expect("fresh");
        storage.probe().expect("works");
        Local::open(dir.path(), true).expect("marked");
        fs::remove_dir_all(dir.path()).expect("gone");
        assert_eq!(storage.probe().expect_err("gone").kind(), io::ErrorKind::NotFound);
    }
}
