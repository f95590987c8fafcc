//! Local storage of originals and variants. A marker file proves that the right folder is mounted.
//! Knows nothing of the database; who may read what is decided elsewhere.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rand::Rng;
use tempfile::NamedTempFile;

use crate::images::{Processed, VARIANTS};

const MARKER: &str = ".filmtrip-media";
const STALE: Duration = Duration::from_secs(24 * 3600);

/// The media folder.
#[derive(Debug, Clone)]
pub struct Storage {
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

impl Storage {
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
            File::create(&marker).map_err(failed)?;
        }
        for folder in ["originals", "variants", "tmp"] {
            fs::create_dir_all(root.join(folder)).map_err(failed)?;
        }
        let storage = Self { root: root.to_owned() };
        storage.probe().map_err(failed)?;
        storage.sweep();
        Ok(storage)
    }

    /// Removes what a killed process left in `tmp`. Young files may be another instance's uploads.
    fn sweep(&self) {
        let Ok(entries) = fs::read_dir(self.root.join("tmp")) else { return };
        for entry in entries.flatten() {
            let age =
                entry.metadata().and_then(|m| m.modified()).map(|t| SystemTime::now().duration_since(t));
            if let Ok(Ok(age)) = age
                && age > STALE
                && let Err(e) = fs::remove_file(entry.path())
            {
                tracing::warn!("left-over upload {} stays: {e}", entry.path().display());
            }
        }
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

    /// A file for an upload on its way in. It is deleted when dropped.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn temporary(&self) -> io::Result<NamedTempFile> {
        NamedTempFile::with_prefix_in("upload-", self.root.join("tmp"))
    }

    /// Puts an original and its variants in place, durably. Either all are there, or none.
    ///
    /// # Errors
    /// The first failure; what was written is removed again.
    pub fn keep(
        &self,
        upload: NamedTempFile,
        original_key: &str,
        extension: &str,
        key: &str,
        processed: &Processed,
    ) -> io::Result<()> {
        let kept = self.keep_all(upload, original_key, extension, key, processed);
        if kept.is_err() {
            self.remove(original_key, extension, key);
        }
        kept
    }

    fn keep_all(
        &self,
        upload: NamedTempFile,
        original_key: &str,
        extension: &str,
        key: &str,
        processed: &Processed,
    ) -> io::Result<()> {
        let folder = self.variant_folder(key);
        fs::create_dir_all(&folder)?;
        for ((name, _), bytes) in VARIANTS.iter().zip(&processed.jpegs) {
            let mut file = File::create(folder.join(format!("{name}.jpg")))?;
            file.write_all(bytes)?;
            file.sync_all()?;
        }
        let original = self.original(original_key, extension);
        let parent = original.parent().unwrap_or(&self.root).to_owned();
        fs::create_dir_all(&parent)?;
        upload.as_file().sync_all()?;
        upload.persist(&original).map_err(|e| e.error)?;
        File::open(&folder)?.sync_all()?;
        File::open(&parent)?.sync_all()
    }

    /// Removes the files of a photo. What cannot be removed is logged: the row is gone already.
    pub fn remove(&self, original_key: &str, extension: &str, key: &str) {
        let results = [
            fs::remove_file(self.original(original_key, extension)),
            fs::remove_dir_all(self.variant_folder(key)),
        ];
        for result in results {
            if let Err(e) = result
                && e.kind() != io::ErrorKind::NotFound
            {
                tracing::warn!("files of photo {key} stay behind: {e}");
            }
        }
    }

    /// Where an original is.
    #[must_use]
    pub fn original(&self, original_key: &str, extension: &str) -> PathBuf {
        self.root.join("originals").join(shard(original_key)).join(format!("{original_key}.{extension}"))
    }

    /// Where a variant is.
    #[must_use]
    pub fn variant(&self, key: &str, name: &str) -> PathBuf {
        self.variant_folder(key).join(format!("{name}.jpg"))
    }

    fn variant_folder(&self, key: &str) -> PathBuf {
        self.root.join("variants").join(shard(key)).join(key)
    }
}

/// The first two characters: no folder gets too full. Keys are checked before they come here.
fn shard(key: &str) -> &str {
    key.get(..2).unwrap_or("__")
}

/// A random key of 26 characters a-z and 2-7: 130 bits, safe in paths on any file system.
#[must_use]
pub fn new_key() -> String {
    const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let mut rng = rand::rng();
    (0..26).map(|_| char::from(LETTERS[rng.random_range(0..32)])).collect()
}

/// Whether a text has the form of a key; anything else never reaches a path or a query.
#[must_use]
pub fn is_key(text: &str) -> bool {
    text.len() == 26 && text.bytes().all(|b| b.is_ascii_lowercase() || (b'2'..=b'7').contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_their_form_and_nothing_else_does() {
        assert!(is_key(&new_key()));
        assert_ne!(new_key(), new_key());
        for bad in
            ["", "../../../../../../etc/passwd", "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxy/"]
        {
            assert!(!is_key(bad), "{bad}");
        }
    }

    #[test]
    fn folder_without_its_marker_is_refused_once_there_are_photos() {
        let dir = tempfile::tempdir().expect("dir");
        assert!(matches!(Storage::open(dir.path(), true), Err(StorageError::NotMounted(_))));
        let storage = Storage::open(dir.path(), false).expect("fresh");
        storage.probe().expect("works");
        Storage::open(dir.path(), true).expect("marked");
        fs::remove_dir_all(dir.path()).expect("gone");
        assert_eq!(storage.probe().expect_err("gone").kind(), io::ErrorKind::NotFound);
    }
}
