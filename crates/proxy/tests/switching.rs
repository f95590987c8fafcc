//! Moving users from one release to another while they use it.
#![allow(clippy::unwrap_used)]

mod support;

use std::time::{Duration, Instant};

use safelight_proxy::ControlError;
use safelight_proxy::protocol::{Drain, RouteMatch, SetCandidate, UpgradedPolicy};
use safelight_proxy::table::Candidate;
use support::backend::Backend;
use support::clients::{Client, Ended, Load, WebSocket, empty, get, slow_body};
use support::{Files, Proxy, release, service, switch, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_is_lost_over_fifty_switches_under_keepalive_load() {
    let files = Files::new();
    let proxy = Proxy::start(&files).await;
    let mut old = Backend::start("v0").await;
    proxy.route("v0", old.address).await;
    let load = Load::start(proxy.address, 8);
    let mut drained = 0;
    for i in 1..=50 {
        let version = format!("v{i}");
        let new = Backend::start(&version).await;
        let report = proxy.control.switch("shop", "web", &switch(&version, new.address)).await.unwrap();
        assert_eq!(report.drained.cut, 0, "{report:?}");
        drained += report.drained.finished + report.drained.upgraded_closed;
        // The switch has returned: the old release may be killed, and is.
        drop(std::mem::replace(&mut old, new));
    }
    let reopened = load.reopened.load(std::sync::atomic::Ordering::Relaxed);
    let (good, failures) = load.stop().await;
    assert!(
        failures.is_empty(),
        "{} of {} failed: {:?}",
        failures.len(),
        good,
        &failures[..failures.len().min(5)]
    );
    assert!(good > 1000, "only {good} requests");
    assert!(drained > 100, "only {drained} requests were in flight at a switch");
    assert!(reopened > 0, "no WebSocket was told to connect again");
}

#[tokio::test]
async fn a_switch_waits_for_slow_responses_and_says_how_many() {
    let files = Files::new();
    let proxy = Proxy::start(&files).await;
    let (v1, v2) = (Backend::start("v1").await, Backend::start("v2").await);
    proxy.route("v1", v1.address).await;
    let address = proxy.address;
    let slow: Vec<_> =
        (0..3).map(|_| tokio::spawn(async move { get(address, "/slow/400", &[]).await })).collect();
    until("three requests are in flight", async || v1.requests() == 3).await;
    let started = Instant::now();
    let report = proxy.control.switch("shop", "web", &switch("v2", v2.address)).await.unwrap();
    assert!(started.elapsed() > Duration::from_millis(200), "did not wait: {report:?}");
    assert_eq!((report.drained.in_flight, report.drained.finished, report.drained.cut), (3, 3, 0));
    for answer in slow {
        assert_eq!(answer.await.unwrap().body, "v1");
    }
    assert_eq!(get(address, "/", &[]).await.body, "v2");
}

#[tokio::test]
async fn requests_go_to_the_new_release_while_the_old_one_drains() {
    let files = Files::new();
    let proxy = Proxy::start(&files).await;
    let (v1, v2) = (Backend::start("v1").await, Backend::start("v2").await);
    proxy.route("v1", v1.address).await;
    let (address, control) = (proxy.address, proxy.control.clone());
    let slow = tokio::spawn(async move { get(address, "/slow/500", &[]).await });
    until("one request is in flight", async || v1.requests() == 1).await;
    let to = switch("v2", v2.address);
    let switching = tokio::spawn(async move { control.switch("shop", "web", &to).await });
    until("the table says v2", async || {
        proxy.control.state().await.unwrap().services[0].stable.version == "v2"
    })
    .await;
    assert_eq!(get(address, "/", &[]).await.body, "v2");
    let state = proxy.control.state().await.unwrap();
    assert_eq!(state.services[0].draining, ["v1"]);
    assert!(!switching.is_finished());
    assert_eq!(slow.await.unwrap().body, "v1");
    switching.await.unwrap().unwrap();
    assert!(proxy.control.state().await.unwrap().services[0].draining.is_empty());
}

#[tokio::test]
async fn the_drain_timeout_cuts_what_is_left_and_says_so() {
    let files = Files::new();
    let proxy = Proxy::start(&files).await;
    let (v1, v2) = (Backend::start("v1").await, Backend::start("v2").await);
    proxy.route("v1", v1.address).await;
    let address = proxy.address;
    let silent = tokio::spawn(async move { get(address, "/slow/20000", &[]).await });
    let streaming = tokio::spawn(async move {
        Client::new(address).send(http::Method::GET, "/stream/4000", &[], empty()).await
    });
    until("both are in flight", async || v1.requests() == 2).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    let mut to = switch("v2", v2.address);
    to.drain.timeout_ms = 200;
    let report = proxy.control.switch("shop", "web", &to).await.unwrap();
    assert_eq!((report.drained.in_flight, report.drained.finished, report.drained.cut), (2, 0, 2));
    assert!((200..1500).contains(&report.drained.millis), "{report:?}");
    // Whoever got nothing yet is told; a response that had begun is broken off, not ended as if complete.
    let told = silent.await.unwrap();
    assert_eq!((told.status.as_u16(), told.headers["retry-after"].to_str().unwrap()), (503, "1"));
    assert!(streaming.await.unwrap().unwrap_err().starts_with("body:"));
    let metrics = proxy.control.metrics().await.unwrap();
    assert_eq!(metrics.services[0].versions["v1"].cut, 2);
    assert_eq!(metrics.services[0].versions["v1"].in_flight, 0);
}

#[tokio::test]
async fn a_websocket_is_told_to_reconnect_when_its_release_leaves() {
    let files = Files::new();
    let proxy = Proxy::start(&files).await;
    let (v1, v2) = (Backend::start("v1").await, Backend::start("v2").await);
    proxy.route("v1", v1.address).await;
    let mut socket = WebSocket::open(proxy.address).await.unwrap();
    socket.echo("hello").await.unwrap();
    let report = proxy.control.switch("shop", "web", &switch("v2", v2.address)).await.unwrap();
    assert_eq!((report.drained.in_flight, report.drained.upgraded_closed, report.drained.cut), (1, 1, 0));
    assert!(report.drained.millis < 1000, "{report:?}");
    assert_eq!(socket.next().await.unwrap_err(), Ended::Closed(1012));

    // On request they are left alone until the end of the drain.
    let mut socket = WebSocket::open(proxy.address).await.unwrap();
    let mut back = switch("v1", v1.address);
    back.drain = Drain { timeout_ms: 300, upgraded: UpgradedPolicy::AtEnd };
    let control = proxy.control.clone();
    let switching = tokio::spawn(async move { control.switch("shop", "web", &back).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    socket.echo("still here").await.unwrap();
    let report = switching.await.unwrap().unwrap();
    assert_eq!((report.drained.in_flight, report.drained.upgraded_closed), (1, 1));
    assert_eq!(socket.next().await.unwrap_err(), Ended::Closed(1012));
}

#[tokio::test]
async fn switching_back_during_a_drain_does_not_cut_the_requests_that_came_back() {
    let files = Files::new();
    let proxy = Proxy::start(&files).await;
    let (v1, v2) = (Backend::start("v1").await, Backend::start("v2").await);
    proxy.route("v1", v1.address).await;
    let address = proxy.address;
    let before = tokio::spawn(async move { get(address, "/slow/20000", &[]).await });
    until("one request is in flight", async || v1.requests() == 1).await;
    let control = proxy.control.clone();
    let mut to = switch("v2", v2.address);
    to.drain.timeout_ms = 400;
    let forth = tokio::spawn(async move { control.switch("shop", "web", &to).await });
    until("the table says v2", async || {
        proxy.control.state().await.unwrap().services[0].stable.version == "v2"
    })
    .await;
    let mut back = switch("v1", v1.address);
    back.drain.timeout_ms = 2_000;
    let control = proxy.control.clone();
    let back = tokio::spawn(async move { control.switch("shop", "web", &back).await });
    until("the table says v1", async || {
        proxy.control.state().await.unwrap().services[0].stable.version == "v1"
    })
    .await;
    let after = tokio::spawn(async move { get(address, "/slow/800", &[]).await });
    assert_eq!(forth.await.unwrap().unwrap().drained.cut, 1);
    assert_eq!(before.await.unwrap().status, 503);
    assert_eq!(after.await.unwrap().body, "v1");
    back.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_target_that_fails_its_probe_changes_nothing() {
    let files = Files::new();
    let proxy = Proxy::start(&files).await;
    let (v1, v2) = (Backend::start("v1").await, Backend::start("v2").await);
    proxy.route("v1", v1.address).await;
    let before = proxy.control.state().await.unwrap().table_version;
    let mut to = switch("v2", v2.address);
    to.probe = Some("/status/500".into());
    let error = proxy.control.switch("shop", "web", &to).await.unwrap_err();
    let ControlError::Refused { status: 412, body, .. } = &error else { panic!("{error}") };
    assert_eq!(body.code, "probe_failed");
    assert!(
        body.message.contains("answered 500") && body.message.contains(&v2.address.to_string()),
        "{error}"
    );
    assert_eq!(proxy.control.state().await.unwrap().table_version, before);
    assert_eq!(get(proxy.address, "/", &[]).await.body, "v1");
    to.probe = Some("/status/204".into());
    assert!(proxy.control.switch("shop", "web", &to).await.unwrap().changed);
}

#[tokio::test]
async fn repeating_a_switch_waits_for_the_drain_of_the_first_and_changes_nothing() {
    let files = Files::new();
    let proxy = Proxy::start(&files).await;
    let (v1, v2) = (Backend::start("v1").await, Backend::start("v2").await);
    proxy.route("v1", v1.address).await;
    let address = proxy.address;
    let slow = tokio::spawn(async move { get(address, "/slow/500", &[]).await });
    until("one request is in flight", async || v1.requests() == 1).await;
    let (control, to) = (proxy.control.clone(), switch("v2", v2.address));
    let again = to.clone();
    let first = tokio::spawn(async move { control.switch("shop", "web", &to).await });
    until("the table says v2", async || {
        proxy.control.state().await.unwrap().services[0].stable.version == "v2"
    })
    .await;
    // The caller of the first goes away, as after Ctrl-C; the drain goes on and a second caller waits for it.
    first.abort();
    let report = proxy.control.switch("shop", "web", &again).await.unwrap();
    assert_eq!((report.changed, report.drained.in_flight, report.drained.finished), (false, 1, 1));
    assert_eq!(slow.await.unwrap().body, "v1");
}

#[tokio::test]
async fn a_request_that_cannot_connect_is_tried_again_once_whatever_its_method() {
    let files = Files::new();
    let proxy = Proxy::start(&files).await;
    let v1 = Backend::start("v1").await;
    let closed = Backend::start("gone").await.address;
    let mut put = service("v1", closed);
    put.stable.targets = vec![closed, v1.address];
    proxy.control.put("shop", "web", &put).await.unwrap();
    let mut client = Client::new(proxy.address);
    for _ in 0..4 {
        let body = slow_body(2, 10, Duration::ZERO);
        let answer = client.send(http::Method::POST, "/upload", &[], body).await.unwrap();
        assert_eq!((answer.status.as_u16(), answer.body.as_str()), (200, "20"));
    }
    let metrics = proxy.control.metrics().await.unwrap();
    let counts = &metrics.services[0].versions["v1"];
    assert!(counts.connect_failures >= 2, "{counts:?}");
    assert_eq!(counts.retries, counts.connect_failures);
    assert_eq!(metrics.services[0].bad_gateway, 0);

    proxy.control.switch("shop", "web", &switch("v2", closed)).await.unwrap();
    let answer = get(proxy.address, "/", &[("accept", "text/html")]).await;
    assert_eq!(
        (answer.status.as_u16(), answer.headers["x-safelight-error"].to_str().unwrap()),
        (502, "upstream_refused")
    );
    assert!(answer.body.contains("<h1>502</h1>"));
    let answer = get(proxy.address, "/", &[("accept", "application/json")]).await;
    let json: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!((json["status"].as_u64(), json["error"].as_str()), (Some(502), Some("upstream_refused")));
    assert_eq!(proxy.control.metrics().await.unwrap().services[0].bad_gateway, 2);
}

#[tokio::test]
async fn a_second_attempt_goes_to_the_release_that_is_stable_by_then() {
    let files = Files::new();
    let proxy = Proxy::start(&files).await;
    let v2 = Backend::start("v2").await;
    // A full backlog: connecting neither succeeds nor fails, until the time limit of 300 ms.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let stuck = socket.listen(1).unwrap();
    let target = stuck.local_addr().unwrap();
    let mut fill = Vec::new();
    while let Ok(Ok(open)) =
        tokio::time::timeout(Duration::from_millis(100), tokio::net::TcpStream::connect(target)).await
    {
        fill.push(open);
    }
    let mut put = service("v1", target);
    put.timeouts.connect_ms = 300;
    proxy.control.put("shop", "web", &put).await.unwrap();
    let address = proxy.address;
    let asked = tokio::spawn(async move { get(address, "/", &[]).await });
    until("the first attempt is under way", async || {
        proxy.control.state().await.unwrap().services[0].in_flight["v1"] == 1
    })
    .await;
    let report = proxy.control.switch("shop", "web", &switch("v2", v2.address)).await.unwrap();
    assert_eq!((report.drained.in_flight, report.drained.cut), (1, 0));
    assert_eq!(asked.await.unwrap().body, "v2");
}

#[tokio::test]
async fn a_connection_that_the_release_closes_in_the_moment_of_its_reuse_costs_no_request() {
    let files = Files::new();
    let proxy = Proxy::start(&files).await;
    // Answers one request per connection, promises keep-alive, and closes when the second one comes.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = listener.local_addr().unwrap();
    let rude = tokio::spawn(async move {
        let mut connections = 0u32;
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            connections += 1;
            let mut request = [0u8; 4096];
            tokio::spawn(async move {
                let n = stream.read(&mut request).await.unwrap();
                assert!(n > 0);
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
                let _ = stream.read(&mut request).await;
            });
            if connections == 12 {
                return;
            }
        }
    });
    proxy.route("v1", target).await;
    let mut client = Client::new(proxy.address);
    for i in 0..20 {
        let answer = client.send(http::Method::GET, "/", &[], empty()).await.unwrap();
        assert_eq!((answer.status.as_u16(), answer.body.as_str()), (200, "ok"), "request {i}");
        if rude.is_finished() {
            break;
        }
    }
    assert!(proxy.control.metrics().await.unwrap().services[0].versions["v1"].retries > 0);
    rude.abort();
}

#[tokio::test]
async fn a_hold_back_keeps_the_old_release_for_a_share_in_the_moment_of_the_switch() {
    let files = Files::new();
    let proxy = Proxy::start(&files).await;
    let (v1, v2) = (Backend::start("v1").await, Backend::start("v2").await);
    proxy.route("v1", v1.address).await;
    let mut candidate = Candidate {
        release: release("v2", v2.address),
        test_hosts: Vec::new(),
        share: 0.5,
        salt: "s".into(),
    };
    let set = SetCandidate { candidate: Some(candidate.clone()), probe: None, drain: Drain::default() };
    proxy.control.candidate("shop", "web", &set).await.unwrap();
    let mut to = switch("v2", v2.address);
    candidate.release = release("v1", v1.address);
    candidate.share = 1.0;
    to.then_candidate = Some(candidate);
    let report = proxy.control.switch("shop", "web", &to).await.unwrap();
    assert_eq!(report.drained.in_flight, 0, "neither release left");
    let state = proxy.control.state().await.unwrap();
    assert_eq!(state.services[0].stable.version, "v2");
    assert_eq!(get(proxy.address, "/", &[]).await.body, "v1");
    proxy.control.share("shop", "web", 0.0).await.unwrap();
    assert_eq!(get(proxy.address, "/", &[]).await.body, "v2");
}

#[tokio::test]
async fn a_put_promotes_the_candidate_and_keeps_another_one() {
    let files = Files::new();
    let proxy = Proxy::start(&files).await;
    let (v1, v2) = (Backend::start("v1").await, Backend::start("v2").await);
    proxy.route("v1", v1.address).await;
    let candidate = |version: &str, target| Candidate {
        release: release(version, target),
        test_hosts: vec!["next.example.com".into()],
        share: 0.0,
        salt: String::new(),
    };
    let set = |c| SetCandidate { candidate: Some(c), probe: None, drain: Drain::default() };
    proxy.control.candidate("shop", "web", &set(candidate("v2", v2.address))).await.unwrap();
    let mut put = service("v2", v2.address);
    put.routes = vec![RouteMatch::new("Example.com", "/shop/")];
    proxy.control.put("shop", "web", &put).await.unwrap();
    let shown = &proxy.control.state().await.unwrap().services[0];
    assert_eq!((shown.stable.version.as_str(), &shown.candidate), ("v2", &None));
    assert_eq!(shown.routes, put.routes, "what is shown can be compared with what was asked for");
    proxy.control.candidate("shop", "web", &set(candidate("v3", v1.address))).await.unwrap();
    proxy.control.put("shop", "web", &put).await.unwrap();
    let kept = proxy.control.state().await.unwrap().services[0].candidate.clone();
    assert_eq!(kept.map(|c| c.release.version).as_deref(), Some("v3"));
}
