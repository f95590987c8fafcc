//! Starting and stopping the processes of a release, and the health gate.

use super::{Applied, HostWorld, Step, StepError, failed, from_record, redact, secret_values, to_record};
use safelight_engine::{
    config::Service,
    driver::{
        net::NetError,
        process::{ProcessSpec, ProcessState},
        state::ReleaseRecord,
    },
    plan::{Action, PlanKind},
    run::journal::RunState,
    text::Text,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

/// Private ports are taken from here: below the kernel's ephemeral range, above the ports people choose.
const PRIVATE_PORTS: std::ops::Range<u16> = 20_000..30_000;
const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// What a start remembers.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Started {
    addr: SocketAddr,
    /// How often it had to be started again before it was healthy.
    restarts: u32,
    /// When it was.
    healthy: jiff::Timestamp,
}

/// Why a process is not healthy, for what is said about it.
enum Unwell {
    /// It has ended; how, when that is known.
    Exited(Option<String>),
    /// It does not listen at its port itself.
    NotThere,
    /// It listens, and its answer is none, or not that of a healthy one.
    Answers,
}

/// What a process wrote last.
#[derive(Default)]
pub(super) struct LastWords {
    lines: Vec<String>,
    file: Option<std::path::PathBuf>,
}

impl LastWords {
    /// Line by line, each marked as somebody else's words.
    pub(super) fn shown(&self) -> String {
        self.lines.join("\n")
    }

    /// Where all of it is, for the end of a sentence in both languages.
    pub(super) fn whole(&self) -> (String, String) {
        let Some(file) = self.file.as_ref().map(|f| f.display()) else { return Default::default() };
        (format!(", all of its log is in {file}"), format!("，完整日志：{file}"))
    }
}

/// How much of a log is looked at for its last words, and how many lines are shown of each file.
const TAIL_BYTES: u64 = 16 * 1024;
const TAIL_LINES: usize = 10;

/// How long a process that is brought back may take until it listens, before requests that wait for it are let go.
const REVIVAL: Duration = Duration::from_secs(5);

/// How long a new process lives on after its health check before users meet it: some die of their first work.
const SETTLE: Duration = Duration::from_secs(1);
/// How long a process that should not run may take to end before it is killed.
const STRAY_STOP: Duration = Duration::from_secs(10);

impl HostWorld {
    pub(super) fn service(&self, name: &str) -> Result<&Service, StepError> {
        self.ctx.config.services.iter().find(|s| s.name == name).ok_or_else(|| {
            StepError::new(safelight_engine::text!(
                "the configuration has no service {name}",
                "配置中没有服务 {name}"
            ))
        })
    }

    pub(super) fn addr_of(&self, release: &ReleaseRecord, service: &Service) -> Option<SocketAddr> {
        // The port it was started on comes first: a rehearsal gives one to a service with a fixed port, too.
        let port = release.ports.iter().find(|(s, _)| *s == service.name).map(|(_, p)| *p);
        let port = port.or(service.fixed_port);
        port.map(|p| SocketAddr::new(LOOPBACK, p))
    }

    pub(super) async fn start(&self, run: &RunState, step: &Step, service: &str) -> Applied {
        let (new, release) = (self.new_side(run)?, self.new_release(run)?);
        let (addr, millis) = new.bring_up(step, &release, service).await?;
        let name = self.ctx.process_name(service, &release.id);
        let restarts = new.ctx.manager.status(&name).await.map_err(failed)?.map_or(0, |p| p.restarts);
        Ok((
            to_record(&Started { addr, restarts, healthy: jiff::Timestamp::now() }),
            safelight_engine::text!("healthy at {addr} after {millis} ms", "{addr} 健康，用时 {millis} 毫秒"),
        ))
    }

