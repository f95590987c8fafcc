//! Two releases and their services. Each is started, stopped, reached and tried as its own configuration says; a service
//! that only one of them has is opened with it and closed with it.

use super::{Applied, HostWorld, Record, StepError, failed, store_failed};
use crate::own::Origin;
use safelight_engine::{
    config::Service,
    driver::{
        state::ReleaseRecord,
        traffic::{RouteRules, Switched},
    },
    event::EventKind,
    plan::Action,
    run::journal::RunState,
    text::Text,
};

impl HostWorld {
    /// The world as a release knows it: with its own configuration and journeys.
    ///
    /// # Errors
    /// When the host's memory cannot be read.
    pub fn of(&self, release: &str) -> Result<Self, StepError> {
        let side = self.leaving(release)?;
        self.tell_origin(release, side.ctx.own.as_ref().map_or(Origin::Present, |o| o.origin));
        Ok(side)
    }

    /// The same for a release that is only cleared away: nobody needs to know how old it is.
    pub(super) fn leaving(&self, release: &str) -> Result<Self, StepError> {
        let ctx = self.ctx.of(release).map_err(store_failed)?;
        let (emit, revision, told) = (self.emit.clone(), self.revision.clone(), self.told.clone());
        Ok(Self { ctx, emit, revision, told })
    }

    /// The release that the plan leads to.
    pub(super) fn new_side(&self, run: &RunState) -> Result<Self, StepError> {
        self.of(&run.plan.to.id)
    }

    /// The release that served when the plan was made.
    pub(super) fn old_side(&self, run: &RunState) -> Result<Option<(Self, ReleaseRecord)>, StepError> {
        self.old_release(run)?.map(|old| Ok((self.of(&old.id)?, old))).transpose()
    }

    /// Said once in a run.
    fn tell_origin(&self, id: &str, origin: Origin) {
        let message = match origin {
            Origin::Kept => return,
            Origin::Run => safelight_engine::text!(
                "{id} is older than the keeping of configuration and journeys with a release: the configuration of its deploy is used, and the journeys as they are now",
                "{id} 早于“随版本保存配置与用户路径”的功能：使用其部署时的配置，以及当前的用户路径"
            ),
            Origin::Present => safelight_engine::text!(
                "{id} has no configuration of its own: the present one is used",
                "{id} 没有自己的配置：使用当前配置"
            ),
        };
        let mut told = self.told.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if told.insert(id.to_owned()) {
            tracing::warn!("{}", message.en);
            (self.emit)(EventKind::Progress { step: 0, message });
        }
    }

    /// A service of this release that users reach.
    pub(super) fn routed(&self, name: &str) -> Option<&Service> {
        self.ctx.config.services.iter().find(|s| s.name == name && s.path.is_some())
    }

    fn has(&self, name: &str) -> bool {
        self.ctx.config.services.iter().any(|s| s.name == name)
    }

    /// Services of this release that cannot run while `s` of another one does: its namesake, and what is on its one port.
    pub(super) fn in_place_of(&self, s: &Service) -> Vec<&Service> {
        let same_port = |o: &Service| o.fixed_port.is_some() && o.fixed_port == s.fixed_port;
        self.ctx.config.services.iter().filter(|o| o.name == s.name || same_port(o)).collect()
    }

    /// Services of this release that end where `s` of `other` begins, as `other` has none of their name there: a service
    /// with a new name takes the place of the one before.
    fn displaced_by(&self, other: &Self, s: &Service) -> Vec<&Service> {
        let clash = |o: &Service| self.rules(o).zip(other.rules(s)).is_some_and(|(a, b)| same_place(&a, &b));
        let port = |o: &Service| o.fixed_port.is_some() && o.fixed_port == s.fixed_port;
        let ends =
            |o: &&Service| (other.routed(&o.name).is_none() && clash(o)) || (!other.has(&o.name) && port(o));
        self.ctx.config.services.iter().filter(ends).collect()
    }

