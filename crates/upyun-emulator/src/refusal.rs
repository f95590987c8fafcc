//! Answers that refuse: a code, a message, the documented JSON.
use axum::body::Body;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use rand::Rng as _;
use safelight_upyun::ErrorCode;
use serde_json::json;

/// A refusal of the API.
#[derive(Debug, Clone)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) code: u32,
    pub(crate) message: String,
    /// One more header, which is all that any refusal needs.
    pub(crate) header: Option<(&'static str, String)>,
}

impl Refusal {
    /// With the documented message of a code.
    pub(crate) fn new(code: ErrorCode) -> Self {
        Self::because(code, code.meaning().unwrap_or("refused"))
    }

    /// With other words; some clients compare them.
    pub(crate) fn because(code: ErrorCode, message: &str) -> Self {
        let status = code.http_status().and_then(|status| StatusCode::from_u16(status).ok());
        let status = status.unwrap_or(StatusCode::BAD_REQUEST);
        Self { status, code: code.0, message: message.to_owned(), header: None }
    }

    /// Something went wrong on purpose.
    pub(crate) fn outage(status: u16) -> Self {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
        let code = u32::from(status.as_u16()) * 100_000;
        Self { status, code, message: "unknown error".into(), header: None }
    }

    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Self {
        self.header = Some((name, value.to_owned()));
        self
    }
}

/// 32 hexadecimal digits.
pub(crate) fn random_hex() -> String {
    let mut rng = rand::rng();
    (0..32).map(|_| char::from(b"0123456789abcdef"[rng.random_range(0..16)])).collect()
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let id = random_hex();
        let body = json!({ "msg": self.message, "code": self.code, "id": id }).to_string();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        if let Some((name, value)) = self.header
            && let Ok(value) = HeaderValue::from_str(&value)
        {
            headers.insert(name, value);
        }
        headers.insert("content-type", HeaderValue::from_static("application/json"));
        headers.insert("x-error-code", HeaderValue::from(self.code));
        if let Ok(id) = HeaderValue::from_str(&id) {
            headers.insert("x-request-id", id);
        }
        response
    }
}

/// A refusal of the edge: the code is text there.
pub(crate) fn edge(status: u16, code: &str, message: &str) -> Response {
    let body = json!({ "code": code, "msg": message }).to_string();
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/json"));
    response
}
