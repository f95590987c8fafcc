//! The official SDKs against the emulator: if they are content, so will be programs written for Upyun.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail the test")]
mod common;

use std::path::Path;
use std::process::Command;

use common::{BUCKET, OPERATOR, PASSWORD, config, jpeg, suite, tool};
use safelight_upyun_emulator::Emulator;

/// A clean environment: no proxies, no home with settings.
fn command(program: &str, script: &str, sdk: &Path, emulator: &Emulator, folder: &Path) -> Command {
    let picture = folder.join("picture.jpg");
    std::fs::write(&picture, jpeg(500, 333)).unwrap();
    let endpoint = emulator.api_endpoint();
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", folder)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .current_dir(folder)
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sdk").join(script))
        .arg(sdk)
        .arg(endpoint.strip_prefix("http://").unwrap())
        .args([BUCKET, OPERATOR, PASSWORD])
        .arg(picture)
        .arg(folder);
    command
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn official_node_sdk_works_against_the_emulator() {
    let sdk = tool("node_modules/upyun", "the npm package upyun");
    let emulator = Emulator::start(config()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let command = command("node", "suite.cjs", &sdk, &emulator, folder.path());
    let steps = tokio::task::spawn_blocking(move || suite(command)).await.unwrap();
    assert_eq!(steps.len(), 26, "{steps:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn official_python_sdk_works_against_the_emulator() {
    let sdk = tool("python/upyun", "the PyPI package upyun");
    let emulator = Emulator::start(config()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let command = command("python3", "suite.py", sdk.parent().unwrap(), &emulator, folder.path());
    let steps = tokio::task::spawn_blocking(move || suite(command)).await.unwrap();
    assert_eq!(steps.len(), 20, "{steps:#?}");
}
