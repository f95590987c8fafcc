//! `safelight host`: the daemon of this server, its keeper, and a unit for systemd.

use crate::{Global, busy::Busy, error::CommandError, local, output::Output};
use safelight_engine::text::{Lang, Text};
use safelight_host::{
    api::{AppStatus, ProxyStatus, Status},
    client::HostClient,
    paths::{Home, write_whole},
    server::{DaemonOptions, serve},
    supervise::Listen,
    trouble,
};
use safelight_proxy::{Network, NotANetwork};
use serde::{Deserialize, Serialize};
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: HostCommand,
}

#[derive(clap::Subcommand)]
enum HostCommand {
    /// Start the daemon in the background; it is started again when it dies.
    Start {
        /// Where the proxy takes requests; remembered. 127.0.0.1:8080 at first.
        #[arg(long, value_name = "ADDR:PORT")]
        listen: Vec<SocketAddr>,
        /// Where the proxy takes requests over TLS, with the certificates of `tls` in safelight.toml; remembered.
        #[arg(long, value_name = "ADDR:PORT")]
        listen_tls: Vec<SocketAddr>,
        #[command(flatten)]
        trust: Trust,
    },
    /// Run the daemon in the foreground: for systemd and containers.
    Run {
        /// Where the proxy takes requests; remembered.
        #[arg(long, value_name = "ADDR:PORT")]
        listen: Vec<SocketAddr>,
        /// Where the proxy takes requests over TLS; remembered.
        #[arg(long, value_name = "ADDR:PORT")]
        listen_tls: Vec<SocketAddr>,
        #[command(flatten)]
        trust: Trust,
    },
    /// Stop the daemon. The app's processes and the proxy go on.
    Stop {
        /// Stop the proxy too: users reach nothing then.
        #[arg(long)]
        proxy: bool,
    },
    /// Print a systemd unit for the daemon.
    Unit,
    /// Starts the daemon again when it dies.
    #[command(hide = true)]
    Keep,
}

#[derive(clap::Args)]
struct Trust {
    /// A proxy in front of Safelight's own, such as your nginx, or a network of them: its X-Forwarded-* headers are
    /// believed. Repeatable; remembered; `none` ends it.
    #[arg(long = "trust-proxy", value_name = "CIDR", value_parser = network_or_none)]
    proxies: Vec<Trusted>,
}

/// A network, or none at all.
#[derive(Clone, Copy)]
struct Trusted(Option<Network>);

fn network_or_none(text: &str) -> Result<Trusted, NotANetwork> {
    if text == "none" { Ok(Trusted(None)) } else { text.parse().map(|n| Trusted(Some(n))) }
}

/// What the host remembers.
#[derive(Serialize, Deserialize)]
struct Settings {
    listen: Vec<SocketAddr>,
    #[serde(default)]
    listen_tls: Vec<SocketAddr>,
    #[serde(default)]
    trusted_proxies: Vec<Network>,
}

impl Default for Settings {
    fn default() -> Self {
        let listen = vec![SocketAddr::from(([127, 0, 0, 1], 8080))];
        Self { listen, listen_tls: Vec::new(), trusted_proxies: Vec::new() }
    }
}

/// What was asked for at a start. What was not asked for stays as it is remembered.
struct Wanted {
    /// Plain and TLS addresses.
    listen: Option<(Vec<SocketAddr>, Vec<SocketAddr>)>,
    trusted: Option<Vec<Network>>,
}

pub(crate) async fn run(args: &Args, _: &Global, out: &Output) -> Result<u8, CommandError> {
    let home = Home::from_env();
    match &args.command {
        HostCommand::Start { listen, listen_tls, trust } => {
            start(&home, &wanted(listen, listen_tls, trust), out).await
        }
        HostCommand::Run { listen, listen_tls, trust } => {
            let ended = match remember(&home, &wanted(listen, listen_tls, trust)) {
                Ok(()) => daemon(&home).await,
                Err(e) => Err(e),
            };
            // Whoever started it hears why in a language of their own.
            ended.inspect_err(|e| trouble::leave(&home.host_trouble(), &e.as_api()))
        }
        HostCommand::Stop { proxy } => stop(&home, *proxy, out).await,
        HostCommand::Unit => {
            unit(&home, out)?;
            Ok(0)
        }
        HostCommand::Keep => keep(&home).await,
    }
}

