//! Owns the e-process over ratios: how much more often one version fails than its share of the sessions explains.
//! Must not know metrics, sessions or time; it is told events and epochs.

use serde::{Deserialize, Serialize};

use crate::session::{Share, Version};

/// Ratios in the harm mixture.
pub const HARM_RATIOS: usize = 24;
const HARM_LOWEST: f64 = 1.15;
const HARM_HIGHEST: f64 = 64.0;
const SPLIT_HIGHEST: f64 = 8.0;

/// The alternatives that the process bets on, with the part of the stake on each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RatioGrid {
    ratios: Vec<f64>,
    log_weights: Vec<f64>,
}

/// A grid that cannot be bet on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a grid needs as many weights as ratios, at least one, all positive and finite; got {ratios} ratios and {weights} weights"
)]
pub struct GridError {
    ratios: usize,
    weights: usize,
}

impl RatioGrid {
    /// The harm mixture: 24 ratios spaced evenly in the logarithm from 1.15 to 64 times `tolerance`, equally weighted.
    #[must_use]
    pub fn harm(tolerance: f64) -> Self {
        Self::log_spaced(tolerance * HARM_LOWEST, tolerance * HARM_HIGHEST, HARM_RATIOS)
    }

    /// Ratios on both sides of one, from 1/8 to 8: used to find a split that is not the one announced.
    #[must_use]
    pub fn two_sided() -> Self {
        // An even number of points leaves out 1 itself, which would bet nothing.
        Self::log_spaced(1.0 / SPLIT_HIGHEST, SPLIT_HIGHEST, HARM_RATIOS)
    }

    /// Any grid; the weights are scaled to sum to one.
    ///
    /// # Errors
    /// When the lengths differ, or a number is not positive and finite.
    pub fn weighted(ratios: Vec<f64>, weights: &[f64]) -> Result<Self, GridError> {
        let usable = |numbers: &[f64]| numbers.iter().all(|n| n.is_finite() && *n > 0.0);
        if ratios.is_empty() || ratios.len() != weights.len() || !usable(&ratios) || !usable(weights) {
            return Err(GridError { ratios: ratios.len(), weights: weights.len() });
        }
        let total: f64 = weights.iter().sum();
        let log_weights = weights.iter().map(|w| (w / total).ln()).collect();
        Ok(RatioGrid { ratios, log_weights })
    }

    fn log_spaced(lowest: f64, highest: f64, points: usize) -> Self {
        let (from, to) = (lowest.ln(), highest.ln());
        let step = (to - from) / (points - 1) as f64;
        let ratios = (0..points).map(|k| (from + step * k as f64).exp()).collect();
        RatioGrid { ratios, log_weights: vec![-(points as f64).ln(); points] }
    }
}

/// An e-process for "the canary's failures are at most `tolerance` times what its share explains".
///
/// Each failure multiplies the stake on ratio `r` by the likelihood ratio of `r` against the tolerance, given the
/// canary's share at that moment; shared ups and downs of the failure rate cancel in it. Whatever the rate does, the
/// expectation of [`Self::log_e`]'s exponential is at most one at every stopping time, so by Ville's inequality it ever
/// reaches `1/alpha` with probability at most `alpha`.
///
/// Part of the stake is held back and put in at later epochs, so a regression that begins late does not have to win
/// back what the quiet hours before it lost. All copies of one ratio move alike, so they are one number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RatioProcess {
    grid: RatioGrid,
    tolerance: f64,
    /// Part of the stake that starts at epoch 0; the rest follows as 1/(j(j+1)) at epochs j = 1, 2, ...
    first_stake: f64,
    epoch: u64,
    log_wealth: Vec<f64>,
    #[serde(skip)]
    step: Option<Step>,
}

/// What one failure does to each stake at a given share. Shares change rarely, failures do not.
#[derive(Clone, Debug, PartialEq)]
struct Step {
    share: Share,
    on_canary: Vec<f64>,
    on_stable: Vec<f64>,
}

impl RatioProcess {
    /// Starts with all of the stake at once: no restarts.
    #[must_use]
    pub fn new(grid: RatioGrid, tolerance: f64) -> Self {
        Self::with_restarts(grid, tolerance, 1.0)
    }

