//! The judge against closed forms and against chance.

#![allow(clippy::unwrap_used)] // clippy sees only `#[test]` functions as tests, not their helpers

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use safelight_judge::{
    Judge, JudgeConfig, MetricSet, Observation, RatioGrid, RatioProcess, Share, SplitKey, Verdict, Version,
};

/// ln n!, exactly enough by summation.
fn ln_factorial(n: u32) -> f64 {
    (1..=n).map(|k| f64::from(k).ln()).sum()
}

/// The Bayes factor of Lindon and Malek for two categories at a constant share w: a Dirichlet(1, 1) prior on the
/// probability that a failure is the canary's, against w.
fn lindon_malek_log_e(canary: u32, stable: u32, w: f64) -> f64 {
    let beta = ln_factorial(canary) + ln_factorial(stable) - ln_factorial(canary + stable + 1);
    beta - f64::from(canary) * w.ln() - f64::from(stable) * (1.0 - w).ln()
}

#[test]
fn mixture_agrees_with_the_closed_form_of_lindon_and_malek() {
    let points = 20_000;
    for w in [0.05, 0.1, 0.5, 0.9] {
        // The same uniform prior, written as ratios: theta = w r / (w r + 1 - w).
        let ratios = (0..points).map(|k| (f64::from(k) + 0.5) / f64::from(points));
        let ratios: Vec<f64> = ratios.map(|theta| theta * (1.0 - w) / (w * (1.0 - theta))).collect();
        let grid = RatioGrid::weighted(ratios, &vec![1.0; points as usize]).unwrap();
        let share = Share::new(w).unwrap();
        for (canary, stable) in [(0, 0), (1, 0), (0, 1), (3, 0), (5, 5), (2, 60), (40, 100), (200, 30)] {
            let mut process = RatioProcess::new(grid.clone(), 1.0);
            process.record(share, Version::Canary, canary.into());
            process.record(share, Version::Stable, stable.into());
            let (got, expected) = (process.log_e(), lindon_malek_log_e(canary, stable, w));
            assert!((got - expected).abs() < 1e-4, "w {w}, {canary}:{stable}: {got} instead of {expected}");
        }
    }
}

#[test]
fn billion_failures_lose_no_precision_that_matters() {
    let share = Share::new(0.1).unwrap();
    let mut process = RatioProcess::with_restarts(RatioGrid::harm(1.0), 1.0, 0.8);
    for epoch in 0..1_000 {
        process.advance_to_epoch(epoch);
        process.record(share, Version::Canary, 100_000);
        process.record(share, Version::Stable, 900_000);
    }
    assert!(process.log_e().is_finite() && process.log_e() < 0.0, "{}", process.log_e());
    process.advance_to_epoch(1_000);
    let mut failures = 0;
    while process.log_e() < 100_f64.ln() {
        process.record(share, Version::Canary, 1);
        failures += 1;
    }
    assert!(failures <= 12, "{failures} failures after a billion");
}

/// A canary without harm under everything that troubles both versions alike: a ramp, a rate that swings, an outage,
/// and sessions whose failures come in runs.
fn false_alarm(seed: u64, alpha: f64) -> bool {
    let mut rng = SmallRng::seed_from_u64(seed);
    let key = SplitKey::new(seed.to_le_bytes().repeat(2).try_into().unwrap());
    let mut judge = Judge::new(JudgeConfig { rollback_alpha: alpha, ..JudgeConfig::default() }).unwrap();
    (0..3_000_u64).any(|second| {
        let share = Share::new([0.05, 0.1, 0.25, 0.5][second as usize / 750]).unwrap();
        let swing = 1.0 + (second as f64 / 400.0).sin();
        let outage = (1_200..1_400).contains(&second);
        let rate = if outage { 0.3 } else { 0.02 * swing };
        let session = key.session(&rng.random_range(0..2_000_u32).to_le_bytes());
        let bad = if rng.random::<f64>() < rate { MetricSet::only(0) } else { MetricSet::EMPTY };
        let version = session.version_at(share);
        let at_millis = second * 1000;
        let observation = Observation { at_millis, session, version, share, bad, latency_micros: None };
        matches!(judge.observe(&observation), Verdict::Rollback(_))
    })
}

#[test]
fn false_alarms_stay_below_alpha_through_ramp_swing_and_outage() {
    let runs = 400;
    for alpha in [0.05, 0.01] {
        let alarms = (0..runs).filter(|seed| false_alarm(*seed, alpha)).count() as f64;
        let bound = alpha * runs as f64;
        assert!(alarms <= bound + 3.0 * bound.sqrt(), "{alarms} of {runs} at alpha {alpha}");
    }
}
