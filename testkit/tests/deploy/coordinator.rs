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

/// A terminal of 40 columns, in which the line that moves wraps.
#[test]
fn what_ctrl_c_does_is_said_on_a_line_of_its_own_above_the_one_that_moves() {
    let bed = Bed::new();
    bed.deploy(&Release::new("v1", 1)).ended(0);
    bed.prepare(&Release::new("v2", 1));
    bed.order("intent:start:api", "pause");
    let (shown, pid) = (bed.dir().join("screen"), bed.dir().join("pid"));
    let deploy = bed.command(&["deploy"]);
    let line = format!(
        "stty cols 40 rows 24; echo $$ > {}; exec {} deploy --no-color",
        pid.display(),
        deploy.get_program().to_string_lossy()
    );
    let mut script = std::process::Command::new("script");
    script.args(["-q", "-e", "-c", &line]).arg(&shown).current_dir(bed.project()).env_clear();
    script.envs(deploy.get_envs().filter_map(|(k, v)| Some((k, v?)))).env("TERM", "xterm");
    let null = std::process::Stdio::null;
    let mut script = script.stdin(null()).stdout(null()).spawn().expect("script, of util-linux, starts");
    let screen = || String::from_utf8_lossy(&std::fs::read(&shown).unwrap_or_default()).into_owned();
    bed.wait_until("the line moves", |b| {
        b.points().iter().any(|p| p == "intent:start:api") && screen().contains("start api of r2")
    });
    let number = || std::fs::read_to_string(&pid).ok().and_then(|s| s.trim().parse::<u32>().ok());
    bed.wait_until("it listens for Ctrl-C", |_| {
        number().is_some_and(|p| safelight_testkit::processes::catches(p, rustix::process::Signal::INT))
    });
    safelight_testkit::processes::kill(number().unwrap(), rustix::process::Signal::INT);
    bed.wait_until("it says what it does", |_| screen().contains("interrupted: taking everything back"));
    bed.release("intent:start:api");
    assert_eq!(script.wait().unwrap().code(), Some(130), "{}", screen());
    let screen = screen();
    let (before, _) = screen.split_once("interrupted: taking everything back").unwrap();
    // The moving line was wiped away, with nothing written since.
    let since = before.rsplit_once("\u{1b}[2K").map(|(_, since)| since);
    let clear = |s: &str| s.chars().all(|c| c.is_control() || "[0123456789;AB".contains(c));
    assert!(since.is_some_and(clear), "{since:?} in {screen:?}");
    bed.serves_exactly("v1");
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
