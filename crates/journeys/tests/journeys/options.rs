//! hurl.dev/docs/request.html#options, and the limits of a run.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use safelight_journeys::{Journey, RunOptions, TraceEvent, Value, run};

use crate::support::{Shared, app, go, go_with, options, pass, serve, server};

// Hurl File, "Retry".
#[tokio::test]
async fn retry_sends_the_entry_again_until_its_asserts_hold() {
    let outcome = pass(
        "GET {{base}}/flaky/a/3\n[Options]\nretry: 5\nretry-interval: 5ms\nHTTP 200\n\n\
         GET {{base}}/flaky/b/1\n[Options]\nretry: -1\nretry-interval: 5\nHTTP 200\n[Asserts]\nbody toInt == 4\n",
    )
    .await;
    let attempts: Vec<u32> = outcome.steps.iter().map(|step| step.attempts).collect();
    assert_eq!(attempts, [3, 4]);
}

#[tokio::test]
async fn retries_end_and_the_failure_says_how_many_there_were() {
    let outcome = go("GET {{base}}/flaky/a/9\n[Options]\nretry: 2\nretry-interval: 1ms\nHTTP 200\n").await;
    assert_eq!(outcome.steps[0].attempts, 3, "two retries come after the first attempt");
    let failure = outcome.failure.unwrap();
    assert_eq!(failure.actual.as_deref(), Some("status 503"));
    assert!(failure.hint.unwrap().contains("tried 3 times"));
}

#[tokio::test]
async fn an_endless_retry_ends_with_the_time_of_the_journey() {
    let (address, _) = server().await;
    let options = RunOptions { timeout: Duration::from_millis(300), ..options(address) };
    let text = "GET {{base}}/status/500\n[Options]\nretry: -1\nretry-interval: 50ms\nHTTP 200\n";
    let outcome = go_with(text, &options).await;
    assert!(outcome.duration < Duration::from_secs(3), "{:?}", outcome.duration);
    assert!(outcome.steps[0].attempts >= 2);
    let hint = outcome.failure.unwrap().hint.unwrap();
    assert!(hint.contains("until the journey's time of 300ms was over"), "{hint}");
}

#[tokio::test]
async fn a_refused_connection_is_retried_too() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let failing = go_with("GET {{base}}/text\nHTTP 200\n", &options(address)).await.failure.unwrap();
    assert!(failing.what.contains(&format!("cannot reach {address}")), "{failing}");
    assert_eq!((failing.line, failing.column), (1, 5));

    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(150)).await;
        let listener = tokio::net::TcpListener::bind(address).await.unwrap();
        axum::serve(listener, app(Shared::default())).await.unwrap();
    });
    let text = "GET {{base}}/text\n[Options]\nretry: 50\nretry-interval: 40ms\nHTTP 200\n";
    let outcome = go_with(text, &options(address)).await;
    assert_eq!(outcome.failure, None);
    assert!(outcome.steps[0].attempts > 1);
}

// Manual, "--repeat" and "skip" in the options of an entry.
#[tokio::test]
async fn entries_are_repeated_and_skipped() {
    let outcome = pass(
        "GET {{base}}/flaky/a/1\n[Options]\nrepeat: 3\nHTTP 200\n\nGET {{base}}/status/500\n[Options]\nskip: true\nHTTP 200\n\n\
         GET {{base}}/status/500\n[Options]\nrepeat: 0\nHTTP 200\n\nGET {{base}}/flaky/a/1\nHTTP 200\n[Asserts]\nbody == \"4\"\n",
    )
    .await;
    let steps: Vec<(usize, bool)> = outcome.steps.iter().map(|step| (step.step, step.skipped)).collect();
    assert_eq!(steps, [(1, false), (1, false), (1, false), (2, true), (3, true), (4, false)]);
}

#[tokio::test]
async fn options_take_variables_and_refuse_those_of_a_wrong_type() {
    let (address, _) = server().await;
    let mut options = options(address);
    options.variables.insert("off".to_owned(), Value::from(true));
    options.variables.insert("n".to_owned(), Value::from(2));
    options.variables.insert("word".to_owned(), Value::from("x"));
    let text = "GET {{base}}/status/500\n[Options]\nskip: {{off}}\nHTTP 200\n\nGET {{base}}/flaky/a/2\n[Options]\n\
                retry: {{n}}\nretry-interval: {{n}}\nHTTP 200\n";
    assert_eq!(go_with(text, &options).await.failure, None);
    for option in ["skip: {{word}}", "retry: {{word}}", "delay: {{word}}", "location: {{n}}"] {
        let failure = go_with(&format!("GET {{{{base}}}}/text\n[Options]\n{option}\nHTTP 200\n"), &options)
            .await
            .failure
            .unwrap();
        assert!(failure.what.contains("not a"), "{failure}");
        assert_eq!(failure.line, 3);
    }
}

