//! What the commands print and refuse, which scripts rely on.

use safelight_testkit::bed::{Bed, Release};
use serde_json::Value;
use std::fs;

#[test]
fn a_format_that_a_command_does_not_have_is_refused_and_the_others_are_named() {
    let bed = Bed::cold();
    for command in ["plan", "verify", "status", "history", "doctor", "backup"] {
        for format in ["junit", "markdown", "html"] {
            let said = bed.safelight(&[command, "--format", format]).ended(2).says(&[format, "human, json"]);
            assert_eq!(said.out, "", "{command}");
        }
    }
    let said = bed.safelight(&["logs", "--format", "json"]).ended(2).says(&["no format json"]);
    assert_eq!(said.json()[0]["exit"], 2, "the refusal itself has the form that was asked for: {}", said.out);
}

/// The commands of the steps of one kind.
fn commands(plan: &Value, kind: &str) -> Vec<String> {
    let steps = plan["steps"].as_array().cloned().unwrap_or_default();
    let of_kind = steps.iter().filter(|s| s["action"]["kind"] == kind);
    of_kind
        .flat_map(|s| s["commands"].as_array().cloned().unwrap_or_default())
        .filter_map(|c| c.as_str().map(str::to_owned))
        .collect()
}

#[track_caller]
fn each_has(list: &[String], expected: &[&str]) {
    assert_eq!(list.len(), expected.len(), "{list:#?}");
    for (command, words) in list.iter().zip(expected) {
        for word in words.split(" & ") {
            assert!(command.contains(word), "`{word}` is missing in {command}");
        }
    }
}

#[test]
fn a_plan_prints_the_commands_that_would_really_run_and_none_of_the_secrets() {
    let bed = Bed::new();
    bed.deploy(&Release::new("v1", 1)).ended(0);
    bed.prepare(&Release::new("v2", 2).with_env(&["API_TOKEN=correct-horse"]));
    let text = bed.safelight(&["plan", "--format", "json"]).ended(0).out;
    assert!(!text.contains("correct-horse"), "{text}");
    let plan: Value = serde_json::from_str(&text).unwrap();
    each_has(&commands(&plan, "back-up-database"), &["sqlite3_backup & shared/data/shop.db & /backups/"]);
    each_has(
        &commands(&plan, "start"),
        &[
            "detached-shim & run/shop.production.api.r2 & releases/r2 & PORT=<private> & serve",
            "detached-shim & run/shop.production.web.r2 & releases/r2 & PORT=<private> & serve",
        ],
    );
    each_has(
        &commands(&plan, "dark-test"),
        &[
            "shop.production/api/candidate & \"version\":\"r2\" & test.shop.localhost & 127.0.0.1:<private>",
            "shop.production/web/candidate & \"version\":\"r2\"",
        ],
    );
    each_has(
        &commands(&plan, "promote"),
        &[
            "curl --unix-socket & proxy.sock & POST & shop.production/api/switch & \"version\":\"r2\"",
            "shop.production/web/switch & \"timeout_ms\":5000",
        ],
    );
    let shown = bed.safelight(&["plan"]).ended(0).out;
    assert!(
        shown.contains("$ curl --unix-socket") && shown.contains("                  which runs"),
        "{shown}"
    );
}

#[test]
fn the_plan_of_an_exchange_and_that_of_a_rollback_are_printed() {
    let mut bed = Bed::new();
    bed.safelight(&["plan", "--rollback"]).ended(2).says(&["no verified release to go back to"]);
    bed.safelight(&["plan", "--database"]).ended(2).says(&["--rollback"]);
    bed.deploy(&Release::new("v1", 1)).ended(0);
    bed.deploy(&Release::new("v2", 2)).ended(0);
    let plan = |args: &[&str]| -> Value { serde_json::from_str(&bed.safelight(args).ended(0).out).unwrap() };
    let back = plan(&["plan", "--rollback", "--format", "json"]);
    assert_eq!(
        (&back["kind"], &back["from"]["id"], &back["to"]["id"]),
        (&"rollback".into(), &"r2".into(), &"r1".into())
    );
    assert!(commands(&back, "stage").is_empty() && commands(&back, "back-up-database").is_empty(), "{back}");
    each_has(
        &commands(&back, "promote"),
        &["api/switch & \"version\":\"r1\"", "web/switch & \"version\":\"r1\""],
    );
    let with_data = plan(&["plan", "--rollback", "v1", "--database", "--format", "json"]);
    each_has(&commands(&with_data, "back-up-database"), &["sqlite3_backup"]);
    bed.serves_exactly("v2");

    bed.configure("path = \"/\"", "path = \"/\"\nfixed-port = 34567");
    let exchange: Value =
        serde_json::from_str(&bed.safelight(&["plan", "--format", "json"]).ended(0).out).unwrap();
    each_has(
        &commands(&exchange, "exchange"),
        &[
            "web/hold",
            "SIGTERM to shop.production.web.r2, SIGKILL after 2s",
            "detached-shim & PORT=34567",
            "web/switch & 127.0.0.1:34567",
            "web/release",
        ],
    );
}

