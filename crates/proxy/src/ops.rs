//! The changes that the control socket can ask for, whatever it speaks.
//!
//! Order of a change: save, swap, drain, answer. Saving first means that the disk is never behind what
//! traffic has seen: after a crash in between, the proxy starts with the new table, whose release was
//! checked and runs, and users are never sent back to a release that they had already left. The caller got
//! no answer, reads the state and finds the change made. A save that fails has changed nothing. (Saving
//! after the swap would need a second swap back when the disk is full.) Changes follow one another; no lock
//! is held while draining.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use safelight_certs::CertificateFiles;

use crate::error::{StoreError, TableError};
use crate::gate::Terms;
use crate::handover::Predecessor;
use crate::live::{Leaving, Live, RESUMED_HOLD, clear_holds};
use crate::metrics::unix_ms;
use crate::probe::{ProbeError, probe};
use crate::protocol::{
    CertificateState, ChangeReport, Drain, DrainReport, Hold, PutService, ReleaseReport, RouteMatch,
    SetCandidate, SetShare, Switch,
};
use crate::table::{HoldMark, HoldTerms, Route, RouteTable, Service};
use crate::tls::Certificates;
use crate::{store, tls};

/// Why a change was refused. Nothing has changed then.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpError {
    #[error(transparent)]
    Table(#[from] TableError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Probe(#[from] ProbeError),
    #[error(transparent)]
    Certificate(#[from] safelight_certs::Trouble),
    #[error("this process has handed over to a newer one; ask again, the socket is the same")]
    HandedOver,
    #[error(
        "the process before this one is still finishing its requests after an upgrade and cannot hold; try again in a moment, or stop pid {0}"
    )]
    PredecessorAlive(u32),
    #[error("an upgrade cannot begin while {0} is held; release it first")]
    Held(String),
}

/// Makes changes, one after the other.
pub(crate) struct Ops {
    pub(crate) live: Arc<Live>,
    pub(crate) routes: PathBuf,
    pub(crate) order: tokio::sync::Mutex<()>,
    pub(crate) handed_over: AtomicBool,
    pub(crate) certificates: Arc<Certificates>,
    predecessor: Option<Predecessor>,
    next_hold: AtomicU64,
}

impl Ops {
    pub(crate) fn new(
        live: Arc<Live>,
        certificates: Arc<Certificates>,
        routes: PathBuf,
        predecessor: Option<Predecessor>,
    ) -> Self {
        Self {
            live,
            routes,
            order: tokio::sync::Mutex::new(()),
            handed_over: AtomicBool::new(false),
            certificates,
            predecessor,
            next_hold: AtomicU64::new(1),
        }
    }

    pub(crate) async fn put(&self, app: &str, name: &str, put: PutService) -> Result<ChangeReport, OpError> {
        let drain = put.drain.clone();
        let route = |r: RouteMatch| Route {
            host: r.host,
            prefix: r.prefix,
            service: name.to_owned(),
            https_port: r.https_port,
        };
        let routes: Vec<Route> = put.routes.into_iter().map(route).collect();
        self.usable(app, name, &put.certificates).await?;
        let service = Service {
            stable: put.stable,
            candidate: None,
            token: put.token,
            timeouts: put.timeouts,
            split_cookie: put.split_cookie,
            certificates: put.certificates,
            hold: None,
        };
        let ended: Vec<String> = put.replaces.into_iter().filter(|s| s != name).collect();
        let report = self.change(|table| {
            table.upsert(app, name, routes, service);
            for other in &ended {
                if table.service(app, other).is_some() {
                    table.remove_service(app, other)?;
                }
            }
            Ok(())
        });
        let report = report.await?;
        let mut leaving = self.live.leaving(Some((app, name)));
        for other in &ended {
            leaving.extend(self.live.leaving(Some((app, other))));
        }
        self.drain(report, leaving, &drain).await
    }

