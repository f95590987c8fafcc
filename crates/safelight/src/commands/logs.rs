//! `safelight logs`: what the app's processes write.

use crate::{Global, error::CommandError, local, output::Output};
use safelight_host::logs::{Follower, tail};
use std::time::{Duration, Instant};

/// How often files of new processes are looked for.
const NEW_FILES_EVERY: Duration = Duration::from_secs(1);

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only this service.
    service: Option<String>,
    /// Lines of each file.
    #[arg(long, short = 'n', default_value_t = 50)]
    lines: usize,
    /// Go on showing what is written.
    #[arg(long, short)]
    follow: bool,
}

pub(crate) async fn run(args: &Args, g: &Global, out: &Output) -> Result<u8, CommandError> {
    let (config, _) = safelight_host::runs::load_config(&local::project(&g.dir)?)?;
    let app = &config.app.name;
    let client = local::daemon(out).await?;
    let detail = client.app(&config.app.name, &g.env).await?;
    let wanted =
        |name: &str| args.service.as_ref().is_none_or(|s| name.split('.').nth(2) == Some(s.as_str()));
    if let Some(s) = &args.service {
        let mut known: Vec<&str> = config.services.iter().map(|s| s.name.as_str()).collect();
        // One that only a release before the present configuration has may still have logs.
        known.extend(detail.logs.iter().filter_map(|(name, _)| name.split('.').nth(2)));
        known.sort_unstable();
        known.dedup();
        if !known.contains(&s.as_str()) {
            let list = known.join(", ");
            return Err(CommandError::usage(safelight_engine::text!(
                "{app} has no service {s}",
                "{app} 没有服务 {s}"
            ))
            .with_help(safelight_engine::text!("its services: {list}", "它的服务：{list}")));
        }
    }
    let mut files: Vec<_> = detail.logs.into_iter().filter(|(name, _)| wanted(name)).collect();
    let style = out.style();
    let mut followers = Vec::new();
    for (name, path) in &files {
        let label = style.paint("36", &short(name));
        let text = tail(path, 256 * 1024).unwrap_or_default();
        followers.push(Follower::at_end(path));
        let lines: Vec<&str> = text.lines().collect();
        for l in &lines[lines.len().saturating_sub(args.lines)..] {
            out.line(&format!("{label} {l}"));
        }
    }
    if !args.follow {
        return Ok(0);
    }
    let mut looked = Instant::now();
    loop {
        // A release that is deployed meanwhile brings files of its own; they are read from their beginning.
        if looked.elapsed() >= NEW_FILES_EVERY {
            looked = Instant::now();
            // The daemon may be restarting: it is asked again.
            let now = client.app(&config.app.name, &g.env).await.map(|d| d.logs).unwrap_or_default();
            for file in now.into_iter().filter(|(name, _)| wanted(name)) {
                if !files.contains(&file) {
                    files.push(file);
                    followers.push(Follower::default());
                }
            }
        }
        for ((name, path), f) in files.iter().zip(&mut followers) {
            for l in f.new_lines(path).unwrap_or_default() {
                out.line(&format!("{} {l}", style.paint("36", &short(name))));
            }
        }
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(250)) => {}
            _ = tokio::signal::ctrl_c() => return Ok(130),
        }
    }
}

/// `web.r12` of `filmtrip.production.web.r12`.
fn short(name: &str) -> String {
    name.splitn(3, '.').nth(2).unwrap_or(name).to_owned()
}
