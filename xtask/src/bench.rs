//! `cargo xtask bench`: the figures, beside a peer in the same run. Ratios and medians; these machines are noisy.

use crate::{Outcome, cargo, root, run, setup, target};

/// Runs one benchmark, or all.
pub(crate) fn run_one(which: &str) -> Outcome {
    match which {
        "judge" => judge(),
        "proxy" => proxy(),
        "switch" => switch(),
        "deploy" => crate::demo::figures(),
        "images" => images(),
        "all" => {
            judge()?;
            proxy()?;
            switch()?;
            images()?;
            crate::demo::figures()
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

/// Failed requests over repeated exchanges of a release under load, beside `pm2 reload` and a reload of nginx.
fn switch() -> Outcome {
    setup::for_bench()?;
    run(&mut cargo(&["build", "--release", "--quiet", "--package", "safelight"]))?;
    let mut c = cargo(&[
        "run",
        "--release",
        "--quiet",
        "--package",
        "safelight-testkit",
        "--example",
        "figures",
        "--",
    ]);
    c.arg(target().join("release/safelight")).arg(root().join(".tools/node_modules/.bin/pm2"));
    run(&mut c)
}

/// CPU and memory of FilmTrip's image processing beside sharp (libvips).
fn images() -> Outcome {
    setup::for_images()?;
    let filmtrip = ["--release", "--quiet", "--package", "filmtrip"];
    run(&mut cargo(&[&["build"][..], &filmtrip, &["--bin", "filmtrip"]].concat()))?;
    let mut c = cargo(&[&["run"][..], &filmtrip, &["--example", "bench_images", "--"]].concat());
    c.arg(target().join("release/filmtrip"))
        .arg(root().join(".tools/node_modules/sharp"))
        .arg(target().join("bench-images"));
    run(&mut c)
}
