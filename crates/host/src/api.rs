//! What goes over the host's socket: HTTP and JSON, one struct per request and answer.

use jiff::Timestamp;
use safelight_engine::{
    driver::state::{HostState, ReleaseRecord},
    plan::{Plan, PlanKind},
    run::RunEnd,
    text::Text,
};
use serde::{Deserialize, Serialize};
use std::{net::SocketAddr, path::PathBuf};

/// Version of these types; both sides refuse another.
pub const VERSION: u32 = 1;

/// `POST /v1/plan` and `POST /v1/runs`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RunRequest {
    /// The directory that holds `safelight.toml`.
    pub project: PathBuf,
    /// Name of the environment.
    pub env: String,
    /// Deploy, or go back.
    pub kind: PlanKind,
    /// What to deploy: a tag, a branch, a commit; or the release to go back to. The default when `None`.
    pub revision: Option<String>,
    /// For a rollback: put the database back too.
    #[serde(default)]
    pub database: bool,
    /// The run whose backup the asker agreed to; another choice is refused then.
    #[serde(default)]
    pub backup: Option<String>,
    /// The app was deployed from another directory before, and lives in this one from now on.
    #[serde(default)]
    pub moved: bool,
    /// Who asks.
    pub who: String,
    /// Seconds without a coordinator after which an uncommitted run is taken back; `None`: never.
    pub lease_s: Option<u64>,
}

/// Answer to `POST /v1/runs`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RunStarted {
    /// Id of the run.
    pub run: String,
    /// What it does.
    pub plan: Plan,
}

/// `POST /v1/runs/{id}/resume` and `/abort`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RunOrder {
    /// Who asks.
    pub who: String,
    /// For abort: close the run's record without touching anything; a person has put the host in order.
    #[serde(default)]
    pub forget: bool,
}

/// A run, in lists.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RunSummary {
    /// Its id.
    pub run: String,
    /// App.
    pub app: String,
    /// Environment.
    pub env: String,
    /// Deploy or rollback.
    pub kind: PlanKind,
    /// Release before.
    pub from: Option<String>,
    /// Release after.
    pub to: String,
    /// Tag, commit or directory.
    pub revision: String,
    /// Directory of the project.
    #[serde(default)]
    pub project: PathBuf,
    /// Who asked.
    pub who: String,
    /// When it began.
    pub began: Timestamp,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// How it ended; `None` while it is open.
    pub end: Option<RunEnd>,
    /// An open run is being worked on right now; otherwise it waits for `resume` or `abort`.
    pub active: bool,
    /// Title of the step it is at.
    pub at: Option<Text>,
}

/// `GET /v1/status`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Status {
    /// [`VERSION`].
    pub version: u32,
    /// Version of the program.
    pub program: String,
    /// Process id of the daemon.
    pub pid: u32,
    /// Its `PATH`, which is that of services; unknown of a daemon from before it was told.
    #[serde(default)]
    pub path: Option<String>,
    /// The proxy.
    pub proxy: ProxyStatus,
    /// Every app and environment.
    pub apps: Vec<AppStatus>,
}

/// The proxy, as the daemon sees it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ProxyStatus {
    /// Process id while it runs.
    pub pid: Option<u32>,
    /// Where it listens in plain HTTP.
    pub listen: Vec<SocketAddr>,
    /// Where it listens with TLS.
    #[serde(default)]
    pub listen_tls: Vec<SocketAddr>,
    /// Proxies in front of it whose `X-Forwarded-*` headers it believes.
    #[serde(default)]
    pub trusted: Vec<safelight_proxy::Network>,
    /// Certificates that it serves, and those that it cannot.
    #[serde(default)]
    pub certificates: Vec<safelight_proxy::protocol::CertificateState>,
    /// Why it does not run.
    pub trouble: Option<String>,
    /// The same with the repair, when it has said so itself before it ended.
    #[serde(default)]
    pub why: Option<ApiError>,
    /// How often the daemon had to start it again.
    pub restarts: u32,
}

impl ProxyStatus {
    /// Why it does not run, for people.
    #[must_use]
    pub fn words(&self) -> Text {
        match (&self.why, &self.trouble) {
            (Some(why), _) => why.message.clone(),
            (None, Some(trouble)) => Text::same(trouble),
            (None, None) => Text::new("nothing is known of why", "原因不明"),
        }
    }
}

/// One app in one environment.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AppStatus {
    /// App.
    pub app: String,
    /// Environment.
    pub env: String,
    /// The release that serves.
    pub current: Option<ReleaseRecord>,
    /// The verified one before it.
    pub previous: Option<ReleaseRecord>,
    /// Its processes.
    pub processes: Vec<safelight_engine::driver::process::ProcessStatus>,
    /// Services of the release that serves without a process that runs.
    #[serde(default)]
    pub not_running: Vec<String>,
    /// The run that is open.
    pub run: Option<RunSummary>,
}

impl AppStatus {
    /// What is missing, a line for each service.
    #[must_use]
    pub fn gaps(&self) -> Vec<Text> {
        let Some(release) = self.current.as_ref().map(|r| &r.id) else { return Vec::new() };
        let line = |s: &String| {
            safelight_engine::text!("{s} of {release} is not running", "{release} 的 {s} 未在运行")
        };
        self.not_running.iter().map(line).collect()
    }

    /// What to do about it.
    #[must_use]
    pub fn help_for_gaps() -> Text {
        Text::new(
            "`safelight host stop && safelight host start` starts it again, as does a deploy or rollback with other processes",
            "`safelight host stop && safelight host start` 会重新启动它；也可以重新部署或回滚",
        )
    }
}

/// `GET /v1/apps/{app}/{env}`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AppDetail {
    /// What checks are told.
    pub state: HostState,
    /// Log files by process name.
    pub logs: Vec<(String, PathBuf)>,
}

/// Kinds of refusal that a client tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorKind {
    /// The configuration is wrong.
    Config,
    /// What was asked for does not make sense.
    Usage,
    /// Another run is open.
    Busy,
    /// There is no such thing.
    NotFound,
    /// The host could not do it.
    Failed,
}

/// Every refusal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{}", message.en)]
pub struct ApiError {
    /// What kind.
    pub kind: ErrorKind,
    /// What failed, where and why.
    pub message: Text,
    /// What to do.
    pub help: Option<Text>,
}

impl From<safelight_engine::run::journal::JournalError> for ApiError {
    fn from(e: safelight_engine::run::journal::JournalError) -> Self {
        Self::new(ErrorKind::Failed, e.text())
    }
}

impl ApiError {
    /// A refusal without advice.
    #[must_use]
    pub fn new(kind: ErrorKind, message: Text) -> Self {
        Self { kind, message, help: None }
    }
    /// With advice.
    #[must_use]
    pub fn with_help(mut self, help: Text) -> Self {
        self.help = Some(help);
        self
    }
    /// Nobody knows the run that was asked for.
    pub fn no_run(id: &str) -> Self {
        let what = safelight_engine::text!("there is no run {id}", "没有运行 {id}");
        Self::new(ErrorKind::NotFound, what)
            .with_help(Text::new("`safelight history` lists them", "`safelight history` 可查看"))
    }
    /// The host could not do it, in its own words.
    pub fn failed(e: impl std::fmt::Display) -> Self {
        Self::new(ErrorKind::Failed, Text::same(e.to_string()))
    }
}
