//! Pages as HTML, all text escaped by maud. They work without a script; the style is inside the page, so
//! that two releases side by side never miss each other's files. Scripts only add comfort.

pub mod account;
pub mod albums;
pub mod assets;
pub mod edit;
pub mod feed;
pub mod map;
pub mod parts;
pub mod photo;
pub mod public;
pub mod report;
pub mod rolls;
pub mod site;
pub mod stocks;
pub mod storage;
pub mod studio;

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest, Sha256};

use crate::i18n::{Lang, Texts};
use crate::model::{SessionInfo, UserRole};
pub use assets::{ICON, Script};

static STYLE: LazyLock<String> = LazyLock::new(|| {
    let mut style = [include_str!("style.css"), include_str!("studio.css")].concat();
    // One class per twentieth of aspect ratio: rows are justified without inline styles.
    for step in (40..=300).step_by(5) {
        style.push_str(&format!(
            ".s{step}{{flex:{step} 1 calc(var(--row)*{step}/100);aspect-ratio:{step}/100}}\n"
        ));
    }
    style
});
static STYLE_HASH: LazyLock<String> =
    LazyLock::new(|| format!("sha256-{}", STANDARD.encode(Sha256::digest(STYLE.as_bytes()))));

/// The hash of the style, for the content security policy.
#[must_use]
pub fn style_hash() -> &'static str {
    &STYLE_HASH
}

/// What other sites and readers are told of a page: absolute addresses only.
#[derive(Debug, Default, Clone)]
pub struct Card {
    /// Address of the page itself.
    pub canonical: String,
    /// Description, perhaps empty.
    pub description: String,
    /// Address, width and height of a picture.
    pub image: Option<(String, u32, u32)>,
    /// Text of the picture.
    pub image_alt: String,
    /// Whether it is about one photo.
    pub photo: bool,
    /// Whether search engines shall leave it out.
    pub hidden: bool,
    /// Address of the feed of the same photos.
    pub feed: Option<String>,
}

/// What is around the main part of a page.
pub struct Page<'a> {
    /// Language.
    pub lang: Lang,
    /// Title of the tab.
    pub title: &'a str,
    /// Who is logged in.
    pub session: Option<&'a SessionInfo>,
    /// Path of the page.
    pub path: &'a str,
    /// Address of the same page in the other language.
    pub other: &'a str,
    /// Whether there are albums.
    pub albums: bool,
    /// Scripts that it profits from.
    pub scripts: &'a [Script],
    /// For other sites.
    pub card: Option<&'a Card>,
    /// Release, shown small.
    pub release: &'a str,
}

/// The whole page.
#[must_use]
pub fn layout(page: &Page<'_>, body: Markup) -> Markup {
    let texts = page.lang.texts();
    let other = if page.lang == Lang::En { Lang::Zh } else { Lang::En };
    let title =
        if page.title == "FilmTrip" { "FilmTrip".to_owned() } else { format!("{} · FilmTrip", page.title) };
    html! {
        (DOCTYPE)
        html lang=(page.lang.tag()) {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="dark light";
                title { (title) }
                link rel="icon" href="/favicon.svg" type="image/svg+xml";
                @if let Some(card) = page.card { (about(page, card)) }
                style { (PreEscaped(STYLE.as_str())) }
                @for script in page.scripts { script type="module" src=(script.path()) {} }
            }
            body {
                a.skip href="#content" { (texts.skip) }
                header.top {
                    a.brand href="/" translate="no" { "Film" b { "Trip" } }
                    nav aria-label=(texts.navigation) {
                        (link(page, "/", texts.home))
                        (link(page, "/rolls", texts.rolls))
                        @if page.albums { (link(page, "/albums", texts.albums)) }
                        (link(page, "/map", texts.map))
                        (link(page, "/gear", texts.gear))
                        (link(page, "/search", texts.search))
                    }
                    div.who {
                        @if let Some(session) = page.session {
                            a href="/admin" { (texts.back_office) }
                            form method="post" action="/logout" {
                                (csrf(session))
                                button.link { (texts.log_out) }
                            }
                        } @else {
                            a href="/login" { (texts.log_in) }
                        }
                        a.lang href=(page.other) lang=(other.tag()) hreflang=(other.tag()) {
                            (texts.other_language)
                        }
                    }
                }
                main #content tabindex="-1" {
                    @if let Some(session) = page.session
                        && page.path.starts_with("/admin") { (studio_nav(texts, page, session)) }
                    (body)
                }
                footer { span translate="no" { "FilmTrip" } a href="/feed.xml" { (texts.feed) }
                    span.release { (page.release) } }
            }
        }
    }
}

