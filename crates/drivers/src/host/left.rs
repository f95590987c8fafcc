//! Commands that outlive whoever started them: a record of each is on disk before it begins, so that it is found again
//! when the one who waited for it was killed. It is told by a variable of its own and by its process group; a number
//! that was given to another process later does not match, and what moved into a session of its own is a daemon and no
//! part of the command.

use super::proc;
use crate::process::record::{boot_id, make_private_dir, read_json, write_json};
use jiff::Timestamp;
use rustix::process::{Pid, Signal, kill_process};
use safelight_engine::driver::host::Cmd;
use serde::{Deserialize, Serialize};
use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::time::{Instant, sleep};

/// The variable that a recorded command and all that it starts carry.
const MARK: &str = "SAFELIGHT_COMMAND";
/// How long the kernel may take to end what got SIGKILL.
const KILL_WAIT: Duration = Duration::from_secs(5);

/// The first process of a command, which leads its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Leader {
    pid: u32,
    start_ticks: u64,
}

/// A command that was begun, and whose end nobody has noted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begun {
    /// What it is, without variables.
    pub shown: String,
    /// Since when.
    pub at: Timestamp,
    /// How long it may take.
    pub limit: Duration,
    /// Value of its mark: no other command has it.
    mark: String,
    session: u32,
    boot: String,
    /// Unknown when whoever started it was killed in that very moment.
    leader: Option<Leader>,
}

/// The file that takes the output of a command that must not lose its pipe.
#[must_use]
pub fn output_of(record: &Path) -> PathBuf {
    record.with_extension("log")
}

/// The command on record; `None` when there is none.
///
/// # Errors
/// When the record cannot be read.
pub fn read(record: &Path) -> io::Result<Option<Begun>> {
    read_json(record)
}

/// Forgets a command, with its output.
///
/// # Errors
/// When the record cannot be removed.
pub fn forget(record: &Path) -> io::Result<()> {
    for path in [output_of(record), record.to_owned()] {
        match fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
    }
    Ok(())
}

/// Notes a command before it is started, and gives its mark to it.
pub(super) fn begin(
    record: &Path,
    cmd: &Cmd,
    limit: Duration,
) -> io::Result<(Begun, (&'static str, String))> {
    record.parent().map_or(Ok(()), make_private_dir)?;
    let name = record.file_stem().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let at = Timestamp::now();
    // The names of records repeat, say in two homes on one machine; with the time they do not.
    let mark = format!("{name}-{}-{}", at.as_nanosecond(), std::process::id());
    let session = proc::stat(std::process::id()).map_or(0, |s| s.session);
    let begun =
        Begun { shown: cmd.display(), at, limit, mark: mark.clone(), session, boot: boot_id(), leader: None };
    write_json(record, &begun)?;
    Ok((begun, (MARK, mark)))
}

/// Adds the process to the record.
pub(super) fn started(record: &Path, begun: &mut Begun, pid: u32) -> io::Result<()> {
    begun.leader = proc::stat(pid).map(|s| Leader { pid, start_ticks: s.start_ticks });
    write_json(record, begun)
}

impl Begun {
    /// Has the machine been up all the time since? Otherwise the command ended with it, wherever it was.
    #[must_use]
    pub fn of_this_boot(&self) -> bool {
        self.boot == boot_id()
    }

    /// Its processes that still run.
    #[must_use]
    pub fn members(&self) -> Vec<u32> {
        if !self.of_this_boot() {
            return Vec::new();
        }
        // A number is not given out while a group bears it. Another process under it: the group is long gone.
        let leader = self.leader.filter(|l| proc::stat(l.pid).is_none_or(|s| s.start_ticks == l.start_ticks));
        let of_group =
            |s: &proc::Stat| leader.is_some_and(|l| s.group == l.pid && s.start_ticks >= l.start_ticks);
        proc::pids()
            .filter(|pid| {
                proc::stat(*pid).is_some_and(|s| {
                    !matches!(s.state, 'Z' | 'X')
                        && s.session == self.session
                        && (of_group(&s) || self.marks(*pid))
                })
            })
            .collect()
    }

    fn marks(&self, pid: u32) -> bool {
        let wanted = format!("{MARK}={}", self.mark);
        fs::read(format!("/proc/{pid}/environ"))
            .is_ok_and(|env| env.split(|b| *b == 0).any(|v| v == wanted.as_bytes()))
    }

    /// SIGTERM to all of it, SIGKILL to what is left after `grace`. False when something survived even that.
    pub async fn end(&self, grace: Duration) -> bool {
        for (signal, patience) in [(Signal::TERM, grace), (Signal::KILL, KILL_WAIT)] {
            let until = Instant::now() + patience;
            let mut told: Vec<u32> = Vec::new();
            loop {
                let left = self.members();
                if left.is_empty() {
                    return true;
                }
                for pid in left.iter().filter(|p| !told.contains(p)) {
                    if let Some(pid) = i32::try_from(*pid).ok().and_then(Pid::from_raw) {
                        // One that has ended in this moment needs no signal.
                        let _ = kill_process(pid, signal);
                    }
                }
                told.extend(left);
                if Instant::now() >= until {
                    break;
                }
                sleep(Duration::from_millis(20)).await;
            }
        }
        false
    }
}
