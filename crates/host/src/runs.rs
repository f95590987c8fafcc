//! The runs of this host: begun, carried on, followed, taken back. One open run per app and environment; the journal
//! is the lock, so a crash leaves none behind.

pub use crate::project::load_config;
use crate::{
    active::{Active, Attached, lease_watch, record},
    api::{ApiError, ErrorKind, RunRequest, RunStarted, RunSummary},
    context::{Context, Emit},
    fault, going_back, guard,
    paths::Home,
    store::{RunRow, Store, StoreError},
    world::HostWorld,
};
use jiff::Timestamp;
use safelight_engine::{
    config::{self, Config},
    driver::host::HostErrorKind,
    event::{Event, EventKind},
    plan::{Action, Plan, PlanInput, PlanKind, ReleaseRef},
    run::{
        RunEnd,
        executor::Executor,
        journal::{Entry, EntryKind, JournalError, RunState, StepState},
    },
    text::{Lang, Text},
};
use std::{
    collections::HashMap,
    path::Path,
    sync::{Arc, Mutex, atomic::Ordering},
    time::Duration,
};
use tokio::sync::broadcast;

/// Takes a run off the list of those that are worked on when it is dropped.
struct Leaving(Arc<Runs>, String);

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.active.lock().unwrap_or_else(std::sync::PoisonError::into_inner).remove(&self.1);
    }
}

/// All runs of the host.
pub struct Runs {
    home: Home,
    store: Arc<Store>,
    shim: Vec<String>,
    active: Mutex<HashMap<String, Arc<Active>>>,
}

/// Without a follower for this long after an interruption before the commit, the host takes the run back.
const ORPHAN_LEASE: Duration = Duration::from_secs(120);

/// The same while requests wait for the database.
const WAITING_LEASE: Duration = Duration::from_secs(20);

/// A journal that cannot be written is tried again after this long,
const RETRY_FIRST: Duration = Duration::from_secs(1);
/// and then after twice as long, up to this.
const RETRY_MAX: Duration = Duration::from_secs(30);

fn busy(row: &RunRow) -> ApiError {
    let (who, since, run) = (&row.plan.who, row.began, &row.id);
    let (app, env) = (&row.plan.app, &row.plan.env);
    ApiError::new(
        ErrorKind::Busy,
        safelight_engine::text!(
            "{app} in {env} is held by {who} since {since} (run {run})",
            "{env} 的 {app} 正被 {who} 占用，自 {since} 起（运行 {run}）"
        ),
    )
    .with_help(Text::new(
        "follow it with `safelight watch`, take it back with `safelight abort`, go on with `safelight resume`",
        "用 `safelight watch` 跟踪，`safelight abort` 撤销，`safelight resume` 继续",
    ))
}

pub(crate) fn store_error(e: StoreError) -> ApiError {
    ApiError::failed(e)
}

impl Runs {
    /// The runs kept in `store`.
    #[must_use]
    pub fn new(home: Home, store: Arc<Store>, shim: Vec<String>) -> Arc<Self> {
        Arc::new(Self { home, store, shim, active: Mutex::default() })
    }

