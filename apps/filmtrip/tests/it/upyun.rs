//! FilmTrip beside an Upyun emulator on loopback, with the whole configuration of direct uploads.

use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use safelight_upyun_emulator::{CallbackRecord, Config, Emulator, Faults, OperatorChange};
use serde_json::Value;

use filmtrip::db::photos;

use super::support::{App, Client, MULTIPART, Reply, Site, key, multipart};

pub(crate) const BUCKET: &str = "film";
pub(crate) const OPERATOR: &str = "darkroom";
pub(crate) const PASSWORD: &str = "stop-bath-38C";

/// A site with a bucket.
pub(crate) struct Rig {
    pub(crate) site: Site,
    pub(crate) emulator: Emulator,
    runtime: tokio::runtime::Runtime,
    port: u16,
}

impl Rig {
    pub(crate) fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("runtime");
        let mut config = Config::single(BUCKET, OPERATOR, PASSWORD);
        config.callback.retry_delays = vec![Duration::from_millis(200); 40];
        let emulator = runtime.block_on(Emulator::start(config)).expect("emulator");
        // The notices' address is configured before the service has one.
        let free = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let port = free.local_addr().expect("address").port();
        Self { site: Site::new(), emulator, runtime, port }
    }

    /// Where the bucket tells of uploads.
    pub(crate) fn notify_url(&self) -> String {
        format!("http://127.0.0.1:{}/api/storage/callback", self.port)
    }

    /// The environment of a service that uses the bucket.
    pub(crate) fn env(&self, direct: bool, processing: bool) -> Vec<(String, String)> {
        let notify = self.notify_url();
        let pairs = [
            ("PORT", self.port.to_string()),
            ("UPYUN_BUCKET", BUCKET.to_owned()),
            ("UPYUN_OPERATOR", OPERATOR.to_owned()),
            ("UPYUN_PASSWORD", PASSWORD.to_owned()),
            ("UPYUN_CDN_DOMAIN", self.emulator.cdn_endpoint()),
            ("UPYUN_API_URL", self.emulator.api_endpoint()),
            ("UPYUN_PURGE_URL", self.emulator.api_endpoint()),
            ("UPYUN_NOTIFY_URL", notify),
            ("UPYUN_STYLE_THUMB", "thumb".to_owned()),
            ("UPYUN_STYLE_PREVIEW", "preview".to_owned()),
            ("UPYUN_STYLE_LARGE", "large".to_owned()),
            ("UPYUN_DIRECT_UPLOAD_ENABLED", direct.to_string()),
            ("UPYUN_IMAGE_PROCESSING_ENABLED", processing.to_string()),
            ("FILMTRIP_SWEEP_SECONDS", "1".to_owned()),
            ("FILMTRIP_JOB_LEASE_SECONDS", "2".to_owned()),
        ];
        pairs.map(|(name, value)| (name.to_owned(), value)).to_vec()
    }

    pub(crate) fn start(&self, direct: bool, processing: bool) -> App {
        self.start_with(direct, processing, &[])
    }

    pub(crate) fn start_with(&self, direct: bool, processing: bool, more: &[(&str, &str)]) -> App {
        let mut env = self.env(direct, processing);
        env.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let env: Vec<(&str, &str)> = env.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        self.site.start("serve", &env)
    }

    pub(crate) fn faults(&self, change: impl FnOnce(&mut Faults)) {
        let mut faults = Faults::default();
        change(&mut faults);
        self.emulator.set_faults(faults);
    }

    pub(crate) fn set_password(&self, password: &str) {
        let change = OperatorChange { password: Some(password.to_owned()), ..OperatorChange::default() };
        self.emulator.change_operator(OPERATOR, change).expect("operator");
    }

    /// Waits until so many notices have found their end.
    pub(crate) fn settled(&self, count: usize) -> Vec<CallbackRecord> {
        let settled = self.runtime.block_on(self.emulator.settled_callbacks(count, Duration::from_secs(30)));
        settled.unwrap_or_else(|| panic!("no {count} notices: {:?}", self.emulator.callbacks()))
    }

    /// Forges a notice of an upload in a way.
    pub(crate) fn forge(&self, forgery: safelight_upyun_emulator::Forgery, fields: &Value) {
        let url = self.notify_url();
        let fields = fields.as_object().expect("fields");
        self.runtime.block_on(self.emulator.forge_callback(&url, OPERATOR, forgery, fields));
    }

    /// Makes all waiting jobs of a kind due.
    pub(crate) fn hurry(&self, kind: &str) {
        let query = format!("UPDATE jobs SET run_at = 1 WHERE kind = '{kind}'");
        assert!(self.site.sql().execute(&query, &[]).expect("jobs") > 0, "there is no {kind} to hurry");
    }

    /// How many jobs of a kind there are.
    pub(crate) fn left(&self, kind: &str) -> u64 {
        let query = format!("SELECT count(*) FROM jobs WHERE kind = '{kind}'");
        self.site.sql().value(&query, &[]).expect("jobs")
    }

    /// How many jobs of a kind are due or running.
    pub(crate) fn left_due(&self, kind: &str) -> u64 {
        let now = filmtrip::db::now_ms();
        let query = format!("SELECT count(*) FROM jobs WHERE kind = '{kind}' AND run_at <= {now}");
        self.site.sql().value(&query, &[]).expect("jobs")
    }

    /// How many jobs of a kind a worker is at.
    pub(crate) fn at_work(&self, kind: &str) -> u64 {
        let query = format!("SELECT count(*) FROM jobs WHERE kind = '{kind}' AND leased_until IS NOT NULL");
        self.site.sql().value(&query, &[]).expect("jobs")
    }

    /// The name of a photo's original in the bucket.
    pub(crate) fn original(&self, photo: &str) -> String {
        photos::by_key(&mut self.site.sql(), photo).expect("query").expect("photo").object
    }

    /// Whether the bucket has an object.
    pub(crate) fn has(&self, object: &str) -> bool {
        self.emulator.file(BUCKET, object).is_some()
    }

    /// A signed upload of a file.
    pub(crate) fn sign(&self, client: &Client, file: &[u8], about: &Value) -> Signed {
        let body = serde_json::json!({
            "file_name": "roll 7 frame 12.jpg", "bytes": file.len(), "media_type": "image/jpeg", "about": about,
        });
        let reply = client.json("POST", "/api/uploads", &body.to_string());
        assert_eq!(reply.status, 201, "{}", reply.text());
        Signed { info: reply.body_json() }
    }

    /// Signs and posts a file, as a browser does; the key of the upload.
    pub(crate) fn put(&self, client: &Client, file: &[u8], about: &Value) -> String {
        let signed = self.sign(client, file, about);
        let reply = signed.post(file);
        assert_eq!(reply.status, 200, "{}", reply.text());
        signed.key()
    }
}

