//! An app that can use one port only: old and new are exchanged while the proxy holds the requests.

use safelight_testkit::bed::{Bed, Release};
use std::net::TcpListener;

#[test]
fn an_app_with_one_port_is_exchanged_in_place_and_no_request_fails() {
    let mut bed = Bed::new();
    let ports: Vec<TcpListener> = (0..2).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    for (path, l) in ["/api", "/"].iter().zip(&ports) {
        let port = l.local_addr().unwrap().port();
        bed.configure(&format!("path = \"{path}\""), &format!("path = \"{path}\"\nfixed-port = {port}"));
    }
    drop(ports);
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
