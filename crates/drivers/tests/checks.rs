//! Every check on this very machine, with the real drivers: a good world that lets a deploy go, then the same world
//! with one thing broken at a time.

#![allow(clippy::unwrap_used)]

use rustix::net;
use safelight_drivers::{database::Sqlite, host::LocalHost, net::SystemNet, source::Git};
use safelight_engine::{
    check::{CheckContext, run_all},
    checks,
    config::load,
    driver::{
        database::Database,
        env::EnvFile,
        host::{HostError, HostErrorKind},
        state::{HostState, ReleaseRecord},
    },
    finding::{Finding, Outcome},
};
use std::{
    fs,
    io::{Read as _, Write as _},
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6, TcpListener},
    os::fd::OwnedFd,
    path::Path,
    process::Command,
    sync::Arc,
    time::Duration,
};

fn git(dir: &Path, args: &[&str]) {
    let output = Command::new("git")
        .args(["-c", "init.defaultBranch=main", "-c", "user.name=T", "-c", "user.email=t@example.com"])
        .args(["-c", "commit.gpgSign=false", "-c", "tag.gpgSign=false"])
        .args(args)
        .current_dir(dir)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_SYSTEM", "/dev/null")
        .env_remove("GIT_DIR")
        .output()
        .unwrap();
    assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Answers every connection with 200, until the test's process ends.
fn web() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut buffer = [0_u8; 2048];
            let _ = stream.read(&mut buffer);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
        }
    });
    addr
}

/// A project in git with a remote and a tag, a database, an environment file, and an address that answers.
struct World {
    dir: tempfile::TempDir,
    port: u16,
    env: Result<EnvFile, HostError>,
    /// Added to the table of the service.
    service: String,
    node: &'static str,
}

impl World {
    fn good() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let app = dir.path().join("app");
        fs::create_dir_all(&app).unwrap();
        fs::create_dir_all(dir.path().join("data")).unwrap();
        git(dir.path(), &["init", "-q", "--bare", "remote.git"]);
        git(&app, &["init", "-q"]);
        git(&app, &["remote", "add", "origin", "../remote.git"]);
        fs::write(app.join("server.js"), "console.log('one')\n").unwrap();
        git(&app, &["add", "."]);
        git(&app, &["commit", "-q", "-m", "first"]);
        git(&app, &["tag", "-a", "v1.0.0", "-m", "v1.0.0"]);
        git(&app, &["push", "-q", "origin", "main", "v1.0.0"]);
        let db = rusqlite::Connection::open(dir.path().join("data/app.db")).unwrap();
        db.execute_batch(
            "create table migrations (v integer); insert into migrations values (7);
             create table photos (id integer primary key); insert into photos values (1), (2), (3);",
        )
        .unwrap();
        let env = Ok(EnvFile::parse(b"TOKEN=hunter2\nBUCKET=film\n").unwrap());
        Self { dir, port: web().port(), env, service: String::new(), node: ">=1" }
    }

    fn app(&self) -> std::path::PathBuf {
        self.dir.path().join("app")
    }

    fn database(&self) -> std::path::PathBuf {
        self.dir.path().join("data/app.db")
    }

    /// All findings of the checks with these ids; of all checks when there are none.
    async fn look(&self, ids: &[&str]) -> Vec<Finding> {
        let (db, port, service, node) = (self.database(), self.port, &self.service, self.node);
        let toml = format!(
            "[app]\nname = \"film\"\n[runtime]\nnode = \"{node}\"\nnpm = \">=1\"\n[[service]]\nname = \"web\"\ncommand = \"node server.js\"\npath = \"/\"\n{service}\n[database]\nkind = \"sqlite\"\npath = {db:?}\nschema-query = \"select max(v) from migrations\"\n[checks]\ncpu-max-percent = 100\nmemory-max-percent = 99\ndisk-min-free-percent = 1\ndisk-min-free = \"1MB\"\n[env.production]\nurl = \"http://film.localhost:{port}\"\nenv-file = \".env\"\nrequired = [\"TOKEN\", \"BUCKET\"]\n"
        );
        let config = load::parse("safelight.toml", &toml).unwrap();
        let sqlite = Sqlite::new(db, config.database.as_ref().and_then(|d| d.schema_query.clone()), vec![]);
        let now = jiff::Timestamp::now();
        let sha = self.env.as_ref().map(|e| e.sha256.clone()).ok();
        let env_dir = self.dir.path().join("env");
        if let Ok(env) = &self.env {
            fs::create_dir_all(&env_dir).unwrap();
            fs::write(env_dir.join(format!("{}.env", env.sha256)), &env.raw).unwrap();
        }
        let state = HostState {
            current: Some(ReleaseRecord {
                id: "r1".into(),
                content_id: "c".repeat(64),
                revision: "v0.9.0".into(),
                commit: None,
                env_sha256: sha,
                created: now,
                verified: Some(now),
                schema: None,
                ports: vec![],
            }),
            data_dir: self.dir.path().join("data"),
            env_dir,
            ..HostState::default()
        };
        let host = LocalHost::new();
        let ctx = CheckContext {
            env: Arc::new(config.environments["production"].clone()),
            config: Arc::new(config),
            env_name: "production".into(),
            project: self.app(),
            host: Arc::new(host.clone()),
            net: Arc::new(SystemNet::new()),
            database: Some(Arc::new(sqlite) as Arc<dyn Database>),
            source: Arc::new(Git::new(host, self.app(), &[]).with_remote_limit(Duration::from_secs(10))),
            env_file: Arc::new(self.env.clone()),
            state: Arc::new(state),
            revision: None,
            now,
        };
        let chosen = checks::all().into_iter().filter(|c| ids.is_empty() || ids.contains(&c.spec().id));
        run_all(chosen.collect(), &ctx, |_| ()).await
    }

    async fn worst(&self, id: &str) -> Finding {
        self.look(&[id]).await.into_iter().max_by_key(|f| f.outcome).unwrap()
    }
}

