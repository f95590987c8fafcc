//! Deleting: nothing that is in use goes, and what goes is soon seen by nobody.

use std::time::Duration;

use serde_json::{Value, json};

use super::kills::kill;
use super::support::{ADMIN, App, Client, Site, jpeg, key};
use super::upyun::{Rig, fetch, until, wait};

fn discard(site: &Site, backend: &str, object: &str) {
    let query = format!(
        "INSERT INTO jobs (kind, subject, run_at, created_at) VALUES ('discard', 'object {backend} {object}', 1, 1)"
    );
    assert_eq!(site.sql().execute(&query, &[]).expect("job"), 1);
}

#[test]
fn what_is_in_use_again_when_its_turn_to_be_deleted_comes_stays() {
    let rig = Rig::new();
    let app = rig.start_with(true, true, &[("FILMTRIP_SWEEP_SECONDS", "3600")]);
    let admin = app.login(ADMIN);
    let shown = rig.put(&admin, &jpeg(1), &json!({}));
    wait(&admin, &shown, &["done"]);
    rig.faults(|f| f.callbacks.lose_next = 1);
    let waiting = rig.put(&admin, &jpeg(2), &json!({}));
    rig.settled(2);
    let local = key(&admin.photo(&[], &jpeg(3)));
    let query = format!("SELECT object_key FROM uploads WHERE key = '{waiting}'");
    let arriving: String = rig.site.sql().value(&query, &[]).expect("upload");
    let (bucket, disk) = (rig.original(&shown), rig.original(&local));
    until("all is quiet", || rig.left("discard") == 0);
    for (backend, object) in [("upyun", &bucket), ("upyun", &arriving), ("local", &disk)] {
        discard(&rig.site, backend, object);
    }
    let again = format!("{bucket} again");
    discard(&rig.site, "upyun", &again);
    until("their turns are over", || rig.left("discard") == 0);
    assert!(rig.has(&bucket), "the original of a photo was deleted");
    assert!(rig.has(&arriving), "an upload was deleted that nobody has noticed yet");
    assert!(rig.site.media().join(&disk).is_file(), "the original of a photo was deleted");
    assert_eq!(admin.get(&format!("/api/photos/{shown}/original")).body, jpeg(1));
    // What nothing refers to goes by the same job.
    assert_eq!(admin.json("DELETE", &format!("/api/photos/{local}?forever=true"), "").status, 204);
    until("the unused one goes", || !rig.site.media().join(&disk).exists());
    let complete = admin.json("POST", &format!("/api/uploads/{waiting}/complete"), "");
    assert_eq!(complete.status, 200, "{}", complete.text());
    wait(&admin, &waiting, &["done"]);
}

/// A service whose uploads go through it into the bucket, and are shown by the CDN.
fn start(rig: &Rig) -> (App, Client) {
    let app = rig.start_with(false, true, &[("FILMTRIP_STORAGE", "upyun")]);
    let admin = app.login(ADMIN);
    (app, admin)
}

fn thumb(photo: &Value) -> String {
    photo["images"]["thumb"]["url"].as_str().expect("url").to_owned()
}

#[test]
fn a_failed_purge_is_tried_until_nobody_sees_the_deleted_photo_any_more() {
    let rig = Rig::new();
    let (app, admin) = start(&rig);
    let photo = admin.photo(&[], &jpeg(1));
    let (address, object) = (thumb(&photo), rig.original(&key(&photo)));
    assert_eq!(fetch(&address).status, 200);
    rig.faults(|f| f.purge.fail_status = Some(503));
    assert_eq!(admin.json("DELETE", &format!("/api/photos/{}?forever=true", key(&photo)), "").status, 204);
    until("the object goes", || !rig.has(&object));
    let noted = "SELECT count(*) FROM jobs WHERE kind = 'discard' AND error LIKE '%may go on showing%'";
    until("the failure is noted", || rig.site.sql().value::<u64>(noted, &[]).expect("jobs") == 1);
    assert_eq!(fetch(&address).status, 200, "the cache has forgotten it by itself, so this shows nothing");
    // It outlives the process, too.
    kill(app);
    let (_app, _admin) = start(&rig);
    rig.faults(|_| ());
    rig.hurry("discard");
    until("nobody sees it", || fetch(&address).status == 404);
    until("the queue is empty", || rig.left("discard") == 0);
}

#[test]
fn a_bulk_deletion_beyond_the_purge_limit_leaves_no_photo_in_the_caches() {
    const PHOTOS: u64 = 90;
    let rig = Rig::new();
    let (_app, admin) = start(&rig);
    let photos: Vec<Value> = (0..PHOTOS).map(|seed| admin.photo(&[], &jpeg(seed))).collect();
    let keys: Vec<String> = photos.iter().map(key).collect();
    let objects: Vec<String> = keys.iter().map(|key| rig.original(key)).collect();
    for photo in &photos {
        assert_eq!(fetch(&thumb(photo)).status, 200);
    }
    for action in ["trash", "delete"] {
        let body = json!({"keys": keys, "action": action}).to_string();
        let done = admin.json("POST", "/api/photos/bulk", &body);
        assert_eq!(done.status, 200, "{}", done.text());
    }
    let patience = std::time::Instant::now();
    while rig.left("discard") > 0 {
        assert!(patience.elapsed() < Duration::from_secs(240), "{} are left", rig.left("discard"));
        std::thread::sleep(Duration::from_millis(500));
    }
    assert!(objects.iter().all(|object| !rig.has(object)));
    for photo in &photos {
        assert_eq!(fetch(&thumb(photo)).status, 404, "a deleted photo is still shown");
    }
    let purges: Vec<u16> = rig
        .emulator
        .requests()
        .iter()
        .filter(|request| request.target.starts_with("/purge"))
        .map(|request| request.status)
        .collect();
    // More than that: what was being given another name on its way into the trash has a copy that goes, too.
    assert!(purges.len() >= photos.len(), "not each photo was purged: {purges:?}");
    assert!(purges.iter().all(|status| *status == 200), "the limit was run into: {purges:?}");
}
