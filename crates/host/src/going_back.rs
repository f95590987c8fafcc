//! Where a rollback leads: to which release, and to which backup of the database.

use crate::{
    api::{ApiError, ErrorKind, RunRequest},
    context::Context,
    store::{Store, StoreError},
};
use safelight_engine::{
    driver::{
        database::{Backup, BackupLevel},
        state::{HostState, ReleaseRecord},
    },
    plan::{ChosenBackup, PlanKind},
    run::RunEnd,
    text::Text,
};

/// The release that is gone back to: the one that was asked for, or the verified one before.
pub(crate) fn release<'s>(state: &'s HostState, wanted: Option<&str>) -> Result<&'s ReleaseRecord, ApiError> {
    let found = match wanted {
        Some(id) => state.releases.iter().find(|r| r.id == id || r.revision == id),
        None => state.previous.as_ref(),
    };
    match found {
        Some(r) if r.verified.is_some() && state.current.as_ref().is_none_or(|c| c.id != r.id) => Ok(r),
        Some(r) => {
            let id = &r.id;
            Err(ApiError::new(
                ErrorKind::Usage,
                safelight_engine::text!(
                    "{id} cannot be rolled back to: it serves already, or was never verified on production",
                    "不能回滚到 {id}：它正在服务，或从未在生产环境通过验证"
                ),
            ))
        }
        None => Err(unknown(state, wanted)),
    }
}

/// There is no release as it was asked for, or none before the one that serves: those that can be gone back to are named.
fn unknown(state: &HostState, wanted: Option<&str>) -> ApiError {
    let serves = |r: &ReleaseRecord| state.current.as_ref().is_some_and(|c| c.id == r.id);
    let kept = state.releases.iter().filter(|r| r.verified.is_some() && !serves(r));
    let list: Vec<String> = kept.map(|r| format!("{} ({})", r.id, r.revision)).collect();
    let what = match wanted {
        Some(wanted) => {
            safelight_engine::text!("there is no release {wanted} here", "此处没有版本 {wanted}")
        }
        None if list.is_empty() => {
            Text::new("there is no verified release to go back to", "没有可回滚的已验证版本")
        }
        // The newest of them is often what was fled from: only a person leads back there.
        None => Text::new(
            "there is no verified release before this one; name the one that you want",
            "当前版本之前没有已验证的版本；请指明要切换到的版本",
        ),
    };
    let help = if list.is_empty() {
        Text::new("there is no verified release to go back to yet", "目前没有可回滚的已验证版本")
    } else {
        let list = list.join(", ");
        safelight_engine::text!("it can go back to {list}", "可回滚到 {list}")
    };
    ApiError::new(ErrorKind::Usage, what).with_help(help)
}

/// The release that served before `release` did: where the deploy came from that made it serve. A rollback to it does not
/// count: it came from the release that was fled from, and going back leads further back, never there.
pub(crate) fn before(
    store: &Store,
    app: &str,
    env: &str,
    release: &str,
) -> Result<Option<String>, StoreError> {
    let runs = store.runs_to(app, env, release)?;
    let made = runs.iter().find(|r| {
        r.plan.kind == PlanKind::Deploy
            && matches!(r.end, Some(RunEnd::Done { .. } | RunEnd::NeedsPerson { .. }))
    });
    let from = made.and_then(|r| r.plan.from.as_ref()).map(|f| f.id.clone());
    let known = store.releases(app, env)?;
    Ok(from.filter(|f| known.iter().any(|r| r.id == *f && r.verified.is_some())))
}

/// The backup that a rollback restores; not another one than the asker was shown.
pub(crate) fn chosen(
    ctx: &Context,
    req: &RunRequest,
    current: Option<&str>,
    to: &str,
) -> Result<ChosenBackup, ApiError> {
    if ctx.database.is_none() {
        let what = Text::new("the configuration has no [database]", "配置中没有 [database]");
        return Err(ApiError::new(ErrorKind::Usage, what));
    }
    let (chosen, _) = backup(&ctx.store, ctx.app(), &req.env, current, to)?;
    if req.backup.as_ref().is_some_and(|agreed| *agreed != chosen.run) {
        return Err(ApiError::new(
            ErrorKind::Failed,
            Text::new(
                "another run ended meanwhile: this would restore another backup than you agreed to",
                "期间有其他运行结束：将恢复的备份与您确认的不同",
            ),
        ));
    }
    Ok(chosen)
}