fn outcomes(found: &[Finding], id: &str) -> Vec<Outcome> {
    found.iter().filter(|f| f.id == id).map(|f| f.outcome).collect()
}

#[tokio::test]
async fn a_good_world_passes_every_check_that_applies() {
    let w = World::good();
    let found = w.look(&[]).await;
    let bad: Vec<&Finding> = found.iter().filter(|f| f.outcome > Outcome::Pass && f.id != "P1").collect();
    assert!(bad.is_empty(), "is node and npm installed (`apt-get install nodejs npm`)? {bad:#?}");
    // Other tests may keep this machine busy: that it was measured is what counts.
    assert!(!outcomes(&found, "P1").contains(&Outcome::Unknown), "{found:#?}");
    for id in ["P4", "P24", "P25"] {
        assert_eq!(outcomes(&found, id), [Outcome::Skipped], "{id} does not apply to an app on this host");
    }
    let backup = found.iter().find(|f| f.id == "P27").unwrap();
    assert!(backup.summary.en.contains("2 tables, 4 rows"), "{}", backup.summary.en);
    let mut left: Vec<_> =
        fs::read_dir(w.dir.path().join("data")).unwrap().map(|e| e.unwrap().file_name()).collect();
    left.retain(|n| !n.to_string_lossy().starts_with("app.db"));
    assert!(left.is_empty(), "the rehearsal of the backup left {left:?}");
    assert!(!serde_json::to_string(&found).unwrap().contains("hunter2"));
}

#[tokio::test]
async fn a_taken_port_fails_with_its_owner_and_a_free_one_passes() {
    let mut w = World::good();
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = holder.local_addr().unwrap().port();
    w.service = format!("fixed-port = {port}\n");
    let f = w.worst("P6").await;
    assert_eq!(f.outcome, Outcome::Fail, "{f:#?}");
    assert!(f.summary.en.contains(&format!("pid {}", std::process::id())), "{}", f.summary.en);
    w.service = format!("fixed-port = {port}\nenv = {{ HOST = \"127.0.0.2\" }}\n");
    assert_eq!(w.worst("P6").await.outcome, Outcome::Pass, "127.0.0.1 does not block 127.0.0.2");
    drop(holder);
    w.service = format!("fixed-port = {port}\n");
    assert_eq!(w.worst("P6").await.outcome, Outcome::Pass);
}

/// Listens on every IPv6 address, and on every IPv4 address too unless `only`. Nobody is ever accepted.
fn listen_v6(only: bool) -> (OwnedFd, u16) {
    let socket = net::socket(net::AddressFamily::INET6, net::SocketType::STREAM, None)
        .expect("this machine has no IPv6 (net.ipv6.conf.all.disable_ipv6), which this test is about");
    net::sockopt::set_ipv6_v6only(&socket, only).unwrap();
    net::bind(&socket, &SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, 0, 0, 0)).unwrap();
    net::listen(&socket, 1).unwrap();
    let addr = SocketAddrV6::try_from(net::getsockname(&socket).unwrap()).unwrap();
    (socket, addr.port())
}

