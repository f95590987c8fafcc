//! Logging in and out, the first password, and the figures for admins.

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header, request::Parts};
use axum::response::{IntoResponse, Response};

use super::session::client;
use super::{Change, Session, Shared};
use crate::auth::{self, origin, password, session};
use crate::db::users::{self, User};
use crate::db::{migrations, now_ms, photos};
use crate::error::ApiError;
use crate::model::{LoginBody, Overview, SessionInfo, SetupBody, UserInfo, UserRole};

fn info(user: &User, token: &str) -> SessionInfo {
    SessionInfo {
        user: UserInfo { email: user.email.clone(), role: user.role },
        csrf_token: session::csrf_token(token),
    }
}

/// `POST /api/auth/login`: email and password for a session cookie.
pub(super) async fn login(
    State(api): Shared,
    parts: Parts,
    Json(body): Json<LoginBody>,
) -> Result<Response, ApiError> {
    if !origin::allowed(&parts.headers, api.config.public_origin.as_deref()) {
        return Err(ApiError::Csrf);
    }
    let email = body.email.trim().to_lowercase();
    if email.len() > 254 || body.password.len() > password::MAX_BYTES {
        return Err(ApiError::WrongLogin);
    }
    let address = client(&parts, &api);
    let subjects = [format!("ip {address}"), format!("account {address} {email}")];
    let user = {
        let (subjects, email) = (subjects.clone(), email.clone());
        let reserve = move |tx: &rusqlite::Transaction<'_>| {
            users::reserve_attempt(tx, &subjects[0], auth::MAX_PER_ADDRESS, auth::WINDOW_MS)?;
            users::reserve_attempt(tx, &subjects[1], auth::MAX_PER_ACCOUNT, auth::WINDOW_MS)?;
            Ok(users::by_email(tx, &email)?)
        };
        api.db.write(reserve).await?
    };
    let hash = user.as_ref().and_then(|u| u.password_hash.clone());
    let Ok(_permit) = api.hashing.acquire().await else { return Err(ApiError::Busy) };
    let right = tokio::task::spawn_blocking(move || password::verify(&body.password, hash.as_deref()))
        .await
        .map_err(|e| ApiError::Internal(format!("password check: {e}")))?;
    let Some(user) = user.filter(|_| right) else {
        tracing::warn!("login refused from {address}");
        return Err(ApiError::WrongLogin);
    };
    let token = session::new_token();
    let token_hash = session::token_hash(&token);
    let user_id = user.id;
    let open = move |tx: &rusqlite::Transaction<'_>| {
        for subject in &subjects {
            users::release_attempt(tx, subject)?;
        }
        users::open_session(tx, user_id, &token_hash, now_ms() + auth::SESSION_MS)?;
        Ok(())
    };
    api.db.write(open).await?;
    tracing::info!("login of user {user_id} from {address}");
    let cookie = session::set_cookie(api.config.secure(), &token);
    let headers = [(header::SET_COOKIE, cookie), (header::CACHE_CONTROL, "no-store".to_owned())];
    Ok((headers, Json(info(&user, &token))).into_response())
}

/// `POST /api/auth/logout`: ends the session here and in the browser.
pub(super) async fn logout(State(api): Shared, Change(session): Change) -> Result<Response, ApiError> {
    let hash = session::token_hash(&session.token);
    api.db.write(move |tx| Ok(users::close_session(tx, &hash)?)).await?;
    let cookie = session::clear_cookie(api.config.secure());
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie)]).into_response())
}

/// `GET /api/auth/session`: who is logged in, and the CSRF token.
pub(super) async fn session(session: Session) -> impl IntoResponse {
    ([(header::CACHE_CONTROL, "no-store")], Json(info(&session.user, &session.token)))
}

/// `POST /api/auth/setup`: the first password, with the token of a set-up link.
pub(super) async fn setup(
    State(api): Shared,
    parts: Parts,
    Json(body): Json<SetupBody>,
) -> Result<StatusCode, ApiError> {
    if !origin::allowed(&parts.headers, api.config.public_origin.as_deref()) {
        return Err(ApiError::Csrf);
    }
    let subject = format!("setup {}", client(&parts, &api));
    api.db
        .write(move |tx| users::reserve_attempt(tx, &subject, auth::MAX_PER_ADDRESS, auth::WINDOW_MS))
        .await?;
    let Ok(_permit) = api.hashing.acquire().await else { return Err(ApiError::Busy) };
    let hash = tokio::task::spawn_blocking(move || password::hash(&body.password))
        .await
        .map_err(|e| ApiError::Internal(format!("password hash: {e}")))?
        .map_err(|e| match e {
            password::PasswordError::Hash(e) => ApiError::Internal(e),
            weak => ApiError::BadRequest(weak.to_string()),
        })?;
    let token = session::token_hash(&body.token);
    api.db.write(move |tx| users::use_setup_token(tx, &token, &hash)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /api/overview`: figures for admins.
pub(super) async fn overview(State(api): Shared, session: Session) -> Result<Json<Overview>, ApiError> {
    if session.user.role != UserRole::Admin {
        return Err(ApiError::Forbidden);
    }
    let (queue_depth, release) = (api.jobs.depth(), api.config.release.clone());
    let read = move |conn: &mut rusqlite::Connection| {
        let (photos, original_bytes) = photos::totals(conn)?;
        let (users, schema) = (users::count(conn)?, migrations::version(conn)?);
        Ok(Overview { photos, original_bytes, users, queue_depth, schema, release })
    };
    Ok(Json(api.db.call(read).await?))
}
