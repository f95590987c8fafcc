//! Judges what the watch sees: pure, no clock, no I/O.
//! One blip does not undo a deploy: a signal has to be out of bounds in several looks in a row.

use crate::{config::Watch, text::Text};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Requests of one service in one look, of the new release only.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ServiceLook {
    /// The service.
    pub service: String,
    /// Requests since the look before.
    pub requests: u64,
    /// Of those: answered 5xx, or not at all.
    pub errors: u64,
    /// Median latency in milliseconds; `None` without requests.
    pub p50_ms: Option<f64>,
    /// 95th percentile in milliseconds.
    pub p95_ms: Option<f64>,
    /// Times the process was started again since the deploy.
    pub restarts: u32,
    /// The process is running.
    pub running: bool,
}

/// One look.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Look {
    /// When.
    pub at: Timestamp,
    /// Seconds since the watch began.
    pub elapsed_s: u64,
    /// Seconds the whole watch lasts.
    pub total_s: u64,
    /// Per service.
    pub services: Vec<ServiceLook>,
    /// Severe log lines since the look before, counted.
    pub severe_lines: u64,
    /// The first severe line of this look, redacted and shortened.
    pub severe_sample: Option<String>,
    /// Journeys that failed in this look, with the reason; `None` when none were due.
    pub journeys: Option<Vec<(String, Option<String>)>>,
    /// Busy CPU in percent, if it could be read.
    pub cpu_percent: Option<f64>,
    /// Used memory in percent.
    pub memory_percent: Option<f64>,
    /// Free disk in percent.
    pub disk_free_percent: Option<f64>,
    /// What could not be looked at.
    pub blind: Vec<Text>,
}

/// Latency of the old release, frozen before the switch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    /// Per service: median and 95th percentile in milliseconds.
    pub latency: BTreeMap<String, (f64, f64)>,
}

/// A signal that is out of bounds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Breach {
    /// Stable name of the signal, `errors:web`.
    pub signal: String,
    /// Value and limit in words.
    pub what: Text,
    /// Looks in a row, this one included.
    pub in_a_row: u32,
    /// This many undo the deploy.
    pub of: u32,
}

/// The memory between looks. Serializable, so that a restarted host goes on where it was.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watcher {
    in_a_row: BTreeMap<String, u32>,
}

/// What one signal says in one look.
enum Signal {
    Bad(Text),
    Good,
    /// Too little to tell: neither raises nor clears the count.
    Silent,
}

impl Watcher {
    /// Takes in one look. All breaches of this look come back; the deploy is to be undone when one of them has
    /// `in_a_row >= of`.
    pub fn look(&mut self, look: &Look, baseline: &Baseline, limits: &Watch) -> Vec<Breach> {
        let mut signals: Vec<(String, Signal)> = Vec::new();
        for s in &look.services {
            let name = &s.service;
            signals.push((format!("errors:{name}"), errors(s, limits)));
            signals.push((format!("latency:{name}"), latency(s, baseline, limits)));
            signals.push((format!("process:{name}"), process(s, limits)));
        }
        signals.push(("logs".to_owned(), logs(look, limits)));
        if let Some(journeys) = &look.journeys {
            for (name, failure) in journeys {
                let signal = match failure {
                    Some(f) => {
                        Signal::Bad(crate::text!("journey {name} failed: {f}", "用户路径 {name} 失败：{f}"))
                    }
                    None => Signal::Good,
                };
                signals.push((format!("journey:{name}"), signal));
            }
        }
        let of = limits.breaches_to_undo;
        let mut breaches = Vec::new();
        for (signal, state) in signals {
            match state {
                Signal::Bad(what) => {
                    let count = self.in_a_row.entry(signal.clone()).or_insert(0);
                    *count = count.saturating_add(1);
                    breaches.push(Breach { signal, what, in_a_row: *count, of });
                }
                Signal::Good => {
                    self.in_a_row.remove(&signal);
                }
                Signal::Silent => {}
            }
        }
        breaches
    }
}

/// The breach that undoes the deploy, if there is one.
#[must_use]
pub fn decisive(breaches: &[Breach]) -> Option<&Breach> {
    breaches.iter().find(|b| b.in_a_row >= b.of)
}

#[expect(clippy::cast_precision_loss, reason = "counts of one look are far below 2^52")]
fn errors(s: &ServiceLook, limits: &Watch) -> Signal {
    if s.requests < limits.min_requests.max(1) {
        return Signal::Silent;
    }
    let rate = s.errors as f64 / s.requests as f64;
    if rate > limits.max_error_rate {
        let (name, errors, requests) = (&s.service, s.errors, s.requests);
        let (got, limit) = (rate * 100.0, limits.max_error_rate * 100.0);
        Signal::Bad(crate::text!(
            "{name}: {errors} of {requests} requests failed ({got:.1} %, limit {limit:.1} %)",
            "{name}：{requests} 个请求中 {errors} 个失败（{got:.1}%，上限 {limit:.1}%）"
        ))
    } else {
        Signal::Good
    }
}

