//! Moving users: dark test, promotion, in-place exchange, verification, commit; and all of it back.

use super::patience::tls_only;
use super::{
    Applied, HostWorld, Observed, Record, Step, StepError, failed, from_record, store_failed, to_record,
};
use crate::{going_back, own::Origin, watching::quantiles_ms};
use safelight_engine::{
    config::{Config, Service, url_of},
    driver::{
        journey::{JourneyResult, JourneyRun},
        state::ReleaseRecord,
        traffic::{RouteRules, Switched, Target},
    },
    event::EventKind,
    plan::{Action, PlanKind},
    run::journal::RunState,
    text::Text,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

/// What a promotion remembers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Promoted {
    /// Where users were before.
    pub(super) before: Option<Target>,
    /// Median and 95th percentile of the old release in milliseconds, frozen at the switch.
    pub(super) latency: Option<(f64, f64)>,
    /// What the switch did.
    pub(super) switched: Switched,
}

impl HostWorld {
    pub(super) fn rules(&self, service: &Service) -> Option<RouteRules> {
        let path = service.path.clone()?;
        let hosts =
            if service.hosts.is_empty() { Config::hosts_of(&self.ctx.env) } else { service.hosts.clone() };
        let mut https_ports = Config::https_ports(&self.ctx.env);
        // A service's own hosts are reached the way the environment's main address is.
        let main = url_of(&self.ctx.env).and_then(|u| https_ports.get(&u.host).copied());
        for host in &service.hosts {
            if let Some(port) = main {
                https_ports.entry(host.clone()).or_insert(port);
            }
        }
        let tls = self.ctx.env.tls.as_ref();
        Some(RouteRules {
            hosts,
            path,
            test_hosts: self.ctx.env.test_host.iter().cloned().collect(),
            https_ports,
            certificates: tls.map_or_else(Vec::new, |t| {
                t.certificates.iter().map(|c| c.below(&self.ctx.project)).collect()
            }),
        })
    }

    pub(super) fn target(&self, release: &ReleaseRecord, service: &Service) -> Result<Target, StepError> {
        let addr = self.addr_of(release, service).ok_or_else(|| {
            let (r, s) = (&release.id, &service.name);
            StepError::new(safelight_engine::text!(
                "{s} of {r} has no port: it was never started",
                "{r} 的 {s} 没有端口：从未启动"
            ))
        })?;
        Ok(Target { version: release.id.clone(), addr })
    }

    pub(super) async fn dark_test(&self, run: &RunState, step: &Step) -> Applied {
        let new = self.new_side(run)?;
        self.open_dark_route(run, &new).await?;
        let host = new.ctx.env.test_host.clone().unwrap_or_default();
        let (base, proxy) = self.at_the_proxy(&host).await?;
        let results = new.journeys(step, &base, Some(proxy)).await;
        // A process that has died says more than the journey that met it.
        self.still_well(run).await?;
        let n = results.map_err(|e| tls_only(&base, e))?.len();
        new.reachable(proxy).await?;
        Ok((
            Record::Null,
            safelight_engine::text!("{n} journeys passed on {host}", "{host} 上 {n} 条用户路径通过"),
        ))
    }

    /// Users have to find something at their address; said before they are moved rather than after. Only where the
    /// address is this machine for certain, and without asking for a page: nothing may serve there yet.
    async fn reachable(&self, proxy: SocketAddr) -> Result<(), StepError> {
        let (url, Some(at)) = self.public_address().await? else { return Ok(()) };
        if at == proxy || self.ctx.net.connect(at, Duration::from_secs(5)).await.is_ok() {
            return Ok(());
        }
        Err(StepError::new(safelight_engine::text!(
            "nothing listens at {at}, where users of {url} go; the proxy listens at {proxy}",
            "{url} 的用户会访问 {at}，但那里没有任何监听；代理监听的是 {proxy}"
        ))
        .with_help(safelight_engine::text!(
            "correct `url` in safelight.toml, or `safelight host stop --proxy` and `safelight host start --listen {at}`",
            "修改 safelight.toml 的 `url`，或先 `safelight host stop --proxy` 再 `safelight host start --listen {at}`"
        )))
    }

