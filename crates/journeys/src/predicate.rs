//! The right side of an assert: does the value satisfy it?

use std::cmp::Ordering;
use std::net::{Ipv4Addr, Ipv6Addr};

use hurl_core::ast::{Number as AstNumber, Predicate, PredicateFuncValue, PredicateValue};
use regex::Regex;

use crate::dates;
use crate::files::FileRoot;
use crate::scope::{Evaluated, Fault, Scope};
use crate::value::{Number, Value};

/// What came of a predicate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) ok: bool,
    pub(crate) expected: String,
    pub(crate) actual: String,
}

/// Judges `actual`; none means that the query or the last filter found nothing. A value of a type that the
/// predicate does not take fails, with `not` as well as without.
pub(crate) fn judge(
    predicate: &Predicate,
    actual: Option<&Value>,
    scope: &Scope,
    files: &FileRoot,
) -> Evaluated<Verdict> {
    let func = &predicate.predicate_func.value;
    let operand = match operand(func) {
        Some(value) => Some(evaluate(value, scope, files)?),
        None => None,
    };
    let mut expected = func.identifier().to_owned();
    if let Some(operand) = &operand {
        expected = format!("{expected} {}", operand.describe());
    }
    if predicate.not {
        expected = format!("not {expected}");
    }
    let Some(actual) = actual else {
        // Nothing satisfies no predicate, so it satisfies the negation of each.
        return Ok(Verdict { ok: predicate.not, expected, actual: "nothing".to_owned() });
    };
    let holds = match &operand {
        Some(operand) => compare(func, actual, operand)
            .map_err(|error| Fault::new(predicate.predicate_func.source_info.start, error))?,
        None => test(func, actual),
    };
    Ok(match holds {
        Some(holds) => Verdict { ok: holds != predicate.not, expected, actual: actual.describe() },
        None => Verdict {
            ok: false,
            expected,
            actual: format!("{}, a type this predicate does not take", actual.describe()),
        },
    })
}

fn operand(func: &PredicateFuncValue) -> Option<&PredicateValue> {
    match func {
        PredicateFuncValue::Equal { value, .. }
        | PredicateFuncValue::NotEqual { value, .. }
        | PredicateFuncValue::GreaterThan { value, .. }
        | PredicateFuncValue::GreaterThanOrEqual { value, .. }
        | PredicateFuncValue::LessThan { value, .. }
        | PredicateFuncValue::LessThanOrEqual { value, .. }
        | PredicateFuncValue::StartWith { value, .. }
        | PredicateFuncValue::EndWith { value, .. }
        | PredicateFuncValue::Contain { value, .. }
        | PredicateFuncValue::Include { value, .. }
        | PredicateFuncValue::Match { value, .. } => Some(value),
        PredicateFuncValue::Exist
        | PredicateFuncValue::IsBoolean
        | PredicateFuncValue::IsCollection
        | PredicateFuncValue::IsDate
        | PredicateFuncValue::IsEmpty
        | PredicateFuncValue::IsFloat
        | PredicateFuncValue::IsInteger
        | PredicateFuncValue::IsIpv4
        | PredicateFuncValue::IsIpv6
        | PredicateFuncValue::IsIsoDate
        | PredicateFuncValue::IsList
        | PredicateFuncValue::IsNumber
        | PredicateFuncValue::IsObject
        | PredicateFuncValue::IsString
        | PredicateFuncValue::IsUuid => None,
    }
}

fn evaluate(value: &PredicateValue, scope: &Scope, files: &FileRoot) -> Evaluated<Value> {
    Ok(match value {
        PredicateValue::Null => Value::Null,
        PredicateValue::Bool(value) => Value::Bool(*value),
        PredicateValue::Number(number) => Value::Number(number_of(number)),
        PredicateValue::String(template) => Value::String(scope.text(template)?),
        PredicateValue::MultilineString(text) => Value::String(scope.multiline(text)?),
        PredicateValue::Base64(base64) => Value::Bytes(base64.value.clone()),
        PredicateValue::Hex(hex) => Value::Bytes(hex.value.clone()),
        PredicateValue::Regex(regex) => Value::Regex(regex.inner.clone()),
        PredicateValue::Placeholder(placeholder) => scope.expr(&placeholder.expr)?,
        PredicateValue::File(file) => {
            let name = scope.text(&file.filename)?;
            let at = file.filename.source_info.start;
            Value::Bytes(
                files.read(&name).map_err(|error| Fault::new(at, error.to_string()).hint(error.hint()))?,
            )
        }
    })
}

pub(crate) fn number_of(number: &AstNumber) -> Number {
    match number {
        AstNumber::Integer(n) => Number::Integer(n.as_i64()),
        AstNumber::Float(n) => Number::Float(n.as_f64()),
        AstNumber::BigInteger(digits) => Number::Big(digits.clone()),
    }
}

