//! Owns what an operator may choose: metrics, error levels, durations and bounds.
//! Must refuse every combination that the judge could not honour.

use serde::{Deserialize, Serialize};

use crate::observation::MetricSet;

/// How the judge is set up. [`Default`] is one metric, `errors`, at a false-alarm bound of 1%.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JudgeConfig {
    /// Bound on the probability that a harmless canary is ever rolled back, over the whole run.
    pub rollback_alpha: f64,
    /// Bound on the probability that a canary which fails too often is ever promoted.
    pub promote_alpha: f64,
    /// Bound on the probability that a sound split of sessions is ever called unsound.
    pub split_alpha: f64,
    /// What is watched. At least one metric needs a limit to certify.
    pub metrics: Vec<MetricConfig>,
    /// A copy of the harm test starts this often, for regressions that begin late.
    pub restart_every_seconds: u64,
    /// Part of the stake on the first copy; the rest is spread over the later ones.
    pub first_stake: f64,
    /// A canary session counts as clean when it has not gone bad for this long after its first request.
    pub settle_seconds: u64,
    /// No promotion sooner than this after the first observation.
    pub min_bake_seconds: u64,
    /// No promotion with fewer requests on the canary.
    pub min_canary_requests: u64,
    /// No promotion while the e-value of harm stands at this or more.
    pub suspicion: f64,
    /// After this long without a decision the verdict is "inconclusive". `None` waits for ever.
    pub decide_within_seconds: Option<u64>,
    /// Bad sessions remembered for each metric, so that none is counted twice (about 20 bytes each).
    pub max_bad_sessions: usize,
    /// Sessions remembered for the certificate and for the split check (about 40 and 20 bytes each).
    pub max_sessions: usize,
}

/// One thing that can go wrong with a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetricConfig {
    /// Its name in verdicts.
    pub name: String,
    /// Its part of the false-alarm bound; the weights of all metrics are scaled to sum to one.
    #[serde(default = "one")]
    pub weight: f64,
    /// The canary may fail this many times as often as stable does without being rolled back; at least 1.
    #[serde(default = "one")]
    pub tolerance: f64,
    /// Promotion needs proof that fewer than this part of the canary's sessions go bad.
    #[serde(default)]
    pub certify_below: Option<f64>,
    /// A request slower than this is bad: a quantile of the stable version, frozen before the canary starts.
    #[serde(default)]
    pub slower_than_micros: Option<u64>,
}

fn one() -> f64 {
    1.0
}

impl MetricConfig {
    /// A metric whose outcome the host reports, with weight 1, tolerance 1 and nothing to certify.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        MetricConfig {
            name: name.into(),
            weight: 1.0,
            tolerance: 1.0,
            certify_below: None,
            slower_than_micros: None,
        }
    }

    /// Promotion needs proof that fewer than this part of the canary's sessions go bad.
    #[must_use]
    pub fn certified_below(mut self, limit: f64) -> Self {
        self.certify_below = Some(limit);
        self
    }

    /// Sets this metric's part of the false-alarm bound.
    #[must_use]
    pub fn weighing(mut self, weight: f64) -> Self {
        self.weight = weight;
        self
    }

    /// Lets the canary fail `tolerance` times as often as stable.
    #[must_use]
    pub fn tolerating(mut self, tolerance: f64) -> Self {
        self.tolerance = tolerance;
        self
    }

    /// Calls requests slower than this bad.
    #[must_use]
    pub fn slower_than_micros(mut self, micros: u64) -> Self {
        self.slower_than_micros = Some(micros);
        self
    }
}

impl Default for JudgeConfig {
    fn default() -> Self {
        JudgeConfig {
            rollback_alpha: 0.01,
            promote_alpha: 0.05,
            split_alpha: 0.001,
            metrics: vec![MetricConfig::new("errors").certified_below(0.01)],
            restart_every_seconds: 300,
            first_stake: 0.8,
            settle_seconds: 60,
            min_bake_seconds: 3_600,
            min_canary_requests: 100,
            suspicion: 10.0,
            decide_within_seconds: None,
            max_bad_sessions: 8_192,
            max_sessions: 16_384,
        }
    }
}

/// Why a configuration cannot be judged with.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ConfigError {
    /// An error level outside (0, 1).
    #[error("{field} is {value}, but an error bound lies strictly between 0 and 1; 0.01 is usual")]
    Level {
        /// The field.
        field: &'static str,
        /// What it was.
        value: f64,
    },
    /// The first copy's stake is outside (0, 1].
    #[error("first_stake is {0}, but it is a part of the whole: above 0, at most 1; 0.8 is usual")]
    FirstStake(f64),
    /// The suspicion threshold is below 1 or not a number.
    #[error(
        "suspicion is {0}, but an e-value of 1 is what no evidence looks like; give 1 or more, 10 is usual"
    )]
    Suspicion(f64),
    /// A duration or bound is zero.
    #[error("{0} is 0, which would leave nothing to judge by; give at least 1")]
    Zero(&'static str),
    /// No metric, or more than fit.
    #[error("{0} metrics are configured, but the judge takes 1 to {max}", max = MetricSet::CAPACITY)]
    MetricCount(usize),
    /// Two metrics share a name.
    #[error("the metric name {0:?} is used twice, so a verdict could not say which one it means; rename one")]
    DuplicateName(String),
    /// A weight is not positive and finite.
    #[error(
        "metric {name:?} has weight {weight}, but a weight is a positive number; remove the metric to ignore it"
    )]
    Weight {
        /// The metric.
        name: String,
        /// Its weight.
        weight: f64,
    },
    /// A tolerance below 1, or too large to mean anything.
    #[error("metric {name:?} tolerates {tolerance} times stable's failures; give a ratio from 1 to 1000")]
    Tolerance {
        /// The metric.
        name: String,
        /// Its tolerance.
        tolerance: f64,
    },
    /// A limit to certify that no number of sessions could prove.
    #[error("metric {name:?} is to be certified below {limit}, but a limit lies from 0.000001 to 0.5")]
    Limit {
        /// The metric.
        name: String,
        /// Its limit.
        limit: f64,
    },
    /// Nothing to certify, so nothing could ever be promoted.
    #[error(
        "no metric has certify_below, so no canary could ever be promoted; set it on one, for instance 0.01"
    )]
    NothingToCertify,
}

