//! Photos: rows and how they are read.

mod page;
mod write;

use std::collections::HashMap;

pub(super) use page::effective;
pub use page::{Order, PageQuery, first_frames, gone, neighbours, page};
pub use write::{
    NewPhoto, add_tags_to, change, change_all, count_frames, delete, hides, insert, refresh_search,
    remove_tags, restore, set_object, set_short, trash, trash_all,
};

use super::in_parts;
use super::migrations::{self, FILE_NAMES};
use super::sql::{DbError, DbResult, Row, Sql, Value};
use crate::images::Sizes;
use crate::model::{Exif, Roll, Visibility};
use crate::params;
use crate::storage::{Backend, names};

/// A photo as stored.
#[derive(Debug, Clone)]
pub struct PhotoRow {
    /// Row id, and the order of pages.
    pub id: i64,
    /// Public key.
    pub key: String,
    /// Who uploaded it.
    pub owner_id: i64,
    /// Where the original is.
    pub backend: Backend,
    /// Name of the original there.
    pub object: String,
    /// File extension of the original.
    pub format: String,
    /// The secret that protects the original at the CDN.
    pub content_secret: Option<String>,
    /// Where the sizes come from.
    pub variants: Variants,
    /// Whether there are WebP variants too.
    pub webp: bool,
    /// Size of the original in bytes.
    pub bytes: u64,
    /// MD5 of the original in hex, where it was taken.
    pub md5: Option<String>,
    /// Width after orientation.
    pub width: u32,
    /// Height after orientation.
    pub height: u32,
    /// Sizes of the variants.
    pub sizes: Sizes,
    /// Title.
    pub title: String,
    /// Caption.
    pub caption: String,
    /// Who may see it.
    pub visibility: Visibility,
    /// Upload time in ms.
    pub created_at: i64,
    /// When it went into the trash, in ms.
    pub deleted_at: Option<i64>,
    /// The roll.
    pub roll: Option<Roll>,
    /// Frame number.
    pub frame: Option<u32>,
    /// Own film stock, camera and lens; empty when the roll's count.
    pub film_stock: String,
    /// Camera.
    pub camera: String,
    /// Lens.
    pub lens: String,
    /// Name of the place.
    pub place: String,
    /// When it was taken, local.
    pub taken_at: Option<String>,
    /// Latitude and longitude in degrees.
    pub location: Option<(f64, f64)>,
    /// Whether everybody may know it.
    pub location_shown: bool,
    /// What the file says.
    pub exif: Exif,
    /// Placeholder.
    pub thumbhash: Option<Vec<u8>>,
    /// Code of the short link.
    pub short: Option<String>,
    /// Tags, sorted. Filled in by the functions that return rows.
    pub tags: Vec<String>,
}

/// Where the three sizes come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variants {
    /// The styles of the CDN make them.
    Style,
    /// They are stored there.
    Stored(Backend),
}

impl Variants {
    /// The name in the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Style => "style",
            Self::Stored(backend) => backend.as_str(),
        }
    }

    /// The reverse of [`Variants::as_str`].
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text == "style" { Some(Self::Style) } else { Backend::parse(text).map(Self::Stored) }
    }
}

const COLUMNS: &str = "p.id, p.key, p.owner_id, p.backend, p.object_key, p.original_key, p.format, p.content_secret,
    p.variants, p.webp, p.bytes, p.md5, p.width, p.height, p.sizes, p.title, p.caption, p.visibility, p.created_at,
    p.deleted_at, p.frame, p.film_stock, p.camera, p.lens, p.place, p.taken_at, p.lat, p.lon, p.location_shown, p.exif,
    p.thumbhash, p.short, r.key, r.title, r.film_stock, r.format, r.box_iso, r.exposure_index, r.camera, r.lens,
    r.scanner, r.lab, r.developer, r.loaded_on, r.unloaded_on, r.notes";
const FROM: &str = "FROM photos p LEFT JOIN rolls r ON r.id = p.roll_id";
/// Number of the first column of the roll in [`COLUMNS`].
const ROLL: usize = 32;

