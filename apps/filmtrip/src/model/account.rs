//! Accounts, sessions and the figures of the back office.

use serde::{Deserialize, Serialize};

use super::{Coded, Volume};

/// What a person may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum UserRole {
    /// Uploads, sees and deletes their own photos.
    User,
    /// Sees and deletes everybody's.
    Admin,
}

impl UserRole {
    /// The name in the database and in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Admin => "admin",
        }
    }
}

/// Who is logged in.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SessionInfo {
    /// The account.
    pub user: UserInfo,
    /// To be sent as `X-CSRF-Token`, or as the form field `csrf_token`, with every change.
    pub csrf_token: String,
}

/// An account, as its owner sees it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct UserInfo {
    /// Email, in lower case.
    pub email: String,
    /// What it may do.
    pub role: UserRole,
}

/// Body of a login.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LoginBody {
    /// Email of the account.
    pub email: String,
    /// Its password.
    pub password: String,
}

/// Body of a first password, with the token of the set-up link.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SetupBody {
    /// From the link.
    pub token: String,
    /// The new password.
    pub password: String,
}

/// Body of another password.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PasswordBody {
    /// The present one.
    pub old: String,
    /// The new one.
    pub new: String,
}

/// An account, as admins see it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AccountInfo {
    /// Row id.
    pub id: i64,
    /// Email.
    pub email: String,
    /// What it may do.
    pub role: UserRole,
    /// Whether it has a password yet.
    pub active: bool,
    /// Whether it is locked out.
    pub disabled: bool,
    /// Photos it owns.
    pub photos: u64,
    /// Bytes of their originals.
    pub bytes: u64,
    /// When it was made, RFC 3339 UTC.
    pub created_at: String,
}

/// All accounts.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AccountList {
    /// By email.
    pub accounts: Vec<AccountInfo>,
}

/// Body of a new account.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewAccount {
    /// Email.
    pub email: String,
    /// What it may do.
    pub role: UserRole,
}

/// Body of a change of an account; what is absent stays.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AccountChange {
    /// What it may do.
    pub role: Option<UserRole>,
    /// Lock it out (its sessions end) or let it in again.
    pub disabled: Option<bool>,
}

/// A one-time link with which a person sets a password.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SetupLink {
    /// Whose.
    pub email: String,
    /// `/setup?token=...`, below the site's address. Shown once.
    pub path: String,
}

/// What is stored where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StorageUse {
    /// `local`, `upyun` or `s3`.
    pub backend: String,
    /// Photos.
    pub photos: u64,
    /// Bytes of originals.
    pub bytes: u64,
}

/// Figures for the back office.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Overview {
    /// Photos stored.
    pub photos: u64,
    /// Photos in the trash.
    pub trashed: u64,
    /// Bytes of originals.
    pub original_bytes: u64,
    /// The same by backend.
    pub storage: Vec<StorageUse>,
    /// Accounts.
    pub users: u64,
    /// Jobs and uploads waiting or being processed.
    pub queue_depth: u64,
    /// Jobs that were given up.
    pub failed_jobs: u64,
    /// Uploads that were signed and have not arrived yet.
    pub pending_uploads: u64,
    /// Whether new uploads go straight to the object store.
    pub direct_upload: bool,
    /// Whether new photos there are shown by its styles.
    pub image_processing: bool,
    /// Photos with reports of visitors that nobody has decided on.
    #[serde(default)]
    pub reported: u64,
    /// The volume of the media folder; absent when it could not be asked.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub volume: Option<Volume>,
    /// Schema version of the database.
    pub schema: u32,
    /// Release of the API.
    pub release: String,
}

/// A piece of work in the queue.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct JobInfo {
    /// Row id.
    pub id: i64,
    /// What it does: `ingest`, `recheck`, `relocate`, `discard`, `integrity`, `measure`, `sweep`.
    pub kind: String,
    /// What it is about: key of an upload or photo, or an object.
    pub subject: String,
    /// `waiting`, `running` or `failed`.
    pub state: String,
    /// Tries so far.
    pub attempts: u32,
    /// Why the last try failed, as it is stored.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error: Option<String>,
    /// The same by its code.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub why: Option<Coded>,
    /// When it is due, RFC 3339 UTC.
    pub run_at: String,
}

/// The queue.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct JobList {
    /// Failed ones first, then by time.
    pub jobs: Vec<JobInfo>,
    /// What to send as `before` for the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub next: Option<String>,
}

/// What came of trying all failed jobs again.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Retried {
    /// How many begin anew.
    pub jobs: u64,
}

/// The result of the last look through all files.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Integrity {
    /// Whether one is under way.
    pub running: bool,
    /// When the last one ended, RFC 3339 UTC; absent before the first.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub checked_at: Option<String>,
    /// Photos looked at.
    pub photos: u64,
    /// Photos with faults.
    #[serde(default)]
    pub total: u64,
    /// What is not as it should be, by age of the photos.
    pub faults: Vec<IntegrityFault>,
    /// What to send as `after` for the next page of faults; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub next: Option<String>,
}

/// A photo whose files are not as they should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IntegrityFault {
    /// Key of the photo.
    pub key: String,
    /// What is wrong, as it is stored: one thing a line.
    pub problem: String,
    /// The same by their codes.
    #[serde(default)]
    pub problems: Vec<Coded>,
}
