//! Resumable uploads: initiate, parts, complete.
//!
//! Sources: `upyun/docs` api/rest_api ("断点续传"); the Go SDK for the question how far an upload has come. An upload that
//! is not completed is dropped after 24 hours.
use std::collections::BTreeMap;

use bytes::Bytes;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::objects::meta_headers;
use super::{Body, Call, Client, Error, number_header, text_header};

/// Part sizes are multiples of 1 MiB, at most 50 MiB.
const MIB: u64 = 1024 * 1024;

/// Options of a resumable upload.
#[derive(Debug, Clone)]
pub struct ResumableOptions {
    /// Media type of the whole.
    pub content_type: Option<String>,
    /// Bytes a part: a multiple of 1 MiB up to 50 MiB. 1 MiB is the size that every version of the documentation
    /// agrees on.
    pub part_bytes: u64,
    /// Hexadecimal MD5 of the whole, checked by Upyun at the end.
    pub whole_md5: Option<String>,
    /// Parts may arrive in any order.
    pub any_order: bool,
    /// User metadata, names without prefix.
    pub meta: BTreeMap<String, String>,
}

impl Default for ResumableOptions {
    fn default() -> Self {
        Self { content_type: None, part_bytes: MIB, whole_md5: None, any_order: false, meta: BTreeMap::new() }
    }
}

/// A started upload. It can be stored, as JSON for example, and picked up again within 24 hours, also by another process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MultiUpload {
    /// The target.
    pub key: String,
    /// Upyun's name for it.
    pub uuid: String,
    /// Bytes of the whole.
    pub total_bytes: u64,
    /// Bytes of every part but the last.
    pub part_bytes: u64,
    /// Number of the next part that Upyun expects; [`MultiUpload::parts`] when it has all of them.
    pub next_part: u64,
    /// Hexadecimal MD5 of the whole, to be checked at the end.
    #[serde(default)]
    pub whole_md5: Option<String>,
}

impl MultiUpload {
    /// How many parts there are.
    pub fn parts(&self) -> u64 {
        self.total_bytes.div_ceil(self.part_bytes.max(1))
    }

    /// Where in the whole the next part begins: there has to stand what is read from.
    pub fn offset(&self) -> u64 {
        self.next_part.saturating_mul(self.part_bytes).min(self.total_bytes)
    }
}

/// What Upyun said to a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartOutcome {
    /// The part it wants next; absent after the last.
    pub next_part: Option<u64>,
}

