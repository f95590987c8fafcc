//! Passes the sockets of a running proxy to the one that replaces it.
//!
//! Beside the control socket lies `.handover`. The new process connects; the old one stops making changes and
//! sends its lock, its control socket, its hand-over socket and its listeners as file descriptors. Both
//! then share the very same listening sockets, so no connection waits in a backlog that nobody accepts. The
//! new process starts serving and says `ready`; only then does the old one stop accepting. If the new one
//! dies before, the old one goes on as if nothing had been. The connection stays open until the old process
//! ends: the new one uses it to make the old one follow changes of the table.

use std::io::{BufRead, BufReader, IoSlice, IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};

use crate::error::ProxyError;
use crate::ops::OpError;
use crate::protocol::{Drain, DrainReport};

/// File descriptors in one hand-over: the lock, two sockets and the listeners.
const MAX_FDS: usize = 3 + 64;
/// How long the new process may take from receiving the sockets to serving.
pub(crate) const READY_WITHIN: Duration = Duration::from_secs(30);

#[derive(Serialize, Deserialize)]
struct Greeting {
    pid: u32,
    /// Why there is no hand-over; then no file descriptors come.
    refused: Option<String>,
}

/// What a running proxy gave away.
pub(crate) struct Received {
    pub(crate) lock: OwnedFd,
    pub(crate) control: OwnedFd,
    pub(crate) handover: OwnedFd,
    pub(crate) listeners: Vec<OwnedFd>,
    pub(crate) pid: u32,
    stream: UnixStream,
}

/// Path of the hand-over socket.
pub(crate) fn socket_path(control: &Path) -> PathBuf {
    let mut name = control.as_os_str().to_owned();
    name.push(".handover");
    name.into()
}

/// Asks the running proxy for its sockets. Blocks.
pub(crate) fn receive(control: &Path) -> Result<Received, ProxyError> {
    let socket = socket_path(control);
    let fail = |reason: String| ProxyError::TakeOver { socket: socket.clone(), reason };
    let stream = UnixStream::connect(&socket).map_err(|e| fail(format!("cannot connect: {e}")))?;
    stream.set_read_timeout(Some(READY_WITHIN)).map_err(|e| fail(e.to_string()))?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut text = [0u8; 4096];
    let flags = RecvFlags::CMSG_CLOEXEC;
    let message = rustix::net::recvmsg(&stream, &mut [IoSliceMut::new(&mut text)], &mut ancillary, flags)
        .map_err(|e| fail(format!("no answer: {e}")))?;
    let mut fds: Vec<OwnedFd> = Vec::new();
    for part in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = part {
            fds.extend(rights);
        }
    }
    if message.flags.contains(ReturnFlags::CTRUNC) {
        return Err(fail("too many sockets at once".into()));
    }
    let greeting: Greeting = serde_json::from_slice(&text[..message.bytes])
        .map_err(|e| fail(format!("it answered something else ({e})")))?;
    if let Some(reason) = greeting.refused {
        return Err(fail(reason));
    }
    let mut fds = fds.into_iter();
    let (Some(lock), Some(control), Some(handover)) = (fds.next(), fds.next(), fds.next()) else {
        return Err(fail("it sent no sockets".into()));
    };
    Ok(Received { lock, control, handover, listeners: fds.collect(), pid: greeting.pid, stream })
}

impl Received {
    /// Tells the old process that this one serves. Blocks until it has stopped accepting.
    pub(crate) fn ready(self, control: &Path) -> Result<Predecessor, ProxyError> {
        let fail = |reason: String| ProxyError::TakeOver { socket: socket_path(control), reason };
        let mut stream = self.stream;
        stream.write_all(b"ready\n").map_err(|e| fail(format!("it is gone: {e}")))?;
        let mut answer = String::new();
        let mut reader = BufReader::new(&stream);
        reader.read_line(&mut answer).map_err(|e| fail(format!("it did not let go: {e}")))?;
        if answer.trim() != "yours" {
            return Err(fail("it did not let go".into()));
        }
        let stream = stream
            .set_read_timeout(None)
            .and_then(|()| stream.set_nonblocking(true))
            .and_then(|()| tokio::net::UnixStream::from_std(stream));
        Ok(Predecessor::new(self.pid, stream.map_err(|e| fail(e.to_string()))?))
    }
}

