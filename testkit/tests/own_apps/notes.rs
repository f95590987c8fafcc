//! `examples/notes`: Node.js with a SQLite database and a migration.

use crate::bed::{Bed, assert_nobody_failed, copy, root};
use std::{fs, time::Duration};

const HOST: &str = "notes.localhost";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_with_a_migration_goes_forward_and_back_without_a_failed_request() {
    let bed = Bed::new();
    copy(
        &root().join("examples/notes"),
        &bed.project(),
        &["safelight.toml", "journeys", "node_modules", "data", "safelight-reports", ".env.production"],
    );
    fs::copy(bed.project().join(".env.production.example"), bed.project().join(".env.production")).unwrap();
    bed.git_init();
    init_writes_what_it_found(&bed);
    checks_refuse_what_is_not_committed(&bed);

    // The first release, by its tag.
    bed.release("v1.0.0");
    assert_eq!(bed.expect(&["check", "--format", "json"], 0).json()["verdict"]["decision"], "go");
    let plan = bed.expect(&["plan", "v1.0.0"], 0).out;
    for part in ["npm ci --omit=dev", "node migrate.js", "undo, by itself", "test.notes.localhost"] {
        assert!(plan.contains(part), "no {part:?} in\n{plan}");
    }
    assert!(bed.pm2.online().is_empty(), "a plan starts nothing");
    bed.start_host();
    a_wrong_port_is_noticed_before_users_are_moved(&bed);
    bed.expect(&["deploy", "v1.0.0"], 0);
    assert_eq!(bed.serving(), "v1.0.0");
    assert_eq!(bed.http("POST", HOST, "/api/notes", r#"{"text": "kept through all of it"}"#).0, 201);

    // The second one migrates, under visitors, and is taken back by one command.
    let traffic = bed.visitors(HOST, &["/", "/api/notes", "/health"]);
    copy(&root().join("examples/notes-next"), &bed.project(), &[]);
    bed.release("v2.0.0");
    traffic.mark("v2 deploys and serves");
    let said = bed.expect(&["deploy", "v2.0.0"], 0);
    assert!(said.err.contains("schema 1 -> 2"), "{}", said.err);
    assert!(said.err.contains("the way back is proven"), "{}", said.err);
    assert!(bed.http("GET", HOST, "/api/notes", "").1.contains("\"pinned\":0"));
    bed.expect(&["verify"], 0);
    logs_show_what_the_app_writes(&bed);
    reports_come_in_every_form(&bed);

    traffic.mark("rollback");
    bed.expect(&["rollback"], 0);
    assert_eq!(bed.serving(), "v1.0.0");
    let (status, page) = bed.http("GET", HOST, "/", "");
    assert!(
        status == 200 && page.contains("notes 1.0.0") && page.contains("kept through all of it"),
        "{page}"
    );

    // Forward again; the daemon dies in the watch, and the watch goes on.
    traffic.mark("the daemon dies in the watch");
    bed.expect(&["deploy", "v2.0.0", "--detach"], 0);
    kill_the_daemon(&bed).await;
    bed.expect(&["watch"], 0);
    assert_eq!(bed.serving(), "v2.0.0");
    assert!(bed.expect(&["resume"], 2).err.contains("is open"), "there is nothing to resume");

    // One that is taken back by hand while it is watched.
    traffic.mark("abort in the watch");
    bed.edit("safelight.toml", "duration = \"3s\"", "duration = \"1h\"");
    bed.release("v2.0.1");
    bed.expect(&["deploy", "v2.0.1", "--detach"], 0);
    assert_eq!(bed.serving(), "v2.0.1");
    bed.expect(&["abort"], 0);
    assert_eq!(bed.serving(), "v2.0.0");
    assert_nobody_failed(&traffic.finish().await);

    let history = bed.expect(&["history", "--format", "json"], 0).json();
    let runs: Vec<String> = history["runs"]
        .as_array()
        .unwrap()
        .iter()
        .rev()
        .map(|r| format!("{} {}", r["kind"].as_str().unwrap(), r["revision"].as_str().unwrap()))
        .collect();
    assert_eq!(
        runs,
        [
            "deploy HEAD",
            "deploy v1.0.0",
            "deploy v2.0.0",
            "rollback v1.0.0",
            "deploy v2.0.0",
            "deploy v2.0.1"
        ]
    );
    let online = bed.pm2.online();
    assert!(online.len() == 1 && online[0].starts_with("notes.production.web."), "{online:?}");
    bed.pm2.left_somebody_else_alone();
}

fn init_writes_what_it_found(bed: &Bed) {
    let said = bed.expect(&["init", "--url", &format!("http://{HOST}:{}", bed.port)], 0);
    assert!(said.out.contains("commit"), "git has to know the new files: {}", said.out);
    let text = bed.read("safelight.toml");
    for line in [
        "name = \"notes\"",
        "install = \"npm ci --omit=dev\"",
        "node = \">=20\"",
        "command = \"node server.js\"",
        "health = \"/health\"",
        "path = \"data/notes.db\"",
        "url-variable = \"DATABASE_URL\"",
        "migrate = \"node migrate.js\"",
        "test-host = \"test.notes.localhost\"",
        "process = \"pm2\"",
        "env-file = \".env.production\"",
        "required = [\"NOTES_TITLE\"]",
    ] {
        assert!(text.lines().any(|l| l == line), "no line {line:?} in\n{text}");
    }
    assert_eq!(bed.safelight(&["init"]).code, 2, "an existing file is not replaced");
    bed.hurry("3s");
    bed.edit(
        "safelight.toml",
        "# schema-query = \"PRAGMA user_version\"",
        "schema-query = \"SELECT max(number) FROM schema_migrations\"\nproof-queries = [\"SELECT count(*) FROM notes\"]",
    );
    copy(&root().join("examples/notes/journeys"), &bed.project().join("journeys"), &[]);
    bed.edit("safelight.toml", "journeys/site.hurl\"", "journeys/site.hurl\", \"journeys/notes.hurl\"");
}

fn checks_refuse_what_is_not_committed(bed: &Bed) {
    bed.git(&["add", ".gitignore"]);
    bed.git(&["commit", "-q", "-m", "empty"]);
    let said = bed.expect(&["check", "--format", "json"], 1);
    let json = said.json();
    assert_eq!(json["verdict"]["decision"], "no-go");
    let dirty =
        json["findings"].as_array().unwrap().iter().any(|f| f["id"] == "P13" && f["outcome"] == "fail");
    assert!(dirty, "{}", said.out);
}

fn logs_show_what_the_app_writes(bed: &Bed) {
    let logs = bed.expect(&["logs", "web"], 0).out;
    assert!(logs.contains("notes 2.0.0 listens"), "{logs}");
}

fn reports_come_in_every_form(bed: &Bed) {
    for (form, parts) in [
        ("human", ["v2.0.0", "GO"]),
        ("json", ["\"schema\"", "\"v2.0.0\""]),
        ("junit", ["<?xml", "<testsuite"]),
        ("markdown", ["# ", "P13"]),
        ("html", ["<html", "<svg"]),
    ] {
        let file = bed.project().join(format!("safelight-reports/own.{form}"));
        bed.expect(&["report", "--format", form, "--out", file.to_str().unwrap()], 0);
        let text = fs::read_to_string(&file).unwrap();
        for part in parts {
            assert!(text.contains(part), "no {part:?} in the {form} report:\n{text}");
        }
        if form == "json" {
            let json: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert!(json["findings"].as_array().is_some_and(|f| f.len() > 10), "{text}");
        }
    }
}

/// As the kernel does when memory is short; the keeper starts it again.
async fn kill_the_daemon(bed: &Bed) {
    let pid = bed.expect(&["status", "--format", "json"], 0).json()["pid"].as_i64().unwrap();
    let raw = i32::try_from(pid).unwrap();
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(raw).unwrap(),
        rustix::process::Signal::KILL,
    )
    .unwrap();
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let status = bed.safelight(&["status", "--format", "json"]);
        if status.code == 0 && status.json()["pid"] != pid {
            return;
        }
    }
    panic!("the daemon did not come back");
}

fn a_wrong_port_is_noticed_before_users_are_moved(bed: &Bed) {
    let (right, wrong) = (format!("{HOST}:{}", bed.port), format!("{HOST}:1"));
    bed.edit("safelight.toml", &right, &wrong);
    bed.git(&["commit", "-q", "-a", "-m", "a wrong port"]);
    bed.git(&["push", "-q", "origin", "main"]);
    let said = bed.expect(&["deploy"], 3);
    assert!(said.err.contains("nothing listens at 127.0.0.1:1"), "{}", said.err);
    assert!(!said.err.contains("promote"), "{}", said.err);
    assert!(bed.pm2.online().is_empty());
    bed.edit("safelight.toml", &wrong, &right);
    bed.git(&["commit", "-q", "-a", "-m", "the right port"]);
    bed.git(&["push", "-q", "origin", "main"]);
}
