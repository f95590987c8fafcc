//! Reads what `safelight status --format json` prints and prints rows of a table: what the host daemon and the proxy hold
//! in memory, and how much of it is their own (the rest is the program file, which the kernel shares and can drop).

use safelight_testkit::processes::memory_kb;
use std::process::ExitCode;

fn main() -> ExitCode {
    let status: serde_json::Value = match serde_json::from_reader(std::io::stdin().lock()) {
        Ok(v) => v,
        Err(e) => {
            eprintln!("standard input is not what `safelight status --format json` prints: {e}");
            return ExitCode::from(2);
        }
    };
    for (name, pid) in [("host daemon", &status["pid"]), ("proxy", &status["proxy"]["pid"])] {
        let found = pid.as_u64().and_then(|p| u32::try_from(p).ok()).and_then(memory_kb);
        let Some((all, own)) = found else {
            eprintln!("the {name} does not run");
            return ExitCode::FAILURE;
        };
        println!("| memory of the {name} (its own) | {all} kB ({own} kB) |");
    }
    ExitCode::SUCCESS
}