    /// Runs all journeys against `base`; the first that fails is the error.
    pub(super) async fn journeys(
        &self,
        step: &Step,
        base: &str,
        connect_to: Option<SocketAddr>,
    ) -> Result<Vec<JourneyResult>, StepError> {
        self.journeys_of(step, &self.journey_files(), base, connect_to).await
    }

    /// The same for some of them.
    pub(super) async fn journeys_of(
        &self,
        step: &Step,
        files: &[std::path::PathBuf],
        base: &str,
        connect_to: Option<SocketAddr>,
    ) -> Result<Vec<JourneyResult>, StepError> {
        let mut all = Vec::new();
        for file in files {
            let run = self.journey_run(vec![file.clone()], base, connect_to).await?;
            let results = self.ctx.journeys.run(&run).await.map_err(failed)?;
            for result in results {
                (self.emit)(EventKind::Journey { step: step.id, result: result.clone() });
                if let Some(f) = &result.failure {
                    let name = &result.name;
                    return Err(StepError::new(safelight_engine::text!(
                        "journey {name} failed at {base}: {f}",
                        "用户路径 {name} 在 {base} 失败：{f}"
                    ))
                    .with_help(Text::new(
                        "run it again with `safelight verify`; the message names file, line, and what came instead",
                        "可用 `safelight verify` 重跑；提示中有文件、行号与实际结果",
                    )));
                }
                all.push(result);
            }
        }
        Ok(all)
    }

    /// The journeys to run.
    #[must_use]
    pub fn journey_files(&self) -> Vec<std::path::PathBuf> {
        self.ctx.journey_files()
    }

    /// How to run `files` against `base`.
    ///
    /// # Errors
    /// When the environment file lacks a secret that the journeys need.
    pub async fn journey_run(
        &self,
        files: Vec<std::path::PathBuf>,
        base: &str,
        connect_to: Option<SocketAddr>,
    ) -> Result<JourneyRun, StepError> {
        let j = &self.ctx.config.journeys;
        let env = self.ctx.journey_env().await.map_err(failed)?;
        let mut secrets = BTreeMap::new();
        for (name, variable) in &j.secrets {
            let value = env.get(variable).ok_or_else(|| {
                StepError::new(safelight_engine::text!(
                    "the journeys need the variable {variable}, which the environment file does not set",
                    "用户路径需要变量 {variable}，但环境文件没有设置"
                ))
            })?;
            secrets.insert(name.clone(), value.to_owned());
        }
        Ok(JourneyRun {
            files,
            base_url: base.trim_end_matches('/').to_owned(),
            connect_to,
            variables: j.variables.clone(),
            secrets,
            timeout: j.timeout.0,
        })
    }

    /// The address that users use, and where to reach it when names do not lead there.
    ///
    /// # Errors
    /// When `connect` cannot be read or the proxy does not answer.
    pub async fn public_address(&self) -> Result<(String, Option<SocketAddr>), StepError> {
        let url = self.ctx.env.url.clone();
        let connect = match &self.ctx.env.connect {
            Some(a) => Some(a.parse().map_err(|_| {
                StepError::new(safelight_engine::text!(
                    "`connect = {a}` is not address:port",
                    "`connect = {a}` 不是 地址:端口"
                ))
            })?),
            None => match url_of(&self.ctx.env) {
                Some(u) if u.host == "localhost" || u.host.ends_with(".localhost") => {
                    // This machine, at the port that users type: many resolvers do not know such names.
                    let own = self.ctx.traffic.listen().await.map_err(failed)?;
                    Some(match own.into_iter().find(|a| a.port() == u.port) {
                        Some(a) if !a.ip().is_unspecified() => a,
                        _ => SocketAddr::from(([127, 0, 0, 1], u.port)),
                    })
                }
                _ => None,
            },
        };
        Ok((url, connect))
    }

