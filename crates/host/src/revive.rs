//! What served before is made to serve again: after a reboot, a dead process, or a route table that was mended.
//! It never touches an app whose run is being worked on.

use crate::{context::Emit, runs::Runs, world::HostWorld};
use safelight_engine::config;
use std::sync::Arc;

impl Runs {
    /// Brings back what served before the host was rebooted or the route table was mended: every process of every
    /// current release, and the routes to them. Routes of an app with an open run are that run's business.
    pub async fn revive(self: &Arc<Self>) {
        let Ok(apps) = self.store().apps() else { return };
        let rows = self.store().runs(false, 10_000).unwrap_or_default();
        for (app, env) in apps {
            let Some(row) = rows.iter().find(|r| r.plan.app == app && r.plan.env == env && r.ended.is_some())
            else {
                continue;
            };
            // A run that is being worked on may have stopped a process on purpose.
            if self.open_run(&app, &env).is_ok_and(|r| r.is_some_and(|r| self.is_active(&r.id))) {
                continue;
            }
            let Ok(config) = config::load::parse_stored(&row.config) else { continue };
            let Ok(ctx) = self.context(config, &env, &row.project) else { continue };
            let emit: Emit = Arc::new(|_| {});
            let world = HostWorld { ctx, emit, revision: None };
            if let Err(e) = world.revive().await {
                tracing::error!(app, env, "what served before could not be started: {e}");
            }
            let open = || self.open_run(&app, &env).map_or(true, |r| r.is_some());
            if let Err(e) = world.mend_routes(open).await {
                tracing::error!(app, env, "users could not be led to what serves: {e}");
            }
        }
    }
}
