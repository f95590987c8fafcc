//! The Markdown form, for pull requests and chat.

use super::{Report, StepOutcome, duration};
use crate::text::{Lang, Text};
use std::fmt::Write as _;

/// Text inside of a table cell: no line breaks, no bars, no markup that others could smuggle in.
fn cell(s: &str) -> String {
    let mut out = String::with_capacity(s.len());
    for c in s.chars() {
        match c {
            '\n' | '\r' => out.push(' '),
            '|' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '\\' | '#' => {
                out.push('\\');
                out.push(c);
            }
            _ => out.push(c),
        }
    }
    out
}

/// A whole report.
#[must_use]
pub fn render(r: &Report, lang: Lang) -> String {
    let t = |x: &Text| cell(x.get(lang));
    let l = |en: &'static str, zh: &'static str| if lang == Lang::Zh { zh } else { en };
    let mut o = String::new();
    let _ = writeln!(o, "# {} · {}: {}\n", cell(&r.app), cell(&r.env), t(&r.headline().0));
    if let (Some(run), Some((to, revision))) = (&r.run, &r.to) {
        let from = r.from.as_deref().unwrap_or("-");
        let _ = writeln!(
            o,
            "{}: `{run}` · {} → **{}** ({})\n",
            l("Run", "运行"),
            cell(from),
            cell(to),
            cell(revision)
        );
    }
    if let Some(v) = &r.verdict {
        let _ = writeln!(o, "**{}**\n", t(&v.word()));
    }
    if let Some(reason) = &r.undo_reason {
        let _ = writeln!(o, "> {}\n", t(reason));
    }
    if let Some(risks) = &r.risks {
        let _ = writeln!(
            o,
            "| | {} | {} | {} |\n|---|---|---|---|",
            l("Risk", "风险"),
            l("Severity", "级别"),
            l("State", "状态")
        );
        for k in &risks.0 {
            let _ = writeln!(
                o,
                "| {} | {} | {} | {} |",
                cell(&k.id.0),
                t(&k.title),
                t(&k.severity.word()),
                t(&k.state.word())
            );
        }
        o.push('\n');
    }
    if !r.findings.is_empty() {
        let _ = writeln!(
            o,
            "| | {} | {} | {} |\n|---|---|---|---|",
            l("Check", "检查"),
            l("Outcome", "结果"),
            l("Evidence", "依据")
        );
        for f in &r.findings {
            let help = f.help.as_ref().map(|h| format!(" → {}", t(h))).unwrap_or_default();
            let _ = writeln!(
                o,
                "| {} | {} · {} | {} | {}{help} |",
                cell(&f.id),
                t(&f.title),
                cell(&f.subject),
                t(&f.outcome.word()),
                t(&f.summary)
            );
        }
        o.push('\n');
    }
    if !r.steps.is_empty() {
        let _ = writeln!(
            o,
            "| | {} | {} | {} |\n|---|---|---|---|",
            l("Step", "步骤"),
            l("Time", "用时"),
            l("Result", "结果")
        );
        for s in &r.steps {
            let mark = match s.outcome {
                StepOutcome::Done => "✅",
                StepOutcome::Failed | StepOutcome::Stuck => "❌",
                StepOutcome::Warned => "⚠️",
                StepOutcome::Undone => "↩️",
                StepOutcome::Running => "…",
                StepOutcome::Pending => "·",
            };
            let message = s.undone.as_ref().or(s.message.as_ref()).map(t).unwrap_or_default();
            let time = s.millis.map(duration).unwrap_or_default();
            let _ = writeln!(o, "| {mark} | {} | {time} | {message} |", t(&s.title));
        }
    }
    o
}
