//! The terminal form of findings and of a finished report. Plain text; colours are ANSI and only when asked for.

use super::{Mood, Report, StepOutcome, duration};
use crate::{
    finding::{Finding, Outcome},
    risk::RiskState,
    run::RunEnd,
    text::{Lang, Text},
};
use std::fmt::Write as _;

/// How to write.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// Language.
    pub lang: Lang,
    /// ANSI colours.
    pub color: bool,
}

impl Style {
    /// `text` in colour `code`.
    #[must_use]
    pub fn paint(self, code: &str, text: &str) -> String {
        if self.color { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// A sentence in the reader's language.
    #[must_use]
    pub fn t(self, text: &Text) -> &str {
        text.get(self.lang)
    }
}

/// A sign of fixed width for an outcome.
#[must_use]
pub fn sign(outcome: Outcome, style: Style) -> String {
    let (code, sign) = match outcome {
        Outcome::Pass => ("32", "ok  "),
        Outcome::Warn => ("33", "warn"),
        Outcome::Unknown => ("35", "??  "),
        Outcome::Fail => ("31", "FAIL"),
        Outcome::Skipped => ("90", "skip"),
    };
    style.paint(code, sign)
}

/// One finding: a line, and below it its values and help unless it passed.
#[must_use]
pub fn finding(f: &Finding, style: Style, verbose: bool) -> String {
    let mut out = format!(
        "{} {:<4} {}  {}",
        sign(f.outcome, style),
        f.id,
        style.paint("1", &format!("{} · {}", style.t(&f.title), f.subject)),
        style.t(&f.summary)
    );
    if f.outcome.blocks() || f.outcome == Outcome::Warn || verbose {
        for e in &f.evidence {
            let limit = e.limit.as_ref().map_or(String::new(), |l| format!("  ({})", style.t(l)));
            let _ = write!(out, "\n            {}: [{}]{limit}", style.t(&e.label), style.t(&e.value));
        }
        if let Some(h) = &f.help {
            let _ = write!(out, "\n            {} {}", style.paint("36", "→"), style.t(h));
        }
        if let Some(w) = &f.waiver {
            let line = match style.lang {
                Lang::En => format!("waived by {} until {}: {}", w.who, w.until, w.reason),
                Lang::Zh => format!("由 {} 豁免至 {}：{}", w.who, w.until, w.reason),
            };
            let _ = write!(out, "\n            {}", style.paint("33", &line));
        }
    }
    out
}

/// Verdict and register under the findings.
#[must_use]
pub fn decision(r: &Report, style: Style) -> String {
    let mut out = String::new();
    if let Some(risks) = &r.risks {
        let title = match style.lang {
            Lang::En => "Risks",
            Lang::Zh => "风险",
        };
        let _ = writeln!(out, "\n{}", style.paint("1", title));
        for risk in &risks.0 {
            let code = match risk.state {
                RiskState::Mitigated => "32",
                RiskState::NotApplicable => "90",
                RiskState::Waived => "33",
                RiskState::Unknown => "35",
                RiskState::Open => "31",
            };
            let state = pad(style.t(&risk.state.word()), 14);
            let severity = pad(style.t(&risk.severity.word()), 6);
            let _ = writeln!(
                out,
                "  {:<4} {} {severity} {}  {}",
                risk.id.0,
                style.paint(code, &state),
                style.t(&risk.title),
                if matches!(risk.state, RiskState::Open | RiskState::Unknown) {
                    style.t(&risk.impact)
                } else {
                    ""
                }
            );
        }
    }
    if let Some(v) = &r.verdict {
        let code = if v.may_go() { "1;32" } else { "1;31" };
        let c = v.counts;
        let counts = match style.lang {
            Lang::En => format!(
                "{} pass, {} warn, {} fail, {} unknown, {} skipped",
                c.pass, c.warn, c.fail, c.unknown, c.skipped
            ),
            Lang::Zh => format!(
                "{} 通过，{} 警告，{} 失败，{} 未知，{} 跳过",
                c.pass, c.warn, c.fail, c.unknown, c.skipped
            ),
        };
        let _ = writeln!(out, "\n{}  {counts}", style.paint(code, style.t(&v.word())));
    }
    out
}

/// Pads by display width: Chinese characters take two columns.
#[must_use]
pub fn pad(s: &str, width: usize) -> String {
    let columns: usize = s.chars().map(|c| if c.is_ascii() { 1 } else { 2 }).sum();
    format!("{s}{}", " ".repeat(width.saturating_sub(columns)))
}

/// A whole report.
#[must_use]
pub fn render(r: &Report, style: Style) -> String {
    let mut out = String::new();
    for f in &r.findings {
        let _ = writeln!(out, "{}", finding(f, style, r.run.is_none()));
    }
    out.push_str(&decision(r, style));
    if !r.steps.is_empty() {
        out.push('\n');
    }
    for s in &r.steps {
        let (code, mark) = match s.outcome {
            StepOutcome::Done => ("32", "✓"),
            StepOutcome::Failed | StepOutcome::Stuck => ("31", "✗"),
            StepOutcome::Warned => ("33", "!"),
            StepOutcome::Undone => ("33", "↶"),
            StepOutcome::Running => ("36", "…"),
            StepOutcome::Pending => ("90", "·"),
        };
        let time = s.millis.map(duration).unwrap_or_default();
        let _ = writeln!(
            out,
            "{} {} {} {}",
            style.paint(code, mark),
            pad(style.t(&s.phase), 10),
            style.t(&s.title),
            style.paint("90", &time)
        );
        if s.outcome != StepOutcome::Pending
            && let Some(m) = &s.message
        {
            for line in style.t(m).lines() {
                let _ = writeln!(
                    out,
                    "             {}",
                    style.paint(if s.outcome == StepOutcome::Failed { "31" } else { "90" }, line)
                );
            }
        }
        if let Some(h) = &s.help {
            let _ = writeln!(out, "             {} {}", style.paint("36", "→"), style.t(h));
        }
        if let Some(u) = &s.undone {
            let _ = writeln!(out, "             {} {}", style.paint("33", "↶"), style.t(u));
        }
    }
    if r.run.is_some() {
        let _ = writeln!(out, "\n{}", closing(r, style));
    }
    out
}

/// The last line of a run.
#[must_use]
pub fn closing(r: &Report, style: Style) -> String {
    let (word, mood) = r.headline();
    let code = match mood {
        Mood::Good => "1;32",
        Mood::Careful => "1;33",
        Mood::Bad => "1;31",
    };
    let mut line = style.paint(code, style.t(&word));
    if let Some(RunEnd::Undone { reason, .. }) = &r.end {
        let _ = write!(line, " · {}", style.t(reason).lines().next().unwrap_or(""));
    }
    if let Some(RunEnd::NeedsPerson { stuck, .. }) = &r.end {
        let _ = write!(line, " · {}", style.t(stuck));
    }
    line
}