    /// Starts a service of a release, or finds it running, and waits until it is healthy.
    pub(super) async fn bring_up(
        &self,
        step: &Step,
        release: &ReleaseRecord,
        service: &str,
    ) -> Result<(SocketAddr, u128), StepError> {
        let service = self.service(service)?;
        let name = self.ctx.process_name(&service.name, &release.id);
        let running = self.ctx.manager.status(&name).await.map_err(failed)?;
        let (managed, alive) = running.map_or((false, false), |p| (true, p.state == ProcessState::Running));
        // A process manager may take long to answer: what is not there needs no stopping.
        if managed && !alive {
            self.ctx.manager.stop(&name, service.stop_timeout.0).await.map_err(failed)?;
        }
        let mut release = release.clone();
        let known = self.addr_of(&release, service);
        let stays = match known {
            // The port of a process that has died is taken again when it is free: its fellows were told of it.
            Some(a) if !alive && service.fixed_port.is_none() => {
                self.ctx.host.can_bind(LOOPBACK, a.port()).await.map_err(failed)?
            }
            _ => true,
        };
        let addr = match known.filter(|_| stays) {
            Some(addr) => addr,
            None => {
                let port = self.free_port(&release).await?;
                // Recorded before the start: whoever resumes finds the process where it is.
                release.ports.retain(|(s, _)| *s != service.name);
                release.ports.push((service.name.clone(), port));
                self.save(&release)?;
                SocketAddr::new(LOOPBACK, port)
            }
        };
        let spec = self.spec(&release, service, addr, name, &[]).await?;
        if !alive {
            self.ctx.manager.start(&spec).await.map_err(failed)?;
        }
        let millis = self.wait_healthy(step, &spec, service, addr).await?;
        Ok((addr, millis))
    }

    /// Has every process that this run started lived on since it was healthy? One that died and was started again is
    /// not fit to meet users.
    pub(super) async fn still_well(&self, run: &RunState) -> Result<(), StepError> {
        let (new, release) = (self.new_side(run)?, self.new_release(run)?);
        for s in new.ctx.config.services.iter().filter(|s| s.fixed_port.is_none()) {
            let started = run
                .record_of(|a| *a == Action::Start { service: s.name.clone() })
                .and_then(from_record::<Started>);
            let Some(started) = started else { continue };
            // A release that is gone back to has served before.
            if run.plan.kind == PlanKind::Deploy {
                let lived = jiff::Timestamp::now().duration_since(started.healthy);
                let lived = Duration::try_from(lived).unwrap_or_default();
                tokio::time::sleep(SETTLE.saturating_sub(lived)).await;
            }
            let name = self.ctx.process_name(&s.name, &release.id);
            let now = new.ctx.manager.status(&name).await.map_err(failed)?;
            let runs = now.as_ref().is_some_and(|p| p.state == ProcessState::Running);
            if runs && now.as_ref().is_some_and(|p| p.restarts <= started.restarts) {
                continue;
            }
            let exit = now.and_then(|p| p.last_exit).map(|e| format!(" ({e})")).unwrap_or_default();
            let spec = new.spec(&release, s, started.addr, name, &[]).await?;
            let tail = new.last_words(&spec).await.shown();
            let name = &s.name;
            return Err(StepError::new(safelight_engine::text!(
                "{name} died after it was healthy{exit}\n{tail}",
                "{name} 在健康之后退出{exit}\n{tail}"
            ))
            .with_help(Text::new(
                "it would have died under users as well; its last log lines stand above, the rest in `safelight logs`",
                "它在用户面前同样会退出；上面是它最后几行日志，更多见 `safelight logs`",
            )));
        }
        Ok(())
    }

    pub(super) async fn free_port(&self, release: &ReleaseRecord) -> Result<u16, StepError> {
        let taken: Vec<u16> = self
            .ctx
            .store
            .releases(self.ctx.app(), &self.ctx.env_name)
            .map_err(super::store_failed)?
            .iter()
            .flat_map(|r| r.ports.iter().map(|(_, p)| *p))
            .chain(release.ports.iter().map(|(_, p)| *p))
            .collect();
        let span = PRIVATE_PORTS.end - PRIVATE_PORTS.start;
        // Begin somewhere else each time, so that two apps do not race for the same port.
        let seed = jiff::Timestamp::now().as_nanosecond().unsigned_abs() % u128::from(span);
        let seed = u16::try_from(seed).unwrap_or(0);
        for i in 0..span {
            let port = PRIVATE_PORTS.start + (seed + i) % span;
            if !taken.contains(&port) && self.ctx.host.can_bind(LOOPBACK, port).await.map_err(failed)? {
                return Ok(port);
            }
        }
        Err(StepError::new(Text::new("no private port is free", "没有空闲的私有端口")))
    }

