//! Certificates and HTTP against real TLS servers with chains made for the occasion.

use super::*;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::{ServerConfig, pki_types::PrivateKeyDer};
use safelight_engine::driver::net::CertProblem;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

const HOST: &str = "filmtrip.example.com";
const LIMIT: Duration = Duration::from_secs(5);

pub(super) type Years = (i32, i32);

fn now() -> Timestamp {
    "2026-03-01T02:00:00Z".parse().unwrap()
}

fn params(common_name: &str, names: &[&str], years: Years) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|s| (*s).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.not_before = date_time_ymd(years.0, 1, 1);
    params.not_after = date_time_ymd(years.1, 1, 1);
    params
}

pub(super) struct Authority {
    pub(super) der: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

fn authority(common_name: &str, years: Years, above: Option<&Authority>) -> Authority {
    let key = KeyPair::generate().unwrap();
    let mut params = params(common_name, &[], years);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let cert = match above {
        Some(a) => params.signed_by(&key, &a.issuer).unwrap(),
        None => params.self_signed(&key).unwrap(),
    };
    Authority { der: cert.der().clone(), issuer: Issuer::new(params, key) }
}

/// A root, an intermediate, and a server that serves a leaf of the intermediate.
pub(super) struct Site {
    pub(super) root: Authority,
    pub(super) between: Authority,
    pub(super) leaf: CertificateDer<'static>,
    pub(super) key: PrivateKeyDer<'static>,
}

pub(super) fn site(names: &[&str], leaf_years: Years, between_years: Years) -> Site {
    let root = authority("Test Root", (2000, 2090), None);
    let between = authority("Test Intermediate", between_years, Some(&root));
    let key = KeyPair::generate().unwrap();
    let leaf = params(HOST, names, leaf_years).signed_by(&key, &between.issuer).unwrap();
    Site {
        leaf: leaf.der().clone(),
        key: PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        root,
        between,
    }
}

/// Serves TLS and answers one request on each connection.
pub(super) async fn serve(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> SocketAddr {
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                if let Ok(mut stream) = acceptor.accept(stream).await {
                    answer(&mut stream).await;
                }
            });
        }
    });
    addr
}

/// Reads a request up to its empty line and answers with its first line and its Host in `Location`.
async fn answer(stream: &mut (impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin)) {
    let mut request = Vec::new();
    let mut buffer = [0_u8; 1024];
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read(&mut buffer).await {
            Ok(n) if n > 0 => request.extend_from_slice(&buffer[..n]),
            _ => return,
        }
    }
    let text = String::from_utf8_lossy(&request).to_lowercase();
    let host = text.lines().find_map(|l| l.strip_prefix("host: ")).unwrap_or("").to_owned();
    let path = text.split(' ').nth(1).unwrap_or("").to_owned();
    let head = format!(
        "HTTP/1.1 302 Found\r\nLocation: {host}{path}\r\nDate: Sun, 01 Mar 2026 02:00:00 GMT\r\nContent-Length: 1000000\r\n\r\n"
    );
    let _ = stream.write_all(head.as_bytes()).await;
    // The body never comes: only the headers were asked for.
    let _ = stream.read(&mut buffer).await;
}

async fn look(net: &SystemNet, addr: SocketAddr) -> Certificate {
    net.certificate(HOST, addr, now()).await.unwrap()
}

pub(super) fn trusting(root: &Authority) -> SystemNet {
    SystemNet::new().without_roots().with_root(root.der.clone()).unwrap()
}

#[tokio::test]
async fn a_full_chain_of_a_trusted_root_verifies_and_is_described() {
    let s = site(&[HOST, "127.0.0.1"], (2026, 2027), (2020, 2030));
    let net = trusting(&s.root);
    let addr = serve(vec![s.leaf, s.between.der], s.key).await;
    let c = look(&net, addr).await;
    assert_eq!(c.verified, Ok(()));
    let leaf = &c.chain[0];
    assert_eq!((leaf.subject.as_str(), leaf.issuer.as_str()), (HOST, "Test Intermediate"));
    assert_eq!(leaf.names, [HOST, "127.0.0.1"]);
    assert_eq!(leaf.signature, "ecdsa-with-SHA256");
    assert_eq!(leaf.not_after.to_string(), "2027-01-01T00:00:00Z");
    assert_eq!((c.chain.len(), c.address), (2, addr));
    // An address in the certificate is verified as one.
    assert_eq!(net.certificate("127.0.0.1", addr, now()).await.unwrap().verified, Ok(()));
}

