//! A world made of canned answers, for the tests of checks. Asks nothing of the machine that runs the tests.

use crate::{
    check::{Check, CheckContext},
    config::{CertificateFiles, load},
    driver::{
        database::{
            Backup, BackupLevel, Database, DatabaseError, DatabaseErrorKind, DatabaseStatus, Kept,
            RestoreProof,
        },
        env::EnvFile,
        host::{Cmd, FsStat, Host, HostError, HostErrorKind, Listener, OnLine, Output, ProcessInfo},
        net::{Answer, Certificate, FileCertificate, FileTrouble, HttpAnswer, Net, NetError, Resolution},
        source::{GitState, Ingested, RemoteState, Revision, Source},
        state::{HostState, ReleaseRecord},
    },
    finding::{Finding, Outcome},
};
use async_trait::async_trait;
use jiff::Timestamp;
use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

/// The moment at which every test plays.
pub(crate) const NOW: &str = "2026-03-01T02:00:00Z";

pub(crate) fn now() -> Timestamp {
    NOW.parse().unwrap()
}

pub(crate) fn host_error(kind: HostErrorKind) -> HostError {
    HostError::new(kind, "read something", "the test says so")
}

type Contents = Vec<Result<Vec<u8>, HostError>>;

/// A host that answers from tables.
#[derive(Clone)]
pub(crate) struct FakeHost {
    files: Arc<Mutex<HashMap<PathBuf, Contents>>>,
    pub(crate) any_file: Option<Vec<u8>>,
    /// Files that are not in the table are read from the machine that runs the test.
    pub(crate) real_files: bool,
    pub(crate) fs: HashMap<PathBuf, Result<FsStat, HostError>>,
    pub(crate) programs: HashMap<String, Result<Option<PathBuf>, HostError>>,
    pub(crate) outputs: Vec<(String, Result<Output, HostError>)>,
    pub(crate) listeners: Result<Vec<Listener>, HostError>,
    pub(crate) processes: Result<Vec<ProcessInfo>, HostError>,
    pub(crate) unbindable: Vec<(IpAddr, u16)>,
    pub(crate) bind_error: Option<HostError>,
    pub(crate) calls: Arc<Mutex<Vec<String>>>,
}

impl FakeHost {
    pub(crate) fn new() -> Self {
        Self {
            files: Arc::default(),
            any_file: None,
            real_files: false,
            fs: HashMap::new(),
            programs: HashMap::new(),
            outputs: Vec::new(),
            listeners: Ok(Vec::new()),
            processes: Ok(Vec::new()),
            unbindable: Vec::new(),
            bind_error: None,
            calls: Arc::default(),
        }
    }

    /// A file; given several times, successive reads see successive contents and the last one stays.
    pub(crate) fn file(self, path: impl Into<PathBuf>, content: impl Into<Vec<u8>>) -> Self {
        self.set(path.into(), Ok(content.into()))
    }

    pub(crate) fn broken_file(self, path: impl Into<PathBuf>, kind: HostErrorKind) -> Self {
        self.set(path.into(), Err(host_error(kind)))
    }

    fn set(mut self, path: PathBuf, content: Result<Vec<u8>, HostError>) -> Self {
        // A clone of a host is a host of its own.
        let mut files = self.files.lock().unwrap().clone();
        files.entry(path).or_default().push(content);
        self.files = Arc::new(Mutex::new(files));
        self
    }

    /// What a command line that begins with `prefix` prints, with its exit status.
    pub(crate) fn output(mut self, prefix: &str, status: i32, stdout: &str) -> Self {
        let output = Output { status: Some(status), stdout: stdout.into(), stderr: Vec::new() };
        self.outputs.push((prefix.to_owned(), Ok(output)));
        self
    }

    pub(crate) fn program(mut self, name: &str, path: &str) -> Self {
        self.programs.insert(name.to_owned(), Ok(Some(path.into())));
        self
    }

    pub(crate) fn called(&self) -> Vec<String> {
        self.calls.lock().unwrap().clone()
    }
}

#[async_trait]
impl Host for FakeHost {
    fn name(&self) -> &str {
        "web-1"
    }

    async fn run(&self, cmd: &Cmd) -> Result<Output, HostError> {
        let line = cmd.display();
        self.calls.lock().unwrap().push(line.clone());
        self.outputs.iter().find(|(prefix, _)| line.starts_with(prefix.as_str())).map_or_else(
            || Err(HostError::new(HostErrorKind::NotFound, line, "no such program")),
            |(_, o)| o.clone(),
        )
    }

