//! Stage: content, dependencies, build, shared links and environment of a release, on the host.

use super::{
    Applied, HostWorld, Observed, Step, StepError, commands::Place, failed, secret_values, to_record,
};
use crate::{
    own,
    paths::{private_dir, write_whole},
};
use safelight_drivers::source::store::Store as ContentStore;
use safelight_engine::{
    driver::{
        env::EnvFile,
        host::{HostError, HostErrorKind},
        source::ManifestEntry,
        state::ReleaseRecord,
    },
    run::journal::RunState,
    text::Text,
};
use serde::{Deserialize, Serialize};
use std::{path::Path, time::Duration};

/// What staging leaves beside the release: it is there only when the release is complete.
#[derive(Serialize, Deserialize)]
pub(super) struct Ready {
    content_id: String,
    /// Its files: what must stay in the store as long as the release does.
    pub(super) manifest: Vec<ManifestEntry>,
    /// Its dependency tree in the store.
    pub(super) deps: Option<String>,
    new_files: usize,
    new_bytes: u64,
    total_bytes: u64,
    dependencies_reused: bool,
}

impl HostWorld {
    pub(super) async fn observe_stage(&self, run: &RunState) -> Result<Observed, StepError> {
        let ready = self.ctx.dirs.ready(&run.plan.to.id);
        match self.ctx.host.read(&ready).await {
            Ok(bytes) => Ok(serde_json::from_slice::<Ready>(&bytes)
                .map_or(Observed::NotApplied, |r| Observed::Applied(to_record(&r.moved())))),
            Err(e) if e.kind == HostErrorKind::NotFound => Ok(Observed::NotApplied),
            Err(e) => Err(failed(e)),
        }
    }

    pub(super) async fn stage(&self, run: &RunState, step: &Step) -> Applied {
        let ctx = &self.ctx;
        let id = &run.plan.to.id;
        let revision = ctx.source.resolve(self.revision.as_deref()).await.map_err(failed)?;
        if let (Some(planned), Some(now)) = (&run.plan.to.commit, &revision.commit)
            && planned != now
        {
            let asked = &revision.asked;
            return Err(StepError::new(safelight_engine::text!(
                "{asked} points at another commit now than when this was planned",
                "{asked} 现在指向的提交与制定计划时不同"
            )));
        }
        let env = self.snapshot_env().await?;
        let content = ctx.source.ingest(&revision, &ctx.dirs.store()).await.map_err(failed)?;
        let (files, bytes) = (content.new_files, content.new_bytes);
        let total = content.manifest.len();
        self.progress(
            step,
            safelight_engine::text!(
                "{files} of {total} files are new ({bytes} bytes)",
                "{total} 个文件中有 {files} 个是新的（{bytes} 字节）"
            ),
        );
        let target = ctx.dirs.release(id);
        let store = ContentStore::open(ctx.dirs.store()).map_err(failed)?;
        // A half-made release of an interrupted try is not trusted.
        remove_tree(&target).map_err(failed)?;
        let manifest = content.manifest.clone();
        let (s, t) = (store.clone(), target.clone());
        blocking(move || s.materialise(&manifest, &t)).await?.map_err(failed)?;
        let secrets = secret_values(&env, ctx.config.journeys.secrets.values().cloned());
        let at = Place { run, step, cwd: &target, env: &env, over: &[], secrets: &secrets };
        let (reused, deps) = self.install(&at, &store).await?;
        if let Some(build) = &ctx.config.build.build {
            self.command(build, &at).await?;
        }
        link_shared(&ctx.config.build.shared, &ctx.dirs.shared(), &target).map_err(failed)?;
        if ctx.env.env_file.is_some() {
            link_env(&ctx.dirs.env().join(format!("{}.env", env.sha256)), &target).map_err(failed)?;
        }
        let record = ReleaseRecord {
            id: id.clone(),
            content_id: content.content_id.clone(),
            revision: revision.asked.clone(),
            commit: revision.commit.clone(),
            env_sha256: ctx.env.env_file.as_ref().map(|_| env.sha256.clone()),
            created: jiff::Timestamp::now(),
            verified: None,
            schema: None,
            ports: Vec::new(),
        };
        self.save(&record)?;
        self.keep_own(run, step).await?;
        let ready = Ready {
            content_id: content.content_id,
            manifest: content.manifest,
            deps,
            new_files: content.new_files,
            new_bytes: content.new_bytes,
            total_bytes: content.total_bytes,
            dependencies_reused: reused,
        };
        // The mark says that the release is whole, and its own sync covers nothing of what install and build have made.
        let made = target.clone();
        blocking(move || rustix::fs::syncfs(std::fs::File::open(made)?).map_err(std::io::Error::from))
            .await?
            .map_err(|e| failed(HostError::io(format!("sync {}", target.display()), &e)))?;
        let bytes = serde_json::to_vec(&ready).unwrap_or_default();
        write_whole(&ctx.dirs.ready(id), &bytes)
            .map_err(|e| failed(HostError::io("write the release's mark", &e)))?;
        let short: String = ready.content_id.chars().take(12).collect();
        Ok((
            to_record(&ready),
            safelight_engine::text!("{id} is in place, content {short}", "{id} 已就位，内容 {short}"),
        ))
    }

