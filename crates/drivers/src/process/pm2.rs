//! The user's own PM2. Safelight adds its apps beside the user's and touches no others: every app of ours is in the
//! namespace `safelight`, has a name of its own per release, and is deleted by id after its name was looked up.
//!
//! What PM2 decides and Safelight cannot: the stop signal is that of the PM2 daemon (SIGINT, unless it was started with
//! `PM2_KILL_SIGNAL`), and PM2 adds variables of its own (`pm_id`, `NODE_APP_INSTANCE`, ...) to those of the app.
//! `pm2 save` is never run: it would freeze the user's other apps as they happen to be. (Run by the user, it writes the
//! variables of all apps, ours too, to `dump.pm2`.)

use super::{
    group, log_files,
    pm2_left::{self, Orphan, Remembered},
    pm2_list::{self, Entry},
    pm2_rpc,
    record::{Known, make_private_dir},
    resolve_program, validate_name, validate_spec,
};
use crate::host::{LocalHost, proc};
use async_trait::async_trait;
use rustix::process::{Pid, Signal, kill_process};
use safelight_engine::driver::{
    host::{Cmd, Host as _, HostError, HostErrorKind, Output},
    process::{LogFiles, ProcessManager, ProcessSpec, ProcessState, ProcessStatus},
};
use serde_json::json;
use std::{
    fs::{self, File},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};
use tokio::time::{Instant, sleep};

/// The namespace of everything that Safelight starts in PM2.
pub const NAMESPACE: &str = "safelight";

/// Longest time for one call of `pm2`, beyond what the call waits for. Starting its daemon takes a second.
const CALL_LIMIT: Duration = Duration::from_secs(30);
/// How long another Safelight on the same PM2 is waited for.
const LOCK_LIMIT: Duration = Duration::from_secs(120);

/// Names that PM2 keeps its own settings under, in the same place as an app's variables: as a variable they would
/// change how PM2 runs the app.
const PM2_SETTINGS: &[&str] = &[
    "args",
    "autorestart",
    "created_at",
    "cwd",
    "env",
    "exec_interpreter",
    "exec_mode",
    "exit_code",
    "filter_env",
    "instances",
    "kill_timeout",
    "merge_logs",
    "name",
    "namespace",
    "node_args",
    "node_version",
    "pm_cwd",
    "pm_id",
    "pm_exec_path",
    "pm_err_log_path",
    "pm_out_log_path",
    "pm_log_path",
    "pm_pid_path",
    "pm_uptime",
    "pmx",
    "restart_time",
    "stop_exit_codes",
    "exp_backoff_restart_delay",
    "prev_restart_delay",
    "restart_delay",
    "max_restarts",
    "min_uptime",
    "script",
    "status",
    "treekill",
    "uid",
    "gid",
    "unique_id",
    "unstable_restarts",
    "username",
    "version",
    "versioning",
    "vizion",
    "vizion_running",
    "wait_ready",
    "watch",
    "windowsHide",
    "io",
    "km_link",
    "instance_var",
    "shutdown_with_message",
];

/// The user's PM2.
#[derive(Clone, Debug)]
pub struct Pm2 {
    host: LocalHost,
    program: String,
    home: PathBuf,
}

impl Pm2 {
    /// `program` is `pm2` or a path to it. `home` is `PM2_HOME`; without it, that of this process's environment, or the
    /// user's `~/.pm2`, as PM2 itself chooses.
    #[must_use]
    pub fn new(host: LocalHost, program: impl Into<String>, home: Option<PathBuf>) -> Self {
        let home = home
            .or_else(|| std::env::var_os("PM2_HOME").filter(|h| !h.is_empty()).map(PathBuf::from))
            .unwrap_or_else(|| host.home().join(".pm2"));
        Self { host, program: program.into(), home }
    }

    /// The `PM2_HOME` that is used.
    #[must_use]
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// Runs `pm2`. Its output may hold the secrets of every app: it never goes into an error unread.
    async fn call(&self, args: &[&str], limit: Duration) -> Result<Output, HostError> {
        let argv = std::iter::once(self.program.as_str()).chain(args.iter().copied());
        let cmd = Cmd::new(argv)
            .env("PM2_HOME", self.home.display().to_string())
            .env("PM2_DISCRETE_MODE", "true")
            .env("PM2_DISABLE_VERSION_CHECK", "true")
            .env("NO_COLOR", "1")
            .cwd("/")
            .timeout(limit);
        self.host.run(&cmd).await.map_err(|mut e| {
            if e.kind == HostErrorKind::Timeout {
                e.detail = format!("no answer within {} s; is the PM2 daemon stuck?", limit.as_secs());
            } else if e.kind == HostErrorKind::NotFound {
                e.detail =
                    format!("{} ({}); set `pm2` in safelight.toml to its path", e.detail, self.program);
            }
            e
        })
    }

