//! Replaces a running proxy by a new process, from outside: what `safelight proxy upgrade` does.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::client::ControlClient;
use crate::error::ControlError;
use crate::protocol::State;

/// What an upgrade did.
#[derive(Debug, Clone, PartialEq)]
pub struct Upgraded {
    /// Process that served before; it is finishing its requests and ends by itself.
    pub before_pid: u32,
    /// The process that serves now.
    pub now: State,
}

/// Why an upgrade did not happen. The process that served before goes on serving in every case.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UpgradeError {
    /// No proxy runs, or it does not answer.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// The new program could not be started.
    #[error("cannot start the new proxy ({program}): {source}; the old one goes on serving")]
    Start {
        /// The program.
        program: String,
        /// What the system said.
        source: io::Error,
    },
    /// The new process ended before it served; its own output says why.
    #[error(
        "the new proxy ended with {status} before it served; its output says why, the old one goes on serving"
    )]
    Ended {
        /// How it ended.
        status: ExitStatus,
    },
    /// The new process did not serve in time and was killed.
    #[error("the new proxy did not serve within {} s and was stopped; the old one goes on serving", within.as_secs())]
    TooLate {
        /// The time that it had.
        within: Duration,
    },
}

/// Starts `command`, which must run a proxy with `take_over` set on the control socket of `control`, and
/// waits until it serves. The new process outlives the caller and its terminal.
///
/// # Errors
/// See [`UpgradeError`].
pub async fn upgrade(
    control: &ControlClient,
    mut command: Command,
    within: Duration,
) -> Result<Upgraded, UpgradeError> {
    let before_pid = control.state().await?.pid;
    let program = command.get_program().to_string_lossy().into_owned();
    // A group of its own: Ctrl-C in this terminal is not meant for the proxy.
    let child = command.stdin(Stdio::null()).process_group(0).spawn();
    let mut child = child.map_err(|source| UpgradeError::Start { program: program.clone(), source })?;
    let started = Instant::now();
    loop {
        if let Ok(now) = control.state().await
            && now.pid == child.id()
        {
            return Ok(Upgraded { before_pid, now });
        }
        let ended =
            child.try_wait().map_err(|source| UpgradeError::Start { program: program.clone(), source })?;
        if let Some(status) = ended {
            return Err(UpgradeError::Ended { status });
        }
        if started.elapsed() > within {
            if let Err(error) = child.kill().and_then(|()| child.wait().map(drop)) {
                tracing::warn!(%error, "the new proxy could not be stopped");
            }
            return Err(UpgradeError::TooLate { within });
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Tells systemd, if it asked, that this process serves and is the main one now. With `NotifyAccess=all`
/// and `ExecReload=safelight proxy upgrade` the unit follows an upgrade.
pub(crate) fn notify_supervisor() {
    let Some(socket) = std::env::var_os("NOTIFY_SOCKET") else { return };
    if let Err(error) = notify(socket.as_encoded_bytes()) {
        tracing::warn!(%error, "could not tell the supervisor that the proxy serves");
    }
}

fn notify(socket: &[u8]) -> io::Result<()> {
    let address = match socket {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        path => SocketAddr::from_pathname(std::str::from_utf8(path).map_err(io::Error::other)?)?,
    };
    let text = format!("READY=1\nMAINPID={}", std::process::id());
    UnixDatagram::unbound()?.send_to_addr(text.as_bytes(), &address).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_supervisor_is_told_over_a_path_or_an_abstract_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let name = format!("safelight-notify-test-{}", std::process::id());
        let abstract_socket =
            UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        let path_socket = UnixDatagram::bind(&path).unwrap();
        for (address, socket) in
            [(path.to_str().unwrap().to_owned(), path_socket), (format!("@{name}"), abstract_socket)]
        {
            notify(address.as_bytes()).unwrap();
            let mut text = [0u8; 64];
            let n = socket.recv(&mut text).unwrap();
            let expected = format!("READY=1\nMAINPID={}", std::process::id());
            assert_eq!(std::str::from_utf8(&text[..n]).unwrap(), expected);
        }
    }
}
