//! One request from its header to its last byte: claims a release, forwards, retries once, counts.
//! The hooks of pingora's proxy; the rules themselves are in `live`, `headers` and `pages`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use http::{HeaderMap, Version};
use pingora_core::upstreams::peer::{HttpPeer, Peer};
use pingora_core::{Error, ErrorSource, ErrorType, Result};
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::{FailToProxy, ProxyHttp, Session};

use crate::activation::Claim;
use crate::conn::{CONN, Conn, Phase};
use crate::gate::Refused;
use crate::headers::{self, Network, RELEASE_HEADER};
use crate::live::{Admitted, Ask, Asked, Claimed, Live, OWN_COOKIE, ServiceLive};
use crate::options::Limits;
use crate::pages::{self, Page};
use crate::table::normal_host;
use crate::upgrade::UpgradeConnect;

/// Attempts per request: the first, and one more when nothing has reached the release.
pub(crate) const ATTEMPTS: usize = 2;
/// Wait before trying the only target again: a process that is just coming up needs a moment.
const SAME_TARGET_PAUSE: Duration = Duration::from_millis(50);

/// Room for the number of a thread in the key of a pool.
const WORKER_BITS: u32 = 16;

/// Where certificate authorities look for their proofs: always over plain HTTP.
const ACME_CHALLENGE: &str = "/.well-known/acme-challenge/";

/// Why a request got no claim.
enum Refusal {
    Page(Page),
    /// It is sent on to this address.
    ToHttps(String),
}

/// The proxy as pingora sees it.
pub(crate) struct Gateway {
    pub(crate) live: Arc<Live>,
    pub(crate) limits: Limits,
    pub(crate) trusted: Vec<Network>,
    /// The process is on its way out: connections are not kept.
    pub(crate) leaving: Arc<AtomicBool>,
}

/// State of one request.
pub(crate) struct Ctx {
    conn: Option<Arc<Conn>>,
    started: Instant,
    admitted: Option<Admitted>,
    attempts: usize,
    target: Option<std::net::SocketAddr>,
    status: Option<u16>,
    timed_out: bool,
    refused: bool,
}

struct RequestAsk<'a>(&'a HeaderMap);

impl Ask for RequestAsk<'_> {
    fn token(&self) -> Option<&[u8]> {
        self.0.get(RELEASE_HEADER).map(|v| v.as_bytes())
    }

    fn cookie(&self, name: &str) -> Option<&str> {
        headers::cookie(self.0, name)
    }
}

impl Ctx {
    fn claim(&self) -> Option<&Claim> {
        self.admitted.as_ref().map(|a| &a.claim)
    }

    fn service(&self) -> Option<&Arc<ServiceLive>> {
        self.admitted.as_ref().map(|a| &a.service)
    }
}

impl Gateway {
    /// Claims a release, waiting at the gate when the service is held.
    async fn admit(&self, session: &Session, conn: &Arc<Conn>) -> Result<Admitted, Refusal> {
        let request = session.req_header();
        let metrics = &self.live.metrics;
        let count = |counter: &std::sync::atomic::AtomicU64, page| {
            counter.fetch_add(1, Ordering::Relaxed);
            Refusal::Page(page)
        };
        if headers::size(&request.headers) + request.raw_path().len() > self.limits.max_header_bytes {
            return Err(count(&metrics.bad_request, pages::HEADER_TOO_LARGE));
        }
        let mut hosts = request.headers.get_all(http::header::HOST).iter();
        let host = match (hosts.next(), hosts.next()) {
            (Some(host), None) => {
                host.to_str().map_err(|_| count(&metrics.bad_request, pages::BAD_REQUEST))?
            }
            (None, _) if request.version == Version::HTTP_10 => "",
            _ => return Err(count(&metrics.bad_request, pages::BAD_REQUEST)),
        };
        let host = normal_host(host);
        if !host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:[]".contains(&b)) {
            return Err(count(&metrics.bad_request, pages::BAD_REQUEST));
        }
        let path = match request.uri.path() {
            "" | "*" => "/",
            path => path,
        };
        let plain = !conn.is_tls()
            && !path.starts_with(ACME_CHALLENGE)
            && !headers::came_over_tls(&request.headers, conn.peer, &self.trusted);
        let asked = Asked { host: &host, path, plain, by: &RequestAsk(&request.headers) };
        let mut pass = None;
        loop {
            match self.live.claim(&asked, conn, pass.is_some()) {
                Claimed::Yes(admitted) => return Ok(admitted),
                Claimed::ToHttps(port) => {
                    metrics.redirected.fetch_add(1, Ordering::Relaxed);
                    return Err(Refusal::ToHttps(https_location(&host, port, &request.uri)));
                }
                Claimed::UnknownHost => return Err(count(&metrics.unknown_host, pages::UNKNOWN_HOST)),
                Claimed::NoRoute => return Err(count(&metrics.no_route, pages::NO_ROUTE)),
                Claimed::Held(service) => {
                    drop(pass.take());
                    pass = Some(service.gate.wait().await.map_err(|refused| match refused {
                        Refused::QueueFull => count(&service.failures.held_queue_full, pages::QUEUE_FULL),
                        Refused::TooLong => count(&service.failures.held_too_long, pages::HELD_TOO_LONG),
                    })?);
                }
            }
        }
    }

    fn page_for(error: &Error, ctx: &Ctx) -> Option<Page> {
        match error.esource() {
            ErrorSource::Upstream if ctx.timed_out => Some(pages::TIMEOUT_OUT),
            ErrorSource::Upstream if ctx.refused => Some(pages::REFUSED),
            ErrorSource::Upstream => Some(pages::BROKEN),
            ErrorSource::Downstream => match error.etype() {
                ErrorType::WriteError | ErrorType::ReadError | ErrorType::ConnectionClosed => None,
                ErrorType::ReadTimedout => Some(pages::TIMEOUT_IN),
                _ => Some(pages::BAD_REQUEST),
            },
            ErrorSource::Internal | ErrorSource::Unset => Some(pages::BROKEN),
        }
    }
}

