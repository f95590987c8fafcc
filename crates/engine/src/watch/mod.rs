//! Judges what the watch sees: pure, no clock, no I/O.
//! One blip does not undo a deploy: a signal has to be out of bounds in several looks in a row. What cannot be seen for
//! long is no pass either: see [`Blind`].

mod requests;
mod resources;
#[cfg(test)]
mod tests;

pub use requests::quantiles_ms;
pub use resources::{Resource, ResourceKind};

use crate::{
    config::{Span, Watch},
    text::Text,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, time::Duration};

/// Requests of one service in one look, of the new release only.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ServiceLook {
    /// The service.
    pub service: String,
    /// Requests since the look before.
    pub requests: u64,
    /// Of those: answered 5xx, or not at all.
    pub errors: u64,
    /// Users reach it, and their requests are counted.
    #[serde(default)]
    pub counted: bool,
    /// Median latency in milliseconds; `None` without requests.
    pub p50_ms: Option<f64>,
    /// 95th percentile in milliseconds.
    pub p95_ms: Option<f64>,
    /// Upper bounds of latency buckets in microseconds, with the requests of this look in each. Judged, not stored.
    #[serde(skip)]
    pub latency_buckets: Vec<(u64, u64)>,
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
    /// The same against the limits and against the time before the deploy, to be judged.
    #[serde(default)]
    pub resources: Vec<Resource>,
    /// What could not be looked at.
    pub blind: Vec<Blind>,
}

/// Something that could not be looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blind {
    /// The signal that stays hidden, `requests:web`; empty in looks of older releases.
    #[serde(default)]
    pub signal: String,
    /// Why.
    #[serde(flatten)]
    pub why: Text,
}

impl Blind {
    /// What users feel cannot be seen. Of the host it is only said: its resources are judged by what they do to users.
    #[must_use]
    pub fn undoes(&self) -> bool {
        !self.signal.is_empty() && !self.signal.starts_with("host:")
    }
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
    /// False when it is only said, however long it lasts.
    #[serde(default = "yes")]
    pub undoes: bool,
}

fn yes() -> bool {
    true
}

/// The memory between looks. Serializable, so that a restarted host goes on where it was.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Watcher {
    in_a_row: BTreeMap<String, u32>,
    errors: BTreeMap<String, requests::Errors>,
    latency: BTreeMap<String, requests::Latency>,
    /// Requests and errors of the whole watch.
    totals: BTreeMap<String, (u64, u64)>,
    /// When the look before was, in seconds since the watch began.
    last_s: u64,
    blind_looks: u32,
}

/// What one signal says in one look.
#[derive(Debug, PartialEq, Eq)]
enum Signal {
    /// Out of bounds: one more look in a row.
    Bad(Text),
    /// Out of bounds, in so many looks.
    BadFor(Text, u32),
    /// Out of bounds, and only said.
    Said(Text),
    Good,
    /// Too little to tell: neither raises nor clears the count.
    Silent,
}

impl Watcher {
    /// Takes in one look. All breaches of this look come back; the deploy is to be undone when one of them is
    /// [`decisive`].
    pub fn look(&mut self, look: &Look, baseline: &Baseline, limits: &Watch) -> Vec<Breach> {
        let of = limits.breaches_to_undo;
        let mut signals: Vec<(String, Signal, u32)> = Vec::new();
        for s in &look.services {
            let name = &s.service;
            if s.counted {
                let total = self.totals.entry(name.clone()).or_default();
                *total = (total.0.saturating_add(s.requests), total.1.saturating_add(s.errors));
            }
            signals.push((format!("errors:{name}"), self.errors(s, look.elapsed_s, limits), of));
            signals.push((format!("latency:{name}"), self.latency(s, look.elapsed_s, baseline, limits), of));
            signals.push((format!("process:{name}"), process(s, limits), of));
        }
        signals.push(("logs".to_owned(), logs(look, limits), of));
        for (name, failure) in look.journeys.iter().flatten() {
            let signal = match failure {
                Some(f) => {
                    Signal::Bad(crate::text!("journey {name} failed: {f}", "用户路径 {name} 失败：{f}"))
                }
                None => Signal::Good,
            };
            signals.push((format!("journey:{name}"), signal, of));
        }
        for r in &look.resources {
            signals.push((
                format!("host:{}", r.kind.word().en),
                r.judge(),
                lasting(limits.max_overload, limits.every, of),
            ));
        }
        // What was not seen is not well because nothing bad was seen.
        signals.retain(|(signal, ..)| !look.blind.iter().any(|b| b.signal == *signal));
        signals.extend(self.blind(look, limits));
        self.last_s = look.elapsed_s;
        signals.into_iter().filter_map(|(signal, state, of)| self.count(signal, state, of)).collect()
    }

