//! Putting the database back: requests wait and the release that serves stops, so that nothing of its code writes into
//! the data that come back; the promotion of the old release lets the requests go. Taking that back is the same way
//! in the other direction. What was replaced is kept under the run's own name, so it is found whatever was cut off.

use super::{Applied, HostWorld, Record, Step, StepError, database_failed, failed, from_record, to_record};
use crate::going_back;
use safelight_engine::{
    config::Service,
    driver::database::{Backup, Kept},
    plan::Action,
    run::journal::{RunState, StepState},
    text::Text,
};
use serde::{Deserialize, Serialize};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

/// What the step remembers.
#[derive(Serialize, Deserialize)]
struct Replaced {
    kept: Kept,
}

/// Time for the restore itself, beside stopping and starting, for which a request waits at most.
const RESTORE_WAIT: Duration = Duration::from_secs(60);

impl HostWorld {
    pub(super) async fn restore(&self, run: &RunState, step: &Step) -> Applied {
        let (_, db) = self.database()?;
        let backup = self.backup_to_restore(run, step)?;
        self.quiet(run, step, false).await?;
        let replaced = self.replaced_dir(run);
        let kept = db.restore(&backup, &replaced).await.map_err(database_failed)?;
        let at = backup.taken_at.strftime("%Y-%m-%d %H:%M:%S UTC");
        let dir = replaced.display();
        let summary = match kept {
            Kept::Copy => safelight_engine::text!(
                "the database is as of {at}; the replaced one is kept in {dir}",
                "数据库已恢复到 {at}；被替换的库保留在 {dir}"
            ),
            Kept::Raw => safelight_engine::text!(
                "the database is as of {at}; the damaged one is kept as it was in {dir}",
                "数据库已恢复到 {at}；损坏的库原样保留在 {dir}"
            ),
            Kept::Nothing => safelight_engine::text!(
                "the database is as of {at}; there was none in its place",
                "数据库已恢复到 {at}；原处没有数据库"
            ),
        };
        Ok((to_record(&Replaced { kept }), summary))
    }

    fn backup_to_restore(&self, run: &RunState, step: &Step) -> Result<Backup, StepError> {
        let (store, app, env) = (&self.ctx.store, self.ctx.app(), &self.ctx.env_name);
        let found = match &step.action {
            Action::RestoreDatabase { backup: Some(chosen) } => {
                going_back::of_run(store, app, env, &chosen.run).map(|b| b.ok_or(&chosen.run))
            }
            _ => {
                let from = run.plan.from.as_ref().map(|f| f.id.as_str());
                going_back::backup(store, app, env, from, &run.plan.to.id).map(|(_, b)| Ok(b))
            }
        };
        let found = found.map_err(|e| StepError { what: e.message, help: e.help })?;
        found.map_err(|run| {
            StepError::new(safelight_engine::text!(
                "the backup of run {run} is not kept any more",
                "运行 {run} 的备份已不再保留"
            ))
        })
    }

    /// Takes the restore back, as far as it got: the database first, then what runs on it.
    pub(super) async fn undo_restore(
        &self,
        run: &RunState,
        step: &Step,
        record: Option<&Record>,
    ) -> Result<Text, StepError> {
        let (_, db) = self.database()?;
        if let Some(path) = record.and_then(from_record::<PathBuf>) {
            let path = path.display();
            return Err(StepError::new(safelight_engine::text!(
                "an earlier safelight has replaced the database and kept the one before at {path}",
                "旧版 safelight 替换了数据库，原库保留在 {path}"
            ))
            .with_help(Text::new(
                "stop the app, copy that file over the database, start the app, then `safelight abort --forget`",
                "停止应用，用该文件覆盖数据库，启动应用，然后执行 `safelight abort --forget`",
            )));
        }
        let replaced = self.replaced_dir(run);
        if replaced.exists() {
            self.quiet(run, step, true).await?;
        }
        // What users wrote on the restored data is not in what comes back: it is kept beside.
        let aside = users_came(run).then(|| self.undone_dir(run));
        let back = db.put_back(&replaced, aside.as_deref()).await.map_err(database_failed)?;
        self.serve_again(run, step).await?;
        Ok(match (back, aside) {
            (None, _) => Text::new("the replaced database is in its place", "原数据库在其位置上"),
            (Some(_), None) => Text::new("the replaced database is back", "被替换的数据库已放回"),
            (Some(_), Some(dir)) => {
                let dir = dir.display();
                safelight_engine::text!(
                    "the replaced database is back; what was written since the restore is kept in {dir}",
                    "被替换的数据库已放回；恢复之后的写入保留在 {dir}"
                )
            }
        })
    }