    /// True while a PM2 daemon serves this home. Every call of `pm2`, even `--version`, starts one: asking must not.
    fn daemon_runs(&self) -> Result<bool, HostError> {
        let socket = self.home.join("rpc.sock");
        match std::os::unix::net::UnixStream::connect(&socket) {
            Ok(_) => Ok(true),
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => Err(HostError::io(
                format!("reach the PM2 daemon at {} (another user's?)", socket.display()),
                &e,
            )),
            // No socket, or one that a dead daemon left behind.
            Err(_) => Ok(false),
        }
    }

    async fn entries(&self) -> Result<Vec<Entry>, HostError> {
        if !self.daemon_runs()? {
            return Ok(Vec::new());
        }
        if let Some(list) = pm2_rpc::list(&self.home).await {
            return Ok(list);
        }
        let output = self.call(&["jlist"], CALL_LIMIT).await?;
        if let Some(list) = pm2_list::parse(&output.text()) {
            return Ok(list);
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(HostError::new(
            HostErrorKind::Other,
            "read the list of pm2 (`pm2 jlist`)",
            format!("no list in its output (exit status {:?}) {}", output.status, said.trim()),
        ))
    }

    async fn find(&self, name: &str) -> Result<Option<Entry>, HostError> {
        validate_name(name)?;
        Self::pick(&self.entries().await?, name)
    }

    /// Apps of ours without a daemon. Each is remembered until a daemon has it again or it is stopped.
    fn orphans(&self) -> Vec<Orphan> {
        let noted = pm2_left::noted_daemon(&self.home);
        let daemon = noted.filter(|_| self.daemon_runs().unwrap_or(true));
        let found = pm2_left::find(&self.home, NAMESPACE, daemon);
        if !found.is_empty() {
            Remembered::of(&self.home).change(&found, |_| false);
        }
        found
    }

    fn orphan(&self, name: &str) -> Option<Orphan> {
        self.orphans().into_iter().find(|o| o.name == name)
    }

    /// Ends an app that no daemon would end.
    async fn end_orphan(&self, name: &str, stop_timeout: Duration) -> Result<(), HostError> {
        if let Some(orphan) = self.orphan(name)
            && !group::end(&orphan.app, stop_timeout).await
        {
            let detail = format!("process {} did not end, not even by SIGKILL", orphan.app.pid);
            return Err(HostError::new(HostErrorKind::Other, format!("stop {name}"), detail));
        }
        Remembered::of(&self.home).change(&[], |n| n == name);
        Ok(())
    }

    /// Ours by exact name. A process of that name outside our namespace is the user's, and an error.
    fn pick(all: &[Entry], name: &str) -> Result<Option<Entry>, HostError> {
        let mut named = all.iter().filter(|e| e.name == name);
        let Some(entry) = named.next().cloned() else { return Ok(None) };
        let foreign = |e: &Entry| e.namespace() != NAMESPACE;
        if foreign(&entry) || named.next().is_some() {
            return Err(HostError::new(
                HostErrorKind::Other,
                format!("find {name} in pm2"),
                format!(
                    "another app of that name is there that Safelight did not start; rename it \
                     (`pm2 describe {name}`)"
                ),
            ));
        }
        Ok(Some(entry))
    }

    async fn lock(&self) -> Result<File, HostError> {
        let op = format!("lock {}", self.home.display());
        make_private_dir(&self.home).map_err(|e| HostError::io(&*op, &e))?;
        let file = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(self.home.join("safelight.lock"))
            .map_err(|e| HostError::io(&*op, &e))?;
        let deadline = Instant::now() + LOCK_LIMIT;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(fs::TryLockError::Error(e)) => return Err(HostError::io(op, &e)),
                Err(fs::TryLockError::WouldBlock) if Instant::now() >= deadline => {
                    return Err(HostError::new(
                        HostErrorKind::Timeout,
                        op,
                        "another safelight is working on it",
                    ));
                }
                Err(fs::TryLockError::WouldBlock) => sleep(Duration::from_millis(50)).await,
            }
        }
    }

    /// `all` is the list that `entry` comes from; the lock keeps it true as far as we are concerned.
    async fn delete(&self, all: &[Entry], entry: &Entry, stop_timeout: Duration) -> Result<(), HostError> {
        let op = || format!("stop {}", entry.name);
        // PM2 tries every argument as a name and as a namespace before it takes it for an id.
        let taken = |word: &str| {
            all.iter().any(|e| e.pm_id != entry.pm_id && (e.name == word || e.namespace() == word))
        };
        let id = entry.pm_id.to_string();
        let word = [id.as_str(), entry.name.as_str()].into_iter().find(|w| !taken(w)).ok_or_else(|| {
            HostError::new(
                HostErrorKind::Other,
                op(),
                format!("other apps in PM2 are named {id} and {}; deleting would hit them", entry.name),
            )
        })?;
        // PM2 waits for the time it was given at the start; a shorter one is enforced here.
        let args = ["delete", word];
        let call = self.call(&args, CALL_LIMIT + stop_timeout);
        tokio::pin!(call);
        let killer = async {
            sleep(stop_timeout + Duration::from_secs(1)).await;
            let pid =
                entry.pid.filter(|p| *p > 0).and_then(|p| i32::try_from(p).ok()).and_then(Pid::from_raw);
            if let Some(pid) = pid {
                let _ = kill_process(pid, Signal::KILL);
            }
        };
        let output = tokio::select! {
            output = &mut call => output?,
            () = killer => call.await?,
        };
        if self.entries().await?.iter().any(|e| e.name == entry.name) {
            return Err(HostError::new(
                HostErrorKind::Other,
                op(),
                format!("pm2 still lists it after `pm2 delete {word}`: {}", output.complaint()),
            ));
        }
        Ok(())
    }

    /// The declaration that PM2 starts the app from.
    fn declaration(&self, spec: &ProcessSpec, program: &Path) -> serde_json::Value {
        let logs = log_files(&spec.log_dir, &spec.name);
        json!({ "apps": [{
            "name": spec.name,
            "namespace": NAMESPACE,
            "script": program,
            "args": spec.argv.get(1..).unwrap_or_default(),
            "cwd": spec.cwd,
            "interpreter": "none",
            "exec_mode": "fork",
            "instances": 1,
            "autorestart": true,
            "exp_backoff_restart_delay": 100,
            "kill_timeout": u64::try_from(spec.stop_timeout.as_millis()).unwrap_or(u64::MAX),
            "out_file": logs.stdout,
            "error_file": logs.stderr,
            "merge_logs": true,
            "vizion": false,
            "pmx": false,
            "watch": false,
            // PM2 adds the variables of whoever calls it. The list names parts of names to leave out; every name has
            // the empty one. (`true`, as its documentation has it, is not looked at for lack of a length.)
            "filter_env": [""],
            "env": spec.env,
        }]})
    }
}

