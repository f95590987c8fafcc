//! One life of the proxy process: takes its sockets, serves, and leaves by a signal or by handing over.

use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use pingora_core::server::configuration::ServerConf;
use pingora_proxy::http_proxy;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_rustls::TlsAcceptor;

use crate::accept::{Acceptor, Stage, wind_down};
use crate::control::{Control, router};
use crate::error::ProxyError;
use crate::gateway::{ATTEMPTS, Gateway};
use crate::handover::{self, READY_WITHIN};
use crate::live::Live;
use crate::metrics::Metrics;
use crate::ops::{OpError, Ops};
use crate::options::ProxyOptions;
use crate::replace::notify_supervisor;
use crate::tls::{self, Certificates};
use crate::workers::{Places, Workers};
use crate::{listen, owner, store};

/// How the process came to leave.
enum Leaving {
    /// SIGTERM: nobody takes over.
    Stop,
    /// SIGINT: at once.
    Quick,
    /// Another process has the sockets.
    HandedOver,
}

/// Runs the proxy until it is stopped or has handed over. Blocks; builds its own runtime, and may be called
/// with or without one around it.
///
/// # Errors
/// Whatever keeps it from starting: a damaged table, a taken port, another proxy on the control socket.
pub fn run(options: ProxyOptions) -> Result<(), ProxyError> {
    options.check()?;
    let threads = match options.threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        n => n,
    };
    let life = move || {
        // For accepting and for the control socket: connections have threads of their own.
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("safelight-proxy")
            .enable_all()
            .build()
            .map_err(|source| ProxyError::System { what: "cannot start threads", source })?;
        let workers = Workers::start(threads)
            .map_err(|source| ProxyError::System { what: "cannot start threads", source })?;
        let result = runtime.block_on(live(options, threads, workers.places()));
        drop(workers);
        runtime.shutdown_timeout(Duration::from_millis(200));
        result
    };
    // A thread of its own: a runtime must not be built inside another one.
    let thread = std::thread::Builder::new().name("safelight-proxy".into()).spawn(life);
    let thread = thread.map_err(|source| ProxyError::System { what: "cannot start a thread", source })?;
    thread.join().unwrap_or_else(|_| {
        let source = std::io::Error::other("its main thread panicked; the log has the reason");
        Err(ProxyError::System { what: "the proxy broke", source })
    })
}

async fn live(options: ProxyOptions, threads: usize, places: Places) -> Result<(), ProxyError> {
    raise_file_limit();
    // Handlers first: a signal that comes while starting ends the process in order.
    let system = |source| ProxyError::System { what: "cannot watch for signals", source };
    let mut terminate = signal(SignalKind::terminate()).map_err(system)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(system)?;

    let mut received =
        if options.take_over { Some(handover::receive(&options.control_socket)?) } else { None };
    let mut inherited = received.as_mut().map(|r| std::mem::take(&mut r.listeners)).unwrap_or_default();
    let owned = match &received {
        Some(r) => {
            let copy = |fd: &std::os::fd::OwnedFd| {
                fd.try_clone().map_err(|source| ProxyError::System { what: "cannot copy a socket", source })
            };
            owner::adopt(copy(&r.lock)?, copy(&r.control)?, copy(&r.handover)?)?
        }
        None => owner::acquire(&options.control_socket)?,
    };
    // Only the owner of the lock reads the table: nobody else writes it from here on.
    let table = store::load(&options.routes)?;
    let listeners =
        options.listen.iter().map(|l| listen::bind(l, &mut inherited)).collect::<Result<Vec<_>, _>>()?;
    drop(inherited);

    let certificates = Arc::new(Certificates::default());
    // A certificate that cannot be used is told about and keeps no other site from coming up.
    certificates.serve(&tls::named_by(&table));
    let shake = tls::config(certificates.clone())
        .map_err(|e| ProxyError::System { what: "cannot set up TLS", source: std::io::Error::other(e) })?;
    let metrics = Arc::new(Metrics::new());
    let routing = Arc::new(Live::new(table, metrics.clone(), options.splitter.clone()));
    let leaving = Arc::new(AtomicBool::new(false));
    let gateway = Gateway {
        live: routing.clone(),
        limits: options.limits.clone(),
        trusted: options.trusted_proxies.clone(),
        leaving: leaving.clone(),
    };
    let conf = ServerConf {
        threads,
        max_retries: ATTEMPTS,
        upstream_keepalive_pool_size: 512,
        ..ServerConf::default()
    };
    let proxy = Arc::new(http_proxy(&Arc::new(conf), gateway));
    let (stage, staged) = watch::channel(Stage::Serve);
    let (alive, all_gone) = mpsc::channel(1);
    let acceptor = Acceptor {
        proxy: proxy.clone(),
        metrics,
        limits: options.limits.clone(),
        stage: staged,
        room: Arc::new(Semaphore::new(options.limits.max_connections.min(Semaphore::MAX_PERMITS))),
        places,
        _alive: alive,
    };
    let (mut addresses, mut tls_addresses) = (Vec::new(), Vec::new());
    let kept = copies(&listeners)?;
    for (listener, spec) in listeners.into_iter().zip(&options.listen) {
        let list: &mut Vec<SocketAddr> = if spec.tls { &mut tls_addresses } else { &mut addresses };
        list.extend(listener.local_addr());
        let tls = spec.tls.then(|| TlsAcceptor::from(shake.clone()));
        tokio::spawn(acceptor.clone().run(listener, tls));
    }
    let looking = tokio::spawn(tls::watch(certificates.clone()));
    drop(acceptor);

    let predecessor = received.map(|r| r.ready(&options.control_socket)).transpose()?;
    let ops = Arc::new(Ops::new(routing, certificates, options.routes.clone(), predecessor));
    ops.go_on_holding();
    let control = Control {
        ops: ops.clone(),
        listen: Arc::new(addresses.clone()),
        listen_tls: Arc::new(tls_addresses.clone()),
        trusted: Arc::new(options.trusted_proxies.clone()),
    };
    let system = |source| ProxyError::System { what: "cannot serve the control socket", source };
    let control_copy = owned.control.try_clone().map_err(system)?;
    let control_listener = UnixListener::from_std(owned.control).map_err(system)?;
    let mut ending = stage.subscribe();
    let control_server = tokio::spawn(
        axum::serve(control_listener, router(control))
            .with_graceful_shutdown(async move { drop(ending.wait_for(|s| *s >= Stage::Leave).await) })
            .into_future(),
    );
    let handover_copy = owned.handover.try_clone().map_err(system)?;
    let handover_listener = UnixListener::from_std(owned.handover).map_err(system)?;
    tracing::info!(?addresses, ?tls_addresses, control = %options.control_socket.display(), "serving");

    notify_supervisor();

    let sockets =
        Sockets { lock: owned.lock, control: control_copy, handover: handover_copy, listeners: kept };
    let how = loop {
        tokio::select! {
            _ = terminate.recv() => break Leaving::Stop,
            _ = interrupt.recv() => break Leaving::Quick,
            Ok((stream, _)) = handover_listener.accept() => {
                if hand_over(stream, &sockets, &ops).await {
                    break Leaving::HandedOver;
                }
            }
        }
    };
    drop(handover_listener);
    drop(sockets.listeners);
    let leave = &options.leave;
    let quiet = match how {
        Leaving::Stop => {
            wind_down(&proxy, &stage, &leaving, all_gone, leave.idle_grace, leave.stop_timeout).await
        }
        Leaving::Quick => wind_down(&proxy, &stage, &leaving, all_gone, Duration::ZERO, Duration::ZERO).await,
        Leaving::HandedOver => {
            let all = leave.upgrade_timeout;
            wind_down(&proxy, &stage, &leaving, all_gone, all.mul_f32(0.9), all).await
        }
    };
    if !matches!(how, Leaving::HandedOver) {
        owner::remove(&options.control_socket);
    }
    // An operation that is still draining has nothing left to drain: it answers now.
    let _ = tokio::time::timeout(Duration::from_secs(2), control_server).await;
    looking.abort();
    tracing::info!(quiet, "ended");
    Ok(())
}

