//! What the service does, good and bad: forms, styles, domains, tokens, caches, control.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail the test")]
mod common;

use std::time::{Duration, SystemTime};

use common::{BUCKET, OPERATOR, PASSWORD, client, config, jpeg, operator, policy, size};
use reqwest::{Response, StatusCode};
use safelight_upyun::{
    CdnUrls, DeviceToken, ErrorCode, FormPolicy, PutOptions, Separator, TokenKey, format_date, legacy,
};
use safelight_upyun_emulator::{BucketChange, Emulator, Faults, Outage};
use serde_json::{Value, json};

async fn fetch(emulator: &Emulator, host: &str, target: &str) -> Response {
    let url = format!("{}{target}", emulator.cdn_endpoint());
    reqwest::Client::new().get(url).header("host", host).send().await.unwrap()
}

async fn refused(emulator: &Emulator, form: FormPolicy, name: &str, content: &[u8]) -> (u16, ErrorCode) {
    let form = form.sign(&operator()).unwrap();
    let error = client(emulator).form_upload(&form, name, content.to_vec()).await.unwrap_err();
    let api = error.api().unwrap();
    (api.status, api.code.unwrap())
}

#[tokio::test]
async fn forms_outside_their_policy_are_refused_with_the_documented_codes() {
    let emulator = Emulator::start(config()).await.unwrap();
    let picture = jpeg(40, 30);
    let late = FormPolicy::new(BUCKET, "/a.jpg", SystemTime::now() - Duration::from_secs(5));
    let other =
        FormPolicy::new(BUCKET, "/a.jpg", SystemTime::now() + Duration::from_secs(5)).set("bucket", "other");
    let cases = [
        (late, "a.jpg", 403, ErrorCode::REQUEST_EXPIRED),
        (other, "a.jpg", 400, ErrorCode::BUCKET_MISMATCH),
        (policy("/a").content_length_range(1, 10), "a.jpg", 403, ErrorCode::TOO_LARGE),
        (policy("/a").content_length_range(1 << 20, 1 << 21), "a.jpg", 403, ErrorCode::TOO_SMALL),
        (policy("/a").content_length(7), "a.jpg", 403, ErrorCode::TOO_LARGE),
        (policy("/a").allow_file_types(["png"]), "a.jpg", 403, ErrorCode::FILE_TYPE),
        (policy("/a").content_md5("0".repeat(32)), "a.jpg", 403, ErrorCode::MD5_MISMATCH),
        (policy("/a").image_width_range(0, 39), "a.jpg", 403, ErrorCode::IMAGE_WIDTH),
        (policy("/a").image_height_range(31, 99), "a.jpg", 403, ErrorCode::IMAGE_HEIGHT),
        (policy("/a").thumb("missing"), "a.jpg", 403, ErrorCode::NO_SUCH_STYLE),
        (policy("/a").set("ext-param", "x".repeat(256)), "a.jpg", 400, ErrorCode::EXT_PARAM_TOO_LONG),
    ];
    for (form, name, status, code) in cases {
        assert_eq!(refused(&emulator, form, name, &picture).await, (status, code));
    }
    let text = refused(&emulator, policy("/a").image_width_range(0, 10), "a.txt", b"text").await;
    assert_eq!(text, (403, ErrorCode::NOT_AN_IMAGE));
    emulator
        .change_bucket(BUCKET, BucketChange { form_api: Some(false), ..BucketChange::default() })
        .unwrap();
    let off = refused(&emulator, policy("/a"), "a.jpg", &picture).await;
    assert_eq!(off, (403, ErrorCode::FORM_API_DISABLED));
    assert_eq!(emulator.file(BUCKET, "/a"), None);
}

#[tokio::test]
async fn return_url_gets_the_answer_as_query() {
    let emulator = Emulator::start(config()).await.unwrap();
    let form = policy("/a b.txt").return_url("https://example.com/done").sign(&operator()).unwrap();
    let parts = form
        .fields()
        .into_iter()
        .fold(reqwest::multipart::Form::new(), |all, (name, value)| all.text(name, value.to_owned()));
    let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let url = format!("{}{}", emulator.api_endpoint(), form.path());
    let answer = http.post(url).multipart(parts.text("file", "x")).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::FOUND);
    let location = answer.headers()["location"].to_str().unwrap();
    assert!(location.starts_with("https://example.com/done?code=200&"), "{location}");
    assert!(location.contains("url=%2Fa%20b%2Etxt"), "{location}");
    assert_eq!(answer.headers()["access-control-allow-origin"], "*");
}

