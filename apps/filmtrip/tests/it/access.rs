//! Every route for every role, in one table; a route that is missing from it fails the test.

use std::collections::{BTreeMap, BTreeSet};

use super::support::{ADMIN, App, Client, MULTIPART, OTHER, OWNER, Site, jpeg, key, multipart};

/// Route, method, path, and the status for anonymous, another user, the owner and an admin; who is locked out is met like
/// somebody anonymous, whatever cookie they have. In the paths stand, of the owner: `PUB`, `UNL`, `PRIV` and `TRASH` for a
/// photo that is public, unlisted, private, and in the trash; `ROLL` and `ALBUM` for a roll and a private album; `SENT` for
/// an upload; `REPORTED` for a public photo with a report; `LOSTFILM` and `LOSTBOOK` for those in the trash; `OPENCODE` and `SHUTCODE` for the short links of an unlisted and a private photo.
const TABLE: &[(&str, &str, &str, [u16; 4])] = &[
    ("/api/health", "GET", "/api/health", [200, 200, 200, 200]),
    ("/api/auth/login", "POST", "/api/auth/login", [401, 401, 401, 401]),
    ("/api/auth/session", "GET", "/api/auth/session", [401, 200, 200, 200]),
    ("/api/auth/setup", "POST", "/api/auth/setup", [404, 404, 404, 404]),
    ("/api/auth/password", "POST", "/api/auth/password", [401, 401, 401, 401]),
    ("/api/photos", "GET", "/api/photos", [200, 200, 200, 200]),
    ("/api/photos", "GET", "/api/photos?mine=true", [401, 200, 200, 200]),
    ("/api/photos", "GET", "/api/photos?trash=true", [401, 200, 200, 200]),
    ("/api/photos", "POST", "/api/photos", [401, 201, 201, 201]),
    ("/api/photos/bulk", "POST", "/api/photos/bulk?PUB", [401, 403, 200, 200]),
    ("/api/photos/bulk", "POST", "/api/photos/bulk?PRIV", [401, 404, 200, 200]),
    ("/api/photos/{key}", "GET", "/api/photos/PUB", [200, 200, 200, 200]),
    ("/api/photos/{key}", "GET", "/api/photos/PRIV", [404, 404, 200, 200]),
    ("/api/photos/{key}", "PATCH", "/api/photos/PUB", [401, 403, 200, 200]),
    ("/api/photos/{key}", "PATCH", "/api/photos/PRIV", [401, 404, 200, 200]),
    ("/api/photos/{key}", "DELETE", "/api/photos/PUB", [401, 403, 204, 204]),
    ("/api/photos/{key}", "DELETE", "/api/photos/PRIV", [401, 404, 204, 204]),
    ("/api/photos/{key}", "DELETE", "/api/photos/PUB?forever=true", [401, 403, 204, 204]),
    ("/api/photos/{key}", "GET", "/api/photos/UNL", [200, 200, 200, 200]),
    ("/api/photos/{key}", "PATCH", "/api/photos/UNL", [401, 403, 200, 200]),
    ("/api/photos/{key}", "DELETE", "/api/photos/UNL", [401, 403, 204, 204]),
    ("/api/photos/{key}", "GET", "/api/photos/TRASH", [404, 404, 200, 200]),
    ("/api/photos/{key}", "PATCH", "/api/photos/TRASH", [401, 404, 200, 200]),
    ("/api/photos/{key}", "DELETE", "/api/photos/TRASH?forever=true", [401, 404, 204, 204]),
    ("/api/photos/bulk", "POST", "/api/photos/bulk?UNL", [401, 403, 200, 200]),
    ("/api/photos/bulk", "POST", "/api/photos/bulk?TRASH", [401, 404, 200, 200]),
    ("/api/photos/{key}/neighbours", "GET", "/api/photos/UNL/neighbours", [200, 200, 200, 200]),
    ("/api/photos/{key}/neighbours", "GET", "/api/photos/TRASH/neighbours", [404, 404, 200, 200]),
    ("/api/photos/{key}/original", "GET", "/api/photos/UNL/original", [401, 403, 200, 200]),
    ("/api/photos/{key}/original", "GET", "/api/photos/TRASH/original", [401, 404, 200, 200]),
    ("/api/photos/{key}/restore", "POST", "/api/photos/TRASH/restore", [401, 404, 200, 200]),
    ("/api/photos/{key}/short", "POST", "/api/photos/UNL/short", [401, 403, 200, 200]),
    ("/api/photos/{key}/short", "POST", "/api/photos/TRASH/short", [401, 404, 200, 200]),
    ("/api/short/{code}", "GET", "/api/short/OPENCODE", [200, 200, 200, 200]),
    ("/api/short/{code}", "GET", "/api/short/SHUTCODE", [404, 404, 200, 200]),
    ("/s/{code}", "GET", "/s/OPENCODE", [307, 307, 307, 307]),
    ("/s/{code}", "GET", "/s/SHUTCODE", [404, 404, 307, 307]),
    ("/media/{key}/{file}", "GET", "/media/UNL/large.jpg", [200, 200, 200, 200]),
    ("/media/{key}/{file}", "GET", "/media/TRASH/thumb.jpg", [404, 404, 200, 200]),
    ("/media/{key}/{file}", "GET", "/media/TRASH/large.webp", [404, 404, 200, 200]),
    ("/p/{key}", "GET", "/p/UNL", [200, 200, 200, 200]),
    ("/p/{key}", "GET", "/p/TRASH", [404, 404, 200, 200]),
    ("/admin/photos/{key}", "GET", "/admin/photos/UNL", [303, 403, 200, 200]),
    ("/admin/photos/{key}", "GET", "/admin/photos/TRASH", [303, 404, 200, 200]),
    ("/admin/photos/{key}", "POST", "/admin/photos/TRASH", [303, 404, 303, 303]),
    ("/admin/photos/{key}/delete", "POST", "/admin/photos/UNL/delete", [303, 403, 303, 303]),
    ("/api/photos/{key}/neighbours", "GET", "/api/photos/PUB/neighbours", [200, 200, 200, 200]),
    ("/api/photos/{key}/neighbours", "GET", "/api/photos/PRIV/neighbours", [404, 404, 200, 200]),
    ("/api/photos/{key}/original", "GET", "/api/photos/PUB/original", [401, 403, 200, 200]),
    ("/api/photos/{key}/original", "GET", "/api/photos/PRIV/original", [401, 404, 200, 200]),
    ("/api/photos/{key}/restore", "POST", "/api/photos/PUB/restore", [401, 403, 200, 200]),
    ("/api/photos/{key}/restore", "POST", "/api/photos/PRIV/restore", [401, 404, 200, 200]),
    ("/api/photos/{key}/short", "POST", "/api/photos/PUB/short", [401, 403, 200, 200]),
    ("/api/photos/{key}/short", "POST", "/api/photos/PRIV/short", [401, 404, 200, 200]),
    // What not everybody may see, nobody can report: not its owner either.
    ("/api/photos/{key}/reports", "POST", "/api/photos/PUB/reports", [204, 204, 204, 204]),
    ("/api/photos/{key}/reports", "POST", "/api/photos/UNL/reports", [204, 204, 204, 204]),
    ("/api/photos/{key}/reports", "POST", "/api/photos/PRIV/reports", [404, 404, 404, 404]),
    ("/api/photos/{key}/reports", "POST", "/api/photos/TRASH/reports", [404, 404, 404, 404]),
    ("/p/{key}/report", "GET", "/p/PUB/report", [303, 303, 303, 303]),
    ("/p/{key}/report", "POST", "/p/PUB/report", [303, 303, 303, 303]),
    ("/p/{key}/report", "POST", "/p/UNL/report", [303, 303, 303, 303]),
    ("/p/{key}/report", "POST", "/p/PRIV/report", [404, 404, 404, 404]),
    ("/p/{key}/report", "POST", "/p/TRASH/report", [404, 404, 404, 404]),
    ("/api/admin/reports", "GET", "/api/admin/reports", [401, 403, 403, 200]),
    ("/api/admin/reports/closed", "GET", "/api/admin/reports/closed", [401, 403, 403, 200]),
    ("/api/admin/reports/{key}", "GET", "/api/admin/reports/REPORTED", [401, 403, 403, 200]),
    ("/api/admin/reports/{key}", "POST", "/api/admin/reports/REPORTED", [401, 403, 403, 200]),
    ("/admin/reports", "GET", "/admin/reports", [303, 403, 403, 200]),
    ("/admin/reports/closed", "GET", "/admin/reports/closed", [303, 403, 403, 200]),
    ("/admin/reports/{key}", "GET", "/admin/reports/REPORTED", [303, 403, 403, 200]),
    ("/admin/reports/{key}", "POST", "/admin/reports/REPORTED", [303, 403, 403, 303]),
    ("/api/admin/storage", "GET", "/api/admin/storage", [401, 403, 403, 200]),
    ("/admin/site/storage", "GET", "/admin/site/storage", [303, 403, 403, 200]),
    ("/api/trash", "GET", "/api/trash", [401, 200, 200, 200]),
    ("/api/trash/{key}", "DELETE", "/api/trash/LOSTFILM", [401, 404, 204, 204]),
    ("/api/trash/{key}", "DELETE", "/api/trash/LOSTBOOK", [401, 404, 204, 204]),
    ("/api/trash/{key}/restore", "POST", "/api/trash/LOSTFILM/restore", [401, 404, 200, 200]),
    ("/api/trash/{key}/restore", "POST", "/api/trash/LOSTBOOK/restore", [401, 404, 200, 200]),
    ("/admin/trash/{key}", "POST", "/admin/trash/LOSTFILM", [303, 404, 303, 303]),
    ("/api/short/{code}", "GET", "/api/short/abcdefgh", [404, 404, 404, 404]),
    ("/api/uploads", "GET", "/api/uploads", [401, 200, 200, 200]),
    ("/api/uploads", "POST", "/api/uploads", [401, 409, 409, 409]),
    ("/api/uploads/rules", "GET", "/api/uploads/rules", [401, 200, 200, 200]),
    ("/api/uploads/{key}", "GET", "/api/uploads/SENT", [401, 404, 200, 404]),
    ("/api/uploads/{key}", "DELETE", "/api/uploads/SENT", [401, 404, 204, 404]),
    // An upload is nobody's but its owner's, not an admin's either.
    ("/api/uploads/{key}/complete", "POST", "/api/uploads/SENT/complete", [401, 404, 200, 404]),
    ("/api/uploads/{key}", "GET", "/api/uploads/abcdefghijklmnopqrstuvwxyz", [401, 404, 404, 404]),
    ("/api/storage/callback", "POST", "/api/storage/callback", [403, 403, 403, 403]),
    ("/api/rolls", "GET", "/api/rolls", [401, 200, 200, 200]),
    ("/api/rolls", "GET", "/api/rolls?public=true", [200, 200, 200, 200]),
    ("/api/rolls", "POST", "/api/rolls", [401, 201, 201, 201]),
    ("/api/rolls/{key}", "GET", "/api/rolls/ROLL", [404, 404, 200, 200]),
    ("/api/rolls/{key}", "PUT", "/api/rolls/ROLL", [401, 404, 200, 200]),
    ("/api/rolls/{key}", "DELETE", "/api/rolls/ROLL", [401, 404, 204, 204]),
    ("/api/rolls/{key}/originals", "GET", "/api/rolls/ROLL/originals", [401, 404, 200, 200]),
    ("/api/albums", "GET", "/api/albums", [200, 200, 200, 200]),
    ("/api/albums", "GET", "/api/albums?mine=true", [401, 200, 200, 200]),
    ("/api/albums", "POST", "/api/albums", [401, 201, 201, 201]),
    ("/api/albums/{key}", "GET", "/api/albums/ALBUM", [404, 404, 200, 200]),
    ("/api/albums/{key}", "PUT", "/api/albums/ALBUM", [401, 404, 200, 200]),
    ("/api/albums/{key}", "DELETE", "/api/albums/ALBUM", [401, 404, 204, 204]),
    ("/api/albums/{key}/photos", "PUT", "/api/albums/ALBUM/photos?PUB", [401, 404, 200, 200]),
    ("/api/tags", "GET", "/api/tags", [200, 200, 200, 200]),
    ("/api/tags", "GET", "/api/tags?mine=true", [401, 200, 200, 200]),
    ("/api/gear", "GET", "/api/gear", [200, 200, 200, 200]),
    ("/api/gear", "GET", "/api/gear?mine=true", [401, 200, 200, 200]),
    ("/api/map", "GET", "/api/map", [200, 200, 200, 200]),
    ("/api/map", "GET", "/api/map?mine=true", [401, 200, 200, 200]),
    ("/api/overview", "GET", "/api/overview", [401, 403, 403, 200]),
    ("/api/admin/accounts", "GET", "/api/admin/accounts", [401, 403, 403, 200]),
    ("/api/admin/accounts", "POST", "/api/admin/accounts", [401, 403, 403, 201]),
    ("/api/admin/accounts/{id}", "PATCH", "/api/admin/accounts/3", [401, 403, 403, 200]),
    ("/api/admin/accounts/{id}/setup-link", "POST", "/api/admin/accounts/3/setup-link", [401, 403, 403, 200]),
    ("/api/admin/jobs", "GET", "/api/admin/jobs", [401, 403, 403, 200]),
    ("/api/admin/jobs/retry", "POST", "/api/admin/jobs/retry", [401, 403, 403, 200]),
    ("/api/admin/jobs/{id}/retry", "POST", "/api/admin/jobs/99999/retry", [401, 403, 403, 404]),
    ("/api/admin/integrity", "GET", "/api/admin/integrity", [401, 403, 403, 200]),
    ("/api/admin/integrity", "POST", "/api/admin/integrity", [401, 403, 403, 202]),
    ("/api/{*rest}", "GET", "/api/none", [404, 404, 404, 404]),
    ("/api/{*rest}", "DELETE", "/api/none", [404, 404, 404, 404]),
    ("/media/{key}/{file}", "GET", "/media/PUB/thumb.jpg", [200, 200, 200, 200]),
    ("/media/{key}/{file}", "GET", "/media/PUB/thumb.webp", [200, 200, 200, 200]),
    ("/media/{key}/{file}", "GET", "/media/PRIV/large.jpg", [404, 404, 200, 200]),
    ("/media/{key}/{file}", "GET", "/media/PRIV/large.webp", [404, 404, 200, 200]),
    ("/media/{key}/{file}", "GET", "/media/PUB/original.jpg", [404, 404, 404, 404]),
    ("/", "GET", "/", [200, 200, 200, 200]),
    ("/p/{key}", "GET", "/p/PUB", [200, 200, 200, 200]),
    ("/p/{key}", "GET", "/p/PRIV", [404, 404, 200, 200]),
    ("/rolls", "GET", "/rolls", [200, 200, 200, 200]),
    ("/r/{key}", "GET", "/r/PUB", [404, 404, 404, 404]),
    ("/r/{key}", "GET", "/r/ROLL", [404, 404, 200, 200]),
    ("/albums", "GET", "/albums", [200, 200, 200, 200]),
    ("/a/{key}", "GET", "/a/ALBUM", [404, 404, 200, 200]),
    ("/search", "GET", "/search?q=x", [200, 200, 200, 200]),
    ("/t/{name}", "GET", "/t/none", [404, 404, 404, 404]),
    ("/film/{name}", "GET", "/film/none", [404, 404, 404, 404]),
    ("/camera/{name}", "GET", "/camera/none", [404, 404, 404, 404]),
    ("/lens/{name}", "GET", "/lens/none", [404, 404, 404, 404]),
    ("/scanner/{name}", "GET", "/scanner/none", [404, 404, 404, 404]),
    ("/gear", "GET", "/gear", [200, 200, 200, 200]),
    ("/map", "GET", "/map", [200, 200, 200, 200]),
    ("/s/{code}", "GET", "/s/abcdefgh", [404, 404, 404, 404]),
    ("/feed.xml", "GET", "/feed.xml", [200, 200, 200, 200]),
    ("/feed.xml", "GET", "/feed.xml?album=ALBUM", [404, 404, 404, 404]),
    ("/robots.txt", "GET", "/robots.txt", [200, 200, 200, 200]),
    ("/favicon.ico", "GET", "/favicon.ico", [308, 308, 308, 308]),
    ("/assets/{name}", "GET", "/assets/none.js", [404, 404, 404, 404]),
    ("/login", "GET", "/login", [200, 303, 303, 303]),
    ("/login", "POST", "/login", [401, 401, 401, 401]),
    ("/setup", "GET", "/setup?token=x", [200, 200, 200, 200]),
    ("/setup", "POST", "/setup", [404, 404, 404, 404]),
    ("/admin", "GET", "/admin", [303, 200, 200, 200]),
    ("/admin/upload", "POST", "/admin/upload", [303, 303, 303, 303]),
    ("/admin/bulk", "POST", "/admin/bulk?PUB", [303, 403, 303, 303]),
    ("/admin/bulk", "POST", "/admin/bulk?PRIV", [303, 404, 303, 303]),
    ("/admin/trash", "GET", "/admin/trash", [303, 200, 200, 200]),
    ("/admin/rolls", "GET", "/admin/rolls", [303, 200, 200, 200]),
    ("/admin/rolls", "POST", "/admin/rolls", [303, 303, 303, 303]),
    ("/admin/rolls/{key}", "GET", "/admin/rolls/ROLL", [303, 404, 200, 200]),
    ("/admin/rolls/{key}", "POST", "/admin/rolls/ROLL", [303, 404, 303, 303]),
    ("/admin/rolls/{key}/delete", "POST", "/admin/rolls/ROLL/delete", [303, 404, 303, 303]),
    ("/admin/albums", "GET", "/admin/albums", [303, 200, 200, 200]),
    ("/admin/albums", "POST", "/admin/albums", [303, 303, 303, 303]),
    ("/admin/albums/{key}", "GET", "/admin/albums/ALBUM", [303, 404, 200, 200]),
    ("/admin/albums/{key}/photos", "POST", "/admin/albums/ALBUM/photos?PUB", [303, 404, 303, 303]),
    ("/admin/albums/{key}/delete", "POST", "/admin/albums/ALBUM/delete", [303, 404, 303, 303]),
    // It makes the album public.
    ("/admin/albums/{key}", "POST", "/admin/albums/ALBUM", [303, 404, 303, 303]),
    ("/admin/account", "GET", "/admin/account", [303, 200, 200, 200]),
    ("/admin/account", "POST", "/admin/account", [303, 401, 401, 401]),
    ("/admin/site", "GET", "/admin/site", [303, 403, 403, 200]),
    ("/admin/site/integrity", "POST", "/admin/site/integrity", [303, 403, 403, 303]),
    ("/admin/site/jobs/retry", "POST", "/admin/site/jobs/retry", [303, 403, 403, 303]),
    ("/admin/site/jobs/{id}/retry", "POST", "/admin/site/jobs/99999/retry", [303, 403, 403, 404]),
    ("/admin/users", "GET", "/admin/users", [303, 403, 403, 200]),
    ("/admin/users", "POST", "/admin/users", [303, 403, 403, 200]),
    ("/admin/users/{id}", "POST", "/admin/users/3", [303, 403, 403, 303]),
    ("/admin/users/{id}/link", "POST", "/admin/users/3/link", [303, 403, 403, 200]),
    ("/admin/photos/{key}", "GET", "/admin/photos/PUB", [303, 403, 200, 200]),
    ("/admin/photos/{key}", "GET", "/admin/photos/PRIV", [303, 404, 200, 200]),
    ("/admin/photos/{key}", "POST", "/admin/photos/PUB", [303, 403, 303, 303]),
    ("/admin/photos/{key}", "POST", "/admin/photos/PRIV", [303, 404, 303, 303]),
    ("/admin/photos/{key}/delete", "POST", "/admin/photos/PUB/delete", [303, 403, 303, 303]),
    ("/admin/photos/{key}/delete", "POST", "/admin/photos/PRIV/delete", [303, 404, 303, 303]),
    ("/admin/photos/{key}/short", "POST", "/admin/photos/PUB/short", [303, 403, 303, 303]),
    ("/admin/photos/{key}/short", "POST", "/admin/photos/PRIV/short", [303, 404, 303, 303]),
    ("/favicon.svg", "GET", "/favicon.svg", [200, 200, 200, 200]),
    ("/health", "GET", "/health", [200, 200, 200, 200]),
    // Last: they end the session.
    ("/api/auth/logout", "POST", "/api/auth/logout", [401, 204, 204, 204]),
    ("/logout", "POST", "/logout", [303, 303, 303, 303]),
];

