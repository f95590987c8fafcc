//! The JSON API and the images. Every route of it is listed here.

mod account;
pub(crate) mod admin;
mod archive;
mod catalogue;
mod check;
mod direct;
mod media;
mod photos;
mod removed;
mod reports;
mod session;
mod upload;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, DefaultBodyLimit, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, patch, post, put};
use axum::{Json, Router, middleware};
use tokio::sync::Semaphore;

use crate::auth::origin;
use crate::capacity::Capacity;
use crate::config::{CALLBACK_PATH, Config};
use crate::db::Db;
use crate::error::ApiError;
use crate::health::Health;
use crate::storage::Storage;
use crate::work::Queue;

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
    /// Caps on image work.
    pub capacity: Capacity,
    /// The workers of the queue.
    pub queue: Queue,
    /// Password hashing takes 19 MiB each: this many at once.
    pub hashing: Semaphore,
}

/// A notice is small; nobody is to fill the memory with one.
const CALLBACK_BYTES: usize = 64 * 1024;

/// The shared state as handlers take it.
pub type Shared = State<Arc<Api>>;

impl Api {
    /// The shared state of one process.
    #[must_use]
    pub fn new(config: Config, db: Db, storage: Storage) -> Arc<Self> {
        let health = Health::new(db.clone(), storage.clone(), config.release.clone());
        let capacity = Capacity::new(config.max_pixels);
        Arc::new(Self {
            config,
            db,
            storage,
            health,
            capacity,
            queue: Queue::default(),
            hashing: Semaphore::new(2),
        })
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
        .route("/api/auth/password", post(account::change_password))
        .route("/api/photos", get(photos::list).merge(uploads))
        .route("/api/photos/bulk", post(photos::bulk))
        .route("/api/photos/{key}", get(photos::one).patch(photos::change).delete(photos::delete))
        .route("/api/photos/{key}/neighbours", get(photos::neighbours))
        .route("/api/photos/{key}/original", get(media::original))
        .route("/api/photos/{key}/restore", post(photos::restore))
        .route("/api/photos/{key}/short", post(photos::short))
        .route("/api/photos/{key}/reports", post(reports::report))
        .route("/api/short/{code}", get(photos::by_short))
        .route("/api/uploads", get(direct::list).post(direct::sign))
        .route("/api/uploads/rules", get(direct::rules))
        .route("/api/uploads/{key}", get(direct::one).delete(direct::give_up))
        .route("/api/uploads/{key}/complete", post(direct::complete))
        .route(CALLBACK_PATH, post(direct::callback).layer(DefaultBodyLimit::max(CALLBACK_BYTES)))
        .route("/api/rolls", get(catalogue::rolls).post(catalogue::new_roll))
        .route(
            "/api/rolls/{key}",
            get(catalogue::roll).put(catalogue::change_roll).delete(catalogue::delete_roll),
        )
        .route("/api/rolls/{key}/originals", get(archive::originals))
        .route("/api/albums", get(catalogue::list).post(catalogue::new_album))
        .route(
            "/api/albums/{key}",
            get(catalogue::album).put(catalogue::change_album).delete(catalogue::delete_album),
        )
        .route("/api/albums/{key}/photos", put(catalogue::album_photos))
        .route("/api/trash", get(removed::list))
        .route("/api/trash/{key}", delete(removed::forget))
        .route("/api/trash/{key}/restore", post(removed::restore))
        .route("/api/tags", get(catalogue::tags))
        .route("/api/gear", get(catalogue::gear))
        .route("/api/map", get(catalogue::map))
        .route("/api/overview", get(admin::overview))
        .route("/api/admin/accounts", get(admin::accounts).post(admin::new_account))
        .route("/api/admin/accounts/{id}", patch(admin::change_account))
        .route("/api/admin/accounts/{id}/setup-link", post(admin::setup_link))
        .route("/api/admin/storage", get(admin::storage))
        .route("/api/admin/reports", get(reports::open))
        .route("/api/admin/reports/closed", get(reports::closed))
        .route("/api/admin/reports/{key}", get(reports::of_photo).post(reports::decide))
        .route("/api/admin/jobs", get(admin::jobs))
        .route("/api/admin/jobs/retry", post(admin::retry_all))
        .route("/api/admin/jobs/{id}/retry", post(admin::retry))
        .route("/api/admin/integrity", get(admin::integrity).post(admin::start_integrity))
        .route("/media/{key}/{file}", get(media::variant))
        .route("/api/{*rest}", axum::routing::any(unknown))
        .layer(middleware::from_fn(not_stored))
        .layer(middleware::from_fn(super::common_headers))
        .with_state(Arc::clone(api))
}

/// What says nothing of caching depends on who asks, and is nobody else's to keep.
async fn not_stored(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    response.headers_mut().entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// The routes for a process that serves nothing else: whatever is not there is a JSON error.
pub fn standalone(api: &Arc<Api>) -> Router {
    router(api).fallback(unknown)
}

async fn unknown() -> ApiError {
    ApiError::NotFound
}

async fn health(
    State(api): Shared,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
) -> impl IntoResponse {
    let mut report = api.health.check(api.capacity.in_work()).await;
    // A health gate and the owner's curl are on this machine; whoever comes through the proxy is not.
    if !origin::client_address(peer.ip(), &headers, &api.config.trusted_proxies).is_loopback() {
        report = report.for_strangers();
    }
    let status = if report.healthy() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, [(header::CACHE_CONTROL, "no-store")], Json(report))
}
