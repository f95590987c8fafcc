//! What the judge decides, case by case.

#![allow(clippy::unwrap_used)] // clippy sees only `#[test]` functions as tests, not their helpers

use safelight_judge::{
    Alarm, ConfigError, HoldBackWatch, Judge, JudgeConfig, LatencyBaseline, MetricConfig, MetricSet, Missing,
    Observation, Share, SplitKey, Verdict, Version, WatchVerdict,
};

const KEY: SplitKey = SplitKey::new(*b"a key for tests!");
const ERRORS: usize = 0;

fn share(w: f64) -> Share {
    Share::new(w).unwrap()
}

/// A request of visitor `n` one second after the one before, routed by the split.
fn request(n: u64, w: f64) -> Observation {
    let (session, share) = (KEY.session(&n.to_le_bytes()), share(w));
    Observation {
        at_millis: n * 1000,
        session,
        version: session.version_at(share),
        share,
        bad: MetricSet::EMPTY,
        latency_micros: Some(1_000),
    }
}

fn failing(observation: Observation) -> Observation {
    Observation { bad: MetricSet::only(ERRORS), ..observation }
}

fn on_canary(w: f64) -> impl Iterator<Item = Observation> {
    (0..).map(move |n| request(n, w)).filter(|o| o.version == Version::Canary)
}

fn judge(change: impl FnOnce(&mut JudgeConfig)) -> Judge {
    let mut config = JudgeConfig::default();
    change(&mut config);
    Judge::new(config).unwrap()
}

#[test]
fn third_failure_on_a_tenth_of_the_traffic_rolls_back() {
    let mut judge = judge(|_| ());
    let verdicts: Vec<Verdict> = on_canary(0.1).take(3).map(|o| judge.observe(&failing(o))).collect();
    assert_eq!(verdicts[..2], [Verdict::Continue, Verdict::Continue]);
    let Verdict::Rollback(harm) = &verdicts[2] else { panic!("{verdicts:?}") };
    assert_eq!((harm.metric.as_str(), harm.evidence.canary_bad, harm.evidence.stable_bad), ("errors", 3, 0));
    assert!(harm.e_value >= 100.0 && harm.evidence.p_value <= 0.01, "{harm:?}");
    assert!((harm.evidence.canary_bad_expected - 0.3).abs() < 1e-12 && harm.evidence.likely_ratio > 5.0);
}

#[test]
fn rollback_stays_whatever_comes_after() {
    let mut judge = judge(|_| ());
    let first = on_canary(0.1).take(3).map(|o| judge.observe(&failing(o))).last().unwrap();
    for n in 100..5_000 {
        let observation = request(n, 0.1);
        let stable_fails = observation.version == Version::Stable;
        let observation = if stable_fails { failing(observation) } else { observation };
        assert_eq!(judge.observe(&observation), first);
    }
    assert_eq!(judge.conclude(u64::MAX), first);
}

#[test]
fn outage_of_both_versions_is_not_held_against_the_canary() {
    let mut judge = judge(|_| ());
    for n in 0..20_000 {
        assert_eq!(judge.observe(&failing(request(n, 0.1))), Verdict::Continue, "request {n}");
    }
}

#[test]
fn one_broken_visitor_on_the_canary_counts_once() {
    let mut judge = judge(|_| ());
    let broken = failing(on_canary(0.1).next().unwrap());
    for n in 0..100_000 {
        assert_eq!(judge.observe(&Observation { at_millis: n, ..broken }), Verdict::Continue);
    }
    assert_eq!(judge.evidence(ERRORS).unwrap().canary_bad, 1);
}

#[test]
fn clean_canary_is_promoted_once_proven_and_baked() {
    let mut judge = judge(|_| ());
    let mut promoted = None;
    for n in 0..20_000 {
        match judge.observe(&request(n, 0.1)) {
            Verdict::Continue => assert!(promoted.is_none()),
            Verdict::Promote(certificate) => {
                promoted.get_or_insert((n, certificate));
            }
            other => panic!("{other:?}"),
        }
    }
    let (second, certificate) = promoted.unwrap();
    assert!(second >= 3_600, "the bake time holds: {second}");
    let proof = &certificate.proven[0];
    assert_eq!((proof.metric.as_str(), proof.clean, proof.bad, proof.limit), ("errors", 354, 0, 0.01));
    assert!((certificate.harm_e_value - 1.0).abs() < 1e-9);
}

#[test]
fn no_traffic_is_never_a_promotion() {
    let mut judge = judge(|_| ());
    assert_eq!(judge.tick(0), Verdict::Continue);
    let Verdict::Inconclusive(shortfall) = judge.conclude(100_000_000) else { panic!() };
    assert!(shortfall.missing.contains(&Missing::NoCanaryTraffic));
    assert_eq!(shortfall.seconds_at_present_rate, None, "waiting for nothing does not help");
}

