//! The result of the last look through all files.

use super::sql::{DbError, DbResult, Sql, Value};
use super::{cut, rfc3339};
use crate::model::{Coded, FAULTS, Integrity, IntegrityFault};
use crate::params;

const NOTE: &str = "integrity";
/// Faults of a page.
const PAGE: usize = 100;

/// Replaces the result: when (ms), how many photos, and what is wrong with which (row ids), one
/// thing a line.
///
/// # Errors
/// Those of the database.
pub fn record(sql: &mut Sql, at: i64, photos: u64, faults: &[(i64, String)]) -> DbResult<()> {
    sql.execute("DELETE FROM integrity_faults", &[])?;
    for (id, problem) in faults {
        // A photo may have been deleted since it was looked at.
        sql.execute(
            "INSERT INTO integrity_faults (photo_id, problem) SELECT id, ?2 FROM photos WHERE id = ?1",
            params![*id, problem],
        )?;
    }
    sql.execute(
        "INSERT INTO notes (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        params![NOTE, format!("{at} {photos}")],
    )?;
    Ok(())
}

/// The result, and whether a look is under way or waiting. Of the faults, a page after the photo with the key `after`.
///
/// # Errors
/// Those of the database.
pub fn read(sql: &mut Sql, after: Option<&str>) -> DbResult<Integrity> {
    let job = "SELECT count(*) FROM jobs WHERE kind = 'integrity' AND failed_at IS NULL";
    let running = sql.value::<u64>(job, &[])? > 0;
    let Some(note) = sql.first("SELECT value FROM notes WHERE name = ?1", params![NOTE])? else {
        return Ok(Integrity { running, ..Integrity::default() });
    };
    let note: String = note.get(0)?;
    let numbers =
        note.split_once(' ').and_then(|(at, photos)| Some((at.parse().ok()?, photos.parse().ok()?)));
    let (at, photos) = numbers.ok_or_else(|| DbError::Other(format!("the note on integrity is `{note}`")))?;
    let total = sql.value("SELECT count(*) FROM integrity_faults", &[])?;
    let behind =
        if after.is_some() { "WHERE p.id > (SELECT a.id FROM photos a WHERE a.key = ?1)" } else { "" };
    let query = format!(
        "SELECT p.key, f.problem FROM integrity_faults f JOIN photos p ON p.id = f.photo_id {behind}
         ORDER BY p.id LIMIT {}",
        PAGE + 1
    );
    let values: Vec<Value> = after.map(Value::from).into_iter().collect();
    let mut rows = sql.query(&query, &values)?;
    let more = cut(&mut rows, PAGE);
    let faults = rows.iter().map(|row| {
        let problem: String = row.get(1)?;
        let problems = problem.lines().map(|line| Coded::parse(line, &FAULTS)).collect();
        Ok(IntegrityFault { key: row.get(0)?, problem, problems })
    });
    let faults: Vec<IntegrityFault> = faults.collect::<DbResult<_>>()?;
    let next = faults.last().filter(|_| more).map(|fault| fault.key.clone());
    Ok(Integrity { running, checked_at: Some(rfc3339(at)), photos, total, faults, next })
}
