//! Names, certificates and HTTP of the machine that this process runs on.
//! Reports what it sees; whether that is well is for the checks to say.

mod dns;
mod http;
mod resolv;
mod tls;

#[cfg(test)]
mod checks_tests;
#[cfg(test)]
mod dns_tests;
#[cfg(test)]
mod tls_tests;

use async_trait::async_trait;
use jiff::Timestamp;
use rustls::{
    RootCertStore,
    crypto::{CryptoProvider, ring},
    pki_types::CertificateDer,
};
use safelight_engine::{
    config::CertificateFiles,
    driver::net::{Answer, Certificate, FileCertificate, FileTrouble, HttpAnswer, Net, NetError, Resolution},
};
use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::net::TcpStream;

/// The longest one TCP connection with its TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// The longest the C library may take for a name.
const LOOKUP: Duration = Duration::from_secs(5);

/// The network as this machine sees it.
#[derive(Clone)]
pub struct SystemNet {
    resolv_conf: PathBuf,
    resolvers: Vec<SocketAddr>,
    authority_port: u16,
    dns_timeout: Duration,
    provider: Arc<CryptoProvider>,
    /// Those of a caller; the machine's own otherwise.
    roots: Option<Arc<Roots>>,
}

/// Trusted certificates.
#[derive(Clone)]
struct Roots {
    store: RootCertStore,
    /// Why there are none: without any, every chain would look untrusted.
    trouble: Option<String>,
}

/// How long the machine's own roots are believed to be as they were read. One copy of them serves everybody: they are
/// large, and most who hold a [`SystemNet`] never need them.
const ROOTS_KEPT: Duration = Duration::from_secs(60);
static MACHINE_ROOTS: Mutex<Option<(Instant, Arc<Roots>)>> = Mutex::new(None);

impl Roots {
    fn of_machine() -> Arc<Self> {
        let mut kept = MACHINE_ROOTS.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, roots)) = kept.as_ref().filter(|(read, _)| read.elapsed() < ROOTS_KEPT) {
            return roots.clone();
        }
        let loaded = rustls_native_certs::load_native_certs();
        let mut store = RootCertStore::empty();
        let (added, _) = store.add_parsable_certificates(loaded.certs);
        let trouble = (added == 0).then(|| {
            let first = loaded.errors.first().map(|e| format!(": {e}")).unwrap_or_default();
            format!("this host has no trusted root certificates{first}; install the package ca-certificates")
        });
        let roots = Arc::new(Self { store, trouble });
        *kept = Some((Instant::now(), roots.clone()));
        roots
    }
}

impl Default for SystemNet {
    fn default() -> Self {
        Self::new()
    }
}

impl SystemNet {
    /// With this machine's resolvers (/etc/resolv.conf, read anew for each question) and its own store of trusted
    /// certificates, read when one is looked at and kept for a minute. A machine without such a store can still be
    /// asked; then no chain can be judged, and [`Net::certificate`] says so.
    #[must_use]
    pub fn new() -> Self {
        Self {
            resolv_conf: PathBuf::from("/etc/resolv.conf"),
            resolvers: Vec::new(),
            authority_port: 53,
            dns_timeout: Duration::from_secs(2),
            provider: Arc::new(ring::default_provider()),
            roots: None,
        }
    }

    /// Asks these servers wherever the machine's own would be asked.
    #[must_use]
    pub fn with_resolvers(mut self, servers: Vec<SocketAddr>) -> Self {
        self.resolvers = servers;
        self
    }

    /// Reads another file in the place of /etc/resolv.conf.
    #[must_use]
    pub fn with_resolv_conf(mut self, file: impl Into<PathBuf>) -> Self {
        self.resolv_conf = file.into();
        self
    }

    /// The port at which authoritative servers answer; 53 everywhere but in tests.
    #[must_use]
    pub fn with_authority_port(mut self, port: u16) -> Self {
        self.authority_port = port;
        self
    }

    /// How long one DNS server may take for one try; each server gets two.
    #[must_use]
    pub fn with_dns_timeout(mut self, limit: Duration) -> Self {
        self.dns_timeout = limit;
        self
    }

    /// Trusts one more root.
    ///
    /// # Errors
    /// When `root` is not a certificate.
    pub fn with_root(mut self, root: CertificateDer<'static>) -> Result<Self, NetError> {
        let mut roots = Roots::clone(&*self.roots.unwrap_or_else(Roots::of_machine));
        roots.store.add(root).map_err(|e| NetError::Protocol(format!("not a root certificate: {e}")))?;
        roots.trouble = None;
        self.roots = Some(Arc::new(roots));
        Ok(self)
    }

