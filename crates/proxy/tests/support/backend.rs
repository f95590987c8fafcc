//! A release for tests: answers with its version and in awkward ways.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

type Body = BoxBody<Bytes, Infallible>;

/// One running release. It stops listening and breaks its connections when dropped.
pub struct Backend {
    pub address: SocketAddr,
    pub seen: Arc<Seen>,
    task: JoinHandle<()>,
}

/// What reached the release.
#[derive(Default)]
pub struct Seen {
    pub requests: AtomicU64,
    pub connections: AtomicU64,
    /// Paths in the order in which their requests came.
    pub paths: Mutex<Vec<String>>,
}

impl Backend {
    pub async fn start(version: &str) -> Self {
        Self::start_on(version, "127.0.0.1:0".parse().unwrap()).await
    }

    pub async fn start_on(version: &str, address: SocketAddr) -> Self {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind(address).unwrap();
        let listener = socket.listen(1024).unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Seen::default());
        let task = tokio::spawn(serve(listener, version.to_owned(), seen.clone()));
        Self { address, seen, task }
    }

    pub fn requests(&self) -> u64 {
        self.seen.requests.load(Ordering::Relaxed)
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, version: String, seen: Arc<Seen>) {
    // Dropped with this task, which breaks every connection: the release was killed.
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        seen.connections.fetch_add(1, Ordering::Relaxed);
        let (version, seen) = (version.clone(), seen.clone());
        connections.spawn(async move {
            let service =
                hyper::service::service_fn(|request| answer(request, version.clone(), seen.clone()));
            let http = hyper::server::conn::http1::Builder::new();
            let _ = http.serve_connection(TokioIo::new(stream), service).with_upgrades().await;
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn answer(
    mut request: Request<Incoming>,
    version: String,
    seen: Arc<Seen>,
) -> Result<Response<Body>, Infallible> {
    seen.requests.fetch_add(1, Ordering::Relaxed);
    let path = request.uri().path().to_owned();
    if path.starts_with("/order/") {
        seen.paths.lock().unwrap().push(path.clone());
    }
    let number = |prefix: &str| path.strip_prefix(prefix).and_then(|n| n.parse::<u64>().ok());
    if let Some(millis) = number("/slow/") {
        tokio::time::sleep(Duration::from_millis(millis)).await;
    } else if let Some(status) = number("/status/") {
        let mut response = text(String::new());
        *response.status_mut() = StatusCode::from_u16(status as u16).unwrap();
        return Ok(response);
    } else if let Some(parts) = number("/stream/") {
        return Ok(stream(parts, version));
    } else if path == "/headers" {
        let mut lines: Vec<String> =
            request.headers().iter().map(|(n, v)| format!("{n}: {}", v.to_str().unwrap())).collect();
        lines.sort();
        return Ok(text(lines.join("\n")));
    } else if path == "/upload" {
        let mut bytes = 0;
        while let Some(frame) = request.body_mut().frame().await {
            match frame {
                Ok(frame) => bytes += frame.data_ref().map_or(0, Bytes::len),
                Err(_) => return Ok(text("broken".into())),
            }
        }
        return Ok(text(bytes.to_string()));
    } else if path == "/ws" {
        let upgrade = hyper::upgrade::on(&mut request);
        tokio::spawn(async move {
            let Ok(upgraded) = upgrade.await else { return };
            let mut io = TokioIo::new(upgraded);
            // Echo: takes masked frames of less than 126 bytes and sends them back without a mask.
            let mut head = [0u8; 6];
            while io.read_exact(&mut head).await.is_ok() {
                let length = usize::from(head[1] & 0x7f);
                let mut payload = vec![0; length];
                if io.read_exact(&mut payload).await.is_err() {
                    return;
                }
                payload.iter_mut().enumerate().for_each(|(i, b)| *b ^= head[2 + i % 4]);
                let mut frame = vec![head[0], length as u8];
                frame.extend(payload);
                if io.write_all(&frame).await.is_err() {
                    return;
                }
            }
        });
        let mut response = text(String::new());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        response.headers_mut().insert("upgrade", "websocket".parse().unwrap());
        response.headers_mut().insert("connection", "Upgrade".parse().unwrap());
        return Ok(response);
    }
    Ok(text(version))
}

fn text(body: String) -> Response<Body> {
    Response::new(Full::new(Bytes::from(body)).boxed())
}

/// So many parts of one line each, 5 ms apart, without a length.
fn stream(parts: u64, version: String) -> Response<Body> {
    let parts = futures_util::stream::unfold(0, move |i| {
        let version = version.clone();
        async move {
            if i >= parts {
                return None;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
            Some((Ok(Frame::data(Bytes::from(format!("{version} {i}\n")))), i + 1))
        }
    });
    let mut response = Response::new(StreamBody::new(parts).boxed());
    response.headers_mut().insert("content-type", "text/event-stream".parse().unwrap());
    response
}
