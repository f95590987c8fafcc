//! Listing, showing, changing and deleting photos.

use std::collections::{HashMap, HashSet};

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::session::client;
use super::{Api, Change, MaybeSession, Shared, check};
use crate::auth;
use crate::db::migrations::{self, FILE_NAMES, LISTED};
use crate::db::photos::{self, Order, PageQuery, PhotoRow, Variants};
use crate::db::sql::Sql;
use crate::db::visibility::{Scope, Viewer};
use crate::db::{accounts, albums, now_ms, removed, reports, rfc3339, rolls, search};
use crate::error::ApiError;
use crate::images::VARIANTS;
use crate::model::{
    BulkAction, BulkBody, BulkDone, Features, FrameOrder, Image, Images, Location, Neighbours, Photo,
    PhotoChange, PhotoPage, ShortLink, Visibility,
};
use crate::storage::{Backend, is_code, is_key, new_code};
use crate::work::{self, Kind};

const PAGE: u32 = 24;
const MAX_PAGE: u32 = 100;
const MAX_BULK: usize = 500;

/// Where the sizes of a photo are, for everybody who may see it.
fn images(api: &Api, row: &PhotoRow) -> Images {
    let upyun = api.storage.upyun.as_deref().filter(|_| row.variants == Variants::Style);
    // Private images need the session cookie, which another host would not get.
    let private = row.visibility == Visibility::Private;
    let base = if private { "/media" } else { api.config.image_base_url.as_str() };
    let image = |index: usize, (width, height): (u32, u32)| {
        let name = VARIANTS[index].0;
        let (url, webp) = match upyun {
            Some(upyun) if !private => {
                (upyun.style_url(&row.object, index, false), upyun.style_url(&row.object, index, true))
            }
            _ => (format!("{base}/{}/{name}.jpg", row.key), format!("{base}/{}/{name}.webp", row.key)),
        };
        Image { url, webp: row.webp.then_some(webp), width, height }
    };
    Images {
        thumb: image(0, row.sizes.thumb),
        preview: image(1, row.sizes.preview),
        large: image(2, row.sizes.large),
    }
}

/// The smallest size of a photo.
pub(super) fn thumb(api: &Api, row: &PhotoRow) -> Image {
    images(api, row).thumb
}

/// The JSON of a photo for a viewer.
pub(super) fn to_json(api: &Api, row: PhotoRow, viewer: Viewer) -> Photo {
    let editable = viewer.may_edit(row.owner_id);
    let images = images(api, &row);
    let own_or = |own: String, rolls: Option<&String>| {
        if own.is_empty() { rolls.cloned().unwrap_or_default() } else { own }
    };
    let roll = row.roll;
    let location = row.location.filter(|_| editable || row.location_shown);
    Photo {
        key: row.key,
        title: row.title,
        caption: row.caption,
        visibility: row.visibility,
        width: row.width,
        height: row.height,
        created_at: rfc3339(row.created_at),
        taken_at: row.taken_at,
        frame: row.frame,
        film_stock: own_or(row.film_stock, roll.as_ref().map(|r| &r.film_stock)),
        camera: own_or(row.camera, roll.as_ref().map(|r| &r.camera)),
        lens: own_or(row.lens, roll.as_ref().map(|r| &r.lens)),
        roll,
        place: row.place,
        location: location.map(|(lat, lon)| Location { lat, lon, shown: row.location_shown }),
        tags: row.tags,
        exif: row.exif,
        images,
        thumbhash: row.thumbhash.map(|hash| STANDARD.encode(hash)),
        short: row.short,
        editable,
        file_name: None,
        owner: None,
        backend: editable.then(|| row.backend.as_str().to_owned()),
        deleted_at: row.deleted_at.filter(|_| editable).map(rfc3339),
        duplicate: false,
        reportable: false,
    }
}

/// A photo that the viewer may see; anything else does not exist for them.
pub(super) async fn find(api: &Api, key: &str, viewer: Viewer) -> Result<PhotoRow, ApiError> {
    if !is_key(key) {
        return Err(ApiError::NotFound);
    }
    let key = key.to_owned();
    let row = api.db.call(move |sql| Ok(photos::by_key(sql, &key)?)).await?;
    row.filter(|row| viewer.may_see(row)).ok_or(ApiError::NotFound)
}

