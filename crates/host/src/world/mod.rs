//! What each action of a plan does on this host. One file per group of actions; this one only sends them there.

mod assess;
mod commands;
mod database;
mod explain;
mod health;
mod install;
mod patience;
mod processes;
mod rehearsal;
mod resources;
mod restore;
mod retire;
mod secrets;
mod sides;
mod stage;
mod tidy;
mod traffic;
mod watch;

pub(crate) use database::remove_scratch;
pub(crate) use secrets::{redact, secret_values};

use crate::{
    context::{Context, Emit},
    store::StoreError,
};
use async_trait::async_trait;
use safelight_drivers::blocking::Work;
use safelight_engine::{
    driver::{database::DatabaseError, env::EnvFile, host::HostError, state::ReleaseRecord},
    event::EventKind,
    plan::{Action, Step},
    run::{
        executor::{Observed, StepError, Stop, World},
        journal::{Record, RunState},
    },
    text::Text,
};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

/// The world of one run.
pub struct HostWorld {
    /// What it works with.
    pub ctx: Context,
    /// Hears progress.
    pub emit: Emit,
    /// The revision that was asked for.
    pub revision: Option<String>,
    /// Releases without a configuration of their own that were told of.
    told: Arc<Mutex<BTreeSet<String>>>,
}

type Applied = Result<(Record, Text), StepError>;

#[async_trait]
impl World for HostWorld {
    async fn observe(&self, run: &RunState, step: &Step) -> Result<Observed, StepError> {
        match &step.action {
            Action::Stage => {
                self.end_left(run, step).await?;
                self.observe_stage(run).await
            }
            Action::Rehearse => self.end_left(run, step).await.map(|()| Observed::NotApplied),
            Action::Migrate => self.observe_migrate(run, step).await,
            Action::Commit => self.observe_commit(run),
            // All others are cheap to repeat, or look at the world themselves before they act.
            _ => Ok(Observed::NotApplied),
        }
    }

    async fn apply(&self, run: &RunState, step: &Step, stop: &Stop) -> Applied {
        let work = async {
            match &step.action {
                Action::Assess => self.assess(step).await,
                Action::Stage => self.stage(run, step).await,
                Action::BackUpDatabase => self.back_up(run, step).await,
                Action::ProveBackup => self.prove(run).await,
                Action::Rehearse => self.rehearse(run, step).await,
                Action::Gate => self.gate(run).await,
                Action::Migrate => self.migrate(run, step).await,
                Action::Start { service } => self.start(run, step, service).await,
                Action::DarkTest => self.dark_test(run, step).await,
                Action::Promote { service } => self.promote(run, service).await,
                Action::Exchange { service } => self.exchange(run, step, service).await,
                Action::Close { service } => self.close(run, service).await,
                Action::Verify => self.verify(run, step).await,
                Action::RestoreDatabase { .. } => self.restore(run, step).await,
                Action::Commit => self.commit(run, step).await,
                Action::Watch => self.new_side(run)?.watch(run, stop).await,
                Action::Retire => self.retire(run).await,
                Action::Prune => self.prune(run).await,
            }
        };
        // Asking to stop must not wait for a build or a hung health check. A step that is cut off here is undone like
        // one that failed. The watch listens by itself, tidying is short, and a database is exchanged as a whole.
        if matches!(step.action, Action::Watch | Action::RestoreDatabase { .. }) || step.tidy {
            return work.await;
        }
        let blocking = Work::default();
        tokio::select! {
            r = blocking.of(work) => return r,
            () = stop.wait() => {}
        }
        // What it began on other threads must not go on beside the undo.
        blocking.give_up().await;
        Err(StepError::new(stop.reason()))
    }

