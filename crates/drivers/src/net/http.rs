//! One GET over a connection of its own: headers only, no redirect, no cookie, no proxy.

use super::{SystemNet, dial, tls::server_name};
use http_body_util::Empty;
use hyper::{Request, body::Bytes, header};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use safelight_engine::{
    config::value::{UrlParts, url_parts},
    driver::net::{HttpAnswer, NetError},
};
use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

/// The value of `Host`: the port only where it is not the scheme's own.
fn host_header(url: &UrlParts) -> String {
    let host = if url.host.contains(':') { format!("[{}]", url.host) } else { url.host.clone() };
    let usual = if url.tls { 443 } else { 80 };
    if url.port == usual { host } else { format!("{host}:{}", url.port) }
}

async fn reach(
    net: &SystemNet,
    url: &UrlParts,
    connect_to: Option<SocketAddr>,
    limit: Duration,
) -> Result<TcpStream, NetError> {
    if let Some(addr) = connect_to {
        return dial(addr, limit).await;
    }
    let mut last = NetError::Unreachable(format!("{} has no address", url.host));
    for ip in net.lookup(&url.host).await? {
        // A share of the time for each address: one that swallows packets leaves some for the next.
        match dial(SocketAddr::new(ip, url.port), limit / 2).await {
            Ok(stream) => return Ok(stream),
            Err(e) => last = e,
        }
    }
    Err(last)
}

/// See [`safelight_engine::driver::net::Net::get`]. The caller keeps the time limit.
pub(super) async fn get(
    net: &SystemNet,
    url: &str,
    connect_to: Option<SocketAddr>,
    limit: Duration,
) -> Result<HttpAnswer, NetError> {
    let started = Instant::now();
    let parts = url_parts(url)
        .ok_or_else(|| NetError::Protocol(format!("`{url}` is not an http or https address")))?;
    let stream = reach(net, &parts, connect_to, limit).await?;
    if !parts.tls {
        return send(stream, &parts, started).await;
    }
    let config = ClientConfig::builder_with_provider(net.provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|e| NetError::Protocol(e.to_string()))?
        .with_root_certificates(net.roots()?.clone())
        .with_no_client_auth();
    let stream = tokio_rustls::TlsConnector::from(Arc::new(config))
        .connect(server_name(&parts.host)?, stream)
        .await
        .map_err(|e| NetError::Protocol(format!("TLS with {}: {e}", parts.host)))?;
    send(stream, &parts, started).await
}

async fn send(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    url: &UrlParts,
    started: Instant,
) -> Result<HttpAnswer, NetError> {
    let broken = |e: &dyn std::fmt::Display| NetError::Protocol(format!("{}: {e}", url.host));
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|e| broken(&e))?;
    let connection = tokio::spawn(connection);
    // A fragment is for browsers; servers never see it.
    let path = url.path.split('#').next().unwrap_or("/");
    let request = Request::get(path)
        .header(header::HOST, host_header(url))
        .header(header::USER_AGENT, concat!("safelight/", env!("CARGO_PKG_VERSION")))
        .header(header::ACCEPT, "*/*")
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|e| broken(&e))?;
    let answer = sender.send_request(request).await.map_err(|e| broken(&e));
    // The headers are all that was asked for: a body of any length is not waited for.
    connection.abort();
    let answer = answer?;
    let text = |name| answer.headers().get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
    Ok(HttpAnswer {
        status: answer.status().as_u16(),
        location: text(header::LOCATION),
        date: text(header::DATE),
        millis: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
    })
}
