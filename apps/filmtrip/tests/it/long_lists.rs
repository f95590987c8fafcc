//! Lists that are longer than a page: nothing is cut in silence, and everything can be reached.

use std::collections::BTreeSet;

use filmtrip::db::sql::{Sql, Value as Db};
use serde_json::Value;

use super::support::{ADMIN, Client, OWNER, Site, jpeg, key};

/// Rows of one table, many at once.
fn insert(sql: &mut Sql, into: &str, rows: &[Vec<Db>]) {
    for part in rows.chunks(400) {
        let width = part[0].len();
        let row = |n: usize| {
            let places: Vec<String> = (1..=width).map(|c| format!("?{}", n * width + c)).collect();
            format!("({})", places.join(", "))
        };
        let places: Vec<String> = (0..part.len()).map(row).collect();
        let query = format!("INSERT INTO {into} VALUES {}", places.join(", "));
        sql.execute(&query, &part.concat()).expect("rows");
    }
}

/// Public photos of the first account, with a place; their keys.
fn photos(sql: &mut Sql, count: usize) -> Vec<String> {
    let columns =
        "photos (key, owner_id, original_key, format, bytes, sha256, width, height, sizes, title, visibility,
                           backend, created_at, lat, lon, location_shown)";
    let sizes = r#"{"thumb":[3,2],"preview":[3,2],"large":[3,2]}"#;
    let keys: Vec<String> = (0..count).map(|n| format!("{n:026}")).collect();
    let row = |(n, key): (usize, &String)| {
        let lat = (n % 120) as f64 - 60.5;
        vec![
            key.into(),
            1_i64.into(),
            key.into(),
            "jpg".into(),
            1_i64.into(),
            vec![0_u8].into(),
            3_i64.into(),
            2_i64.into(),
            sizes.into(),
            "".into(),
            "public".into(),
            "local".into(),
            7_i64.into(),
            lat.into(),
            10.5.into(),
            1_i64.into(),
        ]
    };
    let rows: Vec<Vec<Db>> = keys.iter().enumerate().map(row).collect();
    insert(sql, columns, &rows);
    keys
}

/// Walks a list of pages by their links; what `name` found on each of them, each once.
fn walk(client: &Client, first: &str, name: impl Fn(&str) -> Vec<String>) -> (usize, BTreeSet<String>) {
    let (mut path, mut pages, mut seen) = (first.to_owned(), 0, BTreeSet::new());
    loop {
        let page = client.get(&path);
        assert_eq!(page.status, 200, "{path}");
        let text = page.text();
        for found in name(&text) {
            assert!(seen.insert(found.clone()), "{found} is on two pages");
        }
        pages += 1;
        let Some(next) = text.split("rel=\"next\" href=\"").nth(1) else { return (pages, seen) };
        path = next.split('"').next().expect("address").replace("&amp;", "&");
        assert!(pages < 100, "the pages have no end");
    }
}

/// The keys in links that begin like this.
fn links(text: &str, base: &str) -> Vec<String> {
    let start = format!("href=\"{base}");
    let found = text.split(&start).skip(1).map(|rest| rest.split('"').next().expect("link").to_owned());
    let mut found: Vec<String> = found.filter(|link| link.len() == 26).collect();
    found.dedup();
    found
}

