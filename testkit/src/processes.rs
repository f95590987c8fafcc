//! Finding and ending the processes of a test: all that live below its directory. Asks /proc, so it also sees what
//! Safelight's own records have lost.

use rustix::process::{Pid, Signal, kill_process};
use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

/// Sends a signal; a process that is gone already is fine.
pub fn kill(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}

/// Is there such a process, and has it not ended? A zombie has.
#[must_use]
pub fn alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    state.is_some_and(|s| s != 'Z' && s != 'X')
}

/// Does a process handle this signal by itself?
#[must_use]
pub fn catches(pid: u32, signal: Signal) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let mask = status.lines().find_map(|l| l.strip_prefix("SigCgt:"));
    let mask = mask.and_then(|m| u64::from_str_radix(m.trim(), 16).ok()).unwrap_or_default();
    mask & (1 << (signal.as_raw() - 1)) != 0
}

fn numbers() -> Vec<u32> {
    let entries = fs::read_dir("/proc").map(|d| d.flatten().collect::<Vec<_>>()).unwrap_or_default();
    entries.iter().filter_map(|e| e.file_name().to_str()?.parse().ok()).collect()
}

fn variable(pid: u32, name: &str) -> Option<String> {
    let environ = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let start = format!("{name}=");
    let vars = environ.split(|b| *b == 0).map(String::from_utf8_lossy);
    vars.into_iter().find_map(|v| v.strip_prefix(start.as_str()).map(str::to_owned))
}

/// Every process that works in `dir`, names it on its command line, or has it as `SAFELIGHT_HOME`.
#[must_use]
pub fn below(dir: &Path) -> Vec<u32> {
    let text = dir.to_string_lossy().into_owned();
    let inside = |pid: u32| {
        let works = fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|c| c.starts_with(dir));
        let named = fs::read(format!("/proc/{pid}/cmdline"))
            .is_ok_and(|c| String::from_utf8_lossy(&c).contains(text.as_str()));
        works || named || variable(pid, "SAFELIGHT_HOME").is_some_and(|h| Path::new(&h).starts_with(dir))
    };
    numbers().into_iter().filter(|p| *p != std::process::id() && alive(*p) && inside(*p)).collect()
}

/// Releases of the apps that run in directories below `dir`, one entry for each process: `r2`.
#[must_use]
pub fn running_releases(dir: &Path) -> Vec<String> {
    let works = |pid: &u32| fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|c| c.starts_with(dir));
    let apps = numbers().into_iter().filter(|p| alive(*p)).filter(works);
    let mut found: Vec<String> = apps.filter_map(|p| variable(p, "SAFELIGHT_RELEASE")).collect();
    found.sort();
    found
}

/// Ends everything below `dir`: asks first, so that shims end their apps and start nothing again.
pub fn end_below(dir: &Path) {
    for (signal, patience) in [(Signal::TERM, Duration::from_secs(2)), (Signal::KILL, Duration::from_secs(5))]
    {
        let until = Instant::now() + patience;
        let mut told: Vec<u32> = Vec::new();
        loop {
            let left = below(dir);
            if left.is_empty() {
                return;
            }
            for pid in left.iter().filter(|p| !told.contains(p)) {
                kill(*pid, signal);
            }
            told.extend(left);
            if Instant::now() >= until {
                break;
            }
            std::thread::sleep(Duration::from_millis(25));
        }
    }
}

/// Resident memory of a process in kB: all of it, and the part that no file backs.
#[must_use]
pub fn memory_kb(pid: u32) -> Option<(u64, u64)> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let field = |name: &str| {
        let line = status.lines().find_map(|l| l.strip_prefix(name))?;
        line.trim().trim_end_matches(" kB").parse().ok()
    };
    Some((field("VmRSS:")?, field("RssAnon:")?))
}
