//! Owns the forecast before any traffic: how long until a verdict, with what power.
//! Must count with the judge's own boundaries, never with a textbook approximation of them.

use serde::{Deserialize, Serialize};

use crate::config::{ConfigError, JudgeConfig};
use crate::ratio::{RatioGrid, RatioProcess};
use crate::safety::clean_sessions_needed;
use crate::session::{Share, Version};

/// Bad events that the forecast follows; beyond them its power is a lower bound. So many show any harm worth the name.
const MAX_EVENTS: usize = 50_000;
/// Paths less likely than this are let go of; all of them together stay far below any digit shown.
const UNLIKELY: f64 = 1e-15;
/// Bad sessions that the forecast of the certificate follows.
const MAX_BAD: u64 = 400;
/// A canary that misses the harm more often than one time in five cannot tell.
pub const POWER_WANTED: f64 = 0.8;

/// The traffic and the harm that a canary is planned for.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlanInput {
    /// Requests a second to both versions together.
    pub requests_per_second: f64,
    /// Requests in a session; 1 where every request stands alone.
    pub requests_per_session: f64,
    /// The part of stable's requests that fail.
    pub base_error_rate: f64,
    /// The part of the canary's requests that fail in the harm to be found.
    pub harm_error_rate: f64,
    /// The canary's share.
    pub share: Share,
    /// How long the canary may run.
    pub horizon_seconds: f64,
}

/// Numbers that no canary can be planned for.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum PlanError {
    /// A number out of its range.
    #[error("{field} is {value}; {expected}")]
    OutOfRange {
        /// The field.
        field: &'static str,
        /// What it was.
        value: f64,
        /// What it should be.
        expected: &'static str,
    },
    /// The judge could not run with this configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// No such metric.
    #[error("there is no metric {0} in the configuration")]
    NoSuchMetric(usize),
}

/// What to expect of a canary.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// New sessions a second on the canary.
    pub canary_sessions_per_second: f64,
    /// If the harm is there.
    pub detection: Detection,
    /// If it is not; `None` when the metric certifies nothing or the base rate is at the limit or above.
    pub promotion: Option<Promotion>,
    /// What such a canary is worth.
    pub worth: Worth,
}

/// When harm is found.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Detection {
    /// Probability of a rollback within the horizon. A lower bound where more than 50,000 failures are expected.
    pub power: f64,
    /// Seconds until half of such canaries are rolled back; `None` if fewer are within the horizon.
    pub median_seconds: Option<f64>,
    /// Seconds until nine in ten are.
    pub p90_seconds: Option<f64>,
}

/// When a sound canary is proven so.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Promotion {
    /// Clean sessions needed if none goes bad.
    pub clean_sessions: u64,
    /// Seconds until half of such canaries are proven, with settling and the configured bake time.
    pub median_seconds: f64,
    /// Seconds until nine in ten are; `None` if that many never are, at this base rate.
    pub p90_seconds: Option<f64>,
}

/// What a canary at this traffic is worth.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Worth {
    /// It finds the harm and proves its absence within the horizon.
    Tells,
    /// It finds the harm, but cannot prove its absence in time.
    FindsHarmOnly,
    /// It proves safety in time, but would mostly miss the harm.
    ProvesSafetyOnly,
    /// It can tell nothing within the horizon: extend it, raise the share, send probes, or deploy without one.
    CannotTell,
}

