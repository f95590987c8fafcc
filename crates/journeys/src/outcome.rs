//! What a run yields: plain data, already redacted, ready to be stored or shown.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::secret::Redactor;

/// Characters of one shown value; what is longer is cut, with a note of how much.
const SHOWN: usize = 2_000;
/// Characters that are kept until the run is over. A secret that is only captured later is redacted then, and
/// were this cut to split one, the second cut at [`SHOWN`] removes the rest of it.
const KEPT: usize = 64_000;

fn milliseconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((duration.as_secs_f64() * 1e6).round() / 1e3)
}

/// What came of one journey.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct JourneyOutcome {
    /// The journey's name.
    pub name: String,
    /// Whether every step did what the file says.
    pub success: bool,
    /// The steps that ran, in order; a repeated entry has one for each time.
    pub steps: Vec<StepOutcome>,
    /// Wall time of the whole journey, as `duration_ms`.
    #[serde(rename = "duration_ms", serialize_with = "milliseconds")]
    pub duration: Duration,
    /// The first failure, which ended the journey.
    pub failure: Option<Failure>,
    /// What the journey captured, as text.
    pub captures: BTreeMap<String, String>,
}

/// What came of one entry.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct StepOutcome {
    /// Number of the entry in the file, from 1.
    pub step: usize,
    /// Line of the entry.
    pub line: usize,
    /// The method.
    pub method: String,
    /// The address asked for. Where the entry could not be evaluated, as written in the file.
    pub url: String,
    /// The last answer's status.
    pub status: Option<u16>,
    /// The last answer's HTTP version, such as `1.1`.
    pub version: Option<String>,
    /// Time on the network in the last attempt, followed redirects included, as `duration_ms`.
    #[serde(rename = "duration_ms", serialize_with = "milliseconds")]
    pub duration: Duration,
    /// How often the entry was sent: more than once with `retry`.
    pub attempts: u32,
    /// How many redirects the last attempt followed.
    pub redirects: usize,
    /// Whether the entry was left out, as its `skip` or `repeat: 0` asks.
    pub skipped: bool,
    /// The checks of the last attempt.
    pub asserts: Vec<AssertOutcome>,
    /// What went wrong besides the checks: no answer, a missing variable, a capture that found nothing.
    pub error: Option<String>,
}

impl StepOutcome {
    /// Whether the step did what the file says.
    pub fn ok(&self) -> bool {
        self.error.is_none() && self.asserts.iter().all(|assert| assert.ok)
    }
}

/// What came of one check.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct AssertOutcome {
    /// The line as written.
    pub text: String,
    /// Whether it holds.
    pub ok: bool,
    /// What was asked for.
    pub expected: String,
    /// What was found.
    pub actual: String,
    /// Its line in the file.
    pub line: usize,
}

/// Why a journey failed and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// The journey's name, usually its file.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// Number of the entry in the file, from 1.
    pub step: usize,
    /// Method and address of the step.
    pub request: String,
    /// What went wrong.
    pub what: String,
    /// What was asked for, if a check failed.
    pub expected: Option<String>,
    /// What was found, if a check failed.
    pub actual: Option<String>,
    /// What to do or where to look.
    pub hint: Option<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, column, step, request, what, expected, actual, hint } = self;
        write!(f, "{file}:{line}:{column}: step {step} ({request}) failed: {what}")?;
        for (label, text) in [("expected", expected), ("actual", actual), ("hint", hint)] {
            if let Some(text) = text {
                write!(f, "\n  {label}: {text}")?;
            }
        }
        Ok(())
    }
}

/// `text` without the secrets known so far, cut to what is worth keeping until the end of the run.
pub(crate) fn keep(redactor: &Redactor, text: &str) -> String {
    cut(redactor.redact(text), KEPT)
}

fn cut(text: String, limit: usize) -> String {
    match text.char_indices().nth(limit) {
        None => text,
        Some((end, _)) => format!("{}... ({} more bytes)", &text[..end], text.len() - end),
    }
}

/// Everything that is text goes through here once all secrets of the run are known.
pub(crate) fn clean(redactor: &Redactor, outcome: &mut JourneyOutcome) {
    let show = |text: &mut String| *text = cut(redactor.redact(text), SHOWN);
    let show_some = |text: &mut Option<String>| text.iter_mut().for_each(show);
    for step in &mut outcome.steps {
        clean_step_with(step, &show);
    }
    if let Some(failure) = &mut outcome.failure {
        show(&mut failure.request);
        show(&mut failure.what);
        show_some(&mut failure.expected);
        show_some(&mut failure.actual);
        show_some(&mut failure.hint);
    }
    outcome.captures.values_mut().for_each(show);
}

/// One step alone, for those who watch the run.
pub(crate) fn clean_step(redactor: &Redactor, step: &StepOutcome) -> StepOutcome {
    let mut step = step.clone();
    clean_step_with(&mut step, &|text: &mut String| *text = cut(redactor.redact(text), SHOWN));
    step
}

fn clean_step_with(step: &mut StepOutcome, show: &impl Fn(&mut String)) {
    show(&mut step.url);
    step.error.iter_mut().for_each(show);
    for assert in &mut step.asserts {
        show(&mut assert.text);
        show(&mut assert.expected);
        show(&mut assert.actual);
    }
}
