//! What Safelight itself already runs and keeps on a host. Read by checks, written by the host daemon.

use super::database::Backup;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A release as the host remembers it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseRecord {
    /// `r12`.
    pub id: String,
    /// Hash of its content.
    pub content_id: String,
    /// What was asked for: a tag, a branch, a directory.
    pub revision: String,
    /// Commit, for git sources.
    pub commit: Option<String>,
    /// SHA-256 of its environment file.
    pub env_sha256: Option<String>,
    /// When it was staged.
    pub created: Timestamp,
    /// When it passed verification on production; only such a release can be rolled back to.
    pub verified: Option<Timestamp>,
    /// Schema version that it left in the database.
    pub schema: Option<String>,
    /// Ports of its services, by service name, while it runs.
    pub ports: Vec<(String, u16)>,
}

/// Everything Safelight knows about one app in one environment on this host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostState {
    /// The release that serves users.
    pub current: Option<ReleaseRecord>,
    /// The verified release before it: where a rollback goes.
    pub previous: Option<ReleaseRecord>,
    /// All releases on disk, newest first.
    pub releases: Vec<ReleaseRecord>,
    /// Process ids of everything that runs for this app in this environment: no conflict of theirs is a conflict.
    pub own_pids: Vec<u32>,
    /// Databases that the release that serves has made in its own directory, relative to it: the next one will not have
    /// them.
    #[serde(default)]
    pub own_databases: Vec<std::path::PathBuf>,
    /// The newest database backup and what was proven of it.
    pub last_backup: Option<Backup>,
    /// The address at which the proxy takes requests.
    pub proxy_listen: Vec<std::net::SocketAddr>,
    /// Addresses on which it takes TLS.
    #[serde(default)]
    pub proxy_listen_tls: Vec<std::net::SocketAddr>,
    /// Directory below which releases and backups are kept.
    pub data_dir: std::path::PathBuf,
    /// Directory of the kept environments, one file for each: `<SHA-256>.env`.
    #[serde(default)]
    pub env_dir: std::path::PathBuf,
}
