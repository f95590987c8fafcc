//! The control socket: HTTP and JSON in, `ops` behind. It decides nothing itself.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::extract::{Path, State as AxumState, rejection::JsonRejection};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post, put};
use axum::{Json, Router};

use crate::error::TableError;
use crate::headers::Network;
use crate::ops::{OpError, Ops};
use crate::protocol::{
    CertificateState, ErrorBody, Hold, HoldState, MetricsReport, PutService, ReleaseHold, RouteMatch,
    ServiceState, SetCandidate, SetShare, State, Switch,
};

/// What the handlers need.
#[derive(Clone)]
pub(crate) struct Control {
    pub(crate) ops: Arc<Ops>,
    pub(crate) listen: Arc<Vec<SocketAddr>>,
    pub(crate) listen_tls: Arc<Vec<SocketAddr>>,
    pub(crate) trusted: Arc<Vec<Network>>,
}

/// The routes of the control socket.
pub(crate) fn router(control: Control) -> Router {
    Router::new()
        .route("/v1/state", get(state))
        .route("/v1/metrics", get(metrics))
        .route("/v1/services/{app}/{service}", put(put_service).delete(delete_service))
        .route("/v1/services/{app}/{service}/switch", post(switch))
        .route("/v1/services/{app}/{service}/candidate", post(candidate))
        .route("/v1/services/{app}/{service}/share", post(share))
        .route("/v1/services/{app}/{service}/hold", post(hold))
        .route("/v1/services/{app}/{service}/release", post(release))
        .route("/v1/apps/{app}", delete(delete_app))
        .route("/v1/certificates/reload", post(reload_certificates))
        .fallback(|| async { refuse(StatusCode::NOT_FOUND, "not_found", "there is no such request".into()) })
        .with_state(control)
}

type Names = Path<(String, String)>;
type Body<T> = Result<Json<T>, JsonRejection>;

async fn state(AxumState(control): AxumState<Control>) -> Json<State> {
    Json(control.state())
}

async fn metrics(AxumState(control): AxumState<Control>) -> Json<MetricsReport> {
    Json(control.ops.live.metrics.report())
}

/// Runs an operation to its end even when the caller goes away: a switch that has begun must drain.
async fn finish<T, B, F, Fut>(control: Control, body: Body<B>, run: F) -> Response
where
    T: serde::Serialize + Send + 'static,
    B: Send + 'static,
    F: FnOnce(Arc<Ops>, B) -> Fut + Send + 'static,
    Fut: Future<Output = Result<T, OpError>> + Send + 'static,
{
    let body = match body {
        Ok(Json(body)) => body,
        Err(rejection) => return refuse(StatusCode::BAD_REQUEST, "invalid", rejection.body_text()),
    };
    match tokio::spawn(run(control.ops, body)).await {
        Ok(Ok(done)) => Json(done).into_response(),
        Ok(Err(error)) => {
            let (status, code) = kind(&error);
            refuse(status, code, error.to_string())
        }
        Err(error) => {
            refuse(StatusCode::INTERNAL_SERVER_ERROR, "internal", format!("the operation broke: {error}"))
        }
    }
}

async fn put_service(
    AxumState(c): AxumState<Control>,
    Path((app, name)): Names,
    body: Body<PutService>,
) -> Response {
    finish(c, body, |ops, b| async move { ops.put(&app, &name, b).await }).await
}

async fn switch(AxumState(c): AxumState<Control>, Path((app, name)): Names, body: Body<Switch>) -> Response {
    finish(c, body, |ops, b| async move { ops.switch(&app, &name, b).await }).await
}

async fn candidate(
    AxumState(c): AxumState<Control>,
    Path((app, name)): Names,
    body: Body<SetCandidate>,
) -> Response {
    finish(c, body, |ops, b| async move { ops.candidate(&app, &name, b).await }).await
}

async fn share(AxumState(c): AxumState<Control>, Path((app, name)): Names, body: Body<SetShare>) -> Response {
    finish(c, body, |ops, b| async move { ops.share(&app, &name, b).await }).await
}

