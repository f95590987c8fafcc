//! What the sizes of photos take that were stored before anybody noted it.

use std::sync::Arc;

use super::{Done, Kind};
use crate::db::sql::{DbResult, Sql};
use crate::db::usage::{self, Unmeasured};
use crate::db::{jobs, now_ms};
use crate::error::ApiError;
use crate::images::variant_files;
use crate::routes::api::Api;
use crate::storage::names;

const BATCH: u32 = 50;

/// Has them measured when there are any, unless it was tried in vain: then that waits for an admin.
pub(super) fn when_needed(sql: &mut Sql) -> DbResult<()> {
    let kind = Kind::Measure.as_str();
    if usage::unmeasured(sql, 0, 1)?.is_empty() || jobs::exists(sql, kind, "all")? {
        return Ok(());
    }
    Kind::Measure.enqueue(sql, "all", now_ms())
}

/// The bytes of each file; of one that is missing none, which the check of all files tells of.
async fn files(api: &Api, photo: &Unmeasured) -> Result<[u64; 6], ApiError> {
    let mut bytes = [0; 6];
    for (file, bytes) in variant_files().zip(&mut bytes) {
        let meta = api.storage.head(photo.backend, &names::variant(&photo.key, &file)).await?;
        *bytes = meta.map_or(0, |meta| meta.bytes);
    }
    Ok(bytes)
}

pub(super) async fn measure(api: &Arc<Api>) -> Result<Done, ApiError> {
    let (mut last, mut failed) = (0, None);
    loop {
        let rows = api.db.call(move |sql| Ok(usage::unmeasured(sql, last, BATCH)?)).await?;
        let Some(end) = rows.last() else { break };
        last = end.id;
        let mut measured = Vec::with_capacity(rows.len());
        for row in rows {
            if super::stopping(api) {
                return Ok(Done::Again(now_ms()));
            }
            // One that cannot be asked for does not keep the others from it.
            match files(api, &row).await {
                Ok(bytes) => measured.push((row, bytes)),
                Err(e) => failed = Some(e),
            }
        }
        let note = move |sql: &mut Sql| {
            for (row, bytes) in &measured {
                usage::record(sql, row.id, &row.key, *bytes)?;
            }
            Ok(())
        };
        api.db.write(note).await?;
    }
    failed.map_or(Ok(Done::Finished), Err)
}
