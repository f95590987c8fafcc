//! kill -9 at every state of an upload: after a restart nothing is lost, nothing is doubled, nothing is left behind.

use std::io::Write;
use std::time::{Duration, SystemTime};

use serde_json::json;

use super::support::{ADMIN, App, Client, MULTIPART, Site, files, jpeg, multipart};
use super::upyun::{Rig, until, wait};
use filmtrip::images::sample;

pub(crate) fn kill(mut app: App) {
    app.child.kill().expect("kill -9");
    app.child.wait().expect("reap");
}

/// Whatever a killed process had under its hands is gone once it is so old that nobody can be at work on it. The service
/// is running, and sweeps each second.
pub(crate) fn nothing_stays_in_tmp(site: &Site) {
    let tmp = site.media().join("tmp");
    let entries =
        || std::fs::read_dir(&tmp).expect("tmp").map(|e| e.expect("entry").path()).collect::<Vec<_>>();
    let long_ago = SystemTime::now() - Duration::from_secs(24 * 3600);
    let everything = entries().into_iter().chain(files(&tmp).into_keys());
    for path in everything {
        // A live process may have removed it meanwhile.
        if let Ok(file) = std::fs::File::open(&path) {
            file.set_modified(long_ago).expect("aged");
        }
    }
    until("temporary files go", || entries().is_empty());
}

pub(crate) fn count(client: &Client) -> usize {
    client.get("/api/photos?mine=true&limit=100").body_json()["photos"].as_array().expect("photos").len()
}

fn photo(seed: u64) -> Vec<u8> {
    sample::photo(900, 600, seed).expect("sample")
}

#[test]
fn killed_between_signing_and_the_notice() {
    let rig = Rig::new();
    let app = rig.start(true, true);
    let admin = app.login(ADMIN);
    let before = rig.sign(&admin, &photo(1), &json!({}));
    kill(app);
    // The browser goes on while the service is away; the notices find nobody, and come again.
    assert_eq!(before.post(&photo(1)).status, 200);
    let app = rig.start(true, true);
    let admin = app.login(ADMIN);
    wait(&admin, &before.key(), &["done"]);
    assert_eq!(count(&admin), 1);
}

#[test]
fn killed_at_every_moment_of_processing() {
    let rig = Rig::new();
    let mut uploads = Vec::new();
    // The store is slow, so the processing takes about two seconds: killed early, in its middle and late.
    for (seed, pause) in [(10, 0), (11, 250), (12, 600), (13, 1000), (14, 1500), (15, 2200)] {
        rig.faults(|_| ());
        let app = rig.start(true, true);
        let admin = app.login(ADMIN);
        let signed = rig.sign(&admin, &photo(seed), &json!({}));
        rig.faults(|f| {
            f.api.delay_millis = 250;
            f.cdn.delay_millis = 250;
        });
        assert_eq!(signed.post(&photo(seed)).status, 200);
        wait(&admin, &signed.key(), &["uploaded", "done"]);
        std::thread::sleep(Duration::from_millis(pause));
        uploads.push(signed.key());
        kill(app);
    }
    rig.faults(|_| ());
    let app = rig.start(true, true);
    let admin = app.login(ADMIN);
    for upload in &uploads {
        wait(&admin, upload, &["done"]);
    }
    assert_eq!(count(&admin), uploads.len());
    until("the queue is empty", || rig.left("ingest") == 0);
    nothing_stays_in_tmp(&rig.site);
}

#[test]
fn two_instances_share_one_queue_and_make_each_photo_once() {
    let rig = Rig::new();
    let first = rig.start(true, true);
    let second = rig.start_with(true, true, &[("PORT", "0")]);
    let (one, two) = (first.login(ADMIN), second.login(ADMIN));
    let uploads: Vec<String> = (20..26)
        .map(|seed| rig.put(if seed % 2 == 0 { &one } else { &two }, &photo(seed), &json!({})))
        .collect();
    // A session of one is a session of the other.
    let roaming = Client { address: two.address, ..one.clone() };
    for upload in &uploads {
        wait(&roaming, upload, &["done"]);
    }
    assert_eq!((count(&one), count(&two)), (6, 6));
    // The guesses of a password are counted together.
    for (n, client) in [&one, &two].into_iter().cycle().take(6).enumerate() {
        let wrong = client.json(
            "POST",
            "/api/auth/login",
            r#"{"email":"admin@example.com","password":"wrong wrong"}"#,
        );
        assert_eq!(wrong.status, if n < 5 { 401 } else { 429 }, "try {n}");
    }
    kill(first);
    let more = rig.put(&two, &photo(27), &json!({}));
    // The notice goes to the instance that is gone; the other one sweeps.
    wait(&two, &more, &["done"]);
}

