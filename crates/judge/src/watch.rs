//! Owns the hour after promotion: a hold-back that goes on comparing, or the burn rate where none can be kept.
//! Must not promote anything; it ends as passed, rolled back, or unknown.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::judge::Judge;
use crate::observation::Observation;
use crate::verdict::{Harm, Missing, Verdict};

/// What the watch says after an observation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum WatchVerdict {
    /// Go on watching.
    Continue,
    /// Bring the old version back.
    Rollback(Alarm),
    /// The time is over and nothing spoke against the new version.
    Passed,
    /// The time is over, but too little was seen to call it passed.
    Inconclusive(WatchGap),
}

/// What set the watch off.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Alarm {
    /// The new version fails more often than the hold-back on the old one.
    Harm(Harm),
    /// The error budget burns too fast. There is no control group, so a shared outage looks the same.
    Burn(Burn),
}

/// What the watch did not see.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WatchGap {
    /// Requests to the new version since the watch began.
    pub new_requests: u64,
    /// Requests to the hold-back since the watch began; `None` where none was kept.
    pub held_back_requests: Option<u64>,
    /// Requests needed on each.
    pub need: u64,
    /// What made the comparison unusable, if something did.
    pub unsound: Vec<Missing>,
}

/// A watch that keeps part of the sessions on the old version as a concurrent control.
///
/// It goes on with the canary's own judge: one process, one bound on false alarms over canary and watch together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HoldBackWatch {
    judge: Judge,
    until_millis: u64,
    min_requests: u64,
    requests_before: u64,
    canary_requests_before: u64,
}

impl HoldBackWatch {
    /// Watches from the judge's present time until `until_millis`; fewer than `min_requests` on either version are
    /// too few to call it passed.
    #[must_use]
    pub fn new(judge: Judge, until_millis: u64, min_requests: u64) -> Self {
        let (requests_before, canary_requests_before) = judge.requests();
        HoldBackWatch { judge, until_millis, min_requests, requests_before, canary_requests_before }
    }

    /// Takes one observation and says what to do now.
    pub fn observe(&mut self, observation: &Observation) -> WatchVerdict {
        let verdict = self.judge.observe(observation);
        self.translate(verdict)
    }

    /// Tells the watch the time when there is no traffic to tell it.
    pub fn tick(&mut self, now_millis: u64) -> WatchVerdict {
        let verdict = self.judge.tick(now_millis);
        self.translate(verdict)
    }

    /// The judge, with everything counted since the canary began.
    #[must_use]
    pub fn judge(&self) -> &Judge {
        &self.judge
    }

    fn translate(&self, verdict: Verdict) -> WatchVerdict {
        if let Verdict::Rollback(harm) = verdict {
            return WatchVerdict::Rollback(Alarm::Harm(harm));
        }
        if self.judge.now_millis() < self.until_millis {
            return WatchVerdict::Continue;
        }
        let (requests, canary_requests) = self.judge.requests();
        let new_requests = canary_requests.saturating_sub(self.canary_requests_before);
        let held_back = requests.saturating_sub(self.requests_before).saturating_sub(new_requests);
        let mut unsound = self.judge.shortfall().missing;
        unsound.retain(|missing| {
            matches!(
                missing,
                Missing::SplitMismatch { .. } | Missing::Misrouted { .. } | Missing::Suspicion { .. }
            )
        });
        if unsound.is_empty() && new_requests.min(held_back) >= self.min_requests {
            return WatchVerdict::Passed;
        }
        let held_back_requests = Some(held_back);
        WatchVerdict::Inconclusive(WatchGap {
            new_requests,
            held_back_requests,
            need: self.min_requests,
            unsound,
        })
    }
}

/// How the burn rate is watched. The default is the page-worthy alert of the SRE Workbook: 14.4 times the budget over
/// both one hour and five minutes, for an objective of 99.9%.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BurnRateConfig {
    /// The part of requests that must succeed, strictly between 0 and 1.
    pub objective: f64,
    /// How many times faster than the objective allows the budget may burn.
    pub factor: f64,
    /// The long window.
    pub long_seconds: u64,
    /// The short window, which ends the alarm soon after the trouble.
    pub short_seconds: u64,
    /// No alarm with fewer bad requests in the short window: one error at night is not an incident.
    pub min_bad: u64,
}

impl Default for BurnRateConfig {
    fn default() -> Self {
        BurnRateConfig { objective: 0.999, factor: 14.4, long_seconds: 3_600, short_seconds: 300, min_bad: 5 }
    }
}

