//! What is stored where, for admins.

use maud::{Markup, html};

use super::parts::{bytes, pages};
use crate::i18n::Texts;
use crate::model::{PlaceUse, StorageReport, Volume};

/// The room of the media folder, and a warning when it runs short.
#[must_use]
pub fn volume(texts: &Texts, volume: Option<&Volume>) -> Markup {
    html! {
        @match volume {
            None => p { (texts.volume_unknown) },
            Some(volume) => p {
                (texts.volume_free.replace("{n}", &bytes(volume.free)).replace("{m}", &bytes(volume.total))
                    .replace("{p}", &volume.percent().to_string()))
            },
        }
    }
}

/// The warning alone, for the top of a page.
#[must_use]
pub fn warning(texts: &Texts, volume: Option<&Volume>) -> Markup {
    html! { @if volume.is_some_and(|volume| volume.low) { p.notice.bad role="alert" { (texts.volume_low) } } }
}

/// Everything that is stored, by kind and by person.
#[must_use]
pub fn page(texts: &Texts, report: &StorageReport, paged: bool) -> Markup {
    html! {
        h1 { (texts.storage) }
        (warning(texts, report.volume.as_ref()))
        section.card {
            h2 { (texts.by_kind) }
            (volume(texts, report.volume.as_ref()))
            @if report.places.is_empty() { p.hint { (texts.empty) } } @else { (kinds(texts, report)) }
            p.hint { (texts.storage_hint) }
            @if !report.measured { p { (texts.storage_unknown) } }
            @if report.styled > 0 { p { (texts.storage_styled.replace("{n}", &texts.photos(report.styled))) } }
            @if report.unmeasured > 0 {
                p { (texts.storage_unmeasured.replace("{n}", &texts.photos(report.unmeasured))) } }
        }
        section.card {
            h2 { (texts.by_person) }
            (people(texts, report))
            (pages(texts, "/admin/site/storage", report.next.as_deref().map(|next| ("after", next)), paged, texts.next_page))
        }
    }
}

fn kinds(texts: &Texts, report: &StorageReport) -> Markup {
    let places = &report.places;
    let row = |head: &str, of: &dyn Fn(&PlaceUse) -> u64| {
        html! {
            tr {
                th scope="row" { (head) }
                @for place in places { td.n { (bytes(of(place))) } }
                @if places.len() > 1 { td.n { (bytes(places.iter().map(of).sum())) } }
            }
        }
    };
    // A place may hold originals only.
    let sizes = places.iter().find(|place| !place.sizes.is_empty()).map_or(&[][..], |place| &place.sizes);
    html! {
        div.wide tabindex="0" role="region" aria-label=(texts.by_kind) { table {
            thead { tr {
                th scope="col" { (texts.storage_kind) }
                @for place in places { th.n scope="col" { (texts.backend_name(&place.backend)) } }
                @if places.len() > 1 { th.n scope="col" { (texts.storage_total) } }
            } }
            tbody {
                (row(texts.originals, &|place| place.originals))
                @for (n, size) in sizes.iter().enumerate() {
                    (row(&format!("{} {}", texts.size_name(&size.size), kind(&size.kind)),
                        &|place| place.sizes.get(n).map_or(0, |size| size.bytes)))
                }
                (row(texts.storage_sum, &PlaceUse::stored))
                (row(texts.storage_trash, &|place| place.trash))
                (row(texts.storage_uploads, &|place| place.uploads))
                (row(texts.storage_abandoned, &|place| place.abandoned))
            }
        } }
    }
}

/// The name of a kind of file, which is the same in all languages.
fn kind(kind: &str) -> &str {
    match kind {
        "jpeg" => "JPEG",
        "webp" => "WebP",
        other => other,
    }
}

fn people(texts: &Texts, report: &StorageReport) -> Markup {
    html! {
        div.wide tabindex="0" role="region" aria-label=(texts.by_person) { table {
            thead { tr {
                th scope="col" { (texts.email) }
                @for head in [texts.home, texts.originals, texts.storage_sizes, texts.storage_sum, texts.storage_trash,
                    texts.storage_uploads] { th.n scope="col" { (head) } }
            } }
            tbody { @for person in &report.people { tr {
                th scope="row" { (person.email) }
                td.n { (person.photos) }
                @for count in [person.originals, person.sizes, person.originals + person.sizes, person.trash, person.uploads] {
                    td.n { (bytes(count)) }
                }
            } } }
        } }
        @if report.people.is_empty() { p.hint { (texts.page_gone) } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::i18n::Lang;

    #[test]
    fn the_page_warns_when_the_room_runs_short_and_only_then() {
        for (free, warned) in [(40_000_000_000, false), (4_000_000_000, true)] {
            for lang in [Lang::En, Lang::Zh] {
                let texts = lang.texts();
                let report = StorageReport {
                    volume: Some(Volume::new(100_000_000_000, free)),
                    ..StorageReport::default()
                };
                let page = page(texts, &report, false).into_string();
                assert_eq!(page.contains(texts.volume_low), warned, "{free}: {page}");
                assert!(page.contains(&bytes(free)), "{page}");
            }
        }
    }
}
