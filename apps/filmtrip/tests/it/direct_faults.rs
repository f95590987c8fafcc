//! Everything that can go wrong with a direct upload: no photo lost, none doubled, no forged notice believed.

use safelight_upyun::{Operator, ToSign, content_md5, format_date};
use safelight_upyun_emulator::Forgery;
use serde_json::{Value, json};

use super::support::{ADMIN, Client, Site};
use super::upyun::{BUCKET, PASSWORD, Rig, fetch, until, wait};
use filmtrip::images::sample;

fn photo(seed: u64) -> Vec<u8> {
    sample::photo(640, 427, seed).expect("sample")
}

fn photos(client: &Client) -> Vec<Value> {
    client.get("/api/photos?mine=true&limit=100").body_json()["photos"].as_array().expect("photos").clone()
}

fn object(rig: &Rig, upload: &str) -> String {
    let query = format!("SELECT object_key FROM uploads WHERE key = '{upload}'");
    rig.site.sql().value(&query, &[]).expect("upload")
}

#[test]
fn a_lost_notice_is_made_up_for_by_the_client_or_by_the_sweeper() {
    let rig = Rig::new();
    let app = rig.start_with(true, true, &[("FILMTRIP_SWEEP_SECONDS", "3600")]);
    let admin = app.login(ADMIN);
    rig.faults(|f| f.callbacks.lose_next = 2);
    let told = rig.put(&admin, &photo(1), &json!({}));
    let complete = admin.json("POST", &format!("/api/uploads/{told}/complete"), "");
    assert_eq!(complete.status, 200, "{}", complete.text());
    wait(&admin, &told, &["done"]);
    let forgotten = rig.put(&admin, &photo(2), &json!({}));
    rig.settled(2);
    assert_eq!(wait(&admin, &forgotten, &["pending"])["state"], "pending");
    // The browser was closed: the sweeper of the next process looks.
    drop(app);
    let app = rig.start(true, true);
    let admin = app.login(ADMIN);
    wait(&admin, &forgotten, &["done"]);
    assert_eq!(photos(&admin).len(), 2);
}