impl PlanInput {
    /// Forecasts a canary on one metric of `config`. Failures within a session are taken as independent; if they are
    /// not, sessions fail less often than assumed, and both verdicts take longer.
    ///
    /// # Errors
    /// When a number is out of range, the configuration is invalid, or the metric does not exist.
    pub fn plan(&self, config: &JudgeConfig, metric: usize) -> Result<Plan, PlanError> {
        self.validate()?;
        config.validate()?;
        let settings = config.metrics.get(metric).ok_or(PlanError::NoSuchMetric(metric))?;
        let sessions = self.requests_per_second / self.requests_per_session;
        let on_canary = sessions * self.share.get();
        let bad_session = |rate: f64| -(self.requests_per_session * (-rate).ln_1p()).exp_m1();
        let (base, harm) = (bad_session(self.base_error_rate), bad_session(self.harm_error_rate));
        let w = self.share.get();

        // Other metrics' stakes and the ones kept for later epochs are counted as lost: the forecast is conservative.
        let stake = config.scaled_weight(metric) * config.first_stake;
        let goal = -(config.rollback_alpha * stake).ln();
        let (canary_rate, stable_rate) = (on_canary * harm, (sessions - on_canary) * base);
        let race = Race { share: self.share, tolerance: settings.tolerance, goal };
        let detection = race.detection(canary_rate, stable_rate, self.horizon_seconds);

        let limit = settings.certify_below.filter(|limit| base < *limit);
        let promotion = limit.and_then(|limit| {
            let sessions = proof_sessions(limit, base, config.promote_alpha)?;
            let bake = config.min_bake_seconds as f64;
            let requests = config.min_canary_requests as f64 / (self.requests_per_second * w);
            let seconds = |n: f64| (n / on_canary + config.settle_seconds as f64).max(bake).max(requests);
            Some(Promotion {
                clean_sessions: clean_sessions_needed(limit, 0, config.promote_alpha)?,
                median_seconds: seconds(sessions.median?),
                p90_seconds: sessions.p90.map(seconds),
            })
        });
        let finds = detection.power >= POWER_WANTED;
        let proves = promotion.is_some_and(|p| p.median_seconds <= self.horizon_seconds);
        let worth = match (finds, proves) {
            (true, true) => Worth::Tells,
            (true, false) => Worth::FindsHarmOnly,
            (false, true) => Worth::ProvesSafetyOnly,
            (false, false) => Worth::CannotTell,
        };
        Ok(Plan { canary_sessions_per_second: on_canary, detection, promotion, worth })
    }

    /// The smallest share among `shares` at which the canary tells both, if there is one.
    ///
    /// # Errors
    /// As [`Self::plan`].
    pub fn smallest_telling_share(
        &self,
        config: &JudgeConfig,
        metric: usize,
        shares: &[Share],
    ) -> Result<Option<Share>, PlanError> {
        let mut ascending = shares.to_vec();
        ascending.sort_by(|a, b| a.get().total_cmp(&b.get()));
        for share in ascending.into_iter().filter(|share| share.splits()) {
            if matches!((PlanInput { share, ..*self }).plan(config, metric)?.worth, Worth::Tells) {
                return Ok(Some(share));
            }
        }
        Ok(None)
    }

    fn validate(&self) -> Result<(), PlanError> {
        let positive = "give a number above 0 and below 1e12";
        let rate = "give a part of all requests from 0 up to, but not including, 1";
        let in_range = |n: f64| n > 0.0 && n < 1e12;
        let checks = [
            ("requests_per_second", self.requests_per_second, in_range(self.requests_per_second), positive),
            (
                "requests_per_session",
                self.requests_per_session,
                (1.0..1e6).contains(&self.requests_per_session),
                "a session has at least 1 request and fewer than a million",
            ),
            ("base_error_rate", self.base_error_rate, (0.0..1.0).contains(&self.base_error_rate), rate),
            ("harm_error_rate", self.harm_error_rate, (0.0..1.0).contains(&self.harm_error_rate), rate),
            ("horizon_seconds", self.horizon_seconds, in_range(self.horizon_seconds), positive),
            ("share", self.share.get(), self.share.splits(), "a comparison needs sessions on both versions"),
        ];
        match checks.into_iter().find(|(_, _, fine, _)| !fine) {
            Some((field, value, _, expected)) => Err(PlanError::OutOfRange { field, value, expected }),
            None => Ok(()),
        }
    }
}

/// Failures of both versions racing for the judge's boundary.
struct Race {
    share: Share,
    tolerance: f64,
    goal: f64,
}

impl Race {
    /// The exact distribution of the failures needed, by stepping through the boundary, turned into times by taking
    /// failures as a Poisson stream.
    fn detection(&self, canary_rate: f64, stable_rate: f64, horizon: f64) -> Detection {
        let total = canary_rate + stable_rate;
        if total <= 0.0 || canary_rate <= 0.0 {
            return Detection { power: 0.0, median_seconds: None, p90_seconds: None };
        }
        let crossed_at = self.crossing_distribution(canary_rate / total, total * horizon);
        let by = |seconds: f64| crossed_by(&crossed_at, total * seconds);
        let power = by(horizon).min(1.0);
        let when = |wanted: f64| {
            if power < wanted {
                return None;
            }
            let (mut low, mut high) = (0.0, horizon);
            for _ in 0..40 {
                let middle = 0.5 * (low + high);
                if by(middle) >= wanted { high = middle } else { low = middle }
            }
            Some(high)
        };
        Detection { power, median_seconds: when(0.5), p90_seconds: when(0.9) }
    }

