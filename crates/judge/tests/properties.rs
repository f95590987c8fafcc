//! What must hold for every input.

#![allow(clippy::unwrap_used)] // clippy sees only `#[test]` functions as tests, not their helpers

use proptest::prelude::*;
use safelight_judge::{
    Judge, JudgeConfig, MetricConfig, MetricSet, Observation, RatioGrid, RatioProcess, SafetyProcess,
    SessionId, Share, SplitKey, StreamMerger, Verdict, Version,
};

const KEY: SplitKey = SplitKey::new([9; 16]);

fn any_share() -> impl Strategy<Value = Share> {
    prop_oneof![
        Just(0.0),
        Just(1.0),
        Just(f64::MIN_POSITIVE),
        Just(1e-9),
        Just(1.0 - 1e-12),
        Just(1.0 - f64::EPSILON),
        0.0..=1.0
    ]
    .prop_map(|w| Share::new(w).unwrap())
}

fn splitting_share() -> impl Strategy<Value = Share> {
    (0.001..0.999).prop_map(|w| Share::new(w).unwrap())
}

fn any_version() -> impl Strategy<Value = Version> {
    prop_oneof![Just(Version::Stable), Just(Version::Canary)]
}

fn any_history() -> impl Strategy<Value = Vec<(Share, Version)>> {
    prop::collection::vec((splitting_share(), any_version()), 0..60)
}

fn after(history: &[(Share, Version)], tolerance: f64, first_stake: f64) -> RatioProcess {
    let mut process = RatioProcess::with_restarts(RatioGrid::harm(tolerance), tolerance, first_stake);
    for (n, (share, version)) in history.iter().enumerate() {
        process.advance_to_epoch(n as u64 / 5);
        process.record(*share, *version, 1);
    }
    process
}

fn one_more(process: &RatioProcess, share: Share, version: Version) -> f64 {
    let mut next = process.clone();
    next.record(share, version, 1);
    next.log_e().exp()
}

/// Observations that no proxy would send, and some that it would.
fn any_observation() -> impl Strategy<Value = Observation> {
    let time = prop_oneof![Just(0), Just(u64::MAX), any::<u64>(), 0..100_000_000_u64];
    let session = prop_oneof![
        (any::<u64>(), any::<u64>()).prop_map(|(a, b)| SessionId::from_halves(a, b)),
        (0..30_u64).prop_map(|n| KEY.session(&n.to_le_bytes())),
    ];
    let bad = prop::collection::vec(0..40_usize, 0..3)
        .prop_map(|places| places.into_iter().fold(MetricSet::EMPTY, MetricSet::with));
    (time, session, any_version(), any_share(), bad, any::<Option<u64>>(), any::<bool>()).prop_map(
        |(at_millis, session, version, share, bad, latency_micros, routed)| {
            let version = if routed { session.version_at(share) } else { version };
            Observation { at_millis, session, version, share, bad, latency_micros }
        },
    )
}

fn collect_numbers<'a>(value: &'a mut serde_json::Value, numbers: &mut Vec<&'a mut serde_json::Value>) {
    match value {
        serde_json::Value::Number(_) => numbers.push(value),
        serde_json::Value::Array(items) => items.iter_mut().for_each(|item| collect_numbers(item, numbers)),
        serde_json::Value::Object(fields) => {
            fields.values_mut().for_each(|item| collect_numbers(item, numbers))
        }
        _ => {}
    }
}

fn small_judge() -> Judge {
    let metrics = vec![
        MetricConfig::new("errors").certified_below(0.05),
        MetricConfig::new("slow").slower_than_micros(1_000).tolerating(1.5).weighing(3.0),
    ];
    let config = JudgeConfig {
        metrics,
        max_sessions: 16,
        max_bad_sessions: 16,
        min_bake_seconds: 0,
        min_canary_requests: 1,
        decide_within_seconds: Some(1_000),
        ..JudgeConfig::default()
    };
    Judge::new(config).unwrap()
}

