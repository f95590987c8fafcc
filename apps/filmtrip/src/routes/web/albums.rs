//! Albums and trips, for everybody and in the studio.

use axum::Form;
use axum::extract::{Path, Query};
use axum::http::Method;
use axum::response::Response;

use super::backend::Failure;
use super::fields::{Fields, bad, is_key};
use super::lists::card;
use super::scope::{Scope, before};
use super::{Visit, done, to_login};
use crate::error::ApiError;
use crate::model::{Album, AlbumBody, AlbumKind, AlbumList, Photo, PhotoKeys, Visibility};
use crate::templates::public::List;
use crate::templates::{Card, albums as pages};

/// Most pages of an album that are read to put it in order: more than the API lets one hold.
const MOST_PAGES: usize = 100;

/// `GET /albums`.
pub(super) async fn index(visit: Visit) -> Response {
    let texts = visit.texts();
    let answer = visit.ask::<AlbumList>("/api/albums").await.map(|list| {
        let card = card(&visit, "/albums", texts.tagline, None);
        visit.public(texts.albums, &card, pages::index(texts, &list.albums))
    });
    visit.answer(answer)
}

/// `GET /a/{key}`.
pub(super) async fn page(visit: Visit, Path(key): Path<String>, Query(query): Query<Fields>) -> Response {
    if !is_key(&key) {
        return visit.missing();
    }
    let texts = visit.texts();
    let scope = Scope::one("album", &key);
    let before = before(&query);
    let read = async {
        let album: Album = visit.ask(&format!("/api/albums/{key}")).await?;
        let page = visit.photos(&scope.api(before.as_deref(), "")).await?;
        let path = format!("/a/{key}");
        let view = List {
            page: &page,
            path: &path,
            context: scope.query(),
            paged: before.is_some(),
            frames: false,
            none: texts.empty,
        };
        let card = Card {
            hidden: album.visibility != Visibility::Public,
            feed: Some(format!("{}/feed.xml?album={key}", visit.origin())),
            ..card(&visit, &path, &pages::describe(texts, &album), Some(&page))
        };
        Ok::<_, Failure>(visit.public(&album.title, &card, pages::page(texts, &album, &view)))
    };
    let answer = read.await;
    visit.answer(answer)
}

/// `GET /admin/albums`.
pub(super) async fn studio(visit: Visit, Query(query): Query<Fields>) -> Response {
    let Some(session) = &visit.session else { return to_login() };
    let texts = visit.texts();
    let answer = visit.ask::<AlbumList>("/api/albums?mine=true").await.map(|list| {
        visit.studio(texts.albums, pages::studio(texts, session, &list.albums, visit.notice(&query)))
    });
    visit.answer(answer)
}

fn body(form: &Fields) -> Result<AlbumBody, Failure> {
    let visibility =
        Visibility::parse(&form.line("visibility")).ok_or_else(|| bad("visibility is not known"))?;
    let kind = match form.line("kind").as_str() {
        "trip" => AlbumKind::Trip,
        _ => AlbumKind::Album,
    };
    Ok(AlbumBody {
        title: form.line("title"),
        description: form.line("description"),
        kind,
        visibility,
        starts_on: form.filled("starts_on"),
        ends_on: form.filled("ends_on"),
    })
}

/// `POST /admin/albums`.
pub(super) async fn create(visit: Visit, Form(form): Form<Fields>) -> Response {
    let answer = match body(&form) {
        Ok(body) => visit.change(Method::POST, "/api/albums", form.csrf(), Some(&body)).await,
        Err(failure) => Err(failure),
    };
    visit.answer(answer.map(|answer| done("/admin/albums?notice=album", &answer)))
}

/// `GET /admin/albums/{key}`.
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
        let album: Album = visit.ask(&format!("/api/albums/{key}")).await?;
        if !album.editable {
            return Err(Failure::from(ApiError::Forbidden));
        }
        let photos = all_photos(&visit, &key).await?;
        let body = pages::edit(texts, session, &album, &photos, visit.notice(&query));
        Ok(visit.studio(&album.title, body))
    };
    let answer = read.await;
    visit.answer(answer)
}

/// Every photo of an album, in its order.
async fn all_photos(visit: &Visit, key: &str) -> Result<Vec<Photo>, Failure> {
    let scope = Scope::one("album", key);
    let (mut photos, mut next) = (Vec::new(), None::<String>);
    for _ in 0..MOST_PAGES {
        let page = visit.photos(&scope.api(next.as_deref(), "limit=100")).await?;
        photos.extend(page.photos);
        next = page.next;
        if next.is_none() {
            return Ok(photos);
        }
    }
    // Saving the order of a part would drop the rest.
    Err(bad("the album is too large to be put in order"))
}

/// `POST /admin/albums/{key}`.
pub(super) async fn edit(visit: Visit, Path(key): Path<String>, Form(form): Form<Fields>) -> Response {
    if !is_key(&key) {
        return visit.missing();
    }
    let answer = match body(&form) {
        Ok(body) => visit.change(Method::PUT, &format!("/api/albums/{key}"), form.csrf(), Some(&body)).await,
        Err(failure) => Err(failure),
    };
    visit.answer(answer.map(|answer| done(&format!("/admin/albums/{key}?notice=saved"), &answer)))
}

/// `POST /admin/albums/{key}/photos`: the numbers say the order, ticked ones are taken out.
pub(super) async fn order(visit: Visit, Path(key): Path<String>, Form(form): Form<Fields>) -> Response {
    if !is_key(&key) {
        return visit.missing();
    }
    let path = format!("/api/albums/{key}/photos");
    let body = PhotoKeys { keys: in_order(&form) };
    let answer = visit.change(Method::PUT, &path, form.csrf(), Some(&body)).await;
    visit.answer(answer.map(|answer| done(&format!("/admin/albums/{key}?notice=saved"), &answer)))
}

/// Keys by their numbers; equal numbers stay as they are, a wrong number goes to the end.
fn in_order(form: &Fields) -> Vec<String> {
    let out = form.all("out");
    let orders = form.all("order");
    let number =
        |index: usize| orders.get(index).and_then(|o| o.trim().parse::<f64>().ok()).unwrap_or(f64::MAX);
    let mut keys: Vec<(f64, String)> =
        form.all("key").into_iter().enumerate().map(|(index, key)| (number(index), key)).collect();
    keys.sort_by(|a, b| a.0.total_cmp(&b.0));
    keys.into_iter().map(|(_, key)| key).filter(|key| !out.contains(key)).collect()
}

/// `POST /admin/albums/{key}/delete`.
pub(super) async fn delete(visit: Visit, Path(key): Path<String>, Form(form): Form<Fields>) -> Response {
    if !is_key(&key) {
        return visit.missing();
    }
    let answer = visit.change(Method::DELETE, &format!("/api/albums/{key}"), form.csrf(), None::<&()>).await;
    visit.answer(answer.map(|answer| done("/admin/albums?notice=deleted", &answer)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_say_the_order_and_ticked_ones_go() {
        let pairs = [
            ("key", "a"),
            ("order", "2"),
            ("key", "b"),
            ("order", "1.5"),
            ("key", "c"),
            ("order", "x"),
            ("key", "d"),
            ("order", "3"),
            ("out", "d"),
            ("key", "e"),
            ("order", "2"),
        ];
        let form = Fields(pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect());
        assert_eq!(in_order(&form), ["b", "a", "e", "c"]);
    }
}
