//! The values that queries yield, filters change and predicates compare.

use std::cmp::Ordering;
use std::fmt;

use jiff::Timestamp;

/// A number as Hurl knows it: an integer and a float of the same size are equal.
#[derive(Clone, Debug)]
pub enum Number {
    /// Fits 64 bits.
    Integer(i64),
    /// With a fraction or an exponent.
    Float(f64),
    /// An integer beyond 64 bits, as decimal digits.
    Big(String),
}

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        self.compare(other) == Ordering::Equal
    }
}

impl Number {
    /// Order by size, whatever the representation. A not-a-number equals everything, as it does in Hurl.
    pub fn compare(&self, other: &Self) -> Ordering {
        let floats = |a: f64, b: f64| a.partial_cmp(&b).unwrap_or(Ordering::Equal);
        match (self, other) {
            (Self::Integer(a), Self::Integer(b)) => a.cmp(b),
            (Self::Float(a), Self::Float(b)) => floats(*a, *b),
            (Self::Integer(a), Self::Float(b)) => floats(*a as f64, *b),
            (Self::Float(a), Self::Integer(b)) => floats(*a, *b as f64),
            (a, Self::Float(b)) => floats(a.approximate(), *b),
            (Self::Float(a), b) => floats(*a, b.approximate()),
            (a, b) => compare_digits(&a.to_string(), &b.to_string()),
        }
    }

    fn approximate(&self) -> f64 {
        match self {
            Self::Integer(n) => *n as f64,
            Self::Float(n) => *n,
            Self::Big(digits) => digits.parse().unwrap_or(f64::NAN),
        }
    }
}

fn compare_digits(a: &str, b: &str) -> Ordering {
    let split = |text: &str| match text.strip_prefix('-') {
        Some(digits) => (true, digits.trim_start_matches('0').to_owned()),
        None => (false, text.trim_start_matches('0').to_owned()),
    };
    let ((a_negative, a), (b_negative, b)) = (split(a), split(b));
    let size = a.len().cmp(&b.len()).then_with(|| a.cmp(&b));
    match (a_negative, b_negative) {
        (false, false) => size,
        (true, true) => size.reverse(),
        (true, false) => Ordering::Less,
        (false, true) => Ordering::Greater,
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(n) => write!(f, "{n}"),
            Self::Float(n) if n.is_finite() && n.fract() == 0.0 => write!(f, "{n}.0"),
            Self::Float(n) => write!(f, "{n}"),
            Self::Big(digits) => f.write_str(digits),
        }
    }
}

/// A value of a journey: a variable, a capture, the result of a query.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Value {
    /// JSON null.
    Null,
    /// True or false.
    Bool(bool),
    /// A number.
    Number(Number),
    /// Text.
    String(String),
    /// Raw bytes.
    Bytes(Vec<u8>),
    /// A point in time.
    Date(Timestamp),
    /// Several values in order.
    List(Vec<Value>),
    /// Named values in order.
    Object(Vec<(String, Value)>),
    /// A regular expression, on the right of `matches`.
    Regex(regex::Regex),
    /// One hop of a redirect chain: where it led and with which status.
    Redirect {
        /// The address it led to.
        location: String,
        /// The status, such as 302.
        status: u16,
    },
    /// Something is there and has no value of its own, such as a cookie's `Secure`.
    Unit,
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) | (Self::Unit, Self::Unit) => true,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Number(a), Self::Number(b)) => a == b,
            (Self::String(a), Self::String(b)) => a == b,
            (Self::Bytes(a), Self::Bytes(b)) => a == b,
            (Self::Date(a), Self::Date(b)) => a == b,
            (Self::List(a), Self::List(b)) => a == b,
            // Objects are equal whatever the order of their fields.
            (Self::Object(a), Self::Object(b)) => {
                a.len() == b.len() && a.iter().all(|field| b.contains(field))
            }
            (Self::Redirect { location: a, status: x }, Self::Redirect { location: b, status: y }) => {
                a == b && x == y
            }
            _ => false,
        }
    }
}

impl Value {
    /// An integer.
    pub fn integer(n: i64) -> Self {
        Self::Number(Number::Integer(n))
    }

