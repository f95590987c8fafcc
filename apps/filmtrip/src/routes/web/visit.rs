//! A visitor of a page: language, session, and the page around what they asked for.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use maud::Markup;
use serde::Serialize;

use super::Web;
use super::backend::{Caller, Failure};
use crate::auth::session;
use crate::i18n::{Lang, Texts};
use crate::model::{PhotoPage, SessionInfo};
use crate::templates::{self, Card, Page, Script};

const LANG_COOKIE: &str = "filmtrip_lang";

/// What is known of a page's visitor.
pub(crate) struct Visit {
    pub(crate) lang: Lang,
    pub(crate) caller: Caller,
    pub(crate) session: Option<SessionInfo>,
    path: String,
    other: String,
    remember: bool,
    pub(super) web: Arc<Web>,
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
            other: in_language(parts.uri.path(), query, if lang == Lang::En { Lang::Zh } else { Lang::En }),
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
        // The first page of a process may be one without photos. An API that fails says so to the page itself.
        if !web.asked.load(Ordering::Relaxed)
            && let Err(failure) = visit.photos("/api/photos?limit=1").await
        {
            tracing::warn!("whether there are albums is not known yet: {}", failure.message);
        }
        Ok(visit)
    }
}

/// The same address in another language; what was just done is not said again.
fn in_language(path: &str, query: &str, lang: Lang) -> String {
    let mut parts: Vec<String> = query
        .split('&')
        .filter(|p| {
            !p.is_empty() && !p.starts_with("lang=") && !p.starts_with("notice=") && !p.starts_with("token=")
        })
        .map(str::to_owned)
        .collect();
    parts.push(format!("lang={}", lang.tag()));
    // Two slashes in front would make the next part a host.
    format!("/{}?{}", path.trim_start_matches('/'), parts.join("&"))
}

impl Visit {
    /// The texts.
    pub(super) fn texts(&self) -> &'static Texts {
        self.lang.texts()
    }

    /// What was just done, by the code in the address.
    pub(super) fn notice(&self, query: &super::fields::Fields) -> Option<&'static str> {
        query.raw("notice").and_then(|code| self.texts().notice(code))
    }

    /// Path of the page.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// The site's origin for absolute addresses: as configured, else as the browser asked for it.
    pub(super) fn origin(&self) -> String {
        if let Some(origin) = &self.web.config.public_origin {
            return origin.clone();
        }
        let host = self.caller.headers.get(header::HOST).and_then(|v| v.to_str().ok()).unwrap_or_default();
        let plain = host.bytes().all(|b| b.is_ascii_alphanumeric() || b".-:[]".contains(&b));
        if plain && !host.is_empty() {
            return format!("http://{host}");
        }
        format!("http://127.0.0.1:{}", self.web.config.port)
    }

    /// A page of photos; what it says of the schema is remembered for the pages without photos.
    pub(super) async fn photos(&self, path: &str) -> Result<PhotoPage, Failure> {
        let page: PhotoPage = self.web.backend.ask(&self.caller, path).await?;
        self.web.albums.store(page.features.albums, Ordering::Relaxed);
        self.web.asked.store(true, Ordering::Relaxed);
        Ok(page)
    }

    /// Asks the API on behalf of this visitor.
    pub(super) async fn ask<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.web.backend.ask(&self.caller, path).await
    }

    /// Makes a change on behalf of this visitor.
    pub(super) async fn change(
        &self,
        method: axum::http::Method,
        path: &str,
        csrf: &str,
        body: Option<&impl Serialize>,
    ) -> Result<Response, Failure> {
        self.web.backend.call(&self.caller, method, path, Some(csrf), body).await
    }

    /// A whole page around its main part.
    pub(super) fn page(
        &self,
        status: StatusCode,
        title: &str,
        scripts: &[Script],
        card: Option<&Card>,
        body: Markup,
    ) -> Response {
        let page = Page {
            lang: self.lang,
            title,
            session: self.session.as_ref(),
            path: &self.path,
            other: &self.other,
            albums: self.web.albums.load(Ordering::Relaxed),
            scripts,
            card,
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

    /// A page for everybody.
    pub(super) fn public(&self, title: &str, card: &Card, body: Markup) -> Response {
        self.page(StatusCode::OK, title, &[Script::Site], Some(card), body)
    }

    /// A page of the studio.
    pub(super) fn studio(&self, title: &str, body: Markup) -> Response {
        self.page(StatusCode::OK, title, &[Script::Site, Script::Studio], None, body)
    }

    /// A page without anything around the matter.
    pub(super) fn plain(&self, title: &str, body: Markup) -> Response {
        self.page(StatusCode::OK, title, &[], None, body)
    }

    /// The page that says what went wrong; to the login page when nobody is logged in.
    pub(super) fn failed(&self, failure: &Failure) -> Response {
        if failure.status == StatusCode::UNAUTHORIZED {
            return Redirect::to("/login").into_response();
        }
        let texts = self.texts();
        let body = templates::problem(texts, texts.error(&failure.code), self.session.is_some());
        let mut response = self.page(failure.status, texts.error_title, &[], None, body);
        if failure.status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }

    /// There is no such page.
    pub(super) fn missing(&self) -> Response {
        let texts = self.texts();
        let body = templates::problem(texts, texts.not_found, false);
        self.page(StatusCode::NOT_FOUND, texts.not_found, &[], None, body)
    }

    /// The answer, or the page that says why there is none.
    pub(super) fn answer(&self, result: Result<Response, Failure>) -> Response {
        result.unwrap_or_else(|failure| self.failed(&failure))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_other_language_is_the_same_page() {
        assert_eq!(in_language("/search", "q=rain&lang=en", Lang::Zh), "/search?q=rain&lang=zh-CN");
        assert_eq!(in_language("/admin", "notice=saved", Lang::En), "/admin?lang=en");
        assert_eq!(in_language("/", "", Lang::En), "/?lang=en");
    }
}
