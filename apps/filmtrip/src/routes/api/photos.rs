//! Listing, showing, changing and deleting photos, and rolls.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use serde::Deserialize;

use super::{Api, Change, MaybeSession, Session, Shared};
use crate::db::photos::{self, PageQuery, PhotoRow, Viewer};
use crate::db::rolls;
use crate::error::ApiError;
use crate::images::VARIANTS;
use crate::model::{Image, Images, NewRoll, Photo, PhotoChange, PhotoPage, Roll, RollList, Visibility};
use crate::storage::{is_key, new_key};

const PAGE: u32 = 24;
const MAX_PAGE: u32 = 100;
/// Longest title in characters.
pub(super) const MAX_TITLE: usize = 120;
/// Longest caption in characters.
pub(super) const MAX_CAPTION: usize = 2000;

/// The JSON of a photo for a viewer.
pub(super) fn to_json(api: &Api, row: PhotoRow, viewer: Viewer) -> Photo {
    // Private images need the session cookie, which another host would not get.
    let base =
        if row.visibility == Visibility::Private { "/media" } else { api.config.image_base_url.as_str() };
    let image = |index: usize, (width, height): (u32, u32)| Image {
        url: format!("{base}/{}/{}.jpg", row.key, VARIANTS[index].0),
        width,
        height,
    };
    let images = Images {
        thumb: image(0, row.sizes.thumb),
        preview: image(1, row.sizes.preview),
        large: image(2, row.sizes.large),
    };
    let created = jiff::Timestamp::from_millisecond(row.created_at).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    Photo {
        editable: viewer.may_edit(&row),
        images,
        key: row.key,
        title: row.title,
        caption: row.caption,
        visibility: row.visibility,
        width: row.width,
        height: row.height,
        created_at: created.to_string(),
        roll: row.roll,
    }
}

/// A photo that the viewer may see; anything else does not exist for them.
pub(super) async fn find(api: &Api, key: &str, viewer: Viewer) -> Result<PhotoRow, ApiError> {
    if !is_key(key) {
        return Err(ApiError::NotFound);
    }
    let key = key.to_owned();
    let row = api.db.call(move |conn| Ok(photos::by_key(conn, &key)?)).await?;
    row.filter(|row| viewer.may_see(row)).ok_or(ApiError::NotFound)
}

async fn find_own(api: &Api, key: &str, session: &Session) -> Result<PhotoRow, ApiError> {
    let viewer = session.viewer();
    let row = find(api, key, viewer).await?;
    if viewer.may_edit(&row) { Ok(row) } else { Err(ApiError::Forbidden) }
}

#[derive(Debug, Deserialize)]
pub(super) struct ListQuery {
    before: Option<String>,
    limit: Option<u32>,
    #[serde(default)]
    mine: bool,
    roll: Option<String>,
}

/// `GET /api/photos`: public photos, or with `mine=true` what the account may edit.
pub(super) async fn list(
    State(api): Shared,
    session: MaybeSession,
    Query(query): Query<ListQuery>,
) -> Result<impl IntoResponse, ApiError> {
    if query.mine && session.0.is_none() {
        return Err(ApiError::Unauthenticated);
    }
    let viewer = session.viewer();
    let limit = query.limit.unwrap_or(PAGE).clamp(1, MAX_PAGE);
    let query = PageQuery { viewer, mine: query.mine, roll: query.roll, before: query.before, limit };
    let read =
        move |conn: &mut rusqlite::Connection| Ok((photos::page(conn, &query)?, photos::features(conn)?));
    let ((rows, more), features) = api.db.call(read).await?;
    let next = if more { rows.last().map(|row| row.key.clone()) } else { None };
    let photos = rows.into_iter().map(|row| to_json(&api, row, viewer)).collect();
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(PhotoPage { photos, next, features })))
}

/// `GET /api/photos/{key}`.
pub(super) async fn one(
    State(api): Shared,
    session: MaybeSession,
    Path(key): Path<String>,
) -> Result<impl IntoResponse, ApiError> {
    let viewer = session.viewer();
    let row = find(&api, &key, viewer).await?;
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(to_json(&api, row, viewer))))
}

/// `PATCH /api/photos/{key}`: title, caption, visibility.
pub(super) async fn change(
    State(api): Shared,
    Change(session): Change,
    Path(key): Path<String>,
    Json(change): Json<PhotoChange>,
) -> Result<Json<Photo>, ApiError> {
    let row = find_own(&api, &key, &session).await?;
    check_length("title", change.title.as_deref(), MAX_TITLE)?;
    check_length("caption", change.caption.as_deref(), MAX_CAPTION)?;
    let write = move |tx: &rusqlite::Transaction<'_>| {
        if change.caption.is_some() && !photos::features(tx)?.captions {
            return Err(ApiError::BadRequest("captions are not available yet".to_owned()));
        }
        photos::change(tx, row.id, &change)?;
        photos::by_key(tx, &row.key)?.ok_or(ApiError::NotFound)
    };
    let row = api.db.write(write).await?;
    Ok(Json(to_json(&api, row, session.viewer())))
}

/// Refuses a text that is too long, naming the field.
pub(super) fn check_length(field: &str, text: Option<&str>, max: usize) -> Result<(), ApiError> {
    if text.is_some_and(|t| t.chars().count() > max) {
        return Err(ApiError::BadRequest(format!("{field} has more than {max} characters")));
    }
    Ok(())
}

/// `DELETE /api/photos/{key}`: the row first, then the files, so that no row lacks its files.
pub(super) async fn delete(
    State(api): Shared,
    Change(session): Change,
    Path(key): Path<String>,
) -> Result<StatusCode, ApiError> {
    let row = find_own(&api, &key, &session).await?;
    let id = row.id;
    api.db.write(move |tx| Ok(photos::delete(tx, id)?)).await?;
    let storage = api.storage.clone();
    tokio::task::spawn_blocking(move || storage.remove(&row.original_key, &row.format, &row.key))
        .await
        .map_err(|e| ApiError::Internal(format!("delete: {e}")))?;
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /api/rolls`: the account's own.
pub(super) async fn rolls(State(api): Shared, session: Session) -> Result<Json<RollList>, ApiError> {
    let rolls = api.db.call(move |conn| Ok(rolls::of_owner(conn, session.user.id)?)).await?;
    Ok(Json(RollList { rolls }))
}

/// `POST /api/rolls`.
pub(super) async fn new_roll(
    State(api): Shared,
    Change(session): Change,
    Json(new): Json<NewRoll>,
) -> Result<(StatusCode, Json<Roll>), ApiError> {
    if new.title.trim().is_empty() {
        return Err(ApiError::BadRequest("a roll needs a title".to_owned()));
    }
    for (field, text) in [("title", &new.title), ("film_stock", &new.film_stock), ("camera", &new.camera)] {
        check_length(field, Some(text), MAX_TITLE)?;
    }
    let roll = Roll {
        key: new_key(),
        title: new.title.clone(),
        film_stock: new.film_stock.clone(),
        camera: new.camera.clone(),
    };
    let key = roll.key.clone();
    api.db.write(move |tx| Ok(rolls::create(tx, session.user.id, &key, &new)?)).await?;
    Ok((StatusCode::CREATED, Json(roll)))
}
