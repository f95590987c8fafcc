//! The REST API: one function a verb, after authentication.
use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use percent_encoding::percent_decode_str;
use safelight_upyun::{ErrorCode, content_md5};
use serde_json::json;

use crate::auth::{self, Asked, Right, text};
use crate::refusal::Refusal;
use crate::server::Shared;
use crate::world::{Bucket, File, Node, media_type, missing};
use crate::{form, multi, purge};

const META: &str = "x-upyun-meta-";
/// Cursor after the last page.
const LAST_PAGE: &str = "g2gCZAAEbmV4dGQAA2VvZg";
/// Documented default and maximum of a page.
const PAGE: usize = 100;
const MAX_PAGE: usize = 10_000;

/// A request with its path taken apart.
pub(crate) struct Ask {
    pub(crate) bucket: String,
    /// Decoded, without slashes at either end.
    pub(crate) key: String,
    pub(crate) query: Option<String>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) now_unix: u64,
}

/// Any request to the API listener.
pub(crate) async fn handle(shared: &Arc<Shared>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    if parts.method == Method::OPTIONS {
        return StatusCode::NO_CONTENT.into_response();
    }
    if let Err(refusal) = shared.world().rate(parts.method == Method::DELETE && !is_async(&parts.headers)) {
        return refusal.into_response();
    }
    let is_form = text(&parts.headers, "content-type").is_some_and(|t| t.starts_with("multipart/form-data"));
    if parts.method == Method::POST && is_form {
        return form::handle(shared, Request::from_parts(parts, body)).await;
    }
    let Ok(body) = axum::body::to_bytes(body, shared.config.max_request_bytes).await else {
        return Refusal::new(ErrorCode::BODY_TOO_LARGE).into_response();
    };
    if parts.method == Method::POST && parts.uri.path().trim_end_matches('/') == "/purge" {
        return purge::handle(shared, &parts.headers, &body);
    }
    let worker = Arc::clone(shared);
    // Digests of large files and image processing would hold up other requests.
    let done = tokio::task::spawn_blocking(move || answer(&worker, &parts, body)).await;
    match done {
        Ok(Ok(response)) => response,
        Ok(Err(refusal)) => refusal.into_response(),
        Err(_) => Refusal::outage(503).into_response(),
    }
}

fn is_async(headers: &HeaderMap) -> bool {
    text(headers, "x-upyun-async") == Some("true")
}

fn answer(shared: &Arc<Shared>, parts: &Parts, body: Bytes) -> Result<Response, Refusal> {
    let path = parts.uri.path();
    let target = parts.uri.query().and_then(|_| parts.uri.path_and_query()).map(|target| target.as_str());
    let asked = Asked {
        method: parts.method.as_str(),
        path,
        target,
        headers: &parts.headers,
        body_bytes: u64::try_from(body.len()).unwrap_or(u64::MAX),
    };
    let now = shared.now();
    let operator = auth::header(&shared.world(), &asked, now)?;
    let (bucket, key) = split(path)?;
    let right = match parts.method {
        Method::GET | Method::HEAD => Right::Read,
        // Dropping one's own unfinished upload is part of writing.
        Method::DELETE if parts.headers.contains_key("x-upyun-multi-uuid") => Right::Write,
        Method::DELETE => Right::Delete,
        _ => Right::Write,
    };
    {
        let mut world = shared.world();
        world.bucket(&bucket)?;
        auth::allow(&world, &operator, &bucket, right)?;
    }
    if let Some(md5) = text(&parts.headers, "content-md5")
        && !body.is_empty()
        && !md5.eq_ignore_ascii_case(&content_md5(&body))
    {
        return Err(Refusal::because(ErrorCode::BAD_CONTENT_MD5, "content md5 not match"));
    }
    let ask = Ask {
        bucket,
        key,
        query: parts.uri.query().map(str::to_owned),
        headers: parts.headers.clone(),
        body,
        now_unix: crate::server::unix(now),
    };
    match parts.method {
        Method::PUT if ask.headers.contains_key("x-upyun-multi-stage") => multi::put(shared, &ask),
        Method::PUT => put(shared, &ask),
        Method::GET => get(shared, &ask),
        Method::HEAD => head(shared, &ask),
        Method::DELETE => delete(shared, &ask),
        Method::POST => folder(shared, &ask),
        Method::PATCH => patch(shared, &ask),
        _ => Err(Refusal::because(ErrorCode(40500001), "method not allowed")),
    }
}

