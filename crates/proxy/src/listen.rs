//! Binds the listen addresses and says who is in the way.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use tokio::net::{TcpListener, TcpSocket};

use crate::error::ProxyError;
use crate::options::ListenSpec;

/// Connections that wait for `accept`: enough for the burst after a restart.
const BACKLOG: u32 = 4096;

/// Binds an address, or takes the inherited socket that has it.
pub(crate) fn bind(spec: &ListenSpec, inherited: &mut Vec<OwnedFd>) -> Result<TcpListener, ProxyError> {
    let address = spec.address;
    if let Some(listener) = take(address, inherited) {
        return listener.map_err(|reason| ProxyError::Listen { address, reason, owner: None });
    }
    let bound = (|| {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        // Connections of a predecessor in TIME_WAIT do not keep a restart from binding.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    })();
    bound.map_err(|reason| {
        let owner = (reason.kind() == ErrorKind::AddrInUse).then(|| owner_of(address)).flatten();
        ProxyError::Listen { address, reason, owner }
    })
}

fn take(address: SocketAddr, inherited: &mut Vec<OwnedFd>) -> Option<std::io::Result<TcpListener>> {
    let has_it = |fd: &OwnedFd| {
        let bound = rustix::net::getsockname(fd).ok().and_then(|a| SocketAddr::try_from(a).ok());
        // Port 0 asks for any port: the one that the predecessor got is as good.
        bound.is_some_and(|b| b == address || (address.port() == 0 && b.ip() == address.ip()))
    };
    let at = inherited.iter().position(has_it)?;
    let listener = std::net::TcpListener::from(inherited.remove(at));
    Some(listener.set_nonblocking(true).and_then(|()| TcpListener::from_std(listener)))
}

/// The process that listens on the port, from `/proc`; None when it cannot be seen.
pub(crate) fn owner_of(address: SocketAddr) -> Option<String> {
    let inodes: Vec<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|path| std::fs::read_to_string(path).ok())
        .flat_map(|text| {
            text.lines().skip(1).filter_map(|l| listening_inode(l, address.port())).collect::<Vec<_>>()
        })
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    let processes = std::fs::read_dir("/proc").ok()?.flatten();
    for process in processes {
        let name = process.file_name();
        let Some(pid) = name.to_str().filter(|n| n.bytes().all(|b| b.is_ascii_digit())) else { continue };
        let Ok(fds) = std::fs::read_dir(process.path().join("fd")) else { continue };
        let owns = fds.flatten().any(|fd| {
            std::fs::read_link(fd.path())
                .is_ok_and(|l| l.to_str().is_some_and(|l| inodes.iter().any(|i| i == l)))
        });
        if owns {
            let command = std::fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            return Some(format!("`{}` (pid {pid})", command.trim()));
        }
    }
    None
}

fn listening_inode(line: &str, port: u16) -> Option<String> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let local = fields.get(1)?.rsplit(':').next()?;
    let listens = *fields.get(3)? == "0A";
    (listens && u16::from_str_radix(local, 16).ok()? == port)
        .then(|| fields.get(9).map(|i| (*i).to_owned()))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_taken_port_names_its_owner() {
        let holder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = holder.local_addr().unwrap();
        let error = bind(&ListenSpec::plain(address), &mut Vec::new()).unwrap_err().to_string();
        assert!(error.contains(&format!("(pid {})", std::process::id())), "{error}");
        assert!(error.contains(&address.to_string()), "{error}");
    }

    #[tokio::test]
    async fn an_inherited_socket_is_used_instead_of_binding() {
        let holder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = holder.local_addr().unwrap();
        let mut inherited = vec![OwnedFd::from(holder)];
        let listener = bind(&ListenSpec::plain(address), &mut inherited).unwrap();
        assert_eq!(listener.local_addr().unwrap(), address);
        assert!(inherited.is_empty());
    }
}
