//! Where Safelight keeps things on a host. One directory holds all of it; only its owner may look in.

use std::{
    io,
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

/// The layout below `SAFELIGHT_HOME`.
#[derive(Clone, Debug)]
pub struct Home {
    /// The directory itself.
    pub root: PathBuf,
}

impl Home {
    /// `SAFELIGHT_HOME`, or `/var/lib/safelight` for root, or `~/.local/share/safelight`.
    #[must_use]
    pub fn from_env() -> Self {
        let var = |k: &str| std::env::var_os(k).filter(|v| !v.is_empty()).map(PathBuf::from);
        let root = var("SAFELIGHT_HOME").unwrap_or_else(|| {
            if rustix::process::geteuid().is_root() {
                PathBuf::from("/var/lib/safelight")
            } else {
                var("XDG_DATA_HOME")
                    .or_else(|| var("HOME").map(|h| h.join(".local/share")))
                    .unwrap_or_else(|| PathBuf::from("/tmp"))
                    .join("safelight")
            }
        });
        Self { root }
    }

    /// Makes the directory with mode 0700 and refuses one that others may write to.
    ///
    /// # Errors
    /// When it cannot be made, or belongs to somebody else.
    pub fn create(&self) -> io::Result<()> {
        private_dir(&self.root)?;
        let meta = std::fs::metadata(&self.root)?;
        if meta.permissions().mode() & 0o022 != 0 {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                format!("{} may be written by others; run `chmod go-w` on it", self.root.display()),
            ));
        }
        for dir in [self.proxy_dir(), self.logs(), self.root.join("apps")] {
            private_dir(&dir)?;
        }
        Ok(())
    }

    /// The daemon's socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.root.join("host.sock")
    }
    /// Held by the one daemon that runs.
    #[must_use]
    pub fn lock(&self) -> PathBuf {
        self.root.join("host.lock")
    }
    /// Journal, releases and events.
    #[must_use]
    pub fn database(&self) -> PathBuf {
        self.root.join("host.db")
    }
    /// The proxy's route table and socket.
    #[must_use]
    pub fn proxy_dir(&self) -> PathBuf {
        self.root.join("proxy")
    }
    /// The proxy's control socket.
    #[must_use]
    pub fn proxy_socket(&self) -> PathBuf {
        self.proxy_dir().join("proxy.sock")
    }
    /// The proxy's route table.
    #[must_use]
    pub fn routes(&self) -> PathBuf {
        self.proxy_dir().join("routes.json")
    }
    /// What a daemon that could not start leaves behind, see [`crate::trouble`].
    #[must_use]
    pub fn host_trouble(&self) -> PathBuf {
        self.root.join("host.trouble.json")
    }
    /// The same of the proxy.
    #[must_use]
    pub fn proxy_trouble(&self) -> PathBuf {
        self.proxy_dir().join("trouble.json")
    }
    /// Logs of Safelight itself.
    #[must_use]
    pub fn logs(&self) -> PathBuf {
        self.root.join("logs")
    }
    /// Settings of the host that survive a restart.
    #[must_use]
    pub fn settings(&self) -> PathBuf {
        self.root.join("host.json")
    }
    /// Everything of one app in one environment.
    #[must_use]
    pub fn app(&self, app: &str, env: &str) -> AppDirs {
        AppDirs { root: self.root.join("apps").join(format!("{app}.{env}")) }
    }
}

/// The directories of one app in one environment.
#[derive(Clone, Debug)]
pub struct AppDirs {
    /// The directory itself.
    pub root: PathBuf,
}

impl AppDirs {
    /// Makes all of them.
    ///
    /// # Errors
    /// When one cannot be made.
    pub fn create(&self) -> io::Result<()> {
        private_dir(&self.root)?;
        for d in [
            self.releases(),
            self.store(),
            self.shared(),
            self.env(),
            self.backups(),
            self.logs(),
            self.run(),
            self.scratch(),
            self.commands(),
        ] {
            private_dir(&d)?;
        }
        Ok(())
    }
    /// One directory per release.
    #[must_use]
    pub fn releases(&self) -> PathBuf {
        self.root.join("releases")
    }
    /// One release.
    #[must_use]
    pub fn release(&self, id: &str) -> PathBuf {
        self.releases().join(id)
    }
    /// Exists when the release is complete.
    #[must_use]
    pub fn ready(&self, id: &str) -> PathBuf {
        self.releases().join(format!("{id}.ready.json"))
    }
    /// What a release keeps of its own: its configuration and its journeys. Beside its files, not among them: they are
    /// known by their content, and an app may serve all of them.
    #[must_use]
    pub fn own(&self, id: &str) -> PathBuf {
        self.releases().join(format!("{id}.own"))
    }
    /// Content-addressed files and dependency trees.
    #[must_use]
    pub fn store(&self) -> PathBuf {
        self.root.join("store")
    }
    /// What all releases share.
    #[must_use]
    pub fn shared(&self) -> PathBuf {
        self.root.join("shared")
    }
    /// Environment snapshots, mode 0600.
    #[must_use]
    pub fn env(&self) -> PathBuf {
        self.root.join("env")
    }
    /// Database backups.
    #[must_use]
    pub fn backups(&self) -> PathBuf {
        self.root.join("backups")
    }
    /// Log files of processes.
    #[must_use]
    pub fn logs(&self) -> PathBuf {
        self.root.join("logs")
    }
    /// State files of detached processes.
    #[must_use]
    pub fn run(&self) -> PathBuf {
        self.root.join("run")
    }
    /// Records of the app's own commands while they run.
    #[must_use]
    pub fn commands(&self) -> PathBuf {
        self.root.join("commands")
    }
    /// Scratch databases of proofs and rehearsals.
    #[must_use]
    pub fn scratch(&self) -> PathBuf {
        self.root.join("scratch")
    }
}

/// Makes a directory (and its parents) that only its owner may look into; an existing one is left as it is.
///
/// # Errors
/// When it cannot be made.
pub fn private_dir(path: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Writes a file as a whole or not at all: temporary file, sync, rename, sync of the directory. Mode 0600.
///
/// # Errors
/// When any of that fails; no half file stays.
pub fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    use std::{io::Write as _, os::unix::fs::OpenOptionsExt as _};
    let dir = path.parent().unwrap_or(Path::new("."));
    let name = path.file_name().and_then(|n| n.to_str()).unwrap_or("file");
    let tmp = dir.join(format!(".{name}.{}.tmp", std::process::id()));
    let write = || {
        let mut f =
            std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&tmp)?;
        f.write_all(bytes)?;
        f.sync_all()?;
        std::fs::rename(&tmp, path)?;
        std::fs::File::open(dir)?.sync_all()
    };
    write().inspect_err(|_| {
        let _ = std::fs::remove_file(&tmp);
    })
}
