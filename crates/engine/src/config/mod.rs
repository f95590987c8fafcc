//! `safelight.toml`, typed. Every default of the mission stands here, once.
//! Loading and its error messages are in [`load`]; values with units in [`value`].

mod environment;
pub mod load;
mod validate;
pub mod value;

use crate::risk::Severity;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, path::PathBuf};
pub use value::{ByteSize, CommandLine, Span};

/// The whole file.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// The app.
    pub app: App,
    /// Where releases come from.
    #[serde(default)]
    pub source: Source,
    /// How a release becomes runnable on the host.
    #[serde(default)]
    pub build: Build,
    /// What the host must have.
    #[serde(default)]
    pub runtime: Runtime,
    /// The processes of the app, in the order in which they are promoted: backend before frontend.
    #[serde(rename = "service")]
    pub services: Vec<Service>,
    /// The app's database.
    pub database: Option<Database>,
    /// What a user does, tried before and after the switch.
    #[serde(default)]
    pub journeys: Journeys,
    /// The watch after the switch.
    #[serde(default)]
    pub watch: Watch,
    /// Limits of the checks.
    #[serde(default)]
    pub checks: Checks,
    /// When production may be touched; any time when absent.
    pub window: Option<Window>,
    /// Risks of your own.
    #[serde(default, rename = "risk")]
    pub risks: Vec<UserRisk>,
    /// Findings that somebody took responsibility for.
    #[serde(default, rename = "waiver")]
    pub waivers: Vec<Waiver>,
    /// Environments by name, `production` first of all.
    #[serde(rename = "env")]
    pub environments: BTreeMap<String, Environment>,
}

/// The app.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct App {
    /// Its name: lower-case letters, digits and `-`.
    pub name: String,
    /// How many verified releases are kept on the host.
    #[serde(default = "five")]
    pub keep_releases: usize,
}

fn five() -> usize {
    5
}

/// Where releases come from.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Source {
    /// A git working copy, relative to this file. The default, as `.`.
    pub git: Option<PathBuf>,
    /// A plain directory instead of git.
    pub dir: Option<PathBuf>,
    /// Paths below it that are not part of a release.
    #[serde(default)]
    pub exclude: Vec<String>,
    /// Refuse to deploy a commit that no tag names (otherwise it is a warning).
    #[serde(default)]
    pub require_tag: bool,
}

/// How a release becomes runnable on the host.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Build {
    /// Installs dependencies, `npm ci --omit=dev`. What another release has installed is
    /// used again when nothing that decides it has changed: a lock file, `package.json`, `.npmrc`, patches, `NODE_ENV`,
    /// `npm_config_*`, the runtime, this line. It gets the environment file, not the `env` of a service.
    pub install: Option<CommandLine>,
    /// Files that decide what `install` does; the usual lock files when empty. Without one it is run every time.
    #[serde(default)]
    pub lock_files: Vec<String>,
    /// All that `install` makes, `node_modules` when empty. In a workspace, and with scripts of the app's own that run with
    /// the installation, nothing is used again unless this names everything.
    #[serde(default)]
    pub dependency_dirs: Vec<String>,
    /// Builds the release, `npm run build`.
    pub build: Option<CommandLine>,
    /// Longest time for each of the two.
    pub timeout: Option<Span>,
    /// Paths that all releases share (uploads): links in the release, kept outside of it.
    #[serde(default)]
    pub shared: Vec<String>,
}

/// What the host must have.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Runtime {
    /// Range of Node.js versions, `>=18`.
    pub node: Option<String>,
    /// Range of npm versions.
    pub npm: Option<String>,
    /// Directory that holds the `node` the services run with, when it is not on the PATH (nvm, volta, asdf).
    pub node_dir: Option<PathBuf>,
    /// Other programs that the app needs on the host: `python3`, `java`, `ffmpeg`.
    #[serde(default, rename = "program")]
    pub programs: Vec<Program>,
}

/// A program that must be on the host.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Program {
    /// Its name on the PATH of services, or its path.
    pub name: String,
    /// Range of versions as in package.json, `>=3.11 <4`; any when absent.
    pub range: Option<String>,
    /// Arguments that make it print its version; `--version` when absent.
    pub version_arguments: Option<Vec<String>>,
}

