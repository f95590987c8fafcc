//! What the admins are told of the storage agrees with what is on the disk.

use std::collections::BTreeMap;
use std::path::Path;

use filmtrip::images::sample;
use serde_json::{Value, json};

use super::support::{ADMIN, Client, OWNER, Site, files, jpeg, key};
use super::upyun::{Rig, until, wait};

fn figures(admin: &Client) -> Value {
    admin.get("/api/admin/storage").body_json()
}

fn place<'a>(report: &'a Value, backend: &str) -> &'a Value {
    let places = report["places"].as_array().expect("places");
    places
        .iter()
        .find(|place| place["backend"] == backend)
        .unwrap_or_else(|| panic!("no {backend}: {report}"))
}

fn sizes(place: &Value) -> BTreeMap<String, (u64, u64)> {
    let size = |size: &Value| {
        let name =
            format!("{}.{}", size["size"].as_str().expect("size"), size["kind"].as_str().expect("kind"));
        (name, (size["files"].as_u64().expect("files"), size["bytes"].as_u64().expect("bytes")))
    };
    place["sizes"].as_array().map(|sizes| sizes.iter().map(size).collect()).unwrap_or_default()
}

/// Files and bytes below a folder whose names end so.
fn on_disk(folder: &Path, ending: &str) -> (u64, u64) {
    let all = files(folder);
    let found: Vec<u64> = all
        .iter()
        .filter(|(path, _)| path.to_string_lossy().ends_with(ending))
        .map(|(_, bytes)| *bytes)
        .collect();
    (found.len() as u64, found.iter().sum())
}

#[test]
fn the_figures_are_those_of_the_files_on_the_disk() {
    let site = Site::new();
    site.account(OWNER, "user");
    let app = site.serve();
    let (admin, owner) = (app.login(ADMIN), app.login(OWNER));
    let media = site.media();
    let photos: Vec<String> =
        (1..4).map(|seed| key(&owner.photo(&[], &sample::photo(900, 600, seed).expect("sample")))).collect();
    admin.photo(&[("visibility", "private")], &jpeg(9));
    assert_eq!(owner.json("DELETE", &format!("/api/photos/{}", photos[0]), "").status, 204);

    let report = figures(&admin);
    let local = place(&report, "local");
    assert_eq!(
        (&report["measured"], &report["unmeasured"], &report["styled"]),
        (&json!(true), &json!(0), &json!(0))
    );
    assert_eq!((&local["photos"], &local["trashed"]), (&json!(4), &json!(1)));
    assert_eq!(local["originals"], on_disk(&media.join("originals"), "").1);
    let told = sizes(local);
    assert_eq!(told.len(), 6);
    for (name, ending) in [
        ("thumb.jpeg", "/thumb.jpg"),
        ("thumb.webp", "/thumb.webp"),
        ("preview.jpeg", "/preview.jpg"),
        ("preview.webp", "/preview.webp"),
        ("large.jpeg", "/large.jpg"),
        ("large.webp", "/large.webp"),
    ] {
        assert_eq!(told[name], on_disk(&media.join("variants"), ending), "{name}");
        assert_eq!(told[name].0, 4, "{name}");
    }
    // Altogether what is there, but for the marker of the folder, which is empty.
    let sum =
        local["originals"].as_u64().expect("originals") + told.values().map(|(_, bytes)| bytes).sum::<u64>();
    assert_eq!(sum, on_disk(&media, "").1);
    // The one in the trash, by the names of its own files.
    let row = filmtrip::db::photos::by_key(&mut site.sql(), &photos[0]).expect("query").expect("photo");
    let variants = media.join(filmtrip::storage::names::variant(&photos[0], ""));
    let trash =
        std::fs::metadata(media.join(&row.object)).expect("original").len() + on_disk(&variants, "").1;
    assert_eq!(local["trash"], trash);
    assert_eq!((&local["uploads"], &local["abandoned"]), (&json!(0), &json!(0)));
    // By person, in the order of their emails.
    let people = report["people"].as_array().expect("people");
    assert_eq!((&people[0]["email"], &people[1]["email"]), (&json!(ADMIN), &json!(OWNER)));
    assert_eq!(
        (&people[1]["photos"], &people[1]["trash"], &people[0]["trash"]),
        (&json!(3), &json!(trash), &json!(0))
    );
    let of = |name: &str| people.iter().map(|one| one[name].as_u64().expect("bytes")).sum::<u64>();
    assert_eq!(of("originals") + of("sizes"), sum);

    // What is gone for ever is in no figure, and soon on no disk.
    assert_eq!(owner.json("DELETE", &format!("/api/photos/{}?forever=true", photos[0]), "").status, 204);
    until("its files go", || !variants.exists());
    let report = figures(&admin);
    let local = place(&report, "local");
    assert_eq!((&local["photos"], &local["trash"]), (&json!(3), &json!(0)));
    let sum =
        local["originals"].as_u64().expect("originals") + sizes(local).values().map(|(_, b)| b).sum::<u64>();
    assert_eq!(sum, on_disk(&media, "").1);
}

#[test]
fn the_room_of_the_volume_is_told_and_warned_of_by_the_rule_and_health_stays_good() {
    let site = Site::new();
    let app = site.serve();
    let admin = app.login(ADMIN);
    let told = figures(&admin)["volume"].clone();
    let volume = rustix::fs::statvfs(site.media()).expect("volume");
    assert_eq!(told["total"], volume.f_blocks * volume.f_frsize, "{told}");
    let (total, free) = (told["total"].as_u64().expect("total"), told["free"].as_u64().expect("free"));
    assert!(free > 0 && free <= total, "{told}");
    let low = free * 5 <= total || free < 5_000_000_000;
    assert_eq!(told["low"], low, "{told}");
    assert_eq!(admin.get("/api/overview").body_json()["volume"]["total"], total);
    for path in ["/admin/site", "/admin/site/storage"] {
        let page = admin.get(path).text();
        assert_eq!(page.contains("keep more than 20 % and at least 5 GB free"), low, "{path}");
        assert!(page.contains("are free on the volume of the media folder"), "{path}");
    }
    assert_eq!(app.client().get("/api/health").status, 200);
}

