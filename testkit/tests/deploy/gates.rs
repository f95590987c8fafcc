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
    let script = script.replace("migrate 3", "migrate 3 --fail-after 2");
    bed.write("app/migrate.sh", &format!("echo 'the first line' >&2\necho 'the second line' >&2\n{script}"));
    let said = bed.safelight(&["deploy"]).ended(1);
    let said = said.says(&["no such column: colour", "stopped before anything changed"]);
    let said =
        said.says(&["  | the first line\n", "  | the second line\n", "the migration failed by itself"]);
    assert!(!said.err.contains("fresh checkout"), "{}", said.err);
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
    let backups = bed.app_dir().join("backups").to_string_lossy().into_owned();
    let said = bed.safelight(&["deploy"]).ended(3).says(&[
        "no such column: colour",
        "as it was before this run is kept, proven, in",
        "the schema 2 stays; nobody has run r1 on this schema",
        &format!("the database as it was before this run is kept in {backups}/"),
        "`safelight rollback --database`",
    ]);
    assert!(!said.err.contains("was proven on it"), "r1 was proven on schema 3: {}", said.err);
    // Half of it is a schema that was never rehearsed: it stays, and the old release runs on it unproven.
    assert_eq!(schema(&bed), 2);
    bed.serves_exactly("v1");
    bed.nobody_was_failed();
}

