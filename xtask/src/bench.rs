//! `cargo xtask bench`: the figures, beside a peer in the same run. Ratios and medians; these machines are noisy.

use crate::{Outcome, cargo, run, setup};

/// Runs one benchmark, or all.
pub(crate) fn run_one(which: &str) -> Outcome {
    match which {
        "judge" => judge(),
        "proxy" => proxy(),
        "all" => {
            judge()?;
            proxy()
        }
        other => Err(format!("there is no benchmark `{other}`")),
    }
}

/// False alarms, power and delay of the judge beside other judges; writes the tables and curves of docs/judge.md.
fn judge() -> Outcome {
    run(&mut cargo(&[
        "run",
        "--release",
        "--quiet",
        "--package",
        "safelight-judge",
        "--example",
        "simulate",
        "--",
        "--out",
        "docs/judge",
    ]))
}

/// Throughput, latency and memory of the proxy beside nginx.
fn proxy() -> Outcome {
    setup::for_bench()?;
    run(&mut cargo(&["run", "--release", "--quiet", "--package", "safelight-proxy", "--example", "bench"]))
}
