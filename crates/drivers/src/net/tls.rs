//! Fetches the chain a server sends, whatever is wrong with it, and verifies it apart from the handshake.

use super::dial;
use jiff::Timestamp;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::CryptoProvider,
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use safelight_engine::{
    config::CertificateFiles,
    driver::net::{CertInfo, CertProblem, Certificate, FileCertificate, FileTrouble, NetError},
    text::Text,
};
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use x509_parser::{
    extensions::{GeneralName, ParsedExtension},
    oid_registry::OidRegistry,
    prelude::{FromDer as _, X509Certificate, X509Name},
};

/// The name for SNI and for verification: IDNs in their ASCII form, no dot at the end.
pub(super) fn server_name(host: &str) -> Result<ServerName<'static>, NetError> {
    let host = host.trim_end_matches('.');
    let ascii = if host.is_ascii() {
        host.to_owned()
    } else {
        hickory_proto::rr::Name::from_utf8(host)
            .map_err(|e| NetError::Protocol(format!("`{host}` is not a host name: {e}")))?
            .to_ascii()
    };
    ServerName::try_from(ascii.trim_end_matches('.').to_owned())
        .map_err(|e| NetError::Protocol(format!("`{host}` is not a host name: {e}")))
}

/// What the verifier saw during the handshake.
#[derive(Default, Debug)]
struct Seen {
    chain: Vec<CertificateDer<'static>>,
    verdict: Option<Result<(), CertProblem>>,
}

/// Lets every handshake go on, and keeps what an honest verifier says at the given time.
#[derive(Debug)]
struct Recorder {
    inner: Arc<WebPkiServerVerifier>,
    now: UnixTime,
    seen: Mutex<Seen>,
}

impl Recorder {
    fn fail(&self, e: &rustls::Error) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        // The first complaint, about the chain, says more than a later one about the handshake.
        if !matches!(seen.verdict, Some(Err(_))) {
            seen.verdict = Some(Err(problem(e)));
        }
    }
}

fn problem(e: &rustls::Error) -> CertProblem {
    use CertificateError as C;
    let rustls::Error::InvalidCertificate(c) = e else { return CertProblem::Other(e.to_string()) };
    match c {
        C::Expired | C::ExpiredContext { .. } => CertProblem::Expired,
        C::NotValidYet | C::NotValidYetContext { .. } => CertProblem::NotYetValid,
        C::NotValidForName | C::NotValidForNameContext { .. } => CertProblem::WrongName,
        C::UnknownIssuer => CertProblem::UntrustedIssuer,
        _ => CertProblem::Other(e.to_string()),
    }
}

impl ServerCertVerifier for Recorder {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verdict =
            self.inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, self.now);
        let chain = std::iter::once(end_entity).chain(intermediates);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.chain = chain.map(|c| c.clone().into_owned()).collect();
        seen.verdict = Some(verdict.map(|_| ()).map_err(|e| problem(&e)));
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, cert, dss).inspect_err(|e| self.fail(e))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, cert, dss).inspect_err(|e| self.fail(e))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// Connects, shakes hands, and tells what was served and whether it verifies at `now`. No request is ever sent over
/// this connection, so that an unverified server learns nothing.
pub(super) async fn fetch(
    provider: &Arc<CryptoProvider>,
    roots: RootCertStore,
    host: &str,
    addr: SocketAddr,
    now: Timestamp,
) -> Result<Certificate, NetError> {
    let name = server_name(host)?;
    let broken = |e: &dyn std::fmt::Display| NetError::Protocol(format!("{addr}: {e}"));
    let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .build()
        .map_err(|e| NetError::Unreachable(format!("no chain can be verified here: {e}")))?;
    let seconds = u64::try_from(now.as_second()).unwrap_or(0);
    let recorder = Arc::new(Recorder {
        inner,
        now: UnixTime::since_unix_epoch(Duration::from_secs(seconds)),
        seen: Mutex::default(),
    });
    let config = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|e| broken(&e))?
        .dangerous()
        .with_custom_certificate_verifier(recorder.clone())
        .with_no_client_auth();
    let stream = dial(addr, super::HANDSHAKE).await?;
    let outcome = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await;
    let seen = std::mem::take(&mut *recorder.seen.lock().unwrap_or_else(PoisonError::into_inner));
    let Some(verdict) = seen.verdict else {
        return Err(match outcome {
            Ok(_) => broken(&"the handshake ended without a certificate"),
            Err(e) => broken(&e),
        });
    };
    let chain =
        seen.chain.iter().map(|der| info(der).map_err(|e| broken(&e))).collect::<Result<Vec<_>, _>>()?;
    Ok(Certificate { address: addr, verified: verdict.map_err(|p| own_issuer(p, &chain)), chain })
}

