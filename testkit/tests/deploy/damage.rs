//! What Safelight itself stands on is taken or broken: it refuses loudly, says the repair, and the repair works.

use safelight_testkit::bed::{Bed, HOST, Release};
use std::{fs, net::TcpListener};

#[test]
fn a_proxy_port_that_somebody_else_has_is_refused_with_the_owner() {
    let bed = Bed::cold();
    let taken = TcpListener::bind(bed.addr()).unwrap();
    let listen = bed.addr().to_string();
    let said = bed.safelight(&["host", "start", "--listen", &listen]).ended(1);
    let pid = std::process::id().to_string();
    said.says(&["the proxy does not start", &listen, &pid, "--listen"]);
    bed.prepare(&Release::new("v1", 1));
    bed.safelight(&["deploy"]).ended(1).says(&["the proxy does not run", &listen]);
    drop(taken);
    bed.wait_until("the proxy comes up by itself", |b| {
        b.status().is_some_and(|s| s["proxy"]["pid"].is_u64())
    });
    bed.deploy(&Release::new("v1", 1)).ended(0);
    bed.serves_exactly("v1");
}

#[test]
fn a_damaged_route_table_is_refused_and_repaired() {
    let bed = Bed::new();
    bed.deploy(&Release::new("v1", 1)).ended(0);
    bed.deploy(&Release::new("v2", 1)).ended(0);
    bed.safelight(&["host", "stop", "--proxy"]).ended(0);
    let path = bed.home().join("proxy/routes.json");
    let mut bytes = fs::read(&path).unwrap();
    let at = bytes.len() / 2;
    bytes[at] ^= 0x15;
    fs::write(&path, bytes).unwrap();
    bed.safelight(&["host", "start"]).ended(1).says(&["the proxy does not start", "damaged", "proxy repair"]);
    bed.safelight(&["proxy", "repair"]).ended(0);
    // The repaired table is one change behind; the daemon leads users to what is on record.
    bed.wait_until("the proxy comes up and leads to what serves", |b| {
        b.get(HOST, "/").is_some_and(|(s, _)| s == 200)
    });
    bed.serves_exactly("v2");
    bed.deploy(&Release::new("v3", 1)).ended(0);
    bed.serves_exactly("v3");
}

#[test]
fn a_damaged_memory_of_the_host_is_said_at_once_with_the_repair_in_the_language_of_who_asks() {
    let bed = Bed::cold();
    fs::create_dir_all(bed.home()).unwrap();
    fs::set_permissions(bed.home(), std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    fs::write(bed.home().join("host.db"), "this is no database, whatever its name says").unwrap();
    bed.prepare(&Release::new("v1", 1));
    let began = std::time::Instant::now();
    bed.safelight(&["deploy"]).ended(1).says(&[
        "the host daemon does not start",
        "host.db is damaged",
        "Nothing was changed",
        "→ copy it away, then try `sqlite3",
    ]);
    // The daemon speaks the language of its environment, the command that of its option.
    let zh = bed.safelight(&["host", "start", "--lang", "zh-CN"]).ended(1);
    let zh = zh.says(&["主机守护进程无法启动", "host.db 已损坏", "先把它复制到别处"]);
    assert!(!zh.err.contains("damaged"), "{}", zh.err);
    assert!(began.elapsed().as_secs() < 15, "it waited for a daemon that had ended: {:?}", began.elapsed());
    // Without the daemon it is the same.
    bed.safelight(&["check", "--lang", "zh-CN"]).ended(1).says(&["host.db 已损坏", "先把它复制到别处"]);
    fs::remove_file(bed.home().join("host.db")).unwrap();
    let listen = bed.addr().to_string();
    bed.safelight(&["host", "start", "--listen", &listen]).ended(0);
    bed.safelight(&["host", "stop", "--proxy"]).ended(0);
}

#[test]
fn a_damaged_journal_is_refused_and_can_be_closed_by_a_person() {
    let mut bed = Bed::new();
    bed.deploy(&Release::new("v1", 1)).ended(0);
    bed.prepare(&Release::new("v2", 1));
    bed.order("done:start:api", "kill");
    let mut cli = bed.background(&["deploy"]);
    bed.daemon_dies_at("done:start:api", &cli);
    cli.kill();
    let db = rusqlite::Connection::open(bed.home().join("host.db")).unwrap();
    let changed = db
        .execute(
            "UPDATE journal SET body = replace(body, 'intent', 'indent') WHERE seq = 4 AND run = (SELECT max(run) FROM journal)",
            [],
        )
        .unwrap();
    assert_eq!(changed, 1);
    drop(db);
    for command in ["resume", "abort"] {
        bed.safelight(&[command]).ended(1).says(&[
            "is damaged at line 4",
            "Nothing was done",
            "abort --forget",
        ]);
    }
    assert_eq!(bed.get(HOST, "/").map(|(s, b)| (s, b.trim().to_owned())), Some((200, "v1".to_owned())));
    bed.safelight(&["abort", "--forget"]).ended(1).says(&["--yes"]);
    bed.safelight(&["abort", "--forget", "--yes"]).ended(0);
    bed.deploy(&Release::new("v3", 1)).ended(0);
    bed.serves_exactly("v3");
}
