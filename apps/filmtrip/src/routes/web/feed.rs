//! `GET /feed.xml`: the newest public photos, or those of an album.

use axum::extract::Query;
use axum::http::header;
use axum::response::{IntoResponse, Response};

use super::Visit;
use super::backend::Failure;
use super::fields::{Fields, is_key};
use super::scope::Scope;
use crate::model::{Album, Visibility};
use crate::templates::feed::{self, Feed};

/// The feed. It shows what a visitor without an account sees, whoever asks.
pub(super) async fn rss(mut visit: Visit, Query(query): Query<Fields>) -> Response {
    visit.caller.headers.remove(header::COOKIE);
    let texts = visit.texts();
    let album = query.filled("album").filter(|key| is_key(key));
    let read = async {
        let album = match &album {
            Some(key) => Some(visit.ask::<Album>(&format!("/api/albums/{key}")).await?),
            None => None,
        };
        let scope = album.as_ref().map(|a| Scope::one("album", &a.key)).unwrap_or_default();
        let mut page = visit.photos(&scope.api(None, "limit=30")).await?;
        // An album that is opened by its link may show photos that are not to be listed.
        page.photos.retain(|p| p.visibility == Visibility::Public);
        let origin = visit.origin();
        let (path, own) = match &album {
            Some(album) => (format!("/a/{}", album.key), format!("/feed.xml?album={}", album.key)),
            None => ("/".to_owned(), "/feed.xml".to_owned()),
        };
        let title =
            album.as_ref().map_or_else(|| "FilmTrip".to_owned(), |a| format!("{} · FilmTrip", a.title));
        let feed = Feed {
            title: &title,
            description: album
                .as_ref()
                .map(|a| a.description.as_str())
                .filter(|d| !d.is_empty())
                .unwrap_or(texts.tagline),
            origin: &origin,
            path: &path,
            own: &own,
            photos: &page.photos,
        };
        let kind = [(header::CONTENT_TYPE, "application/rss+xml; charset=utf-8")];
        Ok::<_, Failure>((kind, feed::rss(texts, &feed).into_string()).into_response())
    };
    let answer = read.await;
    visit.answer(answer)
}
