//! `cargo xtask bench`: the figures, beside a peer in the same run. Ratios and medians; these machines are noisy.

use crate::{Outcome, cargo, root, run, setup, target};

/// Runs one benchmark, or all. `rest`: its own arguments.
pub(crate) fn run_one(which: &str, rest: &[String]) -> Outcome {
    match which {
        "judge" => judge(),
        "proxy" => proxy(),
        "switch" => switch(rest.first().map(String::as_str)),
        "deploy" => crate::demo::figures(),
        "images" => images(),
        "list" => list(),
        "all" => {
            judge()?;
            proxy()?;
            switch(None)?;
            images()?;
            list()?;
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
    let proxy = ["--release", "--quiet", "--package", "safelight-proxy"];
    // What is measured is a process of its own.
    run(&mut cargo(&[&["build"][..], &proxy, &["--example", "proxy"]].concat()))?;
    run(&mut cargo(&[&["run"][..], &proxy, &["--example", "bench"]].concat()))
}

/// Failed requests over repeated exchanges of a release under load, beside `pm2 reload` and a reload of nginx.
fn switch(exchanges: Option<&str>) -> Outcome {
    if exchanges.is_some_and(|n| n.parse::<usize>().map_or(true, |n| n == 0)) {
        return Err("how many exchanges? for example `cargo xtask bench switch 200`".to_owned());
    }
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
    c.arg(target().join("release/safelight"))
        .arg(root().join(".tools/node_modules/.bin/pm2"))
        .args(exchanges);
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

/// FilmTrip's list of photos and front page, beside a plain nginx that serves the same bytes from a file.
fn list() -> Outcome {
    setup::for_bench()?;
    let filmtrip = ["--release", "--quiet", "--package", "filmtrip"];
    run(&mut cargo(&[&["build"][..], &filmtrip, &["--bin", "filmtrip"]].concat()))?;
    let mut c = cargo(&[&["run"][..], &filmtrip, &["--example", "bench_list", "--"]].concat());
    run(c.arg(target().join("release/filmtrip")))
}
