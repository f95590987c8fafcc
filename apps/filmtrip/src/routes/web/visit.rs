//! A visitor of a page: language, session, and the page around what they asked for.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use maud::Markup;
use serde::Serialize;

use super::backend::{Caller, Failure};
use super::fields::{Fields, is_key, studio_path};
use super::{Web, done};
use crate::auth::session;
use crate::i18n::{Lang, Texts};
use crate::model::{Album, AlbumList, PhotoPage, Roll, RollList, SessionInfo};
use crate::templates::parts::enc;
use crate::templates::{self, Card, Page, Script, account};

const LANG_COOKIE: &str = "filmtrip_lang";

/// What is known of a page's visitor.
pub(crate) struct Visit {
    pub(crate) lang: Lang,
    pub(crate) caller: Caller,
    pub(crate) session: Option<SessionInfo>,
    path: String,
    /// Where to come back to after a login; none when something was sent.
    here: Option<String>,
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
            here: (parts.method == Method::GET).then(|| here(parts.uri.path(), query)),
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

/// The parameters that say what a page is about; what was just done is not said again, and nobody's token is passed on
/// but by the page that it is for.
fn about<'a>(path: &str, query: &'a str) -> Vec<&'a str> {
    let token = path == "/setup";
    let kept = |p: &&str| {
        let aside = ["lang=", "notice=", "undo="].iter().any(|name| p.starts_with(name)) || p.is_empty();
        !aside && (token || !p.starts_with("token="))
    };
    query.split('&').filter(kept).collect()
}

/// The same address in another language.
fn in_language(path: &str, query: &str, lang: Lang) -> String {
    let tag = format!("lang={}", lang.tag());
    let mut parts = about(path, query);
    parts.push(&tag);
    // Two slashes in front would make the next part a host.
    format!("/{}?{}", path.trim_start_matches('/'), parts.join("&"))
}

/// The address of a page, to come back to.
fn here(path: &str, query: &str) -> String {
    let parts = about(path, query);
    if parts.is_empty() { path.to_owned() } else { format!("{path}?{}", parts.join("&")) }
}

