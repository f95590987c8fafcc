//! Visitors report photos, admins decide.

use serde_json::{Value, json};

use super::support::{ADMIN, App, Client, OTHER, OWNER, Reply, Site, jpeg, key};
use super::upyun::{Rig, fetch, until, wait};

const SECOND: &str = "second@example.com";

fn report(client: &Client, photo: &str, body: &Value) -> Reply {
    client.json("POST", &format!("/api/photos/{photo}/reports"), &body.to_string())
}

fn open(admin: &Client) -> Value {
    admin.get("/api/admin/reports").body_json()
}

fn decide(admin: &Client, photo: &str, verdict: &Value) -> Reply {
    admin.json("POST", &format!("/api/admin/reports/{photo}"), &verdict.to_string())
}

/// A site with an owner, and public photos of theirs.
fn shown(count: u64) -> (Site, App, Client, Vec<String>) {
    let site = Site::new();
    site.account(OWNER, "user");
    let app = site.serve();
    let owner = app.login(OWNER);
    let photos = (0..count).map(|seed| key(&owner.photo(&[("title", "Harbour")], &jpeg(seed)))).collect();
    (site, app, owner, photos)
}

#[test]
fn a_visitor_reports_by_a_form_without_script_and_an_admin_decides() {
    let (_site, app, owner, photos) = shown(1);
    let (visitor, admin) = (app.client(), app.login(ADMIN));
    let path = format!("/p/{}", photos[0]);
    let page = visitor.get(&path).text();
    assert!(page.contains(&format!("action=\"{path}/report\"")), "{page}");
    // Whoever may change it needs no form for it.
    assert!(!owner.get(&path).text().contains("/report\"") && !admin.get(&path).text().contains("/report\""));

    let sent = visitor.form(
        &format!("{path}/report"),
        "reason=person&note=%3Cscript%3Ealert(1)%3C%2Fscript%3E+that+is+me&contact=a%22b%40example.com",
    );
    assert_eq!(
        (sent.status, sent.header("location")),
        (303, Some(format!("{path}?notice=reported").as_str()))
    );
    assert!(visitor.get(&format!("{path}?notice=reported")).text().contains("The report is with the admins"));

    assert_eq!(admin.get("/api/overview").body_json()["reported"], 1);
    assert!(admin.get("/admin/site").text().contains("<a href=\"/admin/reports\">Reported photos: 1</a>"));
    let list = admin.get("/admin/reports").text();
    assert!(list.contains("&lt;script&gt;alert(1)&lt;/script&gt; that is me"), "{list}");
    assert!(list.contains("a&quot;b@example.com") && !list.contains("<script>alert"), "{list}");
    assert!(list.contains("It shows me or somebody else") && list.contains(OWNER), "{list}");
    assert!(list.contains(&format!("/media/{}/thumb.jpg", photos[0])) || list.contains("thumb"), "{list}");
    let chinese = admin.send("GET", "/admin/reports", &[("accept-language", "zh-CN")], b"").text();
    assert!(chinese.contains("照片中有我或他人") && chinese.contains("设为私密"), "{chinese}");

    let last = open(&admin)["photos"][0]["last"].clone();
    let decided =
        admin.form(&format!("/admin/reports/{}", photos[0]), &format!("outcome=hidden&last={last}"));
    assert_eq!(decided.header("location"), Some("/admin/reports?notice=decided"), "{}", decided.text());
    assert_eq!(visitor.get(&path).status, 404);
    assert_eq!(
        owner.get(&format!("/api{}", path.replace("/p/", "/photos/"))).body_json()["visibility"],
        "private"
    );
    assert_eq!(
        (open(&admin)["photos"].clone(), admin.get("/api/overview").body_json()["reported"].clone()),
        (json!([]), json!(0))
    );
    // Who and when.
    let closed = admin.get("/api/admin/reports/closed").body_json();
    let one = &closed["reports"][0];
    assert_eq!((&one["outcome"], &one["closed_by"]), (&json!("hidden"), &json!(ADMIN)));
    assert!(one["closed_at"].as_str().is_some_and(|at| at.ends_with('Z')), "{closed}");
    let page = admin.get("/admin/reports/closed").text();
    assert!(page.contains("made private") && page.contains(ADMIN) && page.contains("that is me"), "{page}");
    assert!(admin.get(&format!("/admin/reports/{}", photos[0])).text().contains("made private"));
}

