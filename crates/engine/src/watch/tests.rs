//! The judge of the watch, signal by signal.

use super::*;

fn look(requests: u64, errors: u64) -> Look {
    Look {
        at: Timestamp::UNIX_EPOCH,
        elapsed_s: 0,
        total_s: 60,
        services: vec![ServiceLook {
            service: "web".into(),
            requests,
            errors,
            counted: true,
            p50_ms: Some(10.0),
            p95_ms: Some(20.0),
            latency_buckets: vec![(10_000, requests - requests / 10), (20_000, requests / 10)],
            restarts: 0,
            running: true,
        }],
        severe_lines: 0,
        severe_sample: None,
        journeys: None,
        cpu_percent: None,
        memory_percent: None,
        disk_free_percent: None,
        resources: vec![],
        blind: vec![],
    }
}

fn undoes(looks: &[Look]) -> Option<usize> {
    let mut w = Watcher::default();
    looks.iter().position(|l| decisive(&w.look(l, &Baseline::default(), &Watch::default())).is_some())
}

#[test]
fn one_blip_does_not_undo_a_deploy() {
    assert_eq!(undoes(&[look(100, 50), look(100, 0), look(100, 50), look(100, 50), look(100, 0)]), None);
}

#[test]
fn errors_in_three_looks_in_a_row_undo_it() {
    assert_eq!(undoes(&[look(100, 0), look(100, 9), look(100, 9), look(100, 9)]), Some(3));
}

#[test]
fn a_watch_does_not_end_while_a_fault_counts() {
    let (base, limits) = (Baseline::default(), Watch::default());
    let (before, after) = (limits.duration.0 - Duration::from_secs(1), limits.duration.0);
    let mut w = Watcher::default();
    w.look(&look(100, 0), &base, &limits);
    assert!(!w.may_end(before, &limits) && w.may_end(after, &limits));
    w.look(&look(100, 9), &base, &limits);
    assert!(!w.may_end(after, &limits));
    w.look(&look(3, 0), &base, &limits);
    assert!(!w.may_end(after, &limits), "a look that saw nothing cleared it");
    // Nobody comes any more: it ends when the looks that could have decided it are over.
    assert!(w.may_end(after * 2, &limits));
    w.look(&look(100, 0), &base, &limits);
    assert!(w.may_end(after, &limits));
    w.in_a_row.insert("said:cpu".into(), 2);
    assert!(w.may_end(after, &limits), "what is only said holds it up");
    w.in_a_row.insert("blind:counts".into(), 1);
    assert!(!w.may_end(after * 2, &limits));
}

#[test]
fn a_quiet_look_neither_clears_nor_raises_the_count() {
    assert_eq!(undoes(&[look(100, 9), look(100, 9), look(3, 0), look(100, 9)]), Some(3));
}

#[test]
fn slower_than_the_old_release_counts_only_when_it_matters() {
    let limits = Watch::default();
    let mut base = Baseline::default();
    base.latency.insert("web".into(), (10.0, 20.0));
    let mut slow = look(100, 0);
    slow.services[0].latency_buckets = vec![(10_000, 80), (100_000, 20)];
    assert!(Watcher::default().look(&slow, &base, &limits).is_empty(), "80 ms more are below the floor");
    slow.services[0].latency_buckets = vec![(10_000, 80), (400_000, 20)];
    assert_eq!(Watcher::default().look(&slow, &base, &limits)[0].signal, "latency:web");
}

#[test]
fn a_process_that_is_gone_or_keeps_restarting_is_a_breach() {
    for (running, restarts) in [(false, 0), (true, 3)] {
        let mut l = look(0, 0);
        l.services[0].running = running;
        l.services[0].restarts = restarts;
        assert_eq!(Watcher::default().look(&l, &Baseline::default(), &Watch::default()).len(), 1);
    }
}