/// Bucket and decoded key of `/bucket/key`.
pub(crate) fn split(path: &str) -> Result<(String, String), Refusal> {
    let decoded = percent_decode_str(path).decode_utf8();
    let decoded = decoded.map_err(|_| Refusal::because(ErrorCode(40000000), "the path is not UTF-8"))?;
    let bare = decoded.strip_prefix('/').unwrap_or(&decoded);
    let (bucket, key) = bare.split_once('/').unwrap_or((bare, ""));
    if bucket.is_empty() {
        return Err(Refusal::because(ErrorCode::NEED_BUCKET, "need bucket name"));
    }
    Ok((bucket.to_owned(), key.trim_matches('/').to_owned()))
}

/// An empty 200 with headers.
pub(crate) fn ok(headers: &[(&str, String)]) -> Response {
    with_headers(StatusCode::OK, headers, Body::empty())
}

pub(crate) fn with_headers(status: StatusCode, headers: &[(&str, String)], body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    for (name, value) in headers {
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_bytes(value.as_bytes()))
        {
            response.headers_mut().append(name, value);
        }
    }
    response
}

pub(crate) fn meta_of(headers: &HeaderMap) -> BTreeMap<String, String> {
    let pairs = headers.iter().filter_map(|(name, value)| {
        let name = name.as_str().strip_prefix(META)?;
        Some((name.to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
    });
    pairs.collect()
}

/// `x-upyun-*` headers that describe an upload.
pub(crate) fn upload_headers(file: &File) -> Vec<(&'static str, String)> {
    let mut headers = vec![("x-upyun-content-length", file.data.len().to_string())];
    if let Some(image) = &file.image {
        headers.extend([
            ("x-upyun-width", image.width.to_string()),
            ("x-upyun-height", image.height.to_string()),
            ("x-upyun-file-type", image.kind().to_owned()),
            ("x-upyun-frames", "1".to_owned()),
        ]);
    }
    headers
}

fn need_key(key: &str) -> Result<(), Refusal> {
    if key.is_empty() { Err(Refusal::because(ErrorCode(40600001), "dir not acceptable")) } else { Ok(()) }
}

fn put(shared: &Arc<Shared>, ask: &Ask) -> Result<Response, Refusal> {
    need_key(&ask.key)?;
    let (copy, moved) = (text_lossy(ask, "x-upyun-copy-source"), text_lossy(ask, "x-upyun-move-source"));
    if let Some(source) = moved.as_deref().or(copy.as_deref()) {
        return transfer(shared, ask, source, moved.is_some());
    }
    let content_type = text(&ask.headers, "content-type").map_or_else(|| media_type(&ask.key), str::to_owned);
    let mut data = ask.body.clone();
    if let Some(thumb) = text(&ask.headers, "x-gmkerl-thumb") {
        data = shared.preprocess(&ask.bucket, &data, thumb)?;
    }
    let mut file = File::new(data, content_type, ask.now_unix);
    file.meta = meta_of(&ask.headers);
    file.secret = secret(text(&ask.headers, "content-secret"))?;
    let headers = upload_headers(&file);
    shared.world().bucket(&ask.bucket)?.store(&ask.key, file)?;
    Ok(ok(&headers))
}

/// Raw UTF-8 is legal in these headers (OpenDAL sends it).
fn text_lossy(ask: &Ask, name: &str) -> Option<String> {
    ask.headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}

pub(crate) fn secret(value: Option<&str>) -> Result<Option<String>, Refusal> {
    match value {
        Some(text) if !text.bytes().all(|b| b.is_ascii_alphanumeric()) => {
            Err(Refusal::because(ErrorCode::BAD_CONTENT_SECRET, "content-secret only accept [a-zA-Z0-9]"))
        }
        other => Ok(other.filter(|text| !text.is_empty()).map(str::to_owned)),
    }
}

fn transfer(shared: &Arc<Shared>, ask: &Ask, source: &str, moved: bool) -> Result<Response, Refusal> {
    let invalid = || Refusal::because(ErrorCode::COPY_SOURCE_INVALID, "the copy or move source is not valid");
    // The leading slash is missing from one client's requests. The Go SDK encodes the path, OpenDAL does not; which of
    // them Upyun expects is *unverified*, so a name that looks like an escape cannot be copied with OpenDAL.
    let (bucket, from) = split(source).map_err(|_| invalid())?;
    if bucket != ask.bucket || from.is_empty() {
        return Err(invalid());
    }
    let mut world = shared.world();
    let bucket = world.bucket(&ask.bucket)?;
    let old = bucket.file(&from)?;
    let mut file = File::new(old.data.clone(), old.content_type.clone(), ask.now_unix);
    file.meta = old.meta.clone();
    file.secret = old.secret.clone();
    let headers = vec![("x-upyun-content-length", file.data.len().to_string())];
    bucket.store(&ask.key, file)?;
    if moved && from != ask.key {
        bucket.remove(&from)?;
    }
    Ok(ok(&headers))
}

fn file_headers(file: &File) -> Vec<(&'static str, String)> {
    vec![
        ("content-type", file.content_type.clone()),
        ("content-md5", file.md5.clone()),
        ("etag", format!("\"{}\"", file.md5)),
        ("x-upyun-file-type", "file".to_owned()),
        ("x-upyun-file-size", file.data.len().to_string()),
        ("x-upyun-file-date", file.modified_unix.to_string()),
    ]
}

fn add_meta(response: &mut Response, file: &File) {
    for (name, value) in &file.meta {
        let name = format!("{META}{name}").parse::<HeaderName>();
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(value.as_bytes())) {
            response.headers_mut().insert(name, value);
        }
    }
}

fn get(shared: &Arc<Shared>, ask: &Ask) -> Result<Response, Refusal> {
    let mut world = shared.world();
    let bucket = world.bucket(&ask.bucket)?;
    if ask.query.as_deref().is_some_and(|query| query == "usage" || query.starts_with("usage&")) {
        return Ok(bucket.bytes().to_string().into_response());
    }
    if let Some(response) = multi::get(bucket, ask)? {
        return Ok(response);
    }
    if bucket.is_folder(&ask.key) {
        return list(bucket, ask);
    }
    let file = bucket.file(&ask.key)?;
    drop(world);
    let mut headers = file_headers(&file);
    let (status, body) = match text(&ask.headers, "range").and_then(|range| span(range, file.data.len())) {
        Some((first, last)) => {
            headers.push(("content-range", format!("bytes {first}-{last}/{}", file.data.len())));
            (StatusCode::PARTIAL_CONTENT, file.data.slice(first..=last))
        }
        None => (StatusCode::OK, file.data.clone()),
    };
    headers.push(("accept-ranges", "bytes".to_owned()));
    let mut response = with_headers(status, &headers, Body::from(body));
    add_meta(&mut response, &file);
    Ok(response)
}

/// First and last byte of a single range; anything else is answered whole.
pub(crate) fn span(range: &str, length: usize) -> Option<(usize, usize)> {
    let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    let end = length.checked_sub(1)?;
    let (first, last) = match (first.parse::<usize>().ok(), last.parse::<usize>().ok()) {
        (Some(first), Some(last)) => (first, last.min(end)),
        (Some(first), None) => (first, end),
        (None, Some(suffix)) => (length.saturating_sub(suffix), end),
        (None, None) => return None,
    };
    (first <= last).then_some((first, last))
}

fn head(shared: &Arc<Shared>, ask: &Ask) -> Result<Response, Refusal> {
    let mut world = shared.world();
    let bucket = world.bucket(&ask.bucket)?;
    if let Ok(file) = bucket.file(&ask.key) {
        let mut headers = file_headers(&file);
        headers.push(("content-length", file.data.len().to_string()));
        let mut response = with_headers(StatusCode::OK, &headers, Body::empty());
        add_meta(&mut response, &file);
        return Ok(response);
    }
    let modified = match bucket.nodes.get(&ask.key) {
        Some(Node::Folder { modified_unix }) => *modified_unix,
        _ if ask.key.is_empty() => ask.now_unix,
        _ => return Err(missing()),
    };
    Ok(ok(&[("x-upyun-file-type", "folder".to_owned()), ("x-upyun-file-date", modified.to_string())]))
}

fn list(bucket: &Bucket, ask: &Ask) -> Result<Response, Refusal> {
    let order = text(&ask.headers, "x-list-order").unwrap_or("asc");
    let limit = text(&ask.headers, "x-list-limit").and_then(|limit| limit.parse().ok()).unwrap_or(PAGE);
    let limit = limit.clamp(1, MAX_PAGE);
    let cursor = text(&ask.headers, "x-list-iter").filter(|cursor| *cursor != LAST_PAGE);
    let after = cursor.and_then(|cursor| URL_SAFE_NO_PAD.decode(cursor).ok());
    let after = after.and_then(|bytes| String::from_utf8(bytes).ok());
    let mut entries: Vec<(&str, &Node)> = bucket.children(&ask.key).collect();
    match order {
        "asc" => entries.retain(|(name, _)| after.as_deref().is_none_or(|after| *name > after)),
        "desc" => {
            entries.reverse();
            entries.retain(|(name, _)| after.as_deref().is_none_or(|after| *name < after));
        }
        _ => return Err(Refusal::because(ErrorCode(40300014), "order must be asc or desc")),
    }
    let more = entries.len() > limit;
    entries.truncate(limit);
    let last = entries.last().filter(|_| more);
    let iter = last.map_or_else(|| LAST_PAGE.to_owned(), |(name, _)| URL_SAFE_NO_PAD.encode(name));
    let as_json = text(&ask.headers, "accept").is_some_and(|accept| accept.contains("application/json"));
    // Axios asks for `application/json, text/plain, */*` and its SDK parses text.
    let as_json =
        as_json && !text(&ask.headers, "accept").is_some_and(|accept| accept.contains("text/plain"));
    let (content_type, body) = if as_json {
        let files: Vec<_> = entries.iter().map(|(name, node)| json_entry(name, node)).collect();
        ("application/json", json!({ "files": files, "iter": iter }).to_string())
    } else {
        let lines: Vec<String> = entries.iter().map(|(name, node)| text_entry(name, node)).collect();
        ("text/plain", lines.join("\n"))
    };
    let headers = [("content-type", content_type.to_owned()), ("x-upyun-list-iter", iter)];
    Ok(with_headers(StatusCode::OK, &headers, Body::from(body)))
}

fn json_entry(name: &str, node: &Node) -> serde_json::Value {
    match node {
        Node::File(file) => json!({
            "type": file.content_type, "length": file.data.len(), "name": name,
            "last_modified": file.modified_unix, "etag": file.md5,
        }),
        Node::Folder { modified_unix } => {
            json!({ "type": "folder", "length": 0, "name": name, "last_modified": modified_unix })
        }
    }
}

fn text_entry(name: &str, node: &Node) -> String {
    match node {
        Node::File(file) => format!("{name}\tN\t{}\t{}", file.data.len(), file.modified_unix),
        Node::Folder { modified_unix } => format!("{name}\tF\t0\t{modified_unix}"),
    }
}

fn delete(shared: &Arc<Shared>, ask: &Ask) -> Result<Response, Refusal> {
    need_key(&ask.key)?;
    if let Some(uuid) = text(&ask.headers, "x-upyun-multi-uuid") {
        return multi::cancel(shared, ask, uuid);
    }
    if !is_async(&ask.headers) {
        shared.world().bucket(&ask.bucket)?.remove(&ask.key)?;
        return Ok(StatusCode::OK.into_response());
    }
    if !shared.world().bucket(&ask.bucket)?.nodes.contains_key(&ask.key) {
        return Err(missing());
    }
    let (shared, bucket, key) = (Arc::clone(shared), ask.bucket.clone(), ask.key.clone());
    let worker = Arc::clone(&shared);
    worker.spawn(async move {
        tokio::time::sleep(shared.config.async_delete_delay).await;
        // Gone by another way in the meantime is gone as well.
        let _ = shared.world().bucket(&bucket).and_then(|bucket| bucket.remove(&key));
    });
    Ok(StatusCode::OK.into_response())
}

fn folder(shared: &Arc<Shared>, ask: &Ask) -> Result<Response, Refusal> {
    let wanted =
        ["folder", "x-upyun-folder"].into_iter().any(|name| text(&ask.headers, name) == Some("true"));
    if !wanted {
        return Err(Refusal::because(ErrorCode::NEED_FILE, "need file, or the header folder: true"));
    }
    need_key(&ask.key)?;
    shared.world().bucket(&ask.bucket)?.make_folder(&ask.key, ask.now_unix)?;
    Ok(StatusCode::OK.into_response())
}

fn patch(shared: &Arc<Shared>, ask: &Ask) -> Result<Response, Refusal> {
    let query = ask.query.as_deref().unwrap_or_default();
    let get = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    let mut world = shared.world();
    let bucket = world.bucket(&ask.bucket)?;
    let old = bucket.file(&ask.key)?;
    let given = meta_of(&ask.headers);
    let mut meta = old.meta.clone();
    match get("metadata") {
        Some("merge") => meta.extend(given),
        Some("replace") => meta = given,
        Some("delete") => meta.retain(|name, _| !given.contains_key(name)),
        other => {
            let message = format!("metadata must be merge, replace or delete, not {other:?}");
            return Err(Refusal::because(ErrorCode(40000000), &message));
        }
    }
    let touched = get("update_last_modified") == Some("true");
    let file = File {
        data: old.data.clone(),
        md5: old.md5.clone(),
        content_type: old.content_type.clone(),
        modified_unix: if touched { ask.now_unix } else { old.modified_unix },
        // Documented: the content secret is the metadata `secret`.
        secret: meta.get("secret").cloned().or_else(|| old.secret.clone()),
        meta,
        image: old.image,
        resumable: old.resumable,
    };
    bucket.nodes.insert(ask.key.clone(), Node::File(Arc::new(file)));
    Ok(StatusCode::OK.into_response())
}