/// A photo that the viewer may change. Looked up in the transaction of the change, so that nothing comes in between.
fn own(sql: &mut Sql, key: &str, viewer: Viewer) -> Result<PhotoRow, ApiError> {
    let row = photos::by_key(sql, key)?.filter(|row| viewer.may_see(row)).ok_or(ApiError::NotFound)?;
    if viewer.may_edit(row.owner_id) { Ok(row) } else { Err(ApiError::Forbidden) }
}

/// Whose what is that is not their own, for admins only.
pub(super) fn others(sql: &mut Sql, session: &MaybeSession) -> Result<HashMap<i64, String>, ApiError> {
    match &session.0 {
        Some(session) if session.viewer() == Viewer::Admin => Ok(accounts::others(sql, session.user.id)?),
        _ => Ok(HashMap::new()),
    }
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct ListQuery {
    before: Option<String>,
    limit: Option<u32>,
    #[serde(default)]
    mine: bool,
    #[serde(default)]
    trash: bool,
    roll: Option<String>,
    album: Option<String>,
    tag: Option<String>,
    q: Option<String>,
    film: Option<String>,
    camera: Option<String>,
    lens: Option<String>,
    scanner: Option<String>,
}

impl ListQuery {
    /// The query of a viewer; none when its album does not exist for them.
    fn resolve(self, sql: &mut Sql, viewer: Viewer) -> Result<Option<PageQuery>, ApiError> {
        let some = |text: Option<String>| text.filter(|t| !t.trim().is_empty());
        let mut scope = match (self.mine, self.trash) {
            (true, true) => Scope::Trash,
            (true, false) => Scope::Own,
            (false, _) => Scope::Public,
        };
        let mut order = if migrations::has(sql, LISTED)? { Order::Batches } else { Order::Newest };
        if let Some(key) = &self.album {
            let album = albums::by_key(sql, key)?.filter(|album| album.visible_to(viewer));
            let Some(album) = album else { return Ok(None) };
            order = Order::Album(album.id);
            if scope == Scope::Public {
                scope = album.scope();
            }
        } else if self.roll.is_some() {
            order = Order::Frames;
            if scope == Scope::Public {
                scope = Scope::Collection;
            }
        }
        let own = matches!(scope, Scope::Own | Scope::Trash);
        Ok(Some(PageQuery {
            viewer,
            scope,
            order,
            roll: self.roll,
            tag: some(self.tag).map(|t| search::tag(&t)),
            words: some(self.q),
            file_names: own && migrations::has(sql, FILE_NAMES)?,
            film: some(self.film),
            camera: some(self.camera),
            lens: some(self.lens),
            scanner: some(self.scanner),
            before: self.before,
            limit: self.limit.unwrap_or(PAGE).clamp(1, MAX_PAGE),
        }))
    }

    fn needs_session(&self) -> bool {
        self.mine || self.trash
    }
}

/// `GET /api/photos`: public photos, or with `mine=true` what the account may edit.
pub(super) async fn list(
    State(api): Shared,
    session: MaybeSession,
    Query(query): Query<ListQuery>,
) -> Result<impl IntoResponse, ApiError> {
    if query.needs_session() && session.0.is_none() {
        return Err(ApiError::Unauthenticated);
    }
    let viewer = session.viewer();
    let read = move |sql: &mut Sql| {
        let features = Features { albums: albums::available(sql)?, undo: removed::available(sql)? };
        let Some(query) = query.resolve(sql, viewer)? else {
            return Ok((Vec::new(), HashMap::new(), false, false, features));
        };
        let (rows, more) = photos::page(sql, &query)?;
        let gone = rows.is_empty() && photos::gone(sql, &query)?;
        let ids: Vec<i64> = rows.iter().filter(|_| query.file_names).map(|row| row.id).collect();
        let names = photos::file_names(sql, &ids)?;
        Ok((rows, names, more, gone, features))
    };
    let (rows, mut names, more, gone, features) = api.db.call(read).await?;
    let next = if more { rows.last().map(|row| row.key.clone()) } else { None };
    let photo = |row: PhotoRow| Photo { file_name: names.remove(&row.id), ..to_json(&api, row, viewer) };
    let photos = rows.into_iter().map(photo).collect();
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(PhotoPage { photos, next, gone, features })))
}