impl Client {
    /// Starts a resumable upload of `total_bytes`.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn multi_initiate(
        &self,
        key: &str,
        total_bytes: u64,
        options: &ResumableOptions,
    ) -> Result<MultiUpload, Error> {
        let part = options.part_bytes;
        if part == 0 || !part.is_multiple_of(MIB) || part > 50 * MIB {
            let why = "it has to be a multiple of 1 MiB, at most 50 MiB".into();
            return Err(Error::Invalid { what: format!("the part size {part}"), why });
        }
        let mut call = Call::new(Method::PUT, key);
        call.header("x-upyun-multi-stage", "initiate")?;
        call.header("x-upyun-multi-length", &total_bytes.to_string())?;
        call.header("x-upyun-multi-part-size", &part.to_string())?;
        if options.any_order {
            call.header("x-upyun-multi-disorder", "true")?;
        }
        if let Some(media_type) = &options.content_type {
            call.header("x-upyun-multi-type", media_type)?;
        }
        meta_headers(&mut call.headers, &options.meta)?;
        call.body = Some(Body::from(Bytes::new()));
        let response = self.call(call).await?;
        let headers = response.headers();
        let uuid = text_header(headers, "x-upyun-multi-uuid").map(str::to_owned).ok_or_else(|| {
            Error::Answer { operation: format!("initiate {key}"), why: "it has no X-Upyun-Multi-Uuid".into() }
        })?;
        let next_part = number_header(headers, "x-upyun-next-part-id").unwrap_or(0);
        let (key, whole_md5) = (key.to_owned(), options.whole_md5.clone());
        Ok(MultiUpload { key, uuid, total_bytes, part_bytes: part, next_part, whole_md5 })
    }

    /// Asks how far a started upload has come, and notes it in `upload`. For one whose last answer was lost, or that was
    /// picked up from where it was stored.
    ///
    /// # Errors
    /// See [`Error`]; `is_not_found` when it was completed, cancelled or dropped, and an [`Error::Answer`] when another
    /// upload to the same key has begun since.
    pub async fn multi_status(&self, upload: &mut MultiUpload) -> Result<(), Error> {
        let mut call = Call::new(Method::GET, &upload.key);
        call.header("x-upyun-multi-info", "true")?;
        let response = self.call(call).await?;
        let headers = response.headers();
        let wrong =
            |why: &str| Error::Answer { operation: format!("status of {}", upload.key), why: why.into() };
        if text_header(headers, "x-upyun-multi-uuid") != Some(&upload.uuid) {
            return Err(wrong("it is about another upload"));
        }
        let next: i64 = number_header(headers, "x-upyun-next-part-id")
            .ok_or_else(|| wrong("it has no X-Upyun-Next-Part-Id"))?;
        // After the last part Upyun says -1, which is no part.
        upload.next_part = u64::try_from(next).unwrap_or(upload.parts());
        Ok(())
    }

    /// Sends one part, counted from 0.
    ///
    /// # Errors
    /// See [`Error`]; 40011061 for a part out of turn.
    pub async fn multi_part(
        &self,
        upload: &MultiUpload,
        part: u64,
        body: impl Into<Body>,
    ) -> Result<PartOutcome, Error> {
        let mut call = Call::new(Method::PUT, &upload.key);
        call.header("x-upyun-multi-stage", "upload")?;
        call.header("x-upyun-multi-uuid", &upload.uuid)?;
        call.header("x-upyun-part-id", &part.to_string())?;
        call.body = Some(body.into());
        let response = self.call(call).await?;
        let next: Option<i64> = number_header(response.headers(), "x-upyun-next-part-id");
        // After the last part Upyun says -1, which is no part.
        Ok(PartOutcome { next_part: next.and_then(|next| u64::try_from(next).ok()) })
    }

    /// Puts the parts together. With an MD5 Upyun checks the whole.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn multi_complete(&self, upload: &MultiUpload) -> Result<(), Error> {
        let mut call = Call::new(Method::PUT, &upload.key);
        call.header("x-upyun-multi-stage", "complete")?;
        call.header("x-upyun-multi-uuid", &upload.uuid)?;
        if let Some(md5) = &upload.whole_md5 {
            call.header("x-upyun-multi-md5", md5)?;
        }
        call.body = Some(Body::from(Bytes::new()));
        self.call(call).await.map(drop)
    }

    /// Drops a started upload. The Python SDK does so; OpenDAL's authors call it unsupported: *unverified*.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn multi_cancel(&self, upload: &MultiUpload) -> Result<(), Error> {
        let mut call = Call::new(Method::DELETE, &upload.key);
        call.header("x-upyun-multi-uuid", &upload.uuid)?;
        self.call(call).await.map(drop)
    }

    /// Sends the parts that are missing, in order, and completes the upload. `source` has to stand at
    /// [`MultiUpload::offset`].
    ///
    /// A failed call leaves the upload open, and `upload` says which parts have arrived. To go on: ask
    /// [`Client::multi_status`], since the last answer may be what was lost, move `source` to the offset, and call again.
    ///
    /// ```no_run
    /// # async fn example(client: safelight_upyun::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// use safelight_upyun::ResumableOptions;
    ///
    /// let scan = vec![0_u8; 5_000_000];
    /// let mut upload = client.multi_initiate("/scan.tif", 5_000_000, &ResumableOptions::default()).await?;
    /// loop {
    ///     let mut rest = &scan[upload.offset() as usize..];
    ///     match client.put_resumable(&mut upload, &mut rest).await {
    ///         Ok(()) => break,
    ///         Err(error) if error.is_retryable() => client.multi_status(&mut upload).await?,
    ///         Err(error) => return Err(error.into()),
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// See [`Error`]; [`Error::Source`] also when the source ends before the upload does.
    pub async fn put_resumable<R: AsyncRead + Unpin + Send>(
        &self,
        upload: &mut MultiUpload,
        source: &mut R,
    ) -> Result<(), Error> {
        while upload.next_part < upload.parts() {
            let part = upload.next_part;
            let length = upload.part_bytes.min(upload.total_bytes - upload.offset());
            // At most 50 MiB, checked when it was started.
            let mut buffer = vec![0; usize::try_from(length).unwrap_or(0)];
            source.read_exact(&mut buffer).await?;
            let wanted = self.multi_part(upload, part, buffer).await?.next_part;
            if wanted.is_some_and(|wanted| wanted != part + 1) {
                let why = format!("it wants part {wanted:?} after part {part}");
                return Err(Error::Answer { operation: format!("part of {}", upload.key), why });
            }
            upload.next_part = part + 1;
        }
        self.multi_complete(upload).await
    }
}
