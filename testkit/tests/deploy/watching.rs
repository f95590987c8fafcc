//! The watch: what it sees on a quiet site, and what it does when it sees nothing.

use safelight_testkit::bed::{Background, Bed, HOST, PATIENCE, Release};
use serde_json::Value;
use std::{fs, time::Instant};

/// A bed whose second release is watched, with journeys that see nothing of what users do.
fn watched(duration: &str, max_blind: &str) -> (Bed, Background) {
    let mut bed = Bed::new();
    // Journeys come along more often than users, and must not stand for them.
    bed.configure("journeys-every = \"500ms\"", "journeys-every = \"250ms\"");
    bed.configure("min-requests = 5", "min-requests = 1000");
    bed.configure("breaches-to-undo = 2", &format!("breaches-to-undo = 2\nmax-blind = \"{max_blind}\""));
    bed.write("site.hurl", "GET {{base_url}}/health\nHTTP 200\n");
    bed.deploy(&Release::new("v1", 1)).ended(0);
    bed.configure("duration = \"1s\"", &format!("duration = \"{duration}\""));
    let fault = format!("APP_FAULT_FILE={}", bed.dir().join("fault").display());
    bed.prepare(&Release::new("v2", 1).with_env(&[&fault, "APP_TOKEN=correct-horse"]));
    bed.forget_points();
    bed.order("intent:watch", "pause");
    let mut cli = bed.background(&["deploy", "--format", "json"]);
    cli.comes_to(&bed, "intent:watch");
    (bed, cli)
}

fn looks(cli: &Background) -> Vec<Value> {
    cli.events().into_iter().filter(|e| e["event"] == "looked").collect()
}

