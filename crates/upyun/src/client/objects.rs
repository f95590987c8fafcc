//! Files and folders: put, get, head, delete, metadata, copy, move, usage.
use std::collections::BTreeMap;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, TryStreamExt};
use reqwest::header::HeaderMap;
use reqwest::{Method, Response, StatusCode};

use super::{Body, Call, Client, Error, number_header, put_header, text_header, unexpected};
use crate::key::{KeyError, encode_path};

/// Prefix of user metadata headers.
const META: &str = "x-upyun-meta-";

/// Options of an upload.
#[derive(Debug, Clone, Default)]
pub struct PutOptions {
    /// Media type; by default Upyun takes it from the extension.
    pub content_type: Option<String>,
    /// Hexadecimal MD5 ([`crate::content_md5`]), checked by Upyun.
    pub content_md5: Option<String>,
    /// Secret without which the original cannot be fetched from the CDN.
    pub content_secret: Option<String>,
    /// User metadata, names without the prefix `x-upyun-meta-`. `ttl` (days, at most 180) is one of them.
    pub meta: BTreeMap<String, String>,
    /// Processing before the file is stored: parameters or a style's name. It replaces the original.
    pub thumb: Option<String>,
}

/// What Upyun saw in an upload. Everything is absent for files that are no images.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PutOutcome {
    /// Pixels.
    pub width: Option<u32>,
    /// Pixels.
    pub height: Option<u32>,
    /// Frames.
    pub frames: Option<u32>,
    /// `JPEG`, `PNG`, ...
    pub image_type: Option<String>,
}

/// A file or folder as HEAD describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileInfo {
    /// Whether it is a folder.
    pub is_folder: bool,
    /// Bytes; 0 for folders.
    pub size: u64,
    /// Unix seconds.
    pub modified_unix: Option<u64>,
    /// Hexadecimal, for files.
    pub content_md5: Option<String>,
    /// Media type, for files.
    pub content_type: Option<String>,
    /// User metadata, names without prefix.
    pub meta: BTreeMap<String, String>,
}

/// How to delete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Delete {
    /// Gone when the answer arrives; Upyun limits the rate (429).
    #[default]
    Now,
    /// Gone some time later, without a rate limit.
    Later,
}

/// What to do with user metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetadataChange {
    /// Add, or overwrite those named.
    Merge,
    /// Drop all others.
    Replace,
    /// Remove those named.
    Delete,
}

/// Options of a copy or move.
#[derive(Debug, Clone, Default)]
pub struct CopyOptions {
    /// `X-Upyun-Metadata-Directive`; `copy` is the one value that a source shows, others are *unverified*.
    pub metadata_directive: Option<String>,
}

/// A file that is being read.
#[derive(Debug)]
pub struct Download {
    /// Its media type, MD5 and metadata.
    pub info: FileInfo,
    response: Response,
    operation: String,
    client: Client,
}

impl Download {
    /// The content, piece by piece.
    pub fn into_stream(self) -> impl Stream<Item = Result<Bytes, Error>> + Send {
        let Self { response, operation, client, .. } = self;
        response.bytes_stream().map_err(move |source| client.transport(&operation, source)).boxed()
    }

    /// The whole content.
    ///
    /// # Errors
    /// When it is longer than `limit` bytes or the connection breaks.
    pub async fn bytes(self, limit: usize) -> Result<Vec<u8>, Error> {
        self.client.whole(&self.operation, self.response, limit).await
    }
}

fn file<'k>(key: &'k str, operation: &'static str) -> Result<&'k str, KeyError> {
    let bare = key.strip_prefix('/').unwrap_or(key);
    if bare.is_empty() { Err(KeyError::Root { operation }) } else { Ok(key) }
}

pub(super) fn meta_headers(headers: &mut HeaderMap, meta: &BTreeMap<String, String>) -> Result<(), Error> {
    meta.iter().try_for_each(|(name, value)| put_header(headers, &format!("{META}{name}"), value))
}

