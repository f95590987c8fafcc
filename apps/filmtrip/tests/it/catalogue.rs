//! Rolls, albums, search, places, the trash and accounts.

use serde_json::{Value, json};

use super::support::{ADMIN, Client, OTHER, OWNER, PASSWORD, Site, files, jpeg, key};
use super::upyun::until;

fn keys(page: &Value) -> Vec<String> {
    page["photos"].as_array().expect("photos").iter().map(key).collect()
}

fn patch(client: &Client, photo: &Value, change: &Value) -> Value {
    let reply = client.json("PATCH", &format!("/api/photos/{}", key(photo)), &change.to_string());
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.body_json()
}

#[test]
fn a_roll_knows_its_film_and_has_its_frames_in_order_without_a_cap() {
    let site = Site::new();
    let app = site.serve();
    let admin = app.login(ADMIN);
    let body = json!({
        "title": "Half a year in Dali", "film_stock": "Kodak Tri-X 400", "format": "half", "box_iso": 400,
        "exposure_index": 1600, "camera": "Olympus Pen F", "lens": "38mm f/1.8", "scanner": "Nikon LS-5000",
        "lab": "", "developer": "HC-110 B, 20 °C, 11 min", "loaded_on": "2026-03-01", "unloaded_on": "2026-05-04",
        "notes": "Pushed two stops.",
    });
    let roll = admin.json("POST", "/api/rolls", &body.to_string());
    assert_eq!(roll.status, 201, "{}", roll.text());
    let roll = roll.body_json();
    for (field, value) in body.as_object().expect("object") {
        assert_eq!(&roll[field], value, "{field}");
    }
    let mut expected = Vec::new();
    for (seed, frame) in [(1, "72"), (2, "1"), (3, "37")] {
        let photo = admin.photo(&[("roll", &key(&roll)), ("frame", frame)], &jpeg(seed));
        assert_eq!(
            (&photo["film_stock"], &photo["camera"]),
            (&json!("Kodak Tri-X 400"), &json!("Olympus Pen F"))
        );
        expected.push((frame.parse::<u32>().expect("number"), key(&photo)));
    }
    let unnumbered = key(&admin.photo(&[("roll", &key(&roll))], &jpeg(4)));
    expected.sort();
    let expected: Vec<String> = expected.into_iter().map(|(_, key)| key).chain([unnumbered]).collect();
    let list = format!("/api/photos?roll={}", key(&roll));
    assert_eq!(keys(&app.client().get(&list).body_json()), expected);
    // Page by page, and from neighbour to neighbour.
    let mut seen = Vec::new();
    let mut path = format!("{list}&limit=1");
    loop {
        let page = app.client().get(&path).body_json();
        seen.extend(keys(&page));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("{list}&limit=1&before={next}");
    }
    assert_eq!(seen, expected);
    for pair in expected.windows(2) {
        let beside = |photo: &str| {
            app.client().get(&format!("/api/photos/{photo}/neighbours?roll={}", key(&roll))).body_json()
        };
        assert_eq!(beside(&pair[0])["next"], pair[1].as_str());
        assert_eq!(beside(&pair[1])["previous"], pair[0].as_str());
    }
    assert_eq!(app.client().get(&format!("/api/rolls/{}", key(&roll))).body_json()["photos"], 4);
    for wrong in [
        json!({"title": " "}),
        json!({"title": "x", "box_iso": 0}),
        json!({"title": "x", "format": "36"}),
        json!({"title": "x", "loaded_on": "May"}),
        json!({"title": "x", "loaded_on": "2026-05-02", "unloaded_on": "2026-05-01"}),
    ] {
        let reply = admin.json("POST", "/api/rolls", &wrong.to_string());
        assert!(matches!(reply.status, 400 | 422), "{wrong}: {}", reply.text());
    }
    // Its photos outlive it.
    assert_eq!(admin.json("DELETE", &format!("/api/rolls/{}", key(&roll)), "").status, 204);
    let left = app.client().get("/api/photos").body_json();
    assert_eq!(left["photos"].as_array().expect("photos").len(), 4);
    // They keep what they were made with, also for those who look for it.
    for photo in left["photos"].as_array().expect("photos") {
        let made = (&photo["film_stock"], &photo["camera"], &photo["lens"]);
        assert_eq!(made, (&json!("Kodak Tri-X 400"), &json!("Olympus Pen F"), &json!("38mm f/1.8")));
    }
    assert_eq!(keys(&app.client().get("/api/photos?q=tri-x").body_json()).len(), 4);
}

