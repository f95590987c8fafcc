//! The engine's view of the proxy and of journeys, on top of their crates.

use async_trait::async_trait;
use safelight_engine::driver::{
    host::{HostError, HostErrorKind},
    journey::{JourneyResult, JourneyRun, Journeys},
    traffic::{RouteRules, ServiceCounts, ServiceRoute, Switched, Target, Traffic, VersionCounts},
};
use safelight_journeys::{Journey, RunOptions, Secret, Value};
use safelight_proxy::{
    Candidate, CertificateFiles, ControlClient, ControlError, Release,
    protocol::{Drain, Hold, PutService, RouteMatch, ServiceState, SetCandidate, Switch},
    table::Timeouts,
};
use std::{
    net::SocketAddr,
    path::PathBuf,
    time::{Duration, Instant},
};

/// The proxy, through its control socket.
pub struct ProxyTraffic {
    client: ControlClient,
}

impl ProxyTraffic {
    /// Speaks to the proxy at `socket`, which need not be up yet.
    #[must_use]
    pub fn new(socket: PathBuf) -> Self {
        Self { client: ControlClient::new(socket) }
    }

    async fn find(&self, app: &str, service: &str) -> Result<Option<ServiceState>, HostError> {
        let state = self.client.state().await.map_err(|e| trouble("ask the proxy for its routes", &e))?;
        Ok(state.services.into_iter().find(|s| s.app == app && s.service == service))
    }
}

fn trouble(op: &str, e: &ControlError) -> HostError {
    let kind = if matches!(e, ControlError::Unreachable { .. }) {
        HostErrorKind::Unreachable
    } else {
        HostErrorKind::Other
    };
    HostError::new(kind, op, e)
}

fn release(t: &Target) -> Release {
    Release { version: t.version.clone(), targets: vec![t.addr] }
}

fn target(r: &Release) -> Option<Target> {
    r.targets.first().map(|a| Target { version: r.version.clone(), addr: *a })
}

fn routes(hosts: &[String], path: &str) -> Vec<RouteMatch> {
    let route = |host: &str| RouteMatch::new(host, path);
    if hosts.is_empty() { vec![route("*")] } else { hosts.iter().map(|h| route(h)).collect() }
}

/// The routes of users.
fn user_routes(rules: &RouteRules) -> Vec<RouteMatch> {
    let mut all = routes(&rules.hosts, &rules.path);
    for route in &mut all {
        route.https_port = rules.https_ports.get(&route.host).copied();
    }
    all
}

fn certificates(rules: &RouteRules) -> Vec<CertificateFiles> {
    let files = rules.certificates.iter();
    files.map(|c| CertificateFiles { certificate: c.certificate.clone(), key: c.key.clone() }).collect()
}

fn drain(limit: Duration) -> Drain {
    Drain { timeout_ms: u64::try_from(limit.as_millis()).unwrap_or(u64::MAX), ..Drain::default() }
}

/// A service that only test hosts reach: how a first release is tried before anybody else can meet it.
fn is_test_only(s: &ServiceState, rules: &RouteRules) -> bool {
    !s.routes.is_empty() && s.routes == routes(&rules.test_hosts, &rules.path) && !rules.test_hosts.is_empty()
}

#[async_trait]
impl Traffic for ProxyTraffic {
    async fn route(&self, app: &str, service: &str) -> Result<Option<ServiceRoute>, HostError> {
        Ok(self.find(app, service).await?.map(|s| ServiceRoute {
            stable: target(&s.stable),
            candidate: s.candidate.as_ref().and_then(|c| target(&c.release)),
            held: s.held.is_some(),
        }))
    }

