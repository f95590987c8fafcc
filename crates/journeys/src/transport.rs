//! Owns connections and cookies of one run: sends a request, follows where it may, reads the answer whole.
//! It must not know what an answer is checked for.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::OnceLock;
use std::time::Duration;

use bytes::BytesMut;
use reqwest::cookie::{CookieStore as _, Jar};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::tls::TlsInfo;
use reqwest::{Certificate, Client, Method, Url, Version};
use thiserror::Error;
use tokio::time::Instant;

use crate::options::{EntryOptions, Family, Follow, Http, Reroute};
use crate::request::{Request, basic};
use crate::response::Response;
use crate::secret::Redactor;

/// Why there is no answer.
#[derive(Debug, Error)]
pub(crate) enum TransportError {
    #[error("no complete answer within {limit:?}{}", if *.whole { ", when the time of the whole journey ended" } else { "" })]
    Timeout { limit: Duration, whole: bool },
    #[error("cannot trust the certificate of {host}: {reason}")]
    Certificate { host: String, reason: String },
    #[error("cannot reach {host}: {reason}")]
    Connect { host: String, reason: String },
    #[error("the exchange with {host} broke off: {reason}")]
    Broken { host: String, reason: String },
    #[error("the body of the answer is larger than {0} bytes")]
    TooLarge(usize),
    #[error("more than {0} redirects")]
    Redirects(usize),
    #[error("the answer leads to {0:?}, which is no http:// or https:// address")]
    Location(String),
    #[error("{0:?} is no valid header")]
    Header(String),
    #[error("{0}")]
    Setup(String),
}

impl TransportError {
    pub(crate) fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Timeout { whole: true, .. } => {
                Some("give the journey more time, or look at which step takes it")
            }
            Self::Timeout { .. } => {
                Some("the service accepted the request and is too slow, or a firewall drops it")
            }
            Self::Certificate { .. } => Some(
                "renew or complete the certificate; for a private authority give its certificate to the run",
            ),
            Self::Connect { .. } => Some("is the service up and listening there?"),
            Self::Redirects(_) => Some("raise it with `max-redirs`, or look for a redirect loop"),
            _ => None,
        }
    }
}

/// What all requests of a run have in common.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) reroutes: Vec<Reroute>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) authorities: Vec<Certificate>,
    pub(crate) insecure: bool,
    pub(crate) max_body: usize,
    pub(crate) request_timeout: Duration,
    /// When the time of the whole journey ends, and how long that is.
    pub(crate) deadline: Instant,
    pub(crate) timeout: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct ClientKey {
    tls: bool,
    insecure: bool,
    http: Http,
    family: Option<Family>,
    connect_timeout: Duration,
    route: Option<(String, SocketAddr)>,
    ca: Option<Vec<u8>>,
}

/// The clients and the cookie jar of one run.
pub(crate) struct Transport {
    settings: Settings,
    clients: HashMap<ClientKey, Client>,
    jar: Jar,
}

/// The cryptography is ring's, whatever else is linked in. A provider that is there already stays.
pub(crate) fn install_ring() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // Another thread may have been faster; then there is a provider, which is all that is needed.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
}

