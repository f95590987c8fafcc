//! Logging in, staying logged in, and requests made by others in one's name.

use super::support::{ADMIN, OWNER, PASSWORD, Site, jpeg, key};

fn body(email: &str, password: &str) -> String {
    serde_json::json!({"email": email, "password": password}).to_string()
}

#[test]
fn right_password_opens_a_session_and_logout_ends_it_on_the_server() {
    let site = Site::new();
    let app = site.serve();
    let admin = app.login(" ADMIN@example.com ");
    let reply = admin.get("/api/auth/session");
    assert_eq!(reply.status, 200);
    assert_eq!(reply.body_json()["user"]["email"], ADMIN);
    assert_eq!(reply.body_json()["user"]["role"], "admin");
    assert_eq!(admin.json("POST", "/api/auth/logout", "").status, 204);
    assert_eq!(admin.get("/api/auth/session").status, 401, "the old cookie still works");
}

#[test]
fn wrong_password_and_unknown_email_get_the_same_answer() {
    let site = Site::new();
    let app = site.serve();
    let one = app.client().json("POST", "/api/auth/login", &body(ADMIN, "wrong password"));
    let two = app.client().json("POST", "/api/auth/login", &body("nobody@example.com", "wrong password"));
    assert_eq!((one.status, two.status), (401, 401));
    assert_eq!(one.text(), two.text());
    assert!(one.header("set-cookie").is_none());
}

#[test]
fn cookie_is_http_only_and_host_bound_on_https_sites() {
    let site = Site::new();
    let plain = site.serve().client().json("POST", "/api/auth/login", &body(ADMIN, PASSWORD));
    let cookie = plain.header("set-cookie").expect("cookie").to_owned();
    assert!(cookie.contains("HttpOnly; SameSite=Lax") && !cookie.contains("Secure"), "{cookie}");
    let app = site.start("serve", &[("FILMTRIP_PUBLIC_URL", "https://example.com")]);
    let secure = app.client().json("POST", "/api/auth/login", &body(ADMIN, PASSWORD));
    let cookie = secure.header("set-cookie").expect("cookie");
    assert!(cookie.starts_with("__Host-") && cookie.contains("; Secure"), "{cookie}");
}

#[test]
fn guessing_is_stopped_across_instances_and_others_can_still_log_in() {
    let site = Site::new();
    site.account(OWNER, "user");
    let (one, two) = (site.serve(), site.serve());
    for attempt in 0..5 {
        let app = if attempt % 2 == 0 { &one } else { &two };
        assert_eq!(app.client().json("POST", "/api/auth/login", &body(ADMIN, "guessing it")).status, 401);
    }
    for app in [&one, &two] {
        let reply = app.client().json("POST", "/api/auth/login", &body(ADMIN, PASSWORD));
        assert_eq!(reply.status, 429, "a right guess came through after the limit");
        let wait: u64 = reply.header("retry-after").expect("retry-after").parse().expect("seconds");
        assert!((1..=900).contains(&wait));
    }
    app_login_works(&one);
}

#[test]
fn guesses_from_many_addresses_count_together() {
    let site = Site::new();
    site.account(OWNER, "user");
    let app = site.serve();
    let from = |address: &str, email: &str, password: &str| {
        let headers = [("content-type", "application/json"), ("x-forwarded-for", address)];
        app.client().send("POST", "/api/auth/login", &headers, body(email, password).as_bytes()).status
    };
    assert_eq!(from("203.0.113.1", ADMIN, "guessing it"), 401);
    // As often again from everywhere: whatever is counted without the address.
    let again = "INSERT INTO login_attempts (subject, at) SELECT subject, at FROM login_attempts
                 WHERE subject NOT LIKE '%203.0.113.1%'";
    for _ in 0..7 {
        site.sql().execute(again, &[]).expect("attempts");
    }
    assert_eq!(from("203.0.113.2", ADMIN, PASSWORD), 429, "a right guess came through after a hundred");
    assert_eq!(from("203.0.113.2", OWNER, PASSWORD), 200);
}

