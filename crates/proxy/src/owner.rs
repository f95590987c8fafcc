//! Ownership of the control socket: a lock file that the kernel frees when the process dies, so a stale
//! socket is told from a live one without guessing. The lock passes to a successor with its descriptor.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;

use crate::error::ProxyError;
use crate::handover;

/// The lock and the two sockets of a proxy.
pub(crate) struct Owned {
    pub(crate) lock: File,
    pub(crate) control: UnixListener,
    pub(crate) handover: UnixListener,
}

/// Takes the control socket, refusing while another process has it.
pub(crate) fn acquire(control: &Path) -> Result<Owned, ProxyError> {
    let lock_path = with_suffix(control, ".lock");
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| ProxyError::ControlSocket { path, source }
    };
    if let Some(folder) = control.parent().filter(|p| !p.as_os_str().is_empty()) {
        fs::create_dir_all(folder).map_err(io(folder))?;
    }
    let mut lock = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&lock_path)
        .map_err(io(&lock_path))?;
    match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let mut pid = String::new();
            let _ = lock.read_to_string(&mut pid);
            return Err(ProxyError::AlreadyRunning { socket: control.into(), pid: pid.trim().parse().ok() });
        }
        Err(e) => return Err(io(&lock_path)(e.into())),
    }
    write_pid(&mut lock).map_err(io(&lock_path))?;
    let handover_path = handover::socket_path(control);
    Ok(Owned {
        control: bind(control).map_err(io(control))?,
        handover: bind(&handover_path).map_err(io(&handover_path))?,
        lock,
    })
}

/// Takes what a predecessor handed over.
pub(crate) fn adopt(lock: OwnedFd, control: OwnedFd, handover: OwnedFd) -> Result<Owned, ProxyError> {
    let system = |source| ProxyError::System { what: "cannot use the sockets that were handed over", source };
    let mut lock = File::from(lock);
    write_pid(&mut lock).map_err(system)?;
    let (control, handover) = (UnixListener::from(control), UnixListener::from(handover));
    control.set_nonblocking(true).and_then(|()| handover.set_nonblocking(true)).map_err(system)?;
    Ok(Owned { lock, control, handover })
}

/// Removes the sockets of a process that ends without a successor.
pub(crate) fn remove(control: &Path) {
    for path in [control.to_owned(), handover::socket_path(control)] {
        if let Err(error) = fs::remove_file(&path) {
            tracing::debug!(path = %path.display(), %error, "could not remove a socket");
        }
    }
}

fn write_pid(lock: &mut File) -> std::io::Result<()> {
    lock.set_len(0)?;
    lock.seek(SeekFrom::Start(0))?;
    writeln!(lock, "{}", std::process::id())
}

/// Binds under another name, narrows the rights, then renames: the socket is never open to others, and it
/// replaces a stale one in the same step.
fn bind(path: &Path) -> std::io::Result<UnixListener> {
    let fresh = with_suffix(path, ".new");
    match fs::remove_file(&fresh) {
        Err(e) if e.kind() != ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let listener = UnixListener::bind(&fresh)?;
    fs::set_permissions(&fresh, Permissions::from_mode(0o600))?;
    fs::rename(&fresh, path)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_live_owner_is_respected_and_a_stale_socket_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("proxy.sock");
        let first = acquire(&socket).unwrap();
        let error = acquire(&socket).err().unwrap();
        assert!(
            matches!(error, ProxyError::AlreadyRunning { pid: Some(p), .. } if p == std::process::id()),
            "{error}"
        );
        // Dropping closes the sockets and leaves their files, as a kill does.
        drop(first);
        assert!(socket.exists());
        let second = acquire(&socket).unwrap();
        assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
        drop(second);
    }
}