    /// Removes the files of a release, and what it keeps of its own. Its mark goes first.
    pub(super) async fn remove_files(&self, id: &str) -> Result<(), StepError> {
        let dirs = &self.ctx.dirs;
        let half_made = dirs.releases().join(format!("{id}.tmp"));
        let trees = [dirs.release(id), half_made, dirs.own(id)];
        remove_file(&dirs.ready(id)).map_err(failed)?;
        blocking(move || trees.iter().try_for_each(|t| remove_tree(t))).await?.map_err(failed)
    }

    /// Keeps the configuration and the journeys with the release: it is started, tried and routed by them as long as it
    /// is on the host.
    async fn keep_own(&self, run: &RunState, step: &Step) -> Result<(), StepError> {
        let row = self.ctx.store.run(&run.plan.run).map_err(super::store_failed)?;
        let text = row.map(|r| r.config).unwrap_or_default();
        let (ctx, id) = (self.ctx.clone(), run.plan.to.id.clone());
        let left = blocking(move || own::keep(&ctx.dirs, &id, &text, &ctx.config, &ctx.project)).await?;
        for file in left.map_err(|e| failed(HostError::io("keep the configuration", &e)))? {
            let file = file.display();
            self.progress(
                step,
                safelight_engine::text!(
                    "{file} is not kept with the release: it cannot be read, or reads files that only a run can name",
                    "{file} 未随版本保存：无法读取，或其引用的文件只有运行时才能确定"
                ),
            );
        }
        Ok(())
    }

    /// Keeps the environment with the release: what was deployed is what goes back.
    async fn snapshot_env(&self) -> Result<EnvFile, StepError> {
        let env = self.ctx.read_env_file().await.map_err(failed)?;
        if self.ctx.env.env_file.is_some() {
            let path = self.ctx.dirs.env().join(format!("{}.env", env.sha256));
            write_whole(&path, &env.raw).map_err(|e| failed(HostError::io("keep the environment", &e)))?;
        }
        Ok(env)
    }

    pub(super) async fn undo_stage(&self, run: &RunState) -> Result<Text, StepError> {
        let id = &run.plan.to.id;
        self.nobody_works_in_it(run)?;
        self.remove_files(id).await?;
        self.ctx.store.remove_release(self.ctx.app(), &self.ctx.env_name, id).map_err(super::store_failed)?;
        self.prune_environments()?;
        Ok(safelight_engine::text!("{id} is removed", "{id} 已删除"))
    }
}

impl Ready {
    /// What the journal keeps of it.
    fn moved(&self) -> super::Record {
        serde_json::json!({
            "content_id": self.content_id,
            "new_files": self.new_files,
            "new_bytes": self.new_bytes,
            "total_bytes": self.total_bytes,
            "dependencies_reused": self.dependencies_reused,
        })
    }
}

pub(super) async fn blocking<T: Send + 'static>(
    f: impl FnOnce() -> T + Send + 'static,
) -> Result<T, StepError> {
    safelight_drivers::blocking::blocking(f)
        .await
        .map_err(|e| StepError::new(safelight_engine::text!("a task crashed: {e}", "任务崩溃：{e}")))
}

/// A command that was just killed may have children that go on writing for a moment.
pub(super) fn remove_tree(path: &Path) -> Result<(), HostError> {
    use std::io::ErrorKind as K;
    let mut tries = 0;
    loop {
        match std::fs::remove_dir_all(path) {
            Err(e) if e.kind() == K::DirectoryNotEmpty && tries < 40 => {
                tries += 1;
                std::thread::sleep(Duration::from_millis(50));
            }
            Err(e) if e.kind() != K::NotFound => {
                return Err(HostError::io(format!("remove {}", path.display()), &e));
            }
            _ => return Ok(()),
        }
    }
}

pub(super) fn remove_file(path: &Path) -> Result<(), HostError> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(HostError::io(format!("remove {}", path.display()), &e))
        }
        _ => Ok(()),
    }
}

/// Links each shared path of the release to the place outside of it. What the release itself brings there seeds the
/// shared place once, on the first deploy.
fn link_shared(paths: &[String], shared: &Path, release: &Path) -> Result<(), HostError> {
    for p in paths {
        let io = |e: &std::io::Error| HostError::io(format!("link the shared path {p}"), e);
        let (outside, inside) = (shared.join(p), release.join(p));
        let brought = std::fs::symlink_metadata(&inside).is_ok();
        if !outside.exists() {
            if let Some(parent) = outside.parent() {
                private_dir(parent).map_err(|e| io(&e))?;
            }
            if brought {
                std::fs::rename(&inside, &outside).map_err(|e| io(&e))?;
            } else {
                private_dir(&outside).map_err(|e| io(&e))?;
            }
        }
        if inside.is_dir() && !inside.is_symlink() {
            std::fs::remove_dir_all(&inside).map_err(|e| io(&e))?;
        } else {
            remove_file(&inside)?;
        }
        if let Some(parent) = inside.parent() {
            std::fs::create_dir_all(parent).map_err(|e| io(&e))?;
        }
        std::os::unix::fs::symlink(&outside, &inside).map_err(|e| io(&e))?;
    }
    Ok(())
}

/// Apps that read `.env` themselves find it; one that the release brings is left alone.
fn link_env(snapshot: &Path, release: &Path) -> Result<(), HostError> {
    let inside = release.join(".env");
    if std::fs::symlink_metadata(&inside).is_ok() {
        return Ok(());
    }
    std::os::unix::fs::symlink(snapshot, &inside).map_err(|e| HostError::io("link .env", &e))
}