async fn hold(AxumState(c): AxumState<Control>, Path((app, name)): Names, body: Body<Hold>) -> Response {
    finish(c, body, |ops, b| async move { ops.hold(&app, &name, b).await }).await
}

async fn release(
    AxumState(c): AxumState<Control>,
    Path((app, name)): Names,
    body: Body<ReleaseHold>,
) -> Response {
    finish(c, body, |ops, _| async move { ops.release(&app, &name, None).await }).await
}

async fn delete_service(AxumState(c): AxumState<Control>, Path((app, name)): Names) -> Response {
    finish(c, Ok(Json(())), |ops, ()| async move { ops.delete_service(&app, &name).await }).await
}

async fn delete_app(AxumState(c): AxumState<Control>, Path(app): Path<String>) -> Response {
    finish(c, Ok(Json(())), |ops, ()| async move { ops.delete(&app).await }).await
}

async fn reload_certificates(AxumState(c): AxumState<Control>) -> Json<Vec<CertificateState>> {
    Json(c.ops.reload_certificates().await)
}

fn kind(error: &OpError) -> (StatusCode, &'static str) {
    match error {
        OpError::Table(TableError::NoApp(_) | TableError::NoService { .. }) => {
            (StatusCode::NOT_FOUND, "not_found")
        }
        OpError::Table(_) | OpError::Certificate(_) => (StatusCode::UNPROCESSABLE_ENTITY, "invalid"),
        OpError::Store(_) => (StatusCode::INSUFFICIENT_STORAGE, "storage"),
        OpError::Probe(_) => (StatusCode::PRECONDITION_FAILED, "probe_failed"),
        OpError::HandedOver | OpError::PredecessorAlive(_) | OpError::Held(_) => {
            (StatusCode::CONFLICT, "upgrading")
        }
    }
}

fn refuse(status: StatusCode, code: &str, message: String) -> Response {
    (status, Json(ErrorBody { code: code.into(), message })).into_response()
}

impl Control {
    fn state(&self) -> State {
        let live = &self.ops.live;
        let snapshot = live.snapshot();
        let leaving = live.leaving(None);
        let services = snapshot.services.iter().map(|s| {
            let routes = snapshot.table.app(&s.app).map(|a| a.routes.as_slice()).unwrap_or_default();
            let gone: Vec<_> = leaving.iter().filter(|l| l.app == s.app && l.service == s.name).collect();
            let mut in_flight = std::collections::BTreeMap::new();
            let running = Some(&s.stable).into_iter().chain(&s.candidate);
            for activation in running.chain(gone.iter().map(|l| &l.activation)) {
                *in_flight.entry(activation.release.version.clone()).or_default() += activation.in_flight();
            }
            ServiceState {
                app: s.app.clone(),
                service: s.name.clone(),
                routes: routes
                    .iter()
                    .filter(|r| r.service == s.name)
                    .map(|r| RouteMatch { https_port: r.https_port, ..RouteMatch::new(&r.host, &r.prefix) })
                    .collect(),
                stable: s.config.stable.clone(),
                candidate: s.config.candidate.clone(),
                certificates: s.config.certificates.clone(),
                token_set: s.config.token.is_some(),
                held: s.gate.state().map(|(terms, waiting)| HoldState {
                    since_unix_ms: terms.since_unix_ms,
                    waiting,
                    queue_cap: terms.queue_cap as u64,
                    max_wait_ms: u64::try_from(terms.max_wait.as_millis()).unwrap_or(u64::MAX),
                }),
                hold_lost_at_restart: s.hold_lost.load(Ordering::Relaxed),
                in_flight,
                draining: gone.iter().map(|l| l.activation.release.version.clone()).collect(),
            }
        });
        State {
            pid: std::process::id(),
            start_id: live.metrics.start_id.clone(),
            program: env!("CARGO_PKG_VERSION").into(),
            listen: self.listen.to_vec(),
            listen_tls: self.listen_tls.to_vec(),
            trusted_proxies: self.trusted.to_vec(),
            certificates: self.ops.certificates.report(),
            table_version: snapshot.table.version,
            predecessor_pid: self.ops.predecessor_pid(),
            services: services.collect(),
        }
    }
}
