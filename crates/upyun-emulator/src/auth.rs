//! Who asks, and whether they may. Forgiving where the official clients differ, strict otherwise.
use std::time::{Duration, SystemTime};

use axum::http::HeaderMap;
use safelight_upyun::{Authorization, DeviceToken, ErrorCode, SIGNATURE_WINDOW, ToSign, legacy, parse_date};

use crate::refusal::Refusal;
use crate::world::{OperatorState, World};

/// A REST request, as far as it is signed.
pub(crate) struct Asked<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    /// Path and query, when there is a query.
    pub(crate) target: Option<&'a str>,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body_bytes: u64,
}

/// A right on a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Right {
    Read,
    Write,
    Delete,
}

pub(crate) fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn operator<'w>(world: &'w World, name: &str) -> Result<&'w OperatorState, Refusal> {
    let found = world.operators.get(name);
    let found = found.ok_or_else(|| Refusal::because(ErrorCode::USER_NOT_EXISTS, "user not exists"))?;
    if found.blocked { Err(Refusal::because(ErrorCode(40100007), "user blocked")) } else { Ok(found) }
}

fn wrong() -> Refusal {
    Refusal::because(ErrorCode::SIGNATURE_ERROR, "signature error")
}

/// Checks the `Authorization` header and returns the operator's name.
pub(crate) fn header(world: &World, asked: &Asked<'_>, now: SystemTime) -> Result<String, Refusal> {
    let value = text(asked.headers, "authorization")
        .ok_or_else(|| Refusal::because(ErrorCode::NEED_AUTHORIZATION, "need authorization header"))?;
    let parsed = Authorization::parse(value).ok_or_else(wrong)?;
    match parsed {
        Authorization::Basic { operator: name, password } => {
            if operator(world, &name)?.operator.has_password(&password) {
                Ok(name)
            } else {
                Err(Refusal::because(ErrorCode::PASSWORD_ERROR, "user password error"))
            }
        }
        Authorization::Hmac { operator: name, signature } => {
            let state = operator(world, &name)?;
            if text(asked.headers, "x-upyun-expire").is_some() {
                device(asked, state, &signature, now)?;
                return Ok(name);
            }
            let date = dated(asked.headers, now)?;
            let md5 = text(asked.headers, "content-md5");
            if forms(asked, date, md5).any(|what| state.operator.verifies(&what, &signature)) {
                Ok(name)
            } else {
                Err(wrong())
            }
        }
        Authorization::Md5 { operator: name, signature } => {
            let state = operator(world, &name)?;
            let date = dated(asked.headers, now)?;
            let length = asked.body_bytes;
            let expected = legacy::rest_signature(&state.operator, asked.method, asked.path, date, length);
            if expected == signature { Ok(name) } else { Err(wrong()) }
        }
        _ => Err(wrong()),
    }
}

/// Clients sign the query or not (PHP, Java), and a sent Content-MD5 or not (PHP).
fn forms<'a>(asked: &'a Asked<'a>, date: &'a str, md5: Option<&'a str>) -> impl Iterator<Item = ToSign<'a>> {
    let uris = [Some(asked.path), asked.target];
    uris.into_iter().flatten().flat_map(move |uri| {
        [md5, None].map(|md5| ToSign { date: Some(date), content_md5: md5, ..ToSign::new(asked.method, uri) })
    })
}

/// The signed date: the Node SDK sends X-Date, because browsers cannot set Date.
fn dated(headers: &HeaderMap, now: SystemTime) -> Result<&str, Refusal> {
    let date = text(headers, "x-date").or_else(|| text(headers, "date"));
    let date = date.ok_or_else(|| Refusal::because(ErrorCode::NEED_DATE, "need date header"))?;
    let when = parse_date(date)
        .ok_or_else(|| Refusal::because(ErrorCode::INVALID_DATE, "invalid date value in header"))?;
    let distance = now.duration_since(when).unwrap_or_else(|ahead| ahead.duration());
    if distance > SIGNATURE_WINDOW {
        return Err(Refusal::because(ErrorCode::DATE_OFFSET, "date offset error"));
    }
    Ok(date)
}

fn device(asked: &Asked<'_>, state: &OperatorState, signature: &str, now: SystemTime) -> Result<(), Refusal> {
    let owned = |name: &str| text(asked.headers, name).filter(|value| !value.is_empty()).map(str::to_owned);
    let expires_unix = owned("x-upyun-expire").and_then(|value| value.parse().ok()).ok_or_else(wrong)?;
    let token = DeviceToken {
        method: asked.method.to_owned(),
        prefix: owned("x-upyun-uri-prefix"),
        postfix: owned("x-upyun-uri-postfix"),
        expires_unix,
    };
    let expires = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(expires_unix)).ok_or_else(wrong)?;
    let fits = token.prefix.as_deref().is_none_or(|prefix| asked.path.starts_with(prefix))
        && token.postfix.as_deref().is_none_or(|postfix| asked.path.ends_with(postfix))
        && (token.prefix.is_some() || token.postfix.is_some());
    // The documentation names the status 401 for all of these, and no code.
    if fits && now <= expires && token.verifies(&state.operator, signature) { Ok(()) } else { Err(wrong()) }
}

/// What a form upload is signed over.
pub(crate) struct FormProof<'a> {
    pub(crate) bucket: &'a str,
    pub(crate) policy: &'a str,
    pub(crate) date: Option<&'a str>,
    pub(crate) content_md5: Option<&'a str>,
}

/// Checks the field `authorization`; returns the operator's name.
pub(crate) fn form(world: &World, value: &str, proof: &FormProof<'_>) -> Result<String, Refusal> {
    let Some(Authorization::Hmac { operator: name, signature }) = Authorization::parse(value) else {
        return Err(wrong());
    };
    let state = operator(world, &name)?;
    // Python posts to and signs the path with a slash; Node and PHP leave the policy's date out, PHP the MD5 too.
    for uri in [format!("/{}", proof.bucket), format!("/{}/", proof.bucket)] {
        for date in [proof.date, None] {
            for content_md5 in [proof.content_md5, None] {
                let what = ToSign { date, content_md5, ..ToSign::new("POST", &uri).policy(proof.policy) };
                if state.operator.verifies(&what, &signature) {
                    return Ok(name);
                }
            }
        }
    }
    Err(wrong())
}

/// Whether an operator has a right on a bucket.
pub(crate) fn allow(world: &World, name: &str, bucket: &str, right: Right) -> Result<(), Refusal> {
    let rights = operator(world, name)?.rights.get(bucket);
    let granted = rights.is_some_and(|rights| match right {
        Right::Read => rights.read,
        Right::Write => rights.write,
        Right::Delete => rights.delete,
    });
    match (granted, right) {
        (true, _) => Ok(()),
        (false, Right::Delete) if rights.is_some() => {
            Err(Refusal::because(ErrorCode::NO_DELETE_RIGHT, "has no permission to delete"))
        }
        (false, _) => Err(Refusal::because(ErrorCode::NEED_PERMISSION, "user need permission")),
    }
}
