//! What somebody may have changed at Upyun's console: each is told in words, and costs no photo.

use std::collections::BTreeMap;

use safelight_upyun_emulator::{BucketChange, OperatorChange, Rights};
use serde_json::{Value, json};

use super::direct_switches::old_form;
use super::support::{ADMIN, App, Client, jpeg};
use super::upyun::{BUCKET, OPERATOR, PASSWORD, Rig, fetch, until, wait};

fn start(rig: &Rig) -> (App, Client) {
    let app = rig.start(true, true);
    let admin = app.login(ADMIN);
    (app, admin)
}

fn operator(rig: &Rig, change: OperatorChange) {
    rig.emulator.change_operator(OPERATOR, change).expect("operator");
}

fn rights(rig: &Rig, rights: Rights) {
    let rights = BTreeMap::from([(BUCKET.to_owned(), rights)]);
    operator(rig, OperatorChange { rights: Some(rights), ..OperatorChange::default() });
}

fn blocked(rig: &Rig, blocked: bool) {
    operator(rig, OperatorChange { blocked: Some(blocked), ..OperatorChange::default() });
}

fn bucket(rig: &Rig, change: BucketChange) {
    rig.emulator.change_bucket(BUCKET, change).expect("bucket");
}

fn closed(rig: &Rig, blocked: bool) {
    bucket(rig, BucketChange { blocked: Some(blocked), ..BucketChange::default() });
}

struct Case {
    what: &'static str,
    spoil: fn(&Rig),
    mend: fn(&Rig),
    /// What health says of it.
    told: &'static [&'static str],
    /// Whether the bucket takes the browser's form all the same.
    takes: bool,
}

const CASES: &[Case] = &[
    Case {
        what: "no right to write",
        spoil: |rig| rights(rig, Rights { write: false, ..Rights::ALL }),
        mend: |rig| rights(rig, Rights::ALL),
        told: &["can be read, but not written", "write and delete rights on the bucket"],
        takes: false,
    },
    Case {
        what: "no right to delete",
        spoil: |rig| rights(rig, Rights { delete: false, ..Rights::ALL }),
        mend: |rig| rights(rig, Rights::ALL),
        told: &["can be read, but not deleted", "write and delete rights on the bucket"],
        takes: true,
    },
    Case {
        what: "no right to read",
        spoil: |rig| rights(rig, Rights { read: false, ..Rights::ALL }),
        mend: |rig| rights(rig, Rights::ALL),
        told: &["40100017", "read, write and delete rights on the bucket"],
        takes: true,
    },
    Case {
        what: "a revoked operator",
        spoil: |rig| rig.emulator.revoke_operator(OPERATOR),
        mend: |rig| {
            let all = BTreeMap::from([(BUCKET.to_owned(), Rights::ALL)]);
            let anew =
                OperatorChange { password: Some(PASSWORD.to_owned()), rights: Some(all), blocked: None };
            operator(rig, anew);
        },
        told: &["40100006", "check the operator's name"],
        takes: false,
    },
    Case {
        what: "a blocked operator",
        spoil: |rig| blocked(rig, true),
        mend: |rig| blocked(rig, false),
        told: &["40100007", "user blocked"],
        takes: false,
    },
    Case {
        what: "a blocked bucket",
        spoil: |rig| closed(rig, true),
        mend: |rig| closed(rig, false),
        told: &["40100013", "bucket blocked"],
        takes: false,
    },
];

fn thumb(photo: &Value) -> String {
    photo["images"]["thumb"]["url"].as_str().expect("url").to_owned()
}

fn is_told_and_costs_nothing(case: &Case) {
    let (rig, what) = (Rig::new(), case.what);
    let (app, admin) = start(&rig);
    let old = rig.put(&admin, &jpeg(1), &json!({}));
    let old = wait(&admin, &old, &["done"])["photo"].clone();
    let signed = rig.sign(&admin, &jpeg(2), &json!({}));
    drop(app);
    (case.spoil)(&rig);
    // It starts: what is there may be shown all the same. The gate of a deploy hears that new photos would be lost.
    let (app, admin) = start(&rig);
    until(&format!("{what}: health says so"), || {
        let health = app.client().get("/api/health");
        let error = health.body_json()["storage"]["error"].as_str().unwrap_or_default().to_owned();
        assert!(!error.contains(PASSWORD), "{what}");
        // Only a machine that is too busy to answer in time says something else first.
        assert_eq!(health.status, 503, "{what}: {}", health.text());
        case.told.iter().all(|part| error.contains(part))
    });
    assert_eq!(app.client().get(&format!("/api/photos/{}", old["key"].as_str().expect("key"))).status, 200);
    let posted = signed.post(&jpeg(2)).status;
    assert_eq!(posted == 200, case.takes, "{what}: {posted}");
    (case.mend)(&rig);
    until("health is back", || app.client().get("/api/health").status == 200);
    if !case.takes {
        assert_eq!(signed.post(&jpeg(2)).status, 200, "{what}");
    }
    wait(&admin, &signed.key(), &["done"]);
    assert_eq!(fetch(&thumb(&old)).status, 200, "{what}");
    assert_eq!(admin.get("/api/photos?mine=true").body_json()["photos"].as_array().expect("list").len(), 2);
}

#[test]
fn an_account_that_may_not_do_its_work_is_told_by_health_and_costs_nothing() {
    std::thread::scope(|scope| {
        let cases: Vec<_> =
            CASES.iter().map(|case| (case.what, scope.spawn(|| is_told_and_costs_nothing(case)))).collect();
        let failed: Vec<&str> =
            cases.into_iter().filter_map(|(what, case)| case.join().is_err().then_some(what)).collect();
        assert_eq!(failed, [""; 0]);
    });
}

