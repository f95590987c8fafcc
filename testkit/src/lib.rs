//! Test-beds that several crates share: traffic as users make it, and whole deploys with the real programs.

pub mod bed;
pub mod command;
pub mod machine;
pub mod processes;
pub mod traffic;

/// Says that a test cannot run here, on a line of its own, and notes it where `cargo xtask test` counts.
///
/// # Panics
/// When the note cannot be written: a test that did not run must not pass unseen.
pub fn not_run(why: &str) {
    let name = std::thread::current().name().unwrap_or("a test").to_owned();
    eprintln!("\nNOT RUN: {name}: {why}");
    let Some(list) = std::env::var_os("SAFELIGHT_NOT_RUN") else { return };
    let mut file =
        std::fs::OpenOptions::new().create(true).append(true).open(list).expect("the list of tests not run");
    std::io::Write::write_all(&mut file, format!("{name}: {why}\n").as_bytes())
        .expect("the list of tests not run");
}
