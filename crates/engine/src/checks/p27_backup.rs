//! P27: can the database be backed up, and the backup restored and queried?
//! A rehearsal in a scratch directory that is removed again: the app and its data are left as they were. The backup
//! that a deploy keeps is made by the deploy itself.

use super::{
    p16_database::help,
    support::{skipped, unknown, unknown_host},
};
use crate::{
    check::{Check, CheckContext, CheckSpec},
    config::ByteSize,
    driver::{
        database::{Backup, Database, DatabaseError, DatabaseErrorKind, RestoreProof},
        host::Cmd,
    },
    finding::{Finding, Outcome},
    text::Text,
};
use async_trait::async_trait;
use std::{path::Path, time::Duration};
use tokio::time::Instant;

/// Beginning of the name of scratch directories.
const SCRATCH: &str = "check-backup-";
/// Room that must be left beside backup and scratch copy, in bytes.
const HEADROOM: u64 = 100_000_000;
const LIMIT: Duration = Duration::from_secs(60);

/// The check.
#[derive(Clone, Copy, Debug)]
pub(super) struct DatabaseBackup;

#[async_trait]
impl Check for DatabaseBackup {
    fn spec(&self) -> CheckSpec {
        CheckSpec { id: "P27", title: ("Database backup proven", "数据库备份可恢复"), risks: &["R2"] }
    }

    fn timeout(&self) -> Duration {
        LIMIT
    }

    async fn run(&self, ctx: &CheckContext) -> Vec<Finding> {
        vec![look(&self.spec(), ctx).await]
    }
}

