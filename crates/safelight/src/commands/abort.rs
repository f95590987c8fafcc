//! `safelight abort`: takes a run back, whether it is under way, interrupted or stuck.

use crate::{Global, error::CommandError, follow::Joined, output::Output};
use safelight_engine::text::{Lang, Text};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The run; the open one of this app and environment when absent.
    run: Option<String>,
    /// Close the run's record without touching anything: you have put the host in order yourself. For a journal that
    /// cannot be read, or an undo that cannot succeed.
    #[arg(long)]
    forget: bool,
}

pub(crate) async fn run(args: &Args, g: &Global, out: &Output) -> Result<u8, CommandError> {
    let joined = Joined::find(args.run.as_deref(), g, out).await?;
    if args.forget && !g.yes {
        return Err(CommandError::refused(Text::new(
            "--forget closes the record and undoes nothing; add --yes when the host is in order",
            "--forget 只关闭记录，不撤销任何东西；确认主机已恢复正常后加 --yes",
        )));
    }
    joined.client.abort(&joined.run, &joined.order(args.forget)).await?;
    if args.forget {
        out.say(if out.lang == Lang::Zh { "记录已关闭" } else { "the record is closed" });
        return Ok(0);
    }
    // What was asked for is that the run is taken back: that is success here.
    match joined.follow(out).await? {
        0 => Err(CommandError::refused(Text::new(
            "it was too late to take the run back: it is done",
            "已来不及撤销：运行已完成",
        ))
        .with_help(Text::new(
            "to go back to the release before, use `safelight rollback`",
            "要回到上一版本，请用 `safelight rollback`",
        ))),
        1 | 3 | 5 => Ok(0),
        code => Ok(code),
    }
}
