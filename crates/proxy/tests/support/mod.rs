//! Real processes and sockets for the tests: a proxy, releases that answer in awkward ways, and clients.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

pub mod backend;
pub mod clients;
pub mod tls;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use safelight_proxy::ControlClient;
use safelight_proxy::protocol::{Drain, PutService, RouteMatch, Switch};
use safelight_proxy::table::{Release, Timeouts};

/// A proxy in a process of its own; killed when dropped.
pub struct Proxy {
    pub child: Child,
    pub address: SocketAddr,
    pub control: ControlClient,
}

/// The proxy's files, in a folder that goes away with the test.
pub struct Files {
    folder: tempfile::TempDir,
}

impl Files {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("proxy.sock")
    }

    pub fn routes(&self) -> PathBuf {
        self.folder.path().join("routes.json")
    }

    pub fn log(&self) -> PathBuf {
        self.folder.path().join("proxy.log")
    }
}

/// The example binary, which cargo builds beside the tests.
pub fn program() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let path = tests.parent().unwrap().parent().unwrap().join("examples/proxy");
    assert!(path.exists(), "{} is missing: run `cargo test -p safelight-proxy`", path.display());
    path
}

/// The command that starts a proxy on these files.
pub fn command(files: &Files, address: impl ToString, options: &[(&str, &str)]) -> Command {
    let mut command = Command::new(program());
    let log = std::fs::OpenOptions::new().create(true).append(true).open(files.log()).unwrap();
    command
        .args([files.socket(), files.routes()])
        .arg(address.to_string())
        .envs(options.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log);
    command
}

impl Proxy {
    pub async fn start(files: &Files) -> Self {
        Self::start_with(files, "127.0.0.1:0".parse().unwrap(), &[]).await
    }

    pub async fn start_with(files: &Files, address: SocketAddr, options: &[(&str, &str)]) -> Self {
        Self::spawn(files, command(files, address, options)).await
    }

    pub async fn spawn(files: &Files, mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let control = ControlClient::new(files.socket());
        let started = Instant::now();
        let address = loop {
            match control.state().await {
                Ok(state) if state.pid == child.id() => break state.listen[0],
                _ => {}
            }
            let status = child.try_wait().unwrap();
            let log = || std::fs::read_to_string(files.log()).unwrap_or_default();
            assert!(status.is_none(), "the proxy ended with {status:?}: {}", log());
            assert!(started.elapsed() < Duration::from_secs(20), "the proxy did not start: {}", log());
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        Self { child, address, control }
    }

    /// Sends SIGTERM and waits for the end.
    pub async fn stop(&mut self) -> std::process::ExitStatus {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        self.ended().await
    }

    /// Waits for the end.
    pub async fn ended(&mut self) -> std::process::ExitStatus {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(started.elapsed() < Duration::from_secs(40), "the proxy does not end");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Routes any host and path of app `shop` to service `web` at this release.
    pub async fn route(&self, version: &str, target: SocketAddr) {
        self.control.put("shop", "web", &service(version, target)).await.unwrap();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn release(version: &str, target: SocketAddr) -> Release {
    Release { version: version.into(), targets: vec![target] }
}

pub fn service(version: &str, target: SocketAddr) -> PutService {
    PutService {
        routes: vec![RouteMatch::new("*", "/")],
        stable: release(version, target),
        token: None,
        timeouts: Timeouts::default(),
        split_cookie: None,
        certificates: Vec::new(),
        replaces: Vec::new(),
        drain: Drain::default(),
    }
}

pub fn switch(version: &str, target: SocketAddr) -> Switch {
    Switch { to: release(version, target), then_candidate: None, probe: None, drain: Drain::default() }
}

/// Waits until something is so.
pub async fn until<F: AsyncFn() -> bool>(what: &str, so: F) {
    let started = Instant::now();
    while !so().await {
        assert!(started.elapsed() < Duration::from_secs(10), "never happened: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Resident memory of a process in KiB.
pub fn rss_kib(pid: u32) -> u64 {
    let text = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("status")).unwrap();
    let line = text.lines().find(|l| l.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
