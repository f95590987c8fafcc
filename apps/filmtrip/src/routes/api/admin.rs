//! What only admins see: figures, accounts, the queue, and whether all files are there.

use axum::Json;
use axum::extract::{FromRequestParts, Path, Query, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;

use super::{Api, Change, Session, Shared};
use crate::auth::{self, session};
use crate::db::jobs::Place;
use crate::db::sql::Sql;
use crate::db::{accounts, integrity, jobs, migrations, now_ms, photos, reports, uploads, usage};
use crate::error::ApiError;
use crate::model::limits::EMAIL;
use crate::model::{
    AccountChange, AccountInfo, AccountList, Integrity, JobList, NewAccount, Overview, Retried, SetupLink,
    StorageReport, StorageUse, UserRole, Volume,
};
use crate::work::Kind;

/// A session of an admin.
pub(super) struct Admin;

impl FromRequestParts<Arc<Api>> for Admin {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, ApiError> {
        admin(&Session::from_request_parts(parts, api).await?).map(|()| Self)
    }
}

fn admin(session: &Session) -> Result<(), ApiError> {
    if session.user.role == UserRole::Admin { Ok(()) } else { Err(ApiError::Forbidden) }
}

/// A change by an admin.
pub(super) struct AdminChange(pub(super) Session);

impl FromRequestParts<Arc<Api>> for AdminChange {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, ApiError> {
        let Change(session) = Change::from_request_parts(parts, api).await?;
        admin(&session).map(|()| Self(session))
    }
}

/// How long the volume of the media folder is waited for: a stuck one must not take the page with it.
const VOLUME_WAIT: Duration = Duration::from_secs(2);

/// The volume of the media folder; none when it does not answer.
async fn volume(api: &Api) -> Option<Volume> {
    let local = api.storage.local.clone();
    let asked = tokio::task::spawn_blocking(move || local.volume());
    match tokio::time::timeout(VOLUME_WAIT, asked).await {
        Ok(Ok(Ok((total, free)))) => Some(Volume::new(total, free)),
        Ok(Ok(Err(e))) => {
            tracing::warn!("the room of the media folder is not known: {e}");
            None
        }
        Ok(Err(e)) => {
            tracing::warn!("the room of the media folder is not known: {e}");
            None
        }
        Err(_) => {
            tracing::warn!("the volume of the media folder does not answer");
            None
        }
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct StorageQuery {
    after: Option<String>,
}

/// `GET /api/admin/storage`: what is stored where, the people page by page.
pub(super) async fn storage(
    State(api): Shared,
    _admin: Admin,
    Query(query): Query<StorageQuery>,
) -> Result<Json<StorageReport>, ApiError> {
    let read = move |sql: &mut Sql| Ok(usage::report(sql, query.after.as_deref())?);
    let report = api.db.call(read).await?;
    Ok(Json(StorageReport { volume: volume(&api).await, ..report }))
}

/// `GET /api/overview`: figures.
pub(super) async fn overview(State(api): Shared, _admin: Admin) -> Result<Json<Overview>, ApiError> {
    let release = api.config.release.clone();
    let in_work = api.capacity.in_work() as u64;
    let upyun = api.storage.upyun.as_deref();
    let (direct_upload, image_processing) =
        (upyun.is_some_and(|u| u.direct), upyun.is_some_and(|u| u.processing));
    let volume = volume(&api).await;
    let read = move |sql: &mut Sql| {
        let (photos, trashed, original_bytes) = photos::totals(sql)?;
        let storage = photos::by_backend(sql)?;
        let (due, failed_jobs) = jobs::depth(sql)?;
        Ok(Overview {
            photos,
            trashed,
            original_bytes,
            storage: storage
                .into_iter()
                .map(|(backend, photos, bytes)| StorageUse { backend, photos, bytes })
                .collect(),
            users: accounts::count(sql)?,
            queue_depth: due + in_work,
            failed_jobs,
            pending_uploads: uploads::pending(sql)?,
            reported: reports::waiting(sql)?,
            volume,
            direct_upload,
            image_processing,
            schema: migrations::version(sql)?,
            release,
        })
    };
    Ok(Json(api.db.call(read).await?))
}

/// `GET /api/admin/accounts`.
pub(super) async fn accounts(State(api): Shared, _admin: Admin) -> Result<Json<AccountList>, ApiError> {
    Ok(Json(AccountList { accounts: api.db.call(|sql| Ok(accounts::list(sql)?)).await? }))
}

/// An email in the form that is stored.
///
/// # Errors
/// It is not one.
pub(crate) fn email(text: &str) -> Result<String, ApiError> {
    let email = text.trim().to_lowercase();
    let valid = email.split_once('@').is_some_and(|(name, host)| !name.is_empty() && !host.is_empty());
    if !valid || email.len() > EMAIL || email.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(ApiError::BadRequest(format!("`{email}` is not an email address")));
    }
    Ok(email)
}

fn link(sql: &mut Sql, id: i64, email: String) -> Result<SetupLink, ApiError> {
    let token = session::new_token();
    accounts::add_setup_token(sql, id, &session::token_hash(&token), now_ms() + auth::SETUP_MS)?;
    Ok(SetupLink { email, path: format!("/setup?token={token}") })
}

/// `POST /api/admin/accounts`: the person sets their password by the one-time link.
pub(super) async fn new_account(
    State(api): Shared,
    AdminChange(by): AdminChange,
    Json(new): Json<NewAccount>,
) -> Result<(StatusCode, Json<SetupLink>), ApiError> {
    let email = email(&new.email)?;
    let write = move |sql: &mut Sql| {
        let id = accounts::create(sql, &email, new.role, None)?;
        let id = id.ok_or_else(|| ApiError::BadRequest(format!("there is an account {email} already")))?;
        tracing::info!("account {id} made by {}", by.user.id);
        link(sql, id, email)
    };
    Ok((StatusCode::CREATED, Json(api.db.write(write).await?)))
}

/// `PATCH /api/admin/accounts/{id}`.
pub(super) async fn change_account(
    State(api): Shared,
    AdminChange(by): AdminChange,
    Path(id): Path<i64>,
    Json(change): Json<AccountChange>,
) -> Result<Json<AccountInfo>, ApiError> {
    if by.user.id == id && (change.disabled == Some(true) || change.role == Some(UserRole::User)) {
        return Err(ApiError::BadRequest("nobody locks themselves out; another admin can do it".to_owned()));
    }
    let write = move |sql: &mut Sql| {
        accounts::change(sql, id, &change)?;
        accounts::list(sql)?.into_iter().find(|account| account.id == id).ok_or(ApiError::NotFound)
    };
    Ok(Json(api.db.write(write).await?))
}

/// `POST /api/admin/accounts/{id}/setup-link`: for a forgotten password. The old one works until the link is used.
pub(super) async fn setup_link(
    State(api): Shared,
    AdminChange(_by): AdminChange,
    Path(id): Path<i64>,
) -> Result<Json<SetupLink>, ApiError> {
    let write = move |sql: &mut Sql| {
        let user = accounts::by_id(sql, id)?.ok_or(ApiError::NotFound)?;
        if user.disabled {
            return Err(ApiError::BadRequest("the account is locked out".to_owned()));
        }
        link(sql, id, user.email)
    };
    Ok(Json(api.db.write(write).await?))
}

/// Jobs of a page, when nothing else is asked for.
const JOBS_PAGE: u32 = 100;

#[derive(Debug, Deserialize)]
pub(super) struct JobsQuery {
    before: Option<String>,
    limit: Option<u32>,
}

/// `GET /api/admin/jobs`, page by page.
pub(super) async fn jobs(
    State(api): Shared,
    _admin: Admin,
    Query(query): Query<JobsQuery>,
) -> Result<Json<JobList>, ApiError> {
    let place = |text: String| Place::parse(&text).ok_or(ApiError::BadRequest("no such page".to_owned()));
    let (after, limit) =
        (query.before.map(place).transpose()?, query.limit.unwrap_or(JOBS_PAGE).clamp(1, 500));
    Ok(Json(api.db.call(move |sql| Ok(jobs::page(sql, after, limit)?)).await?))
}

/// `POST /api/admin/jobs/retry`: all that were given up.
pub(super) async fn retry_all(
    State(api): Shared,
    AdminChange(_by): AdminChange,
) -> Result<Json<Retried>, ApiError> {
    let jobs = api.db.write(|sql| Ok(jobs::retry_all(sql)?)).await?;
    api.queue.wake();
    Ok(Json(Retried { jobs }))
}

/// `POST /api/admin/jobs/{id}/retry`.
pub(super) async fn retry(
    State(api): Shared,
    AdminChange(_by): AdminChange,
    Path(id): Path<i64>,
) -> Result<StatusCode, ApiError> {
    let found = api.db.write(move |sql| Ok(jobs::retry(sql, id)?)).await?;
    api.queue.wake();
    if found { Ok(StatusCode::NO_CONTENT) } else { Err(ApiError::NotFound) }
}

#[derive(Debug, Deserialize)]
pub(super) struct FaultsQuery {
    after: Option<String>,
}

/// `GET /api/admin/integrity`, the faults page by page.
pub(super) async fn integrity(
    State(api): Shared,
    _admin: Admin,
    Query(query): Query<FaultsQuery>,
) -> Result<Json<Integrity>, ApiError> {
    Ok(Json(api.db.call(move |sql| Ok(integrity::read(sql, query.after.as_deref())?)).await?))
}

/// `POST /api/admin/integrity`: has all files looked through.
pub(super) async fn start_integrity(
    State(api): Shared,
    AdminChange(_by): AdminChange,
) -> Result<StatusCode, ApiError> {
    api.db.write(|sql| Ok(Kind::Integrity.enqueue(sql, "all", now_ms())?)).await?;
    api.queue.wake();
    Ok(StatusCode::ACCEPTED)
}
