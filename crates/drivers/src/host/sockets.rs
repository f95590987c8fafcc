//! Listening TCP sockets from /proc/net, joined with the processes that hold them.
//! Sees the network namespace of this process only.

use super::{diag, proc};
use safelight_engine::driver::host::{HostError, Listener};
use std::{
    collections::{HashMap, HashSet},
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::Path,
};

/// A row of `/proc/net/tcp` or `tcp6` in state LISTEN.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    addr: IpAddr,
    port: u16,
    inode: u64,
}

/// All listening sockets with their owners, as far as they may be seen.
pub(super) fn listeners() -> Result<Vec<Listener>, HostError> {
    let mut rows = Vec::new();
    for (file, required) in [("/proc/net/tcp", true), ("/proc/net/tcp6", false)] {
        match fs::read_to_string(file) {
            Ok(text) => rows.extend(parse(&text)),
            Err(e) if required || e.kind() != std::io::ErrorKind::NotFound => {
                return Err(HostError::io(format!("read {file}"), &e));
            }
            // A kernel without IPv6.
            Err(_) => {}
        }
    }
    let wanted: HashSet<u64> = rows.iter().map(|r| r.inode).collect();
    let owners = owners(&wanted);
    let users = proc::users();
    let v6only = if rows.iter().any(|r| r.addr.is_ipv6()) { diag::v6only_by_inode() } else { HashMap::new() };
    let mut found: Vec<Listener> = rows
        .into_iter()
        .map(|row| Listener {
            addr: row.addr,
            port: row.port,
            v6only: if row.addr.is_ipv6() { v6only.get(&row.inode).copied() } else { None },
            owner: owners.get(&row.inode).and_then(|pid| proc::info(*pid, &users)),
        })
        .collect();
    found.sort_by_key(|l| (l.port, l.addr));
    Ok(found)
}

/// The process that holds each socket. Of several (a parent and its forks) the oldest: it is the one to stop.
fn owners(wanted: &HashSet<u64>) -> HashMap<u64, u32> {
    let mut owners: HashMap<u64, (u64, u32)> = HashMap::new();
    for pid in proc::pids() {
        let Ok(fds) = fs::read_dir(format!("/proc/{pid}/fd")) else { continue };
        let mut start = None;
        for fd in fds.flatten() {
            let Some(inode) = socket_inode(&fd.path()) else { continue };
            if !wanted.contains(&inode) {
                continue;
            }
            let ticks = *start.get_or_insert_with(|| proc::stat(pid).map_or(u64::MAX, |s| s.start_ticks));
            let entry = owners.entry(inode).or_insert((ticks, pid));
            *entry = (*entry).min((ticks, pid));
        }
    }
    owners.into_iter().map(|(inode, (_, pid))| (inode, pid)).collect()
}

fn socket_inode(fd: &Path) -> Option<u64> {
    fs::read_link(fd).ok()?.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

fn parse(text: &str) -> Vec<Row> {
    text.lines()
        .skip(1)
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_ascii_whitespace().collect();
            if *fields.get(3)? != "0A" {
                return None;
            }
            let (addr, port) = fields.get(1)?.split_once(':')?;
            Some(Row {
                addr: address(addr)?,
                port: u16::from_str_radix(port, 16).ok()?,
                inode: fields.get(9)?.parse().ok()?,
            })
        })
        .collect()
}

/// The kernel prints addresses as 32-bit words in the machine's own byte order.
fn address(hex: &str) -> Option<IpAddr> {
    let word = |at: usize| u32::from_str_radix(hex.get(at..at + 8)?, 16).ok().map(u32::to_ne_bytes);
    match hex.len() {
        8 => Some(IpAddr::V4(Ipv4Addr::from(word(0)?))),
        32 => {
            let mut bytes = [0; 16];
            for i in 0..4 {
                bytes[i * 4..i * 4 + 4].copy_from_slice(&word(i * 8)?);
            }
            Some(IpAddr::V6(Ipv6Addr::from(bytes)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_both_families_are_read_and_only_listening_ones_kept() {
        let text = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 111 1 0 100 0 0 10 0
   1: 0100007F:1F90 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 112 1 0 20 4 30 10 -1
   2: 00000000000000000000000001000000:0BB9 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 113 1 0 100 0 0 10 0
   3: 00000000000000000000000000000000:0BBA 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 114 1 0 100 0 0 10 0
";
        let rows = parse(text);
        assert_eq!(
            rows,
            [
                Row { addr: "127.0.0.1".parse().unwrap(), port: 8080, inode: 111 },
                Row { addr: "::1".parse().unwrap(), port: 3001, inode: 113 },
                Row { addr: "::".parse().unwrap(), port: 3002, inode: 114 },
            ]
        );
    }
}
