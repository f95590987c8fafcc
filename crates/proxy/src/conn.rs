//! One client connection: its socket under pingora, what it is doing, and how it is cut from outside.
//! It must not know about releases: it carries the number of the claim that it works for, no more.

use std::io::{Error, ErrorKind, Result as IoResult};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pingora_core::protocols::l4::virt::{VirtualSockOpt, VirtualSocket};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;
use tokio::time::{Instant, Sleep};

use crate::lock;
use crate::wire::Wire;
use crate::ws::FrameTracker;

/// WebSocket close frame with code 1012, "service restart": clients connect again.
const CLOSE_1012: [u8; 4] = [0x88, 0x02, 0x03, 0xF4];
/// How long a cut connection may still read, so that a reset does not swallow the last words to it.
const LINGER: Duration = Duration::from_millis(500);

/// Most bytes that are kept back until a flush.
const KEEP_BACK: usize = 4096;

const CUT_RESPONSE: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\nContent-Length: 46\r\n\
    Retry-After: 1\r\nConnection: close\r\n\r\nThe release was replaced before it answered.\r\n";

tokio::task_local! {
    /// The connection that the running task serves.
    pub(crate) static CONN: Arc<Conn>;
}

/// What the connection is doing; decides which time limit its reads have.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Phase {
    /// Between requests: pingora's keep-alive limit.
    Idle = 0,
    /// A request header has begun: it has one deadline as a whole, however it trickles.
    Header = 1,
    /// A request is being answered: limits per read and write.
    Exchange = 2,
}

/// A client connection.
#[derive(Debug)]
pub(crate) struct Conn {
    wire: Wire,
    pub(crate) peer: SocketAddr,
    /// Which of the threads serves it.
    pub(crate) worker: usize,
    phase: AtomicU8,
    /// The claim that it works for; 0 for none.
    current: AtomicU64,
    /// The claim that is to be cut.
    cut_claim: AtomicU64,
    cut: Notify,
    responded: AtomicBool,
    upgraded: AtomicBool,
    frames: Mutex<FrameTracker>,
}

impl Conn {
    pub(crate) fn new(wire: Wire, peer: SocketAddr, worker: usize) -> Self {
        Self {
            wire,
            peer,
            worker,
            phase: AtomicU8::new(Phase::Idle as u8),
            current: AtomicU64::new(0),
            cut_claim: AtomicU64::new(0),
            cut: Notify::new(),
            responded: AtomicBool::new(false),
            upgraded: AtomicBool::new(false),
            frames: Mutex::default(),
        }
    }

    pub(crate) fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Relaxed);
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.phase.load(Ordering::Relaxed) == Phase::Idle as u8
    }

    /// A request begins to work for this claim.
    pub(crate) fn works_for(&self, claim: u64) {
        self.current.store(claim, Ordering::Release);
        self.responded.store(false, Ordering::Relaxed);
    }

    /// The request that worked for this claim is done.
    pub(crate) fn done_with(&self, claim: u64) {
        let _ = self.current.compare_exchange(claim, 0, Ordering::AcqRel, Ordering::Relaxed);
    }

    pub(crate) fn response_began(&self) {
        self.responded.store(true, Ordering::Relaxed);
    }

    /// The response that is about to be written switches protocols.
    pub(crate) fn upgrade(&self, websocket: bool) {
        *lock(&self.frames) = FrameTracker::new(websocket);
        // In one order with the look at whether a drain is closing upgraded connections: one of the two
        // sees the other.
        self.upgraded.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_upgraded(&self) -> bool {
        self.upgraded.load(Ordering::SeqCst)
    }

    /// Asks the task to drop the request if it still works for this claim. Never hits the next request.
    pub(crate) fn cut(&self, claim: u64) {
        self.cut_claim.store(claim, Ordering::Release);
        self.cut.notify_one();
    }

    /// Whether this is a good moment for last words: not in the middle of a WebSocket frame.
    pub(crate) fn may_be_cut(&self) -> bool {
        let frames = lock(&self.frames);
        !self.is_upgraded() || frames.between_frames() || frames.untouched() || frames.opaque()
    }

    /// Resolves when the request that is being worked for is to be cut.
    pub(crate) async fn wait_cut(&self) {
        loop {
            self.cut.notified().await;
            // Runs in the task that does the work, so the current claim cannot change in between.
            let current = self.current.load(Ordering::Acquire);
            if current != 0 && current == self.cut_claim.load(Ordering::Acquire) {
                return;
            }
        }
    }

    /// Last words to a client whose request was dropped: a close frame to a WebSocket between two frames,
    /// 503 to one that got nothing yet, nothing to one in the middle of a response. Then closes.
    pub(crate) async fn say_goodbye(&self) {
        let words: &[u8] = if self.is_upgraded() {
            let frames = lock(&self.frames);
            match (frames.between_frames(), frames.untouched()) {
                (true, _) => &CLOSE_1012,
                (false, true) => CUT_RESPONSE,
                (false, false) => &[],
            }
        } else if self.responded.load(Ordering::Relaxed) {
            &[]
        } else {
            CUT_RESPONSE
        };
        self.wire.say_and_close(words, LINGER).await;
    }

    /// Whether the client came over TLS.
    pub(crate) fn is_tls(&self) -> bool {
        self.wire.is_tls()
    }
}