async fn look(spec: &CheckSpec, ctx: &CheckContext) -> Finding {
    let Some(config) = &ctx.config.database else {
        return skipped(
            spec,
            "database",
            Text::new(
                "no [database] is configured: nothing to back up",
                "未配置 [database]，没有需要备份的内容",
            ),
        );
    };
    let started = Instant::now();
    let subject = config.path.display().to_string();
    let Some(database) = &ctx.database else {
        return unknown(
            spec,
            subject,
            Text::new("no driver could be made for the configured database", "无法为所配置的数据库创建驱动"),
            Text::new("check `database.kind` and `database.path`", "核对 `database.kind` 与 `database.path`"),
        );
    };
    let status = match database.status().await {
        Ok(s) => s,
        Err(e) if e.kind == DatabaseErrorKind::Missing && ctx.state.current.is_none() => {
            return skipped(
                spec,
                &subject,
                crate::text!(
                    "{subject} does not exist yet and nothing was ever deployed here: there is nothing to lose",
                    "{subject} 尚不存在，且这里从未部署过：没有可丢失的数据"
                ),
            );
        }
        Err(e) => return trouble(spec, &subject, &e),
    };
    let data_dir = &ctx.state.data_dir;
    if !data_dir.is_absolute() {
        // Never a scratch directory relative to wherever this process happens to run.
        return unknown(
            spec,
            &subject,
            Text::new("Safelight's data directory is not known", "尚不清楚 Safelight 的数据目录"),
            Text::new(
                "start `safelight host` on the host and check again",
                "在主机上启动 `safelight host` 后重新检查",
            ),
        );
    }
    let need = status.bytes.saturating_mul(2).saturating_add(HEADROOM);
    if let Ok(fs) = ctx.host.stat_fs(data_dir).await
        && fs.available < need
    {
        let (have, want, mount) = (ByteSize(fs.available), ByteSize(need), fs.mount.display());
        return Finding::new(
            spec,
            &subject,
            Outcome::Fail,
            crate::text!(
                "no room on {mount} for a backup and its restored copy: {have} of {want}",
                "{mount} 空间不足以存放备份及其恢复副本：现有 {have}，需要 {want}"
            ),
        )
        .with_limit(Text::new("available", "可用空间"), have.to_string(), format!(">= {want}"))
        .with_help(Text::new(
            "make room, or move Safelight's data directory to a larger disk",
            "清理空间，或把 Safelight 的数据目录移到更大的磁盘",
        ));
    }
    // Unique for this run; what an earlier run that was killed left behind goes first.
    let scratch = data_dir.join(format!("{SCRATCH}{}-{}", std::process::id(), ctx.now.as_nanosecond()));
    let sweep = Cmd::new([
        "find",
        &data_dir.display().to_string(),
        "-maxdepth",
        "1",
        "-name",
        &format!("{SCRATCH}*"),
        "-mmin",
        "+60",
        "-exec",
        "rm",
        "-rf",
        "{}",
        "+",
    ]);
    // Nothing to sweep, or no such directory yet: both are fine, and the next line tells what matters.
    let _ = ctx.host.run(&sweep).await;
    let shown = scratch.display().to_string();
    // Copies of user data: for this user's eyes only.
    match ctx.host.run(&Cmd::new(["mkdir", "-p", "-m", "700", &shown])).await {
        Ok(o) if o.ok() => {}
        Ok(o) => {
            let said = o.complaint();
            return unknown(
                spec,
                &subject,
                crate::text!("no scratch directory {shown}: {said}", "无法创建临时目录 {shown}：{said}"),
                Text::new(
                    "let the deploying user write to Safelight's data directory",
                    "请允许部署用户写入 Safelight 的数据目录",
                ),
            );
        }
        Err(e) => return unknown_host(spec, &subject, &e),
    }
    // Stops before it is stopped: a check that is cut off cannot clean up.
    let limit =
        ctx.config.checks.timeout.map_or(LIMIT, |s| s.0).mul_f64(0.9).saturating_sub(started.elapsed());
    let tried = tokio::time::timeout(limit, rehearse(database.as_ref(), &scratch)).await;
    let removed = ctx.host.run(&Cmd::new(["rm", "-rf", &shown])).await;
    let finding = match tried {
        Err(_) => {
            let s = limit.as_secs_f32();
            unknown(
                spec,
                &subject,
                crate::text!(
                    "backing up and restoring took longer than {s} s; it was stopped and cleaned up",
                    "备份与恢复超过 {s} 秒，已中止并清理"
                ),
                Text::new(
                    "allow more time with `checks.timeout = \"10m\"` (the deploy makes its own backup in any case)",
                    "用 `checks.timeout = \"10m\"` 放宽时限（部署时仍会自行备份）",
                ),
            )
            .with_fact(Text::new("size", "大小"), ByteSize(status.bytes).to_string())
        }
        Ok(Err((step, e))) => {
            let (en, zh) = (step.en, step.zh);
            let finding = trouble(spec, &subject, &e);
            Finding { summary: crate::text!("{en}: {e}", "{zh}：{e}"), ..finding }
        }
        Ok(Ok((backup, proof))) => judge(spec, ctx, &subject, &backup, &proof),
    };
    match removed {
        Ok(o) if o.ok() => finding,
        other => {
            let why = match other {
                Ok(o) => o.complaint(),
                Err(e) => e.to_string(),
            };
            Finding { outcome: finding.outcome.max(Outcome::Warn), ..finding }
                .with_note(
                    Text::new("left behind", "残留"),
                    crate::text!("{shown} could not be removed: {why}", "无法删除 {shown}：{why}"),
                )
                .with_help(crate::text!(
                    "remove the copy of the data: `rm -rf {shown}`",
                    "删除残留的数据副本：`rm -rf {shown}`"
                ))
        }
    }
}

async fn rehearse(
    database: &dyn Database,
    scratch: &Path,
) -> Result<(Backup, RestoreProof), (Text, DatabaseError)> {
    let backup = database
        .back_up(&scratch.join("backup"))
        .await
        .map_err(|e| (Text::new("the backup failed", "备份失败"), e))?;
    let proof = database.prove(&backup, &scratch.join("restored")).await.map_err(|e| {
        (
            Text::new(
                "the backup was made, and could not be restored and queried",
                "备份已完成，但无法恢复并查询",
            ),
            e,
        )
    })?;
    Ok((backup, proof))
}

