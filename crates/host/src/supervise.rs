//! Keeps the proxy alive: finds the one that runs, or starts one, and starts it again within a second when it dies.

use crate::{
    api::{ApiError, ProxyStatus},
    paths::Home,
    trouble,
};
use safelight_proxy::{ControlClient, Network};
use std::{
    net::SocketAddr,
    os::unix::process::CommandExt as _,
    process::{Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

/// Keeps one proxy.
pub struct Supervisor {
    home: Home,
    command: Vec<String>,
    listen: Listen,
    client: ControlClient,
    up: AtomicBool,
    stopping: AtomicBool,
    starts: AtomicU32,
    trouble: Mutex<Option<(String, Option<ApiError>)>>,
    fresh: tokio::sync::Notify,
}

/// Where a proxy takes requests, and whom it believes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listen {
    /// In plain HTTP.
    pub plain: Vec<SocketAddr>,
    /// Over TLS.
    pub tls: Vec<SocketAddr>,
    /// Proxies in front of it whose `X-Forwarded-*` headers are believed.
    pub trusted: Vec<Network>,
}

impl Listen {
    /// The arguments of `safelight proxy run` that say so.
    #[must_use]
    pub fn arguments(&self) -> Vec<String> {
        let plain = self.plain.iter().map(|a| ("--listen", a.to_string()));
        let tls = self.tls.iter().map(|a| ("--listen-tls", a.to_string()));
        let trusted = self.trusted.iter().map(|n| ("--trust-proxy", n.to_string()));
        plain.chain(tls).chain(trusted).flat_map(|(option, value)| [option.to_owned(), value]).collect()
    }
}

/// A proxy that could not start is waited for no longer than this: its trouble is told instead.
const TROUBLE_PATIENCE: Duration = Duration::from_millis(1500);

impl Supervisor {
    /// Keeps the proxy that `command` starts, at `listen`.
    #[must_use]
    pub fn new(home: Home, command: Vec<String>, listen: Listen) -> Arc<Self> {
        let client = ControlClient::new(home.proxy_socket());
        Arc::new(Self {
            home,
            command,
            listen,
            client,
            up: false.into(),
            stopping: false.into(),
            starts: 0.into(),
            trouble: Mutex::default(),
            fresh: tokio::sync::Notify::new(),
        })
    }

    /// Looks after the proxy for ever.
    pub async fn keep(self: Arc<Self>) {
        let mut child: Option<std::process::Child> = None;
        let mut pause = Duration::from_millis(50);
        loop {
            if self.stopping.load(Ordering::SeqCst) {
                return;
            }
            // Reaped as soon as it is dead, so that it is not taken for alive.
            let died = child.as_mut().is_some_and(|c| matches!(c.try_wait(), Ok(Some(_))));
            if died {
                child = None;
            }
            let alive = tokio::time::timeout(Duration::from_secs(2), self.client.state())
                .await
                .is_ok_and(|r| r.is_ok());
            self.up.store(alive, Ordering::SeqCst);
            if alive {
                self.set_trouble(None);
                pause = Duration::from_millis(50);
                tokio::time::sleep(Duration::from_millis(150)).await;
                continue;
            }
            if child.is_none() {
                match self.spawn() {
                    Ok(c) => child = Some(c),
                    Err(e) => self.set_trouble(Some((e.to_string(), None))),
                }
                let until = Instant::now() + Duration::from_secs(5);
                while Instant::now() < until && !self.stopping.load(Ordering::SeqCst) {
                    if self.client.state().await.is_ok() {
                        self.up.store(true, Ordering::SeqCst);
                        self.fresh.notify_one();
                        break;
                    }
                    if let Some(c) = child.as_mut()
                        && let Ok(Some(status)) = c.try_wait()
                    {
                        let said =
                            crate::logs::tail(&self.home.logs().join("proxy.log"), 2000).unwrap_or_default();
                        let last = said.lines().rev().find(|l| !l.trim().is_empty()).unwrap_or("").to_owned();
                        let why = trouble::left(&self.home.proxy_trouble());
                        self.set_trouble(Some((format!("it ended with {status}: {last}"), why)));
                        child = None;
                        break;
                    }
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                if child.is_none() {
                    // It cannot even start (port taken, damaged table): do not spin.
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(Duration::from_secs(5));
                }
            } else {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }

    fn spawn(&self) -> std::io::Result<std::process::Child> {
        trouble::clear(&self.home.proxy_trouble());
        let log =
            std::fs::OpenOptions::new().append(true).create(true).open(self.home.logs().join("proxy.log"))?;
        let (program, args) = self
            .command
            .split_first()
            .ok_or_else(|| std::io::Error::new(std::io::ErrorKind::InvalidInput, "no proxy command"))?;
        let mut c = Command::new(program);
        c.args(args);
        c.args(self.listen.arguments());
        // A process group of its own: Ctrl-C and the end of this daemon do not reach it.
        c.process_group(0).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        self.starts.fetch_add(1, Ordering::SeqCst);
        c.spawn()
    }

    fn set_trouble(&self, t: Option<(String, Option<ApiError>)>) {
        *self.trouble.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = t;
    }

    /// Returns when a proxy has been started. What it routes is what its table on disk said.
    pub async fn started(&self) {
        self.fresh.notified().await;
    }

    /// Waits until the proxy answers, at most `limit`, and less when it cannot even start.
    pub async fn ready(&self, limit: Duration) -> bool {
        let began = Instant::now();
        let until = began + limit;
        loop {
            if self.client.state().await.is_ok() {
                return true;
            }
            let trouble = self.trouble.lock().unwrap_or_else(std::sync::PoisonError::into_inner).is_some();
            if Instant::now() >= until || (trouble && began.elapsed() >= TROUBLE_PATIENCE.min(limit)) {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// How the proxy is.
    pub async fn status(&self) -> ProxyStatus {
        let told = self.trouble.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        let (trouble, why) = told.map_or((None, None), |(t, why)| (Some(t), why));
        let restarts = self.starts.load(Ordering::SeqCst).saturating_sub(1);
        match self.client.state().await {
            Ok(s) => ProxyStatus {
                pid: Some(s.pid),
                listen: s.listen,
                listen_tls: s.listen_tls,
                trusted: s.trusted_proxies,
                certificates: s.certificates,
                trouble: None,
                why: None,
                restarts,
            },
            Err(e) => ProxyStatus {
                pid: None,
                listen: self.listen.plain.clone(),
                listen_tls: self.listen.tls.clone(),
                trusted: self.listen.trusted.clone(),
                certificates: Vec::new(),
                trouble: trouble.or_else(|| Some(e.to_string())),
                why,
                restarts,
            },
        }
    }

    /// Ends the proxy, gracefully, and does not start it again.
    pub async fn stop_proxy(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        if let Ok(s) = self.client.state().await
            && let Ok(pid) = i32::try_from(s.pid)
            && let Some(pid) = rustix::process::Pid::from_raw(pid)
        {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
            let until = Instant::now() + Duration::from_secs(35);
            while Instant::now() < until && self.client.state().await.is_ok() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}
