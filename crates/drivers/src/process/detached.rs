//! The embedded process manager: each process detached, in a session of its own, looked after by a shim of its own.
//! Nothing depends on the host daemon: processes are found again by process id and start time.
//!
//! | dies | what happens |
//! |---|---|
//! | the app | its shim starts it again, after 0.1 s to 10 s |
//! | the host daemon | nothing; the next one reads the records |
//! | a shim | its app runs on; [`Detached::start`] gives it a new shim, [`Detached::stop`] ends it without |
//! | the machine | nothing runs; [`Detached::start`] starts afresh, as the records name another boot |
//!
//! Under systemd the unit of the host daemon needs `KillMode=process`, or stopping it ends the apps as well.

use super::{
    group, log_files,
    record::{Order, Record, State, make_private_dir},
    resolve_program,
    rotate::LogLimits,
    shim, validate_name, validate_spec,
};
use async_trait::async_trait;
use rustix::process::{Pid, Signal, kill_process};
use safelight_engine::driver::{
    host::{Cmd, HostError, HostErrorKind},
    process::{LogFiles, ProcessManager, ProcessSpec, ProcessState, ProcessStatus},
};
use std::{
    fs::{self, File},
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::PathBuf,
    process::Stdio,
    time::Duration,
};
use tokio::time::{Instant, sleep};

/// How long a shim may take to start its app.
const START_LIMIT: Duration = Duration::from_secs(10);
/// How long the shim may take to end beyond the app's own time.
const SHIM_GRACE: Duration = Duration::from_secs(7);
/// How long another operation on the same process is waited for.
const LOCK_LIMIT: Duration = Duration::from_secs(120);
/// Operations on different names may share a lock file; a fixed number of them never needs tidying.
const LOCKS: u32 = 64;

/// Detached processes of Safelight's own.
#[derive(Clone, Debug)]
pub struct Detached {
    root: PathBuf,
    shim: Vec<String>,
    logs: LogLimits,
}

impl Detached {
    /// Keeps its records in `root` (made when needed, for this user only). `shim` is the command that runs
    /// [`shim::main`] with one more argument, the directory of the process: `["/usr/bin/safelight", "detached-shim"]`.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>, shim: Vec<String>) -> Self {
        Self { root: root.into(), shim, logs: LogLimits::default() }
    }

    /// With other limits for log files. Processes that run keep theirs.
    #[must_use]
    pub fn with_logs(mut self, logs: LogLimits) -> Self {
        self.logs = logs;
        self
    }

    fn record(&self, name: &str) -> Result<Record, HostError> {
        validate_name(name)?;
        Ok(Record(self.root.join(name)))
    }

    /// One operation at a time on a process, over all programs on this host.
    async fn lock(&self, name: &str) -> Result<File, HostError> {
        let op = format!("lock the process {name}");
        let dir = self.root.join(".locks");
        make_private_dir(&dir).map_err(|e| HostError::io(&*op, &e))?;
        let bucket = name.bytes().fold(0_u32, |h, b| h.wrapping_mul(31).wrapping_add(u32::from(b))) % LOCKS;
        let file = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(dir.join(format!("{bucket:02}")))
            .map_err(|e| HostError::io(&*op, &e))?;
        let deadline = Instant::now() + LOCK_LIMIT;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(fs::TryLockError::Error(e)) => return Err(HostError::io(op, &e)),
                Err(fs::TryLockError::WouldBlock) if Instant::now() >= deadline => {
                    let detail = "another operation on it has not ended; look for a second safelight";
                    return Err(HostError::new(HostErrorKind::Timeout, op, detail));
                }
                Err(fs::TryLockError::WouldBlock) => sleep(Duration::from_millis(20)).await,
            }
        }
    }

    fn spawn_shim(&self, record: &Record) -> Result<tokio::process::Child, HostError> {
        let op = || format!("start the shim {}", self.shim.join(" "));
        let Some((program, args)) = self.shim.split_first() else {
            return Err(HostError::new(HostErrorKind::Other, op(), "no shim command was configured"));
        };
        let log = fs::OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(true)
            .mode(0o600)
            .open(record.shim_log())
            .map_err(|e| HostError::io(op(), &e))?;
        tokio::process::Command::new(program)
            .args(args)
            .arg(&record.0)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(|e| HostError::io(op(), &e))
    }

    /// Starts a shim and waits until it has the app.
    async fn run_shim(&self, record: &Record, order: &Order) -> Result<(), HostError> {
        let name = &order.spec.name;
        let mut child = self.spawn_shim(record)?;
        let shim_pid = child.id();
        let deadline = Instant::now() + START_LIMIT;
        let outcome = loop {
            // The order matters: what an ended shim has written is on disk.
            let ended = child.try_wait().ok().flatten();
            let state = read(name, record)?;
            if let Some((kind, detail)) = &state.failed {
                break Err(shim::start_error(name, &order.program, *kind, detail));
            }
            // An app that ended at once counts as started: status tells, and it is started again.
            if state.app.is_some() && state.shim.as_ref().map(|s| s.pid) == shim_pid {
                break Ok(());
            }
            if let Some(status) = ended {
                let said = fs::read_to_string(record.shim_log()).unwrap_or_default();
                break Err(HostError::new(
                    HostErrorKind::Other,
                    format!("start {name}"),
                    format!("its shim ended ({status}) before the app ran: {}", said.trim()),
                ));
            }
            if Instant::now() >= deadline {
                let _ = child.kill().await;
                break Err(HostError::new(
                    HostErrorKind::Timeout,
                    format!("start {name}"),
                    format!("its shim had not started it after {} s", START_LIMIT.as_secs()),
                ));
            }
            sleep(Duration::from_millis(5)).await;
        };
        // Collects the shim if it ends while this process lives; nothing else depends on it.
        tokio::spawn(async move { child.wait().await });
        outcome
    }

    fn status_of(name: &str, state: &State) -> ProcessStatus {
        let running = state.app_now();
        ProcessStatus {
            name: name.to_owned(),
            state: match (&running, state.shim_alive()) {
                (Some(_), _) => ProcessState::Running,
                (None, true) => ProcessState::Restarting,
                (None, false) => ProcessState::Stopped,
            },
            pid: running.as_ref().map(|app| app.pid),
            restarts: state.restarts,
            memory: running.as_ref().and_then(group::memory),
            last_exit: state.last_exit.clone(),
        }
    }

    async fn end(&self, name: &str, record: &Record, grace: Duration) -> Result<(), HostError> {
        let op = || format!("stop {name}");
        let millis = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
        if read(name, record)?.shim_alive() {
            // Without the note the shim uses the time of the spec: a full disk does not keep us from stopping.
            let _ = record.write_stop(millis);
        }
        let deadline = Instant::now() + grace + SHIM_GRACE;
        let mut told = false;
        loop {
            let state = read(name, record)?;
            let Some(shim) = state.shim.filter(|s| s.alive()) else { break };
            let Some(pid) = i32::try_from(shim.pid).ok().and_then(Pid::from_raw) else { break };
            if !told {
                kill_process(pid, Signal::TERM).map_err(|e| HostError::io(op(), &e.into()))?;
                told = true;
            } else if Instant::now() >= deadline {
                let _ = kill_process(pid, Signal::KILL);
            }
            sleep(Duration::from_millis(10)).await;
        }
        // The shim is gone. What it left, or what outlived it, is ended here.
        let state = read(name, record)?;
        if let Some(app) = state.app_now().or(state.app)
            && !group::end(&app, grace).await
        {
            let stuck = group::members(&app);
            return Err(HostError::new(
                HostErrorKind::Timeout,
                op(),
                format!(
                    "processes {stuck:?} survived SIGKILL; they hang in the kernel (disk or network mount)"
                ),
            ));
        }
        record.remove().map_err(|e| HostError::io(op(), &e))
    }
}

