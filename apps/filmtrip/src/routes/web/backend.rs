//! The API as the pages see it: in the same process or over HTTP, by the same requests.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::ConnectInfo;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tower::ServiceExt;

use crate::error::ApiError;
use crate::model::{ErrorBody, ErrorDetail};

const CONNECT: Duration = Duration::from_secs(2);
/// Longest wait for the API's answer to begin; image processing of a batch takes long.
const ANSWER: Duration = Duration::from_secs(120);
/// The same for a request that carries files: its sending counts too, and a roll of scans over a slow line takes long.
const UPLOAD: Duration = Duration::from_secs(3600);
const MAX_JSON: usize = 4 * 1024 * 1024;

/// Where the API is.
#[derive(Clone)]
pub enum Backend {
    /// In this process.
    Local(Router),
    /// Behind an `http://host:port` origin.
    Remote(Box<Client<HttpConnector, Body>>, String),
}

/// On whose behalf the API is asked.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The other end of the browser's connection.
    pub peer: SocketAddr,
    /// The request's headers.
    pub headers: HeaderMap,
}

/// The API said no, or could not be asked.
#[derive(Debug, Clone)]
pub struct Failure {
    /// Its status.
    pub status: StatusCode,
    /// Its stable code.
    pub code: String,
    /// Its message.
    pub message: String,
    /// The field that is wrong, where it is one.
    pub field: Option<String>,
}

impl From<(StatusCode, ErrorDetail)> for Failure {
    fn from((status, error): (StatusCode, ErrorDetail)) -> Self {
        Self { status, code: error.code, message: error.message, field: error.field }
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        if let ApiError::Upstream(e) = &error {
            tracing::error!("api not reachable: {e}");
        }
        let (status, code) = error.parts();
        let field = error.field().map(str::to_owned);
        Self { status, code: code.to_owned(), message: error.to_string(), field }
    }
}

impl Backend {
    /// A backend over HTTP at an origin such as `http://127.0.0.1:3001`.
    #[must_use]
    pub fn remote(origin: &str) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT));
        connector.set_nodelay(true);
        let client =
            Client::builder(TokioExecutor::new()).pool_idle_timeout(Duration::from_secs(20)).build(connector);
        Self::Remote(Box::new(client), origin.to_owned())
    }

    /// Sends a request, body and answer streaming. The path and query of its URI count.
    ///
    /// # Errors
    /// [`ApiError::Upstream`] when the API cannot be reached or does not answer.
    pub async fn send(&self, peer: SocketAddr, mut request: Request<Body>) -> Result<Response, ApiError> {
        match self {
            Self::Local(router) => {
                request.extensions_mut().insert(ConnectInfo(peer));
                router.clone().oneshot(request).await.map_err(|never| match never {})
            }
            Self::Remote(client, origin) => {
                let upstream = |e: String| ApiError::Upstream(format!("FILMTRIP_API_URL {origin}: {e}"));
                let path = request.uri().path_and_query().map_or("/", |p| p.as_str());
                let uri: Uri = format!("{origin}{path}").parse().map_err(|e| upstream(format!("{e}")))?;
                *request.uri_mut() = uri;
                strip_hop_by_hop(request.headers_mut());
                let peer = HeaderValue::from_str(&peer.ip().to_canonical().to_string());
                request.headers_mut().append("x-forwarded-for", peer.map_err(|e| upstream(e.to_string()))?);
                let form = request.headers().get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok());
                let files = form.is_some_and(|kind| kind.starts_with("multipart/"));
                let limit = if files { UPLOAD } else { ANSWER };
                let answer = tokio::time::timeout(limit, client.request(request)).await;
                let response = answer
                    .map_err(|_| upstream(format!("no answer within {} s", limit.as_secs())))?
                    .map_err(|e| upstream(e.to_string()))?;
                let mut response = response.map(Body::new).into_response();
                strip_hop_by_hop(response.headers_mut());
                Ok(response)
            }
        }
    }

    /// Asks for JSON on behalf of a caller: their cookie goes along, nothing else of the browser's.
    ///
    /// # Errors
    /// What the API refused, or that it could not be asked.
    pub async fn ask<T: DeserializeOwned>(&self, caller: &Caller, path: &str) -> Result<T, Failure> {
        let response = self.call(caller, Method::GET, path, None, None::<&()>).await?;
        json(response).await
    }

    /// Makes a change on behalf of a caller, with their CSRF token.
    ///
    /// # Errors
    /// As [`Backend::ask`].
    pub async fn call(
        &self,
        caller: &Caller,
        method: Method,
        path: &str,
        csrf: Option<&str>,
        body: Option<&impl Serialize>,
    ) -> Result<Response, Failure> {
        let internal = |e: String| Failure::from(ApiError::Internal(e));
        let bytes = match body {
            Some(value) => serde_json::to_vec(value).map_err(|e| internal(e.to_string()))?,
            None => Vec::new(),
        };
        let mut request = Request::builder().method(method).uri(path);
        request = request.header(header::CONTENT_TYPE, "application/json");
        if let Some(token) = csrf {
            request = request.header("x-csrf-token", token);
        }
        let mut request = request.body(Body::from(bytes)).map_err(|e| internal(e.to_string()))?;
        copy(&caller.headers, request.headers_mut(), &[header::COOKIE, forwarded()]);
        let response = self.send(caller.peer, request).await?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let body = to_bytes(response.into_body(), MAX_JSON).await.unwrap_or_default();
        Err(match serde_json::from_slice::<ErrorBody>(&body) {
            Ok(e) => (status, e.error).into(),
            Err(_) => Failure {
                status,
                code: "upstream".to_owned(),
                message: format!("status {status}"),
                field: None,
            },
        })
    }
}

/// The JSON of a successful answer.
///
/// # Errors
/// It cannot be read.
pub async fn json<T: DeserializeOwned>(response: Response) -> Result<T, Failure> {
    let upstream = |e: String| Failure::from(ApiError::Upstream(e));
    let body = to_bytes(response.into_body(), MAX_JSON).await.map_err(|e| upstream(e.to_string()))?;
    serde_json::from_slice(&body).map_err(|e| upstream(format!("unexpected answer: {e}")))
}

/// The name of the header that tells the client's address.
pub(super) fn forwarded() -> HeaderName {
    HeaderName::from_static("x-forwarded-for")
}

/// Copies the named headers, all values of each.
pub(super) fn copy(from: &HeaderMap, to: &mut HeaderMap, names: &[HeaderName]) {
    for name in names {
        for value in from.get_all(name) {
            to.append(name.clone(), value.clone());
        }
    }
}

fn strip_hop_by_hop(headers: &mut HeaderMap) {
    for name in [
        header::CONNECTION,
        header::TE,
        header::TRAILER,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
        HeaderName::from_static("keep-alive"),
    ] {
        headers.remove(name);
    }
}
