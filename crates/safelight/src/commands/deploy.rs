//! `safelight deploy`: hands the request to the host and follows it.

use crate::{
    Global,
    error::CommandError,
    follow::{Follow, Interrupts, begin, follow},
    local,
    output::Output,
};
use safelight_engine::plan::PlanKind;
use safelight_host::api::RunRequest;
use std::path::PathBuf;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// What to deploy: a tag, a branch, a commit. What is checked out when absent.
    revision: Option<String>,
    /// Leave once the new release serves and is verified; the watch goes on in the host.
    #[arg(long)]
    detach: bool,
    /// Show every finding, not only those that want attention.
    #[arg(long, short)]
    verbose: bool,
    /// Where the HTML report of the run goes.
    #[arg(long, value_name = "DIR", default_value = "safelight-reports")]
    reports: PathBuf,
    /// The app was deployed from another directory before; from now on it is deployed from this one.
    #[arg(long)]
    moved: bool,
    /// Seconds without this command after which the host takes an unfinished deploy back.
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    lease: u64,
}

pub(crate) async fn run(args: &Args, g: &Global, out: &Output) -> Result<u8, CommandError> {
    let project = local::project(&g.dir)?;
    // A wrong configuration is said before any process is started.
    safelight_host::runs::load_config(&project)?;
    let client = local::daemon(out).await?;
    let who = local::who();
    let request = RunRequest {
        project: project.clone(),
        env: g.env.clone(),
        kind: PlanKind::Deploy,
        revision: args.revision.clone(),
        database: false,
        backup: None,
        moved: args.moved,
        who: who.clone(),
        lease_s: Some(args.lease),
    };
    let mut interrupts = Interrupts::listen()?;
    let Some(run) = begin(&client, &request, &mut interrupts, out).await? else { return Ok(130) };
    let report_dir = Some(project.join(&args.reports));
    follow(
        Follow {
            client: &client,
            run: &run,
            who,
            leave_at_commit: args.detach,
            verbose: args.verbose,
            late: None,
            report_dir,
        },
        interrupts,
        out,
    )
    .await
}
