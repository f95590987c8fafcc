//! Accepts connections, runs each in a task of its own, and ends them when the process leaves.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use pingora_core::apps::HttpServerApp;
use pingora_core::protocols::http::ServerSession;
use pingora_core::protocols::l4::stream::Stream;
use pingora_core::protocols::l4::virt::VirtualSocketStream;
use pingora_proxy::HttpProxy;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_rustls::TlsAcceptor;

use crate::conn::{CONN, ClientSocket, Conn};
use crate::gateway::Gateway;
use crate::metrics::Metrics;
use crate::options::Limits;
use crate::wire::Wire;
use crate::workers::Places;

/// How long the end of a WebSocket frame is waited for before its connection is cut.
const FRAME_PATIENCE: Duration = Duration::from_millis(500);

/// How far the process is on its way out; grows only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
pub(crate) enum Stage {
    /// Serving.
    Serve,
    /// Accepts no more; answers with `Connection: close`.
    Leave,
    /// Upgraded connections are closed.
    CutUpgraded,
    /// Everything is closed.
    CutAll,
}

/// Runs connections.
#[derive(Clone)]
pub(crate) struct Acceptor {
    pub(crate) proxy: Arc<HttpProxy<Gateway>>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) limits: Limits,
    pub(crate) stage: watch::Receiver<Stage>,
    pub(crate) room: Arc<Semaphore>,
    pub(crate) places: Places,
    /// Held by every connection: the receiver closes when the last one ends.
    pub(crate) _alive: mpsc::Sender<()>,
}

