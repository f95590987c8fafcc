//! Which request reaches which release, and what it may bring with it.
#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use safelight_proxy::ControlError;
use safelight_proxy::protocol::{Drain, PutService, RouteMatch, SetCandidate};
use safelight_proxy::table::Candidate;
use support::backend::Backend;
use support::clients::{Client, empty, get, raw};
use support::{Files, Proxy, release, rss_kib, service};

const TOKEN: &str = "0123456789abcdef-secret";

fn routed(version: &str, backend: &Backend, routes: &[(&str, &str)]) -> PutService {
    let routes = routes.iter().map(|(h, p)| RouteMatch::new(h, p)).collect();
    PutService { routes, token: Some(TOKEN.into()), ..service(version, backend.address) }
}

fn candidate(version: &str, backend: &Backend, share: f64) -> SetCandidate {
    let release = release(version, backend.address);
    let test_hosts = vec!["next.example.com".into()];
    let candidate = Candidate { release, test_hosts, share, salt: "one".into() };
    SetCandidate { candidate: Some(candidate), probe: None, drain: Drain::default() }
}

#[tokio::test]
async fn hosts_and_path_prefixes_choose_the_service_on_segment_boundaries() {
    let files = Files::new();
    let proxy = Proxy::start(&files).await;
    let [site, api, deep, wild, any] = [
        Backend::start("site").await,
        Backend::start("api").await,
        Backend::start("deep").await,
        Backend::start("wild").await,
        Backend::start("any").await,
    ];
    let put = async |app: &str, name: &str, backend: &Backend, routes: &[(&str, &str)]| {
        proxy.control.put(app, name, &routed(name, backend, routes)).await.unwrap();
    };
    put("shop", "site", &site, &[("Example.com", "/")]).await;
    put("shop", "api", &api, &[("example.com", "/api/")]).await;
    put("shop", "deep", &deep, &[("example.com", "/api/v2")]).await;
    put("shop", "wild", &wild, &[("*.example.com", "/")]).await;
    put("other", "any", &any, &[("*", "/health")]).await;
    for (host, path, expected) in [
        ("example.com", "/", "site"),
        ("example.com", "/apiary", "site"),
        ("example.com", "/api", "api"),
        ("example.com", "/api?x=1", "api"),
        ("example.com", "/api/v1", "api"),
        ("example.com", "/api/v2", "deep"),
        ("example.com", "/api/v2/x", "deep"),
        ("example.com", "/api/v20", "api"),
        ("EXAMPLE.com:8080", "/api/v2", "deep"),
        ("example.com.", "/", "site"),
        ("a.example.com", "/", "wild"),
        ("a.b.example.com", "/api", "wild"),
        ("192.0.2.1", "/health", "any"),
    ] {
        let answer = get(proxy.address, path, &[("host", host)]).await;
        assert_eq!(answer.body, expected, "{host}{path}");
    }
    assert_eq!(get(proxy.address, "/", &[("host", "192.0.2.1")]).await.status, 404);
    proxy.control.delete_app("other").await.unwrap();
    let answer = get(proxy.address, "/", &[("host", "192.0.2.1")]).await;
    assert_eq!(
        (answer.status.as_u16(), answer.headers["x-safelight-error"].to_str().unwrap()),
        (421, "unknown_host")
    );
    let global = proxy.control.metrics().await.unwrap().global;
    assert_eq!((global.no_route, global.unknown_host), (1, 1));
}

#[tokio::test]
async fn two_services_cannot_own_one_route() {
    let files = Files::new();
    let proxy = Proxy::start(&files).await;
    let backend = Backend::start("v1").await;
    proxy.control.put("shop", "a", &routed("v1", &backend, &[("example.com", "/x")])).await.unwrap();
    let error =
        proxy.control.put("blog", "b", &routed("v1", &backend, &[("EXAMPLE.com", "/x/")])).await.unwrap_err();
    let ControlError::Refused { status: 422, body, .. } = &error else { panic!("{error}") };
    assert!(body.message.contains("example.com/x") && body.message.contains("shop/a"), "{error}");
    assert_eq!(proxy.control.state().await.unwrap().services.len(), 1);
}

