//! The studio: upload, own photos, bulk edit, trash.

use std::net::SocketAddr;

use axum::Form;
use axum::extract::{ConnectInfo, Path, Query, Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use maud::Markup;

use super::backend::{copy, forwarded, json};
use super::fields::{Fields, bad, is_key};
use super::scope::{Scope, before};
use super::{Failure, Shared, Visit, done};
use crate::auth::session;
use crate::error::ApiError;
use crate::model::{
    BulkAction, BulkBody, ErrorBody, FrameOrder, Gear, PhotoChange, Removed, RemovedKind, RemovedList,
    SessionInfo, UploadRules, Uploaded, Visibility,
};
use crate::templates::parts::enc;
use crate::templates::studio as pages;

/// `GET /admin`.
pub(super) async fn page(visit: Visit, Query(query): Query<Fields>) -> Response {
    let Some(session) = visit.session.clone() else { return visit.to_login() };
    let answer = show(&visit, &session, &query, None).await;
    visit.answer(answer.map(|body| visit.studio(visit.texts().back_office, body)))
}

/// The studio; with the form for many photos as it was written, when it was refused.
async fn show(
    visit: &Visit,
    session: &SessionInfo,
    query: &Fields,
    refused: Option<(&Fields, &str)>,
) -> Result<Markup, Failure> {
    let texts = visit.texts();
    let scope = Scope::of(query);
    let before = before(query);
    let more = ["mine=true", scope.limit()].into_iter().filter(|p| !p.is_empty()).collect::<Vec<_>>();
    let path = scope.api(before.as_deref(), &more.join("&"));
    let (page, rolls, gear, rules) = tokio::try_join!(
        visit.photos(&path),
        visit.rolls(),
        visit.ask::<Gear>("/api/gear?mine=true"),
        visit.ask::<UploadRules>("/api/uploads/rules"),
    )?;
    let albums = match page.features.albums {
        true => Some(visit.own_albums().await?),
        false => None,
    };
    let path =
        if scope.query().is_empty() { "/admin".to_owned() } else { format!("/admin?{}", scope.query()) };
    // After a change one is back on the same page of the list.
    let back = match &before {
        Some(before) => join(&path, &format!("before={}", enc(before))),
        None => path.clone(),
    };
    let roll = query.filled("roll");
    let view = pages::Studio {
        session,
        page: &page,
        rolls: &rolls,
        albums: albums.as_deref(),
        gear: &gear,
        rules: &rules,
        visibility: remembered(visit),
        bulk: refused.map(|(form, _)| written(form)).unwrap_or_default(),
        roll: roll.as_deref(),
        words: &query.line("q"),
        path: &path,
        back: &back,
        paged: before.is_some(),
        notice: visit.notice(query),
        problem: refused.map(|(_, problem)| problem),
    };
    Ok(pages::page(texts, &view))
}

/// The form for many photos as it was written.
fn written(form: &Fields) -> pages::Bulk {
    pages::Bulk {
        keys: form.all("key"),
        add_tags: form.line("add_tags"),
        remove_tags: form.line("remove_tags"),
        roll: form.line("roll"),
        album: form.line("album"),
        visibility: Visibility::parse(&form.line("visibility")),
        day: form.filled("day"),
        place: form.line("place"),
        film_stock: form.line("film_stock"),
        camera: form.line("camera"),
        lens: form.line("lens"),
        frames_from: form.line("frames_from"),
        frames_order: form.line("frames_order"),
    }
}

/// Who could see what was uploaded last from this browser: the next batch is most often for the same people.
fn remembered(visit: &Visit) -> Visibility {
    let cookie = session::cookie(&visit.caller.headers, VISIBILITY_COOKIE);
    cookie.and_then(Visibility::parse).unwrap_or_default()
}

/// The upload's script writes it, too.
const VISIBILITY_COOKIE: &str = "filmtrip_visibility";

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
            let mut response = Redirect::to(&format!("/admin?notice={notice}")).into_response();
            let chosen = uploaded.photos.iter().find(|p| !p.duplicate).map(|p| p.visibility.as_str());
            let cookie = chosen.and_then(|v| {
                let cookie = format!("{VISIBILITY_COOKIE}={v}; Path=/admin; Max-Age=31536000; SameSite=Lax");
                HeaderValue::from_str(&cookie).ok()
            });
            if let Some(cookie) = cookie {
                response.headers_mut().append(header::SET_COOKIE, cookie);
            }
            response
        });
        return visit.answer(answer);
    }
    match json::<ErrorBody>(answer).await {
        Ok(e) => visit.failed(&(status, e.error).into()),
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
    let sent = match bulk_body(&form, keys, action) {
        Ok(body) => visit.change(Method::POST, "/api/photos/bulk", form.csrf(), Some(&body)).await,
        Err(failure) => Err(failure),
    };
    let failure = match sent {
        Ok(answer) => return done(&noticed(&back, notice), &answer),
        Err(failure) => failure,
    };
    let problem = visit.problem(&failure);
    let again = async {
        let session = visit.session.as_ref().ok_or(ApiError::Unauthenticated)?;
        let query = Fields::of_path(&back);
        let page = show(&visit, session, &query, Some((&form, &problem))).await?;
        Ok(visit.studio_again(&failure, visit.texts().back_office, "/admin/bulk", page))
    };
    visit.refused(&failure, &form, again).await
}

