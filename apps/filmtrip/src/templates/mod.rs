//! Pages as HTML, all text escaped by maud. They need no script; the style is inside the page, so
//! that two releases side by side never miss each other's files.

pub mod admin;
pub mod public;

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest, Sha256};

use crate::i18n::{Lang, Texts};
use crate::model::SessionInfo;

/// The icon of the site.
pub const ICON: &str = include_str!("icon.svg");

static STYLE: LazyLock<String> = LazyLock::new(|| {
    let mut style = include_str!("style.css").to_owned();
    // One class per twentieth of aspect ratio: rows are justified without inline styles.
    for step in (40..=300).step_by(5) {
        style.push_str(&format!(
            ".s{step}{{flex:{step} 1 calc(var(--row)*{step}/100);aspect-ratio:{step}/100}}\n"
        ));
    }
    style
});
static STYLE_HASH: LazyLock<String> =
    LazyLock::new(|| format!("sha256-{}", STANDARD.encode(Sha256::digest(STYLE.as_bytes()))));

/// The hash of the style, for the content security policy.
#[must_use]
pub fn style_hash() -> &'static str {
    &STYLE_HASH
}

/// What is around the main part of a page.
pub struct Page<'a> {
    /// Language.
    pub lang: Lang,
    /// Title of the tab.
    pub title: &'a str,
    /// Who is logged in.
    pub session: Option<&'a SessionInfo>,
    /// Path of the page, for the link to the other language.
    pub path: &'a str,
    /// Release, shown small.
    pub release: &'a str,
}

/// The whole page.
#[must_use]
pub fn layout(page: &Page<'_>, body: Markup) -> Markup {
    let texts = page.lang.texts();
    let other = if page.lang == Lang::En { Lang::Zh } else { Lang::En };
    let title =
        if page.title == "FilmTrip" { "FilmTrip".to_owned() } else { format!("{} · FilmTrip", page.title) };
    html! {
        (DOCTYPE)
        html lang=(page.lang.tag()) {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="dark light";
                title { (title) }
                link rel="icon" href="/favicon.svg" type="image/svg+xml";
                style { (PreEscaped(STYLE.as_str())) }
            }
            body {
                header.top {
                    a.brand href="/" { "Film" b { "Trip" } }
                    nav {
                        a href="/" { (texts.home) }
                        @if let Some(session) = page.session {
                            a href="/admin" { (texts.back_office) }
                            form method="post" action="/logout" {
                                (csrf(session))
                                button.link { (texts.log_out) }
                            }
                        } @else {
                            a href="/login" { (texts.log_in) }
                        }
                        a.lang href={ (page.path) "?lang=" (other.tag()) } lang=(other.tag()) hreflang=(other.tag()) {
                            (texts.other_language)
                        }
                    }
                }
                main { (body) }
                footer { span { "FilmTrip" } span.release { (page.release) } }
            }
        }
    }
}

/// The hidden field that proves a form is ours.
#[must_use]
pub fn csrf(session: &SessionInfo) -> Markup {
    html! { input type="hidden" name="csrf_token" value=(session.csrf_token); }
}

/// A page that says what went wrong, with the way on.
#[must_use]
pub fn problem(texts: &Texts, message: &str, to_studio: bool) -> Markup {
    html! {
        section.problem {
            p.blank aria-hidden="true" { span {} span {} span {} }
            h1 { (message) }
            @if to_studio { p { a href="/admin" { (texts.back_office) } } }
            @else { p { a href="/" { (texts.home) } } }
        }
    }
}

/// The class of an aspect ratio, in steps of 5 percent from 0.4 to 3.
fn shape(width: u32, height: u32) -> u32 {
    let percent = u64::from(width) * 100 / u64::from(height.max(1));
    let step = (percent + 2) / 5 * 5;
    u32::try_from(step.clamp(40, 300)).unwrap_or(100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shape_has_its_class() {
        for (width, height) in [(1, 10_000), (3, 2), (2, 3), (1, 1), (16, 9), (10_000, 1), (5, 0)] {
            let class = format!(".s{}{{", shape(width, height));
            assert!(STYLE.contains(&class), "{class}");
        }
    }
}
