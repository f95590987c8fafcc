//! The studio: upload, own photos with bulk edit, trash.

use maud::{Markup, html};

use super::csrf;
use super::parts::{
    album_menu, alt, day, json, messages, name, pager, pages, picture, proposed, roll_menu, visibility,
};
use super::rolls::proposals;
use crate::i18n::Texts;
use crate::model::limits::{CAPTION, FRAME, TAG_LINE, TITLE};
use crate::model::{
    Album, Gear, Photo, PhotoPage, RemovedKind, RemovedList, Roll, SessionInfo, UploadRules, UserRole,
    Visibility,
};

/// What the studio shows.
pub struct Studio<'a> {
    /// Who is logged in.
    pub session: &'a SessionInfo,
    /// The photos they may edit.
    pub page: &'a PhotoPage,
    /// Their rolls.
    pub rolls: &'a [Roll],
    /// Their albums; none while there are no albums at all.
    pub albums: Option<&'a [Album]>,
    /// Proposals.
    pub gear: &'a Gear,
    /// What may be uploaded.
    pub rules: &'a UploadRules,
    /// Who may see what is uploaded next, unless something else is chosen.
    pub visibility: Visibility,
    /// The form for many photos.
    pub bulk: Bulk,
    /// Key of the roll that is shown.
    pub roll: Option<&'a str>,
    /// Words that are looked for.
    pub words: &'a str,
    /// Path and query of the list, without the page.
    pub path: &'a str,
    /// The same with the page.
    pub back: &'a str,
    /// Whether this is not the first page.
    pub paged: bool,
    /// What was just done.
    pub notice: Option<&'a str>,
    /// Why the form for many photos was not taken.
    pub problem: Option<&'a str>,
}

/// The form for many photos, as it was written; empty fields change nothing.
#[derive(Debug, Default)]
pub struct Bulk {
    /// Keys of the photos that are ticked.
    pub keys: Vec<String>,
    /// Tags to add.
    pub add_tags: String,
    /// Tags to take off.
    pub remove_tags: String,
    /// Key of a roll, or `none`.
    pub roll: String,
    /// Key of an album.
    pub album: String,
    /// Who may see them.
    pub visibility: Option<Visibility>,
    /// Day they were taken.
    pub day: Option<String>,
    /// Name of the place.
    pub place: String,
    /// Film stock.
    pub film_stock: String,
    /// Camera.
    pub camera: String,
    /// Lens.
    pub lens: String,
    /// Number of the first frame.
    pub frames_from: String,
    /// In which order frames are numbered: `reversed`, `names`, else as shown.
    pub frames_order: String,
}

impl Bulk {
    /// Whether anything is written in the part that is folded away.
    fn unfolded(&self) -> bool {
        let texts = [&self.place, &self.film_stock, &self.camera, &self.lens, &self.frames_from];
        self.day.is_some() || texts.iter().any(|t| !t.is_empty())
    }
}

/// The studio.
#[must_use]
pub fn page(texts: &Texts, view: &Studio<'_>) -> Markup {
    let admin = view.session.user.role == UserRole::Admin;
    html! {
        h1 { (texts.back_office) }
        (messages(view.notice, view.problem))
        @if !view.paged { (upload(texts, view)) }
        div.bar {
            h2 { @if admin { (texts.all_photos) } @else { (texts.your_photos) } }
            form.filter role="search" method="get" action="/admin" {
                input type="search" name="q" value=(view.words) maxlength="200" aria-label=(texts.search)
                    placeholder=(texts.search);
                (roll_filter(texts, view))
                button.quiet { (texts.filter) }
                @if view.roll.is_some() || !view.words.is_empty() { a href="/admin" { (texts.show_all) } }
            }
        }
        @if view.page.photos.is_empty() {
            p.hint {
                @if view.paged { (texts.page_gone) }
                @else if !view.words.is_empty() { (texts.search_none) }
                @else { (texts.empty) }
            }
        }
        @else { (sheet(texts, view)) }
        (pager(texts, view.path, view.page.next.as_deref(), view.paged))
    }
}

