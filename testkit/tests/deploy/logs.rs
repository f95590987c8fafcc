//! Safelight's own logs do not grow for ever.

use safelight_testkit::bed::{Bed, Release};
use std::{fs, io::Write as _};

#[test]
fn the_logs_of_daemon_and_proxy_are_rotated_while_they_are_written() {
    let mut bed = Bed::new();
    bed.deploy(&Release::new("v1", 1)).ended(0);
    let logs = bed.home().join("logs");
    let size = |name: &str| fs::metadata(logs.join(name)).map_or(0, |m| m.len());
    for name in ["host.log", "proxy.log"] {
        let mut file = fs::OpenOptions::new().append(true).create(true).open(logs.join(name)).unwrap();
        file.write_all("an old line of a long life\n".repeat(400_000).as_bytes()).unwrap();
        assert!(size(name) > 10_000_000);
    }
    bed.wait_until("both are rotated", |_| {
        ["host.log", "proxy.log"].iter().all(|n| size(n) < 1_000_000 && size(&format!("{n}.1")) > 9_000_000)
    });
    // They are the same files as before: who holds them open goes on writing into them.
    let pid = bed.status().and_then(|s| s["proxy"]["pid"].as_u64()).expect("the proxy runs");
    let held = |pid: u64| {
        let fds = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
        fds.filter_map(|fd| fs::read_link(fd.path()).ok()).any(|to| to == logs.join("proxy.log"))
    };
    assert!(held(pid), "the proxy writes elsewhere now");
    bed.traffic_begins();
    bed.deploy(&Release::new("v2", 1)).ended(0);
    bed.serves_exactly("v2");
    bed.nobody_was_failed();
}
