//! Rolls, albums, tags, gear and the map.

use std::collections::HashMap;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::Deserialize;

use super::photos::{others, own_all, thumb};
use super::{Api, Change, MaybeSession, Shared, check};
use crate::db::albums::{self, AlbumRow};
use crate::db::catalogue;
use crate::db::photos::{self, PhotoRow};
use crate::db::removed;
use crate::db::rolls::{self, RollRow, Which};
use crate::db::sql::Sql;
use crate::db::visibility::Viewer;
use crate::error::ApiError;
use crate::model::{
    Album, AlbumBody, AlbumList, Gear, MapPoint, MapPoints, PhotoKeys, Roll, RollBody, RollList, TagList,
    UserRole,
};
use crate::storage::new_key;

/// Most photos of an album.
const MAX_ALBUM: usize = 5000;
/// Rolls with photos for everybody, of a page.
const ROLLS_PAGE: u32 = 48;
/// Most rolls of a page, and as many as one has when nothing else is asked for.
const MOST_ROLLS: u32 = 1000;
/// The same of albums.
const MOST_ALBUMS: u32 = 500;
/// Frames that show what is on a roll.
const STRIP: u32 = 4;

#[derive(Debug, Deserialize)]
pub(super) struct Mine {
    #[serde(default)]
    mine: bool,
    before: Option<String>,
    limit: Option<u32>,
}

impl Mine {
    fn of(&self, session: &MaybeSession) -> Result<bool, ApiError> {
        if self.mine && session.0.is_none() { Err(ApiError::Unauthenticated) } else { Ok(self.mine) }
    }
}

fn roll_json(row: RollRow, viewer: Viewer) -> Roll {
    Roll { editable: viewer.may_edit(row.owner_id), ..row.roll }
}