fn wanted(plain: &[SocketAddr], tls: &[SocketAddr], trust: &Trust) -> Wanted {
    let somewhere = !plain.is_empty() || !tls.is_empty();
    let trusted = trust.proxies.iter().filter_map(|t| t.0).collect();
    Wanted {
        listen: somewhere.then(|| (plain.to_vec(), tls.to_vec())),
        trusted: (!trust.proxies.is_empty()).then_some(trusted),
    }
}

/// Is what was asked for what runs already?
fn runs_as_wanted(w: &Wanted, runs: &ProxyStatus) -> Result<(), CommandError> {
    let elsewhere =
        |(plain, tls): &(Vec<SocketAddr>, Vec<SocketAddr>)| *plain != runs.listen || *tls != runs.listen_tls;
    if w.listen.as_ref().is_some_and(elsewhere) {
        return Err(CommandError::refused(Text::new(
            "the daemon runs with other addresses",
            "守护进程正以其他监听地址运行",
        ))
        .with_help(Text::new(
            "first `safelight host stop --proxy`",
            "先运行 `safelight host stop --proxy`",
        )));
    }
    if w.trusted.as_ref().is_some_and(|t| *t != runs.trusted) {
        return Err(CommandError::refused(Text::new(
            "the proxy runs and trusts other proxies",
            "代理正在运行，且信任的是另一组前置代理",
        ))
        .with_help(Text::new(
            "`safelight host stop`, this command again, then `safelight proxy upgrade`: users notice nothing",
            "先 `safelight host stop`，再执行本命令，然后 `safelight proxy upgrade`；用户无感知",
        )));
    }
    Ok(())
}