/// The backup that belongs to the release `to`: it was made by the run that took users from it, when it served last.
/// Attempts that were undone do not count, however new and sound their backups are: other code has written since.
pub(crate) fn backup(
    store: &Store,
    app: &str,
    env: &str,
    current: Option<&str>,
    to: &str,
) -> Result<(ChosenBackup, Backup), ApiError> {
    let runs = store.runs_from(app, env, to).map_err(ApiError::failed)?;
    // The run that made what serves now has done so, even if a person has closed its record.
    let took = |r: &&crate::store::RunRow| {
        matches!(r.end, Some(RunEnd::Done { .. })) || current == Some(r.plan.to.id.as_str())
    };
    let Some(run) = runs.iter().find(took) else {
        return Err(none(safelight_engine::text!(
            "no run on record took users from {to}, so there is no backup of its data",
            "记录中没有从 {to} 切走用户的运行，因此没有它的数据备份"
        )));
    };
    let found = of_run(store, app, env, &run.id)?;
    let id = &run.id;
    match found {
        Some(b) if b.level == BackupLevel::RestoredAndQueried && b.path.is_file() => {
            let before = run.plan.to.id.clone();
            Ok((ChosenBackup { run: id.clone(), before, taken_at: b.taken_at }, b))
        }
        Some(b) => {
            let path = b.path.display();
            Err(none(safelight_engine::text!(
                "the backup of run {id}, which took users from {to}, was never proven or is gone: {path}",
                "运行 {id} 从 {to} 切走了用户，但其备份未经验证或已不存在：{path}"
            )))
        }
        None => Err(none(safelight_engine::text!(
            "run {id} took users from {to}, and its backup of the database is not kept",
            "运行 {id} 从 {to} 切走了用户，但没有保留其数据库备份"
        ))),
    }
}

/// The backup that a run made.
pub(crate) fn of_run(store: &Store, app: &str, env: &str, run: &str) -> Result<Option<Backup>, ApiError> {
    let list = store.backups(app, env).map_err(ApiError::failed)?;
    Ok(list.into_iter().find(|(of, _)| of == run).map(|(_, b)| b))
}