fn photo(row: &Row) -> DbResult<PhotoRow> {
    let backend: String = row.get(3)?;
    let object_key: String = row.get(4)?;
    let original_key: String = row.get(5)?;
    let format: String = row.get(6)?;
    let variants: String = row.get(8)?;
    let sizes: String = row.get(14)?;
    let visibility: String = row.get(17)?;
    let (lat, lon): (Option<f64>, Option<f64>) = (row.get(26)?, row.get(27)?);
    let exif: String = row.get(29)?;
    let has_roll = row.get::<Option<String>>(ROLL)?.is_some();
    Ok(PhotoRow {
        id: row.get(0)?,
        key: row.get(1)?,
        owner_id: row.get(2)?,
        backend: Backend::parse(&backend).ok_or_else(|| DbError::odd(3, "a backend"))?,
        object: if object_key.is_empty() { names::original(&original_key, &format) } else { object_key },
        format,
        content_secret: row.get(7)?,
        variants: Variants::parse(&variants).ok_or_else(|| DbError::odd(8, "a backend or `style`"))?,
        webp: row.get(9)?,
        bytes: row.get(10)?,
        md5: row.get(11)?,
        width: row.get(12)?,
        height: row.get(13)?,
        sizes: serde_json::from_str(&sizes).map_err(|_| DbError::odd(14, "sizes"))?,
        title: row.get(15)?,
        caption: row.get(16)?,
        visibility: Visibility::parse(&visibility).ok_or_else(|| DbError::odd(17, "a visibility"))?,
        created_at: row.get(18)?,
        deleted_at: row.get(19)?,
        frame: row.get(20)?,
        film_stock: row.get(21)?,
        camera: row.get(22)?,
        lens: row.get(23)?,
        place: row.get(24)?,
        taken_at: row.get(25)?,
        location: lat.zip(lon),
        location_shown: row.get(28)?,
        exif: serde_json::from_str(&exif).unwrap_or_default(),
        thumbhash: row.get(30)?,
        short: row.get(31)?,
        roll: if has_roll { Some(super::rolls::roll(row, ROLL)?) } else { None },
        tags: Vec::new(),
    })
}

/// Fills in the tags of rows.
fn with_tags(sql: &mut Sql, mut rows: Vec<PhotoRow>) -> DbResult<Vec<PhotoRow>> {
    let ids: Vec<Value> = rows.iter().map(|row| row.id.into()).collect();
    if ids.is_empty() {
        return Ok(rows);
    }
    let query = format!(
        "SELECT photo_id, tag FROM photo_tags WHERE photo_id IN ({}) ORDER BY photo_id, tag",
        super::placeholders(1, ids.len())
    );
    let mut tags: HashMap<i64, Vec<String>> = HashMap::new();
    for tag in sql.query(&query, &ids)? {
        tags.entry(tag.get(0)?).or_default().push(tag.get(1)?);
    }
    for row in &mut rows {
        row.tags = tags.remove(&row.id).unwrap_or_default();
    }
    Ok(rows)
}

fn find(sql: &mut Sql, condition: &str, value: Value) -> DbResult<Option<PhotoRow>> {
    let row = sql.first(&format!("SELECT {COLUMNS} {FROM} WHERE {condition}"), &[value])?;
    let Some(row) = row else { return Ok(None) };
    Ok(with_tags(sql, vec![photo(&row)?])?.pop())
}

/// A photo by its public key.
///
/// # Errors
/// Those of the database.
pub fn by_key(sql: &mut Sql, key: &str) -> DbResult<Option<PhotoRow>> {
    find(sql, "p.key = ?1", key.into())
}

/// A photo by its row id.
///
/// # Errors
/// Those of the database.
pub fn by_id(sql: &mut Sql, id: i64) -> DbResult<Option<PhotoRow>> {
    find(sql, "p.id = ?1", id.into())
}

fn many(sql: &mut Sql, column: &str, values: &[Value]) -> DbResult<Vec<PhotoRow>> {
    let mut found = Vec::with_capacity(values.len());
    in_parts(values, |values| {
        let list = super::placeholders(1, values.len());
        let query = format!("SELECT {COLUMNS} {FROM} WHERE {column} IN ({list})");
        let rows = sql.query(&query, values)?.iter().map(photo).collect::<DbResult<Vec<_>>>()?;
        found.extend(with_tags(sql, rows)?);
        Ok(())
    })?;
    Ok(found)
}

/// Photos by their public keys, in no order; those that are not there are left out.
///
/// # Errors
/// Those of the database.
pub fn by_keys(sql: &mut Sql, keys: &[String]) -> DbResult<Vec<PhotoRow>> {
    many(sql, "p.key", &keys.iter().map(Value::from).collect::<Vec<_>>())
}

/// Photos by their row ids, in no order; those that are not there are left out.
///
/// # Errors
/// Those of the database.
pub fn by_ids(sql: &mut Sql, ids: &[i64]) -> DbResult<Vec<PhotoRow>> {
    many(sql, "p.id", &ids.iter().map(|id| (*id).into()).collect::<Vec<_>>())
}

/// The public key of a short link's code.
///
/// # Errors
/// Those of the database.
pub fn by_short(sql: &mut Sql, code: &str) -> DbResult<Option<PhotoRow>> {
    find(sql, "p.short = ?1", code.into())
}

