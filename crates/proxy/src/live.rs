//! The table that is in force: swapped as a whole under a write lock, and claimed from under the read lock
//! of the same table, so that no request slips between choosing a release and the drain of that release.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use crate::activation::{Activation, Claim};
use crate::conn::Conn;
use crate::gate::{Gate, Terms};
use crate::lock;
use crate::metrics::{Metrics, ServiceFailures, unix_ms};
use crate::router::{Found, Router};
use crate::split::{Splitter, hash64};
use crate::table::{Arm, Release, RouteTable, Service};

/// Cookie that the proxy sets while a split is on and the service names no cookie of its own.
pub(crate) const OWN_COOKIE: &str = "safelight_id";

/// Id of a hold that a restart goes on with: those that begin in this process count from 1.
pub(crate) const RESUMED_HOLD: u64 = 0;

/// One service of the table in force.
pub(crate) struct ServiceLive {
    pub(crate) app: String,
    pub(crate) name: String,
    pub(crate) config: Service,
    pub(crate) gate: Arc<Gate>,
    pub(crate) failures: Arc<ServiceFailures>,
    pub(crate) stable: Arc<Activation>,
    pub(crate) candidate: Option<Arc<Activation>>,
    /// A hold was on when the proxy stopped, and its time was over at the start.
    pub(crate) hold_lost: Arc<AtomicBool>,
    token: Option<[u8; 32]>,
}

/// One table with everything that runs it.
pub(crate) struct Snapshot {
    pub(crate) table: RouteTable,
    pub(crate) services: Vec<Arc<ServiceLive>>,
    router: Router,
}

/// What a request brings to choose by.
pub(crate) trait Ask {
    /// Value of the `X-Safelight-Release` header.
    fn token(&self) -> Option<&[u8]>;
    /// Value of a cookie.
    fn cookie(&self, name: &str) -> Option<&str>;
}

/// What a request asks for.
pub(crate) struct Asked<'a, A> {
    /// Normalised host.
    pub(crate) host: &'a str,
    /// Path without query.
    pub(crate) path: &'a str,
    /// It came without TLS and may be sent on to https.
    pub(crate) plain: bool,
    /// Header and cookies.
    pub(crate) by: &'a A,
}

/// What a request got.
pub(crate) enum Claimed {
    /// A place in flight.
    Yes(Admitted),
    /// The service is held: wait at its gate, then ask again.
    Held(Arc<ServiceLive>),
    /// Plain requests are sent on to https at this port.
    ToHttps(u16),
    /// No prefix takes the path.
    NoRoute,
    /// No route takes the host.
    UnknownHost,
}

/// A request that may go on to a release.
pub(crate) struct Admitted {
    pub(crate) service: Arc<ServiceLive>,
    pub(crate) claim: Claim,
    pub(crate) arm: Arm,
    /// The user, while a split is on.
    pub(crate) session: Option<Session>,
}

/// The user that a split goes by.
pub(crate) struct Session {
    pub(crate) key: u64,
    /// Value of the proxy's own cookie, when the client has to be given one.
    pub(crate) new_cookie: Option<String>,
}

/// A release that was taken out and is being drained.
#[derive(Clone)]
pub(crate) struct Leaving {
    pub(crate) app: String,
    pub(crate) service: String,
    pub(crate) activation: Arc<Activation>,
}

/// The routing state of the process.
pub(crate) struct Live {
    current: RwLock<Arc<Snapshot>>,
    leaving: Mutex<Vec<Leaving>>,
    pub(crate) metrics: Arc<Metrics>,
    splitter: Arc<dyn Splitter>,
}

