//! Owns what the judge says, with the evidence for it.
//! Must not compute anything.

use serde::{Deserialize, Serialize};

/// What to do now. One is given after every observation, and it may be acted on at any of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict {
    /// Go on watching; nothing is decided.
    Continue,
    /// Take the traffic away from the canary. Once given, it stays.
    Rollback(Harm),
    /// The canary is proven good enough on every certified metric.
    Promote(Certificate),
    /// The time is up, and the data allow neither verdict.
    Inconclusive(Shortfall),
}

/// The case against the canary.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Harm {
    /// The metric that contributed most.
    pub metric: String,
    /// The e-value over all metrics: how many times better "the canary is worse" explains the failures. Capped at
    /// 1e300; `evidence.log_e` is exact.
    pub e_value: f64,
    /// What was counted on that metric.
    pub evidence: Evidence,
}

/// What was counted on one metric.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// Sessions that went bad on the canary.
    pub canary_bad: u64,
    /// Sessions that went bad on the stable version.
    pub stable_bad: u64,
    /// How many of all these the canary's share explains.
    pub canary_bad_expected: f64,
    /// How many times as often the canary fails, by the weight of the evidence.
    pub likely_ratio: f64,
    /// Natural logarithm of the e-value over all metrics.
    pub log_e: f64,
    /// Anytime-valid p-value over all metrics: one over the largest e-value so far.
    pub p_value: f64,
    /// One session in this many was counted; more than 1 when memory was at its bound.
    pub one_session_in: u64,
    /// Milliseconds from the first observation to this one.
    pub after_millis: u64,
}

/// The case for the canary.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Certificate {
    /// What was proven, metric by metric.
    pub proven: Vec<Proof>,
    /// Requests that the canary served.
    pub canary_requests: u64,
    /// The e-value of harm at this moment; below 1 speaks for the canary. Capped at 1e300.
    pub harm_e_value: f64,
    /// Milliseconds from the first observation to this one.
    pub after_millis: u64,
}

/// Proof that fewer than `limit` of the canary's sessions go bad on one metric.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Proof {
    /// The metric.
    pub metric: String,
    /// The share of bad sessions that was refuted.
    pub limit: f64,
    /// Sessions that stayed clean.
    pub clean: u64,
    /// Sessions that went bad.
    pub bad: u64,
    /// Natural logarithm of the e-value against "`limit` or more".
    pub log_e: f64,
}

/// Why there is no decision, and when there could be one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shortfall {
    /// Everything that is missing; never empty in a verdict.
    pub missing: Vec<Missing>,
    /// Seconds until everything could be there at the present rate of traffic; `None` if waiting will not help.
    pub seconds_at_present_rate: Option<f64>,
}

/// One thing that stands between the canary and its promotion.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Missing {
    /// No request reached the canary at all.
    NoCanaryTraffic,
    /// Too few requests reached the canary.
    CanaryRequests {
        /// Requests so far.
        have: u64,
        /// Requests needed.
        need: u64,
    },
    /// Too few clean sessions for the proof.
    CleanSessions {
        /// The metric.
        metric: String,
        /// Clean sessions so far.
        have: u64,
        /// Clean sessions needed if no more go bad.
        need: u64,
    },
    /// As many sessions go bad as the limit allows, or more; waiting will not prove the contrary.
    RateAboveLimit {
        /// The metric.
        metric: String,
        /// The part of the canary's sessions that went bad.
        seen: f64,
        /// The limit to stay below.
        limit: f64,
    },
    /// The canary has not run for long enough.
    BakeTime {
        /// Seconds still to go.
        seconds_left: f64,
    },
    /// There is some evidence of harm, though not enough for a rollback.
    Suspicion {
        /// The metric that contributes most.
        metric: String,
        /// The e-value of harm. Capped at 1e300.
        e_value: f64,
    },
    /// The canary's part of new sessions is not the announced one, so the comparison cannot be trusted.
    SplitMismatch {
        /// New sessions that came to the canary.
        canary: u64,
        /// New sessions in all.
        sessions: u64,
        /// How many of them the announced share explains.
        expected: f64,
    },
    /// Requests were served by another version than the split says, so the comparison cannot be trusted.
    Misrouted {
        /// Such requests.
        requests: u64,
        /// All requests.
        of: u64,
    },
}

/// An e-value as a number that JSON can hold.
pub(crate) fn capped_exp(log_e: f64) -> f64 {
    log_e.min(690.0).exp()
}
