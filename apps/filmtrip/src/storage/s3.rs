//! A bucket of an S3-compatible store, through OpenDAL.

use std::io;
use std::path::Path;

use futures_util::TryStreamExt;
use opendal::{ErrorKind, Operator, services};
use tokio::io::AsyncReadExt;

use super::{Content, Meta, ObjectError, new_key};
use crate::config::S3Config;

const CHUNK: usize = 8 * 1024 * 1024;

/// A bucket.
pub struct S3 {
    operator: Operator,
}

fn failed(error: &opendal::Error) -> ObjectError {
    ObjectError::Failed(error.to_string())
}

impl S3 {
    /// A client by the settings. Nothing is sent.
    ///
    /// # Errors
    /// A setting that OpenDAL refuses.
    pub fn new(config: &S3Config) -> Result<Self, String> {
        let builder = services::S3::default()
            .bucket(&config.bucket)
            .endpoint(&config.endpoint)
            .region(&config.region)
            .access_key_id(&config.access_key_id)
            .secret_access_key(config.secret_access_key.reveal())
            // Only what is configured counts, not what lies about in the environment or the home folder.
            .disable_config_load();
        let operator = Operator::new(builder).map_err(|e| e.to_string())?;
        Ok(Self { operator })
    }

    pub(super) async fn put_file(
        &self,
        name: &str,
        file: &Path,
        media_type: &str,
    ) -> Result<(), ObjectError> {
        let mut file = tokio::fs::File::open(file).await?;
        let write = self.operator.writer_with(name).content_type(media_type).chunk(CHUNK);
        let mut writer = write.await.map_err(|e| failed(&e))?;
        loop {
            let mut chunk = Vec::with_capacity(CHUNK);
            if (&mut file).take(CHUNK as u64).read_to_end(&mut chunk).await? == 0 {
                break;
            }
            writer.write(chunk).await.map_err(|e| failed(&e))?;
        }
        writer.close().await.map(drop).map_err(|e| failed(&e))
    }

    pub(super) async fn put(
        &self,
        name: &str,
        content: Vec<u8>,
        media_type: &str,
    ) -> Result<(), ObjectError> {
        let write = self.operator.write_with(name, content).content_type(media_type);
        write.await.map(drop).map_err(|e| failed(&e))
    }

    pub(super) async fn read(&self, name: &str) -> Result<Content, ObjectError> {
        let Some(meta) = self.head(name).await? else { return Err(ObjectError::Missing(name.to_owned())) };
        let reader = self.operator.reader(name).await.map_err(|e| failed(&e))?;
        let stream = reader.into_bytes_stream(0..meta.bytes).await.map_err(|e| failed(&e))?;
        Ok(Content { bytes: meta.bytes, stream: Box::pin(stream.map_err(io::Error::other)) })
    }

    pub(super) async fn head(&self, name: &str) -> Result<Option<Meta>, ObjectError> {
        match self.operator.stat(name).await {
            Ok(meta) => Ok(Some(Meta { bytes: meta.content_length(), md5: None })),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(failed(&e)),
        }
    }

    pub(super) async fn delete(&self, name: &str) -> Result<(), ObjectError> {
        self.operator.delete(name).await.map_err(|e| failed(&e))
    }

    /// Whether the bucket can be written, read and deleted from.
    pub(super) async fn probe(&self) -> Result<(), String> {
        let name = format!("probe/{}", new_key());
        let words = |e: ObjectError| e.to_string();
        self.put(&name, b"filmtrip".to_vec(), "text/plain").await.map_err(words)?;
        let read = self.head(&name).await.map_err(words)?;
        self.delete(&name).await.map_err(words)?;
        if read.is_some_and(|meta| meta.bytes == 8) {
            Ok(())
        } else {
            Err("read something else than was written".to_owned())
        }
    }
}