/// The socket as pingora sees it: enforces the deadline of a header and watches frames after an upgrade.
pub(crate) struct ClientSocket {
    conn: Arc<Conn>,
    header_timeout: Duration,
    header_deadline: Option<Pin<Box<Sleep>>>,
    /// Written by pingora and not yet flushed.
    kept: Vec<u8>,
}

impl ClientSocket {
    pub(crate) fn new(conn: Arc<Conn>, header_timeout: Duration) -> Self {
        Self { conn, header_timeout, header_deadline: None, kept: Vec::new() }
    }
}

impl std::fmt::Debug for ClientSocket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientSocket").field("peer", &self.conn.peer).finish_non_exhaustive()
    }
}

impl AsyncRead for ClientSocket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<IoResult<()>> {
        let this = self.get_mut();
        let conn = &this.conn;
        if conn.phase.load(Ordering::Relaxed) == Phase::Header as u8 {
            let timeout = this.header_timeout;
            let deadline = this
                .header_deadline
                .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(Instant::now() + timeout)));
            if deadline.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Err(Error::new(ErrorKind::TimedOut, "the request header took too long")));
            }
        } else {
            this.header_deadline = None;
        }
        let n = ready!(conn.wire.poll_read(cx, buf))?;
        if n > 0 && conn.is_idle() {
            conn.enter(Phase::Header);
        }
        Poll::Ready(Ok(()))
    }
}

impl ClientSocket {
    /// Writes what is kept back and then as much of `more` as goes. Ready with how much of `more` went,
    /// which is at least one byte unless it is empty.
    fn poll_send(&mut self, cx: &mut Context<'_>, more: &[u8]) -> Poll<IoResult<usize>> {
        loop {
            if self.kept.is_empty() && more.is_empty() {
                return Poll::Ready(Ok(0));
            }
            let sent = match ready!(self.conn.wire.poll_write(cx, &self.kept, more))? {
                0 => return Poll::Ready(Err(ErrorKind::WriteZero.into())),
                sent => sent,
            };
            let of_kept = sent.min(self.kept.len());
            let of_more = sent - of_kept;
            if self.conn.is_upgraded() {
                let mut frames = lock(&self.conn.frames);
                frames.feed(&self.kept[..of_kept]);
                frames.feed(&more[..of_more]);
            }
            self.kept.drain(..of_kept);
            if of_more > 0 {
                return Poll::Ready(Ok(of_more));
            }
        }
    }
}

impl AsyncWrite for ClientSocket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<IoResult<usize>> {
        let this = self.get_mut();
        // A header and a short body leave in one packet: pingora writes them apart and flushes after both.
        if this.kept.len() + buf.len() <= KEEP_BACK {
            this.kept.extend_from_slice(buf);
            return Poll::Ready(Ok(buf.len()));
        }
        this.poll_send(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<IoResult<()>> {
        let this = self.get_mut();
        ready!(this.poll_send(cx, &[]))?;
        this.conn.wire.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<IoResult<()>> {
        let this = self.get_mut();
        ready!(this.poll_send(cx, &[]))?;
        this.conn.wire.poll_shutdown(cx)
    }
}

impl VirtualSocket for ClientSocket {
    fn set_socket_option(&self, opt: VirtualSockOpt) -> IoResult<()> {
        match opt {
            VirtualSockOpt::NoDelay => self.conn.wire.set_nodelay(),
            // Idle connections have a time limit of their own.
            _ => Ok(()),
        }
    }
}
