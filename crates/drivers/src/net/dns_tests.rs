//! DNS against a real name server: Knot DNS on a free port of 127.0.0.1.

use super::*;
use std::{
    fmt::Write as _,
    net::{TcpListener, UdpSocket},
    process::{Child, Command, Stdio},
};

/// A name server with one good zone, `example.com`, and one that it cannot load, `broken.example.com`.
pub(super) struct Knot {
    child: Child,
    pub(super) addr: SocketAddr,
    _dir: tempfile::TempDir,
}

impl Drop for Knot {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port of 127.0.0.1 that is free for UDP and TCP both.
fn free_port() -> u16 {
    for _ in 0..50 {
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = udp.local_addr().unwrap().port();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no port of 127.0.0.1 is free for both UDP and TCP");
}

const ZONE: &str = "$ORIGIN example.com.
$TTL 300
@ SOA ns1 admin 1 3600 600 86400 60
@ NS ns1
@ NS ns2
ns1 A 127.0.0.1
ns2 A 127.0.0.1
www 120 A 192.0.2.1
www 120 A 192.0.2.2
www AAAA 2001:db8::1
four A 192.0.2.4
text TXT \"no address\"
alias 30 CNAME middle
middle CNAME www
img CNAME film.cdn.example.net.
gone CNAME nobody
loop CNAME loop2
loop2 CNAME loop
";

impl Knot {
    pub(super) async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().display().to_string();
        let mut zone = ZONE.to_owned();
        for i in 0..120 {
            let _ = writeln!(zone, "many AAAA 2001:db8::{:x}", i + 1);
        }
        std::fs::write(dir.path().join("good.zone"), zone).unwrap();
        let port = free_port();
        let conf = format!(
            "server:\n  rundir: {at}\n  listen: 127.0.0.1@{port}\n  udp-workers: 1\n  tcp-workers: 1\n  background-workers: 1\nlog:\n  - target: stderr\n    any: error\ndatabase:\n  storage: {at}\nzone:\n  - domain: example.com\n    file: {at}/good.zone\n  - domain: broken.example.com\n    file: {at}/missing.zone\n"
        );
        let file = dir.path().join("knot.conf");
        std::fs::write(&file, conf).unwrap();
        // Debian keeps daemons out of an ordinary user's PATH.
        let program = ["knotd", "/usr/sbin/knotd"].into_iter().find_map(|p| {
            let started =
                Command::new(p).arg("-c").arg(&file).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
            started.ok()
        });
        let child = program
            .expect("knotd is not installed: `apt-get install knot` (this test needs a real name server)");
        let mut knot = Self { child, addr: SocketAddr::from(([127, 0, 0, 1], port)), _dir: dir };
        for _ in 0..200 {
            let (_, answer) = dns::ask(knot.addr, "www.example.com", Duration::from_millis(250)).await;
            if matches!(answer, Answer::Records { .. }) {
                return knot;
            }
            let ended = knot.child.try_wait().unwrap();
            assert!(ended.is_none(), "knotd ended at once: {ended:?}");
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("knotd did not answer within 5 s");
    }

    pub(super) fn net(&self) -> SystemNet {
        SystemNet::new().with_resolvers(vec![self.addr]).with_authority_port(self.addr.port())
    }
}

fn ips(list: &[&str]) -> Vec<IpAddr> {
    list.iter().map(|s| s.parse().unwrap()).collect()
}

#[tokio::test]
async fn both_families_the_chain_of_cnames_and_the_smallest_ttl_are_reported() {
    let knot = Knot::start().await;
    let net = knot.net();
    let r = net.resolve("www.example.com", Some(knot.addr)).await;
    assert!(r.authoritative);
    let Answer::Records { mut a, aaaa, cname, ttl } = r.answer else { panic!("{:?}", r.answer) };
    a.sort();
    assert_eq!((a, aaaa), (ips(&["192.0.2.1", "192.0.2.2"]), ips(&["2001:db8::1"])));
    assert_eq!((cname.len(), ttl), (0, 120));
    let r = net.resolve("ALIAS.example.com.", None).await;
    assert_eq!(r.server, "system");
    let Answer::Records { a, cname, ttl, .. } = r.answer else { panic!("{:?}", r.answer) };
    assert_eq!((a.len(), ttl), (2, 30));
    assert_eq!(cname, ["middle.example.com", "www.example.com"]);
    let r = net.resolve("four.example.com", None).await.answer;
    assert_eq!(r, Answer::Records { a: ips(&["192.0.2.4"]), aaaa: vec![], cname: vec![], ttl: 300 });
}

#[tokio::test]
async fn a_cname_out_of_the_zone_is_a_whole_answer_of_its_server() {
    let knot = Knot::start().await;
    let r = knot.net().resolve("img.example.com", Some(knot.addr)).await.answer;
    let cname = vec!["film.cdn.example.net".to_owned()];
    assert_eq!(r, Answer::Records { a: vec![], aaaa: vec![], cname, ttl: 300 });
}

#[tokio::test]
async fn every_way_of_not_answering_is_told_apart() {
    let knot = Knot::start().await;
    let net = knot.net();
    let ask = async |name: &str| net.resolve(name, Some(knot.addr)).await.answer;
    assert_eq!(ask("nobody.example.com").await, Answer::NxDomain { negative_ttl: Some(60) });
    assert_eq!(ask("gone.example.com").await, Answer::NxDomain { negative_ttl: Some(60) });
    assert_eq!(ask("text.example.com").await, Answer::NoData);
    assert_eq!(ask("www.broken.example.com").await, Answer::ServFail);
    assert_eq!(ask("www.example.org").await, Answer::Refused);
    assert!(matches!(ask("a..b").await, Answer::Unreachable { .. }));
}

#[tokio::test]
async fn a_loop_of_cnames_ends() {
    let knot = Knot::start().await;
    let answer = knot.net().resolve("loop.example.com", Some(knot.addr)).await.answer;
    assert!(
        !matches!(&answer, Answer::Records { a, aaaa, .. } if !a.is_empty() || !aaaa.is_empty()),
        "{answer:?}"
    );
}

#[tokio::test]
async fn an_answer_too_long_for_a_datagram_comes_over_tcp() {
    let knot = Knot::start().await;
    let Answer::Records { aaaa, .. } = knot.net().resolve("many.example.com", Some(knot.addr)).await.answer
    else {
        panic!("no records");
    };
    assert_eq!(aaaa.len(), 120);
}

#[tokio::test]
async fn a_silent_server_is_a_time_out_and_a_closed_port_cannot_be_asked() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let net = SystemNet::new().with_dns_timeout(Duration::from_millis(100));
    let r = net.resolve("www.example.com", Some(silent.local_addr().unwrap())).await;
    assert_eq!((r.answer, r.authoritative), (Answer::Timeout, false));
    let closed = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let r = net.resolve("www.example.com", Some(closed)).await.answer;
    assert!(matches!(r, Answer::Unreachable { .. }), "{r:?}");
}

#[tokio::test]
async fn the_next_server_is_asked_when_one_gives_no_answer_but_not_when_it_says_no() {
    let knot = Knot::start().await;
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let quiet = silent.local_addr().unwrap();
    let net =
        SystemNet::new().with_resolvers(vec![quiet, knot.addr]).with_dns_timeout(Duration::from_millis(100));
    assert!(matches!(net.resolve("www.example.com", None).await.answer, Answer::Records { .. }));
    let net = net.with_resolvers(vec![knot.addr, quiet]);
    assert!(matches!(net.resolve("nobody.example.com", None).await.answer, Answer::NxDomain { .. }));
}

#[tokio::test]
async fn a_forged_answer_with_another_id_is_waited_out() {
    let forger = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let addr = forger.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = [0_u8; 512];
        while let Ok((n, from)) = forger.recv_from(&mut buffer).await {
            let mut lie = buffer[..n].to_vec();
            lie[0] ^= 0xff;
            lie[2] |= 0x80;
            let _ = forger.send_to(&lie, from).await;
            let _ = forger.send_to(b"noise", from).await;
        }
    });
    let net = SystemNet::new().with_dns_timeout(Duration::from_millis(100));
    assert_eq!(net.resolve("www.example.com", Some(addr)).await.answer, Answer::Timeout);
}

#[tokio::test]
async fn the_authoritative_servers_of_the_zone_are_found_from_any_name_in_it() {
    let knot = Knot::start().await;
    let net = knot.net();
    for name in ["example.com", "www.example.com", "img.example.com", "no.such.example.com"] {
        let servers = net.authorities(name).await.unwrap();
        assert_eq!(servers, [knot.addr], "{name}: two servers at one address are one");
    }
    assert!(net.authorities("example.org").await.is_err());
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let net =
        net.with_resolvers(vec![silent.local_addr().unwrap()]).with_dns_timeout(Duration::from_millis(100));
    assert_eq!(net.authorities("example.com").await.unwrap_err(), NetError::Timeout);
}
