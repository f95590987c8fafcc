//! `cargo xtask test` and `cargo xtask check`.

use crate::{Outcome, cargo, run, setup, web};

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
    nextest.args(extra);
    run(&mut nextest)
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
