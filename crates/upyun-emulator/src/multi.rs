//! Resumable uploads. Stages may be joined (`initiate,upload`), as the Python SDK does.
use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Body;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use safelight_upyun::{ErrorCode, content_md5};
use serde_json::json;

use crate::auth::text;
use crate::refusal::{Refusal, random_hex};
use crate::rest::{Ask, meta_of, secret, with_headers};
use crate::server::Shared;
use crate::world::{Bucket, File, Multi, media_type};

const MIB: u64 = 1024 * 1024;
/// After the last part.
const NO_NEXT_PART: &str = "-1";

// The documentation gives the range 40011051-61 and two meanings; the messages are those that the Python SDK compares,
// and which number belongs to the other messages is unverified.
const UUID_NOT_FOUND: ErrorCode = ErrorCode(40011057);
const LENGTH_MISMATCH: ErrorCode = ErrorCode(40011055);
const MD5_MISMATCH: ErrorCode = ErrorCode(40011056);
const BAD_STAGE: ErrorCode = ErrorCode(40011051);
const BAD_PART_SIZE: ErrorCode = ErrorCode(40011053);

pub(crate) fn put(shared: &Arc<Shared>, ask: &Ask) -> Result<Response, Refusal> {
    let stages = text(&ask.headers, "x-upyun-multi-stage").unwrap_or_default();
    let stages: Vec<&str> = stages.split(',').map(str::trim).collect();
    let mut world = shared.world();
    let bucket = world.bucket(&ask.bucket)?;
    let mut uuid = text(&ask.headers, "x-upyun-multi-uuid").map(str::to_owned);
    let mut status = StatusCode::NO_CONTENT;
    let mut next = None;
    for stage in stages {
        match stage {
            "initiate" => {
                uuid = Some(initiate(bucket, ask)?);
                next = Some("0".to_owned());
            }
            "upload" => next = Some(upload(bucket, ask, uuid.as_deref())?),
            "complete" => status = complete(bucket, ask, uuid.as_deref())?,
            _ => return Err(Refusal::because(BAD_STAGE, "invalid x-upyun-multi-stage")),
        }
    }
    let mut headers = vec![("x-upyun-multi-uuid", uuid.unwrap_or_default())];
    headers.extend(next.map(|next| ("x-upyun-next-part-id", next)));
    Ok(with_headers(status, &headers, Body::empty()))
}

fn initiate(bucket: &mut Bucket, ask: &Ask) -> Result<String, Refusal> {
    let number = |name: &str| text(&ask.headers, name).and_then(|value| value.parse::<u64>().ok());
    let part_bytes = number("x-upyun-multi-part-size").unwrap_or(MIB);
    if part_bytes == 0 || !part_bytes.is_multiple_of(MIB) || part_bytes > 50 * MIB {
        return Err(Refusal::because(BAD_PART_SIZE, "x-upyun-multi-part-size invalid"));
    }
    let hex = random_hex();
    let cut = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    let uuid = format!("{}-{}-{}-{}-{}", cut(0, 8), cut(8, 12), cut(12, 16), cut(16, 20), cut(20, 32));
    let upload = Multi {
        key: ask.key.clone(),
        length: number("x-upyun-multi-length"),
        part_bytes,
        content_type: text(&ask.headers, "x-upyun-multi-type").filter(|t| !t.is_empty()).map(str::to_owned),
        any_order: text(&ask.headers, "x-upyun-multi-disorder") == Some("true"),
        meta: meta_of(&ask.headers),
        secret: secret(text(&ask.headers, "content-secret"))?,
        parts: BTreeMap::new(),
        done: false,
    };
    bucket.multis.insert(uuid.clone(), upload);
    Ok(uuid)
}

fn find<'b>(bucket: &'b mut Bucket, ask: &Ask, uuid: Option<&str>) -> Result<&'b mut Multi, Refusal> {
    let found = uuid.and_then(|uuid| bucket.multis.get_mut(uuid)).filter(|upload| upload.key == ask.key);
    let found = found.ok_or_else(|| Refusal::because(UUID_NOT_FOUND, "x-upyun-multi-uuid not found"))?;
    if found.done {
        return Err(Refusal::because(ErrorCode::FILE_ALREADY_UPLOADED, "file already upload"));
    }
    Ok(found)
}

/// The first part that is missing, or -1 when all are there.
fn next(upload: &Multi) -> String {
    let first = (0..).find(|part| !upload.parts.contains_key(part)).unwrap_or(0);
    let complete = upload.length.is_some_and(|length| first >= length.div_ceil(upload.part_bytes));
    if complete { NO_NEXT_PART.to_owned() } else { first.to_string() }
}

