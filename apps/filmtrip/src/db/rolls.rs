//! Rolls of film.

use super::sql::{DbResult, Row, Sql, Value};
use super::visibility::{Scope, Viewer, Wheres};
use super::{cut, now_ms, photos};
use crate::model::{FilmFormat, Roll, RollBody};
use crate::params;

const COLUMNS: &str =
    "r.key, r.title, r.film_stock, r.format, r.box_iso, r.exposure_index, r.camera, r.lens, r.scanner,
    r.lab, r.developer, r.loaded_on, r.unloaded_on, r.notes";

/// Reads a roll from the columns of a row that begin at `at`, in the order of [`COLUMNS`].
pub(super) fn roll(row: &Row, at: usize) -> DbResult<Roll> {
    let format: String = row.get(at + 3)?;
    Ok(Roll {
        key: row.get(at)?,
        title: row.get(at + 1)?,
        film_stock: row.get(at + 2)?,
        format: FilmFormat::parse(&format).unwrap_or(FilmFormat::Other),
        box_iso: row.get(at + 4)?,
        exposure_index: row.get(at + 5)?,
        camera: row.get(at + 6)?,
        lens: row.get(at + 7)?,
        scanner: row.get(at + 8)?,
        lab: row.get(at + 9)?,
        developer: row.get(at + 10)?,
        loaded_on: row.get(at + 11)?,
        unloaded_on: row.get(at + 12)?,
        notes: row.get(at + 13)?,
        photos: None,
        strip: Vec::new(),
        owner: None,
        editable: false,
    })
}

/// A roll with its row id and owner.
#[derive(Debug, Clone)]
pub struct RollRow {
    /// Row id.
    pub id: i64,
    /// Whose it is.
    pub owner_id: i64,
    /// What everybody sees, with the number of public photos on it; `editable` is not filled in.
    pub roll: Roll,
}

const COUNT: &str = "(SELECT count(*) FROM photos p WHERE p.roll_id = r.id AND p.deleted_at IS NULL";

fn with_count(row: &Row) -> DbResult<RollRow> {
    let roll = Roll { photos: Some(row.get(2)?), ..roll(row, 3)? };
    Ok(RollRow { id: row.get(0)?, owner_id: row.get(1)?, roll })
}

/// A roll by its key. Its photos are counted as the viewer may see them.
///
/// # Errors
/// Those of the database.
pub fn by_key(sql: &mut Sql, viewer: Viewer, key: &str) -> DbResult<Option<RollRow>> {
    let (open, owner) = match viewer {
        Viewer::Admin => ("", -1),
        Viewer::User(id) => (" AND (p.visibility = 'public' OR p.owner_id = ?2)", id),
        Viewer::Anonymous => (" AND (p.visibility = 'public' OR p.owner_id = ?2)", -1),
    };
    let query = format!("SELECT r.id, r.owner_id, {COUNT}{open}), {COLUMNS} FROM rolls r WHERE r.key = ?1");
    let values: &[Value] = &[key.into(), owner.into()];
    let values = if open.is_empty() { &values[..1] } else { values };
    sql.first(&query, values)?.as_ref().map(with_count).transpose()
}

/// Whether there is a roll of this key that is this account's.
///
/// # Errors
/// Those of the database.
pub fn is_of(sql: &mut Sql, key: &str, owner_id: i64) -> DbResult<bool> {
    Ok(sql.first("SELECT 1 FROM rolls WHERE key = ?1 AND owner_id = ?2", params![key, owner_id])?.is_some())
}

/// Which rolls a list has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// Those with photos that everybody may list, with their number.
    Public,
    /// Those of an account.
    Of(i64),
    /// All.
    All,
}

/// The day that a roll is sorted by: when it was loaded, else when its row was made.
fn day(sql: &Sql, table: &str) -> String {
    let made = if sql.is_postgres() {
        format!("to_char(to_timestamp({table}.created_at / 1000) AT TIME ZONE 'UTC', 'YYYY-MM-DD')")
    } else {
        format!("strftime('%Y-%m-%d', {table}.created_at / 1000, 'unixepoch')")
    };
    format!("coalesce({table}.loaded_on, {made})")
}

