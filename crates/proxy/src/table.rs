//! The route table: which request goes to which release. Data and pure functions on it.
//! It must not read clocks, files or sockets: `store` persists it and `live` runs it.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;

use safelight_certs::CertificateFiles;
use serde::{Deserialize, Serialize};

use crate::error::TableError;

/// Everything that the proxy routes. Saved as one file, swapped as one value.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteTable {
    /// Grows by one with every saved change.
    pub version: u64,
    /// Apps, in the order in which they were added. Names are unique.
    pub apps: Vec<App>,
}

/// A group of services deployed together; the name space of their service names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct App {
    /// Unique name, as in `safelight.toml`.
    pub name: String,
    /// Which requests go to which service.
    pub routes: Vec<Route>,
    /// Services by name.
    pub services: BTreeMap<String, Service>,
}

/// One host and path prefix, and the service that answers there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// `example.com`, `*.example.com` (any depth below it, not itself) or `*` (any host).
    pub host: String,
    /// `/`, `/api`: matches on segment boundaries, so `/api` takes `/api/x` and not `/apiary`.
    pub prefix: String,
    /// Name of a service of the same app.
    pub service: String,
    /// Port of https to which plain requests are sent on. None: they are answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub https_port: Option<u16>,
}

/// What answers a route: the release that users get, and perhaps one that is being tried.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// The release that users get.
    pub stable: Release,
    /// A second release, reached by test host, by token, or by a share of the users.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub candidate: Option<Candidate>,
    /// Secret for the `X-Safelight-Release` header that reaches the candidate. None: the header does nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// Time limits towards the release.
    #[serde(default)]
    pub timeouts: Timeouts,
    /// Cookie that identifies a user for the split. None: the proxy sets one of its own while a split is on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split_cookie: Option<String>,
    /// Certificates for its hosts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<CertificateFiles>,
    /// Set while requests are being held; a proxy that is started again goes on with it, or clears it and says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<HoldMark>,
}

/// One version of a service and where it listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// Version id; metrics are kept under it.
    pub version: String,
    /// Addresses, used in turn. At least one.
    pub targets: Vec<SocketAddr>,
}

/// A release that some requests reach besides the stable one. After a promotion the old release can stay
/// here with a small share: that is the hold-back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Candidate {
    /// The release.
    pub release: Release,
    /// Host names that always reach it.
    #[serde(default)]
    pub test_hosts: Vec<String>,
    /// Share of users that reach it, 0 to 1.
    #[serde(default)]
    pub share: f64,
    /// Mixed into the split, so that two splits do not pick the same users. Keep it while a share grows.
    #[serde(default)]
    pub salt: String,
}

/// Time limits towards a release, in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Timeouts {
    /// Until the connection is made.
    pub connect_ms: u64,
    /// Between two reads of a response, the wait for its header included.
    pub read_ms: u64,
    /// The same for WebSockets and event streams, which are silent by nature.
    pub stream_read_ms: u64,
    /// How long an idle connection to the release is kept. Below Node's keepAliveTimeout of 5 s, so that
    /// this end closes first and no request meets a connection that is just being closed.
    pub idle_ms: u64,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { connect_ms: 2_000, read_ms: 60_000, stream_read_ms: 3_600_000, idle_ms: 4_000 }
    }
}

/// That requests were being held, and since when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HoldMark {
    /// Milliseconds since 1970 at which the hold began.
    pub since_unix_ms: u64,
    /// How it goes on after a restart. None: an older proxy wrote it, and it is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terms: Option<HoldTerms>,
}

/// What a proxy that is started again needs to go on with a hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HoldTerms {
    /// Milliseconds since 1970 at which the hold ends by itself.
    pub until_unix_ms: u64,
    /// Its whole length in milliseconds: no clock that is set back makes it longer.
    pub lease_ms: u64,
    /// Longest wait of one request in milliseconds.
    pub max_wait_ms: u64,
    /// Most requests that wait.
    pub queue_cap: usize,
}

impl HoldMark {
    /// Terms and what is left of the hold, in milliseconds, at `now`, in milliseconds since 1970. None: it is over.
    #[must_use]
    pub fn rest(&self, now: u64) -> Option<(HoldTerms, u64)> {
        let terms = self.terms?;
        let rest = terms.until_unix_ms.checked_sub(now).filter(|ms| *ms > 0)?;
        Some((terms, rest.min(terms.lease_ms)))
    }
}

/// Which of the two releases a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arm {
    /// The one that users get.
    Stable,
    /// The one that is being tried.
    Candidate,
}

impl RouteTable {
    /// Finds an app by name.
    #[must_use]
    pub fn app(&self, name: &str) -> Option<&App> {
        self.apps.iter().find(|a| a.name == name)
    }

    /// Finds a service by app and name.
    #[must_use]
    pub fn service(&self, app: &str, service: &str) -> Option<&Service> {
        self.app(app)?.services.get(service)
    }