impl Transport {
    pub(crate) fn new(settings: Settings) -> Self {
        install_ring();
        Self { settings, clients: HashMap::new(), jar: Jar::default() }
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Sends the request and follows redirects as far as the options let it. The last response is the answer.
    pub(crate) async fn exchange(
        &mut self,
        first: &Request,
        options: &EntryOptions,
        redactor: &Redactor,
    ) -> Result<(Vec<Response>, Response), TransportError> {
        let mut hops = Vec::new();
        let mut request = first.clone();
        let mut home = true;
        loop {
            let response = self.send(&request, options, home, redactor).await?;
            let target =
                match (options.follow, response.status, response.header("location").into_iter().next()) {
                    (Follow::No, ..) => None,
                    (_, 300..=399, target) => target,
                    _ => None,
                };
            let Some(target) = target else { return Ok((hops, response)) };
            let url = request.url.join(&target).map_err(|_| TransportError::Location(target.clone()))?;
            if !matches!(url.scheme(), "http" | "https") {
                return Err(TransportError::Location(target));
            }
            if let Some(max) = options.max_redirects
                && hops.len() >= max
            {
                return Err(TransportError::Redirects(max));
            }
            // curl's rule: 301 to 303 turn any method into GET, and a changed method drops the body.
            let method =
                if (301..=303).contains(&response.status) { Method::GET } else { request.method.clone() };
            let changed = method != request.method;
            // Credentials go to the first origin only, also when a chain comes back to it.
            home = options.follow == Follow::Trusted || url.origin() == first.url.origin();
            let mut next = Request { method, address: url.to_string(), url, ..request.clone() };
            next.headers.clone_from(&first.headers);
            next.cookies.clone_from(&first.cookies);
            if !home {
                let secret =
                    |name: &str| ["authorization", "cookie"].iter().any(|n| name.eq_ignore_ascii_case(n));
                next.headers.retain(|(name, _)| !secret(name));
                next.cookies.clear();
            }
            if changed {
                next.body = bytes::Bytes::new();
                next.content_type = None;
                let of_body =
                    |name: &str| name.get(..8).is_some_and(|start| start.eq_ignore_ascii_case("content-"));
                next.headers.retain(|(name, _)| !of_body(name));
            }
            hops.push(response);
            request = next;
        }
    }

    async fn send(
        &mut self,
        request: &Request,
        options: &EntryOptions,
        home: bool,
        redactor: &Redactor,
    ) -> Result<Response, TransportError> {
        let started = Instant::now();
        let limit = options.max_time.unwrap_or(self.settings.request_timeout);
        let own = started.checked_add(limit).unwrap_or(self.settings.deadline);
        let (until, whole) =
            if own < self.settings.deadline { (own, false) } else { (self.settings.deadline, true) };
        let timeout =
            TransportError::Timeout { limit: if whole { self.settings.timeout } else { limit }, whole };
        tokio::time::timeout_at(until, self.send_within(request, options, home, redactor, started))
            .await
            .unwrap_or(Err(timeout))
    }

    async fn send_within(
        &mut self,
        request: &Request,
        options: &EntryOptions,
        home: bool,
        redactor: &Redactor,
        started: Instant,
    ) -> Result<Response, TransportError> {
        let host = authority(&request.url);
        let mut url = request.url.clone();
        // A fragment stays with the client.
        url.set_fragment(None);
        let mut headers = self.headers(request, options, home, redactor)?;
        let route = self.route(&url, options).await?;
        let mut http = options.http;
        if let Some((_, address)) = &route
            && url.port_or_known_default() != Some(address.port())
        {
            // The client connects to the port of the address, so that is where the other port goes; Host keeps
            // what was asked for. HTTP/2 has its authority in the address instead, so it is left out here.
            headers.entry("host").or_insert(header_value(&host)?);
            if url.set_port(Some(address.port())).is_err() {
                return Err(TransportError::Setup(format!("cannot lead {host} to port {}", address.port())));
            }
            if http == Http::Negotiated {
                http = Http::V11;
            }
        }
        if let Some((_, address)) = &route
            && is_address(&url)
        {
            // An address is not looked up by name, so it is replaced; a certificate could not be checked for it.
            if url.scheme() == "https" {
                let what = format!("{host} is an address, not a name: with https it cannot be led elsewhere");
                return Err(TransportError::Setup(what));
            }
            headers.entry("host").or_insert(header_value(&host)?);
            if url.set_ip_host(address.ip()).is_err() {
                return Err(TransportError::Setup(format!("cannot lead {host} to {address}")));
            }
        }
        let client = self.client(&url, options, http, route)?;
        let mut builder = client.request(request.method.clone(), url).headers(headers);
        if !request.body.is_empty() {
            builder = builder.body(request.body.clone());
        }
        if http == Http::V10 {
            builder = builder.version(Version::HTTP_10);
        }
        let mut answer = builder.send().await.map_err(|error| classify(error, &host))?;
        let status = answer.status().as_u16();
        let version = answer.version();
        let headers = std::mem::take(answer.headers_mut());
        let peer = answer.remote_addr().map(|address| address.ip());
        let certificate =
            answer.extensions().get::<TlsInfo>().and_then(|info| info.peer_certificate()).map(<[u8]>::to_vec);
        self.jar.set_cookies(&mut headers.get_all("set-cookie").iter(), &request.url);
        let mut raw = BytesMut::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| classify(error, &host))? {
            if raw.len() + chunk.len() > self.settings.max_body {
                return Err(TransportError::TooLarge(self.settings.max_body));
            }
            raw.extend_from_slice(&chunk);
        }
        Ok(Response {
            status,
            version,
            headers,
            raw: raw.freeze(),
            duration: started.elapsed(),
            url: request.address.clone(),
            peer,
            certificate,
            limit: self.settings.max_body,
            decoded: OnceLock::new(),
            json: OnceLock::new(),
        })
    }