    /// What comes back in this, the old release, when `service` of the new one is taken away.
    pub(super) fn instead_of(&self, new: &Self, service: &str) -> Result<Vec<&Service>, StepError> {
        let namesake = self.ctx.config.services.iter().find(|o| o.name == service);
        Ok(match namesake {
            Some(o) => vec![o],
            None => self.displaced_by(new, new.service(service)?),
        })
    }

    /// Leads users of a service to `release`, this side's. Services of `out` whose place it takes are closed in the same
    /// moment.
    pub(super) async fn lead(
        &self,
        out: Option<&Self>,
        release: &ReleaseRecord,
        s: &Service,
    ) -> Result<Switched, StepError> {
        let (app, drain) = (self.ctx.route_name(), s.drain_timeout.0);
        let target = self.target(release, s)?;
        let rules = self.rules(s).ok_or_else(|| {
            let name = &s.name;
            StepError::new(safelight_engine::text!("{name} has no `path`", "{name} 没有 `path`"))
        })?;
        let displaced = out.map(|o| o.displaced_by(self, s)).unwrap_or_default();
        let displaced: Vec<String> =
            displaced.iter().filter(|o| o.path.is_some()).map(|o| o.name.clone()).collect();
        let moved = if displaced.is_empty() {
            self.ctx.traffic.switch(&app, &s.name, &rules, &target, drain).await
        } else {
            self.ctx.traffic.take_over(&app, &s.name, &rules, &target, drain, &displaced).await
        };
        moved.map_err(failed)
    }

    /// Takes a service out of routing that the new release does not have. Its process goes on until the old release is
    /// stopped.
    pub(super) async fn close(&self, run: &RunState, service: &str) -> Applied {
        self.ctx.traffic.remove(&self.ctx.route_name(), service).await.map_err(failed)?;
        let id = &run.plan.to.id;
        Ok((
            Record::Null,
            safelight_engine::text!("closed; {id} serves no {service}", "已关闭；{id} 不对外提供 {service}"),
        ))
    }

    pub(super) async fn undo_close(&self, run: &RunState, service: &str) -> Result<Text, StepError> {
        let new = self.new_side(run)?;
        let Some((side, old)) = self.old_side(run)? else {
            return Ok(Text::new("nothing to take back", "无需撤销"));
        };
        let Some(s) = side.routed(service) else {
            return Ok(Text::new("nothing to take back", "无需撤销"));
        };
        if run.plan.restores().is_some() {
            return Ok(Text::new("it comes back with the database", "随数据库一并恢复"));
        }
        let mut names = new.ctx.config.services.iter();
        if let Some(n) = names.find(|n| side.displaced_by(&new, n).iter().any(|o| o.name == service)) {
            let n = &n.name;
            return Ok(safelight_engine::text!("it comes back when {n} goes", "{n} 撤下时一并恢复"));
        }
        self.ensure_warm(run, &side, &old, s).await?;
        side.lead(Some(&new), &self.known(&old.id)?, s).await?;
        let id = &old.id;
        Ok(safelight_engine::text!("users reach it on {id} again", "用户可再次访问 {id} 的该服务"))
    }

    /// Services of this, the old release that run beside the new one: those that were not exchanged in place.
    pub(super) fn beside(&self, run: &RunState, new: &Self) -> Vec<&Service> {
        let exchanged = |s: &&Service| {
            run.plan.steps.iter().any(|p| p.action == Action::Exchange { service: s.name.clone() })
        };
        let exchanged = new.ctx.config.services.iter().filter(exchanged);
        let ended: Vec<&str> = exchanged.flat_map(|s| self.in_place_of(s)).map(|o| o.name.as_str()).collect();
        self.ctx.config.services.iter().filter(|o| !ended.contains(&o.name.as_str())).collect()
    }

