//! Arithmetic of the watch: differences of counters, resources of the host and of processes. Pure.

pub use safelight_engine::watch::quantiles_ms;
use safelight_engine::{
    config::Checks,
    driver::{host::FsStat, traffic::VersionCounts},
};
use std::collections::BTreeMap;

/// What was counted between two readings of the same proxy process.
#[must_use]
pub fn difference(now: &VersionCounts, before: &VersionCounts) -> VersionCounts {
    let old: BTreeMap<u64, u64> = before.latency_buckets.iter().copied().collect();
    VersionCounts {
        version: now.version.clone(),
        requests: now.requests.saturating_sub(before.requests),
        server_errors: now.server_errors.saturating_sub(before.server_errors),
        client_errors: now.client_errors.saturating_sub(before.client_errors),
        upstream_failures: now.upstream_failures.saturating_sub(before.upstream_failures),
        latency_buckets: now
            .latency_buckets
            .iter()
            .map(|(up_to, n)| (*up_to, n.saturating_sub(old.get(up_to).copied().unwrap_or(0))))
            .filter(|(_, n)| *n > 0)
            .collect(),
    }
}

/// What users sent while `own` requests of the watch itself were under way, at most: its own must not make a quiet site
/// look busy and well. Errors stay; nobody knows whose they were.
#[must_use]
pub fn without_own(during: VersionCounts, own: u64) -> VersionCounts {
    let errors = during.server_errors.saturating_add(during.upstream_failures);
    let users = during.requests.saturating_sub(own);
    let latency_buckets = if users > 0 { during.latency_buckets } else { Vec::new() };
    VersionCounts { requests: users.max(errors.min(during.requests)), latency_buckets, ..during }
}

/// Two counts of the same version together.
#[must_use]
pub fn together(a: &VersionCounts, b: &VersionCounts) -> VersionCounts {
    let mut buckets: BTreeMap<u64, u64> = BTreeMap::new();
    for (up_to, n) in a.latency_buckets.iter().chain(&b.latency_buckets) {
        *buckets.entry(*up_to).or_default() += n;
    }
    VersionCounts {
        version: a.version.clone(),
        requests: a.requests.saturating_add(b.requests),
        server_errors: a.server_errors.saturating_add(b.server_errors),
        client_errors: a.client_errors.saturating_add(b.client_errors),
        upstream_failures: a.upstream_failures.saturating_add(b.upstream_failures),
        latency_buckets: buckets.into_iter().collect(),
    }
}

/// Busy and total ticks of the first line of /proc/stat. Steal is busy; guest is part of user already.
#[must_use]
pub fn cpu_times(stat: &str) -> Option<(u64, u64)> {
    let line = stat.lines().find(|l| l.starts_with("cpu "))?;
    let n: Vec<u64> = line.split_whitespace().skip(1).take(8).map_while(|v| v.parse().ok()).collect();
    if n.len() < 4 {
        return None;
    }
    let total: u64 = n.iter().fold(0, |a, b| a.saturating_add(*b));
    let idle = n[3].saturating_add(n.get(4).copied().unwrap_or(0));
    Some((total.saturating_sub(idle), total))
}

/// Busy share in percent between two readings of [`cpu_times`].
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "tick counts are far below 2^52")]
pub fn busy_percent(before: (u64, u64), now: (u64, u64)) -> Option<f64> {
    let total = now.1.checked_sub(before.1).filter(|t| *t > 0)?;
    Some((now.0.saturating_sub(before.0) as f64 / total as f64 * 100.0).min(100.0))
}

/// Used memory in percent: what is not available to a new program.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "kibibytes are far below 2^52")]
pub fn memory_percent(meminfo: &str) -> Option<f64> {
    let value = |key: &str| -> Option<f64> {
        let line = meminfo.lines().find(|l| l.starts_with(key))?;
        line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|v| v as f64)
    };
    let (total, available) = (value("MemTotal:")?, value("MemAvailable:")?);
    (total > 0.0).then(|| (total - available).max(0.0) / total * 100.0)
}

/// Free disk in percent, as `df` counts it.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "one digit is shown")]
pub fn disk_free_percent(s: &FsStat) -> Option<f64> {
    let used = s.total.saturating_sub(s.free);
    let usable = used.saturating_add(s.available);
    (usable > 0).then(|| s.available as f64 / usable as f64 * 100.0)
}

/// The used share of a disk, in percent, from which on less is free than `limits` want, in percent or in bytes.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "one digit is shown")]
pub fn disk_limit_percent(s: &FsStat, limits: &Checks) -> f64 {
    let usable = s.total.saturating_sub(s.free).saturating_add(s.available).max(1);
    let bytes = limits.disk_min_free.0 as f64 / usable as f64 * 100.0;
    (100.0 - limits.disk_min_free_percent.max(bytes)).max(0.0)
}

