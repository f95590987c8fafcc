//! The page of one photo.

use maud::{Markup, html};

use super::csrf;
use super::parts::{alt, enc, messages, name, photo_path, picture};
use super::public::{fact, linked, roll_facts};
use super::report;
use crate::i18n::Texts;
use crate::model::{Exif, Neighbours, NewReport, Photo, SessionInfo};

/// What the page shows.
pub struct View<'a> {
    /// The photo.
    pub photo: &'a Photo,
    /// The ones beside it.
    pub beside: &'a Neighbours,
    /// Query of the list it is looked at in.
    pub context: &'a str,
    /// Site's origin, for the short link.
    pub origin: &'a str,
    /// Who is logged in.
    pub session: Option<&'a SessionInfo>,
    /// What was just done.
    pub notice: Option<&'a str>,
    /// A report that was not taken, and why.
    pub refused: Option<(&'a NewReport, &'a str)>,
}

/// One photo.
#[must_use]
pub fn page(texts: &Texts, view: &View<'_>) -> Markup {
    let photo = view.photo;
    html! {
        (messages(view.notice, None))
        article.photo {
            a.print href=(photo.images.large.url) data-hash=[photo.thumbhash.as_deref()] {
                (picture(&photo.images.preview, Some(&photo.images.large), "(max-width: 80rem) 96vw, 76rem",
                    &alt(texts, photo), false))
            }
            (beside(texts, view))
            div.about data-about {
                div {
                    h1 { (name(texts, photo)) }
                    @if !photo.caption.is_empty() { p.caption { (photo.caption) } }
                    @if !photo.tags.is_empty() {
                        ul.tags aria-label=(texts.tags) {
                            @for tag in &photo.tags { li { a href={ "/t/" (enc(tag)) } { (tag) } } }
                        }
                    }
                    (share(texts, view))
                }
                dl.facts.card { (facts(texts, photo)) }
            }
            // Whoever may change it has shorter ways.
            @if photo.reportable && !photo.editable { (report::form(texts, &photo.key, view.refused)) }
        }
    }
}

fn beside(texts: &Texts, view: &View<'_>) -> Markup {
    let at = |key: &str| photo_path(key, view.context);
    html! {
        @if view.beside.previous.is_some() || view.beside.next.is_some() {
            nav.pager.beside aria-label=(texts.neighbours) {
                @if let Some(key) = &view.beside.previous {
                    a rel="prev" href=(at(key)) { span aria-hidden="true" { "← " } (texts.previous_photo) }
                }
                @if let Some(key) = &view.beside.next {
                    a.next rel="next" href=(at(key)) { (texts.next_photo) span aria-hidden="true" { " →" } }
                }
            }
        }
    }
}

fn facts(texts: &Texts, photo: &Photo) -> Markup {
    let lang = texts.lang;
    html! {
        @if let Some(roll) = &photo.roll {
            div { dt { (texts.roll) } dd {
                a href={ "/r/" (roll.key) } { (roll.title) }
                @if let Some(frame) = photo.frame { span.number { (texts.frame_n.replace("{n}", &frame.to_string())) } }
            } }
        } @else if let Some(frame) = photo.frame { (fact(texts.frame, &frame.to_string())) }
        (linked(texts.film_stock, "film", &photo.film_stock))
        (linked(texts.camera, "camera", &photo.camera))
        (linked(texts.lens, "lens", &photo.lens))
        @if let Some(roll) = &photo.roll { (roll_facts(texts, roll, false)) }
        @if let Some(taken) = &photo.taken_at {
            div { dt { (texts.taken) } dd { time datetime=(taken) { (lang.moment(taken)) } } }
        }
        @if !photo.place.is_empty() || photo.location.is_some() {
            div { dt { (texts.place) } dd {
                @if !photo.place.is_empty() { span { (photo.place) } " " }
                @if let Some(at) = &photo.location {
                    a href={ "https://www.openstreetmap.org/?mlat=" (at.lat) "&mlon=" (at.lon) "#map=14/" (at.lat) "/" (at.lon) }
                        rel="noopener external" { (texts.on_the_map) }
                }
            } }
        }
        (fact(texts.file_says, &exif(&photo.exif)))
        (fact(texts.size, &format!("{} × {}", photo.width, photo.height)))
        div { dt { (texts.uploaded_on) } dd { time datetime=(photo.created_at) { (lang.day(&photo.created_at)) } } }
    }
}

/// `Nikon LS-50 · 1/125 s · f/2.8 · 50 mm · ISO 400`.
fn exif(exif: &Exif) -> String {
    let mut parts = Vec::new();
    let make = exif.make.as_deref().unwrap_or_default();
    let model = exif.model.as_deref().unwrap_or_default();
    // Many models begin with their maker.
    let first = make.split(' ').next().unwrap_or_default().to_lowercase();
    let device = if first.is_empty() || model.to_lowercase().starts_with(&first) {
        model.to_owned()
    } else {
        format!("{make} {model}")
    };
    let device = device.trim();
    if !device.is_empty() {
        parts.push(device.to_owned());
    }
    parts.extend(exif.lens.clone());
    parts.extend(exif.exposure_seconds.filter(|s| *s > 0.0).map(seconds));
    parts.extend(exif.f_number.map(|f| format!("f/{}", decimal(f))));
    parts.extend(exif.focal_mm.map(|f| format!("{} mm", decimal(f))));
    parts.extend(exif.iso.map(|iso| format!("ISO {iso}")));
    parts.join(" · ")
}

fn decimal(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

fn seconds(value: f64) -> String {
    if value < 0.3 { format!("1/{:.0} s", 1.0 / value) } else { format!("{} s", decimal(value)) }
}

fn share(texts: &Texts, view: &View<'_>) -> Markup {
    let photo = view.photo;
    html! {
        @if let Some(code) = &photo.short {
            p.share { label { (texts.short_link)
                input type="text" readonly value={ (view.origin) "/s/" (code) } data-copy=(texts.copy)
                    data-copied=(texts.copied); } }
        }
        @if photo.editable && let Some(session) = view.session {
            div.actions {
                a href={ "/admin/photos/" (photo.key) } { (texts.edit) }
                a href={ "/api/photos/" (photo.key) "/original" } download { (texts.original) }
                @if photo.short.is_none() {
                    form method="post" action={ "/admin/photos/" (photo.key) "/short" } {
                        (csrf(session))
                        button.link { (texts.make_short) }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_file_says_reads_like_a_caption() {
        let said = exif(&Exif {
            make: Some("NIKON CORPORATION".to_owned()),
            model: Some("Nikon LS-50".to_owned()),
            lens: None,
            exposure_seconds: Some(0.008),
            f_number: Some(2.8),
            iso: Some(400),
            focal_mm: Some(50.0),
        });
        assert_eq!(said, "Nikon LS-50 · 1/125 s · f/2.8 · 50 mm · ISO 400");
        assert_eq!(exif(&Exif { exposure_seconds: Some(2.0), ..Exif::default() }), "2 s");
        assert_eq!(exif(&Exif::default()), "");
    }
}