/// What `safelight init` writes for a command that it does not know. A configuration with it is refused.
pub const UNKNOWN_COMMAND: &str = "<what starts your app>";

/// One process of the app.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Service {
    /// Its name: lower-case letters, digits and `-`.
    pub name: String,
    /// What to run in the release. It gets its port in the variable `PORT`; `{port}` and `{other.url}` are filled in.
    pub command: CommandLine,
    /// Path that answers 2xx when the service is well.
    #[serde(default = "slash")]
    pub health: String,
    /// Longest time from start until `health` answers 2xx.
    #[serde(default = "thirty_seconds")]
    pub start_timeout: Span,
    /// Longest time from SIGTERM until the process has ended.
    #[serde(default = "ten_seconds")]
    pub stop_timeout: Span,
    /// Longest time that requests under way at the switch may take to end.
    #[serde(default = "thirty_seconds")]
    pub drain_timeout: Span,
    /// The one port this app can listen on. Old and new cannot run side by side then: the proxy holds requests while
    /// one is exchanged for the other, and a rehearsal leaves the service out, unless `{port}` in `command` or `env` lets
    /// it run on another port there.
    pub fixed_port: Option<u16>,
    /// Path prefix under which users reach it; none when only other services do.
    pub path: Option<String>,
    /// Host names under which users reach it; those of the environment when empty.
    #[serde(default)]
    pub hosts: Vec<String>,
    /// Variables for this service alone; `{port}` and `{other.url}` are filled in. Not for secrets.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
}

fn slash() -> String {
    "/".to_owned()
}
fn thirty_seconds() -> Span {
    Span::secs(30)
}
fn ten_seconds() -> Span {
    Span::secs(10)
}

/// Products that Safelight can back up and restore.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DatabaseKind {
    /// SQLite 3.
    Sqlite,
}

/// The app's database.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Database {
    /// Which product.
    pub kind: DatabaseKind,
    /// The database file. Relative paths start at the environment's shared directory.
    pub path: PathBuf,
    /// Variable that tells the app where the database is; set to a scratch copy in rehearsals. Where the environment file
    /// sets it, too, that has to be this database (P16).
    #[serde(default = "database_url")]
    pub url_variable: String,
    /// What that variable holds; `{path}` is the file: `sqlite:{path}`.
    #[serde(default = "plain_path")]
    pub url: String,
    /// Migrates the schema, run in the new release with its environment. Must leave the old release able to run.
    pub migrate: Option<CommandLine>,
    /// Takes the migration back, run in the new release, and only when the schema is not what it was before; it finds that
    /// in the variable `SAFELIGHT_SCHEMA`. Needs `schema-query`. Without it the schema stays where it is on an automatic
    /// undo, as the rehearsal has proven that the old release runs on it.
    pub unmigrate: Option<CommandLine>,
    /// Query that returns the schema version in its first column.
    pub schema_query: Option<String>,
    /// Queries that a restored backup must answer with at least one row.
    #[serde(default)]
    pub proof_queries: Vec<String>,
}

fn plain_path() -> String {
    "{path}".to_owned()
}
fn database_url() -> String {
    "DATABASE_URL".to_owned()
}

/// What a user does, as Hurl files.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Journeys {
    /// Hurl files, relative to this file.
    pub files: Vec<PathBuf>,
    /// Variables for them.
    pub variables: BTreeMap<String, String>,
    /// Variables taken from the environment file and never shown: name in the journey = name in the file.
    pub secrets: BTreeMap<String, String>,
    /// Of `files`, those that the rehearsal on a copy of the database leaves out: they need what a copy cannot have, such
    /// as uploaded files or another service.
    pub skip_in_rehearsal: Vec<PathBuf>,
    /// Longest time for one journey.
    pub timeout: Span,
}

impl Default for Journeys {
    fn default() -> Self {
        Self {
            files: Vec::new(),
            variables: BTreeMap::new(),
            secrets: BTreeMap::new(),
            skip_in_rehearsal: Vec::new(),
            timeout: Span::secs(60),
        }
    }
}

