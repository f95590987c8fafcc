//! Deleting objects. Whether anything refers to one is asked of the database, and again just before it is deleted.

use std::sync::Arc;

use super::{Done, Kind};
use crate::db::now_ms;
use crate::db::photos::{self, PhotoRow, Variants};
use crate::db::sql::Sql;
use crate::db::uploads::{self, UploadRow};
use crate::error::ApiError;
use crate::routes::api::Api;
use crate::storage::{Backend, StoredObject, is_key};

/// How long after a form has run out an upload by it may still end.
pub(super) const FORM_GRACE_MS: i64 = 10 * 60 * 1000;

/// The subject of a job that deletes an original.
pub(super) fn object(object: &StoredObject) -> String {
    format!("object {} {}", object.backend.as_str(), object.name)
}

fn variants(backend: Backend, key: &str) -> String {
    format!("variants {} {key}", backend.as_str())
}

/// Lets the files of a photo go whose row is being deleted. Call it in the same transaction.
///
/// # Errors
/// Those of the database.
pub fn discard_photo(sql: &mut Sql, row: &PhotoRow) -> Result<(), ApiError> {
    let original = StoredObject { backend: row.backend, name: row.object.clone(), content_secret: None };
    Kind::Discard.enqueue(sql, &object(&original), now_ms())?;
    match row.variants {
        Variants::Stored(backend) => Kind::Discard.enqueue(sql, &variants(backend, &row.key), now_ms())?,
        Variants::Style => {}
    }
    Ok(())
}

/// Lets the files of an upload go that turned out to be a duplicate.
///
/// # Errors
/// Those of the database.
pub fn discard_upload(
    sql: &mut Sql,
    upload: &UploadRow,
    stored: &StoredObject,
    made: Variants,
) -> Result<(), ApiError> {
    discard_original(sql, stored, upload.expires_at)?;
    if let Variants::Stored(backend) = made {
        Kind::Discard.enqueue(sql, &variants(backend, &upload.key), now_ms())?;
    }
    Ok(())
}

/// Lets an original go, once no form can put it there again.
pub(crate) fn discard_original(
    sql: &mut Sql,
    stored: &StoredObject,
    expires_at: i64,
) -> Result<(), ApiError> {
    let now = now_ms();
    let due = if stored.backend == Backend::Upyun { now.max(expires_at + FORM_GRACE_MS) } else { now };
    Kind::Discard.enqueue(sql, &object(stored), due)?;
    Ok(())
}

/// Deletes what a subject names, unless something refers to it.
pub(super) async fn discard(api: &Arc<Api>, subject: &str) -> Result<Done, ApiError> {
    let mut parts = subject.splitn(3, ' ');
    let (what, backend, name) = (parts.next(), parts.next().and_then(Backend::parse), parts.next());
    let (Some(backend), Some(name)) = (backend, name.map(str::to_owned)) else {
        return Err(ApiError::Internal(format!("`{subject}` names no object")));
    };
    let asked = name.clone();
    match what {
        Some("object") => {
            let used = move |sql: &mut Sql| {
                Ok(photos::uses_object(sql, backend, &asked)? || uploads::uses_object(sql, backend, &asked)?)
            };
            if api.db.call(used).await? {
                tracing::warn!("{name} is in use again and stays");
                return Ok(Done::Finished);
            }
            api.storage.delete(backend, &name).await?;
            if backend == Backend::Upyun
                && let Some(upyun) = &api.storage.upyun
                && let Err(e) = upyun.purge(&name).await
            {
                tracing::warn!("the CDN may show {name} for some minutes: {e}");
            }
        }
        Some("variants") if is_key(&name) => {
            if api.db.call(move |sql| Ok(photos::by_key(sql, &asked)?)).await?.is_some() {
                return Ok(Done::Finished);
            }
            api.storage.delete_variants(backend, &name).await?;
        }
        _ => return Err(ApiError::Internal(format!("`{subject}` names no object"))),
    }
    Ok(Done::Finished)
}
