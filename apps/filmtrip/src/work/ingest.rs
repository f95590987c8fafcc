//! From a file in the object store to a photo.

use std::sync::Arc;

use super::discard::{FORM_GRACE_MS, discard_original};
use super::{Done, Kind};
use crate::db::sql::Sql;
use crate::db::uploads::{self, UploadRow};
use crate::db::{now_ms, photos};
use crate::error::ApiError;
use crate::intake::{self, Arrived};
use crate::model::{UploadState, Visibility};
use crate::routes::api::Api;
use crate::storage::{Backend, Meta};

async fn find(api: &Api, key: &str) -> Result<Option<UploadRow>, ApiError> {
    let key = key.to_owned();
    api.db.call(move |sql| Ok(uploads::by_key(sql, &key)?)).await
}

/// Tries after which a file counts as one that no decoder can read.
const DECODE_ATTEMPTS: u32 = 3;

/// Makes a photo of an upload. Only a verdict about the file itself refuses it; whatever else fails is tried again, and
/// in the end waits for an admin, with the file where it is.
pub(super) async fn ingest(api: &Arc<Api>, key: &str, attempts: u32) -> Result<Done, ApiError> {
    // Done already, or given up by its owner: a worker was killed between its work and the queue.
    let Some(upload) = find(api, key).await?.filter(|u| u.state == UploadState::Uploaded) else {
        return Ok(Done::Finished);
    };
    match make(api, &upload).await {
        Ok(()) | Err(ApiError::GivenUp) => Ok(Done::Finished),
        Err(refused @ (ApiError::UnsupportedType | ApiError::BadImage(_) | ApiError::TooLarge(_))) => {
            refuse(api, &upload, &refused).await
        }
        Err(refused @ ApiError::Undecodable(_)) if attempts >= DECODE_ATTEMPTS => {
            refuse(api, &upload, &refused).await
        }
        Err(error) => Err(error),
    }
}

/// Has the original of a direct upload looked at once more when its form has run out.
///
/// # Errors
/// Those of the database.
pub fn recheck_later(sql: &mut Sql, upload: &UploadRow) -> Result<(), ApiError> {
    Ok(Kind::Recheck.enqueue(sql, &upload.key, upload.expires_at + FORM_GRACE_MS)?)
}

/// What is known of an object that must be there. Its absence says nothing of the file: a wrong bucket, or a store that
/// has forgotten for a moment, answers the same.
async fn there(api: &Api, backend: Backend, name: &str) -> Result<Meta, ApiError> {
    let meta = api.storage.head(backend, name).await?;
    meta.ok_or_else(|| ApiError::Store(format!("{name} is not in the object store")))
}

async fn make(api: &Arc<Api>, upload: &UploadRow) -> Result<(), ApiError> {
    let object = &upload.object;
    let meta = there(api, object.backend, &object.name).await?;
    if meta.bytes > api.config.max_upload_bytes {
        return Err(ApiError::TooLarge(api.config.max_upload_bytes));
    }
    let scratch = api.storage.local.scratch()?;
    let path = scratch.path().join("original");
    let fetched = api.storage.fetch(object.backend, &object.name, &path, api.config.max_upload_bytes).await?;
    // The form has not run out yet, so the object can be replaced at any moment: what is processed must be one file,
    // and the one that is there.
    if fetched.bytes != meta.bytes || meta.md5.as_ref().is_some_and(|md5| *md5 != fetched.md5) {
        return Err(ApiError::Store("the object was replaced while it was read".to_owned()));
    }
    if !upload.about.keep_duplicate && duplicate(api, upload, &fetched).await? {
        return Ok(());
    }
    intake::accept(api, upload, Arrived { path, fetched, store: false }).await?;
    Ok(())
}

/// Ends an upload whose bytes are the account's already, and lets its object go.
async fn duplicate(
    api: &Arc<Api>,
    upload: &UploadRow,
    fetched: &crate::storage::Fetched,
) -> Result<bool, ApiError> {
    let (upload, fetched) = (upload.clone(), fetched.clone());
    let end = move |sql: &mut Sql| {
        let Some(photo) = photos::same_file(sql, upload.owner_id, &fetched.sha256)? else { return Ok(false) };
        if !uploads::done(sql, upload.id, photo.id, true, Some(&fetched.md5))? {
            return Err(ApiError::GivenUp);
        }
        discard_original(sql, &upload.object, upload.expires_at)?;
        Ok(true)
    };
    api.db.write(end).await
}

async fn refuse(api: &Arc<Api>, upload: &UploadRow, why: &ApiError) -> Result<Done, ApiError> {
    let (upload, code, message) = (upload.clone(), why.parts().1, why.to_string());
    let end = move |sql: &mut Sql| {
        uploads::refuse(sql, upload.id, code, &message)?;
        discard_original(sql, &upload.object, upload.expires_at)
    };
    api.db.write(end).await?;
    Ok(Done::Finished)
}

/// After its form has run out, an object cannot change any more. If it was replaced in between, the photo goes into the
/// trash, where a person decides, and what is there now gets another name, since its address is known.
pub(super) async fn recheck(api: &Arc<Api>, key: &str) -> Result<Done, ApiError> {
    let Some(upload) = find(api, key).await? else { return Ok(Done::Finished) };
    let wanted = upload.key.clone();
    let photo = api.db.call(move |sql| Ok(photos::by_key(sql, &wanted)?)).await?;
    // Another name by now: the old one is let go by whoever gave it the new one.
    let Some(photo) = photo.filter(|photo| photo.object == upload.object.name) else {
        return Ok(Done::Finished);
    };
    let meta = there(api, photo.backend, &photo.object).await?;
    if meta.bytes == photo.bytes && (meta.md5.is_none() || meta.md5 == photo.md5) {
        return Ok(Done::Finished);
    }
    tracing::error!(
        "the original of photo {} was replaced through its form; the photo is in the trash",
        photo.key
    );
    let end = move |sql: &mut Sql| {
        let hide = crate::model::PhotoChange { visibility: Some(Visibility::Private), ..Default::default() };
        photos::change(sql, &photo, &hide)?;
        photos::trash(sql, photo.id)?;
        Ok(Kind::Relocate.enqueue(sql, &photo.key, now_ms())?)
    };
    api.db.write(end).await?;
    api.queue.wake();
    Ok(Done::Finished)
}