    fn headers(
        &self,
        request: &Request,
        options: &EntryOptions,
        home: bool,
        redactor: &Redactor,
    ) -> Result<HeaderMap, TransportError> {
        let mut headers = HeaderMap::new();
        let mut add = |name: &str, value: &str| -> Result<(), TransportError> {
            let key = name.parse::<HeaderName>().map_err(|_| TransportError::Header(name.to_owned()))?;
            headers.append(key, header_value(value)?);
            Ok(())
        };
        let missing = |name: &str| request.header(name).is_none();
        for (name, value) in &request.headers {
            if name.eq_ignore_ascii_case("cookie") {
                continue;
            }
            match request.content_type.as_deref().and_then(|own| own.split_once("; boundary=")) {
                // A multipart body is unreadable without its boundary, so a type of the entry's own gets it too.
                Some((_, boundary)) if name.eq_ignore_ascii_case("content-type") => {
                    add(name, &format!("{value}; boundary={boundary}"))?;
                }
                _ => add(name, value)?,
            }
        }
        // What the entry says itself comes first; a secret in the rest stays with the first origin.
        for (name, value) in options.headers.iter().chain(&self.settings.headers) {
            let credential = name.eq_ignore_ascii_case("authorization") || redactor.touches(value);
            if missing(name) && (home || !credential) {
                add(name, value)?;
            }
        }
        if let Some(content_type) = &request.content_type
            && missing("content-type")
        {
            add("content-type", content_type)?;
        }
        if let Some(user) = &options.user
            && missing("authorization")
            && home
        {
            add("authorization", &basic(user))?;
        }
        if options.compressed && missing("accept-encoding") {
            add("accept-encoding", "gzip, deflate, br")?;
        }
        // The jar's cookies first, then those the entry writes itself, in one header.
        let jar = self.jar.cookies(&request.url);
        let jar = jar.as_ref().and_then(|value| value.to_str().ok()).map(str::to_owned);
        let written = request.header("cookie").map(str::to_owned);
        let own = request.cookies.iter().map(|(name, value)| format!("{name}={value}"));
        let cookies: Vec<String> = jar.into_iter().chain(written).chain(own).collect();
        if !cookies.is_empty() {
            add("cookie", &cookies.join("; "))?;
        }
        Ok(headers)
    }

    /// Where the address leads, if not where it says: the entry's own rules come before the run's.
    async fn route(
        &self,
        url: &Url,
        options: &EntryOptions,
    ) -> Result<Option<(String, SocketAddr)>, TransportError> {
        let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else { return Ok(None) };
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let rule = options.reroutes.iter().chain(&self.settings.reroutes).find(|rule| {
            rule.host.as_deref().is_none_or(|name| name == bare)
                && rule.port.is_none_or(|number| number == port)
        });
        let Some(rule) = rule else { return Ok(None) };
        let to_host = rule.to_host.as_deref().unwrap_or(bare);
        let to_port = rule.to_port.unwrap_or(port);
        let address = match to_host.parse::<IpAddr>() {
            Ok(ip) => SocketAddr::new(ip, to_port),
            Err(_) => {
                let mut found = tokio::net::lookup_host((to_host, to_port)).await.map_err(|error| {
                    TransportError::Connect { host: to_host.to_owned(), reason: error.to_string() }
                })?;
                found.next().ok_or_else(|| TransportError::Connect {
                    host: to_host.to_owned(),
                    reason: "the name has no address".to_owned(),
                })?
            }
        };
        Ok(Some((host.to_owned(), address)))
    }