    /// Finds a service to change it.
    ///
    /// # Errors
    /// [`TableError::NoService`] when the app or the service is missing.
    pub fn service_mut(&mut self, app: &str, service: &str) -> Result<&mut Service, TableError> {
        self.apps
            .iter_mut()
            .find(|a| a.name == app)
            .and_then(|a| a.services.get_mut(service))
            .ok_or_else(|| TableError::NoService { app: app.into(), service: service.into() })
    }

    /// Adds or replaces a service and its routes, which must name it. A hold of the service is kept, and a candidate
    /// unless it is the release that becomes stable.
    pub fn upsert(&mut self, app: &str, service: &str, routes: Vec<Route>, value: Service) {
        let index = match self.apps.iter().position(|a| a.name == app) {
            Some(index) => index,
            None => {
                self.apps.push(App { name: app.into(), routes: Vec::new(), services: BTreeMap::new() });
                self.apps.len() - 1
            }
        };
        let entry = &mut self.apps[index];
        entry.routes.retain(|r| r.service != service);
        entry.routes.extend(routes);
        let kept = entry.services.get(service).map(|s| (s.candidate.clone(), s.hold));
        let mut value = value;
        if let Some((candidate, hold)) = kept {
            let another = candidate.filter(|c| c.release.version != value.stable.version);
            value.candidate = value.candidate.or(another);
            value.hold = value.hold.or(hold);
        }
        entry.services.insert(service.into(), value);
    }

    /// Removes an app with its routes and services.
    ///
    /// # Errors
    /// [`TableError::NoApp`] when it is missing.
    pub fn remove_app(&mut self, app: &str) -> Result<(), TableError> {
        let index =
            self.apps.iter().position(|a| a.name == app).ok_or_else(|| TableError::NoApp(app.into()))?;
        self.apps.remove(index);
        Ok(())
    }

    /// Removes a service with its routes; an app without services goes too.
    ///
    /// # Errors
    /// When there is no such service.
    pub fn remove_service(&mut self, app: &str, service: &str) -> Result<(), TableError> {
        let missing = || TableError::NoService { app: app.into(), service: service.into() };
        let found = self.apps.iter_mut().find(|a| a.name == app).ok_or_else(missing)?;
        found.services.remove(service).ok_or_else(missing)?;
        found.routes.retain(|r| r.service != service);
        self.apps.retain(|a| !a.services.is_empty());
        Ok(())
    }

    /// Brings hosts and prefixes into their one spelling: lower case, no trailing dot or slash.
    pub fn normalise(&mut self) {
        for app in &mut self.apps {
            for route in &mut app.routes {
                route.host = normal_host(&route.host);
                route.prefix = normal_prefix(&route.prefix);
            }
            for candidate in app.services.values_mut().filter_map(|s| s.candidate.as_mut()) {
                for host in &mut candidate.test_hosts {
                    *host = normal_host(host);
                }
            }
        }
    }

    /// Checks a normalised table as a whole.
    ///
    /// # Errors
    /// The first thing that makes no sense, with the names around it.
    pub fn validate(&self) -> Result<(), TableError> {
        let mut names = std::collections::HashSet::new();
        let mut routes: HashMap<(&str, &str), String> = HashMap::new();
        for app in &self.apps {
            check_name(&app.name, "app name")?;
            if !names.insert(&app.name) {
                return Err(invalid(format!("app `{}`", app.name), "the name is used twice"));
            }
            for (name, service) in &app.services {
                check_name(name, "service name")?;
                service.validate(&format!("{}/{name}", app.name))?;
            }
            for route in &app.routes {
                route.validate(app)?;
                let owner = format!("{}/{}", app.name, route.service);
                if let Some(first) = routes.insert((&route.host, &route.prefix), owner.clone()) {
                    let route = format!("{}{}", route.host, route.prefix);
                    return Err(TableError::Conflict { route, first, second: owner });
                }
            }
        }
        self.validate_test_hosts(&routes)
    }

    fn validate_test_hosts(&self, routes: &HashMap<(&str, &str), String>) -> Result<(), TableError> {
        let mut owners: HashMap<&str, &str> = HashMap::new();
        for app in &self.apps {
            for (name, service) in &app.services {
                for host in service.candidate.iter().flat_map(|c| &c.test_hosts) {
                    let field = format!("test host `{host}` of {}/{name}", app.name);
                    let tried = |owner: &str| app.only_tests(owner);
                    if routes.iter().any(|((h, _), owner)| h == host && !tried(owner)) {
                        return Err(invalid(field, "users reach the site by this name; use another one"));
                    }
                    if owners.insert(host, &app.name).is_some_and(|other| other != app.name) {
                        return Err(invalid(field, "another app uses it for its tests"));
                    }
                }
            }
        }
        Ok(())
    }
}

impl App {
    fn test_hosts(&self) -> impl Iterator<Item = &str> {
        let candidates = self.services.values().filter_map(|s| s.candidate.as_ref());
        candidates.flat_map(|c| c.test_hosts.iter().map(String::as_str))
    }