fn roll_filter(texts: &Texts, view: &Studio<'_>) -> Markup {
    html! {
        select name="roll" aria-label=(texts.roll) {
            option value="" { (texts.any_roll) }
            @for roll in view.rolls {
                option value=(roll.key) selected[view.roll == Some(roll.key.as_str())] { (roll.title)
                    @if let Some(owner) = &roll.owner { " · " (owner) } }
            }
        }
    }
}

fn upload(texts: &Texts, view: &Studio<'_>) -> Markup {
    let accept = view.rules.types.join(",");
    // An upload is the account's own, so it goes on its own rolls and into its own albums only.
    let rolls = view.rolls.iter().filter(|roll| roll.owner.is_none());
    let albums: Vec<&Album> = view.albums.unwrap_or_default().iter().filter(|a| a.owner.is_none()).collect();
    html! {
        section.card.upload aria-labelledby="upload-title" {
            h2 #upload-title { (texts.upload) }
            form.fields method="post" action="/admin/upload" enctype="multipart/form-data"
                data-upload=(upload_texts(texts)) data-account=(view.session.user.email) {
                (csrf(view.session))
                div.pair {
                    label { (texts.roll) (roll_menu(rolls, view.roll, &[("", texts.no_roll)])) }
                    label { (texts.first_frame)
                        input type="number" inputmode="numeric" name="frame" min=(FRAME.start()) max=(FRAME.end())
                            aria-describedby="frame-hint"; }
                    label { (texts.visibility) (visibility(texts, Some(view.visibility), false)) }
                    label { (texts.tags)
                        input type="text" name="tags" maxlength=(TAG_LINE) placeholder=(texts.tags_hint); }
                    @if !albums.is_empty() {
                        label { (texts.album) (album_menu(albums, None, texts.no_album)) }
                    }
                }
                p.hint #frame-hint { (texts.first_frame_hint) }
                details {
                    summary { (texts.upload_again) }
                    div.fields {
                        label { (texts.title) input type="text" name="title" maxlength=(TITLE); }
                        label { (texts.caption) textarea name="caption" maxlength=(CAPTION) rows="2" {} }
                        label.check { input type="checkbox" name="keep_duplicate" value="true"; (texts.keep_duplicate) }
                    }
                }
                // Last: the API reads what is about the files before the files.
                label.drop { span { (texts.files) }
                    input type="file" name="file" multiple required accept=(accept); }
                button { (texts.upload) }
            }
        }
    }
}

fn upload_texts(texts: &Texts) -> String {
    json(&[
        ("drop", texts.drop_here),
        ("start", texts.start_upload),
        ("waiting", texts.waiting),
        ("sending", texts.sending),
        ("processing", texts.processing),
        ("done", texts.done),
        ("duplicate", texts.duplicate),
        ("failed", texts.failed),
        ("cancelled", texts.cancelled),
        ("retrying", texts.retrying),
        ("cancel", texts.cancel),
        ("retry", texts.retry),
        ("retryAll", texts.retry_all),
        ("remove", texts.remove),
        ("clear", texts.clear_done),
        ("progress", texts.batch_progress),
        ("finished", texts.batch_done),
        ("resumed", texts.resumed),
        ("offline", texts.offline),
        ("loggedOut", texts.logged_out),
        ("uploads", texts.uploads),
        ("frame", texts.frame),
        ("too_large", texts.too_large),
        ("unsupported_type", texts.unsupported_type),
        ("bad_image", texts.bad_image),
        ("forbidden", texts.forbidden),
        ("no_roll", texts.no_such_roll),
        ("no_album", texts.no_such_album),
        ("csrf", texts.csrf),
        ("unavailable", texts.unavailable),
    ])
}