/// Why the burn rate cannot be watched this way.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum BurnRateError {
    /// The objective leaves no budget, or nothing but budget.
    #[error("objective {0} is not strictly between 0 and 1; give 0.999 for three nines")]
    Objective(f64),
    /// The factor could never be exceeded, or always is.
    #[error(
        "a burn rate of {factor} at this objective asks for an error rate of {rate}; keep it above 0 and below 1"
    )]
    Factor {
        /// The factor.
        factor: f64,
        /// The error rate it stands for.
        rate: f64,
    },
    /// The windows do not nest.
    #[error(
        "the short window ({short_seconds} s) must be at least 1 s, and no longer than the long one ({long_seconds} s), which is at most a week"
    )]
    Windows {
        /// The short window.
        short_seconds: u64,
        /// The long window.
        long_seconds: u64,
    },
}

/// The burn rates that set off an alarm, as multiples of what the objective allows.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Burn {
    /// Over the long window.
    pub long: f64,
    /// Over the short window.
    pub short: f64,
    /// Bad requests in the short window.
    pub bad: u64,
}

/// The fallback without a control group: absolute error rates over two windows. It has **no** bound on false alarms:
/// an outage of something shared sets it off as surely as a bad release.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BurnRateWatch {
    config: BurnRateConfig,
    until_millis: u64,
    min_requests: u64,
    requests: u64,
    bucket_millis: u64,
    now_millis: u64,
    buckets: VecDeque<Bucket>,
    alarm: Option<Burn>,
}

/// The buckets of one long window; memory is bounded by this.
const BUCKETS: u64 = 360;

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Bucket {
    number: u64,
    requests: u64,
    bad: u64,
}

impl BurnRateWatch {
    /// Watches until `until_millis`; fewer than `min_requests` are too few to call it passed.
    ///
    /// # Errors
    /// When the configuration makes no sense.
    pub fn new(config: BurnRateConfig, until_millis: u64, min_requests: u64) -> Result<Self, BurnRateError> {
        if !(config.objective > 0.0 && config.objective < 1.0) {
            return Err(BurnRateError::Objective(config.objective));
        }
        let rate = config.factor * (1.0 - config.objective);
        if !(rate > 0.0 && rate < 1.0) {
            return Err(BurnRateError::Factor { factor: config.factor, rate });
        }
        let BurnRateConfig { short_seconds, long_seconds, .. } = config;
        if short_seconds == 0 || short_seconds > long_seconds || long_seconds > 604_800 {
            return Err(BurnRateError::Windows { short_seconds, long_seconds });
        }
        let bucket_millis = (long_seconds * 1000).div_ceil(BUCKETS).min(short_seconds * 1000).max(1);
        let (requests, now_millis, alarm) = (0, 0, None);
        let buckets = VecDeque::new();
        Ok(BurnRateWatch {
            config,
            until_millis,
            min_requests,
            requests,
            bucket_millis,
            now_millis,
            buckets,
            alarm,
        })
    }

    /// Takes one request to the new version and says what to do now.
    pub fn observe(&mut self, at_millis: u64, bad: bool) -> WatchVerdict {
        self.advance(at_millis);
        self.requests = self.requests.saturating_add(1);
        let number = at_millis / self.bucket_millis.max(1);
        // Buckets are in order; a late request looks for its own from the back, and one older than the window is over.
        let place = self.buckets.iter().rposition(|bucket| bucket.number <= number);
        let bucket = match place {
            Some(place) if self.buckets[place].number == number => self.buckets.get_mut(place),
            found => {
                let place = found.map_or(0, |place| place + 1);
                if number >= self.oldest_in(self.config.long_seconds) {
                    self.buckets.insert(place, Bucket { number, requests: 0, bad: 0 });
                    self.buckets.get_mut(place)
                } else {
                    None
                }
            }
        };
        if let Some(bucket) = bucket {
            bucket.requests = bucket.requests.saturating_add(1);
            bucket.bad = bucket.bad.saturating_add(u64::from(bad));
        }
        if bad && self.alarm.is_none() {
            self.alarm = self.burning();
        }
        self.verdict()
    }

    /// Tells the watch the time when there is no traffic to tell it.
    pub fn tick(&mut self, now_millis: u64) -> WatchVerdict {
        self.advance(now_millis);
        self.verdict()
    }

    fn advance(&mut self, at_millis: u64) {
        self.now_millis = self.now_millis.max(at_millis);
        let oldest = self.oldest_in(self.config.long_seconds);
        while self.buckets.front().is_some_and(|bucket| bucket.number < oldest) {
            self.buckets.pop_front();
        }
    }

