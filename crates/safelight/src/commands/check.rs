//! `safelight check`: every check side by side, then the register and the verdict. Changes nothing.

use crate::{
    Global,
    busy::Busy,
    error::CommandError,
    local,
    output::{Format, Output},
};
use safelight_drivers::host::local::LocalHost;
use safelight_engine::{
    check::{self, CheckContext},
    checks,
    report::{Report, terminal},
    risk::{RiskRegister, apply_waivers},
    text::Text,
    verdict::{Decision, Verdict},
};
use std::sync::Arc;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// What would be deployed: a tag, a branch, a commit. What is checked out when absent.
    revision: Option<String>,
}

/// This machine with the `PATH` of the daemon, which is that of services and another than that of this shell.
async fn as_services_see_it(ctx: &CheckContext) -> LocalHost {
    let host = LocalHost::new();
    let daemon = local::running().await.and_then(|s| s.path);
    let (path, whose) = match daemon {
        Some(path) => {
            (path, Text::new("of the host daemon, as services get it", "主机守护进程的，与服务所用相同"))
        }
        None => (
            host.path().to_owned(),
            Text::new(
                "of this command, as no host daemon runs; services get that of the daemon",
                "本命令的（没有守护进程在运行）；服务使用守护进程的 PATH",
            ),
        ),
    };
    let host = host.with_path_of(&path, whose);
    match &ctx.config.runtime.node_dir {
        Some(dir) => host.with_path_first(&ctx.project.join(dir)),
        None => host,
    }
}

pub(crate) async fn run(args: &Args, g: &Global, out: &Output) -> Result<u8, CommandError> {
    let project = local::project(&g.dir)?;
    let began = jiff::Timestamp::now();
    let busy = Busy::with(out, &Text::new("checking", "正在检查"));
    let ctx = local::runs()?.open_sound(&project, &g.env)?;
    let mut checks_ctx = ctx
        .checks(args.revision.clone())
        .await
        .map_err(|e| CommandError::refused(Text::same(e.to_string())))?;
    checks_ctx.host = Arc::new(as_services_see_it(&checks_ctx).await);
    let style = out.progress_style();
    let human = out.format == Format::Human;
    let running = check::run_all(checks::all(), &checks_ctx, |f| {
        // People see each finding as it arrives; the sorted report follows for programs.
        if human {
            out.say(&terminal::finding(f, style, false));
        }
    });
    let mut findings = running.await;
    drop(busy);
    apply_waivers(&mut findings, &ctx.config.waivers, checks_ctx.now);
    let risks = RiskRegister::assess(&ctx.config, &findings);
    let verdict = Verdict::of(&risks, &findings);
    let code = match verdict.decision {
        Decision::Go | Decision::GoWithWaivers => 0,
        Decision::NoGo => 1,
        Decision::Inconclusive => 5,
    };
    let report = Report::of_check((ctx.app(), &g.env, ctx.host.name()), began, findings, risks, verdict);
    if human {
        out.line(terminal::decision(&report, out.style()).trim_end());
    } else {
        out.report(&report);
    }
    Ok(code)
}
