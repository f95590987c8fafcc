//! `sock_diag` over netlink: the one place where Linux tells whether an IPv6 listener leaves IPv4 alone.
//! A bonus: every failure means "could not be told", never an error.

use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send, socket_with, sockopt,
};
use std::{collections::HashMap, time::Duration};

const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_REQUEST_DUMP: u16 = 0x1 | 0x300;
const AF_INET6: u8 = 10;
const IPPROTO_TCP: u8 = 6;
const TCP_LISTEN: u32 = 10;
/// The attribute that carries IPV6_V6ONLY.
const INET_DIAG_SKV6ONLY: u16 = 11;
const NL_HEADER: usize = 16;
const DIAG_MSG: usize = 72;

/// For each listening IPv6 TCP socket, by inode, whether it is IPv6 only.
pub(super) fn v6only_by_inode() -> HashMap<u64, bool> {
    ask().unwrap_or_default()
}

fn ask() -> rustix::io::Result<HashMap<u64, bool>> {
    let socket = socket_with(
        AddressFamily::NETLINK,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC,
        Some(netlink::SOCK_DIAG),
    )?;
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Recv, Some(Duration::from_secs(1)))?;
    let mut request = Vec::with_capacity(NL_HEADER + 56);
    request.extend_from_slice(&72_u32.to_ne_bytes());
    request.extend_from_slice(&SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    request.extend_from_slice(&NLM_F_REQUEST_DUMP.to_ne_bytes());
    request.extend_from_slice(&[0; 8]); // sequence, port id
    request.extend_from_slice(&[AF_INET6, IPPROTO_TCP, 0, 0]);
    request.extend_from_slice(&(1_u32 << TCP_LISTEN).to_ne_bytes());
    request.extend_from_slice(&[0; 48]); // any socket
    send(&socket, &request, SendFlags::empty())?;

    let mut found = HashMap::new();
    let mut buffer = vec![0_u8; 64 << 10];
    loop {
        let (n, _) = recv(&socket, buffer.as_mut_slice(), RecvFlags::empty())?;
        if n == 0 || !parse(&buffer[..n], &mut found) {
            return Ok(found);
        }
    }
}

/// Reads one datagram of messages; false when the dump is over.
fn parse(mut data: &[u8], found: &mut HashMap<u64, bool>) -> bool {
    let u16_at = |d: &[u8], at: usize| d.get(at..at + 2).map(|b| u16::from_ne_bytes([b[0], b[1]]));
    let u32_at =
        |d: &[u8], at: usize| d.get(at..at + 4).map(|b| u32::from_ne_bytes([b[0], b[1], b[2], b[3]]));
    while let (Some(length), Some(kind)) = (u32_at(data, 0), u16_at(data, 4)) {
        let length = length as usize;
        if matches!(kind, NLMSG_ERROR | NLMSG_DONE) || length < NL_HEADER || length > data.len() {
            return false;
        }
        let message = &data[NL_HEADER..length];
        if let Some(inode) = u32_at(message, DIAG_MSG - 4) {
            let mut rest = message.get(DIAG_MSG..).unwrap_or_default();
            while let (Some(size), Some(kind)) = (u16_at(rest, 0), u16_at(rest, 2)) {
                let size = usize::from(size);
                if size < 4 || size > rest.len() {
                    break;
                }
                if kind == INET_DIAG_SKV6ONLY
                    && let Some(value) = rest.get(4)
                {
                    found.insert(u64::from(inode), *value != 0);
                }
                rest = rest.get(size.next_multiple_of(4)..).unwrap_or_default();
            }
        }
        data = data.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    true
}
