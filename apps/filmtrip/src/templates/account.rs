//! Logging in, the first password, and one's own account.

use maud::{Markup, html};

use super::csrf;
use super::parts::messages;
use crate::i18n::Texts;
use crate::model::SessionInfo;

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
                    input type="password" name="password" required minlength="10" autocomplete="new-password"
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
                    input type="password" name="new" required minlength="10" autocomplete="new-password"
                        aria-describedby="hint"; }
                p.hint #hint { (texts.password_hint) }
                button { (texts.save) }
            }
        }
    }
}
