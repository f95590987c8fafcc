//! The daemon: takes the host's lock, opens its socket, keeps the proxy alive, answers.

use crate::{
    api::{ApiError, AppDetail, ErrorKind, RunOrder, RunRequest, RunStarted, RunSummary, Status, VERSION},
    paths::Home,
    runs::Runs,
    store::Store,
    supervise::{Listen, Supervisor},
};
use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::{Path, Query, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use safelight_drivers::host::local::LocalHost;
use safelight_engine::{event::EventKind, plan::Plan, text::Text};
use serde::Deserialize;
use std::{os::unix::fs::PermissionsExt as _, sync::Arc, time::Duration};
use tokio::{net::UnixListener, sync::broadcast::error::RecvError};

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = match self.kind {
            ErrorKind::Config | ErrorKind::Usage => StatusCode::UNPROCESSABLE_ENTITY,
            ErrorKind::Busy => StatusCode::CONFLICT,
            ErrorKind::NotFound => StatusCode::NOT_FOUND,
            ErrorKind::Failed => StatusCode::INTERNAL_SERVER_ERROR,
        };
        (status, Json(self)).into_response()
    }
}

#[derive(Clone)]
struct Daemon {
    runs: Arc<Runs>,
    supervisor: Arc<Supervisor>,
    stop: Arc<tokio::sync::Notify>,
}

/// What the daemon is started with.
pub struct DaemonOptions {
    /// Where everything is kept.
    pub home: Home,
    /// Program and arguments of the embedded process manager's shim.
    pub shim: Vec<String>,
    /// Program and arguments of the proxy, without its addresses.
    pub proxy: Vec<String>,
    /// Where the proxy listens.
    pub listen: Listen,
}

/// Runs until it is told to stop.
///
/// # Errors
/// When another daemon runs, the host's memory is damaged, or the socket cannot be opened.
pub async fn serve(options: DaemonOptions) -> Result<(), ApiError> {
    let home = options.home.clone();
    home.create().map_err(|e| cannot(("make its directory", "创建目录"), &home.root, &e))?;
    let lock = std::fs::File::create(home.lock())
        .map_err(|e| cannot(("open its lock", "打开锁文件"), &home.lock(), &e))?;
    let held = home.lock();
    let held = held.display();
    if rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_err() {
        return Err(ApiError::new(
            ErrorKind::Busy,
            safelight_engine::text!(
                "another safelight host runs here already: it holds {held}",
                "这里已有另一个 safelight host 在运行：它占有 {held}"
            ),
        )
        .with_help(Text::new(
            "`safelight status` shows it, `safelight host stop` ends it",
            "用 `safelight status` 查看，`safelight host stop` 停止它",
        )));
    }
    let store = Arc::new(Store::open(&home.database())?);
    let runs = Runs::new(home.clone(), store, options.shim.clone());
    let supervisor = Supervisor::new(home.clone(), options.proxy, options.listen);
    let socket = home.socket();
    match std::fs::remove_file(&socket) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            return Err(cannot(("replace its socket", "替换套接字"), &socket, &e));
        }
        _ => {}
    }
    let listener =
        UnixListener::bind(&socket).map_err(|e| cannot(("open its socket", "打开套接字"), &socket, &e))?;
    std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o600))
        .map_err(|e| cannot(("protect its socket", "设置套接字权限"), &socket, &e))?;
    let stop = Arc::new(tokio::sync::Notify::new());
    let keeper = tokio::spawn(supervisor.clone().keep());
    if supervisor.ready(Duration::from_secs(10)).await {
        runs.revive().await;
        runs.recover();
    } else {
        // Without the proxy a run could not be undone properly; `status` says what is wrong with it.
        tracing::error!("the proxy is not up; open runs wait");
        let (runs, supervisor) = (runs.clone(), supervisor.clone());
        tokio::spawn(async move {
            while !supervisor.ready(Duration::from_secs(60)).await {}
            runs.revive().await;
            runs.recover();
        });
    }
    {
        // A table that was repaired is one change behind: what is on record decides where users go.
        let (runs, supervisor) = (runs.clone(), supervisor.clone());
        tokio::spawn(async move {
            loop {
                supervisor.started().await;
                runs.revive().await;
            }
        });
    }
    tokio::spawn(runs.clone().keep_alive());
    tokio::spawn(crate::keeping::keep(home.clone(), runs.store().clone()));
    let daemon = Daemon { runs, supervisor: supervisor.clone(), stop: stop.clone() };
    let app = Router::new()
        .route("/v1/status", get(status))
        .route("/v1/plan", post(plan))
        .route("/v1/runs", get(list).post(begin))
        .route("/v1/runs/{id}/resume", post(resume))
        .route("/v1/runs/{id}/abort", post(abort))
        .route("/v1/runs/{id}/events", get(events))
        .route("/v1/apps/{app}/{env}", get(app_detail))
        .route("/v1/shutdown", post(shutdown))
        .with_state(daemon);
    let server = axum::serve(listener, app);
    tokio::select! {
        r = server => r.map_err(ApiError::failed)?,
        () = stop.notified() => {}
        () = terminated() => {}
    }
    safelight_drivers::host::leave_running();
    keeper.abort();
    let _ = std::fs::remove_file(&socket);
    Ok(())
}