impl JudgeConfig {
    /// Checks the configuration as a whole.
    ///
    /// # Errors
    /// The first thing that cannot be honoured.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let levels = [
            ("rollback_alpha", self.rollback_alpha),
            ("promote_alpha", self.promote_alpha),
            ("split_alpha", self.split_alpha),
        ];
        for (field, value) in levels {
            // A subnormal level would overflow its own reciprocal.
            if !(1e-300..1.0).contains(&value) {
                return Err(ConfigError::Level { field, value });
            }
        }
        if !(self.first_stake > 1e-9 && self.first_stake <= 1.0) {
            return Err(ConfigError::FirstStake(self.first_stake));
        }
        if self.suspicion.is_nan() || self.suspicion < 1.0 {
            return Err(ConfigError::Suspicion(self.suspicion));
        }
        let bounds = [
            ("restart_every_seconds", self.restart_every_seconds == 0),
            ("max_bad_sessions", self.max_bad_sessions == 0),
            ("max_sessions", self.max_sessions == 0),
        ];
        if let Some((field, _)) = bounds.into_iter().find(|(_, zero)| *zero) {
            return Err(ConfigError::Zero(field));
        }
        self.validate_metrics()
    }

    fn validate_metrics(&self) -> Result<(), ConfigError> {
        if self.metrics.is_empty() || self.metrics.len() > MetricSet::CAPACITY {
            return Err(ConfigError::MetricCount(self.metrics.len()));
        }
        for (place, metric) in self.metrics.iter().enumerate() {
            let name = || metric.name.clone();
            if self.metrics[..place].iter().any(|earlier| earlier.name == metric.name) {
                return Err(ConfigError::DuplicateName(name()));
            }
            if !(1e-9..=1e9).contains(&metric.weight) {
                return Err(ConfigError::Weight { name: name(), weight: metric.weight });
            }
            if !(1.0..=1000.0).contains(&metric.tolerance) {
                return Err(ConfigError::Tolerance { name: name(), tolerance: metric.tolerance });
            }
            if let Some(limit) = metric.certify_below.filter(|limit| !(1e-6..=0.5).contains(limit)) {
                return Err(ConfigError::Limit { name: name(), limit });
            }
        }
        if self.metrics.iter().all(|metric| metric.certify_below.is_none()) {
            return Err(ConfigError::NothingToCertify);
        }
        Ok(())
    }

    /// The place of a metric, for building a [`MetricSet`].
    #[must_use]
    pub fn metric(&self, name: &str) -> Option<usize> {
        self.metrics.iter().position(|metric| metric.name == name)
    }

    /// A metric's part of the false-alarm bound, from 0 to 1; 0 for a place that does not exist.
    #[must_use]
    pub fn scaled_weight(&self, metric: usize) -> f64 {
        let total: f64 = self.metrics.iter().map(|m| m.weight).sum();
        self.metrics.get(metric).map_or(0.0, |m| m.weight / total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(change: impl FnOnce(&mut JudgeConfig)) -> ConfigError {
        let mut config = JudgeConfig::default();
        change(&mut config);
        config.validate().unwrap_err()
    }

    #[test]
    fn default_configuration_is_accepted() {
        assert_eq!(JudgeConfig::default().validate(), Ok(()));
    }

    #[test]
    fn impossible_settings_are_refused_by_name() {
        assert!(matches!(
            refused(|c| c.rollback_alpha = 0.0),
            ConfigError::Level { field: "rollback_alpha", .. }
        ));
        assert!(matches!(
            refused(|c| c.promote_alpha = f64::NAN),
            ConfigError::Level { field: "promote_alpha", .. }
        ));
        assert!(matches!(refused(|c| c.first_stake = 0.0), ConfigError::FirstStake(_)));
        assert!(matches!(refused(|c| c.suspicion = f64::NAN), ConfigError::Suspicion(_)));
        assert_eq!(refused(|c| c.restart_every_seconds = 0), ConfigError::Zero("restart_every_seconds"));
        assert_eq!(refused(|c| c.max_sessions = 0), ConfigError::Zero("max_sessions"));
        assert_eq!(refused(|c| c.metrics.clear()), ConfigError::MetricCount(0));
        assert!(matches!(refused(|c| c.metrics[0].weight = -1.0), ConfigError::Weight { .. }));
        assert!(matches!(refused(|c| c.metrics[0].tolerance = 0.5), ConfigError::Tolerance { .. }));
        assert!(matches!(refused(|c| c.metrics[0].certify_below = Some(1.0)), ConfigError::Limit { .. }));
        assert_eq!(refused(|c| c.metrics[0].certify_below = None), ConfigError::NothingToCertify);
        let twice = refused(|c| c.metrics.push(MetricConfig::new("errors")));
        assert_eq!(twice, ConfigError::DuplicateName("errors".into()));
    }

    #[test]
    fn errors_say_what_to_do() {
        let text = refused(|c| c.metrics[0].certify_below = None).to_string();
        assert!(text.contains("set it on one"), "{text}");
    }
}
