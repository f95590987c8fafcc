//! The REST client: one request per call, signed, to the endpoint it was given.
//!
//! It must not retry or cache: whoever calls knows what may be repeated.
mod body;
mod form;
mod list;
mod objects;
mod resumable;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Response, StatusCode};

pub use body::Body;
pub use list::{Entry, EntryKind, ListOptions, ListPage, Order};
pub use objects::{CopyOptions, Delete, Download, FileInfo, MetadataChange, PutOptions, PutOutcome};
pub use resumable::{MultiUpload, PartOutcome, ResumableOptions};

use crate::credentials::Operator;
use crate::date::format_date;
use crate::error::ApiError;
use crate::key::{KeyError, resource_path};
use crate::sign::ToSign;
use crate::{DEFAULT_ENDPOINT, DEFAULT_PURGE_ENDPOINT};

/// A refusal's body is read up to this many bytes.
const MAX_ERROR_BODY_BYTES: usize = 64 * 1024;
/// An answer that is read whole is refused above this many bytes (a list of 10,000 names fits many times).
const MAX_ANSWER_BYTES: usize = 64 * 1024 * 1024;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Upyun answered, and refused.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// Nothing was sent: the bucket or key cannot be requested.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The request did not get through, or the answer broke off. The outcome of a write is then unknown.
    #[error("{operation} at {endpoint} failed: {source}")]
    Transport {
        /// What was asked.
        operation: String,
        /// Where.
        endpoint: String,
        /// Why.
        source: reqwest::Error,
    },
    /// The answer was a success but not what is documented.
    #[error("{operation} got an answer that is not understood: {why}")]
    Answer {
        /// What was asked.
        operation: String,
        /// What is wrong with it.
        why: String,
    },
    /// An option that cannot be sent.
    #[error("{what} cannot be used: {why}")]
    Invalid {
        /// Which option.
        what: String,
        /// Why.
        why: String,
    },
    /// Reading what should be uploaded failed.
    #[error("reading the data to upload failed: {0}")]
    Source(#[from] std::io::Error),
}

impl Error {
    /// The refusal, if it is one.
    pub fn api(&self) -> Option<&ApiError> {
        match self {
            Self::Api(error) => Some(error),
            _ => None,
        }
    }

    /// Whether the file or folder is missing.
    pub fn is_not_found(&self) -> bool {
        self.api().is_some_and(ApiError::is_not_found)
    }

    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Api(error) => error.is_retryable(),
            Self::Transport { .. } => true,
            _ => false,
        }
    }
}

type Clock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

struct Inner {
    http: reqwest::Client,
    endpoint: String,
    purge_endpoint: String,
    bucket: String,
    operator: Operator,
    clock: Clock,
}

/// A client for one bucket and one operator. Cloning is cheap.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("endpoint", &self.0.endpoint)
            .field("bucket", &self.0.bucket)
            .field("operator", &self.0.operator)
            .finish_non_exhaustive()
    }
}

/// Settings of a [`Client`].
#[must_use = "call build()"]
pub struct ClientBuilder {
    bucket: String,
    operator: Operator,
    endpoint: String,
    purge_endpoint: String,
    http: Option<reqwest::Client>,
    connect_timeout: Duration,
    read_timeout: Duration,
    clock: Clock,
}

impl ClientBuilder {
    /// REST and form API at another endpoint, as `scheme://host[:port]`. The default is [`DEFAULT_ENDPOINT`].
    pub fn endpoint(mut self, endpoint: impl Into<String>) -> Self {
        self.endpoint = endpoint.into();
        self
    }

    /// Purge API at another endpoint. The default is [`DEFAULT_PURGE_ENDPOINT`].
    pub fn purge_endpoint(mut self, endpoint: impl Into<String>) -> Self {
        self.purge_endpoint = endpoint.into();
        self
    }

