//! Clients for tests: a keep-alive one that notices everything that goes wrong, a raw one, a WebSocket.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

type Body = BoxBody<Bytes, std::convert::Infallible>;

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: String,
}

/// A connection of either kind.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// Where a client connects, and whether it speaks TLS there, to which name.
#[derive(Clone)]
pub struct Place {
    pub address: SocketAddr,
    pub tls: Option<(TlsConnector, &'static str)>,
}

impl From<SocketAddr> for Place {
    fn from(address: SocketAddr) -> Self {
        Self { address, tls: None }
    }
}

impl Place {
    pub async fn connect(&self) -> Result<Box<dyn Io>, String> {
        let stream = TcpStream::connect(self.address).await.map_err(|e| format!("connect: {e}"))?;
        stream.set_nodelay(true).map_err(|e| e.to_string())?;
        let Some((connector, name)) = &self.tls else { return Ok(Box::new(stream)) };
        let name = (*name).try_into().map_err(|e| format!("{name}: {e}"))?;
        let stream = connector.connect(name, stream).await.map_err(|e| format!("handshake: {e}"))?;
        Ok(Box::new(stream))
    }
}

/// One request on a fresh connection.
pub async fn get(address: impl Into<Place>, path: &str, headers: &[(&str, &str)]) -> Answer {
    Client::new(address).send(Method::GET, path, headers, empty()).await.unwrap()
}

pub fn empty() -> Body {
    Full::new(Bytes::new()).boxed()
}

/// A client that keeps its connection as long as the other side does.
pub struct Client {
    place: Place,
    kept: Option<SendRequest<Body>>,
    pub connections: u64,
}

impl Client {
    pub fn new(place: impl Into<Place>) -> Self {
        Self { place: place.into(), kept: None, connections: 0 }
    }

    pub async fn send(
        &mut self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Body,
    ) -> Result<Answer, String> {
        let mut kept = self.kept.take();
        if let Some(open) = &mut kept
            && open.ready().await.is_err()
        {
            kept = None;
        }
        let mut sender = match kept {
            Some(open) => open,
            None => {
                self.connections += 1;
                let stream = self.place.connect().await?;
                let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
                    .await
                    .map_err(|e| e.to_string())?;
                tokio::spawn(connection);
                sender
            }
        };
        let mut request = Request::builder().method(method).uri(path);
        if !headers.iter().any(|(n, _)| n.eq_ignore_ascii_case("host")) {
            request = request.header("host", "example.com");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body).map_err(|e| e.to_string())?;
        let response = sender.send_request(request).await.map_err(|e| format!("request: {e:?}"))?;
        let (parts, body) = response.into_parts();
        let body = body.collect().await.map_err(|e| format!("body: {e:?}"))?.to_bytes();
        self.kept = Some(sender);
        let body = String::from_utf8_lossy(&body).into_owned();
        Ok(Answer { status: parts.status, headers: parts.headers, body })
    }
}

/// An upload in parts, with pauses.
pub fn slow_body(parts: usize, part: usize, pause: Duration) -> Body {
    let stream = futures_util::stream::unfold(0, move |i| async move {
        if i >= parts {
            return None;
        }
        tokio::time::sleep(pause).await;
        Some((Ok(Frame::data(Bytes::from(vec![b'x'; part]))), i + 1))
    });
    StreamBody::new(stream).boxed()
}

/// Writes raw bytes and reads what comes until the other side closes or a second passes.
pub async fn raw(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(1), stream.read_to_end(&mut answer)).await;
    String::from_utf8_lossy(&answer).into_owned()
}

/// A WebSocket that sends short texts and expects them back.
pub struct WebSocket {
    stream: Box<dyn Io>,
}

/// How a WebSocket ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Ended {
    /// With a close frame of this code.
    Closed(u16),
    /// Without one.
    Broken(String),
}

impl WebSocket {
    pub async fn open(place: impl Into<Place>) -> Result<Self, String> {
        let mut stream = place.into().connect().await?;
        let request = "GET /ws HTTP/1.1\r\nHost: example.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        stream.write_all(request.as_bytes()).await.map_err(|e| e.to_string())?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.map_err(|e| format!("upgrade: {e}"))?);
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        if head.starts_with("HTTP/1.1 101") { Ok(Self { stream }) } else { Err(head) }
    }

    pub async fn echo(&mut self, text: &str) -> Result<(), Ended> {
        let mask = [1u8, 2, 3, 4];
        let mut frame = vec![0x81, 0x80 | text.len() as u8];
        frame.extend(mask);
        frame.extend(text.bytes().enumerate().map(|(i, b)| b ^ mask[i % 4]));
        if let Err(error) = self.stream.write_all(&frame).await {
            // What was sent before the connection broke still counts.
            return Err(self.next().await.err().unwrap_or(Ended::Broken(error.to_string())));
        }
        let got = self.next().await?;
        if got == text { Ok(()) } else { Err(Ended::Broken(format!("sent {text}, got {got}"))) }
    }

