//! What stands between a query and its predicate: each filter turns one value into another, or into none.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use hurl_core::ast::{Filter, FilterValue, IntegerValue, RegexValue, Template};
use jiff::Timestamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use regex::Regex;
use serde_json_path::JsonPath;

use crate::dates;
use crate::scope::{Evaluated, Fault, Scope};
use crate::value::{Number, Value};

/// Padding may be missing when decoding, and is written as the alphabet's custom is.
const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const BASE64: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const BASE64_URL: GeneralPurpose =
    GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT.with_encode_padding(false));

/// `urlEncode` keeps unreserved characters and slashes.
const URL_ENCODE: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// Runs `value` through the filters in order. A filter that finds nothing ends the chain; a filter that would
/// come after it has no input, which is an error.
pub(crate) fn chain<'a>(
    filters: impl IntoIterator<Item = &'a Filter>,
    mut value: Option<Value>,
    scope: &Scope,
    coerce: bool,
) -> Evaluated<Option<Value>> {
    for filter in filters {
        let Some(input) = value else {
            let what =
                format!("the filter {} has no input: nothing was found before it", filter.value.identifier());
            return Err(Fault::new(filter.source_info.start, what));
        };
        value = apply(filter, input, scope, coerce)?;
    }
    Ok(value)
}

fn apply(filter: &Filter, input: Value, scope: &Scope, coerce: bool) -> Evaluated<Option<Value>> {
    let name = filter.value.identifier();
    let at = filter.source_info.start;
    let fault = |what: String| Fault::new(at, format!("the filter {name} failed: {what}"));
    let wrong = |wanted: &str, got: &Value| {
        Fault::new(at, format!("the filter {name} takes a {wanted}, and got {}", got.describe()))
    };
    let text = |input: Value| match input {
        Value::String(text) => Ok(text),
        other => Err(wrong("string", &other)),
    };
    let bytes = |input: Value| match input {
        Value::Bytes(bytes) => Ok(bytes),
        other => Err(wrong("sequence of bytes", &other)),
    };
    let list = |input: Value| match input {
        Value::List(items) => Ok(items),
        other => Err(wrong("list", &other)),
    };
    let date = |input: Value| match input {
        Value::Date(date) => Ok(date),
        other => Err(wrong("date", &other)),
    };
    Ok(Some(match &filter.value {
        FilterValue::Base64Encode => Value::String(BASE64.encode(bytes(input)?)),
        FilterValue::Base64UrlSafeEncode => Value::String(BASE64_URL.encode(bytes(input)?)),
        FilterValue::Base64Decode => {
            Value::Bytes(BASE64.decode(text(input)?).map_err(|error| fault(error.to_string()))?)
        }
        FilterValue::Base64UrlSafeDecode => {
            Value::Bytes(BASE64_URL.decode(text(input)?).map_err(|error| fault(error.to_string()))?)
        }
        FilterValue::CharsetDecode { encoding, .. } | FilterValue::Decode { encoding, .. } => {
            let label = scope.text(encoding)?;
            let bytes = bytes(input)?;
            let known = encoding_rs::Encoding::for_label(label.as_bytes())
                .ok_or_else(|| fault(format!("{label:?} is no known character set")))?;
            let decoded = known.decode_without_bom_handling_and_without_replacement(&bytes);
            Value::String(
                decoded.ok_or_else(|| fault(format!("the bytes are no {label} text")))?.into_owned(),
            )
        }
        FilterValue::Count => Value::integer(match &input {
            Value::List(items) => items.len() as i64,
            Value::Bytes(bytes) => bytes.len() as i64,
            other => return Err(wrong("list or sequence of bytes", other)),
        }),
        FilterValue::DaysAfterNow => Value::integer(dates::whole_days(Timestamp::now(), date(input)?)),
        FilterValue::DaysBeforeNow => Value::integer(dates::whole_days(date(input)?, Timestamp::now())),
        FilterValue::First => match list(input)?.into_iter().next() {
            Some(item) => item,
            None => return Err(fault("the list is empty".to_owned())),
        },
        FilterValue::Last => match list(input)?.pop() {
            Some(item) => item,
            None => return Err(fault("the list is empty".to_owned())),
        },
        FilterValue::Nth { n, .. } => {
            let index = integer(n, scope)?;
            let mut items = list(input)?;
            let len = items.len();
            let place = if index < 0 { len as i64 + index } else { index };
            match usize::try_from(place) {
                Ok(place) if place < len => items.swap_remove(place),
                _ => return Err(fault(format!("there is no item {index} in a list of {len}"))),
            }
        }
        FilterValue::Format { fmt, .. } | FilterValue::DateFormat { fmt, .. } => {
            let format = scope.text(fmt)?;
            Value::String(dates::format(date(input)?, &format).map_err(fault)?)
        }
        FilterValue::ToDate { fmt, .. } => {
            let format = scope.text(fmt)?;
            Value::Date(dates::parse(&text(input)?, &format).map_err(fault)?)
        }
        FilterValue::HtmlEscape => Value::String(escape_html(&text(input)?)),
        FilterValue::HtmlUnescape => {
            Value::String(html_escape::decode_html_entities(&text(input)?).into_owned())
        }
        FilterValue::JsonPath { expr, .. } => {
            let json =
                serde_json::from_str(&text(input)?).map_err(|error| fault(format!("no JSON: {error}")))?;
            return jsonpath(&json, expr, scope, coerce);
        }
        FilterValue::Location => match input {
            Value::Redirect { location, .. } => Value::String(location),
            other => return Err(wrong("redirect", &other)),
        },
        FilterValue::Regex { value, .. } => {
            return Ok(first_group(&regex(value, scope)?, &text(input)?));
        }
        FilterValue::Replace { old_value, new_value, .. } => {
            Value::String(text(input)?.replace(&scope.text(old_value)?, &scope.text(new_value)?))
        }
        FilterValue::ReplaceRegex { pattern, new_value, .. } => {
            let new = scope.text(new_value)?;
            Value::String(regex(pattern, scope)?.replace_all(&text(input)?, new.as_str()).into_owned())
        }
        FilterValue::Split { sep, .. } => {
            let separator = scope.text(sep)?;
            Value::List(text(input)?.split(&separator).map(Value::from).collect())
        }
        FilterValue::ToFloat => match &input {
            Value::Number(Number::Float(n)) => Value::from(*n),
            Value::Number(Number::Integer(n)) => Value::from(*n as f64),
            Value::String(text) => {
                Value::from(text.parse::<f64>().map_err(|_| fault(format!("{text:?} is no float")))?)
            }
            other => return Err(wrong("float, integer or string", other)),
        },
        FilterValue::ToInt => match &input {
            Value::Number(Number::Integer(n)) => Value::integer(*n),
            Value::Number(Number::Float(n)) => Value::integer(*n as i64),
            Value::String(text) => {
                Value::integer(text.parse::<i64>().map_err(|_| fault(format!("{text:?} is no integer")))?)
            }
            other => return Err(wrong("float, integer or string", other)),
        },
        FilterValue::ToHex => Value::String(Value::Bytes(bytes(input)?).to_string()),
        FilterValue::ToString => match input.render() {
            Some(text) => Value::String(text),
            None => return Err(fault(format!("a {} has no text of its own", input.kind()))),
        },
        FilterValue::UrlDecode => {
            Value::String(percent_decode_str(&text(input)?).decode_utf8_lossy().into_owned())
        }
        FilterValue::UrlEncode => Value::String(utf8_percent_encode(&text(input)?, URL_ENCODE).to_string()),
        FilterValue::UrlQueryParam { param, .. } => {
            let param = scope.text(param)?;
            let address = text(input)?;
            let url =
                reqwest::Url::parse(&address).map_err(|error| fault(format!("{address:?}: {error}")))?;
            let found = url.query_pairs().find(|(key, _)| *key == param);
            return Ok(found.map(|(_, value)| Value::String(value.into_owned())));
        }
        FilterValue::Utf8Decode => {
            Value::String(String::from_utf8(bytes(input)?).map_err(|error| fault(error.to_string()))?)
        }
        FilterValue::Utf8Encode => Value::Bytes(text(input)?.into_bytes()),
        FilterValue::XPath { .. } => return Err(fault("XPath is not supported".to_owned())),
    }))
}

