//! Backup, proof, rehearsal, migration, restore.

use super::{
    Applied, HostWorld, Record, Step, StepError, commands::Place, database_failed, failed, from_record,
    secret_values, stage::remove_file, store_failed, to_record,
};
use safelight_engine::{
    config::Database as DatabaseConfig,
    driver::{
        database::{Backup, BackupLevel, Database, DatabaseErrorKind},
        env::EnvFile,
        host::HostError,
    },
    plan::{Action, PlanKind},
    run::journal::RunState,
    text::Text,
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// Tells `unmigrate` which schema to lead back to.
const SCHEMA_VARIABLE: &str = "SAFELIGHT_SCHEMA";

fn shown(schema: &Option<String>) -> String {
    schema.clone().unwrap_or_else(|| "-".to_owned())
}

/// The schema of the live database; none when there is no database.
pub(super) async fn schema_now(db: &Arc<dyn Database>) -> Result<Option<String>, StepError> {
    match db.status().await {
        Ok(s) => Ok(s.schema),
        Err(e) if e.kind == DatabaseErrorKind::Missing => Ok(None),
        Err(e) => Err(database_failed(e)),
    }
}

impl HostWorld {
    pub(super) fn database(&self) -> Result<(&DatabaseConfig, &Arc<dyn Database>), StepError> {
        match (&self.ctx.config.database, &self.ctx.database) {
            (Some(c), Some(d)) => Ok((c, d)),
            _ => {
                Err(StepError::new(Text::new("the configuration has no [database]", "配置中没有 [database]")))
            }
        }
    }

    pub(super) fn scratch(&self, run: &RunState) -> PathBuf {
        self.ctx.dirs.scratch().join(format!("{}.db", run.plan.run))
    }

    pub(super) async fn back_up(&self, run: &RunState, step: &Step) -> Applied {
        let (_, db) = self.database()?;
        if let Err(e) = self.sweep(run) {
            self.progress(step, e.what);
        }
        let target = self.ctx.dirs.backups().join(format!("{}.db", run.plan.run));
        let backup = match db.back_up(&target).await {
            Ok(b) => b,
            // Before the very first deploy the app has not made its database yet: there is nothing that could be lost.
            Err(e) if e.kind == DatabaseErrorKind::Missing && run.plan.from.is_none() => {
                return Ok((Record::Null, Text::new("there is no database yet", "尚无数据库")));
            }
            // What cannot be backed up is what the rollback is for. The restore keeps what there is of it.
            Err(e)
                if run.plan.kind == PlanKind::Rollback
                    && matches!(e.kind, DatabaseErrorKind::Missing | DatabaseErrorKind::Corrupt) =>
            {
                self.progress(step, Text::same(e.to_string()));
                return Ok((
                    Record::Null,
                    Text::new(
                        "there is no sound database to back up; its files are kept as they are",
                        "没有完好的数据库可备份；其文件会原样保留",
                    ),
                ));
            }
            Err(e) => return Err(database_failed(e)),
        };
        self.ctx
            .store
            .put_backup(self.ctx.app(), &self.ctx.env_name, &run.plan.run, &backup)
            .map_err(store_failed)?;
        let size = safelight_engine::config::ByteSize(backup.bytes);
        Ok((to_record(&backup), safelight_engine::text!("{size}, synced to disk", "{size}，已落盘")))
    }

    pub(super) async fn prove(&self, run: &RunState) -> Applied {
        let (_, db) = self.database()?;
        let Some(mut backup) = self.backup_of(run) else {
            return Ok((Record::Null, Text::new("there is no database yet", "尚无数据库")));
        };
        let scratch = self.scratch(run);
        let proof = db.prove(&backup, &scratch).await.map_err(database_failed)?;
        backup.level = BackupLevel::RestoredAndQueried;
        self.ctx
            .store
            .put_backup(self.ctx.app(), &self.ctx.env_name, &run.plan.run, &backup)
            .map_err(store_failed)?;
        let (tables, rows) = (proof.tables.len(), proof.tables.iter().map(|(_, n)| n).sum::<u64>());
        let (q, ms) = (proof.queries.len(), proof.millis);
        Ok((
            to_record(&proof),
            safelight_engine::text!(
                "restored and queried: {tables} tables, {rows} rows, {q} proof queries, {ms} ms",
                "已恢复并查询：{tables} 张表、{rows} 行、{q} 条验证查询，{ms} 毫秒"
            ),
        ))
    }

    pub(super) fn backup_of(&self, run: &RunState) -> Option<Backup> {
        run.record_of(|a| *a == Action::BackUpDatabase).and_then(from_record)
    }

    pub(super) async fn migrate(&self, run: &RunState, step: &Step) -> Applied {
        let (config, db) = self.database()?;
        let Some(migrate) = &config.migrate else {
            return Ok((Record::Null, Text::new("nothing to migrate", "无需迁移")));
        };
        let before = db.status().await.ok().and_then(|s| s.schema);
        let mut release = self.new_release(run)?;
        let env = self.env_of(&release).await?;
        let secrets = secret_values(&env, std::iter::empty());
        let cwd = self.ctx.dirs.release(&release.id);
        self.no_other_migration(run)?;
        let over = self.live_env(config, db, &env);
        let at = Place { run, step, cwd: &cwd, env: &env, over: &over, secrets: &secrets };
        self.command(migrate, &at).await.map_err(|e| match self.backup_of(run) {
            Some(backup) => {
                let path = backup.path.display();
                e.with_help(safelight_engine::text!(
                    "the database as it was before this run is kept, proven, in {path}",
                    "本次运行之前的数据库已备份并验证，保留在 {path}"
                ))
            }
            None => e,
        })?;
        let after = db.status().await.map_err(database_failed)?.schema;
        release.schema.clone_from(&after);
        self.save(&release)?;
        let (b, a) = (shown(&before), shown(&after));
        Ok((to_record(&(before, after)), safelight_engine::text!("schema {b} -> {a}", "表结构 {b} -> {a}")))
    }

    /// The variable that tells the app where its database is.
    pub(super) fn database_env(
        &self,
        config: &DatabaseConfig,
        db: &Arc<dyn Database>,
    ) -> Vec<(String, String)> {
        let live = self.ctx.dirs.shared().join(&config.path);
        vec![(config.url_variable.clone(), db.url_for(&live))]
    }

    pub(super) async fn undo_migrate(&self, run: &RunState, step: &Step) -> Result<Text, StepError> {
        let (config, db) = self.database()?;
        let Some(unmigrate) = &config.unmigrate else {
            return self.schema_stays(run, config, db).await;
        };
        if config.schema_query.is_none() {
            return Err(StepError::new(Text::new(
                "without `schema-query` nobody can tell what the migration did, so `unmigrate` is not run",
                "没有 `schema-query` 就无法判断迁移做了什么，因此不运行 `unmigrate`",
            ))
            .with_help(Text::new(
                "take the migration back by hand where it was applied, then `safelight abort --forget`",
                "如迁移已生效，请手动撤销，然后执行 `safelight abort --forget`",
            )));
        }
        // The backup was made right before, and the journal keeps what it says.
        let before = self.backup_of(run).and_then(|b| b.schema);
        let there = schema_now(db).await?;
        if there == before {
            let there = shown(&there);
            return Ok(safelight_engine::text!(
                "the schema is {there}, as before: nothing to take back",
                "表结构仍为 {there}，无需撤销"
            ));
        }
        let release = self.new_release(run)?;
        let env: EnvFile = self.env_of(&release).await?;
        let secrets = secret_values(&env, std::iter::empty());
        let cwd = self.ctx.dirs.release(&release.id);
        let mut over = self.live_env(config, db, &env);
        over.push((SCHEMA_VARIABLE.to_owned(), before.clone().unwrap_or_default()));
        let at = Place { run, step, cwd: &cwd, env: &env, over: &over, secrets: &secrets };
        self.command(unmigrate, &at).await?;
        let after = schema_now(db).await?;
        let (t, b, a) = (shown(&there), shown(&before), shown(&after));
        if after != before {
            return Err(StepError::new(safelight_engine::text!(
                "`unmigrate` has led from schema {t} to {a}, and before this run it was {b}",
                "`unmigrate` 使表结构从 {t} 变为 {a}，而本次运行之前是 {b}"
            ))
            .with_help(safelight_engine::text!(
                "`safelight abort` runs it again; it finds the schema to lead to in the variable {SCHEMA_VARIABLE}",
                "`safelight abort` 会再次运行它；目标表结构在变量 {SCHEMA_VARIABLE} 中"
            )));
        }
        Ok(safelight_engine::text!("schema {t} -> {b}", "表结构 {t} -> {b}"))
    }

    /// What there is to know of a schema that is not taken back, and no more than that.
    async fn schema_stays(
        &self,
        run: &RunState,
        config: &DatabaseConfig,
        db: &Arc<dyn Database>,
    ) -> Result<Text, StepError> {
        let Some(from) = &run.plan.from else {
            return Ok(Text::new(
                "the database stays as it is; nothing used it before",
                "数据库保持现状；此前没有版本使用它",
            ));
        };
        let live = if config.schema_query.is_some() { schema_now(db).await? } else { None };
        let backup = self.backup_of(run);
        if live.is_some() && backup.as_ref().is_some_and(|b| b.schema == live) {
            let live = shown(&live);
            return Ok(safelight_engine::text!(
                "the schema is {live}, as before",
                "表结构仍为 {live}，与之前相同"
            ));
        }
        if Self::way_back_proven(run, live.as_ref()) {
            let live = shown(&live);
            return Ok(safelight_engine::text!(
                "the new schema {live} stays; the old release was proven on it",
                "保留新表结构 {live}；已验证旧版本可在其上运行"
            ));
        }
        let (old, shown_live) = (&from.id, shown(&live));
        let what = match live {
            Some(_) => safelight_engine::text!(
                "the schema {shown_live} stays; nobody has run {old} on this schema",
                "保留表结构 {shown_live}；从未有人在此表结构上运行过 {old}"
            ),
            None => safelight_engine::text!(
                "what the migration did stays; without `schema-query` nobody can tell which schema this is, nor has anybody run {old} on it",
                "迁移的结果保留；没有 `schema-query` 就无法判断这是哪个表结构，也没有人在其上运行过 {old}"
            ),
        };
        let Some(backup) = backup else { return Ok(what) };
        let path = backup.path.display();
        let help = safelight_engine::text!(
            "if {old} fails on it: the database as it was before this run is kept in {path}, and the backup that belongs to an earlier release comes back with `safelight rollback --database`",
            "若 {old} 因此出错：本次运行之前的数据库保留在 {path}；更早版本所属的备份可用 `safelight rollback --database` 恢复"
        );
        Ok(Text::new(format!("{}; {}", what.en, help.en), format!("{}；{}", what.zh, help.zh)))
    }

    /// For commands that work on the live database: the environment file's own value wins, as it does for processes.
    fn live_env(
        &self,
        config: &DatabaseConfig,
        db: &Arc<dyn Database>,
        env: &EnvFile,
    ) -> Vec<(String, String)> {
        let mut vars = self.database_env(config, db);
        vars.retain(|(name, _)| !env.vars.contains_key(name));
        vars
    }

    /// Scratch databases of a run that has ended.
    pub(super) fn drop_scratch(&self, run: &RunState) -> Result<(), StepError> {
        remove_scratch(&self.scratch(run)).map_err(failed)
    }
}

/// Removes a scratch database with what lies beside it.
pub(crate) fn remove_scratch(scratch: &Path) -> Result<(), HostError> {
    ["", "-wal", "-shm", "-journal"].iter().try_for_each(|suffix| {
        let mut name = scratch.as_os_str().to_owned();
        name.push(suffix);
        remove_file(Path::new(&name))
    })
}
