//! What goes over the control socket: HTTP and JSON, one struct per request and per answer. The command
//! line and the host daemon use these types through `ControlClient`; scripts may speak it with curl.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use safelight_certs::CertificateFiles;
use serde::{Deserialize, Serialize};

use crate::headers::Network;
use crate::table::{Candidate, Release, Timeouts, normal_host, normal_prefix};

/// Default time that requests in flight get to finish at a switch, in milliseconds.
pub const DEFAULT_DRAIN_MS: u64 = 30_000;

/// Host and path prefix that a service answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteMatch {
    /// `example.com`, `*.example.com` or `*`.
    pub host: String,
    /// `/` or `/api`.
    pub prefix: String,
    /// Plain requests are sent on to https at this port, but for ACME's `/.well-known/acme-challenge/`. None: they are
    /// answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub https_port: Option<u16>,
}

impl RouteMatch {
    /// A route that answers plain requests and TLS alike, in the spelling that [`State`] shows it in.
    #[must_use]
    pub fn new(host: &str, prefix: &str) -> Self {
        Self { host: normal_host(host), prefix: normal_prefix(prefix), https_port: None }
    }
}

/// `PUT /v1/services/{app}/{service}`: adds or replaces a service and its routes. A hold that is there
/// stays, and a candidate unless it is the release that becomes stable. Answers with [`ChangeReport`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PutService {
    /// What it answers.
    pub routes: Vec<RouteMatch>,
    /// The release that users get.
    pub stable: Release,
    /// Secret of at least 16 characters for the `X-Safelight-Release` header.
    #[serde(default)]
    pub token: Option<String>,
    /// Time limits towards the release.
    #[serde(default)]
    pub timeouts: Timeouts,
    /// Cookie that identifies a user for the split; None: one of the proxy's own.
    #[serde(default)]
    pub split_cookie: Option<String>,
    /// Certificates for its hosts, on this machine. Refused as a whole when one of them cannot be used.
    #[serde(default)]
    pub certificates: Vec<CertificateFiles>,
    /// Services of the same app that end with this change, as this one takes their place. One that is not there is
    /// no error.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replaces: Vec<String>,
    /// How a release that this replaces is drained.
    #[serde(default)]
    pub drain: Drain,
}

/// How requests in flight are treated when their release leaves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Drain {
    /// Time to finish, in milliseconds; then they are cut.
    pub timeout_ms: u64,
    /// When WebSockets and other upgraded connections are closed.
    pub upgraded: UpgradedPolicy,
}

impl Default for Drain {
    fn default() -> Self {
        Self { timeout_ms: DEFAULT_DRAIN_MS, upgraded: UpgradedPolicy::AtOnce }
    }
}

/// When upgraded connections are closed at a drain. A WebSocket client is told with close code 1012
/// (service restart), so that it connects again, to the new release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UpgradedPolicy {
    /// As soon as the drain begins: they would never end by themselves.
    #[default]
    AtOnce,
    /// When the time of the drain is over.
    AtEnd,
}

/// `POST .../switch`: moves users to a release. Answers with [`ChangeReport`] after the drain: the release
/// that left may then be stopped. Repeating it changes nothing and waits for what is still draining.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Switch {
    /// The release to move to; it becomes stable.
    pub to: Release,
    /// Becomes the candidate in the same moment: the old release with a small share is a hold-back.
    /// None: a candidate stays, unless it is the release that is being promoted.
    #[serde(default)]
    pub then_candidate: Option<Candidate>,
    /// Path that every target of `to` must answer with 2xx before anything changes.
    #[serde(default)]
    pub probe: Option<String>,
    /// How the release that leaves is drained.
    #[serde(default)]
    pub drain: Drain,
}

/// `POST .../candidate`: sets or clears the second release. Answers with [`ChangeReport`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetCandidate {
    /// None clears it.
    pub candidate: Option<Candidate>,
    /// Path that every target must answer with 2xx before anything changes.
    #[serde(default)]
    pub probe: Option<String>,
    /// How a candidate that this replaces is drained.
    #[serde(default)]
    pub drain: Drain,
}

/// `POST .../share`: changes the share of users that reach the candidate. Answers with [`ChangeReport`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetShare {
    /// 0 to 1.
    pub share: f64,
}

