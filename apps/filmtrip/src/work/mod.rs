//! The queue's workers. Every instance has some; a job is done by one of them, and again by another when that one is
//! killed. So each kind is safe to repeat.

mod discard;
mod ingest;
mod integrity;
mod measure;
mod relocate;
mod sweep;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

use crate::db::jobs::{self, Job, Prefers};
use crate::db::now_ms;
use crate::db::sql::{DbResult, Sql};
use crate::error::ApiError;
use crate::model::Coded;
use crate::routes::api::Api;
use crate::storage::new_key;

pub(crate) use discard::discard_original;
pub use discard::{abandon, discard_photo, discard_upload};
pub use ingest::recheck_later;
pub(crate) use sweep::arrived;

/// The workers of an instance. The image work itself is capped elsewhere; this many may wait for the network.
const WORKERS: [Prefers; 3] = [Prefers::Hiding, Prefers::Arriving, Prefers::Oldest];
/// How long an idle worker waits before it looks for jobs of other instances.
const POLL: Duration = Duration::from_secs(1);
/// Tries of a job before it is given up and shown to the admins.
/// With the pauses between them, about half a day.
const MAX_ATTEMPTS: u32 = 24;

/// What the queue does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Make a photo of a direct upload.
    Ingest,
    /// Look again at a direct upload once its form has run out.
    Recheck,
    /// Give the original of a photo that became private another name.
    Relocate,
    /// Delete an object that nothing refers to.
    Discard,
    /// Look through all files.
    Integrity,
    /// Note what the sizes of photos take.
    Measure,
    /// Look for lost uploads, old trash and the like, again and again.
    Sweep,
}

impl Kind {
    const ALL: [Self; 7] = [
        Self::Ingest,
        Self::Recheck,
        Self::Relocate,
        Self::Discard,
        Self::Integrity,
        Self::Measure,
        Self::Sweep,
    ];

    /// The name in the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Recheck => "recheck",
            Self::Relocate => "relocate",
            Self::Discard => "discard",
            Self::Integrity => "integrity",
            Self::Measure => "measure",
            Self::Sweep => "sweep",
        }
    }

    /// Puts a job of this kind into the queue, due at `run_at` (ms). Call [`Queue::wake`] after the commit.
    ///
    /// # Errors
    /// Those of the database.
    pub fn enqueue(self, sql: &mut Sql, subject: &str, run_at: i64) -> DbResult<()> {
        jobs::enqueue(sql, self.as_str(), subject, run_at)
    }

    /// Puts jobs of this kind into the queue, due now. Call [`Queue::wake`] after the commit.
    ///
    /// # Errors
    /// Those of the database.
    pub fn enqueue_all(self, sql: &mut Sql, subjects: &[String]) -> DbResult<()> {
        jobs::enqueue_all(sql, self.as_str(), subjects)
    }
}

/// What came of a job.
enum Done {
    /// It is over.
    Finished,
    /// To be done again at this time (ms).
    Again(i64),
}

/// The workers of this process.
#[derive(Default)]
pub struct Queue {
    wake: Notify,
    stop: AtomicBool,
}

impl Queue {
    /// Lets an idle worker look at once.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// Takes no more jobs.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
        self.wake.notify_waiters();
    }
}

/// Starts the workers. They end after [`Queue::stop`], each when its job is done.
pub fn start(api: &Arc<Api>) -> tokio::task::JoinSet<()> {
    let mut workers = tokio::task::JoinSet::new();
    for prefers in WORKERS {
        let api = Arc::clone(api);
        workers.spawn(async move { work(&api, prefers).await });
    }
    let first = Arc::clone(api);
    workers.spawn(async move {
        // Now, whatever a process before had planned: it may have been away for long, or swept less often.
        let hasten = |sql: &mut Sql| Ok(jobs::hasten(sql, Kind::Sweep.as_str(), "all")?);
        while let Err(e) = first.db.write(hasten).await {
            tracing::error!("the sweeper could not be put into the queue yet: {e}");
            tokio::time::sleep(first.config.sweep_every).await;
        }
        first.queue.wake();
    });
    // It holds nothing that could be lost, so nobody waits for its end.
    let files = Arc::clone(api);
    tokio::spawn(async move { sweep::clear_temporary(&files).await });
    workers
}