#[test]
fn time_limit_ends_in_inconclusive_with_the_time_still_needed() {
    let mut judge = judge(|c| {
        c.min_bake_seconds = 60;
        c.decide_within_seconds = Some(1_000);
    });
    let verdict = (0..=1_000).map(|n| judge.observe(&request(n, 0.1))).last().unwrap();
    let Verdict::Inconclusive(shortfall) = verdict else { panic!("{verdict:?}") };
    let proof = shortfall.missing.iter().find_map(|missing| match missing {
        Missing::CleanSessions { have, need: 354, .. } => Some(*have),
        _ => None,
    });
    let have = proof.unwrap();
    assert!((60..140).contains(&have), "{have}");
    // One canary session in ten seconds: some 2,600 s for the rest.
    let seconds = shortfall.seconds_at_present_rate.unwrap();
    assert!((1_500.0..4_500.0).contains(&seconds), "{seconds}");
}

#[test]
fn canary_as_bad_as_the_limit_is_not_promoted_though_stable_is_no_better() {
    let mut judge = judge(|c| c.min_bake_seconds = 0);
    for n in 0..50_000 {
        let observation = request(n, 0.5);
        let observation = if n % 50 == 0 { failing(observation) } else { observation };
        assert_eq!(judge.observe(&observation), Verdict::Continue);
    }
    let Verdict::Inconclusive(shortfall) = judge.conclude(50_000_000) else { panic!() };
    assert!(matches!(shortfall.missing[..], [Missing::RateAboveLimit { limit: 0.01, .. }]), "{shortfall:?}");
    assert_eq!(shortfall.seconds_at_present_rate, None);
}

#[test]
fn some_evidence_of_harm_holds_the_promotion_back() {
    let mut judge = judge(|c| {
        c.min_bake_seconds = 0;
        c.rollback_alpha = 1e-9;
        c.metrics[0].certify_below = Some(0.2);
    });
    for n in 0..3_000 {
        let observation = request(n, 0.1);
        let canary_fails = observation.version == Version::Canary && n < 60;
        judge.observe(&if canary_fails { failing(observation) } else { observation });
    }
    let shortfall = judge.shortfall();
    assert!(
        matches!(&shortfall.missing[..], [Missing::Suspicion { e_value, .. }] if *e_value > 10.0),
        "{shortfall:?}"
    );
}

#[test]
fn split_that_is_not_the_announced_one_is_inconclusive_at_once() {
    let mut judge = judge(|_| ());
    let liar = |n: u64| Observation { share: share(0.1), ..request(n, 0.1) };
    // Half of the stable sessions never arrive: the announced tenth is really two elevenths.
    let arrived = (0..20_000).filter(|n| liar(*n).version == Version::Canary || n % 2 == 0);
    let verdict = arrived.map(|n| judge.observe(&liar(n))).find(|v| *v != Verdict::Continue).unwrap();
    let Verdict::Inconclusive(shortfall) = verdict else { panic!("{verdict:?}") };
    assert!(shortfall.missing.iter().any(|m| matches!(m, Missing::SplitMismatch { .. })), "{shortfall:?}");
}

#[test]
fn requests_sent_past_the_split_prove_nothing_and_block_promotion() {
    let mut judge = judge(|c| c.min_bake_seconds = 0);
    for n in 0..10_000 {
        let observation = request(n, 0.1);
        // Testers with a header: canary requests of sessions that the split gives to stable.
        let forced = Observation { version: Version::Canary, ..failing(observation) };
        judge.observe(&if observation.version == Version::Stable && n % 20 == 0 {
            forced
        } else {
            observation
        });
    }
    assert_eq!(judge.evidence(ERRORS).unwrap().canary_bad, 0);
    let Verdict::Inconclusive(shortfall) = judge.conclude(0) else { panic!() };
    assert!(matches!(shortfall.missing[..], [Missing::Misrouted { .. }]), "{shortfall:?}");
}

#[test]
fn share_of_zero_or_one_compares_nothing() {
    let mut judge = judge(|_| ());
    for n in 0..1_000 {
        assert_eq!(judge.observe(&failing(request(n, 0.0))), Verdict::Continue);
        assert_eq!(judge.observe(&failing(request(n + 5_000, 1.0))), Verdict::Continue);
    }
    assert_eq!(judge.log_e(), 0.0);
}

#[test]
fn slower_than_the_frozen_quantile_is_a_bad_request() {
    let mut baseline = LatencyBaseline::default();
    (0..10_000).for_each(|n| baseline.record_micros(1_000 + n % 100));
    let limit = baseline.freeze(0.95).unwrap();
    let mut judge = judge(|c| {
        c.metrics = vec![
            MetricConfig::new("errors").certified_below(0.01).weighing(0.7),
            MetricConfig::new("slow").slower_than_micros(limit).weighing(0.3),
        ];
    });
    let verdict = on_canary(0.1)
        .take(6)
        .map(|o| judge.observe(&Observation { latency_micros: Some(limit + 1), ..o }))
        .find(|v| *v != Verdict::Continue)
        .unwrap();
    let Verdict::Rollback(harm) = verdict else { panic!("{verdict:?}") };
    assert_eq!((harm.metric.as_str(), harm.evidence.canary_bad), ("slow", 4));
}

