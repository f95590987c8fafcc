//! The queue. A job is a row; a worker holds it by a lease, so one that is killed loses it to another.

use super::sql::{DbResult, Row, Sql, Value};
use super::{cut, in_parts, now_ms, rfc3339};
use crate::model::{Coded, JOB_ERRORS, JobInfo, JobList};
use crate::params;

/// A job that this worker holds.
#[derive(Debug, Clone)]
pub struct Job {
    /// Row id.
    pub id: i64,
    /// What to do.
    pub kind: String,
    /// What it is about.
    pub subject: String,
    /// Which try this is, from 1.
    pub attempts: u32,
    /// When it was due, in ms.
    pub run_at: i64,
}

/// Which job a worker prefers. Workers that prefer different ones serve the queue side by side: then neither a batch of
/// uploads keeps a photo in view that was made private, nor a thousand of those the uploads, and nothing waits for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prefers {
    /// What takes something out of view. Deleting is short, and ends what moving an original begins.
    Hiding,
    /// Photos that somebody waits for.
    Arriving,
    /// What is due longest.
    Oldest,
}

impl Prefers {
    fn rank(self) -> &'static str {
        match self {
            Self::Hiding => {
                "CASE kind WHEN 'discard' THEN 0 WHEN 'relocate' THEN 1 WHEN 'recheck' THEN 2 ELSE 3 END"
            }
            Self::Arriving => "CASE kind WHEN 'ingest' THEN 0 ELSE 1 END",
            Self::Oldest => "run_at",
        }
    }
}

const INSERT: &str = "INSERT INTO jobs (kind, subject, run_at, created_at) VALUES";
const AGAIN: &str = "ON CONFLICT (kind, subject) DO UPDATE
    SET run_at = excluded.run_at, attempts = 0, error = NULL, failed_at = NULL
    WHERE jobs.failed_at IS NOT NULL OR jobs.leased_until IS NOT NULL";

/// Puts a job into the queue, due at `run_at` (ms). One that waits already stays as it is; one that was given up begins
/// anew, and one that is running will run once more, since what it has looked at may have changed.
///
/// # Errors
/// Those of the database.
pub fn enqueue(sql: &mut Sql, kind: &str, subject: &str, run_at: i64) -> DbResult<()> {
    let insert = format!("{INSERT} (?1, ?2, ?3, ?4) {AGAIN}");
    sql.execute(&insert, params![kind, subject, run_at, now_ms()])?;
    Ok(())
}

/// Puts jobs of one kind into the queue, due now, as [`enqueue`] does.
///
/// # Errors
/// Those of the database.
pub fn enqueue_all(sql: &mut Sql, kind: &str, subjects: &[String]) -> DbResult<()> {
    in_parts(subjects, |subjects| {
        let rows: Vec<String> = (0..subjects.len()).map(|n| format!("(?1, ?{}, ?2, ?2)", n + 3)).collect();
        let mut values = vec![Value::from(kind), now_ms().into()];
        values.extend(subjects.iter().map(Value::from));
        sql.execute(&format!("{INSERT} {} {AGAIN}", rows.join(", ")), &values).map(drop)
    })
}

/// Puts a job into the queue that is due now, whatever was planned for it before.
///
/// # Errors
/// Those of the database.
pub fn hasten(sql: &mut Sql, kind: &str, subject: &str) -> DbResult<()> {
    enqueue(sql, kind, subject, now_ms())?;
    let query = "UPDATE jobs SET run_at = ?3 WHERE kind = ?1 AND subject = ?2 AND run_at > ?3";
    sql.execute(query, params![kind, subject, now_ms()])?;
    Ok(())
}

/// Whether there is such a job: waiting, running or given up.
///
/// # Errors
/// Those of the database.
pub fn exists(sql: &mut Sql, kind: &str, subject: &str) -> DbResult<bool> {
    let query = "SELECT 1 FROM jobs WHERE kind = ?1 AND subject = ?2";
    Ok(sql.first(query, params![kind, subject])?.is_some())
}

/// Whether a job could be taken: asked before, so that idle workers take no write lock.
///
/// # Errors
/// Those of the database.
pub fn any_due(sql: &mut Sql) -> DbResult<bool> {
    let query = "SELECT 1 FROM jobs WHERE failed_at IS NULL AND run_at <= ?1
                 AND (leased_until IS NULL OR leased_until < ?1) LIMIT 1";
    Ok(sql.first(query, params![now_ms()])?.is_some())
}

