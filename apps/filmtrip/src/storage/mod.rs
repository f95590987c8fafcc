//! Where originals and stored variants are: the local media folder, Upyun, or an S3 bucket. Each photo remembers its
//! own place, so a changed setting is about new photos only. Knows nothing of the database.

pub mod local;
mod s3;
mod upyun;

use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use md5::Md5;
use rand::Rng;
use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt;

pub use local::{Local, StorageError};
pub use s3::S3;
pub use upyun::Upyun;

/// A kind of place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Backend {
    /// The media folder.
    Local,
    /// A bucket at Upyun.
    Upyun,
    /// A bucket of an S3-compatible store.
    S3,
}

impl Backend {
    /// The name in the database and in settings.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Upyun => "upyun",
            Self::S3 => "s3",
        }
    }

    /// The reverse of [`Backend::as_str`].
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Local, Self::Upyun, Self::S3].into_iter().find(|b| b.as_str() == text)
    }
}

/// A stored file.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredObject {
    /// Where.
    pub backend: Backend,
    /// Its name there, without a slash in front. Empty: the name that follows from the photo's keys.
    pub name: String,
    /// The secret without which Upyun's CDN does not give out the original.
    pub content_secret: Option<String>,
}

impl std::fmt::Debug for StoredObject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.backend.as_str(), self.name)
    }
}

/// Names of objects, the same in every place.
pub mod names {
    /// The first two characters: no folder gets too full. Keys are checked before they come here.
    fn shard(key: &str) -> &str {
        key.get(..2).unwrap_or("__")
    }

    /// An original that came through the server.
    #[must_use]
    pub fn original(original_key: &str, format: &str) -> String {
        format!("originals/{}/{original_key}.{format}", shard(original_key))
    }

    /// An original that a browser puts there itself. What it is, is not known before it is there.
    #[must_use]
    pub fn direct(key: &str) -> String {
        format!("originals/{}/{key}", shard(key))
    }

    /// The key in the name of an original.
    #[must_use]
    pub fn original_key(name: &str) -> Option<&str> {
        let file = name.strip_prefix("originals/")?.split_once('/')?.1;
        file.split('.').next().filter(|key| super::is_key(key))
    }

    /// A variant of a photo, such as `thumb.jpg`.
    #[must_use]
    pub fn variant(key: &str, file: &str) -> String {
        format!("variants/{}/{key}/{file}", shard(key))
    }
}

/// Why an object could not be had.
#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    /// There is none of that name.
    #[error("{0} is not there")]
    Missing(String),
    /// The place is not configured in this process.
    #[error("{} is not configured; set its variables again", .0.as_str())]
    NotConfigured(Backend),
    /// It failed, and may work later.
    #[error("{0}")]
    Failed(String),
}

impl From<io::Error> for ObjectError {
    fn from(error: io::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

/// What is known of an object without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meta {
    /// Bytes.
    pub bytes: u64,
    /// MD5 in hex, where the place knows it.
    pub md5: Option<String>,
}

/// The content of an object.
pub struct Content {
    /// Bytes.
    pub bytes: u64,
    /// The bytes, piece by piece.
    pub stream: Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>,
}

/// What arrived in a local file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// Bytes.
    pub bytes: u64,
    /// MD5 in hex.
    pub md5: String,
    /// SHA-256.
    pub sha256: [u8; 32],
}

/// All places of this process. Cloning shares them.
#[derive(Clone)]
pub struct Storage {
    /// The media folder; there is always one, since uploads and processing need room.
    pub local: Local,
    /// Upyun, when configured.
    pub upyun: Option<Arc<Upyun>>,
    /// S3, when configured.
    pub s3: Option<Arc<S3>>,
    /// Where photos go that come through the server.
    pub main: Backend,
}

impl Storage {
    /// Where sizes go that are made here. Never into a bucket that a CDN serves: whoever knew a photo's address would
    /// still find them there when it has become private.
    #[must_use]
    pub fn sizes(&self) -> Backend {
        if self.main == Backend::Upyun { Backend::Local } else { self.main }
    }

    fn upyun(&self) -> Result<&Upyun, ObjectError> {
        self.upyun.as_deref().ok_or(ObjectError::NotConfigured(Backend::Upyun))
    }

    fn s3(&self) -> Result<&S3, ObjectError> {
        self.s3.as_deref().ok_or(ObjectError::NotConfigured(Backend::S3))
    }

    /// Stores a local file under a name, durably. The file is left where it is, unless the place is the media folder:
    /// there it is moved.
    ///
    /// # Errors
    /// It could not be stored; nothing is there then, or the same bytes.
    pub async fn put_file(
        &self,
        to: &StoredObject,
        file: &Path,
        media_type: &str,
    ) -> Result<(), ObjectError> {
        match to.backend {
            Backend::Local => {
                let (local, from, name) = (self.local.clone(), file.to_owned(), to.name.clone());
                blocking(move || local.adopt(&from, &name)).await
            }
            Backend::Upyun => self.upyun()?.put_file(to, file, media_type).await,
            Backend::S3 => self.s3()?.put_file(&to.name, file, media_type).await,
        }
    }

    /// Stores bytes under a name, durably.
    ///
    /// # Errors
    /// It could not be stored.
    pub async fn put(
        &self,
        backend: Backend,
        name: &str,
        content: Vec<u8>,
        media_type: &str,
    ) -> Result<(), ObjectError> {
        match backend {
            Backend::Local => {
                let (local, name) = (self.local.clone(), name.to_owned());
                blocking(move || local.write(&name, &content)).await
            }
            Backend::Upyun => self.upyun()?.put(name, content, media_type).await,
            Backend::S3 => self.s3()?.put(name, content, media_type).await,
        }
    }