#[test]
fn severe_lines_above_the_limit_are_a_breach_and_the_first_of_them_is_shown() {
    let limits = Watch::default();
    let severe = |n: u64, sample: &str| Look {
        severe_lines: n,
        severe_sample: Some(sample.to_owned()).filter(|s| !s.is_empty()),
        ..look(0, 0)
    };
    assert_eq!(logs(&severe(5, "FATAL a"), &limits), Signal::Good, "five are the limit, and are within it");
    let Signal::Bad(what) = logs(&severe(6, "FATAL no ledger"), &limits) else { panic!("six are too many") };
    assert_eq!(what.en, "6 severe log lines (limit 5): FATAL no ledger");
    assert_eq!(what.zh, "6 行严重日志（上限 5）：FATAL no ledger");
    // A line whose secrets could not be taken out is counted and not shown.
    let Signal::Bad(what) = logs(&severe(6, ""), &limits) else { panic!("six are too many") };
    assert_eq!(what.en, "6 severe log lines (limit 5): ");
    let none = Watch { max_severe_lines: 0, ..Watch::default() };
    assert_eq!(logs(&severe(0, ""), &none), Signal::Good);
    assert!(matches!(logs(&severe(1, "FATAL a"), &none), Signal::Bad(_)));
}

#[test]
fn severe_lines_undo_a_deploy_in_three_looks_in_a_row_and_not_by_one_burst() {
    let severe = |n: u64| Look { severe_lines: n, ..look(0, 0) };
    assert_eq!(undoes(&[severe(600), severe(0), severe(600), severe(600), severe(5)]), None);
    assert_eq!(undoes(&[severe(0), severe(6), severe(6), severe(6)]), Some(3));
    let mut w = Watcher::default();
    let breaches = w.look(&severe(6), &Baseline::default(), &Watch::default());
    assert_eq!((breaches[0].signal.as_str(), breaches[0].undoes, breaches[0].in_a_row), ("logs", true, 1));
    // Out of sight is neither well nor ill.
    let unseen = Look { blind: vec![blind("logs")], ..look(0, 0) };
    w.look(&unseen, &Baseline::default(), &Watch::default());
    assert_eq!(w.in_a_row["logs"], 1);
}

#[test]
fn the_severe_words_of_the_default_are_words_and_not_parts_of_them() {
    let patterns = regex::RegexSet::new(&Watch::default().severe_log_patterns).unwrap();
    for line in
        ["FATAL: no space", "thread panicked: PANIC", "12:00 CRITICAL db", "UnhandledPromiseRejectionWarning"]
    {
        assert!(patterns.is_match(line), "{line}");
    }
    for line in ["NONFATAL hiccup", "fatal attraction, a film", "ERROR the basket is on fire", "PANICKED"] {
        assert!(!patterns.is_match(line), "{line}");
    }
}

#[test]
fn journeys_that_were_not_due_keep_their_count() {
    let mut w = Watcher::default();
    let mut bad = look(0, 0);
    bad.journeys = Some(vec![("login".into(), Some("status 500".into()))]);
    for i in 1..=3 {
        let b = w.look(&bad, &Baseline::default(), &Watch::default());
        assert_eq!(b[0].in_a_row, i);
        w.look(&look(0, 0), &Baseline::default(), &Watch::default());
    }
}

/// Looks ten seconds apart.
fn every_ten_seconds(looks: impl IntoIterator<Item = (u64, u64)>) -> Vec<Look> {
    let looks = looks.into_iter().enumerate();
    looks.map(|(i, (requests, errors))| Look { elapsed_s: 10 * i as u64, ..look(requests, errors) }).collect()
}

/// The breach that undoes, in which look, and what it says.
fn why(looks: &[Look], baseline: &Baseline) -> Option<(usize, String)> {
    let mut w = Watcher::default();
    looks
        .iter()
        .enumerate()
        .find_map(|(i, l)| decisive(&w.look(l, baseline, &Watch::default())).map(|b| (i, b.what.en.clone())))
}

#[test]
fn a_quiet_site_that_only_fails_is_noticed_after_a_handful_of_requests() {
    let an_hour = |requests: &[usize]| {
        let requests = requests.to_vec();
        every_ten_seconds((0..360).map(move |i| if requests.contains(&i) { (1, 1) } else { (0, 0) }))
    };
    let (at, what) = why(&an_hour(&[20, 150, 320]), &Baseline::default()).unwrap();
    assert_eq!(at, 320);
    assert_eq!(what, "web: 3 of 3 requests in 50m 10s failed (100.0 %, limit 5.0 %)");
    assert_eq!(why(&an_hour(&[20, 150]), &Baseline::default()), None, "two requests prove nothing");
    // Half of them is no chance either.
    let half = every_ten_seconds((0..40).map(|i| (1, u64::from(i % 2 == 0))));
    assert!(
        why(&half, &Baseline::default()).is_some_and(|(at, _)| at < 12),
        "{:?}",
        why(&half, &Baseline::default())
    );
}

