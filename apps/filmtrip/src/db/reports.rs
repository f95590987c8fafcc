//! Reports of visitors.

use super::migrations::{self, REPORTS};
use super::sql::{DbResult, Row, Sql, Value};
use super::{cut, in_parts, now_ms, placeholders, rfc3339};
use crate::model::{NewReport, Outcome, Reason, Report};
use crate::params;

/// Reports of a page.
const PAGE: usize = 50;
/// Photos of a page.
const PHOTOS: usize = 20;

/// Whether the schema has a place for them. Asked at each request: a migration may run under a live process.
///
/// # Errors
/// Those of the database.
pub fn available(sql: &mut Sql) -> DbResult<bool> {
    migrations::has(sql, REPORTS)
}

/// Stores a report of a photo (row id and key).
///
/// # Errors
/// Those of the database.
pub fn insert(sql: &mut Sql, photo: (i64, &str), new: &NewReport) -> DbResult<()> {
    sql.execute(
        "INSERT INTO reports (photo_id, photo_key, reason, note, contact, created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![photo.0, photo.1, new.reason.as_str(), new.note.trim(), new.contact.trim(), now_ms()],
    )?;
    Ok(())
}

/// How many photos have open reports.
///
/// # Errors
/// Those of the database.
pub fn waiting(sql: &mut Sql) -> DbResult<u64> {
    if !available(sql)? {
        return Ok(0);
    }
    sql.value(
        "SELECT count(DISTINCT photo_id) FROM reports WHERE closed_at IS NULL AND photo_id IS NOT NULL",
        &[],
    )
}

/// The open reports of a photo.
#[derive(Debug, Clone, Copy)]
pub struct Group {
    /// Row id of the photo.
    pub photo_id: i64,
    /// Row id of the first report, the place in the list.
    pub first: i64,
    /// Row id of the newest.
    pub last: i64,
    /// How many.
    pub count: u64,
}

/// A page of photos with open reports after the one whose first report is `after`, those that have waited longest first;
/// and whether there are more.
///
/// # Errors
/// Those of the database.
pub fn open(sql: &mut Sql, after: i64) -> DbResult<(Vec<Group>, bool)> {
    if !available(sql)? {
        return Ok((Vec::new(), false));
    }
    let query = format!(
        "SELECT photo_id, min(id), max(id), count(*) FROM reports WHERE closed_at IS NULL AND photo_id IS NOT NULL
         GROUP BY photo_id HAVING min(id) > ?1 ORDER BY min(id) LIMIT {}",
        PHOTOS + 1
    );
    let group = |row: &Row| {
        Ok(Group { photo_id: row.get(0)?, first: row.get(1)?, last: row.get(2)?, count: row.get(3)? })
    };
    let mut groups = sql.query(&query, params![after])?.iter().map(group).collect::<DbResult<Vec<_>>>()?;
    let more = cut(&mut groups, PHOTOS);
    Ok((groups, more))
}

const COLUMNS: &str =
    "r.id, r.photo_key, r.photo_id, r.reason, r.note, r.contact, r.created_at, r.outcome, u.email, r.closed_at
    FROM reports r LEFT JOIN users u ON u.id = r.closed_by";

fn report(row: &Row) -> DbResult<Report> {
    let (reason, outcome): (String, Option<String>) = (row.get(3)?, row.get(7)?);
    Ok(Report {
        id: row.get(0)?,
        photo: row.get(1)?,
        there: row.get::<Option<i64>>(2)?.is_some(),
        // A code of a newer release.
        reason: Reason::parse(&reason).unwrap_or_default(),
        note: row.get(4)?,
        contact: row.get(5)?,
        created_at: rfc3339(row.get(6)?),
        outcome: outcome.as_deref().and_then(Outcome::parse),
        closed_by: row.get(8)?,
        closed_at: row.get::<Option<i64>>(9)?.map(rfc3339),
    })
}

/// The newest open reports of some photos (row ids), at most `each` of one.
///
/// # Errors
/// Those of the database.
pub fn newest(sql: &mut Sql, photos: &[i64], each: u32) -> DbResult<Vec<Report>> {
    let mut found = Vec::new();
    in_parts(photos, |photos| {
        let values: Vec<Value> = photos.iter().map(|id| (*id).into()).collect();
        let query = format!(
            "SELECT {COLUMNS} WHERE r.id IN (SELECT ranked.id FROM
                (SELECT id, row_number() OVER (PARTITION BY photo_id ORDER BY id DESC) AS place FROM reports
                 WHERE closed_at IS NULL AND photo_id IN ({})) AS ranked WHERE ranked.place <= {each})
             ORDER BY r.id DESC",
            placeholders(1, values.len())
        );
        for row in sql.query(&query, &values)? {
            found.push(report(&row)?);
        }
        Ok(())
    })?;
    Ok(found)
}

