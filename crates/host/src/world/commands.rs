//! The app's own commands: how they are run in a release, and what becomes of one that outlived a daemon that was
//! killed. Installing and building are begun anew, so what is left of them is ended. A migration is not: nobody knows
//! what it leaves when it is cut off, so it is waited for, and never does a second one run beside it.

use super::{
    HostWorld, Observed, Step, StepError, database::schema_now, failed, redact, secret_values, to_record,
};
use safelight_drivers::host::left::{self, Begun};
use safelight_engine::{
    config::CommandLine,
    driver::{
        env::EnvFile,
        host::{Cmd, HostError},
    },
    event::EventKind,
    plan::Action,
    run::journal::RunState,
    text::Text,
};
use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// The longest time for one command, when the configuration names none.
const LIMIT: Duration = Duration::from_secs(900);
/// How long what is left of an installation or a build may take to end by itself.
const GRACE: Duration = Duration::from_secs(2);
/// A migration that has had its time already is waited for this long all the same: it may be about to end.
const LAST_WAIT: Duration = Duration::from_secs(5);
/// How often somebody who waits is told so.
const TELL_EVERY: Duration = Duration::from_secs(5);
/// Lines shown of what a migration has said while nobody listened.
const LINES: usize = 20;

/// Where one of the app's commands runs.
pub(super) struct Place<'a> {
    pub(super) run: &'a RunState,
    pub(super) step: &'a Step,
    pub(super) cwd: &'a Path,
    pub(super) env: &'a EnvFile,
    /// Variables beside those of the environment.
    pub(super) over: &'a [(String, String)],
    pub(super) secrets: &'a [String],
}

impl HostWorld {
    fn record_path(&self, run: &str, step: u32) -> PathBuf {
        self.ctx.dirs.commands().join(format!("{run}.{step}.json"))
    }

