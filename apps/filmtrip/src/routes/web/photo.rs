//! One photo: its page, its short link, and the form that changes it.

use axum::Form;
use axum::extract::{Path, Query};
use axum::http::Method;
use axum::response::{IntoResponse, Redirect, Response};
use maud::Markup;
use serde::Deserialize;

use super::backend::Failure;
use super::fields::{Fields, is_key, wrong};
use super::lists::card;
use super::scope::Scope;
use super::{Visit, done};
use crate::error::ApiError;
use crate::model::{
    Gear, Location, Neighbours, NewReport, Photo, PhotoChange, Roll, SessionInfo, ShortLink, Visibility,
};
use crate::templates::edit as edit_form;
use crate::templates::feed::absolute;
use crate::templates::parts::{alt, mark, name};
use crate::templates::{Card, Script, photo as pages};

/// `GET /p/{key}?<list it is looked at in>`.
pub(super) async fn page(visit: Visit, Path(key): Path<String>, Query(query): Query<Fields>) -> Response {
    if !is_key(&key) {
        return visit.missing();
    }
    show(&visit, &key, &query, None).await
}

/// The page of a photo; with a report that was not taken, when there is one.
pub(super) async fn show(
    visit: &Visit,
    key: &str,
    query: &Fields,
    refused: Option<(&Failure, &NewReport, &str)>,
) -> Response {
    let texts = visit.texts();
    let scope = Scope::of(query);
    let photo: Photo = match visit.ask(&format!("/api/photos/{key}")).await {
        Ok(photo) => photo,
        Err(failure) => return visit.failed(&failure),
    };
    let join = if scope.query().is_empty() { "" } else { "?" };
    let beside = format!("/api/photos/{key}/neighbours{join}{}", scope.query());
    // A list that is gone, or one with nothing beside the photo: the photo shows all the same.
    let beside: Neighbours = visit.ask(&beside).await.unwrap_or_default();
    let origin = visit.origin();
    let large = &photo.images.large;
    let card = Card {
        image: Some((absolute(&origin, &large.url), large.width, large.height)),
        image_alt: alt(texts, &photo),
        photo: true,
        hidden: photo.visibility != Visibility::Public,
        ..card(visit, &format!("/p/{key}"), &describe(&photo), None)
    };
    let view = pages::View {
        photo: &photo,
        beside: &beside,
        context: scope.query(),
        origin: &origin,
        session: visit.session.as_ref(),
        notice: visit.notice(query),
        refused: refused.map(|(_, report, problem)| (report, problem)),
    };
    let (title, body) = (name(texts, &photo), pages::page(texts, &view));
    match refused {
        None => visit.public(title, &card, body),
        Some((failure, ..)) => {
            let body = match failure.field.as_deref() {
                Some(field) => mark(&body, &format!("/p/{key}/report"), field),
                None => body,
            };
            visit.page(failure.status, title, &[Script::Site], Some(&card), body)
        }
    }
}

/// Caption, else what it was made with.
fn describe(photo: &Photo) -> String {
    if !photo.caption.is_empty() {
        return photo.caption.chars().take(300).collect();
    }
    let parts = [&photo.film_stock, &photo.camera, &photo.lens, &photo.place];
    parts.into_iter().filter(|p| !p.is_empty()).map(String::as_str).collect::<Vec<_>>().join(" · ")
}

#[derive(Debug, Deserialize)]
struct ShortTarget {
    key: String,
}

/// `GET /s/{code}`.
pub(super) async fn short(visit: Visit, Path(code): Path<String>) -> Response {
    if !is_key(&code) {
        return visit.missing();
    }
    match visit.ask::<ShortTarget>(&format!("/api/short/{code}")).await {
        Ok(target) if is_key(&target.key) => {
            Redirect::temporary(&format!("/p/{}", target.key)).into_response()
        }
        Ok(_) => visit.missing(),
        Err(failure) => visit.failed(&failure),
    }
}

