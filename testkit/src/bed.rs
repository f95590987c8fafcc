//! A production of its own for one test: host daemon, proxy and an app of two services, with the real programs, on
//! loopback, below one temporary directory. Everything is ended and removed when the test is over.

pub use crate::command::{Background, Said};
use crate::{
    pm2::Pm2,
    processes,
    traffic::{Counts, Plan, Traffic},
};
use serde_json::Value;
use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

mod state;

/// The host name that users of the test's app type.
pub const HOST: &str = "shop.localhost";
/// The host name that reaches a new release before users do.
pub const TEST_HOST: &str = "test.shop.localhost";
/// Longest time for anything that a test waits for.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// What a release of the test's app is.
#[derive(Clone, Debug)]
pub struct Release<'a> {
    /// Content of `VERSION`, shown on every page.
    pub version: &'a str,
    /// Schema that its migration leads to.
    pub schema: u32,
    /// Lines of its environment file.
    pub env: &'a [&'a str],
}

impl<'a> Release<'a> {
    /// A good release.
    #[must_use]
    pub fn new(version: &'a str, schema: u32) -> Self {
        Self { version, schema, env: &[] }
    }

    /// With lines in its environment file.
    #[must_use]
    pub fn with_env(mut self, env: &'a [&'a str]) -> Self {
        self.env = env;
        self
    }
}

/// The test-bed.
pub struct Bed {
    dir: tempfile::TempDir,
    home: PathBuf,
    bin: PathBuf,
    port: u16,
    daemon: Option<Child>,
    traffic: Option<Traffic>,
    runtime: tokio::runtime::Runtime,
    config: Vec<(String, String)>,
    pm2: Option<Pm2>,
}

/// The directory of built programs: that of the test itself, one up from `deps`.
///
/// # Panics
/// When one is not there.
#[must_use]
pub fn programs() -> PathBuf {
    let exe = std::env::current_exe().expect("the test finds its own program");
    let dir =
        exe.parent().and_then(Path::parent).expect("a test lives in target/<profile>/deps").to_path_buf();
    for program in ["safelight", "safelight-test-app"] {
        assert!(
            dir.join(program).is_file(),
            "{} is not built: run `cargo build --workspace --bins` first (`cargo xtask test` does)",
            dir.join(program).display()
        );
    }
    dir
}

/// A port that nobody uses: above the private ones of releases, below those that the kernel gives to clients.
fn free_port() -> u16 {
    let seed = std::process::id().wrapping_mul(2_654_435_761) >> 8;
    let ports = (0..2700_u32).map(|i| 30_000 + ((seed + i * 7) % 2700) as u16);
    ports
        .into_iter()
        .find(|p| TcpListener::bind(("127.0.0.1", *p)).is_ok())
        .expect("one port between 30000 and 32700 is free")
}

impl Bed {
    /// Makes the directories and starts the daemon and the proxy. Nothing is deployed yet.
    ///
    /// # Panics
    /// When a program is not built or does not start.
    #[must_use]
    pub fn new() -> Self {
        let bed = Self::cold();
        bed.start_daemon()
    }

    /// Without the daemon.
    ///
    /// # Panics
    /// When a program is not built.
    #[must_use]
    pub fn cold() -> Self {
        // A short path: unix sockets allow 107 bytes.
        let base = Some(std::env::temp_dir()).filter(|d| d.as_os_str().len() < 40).unwrap_or("/tmp".into());
        let dir = tempfile::Builder::new().prefix("sl-").tempdir_in(base).expect("a temporary directory");
        let home = dir.path().join("h");
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime for the traffic");
        let bed = Self {
            home,
            bin: programs(),
            port: free_port(),
            daemon: None,
            traffic: None,
            runtime,
            config: Vec::new(),
            pm2: None,
            dir,
        };
        fs::create_dir_all(bed.project().join("app")).expect("the project");
        fs::create_dir_all(bed.faults()).expect("the fault directory");
        bed.write("site.hurl", "GET {{base_url}}/\nHTTP 200\n\nGET {{base_url}}/api\nHTTP 200\n");
        bed.write_config();
        bed
    }

