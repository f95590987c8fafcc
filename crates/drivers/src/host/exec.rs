//! Running one command to its end: clean environment, own process group, bounded time and memory.
//! Knows nothing of what the command means.

use super::left;
use rustix::process::{Pid, Signal, kill_process_group};
use safelight_engine::driver::host::{Cmd, HostError, HostErrorKind, OnLine, Output};
use std::{
    collections::VecDeque,
    fs::File,
    io::Read as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::Stdio,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _},
    process::Command,
    time::Instant,
};

/// A command without a limit of its own may take this long.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes kept of each stream: the last ones, as the end of an output is what explains a failure.
pub(crate) const KEEP: usize = 16 << 20;
/// A line longer than this is handed over in pieces.
const LINE_MAX: usize = 16 << 10;
/// How long output is still read after the command itself has ended: a background process that inherited the pipe must
/// not hold the caller until the time limit.
const DRAIN: Duration = Duration::from_secs(1);
/// How often a file that takes output is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The variables every command starts with.
#[derive(Clone, Debug)]
pub(crate) struct BaseEnv {
    /// `PATH`.
    pub(crate) path: String,
    /// `HOME`.
    pub(crate) home: PathBuf,
}

impl BaseEnv {
    /// This process's own `PATH` and `HOME`, or the system's usual ones.
    pub(crate) fn inherit() -> Self {
        let path = std::env::var("PATH")
            .ok()
            .filter(|p| !p.is_empty())
            .unwrap_or_else(|| "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned());
        let home = std::env::var_os("HOME").map_or_else(
            || super::proc::home_of(rustix::process::getuid().as_raw()).unwrap_or_else(|| "/".into()),
            PathBuf::from,
        );
        Self { path, home }
    }
}

/// This process is about to end by its own will.
static LEAVING: AtomicBool = AtomicBool::new(false);

/// From now on commands that may outlive this process are left running when whoever waits for them goes away: they are on
/// record, and whoever comes next waits for them.
pub fn leave_running() {
    LEAVING.store(true, Ordering::SeqCst);
}

/// Kills the whole group when the caller gives up, be it by time or by dropping the future.
struct GroupGuard {
    group: Option<Pid>,
    outlives: bool,
}

impl GroupGuard {
    fn kill(&self) {
        if let Some(pid) = self.group {
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}

impl Drop for GroupGuard {
    fn drop(&mut self) {
        if self.outlives && LEAVING.load(Ordering::SeqCst) {
            return;
        }
        self.kill();
    }
}

/// Runs `cmd`. With `on_line`, output is handed over as it comes.
pub(crate) async fn run(base: &BaseEnv, cmd: &Cmd, on_line: Option<OnLine<'_>>) -> Result<Output, HostError> {
    let op = || format!("run {}", cmd.display());
    let Some((program, args)) = cmd.argv.split_first() else {
        return Err(HostError::new(HostErrorKind::Other, "run", "the command is empty"));
    };
    if let Some(dir) = &cmd.cwd
        && !dir.is_dir()
    {
        return Err(HostError::new(
            HostErrorKind::NotFound,
            op(),
            format!("its working directory {} does not exist", dir.display()),
        ));
    }
    let limit = cmd.timeout.unwrap_or(DEFAULT_TIMEOUT);
    let noted = |e: std::io::Error| HostError::io(format!("note that {} runs", cmd.display()), &e);
    // Before the start: one that was started and is not on record would be lost with this process.
    let mut begun = match &cmd.record {
        Some(record) => Some((record, left::begin(record, cmd, limit).map_err(noted)?)),
        None => None,
    };
    let file = match &cmd.record {
        Some(record) if cmd.outlives => Some(output_file(record).map_err(noted)?),
        _ => None,
    };
    let (stdout, stderr) = match &file {
        Some((to, _)) => (to.try_clone().map_err(noted)?.into(), to.try_clone().map_err(noted)?.into()),
        None => (Stdio::piped(), Stdio::piped()),
    };
    let mut command = Command::new(program);
    command
        .args(args)
        .env_clear()
        .env("PATH", &base.path)
        .env("HOME", &base.home)
        .env("LANG", "C.UTF-8")
        .envs(cmd.env.iter().map(|(k, v)| (k, v)))
        .stdin(if cmd.stdin.is_empty() { Stdio::null() } else { Stdio::piped() })
        .envs(begun.as_ref().map(|(_, (_, mark))| (mark.0, mark.1.as_str())))
        .stdout(stdout)
        .stderr(stderr)
        .process_group(0)
        // The guard does it for those that may outlive this process, when it should be done.
        .kill_on_drop(file.is_none());
    if let Some(dir) = &cmd.cwd {
        command.current_dir(dir);
    }
    let mut child = command.spawn().map_err(|e| {
        forget(cmd);
        HostError::io(op(), &e)
    })?;
    let group = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
    let mut guard = GroupGuard { group, outlives: file.is_some() };
    if let (Some((record, (begun, _))), Some(pid)) = (&mut begun, child.id()) {
        left::started(record, begun, pid).map_err(noted)?;
    }
    let pipes = child.stdout.take().zip(child.stderr.take());
    if pipes.is_none() && file.is_none() {
        return Err(HostError::new(HostErrorKind::Other, op(), "its output could not be captured"));
    }
    let stdin = child.stdin.take();
    let feed = async {
        if let Some(mut pipe) = stdin {
            // A command that does not read its input to the end is free not to.
            let _ = pipe.write_all(&cmd.stdin).await;
            let _ = pipe.shutdown().await;
        }
    };

    let deadline = Instant::now() + limit;
    let mut stdout = Tail::default();
    let mut stderr = Tail::default();
    let over = AtomicBool::new(false);
    let status = {
        let mut pumps = std::pin::pin!(async {
            match (pipes, file) {
                (Some((out, err)), _) => {
                    tokio::join!(pump(out, &mut stdout, on_line), pump(err, &mut stderr, on_line), feed);
                }
                (None, Some((_, from))) => {
                    tokio::join!(follow(from, &over, &mut stdout, on_line), feed);
                }
                (None, None) => feed.await,
            }
        });
        let mut drained = false;
        let waited = loop {
            tokio::select! {
                () = &mut pumps, if !drained => drained = true,
                status = child.wait() => break Some(status),
                () = tokio::time::sleep_until(deadline) => break None,
            }
        };
        over.store(true, Ordering::SeqCst);
        match waited {
            Some(status) => {
                if !drained {
                    let _ = tokio::time::timeout(DRAIN, &mut pumps).await;
                }
                Some(status.map_err(|e| HostError::io(op(), &e))?)
            }
            None => {
                guard.kill();
                let _ = child.wait().await;
                if !drained {
                    let _ = tokio::time::timeout(DRAIN, &mut pumps).await;
                }
                None
            }
        }
    };
    // The leader is reaped: from here on its number may name somebody else.
    guard.group = None;
    forget(cmd);
    let output = Output {
        status: status.and_then(|s| s.code()),
        stdout: stdout.into_bytes(),
        stderr: stderr.into_bytes(),
    };
    if status.is_none() {
        let said = output.complaint();
        let said = if said.is_empty() { String::new() } else { format!("; it last said: {said}") };
        return Err(HostError::new(
            HostErrorKind::Timeout,
            op(),
            format!("still running after {:.1} s and killed{said}", limit.as_secs_f64()),
        ));
    }
    Ok(output)
}

/// The last [`KEEP`] bytes of a stream.
#[derive(Default)]
struct Tail(VecDeque<u8>);

impl Tail {
    fn push(&mut self, bytes: &[u8]) {
        let bytes = &bytes[bytes.len().saturating_sub(KEEP)..];
        let over = (self.0.len() + bytes.len()).saturating_sub(KEEP);
        self.0.drain(..over);
        self.0.extend(bytes);
    }

    fn into_bytes(self) -> Vec<u8> {
        self.0.into()
    }
}

async fn pump(mut from: impl AsyncRead + Unpin, into: &mut Tail, on_line: Option<OnLine<'_>>) {
    let mut chunk = vec![0; 32 << 10];
    let mut lines = Lines { line: Vec::new(), on_line };
    loop {
        // A broken pipe ends the output like its end does; the exit status tells the rest.
        let n = from.read(&mut chunk).await.unwrap_or(0);
        if n == 0 {
            break;
        }
        into.push(&chunk[..n]);
        lines.take(&chunk[..n]);
    }
    lines.end();
}

/// Reads a file that grows until the command is over.
async fn follow(mut from: File, over: &AtomicBool, into: &mut Tail, on_line: Option<OnLine<'_>>) {
    let mut chunk = vec![0; 32 << 10];
    let mut lines = Lines { line: Vec::new(), on_line };
    loop {
        // Asked before reading: what was written until then is in the file.
        let last = over.load(Ordering::SeqCst);
        let n = from.read(&mut chunk).unwrap_or(0);
        if n > 0 {
            into.push(&chunk[..n]);
            lines.take(&chunk[..n]);
        } else if last {
            break;
        } else {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
    lines.end();
}

/// Cuts output into lines and hands these over.
struct Lines<'a> {
    line: Vec<u8>,
    on_line: Option<OnLine<'a>>,
}

impl Lines<'_> {
    fn take(&mut self, chunk: &[u8]) {
        let (line, Some(on_line)) = (&mut self.line, self.on_line) else { return };
        for piece in chunk.split_inclusive(|b| *b == b'\n') {
            line.extend_from_slice(piece);
            if line.last() == Some(&b'\n') {
                line.pop();
                if line.last() == Some(&b'\r') {
                    line.pop();
                }
                emit(line, on_line);
            }
            while line.len() > LINE_MAX {
                let mut cut = LINE_MAX;
                // Not in the middle of a character.
                while cut > LINE_MAX - 4 && (line[cut] & 0xC0) == 0x80 {
                    cut -= 1;
                }
                let rest = line.split_off(cut);
                emit(line, on_line);
                *line = rest;
            }
        }
    }

    fn end(mut self) {
        if let (Some(on_line), false) = (self.on_line, self.line.is_empty()) {
            emit(&mut self.line, on_line);
        }
    }
}

/// The file for the output of a command that outlives its reader: to write, and to read.
fn output_file(record: &Path) -> std::io::Result<(File, File)> {
    let path = left::output_of(record);
    let to = File::options().append(true).create(true).mode(0o600).open(&path)?;
    // What an earlier try has said was told then.
    to.set_len(0)?;
    Ok((to, File::open(&path)?))
}

/// The command is over; what stays of its record names nothing that runs.
fn forget(cmd: &Cmd) {
    if let Some(Err(e)) = cmd.record.as_deref().map(left::forget) {
        tracing::warn!("the record of {} stays: {e}", cmd.display());
    }
}

fn emit(line: &mut Vec<u8>, on_line: OnLine<'_>) {
    on_line(&String::from_utf8_lossy(line));
    line.clear();
}

/// The file that `program` names on `path`, relative names starting at `cwd`.
pub(crate) fn find_on(path: &str, program: &str, cwd: &Path) -> Option<PathBuf> {
    let executable = |p: &Path| p.is_file() && rustix::fs::access(p, rustix::fs::Access::EXEC_OK).is_ok();
    if program.contains('/') {
        let file = cwd.join(program);
        return executable(&file).then_some(file);
    }
    if program.is_empty() {
        return None;
    }
    path.split(':').filter(|d| !d.is_empty()).map(|d| cwd.join(d).join(program)).find(|p| executable(p))
}
