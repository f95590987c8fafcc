//! The user's process manager: PM2, or detached processes of our own.

use super::host::{Cmd, HostError};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, path::PathBuf, time::Duration};

/// What to run. `name` is unique on the host: app, environment, service and release.
#[derive(Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct ProcessSpec {
    /// `filmtrip.production.web.r12`.
    pub name: String,
    /// Program and arguments. Never secrets: everybody on the host can read them.
    pub argv: Vec<String>,
    /// Working directory: the release.
    pub cwd: PathBuf,
    /// The whole environment of the process, `PORT` included. Secrets: kept in files of mode 0600 only.
    pub env: BTreeMap<String, String>,
    /// Directory for its log files.
    pub log_dir: PathBuf,
    /// How long it may take to end after SIGTERM before SIGKILL.
    pub stop_timeout: Duration,
}

impl ProcessSpec {
    /// Its command line for people, with the port that it is told. Nothing else of its environment.
    #[must_use]
    pub fn shown(&self) -> String {
        let port = self.env.get("PORT").map(|p| format!("PORT={p} ")).unwrap_or_default();
        format!("{port}{}", Cmd::new(self.argv.clone()).display())
    }
}

impl std::fmt::Debug for ProcessSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProcessSpec")
            .field("name", &self.name)
            .field("argv", &self.argv)
            .field("cwd", &self.cwd)
            .field("env", &self.env.keys().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

/// How a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProcessState {
    /// Running.
    Running,
    /// Being started again after it died.
    Restarting,
    /// Ended, and will not be started again.
    Stopped,
}

/// A process as its manager sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessStatus {
    /// Its unique name.
    pub name: String,
    /// How it is.
    pub state: ProcessState,
    /// Process id while it runs.
    pub pid: Option<u32>,
    /// How often it was started again since it was first started.
    pub restarts: u32,
    /// Resident memory in bytes, when known.
    pub memory: Option<u64>,
    /// How the last one ended: exit status or signal, in words.
    pub last_exit: Option<String>,
}

/// Where a process writes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogFiles {
    /// Standard output.
    pub stdout: PathBuf,
    /// Standard error.
    pub stderr: PathBuf,
}

/// A process manager. Every method may be repeated: starting what runs and stopping what is gone succeed.
#[async_trait]
pub trait ProcessManager: Send + Sync {
    /// `pm2`, `detached`.
    fn kind(&self) -> &'static str;

    /// Starts `spec`, or leaves it alone when a process of that name already runs. Returns once the manager has taken
    /// it over; health is somebody else's question.
    async fn start(&self, spec: &ProcessSpec) -> Result<ProcessStatus, HostError>;

    /// SIGTERM, then SIGKILL after `stop_timeout`; then forgets it. Succeeds when there is no such process.
    async fn stop(&self, name: &str, stop_timeout: Duration) -> Result<(), HostError>;

    /// One process; `None` when the manager does not know it.
    async fn status(&self, name: &str) -> Result<Option<ProcessStatus>, HostError>;

    /// All processes whose name begins with `prefix`. Those of other apps are never touched and never returned.
    async fn list(&self, prefix: &str) -> Result<Vec<ProcessStatus>, HostError>;

    /// Every process of it that runs: the one that was started, and all that it has started since. Empty when none does.
    async fn pids(&self, name: &str) -> Result<Vec<u32>, HostError>;

    /// Where it writes.
    async fn logs(&self, name: &str) -> Result<Option<LogFiles>, HostError>;

    /// Does something of the user's own decide whether a process that has ended is started again? Where nothing does,
    /// Safelight has to.
    async fn has_keeper(&self) -> bool;

    /// The commands that [`ProcessManager::start`] would run, for `plan`.
    fn explain_start(&self, spec: &ProcessSpec) -> String;
}