/// The watch after the switch.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Watch {
    /// How long.
    pub duration: Span,
    /// Time between two looks.
    pub every: Span,
    /// Time between two runs of the journeys.
    pub journeys_every: Span,
    /// Share of requests answered 5xx or not at all that is a breach, 0 to 1.
    pub max_error_rate: f64,
    /// Requests are added up over the looks until there are this many; then error rate and latency are judged. Failures
    /// that chance cannot explain count before: at 5 % three out of three.
    pub min_requests: u64,
    /// How many times the old release's median and 95th percentile the new one's may be.
    pub max_slowdown: f64,
    /// Slowdowns below this many milliseconds do not matter.
    pub slowdown_floor: Span,
    /// Restarts of one process that are a breach.
    pub max_restarts: u32,
    /// Regular expressions for log lines that are severe.
    pub severe_log_patterns: Vec<String>,
    /// Severe log lines in one look that are a breach.
    pub max_severe_lines: u64,
    /// How many looks in a row must breach before the deploy is undone: one blip does not.
    pub breaches_to_undo: u32,
    /// How long requests, processes, logs or journeys may be out of sight before the deploy is undone: a watch that does
    /// not see is no watch.
    pub max_blind: Span,
    /// How long this release may keep the host over the limits of `[checks]` for CPU, memory and disk before it is undone.
    /// A host that others keep there, or that was there before, is only told of.
    pub max_overload: Span,
}

impl Default for Watch {
    fn default() -> Self {
        Self {
            duration: Span::secs(3600),
            every: Span::secs(10),
            journeys_every: Span::secs(60),
            max_error_rate: 0.05,
            min_requests: 20,
            max_slowdown: 3.0,
            slowdown_floor: Span::millis(200),
            max_restarts: 2,
            severe_log_patterns: vec![
                r"\b(FATAL|PANIC|CRITICAL)\b".to_owned(),
                "UnhandledPromiseRejection".to_owned(),
            ],
            max_severe_lines: 5,
            breaches_to_undo: 3,
            max_blind: Span::secs(120),
            max_overload: Span::secs(300),
        }
    }
}

/// Limits of the checks: the mission's, unless you say otherwise.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Checks {
    /// P1: busy share of the CPU, in percent, that is too much. 100: no limit.
    pub cpu_max_percent: f64,
    /// P2: used share of memory, in percent, that is too much. 100: no limit.
    pub memory_max_percent: f64,
    /// P3: free share of the disk, in percent, that is too little.
    pub disk_min_free_percent: f64,
    /// P3: free bytes on the disk that are too few.
    pub disk_min_free: ByteSize,
    /// P4: addresses (`host:port`) that the host must reach.
    pub reach: Vec<String>,
    /// P25: share of a certificate's lifetime, in percent, below which the rest is a warning.
    pub certificate_min_left_percent: f64,
    /// Time limit for each check, instead of its own.
    pub timeout: Option<Span>,
}

impl Default for Checks {
    fn default() -> Self {
        Self {
            cpu_max_percent: 80.0,
            memory_max_percent: 80.0,
            disk_min_free_percent: 20.0,
            disk_min_free: ByteSize(5_000_000_000),
            reach: Vec::new(),
            certificate_min_left_percent: 20.0,
            timeout: None,
        }
    }
}

/// When production may be touched.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Window {
    /// `02:00`.
    pub from: String,
    /// `04:00`; may be past midnight.
    pub to: String,
    /// Time zone, `Asia/Shanghai`.
    pub zone: String,
}

/// A risk of your own.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct UserRisk {
    /// Its id; not one of R1 to R10.
    pub id: String,
    /// Its name.
    pub title: String,
    /// How bad it would be.
    pub severity: Severity,
    /// What users would see.
    pub impact: String,
    /// What is done against it.
    #[serde(default)]
    pub mitigations: Vec<String>,
    /// Ids of the checks that speak to it.
    pub checks: Vec<String>,
}

/// A finding that somebody took responsibility for.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Waiver {
    /// Id of the check.
    pub check: String,
    /// Only this subject of it; every subject when absent.
    pub subject: Option<String>,
    /// Why this is acceptable.
    pub reason: String,
    /// Who says so.
    pub who: String,
    /// Until when, `2026-12-31T00:00:00+08:00`. A waiver without an end is a hole.
    #[schemars(with = "String")]
    pub until: Timestamp,
}

