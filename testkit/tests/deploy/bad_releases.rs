//! Releases that are no good: the deploy says which service, where, what came instead and what the app said last; and
//! users notice nothing.

use safelight_testkit::bed::{Bed, Release};

#[test]
fn a_release_that_does_not_become_healthy_is_undone_with_its_last_words() {
    let mut bed = Bed::new();
    bed.configure("start-timeout = \"8s\"", "start-timeout = \"2s\"");
    bed.deploy(&Release::new("v1", 1)).ended(0);
    bed.traffic_begins();
    let cases: [(&str, &[&str]); 4] = [
        (
            "never-listens",
            &["nothing listens there", "waiting for a lock that nobody gives back", "the variable PORT"],
        ),
        (
            "500",
            &[
                "HTTP 500",
                "the payment service refused our key",
                "`health` (/api/health) must answer with 2xx",
            ],
        ),
        ("slow", &["no answer", "listening on 127.0.0.1:", "and in time"]),
        (
            "exits-at-once",
            &["it exited (exit status 1)", "APP_SETTINGS is not set", "it ended by itself", "api.r5.err.log"],
        ),
    ];
    for (mode, words) in cases {
        bed.mark(mode);
        let line = format!("APP_MODE={mode}");
        let said = bed.deploy(&Release::new("v2", 2).with_env(&[line.as_str()])).ended(3);
        let said = said.says(&["api was not healthy", "GET http://127.0.0.1:", "/api/health", "undoing"]);
        let said = said.says(words);
        let advised = said.err.contains("the variable PORT");
        assert_eq!(advised, mode == "never-listens", "advice that is beside the point: {}", said.err);
        bed.serves_exactly("v1");
    }
    bed.nobody_was_failed();
}

#[test]
fn a_release_that_dies_soon_after_its_health_check_is_undone() {
    let mut bed = Bed::new();
    bed.deploy(&Release::new("v1", 1)).ended(0);
    bed.traffic_begins();
    let said = bed.deploy(&Release::new("v2", 2).with_env(&["APP_MODE=dies-soon"])).ended(3);
    said.says(&["api", "out of memory in the image cache"]);
    bed.serves_exactly("v1");
    bed.nobody_was_failed();
}

#[test]
fn a_release_that_ignores_sigterm_is_killed_after_its_time_and_the_next_one_serves() {
    let mut bed = Bed::new();
    bed.deploy(&Release::new("v1", 1).with_env(&["APP_MODE=ignores-sigterm"])).ended(0);
    bed.traffic_begins();
    bed.deploy(&Release::new("v2", 1)).ended(0);
    bed.serves_exactly("v2");
    bed.nobody_was_failed();
}

#[test]
fn a_bad_first_release_leaves_nothing_behind_and_a_good_one_can_follow() {
    let mut bed = Bed::new();
    bed.configure("start-timeout = \"8s\"", "start-timeout = \"2s\"");
    bed.deploy(&Release::new("v1", 1).with_env(&["APP_MODE=500"])).ended(3);
    let app = bed.app();
    assert!(app["current"].is_null() && app["run"].is_null(), "{app}");
    assert_eq!(app["processes"].as_array().map(Vec::len), Some(0), "{app}");
    let (status, _) = bed.get(safelight_testkit::bed::HOST, "/").unwrap();
    assert_eq!(status, 421);
    bed.deploy(&Release::new("v2", 1)).ended(0);
    bed.serves_exactly("v2");
}