    pub(crate) async fn switch(
        &self,
        app: &str,
        name: &str,
        switch: Switch,
    ) -> Result<ChangeReport, OpError> {
        if let Some(path) = &switch.probe {
            self.probe(app, name, path, &switch.to.targets).await?;
        }
        let report = self.change(|table| {
            let service = table.service_mut(app, name)?;
            if service.candidate.as_ref().is_some_and(|c| c.release.version == switch.to.version) {
                service.candidate = None;
            }
            service.stable = switch.to;
            if switch.then_candidate.is_some() {
                service.candidate = switch.then_candidate;
            }
            Ok(())
        });
        self.drained(report.await?, Some((app, name)), &switch.drain).await
    }

    pub(crate) async fn candidate(
        &self,
        app: &str,
        name: &str,
        set: SetCandidate,
    ) -> Result<ChangeReport, OpError> {
        if let (Some(path), Some(candidate)) = (&set.probe, &set.candidate) {
            self.probe(app, name, path, &candidate.release.targets).await?;
        }
        let report = self.change(|table| {
            table.service_mut(app, name)?.candidate = set.candidate;
            Ok(())
        });
        self.drained(report.await?, Some((app, name)), &set.drain).await
    }

    pub(crate) async fn share(&self, app: &str, name: &str, set: SetShare) -> Result<ChangeReport, OpError> {
        let report = self.change(|table| {
            let service = table.service_mut(app, name)?;
            let field = format!("share of {app}/{name}");
            let none = TableError::Invalid { field, reason: "there is no candidate to give it to".into() };
            service.candidate.as_mut().ok_or(none)?.share = set.share;
            Ok(())
        });
        self.drained(report.await?, Some((app, name)), &Drain::default()).await
    }

    pub(crate) async fn delete(&self, app: &str) -> Result<ChangeReport, OpError> {
        let report = self.change(|table| table.remove_app(app));
        let report = report.await?;
        let leaving = self.live.leaving(None).into_iter().filter(|l| l.app == app).collect();
        self.drain(report, leaving, &Drain::default()).await
    }

    pub(crate) async fn delete_service(&self, app: &str, name: &str) -> Result<ChangeReport, OpError> {
        let report = self.change(|table| table.remove_service(app, name));
        let report = report.await?;
        let leaving =
            self.live.leaving(None).into_iter().filter(|l| l.app == app && l.service == name).collect();
        self.drain(report, leaving, &Drain::default()).await
    }

    /// Holds new requests and waits for those in flight.
    pub(crate) async fn hold(
        self: &Arc<Self>,
        app: &str,
        name: &str,
        hold: Hold,
    ) -> Result<ChangeReport, OpError> {
        if let Some(pid) = self.predecessor_pid() {
            return Err(OpError::PredecessorAlive(pid));
        }
        let since_unix_ms = unix_ms();
        let terms = HoldTerms {
            until_unix_ms: since_unix_ms.saturating_add(hold.lease_ms),
            lease_ms: hold.lease_ms,
            max_wait_ms: hold.max_wait_ms,
            queue_cap: hold.queue_cap,
        };
        let report = self.change(|table| {
            let service = table.service_mut(app, name)?;
            let since_unix_ms = service.hold.map_or(since_unix_ms, |before| before.since_unix_ms);
            service.hold = Some(HoldMark { since_unix_ms, terms: Some(terms) });
            Ok(())
        });
        let mut report = report.await?;
        let missing = || TableError::NoService { app: app.into(), service: name.into() };
        let service = self.live.service(app, name).ok_or_else(missing)?;
        let id = self.next_hold.fetch_add(1, Ordering::Relaxed);
        let max_wait = Duration::from_millis(hold.max_wait_ms);
        let terms = Terms { max_wait, queue_cap: hold.queue_cap, since: Instant::now(), since_unix_ms, id };
        self.live.close_gate(|| service.gate.hold(terms));
        service.hold_lost.store(false, Ordering::Relaxed);
        self.lease(app, name, id, Duration::from_millis(hold.lease_ms));
        report.drained = service.stable.drain(&hold.drain).await;
        Ok(report)
    }

