//! A photo that becomes private. Its address at the CDN is known, so its original gets another name and another secret
//! there, and the old one is deleted and purged. Private photos are shown through the server only.

use std::sync::Arc;

use super::Done;
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
    let to = StoredObject {
        backend: Backend::Upyun,
        name: names::direct(&new_key()),
        content_secret: Some(new_key()),
    };
    // By reading and writing: what a copy inside Upyun does with the secret, no source tells.
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
    let path = scratch.path().join("original");
    let fetched =
        api.storage.fetch(Backend::Upyun, &photo.object, &path, api.config.max_upload_bytes).await?;
    // Its form may still be good, so what is there may be another file than the one that was looked at.
    let replaced = fetched.bytes != photo.bytes || photo.md5.as_ref().is_some_and(|md5| *md5 != fetched.md5);
    if replaced {
        tracing::error!(
            "the original of photo {} was replaced through its form; the photo is in the trash",
            photo.key
        );
    }
    api.storage.put_file(&to, &path, media_type(&photo.format)).await?;
    let old = StoredObject { backend: Backend::Upyun, name: photo.object.clone(), content_secret: None };
    let moved = {
        let to = to.clone();
        let write = move |sql: &mut Sql| {
            // Rows of photos that came through the server have no name of their own.
            let moved = photos::set_object(sql, photo.id, &old.name, &to)?
                || photos::set_object(sql, photo.id, "", &to)?;
            let free = if moved { &old } else { &to };
            // Longer than a copy may take: it has been given up, and is being deleted.
            if !uploads::advance(sql, copy, &[UploadState::Receiving], UploadState::Expired)? {
                return Err(ApiError::GivenUp);
            }
            uploads::remove(sql, copy)?;
            if replaced {
                photos::trash(sql, photo.id)?;
            }
            super::discard::discard_now_and_later(sql, free, &photo.key)?;
            Ok(moved)
        };
        api.db.write(write).await?
    };
    api.queue.wake();
    if moved { Ok(Done::Finished) } else { Err(ApiError::Store("the photo changed meanwhile".to_owned())) }
}
