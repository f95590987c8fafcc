//! An app that can use one port only: old and new are exchanged while the proxy holds the requests.

use rustix::process::Signal;
use safelight_testkit::{
    bed::{Bed, HOST, PATIENCE, Release},
    processes,
};
use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    time::{Duration, Instant},
};

/// A bed whose two services can use one port each.
fn bed_with_fixed_ports() -> Bed {
    let mut bed = Bed::new();
    let ports: Vec<TcpListener> = (0..2).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    for (path, l) in ["/api", "/"].iter().zip(&ports) {
        let port = l.local_addr().unwrap().port();
        bed.configure(&format!("path = \"{path}\""), &format!("path = \"{path}\"\nfixed-port = {port}"));
    }
    bed
}

#[test]
fn an_exchange_that_is_killed_is_finished_or_taken_back() {
    let mut bed = bed_with_fixed_ports();
    bed.deploy(&Release::new("v1", 1)).ended(0);
    bed.traffic_begins();
    let mut old = "v1".to_owned();
    let points =
        ["intent:exchange:api", "applied:exchange:api", "intent:exchange:web", "applied:exchange:web"];
    for (n, (point, command)) in points.iter().flat_map(|p| [(p, "abort"), (p, "resume")]).enumerate() {
        let version = format!("v{}", n + 2);
        bed.restart_daemon();
        bed.mark(&format!("{command} at {point}"));
        bed.prepare(&Release::new(&version, 1));
        bed.order(point, "kill");
        let mut cli = bed.background(&["deploy"]);
        let until = Instant::now() + PATIENCE;
        while !bed.daemon_died() {
            assert!(Instant::now() < until, "{point}: {}", cli.so_far());
            std::thread::sleep(Duration::from_millis(5));
        }
        cli.kill();
        bed.reap_daemon();
        bed.safelight(&[command]).ended(0);
        if command == "resume" {
            old = version;
        }
        bed.serves_exactly(&old);
    }
    bed.nobody_was_failed();
}

#[test]
fn an_app_with_one_port_is_exchanged_in_place_and_no_request_fails() {
    let mut bed = bed_with_fixed_ports();
    bed.deploy(&Release::new("v1", 1)).ended(0);
    bed.serves_exactly("v1");
    bed.traffic_begins();
    for n in 2..5 {
        let version = format!("v{n}");
        bed.mark(&version);
        bed.deploy(&Release::new(&version, 1)).ended(0);
        bed.serves_exactly(&version);
    }
    bed.mark("bad");
    bed.configure("start-timeout = \"8s\"", "start-timeout = \"2s\"");
    bed.deploy(&Release::new("v5", 1).with_env(&["APP_MODE=500"])).ended(3);
    bed.serves_exactly("v4");
    bed.mark("rollback");
    bed.safelight(&["rollback"]).ended(0);
    bed.serves_exactly("v3");
    bed.nobody_was_failed();
}

#[test]
fn code_and_data_go_back_together_on_one_port_whatever_is_killed() {
    let notes = |bed: &Bed| bed.get(HOST, "/notes").map(|(_, body)| body.trim().to_owned());
    let add = |bed: &Bed| assert_eq!(bed.request("POST", HOST, "/notes").map(|(s, _)| s), Some(200));
    let mut bed = bed_with_fixed_ports();
    bed.deploy(&Release::new("v1", 1)).ended(0);
    (0..2).for_each(|_| add(&bed));
    bed.deploy(&Release::new("v2", 2)).ended(0);
    (0..3).for_each(|_| add(&bed));
    bed.traffic_begins();
    let points = ["done:restore-database", "applied:exchange:api", "applied:exchange:web"];
    for (point, command) in points.iter().map(|p| (p, "abort")).chain([(&points[1], "resume")]) {
        bed.restart_daemon();
        bed.mark(&format!("{command} at {point}"));
        bed.order(point, "kill");
        let mut cli = bed.background(&["rollback", "--database", "--yes"]);
        let until = Instant::now() + PATIENCE;
        while !bed.daemon_died() {
            assert!(Instant::now() < until, "{point}: {}", cli.so_far());
            std::thread::sleep(Duration::from_millis(5));
        }
        cli.kill();
        bed.reap_daemon();
        bed.safelight(&[command]).ended(0);
        let (version, rows) = if command == "resume" { ("v1", "2") } else { ("v2", "5") };
        bed.serves_exactly(version);
        assert_eq!(notes(&bed).as_deref(), Some(rows), "{command} at {point}");
    }
    bed.nobody_was_failed();
}

#[test]
fn an_exchange_that_meets_no_proxy_waits_for_it_both_ways() {
    let mut bed = bed_with_fixed_ports();
    bed.deploy(&Release::new("v1", 1)).ended(0);
    bed.configure("duration = \"1s\"", "duration = \"1m\"");
    for point in ["intent:exchange:web", "undo-intent:exchange:web"] {
        bed.prepare(&Release::new("v2", 1));
        bed.forget_points();
        bed.order(point, "pause");
        let deploy = bed.background(&["deploy"]);
        let mut cli = if point.starts_with("undo") {
            bed.wait_until("it is watched", |b| b.points().iter().any(|p| p == "intent:watch"));
            bed.background(&["abort"])
        } else {
            deploy
        };
        cli.comes_to(&bed, point);
        let pid = bed.status().unwrap()["proxy"]["pid"].as_u64().unwrap();
        processes::kill(u32::try_from(pid).unwrap(), Signal::KILL);
        bed.release(point);
        if !point.starts_with("undo") {
            bed.wait_until("it is watched", |b| b.points().iter().any(|p| p == "intent:watch"));
            bed.safelight(&["abort"]).ended(0);
        }
        cli.end();
        bed.serves_exactly("v1");
    }
}

#[test]
fn an_exchange_is_taken_back_even_while_the_proxy_cannot_hold() {
    let mut bed = bed_with_fixed_ports();
    bed.deploy(&Release::new("v1", 1)).ended(0);
    bed.configure("duration = \"1s\"", "duration = \"1m\"");
    bed.prepare(&Release::new("v2", 1));
    bed.safelight(&["deploy", "--detach"]).ended(0);
    // A client that keeps its connection keeps the proxy before the upgrade alive, and as long nothing can be held.
    let mut client = TcpStream::connect(bed.addr()).unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nHost: shop.localhost\r\n\r\n").unwrap();
    let mut answer = [0; 12];
    client.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
    bed.safelight(&["proxy", "upgrade"]).ended(0);
    bed.safelight(&["abort"]).ended(0).says(&["requests are not held"]);
    bed.serves_exactly("v1");
    drop(client);
}
