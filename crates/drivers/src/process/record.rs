//! What the detached manager keeps on disk about one process, in a directory of its own (0700):
//! `spec.json` (0600, holds the environment), `state.json`, `stop`, `shim.lock`. All but the lock are replaced whole.

use super::rotate::LogLimits;
use crate::host::proc;
use safelight_engine::driver::{host::HostErrorKind, process::ProcessSpec};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

/// What the shim has to run.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Order {
    pub(super) spec: ProcessSpec,
    /// The program as a full path.
    pub(super) program: PathBuf,
    pub(super) logs: LogLimits,
}

/// A process, named for good: a number that was given to another process later does not match.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Known {
    pub(super) pid: u32,
    pub(super) start_ticks: u64,
    /// Its session; its group is `pid` for an app.
    pub(super) session: u32,
    /// The boot it was started in.
    pub(super) boot: String,
}

impl Known {
    /// The process `pid` as it is now, even one that has ended and was not collected yet.
    pub(super) fn now(pid: u32) -> Option<Self> {
        let stat = proc::stat(pid)?;
        Some(Self { pid, start_ticks: stat.start_ticks, session: stat.session, boot: boot_id() })
    }

    pub(super) fn alive(&self) -> bool {
        self.boot == boot_id() && proc::is_alive(self.pid, self.start_ticks)
    }
}

/// Differs after every boot: clock ticks begin at 0 again then.
pub(crate) fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

/// What the shim has done. Written by the shim only.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    pub(super) shim: Option<Known>,
    /// The app as last started; it may have ended since.
    pub(super) app: Option<Known>,
    pub(super) restarts: u32,
    pub(super) last_exit: Option<String>,
    /// Why it could not be started at all; the shim has given up.
    pub(super) failed: Option<(HostErrorKind, String)>,
}

impl State {
    /// The app while it runs: the one that was noted, or one that a shim started and could not note any more because it
    /// was killed in that moment. It is found by the session, which is the shim's own and no other process's.
    pub(super) fn app_now(&self) -> Option<Known> {
        self.app.clone().filter(Known::alive).or_else(|| {
            let shim = self.shim.as_ref()?;
            if shim.boot != boot_id() || shim.session != shim.pid || shim.alive() {
                return None;
            }
            proc::pids()
                .filter(|pid| {
                    proc::stat(*pid).is_some_and(|s| {
                        s.session == shim.pid && s.group == *pid && s.start_ticks >= shim.start_ticks
                    })
                })
                .filter_map(Known::now)
                .find(Known::alive)
        })
    }
    pub(super) fn shim_alive(&self) -> bool {
        self.shim.as_ref().is_some_and(Known::alive)
    }
}

/// The directory of one process.
#[derive(Clone, Debug)]
pub(super) struct Record(pub(super) PathBuf);

impl Record {
    pub(super) fn exists(&self) -> bool {
        self.spec_path().exists()
    }
    pub(super) fn spec_path(&self) -> PathBuf {
        self.0.join("spec.json")
    }
    pub(super) fn lock_path(&self) -> PathBuf {
        self.0.join("shim.lock")
    }
    pub(super) fn shim_log(&self) -> PathBuf {
        self.0.join("shim.log")
    }

    pub(super) fn order(&self) -> io::Result<Option<Order>> {
        read_json(&self.spec_path())
    }
    /// The state; the default one when nothing was written yet.
    pub(super) fn state(&self) -> io::Result<State> {
        Ok(read_json(&self.0.join("state.json"))?.unwrap_or_default())
    }
    pub(super) fn write_order(&self, order: &Order) -> io::Result<()> {
        make_private_dir(&self.0)?;
        write_json(&self.spec_path(), order)
    }
    pub(super) fn write_state(&self, state: &State) -> io::Result<()> {
        write_json(&self.0.join("state.json"), state)
    }

    /// Tells the shim how long the app may take to end; the signal itself carries no number.
    pub(super) fn write_stop(&self, millis: u64) -> io::Result<()> {
        write_json(&self.0.join("stop"), &millis)
    }
    pub(super) fn stop_millis(&self) -> Option<u64> {
        read_json(&self.0.join("stop")).ok().flatten()
    }

    /// Forgets the process. The spec goes first: without it there is no record.
    pub(super) fn remove(&self) -> io::Result<()> {
        match fs::remove_file(self.spec_path()) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        match fs::remove_dir_all(&self.0) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            _ => Ok(()),
        }
    }
}

/// Makes `dir` with its parents, for this user only.
pub(crate) fn make_private_dir(dir: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    match fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|e| io::Error::new(io::ErrorKind::InvalidData, format!("{}: {e}", path.display()))),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

/// Replaces `path` whole and makes sure that it stays: temporary file, sync, rename, sync of the directory.
pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> io::Result<()> {
    let temp = path.with_extension(format!("{}.tmp", std::process::id()));
    let write = || {
        // A leftover of a crash may have been made by somebody else: never write into it.
        let _ = fs::remove_file(&temp);
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temp)?;
        file.write_all(&serde_json::to_vec(value)?)?;
        file.sync_all()?;
        fs::rename(&temp, path)?;
        path.parent().map_or(Ok(()), |dir| fs::File::open(dir)?.sync_all())
    };
    write().inspect_err(|_| {
        let _ = fs::remove_file(&temp);
    })
}