fn none(message: Text) -> ApiError {
    ApiError::new(ErrorKind::Failed, message).with_help(Text::new(
        "`safelight rollback` without `--database` goes back and leaves the data as they are",
        "不带 `--database` 的 `safelight rollback` 只回滚版本，数据保持不变",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::RunRow;
    use jiff::Timestamp;
    use safelight_engine::{
        plan::{Plan, PlanKind, ReleaseRef},
        run::journal::{Entry, EntryKind},
    };
    use std::path::Path;

    /// A host's memory with runs whose ids say when they began.
    struct History {
        dir: tempfile::TempDir,
        store: Store,
    }

    impl History {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let store = Store::open(&dir.path().join("host.db")).unwrap();
            Self { dir, store }
        }

        fn run(&self, id: &str, from: &str, to: &str, done: bool, level: Option<BackupLevel>) {
            let release = |id: &str| ReleaseRef { id: id.to_owned(), revision: id.to_owned(), commit: None };
            let hour: i64 = id.trim_start_matches("run-").parse().unwrap();
            let began = Timestamp::from_second(hour * 3600).unwrap();
            let plan = Plan {
                schema: safelight_engine::plan::SCHEMA,
                run: id.to_owned(),
                kind: PlanKind::Deploy,
                app: "shop".to_owned(),
                env: "production".to_owned(),
                host: "h".to_owned(),
                who: "me".to_owned(),
                from: Some(release(from)),
                to: release(to),
                created: began,
                steps: Vec::new(),
            };
            let first = Entry { seq: 1, at: began, kind: EntryKind::Begin { plan: Box::new(plan.clone()) } };
            let row = RunRow {
                id: id.to_owned(),
                config: String::new(),
                project: "/".into(),
                plan,
                began,
                ended: None,
                end: None,
                lease_s: None,
            };
            assert!(self.store.begin_run(&row, &first).unwrap().is_none());
            let reason = Text::same("x");
            let end =
                if done { RunEnd::Done { warnings: 0 } } else { RunEnd::Undone { reason, untouched: false } };
            self.store.end_run(id, &end).unwrap();
            if let Some(level) = level {
                let path = self.dir.path().join(id);
                std::fs::write(&path, "a backup").unwrap();
                self.put(id, &path, began, level);
            }
        }

        fn put(&self, run: &str, path: &Path, taken_at: Timestamp, level: BackupLevel) {
            let sha256 = String::new();
            let path = path.to_owned();
            let backup = Backup { path, bytes: 8, sha256, taken_at, schema: None, level };
            self.store.put_backup("shop", "production", run, &backup).unwrap();
        }

        fn chosen(&self, current: &str, to: &str) -> Result<String, String> {
            backup(&self.store, "shop", "production", Some(current), to)
                .map(|(c, _)| c.run)
                .map_err(|e| e.message.en)
        }
    }

    const PROVEN: Option<BackupLevel> = Some(BackupLevel::RestoredAndQueried);

    #[test]
    fn the_backup_is_that_of_the_run_that_took_users_from_the_release_whatever_failed_since() {
        let h = History::new();
        h.run("run-1", "r1", "r2", false, PROVEN);
        h.run("run-2", "r1", "r3", true, PROVEN);
        // The data of r3, or of its faults: newer, sound, proven, and not what r1 left.
        h.run("run-3", "r3", "r4", false, PROVEN);
        assert_eq!(h.chosen("r3", "r1").unwrap(), "run-2");
        h.run("run-4", "r3", "r5", true, PROVEN);
        assert_eq!(h.chosen("r5", "r3").unwrap(), "run-4");
        assert_eq!(h.chosen("r5", "r1").unwrap(), "run-2", "further back, the data of that time");
        // Back on r1, and from it to another release: that is when r1 served last.
        h.run("run-5", "r5", "r1", true, None);
        h.run("run-6", "r1", "r6", true, PROVEN);
        assert_eq!(h.chosen("r6", "r1").unwrap(), "run-6");
    }

    #[test]
    fn before_a_release_served_the_one_that_it_took_users_from() {
        let h = History::new();
        let before = |r: &str| before(&h.store, "shop", "production", r).unwrap();
        for id in ["r1", "r2", "r3"] {
            let now = Timestamp::UNIX_EPOCH;
            let release = serde_json::json!({
                "id": id, "content_id": "", "revision": id, "created": now, "verified": now, "ports": [],
            });
            let release: ReleaseRecord = serde_json::from_value(release).unwrap();
            h.store.put_release("shop", "production", &release).unwrap();
        }
        h.run("run-1", "r1", "r2", true, None);
        h.run("run-2", "r2", "r1", true, None);
        h.run("run-3", "r1", "r3", true, None);
        h.run("run-4", "r2", "r3", false, None);
        assert_eq!(before("r3").as_deref(), Some("r1"), "not r2, which was rolled back");
        assert_eq!(before("r1").as_deref(), Some("r2"));
        h.store.remove_release("shop", "production", "r1").unwrap();
        assert_eq!(before("r3"), None, "one that is not kept cannot be gone back to");
    }

    #[test]
    fn a_run_that_a_person_closed_counts_when_its_release_serves() {
        let h = History::new();
        h.run("run-1", "r1", "r2", false, PROVEN);
        assert_eq!(h.chosen("r2", "r1").unwrap(), "run-1");
        assert!(h.chosen("r9", "r1").unwrap_err().contains("no run on record took users from r1"));
    }

    #[test]
    fn no_other_backup_takes_the_place_of_one_that_is_missing_gone_or_unproven() {
        let h = History::new();
        h.run("run-1", "r1", "r2", true, PROVEN);
        h.run("run-2", "r2", "r1", true, Some(BackupLevel::Fresh));
        h.run("run-3", "r1", "r3", true, None);
        assert!(h.chosen("r3", "r1").unwrap_err().contains("run run-3"));
        assert!(h.chosen("r1", "r2").unwrap_err().contains("never proven"));
        let gone = h.dir.path().join("gone");
        h.put("run-3", &gone, Timestamp::UNIX_EPOCH, BackupLevel::RestoredAndQueried);
        assert!(h.chosen("r3", "r1").unwrap_err().contains("is gone"));
    }
}