    async fn run_streaming(&self, cmd: &Cmd, _: OnLine<'_>) -> Result<Output, HostError> {
        self.run(cmd).await
    }

    async fn read(&self, path: &Path) -> Result<Vec<u8>, HostError> {
        if self.real_files {
            return std::fs::read(path).map_err(|e| HostError::io(format!("read {}", path.display()), &e));
        }
        let mut files = self.files.lock().unwrap();
        match files.get_mut(path) {
            Some(contents) if contents.len() > 1 => contents.remove(0),
            Some(contents) => contents[0].clone(),
            None => self.any_file.clone().ok_or_else(|| {
                HostError::new(HostErrorKind::NotFound, format!("read {}", path.display()), "no such file")
            }),
        }
    }

    async fn stat_fs(&self, path: &Path) -> Result<FsStat, HostError> {
        self.fs.get(path).cloned().unwrap_or_else(|| Err(host_error(HostErrorKind::NotFound)))
    }

    async fn find_program(&self, name: &str) -> Result<Option<PathBuf>, HostError> {
        self.programs.get(name).cloned().unwrap_or(Ok(None))
    }

    async fn listeners(&self) -> Result<Vec<Listener>, HostError> {
        self.listeners.clone()
    }

    async fn processes(&self) -> Result<Vec<ProcessInfo>, HostError> {
        self.processes.clone()
    }

    async fn can_bind(&self, addr: IpAddr, port: u16) -> Result<bool, HostError> {
        match &self.bind_error {
            Some(e) => Err(e.clone()),
            None => Ok(!self.unbindable.contains(&(addr, port))),
        }
    }
}

/// A URL that was asked for, and where it was connected to.
type Asked = (String, Option<SocketAddr>);

/// A network that answers from tables. What is not in them cannot be reached.
#[derive(Clone, Default)]
pub(crate) struct FakeNet {
    pub(crate) resolutions: HashMap<(String, Option<SocketAddr>), Answer>,
    pub(crate) authorities: HashMap<String, Result<Vec<SocketAddr>, NetError>>,
    pub(crate) lookups: HashMap<String, Result<Vec<IpAddr>, NetError>>,
    pub(crate) connects: HashMap<SocketAddr, Result<Duration, NetError>>,
    pub(crate) certificates: HashMap<SocketAddr, Result<Certificate, NetError>>,
    pub(crate) gets: HashMap<String, Result<HttpAnswer, NetError>>,
    pub(crate) asked: Arc<Mutex<Vec<Asked>>>,
    pub(crate) files: HashMap<PathBuf, Result<FileCertificate, FileTrouble>>,
}

fn not_there() -> NetError {
    NetError::Unreachable("not in the fake network".to_owned())
}

/// Records with a time to live of 300 s.
pub(crate) fn records(a: &[&str], cname: &[&str]) -> Answer {
    let ips: Vec<IpAddr> = a.iter().map(|s| s.parse().unwrap()).collect();
    let (a, aaaa) = ips.into_iter().partition(IpAddr::is_ipv4);
    Answer::Records { a, aaaa, cname: cname.iter().map(|s| (*s).to_owned()).collect(), ttl: 300 }
}

/// An answer over HTTP with the right time.
pub(crate) fn http(status: u16) -> HttpAnswer {
    HttpAnswer { status, location: None, date: Some("Sun, 01 Mar 2026 02:00:01 GMT".to_owned()), millis: 12 }
}

#[async_trait]
impl Net for FakeNet {
    async fn resolve(&self, name: &str, server: Option<SocketAddr>) -> Resolution {
        let answer = self.resolutions.get(&(name.to_owned(), server)).cloned();
        let authoritative = server.is_some_and(|s| {
            self.authorities.get(name).is_some_and(|a| a.as_ref().is_ok_and(|l| l.contains(&s)))
        });
        Resolution {
            server: server.map_or("system".to_owned(), |s| s.to_string()),
            authoritative,
            answer: answer.unwrap_or(Answer::Unreachable { why: "not in the fake network".to_owned() }),
        }
    }

    async fn authorities(&self, name: &str) -> Result<Vec<SocketAddr>, NetError> {
        self.authorities.get(name).cloned().unwrap_or_else(|| Err(not_there()))
    }

    async fn system_lookup(&self, name: &str) -> Result<Vec<IpAddr>, NetError> {
        self.lookups.get(name).cloned().unwrap_or_else(|| Err(not_there()))
    }

    async fn connect(&self, addr: SocketAddr, _: Duration) -> Result<Duration, NetError> {
        self.connects.get(&addr).cloned().unwrap_or_else(|| Err(not_there()))
    }

