//! The watch, signal by signal: a fault that shows in one of them only undoes the deploy.

use safelight_testkit::bed::{Bed, Release};
use serde_json::Value;
use std::fs;

/// What the watch says of a release that is fine until it is watched, and then has this fault. Users come all the while;
/// afterwards they are back on the old release.
#[track_caller]
fn undone_for(fault: &str, journey: &str) -> String {
    let mut bed = Bed::new();
    bed.configure(
        "breaches-to-undo = 2",
        "breaches-to-undo = 2\nmax-slowdown = 2.0\nslowdown-floor = \"300ms\"",
    );
    bed.write("site.hurl", journey);
    bed.deploy(&Release::new("v1", 1)).ended(0);
    bed.configure("duration = \"1s\"", "duration = \"50s\"");
    bed.traffic_begins();
    bed.wait_until("users have asked the old release", |b| {
        b.counts().iter().map(|(_, c)| c.sent).sum::<u64>() > 60
    });
    let file = bed.dir().join("fault");
    let lines = [
        format!("APP_FAULT_FILE={}", file.display()),
        format!("APP_FAULT={fault}"),
        "APP_TOKEN=correct-horse-battery".to_owned(),
    ];
    let env: Vec<&str> = lines.iter().map(String::as_str).collect();
    bed.prepare(&Release::new("v2", 1).with_env(&env));
    bed.forget_points();
    bed.order("intent:watch", "pause");
    let mut cli = bed.background(&["deploy", "--format", "json"]);
    cli.comes_to(&bed, "intent:watch");
    fs::write(&file, "").unwrap();
    bed.release("intent:watch");
    let said = cli.end().ended(3);
    fs::remove_file(&file).unwrap();
    bed.serves_exactly("v1");
    assert!(!said.out.contains("correct-horse"), "a secret is in the events");
    bed.nobody_was_failed();
    let failed = said.json().into_iter().find(|e: &Value| e["event"] == "step-failed");
    failed.and_then(|e| e["error"]["en"].as_str().map(str::to_owned)).unwrap_or_default()
}

/// Asks for nothing that the faults are about.
const BLIND: &str = "GET {{base_url}}/health\nHTTP 200\n";

#[test]
fn severe_lines_in_the_log_undo_a_deploy_whose_pages_are_fine() {
    let why = undone_for("fatal", BLIND);
    assert!(why.contains("severe log lines (limit 5): FATAL the ledger rejects"), "{why}");
    assert!(why.contains("(2 looks in a row)"), "{why}");
}

#[test]
fn pages_that_became_slow_undo_a_deploy_without_a_failed_request() {
    let why = undone_for("slow", BLIND);
    assert!(why.contains("slower") || why.contains("p95") || why.contains("median"), "{why}");
}

#[test]
fn a_fault_that_only_a_journey_meets_undoes_a_deploy() {
    let why = undone_for("client", "GET {{base_url}}/client\nHTTP 200\n");
    assert!(why.contains("journey") && why.contains("site") && why.contains("500"), "{why}");
    // Users ask for other pages, and none of them failed.
    assert!(!why.contains("requests"), "{why}");
}
