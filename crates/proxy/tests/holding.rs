//! Requests that wait while a process is restarted in place, and the counts that tell of it.
#![allow(clippy::unwrap_used)]

mod support;

use std::time::{Duration, Instant};

use safelight_proxy::protocol::{Drain, Hold};
use support::backend::Backend;
use support::clients::get;
use support::{Files, Proxy, service, until};

async fn waiting(proxy: &Proxy, n: u64) {
    until("requests wait", async || {
        proxy.control.state().await.unwrap().services[0].held.as_ref().is_some_and(|h| h.waiting == n)
    })
    .await;
}

#[tokio::test]
async fn a_restart_in_place_behind_a_hold_costs_no_request() {
    let files = Files::new();
    let proxy = Proxy::start(&files).await;
    let mut backend = Backend::start("v1").await;
    let target = backend.address;
    proxy.route("v1", target).await;
    let load = support::clients::Load::start(proxy.address, 4);
    for _ in 0..5 {
        let report = proxy.control.hold("shop", "web", &Hold::default()).await.unwrap();
        assert_eq!(report.drained.cut, 0);
        drop(backend);
        tokio::time::sleep(Duration::from_millis(30)).await;
        backend = Backend::start_on("v1", target).await;
        assert!(proxy.control.release("shop", "web").await.unwrap().held_ms.is_some());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let (good, failures) = load.stop().await;
    assert!(
        failures.is_empty(),
        "{} of {good} failed: {:?}",
        failures.len(),
        &failures[..failures.len().min(5)]
    );
}

#[tokio::test]
async fn held_requests_are_released_in_the_order_in_which_they_came() {
    let files = Files::new();
    let proxy = Proxy::start(&files).await;
    let backend = Backend::start("v1").await;
    proxy.route("v1", backend.address).await;
    proxy.control.hold("shop", "web", &Hold::default()).await.unwrap();
    let mut asked = Vec::new();
    for i in 0..10 {
        let address = proxy.address;
        asked.push(tokio::spawn(async move { get(address, &format!("/order/{i}"), &[]).await }));
        waiting(&proxy, i + 1).await;
    }
    assert_eq!(backend.requests(), 0);
    let report = proxy.control.release("shop", "web").await.unwrap();
    assert_eq!(report.waiting, 10);
    for answer in asked {
        assert_eq!(answer.await.unwrap().body, "v1");
    }
    assert_eq!(backend.requests(), 10);
    assert!(proxy.control.state().await.unwrap().services[0].held.is_none());
}

#[tokio::test]
async fn a_full_queue_and_a_long_wait_are_answered_with_503_and_counted() {
    let files = Files::new();
    let proxy = Proxy::start(&files).await;
    let backend = Backend::start("v1").await;
    proxy.route("v1", backend.address).await;
    let hold = Hold { max_wait_ms: 400, queue_cap: 2, ..Hold::default() };
    proxy.control.hold("shop", "web", &hold).await.unwrap();
    let address = proxy.address;
    let started = Instant::now();
    let patient: Vec<_> = (0..2).map(|_| tokio::spawn(async move { get(address, "/", &[]).await })).collect();
    waiting(&proxy, 2).await;
    let refused = get(address, "/", &[]).await;
    assert_eq!((refused.status.as_u16(), refused.headers["retry-after"].to_str().unwrap()), (503, "5"));
    assert_eq!(refused.headers["x-safelight-error"], "held_queue_full");
    assert!(started.elapsed() < Duration::from_millis(300));
    for answer in patient {
        let answer = answer.await.unwrap();
        assert_eq!(
            (answer.status.as_u16(), answer.headers["x-safelight-error"].to_str().unwrap()),
            (503, "held_too_long")
        );
    }
    assert!(started.elapsed() >= Duration::from_millis(400));
    let metrics = &proxy.control.metrics().await.unwrap().services[0];
    assert_eq!((metrics.held_queue_full, metrics.held_too_long), (1, 2));
    assert_eq!(metrics.versions["v1"].status, [0; 5], "the release is not blamed");
}

#[tokio::test]
async fn a_hold_whose_owner_died_ends_with_its_lease() {
    let files = Files::new();
    let proxy = Proxy::start(&files).await;
    let backend = Backend::start("v1").await;
    proxy.route("v1", backend.address).await;
    let hold = Hold { lease_ms: 200, ..Hold::default() };
    proxy.control.hold("shop", "web", &hold).await.unwrap();
    assert_eq!(get(proxy.address, "/", &[]).await.body, "v1");
    assert!(proxy.control.state().await.unwrap().services[0].held.is_none());
}

#[tokio::test]
async fn a_hold_waits_for_what_is_in_flight() {
    let files = Files::new();
    let proxy = Proxy::start(&files).await;
    let backend = Backend::start("v1").await;
    proxy.route("v1", backend.address).await;
    let address = proxy.address;
    let slow = tokio::spawn(async move { get(address, "/slow/300", &[]).await });
    until("the request is in flight", async || backend.requests() == 1).await;
    let hold = Hold { drain: Drain { timeout_ms: 5_000, ..Drain::default() }, ..Hold::default() };
    let report = proxy.control.hold("shop", "web", &hold).await.unwrap();
    assert_eq!((report.drained.in_flight, report.drained.finished), (1, 1));
    assert_eq!(slow.await.unwrap().body, "v1");
}

#[tokio::test]
async fn counts_per_version_are_right() {
    let files = Files::new();
    let proxy = Proxy::start(&files).await;
    let (v1, v2) = (Backend::start("v1").await, Backend::start("v2").await);
    let mut put = service("v1", v1.address);
    put.timeouts.read_ms = 200;
    proxy.control.put("shop", "web", &put).await.unwrap();
    for (path, times) in
        [("/", 5), ("/status/302", 2), ("/status/404", 3), ("/status/500", 4), ("/slow/50", 2)]
    {
        for _ in 0..times {
            get(proxy.address, path, &[]).await;
        }
    }
    let late = get(proxy.address, "/slow/5000", &[]).await;
    assert_eq!(
        (late.status.as_u16(), late.headers["x-safelight-error"].to_str().unwrap()),
        (504, "upstream_timeout")
    );
    let mut socket = support::clients::WebSocket::open(proxy.address).await.unwrap();
    socket.echo("hello").await.unwrap();
    assert_eq!(proxy.control.metrics().await.unwrap().services[0].versions["v1"].in_flight, 1);
    proxy.control.switch("shop", "web", &support::switch("v2", v2.address)).await.unwrap();
    get(proxy.address, "/", &[]).await;
    let first = proxy.control.metrics().await.unwrap();
    let service = &first.services[0];
    let counts = &service.versions["v1"];
    assert_eq!(counts.status, [1, 7, 2, 3, 4]);
    assert_eq!((counts.timeouts, counts.broken, counts.connect_failures, counts.upgraded), (1, 0, 0, 1));
    assert_eq!((service.gateway_timeout, service.bad_gateway), (1, 0));
    assert_eq!(counts.in_flight, 0);
    let slowest = counts.latency_quantile_us(1.0).unwrap();
    let median = counts.latency_quantile_us(0.5).unwrap();
    assert!((50_000..200_000).contains(&slowest) && median < 20_000, "{median} {slowest}");
    assert_eq!(counts.latency.iter().map(|b| b.count).sum::<u64>(), 17);
    assert_eq!(service.versions["v2"].status, [0, 1, 0, 0, 0]);
    assert_eq!(proxy.control.metrics().await.unwrap().start_id, first.start_id);
}
