//! Runs that are cut off, fail, resist and are stopped, in a world of numbers.

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
    assert!(matches!(go(&j, &w, &mut run, false).await.unwrap(), RunEnd::Undone { untouched: false, .. }));
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
                        let again =
                            Memory { lines: Mutex::new(lines.clone()), fail_at: Some(lines.len() + more) };
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
