//! The order of lists: newest batch first, and each in the order in which it was sent, whichever file was done first.

use serde_json::Value;

use super::support::{ADMIN, Client, MULTIPART, Site, jpeg, key, named};

fn keys(client: &Client, query: &str) -> Vec<String> {
    let page = client.get(&format!("/api/photos?limit=100{query}")).body_json();
    page["photos"].as_array().expect("photos").iter().map(key).collect()
}

/// A photo that is done now, at a place of a batch.
fn sent(client: &Client, seed: u64, position: i64) -> String {
    key(&client.photo(&[("position", &position.to_string())], &jpeg(seed)))
}

/// The photos of a list one by one, as its pages and as its neighbours lead through it.
fn walked(client: &Client, query: &str) -> (Vec<String>, Vec<String>) {
    let (mut pages, mut next) = (Vec::new(), String::new());
    loop {
        let page = client.get(&format!("/api/photos?limit=1{query}{next}")).body_json();
        pages.push(key(&page["photos"][0]));
        let Some(after) = page["next"].as_str() else { break };
        next = format!("&before={after}");
    }
    let beside = |photo: &str| client.get(&format!("/api/photos/{photo}/neighbours?{query}")).body_json();
    let mut beside_each = vec![pages[0].clone()];
    assert_eq!(beside(&pages[0])["previous"], Value::Null);
    while let Some(next) = beside(beside_each.last().expect("one"))["next"].as_str() {
        assert_eq!(beside(next)["previous"].as_str(), beside_each.last().map(String::as_str));
        beside_each.push(next.to_owned());
    }
    (pages, beside_each)
}

#[test]
fn a_batch_is_listed_as_it_was_sent_however_its_files_overtake_each_other() {
    let site = Site::new();
    let app = site.serve();
    let admin = app.login(ADMIN);
    let now = filmtrip::db::now_ms();
    let batch = |minutes_ago: i64| (now - minutes_ago * 60_000) * 1000;
    let (older, newer) = (batch(20), batch(10));
    // The third file of the older batch is done first, then two of the newer one, and the others of the older last.
    let third = sent(&admin, 1, older + 2);
    let (b2, b1) = (sent(&admin, 2, newer + 1), sent(&admin, 3, newer));
    let (first, second) = (sent(&admin, 4, older), sent(&admin, 5, older + 1));
    let expected = [b1, b2, first, second, third];
    for (client, query) in [(&app.client(), ""), (&admin, "&mine=true")] {
        assert_eq!(keys(client, query), expected, "{query}");
        assert_eq!(walked(client, query), (expected.to_vec(), expected.to_vec()), "{query}");
    }
    let home = app.client().get("/").text();
    let at = |key: &String| home.find(&format!("id=\"p-{key}\"")).expect("shown");
    assert!(expected.windows(2).all(|pair| at(&pair[0]) < at(&pair[1])), "{home}");
    let feed = app.client().get("/feed.xml").text();
    let at = |key: &String| feed.find(&format!("/p/{key}")).expect("told of");
    assert!(expected.windows(2).all(|pair| at(&pair[0]) < at(&pair[1])));

    // What an older release has stored, and what comes with a clock that is wrong, stands by when it was done.
    let query = "UPDATE photos SET listed_at = NULL, created_at = ?2 WHERE key = ?1";
    let between = now - 15 * 60_000;
    let params = filmtrip::params![&expected[4], between];
    assert_eq!(site.sql().execute(query, params).expect("old"), 1);
    let wrong = sent(&admin, 6, batch(-1_000_000));
    let [b1, b2, first, second, third] = expected;
    let expected = [wrong, b1, b2, third, first, second];
    assert_eq!(keys(&admin, ""), expected);
    assert_eq!(walked(&admin, ""), (expected.to_vec(), expected.to_vec()));
}

#[test]
fn the_files_of_a_plain_form_are_listed_in_its_order() {
    let site = Site::new();
    let app = site.serve();
    let admin = app.login(ADMIN);
    let before = key(&admin.photo(&[], &jpeg(9)));
    let files = [jpeg(1), jpeg(2), jpeg(3)];
    let files: Vec<(&str, &[u8])> =
        ["a.jpg", "b.jpg", "c.jpg"].into_iter().zip(files.iter().map(Vec::as_slice)).collect();
    let body = named(&[("csrf_token", &admin.csrf)], &files);
    let reply = admin.send("POST", "/api/photos", &[("content-type", MULTIPART)], &body);
    assert_eq!(reply.status, 201, "{}", reply.text());
    let stored: Vec<String> =
        reply.body_json()["photos"].as_array().expect("photos").iter().map(key).collect();
    assert_eq!(keys(&admin, ""), [stored, vec![before]].concat());
}

#[test]
fn before_its_schema_lists_are_by_when_photos_were_done() {
    let site = Site::empty();
    site.ok(&["migrate", "--to", "10"]);
    site.account(ADMIN, "admin");
    let app = site.serve();
    let admin = app.login(ADMIN);
    let batch = (filmtrip::db::now_ms() - 60_000) * 1000;
    let (second, first) = (sent(&admin, 1, batch + 1), sent(&admin, 2, batch));
    let mut third = Vec::new();
    for schema in ["10", "11"] {
        site.ok(&["migrate", "--to", schema]);
        // Those of before keep their order in the live process.
        assert_eq!(
            keys(&admin, ""),
            [third.clone(), vec![first.clone(), second.clone()]].concat(),
            "{schema}"
        );
        third.insert(0, key(&admin.photo(&[], &jpeg(3 + third.len() as u64))));
    }
    let expected = [third, vec![first, second]].concat();
    assert_eq!(walked(&admin, ""), (expected.clone(), expected));
}
