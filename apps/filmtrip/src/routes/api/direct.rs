//! Uploads straight to the object store: signed here, posted there, and told of by the store, by the client, or found
//! by the sweeper, whichever comes first.

use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use safelight_upyun::{CallbackRequest, CallbackScheme};
use serde::Serialize;

use super::photos::to_json;
use super::upload::MAX_FILES;
use super::{Api, Change, Session, Shared, check};
use crate::config::CALLBACK_PATH;
use crate::db::sql::Sql;
use crate::db::uploads::{self, NewUploadRow, UploadRow};
use crate::db::visibility::Viewer;
use crate::db::{now_ms, photos, rfc3339};
use crate::error::ApiError;
use crate::images::media_type;
use crate::model::{DirectForm, NewUpload, Photo, UploadInfo, UploadRules, UploadState};
use crate::storage::{Backend, StoredObject, is_key, names, new_key};
use crate::work;

/// Types that are put into the object store as they are. What its styles make of TIFF is not known.
const DIRECT: [&str; 3] = ["jpg", "png", "webp"];

fn types(extensions: &[&str]) -> Vec<String> {
    extensions.iter().map(|e| media_type(e).to_owned()).collect()
}

/// `GET /api/uploads/rules`.
pub(super) async fn rules(State(api): Shared, _session: Session) -> Json<UploadRules> {
    let direct = api.storage.upyun.as_ref().is_some_and(|upyun| upyun.direct);
    Json(UploadRules {
        direct,
        max_bytes: api.config.max_upload_bytes,
        max_files: MAX_FILES,
        types: types(&crate::images::EXTENSIONS),
        direct_types: if direct { types(&DIRECT) } else { Vec::new() },
    })
}

/// `POST /api/uploads`: a form with which the browser puts exactly this file under a name of ours.
pub(super) async fn sign(
    State(api): Shared,
    Change(session): Change,
    Json(new): Json<NewUpload>,
) -> Result<(StatusCode, Json<UploadInfo>), ApiError> {
    let upyun = api.storage.upyun.as_ref().filter(|upyun| upyun.direct).ok_or(ApiError::DirectDisabled)?;
    check::about(&new.about)?;
    if new.bytes == 0 {
        return Err(ApiError::BadImage("the file is empty".to_owned()));
    }
    if new.bytes > api.config.max_upload_bytes {
        return Err(ApiError::TooLarge(api.config.max_upload_bytes));
    }
    if !DIRECT.iter().any(|e| media_type(e) == new.media_type) {
        return Err(ApiError::UnsupportedType);
    }
    let life = i64::try_from(api.config.upload_life.as_millis()).unwrap_or(i64::MAX / 2);
    let row = NewUploadRow {
        key: new_key(),
        owner_id: session.user.id,
        state: UploadState::Pending,
        object: StoredObject {
            backend: Backend::Upyun,
            name: names::direct(&new_key()),
            content_secret: Some(new_key()),
        },
        file_name: new.file_name.chars().take(200).collect(),
        bytes: new.bytes,
        about: new.about,
        expires_at: now_ms() + life,
    };
    let expires = UNIX_EPOCH + Duration::from_millis(row.expires_at.unsigned_abs());
    let signed = upyun
        .sign(&row.object, &row.key, row.bytes, &new.media_type, expires)
        .map_err(|e| ApiError::Internal(format!("form policy: {e}")))?;
    let form = DirectForm {
        url: format!("{}{}", upyun.endpoint(), signed.path()),
        fields: signed
            .fields()
            .into_iter()
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .collect::<BTreeMap<_, _>>(),
    };
    // The row first: whatever arrives has one.
    let key = row.key.clone();
    let insert = move |sql: &mut Sql| {
        check::belongs(sql, row.owner_id, &row.about)?;
        uploads::insert(sql, &row)?;
        uploads::by_key(sql, &key)?.ok_or(ApiError::NotFound)
    };
    let upload = api.db.write(insert).await?;
    let info = UploadInfo { form: Some(form), ..info(&upload, None) };
    Ok((StatusCode::CREATED, Json(info)))
}

fn info(upload: &UploadRow, photo: Option<Photo>) -> UploadInfo {
    UploadInfo {
        key: upload.key.clone(),
        file_name: upload.file_name.clone(),
        state: upload.state,
        form: None,
        expires_at: rfc3339(upload.expires_at),
        photo,
        code: upload.code.clone(),
        message: upload.message.clone(),
    }
}

async fn with_photo(api: &Api, upload: &UploadRow, viewer: Viewer) -> Result<UploadInfo, ApiError> {
    let photo = match upload.photo_id {
        Some(id) => api.db.call(move |sql| Ok(photos::by_id(sql, id)?)).await?,
        None => None,
    };
    let photo = photo.map(|row| Photo { duplicate: upload.duplicate, ..to_json(api, row, viewer) });
    Ok(info(upload, photo))
}

/// An upload of the session's own account; others' do not exist for it.
async fn own(api: &Api, session: &Session, key: &str) -> Result<UploadRow, ApiError> {
    if !is_key(key) {
        return Err(ApiError::NotFound);
    }
    let key = key.to_owned();
    let row = api.db.call(move |sql| Ok(uploads::by_key(sql, &key)?)).await?;
    row.filter(|row| row.owner_id == session.user.id).ok_or(ApiError::NotFound)
}

