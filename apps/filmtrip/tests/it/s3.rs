//! FilmTrip on an S3 bucket: rclone's S3 server, which checks every signature and keeps objects as plain files.

use std::collections::BTreeMap;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::support::{ADMIN, App, Client, Site, files, jpeg, key};
use super::upyun::until;

const BUCKET: &str = "film";
const KEY_ID: &str = "DARKROOMKEYID";
const SECRET: &str = "stop-bath-38C-secret";
/// A photo's original, and three sizes as JPEG and WebP.
const OBJECTS: usize = 7;

/// The server, its bucket and its log.
struct Store {
    dir: tempfile::TempDir,
    port: u16,
    child: Option<Child>,
}

impl Store {
    fn start() -> Self {
        let dir = tempfile::tempdir().expect("temporary folder");
        std::fs::create_dir_all(dir.path().join("data").join(BUCKET)).expect("bucket");
        let free = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let mut store = Self { port: free.local_addr().expect("address").port(), dir, child: None };
        drop(free);
        store.run();
        store
    }

    /// Starts it again, where it was and with what it had.
    fn run(&mut self) {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.tools/rclone/bin/rclone");
        assert!(program.is_file(), "{} is missing; run `cargo xtask setup`", program.display());
        let mut command = Command::new(program);
        let log = std::fs::File::options().create(true).append(true).open(self.log()).expect("log");
        command
            .args(["serve", "s3", "--log-level", "DEBUG", "--addr", &format!("127.0.0.1:{}", self.port)])
            .arg(self.dir.path().join("data"))
            .env_clear()
            .env("HOME", self.dir.path())
            .env("RCLONE_AUTH_KEY", format!("\"{KEY_ID},{SECRET}\""))
            .stdin(Stdio::null())
            .stderr(log);
        self.child = Some(command.spawn().expect("rclone starts"));
        until("the S3 server listens", || TcpStream::connect(("127.0.0.1", self.port)).is_ok());
    }

    fn stop(&mut self) {
        let mut child = self.child.take().expect("runs");
        child.kill().expect("kill");
        child.wait().expect("reap");
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(self.child.as_ref().expect("runs")), signal).expect("signal");
    }

    fn log(&self) -> PathBuf {
        self.dir.path().join("rclone.log")
    }

    /// Names and sizes of what is in the bucket.
    fn objects(&self) -> BTreeMap<String, u64> {
        let bucket = self.dir.path().join("data").join(BUCKET);
        let name = |path: PathBuf| path.strip_prefix(&bucket).expect("inside").to_string_lossy().into_owned();
        files(&bucket).into_iter().map(|(path, bytes)| (name(path), bytes)).collect()
    }

    fn env(&self) -> Vec<(&'static str, String)> {
        vec![
            ("FILMTRIP_STORAGE", "s3".to_owned()),
            ("S3_BUCKET", BUCKET.to_owned()),
            ("S3_ENDPOINT", format!("http://127.0.0.1:{}", self.port)),
            ("S3_ACCESS_KEY_ID", KEY_ID.to_owned()),
            ("S3_SECRET_ACCESS_KEY", SECRET.to_owned()),
            ("FILMTRIP_SWEEP_SECONDS", "1".to_owned()),
        ]
    }

    fn serve(&self, site: &Site) -> App {
        self.serve_with(site, &[])
    }

    fn serve_with(&self, site: &Site, more: &[(&str, &str)]) -> App {
        let env = self.env();
        let mut env: Vec<(&str, &str)> = env.iter().map(|(name, value)| (*name, value.as_str())).collect();
        env.extend(more);
        site.start("serve", &env)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        if self.child.is_some() {
            self.stop();
        }
    }
}

fn kill(mut app: App) {
    app.child.kill().expect("kill -9");
    app.child.wait().expect("reap");
}

fn count(client: &Client) -> usize {
    client.get("/api/photos?mine=true&limit=100").body_json()["photos"].as_array().expect("photos").len()
}

