//! Another proxy stands in front of Safelight's own, as nginx does.

use rustix::process::Signal;
use safelight_testkit::{
    bed::{Bed, Release},
    processes,
};
use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
};

/// What the app is told about a client that a proxy in front speaks for. The first address is one that the client
/// itself has named.
fn client_as_the_app_sees_it(bed: &Bed) -> Option<String> {
    let mut tcp = TcpStream::connect(bed.addr()).ok()?;
    let request = "GET /client HTTP/1.1\r\nHost: shop.localhost\r\nConnection: close\r\n\
                   X-Forwarded-For: 192.0.2.66, 203.0.113.9\r\nX-Forwarded-Proto: https\r\n\r\n";
    tcp.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    tcp.read_to_string(&mut answer).ok()?;
    answer.split_once("\r\n\r\n").map(|(_, body)| body.trim().to_owned())
}

#[test]
fn a_proxy_in_front_is_believed_once_it_is_named_and_from_then_on() {
    const STRANGER: &str = "127.0.0.1 http shop.localhost";
    const BELIEVED: &str = "203.0.113.9 https shop.localhost";
    let bed = Bed::new();
    bed.deploy(&Release::new("v1", 1)).ended(0);
    assert_eq!(client_as_the_app_sees_it(&bed).as_deref(), Some(STRANGER));
    bed.safelight(&["host", "start", "--trust-proxy", "127.0.0.1"])
        .ended(1)
        .says(&["safelight proxy upgrade"]);
    bed.safelight(&["host", "start", "--trust-proxy", "nginx"])
        .ended(2)
        .says(&["not an address or a network"]);

    bed.safelight(&["host", "stop"]).ended(0);
    let both = ["host", "start", "--trust-proxy", "127.0.0.1", "--trust-proxy", "10.0.0.0/8"];
    bed.safelight(&both).ended(0).says(&["the running proxy trusts nobody", "127.0.0.1, 10.0.0.0/8"]);
    bed.safelight(&["doctor"]).ended(1).says(&["the running proxy trusts nobody"]);
    assert_eq!(client_as_the_app_sees_it(&bed).as_deref(), Some(STRANGER), "it runs as it was started");
    bed.safelight(&["proxy", "upgrade"]).ended(0);
    assert_eq!(client_as_the_app_sees_it(&bed).as_deref(), Some(BELIEVED));
    bed.safelight(&["doctor"]).ended(0).says(&["127.0.0.1, 10.0.0.0/8"]);
    bed.safelight(&["status"]).ended(0).says(&["believes X-Forwarded-* of 127.0.0.1, 10.0.0.0/8"]);

    // What starts it again passes it on.
    let pid = bed.status().unwrap()["proxy"]["pid"].as_u64().unwrap();
    processes::kill(u32::try_from(pid).unwrap(), Signal::KILL);
    bed.wait_until("the proxy is back", |b| client_as_the_app_sees_it(b).is_some());
    assert_eq!(client_as_the_app_sees_it(&bed).as_deref(), Some(BELIEVED));

    // So does a start that says nothing about it, or other addresses only.
    bed.safelight(&["host", "stop", "--proxy"]).ended(0);
    bed.safelight(&["host", "start", "--listen", &bed.addr().to_string()]).ended(0);
    assert_eq!(client_as_the_app_sees_it(&bed).as_deref(), Some(BELIEVED));
    bed.safelight(&["host", "stop", "--proxy"]).ended(0);
    bed.safelight(&["host", "start", "--trust-proxy", "none"]).ended(0);
    assert_eq!(client_as_the_app_sees_it(&bed).as_deref(), Some(STRANGER));
}
