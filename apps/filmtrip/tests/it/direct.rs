//! Uploads straight to the object store: the whole way, the flags, and what nobody but the owner may see.

use serde_json::{Value, json};

use super::support::{ADMIN, OTHER, OWNER, key};
use super::upyun::{BUCKET, Rig, fetch, until, wait};
use filmtrip::images::sample;

fn photo(seed: u64) -> Vec<u8> {
    sample::photo(1600, 1067, seed).expect("sample")
}

fn url(photo: &Value, size: &str) -> String {
    photo["images"][size]["url"].as_str().expect("url").to_owned()
}

#[test]
fn a_photo_goes_straight_to_the_bucket_and_shows_from_the_cdn_in_three_sizes() {
    let rig = Rig::new();
    let app = rig.start(true, true);
    let admin = app.login(ADMIN);
    let rules = admin.get("/api/uploads/rules").body_json();
    assert_eq!(rules["direct"], true);
    assert!(!rules["direct_types"].as_array().expect("types").contains(&json!("image/tiff")));
    let file = photo(1);
    let about = json!({"title": "Straight", "tags": ["Dusk"], "frame": 37});
    let upload = rig.put(&admin, &file, &about);
    let done = wait(&admin, &upload, &["done", "failed"]);
    assert_eq!(done["state"], "done", "{done}");
    let shown = &done["photo"];
    assert_eq!(
        (&shown["title"], &shown["frame"], &shown["tags"]),
        (&json!("Straight"), &json!(37), &json!(["dusk"]))
    );
    assert_eq!(
        (&shown["width"], &shown["height"], &shown["backend"]),
        (&json!(1600), &json!(1067), &json!("upyun"))
    );
    assert!(shown["thumbhash"].as_str().is_some_and(|hash| hash.len() > 10), "no placeholder: {shown}");
    for (size, side) in [("thumb", 600), ("preview", 1024), ("large", 1600)] {
        let address = url(shown, size);
        assert!(address.starts_with(&rig.emulator.cdn_endpoint()) && address.ends_with(size), "{address}");
        let reply = fetch(&address);
        assert_eq!(reply.status, 200, "{size}");
        let pixels = image::load_from_memory(&reply.body).expect("decodes");
        assert_eq!(pixels.width(), side, "{size}");
        assert_eq!(shown["images"][size]["width"], side, "{size}");
        let webp = fetch(shown["images"][size]["webp"].as_str().expect("webp"));
        assert!(webp.body.starts_with(b"RIFF"), "{size} is no WebP");
    }
    // The original is the bucket's, and nobody's who does not know its secret.
    let original = url(shown, "thumb").strip_suffix("!thumb").expect("style").to_owned();
    assert_eq!(fetch(&original).status, 404, "the original is open to everybody");
    assert_eq!(admin.get(&format!("/api/photos/{upload}/original")).body, file);
    let records = rig.settled(1);
    assert_eq!(records[0].answers, ["200"], "{records:?}");
    assert_eq!(admin.get("/api/photos?q=straight").body_json()["photos"][0]["key"], upload.as_str());
}

#[test]
fn the_same_file_is_one_photo_and_its_second_object_goes() {
    let rig = Rig::new();
    let app = rig.start(true, true);
    let admin = app.login(ADMIN);
    let file = photo(2);
    let first = rig.put(&admin, &file, &json!({}));
    wait(&admin, &first, &["done"]);
    let signed = rig.sign(&admin, &file, &json!({}));
    assert_eq!(signed.post(&file).status, 200);
    let again = wait(&admin, &signed.key(), &["done"]);
    assert_eq!((&again["photo"]["key"], &again["photo"]["duplicate"]), (&json!(first), &json!(true)));
    assert_eq!(admin.get("/api/photos").body_json()["photos"].as_array().expect("list").len(), 1);
    let (kept, second) = (object(&rig, &first), object(&rig, &signed.key()));
    assert!(rig.emulator.file(BUCKET, &second).is_some());
    rig.hurry("discard");
    until("the second object goes", || rig.emulator.file(BUCKET, &second).is_none());
    assert!(rig.emulator.file(BUCKET, &kept).is_some(), "the photo's own object was deleted");
    // Who wants it twice says so.
    let twice = rig.put(&admin, &file, &json!({"keep_duplicate": true}));
    assert_eq!(wait(&admin, &twice, &["done"])["photo"]["key"], twice.as_str());
}

