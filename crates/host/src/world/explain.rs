//! What the steps of a plan would run, before any of it is on the host.

use super::{HostWorld, patience::HOLD_QUEUE};
use safelight_engine::{
    config::Service,
    driver::{env::EnvFile, state::ReleaseRecord, traffic::PlannedChange},
    plan::{Action, Plan},
};

/// Stands for a port that is chosen at the start.
const PRIVATE: &str = "<private>";

/// What is known of the release beforehand.
struct Planned {
    id: String,
    /// Its record; only one that is gone back to has one.
    record: Option<ReleaseRecord>,
    env: EnvFile,
}

impl HostWorld {
    /// Fills in the commands of those steps that drivers carry out. Nothing of an environment is in them but names of
    /// files and the port.
    pub(crate) async fn explain(&self, plan: &mut Plan) {
        let record = self.ctx.release(&plan.to.id).ok().flatten();
        let env = match &record {
            Some(r) => self.ctx.release_env(r).await,
            None => self.ctx.read_env_file().await,
        };
        // What is wrong with the file is for the checks to say.
        let planned = Planned { id: plan.to.id.clone(), record, env: env.unwrap_or_default() };
        let from = plan.from.as_ref().map(|f| f.id.clone());
        let mut found = Vec::new();
        for step in &plan.steps {
            found.push(self.commands_of(&step.action, &plan.run, from.as_deref(), &planned).await);
        }
        for (step, commands) in plan.steps.iter_mut().zip(found) {
            if !commands.is_empty() {
                step.commands = commands;
            }
        }
    }

    async fn commands_of(&self, action: &Action, run: &str, from: Option<&str>, to: &Planned) -> Vec<String> {
        let services = &self.ctx.config.services;
        let named = |name: &str| services.iter().find(|s| s.name == name);
        match action {
            Action::BackUpDatabase => {
                let target = self.ctx.dirs.backups().join(format!("{run}.db"));
                self.ctx.database.iter().map(|db| db.explain_back_up(&target)).collect()
            }
            Action::Start { service } => {
                named(service).map(|s| self.start_command(s, to)).into_iter().collect()
            }
            Action::DarkTest => {
                let mut all = Vec::new();
                for s in services.iter().filter(|s| s.fixed_port.is_none()) {
                    let Some(rules) = self.rules(s) else { continue };
                    let at = self.planned_address(s, to);
                    all.push(
                        self.change(s, PlannedChange::Try { rules: &rules, version: &to.id, at: &at }).await,
                    );
                }
                all
            }
            Action::Promote { service } => match named(service) {
                Some(s) => self.move_command(s, to).await.into_iter().collect(),
                None => Vec::new(),
            },
            Action::Exchange { service } => match named(service) {
                Some(s) => self.exchange_commands(s, from, to).await,
                None => Vec::new(),
            },
            Action::Verify => {
                let mut all = vec![format!("GET {}", self.ctx.env.url)];
                all.extend(self.ctx.config.journeys.files.iter().map(|f| format!("hurl {}", f.display())));
                all
            }
            _ => Vec::new(),
        }
    }

    async fn exchange_commands(&self, s: &Service, from: Option<&str>, to: &Planned) -> Vec<String> {
        let mut all = Vec::new();
        let routed = self.rules(s).is_some();
        if routed {
            let limit = s.stop_timeout.0 + s.start_timeout.0;
            all.push(self.change(s, PlannedChange::Hold { limit, queue: HOLD_QUEUE }).await);
        }
        if let Some(old) = from {
            let (name, limit) = (self.ctx.process_name(&s.name, old), s.stop_timeout);
            all.push(format!("SIGTERM to {name}, SIGKILL after {limit}"));
        }
        all.push(self.start_command(s, to));
        all.extend(self.move_command(s, to).await);
        if routed {
            all.push(self.change(s, PlannedChange::Release).await);
        }
        all
    }

    async fn move_command(&self, s: &Service, to: &Planned) -> Option<String> {
        let (rules, at) = (self.rules(s)?, self.planned_address(s, to));
        let change =
            PlannedChange::Move { rules: &rules, version: &to.id, at: &at, drain: s.drain_timeout.0 };
        Some(self.change(s, change).await)
    }

    async fn change(&self, s: &Service, change: PlannedChange<'_>) -> String {
        self.ctx.traffic.explain(&self.ctx.route_name(), &s.name, change).await
    }

    /// Where a service of the release will listen, as far as that is known.
    fn planned_address(&self, s: &Service, to: &Planned) -> String {
        let known = match (&to.record, s.fixed_port) {
            (Some(r), _) => self.addr_of(r, s).map(|a| a.to_string()),
            (None, Some(port)) => Some(format!("127.0.0.1:{port}")),
            (None, None) => None,
        };
        known.unwrap_or_else(|| format!("127.0.0.1:{PRIVATE}"))
    }

    fn start_command(&self, s: &Service, to: &Planned) -> String {
        let at = self.planned_address(s, to);
        let port = at.rsplit(':').next().unwrap_or(PRIVATE);
        let vars = to.env.vars.clone();
        let spec = self.spec_of(&to.id, s, vars, port, |o| Some(self.planned_address(o, to)));
        self.ctx.manager.explain_start(&spec)
    }
}