#[test]
fn visitors_browse_the_rolls_that_have_something_for_them() {
    let site = Site::new();
    site.account(OWNER, "user");
    let app = site.serve();
    let (owner, admin, visitor) = (app.login(OWNER), app.login(ADMIN), app.client());
    let roll = |title: &str, loaded: &str| {
        let body = json!({"title": title, "film_stock": "Fuji C200", "loaded_on": loaded}).to_string();
        key(&owner.json("POST", "/api/rolls", &body).body_json())
    };
    // The last loaded first, whatever was written down first.
    let (late, early, hidden) =
        (roll("Late", "2026-05-01"), roll("Early", "2026-02-01"), roll("Hidden", "2026-06-01"));
    let photo = |roll: &str, frame: &str, visibility: &str, seed| {
        key(&owner.photo(&[("roll", roll), ("frame", frame), ("visibility", visibility)], &jpeg(seed)))
    };
    let third = photo(&late, "3", "public", 1);
    let first = photo(&late, "1", "public", 2);
    photo(&late, "2", "private", 3);
    photo(&early, "1", "public", 4);
    photo(&hidden, "1", "unlisted", 5);
    for client in [&visitor, &owner, &admin] {
        let list = client.get("/api/rolls?public=true").body_json();
        let rolls = list["rolls"].as_array().expect("rolls");
        let shown: Vec<(&str, u64)> = rolls
            .iter()
            .map(|r| (r["title"].as_str().expect("title"), r["photos"].as_u64().expect("photos")))
            .collect();
        assert_eq!(shown, [("Late", 2), ("Early", 1)]);
        let strip = rolls[0]["strip"].as_array().expect("strip");
        let of = |image: &Value, photo: &str| image["url"].as_str().expect("url").contains(photo);
        assert!(strip.len() == 2 && of(&strip[0], &first) && of(&strip[1], &third), "{strip:?}");
        let page = client.get("/rolls").text();
        assert!(page.contains(&format!("/r/{early}")) && !page.contains(&hidden), "{page}");
    }
    let rest = visitor.get(&format!("/api/rolls?public=true&before={late}")).body_json();
    assert_eq!(rest["rolls"][0]["title"], "Early");
    assert_eq!(visitor.get("/api/rolls?public=true&before=gone").body_json()["rolls"], json!([]));
    let own = owner.get("/api/rolls").body_json();
    let titles: Vec<&Value> = own["rolls"].as_array().expect("rolls").iter().map(|r| &r["title"]).collect();
    assert_eq!(titles, ["Hidden", "Late", "Early"]);
}

#[test]
fn a_batch_counts_its_frames_up() {
    let site = Site::new();
    let app = site.serve();
    let admin = app.login(ADMIN);
    let reply = admin.upload(&[("frame", "35")], &[&jpeg(1), &jpeg(2), &jpeg(3)]).body_json();
    let frames: Vec<&Value> =
        reply["photos"].as_array().expect("photos").iter().map(|p| &p["frame"]).collect();
    assert_eq!(frames, [35, 36, 37]);
}

