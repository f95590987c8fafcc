//! Lists of photos for everybody: front page, roll, tag, film and gear, search.

use maud::{Markup, html};

use super::parts::{blank, enc, listing, pages, picture};
use crate::i18n::{Lang, Texts};
use crate::model::{Facet, Gear, PhotoPage, Roll, RollList, TagList};

/// A list of photos and where it is.
pub struct List<'a> {
    /// The photos.
    pub page: &'a PhotoPage,
    /// Path of the list with its query, without the page.
    pub path: &'a str,
    /// Its query for the pages of its photos.
    pub context: &'a str,
    /// Whether this is not the first page.
    pub paged: bool,
    /// Whether frame numbers are shown.
    pub frames: bool,
    /// What to say when there is nothing.
    pub none: &'a str,
}

/// The front page.
#[must_use]
pub fn home(texts: &Texts, view: &List<'_>) -> Markup {
    html! {
        h1.tagline { (texts.tagline) }
        (listing(texts, view))
    }
}

/// Photos that share something: a tag, a film, a camera.
#[must_use]
pub fn shared(texts: &Texts, kind: &str, name: &str, view: &List<'_>) -> Markup {
    html! {
        header.head { p.kind { (kind) } h1 { (name) } }
        (listing(texts, view))
    }
}

/// Rolls, each with its first frames as a strip of film.
#[must_use]
pub fn rolls(texts: &Texts, list: &RollList, paged: bool) -> Markup {
    html! {
        header.head { h1 { (texts.rolls) } }
        @if list.rolls.is_empty() { section.problem { (blank()) p {
            @if paged { (texts.page_gone) } @else { (texts.rolls_empty) }
        } } }
        ul.films {
            @for roll in &list.rolls {
                li { a href={ "/r/" (roll.key) } {
                    span.film {
                        @for image in &roll.strip { span { (picture(image, None, "8rem", "", true)) } }
                    }
                    b { (roll.title) }
                    small { (made_with(texts, roll)) }
                } }
            }
        }
        (pages(texts, "/rolls", list.next.as_deref().map(|next| ("before", next)), paged, texts.next_page))
    }
}

/// `Kodak Portra 400 · Nikon FM2 · 1 May 2026 · 36 photos`.
fn made_with(texts: &Texts, roll: &Roll) -> String {
    let day = days(texts.lang, roll.loaded_on.as_deref());
    let photos = texts.photos(roll.photos.unwrap_or(0));
    let parts = [roll.film_stock.as_str(), &roll.camera, &day, &photos];
    parts.into_iter().filter(|p| !p.is_empty()).collect::<Vec<_>>().join(" · ")
}

/// The photos of a roll.
#[must_use]
pub fn roll(texts: &Texts, roll: &Roll, view: &List<'_>) -> Markup {
    html! {
        header.head {
            p.kind { (texts.roll) }
            h1 { (roll.title) }
            dl.facts { (roll_facts(texts, roll, true)) }
            @if !roll.notes.is_empty() { p.caption { (roll.notes) } }
            @if roll.editable { p { a href={ "/admin/rolls/" (roll.key) } { (texts.edit) } } }
        }
        (listing(texts, view))
    }
}

/// One fact, left out when it is empty.
#[must_use]
pub fn fact(name: &str, value: &str) -> Markup {
    html! { @if !value.is_empty() { div { dt { (name) } dd { (value) } } } }
}

/// One fact that leads to the photos that share it.
#[must_use]
pub fn linked(name: &str, kind: &str, value: &str) -> Markup {
    html! {
        @if !value.is_empty() {
            div { dt { (name) } dd { a href={ "/" (kind) "/" (enc(value)) } { (value) } } }
        }
    }
}