    /// Opens an object for reading.
    ///
    /// # Errors
    /// [`ObjectError::Missing`], or it could not be had.
    pub async fn read(&self, backend: Backend, name: &str) -> Result<Content, ObjectError> {
        match backend {
            Backend::Local => self.local.read(name).await,
            Backend::Upyun => self.upyun()?.read(name).await,
            Backend::S3 => self.s3()?.read(name).await,
        }
    }

    /// Reads an object into a local file, at most `limit` bytes.
    ///
    /// # Errors
    /// As [`Storage::read`], or it is longer, or the connection broke.
    pub async fn fetch(
        &self,
        backend: Backend,
        name: &str,
        to: &Path,
        limit: u64,
    ) -> Result<Fetched, ObjectError> {
        let mut content = self.read(backend, name).await?;
        let mut out = tokio::fs::File::create(to).await?;
        let (mut md5, mut sha, mut bytes) = (Md5::new(), Sha256::new(), 0_u64);
        while let Some(chunk) = content.stream.next().await {
            let chunk = chunk?;
            bytes += chunk.len() as u64;
            if bytes > limit {
                return Err(ObjectError::Failed(format!("{name} has more than {limit} bytes")));
            }
            md5.update(&chunk);
            sha.update(&chunk);
            out.write_all(&chunk).await?;
        }
        out.flush().await?;
        if bytes != content.bytes {
            return Err(ObjectError::Failed(format!(
                "{name} broke off after {bytes} of {} bytes",
                content.bytes
            )));
        }
        let md5 = md5.finalize().iter().map(|b| format!("{b:02x}")).collect();
        Ok(Fetched { bytes, md5, sha256: sha.finalize().into() })
    }

    /// What is known of an object; none when there is none.
    ///
    /// # Errors
    /// It could not be asked.
    pub async fn head(&self, backend: Backend, name: &str) -> Result<Option<Meta>, ObjectError> {
        match backend {
            Backend::Local => self.local.head(name).await,
            Backend::Upyun => self.upyun()?.head(name).await,
            Backend::S3 => self.s3()?.head(name).await,
        }
    }

    /// Deletes an object; one that is not there is deleted already.
    ///
    /// # Errors
    /// It may still be there.
    pub async fn delete(&self, backend: Backend, name: &str) -> Result<(), ObjectError> {
        match backend {
            Backend::Local => {
                let (local, name) = (self.local.clone(), name.to_owned());
                blocking(move || local.remove(&name)).await
            }
            Backend::Upyun => self.upyun()?.delete(name).await,
            Backend::S3 => self.s3()?.delete(name).await,
        }
    }

    /// Deletes the stored variants of a photo.
    ///
    /// # Errors
    /// Some may still be there.
    pub async fn delete_variants(&self, backend: Backend, key: &str) -> Result<(), ObjectError> {
        for file in crate::images::variant_files() {
            self.delete(backend, &names::variant(key, &file)).await?;
        }
        if backend == Backend::Local {
            let (local, folder) = (self.local.clone(), names::variant(key, ""));
            blocking(move || local.remove_folder(&folder)).await?;
        }
        Ok(())
    }

    /// Whether the place where new photos go can be written and read.
    ///
    /// # Errors
    /// What does not work.
    pub async fn probe(&self) -> Result<(), String> {
        let local = self.local.clone();
        let probed = tokio::task::spawn_blocking(move || local.probe()).await.map_err(|e| e.to_string())?;
        probed.map_err(|e| format!("media folder: {e}"))?;
        if let Some(upyun) = self.upyun.as_ref().filter(|u| u.direct || self.main == Backend::Upyun) {
            upyun.probe().await.map_err(|e| format!("upyun: {e}"))?;
        }
        if let Some(s3) = self.s3.as_ref().filter(|_| self.main == Backend::S3) {
            s3.probe().await.map_err(|e| format!("s3: {e}"))?;
        }
        Ok(())
    }
}

/// Runs file work off the async threads.
async fn blocking<T: Send + 'static, E: Into<ObjectError> + Send + 'static>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, ObjectError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|e| ObjectError::Failed(format!("file task: {e}")))?.map_err(Into::into)
}

/// A random key of 26 characters a-z and 2-7: 130 bits, safe in paths on any file system.
#[must_use]
pub fn new_key() -> String {
    random(26)
}

/// A random code for short links: 8 characters, 40 bits. Not a secret; it leads to where its photo may be seen.
#[must_use]
pub fn new_code() -> String {
    random(8)
}

fn random(length: usize) -> String {
    const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let mut rng = rand::rng();
    (0..length).map(|_| char::from(LETTERS[rng.random_range(0..32)])).collect()
}

fn is_random(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|b| b.is_ascii_lowercase() || (b'2'..=b'7').contains(&b))
}

/// Whether a text has the form of a key; anything else never reaches a path or a query.
#[must_use]
pub fn is_key(text: &str) -> bool {
    is_random(text, 26)
}

/// Whether a text has the form of a short link's code.
#[must_use]
pub fn is_code(text: &str) -> bool {
    is_random(text, 8)
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
    fn the_key_is_found_in_the_name_of_an_original() {
        let key = new_key();
        for name in [names::original(&key, "jpg"), names::direct(&key)] {
            assert_eq!(names::original_key(&name), Some(key.as_str()));
        }
        assert_eq!(names::original_key(&names::variant(&key, "thumb.jpg")), None);
    }
}
