//! What stops a deploy before or while it touches production, and what it says then.

use safelight_testkit::bed::{Bed, HOST, Release};

fn ids(bed: &Bed) -> Vec<String> {
    let dir = std::fs::read_dir(bed.app_dir().join("releases")).unwrap();
    let mut names: Vec<String> =
        dir.flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

fn schema(bed: &Bed) -> u32 {
    let db = rusqlite::Connection::open(bed.app_dir().join("shared/data/shop.db")).unwrap();
    db.query_row("SELECT max(number) FROM migrations", [], |r| r.get(0)).unwrap()
}

#[test]
fn a_migration_that_fails_is_caught_by_the_rehearsal_and_production_is_untouched() {
    let mut bed = Bed::new();
    bed.deploy(&Release::new("v1", 1)).ended(0);
    bed.traffic_begins();
    bed.prepare(&Release::new("v2", 3));
    let script = std::fs::read_to_string(bed.project().join("app/migrate.sh")).unwrap();
    bed.write("app/migrate.sh", &script.replace("migrate 3", "migrate 3 --fail-after 2"));
    bed.safelight(&["deploy"]).ended(1).says(&["no such column: colour", "stopped before anything changed"]);
    assert_eq!(schema(&bed), 1);
    bed.serves_exactly("v1");
    bed.nobody_was_failed();
}

#[test]
fn a_migration_that_fails_half_way_in_production_is_undone() {
    let mut bed = Bed::new();
    bed.deploy(&Release::new("v1", 1)).ended(0);
    bed.traffic_begins();
    bed.prepare(&Release::new("v2", 3));
    let script = std::fs::read_to_string(bed.project().join("app/migrate.sh")).unwrap();
    // Well in the rehearsal, broken where it counts.
    let script = format!(
        "case $DATABASE_URL in *scratch*) ;; *) set -- --fail-after 2 ;; esac\n{} \"$@\"\n",
        script.trim()
    );
    bed.write("app/migrate.sh", &script);
    bed.safelight(&["deploy"]).ended(3).says(&["no such column: colour", "rollback --database"]);
    assert_eq!(
        schema(&bed),
        2,
        "what was applied before the failure stays; the old release was proven on it"
    );
    bed.serves_exactly("v1");
    bed.nobody_was_failed();
}

#[test]
fn a_no_go_ends_with_1_and_changes_nothing() {
    let mut bed = Bed::new();
    bed.deploy(&Release::new("v1", 1)).ended(0);
    let before = ids(&bed);
    bed.traffic_begins();
    bed.prepare(&Release::new("v2", 2));
    bed.write(".env.production", "APP_OTHER=1\n");
    bed.safelight(&["check"]).ended(1).says(&["P14", "not set: APP_REQUIRED"]);
    bed.safelight(&["deploy"]).ended(1).says(&[
        "NO-GO",
        "not set: APP_REQUIRED",
        "stopped before anything changed",
    ]);
    assert_eq!(ids(&bed), before);
    assert_eq!(schema(&bed), 1);
    bed.serves_exactly("v1");
    bed.nobody_was_failed();
}

#[test]
fn what_cannot_be_checked_ends_with_5_and_changes_nothing() {
    let mut bed = Bed::new();
    bed.deploy(&Release::new("v1", 1)).ended(0);
    // Nobody answers there: the name's records cannot be had.
    bed.configure(
        "required = [\"APP_REQUIRED\"]",
        "required = [\"APP_REQUIRED\"]\nresolvers = [\"127.0.0.1:1\"]\ndns = { \"shop.example.com\" = [\"192.0.2.7\"] }",
    );
    bed.safelight(&["check"]).ended(5).says(&["P24"]);
    bed.deploy(&Release::new("v2", 2)).ended(5).says(&["P24", "stopped before anything changed"]);
    bed.serves_exactly("v1");
}

#[test]
fn a_wrong_configuration_ends_with_2_and_names_line_and_column() {
    let bed = Bed::cold();
    let good = bed.config_text();
    let line_of = |text: &str, what: &str| text.lines().position(|l| l.contains(what)).unwrap() + 1;

    let unknown = good.replace("every = ", "evry = ");
    bed.write("safelight.toml", &unknown);
    let at = format!("safelight.toml:{}:1", line_of(&unknown, "evry"));
    bed.safelight(&["deploy"]).ended(2).says(&[&at, "unknown key `evry`", "did you mean `every`?"]);

    let wrong = good.replace("min-requests = 5", "min-requests = \"many\"");
    bed.write("safelight.toml", &wrong);
    let at = format!("safelight.toml:{}:16", line_of(&wrong, "min-requests"));
    bed.safelight(&["deploy"]).ended(2).says(&[&at]);

    // Windows editors: a byte order mark and CRLF. Positions are the same, and a good file is a good file.
    let windows = |text: &str| format!("\u{feff}{}", text.replace('\n', "\r\n"));
    bed.write("safelight.toml", &windows(&unknown));
    let at = format!("safelight.toml:{}:1", line_of(&unknown, "evry"));
    bed.safelight(&["deploy"]).ended(2).says(&[&at, "unknown key `evry`"]);
    assert!(!bed.home().join("host.sock").exists(), "a wrong configuration starts no daemon");

    let bed = bed.start_daemon();
    bed.prepare(&Release::new("v1", 1));
    bed.write("safelight.toml", &windows(&good));
    bed.write(".env.production", &windows("APP_REQUIRED=yes\nAPP_LABEL=windows\n"));
    bed.safelight(&["deploy"]).ended(0);
    assert_eq!(bed.get(HOST, "/"), Some((200, "v1 windows\n".to_owned())));
}

#[test]
fn the_second_of_two_deploys_is_told_who_holds_the_host_and_since_when() {
    let bed = Bed::new();
    bed.deploy(&Release::new("v1", 1)).ended(0);
    bed.prepare(&Release::new("v2", 1));
    bed.forget_points();
    bed.order("intent:stage", "pause");
    let mut first = bed.background(&["deploy"]);
    first.comes_to(&bed, "intent:stage");
    let run = bed.app()["run"].clone();
    let (id, began) = (run["run"].as_str().unwrap(), run["began"].as_str().unwrap());
    bed.safelight(&["deploy"]).ended(1).says(&["held by tester@", began, id, "safelight abort"]);
    bed.safelight(&["rollback"]).ended(1).says(&["held by tester@", began, id]);
    bed.release("intent:stage");
    first.end().ended(0);
    bed.serves_exactly("v2");
}
