//! What is stored where, by kind and by owner. All of it from rows: no page view walks through the storage.

use std::collections::BTreeMap;

use super::migrations::{self, SIZES};
use super::photos::Variants;
use super::sql::{DbError, DbResult, Row, Sql, Value};
use super::{cut, now_ms};
use crate::model::{PersonUse, PlaceUse, SizeUse, StorageReport};
use crate::params;
use crate::storage::Backend;

/// Size, kind of file and column, in the order of [`crate::images::variant_files`].
const FILES: [(&str, &str, &str); 6] = [
    ("thumb", "jpeg", "thumb_jpg_bytes"),
    ("thumb", "webp", "thumb_webp_bytes"),
    ("preview", "jpeg", "preview_jpg_bytes"),
    ("preview", "webp", "preview_webp_bytes"),
    ("large", "jpeg", "large_jpg_bytes"),
    ("large", "webp", "large_webp_bytes"),
];
/// People of a page.
const PAGE: usize = 100;

/// A photo whose sizes nobody has measured yet.
#[derive(Debug, Clone)]
pub struct Unmeasured {
    /// Row id.
    pub id: i64,
    /// Public key.
    pub key: String,
    /// Where its sizes are.
    pub backend: Backend,
}

const UNMEASURED: &str = "thumb_jpg_bytes IS NULL AND variants <> 'style'";

/// Some photos after a row id whose sizes are not measured; none on a schema that has no place for it.
///
/// # Errors
/// Those of the database.
pub fn unmeasured(sql: &mut Sql, after: i64, limit: u32) -> DbResult<Vec<Unmeasured>> {
    if !migrations::has(sql, SIZES)? {
        return Ok(Vec::new());
    }
    let query =
        format!("SELECT id, key, variants FROM photos WHERE id > ?1 AND {UNMEASURED} ORDER BY id LIMIT ?2");
    let one = |row: &Row| {
        let place: String = row.get(2)?;
        match Variants::parse(&place) {
            Some(Variants::Stored(backend)) => Ok(Unmeasured { id: row.get(0)?, key: row.get(1)?, backend }),
            _ => Err(DbError::odd(2, "a backend")),
        }
    };
    sql.query(&query, params![after, limit])?.iter().map(one).collect()
}

/// Notes what the sizes of a photo take, in the order of [`crate::images::variant_files`]. The key, since row ids are used
/// again.
///
/// # Errors
/// Those of the database.
pub fn record(sql: &mut Sql, id: i64, key: &str, bytes: [u64; 6]) -> DbResult<()> {
    let set: Vec<String> =
        FILES.iter().enumerate().map(|(n, (.., column))| format!("{column} = ?{}", n + 3)).collect();
    let mut values: Vec<Value> = vec![id.into(), key.into()];
    values.extend(bytes.map(Value::from));
    sql.execute(&format!("UPDATE photos SET {} WHERE id = ?1 AND key = ?2", set.join(", ")), &values)?;
    Ok(())
}

/// A sum as both databases give it: PostgreSQL's would be of a type without limits.
fn sum(what: &str) -> String {
    format!("CAST(coalesce(sum({what}), 0) AS BIGINT)")
}

/// All sizes of a photo together.
fn all_sizes() -> String {
    FILES.map(|(.., column)| format!("coalesce({column}, 0)")).join(" + ")
}

fn in_trash(what: &str) -> String {
    sum(&format!("CASE WHEN deleted_at IS NULL THEN 0 ELSE {what} END"))
}

/// What is stored where, and by whom: of the people, a page after the one with the email `after`.
///
/// # Errors
/// Those of the database.
pub fn report(sql: &mut Sql, after: Option<&str>) -> DbResult<StorageReport> {
    let measured = migrations::has(sql, SIZES)?;
    let mut places: BTreeMap<String, PlaceUse> = BTreeMap::new();
    let query = format!(
        "SELECT backend, count(*), {}, count(deleted_at), {} FROM photos GROUP BY backend",
        sum("bytes"),
        in_trash("bytes")
    );
    for row in sql.query(&query, &[])? {
        let place = at(&mut places, row.get(0)?);
        (place.photos, place.originals) = (row.get(1)?, row.get(2)?);
        (place.trashed, place.trash) = (row.get(3)?, row.get(4)?);
    }
    let mut report = StorageReport { measured, ..StorageReport::default() };
    if measured {
        sizes(sql, &mut places, &mut report)?;
    }
    uploads(sql, &mut places)?;
    report.places = places.into_values().collect();
    (report.people, report.next) = people(sql, after, measured)?;
    Ok(report)
}

