//! PM2's daemon dies under the apps that it has started, as it does when memory runs out: they go on, and are found,
//! ended, and started again when they die.

use crate::{
    by_hand,
    rig::{Rig, kill, until},
    start,
};
use safelight_engine::driver::process::ProcessState;
use std::{fs, time::Duration};

/// Kills the daemon alone.
async fn daemon_dies(rig: &Rig) {
    let pid: u32 = fs::read_to_string(rig.path("pm2/pm2.pid")).unwrap().trim().parse().unwrap();
    kill(pid, "KILL");
    until("the daemon is gone", async || safelight_drivers::host::proc::stat(pid).is_none().then_some(()))
        .await;
}

#[tokio::test]
async fn an_app_without_its_daemon_is_known_left_running_and_ended_with_its_children() {
    let rig = Rig::pm2();
    by_hand(&rig, &["start", "/bin/sleep", "--name", "theirs", "--namespace", "mine", "--", "2000"]);
    let mut spec = rig.spec("app.web.r1", "with-child");
    spec.stop_timeout = Duration::from_secs(1);
    let pid = start(&rig, &spec).await;
    let running = |what: &str| rig.processes().iter().filter(|(_, c)| c.contains(what)).count();
    until("child and theirs run", async || {
        (running("sleep\x001000") == 1 && running("sleep\x002000") == 1).then_some(())
    })
    .await;
    daemon_dies(&rig).await;

    let status = rig.manager.status(&spec.name).await.unwrap().unwrap();
    assert_eq!((status.state, status.pid), (ProcessState::Running, Some(pid)));
    let listed = rig.manager.list("").await.unwrap();
    assert_eq!(listed.iter().map(|s| (&*s.name, s.pid)).collect::<Vec<_>>(), [("app.web.r1", Some(pid))]);
    assert!(rig.manager.pids(&spec.name).await.unwrap().len() >= 2, "the child is told, too");
    let logs = rig.manager.logs(&spec.name).await.unwrap().unwrap();
    assert!(fs::read_to_string(&logs.stdout).unwrap().contains("out: started"), "{logs:?}");
    assert_eq!(rig.manager.start(&spec).await.unwrap().pid, Some(pid), "a second one was started");
    assert_eq!(rig.apps(&spec.name), [pid]);

    // The same beside a new daemon, which knows nothing of it.
    let next = rig.spec("app.web.r2", "");
    start(&rig, &next).await;
    assert_eq!(rig.manager.status(&spec.name).await.unwrap().unwrap().pid, Some(pid));
    assert_eq!(rig.manager.list("app.").await.unwrap().len(), 2);
    rig.manager.stop(&spec.name, Duration::from_secs(1)).await.unwrap();
    rig.manager.stop(&next.name, Duration::from_secs(1)).await.unwrap();
    assert_eq!(rig.manager.list("").await.unwrap(), []);
    assert_eq!((running("sleep\x001000"), running("app.sh"), running("sleep\x002000")), (0, 0, 1));
}

#[tokio::test]
async fn what_a_dead_daemon_would_have_started_again_is_for_safelight_to_start() {
    let rig = Rig::pm2();
    assert!(rig.manager.has_keeper().await, "where there is no PM2 yet, none has died");
    let (api, web) = (rig.spec("app.api.r1", ""), rig.spec("app.web.r1", ""));
    let (first, second) = (start(&rig, &api).await, start(&rig, &web).await);
    assert!(rig.manager.has_keeper().await);
    daemon_dies(&rig).await;
    assert!(!rig.manager.has_keeper().await);
    // One dies and is started again, under a new daemon.
    assert_eq!(rig.manager.list("").await.unwrap().len(), 2);
    kill(first, "KILL");
    until("it is gone", async || rig.manager.status(&api.name).await.unwrap().is_none().then_some(())).await;
    start(&rig, &api).await;
    // The other one was never the new daemon's.
    assert!(!rig.manager.has_keeper().await);
    kill(second, "KILL");
    until("it is gone", async || rig.manager.status(&web.name).await.unwrap().is_none().then_some(())).await;
    assert!(!rig.manager.has_keeper().await, "its death is forgotten");
    start(&rig, &web).await;
    assert!(rig.manager.has_keeper().await);
    // Whoever ends PM2 in order wants its apps to be ended.
    by_hand(&rig, &["kill"]);
    assert!(rig.manager.has_keeper().await);
    assert_eq!(rig.manager.list("").await.unwrap(), []);
}
