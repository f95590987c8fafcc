//! Owns the small statistics of the simulation itself: intervals, medians, the normal distribution.
//! Must not be used by the judge.

/// The standard normal distribution function, by its series; exact to the last digits for |x| < 6.
pub(crate) fn normal_cdf(x: f64) -> f64 {
    let density = (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt();
    let (mut term, mut sum, mut odd) = (x, x, 1.0);
    while term.abs() > 1e-18 * sum.abs() {
        odd += 2.0;
        term *= x * x / odd;
        sum += term;
    }
    0.5 + density * sum
}

/// The standard normal quantile, by Newton's method on [`normal_cdf`].
pub(crate) fn normal_quantile(p: f64) -> f64 {
    let mut x = 0.0_f64;
    for _ in 0..100 {
        let density = (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt();
        // Far out the density is tiny and a full step would overshoot.
        let step = ((normal_cdf(x) - p) / density).clamp(-1.0, 1.0);
        x -= step;
        if step.abs() < 1e-15 {
            break;
        }
    }
    x
}

/// A share observed in independent runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Proportion {
    pub(crate) hits: usize,
    pub(crate) runs: usize,
}

impl Proportion {
    pub(crate) fn share(self) -> f64 {
        self.hits as f64 / self.runs as f64
    }

    /// Wilson's 95% interval.
    pub(crate) fn interval(self) -> (f64, f64) {
        let (n, p, z) = (self.runs as f64, self.share(), 1.959_963_984_540_054_f64);
        let centre = (p + z * z / (2.0 * n)) / (1.0 + z * z / n);
        let half = z / (1.0 + z * z / n) * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
        ((centre - half).max(0.0), (centre + half).min(1.0))
    }
}

impl std::fmt::Display for Proportion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (low, high) = self.interval();
        write!(f, "{:.1}% ({:.1}–{:.1})", self.share() * 100.0, low * 100.0, high * 100.0)
    }
}

/// The time by which half of all runs had raised the alarm, counting those that never did.
pub(crate) fn median_of_all(mut times: Vec<f64>, runs: usize) -> Option<f64> {
    times.sort_by(f64::total_cmp);
    times.get(runs.saturating_sub(1) / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normal_distribution_has_its_known_values() {
        for (p, x) in [(0.5, 0.0), (0.975, 1.959963984540054), (0.01, -2.3263478740408408)] {
            assert!((normal_quantile(p) - x).abs() < 1e-12, "{p}: {}", normal_quantile(p));
            assert!((normal_cdf(x) - p).abs() < 1e-14);
        }
    }

    #[test]
    fn wilson_interval_holds_the_share_and_narrows() {
        let (low, high) = Proportion { hits: 0, runs: 1_000 }.interval();
        assert!(low < 1e-12 && (0.003..0.004).contains(&high), "{low} {high}");
        let (low, high) = Proportion { hits: 50, runs: 100 }.interval();
        assert!((low - 0.4038).abs() < 1e-4 && (high - 0.5962).abs() < 1e-4);
    }

    #[test]
    fn median_counts_the_runs_that_never_alarmed() {
        assert_eq!(median_of_all(vec![3.0, 1.0, 2.0], 5), Some(3.0));
        assert_eq!(median_of_all(vec![3.0, 1.0], 5), None);
    }
}