    /// A service that came with the release that is being tried: no user reaches it yet. `owner` is `app/service`.
    fn only_tests(&self, owner: &str) -> bool {
        let Some(name) = owner.strip_prefix(self.name.as_str()).and_then(|o| o.strip_prefix('/')) else {
            return false;
        };
        let tried = self.services.get(name).is_some_and(|s| s.candidate.is_none());
        tried
            && self
                .routes
                .iter()
                .filter(|r| r.service == name)
                .all(|r| self.test_hosts().any(|h| h == r.host))
    }
}

impl Service {
    fn validate(&self, name: &str) -> Result<(), TableError> {
        self.stable.validate(&format!("{name} stable"))?;
        if let Some(candidate) = &self.candidate {
            candidate.release.validate(&format!("{name} candidate"))?;
            if !(0.0..=1.0).contains(&candidate.share) {
                return Err(invalid(format!("{name} share"), "must lie between 0 and 1"));
            }
            if candidate.release.version == self.stable.version {
                return Err(invalid(
                    format!("{name} candidate"),
                    "has the version of the stable release: their figures could not be told apart",
                ));
            }
            for host in &candidate.test_hosts {
                check_host(host, &format!("{name} test host"))?;
                if host.starts_with('*') {
                    return Err(invalid(format!("{name} test host"), "must be one exact name"));
                }
            }
        }
        if self.token.as_ref().is_some_and(|t| t.len() < 16) {
            return Err(invalid(format!("{name} token"), "is a secret: give it at least 16 characters"));
        }
        if self.split_cookie.as_ref().is_some_and(|c| c.is_empty() || !c.bytes().all(is_token_byte)) {
            return Err(invalid(format!("{name} split_cookie"), "is not a cookie name"));
        }
        if self.certificates.iter().any(|c| !c.certificate.is_absolute() || !c.key.is_absolute()) {
            return Err(invalid(format!("{name} certificates"), "need absolute paths"));
        }
        let t = &self.timeouts;
        if [t.connect_ms, t.read_ms, t.stream_read_ms, t.idle_ms].contains(&0) {
            return Err(invalid(format!("{name} timeouts"), "must be above 0 ms"));
        }
        Ok(())
    }
}

impl Release {
    fn validate(&self, name: &str) -> Result<(), TableError> {
        if self.version.is_empty() || self.version.len() > 128 || self.version.chars().any(char::is_control) {
            return Err(invalid(format!("{name} version"), "must have 1 to 128 printable characters"));
        }
        if self.targets.is_empty() {
            return Err(invalid(format!("{name} targets"), "need at least one address"));
        }
        if self.targets.iter().any(|t| t.port() == 0) {
            return Err(invalid(format!("{name} targets"), "need a port above 0"));
        }
        Ok(())
    }
}

impl Route {
    fn validate(&self, app: &App) -> Result<(), TableError> {
        let name = format!("route {}{} of app `{}`", self.host, self.prefix, app.name);
        check_host(&self.host, &name)?;
        if !self.prefix.starts_with('/') || self.prefix.contains(['?', '#', ' ']) {
            return Err(invalid(name, "a prefix starts with `/` and has no query"));
        }
        if self.https_port == Some(0) {
            return Err(invalid(name, "https needs a port above 0"));
        }
        if !app.services.contains_key(&self.service) {
            return Err(invalid(name, &format!("there is no service `{}`", self.service)));
        }
        Ok(())
    }
}

fn invalid(field: String, reason: &str) -> TableError {
    TableError::Invalid { field, reason: reason.into() }
}

fn is_token_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b)
}

fn check_name(name: &str, field: &str) -> Result<(), TableError> {
    let fine = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    if name.is_empty() || name.len() > 64 || !name.bytes().all(fine) || name.starts_with('.') {
        return Err(invalid(
            format!("{field} `{name}`"),
            "must have 1 to 64 letters, digits, dashes, underscores or dots",
        ));
    }
    Ok(())
}

fn check_host(host: &str, field: &str) -> Result<(), TableError> {
    let name = if host == "*" { return Ok(()) } else { host.strip_prefix("*.").unwrap_or(host) };
    let fine = |b: u8| b.is_ascii_alphanumeric() || b"-_.:[]".contains(&b);
    if name.is_empty() || name.len() > 253 || !name.bytes().all(fine) {
        return Err(invalid(format!("{field} `{host}`"), "is not a host name, `*.name` or `*`"));
    }
    Ok(())
}

/// The one spelling of a host: lower case, without port and trailing dot. IPv6 keeps its brackets.
#[must_use]
pub fn normal_host(host: &str) -> String {
    let host = match host.rfind(':') {
        Some(colon) if !host[colon..].contains(']') && !host[..colon].ends_with(':') => &host[..colon],
        _ => host,
    };
    host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase()
}

/// The one spelling of a prefix: no trailing slash.
#[must_use]
pub fn normal_prefix(prefix: &str) -> String {
    let trimmed = prefix.trim_end_matches('/');
    if trimmed.is_empty() && prefix.starts_with('/') { "/".into() } else { trimmed.into() }
}
