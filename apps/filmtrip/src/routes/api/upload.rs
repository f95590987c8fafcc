//! Upload through the server: multipart, streamed to disk, checked before it is decoded, stored whole or not at all.

use std::sync::Arc;

use axum::Json;
use axum::extract::multipart::{Field, MultipartError};
use axum::extract::{FromRequest, FromRequestParts, Multipart, Request, State};
use axum::http::StatusCode;
use md5::Md5;
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;
use tokio::io::AsyncWriteExt;

use super::photos::to_json;
use super::session::csrf_header;
use super::{Api, Session, Shared, check};
use crate::auth::{origin, session};
use crate::db::now_ms;
use crate::db::photos::PhotoRow;
use crate::db::sql::Sql;
use crate::db::uploads::{self, NewUploadRow, UploadRow};
use crate::error::ApiError;
use crate::images::Format;
use crate::intake::{self, Arrived};
use crate::model::{About, Photo, Refused, UploadState, Uploaded, Visibility};
use crate::server::STALL;
use crate::storage::{Backend, Fetched, StoredObject, names, new_key};
use crate::work;

/// Most files in one request.
pub(super) const MAX_FILES: usize = 100;
const MAX_TEXT: usize = 16 * 1024;
/// How long an upload may be worked on before it counts as given up.
const WORK_MS: i64 = 3600 * 1000;

/// `POST /api/photos`: one or several `file` parts. Text parts (`csrf_token` unless it is in the header, and what is
/// known of the photos) count for the files after them; `idempotency_key` for the next one only.
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
    let began = u64::try_from(now_ms()).unwrap_or_default().saturating_mul(1000);
    let (mut stored, mut refused): (Vec<Photo>, _) = (Vec::new(), Vec::new());
    let mut first_error = None;
    let mut index = 0;
    while let Some(field) = stall(form.next_field()).await? {
        let name = field.name().unwrap_or_default().to_owned();
        if field.file_name().is_none() {
            let value = text(field).await?;
            if name == "csrf_token" {
                allowed = allowed || proven(&value);
            } else {
                set(&mut about, &name, value)?;
            }
            continue;
        }
        if !allowed {
            return Err(ApiError::Csrf);
        }
        if index == MAX_FILES {
            return Err(ApiError::BadRequest(format!("more than {MAX_FILES} files in one request")));
        }
        check::about(&about)?;
        if about.album.is_none() {
            // A plain form is a batch, too. An album is filled at its end, whatever the clocks of others have said.
            about.position = about.position.or(Some(began));
        }
        // A form sent without choosing a file has a part without name and bytes.
        let chosen = field.file_name().is_some_and(|n| !n.is_empty());
        match one_file(&api, &session, field, about.clone()).await {
            Ok(None) if !chosen => continue,
            Ok(None) => {
                first_error = first_error.or(Some(ApiError::BadImage("the file is empty".to_owned())))
            }
            Ok(Some((row, duplicate))) => {
                stored.push(Photo { duplicate, ..to_json(&api, row, session.viewer()) });
            }
            Err(
                e @ (ApiError::BadRequest(_)
                | ApiError::Database(_)
                | ApiError::Internal(_)
                | ApiError::Store(_)
                | ApiError::Busy),
            ) => {
                return Err(e);
            }
            Err(e) => {
                refused.push(Refused { index, code: e.parts().1.to_owned(), message: e.to_string() });
                first_error = first_error.or(Some(e));
            }
        }
        index += 1;
        // Frames are counted up: a batch is a roll in its order. A file that is refused keeps its number, too: the
        // frames after it are where they are on the film.
        about.frame = about.frame.map(|frame| frame.saturating_add(1));
        about.position = about.position.map(|position| position.saturating_add(1));
        about.idempotency_key = None;
    }
    match first_error {
        _ if !allowed => Err(ApiError::Csrf),
        Some(error) if stored.is_empty() => Err(error),
        None if stored.is_empty() => Err(ApiError::BadRequest("no file was chosen".to_owned())),
        _ => {
            let status =
                if stored.iter().all(|p| p.duplicate) { StatusCode::OK } else { StatusCode::CREATED };
            Ok((status, Json(Uploaded { photos: stored, refused })))
        }
    }
}

