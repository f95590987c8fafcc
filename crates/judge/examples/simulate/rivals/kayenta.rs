//! Kayenta (Spinnaker): a Mann-Whitney test on the two series of one-minute error rates, judged once at the end.
//!
//! Emulated after NetflixACAJudge with its fixed settings: confidence 98%, tolerance a quarter of the estimate,
//! direction "increase", NaNs removed, mean ratio at least 1. A metric that cannot be classified is left out of the
//! score, and a score without metrics is 100.

use super::mann_whitney::{Shift, shift};
use super::{Minute, MinuteJudge};

const CONFIDENCE: f64 = 0.98;
const TOLERANCE: f64 = 0.25;

/// A metric's class.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Class {
    Pass,
    High,
    /// No values on one side.
    NoData,
    /// The test could not be computed.
    Error,
}

pub(crate) fn classify(canary: &[f64], stable: &[f64]) -> Class {
    if canary.is_empty() || stable.is_empty() {
        return Class::NoData;
    }
    let sorted = |values: &[f64]| {
        let mut values = values.to_vec();
        values.sort_by(f64::total_cmp);
        values
    };
    let (canary, stable) = (sorted(canary), sorted(stable));
    if canary == stable || canary.iter().chain(&stable).all(|v| *v == canary[0]) {
        return Class::Pass;
    }
    let constant = |values: &[f64]| values.iter().all(|v| *v == values[0]);
    let (canary, stable) = if constant(&canary) && constant(&stable) {
        // Kayenta adds Gaussian noise of a hundred-thousandth here to break the ties; evenly spread noise ranks alike.
        (spread_ties(&canary), spread_ties(&stable))
    } else {
        (canary, stable)
    };
    match shift(&canary, &stable, CONFIDENCE) {
        Ok(shift) if is_high(shift) && ratio_allows(&canary, &stable) => Class::High,
        Ok(_) => Class::Pass,
        Err(_) => Class::Error,
    }
}

fn spread_ties(values: &[f64]) -> Vec<f64> {
    let middle = values.len() as f64 / 2.0;
    values.iter().enumerate().map(|(n, v)| v * (1.0 + 1e-5 * (n as f64 - middle) / middle)).collect()
}

fn is_high(shift: Shift) -> bool {
    shift.low > TOLERANCE * shift.estimate.abs()
}

/// A mean ratio that cannot be computed, because one mean is zero, is ignored.
fn ratio_allows(canary: &[f64], stable: &[f64]) -> bool {
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let (canary, stable) = (mean(canary), mean(stable));
    canary == 0.0 || stable == 0.0 || canary / stable >= 1.0
}

#[derive(Debug)]
pub(crate) struct Kayenta {
    judged_at_minute: u64,
    canary: Vec<f64>,
    stable: Vec<f64>,
}

impl Kayenta {
    pub(crate) fn new(judged_at_minute: u64) -> Self {
        Kayenta { judged_at_minute, canary: Vec::new(), stable: Vec::new() }
    }
}

impl MinuteJudge for Kayenta {
    fn look(&mut self, number: u64, minute: Minute) -> bool {
        self.canary.extend(minute.canary.error_rate());
        self.stable.extend(minute.stable.error_rate());
        // One metric: high is a score of 0; no data fails the run as well, an error does not.
        number == self.judged_at_minute
            && matches!(classify(&self.canary, &self.stable), Class::High | Class::NoData)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Tally;
    use super::*;

    #[test]
    fn sparse_errors_pass_as_reported() {
        // spinnaker/kayenta#426: a canary with errors beside a clean baseline.
        assert_eq!(classify(&[0.0, 1.0, 2.0, 1.0, 0.0, 0.0], &[0.0; 6]), Class::Pass);
    }

    #[test]
    fn seven_of_ten_bad_points_pass_as_reported_and_eight_fail() {
        // spinnaker/spinnaker#6278.
        let mut canary = [100.0, 100.0, 100.0, 100.0, 100.0, 100.0, 100.0, 1.0, 1.0, 1.0];
        assert_eq!(classify(&canary, &[1.0; 10]), Class::Pass);
        canary[7] = 100.0;
        assert_eq!(classify(&canary, &[1.0; 10]), Class::High);
    }

    #[test]
    fn missing_side_is_no_data_and_equal_sides_pass() {
        assert_eq!(classify(&[], &[0.1]), Class::NoData);
        assert_eq!(classify(&[0.1, 0.2], &[0.2, 0.1]), Class::Pass);
        assert_eq!(classify(&[0.0; 5], &[0.0; 3]), Class::Pass);
        assert_eq!(classify(&[0.5; 5], &[0.0; 5]), Class::High);
    }

    #[test]
    fn plain_harm_is_found_at_the_end_and_not_before() {
        let mut kayenta = Kayenta::new(60);
        let alarms: Vec<bool> = (1..=60)
            .map(|number| {
                let canary = Tally { requests: 60, bad: 25 + number % 7 };
                let stable = Tally { requests: 540, bad: 2 + number % 3 };
                kayenta.look(number, Minute { canary, stable })
            })
            .collect();
        assert_eq!(alarms.iter().position(|alarm| *alarm), Some(59));
    }
}