#[tokio::test]
async fn a_delay_is_waited_for_before_the_entry() {
    let started = Instant::now();
    pass("GET {{base}}/text\n[Options]\ndelay: 120ms\nHTTP 200\n").await;
    assert!(started.elapsed() >= Duration::from_millis(120));
}

// Request, "Redirection"; Asserting Response, "Redirects".
#[tokio::test]
async fn redirects_are_followed_when_asked_and_asserts_see_the_last_answer() {
    let outcome = pass(
        "GET {{base}}/hop/2\n[Options]\nlocation: true\nHTTP 200\n[Asserts]\nurl == \"{{base}}/echo\"\nredirects count == 3\n\
         redirects nth 0 location == \"{{base}}/hop/1\"\nredirects last location endsWith \"/echo\"\n",
    )
    .await;
    assert_eq!(outcome.steps[0].redirects, 3);
}

// As curl does it: 301 to 303 become GET without a body, 307 and 308 keep both.
#[tokio::test]
async fn a_redirect_keeps_or_drops_method_and_body_by_its_status() {
    pass(
        "POST {{base}}/see-other\n[Options]\nlocation: true\n{\"a\":1}\nHTTP 200\n[Asserts]\njsonpath \"$.method\" == \"GET\"\n\
         jsonpath \"$.text\" == \"\"\njsonpath \"$.headers['content-type']\" not exists\n",
    )
    .await;
    let app = axum::Router::new()
        .route("/keep", axum::routing::any(|| async { axum::response::Redirect::permanent("/echo") }))
        .merge(app(Shared::default()));
    let address = serve(app).await;
    let text = "POST {{base}}/keep\n[Options]\nlocation: true\n{\"a\":1}\nHTTP 200\n[Asserts]\n\
                jsonpath \"$.method\" == \"POST\"\njsonpath \"$.text\" == \"{\\\"a\\\":1}\"\n";
    assert_eq!(go_with(text, &options(address)).await.failure, None);
}

#[tokio::test]
async fn too_many_redirects_are_an_error() {
    pass("GET {{base}}/hop/1\n[Options]\nlocation: true\nmax-redirs: 2\nHTTP 200\n").await;
    let outcome = go("GET {{base}}/hop/5\n[Options]\nlocation: true\nmax-redirs: 2\nHTTP 200\n").await;
    assert!(outcome.failure.unwrap().what.contains("more than 2 redirects"));
}

// Manual, "--location-trusted".
#[tokio::test]
async fn credentials_stay_with_the_first_origin_unless_trusted() {
    let (elsewhere, _) = server().await;
    let target = format!("http://{elsewhere}/echo");
    let away = axum::Router::new().route(
        "/away",
        axum::routing::any(move || {
            let target = target.clone();
            async move { axum::response::Redirect::temporary(&target) }
        }),
    );
    let mut options = options(serve(away).await);
    options.secrets.insert("pass".to_owned(), "dark-test-key".into());
    options.extra_headers.push(("X-Dark".to_owned(), "dark-test-key".to_owned()));
    options.extra_headers.push(("X-Plain".to_owned(), "1".to_owned()));
    let text = |option: &str, check: &str| {
        format!(
            "GET {{{{base}}}}/away\nAuthorization: Bearer {{{{pass}}}}\n[Options]\n{option}: true\n[Cookies]\na: b\nHTTP 200\n[Asserts]\n\
             jsonpath \"$.headers.authorization\" {check}\njsonpath \"$.headers.cookie\" {check}\n\
             jsonpath \"$.headers['x-dark']\" {check}\njsonpath \"$.headers['x-plain']\" exists\n"
        )
    };
    assert_eq!(go_with(&text("location", "not exists"), &options).await.failure, None);
    assert_eq!(go_with(&text("location-trusted", "exists"), &options).await.failure, None);
}

#[tokio::test]
async fn a_slow_server_fails_the_step_by_name_within_its_time() {
    let (address, _) = server().await;
    let per_request = RunOptions { request_timeout: Duration::from_millis(200), ..options(address) };
    let outcome = go_with("GET {{base}}/text\nHTTP 200\n\nGET {{base}}/slow\nHTTP 200\n", &per_request).await;
    assert!(outcome.duration < Duration::from_secs(3), "{:?}", outcome.duration);
    let failure = outcome.failure.unwrap();
    assert_eq!((failure.step, failure.line), (2, 4), "{failure}");
    assert!(failure.request.ends_with("/slow"), "{failure}");
    assert_eq!(failure.what, "no complete answer within 200ms");

    let text = "GET {{base}}/slow\n[Options]\nmax-time: 100ms\nHTTP 200\n";
    let failure = go_with(text, &options(address)).await.failure.unwrap();
    assert_eq!(failure.what, "no complete answer within 100ms");

    let whole = RunOptions { timeout: Duration::from_millis(150), ..options(address) };
    let failure = go_with("GET {{base}}/slow\nHTTP 200\n", &whole).await.failure.unwrap();
    assert_eq!(failure.what, "no complete answer within 150ms, when the time of the whole journey ended");
    let failure =
        go_with("GET {{base}}/text\n[Options]\ndelay: 10s\nHTTP 200\n", &whole).await.failure.unwrap();
    assert!(failure.what.contains("ended during the delay of this step"), "{failure}");
    assert_eq!((failure.line, failure.step), (1, 1));
}

