//! Simulates the judge beside others on the same traffic, prints Markdown tables and draws the curves of docs/judge.md.
//!
//! `cargo run --release -p safelight-judge --example simulate -- [--runs 2000] [--out docs/judge]`
//!
//! Without `--out` it only prints. Seeds are fixed: the same program gives the same tables, the speed apart.

mod charts;
mod peeking;
mod rivals;
mod run;
mod scenarios;
mod speed;
mod stats;
mod tables;
mod traffic;

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

const USAGE: &str = "usage: simulate [--runs N] [--out FOLDER]";

struct Arguments {
    runs: usize,
    out: Option<PathBuf>,
}

fn main() -> ExitCode {
    let arguments = match parse(std::env::args().skip(1)) {
        Ok(Some(arguments)) => arguments,
        Ok(None) => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(problem) => {
            eprintln!("{problem}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match simulate(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("the simulation's results could not be written: {error}");
            ExitCode::FAILURE
        }
    }
}

fn parse(mut words: impl Iterator<Item = String>) -> Result<Option<Arguments>, String> {
    let mut arguments = Arguments { runs: 2_000, out: None };
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
        match word.as_str() {
            "--runs" => {
                let runs = value()?;
                arguments.runs = runs
                    .parse()
                    .ok()
                    .filter(|runs| *runs > 0)
                    .ok_or_else(|| format!("--runs {runs} is not a number above 0"))?;
            }
            "--out" => arguments.out = Some(value()?.into()),
            "--help" | "-h" => return Ok(None),
            other => return Err(format!("unknown argument {other}")),
        }
    }
    Ok(Some(arguments))
}

fn simulate(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let runs = arguments.runs;
    let all = |scenarios: Vec<traffic::Scenario>| -> Vec<run::Outcome> {
        scenarios.iter().map(|scenario| run::simulate(scenario, runs)).collect()
    };
    println!(
        "{runs} simulated hours a row; a canary share of 10% unless said otherwise; rollback bound 1%.\n"
    );

    let harmless = all(scenarios::harmless());
    println!("{}", tables::false_alarms(&harmless));
    let harmful = all(scenarios::harmful());
    println!("{}\n{}", tables::power(&harmful), tables::details(&harmful));
    println!("{}", tables::forecasts(&harmful));
    let at_the_limit = run::simulate(&scenarios::at_the_limit(), runs);
    println!("{}", tables::proofs(&harmless, &at_the_limit));
    let looks = peeking::peeking(runs * 5);
    println!("{}", tables::peeking(&looks));
    let sticky = [0.1, 0.5].map(|share| peeking::stickiness(share, runs));
    println!("{}", tables::stickiness(&sticky));
    println!("{}", tables::speed(&speed::measure()));

    if let Some(out) = &arguments.out {
        std::fs::create_dir_all(out)?;
        charts::false_alarms(&out.join("false-alarms.svg"), &harmless)?;
        charts::peeking(&out.join("peeking.svg"), &looks)?;
        charts::power(&out.join("power.svg"), &run::simulate(&scenarios::power_curve(), runs))?;
        charts::delay(&out.join("delay.svg"), &all(scenarios::delay_curve()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &[&str]) -> Result<Option<Arguments>, String> {
        parse(words.iter().map(|word| (*word).to_owned()))
    }

    #[test]
    fn arguments_are_read_and_wrong_ones_named() {
        let arguments = parsed(&["--runs", "7", "--out", "somewhere"]).unwrap().unwrap();
        assert_eq!((arguments.runs, arguments.out), (7, Some(PathBuf::from("somewhere"))));
        assert!(parsed(&["--help"]).unwrap().is_none());
        assert!(parsed(&["--runs", "0"]).is_err_and(|e| e.contains("above 0")));
        assert!(parsed(&["--runs"]).is_err_and(|e| e.contains("needs a value")));
        assert!(parsed(&["--fast"]).is_err_and(|e| e.contains("--fast")));
    }
}
