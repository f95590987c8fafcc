//! The pages in a real browser: Chromium, driven by the scripts in `browser/`. Two processes serve one site, as
//! before and after a change of the flags: one with direct uploads to the (emulated) object store, one without.

use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use safelight_upyun_emulator::{Config, Emulator, Outcome};

/// Far longer than the scripts take, shorter than a person waits for a hanging browser.
const LIMIT: Duration = Duration::from_secs(420);

/// A process that is ended with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().expect("kill");
        self.0.wait().expect("reap");
    }
}

struct Site {
    dir: tempfile::TempDir,
    emulator: Emulator,
    direct_port: u16,
}

impl Site {
    fn command(&self, args: &[&str], port: u16, flags: bool) -> Command {
        let flag = if flags { "true" } else { "false" };
        let database = self.dir.path().join("filmtrip.db");
        let mut command = Command::new(env!("CARGO_BIN_EXE_filmtrip"));
        command
            .args(args)
            .env_clear()
            .env("PORT", port.to_string())
            .env("DATABASE_URL", format!("sqlite:{}", database.display()))
            .env("FILMTRIP_MEDIA_DIR", self.dir.path().join("media"))
            .env("UPYUN_BUCKET", "photos")
            .env("UPYUN_OPERATOR", "operator")
            .env("UPYUN_PASSWORD", "browser-test-secret")
            .env("UPYUN_API_URL", self.emulator.api_endpoint())
            .env("UPYUN_CDN_DOMAIN", self.emulator.cdn_endpoint())
            .env("UPYUN_NOTIFY_URL", format!("http://127.0.0.1:{}/api/storage/callback", self.direct_port))
            .env("UPYUN_STYLE_THUMB", "thumb")
            .env("UPYUN_STYLE_PREVIEW", "preview")
            .env("UPYUN_STYLE_LARGE", "large")
            .env("UPYUN_DIRECT_UPLOAD_ENABLED", flag)
            .env("UPYUN_IMAGE_PROCESSING_ENABLED", flag)
            .stdin(Stdio::null());
        command
    }

    /// Runs a command that must succeed; its standard output.
    fn run(&self, args: &[&str]) -> String {
        let output = self.command(args, 0, false).output().expect("runs");
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    }

    fn serve(&self, port: u16, flags: bool) -> (Running, String) {
        let mut command = self.command(&["serve"], port, flags);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
        let mut lines = BufReader::new(child.stdout.take().expect("stdout")).lines();
        let mut errors = child.stderr.take().expect("stderr");
        let address = lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| Some(line.strip_prefix("listening on ")?.to_owned()));
        let Some(address) = address else {
            let mut why = String::new();
            errors.read_to_string(&mut why).expect("stderr");
            panic!("ended before listening: {why}");
        };
        // Nobody reads its log from here on: a full pipe must not stop it.
        std::thread::spawn(move || lines.for_each(drop));
        std::thread::spawn(move || std::io::copy(&mut errors, &mut std::io::sink()));
        (Running(child), address)
    }
}

fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).and_then(|l| l.local_addr()).expect("a free port").port()
}

fn need(path: &Path) {
    assert!(path.exists(), "{} is missing; `cargo xtask setup` installs it", path.display());
}

#[test]
fn the_pages_work_in_a_real_browser() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let tools = root.join("../../.tools");
    let chromium = PathBuf::from("/usr/bin/chromium");
    need(&chromium);
    need(&tools.join("node_modules/playwright-core"));

    let runtime = tokio::runtime::Runtime::new().expect("runtime");
    let config = Config::single("photos", "operator", "browser-test-secret");
    let emulator = runtime.block_on(Emulator::start(config)).expect("emulator");
    let site = Site { dir: tempfile::tempdir().expect("folder"), emulator, direct_port: free_port() };
    site.run(&["migrate"]);
    let invited = site.run(&["admin", "create", "--email", "admin@example.com", "--role", "admin"]);
    let token = invited.split("token=").nth(1).expect("one-time link").trim().to_owned();
    let photos = site.dir.path().join("photos");
    std::fs::create_dir(&photos).expect("folder");
    for seed in 1..61 {
        let out = photos.join(format!("scan{seed}.jpg"));
        // The last ones are large enough to be seen on their way.
        let size = match seed {
            44.. => ["1500", "1000"],
            _ if seed % 3 == 0 => ["400", "600"],
            _ => ["600", "400"],
        };
        let (out, seed) = (out.display().to_string(), seed.to_string());
        site.run(&["make-photo", "--out", &out, "--width", size[0], "--height", size[1], "--seed", &seed]);
    }
    let (_local, local) = site.serve(free_port(), false);
    let (_direct, direct) = site.serve(site.direct_port, true);

    let mut node = Command::new("node");
    node.arg(root.join("tests/browser/main.mjs"))
        .env("TOOLS", &tools)
        .env("CHROMIUM", &chromium)
        .env("SITE_LOCAL", &local)
        .env("SITE_DIRECT", &direct)
        .env("STORE", site.emulator.api_endpoint())
        .env("CDN", site.emulator.cdn_endpoint())
        .env("SETUP_TOKEN", &token)
        .env("PHOTOS", &photos)
        .stdin(Stdio::null());
    let said = run_to_end(node, &site.dir.path().join("browser.log"));
    let arrived = runtime.block_on(site.emulator.settled_callbacks(6, Duration::from_secs(30)));
    let arrived = arrived.unwrap_or_else(|| panic!("the store's notices did not arrive\n{said}"));
    let delivered = arrived.iter().filter(|notice| notice.outcome == Outcome::Delivered).count();
    assert!(delivered >= 6, "{arrived:?}\n{said}");
}

/// Runs the script; panics with all it said when it fails or takes too long.
fn run_to_end(mut command: Command, log: &Path) -> String {
    let file = std::fs::File::create(log).expect("log");
    command.stdout(file.try_clone().expect("log")).stderr(file);
    let mut child = Running(command.spawn().expect("node starts"));
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.0.try_wait().expect("wait") {
            break Some(status);
        }
        if start.elapsed() > LIMIT {
            break None;
        }
        std::thread::sleep(Duration::from_millis(100));
    };
    let said = std::fs::read_to_string(log).expect("log");
    match status {
        Some(status) => assert!(status.success(), "{status}\n{said}"),
        None => panic!("not done after {} s\n{said}", LIMIT.as_secs()),
    }
    said
}