    /// Sees to it that the holds which a restart goes on with end in their time.
    pub(crate) fn go_on_holding(self: &Arc<Self>) {
        let now = unix_ms();
        for service in &self.live.snapshot().services {
            let Some(mark) = service.config.hold else { continue };
            let rest = mark.rest(now).map_or(0, |(_, rest)| rest);
            tracing::warn!(
                app = service.app,
                service = service.name,
                rest_ms = rest,
                "goes on holding requests"
            );
            self.lease(&service.app, &service.name, RESUMED_HOLD, Duration::from_millis(rest));
        }
    }

    /// Ends a hold; `only` ends no other one than that.
    pub(crate) async fn release(
        &self,
        app: &str,
        name: &str,
        only: Option<u64>,
    ) -> Result<ReleaseReport, OpError> {
        let missing = || TableError::NoService { app: app.into(), service: name.into() };
        let service = self.live.service(app, name).ok_or_else(missing)?;
        let Some((waiting, terms)) = service.gate.release(only) else { return Ok(ReleaseReport::default()) };
        // The requests go first; the mark on disk only tells a restart about the hold.
        self.change(|table| {
            table.service_mut(app, name)?.hold = None;
            Ok(())
        })
        .await?;
        let held_ms = u64::try_from(terms.since.elapsed().as_millis()).unwrap_or(u64::MAX);
        Ok(ReleaseReport { waiting, held_ms: Some(held_ms) })
    }

    fn lease(self: &Arc<Self>, app: &str, name: &str, hold: u64, lease: Duration) {
        let (this, app, name) = (Arc::downgrade(self), app.to_owned(), name.to_owned());
        tokio::spawn(async move {
            tokio::time::sleep(lease).await;
            let Some(this) = this.upgrade() else { return };
            match this.release(&app, &name, Some(hold)).await {
                Ok(ReleaseReport { held_ms: Some(held_ms), waiting }) => {
                    tracing::warn!(
                        app,
                        service = name,
                        held_ms,
                        waiting,
                        "the lease of a hold ran out: released"
                    );
                }
                Ok(_) => {}
                Err(error) => tracing::error!(app, service = name, %error, "the end of a hold was not saved"),
            }
        });
    }

    /// Follows a table that a newer process has saved, and drains what left by it.
    pub(crate) async fn follow(&self, drain: &Drain) -> Result<DrainReport, OpError> {
        let _order = self.order.lock().await;
        let mut table = store::load(&self.routes)?;
        clear_holds(&mut table);
        self.certificates.serve(&tls::named_by(&table));
        self.live.swap(table);
        let report = self.drain_all(self.live.leaving(None), drain).await;
        Ok(report)
    }

    /// Process id of the predecessor, while it lives.
    pub(crate) fn predecessor_pid(&self) -> Option<u32> {
        self.predecessor.as_ref().filter(|p| p.lives()).map(|p| p.pid)
    }

    /// New certificates must be usable. Those that are in force already stay as they are: what became of their files
    /// must not keep a release from being exchanged.
    async fn usable(&self, app: &str, name: &str, files: &[CertificateFiles]) -> Result<(), OpError> {
        let known = self.live.service(app, name);
        let known = known.as_ref().map(|s| s.config.certificates.as_slice()).unwrap_or_default();
        let new: Vec<CertificateFiles> = files.iter().filter(|f| !known.contains(f)).cloned().collect();
        if new.is_empty() {
            return Ok(());
        }
        let check = move || new.iter().try_for_each(|f| safelight_certs::load(f).map(drop));
        tokio::task::spawn_blocking(check).await.unwrap_or(Ok(()))?;
        Ok(())
    }