    /// The same with its app under a real PM2, which somebody else uses, too.
    ///
    /// # Panics
    /// When PM2 is not installed or does not start.
    #[must_use]
    pub fn under_pm2() -> Self {
        let mut bed = Self::cold();
        bed.pm2 = Some(Pm2::with_somebody_else(bed.dir()));
        bed.configure("process = \"detached\"", "process = \"pm2\"");
        bed.start_daemon()
    }

    /// The PM2 of [`Bed::under_pm2`].
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn pm2(&self) -> &Pm2 {
        self.pm2.as_ref().expect("this bed has no PM2")
    }

    /// The same with another home, say on a small disk.
    ///
    /// # Panics
    /// When the daemon does not start.
    #[must_use]
    pub fn with_home(home: &Path) -> Self {
        let mut bed = Self::cold();
        bed.home = home.to_path_buf();
        bed.start_daemon()
    }

    /// A project of its own for another app on the same host: the daemon and the proxy are those of this bed, which has
    /// to outlive it.
    #[must_use]
    pub fn beside(&self) -> Self {
        let mut bed = Self::cold();
        bed.home.clone_from(&self.home);
        bed.port = self.port;
        bed.write_config();
        bed
    }

    /// The directory of the whole test.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }
    /// `SAFELIGHT_HOME`.
    #[must_use]
    pub fn home(&self) -> &Path {
        &self.home
    }
    /// The directory of `safelight.toml`.
    #[must_use]
    pub fn project(&self) -> PathBuf {
        self.dir.path().join("p")
    }
    /// Where faults are ordered, see `SAFELIGHT_FAULTS`.
    #[must_use]
    pub fn faults(&self) -> PathBuf {
        self.dir.path().join("f")
    }
    /// Where Safelight keeps the app.
    #[must_use]
    pub fn app_dir(&self) -> PathBuf {
        self.home.join("apps/shop.production")
    }
    /// Where the proxy listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// Writes a file of the project.
    ///
    /// # Panics
    /// When that fails.
    pub fn write(&self, name: &str, text: &str) {
        let path = self.project().join(name);
        fs::create_dir_all(path.parent().expect("a file has a directory")).expect("its directory");
        fs::write(&path, text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    }

    /// Replaces text of the configuration from now on.
    ///
    /// # Panics
    /// When the text is not there.
    pub fn configure(&mut self, from: &str, to: &str) {
        assert!(self.config_text().contains(from), "`{from}` is not in the configuration");
        self.config.push((from.to_owned(), to.to_owned()));
        self.write_config();
    }

    /// The configuration as it is.
    #[must_use]
    pub fn config_text(&self) -> String {
        let program = self.bin.join("safelight-test-app");
        let text = include_str!("bed.toml")
            .replace("@APP@", &program.to_string_lossy())
            .replace("@PORT@", &self.port.to_string());
        self.config.iter().fold(text, |t, (from, to)| t.replace(from, to))
    }

    fn write_config(&self) {
        self.write("safelight.toml", &self.config_text());
    }

    /// Puts a release into the project, ready to deploy.
    pub fn prepare(&self, r: &Release<'_>) {
        let program = self.bin.join("safelight-test-app");
        self.write("app/VERSION", r.version);
        self.write("app/migrate.sh", &format!("exec {} migrate {}\n", program.display(), r.schema));
        let mut env = "APP_REQUIRED=yes\n".to_owned();
        for line in r.env {
            env.push_str(line);
            env.push('\n');
        }
        self.write(".env.production", &env);
    }

    /// `safelight` with these arguments, in the project, with nothing from this test's own environment.
    #[must_use]
    pub fn command(&self, args: &[&str]) -> Command {
        let mut c = Command::new(self.bin.join("safelight"));
        c.args(args)
            .current_dir(self.project())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.dir.path())
            .env("USER", "tester")
            .env("LANG", "en_US.UTF-8")
            .env("SAFELIGHT_HOME", &self.home)
            .env("SAFELIGHT_FAULTS", self.faults())
            .stdin(Stdio::null());
        if let Some(pm2) = &self.pm2 {
            pm2.known_to(&mut c);
        }
        c
    }

