//! Numbered migrations, applied in order and never undone: expand first, contract a release later,
//! so that the release before keeps running on the schema of the release after.

use std::fmt;

use super::now_ms;
use super::sql::{DbError, DbResult, Sql};
use crate::params;

/// One step of the schema.
#[derive(Debug)]
pub struct Migration {
    /// Its number; 1, 2, 3 without holes.
    pub number: u32,
    /// What it is about.
    pub name: &'static str,
    /// The newest schema that code must know to run after it. Stays low for a migration that only
    /// adds; a contracting one raises it, and older code then refuses to start.
    pub needs_code: u32,
    sql: &'static str,
}

/// All migrations that this build knows.
pub const ALL: &[Migration] = &[
    Migration { number: 1, name: "base", needs_code: 1, sql: include_str!("migrations/0001_base.sql") },
    Migration { number: 2, name: "rolls", needs_code: 1, sql: include_str!("migrations/0002_rolls.sql") },
    Migration {
        number: 3,
        name: "captions",
        needs_code: 1,
        sql: include_str!("migrations/0003_captions.sql"),
    },
    Migration {
        number: 4,
        name: "catalogue",
        needs_code: 1,
        sql: include_str!("migrations/0004_catalogue.sql"),
    },
    Migration { number: 5, name: "albums", needs_code: 1, sql: include_str!("migrations/0005_albums.sql") },
    Migration {
        number: 6,
        name: "uploads_by_photo",
        needs_code: 1,
        sql: include_str!("migrations/0006_uploads_by_photo.sql"),
    },
    Migration {
        number: 7,
        name: "file_names",
        needs_code: 1,
        sql: include_str!("migrations/0007_file_names.sql"),
    },
    Migration { number: 8, name: "sizes", needs_code: 1, sql: include_str!("migrations/0008_sizes.sql") },
    Migration { number: 9, name: "reports", needs_code: 1, sql: include_str!("migrations/0009_reports.sql") },
    Migration {
        number: 10,
        name: "removed",
        needs_code: 1,
        sql: include_str!("migrations/0010_removed.sql"),
    },
    Migration { number: 11, name: "listed", needs_code: 1, sql: include_str!("migrations/0011_listed.sql") },
];

/// The newest schema that this build knows. 6 is only an index, which no query needs to be right.
pub const NEWEST: u32 = 11;
/// The oldest schema that this build runs on.
pub const MINIMUM: u32 = 4;
/// The schema from which there are albums.
pub const ALBUMS: u32 = 5;
/// The schema from which photos keep the names of their files.
pub const FILE_NAMES: u32 = 7;
/// The schema from which it is known what the stored sizes of photos take.
pub const SIZES: u32 = 8;
/// The schema from which visitors may report photos.
pub const REPORTS: u32 = 9;
/// The schema from which rolls and albums go into the trash.
pub const REMOVED: u32 = 10;
/// The schema from which photos are listed in the order in which their batch was sent.
pub const LISTED: u32 = 11;

/// Why a migration or a start was refused.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// `--to` names a schema that this build does not know.
    #[error("schema {0} is not known to this version, whose newest is {NEWEST}")]
    NoSuch(u32),
    /// `--to` would go back.
    #[error(
        "the database has schema {current} and migrations do not go back to {target}; older code runs on it"
    )]
    Back {
        /// What the database has.
        current: u32,
        /// What was asked for.
        target: u32,
    },
    /// The schema is older than the code can run on.
    #[error(
        "the database has schema {0}, this version needs at least {MINIMUM}: run `filmtrip migrate` first"
    )]
    TooOld(u32),
    /// A contracting migration has removed something that this code uses.
    #[error(
        "the database has schema {current}, which needs code that knows schema {needs}; this version knows \
         {NEWEST}: start a newer release or restore the backup taken before the migration"
    )]
    Contracted {
        /// What the database has.
        current: u32,
        /// What the code would have to know.
        needs: u32,
    },
    /// A migration failed and was rolled back.
    #[error("migration {number} failed and was rolled back: {source}")]
    Failed {
        /// Which one.
        number: u32,
        /// What the database said.
        source: DbError,
    },
    /// The database could not be read.
    #[error("the schema could not be read: {0}")]
    Read(#[from] DbError),
}

