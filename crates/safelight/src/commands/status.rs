//! `safelight status`: the daemon, the proxy, and every app on this host.

use crate::{
    Global,
    error::CommandError,
    output::{Format, Output, ago},
};
use safelight_engine::{driver::process::ProcessState, text::Lang};
use safelight_host::{
    api::{AppStatus, ProxyStatus, Status},
    client::HostClient,
    paths::Home,
};

#[derive(clap::Args)]
pub(crate) struct Args {}

pub(crate) async fn run(_: &Args, _: &Global, out: &Output) -> Result<u8, CommandError> {
    // Looking must not start anything.
    let status = HostClient::new(Home::from_env().socket()).status().await?;
    if out.format == Format::Json {
        let mut v = serde_json::to_value(&status).unwrap_or_default();
        v["schema"] = 1.into();
        out.line(&v.to_string());
    } else {
        show(&status, out);
    }
    Ok(0)
}

fn show(s: &Status, out: &Output) {
    let style = out.style();
    let zh = out.lang == Lang::Zh;
    out.line(&format!(
        "{} safelight {} · pid {}",
        style.paint("1", if zh { "主机" } else { "host " }),
        s.program,
        s.pid
    ));
    let listen = super::host::shown(&s.proxy);
    let proxy = match s.proxy.pid {
        Some(pid) => format!("{listen} · pid {pid}{}", trust(&s.proxy, zh)),
        None => {
            let word = if zh { "未运行：" } else { "not running: " };
            style.paint("31", &format!("{word}{}", out.t(&s.proxy.words())))
        }
    };
    out.line(&format!("{} {proxy}", style.paint("1", if zh { "代理" } else { "proxy" })));
    for c in &s.proxy.certificates {
        let (file, names) = (c.certificate.display(), c.names.join(", "));
        let line = match (&c.trouble, c.not_after_unix_s.and_then(|t| jiff::Timestamp::from_second(t).ok())) {
            (Some(t), _) => style.paint("31", &format!("{file}: {t}")),
            (None, Some(until)) if zh => format!("{names}，有效期至 {}", until.strftime("%Y-%m-%d")),
            (None, Some(until)) => format!("{names}, until {}", until.strftime("%Y-%m-%d")),
            (None, None) => format!("{file}: {names}"),
        };
        out.line(&format!("{} {line}", style.paint("1", if zh { "证书" } else { "TLS  " })));
    }
    for a in &s.apps {
        app(a, out);
    }
    if s.apps.is_empty() {
        out.line(if zh { "还没有部署过任何应用" } else { "nothing has been deployed here yet" });
    }
}

/// Whose word about clients is taken.
fn trust(proxy: &ProxyStatus, zh: bool) -> String {
    let list = super::host::shown_trust(&proxy.trusted);
    match (list.is_empty(), zh) {
        (true, _) => String::new(),
        (false, false) => format!(" · believes X-Forwarded-* of {list}"),
        (false, true) => format!(" · 信任 {list} 的 X-Forwarded-*"),
    }
}

fn app(a: &AppStatus, out: &Output) {
    let style = out.style();
    let zh = out.lang == Lang::Zh;
    out.line("");
    let current = match &a.current {
        Some(r) => {
            let since = r.verified.map(ago).unwrap_or_default();
            let (id, rev) = (&r.id, &r.revision);
            if zh {
                format!("{id}（{rev}）已验证 {since}")
            } else {
                format!("{id} ({rev}), verified {since} ago")
            }
        }
        None => (if zh { "没有版本在服务" } else { "nothing serves" }).to_owned(),
    };
    out.line(&format!("{}  {current}", style.paint("1", &format!("{} · {}", a.app, a.env))));
    if let Some(p) = &a.previous {
        let (id, rev) = (&p.id, &p.revision);
        let line =
            if zh { format!("可回滚到 {id}（{rev}）") } else { format!("can go back to {id} ({rev})") };
        out.line(&format!("  {}", style.paint("90", &line)));
    }
    for p in &a.processes {
        let (code, state) = match p.state {
            ProcessState::Running => ("32", if zh { "运行" } else { "running" }),
            ProcessState::Restarting => ("33", if zh { "重启中" } else { "restarting" }),
            ProcessState::Stopped => ("90", if zh { "已停止" } else { "stopped" }),
        };
        let pid = p.pid.map(|p| format!("pid {p}")).unwrap_or_default();
        let memory = p.memory.map(|m| format!("{} MB", m / 1_000_000)).unwrap_or_default();
        let restarts = if p.restarts == 0 {
            String::new()
        } else {
            format!(" · {}× {}", p.restarts, if zh { "重启" } else { "restarted" })
        };
        out.line(&format!("  {} {} {pid} {memory}{restarts}", style.paint(code, state), p.name));
    }
    let gaps = a.gaps();
    for gap in &gaps {
        out.line(&format!("  {}", style.paint("31", out.t(gap))));
    }
    if !gaps.is_empty() {
        out.line(&format!("  {} {}", style.paint("36", "→"), out.t(&AppStatus::help_for_gaps())));
    }
    if let Some(r) = &a.run {
        let at = r.at.as_ref().map(|t| out.t(t).to_owned()).unwrap_or_default();
        let state = match (r.active, zh) {
            (true, false) => "under way",
            (true, true) => "进行中",
            (false, false) => "waits for `safelight resume` or `safelight abort`",
            (false, true) => "等待 `safelight resume` 或 `safelight abort`",
        };
        let (run, who, since) = (&r.run, &r.who, ago(r.began));
        out.line(&format!(
            "  {} {run} · {who} · {since} · {state} · {at}",
            style.paint("36", if zh { "运行" } else { "run" })
        ));
    }
}
