//! `safelight history`: past runs, newest first.

use crate::{
    Global,
    error::CommandError,
    local,
    output::{Format, Output, ago},
};
use safelight_engine::{
    plan::PlanKind,
    report::terminal::pad,
    run::RunEnd,
    text::{Lang, Text},
};
use safelight_host::api::RunSummary;
use std::io::IsTerminal as _;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many.
    #[arg(long, short = 'n', default_value_t = 20)]
    number: usize,
}

pub(crate) async fn run(args: &Args, _: &Global, out: &Output) -> Result<u8, CommandError> {
    let runs = local::runs()?;
    let rows = runs
        .store()
        .runs(false, args.number)
        .map_err(|e| CommandError::refused(Text::same(e.to_string())))?;
    let list: Vec<_> = rows.iter().map(|r| runs.summary(r)).collect();
    if out.format == Format::Json {
        out.line(&serde_json::json!({"schema": 1, "runs": list}).to_string());
        return Ok(0);
    }
    let style = out.style();
    let zh = out.lang == Lang::Zh;
    // Only a terminal would wrap a long reason.
    let narrow = std::io::stdout().is_terminal();
    let app = |r: &RunSummary| format!("{} · {}", r.app, r.env);
    let several = list.iter().any(|r| app(r) != app(&list[0]));
    let widest = list.iter().map(|r| app(r).chars().count()).max().unwrap_or(0);
    for r in &list {
        let (code, end) = match &r.end {
            Some(RunEnd::Done { .. }) => ("32", Text::new("done", "完成")),
            Some(RunEnd::Undone { untouched: true, .. }) => ("33", Text::new("stopped", "未变更")),
            Some(RunEnd::Undone { .. }) => ("31", Text::new("undone", "已撤销")),
            Some(RunEnd::NeedsPerson { .. }) => ("31", Text::new("person", "需人工")),
            None => ("36", Text::new("open", "进行中")),
        };
        let kind = match (r.kind, zh) {
            (PlanKind::Deploy, false) => "deploy",
            (PlanKind::Deploy, true) => "部署",
            (PlanKind::Rollback, false) => "rollback",
            (PlanKind::Rollback, true) => "回滚",
        };
        let from = r.from.as_deref().unwrap_or("-");
        let reason = match &r.end {
            Some(RunEnd::Undone { reason, .. } | RunEnd::NeedsPerson { reason, .. }) => {
                let line = out.t(reason).lines().next().unwrap_or("");
                if narrow { line.chars().take(90).collect() } else { line.to_owned() }
            }
            _ => String::new(),
        };
        let date = r.began.to_zoned(jiff::tz::TimeZone::system()).strftime("%Y-%m-%d %H:%M");
        let whose = if several { format!("{}  ", pad(&app(r), widest)) } else { String::new() };
        out.line(&format!(
            "{}  {date}  {} {whose}{} {} {} -> {} ({}) {} {}",
            r.run,
            pad(&ago(r.began), 8),
            style.paint(code, &pad(out.t(&end), 8)),
            pad(kind, 8),
            from,
            r.to,
            r.revision,
            style.paint("90", &r.who),
            style.paint("90", &reason)
        ));
    }
    if list.is_empty() {
        out.line(if zh { "还没有运行记录" } else { "no runs yet" });
    }
    Ok(0)
}
