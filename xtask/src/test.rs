//! `cargo xtask test` and `cargo xtask check`.

use crate::{Outcome, cargo, demo, run, setup, target, web};

/// Every test of the workspace, and the fast demo. Programs that tests start are built first.
pub(crate) fn all(extra: &[String]) -> Outcome {
    setup::for_tests()?;
    web::test()?;
    run(&mut cargo(&["build", "--workspace", "--bins", "--examples", "--keep-going"]))?;
    run(&mut cargo(&["test", "--workspace", "--doc", "--quiet"]))?;
    let mut nextest = cargo(&[
        "nextest",
        "run",
        "--workspace",
        "--no-fail-fast",
        "--status-level",
        "fail",
        "--final-status-level",
        "flaky",
    ]);
    nextest.args(extra);
    let list = target().join("not-run.txt");
    // Of the run before; there may be none.
    let _ = std::fs::remove_file(&list);
    nextest.env("SAFELIGHT_NOT_RUN", &list);
    let outcome = run(&mut nextest);
    tell_not_run(&std::fs::read_to_string(&list).unwrap_or_default());
    outcome?;
    // What the README shows first is part of what is tested; about a minute. A filter asks for something else.
    if extra.is_empty() { demo::play_built() } else { Ok(()) }
}

/// Tests that this machine cannot run pass without having looked at anything: that is said, and counted.
fn tell_not_run(list: &str) {
    let mut lines: Vec<&str> = list.lines().collect();
    // One that was tried twice is one test.
    lines.sort_unstable();
    lines.dedup();
    for line in &lines {
        println!("NOT RUN: {line}");
    }
    if !lines.is_empty() {
        println!("{} tests were not run", lines.len());
    }
}

/// Formatting, lints, licences and bans, documentation, FilmTrip's scripts.
pub(crate) fn check() -> Outcome {
    setup::cargo_tool("cargo-deny", "cargo-deny")?;
    web::check()?;
    run(&mut cargo(&["fmt", "--all", "--check"]))?;
    run(&mut cargo(&["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"]))?;
    run(&mut cargo(&["deny", "--log-level", "error", "check", "bans", "licenses", "sources"]))?;
    run(cargo(&["doc", "--workspace", "--no-deps", "--quiet"]).env("RUSTDOCFLAGS", "-D warnings"))
}
