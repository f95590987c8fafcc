//! Every form says the same, and nothing hostile gets through into any of them.

use super::*;
use crate::{
    finding::Outcome,
    plan::{Action, Phase, ReleaseRef, Step, UndoPlan},
    risk::RiskRegister,
    text::Lang,
};

const HOSTILE: &str = "<script>alert(1)</script> | `x` & \"y\" \u{1b}[31m";

fn plan() -> Plan {
    let step = |id, phase, action, undo| Step {
        id,
        phase,
        action,
        title: Text::new(format!("step {id} {HOSTILE}"), format!("步骤 {id}")),
        commands: vec![],
        undo,
        tidy: false,
    };
    Plan {
        schema: crate::plan::SCHEMA,
        run: "20260101-000000-0001".into(),
        kind: PlanKind::Deploy,
        app: "filmtrip".into(),
        env: "production".into(),
        host: "vm".into(),
        who: "me@vm".into(),
        from: Some(ReleaseRef { id: "r1".into(), revision: "v1".into(), commit: None }),
        to: ReleaseRef { id: "r2".into(), revision: HOSTILE.into(), commit: None },
        created: Timestamp::UNIX_EPOCH,
        steps: vec![
            step(1, Phase::Assess, Action::Assess, UndoPlan::NothingToDo),
            step(2, Phase::Stage, Action::Stage, UndoPlan::Automatic(Text::same("remove"))),
            step(3, Phase::Verify, Action::Verify, UndoPlan::NothingToDo),
            step(4, Phase::Retire, Action::Prune, UndoPlan::NothingToDo),
        ],
    }
}

fn finding(id: &'static str, outcome: Outcome) -> Finding {
    let spec = crate::check::CheckSpec { id, title: ("Ports", "端口"), risks: &["R6"] };
    Finding::new(&spec, HOSTILE, outcome, Text::same(HOSTILE)).with_help(Text::same("fix it"))
}

fn events(kinds: Vec<EventKind>) -> Vec<Event> {
    let at = Timestamp::UNIX_EPOCH;
    kinds.into_iter().zip(1..).map(|(kind, seq)| Event { seq, at, run: "r".into(), kind }).collect()
}

fn undone_run() -> Report {
    let reason = Text::same(HOSTILE);
    let back = |step| EventKind::StepUndone { step, millis: 1, summary: Text::same("removed") };
    Report::of_run(&events(vec![
        EventKind::RunStarted { plan: plan() },
        EventKind::Checked { finding: finding("P10", Outcome::Pass) },
        EventKind::Checked { finding: finding("P6", Outcome::Warn) },
        EventKind::Decided { verdict: Verdict::of(&RiskRegister(vec![]), &[]), risks: RiskRegister(vec![]) },
        EventKind::StepStarted { step: 1 },
        EventKind::StepDone { step: 1, millis: 1500, summary: Text::same("ok") },
        EventKind::StepStarted { step: 2 },
        EventKind::Output { step: 2, line: HOSTILE.into() },
        EventKind::StepDone { step: 2, millis: 61_000, summary: Text::same("ok") },
        EventKind::StepStarted { step: 3 },
        EventKind::StepFailed { step: 3, millis: 3, error: reason.clone(), help: None },
        EventKind::UndoStarted { reason: reason.clone() },
        back(3),
        back(2),
        back(1),
        EventKind::RunEnded { end: RunEnd::Undone { reason, untouched: false } },
    ]))
    .unwrap()
}

#[test]
fn a_run_folds_into_the_state_of_each_step() {
    let r = undone_run();
    let outcomes: Vec<StepOutcome> = r.steps.iter().map(|s| s.outcome).collect();
    assert_eq!(outcomes, [StepOutcome::Done, StepOutcome::Undone, StepOutcome::Failed, StepOutcome::Pending]);
    assert!(r.steps[0].undone.is_none(), "nothing to take back is not worth a line");
    assert_eq!(
        r.findings.iter().map(|f| f.id.as_str()).collect::<Vec<_>>(),
        ["P6", "P10"],
        "in the order of ids"
    );
    assert_eq!(r.headline().1, Mood::Bad);
}