/// A page of reports before a row id, newest first, and the row id that the next one begins before.
fn page(sql: &mut Sql, wanted: &str, mut values: Vec<Value>, before: Option<i64>) -> DbResult<Page> {
    if !available(sql)? {
        return Ok((Vec::new(), None));
    }
    values.push(before.unwrap_or(i64::MAX).into());
    let query = format!(
        "SELECT {COLUMNS} WHERE {wanted} AND r.id < ?{} ORDER BY r.id DESC LIMIT {}",
        values.len(),
        PAGE + 1
    );
    let mut reports = sql.query(&query, &values)?.iter().map(report).collect::<DbResult<Vec<_>>>()?;
    let more = cut(&mut reports, PAGE);
    let next = reports.last().filter(|_| more).map(|report| report.id);
    Ok((reports, next))
}

type Page = (Vec<Report>, Option<i64>);

/// A page of the reports of the photo with a key, open or not.
///
/// # Errors
/// Those of the database.
pub fn of_photo(sql: &mut Sql, key: &str, before: Option<i64>) -> DbResult<Page> {
    page(sql, "r.photo_key = ?1", vec![key.into()], before)
}

/// How many reports of the photo with a key are open.
///
/// # Errors
/// Those of the database.
pub fn open_of(sql: &mut Sql, key: &str) -> DbResult<u64> {
    let query =
        "SELECT count(*) FROM reports WHERE photo_key = ?1 AND closed_at IS NULL AND photo_id IS NOT NULL";
    sql.value(query, params![key])
}

/// A page of the reports that nobody has to decide on any more: it was done, or the photo is gone.
///
/// # Errors
/// Those of the database.
pub fn closed(sql: &mut Sql, before: Option<i64>) -> DbResult<Page> {
    page(sql, "(r.closed_at IS NOT NULL OR r.photo_id IS NULL)", Vec::new(), before)
}

/// Closes the open reports of a photo up to the row id `last`; how many.
///
/// # Errors
/// Those of the database.
pub fn close(sql: &mut Sql, photo_id: i64, last: i64, outcome: Outcome, by: i64) -> DbResult<u64> {
    sql.execute(
        "UPDATE reports SET outcome = ?3, closed_by = ?4, closed_at = ?5
         WHERE photo_id = ?1 AND id <= ?2 AND closed_at IS NULL",
        params![photo_id, last, outcome.as_str(), by, now_ms()],
    )
}

/// How long the address of somebody who reported a photo is kept after the decision, in milliseconds: 90 days.
const CONTACT_KEPT_MS: i64 = 90 * 24 * 3600 * 1000;

/// Keeps a photo (row id) from the public until an admin shows it again.
///
/// # Errors
/// Those of the database.
pub fn hold(sql: &mut Sql, photo_id: i64, by: i64) -> DbResult<()> {
    sql.execute(
        "INSERT INTO holds (photo_id, held_by, held_at) VALUES (?1, ?2, ?3) ON CONFLICT (photo_id) DO NOTHING",
        params![photo_id, by, now_ms()],
    )
    .map(drop)
}

/// Row ids as the content of `IN (...)`, and as its values.
fn listed(ids: &[i64]) -> (String, Vec<Value>) {
    (placeholders(1, ids.len()), ids.iter().map(|id| Value::from(*id)).collect())
}

/// Lets photos (row ids) out again.
///
/// # Errors
/// Those of the database.
pub fn let_go(sql: &mut Sql, photos: &[i64]) -> DbResult<()> {
    if !available(sql)? {
        return Ok(());
    }
    in_parts(photos, |ids| {
        let (list, values) = listed(ids);
        sql.execute(&format!("DELETE FROM holds WHERE photo_id IN ({list})"), &values).map(drop)
    })
}

/// Whether an admin keeps any of these photos (row ids) from the public.
///
/// # Errors
/// Those of the database.
pub fn any_held(sql: &mut Sql, photos: &[i64]) -> DbResult<bool> {
    if !available(sql)? {
        return Ok(false);
    }
    let mut held = false;
    in_parts(photos, |ids| {
        let (list, values) = listed(ids);
        let query = format!("SELECT 1 FROM holds WHERE photo_id IN ({list}) LIMIT 1");
        held = held || sql.first(&query, &values)?.is_some();
        Ok(())
    })?;
    Ok(held)
}

/// Forgets the addresses of those whose reports were decided long ago.
///
/// # Errors
/// Those of the database.
pub fn forget_contacts(sql: &mut Sql) -> DbResult<u64> {
    sql.execute(
        "UPDATE reports SET contact = '' WHERE contact <> '' AND closed_at < ?1",
        params![now_ms() - CONTACT_KEPT_MS],
    )
}
