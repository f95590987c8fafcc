//! Rolls and albums in the trash. A deleted one has no row of its own any more, so that no release shows it; what brings
//! it back is kept aside.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::migrations::{self, REMOVED};
use super::sql::{DbError, DbResult, Row, Sql, Value};
use super::visibility::{Viewer, Wheres};
use super::{albums, cut, in_parts, now_ms, photos, placeholders, rfc3339, rolls};
use crate::model::{AlbumBody, Removed, RemovedKind, RollBody};
use crate::params;

/// Things of a page.
const PAGE: usize = 50;

/// What was on a roll: a photo, and which of its facts were the roll's.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Frame {
    key: String,
    film_stock: bool,
    camera: bool,
    lens: bool,
}

/// What brings a thing back.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Content {
    Roll { id: i64, created_at: i64, body: RollBody, frames: Vec<Frame> },
    Album { id: i64, created_at: i64, body: AlbumBody, photos: Vec<String> },
}

/// Whether the schema has a place for them; before, what is deleted is gone. Asked at each request: a migration may run
/// under a live process.
///
/// # Errors
/// Those of the database.
pub fn available(sql: &mut Sql) -> DbResult<bool> {
    migrations::has(sql, REMOVED)
}

/// A thing in the trash.
#[derive(Debug, Clone)]
pub struct RemovedRow {
    /// Row id.
    pub id: i64,
    /// Whose it is.
    pub owner_id: i64,
    /// What its owner sees; `owner` is not filled in.
    pub removed: Removed,
}

const COLUMNS: &str = "id, owner_id, key, kind, title, photos, deleted_at";

fn removed(row: &Row) -> DbResult<RemovedRow> {
    let kind: String = row.get(3)?;
    Ok(RemovedRow {
        id: row.get(0)?,
        owner_id: row.get(1)?,
        removed: Removed {
            key: row.get(2)?,
            kind: RemovedKind::parse(&kind).ok_or_else(|| DbError::odd(3, "a roll or an album"))?,
            title: row.get(4)?,
            photos: row.get(5)?,
            deleted_at: rfc3339(row.get(6)?),
            owner: None,
        },
    })
}

fn insert(sql: &mut Sql, key: &str, owner_id: i64, title: &str, content: &Content) -> DbResult<()> {
    let (kind, photos) = match content {
        Content::Roll { frames, .. } => (RemovedKind::Roll, frames.len()),
        Content::Album { photos, .. } => (RemovedKind::Album, photos.len()),
    };
    let content = serde_json::to_string(content).map_err(|e| DbError::Other(e.to_string()))?;
    sql.execute(
        "INSERT INTO removed (key, kind, owner_id, title, photos, content, deleted_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![key, kind.as_str(), owner_id, title, photos, content, now_ms()],
    )?;
    Ok(())
}

/// Keeps what brings a roll back. Call it before the roll is deleted, in the same transaction.
///
/// # Errors
/// Those of the database.
pub fn keep_roll(sql: &mut Sql, row: &rolls::RollRow) -> DbResult<()> {
    let created_at = sql.value("SELECT created_at FROM rolls WHERE id = ?1", params![row.id])?;
    let query = "SELECT key, film_stock, camera, lens FROM photos WHERE roll_id = ?1 ORDER BY id";
    let frame = |row: &Row| {
        let of_roll = |column| Ok::<_, DbError>(row.get::<String>(column)?.is_empty());
        Ok(Frame { key: row.get(0)?, film_stock: of_roll(1)?, camera: of_roll(2)?, lens: of_roll(3)? })
    };
    let frames = sql.query(query, params![row.id])?.iter().map(frame).collect::<DbResult<_>>()?;
    let roll = row.roll.clone();
    let (key, title) = (roll.key, roll.title.clone());
    let body = RollBody {
        title: roll.title,
        film_stock: roll.film_stock,
        format: roll.format,
        box_iso: roll.box_iso,
        exposure_index: roll.exposure_index,
        camera: roll.camera,
        lens: roll.lens,
        scanner: roll.scanner,
        lab: roll.lab,
        developer: roll.developer,
        loaded_on: roll.loaded_on,
        unloaded_on: roll.unloaded_on,
        notes: roll.notes,
    };
    insert(sql, &key, row.owner_id, &title, &Content::Roll { id: row.id, created_at, body, frames })
}

/// The same of an album.
///
/// # Errors
/// Those of the database.
pub fn keep_album(sql: &mut Sql, row: &albums::AlbumRow) -> DbResult<()> {
    let created_at = sql.value("SELECT created_at FROM albums WHERE id = ?1", params![row.id])?;
    let query = "SELECT p.key FROM album_photos ap JOIN photos p ON p.id = ap.photo_id WHERE ap.album_id = ?1
                 ORDER BY ap.position, p.id";
    let photos = sql.query(query, params![row.id])?.iter().map(|row| row.get(0)).collect::<DbResult<_>>()?;
    let content = Content::Album { id: row.id, created_at, body: row.body.clone(), photos };
    insert(sql, &row.key, row.owner_id, &row.body.title, &content)
}