#[tokio::test]
async fn each_thing_that_is_wrong_is_told_and_the_chain_is_fetched_all_the_same() {
    for (what, names, leaf, between, expected) in [
        ("expired", HOST, (2024, 2026), (2020, 2030), CertProblem::Expired),
        ("not yet valid", HOST, (2027, 2028), (2020, 2030), CertProblem::NotYetValid),
        ("another name", "example.com", (2026, 2027), (2020, 2030), CertProblem::WrongName),
        ("too deep a wildcard", "*.com", (2026, 2027), (2020, 2030), CertProblem::WrongName),
        ("an expired intermediate", HOST, (2026, 2027), (2020, 2025), CertProblem::Expired),
    ] {
        let s = site(&[names], leaf, between);
        let net = trusting(&s.root);
        let addr = serve(vec![s.leaf, s.between.der], s.key).await;
        let c = look(&net, addr).await;
        assert_eq!((c.verified, c.chain.len()), (Err(expected), 2), "{what}");
    }
}

#[tokio::test]
async fn an_address_is_verified_by_the_addresses_in_the_certificate_alone() {
    // For `https://127.0.0.1`: an address in the SAN counts, and for that address only.
    let s = site(&["127.0.0.1"], (2026, 2027), (2020, 2030));
    let net = trusting(&s.root);
    let addr = serve(vec![s.leaf, s.between.der], s.key).await;
    let verified =
        async |net: &SystemNet, name: &str, addr| net.certificate(name, addr, now()).await.unwrap().verified;
    assert_eq!(verified(&net, "127.0.0.1", addr).await, Ok(()));
    for other in ["127.0.0.2", "::1", HOST] {
        assert_eq!(verified(&net, other, addr).await, Err(CertProblem::WrongName), "{other}");
    }
    // An address written as a DNS name is none: browsers refuse it.
    let root = authority("Test Root", (2000, 2090), None);
    let key = KeyPair::generate().unwrap();
    let mut p = params(HOST, &[], (2026, 2027));
    p.subject_alt_names = vec![rcgen::SanType::DnsName("127.0.0.1".try_into().unwrap())];
    let leaf = p.signed_by(&key, &root.issuer).unwrap();
    let net = trusting(&root);
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let addr = serve(vec![leaf.der().clone()], key).await;
    assert_ne!(verified(&net, "127.0.0.1", addr).await, Ok(()));
}

#[tokio::test]
async fn dates_are_judged_by_the_time_given_and_not_by_the_clock() {
    let s = site(&[HOST], (2001, 2002), (2000, 2010));
    let net = trusting(&s.root);
    let addr = serve(vec![s.leaf, s.between.der], s.key).await;
    let then: Timestamp = "2001-06-01T00:00:00Z".parse().unwrap();
    assert_eq!(net.certificate(HOST, addr, then).await.unwrap().verified, Ok(()));
    assert_eq!(look(&net, addr).await.verified, Err(CertProblem::Expired));
}

#[tokio::test]
async fn a_missing_intermediate_a_foreign_root_and_a_self_signed_one_are_untrusted() {
    let s = site(&[HOST], (2026, 2027), (2020, 2030));
    let net = trusting(&s.root);
    let short = serve(vec![s.leaf.clone()], s.key.clone_key()).await;
    assert_eq!(look(&net, short).await.verified, Err(CertProblem::UntrustedIssuer));
    let full = serve(vec![s.leaf, s.between.der], s.key).await;
    let stranger = trusting(&authority("Another Root", (2000, 2090), None));
    assert_eq!(look(&stranger, full).await.verified, Err(CertProblem::UntrustedIssuer));
    for ca in [IsCa::NoCa, IsCa::Ca(BasicConstraints::Unconstrained)] {
        let key = KeyPair::generate().unwrap();
        let mut p = params(HOST, &[HOST], (2026, 2027));
        p.is_ca = ca;
        let own = p.self_signed(&key).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let addr = serve(vec![own.der().clone()], key).await;
        assert_eq!(look(&net, addr).await.verified, Err(CertProblem::UntrustedIssuer));
    }
}

#[tokio::test]
async fn a_certificate_without_san_is_of_no_name() {
    let s = site(&[], (2026, 2027), (2020, 2030));
    let net = trusting(&s.root);
    let addr = serve(vec![s.leaf, s.between.der], s.key).await;
    let c = look(&net, addr).await;
    assert_eq!((c.verified, c.chain[0].names.len()), (Err(CertProblem::WrongName), 0));
}

#[tokio::test]
async fn an_expired_superfluous_root_in_the_chain_does_no_harm() {
    let s = site(&[HOST], (2026, 2027), (2020, 2030));
    let net = trusting(&s.root);
    let old = authority("Old Root", (2000, 2010), None);
    let addr = serve(vec![s.leaf, s.between.der, old.der], s.key).await;
    let c = look(&net, addr).await;
    assert_eq!((c.verified, c.chain.len()), (Ok(()), 3));
}

