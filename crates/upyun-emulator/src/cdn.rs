//! The CDN: domains by Host header, tokens, styles, a cache.
use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use percent_encoding::percent_decode_str;
use safelight_upyun::TokenKey;

use crate::auth::text;
use crate::image::{self, ImageRefusal};
use crate::refusal::{Refusal, edge};
use crate::rest::{span, with_headers};
use crate::server::{Shared, host};
use crate::world::{Bucket, Cached, File};

pub(crate) async fn handle(shared: &Arc<Shared>, request: Request) -> Response {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return edge(405, "40500000", "method not allowed");
    }
    let host = host(&request);
    let path = request.uri().path().to_owned();
    let query = request.uri().query().unwrap_or_default().to_owned();
    let headers = request.headers().clone();
    let is_head = request.method() == Method::HEAD;
    let worker = Arc::clone(shared);
    // Styles decode and scale, which would hold up other requests.
    let work =
        tokio::task::spawn_blocking(move || answer(&worker, &host, &path, &query, &headers, is_head)).await;
    work.unwrap_or_else(|_| Refusal::outage(503).into_response())
}

fn answer(
    shared: &Shared,
    host: &str,
    path: &str,
    query: &str,
    headers: &HeaderMap,
    is_head: bool,
) -> Response {
    let now = shared.now();
    let Ok(decoded) = percent_decode_str(path).decode_utf8() else {
        return edge(400, "40010000", "the path is not UTF-8");
    };
    let (bound, target) = {
        let mut world = shared.world();
        let bound = world.bound(host);
        let Some((name, domain)) = bound.and_then(|name| Some((name.clone(), world.domains.get_mut(&name)?)))
        else {
            return edge(400, "40010041", "bucket not found");
        };
        if let Some(key) = &domain.token
            && !token_opens(key, path, query, headers, now)
        {
            return edge(403, "40310013", "token error");
        }
        let cached = domain.cache.get(&*decoded).cloned();
        let bucket = domain.bucket.clone();
        let Ok(bucket) = world.bucket(&bucket) else { return edge(400, "40010041", "bucket not found") };
        if let Some(cached) = cached.filter(|cached| fresh(shared, bucket, &decoded, cached)) {
            return send(&cached, "HIT", headers, is_head);
        }
        (name, find(bucket, &decoded))
    };
    let (file, parameters) = match target {
        Ok(found) => found,
        Err(Miss::File) => return edge(404, "40400001", "file or directory not found"),
        Err(Miss::Style) => return (StatusCode::NOT_FOUND, "Not Profile").into_response(),
    };
    let made = match parameters {
        None => Cached {
            data: file.data.clone(),
            content_type: file.content_type.clone(),
            md5: file.md5.clone(),
            stored: Instant::now(),
        },
        Some(parameters) => {
            let stored = Instant::now();
            match image::process(&file.data, &parameters) {
                Ok(made) => Cached {
                    md5: safelight_upyun::content_md5(&made.data),
                    data: made.data,
                    content_type: made.content_type.to_owned(),
                    stored,
                },
                Err(refusal) => return image_error(&refusal),
            }
        }
    };
    if let Some(domain) = shared.world().domains.get_mut(&bound) {
        domain.cache.insert(decoded.into_owned(), made.clone());
    }
    send(&made, "MISS", headers, is_head)
}

fn token_opens(
    key: &TokenKey,
    path: &str,
    query: &str,
    headers: &HeaderMap,
    now: std::time::SystemTime,
) -> bool {
    let in_query = query.split('&').find_map(|pair| pair.strip_prefix("_upt="));
    let cookies = text(headers, "cookie").unwrap_or_default();
    let in_cookie = cookies.split(';').find_map(|pair| pair.trim().strip_prefix("_upt="));
    let token = in_query.or(in_cookie).unwrap_or_default();
    // Which spelling of a non-ASCII path is hashed is unverified, so both open it.
    let spellings = [safelight_upyun::TokenPath::Decoded, safelight_upyun::TokenPath::Encoded];
    spellings.into_iter().any(|spelling| key.clone().path(spelling).verify(path, token, now).is_ok())
}