/// A page of what a viewer may bring back, after the one with the key `before`; deleted last first. And whether there are
/// more.
///
/// # Errors
/// Those of the database.
pub fn page(sql: &mut Sql, viewer: Viewer, before: Option<&str>) -> DbResult<(Vec<RemovedRow>, bool)> {
    if !available(sql)? {
        return Ok((Vec::new(), false));
    }
    let mut wheres = Wheres::default();
    match viewer {
        Viewer::Admin => {}
        Viewer::User(id) => wheres.add("owner_id = ?", &[id.into()]),
        Viewer::Anonymous => return Ok((Vec::new(), false)),
    }
    if let Some(before) = before {
        // One that is gone has no place any more: the page is then empty, not the first one again.
        wheres.add("id < (SELECT b.id FROM removed b WHERE b.key = ?)", &[before.into()]);
    }
    let query = format!("SELECT {COLUMNS} FROM removed{} ORDER BY id DESC LIMIT {}", wheres.sql(), PAGE + 1);
    let mut rows = sql.query(&query, &wheres.values)?.iter().map(removed).collect::<DbResult<Vec<_>>>()?;
    let more = cut(&mut rows, PAGE);
    Ok((rows, more))
}

/// A thing in the trash by its key.
///
/// # Errors
/// Those of the database.
pub fn by_key(sql: &mut Sql, key: &str) -> DbResult<Option<RemovedRow>> {
    if !available(sql)? {
        return Ok(None);
    }
    let query = format!("SELECT {COLUMNS} FROM removed WHERE key = ?1");
    sql.first(&query, params![key])?.as_ref().map(removed).transpose()
}

/// Brings a thing back as it was, with those of its photos that are still there and on no other roll.
///
/// # Errors
/// Those of the database.
pub fn restore(sql: &mut Sql, row: &RemovedRow) -> DbResult<()> {
    let content: String = sql.value("SELECT content FROM removed WHERE id = ?1", params![row.id])?;
    let content: Content = serde_json::from_str(&content).map_err(|e| DbError::Other(e.to_string()))?;
    match content {
        Content::Roll { id, created_at, body, frames } => {
            rolls::create(sql, row.owner_id, &row.removed.key, &body)?;
            let now = old_place(sql, "rolls", &row.removed.key, id, created_at)?;
            refill_roll(sql, now, row.owner_id, &body, &frames)?;
        }
        Content::Album { id, created_at, body, photos } => {
            albums::create(sql, row.owner_id, &row.removed.key, &body)?;
            let now = old_place(sql, "albums", &row.removed.key, id, created_at)?;
            let found = photos::by_keys(sql, &photos)?;
            let found: HashMap<&str, i64> = found.iter().map(|row| (row.key.as_str(), row.id)).collect();
            let ids: Vec<i64> = photos.iter().filter_map(|key| found.get(key.as_str()).copied()).collect();
            albums::set_photos(sql, now, &ids)?;
        }
    }
    forget(sql, row.id)
}

/// Gives what was brought back its day, and its place in lists unless something else has it by now; its row id.
fn old_place(sql: &mut Sql, table: &str, key: &str, id: i64, created_at: i64) -> DbResult<i64> {
    let free = sql.first(&format!("SELECT 1 FROM {table} WHERE id = ?1"), params![id])?.is_none();
    if free {
        let place = format!("UPDATE {table} SET id = ?2, created_at = ?3 WHERE key = ?1");
        sql.execute(&place, params![key, id, created_at])?;
    } else {
        let day = format!("UPDATE {table} SET created_at = ?2 WHERE key = ?1");
        sql.execute(&day, params![key, created_at])?;
    }
    sql.value(&format!("SELECT id FROM {table} WHERE key = ?1"), params![key])
}

/// Puts photos back on their roll. What was the roll's and was not changed since is the roll's again.
fn refill_roll(sql: &mut Sql, roll: i64, owner_id: i64, body: &RollBody, frames: &[Frame]) -> DbResult<()> {
    let keys: Vec<&str> = frames.iter().map(|frame| frame.key.as_str()).collect();
    let mut back = Vec::new();
    in_parts(&keys, |keys| {
        let mut values: Vec<Value> = vec![roll.into(), owner_id.into()];
        values.extend(keys.iter().map(|key| Value::from(*key)));
        let query = format!(
            "UPDATE photos SET roll_id = ?1 WHERE roll_id IS NULL AND owner_id = ?2 AND key IN ({}) RETURNING id",
            placeholders(3, keys.len())
        );
        for row in sql.query(&query, &values)? {
            back.push(row.get::<i64>(0)?);
        }
        Ok(())
    })?;
    type Was = fn(&Frame) -> bool;
    let facts: [(&str, &String, Was); 3] = [
        ("film_stock", &body.film_stock, |frame| frame.film_stock),
        ("camera", &body.camera, |frame| frame.camera),
        ("lens", &body.lens, |frame| frame.lens),
    ];
    for (column, of_roll, was) in facts {
        let keys: Vec<&str> = frames.iter().filter(|f| was(f)).map(|f| f.key.as_str()).collect();
        in_parts(&keys, |keys| {
            let mut values: Vec<Value> = vec![roll.into(), of_roll.trim().into()];
            values.extend(keys.iter().map(|key| Value::from(*key)));
            let query = format!(
                "UPDATE photos SET {column} = '' WHERE roll_id = ?1 AND {column} = ?2 AND key IN ({})",
                placeholders(3, keys.len())
            );
            sql.execute(&query, &values).map(drop)
        })?;
    }
    photos::refresh_search(sql, &back)
}

/// Forgets a thing: it cannot be brought back any more.
///
/// # Errors
/// Those of the database.
pub fn forget(sql: &mut Sql, id: i64) -> DbResult<()> {
    sql.execute("DELETE FROM removed WHERE id = ?1", params![id])?;
    Ok(())
}

/// Forgets what has been in the trash since before a moment (ms).
///
/// # Errors
/// Those of the database.
pub fn forget_before(sql: &mut Sql, before: i64) -> DbResult<()> {
    if available(sql)? {
        sql.execute("DELETE FROM removed WHERE deleted_at < ?1", params![before])?;
    }
    Ok(())
}