/// Name of an upload's object.
fn object(rig: &Rig, upload: &str) -> String {
    let query = format!("SELECT object_key FROM uploads WHERE key = '{upload}'");
    rig.site.sql().value(&query, &[]).expect("upload")
}

#[test]
fn flags_are_about_new_photos_only() {
    let rig = Rig::new();
    let app = rig.start(true, true);
    let admin = app.login(ADMIN);
    let old = rig.put(&admin, &photo(3), &json!({"title": "Old"}));
    let old = wait(&admin, &old, &["done"])["photo"].clone();
    drop(app);

    // Uploads through the server again, and sizes made here.
    let app = rig.start(false, false);
    let admin = app.login(ADMIN);
    assert_eq!(admin.get("/api/uploads/rules").body_json()["direct"], false);
    let refused = admin.json("POST", "/api/uploads", r#"{"bytes":9,"media_type":"image/jpeg"}"#);
    assert_eq!((refused.status, refused.code().as_str()), (409, "direct_disabled"));
    let new = admin.photo(&[("title", "New")], &photo(4));
    assert_eq!((&new["backend"], url(&new, "thumb").starts_with("/media/")), (&json!("local"), true));
    for (shown, name) in [(&old, "Old"), (&new, "New")] {
        let now = admin.get(&format!("/api/photos/{}", key(shown))).body_json();
        assert_eq!((&now["title"], &now["images"]), (&json!(name), &shown["images"]));
    }
    assert_eq!(fetch(&url(&old, "large")).status, 200);
    drop(app);

    // Direct uploads, but no styles: the sizes are made here of what is in the bucket.
    let app = rig.start(true, false);
    let admin = app.login(ADMIN);
    let mixed = rig.put(&admin, &photo(5), &json!({}));
    let mixed = wait(&admin, &mixed, &["done"])["photo"].clone();
    assert_eq!((&mixed["backend"], url(&mixed, "thumb").starts_with("/media/")), (&json!("upyun"), true));
    let large = app.client().get(&url(&mixed, "large"));
    assert_eq!(image::load_from_memory(&large.body).expect("decodes").width(), 1600);
    drop(app);

    // Without the account, old photos could not be shown: it does not start, and says what is missing.
    let refused = rig.site.run(&["serve"], &[]);
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(2) && text.contains("UPYUN_BUCKET"), "{text}");
}