impl Acceptor {
    /// Accepts until the process leaves. With `tls`, connections shake hands first.
    pub(crate) async fn run(self, listener: TcpListener, tls: Option<TlsAcceptor>) {
        let mut stage = self.stage.clone();
        loop {
            let next = async {
                let permit = self.room.clone().acquire_owned().await;
                (permit, listener.accept().await)
            };
            let (permit, accepted) = tokio::select! {
                accepted = next => accepted,
                _ = stage.wait_for(|s| *s >= Stage::Leave) => return,
            };
            match (permit, accepted) {
                (Ok(permit), Ok((stream, peer))) => {
                    let (this, tls, place) = (self.clone(), tls.clone(), self.places.take());
                    let worker = place.index;
                    place.runtime.clone().spawn(async move {
                        this.connection(stream, peer, worker, tls).await;
                        drop((permit, place));
                    });
                }
                (Err(_), _) => return,
                (_, Err(error)) if is_of_one_connection(&error) => {}
                (_, Err(error)) => {
                    // Out of file descriptors or memory: wait for others to end instead of spinning.
                    tracing::error!(%error, "cannot accept connections");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    /// `stream` belongs to the runtime that accepted it and moves to the one that this task runs on.
    async fn connection(self, stream: TcpStream, peer: SocketAddr, worker: usize, tls: Option<TlsAcceptor>) {
        let _ = stream.set_nodelay(true);
        let stream = match stream.into_std().and_then(TcpStream::from_std) {
            Ok(stream) => stream,
            Err(error) => {
                tracing::error!(%error, %peer, "cannot serve a connection");
                return;
            }
        };
        self.metrics.connections.fetch_add(1, Ordering::Relaxed);
        self.metrics.open_connections.fetch_add(1, Ordering::Relaxed);
        let wire = match tls {
            None => Some(Wire::Plain(stream)),
            Some(tls) => self.shake_hands(stream, peer, &tls).await,
        };
        if let Some(wire) = wire {
            self.serve(Arc::new(Conn::new(wire, peer, worker))).await;
        }
        self.metrics.open_connections.fetch_sub(1, Ordering::Relaxed);
    }

    /// The handshake, in its time. It runs in the connection's own task: a slow one holds nobody up.
    async fn shake_hands(&self, stream: TcpStream, peer: SocketAddr, tls: &TlsAcceptor) -> Option<Wire> {
        let mut stage = self.stage.clone();
        let shaken = tokio::select! {
            shaken = tokio::time::timeout(self.limits.handshake_timeout, tls.accept(stream)) => shaken,
            _ = stage.wait_for(|s| *s >= Stage::CutUpgraded) => return None,
        };
        let why = match shaken {
            Ok(Ok(stream)) => return Some(Wire::tls(stream)),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "took too long".to_owned(),
        };
        self.metrics.failed_handshakes.fetch_add(1, Ordering::Relaxed);
        tracing::debug!(%peer, why, "no TLS handshake");
        None
    }

    async fn serve(&self, conn: Arc<Conn>) {
        let served = CONN.scope(conn.clone(), self.requests(conn.clone()));
        let cut = {
            tokio::pin!(served);
            let told = tokio::select! {
                biased;
                () = &mut served => false,
                () = conn.wait_cut() => true,
                () = self.told_to_end(&conn) => true,
            };
            told && !self.ended_before_a_good_moment(served, &conn).await
        };
        // The request, its claim and its connection to the release are gone here.
        if cut {
            conn.say_goodbye().await;
        }
    }

    /// Goes on with a WebSocket until the frame that is being written is complete, for a short while.
    async fn ended_before_a_good_moment(
        &self,
        mut served: Pin<&mut impl Future<Output = ()>>,
        conn: &Conn,
    ) -> bool {
        let patience = Instant::now() + FRAME_PATIENCE;
        while !conn.may_be_cut() && Instant::now() < patience {
            if tokio::time::timeout(Duration::from_millis(5), &mut served).await.is_ok() {
                return true;
            }
        }
        false
    }

    /// Requests of one connection, one after the other.
    async fn requests(&self, conn: Arc<Conn>) {
        // Pingora asks this for a shutdown; the gateway decides per response, so that a connection which
        // is accepted just before is treated alike.
        let (_keep, shutdown) = watch::channel(false);
        let socket = ClientSocket::new(conn, self.limits.header_timeout);
        let stream = Stream::from(VirtualSocketStream::new(Box::new(socket)));
        let mut session = self.session(Box::new(stream));
        session.set_keepalive(Some(self.limits.keepalive_s.max(1)));
        let mut next = self.proxy.process_new_http(session, &shutdown).await;
        while let Some((stream, settings)) = next.map(|reused| reused.consume()) {
            let mut session = self.session(stream);
            if let Some(settings) = settings {
                settings.apply_to_session(&mut session);
            }
            next = self.proxy.process_new_http(session, &shutdown).await;
        }
    }

    fn session(&self, stream: pingora_core::protocols::Stream) -> ServerSession {
        let mut session = ServerSession::new_http1(stream);
        session.set_read_timeout(Some(self.limits.body_timeout));
        session.set_write_timeout(Some(self.limits.body_timeout));
        session
    }

    async fn told_to_end(&self, conn: &Conn) {
        let mut stage = self.stage.clone();
        let told = |s: &Stage| *s == Stage::CutAll || (*s == Stage::CutUpgraded && conn.is_upgraded());
        if stage.wait_for(told).await.is_err() {
            // The process is past telling anything.
            std::future::pending::<()>().await;
        }
    }
}

/// Errors that concern one connection which is already gone.
fn is_of_one_connection(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted
            | ErrorKind::ConnectionReset
            | ErrorKind::Interrupted
            | ErrorKind::PermissionDenied
    )
}

/// Ends the connections of a process that has stopped accepting. `idle_grace`: when idle and upgraded ones
/// are closed; `timeout`: when the rest is. Returns whether all ended by themselves.
pub(crate) async fn wind_down(
    proxy: &HttpProxy<Gateway>,
    stage: &watch::Sender<Stage>,
    leaving: &AtomicBool,
    mut alive: mpsc::Receiver<()>,
    idle_grace: Duration,
    timeout: Duration,
) -> bool {
    leaving.store(true, Ordering::Relaxed);
    stage.send_replace(Stage::Leave);
    let all_gone = async {
        // Nothing is ever sent: this resolves when the last sender is dropped.
        alive.recv().await;
    };
    tokio::pin!(all_gone);
    let idle_grace = idle_grace.min(timeout);
    if tokio::time::timeout(idle_grace, &mut all_gone).await.is_ok() {
        return true;
    }
    proxy.http_cleanup().await;
    stage.send_replace(Stage::CutUpgraded);
    if tokio::time::timeout(timeout - idle_grace, &mut all_gone).await.is_ok() {
        return true;
    }
    stage.send_replace(Stage::CutAll);
    tokio::time::timeout(Duration::from_secs(2), &mut all_gone).await.is_ok_and(|()| false)
}
