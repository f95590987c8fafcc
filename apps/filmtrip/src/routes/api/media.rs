//! Image bytes: variants for those who may see the photo, originals for those who may edit it.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::photos::find;
use super::{Api, MaybeSession, Session, Shared};
use crate::db::photos::{self, PhotoRow, Variants};
use crate::error::ApiError;
use crate::images::{VARIANTS, media_type};
use crate::model::Visibility;
use crate::storage::{Backend, Content, ObjectError, names};
use crate::templates::parts::enc;

/// A name that is only a name, whatever a client has sent: no folder, nothing that turns the text around.
pub(super) fn file_name(name: Option<&str>) -> Option<String> {
    let odd = |c: &char| {
        c.is_control()
            || matches!(c, '/' | '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|')
            || matches!(c, '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
    };
    let last = name?.rsplit(['/', '\\']).next()?;
    let name: String = last.chars().filter(|c| !odd(c)).take(200).collect();
    let name = name.trim().trim_start_matches('.').to_owned();
    (!name.is_empty()).then_some(name)
}

/// The header of a file that is to be kept under a name, for browsers of all ages.
pub(super) fn attachment(name: &str) -> String {
    let plain: String =
        name.chars().map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '_' }).collect();
    format!("attachment; filename=\"{}\"; filename*=UTF-8''{}", plain.replace(['"', '\\'], "_"), enc(name))
}

pub(super) fn protect(response: &mut Response, disposition: &str) -> Result<(), ApiError> {
    let headers = response.headers_mut();
    // An image opened on its own runs nothing and loads nothing, whatever is in it.
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; sandbox"));
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("cross-origin"));
    let disposition = HeaderValue::from_str(disposition).map_err(|e| ApiError::Internal(e.to_string()))?;
    headers.insert(header::CONTENT_DISPOSITION, disposition);
    Ok(())
}

/// `GET /media/{key}/{size}.jpg` and `.webp`.
pub(super) async fn variant(
    State(api): Shared,
    session: MaybeSession,
    Path((key, file)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let (name, kind) = file.split_once('.').unwrap_or_default();
    let index = VARIANTS.iter().position(|(known, _)| *known == name).ok_or(ApiError::NotFound)?;
    let row = find(&api, &key, session.viewer()).await?;
    let webp = match kind {
        "jpg" => false,
        "webp" if row.webp => true,
        _ => return Err(ApiError::NotFound),
    };
    let tag = format!("\"{key}-{name}-{kind}\"");
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
        let media_type = if webp { "image/webp" } else { "image/jpeg" };
        send(size(&api, &row, index, &file, webp).await?, media_type)
    };
    protect(&mut response, "inline")?;
    let tag = HeaderValue::from_str(&tag).map_err(|e| ApiError::Internal(e.to_string()))?;
    response.headers_mut().insert(header::ETAG, tag);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    Ok(response)
}

async fn size(api: &Api, row: &PhotoRow, index: usize, file: &str, webp: bool) -> Result<Content, ApiError> {
    let lost =
        |e: ObjectError| ApiError::Internal(format!("{file} of photo {} cannot be read: {e}", row.key));
    match row.variants {
        Variants::Stored(backend) => {
            api.storage.read(backend, &names::variant(&row.key, file)).await.map_err(lost)
        }
        // The domain may be shut to all but its own pages, so even what is private comes by way of the CDN.
        Variants::Style => match &api.storage.upyun {
            Some(upyun) => upyun.read_style(&row.object, index, webp).await.map_err(lost),
            None => Err(lost(ObjectError::NotConfigured(Backend::Upyun))),
        },
    }
}

fn send(content: Content, media_type: &'static str) -> Response {
    let mut response = Body::from_stream(content.stream).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(content.bytes));
    response
}

/// `GET /api/photos/{key}/original`: for the owner and admins only, whatever the visibility.
pub(super) async fn original(
    State(api): Shared,
    session: Session,
    Path(key): Path<String>,
) -> Result<Response, ApiError> {
    let viewer = session.viewer();
    let row = find(&api, &key, viewer).await?;
    if !viewer.may_edit(row.owner_id) {
        return Err(ApiError::Forbidden);
    }
    let lost = |e: ObjectError| ApiError::Internal(format!("original of photo {key} cannot be read: {e}"));
    let content = api.storage.read(row.backend, &row.object).await.map_err(lost)?;
    let mut response = send(content, media_type(&row.format));
    let id = row.id;
    let name = api.db.call(move |sql| Ok(photos::file_names(sql, &[id])?.remove(&id))).await?;
    let name = file_name(name.as_deref()).unwrap_or_else(|| format!("{key}.{}", row.format));
    protect(&mut response, &attachment(&name))?;
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_a_client_calls_its_file_it_is_one_name() {
        assert_eq!(file_name(Some("R012_07.tif")).as_deref(), Some("R012_07.tif"));
        assert_eq!(file_name(Some("C:\\scans\\a\u{202E}b.jpg")).as_deref(), Some("ab.jpg"));
        assert_eq!(file_name(Some("../../etc/..passwd\"")).as_deref(), Some("passwd"));
        assert_eq!((file_name(Some("..")), file_name(Some("a/")), file_name(None)), (None, None, None));
        assert_eq!(
            attachment("京都 1.jpg"),
            "attachment; filename=\"__ 1.jpg\"; filename*=UTF-8''%E4%BA%AC%E9%83%BD%201.jpg"
        );
    }
}
