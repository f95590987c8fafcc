//! The back office: login, upload, edit, delete. Forms become calls of the API.

use std::net::SocketAddr;

use axum::Form;
use axum::extract::{ConnectInfo, Path, Query, Request, State};
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::backend::{copy, forwarded, json};
use super::{Failure, Shared, Visit, done};
use crate::model::{
    LoginBody, Overview, Photo, PhotoChange, PhotoPage, RollBody, RollList, SetupBody, Uploaded, UserRole,
    Visibility,
};
use crate::storage::is_key;
use crate::templates;

#[derive(Debug, Deserialize)]
pub(super) struct StudioQuery {
    before: Option<String>,
    notice: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct SetupQuery {
    #[serde(default)]
    token: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Token {
    csrf_token: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct RollForm {
    csrf_token: String,
    #[serde(flatten)]
    roll: NewRollForm,
}

#[derive(Debug, Deserialize)]
pub(super) struct NewRollForm {
    title: String,
    #[serde(default)]
    film_stock: String,
    #[serde(default)]
    camera: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct EditForm {
    csrf_token: String,
    title: String,
    caption: Option<String>,
    visibility: Visibility,
}

/// `GET /login`.
pub(super) async fn login_page(visit: Visit, Query(query): Query<StudioQuery>) -> Response {
    if visit.session.is_some() {
        return Redirect::to("/admin").into_response();
    }
    let texts = visit.lang.texts();
    let notice = query.notice.as_deref().and_then(|code| texts.notice(code));
    visit.ok(texts.login_title, templates::admin::login(texts, "", notice, None))
}

/// `POST /login`.
pub(super) async fn login(State(web): Shared, visit: Visit, Form(form): Form<LoginBody>) -> Response {
    match web.backend.call(&visit.caller, Method::POST, "/api/auth/login", None, Some(&form)).await {
        Ok(answer) => done("/admin", &answer),
        Err(failure) => {
            let texts = visit.lang.texts();
            let body = templates::admin::login(texts, &form.email, None, Some(texts.error(&failure.code)));
            visit.page(failure.status, texts.login_title, body)
        }
    }
}

/// `POST /logout`.
pub(super) async fn logout(State(web): Shared, visit: Visit, Form(form): Form<Token>) -> Response {
    let call = web.backend.call(
        &visit.caller,
        Method::POST,
        "/api/auth/logout",
        Some(&form.csrf_token),
        None::<&()>,
    );
    match call.await {
        Ok(answer) => done("/", &answer),
        Err(failure) => visit.failed(&failure),
    }
}

/// `GET /setup?token=`.
pub(super) async fn setup_page(visit: Visit, Query(query): Query<SetupQuery>) -> Response {
    let texts = visit.lang.texts();
    visit.ok(texts.setup_title, templates::admin::setup(texts, &query.token, None))
}

/// `POST /setup`.
pub(super) async fn setup(State(web): Shared, visit: Visit, Form(form): Form<SetupBody>) -> Response {
    match web.backend.call(&visit.caller, Method::POST, "/api/auth/setup", None, Some(&form)).await {
        Ok(answer) => done("/login?notice=setup", &answer),
        Err(failure) => {
            let texts = visit.lang.texts();
            let problem = match failure.code.as_str() {
                "not_found" => texts.setup_gone,
                "bad_request" => texts.weak_password,
                other => texts.error(other),
            };
            visit.page(
                failure.status,
                texts.setup_title,
                templates::admin::setup(texts, &form.token, Some(problem)),
            )
        }
    }
}

/// `GET /admin`.
pub(super) async fn studio(State(web): Shared, visit: Visit, Query(query): Query<StudioQuery>) -> Response {
    let Some(session) = visit.session.clone() else { return Redirect::to("/login").into_response() };
    let mut path = "/api/photos?mine=true".to_owned();
    if let Some(key) = query.before.as_deref().filter(|key| is_key(key)) {
        path = format!("{path}&before={key}");
    }
    let read = async {
        let page: PhotoPage = web.backend.ask(&visit.caller, &path).await?;
        let rolls: RollList = web.backend.ask(&visit.caller, "/api/rolls").await?;
        let overview: Option<Overview> = if session.user.role == UserRole::Admin {
            Some(web.backend.ask(&visit.caller, "/api/overview").await?)
        } else {
            None
        };
        Ok::<_, Failure>((page, rolls, overview))
    };
    match read.await {
        Ok((page, rolls, overview)) => {
            let texts = visit.lang.texts();
            let notice = query.notice.as_deref().and_then(|code| texts.notice(code));
            let view = templates::admin::Studio {
                session: &session,
                page: &page,
                rolls: &rolls.rolls,
                overview: overview.as_ref(),
                notice,
            };
            visit.ok(texts.back_office, templates::admin::studio(texts, &view))
        }
        Err(failure) => visit.failed(&failure),
    }
}

/// `POST /admin/upload`: the form goes to the API as it is, streaming.
pub(super) async fn upload(
    State(web): Shared,
    visit: Visit,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let mut inner = Request::new(body);
    *inner.method_mut() = Method::POST;
    *inner.uri_mut() = axum::http::Uri::from_static("/api/photos");
    let names = [header::COOKIE, header::CONTENT_TYPE, header::CONTENT_LENGTH, forwarded()];
    copy(&parts.headers, inner.headers_mut(), &names);
    let answer = match web.backend.send(peer, inner).await {
        Ok(answer) => answer,
        Err(error) => return visit.failed(&error.into()),
    };
    let status = answer.status();
    if status == StatusCode::CREATED {
        return match json::<Uploaded>(answer).await {
            Ok(uploaded) if uploaded.refused.is_empty() => {
                Redirect::to("/admin?notice=uploaded").into_response()
            }
            Ok(_) => Redirect::to("/admin?notice=partly").into_response(),
            Err(failure) => visit.failed(&failure),
        };
    }
    match json::<crate::model::ErrorBody>(answer).await {
        Ok(e) => visit.failed(&Failure { status, code: e.error.code, message: e.error.message }),
        Err(failure) => visit.failed(&failure),
    }
}

/// `POST /admin/rolls`.
pub(super) async fn new_roll(State(web): Shared, visit: Visit, Form(form): Form<RollForm>) -> Response {
    let NewRollForm { title, film_stock, camera } = form.roll;
    let roll = RollBody { title, film_stock, camera, ..RollBody::default() };
    match web
        .backend
        .call(&visit.caller, Method::POST, "/api/rolls", Some(&form.csrf_token), Some(&roll))
        .await
    {
        Ok(answer) => done("/admin?notice=roll", &answer),
        Err(failure) => visit.failed(&failure),
    }
}

/// `GET /admin/photos/{key}`.
pub(super) async fn edit_page(State(web): Shared, visit: Visit, Path(key): Path<String>) -> Response {
    let Some(session) = visit.session.clone() else { return Redirect::to("/login").into_response() };
    if !is_key(&key) {
        return super::missing(visit).await;
    }
    match web.backend.ask::<Photo>(&visit.caller, &format!("/api/photos/{key}")).await {
        Ok(photo) if photo.editable => {
            let texts = visit.lang.texts();
            visit.ok(texts.edit, templates::admin::edit(texts, &session, &photo))
        }
        Ok(_) => visit.failed(&crate::error::ApiError::Forbidden.into()),
        Err(failure) => visit.failed(&failure),
    }
}

/// `POST /admin/photos/{key}`.
pub(super) async fn edit(
    State(web): Shared,
    visit: Visit,
    Path(key): Path<String>,
    Form(form): Form<EditForm>,
) -> Response {
    if !is_key(&key) {
        return super::missing(visit).await;
    }
    let change = PhotoChange {
        title: Some(form.title),
        caption: form.caption,
        visibility: Some(form.visibility),
        ..PhotoChange::default()
    };
    let path = format!("/api/photos/{key}");
    match web.backend.call(&visit.caller, Method::PATCH, &path, Some(&form.csrf_token), Some(&change)).await {
        Ok(answer) => done("/admin?notice=saved", &answer),
        Err(failure) => visit.failed(&failure),
    }
}

/// `POST /admin/photos/{key}/delete`.
pub(super) async fn delete(
    State(web): Shared,
    visit: Visit,
    Path(key): Path<String>,
    Form(form): Form<Token>,
) -> Response {
    if !is_key(&key) {
        return super::missing(visit).await;
    }
    let path = format!("/api/photos/{key}");
    match web.backend.call(&visit.caller, Method::DELETE, &path, Some(&form.csrf_token), None::<&()>).await {
        Ok(answer) => done("/admin?notice=deleted", &answer),
        Err(failure) => visit.failed(&failure),
    }
}
