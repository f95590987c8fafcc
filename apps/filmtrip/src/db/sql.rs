//! One connection, to SQLite or PostgreSQL, with the same SQL for both.
//!
//! Statements are written for SQLite with `?1`, `?2`...; for PostgreSQL the placeholders become `$1`. What differs
//! otherwise is kept out of the queries: see the migrations for types, and [`Sql::begin_write`] for locks.

use std::collections::HashMap;
use std::fmt;

use postgres::types::{IsNull, ToSql, Type, private::BytesMut};
use rusqlite::types::ValueRef;

/// A value going into or coming out of the database.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// NULL.
    Null,
    /// A whole number; truth is 0 or 1.
    Int(i64),
    /// A floating-point number.
    Real(f64),
    /// Text.
    Text(String),
    /// Bytes.
    Blob(Vec<u8>),
}

macro_rules! from {
    ($($type:ty => |$x:ident| $value:expr;)*) => {
        $(impl From<$type> for Value { fn from($x: $type) -> Self { $value } })*
    };
}
from! {
    i64 => |x| Value::Int(x);
    u32 => |x| Value::Int(i64::from(x));
    u64 => |x| Value::Int(i64::try_from(x).unwrap_or(i64::MAX));
    usize => |x| Value::Int(i64::try_from(x).unwrap_or(i64::MAX));
    bool => |x| Value::Int(i64::from(x));
    f64 => |x| Value::Real(x);
    &str => |x| Value::Text(x.to_owned());
    String => |x| Value::Text(x);
    &String => |x| Value::Text(x.clone());
    Vec<u8> => |x| Value::Blob(x);
    &[u8] => |x| Value::Blob(x.to_vec());
    &Vec<u8> => |x| Value::Blob(x.clone());
    [u8; 32] => |x| Value::Blob(x.to_vec());
}

impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// The parameters of a statement, in order.
#[macro_export]
macro_rules! params {
    ($($value:expr),* $(,)?) => { &[$($crate::db::sql::Value::from($value)),*][..] };
}

/// What the database refused or failed to do.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// SQLite.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    /// PostgreSQL. Its own message is "db error"; the cause has the words.
    #[error("{}", postgres_words(.0))]
    Postgres(#[from] postgres::Error),
    /// A stored value is not what the code expects.
    #[error("column {column} holds {found}, expected {expected}")]
    Type {
        /// From 0.
        column: usize,
        /// What was expected.
        expected: &'static str,
        /// What is there.
        found: String,
    },
    /// Anything else, in words.
    #[error("{0}")]
    Other(String),
}

fn postgres_words(error: &postgres::Error) -> String {
    match error.as_db_error() {
        Some(db) => format!("{} ({})", db.message(), db.code().code()),
        None => {
            let mut text = error.to_string();
            let mut source = std::error::Error::source(error);
            while let Some(cause) = source {
                text = format!("{text}: {cause}");
                source = cause.source();
            }
            text
        }
    }
}

impl DbError {
    /// A stored text that is none of those that the code knows.
    pub(super) fn odd(column: usize, expected: &'static str) -> Self {
        Self::Type { column, expected, found: "something else".to_owned() }
    }

    /// Whether a UNIQUE or primary key refused the row.
    #[must_use]
    pub fn is_duplicate(&self) -> bool {
        match self {
            Self::Sqlite(rusqlite::Error::SqliteFailure(e, _)) => {
                e.code == rusqlite::ErrorCode::ConstraintViolation
                    && matches!(e.extended_code, 2067 | 1555 | 2579)
            }
            Self::Postgres(e) => e.code().is_some_and(|c| *c == postgres::error::SqlState::UNIQUE_VIOLATION),
            _ => false,
        }
    }
}

/// A result of this module.
pub type DbResult<T> = Result<T, DbError>;

/// A row of an answer.
#[derive(Debug, Clone)]
pub struct Row(Vec<Value>);

impl Row {
    /// The value of a column, from 0.
    ///
    /// # Errors
    /// [`DbError::Type`].
    pub fn get<T: FromValue>(&self, column: usize) -> DbResult<T> {
        let value = self.0.get(column).unwrap_or(&Value::Null);
        T::from_value(value).ok_or_else(|| DbError::Type {
            column,
            expected: T::EXPECTED,
            found: match value {
                Value::Null => "NULL".to_owned(),
                Value::Int(n) => format!("the number {n}"),
                Value::Real(n) => format!("the number {n}"),
                Value::Text(_) => "a text".to_owned(),
                Value::Blob(_) => "bytes".to_owned(),
            },
        })
    }
}

