//! Asks a target whether it is healthy: one GET that must be answered with 2xx.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// From connecting to the response header.
const TIMEOUT: Duration = Duration::from_secs(5);

/// A target is not healthy.
#[derive(Debug, thiserror::Error)]
#[error("the target {target} is not healthy: GET {path} {reason}. Nothing was changed")]
pub(crate) struct ProbeError {
    target: SocketAddr,
    path: String,
    reason: String,
}

/// Probes one target.
pub(crate) async fn probe(target: SocketAddr, host: Option<&str>, path: &str) -> Result<(), ProbeError> {
    let fail = |reason: String| ProbeError { target, path: path.into(), reason };
    let asked = async {
        let stream = TcpStream::connect(target).await.map_err(|e| format!("cannot connect: {e}"))?;
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.map_err(|e| format!("failed: {e}"))?;
        let request = http::Request::get(path)
            .header(http::header::HOST, host.map_or_else(|| target.to_string(), str::to_owned))
            .header(http::header::USER_AGENT, "safelight-probe")
            .header(http::header::CONNECTION, "close")
            .body(Empty::<Bytes>::new())
            .map_err(|e| format!("cannot be asked: {e}"))?;
        let driver = tokio::spawn(connection);
        let response = sender.send_request(request).await.map_err(|e| format!("failed: {e}"));
        driver.abort();
        Ok::<_, String>(response?.status())
    };
    match tokio::time::timeout(TIMEOUT, asked).await {
        Ok(Ok(status)) if status.is_success() => Ok(()),
        Ok(Ok(status)) => Err(fail(format!("answered {status}"))),
        Ok(Err(reason)) => Err(fail(reason)),
        Err(_) => Err(fail(format!("did not answer within {} s", TIMEOUT.as_secs()))),
    }
}
