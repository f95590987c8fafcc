//! Owns the proof that looking again and again breaks an ordinary test, and that counting requests of sticky sessions
//! breaks any test that takes them as independent.

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use safelight_judge::{RatioGrid, RatioProcess, SessionId, Share, Version};

use crate::run::in_parallel;
use crate::stats::{Proportion, normal_quantile};

/// The numbers of looks in Armitage, McPherson and Rowe (1969), and the false alarms they computed.
pub(crate) const ARMITAGE: [(usize, f64); 7] =
    [(1, 0.050), (2, 0.083), (5, 0.141), (10, 0.195), (20, 0.249), (50, 0.320), (100, 0.374)];

/// False alarms of a 5% test by the number of looks.
pub(crate) struct Peeking {
    pub(crate) looks: usize,
    pub(crate) published: f64,
    pub(crate) z_test: Proportion,
    pub(crate) judge: Proportion,
}

/// Looks `ARMITAGE` times at data without any effect: a two-sided z-test on the running mean, and the judge's process
/// on 20 failures between looks at a share of one half, both at 5%.
pub(crate) fn peeking(runs: usize) -> Vec<Peeking> {
    let most = ARMITAGE.iter().map(|(looks, _)| *looks).max().unwrap_or(0);
    let first_alarms = in_parallel(runs, |run| {
        let mut rng = SmallRng::seed_from_u64(0xA2317A6E ^ run as u64);
        (first_z_alarm(most, &mut rng), first_judge_alarm(most, &mut rng))
    });
    let by = |looks: usize, alarm: &Option<usize>| alarm.is_some_and(|at| at <= looks);
    ARMITAGE
        .iter()
        .map(|&(looks, published)| Peeking {
            looks,
            published,
            z_test: Proportion { hits: first_alarms.iter().filter(|(z, _)| by(looks, z)).count(), runs },
            judge: Proportion { hits: first_alarms.iter().filter(|(_, j)| by(looks, j)).count(), runs },
        })
        .collect()
}

fn first_z_alarm(looks: usize, rng: &mut SmallRng) -> Option<usize> {
    let critical = normal_quantile(0.975);
    let mut sum = 0.0;
    (1..=looks).find(|look| {
        sum += standard_normal(rng);
        f64::abs(sum) / (*look as f64).sqrt() > critical
    })
}

fn first_judge_alarm(looks: usize, rng: &mut SmallRng) -> Option<usize> {
    let share = Share::new(0.5).expect("one half is a share");
    let mut process = RatioProcess::new(RatioGrid::harm(1.0), 1.0);
    (1..=looks).find(|_| {
        let canary = (0..20).filter(|_| rng.random::<bool>()).count() as u64;
        process.record(share, Version::Canary, canary);
        process.record(share, Version::Stable, 20 - canary);
        process.log_e() >= 20_f64.ln()
    })
}

fn standard_normal(rng: &mut SmallRng) -> f64 {
    let (radius, angle): (f64, f64) = (rng.random(), rng.random());
    (-2.0 * (1.0 - radius).ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
}

/// False alarms at 5% on sticky heavy-tailed sessions without harm.
pub(crate) struct Stickiness {
    pub(crate) share: f64,
    pub(crate) by_request: Proportion,
    pub(crate) by_session: Proportion,
}

/// 2,000 sessions of heavy-tailed length (Pareto 1.1), one in fifty broken; the same process counts every bad request,
/// or each session once.
pub(crate) fn stickiness(share: f64, runs: usize) -> Stickiness {
    let alarms = in_parallel(runs, |run| {
        let mut rng = SmallRng::seed_from_u64(0x0571_C4E5 ^ run as u64);
        let announced = Share::new(share).expect("the shares simulated are shares");
        let mut by_request = RatioProcess::new(RatioGrid::harm(1.0), 1.0);
        let mut by_session = by_request.clone();
        let (mut request_alarm, mut session_alarm) = (false, false);
        for _ in 0..2_000 {
            let version = SessionId::from_halves(rng.random(), 0).version_at(announced);
            let length = rng.random::<f64>().powf(-1.0 / 1.1).min(1_000.0) as usize;
            let broken = rng.random::<f64>() < 0.02;
            let bad = if broken { (0..length).filter(|_| rng.random::<bool>()).count() } else { 0 };
            for nth in 0..bad {
                by_request.record(announced, version, 1);
                request_alarm |= by_request.log_e() >= 20_f64.ln();
                if nth == 0 {
                    by_session.record(announced, version, 1);
                    session_alarm |= by_session.log_e() >= 20_f64.ln();
                }
            }
        }
        (request_alarm, session_alarm)
    });
    Stickiness {
        share,
        by_request: Proportion { hits: alarms.iter().filter(|(request, _)| *request).count(), runs },
        by_session: Proportion { hits: alarms.iter().filter(|(_, session)| *session).count(), runs },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_looks_reproduce_the_published_false_alarms() {
        for row in peeking(4_000) {
            let tolerance = 4.0 * (row.published * (1.0 - row.published) / 4_000.0).sqrt();
            assert!(
                (row.z_test.share() - row.published).abs() < tolerance,
                "{} looks: {}",
                row.looks,
                row.z_test
            );
            assert!(row.judge.share() < 0.05, "{} looks: {}", row.looks, row.judge);
        }
    }

    #[test]
    fn counting_sessions_keeps_the_bound_that_counting_requests_breaks() {
        let row = stickiness(0.5, 400);
        assert!(row.by_request.share() > 0.15, "{}", row.by_request);
        assert!(row.by_session.share() < 0.05, "{}", row.by_session);
    }
}