/// Waits until that many looks have come, from now on.
#[track_caller]
fn looks_come(cli: &Background, more: usize) {
    let (until, wanted) = (Instant::now() + PATIENCE, looks(cli).len() + more);
    while looks(cli).len() < wanted {
        assert!(Instant::now() < until, "no look comes: {:#?}", cli.events().last());
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

fn failed_step(events: &[Value]) -> String {
    let failed = events.iter().find(|e| e["event"] == "step-failed");
    failed.map(|e| e["error"]["en"].as_str().unwrap_or_default().to_owned()).unwrap_or_default()
}

#[test]
fn a_handful_of_requests_that_all_fail_undo_a_deploy_although_the_journeys_pass() {
    let (bed, mut cli) = watched("50s", "1s");
    fs::write(bed.dir().join("fault"), "").unwrap();
    bed.release("intent:watch");
    looks_come(&cli, 2);
    for _ in 0..2 {
        assert_eq!(bed.get(HOST, "/").unwrap().0, 500);
        looks_come(&cli, 2);
    }
    assert_eq!(bed.get(HOST, "/").unwrap().0, 500);
    let said = cli.end().ended(3);
    let why = failed_step(&said.json());
    assert!(why.contains("web: 3 of ") && why.contains(" requests in ") && why.contains("failed"), "{why}");
    // What the app wrote about it goes with the release: it is shown where people look for the reason.
    assert!(why.contains("\n  | ERROR the basket is on fire ***"), "without the token: {why}");
    let events = said.json();
    let failed = events.iter().find(|e| e["event"] == "step-failed").unwrap();
    let help = failed["help"]["en"].as_str().unwrap_or_default();
    assert!(help.contains("the last lines that web wrote") && help.contains("web.r2.out.log"), "{help}");
    assert!(bed.app_dir().join("logs/shop.production.web.r2.out.log").is_file(), "it is there to be read");
    bed.safelight(&["report"]).ended(0).says(&["ERROR the basket is on fire ***"]);
    let looks: Vec<Value> = said.json().into_iter().filter(|e| e["event"] == "looked").collect();
    let journeys = looks.iter().flat_map(|l| l["look"]["journeys"].as_array().cloned().unwrap_or_default());
    assert!(journeys.count() > 3, "journeys ran: {looks:#?}");
    fs::remove_file(bed.dir().join("fault")).unwrap();
    bed.serves_exactly("v1");
}

/// Takes the logs of the new release out of sight, and brings them back.
fn hide_logs(bed: &Bed, hide: bool) {
    let log = bed.app_dir().join("logs/shop.production.web.r2.out.log");
    let aside = bed.dir().join("aside.log");
    if hide {
        fs::rename(&log, &aside).unwrap();
        fs::create_dir(&log).unwrap();
    } else {
        fs::remove_dir(&log).unwrap();
        fs::rename(&aside, &log).unwrap();
    }
}

#[test]
fn a_watch_that_cannot_see_undoes_the_deploy_and_says_what_it_could_not_see() {
    let (bed, mut cli) = watched("50s", "1s");
    hide_logs(&bed, true);
    bed.release("intent:watch");
    let said = cli.end().ended(3);
    let why = failed_step(&said.json());
    assert!(why.contains("the watch cannot see") && why.contains("web.r2.out.log"), "{why}");
    hide_logs(&bed, false);
    bed.serves_exactly("v1");
}

#[test]
fn a_watch_does_not_end_as_passed_while_it_is_blind_and_goes_on_until_it_sees() {
    let (bed, mut cli) = watched("1s", "1h");
    hide_logs(&bed, true);
    bed.release("intent:watch");
    let until = Instant::now() + PATIENCE;
    let over = |l: &Value| l["look"]["elapsed_s"].as_u64() > l["look"]["total_s"].as_u64();
    while looks(&cli).iter().filter(|l| over(l)).count() < 3 {
        let ended = cli.events().iter().any(|e| e["event"] == "run-ended");
        assert!(Instant::now() < until && !ended, "{:#?}", cli.events().last());
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    hide_logs(&bed, false);
    let said = cli.end().ended(0);
    let done = said.json().into_iter().rfind(|e| {
        e["event"] == "step-done" && e["summary"]["en"].as_str().is_some_and(|s| s.contains("looks"))
    });
    let summary = done.unwrap()["summary"]["en"].as_str().unwrap().to_owned();
    assert!(summary.contains("looks did not see everything"), "{summary}");
    bed.serves_exactly("v2");
}

#[test]
fn a_look_weighs_the_host_against_the_time_before_the_deploy_and_the_release_itself() {
    let (bed, mut cli) = watched("2s", "1s");
    bed.release("intent:watch");
    let said = cli.end().ended(0);
    let last = said.json().into_iter().rfind(|e| e["event"] == "looked").unwrap();
    let resources = last["look"]["resources"].as_array().unwrap();
    let kinds: Vec<&str> = resources.iter().map(|r| r["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["cpu", "memory", "disk"], "{last:#}");
    for r in resources {
        let number = |name: &str| r[name].as_f64().unwrap_or_else(|| panic!("no {name}: {r}"));
        assert!((0.0..=100.0).contains(&number("used")) && (0.0..=100.0).contains(&number("before")), "{r}");
        // The test's app is small and does nothing.
        assert!(number("own").abs() < 10.0, "{r}");
    }
    assert_eq!(resources[1]["limit"], 99.0, "the limit of [checks]");
}

#[test]
fn a_fault_that_still_counts_when_the_time_is_up_is_watched_to_its_end() {
    let mut bed = Bed::new();
    bed.write("site.hurl", "GET {{base_url}}/health\nHTTP 200\n");
    bed.configure("breaches-to-undo = 2", "breaches-to-undo = 10");
    bed.deploy(&Release::new("v1", 1)).ended(0);
    let fault = format!("APP_FAULT_FILE={}", bed.dir().join("fault").display());
    bed.prepare(&Release::new("v2", 1).with_env(&[&fault]));
    bed.forget_points();
    bed.order("intent:watch", "pause");
    let mut cli = bed.background(&["deploy", "--format", "json"]);
    cli.comes_to(&bed, "intent:watch");
    fs::write(bed.dir().join("fault"), "").unwrap();
    bed.release("intent:watch");
    // A watch of one second has four looks; ten in a row undo it.
    let until = Instant::now() + PATIENCE;
    while looks(&cli).len() < 10 && cli.events().iter().all(|e| e["event"] != "run-ended") {
        assert!(Instant::now() < until, "no look comes");
        let _ = bed.get(HOST, "/");
    }
    let said = cli.end().ended(3);
    let why = failed_step(&said.json());
    assert!(why.contains("web") && why.contains("failed"), "{why}");
    bed.serves_exactly("v1");
}