#[test]
fn a_right_that_is_lost_meanwhile_is_told_when_something_is_refused() {
    let rig = Rig::new();
    let app = rig.start_with(false, false, &[("FILMTRIP_STORAGE", "upyun")]);
    let admin = app.login(ADMIN);
    admin.photo(&[], &jpeg(1));
    assert_eq!(app.client().get("/api/health").status, 200);
    rights(&rig, Rights { write: false, ..Rights::ALL });
    let refused = admin.upload(&[], &[&jpeg(2)]);
    assert_eq!((refused.status, refused.code().as_str()), (503, "store"), "{}", refused.text());
    until("health says so", || app.client().get("/api/health").status == 503);
    let health = app.client().get("/api/health").text();
    assert!(health.contains("can be read, but not written"), "{health}");
    rights(&rig, Rights::ALL);
    until("health is back", || app.client().get("/api/health").status == 200);
    admin.photo(&[], &jpeg(2));
    assert_eq!(admin.get("/api/photos?mine=true").body_json()["photos"].as_array().expect("list").len(), 2);
}

#[test]
fn what_may_not_be_deleted_stays_in_the_queue_until_it_may() {
    let rig = Rig::new();
    let (_app, admin) = start(&rig);
    let upload = rig.put(&admin, &jpeg(1), &json!({}));
    wait(&admin, &upload, &["done"]);
    let object = rig.original(&upload);
    rights(&rig, Rights { delete: false, ..Rights::ALL });
    assert_eq!(admin.json("DELETE", &format!("/api/photos/{upload}?forever=true"), "").status, 204);
    let noted = "SELECT count(*) FROM jobs WHERE kind = 'discard' AND error LIKE '%40300011%'";
    until("the refusal is noted", || rig.site.sql().value::<u64>(noted, &[]).expect("jobs") >= 1);
    let jobs = admin.get("/api/admin/jobs").text();
    assert!(jobs.contains("write and delete rights on the bucket"), "the admin is told nothing: {jobs}");
    assert!(rig.has(&object));
    rights(&rig, Rights::ALL);
    rig.hurry("discard");
    until("it goes", || !rig.has(&object));
}

/// What integrity finds.
fn faults(admin: &Client) -> Vec<Value> {
    assert_eq!(admin.json("POST", "/api/admin/integrity", "").status, 202);
    until("the look is over", || admin.get("/api/admin/integrity").body_json()["running"] == false);
    admin.get("/api/admin/integrity").body_json()["faults"].as_array().expect("faults").clone()
}

fn the_cdn_shows_nothing(spoil: impl Fn(&Rig), mend: impl Fn(&Rig)) {
    let rig = Rig::new();
    let (app, admin) = start(&rig);
    let old = rig.put(&admin, &jpeg(1), &json!({}));
    let old = wait(&admin, &old, &["done"])["photo"].clone();
    assert_eq!(faults(&admin), Vec::<Value>::new());
    spoil(&rig);
    rig.emulator.flush_cdn();
    assert!(fetch(&thumb(&old)).status >= 400);
    // A new photo is shown by the service, and does not depend on it.
    let new = rig.put(&admin, &jpeg(2), &json!({}));
    let new = wait(&admin, &new, &["done"])["photo"].clone();
    assert!(thumb(&new).starts_with("/media/"), "{new}");
    assert_eq!(app.client().get(&thumb(&new)).status, 200);
    // Of the old one the admin is told.
    let found = faults(&admin);
    assert_eq!((found.len(), &found[0]["key"]), (1, &old["key"]), "{found:?}");
    let problem = found[0]["problem"].as_str().expect("problem");
    assert!(problem.starts_with("not_shown: "), "{problem}");
    mend(&rig);
    rig.emulator.flush_cdn();
    assert_eq!(fetch(&thumb(&old)).status, 200);
    assert_eq!(faults(&admin), Vec::<Value>::new());
}

#[test]
fn another_separator_is_told_by_integrity_and_costs_nothing() {
    let separator = |rig: &Rig, text: &str| {
        bucket(rig, BucketChange { separator: Some(text.to_owned()), ..BucketChange::default() });
    };
    the_cdn_shows_nothing(|rig| separator(rig, "_"), |rig| separator(rig, "!"));
}

#[test]
fn an_unbound_domain_is_told_by_integrity_and_costs_nothing() {
    the_cdn_shows_nothing(
        |rig| rig.emulator.unbind_domain("127.0.0.1"),
        |rig| rig.emulator.bind_domain("127.0.0.1", BUCKET, None).expect("domain"),
    );
}

#[test]
fn another_form_secret_costs_a_notice_and_no_photo() {
    let rig = Rig::new();
    let more = [("FILMTRIP_SWEEP_SECONDS", "3600"), ("UPYUN_FORM_API_SECRET", "emulator-form-key")];
    let app = rig.start_with(true, true, &more);
    let admin = app.login(ADMIN);
    bucket(&rig, BucketChange { form_key: Some("another-secret".to_owned()), ..BucketChange::default() });
    let upload = old_form(&rig, &admin, 1, "another-secret");
    until("an answer", || rig.emulator.callbacks().first().is_some_and(|r| !r.answers.is_empty()));
    assert_eq!(rig.emulator.callbacks()[0].answers[0], "403", "a notice was believed that nothing proves");
    assert_eq!(wait(&admin, &upload, &["pending", "uploaded", "done"])["state"], "pending");
    let complete = admin.json("POST", &format!("/api/uploads/{upload}/complete"), "");
    assert_eq!(complete.status, 200, "{}", complete.text());
    wait(&admin, &upload, &["done"]);
    // Forms of the service are signed by the operator, and do not need the secret.
    let own = rig.put(&admin, &jpeg(2), &json!({}));
    wait(&admin, &own, &["done"]);
}