fn read(name: &str, record: &Record) -> Result<State, HostError> {
    record.state().map_err(|e| HostError::io(format!("read the state of {name}"), &e))
}

#[async_trait]
impl ProcessManager for Detached {
    fn kind(&self) -> &'static str {
        "detached"
    }

    async fn start(&self, spec: &ProcessSpec) -> Result<ProcessStatus, HostError> {
        validate_spec(spec)?;
        let name = &spec.name;
        let op = || format!("start {name}");
        let record = self.record(name)?;
        let _lock = self.lock(name).await?;
        if let Some(order) = record.order().map_err(|e| HostError::io(op(), &e))? {
            let state = read(name, &record)?;
            let runs = state.app_now().is_some();
            if !state.shim_alive() && runs {
                self.run_shim(&record, &order).await?;
            }
            if state.shim_alive() || runs {
                return Ok(Self::status_of(name, &read(name, &record)?));
            }
            self.end(name, &record, Duration::from_secs(1)).await?;
        }
        let order = Order { spec: spec.clone(), program: resolve_program(spec)?, logs: self.logs };
        let started = match record.write_order(&order) {
            Ok(()) => self.run_shim(&record, &order).await,
            Err(e) => Err(HostError::io(op(), &e)),
        };
        if let Err(e) = started {
            // Nothing half started stays behind.
            self.end(name, &record, Duration::from_secs(1)).await?;
            return Err(e);
        }
        Ok(Self::status_of(name, &read(name, &record)?))
    }

    async fn stop(&self, name: &str, stop_timeout: Duration) -> Result<(), HostError> {
        let record = self.record(name)?;
        let _lock = self.lock(name).await?;
        if !record.0.exists() {
            return Ok(());
        }
        self.end(name, &record, stop_timeout).await
    }

    async fn status(&self, name: &str) -> Result<Option<ProcessStatus>, HostError> {
        let record = self.record(name)?;
        if !record.exists() {
            return Ok(None);
        }
        Ok(Some(Self::status_of(name, &read(name, &record)?)))
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ProcessStatus>, HostError> {
        let entries = match fs::read_dir(&self.root) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(HostError::io(format!("list {}", self.root.display()), &e)),
        };
        let mut found = Vec::new();
        for entry in entries.flatten() {
            let Ok(name) = entry.file_name().into_string() else { continue };
            if name.starts_with(prefix)
                && validate_name(&name).is_ok()
                && let Some(status) = self.status(&name).await?
            {
                found.push(status);
            }
        }
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    async fn pids(&self, name: &str) -> Result<Vec<u32>, HostError> {
        let record = self.record(name)?;
        if !record.exists() {
            return Ok(Vec::new());
        }
        Ok(read(name, &record)?.app_now().map_or_else(Vec::new, |app| group::members(&app)))
    }

    async fn logs(&self, name: &str) -> Result<Option<LogFiles>, HostError> {
        let record = self.record(name)?;
        let order = record.order().map_err(|e| HostError::io(format!("read the record of {name}"), &e))?;
        Ok(order.map(|order| log_files(&order.spec.log_dir, name)))
    }

    async fn has_keeper(&self) -> bool {
        false
    }

    fn explain_start(&self, spec: &ProcessSpec) -> String {
        let mut shim = self.shim.clone();
        shim.push(self.root.join(&spec.name).display().to_string());
        format!(
            "{}\n  which runs, in {} with {} variables, and starts it again when it dies:\n  {}",
            Cmd::new(shim).display(),
            spec.cwd.display(),
            spec.env.len(),
            spec.shown()
        )
    }
}
