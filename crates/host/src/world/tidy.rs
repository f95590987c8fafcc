//! What runs leave behind: backups, scratch databases, kept environments. Cleared away after a success, and before the next
//! copy of the database is made: failed attempts must not fill the disk.

use super::{HostWorld, StepError, failed, stage::remove_file, stage::remove_tree, store_failed};
use crate::going_back;
use safelight_engine::{driver::host::HostError, run::journal::RunState};
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

/// Copies of the database that no rollback needs, and yet are kept: of the newest attempts that were undone, and of the
/// newest restores.
const SPARE: usize = 2;

impl HostWorld {
    /// What runs before this one have left.
    pub(super) fn sweep(&self, run: &RunState) -> Result<(), StepError> {
        // Only one run of an app is open at a time: all others have ended.
        for path in list(&self.ctx.dirs.scratch())? {
            let file = name(&path);
            let of = file.split('.').next().unwrap_or_default();
            // A backup by hand may be under way, and is no run's.
            if of != run.plan.run && self.is_run(of)? {
                remove_file(&path).map_err(failed)?;
            }
        }
        self.prune_backups(run)
    }

    /// Keeps the backups that lead back to releases on disk, as many that were made by hand as there may be releases, and
    /// a few of runs that were undone.
    pub(super) fn prune_backups(&self, run: &RunState) -> Result<(), StepError> {
        let (store, app, env) = (&self.ctx.store, self.ctx.app(), &self.ctx.env_name);
        let (current, _) = store.serving(app, env).map_err(store_failed)?;
        let mut kept: BTreeSet<String> = BTreeSet::from([run.plan.run.clone()]);
        for r in store.releases(app, env).map_err(store_failed)? {
            if let Ok((chosen, _)) = going_back::backup(store, app, env, current.as_deref(), &r.id) {
                kept.insert(chosen.run);
            }
        }
        let (mut spare, mut by_hand) = (SPARE, self.ctx.config.app.keep_releases);
        for (of, backup) in store.backups(app, env).map_err(store_failed)? {
            if kept.contains(&of) {
                continue;
            }
            let left = if self.is_run(&of)? { &mut spare } else { &mut by_hand };
            if *left > 0 && backup.path.is_file() {
                *left -= 1;
                kept.insert(of);
                continue;
            }
            remove_file(&backup.path).map_err(failed)?;
            store.remove_backup(app, env, &of).map_err(store_failed)?;
        }
        self.prune_beside_backups(&kept)
    }

    /// Databases that restores replaced, and what a kill left half-made. Files that no run made are nobody's here.
    fn prune_beside_backups(&self, kept: &BTreeSet<String>) -> Result<(), StepError> {
        let mut paths = list(&self.ctx.dirs.backups())?;
        // Ids of runs begin with the time: the newest first.
        paths.sort_by(|a, b| b.cmp(a));
        let mut spare = [("replaced", SPARE), ("undone", SPARE)];
        for path in paths {
            let file = name(&path);
            let Some((run, what)) = file.split_once('.') else { continue };
            if kept.contains(run) || !self.is_run(run)? {
                continue;
            }
            match spare.iter_mut().find(|(ending, _)| *ending == what) {
                Some((_, left)) if *left > 0 => *left -= 1,
                _ if path.is_dir() => remove_tree(&path).map_err(failed)?,
                _ => remove_file(&path).map_err(failed)?,
            }
        }
        Ok(())
    }

    fn is_run(&self, id: &str) -> Result<bool, StepError> {
        self.ctx.store.run(id).map(|r| r.is_some()).map_err(store_failed)
    }

    /// Drops environments that belong to no release on disk.
    pub(super) fn prune_environments(&self) -> Result<(), StepError> {
        let releases = self.ctx.store.releases(self.ctx.app(), &self.ctx.env_name).map_err(store_failed)?;
        for path in list(&self.ctx.dirs.env())? {
            let file = name(&path);
            let Some(sha) = file.strip_suffix(".env") else { continue };
            if !releases.iter().any(|r| r.env_sha256.as_deref() == Some(sha)) {
                remove_file(&path).map_err(failed)?;
            }
        }
        Ok(())
    }
}

fn name(path: &Path) -> String {
    path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default()
}

fn list(dir: &Path) -> Result<Vec<PathBuf>, StepError> {
    let read = || std::fs::read_dir(dir)?.map(|e| e.map(|e| e.path())).collect::<std::io::Result<_>>();
    read().map_err(|e| failed(HostError::io(format!("list {}", dir.display()), &e)))
}
