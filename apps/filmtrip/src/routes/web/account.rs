//! Login, logout, the first password, one's own account.

use axum::Form;
use axum::extract::{Query, State};
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};

use super::backend::{copy, json};
use super::fields::{Fields, studio_path};
use super::{Failure, Shared, Visit, done};
use crate::i18n::Texts;
use crate::model::{LoginBody, SessionInfo, SetupBody};
use crate::templates::account as pages;
use crate::templates::parts::enc;

/// `GET /login?next=`.
pub(super) async fn login_page(visit: Visit, Query(query): Query<Fields>) -> Response {
    let next = query.line("next");
    let next = studio_path(&next).unwrap_or("/admin");
    if visit.session.is_some() {
        return Redirect::to(next).into_response();
    }
    let texts = visit.texts();
    let kept = pages::Kept { next, fields: &[] };
    visit.plain(texts.login_title, pages::login(texts, "", visit.notice(&query), None, &kept))
}

/// `POST /login`: and on to where the person was going, or to the form that they had not sent yet.
pub(super) async fn login(State(web): Shared, mut visit: Visit, Form(form): Form<Fields>) -> Response {
    let next = form.line("next");
    let next = studio_path(&next).unwrap_or("/admin");
    let fields: Vec<(String, String)> = form
        .0
        .iter()
        .filter_map(|(name, value)| Some((name.strip_prefix(pages::KEPT)?.to_owned(), value.clone())))
        .collect();
    let kept = pages::Kept { next, fields: &fields };
    let texts = visit.texts();
    let body = LoginBody {
        email: form.line("email"),
        password: form.raw("password").unwrap_or_default().to_owned(),
    };
    let answer =
        match web.backend.call(&visit.caller, Method::POST, "/api/auth/login", None, Some(&body)).await {
            Ok(answer) => answer,
            Err(failure) => {
                let body = pages::login(texts, &body.email, None, Some(texts.error(&failure.code)), &kept);
                return visit.page(failure.status, texts.login_title, &[], None, body);
            }
        };
    if fields.is_empty() {
        return done(next, &answer);
    }
    let cookies = answer.headers().clone();
    match json::<SessionInfo>(answer).await {
        Ok(session) => {
            let body = pages::resend(texts, &session, &kept);
            visit.session = Some(session);
            let mut response = visit.plain(texts.resend_title, body);
            copy(&cookies, response.headers_mut(), &[header::SET_COOKIE]);
            response
        }
        Err(failure) => visit.failed(&failure),
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
pub(super) async fn setup(State(web): Shared, mut visit: Visit, Form(form): Form<SetupBody>) -> Response {
    match web.backend.call(&visit.caller, Method::POST, "/api/auth/setup", None, Some(&form)).await {
        Ok(answer) => done("/login?notice=setup", &answer),
        Err(failure) => {
            let texts = visit.texts();
            let problem = match failure.code.as_str() {
                "not_found" => texts.setup_gone,
                other => password_problem(texts, other),
            };
            let body = pages::setup(texts, &form.token, Some(problem));
            // The other language is that of the same link.
            visit.about(&format!("token={}", enc(&form.token)));
            visit.page(failure.status, texts.setup_title, &[], None, body)
        }
    }
}

fn password_problem(texts: &Texts, code: &str) -> &'static str {
    if code == "bad_request" { texts.weak_password } else { texts.error(code) }
}

/// `GET /admin/account`.
pub(super) async fn page(visit: Visit, Query(query): Query<Fields>) -> Response {
    let Some(session) = &visit.session else { return visit.to_login() };
    let texts = visit.texts();
    visit.studio(texts.account, pages::own(texts, session, visit.notice(&query), None))
}

/// `POST /admin/account`.
pub(super) async fn password(visit: Visit, Form(form): Form<Fields>) -> Response {
    let Some(session) = &visit.session else { return visit.to_login() };
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