/// What a column can be read as.
pub trait FromValue: Sized {
    /// For the error.
    const EXPECTED: &'static str;
    /// None when it does not fit.
    fn from_value(value: &Value) -> Option<Self>;
}

macro_rules! readable {
    ($($type:ty, $expected:literal, $pattern:pat => $value:expr;)*) => {
        $(impl FromValue for $type {
            const EXPECTED: &'static str = $expected;
            fn from_value(value: &Value) -> Option<Self> {
                match value { $pattern => $value, _ => None }
            }
        })*
    };
}
readable! {
    i64, "a whole number", Value::Int(n) => Some(*n);
    u32, "a whole number that is not negative", Value::Int(n) => u32::try_from(*n).ok();
    u64, "a whole number that is not negative", Value::Int(n) => u64::try_from(*n).ok();
    bool, "0 or 1", Value::Int(n) => Some(*n != 0);
    String, "a text", Value::Text(t) => Some(t.clone());
    Vec<u8>, "bytes", Value::Blob(b) => Some(b.clone());
}

impl FromValue for f64 {
    const EXPECTED: &'static str = "a number";
    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Real(n) => Some(*n),
            Value::Int(n) => i32::try_from(*n).ok().map(Self::from),
            _ => None,
        }
    }
}

impl<T: FromValue> FromValue for Option<T> {
    const EXPECTED: &'static str = T::EXPECTED;
    fn from_value(value: &Value) -> Option<Self> {
        if *value == Value::Null { Some(None) } else { T::from_value(value).map(Some) }
    }
}

/// A connection.
pub enum Sql {
    /// To a file.
    Sqlite(rusqlite::Connection),
    /// To a server, with the statements it has prepared.
    Postgres(Box<postgres::Client>, HashMap<String, postgres::Statement>),
}

impl fmt::Debug for Sql {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sqlite(_) => "Sql::Sqlite",
            Self::Postgres(..) => "Sql::Postgres",
        })
    }
}

