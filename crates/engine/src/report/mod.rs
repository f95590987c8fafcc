//! Reports: folds over events (or over one check run) into one model, and that model in five forms.
//! The forms hold no knowledge of their own; what is not in the model is in no report.

pub mod html;
pub mod junit;
pub mod markdown;
pub mod terminal;
#[cfg(test)]
mod tests;

use crate::{
    driver::journey::JourneyResult,
    event::{Event, EventKind},
    finding::Finding,
    plan::{Plan, PlanKind, UndoPlan},
    risk::RiskRegister,
    run::RunEnd,
    text::Text,
    verdict::Verdict,
    watch::{Breach, Look},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Version of the JSON form.
pub const SCHEMA: u32 = 1;

/// How a step of a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepOutcome {
    /// Not reached.
    Pending,
    /// Under way when the report was made.
    Running,
    /// Done.
    Done,
    /// Failed.
    Failed,
    /// Failed, which does not matter to the deploy.
    Warned,
    /// Taken back.
    Undone,
    /// Could not be taken back.
    Stuck,
}

/// One step of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepReport {
    /// Its id in the plan.
    pub id: u32,
    /// Name of its phase.
    pub phase: Text,
    /// What it does.
    pub title: Text,
    /// How it ended.
    pub outcome: StepOutcome,
    /// When it began.
    pub began: Option<Timestamp>,
    /// Milliseconds it took.
    pub millis: Option<u64>,
    /// What came of it, or why it failed.
    pub message: Option<Text>,
    /// What to do about a failure.
    pub help: Option<Text>,
    /// How it was taken back.
    pub undone: Option<Text>,
    /// Output of its commands, the last 200 lines.
    pub output: Vec<String>,
    /// Journeys it ran.
    pub journeys: Vec<JourneyResult>,
    /// It changes something that an undo takes back.
    pub reversible: bool,
}

/// One look of the watch with what was out of bounds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LookReport {
    /// What was seen.
    pub look: Look,
    /// Signals out of bounds.
    pub breaches: Vec<Breach>,
}

/// Everything a report can say.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: u32,
    /// App.
    pub app: String,
    /// Environment.
    pub env: String,
    /// Machine.
    pub host: String,
    /// The run; `None` for a check alone.
    pub run: Option<String>,
    /// Deploy or rollback.
    pub kind: Option<PlanKind>,
    /// Who asked.
    pub who: Option<String>,
    /// Release before.
    pub from: Option<String>,
    /// Release after, with its revision.
    pub to: Option<(String, String)>,
    /// When it began.
    pub began: Timestamp,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// How it ended.
    pub end: Option<RunEnd>,
    /// The decision.
    pub verdict: Option<Verdict>,
    /// The register behind it.
    pub risks: Option<RiskRegister>,
    /// What the checks found.
    pub findings: Vec<Finding>,
    /// The steps.
    pub steps: Vec<StepReport>,
    /// Why everything was taken back.
    pub undo_reason: Option<Text>,
    /// The watch.
    pub looks: Vec<LookReport>,
}

impl Report {
    /// The report of a check without a run.
    #[must_use]
    pub fn of_check(
        (app, env, host): (&str, &str, &str),
        began: Timestamp,
        findings: Vec<Finding>,
        risks: RiskRegister,
        verdict: Verdict,
    ) -> Self {
        Self {
            schema: SCHEMA,
            app: app.to_owned(),
            env: env.to_owned(),
            host: host.to_owned(),
            run: None,
            kind: None,
            who: None,
            from: None,
            to: None,
            began,
            ended: Some(Timestamp::now()),
            end: None,
            verdict: Some(verdict),
            risks: Some(risks),
            findings,
            steps: Vec::new(),
            undo_reason: None,
            looks: Vec::new(),
        }
    }

    /// The report of a run, from its events; `None` when they do not begin with the run's beginning.
    #[must_use]
    pub fn of_run(events: &[Event]) -> Option<Self> {
        let first = events.first()?;
        let EventKind::RunStarted { plan } = &first.kind else { return None };
        let mut r = Self::empty(plan, first.at);
        for e in &events[1..] {
            r.take(e);
        }
        Some(r)
    }

    fn empty(plan: &Plan, began: Timestamp) -> Self {
        Self {
            schema: SCHEMA,
            app: plan.app.clone(),
            env: plan.env.clone(),
            host: plan.host.clone(),
            run: Some(plan.run.clone()),
            kind: Some(plan.kind),
            who: Some(plan.who.clone()),
            from: plan.from.as_ref().map(|f| f.id.clone()),
            to: Some((plan.to.id.clone(), plan.to.revision.clone())),
            began,
            ended: None,
            end: None,
            verdict: None,
            risks: None,
            findings: Vec::new(),
            steps: plan
                .steps
                .iter()
                .map(|s| StepReport {
                    id: s.id,
                    phase: s.phase.word(),
                    title: s.title.clone(),
                    outcome: StepOutcome::Pending,
                    began: None,
                    millis: None,
                    message: None,
                    help: None,
                    undone: None,
                    output: Vec::new(),
                    journeys: Vec::new(),
                    reversible: s.undo != UndoPlan::NothingToDo,
                })
                .collect(),
            undo_reason: None,
            looks: Vec::new(),
        }
    }