/// `GET /api/photos/{key}`.
pub(super) async fn one(
    State(api): Shared,
    session: MaybeSession,
    Path(key): Path<String>,
) -> Result<impl IntoResponse, ApiError> {
    let viewer = session.viewer();
    if !is_key(&key) {
        return Err(ApiError::NotFound);
    }
    let read = move |sql: &mut Sql| {
        let row = photos::by_key(sql, &key)?.filter(|row| viewer.may_see(row)).ok_or(ApiError::NotFound)?;
        let (id, owner) = (row.id, row.owner_id);
        let (owner, file_name) = match viewer.may_edit(owner) {
            true => (others(sql, &session)?.remove(&owner), photos::file_names(sql, &[id])?.remove(&id)),
            false => (None, None),
        };
        let reportable = Viewer::Anonymous.may_see(&row) && reports::available(sql)?;
        Ok((row, owner, file_name, reportable))
    };
    let (row, owner, file_name, reportable) = api.db.call(read).await?;
    let photo = Photo { owner, file_name, reportable, ..to_json(&api, row, viewer) };
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(photo)))
}

/// `GET /api/photos/{key}/neighbours`: with the query of the list that is being looked at.
pub(super) async fn neighbours(
    State(api): Shared,
    session: MaybeSession,
    Path(key): Path<String>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Neighbours>, ApiError> {
    if query.needs_session() && session.0.is_none() {
        return Err(ApiError::Unauthenticated);
    }
    let viewer = session.viewer();
    let row = find(&api, &key, viewer).await?;
    let query = ListQuery { before: Some(row.key), ..query };
    let read = move |sql: &mut Sql| match query.resolve(sql, viewer)? {
        Some(query) => Ok(photos::neighbours(sql, &query)?),
        None => Ok(Neighbours::default()),
    };
    Ok(Json(api.db.call(read).await?))
}

/// `PATCH /api/photos/{key}`.
pub(super) async fn change(
    State(api): Shared,
    Change(session): Change,
    Path(key): Path<String>,
    Json(change): Json<PhotoChange>,
) -> Result<Json<Photo>, ApiError> {
    check::change(&change)?;
    let viewer = session.viewer();
    let write = move |sql: &mut Sql| {
        let row = own(sql, &key, viewer)?;
        apply(sql, &row, &change, viewer)
    };
    let row = api.db.write(write).await?;
    api.queue.wake();
    Ok(Json(to_json(&api, row, session.viewer())))
}

/// Photos that the viewer may change, in the order of their keys; each once, however often it is named.
pub(super) fn own_all(sql: &mut Sql, keys: &[String], viewer: Viewer) -> Result<Vec<PhotoRow>, ApiError> {
    let rows = photos::by_keys(sql, keys)?;
    let mut found: HashMap<String, PhotoRow> = rows.into_iter().map(|row| (row.key.clone(), row)).collect();
    let mut own = Vec::with_capacity(found.len());
    let mut named = HashSet::new();
    for key in keys.iter().filter(|key| named.insert(key.as_str())) {
        let row = found.remove(key.as_str()).filter(|row| viewer.may_see(row)).ok_or(ApiError::NotFound)?;
        if !viewer.may_edit(row.owner_id) {
            return Err(ApiError::Forbidden);
        }
        own.push(row);
    }
    Ok(own)
}

/// Changes a photo, and has its original moved when its known address must not lead to it any more.
pub(super) fn apply(
    sql: &mut Sql,
    row: &PhotoRow,
    change: &PhotoChange,
    viewer: Viewer,
) -> Result<PhotoRow, ApiError> {
    if shows(change) {
        out_again(sql, &[row.id], viewer)?;
    }
    if let Some(Some(roll)) = &change.roll
        && !rolls::is_of(sql, roll, row.owner_id)?
    {
        return Err(ApiError::NoRoll);
    }
    if row.backend == Backend::Upyun && photos::hides(row, change) {
        Kind::Relocate.enqueue(sql, &row.key, now_ms())?;
    }
    Ok(photos::change(sql, row, change)?)
}

/// As [`apply`], for many at once: the database has one writer, and a statement for each photo would keep it busy.
fn apply_all(sql: &mut Sql, rows: &[PhotoRow], change: &PhotoChange, viewer: Viewer) -> Result<(), ApiError> {
    if shows(change) {
        out_again(sql, &ids(rows), viewer)?;
    }
    if let Some(Some(roll)) = &change.roll {
        let owners: HashSet<i64> = rows.iter().map(|row| row.owner_id).collect();
        for owner in owners {
            if !rolls::is_of(sql, roll, owner)? {
                return Err(ApiError::NoRoll);
            }
        }
    }
    let hides = |row: &&PhotoRow| row.backend == Backend::Upyun && photos::hides(row, change);
    let hidden: Vec<String> = rows.iter().filter(hides).map(|row| row.key.clone()).collect();
    Kind::Relocate.enqueue_all(sql, &hidden)?;
    Ok(photos::change_all(sql, &ids(rows), change)?)
}

/// Does a change lead others than the owner to the photo?
fn shows(change: &PhotoChange) -> bool {
    change.visibility.is_some_and(|v| v != Visibility::Private)
}

/// Before photos (row ids) are shown or brought back: what an admin has taken from the public is an admin's to show.
fn out_again(sql: &mut Sql, photos: &[i64], viewer: Viewer) -> Result<(), ApiError> {
    if viewer == Viewer::Admin {
        return Ok(reports::let_go(sql, photos)?);
    }
    if reports::any_held(sql, photos)? { Err(ApiError::Held) } else { Ok(()) }
}

fn ids(rows: &[PhotoRow]) -> Vec<i64> {
    rows.iter().map(|row| row.id).collect()
}

pub(super) fn into_trash(sql: &mut Sql, rows: &[PhotoRow]) -> Result<(), ApiError> {
    let shown = |row: &&PhotoRow| {
        row.deleted_at.is_none() && row.backend == Backend::Upyun && row.visibility != Visibility::Private
    };
    let hidden: Vec<String> = rows.iter().filter(shown).map(|row| row.key.clone()).collect();
    photos::trash_all(sql, &ids(rows))?;
    Ok(Kind::Relocate.enqueue_all(sql, &hidden)?)
}

fn for_ever(sql: &mut Sql, row: &PhotoRow) -> Result<(), ApiError> {
    work::discard_photo(sql, row)?;
    photos::delete(sql, &[row.id])?;
    Ok(())
}

#[derive(Debug, Deserialize)]
pub(super) struct DeleteQuery {
    #[serde(default)]
    forever: bool,
}

/// `DELETE /api/photos/{key}`: into the trash, or with `forever=true` for ever. The files go after the row, by the
/// queue: so no row ever lacks its files, and none of them stays behind.
pub(super) async fn delete(
    State(api): Shared,
    Change(session): Change,
    Path(key): Path<String>,
    Query(query): Query<DeleteQuery>,
) -> Result<StatusCode, ApiError> {
    let viewer = session.viewer();
    let write = move |sql: &mut Sql| {
        let row = own(sql, &key, viewer)?;
        match (query.forever, row.deleted_at) {
            (true, _) => for_ever(sql, &row),
            (false, Some(_)) => Err(ApiError::NotFound),
            (false, None) => into_trash(sql, std::slice::from_ref(&row)),
        }
    };
    api.db.write(write).await?;
    api.queue.wake();
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /api/photos/{key}/restore`.
pub(super) async fn restore(
    State(api): Shared,
    Change(session): Change,
    Path(key): Path<String>,
) -> Result<Json<Photo>, ApiError> {
    let viewer = session.viewer();
    let write = move |sql: &mut Sql| {
        let row = own(sql, &key, viewer)?;
        out_again(sql, &[row.id], viewer)?;
        photos::restore(sql, &[row.id])?;
        photos::by_id(sql, row.id)?.ok_or(ApiError::NotFound)
    };
    let row = api.db.write(write).await?;
    Ok(Json(to_json(&api, row, session.viewer())))
}

/// `POST /api/photos/bulk`.
pub(super) async fn bulk(
    State(api): Shared,
    Change(session): Change,
    Json(body): Json<BulkBody>,
) -> Result<Json<BulkDone>, ApiError> {
    if body.keys.len() > MAX_BULK {
        return Err(ApiError::BadRequest(format!("more than {MAX_BULK} photos at once")));
    }
    check::change(&body.change)?;
    check::tags(&body.add_tags)?;
    check::tags(&body.remove_tags)?;
    check::frames(body.frames_from, body.keys.len())?;
    let viewer = session.viewer();
    let write = move |sql: &mut Sql| {
        let mut rows = own_all(sql, &body.keys, viewer)?;
        if body.frames_from.is_some() && body.frames_order == FrameOrder::Names {
            by_name(sql, &mut rows)?;
        }
        match body.action {
            BulkAction::Change => {
                let ids = ids(&rows);
                apply_all(sql, &rows, &body.change, viewer)?;
                if let Some(first) = body.frames_from {
                    photos::count_frames(sql, &ids, first)?;
                }
                photos::add_tags_to(sql, &ids, &body.add_tags)?;
                photos::remove_tags(sql, &ids, &body.remove_tags)?;
                photos::refresh_search(sql, &ids)?;
            }
            BulkAction::Trash => into_trash(sql, &rows)?,
            BulkAction::Restore => {
                out_again(sql, &ids(&rows), viewer)?;
                photos::restore(sql, &ids(&rows))?;
            }
            BulkAction::Delete if rows.iter().all(|row| row.deleted_at.is_some()) => {
                rows.iter().try_for_each(|row| for_ever(sql, row))?;
            }
            BulkAction::Delete => {
                return Err(ApiError::BadRequest(
                    "only what is in the trash can be deleted for ever".to_owned(),
                ));
            }
        }
        if let Some(album) = body.album.as_deref().filter(|_| body.action == BulkAction::Change) {
            into_album(sql, album, &rows, viewer)?;
        }
        Ok(BulkDone { changed: rows.len() as u64 })
    };
    let done = api.db.write(write).await?;
    api.queue.wake();
    Ok(Json(done))
}

/// Puts photos in the order of the names of their files; without names they stay behind in their order.
fn by_name(sql: &mut Sql, rows: &mut [PhotoRow]) -> Result<(), ApiError> {
    let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
    let names = photos::file_names(sql, &ids)?;
    rows.sort_by_cached_key(|row| {
        let name = names.get(&row.id);
        (name.is_none(), name.map(|name| natural(name)))
    });
    Ok(())
}

/// A part of a name as people read it: a number counts as one.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Number(u128),
    Text(String),
}

/// What a name is sorted by: 2 before 10.
fn natural(name: &str) -> Vec<Part> {
    let letters: Vec<char> = name.to_lowercase().chars().collect();
    letters
        .chunk_by(|a, b| a.is_ascii_digit() == b.is_ascii_digit())
        .map(|part| {
            let text: String = part.iter().collect();
            text.parse().map_or(Part::Text(text), Part::Number)
        })
        .collect()
}

fn into_album(sql: &mut Sql, key: &str, rows: &[PhotoRow], viewer: Viewer) -> Result<(), ApiError> {
    let album =
        albums::by_key(sql, key)?.filter(|a| viewer.may_edit(a.owner_id)).ok_or(ApiError::NotFound)?;
    albums::append(sql, &album.key, album.owner_id, &ids(rows))?;
    Ok(())
}

/// `POST /api/photos/{key}/short`: its short link, made when it has none.
pub(super) async fn short(
    State(api): Shared,
    Change(session): Change,
    Path(key): Path<String>,
) -> Result<Json<ShortLink>, ApiError> {
    let viewer = session.viewer();
    let write = move |sql: &mut Sql| {
        let row = own(sql, &key, viewer)?;
        photos::set_short(sql, row.id, &new_code())?;
        photos::by_id(sql, row.id)?.and_then(|row| row.short).ok_or(ApiError::NotFound)
    };
    let code = api.db.write(write).await?;
    Ok(Json(ShortLink { path: format!("/s/{code}") }))
}

/// `GET /api/short/{code}`: the photo of a short link, if the viewer may see it. A code is short enough to be guessed by
/// who may guess without end, and leads to unlisted photos: so links that lead nowhere are counted.
pub(super) async fn by_short(
    State(api): Shared,
    session: MaybeSession,
    Path(code): Path<String>,
    parts: Parts,
) -> Result<Json<serde_json::Value>, ApiError> {
    if !is_code(&code) {
        return Err(ApiError::NotFound);
    }
    let (viewer, subject) = (session.viewer(), format!("short {}", client(&parts, &api)));
    let asked = subject.clone();
    let read = move |sql: &mut Sql| {
        accounts::may_attempt(sql, &asked, auth::MAX_DEAD_LINKS, auth::WINDOW_MS)?;
        Ok(photos::by_short(sql, &code)?.filter(|row| viewer.may_see(row)))
    };
    if let Some(row) = api.db.call(read).await? {
        return Ok(Json(serde_json::json!({ "key": row.key })));
    }
    let count =
        move |sql: &mut Sql| accounts::reserve_attempt(sql, &subject, auth::MAX_DEAD_LINKS, auth::WINDOW_MS);
    api.db.write(count).await?;
    Err(ApiError::NotFound)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_as_people_read_them() {
        let mut names = ["R012_10.tif", "r012_2.tif", "R012_02b.tif", "R3_1.tif", "x"];
        names.sort_by_cached_key(|name| natural(name));
        assert_eq!(names, ["R3_1.tif", "r012_2.tif", "R012_02b.tif", "R012_10.tif", "x"]);
    }
}