#[cfg(test)]
thread_local! {
    static STATEMENTS: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

/// How many statements this thread has run.
#[cfg(test)]
pub(super) fn statements() -> u64 {
    STATEMENTS.get()
}

/// One writer at a time, on PostgreSQL too: then what is read in a write transaction cannot change under it, and
/// counting before inserting (login attempts, duplicates) is right. Writes are short; photos are few.
const WRITE_LOCK: i64 = 0x66_69_6c_6d_74_72_69_70;

impl Sql {
    /// Whether it is PostgreSQL.
    #[must_use]
    pub fn is_postgres(&self) -> bool {
        matches!(self, Self::Postgres(..))
    }

    /// Whether it can still be used.
    #[must_use]
    pub fn is_open(&self) -> bool {
        match self {
            Self::Sqlite(_) => true,
            Self::Postgres(client, _) => !client.is_closed(),
        }
    }

    /// Runs a statement; how many rows it changed.
    ///
    /// # Errors
    /// What the database refused.
    pub fn execute(&mut self, sql: &str, params: &[Value]) -> DbResult<u64> {
        #[cfg(test)]
        STATEMENTS.set(STATEMENTS.get() + 1);
        match self {
            Self::Sqlite(conn) => {
                let changed = conn.prepare_cached(sql)?.execute(rusqlite::params_from_iter(params))?;
                Ok(u64::try_from(changed).unwrap_or(u64::MAX))
            }
            Self::Postgres(client, prepared) => {
                let statement = prepare(client, prepared, sql)?;
                Ok(client.execute(&statement, &borrow(params))?)
            }
        }
    }

    /// All rows of a query.
    ///
    /// # Errors
    /// What the database refused.
    pub fn query(&mut self, sql: &str, params: &[Value]) -> DbResult<Vec<Row>> {
        #[cfg(test)]
        STATEMENTS.set(STATEMENTS.get() + 1);
        match self {
            Self::Sqlite(conn) => {
                let mut statement = conn.prepare_cached(sql)?;
                let width = statement.column_count();
                let mut rows = statement.query(rusqlite::params_from_iter(params))?;
                let mut all = Vec::new();
                while let Some(row) = rows.next()? {
                    let values = (0..width).map(|i| Ok(owned(row.get_ref(i)?)));
                    all.push(Row(values.collect::<Result<_, rusqlite::Error>>()?));
                }
                Ok(all)
            }
            Self::Postgres(client, prepared) => {
                let statement = prepare(client, prepared, sql)?;
                client.query(&statement, &borrow(params))?.iter().map(from_postgres).collect()
            }
        }
    }

    /// The first row of a query, if there is one.
    ///
    /// # Errors
    /// What the database refused.
    pub fn first(&mut self, sql: &str, params: &[Value]) -> DbResult<Option<Row>> {
        Ok(self.query(sql, params)?.into_iter().next())
    }

    /// The first column of the one row that a query must give.
    ///
    /// # Errors
    /// What the database refused, or no row.
    pub fn value<T: FromValue>(&mut self, sql: &str, params: &[Value]) -> DbResult<T> {
        let row = self.first(sql, params)?;
        row.ok_or_else(|| DbError::Other("a query that must give a row gave none".to_owned()))?.get(0)
    }

    /// Runs several statements without parameters.
    ///
    /// # Errors
    /// What the database refused.
    pub fn batch(&mut self, sql: &str) -> DbResult<()> {
        match self {
            Self::Sqlite(conn) => Ok(conn.execute_batch(sql)?),
            Self::Postgres(client, _) => Ok(client.batch_execute(sql)?),
        }
    }

    /// Begins a transaction that may write, once no other one does.
    ///
    /// # Errors
    /// The lock was not free in time, or the database is gone.
    pub fn begin_write(&mut self) -> DbResult<()> {
        // Immediate: a lock that SQLite takes later cannot wait, it can only fail.
        if !self.is_postgres() {
            return self.batch("BEGIN IMMEDIATE");
        }
        self.batch("BEGIN")?;
        let locked = self.query("SELECT pg_advisory_xact_lock(?1)", params![WRITE_LOCK]);
        if locked.is_err() {
            self.rollback();
        }
        locked.map(drop)
    }

    /// Commits.
    ///
    /// # Errors
    /// Nothing is written then.
    pub fn commit(&mut self) -> DbResult<()> {
        self.batch("COMMIT")
    }

    /// Rolls back. A failure only means that the database has done so already.
    pub fn rollback(&mut self) {
        if let Err(e) = self.batch("ROLLBACK") {
            tracing::debug!("rollback: {e}");
        }
    }

    /// Runs `work` in a write transaction: committed when it succeeds, rolled back when not.
    ///
    /// # Errors
    /// Those of `work` and of the transaction.
    pub fn in_transaction<T, E: From<DbError>>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, E>,
    ) -> Result<T, E> {
        self.begin_write()?;
        match work(self) {
            Ok(value) => {
                if let Err(e) = self.commit() {
                    self.rollback();
                    return Err(e.into());
                }
                Ok(value)
            }
            Err(e) => {
                self.rollback();
                Err(e)
            }
        }
    }
}

fn borrow(params: &[Value]) -> Vec<&(dyn ToSql + Sync)> {
    params.iter().map(|p| p as &(dyn ToSql + Sync)).collect()
}

fn prepare(
    client: &mut postgres::Client,
    prepared: &mut HashMap<String, postgres::Statement>,
    sql: &str,
) -> DbResult<postgres::Statement> {
    if let Some(statement) = prepared.get(sql) {
        return Ok(statement.clone());
    }
    let statement = client.prepare(&dollars(sql))?;
    // Lists of keys make statements of every length: they must not pile up on the server.
    if prepared.len() >= 256 {
        prepared.clear();
    }
    prepared.insert(sql.to_owned(), statement.clone());
    Ok(statement)
}

/// `?1` as `$1`. Texts in the statements hold no question marks: everything from outside is a parameter.
fn dollars(sql: &str) -> String {
    sql.replace('?', "$")
}

fn owned(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(n) => Value::Int(n),
        ValueRef::Real(n) => Value::Real(n),
        ValueRef::Text(t) => Value::Text(String::from_utf8_lossy(t).into_owned()),
        ValueRef::Blob(b) => Value::Blob(b.to_vec()),
    }
}

impl rusqlite::ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
        use rusqlite::types::ToSqlOutput;
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Int(n) => ValueRef::Integer(*n),
            Self::Real(n) => ValueRef::Real(*n),
            Self::Text(t) => ValueRef::Text(t.as_bytes()),
            Self::Blob(b) => ValueRef::Blob(b),
        }))
    }
}

