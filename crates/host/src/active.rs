//! A run that is being worked on: who asks it to stop, who follows it, what it tells.

use crate::store::Store;
use jiff::Timestamp;
use safelight_engine::{
    event::{Event, EventKind},
    run::executor::Stop,
};
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::broadcast;

/// Events that a follower may be behind before it reads them from the store. All places are allocated when a run begins
/// and hold what was last put there, so many of them are megabytes for each run.
const LIVE_EVENTS: usize = 256;

/// A run that is being worked on.
pub(crate) struct Active {
    pub(crate) stop: Stop,
    events: broadcast::Sender<Event>,
    seq: AtomicU64,
    attached: AtomicUsize,
    last_seen: Mutex<Instant>,
    pub(crate) committed: AtomicBool,
}

impl Active {
    /// One whose last event has this number.
    pub(crate) fn new(seq: u64, committed: bool) -> Arc<Self> {
        Arc::new(Self {
            stop: Stop::default(),
            events: broadcast::channel(LIVE_EVENTS).0,
            seq: AtomicU64::new(seq),
            attached: AtomicUsize::new(0),
            last_seen: Mutex::new(Instant::now()),
            committed: committed.into(),
        })
    }

    /// Its events from now on.
    pub(crate) fn follow(self: Arc<Self>) -> (broadcast::Receiver<Event>, Attached) {
        self.attached.fetch_add(1, Ordering::SeqCst);
        (self.events.subscribe(), Attached(self))
    }
}

/// Counts one follower while it lives.
pub struct Attached(Arc<Active>);

impl Drop for Attached {
    fn drop(&mut self) {
        self.0.attached.fetch_sub(1, Ordering::SeqCst);
        touch(&self.0);
    }
}

fn touch(active: &Active) {
    *active.last_seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Instant::now();
}

pub(crate) fn record(store: &Store, active: &Active, run: &str, kind: EventKind) {
    let seq = active.seq.fetch_add(1, Ordering::SeqCst) + 1;
    let event = Event { seq, at: Timestamp::now(), run: run.to_owned(), kind };
    if let Err(e) = store.add_event(&event) {
        tracing::warn!(run, "an event was not stored: {e}");
    }
    // Nobody listening is fine.
    let _ = active.events.send(event);
}

/// If the coordinator vanishes before the commit, its lease runs out and the run is taken back.
pub(crate) async fn lease_watch(active: Arc<Active>, lease: Duration) {
    loop {
        tokio::time::sleep(Duration::from_millis(500)).await;
        if active.committed.load(Ordering::SeqCst) || active.stop.asked() {
            return;
        }
        if active.attached.load(Ordering::SeqCst) > 0 {
            touch(&active);
            continue;
        }
        let gone = active.last_seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner).elapsed();
        if gone >= lease {
            let s = lease.as_secs();
            active.stop.ask(safelight_engine::text!(
                "the coordinator has been gone for {s} s",
                "协调端已断开 {s} 秒"
            ));
            return;
        }
        if Arc::strong_count(&active) == 1 {
            return;
        }
    }
}
