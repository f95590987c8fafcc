//! The pages, in one process and in two, and the forms on them.

use super::support::{ADMIN, App, Client, MULTIPART, PASSWORD, Site, jpeg, key, multipart};

/// Logs in by the form, as a browser does.
fn form_login(app: &App) -> Client {
    let mut client = app.client();
    let body = format!("email={ADMIN}&password={}", PASSWORD.replace(' ', "+"));
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    let reply = client.send("POST", "/login", &headers, body.as_bytes());
    assert_eq!((reply.status, reply.header("location")), (303, Some("/admin")), "{}", reply.text());
    let cookie = reply.header("set-cookie").expect("cookie");
    client.cookie = Some(cookie.split(';').next().expect("pair").to_owned());
    let page = client.get("/admin").text();
    let token = page.split("name=\"csrf_token\" value=\"").nth(1).expect("token");
    client.csrf = token.split('"').next().expect("token").to_owned();
    client
}

/// What a person does in the back office, start to end.
fn walk(app: &App) {
    let admin = form_login(app);
    let roll = admin.form("/admin/rolls", "title=Kyoto+%231&film_stock=Portra+400&camera=FM2");
    assert_eq!(roll.header("location"), Some("/admin?notice=roll"), "{}", roll.text());
    let roll_key = admin.get("/api/rolls").body_json()["rolls"][0]["key"].as_str().expect("roll").to_owned();

    let fields = [("csrf_token", admin.csrf.as_str()), ("title", "<Dusk>"), ("roll", &roll_key)];
    let body = multipart(&fields, &[&jpeg(1), &jpeg(2)]);
    let sent = admin.send("POST", "/admin/upload", &[("content-type", MULTIPART)], &body);
    assert_eq!(sent.header("location"), Some("/admin?notice=uploaded"), "{}", sent.text());
    let forged = multipart(&[("csrf_token", "no")], &[&jpeg(3)]);
    assert_eq!(admin.send("POST", "/admin/upload", &[("content-type", MULTIPART)], &forged).status, 403);
    let none = multipart(&[("csrf_token", admin.csrf.as_str())], &[]);
    assert_eq!(admin.send("POST", "/admin/upload", &[("content-type", MULTIPART)], &none).status, 400);

    let photos = admin.get("/api/photos").body_json();
    let photo = key(&photos["photos"][0]);
    let home = app.client().get("/").text();
    assert!(
        home.contains(&format!("/p/{photo}")) && home.contains("&lt;Dusk&gt;") && !home.contains("<Dusk>")
    );
    let page = app.client().get(&format!("/p/{photo}")).text();
    assert!(page.contains("Portra 400") && page.contains("FM2"));
    assert!(app.client().get(&format!("/r/{roll_key}")).text().contains("Kyoto #1"));
    let thumb = app.client().get(&format!("/media/{photo}/thumb.jpg"));
    assert_eq!((thumb.status, thumb.header("content-type")), (200, Some("image/jpeg")));

    let edited = admin.form(&format!("/admin/photos/{photo}"), "title=Dawn&caption=Early&visibility=private");
    assert_eq!(edited.header("location"), Some("/admin?notice=saved"), "{}", edited.text());
    assert_eq!(app.client().get(&format!("/p/{photo}")).status, 404);
    assert!(admin.get(&format!("/p/{photo}")).text().contains("Early"));
    let gone = admin.form(&format!("/admin/photos/{photo}/delete"), "");
    assert_eq!(gone.header("location"), Some("/admin?notice=deleted"));
    assert_eq!(admin.get(&format!("/p/{photo}")).status, 404);

    assert_eq!(admin.form("/logout", "").header("location"), Some("/"));
    assert_eq!(admin.get("/admin").header("location"), Some("/login"));
}

#[test]
fn the_back_office_works_in_one_process() {
    let site = Site::new();
    walk(&site.serve());
}

#[test]
fn the_back_office_works_with_api_and_web_apart() {
    let site = Site::new();
    let api = site.start("api", &[]);
    let url = format!("http://{}", api.address);
    let web = site.start("web", &[("FILMTRIP_API_URL", &url)]);
    walk(&web);
    assert_eq!(api.client().get("/").code(), "not_found", "the api has no pages");
}

#[test]
fn guesses_through_the_web_process_are_counted_by_the_visitors_address() {
    let site = Site::new();
    let api = site.start("api", &[]);
    let url = format!("http://{}", api.address);
    let web = site.start("web", &[("FILMTRIP_API_URL", &url)]);
    let attempt = |address: &str| {
        let headers = [("content-type", "application/x-www-form-urlencoded"), ("x-forwarded-for", address)];
        let body = format!("email={ADMIN}&password=guess");
        web.client().send("POST", "/login", &headers, body.as_bytes()).status
    };
    for _ in 0..5 {
        assert_eq!(attempt("192.0.2.1"), 401);
    }
    assert_eq!(attempt("192.0.2.1"), 429);
    assert_eq!(attempt("192.0.2.2"), 401, "one visitor's guesses locked another one out");
}

#[test]
fn pages_speak_the_visitors_language_and_remember_a_choice() {
    let site = Site::new();
    let app = site.serve();
    let client = app.client();
    let chinese = client.send("GET", "/", &[("accept-language", "zh-CN,zh;q=0.9,en;q=0.5")], b"");
    assert!(chinese.text().contains("<html lang=\"zh-CN\">") && chinese.text().contains("登录"));
    let english = client.send("GET", "/?lang=en", &[("accept-language", "zh-CN")], b"");
    assert!(english.text().contains("<html lang=\"en\">") && english.text().contains("Log in"));
    let cookie = english.header("set-cookie").expect("language cookie");
    let cookie = cookie.split(';').next().expect("pair");
    let kept = client.send("GET", "/login", &[("accept-language", "zh-CN"), ("cookie", cookie)], b"");
    assert!(kept.text().contains("Log in to the studio"));
}

#[test]
fn pages_have_no_script_and_a_policy_that_forbids_it() {
    let site = Site::new();
    let app = site.start("serve", &[("FILMTRIP_IMAGE_BASE_URL", "https://img.example.com/media")]);
    for path in ["/", "/login", "/nothing-here"] {
        let reply = app.client().get(path);
        let policy = reply.header("content-security-policy").expect("policy");
        assert!(
            policy.starts_with("default-src 'none'; img-src 'self' https://img.example.com;"),
            "{policy}"
        );
        assert!(!policy.contains("script-src") && !policy.contains("unsafe"), "{policy}");
        assert!(!reply.text().contains("<script"), "{path}");
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
    }
    assert_eq!(app.client().get("/nothing-here").status, 404);
    assert_eq!(app.client().get("/api/nothing-here").code(), "not_found");
}