#[test]
fn short_links_cannot_be_guessed_one_after_the_other() {
    let site = Site::new();
    let app = site.serve();
    let admin = app.login(ADMIN);
    let photo = admin.photo(&[("visibility", "unlisted")], &jpeg(1));
    let short = admin.json("POST", &format!("/api/photos/{}/short", key(&photo)), "").body_json();
    let short = short["path"].as_str().expect("path").to_owned();
    let from = |address: &str, path: &str| {
        app.client().send("GET", path, &[("x-forwarded-for", address)], b"").status
    };
    for letter in ('a'..='z').chain('2'..='5') {
        assert_eq!(from("203.0.113.1", &format!("/api/short/aaaaaaa{letter}")), 404);
    }
    for path in [short.clone(), format!("/api{}", short.replace("/s/", "/short/"))] {
        assert_eq!(from("203.0.113.1", &path), 429, "{path}");
        assert!(from("203.0.113.2", &path) < 400, "{path}: others are not kept from it");
    }
    // A link that leads somewhere is no guess.
    for _ in 0..40 {
        assert_eq!(from("203.0.113.3", &short), 307);
    }
}

fn app_login_works(app: &super::support::App) {
    let owner = app.login(OWNER);
    assert_eq!(owner.get("/api/auth/session").status, 200);
}

#[test]
fn many_right_logins_are_not_counted_as_guesses() {
    let site = Site::new();
    let app = site.serve();
    for _ in 0..7 {
        app.login(ADMIN);
    }
}

#[test]
fn changes_without_token_or_from_another_site_are_refused() {
    let site = Site::new();
    let app = site.serve();
    let admin = app.login(ADMIN);
    let roll = br#"{"title":"Roll 1"}"#;
    let json = ("content-type", "application/json");
    let token = ("x-csrf-token", admin.csrf.as_str());
    let own = format!("http://{}", app.address);
    type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], u16);
    let cases: &[Case<'_>] = &[
        ("no token", &[json], 403),
        ("wrong token", &[json, ("x-csrf-token", "AAAA")], 403),
        ("other origin", &[json, token, ("origin", "https://evil.example")], 403),
        ("null origin", &[json, token, ("origin", "null")], 403),
        ("cross-site fetch", &[json, token, ("sec-fetch-site", "cross-site")], 403),
        ("own origin", &[json, token, ("origin", &own)], 201),
        ("no browser", &[json, token], 201),
    ];
    for (what, headers, status) in cases {
        assert_eq!(admin.send("POST", "/api/rolls", headers, roll).status, *status, "{what}");
    }
    let evil = [json, ("origin", "https://evil.example")];
    let login = admin.send("POST", "/api/auth/login", &evil, body(ADMIN, PASSWORD).as_bytes());
    assert_eq!(login.status, 403, "another site could log its visitor in here");
    let form = admin.send(
        "POST",
        "/login",
        &[("content-type", "application/x-www-form-urlencoded"), ("origin", "https://evil.example")],
        b"email=a&password=b",
    );
    assert_eq!(form.status, 403);
}

#[test]
fn set_up_link_works_once_and_sets_the_password() {
    let site = Site::new();
    let output = site.ok(&["admin", "create", "--email", "new@example.com"]);
    let link = output.lines().nth(1).expect("link");
    let token = link.split("token=").nth(1).expect("token");
    let app = site.serve();
    let page = app.client().get(&format!("/setup?token={token}"));
    assert!(page.text().contains(token));
    let short = app.client().form("/setup", &format!("token={token}&password=short"));
    assert_eq!(short.status, 400);
    let set = app.client().form("/setup", &format!("token={token}&password=correct+horse+battery"));
    assert_eq!((set.status, set.header("location")), (303, Some("/login?notice=setup")));
    app.login("new@example.com");
    let again = app.client().form("/setup", &format!("token={token}&password=another+password"));
    assert_eq!(again.status, 404);
}