#[tokio::test]
async fn basic_old_md5_and_device_tokens_are_accepted_and_bad_ones_are_not() {
    let emulator = Emulator::start(config()).await.unwrap();
    let http = reqwest::Client::new();
    let url = format!("{}/{BUCKET}/client_7/a.txt", emulator.api_endpoint());
    let date = format_date(SystemTime::now());
    let path = format!("/{BUCKET}/client_7/a.txt");
    let status = |request: reqwest::RequestBuilder| async { request.send().await.unwrap().status().as_u16() };
    let basic = |password| http.put(&url).basic_auth(OPERATOR, Some(password)).body("abc");
    assert_eq!((status(basic(PASSWORD)).await, status(basic("x")).await), (200, 401));
    let old = |length| {
        let proof = legacy::rest_authorization(&operator(), "PUT", &path, &date, length);
        http.put(&url).header("date", &date).header("authorization", proof).body("abc")
    };
    assert_eq!((status(old(3)).await, status(old(4)).await), (200, 401));
    let device = |prefix: String, expires_unix: u64| {
        let token =
            DeviceToken { method: "PUT".into(), prefix: Some(prefix.clone()), postfix: None, expires_unix };
        let request = http.put(&url).header("authorization", token.authorization(&operator())).body("abc");
        request.header("x-upyun-uri-prefix", prefix).header("x-upyun-expire", expires_unix)
    };
    assert_eq!(status(device(format!("/{BUCKET}/client_7"), 4_000_000_000)).await, 200);
    assert_eq!(status(device(format!("/{BUCKET}/client_8"), 4_000_000_000)).await, 401);
    assert_eq!(status(device(format!("/{BUCKET}/client_7"), 1_000_000_000)).await, 401);
    assert_eq!(status(http.get(&url)).await, 401);
}

#[tokio::test]
async fn styles_process_the_image_and_missing_ones_are_not_profile() {
    let emulator = Emulator::start(config()).await.unwrap();
    client(&emulator).put("/照/a-1.jpg", jpeg(1100, 734), &PutOptions::default()).await.unwrap();
    client(&emulator).put("/text.txt", "text", &PutOptions::default()).await.unwrap();
    for separator in Separator::ALL {
        let change = BucketChange { separator: Some(separator.to_string()), ..BucketChange::default() };
        emulator.change_bucket(BUCKET, change).unwrap();
        let cdn = CdnUrls::new(emulator.cdn_endpoint()).separator(separator);
        let get = |url: String| async move { reqwest::get(url).await.unwrap() };
        let sides = [("thumb", (600, 400)), ("preview", (1024, 683)), ("large", (1100, 734))];
        // Unoptimised encoders are slow, so all styles are made with one separator only.
        let all = separator == Separator::Exclamation;
        for (style, expected) in sides.into_iter().take(if all { 3 } else { 1 }) {
            let answer = get(cdn.style("/照/a-1.jpg", style)).await;
            assert_eq!(answer.headers()["content-type"], "image/jpeg");
            assert_eq!(size(&answer.bytes().await.unwrap()), expected, "{style}");
        }
        let webp = get(cdn.style_with("/照/a-1.jpg", "thumb", "/fw/300/format/webp")).await;
        assert_eq!(webp.headers()["content-type"], "image/webp");
        assert_eq!(size(&webp.bytes().await.unwrap()), (300, 200));
        let missing = get(cdn.style("/照/a-1.jpg", "missing")).await;
        assert_eq!((missing.status().as_u16(), missing.text().await.unwrap()), (404, "Not Profile".into()));
        assert_eq!(get(cdn.process("/照/a-1.jpg", "/fw/0")).await.status().as_u16(), 400);
        assert_eq!(get(cdn.process("/text.txt", "/fw/10")).await.status().as_u16(), 405);
        assert_eq!(get(cdn.original("/missing.jpg")).await.status().as_u16(), 404);
        let info: Value = get(cdn.process("/照/a-1.jpg", "/info")).await.json().await.unwrap();
        assert_eq!(info["width"], 1100);
    }
    emulator.set_style(BUCKET, "square", "/sq/64").unwrap();
    emulator.set_style(BUCKET, "square", "/watermark/x").unwrap_err();
    let change = BucketChange { separator: Some("!".into()), ..BucketChange::default() };
    emulator.change_bucket(BUCKET, change).unwrap();
    let square = fetch(&emulator, "localhost", "/%E7%85%A7/a-1.jpg!square").await;
    assert_eq!(size(&square.bytes().await.unwrap()), (64, 64));
}