/// `POST .../hold`: lets new requests wait. Answers with [`ChangeReport`] when what was in flight is done:
/// the process behind may then be restarted in place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Hold {
    /// Longest wait of one request in milliseconds; then it gets 503.
    pub max_wait_ms: u64,
    /// Most requests that wait; one more gets 503 at once.
    pub queue_cap: usize,
    /// After this long, in milliseconds, the hold ends by itself: its owner must have died.
    pub lease_ms: u64,
    /// How requests in flight are treated.
    pub drain: Drain,
}

impl Default for Hold {
    fn default() -> Self {
        Self { max_wait_ms: 30_000, queue_cap: 1_000, lease_ms: 600_000, drain: Drain::default() }
    }
}

/// `POST .../release`: ends a hold. Answers with [`ReleaseReport`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleaseHold {}

/// What a change did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeReport {
    /// Version of the table that is in force and on disk.
    pub table_version: u64,
    /// Whether the table changed; false when it already said so.
    pub changed: bool,
    /// How long the table was locked for the swap, in microseconds.
    pub swap_us: u64,
    /// What became of the requests of releases that left.
    pub drained: DrainReport,
}

/// What became of the requests in flight of releases that left.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrainReport {
    /// Requests in flight when the drain began, upgraded connections included.
    pub in_flight: u64,
    /// Of these, those that finished by themselves.
    pub finished: u64,
    /// Of these, those that were cut at the end of the time.
    pub cut: u64,
    /// Of these, upgraded connections that were closed.
    pub upgraded_closed: u64,
    /// How long it took, in milliseconds.
    pub millis: u64,
    /// What an earlier process of this proxy, that is still finishing after an upgrade, said about its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub predecessor: Option<Box<DrainReport>>,
}

/// What the end of a hold did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseReport {
    /// Requests that were waiting.
    pub waiting: u64,
    /// How long the hold lasted, in milliseconds. None when nothing was held.
    pub held_ms: Option<u64>,
}

/// `GET /v1/state`: what runs and what is routed. Tokens are left out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Process id.
    pub pid: u32,
    /// Differs after every start of the process.
    pub start_id: String,
    /// Version of the program.
    pub program: String,
    /// Addresses it listens on in plain HTTP, as bound.
    pub listen: Vec<SocketAddr>,
    /// Addresses it listens on with TLS, as bound.
    #[serde(default)]
    pub listen_tls: Vec<SocketAddr>,
    /// Certificates that it serves, and those that it cannot.
    #[serde(default)]
    pub certificates: Vec<CertificateState>,
    /// Proxies in front of this one whose `X-Forwarded-*` headers are believed.
    #[serde(default)]
    pub trusted_proxies: Vec<Network>,
    /// Version of the route table.
    pub table_version: u64,
    /// An earlier process of this proxy, still finishing its requests after an upgrade.
    pub predecessor_pid: Option<u32>,
    /// Services in table order.
    pub services: Vec<ServiceState>,
}

/// One certificate in [`State`]; `POST /v1/certificates/reload` reads all of them again and answers with the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateState {
    /// Its file.
    pub certificate: PathBuf,
    /// Names that it is for.
    pub names: Vec<String>,
    /// Its last second, since 1970. None when it was never read.
    pub not_after_unix_s: Option<i64>,
    /// Why the files as they are cannot be used; what was read before is served then.
    pub trouble: Option<String>,
}

/// One service in [`State`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServiceState {
    /// App name.
    pub app: String,
    /// Service name.
    pub service: String,
    /// What it answers.
    pub routes: Vec<RouteMatch>,
    /// The release that users get.
    pub stable: Release,
    /// The release that is being tried.
    pub candidate: Option<Candidate>,
    /// Certificates for its hosts.
    #[serde(default)]
    pub certificates: Vec<CertificateFiles>,
    /// Whether a token for the candidate is set.
    pub token_set: bool,
    /// The hold that is on.
    pub held: Option<HoldState>,
    /// A hold was on when the proxy stopped, and its time was over when it started. Cleared by the next hold.
    pub hold_lost_at_restart: bool,
    /// Requests in flight per version, of releases that are routed or still draining.
    pub in_flight: BTreeMap<String, u64>,
    /// Versions that are still draining.
    pub draining: Vec<String>,
}