#[tokio::test]
async fn a_service_takes_the_place_of_another_in_one_change() {
    let files = Files::new();
    let proxy = Proxy::start(&files).await;
    let (web, site) = (Backend::start("web").await, Backend::start("site").await);
    proxy.route("v1", web.address).await;
    let mut put = service("v2", site.address);
    assert!(proxy.control.put("shop", "site", &put).await.is_err(), "its place is taken");
    put.replaces = vec!["web".into(), "never-there".into(), "site".into()];
    let before = proxy.control.state().await.unwrap().table_version;
    proxy.control.put("shop", "site", &put).await.unwrap();
    let state = proxy.control.state().await.unwrap();
    let names: Vec<&str> = state.services.iter().map(|s| s.service.as_str()).collect();
    assert_eq!((names.as_slice(), state.table_version), (["site"].as_slice(), before + 1));
    assert_eq!(get(proxy.address, "/", &[]).await.body, "site");
}

#[tokio::test]
async fn a_test_host_shows_a_service_that_comes_with_the_release_that_is_tried() {
    let files = Files::new();
    let proxy = Proxy::start(&files).await;
    let (v1, v2, help) =
        (Backend::start("v1").await, Backend::start("v2").await, Backend::start("help").await);
    proxy.control.put("shop", "web", &routed("v1", &v1, &[("example.com", "/")])).await.unwrap();
    proxy.control.candidate("shop", "web", &candidate("v2", &v2, 0.0)).await.unwrap();
    let tried = routed("v2", &help, &[("next.example.com", "/help")]);
    proxy.control.put("shop", "help", &tried).await.unwrap();
    let body = async |host: &str, path: &str| get(proxy.address, path, &[("host", host)]).await.body;
    assert_eq!(body("next.example.com", "/").await, "v2");
    assert_eq!(body("next.example.com", "/help").await, "help");
    assert_eq!(body("example.com", "/help").await, "v1", "users do not meet it");
    // One that users reach by that name is something else.
    let taken = routed("v2", &help, &[("next.example.com", "/help"), ("other.example.com", "/help")]);
    let refused = proxy.control.put("shop", "help", &taken).await.unwrap_err().to_string();
    assert!(refused.contains("users reach the site by this name"), "{refused}");
    let stranger =
        proxy.control.put("blog", "help", &routed("v1", &help, &[("next.example.com", "/b")])).await;
    assert!(stranger.is_err(), "another app cannot use it");
}

#[tokio::test]
async fn a_candidate_without_a_share_is_reached_by_test_host_and_token_only() {
    let files = Files::new();
    let proxy = Proxy::start(&files).await;
    let (v1, v2, api) = (Backend::start("v1").await, Backend::start("v2").await, Backend::start("api").await);
    proxy.control.put("shop", "web", &routed("v1", &v1, &[("example.com", "/")])).await.unwrap();
    proxy.control.put("shop", "api", &routed("api", &api, &[("example.com", "/api")])).await.unwrap();
    assert_eq!(get(proxy.address, "/", &[("host", "next.example.com")]).await.status, 421);
    proxy.control.candidate("shop", "web", &candidate("v2", &v2, 0.0)).await.unwrap();
    let body = async |headers: &[(&str, &str)], path: &str| get(proxy.address, path, headers).await.body;
    assert_eq!(body(&[], "/").await, "v1");
    assert_eq!(body(&[("host", "next.example.com")], "/").await, "v2");
    assert_eq!(body(&[("host", "next.example.com")], "/api").await, "api", "the rest of the app as it is");
    assert_eq!(body(&[("x-safelight-release", TOKEN)], "/").await, "v2");
    assert_eq!(body(&[("x-safelight-release", &TOKEN[1..])], "/").await, "v1");
    assert_eq!(body(&[("x-safelight-release", "")], "/").await, "v1");
    let forwarded = body(&[("x-safelight-release", TOKEN)], "/headers").await;
    assert!(!forwarded.contains("x-safelight-release") && !forwarded.contains(TOKEN), "{forwarded}");
    let state = serde_json::to_string(&proxy.control.state().await.unwrap()).unwrap();
    assert!(!state.contains(TOKEN) && state.contains("\"token_set\":true"), "{state}");
    let clear = SetCandidate { candidate: None, probe: None, drain: Drain::default() };
    proxy.control.candidate("shop", "web", &clear).await.unwrap();
    assert_eq!(body(&[("x-safelight-release", TOKEN)], "/").await, "v1");
}

