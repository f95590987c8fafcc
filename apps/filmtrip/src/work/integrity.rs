//! A look through all files: is everything there that a row speaks of?

use std::sync::Arc;
use std::time::Instant;

use futures_util::StreamExt;
use sha2::{Digest, Sha256};

use super::{Done, stopping};
use crate::db::photos::{self, PhotoRow, Variants};
use crate::db::sql::Sql;
use crate::db::{integrity as db, now_ms};
use crate::error::ApiError;
use crate::images::VARIANTS;
use crate::model::Coded;
use crate::routes::api::Api;
use crate::storage::{Backend, names};

const BATCH: u32 = 100;
/// Originals are read in turns of so many bytes, with a rest as long as the turn took: whoever looks at photos meanwhile
/// shall not notice.
const TURN: usize = 4 << 20;

pub(super) async fn integrity(api: &Arc<Api>) -> Result<Done, ApiError> {
    let (mut last, mut looked_at, mut faults) = (0, 0_u64, Vec::new());
    loop {
        let rows = api.db.call(move |sql| Ok(photos::after(sql, last, BATCH)?)).await?;
        let Some(end) = rows.last() else { break };
        last = end.id;
        for row in &rows {
            if stopping(api) {
                return Ok(Done::Again(now_ms()));
            }
            looked_at += 1;
            // A file that cannot be asked for is a fault of its photo, not the end of the look.
            let problems =
                look(api, row).await.unwrap_or_else(|e| vec![Coded::new("unreadable", e.detail())]);
            if !problems.is_empty() {
                let lines: Vec<String> = problems.iter().map(Coded::line).collect();
                faults.push((row.id, lines.join("\n")));
            }
        }
    }
    // The last photo was not looked at to its end.
    if stopping(api) {
        return Ok(Done::Again(now_ms()));
    }
    let write = move |sql: &mut Sql| Ok(db::record(sql, now_ms(), looked_at, &faults)?);
    api.db.write(write).await?;
    Ok(Done::Finished)
}

/// The digest of an original, read slowly; none when the process is ending.
async fn digest(api: &Api, row: &PhotoRow) -> Result<Option<[u8; 32]>, ApiError> {
    let mut content = api.storage.read(row.backend, &row.object).await?;
    let (mut sha, mut turn, mut began) = (Sha256::new(), 0, Instant::now());
    while let Some(chunk) = content.stream.next().await {
        let chunk = chunk?;
        sha.update(&chunk);
        turn += chunk.len();
        if turn >= TURN {
            if stopping(api) {
                return Ok(None);
            }
            tokio::time::sleep(began.elapsed()).await;
            (turn, began) = (0, Instant::now());
        }
    }
    Ok(Some(sha.finalize().into()))
}

/// Whether the bytes of an original are those that were stored. Only of the media folder: a disk tells nobody that it
/// forgets, an object store keeps digests of its own, and charges for what is read.
async fn same_bytes(api: &Api, row: &PhotoRow) -> Result<bool, ApiError> {
    if row.backend != Backend::Local {
        return Ok(true);
    }
    let Some(sha256) = digest(api, row).await? else { return Ok(true) };
    let id = row.id;
    api.db.call(move |sql| Ok(photos::has_digest(sql, id, sha256)?)).await
}

/// What is wrong with the files of a photo.
async fn look(api: &Api, row: &PhotoRow) -> Result<Vec<Coded>, ApiError> {
    let mut problems = Vec::new();
    let mut found = |code: &str, detail: String| problems.push(Coded::new(code, detail));
    match api.storage.head(row.backend, &row.object).await? {
        None => found("original_missing", String::new()),
        Some(meta) if meta.bytes != row.bytes => {
            found("original_size", format!("{}/{}", meta.bytes, row.bytes));
        }
        Some(meta) if meta.md5.is_some() && row.md5.is_some() && meta.md5 != row.md5 => {
            found("original_replaced", String::new());
        }
        Some(_) if !same_bytes(api, row).await? => {
            // Not of a photo that was deleted for ever meanwhile.
            let id = row.id;
            if api.db.call(move |sql| Ok(photos::by_id(sql, id)?)).await?.is_some() {
                found("original_damaged", "SHA-256".to_owned());
            }
        }
        Some(_) => {}
    }
    if let Variants::Stored(backend) = row.variants {
        for (name, _) in VARIANTS {
            let kinds: &[&str] = if row.webp { &["jpg", "webp"] } else { &["jpg"] };
            for kind in kinds {
                let file = format!("{name}.{kind}");
                match api.storage.head(backend, &names::variant(&row.key, &file)).await? {
                    None => found("file_missing", file),
                    Some(meta) if meta.bytes == 0 => found("file_empty", file),
                    Some(_) => {}
                }
            }
        }
    } else if let Some(upyun) = &api.storage.upyun
        && let Err(e) = upyun.read_style(&row.object, 0, false).await
    {
        found("not_shown", e.to_string());
    }
    Ok(problems)
}