impl Live {
    /// Puts a loaded table in force. Holds that the file tells of go on for the rest of their time: what they hold
    /// requests back from may still be away. One whose time is over has ended, and whoever held is told so.
    pub(crate) fn new(mut table: RouteTable, metrics: Arc<Metrics>, splitter: Arc<dyn Splitter>) -> Self {
        let empty =
            Snapshot { table: RouteTable::default(), services: Vec::new(), router: Router::default() };
        let live =
            Self { current: RwLock::new(Arc::new(empty)), leaving: Mutex::default(), metrics, splitter };
        let now = unix_ms();
        let mut lost = Vec::new();
        for app in &mut table.apps {
            for (name, service) in &mut app.services {
                if service.hold.as_ref().is_some_and(|mark| mark.rest(now).is_none()) {
                    service.hold = None;
                    lost.push((app.name.clone(), name.clone()));
                }
            }
        }
        let snapshot = live.build(table);
        for service in &snapshot.services {
            let was_lost = lost.iter().any(|(app, name)| *app == service.app && *name == service.name);
            service.hold_lost.store(was_lost, Ordering::Relaxed);
            let mark = service.config.hold.as_ref();
            if let Some((mark, (terms, _))) = mark.and_then(|m| m.rest(now).map(|rest| (m, rest))) {
                service.gate.hold(Terms {
                    max_wait: Duration::from_millis(terms.max_wait_ms),
                    queue_cap: terms.queue_cap,
                    since: Instant::now(),
                    since_unix_ms: mark.since_unix_ms,
                    id: RESUMED_HOLD,
                });
            }
        }
        live.replace(Arc::new(snapshot));
        live
    }

    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn service(&self, app: &str, name: &str) -> Option<Arc<ServiceLive>> {
        self.snapshot().services.iter().find(|s| s.app == app && s.name == name).cloned()
    }

    /// Puts a table in force and returns how long it was locked. Releases that it no longer names start to
    /// leave. Calls must not overlap.
    pub(crate) fn swap(&self, table: RouteTable) -> Duration {
        let old = self.snapshot();
        let new = Arc::new(self.build(table));
        let stays = |a: &Arc<Activation>| new.services.iter().any(|s| s.runs(a.id));
        let gone: Vec<Leaving> =
            old.services.iter().flat_map(|s| s.activations()).filter(|l| !stays(&l.activation)).collect();
        // Listed before the swap: whoever sees the new table sees what is leaving, too.
        lock(&self.leaving).extend(gone);
        self.replace(new)
    }

    /// Closes a gate while the table is locked: claims are made before it or wait behind it.
    pub(crate) fn close_gate(&self, close: impl FnOnce()) {
        let _locked = self.current.write().unwrap_or_else(PoisonError::into_inner);
        close();
    }

    /// Releases that are leaving, of one service or of all.
    pub(crate) fn leaving(&self, of: Option<(&str, &str)>) -> Vec<Leaving> {
        let list = lock(&self.leaving);
        list.iter().filter(|l| of.is_none_or(|(a, s)| l.app == a && l.service == s)).cloned().collect()
    }

    /// A release has left.
    pub(crate) fn left(&self, id: u64) {
        lock(&self.leaving).retain(|l| l.activation.id != id);
    }

    /// Chooses and claims in one step. `has_pass` tells that the request has waited at the gate.
    pub(crate) fn claim(&self, asked: &Asked<'_, impl Ask>, conn: &Arc<Conn>, has_pass: bool) -> Claimed {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        let (service, forced) = match current.router.find(asked.host, asked.path) {
            Found::Service { https_port: Some(port), .. } if asked.plain => return Claimed::ToHttps(port),
            Found::Service { index, forced, .. } => (&current.services[index], forced),
            Found::NoRoute => return Claimed::NoRoute,
            Found::UnknownHost => return Claimed::UnknownHost,
        };
        let (arm, session) = service.choose(forced, asked.by, &*self.splitter);
        if arm == Arm::Stable && service.gate.stops(has_pass) {
            return Claimed::Held(service.clone());
        }
        let activation = match (&service.candidate, arm) {
            (Some(candidate), Arm::Candidate) => candidate,
            _ => &service.stable,
        };
        let claim = activation.claim(conn);
        Claimed::Yes(Admitted { service: service.clone(), claim, arm, session })
    }

    /// Claims for a second attempt: the same arm of the same service as it is routed now.
    pub(crate) fn claim_again(&self, service: &ServiceLive, arm: Arm, conn: &Arc<Conn>) -> Option<Claim> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        let now = current.services.iter().find(|s| s.app == service.app && s.name == service.name)?;
        let activation = match (&now.candidate, arm) {
            (Some(candidate), Arm::Candidate) => candidate,
            _ => &now.stable,
        };
        Some(activation.claim(conn))
    }

    fn replace(&self, new: Arc<Snapshot>) -> Duration {
        let started = Instant::now();
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        let old = std::mem::replace(&mut *current, new);
        drop(current);
        let held = started.elapsed();
        drop(old);
        held
    }

    fn build(&self, table: RouteTable) -> Snapshot {
        let old = self.snapshot();
        let mut services = Vec::new();
        for app in &table.apps {
            for (name, config) in &app.services {
                let before = old.services.iter().find(|s| s.app == app.name && s.name == *name);
                let activation = |release: &Release| {
                    before.and_then(|s| s.find(release)).unwrap_or_else(|| {
                        let metrics = self.metrics.version(&app.name, name, &release.version);
                        Arc::new(Activation::new(release.clone(), metrics))
                    })
                };
                services.push(Arc::new(ServiceLive {
                    app: app.name.clone(),
                    name: name.clone(),
                    gate: before.map(|s| s.gate.clone()).unwrap_or_default(),
                    failures: self.metrics.failures(&app.name, name),
                    stable: activation(&config.stable),
                    candidate: config.candidate.as_ref().map(|c| activation(&c.release)),
                    hold_lost: before.map(|s| s.hold_lost.clone()).unwrap_or_default(),
                    token: config.token.as_ref().map(|t| Sha256::digest(t).into()),
                    config: config.clone(),
                }));
            }
        }
        Snapshot { router: Router::new(&table), services, table }
    }
}

