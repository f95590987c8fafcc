//! The pages, in one process and in two, and the forms on them.

use super::support::{ADMIN, App, Client, MULTIPART, OWNER, PASSWORD, Site, jpeg, key, multipart};

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
    assert_eq!(roll.header("location"), Some("/admin/rolls?notice=roll"), "{}", roll.text());
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
    let saved = format!("/admin/photos/{photo}?notice=saved");
    assert_eq!(edited.header("location"), Some(saved.as_str()), "{}", edited.text());
    assert_eq!(app.client().get(&format!("/p/{photo}")).status, 404);
    assert!(admin.get(&format!("/p/{photo}")).text().contains("Early"));
    let gone = admin.form(&format!("/admin/photos/{photo}/delete"), "");
    assert_eq!(gone.header("location"), Some("/admin?notice=trashed"));
    assert!(!admin.get("/").text().contains(&photo) && admin.get("/admin/trash").text().contains(&photo));
    let unsure = admin.form("/admin/bulk", &format!("key={photo}&action=delete&back=%2Fadmin%2Ftrash"));
    assert_eq!(unsure.header("location"), Some("/admin/trash?notice=unsure"));
    let sure = format!("key={photo}&action=delete&sure=true&back=%2Fadmin%2Ftrash");
    assert_eq!(admin.form("/admin/bulk", &sure).header("location"), Some("/admin/trash?notice=deleted"));
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
fn pages_run_their_own_scripts_only() {
    let site = Site::new();
    let app = site.start("serve", &[("FILMTRIP_IMAGE_BASE_URL", "https://img.example.com/media")]);
    for path in ["/", "/login", "/nothing-here"] {
        let reply = app.client().get(path);
        let policy = reply.header("content-security-policy").expect("policy");
        assert!(
            policy.starts_with("default-src 'none'; img-src 'self' https://img.example.com;"),
            "{policy}"
        );
        assert!(policy.contains("script-src 'self'; connect-src 'self';"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
        for script in reply.text().split("<script").skip(1) {
            assert!(script.starts_with(" type=\"module\" src=\"/assets/"), "{path}: {script}");
        }
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
    }
    assert_eq!(app.client().get("/nothing-here").status, 404);
    assert_eq!(app.client().get("/api/nothing-here").code(), "not_found");
}

#[test]
fn scripts_are_kept_by_browsers_and_another_releases_are_not_here() {
    let site = Site::new();
    let app = site.serve();
    let page = app.client().get("/").text();
    let path = page.split("src=\"/assets/").nth(1).and_then(|rest| rest.split('"').next()).expect("script");
    let script = app.client().get(&format!("/assets/{path}"));
    assert_eq!((script.status, script.header("content-type")), (200, Some("text/javascript; charset=utf-8")));
    assert_eq!(script.header("cache-control"), Some("public, max-age=31536000, immutable"));
    assert_eq!(app.client().get("/assets/site.0000000000000000.js").status, 404);
}

#[test]
fn every_page_of_the_studio_asks_for_a_login_and_admin_pages_for_an_admin() {
    let site = Site::new();
    site.account(OWNER, "user");
    let app = site.serve();
    let owner = app.login(OWNER);
    for path in ["/admin", "/admin/rolls", "/admin/albums", "/admin/trash", "/admin/account"] {
        assert_eq!(app.client().get(path).header("location"), Some("/login"), "{path}");
        assert_eq!(owner.get(path).status, 200, "{path}");
    }
    for path in ["/admin/site", "/admin/users"] {
        assert_eq!(app.client().get(path).header("location"), Some("/login"), "{path}");
        assert_eq!(owner.get(path).status, 403, "{path}");
        assert_eq!(app.login(ADMIN).get(path).status, 200, "{path}");
    }
}

#[test]
fn other_sites_are_told_of_public_photos_with_whole_addresses() {
    let site = Site::new();
    let app = site.start("serve", &[("FILMTRIP_PUBLIC_URL", "https://film.example.com")]);
    let admin = app.login(ADMIN);
    let photo = key(&admin.photo(&[("title", "Rain & <light>"), ("visibility", "public")], &jpeg(1)));
    let hidden = key(&admin.photo(&[("visibility", "unlisted")], &jpeg(2)));
    let page = app.client().get(&format!("/p/{photo}")).text();
    for expected in [
        format!("<link rel=\"canonical\" href=\"https://film.example.com/p/{photo}\">"),
        format!("<meta property=\"og:image\" content=\"https://film.example.com/media/{photo}/large.jpg\">"),
        "<meta property=\"og:title\" content=\"Rain &amp; &lt;light&gt;\">".to_owned(),
        "type=\"application/rss+xml\"".to_owned(),
    ] {
        assert!(page.contains(&expected), "{expected} is not in {page}");
    }
    assert!(app.client().get(&format!("/p/{hidden}")).text().contains("content=\"noindex\""));
    // Whoever asks: the feed is what everybody may see.
    let feed = admin.get("/feed.xml");
    assert_eq!(feed.header("content-type"), Some("application/rss+xml; charset=utf-8"));
    let text = feed.text();
    assert!(text.contains(&format!("<link>https://film.example.com/p/{photo}</link>")), "{text}");
    assert!(text.contains("<title>Rain &amp; &lt;light&gt;</title>") && !text.contains(&hidden), "{text}");
    assert!(app.client().get("/robots.txt").text().contains("Disallow: /admin"));
}

#[test]
fn an_invitation_shows_its_link_once() {
    let site = Site::new();
    let app = site.serve();
    let admin = form_login(&app);
    let made = admin.form("/admin/users", "email=friend%40example.com&role=user");
    let text = made.text();
    let link = text.split("/setup?token=").nth(1).and_then(|rest| rest.split('"').next()).expect("link");
    assert!(!admin.get("/admin/users").text().contains(link), "the link is shown again");
    let set = admin.form("/setup", &format!("token={link}&password={}", PASSWORD.replace(' ', "+")));
    assert_eq!(set.header("location"), Some("/login?notice=setup"), "{}", set.text());
    let again = admin.form("/admin/users", "email=friend%40example.com&role=user");
    assert!(again.status >= 400 && !again.text().contains("/setup?token="), "{}", again.status);
}
