//! The rehearsal: on a restored copy of the database migrate, then let the new release and after it the old one run there
//! and do what users do. What the second part proves is the way back.

use super::{
    Applied, HostWorld, Record, Step, StepError, commands::Place, database_failed, failed, from_record,
    secret_values, to_record,
};
use safelight_engine::{
    config::{Service, url_of},
    driver::{journey::JourneyResult, state::ReleaseRecord, traffic::Target},
    event::EventKind,
    plan::Action,
    run::journal::RunState,
    text::Text,
};
use serde::{Deserialize, Serialize};
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
};

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Where a rehearsed release is reached as users reach it.
enum Entrance {
    /// One process answers everything.
    Process(SocketAddr),
    /// The proxy's test route leads to its processes.
    TestHost(String),
}

/// What a rehearsal remembers.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Rehearsed {
    /// The old release did on the migrated copy what users do.
    proven: bool,
    /// The schema version of that copy when the old release ran on it, where the app declares how to read it.
    #[serde(default)]
    schema: Option<String>,
}

/// What came of the journeys with one release.
#[derive(Default)]
struct Tried {
    passed: usize,
    /// Failed where the release serves users in the very same way, and so do not count.
    excused: usize,
}

impl HostWorld {
    pub(super) async fn rehearse(&self, run: &RunState, step: &Step) -> Applied {
        let (config, db) = self.database()?;
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
            let cwd = self.ctx.dirs.release(&new.id);
            let at = Place { run, step, cwd: &cwd, env: &env, over: &over, secrets: &secrets };
            self.command(migrate, &at).await?;
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
        let bound: Vec<&str> = self.ctx.config.bound_services().iter().map(|s| s.name.as_str()).collect();
        for name in &bound {
            self.progress(
                step,
                safelight_engine::text!(
                    "{name} is left out of the rehearsal: it can use one port only, or calls one that can, and {name} of {} serves there; put `{{port}}` into `command` or `env` if it can listen elsewhere",
                    "演练中跳过 {name}：它（或它所调用的服务）只能使用一个端口，而该端口正由 {} 使用；若可监听其他端口，请在 `command` 或 `env` 中写 `{{port}}`",
                    old.id
                ),
            );
        }
        let result = async {
            sides.0.rehearse_release(run, step, &new, &over).await.map_err(|e| new_fails(&new.id, e))?;
            self.stop_rehearsed(run).await?;
            // Read here: an app may migrate when it starts, and this is what the old release meets.
            let schema = db.schema_of(&self.scratch(run)).await.map_err(database_failed)?;
            let over = sides.1.scratch_env(run);
            let tried = sides.1.rehearse_release(run, step, &old, &over).await;
            tried.map(|t| (t, schema)).map_err(|e| old_fails(&old.id, e))
        };
        let result = result.await;
        self.stop_rehearsed(run).await?;
        let (tried, schema) = result?;
        let proven = bound.is_empty() && tried.passed > 0;
        Ok((to_record(&Rehearsed { proven, schema }), said(&tried, &bound, &old.id, &new.id)))
    }

    fn rehearsed(run: &RunState) -> Option<Rehearsed> {
        run.record_of(|a| *a == Action::Rehearse).and_then(from_record)
    }

    /// The schema that the rehearsal of this run has led to, where that can be told.
    pub(super) fn rehearsed_schema(run: &RunState) -> Option<String> {
        Self::rehearsed(run)?.schema
    }

