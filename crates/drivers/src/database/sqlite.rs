//! SQLite, also while the app writes to it, in WAL mode or not.
//! Backups are single plain database files of mode 0600.

use super::{
    sqlite_copy::{Op, check_integrity, copy_to_file, digest, foreign_key_violations, open_live, open_still},
    sqlite_restore::{remove_database, same_file},
};
use async_trait::async_trait;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, types::Value};
use safelight_engine::driver::database::{
    Backup, BackupLevel, Database, DatabaseError, DatabaseErrorKind as Kind, DatabaseStatus, Kept,
    RestoreProof,
};
use std::{
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

/// One SQLite database file.
#[derive(Clone, Debug)]
pub struct Sqlite {
    pub(super) path: PathBuf,
    schema_query: Option<String>,
    proof_queries: Vec<String>,
    url: Option<String>,
}

impl Sqlite {
    /// The database at `path`. `schema_query` returns the schema version in its first column; each of `proof_queries`
    /// must return a row from a restored backup.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>, schema_query: Option<String>, proof_queries: Vec<String>) -> Self {
        Self { path: path.into(), schema_query, proof_queries, url: None }
    }

    /// With the value that points the app at the live database now (`file:./data/app.db?mode=rwc`): that for a scratch
    /// database has the same form then.
    #[must_use]
    pub fn with_url(mut self, live: impl Into<String>) -> Self {
        self.url = Some(live.into());
        self
    }

    async fn blocking<T: Send + 'static>(
        &self,
        what: &'static str,
        work: impl FnOnce(&Self, &Op) -> Result<T, DatabaseError> + Send + 'static,
    ) -> Result<T, DatabaseError> {
        let this = self.clone();
        let op = Op::new(what, &self.path);
        let lost = op.clone();
        crate::blocking::blocking(move || work(&this, &op))
            .await
            .unwrap_or_else(|e| Err(lost.fail(Kind::Other, format!("the work was lost: {e}"))))
    }

    /// The schema version; `None` when there is no query for it, or no table for it yet.
    fn schema(&self, op: &Op, db: &Connection) -> Result<Option<String>, DatabaseError> {
        let Some(query) = &self.schema_query else { return Ok(None) };
        match db.query_row(query, [], |row| row.get::<_, Value>(0)).optional() {
            Ok(value) => Ok(value.filter(|v| *v != Value::Null).map(show)),
            // SQLite has no code of its own for this.
            Err(e) if e.to_string().contains("no such table") => Ok(None),
            Err(e) => Err(op.sql(&e)),
        }
    }

    fn status_now(&self, op: &Op) -> Result<DatabaseStatus, DatabaseError> {
        let db = open_live(op, &self.path)?;
        let number =
            |pragma: &str| db.query_row(pragma, [], |row| row.get::<_, i64>(0)).map_err(|e| op.sql(&e));
        let bytes = (number("PRAGMA page_count")? * number("PRAGMA page_size")?).unsigned_abs();
        let schema = self.schema(op, &db)?;
        let writable = match try_to_write(&db) {
            Ok(()) => true,
            Err(e) => match op.sql(&e) {
                denied if denied.kind == Kind::Denied || denied.kind == Kind::Unreachable => false,
                other => return Err(other),
            },
        };
        Ok(DatabaseStatus {
            product: format!("SQLite {}", rusqlite::version()),
            location: self.path.display().to_string(),
            bytes,
            writable,
            schema,
        })
    }

    fn back_up_now(&self, op: &Op, target: &Path) -> Result<Backup, DatabaseError> {
        let live = open_live(op, &self.path)?;
        let taken_at = copy_to_file(op, &live, target)?;
        drop(live);
        self.describe(target, taken_at).inspect_err(|_| {
            let _ = fs::remove_file(target);
        })
    }

    /// Checks a copy that was just made and describes it.
    fn describe(&self, target: &Path, taken_at: Timestamp) -> Result<Backup, DatabaseError> {
        let op = Op::new("check the backup", target);
        let copy = open_still(&op, target)?;
        check_integrity(&op, &copy)?;
        let schema = self.schema(&op, &copy)?;
        drop(copy);
        let (sha256, bytes) = digest(&op, target)?;
        Ok(Backup { path: target.to_owned(), bytes, sha256, taken_at, schema, level: BackupLevel::Fresh })
    }

    /// Refuses a backup that is not byte for byte what was made, or not sound.
    pub(super) fn verify(backup: &Backup) -> Result<Connection, DatabaseError> {
        let op = Op::new("check the backup", &backup.path);
        let (sha256, bytes) = digest(&op, &backup.path)?;
        if bytes != backup.bytes || sha256 != backup.sha256 {
            return Err(op.fail(
                Kind::Corrupt,
                format!(
                    "its content changed since it was made: {bytes} bytes with SHA-256 {sha256}, not {} bytes with {}",
                    backup.bytes, backup.sha256
                ),
            ));
        }
        let copy = open_still(&op, &backup.path)?;
        check_integrity(&op, &copy)?;
        Ok(copy)
    }

    fn prove_now(&self, backup: &Backup, scratch: &Path) -> Result<RestoreProof, DatabaseError> {
        let begin = Instant::now();
        let op = Op::new("restore a backup into a scratch database", scratch);
        for (other, what) in [(&self.path, "the live database"), (&backup.path, "the backup itself")] {
            if same_file(scratch, other) {
                return Err(op.fail(Kind::Other, format!("refused: the scratch database would be {what}")));
            }
        }
        let copy = Self::verify(backup)?;
        remove_database(&op, scratch)?;
        copy_to_file(&op, &copy, scratch)?;
        drop(copy);
        let result = self.query(&op, backup, scratch);
        let (tables, queries) = result.inspect_err(|_| {
            let _ = remove_database(&op, scratch);
        })?;
        let millis = u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX);
        Ok(RestoreProof { scratch: scratch.to_owned(), tables, queries, millis })
    }

    fn query(&self, op: &Op, backup: &Backup, scratch: &Path) -> Result<Measured, DatabaseError> {
        let db = open_live(op, scratch)?;
        db.pragma_update(None, "query_only", true).map_err(|e| op.sql(&e))?;
        check_integrity(op, &db)?;
        let schema = self.schema(op, &db)?;
        if schema != backup.schema {
            let detail =
                format!("its schema version is {schema:?}, that of the backup was {:?}", backup.schema);
            return Err(op.fail(Kind::Corrupt, detail));
        }
        let violations = foreign_key_violations(op, &db)?;
        let mut queries = vec![("PRAGMA foreign_key_check".to_owned(), format!("{violations} violations"))];
        for query in &self.proof_queries {
            let value = db
                .query_row(query, [], |row| row.get::<_, Value>(0))
                .optional()
                .map_err(|e| op.fail(op.sql(&e).kind, format!("{e} in the proof query `{query}`")))?;
            let Some(value) = value else {
                return Err(op.fail(Kind::Query, format!("the proof query `{query}` returned no row")));
            };
            queries.push((query.clone(), show(value)));
        }
        Ok((tables(&db).map_err(|e| op.sql(&e))?, queries))
    }
}