    pub(super) async fn spec(
        &self,
        release: &ReleaseRecord,
        service: &Service,
        addr: SocketAddr,
        name: String,
        over: &[(String, String)],
    ) -> Result<ProcessSpec, StepError> {
        let vars = self.env_of(release).await?.vars;
        let at = |s: &Service| self.addr_of(release, s).map(|a| a.to_string());
        let mut spec = self.spec_of(&release.id, service, vars, &addr.port().to_string(), at);
        spec.name = name;
        spec.env.extend(over.iter().cloned());
        Ok(spec)
    }

    /// What a service is started with. `at` says where the services of its release listen, as far as that is known.
    pub(super) fn spec_of(
        &self,
        release: &str,
        service: &Service,
        vars: BTreeMap<String, String>,
        port: &str,
        at: impl Fn(&Service) -> Option<String>,
    ) -> ProcessSpec {
        let fill = |text: &str| self.fill(text, release, port, &at);
        let mut env: BTreeMap<String, String> = self.path_env().into_iter().collect();
        for key in ["HOME", "USER", "LANG", "TZ"] {
            if let Ok(v) = std::env::var(key) {
                env.insert(key.to_owned(), v);
            }
        }
        if let (Some(c), Some(d)) = (&self.ctx.config.database, &self.ctx.database) {
            env.extend(self.database_env(c, d));
        }
        env.extend(vars);
        env.extend(service.env.iter().map(|(k, v)| (k.clone(), fill(v))));
        env.insert("PORT".to_owned(), port.to_owned());
        env.insert("SAFELIGHT_RELEASE".to_owned(), release.to_owned());
        ProcessSpec {
            name: self.ctx.process_name(&service.name, release),
            argv: service.command.argv().iter().map(|a| fill(a)).collect(),
            cwd: self.ctx.dirs.release(release),
            env,
            log_dir: self.ctx.dirs.logs(),
            stop_timeout: service.stop_timeout.0,
        }
    }

    /// Fills in `{port}`, `{release}`, `{shared}` and `{name.url}`.
    fn fill(
        &self,
        text: &str,
        release: &str,
        port: &str,
        at: &impl Fn(&Service) -> Option<String>,
    ) -> String {
        let mut out = text
            .replace("{port}", port)
            .replace("{release}", release)
            .replace("{shared}", &self.ctx.dirs.shared().to_string_lossy());
        for s in &self.ctx.config.services {
            if let Some(a) = at(s) {
                out = out.replace(&format!("{{{}.url}}", s.name), &format!("http://{a}"));
            }
        }
        out
    }

