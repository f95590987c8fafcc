//! A PM2 of a test's own, in which an app of somebody else runs.

use crate::processes;
use rustix::process::Signal;
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// PM2 with its own home. What it runs is ended by whoever owns the directory.
pub struct Pm2 {
    home: PathBuf,
    program: PathBuf,
    theirs: Value,
}

impl Pm2 {
    /// Starts it below `dir`, with an app that is not Safelight's.
    ///
    /// # Panics
    /// When PM2 is not installed or does not start.
    #[must_use]
    pub fn with_somebody_else(dir: &Path) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
        let program = root.join(".tools/node_modules/.bin/pm2");
        assert!(program.is_file(), "{} is missing: run `cargo xtask setup`", program.display());
        let mut pm2 = Self { home: dir.join("pm2"), program, theirs: Value::Null };
        pm2.run(&["start", "/bin/sleep", "--name", "theirs", "--", "100000"]);
        pm2.theirs = pm2.theirs_now();
        pm2
    }

    /// Has `command` find this PM2.
    pub fn known_to(&self, command: &mut Command) {
        let tools = self.program.parent().unwrap_or(Path::new("/"));
        let path = std::env::var("PATH").unwrap_or_default();
        command
            .env("PATH", format!("{}:{path}", tools.display()))
            .env("PM2_HOME", &self.home)
            .env("PM2_DISCRETE_MODE", "true");
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut c = Command::new(&self.program);
        c.args(args).current_dir("/").stdin(Stdio::null());
        self.known_to(&mut c);
        c
    }

    /// Runs `pm2`, which has to succeed, and returns what it prints.
    ///
    /// # Panics
    /// When it fails.
    #[track_caller]
    pub fn run(&self, args: &[&str]) -> String {
        let out = self.command(args).output().expect("pm2 starts");
        let said = String::from_utf8_lossy(&out.stdout).into_owned();
        assert!(
            out.status.success(),
            "pm2 {}: {said}{}",
            args.join(" "),
            String::from_utf8_lossy(&out.stderr)
        );
        said
    }

    /// Ends it and all that it runs. Errors do not matter.
    pub fn end(&self) {
        let _ = self.command(&["kill"]).output();
    }

    /// What it lists: name, number, process id, restarts and state of each app.
    ///
    /// # Panics
    /// When it prints no list.
    #[must_use]
    pub fn list(&self) -> Vec<Value> {
        let said = self.run(&["jlist"]);
        let line = said.lines().find(|l| l.starts_with("[{") || *l == "[]").expect("a list");
        let all: Vec<Value> = serde_json::from_str(line).expect("JSON");
        let short = |e: &Value| {
            serde_json::json!({
                "name": e["name"], "id": e["pm_id"], "pid": e["pid"],
                "restarts": e["pm2_env"]["restart_time"], "state": e["pm2_env"]["status"],
            })
        };
        all.iter().map(short).collect()
    }

    fn theirs_now(&self) -> Value {
        self.list().into_iter().find(|e| e["name"] == "theirs").unwrap_or_default()
    }

    /// Names of Safelight's apps in it that are online.
    ///
    /// # Panics
    /// When it prints no list.
    #[must_use]
    pub fn online(&self) -> Vec<String> {
        let ours = |e: &&Value| e["name"] != "theirs" && e["state"] == "online";
        self.list().iter().filter(ours).map(|e| e["name"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// The other user of this PM2 was left alone.
    ///
    /// # Panics
    /// When that is not so.
    #[track_caller]
    pub fn left_somebody_else_alone(&self) {
        assert_eq!(self.theirs_now(), self.theirs, "somebody else's app was touched");
        assert_eq!(self.theirs["state"], "online");
    }

    /// The other user of this PM2 was left alone, and it holds exactly these other apps.
    ///
    /// # Panics
    /// When that is not so.
    #[track_caller]
    pub fn holds_exactly(&self, ours: &[String]) {
        self.left_somebody_else_alone();
        let mut names: Vec<String> =
            self.list().iter().filter_map(|e| e["name"].as_str().map(str::to_owned)).collect();
        names.retain(|n| n != "theirs");
        names.sort();
        assert_eq!(names, ours);
    }

    /// Kills its daemon, as the kernel does when memory runs out. The apps go on without it.
    ///
    /// # Panics
    /// When it does not end.
    pub fn daemon_is_killed(&self) {
        let pid = fs::read_to_string(self.home.join("pm2.pid")).expect("pm2.pid");
        let pid: u32 = pid.trim().parse().expect("a number");
        processes::kill(pid, Signal::KILL);
        let until = Instant::now() + Duration::from_secs(10);
        while processes::alive(pid) {
            assert!(Instant::now() < until, "the daemon of PM2 lives on");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