/// The process before this one, while it finishes its requests.
pub(crate) struct Predecessor {
    pub(crate) pid: u32,
    alive: Arc<AtomicBool>,
    ask: mpsc::Sender<(String, oneshot::Sender<DrainReport>)>,
}

impl Predecessor {
    fn new(pid: u32, stream: tokio::net::UnixStream) -> Self {
        let (ask, mut asked) = mpsc::channel::<(String, oneshot::Sender<DrainReport>)>(16);
        let alive = Arc::new(AtomicBool::new(true));
        let lives = alive.clone();
        tokio::spawn(async move {
            let (read, mut write) = stream.into_split();
            let mut lines = tokio::io::BufReader::new(read).lines();
            let mut waiting = std::collections::VecDeque::new();
            loop {
                tokio::select! {
                    request = asked.recv() => {
                        let Some((line, answer)) = request else { break };
                        if write.write_all(line.as_bytes()).await.is_err() {
                            break;
                        }
                        waiting.push_back(answer);
                    }
                    line = lines.next_line() => {
                        let Ok(Some(line)) = line else { break };
                        if let (Some(answer), Ok(report)) = (waiting.pop_front(), serde_json::from_str(&line)) {
                            let _ = answer.send(report);
                        }
                    }
                }
            }
            lives.store(false, Ordering::Release);
            tracing::info!(pid, "the process before this one has ended");
        });
        Self { pid, alive, ask }
    }

    pub(crate) fn lives(&self) -> bool {
        self.alive.load(Ordering::Acquire)
    }

    /// Makes it load the table from disk and drain what left. None: it has ended.
    pub(crate) async fn follow(&self, drain: &Drain) -> Option<DrainReport> {
        if !self.lives() {
            return None;
        }
        let mut line = serde_json::to_string(drain).ok()?;
        line.push('\n');
        let (answer, answered) = oneshot::channel();
        self.ask.send((line, answer)).await.ok()?;
        answered.await.ok()
    }
}

/// Sends the sockets, or the reason why not. `fds`: lock, control, hand-over, listeners.
pub(crate) fn send(
    stream: &tokio::net::UnixStream,
    fds: &[BorrowedFd<'_>],
    refused: Option<String>,
) -> std::io::Result<()> {
    let text = serde_json::to_vec(&Greeting { pid: std::process::id(), refused })?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(std::io::Error::other("too many sockets to hand over"));
    }
    // A fresh connection has room for this: it never blocks.
    rustix::net::sendmsg(stream.as_fd(), &[IoSlice::new(&text)], &mut ancillary, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Serves the process that has taken over until this one ends: it says what has changed, this one follows.
pub(crate) async fn obey<F, Fut>(lines: &mut Lines, mut write: tokio::net::unix::OwnedWriteHalf, follow: F)
where
    F: Fn(Drain) -> Fut,
    Fut: Future<Output = Result<DrainReport, OpError>>,
{
    while let Ok(Some(line)) = lines.next_line().await {
        let drain: Drain = serde_json::from_str(&line).unwrap_or_default();
        let report = follow(drain).await.unwrap_or_else(|error| {
            tracing::error!(%error, "cannot follow the table of the newer process");
            DrainReport::default()
        });
        let Ok(mut text) = serde_json::to_string(&report) else { return };
        text.push('\n');
        if write.write_all(text.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// Lines from the process that takes over.
pub(crate) type Lines = tokio::io::Lines<tokio::io::BufReader<tokio::net::unix::OwnedReadHalf>>;
