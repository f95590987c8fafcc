//! The journal: intent before, outcome after each effect, and the state machine that reads it back.
//! Appending can fail; a run whose journal cannot be written stops.

use super::RunEnd;
use crate::{plan::Plan, text::Text};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a step remembers of its own effect, for observing and undoing.
pub type Record = serde_json::Value;

/// One line of the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Position, from 1, without gaps.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// What.
    #[serde(flatten)]
    pub kind: EntryKind,
}

/// What a line says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "entry")]
pub enum EntryKind {
    /// The run exists. Always the first line.
    Begin {
        /// What it will do.
        plan: Box<Plan>,
    },
    /// A step is about to act.
    Intent {
        /// Its id.
        step: u32,
    },
    /// A step has acted.
    Done {
        /// Its id.
        step: u32,
        /// What it remembers.
        record: Record,
    },
    /// A step has failed; what it did until then is unknown until it is undone.
    Failed {
        /// Its id.
        step: u32,
        /// Why.
        error: Text,
    },
    /// A tidying step has failed; the run goes on.
    Warned {
        /// Its id.
        step: u32,
        /// Why.
        error: Text,
    },
    /// From here on everything is taken back.
    UndoBegin {
        /// Why.
        reason: Text,
    },
    /// A step is about to be taken back.
    UndoIntent {
        /// Its id.
        step: u32,
    },
    /// A step has been taken back.
    Undone {
        /// Its id.
        step: u32,
    },
    /// A step could not be taken back.
    UndoFailed {
        /// Its id.
        step: u32,
        /// Why.
        error: Text,
    },
    /// The run is over.
    End {
        /// How.
        end: RunEnd,
    },
}

/// Where a step stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StepState {
    /// Not begun.
    Pending,
    /// Begun; what it did is not known.
    Intended,
    /// Acted.
    Done(Record),
    /// Failed.
    Failed,
    /// Failed, and that does not matter.
    Warned,
    /// Being taken back; `Some` when it had acted.
    Undoing(Option<Record>),
    /// Taken back.
    Undone,
}

/// A run as its journal tells it.
#[derive(Clone, Debug)]
pub struct RunState {
    /// The plan.
    pub plan: Plan,
    /// When it began.
    pub began: Timestamp,
    /// The time of the last line.
    pub last: Timestamp,
    /// Where each step stands.
    pub steps: BTreeMap<u32, StepState>,
    /// Set when everything is being taken back: why.
    pub undoing: Option<Text>,
    /// Set when a step could not be taken back.
    pub stuck: Option<Text>,
    /// Set when it is over.
    pub end: Option<RunEnd>,
    /// Number of the last line.
    pub seq: u64,
}

/// Why a journal cannot be believed or written.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// A line contradicts those before it.
    #[error(
        "the journal of run {run} is damaged at line {seq}: {}. Nothing was done. Look at the host with `safelight status`, then close the run with `safelight abort --forget {run}`",
        why.en
    )]
    Damaged {
        /// The run.
        run: String,
        /// The line.
        seq: u64,
        /// What is wrong.
        why: Text,
    },
    /// It could not be written or read.
    #[error(
        "the journal could not be {op}: {why}. The run stopped where it was; make room or mend the disk, then `safelight resume` or `safelight abort`"
    )]
    Storage {
        /// `written` or `read`.
        op: &'static str,
        /// The system's words.
        why: String,
    },
}

/// What is wrong with a line, in English and Chinese.
pub type Why = (&'static str, &'static str);

impl JournalError {
    /// A line that contradicts those before it.
    #[must_use]
    pub fn damaged(run: &str, seq: u64, (en, zh): Why) -> Self {
        Self::Damaged { run: run.to_owned(), seq, why: Text::new(en, zh) }
    }

    /// The error with its repair, for people.
    #[must_use]
    pub fn text(&self) -> Text {
        let zh = match self {
            Self::Damaged { run, seq, why } => format!(
                "运行 {run} 的日志在第 {seq} 行损坏：{}。没有做任何操作。请先用 `safelight status` 查看主机，再用 `safelight abort --forget {run}` 关闭该运行",
                why.zh
            ),
            Self::Storage { op, why } => {
                let op = if *op == "written" { "写入" } else { "读取" };
                format!(
                    "无法{op}日志：{why}。运行已停在原处；请腾出空间或修复磁盘，然后 `safelight resume` 或 `safelight abort`"
                )
            }
        };
        Text::new(self.to_string(), zh)
    }
}

/// Where journals are kept. An append is on the disk when it returns.
pub trait Journal: Send + Sync {
    /// Adds a line to the run's journal, synced.
    fn append(&self, run: &str, entry: &Entry) -> Result<(), JournalError>;
    /// All lines of a run, in order.
    fn load(&self, run: &str) -> Result<Vec<Entry>, JournalError>;
}

