//! The site for admins: figures, jobs, integrity, people.

use axum::Form;
use axum::extract::{Path, Query};
use axum::http::{Method, StatusCode};
use axum::response::Response;

use super::backend::{Failure, json};
use super::fields::{Fields, bad, is_key};
use super::scope::before;
use super::{Visit, done};
use crate::model::limits::EMAIL;
use crate::model::{
    AccountChange, AccountList, Integrity, JobList, NewAccount, Overview, SessionInfo, SetupLink,
    StorageReport, UserRole,
};
use crate::templates::parts::enc;
use crate::templates::{Script, site as pages, storage as used};

/// `GET /admin/site`.
pub(super) async fn page(visit: Visit, Query(query): Query<Fields>) -> Response {
    let Some(session) = &visit.session else { return visit.to_login() };
    let texts = visit.texts();
    let (before, after) = (before(&query), query.filled("after").filter(|key| is_key(key)));
    let jobs = before.as_deref().map(|b| format!("?before={}", enc(b))).unwrap_or_default();
    let faults = after.as_deref().map(|a| format!("?after={a}")).unwrap_or_default();
    let (jobs, faults) = (format!("/api/admin/jobs{jobs}"), format!("/api/admin/integrity{faults}"));
    let read = async {
        let (overview, jobs, integrity) = tokio::try_join!(
            visit.ask::<Overview>("/api/overview"),
            visit.ask::<JobList>(&jobs),
            visit.ask::<Integrity>(&faults),
        )?;
        let view = pages::View {
            session,
            overview: &overview,
            queue: &jobs,
            integrity: &integrity,
            paged: (before.is_some(), after.is_some()),
            notice: visit.notice(&query),
        };
        Ok(visit.studio(texts.site, pages::page(texts, &view)))
    };
    let answer = read.await;
    visit.answer(answer)
}

/// `GET /admin/site/storage`.
pub(super) async fn storage(visit: Visit, Query(query): Query<Fields>) -> Response {
    if visit.session.is_none() {
        return visit.to_login();
    }
    let (texts, after) = (visit.texts(), query.filled("after").filter(|a| a.len() <= EMAIL));
    let page = after.as_deref().map(|a| format!("?after={}", enc(a))).unwrap_or_default();
    let answer = visit.ask::<StorageReport>(&format!("/api/admin/storage{page}")).await;
    let answer =
        answer.map(|report| visit.studio(texts.storage, used::page(texts, &report, after.is_some())));
    visit.answer(answer)
}

/// `POST /admin/site/integrity`.
pub(super) async fn integrity(visit: Visit, Form(form): Form<Fields>) -> Response {
    let answer = visit.change(Method::POST, "/api/admin/integrity", form.csrf(), None::<&()>).await;
    visit.answer(answer.map(|answer| done("/admin/site?notice=integrity", &answer)))
}

/// `POST /admin/site/jobs/{id}/retry`.
pub(super) async fn retry(visit: Visit, Path(id): Path<i64>, Form(form): Form<Fields>) -> Response {
    let path = format!("/api/admin/jobs/{id}/retry");
    let answer = visit.change(Method::POST, &path, form.csrf(), None::<&()>).await;
    visit.answer(answer.map(|answer| done("/admin/site?notice=retried", &answer)))
}

/// `POST /admin/site/jobs/retry`.
pub(super) async fn retry_all(visit: Visit, Form(form): Form<Fields>) -> Response {
    let answer = visit.change(Method::POST, "/api/admin/jobs/retry", form.csrf(), None::<&()>).await;
    visit.answer(answer.map(|answer| done("/admin/site?notice=retried_all", &answer)))
}

/// `GET /admin/users`.
pub(super) async fn people(visit: Visit, Query(query): Query<Fields>) -> Response {
    let Some(session) = &visit.session else { return visit.to_login() };
    let answer = list(&visit, session, None, visit.notice(&query), None).await;
    visit.answer(answer)
}

async fn list(
    visit: &Visit,
    session: &SessionInfo,
    link: Option<&SetupLink>,
    notice: Option<&str>,
    problem: Option<(StatusCode, &str)>,
) -> Result<Response, Failure> {
    let texts = visit.texts();
    let accounts: AccountList = visit.ask("/api/admin/accounts").await?;
    let origin = visit.origin();
    let link = link.map(|link| (link, origin.as_str()));
    let body = pages::people(texts, session, &accounts.accounts, link, notice, problem.map(|(_, text)| text));
    let status = problem.map_or(StatusCode::OK, |(status, _)| status);
    Ok(visit.page(status, texts.users, &[Script::Site, Script::Studio], None, body))
}

/// `POST /admin/users`: the answer shows the link, this once.
pub(super) async fn invite(visit: Visit, Form(form): Form<Fields>) -> Response {
    let Some(session) = &visit.session else { return visit.to_login() };
    let body = match role(&form) {
        Some(role) => NewAccount { email: form.line("email"), role },
        None => return visit.failed(&bad("the role is not known")),
    };
    let made = visit.change(Method::POST, "/api/admin/accounts", form.csrf(), Some(&body)).await;
    show_link(&visit, session, made).await
}

/// `POST /admin/users/{id}/link`.
pub(super) async fn link(visit: Visit, Path(id): Path<i64>, Form(form): Form<Fields>) -> Response {
    let Some(session) = &visit.session else { return visit.to_login() };
    let path = format!("/api/admin/accounts/{id}/setup-link");
    let made = visit.change(Method::POST, &path, form.csrf(), None::<&()>).await;
    show_link(&visit, session, made).await
}

async fn show_link(visit: &Visit, session: &SessionInfo, made: Result<Response, Failure>) -> Response {
    let made = match made {
        Ok(answer) => json::<SetupLink>(answer).await,
        Err(failure) => Err(failure),
    };
    let answer = match made {
        Ok(link) => list(visit, session, Some(&link), None, None).await,
        Err(failure)
            if failure.status == StatusCode::CONFLICT || failure.status == StatusCode::BAD_REQUEST =>
        {
            let text = visit.texts().error(&failure.code);
            list(visit, session, None, None, Some((failure.status, text))).await
        }
        Err(failure) => Err(failure),
    };
    visit.answer(answer)
}

fn role(form: &Fields) -> Option<UserRole> {
    match form.raw("role") {
        Some("admin") => Some(UserRole::Admin),
        Some("user") => Some(UserRole::User),
        _ => None,
    }
}

/// `POST /admin/users/{id}`: another role, locked out, or let in again.
pub(super) async fn change(visit: Visit, Path(id): Path<i64>, Form(form): Form<Fields>) -> Response {
    let disabled = match form.parsed::<bool>("disabled") {
        Ok(disabled) => disabled,
        Err(failure) => return visit.failed(&failure),
    };
    let body = AccountChange { role: role(&form), disabled };
    let path = format!("/api/admin/accounts/{id}");
    let answer = visit.change(Method::PATCH, &path, form.csrf(), Some(&body)).await;
    visit.answer(answer.map(|answer| done("/admin/users?notice=saved", &answer)))
}
