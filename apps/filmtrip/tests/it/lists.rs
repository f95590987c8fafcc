//! What is not for somebody is in nothing that they can read: not in a list, a menu, a feed, a map, nor on another page.

use serde_json::{Value, json};

use super::access;
use super::support::{
    ADMIN, App, Client, OTHER, OWNER, Reply, Site, ascii, exif_segment, jpeg, jpeg_with, key,
};

/// Stands in every word of what is hidden.
const MARK: &str = "Zq7hidden";

/// A photo of which every word has the mark, and which has a place that everybody may know.
fn marked(owner: &Client, seed: u64, visibility: &str) -> String {
    let roll = json!({"title": format!("{MARK} roll"), "film_stock": format!("{MARK} roll's film"),
                      "scanner": format!("{MARK} scanner"), "notes": format!("{MARK} notes")});
    let roll = key(&owner.json("POST", "/api/rolls", &roll.to_string()).body_json());
    let exif = exif_segment(&[(exif::Tag::Model, ascii(&format!("{MARK} body")))]);
    let fields = [("visibility", visibility), ("tags", "plain,Zq7hidden tag"), ("roll", roll.as_str())];
    let photo = key(&owner.photo(&fields, &jpeg_with(seed, &[(0xE1, &exif)])));
    let change = json!({
        "title": format!("{MARK} title word"), "caption": format!("{MARK} caption"), "place": format!("{MARK} place"),
        "film_stock": format!("{MARK} film"), "camera": format!("{MARK} camera"), "lens": format!("{MARK} lens"),
        "location": {"lat": 25.6, "lon": 100.2, "shown": true},
    });
    let changed = owner.json("PATCH", &format!("/api/photos/{photo}"), &change.to_string());
    assert_eq!(changed.status, 200, "{}", changed.text());
    photo
}

/// A site with one public photo, and others that are not for everybody.
struct Shelf {
    public: String,
    hidden: Vec<String>,
    /// Of the private photo.
    short: String,
    /// Private, and reached by its link only.
    albums: [String; 2],
}

fn shelf(owner: &Client) -> Shelf {
    let public = key(&owner.photo(&[("title", "Seen by all"), ("tags", "plain")], &jpeg(1)));
    let hidden = vec![marked(owner, 2, "private"), marked(owner, 3, "unlisted"), marked(owner, 4, "public")];
    let short = owner.json("POST", &format!("/api/photos/{}/short", hidden[0]), "").body_json();
    assert_eq!(owner.json("DELETE", &format!("/api/photos/{}", hidden[2]), "").status, 204, "into the trash");
    let albums = ["private", "unlisted"].map(|visibility| {
        let body = json!({"title": format!("{MARK} album"), "visibility": visibility, "description": MARK});
        key(&owner.json("POST", "/api/albums", &body.to_string()).body_json())
    });
    // A public album that holds them all tells of the public one.
    let body = json!({"title": "Shown", "visibility": "public"});
    let shown = key(&owner.json("POST", "/api/albums", &body.to_string()).body_json());
    for album in albums.iter().chain([&shown]) {
        let keys = json!({"keys": [hidden[0], hidden[1], public]});
        let filled = owner.json("PUT", &format!("/api/albums/{album}/photos"), &keys.to_string());
        assert_eq!(filled.status, 200, "{}", filled.text());
    }
    let short = short["path"].as_str().expect("path").to_owned();
    Shelf { public, hidden, short, albums: [shown, albums[0].clone()] }
}