/// A changed file is served in its old version until the CDN has noticed.
fn fresh(shared: &Shared, bucket: &Bucket, path: &str, cached: &Cached) -> bool {
    let bare = path.trim_start_matches('/');
    let prefixes = bare.match_indices(bucket.separator.as_char()).filter_map(|(at, _)| bare.get(..at));
    let changes = prefixes.chain([bare]).filter_map(|key| bucket.changed.get(key));
    match changes.filter(|changed| **changed > cached.stored).max() {
        Some(changed) => changed.elapsed() < shared.config.cdn_auto_purge,
        None => true,
    }
}

type Found = (Arc<File>, Option<String>);

/// What a URL asks for and is not there.
enum Miss {
    File,
    Style,
}

/// The file and how to process it.
fn find(bucket: &Bucket, path: &str) -> Result<Found, Miss> {
    let bare = path.trim_start_matches('/');
    if let Ok(file) = bucket.file(bare) {
        // Which answer a protected original gets without its secret is unverified.
        return if file.secret.is_some() { Err(Miss::File) } else { Ok((file, None)) };
    }
    // With `-` and `_` as separators a name may contain them, so the longest existing name wins.
    let cuts: Vec<usize> = bare.match_indices(bucket.separator.as_char()).map(|(at, _)| at).collect();
    for at in cuts.into_iter().rev() {
        let (Some(key), Some(suffix)) = (bare.get(..at), bare.get(at + 1..)) else { continue };
        let Ok(file) = bucket.file(key) else { continue };
        if file.secret.as_deref() == Some(suffix) {
            return Ok((file, None));
        }
        if suffix.starts_with('/') {
            return Ok((file, Some(suffix.to_owned())));
        }
        let (style, more) = suffix.split_once('/').unwrap_or((suffix, ""));
        return match bucket.styles.get(style) {
            // What follows a style wins over it, so it comes last.
            Some(parameters) => Ok((file, Some(format!("{parameters}/{more}")))),
            None => Err(Miss::Style),
        };
    }
    Err(Miss::File)
}

fn image_error(refusal: &ImageRefusal) -> Response {
    match refusal {
        ImageRefusal::BadParameter(which) => {
            (StatusCode::BAD_REQUEST, format!("Bad Params: {which}")).into_response()
        }
        ImageRefusal::NotAnImage | ImageRefusal::SideTooLong => {
            (StatusCode::METHOD_NOT_ALLOWED, "Not An Image").into_response()
        }
        ImageRefusal::TooManyPixels => (StatusCode::CONFLICT, "Too Many Pixels").into_response(),
    }
}

fn send(made: &Cached, cache: &str, headers: &HeaderMap, is_head: bool) -> Response {
    let etag = format!("\"{}\"", made.md5);
    let mut out = vec![
        ("content-type", made.content_type.clone()),
        ("etag", etag.clone()),
        ("x-cache", cache.to_owned()),
        ("accept-ranges", "bytes".to_owned()),
    ];
    if text(headers, "if-none-match") == Some(&*etag) {
        return with_headers(StatusCode::NOT_MODIFIED, &out, Body::empty());
    }
    let length = made.data.len();
    let (status, body) = match text(headers, "range").and_then(|range| span(range, length)) {
        Some((first, last)) => {
            out.push(("content-range", format!("bytes {first}-{last}/{length}")));
            (StatusCode::PARTIAL_CONTENT, made.data.slice(first..=last))
        }
        None => (StatusCode::OK, made.data.clone()),
    };
    if is_head {
        out.push(("content-length", body.len().to_string()));
        return with_headers(status, &out, Body::empty());
    }
    with_headers(status, &out, Body::from(body))
}
