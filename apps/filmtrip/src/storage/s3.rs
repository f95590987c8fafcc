//! A bucket of an S3-compatible store, through OpenDAL.

use std::io;
use std::path::Path;
use std::time::Duration;

use futures_util::TryStreamExt;
use opendal::{ErrorKind, HttpTransporter, OperationContext, Operator, Writer, services};
use opendal_http_transport_reqwest::ReqwestTransport;
use tokio::fs::File;
use tokio::io::AsyncReadExt;

use super::{Content, Meta, ObjectError, new_key};
use crate::config::S3Config;

const CHUNK: usize = 8 * 1024 * 1024;
const CONNECT: Duration = Duration::from_secs(5);
/// Longest silence of the store. A chunk has to be sent in this time too.
const SILENCE: Duration = Duration::from_secs(120);

/// A bucket.
pub struct S3 {
    operator: Operator,
    /// What this process asks health with. Always the same: when the store is so slow that an answer is not waited for,
    /// the object of the next time takes its place.
    probe: String,
}

fn failed(error: &opendal::Error) -> ObjectError {
    ObjectError::Failed(error.to_string())
}

/// OpenDAL has no transport of its own unless one is given to it.
fn transport() -> Result<ReqwestTransport, String> {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // A race with another installer is harmless: either one serves.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
    let client = reqwest::Client::builder().connect_timeout(CONNECT).read_timeout(SILENCE).build();
    client.map(ReqwestTransport::new).map_err(|e| format!("HTTP client: {e}"))
}

async fn write_all(writer: &mut Writer, file: &mut File) -> Result<(), ObjectError> {
    loop {
        let mut chunk = Vec::with_capacity(CHUNK);
        if file.take(CHUNK as u64).read_to_end(&mut chunk).await? == 0 {
            return writer.close().await.map(drop).map_err(|e| failed(&e));
        }
        writer.write(chunk).await.map_err(|e| failed(&e))?;
    }
}

impl S3 {
    /// A client by the settings. Nothing is sent.
    ///
    /// # Errors
    /// A setting that OpenDAL refuses, or TLS cannot be set up.
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
        let context = OperationContext::new().with_http_transport(HttpTransporter::new(transport()?));
        let probe = format!("probe/{}", new_key());
        Ok(Self { operator: operator.with_context(context), probe })
    }

    pub(super) async fn put_file(
        &self,
        name: &str,
        file: &Path,
        media_type: &str,
    ) -> Result<(), ObjectError> {
        let mut file = File::open(file).await?;
        let write = self.operator.writer_with(name).content_type(media_type).chunk(CHUNK);
        let mut writer = write.await.map_err(|e| failed(&e))?;
        let written = write_all(&mut writer, &mut file).await;
        if written.is_err() {
            // Stores keep, and charge for, the parts of an upload that is never completed.
            if let Err(e) = writer.abort().await {
                tracing::warn!("the parts of {name} may be left in the bucket: {e}");
            }
        }
        written
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
        let words = |e: ObjectError| e.to_string();
        self.put(&self.probe, b"filmtrip".to_vec(), "text/plain").await.map_err(words)?;
        let read = self.head(&self.probe).await.map_err(words)?;
        self.delete(&self.probe).await.map_err(words)?;
        if read.is_some_and(|meta| meta.bytes == 8) {
            Ok(())
        } else {
            Err("read something else than was written".to_owned())
        }
    }
}