/// The facts of a roll. `gear` also tells film, camera and lens, which a photo tells itself.
#[must_use]
pub fn roll_facts(texts: &Texts, roll: &Roll, gear: bool) -> Markup {
    let lang = texts.lang;
    html! {
        @if gear { (linked(texts.film_stock, "film", &roll.film_stock)) }
        (fact(texts.format, texts.format_name(roll.format)))
        (fact(texts.exposure, &exposure(texts, roll)))
        @if gear {
            (linked(texts.camera, "camera", &roll.camera))
            (linked(texts.lens, "lens", &roll.lens))
        }
        (linked(texts.scanner, "scanner", &roll.scanner))
        (fact(texts.lab, &roll.lab))
        (fact(texts.developer, &roll.developer))
        @if gear {
            (fact(texts.loaded_on, &days(lang, roll.loaded_on.as_deref())))
            (fact(texts.unloaded_on, &days(lang, roll.unloaded_on.as_deref())))
        }
    }
}

fn days(lang: Lang, day: Option<&str>) -> String {
    day.map(|d| lang.day(d)).unwrap_or_default()
}

/// `EI 800 (box 400, pushed 1 stop)`.
fn exposure(texts: &Texts, roll: &Roll) -> String {
    match (roll.box_iso, roll.exposure_index) {
        (Some(iso), Some(index)) => match texts.push_pull(iso, index) {
            Some(push) => texts
                .exposed_as
                .replace("{n}", &index.to_string())
                .replace("{b}", &iso.to_string())
                .replace("{p}", &push),
            None => format!("ISO {iso}"),
        },
        (Some(iso), None) => format!("ISO {iso}"),
        (None, Some(index)) => format!("EI {index}"),
        (None, None) => String::new(),
    }
}

/// The search page.
#[must_use]
pub fn search(texts: &Texts, query: &str, tags: &TagList, view: Option<&List<'_>>) -> Markup {
    html! {
        header.head { h1 { (texts.search) } }
        form.search role="search" method="get" action="/search" {
            input type="search" name="q" value=(query) maxlength="200" aria-label=(texts.search)
                placeholder=(texts.search_hint) autofocus[query.is_empty()];
            button { (texts.search) }
        }
        @if let Some(view) = view { (listing(texts, view)) }
        @if view.is_none_or(|v| v.page.photos.is_empty()) && !tags.tags.is_empty() {
            h2 { (texts.tags) }
            (cloud("t", &tags.tags, texts))
            @if tags.more > 0 { p.hint { (texts.names_more.replace("{n}", &tags.more.to_string())) } }
        }
    }
}

/// What photos were made with.
#[must_use]
pub fn gear(texts: &Texts, gear: &Gear) -> Markup {
    let kinds = [
        (texts.films, "film", &gear.film_stocks, gear.more.film_stocks),
        (texts.cameras, "camera", &gear.cameras, gear.more.cameras),
        (texts.lenses, "lens", &gear.lenses, gear.more.lenses),
        (texts.scanners, "scanner", &gear.scanners, gear.more.scanners),
    ];
    html! {
        header.head { h1 { (texts.gear) } }
        @if kinds.iter().all(|(_, _, list, _)| list.is_empty()) { p.hint { (texts.gear_none) } }
        div.gear {
            @for (title, kind, list, more) in kinds {
                @if !list.is_empty() { section { h2 { (title) } (cloud(kind, list, texts)) (unlisted(texts, more)) } }
            }
        }
    }
}

/// How many names are not listed, and the way to them.
fn unlisted(texts: &Texts, more: u64) -> Markup {
    html! {
        @if more > 0 {
            p.hint { (texts.names_more.replace("{n}", &more.to_string())) " "
                a href="/search" { (texts.names_search) } }
        }
    }
}

fn cloud(kind: &str, facets: &[Facet], texts: &Texts) -> Markup {
    html! {
        ul.cloud {
            @for facet in facets {
                li { a href={ "/" (kind) "/" (enc(&facet.name)) } { span { (facet.name) }
                    small { (texts.photos(facet.photos)) } } }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exposure_reads_like_either_language() {
        let roll = Roll { box_iso: Some(400), exposure_index: Some(800), ..Roll::default() };
        assert_eq!(exposure(Lang::En.texts(), &roll), "EI 800 (box 400, pushed 1 stop)");
        assert_eq!(exposure(Lang::Zh.texts(), &roll), "EI 800（标称 400，增感 1 挡）");
        let plain = Roll { box_iso: Some(400), ..Roll::default() };
        assert_eq!(exposure(Lang::Zh.texts(), &plain), "ISO 400");
    }
}