#[test]
fn a_migration_that_is_kept_whole_is_the_one_that_the_old_release_was_proven_on() {
    let mut bed = Bed::new();
    bed.configure("start-timeout = \"8s\"", "start-timeout = \"2s\"");
    bed.deploy(&Release::new("v1", 1)).ended(0);
    bed.deploy(&Release::new("v2", 3).with_env(&["APP_MODE=500"]))
        .ended(3)
        .says(&["the new schema 3 stays; the old release was proven on it"]);
    assert_eq!(schema(&bed), 3);
    // Without a query nobody can compare: nothing is claimed.
    bed.configure("schema-query = \"SELECT max(number) FROM migrations\"\n", "");
    let said = bed.deploy(&Release::new("v3", 4).with_env(&["APP_MODE=500"])).ended(3);
    let said = said.says(&["without `schema-query` nobody can tell which schema this is"]);
    assert!(!said.err.contains("was proven on it"), "{}", said.err);
    bed.serves_exactly("v1");
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
fn a_journey_that_cannot_run_and_a_secret_that_is_missing_are_found_before_users_are_moved() {
    let mut bed = Bed::new();
    bed.prepare(&Release::new("v1", 1));
    bed.write("site.hurl", "GET {{base_url}}/\nHTTP 200\n[Asserts]\nstatus equls 200\n");
    for command in ["check", "plan", "deploy"] {
        bed.safelight(&[command]).ended(2).says(&["site.hurl:4:8: ", "status equls 200"]);
    }
    std::fs::remove_file(bed.project().join("site.hurl")).unwrap();
    let line = bed.config_text().lines().position(|l| l.starts_with("files = ")).unwrap() + 1;
    let at = format!("safelight.toml:{line}:10: the journey site.hurl cannot be read");
    for command in ["check", "plan", "deploy"] {
        bed.safelight(&[command]).ended(2).says(&[&at]);
    }
    bed.write("site.hurl", "GET {{base_url}}/\nHTTP 200\n");
    bed.configure(
        "files = [\"site.hurl\"]",
        "files = [\"site.hurl\"]\nsecrets = { password = \"SHOP_PASSWORD\" }",
    );
    bed.safelight(&["deploy"]).ended(1).says(&[
        "P14",
        "not set: SHOP_PASSWORD",
        "stopped before anything changed",
    ]);
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

#[test]
fn a_new_release_that_fails_on_a_copy_of_the_database_is_stopped_before_anything_changes() {
    let mut bed = Bed::new();
    bed.deploy(&Release::new("v1", 1)).ended(0);
    bed.traffic_begins();
    let said = bed.deploy(&Release::new("v2", 2).with_env(&["APP_REHEARSAL_MODE=500"])).ended(1);
    said.says(&["fails on a migrated copy of the database", "stopped before anything changed"]);
    assert_eq!(schema(&bed), 1);
    bed.serves_exactly("v1");
    bed.nobody_was_failed();
}

#[test]
fn a_rehearsal_runs_the_journeys_with_both_releases_and_tells_which_it_leaves_out() {
    let mut bed = Bed::new();
    bed.deploy(&Release::new("v1", 1)).ended(0);
    bed.traffic_begins();
    bed.deploy(&Release::new("v2", 2))
        .ended(0)
        .says(&["1 journeys passed with r1", "the way back is proven"]);
    bed.configure("files = [\"site.hurl\"]", "files = [\"site.hurl\"]\nskip-in-rehearsal = [\"site.hurl\"]");
    let said = bed.deploy(&Release::new("v3", 3)).ended(0);
    let said =
        said.says(&["site.hurl is left out of the rehearsal", "started only, the way back is not proven"]);
    assert!(!said.err.contains("the way back is proven"), "{}", said.err);
    bed.serves_exactly("v3");
    bed.nobody_was_failed();
    bed.configure("skip-in-rehearsal = [\"site.hurl\"]", "skip-in-rehearsal = [\"sight.hurl\"]");
    bed.safelight(&["plan"]).ended(2).says(&["safelight.toml:", "`sight.hurl` is not one of `files`"]);
}

#[test]
fn a_second_directory_with_the_same_app_is_refused_until_it_is_said_that_the_app_has_moved() {
    let mut bed = Bed::new();
    bed.deploy(&Release::new("v1", 1)).ended(0);
    bed.traffic_begins();
    bed.prepare(&Release::new("v2", 1));
    let other = bed.dir().join("other");
    let copied = std::process::Command::new("cp").arg("-a").arg(bed.project()).arg(&other).status().unwrap();
    assert!(copied.success());
    let there = other.to_string_lossy().into_owned();
    let first = bed.project().canonicalize().unwrap().to_string_lossy().into_owned();
    for command in ["deploy", "rollback"] {
        bed.safelight(&["-C", &there, command]).ended(2).says(&["is deployed here from", &first, "--moved"]);
    }
    bed.serves_exactly("v1");
    bed.safelight(&["-C", &there, "deploy", "--moved"]).ended(0);
    bed.serves_exactly("v2");
    bed.safelight(&["deploy"]).ended(2).says(&["is deployed here from", &there]);
    bed.nobody_was_failed();
}

#[test]
fn certificates_that_cannot_be_served_are_errors_of_the_configuration_with_their_place() {
    let mut bed = Bed::new();
    bed.configure("url = \"http://", "url = \"https://");
    let tls = "[env.production.tls]\ncertificates = [{ certificate = \"site.pem\", key = \"site.key\" }]\n";
    bed.configure("required = [\"APP_REQUIRED\"]", &format!("required = [\"APP_REQUIRED\"]\n{tls}"));
    bed.prepare(&Release::new("v1", 1));
    for command in ["plan", "deploy"] {
        bed.safelight(&[command]).ended(2).says(&["safelight.toml:", "site.pem", "there is no such file"]);
    }
    assert_eq!(bed.safelight(&["check"]).code, Some(1), "the check says so, too");
}

#[test]
fn logs_that_are_followed_go_on_with_the_release_that_is_deployed_meanwhile() {
    let bed = Bed::new();
    bed.deploy(&Release::new("v1", 1)).ended(0);
    let shown = bed.dir().join("logs.txt");
    let mut logs = bed.command(&["logs", "--follow", "-n", "0"]);
    let mut logs = logs.stdout(std::fs::File::create(&shown).unwrap()).spawn().unwrap();
    bed.deploy(&Release::new("v2", 1)).ended(0);
    bed.wait_until("the new release is heard of", |_| {
        let text = std::fs::read_to_string(&shown).unwrap_or_default();
        text.lines().any(|l| l.contains("web.r2") && l.contains("this is v2"))
    });
    logs.kill().unwrap();
    logs.wait().unwrap();
}

#[test]
fn a_database_that_would_stay_behind_in_the_old_release_stops_the_next_deploy() {
    let bed = Bed::new();
    bed.deploy(&Release::new("v1", 1)).ended(0);
    // As an app does that opens `app.db` where it happens to run.
    let inside = bed.app_dir().join("releases/r1/app.db");
    std::fs::write(&inside, b"SQLite format 3\0 and so on").unwrap();
    let said = bed.deploy(&Release::new("v2", 2)).ended(1);
    said.says(&["P16", "r1 keeps a database in its own directory: app.db", "build.shared"]);
    bed.serves_exactly("v1");
    assert!(inside.is_file());
    std::fs::remove_file(&inside).unwrap();
    bed.deploy(&Release::new("v2", 2)).ended(0);
    bed.serves_exactly("v2");
}