#[test]
fn photos_of_before_are_measured_by_a_worker() {
    let site = Site::empty();
    site.ok(&["migrate", "--to", "7"]);
    site.account(ADMIN, "admin");
    let app = site.start("serve", &[("FILMTRIP_SWEEP_SECONDS", "1")]);
    let admin = app.login(ADMIN);
    for seed in 1..3 {
        admin.photo(&[], &jpeg(seed));
    }
    // The originals are known all the same, and the page says what is missing.
    let report = figures(&admin);
    assert_eq!(report["measured"], false);
    assert_eq!(place(&report, "local")["originals"], on_disk(&site.media().join("originals"), "").1);
    assert!(admin.get("/admin/site/storage").text().contains("known from schema 8 on"));
    site.ok(&["migrate"]);
    until("they are measured", || figures(&admin)["unmeasured"] == 0 && figures(&admin)["measured"] == true);
    let told = sizes(place(&figures(&admin), "local"));
    assert_eq!(told["large.webp"], on_disk(&site.media().join("variants"), "/large.webp"));
    let all: u64 = told.values().map(|(_, bytes)| bytes).sum();
    assert_eq!(all, on_disk(&site.media().join("variants"), "").1);
    // One whose row an older release has written, too.
    site.sql().batch("UPDATE photos SET thumb_jpg_bytes = NULL, large_webp_bytes = NULL").expect("forgotten");
    assert_eq!(figures(&admin)["unmeasured"], 2);
    assert!(admin.get("/admin/site/storage").text().contains("2 photos: their sizes are not measured yet"));
    until("they are measured again", || figures(&admin)["unmeasured"] == 0);
    assert_eq!(sizes(place(&figures(&admin), "local"))["large.webp"], told["large.webp"]);
}

#[test]
fn what_a_browser_puts_into_the_bucket_counts_as_an_original_only() {
    let rig = Rig::new();
    let app = rig.start(true, true);
    let admin = app.login(ADMIN);
    let file = sample::photo(900, 600, 1).expect("sample");
    let shown = rig.put(&admin, &file, &json!({}));
    wait(&admin, &shown, &["done"]);
    // Announced, and never sent.
    let signed = rig.sign(&admin, &sample::photo(300, 200, 2).expect("sample"), &json!({}));
    let announced = sample::photo(300, 200, 2).expect("sample").len();
    let report = figures(&admin);
    let bucket = place(&report, "upyun");
    assert_eq!((&bucket["originals"], &bucket["photos"]), (&json!(file.len()), &json!(1)));
    assert!(sizes(bucket).is_empty(), "the CDN's sizes are counted: {bucket}");
    assert_eq!((&report["styled"], &report["unmeasured"]), (&json!(1), &json!(0)));
    assert_eq!((&bucket["uploads"], &bucket["abandoned"]), (&json!(announced), &json!(0)));
    assert_eq!(report["people"][0]["uploads"], announced);
    let page = admin.get("/admin/site/storage").text();
    assert!(page.contains("1 photo: the CDN makes their sizes"), "{page}");
    // Its form has run out: it is no upload on its way any more.
    let late = format!(
        "UPDATE uploads SET expires_at = 1, updated_at = {} WHERE key = '{}'",
        i64::MAX,
        signed.key()
    );
    assert_eq!(rig.site.sql().execute(&late, &[]).expect("late"), 1);
    let report = figures(&admin);
    let bucket = place(&report, "upyun");
    assert_eq!((&bucket["uploads"], &bucket["abandoned"]), (&json!(0), &json!(announced)));
    // Cleared at last, it is in no figure.
    rig.site.sql().batch("UPDATE uploads SET updated_at = 1").expect("looked for");
    until("it is taken for lost", || {
        admin.get(&format!("/api/uploads/{}", signed.key())).body_json()["state"] == "expired"
    });
    until("it waits to be cleared", || place(&figures(&admin), "upyun")["abandoned"] == json!(announced));
    rig.hurry("discard");
    until("it is cleared", || place(&figures(&admin), "upyun")["abandoned"] == 0);
}

#[test]
fn people_have_pages() {
    let site = Site::new();
    let app = site.serve();
    let admin = app.login(ADMIN);
    for n in 0..150 {
        let add =
            format!("INSERT INTO users (email, role, created_at) VALUES ('p{n:03}@example.com', 'user', 1)");
        site.sql().execute(&add, &[]).expect("user");
    }
    let first = figures(&admin);
    let next = first["next"].as_str().expect("next").to_owned();
    let second = admin.get(&format!("/api/admin/storage?after={next}")).body_json();
    let emails = |report: &Value| -> Vec<String> {
        let people = report["people"].as_array().expect("people");
        people.iter().map(|one| one["email"].as_str().expect("email").to_owned()).collect()
    };
    let mut all = [emails(&first), emails(&second)].concat();
    assert_eq!((emails(&first).len(), all.len(), second["next"].as_str()), (100, 151, None));
    let sorted = all.clone();
    all.sort();
    all.dedup();
    assert_eq!(all, sorted);
    let page = admin.get("/admin/site/storage").text();
    assert!(page.contains(&format!("/admin/site/storage?after={}", next.replace('@', "%40"))), "{page}");
}
