//! The engine's view of the proxy and of journeys, on top of their crates.

use async_trait::async_trait;
use safelight_engine::driver::{
    host::{Cmd, HostError, HostErrorKind},
    journey::{JourneyResult, JourneyRun, Journeys},
    traffic::{
        PlannedChange, RouteConflict, RouteRules, ServiceCounts, ServiceRoute, Switched, Target, Traffic,
        VersionCounts,
    },
};
use safelight_journeys::{Journey, RunOptions, Secret, Value};
use safelight_proxy::{
    Candidate, CertificateFiles, ControlClient, ControlError, Release,
    protocol::{ChangeReport, Drain, Hold, PutService, RouteMatch, ServiceState, SetCandidate, Switch},
    table::{Timeouts, normal_host},
};
use std::{
    net::SocketAddr,
    path::PathBuf,
    time::{Duration, Instant},
};

/// The proxy, through its control socket. A change waits for a proxy that is just being started again.
pub struct ProxyTraffic {
    client: ControlClient,
}

/// How long a change waits for the proxy. Its supervisor starts a dead one within a second, and tries again within five.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(50);

impl ProxyTraffic {
    /// Speaks to the proxy at `socket`, which need not be up yet.
    #[must_use]
    pub fn new(socket: PathBuf) -> Self {
        Self { client: ControlClient::new(socket) }
    }

    async fn find(&self, app: &str, service: &str) -> Result<Option<ServiceState>, HostError> {
        let state = patiently("ask the proxy for its routes", || self.client.state()).await?;
        Ok(state.services.into_iter().find(|s| s.app == app && s.service == service))
    }
}

fn trouble(op: &str, e: &ControlError) -> HostError {
    let kind = if passes(e) { HostErrorKind::Unreachable } else { HostErrorKind::Other };
    HostError::new(kind, op, e)
}

/// Nothing is wrong with what was asked for: the proxy is away, or being exchanged for another program.
fn passes(e: &ControlError) -> bool {
    match e {
        ControlError::Unreachable { .. } | ControlError::Broken { .. } => true,
        ControlError::Refused { body, .. } => body.code == "upgrading",
        _ => false,
    }
}

/// Asks again while the proxy is away. Every change may be repeated: what is there already changes nothing.
async fn patiently<T, F>(op: &str, ask: impl Fn() -> F) -> Result<T, HostError>
where
    F: Future<Output = Result<T, ControlError>> + Send,
{
    let until = Instant::now() + PATIENCE;
    loop {
        match ask().await {
            Err(e) if passes(&e) && Instant::now() < until => tokio::time::sleep(PAUSE).await,
            answer => return answer.map_err(|e| trouble(op, &e)),
        }
    }
}

fn release(t: &Target) -> Release {
    Release { version: t.version.clone(), targets: vec![t.addr] }
}

fn target(r: &Release) -> Option<Target> {
    r.targets.first().map(|a| Target { version: r.version.clone(), addr: *a })
}

fn routes(hosts: &[String], path: &str) -> Vec<RouteMatch> {
    let mut all: Vec<RouteMatch> = Vec::new();
    for host in hosts {
        let route = RouteMatch::new(host, path);
        // Two spellings of one host are one route; the proxy would refuse the second.
        if !all.contains(&route) {
            all.push(route);
        }
    }
    if all.is_empty() { vec![RouteMatch::new("*", path)] } else { all }
}