    /// Has the rehearsal of this run shown that the old release does on the schema `live` what users do? A migration
    /// that got half-way has made another one, and without a query for it nobody can tell which it is.
    pub(super) fn way_back_proven(run: &RunState, live: Option<&String>) -> bool {
        Self::rehearsed(run).is_some_and(|r| r.proven && r.schema.is_some() && r.schema.as_ref() == live)
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

    /// Starts the services of a release on the scratch database, as far as they can run there, and runs the journeys
    /// against them.
    async fn rehearse_release(
        &self,
        run: &RunState,
        step: &Step,
        release: &ReleaseRecord,
        over: &[(String, String)],
    ) -> Result<Tried, StepError> {
        let mut tried = Vec::new();
        let bound: Vec<&str> = self.ctx.config.bound_services().iter().map(|s| s.name.as_str()).collect();
        for service in self.ctx.config.services.iter().filter(|s| !bound.contains(&s.name.as_str())) {
            self.rehearse_service(run, step, release, service, over, &mut tried).await?;
        }
        let files = self.ctx.rehearsed_journeys();
        // A part of the app cannot do what users do with the whole.
        if files.is_empty() || !bound.is_empty() {
            return Ok(Tried::default());
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
        let Some(entrance) = self.entrance(step, release, &routed).await? else {
            return Ok(Tried::default());
        };
        let (base, to) = match entrance {
            Entrance::Process(addr) => {
                let host = url_of(&self.ctx.env).map_or_else(|| addr.ip().to_string(), |u| u.host);
                (format!("http://{host}:{}", addr.port()), addr)
            }
            Entrance::TestHost(host) => self.at_the_proxy(&host).await?,
        };
        let mut all = Tried::default();
        for file in files {
            for result in self.try_journey(step, &file, &base, Some(to)).await? {
                if result.failure.is_none() {
                    all.passed += 1;
                } else {
                    self.not_of_this_release(run, step, release, &file, &base, &result).await?;
                    all.excused += 1;
                }
            }
        }
        Ok(all)
    }

    async fn try_journey(
        &self,
        step: &Step,
        file: &Path,
        base: &str,
        to: Option<SocketAddr>,
    ) -> Result<Vec<JourneyResult>, StepError> {
        let run = self.journey_run(vec![file.to_owned()], base, to).await?;
        let results = self.ctx.journeys.run(&run).await.map_err(failed)?;
        for result in &results {
            (self.emit)(EventKind::Journey { step: step.id, result: result.clone() });
        }
        Ok(results)
    }

    /// A journey may be about what only the new release can do. One that the old release fails where it serves users,
    /// in the very same way, says nothing about the migration. No answer there is no such failure.
    async fn not_of_this_release(
        &self,
        run: &RunState,
        step: &Step,
        release: &ReleaseRecord,
        file: &Path,
        base: &str,
        result: &JourneyResult,
    ) -> Result<(), StepError> {
        let (name, f) = (&result.name, result.failure.as_deref().unwrap_or_default());
        let failure = StepError::new(safelight_engine::text!(
            "journey {name} failed at {base}: {f}",
            "用户路径 {name} 在 {base} 失败：{f}"
        ));
        if release.id == run.plan.to.id {
            return Err(failure);
        }
        let (url, connect) = self.public_address().await?;
        let there = self.try_journey(step, file, &url, connect).await?;
        let (here, there) = ((result, base), there.first().map(|r| (r, url.as_str())));
        if !there.is_some_and(|there| same_failure(here, there)) {
            return Err(failure.with_help(Text::new(
                "the old release does not fail like this where it serves users: either the migration breaks it, or its address cannot be reached from here (`connect` in safelight.toml names one that can)",
                "旧版本在线上并没有同样的失败：可能是迁移破坏了它，也可能是本机无法访问线上地址（可在 safelight.toml 用 `connect` 指定）",
            )));
        }
        let (file, old) = (file.display(), &release.id);
        self.progress(
            step,
            safelight_engine::text!(
                "{file} fails with {old} where it serves users, in the same way: it is about the new release, and does not count here",
                "{old} 在线上同样无法通过 {file}：该路径针对新版本，此处不计"
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

/// Both got an answer, and the same was wrong with it. Addresses differ by nature.
fn same_failure(here: (&JourneyResult, &str), there: (&JourneyResult, &str)) -> bool {
    let plain = |(r, base): (&JourneyResult, &str)| {
        r.failure.as_ref().filter(|_| r.answered).map(|f| f.replace(base.trim_end_matches('/'), ""))
    };
    plain(here).is_some_and(|f| plain(there) == Some(f))
}

/// What was shown, and no more than that.
fn said(tried: &Tried, bound: &[&str], old: &str, new: &str) -> Text {
    let (passed, excused) = (tried.passed, tried.excused);
    if !bound.is_empty() {
        let names = bound.join(", ");
        return safelight_engine::text!(
            "the copy is migrated; {names} was not run on it, so the way back is not proven",
            "副本已迁移；{names} 未在其上运行，回滚路径未经证明"
        );
    }
    if passed == 0 {
        return safelight_engine::text!(
            "{new} and {old} start on the migrated copy, and no journey passed there with {old}: started only, the way back is not proven",
            "{new} 与 {old} 都能在迁移后的副本上启动，但 {old} 没有通过任何用户路径：仅验证启动，回滚路径未经证明"
        );
    }
    let rest = match excused {
        0 => Text::same(""),
        n => safelight_engine::text!(
            " ({n} that it fails for users, too, do not count)",
            "（另有 {n} 条线上同样失败，不计）"
        ),
    };
    let (en, zh) = (rest.en, rest.zh);
    safelight_engine::text!(
        "{new} and {old} run on the migrated copy, {passed} journeys passed with {old}{en}: the way back is proven",
        "{new} 与 {old} 都能在迁移后的副本上运行，{old} 通过 {passed} 条用户路径{zh}：回滚路径已验证"
    )
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

#[cfg(test)]
mod tests {
    use super::*;

    fn result(failure: &str, answered: bool) -> JourneyResult {
        let failure = Some(failure.to_owned());
        JourneyResult { name: "a".into(), ok: false, steps: 1, requests: 1, millis: 1, answered, failure }
    }

    #[test]
    fn only_the_same_wrong_answer_excuses_a_journey() {
        let (copy, live) = ("http://shop.example:20001", "https://shop.example");
        let at = |base: &str, got: u16| format!("a.hurl:4 GET {base}/new: status (expected 200, got {got})");
        let here = result(&at(copy, 404), true);
        let same = |there: &JourneyResult| same_failure((&here, copy), (there, live));
        assert!(same(&result(&at(live, 404), true)));
        assert!(!same(&result(&at(live, 500), true)), "another failure");
        let mut passed = result("", true);
        passed.failure = None;
        assert!(!same(&passed));
        // Two that were not reached have failed alike, and yet nothing is known of the one that serves.
        let lost = result("a.hurl:4 GET /new: no answer", false);
        assert!(!same_failure((&lost, copy), (&lost, live)));
    }

    #[test]
    fn no_more_is_said_than_was_shown() {
        let words = |passed, excused, bound: &[&str]| said(&Tried { passed, excused }, bound, "r1", "r2").en;
        assert!(words(2, 0, &[]).ends_with("2 journeys passed with r1: the way back is proven"));
        assert!(
            words(1, 1, &[])
                .contains("(1 that it fails for users, too, do not count): the way back is proven")
        );
        for unproven in [words(0, 0, &[]), words(0, 3, &[]), words(0, 0, &["api"])] {
            assert!(unproven.ends_with("the way back is not proven"), "{unproven}");
        }
    }
}