    pub(super) async fn promote(&self, run: &RunState, service: &str) -> Applied {
        let (new, release) = (self.new_side(run)?, self.new_release(run)?);
        let s = new.service(service)?;
        // Looked at again: what died after its health check must not meet users.
        self.still_well(run).await?;
        let app = self.ctx.route_name();
        if s.path.is_none() {
            return Ok((
                Record::Null,
                Text::new(
                    "only other services use it; they found it at the start",
                    "仅供其他服务使用，启动时已接入",
                ),
            ));
        }
        let old = self.old_side(run)?;
        let before = match &old {
            Some((side, old)) => side.routed(service).map(|s| side.target(old, s)).transpose()?,
            // A route that only the test host reaches belongs to a first release: nobody was served before.
            None => {
                let route = self.ctx.traffic.route(&app, service).await.map_err(failed)?;
                route.and_then(|r| r.stable).filter(|t| t.version != release.id)
            }
        };
        let latency = self.latency_of(&app, service, before.as_ref()).await;
        let switched = new.lead(old.as_ref().map(|(side, _)| side), &release, s).await?;
        if run.plan.restores().is_some() {
            self.ctx.traffic.release(&app, service).await.map_err(failed)?;
        }
        let (n, cut) = (switched.in_flight, switched.cut);
        let summary = safelight_engine::text!(
            "users are moved; {n} requests under way were drained, {cut} cut",
            "用户已切换；{n} 个进行中的请求已排空，{cut} 个被中断"
        );
        Ok((to_record(&Promoted { before, latency, switched }), summary))
    }

    async fn latency_of(&self, app: &str, service: &str, before: Option<&Target>) -> Option<(f64, f64)> {
        let version = &before?.version;
        let counts = self.ctx.traffic.counts(app, service).await.ok()?;
        let v = counts.versions.into_iter().find(|v| v.version == *version)?;
        // Fewer answers than this say nothing about a 95th percentile.
        if v.requests < 100 {
            return None;
        }
        quantiles_ms(&v.latency_buckets)
    }

    pub(super) async fn undo_promote(&self, run: &RunState, service: &str) -> Result<Text, StepError> {
        let new = self.new_side(run)?;
        let s = new.service(service)?;
        if s.path.is_none() {
            return Ok(Text::new("nothing to take back", "无需撤销"));
        }
        if let Some(waiting) = self.wait_for_database(run, s).await? {
            return Ok(waiting);
        }
        let Some((side, old)) = self.old_side(run)? else {
            self.ctx.traffic.remove(&self.ctx.route_name(), service).await.map_err(failed)?;
            return Ok(Text::new(
                "the route is closed; nothing served before",
                "路由已关闭；此前没有版本在服务",
            ));
        };
        let id = &old.id;
        let mut back = side.instead_of(&new, service)?;
        back.retain(|s| s.path.is_some());
        if back.is_empty() {
            self.ctx.traffic.remove(&self.ctx.route_name(), service).await.map_err(failed)?;
            return Ok(safelight_engine::text!(
                "the route is closed; {id} has no {service}",
                "路由已关闭；{id} 没有 {service}"
            ));
        }
        for s in back {
            self.ensure_warm(run, &side, &old, s).await?;
            side.lead(Some(&new), &self.known(id)?, s).await?;
        }
        Ok(safelight_engine::text!("users are back on {id}", "用户已切回 {id}"))
    }

    /// The old release is kept running until the watch is over. Should it have died meanwhile, it is started again
    /// before users are sent to it.
    pub(super) async fn ensure_warm(
        &self,
        run: &RunState,
        side: &Self,
        old: &ReleaseRecord,
        s: &Service,
    ) -> Result<(), StepError> {
        let step = run.plan.steps.first().ok_or_else(|| StepError::new(Text::same("empty plan")))?;
        side.bring_up(step, old, &s.name).await.map(drop)
    }

