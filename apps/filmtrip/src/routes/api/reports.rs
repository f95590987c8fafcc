//! Reports of visitors: anybody reports what everybody may see, admins decide.

use std::collections::HashMap;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::Deserialize;

use super::admin::{Admin, AdminChange};
use super::photos::{apply, into_trash, to_json};
use super::session::client;
use super::{Shared, check};
use crate::auth::{self, origin};
use crate::db::photos::PhotoRow;
use crate::db::sql::Sql;
use crate::db::visibility::Viewer;
use crate::db::{accounts, photos, reports};
use crate::error::ApiError;
use crate::model::{
    NewReport, Outcome, PhotoChange, Report, ReportList, ReportedPhoto, ReportedPhotos, Verdict, Verdicted,
    Visibility,
};
use crate::storage::is_key;

/// Reports of a photo in the list of all: the others have a page.
const SHOWN: u32 = 5;

/// `POST /api/photos/{key}/reports`. Nobody needs an account for it; what is not for everybody cannot be reported, by
/// whomever, and is as if it were not there.
pub(super) async fn report(
    State(api): Shared,
    Path(key): Path<String>,
    parts: Parts,
    Json(new): Json<NewReport>,
) -> Result<StatusCode, ApiError> {
    if !origin::allowed(&parts.headers, api.config.public_origin.as_deref()) {
        return Err(ApiError::Csrf);
    }
    if !is_key(&key) {
        return Err(ApiError::NotFound);
    }
    let subject = format!("report {}", client(&parts, &api));
    // Whoever asks for what is not there, or has asked too often, takes no lock.
    let (wanted, asked) = (key.clone(), subject.clone());
    let look = move |sql: &mut Sql| {
        reportable(sql, &wanted)?;
        accounts::may_attempt(sql, &asked, auth::MAX_REPORTS, auth::WINDOW_MS)
    };
    api.db.call(look).await?;
    check::report(&new)?;
    let write = move |sql: &mut Sql| {
        let photo = reportable(sql, &key)?;
        accounts::reserve_attempt(sql, &subject, auth::MAX_REPORTS, auth::WINDOW_MS)?;
        reports::insert(sql, (photo.id, &photo.key), &new)?;
        tracing::info!("photo {} was reported: {}", photo.key, new.reason.as_str());
        Ok(())
    };
    api.db.write(write).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A photo that everybody may see, and so report.
fn reportable(sql: &mut Sql, key: &str) -> Result<PhotoRow, ApiError> {
    let photo = photos::by_key(sql, key)?.filter(|row| Viewer::Anonymous.may_see(row));
    let photo = photo.ok_or(ApiError::NotFound)?;
    if reports::available(sql)? { Ok(photo) } else { Err(ApiError::NotFound) }
}

#[derive(Debug, Deserialize)]
pub(super) struct OpenQuery {
    after: Option<i64>,
}

/// `GET /api/admin/reports`: photos with open reports, page by page.
pub(super) async fn open(
    State(api): Shared,
    _admin: Admin,
    Query(query): Query<OpenQuery>,
) -> Result<Json<ReportedPhotos>, ApiError> {
    let read = move |sql: &mut Sql| {
        let (groups, more) = reports::open(sql, query.after.unwrap_or_default())?;
        let ids: Vec<i64> = groups.iter().map(|group| group.photo_id).collect();
        let rows = photos::by_ids(sql, &ids)?;
        Ok((rows, reports::newest(sql, &ids, SHOWN)?, accounts::all(sql)?, groups, more))
    };
    let (rows, newest, owners, groups, more) = api.db.call(read).await?;
    let mut rows: HashMap<i64, PhotoRow> = rows.into_iter().map(|row| (row.id, row)).collect();
    let mut of: HashMap<String, Vec<Report>> = HashMap::new();
    for report in newest {
        of.entry(report.photo.clone()).or_default().push(report);
    }
    let next = groups.last().filter(|_| more).map(|group| group.first);
    let photo = |group: &reports::Group| {
        let row = rows.remove(&group.photo_id)?;
        let reports = of.remove(&row.key).unwrap_or_default();
        let owner = owners.get(&row.owner_id).cloned();
        let photo = crate::model::Photo { owner, ..to_json(&api, row, Viewer::Admin) };
        Some(ReportedPhoto { photo, count: group.count, last: group.last, reports })
    };
    Ok(Json(ReportedPhotos { photos: groups.iter().filter_map(photo).collect(), next }))
}

#[derive(Debug, Deserialize)]
pub(super) struct ListQuery {
    before: Option<i64>,
}

/// `GET /api/admin/reports/closed`: those that nobody has to decide on any more.
pub(super) async fn closed(
    State(api): Shared,
    _admin: Admin,
    Query(query): Query<ListQuery>,
) -> Result<Json<ReportList>, ApiError> {
    let (reports, next) = api.db.call(move |sql| Ok(reports::closed(sql, query.before)?)).await?;
    Ok(Json(ReportList { photo: None, open: 0, reports, next }))
}

/// `GET /api/admin/reports/{key}`: all reports of one photo.
pub(super) async fn of_photo(
    State(api): Shared,
    _admin: Admin,
    Path(key): Path<String>,
    Query(query): Query<ListQuery>,
) -> Result<Json<ReportList>, ApiError> {
    let read = move |sql: &mut Sql| {
        let (reports, next) = reports::of_photo(sql, &key, query.before)?;
        let photo = photos::by_key(sql, &key)?;
        if reports.is_empty() && photo.is_none() {
            return Err(ApiError::NotFound);
        }
        let open = if reports.is_empty() { 0 } else { reports::open_of(sql, &key)? };
        Ok((photo, open, reports, next))
    };
    let (photo, open, reports, next) = api.db.call(read).await?;
    let photo = photo.map(|row| to_json(&api, row, Viewer::Admin));
    Ok(Json(ReportList { photo, open, reports, next }))
}

/// `POST /api/admin/reports/{key}`: what is done about a photo closes its open reports.
pub(super) async fn decide(
    State(api): Shared,
    AdminChange(by): AdminChange,
    Path(key): Path<String>,
    Json(verdict): Json<Verdict>,
) -> Result<Json<Verdicted>, ApiError> {
    let write = move |sql: &mut Sql| {
        let row = photos::by_key(sql, &key)?.ok_or(ApiError::NotFound)?;
        if !reports::available(sql)? {
            return Err(ApiError::NotFound);
        }
        let last = verdict.last.unwrap_or(i64::MAX);
        let reports = reports::close(sql, row.id, last, verdict.outcome, by.user.id)?;
        reports::forget_contacts(sql)?;
        // Decided already, by another admin: their word is not undone by a page that is out of date.
        if reports == 0 {
            return Err(ApiError::NotFound);
        }
        match verdict.outcome {
            Outcome::Hidden => {
                let hide = PhotoChange { visibility: Some(Visibility::Private), ..PhotoChange::default() };
                apply(sql, &row, &hide, Viewer::Admin)?;
                reports::hold(sql, row.id, by.user.id)?;
            }
            Outcome::Trashed => {
                into_trash(sql, std::slice::from_ref(&row))?;
                reports::hold(sql, row.id, by.user.id)?;
            }
            Outcome::Dismissed => {}
        }
        tracing::info!("reports of photo {key}: {} by user {}", verdict.outcome.as_str(), by.user.id);
        Ok(Verdicted { reports })
    };
    let done = api.db.write(write).await?;
    api.queue.wake();
    Ok(Json(done))
}
