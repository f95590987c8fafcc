//! What the host's memory keeps, and what it refuses.

use super::*;
use safelight_engine::{
    event::EventKind,
    plan::{PlanKind, ReleaseRef},
    text::Text,
};

fn row(id: &str, app: &str) -> (RunRow, Entry) {
    let plan = Plan {
        schema: safelight_engine::plan::SCHEMA,
        run: id.to_owned(),
        kind: PlanKind::Deploy,
        app: app.to_owned(),
        env: "production".to_owned(),
        host: "h".to_owned(),
        who: "me".to_owned(),
        from: None,
        to: ReleaseRef { id: "r7".to_owned(), revision: "v1".to_owned(), commit: None },
        created: Timestamp::UNIX_EPOCH,
        steps: Vec::new(),
    };
    let first = Entry { seq: 1, at: plan.created, kind: EntryKind::Begin { plan: Box::new(plan.clone()) } };
    let row = RunRow {
        id: id.to_owned(),
        config: String::new(),
        project: "/".into(),
        began: plan.created,
        plan,
        ended: None,
        end: None,
        lease_s: None,
    };
    (row, first)
}

fn undo(seq: u64) -> Entry {
    let kind = EntryKind::UndoBegin { reason: Text::same("x") };
    Entry { seq, at: Timestamp::UNIX_EPOCH, kind }
}

#[test]
fn one_open_run_per_app_and_the_second_is_told_which() {
    let dir = tempfile::tempdir().unwrap();
    let s = Store::open(&dir.path().join("host.db")).unwrap();
    let (a, first) = row("run-a", "shop");
    assert!(s.begin_run(&a, &first).unwrap().is_none());
    let (b, second) = row("run-b", "shop");
    assert_eq!(s.begin_run(&b, &second).unwrap().unwrap().id, "run-a");
    let (c, third) = row("run-c", "blog");
    assert!(s.begin_run(&c, &third).unwrap().is_none(), "another app is free");
    s.end_run("run-a", &RunEnd::Done { warnings: 0 }).unwrap();
    assert!(s.begin_run(&b, &second).unwrap().is_none());
    assert_eq!(s.runs(true, 10).unwrap().len(), 2);
}

#[test]
fn release_numbers_are_never_used_twice() {
    let dir = tempfile::tempdir().unwrap();
    let s = Store::open(&dir.path().join("host.db")).unwrap();
    assert_eq!(s.next_release("shop", "production").unwrap(), "r1");
    let (a, first) = row("run-a", "shop");
    s.begin_run(&a, &first).unwrap();
    assert_eq!(
        s.next_release("shop", "production").unwrap(),
        "r8",
        "an undone release has used its number too"
    );
    assert_eq!(s.next_release("shop", "staging").unwrap(), "r1");
}

#[test]
fn the_last_line_and_the_end_of_the_run_are_written_together_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("host.db");
    let s = Store::open(&path).unwrap();
    let (a, first) = row("run-a", "shop");
    s.begin_run(&a, &first).unwrap();
    let end = |seq| Entry {
        seq,
        at: Timestamp::UNIX_EPOCH,
        kind: EntryKind::End { end: RunEnd::Done { warnings: 0 } },
    };
    // As a full disk does it: the second of the two writes fails.
    let db = Connection::open(&path).unwrap();
    db.execute_batch("CREATE TRIGGER full BEFORE UPDATE ON runs BEGIN SELECT RAISE(ABORT, 'full'); END")
        .unwrap();
    assert!(s.append("run-a", &end(2)).is_err());
    let state = s.run_state("run-a").unwrap();
    assert!(state.end.is_none() && state.seq == 1, "an end that is not on record");
    db.execute_batch("DROP TRIGGER full").unwrap();
    s.append("run-a", &end(2)).unwrap();
    assert!(s.run_state("run-a").unwrap().end.is_some());
    assert!(s.run("run-a").unwrap().unwrap().ended.is_some());
}

