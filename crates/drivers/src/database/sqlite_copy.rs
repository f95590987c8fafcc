//! Copying SQLite databases with the online backup API, and looking whether a copy is sound.
//! Blocking: called on threads that may block.

use jiff::Timestamp;
use rusqlite::{
    Connection, ErrorCode, OpenFlags,
    backup::{Backup as Copy, StepResult},
    config::DbConfig,
};
use safelight_engine::driver::database::{DatabaseError, DatabaseErrorKind as Kind};
use sha2::{Digest as _, Sha256};
use std::{
    fs::{self, File},
    io::{self, Read as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// Longest wait for somebody else's lock.
pub(super) const BUSY_LIMIT: Duration = Duration::from_secs(5);
/// Pages copied between two pauses when a reader would hold up writers.
const PAGES: i32 = 500;
/// Pages copied before it is asked whether the copy is still wanted, where a reader holds up nobody.
const MANY_PAGES: i32 = 10_000;
/// So often a copy may begin anew because somebody wrote; after that it is made in one go.
const RESTARTS: u32 = 3;

/// What is being done to which file, for messages.
#[derive(Clone, Debug)]
pub(super) struct Op {
    pub(super) what: &'static str,
    pub(super) path: PathBuf,
}

impl Op {
    pub(super) fn new(what: &'static str, path: &Path) -> Self {
        Self { what, path: path.to_owned() }
    }

    pub(super) fn fail(&self, kind: Kind, detail: impl std::fmt::Display) -> DatabaseError {
        DatabaseError {
            kind,
            op: self.what.to_owned(),
            location: self.path.display().to_string(),
            detail: detail.to_string(),
        }
    }

    pub(super) fn io(&self, e: &io::Error) -> DatabaseError {
        let kind = match e.kind() {
            io::ErrorKind::NotFound => Kind::Missing,
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Kind::Denied,
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Kind::NoSpace,
            _ => Kind::Other,
        };
        self.fail(kind, e)
    }

    pub(super) fn sql(&self, e: &rusqlite::Error) -> DatabaseError {
        let kind = match e.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Kind::Busy,
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Kind::Corrupt,
            Some(ErrorCode::DiskFull) => Kind::NoSpace,
            Some(
                ErrorCode::PermissionDenied
                | ErrorCode::ReadOnly
                | ErrorCode::AuthorizationForStatementDenied,
            ) => Kind::Denied,
            Some(ErrorCode::CannotOpen) => Kind::Unreachable,
            Some(ErrorCode::Unknown) => Kind::Query,
            Some(_) => Kind::Other,
            None => Kind::Query,
        };
        match kind {
            Kind::Busy => self.fail(
                kind,
                format!(
                    "{e}: another process has held a lock for {} s; find it with `fuser`",
                    BUSY_LIMIT.as_secs()
                ),
            ),
            _ => self.fail(kind, e),
        }
    }
}

/// Opens a database that is in use. Never makes one.
pub(super) fn open_live(op: &Op, path: &Path) -> Result<Connection, DatabaseError> {
    let meta = fs::metadata(path).map_err(|e| op.io(&e))?;
    if !meta.is_file() {
        return Err(op.fail(Kind::Unreachable, "not an ordinary file"));
    }
    // SQLite's own words for a lack of rights are the same as for anything else. Not by opening the file: closing it
    // again would let go of every lock that this process holds on it.
    rustix::fs::access(path, rustix::fs::Access::READ_OK).map_err(|e| op.io(&e.into()))?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags).map_err(|e| op.sql(&e))?;
    db.busy_handler(Some(wait_for_lock)).map_err(|e| op.sql(&e))?;
    // Who closes last moves the WAL into the file and removes it. Of a damaged database that would take away a part of
    // what there is.
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(|e| op.sql(&e))?;
    Ok(db)
}

/// Waits one millisecond for a lock, up to [`BUSY_LIMIT`] in all. SQLite's own handler sleeps up to 100 ms between two
/// tries and starves beside an app that writes all the time.
fn wait_for_lock(tries: i32) -> bool {
    std::thread::sleep(Duration::from_millis(1));
    Duration::from_millis(u64::from(tries.unsigned_abs())) < BUSY_LIMIT
}