    /// Reads all certificates again, changed or not.
    pub(crate) async fn reload_certificates(&self) -> Vec<CertificateState> {
        let certificates = self.certificates.clone();
        let read = tokio::task::spawn_blocking(move || {
            certificates.refresh(true);
            certificates.report()
        });
        read.await.unwrap_or_default()
    }

    async fn probe(
        &self,
        app: &str,
        name: &str,
        path: &str,
        targets: &[std::net::SocketAddr],
    ) -> Result<(), OpError> {
        let snapshot = self.live.snapshot();
        let missing = || TableError::NoService { app: app.into(), service: name.into() };
        let entry = snapshot.table.app(app).filter(|a| a.services.contains_key(name)).ok_or_else(missing)?;
        // Frameworks refuse hosts that they do not know: ask by a name that users ask by.
        let host = entry.routes.iter().find(|r| r.service == name && !r.host.starts_with('*'));
        for target in targets {
            probe(*target, host.map(|r| r.host.as_str()), path).await?;
        }
        Ok(())
    }

    /// Applies a change to a copy of the table, saves it and puts it in force.
    async fn change(
        &self,
        edit: impl FnOnce(&mut RouteTable) -> Result<(), TableError>,
    ) -> Result<ChangeReport, OpError> {
        let _order = self.order.lock().await;
        if self.handed_over.load(Ordering::Acquire) {
            return Err(OpError::HandedOver);
        }
        let old = self.live.snapshot();
        let mut table = old.table.clone();
        edit(&mut table)?;
        table.normalise();
        table.validate()?;
        if table == old.table {
            return Ok(ChangeReport { table_version: table.version, ..ChangeReport::default() });
        }
        table.version += 1;
        let table_version = table.version;
        let (path, saved, certificates) = (self.routes.clone(), table.clone(), self.certificates.clone());
        let save = tokio::task::spawn_blocking(move || {
            store::save(&path, &saved)?;
            // Before the swap: who is sent on to https finds the certificate there.
            certificates.serve(&tls::named_by(&saved));
            Ok(())
        });
        save.await.unwrap_or_else(|e| {
            Err(StoreError::Io { what: "save", path: self.routes.clone(), source: std::io::Error::other(e) })
        })?;
        let swap_us = u64::try_from(self.live.swap(table).as_micros()).unwrap_or(u64::MAX);
        Ok(ChangeReport { table_version, changed: true, swap_us, drained: DrainReport::default() })
    }

    /// Drains what is leaving of a service, from this change or an earlier one whose caller went away.
    async fn drained(
        &self,
        report: ChangeReport,
        of: Option<(&str, &str)>,
        drain: &Drain,
    ) -> Result<ChangeReport, OpError> {
        self.drain(report, self.live.leaving(of), drain).await
    }

    async fn drain(
        &self,
        mut report: ChangeReport,
        leaving: Vec<Leaving>,
        drain: &Drain,
    ) -> Result<ChangeReport, OpError> {
        // An earlier process that is still finishing routes by its own copy of the table: it has to follow
        // before the release that left may be stopped. No answer means that it has ended.
        let theirs = async { self.predecessor.as_ref()?.follow(drain).await };
        let (ours, theirs) = tokio::join!(self.drain_all(leaving, drain), theirs);
        report.drained = ours;
        report.drained.predecessor = theirs.map(Box::new);
        Ok(report)
    }

    async fn drain_all(&self, leaving: Vec<Leaving>, drain: &Drain) -> DrainReport {
        let started = Instant::now();
        let each = leaving.iter().map(|l| async {
            let report = l.activation.drain(drain).await;
            self.live.left(l.activation.id);
            report
        });
        let mut sum = DrainReport::default();
        for report in futures_util::future::join_all(each).await {
            sum.in_flight += report.in_flight;
            sum.finished += report.finished;
            sum.cut += report.cut;
            sum.upgraded_closed += report.upgraded_closed;
        }
        sum.millis = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        sum
    }
}