#[test]
fn search_finds_words_anywhere_in_any_language_and_nothing_that_is_not_public() {
    let site = Site::new();
    site.account(OWNER, "user");
    let app = site.serve();
    let owner = app.login(OWNER);
    let body = r#"{"title":"洱海环湖","film_stock":"Kodak Ektar 100","camera":"Nikon FM2"}"#;
    let roll = owner.json("POST", "/api/rolls", body).body_json();
    let lake = owner
        .photo(&[("title", "Lake 100% Still"), ("tags", "夜景, Street"), ("roll", &key(&roll))], &jpeg(1));
    let other = owner.photo(&[("title", "under_score"), ("caption", "大理古城的早晨")], &jpeg(2));
    let hidden = owner.photo(&[("title", "Lake, hidden"), ("visibility", "private")], &jpeg(3));
    let find = |client: &Client, q: &str| keys(&client.get(&format!("/api/photos?{q}")).body_json());
    let visitor = app.client();
    for (q, expected) in [
        ("q=lake", vec![&lake]),
        ("q=STILL+lake", vec![&lake]),
        ("q=100%25", vec![&lake]),
        ("q=r_s", vec![&other]),
        ("q=%E5%A4%A7%E7%90%86", vec![&other]),
        ("q=%E5%A4%9C%E6%99%AF", vec![&lake]),
        ("q=%E7%8E%AF%E6%B9%96", vec![&lake]),
        ("q=ektar", vec![&lake]),
        ("q=lake+castle", vec![]),
        ("q=%25", vec![&lake]),
        ("tag=street", vec![&lake]),
        ("tag=%23Street", vec![&lake]),
        ("film=Kodak+Ektar+100", vec![&lake]),
        ("camera=Nikon+FM2&q=lake", vec![&lake]),
        ("camera=Leica", vec![]),
    ] {
        let expected: Vec<String> = expected.into_iter().map(key).collect();
        assert_eq!(find(&visitor, q), expected, "{q}");
    }
    assert_eq!(find(&owner, "q=lake&mine=true"), [key(&hidden), key(&lake)]);
    let gear = visitor.get("/api/gear").body_json();
    assert_eq!(gear["film_stocks"], json!([{"name": "Kodak Ektar 100", "photos": 1}]));
    // A photo's own word wins over its roll's, and a roll's change is found at once.
    patch(&owner, &lake, &json!({"film_stock": "Ilford HP5"}));
    assert_eq!(find(&visitor, "film=Kodak+Ektar+100"), Vec::<String>::new());
    assert_eq!(find(&visitor, "q=hp5"), [key(&lake)]);
    let renamed =
        owner.json("PUT", &format!("/api/rolls/{}", key(&roll)), r#"{"title":"Erhai","camera":"Nikon F3"}"#);
    assert_eq!(renamed.status, 200, "{}", renamed.text());
    assert_eq!((find(&visitor, "q=F3"), find(&visitor, "q=FM2")), (vec![key(&lake)], vec![]));
    let tags = visitor.get("/api/tags").body_json();
    assert_eq!(tags["tags"].as_array().expect("tags").len(), 2);
}

#[test]
fn albums_keep_their_order_and_show_each_photo_to_whom_it_is_open() {
    let site = Site::new();
    site.account(OWNER, "user");
    site.account(OTHER, "user");
    let app = site.serve();
    let (owner, other, visitor) = (app.login(OWNER), app.login(OTHER), app.client());
    let photo = |seed, visibility| key(&owner.photo(&[("visibility", visibility)], &jpeg(seed)));
    let (a, b, c) = (photo(1, "public"), photo(2, "unlisted"), photo(3, "private"));
    let album = owner
        .json("POST", "/api/albums", r#"{"title":"Trip","kind":"trip","visibility":"public"}"#)
        .body_json();
    let path = format!("/api/albums/{}", key(&album));
    let order = json!({"keys": [c, a, b]}).to_string();
    assert_eq!(owner.json("PUT", &format!("{path}/photos"), &order).body_json()["photos"], 3);
    let list = format!("/api/photos?album={}", key(&album));
    let seen = |client: &Client| keys(&client.get(&list).body_json());
    assert_eq!(
        (seen(&visitor), seen(&other), seen(&owner)),
        (vec![a.clone()], vec![a.clone()], vec![c.clone(), a.clone(), b.clone()])
    );
    assert_eq!(visitor.get(&path).body_json()["photos"], 1);
    assert!(visitor.get(&path).body_json()["cover"]["url"].as_str().expect("cover").contains(&a));
    // Reached by its link only, it shows what is unlisted too; private photos never.
    let unlisted = owner.json("PUT", &path, r#"{"title":"Trip","kind":"trip","visibility":"unlisted"}"#);
    assert_eq!(unlisted.status, 200);
    assert_eq!(seen(&visitor), [a.clone(), b.clone()]);
    assert_eq!(visitor.get("/api/albums").body_json()["albums"], json!([]));
    owner.json("PUT", &path, r#"{"title":"Trip","visibility":"private"}"#);
    assert_eq!((seen(&visitor), visitor.get(&path).status, owner.get(&path).status), (vec![], 404, 200));
    assert_eq!(other.json("PUT", &format!("{path}/photos"), &order).status, 404);
    // Somebody else's photos are not hers to show.
    let foreign = other.json("POST", "/api/albums", r#"{"title":"Mine"}"#).body_json();
    let stolen = other.json(
        "PUT",
        &format!("/api/albums/{}/photos", key(&foreign)),
        &json!({"keys": [a]}).to_string(),
    );
    assert_eq!(stolen.status, 403);
    // Photos outlive their album.
    assert_eq!(owner.json("DELETE", &path, "").status, 204);
    assert_eq!(owner.get("/api/photos?mine=true").body_json()["photos"].as_array().expect("photos").len(), 3);
}

#[test]
fn nothing_goes_on_a_roll_or_into_an_album_of_somebody_else_unsaid() {
    let site = Site::new();
    site.account(OWNER, "user");
    let app = site.serve();
    let (owner, admin) = (app.login(OWNER), app.login(ADMIN));
    let roll = key(&owner.json("POST", "/api/rolls", r#"{"title":"Theirs"}"#).body_json());
    let album = key(&owner.json("POST", "/api/albums", r#"{"title":"Theirs"}"#).body_json());
    let refused = |field: (&str, &str)| {
        let reply = admin.upload(&[field], &[&jpeg(1)]);
        (reply.status, reply.code())
    };
    assert_eq!(refused(("roll", &roll)), (422, "no_roll".to_owned()));
    assert_eq!(refused(("album", &album)), (422, "no_album".to_owned()));
    assert_eq!(refused(("roll", "abcdefghijklmnopqrstuvwxyz")), (422, "no_roll".to_owned()));
    assert!(keys(&admin.get("/api/photos?mine=true").body_json()).is_empty(), "it was stored without");
    // An admin sees whose a roll is, and is not offered it for uploads; nobody else is told an address.
    let own = key(&admin.json("POST", "/api/rolls", r#"{"title":"Mine"}"#).body_json());
    let listed = admin.get("/api/rolls").body_json();
    assert_eq!((&listed["rolls"][0]["owner"], &listed["rolls"][1]["owner"]), (&Value::Null, &json!(OWNER)));
    assert_eq!(admin.get("/api/albums?mine=true").body_json()["albums"][0]["owner"], OWNER);
    let studio = admin.get("/admin").text();
    let form =
        studio.split("data-upload").nth(1).and_then(|rest| rest.split("</form>").next()).expect("form");
    assert!(form.contains(&own) && !form.contains(&roll) && !form.contains(&album));
    // The photo's form offers the rolls of its owner, to whoever edits it.
    let photo = key(&owner.photo(&[("roll", &roll)], &jpeg(2)));
    let edit = admin.get(&format!("/admin/photos/{photo}")).text();
    assert!(edit.contains(&roll) && !edit.contains(&own) && edit.contains(OWNER));
    for reader in [&owner, &app.client()] {
        assert!(reader.get(&format!("/api/photos/{photo}")).body_json().get("owner").is_none());
    }
}

#[test]
fn a_place_is_for_the_owner_until_it_is_shown() {
    let site = Site::new();
    site.account(OWNER, "user");
    site.account(OTHER, "user");
    let app = site.serve();
    let (owner, other, visitor) = (app.login(OWNER), app.login(OTHER), app.client());
    let photo = owner.photo(&[], &jpeg(1));
    let path = format!("/api/photos/{}", key(&photo));
    patch(&owner, &photo, &json!({"location": {"lat": 25.6969, "lon": 100.1613}, "place": "Dali"}));
    for client in [&visitor, &other] {
        let seen = client.get(&path);
        assert!(
            seen.body_json().get("location").is_none() && !seen.text().contains("25.69"),
            "{}",
            seen.text()
        );
        assert_eq!(client.get("/api/map").body_json()["points"], json!([]));
        let page = client.get(&format!("/p/{}", key(&photo))).text();
        assert!(!page.contains("25.69") && page.contains("Dali"));
    }
    assert_eq!(owner.get(&path).body_json()["location"]["lat"], 25.6969);
    assert_eq!(owner.get("/api/map?mine=true").body_json()["points"][0]["key"], key(&photo).as_str());
    assert_eq!(other.get("/api/map?mine=true").body_json()["points"], json!([]));
    patch(&owner, &photo, &json!({"location": {"lat": 25.6969, "lon": 100.1613, "shown": true}}));
    assert_eq!(visitor.get("/api/map").body_json()["points"][0]["lon"], 100.1613);
    patch(&owner, &photo, &json!({"location": null}));
    assert!(owner.get(&path).body_json().get("location").is_none());
    let far = owner.json("PATCH", &path, r#"{"location":{"lat":91,"lon":0}}"#);
    assert_eq!(far.status, 400);
}

#[test]
fn the_trash_hides_gives_back_and_is_emptied_in_time() {
    let site = Site::new();
    let app = site.start("serve", &[("FILMTRIP_SWEEP_SECONDS", "1")]);
    let admin = app.login(ADMIN);
    let before = files(&site.media()).len();
    let photo = admin.photo(&[("visibility", "unlisted"), ("title", "Trashed")], &jpeg(1));
    let path = format!("/api/photos/{}", key(&photo));
    let short = admin.json("POST", &format!("{path}/short"), "").body_json()["path"]
        .as_str()
        .expect("path")
        .to_owned();
    let code = short.strip_prefix("/s/").expect("code").to_owned();
    assert_eq!(app.client().get(&format!("/api/short/{code}")).body_json()["key"], key(&photo).as_str());
    assert_eq!(
        admin.json("POST", &format!("{path}/short"), "").body_json()["path"],
        short.as_str(),
        "a second code"
    );
    assert_eq!(admin.json("DELETE", &path, "").status, 204);
    assert_eq!(admin.json("DELETE", &path, "").status, 404, "it is in the trash already");
    let visitor = app.client();
    for gone in [
        path.clone(),
        format!("/api/short/{code}"),
        format!("/media/{}/thumb.jpg", key(&photo)),
        format!("/p/{}", key(&photo)),
    ] {
        assert_eq!(visitor.get(&gone).status, 404, "{gone}");
    }
    assert!(keys(&admin.get("/api/photos?mine=true").body_json()).is_empty());
    assert_eq!(keys(&admin.get("/api/photos?mine=true&trash=true").body_json()), [key(&photo)]);
    assert_eq!(admin.get("/api/overview").body_json()["trashed"], 1);
    // The same file again is a new photo: what is in the trash does not count.
    let again = admin.photo(&[], &jpeg(1));
    assert_ne!(key(&again), key(&photo));
    let back = admin.json("POST", &format!("{path}/restore"), "").body_json();
    assert_eq!(back["visibility"], "unlisted");
    assert_eq!(visitor.get(&path).status, 200);
    for one in [&photo, &again] {
        assert_eq!(admin.json("DELETE", &format!("/api/photos/{}", key(one)), "").status, 204);
    }
    site.sql().batch("UPDATE photos SET deleted_at = 1").expect("long ago");
    until("the trash is emptied", || {
        keys(&admin.get("/api/photos?mine=true&trash=true").body_json()).is_empty()
    });
    until("the files are gone", || files(&site.media()).len() == before);
}

#[test]
fn many_photos_change_at_once_or_not_at_all() {
    let site = Site::new();
    site.account(OWNER, "user");
    site.account(OTHER, "user");
    let app = site.serve();
    let (owner, other) = (app.login(OWNER), app.login(OTHER));
    let (a, b) = (owner.photo(&[("tags", "one,two")], &jpeg(1)), owner.photo(&[], &jpeg(2)));
    let foreign = other.photo(&[], &jpeg(3));
    let album = owner.json("POST", "/api/albums", r#"{"title":"Album"}"#).body_json();
    let bulk = |client: &Client, body: Value| client.json("POST", "/api/photos/bulk", &body.to_string());
    let change = json!({
        "keys": [key(&a), key(&b)], "action": "change", "change": {"visibility": "unlisted", "camera": "Leica M6"},
        "add_tags": ["Three"], "remove_tags": ["one"], "album": key(&album),
    });
    assert_eq!(bulk(&owner, change).body_json()["changed"], 2);
    let seen = owner.get(&format!("/api/photos/{}", key(&a))).body_json();
    assert_eq!(
        (&seen["tags"], &seen["camera"], &seen["visibility"]),
        (&json!(["three", "two"]), &json!("Leica M6"), &json!("unlisted"))
    );
    assert_eq!(
        owner.get("/api/photos?mine=true&q=three").body_json()["photos"].as_array().expect("photos").len(),
        2
    );
    assert_eq!(owner.get(&format!("/api/albums/{}", key(&album))).body_json()["photos"], 2);
    let mixed = json!({"keys": [key(&a), key(&foreign)], "action": "trash"});
    assert_eq!(bulk(&owner, mixed).status, 403);
    assert_eq!(owner.get("/api/photos?mine=true&trash=true").body_json()["photos"], json!([]));
    let alive = json!({"keys": [key(&a)], "action": "delete"});
    assert_eq!(bulk(&owner, alive.clone()).status, 400, "only what is in the trash goes for ever");
    assert_eq!(bulk(&owner, json!({"keys": [key(&a)], "action": "trash"})).status, 200);
    assert_eq!(bulk(&owner, alive).status, 200);
    assert_eq!(owner.get(&format!("/api/photos/{}", key(&a))).status, 404);
}

#[test]
fn the_same_file_sent_at_the_same_moment_is_one_photo() {
    let site = Site::new();
    let app = site.serve();
    let admin = app.login(ADMIN);
    let file = filmtrip::images::sample::photo(1200, 800, 5).expect("sample");
    let sent: Vec<_> = (0..4)
        .map(|_| {
            let (admin, file) = (admin.clone(), file.clone());
            std::thread::spawn(move || admin.upload(&[], &[&file]))
        })
        .collect();
    let replies: Vec<_> = sent.into_iter().map(|t| t.join().expect("client")).collect();
    let first = key(&replies[0].body_json()["photos"][0]);
    for reply in &replies {
        assert!(matches!(reply.status, 200 | 201), "{}", reply.text());
        assert_eq!(key(&reply.body_json()["photos"][0]), first);
    }
    assert_eq!(replies.iter().filter(|r| r.status == 201).count(), 1);
    assert_eq!(keys(&admin.get("/api/photos").body_json()), std::slice::from_ref(&first));
    // What the others had written goes; what the one has stays.
    until("one original and its sizes are left", || {
        let names = files(&site.media());
        names
            .keys()
            .filter(|n| {
                n.to_string_lossy().contains("/originals/") || n.to_string_lossy().contains("/variants/")
            })
            .count()
            == 7
    });
    assert_eq!(admin.get(&format!("/api/photos/{first}/original")).body, file);
}

#[test]
fn accounts_begin_with_a_link_and_can_be_locked_out() {
    let site = Site::new();
    let app = site.serve();
    let admin = app.login(ADMIN);
    let made = admin.json("POST", "/api/admin/accounts", r#"{"email":"New@Example.com","role":"user"}"#);
    assert_eq!(made.status, 201, "{}", made.text());
    assert_eq!(
        admin.json("POST", "/api/admin/accounts", r#"{"email":"new@example.com","role":"user"}"#).status,
        400
    );
    let path = made.body_json()["path"].as_str().expect("link").to_owned();
    let token = path.strip_prefix("/setup?token=").expect("token").to_owned();
    let setup = json!({"token": token, "password": PASSWORD}).to_string();
    assert_eq!(app.client().json("POST", "/api/auth/setup", &setup).status, 204);
    assert_eq!(app.client().json("POST", "/api/auth/setup", &setup).status, 404, "the link worked twice");
    let user = app.login("new@example.com");
    let accounts = admin.get("/api/admin/accounts").body_json();
    let id = |email: &str| {
        let all = accounts["accounts"].as_array().expect("accounts");
        all.iter().find(|a| a["email"] == email).expect("account")["id"].as_i64().expect("id")
    };
    let account = format!("/api/admin/accounts/{}", id("new@example.com"));
    let stale = "another good password";
    let changed =
        user.json("POST", "/api/auth/password", &json!({"old": PASSWORD, "new": stale}).to_string());
    assert_eq!(changed.status, 204, "{}", changed.text());
    assert_eq!(user.get("/api/auth/session").status, 200, "the session that changed it goes on");
    assert_eq!(
        user.json("POST", "/api/auth/password", &json!({"old": PASSWORD, "new": stale}).to_string()).status,
        401
    );
    assert_eq!(admin.json("PATCH", &account, r#"{"disabled":true}"#).body_json()["disabled"], true);
    assert_eq!(user.get("/api/auth/session").status, 401, "a locked account is still in");
    let again = json!({"email": "new@example.com", "password": stale}).to_string();
    assert_eq!(app.client().json("POST", "/api/auth/login", &again).status, 401);
    assert_eq!(admin.json("POST", &format!("{account}/setup-link"), "").status, 400);
    assert_eq!(admin.json("PATCH", &account, r#"{"disabled":false}"#).status, 200);
    assert_eq!(app.client().json("POST", "/api/auth/login", &again).status, 200);
    let own = format!("/api/admin/accounts/{}", id(ADMIN));
    for change in [r#"{"disabled":true}"#, r#"{"role":"user"}"#] {
        assert_eq!(admin.json("PATCH", &own, change).status, 400, "nobody would be left");
    }
    assert_eq!(admin.json("PATCH", "/api/admin/accounts/999", r#"{"role":"user"}"#).status, 404);
}

#[test]
fn integrity_names_what_is_missing() {
    let site = Site::new();
    let app = site.serve();
    let admin = app.login(ADMIN);
    let (whole, broken) = (admin.photo(&[], &jpeg(1)), admin.photo(&[], &jpeg(2)));
    let look = || {
        assert_eq!(admin.json("POST", "/api/admin/integrity", "").status, 202);
        until("the look is over", || admin.get("/api/admin/integrity").body_json()["running"] == false);
        admin.get("/api/admin/integrity").body_json()
    };
    let first = look();
    assert_eq!((&first["photos"], &first["faults"]), (&json!(2), &json!([])));
    let lost = files(&site.media())
        .into_keys()
        .find(|n| n.ends_with(format!("{}/preview.jpg", key(&broken))))
        .expect("file");
    std::fs::remove_file(lost).expect("lost");
    let second = look();
    assert_eq!(second["faults"].as_array().expect("faults").len(), 1, "{second}");
    assert_eq!(second["faults"][0]["key"], key(&broken).as_str());
    assert!(second["faults"][0]["problem"].as_str().expect("problem").contains("preview.jpg"), "{second}");
    assert_ne!(key(&whole), key(&broken));
}

#[test]
fn integrity_reads_originals_to_the_last_byte() {
    let site = Site::new();
    let app = site.serve();
    let admin = app.login(ADMIN);
    let photos: Vec<Value> = (10..14).map(|seed| admin.photo(&[], &jpeg(seed))).collect();
    let original = |photo: &Value| {
        let row = filmtrip::db::photos::by_key(&mut site.sql(), &key(photo)).expect("query").expect("row");
        site.media().join(row.object)
    };
    let (flipped, cut, gone) = (original(&photos[1]), original(&photos[2]), original(&photos[3]));
    let mut bytes = std::fs::read(&flipped).expect("original");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&flipped, &bytes).expect("a bit of the disk");
    let shorter = std::fs::metadata(&cut).expect("original").len() - 1;
    std::fs::File::options().write(true).open(&cut).and_then(|f| f.set_len(shorter)).expect("cut");
    std::fs::remove_file(&gone).expect("gone");
    assert_eq!(admin.json("POST", "/api/admin/integrity", "").status, 202);
    until("the look is over", || admin.get("/api/admin/integrity").body_json()["running"] == false);
    let found = admin.get("/api/admin/integrity").body_json();
    let faults: Vec<(&str, &str)> = found["faults"]
        .as_array()
        .expect("faults")
        .iter()
        .map(|f| (f["key"].as_str().expect("key"), f["problem"].as_str().expect("problem")))
        .collect();
    let expected = [(1, "original_damaged"), (2, "original_size"), (3, "original_missing")];
    assert_eq!(faults.len(), expected.len(), "{found}");
    for ((photo, problem), (at, told)) in faults.iter().zip(expected) {
        assert_eq!(*photo, key(&photos[at]), "{found}");
        assert!(problem.contains(told), "{problem}");
    }
    // The page says so too, and what is good is not named.
    let page = admin.get("/admin/site").text();
    assert!(page.contains("does not have the bytes") && !page.contains(&key(&photos[0])), "{page}");
}
