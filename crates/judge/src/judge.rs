//! Owns the judgement: takes observations one by one and says after each what to do.
//! Must stay pure: no clock, no I/O, no randomness, and no panic on any input.

use serde::{Deserialize, Serialize};

use crate::config::{ConfigError, JudgeConfig};
use crate::observation::{MetricSet, Observation};
use crate::ratio::{RatioGrid, RatioProcess, log_sum_exp};
use crate::safety::{SafetyProcess, clean_sessions_needed};
use crate::sample::{Admission, SessionSample};
use crate::session::Version;
use crate::split::SplitCheck;
use crate::trial::{RateMeter, Trial};
use crate::verdict::{Certificate, Evidence, Harm, Missing, Proof, Shortfall, Verdict, capped_exp};

/// Misrouted requests up to this part of all are taken for a share change under way.
const MISROUTED_ALLOWED: f64 = 0.01;
const MISROUTED_NOTICED: u64 = 20;
const STATE_SCHEMA: u32 = 1;

/// The judge of one canary. Its state is serializable, so a daemon can stop and go on; a state that does not fit
/// together is refused on the way in.
///
/// Memory is bounded by [`JudgeConfig::max_sessions`] and [`JudgeConfig::max_bad_sessions`] however long it runs.
/// At the bound a random part of the sessions is judged instead of all of them: every error bound still holds, and
/// verdicts take longer. [`Evidence::one_session_in`] says how large that part is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "State", into = "State")]
pub struct Judge(State);

