//! What a proxy is started with. Routes are not here: they live in the route table.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::error::ProxyError;
use crate::headers::Network;
use crate::split::{Sha256Splitter, Splitter};

/// One address to listen on.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListenSpec {
    /// The address; port 0 takes a free one.
    pub address: SocketAddr,
    /// TLS with the certificates that the route table names.
    pub tls: bool,
}

impl ListenSpec {
    /// Plain HTTP/1.
    #[must_use]
    pub fn plain(address: SocketAddr) -> Self {
        Self { address, tls: false }
    }

    /// HTTP/1 over TLS.
    #[must_use]
    pub fn tls(address: SocketAddr) -> Self {
        Self { address, tls: true }
    }
}

/// Limits towards clients.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Bytes of a request line and header, names and values; more is answered with 431.
    pub max_header_bytes: usize,
    /// From the first byte of a request header to its last; then the connection is closed.
    pub header_timeout: Duration,
    /// From the acceptance of a TLS connection to the end of its handshake; then it is closed.
    pub handshake_timeout: Duration,
    /// Between two reads of a request body, and between two writes of a response.
    pub body_timeout: Duration,
    /// How long an idle connection is kept for the next request, in seconds. 0: not at all.
    pub keepalive_s: u64,
    /// Connections at one time; further ones wait in the backlog of the kernel.
    pub max_connections: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_header_bytes: 64 * 1024,
            header_timeout: Duration::from_secs(15),
            handshake_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(60),
            keepalive_s: 60,
            max_connections: 20_000,
        }
    }
}

/// How the process ends.
#[derive(Debug, Clone)]
pub struct Leave {
    /// After SIGTERM: how long idle connections may still bring a request before they are closed.
    pub idle_grace: Duration,
    /// After SIGTERM: how long requests in flight get; then they are cut.
    pub stop_timeout: Duration,
    /// After an upgrade: how long the old process serves the connections that it has. Above the keep-alive
    /// time, so that none is closed under a client that is about to use it.
    pub upgrade_timeout: Duration,
}

impl Default for Leave {
    fn default() -> Self {
        Self {
            idle_grace: Duration::from_secs(1),
            stop_timeout: Duration::from_secs(30),
            upgrade_timeout: Duration::from_secs(75),
        }
    }
}

/// What a proxy is started with.
#[derive(Clone)]
#[non_exhaustive]
pub struct ProxyOptions {
    /// Addresses to listen on; at least one.
    pub listen: Vec<ListenSpec>,
    /// The control socket. `.lock` and `.handover` are put beside it.
    pub control_socket: PathBuf,
    /// The route table. `.prev`, the generation before, is put beside it.
    pub routes: PathBuf,
    /// Take the sockets over from the proxy that runs on `control_socket`, which then drains and ends.
    pub take_over: bool,
    /// Proxies in front of this one whose `X-Forwarded-*` headers are believed.
    pub trusted_proxies: Vec<Network>,
    /// Worker threads. 0: one per core.
    pub threads: usize,
    /// Limits towards clients.
    pub limits: Limits,
    /// How the process ends.
    pub leave: Leave,
    /// Which users reach a candidate.
    pub splitter: Arc<dyn Splitter>,
}

impl ProxyOptions {
    /// Options with defaults for the rest.
    #[must_use]
    pub fn new(listen: Vec<ListenSpec>, control_socket: PathBuf, routes: PathBuf) -> Self {
        Self {
            listen,
            control_socket,
            routes,
            take_over: false,
            trusted_proxies: Vec::new(),
            threads: 0,
            limits: Limits::default(),
            leave: Leave::default(),
            splitter: Arc::new(Sha256Splitter),
        }
    }

    pub(crate) fn check(&self) -> Result<(), ProxyError> {
        let fail = |what: &str| Err(ProxyError::Options(what.into()));
        if self.listen.is_empty() {
            return fail("no address to listen on");
        }
        if self.listen.len() > 64 {
            return fail("more than 64 addresses to listen on");
        }
        if self.limits.max_header_bytes < 1024 || self.limits.max_connections == 0 {
            return fail("limits must leave room for a header of 1 KiB and one connection");
        }
        Ok(())
    }
}