    fn step(&mut self, id: u32) -> Option<&mut StepReport> {
        self.steps.iter_mut().find(|s| s.id == id)
    }

    /// Takes in one more event.
    pub fn take(&mut self, e: &Event) {
        match &e.kind {
            EventKind::RunStarted { .. }
            | EventKind::RunResumed { .. }
            | EventKind::Progress { .. }
            | EventKind::StepUndoStarted { .. } => {}
            EventKind::Checked { finding } => self.findings.push(finding.clone()),
            EventKind::Decided { verdict, risks } => {
                self.verdict = Some(verdict.clone());
                self.risks = Some(risks.clone());
                // Findings came in the order in which checks ended; a report has the order of their ids.
                self.findings
                    .sort_by_key(|f| f.id.trim_start_matches('P').parse::<u32>().unwrap_or(u32::MAX));
            }
            EventKind::StepStarted { step } => {
                let at = e.at;
                if let Some(s) = self.step(*step) {
                    s.outcome = StepOutcome::Running;
                    s.began.get_or_insert(at);
                }
            }
            EventKind::Output { step, line } => {
                if let Some(s) = self.step(*step) {
                    if s.output.len() >= 200 {
                        s.output.remove(0);
                    }
                    s.output.push(line.clone());
                }
            }
            EventKind::Journey { step, result } => {
                if let Some(s) = self.step(*step) {
                    s.journeys.push(result.clone());
                }
            }
            EventKind::StepDone { step, millis, summary } => {
                self.close(*step, StepOutcome::Done, Some(*millis), Some(summary.clone()), None);
            }
            EventKind::StepFailed { step, millis, error, help } => {
                self.close(*step, StepOutcome::Failed, Some(*millis), Some(error.clone()), help.clone());
            }
            EventKind::StepWarned { step, error } => {
                self.close(*step, StepOutcome::Warned, None, Some(error.clone()), None);
            }
            EventKind::UndoStarted { reason } => self.undo_reason = Some(reason.clone()),
            EventKind::StepUndone { step, summary, .. } => {
                if let Some(s) = self.step(*step).filter(|s| s.reversible) {
                    if s.outcome != StepOutcome::Failed {
                        s.outcome = StepOutcome::Undone;
                    }
                    s.undone = Some(summary.clone());
                }
            }
            EventKind::UndoFailed { step, error } => {
                if let Some(s) = self.step(*step) {
                    s.outcome = StepOutcome::Stuck;
                    s.undone = Some(error.clone());
                }
            }
            EventKind::Looked { look, breaches } => {
                self.looks.push(LookReport { look: look.clone(), breaches: breaches.clone() });
            }
            EventKind::RunEnded { end } => {
                self.end = Some(end.clone());
                self.ended = Some(e.at);
            }
        }
    }

    fn close(
        &mut self,
        id: u32,
        outcome: StepOutcome,
        millis: Option<u64>,
        message: Option<Text>,
        help: Option<Text>,
    ) {
        if let Some(s) = self.step(id) {
            s.outcome = outcome;
            s.millis = millis;
            s.message = message;
            s.help = help;
        }
    }

    /// The heading: how it ended, in a few words, and whether that is good.
    #[must_use]
    pub fn headline(&self) -> (Text, Mood) {
        match (&self.end, &self.verdict, &self.run) {
            (Some(RunEnd::Done { warnings: 0 }), ..) => (Text::new("done", "完成"), Mood::Good),
            (Some(RunEnd::Done { .. }), ..) => {
                (Text::new("done, with warnings", "完成，有警告"), Mood::Careful)
            }
            (Some(RunEnd::Undone { untouched: true, .. }), ..) => {
                (Text::new("stopped before anything changed", "未做任何变更即停止"), Mood::Careful)
            }
            (Some(RunEnd::Undone { .. }), ..) => {
                (Text::new("undone: the old state is back", "已撤销：恢复到原状态"), Mood::Bad)
            }
            (Some(RunEnd::NeedsPerson { .. }), ..) => {
                (Text::new("a person is needed", "需要人工处理"), Mood::Bad)
            }
            (None, Some(v), None) => (v.word(), if v.may_go() { Mood::Good } else { Mood::Bad }),
            (None, ..) => (Text::new("under way", "进行中"), Mood::Careful),
        }
    }

    /// The JSON form.
    #[must_use]
    pub fn json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_else(|e| format!("{{\"error\":\"{e}\"}}"))
    }
}

/// How a headline should look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// All well.
    Good,
    /// Look at it.
    Careful,
    /// It failed.
    Bad,
}

/// For text and attributes of HTML and XML.
fn escape(s: &str) -> String {
    let mut out = String::with_capacity(s.len());
    for c in s.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// `1m 05s`, `3.2 s`, `140 ms`.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "one digit is shown")]
pub fn duration(millis: u64) -> String {
    match millis {
        0..=999 => format!("{millis} ms"),
        1000..=59_999 => format!("{:.1} s", millis as f64 / 1000.0),
        _ => format!("{}m {:02}s", millis / 60_000, millis / 1000 % 60),
    }
}
