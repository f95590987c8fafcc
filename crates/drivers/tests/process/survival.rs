//! What the detached manager promises beyond the contract: apps that outlive everything around them.

use crate::rig::{Rig, kill, until};
use safelight_drivers::process::LogLimits;
use safelight_engine::driver::process::{ProcessSpec, ProcessState};
use std::{
    fs,
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    time::Duration,
};

async fn start(rig: &Rig, spec: &ProcessSpec) -> u32 {
    let status = rig.manager.start(spec).await.unwrap();
    until("the app writes its environment", async || rig.dump(&spec.name).exists().then_some(())).await;
    status.pid.unwrap()
}

fn shims(rig: &Rig) -> Vec<u32> {
    rig.processes().into_iter().filter(|(_, c)| c.contains("safelight-shim")).map(|(pid, _)| pid).collect()
}

/// Kills the shim and waits until it is gone.
async fn kill_shim(rig: &Rig) {
    for pid in shims(rig) {
        kill(pid, "KILL");
    }
    until("the shim is gone", async || shims(rig).is_empty().then_some(())).await;
}

#[tokio::test]
async fn an_app_survives_the_shim_and_stop_still_ends_it() {
    let rig = Rig::detached();
    let spec = rig.spec("app.web.r1", "");
    let pid = start(&rig, &spec).await;
    kill_shim(&rig).await;
    let status = rig.manager.status(&spec.name).await.unwrap().unwrap();
    assert_eq!((status.state, status.pid), (ProcessState::Running, Some(pid)));
    rig.manager.stop(&spec.name, Duration::from_secs(5)).await.unwrap();
    assert_eq!(rig.processes(), []);
}

#[tokio::test]
async fn no_signal_to_the_daemon_or_its_terminal_reaches_shim_or_app() {
    let rig = Rig::detached();
    let spec = rig.spec("app.web.r1", "");
    let pid = start(&rig, &spec).await;
    let [shim] = shims(&rig)[..] else { panic!("one shim is expected") };
    let of = |pid| safelight_drivers::host::proc::stat(pid).unwrap();
    // A session without a terminal, and within it a group of its own for the app.
    assert_eq!((of(shim).session, of(shim).group), (shim, shim));
    assert_eq!((of(pid).session, of(pid).group, of(pid).parent), (shim, pid, shim));
    assert_ne!(of(std::process::id()).session, shim);
}

#[tokio::test]
async fn a_new_shim_adopts_the_app_and_looks_after_it() {
    let rig = Rig::detached();
    let spec = rig.spec("app.web.r1", "");
    let pid = start(&rig, &spec).await;
    kill_shim(&rig).await;
    let again = rig.manager.start(&spec).await.unwrap();
    assert_eq!(again.pid, Some(pid));
    assert_eq!((shims(&rig).len(), rig.apps(&spec.name)), (1, vec![pid]));
    kill(pid, "KILL");
    let status = until("it runs again", async || {
        let status = rig.manager.status(&spec.name).await.unwrap().unwrap();
        (status.restarts == 1 && status.pid.is_some_and(|p| p != pid)).then_some(status)
    })
    .await;
    assert_eq!(rig.apps(&spec.name), [status.pid.unwrap()]);
}

#[tokio::test]
async fn an_app_that_died_without_its_shim_is_stopped_and_starts_afresh() {
    let rig = Rig::detached();
    let spec = rig.spec("app.web.r1", "");
    let pid = start(&rig, &spec).await;
    kill_shim(&rig).await;
    kill(pid, "KILL");
    until("the death is seen", async || {
        let status = rig.manager.status(&spec.name).await.unwrap().unwrap();
        (status.state == ProcessState::Stopped && status.pid.is_none()).then_some(())
    })
    .await;
    let status = rig.manager.start(&spec).await.unwrap();
    assert_eq!((status.state, status.restarts), (ProcessState::Running, 0));
    assert_ne!(status.pid, Some(pid));
}

