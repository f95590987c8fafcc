//! The emulator's other switches, each as a browser, an admin and a visitor meet it.

use std::time::{Duration, SystemTime};

use safelight_upyun::{FormKey, FormPolicy};
use safelight_upyun_emulator::BucketChange;
use serde_json::json;

use super::support::{ADMIN, App, Client, MULTIPART, multipart};
use super::upyun::{BUCKET, Rig, fetch, until, wait};
use filmtrip::images::sample;

fn photo(seed: u64) -> Vec<u8> {
    sample::photo(640, 427, seed).expect("sample")
}

fn object(rig: &Rig, upload: &str) -> String {
    let query = format!("SELECT object_key FROM uploads WHERE key = '{upload}'");
    rig.site.sql().value(&query, &[]).expect("upload")
}

/// Photos that are in the bucket, while nobody has told the service.
fn unnoticed(rig: &Rig, seeds: std::ops::Range<u64>) -> (App, Vec<String>) {
    let app = rig.start_with(true, true, &[("FILMTRIP_SWEEP_SECONDS", "3600")]);
    let admin = app.login(ADMIN);
    let count = u32::try_from(seeds.clone().count()).expect("few");
    rig.faults(|f| f.callbacks.lose_next = count);
    let uploads: Vec<String> = seeds.map(|seed| rig.put(&admin, &photo(seed), &json!({}))).collect();
    rig.settled(uploads.len());
    (app, uploads)
}

#[test]
fn a_clock_that_is_wrong_is_told_by_health_and_loses_nothing() {
    let rig = Rig::new();
    let app = rig.start(true, true);
    let admin = app.login(ADMIN);
    // Some minutes are allowed for.
    rig.faults(|f| f.clock_offset_seconds = -600);
    let behind = rig.put(&admin, &photo(1), &json!({}));
    wait(&admin, &behind, &["done"]);
    let signed = rig.sign(&admin, &photo(2), &json!({}));
    rig.faults(|f| f.clock_offset_seconds = 7200);
    let refused = signed.post(&photo(2)).status;
    assert!(matches!(refused, 401 | 403), "{refused}");
    until("health says so", || app.client().get("/api/health").status == 503);
    let complete = admin.json("POST", &format!("/api/uploads/{}/complete", signed.key()), "");
    assert_eq!((complete.status, complete.code().as_str()), (503, "store"));
    rig.faults(|_| ());
    assert_eq!(signed.post(&photo(2)).status, 200);
    wait(&admin, &signed.key(), &["done"]);
}

#[test]
fn a_store_that_takes_few_requests_a_second_gets_them_all_in_the_end() {
    let rig = Rig::new();
    let (app, uploads) = unnoticed(&rig, 10..13);
    drop(app);
    rig.faults(|f| {
        f.requests_per_second = Some(4);
        f.deletes_per_second = Some(0);
    });
    // Its sweeper asks for all three at once.
    let app = rig.start(true, true);
    let admin = app.login(ADMIN);
    for upload in &uploads {
        wait(&admin, upload, &["done"]);
    }
    assert!(rig.emulator.requests().iter().any(|request| request.status == 429), "nothing was too much");
    // A deletion that may take its time has no limit.
    let name = object(&rig, &uploads[0]);
    assert_eq!(admin.json("DELETE", &format!("/api/photos/{}?forever=true", uploads[0]), "").status, 204);
    until("the object goes", || rig.emulator.file(BUCKET, &name).is_none());
    for upload in &uploads[1..] {
        assert!(rig.emulator.file(BUCKET, &object(&rig, upload)).is_some());
    }
}

#[test]
fn an_original_that_breaks_off_is_read_again_and_not_refused() {
    let rig = Rig::new();
    let (app, uploads) = unnoticed(&rig, 20..21);
    let (admin, upload) = (app.login(ADMIN), &uploads[0]);
    rig.faults(|f| f.api.cut_bodies = true);
    assert_eq!(admin.json("POST", &format!("/api/uploads/{upload}/complete"), "").status, 200);
    let tried = "SELECT count(*) FROM jobs WHERE kind = 'ingest' AND error IS NOT NULL";
    until("it broke off", || rig.site.sql().value::<u64>(tried, &[]).expect("jobs") == 1);
    assert_eq!(wait(&admin, upload, &["uploaded", "failed", "done"])["state"], "uploaded");
    rig.faults(|_| ());
    rig.hurry("ingest");
    wait(&admin, upload, &["done"]);
    assert_eq!(admin.get(&format!("/api/photos/{upload}/original")).body, photo(20));
}