#[test]
fn killed_while_a_file_comes_in_through_the_server() {
    let site = Site::new();
    let app = site.serve();
    let admin = app.login(ADMIN);
    let settled = files(&site.media());
    let body = multipart(&[], &[&photo(30)]);
    let headers = [("content-type", MULTIPART), ("x-csrf-token", admin.csrf.as_str())];
    let mut stream = admin.connect();
    stream.write_all(&admin.head("POST", "/api/photos", &headers, body.len())).expect("head");
    stream.write_all(&body[..body.len() / 2]).expect("half");
    until("half of it is on disk", || files(&site.media()) != settled);
    kill(app);
    let left = files(&site.media().join("tmp"));
    assert!(!left.is_empty(), "nothing was left, so this shows nothing");
    let app = site.start("serve", &[("FILMTRIP_SWEEP_SECONDS", "1")]);
    assert_eq!(count(&app.login(ADMIN)), 0, "half a photo");
    // It may be another instance's.
    assert_eq!(files(&site.media().join("tmp")), left, "a young file was taken away");
    nothing_stays_in_tmp(&site);
}

#[test]
fn killed_between_the_files_and_the_row() {
    let site = Site::new();
    let app = site.start("serve", &[("FILMTRIP_SWEEP_SECONDS", "1")]);
    let admin = app.login(ADMIN);
    let settled = files(&site.media());
    // The row cannot be written, so the moment after the files lasts; then the process is gone.
    let mut lock = site.sql();
    let client = admin.clone();
    let sent = std::thread::spawn(move || {
        // The connection breaks with the process: whatever comes back, it is no photo.
        let _broken = std::panic::catch_unwind(|| client.upload(&[], &[&photo(31)])).is_err();
    });
    until("the upload is noted", || {
        site.sql().value::<u64>("SELECT count(*) FROM uploads", &[]).expect("uploads") == 1
    });
    lock.begin_write().expect("lock");
    until("its files are there", || {
        let names = files(&site.media());
        names.keys().any(|name| name.to_string_lossy().contains("originals/"))
            && names.len() > settled.len() + 3
    });
    kill(app);
    lock.rollback();
    sent.join().expect("client");
    site.sql().batch("UPDATE uploads SET expires_at = 1").expect("an hour later");
    let app = site.start("serve", &[("FILMTRIP_SWEEP_SECONDS", "1")]);
    let admin = app.login(ADMIN);
    until("what was left is cleared", || {
        let clear = |name: &std::path::PathBuf| {
            let name = name.to_string_lossy();
            name.contains("originals/") || name.contains("variants/")
        };
        !files(&site.media()).keys().any(clear)
    });
    assert_eq!(count(&admin), 0);
    nothing_stays_in_tmp(&site);
    // The client tries again.
    admin.photo(&[], &photo(31));
    assert_eq!(count(&admin), 1);
}

#[test]
fn killed_while_a_photo_is_deleted() {
    let site = Site::new();
    let app = site.serve();
    let admin = app.login(ADMIN);
    let photo = admin.photo(&[], &jpeg(1));
    let path = format!("/api/photos/{}?forever=true", photo["key"].as_str().expect("key"));
    assert_eq!(admin.json("DELETE", &path, "").status, 204);
    // At once: the row is gone, its files perhaps not yet.
    kill(app);
    let app = site.start("serve", &[("FILMTRIP_SWEEP_SECONDS", "1")]);
    until("its files are gone", || {
        !files(&site.media())
            .keys()
            .any(|n| n.to_string_lossy().contains("originals/") || n.to_string_lossy().contains("variants/"))
    });
    assert_eq!(count(&app.login(ADMIN)), 0);
    nothing_stays_in_tmp(&site);
}
