//! The studio: upload, own photos with bulk edit, trash.

use maud::{Markup, html};

use super::csrf;
use super::parts::{album_menu, alt, json, messages, name, pager, picture, roll_menu, visibility};
use crate::i18n::Texts;
use crate::model::{Album, Photo, PhotoPage, Roll, SessionInfo, UploadRules, UserRole, Visibility};

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
    /// What may be uploaded.
    pub rules: &'a UploadRules,
    /// Key of the roll that is shown.
    pub roll: Option<&'a str>,
    /// Words that are looked for.
    pub words: &'a str,
    /// Path and query of the list, without the page.
    pub path: &'a str,
    /// Whether this is not the first page.
    pub paged: bool,
    /// What was just done.
    pub notice: Option<&'a str>,
}

/// The studio.
#[must_use]
pub fn page(texts: &Texts, view: &Studio<'_>) -> Markup {
    let admin = view.session.user.role == UserRole::Admin;
    html! {
        h1 { (texts.back_office) }
        (messages(view.notice, None))
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
        @if view.page.photos.is_empty() { p.hint { (texts.empty) } }
        @else { (sheet(texts, view)) }
        (pager(texts, view.path, view.page.next.as_deref(), view.paged))
    }
}

fn roll_filter(texts: &Texts, view: &Studio<'_>) -> Markup {
    html! {
        select name="roll" aria-label=(texts.roll) {
            option value="" { (texts.any_roll) }
            @for roll in view.rolls {
                option value=(roll.key) selected[view.roll == Some(roll.key.as_str())] { (roll.title) }
            }
        }
    }
}

fn upload(texts: &Texts, view: &Studio<'_>) -> Markup {
    let accept = view.rules.types.join(",");
    html! {
        section.card.upload aria-labelledby="upload-title" {
            h2 #upload-title { (texts.upload) }
            form.fields method="post" action="/admin/upload" enctype="multipart/form-data"
                data-upload=(upload_texts(texts)) data-account=(view.session.user.email) {
                (csrf(view.session))
                div.pair {
                    label { (texts.roll) (roll_menu(view.rolls, view.roll, &[("", texts.no_roll)])) }
                    label { (texts.first_frame)
                        input type="number" inputmode="numeric" name="frame" min="0" max=(u32::MAX)
                            aria-describedby="frame-hint"; }
                    label { (texts.visibility) (visibility(texts, Some(Visibility::Public), false)) }
                    label { (texts.tags)
                        input type="text" name="tags" maxlength="1000" placeholder=(texts.tags_hint); }
                    @if let Some(albums) = view.albums.filter(|a| !a.is_empty()) {
                        label { (texts.album) (album_menu(albums, texts.no_album)) }
                    }
                }
                p.hint #frame-hint { (texts.first_frame_hint) }
                details {
                    summary { (texts.upload_again) }
                    div.fields {
                        label { (texts.title) input type="text" name="title" maxlength="120"; }
                        label { (texts.caption) textarea name="caption" maxlength="2000" rows="2" {} }
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
        ("csrf", texts.csrf),
        ("unavailable", texts.unavailable),
    ])
}

fn sheet(texts: &Texts, view: &Studio<'_>) -> Markup {
    html! {
        form method="post" action="/admin/bulk" data-select=(select_texts(texts)) {
            (csrf(view.session))
            input type="hidden" name="back" value=(view.path);
            ul.sheet { @for photo in &view.page.photos { (contact(texts, photo, true)) } }
            fieldset.card.bulk {
                legend { (texts.bulk) }
                div.pair {
                    label { (texts.add_tags) input type="text" name="add_tags" maxlength="1000" placeholder=(texts.tags_hint); }
                    label { (texts.remove_tags) input type="text" name="remove_tags" maxlength="1000"; }
                    label { (texts.roll)
                        (roll_menu(view.rolls, None, &[("", texts.no_change), ("none", texts.no_roll)])) }
                    @if let Some(albums) = view.albums.filter(|a| !a.is_empty()) {
                        label { (texts.add_to_album) (album_menu(albums, texts.no_change)) }
                    }
                    label { (texts.visibility) (visibility(texts, None, true)) }
                }
                div.actions {
                    button name="action" value="change" { (texts.apply) }
                    button.quiet.danger name="action" value="trash" { (texts.move_to_trash) }
                }
            }
        }
    }
}

fn select_texts(texts: &Texts) -> String {
    json(&[("all", texts.select_all), ("none", texts.select_none), ("count", texts.selected)])
}

/// A photo of the contact sheet.
fn contact(texts: &Texts, photo: &Photo, links: bool) -> Markup {
    let alt = alt(texts, photo);
    let shown = html! { (picture(&photo.images.thumb, None, "12rem", &alt, true)) };
    html! {
        li {
            label.pick {
                input type="checkbox" name="key" value=(photo.key) aria-label=(texts.select.replace("{n}", &alt));
            }
            @if links { a.thumb href={ "/admin/photos/" (photo.key) } { (shown) } }
            @else { span.thumb { (shown) } }
            p.name { (name(texts, photo)) }
            p.hint {
                @if let Some(frame) = photo.frame { span.number { (frame) } " " }
                @if photo.visibility != Visibility::Public { b { (texts.visibility_name(photo.visibility)) } " · " }
                @if let Some(roll) = &photo.roll { (roll.title) } @else { (photo.width) " × " (photo.height) }
            }
        }
    }
}

/// The trash.
#[must_use]
pub fn trash(
    texts: &Texts,
    session: &SessionInfo,
    page: &PhotoPage,
    paged: bool,
    notice: Option<&str>,
) -> Markup {
    html! {
        h1 { (texts.trash) }
        (messages(notice, None))
        p.hint { (texts.trash_hint) }
        @if page.photos.is_empty() { section.problem { (super::parts::blank()) p { (texts.trash_empty) } } }
        @else {
            form method="post" action="/admin/bulk" data-select=(select_texts(texts)) {
                (csrf(session))
                input type="hidden" name="back" value="/admin/trash";
                ul.sheet { @for photo in &page.photos { (contact(texts, photo, false)) } }
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
