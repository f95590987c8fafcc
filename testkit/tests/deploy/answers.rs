//! What people are told who ask: what is wrong is named, with what to do, and nothing is answered by silence.

use safelight_testkit::bed::{Bed, HOST, Release};
use std::process::Command;

#[test]
fn a_status_names_the_services_that_do_not_run_and_what_starts_them_again() {
    let mut bed = Bed::under_pm2();
    bed.deploy(&Release::new("v1", 1)).ended(0);
    let said = bed.safelight(&["status"]).ended(0);
    assert!(!said.out.contains("not running"), "{}", said.out);
    bed.pm2().run(&["delete", "shop.production.web.r1"]);
    let said = bed.safelight(&["status"]).ended(0);
    let said = said.says(&["web of r1 is not running", "`safelight host stop && safelight host start`"]);
    assert!(!said.out.contains("api of r1"), "that one runs: {}", said.out);
    bed.safelight(&["status", "--lang", "zh-CN"]).ended(0).says(&["r1 的 web 未在运行"]);
    bed.safelight(&["doctor"]).ended(1).says(&["shop · production", "web of r1 is not running"]);
    assert_eq!(bed.app()["not_running"], serde_json::json!(["web"]));
    // What was said to help does.
    bed.restart_daemon();
    bed.wait_until("it serves again", |b| b.get(HOST, "/").is_some_and(|(status, _)| status == 200));
    bed.wait_until("nothing is missing", |b| b.app()["not_running"] == serde_json::json!([]));
}

#[test]
fn what_does_not_exist_is_said_not_to_with_what_does() {
    let bed = Bed::new();
    bed.prepare(&Release::new("v1", 1));
    bed.safelight(&["verify"]).ended(1).says(&["nothing of shop is deployed to production yet"]);
    bed.deploy(&Release::new("v1", 1)).ended(0);
    bed.safelight(&["logs", "nope"]).ended(2).says(&["shop has no service nope", "api, web"]);
    bed.safelight(&["logs", "web"]).ended(0).says(&["listening on"]);
    let said = bed.safelight(&["rollback", "r99"]).ended(2);
    said.says(&["there is no release r99 here", "there is no verified release to go back to yet"]);
    bed.deploy(&Release::new("v2", 1)).ended(0);
    bed.safelight(&["rollback", "r99"]).ended(2).says(&["there is no release r99 here", "r1 (v1)"]);
    for command in ["abort", "watch", "resume"] {
        let said = bed.safelight(&[command, "nope"]).ended(2);
        said.says(&["there is no run nope", "`safelight history`"]);
    }
    bed.serves_exactly("v2");
}

#[test]
fn a_home_that_cannot_be_used_is_named_with_the_variable_that_names_it() {
    let bed = Bed::cold();
    bed.write("a-file", "");
    let mut history = bed.command(&["history"]);
    let said = history.env("SAFELIGHT_HOME", bed.project().join("a-file/home")).output().unwrap();
    let text = String::from_utf8_lossy(&said.stderr).into_owned();
    assert_eq!(said.status.code(), Some(1), "{text}");
    assert!(text.contains("a-file/home: Not a directory") && text.contains("SAFELIGHT_HOME names"), "{text}");
}

#[test]
fn a_history_tells_when_each_run_was_and_whose_and_cuts_no_reason_that_a_program_reads() {
    let mut bed = Bed::new();
    bed.deploy(&Release::new("v1", 1)).ended(0);
    let long =
        "none of these words may be cut off when the output is read by something that is not a terminal";
    bed.prepare(&Release::new("v2", 2));
    bed.write("app/migrate.sh", "exit 7\n");
    bed.configure("migrate = \"sh migrate.sh\"", &format!("migrate = \"sh migrate.sh '{long}'\""));
    bed.safelight(&["deploy"]).ended(1);
    let said = bed.safelight(&["history"]).ended(0).says(&[long]);
    let today = today_here();
    assert!(said.out.lines().all(|l| l.contains(&today)), "{today}: {}", said.out);
    assert!(!said.out.contains("shop · production"), "there is one app only: {}", said.out);
    let other = bed.config_text().replace("name = \"shop\"", "name = \"till\"");
    bed.write("safelight.toml", &other);
    let _ = bed.safelight(&["deploy"]);
    bed.safelight(&["history"]).ended(0).says(&["shop · production", "till · production"]);
}

/// Today, as the history writes it.
fn today_here() -> String {
    let date = Command::new("date").arg("+%Y-%m-%d").output().unwrap();
    String::from_utf8_lossy(&date.stdout).trim().to_owned()
}
