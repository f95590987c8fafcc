//! The Mann-Whitney location interval that Kayenta's judge rests on: the shift at which the rank sum, with correction
//! for ties and continuity, is as far from its mean as a normal quantile; found by Brent's method at a coarse tolerance.

use crate::stats::normal_quantile;

/// The interval and the point estimate of "first sample minus second".
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Shift {
    pub(crate) low: f64,
    pub(crate) high: f64,
    pub(crate) estimate: f64,
}

/// All observations are tied at some shift, so there is no spread to compare with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct AllTied;

pub(crate) fn shift(x: &[f64], y: &[f64], confidence: f64) -> Result<Shift, AllTied> {
    let extreme =
        |values: &[f64], pick: fn(f64, f64) -> f64| values.iter().copied().reduce(pick).ok_or(AllTied);
    let lowest = extreme(x, f64::min)? - extreme(y, f64::max)?;
    let highest = extreme(x, f64::max)? - extreme(y, f64::min)?;
    let quantile = normal_quantile(0.5 * (1.0 - confidence));
    let bound = |quantile: f64| {
        let distance = |at: f64| standardised(x, y, at).map(|z| z - quantile);
        let (at_lowest, at_highest) = (distance(lowest)?, distance(highest)?);
        if at_lowest <= 0.0 {
            Ok(lowest)
        } else if at_highest >= 0.0 {
            Ok(highest)
        } else {
            root(lowest, highest, at_lowest, at_highest, distance)
        }
    };
    let (low, high) = (bound(-quantile)?, bound(quantile)?);
    let centre = |at: f64| standardised(x, y, at);
    let estimate = root(lowest, highest, centre(lowest)?, centre(highest)?, centre)?;
    Ok(Shift { low, high, estimate })
}

/// The standardised rank sum of `x` moved down by `shift`, against `y`.
fn standardised(x: &[f64], y: &[f64], shift: f64) -> Result<f64, AllTied> {
    let (nx, ny) = (x.len() as f64, y.len() as f64);
    let mut all: Vec<(f64, bool)> =
        x.iter().map(|v| (v - shift, true)).chain(y.iter().map(|v| (*v, false))).collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut rank_sum, mut ties, mut place) = (0.0, 0.0, 0);
    while place < all.len() {
        let end = place + all[place..].iter().take_while(|(v, _)| *v == all[place].0).count();
        let group = (end - place) as f64;
        // Ranks place+1..=end share their mean.
        let rank = 0.5 * (place + 1 + end) as f64;
        rank_sum += rank * all[place..end].iter().filter(|(_, of_x)| *of_x).count() as f64;
        ties += group.powi(3) - group;
        place = end;
    }
    let deviation = rank_sum - nx * (nx + 1.0) / 2.0 - nx * ny / 2.0;
    let continuity = if deviation == 0.0 { 0.0 } else { 0.5 * deviation.signum() };
    let n = nx + ny;
    let spread = (nx * ny / 12.0 * (n + 1.0 - ties / (n * (n - 1.0)))).sqrt();
    if spread == 0.0 { Err(AllTied) } else { Ok((deviation - continuity) / spread) }
}

/// Kayenta stops Brent's method at this width; the golden values depend on it.
const TOLERANCE: f64 = 1e-4;

/// Brent's root finder (zeroin): bisection, sped up by secants and inverse parabolas where they behave.
fn root(
    from: f64,
    to: f64,
    at_from: f64,
    at_to: f64,
    function: impl Fn(f64) -> Result<f64, AllTied>,
) -> Result<f64, AllTied> {
    if at_from == 0.0 {
        return Ok(from);
    }
    let (mut previous, mut best, mut other) = (from, to, from);
    let (mut f_previous, mut f_best, mut f_other) = (at_from, at_to, at_from);
    for _ in 0..1_000 {
        let last_step = best - previous;
        if f_other.abs() < f_best.abs() {
            (previous, best, other) = (best, other, best);
            (f_previous, f_best, f_other) = (f_best, f_other, f_best);
        }
        let close = 2.0 * f64::EPSILON * best.abs() + 0.5 * TOLERANCE;
        let mut step = 0.5 * (other - best);
        if step.abs() <= close || f_best == 0.0 {
            break;
        }
        if last_step.abs() >= close && f_previous.abs() > f_best.abs() {
            let width = other - best;
            let ratio = f_best / f_previous;
            let (mut p, mut q) = if previous == other {
                (width * ratio, 1.0 - ratio)
            } else {
                let (a, b) = (f_previous / f_other, f_best / f_other);
                let p = ratio * (width * a * (a - b) - (best - previous) * (b - 1.0));
                (p, (a - 1.0) * (b - 1.0) * (ratio - 1.0))
            };
            if p > 0.0 {
                q = -q
            } else {
                p = -p
            }
            if p < 0.75 * width * q - 0.5 * (close * q).abs() && p < (0.5 * last_step * q).abs() {
                step = p / q;
            }
        }
        if step.abs() < close {
            step = close.copysign(step);
        }
        (previous, f_previous) = (best, f_best);
        best += step;
        f_best = function(best)?;
        if f_best.signum() == f_other.signum() && f_best != 0.0 {
            (other, f_other) = (previous, f_previous);
        }
    }
    Ok(best)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interval_and_estimate_match_the_reported_kayenta_run() {
        // The data and the values of spinnaker/spinnaker#6278.
        let experiment = [100.0, 100.0, 100.0, 100.0, 100.0, 100.0, 100.0, 1.0, 1.0, 1.0];
        let shift = shift(&experiment, &[1.0; 10], 0.98).unwrap();
        assert!((shift.low - 6.825022991538788e-5).abs() < 1e-12, "{}", shift.low);
        assert!((shift.estimate - 98.99992904170193).abs() < 1e-9, "{}", shift.estimate);
        assert_eq!(shift.high, 99.0);
    }

    #[test]
    fn samples_without_any_spread_are_an_error() {
        assert_eq!(shift(&[1.0, 1.0], &[1.0, 1.0], 0.98), Err(AllTied));
    }

    #[test]
    fn clear_shift_is_inside_its_interval() {
        let low: Vec<f64> = (0..30).map(f64::from).collect();
        let high: Vec<f64> = low.iter().map(|v| v + 100.0).collect();
        let shift = shift(&high, &low, 0.98).unwrap();
        assert!(shift.low < 100.0 && shift.high > 100.0 && (shift.estimate - 100.0).abs() < 0.1, "{shift:?}");
    }
}
