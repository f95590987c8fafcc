//! `safelight resume`: goes on with an interrupted run, forwards or backwards, and follows it.

use crate::{
    Global,
    error::CommandError,
    follow::{Follow, follow},
    local,
    output::Output,
};
use safelight_host::api::RunOrder;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The run; the open one of this app and environment when absent.
    run: Option<String>,
}

pub(crate) async fn run(args: &Args, g: &Global, out: &Output) -> Result<u8, CommandError> {
    let (config, _) = safelight_host::runs::load_config(&local::project(&g.dir)?)?;
    let client = local::daemon(out).await?;
    let run = local::open_run(&client, args.run.as_deref(), &config.app.name, &g.env).await?;
    let who = local::who();
    client.resume(&run, &RunOrder { who: who.clone(), forget: false }).await?;
    follow(
        Follow {
            client: &client,
            run: &run,
            who,
            leave_at_commit: false,
            verbose: false,
            late: true,
            report_dir: Some(local::project(&g.dir)?.join("safelight-reports")),
        },
        out,
    )
    .await
}
