//! Owns the measurement of the time an observation takes.
//! Must include the slow cases.

use std::hint::black_box;
use std::time::Instant;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use safelight_judge::{Judge, JudgeConfig, MetricConfig, MetricSet, Observation, Share, SplitKey};

/// One measured kind of traffic.
pub(crate) struct Speed {
    pub(crate) what: &'static str,
    pub(crate) nanos: f64,
}

/// Measures on one thread; each figure is the fastest of five passes, since anything slower is the machine's doing.
pub(crate) fn measure() -> Vec<Speed> {
    let of =
        |what, sessions, bad, metrics| Speed { what, nanos: observe(sessions, bad, metrics, OBSERVATIONS) };
    // A fresh judge before its memory of bad sessions is full counts every one of these.
    let counted =
        Speed { what: "a failure that counts, one metric", nanos: observe(u32::MAX, 1.0, 1, 8_000) };
    vec![
        of("10,000 sessions, 1% bad, one metric", 10_000, 0.01, 1),
        of("10,000 sessions, 1% bad, three metrics", 10_000, 0.01, 3),
        of("every request a new session, 1% bad, one metric", u32::MAX, 0.01, 1),
        of("every request a new session and bad, one metric", u32::MAX, 1.0, 1),
        counted,
        Speed { what: "hashing a 32-byte session name (in the proxy)", nanos: hash() },
    ]
}

const OBSERVATIONS: usize = 2_000_000;

fn observe(sessions: u32, bad: f64, metrics: usize, for_each_judge: usize) -> f64 {
    let mut rng = SmallRng::seed_from_u64(7);
    let key = SplitKey::new([1; 16]);
    let share = Share::new(0.1).expect("a tenth is a share");
    let observations: Vec<Observation> = (0..OBSERVATIONS)
        .map(|n| {
            let name = if sessions == u32::MAX { n as u32 } else { rng.random_range(0..sessions) };
            let session = key.session(&name.to_le_bytes());
            let bad = if rng.random::<f64>() < bad { MetricSet::only(0) } else { MetricSet::EMPTY };
            let version = session.version_at(share);
            Observation { at_millis: n as u64, session, version, share, bad, latency_micros: Some(900) }
        })
        .collect();
    let names = ["errors", "timeouts", "slow"];
    let metrics = names[..metrics].iter().map(|name| MetricConfig::new(*name).certified_below(0.01));
    let config = JudgeConfig { metrics: metrics.collect(), ..JudgeConfig::default() };
    let start = Judge::new(config).expect("the configuration measured is valid");
    fastest(OBSERVATIONS, || {
        for observations in observations.chunks(for_each_judge) {
            let mut judge = start.clone();
            for observation in observations {
                black_box(judge.observe(observation));
            }
        }
    })
}

fn hash() -> f64 {
    let key = SplitKey::new([1; 16]);
    let mut name = [b'x'; 32];
    fastest(OBSERVATIONS, || {
        for n in 0..OBSERVATIONS as u64 {
            name[..8].copy_from_slice(&n.to_le_bytes());
            black_box(key.session(black_box(&name)));
        }
    })
}

fn fastest(times: usize, mut pass: impl FnMut()) -> f64 {
    let one = |_| {
        let start = Instant::now();
        pass();
        start.elapsed().as_nanos() as f64 / times as f64
    };
    (0..5).map(one).fold(f64::INFINITY, f64::min)
}
