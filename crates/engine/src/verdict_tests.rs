//! From findings and waivers to go or no-go.

use super::*;
use crate::{
    check::CheckSpec,
    checks::testing::{World, now},
    config::{Config, Waiver},
    risk::apply_waivers,
};
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use std::sync::LazyLock;

fn finding(id: &'static str, subject: &str, outcome: Outcome) -> Finding {
    let spec = CheckSpec { id, title: ("Odd", "奇怪"), risks: &["R4", "R5"] };
    Finding::new(&spec, subject, outcome, Text::new("so it is", "如此"))
}

fn config(more: &str) -> Config {
    (*World::new(more).ctx().config).clone()
}

fn waiver(check: &str, subject: Option<&str>, until: Timestamp) -> Waiver {
    let (check, subject) = (check.to_owned(), subject.map(str::to_owned));
    Waiver { check, subject, who: "ann".to_owned(), reason: "known".to_owned(), until }
}

fn later() -> Timestamp {
    now() + SignedDuration::from_hours(1)
}

/// The decision, what blocks, and the state of the risk that all findings speak to.
fn judged(mut findings: Vec<Finding>, waivers: &[Waiver]) -> (Decision, Vec<String>, RiskState) {
    apply_waivers(&mut findings, waivers, now());
    static PLAIN: LazyLock<Config> = LazyLock::new(|| config(""));
    let register = RiskRegister::assess(&PLAIN, &findings);
    let verdict = Verdict::of(&register, &findings);
    let state = register.0.iter().find(|r| r.id.0 == "R5").unwrap().state;
    (verdict.decision, verdict.blocking, state)
}

#[test]
fn nothing_looked_at_is_not_a_go() {
    assert_eq!(judged(vec![], &[]), (Decision::Inconclusive, vec![], RiskState::NotApplicable));
    let skipped = vec![finding("P1", "a", Outcome::Skipped), finding("P2", "a", Outcome::Skipped)];
    assert_eq!(judged(skipped, &[]).0, Decision::Inconclusive);
}