fn info(headers: &HeaderMap) -> FileInfo {
    let text = |name: &str| text_header(headers, name).map(str::to_owned);
    let meta = headers.iter().filter_map(|(name, value)| {
        let name = name.as_str().strip_prefix(META)?;
        Some((name.to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
    });
    FileInfo {
        is_folder: text_header(headers, "x-upyun-file-type") == Some("folder"),
        size: number_header(headers, "x-upyun-file-size")
            .or_else(|| number_header(headers, "content-length"))
            .unwrap_or(0),
        modified_unix: number_header(headers, "x-upyun-file-date"),
        content_md5: text("content-md5"),
        content_type: text("content-type"),
        meta: meta.collect(),
    }
}

impl Client {
    /// Stores a file; folders on the way are made.
    ///
    /// # Errors
    /// See [`Error`]; 40100017 without the right to write, 40300007 when the MD5 does not fit.
    pub async fn put(
        &self,
        key: &str,
        body: impl Into<Body>,
        options: &PutOptions,
    ) -> Result<PutOutcome, Error> {
        let mut call = Call::new(Method::PUT, file(key, "an upload")?);
        let pairs = [
            ("content-type", &options.content_type),
            ("content-md5", &options.content_md5),
            ("content-secret", &options.content_secret),
            ("x-gmkerl-thumb", &options.thumb),
        ];
        for (name, value) in pairs {
            if let Some(value) = value {
                call.header(name, value)?;
            }
        }
        meta_headers(&mut call.headers, &options.meta)?;
        call.body = Some(body.into());
        let response = self.call(call).await?;
        let headers = response.headers();
        Ok(PutOutcome {
            width: number_header(headers, "x-upyun-width"),
            height: number_header(headers, "x-upyun-height"),
            frames: number_header(headers, "x-upyun-frames"),
            image_type: text_header(headers, "x-upyun-file-type").map(str::to_owned),
        })
    }

    /// Starts to read a file.
    ///
    /// # Errors
    /// See [`Error`]; `is_not_found` when it is missing.
    pub async fn get(&self, key: &str) -> Result<Download, Error> {
        let response = self.call(Call::new(Method::GET, file(key, "a download")?)).await?;
        let info = info(response.headers());
        Ok(Download { info, response, operation: format!("GET {key}"), client: self.clone() })
    }

    /// Starts to read a part of a file: the bytes from `first` to `last`, both counted from 0 and both read, or to the
    /// end. `info.size` is then the size of the part.
    ///
    /// # Errors
    /// As [`Client::get`]; an [`Error::Answer`] when Upyun gives the whole file instead of the part.
    pub async fn get_range(&self, key: &str, first: u64, last: Option<u64>) -> Result<Download, Error> {
        let mut call = Call::new(Method::GET, file(key, "a download")?);
        let last = last.map(|last| last.to_string()).unwrap_or_default();
        call.header("range", &format!("bytes={first}-{last}"))?;
        let response = self.call(call).await?;
        let operation = format!("GET {key} from {first}");
        if response.status() != StatusCode::PARTIAL_CONTENT {
            return Err(unexpected(operation, response.status(), "206"));
        }
        let size = number_header(response.headers(), "content-length").unwrap_or(0);
        let info = FileInfo { size, ..info(response.headers()) };
        Ok(Download { info, response, operation, client: self.clone() })
    }

    /// What is known about a file or folder; the root is a folder.
    ///
    /// # Errors
    /// See [`Error`]; `is_not_found` when it is missing.
    pub async fn head(&self, key: &str) -> Result<FileInfo, Error> {
        Ok(info(self.call(Call::new(Method::HEAD, key)).await?.headers()))
    }

    /// Deletes a file or an empty folder.
    ///
    /// # Errors
    /// See [`Error`]; `is_not_found` when it is missing, 40300005 for a folder that is not empty.
    pub async fn delete(&self, key: &str, how: Delete) -> Result<(), Error> {
        let mut call = Call::new(Method::DELETE, file(key, "a deletion")?);
        if how == Delete::Later {
            call.header("x-upyun-async", "true")?;
        }
        self.call(call).await.map(drop)
    }

    /// Makes a folder. A folder that exists already is fine: the SDKs' tests rely on it, although 40600002 is
    /// documented for it.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn create_folder(&self, key: &str) -> Result<(), Error> {
        let mut call = Call::new(Method::POST, file(key, "a new folder")?);
        call.header("folder", "true")?;
        call.body = Some(Body::from(Bytes::new()));
        match self.call(call).await {
            Err(Error::Api(error)) if error.code == Some(crate::ErrorCode::FOLDER_EXISTS) => Ok(()),
            other => other.map(drop),
        }
    }

    /// Bytes stored in the bucket.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn usage(&self) -> Result<u64, Error> {
        let mut call = Call::new(Method::GET, "/");
        call.query = "?usage";
        let response = self.call(call).await?;
        let text = self.text("usage", response).await?;
        let parsed = text.trim().parse();
        parsed.map_err(|_| Error::Answer {
            operation: "usage".into(),
            why: format!("{text:?} is not a number"),
        })
    }

    /// Changes user metadata; `touch` updates the time of the last change too.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn update_metadata(
        &self,
        key: &str,
        change: MetadataChange,
        meta: &BTreeMap<String, String>,
        touch: bool,
    ) -> Result<(), Error> {
        let verb = match change {
            MetadataChange::Merge => "merge",
            MetadataChange::Replace => "replace",
            MetadataChange::Delete => "delete",
        };
        let query = format!("?metadata={verb}{}", if touch { "&update_last_modified=true" } else { "" });
        let mut call = Call::new(Method::PATCH, file(key, "a metadata change")?);
        call.query = &query;
        call.body = Some(Body::from(Bytes::new()));
        meta_headers(&mut call.headers, meta)?;
        self.call(call).await.map(drop)
    }

    /// Copies a file within the bucket.
    ///
    /// # Errors
    /// See [`Error`]; `is_not_found` when the source is missing.
    pub async fn copy(&self, from: &str, to: &str, options: &CopyOptions) -> Result<(), Error> {
        self.transfer("x-upyun-copy-source", from, to, options).await
    }

    /// Moves a file within the bucket.
    ///
    /// # Errors
    /// See [`Error`]; `is_not_found` when the source is missing.
    pub async fn rename(&self, from: &str, to: &str, options: &CopyOptions) -> Result<(), Error> {
        self.transfer("x-upyun-move-source", from, to, options).await
    }

    async fn transfer(
        &self,
        header: &'static str,
        from: &str,
        to: &str,
        options: &CopyOptions,
    ) -> Result<(), Error> {
        let from = file(from, "a copy")?;
        let mut call = Call::new(Method::PUT, file(to, "a copy")?);
        // Percent-encoded as the Go SDK does: raw UTF-8 in a header does not survive every proxy.
        let source = format!("/{}/{}", self.bucket(), encode_path(from.strip_prefix('/').unwrap_or(from)));
        call.header(header, &source)?;
        if let Some(directive) = &options.metadata_directive {
            call.header("x-upyun-metadata-directive", directive)?;
        }
        call.body = Some(Body::from(Bytes::new()));
        let response = self.call(call).await?;
        match response.status() {
            StatusCode::OK | StatusCode::CREATED | StatusCode::NO_CONTENT => Ok(()),
            other => Err(unexpected(format!("PUT {to} from {from}"), other, "200, 201 or 204")),
        }
    }
}
