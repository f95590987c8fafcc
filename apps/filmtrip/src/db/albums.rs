//! Albums and trips. There are none while the schema is older than they are.

use std::collections::HashMap;

use super::migrations::{self, ALBUMS};
use super::photos::{self, PhotoRow};
use super::sql::{DbResult, Row, Sql, Value};
use super::visibility::{Scope, Viewer, Wheres};
use super::{cut, in_parts, now_ms};
use crate::model::{AlbumBody, AlbumKind, Visibility};
use crate::params;

/// An album as stored.
#[derive(Debug, Clone)]
pub struct AlbumRow {
    /// Row id.
    pub id: i64,
    /// Public key.
    pub key: String,
    /// Whose it is.
    pub owner_id: i64,
    /// What its owner says of it.
    pub body: AlbumBody,
}

impl AlbumRow {
    /// The visibility rule of albums.
    #[must_use]
    pub fn visible_to(&self, viewer: Viewer) -> bool {
        self.body.visibility != Visibility::Private || viewer.may_edit(self.owner_id)
    }

    /// Which of its photos are listed: in an album that is itself reached by its link only, unlisted ones too.
    #[must_use]
    pub fn scope(&self) -> Scope {
        if self.body.visibility == Visibility::Public { Scope::Collection } else { Scope::Shared }
    }
}

/// Whether the schema has albums. Asked at each request: a migration may run under a live process.
///
/// # Errors
/// Those of the database.
pub fn available(sql: &mut Sql) -> DbResult<bool> {
    Ok(migrations::version(sql)? >= ALBUMS)
}

const COLUMNS: &str = "a.id, a.key, a.owner_id, a.title, a.description, a.kind, a.visibility, a.starts_on, a.ends_on FROM albums a";

fn album(row: &Row) -> DbResult<AlbumRow> {
    let (kind, visibility): (String, String) = (row.get(5)?, row.get(6)?);
    Ok(AlbumRow {
        id: row.get(0)?,
        key: row.get(1)?,
        owner_id: row.get(2)?,
        body: AlbumBody {
            title: row.get(3)?,
            description: row.get(4)?,
            kind: if kind == AlbumKind::Trip.as_str() { AlbumKind::Trip } else { AlbumKind::Album },
            // What cannot be read is nobody else's business.
            visibility: Visibility::parse(&visibility).unwrap_or(Visibility::Private),
            starts_on: row.get(7)?,
            ends_on: row.get(8)?,
        },
    })
}

/// An album by its key.
///
/// # Errors
/// Those of the database.
pub fn by_key(sql: &mut Sql, key: &str) -> DbResult<Option<AlbumRow>> {
    if !available(sql)? {
        return Ok(None);
    }
    sql.first(&format!("SELECT {COLUMNS} WHERE a.key = ?1"), params![key])?.as_ref().map(album).transpose()
}

/// A page of public albums, or of those that a viewer may edit, after the one with the key `before`; newest first. And
/// whether there are more.
///
/// # Errors
/// Those of the database.
pub fn page(
    sql: &mut Sql,
    viewer: Viewer,
    mine: bool,
    before: Option<&str>,
    limit: u32,
) -> DbResult<(Vec<AlbumRow>, bool)> {
    if !available(sql)? {
        return Ok((Vec::new(), false));
    }
    let mut wheres = Wheres::default();
    match (mine, viewer) {
        (true, Viewer::Admin) => {}
        (true, Viewer::User(id)) => wheres.add("a.owner_id = ?", &[id.into()]),
        _ => wheres.add("a.visibility = 'public'", &[]),
    }
    if let Some(before) = before {
        // An album that is gone has no place any more: the page is then empty, not the first one again.
        wheres.add("a.id < (SELECT b.id FROM albums b WHERE b.key = ?)", &[before.into()]);
    }
    let query = format!("SELECT {COLUMNS}{} ORDER BY a.id DESC LIMIT {}", wheres.sql(), limit + 1);
    let rows = sql.query(&query, &wheres.values)?;
    let mut rows = rows.iter().map(album).collect::<DbResult<Vec<_>>>()?;
    let more = cut(&mut rows, limit as usize);
    Ok((rows, more))
}