    fn count(&mut self, signal: String, state: Signal, of: u32) -> Option<Breach> {
        let before = self.in_a_row.get(&signal).copied().unwrap_or(0);
        let (what, in_a_row, undoes) = match state {
            Signal::Bad(what) => (what, before.saturating_add(1), true),
            Signal::BadFor(what, looks) => (what, looks, true),
            Signal::Said(what) => {
                // Counted under a name of its own: what is only said must not add up to an undo.
                self.in_a_row.remove(&signal);
                let said = self.in_a_row.entry(format!("said:{signal}")).or_insert(0);
                *said = said.saturating_add(1);
                return Some(Breach { signal, what, in_a_row: *said, of, undoes: false });
            }
            Signal::Good => {
                self.in_a_row.remove(&signal);
                self.in_a_row.remove(&format!("said:{signal}"));
                return None;
            }
            Signal::Silent => return None,
        };
        self.in_a_row.insert(signal.clone(), in_a_row);
        Some(Breach { signal, what, in_a_row, of, undoes })
    }

    /// What cannot be seen is a signal of its own. Seeing it again clears it.
    fn blind(&mut self, look: &Look, limits: &Watch) -> Vec<(String, Signal, u32)> {
        let name = |b: &Blind| format!("blind:{}", b.signal);
        if look.blind.iter().any(Blind::undoes) {
            self.blind_looks = self.blind_looks.saturating_add(1);
        }
        let now: Vec<String> = look.blind.iter().map(name).collect();
        // Journeys that were not due were not looked for.
        let looked = |signal: &str| signal != "blind:journeys" || look.journeys.is_some();
        self.in_a_row.retain(|s, _| !s.starts_with("blind:") || now.contains(s) || !looked(s));
        let mut signals: Vec<(String, Signal, u32)> = Vec::new();
        for b in look.blind.iter().filter(|b| b.undoes()) {
            let signal = name(b);
            if signals.iter().any(|(s, ..)| *s == signal) {
                continue;
            }
            let every = if b.signal == "journeys" {
                limits.every.0.max(limits.journeys_every.0)
            } else {
                limits.every.0
            };
            let of = lasting(limits.max_blind, Span(every), limits.breaches_to_undo);
            let (en, zh) = (&b.why.en, &b.why.zh);
            let what = crate::text!("the watch cannot see: {en}", "无法观察：{zh}");
            signals.push((signal, Signal::Bad(what), of));
        }
        signals
    }

    /// Is something hidden that users feel? A watch does not end as passed while it is blind.
    #[must_use]
    pub fn is_blind(&self) -> bool {
        self.in_a_row.keys().any(|s| s.starts_with("blind:"))
    }

    /// May a watch end as passed that has gone on for `elapsed`? Not while it is blind, nor while a fault counts that the
    /// next looks could still undo the deploy for. What is only said holds nothing up, and a fault of requests that nobody
    /// makes any more only for the looks that would have decided it.
    #[must_use]
    pub fn may_end(&self, elapsed: Duration, limits: &Watch) -> bool {
        let counts = self.in_a_row.keys().any(|s| !s.starts_with("said:"));
        let step = limits.every.0.max(limits.journeys_every.0);
        let patience = step.saturating_mul(limits.breaches_to_undo.saturating_add(1));
        let over = elapsed >= limits.duration.0.saturating_add(patience);
        elapsed >= limits.duration.0 && !self.is_blind() && (!counts || over)
    }

    /// What a watch without a lasting fault stands on: requests and errors of each service, and looks that were blind.
    #[must_use]
    pub fn evidence(&self) -> Text {
        let mut all: Vec<Text> = Vec::new();
        for (name, (requests, errors)) in &self.totals {
            all.push(match requests {
                0 => crate::text!(
                    "{name}: no requests, so nothing is known of its errors",
                    "{name}：没有请求，错误情况未知"
                ),
                n => crate::text!(
                    "{name}: {errors} of {n} requests failed",
                    "{name}：{n} 个请求中 {errors} 个失败"
                ),
            });
        }
        if self.blind_looks > 0 {
            let n = self.blind_looks;
            all.push(crate::text!("{n} looks did not see everything", "{n} 次观察不完整"));
        }
        let join = |get: fn(&Text) -> &str, by: &str| all.iter().map(get).collect::<Vec<_>>().join(by);
        Text::new(join(|t| &t.en, "; "), join(|t| &t.zh, "；"))
    }
}

/// How many looks in a row, one each `every`, make `span`; `least` at least.
fn lasting(span: Span, every: Span, least: u32) -> u32 {
    let looks = (span.0.as_secs_f64() / every.0.as_secs_f64().max(0.001)).ceil().clamp(0.0, 1e9);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped")]
    let looks = looks as u32;
    looks.max(least)
}

/// The breach that undoes the deploy, if there is one.
#[must_use]
pub fn decisive(breaches: &[Breach]) -> Option<&Breach> {
    breaches.iter().find(|b| b.undoes && b.in_a_row >= b.of)
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