/// Process managers that run releases.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ProcessKind {
    /// Detached processes of Safelight's own.
    #[default]
    Detached,
    /// The user's PM2.
    Pm2,
}

/// TLS by Safelight's own proxy, on the addresses of `safelight host start --listen-tls`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Tls {
    /// Certificates with their keys; the one that names what a client asks for is served. The files are read again when
    /// they change.
    pub certificates: Vec<CertificateFiles>,
    /// Send plain HTTP on to HTTPS, for every host whose address in `url` or `urls` begins with `https://`. ACME's
    /// `/.well-known/acme-challenge/` is always answered in plain.
    #[serde(default = "yes")]
    pub redirect: bool,
}

fn yes() -> bool {
    true
}

/// A certificate and its key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct CertificateFiles {
    /// PEM file with the whole chain, `fullchain.pem`; relative to this file.
    pub certificate: PathBuf,
    /// PEM file with the private key, closed to others (mode 0600); relative to this file.
    pub key: PathBuf,
}

impl CertificateFiles {
    /// The files of a project.
    #[must_use]
    pub fn below(&self, project: &std::path::Path) -> Self {
        Self { certificate: project.join(&self.certificate), key: project.join(&self.key) }
    }
}

/// One environment.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Environment {
    /// What runs the processes.
    #[serde(default)]
    pub process: ProcessKind,
    /// The `pm2` program, when it is not on the PATH; relative to this file.
    pub pm2: Option<PathBuf>,
    /// `PM2_HOME`, when it is not the user's own.
    pub pm2_home: Option<PathBuf>,
    /// File of environment variables, relative to this file. Read at deploy, kept with the release, mode 0600.
    pub env_file: Option<PathBuf>,
    /// Variables that must be set in it (P14).
    #[serde(default)]
    pub required: Vec<String>,
    /// Address that users type: `https://filmtrip.cn`.
    pub url: String,
    /// Other addresses of the app (API, images) for the checks of names and certificates.
    #[serde(default)]
    pub urls: Vec<String>,
    /// Reach `url` at this `address:port` instead of where DNS says, for journeys. A `localhost` name is this machine
    /// without it.
    pub connect: Option<String>,
    /// Host name that reaches a new release before users do.
    pub test_host: Option<String>,
    /// TLS by Safelight's own proxy; without it something in front does TLS, or nobody.
    pub tls: Option<Tls>,
    /// Expected records by host name: an address or a CNAME target. What DNS must say (P24).
    #[serde(default)]
    pub dns: BTreeMap<String, Vec<String>>,
    /// DNS servers (`ip:port`) to ask in place of the host's own (P24).
    #[serde(default)]
    pub resolvers: Vec<String>,
}

impl Config {
    /// Host names of an environment: of `url`, then of `urls`, each once.
    #[must_use]
    pub fn hosts_of(env: &Environment) -> Vec<String> {
        let mut hosts = Vec::new();
        for url in std::iter::once(&env.url).chain(&env.urls) {
            if let Some(host) = value::url_parts(url).map(|p| p.host)
                && !hosts.contains(&host)
            {
                hosts.push(host);
            }
        }
        hosts
    }

    /// Services that cannot run beside the release that serves, as a rehearsal would have to: they know one port only and
    /// that is taken (a `fixed-port`, and no `{port}` in the command or its variables); and those that would call one of
    /// them, and so reach production.
    #[must_use]
    pub fn bound_services(&self) -> Vec<&Service> {
        let says = |s: &Service, what: &str| {
            s.command.argv().iter().chain(s.env.values()).any(|text| text.contains(what))
        };
        let mut bound: Vec<&Service> =
            self.services.iter().filter(|s| s.fixed_port.is_some() && !says(s, "{port}")).collect();
        loop {
            let calls = |s: &&Service| bound.iter().any(|b| says(s, &format!("{{{}.url}}", b.name)));
            let free = |s: &&Service| !bound.iter().any(|b| b.name == s.name);
            let more: Vec<&Service> = self.services.iter().filter(free).filter(calls).collect();
            if more.is_empty() {
                return bound;
            }
            bound.extend(more);
        }
    }

