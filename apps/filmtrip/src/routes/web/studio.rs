//! The studio: upload, own photos, bulk edit, trash.

use std::net::SocketAddr;

use axum::Form;
use axum::extract::{ConnectInfo, Query, Request, State};
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};

use super::backend::{copy, forwarded, json};
use super::fields::{Fields, bad};
use super::scope::{Scope, before};
use super::{Failure, Shared, Visit, done, to_login};
use crate::model::{
    AlbumList, BulkAction, BulkBody, ErrorBody, PhotoChange, RollList, SessionInfo, UploadRules, Uploaded,
    Visibility,
};
use crate::templates::studio as pages;

/// `GET /admin`.
pub(super) async fn page(visit: Visit, Query(query): Query<Fields>) -> Response {
    let Some(session) = visit.session.clone() else { return to_login() };
    let answer = show(&visit, &session, &query).await;
    visit.answer(answer)
}

async fn show(visit: &Visit, session: &SessionInfo, query: &Fields) -> Result<Response, Failure> {
    let texts = visit.texts();
    let scope = Scope::of(query);
    let before = before(query);
    let path = scope.api(before.as_deref(), "mine=true");
    let (page, rolls, rules) = tokio::try_join!(
        visit.photos(&path),
        visit.ask::<RollList>("/api/rolls"),
        visit.ask::<UploadRules>("/api/uploads/rules"),
    )?;
    let albums = match page.features.albums {
        true => Some(visit.ask::<AlbumList>("/api/albums?mine=true").await?.albums),
        false => None,
    };
    let path =
        if scope.query().is_empty() { "/admin".to_owned() } else { format!("/admin?{}", scope.query()) };
    let roll = query.filled("roll");
    let view = pages::Studio {
        session,
        page: &page,
        rolls: &rolls.rolls,
        albums: albums.as_deref(),
        rules: &rules,
        roll: roll.as_deref(),
        words: &query.line("q"),
        path: &path,
        paged: before.is_some(),
        notice: visit.notice(query),
    };
    Ok(visit.studio(texts.back_office, pages::page(texts, &view)))
}

/// `POST /admin/upload`: the form goes to the API as it is, streaming.
pub(super) async fn upload(
    State(web): Shared,
    visit: Visit,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let mut inner = Request::new(body);
    *inner.method_mut() = Method::POST;
    *inner.uri_mut() = axum::http::Uri::from_static("/api/photos");
    let names = [header::COOKIE, header::CONTENT_TYPE, header::CONTENT_LENGTH, forwarded()];
    copy(&parts.headers, inner.headers_mut(), &names);
    let answer = match web.backend.send(peer, inner).await {
        Ok(answer) => answer,
        Err(error) => return visit.failed(&error.into()),
    };
    let status = answer.status();
    if status.is_success() {
        let answer = json::<Uploaded>(answer).await.map(|uploaded| {
            let notice = match (status, uploaded.refused.is_empty()) {
                (StatusCode::OK, true) => "duplicates",
                (_, true) => "uploaded",
                (_, false) => "partly",
            };
            Redirect::to(&format!("/admin?notice={notice}")).into_response()
        });
        return visit.answer(answer);
    }
    match json::<ErrorBody>(answer).await {
        Ok(e) => visit.failed(&Failure { status, code: e.error.code, message: e.error.message }),
        Err(failure) => visit.failed(&failure),
    }
}

/// `POST /admin/bulk`.
pub(super) async fn bulk(visit: Visit, Form(form): Form<Fields>) -> Response {
    let back = way_back(&form);
    let keys = form.all("key");
    if keys.is_empty() {
        return Redirect::to(&noticed(&back, "nothing")).into_response();
    }
    let (action, notice) = match form.raw("action") {
        Some("trash") => (BulkAction::Trash, "trashed"),
        Some("restore") => (BulkAction::Restore, "restored"),
        Some("delete") if !form.ticked("sure") => {
            return Redirect::to(&noticed(&back, "unsure")).into_response();
        }
        Some("delete") => (BulkAction::Delete, "deleted"),
        // A press of Enter in a field sends no button.
        Some("change") | None => (BulkAction::Change, "saved"),
        Some(_) => return visit.failed(&bad("the action is not known")),
    };
    let mut body = BulkBody {
        keys,
        action,
        change: PhotoChange::default(),
        add_tags: Vec::new(),
        remove_tags: Vec::new(),
        album: None,
    };
    if action == BulkAction::Change {
        body.change.roll = form.filled("roll").map(|roll| Some(roll).filter(|r| r != "none"));
        body.change.visibility = form.filled("visibility").and_then(|v| Visibility::parse(&v));
        body.add_tags = form.list("add_tags");
        body.remove_tags = form.list("remove_tags");
        body.album = form.filled("album");
    }
    let answer = visit.change(Method::POST, "/api/photos/bulk", form.csrf(), Some(&body)).await;
    visit.answer(answer.map(|answer| done(&noticed(&back, notice), &answer)))
}

/// Back to the list that the form was on; only ever to the studio.
fn way_back(form: &Fields) -> String {
    let back = form.line("back");
    let path = back.split('?').next().unwrap_or_default();
    let plain = back.bytes().all(|b| b.is_ascii_graphic() && b != b'\\');
    if plain && matches!(path, "/admin" | "/admin/trash") { back } else { "/admin".to_owned() }
}

fn noticed(path: &str, notice: &str) -> String {
    let join = if path.contains('?') { '&' } else { '?' };
    format!("{path}{join}notice={notice}")
}

/// `GET /admin/trash`.
pub(super) async fn trash(visit: Visit, Query(query): Query<Fields>) -> Response {
    let Some(session) = &visit.session else { return to_login() };
    let texts = visit.texts();
    let before = before(&query);
    let path = Scope::default().api(before.as_deref(), "mine=true&trash=true");
    let answer = visit.photos(&path).await.map(|page| {
        let body = pages::trash(texts, session, &page, before.is_some(), visit.notice(&query));
        visit.studio(texts.trash, body)
    });
    visit.answer(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_back_never_leaves_the_studio() {
        let back = |to: &str| way_back(&Fields(vec![("back".to_owned(), to.to_owned())]));
        assert_eq!(back("/admin?roll=k"), "/admin?roll=k");
        assert_eq!(back("/admin/trash"), "/admin/trash");
        for wrong in ["//evil.example", "https://evil.example/admin", "/adminx", "/admin?a\r\nb", ""] {
            assert_eq!(back(wrong), "/admin", "{wrong}");
        }
        assert_eq!(noticed("/admin?roll=k", "saved"), "/admin?roll=k&notice=saved");
    }
}
