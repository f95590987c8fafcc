//! kill -9 at the states of work on the bucket. Each lasts until the process is gone: the bucket is slow to answer, or the
//! database is locked.

use filmtrip::db::sql::Sql;
use serde_json::json;

use super::kills::{count, kill, nothing_stays_in_tmp};
use super::support::{ADMIN, App, Client, files, key};
use super::upyun::{Rig, fetch, until, wait};
use filmtrip::images::sample;

/// How long the bucket lets a process wait that is about to be killed, in ms.
const SLOW: u64 = 3000;

fn photo(seed: u64) -> Vec<u8> {
    sample::photo(900, 600, seed).expect("sample")
}

fn start(rig: &Rig, processing: bool) -> (App, Client) {
    let app = rig.start(true, processing);
    let admin = app.login(ADMIN);
    (app, admin)
}

/// Locks the database while a worker waits for the bucket, which answers the next request at once: so the worker does all
/// of a job but its end.
fn lock_during(rig: &Rig, kind: &str, ready: impl Fn() -> bool) -> Sql {
    until("the work begins", || rig.at_work(kind) == 1 && ready());
    let mut lock = rig.site.sql();
    lock.begin_write().expect("lock");
    rig.faults(|_| ());
    lock
}

#[test]
fn a_direct_upload_whose_sizes_are_made_here() {
    let rig = Rig::new();
    // While its original is asked for.
    let (app, admin) = start(&rig, false);
    let first = rig.sign(&admin, &photo(1), &json!({}));
    assert_eq!(first.post(&photo(1)).status, 200);
    rig.faults(|f| f.api.delay_millis = SLOW);
    until("the work begins", || rig.at_work("ingest") == 1 || rig.left("ingest") == 0);
    kill(app);
    rig.faults(|_| ());
    // When all its sizes are stored, and its row is not.
    let (app, admin) = start(&rig, false);
    wait(&admin, &first.key(), &["done"]);
    // Nobody looks whether it is a duplicate: that would wait for the lock before there is any size.
    let second = rig.sign(&admin, &photo(2), &json!({"keep_duplicate": true}));
    assert_eq!(second.post(&photo(2)).status, 200);
    rig.faults(|f| f.api.delay_millis = SLOW);
    let mut lock = lock_during(&rig, "ingest", || true);
    let sizes = || {
        let of = |path: &std::path::PathBuf| path.to_string_lossy().contains(&second.key());
        files(&rig.site.media()).keys().filter(|path| of(path)).count()
    };
    until("its sizes are there", || sizes() == 6);
    kill(app);
    lock.rollback();
    let (_app, admin) = start(&rig, false);
    for (upload, seed) in [(first.key(), 1), (second.key(), 2)] {
        let shown = wait(&admin, &upload, &["done"])["photo"].clone();
        assert_eq!(admin.get(shown["images"]["large"]["url"].as_str().expect("url")).status, 200);
        assert_eq!(admin.get(&format!("/api/photos/{upload}/original")).body, photo(seed));
    }
    assert_eq!((count(&admin), sizes()), (2, 6));
    until("the queue is empty", || rig.left("ingest") == 0);
    nothing_stays_in_tmp(&rig.site);
}

#[test]
fn a_photo_that_is_being_made_private() {
    let rig = Rig::new();
    let (app, admin) = start(&rig, true);
    let upload = rig.put(&admin, &photo(3), &json!({}));
    let shown = wait(&admin, &upload, &["done"])["photo"].clone();
    let known = shown["images"]["large"]["url"].as_str().expect("url").to_owned();
    let (path, old) = (format!("/api/photos/{}", key(&shown)), rig.original(&upload));
    assert_eq!(fetch(&known).status, 200);
    // While the original is read.
    rig.faults(|f| f.api.delay_millis = SLOW);
    assert_eq!(admin.json("PATCH", &path, r#"{"visibility":"private"}"#).status, 200);
    until("the work begins", || rig.at_work("relocate") == 1);
    kill(app);
    // When the copy is in the bucket, and no row knows it as the photo's.
    let copies = "SELECT count(*) FROM uploads WHERE state = 'receiving'";
    let abandoned: u64 = rig.site.sql().value(copies, &[]).expect("copies");
    let (app, _admin) = start(&rig, true);
    let mut lock = lock_during(&rig, "relocate", || {
        rig.site.sql().value::<u64>(copies, &[]).expect("copies") > abandoned
    });
    let newest = "SELECT object_key FROM uploads WHERE state = 'receiving' ORDER BY id DESC LIMIT 1";
    let copy: String = lock.value(newest, &[]).expect("copy");
    until("the copy is in the bucket", || rig.has(&copy));
    assert!(rig.has(&old), "the original was deleted before the photo had another");
    kill(app);
    lock.rollback();
    let given_up = "UPDATE uploads SET expires_at = 1 WHERE state = 'receiving'";
    assert!(rig.site.sql().execute(given_up, &[]).expect("an hour later") > 0);
    let (app, admin) = start(&rig, true);
    until("the old object goes", || !rig.has(&old));
    until("the CDN forgets it", || fetch(&known).status == 404);
    until("the given up copy goes", || !rig.has(&copy));
    let now = rig.original(&upload);
    assert!(now != old && now != copy && rig.has(&now), "{now}");
    assert_eq!(admin.get(&format!("{path}/original")).body, photo(3));
    assert_eq!(app.client().get(&path).status, 404);
    until("the queue is empty", || rig.left("relocate") + rig.left_due("discard") == 0);
    nothing_stays_in_tmp(&rig.site);
}

#[test]
fn a_photo_that_is_being_deleted_in_the_bucket() {
    let rig = Rig::new();
    let (app, admin) = start(&rig, true);
    let uploads: Vec<String> = [4, 5].map(|seed| rig.put(&admin, &photo(seed), &json!({}))).to_vec();
    let known: Vec<(String, String)> = uploads
        .iter()
        .map(|upload| {
            let shown = wait(&admin, upload, &["done"])["photo"].clone();
            let address = shown["images"]["large"]["url"].as_str().expect("url").to_owned();
            assert_eq!(fetch(&address).status, 200);
            (address, rig.original(upload))
        })
        .collect();
    // Before the object is gone.
    rig.faults(|f| f.api.delay_millis = SLOW);
    assert_eq!(admin.json("DELETE", &format!("/api/photos/{}?forever=true", uploads[0]), "").status, 204);
    until("the work begins", || rig.at_work("discard") == 1);
    assert!(rig.has(&known[0].1));
    kill(app);
    rig.faults(|_| ());
    let (app, admin) = start(&rig, true);
    until("the object goes", || !rig.has(&known[0].1));
    until("the CDN forgets it", || fetch(&known[0].0).status == 404);
    // Between the object and the caches.
    rig.faults(|f| f.purge.delay_millis = 60_000);
    assert_eq!(admin.json("DELETE", &format!("/api/photos/{}?forever=true", uploads[1]), "").status, 204);
    until("the object goes", || !rig.has(&known[1].1));
    assert_eq!(rig.at_work("discard"), 1);
    kill(app);
    rig.faults(|_| ());
    assert_eq!(fetch(&known[1].0).status, 200, "the cache has forgotten it by itself, so this shows nothing");
    let (_app, admin) = start(&rig, true);
    until("the CDN forgets it", || fetch(&known[1].0).status == 404);
    until("the queue is empty", || rig.left_due("discard") == 0);
    assert_eq!(count(&admin), 0);
}