#[test]
fn albums_have_pages_for_visitors_and_in_the_studio() {
    let site = Site::new();
    site.account(OWNER, "user");
    let app = site.serve();
    let mut sql = site.sql();
    let row = |n: usize, owner: i64, visibility: &str| -> Vec<Db> {
        let key = format!("{owner}{visibility:0>9}{n:016}");
        vec![key.into(), owner.into(), format!("Album {n}").into(), visibility.into(), 1_i64.into()]
    };
    let public: Vec<Vec<Db>> = (0..110).map(|n| row(n, 1, "public")).collect();
    let private: Vec<Vec<Db>> = (0..60).map(|n| row(n, 2, "private")).collect();
    insert(&mut sql, "albums (key, owner_id, title, visibility, created_at)", &public);
    insert(&mut sql, "albums (key, owner_id, title, visibility, created_at)", &private);
    let (pages, seen) = walk(&app.client(), "/albums", |text| links(text, "/a/"));
    assert_eq!((pages, seen.len()), (3, 110));
    let owner = app.login(OWNER);
    let (pages, seen) = walk(&owner, "/admin/albums", |text| links(text, "/admin/albums/"));
    assert_eq!((pages, seen.len()), (2, 60), "another one's albums are counted, or one is missing");
    // The last album of a page goes: the page after it says so, and leads back.
    let first = app.client().get("/api/albums?limit=48").body_json();
    let last = first["next"].as_str().expect("next").to_owned();
    sql.execute("DELETE FROM albums WHERE key = ?1", &[Db::from(last.as_str())]).expect("deleted");
    let gone = app.client().get(&format!("/albums?before={last}")).text();
    assert!(
        gone.contains("Nothing is left after this place") && gone.contains("<a href=\"/albums\">"),
        "{gone}"
    );
    assert!(!gone.contains("No albums yet"), "{gone}");
}

#[test]
fn rolls_have_pages_in_order_of_their_days_and_menus_have_them_all() {
    let site = Site::new();
    let app = site.serve();
    let admin = app.login(ADMIN);
    let mut sql = site.sql();
    // Half of them are sorted by the day they were loaded on, half by that of their row; many share a day.
    let day_ms = 86_400_000_i64;
    let row = |n: usize| -> Vec<Db> {
        let loaded = n.is_multiple_of(2).then(|| format!("2026-01-{:02}", n % 28 + 1));
        let made = 1_767_225_600_000 + i64::try_from(n % 28).expect("small") * day_ms + 5;
        vec![format!("{n:026}").into(), 1_i64.into(), format!("Roll {n}").into(), loaded.into(), made.into()]
    };
    let rows: Vec<Vec<Db>> = (0..1100).map(row).collect();
    insert(&mut sql, "rolls (key, owner_id, title, loaded_on, created_at)", &rows);
    let (pages, seen) = walk(&admin, "/admin/rolls", |text| links(text, "/admin/rolls/"));
    assert_eq!((pages, seen.len()), (23, 1100));
    let (mut before, mut days) = (String::new(), Vec::new());
    loop {
        let list = admin.get(&format!("/api/rolls?limit=100{before}")).body_json();
        for roll in list["rolls"].as_array().expect("rolls") {
            let n: usize = roll["key"].as_str().and_then(|key| key.parse().ok()).expect("number");
            days.push((n % 28, n));
        }
        let Some(next) = list["next"].as_str() else { break };
        before = format!("&before={next}");
    }
    assert_eq!(days.len(), 1100);
    assert!(days.windows(2).all(|pair| pair[0] > pair[1]), "not by day: {days:?}");
    // A photo on the oldest roll keeps it when its form is sent as it is.
    let oldest = format!("{:026}", days.last().expect("rolls").1);
    let photo = key(&admin.photo(&[("roll", &oldest)], &jpeg(1)));
    let form = admin.get(&format!("/admin/photos/{photo}")).text();
    assert!(form.contains(&format!("<option value=\"{oldest}\" selected>")), "its roll is not in the menu");
    assert_eq!(links(&admin.get("/rolls").text(), "/r/"), std::slice::from_ref(&oldest));
}

