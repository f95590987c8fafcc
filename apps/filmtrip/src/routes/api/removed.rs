//! Rolls and albums in the trash.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::Deserialize;

use super::photos::others;
use super::{Change, MaybeSession, Session, Shared};
use crate::db::removed::{self, RemovedRow};
use crate::db::sql::Sql;
use crate::db::visibility::Viewer;
use crate::error::ApiError;
use crate::model::{Removed, RemovedList};

#[derive(Debug, Deserialize)]
pub(super) struct TrashQuery {
    before: Option<String>,
}

/// `GET /api/trash`: what the account may bring back; for admins, everybody's.
pub(super) async fn list(
    State(api): Shared,
    session: Session,
    Query(query): Query<TrashQuery>,
) -> Result<Json<RemovedList>, ApiError> {
    let viewer = session.viewer();
    let read = move |sql: &mut Sql| {
        let (rows, more) = removed::page(sql, viewer, query.before.as_deref())?;
        Ok((rows, more, others(sql, &MaybeSession(Some(session)))?))
    };
    let (rows, more, others) = api.db.call(read).await?;
    let next = rows.last().filter(|_| more).map(|row| row.removed.key.clone());
    let one = |row: RemovedRow| Removed { owner: others.get(&row.owner_id).cloned(), ..row.removed };
    Ok(Json(RemovedList { removed: rows.into_iter().map(one).collect(), next }))
}

/// What the viewer may bring back; anything else does not exist for them.
fn own(sql: &mut Sql, key: &str, viewer: Viewer) -> Result<RemovedRow, ApiError> {
    removed::by_key(sql, key)?.filter(|row| viewer.may_edit(row.owner_id)).ok_or(ApiError::NotFound)
}

/// `POST /api/trash/{key}/restore`.
pub(super) async fn restore(
    State(api): Shared,
    Change(session): Change,
    Path(key): Path<String>,
) -> Result<Json<Removed>, ApiError> {
    let viewer = session.viewer();
    let write = move |sql: &mut Sql| {
        let row = own(sql, &key, viewer)?;
        removed::restore(sql, &row)?;
        Ok(row.removed)
    };
    Ok(Json(api.db.write(write).await?))
}

/// `DELETE /api/trash/{key}`: for ever.
pub(super) async fn forget(
    State(api): Shared,
    Change(session): Change,
    Path(key): Path<String>,
) -> Result<StatusCode, ApiError> {
    let viewer = session.viewer();
    let write = move |sql: &mut Sql| {
        let row = own(sql, &key, viewer)?;
        Ok(removed::forget(sql, row.id)?)
    };
    api.db.write(write).await?;
    Ok(StatusCode::NO_CONTENT)
}
