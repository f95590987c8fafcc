//! The command line: parses arguments, calls one command, maps its end to an exit code.

mod busy;
mod commands;
mod error;
mod follow;
mod live;
mod local;
mod output;

use clap::{Parser, Subcommand, ValueEnum as _};
use error::CommandError;
use output::{Format, Output};
use safelight_engine::text::Lang;
use std::process::ExitCode;

// The proxy allocates dozens of times for each request: the system's allocator cost it a tenth of its throughput.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Deploys to servers you own: measures the risk first, proves the way back, watches, and undoes everything by itself.
#[derive(Parser)]
#[command(name = "safelight", version, about, long_about = None, after_help = EXIT_CODES)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 go or done · 1 no-go or verification failed, nothing changed · 2 usage or configuration error · 3 deploy failed and everything was undone · 4 undo incomplete, a person is needed · 5 inconclusive · 130 interrupted";

/// Options of every command.
#[derive(clap::Args)]
struct Global {
    /// Environment of safelight.toml.
    #[arg(long, global = true, default_value = "production", value_name = "NAME")]
    env: String,
    /// Form of the result.
    #[arg(long, global = true, value_enum, default_value_t = Format::Human)]
    format: Format,
    /// Language: `zh-CN` or `en`. From LANG when absent.
    #[arg(long, global = true, value_name = "TAG")]
    lang: Option<String>,
    /// No colours.
    #[arg(long, global = true)]
    no_color: bool,
    /// Agree to what would be asked.
    #[arg(long, short, global = true)]
    yes: bool,
    /// Directory that holds safelight.toml.
    #[arg(long, short = 'C', global = true, default_value = ".", value_name = "DIR")]
    dir: std::path::PathBuf,
}

#[derive(Subcommand)]
enum Command {
    /// Write a safelight.toml from what is found here.
    Init(commands::init::Args),
    /// Measure the risk: run every check, say go or no-go. Changes nothing.
    Check(commands::check::Args),
    /// Print what a deploy would do, on which host, and how each step is undone.
    Plan(commands::plan::Args),
    /// Deploy: check, stage, back up, rehearse, start, test, switch, verify, watch.
    Deploy(commands::deploy::Args),
    /// Do what users do, where users are, once.
    Verify(commands::verify::Args),
    /// Follow the run that is open.
    Watch(commands::watch::Args),
    /// Show what serves, what runs, and what is open.
    Status(commands::status::Args),
    /// List past runs.
    History(commands::history::Args),
    /// Write the report of a run.
    Report(commands::report::Args),
    /// Go back to the verified release before: code, dependencies, environment; with --database the data too.
    Rollback(commands::rollback::Args),
    /// Copy the database as it is now, and prove the copy by restoring it into a scratch database.
    Backup(commands::backup::Args),
    /// Go on with an interrupted run.
    Resume(commands::resume::Args),
    /// Take a run back.
    Abort(commands::abort::Args),
    /// Show what the app's processes write.
    Logs(commands::logs::Args),
    /// The host daemon.
    Host(commands::host::Args),
    /// The data plane.
    Proxy(commands::proxy::Args),
    /// Look whether Safelight itself is in order here.
    Doctor(commands::doctor::Args),
    /// Runs one detached process; the embedded process manager starts it.
    #[command(hide = true)]
    DetachedShim {
        /// State directory of the process.
        dir: std::path::PathBuf,
    },
}

impl Command {
    /// The forms in which it can give its result.
    fn formats(&self) -> &'static [Format] {
        match self {
            Self::Check(_)
            | Self::Deploy(_)
            | Self::Rollback(_)
            | Self::Resume(_)
            | Self::Abort(_)
            | Self::Watch(_)
            | Self::Report(_) => Format::value_variants(),
            // What a process writes has no form.
            Self::Logs(_) => &[Format::Human],
            _ => &[Format::Human, Format::Json],
        }
    }

    /// One that is asked for a form that it does not have refuses, rather than give another one.
    fn refuse_other_formats(&self, asked: Format) -> Result<(), CommandError> {
        let supported = self.formats();
        if supported.contains(&asked) {
            return Ok(());
        }
        let names = supported.iter().map(|f| f.name()).collect::<Vec<_>>().join(", ");
        let asked = asked.name();
        Err(CommandError::usage(safelight_engine::text!(
            "this command has no format {asked}; it has: {names}",
            "该命令不支持格式 {asked}；支持：{names}"
        )))
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let lang = cli.global.lang.clone().map_or_else(lang_from_env, |t| Lang::from_tag(&t));
    let out = Output::new(lang, cli.global.format, cli.global.no_color);
    if let Command::DetachedShim { dir } = &cli.command {
        // No runtime, no logging: it has to be small and to outlive everything.
        return safelight_drivers::process::shim::main(dir);
    }
    if let Err(e) = cli.command.refuse_other_formats(cli.global.format) {
        out.error(&e);
        return ExitCode::from(e.exit_code());
    }
    if let Command::Proxy(args) = &cli.command
        && let Some(code) = commands::proxy::run_blocking(args, &out)
    {
        // The data plane builds its own runtime.
        return code;
    }
    start_logging();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(r) => r,
        Err(e) => {
            eprintln!("safelight: {e}");
            return ExitCode::from(2);
        }
    };
    let result = runtime.block_on(run(&cli, &out));
    // A blocked reader of standard input must not keep the process alive.
    runtime.shutdown_background();
    match result {
        Ok(code) => ExitCode::from(code),
        Err(e) => {
            out.error(&e);
            ExitCode::from(e.exit_code())
        }
    }
}

async fn run(cli: &Cli, out: &Output) -> Result<u8, CommandError> {
    let g = &cli.global;
    match &cli.command {
        Command::Init(a) => commands::init::run(a, g, out).await,
        Command::Check(a) => commands::check::run(a, g, out).await,
        Command::Plan(a) => commands::plan::run(a, g, out).await,
        Command::Deploy(a) => commands::deploy::run(a, g, out).await,
        Command::Verify(a) => commands::verify::run(a, g, out).await,
        Command::Watch(a) => commands::watch::run(a, g, out).await,
        Command::Status(a) => commands::status::run(a, g, out).await,
        Command::History(a) => commands::history::run(a, g, out).await,
        Command::Report(a) => commands::report::run(a, g, out).await,
        Command::Rollback(a) => commands::rollback::run(a, g, out).await,
        Command::Backup(a) => commands::backup::run(a, g, out).await,
        Command::Resume(a) => commands::resume::run(a, g, out).await,
        Command::Abort(a) => commands::abort::run(a, g, out).await,
        Command::Logs(a) => commands::logs::run(a, g, out).await,
        Command::Host(a) => commands::host::run(a, g, out).await,
        Command::Proxy(a) => commands::proxy::run(a, g, out).await,
        Command::Doctor(a) => commands::doctor::run(a, g, out).await,
        Command::DetachedShim { .. } => Ok(2),
    }
}

fn lang_from_env() -> Lang {
    let var = |k: &str| std::env::var(k).ok().filter(|v| !v.is_empty());
    let tag = var("LC_ALL").or_else(|| var("LC_MESSAGES")).or_else(|| var("LANG"));
    Lang::from_tag(&tag.unwrap_or_default())
}

fn start_logging() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("SAFELIGHT_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn,safelight=info,safelight_host=info"));
    // Another subscriber cannot be there yet; if it is, its output is as good.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        // It would tell standard error of a line that found no room there, and panic when that finds none either.
        .log_internal_errors(false)
        .try_init();
}
