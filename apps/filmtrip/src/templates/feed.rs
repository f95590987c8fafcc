//! RSS 2.0 for readers.

use maud::{Markup, PreEscaped, html};

use super::parts::{alt, name};
use crate::i18n::Texts;
use crate::model::Photo;

/// What the feed is of.
pub struct Feed<'a> {
    /// Title.
    pub title: &'a str,
    /// What it says of itself.
    pub description: &'a str,
    /// Origin of the site, for absolute addresses.
    pub origin: &'a str,
    /// Path of the pages of the same photos.
    pub path: &'a str,
    /// Path and query of the feed itself.
    pub own: &'a str,
    /// The photos, newest first.
    pub photos: &'a [Photo],
}

/// An address that may be a path, made absolute.
#[must_use]
pub fn absolute(origin: &str, url: &str) -> String {
    if url.starts_with('/') { format!("{origin}{url}") } else { url.to_owned() }
}

/// XML knows no control characters, not even escaped ones.
fn clean(text: &str) -> String {
    text.chars()
        .filter(|c| matches!(c, '\t' | '\n') || (!c.is_control() && !('\u{fffe}'..='\u{ffff}').contains(c)))
        .collect()
}

/// `2026-05-01T18:30:00Z` as RSS writes it.
fn rfc2822(moment: &str) -> Option<String> {
    let stamp: jiff::Timestamp = moment.parse().ok()?;
    jiff::fmt::rfc2822::to_string(&stamp.to_zoned(jiff::tz::TimeZone::UTC)).ok()
}

/// The document.
#[must_use]
pub fn rss(texts: &Texts, feed: &Feed<'_>) -> Markup {
    html! {
        (PreEscaped("<?xml version=\"1.0\" encoding=\"utf-8\"?>\n"))
        rss version="2.0" xmlns:atom="http://www.w3.org/2005/Atom" xmlns:media="http://search.yahoo.com/mrss/" {
            channel {
                title { (clean(feed.title)) }
                (element("link", &format!("{}{}", feed.origin, feed.path)))
                description { (clean(feed.description)) }
                language { (texts.lang.tag()) }
                generator { "FilmTrip" }
                atom:link rel="self" type="application/rss+xml" href={ (feed.origin) (feed.own) } {}
                @if let Some(date) = feed.photos.first().and_then(|p| rfc2822(&p.created_at)) {
                    lastBuildDate { (date) }
                }
                @for photo in feed.photos { (item(texts, feed.origin, photo)) }
            }
        }
    }
}

/// `link` has no end in HTML and one in XML.
fn element(name: &str, text: &str) -> Markup {
    let open = PreEscaped(format!("<{name}>"));
    let close = PreEscaped(format!("</{name}>"));
    html! { (open) (clean(text)) (close) }
}

fn item(texts: &Texts, origin: &str, photo: &Photo) -> Markup {
    let page = format!("{origin}/p/{}", photo.key);
    let image = &photo.images.preview;
    let url = absolute(origin, &image.url);
    // A description is HTML inside XML text: escaped once as HTML, and once more by the outer template.
    let about = html! {
        p { a href=(page) { img src=(url) width=(image.width) height=(image.height) alt=(clean(&alt(texts, photo))); } }
        @if !photo.caption.is_empty() { p { (clean(&photo.caption)) } }
        p { (clean(&facts(photo))) }
    };
    html! {
        item {
            title { (clean(name(texts, photo))) }
            (element("link", &page))
            guid isPermaLink="true" { (page) }
            @if let Some(date) = rfc2822(&photo.created_at) { pubDate { (date) } }
            @for tag in &photo.tags { category { (clean(tag)) } }
            description { (about.into_string()) }
            media:content url=(url) medium="image" width=(image.width) height=(image.height) {}
        }
    }
}

fn facts(photo: &Photo) -> String {
    let parts = [&photo.film_stock, &photo.camera, &photo.lens, &photo.place];
    parts.into_iter().filter(|p| !p.is_empty()).map(String::as_str).collect::<Vec<_>>().join(" · ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_in_the_form_of_mail() {
        assert_eq!(rfc2822("2026-05-01T18:30:00Z").as_deref(), Some("Fri, 1 May 2026 18:30:00 +0000"));
        assert_eq!(rfc2822("yesterday"), None);
    }

    #[test]
    fn control_characters_are_left_out() {
        assert_eq!(clean("a\u{0}b\u{b}c\nd\u{ffff}"), "abc\nd");
    }
}
