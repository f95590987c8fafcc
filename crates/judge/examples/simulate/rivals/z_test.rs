//! A two-proportion z-test on all requests so far, looked at every minute: what a dashboard and a script come to.

use super::{Minute, MinuteJudge, Tally};
use crate::stats::normal_quantile;

#[derive(Debug)]
pub(crate) struct ZTest {
    critical: f64,
    canary: Tally,
    stable: Tally,
}

impl ZTest {
    /// One-sided at level `alpha` for a single look.
    pub(crate) fn new(alpha: f64) -> Self {
        ZTest { critical: normal_quantile(1.0 - alpha), canary: Tally::default(), stable: Tally::default() }
    }
}

impl MinuteJudge for ZTest {
    fn look(&mut self, _number: u64, minute: Minute) -> bool {
        self.canary = self.canary.plus(minute.canary);
        self.stable = self.stable.plus(minute.stable);
        let (Some(canary), Some(stable)) = (self.canary.error_rate(), self.stable.error_rate()) else {
            return false;
        };
        let pooled = self.canary.plus(self.stable).error_rate().unwrap_or(0.0);
        let per_request = 1.0 / self.canary.requests as f64 + 1.0 / self.stable.requests as f64;
        let spread = (pooled * (1.0 - pooled) * per_request).sqrt();
        spread > 0.0 && (canary - stable) / spread > self.critical
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alarm_follows_the_critical_value() {
        let look = |bad: u64| {
            let canary = Tally { requests: 1_000, bad };
            let stable = Tally { requests: 1_000, bad: 20 };
            ZTest::new(0.01).look(1, Minute { canary, stable })
        };
        // z = (0.037 - 0.02) / sqrt(0.0285 * 0.9715 * 0.002) = 2.285; one more failure gives 2.40.
        assert!(!look(37));
        assert!(look(38));
        assert!(!ZTest::new(0.01).look(1, Minute::default()));
    }
}
