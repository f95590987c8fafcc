//! Deleting objects. Whether anything refers to one is asked of the database, and again just before it is deleted.

use std::sync::Arc;
use std::time::Duration;

use super::{Done, Kind};
use crate::db::now_ms;
use crate::db::photos::{self, PhotoRow, Variants};
use crate::db::sql::Sql;
use crate::db::uploads::{self, UploadRow};
use crate::error::ApiError;
use crate::images;
use crate::model::UploadState;
use crate::routes::api::Api;
use crate::storage::{Backend, StoredObject, is_key, names};

/// How long after a form has run out an upload by it may still end.
pub(super) const FORM_GRACE_MS: i64 = 10 * 60 * 1000;

/// How often, and after which pauses, an object is looked for that is being deleted, before the job is put off.
const GONE_TRIES: u32 = 20;
const GONE_PAUSE: Duration = Duration::from_millis(250);

/// The subject of a job that deletes an original.
pub(super) fn object(object: &StoredObject) -> String {
    format!("object {} {}", object.backend.as_str(), object.name)
}

fn variants(backend: Backend, key: &str) -> String {
    format!("variants {} {key}", backend.as_str())
}

/// Ends an upload that was being received, and lets go whatever it may have stored; false when it has ended already.
///
/// # Errors
/// Those of the database.
pub fn abandon(sql: &mut Sql, upload: &UploadRow) -> Result<bool, ApiError> {
    let ended = uploads::advance(sql, upload.id, &[UploadState::Receiving], UploadState::Expired)?;
    if ended {
        let subject =
            format!("leftovers {} {} {}", upload.object.backend.as_str(), upload.object.name, upload.key);
        Kind::Discard.enqueue(sql, &subject, now_ms())?;
    }
    Ok(ended)
}

/// Deletes everything that an abandoned upload may have stored under the names that it had.
async fn leftovers(api: &Arc<Api>, backend: Backend, names: &str) -> Result<(), ApiError> {
    let (object, upload) = names.split_once(' ').unwrap_or((names, ""));
    let key = names::original_key(object).unwrap_or_default();
    let mut objects: Vec<String> = images::EXTENSIONS.iter().map(|e| names::original(key, e)).collect();
    objects.push(object.to_owned());
    for name in objects {
        let asked = name.clone();
        if !api.db.call(move |sql| in_use(sql, backend, &asked)).await? {
            api.storage.delete(backend, &name).await?;
        }
    }
    let wanted = upload.to_owned();
    if is_key(upload) && api.db.call(move |sql| Ok(photos::by_key(sql, &wanted)?)).await?.is_none() {
        api.storage.delete_variants(api.storage.sizes(), upload).await?;
    }
    Ok(())
}

fn in_use(sql: &mut Sql, backend: Backend, object: &str) -> Result<bool, ApiError> {
    Ok(photos::uses_object(sql, backend, object)? || uploads::uses_object(sql, backend, object)?)
}

/// Lets the files of a photo go whose row is being deleted. Call it in the same transaction.
///
/// # Errors
/// Those of the database.
pub fn discard_photo(sql: &mut Sql, row: &PhotoRow) -> Result<(), ApiError> {
    let original = StoredObject { backend: row.backend, name: row.object.clone(), content_secret: None };
    discard_now_and_later(sql, &original, &row.key)?;
    match row.variants {
        Variants::Stored(backend) => Kind::Discard.enqueue(sql, &variants(backend, &row.key), now_ms())?,
        Variants::Style => {}
    }
    Ok(())
}

/// Lets an original go at once, and once more when the form that put it there has run out: until then it could be put
/// there again.
pub(super) fn discard_now_and_later(
    sql: &mut Sql,
    stored: &StoredObject,
    upload: &str,
) -> Result<(), ApiError> {
    let now = now_ms();
    Kind::Discard.enqueue(sql, &object(stored), now)?;
    let form = uploads::by_key(sql, upload)?.filter(|u| u.object.backend == Backend::Upyun);
    if let Some(form) = form.filter(|u| u.expires_at + FORM_GRACE_MS > now && u.object.name == stored.name) {
        let again = format!("{} again", object(stored));
        Kind::Discard.enqueue(sql, &again, form.expires_at + FORM_GRACE_MS)?;
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

/// Whether an object is what an upload brought that was taken for lost: the store may have been the wrong one, or out of
/// reach, until its form had run out. Then it becomes its owner's photo after all.
async fn late(api: &Arc<Api>, backend: Backend, object: &str) -> Result<bool, ApiError> {
    let name = object.to_owned();
    let Some(upload) = api.db.call(move |sql| Ok(uploads::expired(sql, backend, &name)?)).await? else {
        return Ok(false);
    };
    if api.storage.head(backend, object).await?.is_none() {
        return Ok(false);
    }
    tracing::info!("upload {} arrived after it was taken for lost", upload.key);
    super::arrived(api, &upload).await
}

/// Waits until an object is gone: Upyun deletes some time after it was asked to. A cache that is emptied before would be
/// filled again by the next visitor, and show the photo for minutes.
async fn gone(api: &Api, object: &str) -> Result<(), ApiError> {
    for _ in 0..GONE_TRIES {
        if api.storage.head(Backend::Upyun, object).await?.is_none() {
            return Ok(());
        }
        tokio::time::sleep(GONE_PAUSE).await;
    }
    Err(ApiError::Store(format!("{object} is not deleted yet")))
}

/// Deletes what a subject names, unless something refers to it.
pub(super) async fn discard(api: &Arc<Api>, subject: &str) -> Result<Done, ApiError> {
    let mut parts = subject.splitn(3, ' ');
    let (what, backend, name) = (parts.next(), parts.next().and_then(Backend::parse), parts.next());
    let (Some(backend), Some(name)) = (backend, name.map(str::to_owned)) else {
        return Err(ApiError::Internal(format!("`{subject}` names no object")));
    };
    if what == Some("leftovers") {
        return leftovers(api, backend, &name).await.map(|()| Done::Finished);
    }
    // The second time, for an object that could have been put there again.
    let name = name.strip_suffix(" again").map_or(name.clone(), str::to_owned);
    let asked = name.clone();
    match what {
        Some("object") => {
            if api.db.call(move |sql| in_use(sql, backend, &asked)).await? {
                tracing::warn!("{name} is in use again and stays");
                return Ok(Done::Finished);
            }
            if late(api, backend, &name).await? {
                return Ok(Done::Finished);
            }
            api.storage.delete(backend, &name).await?;
            if backend == Backend::Upyun
                && let Some(upyun) = &api.storage.upyun
            {
                gone(api, &name).await?;
                // Whoever has seen it may see it in the caches until they are emptied, so it is tried until they are.
                let shown =
                    |e| ApiError::Store(format!("the CDN may go on showing {name}, which is deleted: {e}"));
                if let Some(wait) = upyun.purge(&name).await.map_err(shown)? {
                    return Ok(Done::Again(now_ms() + i64::try_from(wait.as_millis()).unwrap_or(60_000)));
                }
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
