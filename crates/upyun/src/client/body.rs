//! What is uploaded: bytes, or a stream whose length is known.
use bytes::Bytes;
use futures_util::Stream;

/// The content of a file. Upyun requires `Content-Length`, so a stream comes with its length.
pub struct Body {
    inner: reqwest::Body,
    length: u64,
}

impl Body {
    /// A stream of exactly `length` bytes.
    pub fn stream<S, B, E>(stream: S, length: u64) -> Self
    where
        S: Stream<Item = Result<B, E>> + Send + 'static,
        B: Into<Bytes> + 'static,
        Bytes: From<B>,
        E: Into<Box<dyn std::error::Error + Send + Sync>> + 'static,
    {
        Self { inner: reqwest::Body::wrap_stream(stream), length }
    }

    /// Its length in bytes.
    pub fn length(&self) -> u64 {
        self.length
    }

    pub(super) fn attach(self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        request.header(reqwest::header::CONTENT_LENGTH, self.length).body(self.inner)
    }
}

impl<T: Into<Bytes>> From<T> for Body {
    fn from(bytes: T) -> Self {
        let bytes = bytes.into();
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        Self { inner: reqwest::Body::from(bytes), length }
    }
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Body({} bytes)", self.length)
    }
}