/// Posts a file by a form in the old scheme under the name of an upload, as a console or an old tool could.
pub(crate) fn old_form(rig: &Rig, admin: &Client, seed: u64, secret: &str) -> String {
    let signed = rig.sign(admin, &photo(seed), &json!({}));
    let key = FormKey::new(secret).expect("key");
    let until = SystemTime::now() + Duration::from_secs(600);
    let form = FormPolicy::new(BUCKET, format!("/{}", object(rig, &signed.key())), until)
        .notify_url(rig.notify_url())
        .ext_param(signed.key())
        .sign_legacy(&key)
        .expect("a form");
    let address =
        rig.emulator.api_endpoint().strip_prefix("http://").expect("http").parse().expect("address");
    let client = Client { address, cookie: None, csrf: String::new() };
    let body = multipart(&form.fields(), &[&photo(seed)]);
    let reply = client.send("POST", form.path(), &[("content-type", MULTIPART)], &body);
    assert_eq!(reply.status, 200, "{}", reply.text());
    signed.key()
}

#[test]
fn a_notice_in_the_old_scheme_is_believed_with_its_secret_and_never_without_a_signature() {
    let rig = Rig::new();
    let quiet = ("FILMTRIP_SWEEP_SECONDS", "3600");
    let app = rig.start_with(true, true, &[quiet, ("UPYUN_FORM_API_SECRET", "emulator-form-key")]);
    let admin = app.login(ADMIN);
    let told = old_form(&rig, &admin, 30, "emulator-form-key");
    wait(&admin, &told, &["done"]);
    // `no-sign`, which anybody can compute.
    rig.faults(|f| f.callbacks.lose_form_key = true);
    let unsigned = old_form(&rig, &admin, 31, "emulator-form-key");
    until("an answer", || rig.emulator.callbacks().get(1).is_some_and(|record| !record.answers.is_empty()));
    assert_eq!(rig.emulator.callbacks()[1].answers[0], "403");
    assert_eq!(wait(&admin, &unsigned, &["pending", "uploaded", "done"])["state"], "pending");
    // The client asks, the object is looked at, and nothing is lost.
    let complete = admin.json("POST", &format!("/api/uploads/{unsigned}/complete"), "");
    assert_eq!(complete.status, 200, "{}", complete.text());
    wait(&admin, &unsigned, &["done"]);
}

#[test]
fn a_bucket_without_forms_refuses_and_takes_the_same_form_when_they_are_on_again() {
    let rig = Rig::new();
    let app = rig.start(true, true);
    let admin = app.login(ADMIN);
    let forms = |on| {
        let change = BucketChange { form_api: Some(on), ..BucketChange::default() };
        rig.emulator.change_bucket(BUCKET, change).expect("bucket");
    };
    let signed = rig.sign(&admin, &photo(40), &json!({}));
    forms(false);
    let refused = signed.post(&photo(40));
    assert_eq!(refused.status, 403);
    assert!(refused.text().contains("40300013"), "{}", refused.text());
    let path = format!("/api/uploads/{}/complete", signed.key());
    assert_eq!(admin.json("POST", &path, "").code(), "not_there");
    // Through the server it goes all the same.
    let beside = admin.photo(&[], &photo(41));
    assert_eq!(beside["backend"], "local");
    forms(true);
    assert_eq!(signed.post(&photo(40)).status, 200);
    wait(&admin, &signed.key(), &["done"]);
}

#[test]
fn a_domain_with_hot_link_protection_shows_photos_by_addresses_that_stay_and_forgets_them() {
    let rig = Rig::new();
    rig.emulator.bind_domain("127.0.0.1", BUCKET, Some("hot-link-secret")).expect("domain");
    let app = rig.start_with(true, true, &[("UPYUN_TOKEN_SECRET", "hot-link-secret")]);
    let admin = app.login(ADMIN);
    let upload = rig.put(&admin, &photo(50), &json!({}));
    wait(&admin, &upload, &["done"]);
    let path = format!("/api/photos/{upload}");
    let large = |photo: &serde_json::Value| photo["images"]["large"]["url"].as_str().expect("url").to_owned();
    let shown = admin.get(&path).body_json();
    let known = large(&shown);
    let (bare, token) = known.split_once("?_upt=").expect("a token");
    assert_eq!((fetch(&known).status, fetch(bare).status), (200, 403));
    // By its last part the token says until when it is good: the end of a day.
    let expires: u64 = token[8..].parse().expect("seconds");
    assert_eq!(expires % 86_400, 0, "{token}");
    assert_eq!(large(&admin.get(&path).body_json()), known, "a new address at each look");
    // It is in the cache by now, and must leave it.
    assert_eq!(admin.json("PATCH", &path, r#"{"visibility":"private"}"#).status, 200);
    until("the CDN forgets it", || fetch(&known).status == 404);
}