fn upload(bucket: &mut Bucket, ask: &Ask, uuid: Option<&str>) -> Result<String, Refusal> {
    let upload = find(bucket, ask, uuid)?;
    let expected = next(upload);
    let part = text(&ask.headers, "x-upyun-part-id").and_then(|part| part.parse::<u64>().ok());
    let in_turn = part.is_some_and(|part| upload.any_order || part.to_string() == expected);
    let Some(part) = part.filter(|_| in_turn) else {
        let refusal = Refusal::because(ErrorCode::PART_ID_ERROR, "part id error");
        return Err(refusal.header("x-upyun-next-part-id", &expected));
    };
    let size = u64::try_from(ask.body.len()).unwrap_or(u64::MAX);
    if size > upload.part_bytes {
        return Err(Refusal::because(BAD_PART_SIZE, "part size error"));
    }
    upload.parts.insert(part, ask.body.clone());
    Ok(next(upload))
}

fn complete(bucket: &mut Bucket, ask: &Ask, uuid: Option<&str>) -> Result<StatusCode, Refusal> {
    let upload = find(bucket, ask, uuid)?;
    let gap = upload.parts.keys().zip(0..).any(|(part, expected)| *part != expected);
    let whole: Bytes = upload
        .parts
        .values()
        .fold(BytesMut::new(), |mut all, part| {
            all.extend_from_slice(part);
            all
        })
        .freeze();
    let length = u64::try_from(whole.len()).unwrap_or(u64::MAX);
    if gap || upload.length.is_some_and(|announced| announced != length) {
        return Err(Refusal::because(LENGTH_MISMATCH, "file size not match"));
    }
    if let Some(md5) = text(&ask.headers, "x-upyun-multi-md5") {
        // Documented as the MD5 of the whole; the Python SDK's test of parallel uploads hashes the parts' MD5s.
        let of_parts: String = upload.parts.values().map(|part| content_md5(part)).collect();
        if ![content_md5(&whole), content_md5(of_parts.as_bytes())].iter().any(|one| one == md5) {
            return Err(Refusal::because(MD5_MISMATCH, "file md5 not match"));
        }
    }
    let content_type = upload.content_type.clone().unwrap_or_else(|| media_type(&ask.key));
    let mut file = File::new(whole, content_type, ask.now_unix);
    file.meta = upload.meta.clone();
    file.secret = upload.secret.clone();
    file.resumable = true;
    upload.done = true;
    upload.parts.clear();
    let status =
        if bucket.nodes.contains_key(&ask.key) { StatusCode::NO_CONTENT } else { StatusCode::CREATED };
    bucket.store(&ask.key, file)?;
    Ok(status)
}

/// Progress, parts, and open uploads. `None` when the request asks for none of them.
pub(crate) fn get(bucket: &Bucket, ask: &Ask) -> Result<Option<Response>, Refusal> {
    if text(&ask.headers, "x-upyun-list-type") == Some("multi") {
        let open = bucket.multis.iter().filter(|(_, upload)| !upload.done);
        let files: Vec<_> = open.map(|(uuid, upload)| json!({ "uuid": uuid, "key": upload.key })).collect();
        return Ok(Some(axum::Json(json!({ "files": files })).into_response()));
    }
    let uuid = text(&ask.headers, "x-upyun-multi-uuid");
    if text(&ask.headers, "x-upyun-multi-info") == Some("true") {
        let open = bucket.multis.iter().find(|(_, upload)| !upload.done && upload.key == ask.key);
        let (uuid, upload) = open.ok_or_else(crate::world::missing)?;
        let sent: usize = upload.parts.values().map(Bytes::len).sum();
        let headers = [
            ("x-upyun-multi-uuid", uuid.clone()),
            ("x-upyun-next-part-id", next(upload)),
            ("x-upyun-multi-length", upload.length.unwrap_or(0).to_string()),
            ("x-upyun-multi-uploaded", sent.to_string()),
        ];
        return Ok(Some(with_headers(StatusCode::OK, &headers, Body::empty())));
    }
    let Some(uuid) = uuid else { return Ok(None) };
    let upload = bucket.multis.get(uuid);
    let upload = upload.ok_or_else(|| Refusal::because(UUID_NOT_FOUND, "x-upyun-multi-uuid not found"))?;
    let parts = upload.parts.iter();
    let parts: Vec<_> =
        parts.map(|(id, data)| json!({ "etag": content_md5(data), "size": data.len(), "id": id })).collect();
    Ok(Some(axum::Json(json!({ "parts": parts })).into_response()))
}

pub(crate) fn cancel(shared: &Arc<Shared>, ask: &Ask, uuid: &str) -> Result<Response, Refusal> {
    let mut world = shared.world();
    let bucket = world.bucket(&ask.bucket)?;
    find(bucket, ask, Some(uuid))?;
    bucket.multis.remove(uuid);
    Ok(StatusCode::NO_CONTENT.into_response())
}