#[tokio::test]
async fn a_share_of_users_reaches_the_candidate_and_each_stays_where_it_is() {
    let files = Files::new();
    let proxy = Proxy::start(&files).await;
    let (v1, v2) = (Backend::start("v1").await, Backend::start("v2").await);
    proxy.control.put("shop", "web", &routed("v1", &v1, &[("*", "/")])).await.unwrap();
    proxy.control.candidate("shop", "web", &candidate("v2", &v2, 0.3)).await.unwrap();
    let mut client = Client::new(proxy.address);
    let mut users = Vec::new();
    for _ in 0..400 {
        let answer = client.send(http::Method::GET, "/", &[], empty()).await.unwrap();
        let cookie = answer.headers["set-cookie"].to_str().unwrap();
        assert!(cookie.contains("HttpOnly"), "{cookie}");
        users.push((cookie.split(';').next().unwrap().to_owned(), answer.body));
    }
    let tried = users.iter().filter(|(_, body)| body == "v2").count();
    assert!((80..160).contains(&tried), "{tried} of 400 for a share of 0.3");
    proxy.control.share("shop", "web", 0.6).await.unwrap();
    for (cookie, before) in users.iter().take(100) {
        let answer = client.send(http::Method::GET, "/", &[("cookie", cookie)], empty()).await.unwrap();
        assert!(!answer.headers.contains_key("set-cookie"));
        assert!(before == "v1" || answer.body == "v2", "a user was taken out of the candidate");
    }
    let versions = proxy.control.metrics().await.unwrap().services[0].versions.clone();
    assert_eq!(versions["v2"].status[1] + versions["v1"].status[1], 500);
    assert!(versions["v2"].sessions.seen >= tried as u64 && versions["v2"].sessions.bad == 0);
}

#[tokio::test]
async fn forwarded_headers_cannot_be_forged_and_a_trusted_proxy_is_believed() {
    let forged = [
        ("x-forwarded-for", "192.0.2.66"),
        ("x-forwarded-proto", "https"),
        ("forwarded", "for=192.0.2.66"),
        ("x-real-ip", "192.0.2.66"),
    ];
    let backend = Backend::start("v1").await;
    let files = Files::new();
    let proxy = Proxy::start(&files).await;
    proxy.route("v1", backend.address).await;
    let seen = get(proxy.address, "/headers", &forged).await.body;
    assert!(!seen.contains("192.0.2.66"), "{seen}");
    for line in [
        "x-forwarded-for: 127.0.0.1",
        "x-forwarded-proto: http",
        "x-forwarded-host: example.com",
        "host: example.com",
    ] {
        assert!(seen.lines().any(|l| l == line), "`{line}` is missing in: {seen}");
    }
    let files = Files::new();
    let trusting =
        Proxy::start_with(&files, "127.0.0.1:0".parse().unwrap(), &[("PROXY_TRUSTED", "127.0.0.0/8")]).await;
    trusting.route("v1", backend.address).await;
    let seen = get(trusting.address, "/headers", &forged).await.body;
    for line in ["x-forwarded-for: 192.0.2.66, 127.0.0.1", "x-forwarded-proto: https"] {
        assert!(seen.lines().any(|l| l == line), "`{line}` is missing in: {seen}");
    }
}