#[test]
fn many_failures_in_one_look_of_a_quiet_site_are_one_blip() {
    let blip = [(0, 0), (6, 6)].into_iter().chain(std::iter::repeat_n((1, 0), 300));
    assert_eq!(why(&every_ten_seconds(blip), &Baseline::default()), None);
}

#[test]
fn requests_are_added_up_until_there_are_enough_to_judge() {
    // Ten percent fail, at five requests in a look: less than `min-requests`, and never improbable in one look.
    let looks = every_ten_seconds((0..60).map(|i| (5, u64::from(i % 2 == 0))));
    let (at, what) = why(&looks, &Baseline::default()).unwrap();
    assert_eq!(at, 11, "three times twenty requests");
    assert_eq!(what, "web: 2 of 20 requests in 40s failed (10.0 %, limit 5.0 %)");
    let fine = every_ten_seconds((0..360).map(|i| (5, u64::from(i % 10 == 0))));
    assert_eq!(why(&fine, &Baseline::default()), None, "two percent are within the limit");
}

#[test]
fn latency_of_a_quiet_site_is_judged_when_enough_requests_have_come() {
    let mut base = Baseline::default();
    base.latency.insert("web".into(), (10.0, 20.0));
    let mut looks = every_ten_seconds(std::iter::repeat_n((4, 0), 60));
    for l in &mut looks {
        l.services[0].latency_buckets = vec![(900_000, 4)];
    }
    let (at, what) = why(&looks, &base).unwrap();
    assert_eq!(at, 14, "three times twenty requests");
    assert!(what.contains("median 900 ms") && what.contains("20 requests in 50s"), "{what}");
}

