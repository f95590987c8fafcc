//! What the emulator starts with. Everything in it can be changed while it runs.
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use safelight_upyun::Separator;
use serde::{Deserialize, Serialize};

/// Rights of an operator on a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rights {
    /// GET and HEAD.
    pub read: bool,
    /// PUT, POST, PATCH and forms.
    pub write: bool,
    /// DELETE.
    pub delete: bool,
}

impl Rights {
    /// Everything.
    pub const ALL: Self = Self { read: true, write: true, delete: true };
}

/// A bucket to start with.
#[derive(Debug, Clone)]
pub struct BucketConfig {
    /// Its name.
    pub name: String,
    /// Whether the form API is on.
    pub form_api: bool,
    /// The form API secret, for the old signatures.
    pub form_key: String,
    /// Between a file's URL and its style.
    pub separator: Separator,
    /// Styles (缩略图版本) and their parameters.
    pub styles: BTreeMap<String, String>,
}

impl BucketConfig {
    /// A bucket with the form API on, `!` as separator and the styles `thumb`, `preview` and `large`.
    pub fn new(name: impl Into<String>) -> Self {
        let styles = [("thumb", 600), ("preview", 1024), ("large", 2048)];
        let styles =
            styles.map(|(name, side)| (name.to_owned(), format!("/max/{side}/rotate/auto/quality/85")));
        Self {
            name: name.into(),
            form_api: true,
            form_key: "emulator-form-key".into(),
            separator: Separator::default(),
            styles: styles.into(),
        }
    }
}

/// An operator to start with.
#[derive(Debug, Clone)]
pub struct OperatorConfig {
    /// Name.
    pub name: String,
    /// Password.
    pub password: String,
    /// Rights by bucket.
    pub rights: BTreeMap<String, Rights>,
}

impl OperatorConfig {
    /// An operator with all rights on one bucket.
    pub fn new(name: impl Into<String>, password: impl Into<String>, bucket: impl Into<String>) -> Self {
        Self { name: name.into(), password: password.into(), rights: [(bucket.into(), Rights::ALL)].into() }
    }
}

/// A domain that the CDN serves.
#[derive(Debug, Clone)]
pub struct DomainConfig {
    /// Value of the `Host` header; with a port it has to match exactly, without one any port fits.
    pub host: String,
    /// The bucket behind it.
    pub bucket: String,
    /// Key of its hot-link tokens.
    pub token: Option<String>,
}

/// How callbacks are sent.
#[derive(Debug, Clone)]
pub struct CallbackConfig {
    /// Pauses before the second, third, ... attempt. The documentation tells of ten retries over about a day, for the
    /// old form API only; the default is shorter so that tests see them all.
    pub retry_delays: Vec<Duration>,
    /// Longest wait for the receiver's answer; *unverified* for the real service.
    pub timeout: Duration,
    /// Host names that stand for loopback addresses, so that `https://photos.example.com/hook` reaches a test.
    pub hosts: BTreeMap<String, SocketAddr>,
    /// Also sends callbacks to hosts that are neither loopback nor in `hosts`. Off, so that a test cannot leak.
    pub allow_any_host: bool,
}

impl Default for CallbackConfig {
    fn default() -> Self {
        let retry_delays = [1, 2, 4, 8, 15, 30, 60, 60, 60, 60].map(Duration::from_secs).to_vec();
        Self { retry_delays, timeout: Duration::from_secs(10), hosts: BTreeMap::new(), allow_any_host: false }
    }
}

/// Everything the emulator starts with.
#[derive(Debug, Clone)]
pub struct Config {
    /// Port of REST, form and purge API on 127.0.0.1; 0 picks a free one.
    pub api_port: u16,
    /// Port of the CDN.
    pub cdn_port: u16,
    /// Port of the control API.
    pub control_port: u16,
    /// Buckets.
    pub buckets: Vec<BucketConfig>,
    /// Operators.
    pub operators: Vec<OperatorConfig>,
    /// Domains.
    pub domains: Vec<DomainConfig>,
    /// Callbacks.
    pub callback: CallbackConfig,
    /// How long the CDN may serve the old version of a changed file. Documented: up to 5 minutes.
    pub cdn_auto_purge: Duration,
    /// How long a file outlives its asynchronous deletion.
    pub async_delete_delay: Duration,
    /// Larger requests are refused with 41300001.
    pub max_request_bytes: usize,
}

impl Config {
    /// One bucket with one operator who may do everything, served under `127.0.0.1` and `localhost`.
    pub fn single(bucket: &str, operator: &str, password: &str) -> Self {
        let domain = |host: &str| DomainConfig { host: host.into(), bucket: bucket.into(), token: None };
        Self {
            api_port: 0,
            cdn_port: 0,
            control_port: 0,
            buckets: vec![BucketConfig::new(bucket)],
            operators: vec![OperatorConfig::new(operator, password, bucket)],
            domains: vec![
                domain("127.0.0.1"),
                domain("localhost"),
                domain(&format!("{bucket}.test.upcdn.net")),
                domain(&format!("{bucket}.b0.upaiyun.com")),
            ],
            callback: CallbackConfig::default(),
            cdn_auto_purge: Duration::from_secs(300),
            async_delete_delay: Duration::from_millis(200),
            max_request_bytes: 256 * 1024 * 1024,
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::single("photos", "operator", "operator-password")
    }
}
