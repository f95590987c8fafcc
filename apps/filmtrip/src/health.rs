//! Health that tells the truth: it writes to the database and to the storage each time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::sync::Mutex;

use crate::db::{self, Db};
use crate::storage::Storage;

/// How long each part may take. Shorter than what any health gate waits for.
const TIMEOUT: Duration = Duration::from_secs(2);
/// How long SQLite waits for a lock held by somebody else; below [`TIMEOUT`], to name the reason.
const LOCK_WAIT: Duration = Duration::from_millis(1500);
/// Answers younger than this are given again, so that asking often does not write often.
const FRESH: Duration = Duration::from_millis(200);

/// One part of the service.
#[derive(Debug, Clone, Serialize)]
pub struct Part {
    /// `ok` or `failed`.
    pub status: &'static str,
    /// What failed; told to who asks from this machine, and logged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// How long the check took, in ms.
    pub millis: u64,
}

/// The answer of `/api/health`.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// `ok` when every part is, else `failed`.
    pub status: &'static str,
    /// A committed write and a read.
    pub database: Part,
    /// A probe file written, read and deleted.
    pub storage: Part,
    /// Jobs that are due or running, and uploads that this process is working on.
    pub queue_depth: u64,
    /// Schema of the database; 0 when it could not be read.
    pub schema: u32,
    /// Version of the program.
    pub version: &'static str,
    /// Name of the release.
    pub release: String,
}

impl Report {
    /// Whether the service can do its work.
    #[must_use]
    pub fn healthy(&self) -> bool {
        self.status == "ok"
    }

    /// The same without the reasons, which name folders, hosts and what a database said: not for strangers.
    #[must_use]
    pub fn for_strangers(mut self) -> Self {
        for part in [&mut self.database, &mut self.storage] {
            part.error = None;
        }
        self
    }
}

/// Checks one database and one storage. Cloning shares it.
#[derive(Clone)]
pub struct Health {
    last: Arc<Mutex<Option<(Instant, Report)>>>,
    db: Db,
    storage: Storage,
    release: String,
}

impl Health {
    /// A checker of these two.
    #[must_use]
    pub fn new(db: Db, storage: Storage, release: String) -> Self {
        Self { last: Arc::default(), db, storage, release }
    }

    /// Checks now, or repeats an answer that is a moment old.
    pub async fn check(&self, in_work: usize) -> Report {
        // One at a time: probes do not pile up behind a stuck disk.
        let mut last = self.last.lock().await;
        if let Some((at, report)) = last.as_ref()
            && at.elapsed() < FRESH
        {
            return report.clone();
        }
        let url = self.db.url().clone();
        let blocking = tokio::task::spawn_blocking(move || db::probe(&url, LOCK_WAIT));
        let probe = async { blocking.await.unwrap_or_else(|e| Err(format!("the check itself failed: {e}"))) };
        let ((database, found), (storage, _)) = tokio::join!(part(probe), part(self.storage.probe()));
        let (schema, due) = found.unwrap_or_default();
        let healthy = database.error.is_none() && storage.error.is_none();
        let report = Report {
            status: if healthy { "ok" } else { "failed" },
            database,
            storage,
            queue_depth: due + in_work as u64,
            schema,
            version: crate::VERSION,
            release: self.release.clone(),
        };
        if !healthy {
            tracing::error!(
                "unhealthy: database {}, storage {}",
                report.database.error.as_deref().unwrap_or("ok"),
                report.storage.error.as_deref().unwrap_or("ok")
            );
        }
        *last = Some((Instant::now(), report.clone()));
        report
    }
}

async fn part<T>(probe: impl Future<Output = Result<T, String>>) -> (Part, Option<T>) {
    let start = Instant::now();
    let outcome = match tokio::time::timeout(TIMEOUT, probe).await {
        Ok(outcome) => outcome,
        Err(_) => Err(format!("no answer within {} s", TIMEOUT.as_secs())),
    };
    let millis = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
    match outcome {
        Ok(value) => (Part { status: "ok", error: None, millis }, Some(value)),
        Err(error) => (Part { status: "failed", error: Some(error), millis }, None),
    }
}
