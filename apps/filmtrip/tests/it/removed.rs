//! A deleted roll or album comes back as it was.

use serde_json::{Value, json};

use super::support::{ADMIN, Client, OTHER, OWNER, Site, jpeg, key};
use super::upyun::until;

const ROLL: &str = r#"{"title":"Kyoto","film_stock":"Portra 400","camera":"FM2","lens":"50mm","format":"120","box_iso":400,
    "exposure_index":800,"scanner":"LS-50","lab":"Corner","developer":"C-41","loaded_on":"2026-05-01",
    "unloaded_on":"2026-05-03","notes":"Rain"}"#;

fn get(client: &Client, path: &str) -> Value {
    client.get(path).body_json()
}

/// The keys of a list of photos.
fn keys(client: &Client, query: &str) -> Vec<String> {
    get(client, &format!("/api/photos?{query}"))["photos"]
        .as_array()
        .expect("photos")
        .iter()
        .map(key)
        .collect()
}

#[test]
fn a_roll_comes_back_with_its_frames_and_what_they_had_of_it() {
    let site = Site::new();
    for email in [OWNER, OTHER] {
        site.account(email, "user");
    }
    let app = site.serve();
    let (owner, other, admin) = (app.login(OWNER), app.login(OTHER), app.login(ADMIN));
    let roll = owner.json("POST", "/api/rolls", ROLL).body_json();
    let path = format!("/api/rolls/{}", key(&roll));
    let at = |frame: &str| [("roll".to_owned(), key(&roll)), ("frame".to_owned(), frame.to_owned())];
    let photos: Vec<String> = (1..6_u64)
        .map(|n| {
            let fields = at(&n.to_string());
            let fields: Vec<(&str, &str)> = fields.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            key(&owner.photo(&fields, &jpeg(n)))
        })
        .collect();
    let change = |photo: &str, body: Value| {
        let changed = owner.json("PATCH", &format!("/api/photos/{photo}"), &body.to_string());
        assert_eq!(changed.status, 200, "{}", changed.text());
    };
    change(&photos[1], json!({"film_stock": "HP5"}));
    let before = get(&owner, &path);
    let frames = keys(&owner, &format!("roll={}&mine=true", key(&roll)));
    assert_eq!(frames, photos);

    let edit = owner.get(&format!("/admin/rolls/{}", key(&roll))).text();
    assert!(
        edit.contains("comes back from there as it was") && !edit.contains("cannot be brought back"),
        "{edit}"
    );
    let deleted = owner.form(&format!("/admin/rolls/{}/delete", key(&roll)), "sure=true");
    let back = deleted.header("location").expect("location").to_owned();
    assert_eq!(back, format!("/admin/rolls?notice=trashed&undo={}", key(&roll)));
    let page = owner.get(&back).text();
    let undo = format!("action=\"/admin/trash/{}\"", key(&roll));
    assert!(page.contains(&undo) && page.contains("Undo"), "{page}");
    assert_eq!(owner.get(&path).status, 404);
    let one = |n: usize| get(&owner, &format!("/api/photos/{}", photos[n]));
    assert_eq!((&one(0)["film_stock"], &one(0)["roll"]), (&json!("Portra 400"), &Value::Null));

    assert_eq!(keys(&owner, "mine=true&q=kyoto"), Vec::<String>::new());

    // Meanwhile: one gets another camera, one another roll, one is deleted for ever, and one goes into the trash.
    change(&photos[0], json!({"camera": "F3"}));
    let later = owner.json("POST", "/api/rolls", r#"{"title":"Later"}"#).body_json();
    change(&photos[2], json!({"roll": key(&later)}));
    assert_eq!(owner.json("DELETE", &format!("/api/photos/{}?forever=true", photos[3]), "").status, 204);
    assert_eq!(owner.json("DELETE", &format!("/api/photos/{}", photos[4]), "").status, 204);

    let trash = get(&owner, "/api/trash");
    let thing = &trash["removed"][0];
    assert_eq!(
        (&thing["kind"], &thing["title"], &thing["photos"]),
        (&json!("roll"), &json!("Kyoto"), &json!(5))
    );
    assert!(owner.get("/admin/trash").text().contains(&undo));
    assert_eq!(get(&other, "/api/trash")["removed"], json!([]));
    assert_eq!(get(&admin, "/api/trash")["removed"][0]["owner"], OWNER);

    let restored = owner.form(&format!("/admin/trash/{}", key(&roll)), "action=restore");
    assert_eq!(
        restored.header("location"),
        Some(format!("/admin/rolls/{}?notice=restored", key(&roll)).as_str()),
        "{}",
        restored.text()
    );
    let mut after = get(&owner, &path);
    // Two of its five are there to be seen.
    assert_eq!(after["photos"], 2);
    after["photos"] = before["photos"].clone();
    assert_eq!(after, before);
    assert_eq!(keys(&owner, &format!("roll={}&mine=true", key(&roll))), photos[..2]);
    assert_eq!(keys(&owner, "mine=true&q=kyoto").len(), 2, "what is searched was not written again");
    // What was the roll's follows it again; what is a photo's own stays.
    let renamed = ROLL.replace("Portra 400", "Ektar 100").replace("FM2", "F100");
    assert_eq!(owner.json("PUT", &path, &renamed).status, 200);
    assert_eq!((&one(0)["film_stock"], &one(0)["camera"]), (&json!("Ektar 100"), &json!("F3")));
    assert_eq!((&one(1)["film_stock"], &one(1)["camera"]), (&json!("HP5"), &json!("F100")));
    assert_eq!(one(2)["roll"]["title"], "Later");
    // Out of the trash, the last one is on its roll, too.
    assert_eq!(owner.json("POST", &format!("/api/photos/{}/restore", photos[4]), "").status, 200);
    assert_eq!(one(4)["roll"]["title"], "Kyoto");
    assert_eq!(get(&owner, "/api/trash")["removed"], json!([]));
    // A second time works as well.
    assert_eq!(owner.json("DELETE", &path, "").status, 204);
    assert_eq!(owner.json("POST", &format!("/api/trash/{}/restore", key(&roll)), "").status, 200);
    assert_eq!(get(&owner, &path)["photos"], 3);
}

#[test]
fn an_album_comes_back_with_its_photos_in_their_order() {
    let site = Site::new();
    site.account(OWNER, "user");
    let app = site.serve();
    let owner = app.login(OWNER);
    let new = |title: &str| {
        let body = json!({"title": title, "description": "By night train", "kind": "trip", "visibility": "unlisted",
            "starts_on": "2026-05-01", "ends_on": "2026-05-04"});
        key(&owner.json("POST", "/api/albums", &body.to_string()).body_json())
    };
    let (album, newer) = (new("Dali"), new("Lijiang"));
    let photos: Vec<String> = (1..5).map(|n| key(&owner.photo(&[], &jpeg(n)))).collect();
    let order = [2, 0, 3, 1].map(|n: usize| photos[n].clone());
    let path = format!("/api/albums/{album}");
    assert_eq!(owner.json("PUT", &format!("{path}/photos"), &json!({"keys": order}).to_string()).status, 200);
    let before = get(&owner, &path);
    let titles = || -> Vec<String> {
        let albums = get(&owner, "/api/albums?mine=true");
        let albums = albums["albums"].as_array().expect("albums");
        albums.iter().map(|a| a["title"].as_str().expect("title").to_owned()).collect()
    };
    assert_eq!(titles(), ["Lijiang", "Dali"]);
    let deleted = owner.form(&format!("/admin/albums/{album}/delete"), "sure=true");
    let back = format!("/admin/albums?notice=trashed&undo={album}");
    assert_eq!(deleted.header("location"), Some(back.as_str()));
    assert!(owner.get(&back).text().contains(&format!("action=\"/admin/trash/{album}\"")));
    assert_eq!((owner.get(&path).status, app.client().get(&format!("/a/{album}")).status), (404, 404));
    // The photos stayed, and are everybody's to see.
    assert_eq!(app.client().get(&format!("/p/{}", photos[0])).status, 200);
    assert_eq!(owner.json("DELETE", &format!("/api/photos/{}?forever=true", photos[3]), "").status, 204);
    let restored = owner.json("POST", &format!("/api/trash/{album}/restore"), "");
    assert_eq!(restored.body_json()["kind"], "album", "{}", restored.text());
    let mut after = get(&owner, &path);
    assert_eq!(after["photos"], 3);
    after["photos"] = before["photos"].clone();
    assert_eq!(after, before);
    assert_eq!(keys(&owner, &format!("album={album}")), [2, 0, 1].map(|n: usize| photos[n].clone()));
    assert_eq!(titles(), ["Lijiang", "Dali"], "it has another place than it had");

    // The place of the newest may be another's by now.
    assert_eq!(owner.json("DELETE", &format!("/api/albums/{newer}"), "").status, 204);
    new("Shangri-La");
    assert_eq!(owner.json("POST", &format!("/api/trash/{newer}/restore"), "").status, 200);
    let mut all = titles();
    all.sort();
    assert_eq!(all, ["Dali", "Lijiang", "Shangri-La"]);
}

#[test]
fn what_is_deleted_for_ever_or_has_been_there_for_long_does_not_come_back() {
    let site = Site::new();
    let app = site.start("serve", &[("FILMTRIP_SWEEP_SECONDS", "1")]);
    let admin = app.login(ADMIN);
    let gone = |title: &str| {
        let roll = key(&admin.json("POST", "/api/rolls", &json!({"title": title}).to_string()).body_json());
        assert_eq!(admin.json("DELETE", &format!("/api/rolls/{roll}"), "").status, 204);
        roll
    };
    let (first, second, third) = (gone("First"), gone("Second"), gone("Third"));
    let unsure = admin.form(&format!("/admin/trash/{first}"), "action=delete");
    assert_eq!(unsure.header("location"), Some("/admin/trash?notice=unsure"));
    let sure = admin.form(&format!("/admin/trash/{first}"), "action=delete&sure=true");
    assert_eq!(sure.header("location"), Some("/admin/trash?notice=deleted"));
    assert_eq!(admin.json("POST", &format!("/api/trash/{first}/restore"), "").status, 404);
    let old = format!("UPDATE removed SET deleted_at = 1 WHERE key = '{second}'");
    assert_eq!(site.sql().execute(&old, &[]).expect("long ago"), 1);
    until("the trash is emptied", || {
        let left = get(&admin, "/api/trash");
        left["removed"].as_array().is_some_and(|all| all.len() == 1 && all[0]["key"] == third.as_str())
    });
    assert_eq!(admin.json("POST", &format!("/api/trash/{second}/restore"), "").status, 404);
}

#[test]
fn the_trash_has_pages_of_rolls_and_albums() {
    let site = Site::new();
    let app = site.serve();
    let admin = app.login(ADMIN);
    for n in 0..120 {
        let row = format!(
            "INSERT INTO removed (key, kind, owner_id, title, photos, content, deleted_at)
             VALUES ('{n:026}', 'roll', 1, 'Roll {n}', 0, '{{}}', {})",
            filmtrip::db::now_ms()
        );
        site.sql().execute(&row, &[]).expect("row");
    }
    let (mut path, mut seen) = ("/admin/trash".to_owned(), Vec::new());
    loop {
        let page = admin.get(&path).text();
        let found = page.split("action=\"/admin/trash/").skip(1);
        seen.extend(found.map(|rest| rest.split('"').next().expect("key").to_owned()));
        let Some(next) = page.split("rel=\"next\" href=\"").nth(1) else { break };
        path = next.split('"').next().expect("address").to_owned();
        assert!(seen.len() <= 120, "the pages have no end");
    }
    let expected: Vec<String> = (0..120).rev().map(|n| format!("{n:026}")).collect();
    assert_eq!(seen, expected);
}

#[test]
fn before_its_schema_deleting_is_for_good_and_asked_twice() {
    let site = Site::empty();
    site.ok(&["migrate", "--to", "5"]);
    site.account(ADMIN, "admin");
    let app = site.serve();
    let admin = app.login(ADMIN);
    let roll = key(&admin.json("POST", "/api/rolls", r#"{"title":"Kyoto"}"#).body_json());
    let edit = admin.get(&format!("/admin/rolls/{roll}")).text();
    assert!(
        edit.contains("I know that it cannot be brought back") && edit.contains("gone for good"),
        "{edit}"
    );
    let deleted = admin.form(&format!("/admin/rolls/{roll}/delete"), "sure=true");
    assert_eq!(deleted.header("location"), Some("/admin/rolls?notice=deleted"));
    assert_eq!(get(&admin, "/api/trash")["removed"], json!([]));
}
