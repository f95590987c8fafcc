//! What files were called: searched, given back, and the order of a roll.

use super::support::{ADMIN, Client, MULTIPART, OWNER, Site, jpeg, key, named};

fn send(client: &Client, fields: &[(&str, &str)], files: &[(&str, &[u8])]) -> Vec<String> {
    let headers = [("content-type", MULTIPART), ("x-csrf-token", client.csrf.as_str())];
    let reply = client.send("POST", "/api/photos", &headers, &named(fields, files));
    assert_eq!(reply.status, 201, "{}", reply.text());
    reply.body_json()["photos"].as_array().expect("photos").iter().map(key).collect()
}

#[test]
fn a_scan_is_found_and_given_back_under_its_name() {
    let site = Site::new();
    site.account(OWNER, "user");
    let app = site.serve();
    let (owner, visitor) = (app.login(OWNER), app.client());
    let scan = jpeg(1);
    let photo = send(&owner, &[], &[("R012_07 京都.jpg", &scan)]).remove(0);
    let found = |client: &Client, q: &str| {
        client.get(&format!("/api/photos?{q}")).body_json()["photos"].as_array().map(Vec::len)
    };
    assert_eq!(found(&owner, "mine=true&q=r012"), Some(1));
    assert!(owner.get("/admin?q=R012").text().contains("R012_07 京都.jpg"));
    // It is the photographer's own name for it.
    assert_eq!((found(&visitor, "q=r012"), found(&owner, "q=r012")), (Some(0), Some(0)));
    for page in [format!("/p/{photo}"), format!("/api/photos/{photo}"), "/".to_owned()] {
        assert!(!visitor.get(&page).text().contains("R012"), "{page}");
    }
    let original = owner.get(&format!("/api/photos/{photo}/original"));
    assert_eq!(original.body, scan);
    assert_eq!(
        original.header("content-disposition"),
        Some("attachment; filename=\"R012_07 __.jpg\"; filename*=UTF-8''R012_07%20%E4%BA%AC%E9%83%BD.jpg")
    );
}

#[test]
fn frames_are_numbered_by_the_names_of_the_files() {
    let site = Site::new();
    let app = site.serve();
    let admin = app.login(ADMIN);
    let (a, b, c) = (jpeg(1), jpeg(2), jpeg(3));
    let keys = send(&admin, &[], &[("s10.jpg", &a), ("s9.jpg", &b), ("s11.jpg", &c)]);
    let body = serde_json::json!({
        "keys": keys, "action": "change", "frames_from": 36, "frames_order": "names",
    });
    assert_eq!(admin.json("POST", "/api/photos/bulk", &body.to_string()).status, 200);
    let frame = |key: &String| admin.get(&format!("/api/photos/{key}")).body_json()["frame"].as_u64();
    assert_eq!(keys.iter().map(frame).collect::<Vec<_>>(), [Some(37), Some(36), Some(38)]);
}

/// Names, contents and checksums of a ZIP file, by its list at the end.
fn unzipped(file: &[u8]) -> Vec<(String, Vec<u8>, u32)> {
    let number = |at: usize, size: usize| {
        file[at..at + size].iter().rev().fold(0_usize, |sum, byte| sum << 8 | usize::from(*byte))
    };
    let end = file.len() - 22;
    assert_eq!(number(end, 4), 0x0605_4B50, "no end of a ZIP file");
    let mut at = number(end + 16, 4);
    let mut found = Vec::new();
    for _ in 0..number(end + 10, 2) {
        assert_eq!(number(at, 4), 0x0201_4B50);
        let (crc, bytes, name) = (number(at + 16, 4), number(at + 20, 4), number(at + 28, 2));
        let local = number(at + 42, 4);
        let start = local + 30 + number(local + 26, 2) + number(local + 28, 2);
        let called = String::from_utf8(file[at + 46..at + 46 + name].to_vec()).expect("a name");
        let crc = u32::try_from(crc).expect("32 bits");
        found.push((called, file[start..start + bytes].to_vec(), crc));
        at += 46 + name + number(at + 30, 2);
    }
    assert_eq!(at, end);
    found
}

#[test]
fn a_whole_roll_is_given_back_in_one_file() {
    let site = Site::new();
    site.account(OWNER, "user");
    let app = site.serve();
    let (owner, admin) = (app.login(OWNER), app.login(ADMIN));
    let roll = key(&owner.json("POST", "/api/rolls", r#"{"title":"Kyoto / May"}"#).body_json());
    let files: Vec<Vec<u8>> = (1..=4).map(jpeg).collect();
    let fields = [("roll", roll.as_str()), ("visibility", "private")];
    // The same name twice, by another camera or another day; the order is that of the film.
    send(
        &owner,
        &[fields[0], fields[1], ("frame", "2")],
        &[("DSC_1.jpg", &files[1]), ("dsc_1.JPG", &files[2])],
    );
    send(&owner, &[fields[0], fields[1], ("frame", "1")], &[("../first.jpg", &files[0])]);
    let trashed = send(&owner, &[fields[0], ("frame", "9")], &[("bad.jpg", &files[3])]).remove(0);
    assert_eq!(owner.json("DELETE", &format!("/api/photos/{trashed}"), "").status, 204);
    for client in [&owner, &admin] {
        let reply = client.get(&format!("/api/rolls/{roll}/originals"));
        assert_eq!((reply.status, reply.header("content-type")), (200, Some("application/zip")));
        assert_eq!(
            reply.header("content-disposition"),
            Some("attachment; filename=\"Kyoto - May.zip\"; filename*=UTF-8''Kyoto%20-%20May.zip")
        );
        let found = unzipped(&reply.body);
        let names: Vec<&str> = found.iter().map(|(name, ..)| name.as_str()).collect();
        assert_eq!(names, ["first.jpg", "DSC_1.jpg", "dsc_1 (2).JPG"]);
        for ((_, content, crc), file) in found.iter().zip(&files) {
            assert_eq!((content, *crc), (file, crc32fast::hash(file)));
        }
    }
    assert!(
        owner.get(&format!("/admin/rolls/{roll}")).text().contains(&format!("/api/rolls/{roll}/originals"))
    );
}