/// How many photos of each album a viewer may list, and the first of them, by the album's row id; albums without any are
/// left out. However many albums there are, it takes as many queries.
///
/// # Errors
/// Those of the database.
pub fn contents(
    sql: &mut Sql,
    albums: &[AlbumRow],
    viewer: Viewer,
) -> DbResult<HashMap<i64, (u64, PhotoRow)>> {
    let mut firsts = Vec::new();
    for scope in [Scope::Collection, Scope::Shared] {
        let ids: Vec<Value> = albums.iter().filter(|a| a.scope() == scope).map(|a| a.id.into()).collect();
        if ids.is_empty() {
            continue;
        }
        let mut wheres = Wheres::default();
        viewer.listed(scope, &mut wheres);
        wheres.add(&format!("ap.album_id IN ({})", vec!["?"; ids.len()].join(", ")), &ids);
        let query = format!(
            "SELECT album_id, photo_id, photos FROM
                (SELECT ap.album_id, ap.photo_id, count(*) OVER (PARTITION BY ap.album_id) AS photos,
                        row_number() OVER (PARTITION BY ap.album_id ORDER BY ap.position, p.id) AS place
                 FROM photos p JOIN album_photos ap ON ap.photo_id = p.id{}) AS listed
             WHERE place = 1",
            wheres.sql()
        );
        for row in sql.query(&query, &wheres.values)? {
            firsts.push((row.get::<i64>(0)?, row.get::<i64>(1)?, row.get::<u64>(2)?));
        }
    }
    let ids: Vec<i64> = firsts.iter().map(|(_, photo, _)| *photo).collect();
    let photos = photos::by_ids(sql, &ids)?;
    let photos: HashMap<i64, &PhotoRow> = photos.iter().map(|row| (row.id, row)).collect();
    let content = |(album, photo, count)| Some((album, (count, (*photos.get(&photo)?).clone())));
    Ok(firsts.into_iter().filter_map(content).collect())
}

/// Adds an album under a key that the caller has drawn.
///
/// # Errors
/// Those of the database.
pub fn create(sql: &mut Sql, owner_id: i64, key: &str, body: &AlbumBody) -> DbResult<()> {
    let mut all = values(body);
    all.extend([key.into(), owner_id.into(), now_ms().into()]);
    sql.execute(
        "INSERT INTO albums (title, description, kind, visibility, starts_on, ends_on, key, owner_id, created_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        &all,
    )?;
    Ok(())
}

fn values(body: &AlbumBody) -> Vec<Value> {
    vec![
        body.title.trim().into(),
        body.description.trim().into(),
        body.kind.as_str().into(),
        body.visibility.as_str().into(),
        body.starts_on.as_deref().into(),
        body.ends_on.as_deref().into(),
    ]
}

/// Changes an album as a whole.
///
/// # Errors
/// Those of the database.
pub fn change(sql: &mut Sql, id: i64, body: &AlbumBody) -> DbResult<()> {
    let mut all = values(body);
    all.push(id.into());
    sql.execute(
        "UPDATE albums SET title = ?1, description = ?2, kind = ?3, visibility = ?4, starts_on = ?5, ends_on = ?6
         WHERE id = ?7",
        &all,
    )?;
    Ok(())
}

/// Removes an album. Its photos stay.
///
/// # Errors
/// Those of the database.
pub fn delete(sql: &mut Sql, id: i64) -> DbResult<()> {
    sql.execute("DELETE FROM albums WHERE id = ?1", params![id])?;
    Ok(())
}

/// Makes these photos, in this order, the whole content of an album.
///
/// # Errors
/// Those of the database.
pub fn set_photos(sql: &mut Sql, id: i64, photo_ids: &[i64]) -> DbResult<()> {
    sql.execute("DELETE FROM album_photos WHERE album_id = ?1", params![id])?;
    add(sql, id, 0, photo_ids)
}

/// Adds photos from a place on. One that is there already stays where it is.
fn add(sql: &mut Sql, id: i64, first: i64, photo_ids: &[i64]) -> DbResult<()> {
    let mut place = first;
    in_parts(photo_ids, |photo_ids| {
        let mut values: Vec<Value> = vec![id.into()];
        for photo_id in photo_ids {
            values.extend([Value::from(*photo_id), place.into()]);
            place += 1;
        }
        let rows: Vec<String> =
            (0..photo_ids.len()).map(|n| format!("(?1, ?{}, ?{})", 2 * n + 2, 2 * n + 3)).collect();
        let insert = "INSERT INTO album_photos (album_id, photo_id, position) VALUES";
        sql.execute(&format!("{insert} {} ON CONFLICT DO NOTHING", rows.join(", ")), &values).map(drop)
    })
}

/// Adds photos at the end of an album of an account; an album that is not theirs, or not there, is left alone.
///
/// # Errors
/// Those of the database.
pub fn append(sql: &mut Sql, key: &str, owner_id: i64, photo_ids: &[i64]) -> DbResult<bool> {
    let Some(album) = by_key(sql, key)?.filter(|a| a.owner_id == owner_id) else { return Ok(false) };
    let last = "SELECT coalesce(max(position), -1) + 1 FROM album_photos WHERE album_id = ?1";
    let first = sql.value(last, params![album.id])?;
    add(sql, album.id, first, photo_ids)?;
    Ok(true)
}

/// Adds a photo to an album of an account at a place of its own, as [`append`] does at the end.
///
/// # Errors
/// Those of the database.
pub fn place(sql: &mut Sql, key: &str, owner_id: i64, photo_id: i64, position: u64) -> DbResult<bool> {
    let Some(album) = by_key(sql, key)?.filter(|a| a.owner_id == owner_id) else { return Ok(false) };
    add(sql, album.id, i64::try_from(position).unwrap_or(i64::MAX), &[photo_id])?;
    Ok(true)
}
