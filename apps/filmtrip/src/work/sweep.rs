//! What nobody else would notice: notices that were lost, uploads that were given up, trash that is old.

use std::sync::Arc;

use super::{Done, Kind, abandon, discard_photo};
use crate::db::sql::Sql;
use crate::db::uploads::{self, UploadRow};
use crate::db::{now_ms, photos, removed};
use crate::error::ApiError;
use crate::intake;
use crate::model::UploadState;
use crate::routes::api::Api;

/// How long after its form has run out an upload may still be on its way.
const GRACE_MS: i64 = 3600 * 1000;
/// How long ended uploads are shown to their owners.
const REMEMBER_MS: i64 = 30 * 86_400 * 1000;

pub(super) async fn sweep(api: &Arc<Api>) -> Result<Done, ApiError> {
    let every = i64::try_from(api.config.sweep_every.as_millis()).unwrap_or(i64::MAX / 2);
    look_for_lost(api, every).await?;
    clear_abandoned(api).await?;
    empty_trash(api).await?;
    let tidy = |sql: &mut Sql| {
        uploads::forget(sql, now_ms() - REMEMBER_MS)?;
        Ok(super::measure::when_needed(sql)?)
    };
    api.db.write(tidy).await?;
    api.queue.wake();
    Ok(Done::Again(now_ms() + every))
}

/// Signed uploads of which nothing was heard: the notice may be lost, the browser closed.
async fn look_for_lost(api: &Arc<Api>, every: i64) -> Result<(), ApiError> {
    for upload in api.db.call(move |sql| Ok(uploads::waiting(sql, now_ms() - every.min(30_000))?)).await? {
        // One that cannot be looked for now must not keep the others from it.
        match api.storage.head(upload.object.backend, &upload.object.name).await {
            Ok(Some(_)) => {
                tracing::info!("upload {} arrived without a notice", upload.key);
                arrived(api, &upload).await?;
            }
            Ok(None) if upload.expires_at + GRACE_MS < now_ms() => {
                let end = move |sql: &mut Sql| {
                    uploads::advance(sql, upload.id, &[UploadState::Pending], UploadState::Expired)?;
                    let subject = super::discard::object(&upload.object);
                    Ok(Kind::Discard.enqueue(sql, &subject, now_ms() + GRACE_MS)?)
                };
                api.db.write(end).await?;
            }
            Ok(None) => api.db.write(move |sql| Ok(uploads::looked_for(sql, upload.id)?)).await?,
            Err(e) => tracing::warn!("upload {} could not be looked for: {e}", upload.key),
        }
    }
    Ok(())
}

/// Notes that a signed upload is in the object store, and has it processed. Does nothing the second time.
///
/// # Errors
/// Those of the database: nothing is noted then.
pub(crate) async fn arrived(api: &Arc<Api>, upload: &UploadRow) -> Result<bool, ApiError> {
    let (id, key) = (upload.id, upload.key.clone());
    let note = move |sql: &mut Sql| {
        let waiting = [UploadState::Pending, UploadState::Expired];
        let first = uploads::advance(sql, id, &waiting, UploadState::Uploaded)?;
        if first {
            Kind::Ingest.enqueue(sql, &key, now_ms())?;
        }
        Ok(first)
    };
    let first = api.db.write(note).await?;
    api.queue.wake();
    Ok(first)
}

/// Uploads through a server that was killed: what it had written is let go.
async fn clear_abandoned(api: &Arc<Api>) -> Result<(), ApiError> {
    for upload in api.db.call(|sql| Ok(uploads::abandoned(sql)?)).await? {
        api.db.write(move |sql| abandon(sql, &upload)).await?;
        api.queue.wake();
    }
    Ok(())
}

/// Clears, again and again, the files that a killed process was at work on. No job of the queue: each instance may have a
/// media folder of its own, and a job is done by one of them.
pub(super) async fn clear_temporary(api: &Arc<Api>) {
    loop {
        let local = api.storage.local.clone();
        match intake::blocking(move || local.sweep()).await {
            Ok(Ok(())) => {}
            Ok(Err(e)) => tracing::warn!("temporary files could not be looked through: {e}"),
            Err(e) => tracing::warn!("temporary files could not be looked through: {e}"),
        }
        tokio::time::sleep(api.config.sweep_every).await;
    }
}

async fn empty_trash(api: &Arc<Api>) -> Result<(), ApiError> {
    let days = i64::try_from(api.config.trash_days).unwrap_or(3650);
    let before = now_ms() - days * 86_400_000;
    loop {
        let remove = move |sql: &mut Sql| {
            let rows = photos::trashed_before(sql, before, 100)?;
            for row in &rows {
                discard_photo(sql, row)?;
            }
            let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
            if !ids.is_empty() {
                photos::delete(sql, &ids)?;
            }
            Ok(ids.len())
        };
        if api.db.write(remove).await? == 0 {
            return api.db.write(move |sql| Ok(removed::forget_before(sql, before)?)).await;
        }
        api.queue.wake();
    }
}
