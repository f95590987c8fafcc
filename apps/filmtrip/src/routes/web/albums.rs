//! Albums and trips, for everybody and in the studio.

use std::collections::HashMap;

use axum::Form;
use axum::extract::{Path, Query};
use axum::http::Method;
use axum::response::Response;
use maud::Markup;

use super::backend::Failure;
use super::fields::{Fields, bad, is_key, wrong};
use super::lists::card;
use super::scope::{Scope, before};
use super::{Visit, done};
use crate::error::ApiError;
use crate::model::{Album, AlbumBody, AlbumKind, AlbumList, Photo, PhotoKeys, SessionInfo, Visibility};
use crate::templates::parts::enc;
use crate::templates::public::List;
use crate::templates::{Card, albums as pages};

/// Most pages of an album that are read to put it in order: more than the API lets one hold.
const MOST_PAGES: usize = 100;
/// Albums or rolls of a page.
const PAGE: u32 = 48;

/// `GET /albums`.
pub(super) async fn index(visit: Visit, Query(query): Query<Fields>) -> Response {
    let texts = visit.texts();
    let before = before(&query);
    let answer = visit.ask::<AlbumList>(&a_page("/api/albums", before.as_deref())).await.map(|list| {
        let card = card(&visit, "/albums", texts.tagline, None);
        visit.public(texts.albums, &card, pages::index(texts, &list, before.is_some()))
    });
    visit.answer(answer)
}

/// A page of a list of the API that has not only photos.
pub(super) fn a_page(list: &str, before: Option<&str>) -> String {
    let join = if list.contains('?') { '&' } else { '?' };
    let before = before.map(|b| format!("&before={}", enc(b))).unwrap_or_default();
    format!("{list}{join}limit={PAGE}{before}")
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
    let Some(session) = &visit.session else { return visit.to_login() };
    let answer = shelf(&visit, session, &query, None, None).await;
    visit.answer(answer.map(|body| visit.studio(visit.texts().albums, body)))
}

/// The albums, and the form of a new one.
async fn shelf(
    visit: &Visit,
    session: &SessionInfo,
    query: &Fields,
    new: Option<&Album>,
    problem: Option<&str>,
) -> Result<Markup, Failure> {
    let before = before(query);
    let list: AlbumList = visit.ask(&a_page("/api/albums?mine=true", before.as_deref())).await?;
    let undo = query.filled("undo").filter(|key| is_key(key));
    let view = pages::Shelf {
        session,
        list: &list,
        paged: before.is_some(),
        new,
        notice: visit.notice(query),
        undo: undo.as_deref(),
        problem,
    };
    Ok(pages::studio(visit.texts(), &view))
}

/// An album as a form has it, right or wrong.
fn written(form: &Fields) -> Album {
    Album {
        title: form.line("title"),
        description: form.line("description"),
        kind: kind(form),
        visibility: Visibility::parse(&form.line("visibility")).unwrap_or_default(),
        starts_on: form.filled("starts_on"),
        ends_on: form.filled("ends_on"),
        ..Album::default()
    }
}

fn kind(form: &Fields) -> AlbumKind {
    match form.line("kind").as_str() {
        "trip" => AlbumKind::Trip,
        _ => AlbumKind::Album,
    }
}

fn body(form: &Fields) -> Result<AlbumBody, Failure> {
    let visibility = Visibility::parse(&form.line("visibility"));
    let visibility = visibility.ok_or_else(|| wrong("visibility", "is not known"))?;
    let Album { title, description, kind, starts_on, ends_on, .. } = written(form);
    Ok(AlbumBody { title, description, kind, visibility, starts_on, ends_on })
}

/// `POST /admin/albums`.
pub(super) async fn create(visit: Visit, Form(form): Form<Fields>) -> Response {
    let made = match body(&form) {
        Ok(body) => visit.change(Method::POST, "/api/albums", form.csrf(), Some(&body)).await,
        Err(failure) => Err(failure),
    };
    let failure = match made {
        Ok(answer) => return done("/admin/albums?notice=album", &answer),
        Err(failure) => failure,
    };
    let (texts, problem) = (visit.texts(), visit.problem(&failure));
    let again = async {
        let session = visit.session.as_ref().ok_or(ApiError::Unauthenticated)?;
        let page = shelf(&visit, session, &Fields::default(), Some(&written(&form)), Some(&problem)).await?;
        Ok(visit.studio_again(&failure, texts.albums, "/admin/albums", page))
    };
    visit.refused(&failure, &form, again).await
}

/// An album that the visitor may change.
async fn editable(visit: &Visit, path: &str) -> Result<Album, Failure> {
    let album: Album = visit.ask(path).await?;
    if album.editable { Ok(album) } else { Err(ApiError::Forbidden.into()) }
}