fn is_timeout(error: &Error) -> bool {
    use ErrorType::{ConnectTimedout, ReadTimedout, WriteTimedout};
    matches!(error.etype(), ConnectTimedout | ReadTimedout | WriteTimedout)
        || matches!(error.root_etype(), ConnectTimedout | ReadTimedout | WriteTimedout)
}

/// Upgrades and event streams are silent for long by nature.
fn is_stream(request: &RequestHeader) -> bool {
    let accept = request.headers.get(http::header::ACCEPT).and_then(|v| v.to_str().ok());
    request.headers.contains_key(http::header::UPGRADE)
        || accept.is_some_and(|a| a.contains("text/event-stream"))
}

async fn answer(session: &mut Session, page: Page) -> Result<()> {
    let (header, body) = page.render(&session.req_header().headers)?;
    let body = if session.req_header().method == http::Method::HEAD { bytes::Bytes::new() } else { body };
    session.as_downstream_mut().write_error_response(header, body).await
}

/// The same address over https.
fn https_location(host: &str, port: u16, uri: &http::Uri) -> String {
    let port = if port == 443 { String::new() } else { format!(":{port}") };
    let path = uri.path_and_query().map_or("/", |p| p.as_str());
    let path = if path.starts_with('/') { path } else { "/" };
    format!("https://{host}{port}{path}")
}

async fn send_on(session: &mut Session, location: &str) -> Result<()> {
    let method = &session.req_header().method;
    // What is more than a page must come again as it is: 308 keeps method and body.
    let status = if matches!(*method, http::Method::GET | http::Method::HEAD) { 301 } else { 308 };
    let mut header = ResponseHeader::build(status, Some(2))?;
    header.insert_header(http::header::LOCATION, location)?;
    header.insert_header(http::header::CONTENT_LENGTH, 0)?;
    session.as_downstream_mut().write_error_response(header, bytes::Bytes::new()).await
}

#[async_trait]
impl ProxyHttp for Gateway {
    type CTX = Ctx;

    fn new_ctx(&self) -> Ctx {
        Ctx {
            conn: CONN.try_with(Arc::clone).ok(),
            started: Instant::now(),
            admitted: None,
            attempts: 0,
            target: None,
            status: None,
            timed_out: false,
            refused: false,
        }
    }

    async fn request_filter(&self, session: &mut Session, ctx: &mut Ctx) -> Result<bool> {
        let Some(conn) = ctx.conn.clone() else {
            return Error::e_explain(ErrorType::InternalError, "a request outside of a connection task");
        };
        conn.enter(Phase::Exchange);
        // Pingora keeps a connection for ever after its first request unless told how long, and 0 means for
        // ever too. It has decided by now whether the request allows keeping it at all.
        let keep = session.get_keepalive().is_some() && !self.leaving.load(Ordering::Relaxed);
        session.set_keepalive(keep.then_some(self.limits.keepalive_s).filter(|s| *s > 0));
        let clear = headers::ends_lines_with_crlf(&session.as_downstream().to_h1_raw())
            && headers::to_origin_form(session.req_header_mut()).is_ok();
        let admitted = if clear {
            self.admit(session, &conn).await
        } else {
            // Whoever stands in front may have read another request in these bytes: nothing more is taken from there.
            session.set_keepalive(None);
            self.live.metrics.bad_request.fetch_add(1, Ordering::Relaxed);
            Err(Refusal::Page(pages::BAD_REQUEST))
        };
        match admitted {
            Ok(admitted) => {
                ctx.admitted = Some(admitted);
                Ok(false)
            }
            Err(refusal) => {
                match refusal {
                    Refusal::Page(page) => answer(session, page).await?,
                    Refusal::ToHttps(location) => send_on(session, &location).await?,
                }
                Ok(true)
            }
        }
    }