    /// `PATH` with the configured runtime first.
    pub(super) fn path_env(&self) -> Vec<(String, String)> {
        let base = std::env::var("PATH")
            .unwrap_or_else(|_| "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned());
        let path = match &self.ctx.config.runtime.node_dir {
            Some(d) => format!("{}:{base}", d.display()),
            None => base,
        };
        vec![("PATH".to_owned(), path)]
    }

    /// Runs one of the app's own commands in a release, with its environment; output goes to the run's events.
    pub(super) async fn command(&self, line: &CommandLine, at: &Place<'_>) -> Result<(), StepError> {
        let (step, shown) = (at.step, line.display());
        self.progress(step, safelight_engine::text!("running `{shown}`", "运行 `{shown}`"));
        let mut cmd = Cmd::new(line.argv()).cwd(at.cwd);
        cmd.env = self.path_env();
        cmd.env.extend(at.env.vars.iter().map(|(k, v)| (k.clone(), v.clone())));
        cmd.env.extend(at.over.iter().cloned());
        cmd.timeout = Some(self.ctx.config.build.timeout.map_or(LIMIT, |s| s.0));
        cmd.record = Some(self.record_path(&at.run.plan.run, step.id));
        // Without a reader a pipe is closed, and most programs die of that: in the middle of a migration.
        cmd.outlives = step.action == Action::Migrate;
        let (emit, id) = (self.emit.clone(), step.id);
        let on_line = |l: &str| emit(EventKind::Output { step: id, line: redact(l, at.secrets) });
        let out = self.ctx.host.run_streaming(&cmd, &on_line).await.map_err(failed)?;
        if out.ok() {
            return Ok(());
        }
        let how = out.status.map_or_else(|| "a signal".to_owned(), |s| s.to_string());
        // Line by line: what is redacted as one loses its line ends.
        let said = out.complaint();
        let said: Vec<String> = said.lines().map(|l| format!("  | {}", redact(l, at.secrets))).collect();
        let said = said.join("\n");
        Err(StepError::new(safelight_engine::text!(
            "`{shown}` ended with {how}:\n{said}",
            "`{shown}` 退出码 {how}：\n{said}"
        ))
        .with_help(self.help_of(line)))
    }

    /// What to do about a command that has failed.
    fn help_of(&self, line: &CommandLine) -> Text {
        let migrates = self.ctx.config.database.as_ref().and_then(|d| d.migrate.as_ref());
        if migrates.is_some_and(|m| m.argv() == line.argv()) {
            return Text::new(
                "the migration failed by itself, its last lines stand above: correct it, or the data that it met, and try it on a copy of the database (`safelight backup` makes one), then deploy again",
                "迁移自身失败，上面是它最后几行输出：请修正迁移或它遇到的数据，在数据库副本上试运行（`safelight backup` 可生成副本），再重新部署",
            );
        }
        Text::new(
            "run the same command in a fresh checkout of this revision",
            "在该版本的全新检出中运行同一命令以重现",
        )
    }

    /// Ends what an interrupted try of a step has left running, and waits until it is gone.
    pub(super) async fn end_left(&self, run: &RunState, step: &Step) -> Result<(), StepError> {
        let path = self.record_path(&run.plan.run, step.id);
        let Some(begun) = left::read(&path).map_err(|e| unreadable(&path, &e))? else { return Ok(()) };
        let members = begun.members();
        if !members.is_empty() {
            let (shown, pids) = (&begun.shown, numbers(&members));
            self.progress(
                step,
                safelight_engine::text!(
                    "`{shown}` of before the interruption still runs (process {pids}): ending it",
                    "中断前的 `{shown}` 仍在运行（进程 {pids}）：正在结束它"
                ),
            );
            if !begun.end(GRACE).await {
                return Err(still_there(&begun, &begun.members()));
            }
        }
        left::forget(&path).map_err(|e| unreadable(&path, &e))
    }

    /// Waits for a migration that an interrupted try has left running. True when there was one that has, or had, come to
    /// an end of its own; its exit status is nobody's.
    pub(super) async fn await_left(&self, run: &RunState, step: &Step) -> Result<bool, StepError> {
        let path = self.record_path(&run.plan.run, step.id);
        let Some(begun) = left::read(&path).map_err(|e| unreadable(&path, &e))? else { return Ok(false) };
        let had = jiff::Timestamp::now().duration_since(begun.at);
        let had = Duration::try_from(had).unwrap_or_default();
        let until = Instant::now() + begun.limit.saturating_sub(had).max(LAST_WAIT);
        let (mut told, mut waited) = (None::<Instant>, false);
        loop {
            let members = begun.members();
            if members.is_empty() {
                break;
            }
            if Instant::now() >= until {
                return Err(still_there(&begun, &members));
            }
            if told.is_none_or(|t| t.elapsed() >= TELL_EVERY) {
                let (shown, pids) = (&begun.shown, numbers(&members));
                let (since, left) = (
                    begun.at.strftime("%H:%M:%S UTC"),
                    until.saturating_duration_since(Instant::now()).as_secs(),
                );
                self.progress(
                    step,
                    safelight_engine::text!(
                        "`{shown}` of before the interruption still runs (process {pids}, since {since}): waiting for its end, {left} s at most",
                        "中断前的 `{shown}` 仍在运行（进程 {pids}，自 {since} 起）：等待其结束，最多 {left} 秒"
                    ),
                );
                told = Some(Instant::now());
            }
            waited = true;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        if waited {
            self.tell_output(run, step, &path).await?;
        }
        left::forget(&path).map_err(|e| unreadable(&path, &e))?;
        Ok(begun.of_this_boot())
    }

    /// What a migration has said since nobody listened.
    async fn tell_output(&self, run: &RunState, step: &Step, record: &Path) -> Result<(), StepError> {
        let Ok(bytes) = std::fs::read(left::output_of(record)) else { return Ok(()) };
        let secrets = secret_values(&self.env_of(&self.new_release(run)?).await?, std::iter::empty());
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = text.lines().collect();
        for line in &lines[lines.len().saturating_sub(LINES)..] {
            (self.emit)(EventKind::Output { step: step.id, line: redact(line, &secrets) });
        }
        Ok(())
    }

    /// Is the effect of an interrupted migration there? Asked only when it has come to its end by itself. A schema that
    /// is the rehearsed one says so; any other is for the migration to go on from.
    pub(super) async fn observe_migrate(&self, run: &RunState, step: &Step) -> Result<Observed, StepError> {
        if !self.await_left(run, step).await? {
            return Ok(Observed::NotApplied);
        }
        let (_, db) = self.database()?;
        let live = schema_now(db).await?;
        if live.is_none() || live != Self::rehearsed_schema(run) {
            let shown = live.unwrap_or_else(|| "-".to_owned());
            self.progress(
                step,
                safelight_engine::text!(
                    "the migration has ended at schema {shown}: it is run again",
                    "迁移已结束，表结构为 {shown}：再次运行"
                ),
            );
            return Ok(Observed::NotApplied);
        }
        let mut release = self.new_release(run)?;
        release.schema.clone_from(&live);
        self.save(&release)?;
        Ok(Observed::Applied(to_record(&(self.backup_of(run).and_then(|b| b.schema), live))))
    }

    /// No migration of a run that was closed without its end may still be at work.
    pub(super) fn no_other_migration(&self, run: &RunState) -> Result<(), StepError> {
        let dir = self.ctx.dirs.commands();
        for entry in std::fs::read_dir(&dir).map_err(|e| unreadable(&dir, &e))? {
            let path = entry.map_err(|e| unreadable(&dir, &e))?.path();
            let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
            if path.extension().is_none_or(|e| e != "json") || name.starts_with(&format!("{}.", run.plan.run))
            {
                continue;
            }
            // Damaged ones are of no use to anybody: they name nothing.
            let Ok(Some(begun)) = left::read(&path) else { continue };
            let members = begun.members();
            if !members.is_empty() {
                return Err(still_there(&begun, &members));
            }
            left::forget(&path).map_err(|e| unreadable(&path, &e))?;
        }
        Ok(())
    }

    /// Nothing of this run may still work in a directory that is about to be removed.
    pub(super) fn nobody_works_in_it(&self, run: &RunState) -> Result<(), StepError> {
        for step in &run.plan.steps {
            let path = self.record_path(&run.plan.run, step.id);
            let begun = left::read(&path).map_err(|e| unreadable(&path, &e))?;
            let members = begun.as_ref().map(Begun::members).unwrap_or_default();
            if let Some(begun) = begun.filter(|_| !members.is_empty()) {
                return Err(still_there(&begun, &members));
            }
        }
        Ok(())
    }
}

fn numbers(pids: &[u32]) -> String {
    pids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn unreadable(path: &Path, e: &std::io::Error) -> StepError {
    failed(HostError::io(format!("look for commands that were left running, in {}", path.display()), e))
}

fn still_there(begun: &Begun, members: &[u32]) -> StepError {
    let (shown, pids) = (&begun.shown, numbers(members));
    StepError::new(safelight_engine::text!(
        "`{shown}`, begun before an interruption, still runs (process {pids})",
        "中断前开始的 `{shown}` 仍在运行（进程 {pids}）"
    ))
    .with_help(Text::new(
        "wait for its end, or end it yourself if you know that it may be cut off; then `safelight abort`",
        "等待其结束；若确知可以中断，可自行结束该进程；然后执行 `safelight abort`",
    ))
}
