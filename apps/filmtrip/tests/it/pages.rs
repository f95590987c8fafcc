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
    let to = roll.header("location").unwrap_or_default().to_owned();
    let roll_key = admin.get("/api/rolls").body_json()["rolls"][0]["key"].as_str().expect("roll").to_owned();
    assert_eq!(to, format!("/admin?roll={roll_key}&notice=roll"), "{}", roll.text());
    let filling = admin.get(&to).text();
    assert!(filling.contains(&format!("<option value=\"{roll_key}\" selected>")), "{filling}");
    let next = admin.get(&format!("/admin/rolls?like={roll_key}")).text();
    assert!(next.contains("value=\"Portra 400\"") && next.contains("name=\"title\" value=\"\""), "{next}");

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
        let next = format!("/login?next={}", path.replace('/', "%2F"));
        let next = if path == "/admin" { "/login" } else { &next };
        assert_eq!(app.client().get(path).header("location"), Some(next), "{path}");
        assert_eq!(owner.get(path).status, 200, "{path}");
    }
    for path in ["/admin/site", "/admin/users"] {
        assert!(app.client().get(path).header("location").is_some_and(|to| to.starts_with("/login?next=")));
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
fn a_roll_of_36_is_on_one_page_and_a_change_comes_back_to_its_page() {
    let site = Site::new();
    let app = site.serve();
    let admin = form_login(&app);
    let roll = key(&admin.json("POST", "/api/rolls", r#"{"title":"Kyoto"}"#).body_json());
    let files: Vec<Vec<u8>> = (1..=36).map(jpeg).collect();
    let files: Vec<&[u8]> = files.iter().map(Vec::as_slice).collect();
    let sent = admin.upload(&[("roll", &roll), ("frame", "1")], &files);
    assert_eq!(sent.status, 201, "{}", sent.text());
    let shown = |path: &str, what: &str| admin.get(path).text().matches(what).count();
    assert_eq!(shown(&format!("/r/{roll}"), "class=\"frame s"), 36);
    assert_eq!(shown(&format!("/admin?roll={roll}"), "name=\"key\""), 36);
    // Other lists have pages, and their forms know which one they are on.
    let first = admin.get("/admin").text();
    let next = first.split("/admin?before=").nth(1).and_then(|rest| rest.split('"').next()).expect("a pager");
    let second = admin.get(&format!("/admin?before={next}")).text();
    let back = format!("name=\"back\" value=\"/admin?before={next}\"");
    assert!(second.contains(&back), "{back} is not in {second}");
    let photo = second.split("name=\"key\" value=\"").nth(1).and_then(|rest| rest.split('"').next());
    let change = format!("key={}&add_tags=x&back=%2Fadmin%3Fbefore%3D{next}", photo.expect("a photo"));
    let saved = format!("/admin?before={next}&notice=saved");
    assert_eq!(admin.form("/admin/bulk", &change).header("location"), Some(saved.as_str()));
}

#[test]
fn a_roll_and_an_album_are_deleted_only_when_it_is_meant() {
    let site = Site::new();
    let app = site.serve();
    let admin = form_login(&app);
    for (path, kind) in [("rolls", "roll"), ("albums", "album")] {
        let made = admin.json("POST", &format!("/api/{path}"), r#"{"title":"Kyoto"}"#).body_json();
        let page = format!("/admin/{path}/{}", key(&made));
        let unsure = admin.form(&format!("{page}/delete"), "");
        assert_eq!(unsure.header("location"), Some(format!("{page}?notice=unsure").as_str()), "{kind}");
        assert_eq!(admin.get(&page).status, 200, "{kind}");
        let sure = admin.form(&format!("{page}/delete"), "sure=true");
        let back = format!("/admin/{path}?notice=trashed&undo={}", key(&made));
        assert_eq!(sure.header("location"), Some(back.as_str()), "{kind}");
        assert_eq!(admin.get(&page).status, 404, "{kind}");
    }
}

#[test]
fn a_refused_form_comes_back_as_it_was_written_and_names_the_field() {
    let site = Site::new();
    let app = site.serve();
    let admin = form_login(&app);
    let wrong = "title=Kyoto+%3C2%3E&film_stock=HP5&loaded_on=2026-05-02&unloaded_on=2026-05-01&notes=Rain";
    let refused = admin.form("/admin/rolls", wrong);
    let page = refused.text();
    assert_eq!(refused.status, 400);
    for kept in [
        "value=\"Kyoto &lt;2&gt;\"",
        "value=\"HP5\"",
        "value=\"2026-05-02\"",
        ">Rain</textarea>",
        "name=\"unloaded_on\" aria-invalid=\"true\"",
        "role=\"alert\">“Unloaded” is before “Loaded”",
    ] {
        assert!(page.contains(kept), "{kept} is not in {page}");
    }
    assert_eq!(admin.get("/api/rolls").body_json()["rolls"], serde_json::json!([]));
    let roll = key(&admin.json("POST", "/api/rolls", r#"{"title":"Osaka"}"#).body_json());
    let page = admin.form(&format!("/admin/rolls/{roll}"), "title=Nara&box_iso=0").text();
    assert!(page.contains("value=\"Nara\"") && page.contains("name=\"box_iso\" aria-invalid"), "{page}");
    let page = admin.form("/admin/albums", "title=+&visibility=public&description=Of+May").text();
    assert!(page.contains("Of May") && page.contains("name=\"title\" aria-invalid"), "{page}");
    // Half a place is none.
    let photo = key(&admin.photo(&[], &jpeg(1)));
    let page = admin.form(&format!("/admin/photos/{photo}"), "title=Gate&lat=35.01&lon=&tags=a,b").text();
    for kept in ["value=\"Gate\"", "value=\"35.01\"", "value=\"a, b\"", "name=\"lon\" aria-invalid"] {
        assert!(page.contains(kept), "{kept} is not in {page}");
    }
    // A form of an older session comes back with the token of this one.
    let stale = Client { csrf: "old".to_owned(), ..admin.clone() };
    let page = stale.form(&format!("/admin/rolls/{roll}"), "title=Nara").text();
    assert!(
        page.contains("value=\"Nara\"") && page.contains(&admin.csrf) && page.contains("send it once more")
    );
}

#[test]
fn what_is_wrong_with_a_roll_is_mended_at_once() {
    let site = Site::new();
    let app = site.serve();
    let admin = form_login(&app);
    let photos: Vec<String> = (1..=3).map(|seed| key(&admin.photo(&[], &jpeg(seed)))).collect();
    let one = |photo: &str| admin.get(&format!("/api/photos/{photo}")).body_json();
    let frames = || photos.iter().map(|p| one(p)["frame"].as_u64()).collect::<Vec<_>>();
    // As the list shows them: the newest first.
    let keys: String = photos.iter().rev().map(|key| format!("key={key}&")).collect();
    let more = "day=2026-05-01&place=Nara&film_stock=HP5&camera=FM2&lens=50mm&frames_from=7";
    let saved = admin.form("/admin/bulk", &format!("{keys}{more}&frames_order=reversed"));
    assert_eq!(saved.header("location"), Some("/admin?notice=saved"), "{}", saved.text());
    let first = one(&photos[0]);
    let made = (&first["taken_at"], &first["place"], &first["film_stock"], &first["camera"], &first["lens"]);
    let [day, nara, hp5, fm2, lens] = ["2026-05-01", "Nara", "HP5", "FM2", "50mm"].map(Into::into);
    assert_eq!(made, (&day, &nara, &hp5, &fm2, &lens));
    assert_eq!(frames(), [Some(7), Some(8), Some(9)]);
    // An empty field leaves everything as it is; the order shown is the other one.
    admin.form("/admin/bulk", &format!("{keys}day=&place=&frames_from=1&frames_order=shown"));
    assert_eq!(frames(), [Some(3), Some(2), Some(1)]);
    admin.form("/admin/bulk", &format!("{keys}add_tags=x"));
    assert_eq!((frames(), &one(&photos[2])["place"]), (vec![Some(3), Some(2), Some(1)], &nara));
    // Refused: all is as it was written, also what was ticked.
    let page = admin.form("/admin/bulk", &format!("{keys}place=Uji&frames_from=4294967295")).text();
    assert_eq!(page.matches("name=\"key\"").count(), page.matches(" checked aria-label").count());
    for kept in ["value=\"Uji\"", "name=\"frames_from\" aria-invalid=\"true\""] {
        assert!(page.contains(kept), "{kept} is not in {page}");
    }
    assert_eq!(one(&photos[0])["place"], nara);
}

#[test]
fn the_next_upload_begins_with_the_last_choice_of_who_may_see_it() {
    let site = Site::new();
    let app = site.serve();
    let admin = form_login(&app);
    let chosen = |client: &Client| {
        let page = client.get("/admin").text();
        let menu = page.split("name=\"visibility\"").nth(1).expect("a menu").to_owned();
        let before = menu.split(" selected").next().expect("a choice").to_owned();
        before.rsplit("value=\"").next().expect("a value").trim_end_matches('"').to_owned()
    };
    assert_eq!(chosen(&admin), "public");
    let body = multipart(&[("csrf_token", &admin.csrf), ("visibility", "private")], &[&jpeg(1)]);
    let sent = admin.send("POST", "/admin/upload", &[("content-type", MULTIPART)], &body);
    let cookie = sent.header("set-cookie").expect("a cookie");
    let pair = cookie.split(';').next().expect("pair");
    let session = admin.cookie.clone().expect("session");
    let next = Client { cookie: Some(format!("{session}; {pair}")), ..admin };
    assert_eq!(chosen(&next), "private");
}

#[test]
fn what_was_written_outlives_the_session_and_a_login_leads_where_one_was_going() {
    let site = Site::new();
    let app = site.serve();
    let admin = form_login(&app);
    let roll = key(&admin.json("POST", "/api/rolls", r#"{"title":"Osaka"}"#).body_json());
    let page = format!("/admin/rolls/{roll}");
    assert_eq!(admin.json("POST", "/api/auth/logout", "").status, 204);
    let asked = admin.form(&page, "title=Nara+%22night%22&notes=Two+stops");
    assert_eq!(asked.status, 401);
    let text = asked.text();
    assert!(text.contains("name=\"kept.title\" value=\"Nara &quot;night&quot;\""), "{text}");
    assert!(!text.contains("kept.csrf_token"), "{text}");
    // As the login form sends it.
    let login = |more: &str| {
        let body = format!("email={ADMIN}&password={}&{more}", PASSWORD.replace(' ', "+"));
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        app.client().send("POST", "/login", &headers, body.as_bytes())
    };
    let next = page.replace('/', "%2F");
    let back = login(&format!("next={next}&kept.title=Nara+%22night%22&kept.notes=Two+stops"));
    assert_eq!(back.status, 200, "{}", back.text());
    let cookie = back.header("set-cookie").expect("cookie").split(';').next().map(str::to_owned);
    let text = back.text();
    assert!(text.contains(&format!("action=\"{page}\"")) && text.contains("value=\"Two stops\""), "{text}");
    let token = text.split("name=\"csrf_token\" value=\"").filter_map(|rest| rest.split('"').next()).last();
    let again = Client { cookie, csrf: token.expect("token").to_owned(), ..app.client() };
    let saved = again.form(&page, "title=Nara+%22night%22&notes=Two+stops");
    assert_eq!(saved.header("location"), Some(format!("{page}?notice=saved").as_str()), "{}", saved.text());
    assert_eq!(login(&format!("next={next}")).header("location"), Some(page.as_str()));
    for elsewhere in ["https%3A%2F%2Fevil.example", "%2F%2Fevil.example%2Fadmin", "%2Flogout"] {
        assert_eq!(login(&format!("next={elsewhere}")).header("location"), Some("/admin"), "{elsewhere}");
    }
}

#[test]
fn the_page_of_a_set_up_link_keeps_its_token_in_the_other_language() {
    let site = Site::new();
    let app = site.serve();
    let other = "href=\"/setup?token=abc-1&amp;lang=zh-CN\"";
    assert!(app.client().get("/setup?token=abc-1").text().contains(other));
    let refused = app.client().form("/setup", "token=abc-1&password=long+enough+as+it+is");
    assert_eq!(refused.status, 404);
    assert!(refused.text().contains(other), "{}", refused.text());
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

/// What the number fields of a page hold that a browser would not send: their names.
fn refused_by_the_browser(page: &str) -> Vec<String> {
    let attribute = |tag: &str, name: &str| {
        let value = tag.split_once(&format!(" {name}=\""))?.1;
        Some(value.split('"').next()?.to_owned())
    };
    let mut refused = Vec::new();
    for tag in page.split("<input").skip(1).map(|rest| rest.split('>').next().expect("a tag")) {
        if attribute(tag, "type").as_deref() != Some("number") {
            continue;
        }
        let number = |name: &str| attribute(tag, name)?.parse::<f64>().ok();
        if let Some(value) = number("value")
            && (number("min").is_some_and(|min| value < min) || number("max").is_some_and(|max| value > max))
        {
            refused.push(attribute(tag, "name").expect("name"));
        }
    }
    refused
}

#[test]
fn a_form_takes_every_value_that_the_service_has_taken() {
    assert_eq!(refused_by_the_browser(r#"<input type="number" name="n" value="9" min="1" max="8">"#), ["n"]);
    let site = Site::new();
    let app = site.serve();
    let admin = app.login(ADMIN);
    let roll = admin.json("POST", "/api/rolls", r#"{"title":"Fast","box_iso":102400,"exposure_index":1}"#);
    assert_eq!(roll.status, 201, "{}", roll.text());
    let roll = key(&roll.body_json());
    for (seed, frame) in [(1, "20260501"), (2, "4294967295"), (3, "0")] {
        let photo = key(&admin.photo(&[("roll", &roll), ("frame", frame)], &jpeg(seed)));
        let page = admin.get(&format!("/admin/photos/{photo}")).text();
        assert!(page.contains(&format!("name=\"frame\" value=\"{frame}\"")), "{page}");
        assert_eq!(refused_by_the_browser(&page), [""; 0], "frame {frame}");
        let long = "x".repeat(filmtrip::model::limits::CAPTION);
        let saved = admin.form(&format!("/admin/photos/{photo}"), &format!("frame={frame}&caption={long}"));
        assert_eq!(saved.status, 303, "{}", saved.text());
    }
    let page = admin.get(&format!("/admin/rolls/{roll}")).text();
    assert!(page.contains("name=\"box_iso\" value=\"102400\""), "{page}");
    assert_eq!(refused_by_the_browser(&page), [""; 0]);
    // As long as the service takes, the form lets them be typed.
    for (path, field) in [(format!("/admin/rolls/{roll}"), "notes"), ("/admin".to_owned(), "caption")] {
        let page = admin.get(&path).text();
        let typed = format!("name=\"{field}\" maxlength=\"{}\"", filmtrip::model::limits::CAPTION);
        assert!(page.contains(&typed), "{field}");
    }
}

#[test]
fn the_menu_shows_the_section_of_a_page_below_it() {
    let site = Site::new();
    let app = site.serve();
    let admin = app.login(ADMIN);
    for (path, link) in [
        ("/admin/site", "href=\"/admin/site\" aria-current=\"page\""),
        ("/admin/site/storage", "href=\"/admin/site\" aria-current=\"true\""),
        ("/rolls", "href=\"/rolls\" aria-current=\"page\""),
    ] {
        let page = admin.get(path).text();
        assert!(page.contains(link), "{path}: {page}");
        assert_eq!(page.matches(" aria-current=").count(), 1, "{path}: {page}");
    }
}