/// The routes of users.
fn user_routes(rules: &RouteRules) -> Vec<RouteMatch> {
    let mut all = routes(&rules.hosts, &rules.path);
    for route in &mut all {
        let mut ports = rules.https_ports.iter();
        route.https_port = ports.find(|(host, _)| normal_host(host) == route.host).map(|(_, port)| *port);
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

fn switched(report: &ChangeReport) -> Switched {
    let d = &report.drained;
    Switched {
        in_flight: d.in_flight,
        drained: d.finished + d.upgraded_closed,
        cut: d.cut,
        switch_micros: report.swap_us,
    }
}

/// A service that only test hosts reach: how a first release is tried before anybody else can meet it.
fn is_test_only(s: &ServiceState, rules: &RouteRules) -> bool {
    !s.routes.is_empty() && s.routes == routes(&rules.test_hosts, &rules.path) && !rules.test_hosts.is_empty()
}

/// Does it answer where `rules` say?
fn is_routed(s: &ServiceState, rules: &RouteRules) -> bool {
    s.routes == user_routes(rules) && s.certificates == certificates(rules)
}

fn candidate_body(rules: &RouteRules, to: &Target) -> SetCandidate {
    let candidate = Candidate {
        release: release(to),
        test_hosts: rules.test_hosts.clone(),
        share: 0.0,
        salt: String::new(),
    };
    SetCandidate { candidate: Some(candidate), probe: None, drain: Drain::default() }
}

fn put_body(rules: &RouteRules, to: &Target, limit: Duration) -> PutService {
    PutService {
        routes: user_routes(rules),
        stable: release(to),
        token: None,
        timeouts: Timeouts::default(),
        split_cookie: None,
        certificates: certificates(rules),
        replaces: Vec::new(),
        drain: drain(limit),
    }
}

/// The certificates too: the test host may be reached over TLS only.
fn test_only_body(rules: &RouteRules, to: &Target) -> PutService {
    let routes = routes(&rules.test_hosts, &rules.path);
    PutService { routes, drain: Drain::default(), ..put_body(rules, to, Duration::ZERO) }
}

fn switch_body(to: &Target, limit: Duration) -> Switch {
    Switch { to: release(to), then_candidate: None, probe: None, drain: drain(limit) }
}

fn hold_body(limit: Duration, queue: u32) -> Hold {
    let max_wait_ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
    Hold { max_wait_ms, queue_cap: queue as usize, ..Hold::default() }
}

/// Writes `at` where the body of a planned change has the release's address: its port may not be known yet.
fn with_target(body: &impl serde::Serialize, at: &str) -> serde_json::Value {
    let mut body = serde_json::to_value(body).unwrap_or_default();
    for release in ["/to", "/stable", "/candidate/release"] {
        if let Some(targets) = body.pointer_mut(&format!("{release}/targets")) {
            *targets = serde_json::json!([at]);
        }
    }
    body
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
                let body = candidate_body(rules, t);
                patiently(op, || self.client.candidate(app, service, &body)).await.map(drop)
            }
            (Some(_), None) => {
                let body =
                    SetCandidate { candidate: None, probe: None, drain: drain(Duration::from_secs(5)) };
                patiently(op, || self.client.candidate(app, service, &body)).await.map(drop)
            }
            (_, Some(t)) => {
                let body = test_only_body(rules, t);
                patiently(op, || self.client.put(app, service, &body)).await.map(drop)
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
        let report = if self.find(app, service).await?.is_some_and(|s| is_routed(&s, rules)) {
            let body = switch_body(to, limit);
            patiently(op, || self.client.switch(app, service, &body)).await?
        } else {
            let body = put_body(rules, to, limit);
            patiently(op, || self.client.put(app, service, &body)).await?
        };
        Ok(switched(&report))
    }

    async fn take_over(
        &self,
        app: &str,
        service: &str,
        rules: &RouteRules,
        to: &Target,
        limit: Duration,
        from: &[String],
    ) -> Result<Switched, HostError> {
        let body = PutService { replaces: from.to_vec(), ..put_body(rules, to, limit) };
        let op = "switch users in the proxy";
        patiently(op, || self.client.put(app, service, &body)).await.map(|report| switched(&report))
    }

    async fn services(&self, app: &str) -> Result<Vec<String>, HostError> {
        let state = patiently("ask the proxy for its routes", || self.client.state()).await?;
        Ok(state.services.into_iter().filter(|s| s.app == app).map(|s| s.service).collect())
    }

    async fn conflicts(&self, app: &str, rules: &RouteRules) -> Result<Vec<RouteConflict>, HostError> {
        let state = patiently("ask the proxy for its routes", || self.client.state()).await?;
        let ours = routes(&rules.hosts, &rules.path);
        let tests: Vec<String> = rules.test_hosts.iter().map(|h| normal_host(h)).collect();
        let mut conflicts = Vec::new();
        for other in state.services.iter().filter(|s| s.app != app) {
            let theirs = other.routes.iter().map(|r| (r.host.as_str(), r.prefix.as_str()));
            let tried = other.candidate.iter().flat_map(|c| &c.test_hosts).map(|h| (h.as_str(), "/"));
            let tried = tried.filter(|(host, _)| tests.iter().any(|t| t == host));
            let taken = theirs.filter(|(host, prefix)| {
                ours.iter().any(|o| o.host == *host && o.prefix == *prefix) || tests.iter().any(|t| t == host)
            });
            conflicts.extend(taken.chain(tried).map(|(host, prefix)| RouteConflict {
                route: format!("{host}{prefix}"),
                owner: format!("{}/{}", other.app, other.service),
            }));
        }
        Ok(conflicts)
    }

    async fn remove(&self, app: &str, service: &str) -> Result<(), HostError> {
        if self.find(app, service).await?.is_none() {
            return Ok(());
        }
        let remove = || async {
            match self.client.delete_service(app, service).await {
                // The proxy went away after it had done it.
                Err(ControlError::Refused { status: 404, .. }) => Ok(()),
                done => done.map(drop),
            }
        };
        patiently("take the service out of the proxy", remove).await
    }

    async fn hold(&self, app: &str, service: &str, limit: Duration, queue: u32) -> Result<(), HostError> {
        let body = hold_body(limit, queue);
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
        patiently("release held requests in the proxy", || self.client.release(app, service)).await.map(drop)
    }

    async fn explain(&self, app: &str, service: &str, change: PlannedChange<'_>) -> String {
        let somewhere = |version: &str| Target {
            version: version.to_owned(),
            addr: SocketAddr::from(([127, 0, 0, 1], 0)),
        };
        // A plan waits for nobody: without a proxy nothing is routed.
        let state = self.client.state().await.ok();
        let known = state.and_then(|s| s.services.into_iter().find(|s| s.app == app && s.service == service));
        let (method, verb, body) = match change {
            PlannedChange::Try { rules, version, at } => {
                if known.is_some_and(|s| !is_test_only(&s, rules)) {
                    ("POST", "/candidate", with_target(&candidate_body(rules, &somewhere(version)), at))
                } else {
                    ("PUT", "", with_target(&test_only_body(rules, &somewhere(version)), at))
                }
            }
            PlannedChange::Move { rules, version, at, drain } => {
                if known.is_some_and(|s| is_routed(&s, rules)) {
                    ("POST", "/switch", with_target(&switch_body(&somewhere(version), drain), at))
                } else {
                    ("PUT", "", with_target(&put_body(rules, &somewhere(version), drain), at))
                }
            }
            PlannedChange::Hold { limit, queue } => {
                ("POST", "/hold", with_target(&hold_body(limit, queue), ""))
            }
            PlannedChange::Release => ("POST", "/release", serde_json::json!({})),
        };
        Cmd::new([
            "curl",
            "--unix-socket",
            &self.client.socket().to_string_lossy(),
            "-X",
            method,
            "-H",
            "content-type: application/json",
            "-d",
            &body.to_string(),
            &format!("http://localhost/v1/services/{app}/{service}{verb}"),
        ])
        .display()
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
    use super::{excerpt, user_routes};
    use safelight_engine::driver::traffic::RouteRules;

    #[test]
    fn routes_are_compared_in_the_proxys_own_spelling() {
        let rules = RouteRules {
            hosts: vec!["Shop.Example.com".into(), "shop.example.com.".into(), "other.example.com".into()],
            path: "/api/".into(),
            test_hosts: Vec::new(),
            https_ports: [("Shop.Example.com".to_owned(), 443)].into(),
            certificates: Vec::new(),
        };
        let shown: Vec<_> =
            user_routes(&rules).into_iter().map(|r| (r.host, r.prefix, r.https_port)).collect();
        let route = |host: &str, port| (host.to_owned(), "/api".to_owned(), port);
        assert_eq!(shown, [route("shop.example.com", Some(443)), route("other.example.com", None)]);
    }

    #[test]
    fn a_page_that_came_instead_is_shown_as_one_short_line() {
        assert_eq!(excerpt("status 404"), "status 404");
        assert_eq!(excerpt(r#"string "\n  <!DOCTYPE html>\n""#), r#"string " <!DOCTYPE html> ""#);
        let shown = excerpt(&"页".repeat(5000));
        assert_eq!((shown.chars().count(), shown.ends_with('…')), (161, true));
    }
}
