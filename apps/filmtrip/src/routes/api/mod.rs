//! The JSON API and the images. Every route of it is listed here.

mod account;
mod media;
mod photos;
mod session;
mod upload;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::extract::{DefaultBodyLimit, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router, middleware};
use tokio::sync::Semaphore;

use crate::config::Config;
use crate::db::Db;
use crate::error::ApiError;
use crate::health::Health;
use crate::storage::Storage;

pub use session::{Change, MaybeSession, Session};

/// What the routes share.
pub struct Api {
    /// Settings.
    pub config: Config,
    /// Database.
    pub db: Db,
    /// Originals and variants.
    pub storage: Storage,
    /// The health checker.
    pub health: Health,
    /// Image work.
    pub jobs: Jobs,
    /// Password hashing takes 19 MiB each: this many at once.
    pub hashing: Semaphore,
}

/// The shared state as handlers take it.
pub type Shared = State<Arc<Api>>;

/// Caps on image work, by jobs and by pixels: ten small photos are not ten flatbed scans.
pub struct Jobs {
    cpu: Semaphore,
    megapixels: Semaphore,
    total_megapixels: u32,
    depth: AtomicUsize,
}

/// A job that is waiting or running; gone when dropped.
pub struct Queued<'a>(&'a AtomicUsize);

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Jobs {
    fn new(max_pixels: u64) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let total = u32::try_from(max_pixels / 1_000_000).unwrap_or(u32::MAX).max(1);
        Self {
            cpu: Semaphore::new(cores),
            megapixels: Semaphore::new(total as usize),
            total_megapixels: total,
            depth: AtomicUsize::new(0),
        }
    }

    /// Jobs waiting or running.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.depth.load(Ordering::Relaxed)
    }

    fn enqueue(&self) -> Queued<'_> {
        self.depth.fetch_add(1, Ordering::Relaxed);
        Queued(&self.depth)
    }

    /// Waits until nothing is queued any more.
    pub async fn drained(&self) {
        while self.depth() > 0 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }
}

impl Api {
    /// The shared state of one process.
    #[must_use]
    pub fn new(config: Config, db: Db, storage: Storage) -> Arc<Self> {
        let health = Health::new(db.clone(), storage.clone(), config.release.clone());
        let jobs = Jobs::new(config.max_pixels);
        Arc::new(Self { config, db, storage, health, jobs, hashing: Semaphore::new(2) })
    }
}

/// All routes of the API.
pub fn router(api: &Arc<Api>) -> Router {
    // A batch may be larger than one file, but not without end.
    let batch = usize::try_from(api.config.max_upload_bytes.saturating_mul(8)).unwrap_or(usize::MAX);
    let uploads = post(upload::upload).layer(DefaultBodyLimit::max(batch));
    Router::new()
        .route("/api/health", get(health))
        .route("/api/auth/login", post(account::login))
        .route("/api/auth/logout", post(account::logout))
        .route("/api/auth/session", get(account::session))
        .route("/api/auth/setup", post(account::setup))
        .route("/api/photos", get(photos::list).merge(uploads))
        .route("/api/photos/{key}", get(photos::one).patch(photos::change).delete(photos::delete))
        .route("/api/photos/{key}/original", get(media::original))
        .route("/api/rolls", get(photos::rolls).post(photos::new_roll))
        .route("/api/overview", get(account::overview))
        .route("/media/{key}/{file}", get(media::variant))
        .route("/api/{*rest}", axum::routing::any(unknown))
        .layer(middleware::from_fn(super::common_headers))
        .with_state(Arc::clone(api))
}

/// The routes for a process that serves nothing else: whatever is not there is a JSON error.
pub fn standalone(api: &Arc<Api>) -> Router {
    router(api).fallback(unknown)
}

async fn unknown() -> ApiError {
    ApiError::NotFound
}

async fn health(State(api): Shared) -> impl IntoResponse {
    let report = api.health.check(api.jobs.depth()).await;
    let status = if report.healthy() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, [(header::CACHE_CONTROL, "no-store")], Json(report))
}
