//! The certificates that are served: read from the files that the route table names, chosen by the name that a client
//! asks for, and read again when the files change. A file that cannot be used leaves what was read before in force and
//! is told about in the state.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use rustls::server::{ClientHello, ResolvesServerCert, ServerConfig};
use rustls::sign::CertifiedKey;
use safelight_certs::{CertificateFiles, Loaded, Stamp, Trouble, load, provider, stamp};

use crate::lock;
use crate::protocol::CertificateState;
use crate::table::RouteTable;

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// One pair of files and what was last read from them.
#[derive(Debug, Clone)]
struct Entry {
    files: CertificateFiles,
    loaded: Option<Arc<Loaded>>,
    trouble: Option<Trouble>,
    stamp: Option<Stamp>,
}

/// All certificates of one moment.
#[derive(Debug, Default)]
struct Set {
    entries: Vec<Entry>,
    exact: HashMap<String, Arc<CertifiedKey>>,
    /// Parent domain of a `*.` name to its certificate.
    wildcard: HashMap<String, Arc<CertifiedKey>>,
    /// For clients that do not say whom they want.
    first: Option<Arc<CertifiedKey>>,
}

/// The certificates in force.
#[derive(Debug, Default)]
pub(crate) struct Certificates {
    set: RwLock<Arc<Set>>,
    /// Held while files are read: two readers would overwrite one another.
    reading: Mutex<()>,
}

/// Every certificate that a table names, each once.
pub(crate) fn named_by(table: &RouteTable) -> Vec<CertificateFiles> {
    let mut all: Vec<CertificateFiles> = Vec::new();
    for files in table.apps.iter().flat_map(|a| a.services.values()).flat_map(|s| &s.certificates) {
        if !all.contains(files) {
            all.push(files.clone());
        }
    }
    all
}

impl Certificates {
    fn set(&self) -> Arc<Set> {
        self.set.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Serves these files from now on. What has not changed since it was last read is not read again. Blocks.
    pub(crate) fn serve(&self, wanted: &[CertificateFiles]) {
        let _reading = lock(&self.reading);
        self.replace(wanted, false);
    }

    fn replace(&self, wanted: &[CertificateFiles], anew: bool) {
        let old = self.set();
        let entries = wanted.iter().map(|files| {
            let before = old.entries.iter().find(|e| e.files == *files);
            // Taken before the files are read: a change in between is seen at the next look.
            let stamp = stamp(files);
            match before {
                Some(e) if !anew && e.stamp == stamp => e.clone(),
                _ => read(files, stamp, before),
            }
        });
        let set = Set::of(entries.collect());
        *self.set.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(set);
    }

    /// Reads again what has changed, or everything. Blocks.
    pub(crate) fn refresh(&self, anew: bool) {
        let _reading = lock(&self.reading);
        let files: Vec<CertificateFiles> = self.set().entries.iter().map(|e| e.files.clone()).collect();
        if !files.is_empty() {
            self.replace(&files, anew);
        }
    }

    /// What is served, for people and programs.
    pub(crate) fn report(&self) -> Vec<CertificateState> {
        let state = |e: &Entry| CertificateState {
            certificate: e.files.certificate.clone(),
            names: e.loaded.as_ref().map(|l| l.names.clone()).unwrap_or_default(),
            not_after_unix_s: e.loaded.as_ref().map(|l| l.not_after),
            trouble: e.trouble.as_ref().map(ToString::to_string),
        };
        self.set().entries.iter().map(state).collect()
    }
}

fn read(files: &CertificateFiles, stamp: Option<Stamp>, before: Option<&Entry>) -> Entry {
    match load(files) {
        Ok(loaded) => {
            let certificate = files.certificate.display();
            tracing::info!(%certificate, names = ?loaded.names, "the certificate is read");
            Entry { files: files.clone(), loaded: Some(Arc::new(loaded)), trouble: None, stamp }
        }
        Err(trouble) => {
            let kept = before.and_then(|e| e.loaded.clone());
            tracing::error!(%trouble, serving_the_one_before = kept.is_some(), "a certificate cannot be used");
            Entry { files: files.clone(), loaded: kept, trouble: Some(trouble), stamp }
        }
    }
}

impl Set {
    fn of(entries: Vec<Entry>) -> Self {
        let mut set = Self { entries, ..Self::default() };
        let mut loaded: Vec<Arc<Loaded>> = set.entries.iter().filter_map(|e| e.loaded.clone()).collect();
        set.first = loaded.first().map(|l| l.key.clone());
        // Two for one name: the one that lasts longer.
        loaded.sort_by_key(|l| l.not_after);
        for l in loaded {
            for name in &l.names {
                let name = name.to_ascii_lowercase();
                match name.strip_prefix("*.") {
                    Some(parent) => set.wildcard.insert(parent.to_owned(), l.key.clone()),
                    None => set.exact.insert(name, l.key.clone()),
                };
            }
        }
        set
    }

    fn find(&self, name: Option<&str>) -> Option<Arc<CertifiedKey>> {
        let Some(name) = name else { return self.first.clone() };
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        let wild = || self.wildcard.get(name.split_once('.')?.1);
        self.exact.get(&name).or_else(wild).cloned()
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.set().find(hello.server_name())
    }
}

/// What handshakes are made with: TLS 1.2 and 1.3, HTTP/1.1.
pub(crate) fn config(certificates: Arc<Certificates>) -> Result<Arc<ServerConfig>, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(certificates);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // Clients that come back shake hands for less, also when they meet the process after an upgrade: then in full.
    config.ticketer = rustls::crypto::ring::Ticketer::new()?;
    Ok(Arc::new(config))
}

/// Looks at the files for as long as the process lives.
pub(crate) async fn watch(certificates: Arc<Certificates>) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let this = certificates.clone();
        if let Err(error) = tokio::task::spawn_blocking(move || this.refresh(false)).await {
            tracing::error!(%error, "the certificates could not be looked at");
        }
    }
}
