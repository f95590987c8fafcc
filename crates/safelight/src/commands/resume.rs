//! `safelight resume`: goes on with an interrupted run, forwards or backwards, and follows it.

use crate::{Global, error::CommandError, follow::Joined, output::Output};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The run; the open one of this app and environment when absent.
    run: Option<String>,
}

pub(crate) async fn run(args: &Args, g: &Global, out: &Output) -> Result<u8, CommandError> {
    let joined = Joined::find(args.run.as_deref(), g, out).await?;
    joined.client.resume(&joined.run, &joined.order(false)).await?;
    joined.follow(out).await
}