#[tokio::test]
async fn domains_are_bound_one_by_one_and_tokens_guard_them() {
    let emulator = Emulator::start(config()).await.unwrap();
    client(&emulator).put("/a.jpg", jpeg(40, 30), &PutOptions::default()).await.unwrap();
    let unbound = fetch(&emulator, "img.example.com", "/a.jpg").await;
    assert_eq!(unbound.status().as_u16(), 400);
    assert_eq!(unbound.json::<Value>().await.unwrap()["code"], "40010041");
    emulator.bind_domain("img.example.com", BUCKET, None).unwrap();
    emulator.bind_domain("guarded.example.com", BUCKET, Some("tokensecret123")).unwrap();
    assert_eq!(fetch(&emulator, "img.example.com:8080", "/a.jpg").await.status().as_u16(), 200);
    let bare = fetch(&emulator, "guarded.example.com", "/a.jpg").await;
    assert_eq!(
        (bare.status().as_u16(), &bare.json::<Value>().await.unwrap()["code"]),
        (403, &json!("40310013"))
    );
    let key = TokenKey::new("tokensecret123").unwrap();
    let later = SystemTime::now() + Duration::from_secs(60);
    let good = format!("/a.jpg!thumb?_upt={}", key.token("/a.jpg!thumb", later));
    assert_eq!(fetch(&emulator, "guarded.example.com", &good).await.status().as_u16(), 200);
    let late = format!("/a.jpg?_upt={}", key.token("/a.jpg", SystemTime::now() - Duration::from_secs(9)));
    assert_eq!(fetch(&emulator, "guarded.example.com", &late).await.status().as_u16(), 403);
    emulator.unbind_domain("img.example.com");
    assert_eq!(fetch(&emulator, "img.example.com", "/a.jpg").await.status().as_u16(), 400);
}

#[tokio::test]
async fn protected_originals_need_their_secret_and_styles_do_not() {
    let emulator = Emulator::start(config()).await.unwrap();
    let options = PutOptions { content_secret: Some("s3cret".into()), ..PutOptions::default() };
    client(&emulator).put("/a.jpg", jpeg(40, 30), &options).await.unwrap();
    let status =
        |target: &'static str| async { fetch(&emulator, "localhost", target).await.status().as_u16() };
    assert_eq!(status("/a.jpg").await, 404);
    assert_eq!((status("/a.jpg!s3cret").await, status("/a.jpg!thumb").await), (200, 200));
    let bad = PutOptions { content_secret: Some("with space".into()), ..PutOptions::default() };
    let refused = client(&emulator).put("/b.jpg", jpeg(4, 3), &bad).await.unwrap_err();
    assert_eq!(refused.api().unwrap().code, Some(ErrorCode::BAD_CONTENT_SECRET));
}

#[tokio::test]
async fn cdn_serves_the_old_file_until_it_is_purged() {
    let emulator = Emulator::start(config()).await.unwrap();
    let client = client(&emulator);
    let read = || async {
        let answer = fetch(&emulator, "localhost", "/a.txt").await;
        let cache = answer.headers().get("x-cache").map(|value| value.to_str().unwrap().to_owned());
        (answer.text().await.unwrap(), cache.unwrap_or_default())
    };
    client.put("/a.txt", "old", &PutOptions::default()).await.unwrap();
    assert_eq!(read().await, ("old".into(), "MISS".into()));
    client.put("/a.txt", "new", &PutOptions::default()).await.unwrap();
    assert_eq!(read().await, ("old".into(), "HIT".into()));
    let invalid = client.purge(&["http://localhost/a.txt", "http://other.example.com/a.txt"]).await.unwrap();
    assert_eq!(invalid, ["http://other.example.com/a.txt"]);
    assert_eq!(read().await, ("new".into(), "MISS".into()));
    let many: Vec<String> = (0..600).map(|n| format!("http://localhost/{n}.txt")).collect();
    assert_eq!(client.purge(&many).await.unwrap_err().api().unwrap().status, 406);
    client.put("/a.txt", "newest", &PutOptions::default()).await.unwrap();
    emulator.flush_cdn();
    assert_eq!(read().await.0, "newest");

    let mut eager = config();
    eager.cdn_auto_purge = Duration::ZERO;
    let emulator = Emulator::start(eager).await.unwrap();
    let client = common::client(&emulator);
    for text in ["one", "two"] {
        client.put("/a.txt", text, &PutOptions::default()).await.unwrap();
        assert_eq!(fetch(&emulator, "localhost", "/a.txt").await.text().await.unwrap(), text);
    }
}

