//! Names, certificates and HTTP as seen from the host. Failures are kept apart, because each means another thing.

use crate::{config::CertificateFiles, text::Text};
use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

/// What a resolver answered about a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Answer {
    /// Records.
    Records {
        /// IPv4 addresses.
        a: Vec<IpAddr>,
        /// IPv6 addresses.
        aaaa: Vec<IpAddr>,
        /// The chain of CNAME targets, in order.
        cname: Vec<String>,
        /// The smallest time to live of the answer, in seconds.
        ttl: u32,
    },
    /// The name does not exist.
    NxDomain {
        /// Seconds for which resolvers may remember that, when the zone says so.
        negative_ttl: Option<u32>,
    },
    /// The name exists and has no address.
    NoData,
    /// The server failed.
    ServFail,
    /// Refused.
    Refused,
    /// No answer in time.
    Timeout,
    /// Could not be asked at all.
    Unreachable {
        /// Why.
        why: String,
    },
}

/// Who answered, and what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolution {
    /// The server asked, or `system` for the host's own configuration.
    pub server: String,
    /// Whether that server is authoritative for the zone.
    pub authoritative: bool,
    /// What it answered.
    pub answer: Answer,
}

/// A certificate chain as one address served it, and what verifying it gave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// The address that served it.
    pub address: SocketAddr,
    /// `Ok` when chain, host name, dates and signatures verify against the trusted roots; else what is wrong.
    pub verified: Result<(), CertProblem>,
    /// Leaf first.
    pub chain: Vec<CertInfo>,
}

/// What is wrong with a chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind", content = "detail")]
pub enum CertProblem {
    /// Past its last day.
    Expired,
    /// Not valid yet.
    NotYetValid,
    /// Made for other names.
    WrongName,
    /// No path to a trusted root: self-signed, unknown issuer or a missing intermediate.
    UntrustedIssuer,
    /// Anything else, in the verifier's words.
    Other(String),
}

/// One certificate of a chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertInfo {
    /// Subject's common name or whole name.
    pub subject: String,
    /// Issuer's name.
    pub issuer: String,
    /// DNS and IP names of the SAN extension.
    pub names: Vec<String>,
    /// First moment of validity.
    pub not_before: Timestamp,
    /// Last moment of validity.
    pub not_after: Timestamp,
    /// Signature algorithm, `ecdsa-with-SHA256`.
    pub signature: String,
}

/// A certificate as it lies in a file of this host, whose key is there too and belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileCertificate {
    /// DNS names and addresses that it is for.
    pub names: Vec<String>,
    /// First moment of validity.
    pub not_before: Timestamp,
    /// Last moment of validity.
    pub not_after: Timestamp,
}

impl FileCertificate {
    /// Whether clients accept it for a host name; a wildcard stands for one level.
    #[must_use]
    pub fn covers(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        self.names.iter().map(|n| n.to_ascii_lowercase()).any(|n| match n.strip_prefix("*.") {
            Some(parent) => host.split_once('.').is_some_and(|(_, rest)| rest == parent),
            None => n == host,
        })
    }
}

/// Why files of a certificate and its key cannot be served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileTrouble {
    /// It is about the key, not the certificate.
    pub key: bool,
    /// What is wrong.
    pub what: Text,
    /// What to do.
    pub help: Text,
}

/// Why a connection did not come to be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind", content = "detail")]
pub enum NetError {
    /// Nobody listens there.
    #[error("connection refused")]
    Refused,
    /// No answer in time.
    #[error("no answer in time")]
    Timeout,
    /// No route, network down, or DNS failed.
    #[error("{0}")]
    Unreachable(String),
    /// TLS or HTTP broke off.
    #[error("{0}")]
    Protocol(String),
}

/// An HTTP answer, without its body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpAnswer {
    /// Status code.
    pub status: u16,
    /// Value of `Location`, if any.
    pub location: Option<String>,
    /// Value of `Date`, if any: tells a wrong local clock.
    pub date: Option<String>,
    /// Milliseconds until the headers were there.
    pub millis: u64,
}

/// The network, as seen from the host.
#[async_trait]
pub trait Net: Send + Sync {
    /// Asks one server (`None`: the host's own resolver configuration, with /etc/hosts left out) for A and AAAA.
    async fn resolve(&self, name: &str, server: Option<SocketAddr>) -> Resolution;

    /// The authoritative servers of the zone that holds `name`: addresses to ask with [`Net::resolve`].
    async fn authorities(&self, name: &str) -> Result<Vec<SocketAddr>, NetError>;

    /// What the host's own libc says (with /etc/hosts), to find overrides.
    async fn system_lookup(&self, name: &str) -> Result<Vec<IpAddr>, NetError>;

    /// Opens a TCP connection and closes it.
    async fn connect(&self, addr: SocketAddr, limit: Duration) -> Result<Duration, NetError>;

    /// Fetches the chain that `addr` serves for `server_name` (SNI) and verifies it at time `now`.
    async fn certificate(
        &self,
        server_name: &str,
        addr: SocketAddr,
        now: Timestamp,
    ) -> Result<Certificate, NetError>;

    /// Reads a certificate and its key from files of this host and matches them.
    async fn certificate_files(&self, files: &CertificateFiles) -> Result<FileCertificate, FileTrouble>;

    /// GET (no redirect followed). `connect_to` reaches the URL's host at another address, Host header and SNI kept.
    async fn get(
        &self,
        url: &str,
        connect_to: Option<SocketAddr>,
        limit: Duration,
    ) -> Result<HttpAnswer, NetError>;
}
