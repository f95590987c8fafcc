//! Upload: multipart, streamed to disk, checked before it is decoded, stored whole or not at all.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::multipart::{Field, MultipartError};
use axum::extract::{FromRequest, FromRequestParts, Multipart, Request, State};
use axum::http::StatusCode;
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;
use tokio::io::AsyncWriteExt;

use super::photos::{MAX_CAPTION, MAX_TITLE, check_length, to_json};
use super::session::csrf_header;
use super::{Api, Session, Shared};
use crate::auth::{origin, session};
use crate::db::photos::{self, NewPhoto, PhotoRow};
use crate::error::ApiError;
use crate::images::{self, Format, ImageError};
use crate::model::{Refused, Uploaded, Visibility};
use crate::storage::new_key;

/// How long a client may send nothing.
const STALL: Duration = Duration::from_secs(30);
/// How long an image may be decoded.
const PROCESSING: Duration = Duration::from_secs(60);
const MAX_FILES: usize = 100;
const MAX_TEXT: usize = 16 * 1024;

/// What the form says about the files after it.
#[derive(Debug, Clone, Default)]
struct About {
    title: String,
    caption: String,
    visibility: Visibility,
    roll: Option<String>,
}

/// `POST /api/photos`: one or several `file` parts. Text parts (`csrf_token` unless it is in the
/// header, `visibility`, `title`, `caption`, `roll`) count for the files after them.
pub(super) async fn upload(
    State(api): Shared,
    request: Request,
) -> Result<(StatusCode, Json<Uploaded>), ApiError> {
    let (mut parts, body) = request.into_parts();
    let session = Session::from_request_parts(&mut parts, &api).await?;
    if !origin::allowed(&parts.headers, api.config.public_origin.as_deref()) {
        return Err(ApiError::Csrf);
    }
    let proven = |token: &str| session::csrf_matches(&session.token, token);
    let mut allowed = csrf_header(&parts).is_some_and(proven);
    let request = Request::from_parts(parts, body);
    let mut form = Multipart::from_request(request, &())
        .await
        .map_err(|e| ApiError::BadRequest(format!("not a multipart form: {e}")))?;

    let mut about = About::default();
    let (mut stored, mut refused) = (Vec::new(), Vec::new());
    let mut first_error = None;
    let mut index = 0;
    while let Some(field) = stall(form.next_field()).await? {
        let name = field.name().unwrap_or_default().to_owned();
        if field.file_name().is_none() {
            let value = text(field).await?;
            match name.as_str() {
                "csrf_token" => allowed = allowed || proven(&value),
                "title" => about.title = value,
                "caption" => about.caption = value,
                "roll" => about.roll = Some(value).filter(|v| !v.is_empty()),
                "visibility" => {
                    about.visibility = Visibility::parse(&value).ok_or_else(|| {
                        ApiError::BadRequest("visibility: public, unlisted or private".to_owned())
                    })?;
                }
                _ => return Err(ApiError::BadRequest(format!("unknown field `{name}`"))),
            }
            continue;
        }
        if !allowed {
            return Err(ApiError::Csrf);
        }
        if index == MAX_FILES {
            return Err(ApiError::BadRequest(format!("more than {MAX_FILES} files in one request")));
        }
        check_length("title", Some(&about.title), MAX_TITLE)?;
        check_length("caption", Some(&about.caption), MAX_CAPTION)?;
        // A form sent without choosing a file has a part without name and bytes.
        let chosen = field.file_name().is_some_and(|n| !n.is_empty());
        match one_file(&api, &session, field, about.clone()).await {
            Ok(None) if !chosen => continue,
            Ok(None) => {
                first_error = first_error.or(Some(ApiError::BadImage("the file is empty".to_owned())))
            }
            Ok(Some(row)) => stored.push(to_json(&api, row, session.viewer())),
            Err(
                e
                @ (ApiError::BadRequest(_) | ApiError::Database(_) | ApiError::Internal(_) | ApiError::Busy),
            ) => {
                return Err(e);
            }
            Err(e) => {
                refused.push(Refused { index, code: e.parts().1.to_owned(), message: e.to_string() });
                first_error = first_error.or(Some(e));
            }
        }
        index += 1;
    }
    match first_error {
        _ if !allowed => Err(ApiError::Csrf),
        Some(error) if stored.is_empty() => Err(error),
        None if stored.is_empty() => Err(ApiError::BadRequest("no file was chosen".to_owned())),
        _ => Ok((StatusCode::CREATED, Json(Uploaded { photos: stored, refused }))),
    }
}

/// A step of reading the form, given up when the client sends nothing for too long.
async fn stall<T>(step: impl Future<Output = Result<T, MultipartError>>) -> Result<T, ApiError> {
    match tokio::time::timeout(STALL, step).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(e)) if e.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            Err(ApiError::BadRequest("the batch is too large: send fewer files at once".to_owned()))
        }
        Ok(Err(e)) => Err(ApiError::BadRequest(format!("the upload broke off: {e}"))),
        Err(_) => Err(ApiError::BadRequest(format!("nothing arrived for {} s", STALL.as_secs()))),
    }
}

