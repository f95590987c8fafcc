//! Apps of ours whose PM2 daemon has died under them: it was killed, by hand or for want of memory, and they were not.
//! They go on serving, a new daemon knows nothing of them, and nobody starts them again. They are found by what PM2 put
//! into their environment, which is the only trace of them that outlives its daemon.

use super::{
    group,
    record::{Known, read_json, write_json},
};
use crate::host::proc;
use safelight_engine::driver::process::{LogFiles, ProcessState, ProcessStatus};
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// An app without its daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Orphan {
    pub(super) name: String,
    pub(super) app: Known,
    pub(super) logs: Option<LogFiles>,
}

impl Orphan {
    pub(super) fn status(&self) -> ProcessStatus {
        ProcessStatus {
            name: self.name.clone(),
            state: ProcessState::Running,
            pid: Some(self.app.pid),
            restarts: 0,
            memory: group::memory(&self.app),
            last_exit: None,
        }
    }
}

/// The process id that the daemon of `home` noted when it began. One that ends in order removes it: `pm2 kill` does, and
/// has ended every app before.
pub(super) fn noted_daemon(home: &Path) -> Option<u32> {
    fs::read_to_string(home.join("pm2.pid")).ok()?.trim().parse().ok()
}

/// Every app of `namespace` that a daemon of `home` started and that has no daemon above it any more; `daemon` is the one
/// that runs now.
pub(super) fn find(home: &Path, namespace: &str, daemon: Option<u32>) -> Vec<Orphan> {
    let home = fs::canonicalize(home).unwrap_or_else(|_| home.to_path_buf());
    let mut found: Vec<Orphan> =
        proc::pids().filter_map(|pid| orphan(pid, &home, namespace, daemon)).collect();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

fn orphan(pid: u32, home: &Path, namespace: &str, daemon: Option<u32>) -> Option<Orphan> {
    let stat = proc::stat(pid)?;
    // PM2 makes each app the leader of a session; what the app starts has the same environment, but leads none.
    if stat.session != pid || matches!(stat.state, 'Z' | 'X') || Some(stat.parent) == daemon {
        return None;
    }
    let environ = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let vars = Vars(&environ);
    if vars.get("namespace")? != namespace || vars.get("pm_id").is_none() {
        return None;
    }
    let its_home = PathBuf::from(vars.get("PM2_HOME")?);
    if fs::canonicalize(&its_home).unwrap_or(its_home) != home {
        return None;
    }
    let logs = vars.get("pm_out_log_path").zip(vars.get("pm_err_log_path"));
    let app = Known::now(pid).filter(Known::alive)?;
    Some(Orphan {
        name: vars.get("name")?,
        app,
        logs: logs.map(|(o, e)| LogFiles { stdout: o.into(), stderr: e.into() }),
    })
}

/// The variables of a process. Only single ones are taken out: the rest may be secret.
struct Vars<'a>(&'a [u8]);

impl Vars<'_> {
    fn get(&self, name: &str) -> Option<String> {
        let value = |v: &[u8]| {
            v.strip_prefix(name.as_bytes())?
                .strip_prefix(b"=")
                .map(|v| String::from_utf8_lossy(v).into_owned())
        };
        self.0.split(|b| *b == 0).find_map(value)
    }
}

/// Names of orphans that were seen and that no daemon has taken over since: with their death they would be forgotten, for
/// the daemon that runs by then never had them.
pub(super) struct Remembered(PathBuf);

impl Remembered {
    pub(super) fn of(home: &Path) -> Self {
        Self(home.join("safelight-left.json"))
    }

    /// What cannot be read is nothing: the file is a convenience, and never trusted to stop or start anything.
    pub(super) fn names(&self) -> BTreeSet<String> {
        read_json(&self.0).ok().flatten().unwrap_or_default()
    }

    /// Adds and takes out names; writes only what differs.
    pub(super) fn change(&self, add: &[Orphan], gone: impl Fn(&str) -> bool) -> BTreeSet<String> {
        let before = self.names();
        let mut now = before.clone();
        now.retain(|n| !gone(n));
        now.extend(add.iter().map(|o| o.name.clone()));
        if now.is_empty() && !before.is_empty() {
            let _ = fs::remove_file(&self.0);
        } else if now != before
            && let Err(e) = write_json(&self.0, &now)
        {
            tracing::warn!("{}: {e}", self.0.display());
        }
        now
    }
}
