//! The form with everything that is known of one photo.

use maud::{Markup, html};

use super::csrf;
use super::parts::{alt, line, messages, number, picture, proposed, roll_menu, visibility};
use super::rolls::proposals;
use crate::i18n::Texts;
use crate::model::limits::{CAPTION, FRAME, TAG_LINE, TITLE};
use crate::model::{Gear, Photo, Roll, SessionInfo};

/// What the form shows.
pub struct View<'a> {
    /// Who is logged in.
    pub session: &'a SessionInfo,
    /// The photo.
    pub photo: &'a Photo,
    /// The rolls it may be on.
    pub rolls: &'a [Roll],
    /// Proposals.
    pub gear: &'a Gear,
    /// Where it was taken.
    pub place: &'a Place,
    /// What was just done.
    pub notice: Option<&'a str>,
    /// Why the form was not taken.
    pub problem: Option<&'a str>,
}

/// Where a photo was taken, as written in the form.
pub struct Place {
    /// Latitude in degrees.
    pub lat: String,
    /// Longitude in degrees.
    pub lon: String,
    /// Whether everybody may know it.
    pub shown: bool,
}

/// The form.
#[must_use]
pub fn page(texts: &Texts, view: &View<'_>) -> Markup {
    let photo = view.photo;
    let path = format!("/admin/photos/{}", photo.key);
    html! {
        h1 { (texts.edit) ": " (super::parts::name(texts, photo)) }
        (messages(view.notice, view.problem))
        div.columns.even {
            div {
                a.print.small href={ "/p/" (photo.key) } data-hash=[photo.thumbhash.as_deref()] {
                    (picture(&photo.images.preview, None, "(max-width: 52rem) 92vw, 40rem", &alt(texts, photo), false))
                }
                div.actions {
                    a href={ "/p/" (photo.key) } { (texts.view) }
                    a href={ "/api/photos/" (photo.key) "/original" } download { (texts.original) }
                    form method="post" action={ (path) "/delete" } {
                        (csrf(view.session))
                        button.link.danger { (texts.move_to_trash) }
                    }
                }
                @if let Some(owner) = &photo.owner { p.hint { (texts.owner) ": " (owner) } }
                p.hint { @if let Some(name) = &photo.file_name { (name) " · " } (photo.width) " × " (photo.height)
                    @if let Some(backend) = &photo.backend { " · " (texts.stored_in) " " (texts.backend_name(backend)) } }
            }
            section.card {
                (proposals(view.gear))
                form.fields method="post" action=(path) {
                    (csrf(view.session))
                    (fields(texts, view))
                    div.actions { button { (texts.save) } }
                }
            }
        }
    }
}

fn fields(texts: &Texts, view: &View<'_>) -> Markup {
    let photo = view.photo;
    let taken = photo.taken_at.as_deref().unwrap_or_default();
    let roll = photo.roll.as_ref();
    // A photo can be on its owner's rolls only; an admin sees everybody's.
    let rolls = view.rolls.iter().filter(|r| r.owner == photo.owner);
    // What is as on the roll stays empty, so that a later change of the roll shows.
    let own = |value: &str, of_roll: fn(&Roll) -> &str| {
        if roll.is_some_and(|r| of_roll(r) == value) { String::new() } else { value.to_owned() }
    };
    html! {
        (line(texts.title, "title", &photo.title, TITLE))
        label { (texts.caption) textarea name="caption" maxlength=(CAPTION) rows="4" { (photo.caption) } }
        div.pair {
            label { (texts.visibility) (visibility(texts, Some(photo.visibility), false)) }
            label { (texts.tags)
                input type="text" name="tags" value=(photo.tags.join(", ")) maxlength=(TAG_LINE) placeholder=(texts.tags_hint); }
        }
        fieldset {
            legend { (texts.film_facts) }
            div.pair {
                label { (texts.roll) (roll_menu(rolls, roll.map(|r| r.key.as_str()), &[("", texts.no_roll)])) }
                (number(texts.frame, "frame", photo.frame, &FRAME))
                (proposed(texts.film_stock, "film_stock", &own(&photo.film_stock, |r| &r.film_stock), "films",
                    hint(texts, roll, |r| &r.film_stock)))
                (proposed(texts.camera, "camera", &own(&photo.camera, |r| &r.camera), "cameras",
                    hint(texts, roll, |r| &r.camera)))
                (proposed(texts.lens, "lens", &own(&photo.lens, |r| &r.lens), "lenses", hint(texts, roll, |r| &r.lens)))
            }
        }
        fieldset {
            legend { (texts.when_where) }
            div.pair {
                (super::parts::day(texts.day_field, "day", taken.get(..10)))
                label { (texts.time_field) input type="time" step="1" name="time" value=[taken.get(11..19)]; }
            }
            (line(texts.place, "place", &photo.place, TITLE))
            div.pair {
                (degrees(texts.latitude, "lat", &view.place.lat, 90))
                (degrees(texts.longitude, "lon", &view.place.lon, 180))
            }
            label.check {
                input type="checkbox" name="shown" value="true" checked[view.place.shown]
                    aria-describedby="location-hint";
                (texts.show_location)
            }
            p.hint #location-hint { (texts.location_hint) }
        }
    }
}

fn hint<'a>(texts: &'a Texts, roll: Option<&'a Roll>, of_roll: fn(&Roll) -> &str) -> Option<&'a str> {
    roll.map(|r| if of_roll(r).is_empty() { texts.own_hint } else { of_roll(r) })
}

fn degrees(label: &str, field: &str, value: &str, limit: u32) -> Markup {
    html! {
        label { (label)
            input type="number" inputmode="decimal" step="any" name=(field) value=(value)
                min={ "-" (limit) } max=(limit); }
    }
}