    /// One port, two releases: requests wait in the proxy while one process is exchanged for the other.
    pub(super) async fn exchange(&self, run: &RunState, step: &Step, service: &str) -> Applied {
        let (new, release) = (self.new_side(run)?, self.new_release(run)?);
        let old = self.old_side(run)?;
        let out = old.as_ref().map(|(side, old)| (side, old));
        let s = new.service(service)?;
        let millis = self.swap_in_place(step, out, (&new, &release), s, false).await?;
        Ok((
            Record::Null,
            safelight_engine::text!(
                "exchanged while requests waited, {millis} ms",
                "请求等待 {millis} 毫秒，原地更换完成"
            ),
        ))
    }

    pub(super) async fn undo_exchange(&self, run: &RunState, service: &str) -> Result<Text, StepError> {
        let step = run.plan.steps.first().ok_or_else(|| StepError::new(Text::same("empty plan")))?;
        let (new, release) = (self.new_side(run)?, self.new_release(run)?);
        if let Some(waiting) = self.wait_for_database(run, new.service(service)?).await? {
            new.stop_release_service(&release.id, service).await?;
            return Ok(waiting);
        }
        let old = self.old_side(run)?;
        let back = old.as_ref().map(|(side, _)| side.instead_of(&new, service)).transpose()?;
        let Some(((side, old), back)) = old.as_ref().zip(back).filter(|(_, b)| !b.is_empty()) else {
            self.ctx.traffic.remove(&self.ctx.route_name(), service).await.map_err(failed)?;
            new.stop_release_service(&release.id, service).await?;
            return Ok(match &old {
                None => Text::new("stopped; nothing served before", "已停止；此前没有版本在服务"),
                Some((_, old)) => {
                    let id = &old.id;
                    safelight_engine::text!("stopped; {id} has no {service}", "已停止；{id} 没有 {service}")
                }
            });
        };
        let mut millis = 0;
        for s in &back {
            millis += self.swap_in_place(step, Some((&new, &release)), (side, old), s, true).await?;
        }
        // One that only had its route in another's place has not been stopped for it.
        if !back.iter().flat_map(|s| new.in_place_of(s)).any(|n| n.name == service) {
            new.stop_release_service(&release.id, service).await?;
        }
        if back.iter().all(|s| s.path.is_none()) {
            self.ctx.traffic.remove(&self.ctx.route_name(), service).await.map_err(failed)?;
        }
        let id = &old.id;
        Ok(safelight_engine::text!(
            "{id} is back on its port, {millis} ms",
            "{id} 已回到原端口，{millis} 毫秒"
        ))
    }

    async fn swap_in_place(
        &self,
        step: &Step,
        out: Option<(&Self, &ReleaseRecord)>,
        (side, into): (&Self, &ReleaseRecord),
        s: &Service,
        undo: bool,
    ) -> Result<u128, StepError> {
        let app = self.ctx.route_name();
        let began = std::time::Instant::now();
        let leaving: Vec<&Service> = out.iter().flat_map(|(o, _)| o.in_place_of(s)).collect();
        let stopping = leaving.iter().map(|s| s.stop_timeout.0).max().unwrap_or_default();
        let hold_for = stopping + s.start_timeout.0;
        let mut held: Vec<&str> = Vec::new();
        for name in leaving.iter().map(|l| l.name.as_str()).chain([s.name.as_str()]) {
            if !held.contains(&name) && self.ctx.traffic.route(&app, name).await.map_err(failed)?.is_some() {
                self.hold(step, name, hold_for, undo).await?;
                held.push(name);
            }
        }
        let swap = async {
            for l in &leaving {
                if let Some((o, release)) = out {
                    o.stop_release_service(&release.id, &l.name).await?;
                }
            }
            side.bring_up(step, into, &s.name).await?;
            // Under another name, but on the same port: who waited there finds the new process there, too.
            for name in held.iter().filter(|n| **n != s.name) {
                self.ctx.traffic.release(&app, name).await.map_err(failed)?;
            }
            if s.path.is_some() {
                side.lead(out.map(|(o, _)| o), &self.known(&into.id)?, s).await?;
            }
            Ok(())
        };
        let result = swap.await;
        // On failure too: held requests must get an answer, and the undo holds again by itself. The proxy lets them go
        // before anything in it can fail; one that was started again holds them until it is told, or until their lease ends.
        for name in held {
            if let Err(e) = self.ctx.traffic.release(&app, name).await {
                self.progress(step, Text::same(e.to_string()));
            }
        }
        result.map(|()| began.elapsed().as_millis())
    }