/// A hold that is on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldState {
    /// Milliseconds since 1970 at which it began.
    pub since_unix_ms: u64,
    /// Requests that wait.
    pub waiting: u64,
    /// Most that may wait.
    pub queue_cap: u64,
    /// Longest wait in milliseconds.
    pub max_wait_ms: u64,
}

/// `GET /v1/metrics`. All counts grow within one `start_id`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MetricsReport {
    /// Differs after every start of the process: counts then begin at 0.
    pub start_id: String,
    /// Milliseconds since 1970 at which the process started.
    pub started_unix_ms: u64,
    /// Services by app and name.
    pub services: Vec<ServiceMetrics>,
    /// What belongs to no service.
    pub global: GlobalCounters,
}

/// Counts of one service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServiceMetrics {
    /// App name.
    pub app: String,
    /// Service name.
    pub service: String,
    /// 502 answers made by the proxy.
    pub bad_gateway: u64,
    /// 504 answers made by the proxy.
    pub gateway_timeout: u64,
    /// 503 answers because the queue of a hold was full.
    pub held_queue_full: u64,
    /// 503 answers because a hold lasted too long.
    pub held_too_long: u64,
    /// Counts by version id.
    pub versions: BTreeMap<String, VersionCounts>,
}

/// Counts of one version.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionCounts {
    /// Responses of the release itself: 1xx (101), 2xx, 3xx, 4xx, 5xx.
    pub status: [u64; 5],
    /// Connections to it that could not be made.
    pub connect_failures: u64,
    /// Requests that it did not answer in time.
    pub timeouts: u64,
    /// Connections that it closed before a response began.
    pub broken: u64,
    /// Responses that ended in the middle.
    pub truncated: u64,
    /// Clients that left before the end.
    pub client_gone: u64,
    /// Requests cut by the proxy at the end of a drain.
    pub cut: u64,
    /// Second attempts that began here.
    pub retries: u64,
    /// Upgraded connections.
    pub upgraded: u64,
    /// Requests in flight now. The only figure that goes down.
    pub in_flight: u64,
    /// Time until the response header, in buckets; empty ones are left out.
    pub latency: Vec<Bucket>,
    /// Users, counted while a split is on.
    pub sessions: SessionCounts,
}

/// Users that reached a version while a split was on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionCounts {
    /// Users seen.
    pub seen: u64,
    /// Users that met at least one 5xx, broken, truncated or timed-out response.
    pub bad: u64,
    /// More users came than are remembered: the two figures stand still.
    pub saturated: bool,
}

/// One bucket of the latency histogram.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bucket {
    /// Upper bound in microseconds.
    pub up_to_us: u64,
    /// Responses in it.
    pub count: u64,
}

impl VersionCounts {
    /// Upper bound of the bucket in which the given share (0 to 1) of the responses lies, in microseconds.
    #[must_use]
    pub fn latency_quantile_us(&self, share: f64) -> Option<u64> {
        let total: u64 = self.latency.iter().map(|b| b.count).sum();
        let wanted = share.clamp(0.0, 1.0) * total as f64;
        let mut sum = 0;
        self.latency
            .iter()
            .find(|b| {
                sum += b.count;
                sum as f64 >= wanted
            })
            .map(|b| b.up_to_us)
    }
}

/// Counts that belong to no service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GlobalCounters {
    /// 421 answers: no route takes the host.
    pub unknown_host: u64,
    /// 404 answers: no prefix takes the path.
    pub no_route: u64,
    /// 400 and 431 answers, and connections closed for what they sent.
    pub bad_request: u64,
    /// Plain requests that were sent on to https.
    #[serde(default)]
    pub redirected: u64,
    /// TLS connections whose handshake failed or took too long.
    #[serde(default)]
    pub failed_handshakes: u64,
    /// Connections accepted.
    pub connections: u64,
    /// Connections open now.
    pub open_connections: u64,
}

/// What a refused request is answered with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// Stable word for programs: `invalid`, `not_found`, `probe_failed`, `storage`, `upgrading`, `not_held`.
    pub code: String,
    /// For people: what failed, why and what to do.
    pub message: String,
}
