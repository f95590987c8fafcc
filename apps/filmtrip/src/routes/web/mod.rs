//! The pages. They know the API only, so that `web` and `api` can run and be deployed apart.

mod account;
mod albums;
pub mod backend;
mod feed;
mod fields;
mod lists;
mod photo;
mod reports;
mod rolls;
mod scope;
mod site;
mod studio;
mod visit;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use axum::extract::{ConnectInfo, DefaultBodyLimit, Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{any, get, post};
use axum::{Json, Router};
use serde::Serialize;

use crate::auth::origin;
use crate::config::Config;
use crate::error::ApiError;
use crate::templates::{self, Script};
use backend::{Backend, Caller, Failure};
pub(crate) use visit::Visit;

/// What the pages share.
pub struct Web {
    /// Settings.
    pub config: Config,
    /// The API.
    pub backend: Backend,
    policy: HeaderValue,
    /// Whether there are albums, as far as the API last said.
    albums: AtomicBool,
    /// Whether deleted rolls and albums go into the trash, as far as it last said.
    undo: AtomicBool,
    /// Whether it has said so.
    asked: AtomicBool,
}

type Shared = State<Arc<Web>>;

/// Builds the router of the pages. `pass_on` also serves `/api` and `/media` by asking the API,
/// so that the web process alone is a whole site.
///
/// # Errors
/// An address does not fit into a header.
pub fn router(config: Config, backend: Backend, pass_on: bool) -> Result<Router, ApiError> {
    // The object store's, when uploads go straight there.
    let connect: String = config.connect_sources().iter().map(|origin| format!(" {origin}")).collect();
    let policy = format!(
        "default-src 'none'; img-src {}; style-src '{}'; script-src 'self'; connect-src 'self'{connect}; \
         form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
        config.image_source(),
        templates::style_hash()
    );
    let policy = HeaderValue::from_str(&policy).map_err(|e| ApiError::Internal(e.to_string()))?;
    let web = Arc::new(Web {
        config,
        backend,
        policy,
        albums: AtomicBool::new(false),
        undo: AtomicBool::new(false),
        asked: AtomicBool::new(false),
    });
    let mut router = public()
        .merge(back_office())
        .fallback(missing)
        .layer(middleware::from_fn_with_state(Arc::clone(&web), guard))
        .route("/assets/{name}", get(asset))
        .route("/favicon.svg", get(favicon))
        .route("/favicon.ico", get(|| async { Redirect::permanent("/favicon.svg") }))
        .route("/robots.txt", get(robots))
        .route("/health", get(health));
    if pass_on {
        router = router
            .route("/api/{*rest}", any(pass).layer(DefaultBodyLimit::disable()))
            .route("/media/{*rest}", any(pass));
    }
    Ok(router.layer(middleware::from_fn(super::common_headers)).with_state(web))
}

fn public() -> Router<Arc<Web>> {
    Router::new()
        .route("/", get(lists::home))
        .route("/p/{key}", get(photo::page))
        .route("/p/{key}/report", get(reports::form).post(reports::send))
        .route("/rolls", get(lists::rolls))
        .route("/r/{key}", get(lists::roll))
        .route("/albums", get(albums::index))
        .route("/a/{key}", get(albums::page))
        .route("/search", get(lists::search))
        .route("/t/{name}", get(lists::tag))
        .route("/film/{name}", get(lists::film))
        .route("/camera/{name}", get(lists::camera))
        .route("/lens/{name}", get(lists::lens))
        .route("/scanner/{name}", get(lists::scanner))
        .route("/gear", get(lists::gear))
        .route("/map", get(lists::map))
        .route("/s/{code}", get(photo::short))
        .route("/feed.xml", get(feed::rss))
        .route("/login", get(account::login_page).post(account::login))
        .route("/logout", post(account::logout))
        .route("/setup", get(account::setup_page).post(account::setup))
}

fn back_office() -> Router<Arc<Web>> {
    Router::new()
        .route("/admin", get(studio::page))
        .route("/admin/upload", post(studio::upload).layer(DefaultBodyLimit::disable()))
        .route("/admin/bulk", post(studio::bulk))
        .route("/admin/trash", get(studio::trash))
        .route("/admin/trash/{key}", post(studio::untrash))
        .route("/admin/photos/{key}", get(photo::edit_page).post(photo::edit))
        .route("/admin/photos/{key}/delete", post(photo::delete))
        .route("/admin/photos/{key}/short", post(photo::make_short))
        .route("/admin/rolls", get(rolls::index).post(rolls::create))
        .route("/admin/rolls/{key}", get(rolls::edit_page).post(rolls::edit))
        .route("/admin/rolls/{key}/delete", post(rolls::delete))
        .route("/admin/albums", get(albums::studio).post(albums::create))
        .route("/admin/albums/{key}", get(albums::edit_page).post(albums::edit))
        .route("/admin/albums/{key}/photos", post(albums::order))
        .route("/admin/albums/{key}/delete", post(albums::delete))
        .route("/admin/account", get(account::page).post(account::password))
        .route("/admin/site", get(site::page))
        .route("/admin/site/storage", get(site::storage))
        .route("/admin/reports", get(reports::open))
        .route("/admin/reports/closed", get(reports::closed))
        .route("/admin/reports/{key}", get(reports::of_photo).post(reports::decide))
        .route("/admin/site/integrity", post(site::integrity))
        .route("/admin/site/jobs/retry", post(site::retry_all))
        .route("/admin/site/jobs/{id}/retry", post(site::retry))
        .route("/admin/users", get(site::people).post(site::invite))
        .route("/admin/users/{id}", post(site::change))
        .route("/admin/users/{id}/link", post(site::link))
}

/// Refuses forms from other sites, and sets what every page carries.
async fn guard(State(web): Shared, request: Request, next: Next) -> Response {
    let safe = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    if !safe && !origin::allowed(request.headers(), web.config.public_origin.as_deref()) {
        return ApiError::Csrf.into_response();
    }
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, web.policy.clone());
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.append(header::VARY, HeaderValue::from_static("accept-language, cookie"));
    response
}