#[test]
fn a_check_looks_for_programs_where_services_will_and_says_whose_path_that_is() {
    use std::os::unix::fs::PermissionsExt as _;
    let mut bed = Bed::new();
    bed.configure("[watch]", "[[runtime.program]]\nname = \"sl-tool\"\nrange = \"^2\"\n\n[watch]");
    bed.prepare(&Release::new("v1", 1));
    // A version manager of somebody's shell, which the daemon knows nothing of.
    let shims = bed.dir().join("of-a-shell");
    fs::create_dir(&shims).unwrap();
    fs::write(shims.join("sl-tool"), "#!/bin/sh\necho sl-tool 2.1\n").unwrap();
    fs::set_permissions(shims.join("sl-tool"), fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", shims.display(), std::env::var("PATH").unwrap());
    let p9 = |bed: &Bed| -> Value {
        let mut check = bed.command(&["check", "--format", "json"]);
        let said = check.env("PATH", &path).output().unwrap();
        let report: Value = serde_json::from_slice(&said.stdout).unwrap();
        let findings = report["findings"].as_array().unwrap();
        findings.iter().find(|f| f["id"] == "P9").unwrap().clone()
    };
    let whose = |f: &Value| {
        let evidence = f["evidence"].as_array().unwrap();
        let path = evidence.iter().find(|e| e["label"]["en"] == "PATH").unwrap();
        path["value"]["en"].as_str().unwrap().to_owned()
    };
    let found = p9(&bed);
    assert_eq!(found["outcome"], "fail", "the daemon does not find it: {found:#}");
    assert!(
        whose(&found).starts_with("of the host daemon") && !whose(&found).contains("of-a-shell"),
        "{found:#}"
    );
    // A deploy comes to the same end, by the daemon's own check.
    bed.safelight(&["deploy"]).ended(1).says(&["sl-tool is not on this host"]);
    bed.safelight(&["host", "stop"]).ended(0);
    bed.reap_daemon();
    let found = p9(&bed);
    assert_eq!(found["outcome"], "pass", "{found:#}");
    assert!(whose(&found).starts_with("of this command, as no host daemon runs"), "{found:#}");
    assert!(whose(&found).contains("of-a-shell"), "{found:#}");
    bed.restart_daemon();
}

#[test]
fn kept_environments_are_for_their_owner_alone_from_staging_on() {
    use std::os::unix::fs::PermissionsExt as _;
    let bed = Bed::new();
    let kept = || -> Vec<(String, u32)> {
        let dir = fs::read_dir(bed.app_dir().join("env")).unwrap().flatten();
        let mode = |e: &fs::DirEntry| e.metadata().unwrap().permissions().mode() & 0o777;
        dir.map(|e| (e.file_name().to_string_lossy().into_owned(), mode(&e))).collect()
    };
    bed.prepare(&Release::new("v1", 1).with_env(&["API_TOKEN=correct-horse"]));
    // What is in the project may be open to all; what is kept of it is not.
    fs::set_permissions(bed.project().join(".env.production"), fs::Permissions::from_mode(0o644)).unwrap();
    bed.order("done:stage", "pause");
    let mut cli = bed.background(&["deploy"]);
    cli.comes_to(&bed, "done:stage");
    let staged = kept();
    bed.release("done:stage");
    cli.end().ended(0);
    let (name, mode) = &staged[0];
    assert_eq!((staged.len(), *mode), (1, 0o600), "{staged:?}");
    assert!(name.ends_with(".env") && name.len() > 60, "{name}");
    let seen = fs::read_to_string(bed.app_dir().join("releases/r1/.env")).unwrap();
    assert!(seen.contains("correct-horse"), "it is the release's own");
    let open = fs::metadata(bed.app_dir().join("env")).unwrap().permissions().mode() & 0o077;
    assert_eq!(open, 0, "nobody else looks into their directory");
    bed.deploy(&Release::new("v2", 1).with_env(&["API_TOKEN=battery-staple"])).ended(0);
    assert!(kept().len() == 2 && kept().iter().all(|(_, mode)| *mode == 0o600), "{:?}", kept());
}

#[test]
fn a_backup_by_hand_is_proven_and_kept_and_nothing_else_stays() {
    let mut bed = Bed::new();
    bed.safelight(&["backup"]).ended(1).says(&["shop.db"]);
    bed.deploy(&Release::new("v1", 1)).ended(0);
    bed.request("POST", "shop.localhost", "/notes").unwrap();
    bed.safelight(&["backup"]).ended(0).says(&["restored and queried: 2 tables, 2 rows"]);
    let said = bed.safelight(&["backup", "--format", "json"]).ended(0);
    let backup = &said.json()[0]["backup"];
    let path = backup["path"].as_str().unwrap();
    assert!(fs::metadata(path).unwrap().len() > 0 && backup["level"] == "restored-and-queried", "{backup}");
    assert_eq!(fs::read_dir(bed.app_dir().join("scratch")).unwrap().count(), 0, "scratch copies stay");
    // Once more what is kept is what a deploy knows of.
    bed.deploy(&Release::new("v2", 2)).ended(0);
    bed.serves_exactly("v2");
    let from = bed.config_text().find("[database]").unwrap();
    let until = bed.config_text().find("[journeys]").unwrap();
    let database = bed.config_text()[from..until].to_owned();
    bed.configure(&database, "");
    bed.safelight(&["backup"]).ended(2).says(&["no [database]"]);
}
