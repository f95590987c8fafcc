//! Ending an app with everything it has started: its process group, found again by session and start time.
//! A process that moved itself into another session (a daemon of its own) is none of ours.

use super::record::Known;
use crate::host::proc;
use rustix::process::{Pid, Signal, kill_process_group};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long the kernel may take to end what got SIGKILL. Longer means a process stuck in a disk or network wait.
const KILL_WAIT: Duration = Duration::from_secs(5);

/// Members of the app's group that still run.
pub(super) fn members(app: &Known) -> Vec<u32> {
    // A number is not given out while a group bears it. Another process under it: the app's group is long gone.
    if proc::stat(app.pid).is_some_and(|s| s.start_ticks != app.start_ticks) {
        return Vec::new();
    }
    proc::pids()
        .filter(|pid| {
            proc::stat(*pid).is_some_and(|s| {
                s.group == app.pid
                    && s.session == app.session
                    && s.start_ticks >= app.start_ticks
                    && !matches!(s.state, 'Z' | 'X')
            })
        })
        .collect()
}

/// Resident memory of the whole group, in bytes.
pub(super) fn memory(app: &Known) -> Option<u64> {
    let all: Vec<u64> = members(app).into_iter().filter_map(proc::resident).collect();
    (!all.is_empty()).then(|| all.iter().sum())
}

/// SIGTERM to the whole group, SIGKILL to what is left after `grace`. False when something survived even that.
pub(super) async fn end(app: &Known, grace: Duration) -> bool {
    if signal(app, Signal::TERM) && gone_within(app, grace).await {
        return true;
    }
    signal(app, Signal::KILL);
    gone_within(app, KILL_WAIT).await
}

/// Signals the group while a member of it runs: the number cannot mean another group then.
fn signal(app: &Known, signal: Signal) -> bool {
    if members(app).is_empty() {
        return true;
    }
    let Some(pid) = i32::try_from(app.pid).ok().and_then(Pid::from_raw) else { return false };
    kill_process_group(pid, signal).is_ok()
}

async fn gone_within(app: &Known, limit: Duration) -> bool {
    let deadline = Instant::now() + limit;
    let mut pause = Duration::from_millis(5);
    loop {
        if members(app).is_empty() {
            return true;
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        sleep(pause.min(left)).await;
        pause = (pause * 2).min(Duration::from_millis(100));
    }
}
