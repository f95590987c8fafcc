//! The demo: a production of its own on loopback, four releases of FilmTrip, real traffic all the while.
//! The faults are what goes wrong in life: a wrong image host in the environment, and a limit set too low.

use crate::{Outcome, cargo, root, run, setup, target};
use std::{
    fs,
    io::Write as _,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

const PASSWORD: &str = "a-long-demo-password-1";
const EMAIL: &str = "demo@example.com";

struct Demo {
    dir: PathBuf,
    project: PathBuf,
    bin: PathBuf,
    port: u16,
    traffic: Option<Child>,
    fast: bool,
}

/// How long the fast demo is meant to take, at most.
const FAST: Duration = Duration::from_secs(60);

/// The demo with programs that are built already.
pub(crate) fn play_built() -> Outcome {
    let mut demo = Demo::prepare(true)?;
    let result = demo.play();
    demo.close(false);
    result
}

/// Runs the demo.
pub(crate) fn run_demo(fast: bool, keep: bool) -> Outcome {
    setup::for_build()?;
    println!("building Safelight and FilmTrip");
    run(&mut cargo(&[
        "build",
        "--quiet",
        "--package",
        "safelight",
        "--package",
        "filmtrip",
        "--package",
        "safelight-testkit",
        "--bins",
    ]))?;
    let mut demo = Demo::prepare(fast)?;
    let result = demo.play();
    demo.close(keep);
    result
}

impl Demo {
    fn prepare(fast: bool) -> Result<Self, String> {
        // A short path: unix sockets allow 107 bytes.
        let dir = std::env::temp_dir().join(format!("safelight-demo-{}", std::process::id()));
        let project = dir.join("filmtrip");
        fs::create_dir_all(project.join("app")).map_err(|e| format!("{}: {e}", project.display()))?;
        let port =
            TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).map_err(|e| e.to_string())?.port();
        let demo = Self { dir, project, bin: target().join("debug"), port, traffic: None, fast };
        demo.write_project()?;
        Ok(demo)
    }

    fn write(&self, name: &str, text: &str) -> Outcome {
        let path = self.project.join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(|e| e.to_string())?;
        }
        fs::write(&path, text).map_err(|e| format!("{}: {e}", path.display()))
    }

    fn write_project(&self) -> Outcome {
        let watch = if self.fast { 6 } else { 20 };
        let toml = include_str!("demo.toml")
            .replace("@PORT@", &self.port.to_string())
            .replace("@WATCH@", &watch.to_string());
        self.write("safelight.toml", &toml)?;
        let journeys = root().join("apps/filmtrip/journeys");
        for e in fs::read_dir(&journeys).map_err(|e| format!("{}: {e}", journeys.display()))?.flatten() {
            if e.path().extension().is_some_and(|x| x == "hurl") {
                let to = self.project.join("journeys").join(e.file_name());
                fs::create_dir_all(self.project.join("journeys")).map_err(|e| e.to_string())?;
                fs::copy(e.path(), &to).map_err(|e| format!("{}: {e}", to.display()))?;
            }
        }
        let photo = self.project.join("journeys/test-photo.jpg");
        run(Command::new(self.bin.join("filmtrip"))
            .args(["make-photo", "--width", "900", "--height", "600", "--out"])
            .arg(&photo)
            .stdout(Stdio::null()))?;
        fs::copy(self.bin.join("filmtrip"), self.project.join("app/filmtrip"))
            .map_err(|e| format!("app/filmtrip: {e}"))?;
        self.env(&[])
    }

    /// The environment file of the next release.
    fn env(&self, extra: &[&str]) -> Outcome {
        let mut text = format!("FILMTRIP_ADMIN_EMAIL={EMAIL}\nFILMTRIP_ADMIN_PASSWORD={PASSWORD}\n");
        extra.iter().for_each(|l| {
            text.push_str(l);
            text.push('\n');
        });
        self.write(".env.production", &text)
    }

    /// The migration script of the next release: up to a schema version.
    fn release(&self, version: &str, schema: u32) -> Outcome {
        self.write("app/VERSION", version)?;
        self.write(
            "app/migrate.sh",
            &format!("set -e\n./filmtrip migrate --to {schema}\n./filmtrip admin create --email \"$FILMTRIP_ADMIN_EMAIL\" 2>/dev/null || echo the admin is there already\n"),
        )
    }

    fn safelight(&self, args: &[&str]) -> Result<i32, String> {
        let mut c = Command::new(self.bin.join("safelight"));
        c.args(args).current_dir(&self.project).env("SAFELIGHT_HOME", self.dir.join("host"));
        c.status().map(|s| s.code().unwrap_or(-1)).map_err(|e| format!("safelight: {e}"))
    }

    fn play(&mut self) -> Outcome {
        let began = Instant::now();
        let listen = format!("127.0.0.1:{}", self.port);
        say(
            "A production of its own",
            &format!("http://filmtrip.localhost:{}, everything below {}", self.port, self.dir.display()),
        );
        self.expect(&["host", "start", "--listen", &listen], 0)?;

        say("v1", "the first release: schema 4, two services, backend before frontend");
        self.release("v1", 4)?;
        self.expect(&["deploy"], 0)?;
        self.start_traffic()?;
        self.mark("+day");
        self.mark("v1 serves");
        std::thread::sleep(Duration::from_secs(if self.fast { 1 } else { 4 }));

        say("v2", "a good release with a schema migration, under traffic");
        self.release("v2", 5)?;
        self.mark("v2 deploys and serves");
        self.expect(&["deploy"], 0)?;

        say("v3", "answers its health check, but its photos point at a host that does not exist");
        self.release("v3", 5)?;
        self.env(&["FILMTRIP_IMAGE_BASE_URL=http://img.filmtrip.invalid"])?;
        self.mark("v3 is stopped before any user meets it");
        self.expect(&["deploy"], 3)?;
        self.fell_in("v3", "dark test")?;

        say("v4", "passes every test in the quiet of the night; a limit is set too low for the day");
        self.release("v4", 5)?;
        // Five visitors and a journey at night, on however slow a machine: the limit is never met before the crowd.
        self.env(&["FILMTRIP_MAX_IN_FLIGHT=6"])?;
        self.mark("-");
        self.mark("v4 deploys and serves at night");
        self.expect(&["deploy", "--detach"], 0)?;
        say("morning", "many more visitors come; nobody is at the keyboard but the watch");
        self.mark("v4 meets the crowd and is undone by the watch");
        self.mark("+crowd");
        self.expect(&["watch"], 3)?;
        self.fell_in("v4", "watch")?;
        self.mark("v2 serves the crowd again");
        std::thread::sleep(Duration::from_secs(if self.fast { 2 } else { 5 }));
        self.mark("-");

        let counts = self.stop_traffic()?;
        say("What is there now", "");
        self.expect(&["status"], 0)?;
        self.expect(&["history"], 0)?;
        say("Requests", "");
        println!("{counts}");
        self.keep_reports()?;
        let took = began.elapsed();
        println!("\nall of it took {} s", took.as_secs());
        if self.fast && took > FAST {
            // Said, and no failure: how busy the machine is, is not the demo's matter.
            println!("that is more than the {} s that the fast demo is meant to take", FAST.as_secs());
        }
        judge(&counts)
    }

    fn expect(&self, args: &[&str], code: i32) -> Outcome {
        let got = self.safelight(args)?;
        if got == code {
            return Ok(());
        }
        let log = fs::read_to_string(self.dir.join("host/logs/host.log")).unwrap_or_default();
        let tail: Vec<&str> = log.lines().rev().take(20).collect();
        let tail: Vec<&str> = tail.into_iter().rev().collect();
        Err(format!(
            "`safelight {}` ended with {got}, not {code}. The host's log ends:\n{}",
            args.join(" "),
            tail.join("\n")
        ))
    }

    /// The newest run failed in this phase, and in no other: an undo for another reason would look the same from outside.
    fn fell_in(&self, release: &str, phase: &str) -> Outcome {
        let report = self.lines(&["report", "--format", "json"])?;
        let fell = failed_phases(&report);
        if fell == [phase] {
            return Ok(());
        }
        Err(format!("{release} was to fall in the phase `{phase}`; it fell in {fell:?}"))
    }

    fn start_traffic(&mut self) -> Outcome {
        let child = Command::new(self.bin.join("safelight-traffic"))
            .args([
                "--addr",
                &format!("127.0.0.1:{}", self.port),
                "--host",
                "filmtrip.localhost",
                "--email",
                EMAIL,
            ])
            .arg("--photo")
            .arg(self.project.join("journeys/test-photo.jpg"))
            .args(["--paths", "/", "/api/photos?limit=20", "/?lang=zh-CN", "/api/health", "/login"])
            .env("TRAFFIC_PASSWORD", PASSWORD)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| format!("safelight-traffic: {e}"))?;
        self.traffic = Some(child);
        Ok(())
    }

    fn mark(&mut self, name: &str) {
        if let Some(pipe) = self.traffic.as_mut().and_then(|c| c.stdin.as_mut()) {
            let _ = writeln!(pipe, "{name}");
        }
    }

    /// Ends the traffic; returns its counts as a table.
    fn stop_traffic(&mut self) -> Result<String, String> {
        let Some(mut child) = self.traffic.take() else { return Ok(String::new()) };
        drop(child.stdin.take());
        let out = child.wait_with_output().map_err(|e| e.to_string())?;
        let mut table = String::new();
        for line in String::from_utf8_lossy(&out.stdout).lines() {
            let (mark, sent, failed) = (field(line, "mark"), field(line, "sent"), field(line, "failed"));
            if mark != "start" {
                table.push_str(&format!("{sent:>8} sent {failed:>6} failed   {mark}\n"));
            }
            if failed != "0" {
                let why = line.split("\"samples\":").nth(1).unwrap_or("");
                table.push_str(&format!(
                    "           for example {}\n",
                    why.chars().take(160).collect::<String>()
                ));
            }
        }
        Ok(table)
    }

    fn keep_reports(&self) -> Outcome {
        let to = target().join("demo-reports");
        let _ = fs::remove_dir_all(&to);
        fs::create_dir_all(&to).map_err(|e| format!("{}: {e}", to.display()))?;
        println!("one report for each run:");
        let mut files: Vec<PathBuf> = fs::read_dir(self.project.join("safelight-reports"))
            .map_err(|e| e.to_string())?
            .flatten()
            .map(|e| e.path())
            .filter(|p| p.extension().is_some_and(|x| x == "html"))
            .collect();
        files.sort();
        for (i, f) in files.iter().enumerate() {
            let copy = to.join(format!("v{}.html", i + 1));
            fs::copy(f, &copy).map_err(|e| e.to_string())?;
            println!("  {}", copy.display());
        }
        Ok(())
    }

    fn close(&mut self, keep: bool) {
        if let Some(mut c) = self.traffic.take() {
            let _ = c.kill();
            let _ = c.wait();
        }
        if keep {
            println!(
                "\nleft running: http://filmtrip.localhost:{} (SAFELIGHT_HOME={})",
                self.port,
                self.dir.join("host").display()
            );
            return;
        }
        let _ = self.safelight(&["host", "stop", "--proxy"]);
        stop_processes(&self.dir);
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// `cargo xtask bench deploy`: how long preflight, a redeploy with one changed file and an undo take, and what stays in
/// memory. Medians of several tries.
pub(crate) fn figures() -> Outcome {
    setup::for_build()?;
    run(&mut cargo(&[
        "build",
        "--release",
        "--quiet",
        "-p",
        "safelight",
        "-p",
        "filmtrip",
        "-p",
        "safelight-testkit",
        "--bins",
    ]))?;
    let mut demo = Demo::prepare(true)?;
    demo.bin = target().join("release");
    demo.write_project()?;
    let result = demo.measure();
    demo.close(false);
    result
}

impl Demo {
    fn measure(&mut self) -> Outcome {
        self.expect(&["host", "start", "--listen", &format!("127.0.0.1:{}", self.port)], 0)?;
        self.release("v0", 5)?;
        self.expect(&["deploy"], 0)?;
        self.start_traffic()?;
        let mut preflight = Vec::new();
        let (mut moved, mut stage) = (Vec::new(), Vec::new());
        let (mut whole, mut back) = (Vec::new(), Vec::new());
        for n in 1..=5 {
            let began = Instant::now();
            self.lines(&["check", "--format", "json"])?;
            preflight.push(millis(began.elapsed()));
            self.release(&format!("v{n}"), 5)?;
            // Left at the commit, the release is watched: taking it back now is the decision that is timed.
            let began = Instant::now();
            let events = self.lines(&["deploy", "--detach", "--format", "json"])?;
            whole.push(millis(began.elapsed()));
            let said = events.iter().find(|l| l.contains("files are new")).ok_or("staging said no size")?;
            let bytes = said.split("files are new (").nth(1).and_then(|s| s.split(' ').next());
            moved.extend(bytes.and_then(|b| b.parse::<u128>().ok()));
            let step = field(said, "step");
            let done =
                events.iter().find(|l| l.contains("\"event\":\"step-done\"") && field(l, "step") == step);
            stage.extend(done.and_then(|l| field(l, "millis").parse::<u128>().ok()));
            let events = self.lines(&["abort", "--format", "json"])?;
            let decided =
                events.iter().find(|l| l.contains("\"event\":\"undo-started\"")).and_then(|l| at(l));
            let promote: Vec<&String> = events.iter().filter(|l| l.contains("users are back on")).collect();
            if let (Some(d), Some(b)) = (decided, promote.last().and_then(|l| at(l))) {
                back.push(b.saturating_sub(d));
            }
        }
        let _ = self.stop_traffic()?;
        // Memory is told at rest.
        std::thread::sleep(Duration::from_secs(30));
        let status = self.lines(&["status", "--format", "json"])?.join("");
        println!("| figure | median of 5 |\n|---|---|");
        println!("| preflight (17 checks; 1 s of it is the CPU sample) | {} ms |", median(&mut preflight));
        println!("| redeploy with one changed file (VERSION): bytes moved | {} |", median(&mut moved));
        println!("| redeploy with one changed file: staging | {} ms |", median(&mut stage));
        println!(
            "| redeploy with one changed file: from the command to the watch, backup and rehearsal included | {} ms |",
            median(&mut whole)
        );
        println!(
            "| from the decision to undo until users are back on both services | {} ms |",
            median(&mut back)
        );
        // It reads JSON, which xtask does not.
        let mut memory = Command::new(self.bin.join("safelight-memory"))
            .stdin(Stdio::piped())
            .spawn()
            .map_err(|e| format!("safelight-memory: {e}"))?;
        if let Some(mut pipe) = memory.stdin.take() {
            pipe.write_all(status.as_bytes()).map_err(|e| format!("safelight-memory: {e}"))?;
        }
        match memory.wait() {
            Ok(s) if s.success() => Ok(()),
            other => Err(format!("safelight-memory: {other:?}")),
        }
    }

    fn lines(&self, args: &[&str]) -> Result<Vec<String>, String> {
        let mut c = Command::new(self.bin.join("safelight"));
        c.args(args)
            .current_dir(&self.project)
            .env("SAFELIGHT_HOME", self.dir.join("host"))
            .stderr(Stdio::null());
        let out = c.output().map_err(|e| format!("safelight: {e}"))?;
        Ok(String::from_utf8_lossy(&out.stdout).lines().map(str::to_owned).collect())
    }
}

fn millis(d: Duration) -> u128 {
    d.as_millis()
}

fn median(values: &mut [u128]) -> String {
    values.sort_unstable();
    values.get(values.len() / 2).map_or_else(|| "not measured".to_owned(), ToString::to_string)
}

/// The phases of the steps that failed, in English, from the lines of a run's report.
fn failed_phases(report: &[String]) -> Vec<String> {
    let mut lines = report.iter().map(|l| l.trim());
    let (mut phase, mut failed) = (String::new(), Vec::new());
    while let Some(line) = lines.next() {
        if line.starts_with("\"phase\":") {
            let english = lines.by_ref().find(|l| l.starts_with("\"en\":"));
            phase = english.map(|l| field(l, "en")).unwrap_or_default();
        } else if line.trim_end_matches(',') == "\"outcome\": \"failed\"" {
            failed.push(phase.clone());
        }
    }
    failed
}

/// Milliseconds of the day at which an event happened.
fn at(line: &str) -> Option<u128> {
    let time = field(line, "at");
    let (_, clock) = time.split_once('T')?;
    let mut parts = clock.trim_end_matches('Z').split(':');
    let (h, m) = (parts.next()?.parse::<u128>().ok()?, parts.next()?.parse::<u128>().ok()?);
    let s: f64 = parts.next()?.parse().ok()?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 60 000")]
    let ms = (s * 1000.0) as u128;
    Some((h * 60 + m) * 60_000 + ms)
}

/// The demo succeeded when only v4, which is bad, failed anybody.
fn judge(counts: &str) -> Outcome {
    let bad: Vec<&str> = counts
        .lines()
        .filter(|l| l.contains(" sent ") && !l.contains("v4 meets the crowd") && !l.contains(" 0 failed"))
        .collect();
    if !counts.contains("v4 meets the crowd") {
        return Err("no traffic was counted".to_owned());
    }
    if bad.is_empty() {
        println!("good releases failed no request");
        return Ok(());
    }
    Err(format!("requests failed while good releases served:\n{}", bad.join("\n")))
}

/// One value of a flat JSON line, without its quotes.
fn field(line: &str, name: &str) -> String {
    let Some(rest) = line.split(&format!("\"{name}\":")).nth(1) else { return String::new() };
    let rest = rest.trim_start();
    match rest.strip_prefix('"') {
        Some(s) => s.split('"').next().unwrap_or("").to_owned(),
        None => rest.chars().take_while(char::is_ascii_digit).collect(),
    }
}

/// Ends every process that works inside of `dir`: shims first, so that they start nothing again.
fn stop_processes(dir: &Path) {
    for signal in ["-TERM", "-KILL"] {
        let Ok(entries) = fs::read_dir("/proc") else { return };
        let mut found = false;
        for e in entries.flatten() {
            let path = e.path();
            let inside = fs::read_link(path.join("cwd")).is_ok_and(|c| c.starts_with(dir))
                || fs::read(path.join("cmdline"))
                    .is_ok_and(|c| String::from_utf8_lossy(&c).contains(&*dir.to_string_lossy()));
            let pid = e.file_name().to_string_lossy().into_owned();
            if inside && pid != std::process::id().to_string() && pid.bytes().all(|b| b.is_ascii_digit()) {
                found = true;
                let _ = Command::new("kill").args([signal, &pid]).stderr(Stdio::null()).status();
            }
        }
        if found {
            std::thread::sleep(Duration::from_millis(1500));
        }
    }
}

fn say(title: &str, text: &str) {
    println!("\n\x1b[1;31m●\x1b[0m \x1b[1m{title}\x1b[0m  {text}");
}

#[cfg(test)]
mod tests {
    use super::failed_phases;

    #[test]
    fn the_phase_of_a_failed_step_is_found_in_a_report() {
        let step = |phase: &str, outcome: &str| {
            format!(
                "    {{\n      \"id\": 1,\n      \"phase\": {{\n        \"en\": \"{phase}\",\n        \"zh-CN\": \"x\"\n      }},\n      \
                 \"title\": {{\n        \"en\": \"t\"\n      }},\n      \"outcome\": \"{outcome}\",\n    }},\n"
            )
        };
        let report = |steps: &[(&str, &str)]| -> Vec<String> {
            let all: String = steps.iter().map(|(p, o)| step(p, o)).collect();
            all.lines().map(str::to_owned).collect()
        };
        assert_eq!(failed_phases(&report(&[("stage", "undone"), ("dark test", "failed")])), ["dark test"]);
        assert!(failed_phases(&report(&[("watch", "done")])).is_empty());
        assert_eq!(failed_phases(&report(&[("watch", "failed"), ("retire", "failed")])).len(), 2);
    }
}
