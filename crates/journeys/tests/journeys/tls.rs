//! Journeys over TLS: a release on a private port, reached by its public name.

use std::net::SocketAddr;
use std::sync::Arc;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{CertificateParams, KeyPair};
use safelight_journeys::RunOptions;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::{ServerConfig, crypto::ring};

use crate::support::{go_with, options};

/// Serves Host and the name of the handshake; returns its address and its certificate in PEM.
async fn tls_server() -> (SocketAddr, String) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["photos.example.com".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let chain = vec![certificate.der().clone()];
    let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                // A client that refuses the certificate breaks the handshake off.
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let (_, connection) = stream.get_ref();
                let name = connection.server_name().unwrap_or("none").to_owned();
                let h2 = connection.alpn_protocol() == Some(b"h2");
                let service = service_fn(move |request: Request<Incoming>| {
                    let host = request
                        .headers()
                        .get("host")
                        .and_then(|value| value.to_str().ok())
                        .map(str::to_owned);
                    let host = host.or_else(|| request.uri().authority().map(ToString::to_string));
                    let body = format!("{} {name}", host.unwrap_or_default());
                    async move { Ok::<_, std::convert::Infallible>(Response::new(Full::new(Bytes::from(body)))) }
                });
                let stream = TokioIo::new(stream);
                let _ = if h2 {
                    hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                        .serve_connection(stream, service)
                        .await
                } else {
                    hyper::server::conn::http1::Builder::new().serve_connection(stream, service).await
                };
            });
        }
    });
    (address, certificate.pem())
}

fn led_to(address: SocketAddr) -> RunOptions {
    let mut options = options(address);
    options.resolve.push(("photos.example.com".to_owned(), 443, address));
    options
}

const KEPT: &str = "GET https://photos.example.com/\nHTTP/1.1 200\n`photos.example.com photos.example.com`\n";

#[tokio::test]
async fn host_and_handshake_keep_the_name_when_led_to_another_port() {
    let (address, pem) = tls_server().await;
    let mut options = led_to(address);
    options.authorities_pem.push(pem.into_bytes());
    assert_eq!(go_with(KEPT, &options).await.failure.map(|failure| failure.to_string()), None);
}

#[tokio::test]
async fn an_unknown_authority_is_refused_by_default_and_the_failure_says_so() {
    let (address, _) = tls_server().await;
    let failure = go_with(KEPT, &led_to(address)).await.failure.unwrap();
    assert!(failure.what.contains("cannot trust the certificate of photos.example.com"), "{failure}");
    assert!(failure.hint.unwrap().contains("authority"));
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused() {
    let (address, pem) = tls_server().await;
    let mut options = options(address);
    options.authorities_pem.push(pem.into_bytes());
    options.resolve.push(("other.example.com".to_owned(), 443, address));
    let failure = go_with("GET https://other.example.com/\nHTTP 200\n", &options).await.failure.unwrap();
    assert!(failure.what.contains("cannot trust the certificate of other.example.com"), "{failure}");
}

#[tokio::test]
async fn run_and_entry_may_accept_any_certificate() {
    let (address, _) = tls_server().await;
    let mut options = led_to(address);
    let insecure = KEPT.replace("/\nHTTP", "/\n[Options]\ninsecure: true\nHTTP");
    assert_eq!(go_with(&insecure, &options).await.failure, None);
    options.accept_invalid_certs = true;
    assert_eq!(go_with(KEPT, &options).await.failure, None);
}

#[tokio::test]
async fn an_entry_may_bring_its_own_authority() {
    let (address, pem) = tls_server().await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("ca.pem"), pem).unwrap();
    let mut options = led_to(address);
    options.file_root = Some(folder.path().to_owned());
    let text = KEPT.replace("/\nHTTP", "/\n[Options]\ncacert: ca.pem\nHTTP");
    assert_eq!(go_with(&text, &options).await.failure, None);
}

#[tokio::test]
async fn http_2_is_spoken_without_tls_when_known_before() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let answer = service_fn(|_: Request<Incoming>| async {
            Ok::<_, std::convert::Infallible>(Response::new(Full::new(Bytes::from("h2c"))))
        });
        let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        server.serve_connection(TokioIo::new(stream), answer).await
    });
    let text = "GET {{base}}/\n[Options]\nhttp2-prior-knowledge: true\nHTTP/2 200\n`h2c`\n";
    assert_eq!(go_with(text, &options(address)).await.failure, None);
}

// Asserting Response, "SSL Certificate assert".
#[tokio::test]
async fn http_2_is_negotiated_on_the_same_port_and_the_certificate_can_be_asked() {
    let (address, pem) = tls_server().await;
    let mut options = options(address);
    options.authorities_pem.push(pem.into_bytes());
    options.resolve.push(("photos.example.com".to_owned(), address.port(), address));
    let port = address.port();
    let text = format!(
        "GET https://photos.example.com:{port}/\nHTTP/2 200\n[Asserts]\nversion == \"2\"\n\
         body == \"photos.example.com:{port} photos.example.com\"\n\
         certificate \"Subject\" contains \"rcgen\"\ncertificate \"Issuer\" contains \"rcgen\"\n\
         certificate \"Subject-Alt-Name\" == \"DNS:photos.example.com\"\ncertificate \"Expire-Date\" daysAfterNow > 30\n\
         certificate \"Start-Date\" isDate\ncertificate \"Serial-Number\" matches /^[0-9a-f:]+$/\n\
         certificate \"Value\" startsWith \"-----BEGIN CERTIFICATE-----\"\n\n\
         GET https://photos.example.com:{port}/\n[Options]\nhttp2: false\nHTTP/1.1 200\n"
    );
    assert_eq!(go_with(&text, &options).await.failure.map(|failure| failure.to_string()), None);
}