    async fn undo(&self, run: &RunState, step: &Step, record: Option<&Record>) -> Result<Text, StepError> {
        match &step.action {
            Action::Assess | Action::Gate | Action::Verify | Action::Watch => {
                Ok(Text::new("nothing to take back", "无需撤销"))
            }
            Action::ProveBackup => {
                self.drop_scratch(run)?;
                Ok(Text::new("the scratch database is removed", "临时库已删除"))
            }
            Action::BackUpDatabase => Ok(Text::new("the backup is kept", "备份保留")),
            Action::Rehearse => {
                self.end_left(run, step).await?;
                self.undo_rehearse(run).await
            }
            Action::Stage => {
                self.end_left(run, step).await?;
                self.undo_stage(run).await
            }
            Action::Migrate => {
                self.await_left(run, step).await?;
                self.undo_migrate(run, step).await
            }
            Action::Start { service } => self.undo_start(run, service).await,
            Action::DarkTest => self.close_dark_route(run).await,
            Action::Promote { service } => self.undo_promote(run, service).await,
            Action::Exchange { service } => self.undo_exchange(run, service).await,
            Action::Close { service } => self.undo_close(run, service).await,
            Action::RestoreDatabase { .. } => self.undo_restore(run, step, record).await,
            Action::Commit => self.undo_commit(run).await,
            Action::Retire => self.undo_retire(run, step).await,
            Action::Prune => Ok(Text::new("pruned releases stay away", "已清理的版本不恢复")),
        }
    }
}

impl HostWorld {
    /// The world of a run that works with `ctx`.
    #[must_use]
    pub fn new(ctx: Context, emit: Emit, revision: Option<String>) -> Self {
        Self { ctx, emit, revision, told: Arc::default() }
    }

    fn progress(&self, step: &Step, message: Text) {
        (self.emit)(EventKind::Progress { step: step.id, message });
    }

    /// The release that the plan leads to.
    fn new_release(&self, run: &RunState) -> Result<ReleaseRecord, StepError> {
        self.known(&run.plan.to.id)
    }

    /// The release that served when the plan was made.
    fn old_release(&self, run: &RunState) -> Result<Option<ReleaseRecord>, StepError> {
        run.plan.from.as_ref().map(|f| self.known(&f.id)).transpose()
    }

    fn known(&self, id: &str) -> Result<ReleaseRecord, StepError> {
        self.ctx.release(id).map_err(store_failed)?.ok_or_else(|| {
            StepError::new(safelight_engine::text!(
                "the host does not know the release {id}",
                "主机上没有版本 {id} 的记录"
            ))
        })
    }

    fn save(&self, release: &ReleaseRecord) -> Result<(), StepError> {
        self.ctx.store.put_release(self.ctx.app(), &self.ctx.env_name, release).map_err(store_failed)
    }

    async fn env_of(&self, release: &ReleaseRecord) -> Result<EnvFile, StepError> {
        self.ctx.release_env(release).await.map_err(failed)
    }
}

fn failed(e: HostError) -> StepError {
    use safelight_engine::driver::host::HostErrorKind as K;
    let what = Text::same(e.to_string());
    match e.kind {
        K::NoSpace => StepError::new(what).with_help(Text::new(
            "the disk is full: remove old releases, logs or caches, then deploy again",
            "磁盘已满：清理旧版本、日志或缓存后重试",
        )),
        K::Permission => StepError::new(what).with_help(Text::new(
            "run safelight as the user who owns the app, or give that user the right",
            "请用应用所属用户运行 safelight，或授予其权限",
        )),
        _ => StepError::new(what),
    }
}

fn database_failed(e: DatabaseError) -> StepError {
    failed(e.into())
}

fn store_failed(e: StoreError) -> StepError {
    StepError::new(Text::same(e.to_string()))
}

fn to_record<T: Serialize>(v: &T) -> Record {
    serde_json::to_value(v).unwrap_or(Record::Null)
}

fn from_record<T: DeserializeOwned>(r: &Record) -> Option<T> {
    serde_json::from_value(r.clone()).ok()
}