    /// The host's memory.
    #[must_use]
    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }

    pub(crate) fn context(&self, config: Config, env: &str, project: &Path) -> Result<Context, ApiError> {
        Context::new(&self.home, self.store.clone(), self.shim.clone(), config, env, project)
            .map_err(|e| ApiError::new(ErrorKind::Usage, e.0))
    }

    /// The context of a project as it is now.
    ///
    /// # Errors
    /// When its configuration is wrong.
    pub fn open(&self, project: &Path, env: &str) -> Result<Context, ApiError> {
        self.context(load_config(project)?.0, env, project)
    }

    /// The same, when its journeys can be run.
    ///
    /// # Errors
    /// When its configuration or a journey is wrong.
    pub fn open_sound(&self, project: &Path, env: &str) -> Result<Context, ApiError> {
        let (config, text) = load_config(project)?;
        let ctx = self.context(config, env, project)?;
        guard::journeys(&ctx, &text)?;
        Ok(ctx)
    }

    /// The context that a run was begun with.
    ///
    /// # Errors
    /// When its configuration can no longer be read.
    pub fn open_row(&self, row: &RunRow) -> Result<Context, ApiError> {
        let config = config::load::parse_stored(&row.config).map_err(ApiError::failed)?;
        self.context(config, &row.plan.env, &row.project)
    }

    /// Makes the plan that a request would carry out.
    ///
    /// # Errors
    /// When the configuration is wrong or what was asked for does not exist.
    pub async fn plan(&self, req: &RunRequest) -> Result<(Plan, String), ApiError> {
        let (config, text) = load_config(&req.project)?;
        let ctx = self.context(config, &req.env, &req.project)?;
        guard::same_directory(self.last_run(ctx.app(), &req.env)?.as_ref(), req)?;
        if req.kind == PlanKind::Deploy {
            guard::certificates(&ctx, &text).await?;
            guard::unmigrate(&ctx, &text)?;
            guard::journeys(&ctx, &text)?;
        }
        let state = ctx.state().await.map_err(store_error)?;
        let reference = |r: &safelight_engine::driver::state::ReleaseRecord| ReleaseRef {
            id: r.id.clone(),
            revision: r.revision.clone(),
            commit: r.commit.clone(),
        };
        let to = match req.kind {
            PlanKind::Deploy => {
                let r = ctx.source.resolve(req.revision.as_deref()).await.map_err(|e| {
                    let kind =
                        if e.kind == HostErrorKind::NotFound { ErrorKind::Usage } else { ErrorKind::Failed };
                    ApiError::new(kind, Text::same(e.to_string()))
                })?;
                let id = self.store.next_release(ctx.app(), &req.env).map_err(store_error)?;
                ReleaseRef { id, revision: r.asked, commit: r.commit }
            }
            PlanKind::Rollback => reference(going_back::release(&state, req.revision.as_deref())?),
        };
        let backup = if req.kind == PlanKind::Rollback && req.database {
            let current = state.current.as_ref().map(|c| c.id.as_str());
            Some(going_back::chosen(&ctx, req, current, &to.id)?)
        } else {
            None
        };
        let now = Timestamp::now();
        let own = match req.kind {
            PlanKind::Deploy => ctx.clone(),
            PlanKind::Rollback => ctx.of(&to.id).map_err(store_error)?,
        };
        let serving = state.current.as_ref().map(|c| ctx.of(&c.id)).transpose().map_err(store_error)?;
        let input = PlanInput {
            config: &own.config,
            env_name: &req.env,
            env: &own.env,
            run: run_id(now),
            host: ctx.host.name().to_owned(),
            who: req.who.clone(),
            from: state.current.as_ref().map(reference),
            serving: serving.as_ref().map_or(&[], |s| &s.config.services),
            to,
            now,
        };
        let mut plan = match req.kind {
            PlanKind::Deploy => Plan::deploy(input),
            PlanKind::Rollback => Plan::rollback(input, backup),
        };
        HostWorld::new(own, Arc::new(|_| {}), None).explain(&mut plan).await;
        Ok((plan, text))
    }

    /// Begins a run.
    ///
    /// # Errors
    /// When another one is open, or for the reasons of [`Runs::plan`].
    pub async fn begin(self: &Arc<Self>, req: &RunRequest) -> Result<RunStarted, ApiError> {
        // Asked before planning too, so that the second of two gets its answer at once.
        let (config, _) = load_config(&req.project)?;
        if let Some(open) = self.open_run(&config.app.name, &req.env)? {
            return Err(busy(&open));
        }
        let (plan, config) = self.plan(req).await?;
        let row = RunRow {
            id: plan.run.clone(),
            config,
            project: req.project.clone(),
            plan: plan.clone(),
            began: plan.created,
            ended: None,
            end: None,
            lease_s: req.lease_s,
        };
        let first =
            Entry { seq: 1, at: plan.created, kind: EntryKind::Begin { plan: Box::new(plan.clone()) } };
        if let Some(open) = self.store.begin_run(&row, &first).map_err(store_error)? {
            return Err(busy(&open));
        }
        let state = RunState::replay(&row.id, &[first]).map_err(ApiError::failed)?;
        self.carry(row, state, None, req.revision.clone())?;
        Ok(RunStarted { run: plan.run.clone(), plan })
    }

    pub(crate) fn last_run(&self, app: &str, env: &str) -> Result<Option<RunRow>, ApiError> {
        self.store.last_run(app, env).map_err(store_error)
    }

    pub(crate) fn open_run(&self, app: &str, env: &str) -> Result<Option<RunRow>, ApiError> {
        Ok(self.last_run(app, env)?.filter(|r| r.ended.is_none()))
    }

    /// Goes on with an interrupted run.
    ///
    /// # Errors
    /// When there is no such run, or its journal cannot be believed.
    pub fn resume(self: &Arc<Self>, id: &str, who: &str) -> Result<(), ApiError> {
        if self.is_active(id) {
            return Ok(());
        }
        let (row, state) = self.interrupted(id)?;
        let undoing = state.undoing.is_some();
        self.carry(row, state, None, None)?;
        self.tell(id, EventKind::RunResumed { who: who.to_owned(), undoing });
        Ok(())
    }

    /// Takes a run back, interrupted or not.
    ///
    /// # Errors
    /// When there is no such run, it has ended, or its journal cannot be believed.
    pub fn abort(self: &Arc<Self>, id: &str, who: &str, forget: bool) -> Result<(), ApiError> {
        let reason = safelight_engine::text!("aborted by {who}", "由 {who} 中止");
        if let Some(active) = self.get(id) {
            if forget {
                return Err(ApiError::new(
                    ErrorKind::Usage,
                    Text::new("the run is being worked on; abort it first", "运行仍在进行，请先中止"),
                ));
            }
            active.stop.ask(reason);
            return Ok(());
        }
        if forget {
            let end = RunEnd::NeedsPerson {
                reason: safelight_engine::text!("closed by {who} without undoing", "由 {who} 关闭，未撤销"),
                stuck: Text::new("a person took over", "已由人工接管"),
            };
            return self.store.end_run(id, &end).map_err(store_error);
        }
        let (row, state) = self.interrupted(id)?;
        self.carry(row, state, Some(reason), None)
    }

    fn interrupted(&self, id: &str) -> Result<(RunRow, RunState), ApiError> {
        let row = self.store.run(id).map_err(store_error)?.ok_or_else(|| ApiError::no_run(id))?;
        if row.ended.is_some() {
            return Err(ApiError::new(
                ErrorKind::Usage,
                safelight_engine::text!("run {id} has ended", "运行 {id} 已结束"),
            )
            .with_help(Text::new(
                "to go back to the release before, use `safelight rollback`",
                "要回到上一版本，请用 `safelight rollback`",
            )));
        }
        let state = self.store.run_state(id).map_err(|e| ApiError::failed(&e))?;
        self.close(&row, &state);
        Ok((row, state))
    }

    fn get(&self, id: &str) -> Option<Arc<Active>> {
        self.active.lock().unwrap_or_else(std::sync::PoisonError::into_inner).get(id).cloned()
    }

    /// Is the run being worked on right now?
    #[must_use]
    pub fn is_active(&self, id: &str) -> bool {
        self.get(id).is_some()
    }

    /// Subscribes to a run's events; `None` when it is not being worked on.
    #[must_use]
    pub fn follow(&self, id: &str) -> Option<(broadcast::Receiver<Event>, Attached)> {
        Some(self.get(id)?.follow())
    }

    fn tell(&self, id: &str, kind: EventKind) {
        if let Some(a) = self.get(id) {
            record(&self.store, &a, id, kind);
        }
    }

    /// Works on a run in a task of its own until it ends.
    fn carry(
        self: &Arc<Self>,
        row: RunRow,
        mut state: RunState,
        abort: Option<Text>,
        revision: Option<String>,
    ) -> Result<(), ApiError> {
        let config = config::load::parse_stored(&row.config).map_err(|e| {
            ApiError::new(ErrorKind::Config, Text::new(e.render(Lang::En), e.render(Lang::Zh)))
        })?;
        let ctx = self.context(config, &row.plan.env, &row.project)?;
        let known = self.store.events(&row.id, 0).map_err(store_error)?;
        let active = Active::new(known.last().map_or(0, |e| e.seq), committed(&state));
        {
            let mut map = self.active.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if map.contains_key(&row.id) {
                return Ok(());
            }
            map.insert(row.id.clone(), active.clone());
        }
        if known.is_empty() {
            record(&self.store, &active, &row.id, EventKind::RunStarted { plan: row.plan.clone() });
        }
        let emit: Emit = {
            let (store, active, id) = (self.store.clone(), active.clone(), row.id.clone());
            let commit = row.plan.steps.iter().find(|s| s.action == Action::Commit).map(|s| s.id);
            Arc::new(move |kind| {
                if matches!(&kind, EventKind::StepDone { step, .. } if Some(*step) == commit) {
                    active.committed.store(true, Ordering::SeqCst);
                }
                record(&store, &active, &id, kind);
            })
        };
        // Whatever was asked for at the start is in the plan; a resumed deploy takes the same commit.
        let revision = revision.or_else(|| row.plan.to.commit.clone());
        let world = HostWorld::new(ctx, emit.clone(), revision);
        let runs = self.clone();
        if let Some(lease) = row.lease_s {
            tokio::spawn(lease_watch(active.clone(), Duration::from_secs(lease)));
        }
        // Whatever ends this task: a run that nobody works on can be resumed or aborted.
        let leaving = Leaving(self.clone(), row.id.clone());
        tokio::spawn(async move {
            let _leaving = leaving;
            let executor = Executor {
                journal: &*runs.store,
                world: &world,
                on_event: &|k| emit(k),
                stop: active.stop.clone(),
                fault: fault::from_env(),
            };
            let mut result = match abort.clone() {
                Some(reason) => executor.abort(&mut state, reason).await,
                None => executor.drive(&mut state).await,
            };
            let mut pause = RETRY_FIRST;
            while let Err(JournalError::Storage { why, .. }) = &result {
                // Users have met the new release, or are on their way back: nobody else will watch or undo this.
                let undo = abort.clone().or_else(|| active.stop.asked().then(|| active.stop.reason()));
                if undo.is_none() && state.undoing.is_none() && !committed(&state) {
                    runs.take_back_later(&row, &state);
                    break;
                }
                let s = pause.as_secs();
                let message = safelight_engine::text!(
                    "the journal cannot be written ({why}): trying again in {s} s; make room on the disk",
                    "无法写入日志（{why}）：{s} 秒后重试；请清理磁盘"
                );
                tracing::error!(run = row.id, "{}", message.en);
                emit(EventKind::Progress { step: 0, message });
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(RETRY_MAX);
                // What is in it counts, not what this process believes: a line may be there although its writing failed.
                result = match runs.store.run_state(&row.id) {
                    Ok(now) => {
                        state = now;
                        match undo {
                            Some(reason) => executor.abort(&mut state, reason).await,
                            None => executor.drive(&mut state).await,
                        }
                    }
                    Err(e) => Err(e),
                };
            }
            if let Err(e) = result {
                let text = Text::same(e.to_string());
                tracing::error!(run = row.id, "{e}");
                emit(EventKind::Progress { step: 0, message: text.clone() });
                let end = RunEnd::NeedsPerson { reason: text.clone(), stuck: text };
                emit(EventKind::RunEnded { end });
            }
        });
        Ok(())
    }

    /// After a restart of the daemon: a run that was being watched or undone goes on by itself; any other waits for a
    /// coordinator, and is taken back when none comes.
    pub fn recover(self: &Arc<Self>) {
        let rows = match self.store.runs(true, 1000) {
            Ok(r) => r,
            Err(e) => {
                tracing::error!("open runs could not be read: {e}");
                return;
            }
        };
        for row in rows {
            let state = match self.store.run_state(&row.id) {
                Ok(s) => s,
                Err(e) => {
                    tracing::error!(run = row.id, "{e}");
                    continue;
                }
            };
            if state.stuck.is_some() || self.close(&row, &state) {
                continue;
            }
            if state.undoing.is_some() || committed(&state) {
                if let Err(e) = self.resume(&row.id, "safelight host, after its restart") {
                    tracing::error!(run = row.id, "{e}");
                }
                continue;
            }
            self.take_back_later(&row, &state);
        }
    }

    /// A run that nobody works on and that users have not met is taken back when nobody comes for it.
    fn take_back_later(self: &Arc<Self>, row: &RunRow, state: &RunState) {
        let (runs, id) = (self.clone(), row.id.clone());
        let lease = row.lease_s.map_or(ORPHAN_LEASE, Duration::from_secs);
        let lease = if state.exchanging_database() { lease.min(WAITING_LEASE) } else { lease };
        tokio::spawn(async move {
            tokio::time::sleep(lease).await;
            let open = runs.store.run(&id).ok().flatten().is_some_and(|r| r.ended.is_none());
            if open && !runs.is_active(&id) {
                tracing::warn!(run = id, "nobody came back for this run; taking it back");
                if let Err(e) = runs.abort(&id, "safelight host: nobody came back for the run", false) {
                    tracing::error!(run = id, "{e}");
                }
            }
        });
    }

    /// Earlier versions wrote the last line and the end of the run one after the other: true, and mended, when only the
    /// line is there.
    fn close(&self, row: &RunRow, state: &RunState) -> bool {
        let Some(end) = &state.end else { return false };
        if let Err(e) = self.store.end_run(&row.id, end) {
            tracing::error!(run = row.id, "{e}");
        }
        true
    }

    /// A line about a run.
    #[must_use]
    pub fn summary(&self, row: &RunRow) -> RunSummary {
        let at = if row.ended.is_some() {
            None
        } else {
            self.store.run_state(&row.id).ok().and_then(|s| current_step(&s))
        };
        RunSummary {
            run: row.id.clone(),
            app: row.plan.app.clone(),
            env: row.plan.env.clone(),
            kind: row.plan.kind,
            from: row.plan.from.as_ref().map(|f| f.id.clone()),
            to: row.plan.to.id.clone(),
            revision: row.plan.to.revision.clone(),
            project: row.project.clone(),
            who: row.plan.who.clone(),
            began: row.began,
            ended: row.ended,
            end: row.end.clone(),
            active: self.is_active(&row.id),
            at,
        }
    }
}

