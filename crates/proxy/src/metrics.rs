//! Counters per service and version. They only grow within one life of the process; the start id tells a
//! reader that a new life began. Nothing here decides anything.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::lock;
use crate::protocol::{Bucket, GlobalCounters, MetricsReport, ServiceMetrics, SessionCounts, VersionCounts};

/// Buckets of 1/8 of a power of two of microseconds: at most 12.5% wide, up to 2^28 us (268 s).
const SUB: usize = 8;
const BUCKETS: usize = 28 * SUB;
/// Versions remembered per service; older ones that carry no traffic are forgotten first.
const KEPT_VERSIONS: usize = 16;
/// Sessions remembered per version while a split is on: 16 bytes each and then some, so about 8 MiB.
const MAX_SESSIONS: usize = 262_144;

/// Latency histogram with logarithmic buckets.
pub(crate) struct Histogram(Box<[AtomicU64]>);

impl Histogram {
    fn new() -> Self {
        Self((0..BUCKETS).map(|_| AtomicU64::new(0)).collect())
    }

    fn record(&self, value: Duration) {
        let micros = u64::try_from(value.as_micros()).unwrap_or(u64::MAX);
        self.0[bucket_of(micros)].fetch_add(1, Relaxed);
    }

    fn report(&self) -> Vec<Bucket> {
        let counts = self.0.iter().map(|c| c.load(Relaxed)).enumerate();
        counts.filter(|(_, n)| *n > 0).map(|(i, count)| Bucket { up_to_us: upper_bound(i), count }).collect()
    }
}

fn bucket_of(micros: u64) -> usize {
    let micros = micros.max(1);
    let power = micros.ilog2() as usize;
    let within =
        if power >= 3 { (micros >> (power - 3)) as usize & 7 } else { (micros << (3 - power)) as usize & 7 };
    (power * SUB + within).min(BUCKETS - 1)
}

fn upper_bound(bucket: usize) -> u64 {
    let (power, within) = (bucket / SUB, (bucket % SUB) as u64);
    (((8 + within + 1) << power) / 8).max(1)
}

/// Counters of one version of one service.
pub(crate) struct VersionMetrics {
    status: [AtomicU64; 5],
    pub(crate) connect_failures: AtomicU64,
    pub(crate) timeouts: AtomicU64,
    pub(crate) broken: AtomicU64,
    pub(crate) truncated: AtomicU64,
    pub(crate) client_gone: AtomicU64,
    pub(crate) cut: AtomicU64,
    pub(crate) retries: AtomicU64,
    pub(crate) upgraded: AtomicU64,
    pub(crate) in_flight: AtomicI64,
    latency: Histogram,
    sessions: Mutex<Sessions>,
}

#[derive(Default)]
struct Sessions {
    /// Session key to whether something bad happened to it.
    seen: HashMap<u64, bool>,
    bad: u64,
    saturated: bool,
}

impl VersionMetrics {
    fn new() -> Self {
        Self {
            status: Default::default(),
            connect_failures: AtomicU64::new(0),
            timeouts: AtomicU64::new(0),
            broken: AtomicU64::new(0),
            truncated: AtomicU64::new(0),
            client_gone: AtomicU64::new(0),
            cut: AtomicU64::new(0),
            retries: AtomicU64::new(0),
            upgraded: AtomicU64::new(0),
            in_flight: AtomicI64::new(0),
            latency: Histogram::new(),
            sessions: Mutex::default(),
        }
    }

    /// Counts a response that came from the release, by its class.
    pub(crate) fn responded(&self, status: u16, until_header: Duration) {
        let class = usize::from(status / 100).clamp(1, 5) - 1;
        self.status[class].fetch_add(1, Relaxed);
        self.latency.record(until_header);
    }

    /// Counts a session once, and once more when the first bad thing happens to it.
    pub(crate) fn session(&self, key: u64, bad: bool) {
        let mut sessions = lock(&self.sessions);
        let room = sessions.seen.len() < MAX_SESSIONS;
        let newly_bad = match sessions.seen.get_mut(&key) {
            Some(was_bad) => bad && !std::mem::replace(was_bad, *was_bad || bad),
            None if room => {
                sessions.seen.insert(key, bad);
                bad
            }
            None => {
                sessions.saturated = true;
                false
            }
        };
        sessions.bad += u64::from(newly_bad);
    }

    fn report(&self) -> VersionCounts {
        let sessions = lock(&self.sessions);
        VersionCounts {
            status: std::array::from_fn(|i| self.status[i].load(Relaxed)),
            connect_failures: self.connect_failures.load(Relaxed),
            timeouts: self.timeouts.load(Relaxed),
            broken: self.broken.load(Relaxed),
            truncated: self.truncated.load(Relaxed),
            client_gone: self.client_gone.load(Relaxed),
            cut: self.cut.load(Relaxed),
            retries: self.retries.load(Relaxed),
            upgraded: self.upgraded.load(Relaxed),
            in_flight: self.in_flight.load(Relaxed).max(0).unsigned_abs(),
            latency: self.latency.report(),
            sessions: SessionCounts {
                seen: sessions.seen.len() as u64,
                bad: sessions.bad,
                saturated: sessions.saturated,
            },
        }
    }
}

