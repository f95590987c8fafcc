//! Errors and latency of the requests of users, on busy and on quiet sites.
//!
//! Requests are added up over the looks until `min-requests` have come; then they are judged, and adding begins anew. On a
//! busy site that is every look. A site that is too quiet for it is not left unjudged: as soon as its failures could
//! hardly have come about within the limit (less than once in a thousand times), each look that brought one counts as
//! out of bounds. At the usual limit of 5 % that is three failed requests out of three, or four out of eight.

use super::{Baseline, ServiceLook, Signal, Watcher};
use crate::config::{Span, Watch};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Failures that are as improbable as this are none of chance.
const IMPROBABLE: f64 = 0.001;
/// With more requests than this the plain rate says all.
const MANY: u64 = 10_000;

/// Requests since the error rate was last judged.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Errors {
    requests: u64,
    errors: u64,
    /// Looks among them that brought an error.
    failing_looks: u32,
    /// Seconds from the beginning of the watch.
    since_s: u64,
    /// Looks in a row that were out of bounds before.
    before: u32,
}

/// Latency since it was last judged.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Latency {
    buckets: BTreeMap<u64, u64>,
    since_s: u64,
}

impl Watcher {
    pub(super) fn errors(&mut self, s: &ServiceLook, now_s: u64, limits: &Watch) -> Signal {
        if s.requests == 0 {
            return Signal::Silent;
        }
        let since_s = self.last_s;
        let count = self.in_a_row.get(&format!("errors:{}", s.service)).copied().unwrap_or(0);
        let sum = self.errors.entry(s.service.clone()).or_insert_with(|| Errors {
            since_s,
            before: count,
            ..Errors::default()
        });
        let errors = s.errors.min(s.requests);
        sum.requests = sum.requests.saturating_add(s.requests);
        sum.errors = sum.errors.saturating_add(errors);
        sum.failing_looks = sum.failing_looks.saturating_add(u32::from(errors > 0));
        let enough = sum.requests >= limits.min_requests.max(1);
        let improbable = by_chance(sum.requests, sum.errors, limits.max_error_rate) < IMPROBABLE;
        let over = share(sum.errors, sum.requests) > limits.max_error_rate;
        let sum = sum.clone();
        let signal = if improbable && errors > 0 {
            Signal::BadFor(said(s, &sum, now_s, limits), sum.before.saturating_add(sum.failing_looks))
        } else if !enough {
            Signal::Silent
        } else if over {
            Signal::BadFor(said(s, &sum, now_s, limits), sum.before.saturating_add(1).max(count))
        } else {
            Signal::Good
        };
        if enough {
            self.errors.remove(&s.service);
        }
        signal
    }

    pub(super) fn latency(
        &mut self,
        s: &ServiceLook,
        now_s: u64,
        baseline: &Baseline,
        limits: &Watch,
    ) -> Signal {
        let Some((old50, old95)) = baseline.latency.get(&s.service) else { return Signal::Silent };
        if s.latency_buckets.is_empty() {
            return Signal::Silent;
        }
        let since_s = self.last_s;
        let sum = self
            .latency
            .entry(s.service.clone())
            .or_insert_with(|| Latency { since_s, buckets: BTreeMap::new() });
        for (up_to, n) in &s.latency_buckets {
            *sum.buckets.entry(*up_to).or_default() += n;
        }
        let requests: u64 = sum.buckets.values().sum();
        if requests < limits.min_requests.max(1) {
            return Signal::Silent;
        }
        let buckets: Vec<(u64, u64)> = sum.buckets.iter().map(|(u, n)| (*u, *n)).collect();
        let span = Span::secs(now_s.saturating_sub(sum.since_s).max(1));
        self.latency.remove(&s.service);
        let Some((p50, p95)) = quantiles_ms(&buckets) else { return Signal::Silent };
        let floor = limits.slowdown_floor.0.as_secs_f64() * 1000.0;
        let slow = |new: f64, old: f64| new > old * limits.max_slowdown && new - old > floor;
        if !slow(p50, *old50) && !slow(p95, *old95) {
            return Signal::Good;
        }
        let (name, limit) = (&s.service, limits.max_slowdown);
        Signal::Bad(crate::text!(
            "{name}: median {p50:.0} ms and p95 {p95:.0} ms of {requests} requests in {span}, the old release had {old50:.0} and {old95:.0} (limit {limit:.1} times)",
            "{name}：{span} 内 {requests} 个请求的中位数 {p50:.0} 毫秒、p95 {p95:.0} 毫秒，旧版本为 {old50:.0} 与 {old95:.0}（上限 {limit:.1} 倍）"
        ))
    }
}

fn said(s: &ServiceLook, sum: &Errors, now_s: u64, limits: &Watch) -> crate::text::Text {
    let (name, errors, requests) = (&s.service, sum.errors, sum.requests);
    let (got, limit) = (share(errors, requests) * 100.0, limits.max_error_rate * 100.0);
    let span = Span::secs(now_s.saturating_sub(sum.since_s).max(1));
    crate::text!(
        "{name}: {errors} of {requests} requests in {span} failed ({got:.1} %, limit {limit:.1} %)",
        "{name}：{span} 内 {requests} 个请求中 {errors} 个失败（{got:.1}%，上限 {limit:.1}%）"
    )
}

#[expect(clippy::cast_precision_loss, reason = "counts of one hour are far below 2^52")]
fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// How probable `errors` or more of `requests` are when each fails with probability `rate`: the binomial tail.
#[expect(clippy::cast_precision_loss, reason = "at most MANY requests")]
fn by_chance(requests: u64, errors: u64, rate: f64) -> f64 {
    if errors == 0 || requests > MANY || rate >= 1.0 {
        return 1.0;
    }
    if rate <= 0.0 {
        return 0.0;
    }
    let (n, odds) = (requests as f64, rate / (1.0 - rate));
    // Probability of none, then of one more each time; what is left over is the tail.
    let mut exactly = (n * (1.0 - rate).ln()).exp();
    let mut fewer = 0.0;
    for k in 0..errors {
        fewer += exactly;
        exactly *= odds * (n - k as f64) / (k as f64 + 1.0);
    }
    (1.0 - fewer).max(0.0)
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
    fn the_binomial_tail_is_what_the_tables_say() {
        let close = |a: f64, b: f64| (a - b).abs() < b * 0.01 + 1e-12;
        assert!(close(by_chance(3, 3, 0.05), 1.25e-4));
        assert!(close(by_chance(2, 2, 0.05), 2.5e-3));
        assert!(close(by_chance(8, 4, 0.05), 3.72e-4), "{}", by_chance(8, 4, 0.05));
        assert!(close(by_chance(100, 9, 0.05), 0.0631), "{}", by_chance(100, 9, 0.05));
        assert_eq!((by_chance(5, 0, 0.05), by_chance(5, 1, 0.0), by_chance(5, 5, 1.0)), (1.0, 0.0, 1.0));
    }
}