fn at(places: &mut BTreeMap<String, PlaceUse>, backend: String) -> &mut PlaceUse {
    places.entry(backend.clone()).or_insert_with(|| PlaceUse { backend, ..PlaceUse::default() })
}

fn sizes(sql: &mut Sql, places: &mut BTreeMap<String, PlaceUse>, report: &mut StorageReport) -> DbResult<()> {
    let columns = FILES.map(|(.., column)| format!("count(nullif({column}, 0)), {}", sum(column))).join(", ");
    let query = format!(
        "SELECT variants, count(*), count(thumb_jpg_bytes), {}, {columns} FROM photos GROUP BY variants",
        in_trash(&all_sizes())
    );
    for row in sql.query(&query, &[])? {
        let (place, photos, known): (String, u64, u64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        if place == Variants::Style.as_str() {
            report.styled = photos;
            continue;
        }
        report.unmeasured += photos.saturating_sub(known);
        let place = at(places, place);
        place.trash += row.get::<u64>(3)?;
        for (n, (size, kind, _)) in FILES.iter().enumerate() {
            let (files, bytes) = (row.get(4 + 2 * n)?, row.get(5 + 2 * n)?);
            place.sizes.push(SizeUse { size: (*size).to_owned(), kind: (*kind).to_owned(), files, bytes });
        }
    }
    Ok(())
}

/// What is on its way in, and what was given up and is not cleared yet: as it was announced, since nobody knows before it
/// is over how much of it has arrived.
fn uploads(sql: &mut Sql, places: &mut BTreeMap<String, PlaceUse>) -> DbResult<()> {
    let object = "backend || ' ' || object_key";
    let query = format!(
        "SELECT backend, given_up, {} FROM
            (SELECT u.backend, u.bytes,
                    CASE WHEN state = 'uploaded' OR state IN ('receiving', 'pending') AND expires_at >= ?1
                         THEN 0 ELSE 1 END AS given_up
             FROM uploads u
             WHERE state IN ('receiving', 'pending', 'uploaded')
                OR EXISTS (SELECT 1 FROM jobs j WHERE j.kind = 'discard'
                           AND j.subject IN ('object ' || {object}, 'leftovers ' || {object} || ' ' || u.key))) AS open
         GROUP BY backend, given_up",
        sum("bytes")
    );
    for row in sql.query(&query, params![now_ms()])? {
        let place = at(places, row.get(0)?);
        if row.get(1)? {
            place.abandoned = row.get(2)?;
        } else {
            place.uploads = row.get(2)?;
        }
    }
    Ok(())
}

fn people(sql: &mut Sql, after: Option<&str>, measured: bool) -> DbResult<(Vec<PersonUse>, Option<String>)> {
    let sizes = if measured { all_sizes() } else { "0".to_owned() };
    let query = format!(
        "SELECT u.email, count(p.id), {}, {}, {},
                (SELECT {} FROM uploads o WHERE o.owner_id = u.id AND o.state IN ('receiving', 'pending', 'uploaded'))
         FROM (SELECT id, email FROM users WHERE email > ?1 ORDER BY email LIMIT {}) AS u
         LEFT JOIN photos p ON p.owner_id = u.id GROUP BY u.id, u.email ORDER BY u.email",
        sum("p.bytes"),
        sum(&sizes),
        in_trash(&format!("p.bytes + {sizes}")),
        sum("o.bytes"),
        PAGE + 1,
    );
    let one = |row: &Row| {
        Ok(PersonUse {
            email: row.get(0)?,
            photos: row.get(1)?,
            originals: row.get(2)?,
            sizes: row.get(3)?,
            trash: row.get(4)?,
            uploads: row.get(5)?,
        })
    };
    let rows = sql.query(&query, params![after.unwrap_or_default()])?;
    let mut people = rows.iter().map(one).collect::<DbResult<Vec<_>>>()?;
    let more = cut(&mut people, PAGE);
    let next = people.last().filter(|_| more).map(|person| person.email.clone());
    Ok((people, next))
}
