//! Pages of the back office.

use maud::{Markup, html};

use super::csrf;
use super::public::pager;
use crate::i18n::Texts;
use crate::model::{Overview, Photo, PhotoPage, Roll, SessionInfo, UserRole, Visibility};

fn messages(notice: Option<&str>, problem: Option<&str>) -> Markup {
    html! {
        @if let Some(text) = notice { p.notice role="status" { (text) } }
        @if let Some(text) = problem { p.notice.bad role="alert" { (text) } }
    }
}

/// The login form.
#[must_use]
pub fn login(texts: &Texts, email: &str, notice: Option<&str>, problem: Option<&str>) -> Markup {
    html! {
        section.card.narrow {
            h1 { (texts.login_title) }
            (messages(notice, problem))
            form.fields method="post" action="/login" {
                label { (texts.email)
                    input type="email" name="email" value=(email) required autocomplete="username" autofocus; }
                label { (texts.password)
                    input type="password" name="password" required autocomplete="current-password"; }
                button { (texts.log_in) }
            }
        }
    }
}

/// The form of a set-up link.
#[must_use]
pub fn setup(texts: &Texts, token: &str, problem: Option<&str>) -> Markup {
    html! {
        section.card.narrow {
            h1 { (texts.setup_title) }
            (messages(None, problem))
            form.fields method="post" action="/setup" {
                input type="hidden" name="token" value=(token);
                label { (texts.password)
                    input type="password" name="password" required minlength="10" autocomplete="new-password"; }
                p.hint { (texts.setup_hint) }
                button { (texts.setup_save) }
            }
        }
    }
}

/// What the studio shows.
pub struct Studio<'a> {
    /// Who is logged in.
    pub session: &'a SessionInfo,
    /// The photos they may edit.
    pub page: &'a PhotoPage,
    /// Their rolls.
    pub rolls: &'a [Roll],
    /// Figures, for admins.
    pub overview: Option<&'a Overview>,
    /// What was just done.
    pub notice: Option<&'a str>,
}

/// The studio: upload, rolls, photos.
#[must_use]
pub fn studio(texts: &Texts, view: &Studio<'_>) -> Markup {
    html! {
        h1 { (texts.back_office) }
        (messages(view.notice, None))
        @if let Some(overview) = view.overview { (figures(texts, overview)) }
        div.columns {
            section.card {
                h2 { (texts.upload) }
                form.fields method="post" action="/admin/upload" enctype="multipart/form-data" {
                    (csrf(view.session))
                    div.pair {
                        label { (texts.title) input type="text" name="title" maxlength="120"; }
                        label { (texts.visibility) (visibility(texts, Visibility::Public)) }
                    }
                    @if true {
                        label { (texts.caption) textarea name="caption" maxlength="2000" rows="2" {} }
                    }
                    label { (texts.roll)
                        select name="roll" {
                            option value="" { (texts.no_roll) }
                            @for roll in view.rolls { option value=(roll.key) { (roll.title) } }
                        }
                    }
                    // Last: the API reads what is about the files before the files.
                    label { (texts.files)
                        input type="file" name="file" multiple required accept="image/jpeg,image/png,image/webp"; }
                    button { (texts.upload) }
                }
            }
            section.card {
                h2 { (texts.new_roll) }
                form.fields method="post" action="/admin/rolls" {
                    (csrf(view.session))
                    label { (texts.title) input type="text" name="title" maxlength="120" required; }
                    label { (texts.film_stock)
                        input type="text" name="film_stock" maxlength="120" placeholder="Kodak Portra 400"; }
                    label { (texts.camera) input type="text" name="camera" maxlength="120" placeholder="Nikon FM2"; }
                    button.quiet { (texts.create) }
                }
            }
        }
        h2 { @if view.session.user.role == UserRole::Admin { (texts.all_photos) } @else { (texts.your_photos) } }
        @if view.page.photos.is_empty() { p.hint { (texts.empty) } }
        ul.sheet {
            @for photo in &view.page.photos { (contact(texts, view.session, photo)) }
        }
        (pager(texts, "/admin?", view.page, false))
    }
}

fn figures(texts: &Texts, overview: &Overview) -> Markup {
    let (size, unit) = match overview.original_bytes {
        b if b >= 1 << 30 => (b as f64 / f64::from(1u32 << 30), "GiB"),
        b => (b as f64 / f64::from(1u32 << 20), "MiB"),
    };
    html! {
        ul.figures {
            li { b { (overview.photos) } " " (texts.photos_count) }
            li { b { (format!("{size:.1}")) " " (unit) } " " (texts.storage_use) }
            li { b { (overview.users) } " " (texts.accounts) }
            li { b { (overview.queue_depth) } " " (texts.waiting) }
            li { (texts.schema) " " b { (overview.schema) } }
        }
    }
}

fn contact(texts: &Texts, session: &SessionInfo, photo: &Photo) -> Markup {
    let title = if photo.title.is_empty() { texts.untitled } else { &photo.title };
    html! {
        li {
            a.thumb href={ "/p/" (photo.key) } {
                img src=(photo.images.thumb.url) alt=(title) loading="lazy" decoding="async"
                    width=(photo.images.thumb.width) height=(photo.images.thumb.height);
            }
            p.name { (title) }
            p.hint { (label(texts, photo.visibility)) " · " (photo.width) " × " (photo.height) }
            div.actions {
                a href={ "/admin/photos/" (photo.key) } { (texts.edit) }
                form method="post" action={ "/admin/photos/" (photo.key) "/delete" } {
                    (csrf(session))
                    button.link.danger { (texts.delete) }
                }
            }
        }
    }
}

fn label(texts: &Texts, visibility: Visibility) -> &'static str {
    match visibility {
        Visibility::Public => texts.public,
        Visibility::Unlisted => texts.unlisted,
        Visibility::Private => texts.private,
    }
}

fn visibility(texts: &Texts, chosen: Visibility) -> Markup {
    html! {
        select name="visibility" {
            @for one in [Visibility::Public, Visibility::Unlisted, Visibility::Private] {
                option value=(one.as_str()) selected[one == chosen] { (label(texts, one)) }
            }
        }
    }
}

/// The form that changes a photo.
#[must_use]
pub fn edit(texts: &Texts, session: &SessionInfo, photo: &Photo) -> Markup {
    html! {
        div.columns {
            a.print.small href={ "/p/" (photo.key) } {
                img src=(photo.images.preview.url) alt=(photo.title)
                    width=(photo.images.preview.width) height=(photo.images.preview.height);
            }
            section.card {
                h1 { (texts.edit) }
                form.fields method="post" action={ "/admin/photos/" (photo.key) } {
                    (csrf(session))
                    label { (texts.title) input type="text" name="title" maxlength="120" value=(photo.title); }
                    @let caption = &photo.caption; @if true {
                        label { (texts.caption) textarea name="caption" maxlength="2000" rows="5" { (caption) } }
                    }
                    label { (texts.visibility) (visibility(texts, photo.visibility)) }
                    button { (texts.save) }
                }
            }
        }
    }
}