fn integer(value: &IntegerValue, scope: &Scope) -> Evaluated<i64> {
    match value {
        IntegerValue::Literal(n) => Ok(n.as_i64()),
        IntegerValue::Placeholder(placeholder) => match scope.expr(&placeholder.expr)? {
            Value::Number(Number::Integer(n)) => Ok(n),
            other => {
                let what = format!("{{{{{placeholder}}}}} is {}, not an integer", other.describe());
                Err(Fault::new(placeholder.expr.source_info.start, what).hint("capture it through toInt"))
            }
        },
    }
}

/// The five characters that mean something in HTML.
pub(crate) fn escape_html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#x27;"),
            other => out.push(other),
        }
    }
    out
}

/// A regular expression as written between slashes, or as a string with placeholders.
pub(crate) fn regex(value: &RegexValue, scope: &Scope) -> Evaluated<Regex> {
    match value {
        RegexValue::Regex(regex) => Ok(regex.inner.clone()),
        RegexValue::Template(template) => {
            let pattern = scope.text(template)?;
            Regex::new(&pattern).map_err(|error| {
                Fault::new(
                    template.source_info.start,
                    format!("{pattern:?} is no regular expression: {error}"),
                )
            })
        }
    }
}

/// What the first group matched.
pub(crate) fn first_group(regex: &Regex, text: &str) -> Option<Value> {
    Some(Value::from(regex.captures(text)?.get(1)?.as_str()))
}

/// Evaluates a JSONPath (RFC 9535). With `coerce`, one node is its value and no node is none; without, the
/// result is always the list of nodes.
pub(crate) fn jsonpath(
    json: &serde_json::Value,
    expr: &Template,
    scope: &Scope,
    coerce: bool,
) -> Evaluated<Option<Value>> {
    let text = scope.text(expr)?;
    let path = JsonPath::parse(&text).map_err(|error| {
        Fault::new(expr.source_info.start, format!("{text:?} is no JSONPath: {}", error.message()))
            .hint("paths follow RFC 9535, as in Hurl 8")
    })?;
    let nodes = path.query(json).all();
    Ok(match nodes.as_slice() {
        [] if coerce => None,
        [node] if coerce => Some(Value::from_json(node)),
        nodes => Some(Value::List(nodes.iter().map(|node| Value::from_json(node)).collect())),
    })
}