    pub(super) async fn wait_healthy(
        &self,
        step: &Step,
        spec: &ProcessSpec,
        service: &Service,
        addr: SocketAddr,
    ) -> Result<u128, StepError> {
        let url = format!("http://{addr}{}", service.health);
        let limit = service.start_timeout.0;
        let started = Instant::now();
        let mut told = Instant::now();
        let (mut last, mut what);
        loop {
            let before = self.ctx.manager.status(&spec.name).await.map_err(failed)?;
            (what, last) = match self.ctx.net.get(&url, None, Duration::from_secs(5).min(limit)).await {
                Ok(a) if (200..300).contains(&a.status) => {
                    match self.not_its_own(&spec.name, addr, before.as_ref()).await? {
                        None => return Ok(started.elapsed().as_millis()),
                        Some(why) => (Unwell::NotThere, why),
                    }
                }
                Ok(a) => (Unwell::Answers, Text::same(format!("HTTP {}", a.status))),
                Err(NetError::Refused) => (Unwell::NotThere, Text::new("nothing listens there", "无人监听")),
                Err(e) => (Unwell::Answers, Text::same(e.to_string())),
            };
            let status = self.ctx.manager.status(&spec.name).await.map_err(failed)?;
            let (ended, restarts) =
                status.as_ref().map_or((true, 0), |p| (p.state == ProcessState::Stopped, p.restarts));
            // An app that dies four times while starting will not come up by waiting.
            if ended || restarts > 3 || started.elapsed() >= limit {
                if restarts > 0 || status.as_ref().is_none_or(|p| p.state != ProcessState::Running) {
                    what = Unwell::Exited(status.and_then(|p| p.last_exit));
                }
                return Err(self.unhealthy(spec, service, (&url, &last), &what, started.elapsed()).await);
            }
            if told.elapsed() > Duration::from_millis(1500) {
                let s = started.elapsed().as_secs();
                let (en, zh) = (&last.en, &last.zh);
                self.progress(
                    step,
                    safelight_engine::text!("GET {url}: {en} ({s} s)", "GET {url}：{zh}（{s} 秒）"),
                );
                told = Instant::now();
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn unhealthy(
        &self,
        spec: &ProcessSpec,
        service: &Service,
        (url, last): (&str, &Text),
        what: &Unwell,
        waited: Duration,
    ) -> StepError {
        let words = self.last_words(spec).await;
        let (name, s, tail) = (&service.name, waited.as_secs(), words.shown());
        let (en, zh, health) = (&last.en, &last.zh, &service.health);
        let error = match what {
            Unwell::Exited(how) => {
                let (how, how_zh) =
                    how.as_ref().map(|h| (format!(" ({h})"), format!("（{h}）"))).unwrap_or_default();
                safelight_engine::text!(
                    "{name} was not healthy: it exited{how} within {s} s; GET {url}: {en}\n{tail}",
                    "{name} 未健康：进程在 {s} 秒内退出{how_zh}；GET {url}：{zh}\n{tail}"
                )
            }
            Unwell::NotThere | Unwell::Answers => safelight_engine::text!(
                "{name} was not healthy within {s} s: GET {url}: {en}\n{tail}",
                "{name} 在 {s} 秒内未健康：GET {url}：{zh}\n{tail}"
            ),
        };
        let (more_en, more_zh) = words.whole();
        StepError::new(error).with_help(match what {
            Unwell::Exited(_) => safelight_engine::text!(
                "it ended by itself: the last lines that it wrote stand above{more_en}",
                "进程自行退出：上面是它最后输出的几行{more_zh}"
            ),
            Unwell::NotThere => safelight_engine::text!(
                "the service itself must listen on 127.0.0.1 at the port in the variable PORT; its last log lines stand above{more_en}",
                "服务须由其自身进程监听 127.0.0.1 上变量 PORT 指定的端口；上面是它最后几行日志{more_zh}"
            ),
            Unwell::Answers => safelight_engine::text!(
                "the service listens, but `health` ({health}) must answer with 2xx, and in time: look at what it does there; its last log lines stand above{more_en}",
                "服务已在监听，但 `health`（{health}）须及时返回 2xx：请检查该路径的处理；上面是它最后几行日志{more_zh}"
            ),
        })
    }

    /// The last lines of a process that tell something, without secrets, and where the whole log is.
    async fn last_words(&self, spec: &ProcessSpec) -> LastWords {
        let secrets: Vec<String> = {
            let mut f = safelight_engine::driver::env::EnvFile::default();
            f.vars.clone_from(&spec.env);
            secret_values(&f, std::iter::empty())
        };
        let mut words = LastWords::default();
        let Ok(Some(files)) = self.ctx.manager.logs(&spec.name).await else { return words };
        for path in [files.stdout, files.stderr] {
            let text = crate::logs::tail(&path, TAIL_BYTES).unwrap_or_default();
            let lines = crate::logs::telling(&text, TAIL_LINES);
            if !lines.is_empty() {
                // What went wrong is on standard error, when there is anything there.
                words.file = Some(path);
            }
            words.lines.extend(lines.iter().map(|l| format!("  | {}", redact(l, &secrets))));
        }
        words
    }

    /// What a service of the release that is being watched said last: its words are gone from `safelight logs` once users
    /// are back on the release before. Nothing is said when its secrets cannot be known.
    pub(super) async fn last_words_of(&self, run: &RunState, service: &str) -> Option<LastWords> {
        let (new, release) = (self.new_side(run).ok()?, self.new_release(run).ok()?);
        let s = new.service(service).ok()?;
        let addr = new.addr_of(&release, s)?;
        let name = new.ctx.process_name(service, &release.id);
        let spec = new.spec(&release, s, addr, name, &[]).await.ok()?;
        Some(new.last_words(&spec).await).filter(|w| !w.lines.is_empty())
    }

    pub(super) async fn undo_start(&self, run: &RunState, service: &str) -> Result<Text, StepError> {
        self.new_side(run)?.stop_release_service(&run.plan.to.id, service).await?;
        Ok(safelight_engine::text!("{service} is stopped", "{service} 已停止"))
    }

    pub(super) async fn stop_release_service(&self, release: &str, service: &str) -> Result<(), StepError> {
        let limit = self.service(service)?.stop_timeout.0;
        self.ctx.manager.stop(&self.ctx.process_name(service, release), limit).await.map_err(failed)
    }

    /// Does a process manager of the user's own look after its processes?
    pub(crate) async fn has_keeper(&self) -> bool {
        self.ctx.manager.has_keeper().await
    }

    /// After a reboot: starts what served, where it is not running. Routes point at the recorded ports already.
    ///
    /// # Errors
    /// When a process cannot be started or does not become healthy.
    pub(crate) async fn revive(&self) -> Result<(), StepError> {
        let (current, _) =
            self.ctx.store.serving(self.ctx.app(), &self.ctx.env_name).map_err(super::store_failed)?;
        let Some(release) = current.map(|id| self.known(&id)).transpose()? else { return Ok(()) };
        for s in &self.ctx.config.services {
            let Some(addr) = self.addr_of(&release, s) else { continue };
            let name = self.ctx.process_name(&s.name, &release.id);
            let known = self.ctx.manager.status(&name).await.map_err(failed)?;
            if known.is_some_and(|p| p.state != ProcessState::Stopped) {
                continue;
            }
            // An exchange that was interrupted has put the new release on the one port of the old one.
            if !self.ctx.host.can_bind(LOOPBACK, addr.port()).await.map_err(failed)? {
                tracing::warn!("{name} is not started: port {} is in use", addr.port());
                continue;
            }
            let spec = self.spec(&release, s, addr, name, &[]).await?;
            self.ctx.manager.start(&spec).await.map_err(failed)?;
            tracing::info!("{} was not running and is started again", spec.name);
        }
        Ok(())
    }

    /// Ends processes of releases that do not serve: a stale `pm2 save`, resurrected by a reboot, brings old releases back
    /// beside the one that serves. Only while no run is open, which `idle` is asked about again before each. A run that
    /// begins right then waits in its start for the manager to be done with the same name.
    ///
    /// # Errors
    /// When a process cannot be ended.
    pub(crate) async fn end_strays(&self, idle: impl Fn() -> bool) -> Result<(), StepError> {
        let (current, _) =
            self.ctx.store.serving(self.ctx.app(), &self.ctx.env_name).map_err(super::store_failed)?;
        let Some(current) = current else { return Ok(()) };
        let all = self.ctx.manager.list(&self.ctx.process_prefix()).await.map_err(failed)?;
        for stray in all.iter().filter(|p| p.name.rsplit('.').next() != Some(&current)) {
            if !idle() {
                return Ok(());
            }
            tracing::warn!("{} runs beside {current}, which serves: it is ended", stray.name);
            self.ctx.manager.stop(&stray.name, STRAY_STOP).await.map_err(failed)?;
        }
        Ok(())
    }

    /// Ends holds that a run has left that nobody works on. A hold of a run that is being worked on stays: the process
    /// behind it is being exchanged. Who waited is let go once the process listens, or when there is no more hope of it.
    ///
    /// # Errors
    /// When the proxy does not do it.
    pub(crate) async fn end_holds(&self, worked_on: impl Fn() -> bool) -> Result<(), StepError> {
        let app = self.ctx.route_name();
        for name in self.ctx.traffic.services(&app).await.map_err(failed)? {
            let route = self.ctx.traffic.route(&app, &name).await.map_err(failed)?;
            let Some(route) = route.filter(|r| r.held) else { continue };
            if let Some(target) = route.stable {
                let until = Instant::now() + REVIVAL;
                while Instant::now() < until
                    && self.ctx.net.connect(target.addr, Duration::from_secs(1)).await.is_err()
                {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
            if worked_on() {
                return Ok(());
            }
            self.ctx.traffic.release(&app, &name).await.map_err(failed)?;
            tracing::warn!("requests for {name} were held by a run that nobody works on; they are let go");
        }
        Ok(())
    }
}
