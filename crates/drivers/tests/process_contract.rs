//! What every process manager promises, tried on each of them with real processes.

#![allow(clippy::unwrap_used)]

#[path = "process/rig.rs"]
mod rig;
#[path = "process/survival.rs"]
mod survival;
#[path = "process/without_daemon.rs"]
mod without_daemon;

use rig::{Rig, fixture, kill, pm2_program, until};
use safelight_engine::driver::{
    host::HostErrorKind,
    process::{ProcessSpec, ProcessState, ProcessStatus},
};
use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt as _,
    process::Command,
    time::{Duration, Instant},
};

/// One test for each manager from each behaviour.
macro_rules! contract {
    ($($name:ident)*) => {
        mod detached {
            $(#[tokio::test]
            async fn $name() {
                super::$name(super::Rig::detached()).await;
            })*
        }
        mod pm2 {
            $(#[tokio::test]
            async fn $name() {
                super::$name(super::Rig::pm2()).await;
            })*
        }
    };
}

contract! {
    starting_twice_runs_one_process
    stopping_twice_succeeds_and_forgets
    concurrent_starts_run_one_process
    list_returns_only_names_with_the_prefix
    variables_arrive_exactly_and_no_others_leak
    arguments_and_directory_arrive_as_given
    output_lands_in_the_log_files
    a_crashed_app_is_started_again_and_counted
    an_app_that_exits_at_once_is_seen
    an_app_that_ignores_sigterm_is_killed_after_its_time
    children_of_the_app_end_with_it
    all_its_processes_are_told_and_no_others
    apps_outlive_the_manager_and_are_found_again
    a_missing_program_is_an_error_and_leaves_nothing
    dangerous_names_are_refused
}

async fn status(rig: &Rig, name: &str) -> ProcessStatus {
    rig.manager.status(name).await.unwrap().unwrap()
}

/// Starts and waits until the app itself has begun.
async fn start(rig: &Rig, spec: &ProcessSpec) -> u32 {
    rig.manager.start(spec).await.unwrap();
    until("the app writes its environment", async || rig.dump(&spec.name).exists().then_some(())).await;
    status(rig, &spec.name).await.pid.unwrap()
}

async fn starting_twice_runs_one_process(rig: Rig) {
    assert_eq!(rig.manager.status("app.web.r1").await.unwrap(), None);
    let spec = rig.spec("app.web.r1", "");
    let pid = start(&rig, &spec).await;
    let mut changed = spec.clone();
    changed.env.insert("PORT".into(), "4712".into());
    let second = rig.manager.start(&changed).await.unwrap();
    assert_eq!((second.pid, second.state, second.restarts), (Some(pid), ProcessState::Running, 0));
    assert_eq!(rig.apps(&spec.name), [pid]);
}

async fn stopping_twice_succeeds_and_forgets(rig: Rig) {
    rig.manager.stop("app.web.r1", Duration::from_secs(5)).await.unwrap();
    let spec = rig.spec("app.web.r1", "");
    start(&rig, &spec).await;
    rig.manager.stop(&spec.name, Duration::from_secs(5)).await.unwrap();
    assert!(rig.apps(&spec.name).is_empty());
    assert_eq!(rig.manager.status(&spec.name).await.unwrap(), None);
    assert_eq!(rig.manager.logs(&spec.name).await.unwrap(), None);
    rig.manager.stop(&spec.name, Duration::from_secs(5)).await.unwrap();
    // The name is free again.
    start(&rig, &spec).await;
}

async fn concurrent_starts_run_one_process(rig: Rig) {
    let spec = rig.spec("app.web.r1", "");
    let (other, third) = (rig.again(), rig.again());
    let (a, b, c) = tokio::join!(rig.manager.start(&spec), other.start(&spec), third.start(&spec));
    assert_eq!(a.unwrap().pid, b.unwrap().pid);
    c.unwrap();
    until("the app writes its environment", async || rig.dump(&spec.name).exists().then_some(())).await;
    assert_eq!(rig.apps(&spec.name).len(), 1);
}

