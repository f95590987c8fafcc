//! The rehearsal: on a restored copy of the database migrate, then let the new release and after it the old one run there
//! and do what users do. What the second part proves is the way back.

use super::{Applied, HostWorld, Record, Step, StepError, failed, secret_values};
use safelight_engine::{
    config::{Service, url_of},
    driver::{state::ReleaseRecord, traffic::Target},
    run::journal::RunState,
    text::Text,
};
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
};

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Where a rehearsed release is reached as users reach it.
enum Entrance {
    /// One process answers everything.
    Process(SocketAddr),
    /// The proxy's test route leads to its processes.
    TestHost(String),
}

impl HostWorld {
    pub(super) async fn rehearse(&self, run: &RunState, step: &Step) -> Applied {
        let (config, _) = self.database()?;
        if self.backup_of(run).is_none() {
            return Ok((Record::Null, Text::new("there is no database yet", "尚无数据库")));
        }
        let Some(old) = self.old_release(run)? else {
            return Ok((Record::Null, Text::new("no release served before", "此前没有版本在服务")));
        };
        let new = self.new_release(run)?;
        let sides = (self.new_side(run)?, self.of(&old.id)?);
        let over = sides.0.scratch_env(run);
        let env = self.env_of(&new).await?;
        let secrets = secret_values(&env, std::iter::empty());
        if let Some(migrate) = &config.migrate {
            self.command(step, migrate, &self.ctx.dirs.release(&new.id), &env, &over, &secrets).await?;
        }
        for file in &self.ctx.config.journeys.skip_in_rehearsal {
            let file = file.display();
            self.progress(
                step,
                safelight_engine::text!(
                    "{file} is left out of the rehearsal (`skip-in-rehearsal`)",
                    "演练中跳过 {file}（`skip-in-rehearsal`）"
                ),
            );
        }
        let result = async {
            sides.0.rehearse_release(run, step, &new, &over).await.map_err(|e| new_fails(&new.id, e))?;
            self.stop_rehearsed(run).await?;
            let over = sides.1.scratch_env(run);
            sides.1.rehearse_release(run, step, &old, &over).await.map_err(|e| old_fails(&old.id, e))
        };
        let result = result.await;
        self.stop_rehearsed(run).await?;
        let passed = result?;
        let (old, new) = (&old.id, &new.id);
        Ok((
            Record::Null,
            safelight_engine::text!(
                "{new} and {old} run on the migrated copy, {passed} journeys passed with {old}: the way back is proven",
                "{new} 与 {old} 都能在迁移后的副本上运行，{old} 通过 {passed} 条用户路径：回滚路径已验证"
            ),
        ))
    }

    pub(super) async fn undo_rehearse(&self, run: &RunState) -> Result<Text, StepError> {
        self.stop_rehearsed(run).await?;
        Ok(Text::new("rehearsal processes are gone", "演练进程已清理"))
    }

    /// Tells a release of the scratch database. Each by its own variable: what looks elsewhere would find the live one.
    fn scratch_env(&self, run: &RunState) -> Vec<(String, String)> {
        let (Some(config), Some(db)) = (&self.ctx.config.database, &self.ctx.database) else {
            return Vec::new();
        };
        vec![(config.url_variable.clone(), db.url_for(&self.scratch(run)))]
    }

    /// Starts all services of a release on the scratch database and runs the journeys against them. Returns how many
    /// passed.
    async fn rehearse_release(
        &self,
        run: &RunState,
        step: &Step,
        release: &ReleaseRecord,
        over: &[(String, String)],
    ) -> Result<usize, StepError> {
        let mut tried = Vec::new();
        for service in &self.ctx.config.services {
            self.rehearse_service(run, step, release, service, over, &mut tried).await?;
        }
        let files = self.ctx.rehearsed_journeys();
        if files.is_empty() {
            return Ok(0);
        }
        let at = |s: &Service| {
            tried.iter().find(|(n, _)| *n == s.name).map(|(_, p)| SocketAddr::new(LOOPBACK, *p))
        };
        let routed: Vec<(&Service, SocketAddr)> = self
            .ctx
            .config
            .services
            .iter()
            .filter(|s| s.path.is_some())
            .filter_map(|s| Some((s, at(s)?)))
            .collect();
        let Some(entrance) = self.entrance(step, release, &routed).await? else { return Ok(0) };
        let (base, to) = match entrance {
            Entrance::Process(addr) => {
                let host = url_of(&self.ctx.env).map_or_else(|| addr.ip().to_string(), |u| u.host);
                (format!("http://{host}:{}", addr.port()), addr)
            }
            Entrance::TestHost(host) => self.at_the_proxy(&host).await?,
        };
        let mut passed = 0;
        for file in files {
            match self.journeys_of(step, std::slice::from_ref(&file), &base, Some(to)).await {
                Ok(results) => passed += results.len(),
                Err(e) => {
                    self.not_of_this_release(run, step, release, file, e).await?;
                }
            }
        }
        Ok(passed)
    }

