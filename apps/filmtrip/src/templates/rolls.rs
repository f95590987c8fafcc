//! Rolls in the studio.

use std::collections::BTreeSet;

use maud::{Markup, html};

use super::csrf;
use super::parts::{day, deletion, messages, number, pages, proposed, undo};
use super::stocks::STOCKS;
use crate::i18n::Texts;
use crate::model::limits::{CAPTION, ISO, TITLE};
use crate::model::{Facet, FilmFormat, Gear, Roll, RollList, SessionInfo};

/// Proposals for film, camera, lens and scanner: one's own first, then well-known films.
#[must_use]
pub fn proposals(gear: &Gear) -> Markup {
    let own: BTreeSet<&str> = gear.film_stocks.iter().map(|f| f.name.as_str()).collect();
    let plain = |id: &str, facets: &[Facet]| {
        html! { datalist id=(id) { @for facet in facets { option value=(facet.name) {} } } }
    };
    html! {
        datalist #films {
            @for facet in &gear.film_stocks { option value=(facet.name) {} }
            @for (name, iso) in STOCKS {
                @if !own.contains(name) { option value=(name) data-iso=(iso) {} }
            }
        }
        (plain("cameras", &gear.cameras))
        (plain("lenses", &gear.lenses))
        (plain("scanners", &gear.scanners))
    }
}

/// What the list of rolls shows.
pub struct Shelf<'a> {
    /// Who is logged in.
    pub session: &'a SessionInfo,
    /// The rolls.
    pub list: &'a RollList,
    /// Whether this is not the first page.
    pub paged: bool,
    /// Proposals.
    pub gear: &'a Gear,
    /// What the form of a new roll begins with.
    pub new: Option<&'a Roll>,
    /// What was just done.
    pub notice: Option<&'a str>,
    /// Key of what was just deleted and can be brought back.
    pub undo: Option<&'a str>,
    /// Why the new roll was not taken.
    pub problem: Option<&'a str>,
}

/// The rolls of the studio.
#[must_use]
pub fn index(texts: &Texts, view: &Shelf<'_>) -> Markup {
    let (session, rolls) = (view.session, &view.list.rolls);
    let empty = Roll::default();
    html! {
        h1 { (texts.rolls) }
        (messages(view.notice, view.problem))
        (undo(texts, view.session, view.undo))
        details.card open[(rolls.is_empty() && !view.paged) || view.new.is_some()] {
            summary { (texts.new_roll) }
            form.fields method="post" action="/admin/rolls" {
                (csrf(session))
                (fields(texts, view.new.unwrap_or(&empty), view.gear))
                button { (texts.create) }
            }
        }
        @if rolls.is_empty() { p.hint { @if view.paged { (texts.page_gone) } @else { (texts.rolls_none) } } }
        ul.rolls {
            @for roll in rolls {
                li {
                    a.can href={ "/admin/rolls/" (roll.key) } {
                        b { (roll.title) }
                        span { (roll.film_stock) }
                        small { (texts.format_name(roll.format))
                            @if let Some(iso) = roll.exposure_index.or(roll.box_iso) { " · EI " (iso) }
                            @if !roll.camera.is_empty() { " · " (roll.camera) }
                            @if let Some(owner) = &roll.owner { " · " (owner) } }
                    }
                    div.actions {
                        a href={ "/admin?roll=" (roll.key) } { (texts.photos(roll.photos.unwrap_or(0))) }
                        a href={ "/r/" (roll.key) } { (texts.view) }
                        a href={ "/admin/rolls?like=" (roll.key) } { (texts.roll_like) }
                    }
                }
            }
        }
        (pages(texts, "/admin/rolls", view.list.next.as_deref().map(|next| ("before", next)), view.paged, texts.next_page))
    }
}

/// One roll in the studio.
#[must_use]
pub fn edit(
    texts: &Texts,
    session: &SessionInfo,
    roll: &Roll,
    gear: &Gear,
    notice: Option<&str>,
    problem: Option<&str>,
    undo: bool,
) -> Markup {
    let path = format!("/admin/rolls/{}", roll.key);
    let gone = if undo { texts.roll_trash_hint } else { texts.roll_delete_hint };
    let gone = gone.replace("{n}", &texts.photos(roll.photos.unwrap_or(0)));
    html! {
        h1 { (roll.title) }
        (messages(notice, problem))
        div.columns {
            section.card {
                form.fields method="post" action=(path) {
                    (csrf(session))
                    (fields(texts, roll, gear))
                    div.actions {
                        button { (texts.save) }
                        a href={ "/admin?roll=" (roll.key) } { (texts.photos(roll.photos.unwrap_or(0))) }
                        a href={ "/r/" (roll.key) } { (texts.view) }
                        (originals(texts, roll))
                    }
                }
            }
            (deletion(texts, session, &format!("{path}/delete"), &gone, undo))
        }
    }
}

/// Everything on the roll in one file, when there is something.
fn originals(texts: &Texts, roll: &Roll) -> Markup {
    html! {
        @if roll.photos.unwrap_or(0) > 0 {
            a href={ "/api/rolls/" (roll.key) "/originals" } download { (texts.roll_originals) }
        }
    }
}

fn fields(texts: &Texts, roll: &Roll, gear: &Gear) -> Markup {
    html! {
        (proposals(gear))
        div.pair {
            label { (texts.title) input type="text" name="title" value=(roll.title) maxlength=(TITLE) required; }
            (proposed(texts.film_stock, "film_stock", &roll.film_stock, "films", Some("Kodak Gold 200")))
            label { (texts.format)
                select name="format" {
                    @for format in FilmFormat::ALL {
                        option value=(format.as_str()) selected[format == roll.format] { (texts.format_name(format)) }
                    }
                }
            }
            (number(texts.box_iso, "box_iso", roll.box_iso, &ISO))
            (number(texts.exposure_index, "exposure_index", roll.exposure_index, &ISO))
            (proposed(texts.camera, "camera", &roll.camera, "cameras", Some("Nikon FM2")))
            (proposed(texts.lens, "lens", &roll.lens, "lenses", Some("Nikkor 50/1.4")))
            (proposed(texts.scanner, "scanner", &roll.scanner, "scanners", Some("Noritsu HS-1800")))
            label { (texts.lab) input type="text" name="lab" value=(roll.lab) maxlength=(TITLE) placeholder=(texts.lab_hint); }
            (day(texts.loaded_on, "loaded_on", roll.loaded_on.as_deref()))
            (day(texts.unloaded_on, "unloaded_on", roll.unloaded_on.as_deref()))
        }
        label { (texts.developer)
            textarea name="developer" maxlength=(CAPTION) rows="2" placeholder=(texts.developer_hint)
                aria-describedby="roll-hint" { (roll.developer) } }
        label { (texts.notes)
            textarea name="notes" maxlength=(CAPTION) rows="2" aria-describedby="roll-hint" { (roll.notes) } }
        p.hint #roll-hint { (texts.roll_hint) }
    }
}
