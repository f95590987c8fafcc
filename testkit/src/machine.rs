//! A machine with systemd that can be booted, rebooted and cut off from its power: a container on a copy of this
//! machine's own files, which nothing that happens in it changes.

use crate::command::Said;
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// How long it may take to boot.
const BOOT: Duration = Duration::from_secs(60);

/// The machine. Ended, and its files removed, when dropped.
pub struct Machine {
    dir: PathBuf,
    programs: PathBuf,
    container: Option<(Child, u32)>,
}

fn ran(program: &str, args: &[&str]) -> Result<(), String> {
    let output = Command::new(program).args(args).stdin(Stdio::null()).output();
    let output = output.map_err(|e| format!("{program}: {e}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(format!("{program}: {}", said.trim())) }
}

impl Machine {
    /// A machine that has not booted. `programs` is found at `/programs` in it.
    ///
    /// # Errors
    /// Why there can be none here.
    pub fn new(programs: &Path) -> Result<Self, String> {
        let dir =
            tempfile::Builder::new().prefix("sm-").tempdir_in("/tmp").map_err(|e| e.to_string())?.keep();
        let machine = Self { dir, programs: programs.to_path_buf(), container: None };
        let memory = machine.dir.join("memory");
        let shown = memory.display();
        fs::create_dir(&memory).map_err(|e| e.to_string())?;
        // Upper layer on a tmpfs: an overlay's layers must not lie in each other.
        ran("mount", &["-t", "tmpfs", "tmpfs", &shown.to_string()])?;
        for folder in ["up", "work", "root"] {
            fs::create_dir(memory.join(folder)).map_err(|e| e.to_string())?;
        }
        let layers = format!("lowerdir=/,upperdir={shown}/up,workdir={shown}/work");
        ran("mount", &["-t", "overlay", "overlay", "-o", &layers, &format!("{shown}/root")])?;
        // Services of this machine itself are not the test's.
        let wants = machine.root().join("etc/systemd/system/multi-user.target.wants");
        if wants.is_dir() {
            fs::remove_dir_all(&wants).map_err(|e| e.to_string())?;
        }
        Ok(machine)
    }

    /// Its files.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        self.dir.join("memory/root")
    }

    /// Boots, and waits until it is up.
    ///
    /// # Errors
    /// Why it does not come up.
    pub fn boot(&mut self) -> Result<(), String> {
        let log = self.dir.join("boot.log");
        let file = fs::File::create(&log).map_err(|e| e.to_string())?;
        let name = self.dir.file_name().unwrap_or_default().to_string_lossy().replace('_', "-");
        let child = Command::new("systemd-nspawn")
            .arg("-q")
            .arg("-D")
            .arg(self.root())
            .arg(format!("--machine={name}"))
            .args(["--boot", "--register=no", "--keep-unit", "--private-network", "--console=pipe"])
            .args(["--resolv-conf=off", "--timezone=off"])
            .arg(format!("--bind-ro={}:/programs", self.programs.display()))
            .stdin(Stdio::null())
            .stdout(file.try_clone().map_err(|e| e.to_string())?)
            .stderr(file)
            .spawn()
            .map_err(|e| format!("systemd-nspawn: {e}"))?;
        let parent = child.id();
        self.container = Some((child, 0));
        let until = Instant::now() + BOOT;
        while Instant::now() < until {
            if let Some((child, init)) = &mut self.container {
                if let Some(status) = child.try_wait().map_err(|e| e.to_string())? {
                    let said = fs::read_to_string(&log).unwrap_or_default();
                    return Err(format!("systemd-nspawn: {status}: {}", said.trim()));
                }
                *init = init_below(parent).unwrap_or(0);
            }
            if self.is_up() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Err(format!("not up within {} s: {}", BOOT.as_secs(), fs::read_to_string(&log).unwrap_or_default()))
    }

    fn is_up(&self) -> bool {
        let Some((_, init)) = &self.container else { return false };
        if *init == 0 {
            return false;
        }
        let state = self.run("systemctl is-system-running");
        ["running", "degraded"].contains(&state.out.trim())
    }

    /// Runs a line of shell in it.
    ///
    /// # Panics
    /// When it is not up, or nsenter cannot be started.
    #[must_use]
    pub fn run(&self, line: &str) -> Said {
        let (_, init) = self.container.as_ref().expect("the machine has booted");
        let output = Command::new("nsenter")
            .args(["-t", &init.to_string(), "-m", "-u", "-i", "-n", "-p", "-C", "-r", "-w", "--"])
            .args(["env", "-i", "PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "HOME=/root"])
            .args(["LANG=C.UTF-8", "sh", "-c", line])
            .stdin(Stdio::null())
            .output();
        output.expect("nsenter starts").into()
    }

    /// Ends every process in it at once. Less than a power cut: what was written stays, synced or not.
    ///
    /// # Panics
    /// When it does not end.
    pub fn kill_everything(&mut self) {
        if let Some((mut child, init)) = self.container.take() {
            if let Some(init) = i32::try_from(init).ok().and_then(rustix::process::Pid::from_raw) {
                let _ = rustix::process::kill_process(init, rustix::process::Signal::KILL);
            }
            let until = Instant::now() + Duration::from_secs(10);
            while child.try_wait().expect("its state").is_none() {
                assert!(Instant::now() < until, "the machine does not end");
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }
}

/// The init of a container: below nspawn, named systemd.
fn init_below(nspawn: u32) -> Option<u32> {
    let children = fs::read_to_string(format!("/proc/{nspawn}/task/{nspawn}/children")).ok()?;
    children.split_whitespace().filter_map(|c| c.parse().ok()).find(|pid: &u32| {
        fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == "systemd")
    })
}

impl Drop for Machine {
    fn drop(&mut self) {
        if let Some((child, init)) = &mut self.container {
            if let Some(init) = i32::try_from(*init).ok().and_then(rustix::process::Pid::from_raw) {
                let _ = rustix::process::kill_process(init, rustix::process::Signal::KILL);
            }
            let _ = child.kill();
            let _ = child.wait();
        }
        for mount in ["memory/root", "memory"] {
            let _ = Command::new("umount").arg("-l").arg(self.dir.join(mount)).stderr(Stdio::null()).status();
        }
        let _ = fs::remove_dir_all(&self.dir);
    }
}
