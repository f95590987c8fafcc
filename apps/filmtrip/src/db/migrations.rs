//! Numbered migrations, applied in order and never undone: expand first, contract a release later,
//! so that the release before keeps running on the schema of the release after.

use std::fmt;

use rusqlite::{Connection, OptionalExtension, TransactionBehavior};

use super::now_ms;

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
];

/// The newest schema that this build knows.
pub const NEWEST: u32 = 3;
/// The oldest schema that this build runs on.
pub const MINIMUM: u32 = 2;
/// The schema from which photos have captions.
pub const CAPTIONS: u32 = 3;

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
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// The database could not be read.
    #[error("the schema could not be read: {0}")]
    Read(#[from] rusqlite::Error),
}

/// The schema of a database: 0 for an empty one.
///
/// # Errors
/// Those of SQLite.
pub fn version(conn: &Connection) -> rusqlite::Result<u32> {
    if !has_table(conn)? {
        return Ok(0);
    }
    conn.prepare_cached("SELECT coalesce(max(number), 0) FROM schema_migrations")?.query_row([], |r| r.get(0))
}

fn has_table(conn: &Connection) -> rusqlite::Result<bool> {
    let found = conn
        .prepare_cached("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'schema_migrations'")?
        .query_row([], |_| Ok(()))
        .optional()?;
    Ok(found.is_some())
}

/// Whether this build may run on the database as it is.
///
/// # Errors
/// [`SchemaError::TooOld`] or [`SchemaError::Contracted`], which say what to do.
pub fn check(conn: &Connection) -> Result<u32, SchemaError> {
    let current = version(conn)?;
    if current < MINIMUM {
        return Err(SchemaError::TooOld(current));
    }
    let needs: u32 =
        conn.query_row("SELECT coalesce(max(needs_code), 0) FROM schema_migrations", [], |r| r.get(0))?;
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
pub fn migrate(conn: &mut Connection, target: u32) -> Result<Vec<&'static Migration>, SchemaError> {
    if target > NEWEST {
        return Err(SchemaError::NoSuch(target));
    }
    let current = version(conn)?;
    if target < current {
        return Err(SchemaError::Back { current, target });
    }
    let mut applied = Vec::new();
    for migration in ALL.iter().filter(|m| m.number <= target) {
        let failed = |source| SchemaError::Failed { number: migration.number, source };
        let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        if version(&tx).map_err(failed)? >= migration.number {
            continue;
        }
        tx.execute_batch(
            "CREATE TABLE IF NOT EXISTS schema_migrations (
                number INTEGER PRIMARY KEY, name TEXT NOT NULL,
                needs_code INTEGER NOT NULL, applied_at INTEGER NOT NULL)",
        )
        .map_err(failed)?;
        tx.execute_batch(migration.sql).map_err(failed)?;
        tx.execute(
            "INSERT INTO schema_migrations (number, name, needs_code, applied_at) VALUES (?1, ?2, ?3, ?4)",
            (migration.number, migration.name, migration.needs_code, now_ms()),
        )
        .map_err(failed)?;
        tx.commit().map_err(failed)?;
        applied.push(migration);
    }
    Ok(applied)
}

/// Applies everything that this build knows, and leaves a newer schema as it is.
///
/// # Errors
/// As [`migrate`].
pub fn migrate_forward(conn: &mut Connection) -> Result<Vec<&'static Migration>, SchemaError> {
    if version(conn)? >= NEWEST { Ok(Vec::new()) } else { migrate(conn, NEWEST) }
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
/// Those of SQLite.
pub fn status(conn: &Connection) -> rusqlite::Result<Status> {
    let mut applied = Vec::new();
    if has_table(conn)? {
        let mut query = conn.prepare("SELECT number, name FROM schema_migrations ORDER BY number")?;
        for row in query.query_map([], |r| Ok((r.get(0)?, r.get(1)?)))? {
            applied.push(row?);
        }
    }
    Ok(Status { current: version(conn)?, applied })
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

    #[test]
    fn migrations_are_numbered_without_holes_up_to_the_newest() {
        let numbers: Vec<u32> = ALL.iter().map(|m| m.number).collect();
        assert_eq!(numbers, (1..=NEWEST).collect::<Vec<_>>());
        assert!(ALL.iter().all(|m| m.needs_code <= m.number));
    }

    #[test]
    fn migrating_in_two_steps_gives_the_same_schema_as_in_one() {
        let dump = |steps: &[u32]| {
            let mut conn = Connection::open_in_memory().expect("memory");
            for to in steps {
                migrate(&mut conn, *to).expect("migrates");
            }
            let mut query =
                conn.prepare("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY 1").expect("q");
            query.query_map([], |r| r.get(0)).expect("rows").collect::<Result<Vec<String>, _>>().expect("sql")
        };
        assert_eq!(dump(&[2, 3]), dump(&[3]));
        assert_ne!(dump(&[2]), dump(&[3]));
    }

    #[test]
    fn going_back_and_unknown_targets_are_refused() {
        let mut conn = Connection::open_in_memory().expect("memory");
        assert_eq!(migrate(&mut conn, 2).expect("two").len(), 2);
        assert!(matches!(migrate(&mut conn, 1), Err(SchemaError::Back { current: 2, target: 1 })));
        assert!(matches!(migrate(&mut conn, 9), Err(SchemaError::NoSuch(9))));
        assert!(migrate(&mut conn, 2).expect("again").is_empty());
    }

    #[test]
    fn newer_expanded_schema_is_accepted_and_a_contracted_one_refused() {
        let mut conn = Connection::open_in_memory().expect("memory");
        migrate(&mut conn, 1).expect("one");
        assert!(matches!(check(&conn), Err(SchemaError::TooOld(1))));
        migrate(&mut conn, NEWEST).expect("all");
        let add = "INSERT INTO schema_migrations VALUES (?1, 'later', ?2, 0)";
        conn.execute(add, (98, 2)).expect("expanded");
        assert_eq!(check(&conn).expect("tolerated"), 98);
        conn.execute(add, (99, 50)).expect("contracted");
        assert!(matches!(check(&conn), Err(SchemaError::Contracted { current: 99, needs: 50 })));
    }
}
