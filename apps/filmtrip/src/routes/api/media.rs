//! Image bytes: variants for those who may see the photo, originals for those who may edit it.

use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tokio::fs::File;
use tokio::io::AsyncReadExt;

use super::photos::find;
use super::{MaybeSession, Session, Shared};
use crate::error::ApiError;
use crate::images::{VARIANTS, media_type};
use crate::model::Visibility;

const CHUNK: usize = 128 * 1024;

fn protect(response: &mut Response, disposition: &str) -> Result<(), ApiError> {
    let headers = response.headers_mut();
    // An image opened on its own runs nothing and loads nothing, whatever is in it.
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; sandbox"));
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("cross-origin"));
    let disposition = HeaderValue::from_str(disposition).map_err(|e| ApiError::Internal(e.to_string()))?;
    headers.insert(header::CONTENT_DISPOSITION, disposition);
    Ok(())
}

/// `GET /media/{key}/{size}.jpg`.
pub(super) async fn variant(
    State(api): Shared,
    session: MaybeSession,
    Path((key, file)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let name = file.strip_suffix(".jpg").unwrap_or_default();
    if !VARIANTS.iter().any(|(known, _)| *known == name) {
        return Err(ApiError::NotFound);
    }
    let row = find(&api, &key, session.viewer()).await?;
    let tag = format!("\"{key}-{name}\"");
    let cache = if row.visibility == Visibility::Private {
        "private, no-store"
    } else {
        // Not for ever: an owner may make a photo private or delete it.
        "public, max-age=86400"
    };
    let known = headers.get(header::IF_NONE_MATCH).and_then(|v| v.to_str().ok());
    let mut response = if known.is_some_and(|tags| tags.split(',').any(|t| t.trim() == tag)) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let path = api.storage.variant(&key, name);
        let bytes = tokio::fs::read(&path)
            .await
            .map_err(|e| ApiError::Internal(format!("{name} of photo {key} cannot be read: {e}")))?;
        ([(header::CONTENT_TYPE, "image/jpeg")], bytes).into_response()
    };
    protect(&mut response, "inline")?;
    let tag = HeaderValue::from_str(&tag).map_err(|e| ApiError::Internal(e.to_string()))?;
    response.headers_mut().insert(header::ETAG, tag);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    Ok(response)
}

/// `GET /api/photos/{key}/original`: for the owner and admins only, whatever the visibility.
pub(super) async fn original(
    State(api): Shared,
    session: Session,
    Path(key): Path<String>,
) -> Result<Response, ApiError> {
    let viewer = session.viewer();
    let row = find(&api, &key, viewer).await?;
    if !viewer.may_edit(&row) {
        return Err(ApiError::Forbidden);
    }
    let path = api.storage.original(&row.original_key, &row.format);
    let file = File::open(&path)
        .await
        .map_err(|e| ApiError::Internal(format!("original of photo {key} cannot be read: {e}")))?;
    let length = file.metadata().await?.len();
    let chunks = futures_util::stream::try_unfold(file, |mut file| async move {
        let mut chunk = vec![0; CHUNK];
        let read = file.read(&mut chunk).await?;
        chunk.truncate(read);
        Ok::<_, std::io::Error>((read > 0).then(|| (Bytes::from(chunk), file)))
    });
    let mut response = Body::from_stream(chunks).into_response();
    protect(&mut response, &format!("attachment; filename=\"{key}.{}\"", row.format))?;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type(&row.format)));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    Ok(response)
}
