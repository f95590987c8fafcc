//! `FILMTRIP_STORAGE=upyun`: photos come through the server and are kept in the bucket.

use std::io::Cursor;

use serde_json::{Value, json};
use tiff::encoder::{TiffEncoder, colortype};

use super::kills::{count, kill, nothing_stays_in_tmp};
use super::support::{ADMIN, App, Client, OTHER, files, key};
use super::upyun::{Rig, fetch, until};
use filmtrip::images::sample;

fn photo(seed: u64) -> Vec<u8> {
    sample::photo(1600, 1067, seed).expect("sample")
}

fn tiff() -> Vec<u8> {
    let pixels: Vec<u8> = (0..320 * 200).flat_map(|n: u32| [(n % 320) as u8, (n / 320) as u8, 90]).collect();
    let mut out = Cursor::new(Vec::new());
    let mut writer = TiffEncoder::new(&mut out).expect("starts");
    writer.write_image::<colortype::RGB8>(320, 200, &pixels).expect("written");
    out.into_inner()
}

/// Stores in the bucket, or in the media folder.
fn start(rig: &Rig, storage: &str, processing: bool) -> (App, Client) {
    let app = rig.start_with(false, processing, &[("FILMTRIP_STORAGE", storage)]);
    let admin = app.login(ADMIN);
    (app, admin)
}

fn url(photo: &Value, size: &str) -> String {
    photo["images"][size]["url"].as_str().expect("url").to_owned()
}

/// Reads a size, from the CDN or from the service.
fn look(client: &Client, address: &str) -> u16 {
    if address.starts_with('/') { client.get(address).status } else { fetch(address).status }
}

fn at_cdn(rig: &Rig, object: &str) -> String {
    format!("{}/{object}", rig.emulator.cdn_endpoint())
}

#[test]
fn photos_through_the_server_are_in_the_bucket_and_their_originals_are_nobodys() {
    let rig = Rig::new();
    let (app, admin) = start(&rig, "upyun", true);
    for (file, by_cdn, media_type) in [(photo(1), true, "image/jpeg"), (tiff(), false, "image/tiff")] {
        let shown = admin.photo(&[("title", "In the bucket")], &file);
        assert_eq!(shown["backend"], "upyun", "{shown}");
        let object = rig.original(&key(&shown));
        assert_eq!(rig.emulator.file("film", &object).as_deref(), Some(&file[..]), "{object}");
        for size in ["thumb", "preview", "large"] {
            let address = url(&shown, size);
            assert_eq!(!address.starts_with('/'), by_cdn, "{address}");
            assert_eq!(look(&app.client(), &address), 200, "{address}");
        }
        // Neither by its plain name, nor through a style that somebody guesses, does the CDN give out more than it must.
        assert_eq!(fetch(&at_cdn(&rig, &object)).status, 404, "the original is open to everybody");
        let original = admin.get(&format!("/api/photos/{}/original", key(&shown)));
        assert_eq!((original.status, original.header("content-type")), (200, Some(media_type)));
        assert_eq!(original.body, file);
        assert_eq!(app.client().get(&format!("/api/photos/{}/original", key(&shown))).status, 401);
    }
    let health = app.client().get("/api/health").body_json();
    assert_eq!(health["status"], "ok", "{health}");
}