    /// A journey may be about what only the new release can do. One that the old release fails where it serves users,
    /// too, says nothing about the migration.
    async fn not_of_this_release(
        &self,
        run: &RunState,
        step: &Step,
        release: &ReleaseRecord,
        file: PathBuf,
        failure: StepError,
    ) -> Result<(), StepError> {
        if release.id == run.plan.to.id {
            return Err(failure);
        }
        let (url, connect) = self.public_address().await?;
        if self.journeys_of(step, std::slice::from_ref(&file), &url, connect).await.is_ok() {
            return Err(failure);
        }
        let (file, old) = (file.display(), &release.id);
        self.progress(
            step,
            safelight_engine::text!(
                "{file} fails with {old} where it serves users, too: it is about the new release, and does not count here",
                "{old} 在线上也无法通过 {file}：该路径针对新版本，此处不计"
            ),
        );
        Ok(())
    }

    /// How to reach what was started; `None`, and told, when there is no way.
    async fn entrance(
        &self,
        step: &Step,
        release: &ReleaseRecord,
        routed: &[(&Service, SocketAddr)],
    ) -> Result<Option<Entrance>, StepError> {
        if let [(_, addr)] = routed {
            return Ok(Some(Entrance::Process(*addr)));
        }
        let Some(host) = &self.ctx.env.test_host else {
            self.progress(
                step,
                Text::new(
                    "the journeys are not run: users reach several services, and there is no `test-host` to reach them all by",
                    "未运行用户路径：用户会访问多个服务，而没有可统一访问它们的 `test-host`",
                ),
            );
            return Ok(None);
        };
        // Another version than the one that serves: the old release has its namesake running.
        let version = format!("{}-rehearsal", release.id);
        for (service, addr) in routed {
            if let Some(rules) = self.rules(service) {
                let target = Target { version: version.clone(), addr: *addr };
                let app = self.ctx.route_name();
                self.ctx
                    .traffic
                    .set_candidate(&app, &service.name, &rules, Some(&target))
                    .await
                    .map_err(failed)?;
            }
        }
        Ok(Some(Entrance::TestHost(host.clone())))
    }

    async fn rehearse_service(
        &self,
        run: &RunState,
        step: &Step,
        release: &ReleaseRecord,
        service: &Service,
        over: &[(String, String)],
        tried: &mut Vec<(String, u16)>,
    ) -> Result<(), StepError> {
        let mut scratch_release = release.clone();
        scratch_release.ports.clone_from(tried);
        let port = self.free_port(&scratch_release).await?;
        tried.push((service.name.clone(), port));
        scratch_release.ports.clone_from(tried);
        let addr = SocketAddr::new(LOOPBACK, port);
        let name = self.rehearsal_name(run, &service.name);
        let mut spec = self.spec(&scratch_release, service, addr, name, over).await?;
        spec.env.insert("SAFELIGHT_REHEARSAL".to_owned(), "1".to_owned());
        // One that an interrupted rehearsal left runs on another port.
        self.ctx.manager.stop(&spec.name, service.stop_timeout.0).await.map_err(failed)?;
        self.ctx.manager.start(&spec).await.map_err(failed)?;
        self.wait_healthy(step, &spec, service, addr).await.map(drop)
    }

    fn rehearsal_name(&self, run: &RunState, service: &str) -> String {
        self.ctx.process_name(service, &format!("{}-rehearsal", run.plan.to.id))
    }

    /// Ends what was rehearsed, and its test route first: nobody is led to what is gone.
    async fn stop_rehearsed(&self, run: &RunState) -> Result<(), StepError> {
        self.close_dark_route(run).await?;
        let (new, old) = (self.new_side(run)?, self.old_side(run)?);
        for side in std::iter::once(&new).chain(old.as_ref().map(|(side, _)| side)) {
            for s in &side.ctx.config.services {
                let known = !std::ptr::eq(side, &new) && new.service(&s.name).is_ok();
                // Both ran under the name of the new release: one stop is enough under one manager.
                if known && std::sync::Arc::ptr_eq(&side.ctx.manager, &new.ctx.manager) {
                    continue;
                }
                let name = self.rehearsal_name(run, &s.name);
                side.ctx.manager.stop(&name, s.stop_timeout.0).await.map_err(failed)?;
            }
        }
        Ok(())
    }
}

fn new_fails(id: &str, e: StepError) -> StepError {
    let help = e.help.clone();
    let e = StepError::new(Text::new(
        format!("the new release {id} fails on a migrated copy of the database: {}", e.what.en),
        format!("新版本 {id} 在迁移后的数据库副本上失败：{}", e.what.zh),
    ));
    let ours = Text::new(
        "a journey that needs what a copy of the database cannot have goes into `journeys.skip-in-rehearsal`",
        "依赖副本无法提供的资源的用户路径，可列入 `journeys.skip-in-rehearsal`",
    );
    match help {
        Some(h) => e.with_help(Text::new(format!("{}; {}", h.en, ours.en), format!("{}；{}", h.zh, ours.zh))),
        None => e.with_help(ours),
    }
}

fn old_fails(id: &str, e: StepError) -> StepError {
    StepError::new(Text::new(
        format!(
            "the old release {id} does not run on the migrated schema, so there would be no way back: {}",
            e.what.en
        ),
        format!("旧版本 {id} 无法在迁移后的表结构上运行，将没有退路：{}", e.what.zh),
    ))
    .with_help(Text::new(
        "split the migration: first only add (expand), remove what is old in a later release (contract)",
        "拆分迁移：先只新增（expand），在之后的版本再删除旧结构（contract）",
    ))
}
