//! A machine of its own for one app: data directory, PM2 with a foreign app in it, project with a remote, free port.

use safelight_testkit::{
    pm2::Pm2,
    traffic::{Counts, Plan, Traffic},
};
use serde_json::Value;
use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// What a program said.
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e} in {}", self.out))
    }
}

/// The machine.
pub(crate) struct Bed {
    dir: tempfile::TempDir,
    /// Where the proxy listens.
    pub(crate) port: u16,
    safelight: PathBuf,
    /// Its PM2.
    pub(crate) pm2: Pm2,
}

impl Bed {
    /// Makes it, with a foreign app running in its PM2.
    pub(crate) fn new() -> Self {
        let me = std::env::current_exe().unwrap();
        // Test executables lie in `deps`, programs one level above.
        let safelight = me.parent().and_then(Path::parent).unwrap().join("safelight");
        assert!(
            safelight.is_file(),
            "{} is missing: `cargo build -p safelight`, or run `cargo xtask test`",
            safelight.display()
        );
        // Unix sockets allow 107 bytes: not below the long TMPDIR that some have.
        let dir = tempfile::Builder::new().prefix("sl-").tempdir_in("/tmp").unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let pm2 = Pm2::with_somebody_else(dir.path());
        let bed = Self { dir, port, safelight, pm2 };
        fs::create_dir_all(bed.project()).unwrap();
        bed
    }

    /// Directory of the app's sources.
    pub(crate) fn project(&self) -> PathBuf {
        self.dir.path().join("app")
    }