/// Takes the job that a worker prefers, and of these the one that is due longest, until `lease_ms` from now. Call it
/// inside a write transaction.
///
/// # Errors
/// Those of the database.
pub fn take(sql: &mut Sql, prefers: Prefers, worker: &str, lease_ms: i64) -> DbResult<Option<Job>> {
    let now = now_ms();
    let query = format!(
        "UPDATE jobs SET leased_until = ?2, worker = ?3, attempts = attempts + 1 WHERE id =
            (SELECT id FROM jobs WHERE failed_at IS NULL AND run_at <= ?1 AND (leased_until IS NULL OR leased_until < ?1)
             ORDER BY ({}), run_at, id LIMIT 1)
         RETURNING id, kind, subject, attempts, run_at",
        prefers.rank()
    );
    let row = sql.first(&query, params![now, now + lease_ms, worker])?;
    let job = |row: Row| {
        Ok(Job {
            id: row.get(0)?,
            kind: row.get(1)?,
            subject: row.get(2)?,
            attempts: row.get(3)?,
            run_at: row.get(4)?,
        })
    };
    row.map(job).transpose()
}

/// Lengthens the lease; false when another worker has the job by now.
///
/// # Errors
/// Those of the database.
pub fn renew(sql: &mut Sql, id: i64, worker: &str, lease_ms: i64) -> DbResult<bool> {
    let query = "UPDATE jobs SET leased_until = ?3 WHERE id = ?1 AND worker = ?2";
    Ok(sql.execute(query, params![id, worker, now_ms() + lease_ms])? == 1)
}

/// Removes a job that is done, unless it was asked for again meanwhile: then it is let go for the next worker.
///
/// # Errors
/// Those of the database.
pub fn finish(sql: &mut Sql, id: i64, worker: &str, run_at: i64) -> DbResult<()> {
    let query = "DELETE FROM jobs WHERE id = ?1 AND worker = ?2 AND run_at = ?3";
    if sql.execute(query, params![id, worker, run_at])? == 0 {
        let query =
            "UPDATE jobs SET leased_until = NULL, worker = NULL, attempts = 0 WHERE id = ?1 AND worker = ?2";
        sql.execute(query, params![id, worker])?;
    }
    Ok(())
}

/// Puts a job back until `run_at` (ms), or gives it up when there is none. Without an error it was done, and its tries
/// count anew.
///
/// # Errors
/// Those of the database.
pub fn put_back(sql: &mut Sql, id: i64, worker: &str, error: &str, run_at: Option<i64>) -> DbResult<()> {
    let failed_at = if run_at.is_none() { Some(now_ms()) } else { None };
    sql.execute(
        "UPDATE jobs SET leased_until = NULL, worker = NULL, error = ?3, run_at = coalesce(?4, run_at), failed_at = ?5,
                attempts = CASE WHEN ?6 = 1 THEN 0 ELSE attempts END
         WHERE id = ?1 AND worker = ?2",
        params![id, worker, Some(error).filter(|e| !e.is_empty()), run_at, failed_at, error.is_empty()],
    )?;
    Ok(())
}

/// Lets a job that was given up begin anew; false when there is none.
///
/// # Errors
/// Those of the database.
pub fn retry(sql: &mut Sql, id: i64) -> DbResult<bool> {
    let query =
        "UPDATE jobs SET failed_at = NULL, attempts = 0, run_at = ?2 WHERE id = ?1 AND failed_at IS NOT NULL";
    Ok(sql.execute(query, params![id, now_ms()])? == 1)
}

/// Jobs that are due or running, and jobs that were given up.
///
/// # Errors
/// Those of the database.
pub fn depth(sql: &mut Sql) -> DbResult<(u64, u64)> {
    // The sweeper is no work that somebody waits for.
    let due = "SELECT count(*) FROM jobs WHERE failed_at IS NULL AND run_at <= ?1 AND kind <> 'sweep'";
    let failed = "SELECT count(*) FROM jobs WHERE failed_at IS NOT NULL";
    Ok((sql.value(due, params![now_ms()])?, sql.value(failed, &[])?))
}

/// Lets every job that was given up begin anew; how many.
///
/// # Errors
/// Those of the database.
pub fn retry_all(sql: &mut Sql) -> DbResult<u64> {
    let query = "UPDATE jobs SET failed_at = NULL, attempts = 0, run_at = ?1 WHERE failed_at IS NOT NULL";
    sql.execute(query, params![now_ms()])
}