/// What the browser was given.
pub(crate) struct Signed {
    pub(crate) info: Value,
}

impl Signed {
    pub(crate) fn key(&self) -> String {
        key(&self.info)
    }

    /// Posts the form to where it says.
    pub(crate) fn post(&self, file: &[u8]) -> Reply {
        let form = &self.info["form"];
        let url = form["url"].as_str().expect("url").strip_prefix("http://").expect("http");
        let (address, path) = url.split_once('/').expect("path");
        let address: SocketAddr = address.parse().expect("address");
        let fields = form["fields"].as_object().expect("fields");
        let fields: Vec<(&str, &str)> =
            fields.iter().map(|(n, v)| (n.as_str(), v.as_str().expect("text"))).collect();
        let client = Client { address, cookie: None, csrf: String::new() };
        let body = multipart(&fields, &[file]);
        client.send("POST", &format!("/{path}"), &[("content-type", MULTIPART)], &body)
    }
}

/// Asks for an upload until it has one of these states.
pub(crate) fn wait(client: &Client, upload: &str, states: &[&str]) -> Value {
    let start = Instant::now();
    loop {
        let info = client.get(&format!("/api/uploads/{upload}")).body_json();
        if states.contains(&info["state"].as_str().unwrap_or_default()) {
            return info;
        }
        assert!(start.elapsed() < Duration::from_secs(40), "the upload stays at {info}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Waits until something is so.
pub(crate) fn until(what: &str, mut so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !so() {
        assert!(start.elapsed() < Duration::from_secs(40), "{what} did not come about");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Reads an absolute URL of loopback.
pub(crate) fn fetch(url: &str) -> Reply {
    let rest = url.strip_prefix("http://").unwrap_or_else(|| panic!("not absolute: {url}"));
    let (address, path) = rest.split_once('/').expect("path");
    Client::of(address.parse().expect("address")).get(&format!("/{path}"))
}
