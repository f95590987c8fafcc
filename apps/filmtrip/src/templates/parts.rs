//! What several pages show: grids, pictures, pagers, small form parts.

use std::ops::RangeInclusive;

use maud::{Markup, PreEscaped, html};

use crate::i18n::Texts;
use crate::model::limits::TITLE;
use crate::model::{Album, Image, Photo, Roll, SessionInfo, Visibility};

/// The class of an aspect ratio, in steps of 5 percent from 0.4 to 3.
#[must_use]
pub fn shape(width: u32, height: u32) -> u32 {
    let percent = u64::from(width) * 100 / u64::from(height.max(1));
    let step = (percent + 2) / 5 * 5;
    u32::try_from(step.clamp(40, 300)).unwrap_or(100)
}

/// Encodes a part of a path or a value of a query.
#[must_use]
pub fn enc(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// A strip of empty frames.
#[must_use]
pub fn blank() -> Markup {
    html! { p.blank aria-hidden="true" { span {} span {} span {} } }
}

/// What was done, or went wrong.
#[must_use]
pub fn messages(notice: Option<&str>, problem: Option<&str>) -> Markup {
    html! {
        @if let Some(text) = notice { p.notice role="status" { (text) } }
        @if let Some(text) = problem { p.notice.bad #problem role="alert" { (text) } }
    }
}

/// Marks the field that is wrong in the form that is sent to `action`, and puts the cursor there. In the text of the
/// page: so a form need not know of it field by field. Quotes of people are escaped, none of them looks like this.
#[must_use]
pub fn mark(page: &Markup, action: &str, field: &str) -> Markup {
    // What the API calls by one name has two fields in a form.
    let field = match field {
        "taken_at" => "day",
        "location" => "lat",
        other => other,
    };
    let (name, text) = (format!(" name=\"{field}\""), &page.0);
    let found = text.find(&format!("action=\"{action}\"")).and_then(|form| {
        let at = form + text.get(form..)?.find(&name)? + name.len();
        Some((text.get(..at)?, text.get(at..)?))
    });
    match found {
        Some((before, after)) => PreEscaped(format!(
            "{before} aria-invalid=\"true\" aria-errormessage=\"problem\" autofocus{after}"
        )),
        None => page.clone(),
    }
}

/// The title, or that there is none.
#[must_use]
pub fn name<'a>(texts: &Texts, photo: &'a Photo) -> &'a str
where
    'static: 'a,
{
    if photo.title.is_empty() { texts.untitled } else { &photo.title }
}

/// What a person hears who does not see the photo: title, else caption, else roll and frame.
#[must_use]
pub fn alt(texts: &Texts, photo: &Photo) -> String {
    if !photo.title.is_empty() {
        return photo.title.clone();
    }
    let line = photo.caption.lines().next().unwrap_or_default();
    if !line.is_empty() {
        return line.chars().take(120).collect();
    }
    match (&photo.roll, photo.frame) {
        (Some(roll), Some(frame)) => format!("{} · {} {frame}", roll.title, texts.frame),
        (Some(roll), None) => roll.title.clone(),
        _ => texts.untitled.to_owned(),
    }
}

/// A picture with WebP where there is one. `sizes` is how wide it is shown.
#[must_use]
pub fn picture(image: &Image, larger: Option<&Image>, sizes: &str, alt: &str, lazy: bool) -> Markup {
    let set = |url: fn(&Image) -> Option<&str>| {
        let mut set = format!("{} {}w", url(image)?, image.width);
        // A photo that is smaller than the step has the same width twice.
        if let Some(more) = larger.filter(|l| l.width > image.width) {
            set.push_str(&format!(", {} {}w", url(more)?, more.width));
        }
        Some(set)
    };
    html! {
        picture {
            @if let Some(webp) = set(|i| i.webp.as_deref()) {
                source type="image/webp" srcset=(webp) sizes=(sizes);
            }
            img src=(image.url) srcset=[set(|i| Some(&i.url))] sizes=(sizes)
                width=(image.width) height=(image.height) alt=(alt)
                decoding="async" loading=[lazy.then_some("lazy")];
        }
    }
}

/// The address of a photo's page in a list.
#[must_use]
pub fn photo_path(key: &str, context: &str) -> String {
    if context.is_empty() { format!("/p/{key}") } else { format!("/p/{key}?{context}") }
}

/// The texts of the photo viewer, for its script.
#[must_use]
pub fn viewer_texts(texts: &Texts) -> String {
    json(&[
        ("close", texts.close),
        ("previous", texts.previous_photo),
        ("next", texts.next_photo),
        ("info", texts.information),
        ("full", texts.full_screen),
        ("viewer", texts.viewer),
        ("position", texts.position),
        ("page", texts.photo_page),
        ("failed", texts.image_failed),
    ])
}

/// Texts as the JSON object of a `data-` attribute.
#[must_use]
pub fn json(pairs: &[(&str, &str)]) -> String {
    let map: std::collections::BTreeMap<_, _> = pairs.iter().copied().collect();
    serde_json::to_string(&map).unwrap_or_default()
}

/// Photos in justified rows. `context` is the query of the list, for the pages of its photos.
#[must_use]
pub fn grid(texts: &Texts, photos: &[Photo], context: &str, frames: bool) -> Markup {
    html! {
        section class="grid" data-viewer=(viewer_texts(texts)) data-edge[frames] {
            @for (index, photo) in photos.iter().enumerate() { (frame(texts, photo, context, index, frames)) }
        }
    }
}

fn frame(texts: &Texts, photo: &Photo, context: &str, index: usize, frames: bool) -> Markup {
    let step = shape(photo.width, photo.height);
    // A row is 15 rem high, 11 on a phone, and grows by a quarter at most in the mean.
    let (rem, vw) = (step * 20 / 100, (step * 62 / 100).min(92));
    let sizes = format!("(max-width: 40rem) {vw}vw, {rem}rem");
    let large = &photo.images.large;
    html! {
        a class={ "frame s" (step) } id={ "p-" (photo.key) } href=(photo_path(&photo.key, context))
            data-large=(large.url) data-webp=[large.webp.as_deref()] data-w=(large.width) data-h=(large.height)
            data-hash=[photo.thumbhash.as_deref()] {
            (picture(&photo.images.thumb, Some(&photo.images.preview), &sizes, &alt(texts, photo), index > 5))
            @if frames && let Some(number) = photo.frame {
                span.number aria-label={ (texts.frame) " " (number) } { (number) }
            }
            @if !photo.title.is_empty() { span.name aria-hidden="true" { (photo.title) } }
        }
    }
}

/// A grid, or that there is nothing, and the pager.
#[must_use]
pub fn listing(texts: &Texts, view: &super::public::List<'_>) -> Markup {
    html! {
        @if view.page.photos.is_empty() {
            section.problem { (blank()) p { @if view.paged { (texts.page_gone) } @else { (view.none) } } }
        } @else {
            (grid(texts, &view.page.photos, view.context, view.frames))
        }
        (pager(texts, view.path, view.page.next.as_deref(), view.paged))
    }
}

/// Links to the next page and back to the first. `path` may have a query already.
#[must_use]
pub fn pager(texts: &Texts, path: &str, next: Option<&str>, paged: bool) -> Markup {
    pages(texts, path, next.map(|next| ("before", next)), paged, texts.more)
}

/// The same of a list of something else: `next` is the parameter that leads to the next page, `more` what is told of it.
#[must_use]
pub fn pages(texts: &Texts, path: &str, next: Option<(&str, &str)>, paged: bool, more: &str) -> Markup {
    let join = if path.contains('?') { '&' } else { '?' };
    html! {
        @if paged || next.is_some() {
            nav.pager aria-label=(texts.pages) {
                @if paged { a href=(path) { span aria-hidden="true" { "← " } (texts.newest) } }
                @if let Some((name, next)) = next {
                    a.next rel="next" href={ (path) (join) (name) "=" (enc(next)) } {
                        (more) span aria-hidden="true" { " →" }
                    }
                }
            }
        }
    }
}

/// A menu of who may see it. With `keep`, the first choice is to change nothing.
#[must_use]
pub fn visibility(texts: &Texts, chosen: Option<Visibility>, keep: bool) -> Markup {
    html! {
        select name="visibility" {
            @if keep { option value="" { (texts.no_change) } }
            @for one in [Visibility::Public, Visibility::Unlisted, Visibility::Private] {
                option value=(one.as_str()) selected[Some(one) == chosen] { (texts.visibility_name(one)) }
            }
        }
    }
}

/// A menu of rolls; `first` are choices before them, value and text.
#[must_use]
pub fn roll_menu<'a>(
    rolls: impl IntoIterator<Item = &'a Roll>,
    chosen: Option<&str>,
    first: &[(&str, &str)],
) -> Markup {
    html! {
        select name="roll" {
            @for (value, text) in first { option value=(value) selected[Some(*value) == chosen] { (text) } }
            @for roll in rolls {
                option value=(roll.key) selected[Some(roll.key.as_str()) == chosen] {
                    (roll.title) @if !roll.film_stock.is_empty() && roll.film_stock != roll.title { " · " (roll.film_stock) }
                    @if let Some(owner) = &roll.owner { " · " (owner) }
                }
            }
        }
    }
}