/// Why a stored judge cannot go on.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum StateError {
    /// Written by another release.
    #[error(
        "the judge's state has format {found}, this program reads format {STATE_SCHEMA}; start the canary anew"
    )]
    Schema {
        /// The format found.
        found: u32,
    },
    /// The configuration in it is unusable.
    #[error("the judge's state holds a configuration it cannot judge with: {0}")]
    Config(#[from] ConfigError),
    /// Its parts contradict each other.
    #[error("the judge's state is damaged: {0}; start the canary anew, the evidence in it cannot be trusted")]
    Damaged(&'static str),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct State {
    schema: u32,
    config: JudgeConfig,
    started_millis: Option<u64>,
    now_millis: u64,
    epoch: u64,
    metrics: Vec<MetricState>,
    trial: Trial,
    split: SplitCheck,
    log_e: f64,
    peak_log_e: f64,
    harm: Option<Harm>,
    requests: u64,
    canary_requests: u64,
    misrouted: u64,
    session_rate: RateMeter,
    request_rate: RateMeter,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct MetricState {
    log_weight: f64,
    process: RatioProcess,
    counted: SessionSample<()>,
    canary_bad: u64,
    stable_bad: u64,
    canary_bad_expected: f64,
    log_e: f64,
    safety: Option<SafetyProcess>,
    proven: bool,
}

impl Judge {
    /// Starts a judge with nothing seen.
    ///
    /// # Errors
    /// When the configuration cannot be honoured.
    pub fn new(config: JudgeConfig) -> Result<Self, ConfigError> {
        config.validate()?;
        let metrics = config
            .metrics
            .iter()
            .enumerate()
            .map(|(place, metric)| MetricState {
                log_weight: config.scaled_weight(place).ln(),
                process: RatioProcess::with_restarts(
                    RatioGrid::harm(metric.tolerance),
                    metric.tolerance,
                    config.first_stake,
                ),
                counted: SessionSample::new(config.max_bad_sessions),
                canary_bad: 0,
                stable_bad: 0,
                canary_bad_expected: 0.0,
                log_e: 0.0,
                safety: metric.certify_below.map(SafetyProcess::new),
                proven: false,
            })
            .collect();
        Ok(Judge(State {
            schema: STATE_SCHEMA,
            started_millis: None,
            now_millis: 0,
            epoch: 0,
            metrics,
            trial: Trial::new(config.settle_seconds.saturating_mul(1000), config.max_sessions),
            split: SplitCheck::new(config.max_sessions),
            log_e: 0.0,
            peak_log_e: 0.0,
            harm: None,
            requests: 0,
            canary_requests: 0,
            misrouted: 0,
            session_rate: RateMeter::starting_at(0),
            request_rate: RateMeter::starting_at(0),
            config,
        }))
    }

    /// Takes one observation and says what to do now. Observations may come late or out of order; time goes forward
    /// with the latest one seen.
    pub fn observe(&mut self, observation: &Observation) -> Verdict {
        self.0.observe(observation);
        self.0.verdict()
    }

    /// Tells the judge the time when there is no traffic to tell it.
    pub fn tick(&mut self, now_millis: u64) -> Verdict {
        self.0.pass_time(now_millis);
        self.0.verdict()
    }

    /// The verdict as of the last observation.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        self.0.verdict()
    }

    /// Asks for a decision now: like [`Self::tick`], but never [`Verdict::Continue`]. No data is no promotion.
    pub fn conclude(&mut self, now_millis: u64) -> Verdict {
        match self.tick(now_millis) {
            Verdict::Continue => Verdict::Inconclusive(self.shortfall()),
            decided => decided,
        }
    }

    /// What still stands between the canary and its promotion, and how long that would take at the present rate.
    #[must_use]
    pub fn shortfall(&self) -> Shortfall {
        self.0.shortfall()
    }

    /// The configuration it judges by.
    #[must_use]
    pub fn config(&self) -> &JudgeConfig {
        &self.0.config
    }

    /// Natural logarithm of the e-value of harm over all metrics.
    #[must_use]
    pub fn log_e(&self) -> f64 {
        self.0.log_e
    }

    /// Anytime-valid p-value of "the canary is no worse": one over the largest e-value so far.
    #[must_use]
    pub fn p_value(&self) -> f64 {
        self.0.p_value()
    }

    /// What was counted on a metric; `None` for a place that does not exist.
    #[must_use]
    pub fn evidence(&self, metric: usize) -> Option<Evidence> {
        self.0.metrics.get(metric).map(|m| self.0.evidence(m))
    }

    /// Requests seen, and how many of them the canary served.
    #[must_use]
    pub fn requests(&self) -> (u64, u64) {
        (self.0.requests, self.0.canary_requests)
    }

    /// The latest time it was told, in milliseconds.
    #[must_use]
    pub fn now_millis(&self) -> u64 {
        self.0.now_millis
    }
}

impl State {
    fn observe(&mut self, observation: &Observation) {
        self.pass_time(observation.at_millis);
        self.requests = self.requests.saturating_add(1);
        let Observation { session, version, share, .. } = *observation;
        // A request that went elsewhere than its session's place says, such as a tester's with a header, is not part
        // of the random split and proves nothing.
        if session.version_at(share) != version {
            self.misrouted = self.misrouted.saturating_add(1);
            return;
        }
        let bad = self.bad_metrics(observation);
        self.split.observe(session, version, share, self.config.split_alpha);
        if version == Version::Canary {
            self.canary_requests = self.canary_requests.saturating_add(1);
            self.request_rate.count(self.now_millis);
            self.try_session(session.mark(), bad);
        }
        if share.splits() && !bad.is_empty() {
            self.count_harm(observation, bad);
        }
    }

    fn pass_time(&mut self, at_millis: u64) {
        let started = *self.started_millis.get_or_insert_with(|| {
            self.session_rate = RateMeter::starting_at(at_millis);
            self.request_rate = RateMeter::starting_at(at_millis);
            at_millis
        });
        self.now_millis = self.now_millis.max(at_millis);
        let epoch = (self.now_millis - started.min(self.now_millis))
            / 1000
            / self.config.restart_every_seconds.max(1);
        if epoch > self.epoch {
            self.epoch = epoch;
            // Moving a stake from the purse to the table leaves the total as it is, so `log_e` need not be redone.
            for metric in &mut self.metrics {
                metric.process.advance_to_epoch(epoch);
            }
        }
        while let Some(bad) = self.trial.settle_one(self.now_millis) {
            for (place, metric) in self.metrics.iter_mut().enumerate() {
                if let Some(safety) = metric.safety.as_mut().filter(|_| !bad.contains(place)) {
                    safety.record_clean(1);
                    metric.proven = reaches(safety.log_e(), self.config.promote_alpha);
                }
            }
        }
    }

    fn bad_metrics(&self, observation: &Observation) -> MetricSet {
        let mut bad = MetricSet::EMPTY;
        for (place, metric) in self.config.metrics.iter().enumerate() {
            let slow = match (metric.slower_than_micros, observation.latency_micros) {
                (Some(limit), Some(took)) => took > limit,
                _ => false,
            };
            if slow || observation.bad.contains(place) {
                bad = bad.with(place);
            }
        }
        bad
    }

    fn try_session(&mut self, mark: u64, bad: MetricSet) {
        let seen = self.trial.observe(mark, self.now_millis, bad);
        if seen.new {
            self.session_rate.count(self.now_millis);
        }
        // A session that goes bad after it was counted clean counts as bad too: that can only delay a promotion.
        for place in seen.newly_bad.iter() {
            if let Some(metric) = self.metrics.get_mut(place)
                && let Some(safety) = &mut metric.safety
            {
                safety.record_bad(1);
                metric.proven = reaches(safety.log_e(), self.config.promote_alpha);
            }
        }
    }

    fn count_harm(&mut self, observation: &Observation, bad: MetricSet) {
        let mut counted = false;
        for place in bad.iter() {
            let Some(metric) = self.metrics.get_mut(place) else { continue };
            if !matches!(metric.counted.admit(observation.session.mark(), ()), Admission::New(())) {
                continue;
            }
            counted = true;
            metric.process.record(observation.share, observation.version, 1);
            metric.log_e = metric.process.log_e();
            metric.canary_bad_expected += observation.share.get();
            match observation.version {
                Version::Canary => metric.canary_bad = metric.canary_bad.saturating_add(1),
                Version::Stable => metric.stable_bad = metric.stable_bad.saturating_add(1),
            }
        }
        if !counted {
            return;
        }
        self.log_e = match self.metrics.as_slice() {
            [only] => only.log_e,
            several => {
                let mut terms = [f64::NEG_INFINITY; MetricSet::CAPACITY];
                for (term, metric) in terms.iter_mut().zip(several) {
                    *term = metric.log_weight + metric.log_e;
                }
                log_sum_exp(&terms[..several.len().min(MetricSet::CAPACITY)], f64::NEG_INFINITY)
            }
        };
        self.peak_log_e = self.peak_log_e.max(self.log_e);
        if self.harm.is_none() && reaches(self.log_e, self.config.rollback_alpha) {
            self.harm = self.worst_metric().map(|(metric, name)| Harm {
                metric: name.to_owned(),
                e_value: capped_exp(self.log_e),
                evidence: self.evidence(metric),
            });
        }
    }

    fn verdict(&self) -> Verdict {
        if let Some(harm) = &self.harm {
            return Verdict::Rollback(harm.clone());
        }
        if self.may_promote() {
            return Verdict::Promote(self.certificate());
        }
        let out_of_time =
            self.config.decide_within_seconds.is_some_and(|limit| self.elapsed_millis() / 1000 >= limit);
        // Without a sound split neither verdict can be reached any more, so waiting is pointless.
        if self.split.mismatch() || out_of_time {
            return Verdict::Inconclusive(self.shortfall());
        }
        Verdict::Continue
    }

    fn may_promote(&self) -> bool {
        self.metrics.iter().all(|m| m.safety.is_none() || m.proven)
            && self.canary_requests >= self.config.min_canary_requests
            && self.elapsed_millis() / 1000 >= self.config.min_bake_seconds
            && !self.suspicious()
            && !self.split.mismatch()
            && !self.misrouted_too_many()
    }

    fn suspicious(&self) -> bool {
        self.log_e >= self.config.suspicion.ln()
    }

    fn misrouted_too_many(&self) -> bool {
        self.misrouted >= MISROUTED_NOTICED
            && self.misrouted as f64 > MISROUTED_ALLOWED * self.requests as f64
    }

    fn elapsed_millis(&self) -> u64 {
        self.started_millis.map_or(0, |started| self.now_millis.saturating_sub(started))
    }

    fn p_value(&self) -> f64 {
        (-self.peak_log_e).exp().min(1.0)
    }

    fn worst_metric(&self) -> Option<(&MetricState, &str)> {
        let named = self.metrics.iter().zip(self.config.metrics.iter().map(|m| m.name.as_str()));
        named.max_by(|(a, _), (b, _)| (a.log_weight + a.log_e).total_cmp(&(b.log_weight + b.log_e)))
    }

    fn evidence(&self, metric: &MetricState) -> Evidence {
        Evidence {
            canary_bad: metric.canary_bad,
            stable_bad: metric.stable_bad,
            canary_bad_expected: metric.canary_bad_expected,
            likely_ratio: metric.process.likely_ratio(),
            log_e: self.log_e,
            p_value: self.p_value(),
            one_session_in: metric.counted.one_in(),
            after_millis: self.elapsed_millis(),
        }
    }

    fn certificate(&self) -> Certificate {
        let proven = self.metrics.iter().zip(&self.config.metrics).filter_map(|(metric, config)| {
            let safety = metric.safety.as_ref()?;
            Some(Proof {
                metric: config.name.clone(),
                limit: safety.limit(),
                clean: safety.clean(),
                bad: safety.bad(),
                log_e: safety.log_e(),
            })
        });
        Certificate {
            proven: proven.collect(),
            canary_requests: self.canary_requests,
            harm_e_value: capped_exp(self.log_e),
            after_millis: self.elapsed_millis(),
        }
    }

    fn shortfall(&self) -> Shortfall {
        let mut missing = Vec::new();
        // The longest wait so far; `None` once something will not come by waiting.
        let mut wait = Some(0.0_f64);
        let mut note = |what: Missing, seconds: Option<f64>| {
            missing.push(what);
            wait = wait.and_then(|so_far| seconds.map(|s| so_far.max(s)));
        };
        let (have, need) = (self.canary_requests, self.config.min_canary_requests);
        if have == 0 {
            note(Missing::NoCanaryTraffic, None);
        }
        if have < need {
            let rate = self.request_rate.per_second(self.now_millis);
            note(Missing::CanaryRequests { have, need }, time_for(need - have, rate));
        }
        for (metric, config) in self.metrics.iter().zip(&self.config.metrics) {
            let Some(safety) = metric.safety.as_ref().filter(|_| !metric.proven) else { continue };
            let (what, seconds) = self.missing_proof(&config.name, safety);
            note(what, seconds);
        }
        let bake_left = self.config.min_bake_seconds as f64 - self.elapsed_millis() as f64 / 1000.0;
        if bake_left > 0.0 {
            note(Missing::BakeTime { seconds_left: bake_left }, Some(bake_left));
        }
        if let Some((_, name)) = self.worst_metric().filter(|_| self.suspicious()) {
            note(Missing::Suspicion { metric: name.to_owned(), e_value: capped_exp(self.log_e) }, None);
        }
        if self.split.mismatch() {
            let (canary, sessions, expected) = self.split.tally();
            note(Missing::SplitMismatch { canary, sessions, expected }, None);
        }
        if self.misrouted_too_many() {
            note(Missing::Misrouted { requests: self.misrouted, of: self.requests }, None);
        }
        Shortfall { missing, seconds_at_present_rate: wait }
    }

    fn missing_proof(&self, name: &str, safety: &SafetyProcess) -> (Missing, Option<f64>) {
        let (clean, bad, limit) = (safety.clean(), safety.bad(), safety.limit());
        let settled = clean.saturating_add(bad) as f64;
        let seen = if settled > 0.0 { bad as f64 / settled } else { 0.0 };
        let metric = name.to_owned();
        // With fewer sessions than this a rate above the limit may well be chance.
        let enough_to_tell = settled >= 3.0 / limit;
        match clean_sessions_needed(limit, bad, self.config.promote_alpha) {
            Some(need) if !(enough_to_tell && seen >= limit) => {
                let rate = self.session_rate.per_second(self.now_millis) * (1.0 - seen);
                let seconds = time_for(need.saturating_sub(clean), rate)
                    .map(|seconds| seconds + self.config.settle_seconds as f64);
                (Missing::CleanSessions { metric, have: clean, need }, seconds)
            }
            _ => (Missing::RateAboveLimit { metric, seen, limit }, None),
        }
    }
}

/// Whether an e-value is at 1/alpha. Most are below 1, and then the logarithm is not needed.
fn reaches(log_e: f64, alpha: f64) -> bool {
    log_e > 0.0 && log_e >= -alpha.ln()
}

fn time_for(events: u64, per_second: f64) -> Option<f64> {
    (per_second > 0.0).then(|| events as f64 / per_second)
}

impl From<Judge> for State {
    fn from(judge: Judge) -> State {
        judge.0
    }
}

impl TryFrom<State> for Judge {
    type Error = StateError;

    fn try_from(state: State) -> Result<Self, StateError> {
        if state.schema != STATE_SCHEMA {
            return Err(StateError::Schema { found: state.schema });
        }
        state.config.validate()?;
        if state.metrics.len() != state.config.metrics.len() {
            return Err(StateError::Damaged("it counts other metrics than its configuration names"));
        }
        let metric_sound =
            |m: &MetricState| m.process.is_sound() && m.log_e.is_finite() && m.log_weight.is_finite();
        if !state.metrics.iter().all(metric_sound) || !state.split.is_sound() {
            return Err(StateError::Damaged("a stake is not a number"));
        }
        if !state.log_e.is_finite() || !state.peak_log_e.is_finite() {
            return Err(StateError::Damaged("the e-value is not a number"));
        }
        Ok(Judge(state))
    }
}