/// What a form asks for. An empty field changes nothing.
fn bulk_body(form: &Fields, mut keys: Vec<String>, action: BulkAction) -> Result<BulkBody, Failure> {
    let change = action == BulkAction::Change;
    let filled = |name: &str| form.filled(name).filter(|_| change);
    let frames_from = if change { form.parsed("frames_from")? } else { None };
    let frames_order = match form.line("frames_order").as_str() {
        _ if frames_from.is_none() => FrameOrder::Keys,
        "names" => FrameOrder::Names,
        "reversed" => {
            keys.reverse();
            FrameOrder::Keys
        }
        _ => FrameOrder::Keys,
    };
    Ok(BulkBody {
        keys,
        action,
        change: PhotoChange {
            roll: filled("roll").map(|roll| Some(roll).filter(|r| r != "none")),
            visibility: filled("visibility").and_then(|v| Visibility::parse(&v)),
            taken_at: filled("day").map(Some),
            place: filled("place"),
            film_stock: filled("film_stock"),
            camera: filled("camera"),
            lens: filled("lens"),
            ..PhotoChange::default()
        },
        add_tags: if change { form.list("add_tags") } else { Vec::new() },
        remove_tags: if change { form.list("remove_tags") } else { Vec::new() },
        album: filled("album"),
        frames_from,
        frames_order,
    })
}

/// Back to the list that the form was on; only ever to the studio.
fn way_back(form: &Fields) -> String {
    let back = form.line("back");
    let path = back.split('?').next().unwrap_or_default();
    let plain = back.bytes().all(|b| b.is_ascii_graphic() && b != b'\\');
    if plain && matches!(path, "/admin" | "/admin/trash") { back } else { "/admin".to_owned() }
}

fn noticed(path: &str, notice: &str) -> String {
    join(path, &format!("notice={notice}"))
}

fn join(path: &str, parameter: &str) -> String {
    let join = if path.contains('?') { '&' } else { '?' };
    format!("{path}{join}{parameter}")
}

/// `GET /admin/trash`.
pub(super) async fn trash(visit: Visit, Query(query): Query<Fields>) -> Response {
    let Some(session) = &visit.session else { return visit.to_login() };
    let texts = visit.texts();
    let before = before(&query);
    let path = Scope::default().api(before.as_deref(), "mine=true&trash=true");
    let things = query.filled("things").filter(|key| is_key(key));
    let after = things.as_deref().map(|key| format!("?before={key}")).unwrap_or_default();
    let read = async {
        let page = visit.photos(&path).await?;
        let removed = match visit.ask::<RemovedList>(&format!("/api/trash{after}")).await {
            // An API of the release before knows of photos only.
            Err(failure) if failure.status == StatusCode::NOT_FOUND => RemovedList::default(),
            other => other?,
        };
        let view = pages::Trash {
            session,
            page: &page,
            removed: &removed,
            paged: (before.is_some(), things.is_some()),
            notice: visit.notice(&query),
        };
        Ok(visit.studio(texts.trash, pages::trash(texts, &view)))
    };
    let answer = read.await;
    visit.answer(answer)
}

/// `POST /admin/trash/{key}`: a roll or an album comes back, or goes for ever.
pub(super) async fn untrash(visit: Visit, Path(key): Path<String>, Form(form): Form<Fields>) -> Response {
    if !is_key(&key) {
        return visit.missing();
    }
    let path = format!("/api/trash/{key}");
    let answer = match form.raw("action") {
        Some("restore") => {
            let back = visit.change(Method::POST, &format!("{path}/restore"), form.csrf(), None::<&()>).await;
            let back = match back {
                Ok(answer) => json::<Removed>(answer).await,
                Err(failure) => Err(failure),
            };
            back.map(|thing| {
                let kind = match thing.kind {
                    RemovedKind::Roll => "rolls",
                    RemovedKind::Album => "albums",
                };
                Redirect::to(&format!("/admin/{kind}/{}?notice=restored", enc(&thing.key))).into_response()
            })
        }
        Some("delete") if form.ticked("sure") => {
            let gone = visit.change(Method::DELETE, &path, form.csrf(), None::<&()>).await;
            gone.map(|answer| done("/admin/trash?notice=deleted", &answer))
        }
        Some("delete") if visit.session.is_some() => {
            Ok(Redirect::to("/admin/trash?notice=unsure").into_response())
        }
        Some("delete") => Err(ApiError::Unauthenticated.into()),
        _ => Err(bad("the action is not known")),
    };
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