fn trouble(spec: &CheckSpec, subject: &str, e: &DatabaseError) -> Finding {
    let outcome = match e.kind {
        DatabaseErrorKind::Busy | DatabaseErrorKind::Other => Outcome::Unknown,
        _ => Outcome::Fail,
    };
    Finding::new(
        spec,
        subject,
        outcome,
        crate::text!("the database cannot be backed up: {e}", "无法备份数据库：{e}"),
    )
    .with_limit(Text::new("proven", "验证程度"), "no", "restored-and-queried")
    .with_help(help(e))
}

fn judge(
    spec: &CheckSpec,
    ctx: &CheckContext,
    subject: &str,
    backup: &Backup,
    proof: &RestoreProof,
) -> Finding {
    let tables = proof.tables.len();
    let rows: u64 = proof.tables.iter().map(|(_, n)| n).sum();
    let (outcome, summary) = if tables > 0 {
        (
            Outcome::Pass,
            crate::text!(
                "backed up, restored and queried: {tables} tables, {rows} rows",
                "已备份、恢复并查询：{tables} 张表，{rows} 行"
            ),
        )
    } else {
        let outcome = if ctx.state.current.is_some() { Outcome::Fail } else { Outcome::Warn };
        (outcome, Text::new("the restored backup holds no table", "恢复出的备份中没有任何表"))
    };
    let mut counts: Vec<String> =
        proof.tables.iter().take(20).map(|(name, n)| format!("{name} {n}")).collect();
    if tables > 20 {
        counts.push("...".to_owned());
    }
    let mut finding = Finding::new(spec, subject, outcome, summary)
        .with_limit(Text::new("proven", "验证程度"), "restored-and-queried", "restored-and-queried")
        .with_limit(Text::new("tables", "表数"), tables.to_string(), ">= 1")
        .with_fact(Text::new("rows by table", "各表行数"), counts.join(", "))
        .with_fact(Text::new("size", "大小"), ByteSize(backup.bytes).to_string())
        .with_fact(Text::new("restore and queries took", "恢复与查询耗时"), format!("{} ms", proof.millis));
    for (query, answer) in &proof.queries {
        // What a query returns may be somebody's data: that it answered is the point.
        let length = answer.chars().count();
        finding = finding.with_note(
            Text::same(query.chars().take(60).collect::<String>()),
            crate::text!("answered ({length} characters)", "有结果（{length} 个字符）"),
        );
    }
    if outcome == Outcome::Pass {
        return finding;
    }
    finding.with_help(Text::new(
        "check that `database.path` is the file the app really uses: compare with the variable that the app reads",
        "确认 `database.path` 就是应用实际使用的文件：与应用读取的变量比对",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::testing::{FakeDatabase, World, database_error, value};
    use crate::driver::host::FsStat;

    fn world(change: impl FnOnce(&mut FakeDatabase)) -> World {
        let mut w = World::new("[database]\nkind = \"sqlite\"\npath = \"app.db\"\n").deployed();
        let mut database = FakeDatabase::good();
        change(&mut database);
        w.database = Some(database);
        w.host =
            w.host.output("mkdir -p -m 700 /var/lib/safelight/check-backup-", 0, "").output("rm -rf", 0, "");
        w
    }

    fn cleaned_up(w: &World) -> bool {
        let calls = w.host.called();
        let made = calls.iter().find_map(|c| c.strip_prefix("mkdir -p -m 700 ")).unwrap();
        calls.last().unwrap() == &format!("rm -rf {made}")
    }

    #[tokio::test]
    async fn a_backup_that_was_restored_and_queried_passes_and_leaves_nothing() {
        let w = world(|_| ());
        let f = w.one(DatabaseBackup).await;
        assert_eq!((f.outcome, value(&f, "proven")), (Outcome::Pass, "restored-and-queried"));
        assert_eq!(value(&f, "rows by table"), "photos 42, users 3");
        assert!(cleaned_up(&w));
    }

    #[tokio::test]
    async fn a_backup_that_cannot_be_made_or_restored_fails_and_leaves_nothing() {
        let w = world(|d| d.backup = Err(database_error(DatabaseErrorKind::Corrupt)));
        assert_eq!(w.one(DatabaseBackup).await.outcome, Outcome::Fail);
        assert!(cleaned_up(&w));
        let w = world(|d| d.proof = Err(database_error(DatabaseErrorKind::Query)));
        let f = w.one(DatabaseBackup).await;
        assert_eq!((f.outcome, value(&f, "proven")), (Outcome::Fail, "no"), "existing is not proven");
        assert!(cleaned_up(&w));
    }

    #[tokio::test]
    async fn a_restored_backup_without_tables_fails_once_something_was_deployed() {
        let mut w = world(|d| d.proof.as_mut().unwrap().tables.clear());
        assert_eq!(w.one(DatabaseBackup).await.outcome, Outcome::Fail);
        w.state.current = None;
        assert_eq!(w.one(DatabaseBackup).await.outcome, Outcome::Warn);
    }

    #[tokio::test]
    async fn a_locked_database_is_unknown() {
        let w = world(|d| d.backup = Err(database_error(DatabaseErrorKind::Busy)));
        assert_eq!(w.one(DatabaseBackup).await.outcome, Outcome::Unknown);
    }

    #[tokio::test(start_paused = true)]
    async fn a_backup_that_takes_too_long_is_unknown_and_cleaned_up() {
        let w = world(|d| d.backup_takes = Duration::from_secs(600));
        assert_eq!(w.one(DatabaseBackup).await.outcome, Outcome::Unknown);
        assert!(cleaned_up(&w));
    }

    #[tokio::test]
    async fn too_little_room_fails_before_anything_is_written() {
        let mut w = world(|d| d.status.as_mut().unwrap().bytes = 3_000_000_000);
        w.host.fs.insert(
            "/var/lib/safelight".into(),
            Ok(FsStat {
                mount: "/".into(),
                device: 1,
                total: 10_000_000_000,
                free: 6_000_000_000,
                available: 6_000_000_000,
                inodes: 0,
                inodes_available: 0,
                read_only: false,
            }),
        );
        assert_eq!(w.one(DatabaseBackup).await.outcome, Outcome::Fail);
        assert!(w.host.called().is_empty());
    }

    #[tokio::test]
    async fn a_copy_that_cannot_be_removed_is_a_warning_with_its_path() {
        let mut w = world(|_| ());
        w.host.outputs.retain(|(prefix, _)| prefix != "rm -rf");
        w.host = w.host.output("rm -rf", 1, "read-only file system");
        let f = w.one(DatabaseBackup).await;
        assert_eq!(f.outcome, Outcome::Warn);
        assert!(f.help.unwrap().en.contains("rm -rf /var/lib/safelight/check-backup-"));
    }

    #[tokio::test]
    async fn no_database_yet_no_driver_and_no_scratch_are_told_apart() {
        let mut w = world(|d| d.status = Err(database_error(DatabaseErrorKind::Missing)));
        assert_eq!(
            w.one(DatabaseBackup).await.outcome,
            Outcome::Fail,
            "a deployed app has lost its database"
        );
        w.state.current = None;
        assert_eq!(w.one(DatabaseBackup).await.outcome, Outcome::Skipped);
        let mut w = world(|_| ());
        w.host.outputs.clear();
        assert_eq!(w.one(DatabaseBackup).await.outcome, Outcome::Unknown);
        w.database = None;
        assert_eq!(w.one(DatabaseBackup).await.outcome, Outcome::Unknown);
        let mut w = world(|_| ());
        w.state.data_dir = "".into();
        assert_eq!(w.one(DatabaseBackup).await.outcome, Outcome::Unknown);
        assert!(w.host.called().is_empty(), "no scratch directory wherever this process happens to run");
        assert_eq!(World::new("").one(DatabaseBackup).await.outcome, Outcome::Skipped);
    }
}
