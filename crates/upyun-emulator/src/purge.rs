//! The purge API: drops what the CDN keeps.
use std::sync::Arc;

use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use percent_encoding::percent_decode;
use safelight_upyun::{Authorization, ErrorCode, legacy};
use serde_json::json;

use crate::auth::text;
use crate::refusal::Refusal;
use crate::server::Shared;

pub(crate) fn handle(shared: &Arc<Shared>, headers: &HeaderMap, body: &[u8]) -> Response {
    match purge(shared, headers, body) {
        Ok(invalid) => axum::Json(json!({ "invalid_domain_of_url": invalid })).into_response(),
        Err(refusal) => refusal.into_response(),
    }
}

fn purge(shared: &Arc<Shared>, headers: &HeaderMap, body: &[u8]) -> Result<Vec<String>, Refusal> {
    let wrong = || Refusal::because(ErrorCode::SIGNATURE_ERROR, "signature error");
    let value = text(headers, "authorization")
        .ok_or_else(|| Refusal::because(ErrorCode::NEED_AUTHORIZATION, "need authorization header"))?;
    let date =
        text(headers, "date").ok_or_else(|| Refusal::because(ErrorCode::NEED_DATE, "need date header"))?;
    let Some(Authorization::Md5 { operator, .. }) = Authorization::parse(value) else { return Err(wrong()) };
    let (bucket, name) = operator.split_once(':').ok_or_else(wrong)?;
    let raw = body.strip_prefix(b"purge=").unwrap_or_default();
    let spaced: Vec<u8> = raw.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    let decoded = percent_decode(&spaced).decode_utf8_lossy().into_owned();
    // The Node SDK sends the list unencoded, so an encoded URL in it must not be decoded.
    let as_sent = String::from_utf8_lossy(raw).into_owned();
    let mut world = shared.world();
    let state = world.operators.get(name).filter(|state| !state.blocked && state.rights.contains_key(bucket));
    let signer = &state.ok_or_else(wrong)?.operator;
    let list = [decoded, as_sent]
        .into_iter()
        .find(|list| legacy::purge_authorization(signer, bucket, list, date) == value);
    let list = list.ok_or_else(wrong)?;
    let urls: Vec<&str> = list.lines().map(str::trim).filter(|url| !url.is_empty()).collect();
    if !world.purges_allowed(urls.len()) {
        return Err(Refusal::because(ErrorCode(40600000), "more than 600 URLs a minute"));
    }
    let mut invalid = Vec::new();
    for url in urls {
        let target = url.split_once("://").map_or(url, |(_, rest)| rest);
        let (host, path) = target.split_once('/').unwrap_or((target, ""));
        let bound = world.bound(host).and_then(|host| world.domains.get_mut(&host));
        match bound.filter(|domain| domain.bucket == bucket) {
            Some(domain) => {
                let path = path.split('?').next().unwrap_or(path);
                let decoded = percent_decode(path.as_bytes()).decode_utf8_lossy().into_owned();
                domain.cache.remove(&format!("/{decoded}"));
            }
            None => invalid.push(url.to_owned()),
        }
    }
    Ok(invalid)
}
