//! The control API: what [`crate::Emulator`] can do, for those who are not Rust. Loopback only, without a password.
//!
//! | request | does |
//! |---|---|
//! | `GET /` | buckets, operators and domains |
//! | `GET`, `PUT`, `DELETE /faults` | reads, sets, resets the faults |
//! | `GET /callbacks`, `GET /requests` | what happened |
//! | `POST /callbacks` `{url, operator, forgery, fields}` | sends a forged callback |
//! | `PATCH /buckets/{bucket}` `{form_api, form_key, separator, blocked}` | changes settings |
//! | `PUT`, `DELETE /buckets/{bucket}/styles/{style}` | makes a style of the body's parameters, or removes it |
//! | `PUT`, `DELETE /operators/{name}` `{password, rights, blocked}` | makes, changes or revokes an operator |
//! | `PUT`, `DELETE /domains/{host}` `{bucket, token}` | binds or unbinds a domain |
//! | `DELETE /cdn-cache` | empties the CDN |
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, patch, put};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::admin::{BucketChange, EditError, OperatorChange};
use crate::faults::{Faults, Forgery};
use crate::notify;
use crate::server::Shared;

type Control = State<Arc<Shared>>;

impl IntoResponse for EditError {
    fn into_response(self) -> Response {
        let status = match self {
            Self::NoBucket { .. } => StatusCode::NOT_FOUND,
            _ => StatusCode::BAD_REQUEST,
        };
        (status, Json(json!({ "error": self.to_string() }))).into_response()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Binding {
    bucket: String,
    #[serde(default)]
    token: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Forged {
    url: String,
    operator: String,
    forgery: Forgery,
    #[serde(default)]
    fields: Map<String, Value>,
}

pub(crate) fn router(shared: &Arc<Shared>) -> Router {
    Router::new()
        .route("/", get(summary))
        .route("/faults", get(faults).put(set_faults).delete(reset_faults))
        .route("/callbacks", get(callbacks).post(forge))
        .route("/requests", get(requests))
        .route("/buckets/{bucket}", patch(change_bucket))
        .route("/buckets/{bucket}/styles/{style}", put(set_style).delete(remove_style))
        .route("/operators/{name}", put(change_operator).delete(revoke_operator))
        .route("/domains/{host}", put(bind_domain).delete(unbind_domain))
        .route("/cdn-cache", delete(flush))
        .with_state(Arc::clone(shared))
}

async fn summary(State(shared): Control) -> Json<Value> {
    let world = shared.world();
    let buckets: Map<String, Value> = world.buckets.iter().map(|(name, bucket)| {
        let about = json!({
            "files": bucket.nodes.len(), "bytes": bucket.bytes(), "styles": bucket.styles,
            "separator": bucket.separator.to_string(), "form_api": bucket.form_api, "blocked": bucket.blocked,
        });
        (name.clone(), about)
    }).collect();
    let operators: Map<String, Value> = world
        .operators
        .iter()
        .map(|(name, state)| (name.clone(), json!({ "rights": state.rights, "blocked": state.blocked })))
        .collect();
    let domains: Map<String, Value> = world.domains.iter().map(|(host, domain)| {
        (host.clone(), json!({ "bucket": domain.bucket, "token": domain.token.is_some(), "cached": domain.cache.len() }))
    }).collect();
    Json(json!({ "buckets": buckets, "operators": operators, "domains": domains }))
}

async fn faults(State(shared): Control) -> Json<Faults> {
    Json(shared.world().faults.clone())
}

async fn set_faults(State(shared): Control, Json(faults): Json<Faults>) -> StatusCode {
    shared.world().faults = faults;
    StatusCode::NO_CONTENT
}

async fn reset_faults(State(shared): Control) -> StatusCode {
    shared.world().faults = Faults::default();
    StatusCode::NO_CONTENT
}

async fn callbacks(State(shared): Control) -> Response {
    Json(shared.callbacks.all()).into_response()
}

async fn forge(State(shared): Control, Json(forged): Json<Forged>) -> StatusCode {
    notify::forge(&shared, &forged.url, &forged.operator, forged.forgery, &forged.fields).await;
    StatusCode::NO_CONTENT
}

async fn requests(State(shared): Control) -> Response {
    let requests: Vec<_> = shared.world().requests.iter().cloned().collect();
    Json(requests).into_response()
}

async fn change_bucket(
    State(shared): Control,
    Path(bucket): Path<String>,
    Json(change): Json<BucketChange>,
) -> Result<StatusCode, EditError> {
    shared.change_bucket(&bucket, change).map(|()| StatusCode::NO_CONTENT)
}

async fn set_style(
    State(shared): Control,
    Path((bucket, style)): Path<(String, String)>,
    parameters: String,
) -> Result<StatusCode, EditError> {
    shared.set_style(&bucket, &style, parameters.trim()).map(|()| StatusCode::NO_CONTENT)
}

async fn remove_style(
    State(shared): Control,
    Path((bucket, style)): Path<(String, String)>,
) -> Result<StatusCode, EditError> {
    shared.remove_style(&bucket, &style).map(|()| StatusCode::NO_CONTENT)
}

async fn change_operator(
    State(shared): Control,
    Path(name): Path<String>,
    Json(change): Json<OperatorChange>,
) -> Result<StatusCode, EditError> {
    shared.change_operator(&name, change).map(|()| StatusCode::NO_CONTENT)
}

async fn revoke_operator(State(shared): Control, Path(name): Path<String>) -> StatusCode {
    shared.world().operators.remove(&name);
    StatusCode::NO_CONTENT
}

async fn bind_domain(
    State(shared): Control,
    Path(host): Path<String>,
    Json(binding): Json<Binding>,
) -> Result<StatusCode, EditError> {
    shared.bind_domain(&host, &binding.bucket, binding.token.as_deref()).map(|()| StatusCode::NO_CONTENT)
}

async fn unbind_domain(State(shared): Control, Path(host): Path<String>) -> StatusCode {
    shared.world().domains.remove(&host.to_ascii_lowercase());
    StatusCode::NO_CONTENT
}

async fn flush(State(shared): Control) -> StatusCode {
    shared.flush_cdn();
    StatusCode::NO_CONTENT
}
