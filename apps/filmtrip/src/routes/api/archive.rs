//! All originals of a roll in one file.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use tokio::sync::mpsc;

use super::catalogue::own_roll;
use super::media::{attachment, file_name, protect};
use super::{Api, Session, Shared};
use crate::db::photos::{self, Order, PageQuery, PhotoRow};
use crate::db::rfc3339;
use crate::db::sql::Sql;
use crate::db::visibility::{Scope, Viewer};
use crate::error::ApiError;
use crate::zip::{self, Entry, Writer};

/// Photos that are read from the database at once.
const PAGE: u32 = 100;
/// Pieces that wait for a client that reads slowly.
const AHEAD: usize = 4;

/// A photo and its place in the archive.
type File = (PhotoRow, Entry);

/// `GET /api/rolls/{key}/originals`: for the owner and admins, a ZIP of what is on the roll, by frame.
pub(super) async fn originals(
    State(api): Shared,
    session: Session,
    Path(key): Path<String>,
) -> Result<Response, ApiError> {
    let viewer = session.viewer();
    let read = move |sql: &mut Sql| {
        let title = own_roll(sql, viewer, &key)?.roll.title;
        Ok((title, files(sql, viewer, key)?))
    };
    let (title, files) = api.db.call(read).await?;
    let entries: Vec<Entry> = files.iter().map(|(_, entry)| entry.clone()).collect();
    let length = zip::length(&entries);
    let length = length.ok_or_else(|| ApiError::BadRequest("too many photos for one file".to_owned()))?;
    let mut response = Body::from_stream(sent(api, files)).into_response();
    // A title with a stroke in it names no folder.
    let name = file_name(Some(&title.replace(['/', '\\'], "-"))).unwrap_or_else(|| "roll".to_owned());
    protect(&mut response, &attachment(&format!("{name}.zip")))?;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/zip"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    Ok(response)
}

/// What is on a roll, by frame.
fn files(sql: &mut Sql, viewer: Viewer, roll: String) -> Result<Vec<File>, ApiError> {
    let mut query = PageQuery {
        viewer,
        scope: Scope::Own,
        order: Order::Frames,
        roll: Some(roll),
        tag: None,
        words: None,
        file_names: false,
        film: None,
        camera: None,
        lens: None,
        scanner: None,
        before: None,
        limit: PAGE,
    };
    let mut rows: Vec<PhotoRow> = Vec::new();
    loop {
        let (page, more) = photos::page(sql, &query)?;
        rows.extend(page);
        query.before = rows.last().map(|row| row.key.clone());
        if !more {
            break;
        }
    }
    let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
    let names = photos::file_names(sql, &ids)?;
    let mut taken = HashSet::new();
    let mut file = |row: PhotoRow| {
        let entry = entry(&row, names.get(&row.id).map(String::as_str), &mut taken)?;
        Ok((row, entry))
    };
    rows.into_iter().map(&mut file).collect()
}

/// The file of a photo under the name that it came with, else its frame or its key; no name is there twice.
fn entry(row: &PhotoRow, name: Option<&str>, taken: &mut HashSet<String>) -> Result<Entry, ApiError> {
    let large =
        || ApiError::BadRequest(format!("the original of photo {} is too large for the file", row.key));
    let bytes = u32::try_from(row.bytes).map_err(|_| large())?;
    let name = file_name(name).unwrap_or_else(|| match row.frame {
        Some(frame) => format!("{frame:02}.{}", row.format),
        None => format!("{}.{}", row.key, row.format),
    });
    let (stem, ending) = name.rsplit_once('.').unwrap_or((&name, ""));
    let dot = if ending.is_empty() { "" } else { "." };
    let numbered = (2..).map(|n| format!("{stem} ({n}){dot}{ending}"));
    let mut names = std::iter::once(name.clone()).chain(numbered);
    // Some systems do not tell large letters from small ones.
    let name = names.find(|name| taken.insert(name.to_lowercase())).unwrap_or(name.clone());
    Ok(Entry { name, bytes, dos: zip::dos(&rfc3339(row.created_at)) })
}

/// The bytes of the archive, read no faster than they are taken.
fn sent(api: Arc<Api>, files: Vec<File>) -> impl stream::Stream<Item = io::Result<Bytes>> + Send + 'static {
    let (to, from) = mpsc::channel(AHEAD);
    tokio::spawn(async move {
        if let Err(e) = write(&api, files, &to).await {
            tracing::error!("an archive breaks off: {e}");
            // The length was announced: the client sees that it is not whole.
            let _gone = to.send(Err(e)).await.is_err();
        }
    });
    stream::unfold(from, |mut from| async move { from.recv().await.map(|piece| (piece, from)) })
}

/// Writes the archive; ends in silence when nobody reads any more.
async fn write(api: &Api, files: Vec<File>, to: &mpsc::Sender<io::Result<Bytes>>) -> io::Result<()> {
    let mut writer = Writer::default();
    for (row, entry) in files {
        if to.send(Ok(writer.begin(&entry))).await.is_err() {
            return Ok(());
        }
        let lost = |e| io::Error::other(format!("original of photo {}: {e}", row.key));
        let mut content =
            api.storage.read(row.backend, &row.object).await.map_err(|e| lost(e.to_string()))?;
        while let Some(piece) = content.stream.next().await {
            let piece = piece?;
            writer.piece(&piece);
            if to.send(Ok(piece)).await.is_err() {
                return Ok(());
            }
        }
        let end = writer.end(&entry).ok_or_else(|| lost("it has another length than is known".to_owned()))?;
        if to.send(Ok(end)).await.is_err() {
            return Ok(());
        }
    }
    let _gone = to.send(Ok(writer.finish())).await.is_err();
    Ok(())
}
