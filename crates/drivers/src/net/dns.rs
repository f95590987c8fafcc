//! Asks one DNS server one question at a time and keeps apart every way of not answering.
//! No cache, no search list, no hosts file: what the server says is what is reported.

use hickory_proto::{
    op::{Edns, Message, MessageType, Query, ResponseCode},
    rr::{Name, RData, RecordType},
};
use safelight_engine::driver::net::{Answer, NetError};
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpStream, UdpSocket},
    time::timeout,
};

/// What servers and networks pass on in one piece nowadays.
const UDP_PAYLOAD: u16 = 1232;
const TRIES: usize = 2;
/// A chain of more CNAMEs than this is a loop.
const CHAIN: usize = 16;

/// Why one question got no message back.
#[derive(Clone, Debug)]
enum Silence {
    Timeout,
    Broken(String),
}

fn io(server: SocketAddr, e: &std::io::Error) -> Silence {
    Silence::Broken(format!("{server}: {e}"))
}

fn name_of(name: &str) -> Result<Name, String> {
    let mut parsed = Name::from_utf8(name).map_err(|e| format!("`{name}` is not a name: {e}"))?;
    parsed.set_fqdn(true);
    Ok(parsed)
}

/// One question, one answer; over TCP when the answer does not fit.
async fn exchange(
    server: SocketAddr,
    name: &Name,
    kind: RecordType,
    limit: Duration,
) -> Result<Message, Silence> {
    let mut last = Silence::Timeout;
    for _ in 0..TRIES {
        match timeout(limit, once(server, name, kind)).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(e)) => last = e,
            Err(_) => last = Silence::Timeout,
        }
    }
    Err(last)
}

fn question(name: &Name, kind: RecordType) -> Result<(u16, Vec<u8>), Silence> {
    // A random id, and a random port below: an answer that somebody else made up does not match.
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(name.clone(), kind));
    let mut edns = Edns::new();
    edns.set_max_payload(UDP_PAYLOAD);
    message.set_edns(edns);
    let bytes = message.to_vec().map_err(|e| Silence::Broken(format!("the question for {name}: {e}")))?;
    Ok((message.metadata.id, bytes))
}

/// The message, when it is the answer to this question.
fn answer_to(id: u16, name: &Name, kind: RecordType, bytes: &[u8]) -> Option<Message> {
    let message = Message::from_vec(bytes).ok()?;
    let asked = message.queries.first();
    // A server that refuses may leave the question out.
    let same = asked.is_none_or(|q| q.name() == name && q.query_type() == kind);
    (message.metadata.id == id && message.metadata.message_type == MessageType::Response && same)
        .then_some(message)
}

async fn once(server: SocketAddr, name: &Name, kind: RecordType) -> Result<Message, Silence> {
    let (id, bytes) = question(name, kind)?;
    let any: IpAddr =
        if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).await.map_err(|e| io(server, &e))?;
    socket.connect(server).await.map_err(|e| io(server, &e))?;
    socket.send(&bytes).await.map_err(|e| io(server, &e))?;
    let mut buffer = [0_u8; 4096];
    loop {
        let n = socket.recv(&mut buffer).await.map_err(|e| io(server, &e))?;
        // Anything else that arrives here is a stray or a forgery; the time limit ends the wait.
        if let Some(message) = answer_to(id, name, kind, &buffer[..n]) {
            if message.metadata.truncation {
                return over_tcp(server, name, kind).await;
            }
            return Ok(message);
        }
    }
}

async fn over_tcp(server: SocketAddr, name: &Name, kind: RecordType) -> Result<Message, Silence> {
    let (id, bytes) = question(name, kind)?;
    let length = u16::try_from(bytes.len()).map_err(|e| Silence::Broken(e.to_string()))?;
    let mut stream = TcpStream::connect(server).await.map_err(|e| io(server, &e))?;
    let mut framed = length.to_be_bytes().to_vec();
    framed.extend(bytes);
    stream.write_all(&framed).await.map_err(|e| io(server, &e))?;
    let size = stream.read_u16().await.map_err(|e| io(server, &e))?;
    let mut answer = vec![0_u8; usize::from(size)];
    stream.read_exact(&mut answer).await.map_err(|e| io(server, &e))?;
    answer_to(id, name, kind, &answer)
        .ok_or_else(|| Silence::Broken(format!("{server} answered over TCP with something else")))
}

/// What one answer says about the addresses of `name`.
fn read(message: &Message, name: &Name) -> Answer {
    match message.metadata.response_code {
        ResponseCode::NoError => {}
        ResponseCode::NXDomain => return Answer::NxDomain { negative_ttl: negative_ttl(message) },
        ResponseCode::Refused => return Answer::Refused,
        // A server that cannot answer in any other way has failed, too.
        _ => return Answer::ServFail,
    }
    let mut at = name.clone();
    let mut cname = Vec::new();
    let mut ttl = u32::MAX;
    while let Some((next, record)) = message.answers.iter().find_map(|r| match &r.data {
        RData::CNAME(target) if r.name == at => Some((target.0.clone(), r)),
        _ => None,
    }) {
        if cname.len() == CHAIN {
            return Answer::ServFail;
        }
        ttl = ttl.min(record.ttl);
        cname.push(next.to_ascii().trim_end_matches('.').to_lowercase());
        at = next;
    }
    let (mut a, mut aaaa) = (Vec::new(), Vec::new());
    for record in message.answers.iter().filter(|r| r.name == at) {
        match &record.data {
            RData::A(ip) => a.push(IpAddr::V4(ip.0)),
            RData::AAAA(ip) => aaaa.push(IpAddr::V6(ip.0)),
            _ => continue,
        }
        ttl = ttl.min(record.ttl);
    }
    // An authoritative server knows its own zone only: a CNAME that leads out of it is its whole answer.
    let whole = !cname.is_empty() && message.metadata.authoritative;
    if a.is_empty() && aaaa.is_empty() && !whole {
        return Answer::NoData;
    }
    Answer::Records { a, aaaa, cname, ttl }
}