fn cannot(what: (&str, &str), path: &std::path::Path, e: &dyn std::fmt::Display) -> ApiError {
    let p = path.display();
    let (en, zh) = what;
    ApiError::new(
        ErrorKind::Failed,
        safelight_engine::text!("safelight host could not {en} {p}: {e}", "safelight host 无法{zh} {p}：{e}"),
    )
}

async fn terminated() {
    let Ok(mut term) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = term.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}

async fn status(State(d): State<Daemon>) -> Result<Json<Status>, ApiError> {
    Ok(Json(Status {
        version: VERSION,
        program: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        path: Some(LocalHost::new().path().to_owned()),
        proxy: d.supervisor.status().await,
        apps: d.runs.apps().await?,
    }))
}

async fn plan(State(d): State<Daemon>, Json(req): Json<RunRequest>) -> Result<Json<Plan>, ApiError> {
    Ok(Json(d.runs.plan(&req).await?.0))
}

async fn begin(State(d): State<Daemon>, Json(req): Json<RunRequest>) -> Result<Json<RunStarted>, ApiError> {
    if !d.supervisor.ready(Duration::from_secs(5)).await {
        let proxy = d.supervisor.status().await;
        let why = proxy.words();
        let what =
            Text::new(format!("the proxy does not run: {}", why.en), format!("代理没有运行：{}", why.zh));
        let repair = proxy.why.and_then(|w| w.help).unwrap_or_else(|| {
            Text::new(
                "`safelight status` shows it; choose other addresses with `safelight host start --listen`",
                "用 `safelight status` 查看；可用 `safelight host start --listen` 更换监听地址",
            )
        });
        return Err(ApiError::new(ErrorKind::Failed, what).with_help(repair));
    }
    Ok(Json(d.runs.begin(&req).await?))
}

async fn list(State(d): State<Daemon>) -> Result<Json<Vec<RunSummary>>, ApiError> {
    let rows = d.runs.store().runs(false, 200).map_err(ApiError::failed)?;
    Ok(Json(rows.iter().map(|r| d.runs.summary(r)).collect()))
}

/// Says what is wrong with the journal of an open run that nobody works on, with the repair.
fn believable(d: &Daemon, id: &str) -> Result<(), ApiError> {
    let open = d.runs.store().run(id)?.is_some_and(|r| r.ended.is_none());
    if open && !d.runs.is_active(id) {
        d.runs.store().run_state(id)?;
    }
    Ok(())
}

async fn resume(
    State(d): State<Daemon>,
    Path(id): Path<String>,
    Json(o): Json<RunOrder>,
) -> Result<Json<()>, ApiError> {
    believable(&d, &id)?;
    d.runs.resume(&id, &o.who).map(Json)
}

async fn abort(
    State(d): State<Daemon>,
    Path(id): Path<String>,
    Json(o): Json<RunOrder>,
) -> Result<Json<()>, ApiError> {
    if !o.forget {
        believable(&d, &id)?;
    }
    d.runs.abort(&id, &o.who, o.forget).map(Json)
}

