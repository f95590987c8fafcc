//! What runs on this host, app by app.

use crate::{
    api::{ApiError, AppStatus},
    context::Context,
    runs::{Runs, store_error},
};
use safelight_engine::{config, driver::process::ProcessState};

impl Runs {
    /// Every app and environment with what runs there.
    ///
    /// # Errors
    /// When the host's memory cannot be read.
    pub async fn apps(&self) -> Result<Vec<AppStatus>, ApiError> {
        let mut out = Vec::new();
        for (app, env) in self.store().apps().map_err(store_error)? {
            let Some(row) = self.last_run(&app, &env)? else { continue };
            let Ok(config) = config::load::parse_stored(&row.config) else { continue };
            let ctx = self.context(config, &env, &row.project)?;
            let state = ctx.state().await.map_err(store_error)?;
            let processes = ctx.processes().await.into_iter().map(|(_, p)| p).collect();
            let not_running = match &state.current {
                Some(r) => not_running(&ctx, &r.id).await,
                None => Vec::new(),
            };
            out.push(AppStatus {
                not_running,
                run: row.ended.is_none().then(|| self.summary(&row)),
                current: state.current,
                previous: state.previous,
                processes,
                app,
                env,
            });
        }
        Ok(out)
    }
}

/// Services of a release without a process that runs or is being started again. A manager that does not answer has not
/// said that anything is missing.
async fn not_running(ctx: &Context, release: &str) -> Vec<String> {
    let Ok(own) = ctx.of(release) else { return Vec::new() };
    let Ok(all) = own.manager.list(&own.process_prefix()).await else { return Vec::new() };
    let runs = |name: &str| all.iter().any(|p| p.name == name && p.state != ProcessState::Stopped);
    let services = own.config.services.iter().map(|s| s.name.clone());
    services.filter(|s| !runs(&own.process_name(s, release))).collect()
}