    async fn certificate(&self, _: &str, addr: SocketAddr, _: Timestamp) -> Result<Certificate, NetError> {
        self.certificates.get(&addr).cloned().unwrap_or_else(|| Err(not_there()))
    }

    async fn certificate_files(&self, files: &CertificateFiles) -> Result<FileCertificate, FileTrouble> {
        self.files[&files.certificate].clone()
    }

    async fn get(
        &self,
        url: &str,
        connect_to: Option<SocketAddr>,
        _: Duration,
    ) -> Result<HttpAnswer, NetError> {
        self.asked.lock().unwrap().push((url.to_owned(), connect_to));
        self.gets.get(url).cloned().unwrap_or_else(|| Err(not_there()))
    }
}

/// A database that answers what it was told to.
#[derive(Clone)]
pub(crate) struct FakeDatabase {
    pub(crate) status: Result<DatabaseStatus, DatabaseError>,
    pub(crate) backup: Result<Backup, DatabaseError>,
    pub(crate) proof: Result<RestoreProof, DatabaseError>,
    pub(crate) backup_takes: Duration,
}

pub(crate) fn database_error(kind: DatabaseErrorKind) -> DatabaseError {
    DatabaseError {
        kind,
        op: "open".into(),
        location: "/srv/app/app.db".into(),
        detail: "the test says so".into(),
    }
}

impl FakeDatabase {
    pub(crate) fn good() -> Self {
        Self {
            status: Ok(DatabaseStatus {
                product: "SQLite 3.46".into(),
                location: "/srv/app/app.db".into(),
                bytes: 1_000_000,
                writable: true,
                schema: Some("7".into()),
            }),
            backup: Ok(Backup {
                path: "/var/lib/safelight/b.db".into(),
                bytes: 1_000_000,
                sha256: "ab".repeat(32),
                taken_at: now(),
                schema: Some("7".into()),
                level: BackupLevel::Fresh,
            }),
            proof: Ok(RestoreProof {
                scratch: "/var/lib/safelight/s.db".into(),
                tables: vec![("photos".into(), 42), ("users".into(), 3)],
                queries: Vec::new(),
                millis: 30,
            }),
            backup_takes: Duration::ZERO,
        }
    }
}

#[async_trait]
impl Database for FakeDatabase {
    async fn status(&self) -> Result<DatabaseStatus, DatabaseError> {
        self.status.clone()
    }
    async fn back_up(&self, _: &Path) -> Result<Backup, DatabaseError> {
        tokio::time::sleep(self.backup_takes).await;
        self.backup.clone()
    }
    async fn prove(&self, _: &Backup, _: &Path) -> Result<RestoreProof, DatabaseError> {
        self.proof.clone()
    }
    async fn schema_of(&self, _: &Path) -> Result<Option<String>, DatabaseError> {
        panic!("a check makes no scratch database but through a proof")
    }
    async fn restore(&self, _: &Backup, _: &Path) -> Result<Kept, DatabaseError> {
        panic!("a check must never restore over the live database")
    }
    async fn put_back(&self, _: &Path, _: Option<&Path>) -> Result<Option<Kept>, DatabaseError> {
        panic!("a check must never replace the live database")
    }
    fn url_for(&self, scratch: &Path) -> String {
        scratch.display().to_string()
    }
}

/// A source that answers what it was told to.
#[derive(Clone)]
pub(crate) struct FakeSource {
    pub(crate) revision: Result<Revision, HostError>,
    pub(crate) git: Result<Option<GitState>, HostError>,
    pub(crate) remote: Result<Option<RemoteState>, HostError>,
}

pub(crate) const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

impl FakeSource {
    pub(crate) fn good() -> Self {
        Self {
            revision: Ok(Revision {
                asked: "v1.2.0".into(),
                commit: Some(COMMIT.into()),
                tags: vec!["v1.2.0".into()],
                subject: Some("Show the map".into()),
            }),
            git: Ok(Some(GitState {
                branch: Some("main".into()),
                remote: Some("origin".into()),
                ..GitState::default()
            })),
            remote: Ok(Some(RemoteState {
                has_commit: true,
                tags: vec![("v1.2.0".into(), Some(COMMIT.into()))],
            })),
        }
    }
}

#[async_trait]
impl Source for FakeSource {
    async fn resolve(&self, _: Option<&str>) -> Result<Revision, HostError> {
        self.revision.clone()
    }
    async fn git_state(&self) -> Result<Option<GitState>, HostError> {
        self.git.clone()
    }
    async fn remote_state(&self, _: &Revision) -> Result<Option<RemoteState>, HostError> {
        self.remote.clone()
    }
    async fn ingest(&self, _: &Revision, _: &Path) -> Result<Ingested, HostError> {
        panic!("a check must never ingest")
    }
    fn location(&self) -> PathBuf {
        "/home/dev/app".into()
    }
}

