//! `cargo xtask fuzz`: each target of `fuzz/` for a while, from seeds that are valid inputs.

use crate::{Outcome, root, run, setup};
use std::process::{Command, Stdio};

const TARGETS: &[&str] = &["decode", "callback", "policy", "urls"];
const SECONDS: u32 = 60;
/// The longest input tried: photos need room, the others are about rules and not about length.
const LONGEST: &[(&str, u32)] = &[("decode", 64 << 10)];
const LONGEST_TEXT: u32 = 4 << 10;

/// `[TARGET] [--seconds N]`.
pub(crate) fn run_targets(args: &[String]) -> Outcome {
    let (mut wanted, mut seconds) = (TARGETS.to_vec(), SECONDS);
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        if arg == "--seconds" {
            let text = args.next().ok_or("--seconds needs a number")?;
            seconds = text.parse().map_err(|_| format!("--seconds: `{text}` is not a number of seconds"))?;
        } else {
            let known = TARGETS.iter().find(|target| *target == arg);
            wanted =
                vec![known.ok_or_else(|| format!("there is no target `{arg}`: {}", TARGETS.join(", ")))?];
        }
    }
    setup::for_build()?;
    setup::cargo_tool("cargo-fuzz", "cargo-fuzz")?;
    nightly()?;
    for target in &wanted {
        println!("fuzzing {target} for {seconds} s");
        one(target, seconds)?;
    }
    println!("no crash in {}", wanted.join(", "));
    Ok(())
}

fn one(target: &str, seconds: u32) -> Outcome {
    let corpus = root().join("fuzz/corpus").join(target);
    std::fs::create_dir_all(&corpus).map_err(|e| format!("{}: {e}", corpus.display()))?;
    let longest = LONGEST.iter().find(|(name, _)| *name == target).map_or(LONGEST_TEXT, |(_, bytes)| *bytes);
    let mut fuzz = with_nightly(&["cargo", "fuzz", "run", target]);
    fuzz.arg(&corpus).env("FUZZ_SEEDS", &corpus).arg("--").args([
        format!("-max_total_time={seconds}"),
        format!("-max_len={longest}"),
        "-timeout=20".to_owned(),
        "-rss_limit_mb=2048".to_owned(),
        "-print_final_stats=1".to_owned(),
    ]);
    run(&mut fuzz).map_err(|_| {
        format!(
            "{target} failed; if it found a crash, the input is in fuzz/artifacts/{target}, and `cargo +nightly fuzz \
             run {target} FILE` repeats it"
        )
    })
}

/// The sanitizers of libFuzzer are in nightly compilers only.
fn nightly() -> Outcome {
    let there = with_nightly(&["rustc", "--version"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if there.is_ok_and(|status| status.success()) {
        return Ok(());
    }
    println!("installing the nightly compiler with rustup");
    run(Command::new("rustup").args(["toolchain", "install", "nightly", "--profile", "minimal"]))
}

/// A program of the nightly toolchain, free of the cargo that runs this.
fn with_nightly(args: &[&str]) -> Command {
    let mut command = Command::new("rustup");
    command.args(["run", "nightly"]).args(args).current_dir(root());
    for name in ["CARGO", "RUSTC", "RUSTUP_TOOLCHAIN", "CARGO_TARGET_DIR"] {
        command.env_remove(name);
    }
    command
}