    /// The name of the type, as messages show it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "boolean",
            Self::Number(Number::Float(_)) => "float",
            Self::Number(_) => "integer",
            Self::String(_) => "string",
            Self::Bytes(_) => "bytes",
            Self::Date(_) => "date",
            Self::List(_) => "list",
            Self::Object(_) => "object",
            Self::Regex(_) => "regex",
            Self::Redirect { .. } => "redirect",
            Self::Unit => "something",
        }
    }

    /// Type and value, as messages show them.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Null | Self::Unit => self.kind().to_owned(),
            Self::String(text) => format!("string {text:?}"),
            Self::Bytes(bytes) => format!("{} bytes {self}", bytes.len()),
            _ => format!("{} {self}", self.kind()),
        }
    }

    /// The text that a template puts in the place of `{{name}}`; none for what has no text of its own
    /// (lists, objects, bytes).
    pub fn render(&self) -> Option<String> {
        match self {
            Self::Null => Some("null".to_owned()),
            Self::Bool(value) => Some(value.to_string()),
            Self::Number(number) => Some(number.to_string()),
            Self::String(text) => Some(text.clone()),
            Self::Date(date) => Some(iso_date(*date)),
            _ => None,
        }
    }

    pub(crate) fn from_json(json: &serde_json::Value) -> Self {
        match json {
            serde_json::Value::Null => Self::Null,
            serde_json::Value::Bool(value) => Self::Bool(*value),
            serde_json::Value::Number(number) => Self::Number(match (number.as_i64(), number.is_f64()) {
                (Some(integer), _) => Number::Integer(integer),
                (None, true) => Number::Float(number.as_f64().unwrap_or(f64::NAN)),
                (None, false) => Number::Big(number.to_string()),
            }),
            serde_json::Value::String(text) => Self::String(text.clone()),
            serde_json::Value::Array(items) => Self::List(items.iter().map(Self::from_json).collect()),
            serde_json::Value::Object(map) => {
                Self::Object(map.iter().map(|(key, value)| (key.clone(), Self::from_json(value))).collect())
            }
        }
    }
}

/// UTC with microseconds, as Hurl renders a date.
pub(crate) fn iso_date(date: Timestamp) -> String {
    date.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Number(number) => write!(f, "{number}"),
            Self::String(text) => f.write_str(text),
            Self::Bytes(bytes) => bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}")),
            Self::Date(date) => f.write_str(&iso_date(*date)),
            Self::List(items) => {
                f.write_str("[")?;
                for (i, item) in items.iter().enumerate() {
                    write!(f, "{}{item}", if i == 0 { "" } else { ", " })?;
                }
                f.write_str("]")
            }
            Self::Object(fields) => {
                f.write_str("{")?;
                for (i, (key, value)) in fields.iter().enumerate() {
                    write!(f, "{}{key}: {value}", if i == 0 { "" } else { ", " })?;
                }
                f.write_str("}")
            }
            Self::Regex(regex) => write!(f, "/{}/", regex.as_str().replace('/', "\\/")),
            Self::Redirect { location, status } => write!(f, "{status} to {location}"),
            Self::Unit => f.write_str("something"),
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::String(text)
    }
}

impl From<i64> for Value {
    fn from(n: i64) -> Self {
        Self::integer(n)
    }
}

impl From<f64> for Value {
    fn from(n: f64) -> Self {
        Self::Number(Number::Float(n))
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_compare_by_size_across_representations() {
        let big = |digits: &str| Number::Big(digits.to_owned());
        assert_eq!(Number::Integer(1), Number::Float(1.0));
        assert_eq!(Number::Integer(-3).compare(&Number::Integer(2)), Ordering::Less);
        assert_eq!(big("100000000000000000000").compare(&Number::Integer(9)), Ordering::Greater);
        assert_eq!(big("-100000000000000000000").compare(&Number::Integer(9)), Ordering::Less);
        assert_eq!(big("-100000000000000000000").compare(&big("-900000000000000000000")), Ordering::Greater);
        assert_eq!(big("100000000000000000000").compare(&Number::Float(0.5)), Ordering::Greater);
    }

    #[test]
    fn whole_floats_keep_their_point_also_when_negative() {
        assert_eq!(Number::Float(2.0).to_string(), "2.0");
        assert_eq!(Number::Float(-2.5).to_string(), "-2.5");
    }

    #[test]
    fn objects_are_equal_whatever_the_order_of_their_fields() {
        let field = |name: &str, n| (name.to_owned(), Value::integer(n));
        let object = |fields: &[(String, Value)]| Value::Object(fields.to_vec());
        assert_eq!(object(&[field("a", 1), field("b", 2)]), object(&[field("b", 2), field("a", 1)]));
        assert_ne!(object(&[field("a", 1), field("b", 2)]), object(&[field("a", 1), field("c", 2)]));
        assert_ne!(object(&[field("a", 1)]), object(&[field("a", 1), field("b", 2)]));
    }

    #[test]
    fn collections_have_no_text_of_their_own() {
        assert_eq!(Value::List(vec![]).render(), None);
        assert_eq!(Value::Bytes(vec![1]).render(), None);
        assert_eq!(Value::Bool(true).render().as_deref(), Some("true"));
    }
}
