//! What runs on this host, app by app.

use crate::{
    api::{ApiError, AppStatus},
    runs::{Runs, store_error},
};
use safelight_engine::config;

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
            out.push(AppStatus {
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
