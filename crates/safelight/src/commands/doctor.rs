//! `safelight doctor`: is Safelight itself in order on this machine?

use crate::{
    Global,
    error::CommandError,
    local,
    output::{Format, Output},
};
use safelight_drivers::host::local::LocalHost;
use safelight_engine::{
    driver::host::{Cmd, Host as _},
    text::Text,
};
use safelight_host::{api::AppStatus, client::HostClient, paths::Home};

#[derive(clap::Args)]
pub(crate) struct Args {}

pub(crate) async fn run(_: &Args, _: &Global, out: &Output) -> Result<u8, CommandError> {
    let home = Home::from_env();
    let mut lines: Vec<(bool, Text, String)> = Vec::new();
    lines.push(match home.create() {
        Ok(()) => (true, Text::new("home", "数据目录"), home.root.display().to_string()),
        Err(e) => (false, Text::new("home", "数据目录"), format!("{}: {e}", home.root.display())),
    });
    lines.push(match local::store() {
        Ok(_) => (true, Text::new("journal", "日志库"), home.database().display().to_string()),
        Err(e) => {
            let repair = e.help.as_ref().map(|h| format!("; {}", out.t(h))).unwrap_or_default();
            (false, Text::new("journal", "日志库"), format!("{}{repair}", out.t(&e.message)))
        }
    });
    if home.routes().exists() {
        lines.push(match safelight_proxy::load(&home.routes()) {
            Ok(_) => (true, Text::new("route table", "路由表"), home.routes().display().to_string()),
            Err(e) => {
                let why = safelight_host::trouble::of_table(&e);
                let repair = why.help.as_ref().map(|h| format!("; {}", out.t(h))).unwrap_or_default();
                (false, Text::new("route table", "路由表"), format!("{}{repair}", out.t(&why.message)))
            }
        });
    }
    match HostClient::new(home.socket()).status().await {
        Ok(s) => {
            lines.push((true, Text::new("host daemon", "主机守护进程"), format!("pid {}", s.pid)));
            let proxy =
                s.proxy.pid.map_or_else(|| out.t(&s.proxy.words()).to_owned(), |p| format!("pid {p}"));
            lines.push((s.proxy.pid.is_some(), Text::new("proxy", "代理"), proxy));
            if let Some(trouble) = super::host::trusts_others(&home, &s.proxy) {
                let what = Text::new("proxies in front", "前置代理");
                lines.push((false, what, out.t(&trouble).to_owned()));
            } else if !s.proxy.trusted.is_empty() {
                let list = super::host::shown_trust(&s.proxy.trusted);
                lines.push((true, Text::new("proxies in front", "前置代理"), list));
            }
            for a in &s.apps {
                let what = Text::same(format!("{} · {}", a.app, a.env));
                for gap in a.gaps() {
                    let help = AppStatus::help_for_gaps();
                    lines.push((false, what.clone(), format!("{}; {}", out.t(&gap), out.t(&help))));
                }
            }
        }
        Err(_) => lines.push((
            true,
            Text::new("host daemon", "主机守护进程"),
            out.t(&Text::new("not started yet; a deploy starts it", "尚未启动；部署时会自动启动")).to_owned(),
        )),
    }
    let host = LocalHost::new();
    for (program, args) in [("git", "--version"), ("node", "--version")] {
        let found = host.run(&Cmd::new([program, args])).await;
        let (ok, text) = match found {
            Ok(o) if o.ok() => (true, o.text().trim().to_owned()),
            Ok(o) => (false, o.complaint()),
            // Not every app needs it.
            Err(_) => (
                true,
                out.t(&Text::new("not here; only apps that need it care", "未安装；仅相关应用需要"))
                    .to_owned(),
            ),
        };
        lines.push((ok, Text::same(program), text));
    }
    let all = lines.iter().all(|(ok, ..)| *ok);
    if out.format == Format::Json {
        let items: Vec<_> = lines
            .iter()
            .map(|(ok, what, is)| serde_json::json!({"ok": ok, "what": what, "is": is}))
            .collect();
        out.line(&serde_json::json!({"schema": 1, "ok": all, "items": items}).to_string());
    } else {
        let style = out.style();
        for (ok, what, is) in &lines {
            let mark = if *ok { style.paint("32", "✓") } else { style.paint("31", "✗") };
            out.line(&format!("{mark} {} {is}", safelight_engine::report::terminal::pad(out.t(what), 14)));
        }
    }
    Ok(u8::from(!all))
}
