//! `safelight report`: the report of a run, live or long past, in any form.

use crate::{
    Global,
    error::CommandError,
    local,
    output::{self, Output},
};
use safelight_engine::{report::Report, text::Text};
use std::path::PathBuf;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The run; the newest of this environment when absent.
    run: Option<String>,
    /// Write it to this file.
    #[arg(long, short)]
    out: Option<PathBuf>,
}

pub(crate) async fn run(args: &Args, g: &Global, out: &Output) -> Result<u8, CommandError> {
    let (_, store) = local::store()?;
    let failed = |e: safelight_host::store::StoreError| CommandError::refused(Text::same(e.to_string()));
    let rows = store.runs(false, 10_000).map_err(failed)?;
    let row = match &args.run {
        Some(id) => rows.iter().find(|r| r.id == *id || r.id.ends_with(id.as_str())),
        None => rows.iter().find(|r| r.plan.env == g.env),
    };
    let Some(row) = row else {
        return Err(CommandError::usage(Text::new("there is no such run", "没有这次运行"))
            .with_help(Text::new("`safelight history` lists them", "`safelight history` 可查看")));
    };
    let events = store.events(&row.id, 0).map_err(failed)?;
    let Some(report) = Report::of_run(&events) else {
        return Err(CommandError::refused(Text::new(
            "the events of this run are gone: they are kept for 30 days, and those of the newest 50 runs",
            "该次运行的事件已不存在：事件保留 30 天，且最近 50 次运行的始终保留",
        )));
    };
    match &args.out {
        Some(path) => {
            let style = safelight_engine::report::terminal::Style { lang: out.lang, color: false };
            std::fs::write(path, output::render(&report, out.format, style))
                .map_err(|e| CommandError::io(&path.to_string_lossy(), &e))?;
        }
        None => out.report(&report),
    }
    Ok(0)
}