    /// An HTTP client of your own. The time-outs below are then ignored.
    pub fn http_client(mut self, http: reqwest::Client) -> Self {
        self.http = Some(http);
        self
    }

    /// Longest time to connect; 10 s by default.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Longest pause between two pieces of an answer; 60 s by default. Whole transfers are not limited.
    pub fn read_timeout(mut self, timeout: Duration) -> Self {
        self.read_timeout = timeout;
        self
    }

    /// Another clock for the signed dates: for tests, and for machines that know their clock's offset.
    pub fn clock(mut self, clock: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Makes the client. Nothing is sent.
    ///
    /// # Errors
    /// When an endpoint is not `scheme://host[:port]`, the bucket's name is not plain, or TLS cannot be set up.
    pub fn build(self) -> Result<Client, Error> {
        resource_path(&self.bucket, "")?;
        let http = match self.http {
            Some(http) => http,
            None => default_http(self.connect_timeout, self.read_timeout)?,
        };
        Ok(Client(Arc::new(Inner {
            http,
            endpoint: endpoint(self.endpoint)?,
            purge_endpoint: endpoint(self.purge_endpoint)?,
            bucket: self.bucket,
            operator: self.operator,
            clock: self.clock,
        })))
    }
}

fn endpoint(text: String) -> Result<String, Error> {
    let bare = text.trim_end_matches('/');
    let host = bare.strip_prefix("http://").or_else(|| bare.strip_prefix("https://"));
    // A path in the endpoint would be sent but not signed.
    let good = host.is_some_and(|host| !host.is_empty() && !host.contains(['/', '?', '#', '@', ' ']));
    if !good {
        let why = "it has to be http:// or https:// and a host, without path or query".to_owned();
        return Err(Error::Invalid { what: format!("the endpoint {text:?}"), why });
    }
    Ok(bare.to_owned())
}

fn default_http(connect: Duration, read: Duration) -> Result<reqwest::Client, Error> {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // A race with another installer is harmless: either one serves.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
    reqwest::Client::builder()
        .connect_timeout(connect)
        .read_timeout(read)
        // The form API answers 302 to return-url, which the caller may want to see.
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .map_err(|error| Error::Invalid { what: "the HTTP client".into(), why: error.to_string() })
}

/// One request before it is signed.
struct Call<'a> {
    method: Method,
    key: &'a str,
    query: &'a str,
    headers: HeaderMap,
    body: Option<Body>,
}

impl<'a> Call<'a> {
    fn new(method: Method, key: &'a str) -> Self {
        Self { method, key, query: "", headers: HeaderMap::new(), body: None }
    }

    fn header(&mut self, name: &'static str, value: &str) -> Result<(), Error> {
        put_header(&mut self.headers, name, value)
    }
}

fn put_header(headers: &mut HeaderMap, name: &str, value: &str) -> Result<(), Error> {
    let invalid = |why: &str| Error::Invalid { what: format!("the header {name:?}"), why: why.to_owned() };
    let key =
        HeaderName::from_bytes(name.as_bytes()).map_err(|_| invalid("its name has forbidden characters"))?;
    if value.chars().any(|c| c.is_control()) {
        return Err(invalid("its value has control characters"));
    }
    let value = HeaderValue::from_bytes(value.as_bytes()).map_err(|_| invalid("its value cannot be sent"))?;
    headers.insert(key, value);
    Ok(())
}

impl Client {
    /// Starts a client for one bucket (newer documents say service).
    pub fn builder(bucket: impl Into<String>, operator: Operator) -> ClientBuilder {
        ClientBuilder {
            bucket: bucket.into(),
            operator,
            endpoint: DEFAULT_ENDPOINT.into(),
            purge_endpoint: DEFAULT_PURGE_ENDPOINT.into(),
            http: None,
            connect_timeout: Duration::from_secs(10),
            read_timeout: Duration::from_secs(60),
            clock: Arc::new(SystemTime::now),
        }
    }

