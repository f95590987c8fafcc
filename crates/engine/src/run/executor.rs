//! Carries a plan out: intent to the journal, act, outcome to the journal; and all of it backwards when a step fails.
//! It knows nothing of what steps do; a [`World`] does.

use super::{
    RunEnd,
    journal::{Entry, EntryKind, Journal, JournalError, Record, RunState, StepState},
};
use crate::{
    event::EventKind,
    plan::{Phase, Step},
    text::Text,
};
use async_trait::async_trait;
use jiff::Timestamp;
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};
use tokio::{sync::Notify, time::Instant};

/// What a step found when it looked at the world before acting again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Observed {
    /// The effect is not there, or only in part: apply again.
    NotApplied,
    /// The effect is there, with what the step would have remembered.
    Applied(Record),
}

/// Why a step failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", what.en)]
pub struct StepError {
    /// What failed, where and why.
    pub what: Text,
    /// What to do.
    pub help: Option<Text>,
}

impl StepError {
    /// An error without advice.
    #[must_use]
    pub fn new(what: Text) -> Self {
        Self { what, help: None }
    }

    /// With advice.
    #[must_use]
    pub fn with_help(mut self, help: Text) -> Self {
        self.help = Some(help);
        self
    }

    /// What failed and what to do, for where there is one text only.
    fn in_full(self) -> Text {
        match self.help {
            None => self.what,
            Some(h) => {
                Text::new(format!("{}; {}", self.what.en, h.en), format!("{}；{}", self.what.zh, h.zh))
            }
        }
    }
}

/// The machine, as steps see it.
#[async_trait]
pub trait World: Send + Sync {
    /// After an interruption: is the effect of `step` there?
    async fn observe(&self, run: &RunState, step: &Step) -> Result<Observed, StepError>;
    /// Acts. Safe to repeat. Returns what to remember and one line for people.
    async fn apply(&self, run: &RunState, step: &Step, stop: &Stop) -> Result<(Record, Text), StepError>;
    /// Takes back whatever `step` did, all of it or any part. Safe to repeat. `record` is `None` when the step did not
    /// get as far as remembering.
    async fn undo(&self, run: &RunState, step: &Step, record: Option<&Record>) -> Result<Text, StepError>;
}

/// Asks a run to stop and take everything back.
#[derive(Clone, Default)]
pub struct Stop(Arc<StopInner>);

#[derive(Default)]
struct StopInner {
    asked: AtomicBool,
    reason: std::sync::Mutex<Option<Text>>,
    notify: Notify,
}

impl Stop {
    /// Asks. The first reason counts.
    pub fn ask(&self, reason: Text) {
        if let Ok(mut r) = self.0.reason.lock() {
            r.get_or_insert(reason);
        }
        self.0.asked.store(true, Ordering::SeqCst);
        self.0.notify.notify_waiters();
    }

    /// Has somebody asked?
    #[must_use]
    pub fn asked(&self) -> bool {
        self.0.asked.load(Ordering::SeqCst)
    }

    /// Why.
    #[must_use]
    pub fn reason(&self) -> Text {
        let given = self.0.reason.lock().ok().and_then(|r| r.clone());
        given.unwrap_or_else(|| Text::new("stopped", "已停止"))
    }

    /// Returns when somebody asks.
    pub async fn wait(&self) {
        loop {
            let notified = self.0.notify.notified();
            tokio::pin!(notified);
            notified.as_mut().enable();
            if self.asked() {
                return;
            }
            notified.await;
        }
    }
}

/// Called at each point between journal and effect. Tests kill processes there; in the product it does nothing.
pub type FaultPoint = Arc<dyn Fn(&str) + Send + Sync>;