async fn pass(State(web): Shared, ConnectInfo(peer): ConnectInfo<SocketAddr>, request: Request) -> Response {
    web.backend.send(peer, request).await.unwrap_or_else(IntoResponse::into_response)
}

async fn missing(visit: Visit) -> Response {
    visit.missing()
}

/// `GET /assets/NAME.HASH.js`. Another release's is not here: its page works without.
async fn asset(request: Request) -> Response {
    match Script::at(request.uri().path()) {
        Some(script) => (
            [
                (header::CONTENT_TYPE, "text/javascript; charset=utf-8"),
                (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
            ],
            script.text(),
        )
            .into_response(),
        None => (StatusCode::NOT_FOUND, [(header::CACHE_CONTROL, "no-store")]).into_response(),
    }
}

async fn favicon() -> impl IntoResponse {
    (
        [(header::CONTENT_TYPE, "image/svg+xml"), (header::CACHE_CONTROL, "public, max-age=3600")],
        templates::ICON,
    )
}

async fn robots() -> impl IntoResponse {
    let text = "User-agent: *\nDisallow: /admin\nDisallow: /api/\nDisallow: /login\nDisallow: /setup\n\
                Disallow: /search\n";
    ([(header::CACHE_CONTROL, "public, max-age=3600")], text)
}

#[derive(Serialize)]
struct WebHealth {
    status: &'static str,
    api: &'static str,
    version: &'static str,
    release: String,
}

/// `GET /health`: whether this process can show pages, that is, whether the API is healthy too.
async fn health(State(web): Shared, ConnectInfo(peer): ConnectInfo<SocketAddr>) -> impl IntoResponse {
    let caller = Caller { peer, headers: axum::http::HeaderMap::new() };
    let answer = web.backend.ask::<serde_json::Value>(&caller, "/api/health").await;
    let (status, word, api) = match answer {
        Ok(_) => (StatusCode::OK, "ok", "ok"),
        Err(failure) if failure.status == StatusCode::BAD_GATEWAY => {
            (StatusCode::SERVICE_UNAVAILABLE, "failed", "not reachable")
        }
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "failed", "failed"),
    };
    let release = web.config.release.clone();
    let body = WebHealth { status: word, api, version: crate::VERSION, release };
    (status, [(header::CACHE_CONTROL, "no-store")], Json(body))
}

/// Redirects after a form, carrying the cookies that the API set.
fn done(to: &str, api: &Response) -> Response {
    let mut response = Redirect::to(to).into_response();
    let cookies: [HeaderName; 1] = [header::SET_COOKIE];
    backend::copy(api.headers(), response.headers_mut(), &cookies);
    response
}