    /// Probability that the n-th failure is the one that crosses, for each n, when a failure is the canary's with
    /// probability `canary`.
    fn crossing_distribution(&self, canary: f64, expected: f64) -> Vec<f64> {
        // Failures beyond the mean by more than ten standard deviations do not happen within the horizon.
        let events = ((expected + 10.0 * expected.sqrt() + 20.0) as usize).min(MAX_EVENTS);
        let boundary = self.boundary(events);
        let mut crossed_at = vec![0.0; events + 1];
        // alive[b]: probability of b stable failures so far and no crossing yet. All but a narrow band is as good as 0.
        let mut alive = vec![0.0; events + 2];
        alive[0] = 1.0;
        let (mut low, mut high) = (0, 0);
        for (n, crossed) in crossed_at.iter_mut().enumerate().skip(1) {
            high += 1;
            for stable in (low..=high).rev() {
                let from_stable = if stable > low { alive[stable - 1] * (1.0 - canary) } else { 0.0 };
                let here = from_stable + alive[stable] * canary;
                alive[stable] = if n - stable >= boundary[stable] {
                    *crossed += here;
                    0.0
                } else {
                    here
                };
            }
            while low < high && alive[low] < UNLIKELY {
                alive[low] = 0.0;
                low += 1;
            }
            while high > low && alive[high] < UNLIKELY {
                alive[high] = 0.0;
                high -= 1;
            }
        }
        crossed_at
    }

    /// For each number of stable failures, the canary failures at which the judge rolls back.
    fn boundary(&self, events: usize) -> Vec<usize> {
        let grid = RatioGrid::harm(self.tolerance);
        let mut process = RatioProcess::new(grid, self.tolerance);
        let mut boundary = Vec::with_capacity(events + 1);
        let mut canary = 0;
        for stable in 0..=events {
            if stable > 0 {
                process.record(self.share, Version::Stable, 1);
            }
            // A stable failure never lowers the number of canary failures needed, so the search goes on from here.
            while process.log_e() < self.goal && canary <= events {
                process.record(self.share, Version::Canary, 1);
                canary += 1;
            }
            boundary.push(canary);
        }
        boundary
    }
}

/// Probability of having crossed when the number of failures so far is Poisson with this mean.
fn crossed_by(crossed_at: &[f64], mean: f64) -> f64 {
    // P(N >= n), from the pmf in log space, started at the mode's side that is always representable.
    let log_mean = mean.ln();
    let mut log_pmf = -mean;
    let mut below = 0.0;
    let mut sum = 0.0;
    for (n, probability) in crossed_at.iter().enumerate() {
        sum += probability * (1.0_f64 - below).max(0.0);
        below += log_pmf.exp();
        log_pmf += log_mean - ((n + 1) as f64).ln();
    }
    sum
}

struct ProofSessions {
    median: Option<f64>,
    p90: Option<f64>,
}

/// The distribution of the sessions that the certificate takes when each goes bad with probability `base`.
///
/// With `bad` bad sessions the proof completes at a fixed number of clean ones, so it is enough to look at those
/// numbers: who has not crossed there with that many bad ones or fewer has more.
fn proof_sessions(limit: f64, base: f64, alpha: f64) -> Option<ProofSessions> {
    let mut unproven = vec![1.0];
    let (mut clean_so_far, mut proven) = (0_u64, 0.0);
    let mut found = ProofSessions { median: None, p90: None };
    for bad in 0..=MAX_BAD {
        let clean = clean_sessions_needed(limit, bad, alpha)?;
        // Bad sessions while `clean - clean_so_far` more stay clean: negative binomial.
        unproven = with_more_bad(&unproven, clean - clean_so_far, base, MAX_BAD as usize + 2);
        clean_so_far = clean;
        proven += std::mem::take(unproven.get_mut(bad as usize)?);
        let sessions = (clean + bad) as f64;
        if proven >= 0.5 && found.median.is_none() {
            found.median = Some(sessions);
        }
        if proven >= 0.9 {
            found.p90 = Some(sessions);
            break;
        }
    }
    Some(found)
}

