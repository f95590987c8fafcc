//! Lists of photos for everybody: front page, roll, tag, film and gear, search, map.

use axum::extract::{Path, Query};
use axum::response::Response;
use maud::Markup;

use super::Visit;
use super::backend::Failure;
use super::fields::{Fields, is_key};
use super::scope::{Scope, before};
use crate::model::{Gear, MapPoints, PhotoPage, Roll, RollList, TagList};
use crate::templates::feed::absolute;
use crate::templates::parts::enc;
use crate::templates::public::{self, List};
use crate::templates::{Card, Script, map as map_page};

/// What other sites are told of a list.
pub(super) fn card(visit: &Visit, path: &str, description: &str, page: Option<&PhotoPage>) -> Card {
    let origin = visit.origin();
    let image = page.and_then(|p| p.photos.first()).map(|photo| {
        let image = &photo.images.preview;
        (absolute(&origin, &image.url), image.width, image.height)
    });
    Card {
        canonical: format!("{origin}{path}"),
        description: description.to_owned(),
        image,
        feed: Some(format!("{origin}/feed.xml")),
        ..Card::default()
    }
}

/// `GET /`.
pub(super) async fn home(visit: Visit, Query(query): Query<Fields>) -> Response {
    let texts = visit.texts();
    let before = before(&query);
    match visit.photos(&Scope::default().api(before.as_deref(), "")).await {
        Ok(page) => {
            let view = List {
                page: &page,
                path: "/",
                context: "",
                paged: before.is_some(),
                frames: false,
                none: texts.empty,
            };
            visit.public(
                "FilmTrip",
                &card(&visit, "/", texts.tagline, Some(&page)),
                public::home(texts, &view),
            )
        }
        Err(failure) => visit.failed(&failure),
    }
}

/// `GET /rolls`: rolls with photos for everybody.
pub(super) async fn rolls(visit: Visit, Query(query): Query<Fields>) -> Response {
    let texts = visit.texts();
    let before = before(&query);
    let page = before.as_deref().map(|b| format!("&before={}", enc(b))).unwrap_or_default();
    let answer = visit.ask::<RollList>(&format!("/api/rolls?public=true{page}")).await.map(|list| {
        let card = card(&visit, "/rolls", texts.tagline, None);
        visit.public(texts.rolls, &card, public::rolls(texts, &list, before.is_some()))
    });
    visit.answer(answer)
}

/// `GET /r/{key}`: the photos of a roll that the visitor may see.
pub(super) async fn roll(visit: Visit, Path(key): Path<String>, Query(query): Query<Fields>) -> Response {
    if !is_key(&key) {
        return visit.missing();
    }
    let texts = visit.texts();
    let scope = Scope::one("roll", &key);
    let before = before(&query);
    let read = async {
        let roll: Roll = visit.ask(&format!("/api/rolls/{key}")).await?;
        let page = visit.photos(&scope.api(before.as_deref(), scope.limit())).await?;
        let path = format!("/r/{key}");
        let view = List {
            page: &page,
            path: &path,
            context: scope.query(),
            paged: before.is_some(),
            frames: true,
            none: texts.empty,
        };
        let about = [roll.film_stock.as_str(), roll.camera.as_str()];
        let about: Vec<&str> = about.into_iter().filter(|t| !t.is_empty()).collect();
        let card = card(&visit, &path, &about.join(" · "), Some(&page));
        Ok(visit.public(&roll.title, &card, public::roll(texts, &roll, &view)))
    };
    let answer = read.await;
    visit.answer(answer)
}

