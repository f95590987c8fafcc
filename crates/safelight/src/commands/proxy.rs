//! `safelight proxy`: the data plane. The daemon starts it; these are for looking at it and mending it.

use crate::{Global, error::CommandError, local, output::Output};
use safelight_engine::text::{Lang, Text};
use safelight_host::{paths::Home, supervise::Listen, trouble};
use safelight_proxy::{ControlClient, ListenSpec, Network, ProxyOptions};
use std::{net::SocketAddr, process::ExitCode};

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: ProxyCommand,
}

#[derive(clap::Subcommand)]
enum ProxyCommand {
    /// Run the proxy in the foreground.
    Run {
        /// Where to take requests.
        #[arg(long, value_name = "ADDR:PORT", required_unless_present = "listen_tls")]
        listen: Vec<SocketAddr>,
        /// Where to take requests over TLS, with the certificates that the apps name.
        #[arg(long, value_name = "ADDR:PORT")]
        listen_tls: Vec<SocketAddr>,
        /// A proxy in front of this one, or a network of them, whose X-Forwarded-* headers are believed.
        #[arg(long, value_name = "CIDR")]
        trust_proxy: Vec<Network>,
        /// Take the sockets over from the proxy that runs, which then finishes its requests and ends.
        #[arg(long)]
        take_over: bool,
    },
    /// Show what is routed where.
    State,
    /// Start this version of the program in the place of the running proxy, without an outage.
    Upgrade,
    /// Read all certificates again now; changed files are noticed within seconds anyway.
    ReloadCertificates,
    /// Put the route table before the last change in the place of a damaged one.
    Repair,
}

/// `run` builds its own runtime and blocks; `None` for every other command.
pub(crate) fn run_blocking(args: &Args, out: &Output) -> Option<ExitCode> {
    let ProxyCommand::Run { listen, listen_tls, trust_proxy, take_over } = &args.command else { return None };
    crate::start_logging();
    let home = Home::from_env();
    if let Err(e) = home.create() {
        out.error(&CommandError::io(&home.root.to_string_lossy(), &e));
        return Some(ExitCode::from(2));
    }
    let plain = listen.iter().map(|a| ListenSpec::plain(*a));
    let listen = plain.chain(listen_tls.iter().map(|a| ListenSpec::tls(*a))).collect();
    let mut options = ProxyOptions::new(listen, home.proxy_socket(), home.routes());
    options.take_over = *take_over;
    options.trusted_proxies.clone_from(trust_proxy);
    Some(match safelight_proxy::run(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            let why = trouble::of_proxy(&e);
            trouble::leave(&home.proxy_trouble(), &why);
            out.error(&why.into());
            ExitCode::from(1)
        }
    })
}

pub(crate) async fn run(args: &Args, _: &Global, out: &Output) -> Result<u8, CommandError> {
    let home = Home::from_env();
    let client = ControlClient::new(home.proxy_socket());
    let failed = |e: safelight_proxy::ControlError| CommandError::refused(Text::same(e.to_string()));
    match &args.command {
        ProxyCommand::Run { .. } => Ok(2),
        ProxyCommand::State => {
            let state = client.state().await.map_err(failed)?;
            out.line(&serde_json::to_string_pretty(&state).unwrap_or_default());
            Ok(0)
        }
        ProxyCommand::ReloadCertificates => {
            let all = client.reload_certificates().await.map_err(failed)?;
            out.line(&serde_json::to_string_pretty(&all).unwrap_or_default());
            Ok(u8::from(all.iter().any(|c| c.trouble.is_some())))
        }
        ProxyCommand::Upgrade => upgrade(&home, &client, out).await,
        ProxyCommand::Repair => {
            let done = safelight_proxy::repair(&home.routes())
                .map_err(|e| CommandError::from(trouble::of_table(&e)))?;
            out.say(out.t(&trouble::of_repair(&done)));
            Ok(0)
        }
    }
}

async fn upgrade(home: &Home, client: &ControlClient, out: &Output) -> Result<u8, CommandError> {
    let before = client.state().await.map_err(|e| CommandError::refused(Text::same(e.to_string())))?;
    let path = home.logs().join("proxy.log");
    let shown = path.display();
    let opened = std::fs::OpenOptions::new().append(true).create(true).open(&path);
    let log = opened.map_err(|e| CommandError::io(&path.to_string_lossy(), &e))?;
    let err = log.try_clone().map_err(|e| CommandError::io("proxy.log", &e))?;
    let mut command = std::process::Command::new(local::program()?);
    command.args(["proxy", "run", "--take-over"]).stdout(log).stderr(err);
    // Addresses are inherited; whom to believe is remembered, so that an upgrade is how that changes without an outage.
    let trusted = super::host::remembered_trust(home)?.unwrap_or(before.trusted_proxies);
    command.args(Listen { plain: before.listen, tls: before.listen_tls, trusted }.arguments());
    let done =
        safelight_proxy::upgrade(client, command, std::time::Duration::from_secs(15)).await.map_err(|e| {
            CommandError::refused(Text::same(e.to_string()))
                .with_help(safelight_engine::text!("{shown} says why", "原因见 {shown}"))
        })?;
    let (now, program, old) = (done.now.pid, done.now.program, done.before_pid);
    out.say(&match out.lang {
        Lang::En => format!("proxy {now} ({program}) took over from {old}, which finishes its requests"),
        Lang::Zh => format!("代理 {now}（{program}）已接替 {old}；旧进程处理完手头请求后退出"),
    });
    Ok(0)
}