/// Everything that a successor is given.
struct Sockets {
    lock: std::fs::File,
    control: std::os::unix::net::UnixListener,
    handover: std::os::unix::net::UnixListener,
    listeners: Vec<std::os::fd::OwnedFd>,
}

/// Offers the sockets to a process that asks. Returns whether it took over.
async fn hand_over(stream: UnixStream, sockets: &Sockets, ops: &Arc<Ops>) -> bool {
    // No change of the table while two processes read it.
    let order = ops.order.lock().await;
    let held = ops.live.snapshot().services.iter().find(|s| s.gate.state().is_some()).cloned();
    let refused = held.map(|s| OpError::Held(format!("{}/{}", s.app, s.name)).to_string()).or_else(|| {
        ops.predecessor_pid()
            .map(|pid| format!("the process before it (pid {pid}) is still finishing its requests"))
    });
    let mut fds: Vec<BorrowedFd<'_>> =
        vec![sockets.lock.as_fd(), sockets.control.as_fd(), sockets.handover.as_fd()];
    fds.extend(sockets.listeners.iter().map(|l| l.as_fd()));
    if refused.is_some() {
        fds.clear();
    }
    let is_refused = refused.is_some();
    if let Err(error) = handover::send(&stream, &fds, refused) {
        tracing::error!(%error, "could not hand over; serving on");
        return false;
    }
    if is_refused {
        return false;
    }
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read).lines();
    match tokio::time::timeout(READY_WITHIN, lines.next_line()).await {
        Ok(Ok(Some(line))) if line == "ready" => {}
        _ => {
            tracing::error!("the process that wanted to take over did not come up; serving on");
            return false;
        }
    }
    ops.handed_over.store(true, Ordering::Release);
    drop(order);
    if write.write_all(b"yours\n").await.is_err() {
        tracing::error!("the process that wanted to take over is gone; serving on");
        ops.handed_over.store(false, Ordering::Release);
        return false;
    }
    let ops = ops.clone();
    tokio::spawn(async move {
        handover::obey(&mut lines, write, |drain| {
            let ops = ops.clone();
            async move { ops.follow(&drain).await }
        })
        .await;
    });
    true
}

fn copies(listeners: &[TcpListener]) -> Result<Vec<std::os::fd::OwnedFd>, ProxyError> {
    let copy = |l: &TcpListener| l.as_fd().try_clone_to_owned();
    let copied: std::io::Result<Vec<_>> = listeners.iter().map(copy).collect();
    copied.map_err(|source| ProxyError::System { what: "cannot copy a listening socket", source })
}

/// Each connection takes a descriptor here and one towards the release; the usual soft limit is 1024.
fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
}
