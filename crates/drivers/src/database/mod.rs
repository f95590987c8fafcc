//! Databases: back up while in use, prove the backup, put it back.
//! When to do which is not decided here.

pub mod sqlite;
mod sqlite_copy;
mod sqlite_restore;

pub use sqlite::Sqlite;
