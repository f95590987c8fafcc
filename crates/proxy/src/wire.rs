//! What a client's bytes come and go over: the socket itself, or TLS on it. The task of a connection is its only user;
//! the lock around TLS only lets the last words be said by another hand than pingora's.

use std::io::{Error, ErrorKind, IoSlice, Result as IoResult};
use std::pin::Pin;
use std::sync::Mutex;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use crate::lock;

/// A client's bytes.
#[derive(Debug)]
pub(crate) enum Wire {
    /// The socket.
    Plain(TcpStream),
    /// TLS on it, past its handshake. None after the last words.
    Tls(Box<Mutex<Option<TlsStream<TcpStream>>>>),
}

impl Wire {
    pub(crate) fn tls(stream: TlsStream<TcpStream>) -> Self {
        Self::Tls(Box::new(Mutex::new(Some(stream))))
    }

    pub(crate) fn is_tls(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    pub(crate) fn poll_read(&self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<IoResult<usize>> {
        match self {
            Self::Plain(stream) => loop {
                ready!(stream.poll_read_ready(cx))?;
                match stream.try_read_buf(buf) {
                    Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                    read => return Poll::Ready(read),
                }
            },
            Self::Tls(stream) => with(stream, |stream| {
                let before = buf.filled().len();
                ready!(stream.poll_read(cx, buf))?;
                Poll::Ready(Ok(buf.filled().len() - before))
            }),
        }
    }

    /// Writes from both, in order; ready with how many bytes went, at least one unless both are empty.
    pub(crate) fn poll_write(
        &self,
        cx: &mut Context<'_>,
        first: &[u8],
        then: &[u8],
    ) -> Poll<IoResult<usize>> {
        let parts = [IoSlice::new(first), IoSlice::new(then)];
        match self {
            Self::Plain(stream) => loop {
                ready!(stream.poll_write_ready(cx))?;
                // A plain write costs the kernel less than a gathering one.
                let sent = match (first, then) {
                    (only, []) | ([], only) => stream.try_write(only),
                    _ => stream.try_write_vectored(&parts),
                };
                match sent {
                    Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                    sent => return Poll::Ready(sent),
                }
            },
            Self::Tls(stream) => with(stream, |stream| stream.poll_write_vectored(cx, &parts)),
        }
    }

    pub(crate) fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<IoResult<()>> {
        match self {
            Self::Plain(_) => Poll::Ready(Ok(())),
            Self::Tls(stream) => with(stream, |stream| stream.poll_flush(cx)),
        }
    }

    /// Ends the direction towards the client.
    pub(crate) fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<IoResult<()>> {
        match self {
            Self::Plain(stream) => {
                Poll::Ready(rustix::net::shutdown(stream, rustix::net::Shutdown::Write).map_err(Into::into))
            }
            Self::Tls(stream) => with(stream, |stream| stream.poll_shutdown(cx)),
        }
    }

    pub(crate) fn set_nodelay(&self) -> IoResult<()> {
        match self {
            Self::Plain(stream) => stream.set_nodelay(true),
            Self::Tls(stream) => lock(stream).as_ref().map_or(Ok(()), |s| s.get_ref().0.set_nodelay(true)),
        }
    }

    /// Last words, the end, and then reading for a short while, so that a reset does not swallow them. Without words
    /// the end is not dressed up as a good one: over TLS the client sees that something is missing.
    pub(crate) async fn say_and_close(&self, words: &[u8], linger: Duration) {
        let mut sink = [0u8; 4096];
        match self {
            Self::Plain(stream) => {
                // The buffer of the kernel is empty or the client is stuck: one try is right in both cases.
                let said = words.is_empty() || stream.try_write(words).is_ok_and(|n| n == words.len());
                let closed = rustix::net::shutdown(stream, rustix::net::Shutdown::Write).is_ok();
                let read = async {
                    while stream.readable().await.is_ok() {
                        match stream.try_read(&mut sink) {
                            Ok(1..) => {}
                            Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                            Ok(0) | Err(_) => break,
                        }
                    }
                };
                if said && closed {
                    let _ = tokio::time::timeout(linger, read).await;
                }
            }
            Self::Tls(stream) => {
                let Some(mut stream) = lock(stream).take() else { return };
                let say = async {
                    if words.is_empty() {
                        rustix::net::shutdown(stream.get_ref().0, rustix::net::Shutdown::Write)?;
                    } else {
                        stream.write_all(words).await?;
                        stream.shutdown().await?;
                    }
                    while stream.read(&mut sink).await? > 0 {}
                    IoResult::Ok(())
                };
                let _ = tokio::time::timeout(linger, say).await;
            }
        }
    }
}

fn with<T>(
    stream: &Mutex<Option<TlsStream<TcpStream>>>,
    act: impl FnOnce(Pin<&mut TlsStream<TcpStream>>) -> Poll<IoResult<T>>,
) -> Poll<IoResult<T>> {
    match lock(stream).as_mut() {
        Some(stream) => act(Pin::new(stream)),
        None => Poll::Ready(Err(Error::from(ErrorKind::NotConnected))),
    }
}
