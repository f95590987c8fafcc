//! Listing a folder, page by page.
use reqwest::Method;
use serde::Deserialize;

use super::{Call, Client, Error, MAX_ANSWER_BYTES};

/// The cursor that follows the last page: an encoded `nextPage, eof`.
const LAST_PAGE: &str = "g2gCZAAEbmV4dGQAA2VvZg";

/// Order of names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// Ascending.
    #[default]
    Ascending,
    /// Descending.
    Descending,
}

/// Options of a listing.
#[derive(Debug, Clone, Default)]
pub struct ListOptions {
    /// Entries a page. Upyun's default is 100 (its Go SDK says 256), its maximum 10,000 (the Go SDK says 4,096).
    pub limit: Option<u32>,
    /// Order of names.
    pub order: Order,
    /// [`ListPage::next`] of the page before.
    pub cursor: Option<String>,
}

/// File or folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EntryKind {
    /// A file.
    File,
    /// A folder.
    Folder,
}

/// One name in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Name within the folder.
    pub name: String,
    /// What it is.
    pub kind: EntryKind,
    /// Bytes; 0 for folders.
    pub size: u64,
    /// Unix seconds.
    pub modified_unix: u64,
    /// Media type, for files.
    pub content_type: Option<String>,
}

/// Some of a folder's entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListPage {
    /// In the order asked for.
    pub entries: Vec<Entry>,
    /// Where the next page starts; absent on the last one.
    pub next: Option<String>,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    files: Vec<File>,
    #[serde(default)]
    iter: Option<String>,
}

#[derive(Deserialize)]
struct File {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    length: u64,
    #[serde(default)]
    last_modified: u64,
}

impl Client {
    /// One page of a folder.
    ///
    /// # Errors
    /// See [`Error`]; `is_not_found` when the folder is missing.
    pub async fn list(&self, folder: &str, options: &ListOptions) -> Result<ListPage, Error> {
        // With the slash a file of this name cannot be downloaded by mistake.
        let folder = format!("{}/", folder.trim_end_matches('/'));
        let mut call = Call::new(Method::GET, &folder);
        // The text format cannot carry names with tabs or line feeds; JSON can.
        call.header("accept", "application/json")?;
        if let Some(limit) = options.limit {
            call.header("x-list-limit", &limit.to_string())?;
        }
        if options.order == Order::Descending {
            call.header("x-list-order", "desc")?;
        }
        if let Some(cursor) = &options.cursor {
            call.header("x-list-iter", cursor)?;
        }
        let operation = format!("list {folder}");
        let response = self.call(call).await?;
        let header = super::text_header(response.headers(), "x-upyun-list-iter").map(str::to_owned);
        let body = self.whole(&operation, response, MAX_ANSWER_BYTES).await?;
        let answer = if body.is_empty() {
            Answer { files: Vec::new(), iter: None }
        } else {
            serde_json::from_slice(&body).map_err(|error| Error::Answer {
                operation,
                why: format!("it is not the documented JSON: {error}"),
            })?
        };
        let next = answer.iter.or(header).filter(|cursor| !cursor.is_empty() && cursor != LAST_PAGE);
        Ok(ListPage { entries: answer.files.into_iter().map(entry).collect(), next })
    }

    /// All of a folder, not of the folders in it. `limit` bounds the number of entries that are kept.
    ///
    /// # Errors
    /// As [`Client::list`], and when there are more than `limit` entries, or the pages do not come to an end.
    pub async fn list_all(&self, folder: &str, limit: usize) -> Result<Vec<Entry>, Error> {
        let mut options = ListOptions { limit: Some(1000), ..ListOptions::default() };
        let mut entries = Vec::new();
        loop {
            let page = self.list(folder, &options).await?;
            entries.extend(page.entries);
            if entries.len() > limit {
                let why = format!("the folder has more than {limit} entries");
                return Err(Error::Answer { operation: format!("list {folder}"), why });
            }
            if page.next.is_none() {
                return Ok(entries);
            }
            if page.next == options.cursor {
                let why = "the next page is the same one: this would be a part of the folder".to_owned();
                return Err(Error::Answer { operation: format!("list {folder}"), why });
            }
            options.cursor = page.next;
        }
    }
}

fn entry(file: File) -> Entry {
    let kind = if file.kind == "folder" { EntryKind::Folder } else { EntryKind::File };
    let content_type = (kind == EntryKind::File).then_some(file.kind);
    Entry { name: file.name, kind, size: file.length, modified_unix: file.last_modified, content_type }
}
