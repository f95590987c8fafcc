//! The database: a small pool of SQLite connections in WAL mode, and the queries by table.
//! SQL lives in this folder only, so that another database can be added behind the same functions.

pub mod migrations;
pub mod photos;
pub mod rolls;
pub mod users;

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};
use tokio::sync::Semaphore;

use crate::error::ApiError;

/// How long a writer waits for another one, such as the other release on the same file.
pub const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
const POOL: usize = 6;

/// Milliseconds since 1970 UTC.
#[must_use]
pub fn now_ms() -> i64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX)
}

/// Opens a database file, creating it only when asked.
///
/// # Errors
/// Those of SQLite: no such file, no right to it, not a database.
pub fn open(path: &Path, create: bool, busy: Duration) -> rusqlite::Result<Connection> {
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
    Ok(conn)
}

/// Device and inode: which file a path means at the moment.
type FileId = Option<(u64, u64)>;

fn file_id(path: &Path) -> FileId {
    std::fs::metadata(path).ok().map(|m| (m.dev(), m.ino()))
}

struct Inner {
    path: PathBuf,
    idle: Mutex<Vec<(FileId, Connection)>>,
    permits: Semaphore,
}

/// A pool of connections to one file. Cloning shares it.
#[derive(Clone)]
pub struct Db(Arc<Inner>);

impl Db {
    /// A pool on an existing file. Connections are opened when needed.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self(Arc::new(Inner { path, idle: Mutex::new(Vec::new()), permits: Semaphore::new(POOL) }))
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Runs queries on a connection of the pool, off the async threads.
    ///
    /// # Errors
    /// Those of `work`, or that the connection could not be had within [`BUSY_TIMEOUT`].
    pub async fn call<T, F>(&self, work: F) -> Result<T, ApiError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Connection) -> Result<T, ApiError> + Send + 'static,
    {
        let permit = tokio::time::timeout(BUSY_TIMEOUT, self.0.permits.acquire()).await;
        let Ok(Ok(_permit)) = permit else { return Err(ApiError::Busy) };
        let inner = Arc::clone(&self.0);
        let done = tokio::task::spawn_blocking(move || {
            // A restored backup is another file under the same name: connections to the one that was
            // replaced would go on writing to where nobody will ever look.
            let id = file_id(&inner.path);
            let idle = {
                let mut idle = inner.idle.lock().unwrap_or_else(PoisonError::into_inner);
                idle.retain(|(opened, _)| *opened == id);
                idle.pop()
            };
            let mut conn = match idle {
                Some((_, conn)) => conn,
                None => open(&inner.path, false, BUSY_TIMEOUT)?,
            };
            let result = work(&mut conn);
            // A connection that failed is dropped: the next request starts from a clean one.
            if !matches!(result, Err(ApiError::Database(_))) {
                inner.idle.lock().unwrap_or_else(PoisonError::into_inner).push((id, conn));
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
        F: FnOnce(&Transaction<'_>) -> Result<T, ApiError> + Send + 'static,
    {
        self.call(move |conn| {
            // Immediate: a lock that is taken later cannot wait, it can only fail.
            let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let value = work(&tx)?;
            tx.commit()?;
            Ok(value)
        })
        .await
    }
}

/// Opens the file, writes a heartbeat and reads it back: what health calls a working database.
///
/// # Errors
/// What failed, in words.
pub fn probe(path: &Path, busy: Duration) -> Result<u32, String> {
    let fail = |what: &'static str| move |e: rusqlite::Error| format!("{what}: {e}");
    let mut conn = open(path, false, busy).map_err(fail("open"))?;
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate).map_err(fail("write lock"))?;
    let now = now_ms();
    let rows = tx.execute("UPDATE heartbeat SET beat_at = ?1 WHERE id = 1", [now]).map_err(fail("write"))?;
    if rows != 1 {
        return Err("write: the heartbeat row is missing".to_owned());
    }
    let read: i64 =
        tx.query_row("SELECT beat_at FROM heartbeat WHERE id = 1", [], |r| r.get(0)).map_err(fail("read"))?;
    if read != now {
        return Err("read: the heartbeat is not what was written".to_owned());
    }
    let schema = migrations::version(&tx).map_err(fail("schema"))?;
    tx.commit().map_err(fail("commit"))?;
    Ok(schema)
}
