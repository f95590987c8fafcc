//! Owns "slow": a quantile of the stable version's latency, frozen before the canary starts.
//! Must not compare versions; a frozen limit turns slowness into one more kind of bad request.

use serde::{Deserialize, Serialize};
use sketches_ddsketch::{Config, DDSketch};

/// Slower requests than the quantile must have been seen this often before it can be frozen.
const TAIL_NEEDED: f64 = 20.0;

/// A streaming record of the stable version's latencies with a relative error of 1% and bounded memory (DDSketch).
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "Vec<u8>", into = "Vec<u8>")]
pub struct LatencyBaseline(DDSketch);

/// Why no limit can be frozen.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum LatencyError {
    /// The quantile is not strictly between 0 and 1.
    #[error("quantile {0} is not strictly between 0 and 1; give 0.95 for the p95")]
    Quantile(f64),
    /// Not enough requests to know the quantile.
    #[error(
        "{have} requests do not show the {quantile} quantile yet, {need} do; let the stable version run on"
    )]
    TooFew {
        /// Requests seen.
        have: u64,
        /// Requests needed.
        need: u64,
        /// The quantile asked for.
        quantile: f64,
    },
    /// The stored record could not be read, or two records do not fit together.
    #[error("the latency record cannot be used: {0}; measure the stable version anew")]
    Damaged(String),
}

impl Default for LatencyBaseline {
    fn default() -> Self {
        LatencyBaseline(DDSketch::new(Config::defaults()))
    }
}

impl LatencyBaseline {
    /// Counts one request of the stable version.
    pub fn record_micros(&mut self, micros: u64) {
        self.0.add(micros as f64);
    }

    /// Requests counted.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.0.count() as u64
    }

    /// Adds the record of another host.
    ///
    /// # Errors
    /// When the records were kept at different precision.
    pub fn merge(&mut self, other: &LatencyBaseline) -> Result<(), LatencyError> {
        self.0.merge(&other.0).map_err(|error| LatencyError::Damaged(error.to_string()))
    }

    /// The limit in microseconds beyond which a request is slow, for
    /// [`MetricConfig::slower_than_micros`](crate::MetricConfig::slower_than_micros).
    ///
    /// # Errors
    /// When `quantile` is not strictly between 0 and 1, or too few requests were seen to know it.
    pub fn freeze(&self, quantile: f64) -> Result<u64, LatencyError> {
        if !(quantile > 0.0 && quantile < 1.0) {
            return Err(LatencyError::Quantile(quantile));
        }
        let (have, need) = (self.requests(), (TAIL_NEEDED / (1.0 - quantile)).ceil() as u64);
        match self.0.quantile(quantile) {
            Ok(Some(micros)) if have >= need => Ok(micros.ceil() as u64),
            _ => Err(LatencyError::TooFew { have, need, quantile }),
        }
    }
}

impl std::fmt::Debug for LatencyBaseline {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LatencyBaseline").field("requests", &self.requests()).finish()
    }
}

impl From<LatencyBaseline> for Vec<u8> {
    fn from(baseline: LatencyBaseline) -> Vec<u8> {
        baseline.0.to_java_bytes()
    }
}

impl TryFrom<Vec<u8>> for LatencyBaseline {
    type Error = LatencyError;

    fn try_from(bytes: Vec<u8>) -> Result<Self, LatencyError> {
        DDSketch::from_java_bytes(&bytes)
            .map(LatencyBaseline)
            .map_err(|error| LatencyError::Damaged(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frozen_quantile_is_within_one_percent() {
        let mut baseline = LatencyBaseline::default();
        for micros in 1..=10_000 {
            baseline.record_micros(micros);
        }
        for (quantile, exact) in [(0.5, 5_000.0), (0.95, 9_500.0), (0.99, 9_900.0)] {
            let got = baseline.freeze(quantile).unwrap() as f64;
            assert!((got / exact - 1.0).abs() < 0.011, "{quantile}: {got} instead of {exact}");
        }
    }

    #[test]
    fn quantile_is_not_frozen_before_it_was_seen() {
        let mut baseline = LatencyBaseline::default();
        for _ in 0..1_999 {
            baseline.record_micros(800);
        }
        assert!(matches!(baseline.freeze(0.99), Err(LatencyError::TooFew { have: 1_999, need: 2_000, .. })));
        baseline.record_micros(0);
        assert!(baseline.freeze(0.99).is_ok());
        assert!(matches!(baseline.freeze(1.0), Err(LatencyError::Quantile(_))));
        assert!(matches!(baseline.freeze(f64::NAN), Err(LatencyError::Quantile(_))));
    }

    #[test]
    fn records_of_two_hosts_merge_and_survive_storage() {
        let (mut one, mut two) = (LatencyBaseline::default(), LatencyBaseline::default());
        for micros in 1..=1_000 {
            one.record_micros(micros);
            two.record_micros(micros + 1_000);
        }
        let text = serde_json::to_string(&two).unwrap();
        one.merge(&serde_json::from_str(&text).unwrap()).unwrap();
        assert_eq!(one.requests(), 2_000);
        let median = one.freeze(0.5).unwrap();
        assert!((985..=1_015).contains(&median), "{median}");
        assert!(serde_json::from_str::<LatencyBaseline>("[1,2,3]").is_err());
    }

    #[test]
    fn absurd_latencies_do_not_disturb_the_record() {
        let mut baseline = LatencyBaseline::default();
        for micros in [0, 1, u64::MAX, u64::MAX / 2] {
            for _ in 0..100 {
                baseline.record_micros(micros);
            }
        }
        assert!(baseline.freeze(0.5).is_ok());
    }
}