#[tokio::test]
async fn hop_by_hop_headers_are_not_forwarded() {
    let backend = Backend::start("v1").await;
    let files = Files::new();
    let proxy = Proxy::start(&files).await;
    proxy.route("v1", backend.address).await;
    let headers = [
        ("connection", "keep-alive, x-secret"),
        ("x-secret", "1"),
        ("keep-alive", "timeout=9"),
        ("te", "gzip"),
        ("proxy-authorization", "x"),
    ];
    let seen = get(proxy.address, "/headers", &headers).await.body;
    for name in ["x-secret", "keep-alive:", "te:", "proxy-authorization"] {
        assert!(!seen.lines().any(|l| l.starts_with(name)), "{name} was forwarded: {seen}");
    }
}

#[tokio::test]
async fn hostile_input_is_answered_or_dropped_and_the_proxy_goes_on() {
    let backend = Backend::start("v1").await;
    let files = Files::new();
    let proxy =
        Proxy::start_with(&files, "127.0.0.1:0".parse().unwrap(), &[("PROXY_HEADER_TIMEOUT", "300")]).await;
    proxy.route("v1", backend.address).await;
    let huge = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "y".repeat(100_000));
    let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(5_000));
    let endless = format!("GET /{} HTTP/1.1\r\nHost: a\r\n", "y".repeat(2_000_000));
    for (input, expected) in [
        (huge.as_str(), "HTTP/1.1 431"),
        (&many, "HTTP/1.1 400"),
        (&endless, ""),
        ("GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 400"),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "HTTP/1.1 400"),
        ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "HTTP/1.1 400"),
        ("GET / HTTP/1.1\r\nHost: \u{1}\r\n\r\n", "HTTP/1.1 400"),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx", "HTTP/1.1 400"),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", "HTTP/1.1 400"),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
            "HTTP/1.1 400",
        ),
        ("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "HTTP/1.1 400"),
        ("CONNECT example.com:443 HTTP/1.1\r\nHost: example.com\r\n\r\n", "HTTP/1.1 405"),
        ("\x16\x03\x01\x02\x00\x01\x00\x01\u{7f}", ""),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP/1.1 400"),
    ] {
        let answer = raw(proxy.address, input.as_bytes()).await;
        let start: String = input.chars().take(60).collect();
        assert!(answer.starts_with(expected), "{start:?} got {answer:.200}");
        assert!(!answer.starts_with("HTTP/1.1 200"), "{start:?} was served");
    }
    assert_eq!(backend.requests(), 0, "none of these may reach a release");
    assert_eq!(get(proxy.address, "/", &[]).await.body, "v1");
}

#[tokio::test]
async fn a_request_with_two_lengths_cannot_smuggle_a_second_one() {
    let backend = Backend::start("v1").await;
    let files = Files::new();
    let proxy = Proxy::start(&files).await;
    proxy.route("v1", backend.address).await;
    let smuggle = "POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 45\r\nTransfer-Encoding: chunked\r\n\r\n\
         0\r\n\r\nGET /order/smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    let answer = raw(proxy.address, smuggle.as_bytes()).await;
    assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{answer}");
    assert!(answer.to_lowercase().contains("connection: close"), "{answer}");
    assert!(backend.seen.paths.lock().unwrap().is_empty(), "the smuggled request arrived");
}

