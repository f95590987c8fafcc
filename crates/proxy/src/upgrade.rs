//! Connections for requests that ask for another protocol.
//!
//! Pingora 0.9.1 handles a request and its response in two halves. The half that reads the response takes
//! the end of the (empty) request body for the end of the upgraded stream when it sees the 101 first, and
//! closes a WebSocket that has just been opened: about one of a hundred on a busy machine. The reads of
//! these connections therefore yield a few times before they look at the socket, so that the end of the
//! body is always handled before the response.

use std::io::Result as IoResult;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use pingora_core::connectors::l4::Connect;
use pingora_core::protocols::l4::socket::SocketAddr;
use pingora_core::protocols::l4::stream::Stream;
use pingora_core::protocols::l4::virt::{VirtualSockOpt, VirtualSocket, VirtualSocketStream};
use pingora_core::{Error, ErrorType, Result};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Both halves are polled at least once between two of these; one is what it takes.
const YIELDS: u8 = 4;

/// Connects for an upgrade.
#[derive(Debug)]
pub(crate) struct UpgradeConnect {
    pub(crate) timeout: Duration,
}

#[async_trait]
impl Connect for UpgradeConnect {
    async fn connect(&self, address: &SocketAddr) -> Result<Stream> {
        let Some(address) = address.as_inet() else {
            return Error::e_explain(ErrorType::ConnectError, "releases are reached over TCP only");
        };
        let stream = match tokio::time::timeout(self.timeout, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                let kind = match error.kind() {
                    std::io::ErrorKind::ConnectionRefused => ErrorType::ConnectRefused,
                    _ => ErrorType::ConnectError,
                };
                return Error::e_because(kind, "connecting for an upgrade", error);
            }
            Err(_) => return Error::e_explain(ErrorType::ConnectTimedout, "connecting for an upgrade"),
        };
        let socket = YieldingSocket { stream, yields: YIELDS };
        Ok(VirtualSocketStream::new(Box::new(socket)).into())
    }
}

#[derive(Debug)]
struct YieldingSocket {
    stream: TcpStream,
    yields: u8,
}

impl AsyncRead for YieldingSocket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<IoResult<()>> {
        if self.yields > 0 {
            self.yields -= 1;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for YieldingSocket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<IoResult<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<IoResult<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<IoResult<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl VirtualSocket for YieldingSocket {
    fn set_socket_option(&self, opt: VirtualSockOpt) -> IoResult<()> {
        match opt {
            VirtualSockOpt::NoDelay => self.stream.set_nodelay(true),
            // An upgraded stream ends with its peers.
            _ => Ok(()),
        }
    }
}
