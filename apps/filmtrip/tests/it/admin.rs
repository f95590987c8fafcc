//! What admins see: in their language, whole however much there is, and what they can do about it.

use super::support::{ADMIN, App, Client, Reply, Site, jpeg, key};
use super::upyun::until;

/// A page in Chinese.
fn chinese(client: &Client, path: &str) -> Reply {
    client.send("GET", path, &[("accept-language", "zh-CN")], b"")
}

/// The texts of a page that people read as its own: nothing of what a program has said, which is marked as English.
fn read_texts(page: &str) -> Vec<String> {
    let mut rest = page.to_owned();
    for (from, to) in [("<style", "</style>"), ("<code lang=\"en\"", "</code>"), ("lang=\"en\"", "</a>")] {
        while let Some(start) = rest.find(from) {
            let end = rest[start..].find(to).map(|at| start + at + to.len()).expect("closed");
            rest.replace_range(start..end, ">");
        }
    }
    rest.split('<').filter_map(|part| part.split_once('>')).map(|(_, text)| text.to_owned()).collect()
}

/// Two words of English side by side.
fn english(text: &str) -> bool {
    let word = |w: &&str| w.len() > 1 && w.chars().all(|c| c.is_ascii_alphabetic() || ".,:;'".contains(c));
    let words: Vec<&str> = text.split_whitespace().collect();
    words.windows(2).any(|pair| pair.iter().all(word))
}

/// A photo whose files have gone, one whose original was changed, and jobs that were given up.
fn broken(site: &Site, app: &App, admin: &Client) -> [String; 2] {
    let photos = [1, 2].map(|seed| key(&admin.photo(&[], &jpeg(seed))));
    std::fs::remove_file(site.media().join(filmtrip::storage::names::variant(&photos[0], "thumb.jpg")))
        .expect("variant");
    let query = format!("SELECT original_key FROM photos WHERE key = '{}'", photos[1]);
    let original: String = site.sql().value(&query, &[]).expect("original");
    let original = site.media().join(filmtrip::storage::names::original(&original, "jpg"));
    let mut bytes = std::fs::read(&original).expect("original");
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&original, bytes).expect("changed");
    let insert = "INSERT INTO jobs (kind, subject, run_at, attempts, error, failed_at, created_at) VALUES";
    for row in [
        "('discard', 'killed', 1, 24, NULL, NULL, 1)",
        "('relocate', 'coded', 1, 24, 'store: the bucket said no to this', 1, 1)",
        "('ingest', 'old', 1, 24, 'an old release has written this', 1, 1)",
    ] {
        site.sql().execute(&format!("{insert} {row}"), &[]).expect("job");
    }
    assert_eq!(admin.json("POST", "/api/admin/integrity", "").status, 202);
    until("all was looked at, and a job given up", || {
        let seen = app.login(ADMIN);
        let integrity = seen.get("/api/admin/integrity").body_json();
        let overview = seen.get("/api/overview").body_json();
        integrity["checked_at"].is_string() && integrity["running"] == false && overview["failed_jobs"] == 3
    });
    photos
}

#[test]
fn an_admin_who_reads_chinese_meets_no_sentence_of_english() {
    let site = Site::new();
    let app = site.serve();
    let admin = app.login(ADMIN);
    let photos = broken(&site, &app, &admin);
    let found = admin.get("/api/admin/integrity").body_json();
    assert_eq!(found["faults"][0]["problems"][0]["code"], "file_missing", "{found}");
    assert_eq!(found["faults"][1]["problems"][0]["code"], "original_damaged", "{found}");
    let page = chinese(&admin, "/admin/site").text();
    for said in [
        "缺少一种尺寸的图片。",
        "原图内容与存入时不一致。",
        "对象存储没有响应。",
        "进程都意外结束。",
        "处理失败。",
        "媒体文件夹",
        "转移原图",
        // The words of a program are there, as a detail.
        "<code lang=\"en\">the bucket said no to this</code>",
        "<code lang=\"en\">an old release has written this</code>",
    ] {
        assert!(page.contains(said), "{said}: {page}");
    }
    let mut met = Vec::new();
    for path in [
        "/admin".to_owned(),
        "/admin/trash".to_owned(),
        "/admin/rolls".to_owned(),
        "/admin/albums".to_owned(),
        "/admin/account".to_owned(),
        "/admin/site".to_owned(),
        "/admin/users".to_owned(),
        "/admin/site/storage".to_owned(),
        "/admin/reports".to_owned(),
        "/admin/reports/closed".to_owned(),
        format!("/admin/photos/{}", photos[0]),
    ] {
        let texts = read_texts(&chinese(&admin, &path).text());
        assert!(texts.len() > 20, "{path} has no texts");
        met.extend(texts.into_iter().filter(|text| english(text)).map(|text| format!("{path}: {text}")));
    }
    assert!(met.is_empty(), "{}", met.join("\n"));
    // The check does see English where there is some.
    let page = admin.send("GET", "/admin/site", &[("accept-language", "en")], b"").text();
    assert!(read_texts(&page).iter().any(|text| english(text)));
    assert!(page.contains("The original does not have the bytes that were stored."), "{page}");
}
