//! The command that began a deploy goes away: killed, interrupted, or its terminal closed.

use safelight_testkit::bed::{Bed, PATIENCE, Release};
use std::{io::Write as _, os::unix::fs::OpenOptionsExt as _};

fn nothing_is_open(bed: &Bed) -> bool {
    bed.status().is_some_and(|s| s["apps"][0]["run"].is_null())
}

/// A deploy that stands at the start of its first service until somebody does something.
fn waiting_deploy(bed: &mut Bed, args: &[&str]) -> safelight_testkit::bed::Background {
    bed.configure(
        "health = \"/api/health\"\nstart-timeout = \"8s\"",
        "health = \"/api/health\"\nstart-timeout = \"2m\"",
    );
    bed.deploy(&Release::new("v1", 1)).ended(0);
    bed.traffic_begins();
    bed.prepare(&Release::new("v2", 2).with_env(&["APP_MODE=never-listens"]));
    bed.forget_points();
    let mut cli = bed.background(args);
    cli.comes_to(bed, "intent:start:api");
    cli
}

#[test]
fn without_its_coordinator_an_unfinished_deploy_is_undone_when_the_lease_runs_out() {
    let mut bed = Bed::new();
    let mut cli = waiting_deploy(&mut bed, &["deploy", "--lease", "2"]);
    cli.kill();
    bed.wait_until("the host undoes by itself", nothing_is_open);
    bed.serves_exactly("v1");
    bed.safelight(&["history"]).ended(0).says(&["the coordinator has been gone for 2 s"]);
    bed.nobody_was_failed();
}

#[test]
fn ctrl_c_before_the_switch_undoes_and_ends_with_130() {
    let mut bed = Bed::new();
    let mut cli = waiting_deploy(&mut bed, &["deploy"]);
    cli.interrupt();
    cli.end().ended(130).says(&["interrupted: taking everything back"]);
    bed.serves_exactly("v1");
    bed.nobody_was_failed();
}

#[test]
fn ctrl_c_while_the_host_is_asked_takes_back_what_it_begins_and_ends_with_130() {
    let mut bed = Bed::new();
    bed.deploy(&Release::new("v1", 1)).ended(0);
    bed.deploy(&Release::new("v2", 1)).ended(0);
    bed.traffic_begins();
    bed.prepare(&Release::new("v3", 1));
    // Planning reads the journeys: from a pipe, it waits until somebody writes.
    let (site, pipe) = (bed.project().join("site.hurl"), bed.dir().join("pipe"));
    let journey = std::fs::read(&site).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    std::fs::remove_file(&site).unwrap();
    std::os::unix::fs::symlink(&pipe, &site).unwrap();
    let mut cli = bed.background(&["deploy"]);
    // It can be opened without waiting once somebody reads: the host plans.
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let open = || std::fs::OpenOptions::new().write(true).custom_flags(nonblocking).open(&pipe);
    let until = std::time::Instant::now() + PATIENCE;
    let mut writer = loop {
        match open() {
            Ok(writer) => break writer,
            Err(e) => assert!(std::time::Instant::now() < until, "the host does not plan: {e}"),
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    };
    cli.interrupt();
    bed.wait_until("it has heard", |_| cli.so_far().contains("interrupted: what the host begins"));
    std::fs::remove_file(&site).unwrap();
    std::fs::write(&site, &journey).unwrap();
    writer.write_all(&journey).unwrap();
    drop(writer);
    cli.end().ended(130);
    assert!(nothing_is_open(&bed));
    bed.serves_exactly("v2");
    bed.nobody_was_failed();
}

#[test]
fn ctrl_c_while_the_release_is_built_leaves_nothing_of_it() {
    let mut bed = Bed::new();
    bed.deploy(&Release::new("v1", 1)).ended(0);
    let dir = bed.app_dir().join("releases");
    let releases = || {
        let dir = std::fs::read_dir(&dir).unwrap().flatten();
        let mut names: Vec<String> = dir.map(|e| e.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    };
    let before = releases();
    bed.traffic_begins();
    for n in 0..1500 {
        bed.write(&format!("app/static/{}/{n}.txt", n % 50), &format!("file {n}"));
    }
    bed.prepare(&Release::new("v2", 2));
    let mut cli = bed.background(&["deploy"]);
    bed.wait_until("the release is being built", |_| releases() != before);
    cli.interrupt();
    cli.end().ended(130);
    assert_eq!(releases(), before);
    bed.serves_exactly("v1");
    bed.nobody_was_failed();
}

#[test]
fn the_watch_goes_on_when_the_command_line_is_killed() {
    let mut bed = Bed::new();
    bed.deploy(&Release::new("v1", 1)).ended(0);
    bed.traffic_begins();
    bed.prepare(&Release::new("v2", 1));
    bed.forget_points();
    let mut cli = bed.background(&["deploy", "--lease", "1"]);
    cli.comes_to(&bed, "intent:watch");
    cli.kill();
    bed.wait_until("the watch ends", nothing_is_open);
    bed.serves_exactly("v2");
    bed.nobody_was_failed();
}

#[test]
fn a_fault_that_shows_during_the_watch_is_undone_with_nobody_there() {
    let mut bed = Bed::new();
    bed.configure("duration = \"1s\"", "duration = \"2m\"");
    let fault = bed.dir().join("fault");
    let line = format!("APP_FAULT_FILE={}", fault.display());
    bed.prepare(&Release::new("v1", 1));
    // Nobody waits for the watch of the first release.
    let first = bed.safelight(&["deploy", "--detach"]).ended(0);
    assert!(first.err.contains("the watch goes on"), "{}", first.err);
    bed.safelight(&["abort"]).ended(0);
    bed.configure("duration = \"2m\"", "duration = \"1s\"");
    bed.deploy(&Release::new("v1", 1)).ended(0);
    bed.configure("duration = \"1s\"", "duration = \"2m\"");
    bed.traffic_begins();
    bed.prepare(&Release::new("v2", 1).with_env(&[line.as_str()]));
    bed.forget_points();
    let mut cli = bed.background(&["deploy"]);
    cli.comes_to(&bed, "intent:watch");
    cli.kill();
    bed.mark("fault");
    std::fs::write(&fault, "").unwrap();
    bed.wait_until("the host undoes by itself", nothing_is_open);
    bed.mark("after");
    bed.serves_exactly("v1");
    bed.safelight(&["history"]).ended(0).says(&[" requests in ", " failed (100.0 %"]);
    for (mark, c) in bed.traffic_ends() {
        let expected = mark == "fault";
        assert_eq!(c.failed > 0, expected, "{mark}: {} of {} failed: {:#?}", c.failed, c.sent, c.samples);
    }
}