/// `GET /api/uploads/{key}`.
pub(super) async fn one(
    State(api): Shared,
    session: Session,
    Path(key): Path<String>,
) -> Result<impl IntoResponse, ApiError> {
    let upload = own(&api, &session, &key).await?;
    let info = with_photo(&api, &upload, session.viewer()).await?;
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(info)))
}

#[derive(Serialize)]
pub(super) struct UploadList {
    uploads: Vec<UploadInfo>,
}

/// `GET /api/uploads`: the account's own.
pub(super) async fn list(State(api): Shared, session: Session) -> Result<impl IntoResponse, ApiError> {
    let rows = api.db.call(move |sql| Ok(uploads::of_owner(sql, session.user.id)?)).await?;
    let uploads = rows.iter().map(|row| info(row, None)).collect();
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(UploadList { uploads })))
}

/// `POST /api/uploads/{key}/complete`: the client says that it is done. Looked at, not believed.
pub(super) async fn complete(
    State(api): Shared,
    Change(session): Change,
    Path(key): Path<String>,
) -> Result<Json<UploadInfo>, ApiError> {
    let upload = own(&api, &session, &key).await?;
    if matches!(upload.state, UploadState::Pending | UploadState::Expired) {
        there(&api, &upload).await?;
        work::arrived(&api, &upload).await?;
    }
    let upload = own(&api, &session, &key).await?;
    Ok(Json(with_photo(&api, &upload, session.viewer()).await?))
}

/// Whether the object of an upload is in the store, with the size that was signed.
async fn there(api: &Api, upload: &UploadRow) -> Result<(), ApiError> {
    let meta = api.storage.head(upload.object.backend, &upload.object.name).await?;
    match meta {
        None => Err(ApiError::NotThere),
        Some(meta) if meta.bytes != upload.bytes => {
            tracing::warn!("upload {} has {} bytes, {} were signed", upload.key, meta.bytes, upload.bytes);
            Err(ApiError::NotThere)
        }
        Some(_) => Ok(()),
    }
}

/// `DELETE /api/uploads/{key}`: given up by its owner.
pub(super) async fn give_up(
    State(api): Shared,
    Change(session): Change,
    Path(key): Path<String>,
) -> Result<StatusCode, ApiError> {
    let upload = own(&api, &session, &key).await?;
    let end = move |sql: &mut Sql| {
        // Failed, not expired: what expired may still arrive, what was given up may not come back.
        let open = [UploadState::Pending, UploadState::Uploaded, UploadState::Expired];
        if uploads::advance(sql, upload.id, &open, UploadState::Failed)? {
            uploads::refuse(sql, upload.id, "given_up", "given up by its owner")?;
            work::discard_original(sql, &upload.object, upload.expires_at)?;
        }
        Ok(())
    };
    api.db.write(end).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /api/storage/callback`: Upyun tells of an upload. Only what is proved counts, and of that only which upload
/// it is; everything else is looked up.
pub(super) async fn callback(
    State(api): Shared,
    headers: HeaderMap,
    body: Bytes,
) -> Result<&'static str, ApiError> {
    // Nobody is expected to tell anything: then nobody is believed.
    let upyun =
        api.storage.upyun.as_ref().ok_or_else(|| ApiError::Unproved("Upyun is not configured".to_owned()))?;
    let header = |name: &str| headers.get(name).and_then(|v| v.to_str().ok());
    let request = CallbackRequest {
        method: "POST",
        path: CALLBACK_PATH,
        authorization: header("authorization"),
        date: header("date"),
        content_md5: header("content-md5"),
        body: &body,
    };
    let notice = upyun.verifier.verify(&request, std::time::SystemTime::now()).map_err(|e| {
        tracing::warn!("a notice was refused: {e}");
        ApiError::Unproved(e.to_string())
    })?;
    // Tasks are never asked for, so nothing waits for theirs.
    let Some(told) = notice.upload else { return Ok("ok") };
    if notice.scheme == CallbackScheme::LegacyMd5 {
        tracing::debug!("a notice in the old scheme");
    }
    if told.code != 200 {
        tracing::warn!("Upyun tells of a failed upload: {} {}", told.code, told.message);
        return Ok("ok");
    }
    let key = told.ext_param.filter(|key| is_key(key)).ok_or(ApiError::NotFound)?;
    let upload = api.db.call(move |sql| Ok(uploads::by_key(sql, &key)?)).await?.ok_or(ApiError::NotFound)?;
    if told.url.trim_start_matches('/') != upload.object.name {
        tracing::warn!("a notice for upload {} names another object", upload.key);
        return Err(ApiError::NotFound);
    }
    if matches!(upload.state, UploadState::Pending | UploadState::Expired) {
        // Not there yet, or not to be asked: an error, so that the notice comes again.
        match there(&api, &upload).await {
            Err(ApiError::NotThere) => return Err(ApiError::Store("the object is not there yet".to_owned())),
            other => other?,
        }
        work::arrived(&api, &upload).await?;
    }
    Ok("ok")
}
