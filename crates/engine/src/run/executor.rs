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
mod tests {
    use super::*;
    use crate::plan::{Action, Plan, PlanKind, ReleaseRef, UndoPlan};
    use std::{collections::BTreeSet, sync::Mutex};

    /// Lines in memory; refuses the n-th append, which is how a crash looks from inside.
    struct Memory {
        lines: Mutex<Vec<Entry>>,
        fail_at: Option<usize>,
    }
    impl Journal for Memory {
        fn append(&self, _: &str, entry: &Entry) -> Result<(), JournalError> {
            let mut lines = self.lines.lock().unwrap();
            if self.fail_at == Some(lines.len()) {
                return Err(JournalError::Storage { op: "written", why: "No space left on device".into() });
            }
            lines.push(entry.clone());
            Ok(())
        }
        fn load(&self, _: &str) -> Result<Vec<Entry>, JournalError> {
            Ok(self.lines.lock().unwrap().clone())
        }
    }

    /// A world in which every step adds its number to a set.
    #[derive(Default)]
    struct Numbers {
        there: Mutex<BTreeSet<u32>>,
        fails: Option<u32>,
        resists: Mutex<Option<u32>>,
    }
    #[async_trait]
    impl World for Numbers {
        async fn observe(&self, _: &RunState, step: &Step) -> Result<Observed, StepError> {
            // A step that fails has done something, but never all of it.
            Ok(if self.fails != Some(step.id) && self.there.lock().unwrap().contains(&step.id) {
                Observed::Applied(Record::from(step.id))
            } else {
                Observed::NotApplied
            })
        }
        async fn apply(&self, _: &RunState, step: &Step, _: &Stop) -> Result<(Record, Text), StepError> {
            self.there.lock().unwrap().insert(step.id);
            if self.fails == Some(step.id) {
                return Err(StepError::new(Text::same("broken")));
            }
            Ok((Record::from(step.id), Text::same("ok")))
        }
        async fn undo(&self, _: &RunState, step: &Step, _: Option<&Record>) -> Result<Text, StepError> {
            if *self.resists.lock().unwrap() == Some(step.id) {
                return Err(StepError::new(Text::same("stuck")));
            }
            self.there.lock().unwrap().remove(&step.id);
            Ok(Text::same("back"))
        }
    }

    fn plan(n: u32) -> Plan {
        let release = ReleaseRef { id: "r1".into(), revision: "v1".into(), commit: None };
        let step = |id| Step {
            id,
            phase: if id == n { Phase::Retire } else { Phase::Promote },
            action: Action::Promote { service: format!("s{id}") },
            title: Text::same(format!("step {id}")),
            commands: vec![],
            undo: UndoPlan::NothingToDo,
            tidy: id == n,
        };
        Plan {
            schema: crate::plan::SCHEMA,
            run: "run".into(),
            kind: PlanKind::Deploy,
            app: "a".into(),
            env: "e".into(),
            host: "h".into(),
            who: "w".into(),
            from: None,
            to: release,
            created: Timestamp::UNIX_EPOCH,
            steps: (1..=n).map(step).collect(),
        }
    }

    fn begin(journal: &Memory, plan: Plan) -> RunState {
        let e = Entry { seq: 1, at: Timestamp::UNIX_EPOCH, kind: EntryKind::Begin { plan: Box::new(plan) } };
        journal.append("run", &e).unwrap();
        RunState::replay("run", &[e]).unwrap()
    }

    fn memory(fail_at: Option<usize>) -> Memory {
        Memory { lines: Mutex::default(), fail_at }
    }

    async fn go(
        journal: &Memory,
        world: &Numbers,
        run: &mut RunState,
        abort: bool,
    ) -> Result<RunEnd, JournalError> {
        let ex = Executor { journal, world, on_event: &|_| {}, stop: Stop::default(), fault: None };
        if abort { ex.abort(run, Text::same("abort")).await } else { ex.drive(run).await }
    }

