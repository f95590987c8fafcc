//! What a capture or an assert asks of a response.

use hurl_core::ast::{CookieAttributeName, CookiePath, Query, QueryValue};
use md5::Md5;
use sha2::{Digest as _, Sha256};

use crate::certificate;
use crate::dates;
use crate::filter;
use crate::response::{BodyError, Response};
use crate::scope::{Evaluated, Fault, Scope};
use crate::value::Value;

/// The responses of one entry: those of followed redirects, then the last.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Exchange<'a> {
    pub(crate) hops: &'a [Response],
    pub(crate) last: &'a Response,
    /// Whether a JSONPath with one node yields the node instead of a list of one.
    pub(crate) coerce: bool,
}

/// The value asked for; none where the response has nothing of the kind.
pub(crate) fn evaluate(query: &Query, exchange: Exchange<'_>, scope: &Scope) -> Evaluated<Option<Value>> {
    let last = exchange.last;
    let at = query.source_info.start;
    let body = |error: BodyError| Fault::new(at, error.to_string());
    let digest = |digest: &[u8]| Some(Value::Bytes(digest.to_vec()));
    Ok(match &query.value {
        QueryValue::Status => Some(Value::integer(last.status.into())),
        QueryValue::Version => Some(Value::from(last.version_text())),
        QueryValue::Url => Some(Value::from(last.url.as_str())),
        QueryValue::Header { name, .. } => {
            let mut values = last.header(&scope.text(name)?);
            match values.len() {
                0 => None,
                1 => values.pop().map(Value::String),
                _ => Some(Value::List(values.into_iter().map(Value::String).collect())),
            }
        }
        QueryValue::Cookie { expr: CookiePath { name, attribute }, .. } => {
            let wanted = attribute.as_ref().map(|attribute| &attribute.name);
            return cookie(last, &scope.text(name)?, wanted, at);
        }
        QueryValue::Body => Some(Value::String(last.text().map_err(body)?)),
        QueryValue::Bytes => Some(Value::Bytes(last.bytes().map_err(body)?.to_vec())),
        QueryValue::RawBytes => Some(Value::Bytes(last.raw.to_vec())),
        QueryValue::Sha256 => digest(&Sha256::digest(last.bytes().map_err(body)?)),
        QueryValue::Md5 => digest(&Md5::digest(last.bytes().map_err(body)?)),
        QueryValue::Jsonpath { expr, .. } => {
            return filter::jsonpath(last.json().map_err(body)?, expr, scope, exchange.coerce);
        }
        QueryValue::Regex { value, .. } => {
            filter::first_group(&filter::regex(value, scope)?, &last.text().map_err(body)?)
        }
        QueryValue::Variable { name, .. } => scope.get(&scope.text(name)?).cloned(),
        QueryValue::Duration => {
            Some(Value::integer(i64::try_from(last.duration.as_millis()).unwrap_or(i64::MAX)))
        }
        QueryValue::Ip => last.peer.map(|peer| Value::String(peer.to_string())),
        QueryValue::Certificate { attribute_name, .. } => match &last.certificate {
            Some(der) => {
                certificate::attribute(der, *attribute_name).map_err(|error| Fault::new(at, error))?
            }
            None => None,
        },
        QueryValue::Redirects => {
            // A hop led to wherever the next request went.
            let targets = exchange.hops.iter().skip(1).chain([last]);
            let hops = exchange.hops.iter().zip(targets);
            Some(Value::List(
                hops.map(|(hop, next)| Value::Redirect { location: next.url.clone(), status: hop.status })
                    .collect(),
            ))
        }
        QueryValue::Xpath { .. } => return Err(Fault::new(at, "XPath is not supported")),
    })
}

fn cookie(
    response: &Response,
    name: &str,
    attribute: Option<&CookieAttributeName>,
    at: hurl_core::reader::Pos,
) -> Evaluated<Option<Value>> {
    let Some(attributes) = response.cookie(name) else { return Ok(None) };
    let find = |key: &str| attributes.iter().find(|(name, _)| name == key);
    let text = |key: &str| find(key).and_then(|(_, value)| value.clone());
    let flag = |key: &str| find(key).map(|_| Value::Unit);
    Ok(match attribute {
        None | Some(CookieAttributeName::Value(_)) => text("").map(Value::String),
        Some(CookieAttributeName::Expires(_)) => match text("expires") {
            None => None,
            Some(expires) => Some(Value::Date(dates::parse_cookie(&expires).ok_or_else(|| {
                Fault::new(at, format!("the cookie expires at {expires:?}, which is no date"))
            })?)),
        },
        // A Max-Age that is no number counts as absent, as browsers have it.
        Some(CookieAttributeName::MaxAge(_)) => {
            text("max-age").and_then(|age| age.parse().ok()).map(Value::integer)
        }
        Some(CookieAttributeName::Domain(_)) => text("domain").map(Value::String),
        Some(CookieAttributeName::Path(_)) => text("path").map(Value::String),
        Some(CookieAttributeName::SameSite(_)) => text("samesite").map(Value::String),
        Some(CookieAttributeName::Secure(_)) => flag("secure"),
        Some(CookieAttributeName::HttpOnly(_)) => flag("httponly"),
    })
}