    /// Lets requests wait and stops the release that served. What users call stops first, what that calls last.
    async fn quiet(&self, run: &RunState, step: &Step, undo: bool) -> Result<(), StepError> {
        let Some((side, old)) = self.old_side(run)? else { return Ok(()) };
        for s in side.ctx.config.services.iter().rev() {
            self.hold_until_moved(step, s, undo).await?;
        }
        for s in side.ctx.config.services.iter().rev() {
            side.stop_release_service(&old.id, &s.name).await?;
        }
        let id = &old.id;
        self.progress(
            step,
            safelight_engine::text!("requests wait; {id} is stopped", "请求等待中；{id} 已停止"),
        );
        Ok(())
    }

    async fn hold_until_moved(&self, step: &Step, s: &Service, undo: bool) -> Result<(), StepError> {
        let app = self.ctx.route_name();
        if self.ctx.traffic.route(&app, &s.name).await.map_err(failed)?.is_none() {
            return Ok(());
        }
        let services = self.ctx.config.services.iter();
        let wait = services.map(|s| s.stop_timeout.0 + s.start_timeout.0).sum::<Duration>() + RESTORE_WAIT;
        self.hold(step, &s.name, wait, undo).await
    }

    /// Starts what served before, leads users to it and lets the requests go.
    async fn serve_again(&self, run: &RunState, step: &Step) -> Result<(), StepError> {
        let Some((side, old)) = self.old_side(run)? else { return Ok(()) };
        let new = self.new_side(run)?;
        for s in &side.ctx.config.services {
            match side.bring_up(step, &self.known(&old.id)?, &s.name).await {
                // Its database was lost or damaged before: it need not be better now than it was.
                Err(e) if self.backup_of(run).is_none() => self.progress(step, e.what),
                result => result.map(drop)?,
            }
        }
        let app = self.ctx.route_name();
        for s in side.ctx.config.services.iter().filter(|s| s.path.is_some()) {
            side.lead(Some(&new), &self.known(&old.id)?, s).await?;
            self.ctx.traffic.release(&app, &s.name).await.map_err(failed)?;
        }
        // What only the other release has is still held.
        for s in new.ctx.config.services.iter().filter(|s| side.routed(&s.name).is_none()) {
            self.ctx.traffic.remove(&app, &s.name).await.map_err(failed)?;
        }
        Ok(())
    }

    /// In a run that restores the database users go back to the old release only when its data are back: until then
    /// their requests wait. `None` in any other run.
    pub(super) async fn wait_for_database(
        &self,
        run: &RunState,
        s: &Service,
    ) -> Result<Option<Text>, StepError> {
        let Some(step) = run.plan.restores().filter(|_| run.plan.from.is_some()) else { return Ok(None) };
        self.hold_until_moved(step, s, true).await?;
        Ok(Some(Text::new("requests wait until the database is back", "请求等待数据库放回")))
    }

    /// Where the database that a run replaced is kept.
    fn replaced_dir(&self, run: &RunState) -> PathBuf {
        self.beside_backups(run, "replaced")
    }

    /// Where the restored database is kept when that is taken back.
    fn undone_dir(&self, run: &RunState) -> PathBuf {
        self.beside_backups(run, "undone")
    }

    fn beside_backups(&self, run: &RunState, what: &str) -> PathBuf {
        let dir: &Path = &self.ctx.dirs.backups();
        dir.join(format!("{}.{what}", run.plan.run))
    }
}

/// May users have written to the restored database?
fn users_came(run: &RunState) -> bool {
    run.plan.steps.iter().any(|s| {
        matches!(s.action, Action::Promote { .. } | Action::Exchange { .. })
            && !matches!(run.steps.get(&s.id), Some(StepState::Pending) | None)
    })
}