#[derive(Deserialize)]
struct EventsQuery {
    #[serde(default)]
    after: u64,
    #[serde(default)]
    follow: bool,
}

/// Stored events first, then live ones, each once, as JSON lines. An empty line each second tells both sides that the
/// other is there.
async fn events(
    State(d): State<Daemon>,
    Path(id): Path<String>,
    Query(q): Query<EventsQuery>,
) -> Result<Response, ApiError> {
    if d.runs.store().run(&id).map_err(ApiError::failed)?.is_none() {
        return Err(ApiError::no_run(&id));
    }
    // Subscribed before the stored ones are read, so that none falls between.
    let live = if q.follow { d.runs.follow(&id) } else { None };
    let stored = d.runs.store().events(&id, q.after).map_err(ApiError::failed)?;
    let (tx, rx) = tokio::sync::mpsc::channel::<Result<Bytes, std::convert::Infallible>>(256);
    tokio::spawn(async move {
        let mut last = q.after;
        let line = |e: &safelight_engine::event::Event| {
            let mut b = serde_json::to_vec(e).unwrap_or_default();
            b.push(b'\n');
            Bytes::from(b)
        };
        for e in &stored {
            last = e.seq;
            if tx.send(Ok(line(e))).await.is_err() {
                return;
            }
        }
        // A stored end of a run that is being worked on is that of an undo that was stuck: more comes.
        let Some((mut rx, _attached)) = live else { return };
        let mut beat = tokio::time::interval(Duration::from_secs(1));
        loop {
            tokio::select! {
                e = rx.recv() => match e {
                    Ok(e) if e.seq > last => {
                        last = e.seq;
                        let end = matches!(e.kind, EventKind::RunEnded { .. });
                        if tx.send(Ok(line(&e))).await.is_err() || end {
                            return;
                        }
                    }
                    Ok(_) => {}
                    Err(RecvError::Lagged(_)) => {
                        // Too slow for the live channel: what was missed is in the store.
                        for e in d.runs.store().events(&id, last).unwrap_or_default() {
                            last = e.seq;
                            if tx.send(Ok(line(&e))).await.is_err() {
                                return;
                            }
                        }
                    }
                    Err(RecvError::Closed) => return,
                },
                _ = beat.tick() => {
                    // It may have ended before this began to listen.
                    let over = !d.runs.is_active(&id) && rx.is_empty();
                    if over || tx.send(Ok(Bytes::from_static(b"\n"))).await.is_err() {
                        return;
                    }
                }
            }
        }
    });
    let stream = futures_util::stream::unfold(rx, |mut rx| async { rx.recv().await.map(|b| (b, rx)) });
    Ok(([("content-type", "application/x-ndjson")], Body::from_stream(stream)).into_response())
}

async fn app_detail(
    State(d): State<Daemon>,
    Path((app, env)): Path<(String, String)>,
) -> Result<Json<AppDetail>, ApiError> {
    let row = d.runs.store().last_run(&app, &env).map_err(ApiError::failed)?.ok_or_else(|| {
        ApiError::new(
            ErrorKind::NotFound,
            safelight_engine::text!("{app} was never deployed to {env} here", "{app} 从未在此部署到 {env}"),
        )
    })?;
    let ctx = d.runs.open_row(&row)?;
    let state = ctx.state().await.map_err(ApiError::failed)?;
    let mut logs = Vec::new();
    for (manager, p) in ctx.processes().await {
        if let Ok(Some(f)) = manager.logs(&p.name).await {
            logs.push((p.name.clone(), f.stdout));
            logs.push((p.name, f.stderr));
        }
    }
    Ok(Json(AppDetail { state, logs }))
}

#[derive(Deserialize)]
struct ShutdownQuery {
    #[serde(default)]
    proxy: bool,
}

async fn shutdown(State(d): State<Daemon>, Query(q): Query<ShutdownQuery>) -> Result<Json<()>, ApiError> {
    if q.proxy {
        d.supervisor.stop_proxy().await;
    }
    let stop = d.stop.clone();
    tokio::spawn(async move {
        // The answer goes out first.
        tokio::time::sleep(Duration::from_millis(100)).await;
        stop.notify_one();
    });
    Ok(Json(()))
}