#[tokio::test]
async fn without_any_root_nothing_is_judged() {
    let s = site(&[HOST], (2026, 2027), (2020, 2030));
    let addr = serve(vec![s.leaf, s.between.der], s.key).await;
    let e = SystemNet::new().without_roots().certificate(HOST, addr, now()).await.unwrap_err();
    assert!(matches!(e, NetError::Unreachable(_)), "{e:?}");
}

/// A server that accepts and never says a word, and an address where nobody listens.
async fn silent_and_closed() -> (TcpListener, SocketAddr, SocketAddr) {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let addr = silent.local_addr().unwrap();
    (silent, addr, closed)
}

#[tokio::test]
async fn refused_silent_and_plain_text_servers_are_told_apart() {
    let s = site(&[HOST], (2026, 2027), (2020, 2030));
    let net = trusting(&s.root);
    let (_silent, quiet, closed) = silent_and_closed().await;
    assert_eq!(net.certificate(HOST, closed, now()).await.unwrap_err(), NetError::Refused);
    assert_eq!(net.connect(closed, LIMIT).await.unwrap_err(), NetError::Refused);
    assert!(net.connect(quiet, LIMIT).await.unwrap() < LIMIT);
    let url = format!("http://127.0.0.1:{}/", quiet.port());
    let brief = Duration::from_millis(200);
    assert_eq!(net.get(&url, None, brief).await.unwrap_err(), NetError::Timeout);
    let url = format!("http://127.0.0.1:{}/", closed.port());
    assert_eq!(net.get(&url, None, LIMIT).await.unwrap_err(), NetError::Refused);
    let plain = plain_server().await;
    let e = net.certificate(HOST, plain, now()).await.unwrap_err();
    assert!(matches!(e, NetError::Protocol(_)), "{e:?}");
    let url = format!("https://127.0.0.1:{}/", plain.port());
    let e = net.get(&url, None, LIMIT).await.unwrap_err();
    assert!(matches!(e, NetError::Protocol(_)), "{e:?}");
}

pub(super) async fn plain_server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut first = [0_u8; 1];
                // A TLS client begins with byte 22; a plain server answers that with words.
                if stream.peek(&mut first).await.is_ok_and(|n| n == 1) && first[0] == 22 {
                    let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
                } else {
                    answer(&mut stream).await;
                }
            });
        }
    });
    addr
}

#[tokio::test]
async fn a_get_keeps_the_host_where_it_connects_elsewhere_and_waits_for_no_body() {
    let net = SystemNet::new();
    let addr = plain_server().await;
    let a = net.get("http://filmtrip.example.com/a?b=c#d", Some(addr), LIMIT).await.unwrap();
    assert_eq!((a.status, a.location.as_deref()), (302, Some("filmtrip.example.com/a?b=c")));
    assert_eq!(a.date.as_deref(), Some("Sun, 01 Mar 2026 02:00:00 GMT"));
    assert!(a.millis < 5000);
    let a = net.get("http://filmtrip.example.com:8080", Some(addr), LIMIT).await.unwrap();
    assert_eq!(a.location.as_deref(), Some("filmtrip.example.com:8080/"));
    let a = net.get(&format!("http://localhost:{}/x", addr.port()), None, LIMIT).await.unwrap();
    assert_eq!(a.status, 302);
    let e = net.get("ftp://example.com", None, LIMIT).await.unwrap_err();
    assert!(matches!(e, NetError::Protocol(_)));
}

#[tokio::test]
async fn a_get_over_tls_verifies_and_sends_the_name_it_was_given() {
    let s = site(&[HOST], (2020, 2080), (2020, 2080));
    let net = trusting(&s.root);
    let addr = serve(vec![s.leaf, s.between.der], s.key).await;
    let a = net.get(&format!("https://{HOST}/health"), Some(addr), LIMIT).await.unwrap();
    assert_eq!(a.location.as_deref(), Some("filmtrip.example.com/health"));
    let e = net.get("https://other.example.com/", Some(addr), LIMIT).await.unwrap_err();
    assert!(matches!(e, NetError::Protocol(_)), "an unverified server is sent nothing: {e:?}");
}

#[tokio::test]
async fn names_in_other_scripts_are_sent_in_their_ascii_form() {
    let name = tls::server_name("bücher.example.com").unwrap();
    assert_eq!(name.to_str(), "xn--bcher-kva.example.com");
    assert!(tls::server_name("a b").is_err());
}

#[tokio::test]
async fn the_system_knows_localhost_and_no_invalid_name() {
    let net = SystemNet::new();
    assert!(net.system_lookup("localhost").await.unwrap().iter().all(IpAddr::is_loopback));
    assert_eq!(net.system_lookup("192.0.2.1").await.unwrap(), [IpAddr::from([192, 0, 2, 1])]);
    assert!(net.system_lookup("").await.is_err());
}
