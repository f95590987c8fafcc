//! What served before is made to serve again: after a reboot, a dead process, or a route table that was mended; and
//! nothing else of the app runs beside it.
//! It never touches an app whose run is being worked on.

use crate::{context::Emit, runs::Runs, world::HostWorld};
use safelight_engine::config;
use std::{sync::Arc, time::Duration};

/// How often is looked whether what serves still runs.
const LOOKS_EVERY: Duration = Duration::from_secs(3);
/// At how many of these looks once is looked for processes that should not run: nobody waits for their end.
const STRAYS_EVERY: u32 = 5;

impl Runs {
    /// Brings back what served before the host was rebooted or the route table was mended: every process of every
    /// current release, and the routes to them, as its own configuration says. Routes of an app with an open run are that
    /// run's business, and so are holds as long as it is being worked on: one that a dead run left is ended.
    pub async fn revive(self: &Arc<Self>) {
        let Ok(apps) = self.store().apps() else { return };
        for (app, env) in apps {
            // A run that is being worked on may have stopped a process on purpose.
            if self.holds_on(&app, &env) {
                continue;
            }
            let Some(world) = self.world_of_what_serves(&app, &env) else { continue };
            if let Err(e) = world.revive().await {
                tracing::error!(app, env, "what served before could not be started: {e}");
            }
            let open = || self.open_run(&app, &env).map_or(true, |r| r.is_some());
            if let Err(e) = world.mend_routes(open).await {
                tracing::error!(app, env, "users could not be led to what serves: {e}");
            }
            if let Err(e) = world.end_holds(|| self.holds_on(&app, &env)).await {
                tracing::error!(app, env, "held requests could not be let go: {e}");
            }
        }
    }

    /// Starts again what serves and has ended together with what would have started it again, and ends what should not run,
    /// until the process ends.
    /// A process manager of the user's own decides that for itself, unless it has died, and an open run wants to see
    /// deaths.
    pub async fn keep_alive(self: Arc<Self>) {
        let mut looks = 0_u32;
        loop {
            tokio::time::sleep(LOOKS_EVERY).await;
            looks = looks.wrapping_add(1);
            let Ok(apps) = self.store().apps() else { continue };
            for (app, env) in apps {
                let idle = || self.open_run(&app, &env).is_ok_and(|r| r.is_none());
                if !idle() {
                    continue;
                }
                let Some(world) = self.world_of_what_serves(&app, &env) else { continue };
                if looks.is_multiple_of(STRAYS_EVERY)
                    && let Err(e) = world.end_strays(idle).await
                {
                    tracing::error!(app, env, "a process of an old release could not be ended: {e}");
                }
                if world.has_keeper().await {
                    continue;
                }
                if let Err(e) = world.revive().await {
                    tracing::error!(app, env, "what serves has ended and could not be started: {e}");
                }
            }
        }
    }

    /// Does a run hold on to what it has stopped and to the requests that wait for it: because it is worked on, or because
    /// the database is not in place?
    fn holds_on(&self, app: &str, env: &str) -> bool {
        let exchanging = |run: &str| self.store().run_state(run).is_ok_and(|s| s.exchanging_database());
        self.open_run(app, env).is_ok_and(|r| r.is_some_and(|r| self.is_active(&r.id) || exchanging(&r.id)))
    }

    /// A run that failed has another configuration than the release that it left in place. The directory is that of the
    /// newest run: the app may have moved.
    fn world_of_what_serves(&self, app: &str, env: &str) -> Option<HostWorld> {
        let (current, _) = self.store().serving(app, env).ok()?;
        let current = current?;
        let last = self.store().last_run(app, env).ok()??;
        let deploy = self.store().deploy_of(app, env, &current).ok()?;
        let rows = deploy.iter().chain([&last]);
        let config = rows.filter_map(|r| config::load::parse_stored(&r.config).ok()).next()?;
        let ctx = self.context(config, env, &last.project).ok()?;
        let emit: Emit = Arc::new(|_| {});
        match HostWorld::new(ctx, emit, None).of(&current) {
            Ok(world) => Some(world),
            Err(e) => {
                tracing::error!(app, env, "the configuration of {current} could not be read: {e}");
                None
            }
        }
    }
}