/// Everything a check may ask, ready to be bent by a test.
pub(crate) struct World {
    pub(crate) toml: String,
    pub(crate) host: FakeHost,
    pub(crate) net: FakeNet,
    pub(crate) database: Option<FakeDatabase>,
    pub(crate) source: FakeSource,
    pub(crate) env_file: Result<EnvFile, HostError>,
    pub(crate) state: HostState,
    pub(crate) revision: Option<String>,
}

impl World {
    /// A small app at `https://filmtrip.cn`; `more` is appended to the environment's table of `safelight.toml`, so
    /// that it may go on with tables of its own.
    pub(crate) fn new(more: &str) -> Self {
        let base = "[app]\nname = \"film\"\n[[service]]\nname = \"web\"\ncommand = \"node server.js\"\npath = \"/\"\n";
        Self::from_toml(&format!("{base}[env.production]\nurl = \"https://filmtrip.cn\"\n{more}"))
    }

    /// The same app at `url`.
    pub(crate) fn at(url: &str) -> Self {
        let mut world = Self::new("");
        world.toml = world.toml.replace("https://filmtrip.cn", url);
        world
    }

    pub(crate) fn from_toml(toml: &str) -> Self {
        Self {
            toml: toml.to_owned(),
            host: FakeHost::new(),
            net: FakeNet::default(),
            database: None,
            source: FakeSource::good(),
            env_file: Ok(EnvFile::default()),
            state: HostState { data_dir: "/var/lib/safelight".into(), ..HostState::default() },
            revision: None,
        }
    }

    /// With a release that serves users already.
    pub(crate) fn deployed(mut self) -> Self {
        self.state.current = Some(ReleaseRecord {
            id: "r12".into(),
            content_id: "c".repeat(64),
            revision: "v1.1.0".into(),
            commit: Some(COMMIT.into()),
            env_sha256: None,
            created: now(),
            verified: Some(now()),
            schema: None,
            ports: Vec::new(),
        });
        self
    }

    pub(crate) fn ctx(&self) -> CheckContext {
        let config = load::parse("safelight.toml", &self.toml).unwrap_or_else(|e| panic!("{e}"));
        let env = config.environments["production"].clone();
        CheckContext {
            config: Arc::new(config),
            env_name: "production".into(),
            env: Arc::new(env),
            project: "/home/dev/app".into(),
            host: Arc::new(self.host.clone()),
            net: Arc::new(self.net.clone()),
            database: self.database.clone().map(|d| Arc::new(d) as Arc<dyn Database>),
            source: Arc::new(self.source.clone()),
            env_file: Arc::new(self.env_file.clone()),
            state: Arc::new(self.state.clone()),
            revision: self.revision.clone(),
            now: now(),
        }
    }

    pub(crate) async fn run(&self, check: impl Check) -> Vec<Finding> {
        let findings = check.run(&self.ctx()).await;
        assert!(!findings.is_empty(), "a check returns at least one finding");
        for f in &findings {
            let help = f.help.as_ref().is_some_and(|h| !h.en.trim().is_empty() && !h.zh.trim().is_empty());
            let settled = matches!(f.outcome, Outcome::Pass | Outcome::Skipped);
            assert!(settled || help, "a finding that wants something says what to do: {f:?}");
            assert!(!f.subject.is_empty() && !f.risks.is_empty(), "{f:?}");
            let chinese = |s: &str| s.chars().any(|c| ('\u{4e00}'..='\u{9fff}').contains(&c));
            assert!(chinese(&f.summary.zh), "the summary is in Chinese too: {f:?}");
            assert!(!chinese(&f.summary.en), "the English summary is English: {f:?}");
        }
        findings
    }

    /// For checks that have one finding.
    pub(crate) async fn one(&self, check: impl Check) -> Finding {
        let mut findings = self.run(check).await;
        assert_eq!(findings.len(), 1, "{findings:#?}");
        findings.remove(0)
    }
}

/// The value of the evidence whose English label contains `label`.
pub(crate) fn value<'f>(finding: &'f Finding, label: &str) -> &'f str {
    finding
        .evidence
        .iter()
        .find(|e| e.label.en.contains(label))
        .map_or_else(|| panic!("no `{label}` in {:#?}", finding.evidence), |e| e.value.en.as_str())
}
