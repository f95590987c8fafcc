//! The data plane, as a run needs it: route, switch, hold, count.

use super::host::HostError;
use crate::config::CertificateFiles;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

/// A running version of a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Release id.
    pub version: String,
    /// Where it listens.
    pub addr: SocketAddr,
}

/// How a service is routed now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceRoute {
    /// Serves users.
    pub stable: Option<Target>,
    /// Reached by test host names only.
    pub candidate: Option<Target>,
    /// Requests are being held.
    pub held: bool,
}

/// What a switch did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Switched {
    /// Requests that the old target was serving at the switch.
    pub in_flight: u64,
    /// Of those, the ones that ended by themselves.
    pub drained: u64,
    /// Of those, the ones cut off when the drain time was up.
    pub cut: u64,
    /// Microseconds from the request to switch until new requests went to the new target.
    pub switch_micros: u64,
}

/// Cumulative counts of one version of one service since the proxy started.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct VersionCounts {
    /// Release id.
    pub version: String,
    /// All requests that were answered or failed.
    pub requests: u64,
    /// Answers of class 5xx by the app.
    pub server_errors: u64,
    /// Answers of class 4xx.
    pub client_errors: u64,
    /// Connections to the app that failed or broke.
    pub upstream_failures: u64,
    /// Upper bounds of latency buckets in microseconds, with the number of requests in each.
    pub latency_buckets: Vec<(u64, u64)>,
}

/// Counts of one service, by version.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ServiceCounts {
    /// Changes when the proxy restarts and counts begin at 0 again.
    pub epoch: String,
    /// By version.
    pub versions: Vec<VersionCounts>,
}

/// Under which names and path users, and those who test, reach a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteRules {
    /// Host names of users; empty for any.
    pub hosts: Vec<String>,
    /// Path prefix, `/` for all.
    pub path: String,
    /// Host names that reach the candidate.
    pub test_hosts: Vec<String>,
    /// Hosts whose plain requests are sent on to https, with its port.
    pub https_ports: BTreeMap<String, u16>,
    /// Certificates for its hosts, with absolute paths.
    pub certificates: Vec<CertificateFiles>,
}

/// An address that another app has already.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteConflict {
    /// Host and path prefix, such as `example.com/api`.
    pub route: String,
    /// Whose it is: `name.environment/service`.
    pub owner: String,
}

/// A change of routing that has not been made, for `plan`.
#[derive(Clone, Copy, Debug)]
pub enum PlannedChange<'a> {
    /// [`Traffic::set_candidate`]. `at` is an address whose port may not be known yet.
    Try {
        /// As there.
        rules: &'a RouteRules,
        /// Release id.
        version: &'a str,
        /// Where it will listen.
        at: &'a str,
    },
    /// [`Traffic::switch`].
    Move {
        /// As there.
        rules: &'a RouteRules,
        /// Release id.
        version: &'a str,
        /// Where it will listen.
        at: &'a str,
        /// As there.
        drain: Duration,
    },
    /// [`Traffic::hold`].
    Hold {
        /// As there.
        limit: Duration,
        /// As there.
        queue: u32,
    },
    /// [`Traffic::release`].
    Release,
}

/// The data plane. `app` is `name.environment`.
#[async_trait]
pub trait Traffic: Send + Sync {
    /// How the service is routed; `None` when no user reaches it.
    async fn route(&self, app: &str, service: &str) -> Result<Option<ServiceRoute>, HostError>;
    /// Lets the test host names of `rules` reach `target`, or nothing any more. Users notice nothing.
    async fn set_candidate(
        &self,
        app: &str,
        service: &str,
        rules: &RouteRules,
        target: Option<&Target>,
    ) -> Result<(), HostError>;
    /// Moves users to `target`, waits until the old one has drained, and says what that took. Switching to what is
    /// already stable succeeds.
    async fn switch(
        &self,
        app: &str,
        service: &str,
        rules: &RouteRules,
        target: &Target,
        drain: Duration,
    ) -> Result<Switched, HostError>;
    /// The same where other services of the app end with it: their routes go in the moment in which this one's come.
    async fn take_over(
        &self,
        app: &str,
        service: &str,
        rules: &RouteRules,
        target: &Target,
        drain: Duration,
        from: &[String],
    ) -> Result<Switched, HostError>;
    /// All services of an app that have a route.
    async fn services(&self, app: &str) -> Result<Vec<String>, HostError>;
    /// What of `rules` other apps have: the proxy would refuse it.
    async fn conflicts(&self, app: &str, rules: &RouteRules) -> Result<Vec<RouteConflict>, HostError>;
    /// Takes the service out of routing altogether, after draining.
    async fn remove(&self, app: &str, service: &str) -> Result<(), HostError>;
    /// Holds new requests, at most `queue` of them for at most `limit`.
    async fn hold(&self, app: &str, service: &str, limit: Duration, queue: u32) -> Result<(), HostError>;
    /// Lets held requests go.
    async fn release(&self, app: &str, service: &str) -> Result<(), HostError>;
    /// What such a change would be as a command that a person could give.
    async fn explain(&self, app: &str, service: &str, change: PlannedChange<'_>) -> String;
    /// Counts by version.
    async fn counts(&self, app: &str, service: &str) -> Result<ServiceCounts, HostError>;
    /// Where users reach the proxy in plain HTTP.
    async fn listen(&self) -> Result<Vec<SocketAddr>, HostError>;
    /// Where they reach it over TLS.
    async fn listen_tls(&self) -> Result<Vec<SocketAddr>, HostError>;
}
