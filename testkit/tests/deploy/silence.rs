//! Nothing is silent for more than two seconds, whoever listens: a log that is no terminal, or a program that reads
//! events.

use safelight_testkit::{
    bed::{Bed, Release},
    hearing::{Heard, Hearing},
};
use std::{fs, net::TcpListener, time::Duration};

/// Two seconds, and what a test machine under load may add to them.
const SILENCE: Duration = Duration::from_millis(2600);

#[track_caller]
fn never_silent(heard: &Heard) {
    let (gap, place) = heard.longest_silence();
    assert!(gap < SILENCE, "silent for {gap:?} {place}; it said:\n{}\n{}", heard.said.out, heard.said.err);
}

#[track_caller]
fn events_never_silent(heard: &Heard) {
    let (gap, place) = heard.longest_silence_of_events();
    assert!(gap < SILENCE, "silent for {gap:?} {place}; it said:\n{}", heard.said.out);
}

/// A bed whose second release does not end when it is asked to, and whose pages fail once it is started for users.
fn deaf_release() -> (Bed, String) {
    let mut bed = Bed::new();
    bed.deploy(&Release::new("v1", 1)).ended(0);
    bed.configure(
        "health = \"/health\"\nstart-timeout = \"8s\"\nstop-timeout = \"2s\"",
        "health = \"/health\"\nstart-timeout = \"8s\"\nstop-timeout = \"5s\"",
    );
    let fault = bed.dir().join("fault").display().to_string();
    let lines = ["APP_MODE=ignores-sigterm".to_owned(), format!("APP_FAULT_FILE={fault}")];
    let env: Vec<&str> = lines.iter().map(String::as_str).collect();
    bed.prepare(&Release::new("v2", 1).with_env(&env));
    bed.order("intent:dark-test", "pause");
    bed.forget_points();
    (bed, fault)
}

#[test]
fn a_slow_step_and_a_slow_undo_are_told_of_while_they_last() {
    let (bed, fault) = deaf_release();
    let mut cli = Hearing::of(&bed, &["deploy"]);
    cli.comes_to(&bed, "intent:dark-test");
    std::thread::sleep(Duration::from_secs(4));
    fs::write(fault, "").unwrap();
    bed.release("intent:dark-test");
    let heard = cli.end();
    never_silent(&heard);
    let said = heard.said.ended(3);
    // web takes five seconds to stop.
    assert!(said.err.lines().filter(|l| l.contains("… ↶")).count() >= 2, "{}", said.err);
    bed.serves_exactly("v1");
}

#[test]
fn a_program_that_reads_events_gets_a_sign_of_life() {
    let (bed, fault) = deaf_release();
    let mut cli = Hearing::of(&bed, &["deploy", "--format", "json"]);
    cli.comes_to(&bed, "intent:dark-test");
    std::thread::sleep(Duration::from_secs(4));
    fs::write(fault, "").unwrap();
    bed.release("intent:dark-test");
    let heard = cli.end();
    events_never_silent(&heard);
    let events = heard.said.ended(3).json();
    let beats = |doing: &str| {
        let beat = |e: &&serde_json::Value| e["event"] == "heartbeat" && e["doing"] == doing;
        events.iter().filter(beat).filter(|e| e["step"].is_u64() && e["seq"].is_null()).count()
    };
    assert!(beats("step") >= 1 && beats("undo") >= 1, "{events:#?}");
    // Every undo is announced, and the numbers of events have no gaps.
    let of = |kind: &str| events.iter().filter(|e| e["event"] == kind).count();
    assert_eq!(of("step-undo-started"), of("step-undone"));
    let numbers: Vec<u64> = events.iter().filter_map(|e| e["seq"].as_u64()).collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
}

#[test]
fn a_lost_daemon_is_waited_for_aloud() {
    for format in ["human", "json"] {
        let mut bed = Bed::new();
        bed.deploy(&Release::new("v1", 1)).ended(0);
        bed.prepare(&Release::new("v2", 1));
        bed.forget_points();
        bed.order("intent:dark-test", "kill");
        let mut cli = Hearing::of(&bed, &["deploy", "--format", format]);
        cli.comes_to(&bed, "intent:dark-test");
        bed.wait_until("the daemon is dead", |b| b.status().is_none());
        std::thread::sleep(Duration::from_secs(4));
        bed.restart_daemon();
        let heard = cli.end();
        if format == "human" {
            never_silent(&heard);
            assert!(heard.said.err.contains("… waiting for the host daemon"), "{}", heard.said.err);
        } else {
            events_never_silent(&heard);
            assert!(heard.said.json().iter().any(|e| e["doing"] == "lost"), "{}", heard.said.out);
        }
        heard.said.ended(0);
        bed.serves_exactly("v2");
    }
}

#[test]
fn one_long_check_and_one_long_journey_are_told_of_while_they_last() {
    let mut bed = Bed::new();
    bed.deploy(&Release::new("v1", 1)).ended(0);
    bed.write("site.hurl", "GET {{base_url}}/\n[Options]\ndelay: 4s\nHTTP 200\n");
    for format in ["human", "json"] {
        let heard = Hearing::of(&bed, &["verify", "--here", "--format", format]).end();
        never_silent(&heard);
        let said = heard.said.ended(0);
        assert!(said.err.contains("… journey site.hurl"), "{}", said.err);
        assert!(format == "human" || said.json()[0]["ok"] == true, "the result is whole: {}", said.out);
    }
    // It takes connections, and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let connect =
        format!("test-host = \"test.shop.localhost\"\nconnect = \"{}\"", silent.local_addr().unwrap());
    bed.configure("test-host = \"test.shop.localhost\"", &connect);
    let heard = Hearing::of(&bed, &["check"]).end();
    never_silent(&heard);
    assert!(heard.said.err.contains("… checking"), "{}", heard.said.err);
}