/// A roll that the viewer may change.
pub(super) fn own_roll(sql: &mut Sql, viewer: Viewer, key: &str) -> Result<RollRow, ApiError> {
    let row = rolls::by_key(sql, viewer, key)?.ok_or(ApiError::NotFound)?;
    match viewer.may_edit(row.owner_id) {
        true => Ok(row),
        false if row.roll.photos == Some(0) => Err(ApiError::NotFound),
        false => Err(ApiError::Forbidden),
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct RollQuery {
    #[serde(default)]
    public: bool,
    before: Option<String>,
    limit: Option<u32>,
}

/// `GET /api/rolls`: the account's own; for admins, all. With `public=true` those with public photos.
pub(super) async fn rolls(
    State(api): Shared,
    session: MaybeSession,
    Query(query): Query<RollQuery>,
) -> Result<Json<RollList>, ApiError> {
    if query.public {
        return public_rolls(&api, session.viewer(), query.before).await.map(Json);
    }
    let (viewer, own) = (session.viewer(), session.0.as_ref().ok_or(ApiError::Unauthenticated)?);
    let which = if own.user.role == UserRole::Admin { Which::All } else { Which::Of(own.user.id) };
    let limit = query.limit.unwrap_or(MOST_ROLLS).clamp(1, MOST_ROLLS);
    let read = move |sql: &mut Sql| {
        let (rows, more) = rolls::page(sql, which, query.before.as_deref(), limit)?;
        Ok((rows, more, others(sql, &session)?))
    };
    let (rows, more, others) = api.db.call(read).await?;
    let next = rows.last().filter(|_| more).map(|row| row.roll.key.clone());
    let roll = |row: RollRow| Roll { owner: others.get(&row.owner_id).cloned(), ..roll_json(row, viewer) };
    Ok(Json(RollList { rolls: rows.into_iter().map(roll).collect(), next }))
}

async fn public_rolls(api: &Api, viewer: Viewer, before: Option<String>) -> Result<RollList, ApiError> {
    let read = move |sql: &mut Sql| {
        let (rows, more) = rolls::page(sql, Which::Public, before.as_deref(), ROLLS_PAGE)?;
        let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
        let frames = photos::first_frames(sql, &ids, STRIP)?;
        Ok((rows, frames, more))
    };
    let (rows, frames, more) = api.db.call(read).await?;
    let next = rows.last().filter(|_| more).map(|row| row.roll.key.clone());
    let strip = |key: &str| {
        let of_roll = |photo: &&photos::PhotoRow| photo.roll.as_ref().is_some_and(|roll| roll.key == key);
        frames.iter().filter(of_roll).map(|photo| thumb(api, photo)).collect()
    };
    let roll = |row: RollRow| Roll { strip: strip(&row.roll.key), ..roll_json(row, viewer) };
    Ok(RollList { rolls: rows.into_iter().map(roll).collect(), next })
}

/// `GET /api/rolls/{key}`: one without photos that the viewer may see is as if it were not there.
pub(super) async fn roll(
    State(api): Shared,
    session: MaybeSession,
    Path(key): Path<String>,
) -> Result<Json<Roll>, ApiError> {
    let viewer = session.viewer();
    let row = api.db.call(move |sql| Ok(rolls::by_key(sql, viewer, &key)?)).await?;
    let roll = roll_json(row.ok_or(ApiError::NotFound)?, viewer);
    if roll.editable || roll.photos != Some(0) { Ok(Json(roll)) } else { Err(ApiError::NotFound) }
}

/// `POST /api/rolls`.
pub(super) async fn new_roll(
    State(api): Shared,
    Change(session): Change,
    Json(body): Json<RollBody>,
) -> Result<(StatusCode, Json<Roll>), ApiError> {
    check::roll(&body)?;
    let (viewer, owner, key) = (session.viewer(), session.user.id, new_key());
    let write = move |sql: &mut Sql| {
        rolls::create(sql, owner, &key, &body)?;
        rolls::by_key(sql, viewer, &key)?.ok_or(ApiError::NotFound)
    };
    Ok((StatusCode::CREATED, Json(roll_json(api.db.write(write).await?, viewer))))
}

/// `PUT /api/rolls/{key}`.
pub(super) async fn change_roll(
    State(api): Shared,
    Change(session): Change,
    Path(key): Path<String>,
    Json(body): Json<RollBody>,
) -> Result<Json<Roll>, ApiError> {
    check::roll(&body)?;
    let viewer = session.viewer();
    let write = move |sql: &mut Sql| {
        let row = own_roll(sql, viewer, &key)?;
        rolls::change(sql, row.id, &body)?;
        rolls::by_key(sql, viewer, &key)?.ok_or(ApiError::NotFound)
    };
    Ok(Json(roll_json(api.db.write(write).await?, viewer)))
}

/// `DELETE /api/rolls/{key}`: into the trash; its photos stay.
pub(super) async fn delete_roll(
    State(api): Shared,
    Change(session): Change,
    Path(key): Path<String>,
) -> Result<StatusCode, ApiError> {
    let viewer = session.viewer();
    let write = move |sql: &mut Sql| {
        let row = own_roll(sql, viewer, &key)?;
        if removed::available(sql)? {
            removed::keep_roll(sql, &row)?;
        }
        Ok(rolls::delete(sql, row.id)?)
    };
    api.db.write(write).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn album_json(api: &Api, sql: &mut Sql, row: AlbumRow, viewer: Viewer) -> Result<Album, ApiError> {
    let rows = vec![row];
    let content = albums::contents(sql, &rows, viewer)?;
    let album = rows.into_iter().next().map(|row| shown(api, row, &content, viewer));
    album.ok_or(ApiError::NotFound)
}

fn shown(api: &Api, row: AlbumRow, content: &HashMap<i64, (u64, PhotoRow)>, viewer: Viewer) -> Album {
    let content = content.get(&row.id);
    let AlbumBody { title, description, kind, visibility, starts_on, ends_on } = row.body;
    Album {
        key: row.key,
        title,
        description,
        kind,
        visibility,
        starts_on,
        ends_on,
        photos: content.map_or(0, |(photos, _)| *photos),
        cover: content.map(|(_, first)| thumb(api, first)),
        owner: None,
        editable: viewer.may_edit(row.owner_id),
    }
}

fn visible_album(sql: &mut Sql, viewer: Viewer, key: &str) -> Result<AlbumRow, ApiError> {
    albums::by_key(sql, key)?.filter(|album| album.visible_to(viewer)).ok_or(ApiError::NotFound)
}

fn own_album(sql: &mut Sql, viewer: Viewer, key: &str) -> Result<AlbumRow, ApiError> {
    let row = visible_album(sql, viewer, key)?;
    if viewer.may_edit(row.owner_id) { Ok(row) } else { Err(ApiError::Forbidden) }
}

/// `GET /api/albums`: public ones, or with `mine=true` what the account may edit.
pub(super) async fn list(
    State(api): Shared,
    session: MaybeSession,
    Query(query): Query<Mine>,
) -> Result<Json<AlbumList>, ApiError> {
    let (mine, viewer) = (query.of(&session)?, session.viewer());
    let (state, limit) = (api.clone(), query.limit.unwrap_or(MOST_ALBUMS).clamp(1, MOST_ALBUMS));
    let read = move |sql: &mut Sql| {
        let (rows, more) = albums::page(sql, viewer, mine, query.before.as_deref(), limit)?;
        let next = rows.last().filter(|_| more).map(|row| row.key.clone());
        let content = albums::contents(sql, &rows, viewer)?;
        let others = if mine { others(sql, &session)? } else { HashMap::new() };
        let album = |row: AlbumRow| {
            let owner = others.get(&row.owner_id).cloned();
            Album { owner, ..shown(&state, row, &content, viewer) }
        };
        Ok(AlbumList { albums: rows.into_iter().map(album).collect(), next })
    };
    Ok(Json(api.db.call(read).await?))
}

/// `GET /api/albums/{key}`.
pub(super) async fn album(
    State(api): Shared,
    session: MaybeSession,
    Path(key): Path<String>,
) -> Result<Json<Album>, ApiError> {
    let viewer = session.viewer();
    let state = api.clone();
    let read = move |sql: &mut Sql| {
        let row = visible_album(sql, viewer, &key)?;
        album_json(&state, sql, row, viewer)
    };
    Ok(Json(api.db.call(read).await?))
}

/// `POST /api/albums`.
pub(super) async fn new_album(
    State(api): Shared,
    Change(session): Change,
    Json(body): Json<AlbumBody>,
) -> Result<(StatusCode, Json<Album>), ApiError> {
    check::album(&body)?;
    let (state, viewer, owner, key) = (api.clone(), session.viewer(), session.user.id, new_key());
    let write = move |sql: &mut Sql| {
        if !albums::available(sql)? {
            return Err(ApiError::NotFound);
        }
        albums::create(sql, owner, &key, &body)?;
        let row = own_album(sql, viewer, &key)?;
        album_json(&state, sql, row, viewer)
    };
    Ok((StatusCode::CREATED, Json(api.db.write(write).await?)))
}

/// `PUT /api/albums/{key}`.
pub(super) async fn change_album(
    State(api): Shared,
    Change(session): Change,
    Path(key): Path<String>,
    Json(body): Json<AlbumBody>,
) -> Result<Json<Album>, ApiError> {
    check::album(&body)?;
    let (state, viewer) = (api.clone(), session.viewer());
    let write = move |sql: &mut Sql| {
        let row = own_album(sql, viewer, &key)?;
        albums::change(sql, row.id, &body)?;
        let row = own_album(sql, viewer, &key)?;
        album_json(&state, sql, row, viewer)
    };
    Ok(Json(api.db.write(write).await?))
}

/// `DELETE /api/albums/{key}`: into the trash; its photos stay.
pub(super) async fn delete_album(
    State(api): Shared,
    Change(session): Change,
    Path(key): Path<String>,
) -> Result<StatusCode, ApiError> {
    let viewer = session.viewer();
    let write = move |sql: &mut Sql| {
        let row = own_album(sql, viewer, &key)?;
        if removed::available(sql)? {
            removed::keep_album(sql, &row)?;
        }
        Ok(albums::delete(sql, row.id)?)
    };
    api.db.write(write).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `PUT /api/albums/{key}/photos`: its whole content, in order. Only photos that the account may edit.
pub(super) async fn album_photos(
    State(api): Shared,
    Change(session): Change,
    Path(key): Path<String>,
    Json(body): Json<PhotoKeys>,
) -> Result<Json<Album>, ApiError> {
    if body.keys.len() > MAX_ALBUM {
        return Err(ApiError::BadRequest(format!("more than {MAX_ALBUM} photos in an album")));
    }
    let (state, viewer) = (api.clone(), session.viewer());
    let write = move |sql: &mut Sql| {
        let row = own_album(sql, viewer, &key)?;
        let ids: Vec<i64> = own_all(sql, &body.keys, viewer)?.iter().map(|photo| photo.id).collect();
        albums::set_photos(sql, row.id, &ids)?;
        album_json(&state, sql, row, viewer)
    };
    Ok(Json(api.db.write(write).await?))
}

/// `GET /api/tags`.
pub(super) async fn tags(
    State(api): Shared,
    session: MaybeSession,
    Query(query): Query<Mine>,
) -> Result<Json<TagList>, ApiError> {
    let (mine, viewer) = (query.of(&session)?, session.viewer());
    Ok(Json(api.db.call(move |sql| Ok(catalogue::tags(sql, viewer, mine)?)).await?))
}

/// `GET /api/gear`.
pub(super) async fn gear(
    State(api): Shared,
    session: MaybeSession,
    Query(query): Query<Mine>,
) -> Result<Json<Gear>, ApiError> {
    let (mine, viewer) = (query.of(&session)?, session.viewer());
    Ok(Json(api.db.call(move |sql| Ok(catalogue::gear(sql, viewer, mine)?)).await?))
}

/// `GET /api/map`.
pub(super) async fn map(
    State(api): Shared,
    session: MaybeSession,
    Query(query): Query<Mine>,
) -> Result<Json<MapPoints>, ApiError> {
    let (mine, viewer) = (query.of(&session)?, session.viewer());
    let read = move |sql: &mut Sql| Ok(catalogue::located(sql, viewer, mine, query.before.as_deref())?);
    let (rows, more) = api.db.call(read).await?;
    let next = rows.last().filter(|_| more > 0).map(|row| row.key.clone());
    let point = |row: PhotoRow| {
        let (lat, lon) = row.location?;
        let thumb = thumb(&api, &row);
        Some(MapPoint { key: row.key, title: row.title, lat, lon, thumb })
    };
    Ok(Json(MapPoints { points: rows.into_iter().filter_map(point).collect(), more, next }))
}