fn committed(state: &RunState) -> bool {
    state
        .plan
        .steps
        .iter()
        .any(|s| s.action == Action::Commit && matches!(state.steps.get(&s.id), Some(StepState::Done(_))))
}

fn current_step(state: &RunState) -> Option<Text> {
    let busy = |s: &StepState| !matches!(s, StepState::Done(_) | StepState::Warned | StepState::Undone);
    let mut steps = state.plan.steps.iter();
    let step = if state.undoing.is_some() {
        steps.rfind(|s| state.steps.get(&s.id).is_some_and(|x| busy(x) && *x != StepState::Pending))
    } else {
        steps.find(|s| state.steps.get(&s.id).is_some_and(busy))
    };
    step.map(|s| s.title.clone())
}

/// `20261123-021500-4f2a`: sorts by time, is easy to type, and differs between two runs of one second.
fn run_id(now: Timestamp) -> String {
    let civil = now.to_zoned(jiff::tz::TimeZone::UTC).strftime("%Y%m%d-%H%M%S").to_string();
    let salt = (now.subsec_nanosecond().unsigned_abs() / 1000 + std::process::id()) & 0xffff;
    format!("{civil}-{salt:04x}")
}

#[cfg(test)]
#[path = "runs_tests.rs"]
mod tests;
