//! A photo that becomes private. Its address at the CDN is known, so its original gets another name and another secret
//! there, and the old one is deleted and purged. Private photos are shown through the server only.

use std::sync::Arc;

use super::{Done, Kind};
use crate::db::sql::Sql;
use crate::db::uploads::{self, NewUploadRow};
use crate::db::{now_ms, photos};
use crate::error::ApiError;
use crate::images::media_type;
use crate::model::{About, UploadState, Visibility};
use crate::routes::api::Api;
use crate::storage::{Backend, StoredObject, names, new_key};

/// Longest time that a copy may take before it counts as given up.
const COPY_MS: i64 = 3600 * 1000;

pub(super) async fn relocate(api: &Arc<Api>, key: &str) -> Result<Done, ApiError> {
    let wanted = key.to_owned();
    let photo = api.db.call(move |sql| Ok(photos::by_key(sql, &wanted)?)).await?;
    let hidden = photo.filter(|p| p.backend == Backend::Upyun && p.visibility == Visibility::Private);
    let Some(photo) = hidden else { return Ok(Done::Finished) };
    let Some(upyun) = &api.storage.upyun else {
        return Err(ApiError::Store("upyun is not configured".to_owned()));
    };
    let to = StoredObject {
        backend: Backend::Upyun,
        name: names::direct(&new_key()),
        content_secret: Some(new_key()),
    };
    // Killed from here on, the copy is an upload that was given up, and the sweeper clears it.
    let copy = NewUploadRow {
        key: new_key(),
        owner_id: photo.owner_id,
        state: UploadState::Receiving,
        object: to.clone(),
        file_name: String::new(),
        bytes: photo.bytes,
        about: About::default(),
        expires_at: now_ms() + COPY_MS,
    };
    let copy = api.db.write(move |sql| Ok(uploads::insert(sql, &copy)?)).await?;
    let scratch = api.storage.local.scratch()?;
    upyun.copy(&photo.object, &to, scratch.path(), media_type(&photo.format)).await?;
    let old = StoredObject { backend: Backend::Upyun, name: photo.object.clone(), content_secret: None };
    let moved = {
        let to = to.clone();
        let write = move |sql: &mut Sql| {
            // Rows of photos that came through the server have no name of their own.
            let moved = photos::set_object(sql, photo.id, &old.name, &to)?
                || photos::set_object(sql, photo.id, "", &to)?;
            let free = if moved { &old } else { &to };
            uploads::remove(sql, copy)?;
            Kind::Discard.enqueue(sql, &super::discard::object(free), now_ms())?;
            Ok(moved)
        };
        api.db.write(write).await?
    };
    api.queue.wake();
    if moved { Ok(Done::Finished) } else { Err(ApiError::Store("the photo changed meanwhile".to_owned())) }
}