#[tokio::test]
async fn what_a_crashed_app_left_running_is_ended_before_the_restart() {
    let rig = Rig::detached();
    let spec = rig.spec("app.web.r1", "with-child");
    let pid = start(&rig, &spec).await;
    let children = || {
        let mut found: Vec<u32> = rig
            .processes()
            .into_iter()
            .filter(|(_, c)| c.starts_with("sleep\x001000"))
            .map(|(p, _)| p)
            .collect();
        found.sort_unstable();
        found
    };
    let old = until("the child runs", async || children().first().copied()).await;
    kill(pid, "KILL");
    until("a new child runs alone", async || {
        let now = children();
        (now.len() == 1 && now[0] != old).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_app_whose_shim_died_before_it_could_note_it_is_found() {
    for restart in [false, true] {
        let rig = Rig::detached();
        let spec = rig.spec("app.web.r1", "");
        let pid = start(&rig, &spec).await;
        kill_shim(&rig).await;
        let file = rig.path("run/app.web.r1/state.json");
        let mut state: serde_json::Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        state["app"] = serde_json::Value::Null;
        fs::write(&file, state.to_string()).unwrap();
        let status = rig.manager.status(&spec.name).await.unwrap().unwrap();
        assert_eq!((status.state, status.pid), (ProcessState::Running, Some(pid)));
        if restart {
            assert_eq!(rig.manager.start(&spec).await.unwrap().pid, Some(pid));
            assert_eq!(rig.apps(&spec.name), [pid], "a second one was started");
        }
        rig.manager.stop(&spec.name, Duration::from_secs(5)).await.unwrap();
        assert!(rig.processes().is_empty());
    }
}

#[tokio::test]
async fn a_number_that_was_given_to_another_process_is_left_alone() {
    let rig = Rig::detached();
    let spec = rig.spec("app.web.r1", "");
    let pid = start(&rig, &spec).await;
    kill_shim(&rig).await;
    kill(pid, "KILL");
    until("the app is gone", async || rig.apps(&spec.name).is_empty().then_some(())).await;
    // As if the app's number had gone to a stranger, which leads a group of its own and started at another time.
    let mut stranger = std::process::Command::new("sleep").arg("1000").process_group(0).spawn().unwrap();
    let of_stranger = safelight_drivers::host::proc::stat(stranger.id()).unwrap();
    let file = rig.path("run/app.web.r1/state.json");
    let mut state: serde_json::Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    for who in ["app", "shim"] {
        state[who]["pid"] = stranger.id().into();
        state[who]["session"] = of_stranger.session.into();
        state[who]["start_ticks"] = (of_stranger.start_ticks - 1).into();
    }
    fs::write(&file, state.to_string()).unwrap();
    let status = rig.manager.status(&spec.name).await.unwrap().unwrap();
    assert_eq!((status.state, status.pid), (ProcessState::Stopped, None));
    rig.manager.stop(&spec.name, Duration::from_secs(1)).await.unwrap();
    assert!(stranger.try_wait().unwrap().is_none(), "a process that is not ours was signalled");
    stranger.kill().unwrap();
    stranger.wait().unwrap();
}

#[tokio::test]
async fn records_are_for_their_owner_only() {
    let rig = Rig::detached();
    let spec = rig.spec("app.web.r1", "");
    start(&rig, &spec).await;
    let mode = |path: &str| fs::metadata(rig.path(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("run/app.web.r1"), 0o700);
    assert_eq!(mode("run/app.web.r1/spec.json"), 0o600);
    assert_eq!(mode("run/app.web.r1/state.json"), 0o600);
}

#[tokio::test]
async fn logs_are_rotated_while_the_app_writes_and_every_line_is_kept() {
    let rig = Rig::detached_with(LogLimits { max_bytes: 200_000, keep: 50, total_bytes: 100_000_000 });
    let mut spec = rig.spec("app.web.r1", "");
    let script = "i=0; while [ $i -lt 60000 ]; do i=$((i+1)); echo \"line $i of the log\"; done; \
                  echo done > \"$RIG/finished\"; exec sleep 1000";
    spec.argv = ["sh", "-c", script].map(str::to_owned).to_vec();
    rig.manager.start(&spec).await.unwrap();
    until("the app has written all", async || rig.path("finished").exists().then_some(())).await;
    let logs = rig.manager.logs(&spec.name).await.unwrap().unwrap();
    let piece = |n: u32| logs.stdout.with_file_name(format!("app.web.r1.out.log.{n}"));
    until("the last rotation is done", async || {
        (fs::metadata(&logs.stdout).unwrap().len() <= 200_000).then_some(())
    })
    .await;
    assert!(piece(1).exists());
    let mut all: String = (1..=50).rev().map(|n| fs::read_to_string(piece(n)).unwrap_or_default()).collect();
    all += &fs::read_to_string(&logs.stdout).unwrap();
    let lines: Vec<&str> = all.lines().collect();
    assert_eq!(lines.len(), 60_000);
    assert!(lines.iter().enumerate().all(|(i, line)| *line == format!("line {} of the log", i + 1)));
}
