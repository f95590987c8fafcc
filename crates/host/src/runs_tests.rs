//! Runs after a restart of the daemon.

use super::*;
use safelight_engine::run::journal::Journal as _;

/// A journal whose last line says that the run is over, and a record that says that it is open: what a kill between the
/// two left in earlier versions.
fn half_ended(home: &Home) -> Arc<Store> {
    home.create().unwrap();
    let store = Arc::new(Store::open(&home.database()).unwrap());
    let release = ReleaseRef { id: "r1".to_owned(), revision: "v1".to_owned(), commit: None };
    let plan = Plan {
        schema: safelight_engine::plan::SCHEMA,
        run: "run-a".to_owned(),
        kind: PlanKind::Deploy,
        app: "shop".to_owned(),
        env: "production".to_owned(),
        host: "h".to_owned(),
        who: "me".to_owned(),
        from: None,
        to: release,
        created: Timestamp::UNIX_EPOCH,
        steps: Vec::new(),
    };
    let first = Entry { seq: 1, at: plan.created, kind: EntryKind::Begin { plan: Box::new(plan.clone()) } };
    let row = RunRow {
        id: "run-a".to_owned(),
        config: "[app]\nname = \"shop\"\n[[service]]\nname = \"web\"\ncommand = \"x\"\npath = \"/\"\n\
                 [env.production]\nurl = \"http://shop.localhost\"\n"
            .to_owned(),
        project: home.root.clone(),
        began: plan.created,
        plan,
        ended: None,
        end: None,
        lease_s: None,
    };
    store.begin_run(&row, &first).unwrap();
    let end = EntryKind::End { end: RunEnd::Done { warnings: 0 } };
    store.append("run-a", &Entry { seq: 2, at: Timestamp::UNIX_EPOCH, kind: end }).unwrap();
    let db = rusqlite::Connection::open(home.database()).unwrap();
    let open = serde_json::to_string(&row).unwrap();
    db.execute("UPDATE runs SET ended = NULL, body = ?1", [open]).unwrap();
    store
}

#[tokio::test]
async fn a_run_that_is_over_in_its_journal_is_closed_as_it_ended_by_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let home = Home { root: dir.path().join("h") };
    let runs = Runs::new(home.clone(), half_ended(&home), Vec::new());
    runs.recover();
    let row = runs.store().run("run-a").unwrap().unwrap();
    assert_eq!((row.ended.is_some(), row.end), (true, Some(RunEnd::Done { warnings: 0 })));
    assert_eq!(runs.store().run_state("run-a").unwrap().seq, 2, "its journal is as it was");
}

#[tokio::test]
async fn resuming_a_run_that_is_over_in_its_journal_closes_it_as_it_ended() {
    let dir = tempfile::tempdir().unwrap();
    let home = Home { root: dir.path().join("h") };
    let runs = Runs::new(home.clone(), half_ended(&home), Vec::new());
    runs.resume("run-a", "tester").unwrap();
    while runs.is_active("run-a") {
        tokio::task::yield_now().await;
    }
    let row = runs.store().run("run-a").unwrap().unwrap();
    assert_eq!((row.ended.is_some(), row.end), (true, Some(RunEnd::Done { warnings: 0 })));
    assert_eq!(runs.store().run_state("run-a").unwrap().seq, 2, "its journal is as it was");
}
