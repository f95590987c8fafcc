//! What one run works with: configuration, directories and drivers, made once.

use crate::{
    adapters::{HurlJourneys, ProxyTraffic},
    own::Own,
    paths::{AppDirs, Home, private_dir},
    store::{Store, StoreError},
};
use safelight_drivers::{
    database::sqlite::Sqlite,
    host::local::LocalHost,
    net::SystemNet,
    process::{detached::Detached, pm2::Pm2},
    source::{dir::Dir, git::Git},
};
use safelight_engine::{
    check::CheckContext,
    config::{self, Config, DatabaseKind, Environment, ProcessKind, value},
    driver::{
        database::Database,
        env::EnvFile,
        host::{Host, HostError, HostErrorKind},
        journey::Journeys,
        net::Net,
        process::{ProcessManager, ProcessStatus},
        source::Source,
        state::{HostState, ReleaseRecord},
        traffic::Traffic,
    },
    event::EventKind,
    text::Text,
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// Hears what happens in a run.
pub type Emit = Arc<dyn Fn(EventKind) + Send + Sync>;

/// What one app in one environment works with.
#[derive(Clone)]
pub struct Context {
    /// Layout of the host.
    pub home: Home,
    /// Layout of the app.
    pub dirs: AppDirs,
    /// The configuration.
    pub config: Arc<Config>,
    /// Name of the environment.
    pub env_name: String,
    /// The environment.
    pub env: Arc<Environment>,
    /// Directory of `safelight.toml`.
    pub project: PathBuf,
    /// The machine.
    pub host: Arc<dyn Host>,
    /// Its network.
    pub net: Arc<dyn Net>,
    /// Runs processes.
    pub manager: Arc<dyn ProcessManager>,
    /// The database, when there is one.
    pub database: Option<Arc<dyn Database>>,
    /// Where releases come from.
    pub source: Arc<dyn Source>,
    /// The data plane.
    pub traffic: Arc<dyn Traffic>,
    /// Runs journeys.
    pub journeys: Arc<dyn Journeys>,
    /// The host's memory.
    pub store: Arc<Store>,
    /// The release whose own configuration this is; `None`: that of the working directory, or of the run.
    pub own: Option<Own>,
    /// Program and arguments of the embedded process manager's shim.
    pub(crate) shim: Vec<String>,
}

/// Why a context could not be made.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.en)]
pub struct ContextError(pub Text);

impl Context {
    /// Makes the drivers that `config` asks for.
    ///
    /// # Errors
    /// When the environment is not in the configuration, or directories cannot be made.
    pub fn new(
        home: &Home,
        store: Arc<Store>,
        shim: Vec<String>,
        config: Config,
        env_name: &str,
        project: &Path,
    ) -> Result<Self, ContextError> {
        let env = config.environments.get(env_name).cloned().ok_or_else(|| {
            let known = config.environments.keys().cloned().collect::<Vec<_>>().join(", ");
            ContextError(safelight_engine::text!(
                "there is no [env.{env_name}] in safelight.toml; it has: {known}",
                "safelight.toml 中没有 [env.{env_name}]；现有：{known}"
            ))
        })?;
        let dirs = home.app(&config.app.name, env_name);
        dirs.create().map_err(|e| {
            let dir = dirs.root.display();
            ContextError(safelight_engine::text!("{dir} could not be made: {e}", "无法创建 {dir}：{e}"))
        })?;
        let host: Arc<dyn Host> = Arc::new(LocalHost::new());
        let manager = manager(&env, project, &dirs, &shim);
        let database = config.database.as_ref().map(|d| database(d, &dirs));
        let source: Arc<dyn Source> = match &config.source.dir {
            Some(dir) => Arc::new(Dir::new(project.join(dir), &config.source.exclude)),
            None => {
                let at = config.source.git.clone().unwrap_or_else(|| PathBuf::from("."));
                Arc::new(Git::new(LocalHost::new(), project.join(at), &config.source.exclude))
            }
        };
        // Validated with the rest of the configuration.
        let resolvers: Vec<std::net::SocketAddr> =
            env.resolvers.iter().filter_map(|r| value::resolver(r)).collect();
        let net =
            if resolvers.is_empty() { SystemNet::new() } else { SystemNet::new().with_resolvers(resolvers) };
        Ok(Self {
            home: home.clone(),
            dirs,
            config: Arc::new(config),
            env_name: env_name.to_owned(),
            env: Arc::new(env),
            project: project.to_path_buf(),
            host,
            net: Arc::new(net),
            manager,
            database,
            source,
            traffic: Arc::new(ProxyTraffic::new(home.proxy_socket())),
            journeys: Arc::new(HurlJourneys),
            store,
            own: None,
            shim,
        })
    }

    /// `filmtrip`.
    #[must_use]
    pub fn app(&self) -> &str {
        &self.config.app.name
    }

    /// The app's name in the proxy: `filmtrip.production`.
    #[must_use]
    pub fn route_name(&self) -> String {
        format!("{}.{}", self.app(), self.env_name)
    }

    /// What the names of all processes of this app in this environment begin with.
    #[must_use]
    pub fn process_prefix(&self) -> String {
        format!("{}.{}.", self.app(), self.env_name)
    }

    /// The name of a process: app, environment, service and release.
    #[must_use]
    pub fn process_name(&self, service: &str, release: &str) -> String {
        format!("{}{service}.{release}", self.process_prefix())
    }

    /// Reads the environment file of the project; an app without one has an empty environment.
    pub async fn read_env_file(&self) -> Result<EnvFile, HostError> {
        let Some(path) = &self.env.env_file else { return Ok(EnvFile::default()) };
        let path = self.project.join(path);
        let raw = self.host.read(&path).await?;
        parse_env(&path, &raw)
    }

    /// Reads the environment that belongs to a release.
    pub async fn release_env(&self, release: &ReleaseRecord) -> Result<EnvFile, HostError> {
        let Some(sha) = &release.env_sha256 else { return Ok(EnvFile::default()) };
        let path = self.dirs.env().join(format!("{sha}.env"));
        let raw = self.host.read(&path).await?;
        parse_env(&path, &raw)
    }

    /// A release of this app by id.
    pub fn release(&self, id: &str) -> Result<Option<ReleaseRecord>, StoreError> {
        Ok(self.store.releases(self.app(), &self.env_name)?.into_iter().find(|r| r.id == id))
    }

    /// What Safelight runs and keeps here.
    pub async fn state(&self) -> Result<HostState, StoreError> {
        let releases = self.store.releases(self.app(), &self.env_name)?;
        let (current, previous) = self.store.serving(self.app(), &self.env_name)?;
        let find = |id: Option<String>| id.and_then(|id| releases.iter().find(|r| r.id == id).cloned());
        // Of this app in this environment alone. The daemon is everybody's parent: what descends from it may be another
        // app, or this one in another environment.
        let mut own_pids = Vec::new();
        for (manager, p) in self.processes().await {
            own_pids.extend(manager.pids(&p.name).await.unwrap_or_default());
            own_pids.extend(p.pid);
        }
        Ok(HostState {
            current: find(current),
            previous: find(previous),
            own_pids,
            own_databases: Vec::new(),
            last_backup: self.store.backups(self.app(), &self.env_name)?.into_iter().next().map(|(_, b)| b),
            proxy_listen: self.traffic.listen().await.unwrap_or_default(),
            proxy_listen_tls: self.traffic.listen_tls().await.unwrap_or_default(),
            data_dir: self.dirs.root.clone(),
            env_dir: self.dirs.env(),
            releases,
        })
    }

    /// All processes of the app with their managers. The release that serves and the one before it may run under another
    /// manager than the next one will.
    pub async fn processes(&self) -> Vec<(Arc<dyn ProcessManager>, ProcessStatus)> {
        let mut managers = vec![self.manager.clone()];
        let (current, previous) = self.store.serving(self.app(), &self.env_name).unwrap_or_default();
        for id in current.iter().chain(&previous) {
            let own = self.of(id).map(|c| c.manager).ok();
            managers.extend(own.filter(|m| !managers.iter().any(|known| Arc::ptr_eq(known, m))));
        }
        let prefix = self.process_prefix();
        let mut all: Vec<(Arc<dyn ProcessManager>, ProcessStatus)> = Vec::new();
        for manager in managers {
            for p in manager.list(&prefix).await.unwrap_or_default() {
                if !all.iter().any(|(m, known)| m.kind() == manager.kind() && known.name == p.name) {
                    all.push((manager.clone(), p));
                }
            }
        }
        all
    }

    /// The context of checks.
    pub async fn checks(&self, revision: Option<String>) -> Result<CheckContext, StoreError> {
        let mut state = self.state().await?;
        if let Some(current) = &state.current {
            let (release, ready) = (self.dirs.release(&current.id), self.dirs.ready(&current.id));
            let look = move || {
                let staged = std::fs::metadata(ready).and_then(|m| m.modified());
                staged.map(|at| crate::inside::databases(&release, at)).unwrap_or_default()
            };
            state.own_databases = tokio::task::spawn_blocking(look).await.unwrap_or_default();
        }
        Ok(CheckContext {
            config: self.config.clone(),
            env_name: self.env_name.clone(),
            env: self.env.clone(),
            project: self.project.clone(),
            host: self.host.clone(),
            net: self.net.clone(),
            database: self.database.clone(),
            source: self.source.clone(),
            env_file: Arc::new(self.read_env_file().await),
            state: Arc::new(state),
            revision,
            now: jiff::Timestamp::now(),
        })
    }
}

/// What runs the processes of an environment.
pub(crate) fn manager(
    env: &Environment,
    project: &Path,
    dirs: &AppDirs,
    shim: &[String],
) -> Arc<dyn ProcessManager> {
    match env.process {
        ProcessKind::Detached => Arc::new(Detached::new(dirs.run(), shim.to_vec())),
        ProcessKind::Pm2 => {
            let home = env.pm2_home.as_ref().map(|p| project.join(p));
            Arc::new(Pm2::new(LocalHost::new(), env.pm2_program(project), home))
        }
    }
}

/// The driver of a database.
pub(crate) fn database(d: &config::Database, dirs: &AppDirs) -> Arc<dyn Database> {
    match d.kind {
        DatabaseKind::Sqlite => {
            let path = dirs.shared().join(&d.path);
            // The app makes the file; the directory has to be there.
            if let Some(Err(e)) = path.parent().map(private_dir) {
                tracing::warn!("{}: {e}", path.display());
            }
            let live = d.url.replace("{path}", &path.to_string_lossy());
            Arc::new(Sqlite::new(path, d.schema_query.clone(), d.proof_queries.clone()).with_url(live))
        }
    }
}

fn parse_env(path: &Path, raw: &[u8]) -> Result<EnvFile, HostError> {
    EnvFile::parse(raw).map_err(|(line, what)| {
        HostError::new(HostErrorKind::Other, format!("read {}:{line}", path.display()), what.en)
    })
}
