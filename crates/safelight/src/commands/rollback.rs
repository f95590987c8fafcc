//! `safelight rollback`: back to the verified release before. The same steps as a deploy, less those that make one.

use crate::{
    Global,
    error::CommandError,
    follow::{Follow, follow},
    local,
    output::{Output, ago},
};
use safelight_engine::{
    driver::database::BackupLevel,
    plan::PlanKind,
    text::{Lang, Text},
};
use safelight_host::api::RunRequest;
use std::io::{BufRead as _, IsTerminal as _};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The release or revision to go back to; the verified one before when absent.
    release: Option<String>,
    /// Put the database back too, from the proven backup taken before the deploy. Later writes are lost.
    #[arg(long)]
    database: bool,
    /// The app was deployed from another directory before; from now on it is deployed from this one.
    #[arg(long)]
    moved: bool,
}

pub(crate) async fn run(args: &Args, g: &Global, out: &Output) -> Result<u8, CommandError> {
    let project = local::project(&g.dir)?;
    let (config, _) = safelight_host::runs::load_config(&project)?;
    let client = local::daemon(out).await?;
    if args.database {
        agree_to_loss(&config.app.name, g, out)?;
    }
    let who = local::who();
    let request = RunRequest {
        project,
        env: g.env.clone(),
        kind: PlanKind::Rollback,
        revision: args.release.clone(),
        database: args.database,
        moved: args.moved,
        who: who.clone(),
        lease_s: None,
    };
    let started = client.begin(&request).await?;
    let follow_run = Follow {
        client: &client,
        run: &started.run,
        who,
        leave_at_commit: false,
        verbose: false,
        late: None,
        report_dir: Some(local::project(&g.dir)?.join("safelight-reports")),
    };
    follow(follow_run, out).await
}

/// Prints the data-loss window and asks.
fn agree_to_loss(app: &str, g: &Global, out: &Output) -> Result<(), CommandError> {
    let (_, store) = local::store()?;
    let backups = store.backups(app, &g.env).map_err(|e| CommandError::refused(Text::same(e.to_string())))?;
    let Some((_, b)) = backups.iter().find(|(_, b)| b.level == BackupLevel::RestoredAndQueried) else {
        return Err(CommandError::refused(Text::new(
            "there is no proven backup to restore",
            "没有经过验证的备份可恢复",
        )));
    };
    let at = b.taken_at.to_zoned(jiff::tz::TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S %Z");
    let window = ago(b.taken_at);
    out.say(&match out.lang {
        Lang::En => format!("The database goes back to {at}. Everything written since then, {window}, is lost (a copy of the present database is kept)."),
        Lang::Zh => format!("数据库将回到 {at}。此后 {window} 内的写入都会丢失（当前数据库会另存一份）。"),
    });
    if g.yes {
        return Ok(());
    }
    let refused = || {
        CommandError::refused(Text::new("not agreed to; nothing was changed", "未确认；没有做任何变更"))
            .with_help(Text::new("add --yes to agree beforehand", "可用 --yes 预先确认"))
    };
    if !std::io::stdin().is_terminal() {
        return Err(refused());
    }
    out.say(if out.lang == Lang::Zh { "确认吗？输入 yes：" } else { "Go on? Type yes:" });
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).map_err(|e| CommandError::io("stdin", &e))?;
    if line.trim() == "yes" { Ok(()) } else { Err(refused()) }
}