fn link(page: &Page<'_>, path: &str, text: &str) -> Markup {
    // The two starting pages are above everything; any other one is the section of the pages below it.
    let below = |rest: &str| rest.starts_with('/') && !["/", "/admin"].contains(&path);
    let here = match page.path.strip_prefix(path) {
        Some("") => Some("page"),
        Some(rest) if below(rest) => Some("true"),
        _ => None,
    };
    html! { a href=(path) aria-current=[here] { (text) } }
}

fn studio_nav(texts: &Texts, page: &Page<'_>, session: &SessionInfo) -> Markup {
    html! {
        nav.studio aria-label=(texts.studio_navigation) {
            (link(page, "/admin", texts.home))
            (link(page, "/admin/rolls", texts.rolls))
            @if page.albums { (link(page, "/admin/albums", texts.albums)) }
            (link(page, "/admin/trash", texts.trash))
            (link(page, "/admin/account", texts.account))
            @if session.user.role == UserRole::Admin {
                (link(page, "/admin/site", texts.site))
                (link(page, "/admin/reports", texts.reports))
                (link(page, "/admin/users", texts.users))
            }
        }
    }
}

fn about(page: &Page<'_>, card: &Card) -> Markup {
    let size = if card.image.is_some() { "summary_large_image" } else { "summary" };
    html! {
        link rel="canonical" href=(card.canonical);
        @if let Some(feed) = &card.feed {
            link rel="alternate" type="application/rss+xml" title="FilmTrip" href=(feed);
        }
        @if card.hidden { meta name="robots" content="noindex"; }
        @if !card.description.is_empty() {
            meta name="description" content=(card.description);
            meta property="og:description" content=(card.description);
        }
        meta property="og:site_name" content="FilmTrip";
        meta property="og:type" content=(if card.photo { "article" } else { "website" });
        meta property="og:title" content=(page.title);
        meta property="og:url" content=(card.canonical);
        meta property="og:locale" content=(if page.lang == Lang::En { "en_GB" } else { "zh_CN" });
        meta name="twitter:card" content=(size);
        @if let Some((url, width, height)) = &card.image {
            meta property="og:image" content=(url);
            meta property="og:image:width" content=(width);
            meta property="og:image:height" content=(height);
            meta property="og:image:alt" content=(card.image_alt);
        }
    }
}

/// The hidden field that proves a form is ours.
#[must_use]
pub fn csrf(session: &SessionInfo) -> Markup {
    html! { input type="hidden" name="csrf_token" value=(session.csrf_token); }
}

/// A page that says what went wrong, with the way on.
#[must_use]
pub fn problem(texts: &Texts, message: &str, to_studio: bool) -> Markup {
    html! {
        section.problem {
            (parts::blank())
            h1 { (message) }
            @if to_studio { p { a href="/admin" { (texts.back_office) } } }
            @else { p { a href="/" { (texts.home) } } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shape_has_its_class() {
        for (width, height) in [(1, 10_000), (3, 2), (2, 3), (1, 1), (16, 9), (10_000, 1), (5, 0)] {
            let class = format!(".s{}{{", parts::shape(width, height));
            assert!(STYLE.contains(&class), "{class}");
        }
    }
}