    async fn set_candidate(
        &self,
        app: &str,
        service: &str,
        rules: &RouteRules,
        to: Option<&Target>,
    ) -> Result<(), HostError> {
        let op = "set the test route in the proxy";
        let existing = self.find(app, service).await?;
        match (existing, to) {
            (Some(s), None) if is_test_only(&s, rules) => self.remove(app, service).await,
            (None, None) => Ok(()),
            (Some(s), Some(t)) if !is_test_only(&s, rules) => {
                let candidate = Candidate {
                    release: release(t),
                    test_hosts: rules.test_hosts.clone(),
                    share: 0.0,
                    salt: String::new(),
                };
                let body = SetCandidate { candidate: Some(candidate), probe: None, drain: Drain::default() };
                self.client.candidate(app, service, &body).await.map(drop).map_err(|e| trouble(op, &e))
            }
            (Some(_), None) => {
                let body =
                    SetCandidate { candidate: None, probe: None, drain: drain(Duration::from_secs(5)) };
                self.client.candidate(app, service, &body).await.map(drop).map_err(|e| trouble(op, &e))
            }
            (_, Some(t)) => {
                let body = PutService {
                    routes: routes(&rules.test_hosts, &rules.path),
                    stable: release(t),
                    token: None,
                    timeouts: Timeouts::default(),
                    split_cookie: None,
                    certificates: Vec::new(),
                    drain: Drain::default(),
                };
                self.client.put(app, service, &body).await.map(drop).map_err(|e| trouble(op, &e))
            }
        }
    }

    async fn switch(
        &self,
        app: &str,
        service: &str,
        rules: &RouteRules,
        to: &Target,
        limit: Duration,
    ) -> Result<Switched, HostError> {
        let op = "switch users in the proxy";
        let (wanted, certificates) = (user_routes(rules), certificates(rules));
        let same = |s: ServiceState| s.routes == wanted && s.certificates == certificates;
        let report = if self.find(app, service).await?.is_some_and(same) {
            let body = Switch { to: release(to), then_candidate: None, probe: None, drain: drain(limit) };
            self.client.switch(app, service, &body).await
        } else {
            let body = PutService {
                routes: wanted,
                stable: release(to),
                token: None,
                timeouts: Timeouts::default(),
                split_cookie: None,
                certificates,
                drain: drain(limit),
            };
            self.client.put(app, service, &body).await
        }
        .map_err(|e| trouble(op, &e))?;
        let d = report.drained;
        Ok(Switched {
            in_flight: d.in_flight,
            drained: d.finished + d.upgraded_closed,
            cut: d.cut,
            switch_micros: report.swap_us,
        })
    }

    async fn remove(&self, app: &str, service: &str) -> Result<(), HostError> {
        if self.find(app, service).await?.is_none() {
            return Ok(());
        }
        self.client
            .delete_service(app, service)
            .await
            .map(drop)
            .map_err(|e| trouble("take the service out of the proxy", &e))
    }

    async fn hold(&self, app: &str, service: &str, limit: Duration, queue: u32) -> Result<(), HostError> {
        let body = Hold {
            max_wait_ms: u64::try_from(limit.as_millis()).unwrap_or(u64::MAX),
            queue_cap: queue as usize,
            ..Hold::default()
        };
        self.client
            .hold(app, service, &body)
            .await
            .map(drop)
            .map_err(|e| trouble("hold requests in the proxy", &e))
    }

    async fn release(&self, app: &str, service: &str) -> Result<(), HostError> {
        if self.find(app, service).await?.is_none() {
            return Ok(());
        }
        self.client
            .release(app, service)
            .await
            .map(drop)
            .map_err(|e| trouble("release held requests in the proxy", &e))
    }

    async fn counts(&self, app: &str, service: &str) -> Result<ServiceCounts, HostError> {
        let m = self.client.metrics().await.map_err(|e| trouble("read the proxy's counts", &e))?;
        let versions =
            m.services.iter().find(|s| s.app == app && s.service == service).map_or_else(Vec::new, |s| {
                s.versions
                    .iter()
                    .map(|(version, c)| {
                        let upstream_failures = c.connect_failures + c.timeouts + c.broken + c.truncated;
                        VersionCounts {
                            version: version.clone(),
                            requests: c.status.iter().sum::<u64>()
                                + c.connect_failures
                                + c.timeouts
                                + c.broken,
                            server_errors: c.status[4],
                            client_errors: c.status[3],
                            upstream_failures,
                            latency_buckets: c.latency.iter().map(|b| (b.up_to_us, b.count)).collect(),
                        }
                    })
                    .collect()
            });
        Ok(ServiceCounts { epoch: m.start_id, versions })
    }