#[test]
fn free_disk_alone_does_not_make_the_loss_of_data_mitigated() {
    let of = |outcomes: &[(&'static str, Outcome)]| {
        let findings: Vec<Finding> = outcomes
            .iter()
            .map(|(id, outcome)| {
                let spec = CheckSpec { id, title: ("Odd", "奇怪"), risks: &["R2"] };
                Finding::new(&spec, "x", *outcome, Text::new("so it is", "如此"))
            })
            .collect();
        let register = RiskRegister::assess(&config(""), &findings);
        register.0.iter().find(|r| r.id.0 == "R2").unwrap().state
    };
    assert_eq!(of(&[("P3", Outcome::Pass), ("P27", Outcome::Skipped)]), RiskState::NotApplicable);
    assert_eq!(of(&[("P3", Outcome::Fail), ("P27", Outcome::Skipped)]), RiskState::Open);
    assert_eq!(of(&[("P3", Outcome::Pass), ("P27", Outcome::Pass)]), RiskState::Mitigated);
    assert_eq!(of(&[("P3", Outcome::Pass), ("P16", Outcome::Warn)]), RiskState::Mitigated);
    assert_eq!(of(&[("P27", Outcome::Unknown)]), RiskState::Unknown);
}

#[test]
fn each_outcome_ranks_where_it_belongs() {
    let with = |outcome| judged(vec![finding("P1", "a", Outcome::Pass), finding("P2", "a", outcome)], &[]);
    assert_eq!(with(Outcome::Pass), (Decision::Go, vec![], RiskState::Mitigated));
    assert_eq!(with(Outcome::Warn).0, Decision::Go);
    assert_eq!(with(Outcome::Skipped).0, Decision::Go);
    assert_eq!(with(Outcome::Unknown), (Decision::Inconclusive, vec!["P2 a".to_owned()], RiskState::Unknown));
    assert_eq!(with(Outcome::Fail), (Decision::NoGo, vec!["P2 a".to_owned()], RiskState::Open));
    let both = vec![finding("P1", "a", Outcome::Unknown), finding("P2", "a", Outcome::Fail)];
    assert_eq!(judged(both, &[]).0, Decision::NoGo, "what failed is certain");
}

#[test]
fn a_waiver_holds_until_its_moment_and_not_a_second_longer() {
    let failed = || vec![finding("P1", "a", Outcome::Fail)];
    let second = SignedDuration::from_secs(1);
    assert_eq!(judged(failed(), &[waiver("P1", None, now() + second)]).0, Decision::GoWithWaivers);
    for over in [now(), now() - second] {
        let (decision, blocking, state) = judged(failed(), &[waiver("P1", None, over)]);
        assert_eq!((decision, state), (Decision::NoGo, RiskState::Open), "expired at {over}");
        assert_eq!(blocking, ["P1 a"]);
    }
    // One that is over does not hide one that holds.
    let both = [waiver("P1", None, now() - second), waiver("P1", None, later())];
    assert_eq!(judged(failed(), &both).0, Decision::GoWithWaivers);
}

#[test]
fn a_waiver_for_one_subject_says_nothing_about_another() {
    let failed =
        || vec![finding("P25", "a.example", Outcome::Fail), finding("P25", "b.example", Outcome::Fail)];
    let of_a = waiver("P25", Some("a.example"), later());
    assert_eq!(
        judged(failed(), std::slice::from_ref(&of_a)),
        (Decision::NoGo, vec!["P25 b.example".to_owned()], RiskState::Open)
    );
    assert_eq!(judged(failed(), &[waiver("P25", None, later())]).0, Decision::GoWithWaivers);
    assert_eq!(
        judged(failed(), &[of_a, waiver("P25", Some("b.example"), later())]).0,
        Decision::GoWithWaivers
    );
    assert_eq!(judged(failed(), &[waiver("P2", None, later())]).0, Decision::NoGo, "of another check");
}

#[test]
fn what_is_waived_beside_what_is_unknown_stays_inconclusive() {
    let list = vec![finding("P1", "a", Outcome::Fail), finding("P2", "a", Outcome::Unknown)];
    let (decision, blocking, state) = judged(list, &[waiver("P1", None, later())]);
    assert_eq!((decision, state), (Decision::Inconclusive, RiskState::Unknown));
    assert_eq!(blocking, ["P2 a"]);
}

#[test]
fn a_waiver_is_named_in_the_register_once_and_only_where_it_was_needed() {
    let w = [waiver("P1", None, later())];
    let mut list = vec![finding("P1", "a", Outcome::Fail), finding("P1", "b", Outcome::Unknown)];
    apply_waivers(&mut list, &w, now());
    let register = RiskRegister::assess(&config(""), &list);
    for risk in &register.0 {
        let speaks = ["R4", "R5"].contains(&risk.id.0.as_str());
        assert_eq!(risk.waivers.len(), usize::from(speaks), "{}", risk.id);
    }
    let mut fine = vec![finding("P1", "a", Outcome::Pass)];
    apply_waivers(&mut fine, &w, now());
    assert!(fine[0].waiver.is_none(), "what passes needs none");
}

#[test]
fn a_risk_of_the_users_own_that_nobody_looked_at_is_unknown() {
    let own = "[[risk]]\nid = \"U1\"\ntitle = \"x\"\nseverity = \"low\"\nimpact = \"y\"\nchecks = [\"P1\"]\n";
    let passed = vec![finding("P2", "a", Outcome::Pass)];
    let register = RiskRegister::assess(&config(own), &passed);
    assert_eq!(Verdict::of(&register, &passed).decision, Decision::Inconclusive);
    let looked = vec![finding("P1", "a", Outcome::Pass)];
    let register = RiskRegister::assess(&config(own), &looked);
    assert_eq!(Verdict::of(&register, &looked).decision, Decision::Go);
}

fn outcome() -> impl Strategy<Value = Outcome> {
    use Outcome as O;
    prop_oneof![Just(O::Pass), Just(O::Warn), Just(O::Fail), Just(O::Unknown), Just(O::Skipped)]
}

proptest! {
    #[test]
    fn what_blocks_and_is_not_waived_never_yields_go(
        list in proptest::collection::vec((0..4_usize, 0..3_usize, outcome()), 0..12),
        waived in proptest::collection::vec((0..4_usize, proptest::option::of(0..3_usize), -2..3_i64), 0..4),
    ) {
        const CHECKS: [&str; 4] = ["P1", "P2", "P3", "P4"];
        const SUBJECTS: [&str; 3] = ["a", "b", "c"];
        let findings: Vec<Finding> =
            list.iter().map(|(c, s, o)| finding(CHECKS[*c], SUBJECTS[*s], *o)).collect();
        let waivers: Vec<Waiver> = waived
            .iter()
            .map(|(c, s, hours)| {
                let until = now() + SignedDuration::from_hours(*hours);
                waiver(CHECKS[*c], s.map(|s| SUBJECTS[s]), until)
            })
            .collect();
        // Said once more in other words than those of the code.
        let covered = |c: usize, s: usize| waived.iter().any(|w| w.0 == c && w.1.is_none_or(|x| x == s) && w.2 > 0);
        let open = |o: Outcome| list.iter().any(|(c, s, x)| *x == o && !covered(*c, *s));
        let (decision, blocking, _) = judged(findings, &waivers);
        let go = matches!(decision, Decision::Go | Decision::GoWithWaivers);
        prop_assert_eq!(decision == Decision::NoGo, open(Outcome::Fail));
        if open(Outcome::Unknown) || open(Outcome::Fail) {
            prop_assert!(!go, "{:?}", decision);
        }
        prop_assert_eq!(blocking.is_empty(), !open(Outcome::Unknown) && !open(Outcome::Fail));
        let looked = list.iter().any(|(_, _, o)| *o != Outcome::Skipped);
        prop_assert!(looked || decision == Decision::Inconclusive);
    }
}
