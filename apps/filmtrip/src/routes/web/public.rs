//! Pages for everybody: the grid, a roll, one photo.

use axum::extract::{Path, Query, State};
use axum::response::Response;
use serde::Deserialize;

use super::{Shared, Visit};
use crate::model::{Photo, PhotoPage};
use crate::storage::is_key;
use crate::templates;

#[derive(Debug, Deserialize)]
pub(super) struct PageQuery {
    before: Option<String>,
}

/// Only the form of a key ever gets into a URL to the API.
fn before(query: &PageQuery) -> Option<&str> {
    query.before.as_deref().filter(|key| is_key(key))
}

/// `GET /`.
pub(super) async fn home(State(web): Shared, visit: Visit, Query(query): Query<PageQuery>) -> Response {
    let path = match before(&query) {
        Some(key) => format!("/api/photos?before={key}"),
        None => "/api/photos".to_owned(),
    };
    match web.backend.ask::<PhotoPage>(&visit.caller, &path).await {
        Ok(page) => {
            let texts = visit.lang.texts();
            let body = templates::public::home(texts, &page, before(&query).is_some());
            visit.ok("FilmTrip", body)
        }
        Err(failure) => visit.failed(&failure),
    }
}

/// `GET /r/{key}`: the public photos of a roll.
pub(super) async fn roll(
    State(web): Shared,
    visit: Visit,
    Path(key): Path<String>,
    Query(query): Query<PageQuery>,
) -> Response {
    if !is_key(&key) {
        return super::missing(visit).await;
    }
    let mut path = format!("/api/photos?roll={key}");
    if let Some(before) = before(&query) {
        path.push_str("&before=");
        path.push_str(before);
    }
    match web.backend.ask::<PhotoPage>(&visit.caller, &path).await {
        // A roll without public photos is as if it were not there.
        Ok(page) => match page.photos.first().and_then(|p| p.roll.clone()) {
            Some(roll) => visit.ok(&roll.title, templates::public::roll(visit.lang.texts(), &roll, &page)),
            None => super::missing(visit).await,
        },
        Err(failure) => visit.failed(&failure),
    }
}

/// `GET /p/{key}`.
pub(super) async fn photo(State(web): Shared, visit: Visit, Path(key): Path<String>) -> Response {
    if !is_key(&key) {
        return super::missing(visit).await;
    }
    match web.backend.ask::<Photo>(&visit.caller, &format!("/api/photos/{key}")).await {
        Ok(photo) => {
            let texts = visit.lang.texts();
            let title = if photo.title.is_empty() { texts.untitled } else { &photo.title };
            visit.ok(title, templates::public::photo(texts, &photo))
        }
        Err(failure) => visit.failed(&failure),
    }
}
