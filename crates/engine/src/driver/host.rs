//! The machine that runs the release. The host driver is the only one that touches it: local now, over ssh later.

use crate::text::Text;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::{
    collections::HashMap,
    net::IpAddr,
    path::{Path, PathBuf},
    time::Duration,
};

/// A command as a value: never a shell string with secrets in it. Secrets travel in `env` or `stdin`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cmd {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Working directory; the driver's own when `None`.
    pub cwd: Option<PathBuf>,
    /// Variables added to a clean, minimal environment (`PATH`, `HOME`, `LANG=C.UTF-8`).
    pub env: Vec<(String, String)>,
    /// Bytes for standard input; closed when empty.
    pub stdin: Vec<u8>,
    /// The longest it may take; 30 s when `None`. The whole process group is killed then.
    pub timeout: Option<Duration>,
    /// A file that tells of the command while it runs, so that it is found again when whoever waits for it is killed.
    pub record: Option<PathBuf>,
    /// With a record: its output goes through a file beside that, not through a pipe that closes with its reader.
    pub outlives: bool,
}

impl Cmd {
    /// A command with arguments.
    pub fn new<S: Into<String>>(argv: impl IntoIterator<Item = S>) -> Self {
        Self { argv: argv.into_iter().map(Into::into).collect(), ..Self::default() }
    }

    /// In a directory.
    #[must_use]
    pub fn cwd(mut self, dir: impl Into<PathBuf>) -> Self {
        self.cwd = Some(dir.into());
        self
    }

    /// With a variable.
    #[must_use]
    pub fn env(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.push((key.into(), value.into()));
        self
    }

    /// With a time limit.
    #[must_use]
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = Some(limit);
        self
    }

    /// The command line for people. Variables are left out: they may be secret.
    #[must_use]
    pub fn display(&self) -> String {
        let quote = |a: &String| {
            let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:@%+,".contains(c);
            if !a.is_empty() && a.chars().all(plain) {
                a.clone()
            } else {
                format!("'{}'", a.replace('\'', r"'\''"))
            }
        };
        self.argv.iter().map(quote).collect::<Vec<_>>().join(" ")
    }
}

/// How many characters of a complaint are shown.
const COMPLAINT: usize = 600;

/// What a command left behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Exit status; `None` when a signal ended it.
    pub status: Option<i32>,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
}

impl Output {
    /// True when it exited with 0.
    #[must_use]
    pub fn ok(&self) -> bool {
        self.status == Some(0)
    }

    /// Standard output as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// The last lines of standard error (or output, if that is empty) for a message, about 600 characters and at least
    /// one whole line. Only a line that is longer than that by itself is shown from its middle on.
    #[must_use]
    pub fn complaint(&self) -> String {
        let raw =
            if self.stderr.iter().any(|b| !b.is_ascii_whitespace()) { &self.stderr } else { &self.stdout };
        let text = String::from_utf8_lossy(raw);
        let (mut lines, mut length) = (Vec::new(), 0);
        for line in text.trim().lines().rev() {
            length += line.chars().count() + 1;
            if length > COMPLAINT + 1 && !lines.is_empty() {
                break;
            }
            lines.push(line.trim_end());
        }
        lines.reverse();
        let text = lines.join("\n");
        match text.chars().count().checked_sub(COMPLAINT) {
            Some(more) if more > 0 => format!("…{}", text.chars().skip(more).collect::<String>()),
            _ => text,
        }
    }
}

/// Why the host could not do it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{op}: {detail}")]
pub struct HostError {
    /// What kind of trouble, for decisions. Never decide on `detail`.
    pub kind: HostErrorKind,
    /// What was attempted, with the path or program.
    pub op: String,
    /// The system's own words.
    pub detail: String,
}

/// Kinds of trouble that callers tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HostErrorKind {
    /// No such file, program or directory.
    NotFound,
    /// Not allowed.
    Permission,
    /// Took too long.
    Timeout,
    /// No room on the disk, or a quota.
    NoSpace,
    /// The host cannot be reached.
    Unreachable,
    /// Anything else.
    Other,
}

impl HostError {
    /// An error of `kind` while doing `op`.
    pub fn new(kind: HostErrorKind, op: impl Into<String>, detail: impl std::fmt::Display) -> Self {
        Self { kind, op: op.into(), detail: detail.to_string() }
    }