#[test]
fn what_is_wrong_with_a_report_is_said_and_what_was_written_stays() {
    let (_site, app, _owner, photos) = shown(1);
    let visitor = app.client();
    let path = format!("/p/{}/report", photos[0]);
    let long = "x".repeat(1001);
    for (fields, said, kept) in [
        ("note=Mine+indeed&contact=c", "What is wrong with it” is missing", "Mine indeed"),
        ("reason=nonsense&note=Mine+indeed", "What is wrong with it” is missing", "Mine indeed"),
        ("reason=other&contact=me%40example.com", "More about it” is missing", "me@example.com"),
        (&format!("reason=mine&note={long}"), "More about it” is missing or too long", &long),
        (
            &format!("reason=mine&contact={long}"),
            "Where we may answer you (optional)” is missing or too long",
            &long,
        ),
    ] {
        let refused = visitor.form(&path, fields);
        let page = refused.text();
        assert_eq!(refused.status, 400, "{fields}");
        assert!(page.contains(said) && page.contains(kept), "{fields}: {page}");
        assert!(
            page.contains("aria-invalid=\"true\"")
                && page.contains("<details class=\"report\" id=\"report\" open"),
            "{page}"
        );
    }
    // Another site's form, and an API client that does not say what it means.
    let headers = [("content-type", "application/x-www-form-urlencoded"), ("origin", "https://evil.example")];
    assert_eq!(visitor.send("POST", &path, &headers, b"reason=mine").status, 403);
    let api = format!("/api/photos/{}/reports", photos[0]);
    let headers = [("content-type", "application/json"), ("origin", "https://evil.example")];
    assert_eq!(visitor.send("POST", &api, &headers, br#"{"reason":"mine"}"#).status, 403);
    assert_eq!(report(&visitor, &photos[0], &json!({"reason": "spite"})).status, 422);
    assert_eq!(open(&app.login(ADMIN))["photos"], json!([]), "something of this was stored");
}

#[test]
fn only_what_everybody_may_see_can_be_reported_and_not_without_end() {
    let (_site, app, owner, photos) = shown(2);
    let (visitor, admin) = (app.client(), app.login(ADMIN));
    let private = key(&owner.photo(&[("visibility", "private")], &jpeg(7)));
    let unlisted = key(&owner.photo(&[("visibility", "unlisted")], &jpeg(8)));
    let unknown = "abcdefghijklmnopqrstuvwxyz";
    assert_eq!(owner.json("DELETE", &format!("/api/photos/{}", photos[1]), "").status, 204);
    let mine = json!({"reason": "mine"});
    for hidden in [private.as_str(), &photos[1], unknown] {
        for client in [&visitor, &owner, &admin] {
            let refused = report(client, hidden, &mine);
            assert_eq!((refused.status, refused.code().as_str()), (404, "not_found"), "{hidden}");
        }
        let page = visitor.form(&format!("/p/{hidden}/report"), "reason=mine");
        // Word for word the page of a photo that is not there.
        let missing = visitor.get(&format!("/p/{unknown}")).text();
        let said = page.text().replace(hidden, unknown).replace("/report?", "?");
        assert!(page.status == 404 && said == missing, "{hidden}");
    }
    // Refusals count for nothing; so many are taken from one address, whatever they are about.
    for n in 0..20 {
        let photo = if n % 2 == 0 { &photos[0] } else { &unlisted };
        assert_eq!(report(&visitor, photo, &mine).status, 204, "{n}");
    }
    let more = report(&visitor, &photos[0], &mine);
    assert_eq!((more.status, more.code().as_str()), (429, "too_many_attempts"));
    assert!(more.header("retry-after").is_some());
    let page = visitor.form(&format!("/p/{}/report", photos[0]), "reason=other&note=Please+look");
    assert_eq!(page.status, 429);
    // What leads to the other language is an address that can be read.
    let other = visitor.get(&format!("/p/{}/report?lang=zh-CN", photos[0]));
    let to = format!("/p/{}?lang=zh-CN#report", photos[0]);
    assert_eq!((other.status, other.header("location")), (303, Some(to.as_str())));
    assert!(
        page.text().contains("Too many reports") && page.text().contains("Please look"),
        "{}",
        page.text()
    );
    // Another address is not kept from it.
    let headers = [("content-type", "application/json"), ("x-forwarded-for", "198.51.100.7")];
    let other = visitor.send(
        "POST",
        &format!("/api/photos/{}/reports", photos[0]),
        &headers,
        br#"{"reason":"mine"}"#,
    );
    assert_eq!(other.status, 204, "{}", other.text());
    let list = open(&admin);
    assert_eq!((&list["photos"][0]["count"], &list["photos"][1]["count"]), (&json!(11), &json!(10)));
}

#[test]
fn what_an_admin_has_taken_from_the_public_only_an_admin_shows_again() {
    let (_site, app, owner, photos) = shown(3);
    let admin = app.login(ADMIN);
    for (photo, outcome) in photos.iter().zip(["hidden", "trashed", "dismissed"]) {
        assert_eq!(report(&app.client(), photo, &json!({"reason": "person"})).status, 204);
        assert_eq!(decide(&admin, photo, &json!({"outcome": outcome})).status, 200);
    }
    let (hidden, trashed) = (format!("/api/photos/{}", photos[0]), format!("/api/photos/{}", photos[1]));
    let public = json!({"visibility": "public"}).to_string();
    let bulk = |action: &str, photo: &str| {
        let change = json!({"visibility": "unlisted"});
        let body = json!({"keys": [photo, photos[2]], "action": action, "change": change});
        owner.json("POST", "/api/photos/bulk", &body.to_string())
    };
    for refused in [
        owner.json("PATCH", &hidden, &public),
        bulk("change", &photos[0]),
        owner.json("POST", &format!("{trashed}/restore"), ""),
        bulk("restore", &photos[1]),
    ] {
        assert_eq!((refused.status, refused.code().as_str()), (403, "held"), "{}", refused.text());
    }
    // A form says it in words, and the owner may go on with everything else.
    let form = owner.form(&format!("/admin/photos/{}", photos[0]), "title=Quay&visibility=public&tags=");
    assert!(form.text().contains("Only an admin can show it again"), "{}", form.text());
    assert_eq!(owner.json("PATCH", &hidden, &json!({"title": "Quay"}).to_string()).status, 200);
    for photo in &photos[..2] {
        assert_eq!(app.client().get(&format!("/api/photos/{photo}")).status, 404);
    }
    // The photo of the report that was dismissed was not held, and the refused ones have changed nothing of it.
    assert_eq!(owner.get(&format!("/api/photos/{}", photos[2])).body_json()["visibility"], "public");

    // With an admin's word it is as before, for the owner, too.
    assert_eq!(admin.json("PATCH", &hidden, &public).status, 200);
    assert_eq!(admin.json("POST", &format!("{trashed}/restore"), "").status, 200);
    let private = json!({"visibility": "private"}).to_string();
    for path in [&hidden, &trashed] {
        assert_eq!(app.client().get(path).status, 200);
        assert_eq!(owner.json("PATCH", path, &private).status, 200);
        assert_eq!(owner.json("PATCH", path, &public).status, 200);
    }
}

#[test]
fn addresses_of_those_who_reported_go_ninety_days_after_the_decision() {
    let (site, app, _owner, photos) = shown(3);
    let admin = app.login(ADMIN);
    for photo in &photos[..2] {
        let body = json!({"reason": "person", "contact": "visitor@example.com"});
        assert_eq!(report(&app.client(), photo, &body).status, 204);
        assert_eq!(decide(&admin, photo, &json!({"outcome": "dismissed"})).status, 200);
    }
    let days = |n: i64| filmtrip::db::now_ms() - n * 24 * 3600 * 1000;
    for (photo, age) in [(&photos[0], days(91)), (&photos[1], days(89))] {
        let age = format!("UPDATE reports SET closed_at = {age} WHERE photo_key = '{photo}'");
        assert_eq!(site.sql().execute(&age, &[]).expect("reports"), 1);
    }
    assert_eq!(report(&app.client(), &photos[2], &json!({"reason": "person"})).status, 204);
    assert_eq!(decide(&admin, &photos[2], &json!({"outcome": "dismissed"})).status, 200);
    let kept: Vec<String> = photos[..2]
        .iter()
        .map(|p| format!("SELECT contact FROM reports WHERE photo_key = '{p}'"))
        .map(|query| site.sql().value(&query, &[]).expect("report"))
        .collect();
    assert_eq!(kept, ["", "visitor@example.com"]);
}

#[test]
fn reports_of_one_photo_are_one_case_and_a_late_one_stays_open() {
    let (site, app, owner, photos) = shown(3);
    site.account(SECOND, "admin");
    let (visitor, admin, second) = (app.client(), app.login(ADMIN), app.login(SECOND));
    for n in 0..7 {
        assert_eq!(
            report(&visitor, &photos[0], &json!({"reason": "other", "note": format!("No. {n}")})).status,
            204
        );
    }
    report(&visitor, &photos[1], &json!({"reason": "illegal"}));
    report(&visitor, &photos[2], &json!({"reason": "mine"}));
    let list = open(&admin);
    let keys: Vec<&str> = list["photos"]
        .as_array()
        .expect("photos")
        .iter()
        .map(|p| p["photo"]["key"].as_str().expect("key"))
        .collect();
    assert_eq!(keys, photos, "those that wait longest come first");
    let first = &list["photos"][0];
    let notes: Vec<&str> = first["reports"]
        .as_array()
        .expect("reports")
        .iter()
        .map(|r| r["note"].as_str().expect("note"))
        .collect();
    assert_eq!((&first["count"], notes), (&json!(7), vec!["No. 6", "No. 5", "No. 4", "No. 3", "No. 2"]));
    // The list shows how many there are, and where the others are.
    let page = admin.get("/admin/reports").text();
    assert!(page.contains("7 reports") && page.contains(&format!("href=\"/admin/reports/{}\"", photos[0])));
    let all = admin.get(&format!("/admin/reports/{}", photos[0])).text();
    assert!((0..7).all(|n| all.contains(&format!("No. {n}"))), "{all}");

    // One comes in while an admin reads: it is not decided unseen.
    let last = first["last"].as_i64().expect("last");
    report(&visitor, &photos[0], &json!({"reason": "person"}));
    let done = decide(&admin, &photos[0], &json!({"outcome": "dismissed", "last": last}));
    assert_eq!(done.body_json()["reports"], 7, "{}", done.text());
    let left = open(&second);
    assert_eq!(
        (&left["photos"][2]["photo"]["key"], &left["photos"][2]["count"]),
        (&json!(photos[0]), &json!(1))
    );
    assert_eq!(visitor.get(&format!("/p/{}", photos[0])).status, 200, "a dismissed report hid the photo");
    // Who comes second does not undo it.
    assert_eq!(decide(&second, &photos[0], &json!({"outcome": "trashed", "last": last})).status, 404);
    let late = second.form(&format!("/admin/reports/{}", photos[0]), &format!("outcome=trashed&last={last}"));
    assert_eq!(late.header("location"), Some("/admin/reports?notice=decided_before"));
    assert_eq!(visitor.get(&format!("/p/{}", photos[0])).status, 200);

    // Into the trash, from where its owner brings it back, and what was decided stays known.
    assert_eq!(decide(&second, &photos[1], &json!({"outcome": "trashed"})).status, 200);
    assert_eq!(visitor.get(&format!("/p/{}", photos[1])).status, 404);
    assert!(owner.get("/admin/trash").text().contains(&photos[1]));
    assert_eq!(owner.json("DELETE", &format!("/api/photos/{}?forever=true", photos[1]), "").status, 204);
    let closed = admin.get(&format!("/api/admin/reports/{}", photos[1])).body_json();
    let one = &closed["reports"][0];
    assert_eq!(
        (&one["outcome"], &one["closed_by"], &one["there"]),
        (&json!("trashed"), &json!(SECOND), &json!(false))
    );
    assert_eq!(admin.get(&format!("/admin/reports/{}", photos[1])).status, 200);

    // An open one whose photo its owner has deleted for ever needs nobody any more.
    assert_eq!(owner.json("DELETE", &format!("/api/photos/{}?forever=true", photos[2]), "").status, 204);
    assert_eq!(open(&admin)["photos"].as_array().map(Vec::len), Some(1));
    assert!(admin.get("/admin/reports/closed").text().contains("the photo was deleted"));
}

#[test]
fn lists_of_reports_have_pages() {
    let site = Site::new();
    let app = site.serve();
    let admin = app.login(ADMIN);
    let photo = key(&admin.photo(&[], &jpeg(1)));
    let mut sql = site.sql();
    // 45 photos by their rows, the first with 120 reports.
    let copy = |n: usize| {
        format!(
            "INSERT INTO photos (key, owner_id, original_key, format, bytes, sha256, width, height, sizes, visibility, created_at)
             SELECT '{n:026}', owner_id, '{n:026}', format, 1, sha256, width, height, sizes, 'public', 1 FROM photos WHERE key = '{photo}'"
        )
    };
    let say = |n: usize, note: &str| {
        format!(
            "INSERT INTO reports (photo_id, photo_key, reason, note, created_at)
             SELECT id, key, 'other', '{note}', 1 FROM photos WHERE key = '{n:026}'"
        )
    };
    for n in 0..45 {
        sql.execute(&copy(n), &[]).expect("photo");
        sql.execute(&say(n, "first"), &[]).expect("report");
    }
    for n in 0..119 {
        sql.execute(&say(0, &format!("more {n}")), &[]).expect("report");
    }
    let walk = |first: &str, name: &str| {
        let (mut path, mut seen, mut pages) = (first.to_owned(), Vec::new(), 0);
        loop {
            let page = admin.get(&path);
            assert_eq!(page.status, 200, "{path}");
            let text = page.text();
            seen.extend(
                text.split(name).skip(1).map(|rest| rest.split(['"', '<']).next().expect("end").to_owned()),
            );
            pages += 1;
            let Some(next) = text.split("rel=\"next\" href=\"").nth(1) else { return (pages, seen) };
            path = next.split('"').next().expect("address").replace("&amp;", "&");
            assert!(pages < 20, "the pages have no end");
        }
    };
    let (pages, seen) =
        walk("/admin/reports", "form class=\"actions\" method=\"post\" action=\"/admin/reports/");
    let expected: Vec<String> = (0..45).map(|n| format!("{n:026}")).collect();
    assert_eq!((pages, seen), (3, expected));
    let one = format!("{:026}", 0);
    let (pages, seen) = walk(&format!("/admin/reports/{one}"), "<p class=\"caption\">");
    assert_eq!((pages, seen.len(), seen.first().map(String::as_str)), (3, 120, Some("more 118")));
    assert_eq!(decide(&admin, &one, &json!({"outcome": "dismissed"})).body_json()["reports"], 120);
    let (pages, seen) = walk("/admin/reports/closed", "<p class=\"caption\">");
    assert_eq!((pages, seen.len()), (3, 120));
}

#[test]
fn a_photo_at_the_cdn_that_is_hidden_by_an_admin_leaves_its_known_address() {
    let rig = Rig::new();
    rig.site.account(OWNER, "user");
    rig.site.account(OTHER, "user");
    let app = rig.start(true, true);
    let (owner, admin) = (app.login(OWNER), app.login(ADMIN));
    let upload = rig.put(&owner, &jpeg(6), &json!({}));
    let photo = wait(&owner, &upload, &["done"])["photo"].clone();
    let known = photo["images"]["large"]["url"].as_str().expect("url").to_owned();
    assert_eq!(fetch(&known).status, 200);
    assert_eq!(report(&app.client(), &upload, &json!({"reason": "person"})).status, 204);
    assert_eq!(decide(&admin, &upload, &json!({"outcome": "hidden"})).status, 200);
    until("the CDN forgets it", || fetch(&known).status == 404);
    assert_eq!(app.login(OTHER).get(&format!("/p/{upload}")).status, 404);
}

#[test]
fn before_its_schema_there_is_no_form_and_nothing_to_decide() {
    let site = Site::empty();
    site.ok(&["migrate", "--to", "4"]);
    site.account(ADMIN, "admin");
    let app = site.serve();
    let (visitor, admin) = (app.client(), app.login(ADMIN));
    let photo = key(&admin.photo(&[], &jpeg(1)));
    let path = format!("/p/{photo}");
    assert!(!visitor.get(&path).text().contains("/report\""));
    assert_eq!(report(&visitor, &photo, &json!({"reason": "mine"})).status, 404);
    for page in ["/admin/reports", "/admin/reports/closed", "/admin/site", "/admin/trash"] {
        assert_eq!(admin.get(page).status, 200, "{page}");
    }
    assert_eq!(admin.get(&format!("/admin/reports/{photo}")).status, 200);
    site.ok(&["migrate"]);
    assert!(visitor.get(&path).text().contains(&format!("action=\"{path}/report\"")));
    assert_eq!(report(&visitor, &photo, &json!({"reason": "mine"})).status, 204);
}
