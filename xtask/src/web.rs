//! FilmTrip's scripts: TypeScript, bundled into files that git keeps, so that a build needs Rust only.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Outcome, root, run, setup, target};

/// The bundles: one for all pages with photos, one for the studio, one for the map.
const BUNDLES: [&str; 3] = ["site", "studio", "map"];

fn home() -> PathBuf {
    root().join("apps/filmtrip/web")
}

fn tool(name: &str) -> Command {
    let mut c = Command::new(root().join(".tools/node_modules/.bin").join(name));
    c.current_dir(home());
    c
}

/// Builds the scripts into `apps/filmtrip/web/dist`.
pub(crate) fn build() -> Outcome {
    setup::for_web()?;
    bundle(&home().join("dist"))
}

fn bundle(into: &Path) -> Outcome {
    let mut c = tool("esbuild");
    c.args(BUNDLES.map(|name| format!("src/{name}.ts")))
        .args([
            "--bundle",
            "--minify",
            "--format=esm",
            "--target=es2022",
            "--charset=utf8",
            "--log-level=warning",
        ])
        .arg(format!("--outdir={}", into.display()));
    run(&mut c)
}

/// Types are right, and what git keeps is what the sources make.
pub(crate) fn check() -> Outcome {
    setup::for_web()?;
    run(tool("tsc").args(["--noEmit", "-p", "."]))?;
    let fresh = target().join("web-check");
    bundle(&fresh)?;
    for name in BUNDLES {
        let file = format!("{name}.js");
        let read = |folder: &Path| fs::read(folder.join(&file)).map_err(|e| format!("{file}: {e}"));
        if read(&fresh)? != read(&home().join("dist"))? {
            return Err(format!(
                "apps/filmtrip/web/dist/{file} is not what its sources make; run `cargo xtask web`"
            ));
        }
    }
    Ok(())
}

/// Unit tests of the scripts' logic, by node's own runner.
pub(crate) fn test() -> Outcome {
    setup::for_web()?;
    let into = target().join("web-tests");
    let tests = sorted(&home().join("test"), ".test.mjs")?;
    let mut c = tool("esbuild");
    c.args(&tests)
        .args([
            "--bundle",
            "--format=esm",
            "--platform=node",
            "--log-level=warning",
            "--out-extension:.js=.mjs",
        ])
        .arg(format!("--outdir={}", into.display()));
    run(&mut c)?;
    let mut node = Command::new("node");
    node.arg("--test").args(tests.iter().filter_map(|t| t.file_name()).map(|name| into.join(name)));
    let output = node.output().map_err(|e| format!("node: {e}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let count = |word: &str| {
        text.lines().find_map(|l| {
            l.trim_start_matches(['#', 'ℹ', ' ']).strip_prefix(word)?.trim().parse::<u32>().ok()
        })
    };
    let (Some(passed), Some(failed)) = (count("pass "), count("fail ")) else {
        return Err(format!(
            "node --test said no counts:\n{text}{}",
            String::from_utf8_lossy(&output.stderr)
        ));
    };
    if !output.status.success() {
        print!("{text}");
    }
    println!("FilmTrip's scripts: {passed} passed, {failed} failed");
    if output.status.success() && passed > 0 {
        Ok(())
    } else {
        Err("tests of FilmTrip's scripts failed".to_owned())
    }
}

fn sorted(folder: &Path, ending: &str) -> Result<Vec<PathBuf>, String> {
    let entries = fs::read_dir(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let mut files: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.to_string_lossy().ends_with(ending))
        .collect();
    files.sort();
    Ok(files)
}
