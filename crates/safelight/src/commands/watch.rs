//! `safelight watch`: follows the run that is open; the watch itself runs in the host.

use crate::{
    Global,
    error::CommandError,
    follow::{Follow, follow},
    local,
    output::Output,
};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The run; the open one of this app and environment when absent.
    run: Option<String>,
}

pub(crate) async fn run(args: &Args, g: &Global, out: &Output) -> Result<u8, CommandError> {
    let project = local::project(&g.dir)?;
    let (config, _) = safelight_host::runs::load_config(&project)?;
    let client = local::daemon(out).await?;
    let run = local::open_run(&client, args.run.as_deref(), &config.app.name, &g.env).await?;
    follow(
        Follow {
            client: &client,
            run: &run,
            who: local::who(),
            leave_at_commit: false,
            verbose: false,
            late: true,
            report_dir: Some(local::project(&g.dir)?.join("safelight-reports")),
        },
        out,
    )
    .await
}
