//! Starting, stopping, dying and being replaced.
#![allow(clippy::unwrap_used)]

mod support;

use std::time::{Duration, Instant};

use safelight_proxy::protocol::Hold;
use safelight_proxy::{UpgradeError, repair, upgrade};
use support::backend::Backend;
use support::clients::{Client, Load, WebSocket, empty, get};
use support::{Files, Proxy, command, switch, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_under_keepalive_load_loses_nothing() {
    let files = Files::new();
    let mut old =
        Proxy::start_with(&files, "127.0.0.1:0".parse().unwrap(), &[("PROXY_UPGRADE_TIMEOUT", "3000")]).await;
    let backend = Backend::start("v1").await;
    old.route("v1", backend.address).await;
    let load = Load::start(old.address, 8);
    tokio::time::sleep(Duration::from_millis(300)).await;
    for _ in 0..2 {
        let mut upgrade = command(&files, old.address, &[("PROXY_UPGRADE_TIMEOUT", "3000")]);
        upgrade.arg("--take-over");
        let new = Proxy::spawn(&files, upgrade).await;
        assert_eq!(new.address, old.address);
        assert_eq!(new.control.state().await.unwrap().predecessor_pid, Some(old.child.id()));
        assert!(old.ended().await.success());
        until("the predecessor is forgotten", async || {
            new.control.state().await.unwrap().predecessor_pid.is_none()
        })
        .await;
        old = new;
    }
    let reopened = load.reopened.load(std::sync::atomic::Ordering::Relaxed);
    let (good, failures) = load.stop().await;
    assert!(
        failures.is_empty(),
        "{} of {good} failed: {:?}",
        failures.len(),
        &failures[..failures.len().min(5)]
    );
    assert!(good > 1000, "only {good} requests");
    assert!(reopened >= 2, "WebSockets of the old process were told to connect again");
    assert_eq!(old.control.state().await.unwrap().services[0].stable.version, "v1");
}

#[tokio::test]
async fn a_switch_after_an_upgrade_waits_for_the_process_before_it() {
    let files = Files::new();
    let old = Proxy::start(&files).await;
    let (v1, v2) = (Backend::start("v1").await, Backend::start("v2").await);
    old.route("v1", v1.address).await;
    let address = old.address;
    // An idle keep-alive connection and a slow request stay with the old process.
    let mut kept = Client::new(address);
    kept.send(http::Method::GET, "/", &[], empty()).await.unwrap();
    let slow = tokio::spawn(async move { get(address, "/slow/700", &[]).await });
    until("the slow request is in flight", async || v1.requests() == 2).await;
    let mut upgrade = command(&files, address, &[]);
    upgrade.arg("--take-over");
    let new = Proxy::spawn(&files, upgrade).await;
    let report = new.control.switch("shop", "web", &switch("v2", v2.address)).await.unwrap();
    let theirs = report.drained.predecessor.unwrap();
    assert_eq!((theirs.in_flight, theirs.finished, theirs.cut), (1, 1, 0));
    assert!(slow.is_finished() || theirs.millis > 100);
    assert_eq!(slow.await.unwrap().body, "v1");
    drop(v1);
    // The old process follows the table: its kept connection reaches the new release and is then closed.
    let answer = kept.send(http::Method::GET, "/", &[], empty()).await.unwrap();
    assert_eq!((answer.body.as_str(), answer.headers["connection"].to_str().unwrap()), ("v2", "close"));
    assert_eq!(kept.connections, 1);
}

#[tokio::test]
async fn the_upgrade_call_returns_when_the_new_process_serves_and_says_why_it_does_not() {
    let files = Files::new();
    let mut old =
        Proxy::start_with(&files, "127.0.0.1:0".parse().unwrap(), &[("PROXY_UPGRADE_TIMEOUT", "200")]).await;
    let mut broken = command(&files, old.address, &[]);
    broken.arg("not an address").arg("--take-over");
    let error = upgrade(&old.control, broken, Duration::from_secs(10)).await.unwrap_err();
    assert!(matches!(error, UpgradeError::Ended { status } if status.code() == Some(2)), "{error}");
    let error =
        upgrade(&old.control, std::process::Command::new("/nonexistent"), Duration::from_secs(10)).await;
    assert!(matches!(error.unwrap_err(), UpgradeError::Start { .. }));
    let mut sleeper = std::process::Command::new("sleep");
    sleeper.arg("60");
    let error = upgrade(&old.control, sleeper, Duration::from_millis(200)).await.unwrap_err();
    assert!(matches!(error, UpgradeError::TooLate { .. }), "{error}");
    assert_eq!(old.control.state().await.unwrap().pid, old.child.id());

    let mut command = command(&files, old.address, &[]);
    command.arg("--take-over");
    let done = upgrade(&old.control, command, Duration::from_secs(10)).await.unwrap();
    assert_eq!((done.before_pid, done.now.listen[0]), (old.child.id(), old.address));
    assert!(old.ended().await.success());
    let new = rustix::process::Pid::from_raw(done.now.pid as i32).unwrap();
    rustix::process::kill_process(new, rustix::process::Signal::TERM).unwrap();
    until("the new process has ended", async || old.control.state().await.is_err()).await;
}

#[tokio::test]
async fn an_upgrade_is_refused_while_requests_are_held() {
    let files = Files::new();
    let old = Proxy::start(&files).await;
    let backend = Backend::start("v1").await;
    old.route("v1", backend.address).await;
    old.control.hold("shop", "web", &Hold::default()).await.unwrap();
    let mut command = command(&files, old.address, &[]);
    command.arg("--take-over");
    assert!(!command.status().unwrap().success());
    let log = std::fs::read_to_string(files.log()).unwrap();
    assert!(log.contains("while shop/web is held; release it first"), "{log}");
    old.control.release("shop", "web").await.unwrap();
    assert_eq!(get(old.address, "/", &[]).await.body, "v1");
}

#[tokio::test]
async fn an_upgrade_that_does_not_come_up_leaves_the_old_process_serving() {
    let files = Files::new();
    let old = Proxy::start(&files).await;
    let backend = Backend::start("v1").await;
    old.route("v1", backend.address).await;
    // The new process takes the sockets, then cannot bind its second address.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut upgrade = command(&files, old.address, &[]);
    upgrade.arg(taken.local_addr().unwrap().to_string()).arg("--take-over");
    assert!(!upgrade.status().unwrap().success());
    let log = std::fs::read_to_string(files.log()).unwrap();
    assert!(
        log.contains("it is taken by") && log.contains(&format!("(pid {})", std::process::id())),
        "{log}"
    );
    assert_eq!(get(old.address, "/", &[]).await.body, "v1");
    let other = Backend::start("v2").await;
    old.control.switch("shop", "web", &switch("v2", other.address)).await.unwrap();
    assert_eq!(get(old.address, "/", &[]).await.body, "v2");
}

#[tokio::test]
async fn a_killed_proxy_comes_back_with_its_table_in_less_than_a_second() {
    let files = Files::new();
    let mut proxy = Proxy::start(&files).await;
    let (v1, v2) = (Backend::start("v1").await, Backend::start("v2").await);
    proxy.route("v1", v1.address).await;
    proxy.control.switch("shop", "web", &switch("v2", v2.address)).await.unwrap();
    let _open = WebSocket::open(proxy.address).await.unwrap();
    let before = proxy.control.state().await.unwrap();
    proxy.child.kill().unwrap();
    proxy.child.wait().unwrap();
    let started = Instant::now();
    let again = Proxy::start_with(&files, proxy.address, &[]).await;
    assert_eq!(get(again.address, "/", &[]).await.body, "v2");
    assert!(started.elapsed() < Duration::from_secs(1), "took {:?}", started.elapsed());
    let after = again.control.state().await.unwrap();
    assert_eq!(after.table_version, before.table_version);
    assert_ne!(after.start_id, before.start_id);
}

#[tokio::test]
async fn a_torn_table_is_refused_with_the_repair_named_and_repaired() {
    let files = Files::new();
    let mut proxy = Proxy::start(&files).await;
    let (v1, v2) = (Backend::start("v1").await, Backend::start("v2").await);
    proxy.route("v1", v1.address).await;
    proxy.control.switch("shop", "web", &switch("v2", v2.address)).await.unwrap();
    assert!(proxy.stop().await.success());
    let whole = std::fs::read(files.routes()).unwrap();
    std::fs::write(files.routes(), &whole[..whole.len() / 2]).unwrap();
    let status = command(&files, "127.0.0.1:0", &[]).status().unwrap();
    assert!(!status.success());
    let log = std::fs::read_to_string(files.log()).unwrap();
    for part in ["routes.json is damaged: it holds", "safelight proxy repair", "routes.json.prev"] {
        assert!(log.contains(part), "`{part}` is missing in: {log}");
    }
    repair(&files.routes()).unwrap();
    let proxy = Proxy::start(&files).await;
    assert_eq!(get(proxy.address, "/", &[]).await.body, "v1");
}

#[tokio::test]
async fn a_second_proxy_on_one_socket_is_refused_and_a_stale_socket_is_not() {
    let files = Files::new();
    let mut first = Proxy::start(&files).await;
    let status = command(&files, "127.0.0.1:0", &[]).status().unwrap();
    assert!(!status.success());
    let log = std::fs::read_to_string(files.log()).unwrap();
    assert!(log.contains(&format!("another proxy is running on {}", files.socket().display())), "{log}");
    assert!(log.contains(&format!("(pid {})", first.child.id())), "{log}");
    first.child.kill().unwrap();
    first.child.wait().unwrap();
    assert!(files.socket().exists(), "a kill leaves the socket behind");
    Proxy::start(&files).await;
}

#[tokio::test]
async fn a_stop_finishes_requests_in_flight_and_closes_idle_connections_soon() {
    let files = Files::new();
    let mut proxy =
        Proxy::start_with(&files, "127.0.0.1:0".parse().unwrap(), &[("PROXY_IDLE_GRACE", "100")]).await;
    let backend = Backend::start("v1").await;
    proxy.route("v1", backend.address).await;
    let mut idle = Client::new(proxy.address);
    idle.send(http::Method::GET, "/", &[], empty()).await.unwrap();
    let address = proxy.address;
    let slow = tokio::spawn(async move { get(address, "/slow/600", &[]).await });
    until("the slow request is in flight", async || backend.requests() == 2).await;
    let started = Instant::now();
    assert!(proxy.stop().await.success());
    assert!((300..3000).contains(&(started.elapsed().as_millis() as u64)), "{:?}", started.elapsed());
    let answer = slow.await.unwrap();
    assert_eq!((answer.body.as_str(), answer.headers["connection"].to_str().unwrap()), ("v1", "close"));
    assert!(!files.socket().exists());
}

/// A proxy that held with this lease and was killed; what was started in its place after `pause`.
async fn killed_while_holding(files: &Files, lease_ms: u64, pause: Duration) -> (Proxy, Backend) {
    let mut proxy = Proxy::start(files).await;
    let backend = Backend::start("v1").await;
    proxy.route("v1", backend.address).await;
    let hold = Hold { lease_ms, ..Hold::default() };
    proxy.control.hold("shop", "web", &hold).await.unwrap();
    proxy.child.kill().unwrap();
    proxy.child.wait().unwrap();
    tokio::time::sleep(pause).await;
    (Proxy::start_with(files, proxy.address, &[]).await, backend)
}

#[tokio::test]
async fn a_restart_goes_on_with_a_hold_until_it_is_ended() {
    let files = Files::new();
    let (again, backend) = killed_while_holding(&files, 60_000, Duration::ZERO).await;
    let state = again.control.state().await.unwrap();
    assert!(state.services[0].held.is_some() && !state.services[0].hold_lost_at_restart);
    let address = again.address;
    let waiting = tokio::spawn(async move { get(address, "/", &[]).await });
    while again.control.state().await.unwrap().services[0].held.as_ref().is_some_and(|h| h.waiting == 0) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(backend.requests(), 0);
    assert_eq!(again.control.release("shop", "web").await.unwrap().waiting, 1);
    assert_eq!(waiting.await.unwrap().body, "v1");
    assert!(!std::fs::read_to_string(files.routes()).unwrap().contains("hold"));
}

#[tokio::test]
async fn a_restart_makes_a_hold_no_longer() {
    let files = Files::new();
    let (again, _backend) = killed_while_holding(&files, 2_000, Duration::ZERO).await;
    assert!(again.control.state().await.unwrap().services[0].held.is_some());
    let began = Instant::now();
    assert_eq!(get(again.address, "/", &[]).await.body, "v1");
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    assert!(again.control.state().await.unwrap().services[0].held.is_none());
}

#[tokio::test]
async fn a_restart_after_the_time_of_a_hold_starts_released_and_says_so() {
    let files = Files::new();
    let (again, _backend) = killed_while_holding(&files, 300, Duration::from_millis(400)).await;
    let state = again.control.state().await.unwrap();
    assert!(state.services[0].held.is_none() && state.services[0].hold_lost_at_restart);
    assert_eq!(get(again.address, "/", &[]).await.body, "v1");
    // Whoever held may hold again.
    again.control.hold("shop", "web", &Hold::default()).await.unwrap();
    assert!(!again.control.state().await.unwrap().services[0].hold_lost_at_restart);
    assert_eq!(again.control.release("shop", "web").await.unwrap().waiting, 0);
}