/// `GET /admin/albums/{key}`.
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
        let album = editable(&visit, &format!("/api/albums/{key}")).await?;
        let photos = all_photos(&visit, &key).await?;
        let body = pages::edit(texts, session, &album, &photos, visit.notice(&query), None, visit.undo());
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
    let (page, path) = (format!("/admin/albums/{key}"), format!("/api/albums/{key}"));
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
        let album = editable(&visit, &path).await?;
        let photos = all_photos(&visit, &key).await?;
        let album = Album { key: album.key, photos: album.photos, editable: true, ..written(&form) };
        let body = pages::edit(texts, session, &album, &photos, None, Some(&problem), visit.undo());
        Ok(visit.studio_again(&failure, &album.title, &page, body))
    };
    visit.refused(&failure, &form, again).await
}

/// `POST /admin/albums/{key}/photos`: the numbers say the order, ticked ones are taken out.
pub(super) async fn order(visit: Visit, Path(key): Path<String>, Form(form): Form<Fields>) -> Response {
    if !is_key(&key) {
        return visit.missing();
    }
    let path = format!("/api/albums/{key}/photos");
    let write = async {
        let mut keys = in_order(&form);
        if let Some(sort) = form.filled("sort") {
            sort_keys(&mut keys, &all_photos(&visit, &key).await?, sort == "date");
        }
        visit.change(Method::PUT, &path, form.csrf(), Some(&PhotoKeys { keys })).await
    };
    match write.await {
        Ok(answer) => done(&format!("/admin/albums/{key}?notice=saved"), &answer),
        Err(failure) => {
            let again = async { Err(failure.clone()) };
            visit.refused(&failure, &form, again).await
        }
    }
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

/// Puts keys in the order that their photos were taken in: by date where it is known, and by roll and frame. What is
/// known of neither stays behind the others in its order.
fn sort_keys(keys: &mut [String], photos: &[Photo], by_date: bool) {
    // What is not known comes last.
    fn known<T: Ord>(value: Option<T>) -> (bool, Option<T>) {
        (value.is_none(), value)
    }
    let by_key: HashMap<&str, &Photo> = photos.iter().map(|photo| (photo.key.as_str(), photo)).collect();
    let place = |key: &String| {
        let photo = by_key.get(key.as_str());
        let roll = photo.and_then(|p| p.roll.as_ref());
        let date = photo.and_then(|p| p.taken_at.as_deref()).filter(|_| by_date);
        let loaded = roll.and_then(|r| r.loaded_on.as_deref());
        (
            known(date),
            known(loaded),
            known(roll.map(|r| (r.title.as_str(), r.key.as_str()))),
            known(photo.and_then(|p| p.frame)),
        )
    };
    keys.sort_by_cached_key(place);
}

/// `POST /admin/albums/{key}/delete`.
pub(super) async fn delete(visit: Visit, Path(key): Path<String>, Form(form): Form<Fields>) -> Response {
    let path = format!("/api/albums/{key}");
    visit.delete("albums", &key, &form, editable(&visit, &path)).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn photos_are_sorted_by_date_or_along_the_film() {
        let image = serde_json::json!({ "url": "/x", "width": 3, "height": 2 });
        let plain = serde_json::json!({
            "key": "", "title": "", "visibility": "public", "width": 3, "height": 2, "created_at": "",
            "images": { "thumb": image, "preview": image, "large": image },
        });
        let photo = |key: &str, taken: Option<&str>, roll: Option<(&str, &str)>, frame: Option<u32>| Photo {
            key: key.to_owned(),
            taken_at: taken.map(str::to_owned),
            roll: roll.map(|(title, loaded)| crate::model::Roll {
                key: title.to_owned(),
                title: title.to_owned(),
                loaded_on: Some(loaded.to_owned()),
                ..Default::default()
            }),
            frame,
            ..serde_json::from_value(plain.clone()).expect("a photo")
        };
        let (first, second) = (Some(("B", "2026-04-01")), Some(("A", "2026-05-01")));
        let photos = [
            photo("none", None, None, None),
            photo("b12", Some("2026-05-02"), first, Some(12)),
            photo("a1", Some("2026-05-01T09:00:00"), second, Some(1)),
            photo("b2", Some("2026-05-02"), first, Some(2)),
            photo("undated", None, second, Some(3)),
        ];
        let sorted = |by_date| {
            let mut keys: Vec<String> = photos.iter().map(|p| p.key.clone()).collect();
            sort_keys(&mut keys, &photos, by_date);
            keys
        };
        assert_eq!(sorted(true), ["a1", "b2", "b12", "undated", "none"]);
        assert_eq!(sorted(false), ["b2", "b12", "a1", "undated", "none"]);
    }

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
