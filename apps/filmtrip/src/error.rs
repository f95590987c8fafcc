//! The one error of the HTTP side: what the client is told, and what only the log is told.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::db::sql::DbError;
use crate::model::{ErrorBody, ErrorDetail};
use crate::storage::ObjectError;

/// A refusal or failure of a request. The code is part of the API; the message is for people.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The request makes no sense as it is.
    #[error("{0}")]
    BadRequest(String),
    /// A field of the request holds what it cannot: its name, and what is wrong with it.
    #[error("{1}")]
    BadField(&'static str, String),
    /// No session, or one that has expired.
    #[error("log in first")]
    Unauthenticated,
    /// Email or password are wrong; which of them is not said.
    #[error("email or password is wrong")]
    WrongLogin,
    /// The session may not do this.
    #[error("this account may not do that")]
    Forbidden,
    /// The request came from another site, or without the CSRF token.
    #[error("the request was not made from this site; reload the page and try again")]
    Csrf,
    /// There is no such thing, or this viewer may not know of it.
    #[error("not found")]
    NotFound,
    /// An admin has taken a photo from the public after a report.
    #[error("an admin has hidden the photo; only an admin can show it again")]
    Held,
    /// A photo was to go on a roll that is not its owner's, or not there.
    #[error("the roll is not there, or not of the photo's owner")]
    NoRoll,
    /// The same of an album.
    #[error("the album is not there, or not of the photo's owner")]
    NoAlbum,
    /// Above the size cap; the limit in bytes.
    #[error("the file is larger than {0} bytes")]
    TooLarge(u64),
    /// Not an image type that may be uploaded.
    #[error("only JPEG, PNG, WebP and TIFF images can be uploaded")]
    UnsupportedType,
    /// An image that is broken or over the pixel cap.
    #[error("{0}")]
    BadImage(String),
    /// Too many tries; seconds until the next one.
    #[error("too many attempts; try again in {0} seconds")]
    TooManyAttempts(u64),
    /// The service is at its limit.
    #[error("the service is busy; try again")]
    Busy,
    /// The database could not be reached or written in time.
    #[error("the database is not available; try again")]
    Database(#[source] DbError),
    /// An image whose decoding took too long or crashed.
    #[error("{0}")]
    Undecodable(String),
    /// The upload was given up meanwhile.
    #[error("the upload was given up")]
    GivenUp,
    /// Direct uploads are switched off.
    #[error("direct uploads are switched off; send the file to this service")]
    DirectDisabled,
    /// Nothing has arrived in the object store.
    #[error("the file has not arrived in the object store")]
    NotThere,
    /// The object store could not be asked.
    #[error("the object store is not available; try again")]
    Store(String),
    /// A notice that is not proved to be Upyun's.
    #[error("the notice is not accepted: {0}")]
    Unproved(String),
    /// A fault of ours: details go to the log only.
    #[error("internal error")]
    Internal(String),
    /// The web process could not reach the API.
    #[error("the API is not reachable; try again")]
    Upstream(String),
}

impl ApiError {
    /// What went wrong in all detail, for the log and the admins; never for a client.
    #[must_use]
    pub fn detail(&self) -> String {
        match self {
            Self::Database(e) => format!("database: {e}"),
            Self::Internal(e) | Self::Store(e) | Self::Upstream(e) => e.clone(),
            other => other.to_string(),
        }
    }

    /// The field of the request that is wrong, where it is one.
    #[must_use]
    pub fn field(&self) -> Option<&'static str> {
        match self {
            Self::BadField(field, _) => Some(field),
            Self::NoRoll => Some("roll"),
            Self::NoAlbum => Some("album"),
            _ => None,
        }
    }

    /// The status and the stable code of this error.
    #[must_use]
    pub fn parts(&self) -> (StatusCode, &'static str) {
        match self {
            Self::BadRequest(_) | Self::BadField(..) => (StatusCode::BAD_REQUEST, "bad_request"),
            Self::Unauthenticated => (StatusCode::UNAUTHORIZED, "unauthenticated"),
            Self::WrongLogin => (StatusCode::UNAUTHORIZED, "wrong_login"),
            Self::Forbidden => (StatusCode::FORBIDDEN, "forbidden"),
            Self::Csrf => (StatusCode::FORBIDDEN, "csrf"),
            Self::NotFound => (StatusCode::NOT_FOUND, "not_found"),
            Self::Held => (StatusCode::FORBIDDEN, "held"),
            Self::NoRoll => (StatusCode::UNPROCESSABLE_ENTITY, "no_roll"),
            Self::NoAlbum => (StatusCode::UNPROCESSABLE_ENTITY, "no_album"),
            Self::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
            Self::UnsupportedType => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_type"),
            Self::BadImage(_) => (StatusCode::UNPROCESSABLE_ENTITY, "bad_image"),
            Self::TooManyAttempts(_) => (StatusCode::TOO_MANY_REQUESTS, "too_many_attempts"),
            Self::Busy => (StatusCode::SERVICE_UNAVAILABLE, "busy"),
            Self::Database(_) => (StatusCode::SERVICE_UNAVAILABLE, "database"),
            Self::Undecodable(_) => (StatusCode::UNPROCESSABLE_ENTITY, "bad_image"),
            Self::GivenUp => (StatusCode::CONFLICT, "given_up"),
            Self::DirectDisabled => (StatusCode::CONFLICT, "direct_disabled"),
            Self::NotThere => (StatusCode::CONFLICT, "not_there"),
            Self::Store(_) => (StatusCode::SERVICE_UNAVAILABLE, "store"),
            Self::Unproved(_) => (StatusCode::FORBIDDEN, "unproved"),
            Self::Internal(_) => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
            Self::Upstream(_) => (StatusCode::BAD_GATEWAY, "upstream"),
        }
    }
}

impl From<ObjectError> for ApiError {
    fn from(error: ObjectError) -> Self {
        Self::Store(error.to_string())
    }
}

impl From<DbError> for ApiError {
    fn from(error: DbError) -> Self {
        Self::Database(error)
    }
}

impl From<std::io::Error> for ApiError {
    fn from(error: std::io::Error) -> Self {
        Self::Internal(format!("storage: {error}"))
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, code) = self.parts();
        match &self {
            Self::Database(e) => tracing::error!("database: {e}"),
            Self::Internal(e) => tracing::error!("internal: {e}"),
            Self::Store(e) => tracing::error!("object store: {e}"),
            Self::Upstream(e) => tracing::error!("api not reachable: {e}"),
            _ => {}
        }
        let field = self.field().map(str::to_owned);
        let body =
            ErrorBody { error: ErrorDetail { code: code.to_owned(), message: self.to_string(), field } };
        let mut response = (status, Json(body)).into_response();
        let retry = match self {
            Self::TooManyAttempts(seconds) => Some(seconds),
            Self::Busy | Self::Database(_) | Self::Store(_) => Some(1),
            _ => None,
        };
        if let Some(seconds) = retry {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}