#[tokio::test]
async fn a_name_is_led_to_another_address_and_port_with_its_host_kept() {
    let (address, _) = server().await;
    let mut options = options(address);
    options.resolve.push(("photos.example.com".to_owned(), 80, address));
    let text = "GET http://photos.example.com/echo\nHTTP 200\n[Asserts]\njsonpath \"$.headers.host\" == \"photos.example.com\"\n\
                url == \"http://photos.example.com/echo\"\nip == \"127.0.0.1\"\n";
    assert_eq!(go_with(text, &options).await.failure, None);

    // Another port of the same name is another service.
    options.resolve = vec![("photos.example.com".to_owned(), 8080, address)];
    let text = "GET http://photos.example.com:8080/echo\nHTTP 200\n[Asserts]\n\
                jsonpath \"$.headers.host\" == \"photos.example.com:8080\"\n";
    assert_eq!(go_with(text, &options).await.failure, None);

    // The same in the file: connect-to with another port, resolve with the same.
    for option in [format!("connect-to: a.example.com:80:127.0.0.1:{}", address.port())] {
        let text = format!(
            "GET http://a.example.com/echo\n[Options]\n{option}\nHTTP 200\n[Asserts]\njsonpath \"$.headers.host\" == \"a.example.com\"\n"
        );
        assert_eq!(go_with(&text, &options).await.failure, None);
    }
    let text = format!(
        "GET http://a.example.com:{port}/echo\n[Options]\nresolve: a.example.com:{port}:127.0.0.1\nHTTP 200\n",
        port = address.port()
    );
    assert_eq!(go_with(&text, &options).await.failure, None);
    // An address instead of a name.
    options.resolve = vec![("192.0.2.1".to_owned(), 80, address)];
    let text =
        "GET http://192.0.2.1/echo\nHTTP 200\n[Asserts]\njsonpath \"$.headers.host\" == \"192.0.2.1\"\n";
    assert_eq!(go_with(text, &options).await.failure, None);
}

#[tokio::test]
async fn headers_of_run_and_options_fill_in_and_do_not_replace() {
    let (address, _) = server().await;
    let mut options = options(address);
    options.extra_headers =
        vec![("X-Dark".to_owned(), "yes".to_owned()), ("X-Own".to_owned(), "run".to_owned())];
    let text = "GET {{base}}/echo\nX-Own: entry\n[Options]\nheader: X-More: a: b\nuser: ada:pw\ncompressed: true\nHTTP 200\n[Asserts]\n\
                jsonpath \"$.headers['x-dark']\" == \"yes\"\njsonpath \"$.headers['x-own']\" == \"entry\"\n\
                jsonpath \"$.headers['x-more']\" == \"a: b\"\njsonpath \"$.headers.authorization\" == \"Basic YWRhOnB3\"\n\
                jsonpath \"$.headers['accept-encoding']\" == \"gzip, deflate, br\"\n";
    assert_eq!(go_with(text, &options).await.failure, None);
    // Compression is not asked for by default.
    pass("GET {{base}}/echo\nHTTP 200\n[Asserts]\njsonpath \"$.headers['accept-encoding']\" not exists\n")
        .await;
}

#[tokio::test]
async fn older_http_is_spoken_when_asked_for() {
    pass("GET {{base}}/text\n[Options]\nhttp1.1: true\nHTTP/1.1 200\n").await;
    pass("GET {{base}}/text\n[Options]\nhttp1.0: true\nHTTP/1.0 200\n").await;
    pass("GET {{base}}/text\n[Options]\nipv4: true\nverbose: true\nHTTP 200\n").await;
}

#[tokio::test]
async fn a_watcher_is_told_what_happens() {
    let (address, _) = server().await;
    let mut options = options(address);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = seen.clone();
    options.trace = Some(Arc::new(move |event| sink.lock().unwrap().push(event)));
    let text = "GET {{base}}/flaky/a/2\n[Options]\nretry: 3\nretry-interval: 1ms\nHTTP 200\n";
    assert!(go_with(text, &options).await.success);
    let seen = seen.lock().unwrap();
    assert!(matches!(&seen[0], TraceEvent::StepStarted { step: 1, of: 1, .. }));
    assert!(matches!(&seen[1], TraceEvent::Retrying { attempts: 1, .. }));
    assert!(matches!(&seen[2], TraceEvent::StepFinished(step) if step.attempts == 2 && step.ok()));
    assert_eq!(seen.len(), 3);
}

#[tokio::test]
async fn a_run_can_be_spawned_on_any_thread() {
    let (address, _) = server().await;
    let options = options(address);
    let journey = Journey::parse("t", "GET {{base}}/text\nHTTP 200\n").unwrap();
    assert!(tokio::spawn(async move { run(&journey, &options).await }).await.unwrap().success);
}
