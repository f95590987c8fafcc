//! Owns the canary's sessions on trial: each is clean or bad once it has settled.
//! Must call no session clean before its time is over.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::observation::MetricSet;
use crate::sample::{Admission, SessionSample};

/// Bounded memory of canary sessions. A session counts as bad at its first bad request, and as clean only when it
/// has gone `settle_millis` without one. A session dropped at the bound counts as neither.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Trial {
    settle_millis: u64,
    max_sessions: usize,
    sample: SessionSample<Entry>,
    /// Sessions not settled yet, in the order they came.
    unsettled: VecDeque<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Entry {
    since_millis: u64,
    bad: MetricSet,
}

/// What a request told about its session.
pub(crate) struct Seen {
    /// The session is new to the trial.
    pub(crate) new: bool,
    /// The metrics on which the session went bad just now.
    pub(crate) newly_bad: MetricSet,
}

impl Trial {
    pub(crate) fn new(settle_millis: u64, max_sessions: usize) -> Self {
        let sample = SessionSample::new(max_sessions);
        Trial { settle_millis, max_sessions, sample, unsettled: VecDeque::new() }
    }

    /// Notes a request on the canary. `now_millis` must not go back.
    pub(crate) fn observe(&mut self, mark: u64, now_millis: u64, bad: MetricSet) -> Seen {
        match self.sample.admit(mark, Entry { since_millis: now_millis, bad }) {
            Admission::Ignored => Seen { new: false, newly_bad: MetricSet::EMPTY },
            Admission::Known(entry) => {
                let newly_bad = bad.without(entry.bad);
                entry.bad = entry.bad.union(bad);
                Seen { new: false, newly_bad }
            }
            Admission::New(_) => {
                self.unsettled.push_back(mark);
                if self.unsettled.len() > self.max_sessions.saturating_mul(2) {
                    let sample = &mut self.sample;
                    self.unsettled.retain(|mark| sample.get_mut(*mark).is_some());
                }
                Seen { new: true, newly_bad: bad }
            }
        }
    }

    /// Takes one session whose time is over, with the metrics on which it went bad.
    pub(crate) fn settle_one(&mut self, now_millis: u64) -> Option<MetricSet> {
        while let Some(mark) = self.unsettled.front() {
            match self.sample.get_mut(*mark) {
                Some(entry) if now_millis.saturating_sub(entry.since_millis) < self.settle_millis => {
                    return None;
                }
                Some(entry) => {
                    let bad = entry.bad;
                    self.unsettled.pop_front();
                    return Some(bad);
                }
                None => {
                    self.unsettled.pop_front();
                }
            }
        }
        None
    }
}

/// How often something happened lately: whole windows of five minutes, the last one and the one under way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct RateMeter {
    window_start_millis: u64,
    current: u64,
    previous: Option<u64>,
}

const RATE_WINDOW_MILLIS: u64 = 300_000;

impl RateMeter {
    pub(crate) fn starting_at(at_millis: u64) -> Self {
        RateMeter { window_start_millis: at_millis, current: 0, previous: None }
    }

    pub(crate) fn count(&mut self, now_millis: u64) {
        let windows = now_millis.saturating_sub(self.window_start_millis) / RATE_WINDOW_MILLIS;
        if windows > 0 {
            self.previous = Some(if windows == 1 { self.current } else { 0 });
            self.current = 0;
            self.window_start_millis =
                self.window_start_millis.saturating_add(windows.saturating_mul(RATE_WINDOW_MILLIS));
        }
        self.current = self.current.saturating_add(1);
    }

    /// Events a second, over five to ten minutes, or as long as there has been.
    pub(crate) fn per_second(&self, now_millis: u64) -> f64 {
        let open = now_millis.saturating_sub(self.window_start_millis);
        let windows = open / RATE_WINDOW_MILLIS;
        let (events, millis) = match (windows, self.previous) {
            (0, Some(previous)) => (previous.saturating_add(self.current), RATE_WINDOW_MILLIS + open),
            (0, None) => (self.current, open),
            (1, _) => (self.current, open),
            _ => (0, open),
        };
        events as f64 * 1000.0 / millis.max(1000) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn session_is_clean_only_after_its_whole_time() {
        let mut trial = Trial::new(60_000, 10);
        assert!(trial.observe(1, 0, MetricSet::EMPTY).new);
        assert_eq!(trial.settle_one(59_999), None);
        assert_eq!(trial.settle_one(60_000), Some(MetricSet::EMPTY));
        assert_eq!(trial.settle_one(120_000), None);
        assert!(!trial.observe(1, 130_000, MetricSet::EMPTY).new);
        assert_eq!(trial.settle_one(999_999), None);
    }

    #[test]
    fn session_goes_bad_once_on_each_metric() {
        let mut trial = Trial::new(60_000, 10);
        let (errors, slow) = (MetricSet::only(0), MetricSet::only(1));
        assert_eq!(trial.observe(1, 0, errors).newly_bad, errors);
        assert_eq!(trial.observe(1, 5, errors.union(slow)).newly_bad, slow);
        assert!(trial.observe(1, 9, errors).newly_bad.is_empty());
        assert_eq!(trial.settle_one(60_000), Some(errors.union(slow)));
    }

    #[test]
    fn unsettled_sessions_stay_bounded_under_a_flood() {
        let mut trial = Trial::new(60_000, 32);
        let key = crate::SplitKey::new([3; 16]);
        for n in 0..100_000_u64 {
            trial.observe(key.session(&n.to_le_bytes()).mark(), 0, MetricSet::EMPTY);
            assert!(trial.unsettled.len() <= 65);
        }
        let settled = std::iter::from_fn(|| trial.settle_one(60_000)).count();
        assert!((1..=65).contains(&settled), "{settled}");
    }

    #[test]
    fn rate_covers_the_last_minutes_only() {
        let mut meter = RateMeter::starting_at(0);
        for second in 0..600 {
            meter.count(second * 1000);
        }
        assert!((meter.per_second(600_000) - 1.0).abs() < 0.01, "{}", meter.per_second(600_000));
        assert_eq!(meter.per_second(5_000_000), 0.0);
        assert_eq!(meter.per_second(u64::MAX), 0.0);
    }
}