#[tokio::test]
async fn the_purge_api_can_fail_while_the_rest_of_the_api_works() {
    let emulator = Emulator::start(config()).await.unwrap();
    let client = client(&emulator);
    let twice = Outage { fail_status: Some(503), fail_next: Some(2), ..Outage::default() };
    emulator.set_faults(Faults { purge: twice, ..Faults::default() });
    for _ in 0..2 {
        client.put("/a.txt", "text", &PutOptions::default()).await.unwrap();
        assert_eq!(client.purge(&["http://localhost/a.txt"]).await.unwrap_err().api().unwrap().status, 503);
    }
    assert!(client.purge(&["http://localhost/a.txt"]).await.unwrap().is_empty());
}

#[tokio::test]
async fn cdn_can_be_slow_fail_and_break_off_while_the_api_works() {
    let emulator = Emulator::start(config()).await.unwrap();
    client(&emulator).put("/a.txt", "content", &PutOptions::default()).await.unwrap();
    let slow = Outage { delay_millis: 300, fail_status: Some(502), ..Outage::default() };
    emulator.set_faults(Faults { cdn: slow, ..Faults::default() });
    let started = std::time::Instant::now();
    assert_eq!(fetch(&emulator, "localhost", "/a.txt").await.status().as_u16(), 502);
    assert!(started.elapsed() >= Duration::from_millis(300));
    client(&emulator).usage().await.unwrap();
    emulator
        .set_faults(Faults { cdn: Outage { cut_bodies: true, ..Outage::default() }, ..Faults::default() });
    assert!(fetch(&emulator, "localhost", "/a.txt").await.bytes().await.is_err());
}

#[tokio::test]
async fn control_api_does_what_the_library_does() {
    let emulator = Emulator::start(config()).await.unwrap();
    let http = reqwest::Client::new();
    let url = |path: &str| format!("{}{path}", emulator.control_endpoint());
    let faults = json!({ "callbacks": { "lose_next": 2 }, "cdn": { "fail_status": 503 } });
    assert_eq!(http.put(url("/faults")).json(&faults).send().await.unwrap().status().as_u16(), 204);
    assert_eq!((emulator.faults().callbacks.lose_next, emulator.faults().cdn.fail_status), (2, Some(503)));
    let typo = http.put(url("/faults")).json(&json!({ "cbn": {} })).send().await.unwrap();
    assert_eq!(typo.status().as_u16(), 422);
    http.delete(url("/faults")).send().await.unwrap();
    assert_eq!(emulator.faults(), Faults::default());
    let bucket = url(&format!("/buckets/{BUCKET}"));
    http.put(format!("{bucket}/styles/tiny")).body("/max/8").send().await.unwrap();
    http.patch(&bucket).json(&json!({ "form_api": false, "separator": "_" })).send().await.unwrap();
    let binding = json!({ "bucket": BUCKET, "token": "k" });
    http.put(url("/domains/img.example.com")).json(&binding).send().await.unwrap();
    http.put(url("/operators/second")).json(&json!({ "password": "p" })).send().await.unwrap();
    let about: Value = http.get(url("/")).send().await.unwrap().json().await.unwrap();
    let photos = &about["buckets"][BUCKET];
    assert_eq!((&photos["styles"]["tiny"], &photos["form_api"]), (&json!("/max/8"), &json!(false)));
    assert_eq!(about["domains"]["img.example.com"]["token"], true);
    assert!(about["operators"]["second"].is_object());
    assert!(!about.to_string().contains(PASSWORD));
    assert_eq!(
        http.patch(url("/buckets/none")).json(&json!({})).send().await.unwrap().status().as_u16(),
        404
    );
    http.delete(url(&format!("/operators/{OPERATOR}"))).send().await.unwrap();
    assert!(client(&emulator).usage().await.is_err());
    let requests: Value = http.get(url("/requests")).send().await.unwrap().json().await.unwrap();
    assert_eq!(requests[0]["status"], 401);
}