#[test]
fn password_never_comes_from_the_command_line_and_accounts_are_unique() {
    let site = Site::new();
    let refused = site.run(&["admin", "create", "--email", "x@example.com", "--password", "x"], &[]);
    assert_eq!(refused.status.code(), Some(2));
    let twice = site.run(&["admin", "create", "--email", ADMIN], &[("FILMTRIP_ADMIN_PASSWORD", PASSWORD)]);
    assert_eq!(twice.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&twice.stderr).contains(ADMIN));
    let weak =
        site.run(&["admin", "create", "--email", "x@example.com"], &[("FILMTRIP_ADMIN_PASSWORD", "short")]);
    assert_eq!(weak.status.code(), Some(2));
    let told = String::from_utf8_lossy(&weak.stderr).into_owned();
    assert!(told.starts_with("error: FILMTRIP_ADMIN_PASSWORD: ") && !told.contains("short"), "{told}");
}

#[test]
fn a_session_ends_at_its_time_whatever_the_cookie_says() {
    let site = Site::new();
    site.account(OWNER, "user");
    let app = site.serve();
    let (old, other) = (app.login(ADMIN), app.login(OWNER));
    let photo = key(&old.photo(&[("visibility", "private")], &jpeg(1)));
    let run_out =
        "UPDATE sessions SET expires_at = 1 WHERE user_id = (SELECT id FROM users WHERE email = ?1)";
    assert_eq!(site.sql().execute(run_out, &[ADMIN.into()]).expect("sessions"), 1);
    assert_eq!(old.get("/api/auth/session").status, 401);
    assert_eq!(old.get(&format!("/api/photos/{photo}")).status, 404, "a private photo is still shown");
    assert_eq!(old.upload(&[], &[&jpeg(2)]).status, 401);
    let page = old.get("/admin");
    assert!(page.status == 303 && page.header("location").expect("where").starts_with("/login"), "{page:?}");
    assert_eq!(other.get("/api/auth/session").status, 200, "somebody else's session has ended with it");
    // What has run out is not kept.
    let new = app.login(ADMIN);
    assert_eq!(site.sql().value::<u64>("SELECT count(*) FROM sessions", &[]).expect("sessions"), 2);
    assert_eq!(new.get(&format!("/api/photos/{photo}")).status, 200);
    assert_eq!(old.get("/api/auth/session").status, 401);
}

/// The token of a set-up link.
fn token(link: &str) -> String {
    link.trim().split("token=").nth(1).expect("token").to_owned()
}

fn set_up(app: &super::support::App, token: &str, password: &str) -> u16 {
    let body = serde_json::json!({"token": token, "password": password}).to_string();
    app.client().json("POST", "/api/auth/setup", &body).status
}

#[test]
fn a_set_up_link_ends_at_its_time_or_when_another_was_used() {
    let site = Site::new();
    let late = token(&site.ok(&["admin", "create", "--email", "new@example.com"]));
    let app = site.serve();
    let admin = app.login(ADMIN);
    assert_eq!(site.sql().execute("UPDATE setup_tokens SET expires_at = 1", &[]).expect("links"), 1);
    assert_eq!(set_up(&app, &late, PASSWORD), 404);
    let form = app.client().form("/setup", &format!("token={late}&password=correct+horse+battery"));
    assert_eq!(form.status, 404);
    let refused = app.client().json("POST", "/api/auth/login", &body("new@example.com", PASSWORD));
    assert_eq!(refused.status, 401, "the password was set all the same");
    let accounts = admin.get("/api/admin/accounts").body_json();
    let account = accounts["accounts"].as_array().expect("accounts").iter();
    let id = account.clone().find(|a| a["email"] == "new@example.com").expect("account")["id"].clone();
    let link = || {
        let reply = admin.json("POST", &format!("/api/admin/accounts/{id}/setup-link"), "");
        assert!(reply.status < 300, "{}", reply.text());
        token(reply.body_json()["path"].as_str().expect("path"))
    };
    let (first, second) = (link(), link());
    assert_eq!(set_up(&app, &second, PASSWORD), 204);
    let session = app.login("new@example.com");
    assert_eq!(set_up(&app, &first, "somebody else's"), 404, "a link from before is still good");
    assert_eq!(session.get("/api/auth/session").status, 200);
    // A link for somebody who has lost control of the account ends what others have opened.
    assert_eq!(set_up(&app, &link(), "another password"), 204);
    assert_eq!(session.get("/api/auth/session").status, 401);
}

