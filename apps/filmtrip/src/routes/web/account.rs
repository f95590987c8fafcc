//! Login, logout, the first password, one's own account.

use axum::Form;
use axum::extract::{Query, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};

use super::fields::Fields;
use super::{Failure, Shared, Visit, done, to_login};
use crate::i18n::Texts;
use crate::model::{LoginBody, SetupBody};
use crate::templates::account as pages;

/// `GET /login`.
pub(super) async fn login_page(visit: Visit, Query(query): Query<Fields>) -> Response {
    if visit.session.is_some() {
        return Redirect::to("/admin").into_response();
    }
    let texts = visit.texts();
    visit.plain(texts.login_title, pages::login(texts, "", visit.notice(&query), None))
}

/// `POST /login`.
pub(super) async fn login(State(web): Shared, visit: Visit, Form(form): Form<LoginBody>) -> Response {
    match web.backend.call(&visit.caller, Method::POST, "/api/auth/login", None, Some(&form)).await {
        Ok(answer) => done("/admin", &answer),
        Err(failure) => {
            let texts = visit.texts();
            let body = pages::login(texts, &form.email, None, Some(texts.error(&failure.code)));
            visit.page(failure.status, texts.login_title, &[], None, body)
        }
    }
}

/// `POST /logout`.
pub(super) async fn logout(visit: Visit, Form(form): Form<Fields>) -> Response {
    let answer = visit.change(Method::POST, "/api/auth/logout", form.csrf(), None::<&()>).await;
    visit.answer(answer.map(|answer| done("/", &answer)))
}

/// `GET /setup?token=`.
pub(super) async fn setup_page(visit: Visit, Query(query): Query<Fields>) -> Response {
    let texts = visit.texts();
    visit.plain(texts.setup_title, pages::setup(texts, &query.line("token"), None))
}

/// `POST /setup`.
pub(super) async fn setup(State(web): Shared, visit: Visit, Form(form): Form<SetupBody>) -> Response {
    match web.backend.call(&visit.caller, Method::POST, "/api/auth/setup", None, Some(&form)).await {
        Ok(answer) => done("/login?notice=setup", &answer),
        Err(failure) => {
            let texts = visit.texts();
            let problem = match failure.code.as_str() {
                "not_found" => texts.setup_gone,
                other => password_problem(texts, other),
            };
            let body = pages::setup(texts, &form.token, Some(problem));
            visit.page(failure.status, texts.setup_title, &[], None, body)
        }
    }
}

fn password_problem(texts: &Texts, code: &str) -> &'static str {
    if code == "bad_request" { texts.weak_password } else { texts.error(code) }
}

/// `GET /admin/account`.
pub(super) async fn page(visit: Visit, Query(query): Query<Fields>) -> Response {
    let Some(session) = &visit.session else { return to_login() };
    let texts = visit.texts();
    visit.studio(texts.account, pages::own(texts, session, visit.notice(&query), None))
}

/// `POST /admin/account`.
pub(super) async fn password(visit: Visit, Form(form): Form<Fields>) -> Response {
    let Some(session) = &visit.session else { return to_login() };
    let raw = |name| form.raw(name).unwrap_or_default();
    let body = serde_json::json!({ "old": raw("old"), "new": raw("new") });
    match visit.change(Method::POST, "/api/auth/password", form.csrf(), Some(&body)).await {
        Ok(answer) => done("/admin/account?notice=password", &answer),
        // The session was good a moment ago: what is not authorised is the old password.
        Err(Failure { status, code, .. }) => {
            let texts = visit.texts();
            let wrong = status == StatusCode::UNAUTHORIZED;
            let problem = if wrong { texts.wrong_login } else { password_problem(texts, &code) };
            visit.page(status, texts.account, &[], None, pages::own(texts, session, None, Some(problem)))
        }
    }
}