    fn client(
        &mut self,
        url: &Url,
        options: &EntryOptions,
        http: Http,
        route: Option<(String, SocketAddr)>,
    ) -> Result<Client, TransportError> {
        let tls = url.scheme() == "https";
        let insecure = self.settings.insecure || options.insecure;
        let (family, connect_timeout) = (options.family, options.connect_timeout);
        let key = ClientKey { tls, insecure, http, family, connect_timeout, route, ca: options.ca.clone() };
        if let Some(client) = self.clients.get(&key) {
            return Ok(client.clone());
        }
        let failed = |error: reqwest::Error| {
            TransportError::Setup(format!("cannot set up a client: {}", chain(&error)))
        };
        let mut builder = Client::builder()
            .user_agent(concat!("safelight/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            // A proxy of the environment would be tested instead of the service.
            .no_proxy()
            // Bodies are decoded here, so that rawbytes and the headers stay as sent.
            .no_gzip()
            .no_brotli()
            .no_deflate()
            .no_zstd()
            .connect_timeout(connect_timeout)
            .tls_info(tls);
        builder = match http {
            Http::V10 | Http::V11 => builder.http1_only(),
            Http::Negotiated => builder,
            Http::PriorKnowledge => builder.http2_prior_knowledge(),
        };
        builder = match family {
            Some(Family::V4) => builder.local_address(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
            Some(Family::V6) => builder.local_address(IpAddr::V6(Ipv6Addr::UNSPECIFIED)),
            None => builder,
        };
        if let Some((host, address)) = &key.route {
            builder = builder.resolve(host, *address);
        }
        // A client for http:// never sees a certificate. Told so, it does not ask the system for its authorities,
        // which a bare server may not have.
        builder = builder.tls_danger_accept_invalid_certs(insecure || !tls);
        if tls && let Some(pem) = &key.ca {
            builder = builder.tls_certs_only(Certificate::from_pem_bundle(pem).map_err(failed)?);
        } else if tls {
            builder = builder.tls_certs_merge(self.settings.authorities.iter().cloned());
        }
        let client = builder.build().map_err(failed)?;
        self.clients.insert(key, client.clone());
        Ok(client)
    }
}

fn header_value(value: &str) -> Result<HeaderValue, TransportError> {
    HeaderValue::from_bytes(value.as_bytes()).map_err(|_| TransportError::Header(value.to_owned()))
}

/// Whether the host is written as an address instead of a name.
fn is_address(url: &Url) -> bool {
    url.host_str().is_some_and(|host| host.starts_with('[') || host.parse::<Ipv4Addr>().is_ok())
}

/// Host and port as a `Host` header has them.
fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

fn classify(error: reqwest::Error, host: &str) -> TransportError {
    let host = host.to_owned();
    // The address is named already, and its query may be long.
    let error = error.without_url();
    let reason = chain(&error);
    if let Some(tls) = certificate_error(&error) {
        return TransportError::Certificate { host, reason: tls.to_string() };
    }
    if error.is_connect() {
        TransportError::Connect { host, reason }
    } else {
        TransportError::Broken { host, reason }
    }
}

/// The verdict on the server's certificate, however deep it is wrapped.
fn certificate_error<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a rustls::Error> {
    if let Some(tls @ rustls::Error::InvalidCertificate(_)) = error.downcast_ref() {
        return Some(tls);
    }
    // An I/O error hides what it wraps from `source`, which goes on with the causes of that.
    let wrapped = error.downcast_ref::<std::io::Error>().and_then(|io| io.get_ref());
    match wrapped {
        Some(inner) => certificate_error(inner),
        None => certificate_error(error.source()?),
    }
}

/// An error and its causes, each said once.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        cause = inner.source();
    }
    text
}