#[tokio::test]
async fn a_dual_stack_listener_blocks_ipv4_and_a_v6only_one_does_not() {
    let mut w = World::good();
    for (only, expected) in [(false, Outcome::Fail), (true, Outcome::Pass)] {
        let (_socket, port) = listen_v6(only);
        w.service = format!("fixed-port = {port}\nenv = {{ HOST = \"127.0.0.1\" }}\n");
        let f = w.worst("P6").await;
        assert_eq!(f.outcome, expected, "v6only {only}: {f:#?}");
    }
}

#[tokio::test]
async fn a_listener_that_shares_its_port_and_a_socket_that_does_not_listen_yet_are_in_the_way() {
    let mut w = World::good();
    for listens in [true, false] {
        let socket = net::socket(net::AddressFamily::INET, net::SocketType::STREAM, None).unwrap();
        net::sockopt::set_socket_reuseport(&socket, true).unwrap();
        net::bind(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)).unwrap();
        if listens {
            net::listen(&socket, 1).unwrap();
        }
        let port = SocketAddrV4::try_from(net::getsockname(&socket).unwrap()).unwrap().port();
        // That another one that shares could bind proves the trap: a probe that shares would see a free port.
        let shares = net::socket(net::AddressFamily::INET, net::SocketType::STREAM, None).unwrap();
        net::sockopt::set_socket_reuseport(&shares, true).unwrap();
        net::bind(&shares, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)).unwrap();
        drop(shares);
        w.service = format!("fixed-port = {port}\nenv = {{ HOST = \"127.0.0.1\" }}\n");
        let f = w.worst("P6").await;
        assert_eq!(f.outcome, Outcome::Fail, "listens {listens}: {f:#?}");
        drop(socket);
        assert_eq!(w.worst("P6").await.outcome, Outcome::Pass, "listened {listens}, and let go");
    }
}

#[tokio::test]
async fn dirt_an_unpushed_commit_and_an_unpushed_tag_are_seen() {
    let w = World::good();
    fs::write(w.app().join("server.js"), "console.log('two')\n").unwrap();
    assert_eq!(outcomes(&w.look(&["P13"]).await, "P13"), [Outcome::Fail, Outcome::Pass]);
    git(&w.app(), &["commit", "-q", "-a", "-m", "second"]);
    assert_eq!(outcomes(&w.look(&["P13"]).await, "P13"), [Outcome::Pass, Outcome::Fail]);
    assert_eq!(w.worst("P28").await.outcome, Outcome::Warn, "no tag names it");
    git(&w.app(), &["push", "-q", "origin", "main"]);
    assert_eq!(w.worst("P13").await.outcome, Outcome::Pass);
    git(&w.app(), &["tag", "v1.1.0"]);
    assert_eq!(w.worst("P28").await.outcome, Outcome::Warn, "the tag is not pushed");
    git(&w.app(), &["push", "-q", "origin", "v1.1.0"]);
    assert_eq!(w.worst("P28").await.outcome, Outcome::Pass);
    // Somebody moves the tag on the remote.
    git(&w.app(), &["push", "-q", "-f", "origin", "HEAD~1:refs/tags/v1.1.0"]);
    assert_eq!(w.worst("P28").await.outcome, Outcome::Fail);
    fs::rename(w.dir.path().join("remote.git"), w.dir.path().join("gone.git")).unwrap();
    assert_eq!(outcomes(&w.look(&["P13"]).await, "P13"), [Outcome::Pass, Outcome::Unknown]);
    assert_eq!(w.worst("P28").await.outcome, Outcome::Unknown);
}

#[tokio::test]
async fn an_absent_or_damaged_database_fails_both_its_checks() {
    let w = World::good();
    fs::write(w.database(), vec![7_u8; 20_000]).unwrap();
    for id in ["P16", "P27"] {
        assert_eq!(w.worst(id).await.outcome, Outcome::Fail, "{id}, damaged");
    }
    fs::remove_file(w.database()).unwrap();
    for id in ["P16", "P27"] {
        assert_eq!(w.worst(id).await.outcome, Outcome::Fail, "{id}, absent");
    }
    assert!(!w.database().exists(), "looking made no database");
}

#[tokio::test]
async fn the_wrong_node_an_empty_variable_and_a_silent_address_fail() {
    let mut w = World::good();
    w.node = ">=999";
    assert_eq!(w.worst("P9").await.outcome, Outcome::Fail);
    w.env = Ok(EnvFile::parse(b"TOKEN=\nBUCKET=film\n").unwrap());
    assert_eq!(w.worst("P14").await.outcome, Outcome::Fail);
    w.env = Err(HostError::new(HostErrorKind::NotFound, "read .env", "no such file"));
    assert_eq!(w.worst("P14").await.outcome, Outcome::Fail);
    w.port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    assert_eq!(w.worst("P26").await.outcome, Outcome::Fail);
}
