//! Arithmetic of the watch: differences of counters, quantiles of buckets, resources. Pure.

use safelight_engine::driver::{host::FsStat, traffic::VersionCounts};
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

/// Median and 95th percentile in milliseconds: upper bounds of the buckets they fall into. `None` without requests.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "counts and microseconds are far below 2^52")]
pub fn quantiles_ms(buckets: &[(u64, u64)]) -> Option<(f64, f64)> {
    let mut sorted = buckets.to_vec();
    sorted.sort_unstable();
    let total: u64 = sorted.iter().map(|(_, n)| n).sum();
    if total == 0 {
        return None;
    }
    let at = |q: f64| {
        let mut seen = 0;
        for (up_to, n) in &sorted {
            seen += n;
            if seen as f64 >= q * total as f64 {
                return *up_to as f64 / 1000.0;
            }
        }
        0.0
    };
    Some((at(0.5), at(0.95)))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_fall_into_the_right_buckets() {
        assert_eq!(quantiles_ms(&[(1000, 90), (50_000, 9), (900_000, 1)]), Some((1.0, 50.0)));
        assert_eq!(quantiles_ms(&[]), None);
        assert_eq!(quantiles_ms(&[(5, 0)]), None);
    }

    #[test]
    fn differences_never_go_below_zero() {
        let a = VersionCounts { requests: 5, latency_buckets: vec![(10, 5)], ..VersionCounts::default() };
        let d = difference(&VersionCounts::default(), &a);
        assert_eq!((d.requests, d.latency_buckets.len()), (0, 0));
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
}