#[test]
fn the_sums_survive_a_restart_of_the_host() {
    let mut w = Watcher::default();
    for l in every_ten_seconds([(1, 1), (1, 1)]) {
        w.look(&l, &Baseline::default(), &Watch::default());
    }
    let mut w: Watcher = serde_json::from_str(&serde_json::to_string(&w).unwrap()).unwrap();
    let last = &every_ten_seconds([(0, 0), (0, 0), (1, 1)])[2];
    assert!(decisive(&w.look(last, &Baseline::default(), &Watch::default())).is_some());
    // What the release before has written is read.
    let old: Watcher = serde_json::from_str(r#"{"in_a_row": {"errors:web": 2}}"#).unwrap();
    assert_eq!(old.in_a_row["errors:web"], 2);
}

#[test]
fn a_watch_says_what_it_stands_on() {
    let mut w = Watcher::default();
    for mut l in every_ten_seconds([(3, 0), (1, 1)]) {
        l.services.push(ServiceLook {
            service: "api".into(),
            counted: true,
            running: true,
            ..ServiceLook::default()
        });
        l.services.push(ServiceLook { service: "jobs".into(), running: true, ..ServiceLook::default() });
        w.look(&l, &Baseline::default(), &Watch::default());
    }
    assert_eq!(
        w.evidence().en,
        "api: no requests, so nothing is known of its errors; web: 1 of 4 requests failed"
    );
}

fn blind(signal: &str) -> Blind {
    Blind { signal: signal.into(), why: Text::same("gone") }
}

#[test]
fn what_cannot_be_seen_for_long_undoes_the_deploy_and_a_moment_does_not() {
    let limits = Watch::default();
    let unseen = Look { blind: vec![blind("requests:web")], ..look(0, 0) };
    let mut w = Watcher::default();
    let mut undone_at = None;
    for i in 0..20 {
        if decisive(&w.look(&unseen, &Baseline::default(), &limits)).is_some() {
            undone_at.get_or_insert(i);
        }
        assert!(w.is_blind());
    }
    assert_eq!(undone_at, Some(11), "two minutes at a look each ten seconds");
    let mut w = Watcher::default();
    for i in 0..200 {
        let l = if i % 11 == 10 { look(0, 0) } else { unseen.clone() };
        assert!(decisive(&w.look(&l, &Baseline::default(), &limits)).is_none());
    }
    w.look(&look(0, 0), &Baseline::default(), &limits);
    assert!(!w.is_blind(), "seen again");
}

#[test]
fn journeys_that_cannot_run_are_counted_when_they_are_due() {
    let mut w = Watcher::default();
    let unseen = Look { journeys: Some(vec![]), blind: vec![blind("journeys")], ..look(0, 0) };
    for i in 1..=3 {
        let b = w.look(&unseen, &Baseline::default(), &Watch::default());
        assert_eq!((b[0].signal.as_str(), b[0].in_a_row, b[0].of), ("blind:journeys", i, 3));
        assert!(w.look(&look(0, 0), &Baseline::default(), &Watch::default()).is_empty());
        assert!(w.is_blind(), "they were not due, so nothing was seen");
    }
    w.look(
        &Look { journeys: Some(vec![("a".into(), None)]), ..look(0, 0) },
        &Baseline::default(),
        &Watch::default(),
    );
    assert!(!w.is_blind());
}

#[test]
fn a_look_that_did_not_see_a_process_does_not_call_it_well() {
    let mut w = Watcher::default();
    let mut dead = look(0, 0);
    dead.services[0].running = false;
    let unseen = Look { blind: vec![blind("process:web")], ..look(0, 0) };
    for (l, count) in [(&dead, 1), (&unseen, 1), (&dead, 2)] {
        w.look(l, &Baseline::default(), &Watch::default());
        assert_eq!(w.in_a_row["process:web"], count);
    }
}

fn busy(used: f64, before: Option<f64>, own: Option<f64>) -> Look {
    let memory = Resource { kind: ResourceKind::Memory, used, limit: 80.0, before, own };
    Look { resources: vec![memory], ..look(0, 0) }
}

#[test]
fn a_host_that_the_release_overloads_for_long_is_relieved_of_it() {
    let mut w = Watcher::default();
    let l = busy(91.0, Some(60.0), Some(25.0));
    let undone =
        (0..60).position(|_| decisive(&w.look(&l, &Baseline::default(), &Watch::default())).is_some());
    assert_eq!(undone, Some(29), "five minutes at a look each ten seconds");
    let mut w = Watcher::default();
    for i in 0..200 {
        let l = if i % 29 == 28 { busy(79.0, Some(60.0), Some(25.0)) } else { l.clone() };
        assert!(decisive(&w.look(&l, &Baseline::default(), &Watch::default())).is_none(), "{i}");
    }
}

#[test]
fn a_host_that_others_overload_or_that_was_so_before_undoes_nothing_and_is_said() {
    let cases = [
        ("so before", busy(86.0, Some(85.0), Some(2.0))),
        ("a little more than before", busy(88.0, Some(79.0), Some(9.0))),
        ("the nightly backup of another program", busy(99.0, Some(30.0), Some(1.0))),
        ("a release that is not to blame although it is large", busy(95.0, Some(90.0), Some(20.0))),
        ("nothing is known from before", busy(99.0, None, Some(50.0))),
        ("nothing is known of the release", busy(99.0, Some(30.0), None)),
    ];
    for (what, l) in cases {
        let mut w = Watcher::default();
        for i in 1..=400 {
            let b = w.look(&l, &Baseline::default(), &Watch::default());
            assert!(decisive(&b).is_none(), "{what}");
            assert_eq!((b[0].in_a_row, b[0].undoes), (i, false), "{what}");
        }
    }
    let mut free = busy(99.0, Some(1.0), Some(90.0));
    free.resources[0].limit = 100.0;
    assert!(Watcher::default().look(&free, &Baseline::default(), &Watch::default()).is_empty(), "no limit");
}

#[test]
fn looks_of_the_release_before_are_read() {
    let mut old = serde_json::to_value(look(5, 0)).unwrap();
    old.as_object_mut().unwrap().remove("resources");
    old["blind"] = serde_json::json!([{"en": "gone", "zh-CN": "没了"}]);
    let l: Look = serde_json::from_value(old).unwrap();
    assert_eq!((l.blind[0].signal.as_str(), l.blind[0].why.zh.as_str()), ("", "没了"));
}
