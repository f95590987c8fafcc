//! A PostgreSQL server of a test's own, in a temporary folder, gone with the test.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// A server with one empty database.
pub(crate) struct Postgres {
    dir: TempDir,
    port: u16,
    child: Mutex<Option<Child>>,
}

/// PostgreSQL refuses to run as root.
fn as_other_user() -> bool {
    rustix::process::geteuid().is_root()
}

fn programs() -> PathBuf {
    let found = std::fs::read_dir("/usr/lib/postgresql").map(|entries| {
        entries.flatten().map(|e| e.path().join("bin")).filter(|p| p.join("postgres").is_file()).max()
    });
    found.ok().flatten().expect("PostgreSQL is missing: `cargo xtask setup` installs it")
}

/// A command that ends with this process, and as somebody who may run PostgreSQL.
fn command(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "QUIT"]);
    if as_other_user() {
        command.args(["--reuid=nobody", "--regid=nogroup", "--clear-groups"]);
    }
    command.arg(program).stdin(Stdio::null()).stdout(Stdio::null());
    command
}

impl Postgres {
    /// A new server, listening.
    pub(crate) fn start() -> Self {
        let dir = tempfile::tempdir().expect("temporary folder");
        if as_other_user() {
            let given = Command::new("chown").arg("nobody:nogroup").arg(dir.path()).status().expect("chown");
            assert!(given.success(), "chown");
        }
        let data = dir.path().join("data");
        let init = command(&programs().join("initdb"))
            .args(["--auth=trust", "--username=film", "--encoding=UTF8", "--locale=C", "--no-sync", "-D"])
            .arg(&data)
            .output()
            .expect("initdb");
        assert!(init.status.success(), "initdb: {}", String::from_utf8_lossy(&init.stderr));
        // Free a moment ago; should somebody else take it, the server says so and the test fails by name.
        let free = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let port = free.local_addr().expect("address").port();
        drop(free);
        let server = Self { dir, port, child: Mutex::new(None) };
        server.run();
        server
    }

    /// Starts the server (again) and waits until it answers.
    pub(crate) fn run(&self) {
        let log = std::fs::File::create(self.dir.path().join("log")).expect("log");
        let child = command(&programs().join("postgres"))
            .arg("-D")
            .arg(self.dir.path().join("data"))
            .args([
                "-c",
                "fsync=off",
                "-c",
                "listen_addresses=127.0.0.1",
                "-c",
                "shared_buffers=16MB",
                "-k",
                "",
            ])
            .args(["-p", &self.port.to_string()])
            .stderr(log)
            .spawn()
            .expect("postgres");
        *self.child.lock().expect("lock") = Some(child);
        let start = Instant::now();
        let url = format!("postgres://film@127.0.0.1:{}/postgres", self.port);
        let url = filmtrip::db::DatabaseUrl::parse(&url).expect("url");
        while let Err(e) = filmtrip::db::open(&url, false, Duration::from_secs(2)) {
            let log = std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
            assert!(start.elapsed() < Duration::from_secs(20), "PostgreSQL does not start: {e}\n{log}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Stops the server at once, as a crash would.
    pub(crate) fn stop(&self) {
        let Some(mut child) = self.child.lock().expect("lock").take() else { return };
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::QUIT).expect("SIGQUIT");
        child.wait().expect("reap");
    }

    /// The address of the database.
    pub(crate) fn url(&self) -> String {
        format!("postgres://film@127.0.0.1:{}/postgres?sslmode=disable", self.port)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.stop();
    }
}
