//! Rolls in the studio.

use axum::Form;
use axum::extract::{Path, Query};
use axum::http::Method;
use axum::response::Response;

use super::backend::Failure;
use super::fields::{Fields, bad, is_key};
use super::{Visit, done, to_login};
use crate::error::ApiError;
use crate::model::{FilmFormat, Gear, Roll, RollBody, RollList};
use crate::templates::rolls as pages;

/// `GET /admin/rolls`.
pub(super) async fn index(visit: Visit, Query(query): Query<Fields>) -> Response {
    let Some(session) = &visit.session else { return to_login() };
    let texts = visit.texts();
    let read = async {
        let list: RollList = visit.ask("/api/rolls").await?;
        let gear: Gear = visit.ask("/api/gear?mine=true").await?;
        let body = pages::index(texts, session, &list.rolls, &gear, visit.notice(&query));
        Ok(visit.studio(texts.rolls, body))
    };
    let answer = read.await;
    visit.answer(answer)
}

/// `POST /admin/rolls`.
pub(super) async fn create(visit: Visit, Form(form): Form<Fields>) -> Response {
    let answer = match body(&form) {
        Ok(body) => visit.change(Method::POST, "/api/rolls", form.csrf(), Some(&body)).await,
        Err(failure) => Err(failure),
    };
    visit.answer(answer.map(|answer| done("/admin/rolls?notice=roll", &answer)))
}

fn body(form: &Fields) -> Result<RollBody, Failure> {
    let format = match form.filled("format") {
        Some(text) => FilmFormat::parse(&text).ok_or_else(|| bad("the format is not known"))?,
        None => FilmFormat::default(),
    };
    Ok(RollBody {
        title: form.line("title"),
        film_stock: form.line("film_stock"),
        format,
        box_iso: form.parsed("box_iso")?,
        exposure_index: form.parsed("exposure_index")?,
        camera: form.line("camera"),
        lens: form.line("lens"),
        scanner: form.line("scanner"),
        lab: form.line("lab"),
        developer: form.line("developer"),
        loaded_on: form.filled("loaded_on"),
        unloaded_on: form.filled("unloaded_on"),
        notes: form.line("notes"),
    })
}

/// `GET /admin/rolls/{key}`.
pub(super) async fn edit_page(
    visit: Visit,
    Path(key): Path<String>,
    Query(query): Query<Fields>,
) -> Response {
    let Some(session) = &visit.session else { return to_login() };
    if !is_key(&key) {
        return visit.missing();
    }
    let texts = visit.texts();
    let read = async {
        let roll: Roll = visit.ask(&format!("/api/rolls/{key}")).await?;
        if !roll.editable {
            return Err(Failure::from(ApiError::Forbidden));
        }
        let gear: Gear = visit.ask("/api/gear?mine=true").await?;
        let body = pages::edit(texts, session, &roll, &gear, visit.notice(&query));
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
    let answer = match body(&form) {
        Ok(body) => visit.change(Method::PUT, &format!("/api/rolls/{key}"), form.csrf(), Some(&body)).await,
        Err(failure) => Err(failure),
    };
    visit.answer(answer.map(|answer| done(&format!("/admin/rolls/{key}?notice=saved"), &answer)))
}

/// `POST /admin/rolls/{key}/delete`.
pub(super) async fn delete(visit: Visit, Path(key): Path<String>, Form(form): Form<Fields>) -> Response {
    if !is_key(&key) {
        return visit.missing();
    }
    let answer = visit.change(Method::DELETE, &format!("/api/rolls/{key}"), form.csrf(), None::<&()>).await;
    visit.answer(answer.map(|answer| done("/admin/rolls?notice=deleted", &answer)))
}