/// Row counts by table, and queries with the first value each returned.
type Measured = (Vec<(String, u64)>, Vec<(String, String)>);

/// Writes what is there already, and takes it back.
fn try_to_write(db: &Connection) -> rusqlite::Result<()> {
    let version: i64 = db.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    db.execute_batch("BEGIN IMMEDIATE")?;
    let written = db.pragma_update(None, "user_version", version);
    db.execute_batch("ROLLBACK")?;
    written
}

fn tables(db: &Connection) -> rusqlite::Result<Vec<(String, u64)>> {
    // Virtual tables need the app's extensions; the tables behind them are counted.
    let mut statement = db.prepare(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' \
         AND sql NOT LIKE 'CREATE VIRTUAL%' ORDER BY name",
    )?;
    let names = statement.query_map([], |row| row.get::<_, String>(0))?;
    names
        .map(|name| {
            let name = name?;
            let quoted = name.replace('"', "\"\"");
            let count = format!("SELECT count(*) FROM \"{quoted}\"");
            let rows: i64 = db.query_row(&count, [], |row| row.get(0))?;
            Ok((name, rows.unsigned_abs()))
        })
        .collect()
}

pub(super) fn show(value: Value) -> String {
    match value {
        Value::Null => "NULL".to_owned(),
        Value::Integer(n) => n.to_string(),
        Value::Real(x) => x.to_string(),
        Value::Text(text) => text,
        Value::Blob(bytes) => format!("{} bytes", bytes.len()),
    }
}