    pub(super) async fn verify(&self, run: &RunState, step: &Step) -> Applied {
        self.proxy_answers().await?;
        let (new, release) = (self.new_side(run)?, self.new_release(run)?);
        for s in &new.ctx.config.services {
            let target = new.target(&release, s)?;
            let url = format!("http://{}{}", target.addr, s.health);
            let process = self.ctx.process_name(&s.name, &release.id);
            let before = self.ctx.manager.status(&process).await.map_err(failed)?;
            let wrong = match self.ctx.net.get(&url, None, Duration::from_secs(10)).await {
                Ok(a) if (200..300).contains(&a.status) => {
                    self.not_its_own(&process, target.addr, before.as_ref()).await?
                }
                Ok(a) => Some(Text::same(format!("HTTP {}", a.status))),
                Err(e) => Some(Text::same(e.to_string())),
            };
            if let Some(got) = wrong {
                let (name, en, zh) = (&s.name, got.en, got.zh);
                return Err(StepError::new(safelight_engine::text!(
                    "{name} is not healthy after the switch: GET {url}: {en}",
                    "{name} 切换后不健康：GET {url}：{zh}"
                )));
            }
        }
        let (url, connect) = new.public_address().await?;
        let answer = self.ctx.net.get(&url, connect, Duration::from_secs(10)).await;
        match answer {
            Ok(a) if a.status < 400 => {}
            other => {
                let got = other.map_or_else(|e| e.to_string(), |a| format!("HTTP {}", a.status));
                return Err(StepError::new(safelight_engine::text!(
                    "users get no page: GET {url}: {got}",
                    "用户打不开页面：GET {url}：{got}"
                )));
            }
        }
        let n = new.journeys(step, &url, connect).await?.len();
        Ok((
            Record::Null,
            safelight_engine::text!("{url} answers, {n} journeys passed", "{url} 正常，{n} 条用户路径通过"),
        ))
    }

    /// Leads users to the release on record where the proxy leads them elsewhere, and closes test routes.
    ///
    /// # Errors
    /// When the proxy does not do it.
    pub(crate) async fn mend_routes(&self, run_is_open: impl Fn() -> bool) -> Result<(), StepError> {
        let (current, _) =
            self.ctx.store.serving(self.ctx.app(), &self.ctx.env_name).map_err(store_failed)?;
        let Some(release) = current.map(|id| self.known(&id)).transpose()? else { return Ok(()) };
        let app = self.ctx.route_name();
        for s in &self.ctx.config.services {
            let (Some(rules), Ok(target)) = (self.rules(s), self.target(&release, s)) else { continue };
            let route = self.ctx.traffic.route(&app, &s.name).await.map_err(failed)?;
            if run_is_open() {
                return Ok(());
            }
            if route.as_ref().and_then(|r| r.stable.as_ref()) != Some(&target) {
                self.ctx
                    .traffic
                    .switch(&app, &s.name, &rules, &target, s.drain_timeout.0)
                    .await
                    .map_err(failed)?;
                let (name, id) = (&s.name, &release.id);
                tracing::warn!("users of {name} were not led to {id}, which is on record; now they are");
            }
            if route.is_some_and(|r| r.candidate.is_some()) {
                self.ctx.traffic.set_candidate(&app, &s.name, &rules, None).await.map_err(failed)?;
            }
        }
        // Without its own configuration nobody knows what the release does not have.
        let known = self.ctx.own.as_ref().is_some_and(|o| o.origin != Origin::Present);
        for name in self.ctx.traffic.services(&app).await.map_err(failed)? {
            if !known || self.routed(&name).is_some() {
                continue;
            }
            if run_is_open() {
                return Ok(());
            }
            self.ctx.traffic.remove(&app, &name).await.map_err(failed)?;
            let id = &release.id;
            tracing::warn!(
                "{name} had a route, and {id}, which is on record, has no such service; it is closed"
            );
        }
        Ok(())
    }