fn latency(s: &ServiceLook, baseline: &Baseline, limits: &Watch) -> Signal {
    let (Some(p50), Some(p95), Some((old50, old95))) = (s.p50_ms, s.p95_ms, baseline.latency.get(&s.service))
    else {
        return Signal::Silent;
    };
    if s.requests < limits.min_requests.max(1) {
        return Signal::Silent;
    }
    let floor = limits.slowdown_floor.0.as_secs_f64() * 1000.0;
    let slow = |new: f64, old: f64| new > old * limits.max_slowdown && new - old > floor;
    if slow(p50, *old50) || slow(p95, *old95) {
        let (name, limit) = (&s.service, limits.max_slowdown);
        Signal::Bad(crate::text!(
            "{name}: median {p50:.0} ms and p95 {p95:.0} ms, the old release had {old50:.0} and {old95:.0} (limit {limit:.1} times)",
            "{name}：中位数 {p50:.0} 毫秒、p95 {p95:.0} 毫秒，旧版本为 {old50:.0} 与 {old95:.0}（上限 {limit:.1} 倍）"
        ))
    } else {
        Signal::Good
    }
}

fn process(s: &ServiceLook, limits: &Watch) -> Signal {
    let (name, n, limit) = (&s.service, s.restarts, limits.max_restarts);
    if !s.running {
        Signal::Bad(crate::text!("{name} is not running", "{name} 没有在运行"))
    } else if n > limit {
        Signal::Bad(crate::text!(
            "{name} was restarted {n} times (limit {limit})",
            "{name} 重启了 {n} 次（上限 {limit}）"
        ))
    } else {
        Signal::Good
    }
}

fn logs(look: &Look, limits: &Watch) -> Signal {
    let (n, limit) = (look.severe_lines, limits.max_severe_lines);
    if n > limit {
        let sample = look.severe_sample.as_deref().unwrap_or("");
        Signal::Bad(crate::text!(
            "{n} severe log lines (limit {limit}): {sample}",
            "{n} 行严重日志（上限 {limit}）：{sample}"
        ))
    } else {
        Signal::Good
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(requests: u64, errors: u64) -> Look {
        Look {
            at: Timestamp::UNIX_EPOCH,
            elapsed_s: 0,
            total_s: 60,
            services: vec![ServiceLook {
                service: "web".into(),
                requests,
                errors,
                p50_ms: Some(10.0),
                p95_ms: Some(20.0),
                restarts: 0,
                running: true,
            }],
            severe_lines: 0,
            severe_sample: None,
            journeys: None,
            cpu_percent: None,
            memory_percent: None,
            disk_free_percent: None,
            blind: vec![],
        }
    }

    fn undoes(looks: &[Look]) -> Option<usize> {
        let mut w = Watcher::default();
        looks.iter().position(|l| decisive(&w.look(l, &Baseline::default(), &Watch::default())).is_some())
    }

    #[test]
    fn one_blip_does_not_undo_a_deploy() {
        assert_eq!(undoes(&[look(100, 50), look(100, 0), look(100, 50), look(100, 50), look(100, 0)]), None);
    }

    #[test]
    fn errors_in_three_looks_in_a_row_undo_it() {
        assert_eq!(undoes(&[look(100, 0), look(100, 9), look(100, 9), look(100, 9)]), Some(3));
    }

    #[test]
    fn a_quiet_look_neither_clears_nor_raises_the_count() {
        assert_eq!(undoes(&[look(100, 9), look(100, 9), look(3, 0), look(100, 9)]), Some(3));
        assert_eq!(undoes(&vec![look(3, 3); 10]), None);
    }

    #[test]
    fn slower_than_the_old_release_counts_only_when_it_matters() {
        let limits = Watch::default();
        let mut base = Baseline::default();
        base.latency.insert("web".into(), (10.0, 20.0));
        let mut slow = look(100, 0);
        slow.services[0].p95_ms = Some(100.0);
        assert!(Watcher::default().look(&slow, &base, &limits).is_empty(), "80 ms more are below the floor");
        slow.services[0].p95_ms = Some(400.0);
        assert_eq!(Watcher::default().look(&slow, &base, &limits)[0].signal, "latency:web");
    }

    #[test]
    fn a_process_that_is_gone_or_keeps_restarting_is_a_breach() {
        for (running, restarts) in [(false, 0), (true, 3)] {
            let mut l = look(0, 0);
            l.services[0].running = running;
            l.services[0].restarts = restarts;
            assert_eq!(Watcher::default().look(&l, &Baseline::default(), &Watch::default()).len(), 1);
        }
    }

    #[test]
    fn journeys_that_were_not_due_keep_their_count() {
        let mut w = Watcher::default();
        let mut bad = look(0, 0);
        bad.journeys = Some(vec![("login".into(), Some("status 500".into()))]);
        for i in 1..=3 {
            let b = w.look(&bad, &Baseline::default(), &Watch::default());
            assert_eq!(b[0].in_a_row, i);
            w.look(&look(0, 0), &Baseline::default(), &Watch::default());
        }
    }
}
