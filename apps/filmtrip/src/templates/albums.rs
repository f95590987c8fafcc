//! Albums and trips: for everybody, and in the studio.

use maud::{Markup, html};

use super::csrf;
use super::parts::{
    alt, blank, day, deletion, grid, messages, pager, pages, photo_path, picture, undo, visibility,
};
use super::public::List;
use crate::i18n::Texts;
use crate::model::limits::{CAPTION, TITLE};
use crate::model::{Album, AlbumKind, AlbumList, Photo, SessionInfo};

/// All albums that the visitor may list.
#[must_use]
pub fn index(texts: &Texts, list: &AlbumList, paged: bool) -> Markup {
    html! {
        header.head { h1 { (texts.albums) } }
        (shelf(texts, &list.albums, "/a/", none(texts, paged)))
        (pages(texts, "/albums", list.next.as_deref().map(|next| ("before", next)), paged, texts.next_page))
    }
}

/// What is said where there are no albums.
fn none(texts: &Texts, paged: bool) -> &'static str {
    if paged { texts.page_gone } else { texts.albums_none }
}

fn shelf(texts: &Texts, albums: &[Album], base: &str, none: &str) -> Markup {
    html! {
        @if albums.is_empty() { section.problem { (blank()) p { (none) } } }
        ul.shelf {
            @for album in albums {
                li { a href={ (base) (album.key) } {
                    div.cover {
                        @if let Some(cover) = &album.cover { (picture(cover, None, "(max-width: 40rem) 92vw, 22rem", "", true)) }
                        @else { (blank()) }
                    }
                    b { (album.title) }
                    small { (texts.kind_name(album.kind)) " · " (texts.photos(album.photos))
                        @if let Some(days) = days(texts, album) { " · " (days) }
                        @if let Some(owner) = &album.owner { " · " (owner) } }
                } }
            }
        }
    }
}

/// First and last day, or the one that is known.
fn days(texts: &Texts, album: &Album) -> Option<String> {
    let lang = texts.lang;
    match (album.starts_on.as_deref(), album.ends_on.as_deref()) {
        (Some(start), Some(end)) if start != end => Some(format!("{} – {}", lang.day(start), lang.day(end))),
        (Some(day), _) | (None, Some(day)) => Some(lang.day(day)),
        (None, None) => None,
    }
}

/// One album; a trip day by day.
#[must_use]
pub fn page(texts: &Texts, album: &Album, view: &List<'_>) -> Markup {
    html! {
        header.head {
            p.kind { (texts.kind_name(album.kind)) @if let Some(days) = days(texts, album) { " · " (days) } }
            h1 { (album.title) }
            @if !album.description.is_empty() { p.caption { (album.description) } }
            @if album.editable { p { a href={ "/admin/albums/" (album.key) } { (texts.edit) } } }
        }
        @if album.kind == AlbumKind::Trip && view.page.photos.iter().any(|p| p.taken_at.is_some()) {
            @for (date, photos) in by_day(&view.page.photos) {
                h2.day { @if date.is_empty() { (texts.no_date) } @else { (texts.lang.day(date)) } }
                (grid(texts, photos, view.context, false))
            }
            (pager(texts, view.path, view.page.next.as_deref(), view.paged))
        } @else { (super::parts::listing(texts, view)) }
    }
}

/// Neighbours in the list that were taken on the same day belong together.
fn by_day(photos: &[Photo]) -> Vec<(&str, &[Photo])> {
    fn date(photo: &Photo) -> &str {
        photo.taken_at.as_deref().and_then(|t| t.get(..10)).unwrap_or_default()
    }
    photos
        .chunk_by(|a, b| date(a) == date(b))
        .map(|group| (group.first().map(date).unwrap_or_default(), group))
        .collect()
}

/// What the albums of the studio show.
pub struct Shelf<'a> {
    /// Who is logged in.
    pub session: &'a SessionInfo,
    /// The albums.
    pub list: &'a AlbumList,
    /// Whether this is not the first page.
    pub paged: bool,
    /// What the form of a new album begins with.
    pub new: Option<&'a Album>,
    /// What was just done.
    pub notice: Option<&'a str>,
    /// Key of what was just deleted and can be brought back.
    pub undo: Option<&'a str>,
    /// Why the new album was not taken.
    pub problem: Option<&'a str>,
}