/// A page of rolls after the one with the key `before`, last loaded first, and whether there are more.
///
/// # Errors
/// Those of the database.
pub fn page(sql: &mut Sql, which: Which, before: Option<&str>, limit: u32) -> DbResult<(Vec<RollRow>, bool)> {
    let mut wheres = Wheres::default();
    let (count, join, group) = match which {
        Which::Public => {
            Viewer::Anonymous.listed(Scope::Public, &mut wheres);
            ("count(p.id)".to_owned(), "JOIN photos p ON p.roll_id = r.id", "GROUP BY r.id")
        }
        Which::Of(id) => {
            wheres.add("r.owner_id = ?", &[id.into()]);
            (format!("{COUNT})"), "", "")
        }
        Which::All => (format!("{COUNT})"), "", ""),
    };
    let here = day(sql, "r");
    if let Some(before) = before {
        // A roll that is gone has no place any more: the page is then empty, not the first one again.
        let there = day(sql, "b");
        let after = format!("({here}, r.id) < (SELECT {there}, b.id FROM rolls b WHERE b.key = ?)");
        wheres.add(&after, &[before.into()]);
    }
    let query = format!(
        "SELECT r.id, r.owner_id, {count}, {COLUMNS} FROM rolls r {join}{} {group} ORDER BY {here} DESC, r.id DESC LIMIT {}",
        wheres.sql(),
        limit + 1
    );
    let rows = sql.query(&query, &wheres.values)?;
    let mut rows = rows.iter().map(with_count).collect::<DbResult<Vec<_>>>()?;
    let more = cut(&mut rows, limit as usize);
    Ok((rows, more))
}

fn values(body: &RollBody) -> Vec<Value> {
    vec![
        body.title.trim().into(),
        body.film_stock.trim().into(),
        body.format.as_str().into(),
        body.box_iso.into(),
        body.exposure_index.into(),
        body.camera.trim().into(),
        body.lens.trim().into(),
        body.scanner.trim().into(),
        body.lab.trim().into(),
        body.developer.trim().into(),
        body.loaded_on.as_deref().into(),
        body.unloaded_on.as_deref().into(),
        body.notes.trim().into(),
    ]
}

/// Adds a roll under a key that the caller has drawn.
///
/// # Errors
/// Those of the database.
pub fn create(sql: &mut Sql, owner_id: i64, key: &str, body: &RollBody) -> DbResult<()> {
    let mut all = values(body);
    all.extend([key.into(), owner_id.into(), now_ms().into()]);
    sql.execute(
        "INSERT INTO rolls (title, film_stock, format, box_iso, exposure_index, camera, lens, scanner, lab, developer,
                            loaded_on, unloaded_on, notes, key, owner_id, created_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)",
        &all,
    )?;
    Ok(())
}

/// Changes a roll as a whole, and what is searched of its photos.
///
/// # Errors
/// Those of the database.
pub fn change(sql: &mut Sql, id: i64, body: &RollBody) -> DbResult<()> {
    let mut all = values(body);
    all.push(id.into());
    sql.execute(
        "UPDATE rolls SET title = ?1, film_stock = ?2, format = ?3, box_iso = ?4, exposure_index = ?5, camera = ?6,
                lens = ?7, scanner = ?8, lab = ?9, developer = ?10, loaded_on = ?11, unloaded_on = ?12, notes = ?13
         WHERE id = ?14",
        &all,
    )?;
    let photos = photo_ids(sql, id)?;
    photos::refresh_search(sql, &photos)
}

fn photo_ids(sql: &mut Sql, id: i64) -> DbResult<Vec<i64>> {
    sql.query("SELECT id FROM photos WHERE roll_id = ?1", params![id])?.iter().map(|row| row.get(0)).collect()
}

/// Removes a roll. Its photos stay, and what they were made with becomes their own.
///
/// # Errors
/// Those of the database.
pub fn delete(sql: &mut Sql, id: i64) -> DbResult<()> {
    let photos = photo_ids(sql, id)?;
    let own = |column: &str| {
        let of_roll = format!("(SELECT r.{column} FROM rolls r WHERE r.id = ?1)");
        format!("{column} = CASE WHEN {column} <> '' THEN {column} ELSE {of_roll} END")
    };
    let kept = ["film_stock", "camera", "lens"].map(own).join(", ");
    sql.execute(&format!("UPDATE photos SET {kept}, roll_id = NULL WHERE roll_id = ?1"), params![id])?;
    sql.execute("DELETE FROM rolls WHERE id = ?1", params![id])?;
    photos::refresh_search(sql, &photos)
}