#[test]
fn tolerated_ratio_is_not_harm() {
    let mut judge = judge(|c| c.metrics[0].tolerance = 3.0);
    // The canary fails twice as often as stable for hours.
    for n in 0..100_000 {
        let observation = request(n, 0.5);
        let every = if observation.version == Version::Canary { 50 } else { 100 };
        let observation = if n % every == 0 { failing(observation) } else { observation };
        assert_eq!(judge.observe(&observation), Verdict::Continue);
    }
}

#[test]
fn memory_at_its_bound_still_finds_harm_and_says_so() {
    let mut judge = judge(|c| {
        c.max_bad_sessions = 64;
        c.max_sessions = 64;
    });
    for n in 0..5_000 {
        assert_eq!(judge.observe(&failing(request(n, 0.1))), Verdict::Continue);
    }
    let late = (5_000..).map(|n| request(n, 0.1)).filter(|o| o.version == Version::Canary).take(5_000);
    let found = late.map(|o| judge.observe(&failing(o))).find(|v| *v != Verdict::Continue).unwrap();
    let Verdict::Rollback(harm) = found else { panic!("{found:?}") };
    assert!(harm.evidence.one_session_in >= 64, "{harm:?}");
}

#[test]
fn stored_judge_goes_on_where_it_stopped() {
    let mut through = judge(|c| c.metrics.push(MetricConfig::new("slow").slower_than_micros(500)));
    let mut stopped = through.clone();
    for n in 0..4_000 {
        let observation = request(n, 0.1 + 0.1 * (n / 1_000) as f64);
        let observation = if n % 7 == 0 { failing(observation) } else { observation };
        let expected = through.observe(&observation);
        if n % 500 == 250 {
            stopped = serde_json::from_str(&serde_json::to_string(&stopped).unwrap()).unwrap();
        }
        let got = stopped.observe(&observation);
        assert_eq!(std::mem::discriminant(&got), std::mem::discriminant(&expected));
        assert!((stopped.log_e() - through.log_e()).abs() < 1e-9);
    }
    assert_eq!(stopped.shortfall().missing.len(), through.shortfall().missing.len());
}

#[test]
fn damaged_state_is_refused_not_judged_on() {
    let mut judge = judge(|_| ());
    (0..200).for_each(|n| {
        judge.observe(&failing(request(n, 0.1)));
    });
    let good = serde_json::to_value(&judge).unwrap();
    let refused = |change: fn(&mut serde_json::Value)| {
        let mut state = good.clone();
        change(&mut state);
        serde_json::from_value::<Judge>(state).unwrap_err().to_string()
    };
    assert!(refused(|s| s["schema"] = 99.into()).contains("format 99"));
    assert!(refused(|s| s["config"]["rollback_alpha"] = 2.into()).contains("rollback_alpha"));
    assert!(refused(|s| s["metrics"] = serde_json::json!([])).contains("damaged"));
    assert!(
        refused(|s| s["metrics"][0]["process"]["log_wealth"] = serde_json::json!([0.0])).contains("damaged")
    );
}

#[test]
fn configuration_that_could_promote_nothing_is_refused() {
    let config = JudgeConfig { metrics: vec![MetricConfig::new("errors")], ..JudgeConfig::default() };
    assert_eq!(Judge::new(config).unwrap_err(), ConfigError::NothingToCertify);
}

#[test]
fn hold_back_tells_a_bad_release_from_a_bad_hour() {
    let promoted = || {
        let mut judge = judge(|c| c.min_bake_seconds = 60);
        (0..4_000).for_each(|n| {
            judge.observe(&request(n, 0.1));
        });
        assert!(matches!(judge.verdict(), Verdict::Promote(_)));
        HoldBackWatch::new(judge, 10_000_000, 100)
    };
    let mut shared_outage = promoted();
    let last = (4_000..=10_000).map(|n| shared_outage.observe(&failing(request(n, 0.8)))).last().unwrap();
    assert_eq!(last, WatchVerdict::Passed);

    let mut bad_release = promoted();
    let found = (4_000..10_000).find_map(|n| {
        let observation = request(n, 0.8);
        let fails = observation.version == Version::Canary && n % 10 == 0;
        match bad_release.observe(&if fails { failing(observation) } else { observation }) {
            WatchVerdict::Rollback(Alarm::Harm(harm)) => Some(harm.evidence.canary_bad),
            _ => None,
        }
    });
    assert!(found.is_some_and(|failures| failures < 60), "{found:?}");

    let mut silence = promoted();
    assert!(matches!(silence.tick(10_000_000), WatchVerdict::Inconclusive(gap) if gap.new_requests == 0));
}