    /// Starts with `first_stake` (clamped to 0..=1) of the stake and keeps the rest for later epochs.
    #[must_use]
    pub fn with_restarts(grid: RatioGrid, tolerance: f64, first_stake: f64) -> Self {
        let first_stake = if first_stake.is_nan() { 1.0 } else { first_stake.clamp(f64::MIN_POSITIVE, 1.0) };
        let log_wealth = grid.log_weights.iter().map(|w| w + first_stake.ln()).collect();
        RatioProcess { grid, tolerance, first_stake, epoch: 0, log_wealth, step: None }
    }

    /// Puts in the stakes that are due up to `epoch`. Going back in time does nothing.
    pub fn advance_to_epoch(&mut self, epoch: u64) {
        if epoch <= self.epoch {
            return;
        }
        let due = self.held_back_at(self.epoch) - self.held_back_at(epoch);
        self.epoch = epoch;
        if due > 0.0 {
            let log_due = due.ln();
            for (wealth, weight) in self.log_wealth.iter_mut().zip(&self.grid.log_weights) {
                *wealth = log_add(*wealth, weight + log_due);
            }
        }
    }

    /// Counts `times` failures that hit `version` while the canary had `share`. At a share of 0 or 1 a failure says
    /// nothing about the difference and is ignored.
    pub fn record(&mut self, share: Share, version: Version, times: u64) {
        if !share.splits() || times == 0 {
            return;
        }
        let step = match &mut self.step {
            Some(step) if step.share == share => step,
            slot => slot.insert(Step::new(&self.grid.ratios, self.tolerance, share)),
        };
        let factors = match version {
            Version::Canary => &step.on_canary,
            Version::Stable => &step.on_stable,
        };
        let times = times as f64;
        for (wealth, factor) in self.log_wealth.iter_mut().zip(factors) {
            *wealth += times * factor;
        }
    }

    /// The natural logarithm of the e-value now.
    #[must_use]
    pub fn log_e(&self) -> f64 {
        let held_back = self.held_back_at(self.epoch);
        let cash = if held_back > 0.0 { held_back.ln() } else { f64::NEG_INFINITY };
        log_sum_exp(&self.log_wealth, cash)
    }

    /// The ratio that the failures so far point to: the mean of the logarithms, weighted by wealth.
    #[must_use]
    pub fn likely_ratio(&self) -> f64 {
        let top = highest(&self.log_wealth);
        let (mut sum, mut total) = (0.0, 0.0);
        for (wealth, ratio) in self.log_wealth.iter().zip(&self.grid.ratios) {
            let weight = (wealth - top).exp();
            sum += weight * ratio.ln();
            total += weight;
        }
        if total > 0.0 { (sum / total).exp() } else { 1.0 }
    }

    fn held_back_at(&self, epoch: u64) -> f64 {
        // The stakes 1/(j(j+1)) for j = 1..=epoch sum to 1 - 1/(epoch + 1).
        (1.0 - self.first_stake) / (epoch as f64 + 1.0)
    }

    /// Whether the state fits together, so that a damaged file is refused instead of judged on.
    pub(crate) fn is_sound(&self) -> bool {
        let width = self.grid.ratios.len();
        width > 0
            && self.grid.log_weights.len() == width
            && self.log_wealth.len() == width
            && self.log_wealth.iter().chain(&self.grid.log_weights).all(|n| n.is_finite())
            && self.grid.ratios.iter().all(|r| r.is_finite() && *r > 0.0)
            && (0.0..=1.0).contains(&self.first_stake)
            && self.tolerance.is_finite()
            && self.tolerance > 0.0
    }
}

impl Step {
    fn new(ratios: &[f64], tolerance: f64, share: Share) -> Self {
        let w = share.get();
        let on_stable: Vec<f64> =
            ratios.iter().map(|r| ((w * tolerance + 1.0 - w) / (w * r + 1.0 - w)).ln()).collect();
        let on_canary = ratios.iter().zip(&on_stable).map(|(r, down)| (r / tolerance).ln() + down).collect();
        Step { share, on_canary, on_stable }
    }
}

/// ln(e^a + e^b) without overflow.
pub(crate) fn log_add(a: f64, b: f64) -> f64 {
    let (high, low) = if a >= b { (a, b) } else { (b, a) };
    if high == f64::NEG_INFINITY { high } else { high + (low - high).exp().ln_1p() }
}

/// e to this power does not change a sum of one or more in its last digit, and exponentials are what takes time.
const NEGLIGIBLE: f64 = -42.0;

