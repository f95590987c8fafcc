//! Runs the proxy alone: `proxy <control socket> <route table> [--take-over] <address>...`; `tls:<address>` takes TLS.
//! Limits that tests want to be short come from `PROXY_*` variables, in milliseconds.

use std::process::ExitCode;
use std::time::Duration;

use safelight_proxy::{ListenSpec, ProxyOptions, run};

// As in the program that the proxy ships in.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "warn".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    match options().map(run) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
        Err(usage) => {
            eprintln!("{usage}");
            ExitCode::from(2)
        }
    }
}

fn address(text: &str) -> Result<ListenSpec, String> {
    let (make, plain): (fn(_) -> _, _) = match text.strip_prefix("tls:") {
        Some(rest) => (ListenSpec::tls, rest),
        None => (ListenSpec::plain, text),
    };
    plain.parse().map(make).map_err(|e| format!("{text}: {e}"))
}

fn options() -> Result<ProxyOptions, String> {
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    let take_over = args.iter().any(|a| a == "--take-over");
    args.retain(|a| a != "--take-over");
    let [socket, routes, addresses @ ..] = args.as_slice() else {
        return Err("usage: proxy <control socket> <route table> [--take-over] <address>...".into());
    };
    let listen: Result<Vec<_>, String> = addresses.iter().map(|a| address(a)).collect();
    let mut options = ProxyOptions::new(listen?, socket.into(), routes.into());
    options.take_over = take_over;
    for (name, field) in [
        ("PROXY_HEADER_TIMEOUT", &mut options.limits.header_timeout),
        ("PROXY_HANDSHAKE_TIMEOUT", &mut options.limits.handshake_timeout),
        ("PROXY_IDLE_GRACE", &mut options.leave.idle_grace),
        ("PROXY_STOP_TIMEOUT", &mut options.leave.stop_timeout),
        ("PROXY_UPGRADE_TIMEOUT", &mut options.leave.upgrade_timeout),
    ] {
        if let Ok(text) = std::env::var(name) {
            *field = Duration::from_millis(text.parse().map_err(|e| format!("{name}: {e}"))?);
        }
    }
    if let Ok(text) = std::env::var("PROXY_TRUSTED") {
        let networks: Result<Vec<_>, _> = text.split(',').map(str::parse).collect();
        options.trusted_proxies = networks.map_err(|e: safelight_proxy::NotANetwork| e.to_string())?;
    }
    Ok(options)
}