/// The albums of the studio.
#[must_use]
pub fn studio(texts: &Texts, view: &Shelf<'_>) -> Markup {
    let empty = Album::default();
    html! {
        h1 { (texts.albums) }
        (messages(view.notice, view.problem))
        (undo(texts, view.session, view.undo))
        details.card open[(view.list.albums.is_empty() && !view.paged) || view.new.is_some()] {
            summary { (texts.new_album) }
            form.fields method="post" action="/admin/albums" {
                (csrf(view.session))
                (fields(texts, view.new.unwrap_or(&empty)))
                button { (texts.create) }
            }
        }
        (shelf(texts, &view.list.albums, "/admin/albums/", none(texts, view.paged)))
        (pages(texts, "/admin/albums", view.list.next.as_deref().map(|next| ("before", next)), view.paged, texts.next_page))
    }
}

fn fields(texts: &Texts, album: &Album) -> Markup {
    html! {
        div.pair {
            label { (texts.title) input type="text" name="title" value=(album.title) maxlength=(TITLE) required; }
            label { (texts.kind)
                select name="kind" {
                    @for kind in [AlbumKind::Album, AlbumKind::Trip] {
                        option value=(kind.as_str()) selected[kind == album.kind] { (texts.kind_name(kind)) }
                    }
                }
            }
            label { (texts.visibility) (visibility(texts, Some(album.visibility), false)) }
        }
        label { (texts.description) textarea name="description" maxlength=(CAPTION) rows="3" { (album.description) } }
        div.pair {
            (day(texts.starts_on, "starts_on", album.starts_on.as_deref()))
            (day(texts.ends_on, "ends_on", album.ends_on.as_deref()))
        }
    }
}

/// One album in the studio: its fields, its photos and their order.
#[must_use]
pub fn edit(
    texts: &Texts,
    session: &SessionInfo,
    album: &Album,
    photos: &[Photo],
    notice: Option<&str>,
    problem: Option<&str>,
    undo: bool,
) -> Markup {
    let path = format!("/admin/albums/{}", album.key);
    let gone = if undo { texts.album_trash_hint } else { texts.album_delete_hint };
    let gone = gone.replace("{n}", &texts.photos(album.photos));
    html! {
        h1 { (album.title) }
        (messages(notice, problem))
        div.columns {
            section.card {
                form.fields method="post" action=(path) {
                    (csrf(session))
                    (fields(texts, album))
                    div.actions { button { (texts.save) } a href={ "/a/" (album.key) } { (texts.view) } }
                }
            }
            (deletion(texts, session, &format!("{path}/delete"), &gone, undo))
        }
        h2 { (texts.album_order) }
        @if photos.is_empty() { p.hint { (texts.album_empty) " " a href="/admin" { (texts.back_office) } } }
        @else {
            form method="post" action={ (path) "/photos" } {
                (csrf(session))
                p.hint #order-hint { (texts.album_order_hint) }
                ol.sheet data-order aria-describedby="order-hint" {
                    @for (index, photo) in photos.iter().enumerate() { (position(texts, photo, index, &album.key)) }
                }
                div.actions {
                    button { (texts.save_order) }
                    button.quiet name="sort" value="date" { (texts.sort_by_date) }
                    button.quiet name="sort" value="frame" { (texts.sort_by_frame) }
                }
            }
        }
    }
}

fn position(texts: &Texts, photo: &Photo, index: usize, album: &str) -> Markup {
    let alt = alt(texts, photo);
    html! {
        li {
            a.thumb href=(photo_path(&photo.key, &format!("album={album}"))) draggable="false" {
                (picture(&photo.images.thumb, None, "12rem", &alt, true))
            }
            p.hint {
                @if let Some(frame) = photo.frame { span.number { (frame) } " " }
                @if let Some(taken) = &photo.taken_at { (texts.lang.day(taken)) }
                @else if let Some(roll) = &photo.roll { (roll.title) }
                @else { (super::parts::name(texts, photo)) }
            }
            input type="hidden" name="key" value=(photo.key);
            div.pair.tight {
                label { (texts.order)
                    input type="number" inputmode="numeric" name="order" value=(index + 1) min="1" step="any"
                        aria-label={ (texts.order) ": " (alt) }; }
                label.check { input type="checkbox" name="out" value=(photo.key); (texts.take_out) }
            }
        }
    }
}

/// Title and description of an album for other sites.
#[must_use]
pub fn describe(texts: &Texts, album: &Album) -> String {
    if album.description.is_empty() {
        format!("{} · {}", texts.kind_name(album.kind), texts.photos(album.photos))
    } else {
        album.description.clone()
    }
}