/// A menu of albums.
#[must_use]
pub fn album_menu<'a>(
    albums: impl IntoIterator<Item = &'a Album>,
    chosen: Option<&str>,
    none: &str,
) -> Markup {
    html! {
        select name="album" {
            option value="" { (none) }
            @for album in albums {
                option value=(album.key) selected[Some(album.key.as_str()) == chosen] {
                    (album.title) @if let Some(owner) = &album.owner { " · " (owner) } }
            }
        }
    }
}

/// A line of text in a form.
#[must_use]
pub fn line(label: &str, field: &str, value: &str, max: usize) -> Markup {
    html! { label { (label) input type="text" name=(field) value=(value) maxlength=(max); } }
}

/// A line of text with proposals.
#[must_use]
pub fn proposed(label: &str, field: &str, value: &str, list: &str, hint: Option<&str>) -> Markup {
    html! {
        label { (label)
            input type="text" name=(field) value=(value) maxlength=(TITLE) list=(list) autocomplete="off"
                placeholder=[hint];
        }
    }
}

/// A day in a form.
#[must_use]
pub fn day(label: &str, field: &str, value: Option<&str>) -> Markup {
    html! { label { (label) input type="date" name=(field) value=[value]; } }
}

/// A whole number in a form.
#[must_use]
pub fn number(label: &str, field: &str, value: Option<u32>, range: &RangeInclusive<u32>) -> Markup {
    html! {
        label { (label)
            input type="number" inputmode="numeric" name=(field) value=[value]
                min=(range.start()) max=(range.end()); }
    }
}