    fn run(&self, program: &Path, args: &[&str]) -> Said {
        let mut command = Command::new(program);
        self.pm2.known_to(&mut command);
        let out = command
            .args(args)
            .current_dir(self.project())
            .env("SAFELIGHT_HOME", self.dir.path().join("h"))
            .env("SAFELIGHT_WHO", "tester")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("npm_config_loglevel", "error")
            .env("npm_config_update_notifier", "false")
            .env_remove("LC_ALL")
            .env_remove("NODE_OPTIONS")
            .env("LANG", "C.UTF-8")
            .stdin(Stdio::null())
            .output()
            .unwrap_or_else(|e| panic!("{}: {e}", program.display()));
        Said {
            code: out.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&out.stdout).into_owned(),
            err: String::from_utf8_lossy(&out.stderr).into_owned(),
        }
    }

    /// Runs `safelight` in the project.
    pub(crate) fn safelight(&self, args: &[&str]) -> Said {
        self.run(&self.safelight, args)
    }

    /// The same, and it must end with `code`.
    pub(crate) fn expect(&self, args: &[&str], code: i32) -> Said {
        let began = Instant::now();
        let said = self.safelight(args);
        println!("{:>6} ms  safelight {}", began.elapsed().as_millis(), args.join(" "));
        let log = fs::read_to_string(self.dir.path().join("h/logs/host.log")).unwrap_or_default();
        assert_eq!(
            said.code,
            code,
            "safelight {}\n--- stdout\n{}\n--- stderr\n{}\n--- host.log\n{log}",
            args.join(" "),
            said.out,
            said.err
        );
        said
    }

    /// Runs npm in the project.
    pub(crate) fn npm(&self, args: &[&str]) -> Said {
        self.run(Path::new("npm"), args)
    }

    pub(crate) fn git(&self, args: &[&str]) {
        let who = ["-c", "user.name=Tester", "-c", "user.email=tester@example.com"];
        let said = self.run(Path::new("git"), &[&who, args].concat());
        assert_eq!(said.code, 0, "git {}: {}{}", args.join(" "), said.out, said.err);
    }

    /// Makes the project a git working copy with a remote.
    pub(crate) fn git_init(&self) {
        let origin = self.dir.path().join("origin.git");
        self.git(&["init", "-q", "-b", "main"]);
        self.git(&["init", "-q", "--bare", origin.to_str().unwrap()]);
        self.git(&["remote", "add", "origin", origin.to_str().unwrap()]);
    }

    /// Commits everything, tags it and pushes both.
    pub(crate) fn release(&self, tag: &str) {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "--allow-empty", "-m", tag]);
        self.git(&["tag", "-a", tag, "-m", tag]);
        self.git(&["push", "-q", "origin", "main", tag]);
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.project().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        let path = self.project().join(name);
        fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    }

    /// Replaces a part of a file that has to be there.
    pub(crate) fn edit(&self, name: &str, from: &str, to: &str) {
        let text = self.read(name);
        assert!(text.contains(from), "no {from:?} in {name}:\n{text}");
        self.write(name, &text.replace(from, to));
    }

    /// Shortens the watch to seconds, and accepts the load that other tests make.
    pub(crate) fn hurry(&self, watch: &str) {
        self.edit(
            "safelight.toml",
            "duration = \"1h\"\n",
            &format!("duration = \"{watch}\"\nevery = \"500ms\"\njourneys-every = \"2s\"\n\n[checks]\ncpu-max-percent = 100\nmemory-max-percent = 98\ndisk-min-free = \"1GB\"\ndisk-min-free-percent = 2\n"),
        );
    }

    /// Lets the proxy listen at the test's port.
    pub(crate) fn start_host(&self) {
        self.expect(&["host", "start", "--listen", &format!("127.0.0.1:{}", self.port)], 0);
    }

    /// One request with a body; status and body of the answer.
    pub(crate) fn http(&self, method: &str, host: &str, path: &str, body: &str) -> (u16, String) {
        let mut tcp = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        tcp.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let length = body.len();
        write!(tcp, "{method} {path} HTTP/1.1\r\nhost: {host}:{}\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}", self.port).unwrap();
        let mut answer = String::new();
        tcp.read_to_string(&mut answer).unwrap();
        let status = answer.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
        let body = answer.split_once("\r\n\r\n").map(|(_, b)| b.to_owned()).unwrap_or_default();
        (status, body)
    }

    /// Visitors on kept and on fresh connections.
    pub(crate) fn visitors(&self, host: &str, paths: &[&str]) -> Traffic {
        let plan = Plan {
            addr: SocketAddr::from(([127, 0, 0, 1], self.port)),
            host: format!("{host}:{}", self.port),
            paths: paths.iter().map(|p| (*p).to_owned()).collect(),
            keep_alive: 3,
            fresh: 1,
            slow: 1,
            upload: None,
            uploaders: 0,
            long: Default::default(),
            pause: Duration::from_millis(25),
        };
        Traffic::start(plan, "start")
    }

    /// The release that serves, as `status` tells it: its revision.
    pub(crate) fn serving(&self) -> String {
        let status = self.expect(&["status", "--format", "json"], 0).json();
        status["apps"][0]["current"]["revision"].as_str().unwrap_or_default().to_owned()
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        // Errors do not matter: what is asserted was asserted before.
        let _ = self.safelight(&["host", "stop", "--proxy"]);
        self.pm2.end();
    }
}

/// Nobody was turned away under any mark, and under each there was somebody.
pub(crate) fn assert_nobody_failed(counts: &[(String, Counts)]) {
    let all: Vec<String> = counts
        .iter()
        .map(|(mark, c)| format!("{mark}: {} sent, {} failed {:?}", c.sent, c.failed, c.samples))
        .collect();
    println!("{}", all.join("\n"));
    assert!(counts.iter().all(|(_, c)| c.failed == 0 && c.sent > 0), "{all:#?}");
}

/// The workspace.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Copies a directory into another, without what must not be copied.
pub(crate) fn copy(from: &Path, to: &Path, without: &[&str]) {
    fs::create_dir_all(to).unwrap();
    for e in fs::read_dir(from).unwrap_or_else(|e| panic!("{}: {e}", from.display())) {
        let e = e.unwrap();
        let name = e.file_name();
        if without.iter().any(|w| name == *w) {
            continue;
        }
        if e.file_type().unwrap().is_dir() {
            copy(&e.path(), &to.join(&name), without);
        } else {
            fs::copy(e.path(), to.join(&name)).unwrap();
        }
    }
}