/// A self-made certificate that also calls itself an authority is refused for the latter; that nobody vouches for it
/// is what matters.
fn own_issuer(problem: CertProblem, chain: &[CertInfo]) -> CertProblem {
    match problem {
        CertProblem::Other(_) if chain.len() == 1 && chain[0].subject == chain[0].issuer => {
            CertProblem::UntrustedIssuer
        }
        p => p,
    }
}

fn readable(name: &X509Name<'_>) -> String {
    let common = name.iter_common_name().next().and_then(|c| c.as_str().ok());
    common.map_or_else(|| name.to_string(), str::to_owned)
}

fn info(der: &CertificateDer<'_>) -> Result<CertInfo, String> {
    let (_, cert) =
        X509Certificate::from_der(der).map_err(|e| format!("a certificate cannot be read: {e}"))?;
    let time =
        |seconds: i64| Timestamp::from_second(seconds).map_err(|e| format!("a date of a certificate: {e}"));
    let mut names = Vec::new();
    for extension in cert.extensions() {
        if let ParsedExtension::SubjectAlternativeName(san) = extension.parsed_extension() {
            names.extend(san.general_names.iter().filter_map(|n| match n {
                GeneralName::DNSName(d) => Some((*d).to_owned()),
                GeneralName::IPAddress(b) => safelight_certs::address(b),
                _ => None,
            }));
        }
    }
    let oid = &cert.signature_algorithm.algorithm;
    let registry = OidRegistry::default().with_crypto();
    let signature = registry.get(oid).map_or_else(|| oid.to_id_string(), |e| e.sn().to_owned());
    Ok(CertInfo {
        subject: readable(cert.subject()),
        issuer: readable(cert.issuer()),
        names,
        not_before: time(cert.validity().not_before.timestamp())?,
        not_after: time(cert.validity().not_after.timestamp())?,
        signature,
    })
}

/// What the proxy would serve from these files.
pub(super) async fn files(files: &CertificateFiles) -> Result<FileCertificate, FileTrouble> {
    let files =
        safelight_certs::CertificateFiles { certificate: files.certificate.clone(), key: files.key.clone() };
    let read = tokio::task::spawn_blocking(move || safelight_certs::load(&files)).await;
    let loaded = match read {
        Ok(Ok(loaded)) => loaded,
        Ok(Err(t)) => {
            return Err(FileTrouble {
                key: t.part == safelight_certs::Part::Key,
                what: Text::new(t.en, t.zh),
                help: Text::new(t.help_en, t.help_zh),
            });
        }
        Err(e) => {
            let (what, help) = (Text::same(e.to_string()), Text::new("try again", "请重试"));
            return Err(FileTrouble { key: false, what, help });
        }
    };
    // A date beyond what can be told apart is as good as the last one that can.
    let time = |s: i64, or: Timestamp| Timestamp::from_second(s).unwrap_or(or);
    Ok(FileCertificate {
        names: loaded.names,
        not_before: time(loaded.not_before, Timestamp::MIN),
        not_after: time(loaded.not_after, Timestamp::MAX),
    })
}