/// `POST /admin/photos/{key}/short`.
pub(super) async fn make_short(visit: Visit, Path(key): Path<String>, Form(form): Form<Fields>) -> Response {
    if !is_key(&key) {
        return visit.missing();
    }
    let path = format!("/api/photos/{key}/short");
    let answer = match visit.change(Method::POST, &path, form.csrf(), None::<&()>).await {
        Ok(answer) => super::backend::json::<ShortLink>(answer).await,
        Err(failure) => Err(failure),
    };
    visit.answer(answer.map(|_| Redirect::to(&format!("/p/{key}")).into_response()))
}

/// `GET /admin/photos/{key}`.
pub(super) async fn edit_page(
    visit: Visit,
    Path(key): Path<String>,
    Query(query): Query<Fields>,
) -> Response {
    let Some(session) = visit.session.clone() else { return visit.to_login() };
    if !is_key(&key) {
        return visit.missing();
    }
    let answer = form_of(&visit, &session, &key, visit.notice(&query), None).await;
    visit.answer(answer.map(|body| visit.studio(visit.texts().edit, body)))
}

/// The form of a photo: as it is, or as it was written and refused.
async fn form_of(
    visit: &Visit,
    session: &SessionInfo,
    key: &str,
    notice: Option<&str>,
    refused: Option<(&Fields, &str)>,
) -> Result<Markup, Failure> {
    let mut photo: Photo = visit.ask(&format!("/api/photos/{key}")).await?;
    if !photo.editable {
        return Err(ApiError::Forbidden.into());
    }
    let rolls = visit.rolls().await?;
    let gear: Gear = visit.ask("/api/gear?mine=true").await?;
    let degrees = photo.location.map(|l| (l.lat.to_string(), l.lon.to_string())).unwrap_or_default();
    let mut place =
        edit_form::Place { lat: degrees.0, lon: degrees.1, shown: photo.location.is_some_and(|l| l.shown) };
    if let Some((form, _)) = refused {
        write_into(&mut photo, form, &rolls);
        place =
            edit_form::Place { lat: form.line("lat"), lon: form.line("lon"), shown: form.ticked("shown") };
    }
    let view = edit_form::View {
        session,
        photo: &photo,
        place: &place,
        rolls: &rolls,
        gear: &gear,
        notice,
        problem: refused.map(|(_, problem)| problem),
    };
    Ok(edit_form::page(visit.texts(), &view))
}

/// What a form says of a photo, right or wrong, so that the form can be shown again.
fn write_into(photo: &mut Photo, form: &Fields, rolls: &[Roll]) {
    let roll = form.line("roll");
    photo.roll = rolls.iter().find(|r| r.key == roll).cloned();
    let own = |name: &str, of_roll: fn(&Roll) -> &String| {
        form.filled(name).unwrap_or_else(|| photo.roll.as_ref().map(of_roll).cloned().unwrap_or_default())
    };
    photo.film_stock = own("film_stock", |r| &r.film_stock);
    photo.camera = own("camera", |r| &r.camera);
    photo.lens = own("lens", |r| &r.lens);
    photo.title = form.line("title");
    photo.caption = form.line("caption");
    photo.place = form.line("place");
    photo.visibility = Visibility::parse(&form.line("visibility")).unwrap_or(photo.visibility);
    photo.tags = form.list("tags");
    photo.frame = form.parsed("frame").ok().flatten();
    photo.taken_at = moment(form);
}

/// `POST /admin/photos/{key}`.
pub(super) async fn edit(visit: Visit, Path(key): Path<String>, Form(form): Form<Fields>) -> Response {
    if !is_key(&key) {
        return visit.missing();
    }
    let page = format!("/admin/photos/{key}");
    let saved = match change(&form) {
        Ok(change) => {
            visit.change(Method::PATCH, &format!("/api/photos/{key}"), form.csrf(), Some(&change)).await
        }
        Err(failure) => Err(failure),
    };
    let failure = match saved {
        Ok(answer) => return done(&format!("{page}?notice=saved"), &answer),
        Err(failure) => failure,
    };
    let problem = visit.problem(&failure);
    let again = async {
        let session = visit.session.as_ref().ok_or(ApiError::Unauthenticated)?;
        let body = form_of(&visit, session, &key, None, Some((&form, &problem))).await?;
        Ok(visit.studio_again(&failure, visit.texts().edit, &page, body))
    };
    visit.refused(&failure, &form, again).await
}