/// Photos that share a tag, a film, a camera, a lens or a scanner.
async fn shared(visit: Visit, kind: &str, path: &str, filter: &str, name: &str, query: &Fields) -> Response {
    let texts = visit.texts();
    let scope = Scope::one(filter, name);
    if scope.query().is_empty() {
        return visit.missing();
    }
    let before = before(query);
    match visit.photos(&scope.api(before.as_deref(), "")).await {
        Ok(page) if page.photos.is_empty() && before.is_none() => visit.missing(),
        Ok(page) => {
            let path = format!("/{path}/{}", enc(name));
            let view = List {
                page: &page,
                path: &path,
                context: scope.query(),
                paged: before.is_some(),
                frames: false,
                none: texts.search_none,
            };
            let card = card(&visit, &path, &format!("{kind}: {name}"), Some(&page));
            visit.public(name, &card, public::shared(texts, kind, name, &view))
        }
        Err(failure) => visit.failed(&failure),
    }
}

/// `GET /t/{name}`.
pub(super) async fn tag(visit: Visit, Path(name): Path<String>, Query(query): Query<Fields>) -> Response {
    let kind = visit.texts().tag;
    shared(visit, kind, "t", "tag", &name, &query).await
}

/// `GET /film/{name}`.
pub(super) async fn film(visit: Visit, Path(name): Path<String>, Query(query): Query<Fields>) -> Response {
    let kind = visit.texts().film_stock;
    shared(visit, kind, "film", "film", &name, &query).await
}

/// `GET /camera/{name}`.
pub(super) async fn camera(visit: Visit, Path(name): Path<String>, Query(query): Query<Fields>) -> Response {
    let kind = visit.texts().camera;
    shared(visit, kind, "camera", "camera", &name, &query).await
}

/// `GET /lens/{name}`.
pub(super) async fn lens(visit: Visit, Path(name): Path<String>, Query(query): Query<Fields>) -> Response {
    let kind = visit.texts().lens;
    shared(visit, kind, "lens", "lens", &name, &query).await
}

/// `GET /scanner/{name}`.
pub(super) async fn scanner(visit: Visit, Path(name): Path<String>, Query(query): Query<Fields>) -> Response {
    let kind = visit.texts().scanner;
    shared(visit, kind, "scanner", "scanner", &name, &query).await
}

/// `GET /search?q=`.
pub(super) async fn search(visit: Visit, Query(query): Query<Fields>) -> Response {
    let texts = visit.texts();
    let words: String = query.line("q").chars().take(200).collect();
    let scope = Scope::one("q", &words);
    let before = before(&query);
    let read = async {
        let page = match words.as_str() {
            "" => None,
            _ => Some(visit.photos(&scope.api(before.as_deref(), "")).await?),
        };
        let tags: TagList = visit.ask("/api/tags").await?;
        let path = format!("/search?{}", scope.query());
        let view = page.as_ref().map(|page| List {
            page,
            path: &path,
            context: scope.query(),
            paged: before.is_some(),
            frames: false,
            none: texts.search_none,
        });
        let card = Card { hidden: true, ..card(&visit, "/search", texts.tagline, None) };
        Ok::<_, Failure>(visit.public(
            texts.search,
            &card,
            public::search(texts, &words, &tags, view.as_ref()),
        ))
    };
    let answer = read.await;
    visit.answer(answer)
}

/// `GET /gear`.
pub(super) async fn gear(visit: Visit) -> Response {
    let texts = visit.texts();
    let answer = visit.ask::<Gear>("/api/gear").await;
    let answer = answer.map(|gear| simple(&visit, texts.gear, public::gear(texts, &gear)));
    visit.answer(answer)
}

fn simple(visit: &Visit, title: &str, body: Markup) -> Response {
    visit.public(title, &card(visit, visit.path(), visit.texts().tagline, None), body)
}

/// `GET /map`.
pub(super) async fn map(visit: Visit, Query(query): Query<Fields>) -> Response {
    let texts = visit.texts();
    let before = before(&query);
    let page = before.as_deref().map(|b| format!("?before={}", enc(b))).unwrap_or_default();
    let card = card(&visit, "/map", texts.tagline, None);
    let answer = visit.ask::<MapPoints>(&format!("/api/map{page}")).await.map(|map| {
        let body = map_page::page(texts, &map, before.is_some());
        visit.page(axum::http::StatusCode::OK, texts.map, &[Script::Map], Some(&card), body)
    });
    visit.answer(answer)
}