#[test]
fn the_queue_has_pages_and_all_that_was_given_up_is_tried_again() {
    let site = Site::new();
    site.account(OWNER, "user");
    let app = site.serve();
    let admin = app.login(ADMIN);
    let mut sql = site.sql();
    // Far in the future, so that no worker takes one while it is counted.
    let row = |n: usize| -> Vec<Db> {
        let failed = n.is_multiple_of(2).then_some(1_i64);
        let due = 4_000_000_000_000 + i64::try_from(n / 4).expect("small");
        vec![
            "newer".into(),
            format!("{n:026}").into(),
            due.into(),
            24_i64.into(),
            failed.into(),
            1_i64.into(),
        ]
    };
    let rows: Vec<Vec<Db>> = (0..230).map(row).collect();
    insert(&mut sql, "jobs (kind, subject, run_at, attempts, failed_at, created_at)", &rows);
    let subjects = |text: &str| {
        let found = text.split("<code>").skip(1).map(|rest| rest.split('<').next().expect("code").to_owned());
        found.filter(|code| code.len() == 26).collect::<Vec<_>>()
    };
    let (pages, seen) = walk(&admin, "/admin/site", subjects);
    assert_eq!((pages, seen.len()), (3, 230));
    let first = admin.get("/api/admin/jobs?limit=115").body_json();
    assert!(first["jobs"].as_array().expect("jobs").iter().all(|job| job["state"] == "failed"), "{first}");
    assert_eq!(admin.get("/api/admin/jobs?before=1.x.2").status, 400);
    // For admins, with the token of the page.
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    assert_eq!(admin.send("POST", "/admin/site/jobs/retry", &headers, b"csrf_token=no").status, 403);
    assert_eq!(app.login(OWNER).form("/admin/site/jobs/retry", "").status, 403);
    assert_eq!(admin.get("/api/overview").body_json()["failed_jobs"], 115);
    let chinese = admin.send("GET", "/admin/site", &[("accept-language", "zh-CN")], b"").text();
    assert!(chinese.contains("重试全部失败任务 (115)"), "{chinese}");
    let done = admin.form("/admin/site/jobs/retry", "");
    assert_eq!(done.header("location"), Some("/admin/site?notice=retried_all"), "{}", done.text());
    assert_eq!(admin.get("/api/overview").body_json()["failed_jobs"], 0);
    assert!(
        !admin.get("/admin/site?notice=retried_all").text().contains("action=\"/admin/site/jobs/retry\"")
    );
}

#[test]
fn faults_have_pages_and_their_number() {
    let site = Site::new();
    let app = site.serve();
    let admin = app.login(ADMIN);
    let mut sql = site.sql();
    photos(&mut sql, 230);
    sql.execute("INSERT INTO integrity_faults SELECT id, 'original_missing' FROM photos", &[])
        .expect("faults");
    sql.execute("INSERT INTO notes (name, value) VALUES ('integrity', '1767225600000 230')", &[])
        .expect("note");
    let (pages, seen) = walk(&admin, "/admin/site", |text| links(text, "/admin/photos/"));
    assert_eq!((pages, seen.len()), (3, 230));
    assert!(admin.get("/admin/site").text().contains("Photos with faults: 230"));
}