/// The button that brings back what was just deleted.
#[must_use]
pub fn undo(texts: &Texts, session: &SessionInfo, key: Option<&str>) -> Markup {
    html! {
        @if let Some(key) = key {
            form.undo method="post" action={ "/admin/trash/" (key) } {
                (super::csrf(session))
                button.quiet name="action" value="restore" { (texts.undo) }
            }
        }
    }
}

/// The card that deletes something: into the trash, or for good, which is asked twice. `hint` says what goes and what
/// stays.
#[must_use]
pub fn deletion(texts: &Texts, session: &SessionInfo, action: &str, hint: &str, trash: bool) -> Markup {
    html! {
        section.card {
            h2 { (texts.delete) }
            form.fields method="post" action=(action) {
                (super::csrf(session))
                p.hint { (hint) }
                @if trash {
                    input type="hidden" name="sure" value="true";
                    button.quiet.danger { (texts.move_to_trash) }
                } @else {
                    label.check { input type="checkbox" name="sure" value="true" required; (texts.forever_sure) }
                    button.quiet.danger { (texts.delete) }
                }
            }
        }
    }
}

/// Bytes for people.
#[must_use]
pub fn bytes(count: u64) -> String {
    // Rounded for people: the lost digits are not shown.
    #[allow(clippy::cast_precision_loss)]
    let size = count as f64;
    for (unit, power) in [("TB", 4), ("GB", 3), ("MB", 2), ("kB", 1)] {
        let one = 1000_f64.powi(power);
        if size >= one {
            return format!("{:.1} {unit}", size / one);
        }
    }
    format!("{count} B")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_a_name_holds_stays_one_part_of_a_path() {
        assert_eq!(enc("Kodak Tri-X 400/乐凯?"), "Kodak%20Tri-X%20400%2F%E4%B9%90%E5%87%AF%3F");
    }

    #[test]
    fn the_wrong_field_of_the_right_form_is_marked() {
        let page = html! {
            form action="/a" { input name="title"; }
            form action="/b" { input name="title" value="\" name=\"day\""; input name="day"; }
        };
        let marked = mark(&page, "/b", "taken_at").into_string();
        assert!(marked.ends_with(
            "<input name=\"day\" aria-invalid=\"true\" aria-errormessage=\"problem\" autofocus></form>"
        ));
        assert!(
            mark(&page, "/a", "title")
                .into_string()
                .starts_with("<form action=\"/a\"><input name=\"title\" aria")
        );
        assert_eq!(mark(&page, "/b", "nothing").into_string(), page.into_string());
    }

    #[test]
    fn bytes_are_rounded_for_people() {
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(24_300_000), "24.3 MB");
        assert_eq!(bytes(1_500_000_000), "1.5 GB");
    }

    #[test]
    fn pictures_name_webp_only_where_there_is_one() {
        let image = |webp: Option<&str>, width| Image {
            url: format!("/m/{width}.jpg"),
            webp: webp.map(str::to_owned),
            width,
            height: 10,
        };
        let plain = picture(&image(None, 600), Some(&image(None, 1024)), "1rem", "a", true).into_string();
        assert!(!plain.contains("webp") && plain.contains("/m/600.jpg 600w, /m/1024.jpg 1024w"), "{plain}");
        let both =
            picture(&image(Some("/t.webp"), 600), Some(&image(Some("/p.webp"), 1024)), "1rem", "a", false);
        assert!(both.into_string().contains("srcset=\"/t.webp 600w, /p.webp 1024w\""));
        let small = picture(&image(None, 300), Some(&image(None, 300)), "1rem", "a", false).into_string();
        assert!(small.contains("srcset=\"/m/300.jpg 300w\""), "{small}");
    }
}