/// ln(e^extra + sum of e^terms) without overflow.
pub(crate) fn log_sum_exp(terms: &[f64], extra: f64) -> f64 {
    let top = highest(terms).max(extra);
    if top == f64::NEG_INFINITY {
        return top;
    }
    let all = terms.iter().chain([&extra]).map(|term| term - top);
    let sum: f64 = all.filter(|below| *below > NEGLIGIBLE).map(f64::exp).sum();
    top + sum.ln()
}

/// The largest number, in four lanes: one after the other they would wait for each other.
fn highest(numbers: &[f64]) -> f64 {
    let (fours, rest) = numbers.as_chunks::<4>();
    let mut lanes = [f64::NEG_INFINITY; 4];
    for four in fours {
        for (lane, number) in lanes.iter_mut().zip(four) {
            *lane = if *number > *lane { *number } else { *lane };
        }
    }
    lanes.iter().chain(rest).copied().fold(f64::NEG_INFINITY, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canary_errors_until(share: f64, alpha: f64, first_stake: f64) -> u32 {
        let mut process = RatioProcess::with_restarts(RatioGrid::harm(1.0), 1.0, first_stake);
        let mut errors = 0;
        while process.log_e() < -alpha.ln() {
            process.record(Share::new(share).unwrap(), Version::Canary, 1);
            errors += 1;
        }
        errors
    }

    #[test]
    fn canary_only_errors_until_rollback_match_the_reference_table() {
        let table = [
            (0.01, [2, 2, 3]),
            (0.05, [2, 3, 4]),
            (0.1, [2, 3, 4]),
            (0.25, [3, 5, 6]),
            (0.5, [6, 8, 12]),
            (0.9, [34, 51, 75]),
        ];
        for (share, expected) in table {
            let got = [0.05, 0.01, 0.001].map(|alpha| canary_errors_until(share, alpha, 1.0));
            assert_eq!(got, expected, "at share {share}");
        }
    }

    #[test]
    fn keeping_a_fifth_for_late_regressions_costs_little_at_the_start() {
        for share in [0.01, 0.05, 0.1, 0.25, 0.5, 0.9] {
            for alpha in [0.05, 0.01, 0.001] {
                let whole = canary_errors_until(share, alpha, 1.0);
                let part = canary_errors_until(share, alpha, 0.8);
                assert!(part <= whole + 2, "share {share}, alpha {alpha}: {part} instead of {whole}");
            }
        }
    }

    #[test]
    fn late_regression_is_found_sooner_with_restarts_than_without() {
        let share = Share::new(0.1).unwrap();
        let errors_after_quiet_hours = |first_stake: f64| {
            let mut process = RatioProcess::with_restarts(RatioGrid::harm(1.0), 1.0, first_stake);
            process.record(share, Version::Stable, 900);
            process.record(share, Version::Canary, 100);
            process.advance_to_epoch(36);
            let mut errors = 0;
            while process.log_e() < 100_f64.ln() {
                process.record(share, Version::Canary, 1);
                errors += 1;
            }
            errors
        };
        let (without, with) = (errors_after_quiet_hours(1.0), errors_after_quiet_hours(0.8));
        assert!(with <= 7 && without > 5 * with, "with {with}, without {without}");
    }

    #[test]
    fn stakes_put_in_later_never_exceed_the_whole() {
        let mut process = RatioProcess::with_restarts(RatioGrid::harm(1.0), 1.0, 0.8);
        for epoch in [1, 2, 3, 10, 1_000_000, u64::MAX] {
            process.advance_to_epoch(epoch);
            assert!(process.log_e().abs() < 1e-9, "epoch {epoch}: log e {}", process.log_e());
        }
        process.advance_to_epoch(3);
        assert!(process.log_e().abs() < 1e-9);
    }

    #[test]
    fn weighted_grid_refuses_numbers_that_cannot_be_bet_on() {
        assert!(RatioGrid::weighted(vec![], &[]).is_err());
        assert!(RatioGrid::weighted(vec![2.0], &[1.0, 1.0]).is_err());
        assert!(RatioGrid::weighted(vec![f64::NAN], &[1.0]).is_err());
        assert!(RatioGrid::weighted(vec![2.0, 4.0], &[0.0, 1.0]).is_err());
        assert!(RatioGrid::weighted(vec![2.0, 4.0], &[1.0, 3.0]).is_ok());
    }
}
