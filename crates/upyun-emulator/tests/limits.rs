//! What the service refuses for its own reasons, and that buckets, operators and domains are apart from each other.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail the test")]
mod common;

use std::collections::BTreeMap;
use std::time::Duration;

use common::{BUCKET, OPERATOR, PASSWORD, client, config, operator, policy};
use safelight_upyun::{Client, Delete, Error, ErrorCode, FormKey, Operator, PutOptions};
use safelight_upyun_emulator::{
    BucketChange, BucketConfig, DomainConfig, Emulator, Faults, OperatorChange, OperatorConfig, Rights,
};

fn refusal<T: std::fmt::Debug>(result: Result<T, Error>) -> (u16, Option<ErrorCode>) {
    let error = result.unwrap_err();
    let api = error.api().unwrap();
    (api.status, api.code)
}

async fn fetch(emulator: &Emulator, host: &str, path: &str) -> (u16, String) {
    let request =
        reqwest::Client::new().get(format!("{}{path}", emulator.cdn_endpoint())).header("host", host);
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

#[tokio::test]
async fn more_requests_than_allowed_are_refused_until_the_second_is_over() {
    let emulator = Emulator::start(config()).await.unwrap();
    let client = client(&emulator);
    emulator.set_faults(Faults { requests_per_second: Some(3), ..Faults::default() });
    let mut answers = Vec::new();
    for _ in 0..10 {
        answers.push(client.usage().await);
    }
    let limited: Vec<Error> = answers.into_iter().filter_map(Result::err).collect();
    // Ten requests within a second, unless the machine stood still.
    assert!(limited.len() <= 7 && !limited.is_empty(), "{limited:?}");
    for error in limited {
        assert!(error.is_retryable(), "{error}");
        assert_eq!(error.api().unwrap().code, Some(ErrorCode::RATE_LIMITED));
    }
    tokio::time::sleep(Duration::from_millis(1100)).await;
    client.usage().await.unwrap();
}

#[tokio::test]
async fn bodies_above_the_limit_are_refused_by_rest_and_forms() {
    let mut small = config();
    small.max_request_bytes = 100_000;
    let emulator = Emulator::start(small).await.unwrap();
    let client = client(&emulator);
    let large = vec![7_u8; 100_001];
    let too_large = (413, Some(ErrorCode::BODY_TOO_LARGE));
    assert_eq!(refusal(client.put("/a", large.clone(), &PutOptions::default()).await), too_large);
    let form = policy("/a").sign(&operator()).unwrap();
    assert_eq!(refusal(client.form_upload(&form, "a.bin", large).await), too_large);
    assert_eq!(emulator.file(BUCKET, "a"), None);
    client.put("/a", vec![7_u8; 100_000], &PutOptions::default()).await.unwrap();
}

#[tokio::test]
async fn blocked_buckets_and_operators_are_refused_and_let_in_again() {
    let emulator = Emulator::start(config()).await.unwrap();
    let client = client(&emulator);
    let bucket = |blocked| BucketChange { blocked: Some(blocked), ..BucketChange::default() };
    emulator.change_bucket(BUCKET, bucket(true)).unwrap();
    assert_eq!(refusal(client.usage().await), (401, Some(ErrorCode::BUCKET_BLOCKED)));
    let form = policy("/a").sign(&operator()).unwrap();
    assert_eq!(
        refusal(client.form_upload(&form, "a", b"x".to_vec()).await),
        (401, Some(ErrorCode::BUCKET_BLOCKED))
    );
    emulator.change_bucket(BUCKET, bucket(false)).unwrap();
    client.form_upload(&form, "a", b"x".to_vec()).await.unwrap();

    let person = |blocked| OperatorChange { blocked: Some(blocked), ..OperatorChange::default() };
    emulator.change_operator(OPERATOR, person(true)).unwrap();
    assert_eq!(refusal(client.usage().await), (401, Some(ErrorCode(40100007))));
    assert_eq!(
        refusal(client.form_upload(&form, "a", b"x".to_vec()).await),
        (401, Some(ErrorCode(40100007)))
    );
    emulator.change_operator(OPERATOR, person(false)).unwrap();
    client.usage().await.unwrap();
}

#[tokio::test]
async fn changed_secrets_take_effect_at_once() {
    let emulator = Emulator::start(config()).await.unwrap();
    let client = client(&emulator);
    let old_key = FormKey::new("emulator-form-key").unwrap();
    let (old, new) = (policy("/a").sign_legacy(&old_key).unwrap(), policy("/a").sign(&operator()).unwrap());
    client.form_upload(&old, "a", b"x".to_vec()).await.unwrap();
    let change = BucketChange { form_key: Some("another-form-key".into()), ..BucketChange::default() };
    emulator.change_bucket(BUCKET, change).unwrap();
    let wrong = (401, Some(ErrorCode::SIGNATURE_ERROR));
    assert_eq!(refusal(client.form_upload(&old, "a", b"x".to_vec()).await), wrong);
    client.form_upload(&new, "a", b"x".to_vec()).await.unwrap();
    let change = OperatorChange { password: Some("another-password".into()), ..OperatorChange::default() };
    emulator.change_operator(OPERATOR, change).unwrap();
    assert_eq!(refusal(client.usage().await), wrong);
    assert_eq!(refusal(client.form_upload(&new, "a", b"x".to_vec()).await), wrong);
    emulator.revoke_operator(OPERATOR);
    let gone = (401, Some(ErrorCode::USER_NOT_EXISTS));
    assert_eq!(refusal(client.usage().await), gone);
    assert_eq!(refusal(client.form_upload(&new, "a", b"x".to_vec()).await), gone);
}

#[tokio::test]
async fn a_policy_expires_by_the_clock_of_the_service() {
    let emulator = Emulator::start(config()).await.unwrap();
    let form = policy("/a").sign(&operator()).unwrap();
    emulator.set_faults(Faults { clock_offset_seconds: 1801, ..Faults::default() });
    let late = client(&emulator).form_upload(&form, "a", b"x".to_vec()).await;
    assert_eq!(refusal(late), (403, Some(ErrorCode::REQUEST_EXPIRED)));
    emulator.set_faults(Faults { clock_offset_seconds: 1700, ..Faults::default() });
    client(&emulator).form_upload(&form, "a", b"x".to_vec()).await.unwrap();
}

#[tokio::test]
async fn buckets_rights_and_caches_of_domains_are_apart() {
    let mut two = config();
    two.buckets.push(BucketConfig::new("archive"));
    let mut helper = OperatorConfig::new("helper", "helper-password", "archive");
    let read_only = Rights { read: true, write: false, delete: false };
    helper.rights.insert(BUCKET.into(), read_only);
    two.operators.push(helper);
    let domain =
        |host: &str, bucket: &str| DomainConfig { host: host.into(), bucket: bucket.into(), token: None };
    two.domains.extend([
        domain("img.example.com", BUCKET),
        domain("img2.example.com", BUCKET),
        domain("old.example.com", "archive"),
    ]);
    let emulator = Emulator::start(two).await.unwrap();
    let build = |bucket: &str, name: &str, password: &str| {
        let operator = Operator::new(name, password).unwrap();
        let endpoint = emulator.api_endpoint();
        Client::builder(bucket, operator).endpoint(&endpoint).purge_endpoint(&endpoint).build().unwrap()
    };
    let photos = build(BUCKET, OPERATOR, PASSWORD);
    let archive = build("archive", "helper", "helper-password");
    photos.put("/a.txt", "photos", &PutOptions::default()).await.unwrap();
    archive.put("/a.txt", "archive", &PutOptions::default()).await.unwrap();

    // N operators to N buckets, each pair with its own rights.
    let guest = build(BUCKET, "helper", "helper-password");
    assert_eq!(guest.get("/a.txt").await.unwrap().bytes(99).await.unwrap(), b"photos");
    let no_right = (401, Some(ErrorCode::NEED_PERMISSION));
    assert_eq!(refusal(guest.put("/b", "x", &PutOptions::default()).await), no_right);
    assert_eq!(refusal(guest.delete("/a.txt", Delete::Now).await), (403, Some(ErrorCode::NO_DELETE_RIGHT)));
    assert_eq!(refusal(build("archive", OPERATOR, PASSWORD).usage().await), no_right);

    let hosts = ["img.example.com", "img2.example.com", "old.example.com"];
    let read = || async {
        let mut all = BTreeMap::new();
        for host in hosts {
            all.insert(host, fetch(&emulator, host, "/a.txt").await.1);
        }
        all
    };
    let shown = |first: &str, second: &str, third: &str| {
        BTreeMap::from([(hosts[0], first.into()), (hosts[1], second.into()), (hosts[2], third.into())])
    };
    assert_eq!(read().await, shown("photos", "photos", "archive"));
    photos.put("/a.txt", "changed", &PutOptions::default()).await.unwrap();
    assert_eq!(read().await, shown("photos", "photos", "archive"), "served from the caches");
    // One's own domain only, and no other bucket's.
    let urls = ["http://img.example.com/a.txt", "http://old.example.com/a.txt"];
    assert_eq!(photos.purge(&urls).await.unwrap(), ["http://old.example.com/a.txt"]);
    assert_eq!(read().await, shown("changed", "photos", "archive"));
    photos.delete("/a.txt", Delete::Now).await.unwrap();
    assert_eq!(fetch(&emulator, "img2.example.com", "/a.txt").await, (200, "photos".into()));
    photos.purge(&["http://img2.example.com/a.txt"]).await.unwrap();
    assert_eq!(fetch(&emulator, "img2.example.com", "/a.txt").await.0, 404);
}