    /// Opens the test host name to the new release.
    pub(super) async fn open_dark_route(&self, run: &RunState, new: &Self) -> Result<(), StepError> {
        let (app, release) = (self.ctx.route_name(), self.new_release(run)?);
        let tried: Vec<(&Service, RouteRules)> = new
            .ctx
            .config
            .services
            .iter()
            .filter(|s| s.fixed_port.is_none())
            .filter_map(|s| Some((s, new.rules(s)?)))
            .collect();
        for (s, rules) in &tried {
            let target = new.target(&release, s)?;
            self.ctx.traffic.set_candidate(&app, &s.name, rules, Some(&target)).await.map_err(failed)?;
        }
        let Some((side, _)) = self.old_side(run)? else { return Ok(()) };
        // What the new release no longer has is answered by what will answer there.
        for o in side.ctx.config.services.iter().filter(|o| new.routed(&o.name).is_none()) {
            let Some(mut rules) = side.rules(o) else { continue };
            let heirs = tried.iter().filter(|(_, r)| below(&r.path, &rules.path));
            let Some((heir, _)) = heirs.max_by_key(|(_, r)| r.path.len()) else { continue };
            if self.ctx.traffic.route(&app, &o.name).await.map_err(failed)?.is_none() {
                continue;
            }
            rules.test_hosts = new.ctx.env.test_host.iter().cloned().collect();
            let target = new.target(&release, heir)?;
            self.ctx.traffic.set_candidate(&app, &o.name, &rules, Some(&target)).await.map_err(failed)?;
        }
        Ok(())
    }

    pub(super) async fn close_dark_route(&self, run: &RunState) -> Result<Text, StepError> {
        let app = self.ctx.route_name();
        let (new, old) = (self.new_side(run)?, self.old_side(run)?);
        for side in std::iter::once(&new).chain(old.as_ref().map(|(side, _)| side)) {
            for s in &side.ctx.config.services {
                // What both have is closed as the new release opened it.
                let again = !std::ptr::eq(side, &new) && new.routed(&s.name).is_some();
                if let Some(rules) = side.rules(s).filter(|_| !again) {
                    self.ctx.traffic.set_candidate(&app, &s.name, &rules, None).await.map_err(failed)?;
                }
            }
        }
        Ok(Text::new("the test host name is closed", "测试域名路由已关闭"))
    }
}

/// Would the proxy have to choose between the two?
fn same_place(a: &RouteRules, b: &RouteRules) -> bool {
    let any = |r: &RouteRules| r.hosts.is_empty();
    let spelt = |p: &str| p.trim_end_matches('/').to_owned();
    let host = |h: &String| b.hosts.iter().any(|o| o.eq_ignore_ascii_case(h));
    spelt(&a.path) == spelt(&b.path) && ((any(a) && any(b)) || a.hosts.iter().any(host))
}

/// Does the prefix `upper` take the path `path`?
fn below(upper: &str, path: &str) -> bool {
    let upper = upper.trim_end_matches('/');
    path.strip_prefix(upper).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(hosts: &[&str], path: &str) -> RouteRules {
        RouteRules {
            hosts: hosts.iter().map(|h| (*h).to_owned()).collect(),
            path: path.to_owned(),
            test_hosts: Vec::new(),
            https_ports: Default::default(),
            certificates: Vec::new(),
        }
    }

    #[test]
    fn two_services_clash_where_one_request_could_mean_both() {
        let here = rules(&["a.example", "b.example"], "/api");
        assert!(same_place(&here, &rules(&["B.example"], "/api/")));
        assert!(!same_place(&here, &rules(&["c.example"], "/api")));
        assert!(!same_place(&here, &rules(&["a.example"], "/")));
        assert!(same_place(&rules(&[], "/"), &rules(&[], "/")));
        assert!(!same_place(&rules(&[], "/"), &here));
    }

    #[test]
    fn a_prefix_takes_whole_segments() {
        assert!(below("/", "/api") && below("/api", "/api/v2") && below("/api/", "/api"));
        assert!(!below("/api", "/apiary") && !below("/api", "/"));
    }
}