/// Every address that can be read: those of the table of all routes, and lists in every way they can be asked for.
fn addresses(shelf: &Shelf) -> Vec<String> {
    let [shown, hidden] = &shelf.albums;
    let of_table = access::readable(&shelf.public, &shelf.hidden[0], hidden);
    let more = [
        "/?before=KEY",
        "/search?q=word",
        "/search?q=title",
        "/t/plain",
        "/feed.xml",
        "/gear",
        "/map",
        "/albums",
        "/api/photos?limit=100",
        "/api/photos?q=word",
        "/api/photos?tag=plain",
        "/api/photos?trash=true",
        "/api/photos?mine=true&limit=100",
        "/api/photos?mine=true&trash=true",
        "/api/albums",
        "/api/albums?mine=true",
        "/api/tags",
        "/api/tags?mine=true",
        "/api/gear",
        "/api/gear?mine=true",
        "/api/map",
        "/api/map?mine=true",
        "/api/rolls",
        "/api/uploads",
        "/p/KEY",
        "/api/photos/KEY",
        "/api/photos/KEY/neighbours",
        "/api/photos/KEY/neighbours?tag=plain",
        "/admin",
        "/admin/trash",
        "/admin/rolls",
        "/admin/albums",
        "/a/SHOWN",
        "/api/albums/SHOWN",
        "/api/photos?album=SHOWN",
        "/feed.xml?album=SHOWN",
        "/api/photos/KEY/neighbours?album=SHOWN",
        "/p/KEY?album=SHOWN",
    ];
    let more = more.map(|path| path.replace("KEY", &shelf.public).replace("SHOWN", shown));
    let short = [shelf.short.clone(), shelf.short.replace("/s/", "/api/short/")];
    of_table.into_iter().chain(more).chain(short).collect()
}

/// Whether an answer tells of what is hidden. Of a key that is in the address, it tells nothing new.
fn tells(reply: &Reply, path: &str, shelf: &Shelf) -> bool {
    let text = reply.text();
    let new = |key: &&String| !path.contains(key.as_str()) && text.contains(key.as_str());
    text.to_lowercase().contains(&MARK.to_lowercase()) || shelf.hidden.iter().any(|key| new(&key))
}

#[test]
fn nothing_that_others_can_read_tells_of_what_is_not_for_them() {
    let site = Site::new();
    site.account(OWNER, "user");
    site.account(OTHER, "user");
    let app = site.serve();
    let owner = app.login(OWNER);
    let shelf = shelf(&owner);
    let mut told = Vec::new();
    for (who, client) in [("a visitor", app.client()), ("another user", app.login(OTHER))] {
        for path in addresses(&shelf) {
            if tells(&client.get(&path), &path, &shelf) {
                told.push(format!("{path} tells {who}"));
            }
        }
    }
    assert!(told.is_empty(), "{}", told.join("\n"));
    // And it is there to be told: to its owner, in each of these.
    for path in [
        "/api/photos?mine=true",
        "/api/photos?mine=true&trash=true",
        "/api/albums?mine=true",
        "/api/tags?mine=true",
        "/api/gear?mine=true",
        "/api/map?mine=true",
        "/api/rolls",
        "/admin",
        "/admin/trash",
        "/admin/rolls",
        "/admin/albums",
    ] {
        assert!(tells(&owner.get(path), path, &shelf), "{path} does not tell its owner");
    }
    by_link_only(&app, &shelf);
}

/// What is reached by its link only, is reached by it.
fn by_link_only(app: &App, shelf: &Shelf) {
    let visitor = app.client();
    assert_eq!(visitor.get(&format!("/p/{}", shelf.hidden[1])).status, 200);
    for list in ["film", "camera", "lens", "scanner"] {
        assert_eq!(visitor.get(&format!("/{list}/{MARK}%20{list}")).status, 404, "{list}");
    }
    let shown = visitor.get(&format!("/api/albums/{}", shelf.albums[0])).body_json();
    assert_eq!(shown["photos"], 1, "an album counts what its visitor may not see: {shown}");
}

#[test]
fn what_a_file_says_is_text_on_every_page() {
    let site = Site::new();
    let app = site.serve();
    let admin = app.login(ADMIN);
    let said = "<b id=zq>\"F3' & co";
    let exif = exif_segment(&[(exif::Tag::Make, ascii(said)), (exif::Tag::Model, ascii(said))]);
    let photo = admin.photo(&[("title", "Plain")], &jpeg_with(5, &[(0xE1, &exif)]));
    assert_eq!(photo["exif"]["model"], Value::from(said), "it is read as it is");
    let mut seen = 0;
    for path in [
        format!("/p/{}", key(&photo)),
        "/".to_owned(),
        "/feed.xml".to_owned(),
        "/gear".to_owned(),
        "/admin".to_owned(),
        format!("/admin/photos/{}", key(&photo)),
        "/search?q=F3".to_owned(),
    ] {
        let text = admin.get(&path).text();
        assert!(!text.contains("<b id=zq"), "{path}: {text}");
        seen += usize::from(text.contains("&lt;b id=zq"));
    }
    assert!(seen > 0, "no page shows what the file says");
}