/// A front proxy and this one, or this one and a release, must never disagree on where a request ends.
#[tokio::test]
async fn a_request_whose_end_could_be_read_in_two_ways_never_reaches_a_release() {
    let backend = Backend::start("v1").await;
    let files = Files::new();
    let proxy =
        Proxy::start_with(&files, "127.0.0.1:0".parse().unwrap(), &[("PROXY_HEADER_TIMEOUT", "300")]).await;
    proxy.route("v1", backend.address).await;
    let chunked = "0\r\n\r\nGET /order/smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    let lengths = "xGET /order/smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    let cases = [
        ("transfer-encoding xchunked", format!("Transfer-Encoding: xchunked\r\n\r\n{chunked}")),
        ("identity last", format!("Transfer-Encoding: chunked, identity\r\n\r\n{chunked}")),
        ("two fields, identity last", {
            format!("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n{chunked}")
        }),
        ("a space before the colon", format!("Transfer-Encoding : chunked\r\n\r\n{chunked}")),
        ("a vertical tab in the value", format!("Transfer-Encoding: \u{b}chunked\r\n\r\n{chunked}")),
        ("a folded field", format!("Transfer-Encoding:\r\n chunked\r\n\r\n{chunked}")),
        ("a folded length", format!("Content-Length: 1\r\n 0\r\n\r\n{lengths}")),
        ("two lengths", format!("Content-Length: 1\r\nContent-Length: 45\r\n\r\n{lengths}")),
        ("two lengths in one", format!("Content-Length: 1, 45\r\n\r\n{lengths}")),
        ("a length with a sign", format!("Content-Length: +1\r\n\r\n{lengths}")),
        ("a length in hex", format!("Content-Length: 0x1\r\n\r\n{lengths}")),
        ("a bare LF", format!("X: 1\nContent-Length: 1\r\n\r\n{lengths}")),
        ("a bare LF at the end of the header", format!("Content-Length: 1\n\n{lengths}")),
        ("a bare CR", format!("X: 1\rContent-Length: 1\r\n\r\n{lengths}")),
    ];
    for (what, rest) in cases {
        let answer =
            raw(proxy.address, format!("POST /upload HTTP/1.1\r\nHost: a\r\n{rest}").as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{what}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{what}: {answer}");
    }
    for target in ["order/x", "foo:bar", "ftp://a/order/x", "http://a@b/order/x", "http://b/order/x", "//a"] {
        let answer = raw(proxy.address, format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).await;
        let fine = target == "//a" || answer.starts_with("HTTP/1.1 400");
        assert!(fine, "{target}: {answer}");
    }
    assert!(backend.seen.paths.lock().unwrap().is_empty(), "something arrived: {:?}", backend.seen.paths);
}

#[tokio::test]
async fn a_whole_address_as_the_target_reaches_the_release_as_host_and_path() {
    let backend = Backend::start("v1").await;
    let files = Files::new();
    let proxy = Proxy::start(&files).await;
    proxy.control.put("shop", "web", &routed("v1", &backend, &[("example.com", "/")])).await.unwrap();
    for (request, path) in [
        ("GET http://example.com/order/a?x=1 HTTP/1.1\r\nHost: example.com\r\n", "/order/a"),
        // Without a Host header the address is all there is.
        ("GET http://example.com/order/b HTTP/1.0\r\n", "/order/b"),
    ] {
        let answer = raw(proxy.address, format!("{request}Connection: close\r\n\r\n").as_bytes()).await;
        assert!(answer.contains(" 200 "), "{answer}");
        assert_eq!(backend.seen.paths.lock().unwrap().pop().as_deref(), Some(path));
    }
    let asked = "GET http://example.com/headers HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n\r\n";
    let answer = raw(proxy.address, asked.as_bytes()).await;
    assert!(answer.contains("host: example.com\n"), "{answer}");
    assert!(answer.contains("x-forwarded-host: example.com"), "{answer}");
    let root = raw(proxy.address, b"GET http://example.com HTTP/1.1\r\nHost: example.com\r\n\r\n").await;
    assert!(root.starts_with("HTTP/1.1 200"), "{root}");
}

#[tokio::test]
async fn a_header_that_trickles_in_is_cut_off_as_a_whole() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let files = Files::new();
    let proxy =
        Proxy::start_with(&files, "127.0.0.1:0".parse().unwrap(), &[("PROXY_HEADER_TIMEOUT", "300")]).await;
    let mut stream = tokio::net::TcpStream::connect(proxy.address).await.unwrap();
    let started = std::time::Instant::now();
    stream.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
    let (mut read, mut write) = stream.split();
    let trickle = async {
        while write.write_all(b"X: y\r\n").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let mut byte = [0u8; 1];
    tokio::select! {
        _ = read.read(&mut byte) => {}
        () = trickle => {}
    }
    assert!((250..1500).contains(&(started.elapsed().as_millis() as u64)), "{:?}", started.elapsed());
}

#[tokio::test]
async fn bodies_stream_both_ways_without_being_collected() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let backend = Backend::start("v1").await;
    let files = Files::new();
    let proxy = Proxy::start(&files).await;
    proxy.route("v1", backend.address).await;
    // The first event arrives long before the last: 400 parts of 5 ms each take 2 s.
    let mut stream = tokio::net::TcpStream::connect(proxy.address).await.unwrap();
    let started = std::time::Instant::now();
    stream.write_all(b"GET /stream/400 HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let mut got = Vec::new();
    while !String::from_utf8_lossy(&got).contains("v1 0") {
        let mut part = [0u8; 1024];
        let n = stream.read(&mut part).await.unwrap();
        assert!(n > 0);
        got.extend_from_slice(&part[..n]);
    }
    assert!(started.elapsed() < Duration::from_millis(500), "{:?}", started.elapsed());
    drop(stream);
    // 64 MiB go up while memory stays where it was.
    let before = rss_kib(proxy.child.id());
    let body = support::clients::slow_body(64, 1 << 20, Duration::ZERO);
    let answer = Client::new(proxy.address).send(http::Method::POST, "/upload", &[], body).await.unwrap();
    assert_eq!(answer.body, (64 << 20).to_string());
    let grown = rss_kib(proxy.child.id()).saturating_sub(before);
    assert!(grown < 16 * 1024, "{grown} KiB more after an upload of 64 MiB");
}

#[tokio::test]
async fn a_post_never_meets_a_connection_that_a_refused_upload_left_behind() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    // Refuses each upload without reading all of it, keeps the connection for a moment, then closes it.
    tokio::spawn(async move {
        while let Ok((mut tcp, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut head = [0; 512];
                let _ = tcp.read(&mut head).await;
                let _ = tcp.write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno").await;
                tokio::time::sleep(Duration::from_millis(1)).await;
            });
        }
    });
    let files = Files::new();
    let proxy = Proxy::start(&files).await;
    proxy.route("v1", address).await;
    let request = format!(
        "POST / HTTP/1.1\r\nhost: example.com\r\ncontent-length: 20000\r\nconnection: close\r\n\r\n{}",
        "x".repeat(20_000)
    );
    for i in 0..60 {
        let answer = raw(proxy.address, request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 403"), "upload {i}: {answer}");
    }
}

#[tokio::test]
async fn one_service_is_removed_and_the_others_of_its_app_stay() {
    let files = Files::new();
    let proxy = Proxy::start(&files).await;
    let (site, api) = (Backend::start("site").await, Backend::start("api").await);
    proxy.control.put("shop", "site", &routed("site", &site, &[("example.com", "/")])).await.unwrap();
    proxy.control.put("shop", "api", &routed("api", &api, &[("example.com", "/api")])).await.unwrap();
    proxy.control.delete_service("shop", "api").await.unwrap();
    let answer = get(proxy.address, "/api", &[("host", "example.com")]).await;
    assert!(answer.body.contains("site"), "{}", answer.body);
    proxy.control.delete_service("shop", "site").await.unwrap();
    assert!(proxy.control.state().await.unwrap().services.is_empty());
    let gone = proxy.control.delete_service("shop", "site").await.unwrap_err();
    assert!(gone.to_string().contains("refused"), "{gone}");
}