    /// The next text, or how it ended.
    pub async fn next(&mut self) -> Result<String, Ended> {
        let broken = |e: std::io::Error| Ended::Broken(e.to_string());
        let mut head = [0u8; 2];
        self.stream.read_exact(&mut head).await.map_err(broken)?;
        let mut payload = vec![0; usize::from(head[1] & 0x7f)];
        self.stream.read_exact(&mut payload).await.map_err(broken)?;
        match head[0] & 0x0f {
            8 => Err(Ended::Closed(u16::from_be_bytes([payload[0], payload[1]]))),
            _ => Ok(String::from_utf8(payload).unwrap()),
        }
    }
}

/// Load of several kinds; counts what went well and keeps what went wrong.
pub struct Load {
    pub good: Arc<AtomicU64>,
    pub reopened: Arc<AtomicU64>,
    failures: Arc<Mutex<Vec<String>>>,
    stop: Arc<AtomicBool>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Load {
    /// `quick` keep-alive clients, and two each that upload slowly, read streams and hold WebSockets.
    pub fn start(place: impl Into<Place>, quick: usize) -> Self {
        let place = place.into();
        let mut load = Self {
            good: Arc::default(),
            reopened: Arc::default(),
            failures: Arc::default(),
            stop: Arc::default(),
            tasks: Vec::new(),
        };
        let steady = [Kind::Upload, Kind::Upload, Kind::Stream(10), Kind::Stream(30)];
        for kind in std::iter::repeat_n(Kind::Quick, quick).chain(steady) {
            load.spawn(place.clone(), kind);
        }
        load.spawn_websocket(place.clone());
        load.spawn_websocket(place);
        load
    }

    fn spawn(&mut self, place: Place, kind: Kind) {
        let (good, failures, stop) = (self.good.clone(), self.failures.clone(), self.stop.clone());
        self.tasks.push(tokio::spawn(async move {
            let mut client = Client::new(place);
            while !stop.load(Ordering::Relaxed) {
                match kind.once(&mut client).await {
                    Ok(()) => {
                        good.fetch_add(1, Ordering::Relaxed);
                    }
                    Err(e) => failures.lock().unwrap().push(format!("{kind:?}: {e}")),
                }
            }
        }));
    }

    fn spawn_websocket(&mut self, place: Place) {
        let (good, reopened) = (self.good.clone(), self.reopened.clone());
        let (failures, stop) = (self.failures.clone(), self.stop.clone());
        self.tasks.push(tokio::spawn(async move {
            let mut socket = None;
            while !stop.load(Ordering::Relaxed) {
                let mut open: WebSocket = match socket.take() {
                    Some(open) => open,
                    None => match WebSocket::open(place.clone()).await {
                        Ok(open) => open,
                        Err(e) => {
                            failures.lock().unwrap().push(format!("websocket: {e}"));
                            continue;
                        }
                    },
                };
                match open.echo("hello").await {
                    Ok(()) => {
                        good.fetch_add(1, Ordering::Relaxed);
                        socket = Some(open);
                    }
                    // Told to connect again: that is what a switch does to a WebSocket.
                    Err(Ended::Closed(1012)) => {
                        reopened.fetch_add(1, Ordering::Relaxed);
                    }
                    Err(e) => failures.lock().unwrap().push(format!("websocket: {e:?}")),
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }));
    }

    /// Stops and returns how many requests went well, and what went wrong.
    pub async fn stop(self) -> (u64, Vec<String>) {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.unwrap();
        }
        let failures = std::mem::take(&mut *self.failures.lock().unwrap());
        (self.good.load(Ordering::Relaxed), failures)
    }
}

/// What a client of the load does, again and again.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Quick,
    Upload,
    Stream(u64),
}

impl Kind {
    async fn once(self, client: &mut Client) -> Result<(), String> {
        match self {
            Self::Quick => {
                let a = client.send(Method::GET, "/", &[], empty()).await?;
                expect(&a, a.body.starts_with('v'))
            }
            Self::Upload => {
                let body = slow_body(20, 5_000, Duration::from_millis(3));
                let a = client.send(Method::POST, "/upload", &[], body).await?;
                expect(&a, a.body == "100000")
            }
            Self::Stream(parts) => {
                let a = client.send(Method::GET, &format!("/stream/{parts}"), &[], empty()).await?;
                // All parts come from one release, in order.
                let first = a.body.split(' ').next().unwrap_or_default();
                let whole: String = (0..parts).map(|n| format!("{first} {n}\n")).collect();
                expect(&a, a.body == whole)
            }
        }
    }
}

fn expect(answer: &Answer, so: bool) -> Result<(), String> {
    if answer.status == StatusCode::OK && so { Ok(()) } else { Err(format!("{answer:?}")) }
}