    async fn upstream_peer(&self, session: &mut Session, ctx: &mut Ctx) -> Result<Box<HttpPeer>> {
        ctx.attempts += 1;
        let again = ctx.attempts > 1;
        let (Some(conn), Some(admitted)) = (&ctx.conn, &mut ctx.admitted) else {
            return Error::e_explain(ErrorType::InternalError, "a request without a claim");
        };
        if again && let Some(claim) = self.live.claim_again(&admitted.service, admitted.arm, conn) {
            claim.activation.metrics.retries.fetch_add(1, Ordering::Relaxed);
            admitted.claim.finish();
            // The new claim comes first: the request is never without one.
            admitted.claim = claim;
        }
        let activation = &admitted.claim.activation;
        let Some(target) = activation.target(ctx.target) else {
            return Error::e_explain(ErrorType::InternalError, "a release without targets");
        };
        if again && ctx.target == Some(target) {
            tokio::time::sleep(SAME_TARGET_PAUSE).await;
        }
        ctx.target = Some(target);
        let limits = &admitted.service.config.timeouts;
        let read = if is_stream(session.req_header()) { limits.stream_read_ms } else { limits.read_ms };
        let mut peer = HttpPeer::new(target, false, String::new());
        // Connections are pooled per activation: a restarted process never gets its predecessor's. And per thread: what
        // another thread watches would wake that one for each answer. A second attempt gets a pool of its own, which
        // is to say a fresh connection.
        let pool = activation.id << WORKER_BITS | conn.worker as u64;
        peer.group_key = if again { admitted.claim.id | 1 << 63 } else { pool };
        peer.options.connection_timeout = Some(Duration::from_millis(limits.connect_ms));
        peer.options.total_connection_timeout = Some(Duration::from_millis(limits.connect_ms));
        peer.options.read_timeout = Some(Duration::from_millis(read));
        peer.options.write_timeout = Some(Duration::from_millis(limits.read_ms));
        peer.options.idle_timeout = Some(Duration::from_millis(limits.idle_ms));
        let upgrade = session.req_header().headers.contains_key(http::header::UPGRADE);
        if upgrade || !session.req_header().method.is_idempotent() {
            // Never pooled, before or after. A request that may not be repeated must not meet a connection that the
            // release is just closing; and one that refused a body without reading it closes right after its answer.
            // For upgrades see `upgrade`.
            peer.group_key = admitted.claim.id | 1 << 63;
            peer.options.idle_timeout = Some(Duration::from_millis(1));
        }
        if upgrade {
            let timeout = Duration::from_millis(limits.connect_ms);
            peer.options.custom_l4 = Some(Arc::new(UpgradeConnect { timeout }));
        }
        Ok(Box::new(peer))
    }

    async fn upstream_request_filter(
        &self,
        _session: &mut Session,
        request: &mut RequestHeader,
        ctx: &mut Ctx,
    ) -> Result<()> {
        let Some(conn) = &ctx.conn else { return Ok(()) };
        let scheme = if conn.is_tls() { "https" } else { "http" };
        headers::forward(request, conn.peer, scheme, &self.trusted)
    }

