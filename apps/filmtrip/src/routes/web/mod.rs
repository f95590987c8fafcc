//! The pages. They know the API only, so that `web` and `api` can run and be deployed apart.

mod admin;
pub mod backend;
mod public;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, DefaultBodyLimit, FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{any, get, post};
use axum::{Json, Router};
use maud::Markup;
use serde::Serialize;

use crate::auth::{origin, session};
use crate::config::Config;
use crate::error::ApiError;
use crate::i18n::Lang;
use crate::model::SessionInfo;
use crate::templates::{self, Page};
use backend::{Backend, Caller, Failure};

const LANG_COOKIE: &str = "filmtrip_lang";

/// What the pages share.
pub struct Web {
    /// Settings.
    pub config: Config,
    /// The API.
    pub backend: Backend,
    policy: HeaderValue,
}

type Shared = State<Arc<Web>>;

/// Builds the router of the pages. `pass_on` also serves `/api` and `/media` by asking the API,
/// so that the web process alone is a whole site.
///
/// # Errors
/// The image base URL does not fit into a header.
pub fn router(config: Config, backend: Backend, pass_on: bool) -> Result<Router, ApiError> {
    let policy = format!(
        "default-src 'none'; img-src {}; style-src '{}'; form-action 'self'; base-uri 'none'; \
         frame-ancestors 'none'",
        config.image_source(),
        templates::style_hash()
    );
    let policy = HeaderValue::from_str(&policy).map_err(|e| ApiError::Internal(e.to_string()))?;
    let web = Arc::new(Web { config, backend, policy });
    let mut router = Router::new()
        .route("/", get(public::home))
        .route("/p/{key}", get(public::photo))
        .route("/r/{key}", get(public::roll))
        .route("/login", get(admin::login_page).post(admin::login))
        .route("/logout", post(admin::logout))
        .route("/setup", get(admin::setup_page).post(admin::setup))
        .route("/admin", get(admin::studio))
        .route("/admin/upload", post(admin::upload).layer(DefaultBodyLimit::disable()))
        .route("/admin/rolls", post(admin::new_roll))
        .route("/admin/photos/{key}", get(admin::edit_page).post(admin::edit))
        .route("/admin/photos/{key}/delete", post(admin::delete))
        .route("/favicon.svg", get(favicon))
        .route("/health", get(health))
        .fallback(missing)
        .layer(middleware::from_fn_with_state(Arc::clone(&web), guard));
    if pass_on {
        router = router
            .route("/api/{*rest}", any(pass).layer(DefaultBodyLimit::disable()))
            .route("/media/{*rest}", any(pass));
    }
    Ok(router.layer(middleware::from_fn(super::common_headers)).with_state(web))
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

/// What is known of a page's visitor.
pub(crate) struct Visit {
    pub(crate) lang: Lang,
    pub(crate) caller: Caller,
    pub(crate) session: Option<SessionInfo>,
    path: String,
    remember: bool,
    web: Arc<Web>,
}

impl FromRequestParts<Arc<Web>> for Visit {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, web: &Arc<Web>) -> Result<Self, Response> {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        let peer = peer.map_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0)), |ConnectInfo(address)| *address);
        let caller = Caller { peer, headers: parts.headers.clone() };
        let query = parts.uri.query().unwrap_or_default();
        let asked = query.split('&').find_map(|p| p.strip_prefix("lang=")).and_then(Lang::parse);
        let lang = asked
            .or_else(|| session::cookie(&parts.headers, LANG_COOKIE).and_then(Lang::parse))
            .unwrap_or_else(|| {
                let header = parts.headers.get(header::ACCEPT_LANGUAGE).and_then(|v| v.to_str().ok());
                Lang::negotiate(header.unwrap_or_default())
            });
        let mut visit = Self {
            lang,
            caller,
            session: None,
            path: parts.uri.path().to_owned(),
            remember: asked.is_some(),
            web: Arc::clone(web),
        };
        let name = session::cookie_name(web.config.secure());
        if session::cookie(&parts.headers, name).is_some() {
            match web.backend.ask::<SessionInfo>(&visit.caller, "/api/auth/session").await {
                Ok(info) => visit.session = Some(info),
                Err(failure) if failure.status == StatusCode::UNAUTHORIZED => {}
                Err(failure) => return Err(visit.failed(&failure)),
            }
        }
        Ok(visit)
    }
}

impl Visit {
    /// A whole page around its main part.
    fn page(&self, status: StatusCode, title: &str, body: Markup) -> Response {
        let page = Page {
            lang: self.lang,
            title,
            session: self.session.as_ref(),
            path: &self.path,
            release: &self.web.config.release,
        };
        let mut response = (status, Html(templates::layout(&page, body).into_string())).into_response();
        if self.remember {
            let tail = if self.web.config.secure() { "; Secure" } else { "" };
            let cookie =
                format!("{LANG_COOKIE}={}; Path=/; Max-Age=31536000; SameSite=Lax{tail}", self.lang.tag());
            if let Ok(value) = HeaderValue::from_str(&cookie) {
                response.headers_mut().append(header::SET_COOKIE, value);
            }
        }
        response
    }

    fn ok(&self, title: &str, body: Markup) -> Response {
        self.page(StatusCode::OK, title, body)
    }

    /// The page that says what went wrong; to the login page when nobody is logged in.
    fn failed(&self, failure: &Failure) -> Response {
        if failure.status == StatusCode::UNAUTHORIZED {
            return Redirect::to("/login").into_response();
        }
        let texts = self.lang.texts();
        let mut response = self.page(
            failure.status,
            texts.error_title,
            templates::problem(texts, texts.error(&failure.code), self.session.is_some()),
        );
        if failure.status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

async fn missing(visit: Visit) -> Response {
    let texts = visit.lang.texts();
    visit.page(StatusCode::NOT_FOUND, texts.not_found, templates::problem(texts, texts.not_found, false))
}

async fn favicon() -> impl IntoResponse {
    (
        [(header::CONTENT_TYPE, "image/svg+xml"), (header::CACHE_CONTROL, "public, max-age=3600")],
        templates::ICON,
    )
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
