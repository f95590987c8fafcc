//! Project tasks. Almost no dependencies, so that it starts at once; everything heavy is a program it runs.

mod bench;
mod demo;
mod fuzz;
mod setup;
mod test;
mod web;

use std::{
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

const USAGE: &str = "usage: cargo xtask TASK

  demo [--fast] [--keep]   take FilmTrip to production on this machine, break it twice, and watch it come back
  test                     install what the tests need (after saying so), then run all of them
  check                    fmt, clippy, deny, docs, FilmTrip's scripts
  web                      build FilmTrip's scripts, which git keeps
  fuzz [TARGET] [--seconds N]
                           throw broken inputs at decoders, callbacks, policies and URLs (needs nightly)
  setup                    only install what the tests need
  bench [judge|proxy|switch|deploy|images|list|all]
                           print the figures, beside a peer in the same run; `bench switch 200` makes 200 exchanges
";

/// What a task ends with.
type Outcome = Result<(), String>;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let has = |flag: &str| args.iter().any(|a| a == flag);
    let outcome = match args.first().map(String::as_str) {
        Some("demo") => demo::run_demo(has("--fast"), has("--keep")),
        Some("test") => test::all(&args[1..]),
        Some("check") => test::check(),
        Some("web") => web::build(),
        Some("fuzz") => fuzz::run_targets(&args[1..]),
        Some("setup") => setup::for_tests(),
        Some("bench") => {
            bench::run_one(args.get(1).map_or("all", String::as_str), args.get(2..).unwrap_or(&[]))
        }
        _ => {
            eprint!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("xtask: {e}");
            ExitCode::FAILURE
        }
    }
}

/// The workspace's root.
fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}

/// Where cargo puts what it builds.
fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// Runs a program to its end, showing what it says.
fn run(command: &mut Command) -> Outcome {
    let shown = format!("{command:?}");
    let status = command.status().map_err(|e| format!("{shown}: {e}"))?;
    if status.success() { Ok(()) } else { Err(format!("{shown}: {status}")) }
}

/// Cargo, in the workspace.
fn cargo(args: &[&str]) -> Command {
    let mut c = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    c.args(args).current_dir(root());
    c
}

/// Is there a program of that name on the PATH?
fn have(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .any(|d| d.join(program).is_file())
}