/// Opens a file that nobody writes, without leaving anything beside it.
pub(super) fn open_still(op: &Op, path: &Path) -> Result<Connection, DatabaseError> {
    fs::metadata(path).map_err(|e| op.io(&e))?;
    let mut uri = String::from("file:");
    for byte in std::path::absolute(path).map_err(|e| op.io(&e))?.as_os_str().as_encoded_bytes() {
        match byte {
            b'/' | b'.' | b'-' | b'_' | b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => {
                uri.push(char::from(*byte))
            }
            other => uri.push_str(&format!("%{other:02X}")),
        }
    }
    uri.push_str("?immutable=1");
    let flags =
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(uri, flags).map_err(|e| op.sql(&e))
}

/// Copies the database of `from` into a new file at `target`, which appears whole and synced or not at all. Returns the
/// moment as of which the copy is consistent.
pub(super) fn copy_to_file(op: &Op, from: &Connection, target: &Path) -> Result<Timestamp, DatabaseError> {
    let temp = Temp::new(op, target)?;
    let moment = {
        let mut to = Connection::open(&temp.path).map_err(|e| op.sql(&e))?;
        // Nobody reads the copy before it is synced and renamed below: no journal of its own.
        to.pragma_update(None, "synchronous", "OFF").map_err(|e| op.sql(&e))?;
        let moment = copy(op, from, &mut to)?;
        // A copy of a WAL database would make two more files wherever it is opened.
        to.pragma_update(None, "journal_mode", "DELETE").map_err(|e| op.sql(&e))?;
        to.close().map_err(|(_, e)| op.sql(&e))?;
        moment
    };
    temp.keep(op, target)?;
    Ok(moment)
}