impl ServiceLive {
    fn find(&self, release: &Release) -> Option<Arc<Activation>> {
        Some(&self.stable).into_iter().chain(&self.candidate).find(|a| a.release == *release).cloned()
    }

    fn runs(&self, activation: u64) -> bool {
        self.stable.id == activation || self.candidate.as_ref().is_some_and(|c| c.id == activation)
    }

    fn activations(&self) -> impl Iterator<Item = Leaving> + '_ {
        Some(&self.stable).into_iter().chain(&self.candidate).map(|activation| Leaving {
            app: self.app.clone(),
            service: self.name.clone(),
            activation: activation.clone(),
        })
    }

    fn choose(&self, forced: Option<Arm>, ask: &impl Ask, splitter: &dyn Splitter) -> (Arm, Option<Session>) {
        if let Some(arm) = forced {
            return (arm, None);
        }
        let Some(candidate) = &self.config.candidate else { return (Arm::Stable, None) };
        if let (Some(expected), Some(given)) = (&self.token, ask.token())
            && same(expected, &Sha256::digest(given).into())
        {
            return (Arm::Candidate, None);
        }
        if candidate.share <= 0.0 {
            return (Arm::Stable, None);
        }
        let given = ask.cookie(self.config.split_cookie.as_deref().unwrap_or(OWN_COOKIE));
        // A service's cookie may be missing before login: the proxy's own identifies the user until then.
        let given = given.or_else(|| ask.cookie(OWN_COOKIE)).filter(|v| !v.is_empty());
        let (id, new_cookie) = match given {
            Some(id) => (std::borrow::Cow::Borrowed(id), None),
            None => {
                let id = random_id();
                (std::borrow::Cow::Owned(id.clone()), Some(id))
            }
        };
        let arm =
            if splitter.place(&candidate.salt, &id) < candidate.share { Arm::Candidate } else { Arm::Stable };
        (arm, Some(Session { key: hash64("session", &id), new_cookie }))
    }
}

/// A process that has handed over holds nothing: only its successor is asked to.
pub(crate) fn clear_holds(table: &mut RouteTable) {
    for service in table.apps.iter_mut().flat_map(|a| a.services.values_mut()) {
        service.hold = None;
    }
}

/// Compares in the same time wherever the difference lies.
fn same(a: &[u8; 32], b: &[u8; 32]) -> bool {
    let difference = a.iter().zip(b).fold(0, |sum, (x, y)| sum | (x ^ y));
    std::hint::black_box(difference) == 0
}

fn random_id() -> String {
    let mut bytes = [0u8; 16];
    if rustix::rand::getrandom(&mut bytes[..], rustix::rand::GetRandomFlags::empty()) != Ok(bytes.len()) {
        // Only on a kernel without the call: uniqueness is enough, secrecy is not needed.
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        bytes = now.as_nanos().to_le_bytes();
    }
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