    pub(super) fn observe_commit(&self, run: &RunState) -> Result<Observed, StepError> {
        let (current, _) =
            self.ctx.store.serving(self.ctx.app(), &self.ctx.env_name).map_err(store_failed)?;
        Ok(if current.as_deref() == Some(run.plan.to.id.as_str()) {
            Observed::Applied(Record::Null)
        } else {
            Observed::NotApplied
        })
    }

    pub(super) async fn commit(&self, run: &RunState, step: &Step) -> Applied {
        // Users are on the new release and it passed: a test route that stays open is no reason to take that back.
        if let Err(e) = self.close_dark_route(run).await {
            let (en, zh) = (&e.what.en, &e.what.zh);
            self.progress(
                step,
                Text::new(
                    format!("the test host name stays open until the proxy is started again: {en}"),
                    format!("测试域名在代理重启前仍可访问：{zh}"),
                ),
            );
        }
        let mut release = self.new_release(run)?;
        release.verified.get_or_insert_with(jiff::Timestamp::now);
        self.save(&release)?;
        let previous = match run.plan.kind {
            PlanKind::Rollback => {
                going_back::before(&self.ctx.store, self.ctx.app(), &self.ctx.env_name, &release.id)
                    .map_err(store_failed)?
            }
            _ => run.plan.from.as_ref().map(|f| f.id.clone()),
        };
        self.ctx
            .store
            .set_serving(self.ctx.app(), &self.ctx.env_name, Some(&release.id), previous.as_deref())
            .map_err(store_failed)?;
        let id = &release.id;
        Ok((Record::Null, safelight_engine::text!("{id} serves, verified", "{id} 已验证并开始服务")))
    }

    pub(super) async fn undo_commit(&self, run: &RunState) -> Result<Text, StepError> {
        if let Ok(mut release) = self.new_release(run)
            && run.plan.kind == PlanKind::Deploy
        {
            // It was undone: nobody may roll back to it.
            release.verified = None;
            self.save(&release)?;
        }
        let from = run.plan.from.as_ref().map(|f| f.id.clone());
        let previous = match &from {
            Some(from) => going_back::before(&self.ctx.store, self.ctx.app(), &self.ctx.env_name, from),
            None => Ok(None),
        }
        .map_err(store_failed)?;
        self.ctx
            .store
            .set_serving(self.ctx.app(), &self.ctx.env_name, from.as_deref(), previous.as_deref())
            .map_err(store_failed)?;
        Ok(Text::new("the old release is on record again", "已恢复旧版本的记录"))
    }

    /// What the promotions of this run remember, by service.
    pub(super) fn promotions(run: &RunState) -> BTreeMap<String, Promoted> {
        let mut out = BTreeMap::new();
        for s in &run.plan.steps {
            if let Action::Promote { service } = &s.action
                && let Some(p) = run.record_of(|a| *a == s.action).and_then(from_record::<Promoted>)
            {
                out.insert(service.clone(), p);
            }
        }
        out
    }
}
