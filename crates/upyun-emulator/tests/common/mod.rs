//! Helpers of the integration tests.
#![allow(dead_code, unreachable_pub, reason = "each test file uses some of it")]
#![allow(clippy::unwrap_used, reason = "helpers of tests fail the test")]

use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use safelight_upyun::{
    Callback, CallbackError, CallbackRequest, CallbackVerifier, Client, FormPolicy, Operator,
};
use safelight_upyun_emulator::{Config, Emulator};

pub const BUCKET: &str = "photos";
pub const OPERATOR: &str = "operator";
pub const PASSWORD: &str = "operator-password";

pub fn config() -> Config {
    let mut config = Config::single(BUCKET, OPERATOR, PASSWORD);
    config.callback.retry_delays = vec![Duration::from_millis(50); 3];
    config.callback.timeout = Duration::from_millis(500);
    config.async_delete_delay = Duration::from_millis(50);
    config
}

pub fn operator() -> Operator {
    Operator::new(OPERATOR, PASSWORD).unwrap()
}

pub fn client(emulator: &Emulator) -> Client {
    let endpoint = emulator.api_endpoint();
    Client::builder(BUCKET, operator()).endpoint(&endpoint).purge_endpoint(endpoint).build().unwrap()
}

pub fn policy(save_key: &str) -> FormPolicy {
    FormPolicy::new(BUCKET, save_key, SystemTime::now() + Duration::from_secs(1800))
}

pub fn jpeg(width: u32, height: u32) -> Vec<u8> {
    let image = image::RgbImage::from_fn(width, height, |x, y| {
        image::Rgb([(x % 256) as u8, (y % 256) as u8, ((x + y) % 256) as u8])
    });
    let mut out = Cursor::new(Vec::new());
    image.write_to(&mut out, image::ImageFormat::Jpeg).unwrap();
    out.into_inner()
}

pub fn size(data: &[u8]) -> (u32, u32) {
    let image = image::load_from_memory(data).unwrap();
    (image.width(), image.height())
}

/// Where `cargo xtask setup` puts the official SDKs.
pub fn tool(relative: &str, what: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let path = root.join(".tools").join(relative);
    assert!(
        path.exists(),
        "{what} is not installed in .tools/{relative}; run `cargo xtask setup` and try again"
    );
    path.canonicalize().unwrap()
}

/// Runs a suite and returns the names of the steps it reports as `ok <name>`.
pub fn suite(command: std::process::Command) -> Vec<String> {
    // coreutils' timeout, so that a suite that hangs cannot outlive the test.
    let mut bounded = std::process::Command::new("timeout");
    bounded.args(["--kill-after=5", "120"]).arg(command.get_program()).args(command.get_args()).env_clear();
    bounded.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    bounded.current_dir(command.get_current_dir().unwrap());
    let output = bounded.output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "the suite failed with {}:\n{out}\n{err}", output.status);
    out.lines().filter_map(|line| line.strip_prefix("ok ")).map(str::to_owned).collect()
}

type Seen = Arc<Mutex<Vec<Result<Callback, CallbackError>>>>;

/// A receiver that verifies what arrives, as an application should.
pub struct Receiver {
    pub url: String,
    seen: Seen,
    fail_first: Arc<Mutex<u32>>,
}

impl Receiver {
    pub async fn start(verifier: CallbackVerifier) -> Self {
        let seen = Seen::default();
        let fail_first = Arc::new(Mutex::new(0));
        let state = (verifier, Arc::clone(&seen), Arc::clone(&fail_first));
        let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/api/storage/callback", socket.local_addr().unwrap());
        let router = Router::new().fallback(receive).with_state(state);
        tokio::spawn(async move { axum::serve(socket, router).await.unwrap() });
        Self { url, seen, fail_first }
    }

    pub fn seen(&self) -> Vec<Result<Callback, CallbackError>> {
        self.seen.lock().unwrap().clone()
    }

    pub fn accepted_urls(&self) -> Vec<String> {
        self.seen()
            .into_iter()
            .flatten()
            .filter_map(|callback| callback.upload)
            .map(|notice| notice.url)
            .collect()
    }

    pub fn fail_first(&self, n: u32) {
        *self.fail_first.lock().unwrap() = n;
    }
}

async fn receive(
    State((verifier, seen, fail_first)): State<(CallbackVerifier, Seen, Arc<Mutex<u32>>)>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    {
        let mut left = fail_first.lock().unwrap();
        if *left > 0 {
            *left -= 1;
            return StatusCode::BAD_GATEWAY;
        }
    }
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let request = CallbackRequest {
        method: "POST",
        path: uri.path(),
        authorization: header("authorization"),
        date: header("date"),
        content_md5: header("content-md5"),
        body: &body,
    };
    let verdict = verifier.verify(&request, SystemTime::now());
    let status = if verdict.is_ok() { StatusCode::OK } else { StatusCode::FORBIDDEN };
    seen.lock().unwrap().push(verdict);
    status
}