async fn start(home: &Home, wanted: &Wanted, out: &Output) -> Result<u8, CommandError> {
    let client = HostClient::new(home.socket());
    if let Ok(s) = client.status().await {
        runs_as_wanted(wanted, &s.proxy)?;
        out.say(if out.lang == Lang::Zh { "已在运行" } else { "it runs already" });
        return Ok(0);
    }
    remember(home, wanted)?;
    let keeper = local::start_keeper(home)?;
    local::wait_for(&client, home, keeper, out).await?;
    let _busy = Busy::with(out, &Text::new("the proxy starts", "代理正在启动"));
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        let s = client.status().await?;
        if s.proxy.pid.is_some() {
            let at = shown(&s.proxy);
            out.say(&match out.lang {
                Lang::En => format!("the host daemon runs (pid {}); the proxy takes requests at {at}", s.pid),
                Lang::Zh => format!("主机守护进程已启动（pid {}）；代理监听 {at}", s.pid),
            });
            if let Some(trouble) = trusts_others(home, &s.proxy) {
                out.say(out.t(&trouble));
            }
            return Ok(0);
        }
        // One that cannot start says why; one that is slow gets its time.
        if Instant::now() > until || s.proxy.trouble.as_ref().is_some_and(|t| t.contains("ended with")) {
            let why = s.proxy.words();
            let what = Text::new(
                format!("the proxy does not start: {}", why.en),
                format!("代理无法启动：{}", why.zh),
            );
            let repair = s.proxy.why.and_then(|w| w.help).unwrap_or_else(|| {
                Text::new(
                    "`safelight host stop`, then start with another --listen",
                    "先 `safelight host stop`，再用其他 --listen 启动",
                )
            });
            return Err(CommandError::refused(what).with_help(repair));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// `127.0.0.1:80, 127.0.0.1:443 (TLS)`.
pub(super) fn shown(proxy: &ProxyStatus) -> String {
    let plain = proxy.listen.iter().map(ToString::to_string);
    plain.chain(proxy.listen_tls.iter().map(|a| format!("{a} (TLS)"))).collect::<Vec<_>>().join(", ")
}

/// `127.0.0.1, 10.0.0.0/8`: whose headers the proxy believes.
pub(super) fn shown_trust(trusted: &[Network]) -> String {
    trusted.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// The proxies in front that the host remembers; `None` when it remembers nothing at all.
pub(super) fn remembered_trust(home: &Home) -> Result<Option<Vec<Network>>, CommandError> {
    Ok(settings(home)?.map(|s| s.trusted_proxies))
}

/// A proxy that was started before the host was told whom to trust goes on with what it was told then.
pub(super) fn trusts_others(home: &Home, proxy: &ProxyStatus) -> Option<Text> {
    let remembered = remembered_trust(home).ok().flatten()?;
    if proxy.pid.is_none() || remembered == proxy.trusted {
        return None;
    }
    let or_nobody = |list: &[Network]| match list {
        [] => Text::new("nobody", "无"),
        list => Text::same(shown_trust(list)),
    };
    let (runs, wanted) = (or_nobody(&proxy.trusted), or_nobody(&remembered));
    Some(Text::new(
        format!(
            "the running proxy trusts {}, host.json says {}: `safelight proxy upgrade` changes it without an outage",
            runs.en, wanted.en
        ),
        format!(
            "运行中的代理信任 {}，host.json 为 {}：运行 `safelight proxy upgrade` 即可无中断更换",
            runs.zh, wanted.zh
        ),
    ))
}

fn remember(home: &Home, wanted: &Wanted) -> Result<(), CommandError> {
    home.create().map_err(|e| CommandError::io(&home.root.to_string_lossy(), &e))?;
    if wanted.listen.is_none() && wanted.trusted.is_none() {
        return Ok(());
    }
    let mut settings = match settings(home) {
        Ok(known) => known.unwrap_or_default(),
        // Everything is given anew: what cannot be read is not needed.
        Err(_) if wanted.listen.is_some() && wanted.trusted.is_some() => Settings::default(),
        Err(e) => return Err(e),
    };
    if let Some((plain, tls)) = &wanted.listen {
        settings.listen.clone_from(plain);
        settings.listen_tls.clone_from(tls);
    }
    if let Some(trusted) = &wanted.trusted {
        settings.trusted_proxies.clone_from(trusted);
    }
    let body = serde_json::to_vec(&settings).unwrap_or_default();
    write_whole(&home.settings(), &body).map_err(|e| CommandError::io("host.json", &e))
}

fn settings(home: &Home) -> Result<Option<Settings>, CommandError> {
    match std::fs::read(home.settings()) {
        Ok(b) => serde_json::from_slice(&b).map(Some).map_err(|e| {
            let p = home.settings();
            let p = p.display();
            CommandError::usage(safelight_engine::text!("{p} is damaged: {e}", "{p} 已损坏：{e}")).with_help(
                Text::new(
                    "remove it and give --listen and --trust-proxy again",
                    "删除它，再用 --listen 与 --trust-proxy 指定",
                ),
            )
        }),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(CommandError::io("host.json", &e)),
    }
}

async fn daemon(home: &Home) -> Result<u8, CommandError> {
    let program = local::program()?;
    let settings = settings(home)?.unwrap_or_default();
    let options = DaemonOptions {
        home: home.clone(),
        shim: local::shim()?,
        proxy: vec![program, "proxy".to_owned(), "run".to_owned()],
        listen: Listen {
            plain: settings.listen,
            tls: settings.listen_tls,
            trusted: settings.trusted_proxies,
        },
    };
    serve(options).await?;
    Ok(0)
}

/// Waits for the daemon and starts it again when it dies; ends when it ends by itself.
async fn keep(home: &Home) -> Result<u8, CommandError> {
    let program = local::program()?;
    let mut pause = Duration::from_millis(100);
    loop {
        let began = Instant::now();
        let status = tokio::process::Command::new(&program)
            .args(["host", "run"])
            .env("SAFELIGHT_HOME", &home.root)
            .status()
            .await
            .map_err(|e| CommandError::io("the host daemon could not be started", &e))?;
        // An exit status is an answer (stopped, or it cannot run); a signal is an accident.
        if let Some(code) = status.code() {
            return Ok(u8::try_from(code).unwrap_or(1));
        }
        if began.elapsed() > Duration::from_secs(30) {
            pause = Duration::from_millis(100);
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(10));
    }
}

async fn stop(home: &Home, proxy: bool, out: &Output) -> Result<u8, CommandError> {
    let client = HostClient::new(home.socket());
    let Ok(status) = client.status().await else {
        out.say(if out.lang == Lang::Zh { "没有在运行" } else { "it does not run" });
        return Ok(0);
    };
    let busy = Busy::with(out, &Text::new("it finishes what it is at", "正在收尾"));
    client.shutdown(proxy).await?;
    let until = Instant::now() + Duration::from_secs(10);
    while Instant::now() < until && client.status().await.is_ok() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    drop(busy);
    out.say(if out.lang == Lang::Zh { "已停止" } else { "stopped" });
    for line in left_behind(&status, proxy) {
        out.say(line.get(out.lang));
    }
    Ok(0)
}

/// What nobody does any more now that the daemon is stopped, and perhaps the proxy.
fn left_behind(status: &Status, proxy: bool) -> Vec<Text> {
    let mut said = Vec::new();
    let names = |apps: Vec<&AppStatus>| {
        apps.iter().map(|a| format!("{} · {}", a.app, a.env)).collect::<Vec<_>>().join(", ")
    };
    let served = names(status.apps.iter().filter(|a| a.current.is_some()).collect());
    if proxy && !served.is_empty() {
        said.push(safelight_engine::text!(
            "nobody reaches {served} through the proxy until `safelight host start`",
            "在执行 `safelight host start` 之前，无法通过代理访问 {served}"
        ));
    }
    let open = names(status.apps.iter().filter(|a| a.run.is_some()).collect());
    if !open.is_empty() {
        said.push(safelight_engine::text!(
            "the run of {open} rests, and nobody watches it, until `safelight host start`",
            "在执行 `safelight host start` 之前，{open} 的运行暂停，且无人观察"
        ));
    }
    said
}

fn unit(home: &Home, out: &Output) -> Result<(), CommandError> {
    let path = std::env::var("PATH").unwrap_or_default();
    let user = (!rustix::process::geteuid().is_root()).then(local::user);
    // PM2 with a home of its own is found by this variable alone.
    let pm2_home = std::env::var("PM2_HOME").ok().filter(|h| !h.is_empty());
    let variables: Vec<(&str, &str)> = [("PATH", path.as_str())]
        .into_iter()
        .chain(pm2_home.as_deref().map(|home| ("PM2_HOME", home)))
        .collect();
    out.line(&unit_text(&local::program()?, &home.root.to_string_lossy(), &variables, user.as_deref()));
    Ok(())
}

/// A systemd unit. `user`: as whom, when not root.
fn unit_text(program: &str, home: &str, variables: &[(&str, &str)], user: Option<&str>) -> String {
    // A `%` begins a specifier of systemd's; quotes and backslashes end a quoted word.
    let quoted =
        |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%"));
    let user = user.map(|user| format!("User={user}\n")).unwrap_or_default();
    let environment: String = [("SAFELIGHT_HOME", home)]
        .iter()
        .chain(variables)
        .map(|(name, value)| format!("Environment={}\n", quoted(&format!("{name}={value}"))))
        .collect();
    let program = quoted(program);
    // KillMode=process: stopping the daemon must leave the proxy and the app's processes alone.
    // PATH: node from a version manager is not where systemd looks.
    format!(
        "[Unit]\nDescription=Safelight host daemon\nAfter=network-online.target\nWants=network-online.target\n\n\
         [Service]\n{user}{environment}ExecStart={program} host run\nRestart=always\n\
         RestartSec=1\nKillMode=process\nLimitNOFILE=65536\n\n[Install]\nWantedBy=multi-user.target"
    )
}

#[cfg(test)]
mod tests {
    use super::unit_text;

    #[test]
    fn a_unit_runs_as_the_user_who_asked_for_it_and_finds_what_that_user_finds() {
        let unit = unit_text(
            "/home/ann/bin/safelight",
            "/home/ann/50% \"here\"",
            &[("PATH", "/opt/node/bin:/usr/bin"), ("PM2_HOME", "/srv/pm2")],
            Some("ann"),
        );
        assert!(unit.contains("\nUser=ann\n"), "{unit}");
        assert!(unit.contains("\nEnvironment=\"PATH=/opt/node/bin:/usr/bin\"\n"), "{unit}");
        assert!(unit.contains("\nEnvironment=\"SAFELIGHT_HOME=/home/ann/50%% \\\"here\\\"\"\n"), "{unit}");
        assert!(unit.contains("\nEnvironment=\"PM2_HOME=/srv/pm2\"\n"), "{unit}");
        assert!(!unit_text("/usr/bin/safelight", "/var/lib/safelight", &[], None).contains("User="));
    }
}