fn health(client: &Client) -> (u16, serde_json::Value) {
    // Past the short time in which an answer is given again.
    std::thread::sleep(Duration::from_millis(250));
    let reply = client.get("/api/health");
    (reply.status, reply.body_json())
}

/// A photograph of so many bytes: the comments of a JPEG are no part of its picture.
fn large_jpeg(bytes: usize) -> Vec<u8> {
    let small = jpeg(77);
    let mut file = small[..2].to_vec();
    let mut n = 0_u32;
    while file.len() + small.len() < bytes {
        file.extend_from_slice(&[0xFF, 0xFE, 0xFF, 0xFF]);
        // Each piece differs, so that a part in the wrong place would be seen.
        file.extend((0..65_533_u32).map(|i| (i.wrapping_mul(31) ^ n).to_le_bytes()[0]));
        n += 1;
    }
    file.extend_from_slice(&small[2..]);
    file
}

fn delete_for_ever(client: &Client, photo: &serde_json::Value) {
    let path = format!("/api/photos/{}?forever=true", key(photo));
    assert_eq!(client.json("DELETE", &path, "").status, 204);
}

#[test]
fn photos_are_kept_in_the_bucket_served_and_deleted_for_ever() {
    let (site, store) = (Site::new(), Store::start());
    let app = store.serve(&site);
    let admin = app.login(ADMIN);
    let local = files(&site.media());
    let source = filmtrip::images::sample::photo(2400, 1600, 5).expect("sample");
    let photo = admin.photo(&[("title", "In the bucket")], &source);
    assert_eq!(store.objects().len(), OBJECTS, "{:?}", store.objects());
    assert_eq!(files(&site.media()), local, "something stays in the media folder");
    for (name, width, height) in [("thumb", 600, 400), ("preview", 1024, 683), ("large", 2048, 1365)] {
        for (form, media_type) in [("url", "image/jpeg"), ("webp", "image/webp")] {
            let url = photo["images"][name][form].as_str().expect("url");
            assert!(url.starts_with("/media/"), "{url}");
            let reply = app.client().get(url);
            assert_eq!((reply.status, reply.header("content-type")), (200, Some(media_type)), "{url}");
            let picture = image::load_from_memory(&reply.body).expect("decodes");
            assert_eq!((picture.width(), picture.height()), (width, height), "{url}");
        }
    }
    let original = admin.get(&format!("/api/photos/{}/original", key(&photo)));
    assert_eq!((original.status, original.body == source), (200, true));
    delete_for_ever(&admin, &photo);
    until("every object is gone", || store.objects().is_empty());
    assert_eq!(app.client().get(photo["images"]["thumb"]["url"].as_str().expect("url")).status, 404);
}

#[test]
fn a_large_original_goes_in_parts_and_comes_back_whole() {
    let (site, store) = (Site::new(), Store::start());
    let app = store.serve(&site);
    let admin = app.login(ADMIN);
    let source = large_jpeg(21 << 20);
    let photo = admin.photo(&[], &source);
    let log = std::fs::read_to_string(store.log()).expect("log");
    assert_eq!(log.matches("put multipart upload").count(), 3, "parts of 8 MiB: {log}");
    let largest = store.objects().into_values().max();
    assert_eq!(largest, Some(source.len() as u64));
    let original = admin.get(&format!("/api/photos/{}/original", key(&photo)));
    assert!(original.body == source, "{} bytes came back of {}", original.body.len(), source.len());
    delete_for_ever(&admin, &photo);
    until("every object is gone", || store.objects().is_empty());
}