    /// The bucket.
    pub fn bucket(&self) -> &str {
        &self.0.bucket
    }

    /// The endpoint, without a slash at its end.
    pub fn endpoint(&self) -> &str {
        &self.0.endpoint
    }

    fn inner(&self) -> &Inner {
        &self.0
    }

    /// Signs, sends, and turns refusals into errors.
    async fn call(&self, call: Call<'_>) -> Result<Response, Error> {
        let inner = self.inner();
        let path = resource_path(&inner.bucket, call.key)?;
        // The query is signed along, as the Node, Python and Go SDKs do.
        let uri = format!("{path}{}", call.query);
        let date = format_date((inner.clock)());
        let md5 = call.headers.get("content-md5").and_then(|value| value.to_str().ok()).map(str::to_owned);
        let what = ToSign {
            date: Some(&date),
            content_md5: md5.as_deref(),
            ..ToSign::new(call.method.as_str(), &uri)
        };
        let mut headers = call.headers;
        put_header(&mut headers, "authorization", &inner.operator.authorization(&what))?;
        put_header(&mut headers, "date", &date)?;
        let operation = format!("{} {uri}", call.method);
        let mut request =
            inner.http.request(call.method, format!("{}{uri}", inner.endpoint)).headers(headers);
        if let Some(body) = call.body {
            request = body.attach(request);
        }
        self.send(operation, request).await
    }

    async fn send(&self, operation: String, request: reqwest::RequestBuilder) -> Result<Response, Error> {
        let response = match request.send().await {
            Ok(response) => response,
            Err(source) => return Err(self.transport(&operation, source)),
        };
        if response.status().is_success() {
            return Ok(response);
        }
        Err(refusal(operation, response).await)
    }

    fn transport(&self, operation: &str, source: reqwest::Error) -> Error {
        // The URL is in `operation` already; reqwest would repeat it.
        let source = source.without_url();
        Error::Transport { operation: operation.to_owned(), endpoint: self.0.endpoint.clone(), source }
    }

    async fn whole(&self, operation: &str, response: Response, limit: usize) -> Result<Vec<u8>, Error> {
        let mut response = response;
        let mut whole = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(|source| self.transport(operation, source))? {
            if whole.len() + piece.len() > limit {
                let why = format!("it is longer than {limit} bytes");
                return Err(Error::Answer { operation: operation.to_owned(), why });
            }
            whole.extend_from_slice(&piece);
        }
        Ok(whole)
    }

    async fn text(&self, operation: &str, response: Response) -> Result<String, Error> {
        let whole = self.whole(operation, response, MAX_ANSWER_BYTES).await?;
        String::from_utf8(whole)
            .map_err(|_| Error::Answer { operation: operation.to_owned(), why: "it is not UTF-8".into() })
    }
}

async fn refusal(operation: String, mut response: Response) -> Error {
    let status = response.status();
    let header = |name: &str| response.headers().get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
    let (code, request_id) = (header("x-error-code"), header("x-request-id"));
    let mut body = Vec::new();
    // A refusal whose body breaks off is still a refusal: the status says so.
    while let Ok(Some(piece)) = response.chunk().await {
        let room = MAX_ERROR_BODY_BYTES.saturating_sub(body.len());
        body.extend_from_slice(piece.get(..room).unwrap_or(&piece));
        if body.len() >= MAX_ERROR_BODY_BYTES {
            break;
        }
    }
    ApiError::read(operation, status.as_u16(), code.as_deref(), request_id.as_deref(), &body).into()
}

fn text_header<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn number_header<T: std::str::FromStr>(headers: &HeaderMap, name: &str) -> Option<T> {
    text_header(headers, name)?.trim().parse().ok()
}

/// Successful but not the documented status.
fn unexpected(operation: String, status: StatusCode, wanted: &str) -> Error {
    Error::Answer { operation, why: format!("its status is {status}, not {wanted}") }
}