async fn list_returns_only_names_with_the_prefix(rig: Rig) {
    assert_eq!(rig.manager.list("").await.unwrap(), []);
    for name in ["one.production.web.r1", "one.production.api.r1", "one.staging.web.r1"] {
        rig.manager.start(&rig.spec(name, "")).await.unwrap();
    }
    let names: Vec<String> =
        rig.manager.list("one.production.").await.unwrap().into_iter().map(|s| s.name).collect();
    assert_eq!(names, ["one.production.api.r1", "one.production.web.r1"]);
    assert_eq!(rig.manager.list("two.").await.unwrap(), []);
}

async fn variables_arrive_exactly_and_no_others_leak(rig: Rig) {
    let mut spec = rig.spec("app.web.r1", "");
    for (key, value) in [
        ("SPACES", "  a b  "),
        ("QUOTES", r#"'single' "double" `back`"#),
        ("LINES", "one\ntwo\r\n\tthree"),
        ("UNICODE", "胶片 📷"),
        ("DOLLAR", "$HOME ${PATH} $(id) \\n"),
        ("JSON", r#"{"a":[1,"x"]}"#),
        ("EMPTY", ""),
        ("LOOKS_TRUE", "true"),
        ("LOOKS_NUMERIC", "0012"),
    ] {
        spec.env.insert(key.to_owned(), value.to_owned());
    }
    start(&rig, &spec).await;
    let dump = fs::read(rig.dump(&spec.name)).unwrap();
    let seen: BTreeMap<String, String> = dump
        .split(|b| *b == 0)
        .filter_map(|pair| {
            let pair = String::from_utf8(pair.to_vec()).unwrap();
            pair.split_once('=').map(|(k, v)| (k.to_owned(), v.to_owned()))
        })
        .collect();
    for (key, value) in &spec.env {
        assert_eq!(seen.get(key), Some(value), "{key}");
    }
    if rig.manager.kind() == "detached" {
        assert_eq!(seen, spec.env);
    }
    let leaked: Vec<_> =
        std::env::vars().filter(|(k, v)| !spec.env.contains_key(k) && seen.get(k) == Some(v)).collect();
    assert_eq!(leaked, []);
    assert!(!seen.contains_key("HOME") && std::env::vars().any(|(k, _)| k.starts_with("CARGO")));
}

async fn arguments_and_directory_arrive_as_given(rig: Rig) {
    let mut spec = rig.spec("app.web.r1", "");
    let script = fixture("app.mjs").display().to_string();
    spec.argv = ["node", &script, "--flag=a b", "it's", "$X", "", "-1"].map(str::to_owned).to_vec();
    spec.cwd = rig.path("a dir");
    fs::create_dir(&spec.cwd).unwrap();
    start(&rig, &spec).await;
    let seen: serde_json::Value = serde_json::from_slice(&fs::read(rig.dump(&spec.name)).unwrap()).unwrap();
    assert_eq!(seen["argv"], serde_json::json!(["--flag=a b", "it's", "$X", "", "-1"]));
    assert_eq!(seen["cwd"], serde_json::json!(spec.cwd.canonicalize().unwrap()));
}

async fn output_lands_in_the_log_files(rig: Rig) {
    let spec = rig.spec("app.web.r1", "");
    start(&rig, &spec).await;
    let logs = rig.manager.logs(&spec.name).await.unwrap().unwrap();
    assert!(logs.stdout.starts_with(&spec.log_dir) && logs.stderr.starts_with(&spec.log_dir));
    until("both lines are there", async || {
        let out = fs::read_to_string(&logs.stdout).unwrap_or_default();
        let err = fs::read_to_string(&logs.stderr).unwrap_or_default();
        (out == "out: started\n" && err == "err: started\n").then_some(())
    })
    .await;
}

async fn a_crashed_app_is_started_again_and_counted(rig: Rig) {
    let spec = rig.spec("app.web.r1", "");
    let first = start(&rig, &spec).await;
    kill(first, "KILL");
    let now = until("it runs again", async || {
        let status = status(&rig, &spec.name).await;
        (status.pid.is_some_and(|pid| pid != first) && status.restarts == 1).then_some(status)
    })
    .await;
    assert_eq!(now.state, ProcessState::Running);
    assert!(now.last_exit.is_some());
    assert_eq!(rig.apps(&spec.name), [now.pid.unwrap()]);
}

async fn an_app_that_exits_at_once_is_seen(rig: Rig) {
    let spec = rig.spec("app.web.r1", "exit-at-once");
    rig.manager.start(&spec).await.unwrap();
    let status = until("restarts are counted", async || {
        let status = status(&rig, &spec.name).await;
        (status.restarts >= 2).then_some(status)
    })
    .await;
    assert_eq!(status.last_exit.as_deref(), Some("exit status 7"));
    rig.manager.stop(&spec.name, Duration::from_secs(2)).await.unwrap();
    fs::remove_file(rig.dump(&spec.name)).unwrap();
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert!(!rig.dump(&spec.name).exists(), "it was started again after the stop");
}

async fn an_app_that_ignores_sigterm_is_killed_after_its_time(rig: Rig) {
    let mut spec = rig.spec("app.web.r1", "ignore-term");
    spec.stop_timeout = Duration::from_secs(1);
    let pid = start(&rig, &spec).await;
    // The trap is set after the environment was written.
    tokio::time::sleep(Duration::from_millis(200)).await;
    let begin = Instant::now();
    rig.manager.stop(&spec.name, spec.stop_timeout).await.unwrap();
    let took = begin.elapsed();
    assert!(took >= Duration::from_secs(1) && took < Duration::from_secs(8), "{took:?}");
    assert!(!rig.apps(&spec.name).contains(&pid));
}

async fn children_of_the_app_end_with_it(rig: Rig) {
    let mut spec = rig.spec("app.web.r1", "with-child");
    spec.stop_timeout = Duration::from_secs(1);
    start(&rig, &spec).await;
    let children = || rig.processes().into_iter().filter(|(_, c)| c.starts_with("sleep\x001000")).count();
    until("the child runs", async || (children() == 1).then_some(())).await;
    rig.manager.stop(&spec.name, Duration::from_secs(2)).await.unwrap();
    until("the child has ended", async || (children() == 0).then_some(())).await;
}

async fn all_its_processes_are_told_and_no_others(rig: Rig) {
    let spec = rig.spec("app.web.r1", "with-child");
    let other = rig.spec("app.web.r2", "");
    assert!(rig.manager.pids(&spec.name).await.unwrap().is_empty());
    let (pid, stranger) = (start(&rig, &spec).await, start(&rig, &other).await);
    let child = until("the child runs", async || {
        let all = rig.processes();
        all.iter().find(|(_, c)| c.starts_with("sleep\x001000")).map(|(pid, _)| *pid)
    })
    .await;
    let pids = rig.manager.pids(&spec.name).await.unwrap();
    assert!(pids.contains(&pid) && pids.contains(&child) && !pids.contains(&stranger), "{pids:?}");
    assert!(!pids.contains(&std::process::id()), "the manager is everybody's");
    rig.manager.stop(&spec.name, Duration::from_secs(1)).await.unwrap();
    assert!(rig.manager.pids(&spec.name).await.unwrap().is_empty());
}

async fn apps_outlive_the_manager_and_are_found_again(mut rig: Rig) {
    let spec = rig.spec("app.web.r1", "");
    let pid = start(&rig, &spec).await;
    rig.manager = rig.again();
    assert_eq!(status(&rig, &spec.name).await.pid, Some(pid));
    assert_eq!(rig.manager.start(&spec).await.unwrap().pid, Some(pid));
    rig.manager.stop(&spec.name, Duration::from_secs(5)).await.unwrap();
    assert!(rig.apps(&spec.name).is_empty());
}

async fn a_missing_program_is_an_error_and_leaves_nothing(rig: Rig) {
    let mut spec = rig.spec("app.web.r1", "");
    spec.argv = vec!["no-such-program-here".to_owned()];
    let error = rig.manager.start(&spec).await.unwrap_err();
    assert_eq!(error.kind, HostErrorKind::NotFound);
    assert!(error.to_string().contains("no-such-program-here"), "{error}");
    spec = rig.spec("app.web.r1", "");
    spec.cwd = rig.path("nowhere");
    assert_eq!(rig.manager.start(&spec).await.unwrap_err().kind, HostErrorKind::NotFound);
    assert_eq!(rig.manager.status(&spec.name).await.unwrap(), None);
}

async fn dangerous_names_are_refused(rig: Rig) {
    for name in ["all", "0", "../x", "-f", "/.*/", "a b", ""] {
        assert!(rig.manager.start(&rig.spec(name, "")).await.is_err(), "start {name:?}");
        assert!(rig.manager.stop(name, Duration::from_secs(1)).await.is_err(), "stop {name:?}");
    }
    assert_eq!(rig.processes(), []);
}

/// Runs the user's own `pm2` on the rig's PM2.
fn by_hand(rig: &Rig, args: &[&str]) -> String {
    let output = Command::new(pm2_program())
        .args(args)
        .env("PM2_HOME", rig.path("pm2"))
        .env("RIG", rig.path(""))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn the_users_own_apps_in_pm2_keep_pid_and_restart_count() {
    let rig = Rig::pm2();
    let script = fixture("app.mjs").display().to_string();
    // Names that PM2 could take for the id or the namespace of one of ours.
    for name in ["shop", "1", "2", "safelight-start"] {
        by_hand(&rig, &["start", &script, "--name", name, "--namespace", "mine"]);
    }
    let theirs = || {
        let text = by_hand(&rig, &["jlist"]);
        let list: Vec<serde_json::Value> = serde_json::from_str(text.lines().last().unwrap()).unwrap();
        list.into_iter()
            .filter(|e| e["pm2_env"]["namespace"] == "mine")
            .map(|e| (e["name"].clone(), e["pid"].clone(), e["pm2_env"]["restart_time"].clone()))
            .collect::<Vec<_>>()
    };
    let before = theirs();
    assert_eq!(before.len(), 4);
    assert_eq!(rig.manager.list("").await.unwrap(), []);
    assert!(rig.manager.start(&rig.spec("shop", "")).await.is_err(), "a foreign name is taken over");
    assert!(rig.manager.stop("shop", Duration::from_secs(1)).await.is_err(), "a foreign app is stopped");

    let ours = rig.spec("app.web.r1", "");
    let pid = start(&rig, &ours).await;
    kill(pid, "KILL");
    until("it runs again", async || (status(&rig, &ours.name).await.restarts == 1).then_some(())).await;
    rig.manager.stop(&ours.name, Duration::from_secs(2)).await.unwrap();
    assert_eq!(theirs(), before);
}

#[tokio::test]
async fn asking_pm2_starts_no_daemon() {
    let rig = Rig::pm2();
    assert_eq!(rig.manager.list("").await.unwrap(), []);
    assert_eq!(rig.manager.status("app.web.r1").await.unwrap(), None);
    rig.manager.stop("app.web.r1", Duration::from_secs(1)).await.unwrap();
    assert_eq!(rig.processes(), []);
}

#[tokio::test]
async fn secrets_are_in_no_command_line_and_in_no_file_that_others_can_read() {
    for rig in [Rig::detached(), Rig::pm2()] {
        let mut spec = rig.spec("app.web.r1", "");
        spec.env.insert("SECRET".into(), "hunter2-and-more".into());
        start(&rig, &spec).await;
        for (pid, cmdline) in rig.processes() {
            assert!(!cmdline.contains("hunter2"), "{pid}: {cmdline}");
        }
        let mut dirs = vec![rig.path("")];
        while let Some(dir) = dirs.pop() {
            for entry in fs::read_dir(dir).unwrap().flatten() {
                let meta = entry.metadata().unwrap();
                if meta.is_dir() {
                    dirs.push(entry.path());
                } else if meta.is_file() && entry.path() != rig.dump(&spec.name) {
                    let text = fs::read(entry.path()).unwrap();
                    let secret = text.windows(7).any(|w| w == b"hunter2");
                    assert!(!secret || meta.permissions().mode() & 0o077 == 0, "{:?}", entry.path());
                    assert!(rig.manager.kind() != "pm2" || !secret, "{:?} stayed", entry.path());
                }
            }
        }
        assert!(!rig.manager.explain_start(&spec).contains("hunter2"));
    }
}

#[tokio::test]
async fn a_variable_that_pm2_takes_for_a_setting_is_refused() {
    let rig = Rig::pm2();
    let mut spec = rig.spec("app.web.r1", "");
    spec.env.insert("namespace".into(), "x".into());
    let error = rig.manager.start(&spec).await.unwrap_err();
    assert!(error.to_string().contains("`namespace`"), "{error}");
    assert_eq!(rig.processes(), []);
}
