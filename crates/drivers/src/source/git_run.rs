//! Calling the `git` program: with the user's own settings, but never waiting for a person.

use crate::host::{LocalHost, exec::KEEP};
use safelight_engine::driver::host::{Cmd, Host as _, HostError, HostErrorKind, Output};
use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

/// Longest time for a command that stays on this machine.
const LOCAL_LIMIT: Duration = Duration::from_secs(60);

/// Variables of the user that decide how a remote is reached.
const PASSED_ON: [&str; 10] = [
    "SSH_AUTH_SOCK",
    "GIT_SSH",
    "GIT_SSH_COMMAND",
    "http_proxy",
    "https_proxy",
    "HTTPS_PROXY",
    "no_proxy",
    "NO_PROXY",
    "ALL_PROXY",
    "XDG_CONFIG_HOME",
];

/// Git in one directory.
#[derive(Clone, Debug)]
pub(super) struct Run {
    pub(super) host: LocalHost,
    pub(super) dir: PathBuf,
}

impl Run {
    fn env() -> Vec<(String, String)> {
        let fixed = [
            // Ask nobody, and take no lock that would disturb the user's own git.
            ("GIT_TERMINAL_PROMPT", "0"),
            ("GIT_ASKPASS", "true"),
            ("SSH_ASKPASS_REQUIRE", "never"),
            ("GIT_OPTIONAL_LOCKS", "0"),
            ("GIT_NO_LAZY_FETCH", "1"),
            ("LC_ALL", "C"),
        ];
        let passed = PASSED_ON.iter().filter_map(|key| Some(((*key).to_owned(), std::env::var(key).ok()?)));
        fixed.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).chain(passed).collect()
    }

    fn argv<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Vec<String> {
        // A file system monitor of the user's may be slow to answer, or wrong.
        let mut argv = ["git", "-c", "core.fsmonitor=false", "-C"].map(str::to_owned).to_vec();
        argv.push(self.dir.display().to_string());
        argv.extend(args.into_iter().map(str::to_owned));
        argv
    }

    /// Runs git; any exit status is an answer.
    pub(super) async fn any(
        &self,
        args: &[&str],
        stdin: &[u8],
        limit: Duration,
    ) -> Result<Output, HostError> {
        let mut cmd = Cmd::new(self.argv(args.iter().copied())).timeout(limit);
        cmd.env = Self::env();
        stdin.clone_into(&mut cmd.stdin);
        self.host.run(&cmd).await.map_err(|e| match e.kind {
            // Told where to work by an argument, it is only the program itself that can be missing.
            HostErrorKind::NotFound => {
                let op = format!("git {} in {}", args.first().unwrap_or(&""), self.dir.display());
                HostError::new(e.kind, op, "git is not installed (or not on the PATH)")
            }
            _ => e,
        })
    }

    /// Runs git and expects it to succeed.
    pub(super) async fn ok(&self, args: &[&str]) -> Result<Vec<u8>, HostError> {
        self.ok_with(args, b"").await
    }

    pub(super) async fn ok_with(&self, args: &[&str], stdin: &[u8]) -> Result<Vec<u8>, HostError> {
        let output = self.any(args, stdin, LOCAL_LIMIT).await?;
        if output.stdout.len() >= KEEP {
            // Only the end of a larger output is kept: acting on a part of a list would be wrong.
            let detail = "its output is larger than 16 MiB; is a build directory in the repository?";
            let op = format!("git {} in {}", args.first().unwrap_or(&""), self.dir.display());
            return Err(HostError::new(HostErrorKind::Other, op, detail));
        }
        if output.ok() {
            return Ok(output.stdout);
        }
        Err(self.failed(args, &output))
    }

    /// The first line of the output; `None` when git says no with exit status 1 or with nothing.
    pub(super) async fn line(&self, args: &[&str]) -> Result<Option<String>, HostError> {
        let output = self.any(args, b"", LOCAL_LIMIT).await?;
        match output.status {
            Some(0) => Ok(output.text().lines().next().filter(|l| !l.is_empty()).map(str::to_owned)),
            Some(1) => Ok(None),
            _ => Err(self.failed(args, &output)),
        }
    }

    pub(super) fn failed(&self, args: &[&str], output: &Output) -> HostError {
        HostError::new(
            HostErrorKind::Other,
            format!("git {} in {}", args.first().unwrap_or(&""), self.dir.display()),
            format!("exit status {:?}: {}", output.status, output.complaint()),
        )
    }

    /// The same command for a thread that talks to it by pipes.
    pub(super) fn piped(&self, dir: &Path, args: &[&str]) -> Command {
        let at = Self { host: self.host.clone(), dir: dir.to_owned() };
        let argv = at.argv(args.iter().copied());
        let mut command = Command::new(&argv[0]);
        command
            .args(&argv[1..])
            .env_clear()
            .env("PATH", self.host.path())
            .env("HOME", self.host.home())
            .envs(Self::env())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        command
    }
}

/// Runs blocking work beside the runtime.
pub(super) async fn blocking<T: Send + 'static>(
    op: &str,
    work: impl FnOnce() -> Result<T, HostError> + Send + 'static,
) -> Result<T, HostError> {
    crate::blocking::blocking(work)
        .await
        .unwrap_or_else(|e| Err(HostError::new(HostErrorKind::Other, op, format!("the work was lost: {e}"))))
}
