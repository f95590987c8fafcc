//! An app that can use one port only: old and new are exchanged while the proxy holds the requests.

use rustix::process::Signal;
use safelight_testkit::{
    bed::{Bed, HOST, Release},
    processes,
};
use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
};

/// A bed whose two services can use one port each, written into their code.
fn bed_with_fixed_ports() -> Bed {
    let mut bed = Bed::new();
    let ports: Vec<TcpListener> = (0..2).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    for (path, l) in ["/api", "/"].iter().zip(&ports) {
        let port = l.local_addr().unwrap().port();
        let mut wanted = format!("path = \"{path}\"\nfixed-port = {port}");
        if *path == "/" {
            let env = "{ SHOP_API_URL = \"{api.url}\" }";
            let more = format!("{{ SHOP_API_URL = \"{{api.url}}\", APP_FIXED_PORT = \"{port}\" }}");
            bed.configure(env, &more);
        } else {
            wanted.push_str(&format!("\nenv = {{ APP_FIXED_PORT = \"{port}\" }}"));
        }
        bed.configure(&format!("path = \"{path}\""), &wanted);
    }
    bed
}

#[test]
fn an_app_whose_port_is_in_its_code_migrates_and_nothing_is_said_to_be_proven() {
    let mut bed = bed_with_fixed_ports();
    bed.deploy(&Release::new("v1", 1)).ended(0);
    bed.traffic_begins();
    bed.prepare(&Release::new("v2", 2));
    bed.safelight(&["plan"]).ended(0).says(&["is left out, so the way back is not proven"]);
    let said = bed.safelight(&["deploy"]).ended(0).says(&[
        "api is left out of the rehearsal",
        "web is left out of the rehearsal",
        "the way back is not proven",
        "schema 1 -> 2",
    ]);
    assert!(!said.err.contains("is proven"), "{}", said.err);
    bed.serves_exactly("v2");
    // Undone after its migration, it does not say so either.
    bed.configure("start-timeout = \"8s\"", "start-timeout = \"2s\"");
    let said = bed.deploy(&Release::new("v3", 3).with_env(&["APP_MODE=500"])).ended(3);
    said.says(&["nobody has run r2 on this schema"]);
    bed.serves_exactly("v2");
    bed.nobody_was_failed();
}

#[test]
fn another_environment_on_the_same_port_is_a_conflict_and_its_answers_are_not_taken_for_the_release() {
    let mut bed = bed_with_fixed_ports();
    let port = bed.addr().port();
    bed.configure(
        "required = [\"APP_REQUIRED\"]",
        &format!(
            "required = [\"APP_REQUIRED\"]\n\n[env.staging]\nurl = \"http://staging.shop.localhost:{port}\"\nenv-file = \".env.production\"\n"
        ),
    );
    bed.prepare(&Release::new("v1", 1));
    bed.safelight(&["--env", "staging", "deploy"]).ended(0);
    let words =
        ["P6", "is taken by 127.0.0.1:", "apps/shop.staging/releases/r1", "stopped before anything changed"];
    bed.safelight(&["deploy"]).ended(1).says(&words);
    // Somebody takes responsibility for that. The answers of staging are still no proof of health.
    bed.configure(
        "[env.production]",
        "[[waiver]]\ncheck = \"P6\"\nreason = \"we move\"\nwho = \"tester\"\nuntil = \"2099-01-01T00:00:00Z\"\n\n[env.production]",
    );
    bed.configure("start-timeout = \"8s\"", "start-timeout = \"3s\"");
    bed.safelight(&["deploy"]).ended(3).says(&[
        "api was not healthy",
        "answers at 127.0.0.1:",
        "Address already in use",
    ]);
    assert_eq!(bed.get(HOST, "/").map(|(status, _)| status), Some(421), "nothing serves in production");
    for path in ["/", "/api"] {
        let (status, body) = bed.get("staging.shop.localhost", path).unwrap();
        assert_eq!((status, body.split(' ').next()), (200, Some("v1")), "{path}: {body}");
    }
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
        bed.daemon_dies_at(point, &cli);
        cli.kill();
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
        bed.daemon_dies_at(point, &cli);
        cli.kill();
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
fn requests_wait_on_when_the_proxy_is_killed_while_it_holds_them() {
    let bed = bed_with_fixed_ports();
    bed.deploy(&Release::new("v1", 1)).ended(0);
    bed.prepare(&Release::new("v2", 1).with_env(&["APP_MODE=slow-to-listen"]));
    let mut deploy = bed.background(&["deploy"]);
    for (service, path) in [("api", "/api"), ("web", "/")] {
        let held = |b: &Bed| b.routes().iter().any(|s| s["service"] == service && !s["held"].is_null());
        bed.wait_until("its requests are held", held);
        let pid = bed.status().unwrap()["proxy"]["pid"].as_u64().unwrap();
        processes::kill(u32::try_from(pid).unwrap(), Signal::KILL);
        // Refused until the next proxy is there; whoever it lets in waits for the new release.
        let answer = std::cell::OnceCell::new();
        bed.wait_until("the proxy is back", |b| b.get(HOST, path).is_some_and(|a| answer.set(a).is_ok()));
        let (status, body) = answer.get().unwrap();
        assert!(*status == 200 && body.contains("v2"), "{service}: {status} {body}");
    }
    deploy.end();
    bed.serves_exactly("v2");
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
