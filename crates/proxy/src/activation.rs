//! One release while it is routed, from the swap that brings it in to the end of its drain. Keeps the
//! requests in flight. The same version that comes back later is another activation, so that draining the
//! first never cuts requests of the second.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::conn::Conn;
use crate::lock;
use crate::metrics::VersionMetrics;
use crate::protocol::{Drain, DrainReport, UpgradedPolicy};
use crate::table::Release;

/// How long cut requests get to let go of their claims.
const CUT_GRACE: Duration = Duration::from_secs(2);

static NEXT_CLAIM: AtomicU64 = AtomicU64::new(1);
static NEXT_ACTIVATION: AtomicU64 = AtomicU64::new(1);

/// A release that is, or was, routed.
pub(crate) struct Activation {
    pub(crate) id: u64,
    pub(crate) release: Release,
    pub(crate) metrics: Arc<VersionMetrics>,
    turn: AtomicUsize,
    flights: Mutex<HashMap<u64, Arc<Conn>>>,
    /// Drains that close upgraded connections at once and are under way.
    closing_upgraded: AtomicU8,
    upgraded_closed: AtomicU64,
    emptied: Notify,
}

impl Activation {
    pub(crate) fn new(release: Release, metrics: Arc<VersionMetrics>) -> Self {
        Self {
            id: NEXT_ACTIVATION.fetch_add(1, Ordering::Relaxed),
            release,
            metrics,
            turn: AtomicUsize::new(0),
            flights: Mutex::default(),
            closing_upgraded: AtomicU8::new(0),
            upgraded_closed: AtomicU64::new(0),
            emptied: Notify::new(),
        }
    }

    /// Counts a request in. Call it only while the table that routes here is locked.
    pub(crate) fn claim(self: &Arc<Self>, conn: &Arc<Conn>) -> Claim {
        let id = NEXT_CLAIM.fetch_add(1, Ordering::Relaxed);
        conn.works_for(id);
        lock(&self.flights).insert(id, conn.clone());
        self.metrics.in_flight.fetch_add(1, Ordering::Relaxed);
        Claim { id, activation: self.clone(), conn: conn.clone(), finished: false }
    }

    /// The next target in turn, another one than `not` if there is one.
    pub(crate) fn target(&self, not: Option<SocketAddr>) -> Option<SocketAddr> {
        let targets = &self.release.targets;
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let in_turn = (0..targets.len()).map(|i| targets[(turn + i) % targets.len()]);
        in_turn.clone().find(|t| Some(*t) != not).or_else(|| in_turn.clone().next())
    }

    pub(crate) fn in_flight(&self) -> u64 {
        lock(&self.flights).len() as u64
    }

    /// Waits until no request is in flight, cutting those that are left when the time is over. The caller
    /// has made sure that no new claims come.
    pub(crate) async fn drain(&self, terms: &Drain) -> DrainReport {
        let started = Instant::now();
        let in_flight = self.in_flight();
        let closed_before = self.upgraded_closed.load(Ordering::Relaxed);
        let at_once = terms.upgraded == UpgradedPolicy::AtOnce;
        let _closing = at_once.then(|| Closing::new(self));
        if at_once {
            self.cut(true);
        }
        let mut cut = 0;
        if !self.empty_within(Duration::from_millis(terms.timeout_ms)).await {
            cut = self.cut(false);
            if !self.empty_within(CUT_GRACE).await {
                tracing::error!(version = %self.release.version, left = self.in_flight(), "requests that were cut did not end");
            }
        }
        let upgraded_closed = self.upgraded_closed.load(Ordering::Relaxed) - closed_before;
        DrainReport {
            in_flight,
            finished: in_flight.saturating_sub(cut + upgraded_closed),
            cut,
            upgraded_closed,
            millis: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
            predecessor: None,
        }
    }

    /// A request in flight became another protocol; closes it when a drain says so.
    pub(crate) fn upgraded(&self, claim: &Claim) {
        self.metrics.upgraded.fetch_add(1, Ordering::Relaxed);
        if self.closing_upgraded.load(Ordering::SeqCst) > 0 {
            self.upgraded_closed.fetch_add(1, Ordering::Relaxed);
            claim.conn.cut(claim.id);
        }
    }

    /// Cuts what is in flight, or only what is upgraded. Returns how many others than upgraded.
    fn cut(&self, only_upgraded: bool) -> u64 {
        let mut plain = 0;
        for (id, conn) in &*lock(&self.flights) {
            if conn.is_upgraded() {
                self.upgraded_closed.fetch_add(1, Ordering::Relaxed);
            } else if only_upgraded {
                continue;
            } else {
                plain += 1;
            }
            conn.cut(*id);
        }
        plain
    }

    async fn empty_within(&self, limit: Duration) -> bool {
        let wait = async {
            loop {
                let changed = self.emptied.notified();
                tokio::pin!(changed);
                // Registered before looking, so that the last request cannot leave in between unseen.
                changed.as_mut().enable();
                if self.in_flight() == 0 {
                    return;
                }
                changed.await;
            }
        };
        tokio::time::timeout(limit, wait).await.is_ok()
    }
}

/// While it lives, connections that upgrade are closed.
struct Closing<'a>(&'a Activation);

impl<'a> Closing<'a> {
    fn new(activation: &'a Activation) -> Self {
        activation.closing_upgraded.fetch_add(1, Ordering::SeqCst);
        Self(activation)
    }
}

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.closing_upgraded.fetch_sub(1, Ordering::SeqCst);
    }
}

/// One request in flight. Dropping it counts the request out.
pub(crate) struct Claim {
    pub(crate) id: u64,
    pub(crate) activation: Arc<Activation>,
    conn: Arc<Conn>,
    finished: bool,
}

impl Claim {
    /// The request came to its end, good or bad; without this call it counts as cut.
    pub(crate) fn finish(&mut self) {
        self.finished = true;
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if !self.finished {
            self.activation.metrics.cut.fetch_add(1, Ordering::Relaxed);
        }
        self.activation.metrics.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.conn.done_with(self.id);
        let empty = {
            let mut flights = lock(&self.activation.flights);
            flights.remove(&self.id);
            flights.is_empty()
        };
        if empty {
            self.activation.emptied.notify_waiters();
        }
    }
}