/// Where a page of the queue begins: behind the job of this rank (0 when it was given up), time and row id. It holds the
/// values and not only the row: a job that was done meanwhile still has its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place(i64, i64, i64);

impl Place {
    /// Reads a place as `Place::text` writes it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.').map(|part| part.parse().ok());
        let place = Self(parts.next()??, parts.next()??, parts.next()??);
        parts.next().is_none().then_some(place)
    }

    fn text(self) -> String {
        format!("{}.{}.{}", self.0, self.1, self.2)
    }
}

/// A page of the queue for the back office: what was given up first, then by time.
///
/// # Errors
/// Those of the database.
pub fn page(sql: &mut Sql, after: Option<Place>, limit: u32) -> DbResult<JobList> {
    let now = now_ms();
    let rank = "(CASE WHEN failed_at IS NULL THEN 1 ELSE 0 END)";
    let (behind, values) = match after {
        Some(Place(first, run_at, id)) => {
            (format!("WHERE ({rank}, run_at, id) > (?1, ?2, ?3)"), params![first, run_at, id].to_vec())
        }
        None => (String::new(), Vec::new()),
    };
    let query = format!(
        "SELECT id, kind, subject, attempts, error, run_at, leased_until, failed_at FROM jobs {behind}
         ORDER BY {rank}, run_at, id LIMIT {}",
        limit + 1
    );
    let info = |row: &Row| {
        let (leased, failed): (Option<i64>, Option<i64>) = (row.get(6)?, row.get(7)?);
        let state = match (failed, leased) {
            (Some(_), _) => "failed",
            (None, Some(until)) if until >= now => "running",
            _ => "waiting",
        };
        let error: Option<String> = row.get(4)?;
        Ok(JobInfo {
            id: row.get(0)?,
            kind: row.get(1)?,
            subject: row.get(2)?,
            state: state.to_owned(),
            attempts: row.get(3)?,
            why: error.as_deref().map(|line| Coded::parse(line, &JOB_ERRORS)),
            error,
            run_at: rfc3339(row.get(5)?),
        })
    };
    let mut rows = sql.query(&query, &values)?;
    let more = cut(&mut rows, limit as usize);
    let place = |row: &Row| {
        let failed: Option<i64> = row.get(7)?;
        Ok::<_, super::sql::DbError>(Place(i64::from(failed.is_none()), row.get(5)?, row.get(0)?).text())
    };
    let next = rows.last().filter(|_| more).map(place).transpose()?;
    Ok(JobList { jobs: rows.iter().map(info).collect::<DbResult<_>>()?, next })
}

#[cfg(test)]
mod tests {
    use super::super::migrations;
    use super::*;

    #[test]
    fn no_kind_of_job_waits_behind_all_of_another() {
        let mut sql = Sql::Sqlite(rusqlite::Connection::open_in_memory().expect("memory"));
        migrations::migrate(&mut sql, migrations::NEWEST).expect("schema");
        let due = now_ms() - 10_000;
        // A batch is on its way in; then a photo is made private, and others are deleted.
        for (ms, kind, subject) in [
            (0, "sweep", "all"),
            (1, "ingest", "a"),
            (2, "ingest", "b"),
            (3, "ingest", "c"),
            (4, "recheck", "d"),
            (5, "relocate", "e"),
            (6, "relocate", "f"),
            (7, "discard", "g"),
        ] {
            enqueue(&mut sql, kind, subject, due + ms).expect("queued");
        }
        let mut taken = |prefers| {
            let job = take(&mut sql, prefers, "w", 60_000).expect("taken");
            job.map(|job| format!("{} {}", job.kind, job.subject)).unwrap_or_default()
        };
        assert_eq!(taken(Prefers::Hiding), "discard g");
        assert_eq!(taken(Prefers::Hiding), "relocate e");
        assert_eq!(taken(Prefers::Arriving), "ingest a");
        assert_eq!(taken(Prefers::Oldest), "sweep all");
        assert_eq!(taken(Prefers::Oldest), "ingest b");
        assert_eq!(taken(Prefers::Hiding), "relocate f");
        assert_eq!(taken(Prefers::Hiding), "recheck d");
        // None of them is idle while there is work.
        assert_eq!(taken(Prefers::Hiding), "ingest c");
        assert_eq!(taken(Prefers::Arriving), "");
    }
}
