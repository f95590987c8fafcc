//! TLS of the proxy's own, with real clients: which certificate, which scheme, and that nothing is lost.
#![allow(clippy::unwrap_used)]

mod support;

use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use safelight_proxy::protocol::{PutService, RouteMatch};
use safelight_proxy::{CertificateFiles, ControlError};
use support::backend::Backend;
use support::clients::{Client, Load, empty, get, raw};
use support::tls::{Authority, TlsProxy, in_file, replace, until_served};
use support::{Files, command, service, switch, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn site(
    backend: &Backend,
    hosts: &[&str],
    https_port: Option<u16>,
    files: &[&CertificateFiles],
) -> PutService {
    let route = |h: &&str| RouteMatch { https_port, ..RouteMatch::new(h, "/") };
    PutService {
        routes: hosts.iter().map(route).collect(),
        certificates: files.iter().map(|f| (*f).clone()).collect(),
        ..service("v1", backend.address)
    }
}

#[tokio::test]
async fn each_name_gets_its_certificate_and_the_release_is_told_of_https() {
    let files = Files::new();
    let authority = Authority::new();
    let proxy = TlsProxy::start(&files, &[]).await;
    let backend = Backend::start("v1").await;
    let (one, wild) = (authority.write("one", &["example.com"]), authority.write("wild", &["*.example.com"]));
    let put = site(&backend, &["example.com", "*.example.com"], None, &[&one, &wild]);
    proxy.control().put("shop", "web", &put).await.unwrap();
    assert_eq!(authority.served(proxy.tls, "example.com").await.unwrap(), in_file(&one.certificate));
    assert_eq!(authority.served(proxy.tls, "www.example.com").await.unwrap(), in_file(&wild.certificate));
    let unknown = authority.served(proxy.tls, "a.b.example.com").await.unwrap_err();
    assert!(!unknown.is_empty(), "nobody's name gets nobody's certificate");
    let answer =
        get(authority.place(proxy.tls, "example.com"), "/headers", &[("x-forwarded-proto", "http")]).await;
    assert!(answer.body.contains("x-forwarded-proto: https"), "{}", answer.body);
    let answer = get(proxy.plain, "/headers", &[("x-forwarded-proto", "https")]).await;
    assert!(answer.body.contains("x-forwarded-proto: http\n"), "{}", answer.body);
    let state = proxy.control().state().await.unwrap();
    assert_eq!(state.certificates.len(), 2);
    assert!(state.certificates.iter().all(|c| c.trouble.is_none() && c.not_after_unix_s.is_some()));
}

#[tokio::test]
async fn plain_requests_are_sent_on_to_https_but_for_acme_and_other_hosts() {
    let files = Files::new();
    let authority = Authority::new();
    let proxy = TlsProxy::start(&files, &[("PROXY_TRUSTED", "127.0.0.9/32")]).await;
    let backend = Backend::start("v1").await;
    let certificate = authority.write("one", &["example.com"]);
    let mut put = site(&backend, &["example.com"], Some(8443), &[&certificate]);
    put.routes.push(RouteMatch::new("plain.example.com", "/"));
    put.routes.push(RouteMatch { https_port: Some(443), ..RouteMatch::new("www.example.com", "/") });
    proxy.control().put("shop", "web", &put).await.unwrap();
    let location = async |method: http::Method, path: &str, host: &str| {
        let a = Client::new(proxy.plain).send(method, path, &[("host", host)], empty()).await.unwrap();
        (a.status.as_u16(), a.headers.get("location").map(|v| v.to_str().unwrap().to_owned()))
    };
    let to = |url: &str| Some(url.to_owned());
    assert_eq!(
        location(http::Method::GET, "/a?b=c", "Example.com:80").await,
        (301, to("https://example.com:8443/a?b=c"))
    );
    assert_eq!(
        location(http::Method::POST, "/a", "www.example.com").await,
        (308, to("https://www.example.com/a"))
    );
    assert_eq!(location(http::Method::GET, "/", "plain.example.com").await, (200, None));
    assert_eq!(
        location(http::Method::GET, "/.well-known/acme-challenge/x", "example.com").await,
        (200, None)
    );
    // A path that looks like another host stays a path.
    let (status, sent) = location(http::Method::GET, "//evil.example.org/", "example.com").await;
    assert_eq!((status, sent), (301, to("https://example.com:8443//evil.example.org/")));
    assert_eq!(backend.requests(), 2, "what is sent on reaches no release");
    let secure = get(authority.place(proxy.tls, "example.com"), "/", &[]).await;
    assert_eq!((secure.status.as_u16(), secure.body.as_str()), (200, "v1"));
    assert_eq!(proxy.control().metrics().await.unwrap().global.redirected, 3);
}

#[tokio::test]
async fn a_proxy_in_front_that_speaks_tls_is_not_sent_on() {
    let files = Files::new();
    let authority = Authority::new();
    let proxy = TlsProxy::start(&files, &[("PROXY_TRUSTED", "127.0.0.1/32")]).await;
    let backend = Backend::start("v1").await;
    let certificate = authority.write("one", &["example.com"]);
    proxy
        .control()
        .put("shop", "web", &site(&backend, &["example.com"], Some(443), &[&certificate]))
        .await
        .unwrap();
    let answer = get(proxy.plain, "/", &[("x-forwarded-proto", "https")]).await;
    assert_eq!((answer.status.as_u16(), answer.body.as_str()), (200, "v1"));
    assert_eq!(get(proxy.plain, "/", &[("x-forwarded-proto", "http")]).await.status.as_u16(), 301);
}

#[tokio::test]
async fn files_that_cannot_be_served_are_refused_with_the_reason_and_nothing_changes() {
    let files = Files::new();
    let authority = Authority::new();
    let proxy = TlsProxy::start(&files, &[]).await;
    let backend = Backend::start("v1").await;
    let good = authority.write("good", &["example.com"]);
    let refused = async |bad: &CertificateFiles, why: &str| match proxy
        .control()
        .put("shop", "web", &site(&backend, &["example.com"], None, &[bad]))
        .await
    {
        Err(ControlError::Refused { body, .. }) => assert!(body.message.contains(why), "{}", body.message),
        other => panic!("{other:?}"),
    };
    let gone = CertificateFiles { certificate: authority.path("gone.pem"), ..good.clone() };
    refused(&gone, "there is no such file").await;
    let mixed = CertificateFiles { key: authority.write("other", &["example.com"]).key, ..good.clone() };
    refused(&mixed, "is not the key of").await;
    std::fs::set_permissions(&good.key, std::fs::Permissions::from_mode(0o604)).unwrap();
    refused(&good, "everybody on this machine may use the key").await;
    let state = proxy.control().state().await.unwrap();
    assert!(state.services.is_empty() && state.certificates.is_empty(), "{state:?}");
}

#[tokio::test]
async fn changed_files_are_served_without_a_restart_and_broken_ones_leave_the_old_in_force() {
    let files = Files::new();
    let authority = Authority::new();
    let proxy = TlsProxy::start(&files, &[]).await;
    let backend = Backend::start("v1").await;
    let certificate = authority.write("one", &["example.com"]);
    proxy
        .control()
        .put("shop", "web", &site(&backend, &["example.com"], None, &[&certificate]))
        .await
        .unwrap();
    let first = in_file(&certificate.certificate);
    let mut open = Client::new(authority.place(proxy.tls, "example.com"));
    open.send(http::Method::GET, "/", &[], empty()).await.unwrap();

    authority.write("one", &["example.com"]);
    let second = in_file(&certificate.certificate);
    assert_ne!(first, second);
    until_served(&authority, proxy.tls, "example.com", &second).await;

    // Half a renewal: a certificate whose key is not there yet.
    replace(&certificate.certificate, "not a certificate");
    let told = proxy.control().reload_certificates().await.unwrap();
    assert!(told[0].trouble.as_ref().unwrap().contains("no certificate in PEM form"), "{told:?}");
    assert_eq!(authority.served(proxy.tls, "example.com").await.unwrap(), second);
    // A release is exchanged all the same.
    let next = Backend::start("v2").await;
    proxy.control().switch("shop", "web", &switch("v2", next.address)).await.unwrap();

    authority.write("one", &["example.com"]);
    let told = proxy.control().reload_certificates().await.unwrap();
    assert_eq!(told[0].trouble, None);
    let third = in_file(&certificate.certificate);
    assert_eq!(authority.served(proxy.tls, "example.com").await.unwrap(), third);
    // The connection from before all this goes on.
    assert_eq!(open.send(http::Method::GET, "/", &[], empty()).await.unwrap().body, "v2");
    assert_eq!(open.connections, 1);
}

#[tokio::test]
async fn slow_and_senseless_handshakes_hold_nobody_up_and_end_in_their_time() {
    let files = Files::new();
    let authority = Authority::new();
    let proxy = TlsProxy::start(&files, &[("PROXY_HANDSHAKE_TIMEOUT", "600")]).await;
    let backend = Backend::start("v1").await;
    let certificate = authority.write("one", &["example.com"]);
    proxy
        .control()
        .put("shop", "web", &site(&backend, &["example.com"], None, &[&certificate]))
        .await
        .unwrap();
    let mut silent = Vec::new();
    for _ in 0..100 {
        let mut stream = tokio::net::TcpStream::connect(proxy.tls).await.unwrap();
        // The beginning of a TLS record that never comes.
        stream.write_all(&[22, 3, 1, 2, 0]).await.unwrap();
        silent.push(stream);
    }
    assert_eq!(get(authority.place(proxy.tls, "example.com"), "/", &[]).await.body, "v1");
    let plain = raw(proxy.tls, b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n").await;
    assert!(!plain.contains("HTTP/1.1 2"), "{plain}");
    let started = Instant::now();
    for stream in &mut silent {
        let mut rest = Vec::new();
        let _ = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut rest)).await.unwrap();
    }
    assert!(started.elapsed() < Duration::from_secs(20));
    until("all of them are counted", async || {
        proxy.control().metrics().await.unwrap().global.failed_handshakes >= 101
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_is_lost_over_switches_and_an_upgrade_of_the_proxy_under_tls_load() {
    let files = Files::new();
    let authority = Authority::new();
    let mut proxy = TlsProxy::start(&files, &[("PROXY_UPGRADE_TIMEOUT", "3000")]).await;
    let mut old = Backend::start("v0").await;
    let certificate = authority.write("one", &["example.com"]);
    let put = PutService {
        stable: support::release("v0", old.address),
        ..site(&old, &["example.com"], None, &[&certificate])
    };
    proxy.control().put("shop", "web", &put).await.unwrap();
    let load = Load::start(authority.place(proxy.tls, "example.com"), 6);
    for i in 1..=24 {
        let version = format!("v{i}");
        let new = Backend::start(&version).await;
        let report = proxy.control().switch("shop", "web", &switch(&version, new.address)).await.unwrap();
        assert_eq!(report.drained.cut, 0, "{report:?}");
        drop(std::mem::replace(&mut old, new));
        if i == 12 {
            // The sockets go to a new process; the connections of the old one end by themselves.
            let mut next = command(&files, proxy.plain, &[("PROXY_UPGRADE_TIMEOUT", "3000")]);
            next.arg(format!("tls:{}", proxy.tls)).arg("--take-over");
            let next = support::Proxy::spawn(&files, next).await;
            proxy.proxy = next_of(proxy.proxy, next).await;
            assert_eq!(proxy.control().state().await.unwrap().listen_tls, [proxy.tls]);
        }
    }
    let (good, failures) = load.stop().await;
    assert!(
        failures.is_empty(),
        "{} of {good} failed: {:?}",
        failures.len(),
        &failures[..failures.len().min(5)]
    );
    assert!(good > 300, "only {good} requests");
}

/// The newer process; the older one ends by itself.
async fn next_of(mut older: support::Proxy, newer: support::Proxy) -> support::Proxy {
    tokio::spawn(async move { older.ended().await });
    newer
}

#[tokio::test]
async fn after_kill_9_the_certificates_are_those_of_before() {
    let files = Files::new();
    let authority = Authority::new();
    let proxy = TlsProxy::start(&files, &[]).await;
    let backend = Backend::start("v1").await;
    let (one, two) = (authority.write("one", &["example.com"]), authority.write("two", &["example.org"]));
    proxy.control().put("shop", "web", &site(&backend, &["example.com"], Some(443), &[&one])).await.unwrap();
    proxy.control().put("blog", "web", &site(&backend, &["example.org"], None, &[&two])).await.unwrap();
    let (plain, tls) = (proxy.plain, proxy.tls);
    drop(proxy);
    // One of the two is gone meanwhile: the other site comes up all the same.
    std::fs::remove_file(&two.key).unwrap();
    let proxy = TlsProxy::start_at(&files, plain, tls, &[]).await;
    assert_eq!(get(authority.place(tls, "example.com"), "/", &[]).await.body, "v1");
    assert_eq!(get(plain, "/", &[]).await.status.as_u16(), 301);
    assert!(authority.served(tls, "example.org").await.is_err());
    let state = proxy.control().state().await.unwrap();
    let trouble: Vec<bool> = state.certificates.iter().map(|c| c.trouble.is_some()).collect();
    assert_eq!(trouble, [false, true]);
}