/// Answers that the proxy made itself, per service.
#[derive(Default)]
pub(crate) struct ServiceFailures {
    pub(crate) bad_gateway: AtomicU64,
    pub(crate) gateway_timeout: AtomicU64,
    pub(crate) held_queue_full: AtomicU64,
    pub(crate) held_too_long: AtomicU64,
}

struct ServiceEntry {
    failures: Arc<ServiceFailures>,
    /// In the order in which they were first used.
    versions: Vec<(String, Arc<VersionMetrics>)>,
}

/// All counters of this process.
pub(crate) struct Metrics {
    pub(crate) start_id: String,
    pub(crate) started_unix_ms: u64,
    services: Mutex<BTreeMap<(String, String), ServiceEntry>>,
    pub(crate) unknown_host: AtomicU64,
    pub(crate) no_route: AtomicU64,
    pub(crate) bad_request: AtomicU64,
    pub(crate) redirected: AtomicU64,
    pub(crate) failed_handshakes: AtomicU64,
    pub(crate) connections: AtomicU64,
    pub(crate) open_connections: AtomicI64,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let now = unix_ms();
        Self {
            start_id: format!("{}-{now:x}", std::process::id()),
            started_unix_ms: now,
            services: Mutex::default(),
            unknown_host: AtomicU64::new(0),
            no_route: AtomicU64::new(0),
            bad_request: AtomicU64::new(0),
            redirected: AtomicU64::new(0),
            failed_handshakes: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            open_connections: AtomicI64::new(0),
        }
    }

    /// Counters of a version, new or as they stand.
    pub(crate) fn version(&self, app: &str, service: &str, version: &str) -> Arc<VersionMetrics> {
        let mut services = lock(&self.services);
        let entry = services.entry((app.into(), service.into())).or_insert_with(ServiceEntry::new);
        if let Some((_, found)) = entry.versions.iter().find(|(v, _)| v == version) {
            return found.clone();
        }
        if entry.versions.len() >= KEPT_VERSIONS
            && let Some(idle) = entry.versions.iter().position(|(_, m)| Arc::strong_count(m) == 1)
        {
            entry.versions.remove(idle);
        }
        let made = Arc::new(VersionMetrics::new());
        entry.versions.push((version.into(), made.clone()));
        made
    }

    /// Counters of the answers that the proxy makes itself for a service.
    pub(crate) fn failures(&self, app: &str, service: &str) -> Arc<ServiceFailures> {
        let mut services = lock(&self.services);
        services.entry((app.into(), service.into())).or_insert_with(ServiceEntry::new).failures.clone()
    }

    pub(crate) fn report(&self) -> MetricsReport {
        let entries = lock(&self.services);
        let services = entries.iter().map(|((app, service), entry)| ServiceMetrics {
            app: app.clone(),
            service: service.clone(),
            bad_gateway: entry.failures.bad_gateway.load(Relaxed),
            gateway_timeout: entry.failures.gateway_timeout.load(Relaxed),
            held_queue_full: entry.failures.held_queue_full.load(Relaxed),
            held_too_long: entry.failures.held_too_long.load(Relaxed),
            versions: entry.versions.iter().map(|(v, m)| (v.clone(), m.report())).collect(),
        });
        MetricsReport {
            start_id: self.start_id.clone(),
            started_unix_ms: self.started_unix_ms,
            services: services.collect(),
            global: GlobalCounters {
                unknown_host: self.unknown_host.load(Relaxed),
                no_route: self.no_route.load(Relaxed),
                bad_request: self.bad_request.load(Relaxed),
                redirected: self.redirected.load(Relaxed),
                failed_handshakes: self.failed_handshakes.load(Relaxed),
                connections: self.connections.load(Relaxed),
                open_connections: self.open_connections.load(Relaxed).max(0).unsigned_abs(),
            },
        }
    }
}

impl ServiceEntry {
    fn new() -> Self {
        Self { failures: Arc::default(), versions: Vec::new() }
    }
}

/// Milliseconds since 1970.
pub(crate) fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_holds_its_values_and_is_at_most_an_eighth_wide() {
        for micros in (1..5_000).chain([70_000, 1_000_000, 59_999_999, 200_000_000]) {
            let bucket = bucket_of(micros);
            let upper = upper_bound(bucket);
            assert!(micros <= upper, "{micros} us above the bound {upper} of its bucket");
            if micros >= 8 {
                assert!(upper as f64 <= micros as f64 * 1.126 + 1.0, "{micros} us in a bucket up to {upper}");
            }
        }
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn a_session_is_counted_once_and_is_bad_at_most_once() {
        let m = VersionMetrics::new();
        for bad in [false, true, true, false] {
            m.session(1, bad);
        }
        m.session(2, true);
        m.session(3, false);
        let report = m.report().sessions;
        assert_eq!((report.seen, report.bad), (3, 2));
    }

    #[test]
    fn a_version_that_comes_back_goes_on_counting() {
        let metrics = Metrics::new();
        metrics.version("shop", "web", "v1").responded(200, Duration::from_millis(3));
        metrics.version("shop", "web", "v2").responded(503, Duration::from_millis(3));
        metrics.version("shop", "web", "v1").responded(404, Duration::from_millis(3));
        let report = metrics.report();
        assert_eq!(report.services[0].versions["v1"].status, [0, 1, 0, 1, 0]);
        assert_eq!(report.services[0].versions["v2"].status, [0, 0, 0, 0, 1]);
    }
}