/// Every address of the table that is read, for a public photo, a private one, and a private album.
pub(crate) fn readable(public: &str, private: &str, album: &str) -> Vec<String> {
    let read = TABLE.iter().filter(|(_, method, ..)| *method == "GET");
    let path = |path: &str| path.replace("PUB", public).replace("PRIV", private).replace("ALBUM", album);
    read.map(|(_, _, address, _)| path(address)).collect()
}

/// The JSON that a route of the API takes. The photo it is about stands behind the question mark.
fn json_body(path: &str) -> String {
    let (path, photo) = path.split_once('?').unwrap_or((path, ""));
    match path {
        "/api/photos/bulk" => {
            format!(r#"{{"keys":["{photo}"],"action":"change","change":{{"title":"New"}}}}"#)
        }
        "/api/auth/password" => r#"{"old":"wrong and wrong","new":"long enough as it is"}"#.to_owned(),
        "/api/uploads" => r#"{"bytes":9,"media_type":"image/jpeg"}"#.to_owned(),
        "/api/admin/accounts" => r#"{"email":"new@example.com","role":"user"}"#.to_owned(),
        "/api/admin/accounts/3" => r#"{"role":"user"}"#.to_owned(),
        p if p.ends_with("/reports") => r#"{"reason":"mine"}"#.to_owned(),
        p if p.starts_with("/api/admin/reports/") => r#"{"outcome":"dismissed"}"#.to_owned(),
        p if p.ends_with("/photos") => format!(r#"{{"keys":["{photo}"]}}"#),
        p if p.starts_with("/api/albums") => r#"{"title":"Album","visibility":"private"}"#.to_owned(),
        _ => r#"{"title":"New title"}"#.to_owned(),
    }
}

/// A body that the route would accept, so that only the role decides.
fn call(client: &Client, method: &str, path: &str) -> u16 {
    let (kind, body) = match (method, path) {
        ("GET", _) => ("text/plain", Vec::new()),
        ("POST", "/api/photos" | "/admin/upload") => {
            (MULTIPART, multipart(&[("csrf_token", &client.csrf), ("visibility", "unlisted")], &[&jpeg(9)]))
        }
        ("POST", "/api/auth/login") => {
            ("application/json", br#"{"email":"c@d","password":"nonsense"}"#.to_vec())
        }
        ("POST", "/api/auth/setup") => {
            ("application/json", br#"{"token":"no","password":"long enough"}"#.to_vec())
        }
        (_, p) if p.starts_with("/api/") => ("application/json", json_body(p).into_bytes()),
        _ => {
            let (_, photo) = path.split_once('?').unwrap_or((path, ""));
            let action = if path.starts_with("/admin/trash/") { "&action=restore" } else { "" };
            let form = format!(
                "csrf_token={}&title=New&visibility=public&email=a@example.com&password=nonsense+and+more&token=no\
                 &role=user&reason=mine&outcome=dismissed{action}&old=wrong+and+wrong&new=long+enough+as+it+is&key={photo}",
                client.csrf
            );
            ("application/x-www-form-urlencoded", form.into_bytes())
        }
    };
    let headers = [("content-type", kind), ("x-csrf-token", client.csrf.as_str())];
    let reply = client.send(method, path, &headers, &body);
    let to_login = reply.header("location").is_some_and(|to| to.starts_with("/login"));
    let out = client.cookie.is_none() || client.csrf == LOCKED || path == "/logout";
    assert!(!to_login || out, "{method} {path} lost the session");
    reply.status
}

/// The account that was locked out while it was logged in; its client's token says so.
const LOCKED: &str = "locked@example.com";

/// Those who ask, in the order of the table, and last who is locked out.
fn clients(site: &Site, app: &App) -> [Client; 5] {
    let locked = Client { csrf: LOCKED.to_owned(), ..app.login(LOCKED) };
    let query = "UPDATE users SET disabled_at = 1 WHERE email = 'locked@example.com'";
    assert_eq!(site.sql().execute(query, &[]).expect("locked out"), 1);
    [app.client(), app.login(OTHER), app.login(OWNER), app.login(ADMIN), locked]
}

/// What the paths of the table are about.
struct Things<'a> {
    site: &'a Site,
    owner: Client,
    now: BTreeMap<&'static str, String>,
}

impl Things<'_> {
    const NAMES: [&'static str; 12] = [
        "PUB", "UNL", "PRIV", "TRASH", "LOSTFILM", "LOSTBOOK", "ROLL", "ALBUM", "SENT", "REPORTED",
        "OPENCODE", "SHUTCODE",
    ];

    fn photo(&self, visibility: &str) -> String {
        key(&self.owner.photo(&[("visibility", visibility), ("keep_duplicate", "true")], &jpeg(1)))
    }

    fn make(&self, name: &str) -> String {
        let made = |path: &str| key(&self.owner.json("POST", path, &json_body(path)).body_json());
        let code = |photo: String| {
            let short = self.owner.json("POST", &format!("/api/photos/{photo}/short"), "").body_json();
            short["path"].as_str().expect("path").trim_start_matches("/s/").to_owned()
        };
        match name {
            "PUB" => self.photo("public"),
            "UNL" => self.photo("unlisted"),
            "PRIV" => self.photo("private"),
            "TRASH" => {
                let photo = self.photo("public");
                let away = self.owner.json("DELETE", &format!("/api/photos/{photo}"), "");
                assert_eq!(away.status, 204, "{}", away.text());
                photo
            }
            "LOSTFILM" | "LOSTBOOK" => {
                let path = if name == "LOSTFILM" { "/api/rolls" } else { "/api/albums" };
                let thing = made(path);
                let away = self.owner.json("DELETE", &format!("{path}/{thing}"), "");
                assert_eq!(away.status, 204, "{}", away.text());
                thing
            }
            "REPORTED" => {
                let photo = self.photo("public");
                let insert = format!(
                    "INSERT INTO reports (photo_id, photo_key, reason, created_at)
                     SELECT id, key, 'mine', 1 FROM photos WHERE key = '{photo}'"
                );
                assert_eq!(self.site.sql().execute(&insert, &[]).expect("report"), 1);
                photo
            }
            "ROLL" => made("/api/rolls"),
            "ALBUM" => made("/api/albums"),
            "SENT" => {
                let key = filmtrip::storage::new_key();
                let insert = format!(
                    "INSERT INTO uploads (key, owner_id, state, backend, object_key, bytes, created_at, expires_at, updated_at)
                     SELECT '{key}', id, 'failed', 'local', '{key}', 1, 1, 1, 1 FROM users WHERE email = '{OWNER}'"
                );
                assert_eq!(self.site.sql().execute(&insert, &[]).expect("upload"), 1);
                key
            }
            "OPENCODE" => code(self.photo("unlisted")),
            _ => code(self.photo("private")),
        }
    }

    fn path(&self, path: &str) -> String {
        self.now.iter().fold(path.to_owned(), |path, (name, thing)| path.replace(name, thing))
    }

    /// What a path is about may be another thing by now.
    fn renew(&mut self, path: &str) {
        for name in Self::NAMES.into_iter().filter(|name| path.contains(name)) {
            let thing = self.make(name);
            self.now.insert(name, thing);
        }
    }
}

/// A site with all the accounts.
fn peopled() -> Site {
    let site = Site::new();
    for email in [OWNER, OTHER, LOCKED] {
        site.account(email, "user");
    }
    site
}

/// What a process answers that is not what the table says. `expect` may say otherwise.
fn differing(site: &Site, app: &App, api: &App, expect: impl Fn(&str, u16) -> u16) -> Vec<String> {
    let clients = clients(site, api).map(|client| Client { address: app.address, ..client });
    let mut things = Things { site, owner: api.login(OWNER), now: BTreeMap::new() };
    Things::NAMES.into_iter().for_each(|name| things.renew(name));
    let mut wrong = Vec::new();
    for (route, method, row, expected) in TABLE {
        let [anonymous, ..] = expected;
        for (role, (client, status)) in clients.iter().zip(expected.iter().chain([anonymous])).enumerate() {
            let (path, expected) = (things.path(row), expect(route, *status));
            let status = call(client, method, &path);
            // Whoever was logged in when they wrote a form finds it again in the page to log in.
            let kept = role == 4 && (expected, status) == (303, 401) && row.starts_with("/admin/");
            if status != expected && !kept {
                wrong.push(format!("{method} {row} as role {role}: {status}, not {expected}"));
            }
            if *method != "GET" && status < 400 {
                things.renew(row);
            }
        }
    }
    wrong
}

#[test]
fn every_route_answers_every_role_as_the_table_says() {
    let site = peopled();
    let app = site.serve();
    let wrong = differing(&site, &app, &app, |_, status| status);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // The right password does not let in who is locked out.
    let body = serde_json::json!({"email": LOCKED, "password": super::support::PASSWORD}).to_string();
    assert_eq!(app.client().json("POST", "/api/auth/login", &body).status, 401);
}

#[test]
fn every_route_answers_every_role_alike_through_a_web_process_of_its_own() {
    let site = peopled();
    let api = site.start("api", &[]);
    let web = site.start("web", &[("FILMTRIP_API_URL", &format!("http://{}", api.address))]);
    let wrong = differing(&site, &web, &api, |_, status| status);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_route_of_an_api_process_answers_every_role_alike_and_no_page_is_there() {
    let site = peopled();
    let api = site.start("api", &[]);
    let own = |route: &str| route.starts_with("/api/") || route.starts_with("/media/");
    let wrong = differing(&site, &api, &api, |route, status| if own(route) { status } else { 404 });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The routes and their methods that a source names.
fn routes(source: &str) -> BTreeSet<(String, String)> {
    let mut found = BTreeSet::new();
    for part in source.split(".route(").skip(1) {
        // To the parenthesis that closes the route.
        let mut depth = 1_i32;
        let end = part.find(|c| {
            depth += i32::from(c == '(') - i32::from(c == ')');
            depth == 0
        });
        let part = part.get(..end.expect("a closed route")).expect("part").trim_start();
        // The one whose path is a constant, since its signature covers it.
        let path = part.strip_prefix('"').and_then(|p| p.split('"').next());
        let path =
            if part.starts_with("CALLBACK_PATH") { "/api/storage/callback" } else { path.expect("path") };
        // The one whose handler has a limit of its own is named before.
        let handlers = part.replace("merge(uploads)", "post(upload::upload)");
        let before = found.len();
        for method in ["get", "post", "put", "patch", "delete", "any"] {
            let starts = |at: usize| !handlers[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
            if handlers.match_indices(&format!("{method}(")).any(|(at, _)| starts(at)) {
                found.insert((path.to_owned(), method.to_uppercase()));
            }
        }
        assert!(found.len() > before, "{path} has no method that was found");
    }
    found
}

#[test]
fn the_table_has_every_route_of_the_program() {
    let mut routes_of = routes(include_str!("../../src/routes/api/mod.rs"));
    routes_of.extend(routes(include_str!("../../src/routes/web/mod.rs")));
    // What the web process passes on is checked where it ends up, in the API.
    routes_of.remove(&("/media/{*rest}".to_owned(), "ANY".to_owned()));
    assert!(routes_of.len() > 80, "the routes were not found in the source");
    let listed: BTreeSet<(String, String)> = TABLE
        .iter()
        .map(|(route, method, ..)| {
            let any = routes_of.contains(&((*route).to_owned(), "ANY".to_owned()));
            ((*route).to_owned(), if any { "ANY" } else { method }.to_owned())
        })
        .collect();
    let missing: Vec<_> = routes_of.difference(&listed).collect();
    let unknown: Vec<_> = listed.difference(&routes_of).collect();
    assert!(missing.is_empty() && unknown.is_empty(), "not in the table: {missing:?}; no route: {unknown:?}");
}
