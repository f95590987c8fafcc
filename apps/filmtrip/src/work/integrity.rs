//! A look through all files: is everything there that a row speaks of?

use std::sync::Arc;

use super::Done;
use crate::db::photos::{self, PhotoRow, Variants};
use crate::db::sql::Sql;
use crate::db::{integrity as db, now_ms};
use crate::error::ApiError;
use crate::images::VARIANTS;
use crate::routes::api::Api;
use crate::storage::names;

const BATCH: u32 = 100;

pub(super) async fn integrity(api: &Arc<Api>) -> Result<Done, ApiError> {
    let (mut last, mut looked_at, mut faults) = (0, 0_u64, Vec::new());
    loop {
        let rows = api.db.call(move |sql| Ok(photos::after(sql, last, BATCH)?)).await?;
        let Some(end) = rows.last() else { break };
        last = end.id;
        for row in &rows {
            looked_at += 1;
            // A file that cannot be asked for is a fault of its photo, not the end of the look.
            let problem = look(api, row)
                .await
                .unwrap_or_else(|e| Some(format!("could not be looked at: {}", e.detail())));
            faults.extend(problem.map(|problem| (row.id, problem)));
        }
    }
    let write = move |sql: &mut Sql| Ok(db::record(sql, now_ms(), looked_at, &faults)?);
    api.db.write(write).await?;
    Ok(Done::Finished)
}

/// What is wrong with the files of a photo.
async fn look(api: &Api, row: &PhotoRow) -> Result<Option<String>, ApiError> {
    let mut problems = Vec::new();
    match api.storage.head(row.backend, &row.object).await? {
        None => problems.push("the original is missing".to_owned()),
        Some(meta) if meta.bytes != row.bytes => {
            problems.push(format!("the original has {} bytes instead of {}", meta.bytes, row.bytes));
        }
        Some(meta) if meta.md5.is_some() && row.md5.is_some() && meta.md5 != row.md5 => {
            problems.push("the original is another file".to_owned());
        }
        Some(_) => {}
    }
    if let Variants::Stored(backend) = row.variants {
        for (name, _) in VARIANTS {
            let kinds: &[&str] = if row.webp { &["jpg", "webp"] } else { &["jpg"] };
            for kind in kinds {
                let file = format!("{name}.{kind}");
                match api.storage.head(backend, &names::variant(&row.key, &file)).await? {
                    None => problems.push(format!("{file} is missing")),
                    Some(meta) if meta.bytes == 0 => problems.push(format!("{file} is empty")),
                    Some(_) => {}
                }
            }
        }
    } else if let Some(upyun) = &api.storage.upyun
        && let Err(e) = upyun.read_style(&row.object, 0, false).await
    {
        problems.push(format!("the CDN does not show it: {e}"));
    }
    Ok((!problems.is_empty()).then(|| problems.join("; ")))
}
