//! `safelight watch`: follows the run that is open; the watch itself runs in the host.

use crate::{Global, error::CommandError, follow::Joined, output::Output};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The run; the open one of this app and environment when absent.
    run: Option<String>,
}

pub(crate) async fn run(args: &Args, g: &Global, out: &Output) -> Result<u8, CommandError> {
    Joined::find(args.run.as_deref(), g, out).await?.follow(out).await
}
