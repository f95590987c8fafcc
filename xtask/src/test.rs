//! `cargo xtask test` and `cargo xtask check`.

use crate::{Outcome, cargo, run, setup, target, web};

/// Every test of the workspace. Programs that tests start are built first.
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
    // Tests that find that they cannot run here note it there, since the output of a test that passes is not shown.
    let list = target().join("tests-not-run.txt");
    let _ = std::fs::remove_file(&list);
    let outcome = run(nextest.args(extra).env("SAFELIGHT_NOT_RUN", &list));
    let not_run = std::fs::read_to_string(&list).unwrap_or_default();
    println!("{} tests could not run here", not_run.lines().count());
    not_run.lines().for_each(|line| println!("NOT RUN: {line}"));
    outcome
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