#[test]
fn a_map_says_how_many_photos_it_has_not_and_leads_to_them() {
    let site = Site::new();
    let app = site.serve();
    let keys = photos(&mut site.sql(), 2005);
    let visitor = app.client();
    let first = visitor.get("/api/map").body_json();
    assert_eq!((first["points"].as_array().map(Vec::len), &first["more"]), (Some(2000), &Value::from(5)));
    let page = visitor.get("/map").text();
    assert!(page.contains("the newest 2000 photos. 5 older ones"), "the map does not say what it leaves out");
    let chinese = visitor.send("GET", "/map", &[("accept-language", "zh-CN")], b"").text();
    assert!(chinese.contains("另有 5 张更早的"));
    // The oldest one is on the next map, which has no further one.
    let next =
        page.split("rel=\"next\" href=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("link");
    let next = visitor.get(next).text();
    assert!(next.contains(&format!("/p/{}", keys[0])) && !next.contains("rel=\"next\""), "{next}");
    assert!(!next.contains("older ones"));
}

#[test]
fn tags_and_gear_say_how_many_are_not_listed() {
    let site = Site::new();
    let app = site.serve();
    let mut sql = site.sql();
    photos(&mut sql, 203);
    sql.execute("INSERT INTO photo_tags SELECT id, 'tag ' || id FROM photos", &[]).expect("tags");
    sql.execute("UPDATE photos SET camera = 'Camera ' || id, lens = 'Lens'", &[]).expect("cameras");
    let visitor = app.client();
    let tags = visitor.get("/api/tags").body_json();
    assert_eq!((tags["tags"].as_array().map(Vec::len), &tags["more"]), (Some(200), &Value::from(3)));
    assert!(visitor.get("/search").text().contains("3 more are not listed here."));
    let gear = visitor.get("/api/gear").body_json();
    assert_eq!((&gear["more"]["cameras"], &gear["more"]["lenses"]), (&Value::from(3), &Value::from(0)));
    let page = visitor.get("/gear").text();
    assert_eq!(page.matches("3 more are not listed here.").count(), 1, "{page}");
    assert!(page.contains("<a href=\"/search\">Find them by the search</a>"), "{page}");
}

#[test]
fn a_page_whose_place_is_gone_does_not_say_that_there_are_no_photos() {
    let site = Site::new();
    let app = site.serve();
    let admin = app.login(ADMIN);
    let keys = photos(&mut site.sql(), 60);
    let visitor = app.client();
    let first = visitor.get("/api/photos").body_json();
    let place = first["next"].as_str().expect("next").to_owned();
    assert_eq!(place, keys[36]);
    // In the trash it still has its place.
    let away = |how: &str| admin.json("DELETE", &format!("/api/photos/{place}{how}"), "").status;
    assert_eq!(away(""), 204);
    let second = visitor.get(&format!("/api/photos?before={place}")).body_json();
    assert_eq!((&second["photos"][0]["key"], second.get("gone")), (&Value::from(keys[35].as_str()), None));
    assert_eq!(away("?forever=true"), 204);
    let second = visitor.get(&format!("/api/photos?before={place}")).body_json();
    assert_eq!((second["photos"].as_array().map(Vec::len), &second["gone"]), (Some(0), &Value::Bool(true)));
    for (client, path, first) in [
        (&visitor, "/?before=KEY", "/"),
        (&visitor, "/map?before=KEY", "/map"),
        (&visitor, "/rolls?before=KEY", "/rolls"),
        (&admin, "/admin?before=KEY", "/admin"),
        (&admin, "/admin/trash?before=KEY", "/admin/trash"),
    ] {
        let page = client.get(&path.replace("KEY", &place)).text();
        assert!(page.contains("Nothing is left after this place"), "{path}: {page}");
        assert!(
            page.contains(&format!("<a href=\"{first}\"><span aria-hidden=\"true\">← </span>")),
            "{path}: {page}"
        );
        assert!(!page.contains("No photos yet") && !page.contains("trash is empty"), "{path}: {page}");
    }
    // Also of an album, when the photo was taken out of it.
    let album = key(&admin.json("POST", "/api/albums", r#"{"title":"A","visibility":"public"}"#).body_json());
    let keys: Vec<String> = keys.into_iter().filter(|key| *key != place).collect();
    let put = |keys: &[String]| {
        let body = serde_json::json!({ "keys": keys }).to_string();
        assert_eq!(admin.json("PUT", &format!("/api/albums/{album}/photos"), &body).status, 200);
    };
    put(&keys);
    let next = visitor.get(&format!("/api/photos?album={album}")).body_json();
    let next = next["next"].as_str().expect("next").to_owned();
    put(&keys.iter().filter(|key| **key != next).cloned().collect::<Vec<_>>());
    let page = visitor.get(&format!("/api/photos?album={album}&before={next}")).body_json();
    assert_eq!(page["gone"], true, "{page}");
    assert!(
        visitor.get(&format!("/a/{album}?before={next}")).text().contains("Nothing is left after this place")
    );
    // A search that finds nothing says that, and not that there are no photos.
    let none = admin.get("/admin?q=nothing-like-this").text();
    assert!(none.contains("Nothing found for this.") && !none.contains("No photos yet"), "{none}");
}
