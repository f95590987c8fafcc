//! Reports of photos: sent by everybody, decided by admins.

use axum::Form;
use axum::extract::{Path, Query};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};

use super::fields::{Fields, bad, is_key, wrong};
use super::{Failure, Visit, done, photo};
use crate::i18n::Lang;
use crate::model::{NewReport, Outcome, Reason, ReportList, ReportedPhotos, Verdict};
use crate::templates::report as pages;

/// A report as the form has it, right or wrong.
fn written(form: &Fields) -> NewReport {
    NewReport {
        reason: Reason::parse(&form.line("reason")).unwrap_or_default(),
        note: form.line("note"),
        contact: form.line("contact"),
    }
}

/// `GET /p/{key}/report`: the form is on the page of the photo. The link to the other language leads here from one that
/// was not taken.
pub(super) async fn form(visit: Visit, Path(key): Path<String>, Query(query): Query<Fields>) -> Response {
    if !is_key(&key) {
        return visit.missing();
    }
    let lang = query.raw("lang").and_then(Lang::parse);
    let lang = lang.map(|lang| format!("?lang={}", lang.tag())).unwrap_or_default();
    Redirect::to(&format!("/p/{key}{lang}#report")).into_response()
}

/// `POST /p/{key}/report`.
pub(super) async fn send(visit: Visit, Path(key): Path<String>, Form(form): Form<Fields>) -> Response {
    if !is_key(&key) {
        return visit.missing();
    }
    let report = written(&form);
    let sent = match Reason::parse(&form.line("reason")) {
        Some(_) => {
            let path = format!("/api/photos/{key}/reports");
            visit.change(Method::POST, &path, form.csrf(), Some(&report)).await
        }
        None => Err(wrong("reason", "is missing")),
    };
    let failure = match sent {
        Ok(answer) => return done(&format!("/p/{key}?notice=reported"), &answer),
        Err(failure) if failure.status == StatusCode::NOT_FOUND => return visit.failed(&failure),
        Err(failure) => failure,
    };
    // The page of the photo again, with what was written.
    let problem = visit.report_problem(&failure);
    photo::show(&visit, &key, &Fields::default(), Some((&failure, &report, &problem))).await
}

impl Visit {
    /// Why a report was not taken.
    fn report_problem(&self, failure: &Failure) -> String {
        match failure.code.as_str() {
            "too_many_attempts" => self.texts().report_limit.to_owned(),
            _ => self.texts().report_refusal(&failure.code, failure.field.as_deref()),
        }
    }
}

/// The place in a list, as its links say it.
fn place(query: &Fields, name: &str) -> Option<i64> {
    query.parsed(name).ok().flatten()
}

fn at(path: &str, name: &str, place: Option<i64>) -> String {
    place.map_or_else(|| path.to_owned(), |place| format!("{path}?{name}={place}"))
}

/// `GET /admin/reports`.
pub(super) async fn open(visit: Visit, Query(query): Query<Fields>) -> Response {
    let Some(session) = &visit.session else { return visit.to_login() };
    let (texts, after) = (visit.texts(), place(&query, "after"));
    let answer = visit.ask::<ReportedPhotos>(&at("/api/admin/reports", "after", after)).await.map(|list| {
        let body = pages::open(texts, session, &list, after.is_some(), visit.notice(&query));
        visit.studio(texts.reported, body)
    });
    visit.answer(answer)
}

/// `GET /admin/reports/closed`.
pub(super) async fn closed(visit: Visit, Query(query): Query<Fields>) -> Response {
    if visit.session.is_none() {
        return visit.to_login();
    }
    let (texts, before) = (visit.texts(), place(&query, "before"));
    let answer = visit.ask::<ReportList>(&at("/api/admin/reports/closed", "before", before)).await;
    let answer =
        answer.map(|list| visit.studio(texts.reports_closed, pages::closed(texts, &list, before.is_some())));
    visit.answer(answer)
}

/// `GET /admin/reports/{key}`.
pub(super) async fn of_photo(visit: Visit, Path(key): Path<String>, Query(query): Query<Fields>) -> Response {
    let Some(session) = &visit.session else { return visit.to_login() };
    if !is_key(&key) {
        return visit.missing();
    }
    let (texts, before) = (visit.texts(), place(&query, "before"));
    let path = at(&format!("/api/admin/reports/{key}"), "before", before);
    let answer = visit.ask::<ReportList>(&path).await.map(|list| {
        let body = pages::of_photo(texts, session, &key, &list, before.is_some());
        visit.studio(texts.reports_all, body)
    });
    visit.answer(answer)
}

/// `POST /admin/reports/{key}`.
pub(super) async fn decide(visit: Visit, Path(key): Path<String>, Form(form): Form<Fields>) -> Response {
    if visit.session.is_none() {
        return visit.to_login();
    }
    if !is_key(&key) {
        return visit.missing();
    }
    let Some(outcome) = Outcome::parse(&form.line("outcome")) else {
        return visit.failed(&bad("the outcome is not known"));
    };
    let verdict = Verdict { outcome, last: form.parsed("last").ok().flatten() };
    let path = format!("/api/admin/reports/{key}");
    match visit.change(Method::POST, &path, form.csrf(), Some(&verdict)).await {
        Ok(answer) => done("/admin/reports?notice=decided", &answer),
        Err(failure) if failure.status == StatusCode::NOT_FOUND => {
            Redirect::to("/admin/reports?notice=decided_before").into_response()
        }
        Err(failure) => visit.failed(&failure),
    }
}