fn sheet(texts: &Texts, view: &Studio<'_>) -> Markup {
    html! {
        form method="post" action="/admin/bulk" data-select=(select_texts(texts)) {
            (csrf(view.session))
            input type="hidden" name="back" value=(view.back);
            ul.sheet { @for photo in &view.page.photos { (contact(texts, photo, true, view.bulk.keys.contains(&photo.key))) } }
            fieldset.card.bulk {
                legend { (texts.bulk) }
                (bulk_fields(texts, view))
                div.actions {
                    button name="action" value="change" { (texts.apply) }
                    button.quiet.danger name="action" value="trash" { (texts.move_to_trash) }
                }
            }
        }
    }
}

fn bulk_fields(texts: &Texts, view: &Studio<'_>) -> Markup {
    let bulk = &view.bulk;
    let chosen = |value: &str| Some(value.to_owned()).filter(|v| !v.is_empty());
    let kept = Some(texts.no_change);
    html! {
        div.pair {
            label { (texts.add_tags)
                input type="text" name="add_tags" value=(bulk.add_tags) maxlength=(TAG_LINE) placeholder=(texts.tags_hint); }
            label { (texts.remove_tags)
                input type="text" name="remove_tags" value=(bulk.remove_tags) maxlength=(TAG_LINE); }
            label { (texts.roll)
                (roll_menu(view.rolls, chosen(&bulk.roll).as_deref(), &[("", texts.no_change), ("none", texts.no_roll)])) }
            @if let Some(albums) = view.albums.filter(|a| !a.is_empty()) {
                label { (texts.add_to_album) (album_menu(albums, chosen(&bulk.album).as_deref(), texts.no_change)) }
            }
            label { (texts.visibility) (visibility(texts, bulk.visibility, true)) }
        }
        details open[bulk.unfolded()] {
            summary { (texts.bulk_more) }
            (proposals(view.gear))
            div.pair {
                (day(texts.day_field, "day", bulk.day.as_deref()))
                label { (texts.place)
                    input type="text" name="place" value=(bulk.place) maxlength=(TITLE) placeholder=(texts.no_change); }
                (proposed(texts.film_stock, "film_stock", &bulk.film_stock, "films", kept))
                (proposed(texts.camera, "camera", &bulk.camera, "cameras", kept))
                (proposed(texts.lens, "lens", &bulk.lens, "lenses", kept))
                label { (texts.frames_from)
                    input type="number" inputmode="numeric" name="frames_from" value=(bulk.frames_from)
                        min=(FRAME.start()) max=(FRAME.end()) placeholder=(texts.no_change); }
                label { (texts.frames_order)
                    select name="frames_order" {
                        option value="shown" { (texts.frames_shown) }
                        option value="reversed" selected[bulk.frames_order == "reversed"] { (texts.frames_reversed) }
                        option value="names" selected[bulk.frames_order == "names"] { (texts.frames_by_name) }
                    }
                }
            }
        }
    }
}

fn select_texts(texts: &Texts) -> String {
    json(&[("all", texts.select_all), ("none", texts.select_none), ("count", texts.selected)])
}

/// The title, else the name of the file, by which people know a scan that they have not named yet.
fn known_as<'a>(texts: &Texts, photo: &'a Photo) -> &'a str
where
    'static: 'a,
{
    match &photo.file_name {
        Some(file) if photo.title.is_empty() => file,
        _ => name(texts, photo),
    }
}

