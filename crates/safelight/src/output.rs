//! Where words go: results to standard output, progress and errors to standard error.

use crate::error::CommandError;
use safelight_engine::{
    report::{self, Report, terminal::Style},
    text::{Lang, Text},
};
use std::{
    io::{IsTerminal as _, Write as _},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Form of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Human,
    /// For programs.
    Json,
    /// For CI.
    Junit,
    /// For chat and pull requests.
    Markdown,
    /// One self-contained page.
    Html,
}

impl Format {
    /// As it is written on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Human => "human",
            Self::Json => "json",
            Self::Junit => "junit",
            Self::Markdown => "markdown",
            Self::Html => "html",
        }
    }
}

/// Standard error, and when it was last heard.
#[derive(Clone)]
pub(crate) struct Voice(Arc<Mutex<Instant>>);

impl Voice {
    fn new() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }

    /// Since when nothing was said.
    pub(crate) fn quiet(&self) -> Duration {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }

    /// A line of progress.
    pub(crate) fn say(&self, line: &str) {
        self.heard();
        let _ = writeln!(std::io::stderr().lock(), "{line}");
    }

    fn heard(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }
}

/// How to write.
pub(crate) struct Output {
    pub(crate) lang: Lang,
    pub(crate) format: Format,
    color: bool,
    /// Standard error is a terminal: the step list may move.
    pub(crate) live: bool,
    voice: Voice,
}

impl Output {
    pub(crate) fn new(lang: Lang, format: Format, no_color: bool) -> Self {
        let live = std::io::stderr().is_terminal();
        let wanted = !no_color && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
        Self { lang, format, color: wanted, live, voice: Voice::new() }
    }

    /// For standard output.
    pub(crate) fn style(&self) -> Style {
        Style { lang: self.lang, color: self.color && std::io::stdout().is_terminal() }
    }

    /// For standard error.
    pub(crate) fn progress_style(&self) -> Style {
        Style { lang: self.lang, color: self.color && self.live }
    }

    pub(crate) fn t<'t>(&self, text: &'t Text) -> &'t str {
        text.get(self.lang)
    }

    /// A line of the result.
    pub(crate) fn line(&self, line: &str) {
        if self.format == Format::Human {
            // On the same terminal as progress.
            self.voice.heard();
        }
        // A reader that has gone away is no reason to panic.
        let _ = writeln!(std::io::stdout().lock(), "{line}");
    }

    /// A line of progress.
    pub(crate) fn say(&self, line: &str) {
        self.voice.say(line);
    }

    /// For those who say something while this one is at work.
    pub(crate) fn voice(&self) -> Voice {
        self.voice.clone()
    }

    pub(crate) fn error(&self, e: &CommandError) {
        let style = self.progress_style();
        if self.format == Format::Json {
            let body =
                serde_json::json!({"schema": 1, "error": e.message, "help": e.help, "exit": e.exit_code()});
            self.line(&body.to_string());
        }
        let word = if self.lang == Lang::Zh { "错误" } else { "error" };
        self.say(&format!("{}: {}", style.paint("1;31", word), self.t(&e.message)));
        if let Some(h) = &e.help {
            self.say(&format!("  {} {}", style.paint("36", "→"), self.t(h)));
        }
    }

    /// A report in the asked form, on standard output.
    pub(crate) fn report(&self, r: &Report) {
        self.line(render(r, self.format, self.style()).trim_end());
    }
}

/// A report in one of its forms.
pub(crate) fn render(r: &Report, format: Format, style: Style) -> String {
    match format {
        Format::Human => report::terminal::render(r, style),
        Format::Json => r.json(),
        Format::Junit => report::junit::render(r, style.lang),
        Format::Markdown => report::markdown::render(r, style.lang),
        Format::Html => report::html::render(r, style.lang),
    }
}

/// `2h 05m`, `3m`, `12s`: a length of time for people.
pub(crate) fn ago(t: jiff::Timestamp) -> String {
    let s = jiff::Timestamp::now().duration_since(t).as_secs().max(0);
    match s {
        0..=59 => format!("{s}s"),
        60..=3599 => format!("{}m", s / 60),
        3600..=86_399 => format!("{}h {:02}m", s / 3600, s / 60 % 60),
        _ => format!("{}d {}h", s / 86_400, s / 3600 % 24),
    }
}