/// Carries plans out.
pub struct Executor<'a> {
    /// Where intent and outcome go.
    pub journal: &'a dyn Journal,
    /// What acts.
    pub world: &'a dyn World,
    /// Hears what happens.
    pub on_event: &'a (dyn Fn(EventKind) + Send + Sync),
    /// Asks the run to stop.
    pub stop: Stop,
    /// See [`FaultPoint`].
    pub fault: Option<FaultPoint>,
}

impl Executor<'_> {
    /// Carries `run` on from where it is, forwards or backwards, to its end.
    ///
    /// # Errors
    /// When the journal cannot be written: nothing more is done then.
    pub async fn drive(&self, run: &mut RunState) -> Result<RunEnd, JournalError> {
        if let Some(end) = self.ended(run) {
            return Ok(end);
        }
        if run.undoing.is_none()
            && let Some(end) = self.forward(run).await?
        {
            return Ok(end);
        }
        self.backward(run).await
    }

    /// Takes everything back, from wherever the run is.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub async fn abort(&self, run: &mut RunState, reason: Text) -> Result<RunEnd, JournalError> {
        if let Some(end) = self.ended(run) {
            return Ok(end);
        }
        if run.undoing.is_none() {
            self.begin_undo(run, reason)?;
        }
        self.backward(run).await
    }

    /// The end of a run that is over: told again, to those who ask for it now.
    fn ended(&self, run: &RunState) -> Option<RunEnd> {
        let end = run.end.clone()?;
        (self.on_event)(EventKind::RunEnded { end: end.clone() });
        Some(end)
    }

    fn write(&self, run: &mut RunState, kind: EntryKind) -> Result<(), JournalError> {
        let entry = Entry { seq: run.seq + 1, at: Timestamp::now(), kind };
        self.journal.append(&run.plan.run, &entry)?;
        run.apply(&entry).map_err(|why| JournalError::damaged(&run.plan.run, entry.seq, why))
    }

    fn at(&self, when: &str, step: &Step) {
        if let Some(f) = &self.fault {
            let name = serde_json::to_value(&step.action).ok();
            let kind = name.as_ref().and_then(|v| v.get("kind")?.as_str()).unwrap_or("?");
            let service = name
                .as_ref()
                .and_then(|v| v.get("service")?.as_str())
                .map_or(String::new(), |s| format!(":{s}"));
            f(&format!("{when}:{kind}{service}"));
        }
    }

    /// `Some(end)` when the run is done; `None` when it has to be taken back.
    async fn forward(&self, run: &mut RunState) -> Result<Option<RunEnd>, JournalError> {
        let steps = run.plan.steps.clone();
        let mut warnings = 0;
        for step in &steps {
            match run.steps.get(&step.id) {
                Some(StepState::Done(_)) => continue,
                Some(StepState::Warned) => {
                    warnings += 1;
                    continue;
                }
                Some(StepState::Failed) => {
                    // Interrupted between the failure and the decision to take everything back.
                    self.begin_undo(
                        run,
                        Text::new("a step failed before the interruption", "中断前有步骤失败"),
                    )?;
                    return Ok(None);
                }
                _ => {}
            }
            if self.stop.asked() {
                self.begin_undo(run, self.stop.reason())?;
                return Ok(None);
            }
            let interrupted = matches!(run.steps.get(&step.id), Some(StepState::Intended));
            (self.on_event)(EventKind::StepStarted { step: step.id });
            let started = Instant::now();
            let mut result = None;
            if interrupted {
                match self.world.observe(run, step).await {
                    Ok(Observed::Applied(record)) => {
                        result =
                            Some(Ok((record, Text::new("was done before the interruption", "中断前已完成"))));
                    }
                    Ok(Observed::NotApplied) => {}
                    Err(e) => result = Some(Err(e)),
                }
            }
            let result = match result {
                Some(r) => r,
                None => {
                    self.write(run, EntryKind::Intent { step: step.id })?;
                    self.at("intent", step);
                    let r = self.world.apply(run, step, &self.stop).await;
                    self.at("applied", step);
                    r
                }
            };
            let millis = millis(started);
            match result {
                Ok((record, summary)) => {
                    self.write(run, EntryKind::Done { step: step.id, record })?;
                    (self.on_event)(EventKind::StepDone { step: step.id, millis, summary });
                    self.at("done", step);
                }
                Err(e) if step.tidy => {
                    warnings += 1;
                    self.write(run, EntryKind::Warned { step: step.id, error: e.what.clone() })?;
                    (self.on_event)(EventKind::StepWarned { step: step.id, error: e.what });
                }
                Err(e) => {
                    self.write(run, EntryKind::Failed { step: step.id, error: e.what.clone() })?;
                    let reason = e.what.clone();
                    (self.on_event)(EventKind::StepFailed {
                        step: step.id,
                        millis,
                        error: e.what,
                        help: e.help,
                    });
                    self.at("failed", step);
                    self.begin_undo(run, reason)?;
                    return Ok(None);
                }
            }
        }
        // Asked during the last step: until the end is written, taking back is what was asked for.
        if self.stop.asked() {
            self.begin_undo(run, self.stop.reason())?;
            return Ok(None);
        }
        self.end(run, RunEnd::Done { warnings }).map(Some)
    }

    fn begin_undo(&self, run: &mut RunState, reason: Text) -> Result<(), JournalError> {
        self.write(run, EntryKind::UndoBegin { reason: reason.clone() })?;
        (self.on_event)(EventKind::UndoStarted { reason });
        Ok(())
    }

    async fn backward(&self, run: &mut RunState) -> Result<RunEnd, JournalError> {
        let reason = run.undoing.clone().unwrap_or_else(|| Text::new("stopped", "已停止"));
        let untouched = !run.plan.steps.iter().any(|s| {
            s.phase >= Phase::Migrate && !matches!(run.steps.get(&s.id), Some(StepState::Pending) | None)
        });
        for step in run.plan.steps.clone().iter().rev() {
            match run.steps.get(&step.id) {
                None | Some(StepState::Pending | StepState::Undone) => continue,
                Some(_) => {}
            }
            self.write(run, EntryKind::UndoIntent { step: step.id })?;
            (self.on_event)(EventKind::StepUndoStarted { step: step.id });
            self.at("undo-intent", step);
            let started = Instant::now();
            let record = match run.steps.get(&step.id) {
                Some(StepState::Undoing(r)) => r.clone(),
                _ => None,
            };
            match self.world.undo(run, step, record.as_ref()).await {
                Ok(summary) => {
                    self.at("undo-applied", step);
                    self.write(run, EntryKind::Undone { step: step.id })?;
                    (self.on_event)(EventKind::StepUndone {
                        step: step.id,
                        millis: millis(started),
                        summary,
                    });
                }
                Err(e) => {
                    // Going on would take away what users still stand on (the new processes, say). A person decides.
                    let (title, error) = (&step.title, e.in_full());
                    let stuck = Text::new(
                        format!("{}: {}", title.en, error.en),
                        format!("{}：{}", title.zh, error.zh),
                    );
                    self.write(run, EntryKind::UndoFailed { step: step.id, error: error.clone() })?;
                    (self.on_event)(EventKind::UndoFailed { step: step.id, error });
                    // No `End` line: the run stays open, holds the app, and `abort` tries again.
                    let end = RunEnd::NeedsPerson { reason, stuck };
                    (self.on_event)(EventKind::RunEnded { end: end.clone() });
                    return Ok(end);
                }
            }
        }
        self.end(run, RunEnd::Undone { reason, untouched })
    }

    fn end(&self, run: &mut RunState, end: RunEnd) -> Result<RunEnd, JournalError> {
        self.write(run, EntryKind::End { end: end.clone() })?;
        (self.on_event)(EventKind::RunEnded { end: end.clone() });
        Ok(end)
    }
}

fn millis(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[path = "executor_tests.rs"]
mod tests;