    async fn listen(&self) -> Result<Vec<SocketAddr>, HostError> {
        self.client.state().await.map(|s| s.listen).map_err(|e| trouble("ask the proxy where it listens", &e))
    }

    async fn listen_tls(&self) -> Result<Vec<SocketAddr>, HostError> {
        let state = self.client.state().await.map_err(|e| trouble("ask the proxy where it listens", &e))?;
        Ok(state.listen_tls)
    }
}

/// Hurl files, run by `safelight-journeys`.
pub struct HurlJourneys;

#[async_trait]
impl Journeys for HurlJourneys {
    async fn run(&self, run: &JourneyRun) -> Result<Vec<JourneyResult>, HostError> {
        let mut results = Vec::with_capacity(run.files.len());
        for file in &run.files {
            let journey = Journey::load(file).map_err(|e| {
                HostError::new(HostErrorKind::Other, format!("read the journey {}", file.display()), e)
            })?;
            let mut options = RunOptions {
                timeout: run.timeout,
                request_timeout: run.timeout.min(Duration::from_secs(30)),
                file_root: file.parent().map(PathBuf::from),
                ..RunOptions::default()
            };
            options.variables.insert("base_url".to_owned(), Value::String(run.base_url.clone()));
            for (k, v) in &run.variables {
                options.variables.insert(k.clone(), Value::String(v.replace("{base_url}", &run.base_url)));
            }
            for (k, v) in &run.secrets {
                options.secrets.insert(k.clone(), Secret::new(v.clone()));
            }
            if let (Some(addr), Some(url)) =
                (run.connect_to, safelight_engine::config::value::url_parts(&run.base_url))
            {
                options.resolve.push((url.host, url.port, addr));
            }
            let started = Instant::now();
            let outcome = safelight_journeys::run(&journey, &options).await;
            let failure = outcome.failure.as_ref().map(|f| {
                let mut s = format!("{}:{} {}: {}", base(&f.file), f.line, f.request, f.what);
                if let (Some(e), Some(a)) = (&f.expected, &f.actual) {
                    s.push_str(&format!(" (expected {}, got {})", excerpt(e), excerpt(a)));
                }
                // Secrets are redacted already; what a server answered must not steer a terminal.
                crate::world::redact(&s, &[])
            });
            results.push(JourneyResult {
                name: stem(&outcome.name),
                ok: outcome.success,
                steps: outcome.steps.len(),
                requests: outcome.steps.iter().map(|s| u64::from(s.attempts) + s.redirects as u64).sum(),
                millis: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
                answered: outcome.steps.last().is_some_and(|s| s.status.is_some()),
                failure,
            });
        }
        Ok(results)
    }
}

/// One line, and short: what came may be a whole page.
fn excerpt(value: &str) -> String {
    const MOST: usize = 160;
    // Values come quoted, with their line ends written as `\n`.
    let line = value.replace("\\n", " ").split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= MOST {
        return line;
    }
    format!("{}…", line.chars().take(MOST).collect::<String>())
}

/// `photo.hurl` of a path.
fn base(file: &str) -> &str {
    file.rsplit('/').next().unwrap_or(file)
}

/// `photo` of a path.
fn stem(file: &str) -> String {
    base(file).trim_end_matches(".hurl").to_owned()
}

#[cfg(test)]
mod tests {
    use super::excerpt;

    #[test]
    fn a_page_that_came_instead_is_shown_as_one_short_line() {
        assert_eq!(excerpt("status 404"), "status 404");
        assert_eq!(excerpt(r#"string "\n  <!DOCTYPE html>\n""#), r#"string " <!DOCTYPE html> ""#);
        let shown = excerpt(&"页".repeat(5000));
        assert_eq!((shown.chars().count(), shown.ends_with('…')), (161, true));
    }
}