proptest! {
    #[test]
    fn one_step_is_fair_without_harm_and_loses_below_it(
        history in any_history(), share in splitting_share(), stake in 0.1..=1.0, less in 0.0..=1.0,
    ) {
        let process = after(&history, 1.0, stake);
        let now = process.log_e().exp();
        let (up, down) = (one_more(&process, share, Version::Canary), one_more(&process, share, Version::Stable));
        let expectation = |canary: f64| canary * up + (1.0 - canary) * down;
        prop_assert!((expectation(share.get()) / now - 1.0).abs() < 1e-9);
        prop_assert!(expectation(share.get() * less) <= now * (1.0 + 1e-9));
    }

    #[test]
    fn identity_of_the_likelihood_ratio_holds(w in 0.0..=1.0_f64, phi in 1.0..64.0_f64, less in 0.0..=1.0_f64) {
        let mean = |theta: f64| (theta * phi + 1.0 - theta) / (w * phi + 1.0 - w);
        prop_assert!((mean(w) - 1.0).abs() < 1e-12);
        prop_assert!(mean(w * less) <= 1.0 + 1e-12);
    }

    #[test]
    fn tolerated_harm_is_no_winning_bet(
        history in any_history(), share in splitting_share(), tolerance in 1.0..20.0_f64, part in 0.0..=1.0_f64,
    ) {
        let process = after(&history, tolerance, 0.8);
        let ratio = 1.0 + part * (tolerance - 1.0);
        let w = share.get();
        let canary = w * ratio / (w * ratio + 1.0 - w);
        let (up, down) = (one_more(&process, share, Version::Canary), one_more(&process, share, Version::Stable));
        prop_assert!(canary * up + (1.0 - canary) * down <= process.log_e().exp() * (1.0 + 1e-9));
    }

    #[test]
    fn canary_failures_raise_the_e_value_and_stable_ones_lower_it(history in any_history(), share in splitting_share()) {
        let process = after(&history, 1.0, 0.8);
        let now = process.log_e().exp();
        prop_assert!(one_more(&process, share, Version::Canary) >= now);
        prop_assert!(one_more(&process, share, Version::Stable) <= now);
    }

    #[test]
    fn moving_a_stake_to_the_table_changes_no_total(history in any_history(), epochs in 0..10_000_u64) {
        let mut process = after(&history, 1.0, 0.8);
        let before = process.log_e();
        process.advance_to_epoch(epochs);
        prop_assert!((process.log_e() - before).abs() < 1e-9);
    }

    #[test]
    fn order_of_failures_within_an_epoch_does_not_matter(history in any_history()) {
        let total = |history: &[(Share, Version)]| {
            let mut process = RatioProcess::new(RatioGrid::harm(1.0), 1.0);
            history.iter().for_each(|(share, version)| process.record(*share, *version, 1));
            process.log_e()
        };
        let reversed: Vec<_> = history.iter().rev().copied().collect();
        prop_assert!((total(&history) - total(&reversed)).abs() < 1e-9);
    }

    #[test]
    fn any_number_of_failures_leaves_a_finite_e_value(share in any_share(), version in any_version(), times in any::<u64>()) {
        let mut process = RatioProcess::new(RatioGrid::harm(1.0), 1.0);
        process.record(share, version, times);
        process.record(share, version, times);
        prop_assert!(process.log_e().is_finite());
        prop_assert!(process.likely_ratio().is_finite());
    }

    #[test]
    fn certificate_grows_with_clean_sessions_and_shrinks_with_bad_ones(
        limit in 1e-6..0.5_f64, clean in 0..100_000_u64, bad in 0..100_u64,
    ) {
        let with = |clean: u64, bad: u64| {
            let mut process = SafetyProcess::new(limit);
            process.record_clean(clean);
            process.record_bad(bad);
            process.log_e()
        };
        prop_assert!(with(clean + 1, bad) > with(clean, bad) - 1e-12);
        prop_assert!(with(clean, bad + 1) < with(clean, bad));
        // Fair at the limit, losing above it.
        let mean = |rate: f64| rate * with(clean, bad + 1).exp() + (1.0 - rate) * with(clean + 1, bad).exp();
        let now = with(clean, bad).exp();
        prop_assert!(mean(limit) <= now * (1.0 + 1e-9));
        prop_assert!(mean(limit + 0.5 * (1.0 - limit)) <= now * (1.0 + 1e-9));
    }

    #[test]
    fn raising_the_share_moves_nobody_off_the_canary(name in any::<Vec<u8>>(), a in any_share(), b in any_share()) {
        let (low, high) = if a.get() <= b.get() { (a, b) } else { (b, a) };
        let session = KEY.session(&name);
        if session.version_at(low) == Version::Canary {
            prop_assert_eq!(session.version_at(high), Version::Canary);
        }
        prop_assert_eq!(session.version_at(Share::NONE), Version::Stable);
        prop_assert_eq!(session.version_at(Share::ALL), Version::Canary);
    }

    #[test]
    fn judge_survives_any_input_and_keeps_its_word(
        observations in prop::collection::vec(any_observation(), 0..200),
    ) {
        let mut judge = small_judge();
        let (mut last_p, mut rolled_back) = (1.0, false);
        for observation in &observations {
            let verdict = judge.observe(observation);
            prop_assert!(judge.log_e().is_finite());
            prop_assert!(judge.p_value() > 0.0 && judge.p_value() <= last_p);
            last_p = judge.p_value();
            let rollback = matches!(verdict, Verdict::Rollback(_));
            prop_assert!(rollback || !rolled_back, "a rollback was taken back: {:?}", verdict);
            prop_assert_eq!(rollback, judge.p_value() <= 0.01);
            rolled_back = rollback;
            if let Verdict::Inconclusive(shortfall) = verdict {
                prop_assert!(!shortfall.missing.is_empty());
            }
        }
        prop_assert!(!matches!(judge.conclude(0), Verdict::Continue));
        let text = serde_json::to_string(&judge).unwrap();
        let back: Judge = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(std::mem::discriminant(&back.verdict()), std::mem::discriminant(&judge.verdict()));
    }

    #[test]
    fn damaged_state_is_refused_or_judged_on_without_a_panic(
        observations in prop::collection::vec(any_observation(), 1..40),
        at in any::<prop::sample::Index>(),
        number in prop_oneof![Just(0.0), Just(-1.0), Just(1.0), Just(1e308), Just(u64::MAX as f64), any::<f64>()],
        whole in any::<bool>(),
    ) {
        let mut judge = small_judge();
        observations.iter().for_each(|observation| drop(judge.observe(observation)));
        let mut state = serde_json::to_value(&judge).unwrap();
        let mut numbers = vec![];
        collect_numbers(&mut state, &mut numbers);
        let count = numbers.len();
        *numbers[at.index(count)] = if whole { (number as u64).into() } else { number.into() };
        if let Ok(mut damaged) = serde_json::from_value::<Judge>(state) {
            observations.iter().for_each(|observation| drop(damaged.observe(observation)));
            prop_assert!(!matches!(damaged.conclude(u64::MAX), Verdict::Continue));
        }
    }

    #[test]
    fn repeating_a_failed_request_is_no_new_evidence(
        observations in prop::collection::vec(any_observation(), 1..50), again in any::<prop::sample::Index>(),
    ) {
        let mut judge = small_judge();
        for observation in &observations {
            judge.observe(observation);
        }
        let before = judge.log_e();
        let repeated = Observation { at_millis: 0, ..observations[again.index(observations.len())] };
        judge.observe(&repeated);
        prop_assert!((judge.log_e() - before).abs() < 1e-12);
    }

    #[test]
    fn streams_of_several_hosts_merge_to_the_same_whatever_the_interleaving(
        times in prop::collection::vec(0..1_000_u64, 0..60), picks in prop::collection::vec(0..3_usize, 0..200),
    ) {
        let observation = |n: usize, at_millis: u64| Observation {
            at_millis,
            session: KEY.session(&(n as u64).to_le_bytes()),
            version: Version::Stable,
            share: Share::NONE,
            bad: MetricSet::EMPTY,
            latency_micros: None,
        };
        let mut streams: Vec<Vec<Observation>> = vec![vec![]; 3];
        for (n, at_millis) in times.iter().enumerate() {
            streams[n % 3].push(observation(n, *at_millis));
        }
        streams.iter_mut().for_each(|s| s.sort_by_key(|o| o.at_millis));
        let merged = |order: &[usize]| {
            let mut merger = StreamMerger::new(["0", "1", "2"], usize::MAX);
            let mut queues: Vec<_> = streams.iter().map(|s| s.iter()).collect();
            let mut out = vec![];
            for host in order.iter().copied().chain([0, 1, 2].into_iter().cycle().take(3 * times.len())) {
                if let Some(next) = queues[host].next() {
                    merger.push(&host.to_string(), *next);
                }
                out.extend(std::iter::from_fn(|| merger.next_ready()));
            }
            (0..3).for_each(|host| merger.heartbeat(&host.to_string(), u64::MAX));
            out.extend(std::iter::from_fn(|| merger.next_ready()));
            assert_eq!(merger.out_of_order(), 0);
            out.iter().map(|o| o.at_millis).collect::<Vec<_>>()
        };
        let mut sorted = times.clone();
        sorted.sort_unstable();
        prop_assert_eq!(&merged(&picks), &sorted);
        prop_assert_eq!(&merged(&[]), &sorted);
    }
}
