//! The app's database: back up, prove the backup, restore.

use super::host::HostError;
use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// How much is known about a backup. Levels are never blurred: only the last one is proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BackupLevel {
    /// A file is there.
    Exists,
    /// It was made for this deploy.
    Fresh,
    /// Its checksum and the engine's own integrity check are right.
    Intact,
    /// It was restored into a scratch database and answered queries.
    RestoredAndQueried,
}

/// A backup on disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backup {
    /// The file.
    pub path: PathBuf,
    /// Its size in bytes.
    pub bytes: u64,
    /// SHA-256 of the file, hex.
    pub sha256: String,
    /// When the copy was complete: writes after this moment are not in it.
    pub taken_at: Timestamp,
    /// The schema version inside, when the app declares how to read it.
    pub schema: Option<String>,
    /// How much has been proven.
    pub level: BackupLevel,
}

/// What was measured when a backup was restored into a scratch database and queried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreProof {
    /// The scratch database.
    pub scratch: PathBuf,
    /// Tables with their row counts, by name.
    pub tables: Vec<(String, u64)>,
    /// The configured proof queries with the first value each returned.
    pub queries: Vec<(String, String)>,
    /// Milliseconds for restore and queries.
    pub millis: u64,
}

/// How a replaced database was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kept {
    /// As a database that can be opened.
    Copy,
    /// As its files are: the engine could not read them.
    Raw,
    /// There was none.
    Nothing,
}

/// What the database says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseStatus {
    /// Product and version, `SQLite 3.46`.
    pub product: String,
    /// Where it is, without secrets.
    pub location: String,
    /// Size in bytes.
    pub bytes: u64,
    /// Whether this user may write to it (tried in a transaction that is rolled back).
    pub writable: bool,
    /// The schema version, when the app declares how to read it.
    pub schema: Option<String>,
}

/// Why the database could not do it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{op} on {location}: {detail}")]
pub struct DatabaseError {
    /// What kind of trouble, for decisions.
    pub kind: DatabaseErrorKind,
    /// What was attempted.
    pub op: String,
    /// Which database or file.
    pub location: String,
    /// The engine's own words.
    pub detail: String,
}

/// Kinds of trouble that callers tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DatabaseErrorKind {
    /// There is no such database.
    Missing,
    /// Cannot be reached or opened.
    Unreachable,
    /// Not allowed.
    Denied,
    /// Locked by somebody else for too long.
    Busy,
    /// Damaged.
    Corrupt,
    /// No room on the disk.
    NoSpace,
    /// A query failed.
    Query,
    /// Anything else.
    Other,
}

impl From<DatabaseError> for HostError {
    fn from(e: DatabaseError) -> Self {
        use super::host::HostErrorKind as K;
        let kind = match e.kind {
            DatabaseErrorKind::Missing => K::NotFound,
            DatabaseErrorKind::Denied => K::Permission,
            DatabaseErrorKind::NoSpace => K::NoSpace,
            DatabaseErrorKind::Busy => K::Timeout,
            _ => K::Other,
        };
        HostError::new(kind, format!("{} on {}", e.op, e.location), e.detail)
    }
}

/// A database of one kind.
#[async_trait]
pub trait Database: Send + Sync {
    /// Connects, reads the schema version, and tries to write in a transaction that is rolled back.
    async fn status(&self) -> Result<DatabaseStatus, DatabaseError>;

    /// Copies the live database to `target` while it is in use, consistent as of one moment, synced to disk.
    /// A half-written `target` never stays behind. The result has level [`BackupLevel::Fresh`].
    async fn back_up(&self, target: &Path) -> Result<Backup, DatabaseError>;

    /// What [`Database::back_up`] would do, for `plan`.
    fn explain_back_up(&self, target: &Path) -> String {
        format!("copy to {}", target.display())
    }

    /// Checks checksum and integrity, restores `backup` into `scratch` and queries it there.
    async fn prove(&self, backup: &Backup, scratch: &Path) -> Result<RestoreProof, DatabaseError>;

    /// The schema version inside `file`, a scratch database; none when the app does not declare how to read it.
    async fn schema_of(&self, file: &Path) -> Result<Option<String>, DatabaseError>;

    /// Puts `backup` in the place of the live database. Writes since `backup.taken_at` are lost; the caller has asked, and
    /// has stopped what writes. The replaced database is kept in the directory `kept` before, whole or not at all. A
    /// `kept` that is there was made by an earlier try that may have got further: it stays as it is.
    async fn restore(&self, backup: &Backup, kept: &Path) -> Result<Kept, DatabaseError>;

    /// Takes a restore back: what is in `kept` is the live database again, and `kept` is gone. `None`: nothing was kept,
    /// so nothing was replaced. With `aside`, what is live until then is kept there. Safe to repeat.
    async fn put_back(&self, kept: &Path, aside: Option<&Path>) -> Result<Option<Kept>, DatabaseError>;

    /// A value for the variable that points the app at `scratch` instead of the live database, for rehearsals.
    fn url_for(&self, scratch: &Path) -> String;
}