/// A photo of the contact sheet.
fn contact(texts: &Texts, photo: &Photo, links: bool, ticked: bool) -> Markup {
    let alt = alt(texts, photo);
    let shown = html! { (picture(&photo.images.thumb, None, "12rem", &alt, true)) };
    html! {
        li {
            label.pick {
                input type="checkbox" name="key" value=(photo.key) checked[ticked]
                    aria-label=(texts.select.replace("{n}", &alt));
            }
            @if links { a.thumb href={ "/admin/photos/" (photo.key) } { (shown) } }
            @else { span.thumb { (shown) } }
            p.name { (known_as(texts, photo)) }
            p.hint {
                @if let Some(frame) = photo.frame { span.number { (frame) } " " }
                @if photo.visibility != Visibility::Public { b { (texts.visibility_name(photo.visibility)) } " · " }
                @if let Some(roll) = &photo.roll { (roll.title) } @else { (photo.width) " × " (photo.height) }
            }
        }
    }
}

/// What the trash shows.
pub struct Trash<'a> {
    /// Who is logged in.
    pub session: &'a SessionInfo,
    /// Photos.
    pub page: &'a PhotoPage,
    /// Rolls and albums.
    pub removed: &'a RemovedList,
    /// Whether these are not the first pages of photos and of rolls and albums.
    pub paged: (bool, bool),
    /// What was just done.
    pub notice: Option<&'a str>,
}

/// The trash.
#[must_use]
pub fn trash(texts: &Texts, view: &Trash<'_>) -> Markup {
    let (session, page, (paged, things_paged)) = (view.session, view.page, view.paged);
    let things = things_paged || !view.removed.removed.is_empty();
    html! {
        h1 { (texts.trash) }
        (messages(view.notice, None))
        p.hint { (texts.trash_hint) }
        @if things { (removed(texts, view)) h2 { (texts.trash_photos) } }
        @if page.photos.is_empty() {
            @if things && !paged { p.hint { (texts.trash_no_photos) } }
            @else { section.problem { (super::parts::blank()) p {
                @if paged { (texts.page_gone) } @else { (texts.trash_empty) }
            } } }
        }
        @else {
            form method="post" action="/admin/bulk" data-select=(select_texts(texts)) {
                (csrf(session))
                input type="hidden" name="back" value="/admin/trash";
                ul.sheet { @for photo in &page.photos { (contact(texts, photo, false, false)) } }
                fieldset.card.bulk {
                    legend { (texts.trash) }
                    div.actions {
                        button name="action" value="restore" { (texts.restore) }
                        label.check { input type="checkbox" name="sure" value="true"; (texts.forever_sure) }
                        button.quiet.danger name="action" value="delete" { (texts.delete_forever) }
                    }
                }
            }
        }
        (pager(texts, "/admin/trash", page.next.as_deref(), paged))
    }
}

/// Rolls and albums in the trash.
fn removed(texts: &Texts, view: &Trash<'_>) -> Markup {
    let kind = |kind: RemovedKind| match kind {
        RemovedKind::Roll => texts.roll,
        RemovedKind::Album => texts.album,
    };
    html! {
        section.card {
            h2 { (texts.trash_things) }
            p.hint { (texts.trash_things_hint) }
            @if view.removed.removed.is_empty() { p.hint { (texts.page_gone) } }
            ul.said { @for one in &view.removed.removed { li {
                p { b { (one.title) } }
                p.hint { (kind(one.kind)) " · " (texts.photos(one.photos)) " · " (texts.removed_on) " "
                    time datetime=(one.deleted_at) { (texts.lang.moment(&one.deleted_at)) }
                    @if let Some(owner) = &one.owner { " · " (owner) } }
                form.actions method="post" action={ "/admin/trash/" (one.key) } {
                    (csrf(view.session))
                    button.quiet name="action" value="restore" aria-label={ (texts.restore) ": " (one.title) } {
                        (texts.restore) }
                    label.check { input type="checkbox" name="sure" value="true"; (texts.forever_sure) }
                    button.link.danger name="action" value="delete"
                        aria-label={ (texts.delete_forever) ": " (one.title) } { (texts.delete_forever) }
                }
            } } }
            (pages(texts, "/admin/trash", view.removed.next.as_deref().map(|next| ("things", next)), view.paged.1,
                texts.next_page))
        }
    }
}
