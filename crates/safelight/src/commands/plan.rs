//! `safelight plan`: what would happen on which host, with the commands, and how each step is undone.

use crate::{
    Global,
    error::CommandError,
    local,
    output::{Format, Output},
};
use safelight_engine::{
    plan::{Plan, PlanKind, UndoPlan},
    report::terminal::pad,
    text::Lang,
};
use safelight_host::api::RunRequest;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// What to deploy: a tag, a branch, a commit; what is checked out when absent. With --rollback the release or
    /// revision to go back to; the verified one before when absent.
    revision: Option<String>,
    /// The plan of `safelight rollback` instead.
    #[arg(long)]
    rollback: bool,
    /// Of one that puts the database back too.
    #[arg(long, requires = "rollback")]
    database: bool,
}

pub(crate) async fn run(args: &Args, g: &Global, out: &Output) -> Result<u8, CommandError> {
    let request = RunRequest {
        project: local::project(&g.dir)?,
        env: g.env.clone(),
        kind: if args.rollback { PlanKind::Rollback } else { PlanKind::Deploy },
        revision: args.revision.clone(),
        database: args.database,
        backup: None,
        // A plan changes nothing, so nothing is confirmed with it.
        moved: true,
        who: local::who(),
        lease_s: None,
    };
    let (plan, _) = local::runs()?.plan(&request).await?;
    match out.format {
        Format::Json => out.line(&serde_json::to_string_pretty(&plan).unwrap_or_default()),
        _ => show(&plan, out),
    }
    Ok(0)
}

fn show(plan: &Plan, out: &Output) {
    let style = out.style();
    let zh = out.lang == Lang::Zh;
    let from = plan.from.as_ref().map_or("-", |f| f.id.as_str());
    let (app, env, host, to, rev) = (&plan.app, &plan.env, &plan.host, &plan.to.id, &plan.to.revision);
    out.line(&style.paint("1", &format!("{app} · {env} @ {host}: {from} -> {to} ({rev})")));
    let mut phase = None;
    for s in &plan.steps {
        let name = if phase == Some(s.phase) { String::new() } else { out.t(&s.phase.word()).to_owned() };
        phase = Some(s.phase);
        out.line(&format!("{:>3}  {} {}", s.id, style.paint("36", &pad(&name, 10)), out.t(&s.title)));
        for c in &s.commands {
            for (n, line) in c.lines().enumerate() {
                let mark = if n == 0 { "$" } else { " " };
                out.line(&style.paint("90", &format!("                {mark} {line}")));
            }
        }
        let undo = match (&s.undo, zh) {
            (UndoPlan::NothingToDo, _) => continue,
            (UndoPlan::Automatic(t), false) => format!("undo, by itself: {}", out.t(t)),
            (UndoPlan::Automatic(t), true) => format!("自动撤销：{}", out.t(t)),
            (UndoPlan::Ask(t), false) => format!("undo, after asking: {}", out.t(t)),
            (UndoPlan::Ask(t), true) => format!("确认后撤销：{}", out.t(t)),
            (UndoPlan::Impossible(t), false) => format!("no undo: {}", out.t(t)),
            (UndoPlan::Impossible(t), true) => format!("不撤销：{}", out.t(t)),
        };
        out.line(&format!("                {} {undo}", style.paint("33", "↶")));
    }
}
