//! Certificates of an authority of the test's own, and clients that trust it.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use safelight_proxy::{CertificateFiles, ControlClient};
use tokio_rustls::TlsConnector;

use super::clients::Place;
use super::{Files, Proxy, command};

/// An authority, and where its certificates are written.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: tempfile::TempDir,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Self { issuer, folder: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a certificate for `names`, and its key, as `<file>.pem` and `<file>.key`.
    pub fn write(&self, file: &str, names: &[&str]) -> CertificateFiles {
        let names: Vec<String> = names.iter().map(|n| (*n).to_owned()).collect();
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &self.issuer).unwrap();
        let files = CertificateFiles {
            certificate: self.path(&format!("{file}.pem")),
            key: self.path(&format!("{file}.key")),
        };
        replace(&files.certificate, &certificate.pem());
        replace(&files.key, &key.serialize_pem());
        files
    }

    /// A client that trusts this authority alone.
    pub fn connector(&self) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        let mut config =
            ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_root_certificates(roots)
                .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        TlsConnector::from(Arc::new(config))
    }

    pub fn place(&self, address: SocketAddr, name: &'static str) -> Place {
        Place { address, tls: Some((self.connector(), name)) }
    }

    /// The leaf that a server sends to a client who asks for `name`.
    pub async fn served(
        &self,
        address: SocketAddr,
        name: &'static str,
    ) -> Result<CertificateDer<'static>, String> {
        let stream = tokio::net::TcpStream::connect(address).await.map_err(|e| e.to_string())?;
        let name = name.try_into().map_err(|e| format!("{e}"))?;
        let stream = self.connector().connect(name, stream).await.map_err(|e| e.to_string())?;
        let (_, session) = stream.get_ref();
        assert_eq!(session.alpn_protocol(), Some(&b"http/1.1"[..]));
        Ok(session.peer_certificates().unwrap()[0].clone().into_owned())
    }
}

/// As certificate clients do it: written beside, then renamed.
pub fn replace(path: &Path, text: &str) {
    let beside = path.with_extension("new");
    std::fs::write(&beside, text).unwrap();
    std::fs::set_permissions(&beside, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::rename(beside, path).unwrap();
}

/// The certificate in a PEM file.
pub fn in_file(path: &Path) -> CertificateDer<'static> {
    use rustls::pki_types::pem::PemObject;
    CertificateDer::from_pem_file(path).unwrap()
}

/// A proxy with a plain listener and one for TLS.
pub struct TlsProxy {
    pub proxy: Proxy,
    pub plain: SocketAddr,
    pub tls: SocketAddr,
}

impl TlsProxy {
    pub async fn start(files: &Files, options: &[(&str, &str)]) -> Self {
        Self::start_at(files, "127.0.0.1:0", "127.0.0.1:0", options).await
    }

    pub async fn start_at(
        files: &Files,
        plain: impl ToString,
        tls: impl ToString,
        options: &[(&str, &str)],
    ) -> Self {
        let mut command = command(files, plain, options);
        command.arg(format!("tls:{}", tls.to_string()));
        let proxy = Proxy::spawn(files, command).await;
        let state = proxy.control.state().await.unwrap();
        Self { proxy, plain: state.listen[0], tls: state.listen_tls[0] }
    }

    pub fn control(&self) -> &ControlClient {
        &self.proxy.control
    }
}

/// Waits until a client who asks for `name` gets this certificate.
pub async fn until_served(
    authority: &Authority,
    at: SocketAddr,
    name: &'static str,
    wanted: &CertificateDer<'static>,
) {
    let started = Instant::now();
    while authority.served(at, name).await.as_ref() != Ok(wanted) {
        assert!(started.elapsed().as_secs() < 20, "{name} never got the new certificate");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}
