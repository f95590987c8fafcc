//! The JUnit form, for CI: a suite of checks and a suite of steps.

use super::{Report, StepOutcome};
use crate::{
    finding::Outcome,
    text::{Lang, Text},
};
use std::fmt::Write as _;

/// For attributes and text of XML 1.0, which has no place for control characters.
fn escape(s: &str) -> String {
    let lines = super::escape(s).replace('\n', "&#10;");
    lines.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// A whole report. Unknown is an error, so that no CI takes it for a pass.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "milliseconds, shown with three digits")]
pub fn render(r: &Report, lang: Lang) -> String {
    let t = |x: &Text| escape(x.get(lang));
    let count = |o: Outcome| r.findings.iter().filter(|f| f.outcome == o && f.waiver.is_none()).count();
    let mut o = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"safelight\">\n");
    let _ = writeln!(
        o,
        "  <testsuite name=\"checks\" tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\">",
        r.findings.len(),
        count(Outcome::Fail),
        count(Outcome::Unknown),
        count(Outcome::Skipped)
    );
    for f in &r.findings {
        let _ = write!(
            o,
            "    <testcase classname=\"{}\" name=\"{} {}\" time=\"{:.3}\">",
            escape(&f.id),
            t(&f.title),
            escape(&f.subject),
            f.millis as f64 / 1000.0
        );
        let help = f.help.as_ref().map(t).unwrap_or_default();
        match (f.outcome, &f.waiver) {
            (Outcome::Fail, None) => {
                let _ = write!(o, "<failure message=\"{}\">{help}</failure>", t(&f.summary));
            }
            (Outcome::Unknown, None) => {
                let _ = write!(o, "<error message=\"{}\">{help}</error>", t(&f.summary));
            }
            (Outcome::Skipped, _) => {
                let _ = write!(o, "<skipped message=\"{}\"/>", t(&f.summary));
            }
            _ => {
                let _ = write!(o, "<system-out>{}</system-out>", t(&f.summary));
            }
        }
        o.push_str("</testcase>\n");
    }
    o.push_str("  </testsuite>\n");
    if !r.steps.is_empty() {
        let bad = |s: &&super::StepReport| matches!(s.outcome, StepOutcome::Failed | StepOutcome::Stuck);
        let idle = |s: &&super::StepReport| s.outcome == StepOutcome::Pending;
        let _ = writeln!(
            o,
            "  <testsuite name=\"steps\" tests=\"{}\" failures=\"{}\" errors=\"0\" skipped=\"{}\">",
            r.steps.len(),
            r.steps.iter().filter(bad).count(),
            r.steps.iter().filter(idle).count()
        );
        for s in &r.steps {
            let _ = write!(
                o,
                "    <testcase classname=\"{}\" name=\"{}\" time=\"{:.3}\">",
                t(&s.phase),
                t(&s.title),
                s.millis.unwrap_or(0) as f64 / 1000.0
            );
            let message = s.message.as_ref().map(t).unwrap_or_default();
            if bad(&s) {
                let _ = write!(o, "<failure message=\"{message}\"/>");
            } else if idle(&s) {
                o.push_str("<skipped/>");
            }
            o.push_str("</testcase>\n");
        }
        o.push_str("  </testsuite>\n");
    }
    o.push_str("</testsuites>\n");
    o
}
