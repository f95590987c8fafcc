//! Servers and shorthands for the tests.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Redirect};
use axum::routing::{any, get};
use base64::Engine as _;
use safelight_journeys::{Journey, JourneyOutcome, RunOptions, Value, run};
use serde_json::json;

/// A server on a free port of the loopback; it ends with the test's runtime.
pub(crate) async fn serve(app: Router) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    address
}

#[derive(Clone, Default)]
pub(crate) struct Shared {
    pub(crate) counters: Arc<Mutex<BTreeMap<String, u32>>>,
    pub(crate) hits: Arc<AtomicU32>,
}

async fn echo(
    State(shared): State<Shared>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> impl IntoResponse {
    shared.hits.fetch_add(1, Ordering::SeqCst);
    let mut map = serde_json::Map::new();
    for name in headers.keys() {
        let values: Vec<_> =
            headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
        map.insert(name.to_string(), json!(values.join(" & ")));
    }
    axum::Json(json!({
        "method": method.as_str(),
        "path": uri.path(),
        "query": uri.query(),
        "headers": map,
        "text": String::from_utf8_lossy(&body),
        "base64": base64::engine::general_purpose::STANDARD.encode(&body),
    }))
}

/// Fails with 503 until it was asked `n` times under that name.
async fn flaky(State(shared): State<Shared>, Path((name, n)): Path<(String, u32)>) -> (StatusCode, String) {
    let mut counters = shared.counters.lock().unwrap();
    let count = counters.entry(name).or_default();
    *count += 1;
    let status = if *count >= n { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, count.to_string())
}

async fn sample() -> impl IntoResponse {
    let mut headers = HeaderMap::new();
    headers.append("content-type", HeaderValue::from_static("application/json"));
    headers.append("x-many", HeaderValue::from_static("one"));
    headers.append("x-many", HeaderValue::from_static("two"));
    headers.append(
        "set-cookie",
        HeaderValue::from_static(
            "session=abc123; Path=/; HttpOnly; Secure; SameSite=Lax; Max-Age=600; Domain=example.com; \
         Expires=Sun, 13 Jan 2030 22:23:01 GMT",
        ),
    );
    headers.append("set-cookie", HeaderValue::from_static("plain=1"));
    (headers, SAMPLE)
}

/// The body that most asserts are made on.
pub(crate) const SAMPLE: &str = r#"{"name":"Ada","age":36,"ratio":0.5,"big":18446744073709551615,"ok":true,"none":null,
"tags":["a","b","c"],"empty":[],"text":"","nested":{"id":"6fa459ea-ee8a-3ca4-894e-db77e160355e","when":"2024-05-06T07:08:09Z"},
"people":[{"name":"Bo","age":5},{"name":"Cy","age":50}],"ip":"192.0.2.7","ip6":"2001:db8::1"}"#;

/// Every route that the tests share.
pub(crate) fn app(shared: Shared) -> Router {
    let gzip = || async {
        use std::io::Write as _;
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(b"squeezed").unwrap();
        ([("content-encoding", "gzip"), ("content-type", "text/plain")], encoder.finish().unwrap())
    };
    Router::new()
        .route("/echo", any(echo))
        .route("/echo/{*rest}", any(echo))
        .route("/sample", get(sample))
        .route("/flaky/{name}/{n}", any(flaky))
        .route("/text", get(|| async { "hello world" }))
        .route("/bytes", get(|| async { vec![0xca_u8, 0xfe, 0xba, 0xbe] }))
        .route(
            "/latin",
            get(|| async { ([("content-type", "text/plain; charset=iso-8859-1")], vec![0xe9_u8]) }),
        )
        .route("/gzip", get(gzip))
        .route(
            "/status/{code}",
            any(|Path(code): Path<u16>| async move { StatusCode::from_u16(code).unwrap() }),
        )
        .route("/slow", get(|| async { tokio::time::sleep(Duration::from_secs(20)).await }))
        .route("/huge", get(|| async { vec![b'x'; 100_000] }))
        .route(
            "/hop/{n}",
            any(|Path(n): Path<u32>| async move {
                match n {
                    0 => Redirect::to("/echo").into_response(),
                    n => (StatusCode::TEMPORARY_REDIRECT, [("location", format!("/hop/{}", n - 1))])
                        .into_response(),
                }
            }),
        )
        .route("/see-other", any(|| async { Redirect::to("/echo") }))
        .route("/set", get(|| async { ([("set-cookie", "sid=s1; Path=/")], "") }))
        .with_state(shared)
}

/// The shared server and what it counted.
pub(crate) async fn server() -> (SocketAddr, Shared) {
    let shared = Shared::default();
    (serve(app(shared.clone())).await, shared)
}

/// Options with `{{base}}` set to the server.
pub(crate) fn options(address: SocketAddr) -> RunOptions {
    let mut options = RunOptions { timeout: Duration::from_secs(10), ..RunOptions::default() };
    options.variables.insert("base".to_owned(), Value::from(format!("http://{address}")));
    options
}

/// Parses and runs with the options.
pub(crate) async fn go_with(text: &str, options: &RunOptions) -> JourneyOutcome {
    run(&Journey::parse("test.hurl", text).unwrap_or_else(|error| panic!("{error}")), options).await
}

/// Parses and runs against a fresh shared server.
pub(crate) async fn go(text: &str) -> JourneyOutcome {
    let (address, _) = server().await;
    go_with(text, &options(address)).await
}

/// As above; every check must hold.
pub(crate) async fn pass(text: &str) -> JourneyOutcome {
    let outcome = go(text).await;
    if let Some(failure) = &outcome.failure {
        panic!("{failure}");
    }
    assert!(outcome.success && outcome.steps.iter().all(|step| step.ok()));
    outcome
}

/// Each of the asserts must hold on `GET path` by itself.
pub(crate) async fn holds(path: &str, asserts: &str) {
    pass(&format!("GET {{{{base}}}}{path}\nHTTP 200\n[Asserts]\n{asserts}\n")).await;
}

/// Each line by itself must fail on `GET path`, and only it.
pub(crate) async fn fails(path: &str, asserts: &str) {
    for line in asserts.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let outcome = go(&format!("GET {{{{base}}}}{path}\nHTTP 200\n[Asserts]\n{line}\n")).await;
        assert!(!outcome.success, "should not hold: {line}");
        let failure = outcome.failure.unwrap();
        assert_eq!((failure.line, failure.step), (4, 1), "{failure}");
        assert!(failure.what.contains("does not hold"), "{failure}");
    }
}
