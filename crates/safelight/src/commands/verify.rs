//! `safelight verify`: health and journeys through the address that users use, once.

use crate::{
    Global,
    busy::Busy,
    error::CommandError,
    local,
    output::{Format, Output},
};
use safelight_engine::{
    driver::journey::JourneyResult, report::duration, run::executor::StepError, text::Text,
};
use safelight_host::world::HostWorld;
use std::{sync::Arc, time::Duration};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Another address than the environment's `url`.
    #[arg(long)]
    url: Option<String>,
    /// The journeys and the address of this directory, instead of those of the release that serves.
    #[arg(long)]
    here: bool,
}

pub(crate) async fn run(args: &Args, g: &Global, out: &Output) -> Result<u8, CommandError> {
    let ctx = local::runs()?.open(&local::project(&g.dir)?, &g.env)?;
    let refused = |e: StepError| CommandError::refused(e.what);
    let (current, _) = ctx.store.serving(ctx.app(), &ctx.env_name).unwrap_or_default();
    // Another address, or the files of this directory, may be about something that Safelight has not deployed.
    if current.is_none() && args.url.is_none() && !args.here {
        let (app, env) = (ctx.app(), &ctx.env_name);
        return Err(CommandError::refused(safelight_engine::text!(
            "nothing of {app} is deployed to {env} yet",
            "{app} 尚未部署到 {env}"
        ))
        .with_help(Text::new(
            "`safelight deploy` does that; `--here` asks the address all the same",
            "请先执行 `safelight deploy`；加 `--here` 则仍访问该地址",
        )));
    }
    let mut world = HostWorld::new(ctx, Arc::new(|_| {}), None);
    // A release is verified by its own journeys: those of this directory may be about what comes next.
    if let Some(current) = current.filter(|_| !args.here) {
        world = world.of(&current).map_err(refused)?;
    }
    let (url, connect) = match &args.url {
        Some(u) => (u.clone(), None),
        None => world.public_address().await.map_err(refused)?,
    };
    let asking = Busy::with(out, &safelight_engine::text!("asking {url}", "正在访问 {url}"));
    let front = world.ctx.net.get(&url, connect, Duration::from_secs(10)).await;
    drop(asking);
    let mut ok = matches!(&front, Ok(a) if a.status < 400);
    let shown: String = match front {
        Ok(a) => format!("HTTP {} ({})", a.status, duration(a.millis)),
        Err(e) => e.to_string(),
    };
    if out.format == Format::Human {
        out.line(&format!("{} {url}: {shown}", mark(ok, out)));
    }
    let mut results: Vec<JourneyResult> = Vec::new();
    for file in world.journey_files() {
        let shown = file.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let doing = safelight_engine::text!("journey {shown}", "用户路径 {shown}");
        let walking = Busy::with(out, &doing);
        let run = world.journey_run(vec![file], &url, connect).await.map_err(refused)?;
        let list = world
            .ctx
            .journeys
            .run(&run)
            .await
            .map_err(|e| CommandError::refused(Text::same(e.to_string())))?;
        drop(walking);
        for r in list {
            ok &= r.ok;
            if out.format == Format::Human {
                let failure = r.failure.as_deref().map(|f| format!("\n    {f}")).unwrap_or_default();
                out.line(&format!("{} {} ({}){failure}", mark(r.ok, out), r.name, duration(r.millis)));
            }
            results.push(r);
        }
    }
    if out.format != Format::Human {
        let body =
            serde_json::json!({"schema": 1, "url": url, "ok": ok, "front": shown, "journeys": results});
        out.line(&body.to_string());
    }
    Ok(u8::from(!ok))
}

fn mark(ok: bool, out: &Output) -> String {
    let style = out.style();
    if ok { style.paint("32", "✓") } else { style.paint("31", "✗") }
}