    fn oldest_in(&self, seconds: u64) -> u64 {
        let bucket_millis = self.bucket_millis.max(1);
        (self.now_millis / bucket_millis)
            .saturating_add(1)
            .saturating_sub(seconds.saturating_mul(1000).div_ceil(bucket_millis))
    }

    fn burning(&self) -> Option<Burn> {
        let allowed = 1.0 - self.config.objective;
        let over = |seconds: u64| {
            let oldest = self.oldest_in(seconds);
            let inside = self.buckets.iter().rev().take_while(|bucket| bucket.number >= oldest);
            let (requests, bad) = inside.fold((0_u64, 0_u64), |(requests, bad), bucket| {
                (requests.saturating_add(bucket.requests), bad.saturating_add(bucket.bad))
            });
            (bad as f64 / requests.max(1) as f64 / allowed, bad)
        };
        let ((long, _), (short, bad)) = (over(self.config.long_seconds), over(self.config.short_seconds));
        (long > self.config.factor && short > self.config.factor && bad >= self.config.min_bad)
            .then_some(Burn { long, short, bad })
    }

    fn verdict(&self) -> WatchVerdict {
        if let Some(burn) = self.alarm {
            return WatchVerdict::Rollback(Alarm::Burn(burn));
        }
        if self.now_millis < self.until_millis {
            return WatchVerdict::Continue;
        }
        if self.requests >= self.min_requests {
            return WatchVerdict::Passed;
        }
        let need = self.min_requests;
        WatchVerdict::Inconclusive(WatchGap {
            new_requests: self.requests,
            held_back_requests: None,
            need,
            unsound: Vec::new(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3_600_000;

    fn watch() -> BurnRateWatch {
        BurnRateWatch::new(BurnRateConfig::default(), HOUR, 100).unwrap()
    }

    #[test]
    fn burning_budget_brings_the_old_version_back() {
        let mut watch = watch();
        for second in 0..600 {
            assert_eq!(watch.observe(second * 1000, false), WatchVerdict::Continue);
        }
        let verdicts: Vec<_> =
            (600..1_200).map(|second| watch.observe(second * 1000, second % 10 == 0)).collect();
        let first =
            verdicts.iter().position(|v| matches!(v, WatchVerdict::Rollback(Alarm::Burn(_)))).unwrap();
        assert!(first < 300, "after {first} s");
        assert!(matches!(verdicts.last(), Some(WatchVerdict::Rollback(_))), "an alarm stays");
    }

    #[test]
    fn old_trouble_outside_the_short_window_does_not_alarm_alone() {
        let mut watch = watch();
        for n in 0..4 {
            watch.observe(n, true);
        }
        // One more bad request much later: the hour is over budget, the last five minutes hold one bad request only.
        assert_eq!(watch.observe(1_800_000, true), WatchVerdict::Continue);
    }

    #[test]
    fn single_error_at_night_is_no_incident() {
        assert_eq!(watch().observe(5, true), WatchVerdict::Continue);
    }

    #[test]
    fn quiet_hour_passes_and_silence_is_unknown() {
        let mut quiet = watch();
        for second in 0..3_600 {
            quiet.observe(second * 1000, false);
        }
        assert_eq!(quiet.tick(HOUR), WatchVerdict::Passed);
        assert!(matches!(watch().tick(HOUR), WatchVerdict::Inconclusive(gap) if gap.new_requests == 0));
    }

    #[test]
    fn memory_stays_bounded_and_late_requests_find_their_place() {
        let mut watch = watch();
        for n in 0..50_000_u64 {
            let at = (n * 7_919) % (20 * HOUR);
            watch.observe(at, false);
            assert!(watch.buckets.len() <= 361);
            assert!(watch.buckets.iter().is_sorted_by_key(|bucket| bucket.number));
        }
        watch.observe(u64::MAX, true);
        assert!(watch.buckets.len() <= 1);
    }

    #[test]
    fn senseless_burn_rates_are_refused() {
        let refused = |change: fn(&mut BurnRateConfig)| {
            let mut config = BurnRateConfig::default();
            change(&mut config);
            BurnRateWatch::new(config, HOUR, 1).unwrap_err()
        };
        assert!(matches!(refused(|c| c.objective = 1.0), BurnRateError::Objective(_)));
        assert!(matches!(refused(|c| c.factor = 1_000.0), BurnRateError::Factor { .. }));
        assert!(matches!(refused(|c| c.factor = f64::NAN), BurnRateError::Factor { .. }));
        assert!(matches!(refused(|c| c.short_seconds = 0), BurnRateError::Windows { .. }));
        assert!(matches!(refused(|c| c.long_seconds = 10), BurnRateError::Windows { .. }));
    }
}