/// Only fields that the form has are changed; an empty one clears.
fn change(form: &Fields) -> Result<PhotoChange, Failure> {
    let visibility = match form.filled("visibility") {
        Some(text) => Some(Visibility::parse(&text).ok_or_else(|| wrong("visibility", "is not known"))?),
        None => None,
    };
    let frame = match form.raw("frame") {
        Some(_) => Some(form.parsed("frame")?),
        None => None,
    };
    Ok(PhotoChange {
        title: form.text("title"),
        caption: form.text("caption"),
        visibility,
        roll: form.raw("roll").map(|_| form.filled("roll")),
        frame,
        film_stock: form.text("film_stock"),
        camera: form.text("camera"),
        lens: form.text("lens"),
        place: form.text("place"),
        taken_at: form.raw("day").map(|_| moment(form)),
        location: location(form)?,
        tags: form.raw("tags").map(|_| form.list("tags")),
    })
}

fn moment(form: &Fields) -> Option<String> {
    let day = form.filled("day")?;
    match form.filled("time") {
        // Browsers leave seconds out when they are zero.
        Some(time) if time.len() == 5 => Some(format!("{day}T{time}:00")),
        Some(time) => Some(format!("{day}T{time}")),
        None => Some(day),
    }
}

fn location(form: &Fields) -> Result<Option<Option<Location>>, Failure> {
    if form.raw("lat").is_none() && form.raw("lon").is_none() {
        return Ok(None);
    }
    match (form.parsed::<f64>("lat")?, form.parsed::<f64>("lon")?) {
        (None, None) => Ok(Some(None)),
        (Some(lat), Some(lon)) if lat.abs() <= 90.0 && lon.abs() <= 180.0 => {
            Ok(Some(Some(Location { lat, lon, shown: form.ticked("shown") })))
        }
        (Some(_), None) => Err(wrong("lon", "is missing: a place needs latitude and longitude")),
        (Some(_), Some(lon)) if lon.abs() > 180.0 => Err(wrong("lon", "is no longitude")),
        _ => Err(wrong("lat", "is missing, or no latitude")),
    }
}

/// `POST /admin/photos/{key}/delete`: into the trash.
pub(super) async fn delete(visit: Visit, Path(key): Path<String>, Form(form): Form<Fields>) -> Response {
    if !is_key(&key) {
        return visit.missing();
    }
    let answer = visit.change(Method::DELETE, &format!("/api/photos/{key}"), form.csrf(), None::<&()>).await;
    visit.answer(answer.map(|answer| done("/admin?notice=trashed", &answer)))
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;

    use super::*;

    fn form(pairs: &[(&str, &str)]) -> Fields {
        Fields(pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect())
    }

    #[test]
    fn what_the_form_does_not_have_stays() {
        let only = change(&form(&[("title", "Dawn")])).expect("change");
        assert_eq!(only, PhotoChange { title: Some("Dawn".to_owned()), ..PhotoChange::default() });
    }

    #[test]
    fn empty_fields_clear() {
        let all = form(&[
            ("roll", ""),
            ("frame", ""),
            ("day", ""),
            ("time", "18:30"),
            ("lat", ""),
            ("lon", ""),
            ("tags", ""),
        ]);
        let change = change(&all).expect("change");
        assert_eq!((change.roll, change.frame, change.taken_at), (Some(None), Some(None), Some(None)));
        assert_eq!((change.location, change.tags), (Some(None), Some(Vec::new())));
    }

    #[test]
    fn time_and_place_are_put_together() {
        let all = form(&[("day", "2026-05-01"), ("time", "18:30"), ("lat", "35.01"), ("lon", "135.77")]);
        let change = change(&all).expect("change");
        assert_eq!(change.taken_at, Some(Some("2026-05-01T18:30:00".to_owned())));
        assert_eq!(change.location, Some(Some(Location { lat: 35.01, lon: 135.77, shown: false })));
        let half = super::change(&form(&[("lat", "35"), ("lon", "")])).expect_err("half a place");
        assert_eq!(half.status, StatusCode::BAD_REQUEST);
        assert!(super::change(&form(&[("lat", "91"), ("lon", "0")])).is_err());
    }
}