/// The schema of a database: 0 for an empty one.
///
/// # Errors
/// Those of the database.
pub fn version(sql: &mut Sql) -> DbResult<u32> {
    if !has_table(sql)? {
        return Ok(0);
    }
    sql.value("SELECT coalesce(max(number), 0) FROM schema_migrations", &[])
}

/// Whether a database that this build runs on has a schema already. Asked at each request: a migration may run under a
/// live process.
///
/// # Errors
/// Those of the database.
pub fn has(sql: &mut Sql, number: u32) -> DbResult<bool> {
    Ok(sql.first("SELECT 1 FROM schema_migrations WHERE number >= ?1 LIMIT 1", params![number])?.is_some())
}

fn has_table(sql: &mut Sql) -> DbResult<bool> {
    let query = if sql.is_postgres() {
        "SELECT 1 WHERE to_regclass('schema_migrations') IS NOT NULL"
    } else {
        "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'schema_migrations'"
    };
    Ok(sql.first(query, &[])?.is_some())
}

/// Whether this build may run on the database as it is.
///
/// # Errors
/// [`SchemaError::TooOld`] or [`SchemaError::Contracted`], which say what to do.
pub fn check(sql: &mut Sql) -> Result<u32, SchemaError> {
    let current = version(sql)?;
    if current < MINIMUM {
        return Err(SchemaError::TooOld(current));
    }
    let needs: u32 = sql.value("SELECT coalesce(max(needs_code), 0) FROM schema_migrations", &[])?;
    if needs > NEWEST {
        return Err(SchemaError::Contracted { current, needs });
    }
    Ok(current)
}

/// Applies what is missing up to `target`, each migration in a transaction of its own.
/// Two processes may do this at once: each looks again once it holds the write lock.
///
/// # Errors
/// The first failure; what was applied before it stays.
pub fn migrate(sql: &mut Sql, target: u32) -> Result<Vec<&'static Migration>, SchemaError> {
    if target > NEWEST {
        return Err(SchemaError::NoSuch(target));
    }
    let current = version(sql)?;
    if target < current {
        return Err(SchemaError::Back { current, target });
    }
    let mut applied = Vec::new();
    for migration in ALL.iter().filter(|m| m.number <= target) {
        let done = sql.in_transaction(|sql| apply(sql, migration));
        if done.map_err(|source| SchemaError::Failed { number: migration.number, source })? {
            applied.push(migration);
        }
    }
    Ok(applied)
}

fn apply(sql: &mut Sql, migration: &Migration) -> DbResult<bool> {
    if version(sql)? >= migration.number {
        return Ok(false);
    }
    let postgres = sql.is_postgres();
    if postgres {
        sql.batch("SET LOCAL statement_timeout = 0")?;
    }
    let text = |of: &str| if postgres { for_postgres(of) } else { of.to_owned() };
    sql.batch(&text(
        "CREATE TABLE IF NOT EXISTS schema_migrations (
            number INTEGER PRIMARY KEY, name TEXT NOT NULL,
            needs_code INTEGER NOT NULL, applied_at INTEGER NOT NULL);",
    ))?;
    sql.batch(&text(migration.sql))?;
    sql.execute(
        "INSERT INTO schema_migrations (number, name, needs_code, applied_at) VALUES (?1, ?2, ?3, ?4)",
        params![migration.number, migration.name, migration.needs_code, now_ms()],
    )?;
    Ok(true)
}

/// The migrations are written once, for SQLite. Only the names of types differ, and that numbers its rows by itself.
fn for_postgres(sql: &str) -> String {
    sql.replace("id      INTEGER PRIMARY KEY CHECK", "id      BIGINT PRIMARY KEY CHECK")
        .replace("number INTEGER PRIMARY KEY", "number BIGINT PRIMARY KEY")
        .replace("photo_id INTEGER PRIMARY KEY", "photo_id BIGINT PRIMARY KEY")
        .replace("INTEGER PRIMARY KEY", "BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY")
        .replace("INTEGER", "BIGINT")
        .replace("BLOB", "BYTEA")
        .replace(") WITHOUT ROWID", ")")
}

