//! Compares a response with what an entry says of it, in Hurl's order: version and status, then captures, then
//! headers, body and asserts.

use hurl_core::ast::{
    Assert, Body, Bytes, Capture, MultilineStringKind, Response as Spec, StatusValue, VersionValue,
};
use hurl_core::reader::Pos;

use crate::files::FileRoot;
use crate::filter;
use crate::predicate;
use crate::query::{self, Exchange};
use crate::response::Response;
use crate::scope::{Evaluated, Fault, Scope};
use crate::value::Value;

/// One check and what came of it.
#[derive(Clone, Debug)]
pub(crate) struct Check {
    pub(crate) at: Pos,
    pub(crate) ok: bool,
    pub(crate) expected: String,
    pub(crate) actual: String,
    pub(crate) hint: Option<String>,
}

impl Check {
    fn new(at: Pos, ok: bool, expected: impl Into<String>, actual: impl Into<String>) -> Self {
        Self { at, ok, expected: expected.into(), actual: actual.into(), hint: None }
    }

    fn failed(expected: &str, fault: Fault) -> Self {
        Self { at: fault.at, ok: false, expected: expected.to_owned(), actual: fault.what, hint: fault.hint }
    }
}

/// `HTTP/1.1 200`, `HTTP *`. When this fails, nothing else of the response is looked at.
pub(crate) fn status(spec: &Spec, response: &Response) -> Vec<Check> {
    let mut checks = Vec::new();
    let wanted = match spec.version.value {
        VersionValue::VersionAny => None,
        VersionValue::Version1 => Some("1.0"),
        VersionValue::Version11 => Some("1.1"),
        VersionValue::Version2 => Some("2"),
        VersionValue::Version3 => Some("3"),
    };
    if let Some(wanted) = wanted {
        let actual = response.version_text();
        let at = spec.version.source_info.start;
        let mut check = Check::new(
            at,
            wanted == actual,
            format!("HTTP version {wanted}"),
            format!("HTTP version {actual}"),
        );
        if !check.ok && wanted == "2" {
            check.hint =
                Some("HTTP/2 is agreed on with TLS only, and not with a host led to another port".to_owned());
        }
        checks.push(check);
    }
    if let StatusValue::Specific(wanted) = spec.status.value {
        let at = spec.status.source_info.start;
        let mut check = Check::new(
            at,
            wanted == u64::from(response.status),
            format!("status {wanted}"),
            format!("status {}", response.status),
        );
        if (300..400).contains(&response.status) && !check.ok {
            let target = response.header("location").pop().unwrap_or_default();
            check.hint = Some(format!(
                "the answer leads to {target:?}; to follow it, put `location: true` below [Options]"
            ));
        }
        checks.push(check);
    }
    checks
}

/// Sets the variables that the entry captures. The first that finds nothing ends it.
pub(crate) fn captures(spec: &Spec, exchange: Exchange<'_>, scope: &mut Scope) -> Evaluated<Vec<String>> {
    let mut names = Vec::new();
    for Capture { name, query, filters, redacted, .. } in spec.captures() {
        let at = query.source_info.start;
        let key = scope.text(name)?;
        let found = query::evaluate(query, exchange, scope)?;
        if found.is_none() {
            return Err(Fault::new(
                at,
                format!("nothing to capture as {key:?}: the response has no such value"),
            ));
        }
        let filters = filters.iter().map(|(_, filter)| filter);
        let value = filter::chain(filters, found, scope, exchange.coerce)?;
        let value = value.ok_or_else(|| {
            Fault::new(at, format!("nothing to capture as {key:?}: the last filter found nothing"))
        })?;
        match (*redacted, value) {
            (false, value) => scope.set(&key, value),
            (true, Value::String(secret)) => scope.set_secret(&key, &secret),
            (true, other) => {
                let what = format!("{key:?} is to be redacted and is a {}, not a string", other.kind());
                return Err(
                    Fault::new(name.source_info.start, what).hint("put the filter toString in between")
                );
            }
        }
        names.push(key);
    }
    Ok(names)
}