#[test]
fn another_password_ends_the_other_sessions_and_links() {
    let site = Site::new();
    site.account(OWNER, "user");
    let app = site.serve();
    let (here, elsewhere, admin) = (app.login(OWNER), app.login(OWNER), app.login(ADMIN));
    let accounts = admin.get("/api/admin/accounts").body_json();
    let account = accounts["accounts"].as_array().expect("accounts").iter();
    let id = account.clone().find(|a| a["email"] == OWNER).expect("account")["id"].clone();
    let link = admin.json("POST", &format!("/api/admin/accounts/{id}/setup-link"), "").body_json();
    let link = token(link["path"].as_str().expect("path"));
    let change = |old: &str| {
        let body = serde_json::json!({"old": old, "new": "quite another one"}).to_string();
        here.json("POST", "/api/auth/password", &body).status
    };
    assert_eq!(change("not the password"), 401);
    assert_eq!(elsewhere.get("/api/auth/session").status, 200, "a wrong password has ended a session");
    assert_eq!(change(PASSWORD), 204);
    assert_eq!(here.get("/api/auth/session").status, 200, "who has changed it is logged out");
    assert_eq!(elsewhere.get("/api/auth/session").status, 401);
    assert_eq!(elsewhere.upload(&[], &[&jpeg(1)]).status, 401);
    assert_eq!(admin.get("/api/auth/session").status, 200);
    assert_eq!(set_up(&app, &link, "by the old link"), 404);
    let login = |password: &str| app.client().json("POST", "/api/auth/login", &body(OWNER, password)).status;
    assert_eq!((login(PASSWORD), login("quite another one")), (401, 200));
}

#[test]
fn another_role_counts_at_once_in_open_sessions() {
    let site = Site::new();
    site.account(OWNER, "user");
    let (app, beside) = (site.serve(), site.serve());
    let (admin, owner) = (app.login(ADMIN), app.login(OWNER));
    let roaming = super::support::Client { address: beside.address, ..owner.clone() };
    let private = format!("/api/photos/{}", key(&admin.photo(&[("visibility", "private")], &jpeg(1))));
    let accounts = admin.get("/api/admin/accounts").body_json();
    let account = accounts["accounts"].as_array().expect("accounts").iter();
    let id = account.clone().find(|a| a["email"] == OWNER).expect("account")["id"].clone();
    let change = |change: &str| {
        let reply = admin.json("PATCH", &format!("/api/admin/accounts/{id}"), change);
        assert!(reply.status < 300, "{}", reply.text());
    };
    let seen = || {
        let of = |client: &super::support::Client| {
            (
                client.get("/api/admin/jobs").status,
                client.get("/admin/site").status,
                client.get(&private).status,
            )
        };
        (of(&owner), of(&roaming))
    };
    let (user, boss) = ((403, 403, 404), (200, 200, 200));
    assert_eq!(seen(), (user, user));
    change(r#"{"role":"admin"}"#);
    assert_eq!(seen(), (boss, boss));
    change(r#"{"role":"user"}"#);
    assert_eq!(seen(), (user, user), "a former admin still is one");
    change(r#"{"disabled":true}"#);
    assert_eq!(owner.get("/api/auth/session").status, 401);
    // Opened again, the account has no session of before.
    change(r#"{"disabled":false}"#);
    assert_eq!(roaming.get("/api/auth/session").status, 401);
    app_login_works(&app);
}