async fn text(mut field: Field<'_>) -> Result<String, ApiError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = stall(field.chunk()).await? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > MAX_TEXT {
            return Err(ApiError::BadRequest("a text field is too long".to_owned()));
        }
    }
    String::from_utf8(bytes).map_err(|_| ApiError::BadRequest("a text field is not UTF-8".to_owned()))
}

/// An upload that is wholly on disk.
struct Received {
    file: NamedTempFile,
    bytes: u64,
    sha256: [u8; 32],
}

/// Receives and stores one file; none when it has no bytes.
async fn one_file(
    api: &Arc<Api>,
    session: &Session,
    field: Field<'_>,
    about: About,
) -> Result<Option<PhotoRow>, ApiError> {
    let Some(received) = receive(api, field).await? else { return Ok(None) };
    // A task of its own: a client that goes away must not stop it between file and row.
    let (api, owner_id) = (Arc::clone(api), session.user.id);
    let task = tokio::spawn(async move { store(&api, owner_id, received, about).await });
    task.await.map_err(|e| ApiError::Internal(format!("upload task: {e}")))?.map(Some)
}

async fn receive(api: &Api, mut field: Field<'_>) -> Result<Option<Received>, ApiError> {
    let file = api.storage.temporary()?;
    let mut out = tokio::fs::File::from_std(file.as_file().try_clone()?);
    let (mut hash, mut bytes, mut head) = (Sha256::new(), 0u64, Vec::with_capacity(16));
    let mut known = false;
    while let Some(chunk) = stall(field.chunk()).await? {
        bytes += chunk.len() as u64;
        if bytes > api.config.max_upload_bytes {
            return Err(ApiError::TooLarge(api.config.max_upload_bytes));
        }
        if !known {
            head.extend_from_slice(&chunk[..chunk.len().min(16)]);
            if head.len() >= 16 {
                Format::sniff(&head).ok_or(ApiError::UnsupportedType)?;
                known = true;
            }
        }
        hash.update(&chunk);
        out.write_all(&chunk).await?;
    }
    out.flush().await?;
    if bytes == 0 {
        return Ok(None);
    }
    Ok(Some(Received { file, bytes, sha256: hash.finalize().into() }))
}

async fn store(
    api: &Arc<Api>,
    owner_id: i64,
    received: Received,
    about: About,
) -> Result<PhotoRow, ApiError> {
    let _queued = api.jobs.enqueue();
    let max_pixels = api.config.max_pixels;
    let path = received.file.path().to_owned();
    let header = blocking(move || images::inspect(&path, max_pixels)).await?.map_err(refusal)?;

    let share = images::megapixels(header).min(api.jobs.total_megapixels);
    let closed = |_| ApiError::Busy;
    let _pixels = api.jobs.megapixels.acquire_many(share).await.map_err(closed)?;
    let _core = api.jobs.cpu.acquire().await.map_err(closed)?;

    let storage = api.storage.clone();
    let (key, original_key) = (new_key(), new_key());
    let extension = header.format.extension();
    let keys = (key.clone(), original_key.clone());
    let processed = blocking(move || {
        let (path, options) = (received.file.path(), images::Options::default());
        let scratch = path.parent().unwrap_or(path);
        let processed = images::worker::process(path, header, &options, scratch, PROCESSING)?;
        storage.keep(received.file, &keys.1, extension, &keys.0, &processed)?;
        Ok((processed.width, processed.height, processed.sizes))
    })
    .await?;
    let (width, height, sizes) = processed.map_err(refusal)?;
    let new = NewPhoto {
        key: key.clone(),
        owner_id,
        original_key: original_key.clone(),
        format: extension,
        bytes: received.bytes,
        sha256: received.sha256,
        width,
        height,
        sizes,
        title: about.title.trim().to_owned(),
        caption: about.caption.trim().to_owned(),
        visibility: about.visibility,
        roll: about.roll,
    };
    let row_key = key.clone();
    let insert = move |tx: &rusqlite::Transaction<'_>| {
        photos::insert(tx, &new)?;
        photos::by_key(tx, &row_key)?.ok_or(ApiError::NotFound)
    };
    let row = api.db.write(insert).await;
    if row.is_err() {
        // No row, no files: otherwise nobody would ever find them again.
        let storage = api.storage.clone();
        blocking(move || storage.remove(&original_key, extension, &key)).await?;
    }
    row
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, ApiError> {
    tokio::task::spawn_blocking(work).await.map_err(|e| ApiError::Internal(format!("image task: {e}")))
}

fn refusal(error: ImageError) -> ApiError {
    match error {
        ImageError::Type => ApiError::UnsupportedType,
        ImageError::Io(e) => ApiError::Internal(format!("storage: {e}")),
        ImageError::Watermark(e) => ApiError::Internal(format!("watermark: {e}")),
        refused => ApiError::BadImage(refused.to_string()),
    }
}
