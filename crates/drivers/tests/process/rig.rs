//! Shared by the tests of process managers: a place of its own for each test, cleaned up whatever happens.

use safelight_drivers::{
    host::LocalHost,
    process::{Detached, LogLimits, Pm2},
};
use safelight_engine::driver::process::{ProcessManager, ProcessSpec};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

/// A process manager with a directory of its own.
pub(crate) struct Rig {
    dir: tempfile::TempDir,
    pub(crate) manager: Box<dyn ProcessManager>,
}

/// The program of PM2 that `cargo xtask setup` installs.
pub(crate) fn pm2_program() -> PathBuf {
    let program = workspace().join(".tools/node_modules/.bin/pm2");
    assert!(
        program.exists(),
        "{} is missing: install it with `cargo xtask setup` (or `npm install --prefix .tools pm2@7`)",
        program.display()
    );
    program
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

impl Rig {
    pub(crate) fn detached() -> Self {
        Self::detached_with(LogLimits::default())
    }

    pub(crate) fn detached_with(logs: LogLimits) -> Self {
        let dir = tempfile::Builder::new().prefix("sl-proc").tempdir().unwrap();
        let shim = vec![env!("CARGO_BIN_EXE_safelight-shim").to_owned()];
        let manager = Detached::new(dir.path().join("run"), shim).with_logs(logs);
        Self { dir, manager: Box::new(manager) }
    }

    pub(crate) fn pm2() -> Self {
        let dir = tempfile::Builder::new().prefix("sl-proc").tempdir().unwrap();
        let program = pm2_program().display().to_string();
        let manager = Pm2::new(LocalHost::new(), program, Some(dir.path().join("pm2")));
        Self { dir, manager: Box::new(manager) }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A second instance of the same manager, as after a restart of the host daemon.
    pub(crate) fn again(&self) -> Box<dyn ProcessManager> {
        if self.manager.kind() == "pm2" {
            let program = pm2_program().display().to_string();
            Box::new(Pm2::new(LocalHost::new(), program, Some(self.path("pm2"))))
        } else {
            let shim = vec![env!("CARGO_BIN_EXE_safelight-shim").to_owned()];
            Box::new(Detached::new(self.path("run"), shim))
        }
    }

    /// A shell app; `mode` as in `fixtures/app.sh`.
    pub(crate) fn spec(&self, name: &str, mode: &str) -> ProcessSpec {
        let mut env = BTreeMap::new();
        for (key, value) in [
            ("PATH", std::env::var("PATH").unwrap()),
            ("RIG", self.dir.path().display().to_string()),
            ("DUMP_TO", self.dump(name).display().to_string()),
            ("MODE", mode.to_owned()),
            ("PORT", "4711".to_owned()),
        ] {
            env.insert(key.to_owned(), value);
        }
        ProcessSpec {
            name: name.to_owned(),
            argv: vec![fixture("app.sh").display().to_string()],
            cwd: self.dir.path().to_owned(),
            env,
            log_dir: self.path("logs"),
            stop_timeout: Duration::from_secs(5),
        }
    }

    /// Where the app writes its environment.
    pub(crate) fn dump(&self, name: &str) -> PathBuf {
        self.path(&format!("{name}.dump"))
    }

    /// Ids of all processes that belong to this rig: the shims and PM2 by their command line, apps by a variable.
    pub(crate) fn processes(&self) -> Vec<(u32, String)> {
        let mine = self.dir.path().display().to_string();
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse::<u32>().ok()) else { continue };
            let text = |file: &str| {
                String::from_utf8_lossy(&fs::read(entry.path().join(file)).unwrap_or_default()).into_owned()
            };
            let cmdline = text("cmdline");
            if pid != std::process::id() && (cmdline.contains(&mine) || text("environ").contains(&mine)) {
                found.push((pid, cmdline));
            }
        }
        found
    }

    /// Processes that run the test app under `name`.
    pub(crate) fn apps(&self, name: &str) -> Vec<u32> {
        let dump = format!("DUMP_TO={}\0", self.dump(name).display());
        self.processes()
            .into_iter()
            .map(|(pid, _)| pid)
            .filter(|pid| {
                let env = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
                String::from_utf8_lossy(&env).contains(&dump)
            })
            // The app itself leads its group; what it forks does not.
            .filter(|pid| safelight_drivers::host::proc::stat(*pid).is_some_and(|s| s.group == *pid))
            .collect()
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        if self.manager.kind() == "pm2" {
            let _ = Command::new(pm2_program()).arg("kill").env("PM2_HOME", self.path("pm2")).output();
        }
        // Shims before apps, so that none is started again; twice, for those that were just being started.
        for _ in 0..2 {
            let mut all = self.processes();
            all.sort_by_key(|(_, cmdline)| !cmdline.contains("safelight-shim"));
            for (pid, _) in all {
                kill(pid, "KILL");
            }
        }
    }
}

pub(crate) fn kill(pid: u32, signal: &str) {
    let _ = Command::new("kill").args([&format!("-{signal}"), &pid.to_string()]).output();
}

/// Waits until `what` gives something; fails the test after 15 s.
pub(crate) async fn until<T>(why: &str, mut what: impl AsyncFnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(value) = what().await {
            return value;
        }
        assert!(begin.elapsed() < Duration::from_secs(15), "gave up waiting: {why}");
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
}