    /// Runs it to its end.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn safelight(&self, args: &[&str]) -> Said {
        self.command(args).output().expect("safelight starts").into()
    }

    /// Starts it in the background; its output is read when it has ended.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn background(&self, args: &[&str]) -> Background {
        let mut c = self.command(args);
        let log = |name: &str| {
            let path = self.dir.path().join(format!("{name}-{}", self.port.wrapping_add(fastish())));
            (fs::File::create(&path).expect("a log file"), path)
        };
        let ((out, out_path), (err, err_path)) = (log("out"), log("err"));
        let child = c.stdout(out).stderr(err).spawn().expect("safelight starts");
        Background { child, out: out_path, err: err_path }
    }

    /// Prepares and deploys; the command's end.
    #[must_use]
    pub fn deploy(&self, r: &Release<'_>) -> Said {
        self.prepare(r);
        self.safelight(&["deploy"])
    }

    /// Starts the daemon as a child of the test, without its keeper: killed, it stays dead.
    ///
    /// # Panics
    /// When it does not come up.
    #[must_use]
    pub fn start_daemon(mut self) -> Self {
        self.restart_daemon();
        self
    }

    /// Ends the daemon that runs, if one does, and starts one without a keeper.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn restart_daemon(&mut self) {
        if self.home.exists() {
            let _ = self.safelight(&["host", "stop"]);
        }
        self.reap_daemon();
        fs::create_dir_all(self.home.join("logs")).expect("the log directory");
        let log = fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(self.home.join("logs/host.log"))
            .expect("host.log");
        let listen = self.addr().to_string();
        let child = self
            .command(&["host", "run", "--listen", &listen])
            .stdout(log.try_clone().expect("host.log"))
            .stderr(log)
            .spawn()
            .expect("safelight host run starts");
        self.daemon = Some(child);
        self.wait_until("the daemon and its proxy are up", |b| {
            b.status().is_some_and(|s| s["proxy"]["pid"].is_u64())
        });
    }

    /// Collects the daemon after it was killed.
    pub fn reap_daemon(&mut self) {
        if let Some(mut d) = self.daemon.take() {
            let _ = d.kill();
            let _ = d.wait();
        }
    }

    /// Has the daemon that this test started ended?
    pub fn daemon_died(&mut self) -> bool {
        self.daemon.as_mut().is_none_or(|d| matches!(d.try_wait(), Ok(Some(_))))
    }

    /// Waits until the daemon has died at a point where that was ordered, and reaps it.
    ///
    /// # Panics
    /// When it does not.
    #[track_caller]
    pub fn daemon_dies_at(&mut self, point: &str, cli: &Background) {
        let until = Instant::now() + PATIENCE;
        while !self.daemon_died() {
            assert!(Instant::now() < until, "the run never came to {point}; it said:\n{}", cli.so_far());
            std::thread::sleep(Duration::from_millis(5));
        }
        self.reap_daemon();
    }

    /// `safelight status --format json`; `None` while the daemon does not answer.
    #[must_use]
    pub fn status(&self) -> Option<Value> {
        let said = self.safelight(&["status", "--format", "json"]);
        if said.code == Some(0) { serde_json::from_str(&said.out).ok() } else { None }
    }

    /// The app's part of it.
    ///
    /// # Panics
    /// When the daemon does not answer or does not know the app.
    #[must_use]
    pub fn app(&self) -> Value {
        let status = self.status().expect("the daemon answers");
        status["apps"][0].clone()
    }

    /// Waits for something.
    ///
    /// # Panics
    /// When it does not come.
    #[track_caller]
    pub fn wait_until(&self, what: &str, is: impl Fn(&Self) -> bool) {
        let until = Instant::now() + PATIENCE;
        while !is(self) {
            assert!(
                Instant::now() < until,
                "{what}: not within {} s\n{}",
                PATIENCE.as_secs(),
                self.host_log()
            );
            std::thread::sleep(Duration::from_millis(15));
        }
    }

    /// The end of the daemon's log.
    #[must_use]
    pub fn host_log(&self) -> String {
        let text = fs::read_to_string(self.home.join("logs/host.log")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }

    /// Status and body of one GET through the proxy; `None` when nothing answered.
    #[must_use]
    pub fn get(&self, host: &str, path: &str) -> Option<(u16, String)> {
        self.request("GET", host, path)
    }

    /// The same with another method.
    #[must_use]
    pub fn request(&self, method: &str, host: &str, path: &str) -> Option<(u16, String)> {
        let mut tcp = TcpStream::connect(self.addr()).ok()?;
        tcp.set_read_timeout(Some(Duration::from_secs(20))).ok()?;
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
        );
        tcp.write_all(head.as_bytes()).ok()?;
        let mut answer = Vec::new();
        tcp.read_to_end(&mut answer).ok()?;
        let text = String::from_utf8_lossy(&answer).into_owned();
        let status = text.split(' ').nth(1)?.parse().ok()?;
        Some((status, text.split_once("\r\n\r\n").map(|(_, b)| b.to_owned()).unwrap_or_default()))
    }

    /// Users come, and stay until [`Bed::traffic_ends`].
    pub fn traffic_begins(&mut self) {
        let plan = Plan {
            addr: self.addr(),
            host: HOST.to_owned(),
            paths: vec!["/".to_owned(), "/api".to_owned()],
            keep_alive: 2,
            fresh: 1,
            slow: 1,
            upload: None,
            uploaders: 0,
            long: Default::default(),
            pause: Duration::from_millis(25),
        };
        let _inside = self.runtime.enter();
        self.traffic = Some(Traffic::start(plan, "all"));
    }

    /// Counts from now on stand under this name.
    pub fn mark(&self, name: &str) {
        if let Some(t) = &self.traffic {
            t.mark(name);
        }
    }

    /// Counts so far.
    #[must_use]
    pub fn counts(&self) -> Vec<(String, Counts)> {
        self.traffic.as_ref().map(Traffic::counts).unwrap_or_default()
    }

    /// Users leave; what came of their requests.
    pub fn traffic_ends(&mut self) -> Vec<(String, Counts)> {
        self.traffic.take().map(|t| self.runtime.block_on(t.finish())).unwrap_or_default()
    }

    /// Users leave, and none of them has seen a failure.
    ///
    /// # Panics
    /// When one has, or none came.
    #[track_caller]
    pub fn nobody_was_failed(&mut self) {
        let counts = self.traffic_ends();
        let sent: u64 = counts.iter().map(|(_, c)| c.sent).sum();
        assert!(sent > 10, "hardly any traffic: {sent} requests");
        for (mark, c) in counts {
            assert_eq!(c.failed, 0, "{mark}: {} of {} requests failed: {:#?}", c.failed, c.sent, c.samples);
        }
    }

    /// Orders what happens at a point of the run: `kill` or `pause`.
    ///
    /// # Panics
    /// When the order cannot be written.
    pub fn order(&self, point: &str, what: &str) {
        fs::write(self.faults().join(point.replace(':', "_")), what).expect("the order");
    }

    /// Takes the order back: a paused run goes on.
    pub fn release(&self, point: &str) {
        let _ = fs::remove_file(self.faults().join(point.replace(':', "_")));
    }

    /// The points that runs have come by since the last [`Bed::forget_points`].
    #[must_use]
    pub fn points(&self) -> Vec<String> {
        let text = fs::read_to_string(self.faults().join("points")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Begins a new list of points.
    pub fn forget_points(&self) {
        let _ = fs::remove_file(self.faults().join("points"));
    }
}

impl Default for Bed {
    fn default() -> Self {
        Self::new()
    }
}

/// A number that differs between two calls of one test.
fn fastish() -> u16 {
    static NEXT: std::sync::atomic::AtomicU16 = std::sync::atomic::AtomicU16::new(0);
    NEXT.fetch_add(1, std::sync::atomic::Ordering::SeqCst)
}

impl Drop for Bed {
    fn drop(&mut self) {
        // Visitors end with the runtime; the rest is told to end, shims first of all by their own SIGTERM.
        self.traffic = None;
        self.reap_daemon();
        processes::end_below(self.dir.path());
        if !self.home.starts_with(self.dir.path()) {
            processes::end_below(&self.home);
        }
    }
}
