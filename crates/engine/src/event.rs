//! What happened, as it happened. Terminal, JSON lines, dashboard and reports are folds over these, live or replayed.

use crate::{
    driver::journey::JourneyResult,
    finding::Finding,
    plan::Plan,
    risk::RiskRegister,
    run::RunEnd,
    text::Text,
    verdict::Verdict,
    watch::{Breach, Look},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// One event of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Position in the run, from 1, without gaps.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// Which run.
    pub run: String,
    /// What.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "event")]
pub enum EventKind {
    /// The run began.
    RunStarted {
        /// What it is going to do.
        plan: Plan,
    },
    /// The run goes on after it was interrupted.
    RunResumed {
        /// Who asked.
        who: String,
        /// Forward, or undoing.
        undoing: bool,
    },
    /// A check ended.
    Checked {
        /// What it found.
        finding: Finding,
    },
    /// The decision.
    Decided {
        /// Go or no-go.
        verdict: Verdict,
        /// The register behind it.
        risks: RiskRegister,
    },
    /// A step began.
    StepStarted {
        /// Its id.
        step: u32,
    },
    /// A step has something to say.
    Progress {
        /// Its id.
        step: u32,
        /// What.
        message: Text,
    },
    /// A command of a step printed a line.
    Output {
        /// The step's id.
        step: u32,
        /// The line, redacted.
        line: String,
    },
    /// A journey ended.
    Journey {
        /// The step's id.
        step: u32,
        /// How.
        result: JourneyResult,
    },
    /// A step is done.
    StepDone {
        /// Its id.
        step: u32,
        /// Milliseconds it took.
        millis: u64,
        /// What came of it.
        summary: Text,
    },
    /// A step failed.
    StepFailed {
        /// Its id.
        step: u32,
        /// Milliseconds it took.
        millis: u64,
        /// What failed, where and why.
        error: Text,
        /// What to do.
        help: Option<Text>,
    },
    /// A step that only tidies up failed; the deploy stands.
    StepWarned {
        /// Its id.
        step: u32,
        /// What failed.
        error: Text,
    },
    /// Everything is being taken back.
    UndoStarted {
        /// Why.
        reason: Text,
    },
    /// A step is about to be taken back. Streams from before this event was there go on with the next one.
    StepUndoStarted {
        /// Its id.
        step: u32,
    },
    /// A step was taken back.
    StepUndone {
        /// Its id.
        step: u32,
        /// Milliseconds it took.
        millis: u64,
        /// What was done.
        summary: Text,
    },
    /// A step could not be taken back.
    UndoFailed {
        /// Its id.
        step: u32,
        /// Why.
        error: Text,
    },
    /// The watch looked.
    Looked {
        /// What it saw.
        look: Look,
        /// Signals that are out of bounds in this look.
        breaches: Vec<Breach>,
    },
    /// The run ended.
    RunEnded {
        /// How.
        end: RunEnd,
    },
}