#[test]
fn health_fails_while_the_store_is_away_and_mends_with_it() {
    let (site, mut store) = (Site::new(), Store::start());
    let app = store.serve(&site);
    let admin = app.login(ADMIN);
    assert_eq!(health(&admin).0, 200);
    let photo = admin.photo(&[], &jpeg(1));
    let thumb = photo["images"]["thumb"]["url"].as_str().expect("url");
    store.stop();
    let (status, body) = health(&admin);
    assert_eq!((status, body["storage"]["status"].as_str()), (503, Some("failed")), "{body}");
    assert!(body["storage"]["error"].as_str().expect("why").starts_with("s3: "), "{body}");
    assert!(admin.get(thumb).status >= 500, "a picture that cannot be had is not missing");
    assert!(admin.upload(&[], &[&jpeg(2)]).status >= 500);
    store.run();
    assert_eq!(health(&admin).0, 200);
    assert_eq!(admin.get(thumb).status, 200);
    admin.photo(&[], &jpeg(2));
    assert_eq!(count(&admin), 2);
    // A store that takes connections and never answers is away as well, and health says so in time.
    store.signal(Signal::STOP);
    let start = Instant::now();
    assert_eq!(health(&admin).0, 503);
    assert!(start.elapsed() < Duration::from_secs(10), "took {:?}", start.elapsed());
    store.signal(Signal::CONT);
    until("health is back", || health(&admin).0 == 200);
    until("only the two photos are left", || {
        // A probe that nobody waited for may have arrived since; the next one clears it.
        health(&admin).0 == 200 && store.objects().len() == 2 * OBJECTS
    });
}

#[test]
fn wrong_credentials_are_named_by_health_without_the_secret() {
    let (site, store) = (Site::new(), Store::start());
    let wrong = "fixer-20C-not-the-secret";
    for (variable, value, code) in [
        ("S3_SECRET_ACCESS_KEY", wrong, "SignatureDoesNotMatch"),
        ("S3_ACCESS_KEY_ID", "STRANGER", "InvalidAccessKeyId"),
        ("S3_BUCKET", "elsewhere", "NoSuchBucket"),
    ] {
        let app = store.serve_with(&site, &[(variable, value)]);
        let (status, body) = health(&app.client());
        assert_eq!(status, 503, "{variable}");
        let why = body["storage"]["error"].as_str().expect("why");
        assert!(why.starts_with("s3: ") && why.contains(code), "{variable}: {why}");
        assert!(!body.to_string().contains(wrong) && !body.to_string().contains(SECRET), "{variable}");
    }
    assert_eq!(store.objects().len(), 0);
}

#[test]
fn photos_in_the_bucket_need_its_settings_and_not_its_being_the_place_of_new_ones() {
    let (site, store) = (Site::new(), Store::start());
    let refused = site.run(&["serve"], &[("FILMTRIP_STORAGE", "s3")]);
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    for variable in ["S3_BUCKET", "S3_ENDPOINT", "S3_ACCESS_KEY_ID", "S3_SECRET_ACCESS_KEY"] {
        assert!(!refused.status.success() && told.contains(variable), "{variable}: {told}");
    }
    let app = store.serve(&site);
    let old = app.login(ADMIN).photo(&[], &jpeg(1));
    drop(app);
    // Whatever is set for new photos: without the bucket the old ones could not be shown.
    let refused = site.run(&["serve"], &[]);
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    for variable in ["S3_BUCKET", "S3_ENDPOINT", "S3_ACCESS_KEY_ID", "S3_SECRET_ACCESS_KEY"] {
        assert!(!refused.status.success() && told.contains(variable), "{variable}: {told}");
    }
    let app = store.serve_with(&site, &[("FILMTRIP_STORAGE", "local")]);
    let admin = app.login(ADMIN);
    let new = admin.photo(&[], &jpeg(2));
    assert_eq!(store.objects().len(), OBJECTS, "a new photo went into the bucket");
    for photo in [&old, &new] {
        assert_eq!(admin.get(photo["images"]["large"]["webp"].as_str().expect("url")).status, 200);
    }
    // What admins are told is what is in the bucket, and what is on the disk.
    let places = admin.get("/api/admin/storage").body_json()["places"].clone();
    let there = |place: &serde_json::Value| -> u64 {
        let sizes = place["sizes"].as_array().expect("sizes");
        let sizes: u64 = sizes.iter().map(|size| size["bytes"].as_u64().expect("bytes")).sum();
        place["originals"].as_u64().expect("bytes") + sizes
    };
    assert_eq!((&places[0]["backend"], &places[1]["backend"]), (&"local".into(), &"s3".into()));
    assert_eq!(there(&places[1]), store.objects().values().sum::<u64>(), "{places}");
    assert_eq!(there(&places[0]), files(&site.media()).values().sum::<u64>(), "{places}");
    delete_for_ever(&admin, &old);
    until("every object is gone", || store.objects().is_empty());
}

