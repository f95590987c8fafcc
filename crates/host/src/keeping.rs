//! What the daemon keeps small and ready by itself: its own logs, the events of old runs, room for its journal.

use crate::{paths::Home, store::Store};
use safelight_drivers::process::{LogLimits, rotate};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// How often logs and reserve are looked at.
const EVERY: Duration = Duration::from_secs(5);
/// How often old events are looked for.
const PRUNE_EVERY: Duration = Duration::from_secs(3600);
/// Safelight's own logs: 10 MB each, and three older pieces.
const LOGS: LogLimits = LogLimits { max_bytes: 10_000_000, keep: 3, total_bytes: 30_000_000 };
/// Events of runs that ended longer ago than this go.
const EVENTS_FOR: jiff::SignedDuration = jiff::SignedDuration::from_hours(30 * 24);
/// Whatever their age, those of so many runs of each app and environment stay: they are what reports are asked for.
const EVENTS_OF: usize = 50;

/// Keeps house for ever.
pub(crate) async fn keep(home: Home, store: Arc<Store>) {
    let mut pruned: Option<Instant> = None;
    loop {
        let due = pruned.is_none_or(|at| at.elapsed() >= PRUNE_EVERY);
        if due {
            pruned = Some(Instant::now());
        }
        let (home, store) = (home.clone(), store.clone());
        let done = safelight_drivers::blocking::blocking(move || once(&home, &store, due)).await;
        if let Err(e) = done {
            tracing::error!("keeping house failed: {e}");
        }
        tokio::time::sleep(EVERY).await;
    }
}

fn once(home: &Home, store: &Store, prune: bool) {
    if let Err(e) = store.keep_reserve() {
        tracing::warn!("no room could be kept back for the journal: {e}");
    }
    for name in ["host.log", "proxy.log"] {
        let path = home.logs().join(name);
        if let Err(e) = rotate(&path, &LOGS) {
            tracing::warn!("{} could not be rotated: {e}", path.display());
        }
    }
    if prune {
        match store.prune_events(jiff::Timestamp::now() - EVENTS_FOR, EVENTS_OF) {
            Ok(0) => {}
            Ok(n) => tracing::info!("the events of {n} old runs are removed"),
            Err(e) => tracing::warn!("old events could not be removed: {e}"),
        }
    }
}