async fn work(api: &Arc<Api>, prefers: Prefers) {
    let name = new_key();
    let lease_ms = i64::try_from(api.config.job_lease.as_millis()).unwrap_or(i64::MAX / 2);
    while !api.queue.stop.load(Ordering::Relaxed) {
        let worker = name.clone();
        let take = move |sql: &mut Sql| {
            if !jobs::any_due(sql)? {
                return Ok(None);
            }
            sql.in_transaction(|sql| Ok(jobs::take(sql, prefers, &worker, lease_ms)?))
        };
        match api.db.call(take).await {
            Ok(Some(job)) => {
                // There may be more than one due: let the next worker look too.
                api.queue.wake();
                one(api, &name, lease_ms, job).await;
                continue;
            }
            Ok(None) => {}
            Err(e) => tracing::warn!("the queue cannot be read: {e}"),
        }
        let _woken_or_not = tokio::time::timeout(POLL, api.queue.wake.notified()).await.is_ok();
    }
}

async fn one(api: &Arc<Api>, worker: &str, lease_ms: i64, job: Job) {
    let result = if job.attempts > MAX_ATTEMPTS && job.kind != Kind::Sweep.as_str() {
        // Whoever took it before was killed by it.
        Err(Coded::new("killed", "the process ended each time while it was at work on this"))
    } else {
        let (state, task) = (Arc::clone(api), job.clone());
        // A task of its own: a panic costs this job, not this worker.
        let mut at_work = tokio::spawn(async move { run(&state, &task).await });
        tokio::select! {
            result = &mut at_work => match result {
                Ok(result) => result.map_err(|e| Coded::new(e.parts().1, e.detail())),
                Err(e) => Err(Coded::new("panicked", e.to_string())),
            },
            () = keep_lease(api, worker, lease_ms, job.id) => {
                at_work.abort();
                return;
            }
        }
    };
    let (id, run_at, worker) = (job.id, job.run_at, worker.to_owned());
    let noted = match result {
        Ok(Done::Finished) => api.db.write(move |sql| Ok(jobs::finish(sql, id, &worker, run_at)?)).await,
        Ok(Done::Again(run_at)) => {
            api.db.write(move |sql| Ok(jobs::put_back(sql, id, &worker, "", Some(run_at))?)).await
        }
        Err(error) => {
            let again = (job.attempts < MAX_ATTEMPTS || job.kind == Kind::Sweep.as_str()).then(|| {
                let seconds = 2_i64.saturating_pow(job.attempts.min(11)).min(3600);
                now_ms() + seconds * 1000
            });
            let (kind, text) = (&job.kind, error.line());
            match again {
                Some(_) => tracing::warn!("{kind} of {} failed and is tried again: {text}", job.subject),
                None => tracing::error!(
                    "{kind} of {} was given up after {MAX_ATTEMPTS} tries: {text}",
                    job.subject
                ),
            }
            api.db.write(move |sql| Ok(jobs::put_back(sql, id, &worker, &text, again)?)).await
        }
    };
    if let Err(e) = noted {
        tracing::warn!("the end of a job could not be noted; its lease will run out: {e}");
    }
}

/// Whether the process is ending: long work stops where it is.
fn stopping(api: &Api) -> bool {
    api.queue.stop.load(Ordering::Relaxed)
}

/// Lengthens the lease until another worker has the job.
async fn keep_lease(api: &Arc<Api>, worker: &str, lease_ms: i64, id: i64) {
    loop {
        tokio::time::sleep(api.config.job_lease / 3).await;
        let name = worker.to_owned();
        match api.db.write(move |sql| Ok(jobs::renew(sql, id, &name, lease_ms)?)).await {
            Ok(true) => {}
            Ok(false) => {
                tracing::warn!("job {id} is another worker's by now");
                return;
            }
            Err(e) => tracing::warn!("the lease of job {id} could not be lengthened: {e}"),
        }
    }
}

async fn run(api: &Arc<Api>, job: &Job) -> Result<Done, ApiError> {
    let kind = Kind::ALL.into_iter().find(|kind| kind.as_str() == job.kind);
    let subject = &job.subject;
    match kind {
        Some(Kind::Ingest) => ingest::ingest(api, subject, job.attempts).await,
        Some(Kind::Recheck) => ingest::recheck(api, subject).await,
        Some(Kind::Relocate) => relocate::relocate(api, subject).await,
        Some(Kind::Discard) => discard::discard(api, subject).await,
        Some(Kind::Integrity) => integrity::integrity(api).await,
        Some(Kind::Measure) => measure::measure(api).await,
        Some(Kind::Sweep) => sweep::sweep(api).await,
        // A newer release's job: it is left to that release.
        None => Ok(Done::Again(now_ms() + 60_000)),
    }
}