/// How long a resolver may remember that a name does not exist: the smaller of the SOA's own TTL and its minimum.
fn negative_ttl(message: &Message) -> Option<u32> {
    message.authorities.iter().find_map(|r| match &r.data {
        RData::SOA(soa) => Some(r.ttl.min(soa.minimum)),
        _ => None,
    })
}

/// A and AAAA together. Trouble with one of them is trouble: half an answer must not pass for a whole one.
fn merge(four: Answer, six: Answer) -> Answer {
    match (four, six) {
        (Answer::Records { a, cname, ttl, .. }, Answer::Records { aaaa, ttl: other, .. }) => {
            Answer::Records { a, aaaa, cname, ttl: ttl.min(other) }
        }
        (r @ Answer::Records { .. }, Answer::NoData) | (Answer::NoData, r @ Answer::Records { .. }) => r,
        (Answer::Records { .. } | Answer::NoData, other) | (other, _) => other,
    }
}

/// Asks one server for A and AAAA side by side. The flag says whether it is authoritative.
pub(super) async fn ask(server: SocketAddr, name: &str, limit: Duration) -> (bool, Answer) {
    let name = match name_of(name) {
        Ok(n) => n,
        Err(why) => return (false, Answer::Unreachable { why }),
    };
    let (four, six) = tokio::join!(
        exchange(server, &name, RecordType::A, limit),
        exchange(server, &name, RecordType::AAAA, limit)
    );
    let authoritative = four.as_ref().is_ok_and(|m| m.metadata.authoritative);
    let answer = |r: Result<Message, Silence>| match r {
        Ok(m) => read(&m, &name),
        Err(Silence::Timeout) => Answer::Timeout,
        Err(Silence::Broken(why)) => Answer::Unreachable { why },
    };
    (authoritative, merge(answer(four), answer(six)))
}

/// Asks the servers one after the other, as a stub resolver does: the next one only when one gives no answer.
pub(super) async fn ask_any(servers: &[SocketAddr], name: &str, limit: Duration) -> (bool, Answer) {
    let mut last = (false, Answer::Unreachable { why: "no server to ask".to_owned() });
    for server in servers {
        last = ask(*server, name, limit).await;
        if matches!(last.1, Answer::Records { .. } | Answer::NxDomain { .. } | Answer::NoData) {
            break;
        }
    }
    last
}

/// Asks any of `servers`, and wants an answer.
async fn ask_for(
    servers: &[SocketAddr],
    name: &Name,
    kind: RecordType,
    limit: Duration,
) -> Result<Message, NetError> {
    let mut last = NetError::Unreachable("no server to ask".to_owned());
    for server in servers {
        match exchange(*server, name, kind, limit).await {
            Ok(m) => match m.metadata.response_code {
                ResponseCode::NoError | ResponseCode::NXDomain => return Ok(m),
                code => last = NetError::Unreachable(format!("{server} says {code} to {kind} of {name}")),
            },
            Err(Silence::Timeout) => last = NetError::Timeout,
            Err(Silence::Broken(why)) => last = NetError::Unreachable(why),
        }
    }
    Err(last)
}

/// The addresses of the authoritative servers of the zone that holds `name`, one for each server, IPv4 preferred.
pub(super) async fn authorities(
    servers: &[SocketAddr],
    name: &str,
    port: u16,
    limit: Duration,
) -> Result<Vec<SocketAddr>, NetError> {
    let mut zone = name_of(name).map_err(NetError::Unreachable)?;
    let mut hosts: Vec<Name> = Vec::new();
    while !zone.is_root() {
        let answer = ask_for(servers, &zone, RecordType::NS, limit).await?;
        // Only the zone's own records: behind a CNAME, those of somebody else's zone come along.
        hosts = answer
            .answers
            .iter()
            .filter(|r| r.name == zone)
            .filter_map(|r| match &r.data {
                RData::NS(ns) => Some(ns.0.clone()),
                _ => None,
            })
            .collect();
        if !hosts.is_empty() {
            break;
        }
        zone = zone.base_name();
    }
    let mut found = Vec::new();
    for host in hosts.iter().take(8) {
        let (_, answer) = ask_any(servers, &host.to_ascii(), limit).await;
        if let Answer::Records { a, aaaa, .. } = answer
            && let Some(ip) = a.first().or(aaaa.first())
        {
            let addr = SocketAddr::new(*ip, port);
            if !found.contains(&addr) {
                found.push(addr);
            }
        }
    }
    if found.is_empty() {
        return Err(NetError::Unreachable(format!("no authoritative server of {name} has an address")));
    }
    Ok(found)
}