/// Takes one text field of the form.
fn set(about: &mut About, name: &str, value: String) -> Result<(), ApiError> {
    let given = Some(value.clone()).filter(|v| !v.is_empty());
    match name {
        "title" => about.title = value,
        "caption" => about.caption = value,
        "roll" => about.roll = given,
        "album" => about.album = given,
        "tags" => about.tags = value.split([',', '，', '、']).map(str::to_owned).collect(),
        "idempotency_key" => about.idempotency_key = given,
        "keep_duplicate" => about.keep_duplicate = matches!(value.as_str(), "true" | "1" | "on"),
        "frame" => {
            let number = given.map(|v| v.trim().parse()).transpose();
            about.frame = number.map_err(|_| ApiError::BadRequest("frame: a whole number".to_owned()))?;
        }
        "position" => {
            let number = given.map(|v| v.trim().parse()).transpose();
            about.position =
                number.map_err(|_| ApiError::BadRequest("position: a whole number".to_owned()))?;
        }
        "visibility" => {
            about.visibility = Visibility::parse(&value)
                .ok_or_else(|| ApiError::BadRequest("visibility: public, unlisted or private".to_owned()))?;
        }
        _ => return Err(ApiError::BadRequest(format!("unknown field `{name}`"))),
    }
    Ok(())
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

/// Receives and stores one file; none when it has no bytes. The photo, and whether it was there before.
async fn one_file(
    api: &Arc<Api>,
    session: &Session,
    field: Field<'_>,
    about: About,
) -> Result<Option<(PhotoRow, bool)>, ApiError> {
    let (owner_id, asked) = (session.user.id, about.clone());
    api.db.call(move |sql| check::belongs(sql, owner_id, &asked)).await?;
    let file_name: String = field.file_name().unwrap_or_default().chars().take(200).collect();
    let Some((file, fetched)) = receive(api, field).await? else { return Ok(None) };
    // A task of its own: a client that goes away must not stop it between file and row.
    let api = Arc::clone(api);
    let task = tokio::spawn(async move { store(&api, owner_id, file_name, file, fetched, about).await });
    task.await.map_err(|e| ApiError::Internal(format!("upload task: {e}")))?.map(Some)
}

async fn receive(api: &Api, mut field: Field<'_>) -> Result<Option<(NamedTempFile, Fetched)>, ApiError> {
    let file = api.storage.local.temporary()?;
    let mut out = tokio::fs::File::from_std(file.as_file().try_clone()?);
    let (mut sha, mut md5, mut bytes, mut head) = (Sha256::new(), Md5::new(), 0u64, Vec::with_capacity(16));
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
        sha.update(&chunk);
        md5.update(&chunk);
        out.write_all(&chunk).await?;
    }
    out.flush().await?;
    if bytes == 0 {
        return Ok(None);
    }
    let md5 = md5.finalize().iter().map(|b| format!("{b:02x}")).collect();
    Ok(Some((file, Fetched { bytes, md5, sha256: sha.finalize().into() })))
}

async fn store(
    api: &Arc<Api>,
    owner_id: i64,
    file_name: String,
    file: NamedTempFile,
    fetched: Fetched,
    about: About,
) -> Result<(PhotoRow, bool), ApiError> {
    let (sha256, asked) = (fetched.sha256, about.clone());
    let before = move |sql: &mut Sql| Ok(intake::before(sql, owner_id, &sha256, &asked)?);
    if let Some(before) = api.db.call(before).await? {
        return Ok(before);
    }
    let backend = api.storage.main;
    let new = NewUploadRow {
        key: new_key(),
        owner_id,
        state: UploadState::Receiving,
        object: StoredObject {
            backend,
            // What it is, and so the end of its name, is not known yet.
            name: names::direct(&new_key()),
            content_secret: (backend == Backend::Upyun).then(new_key),
        },
        file_name,
        bytes: fetched.bytes,
        about,
        expires_at: now_ms() + WORK_MS,
    };
    let key = new.key.clone();
    let begin = move |sql: &mut Sql| {
        uploads::insert(sql, &new)?;
        uploads::by_key(sql, &key)?.ok_or(ApiError::NotFound)
    };
    let upload = api.db.write(begin).await?;
    let arrived = Arrived { path: file.path().to_owned(), fetched, store: true };
    let accepted = intake::accept(api, &upload, arrived).await;
    if accepted.is_err() {
        give_up(api, &upload).await;
    }
    accepted
}

/// No row, no files. Whether there is no row is asked in the same transaction: a commit whose answer was lost counts.
async fn give_up(api: &Api, upload: &UploadRow) {
    let row = upload.clone();
    match api.db.write(move |sql| work::abandon(sql, &row)).await {
        Ok(_) => api.queue.wake(),
        Err(e) => tracing::warn!("what upload {} left will be cleared later: {e}", upload.key),
    }
}