    async fn upstream_response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        ctx: &mut Ctx,
    ) -> Result<()> {
        let status = response.status.as_u16();
        if (100..200).contains(&status) && status != 101 {
            return Ok(());
        }
        ctx.status = Some(status);
        let (Some(conn), Some(claim)) = (&ctx.conn, ctx.claim()) else { return Ok(()) };
        claim.activation.metrics.responded(status, ctx.started.elapsed());
        conn.response_began();
        if status == 101 {
            let asked = session.req_header().headers.get(http::header::UPGRADE);
            conn.upgrade(asked.is_some_and(|v| v.as_bytes().eq_ignore_ascii_case(b"websocket")));
            claim.activation.upgraded(claim);
        }
        Ok(())
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        ctx: &mut Ctx,
    ) -> Result<()> {
        if self.leaving.load(Ordering::Relaxed) {
            session.set_keepalive(None);
        }
        let session = ctx.admitted.as_mut().and_then(|a| a.session.as_mut());
        if let Some(id) = session.and_then(|s| s.new_cookie.take()) {
            let cookie = format!("{OWN_COOKIE}={id}; Path=/; Max-Age=604800; HttpOnly; SameSite=Lax");
            response.append_header(http::header::SET_COOKIE, cookie)?;
        }
        Ok(())
    }

    fn fail_to_connect(
        &self,
        _s: &mut Session,
        _peer: &HttpPeer,
        ctx: &mut Ctx,
        mut e: Box<Error>,
    ) -> Box<Error> {
        ctx.timed_out = is_timeout(&e);
        ctx.refused = true;
        if let Some(claim) = ctx.claim() {
            claim.activation.metrics.connect_failures.fetch_add(1, Ordering::Relaxed);
        }
        // Nothing was sent, so any method may be tried again.
        e.set_retry(ctx.attempts < ATTEMPTS);
        e
    }

    fn error_while_proxy(
        &self,
        peer: &HttpPeer,
        session: &mut Session,
        e: Box<Error>,
        ctx: &mut Ctx,
        reused: bool,
    ) -> Box<Error> {
        let mut e = e.more_context(format!("target {}", peer.address()));
        let timed_out = is_timeout(&e) && *e.esource() == ErrorSource::Upstream;
        ctx.timed_out |= timed_out;
        ctx.refused = false;
        // A pooled connection that the release closed in the moment of its reuse: the release has seen
        // nothing that matters when the method may be repeated and its body is still at hand.
        let nothing_back = ctx.status.is_none() && session.response_written().is_none();
        let repeatable =
            session.req_header().method.is_idempotent() && !session.as_ref().retry_buffer_truncated();
        let upstream = *e.esource() == ErrorSource::Upstream;
        e.set_retry(
            upstream && reused && nothing_back && repeatable && !timed_out && ctx.attempts < ATTEMPTS,
        );
        e
    }

    async fn fail_to_proxy(&self, session: &mut Session, e: &Error, ctx: &mut Ctx) -> FailToProxy {
        let gone = FailToProxy { error_code: 0, can_reuse_downstream: false };
        let Some(page) = Self::page_for(e, ctx) else { return gone };
        if session.response_written().is_some_and(|r| !r.status.is_informational() || r.status == 101) {
            return gone;
        }
        if let Some(service) = ctx.service() {
            let counter = match page.status {
                502 => Some(&service.failures.bad_gateway),
                504 => Some(&service.failures.gateway_timeout),
                _ => None,
            };
            if let Some(counter) = counter {
                counter.fetch_add(1, Ordering::Relaxed);
            }
        }
        if let Err(error) = answer(session, page).await {
            tracing::debug!(%error, "the client left before its error page");
        }
        FailToProxy { error_code: page.status, can_reuse_downstream: false }
    }

    async fn logging(&self, _session: &mut Session, e: Option<&Error>, ctx: &mut Ctx) {
        if let Some(conn) = &ctx.conn {
            conn.enter(Phase::Idle);
        }
        let timed_out = ctx.timed_out;
        let status = ctx.status;
        let Some(admitted) = &mut ctx.admitted else { return };
        admitted.claim.finish();
        let metrics = &admitted.claim.activation.metrics;
        let upstream_failed = e.is_some_and(|e| *e.esource() == ErrorSource::Upstream);
        if let Some(e) = e {
            let counter = match (e.esource(), status) {
                (ErrorSource::Upstream, _) if timed_out => Some(&metrics.timeouts),
                (ErrorSource::Upstream, Some(_)) => Some(&metrics.truncated),
                // A connection that could not be made is counted where it failed.
                (ErrorSource::Upstream, None) if ctx.refused => None,
                (ErrorSource::Upstream, None) => Some(&metrics.broken),
                (ErrorSource::Downstream, _) => Some(&metrics.client_gone),
                _ => None,
            };
            if let Some(counter) = counter {
                counter.fetch_add(1, Ordering::Relaxed);
            }
        }
        if let Some(session) = &admitted.session {
            metrics.session(session.key, upstream_failed || status.is_some_and(|s| s >= 500));
        }
    }

    fn suppress_error_log(&self, _session: &Session, _ctx: &Ctx, error: &Error) -> bool {
        // Clients come and go; only what a release or this proxy did wrong is worth a line.
        *error.esource() == ErrorSource::Downstream
    }
}
