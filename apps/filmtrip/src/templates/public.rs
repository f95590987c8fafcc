//! Pages for everybody.

use maud::{Markup, html};

use super::shape;
use crate::i18n::Texts;
use crate::model::{Photo, PhotoPage, Roll};

/// The front page.
#[must_use]
pub fn home(texts: &Texts, page: &PhotoPage, paged: bool) -> Markup {
    html! {
        @if !paged { p.tagline { (texts.tagline) } }
        (grid(texts, &page.photos))
        (pager(texts, "/?", page, paged))
    }
}

/// The photos of a roll.
#[must_use]
pub fn roll(texts: &Texts, roll: &Roll, page: &PhotoPage) -> Markup {
    html! {
        h1 { (roll.title) }
        (facts(texts, roll))
        (grid(texts, &page.photos))
        (pager(texts, &format!("/r/{}?", roll.key), page, false))
    }
}

fn facts(texts: &Texts, roll: &Roll) -> Markup {
    html! {
        dl.facts {
            @if !roll.film_stock.is_empty() { div { dt { (texts.film_stock) } dd { (roll.film_stock) } } }
            @if !roll.camera.is_empty() { div { dt { (texts.camera) } dd { (roll.camera) } } }
        }
    }
}

/// Links to the older page and back to the first.
#[must_use]
pub fn pager(texts: &Texts, base: &str, page: &PhotoPage, paged: bool) -> Markup {
    html! {
        @if paged || page.next.is_some() {
            nav.pager {
                @if paged { a href=(base.trim_end_matches(['?', '&'])) { "← " (texts.newest) } }
                @if let Some(next) = &page.next {
                    a.next rel="next" href={ (base) "before=" (next) } { (texts.older) " →" }
                }
            }
        }
    }
}

fn grid(texts: &Texts, photos: &[Photo]) -> Markup {
    html! {
        @if photos.is_empty() {
            section.problem {
                p.blank aria-hidden="true" { span {} span {} span {} }
                p { (texts.empty) }
            }
        } @else {
            section.grid {
                @for (index, photo) in photos.iter().enumerate() {
                    a class={ "frame s" (shape(photo.width, photo.height)) } href={ "/p/" (photo.key) } {
                        img src=(photo.images.thumb.url)
                            srcset={ (photo.images.thumb.url) " " (photo.images.thumb.width) "w, "
                                     (photo.images.preview.url) " " (photo.images.preview.width) "w" }
                            sizes="(max-width: 40rem) 92vw, 30rem"
                            width=(photo.images.thumb.width) height=(photo.images.thumb.height)
                            alt=(alt(texts, photo)) decoding="async"
                            loading=[(index > 5).then_some("lazy")];
                        @if !photo.title.is_empty() { span.name { (photo.title) } }
                    }
                }
            }
        }
    }
}

fn alt<'a>(texts: &Texts, photo: &'a Photo) -> &'a str
where
    'static: 'a,
{
    if photo.title.is_empty() { texts.untitled } else { &photo.title }
}

/// One photo.
#[must_use]
pub fn photo(texts: &Texts, photo: &Photo) -> Markup {
    let day = photo.created_at.get(..10).unwrap_or_default();
    html! {
        article.photo {
            a.print href=(photo.images.large.url) {
                img src=(photo.images.preview.url)
                    srcset={ (photo.images.preview.url) " " (photo.images.preview.width) "w, "
                             (photo.images.large.url) " " (photo.images.large.width) "w" }
                    sizes="(max-width: 80rem) 96vw, 76rem"
                    width=(photo.images.large.width) height=(photo.images.large.height) alt=(alt(texts, photo));
            }
            div.about {
                div {
                    h1 { (alt(texts, photo)) }
                    @if let Some(caption) = Some(&photo.caption).filter(|c| !c.is_empty()) {
                        p.caption { (caption) }
                    }
                }
                dl.facts {
                    @if let Some(roll) = &photo.roll {
                        div { dt { (texts.roll) } dd { a href={ "/r/" (roll.key) } { (roll.title) } } }
                        @if !roll.film_stock.is_empty() { div { dt { (texts.film_stock) } dd { (roll.film_stock) } } }
                        @if !roll.camera.is_empty() { div { dt { (texts.camera) } dd { (roll.camera) } } }
                    }
                    div { dt { (photo.width) " × " (photo.height) } dd { time datetime=(photo.created_at) { (day) } } }
                    @if photo.editable {
                        div { dd { a href={ "/admin/photos/" (photo.key) } { (texts.edit) } } }
                        div { dd { a href={ "/api/photos/" (photo.key) "/original" } { (texts.original) } } }
                    }
                }
            }
        }
    }
}