/// What the files of photos (row ids) were called, where it is known.
///
/// # Errors
/// Those of the database.
pub fn file_names(sql: &mut Sql, ids: &[i64]) -> DbResult<HashMap<i64, String>> {
    if ids.is_empty() || !migrations::has(sql, FILE_NAMES)? {
        return Ok(HashMap::new());
    }
    let values: Vec<Value> = ids.iter().map(|id| (*id).into()).collect();
    let wanted = super::placeholders(1, ids.len());
    let query = format!("SELECT id, file_name FROM photos WHERE id IN ({wanted}) AND file_name <> ''");
    sql.query(&query, &values)?.iter().map(|row| Ok((row.get(0)?, row.get(1)?))).collect()
}

/// A photo of the account with the same bytes, outside of the trash.
///
/// # Errors
/// Those of the database.
pub fn same_file(sql: &mut Sql, owner_id: i64, sha256: &[u8]) -> DbResult<Option<PhotoRow>> {
    let query = "SELECT key FROM photos WHERE owner_id = ?1 AND sha256 = ?2 AND deleted_at IS NULL ORDER BY id LIMIT 1";
    match sql.first(query, params![owner_id, sha256])? {
        Some(row) => by_key(sql, &row.get::<String>(0)?),
        None => Ok(None),
    }
}

/// Whether these are the bytes that a photo was made of.
///
/// # Errors
/// Those of the database.
pub fn has_digest(sql: &mut Sql, id: i64, sha256: [u8; 32]) -> DbResult<bool> {
    let query = "SELECT 1 FROM photos WHERE id = ?1 AND sha256 = ?2";
    Ok(sql.first(query, params![id, sha256])?.is_some())
}

/// Photos that have been in the trash since before a moment (ms), oldest first.
///
/// # Errors
/// Those of the database.
pub fn trashed_before(sql: &mut Sql, before: i64, limit: u32) -> DbResult<Vec<PhotoRow>> {
    let query = format!("SELECT {COLUMNS} {FROM} WHERE p.deleted_at < ?1 ORDER BY p.deleted_at LIMIT ?2");
    sql.query(&query, params![before, limit])?.iter().map(photo).collect()
}

/// Some photos after a row id, for work that walks through all of them.
///
/// # Errors
/// Those of the database.
pub fn after(sql: &mut Sql, id: i64, limit: u32) -> DbResult<Vec<PhotoRow>> {
    let query = format!("SELECT {COLUMNS} {FROM} WHERE p.id > ?1 ORDER BY p.id LIMIT ?2");
    sql.query(&query, params![id, limit])?.iter().map(photo).collect()
}

/// The newest photos that meet some conditions.
pub(super) fn matching(
    sql: &mut Sql,
    wheres: &super::visibility::Wheres,
    limit: u32,
) -> DbResult<Vec<PhotoRow>> {
    let query = format!("SELECT {COLUMNS} {FROM}{} ORDER BY p.id DESC LIMIT {limit}", wheres.sql());
    sql.query(&query, &wheres.values)?.iter().map(photo).collect()
}

/// Whether any photo, in the trash or not, has its original under a name.
///
/// # Errors
/// Those of the database.
pub fn uses_object(sql: &mut Sql, backend: Backend, object: &str) -> DbResult<bool> {
    let original = names::original_key(object).unwrap_or_default();
    let query = "SELECT 1 FROM photos WHERE backend = ?1 AND (object_key = ?2 OR (object_key = '' AND original_key = ?3))";
    Ok(sql.first(query, params![backend.as_str(), object, original])?.is_some())
}

/// Photos outside of the trash, those in it, and bytes of all originals.
///
/// # Errors
/// Those of the database.
pub fn totals(sql: &mut Sql) -> DbResult<(u64, u64, u64)> {
    let row = sql.first(
        "SELECT count(*) - count(deleted_at), count(deleted_at), CAST(coalesce(sum(bytes), 0) AS BIGINT) FROM photos",
        &[],
    )?;
    let row = row.ok_or_else(|| DbError::Other("no totals".to_owned()))?;
    Ok((row.get(0)?, row.get(1)?, row.get(2)?))
}

/// Photos and bytes by backend, and whether any has its sizes from styles or elsewhere: (backend, photos, bytes).
///
/// # Errors
/// Those of the database.
pub fn by_backend(sql: &mut Sql) -> DbResult<Vec<(String, u64, u64)>> {
    let query =
        "SELECT backend, count(*), CAST(sum(bytes) AS BIGINT) FROM photos GROUP BY backend ORDER BY backend";
    sql.query(query, &[])?.iter().map(|row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).collect()
}

/// Every place that photos or their variants are in: backends, and `style`.
///
/// # Errors
/// Those of the database.
pub fn places(sql: &mut Sql) -> DbResult<Vec<String>> {
    let query = "SELECT DISTINCT backend FROM photos UNION SELECT DISTINCT variants FROM photos";
    sql.query(query, &[])?.iter().map(|row| row.get(0)).collect()
}
