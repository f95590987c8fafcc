//! Every route for every role, in one table; a route that is missing from it fails the test.

use std::collections::BTreeSet;

use super::support::{ADMIN, App, Client, MULTIPART, OTHER, OWNER, Site, jpeg, key, multipart};

/// Route, method, path with `PUB` and `PRIV` for the owner's photos, and the status for anonymous,
/// another user, the owner and an admin.
const TABLE: &[(&str, &str, &str, [u16; 4])] = &[
    ("/api/health", "GET", "/api/health", [200, 200, 200, 200]),
    ("/api/auth/login", "POST", "/api/auth/login", [401, 401, 401, 401]),
    ("/api/auth/session", "GET", "/api/auth/session", [401, 200, 200, 200]),
    ("/api/auth/setup", "POST", "/api/auth/setup", [404, 404, 404, 404]),
    ("/api/photos", "GET", "/api/photos", [200, 200, 200, 200]),
    ("/api/photos", "GET", "/api/photos?mine=true", [401, 200, 200, 200]),
    ("/api/photos", "POST", "/api/photos", [401, 201, 201, 201]),
    ("/api/photos/{key}", "GET", "/api/photos/PUB", [200, 200, 200, 200]),
    ("/api/photos/{key}", "GET", "/api/photos/PRIV", [404, 404, 200, 200]),
    ("/api/photos/{key}", "PATCH", "/api/photos/PUB", [401, 403, 200, 200]),
    ("/api/photos/{key}", "PATCH", "/api/photos/PRIV", [401, 404, 200, 200]),
    ("/api/photos/{key}", "DELETE", "/api/photos/PUB", [401, 403, 204, 204]),
    ("/api/photos/{key}", "DELETE", "/api/photos/PRIV", [401, 404, 204, 204]),
    ("/api/photos/{key}/original", "GET", "/api/photos/PUB/original", [401, 403, 200, 200]),
    ("/api/photos/{key}/original", "GET", "/api/photos/PRIV/original", [401, 404, 200, 200]),
    ("/api/rolls", "GET", "/api/rolls", [401, 200, 200, 200]),
    ("/api/rolls", "POST", "/api/rolls", [401, 201, 201, 201]),
    ("/api/overview", "GET", "/api/overview", [401, 403, 403, 200]),
    ("/api/{*rest}", "GET", "/api/none", [404, 404, 404, 404]),
    ("/api/{*rest}", "DELETE", "/api/none", [404, 404, 404, 404]),
    ("/media/{key}/{file}", "GET", "/media/PUB/thumb.jpg", [200, 200, 200, 200]),
    ("/media/{key}/{file}", "GET", "/media/PRIV/large.jpg", [404, 404, 200, 200]),
    ("/media/{key}/{file}", "GET", "/media/PUB/original.jpg", [404, 404, 404, 404]),
    ("/", "GET", "/", [200, 200, 200, 200]),
    ("/p/{key}", "GET", "/p/PUB", [200, 200, 200, 200]),
    ("/p/{key}", "GET", "/p/PRIV", [404, 404, 200, 200]),
    ("/r/{key}", "GET", "/r/PUB", [404, 404, 404, 404]),
    ("/login", "GET", "/login", [200, 303, 303, 303]),
    ("/login", "POST", "/login", [401, 401, 401, 401]),
    ("/setup", "GET", "/setup?token=x", [200, 200, 200, 200]),
    ("/setup", "POST", "/setup", [404, 404, 404, 404]),
    ("/admin", "GET", "/admin", [303, 200, 200, 200]),
    ("/admin/upload", "POST", "/admin/upload", [303, 303, 303, 303]),
    ("/admin/rolls", "POST", "/admin/rolls", [303, 303, 303, 303]),
    ("/admin/photos/{key}", "GET", "/admin/photos/PUB", [303, 403, 200, 200]),
    ("/admin/photos/{key}", "GET", "/admin/photos/PRIV", [303, 404, 200, 200]),
    ("/admin/photos/{key}", "POST", "/admin/photos/PUB", [303, 403, 303, 303]),
    ("/admin/photos/{key}", "POST", "/admin/photos/PRIV", [303, 404, 303, 303]),
    ("/admin/photos/{key}/delete", "POST", "/admin/photos/PUB/delete", [303, 403, 303, 303]),
    ("/admin/photos/{key}/delete", "POST", "/admin/photos/PRIV/delete", [303, 404, 303, 303]),
    ("/favicon.svg", "GET", "/favicon.svg", [200, 200, 200, 200]),
    ("/health", "GET", "/health", [200, 200, 200, 200]),
    // Last: they end the session.
    ("/api/auth/logout", "POST", "/api/auth/logout", [401, 204, 204, 204]),
    ("/logout", "POST", "/logout", [303, 303, 303, 303]),
];

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
        ("POST" | "PATCH" | "DELETE", p) if p.starts_with("/api/") => {
            ("application/json", br#"{"title":"New title"}"#.to_vec())
        }
        _ => {
            let form = format!(
                "csrf_token={}&title=New&visibility=public&email=a@b&password=nonsense+and+more&token=no",
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
    let fresh = |visibility: &str| key(&owner.photo(&[("visibility", visibility)], &jpeg(1)));
    let (mut public, mut private) = (fresh("public"), fresh("private"));
    let mut wrong = Vec::new();
    for (_, method, path, expected) in TABLE {
        for (role, (client, expected)) in clients.iter().zip(expected).enumerate() {
            let status = call(client, method, &path.replace("PUB", &public).replace("PRIV", &private));
            if status != *expected {
                wrong.push(format!("{method} {path} as role {role}: {status}, not {expected}"));
            }
            if path.contains("/photos/") && *method != "GET" && status < 400 {
                (public, private) = (fresh("public"), fresh("private"));
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
        for part in source.split(".route(\"").skip(1) {
            routes.insert(part.split('"').next().expect("route"));
        }
    }
    // What the web process passes on is checked where it ends up, in the API.
    routes.remove("/media/{*rest}");
    assert!(routes.len() > 20, "the routes were not found in the source");
    assert_eq!(listed, routes);
}