impl RunState {
    /// Reads a journal back. Refuses, with the line, anything that could not have been written by an executor.
    pub fn replay(run: &str, entries: &[Entry]) -> Result<Self, JournalError> {
        let damaged = |seq, why: Why| JournalError::damaged(run, seq, why);
        let mut iter = entries.iter();
        let mut state = match iter.next() {
            Some(Entry { seq: 1, at, kind: EntryKind::Begin { plan } }) => Self {
                steps: plan.steps.iter().map(|s| (s.id, StepState::Pending)).collect(),
                plan: (**plan).clone(),
                began: *at,
                last: *at,
                undoing: None,
                stuck: None,
                end: None,
                seq: 1,
            },
            Some(e) => return Err(damaged(e.seq, ("it does not begin with the plan", "开头不是计划"))),
            None => return Err(damaged(0, ("it is empty", "内容为空"))),
        };
        if state.plan.schema != crate::plan::SCHEMA {
            return Err(damaged(
                1,
                ("the plan was written by another version of safelight", "计划由其他版本的 safelight 写入"),
            ));
        }
        for e in iter {
            if e.seq != state.seq + 1 {
                return Err(damaged(e.seq, ("lines are missing", "缺少记录")));
            }
            state.apply(e).map_err(|why| damaged(e.seq, why))?;
        }
        Ok(state)
    }

    /// Takes in one more line; says why it cannot follow.
    pub fn apply(&mut self, e: &Entry) -> Result<(), Why> {
        use StepState as S;
        if self.end.is_some() {
            return Err(("a line after the end", "结束之后还有记录"));
        }
        let undoing = self.undoing.is_some();
        let steps = &mut self.steps;
        match &e.kind {
            EntryKind::Begin { .. } => return Err(("a second beginning", "出现第二个开头")),
            EntryKind::Intent { step: id } => match find(steps, id)? {
                s @ (S::Pending | S::Intended) if !undoing => *s = S::Intended,
                _ => return Err(("a step is intended out of turn", "步骤的意图次序不对")),
            },
            EntryKind::Done { step: id, record } => match find(steps, id)? {
                s @ S::Intended => *s = S::Done(record.clone()),
                _ => return Err(("a step is done that was not intended", "未声明意图的步骤已完成")),
            },
            EntryKind::Failed { step: id, .. } => match find(steps, id)? {
                s @ S::Intended => *s = S::Failed,
                _ => return Err(("a step fails that was not intended", "未声明意图的步骤失败了")),
            },
            EntryKind::Warned { step: id, .. } => match find(steps, id)? {
                s @ S::Intended => *s = S::Warned,
                _ => return Err(("a step warns that was not intended", "未声明意图的步骤发出警告")),
            },
            EntryKind::UndoBegin { reason } => {
                if !undoing {
                    self.undoing = Some(reason.clone());
                }
            }
            EntryKind::UndoIntent { step: id } => {
                self.stuck = None;
                match find(steps, id)? {
                    _ if !undoing => {
                        return Err((
                            "a step is taken back before the undo began",
                            "撤销开始之前就有步骤被撤销",
                        ));
                    }
                    s @ (S::Intended | S::Failed | S::Warned) => *s = S::Undoing(None),
                    s @ S::Done(_) => {
                        let S::Done(r) = std::mem::replace(s, S::Undone) else {
                            return Err(("unreachable", "不可能的状态"));
                        };
                        *s = S::Undoing(Some(r));
                    }
                    S::Undoing(_) => {}
                    S::Pending | S::Undone => {
                        return Err(("a step is taken back that never acted", "从未执行的步骤被撤销"));
                    }
                }
            }
            EntryKind::Undone { step: id } => match find(steps, id)? {
                s @ S::Undoing(_) => *s = S::Undone,
                _ => return Err(("a step is taken back without intent", "未声明意图就撤销了步骤")),
            },
            EntryKind::UndoFailed { step: id, error } => match find(steps, id)? {
                S::Undoing(_) => self.stuck = Some(error.clone()),
                _ => {
                    return Err((
                        "a step resists that was not being taken back",
                        "并未撤销的步骤报告撤销失败",
                    ));
                }
            },
            EntryKind::End { end } => self.end = Some(end.clone()),
        }
        self.seq = e.seq;
        self.last = e.at;
        Ok(())
    }

    /// The record of the first step whose action `is` matches and that has acted.
    #[must_use]
    pub fn record_of(&self, is: impl Fn(&crate::plan::Action) -> bool) -> Option<&Record> {
        self.plan.steps.iter().filter(|s| is(&s.action)).find_map(|s| match self.steps.get(&s.id) {
            Some(StepState::Done(r) | StepState::Undoing(Some(r))) => Some(r),
            _ => None,
        })
    }

    /// True while the database is being exchanged: the release that served is stopped on purpose, and requests wait. It
    /// ends with the commit, or when the step is taken back.
    #[must_use]
    pub fn exchanging_database(&self) -> bool {
        let state = |s: &crate::plan::Step| self.steps.get(&s.id);
        let begun = |s| !matches!(state(s), Some(StepState::Pending | StepState::Undone) | None);
        let mut commits = self.plan.steps.iter().filter(|s| s.action == crate::plan::Action::Commit);
        self.plan.restores().is_some_and(begun)
            && !commits.any(|s| matches!(state(s), Some(StepState::Done(_))))
    }

    /// True once a step of [`crate::plan::Phase::Promote`] or later has begun: users may have met the new release.
    #[must_use]
    pub fn switched(&self) -> bool {
        self.plan.steps.iter().any(|s| {
            s.phase >= crate::plan::Phase::Promote
                && !matches!(self.steps.get(&s.id), Some(StepState::Pending) | None)
        })
    }
}

fn find<'s>(steps: &'s mut BTreeMap<u32, StepState>, id: &u32) -> Result<&'s mut StepState, Why> {
    steps.get_mut(id).ok_or(("a step that is not in the plan", "计划中没有的步骤"))
}
