//! Rolls in the studio.

use axum::Form;
use axum::extract::{Path, Query};
use axum::http::Method;
use axum::response::{IntoResponse, Redirect, Response};
use maud::Markup;

use super::albums::a_page;
use super::backend::{Failure, json};
use super::fields::{Fields, is_key, wrong};
use super::scope::before;
use super::{Visit, done};
use crate::error::ApiError;
use crate::model::{FilmFormat, Gear, Roll, RollBody, RollList, SessionInfo};
use crate::templates::parts::enc;
use crate::templates::rolls as pages;

/// `GET /admin/rolls`; with `like=` the form of a new roll begins as that one.
pub(super) async fn index(visit: Visit, Query(query): Query<Fields>) -> Response {
    let Some(session) = &visit.session else { return visit.to_login() };
    let texts = visit.texts();
    let read = async {
        let new = match query.filled("like").filter(|key| is_key(key)) {
            Some(key) => Some(like(visit.ask(&format!("/api/rolls/{key}")).await?)),
            None => None,
        };
        let body = shelf(&visit, session, &query, new.as_ref(), None).await?;
        Ok(visit.studio(texts.rolls, body))
    };
    let answer = read.await;
    visit.answer(answer)
}

/// The rolls, and the form of a new one.
async fn shelf(
    visit: &Visit,
    session: &SessionInfo,
    query: &Fields,
    new: Option<&Roll>,
    problem: Option<&str>,
) -> Result<Markup, Failure> {
    let before = before(query);
    let list: RollList = visit.ask(&a_page("/api/rolls", before.as_deref())).await?;
    let gear: Gear = visit.ask("/api/gear?mine=true").await?;
    let undo = query.filled("undo").filter(|key| is_key(key));
    let view = pages::Shelf {
        session,
        list: &list,
        paged: before.is_some(),
        gear: &gear,
        new,
        notice: visit.notice(query),
        undo: undo.as_deref(),
        problem,
    };
    Ok(pages::index(visit.texts(), &view))
}

/// What the next roll has in common with one.
fn like(roll: Roll) -> Roll {
    Roll {
        key: String::new(),
        title: String::new(),
        loaded_on: None,
        unloaded_on: None,
        notes: String::new(),
        photos: None,
        ..roll
    }
}

/// `POST /admin/rolls`: and on to filling it.
pub(super) async fn create(visit: Visit, Form(form): Form<Fields>) -> Response {
    let made = match body(&form) {
        Ok(body) => visit.change(Method::POST, "/api/rolls", form.csrf(), Some(&body)).await,
        Err(failure) => Err(failure),
    };
    let made = match made {
        Ok(answer) => json::<Roll>(answer).await,
        Err(failure) => Err(failure),
    };
    let failure = match made {
        Ok(roll) => {
            return Redirect::to(&format!("/admin?roll={}&notice=roll", enc(&roll.key))).into_response();
        }
        Err(failure) => failure,
    };
    let (texts, problem) = (visit.texts(), visit.problem(&failure));
    let again = async {
        let session = visit.session.as_ref().ok_or(ApiError::Unauthenticated)?;
        let page = shelf(&visit, session, &Fields::default(), Some(&written(&form)), Some(&problem)).await?;
        Ok(visit.studio_again(&failure, texts.rolls, "/admin/rolls", page))
    };
    visit.refused(&failure, &form, again).await
}

/// A roll as a form has it, right or wrong.
fn written(form: &Fields) -> Roll {
    let number = |name| form.parsed(name).ok().flatten();
    Roll {
        title: form.line("title"),
        film_stock: form.line("film_stock"),
        format: FilmFormat::parse(&form.line("format")).unwrap_or_default(),
        box_iso: number("box_iso"),
        exposure_index: number("exposure_index"),
        camera: form.line("camera"),
        lens: form.line("lens"),
        scanner: form.line("scanner"),
        lab: form.line("lab"),
        developer: form.line("developer"),
        loaded_on: form.filled("loaded_on"),
        unloaded_on: form.filled("unloaded_on"),
        notes: form.line("notes"),
        ..Roll::default()
    }
}

fn body(form: &Fields) -> Result<RollBody, Failure> {
    let format = match form.filled("format") {
        Some(text) => FilmFormat::parse(&text).ok_or_else(|| wrong("format", "is not known"))?,
        None => FilmFormat::default(),
    };
    let (box_iso, exposure_index) = (form.parsed("box_iso")?, form.parsed("exposure_index")?);
    let Roll {
        title, film_stock, camera, lens, scanner, lab, developer, loaded_on, unloaded_on, notes, ..
    } = written(form);
    Ok(RollBody {
        title,
        film_stock,
        format,
        box_iso,
        exposure_index,
        camera,
        lens,
        scanner,
        lab,
        developer,
        loaded_on,
        unloaded_on,
        notes,
    })
}

/// A roll that the visitor may change.
async fn editable(visit: &Visit, path: &str) -> Result<Roll, Failure> {
    let roll: Roll = visit.ask(path).await?;
    if roll.editable { Ok(roll) } else { Err(ApiError::Forbidden.into()) }
}

/// `GET /admin/rolls/{key}`.
pub(super) async fn edit_page(
    visit: Visit,
    Path(key): Path<String>,
    Query(query): Query<Fields>,
) -> Response {
    let Some(session) = &visit.session else { return visit.to_login() };
    if !is_key(&key) {
        return visit.missing();
    }
    let texts = visit.texts();
    let read = async {
        let roll = editable(&visit, &format!("/api/rolls/{key}")).await?;
        let gear: Gear = visit.ask("/api/gear?mine=true").await?;
        let body = pages::edit(texts, session, &roll, &gear, visit.notice(&query), None, visit.undo());
        Ok(visit.studio(&roll.title, body))
    };
    let answer = read.await;
    visit.answer(answer)
}

/// `POST /admin/rolls/{key}`.
pub(super) async fn edit(visit: Visit, Path(key): Path<String>, Form(form): Form<Fields>) -> Response {
    if !is_key(&key) {
        return visit.missing();
    }
    let (page, path) = (format!("/admin/rolls/{key}"), format!("/api/rolls/{key}"));
    let saved = match body(&form) {
        Ok(body) => visit.change(Method::PUT, &path, form.csrf(), Some(&body)).await,
        Err(failure) => Err(failure),
    };
    let failure = match saved {
        Ok(answer) => return done(&format!("{page}?notice=saved"), &answer),
        Err(failure) => failure,
    };
    let (texts, problem) = (visit.texts(), visit.problem(&failure));
    let again = async {
        let session = visit.session.as_ref().ok_or(ApiError::Unauthenticated)?;
        let roll = editable(&visit, &path).await?;
        let gear: Gear = visit.ask("/api/gear?mine=true").await?;
        let roll = Roll { key: roll.key, photos: roll.photos, editable: true, ..written(&form) };
        let body = pages::edit(texts, session, &roll, &gear, None, Some(&problem), visit.undo());
        Ok(visit.studio_again(&failure, &roll.title, &page, body))
    };
    visit.refused(&failure, &form, again).await
}

/// `POST /admin/rolls/{key}/delete`.
pub(super) async fn delete(visit: Visit, Path(key): Path<String>, Form(form): Form<Fields>) -> Response {
    let path = format!("/api/rolls/{key}");
    visit.delete("rolls", &key, &form, editable(&visit, &path)).await
}
