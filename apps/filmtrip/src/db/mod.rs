//! The database: SQLite by default, PostgreSQL when configured; a small pool of connections, and the queries by table.
//! SQL lives in this folder only.

pub mod accounts;
pub mod albums;
pub mod catalogue;
pub mod integrity;
pub mod jobs;
pub mod migrations;
pub mod photos;
pub mod removed;
pub mod reports;
pub mod rolls;
pub mod search;
pub mod sql;
#[cfg(test)]
mod tests;
pub mod uploads;
mod url;
pub mod usage;
pub mod visibility;

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, OpenFlags};
use tokio::sync::Semaphore;

use crate::error::ApiError;
use crate::params;
use sql::{DbError, DbResult, Sql};
pub use url::DatabaseUrl;

/// How long a writer waits for another one, such as the other release on the same file.
pub const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Most rows that one statement names.
const PART: usize = 500;
const POOL: usize = 6;
/// A connection that was idle for longer is asked whether the server is still there.
const STALE: Duration = Duration::from_millis(250);

/// Milliseconds since 1970 UTC.
#[must_use]
pub fn now_ms() -> i64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX)
}

/// Milliseconds since 1970 as RFC 3339 UTC.
#[must_use]
pub fn rfc3339(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).unwrap_or(jiff::Timestamp::UNIX_EPOCH).to_string()
}

/// `?first, ?first+1, ...`, as many as there are values.
fn placeholders(first: usize, count: usize) -> String {
    (first..first + count).map(|n| format!("?{n}")).collect::<Vec<_>>().join(", ")
}

/// Takes off the row beyond a page, which was asked for only to know whether there are more; whether there are.
fn cut<T>(rows: &mut Vec<T>, page: usize) -> bool {
    let more = rows.len() > page;
    rows.truncate(page);
    more
}

/// Runs a statement about many things in parts: its parameters are limited, and a part that is full has the same text
/// each time.
fn in_parts<T>(all: &[T], mut run: impl FnMut(&[T]) -> DbResult<()>) -> DbResult<()> {
    all.chunks(PART).try_for_each(&mut run)
}

/// Opens a SQLite file, creating it only when asked.
///
/// # Errors
/// Those of SQLite: no such file, no right to it, not a database.
pub fn open_file(path: &Path, create: bool, busy: Duration) -> rusqlite::Result<Connection> {
    let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    if create {
        flags |= OpenFlags::SQLITE_OPEN_CREATE;
    }
    let conn = Connection::open_with_flags(path, flags)?;
    conn.busy_timeout(busy)?;
    conn.pragma_update(None, "journal_mode", "wal")?;
    // A photo that was confirmed is there after a power cut.
    conn.pragma_update(None, "synchronous", "full")?;
    conn.pragma_update(None, "foreign_keys", true)?;
    conn.set_prepared_statement_cache_capacity(64);
    Ok(conn)
}

/// Opens a database, creating a SQLite file only when asked. Blocks.
///
/// # Errors
/// No such file, no such server, no right to it.
pub fn open(url: &DatabaseUrl, create: bool, wait: Duration) -> DbResult<Sql> {
    match url {
        DatabaseUrl::Sqlite(path) => Ok(Sql::Sqlite(open_file(path, create, wait)?)),
        DatabaseUrl::Postgres(server) => server.connect(wait),
    }
}

/// Device and inode: which file a path means at the moment.
type FileId = Option<(u64, u64)>;

fn file_id(url: &DatabaseUrl) -> FileId {
    match url {
        DatabaseUrl::Sqlite(path) => std::fs::metadata(path).ok().map(|m| (m.dev(), m.ino())),
        DatabaseUrl::Postgres(_) => None,
    }
}

struct Idle {
    opened: FileId,
    since: Instant,
    sql: Sql,
}

struct Inner {
    url: DatabaseUrl,
    idle: Mutex<Vec<Idle>>,
    permits: Arc<Semaphore>,
}

/// A pool of connections to one database. Cloning shares it.
#[derive(Clone)]
pub struct Db(Arc<Inner>);

impl Db {
    /// A pool on an existing database. Connections are opened when needed.
    #[must_use]
    pub fn new(url: DatabaseUrl) -> Self {
        Self(Arc::new(Inner { url, idle: Mutex::new(Vec::new()), permits: Arc::new(Semaphore::new(POOL)) }))
    }