/// Applies everything that this build knows, and leaves a newer schema as it is.
///
/// # Errors
/// As [`migrate`].
pub fn migrate_forward(sql: &mut Sql) -> Result<Vec<&'static Migration>, SchemaError> {
    if version(sql)? >= NEWEST { Ok(Vec::new()) } else { migrate(sql, NEWEST) }
}

/// What `filmtrip migrate --status` prints.
#[derive(Debug)]
pub struct Status {
    /// Schema of the database.
    pub current: u32,
    /// Numbers and names of what was applied, also by newer code.
    pub applied: Vec<(u32, String)>,
}

/// Reads the status without changing anything.
///
/// # Errors
/// Those of the database.
pub fn status(sql: &mut Sql) -> DbResult<Status> {
    let mut applied = Vec::new();
    if has_table(sql)? {
        for row in sql.query("SELECT number, name FROM schema_migrations ORDER BY number", &[])? {
            applied.push((row.get(0)?, row.get(1)?));
        }
    }
    Ok(Status { current: version(sql)?, applied })
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "schema {}, newest known {NEWEST}, oldest usable {MINIMUM}", self.current)?;
        for (number, name) in &self.applied {
            writeln!(f, "applied {number:04} {name}")?;
        }
        for m in ALL.iter().filter(|m| m.number > self.current) {
            writeln!(f, "pending {:04} {}", m.number, m.name)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory() -> Sql {
        Sql::Sqlite(rusqlite::Connection::open_in_memory().expect("memory"))
    }

    #[test]
    fn migrations_are_numbered_without_holes_up_to_the_newest() {
        let numbers: Vec<u32> = ALL.iter().map(|m| m.number).collect();
        assert_eq!(numbers, (1..=NEWEST).collect::<Vec<_>>());
        assert!(ALL.iter().all(|m| m.needs_code <= m.number));
    }

    #[test]
    fn migrating_in_two_steps_gives_the_same_schema_as_in_one() {
        let dump = |steps: &[u32]| {
            let mut sql = memory();
            for to in steps {
                migrate(&mut sql, *to).expect("migrates");
            }
            let query = "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY 1";
            let rows = sql.query(query, &[]).expect("schema");
            rows.iter().map(|row| row.get(0)).collect::<DbResult<Vec<String>>>().expect("sql")
        };
        assert_eq!(dump(&[2, 4, 5, NEWEST]), dump(&[NEWEST]));
        assert_ne!(dump(&[4]), dump(&[5]));
        assert_ne!(dump(&[5]), dump(&[6]));
    }

    #[test]
    fn going_back_and_unknown_targets_are_refused() {
        let mut sql = memory();
        assert_eq!(migrate(&mut sql, 2).expect("two").len(), 2);
        assert!(matches!(migrate(&mut sql, 1), Err(SchemaError::Back { current: 2, target: 1 })));
        assert!(matches!(migrate(&mut sql, NEWEST + 1), Err(SchemaError::NoSuch(_))));
        assert!(migrate(&mut sql, 2).expect("again").is_empty());
    }

    #[test]
    fn newer_expanded_schema_is_accepted_and_a_contracted_one_refused() {
        let mut sql = memory();
        migrate(&mut sql, 1).expect("one");
        assert!(matches!(check(&mut sql), Err(SchemaError::TooOld(1))));
        migrate(&mut sql, NEWEST).expect("all");
        let add = "INSERT INTO schema_migrations VALUES (?1, 'later', ?2, 0)";
        sql.execute(add, params![98_u32, 2_u32]).expect("expanded");
        assert_eq!(check(&mut sql).expect("tolerated"), 98);
        sql.execute(add, params![99_u32, 50_u32]).expect("contracted");
        assert!(matches!(check(&mut sql), Err(SchemaError::Contracted { current: 99, needs: 50 })));
    }
}