fn with_more_bad(before: &[f64], clean: u64, base: f64, longest: usize) -> Vec<f64> {
    let clean = clean as f64;
    let mut log_pmf = clean * (-base).ln_1p();
    let mut added = Vec::new();
    for extra in 0..longest {
        added.push(log_pmf.exp());
        let next = (clean + extra as f64) / (extra as f64 + 1.0) * base;
        if next <= 0.0 || (next < 1.0 && log_pmf < -46.0) {
            break;
        }
        log_pmf += next.ln();
    }
    let mut after = vec![0.0; longest];
    for (have, probability) in before.iter().enumerate().filter(|(_, p)| **p > 0.0) {
        for (extra, chance) in added.iter().enumerate() {
            if let Some(slot) = after.get_mut(have + extra) {
                *slot += probability * chance;
            }
        }
    }
    after
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input() -> PlanInput {
        PlanInput {
            requests_per_second: 10.0,
            requests_per_session: 1.0,
            base_error_rate: 0.005,
            harm_error_rate: 0.1,
            share: Share::new(0.1).unwrap(),
            horizon_seconds: 3_600.0,
        }
    }

    fn plan(change: impl FnOnce(&mut PlanInput)) -> Plan {
        let mut input = input();
        change(&mut input);
        let config = JudgeConfig { min_bake_seconds: 0, ..JudgeConfig::default() };
        input.plan(&config, 0).unwrap()
    }

    #[test]
    fn plain_harm_is_found_within_seconds_and_safety_within_minutes() {
        let plan = plan(|_| ());
        assert!(plan.detection.power > 0.999, "{plan:?}");
        assert!(plan.detection.median_seconds.unwrap() < 60.0, "{plan:?}");
        let promotion = plan.promotion.unwrap();
        assert_eq!(promotion.clean_sessions, 354);
        assert!(promotion.median_seconds > 354.0, "{plan:?}");
        assert_eq!(plan.worth, Worth::Tells);
    }

    #[test]
    fn canary_at_one_request_a_minute_cannot_tell() {
        assert_eq!(plan(|p| p.requests_per_second = 1.0 / 60.0).worth, Worth::CannotTell);
    }

    #[test]
    fn base_rate_above_the_limit_can_never_be_certified() {
        let plan = plan(|p| p.base_error_rate = 0.02);
        assert_eq!(plan.promotion, None);
        assert_eq!(plan.worth, Worth::FindsHarmOnly);
    }

    #[test]
    fn harm_no_worse_than_the_base_is_found_no_more_often_than_alpha() {
        let plan = plan(|p| p.harm_error_rate = p.base_error_rate);
        assert!(plan.detection.power <= 0.01, "{plan:?}");
    }

    #[test]
    fn more_traffic_never_lowers_the_power_while_the_forecast_is_exact() {
        let powers = [0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 300.0].map(|rps| {
            plan(|p| {
                p.requests_per_second = rps;
                p.harm_error_rate = 0.01;
            })
            .detection
            .power
        });
        assert!(powers.is_sorted() && powers[6] > 0.999, "{powers:?}");
    }

    #[test]
    fn small_harm_at_high_traffic_is_found() {
        let plan = plan(|p| {
            p.requests_per_second = 1_000.0;
            p.harm_error_rate = 0.0065;
        });
        assert!(plan.detection.power > 0.99, "{plan:?}");
        assert!(plan.detection.p90_seconds.unwrap() < 3_600.0);
    }

    #[test]
    fn share_is_raised_until_the_canary_tells() {
        let shares = [0.01, 0.05, 0.1, 0.25, 0.5].map(|w| Share::new(w).unwrap());
        let config = JudgeConfig { min_bake_seconds: 0, ..JudgeConfig::default() };
        let small = PlanInput { requests_per_second: 1.0, base_error_rate: 0.002, ..input() };
        assert_eq!(small.smallest_telling_share(&config, 0, &shares).unwrap(), Some(shares[3]));
        let none = PlanInput { requests_per_second: 0.001, ..input() };
        assert_eq!(none.smallest_telling_share(&config, 0, &shares).unwrap(), None);
    }

    #[test]
    fn sessions_of_many_requests_fail_more_often_than_requests() {
        let plan = plan(|p| {
            p.requests_per_session = 20.0;
            p.base_error_rate = 0.0001;
        });
        assert!((plan.canary_sessions_per_second - 0.05).abs() < 1e-12);
        assert!(plan.detection.power > 0.99, "{plan:?}");
    }

    #[test]
    fn nonsense_is_refused_by_name() {
        let config = JudgeConfig::default();
        let refused = |input: PlanInput| match input.plan(&config, 0) {
            Err(PlanError::OutOfRange { field, .. }) => field,
            other => panic!("{other:?}"),
        };
        assert_eq!(refused(PlanInput { requests_per_second: f64::NAN, ..input() }), "requests_per_second");
        assert_eq!(refused(PlanInput { requests_per_session: 0.5, ..input() }), "requests_per_session");
        assert_eq!(refused(PlanInput { harm_error_rate: 1.0, ..input() }), "harm_error_rate");
        assert_eq!(refused(PlanInput { horizon_seconds: 0.0, ..input() }), "horizon_seconds");
        assert_eq!(refused(PlanInput { share: Share::ALL, ..input() }), "share");
        assert_eq!(input().plan(&config, 7), Err(PlanError::NoSuchMetric(7)));
    }
}
