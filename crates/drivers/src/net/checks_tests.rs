//! P24, P25 and P26 against the real thing: a name server, TLS servers and web servers on 127.0.0.1.

use super::{
    SystemNet,
    dns_tests::Knot,
    tls_tests::{plain_server, serve, site, trusting},
};
use async_trait::async_trait;
use jiff::Timestamp;
use safelight_engine::{
    check::CheckContext,
    checks,
    config::{CertificateFiles, load},
    driver::{
        env::EnvFile,
        host::{Cmd, FsStat, Host, HostError, HostErrorKind, Listener, OnLine, Output, ProcessInfo},
        net::{Certificate, FileCertificate, FileTrouble, HttpAnswer, Net, NetError, Resolution},
        source::{GitState, Ingested, RemoteState, Revision, Source},
        state::HostState,
    },
    finding::{Finding, Outcome},
};
use std::{
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// A host and a source of which these checks want nothing but an absent /etc/hosts.
struct Nothing;

fn nothing<T>() -> Result<T, HostError> {
    Err(HostError::new(HostErrorKind::NotFound, "ask", "there is nothing here"))
}

#[async_trait]
impl Host for Nothing {
    fn name(&self) -> &str {
        "web-1"
    }
    async fn run(&self, _: &Cmd) -> Result<Output, HostError> {
        nothing()
    }
    async fn run_streaming(&self, _: &Cmd, _: OnLine<'_>) -> Result<Output, HostError> {
        nothing()
    }
    async fn read(&self, _: &Path) -> Result<Vec<u8>, HostError> {
        nothing()
    }
    async fn stat_fs(&self, _: &Path) -> Result<FsStat, HostError> {
        nothing()
    }
    async fn find_program(&self, _: &str) -> Result<Option<PathBuf>, HostError> {
        nothing()
    }
    async fn listeners(&self) -> Result<Vec<Listener>, HostError> {
        nothing()
    }
    async fn processes(&self) -> Result<Vec<ProcessInfo>, HostError> {
        nothing()
    }
    async fn can_bind(&self, _: IpAddr, _: u16) -> Result<bool, HostError> {
        nothing()
    }
}

#[async_trait]
impl Source for Nothing {
    async fn resolve(&self, _: Option<&str>) -> Result<Revision, HostError> {
        nothing()
    }
    async fn git_state(&self) -> Result<Option<GitState>, HostError> {
        nothing()
    }
    async fn remote_state(&self, _: &Revision) -> Result<Option<RemoteState>, HostError> {
        nothing()
    }
    async fn ingest(&self, _: &Revision, _: &Path) -> Result<Ingested, HostError> {
        nothing()
    }
    fn location(&self) -> PathBuf {
        PathBuf::from("/home/dev/app")
    }
}

/// The real driver, kept to servers that the test itself has started: this machine's own resolver and whatever
/// listens at its port 80 are left out.
struct Fenced(SystemNet);

#[async_trait]
impl Net for Fenced {
    async fn resolve(&self, name: &str, server: Option<SocketAddr>) -> Resolution {
        self.0.resolve(name, server).await
    }
    async fn authorities(&self, name: &str) -> Result<Vec<SocketAddr>, NetError> {
        self.0.authorities(name).await
    }
    async fn system_lookup(&self, _: &str) -> Result<Vec<IpAddr>, NetError> {
        Err(NetError::Unreachable("fenced".into()))
    }
    async fn connect(&self, addr: SocketAddr, limit: Duration) -> Result<Duration, NetError> {
        assert!(addr.ip().is_loopback(), "{addr}");
        self.0.connect(addr, limit).await
    }
    async fn certificate(
        &self,
        name: &str,
        addr: SocketAddr,
        now: Timestamp,
    ) -> Result<Certificate, NetError> {
        assert!(addr.ip().is_loopback(), "{addr}");
        self.0.certificate(name, addr, now).await
    }
    async fn certificate_files(&self, files: &CertificateFiles) -> Result<FileCertificate, FileTrouble> {
        self.0.certificate_files(files).await
    }
    async fn get(&self, url: &str, to: Option<SocketAddr>, limit: Duration) -> Result<HttpAnswer, NetError> {
        let addr = to.unwrap();
        assert!(addr.ip().is_loopback(), "{addr}");
        if addr.port() == 80 {
            return Err(NetError::Refused);
        }
        self.0.get(url, to, limit).await
    }
}

/// Runs one check over an environment at `url`; `more` goes on in its table.
async fn run(id: &str, net: SystemNet, url: &str, more: &str) -> Finding {
    let toml = format!(
        "[app]\nname = \"film\"\n[[service]]\nname = \"web\"\ncommand = \"node server.js\"\npath = \"/\"\n[env.production]\nurl = \"{url}\"\n{more}"
    );
    let config = load::parse("safelight.toml", &toml).unwrap();
    let ctx = CheckContext {
        env: Arc::new(config.environments["production"].clone()),
        config: Arc::new(config),
        env_name: "production".into(),
        project: "/home/dev/app".into(),
        host: Arc::new(Nothing),
        net: Arc::new(Fenced(net)),
        database: None,
        source: Arc::new(Nothing),
        env_file: Arc::new(Ok(EnvFile::default())),
        state: Arc::new(HostState::default()),
        revision: None,
        now: "2026-03-01T02:00:00Z".parse().unwrap(),
    };
    let check = checks::all().into_iter().find(|c| c.spec().id == id).unwrap();
    let mut found = check.run(&ctx).await;
    assert_eq!(found.len(), 1, "{found:#?}");
    found.remove(0)
}

/// Asks the name server wherever the machine's own resolvers would be asked.
async fn dns(knot: &Knot, name: &str, expected: &str) -> Finding {
    let dns = if expected.is_empty() {
        String::new()
    } else {
        format!("[env.production.dns]\n\"{name}\" = {expected}\n")
    };
    let more = format!("resolvers = [\"{}\"]\n{dns}", knot.addr);
    run("P24", knot.net(), &format!("https://{name}"), &more).await
}

#[tokio::test]
async fn names_with_the_expected_records_pass_in_a_real_zone() {
    let knot = Knot::start().await;
    let f = dns(&knot, "four.example.com", "[\"192.0.2.4\"]").await;
    assert!(f.evidence.iter().any(|e| e.label.en.starts_with("authoritative 127.0.0.1")), "{f:#?}");
    assert_eq!((f.outcome, f.summary.en.contains("192.0.2.4")), (Outcome::Pass, true), "{f:#?}");
    let f = dns(&knot, "img.example.com", "[\"film.cdn.example.net\"]").await;
    assert_eq!(f.outcome, Outcome::Pass, "{f:#?}");
}

#[tokio::test]
async fn absent_names_wrong_records_and_broken_zones_are_told_apart_in_a_real_zone() {
    let knot = Knot::start().await;
    for (name, expected, outcome, words) in [
        ("nobody.example.com", "", Outcome::Fail, "NXDOMAIN"),
        ("text.example.com", "", Outcome::Fail, "NODATA"),
        ("four.example.com", "[\"192.0.2.9\"]", Outcome::Fail, "not the expected ones"),
        ("img.example.com", "[\"other.example.net\"]", Outcome::Fail, "not the expected ones"),
        ("www.broken.example.com", "", Outcome::Unknown, "SERVFAIL"),
        ("www.example.org", "", Outcome::Unknown, "REFUSED"),
    ] {
        let f = dns(&knot, name, expected).await;
        assert_eq!(f.outcome, outcome, "{name}: {f:#?}");
        assert!(f.summary.en.contains(words), "{name}: {}", f.summary.en);
    }
}

async fn tls(names: &[&str], leaf: (i32, i32), whole: bool) -> Finding {
    let s = site(names, leaf, (2020, 2030));
    let net = trusting(&s.root);
    let chain = if whole { vec![s.leaf, s.between.der] } else { vec![s.leaf] };
    let addr = serve(chain, s.key).await;
    run("P25", net, &format!("https://film.localhost:{}", addr.port()), "").await
}

#[tokio::test]
async fn certificates_of_real_servers_are_judged() {
    let name = ["film.localhost"];
    for (names, leaf, whole, outcome, words) in [
        (&name[..], (2026, 2027), true, Outcome::Pass, "good for 305 more days"),
        (&name, (2020, 2027), true, Outcome::Warn, "it ends in 305 days"),
        (&name, (2024, 2026), true, Outcome::Fail, "expired"),
        (&name, (2027, 2028), true, Outcome::Fail, "not valid before"),
        (&["example.com"], (2026, 2027), true, Outcome::Fail, "made for example.com, not for film.localhost"),
        (&name, (2026, 2027), false, Outcome::Fail, "the intermediate Test Intermediate is not sent"),
        (&name, (2026, 2050), true, Outcome::Warn, "the intermediate Test Intermediate ends"),
    ] {
        let f = tls(names, leaf, whole).await;
        assert_eq!(f.outcome, outcome, "{words}: {f:#?}");
        assert!(f.summary.en.contains(words), "{words}: {}", f.summary.en);
    }
}

#[tokio::test]
async fn real_web_servers_answer_and_a_closed_port_is_not_deployed_yet() {
    let up = plain_server().await;
    let url = format!("http://film.localhost:{}", up.port());
    let f = run("P26", SystemNet::new(), &url, "").await;
    assert_eq!(f.outcome, Outcome::Pass, "{f:#?}");
    let closed: SocketAddr = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://film.localhost:{}", closed.port());
    let f = run("P26", SystemNet::new(), &url, "").await;
    assert_eq!(f.outcome, Outcome::Skipped, "{f:#?}");
}