    /// Will a rehearsal do what users do, and so prove the way back? Otherwise it only starts what it can.
    #[must_use]
    pub fn rehearsal_proves(&self, env: &Environment) -> bool {
        let journeys = self.journeys.files.iter().any(|f| !self.journeys.skip_in_rehearsal.contains(f));
        let routed = self.services.iter().filter(|s| s.path.is_some()).count();
        journeys && self.bound_services().is_empty() && (routed == 1 || env.test_host.is_some())
    }

    /// Hosts of an environment whose plain requests are sent on to https, with the port of their address.
    #[must_use]
    pub fn https_ports(env: &Environment) -> BTreeMap<String, u16> {
        let redirect = env.tls.as_ref().is_some_and(|t| t.redirect);
        let urls = std::iter::once(&env.url).chain(&env.urls).filter(|_| redirect);
        urls.filter_map(|u| value::url_parts(u)).filter(|p| p.tls).map(|p| (p.host, p.port)).collect()
    }

    /// The JSON schema of the file, for editors.
    #[must_use]
    pub fn schema() -> serde_json::Value {
        schemars::schema_for!(Config).to_value()
    }
}

/// The parts of an environment's main address.
#[must_use]
pub fn url_of(env: &Environment) -> Option<value::UrlParts> {
    value::url_parts(&env.url)
}

/// Is `now` inside of the window? One that ends before it begins runs over midnight; one that cannot be read is closed.
#[must_use]
pub fn window_open(window: &Window, now: Timestamp) -> bool {
    let time = |s: &str| s.parse::<jiff::civil::Time>().ok();
    let (Some(from), Some(to)) = (time(&window.from), time(&window.to)) else { return false };
    let Ok(zoned) = now.in_tz(&window.zone) else { return false };
    let t = zoned.time();
    if from <= to { from <= t && t < to } else { t >= from || t < to }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_on_their_one_port_and_those_that_call_them_cannot_be_rehearsed() {
        let config = |api: &str, test_host: &str| {
            let text = format!(
                "[app]\nname = \"a\"\n[[service]]\nname = \"api\"\npath = \"/api\"\n{api}\n\
                 [[service]]\nname = \"web\"\npath = \"/\"\ncommand = \"web\"\nenv = {{ API = \"{{api.url}}\" }}\n\
                 [[service]]\nname = \"jobs\"\ncommand = \"jobs --web {{web.url}}\"\n\
                 [[service]]\nname = \"mail\"\ncommand = \"mail\"\n\
                 [journeys]\nfiles = [\"a.hurl\"]\n[env.production]\nurl = \"http://a.example\"\n{test_host}"
            );
            load::parse("f", &text).unwrap()
        };
        let bound = |c: &Config| c.bound_services().iter().map(|s| s.name.clone()).collect::<Vec<_>>();
        let c = config("command = \"node api.js\"\nfixed-port = 3001", "test-host = \"t.example\"\n");
        assert_eq!(bound(&c), ["api", "web", "jobs"]);
        assert!(!c.rehearsal_proves(&c.environments["production"]));
        for api in ["command = \"node api.js --port {port}\"\nfixed-port = 3001", "command = \"node api.js\""]
        {
            let c = config(api, "test-host = \"t.example\"\n");
            assert!(bound(&c).is_empty() && c.rehearsal_proves(&c.environments["production"]));
            let c = config(api, "");
            assert!(
                !c.rehearsal_proves(&c.environments["production"]),
                "two services, and no way to reach both"
            );
        }
    }

    #[test]
    fn the_window_is_read_in_its_own_zone_and_may_cross_midnight() {
        let w =
            |from: &str, to: &str| Window { from: from.into(), to: to.into(), zone: "Asia/Shanghai".into() };
        let at = |s: &str| s.parse::<Timestamp>().unwrap();
        assert!(window_open(&w("02:00", "04:00"), at("2026-01-01T18:30:00Z")));
        assert!(!window_open(&w("02:00", "04:00"), at("2026-01-01T20:00:00Z")));
        assert!(window_open(&w("23:00", "01:00"), at("2026-01-01T16:30:00Z")));
        assert!(!window_open(&w("23:00", "01:00"), at("2026-01-01T03:00:00Z")));
        assert!(!window_open(&w("nonsense", "04:00"), at("2026-01-01T18:30:00Z")));
    }
}