/// A file of mode 0600 that goes away with this value.
struct SecretFile(PathBuf);

impl SecretFile {
    fn write(dir: &Path, bytes: &[u8]) -> io::Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        sweep(dir);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = dir.join(format!("safelight-start-{}-{number}.json", std::process::id()));
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        let this = Self(path);
        file.write_all(bytes)?;
        Ok(this)
    }
}

impl Drop for SecretFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Removes what a killed Safelight left behind.
fn sweep(dir: &Path) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let pid = name
            .to_str()
            .and_then(|n| n.strip_prefix("safelight-start-"))
            .and_then(|n| n.split('-').next())
            .and_then(|n| n.parse::<u32>().ok());
        if pid.is_some_and(|pid| proc::stat(pid).is_none()) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

#[async_trait]
impl ProcessManager for Pm2 {
    fn kind(&self) -> &'static str {
        "pm2"
    }

    async fn start(&self, spec: &ProcessSpec) -> Result<ProcessStatus, HostError> {
        validate_spec(spec)?;
        let op = || format!("start {} in pm2", spec.name);
        if let Some(key) = spec.env.keys().find(|k| PM2_SETTINGS.contains(&k.as_str())) {
            let detail = format!("PM2 would take the variable `{key}` for a setting of its own; rename it");
            return Err(HostError::new(HostErrorKind::Other, op(), detail));
        }
        let program = resolve_program(spec)?;
        let _lock = self.lock().await?;
        // A second one would only fight with it for the port.
        if let Some(orphan) = self.orphan(&spec.name) {
            return Ok(orphan.status());
        }
        let all = self.entries().await?;
        if let Some(entry) = Self::pick(&all, &spec.name)? {
            let status = entry.status();
            if status.state != ProcessState::Stopped {
                return Ok(status);
            }
            self.delete(&all, &entry, spec.stop_timeout).await?;
        }
        make_private_dir(&spec.log_dir).map_err(|e| HostError::io(op(), &e))?;
        let text = self.declaration(spec, &program).to_string();
        let file = SecretFile::write(&self.home, text.as_bytes()).map_err(|e| HostError::io(op(), &e))?;
        let path = file.0.display().to_string();
        let output = self.call(&["start", &path], CALL_LIMIT).await?;
        drop(file);
        match self.find(&spec.name).await? {
            Some(entry) => Ok(entry.status()),
            None => Err(HostError::new(HostErrorKind::Other, op(), output.complaint())),
        }
    }

    async fn stop(&self, name: &str, stop_timeout: Duration) -> Result<(), HostError> {
        validate_name(name)?;
        if self.daemon_runs()? {
            let _lock = self.lock().await?;
            let all = self.entries().await?;
            if let Some(entry) = Self::pick(&all, name)? {
                self.delete(&all, &entry, stop_timeout).await?;
            }
        }
        self.end_orphan(name, stop_timeout).await
    }

    async fn status(&self, name: &str) -> Result<Option<ProcessStatus>, HostError> {
        let listed = self.find(name).await?.map(|entry| entry.status());
        if listed.as_ref().is_some_and(|s| s.state == ProcessState::Running) {
            return Ok(listed);
        }
        Ok(self.orphan(name).map(|o| o.status()).or(listed))
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ProcessStatus>, HostError> {
        let mut found: Vec<ProcessStatus> = self
            .entries()
            .await?
            .iter()
            .filter(|e| e.namespace() == NAMESPACE && e.name.starts_with(prefix))
            .map(Entry::status)
            .collect();
        for orphan in self.orphans().iter().filter(|o| o.name.starts_with(prefix)) {
            match found.iter_mut().find(|s| s.name == orphan.name) {
                Some(s) if s.state == ProcessState::Running => {}
                Some(s) => *s = orphan.status(),
                None => found.push(orphan.status()),
            }
        }
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    async fn pids(&self, name: &str) -> Result<Vec<u32>, HostError> {
        let pid = self.status(name).await?.and_then(|status| status.pid);
        // PM2 makes each app the leader of a session of its own.
        Ok(pid.and_then(Known::now).map_or_else(Vec::new, |app| group::members(&app)))
    }

    async fn logs(&self, name: &str) -> Result<Option<LogFiles>, HostError> {
        let listed = self.find(name).await?.and_then(|entry| {
            Some(LogFiles { stdout: entry.pm2_env.pm_out_log_path?, stderr: entry.pm2_env.pm_err_log_path? })
        });
        Ok(listed.or_else(|| self.orphan(name)?.logs))
    }

    /// PM2 while its daemon runs, or was told to end; not when that has died, nor for what it has left behind.
    async fn has_keeper(&self) -> bool {
        let noted = pm2_left::noted_daemon(&self.home);
        if noted.is_some_and(|pid| proc::stat(pid).is_none()) && !self.daemon_runs().unwrap_or(true) {
            return false;
        }
        let remembered = Remembered::of(&self.home);
        if remembered.names().is_empty() {
            return true;
        }
        let Ok(all) = self.entries().await else { return true };
        remembered.change(&self.orphans(), |n| all.iter().any(|e| e.name == n)).is_empty()
    }

    fn explain_start(&self, spec: &ProcessSpec) -> String {
        format!(
            "PM2_HOME={} {} start <declaration of {}, mode 0600, removed afterwards>\n  which runs, in {} with {} \
             variables, and starts it again when it dies:\n  {}",
            self.home.display(),
            self.program,
            spec.name,
            spec.cwd.display(),
            spec.env.len(),
            spec.shown()
        )
    }
}