#[test]
fn a_photo_that_becomes_private_or_is_deleted_leaves_its_address() {
    let rig = Rig::new();
    rig.site.account(OTHER, "user");
    let (app, admin) = start(&rig, "upyun", true);
    let shown = admin.photo(&[], &photo(2));
    let (path, known) = (format!("/api/photos/{}", key(&shown)), url(&shown, "large"));
    let before = rig.original(&key(&shown));
    assert_eq!(fetch(&known).status, 200);
    let hidden = admin.json("PATCH", &path, r#"{"visibility":"private"}"#).body_json();
    until("the old object goes", || !rig.has(&before));
    until("the CDN forgets it", || fetch(&known).status == 404);
    for (who, client, status) in
        [("visitor", app.client(), 404), ("other", app.login(OTHER), 404), ("owner", admin.clone(), 200)]
    {
        assert_eq!(client.get(&url(&hidden, "large")).status, status, "{who}");
        let original = client.get(&format!("{path}/original")).status;
        assert!(if status == 200 { original == 200 } else { original >= 400 }, "{who}: {original}");
    }
    assert_eq!(admin.get(&format!("{path}/original")).body, photo(2));
    // Public once more, at another address.
    let public = admin.json("PATCH", &path, r#"{"visibility":"public"}"#).body_json();
    let address = url(&public, "large");
    assert_ne!(address, known);
    assert_eq!(fetch(&address).status, 200);
    let object = rig.original(&key(&shown));
    assert_eq!(admin.json("DELETE", &format!("{path}?forever=true"), "").status, 204);
    until("the object goes", || !rig.has(&object));
    until("the CDN forgets it for good", || fetch(&address).status == 404);
    until("the queue is empty", || rig.left("discard") == 0);
    assert_eq!(admin.get(&path).status, 404);
}

#[test]
fn killed_between_the_object_and_the_row_nothing_is_lost_and_nothing_stays() {
    let rig = Rig::new();
    let (app, admin) = start(&rig, "upyun", false);
    let client = admin.clone();
    rig.faults(|f| f.api.delay_millis = 1500);
    let sent = std::thread::spawn(move || {
        // The connection breaks with the process: whatever comes back, it is no photo.
        let _broken = std::panic::catch_unwind(|| client.upload(&[], &[&photo(3)])).is_err();
    });
    let receiving = "SELECT count(*) FROM uploads WHERE state = 'receiving'";
    until("the upload is noted", || rig.site.sql().value::<u64>(receiving, &[]).expect("uploads") == 1);
    let mut lock = rig.site.sql();
    lock.begin_write().expect("lock");
    let name = "SELECT object_key FROM uploads WHERE state = 'receiving'";
    let object = format!("{}.jpg", lock.value::<String>(name, &[]).expect("name"));
    until("the object is in the bucket", || rig.has(&object));
    until("its sizes are there", || {
        files(&rig.site.media()).keys().filter(|n| n.to_string_lossy().contains("variants/")).count() == 6
    });
    kill(app);
    lock.rollback();
    sent.join().expect("client");
    rig.faults(|_| ());
    assert_eq!(rig.site.sql().execute("UPDATE uploads SET expires_at = 1", &[]).expect("an hour later"), 1);
    let (_app, admin) = start(&rig, "upyun", false);
    until("the object goes", || !rig.has(&object));
    until("the sizes go", || {
        !files(&rig.site.media()).keys().any(|n| n.to_string_lossy().contains("variants/"))
    });
    assert_eq!(count(&admin), 0);
    nothing_stays_in_tmp(&rig.site);
    // The client tries again.
    let again = admin.photo(&[], &photo(3));
    assert_eq!(admin.get(&format!("/api/photos/{}/original", key(&again))).body, photo(3));
    assert_eq!(count(&admin), 1);
}

#[test]
fn the_place_of_new_photos_is_changed_and_old_ones_go_on_showing() {
    let rig = Rig::new();
    let mut made: Vec<(Value, Vec<u8>)> = Vec::new();
    for (seed, storage, processing) in
        [(4, "upyun", true), (5, "local", true), (6, "upyun", false), (7, "local", false), (8, "upyun", true)]
    {
        let (app, admin) = start(&rig, storage, processing);
        let file = photo(seed);
        let shown = admin.photo(&[], &file);
        assert_eq!(shown["backend"], json!(storage));
        made.push((shown, file));
        for (photo, file) in &made {
            let path = format!("/api/photos/{}", key(photo));
            assert_eq!(
                app.client().get(&path).body_json()["images"],
                photo["images"],
                "its addresses changed"
            );
            for size in ["thumb", "preview", "large"] {
                assert_eq!(look(&app.client(), &url(photo, size)), 200, "{photo}");
            }
            assert!(admin.get(&format!("{path}/original")).body == *file, "another original: {photo}");
        }
        assert_eq!(admin.json("POST", "/api/admin/integrity", "").status, 202);
        until("the look is over", || admin.get("/api/admin/integrity").body_json()["running"] == false);
        assert_eq!(admin.get("/api/admin/integrity").body_json()["faults"], json!([]));
    }
    // Without the account, the photos in the bucket could not be shown: it does not start, and says what is missing.
    let refused = rig.site.run(&["serve"], &[]);
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(2) && text.contains("UPYUN_BUCKET"), "{text}");
}