    #[tokio::test]
    async fn a_plan_without_trouble_is_done_and_stays_as_it_ended() {
        let (j, w) = (memory(None), Numbers::default());
        let mut run = begin(&j, plan(4));
        assert_eq!(go(&j, &w, &mut run, false).await.unwrap(), RunEnd::Done { warnings: 0 });
        for abort in [false, true] {
            let mut again = RunState::replay("run", &j.load("run").unwrap()).unwrap();
            assert_eq!(go(&j, &w, &mut again, abort).await.unwrap(), RunEnd::Done { warnings: 0 });
            assert_eq!((again.seq, w.there.lock().unwrap().len()), (run.seq, 4));
        }
    }

    #[tokio::test]
    async fn a_failed_step_takes_everything_back_its_own_half_too() {
        let (j, w) = (memory(None), Numbers { fails: Some(3), ..Numbers::default() });
        let mut run = begin(&j, plan(5));
        assert!(matches!(
            go(&j, &w, &mut run, false).await.unwrap(),
            RunEnd::Undone { untouched: false, .. }
        ));
        assert!(w.there.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn each_step_says_that_it_is_being_taken_back_before_it_is() {
        let (j, w) = (memory(None), Numbers { fails: Some(3), ..Numbers::default() });
        let mut run = begin(&j, plan(5));
        let heard = Mutex::new(Vec::new());
        let listen = |e: EventKind| match e {
            EventKind::StepUndoStarted { step } => heard.lock().unwrap().push((step, "begins")),
            EventKind::StepUndone { step, .. } => heard.lock().unwrap().push((step, "is done")),
            _ => {}
        };
        let ex = Executor { journal: &j, world: &w, on_event: &listen, stop: Stop::default(), fault: None };
        ex.drive(&mut run).await.unwrap();
        let both = |step| [(step, "begins"), (step, "is done")];
        assert_eq!(*heard.lock().unwrap(), [both(3), both(2), both(1)].concat());
    }

    #[tokio::test]
    async fn a_tidying_step_that_fails_is_a_warning() {
        let (j, w) = (memory(None), Numbers { fails: Some(4), ..Numbers::default() });
        let mut run = begin(&j, plan(4));
        assert_eq!(go(&j, &w, &mut run, false).await.unwrap(), RunEnd::Done { warnings: 1 });
    }

    /// The heart of it: cut the run off at every single journal line, then resume, and in another pass abort. The end
    /// is exactly all or exactly nothing, and a second cut during the way back changes nothing about that.
    #[tokio::test]
    async fn cut_off_at_every_line_it_resumes_to_all_and_aborts_to_nothing() {
        for fails in [None, Some(2)] {
            for cut in 1..16 {
                for abort in [false, true] {
                    for second_cut in [None, Some(1), Some(2), Some(3)] {
                        let w = Numbers { fails, ..Numbers::default() };
                        let first = memory(Some(cut));
                        let mut run = begin(&first, plan(5));
                        let cut_off = go(&first, &w, &mut run, false).await.is_err();
                        let mut lines = first.load("run").unwrap();
                        if let (true, Some(more)) = (cut_off, second_cut) {
                            let again = Memory {
                                lines: Mutex::new(lines.clone()),
                                fail_at: Some(lines.len() + more),
                            };
                            let mut run = RunState::replay("run", &lines).unwrap();
                            let _ = go(&again, &w, &mut run, abort).await;
                            lines = again.load("run").unwrap();
                        }
                        let mut run = RunState::replay("run", &lines).unwrap();
                        if run.end.is_none() {
                            let last = Memory { lines: Mutex::new(lines), fail_at: None };
                            go(&last, &w, &mut run, abort).await.unwrap();
                            RunState::replay("run", &last.load("run").unwrap()).unwrap();
                        }
                        let there = w.there.lock().unwrap().len();
                        let case = format!("fails {fails:?} cut {cut} abort {abort} second {second_cut:?}");
                        match run.end.unwrap() {
                            RunEnd::Done { .. } => assert!(there == 5 && fails.is_none(), "{case}: {there}"),
                            RunEnd::Undone { .. } => assert!(there == 0, "{case}: {there} left"),
                            RunEnd::NeedsPerson { .. } => panic!("{case}"),
                        }
                    }
                }
            }
        }
    }

    #[tokio::test]
    async fn a_step_that_resists_stops_the_undo_and_abort_tries_again() {
        let (j, w) =
            (memory(None), Numbers { fails: Some(4), resists: Mutex::new(Some(2)), ..Numbers::default() });
        let mut run = begin(&j, plan(6));
        assert!(matches!(go(&j, &w, &mut run, false).await.unwrap(), RunEnd::NeedsPerson { .. }));
        assert_eq!(
            w.there.lock().unwrap().iter().copied().collect::<Vec<_>>(),
            [1, 2],
            "what users stand on stays"
        );
        *w.resists.lock().unwrap() = None;
        let mut run = RunState::replay("run", &j.load("run").unwrap()).unwrap();
        assert!(run.stuck.is_some());
        assert!(matches!(go(&j, &w, &mut run, true).await.unwrap(), RunEnd::Undone { .. }));
        assert!(w.there.lock().unwrap().is_empty());
    }

    #[test]
    fn a_damaged_journal_is_refused_with_its_line_and_the_repair() {
        let j = memory(None);
        begin(&j, plan(2));
        let mut lines = j.load("run").unwrap();
        lines.push(Entry { seq: 3, at: Timestamp::UNIX_EPOCH, kind: EntryKind::Intent { step: 1 } });
        let e = RunState::replay("run", &lines).unwrap_err().to_string();
        assert!(e.contains("line 3") && e.contains("abort --forget"), "{e}");
        lines[1] = Entry { seq: 2, at: Timestamp::UNIX_EPOCH, kind: EntryKind::Undone { step: 1 } };
        assert!(RunState::replay("run", &lines).is_err());
        assert!(RunState::replay("run", &[]).is_err());
    }

    /// Asks to stop while the last step, which only tidies, is at work.
    struct AsksWhileTidying(Numbers, Stop);
    #[async_trait]
    impl World for AsksWhileTidying {
        async fn observe(&self, run: &RunState, step: &Step) -> Result<Observed, StepError> {
            self.0.observe(run, step).await
        }
        async fn apply(&self, run: &RunState, step: &Step, stop: &Stop) -> Result<(Record, Text), StepError> {
            if step.tidy {
                self.1.ask(Text::same("abort"));
            }
            self.0.apply(run, step, stop).await
        }
        async fn undo(&self, run: &RunState, step: &Step, r: Option<&Record>) -> Result<Text, StepError> {
            self.0.undo(run, step, r).await
        }
    }

    #[tokio::test]
    async fn asking_to_stop_during_the_last_step_still_takes_everything_back() {
        let (j, stop) = (memory(None), Stop::default());
        let mut run = begin(&j, plan(3));
        let w = AsksWhileTidying(Numbers::default(), stop.clone());
        let ex = Executor { journal: &j, world: &w, on_event: &|_| {}, stop, fault: None };
        assert!(matches!(ex.drive(&mut run).await.unwrap(), RunEnd::Undone { .. }));
        assert!(w.0.there.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn asking_to_stop_takes_back_what_was_done() {
        let (j, w) = (memory(None), Numbers::default());
        let mut run = begin(&j, plan(4));
        let stop = Stop::default();
        stop.ask(Text::same("Ctrl-C"));
        let ex = Executor { journal: &j, world: &w, on_event: &|_| {}, stop, fault: None };
        assert!(matches!(ex.drive(&mut run).await.unwrap(), RunEnd::Undone { .. }));
    }
}
