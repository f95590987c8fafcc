//! Every route for every role, in one table; a route that is missing from it fails the test.

use std::collections::BTreeSet;

use super::support::{ADMIN, App, Client, MULTIPART, OTHER, OWNER, Site, jpeg, key, multipart};

/// Route, method, path with `PUB` and `PRIV` for the owner's photos, `ROLL` and `ALBUM` for their roll and private album,
/// and the status for anonymous, another user, the owner and an admin.
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
    ("/api/photos/{key}/neighbours", "GET", "/api/photos/PUB/neighbours", [200, 200, 200, 200]),
    ("/api/photos/{key}/neighbours", "GET", "/api/photos/PRIV/neighbours", [404, 404, 200, 200]),
    ("/api/photos/{key}/original", "GET", "/api/photos/PUB/original", [401, 403, 200, 200]),
    ("/api/photos/{key}/original", "GET", "/api/photos/PRIV/original", [401, 404, 200, 200]),
    ("/api/photos/{key}/restore", "POST", "/api/photos/PUB/restore", [401, 403, 200, 200]),
    ("/api/photos/{key}/restore", "POST", "/api/photos/PRIV/restore", [401, 404, 200, 200]),
    ("/api/photos/{key}/short", "POST", "/api/photos/PUB/short", [401, 403, 200, 200]),
    ("/api/photos/{key}/short", "POST", "/api/photos/PRIV/short", [401, 404, 200, 200]),
    ("/api/short/{code}", "GET", "/api/short/abcdefgh", [404, 404, 404, 404]),
    ("/api/uploads", "GET", "/api/uploads", [401, 200, 200, 200]),
    ("/api/uploads", "POST", "/api/uploads", [401, 409, 409, 409]),
    ("/api/uploads/rules", "GET", "/api/uploads/rules", [401, 200, 200, 200]),
    ("/api/uploads/{key}", "GET", "/api/uploads/abcdefghijklmnopqrstuvwxyz", [401, 404, 404, 404]),
    ("/api/uploads/{key}", "DELETE", "/api/uploads/abcdefghijklmnopqrstuvwxyz", [401, 404, 404, 404]),
    (
        "/api/uploads/{key}/complete",
        "POST",
        "/api/uploads/abcdefghijklmnopqrstuvwxyz/complete",
        [401, 404, 404, 404],
    ),
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
            let form = format!(
                "csrf_token={}&title=New&visibility=public&email=a@example.com&password=nonsense+and+more&token=no\
                 &role=user&old=wrong+and+wrong&new=long+enough+as+it+is&key={photo}",
                client.csrf
            );
            let form = if path.contains("photos/PRIV") { form.replace("public", "private") } else { form };
            ("application/x-www-form-urlencoded", form.into_bytes())
        }
    };
    let headers = [("content-type", kind), ("x-csrf-token", client.csrf.as_str())];
    let reply = client.send(method, path, &headers, &body);
    let to_login = reply.header("location") == Some("/login");
    assert!(!to_login || client.cookie.is_none() || path == "/logout", "{method} {path} lost the session");
    reply.status
}

fn clients(app: &App) -> [Client; 4] {
    [app.client(), app.login(OTHER), app.login(OWNER), app.login(ADMIN)]
}

#[test]
fn every_route_answers_every_role_as_the_table_says() {
    let site = Site::new();
    site.account(OWNER, "user");
    site.account(OTHER, "user");
    let app = site.serve();
    let clients = clients(&app);
    let owner = app.login(OWNER);
    let fresh = |visibility: &str| {
        key(&owner.photo(&[("visibility", visibility), ("keep_duplicate", "true")], &jpeg(1)))
    };
    let made = |path: &str| key(&owner.json("POST", path, &json_body(path)).body_json());
    let (mut public, mut private) = (fresh("public"), fresh("private"));
    let (mut roll, mut album) = (made("/api/rolls"), made("/api/albums"));
    let mut wrong = Vec::new();
    for (_, method, path, expected) in TABLE {
        for (role, (client, expected)) in clients.iter().zip(expected).enumerate() {
            let path = path.replace("PUB", &public).replace("PRIV", &private);
            let path = path.replace("ROLL", &roll).replace("ALBUM", &album);
            let status = call(client, method, &path);
            if status != *expected {
                wrong.push(format!("{method} {path} as role {role}: {status}, not {expected}"));
            }
            let of_photos = path.contains("/photos/") || path.starts_with("/admin/bulk");
            if of_photos && *method != "GET" && status < 400 {
                (public, private) = (fresh("public"), fresh("private"));
            }
            if (*method == "DELETE" || path.ends_with("/delete")) && status < 400 {
                (roll, album) = (made("/api/rolls"), made("/api/albums"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_table_has_every_route_of_the_program() {
    let listed: BTreeSet<&str> = TABLE.iter().map(|(route, ..)| *route).collect();
    let mut routes = BTreeSet::new();
    for source in [include_str!("../../src/routes/api/mod.rs"), include_str!("../../src/routes/web/mod.rs")] {
        for part in source.split(".route(").skip(1) {
            let part = part.trim_start();
            // The one whose path is a constant, since its signature covers it.
            let named = part.starts_with("CALLBACK_PATH");
            let path = part.strip_prefix('"').and_then(|p| p.split('"').next());
            routes.insert(if named { "/api/storage/callback" } else { path.expect("route") });
        }
    }
    // What the web process passes on is checked where it ends up, in the API.
    routes.remove("/media/{*rest}");
    assert!(routes.len() > 20, "the routes were not found in the source");
    assert_eq!(listed, routes);
}