impl ToSql for Value {
    fn to_sql(
        &self,
        kind: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match self {
            Self::Null => Ok(IsNull::Yes),
            Self::Int(n) if *kind == Type::INT4 => i32::try_from(*n)?.to_sql(kind, out),
            Self::Int(n) if *kind == Type::INT8 => n.to_sql(kind, out),
            Self::Int(n) if *kind == Type::FLOAT8 => f64::from(i32::try_from(*n)?).to_sql(kind, out),
            Self::Real(n) if *kind == Type::FLOAT8 => n.to_sql(kind, out),
            // PostgreSQL has no way to store a NUL in text; SQLite has. It means nothing in a title.
            Self::Text(t) if <&str>::accepts(kind) && t.contains('\0') => {
                t.replace('\0', "").to_sql(kind, out)
            }
            Self::Text(t) if <&str>::accepts(kind) => t.as_str().to_sql(kind, out),
            Self::Blob(b) if *kind == Type::BYTEA => b.as_slice().to_sql(kind, out),
            other => Err(format!("{other:?} does not fit a parameter of type {kind}").into()),
        }
    }

    fn accepts(kind: &Type) -> bool {
        matches!(*kind, Type::INT4 | Type::INT8 | Type::FLOAT8 | Type::BYTEA) || <&str>::accepts(kind)
    }

    postgres::types::to_sql_checked!();
}

fn from_postgres(row: &postgres::Row) -> DbResult<Row> {
    let values = row.columns().iter().enumerate().map(|(i, column)| {
        let kind = column.type_();
        Ok(match *kind {
            Type::INT8 => row.try_get::<_, Option<i64>>(i)?.into(),
            Type::INT4 => row.try_get::<_, Option<i32>>(i)?.map(i64::from).into(),
            Type::BOOL => row.try_get::<_, Option<bool>>(i)?.into(),
            Type::FLOAT8 => row.try_get::<_, Option<f64>>(i)?.into(),
            Type::BYTEA => row.try_get::<_, Option<Vec<u8>>>(i)?.into(),
            Type::VOID => Value::Null,
            _ if <&str>::accepts(kind) => row.try_get::<_, Option<String>>(i)?.into(),
            _ => return Err(DbError::Other(format!("column {} has the type {kind}", column.name()))),
        })
    });
    Ok(Row(values.collect::<DbResult<_>>()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_as_they_went_in() {
        let mut sql = Sql::Sqlite(rusqlite::Connection::open_in_memory().expect("memory"));
        sql.batch("CREATE TABLE t (a INTEGER UNIQUE, b TEXT, c BLOB, d DOUBLE PRECISION, e TEXT)")
            .expect("table");
        let insert = "INSERT INTO t VALUES (?1, ?2, ?3, ?4, ?5)";
        let none: Option<&str> = None;
        sql.execute(insert, params![7_i64, "x", vec![1_u8, 2], 0.5, none]).expect("insert");
        let row =
            sql.first("SELECT a, b, c, d, e FROM t WHERE a = ?1", params![7_i64]).expect("q").expect("row");
        assert_eq!(row.get::<i64>(0).expect("a"), 7);
        assert_eq!(row.get::<String>(1).expect("b"), "x");
        assert_eq!(row.get::<Vec<u8>>(2).expect("c"), [1, 2]);
        assert!((row.get::<f64>(3).expect("d") - 0.5).abs() < f64::EPSILON);
        assert_eq!(row.get::<Option<String>>(4).expect("e"), None);
        let wrong = row.get::<i64>(1).expect_err("a text is no number").to_string();
        assert_eq!(wrong, "column 1 holds a text, expected a whole number");
        let again = sql.execute(insert, params![7_i64, "y", vec![3_u8], 1.0, none]).expect_err("unique");
        assert!(again.is_duplicate());
    }

    #[test]
    fn a_transaction_that_fails_leaves_nothing() {
        let mut sql = Sql::Sqlite(rusqlite::Connection::open_in_memory().expect("memory"));
        sql.batch("CREATE TABLE t (a INTEGER)").expect("table");
        let failed: DbResult<()> = sql.in_transaction(|sql| {
            sql.execute("INSERT INTO t VALUES (1)", &[])?;
            Err(DbError::Other("no".to_owned()))
        });
        assert!(failed.is_err());
        sql.in_transaction(|sql| sql.execute("INSERT INTO t VALUES (2)", &[])).expect("commits");
        assert_eq!(sql.value::<i64>("SELECT sum(a) FROM t", &[]).expect("sum"), 2);
    }
}
