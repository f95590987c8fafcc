//! `unmigrate` takes back what this run's migration did, and nothing else. The tool here is like most: it takes the newest
//! step back, whichever release made that.

use safelight_testkit::bed::{Bed, Release};

/// v2 serves on schema 2; the next release's start is soon found to fail.
fn bed() -> Bed {
    let mut bed = Bed::new();
    bed.configure("start-timeout = \"8s\"", "start-timeout = \"2s\"");
    bed.configure(
        "migrate = \"sh migrate.sh\"",
        "migrate = \"sh migrate.sh\"\nunmigrate = \"sh unmigrate.sh\"",
    );
    write_unmigrate(&bed, "");
    bed.deploy(&Release::new("v1", 1)).ended(0);
    bed.deploy(&Release::new("v2", 2)).ended(0);
    bed.traffic_begins();
    bed
}

fn migrate_script(bed: &Bed) -> String {
    std::fs::read_to_string(bed.project().join("app/migrate.sh")).unwrap_or_default()
}

/// The newest step; with an argument, down to that schema.
fn write_unmigrate(bed: &Bed, to: &str) {
    bed.prepare(&Release::new("v0", 0));
    let script = migrate_script(bed).replace("migrate 0", &format!("unmigrate {to}"));
    bed.write("app/unmigrate.sh", &script);
}

/// A migration that is well in the rehearsal, and `then` where it counts.
fn only_in_production(bed: &Bed, then: &str) {
    let script = migrate_script(bed);
    let script = format!("case $DATABASE_URL in *scratch*) ;; *) {then} ;; esac\n{} \"$@\"\n", script.trim());
    bed.write("app/migrate.sh", &script);
}

fn schema(bed: &Bed) -> u32 {
    let db = rusqlite::Connection::open(bed.app_dir().join("shared/data/shop.db")).unwrap();
    db.query_row("SELECT max(number) FROM migrations", [], |r| r.get(0)).unwrap()
}

const BAD: &[&str] = &["APP_MODE=500"];

#[test]
fn the_migration_of_a_deploy_that_is_undone_is_taken_back() {
    let mut bed = bed();
    bed.deploy(&Release::new("v3", 3).with_env(BAD)).ended(3).says(&["schema 3 -> 2"]);
    assert_eq!(schema(&bed), 2);
    bed.serves_exactly("v2");
    bed.nobody_was_failed();
}

#[test]
fn a_migration_that_did_nothing_takes_nothing_of_the_release_that_serves_away() {
    let mut bed = bed();
    bed.prepare(&Release::new("v3", 3));
    only_in_production(&bed, "set -- --fail-after 2");
    bed.safelight(&["deploy"]).ended(3).says(&["no such column: colour", "the schema is 2, as before"]);
    assert_eq!(schema(&bed), 2);
    bed.serves_exactly("v2");
    bed.nobody_was_failed();
}

#[test]
fn a_migration_that_fails_half_way_is_taken_back() {
    let mut bed = bed();
    bed.prepare(&Release::new("v3", 4));
    only_in_production(&bed, "set -- --fail-after 3");
    bed.safelight(&["deploy"]).ended(3).says(&["no such column: colour", "is kept, proven, in"]);
    assert_eq!(schema(&bed), 2);
    bed.serves_exactly("v2");
    bed.nobody_was_failed();
}

#[test]
fn ctrl_c_at_a_migration_that_has_not_begun_takes_nothing_away() {
    let mut bed = bed();
    let (begun, gate) = (bed.dir().join("begun"), bed.dir().join("gate"));
    bed.prepare(&Release::new("v3", 3));
    let wait = format!(": > {}; while [ ! -e {} ]; do sleep 0.05; done", begun.display(), gate.display());
    only_in_production(&bed, &wait);
    let mut cli = bed.background(&["deploy"]);
    bed.wait_until("the migration has been started", |_| begun.exists());
    cli.interrupt();
    cli.end().ended(130);
    assert_eq!(schema(&bed), 2);
    bed.serves_exactly("v2");
    bed.nobody_was_failed();
}

#[test]
fn an_undo_that_is_killed_takes_the_migration_back_once() {
    for point in ["undo-intent:migrate", "undo-applied:migrate"] {
        let mut bed = bed();
        bed.restart_daemon();
        bed.prepare(&Release::new("v3", 3).with_env(BAD));
        bed.order(point, "kill");
        let mut cli = bed.background(&["deploy"]);
        bed.daemon_dies_at(point, &cli);
        cli.kill();
        // The daemon goes on with an undo as soon as it is back.
        let said = bed.safelight(&["resume"]);
        assert!(matches!(said.code, Some(2 | 3)), "{point}: {said:?}");
        bed.wait_until("the run is over", |b| b.app()["run"].is_null());
        assert_eq!(schema(&bed), 2, "{point}");
        bed.serves_exactly("v2");
        bed.nobody_was_failed();
    }
}

#[test]
fn a_schema_that_is_not_what_it_was_is_a_persons_business_and_abort_tries_again() {
    let mut bed = bed();
    bed.deploy(&Release::new("v3", 4).with_env(BAD))
        .ended(4)
        .says(&["has led from schema 4 to 3, and before this run it was 2", "SAFELIGHT_SCHEMA"]);
    assert_eq!(schema(&bed), 3);
    let said = bed.safelight(&["abort"]);
    assert!(matches!(said.code, Some(0 | 4)), "{said:?}");
    bed.wait_until("the run is over", |b| b.app()["run"].is_null());
    assert_eq!(schema(&bed), 2);
    bed.serves_exactly("v2");

    // Told where to lead to, it goes all the way at once.
    write_unmigrate(&bed, "\"$SAFELIGHT_SCHEMA\"");
    bed.deploy(&Release::new("v4", 4).with_env(BAD)).ended(3).says(&["schema 4 -> 2"]);
    assert_eq!(schema(&bed), 2);
    bed.serves_exactly("v2");
    bed.nobody_was_failed();
}

#[test]
fn unmigrate_without_a_way_to_see_the_schema_is_refused() {
    let mut bed = bed();
    bed.configure("schema-query = \"SELECT max(number) FROM migrations\"\n", "");
    bed.prepare(&Release::new("v3", 3));
    for command in ["plan", "deploy"] {
        bed.safelight(&[command]).ended(2).says(&["safelight.toml:", "`unmigrate` needs a `schema-query`"]);
    }
    bed.serves_exactly("v2");
    bed.nobody_was_failed();
}