#[test]
fn late_doubled_and_reordered_notices_make_each_photo_once() {
    let rig = Rig::new();
    let app = rig.start(true, true);
    let admin = app.login(ADMIN);
    rig.faults(|f| {
        f.callbacks.duplicates = 2;
        f.callbacks.reorder = 3;
        f.callbacks.delay_millis = 300;
    });
    let uploads: Vec<String> = (10..13).map(|seed| rig.put(&admin, &photo(seed), &json!({}))).collect();
    // The client says so too, meanwhile and again.
    for _ in 0..2 {
        let reply = admin.json("POST", &format!("/api/uploads/{}/complete", uploads[0]), "");
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
    let records = rig.settled(9);
    assert!(records.iter().all(|r| r.answers == ["200"]), "{records:?}");
    for upload in &uploads {
        wait(&admin, upload, &["done"]);
    }
    assert_eq!(photos(&admin).len(), 3);
}

#[test]
fn no_forged_notice_is_believed() {
    let rig = Rig::new();
    let app = rig.start_with(true, true, &[("FILMTRIP_SWEEP_SECONDS", "3600")]);
    let admin = app.login(ADMIN);
    for (seed, forgery) in (20_u64..).zip(Forgery::ALL) {
        rig.faults(|f| f.callbacks.forge = Some(forgery));
        let before = rig.emulator.callbacks().len();
        let upload = rig.put(&admin, &photo(seed), &json!({}));
        until("an answer", || rig.emulator.callbacks().get(before).is_some_and(|r| !r.answers.is_empty()));
        let answer = rig.emulator.callbacks()[before].answers[0].clone();
        assert_eq!(answer, "403", "{forgery:?}");
        assert_eq!(wait(&admin, &upload, &["pending"])["state"], "pending", "{forgery:?}");
    }
    // A forgery for something that never was uploaded.
    let fields = json!({"code": 200, "message": "ok", "url": "/originals/aa/x", "time": 1, "ext-param": "x"});
    rig.forge(Forgery::BadSignature, &fields);
    let plain = app.client().send(
        "POST",
        "/api/storage/callback",
        &[("content-type", "application/x-www-form-urlencoded")],
        b"code=200&message=ok&url=%2Fa&time=1",
    );
    assert_eq!((plain.status, plain.code().as_str()), (403, "unproved"));
    assert!(photos(&admin).is_empty());
    drop(app);
    // Nobody is expected to tell anything: then nobody is believed either.
    let elsewhere = Site::new();
    let bare = elsewhere.serve();
    assert_eq!(bare.client().send("POST", "/api/storage/callback", &[], b"code=200").status, 403);
}

/// A notice with a right signature, about whatever it says.
fn genuine(app: &Client, fields: &[(&str, &str)]) -> u16 {
    let operator = Operator::new("darkroom", PASSWORD).expect("operator");
    let body =
        fields.iter().map(|(n, v)| format!("{n}={}", v.replace('/', "%2F"))).collect::<Vec<_>>().join("&");
    let date = format_date(std::time::SystemTime::now());
    let md5 = content_md5(body.as_bytes());
    let what = ToSign::new("POST", "/api/storage/callback").date(&date).content_md5(&md5);
    let authorization = operator.authorization(&what);
    let headers = [
        ("content-type", "application/x-www-form-urlencoded"),
        ("authorization", authorization.as_str()),
        ("date", date.as_str()),
        ("content-md5", md5.as_str()),
    ];
    app.send("POST", "/api/storage/callback", &headers, body.as_bytes()).status
}

#[test]
fn even_a_genuine_notice_is_looked_up() {
    let rig = Rig::new();
    let app = rig.start_with(true, true, &[("FILMTRIP_SWEEP_SECONDS", "3600")]);
    let admin = app.login(ADMIN);
    let signed = rig.sign(&admin, &photo(30), &json!({}));
    let name = format!("/{}", object(&rig, &signed.key()));
    let key = signed.key();
    let told = |url: &str, key: &str| {
        genuine(
            &app.client(),
            &[("code", "200"), ("message", "ok"), ("url", url), ("time", "1"), ("ext-param", key)],
        )
    };
    assert_eq!(told("/originals/zz/somebody-elses", &key), 404, "another object than the row's");
    assert_eq!(told(&name, "abcdefghijklmnopqrstuvwxyz"), 404, "an upload that nobody asked for");
    assert_eq!(told(&name, "../../x"), 404, "no key at all");
    assert_eq!(told(&name, &key), 503, "the object is not there: the notice shall come again");
    assert_eq!(wait(&admin, &key, &["pending"])["state"], "pending");
    let failed = [
        ("code", "403"),
        ("message", "no"),
        ("url", name.as_str()),
        ("time", "1"),
        ("ext-param", key.as_str()),
    ];
    assert_eq!(genuine(&app.client(), &failed), 200);
    assert_eq!(
        wait(&admin, &key, &["pending"])["state"],
        "pending",
        "a failed upload was believed to have arrived"
    );
}

#[test]
fn an_object_replaced_through_its_form_does_not_stay_in_view() {
    let rig = Rig::new();
    let app = rig.start(true, true);
    let admin = app.login(ADMIN);
    let (mut first, mut second) = (photo(40), photo(41));
    let length = first.len().max(second.len());
    first.resize(length, 0);
    second.resize(length, 0);
    let signed = rig.sign(&admin, &first, &json!({}));
    assert_eq!(signed.post(&first).status, 200);
    wait(&admin, &signed.key(), &["done"]);
    // The form is good for some minutes more.
    assert_eq!(signed.post(&second).status, 200);
    rig.settled(2);
    assert_eq!(photos(&admin).len(), 1);
    rig.hurry("recheck");
    until("the photo is taken out of view", || photos(&admin).is_empty());
    assert_eq!(app.client().get(&format!("/api/photos/{}", signed.key())).status, 404);
    let trash = admin.get("/api/photos?mine=true&trash=true").body_json();
    assert_eq!(
        trash["photos"][0]["key"],
        signed.key().as_str(),
        "nothing is thrown away without a person: {trash}"
    );
}

#[test]
fn a_photo_that_was_not_replaced_stays() {
    let rig = Rig::new();
    let app = rig.start(true, true);
    let admin = app.login(ADMIN);
    let upload = rig.put(&admin, &photo(42), &json!({}));
    wait(&admin, &upload, &["done"]);
    rig.hurry("recheck");
    until("the second look is over", || rig.left("recheck") == 0);
    assert_eq!(photos(&admin).len(), 1);
}

#[test]
fn without_styles_or_cdn_the_sizes_are_made_here() {
    let rig = Rig::new();
    let app = rig.start(true, true);
    let admin = app.login(ADMIN);
    rig.emulator.remove_style(BUCKET, "preview").expect("style");
    let styleless = rig.put(&admin, &photo(50), &json!({}));
    let styleless = wait(&admin, &styleless, &["done"])["photo"].clone();
    rig.emulator.set_style(BUCKET, "preview", "/max/1024/rotate/auto").expect("style");
    rig.faults(|f| f.cdn.fail_status = Some(502));
    let dark = rig.put(&admin, &photo(51), &json!({}));
    let dark = wait(&admin, &dark, &["done"])["photo"].clone();
    rig.faults(|f| f.cdn.cut_bodies = true);
    let cut = rig.put(&admin, &photo(52), &json!({}));
    let cut = wait(&admin, &cut, &["done"])["photo"].clone();
    rig.faults(|_| ());
    for shown in [&styleless, &dark, &cut] {
        let address = shown["images"]["preview"]["url"].as_str().expect("url");
        assert!(address.starts_with("/media/"), "{address}");
        let reply = app.client().get(address);
        assert_eq!(image::load_from_memory(&reply.body).expect("decodes").width(), 640);
    }
    // The same names and sizes as the styles': a page looks the same.
    let styled = rig.put(&admin, &photo(53), &json!({}));
    let styled = wait(&admin, &styled, &["done"])["photo"].clone();
    for size in ["thumb", "preview", "large"] {
        for side in ["width", "height"] {
            assert_eq!(styled["images"][size][side], dark["images"][size][side], "{size} {side}");
        }
    }
    assert_eq!(fetch(styled["images"]["preview"]["url"].as_str().expect("url")).status, 200);
}

#[test]
fn a_file_that_tells_where_it_was_taken_is_not_shown_by_the_cdn() {
    let rig = Rig::new();
    let app = rig.start(true, true);
    let admin = app.login(ADMIN);
    let file = super::upload::located_jpeg();
    let upload = rig.put(&admin, &file, &json!({}));
    let shown = wait(&admin, &upload, &["done"])["photo"].clone();
    // Whoever knew its address there could ask for the EXIF.
    assert!(shown["images"]["large"]["url"].as_str().expect("url").starts_with("/media/"), "{shown}");
    assert_eq!(shown["location"]["lat"], 48.5, "the owner knows it: {shown}");
    let public = app.client().get(&format!("/api/photos/{upload}"));
    assert!(
        !public.text().contains("48.5") && public.body_json().get("location").is_none(),
        "{}",
        public.text()
    );
}

#[test]
fn an_outage_longer_than_the_patience_of_the_queue_loses_nothing() {
    let rig = Rig::new();
    let app = rig.start(true, true);
    let admin = app.login(ADMIN);
    let signed = rig.sign(&admin, &photo(62), &json!({}));
    assert_eq!(signed.post(&photo(62)).status, 200);
    rig.settled(1);
    rig.faults(|f| f.api.fail_status = Some(503));
    // Where the queue has tried for half a day.
    let query = format!(
        "UPDATE jobs SET attempts = 23, run_at = 1 WHERE kind = 'ingest' AND subject = '{}'",
        signed.key()
    );
    if rig.site.sql().execute(&query, &[]).expect("jobs") == 1 {
        let failed = "SELECT count(*) FROM jobs WHERE kind = 'ingest' AND failed_at IS NOT NULL";
        until("the job is given up", || rig.site.sql().value::<u64>(failed, &[]).expect("jobs") == 1);
        assert_eq!(admin.get("/api/overview").body_json()["failed_jobs"], 1);
    }
    assert_ne!(wait(&admin, &signed.key(), &["uploaded", "done"])["state"], "failed");
    rig.faults(|_| ());
    let jobs = admin.get("/api/admin/jobs").body_json();
    for job in jobs["jobs"].as_array().expect("jobs").iter().filter(|job| job["state"] == "failed") {
        let retry = format!("/api/admin/jobs/{}/retry", job["id"]);
        assert_eq!(admin.json("POST", &retry, "").status, 204);
    }
    wait(&admin, &signed.key(), &["done"]);
}

/// How often a job of a kind was tried.
fn tries(rig: &Rig, kind: &str) -> u64 {
    let query = format!("SELECT coalesce(max(attempts), 0) FROM jobs WHERE kind = '{kind}'");
    rig.site.sql().value(&query, &[]).expect("jobs")
}

#[test]
fn a_store_that_knows_nothing_for_a_while_ends_no_upload_and_hides_no_photo() {
    let rig = Rig::new();
    let app = rig.start_with(true, true, &[("FILMTRIP_SWEEP_SECONDS", "3600")]);
    let admin = app.login(ADMIN);
    let shown = rig.put(&admin, &photo(63), &json!({}));
    wait(&admin, &shown, &["done"]);
    rig.faults(|f| f.callbacks.lose_next = 1);
    let waiting = rig.put(&admin, &photo(64), &json!({}));
    rig.settled(2);
    // As a restart with the name of another bucket: nothing is there.
    rig.faults(|f| f.api.fail_status = Some(404));
    let arrived = format!("UPDATE uploads SET state = 'uploaded' WHERE key = '{waiting}'");
    let ingest =
        format!("INSERT INTO jobs (kind, subject, run_at, created_at) VALUES ('ingest', '{waiting}', 1, 1)");
    for query in [&arrived, &ingest] {
        assert_eq!(rig.site.sql().execute(query, &[]).expect("as after a notice"), 1);
    }
    rig.hurry("recheck");
    for kind in ["ingest", "recheck"] {
        until("it is tried", || tries(&rig, kind) >= 2 || rig.left(kind) == 0);
    }
    assert_eq!(wait(&admin, &waiting, &["uploaded", "failed"])["state"], "uploaded");
    assert_eq!(photos(&admin).len(), 1, "a photo that is not in the wrong bucket was thrown away");
    // The bucket is put right.
    rig.faults(|_| ());
    rig.hurry("ingest");
    wait(&admin, &waiting, &["done"]);
    rig.hurry("recheck");
    until("the second look is over", || rig.left("recheck") == 0);
    let visible: Vec<Value> = photos(&admin).iter().map(|p| p["visibility"].clone()).collect();
    assert_eq!(visible, ["public", "public"]);
}

#[test]
fn an_upload_that_was_taken_for_lost_and_is_there_is_not_deleted() {
    let rig = Rig::new();
    let app = rig.start_with(true, true, &[("FILMTRIP_SWEEP_SECONDS", "3600")]);
    let admin = app.login(ADMIN);
    rig.faults(|f| f.callbacks.lose_next = 1);
    let upload = rig.put(&admin, &photo(65), &json!({}));
    rig.settled(1);
    // The bucket was the wrong one until the sweeper had given it up.
    let name = object(&rig, &upload);
    let lost = format!("UPDATE uploads SET state = 'expired', expires_at = 1 WHERE key = '{upload}'");
    let discard = format!(
        "INSERT INTO jobs (kind, subject, run_at, created_at) VALUES ('discard', 'object upyun {name}', 1, 1)"
    );
    for query in [&lost, &discard] {
        assert_eq!(rig.site.sql().execute(query, &[]).expect("as the sweeper does"), 1);
    }
    wait(&admin, &upload, &["done"]);
    assert_eq!(photos(&admin).len(), 1);
    assert!(rig.emulator.file(BUCKET, &name).is_some());
}

#[test]
fn a_slow_or_failing_store_delays_a_photo_and_does_not_lose_it() {
    let rig = Rig::new();
    let app = rig.start(true, true);
    let admin = app.login(ADMIN);
    rig.faults(|f| {
        f.api.delay_millis = 700;
        f.cdn.delay_millis = 700;
    });
    let slow = rig.put(&admin, &photo(60), &json!({}));
    wait(&admin, &slow, &["done"]);
    let signed = rig.sign(&admin, &photo(61), &json!({}));
    rig.faults(|_| ());
    assert_eq!(signed.post(&photo(61)).status, 200);
    // The notice comes while the store answers nothing: it is refused, and comes again.
    rig.faults(|f| {
        f.api.fail_status = Some(503);
        f.api.fail_next = Some(6);
    });
    wait(&admin, &signed.key(), &["done"]);
    assert_eq!(photos(&admin).len(), 2);
}

#[test]
fn a_revoked_key_is_told_by_health_and_its_return_mends_it() {
    let rig = Rig::new();
    let app = rig.start(true, true);
    let admin = app.login(ADMIN);
    let upload = rig.put(&admin, &photo(70), &json!({}));
    let shown = wait(&admin, &upload, &["done"])["photo"].clone();
    let waiting = rig.sign(&admin, &photo(71), &json!({}));
    rig.set_password("another-password");
    assert_eq!(waiting.post(&photo(71)).status, 401);
    until("health says so", || app.client().get("/api/health").status == 503);
    let health = app.client().get("/api/health").body_json();
    let error = health["storage"]["error"].as_str().expect("why");
    assert!(error.contains("upyun") && !error.contains(PASSWORD), "{health}");
    let complete = admin.json("POST", &format!("/api/uploads/{}/complete", waiting.key()), "");
    assert_eq!((complete.status, complete.code().as_str()), (503, "store"));
    // What is there is still shown.
    assert_eq!(fetch(shown["images"]["thumb"]["url"].as_str().expect("url")).status, 200);
    rig.set_password(PASSWORD);
    assert_eq!(waiting.post(&photo(71)).status, 200);
    wait(&admin, &waiting.key(), &["done"]);
    until("health is back", || app.client().get("/api/health").status == 200);
}

#[test]
fn a_broken_image_is_refused_and_its_object_goes() {
    let rig = Rig::new();
    let app = rig.start(true, false);
    let admin = app.login(ADMIN);
    // Its header is right, so the store takes it; the rest of it is missing.
    let mut broken = photo(80);
    broken.truncate(2000);
    let signed = rig.sign(&admin, &broken, &json!({}));
    assert_eq!(signed.post(&broken).status, 200, "the store saw it, so this shows nothing");
    let info = wait(&admin, &signed.key(), &["failed", "done"]);
    assert_eq!((&info["state"], &info["code"]), (&json!("failed"), &json!("bad_image")), "{info}");
    rig.hurry("discard");
    let name = object(&rig, &signed.key());
    until("the object goes", || rig.emulator.file(BUCKET, &name).is_none());
    assert!(photos(&admin).is_empty());
}

/// What a notice met at its first try, and that its later ones make one photo.
fn met_an_error_and_came_again(rig: &Rig, admin: &Client, upload: &str) {
    let records = rig.settled(1);
    let (last, before) = records[0].answers.split_last().expect("answers");
    assert!(!before.is_empty() && before.iter().all(|answer| answer.starts_with('5')), "{records:?}");
    assert_eq!(last, "200", "{records:?}");
    wait(admin, upload, &["done"]);
    assert_eq!(photos(admin).len(), 1);
    until("the queue is empty", || rig.left("ingest") == 0);
}

/// Until the first try of the first notice was answered.
fn answered(rig: &Rig) {
    until("an answer", || rig.emulator.callbacks().first().is_some_and(|record| !record.answers.is_empty()));
}

#[test]
fn a_notice_that_meets_a_locked_database_is_refused_and_delivers_once_when_it_comes_again() {
    let rig = Rig::new();
    let app = rig.start_with(true, true, &[("FILMTRIP_SWEEP_SECONDS", "3600")]);
    let admin = app.login(ADMIN);
    let signed = rig.sign(&admin, &photo(90), &json!({}));
    let mut lock = rig.site.sql();
    lock.begin_write().expect("lock");
    assert_eq!(signed.post(&photo(90)).status, 200);
    answered(&rig);
    let state = format!("SELECT state FROM uploads WHERE key = '{}'", signed.key());
    assert_eq!(rig.site.sql().value::<String>(&state, &[]).expect("state"), "pending");
    lock.rollback();
    met_an_error_and_came_again(&rig, &admin, &signed.key());
}

#[test]
fn a_notice_that_meets_no_database_is_refused_and_delivers_once_when_it_comes_again() {
    let rig = Rig::new();
    let app = rig.start_with(true, true, &[("FILMTRIP_SWEEP_SECONDS", "3600")]);
    let admin = app.login(ADMIN);
    let signed = rig.sign(&admin, &photo(91), &json!({}));
    let away = rig.site.dir.path().join("away.db");
    match &rig.site.server {
        Some(server) => server.stop(),
        None => std::fs::rename(rig.site.database(), &away).expect("away"),
    }
    assert_eq!(signed.post(&photo(91)).status, 200);
    answered(&rig);
    match &rig.site.server {
        Some(server) => server.run(),
        None => std::fs::rename(&away, rig.site.database()).expect("back"),
    }
    met_an_error_and_came_again(&rig, &admin, &signed.key());
}
