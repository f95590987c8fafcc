//! Assess and gate: may this deploy begin, and may it touch production now.

use super::{Applied, HostWorld, Step, StepError, failed, store_failed, to_record};
use safelight_engine::{
    check, checks,
    driver::traffic::RouteConflict,
    event::EventKind,
    finding::Finding,
    risk::{RiskRegister, apply_waivers},
    run::journal::RunState,
    text::Text,
    verdict::Verdict,
};

impl HostWorld {
    pub(super) async fn assess(&self, _: &Step) -> Applied {
        let emit = self.emit.clone();
        let (_, register, verdict) = self.look(|f| emit(EventKind::Checked { finding: f.clone() })).await?;
        (self.emit)(EventKind::Decided { verdict: verdict.clone(), risks: register });
        if !verdict.may_go() {
            return Err(no_go(&verdict));
        }
        self.addresses_are_free().await?;
        Ok((to_record(&verdict), verdict.word()))
    }

    /// The proxy refuses an address that another app has, but only when the release is built and started: said before.
    async fn addresses_are_free(&self) -> Result<(), StepError> {
        let app = self.ctx.route_name();
        for rules in self.ctx.config.services.iter().filter_map(|s| self.rules(s)) {
            let conflicts = self.ctx.traffic.conflicts(&app, &rules).await.map_err(failed)?;
            let Some(RouteConflict { route, owner }) = conflicts.first() else { continue };
            return Err(StepError::new(safelight_engine::text!(
                "{route} is served by {owner} on this host",
                "本机的 {owner} 已占用 {route}"
            ))
            .with_help(Text::new(
                "give this app another host name, test host or path in safelight.toml, or take the other app away first",
                "请在 safelight.toml 中为本应用换一个域名、测试域名或路径，或先下线另一个应用",
            )));
        }
        Ok(())
    }

    /// Runs every check once.
    async fn look(
        &self,
        on: impl FnMut(&Finding),
    ) -> Result<(Vec<Finding>, RiskRegister, Verdict), StepError> {
        let ctx = self.ctx.checks(self.revision.clone()).await.map_err(store_failed)?;
        let now = ctx.now;
        let mut findings = check::run_all(checks::all(), &ctx, on).await;
        apply_waivers(&mut findings, &self.ctx.config.waivers, now);
        let register = RiskRegister::assess(&self.ctx.config, &findings);
        let verdict = Verdict::of(&register, &findings);
        Ok((findings, register, verdict))
    }

    pub(super) async fn gate(&self, run: &RunState) -> Applied {
        if let Some(w) = &self.ctx.config.window
            && !safelight_engine::config::window_open(w, jiff::Timestamp::now())
        {
            let (from, to, zone) = (&w.from, &w.to, &w.zone);
            return Err(StepError::new(safelight_engine::text!(
                "the window is closed: production may be touched from {from} to {to} ({zone})",
                "不在部署窗口内：只能在 {from} 至 {to}（{zone}）变更生产环境"
            ))
            .with_help(Text::new(
                "start again inside of the window, or change [window] in safelight.toml",
                "请在窗口内重试，或修改 safelight.toml 的 [window]",
            )));
        }
        let (current, _) =
            self.ctx.store.serving(self.ctx.app(), &self.ctx.env_name).map_err(store_failed)?;
        let planned = run.plan.from.as_ref().map(|f| f.id.clone());
        if current != planned {
            let is = current.as_deref().unwrap_or("-").to_owned();
            let was = planned.as_deref().unwrap_or("-");
            return Err(StepError::new(safelight_engine::text!(
                "another release serves now ({is}) than when this was planned ({was})",
                "现在服务的版本（{is}）与制定计划时（{was}）不同"
            )));
        }
        // The host may have changed while dependencies were installed: the resources are measured again.
        let ctx = self.ctx.checks(self.revision.clone()).await.map_err(store_failed)?;
        let again: Vec<_> =
            checks::all().into_iter().filter(|c| matches!(c.spec().id, "P2" | "P3" | "P6")).collect();
        // What the watch will compare with is measured at the same time.
        let (mut findings, before) =
            tokio::join!(check::run_all(again, &ctx, |_| {}), self.before_the_release(run));
        apply_waivers(&mut findings, &self.ctx.config.waivers, ctx.now);
        if let Some(bad) = findings.iter().find(|f| f.outcome.blocks() && f.waiver.is_none()) {
            let (id, s) = (&bad.id, &bad.summary);
            let mut e = StepError::new(Text::new(format!("{id}: {}", s.en), format!("{id}：{}", s.zh)));
            e.help.clone_from(&bad.help);
            return Err(e);
        }
        Ok((to_record(&before), Text::new("window open, resources as before", "窗口开放，资源正常")))
    }
}

fn no_go(verdict: &Verdict) -> StepError {
    let list = verdict.blocking.join(", ");
    let word = verdict.word();
    StepError::new(Text::new(format!("{}: {list}", word.en), format!("{}：{list}", word.zh))).with_help(
        Text::new(
            "each finding above says what to do; `safelight check` runs the checks alone",
            "按上面每条结果的提示处理；`safelight check` 可单独运行检查",
        ),
    )
}
