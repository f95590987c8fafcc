//! Logging in, the first password, and one's own account.

use maud::{Markup, html};

use super::csrf;
use super::parts::messages;
use crate::auth::password::MIN_CHARS;
use crate::i18n::Texts;
use crate::model::SessionInfo;

/// What a login is on the way to: a page, or a form whose session had ended, with what was written in it.
#[derive(Clone, Copy)]
pub struct Kept<'a> {
    /// Path within the studio.
    pub next: &'a str,
    /// The fields of the form; none when it is only a page.
    pub fields: &'a [(String, String)],
}

/// The names of what is kept for after the login begin with it.
pub const KEPT: &str = "kept.";

impl Kept<'_> {
    /// The fields that were written, not those that belong to the ended session.
    fn written(&self) -> impl Iterator<Item = &(String, String)> {
        self.fields.iter().filter(|(name, _)| name != "csrf_token")
    }
}

/// The login form.
#[must_use]
pub fn login(
    texts: &Texts,
    email: &str,
    notice: Option<&str>,
    problem: Option<&str>,
    kept: &Kept<'_>,
) -> Markup {
    html! {
        section.card.narrow {
            h1 { (texts.login_title) }
            (messages(notice, problem))
            form.fields method="post" action="/login" {
                input type="hidden" name="next" value=(kept.next);
                @for (name, value) in kept.written() {
                    input type="hidden" name={ (KEPT) (name) } value=(value);
                }
                label { (texts.email)
                    input type="email" name="email" value=(email) required autocomplete="username" autofocus; }
                label { (texts.password)
                    input type="password" name="password" required autocomplete="current-password"; }
                button { (texts.log_in) }
            }
        }
    }
}

/// After the login: a form that its page could not send any more, ready to be sent.
#[must_use]
pub fn resend(texts: &Texts, session: &SessionInfo, kept: &Kept<'_>) -> Markup {
    html! {
        section.card.narrow {
            h1 { (texts.resend_title) }
            p { (texts.resend_hint) }
            form.fields method="post" action=(kept.next) {
                (csrf(session))
                @for (name, value) in kept.written() { input type="hidden" name=(name) value=(value); }
                button autofocus { (texts.resend) }
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
                    input type="password" name="password" required minlength=(MIN_CHARS) autocomplete="new-password"
                        aria-describedby="hint"; }
                p.hint #hint { (texts.setup_hint) }
                button { (texts.setup_save) }
            }
        }
    }
}

/// One's own account.
#[must_use]
pub fn own(texts: &Texts, session: &SessionInfo, notice: Option<&str>, problem: Option<&str>) -> Markup {
    html! {
        h1 { (texts.account) }
        (messages(notice, problem))
        section.card.medium {
            h2 { (texts.change_password) }
            p.hint { (session.user.email) }
            form.fields method="post" action="/admin/account" {
                (csrf(session))
                input type="hidden" name="email" value=(session.user.email) autocomplete="username";
                label { (texts.old_password)
                    input type="password" name="old" required autocomplete="current-password"; }
                label { (texts.new_password)
                    input type="password" name="new" required minlength=(MIN_CHARS) autocomplete="new-password"
                        aria-describedby="hint"; }
                p.hint #hint { (texts.password_hint) }
                button { (texts.save) }
            }
        }
    }
}
