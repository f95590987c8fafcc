//! Visitors who stay: event streams in chunks, and WebSockets. Each has a natural end; one that is broken off before
//! it, or refused at its beginning, has failed. A close frame that asks to come again (1012) breaks off too.

use super::{Plan, Shared};
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// Streams and WebSockets beside the other visitors.
#[derive(Clone, Debug, Default)]
pub struct Long {
    /// Visitors who read an event stream to its end, again and again.
    pub streams: usize,
    /// Its path. The last line of the stream must be `data: end`.
    pub stream_path: String,
    /// Visitors who open a WebSocket, talk over it, and close it.
    pub sockets: usize,
    /// Its path. It must echo text frames of less than 126 bytes.
    pub socket_path: String,
    /// Messages over one WebSocket before the visitor closes it.
    pub messages: usize,
    /// Pause between two messages.
    pub pause: Duration,
}

/// Nothing that is alive is silent for so long.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) async fn streams(plan: Arc<Plan>, shared: Arc<Shared>, stop: Arc<AtomicBool>) {
    while !stop.load(Ordering::SeqCst) {
        let result = within(stream_once(plan.addr, &plan.host, &plan.long.stream_path)).await;
        shared.count("stream", result);
        tokio::time::sleep(plan.pause).await;
    }
}

pub(super) async fn sockets(plan: Arc<Plan>, shared: Arc<Shared>, stop: Arc<AtomicBool>) {
    while !stop.load(Ordering::SeqCst) {
        let result = within(socket_once(plan.addr, &plan.host, &plan.long)).await;
        shared.count("websocket", result);
        tokio::time::sleep(plan.pause).await;
    }
}

async fn within(exchange: impl Future<Output = Result<(), String>>) -> Result<(), String> {
    tokio::time::timeout(PATIENCE, exchange).await.map_err(|_| "no end in 60 s".to_owned())?
}

fn io(e: std::io::Error) -> String {
    e.to_string()
}

/// The whole stream: every chunk, the last event, and the empty chunk that says that nothing is missing.
async fn stream_once(addr: SocketAddr, host: &str, path: &str) -> Result<(), String> {
    let mut tcp = TcpStream::connect(addr).await.map_err(io)?;
    let request = format!(
        "GET {path} HTTP/1.1\r\nhost: {host}\r\naccept: text/event-stream\r\nconnection: close\r\n\r\n"
    );
    tcp.write_all(request.as_bytes()).await.map_err(io)?;
    let mut answer = Vec::new();
    tcp.read_to_end(&mut answer).await.map_err(|e| format!("after {} bytes: {e}", answer.len()))?;
    let text = String::from_utf8_lossy(&answer);
    if !text.starts_with("HTTP/1.1 200") {
        return Err(text.lines().next().unwrap_or("closed without an answer").to_owned());
    }
    if text.contains("data: end") && text.ends_with("0\r\n\r\n") {
        return Ok(());
    }
    Err(format!("broken off after {} bytes", answer.len()))
}

async fn socket_once(addr: SocketAddr, host: &str, long: &Long) -> Result<(), String> {
    let mut tcp = TcpStream::connect(addr).await.map_err(io)?;
    // The key of RFC 6455's own example: nothing here depends on it.
    let request = format!(
        "GET {} HTTP/1.1\r\nhost: {host}\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        long.socket_path
    );
    tcp.write_all(request.as_bytes()).await.map_err(io)?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(tcp.read_u8().await.map_err(|e| format!("refused: {e}"))?);
    }
    if !head.starts_with(b"HTTP/1.1 101") {
        let head = String::from_utf8_lossy(&head).into_owned();
        return Err(format!("refused: {}", head.lines().next().unwrap_or_default()));
    }
    for n in 0..long.messages {
        let text = format!("message {n}");
        write_frame(&mut tcp, 0x81, text.as_bytes()).await?;
        let (kind, payload) = read_frame(&mut tcp).await.map_err(|e| format!("cut at message {n}: {e}"))?;
        match (kind, payload) {
            (1, p) if p == text.as_bytes() => {}
            (8, p) if p.len() >= 2 => {
                return Err(format!("closed at message {n} with {}", u16::from_be_bytes([p[0], p[1]])));
            }
            other => return Err(format!("message {n} came back as {other:?}")),
        }
        tokio::time::sleep(long.pause).await;
    }
    // The natural end: our close frame and the answer to it, or the end of the connection.
    write_frame(&mut tcp, 0x88, &1000u16.to_be_bytes()).await?;
    let _ = read_frame(&mut tcp).await;
    Ok(())
}

async fn write_frame(tcp: &mut TcpStream, first: u8, payload: &[u8]) -> Result<(), String> {
    let mask = [0x11, 0x22, 0x33, 0x44];
    let length = u8::try_from(payload.len()).ok().filter(|l| *l < 126).ok_or("a message is too long")?;
    let mut frame = vec![first, 0x80 | length];
    frame.extend(mask);
    frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(b, m)| b ^ m));
    tcp.write_all(&frame).await.map_err(io)
}

/// Kind and payload of the next frame.
async fn read_frame(tcp: &mut TcpStream) -> Result<(u8, Vec<u8>), String> {
    let mut head = [0u8; 2];
    tcp.read_exact(&mut head).await.map_err(io)?;
    let mut payload = vec![0; usize::from(head[1] & 0x7f)];
    tcp.read_exact(&mut payload).await.map_err(io)?;
    Ok((head[0] & 0x0f, payload))
}