    /// From an I/O error, keeping the kind.
    #[must_use]
    pub fn io(op: impl Into<String>, e: &std::io::Error) -> Self {
        let kind = match e.kind() {
            std::io::ErrorKind::NotFound => HostErrorKind::NotFound,
            std::io::ErrorKind::PermissionDenied => HostErrorKind::Permission,
            std::io::ErrorKind::TimedOut => HostErrorKind::Timeout,
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => HostErrorKind::NoSpace,
            _ => HostErrorKind::Other,
        };
        Self::new(kind, op, e)
    }
}

/// The file system that holds a path, as `statvfs` tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FsStat {
    /// Where it is mounted.
    pub mount: PathBuf,
    /// Device id, to count a file system once.
    pub device: u64,
    /// Total bytes.
    pub total: u64,
    /// Free bytes, with those reserved for root.
    pub free: u64,
    /// Bytes an ordinary user may still write.
    pub available: u64,
    /// Total inodes; 0 where the file system has no fixed number.
    pub inodes: u64,
    /// Inodes an ordinary user may still take.
    pub inodes_available: u64,
    /// Mounted read-only.
    pub read_only: bool,
}

/// A listening TCP socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listener {
    /// The address it is bound to.
    pub addr: IpAddr,
    /// The port.
    pub port: u16,
    /// For an IPv6 wildcard: whether it leaves IPv4 alone; `None` when that could not be told.
    pub v6only: Option<bool>,
    /// Who owns it; `None` when the owner may not be seen.
    pub owner: Option<ProcessInfo>,
}

/// True when `pid` is one of `own` or descends from one of them. `parents` is the process table: pid to parent.
#[must_use]
pub fn descends(pid: u32, own: &[u32], parents: &HashMap<u32, u32>) -> bool {
    let mut at = pid;
    // A process table read while it changes may hold a loop.
    for _ in 0..64 {
        if own.contains(&at) {
            return true;
        }
        match parents.get(&at) {
            Some(p) if *p != 0 && *p != at => at = *p,
            _ => return false,
        }
    }
    false
}

/// A running process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessInfo {
    /// Process id.
    pub pid: u32,
    /// Parent's process id.
    pub parent: u32,
    /// Start time in clock ticks since boot: with the pid it names a process for good.
    pub start_ticks: u64,
    /// The command's short name.
    pub name: String,
    /// The executable, when it may be read.
    pub exe: Option<PathBuf>,
    /// The first words of its command line, secrets not included: program and script only.
    pub command: String,
    /// The user it runs as.
    pub user: String,
    /// Working directory, when it may be read.
    pub cwd: Option<PathBuf>,
}

/// A line of output as it happens.
pub type OnLine<'a> = &'a (dyn Fn(&str) + Send + Sync);

/// A machine.
#[async_trait]
pub trait Host: Send + Sync {
    /// Its name in reports.
    fn name(&self) -> &str;

    /// Runs a command to its end. An exit status other than 0 is not an error; not being able to run it is.
    async fn run(&self, cmd: &Cmd) -> Result<Output, HostError>;

    /// Runs a command and hands over its output (both streams) line by line as it comes.
    async fn run_streaming(&self, cmd: &Cmd, on_line: OnLine<'_>) -> Result<Output, HostError>;

    /// Reads a file, 16 MiB at most; files of /proc and /sys too.
    async fn read(&self, path: &Path) -> Result<Vec<u8>, HostError>;

    /// The file system that holds `path` (or its nearest existing ancestor). Answers within 5 s or times out, even when
    /// the file system hangs.
    async fn stat_fs(&self, path: &Path) -> Result<FsStat, HostError>;

    /// Finds a program on the PATH that services get.
    async fn find_program(&self, name: &str) -> Result<Option<PathBuf>, HostError>;

    /// Whose PATH that is, and what is in it, when it may be another than that of services.
    fn whose_path(&self) -> Option<Text> {
        None
    }

    /// All listening TCP sockets, both families.
    async fn listeners(&self) -> Result<Vec<Listener>, HostError>;

    /// All processes that may be seen.
    async fn processes(&self) -> Result<Vec<ProcessInfo>, HostError>;

    /// Tries to bind `addr:port` without `SO_REUSEPORT` and lets go at once: the one sure test that a port is free.
    async fn can_bind(&self, addr: IpAddr, port: u16) -> Result<bool, HostError>;
}