/// Implicit checks of headers and body, then the asserts.
pub(crate) fn asserts(spec: &Spec, exchange: Exchange<'_>, scope: &Scope, files: &FileRoot) -> Vec<Check> {
    let mut checks = Vec::new();
    for header in &spec.headers {
        let at = header.key.source_info.start;
        let evaluated = scope.text(&header.key).and_then(|name| Ok((name, scope.text(&header.value)?)));
        checks.push(match evaluated {
            Err(fault) => Check::failed("a header", fault),
            Ok((name, wanted)) => {
                let values = exchange.last.header(&name);
                let shown = match values.as_slice() {
                    [] => "no such header".to_owned(),
                    values => values.join(" | "),
                };
                Check::new(at, values.contains(&wanted), format!("header {name}: {wanted}"), shown)
            }
        });
    }
    if let Some(expected) = &spec.body {
        checks.push(body(expected, exchange.last, scope, files));
    }
    checks.extend(spec.asserts().iter().map(|assert| explicit(assert, exchange, scope, files)));
    checks
}

fn explicit(assert: &Assert, exchange: Exchange<'_>, scope: &Scope, files: &FileRoot) -> Check {
    let judged = query::evaluate(&assert.query, exchange, scope).and_then(|found| {
        let filters = assert.filters.iter().map(|(_, filter)| filter);
        let value = filter::chain(filters, found, scope, exchange.coerce)?;
        predicate::judge(&assert.predicate, value.as_ref(), scope, files)
    });
    match judged {
        Ok(verdict) => {
            Check::new(assert.query.source_info.start, verdict.ok, verdict.expected, verdict.actual)
        }
        Err(fault) => {
            let wanted = format!("a value for {}", assert.predicate.predicate_func.value.identifier());
            Check::failed(&wanted, fault)
        }
    }
}

/// The body of the file, evaluated: text, or bytes.
pub(crate) fn evaluate_body(body: &Body, scope: &Scope, files: &FileRoot) -> Evaluated<Value> {
    Ok(match &body.value {
        Bytes::Json(json) => Value::String(scope.json(json)?),
        Bytes::OnelineString(template) => Value::String(scope.text(template)?),
        Bytes::MultilineString(text) => Value::String(scope.multiline(text)?),
        Bytes::Xml(text) => Value::from(text.as_str()),
        Bytes::Base64(base64) => Value::Bytes(base64.value.clone()),
        Bytes::Hex(hex) => Value::Bytes(hex.value.clone()),
        Bytes::File(file) => {
            let name = scope.text(&file.filename)?;
            let at = file.filename.source_info.start;
            Value::Bytes(
                files.read(&name).map_err(|error| Fault::new(at, error.to_string()).hint(error.hint()))?,
            )
        }
    })
}

fn body(spec: &Body, response: &Response, scope: &Scope, files: &FileRoot) -> Check {
    let at = spec.space0.source_info.end;
    let expected = match evaluate_body(spec, scope, files) {
        Ok(expected) => expected,
        Err(fault) => return Check::failed("a body", fault),
    };
    let actual = match &expected {
        Value::String(_) => response.text().map(Value::String),
        _ => response.bytes().map(|bytes| Value::Bytes(bytes.to_vec())),
    };
    let actual = match actual {
        Ok(actual) => actual,
        Err(error) => {
            return Check::new(at, false, format!("body {}", expected.describe()), error.to_string());
        }
    };
    let mut check =
        Check::new(at, actual == expected, format!("body {}", expected.describe()), actual.describe());
    if !check.ok
        && let (Value::String(wanted), Value::String(got)) = (&expected, &actual)
    {
        check.hint = text_hint(&spec.value, wanted, got);
    }
    check
}

/// Bodies are compared letter by letter, also JSON: what most often surprises is white space.
fn text_hint(body: &Bytes, wanted: &str, got: &str) -> Option<String> {
    let is_json = match body {
        Bytes::Json(_) => true,
        Bytes::MultilineString(text) => matches!(text.kind, MultilineStringKind::Json(_)),
        _ => false,
    };
    let parse = |text: &str| serde_json::from_str::<serde_json::Value>(text).ok();
    if is_json && parse(wanted).is_some() && parse(wanted) == parse(got) {
        return Some(
            "it is the same JSON with other white space or order; use jsonpath asserts to compare values"
                .into(),
        );
    }
    (wanted.trim() == got.trim()).then(|| "the two differ in white space at the start or end only".into())
}
