//! Backup, proof, rehearsal, migration, restore.

use super::{
    Applied, HostWorld, Record, Step, StepError, database_failed, failed, from_record, secret_values,
    stage::remove_file, store_failed, to_record,
};
use safelight_engine::{
    config::Database as DatabaseConfig,
    driver::{
        database::{Backup, BackupLevel, Database, DatabaseErrorKind},
        env::EnvFile,
    },
    plan::Action,
    run::journal::RunState,
    text::Text,
};
use std::{path::PathBuf, sync::Arc};

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

    pub(super) async fn back_up(&self, run: &RunState) -> Applied {
        let (_, db) = self.database()?;
        let target = self.ctx.dirs.backups().join(format!("{}.db", run.plan.run));
        let backup = match db.back_up(&target).await {
            Ok(b) => b,
            // Before the very first deploy the app has not made its database yet: there is nothing that could be lost.
            Err(e) if e.kind == DatabaseErrorKind::Missing && run.plan.from.is_none() => {
                return Ok((Record::Null, Text::new("there is no database yet", "尚无数据库")));
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
        self.command(step, migrate, &cwd, &env, &self.database_env(config, db), &secrets).await.map_err(
            |e| {
                e.with_help(Text::new(
                    "the backup of this run is proven; `safelight rollback --database` can restore it",
                    "本次运行的备份已验证；可用 `safelight rollback --database` 恢复",
                ))
            },
        )?;
        let after = db.status().await.map_err(database_failed)?.schema;
        release.schema.clone_from(&after);
        self.save(&release)?;
        let show = |s: &Option<String>| s.clone().unwrap_or_else(|| "-".to_owned());
        let (b, a) = (show(&before), show(&after));
        Ok((to_record(&(before, after)), safelight_engine::text!("schema {b} -> {a}", "表结构 {b} -> {a}")))
    }

    /// The variable that tells the app where its database is; the environment file's own value wins.
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
            return Ok(if Self::way_back_proven(run) {
                Text::new(
                    "the new schema stays; the old release was proven on it",
                    "保留新表结构；已验证旧版本可在其上运行",
                )
            } else if run.plan.from.is_some() {
                Text::new(
                    "the new schema stays; that the old release runs on it was not proven",
                    "保留新表结构；未证明旧版本可在其上运行",
                )
            } else {
                Text::new(
                    "the database stays as it is; nothing used it before",
                    "数据库保持现状；此前没有版本使用它",
                )
            });
        };
        let release = self.new_release(run)?;
        let env: EnvFile = self.env_of(&release).await?;
        let secrets = secret_values(&env, std::iter::empty());
        let cwd = self.ctx.dirs.release(&release.id);
        self.command(step, unmigrate, &cwd, &env, &self.database_env(config, db), &secrets).await?;
        Ok(Text::new("the migration is taken back", "迁移已撤销"))
    }

    /// Puts back the proven backup that was taken when the release that serves now was deployed.
    pub(super) async fn restore(&self, run: &RunState) -> Applied {
        let (_, db) = self.database()?;
        let backup = self.backup_to_restore(run)?;
        let replaced = db.restore(&backup).await.map_err(database_failed)?;
        let at = backup.taken_at.strftime("%Y-%m-%d %H:%M:%S UTC");
        Ok((
            to_record(&replaced),
            safelight_engine::text!(
                "the database is as of {at}; the replaced one is kept",
                "数据库已恢复到 {at}；被替换的库已保留"
            ),
        ))
    }

    fn backup_to_restore(&self, run: &RunState) -> Result<Backup, StepError> {
        let list = self.ctx.store.backups(self.ctx.app(), &self.ctx.env_name).map_err(store_failed)?;
        list.into_iter()
            .find(|(of, b)| *of != run.plan.run && b.level == BackupLevel::RestoredAndQueried)
            .map(|(_, b)| b)
            .ok_or_else(|| {
                StepError::new(Text::new("there is no proven backup to restore", "没有经过验证的备份可恢复"))
            })
    }

    pub(super) async fn undo_restore(&self, record: Option<&Record>) -> Result<Text, StepError> {
        let (_, db) = self.database()?;
        let Some(replaced) = record.and_then(from_record::<PathBuf>) else {
            return Ok(Text::new("the database was not replaced", "数据库未被替换"));
        };
        let bytes = tokio::fs::read(&replaced).await.map_err(|e| {
            failed(safelight_engine::driver::host::HostError::io(format!("read {}", replaced.display()), &e))
        })?;
        use sha2::Digest as _;
        let backup = Backup {
            bytes: bytes.len() as u64,
            sha256: safelight_engine::driver::env::hex(&sha2::Sha256::digest(&bytes)),
            path: replaced,
            taken_at: jiff::Timestamp::now(),
            schema: None,
            level: BackupLevel::Fresh,
        };
        db.restore(&backup).await.map_err(database_failed)?;
        Ok(Text::new("the replaced database is back", "被替换的数据库已放回"))
    }

    /// Scratch databases of a run that has ended.
    pub(super) fn drop_scratch(&self, run: &RunState) -> Result<(), StepError> {
        let scratch = self.scratch(run);
        for suffix in ["", "-wal", "-shm", "-journal"] {
            let mut name = scratch.clone().into_os_string();
            name.push(suffix);
            remove_file(std::path::Path::new(&name)).map_err(failed)?;
        }
        Ok(())
    }
}