/// Copies page by page. Readers of a WAL database hold up nobody, so there the whole copy is one read. Otherwise a
/// reader keeps writers out: the copy pauses for them, and begins anew when they wrote.
fn copy(op: &Op, from: &Connection, to: &mut Connection) -> Result<Timestamp, DatabaseError> {
    let mode: String = from.query_row("PRAGMA journal_mode", [], |r| r.get(0)).map_err(|e| op.sql(&e))?;
    let wal = mode == "wal";
    let mut moment = Timestamp::now();
    if wal {
        from.execute_batch("BEGIN; SELECT 1 FROM sqlite_master LIMIT 1").map_err(|e| op.sql(&e))?;
    }
    let result = (|| {
        let copy = Copy::new(from, to).map_err(|e| op.sql(&e))?;
        let (mut restarts, mut left_before) = (0, i32::MAX);
        let mut stuck_since = None;
        loop {
            if !wal {
                moment = Timestamp::now();
            }
            if crate::blocking::given_up() {
                return Err(op.fail(Kind::Other, "it was given up"));
            }
            let pages = match (restarts >= RESTARTS, wal) {
                (true, _) => -1,
                (false, true) => MANY_PAGES,
                (false, false) => PAGES,
            };
            match copy.step(pages).map_err(|e| op.sql(&e))? {
                StepResult::Done => return Ok(moment),
                StepResult::More => {
                    stuck_since = None;
                    let left = copy.progress().remaining;
                    restarts += u32::from(left > left_before);
                    left_before = left;
                    if !wal {
                        std::thread::sleep(Duration::from_millis(2));
                    }
                }
                _ => {
                    let since = *stuck_since.get_or_insert_with(Instant::now);
                    if since.elapsed() > BUSY_LIMIT {
                        return Err(op.fail(
                            Kind::Busy,
                            format!("another process has held a lock for {} s", BUSY_LIMIT.as_secs()),
                        ));
                    }
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
        }
    })();
    if wal {
        let _ = from.execute_batch("ROLLBACK");
    }
    result
}

/// Overwrites the database of `to` with that of `from` in one transaction: all of it or nothing, and processes that
/// have it open see it at their next read.
pub(super) fn copy_into(op: &Op, from: &Connection, to: &mut Connection) -> Result<(), DatabaseError> {
    let begin = Instant::now();
    let copy = Copy::new(from, to).map_err(|e| op.sql(&e))?;
    loop {
        match copy.step(-1).map_err(|e| op.sql(&e))? {
            StepResult::Done => return Ok(()),
            _ if begin.elapsed() > BUSY_LIMIT => {
                let detail = format!("another process has held a lock for {} s", BUSY_LIMIT.as_secs());
                return Err(op.fail(Kind::Busy, detail));
            }
            _ => std::thread::sleep(Duration::from_millis(1)),
        }
    }
}

/// SQLite's own check of the whole file.
pub(super) fn check_integrity(op: &Op, db: &Connection) -> Result<(), DatabaseError> {
    let check = || {
        let mut statement = db.prepare("PRAGMA integrity_check(10)")?;
        let rows = statement.query_map([], |row| row.get::<_, String>(0))?;
        rows.collect::<Result<Vec<String>, _>>()
    };
    let said = check().map_err(|e| op.sql(&e))?;
    if said == ["ok"] {
        return Ok(());
    }
    Err(op.fail(Kind::Corrupt, format!("the integrity check says: {}", said.join("; "))))
}

/// Rows that refer to rows that are not there.
pub(super) fn foreign_key_violations(op: &Op, db: &Connection) -> Result<u64, DatabaseError> {
    let count = || {
        let mut statement = db.prepare("PRAGMA foreign_key_check")?;
        let mut rows = statement.query([])?;
        let mut n = 0;
        while rows.next()?.is_some() {
            n += 1;
        }
        Ok(n)
    };
    count().map_err(|e: rusqlite::Error| op.sql(&e))
}

/// SHA-256 and size of a file.
pub(super) fn digest(op: &Op, path: &Path) -> Result<(String, u64), DatabaseError> {
    let mut file = File::open(path).map_err(|e| op.io(&e))?;
    let mut hash = Sha256::new();
    let mut chunk = vec![0; 256 << 10];
    let mut bytes = 0;
    loop {
        let n = file.read(&mut chunk).map_err(|e| op.io(&e))?;
        if n == 0 {
            break;
        }
        hash.update(&chunk[..n]);
        bytes += n as u64;
    }
    Ok((crate::hex(&hash.finalize()), bytes))
}

/// Copies a file as it is, for a database that SQLite can no longer read.
pub(super) fn copy_raw(op: &Op, from: &Path, target: &Path) -> Result<(), DatabaseError> {
    let temp = Temp::new(op, target)?;
    let mut to = fs::OpenOptions::new().write(true).open(&temp.path).map_err(|e| op.io(&e))?;
    let mut from = File::open(from).map_err(|e| op.io(&e))?;
    io::copy(&mut from, &mut to).map_err(|e| op.io(&e))?;
    temp.keep(op, target)
}

/// A file that becomes `target` or disappears, with everything SQLite put beside it.
struct Temp {
    path: PathBuf,
}

impl Temp {
    fn new(op: &Op, target: &Path) -> Result<Self, DatabaseError> {
        let this = Self { path: beside(target, ".tmp") };
        // Of an earlier attempt that was killed.
        this.remove();
        fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&this.path)
            .map_err(|e| op.io(&e))?;
        Ok(this)
    }

    fn keep(self, op: &Op, target: &Path) -> Result<(), DatabaseError> {
        let sync = || {
            File::open(&self.path)?.sync_all()?;
            fs::rename(&self.path, target)?;
            target
                .parent()
                .filter(|p| !p.as_os_str().is_empty())
                .map_or(Ok(()), |dir| File::open(dir)?.sync_all())
        };
        sync().map_err(|e| op.io(&e))
    }

    fn remove(&self) {
        for ending in ["", "-journal", "-wal", "-shm"] {
            let _ = fs::remove_file(beside(&self.path, ending));
        }
    }
}

impl Drop for Temp {
    fn drop(&mut self) {
        self.remove();
    }
}

/// `path` with an ending: the files SQLite keeps beside a database.
pub(super) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}
