//! Logging in and out, the first password, and another one.

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header, request::Parts};
use axum::response::{IntoResponse, Response};

use super::session::client;
use super::{Api, Change, Session, Shared};
use crate::auth::{self, origin, password, session};
use crate::db::accounts::{self, User};
use crate::db::now_ms;
use crate::db::sql::Sql;
use crate::error::ApiError;
use crate::model::limits::EMAIL;
use crate::model::{LoginBody, PasswordBody, SessionInfo, SetupBody, UserInfo};

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
    if email.len() > EMAIL || body.password.len() > password::MAX_BYTES {
        return Err(ApiError::WrongLogin);
    }
    let address = client(&parts, &api);
    let subjects = [
        (format!("ip {address}"), auth::MAX_PER_ADDRESS),
        (format!("account {address} {email}"), auth::MAX_PER_ACCOUNT),
        (format!("email {email}"), auth::MAX_PER_EMAIL),
    ];
    let user = {
        let (subjects, email) = (subjects.clone(), email.clone());
        let reserve = move |sql: &mut Sql| {
            for (subject, most) in &subjects {
                accounts::reserve_attempt(sql, subject, *most, auth::WINDOW_MS)?;
            }
            Ok(accounts::by_email(sql, &email)?)
        };
        api.db.write(reserve).await?
    };
    let hash = user.as_ref().and_then(|u| u.password_hash.clone());
    let Ok(_permit) = api.hashing.acquire().await else { return Err(ApiError::Busy) };
    let right = tokio::task::spawn_blocking(move || password::verify(&body.password, hash.as_deref()))
        .await
        .map_err(|e| ApiError::Internal(format!("password check: {e}")))?;
    let Some(user) = user.filter(|user| right && !user.disabled) else {
        tracing::warn!("login refused from {address}");
        return Err(ApiError::WrongLogin);
    };
    let token = session::new_token();
    let token_hash = session::token_hash(&token);
    let user_id = user.id;
    let open = move |sql: &mut Sql| {
        for (subject, _) in &subjects {
            accounts::release_attempt(sql, subject)?;
        }
        accounts::open_session(sql, user_id, &token_hash, now_ms() + auth::SESSION_MS)?;
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
    api.db.write(move |sql| Ok(accounts::close_session(sql, &hash)?)).await?;
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
        .write(move |sql| accounts::reserve_attempt(sql, &subject, auth::MAX_PER_ADDRESS, auth::WINDOW_MS))
        .await?;
    let hash = hash(&api, body.password).await?;
    let token = session::token_hash(&body.token);
    api.db.write(move |sql| accounts::use_setup_token(sql, &token, &hash)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Hashes a new password.
async fn hash(api: &Api, password: String) -> Result<String, ApiError> {
    let Ok(_permit) = api.hashing.acquire().await else { return Err(ApiError::Busy) };
    tokio::task::spawn_blocking(move || password::hash(&password))
        .await
        .map_err(|e| ApiError::Internal(format!("password hash: {e}")))?
        .map_err(|e| match e {
            password::PasswordError::Hash(e) => ApiError::Internal(e),
            weak => ApiError::BadRequest(weak.to_string()),
        })
}

/// `POST /api/auth/password`: another password. The account's other sessions end.
pub(super) async fn change_password(
    State(api): Shared,
    Change(session): Change,
    Json(body): Json<PasswordBody>,
) -> Result<StatusCode, ApiError> {
    let (id, subject) = (session.user.id, format!("password {}", session.user.id));
    if body.old.len() > password::MAX_BYTES {
        return Err(ApiError::WrongLogin);
    }
    let reserve =
        move |sql: &mut Sql| accounts::reserve_attempt(sql, &subject, auth::MAX_PER_ACCOUNT, auth::WINDOW_MS);
    api.db.write(reserve).await?;
    let stored = session.user.password_hash.clone();
    let right = {
        let Ok(_permit) = api.hashing.acquire().await else { return Err(ApiError::Busy) };
        tokio::task::spawn_blocking(move || password::verify(&body.old, stored.as_deref()))
            .await
            .map_err(|e| ApiError::Internal(format!("password check: {e}")))?
    };
    if !right {
        return Err(ApiError::WrongLogin);
    }
    let hash = hash(&api, body.new).await?;
    let keep = session::token_hash(&session.token);
    let set = move |sql: &mut Sql| {
        accounts::release_attempt(sql, &format!("password {id}"))?;
        Ok(accounts::set_password(sql, id, &hash, &keep)?)
    };
    api.db.write(set).await?;
    Ok(StatusCode::NO_CONTENT)
}