#[async_trait]
impl Database for Sqlite {
    async fn status(&self) -> Result<DatabaseStatus, DatabaseError> {
        self.blocking("look at the database", |this, op| this.status_now(op)).await
    }

    fn explain_back_up(&self, target: &Path) -> String {
        format!("sqlite3_backup {} {}  # online, then synced to disk", self.path.display(), target.display())
    }

    async fn back_up(&self, target: &Path) -> Result<Backup, DatabaseError> {
        let target = target.to_owned();
        self.blocking("back up", move |this, op| this.back_up_now(op, &target)).await
    }

    async fn prove(&self, backup: &Backup, scratch: &Path) -> Result<RestoreProof, DatabaseError> {
        let (backup, scratch) = (backup.clone(), scratch.to_owned());
        self.blocking("prove a backup", move |this, _| this.prove_now(&backup, &scratch)).await
    }

    async fn schema_of(&self, file: &Path) -> Result<Option<String>, DatabaseError> {
        let file = file.to_owned();
        self.blocking("read the schema version", move |this, _| {
            let op = Op::new("read the schema version", &file);
            this.schema(&op, &open_live(&op, &file)?)
        })
        .await
    }

    /// As promised by the trait, in one transaction into the live file: processes that have it open go on with it.
    /// Where there is no live file, or none that SQLite can read, the backup becomes it. Waits at most 5 s for locks.
    async fn restore(&self, backup: &Backup, kept: &Path) -> Result<Kept, DatabaseError> {
        let (backup, kept) = (backup.clone(), kept.to_owned());
        self.blocking("restore a backup", move |this, op| this.restore_now(op, &backup, &kept)).await
    }

    async fn put_back(&self, kept: &Path, aside: Option<&Path>) -> Result<Option<Kept>, DatabaseError> {
        let (kept, aside) = (kept.to_owned(), aside.map(Path::to_owned));
        self.blocking("put the replaced database back", move |this, op| {
            this.put_back_now(op, &kept, aside.as_deref())
        })
        .await
    }

    fn url_for(&self, scratch: &Path) -> String {
        url_like(self.url.as_deref().unwrap_or_default(), scratch)
    }
}

/// The form of `live` with another file in it: scheme and parameters stay.
fn url_like(live: &str, scratch: &Path) -> String {
    let path = scratch.display();
    let Some((scheme, rest)) = live.split_once(':').filter(|(s, _)| !s.is_empty() && !s.contains(['/', '.']))
    else {
        return path.to_string();
    };
    // `sqlite:x`, `sqlite://x`, `sqlite:///x`; with four, the path itself has the last one (SQLAlchemy).
    let slashes = match rest.bytes().take_while(|b| *b == b'/').count() {
        0 | 1 => "",
        2 | 3 => "//",
        _ => "///",
    };
    let parameters = rest.find('?').map_or("", |at| &rest[at..]);
    format!("{scheme}:{slashes}{path}{parameters}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scratch_database_is_named_in_the_form_of_the_live_one() {
        for (live, want) in [
            ("", "/s/x.db"),
            ("/srv/app.db", "/s/x.db"),
            ("./data/app.db", "/s/x.db"),
            ("file:./data/app.db", "file:/s/x.db"),
            ("file:/srv/app.db?mode=rwc&cache=shared", "file:/s/x.db?mode=rwc&cache=shared"),
            ("sqlite:data/app.db", "sqlite:/s/x.db"),
            ("sqlite:///srv/app.db", "sqlite:///s/x.db"),
            ("sqlite:////srv/app.db", "sqlite:////s/x.db"),
        ] {
            assert_eq!(url_like(live, Path::new("/s/x.db")), want, "{live}");
        }
    }
}