#[test]
fn killed_at_any_moment_of_an_upload_nothing_is_doubled_or_left() {
    let (site, store) = (Site::new(), Store::start());
    let mut taken = 0;
    for (n, pause) in [0, 5, 15, 30, 60, 120, 300].into_iter().enumerate() {
        let app = store.serve(&site);
        let client = app.login(ADMIN);
        let sent = std::thread::spawn(move || {
            // The connection may break with the process: then it is no photo.
            let _broken = std::panic::catch_unwind(|| client.upload(&[], &[&jpeg(n as u64)])).is_err();
        });
        until("the upload is noted", || {
            let noted = site.sql().value::<u64>("SELECT count(*) FROM uploads", &[]).expect("uploads");
            noted > taken
        });
        std::thread::sleep(Duration::from_millis(pause));
        kill(app);
        sent.join().expect("client");
        taken = site.sql().value::<u64>("SELECT count(*) FROM uploads", &[]).expect("uploads");
    }
    site.sql().batch("UPDATE uploads SET expires_at = 1").expect("an hour later");
    let app = store.serve(&site);
    let admin = app.login(ADMIN);
    let photos = count(&admin);
    until("what was left is cleared", || store.objects().len() == photos * OBJECTS);
    for n in 0..7 {
        let reply = admin.upload(&[], &[&jpeg(n)]);
        assert!(matches!(reply.status, 200 | 201), "{}", reply.text());
    }
    assert_eq!(count(&admin), 7);
    until("each photo has its objects and no other", || store.objects().len() == 7 * OBJECTS);
}

#[test]
fn an_object_that_arrives_after_its_process_was_killed_is_cleared() {
    let (site, store) = (Site::new(), Store::start());
    let app = store.serve(&site);
    let client = app.login(ADMIN);
    // The store takes the connection and answers nothing.
    store.signal(Signal::STOP);
    let sent = std::thread::spawn(move || {
        let _broken = std::panic::catch_unwind(|| client.upload(&[], &[&jpeg(1)])).is_err();
    });
    until("the upload is noted", || {
        site.sql().value::<u64>("SELECT count(*) FROM uploads", &[]).expect("uploads") == 1
    });
    until("its first object is on its way", || waiting(store.port));
    kill(app);
    sent.join().expect("client");
    store.signal(Signal::CONT);
    until("it arrives", || !store.objects().is_empty());
    site.sql().batch("UPDATE uploads SET expires_at = 1").expect("an hour later");
    let app = store.serve(&site);
    let admin = app.login(ADMIN);
    until("what was left is cleared", || store.objects().is_empty());
    assert_eq!(count(&admin), 0);
    admin.photo(&[], &jpeg(1));
    assert_eq!((count(&admin), store.objects().len()), (1, OBJECTS));
}

/// Whether bytes wait at a port of loopback that its process has not read.
fn waiting(port: u16) -> bool {
    let table = std::fs::read_to_string("/proc/net/tcp").expect("/proc/net/tcp");
    let local = format!("0100007F:{port:04X}");
    table.lines().any(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let unread = fields.get(4).and_then(|queues| queues.split_once(':')).map(|(_, received)| received);
        // State 01 is an established connection; a listener's queue counts connections.
        fields.get(1) == Some(&local.as_str())
            && fields.get(3) == Some(&"01")
            && unread.is_some_and(|queue| u64::from_str_radix(queue, 16).is_ok_and(|bytes| bytes > 0))
    })
}