impl Visit {
    /// The texts.
    pub(super) fn texts(&self) -> &'static Texts {
        self.lang.texts()
    }

    /// What was just done, by the code in the address.
    pub(super) fn notice(&self, query: &Fields) -> Option<&'static str> {
        query.raw("notice").and_then(|code| self.texts().notice(code))
    }

    /// Path of the page.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// Says what the page is about, where its address does not: for the link to the other language.
    pub(super) fn about(&mut self, query: &str) {
        let other = if self.lang == Lang::En { Lang::Zh } else { Lang::En };
        self.other = in_language(&self.path, query, other);
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
        self.web.undo.store(page.features.undo, Ordering::Relaxed);
        self.web.asked.store(true, Ordering::Relaxed);
        Ok(page)
    }

    /// All rolls that the visitor may put photos on, for a menu: one that is not in it could not be chosen, and a photo on
    /// it would lose it.
    pub(super) async fn rolls(&self) -> Result<Vec<Roll>, Failure> {
        let (mut rolls, mut path) = (Vec::new(), "/api/rolls".to_owned());
        loop {
            let list: RollList = self.ask(&path).await?;
            rolls.extend(list.rolls);
            let Some(next) = list.next else { return Ok(rolls) };
            path = format!("/api/rolls?before={}", enc(&next));
        }
    }

    /// The same of albums.
    pub(super) async fn own_albums(&self) -> Result<Vec<Album>, Failure> {
        let (mut albums, mut path) = (Vec::new(), "/api/albums?mine=true".to_owned());
        loop {
            let list: AlbumList = self.ask(&path).await?;
            albums.extend(list.albums);
            let Some(next) = list.next else { return Ok(albums) };
            path = format!("/api/albums?mine=true&before={}", enc(&next));
        }
    }

    /// Asks the API on behalf of this visitor.
    pub(super) async fn ask<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.web.backend.ask(&self.caller, path).await
    }

    /// Makes a change on behalf of this visitor.
    pub(super) async fn change(
        &self,
        method: Method,
        path: &str,
        csrf: &str,
        body: Option<&impl Serialize>,
    ) -> Result<Response, Failure> {
        self.web.backend.call(&self.caller, method, path, Some(csrf), body).await
    }

    /// Whether deleted rolls and albums go into the trash.
    pub(super) fn undo(&self) -> bool {
        self.web.undo.load(Ordering::Relaxed)
    }

    /// Deletes one of `kind`, a roll or an album. Where there is no way back the form has a box to be ticked; without it
    /// whoever may change the thing, which `editable` says, is asked again.
    pub(super) async fn delete<T>(
        &self,
        kind: &str,
        key: &str,
        form: &Fields,
        editable: impl Future<Output = Result<T, Failure>>,
    ) -> Response {
        if !is_key(key) {
            return self.missing();
        }
        if self.session.is_none() {
            return self.to_login();
        }
        let write = async {
            if !form.ticked("sure") {
                editable.await?;
                return Ok(Redirect::to(&format!("/admin/{kind}/{key}?notice=unsure")).into_response());
            }
            let path = format!("/api/{kind}/{key}");
            let answer = self.change(Method::DELETE, &path, form.csrf(), None::<&()>).await?;
            let said = if self.undo() { format!("trashed&undo={key}") } else { "deleted".to_owned() };
            Ok(done(&format!("/admin/{kind}?notice={said}"), &answer))
        };
        let answer = write.await;
        self.answer(answer)
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

    /// To the login page, and from there back to here.
    pub(super) fn to_login(&self) -> Response {
        let next = self.here.as_deref().and_then(studio_path).filter(|here| *here != "/admin");
        let to = next.map_or_else(|| "/login".to_owned(), |here| format!("/login?next={}", enc(here)));
        Redirect::to(&to).into_response()
    }

    /// A form that was not taken. It is shown again with what was written in it, by `again`; when the session has ended,
    /// the login page keeps it.
    pub(super) async fn refused(
        &self,
        failure: &Failure,
        form: &Fields,
        again: impl Future<Output = Result<Response, Failure>>,
    ) -> Response {
        match failure.status {
            StatusCode::UNAUTHORIZED if !form.csrf().is_empty() => {
                let texts = self.texts();
                let kept = account::Kept { next: &self.path, fields: &form.0 };
                let body = account::login(texts, "", Some(texts.login_keeps), None, &kept);
                self.page(failure.status, texts.login_title, &[], None, body)
            }
            StatusCode::UNAUTHORIZED | StatusCode::NOT_FOUND => self.failed(failure),
            StatusCode::FORBIDDEN if failure.code != "csrf" => self.failed(failure),
            _ => again.await.unwrap_or_else(|_| self.failed(failure)),
        }
    }

    /// What is said above a form that was not taken.
    pub(super) fn problem(&self, failure: &Failure) -> String {
        self.texts().refusal(&failure.code, failure.field.as_deref())
    }

    /// A page of the studio whose form, sent to `action`, was not taken; the field that is wrong is marked.
    pub(super) fn studio_again(
        &self,
        failure: &Failure,
        title: &str,
        action: &str,
        body: Markup,
    ) -> Response {
        let body = match failure.field.as_deref() {
            Some(field) => templates::parts::mark(&body, action, field),
            None => body,
        };
        self.page(failure.status, title, &[Script::Site, Script::Studio], None, body)
    }

    /// The page that says what went wrong; to the login page when nobody is logged in.
    pub(super) fn failed(&self, failure: &Failure) -> Response {
        if failure.status == StatusCode::UNAUTHORIZED {
            return self.to_login();
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
        assert_eq!(in_language("/", "token=t", Lang::En), "/?lang=en");
        // Without its token the page of a set-up link is of no use.
        assert_eq!(in_language("/setup", "token=t&lang=en", Lang::Zh), "/setup?token=t&lang=zh-CN");
    }
}