#[test]
fn a_photo_that_becomes_private_leaves_its_known_address() {
    let rig = Rig::new();
    rig.site.account(OTHER, "user");
    let app = rig.start(true, true);
    let admin = app.login(ADMIN);
    let upload = rig.put(&admin, &photo(6), &json!({}));
    let shown = wait(&admin, &upload, &["done"])["photo"].clone();
    let (known, before) = (url(&shown, "large"), object(&rig, &upload));
    assert_eq!(fetch(&known).status, 200);
    let path = format!("/api/photos/{upload}");
    let hidden = admin.json("PATCH", &path, r#"{"visibility":"private"}"#).body_json();
    assert!(url(&hidden, "large").starts_with("/media/"), "{hidden}");
    until("the old object goes", || rig.emulator.file(BUCKET, &before).is_none());
    until("the CDN forgets it", || fetch(&known).status == 404);
    for (who, client, status) in
        [("visitor", app.client(), 404), ("other", app.login(OTHER), 404), ("owner", admin.clone(), 200)]
    {
        assert_eq!(client.get(&url(&hidden, "large")).status, status, "{who}");
    }
    assert_eq!(admin.get(&format!("{path}/original")).body, photo(6));
    let public = admin.json("PATCH", &path, r#"{"visibility":"public"}"#).body_json();
    assert_ne!(url(&public, "large"), known);
    assert_eq!(fetch(&url(&public, "large")).status, 200);
}

#[test]
fn uploads_are_their_owners_alone() {
    let rig = Rig::new();
    for who in [OWNER, OTHER] {
        rig.site.account(who, "user");
    }
    let app = rig.start(true, true);
    let (owner, other) = (app.login(OWNER), app.login(OTHER));
    let roll = owner.json("POST", "/api/rolls", r#"{"title":"Mine"}"#).body_json();
    let file = photo(7);
    let signed = rig.sign(&owner, &file, &json!({"visibility": "private"}));
    let path = format!("/api/uploads/{}", signed.key());
    assert_eq!(other.get(&path).status, 404);
    assert_eq!(other.json("POST", &format!("{path}/complete"), "").status, 404);
    assert_eq!(other.json("DELETE", &path, "").status, 404);
    assert_eq!(app.client().get(&path).status, 401);
    assert_eq!(other.get("/api/uploads").body_json()["uploads"], json!([]));
    assert_eq!(signed.post(&file).status, 200);
    assert_eq!(wait(&owner, &signed.key(), &["done"])["photo"]["visibility"], "private");
    assert_eq!(other.get(&format!("/api/photos/{}", signed.key())).status, 404);
    // Somebody else's roll is not theirs to fill.
    for (about, code) in [
        (json!({"roll": key(&roll)}), "no_roll"),
        (json!({"album": "abcdefghijklmnopqrstuvwxyz"}), "no_album"),
    ] {
        let body = json!({"bytes": 9, "media_type": "image/jpeg", "about": about});
        let refused = other.json("POST", "/api/uploads", &body.to_string());
        assert_eq!((refused.status, refused.code().as_str()), (422, code));
    }
}

#[test]
fn what_is_signed_is_one_file_of_that_size_and_kind() {
    let rig = Rig::new();
    let app = rig.start_with(true, true, &[("FILMTRIP_MAX_UPLOAD_MB", "1")]);
    let admin = app.login(ADMIN);
    for (body, status, code) in [
        (json!({"bytes": 0, "media_type": "image/jpeg"}), 422, "bad_image"),
        (json!({"bytes": 2_000_000, "media_type": "image/jpeg"}), 413, "too_large"),
        (json!({"bytes": 10, "media_type": "image/svg+xml"}), 415, "unsupported_type"),
        (json!({"bytes": 10, "media_type": "image/tiff"}), 415, "unsupported_type"),
        (
            json!({"bytes": 10, "media_type": "image/jpeg", "about": {"title": "x".repeat(200)}}),
            400,
            "bad_request",
        ),
    ] {
        let reply = admin.json("POST", "/api/uploads", &body.to_string());
        assert_eq!((reply.status, reply.code().as_str()), (status, code), "{body}");
    }
    let file = sample::photo(300, 200, 9).expect("sample");
    let signed = rig.sign(&admin, &file, &json!({}));
    let mut larger = file.clone();
    larger.push(0);
    assert_eq!(signed.post(&larger).status, 403, "another size was taken");
    assert_eq!(signed.post(&vec![7; file.len()]).status, 403, "no image was taken");
    let path = format!("/api/uploads/{}", signed.key());
    let early = admin.json("POST", &format!("{path}/complete"), "");
    assert_eq!((early.status, early.code().as_str()), (409, "not_there"));
    assert_eq!(admin.json("DELETE", &path, "").status, 204);
    let given_up = admin.get(&path).body_json();
    assert_eq!((&given_up["state"], &given_up["code"]), (&json!("failed"), &json!("given_up")));
    // What was given up does not come back, whoever says so.
    assert_eq!(signed.post(&file).status, 200);
    rig.settled(1);
    assert_eq!(admin.json("POST", &format!("{path}/complete"), "").body_json()["state"], "failed");
    assert_eq!(admin.get("/api/photos?mine=true").body_json()["photos"], json!([]));
    assert!(
        app.client().json("POST", "/api/uploads", r#"{"bytes":9,"media_type":"image/jpeg"}"#).status == 401
    );
}