#[test]
fn a_changed_or_missing_journal_line_is_refused_with_its_number() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("host.db");
    let s = Store::open(&path).unwrap();
    let (a, first) = row("run-a", "shop");
    s.begin_run(&a, &first).unwrap();
    s.append("run-a", &undo(2)).unwrap();
    assert!(s.run_state("run-a").unwrap().undoing.is_some());
    let db = Connection::open(&path).unwrap();
    db.execute("UPDATE journal SET body = replace(body, '\"x\"', '\"y\"') WHERE seq = 2", []).unwrap();
    let e = s.run_state("run-a").unwrap_err().to_string();
    assert!(e.contains("line 2") && e.contains("checksum"), "{e}");
    db.execute("DELETE FROM journal WHERE seq = 1", []).unwrap();
    assert!(s.run_state("run-a").is_err());
    assert!(s.append("run-a", &undo(4)).is_err(), "nothing is added to a journal with a hole");
}

#[test]
fn a_damaged_file_is_refused_with_the_repair() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("host.db");
    drop(Store::open(&path).unwrap());
    std::fs::write(&path, b"this is no database, whatever its name says").unwrap();
    let e = Store::open(&path).err().unwrap().to_string();
    assert!(e.contains("damaged") && e.contains(".recover"), "{e}");
}

#[test]
fn events_and_journals_of_old_runs_go_and_what_a_rollback_asks_of_them_stays() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("host.db");
    let s = Store::open(&path).unwrap();
    let event = |run: &str| Event {
        seq: 1,
        at: Timestamp::UNIX_EPOCH,
        run: run.to_owned(),
        kind: EventKind::UndoStarted { reason: Text::same("x") },
    };
    for (id, app) in
        [("run-1", "shop"), ("run-2", "shop"), ("run-3", "shop"), ("run-4", "shop"), ("blog-1", "blog")]
    {
        let (row, first) = row(id, app);
        assert!(s.begin_run(&row, &first).unwrap().is_none());
        s.add_event(&event(id)).unwrap();
        if id != "run-4" {
            s.end_run(id, &RunEnd::Done { warnings: 0 }).unwrap();
        }
    }
    // Ended long ago, all but the second; the fourth is open.
    let db = Connection::open(&path).unwrap();
    db.execute(
        "UPDATE runs SET ended = '2020-01-01T00:00:00Z' WHERE ended IS NOT NULL AND id != 'run-2'",
        [],
    )
    .unwrap();
    let before = Timestamp::now() - jiff::SignedDuration::from_hours(24);
    assert_eq!(s.prune_events(before, 1).unwrap(), 2, "the first and the third");
    let left = |run: &str| (s.events(run, 0).unwrap().len(), s.load(run).unwrap().len());
    for (run, wanted) in
        [("run-1", (0, 0)), ("run-2", (1, 1)), ("run-3", (0, 0)), ("run-4", (1, 1)), ("blog-1", (1, 1))]
    {
        assert_eq!(left(run), wanted, "{run}");
        assert!(s.run(run).unwrap().is_some(), "{run} stays on record");
    }
    assert_eq!(s.prune_events(before, 1).unwrap(), 0);
    assert_eq!(
        s.runs_to("shop", "production", "r7").unwrap().len(),
        4,
        "a rollback finds its backup by them"
    );
    s.append("run-4", &undo(2)).unwrap();
}

#[test]
fn a_line_that_finds_no_room_gets_what_was_kept_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("host.db");
    let s = Store::open(&path).unwrap();
    let (row, first) = row("run-a", "shop");
    s.begin_run(&row, &first).unwrap();
    assert!(s.keep_reserve().unwrap() && s.keep_reserve().unwrap());
    let reserve = dir.path().join("reserve");
    assert_eq!(std::fs::metadata(&reserve).unwrap().len(), crate::reserve::BYTES);
    s.append("run-a", &undo(2)).unwrap();
    assert!(reserve.exists(), "a line that has room takes none of it");
    // As many pages as there are: SQLite says that the disk is full.
    let limit = |db: &mut Connection| {
        db.query_row("PRAGMA max_page_count = 1", [], |r| r.get::<_, i64>(0)).unwrap();
    };
    s.with(limit);
    let mut refused = None;
    for seq in 3..500 {
        // Small lines fit into the last page for a while.
        if let Err(e) = s.append("run-a", &undo(seq)) {
            refused = Some(e.to_string());
            break;
        }
    }
    assert!(refused.is_some_and(|e| e.contains("full")), "no line was refused");
    assert!(!reserve.exists(), "what was kept back is given before a line is given up");
}
