//! Clearing away what is no longer needed. Nothing here can fail a deploy that has succeeded.

use super::{Applied, HostWorld, Record, Step, StepError, failed, stage, store_failed};
use safelight_drivers::source::store::Store as ContentStore;
use safelight_engine::{
    driver::host::{HostError, HostErrorKind},
    run::journal::RunState,
    text::Text,
};

impl HostWorld {
    pub(super) async fn retire(&self, run: &RunState) -> Applied {
        let (new, Some((side, old))) = (self.new_side(run)?, self.old_side(run)?) else {
            return Ok((Record::Null, Text::new("nothing to stop", "没有要停止的")));
        };
        for s in side.beside(run, &new) {
            side.stop_release_service(&old.id, &s.name).await?;
        }
        let id = &old.id;
        Ok((
            Record::Null,
            safelight_engine::text!("{id} is stopped and stays on disk", "{id} 已停止，文件保留"),
        ))
    }

    pub(super) async fn undo_retire(&self, run: &RunState, step: &Step) -> Result<Text, StepError> {
        let (new, Some((side, old))) = (self.new_side(run)?, self.old_side(run)?) else {
            return Ok(Text::new("nothing to start", "没有要启动的"));
        };
        if run.plan.restores().is_some() {
            return Ok(Text::new("it starts when the database is back", "数据库放回后再启动"));
        }
        for s in side.beside(run, &new) {
            side.bring_up(step, &self.known(&old.id)?, &s.name).await?;
        }
        Ok(Text::new("the old release runs again", "旧版本已重新运行"))
    }

    /// Keeps the newest verified releases, the one that serves and the one before it. Releases that failed do not count.
    pub(super) async fn prune(&self, run: &RunState) -> Applied {
        self.drop_scratch(run)?;
        let (app, env) = (self.ctx.app(), &self.ctx.env_name);
        let releases = self.ctx.store.releases(app, env).map_err(store_failed)?;
        let (current, previous) = self.ctx.store.serving(app, env).map_err(store_failed)?;
        let mut kept = Vec::new();
        let mut removed = 0;
        for r in &releases {
            let serves = Some(&r.id) == current.as_ref() || Some(&r.id) == previous.as_ref();
            let verified = r.verified.is_some() && kept.len() < self.ctx.config.app.keep_releases;
            if serves || verified {
                kept.push(r.clone());
                continue;
            }
            let side = self.leaving(&r.id)?;
            for s in &side.ctx.config.services {
                side.stop_release_service(&r.id, &s.name).await?;
            }
            self.remove_files(&r.id).await?;
            self.ctx.store.remove_release(app, env, &r.id).map_err(store_failed)?;
            removed += 1;
        }
        self.prune_backups(run)?;
        self.prune_environments()?;
        let freed = self.collect_garbage(kept.iter().map(|r| r.id.clone()).collect()).await?;
        let (n, mb) = (kept.len(), freed / 1_000_000);
        Ok((
            Record::Null,
            safelight_engine::text!(
                "{n} releases kept, {removed} removed, {mb} MB freed",
                "保留 {n} 个版本，清理 {removed} 个，释放 {mb} MB"
            ),
        ))
    }

    /// Drops content and dependency trees that no kept release needs. Returns the bytes freed.
    async fn collect_garbage(&self, kept: Vec<String>) -> Result<u64, StepError> {
        let dirs = self.ctx.dirs.clone();
        stage::blocking(move || {
            let ready: Vec<stage::Ready> = kept
                .iter()
                .map(|id| {
                    let path = dirs.ready(id);
                    let bytes = std::fs::read(&path)
                        .map_err(|e| HostError::io(format!("read {}", path.display()), &e))?;
                    serde_json::from_slice(&bytes).map_err(|e| {
                        HostError::new(HostErrorKind::Other, format!("read {}", path.display()), e)
                    })
                })
                .collect::<Result<_, HostError>>()?;
            let store = ContentStore::open(dirs.store())?;
            let manifests: Vec<_> = ready.iter().map(|r| r.manifest.as_slice()).collect();
            let deps: Vec<String> = ready.iter().filter_map(|r| r.deps.clone()).collect();
            Ok(store.gc(&manifests)?.bytes + store.gc_deps(&deps)?.bytes)
        })
        .await?
        .map_err(failed)
    }
}