#[test]
fn a_stream_from_before_undos_were_announced_is_read_as_it_was() {
    let old = [
        r#"{"seq":1,"at":"2026-01-01T00:00:00Z","run":"r","event":"undo-started","reason":{"en":"x","zh-CN":"x"}}"#,
        r#"{"seq":2,"at":"2026-01-01T00:00:00Z","run":"r","event":"step-undone","step":2,"millis":1,"summary":{"en":"removed","zh-CN":"x"}}"#,
    ];
    let old: Vec<Event> = old.iter().map(|l| serde_json::from_str(l).unwrap()).collect();
    let begin = events(vec![EventKind::RunStarted { plan: plan() }]);
    let without = Report::of_run(&[begin.clone(), old.clone()].concat()).unwrap();
    assert_eq!(without.steps[1].undone.as_ref().unwrap().en, "removed");
    let mut new = old;
    let announced = r#"{"seq":3,"at":"2026-01-01T00:00:00Z","run":"r","event":"step-undo-started","step":2}"#;
    new.insert(1, serde_json::from_str(announced).unwrap());
    assert_eq!(Report::of_run(&[begin, new].concat()).unwrap().json(), without.json());
}

#[test]
fn events_that_do_not_begin_with_the_beginning_make_no_report() {
    assert!(Report::of_run(&[]).is_none());
    assert!(Report::of_run(&events(vec![EventKind::StepStarted { step: 1 }])).is_none());
}

#[test]
fn nothing_hostile_reaches_html_in_either_language() {
    for lang in [Lang::En, Lang::Zh] {
        let page = html::render(&undone_run(), lang);
        assert!(!page.contains("<script"), "{lang:?}");
        assert!(page.contains("&lt;script&gt;"));
        assert!(page.contains(&format!("<html lang=\"{}\">", lang.tag())));
        assert!(
            !page.contains("http://") && !page.contains("https://"),
            "self-contained: no address of anything"
        );
    }
}

#[test]
fn the_last_lines_of_an_app_stand_with_the_step_and_not_in_the_headline() {
    let mut run = undone_run();
    let reason = Text::same("api: 9 requests failed\n  | boom\n  | bang");
    run.steps[2].message = Some(reason.clone());
    run.end = Some(RunEnd::Undone { reason, untouched: false });
    let page = html::render(&run, Lang::En);
    let (headline, rest) = page.split_once("</small>").unwrap();
    assert!(headline.contains("9 requests failed") && !headline.contains("boom"), "{headline}");
    assert!(rest.contains("boom") && rest.contains("bang"));
}

#[test]
fn junit_counts_what_it_lists_and_unknown_is_an_error() {
    let findings =
        vec![finding("P1", Outcome::Fail), finding("P2", Outcome::Unknown), finding("P3", Outcome::Pass)];
    let verdict = Verdict::of(&RiskRegister(vec![]), &findings);
    let r = Report::of_check(("a", "e", "h"), Timestamp::UNIX_EPOCH, findings, RiskRegister(vec![]), verdict);
    let xml = junit::render(&r, Lang::En);
    assert!(xml.contains("tests=\"3\" failures=\"1\" errors=\"1\" skipped=\"0\""), "{xml}");
    assert_eq!((xml.matches("<failure").count(), xml.matches("<error").count()), (1, 1));
    assert!(!xml.contains("<script") && !xml.contains('\u{1b}'), "{xml}");
    assert_eq!(xml.matches("<testcase").count(), xml.matches("</testcase>").count());
}

#[test]
fn markdown_tables_keep_their_columns_whatever_the_text() {
    let md = markdown::render(&undone_run(), Lang::En);
    for row in md.lines().filter(|l| l.starts_with("| P")) {
        let bars = row.replace("\\|", "").matches('|').count();
        assert_eq!(bars, 5, "{row}");
    }
    assert!(!md.replace("\\<", "").contains("<script"), "every `<` is escaped");
}

#[test]
fn json_reads_back_as_the_same_report() {
    let r = undone_run();
    let again: Report = serde_json::from_str(&r.json()).unwrap();
    assert_eq!(again, r);
    assert_eq!(again.schema, SCHEMA);
}

#[test]
fn the_terminal_form_has_no_colours_unless_asked() {
    let style = terminal::Style { lang: Lang::Zh, color: false };
    let plain = terminal::render(&undone_run(), style);
    assert!(plain.contains("已撤销") && !plain.replace(HOSTILE, "").contains('\u{1b}'), "{plain}");
    assert!(terminal::render(&undone_run(), terminal::Style { color: true, ..style }).contains("\u{1b}[32m"));
}

#[test]
fn durations_read_like_a_person_would_say_them() {
    let said: Vec<String> = [0, 999, 1500, 61_000, 3_605_000].into_iter().map(duration).collect();
    assert_eq!(said, ["0 ms", "999 ms", "1.5 s", "1m 01s", "60m 05s"]);
}
