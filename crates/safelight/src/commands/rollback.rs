//! `safelight rollback`: back to the verified release before. The same steps as a deploy, less those that make one.

use crate::{
    Global,
    error::CommandError,
    follow::{Follow, Interrupts, begin, follow},
    local,
    output::{Output, ago},
};
use safelight_engine::{
    plan::{Action, Plan, PlanKind},
    text::{Lang, Text},
};
use safelight_host::api::RunRequest;
use std::io::{BufRead as _, IsTerminal as _};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The release or revision to go back to; the verified one before when absent.
    release: Option<String>,
    /// Put the database back too, from the proven backup that was taken when that release served last. Later writes
    /// are lost; requests wait meanwhile.
    #[arg(long)]
    database: bool,
    /// The app was deployed from another directory before; from now on it is deployed from this one.
    #[arg(long)]
    moved: bool,
}

pub(crate) async fn run(args: &Args, g: &Global, out: &Output) -> Result<u8, CommandError> {
    let project = local::project(&g.dir)?;
    // A wrong configuration starts no daemon.
    safelight_host::runs::load_config(&project)?;
    let client = local::daemon(out).await?;
    let who = local::who();
    let mut request = RunRequest {
        project,
        env: g.env.clone(),
        kind: PlanKind::Rollback,
        revision: args.release.clone(),
        database: args.database,
        backup: None,
        moved: args.moved,
        who: who.clone(),
        lease_s: None,
    };
    if args.database {
        let plan = client.plan(&request).await?;
        request.backup = Some(agree_to_loss(&plan, g, out)?);
    }
    // Not before: at the question Ctrl-C just ends the command.
    let mut interrupts = Interrupts::listen()?;
    let Some(run) = begin(&client, &request, &mut interrupts, out).await? else { return Ok(130) };
    let follow_run = Follow {
        client: &client,
        run: &run,
        who,
        leave_at_commit: false,
        verbose: false,
        late: None,
        report_dir: Some(local::project(&g.dir)?.join("safelight-reports")),
    };
    follow(follow_run, interrupts, out).await
}

/// Prints what of the data would be lost by this plan, and asks. Returns the run whose backup was agreed to.
fn agree_to_loss(plan: &Plan, g: &Global, out: &Output) -> Result<String, CommandError> {
    let Some(Action::RestoreDatabase { backup: Some(backup) }) = plan.restores().map(|s| &s.action) else {
        return Err(CommandError::refused(Text::new(
            "the host planned a rollback without the database",
            "主机制定的回滚计划不含数据库",
        )));
    };
    let at = backup.taken_at.to_zoned(jiff::tz::TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S %Z");
    let (window, before, to) = (ago(backup.taken_at), &backup.before, &plan.to.id);
    out.say(&match out.lang {
        Lang::En => format!("The database goes back to {at}, before {before} took over from {to}. Everything written since then, {window}, is lost (a copy of the present database is kept). Requests wait until {to} serves."),
        Lang::Zh => format!("数据库将回到 {at}，即 {before} 接替 {to} 之前。此后 {window} 内的写入都会丢失（当前数据库会另存一份）。{to} 开始服务之前，请求会等待。"),
    });
    if g.yes {
        return Ok(backup.run.clone());
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
    if line.trim() == "yes" { Ok(backup.run.clone()) } else { Err(refused()) }
}
