//! Rolls of film.

use super::sql::{DbResult, Row, Sql, Value};
use super::visibility::{Scope, Viewer, Wheres};
use super::{now_ms, photos, rfc3339};
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
    /// The day it is sorted by: when it was loaded, else when its row was made.
    pub day: String,
    /// What everybody sees, with the number of public photos on it; `editable` is not filled in.
    pub roll: Roll,
}

const COUNT: &str = "(SELECT count(*) FROM photos p WHERE p.roll_id = r.id AND p.deleted_at IS NULL";

fn with_count(row: &Row) -> DbResult<RollRow> {
    let roll = Roll { photos: Some(row.get(2)?), ..roll(row, 3)? };
    let made = rfc3339(row.get(17)?).get(..10).unwrap_or_default().to_owned();
    let day = roll.loaded_on.clone().unwrap_or(made);
    Ok(RollRow { id: row.get(0)?, owner_id: row.get(1)?, day, roll })
}

/// Last loaded first.
fn sorted(mut rows: Vec<RollRow>) -> Vec<RollRow> {
    rows.sort_by(|a, b| (&b.day, b.id).cmp(&(&a.day, a.id)));
    rows
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
    let query = format!(
        "SELECT r.id, r.owner_id, {COUNT}{open}), {COLUMNS}, r.created_at FROM rolls r WHERE r.key = ?1"
    );
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

/// Rolls with photos that everybody may list, with their number; last loaded first, at most 1,000.
///
/// # Errors
/// Those of the database.
pub fn public(sql: &mut Sql) -> DbResult<Vec<RollRow>> {
    let mut wheres = Wheres::default();
    Viewer::Anonymous.listed(Scope::Public, &mut wheres);
    let query = format!(
        "SELECT r.id, r.owner_id, count(p.id), {COLUMNS}, r.created_at FROM rolls r JOIN photos p ON p.roll_id = r.id{}
         GROUP BY r.id ORDER BY r.id DESC LIMIT 1000",
        wheres.sql()
    );
    let rows = sql.query(&query, &wheres.values)?;
    Ok(sorted(rows.iter().map(with_count).collect::<DbResult<_>>()?))
}

/// The rolls of an account, or of all; last loaded first, at most 1,000.
///
/// # Errors
/// Those of the database.
pub fn list(sql: &mut Sql, owner_id: Option<i64>) -> DbResult<Vec<RollRow>> {
    let own = if owner_id.is_some() { "WHERE r.owner_id = ?1" } else { "" };
    let query = format!(
        "SELECT r.id, r.owner_id, {COUNT}), {COLUMNS}, r.created_at FROM rolls r {own} ORDER BY r.id DESC LIMIT 1000"
    );
    let values: Vec<Value> = owner_id.map(Value::from).into_iter().collect();
    let rows = sql.query(&query, &values)?;
    Ok(sorted(rows.iter().map(with_count).collect::<DbResult<_>>()?))
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