    /// Trusts nothing but what [`SystemNet::with_root`] adds afterwards.
    #[must_use]
    pub fn without_roots(mut self) -> Self {
        let trouble = Some("no trusted root certificates are set".to_owned());
        self.roots = Some(Arc::new(Roots { store: RootCertStore::empty(), trouble }));
        self
    }

    /// The roots, or why there are none.
    fn roots(&self) -> Result<RootCertStore, NetError> {
        let roots = self.roots.clone().unwrap_or_else(Roots::of_machine);
        match &roots.trouble {
            Some(why) => Err(NetError::Unreachable(why.clone())),
            None => Ok(roots.store.clone()),
        }
    }

    async fn lookup(&self, host: &str) -> Result<Vec<IpAddr>, NetError> {
        if let Ok(ip) = host.parse::<IpAddr>() {
            return Ok(vec![ip]);
        }
        let found = tokio::time::timeout(LOOKUP, tokio::net::lookup_host((host, 0)))
            .await
            .map_err(|_| NetError::Timeout)?
            .map_err(|e| NetError::Unreachable(format!("{host}: {e}")))?;
        let mut ips = Vec::new();
        for addr in found {
            if !ips.contains(&addr.ip()) {
                ips.push(addr.ip());
            }
        }
        Ok(ips)
    }
}

/// A connection, or why there is none, in the words the checks tell apart.
async fn dial(addr: SocketAddr, limit: Duration) -> Result<TcpStream, NetError> {
    match tokio::time::timeout(limit, TcpStream::connect(addr)).await {
        Err(_) => Err(NetError::Timeout),
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(e)) => Err(match e.kind() {
            std::io::ErrorKind::ConnectionRefused => NetError::Refused,
            std::io::ErrorKind::TimedOut => NetError::Timeout,
            std::io::ErrorKind::ConnectionReset | std::io::ErrorKind::ConnectionAborted => {
                NetError::Protocol(format!("{addr}: {e}"))
            }
            _ => NetError::Unreachable(format!("{addr}: {e}")),
        }),
    }
}

#[async_trait]
impl Net for SystemNet {
    async fn resolve(&self, name: &str, server: Option<SocketAddr>) -> Resolution {
        match server {
            Some(s) => {
                let (authoritative, answer) = dns::ask(s, name, self.dns_timeout).await;
                Resolution { server: s.to_string(), authoritative, answer }
            }
            None => {
                let (authoritative, answer) = match self.own_resolvers() {
                    Ok(servers) => dns::ask_any(&servers, name, self.dns_timeout).await,
                    Err(e) => (false, Answer::Unreachable { why: e.to_string() }),
                };
                Resolution { server: "system".to_owned(), authoritative, answer }
            }
        }
    }

    async fn authorities(&self, name: &str) -> Result<Vec<SocketAddr>, NetError> {
        let servers = self.own_resolvers()?;
        dns::authorities(&servers, name, self.authority_port, self.dns_timeout).await
    }

    async fn system_lookup(&self, name: &str) -> Result<Vec<IpAddr>, NetError> {
        self.lookup(name).await
    }

    async fn connect(&self, addr: SocketAddr, limit: Duration) -> Result<Duration, NetError> {
        let started = Instant::now();
        dial(addr, limit).await.map(|_| started.elapsed())
    }

    async fn certificate(
        &self,
        server_name: &str,
        addr: SocketAddr,
        now: Timestamp,
    ) -> Result<Certificate, NetError> {
        let roots = self.roots()?;
        tokio::time::timeout(HANDSHAKE, tls::fetch(&self.provider, roots, server_name, addr, now))
            .await
            .unwrap_or(Err(NetError::Timeout))
    }

    async fn certificate_files(&self, files: &CertificateFiles) -> Result<FileCertificate, FileTrouble> {
        tls::files(files).await
    }

    async fn get(
        &self,
        url: &str,
        connect_to: Option<SocketAddr>,
        limit: Duration,
    ) -> Result<HttpAnswer, NetError> {
        tokio::time::timeout(limit, http::get(self, url, connect_to, limit))
            .await
            .unwrap_or(Err(NetError::Timeout))
    }
}
