//! `safelight host`: the daemon of this server, its keeper, and a unit for systemd.

use crate::{Global, error::CommandError, local, output::Output};
use safelight_engine::text::{Lang, Text};
use safelight_host::{
    client::HostClient,
    paths::{Home, write_whole},
    server::{DaemonOptions, serve},
    supervise::Listen,
};
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
    },
    /// Run the daemon in the foreground: for systemd and containers.
    Run {
        /// Where the proxy takes requests; remembered.
        #[arg(long, value_name = "ADDR:PORT")]
        listen: Vec<SocketAddr>,
        /// Where the proxy takes requests over TLS; remembered.
        #[arg(long, value_name = "ADDR:PORT")]
        listen_tls: Vec<SocketAddr>,
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

/// What the host remembers.
#[derive(Serialize, Deserialize)]
struct Settings {
    listen: Vec<SocketAddr>,
    #[serde(default)]
    listen_tls: Vec<SocketAddr>,
}

pub(crate) async fn run(args: &Args, _: &Global, out: &Output) -> Result<u8, CommandError> {
    let home = Home::from_env();
    match &args.command {
        HostCommand::Start { listen, listen_tls } => start(&home, &wanted(listen, listen_tls), out).await,
        HostCommand::Run { listen, listen_tls } => {
            remember(&home, &wanted(listen, listen_tls))?;
            daemon(&home).await
        }
        HostCommand::Stop { proxy } => stop(&home, *proxy, out).await,
        HostCommand::Unit => {
            unit(&home, out)?;
            Ok(0)
        }
        HostCommand::Keep => keep(&home).await,
    }
}

fn wanted(plain: &[SocketAddr], tls: &[SocketAddr]) -> Listen {
    Listen { plain: plain.to_vec(), tls: tls.to_vec() }
}

async fn start(home: &Home, listen: &Listen, out: &Output) -> Result<u8, CommandError> {
    let client = HostClient::new(home.socket());
    if let Ok(s) = client.status().await {
        let runs = Listen { plain: s.proxy.listen, tls: s.proxy.listen_tls };
        let same = *listen == Listen::default() || *listen == runs;
        if !same {
            return Err(CommandError::refused(Text::new(
                "the daemon runs with other addresses",
                "守护进程正以其他监听地址运行",
            ))
            .with_help(Text::new(
                "first `safelight host stop --proxy`",
                "先运行 `safelight host stop --proxy`",
            )));
        }
        out.say(if out.lang == Lang::Zh { "已在运行" } else { "it runs already" });
        return Ok(0);
    }
    remember(home, listen)?;
    local::start_keeper(home)?;
    local::wait_for(&client, home).await?;
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        let s = client.status().await?;
        if s.proxy.pid.is_some() {
            let at = shown(&s.proxy);
            out.say(&match out.lang {
                Lang::En => format!("the host daemon runs (pid {}); the proxy takes requests at {at}", s.pid),
                Lang::Zh => format!("主机守护进程已启动（pid {}）；代理监听 {at}", s.pid),
            });
            return Ok(0);
        }
        // One that cannot start says why; one that is slow gets its time.
        if Instant::now() > until || s.proxy.trouble.as_ref().is_some_and(|t| t.contains("ended with")) {
            let why = s.proxy.trouble.unwrap_or_default();
            return Err(CommandError::refused(safelight_engine::text!(
                "the proxy does not start: {why}",
                "代理无法启动：{why}"
            ))
            .with_help(Text::new(
                "`safelight host stop`, then start with another --listen",
                "先 `safelight host stop`，再用其他 --listen 启动",
            )));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// `127.0.0.1:80, 127.0.0.1:443 (TLS)`.
pub(super) fn shown(proxy: &safelight_host::api::ProxyStatus) -> String {
    let plain = proxy.listen.iter().map(ToString::to_string);
    plain.chain(proxy.listen_tls.iter().map(|a| format!("{a} (TLS)"))).collect::<Vec<_>>().join(", ")
}

fn remember(home: &Home, listen: &Listen) -> Result<(), CommandError> {
    home.create().map_err(|e| CommandError::io(&home.root.to_string_lossy(), &e))?;
    if *listen == Listen::default() {
        return Ok(());
    }
    let settings = Settings { listen: listen.plain.clone(), listen_tls: listen.tls.clone() };
    let body = serde_json::to_vec(&settings).unwrap_or_default();
    write_whole(&home.settings(), &body).map_err(|e| CommandError::io("host.json", &e))
}

fn settings(home: &Home) -> Result<Settings, CommandError> {
    match std::fs::read(home.settings()) {
        Ok(b) => serde_json::from_slice(&b).map_err(|e| {
            let p = home.settings();
            let p = p.display();
            CommandError::usage(safelight_engine::text!("{p} is damaged: {e}", "{p} 已损坏：{e}"))
                .with_help(Text::new("remove it and give --listen again", "删除它，再用 --listen 指定"))
        }),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            let listen = vec![SocketAddr::from(([127, 0, 0, 1], 8080))];
            Ok(Settings { listen, listen_tls: Vec::new() })
        }
        Err(e) => Err(CommandError::io("host.json", &e)),
    }
}

async fn daemon(home: &Home) -> Result<u8, CommandError> {
    let program = local::program()?;
    let settings = settings(home)?;
    let options = DaemonOptions {
        home: home.clone(),
        shim: local::shim()?,
        proxy: vec![program, "proxy".to_owned(), "run".to_owned()],
        listen: Listen { plain: settings.listen, tls: settings.listen_tls },
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
    if client.status().await.is_err() {
        out.say(if out.lang == Lang::Zh { "没有在运行" } else { "it does not run" });
        return Ok(0);
    }
    client.shutdown(proxy).await?;
    let until = Instant::now() + Duration::from_secs(10);
    while Instant::now() < until && client.status().await.is_ok() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    out.say(if out.lang == Lang::Zh { "已停止" } else { "stopped" });
    Ok(0)
}

fn unit(home: &Home, out: &Output) -> Result<(), CommandError> {
    let path = std::env::var("PATH").unwrap_or_default();
    let user = (!rustix::process::geteuid().is_root()).then(local::user);
    out.line(&unit_text(&local::program()?, &home.root.to_string_lossy(), &path, user.as_deref()));
    Ok(())
}

/// A systemd unit. `user`: as whom, when not root.
fn unit_text(program: &str, home: &str, path: &str, user: Option<&str>) -> String {
    // A `%` begins a specifier of systemd's; quotes and backslashes end a quoted word.
    let quoted =
        |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%"));
    let user = user.map(|user| format!("User={user}\n")).unwrap_or_default();
    let (home, path) = (quoted(&format!("SAFELIGHT_HOME={home}")), quoted(&format!("PATH={path}")));
    let program = quoted(program);
    // KillMode=process: stopping the daemon must leave the proxy and the app's processes alone.
    // PATH: node from a version manager is not where systemd looks.
    format!(
        "[Unit]\nDescription=Safelight host daemon\nAfter=network-online.target\nWants=network-online.target\n\n\
         [Service]\n{user}Environment={home}\nEnvironment={path}\nExecStart={program} host run\nRestart=always\n\
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
            "/opt/node/bin:/usr/bin",
            Some("ann"),
        );
        assert!(unit.contains("\nUser=ann\n"), "{unit}");
        assert!(unit.contains("\nEnvironment=\"PATH=/opt/node/bin:/usr/bin\"\n"), "{unit}");
        assert!(unit.contains("\nEnvironment=\"SAFELIGHT_HOME=/home/ann/50%% \\\"here\\\"\"\n"), "{unit}");
        assert!(!unit_text("/usr/bin/safelight", "/var/lib/safelight", "/usr/bin", None).contains("User="));
    }
}