    /// Which database.
    #[must_use]
    pub fn url(&self) -> &DatabaseUrl {
        &self.0.url
    }

    /// Runs queries on a connection of the pool, off the async threads.
    ///
    /// # Errors
    /// Those of `work`, or that the connection could not be had within [`BUSY_TIMEOUT`].
    pub async fn call<T, F>(&self, work: F) -> Result<T, ApiError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Sql) -> Result<T, ApiError> + Send + 'static,
    {
        let permit = tokio::time::timeout(BUSY_TIMEOUT, Arc::clone(&self.0.permits).acquire_owned()).await;
        let Ok(Ok(permit)) = permit else { return Err(ApiError::Busy) };
        let inner = Arc::clone(&self.0);
        let done = tokio::task::spawn_blocking(move || {
            // Until the work is done, not until the caller stops waiting: else callers that go away would pile it up.
            let _permit = permit;
            let (opened, mut sql) = inner.take()?;
            let result = work(&mut sql);
            // A connection that failed is dropped: the next request starts from a clean one.
            if !matches!(result, Err(ApiError::Database(_))) {
                let idle = Idle { opened, since: Instant::now(), sql };
                inner.idle.lock().unwrap_or_else(PoisonError::into_inner).push(idle);
            }
            result
        });
        done.await.map_err(|e| ApiError::Internal(format!("database task: {e}")))?
    }

    /// Like [`Db::call`], inside one write transaction that is committed when `work` succeeds.
    ///
    /// # Errors
    /// As [`Db::call`].
    pub async fn write<T, F>(&self, work: F) -> Result<T, ApiError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Sql) -> Result<T, ApiError> + Send + 'static,
    {
        self.call(move |sql| sql.in_transaction(work)).await
    }
}

impl Drop for Inner {
    /// A connection to a server says goodbye by waiting for the network, which an async thread must not do.
    fn drop(&mut self) {
        let idle = std::mem::take(self.idle.get_mut().unwrap_or_else(PoisonError::into_inner));
        if idle.iter().any(|one| one.sql.is_postgres())
            && std::thread::spawn(move || drop(idle)).join().is_err()
        {
            tracing::debug!("a connection could not be closed in order");
        }
    }
}

impl Inner {
    fn take(&self) -> DbResult<(FileId, Sql)> {
        // A restored backup is another file under the same name: connections to the one that was
        // replaced would go on writing to where nobody will ever look.
        let id = file_id(&self.url);
        loop {
            let idle = {
                let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
                idle.retain(|one| one.opened == id && one.sql.is_open());
                idle.pop()
            };
            let Some(mut idle) = idle else { break };
            // A server that was restarted has closed it, and the first query would be the one to notice.
            if !idle.sql.is_postgres() || idle.since.elapsed() < STALE || idle.sql.batch("SELECT 1").is_ok() {
                return Ok((id, idle.sql));
            }
        }
        Ok((id, open(&self.url, false, BUSY_TIMEOUT)?))
    }
}

/// Connects, writes a heartbeat and reads it back: what health calls a working database. The schema and the jobs due.
///
/// # Errors
/// What failed, in words.
pub fn probe(url: &DatabaseUrl, wait: Duration) -> Result<(u32, u64), String> {
    let fail = |what: &'static str| move |e: DbError| format!("{what}: {e}");
    let mut sql = open(url, false, wait).map_err(fail("open"))?;
    // Not under the write lock of PostgreSQL: one row of its own needs no order with anything.
    sql.batch(if sql.is_postgres() { "BEGIN" } else { "BEGIN IMMEDIATE" }).map_err(fail("write lock"))?;
    let now = now_ms();
    let rows =
        sql.execute("UPDATE heartbeat SET beat_at = ?1 WHERE id = 1", params![now]).map_err(fail("write"))?;
    if rows != 1 {
        return Err("write: the heartbeat row is missing".to_owned());
    }
    let read: i64 = sql.value("SELECT beat_at FROM heartbeat WHERE id = 1", &[]).map_err(fail("read"))?;
    if read != now {
        return Err("read: the heartbeat is not what was written".to_owned());
    }
    let schema = migrations::version(&mut sql).map_err(fail("schema"))?;
    let (due, _) = jobs::depth(&mut sql).map_err(fail("queue"))?;
    sql.commit().map_err(fail("commit"))?;
    Ok((schema, due))
}
