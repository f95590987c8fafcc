//! Owns the proof that a canary is safe enough: an e-process against "the canary fails too often".
//! Must not compare versions; that is the harm process's task.

use serde::{Deserialize, Serialize};

use crate::ratio::log_sum_exp;

/// The alternatives, as parts of the limit: failure shares that would be fine.
const FRACTIONS: [f64; 4] = [0.0, 0.1, 0.25, 0.5];
/// ln 4, for the equal weights.
const LN_ALTERNATIVES: f64 = 2.0 * std::f64::consts::LN_2;

/// An e-process for "at least `limit` of the canary's sessions go bad". It grows with clean sessions; once its
/// exponential reaches `1/alpha`, that claim is refuted at level `alpha`, however often one looked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "SafetyState", into = "SafetyState")]
pub struct SafetyProcess {
    steps: Steps,
    clean: u64,
    bad: u64,
}

/// The stored form: the steps follow from the limit.
#[derive(Serialize, Deserialize)]
struct SafetyState {
    limit: f64,
    clean: u64,
    bad: u64,
}

impl From<SafetyProcess> for SafetyState {
    fn from(process: SafetyProcess) -> Self {
        SafetyState { limit: process.limit(), clean: process.clean, bad: process.bad }
    }
}

impl From<SafetyState> for SafetyProcess {
    fn from(state: SafetyState) -> Self {
        SafetyProcess { clean: state.clean, bad: state.bad, ..SafetyProcess::new(state.limit) }
    }
}

impl SafetyProcess {
    /// Starts a process for a limit strictly between 0 and 1; anything else is moved to the nearest usable limit.
    #[must_use]
    pub fn new(limit: f64) -> Self {
        SafetyProcess { steps: Steps::new(limit), clean: 0, bad: 0 }
    }

    /// Counts sessions that stayed clean to the end of their trial.
    pub fn record_clean(&mut self, sessions: u64) {
        self.clean = self.clean.saturating_add(sessions);
    }

    /// Counts sessions that went bad.
    pub fn record_bad(&mut self, sessions: u64) {
        self.bad = self.bad.saturating_add(sessions);
    }

    /// The share of bad sessions that is to be refuted.
    #[must_use]
    pub const fn limit(&self) -> f64 {
        self.steps.limit
    }

    /// Sessions that stayed clean.
    #[must_use]
    pub const fn clean(&self) -> u64 {
        self.clean
    }

    /// Sessions that went bad.
    #[must_use]
    pub const fn bad(&self) -> u64 {
        self.bad
    }

    /// The natural logarithm of the e-value now.
    #[must_use]
    pub fn log_e(&self) -> f64 {
        self.steps.log_e(self.clean, self.bad)
    }

    /// Clean sessions still to be seen until the e-value reaches `1/alpha` if no further one goes bad; `None` when no
    /// number of them would do.
    #[must_use]
    pub fn clean_sessions_missing(&self, alpha: f64) -> Option<u64> {
        let total = clean_sessions_needed(self.limit(), self.bad, alpha)?;
        Some(total.saturating_sub(self.clean))
    }
}

/// What one session does to the logarithm of the stake on each alternative.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Steps {
    limit: f64,
    clean: [f64; FRACTIONS.len()],
    bad: [f64; FRACTIONS.len()],
}

impl Steps {
    fn new(limit: f64) -> Self {
        let limit = if limit.is_nan() { f64::MIN_POSITIVE } else { limit };
        let limit = limit.clamp(f64::MIN_POSITIVE, 1.0 - f64::EPSILON);
        let clean = FRACTIONS.map(|fraction| (-fraction * limit).ln_1p() - (-limit).ln_1p());
        Steps { limit, clean, bad: FRACTIONS.map(f64::ln) }
    }

    fn log_e(&self, clean: u64, bad: u64) -> f64 {
        let mut terms = [0.0; FRACTIONS.len()];
        for ((term, on_clean), on_bad) in terms.iter_mut().zip(self.clean).zip(self.bad) {
            // 0 * ln 0 is taken as 0: no bad session says nothing against "never bad".
            let against = if bad > 0 { bad as f64 * on_bad } else { 0.0 };
            *term = against + clean as f64 * on_clean;
        }
        log_sum_exp(&terms, f64::NEG_INFINITY) - LN_ALTERNATIVES
    }
}

/// Clean sessions in all that bring the certificate for `limit` at level `alpha` when `bad` sessions went bad; `None`
/// if no number below 2^53 does.
#[must_use]
pub fn clean_sessions_needed(limit: f64, bad: u64, alpha: f64) -> Option<u64> {
    let (steps, goal) = (Steps::new(limit), -alpha.ln());
    let reached = |clean: u64| steps.log_e(clean, bad) >= goal;
    let mut high = 1_u64;
    while !reached(high) {
        high = high.checked_mul(2).filter(|h| *h < 1 << 53)?;
    }
    let mut low = 0;
    while low < high {
        let middle = low + (high - low) / 2;
        if reached(middle) { high = middle } else { low = middle + 1 }
    }
    Some(high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clean_sessions_needed_match_the_reference_table() {
        let needed = [0.05, 0.01, 0.005, 0.001].map(|limit| clean_sessions_needed(limit, 0, 0.05).unwrap());
        assert_eq!(needed, [70, 354, 710, 3_556]);
    }

    #[test]
    fn each_bad_session_makes_the_certificate_dearer() {
        let needed: Vec<u64> = (0..6).map(|bad| clean_sessions_needed(0.01, bad, 0.05).unwrap()).collect();
        assert!(needed.is_sorted_by(|a, b| a < b), "{needed:?}");
    }

    #[test]
    fn expectation_under_the_limit_itself_is_one() {
        // One session: bad with probability `limit`, else clean.
        for limit in [0.001, 0.01, 0.05, 0.5] {
            let steps = Steps::new(limit);
            let mean = limit * steps.log_e(0, 1).exp() + (1.0 - limit) * steps.log_e(1, 0).exp();
            assert!((mean - 1.0).abs() < 1e-12, "limit {limit}: mean {mean}");
        }
    }

    #[test]
    fn extreme_counts_and_limits_stay_finite_or_minus_infinity() {
        for limit in [f64::NAN, -1.0, 0.0, 1e-300, 0.5, 1.0, 2.0, f64::INFINITY] {
            let mut process = SafetyProcess::new(limit);
            process.record_clean(u64::MAX);
            process.record_clean(1);
            assert!(!process.log_e().is_nan(), "limit {limit}");
            process.record_bad(u64::MAX);
            assert!(!process.log_e().is_nan(), "limit {limit}");
        }
    }
}
