//! The same as in the testkit, which stands above this crate.

use std::io::Write as _;

/// Says, on a line of its own, that a test could not be run here and why. `cargo xtask test` counts these: a runner
/// hides what a test that passes has printed.
pub(crate) fn not_run(why: &str) {
    let name = std::thread::current().name().unwrap_or("a test").to_owned();
    println!("\nNOT RUN: {name}: {why}");
    let Some(list) = std::env::var_os("SAFELIGHT_NOT_RUN") else { return };
    let file = std::fs::OpenOptions::new().create(true).append(true).open(&list);
    let written = file.and_then(|mut f| writeln!(f, "{name}: {why}"));
    if let Err(e) = written {
        panic!("{}: {e}", list.display());
    }
}