/// Ticks that a process has been busy, from its /proc/PID/stat. The name in it may hold spaces and parentheses.
#[must_use]
pub fn process_ticks(stat: &str) -> Option<u64> {
    let mut fields = stat.get(stat.rfind(')')? + 1..)?.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    Some(user.saturating_add(fields.next()?.parse().ok()?))
}

/// A number in a file of `name: number` lines, such as /proc/PID/status and /proc/PID/io.
#[must_use]
pub fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(':'))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

/// What counters of several processes grew by: one that is new brings all that it has.
#[must_use]
pub fn growth(before: &BTreeMap<u32, u64>, now: &BTreeMap<u32, u64>) -> u64 {
    now.iter()
        .map(|(pid, n)| n.saturating_sub(before.get(pid).copied().filter(|b| b <= n).unwrap_or(0)))
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_never_go_below_zero() {
        let a = VersionCounts { requests: 5, latency_buckets: vec![(10, 5)], ..VersionCounts::default() };
        let d = difference(&VersionCounts::default(), &a);
        assert_eq!((d.requests, d.latency_buckets.len()), (0, 0));
    }

    #[test]
    fn requests_of_the_watch_itself_are_not_those_of_users() {
        let during = |requests, server_errors| VersionCounts {
            requests,
            server_errors,
            latency_buckets: vec![(10, requests)],
            ..VersionCounts::default()
        };
        assert_eq!(without_own(during(4, 0), 4).requests, 0);
        assert!(without_own(during(4, 0), 4).latency_buckets.is_empty());
        assert_eq!(without_own(during(3, 0), 9).requests, 0, "sent to another service");
        assert_eq!(without_own(during(9, 1), 4).requests, 5);
        assert_eq!(without_own(during(4, 2), 4).requests, 2, "errors stay");
        let sum = together(&during(4, 1), &during(2, 0));
        assert_eq!((sum.requests, sum.server_errors, sum.latency_buckets), (6, 1, vec![(10, 6)]));
    }

    #[test]
    fn cpu_counts_steal_as_busy_and_identical_samples_say_nothing() {
        let a = cpu_times("cpu  100 0 100 800 0 0 0 0 50 0\n").unwrap();
        let b = cpu_times("cpu  150 0 100 850 0 0 0 100 50 0\n").unwrap();
        assert_eq!(busy_percent(a, b).map(f64::round), Some(75.0));
        assert_eq!(busy_percent(a, a), None);
        assert_eq!(cpu_times("garbage"), None);
    }

    #[test]
    fn memory_goes_by_what_is_available() {
        assert_eq!(
            memory_percent("MemTotal: 1000 kB\nMemFree: 20 kB\nMemAvailable: 700 kB\n").map(f64::round),
            Some(30.0)
        );
        assert_eq!(memory_percent("MemTotal: 0 kB\n"), None);
    }

    #[test]
    fn a_disk_is_too_full_by_its_share_or_by_its_bytes_whichever_comes_first() {
        let disk = |gb: u64| FsStat {
            mount: "/".into(),
            device: 1,
            total: gb * 1_000_000_000,
            free: gb * 500_000_000,
            available: gb * 500_000_000,
            inodes: 0,
            inodes_available: 0,
            read_only: false,
        };
        let limits = Checks::default();
        assert_eq!(disk_limit_percent(&disk(100), &limits).round(), 80.0);
        assert_eq!(disk_limit_percent(&disk(10), &limits).round(), 50.0, "5 GB of 10");
        assert_eq!(disk_limit_percent(&disk(1), &limits).round(), 0.0);
    }

    #[test]
    fn what_a_process_used_is_read_from_proc() {
        let stat = "42 (a) b (c)) S 1 42 42 0 -1 4194560 1 0 0 0 30 12 5 5 20 0 1 0 987654 1000 25 1";
        assert_eq!(process_ticks(stat), Some(42));
        assert_eq!(process_ticks("42 (a"), None);
        assert_eq!(field("VmPeak:\t 9 kB\nVmRSS:\t  1234 kB\n", "VmRSS"), Some(1234));
        assert_eq!(field("rchar: 5\nwrite_bytes: 4096\n", "write_bytes"), Some(4096));
        let at = |list: &[(u32, u64)]| list.iter().copied().collect::<BTreeMap<_, _>>();
        assert_eq!(growth(&at(&[(1, 10), (2, 10), (3, 5)]), &at(&[(1, 15), (3, 2), (4, 7)])), 5 + 2 + 7);
    }
}