/// Predicates with an operand; none for a type they do not take.
fn compare(func: &PredicateFuncValue, actual: &Value, operand: &Value) -> Result<Option<bool>, String> {
    let order = |test: fn(Ordering) -> bool| order(actual, operand).map(test);
    Ok(match func {
        PredicateFuncValue::Equal { .. } => Some(actual == operand),
        PredicateFuncValue::NotEqual { .. } => Some(actual != operand),
        PredicateFuncValue::GreaterThan { .. } => order(Ordering::is_gt),
        PredicateFuncValue::GreaterThanOrEqual { .. } => order(Ordering::is_ge),
        PredicateFuncValue::LessThan { .. } => order(Ordering::is_lt),
        PredicateFuncValue::LessThanOrEqual { .. } => order(Ordering::is_le),
        PredicateFuncValue::StartWith { .. } => match (actual, operand) {
            (Value::String(text), Value::String(part)) => Some(text.starts_with(part)),
            (Value::Bytes(bytes), Value::Bytes(part)) => Some(bytes.starts_with(part)),
            _ => None,
        },
        PredicateFuncValue::EndWith { .. } => match (actual, operand) {
            (Value::String(text), Value::String(part)) => Some(text.ends_with(part)),
            (Value::Bytes(bytes), Value::Bytes(part)) => Some(bytes.ends_with(part)),
            _ => None,
        },
        PredicateFuncValue::Contain { .. } => match (actual, operand) {
            (Value::String(text), Value::String(part)) => Some(text.contains(part)),
            (Value::Bytes(bytes), Value::Bytes(part)) => Some(contains(bytes, part)),
            (Value::List(items), item) => Some(items.contains(item)),
            _ => None,
        },
        PredicateFuncValue::Include { .. } => match actual {
            Value::List(items) => Some(items.contains(operand)),
            _ => None,
        },
        PredicateFuncValue::Match { .. } => match (actual, operand) {
            (Value::String(text), Value::Regex(regex)) => Some(regex.is_match(text)),
            (Value::String(text), Value::String(pattern)) => {
                let regex = Regex::new(pattern)
                    .map_err(|error| format!("{pattern:?} is no regular expression: {error}"))?;
                Some(regex.is_match(text))
            }
            _ => None,
        },
        other => test(other, actual),
    })
}

fn order(a: &Value, b: &Value) -> Option<Ordering> {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => Some(a.compare(b)),
        (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
        (Value::Date(a), Value::Date(b)) => Some(a.cmp(b)),
        _ => None,
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    part.is_empty() || bytes.windows(part.len()).any(|window| window == part)
}

/// Predicates without an operand; none for a type they do not take.
fn test(func: &PredicateFuncValue, actual: &Value) -> Option<bool> {
    let text = |test: fn(&str) -> bool| match actual {
        Value::String(text) => Some(test(text)),
        _ => None,
    };
    match func {
        PredicateFuncValue::Exist => Some(true),
        PredicateFuncValue::IsBoolean => Some(matches!(actual, Value::Bool(_))),
        PredicateFuncValue::IsCollection => {
            Some(matches!(actual, Value::Bytes(_) | Value::List(_) | Value::Object(_)))
        }
        PredicateFuncValue::IsDate => Some(matches!(actual, Value::Date(_))),
        PredicateFuncValue::IsFloat => Some(matches!(actual, Value::Number(Number::Float(_)))),
        PredicateFuncValue::IsInteger => {
            Some(matches!(actual, Value::Number(Number::Integer(_) | Number::Big(_))))
        }
        PredicateFuncValue::IsList => Some(matches!(actual, Value::Bytes(_) | Value::List(_))),
        PredicateFuncValue::IsNumber => Some(matches!(actual, Value::Number(_))),
        PredicateFuncValue::IsObject => Some(matches!(actual, Value::Object(_))),
        PredicateFuncValue::IsString => Some(matches!(actual, Value::String(_))),
        PredicateFuncValue::IsEmpty => match actual {
            Value::String(text) => Some(text.is_empty()),
            Value::Bytes(bytes) => Some(bytes.is_empty()),
            Value::List(items) => Some(items.is_empty()),
            Value::Object(fields) => Some(fields.is_empty()),
            _ => None,
        },
        PredicateFuncValue::IsIpv4 => text(|text| text.parse::<Ipv4Addr>().is_ok()),
        PredicateFuncValue::IsIpv6 => text(|text| text.parse::<Ipv6Addr>().is_ok()),
        PredicateFuncValue::IsIsoDate => text(dates::is_iso),
        PredicateFuncValue::IsUuid => text(is_uuid),
        // Those with an operand are judged above.
        _ => None,
    }
}

/// Hyphenated or plain, bare, in braces or as a URN.
fn is_uuid(text: &str) -> bool {
    let text = text.strip_prefix("urn:uuid:").unwrap_or(text);
    let text = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')).unwrap_or(text);
    let hex = |part: &str| part.bytes().all(|byte| byte.is_ascii_hexdigit());
    match text.split('-').collect::<Vec<_>>().as_slice() {
        [plain] => plain.len() == 32 && hex(plain),
        parts => {
            parts.iter().map(|part| part.len()).eq([8, 4, 4, 4, 12]) && parts.iter().all(|part| hex(part))
        }
    }
}
