//! The `[Options]` of an entry, evaluated.

use std::net::IpAddr;
use std::time::Duration;

use hurl_core::ast::{
    BooleanOption, CountOption, DurationOption, Entry, OptionKind, Placeholder, VariableDefinition,
    VariableValue,
};
use hurl_core::reader::Pos;
use hurl_core::types::{Count, DurationUnit};

use crate::files::FileRoot;
use crate::predicate::number_of;
use crate::scope::{Evaluated, Fault, Scope};
use crate::value::{Number, Value};

/// Whether and how far redirects are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Follow {
    No,
    /// Credentials stay with the first origin.
    Yes,
    /// Credentials go wherever the redirect leads.
    Trusted,
}

/// Which HTTP the client offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Http {
    V10,
    V11,
    /// HTTP/2 where TLS agrees on it, else 1.1.
    Negotiated,
    /// HTTP/2 without asking.
    PriorKnowledge,
}

/// Leads a host and port elsewhere; an absent part matches any, or keeps what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reroute {
    pub(crate) host: Option<String>,
    pub(crate) port: Option<u16>,
    pub(crate) to_host: Option<String>,
    pub(crate) to_port: Option<u16>,
}

/// Everything that an entry may set for itself.
#[derive(Clone, Debug)]
pub(crate) struct EntryOptions {
    pub(crate) ca: Option<Vec<u8>>,
    pub(crate) coerce: bool,
    pub(crate) compressed: bool,
    pub(crate) connect_timeout: Duration,
    pub(crate) delay: Duration,
    pub(crate) family: Option<Family>,
    pub(crate) follow: Follow,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) http: Http,
    pub(crate) insecure: bool,
    pub(crate) max_redirects: Option<usize>,
    pub(crate) max_time: Option<Duration>,
    pub(crate) repeat: usize,
    pub(crate) reroutes: Vec<Reroute>,
    /// How often a failed entry is tried again.
    pub(crate) retry: Option<Count>,
    pub(crate) retry_interval: Duration,
    pub(crate) skip: bool,
    pub(crate) user: Option<String>,
}

/// Which addresses of a host are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Family {
    V4,
    V6,
}

impl Default for EntryOptions {
    fn default() -> Self {
        Self {
            ca: None,
            coerce: true,
            compressed: false,
            connect_timeout: Duration::from_secs(300),
            delay: Duration::ZERO,
            family: None,
            follow: Follow::No,
            headers: Vec::new(),
            http: Http::Negotiated,
            insecure: false,
            max_redirects: Some(50),
            max_time: None,
            repeat: 1,
            reroutes: Vec::new(),
            retry: None,
            retry_interval: Duration::from_secs(1),
            skip: false,
            user: None,
        }
    }
}

/// Evaluates the options of an entry in the order in which they stand; `variable` sets a variable of the run.
pub(crate) fn evaluate(entry: &Entry, scope: &mut Scope, files: &FileRoot) -> Evaluated<EntryOptions> {
    let mut out = EntryOptions::default();
    for option in entry.request.options() {
        let at = option.space0.source_info.end;
        match &option.kind {
            OptionKind::CaCertificate(path) => {
                let name = scope.text(path)?;
                let pem = files.read(&name);
                out.ca = Some(pem.map_err(|error| Fault::new(at, error.to_string()).hint(error.hint()))?);
            }
            OptionKind::Compressed(value) => out.compressed = boolean(value, scope)?,
            OptionKind::ConnectTimeout(value) => {
                let limit = duration(value, scope)?;
                out.connect_timeout = if limit.is_zero() { out.connect_timeout } else { limit };
            }
            OptionKind::ConnectTo(value) => out.reroutes.push(connect_to(&scope.text(value)?, at)?),
            OptionKind::Delay(value) => out.delay = duration(value, scope)?,
            OptionKind::FollowLocation(value) => {
                out.follow = if boolean(value, scope)? { Follow::Yes } else { Follow::No };
            }
            OptionKind::FollowLocationTrusted(value) => {
                out.follow = if boolean(value, scope)? { Follow::Trusted } else { Follow::No };
            }
            OptionKind::Header(value) => {
                let text = scope.text(value)?;
                let (name, value) = text.split_once(':').ok_or_else(|| {
                    Fault::new(at, format!("{text:?} is no header")).hint("write `header: Name: value`")
                })?;
                out.headers.push((name.trim().to_owned(), value.trim().to_owned()));
            }
            // Switching a version off leads to the one below it.
            OptionKind::Http10(value) => out.http = if boolean(value, scope)? { Http::V10 } else { out.http },
            OptionKind::Http11(value) => {
                out.http = if boolean(value, scope)? { Http::V11 } else { Http::V10 }
            }
            OptionKind::Http2(value) => {
                out.http = if boolean(value, scope)? { Http::Negotiated } else { Http::V11 }
            }
            OptionKind::Http2PriorKnowledge(value) => {
                out.http = if boolean(value, scope)? { Http::PriorKnowledge } else { Http::V11 };
            }
            OptionKind::Insecure(value) => out.insecure = boolean(value, scope)?,
            OptionKind::IpV4(value) => out.family = boolean(value, scope)?.then_some(Family::V4),
            OptionKind::IpV6(value) => out.family = boolean(value, scope)?.then_some(Family::V6),
            OptionKind::MaxRedirect(value) => {
                out.max_redirects = match count(value, scope)? {
                    Count::Finite(n) => Some(n),
                    Count::Infinite => None,
                };
            }
            // As for curl, zero stands for the default.
            OptionKind::MaxTime(value) => {
                out.max_time = Some(duration(value, scope)?).filter(|limit| !limit.is_zero());
            }
            OptionKind::NoJsonpathCoercion(value) => out.coerce = !boolean(value, scope)?,
            OptionKind::Repeat(value) => match count(value, scope)? {
                Count::Finite(n) => out.repeat = n,
                Count::Infinite => return Err(Fault::new(at, "an endless repeat is not supported")),
            },
            OptionKind::Resolve(value) => out.reroutes.push(resolve(&scope.text(value)?, at)?),
            OptionKind::Retry(value) => out.retry = Some(count(value, scope)?),
            OptionKind::RetryInterval(value) => out.retry_interval = duration(value, scope)?,
            OptionKind::Skip(value) => out.skip = boolean(value, scope)?,
            OptionKind::User(value) => out.user = Some(scope.text(value)?),
            OptionKind::Variable(VariableDefinition { name, value, .. }) => {
                let value = match value {
                    VariableValue::Null => Value::Null,
                    VariableValue::Bool(value) => Value::Bool(*value),
                    VariableValue::Number(number) => Value::Number(number_of(number)),
                    VariableValue::String(template) => Value::String(scope.text(template)?),
                };
                scope.set(name, value);
            }
            // These ask for more output only; an outcome shows everything anyway.
            OptionKind::Verbose(_) | OptionKind::Verbosity(_) | OptionKind::VeryVerbose(_) => {}
            OptionKind::Http3(BooleanOption::Literal(false)) => {}
            // Refused when parsing; were one to come through, it must not be ignored.
            other => {
                return Err(Fault::new(at, format!("the option {} is not supported", other.identifier())));
            }
        }
    }
    Ok(out)
}

fn wrong(placeholder: &Placeholder, value: &Value, wanted: &str) -> Fault {
    let what = format!("{{{{{placeholder}}}}} is {}, not {wanted}", value.describe());
    Fault::new(placeholder.expr.source_info.start, what)
}

fn boolean(option: &BooleanOption, scope: &Scope) -> Evaluated<bool> {
    match option {
        BooleanOption::Literal(value) => Ok(*value),
        BooleanOption::Placeholder(placeholder) => match scope.expr(&placeholder.expr)? {
            Value::Bool(value) => Ok(value),
            other => Err(wrong(placeholder, &other, "a boolean")),
        },
    }
}

fn count(option: &CountOption, scope: &Scope) -> Evaluated<Count> {
    match option {
        CountOption::Literal(count) => Ok(*count),
        CountOption::Placeholder(placeholder) => match scope.expr(&placeholder.expr)? {
            Value::Number(Number::Integer(-1)) => Ok(Count::Infinite),
            Value::Number(Number::Integer(n)) if n >= 0 => {
                Ok(Count::Finite(usize::try_from(n).unwrap_or(usize::MAX)))
            }
            other => Err(wrong(placeholder, &other, "a count (-1 or more)")),
        },
    }
}

/// Durations without a unit are milliseconds.
fn duration(option: &DurationOption, scope: &Scope) -> Evaluated<Duration> {
    let (amount, unit) = match option {
        DurationOption::Literal(literal) => (literal.value.as_u64(), literal.unit),
        DurationOption::Placeholder(placeholder) => match scope.expr(&placeholder.expr)? {
            Value::Number(Number::Integer(n)) if n >= 0 => (n.unsigned_abs(), None),
            other => return Err(wrong(placeholder, &other, "a number of milliseconds")),
        },
    };
    let factor = match unit.unwrap_or(DurationUnit::MilliSecond) {
        DurationUnit::MilliSecond => 1,
        DurationUnit::Second => 1_000,
        DurationUnit::Minute => 60_000,
        DurationUnit::Hour => 3_600_000,
    };
    Ok(Duration::from_millis(amount.saturating_mul(factor)))
}

/// Splits at colons that are not inside of brackets.
fn fields(text: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut inside = false;
    for c in text.chars() {
        match c {
            '[' => inside = true,
            ']' => inside = false,
            ':' if !inside => fields.push(String::new()),
            other => fields.last_mut().into_iter().for_each(|field| field.push(other)),
        }
    }
    fields
}

fn connect_to(text: &str, at: Pos) -> Evaluated<Reroute> {
    let wrong = || Fault::new(at, format!("{text:?} is not HOST1:PORT1:HOST2:PORT2"));
    let fields = fields(text);
    let [host, port, to_host, to_port] = fields.as_slice() else { return Err(wrong()) };
    let name = |text: &str| (!text.is_empty()).then(|| text.to_ascii_lowercase());
    let number = |text: &str| match text {
        "" => Ok(None),
        text => text.parse().map(Some).map_err(|_| wrong()),
    };
    Ok(Reroute { host: name(host), port: number(port)?, to_host: name(to_host), to_port: number(to_port)? })
}

fn resolve(text: &str, at: Pos) -> Evaluated<Reroute> {
    let wrong = || Fault::new(at, format!("{text:?} is not HOST:PORT:ADDRESS"));
    let mut parts = text.splitn(3, ':');
    let (Some(host), Some(port), Some(address)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(wrong());
    };
    let address = address.trim_start_matches('[').trim_end_matches(']');
    let address: IpAddr = address.parse().map_err(|_| wrong())?;
    Ok(Reroute {
        host: Some(host.to_ascii_lowercase()),
        port: Some(port.parse().map_err(|_| wrong())?),
        to_host: Some(address.to_string()),
        to_port: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Pos = Pos { line: 3, column: 1 };

    fn reroute(
        host: Option<&str>,
        port: Option<u16>,
        to_host: Option<&str>,
        to_port: Option<u16>,
    ) -> Reroute {
        Reroute { host: host.map(str::to_owned), port, to_host: to_host.map(str::to_owned), to_port }
    }

    #[test]
    fn connect_to_takes_names_addresses_and_gaps() {
        let full = reroute(Some("a.example.com"), Some(443), Some("::1"), Some(8443));
        assert_eq!(connect_to("A.example.com:443:[::1]:8443", AT), Ok(full));
        assert_eq!(connect_to("::b.example.com:", AT), Ok(reroute(None, None, Some("b.example.com"), None)));
        assert_eq!(
            connect_to("a.example.com:::81", AT),
            Ok(reroute(Some("a.example.com"), None, None, Some(81)))
        );
        for wrong in ["", "a:1:b", "a:1:b:2:c", "a:x:b:2", "a:1:b:70000"] {
            let fault = connect_to(wrong, AT).unwrap_err();
            assert!(fault.what.contains("is not HOST1:PORT1:HOST2:PORT2") && fault.at == AT, "{fault:?}");
        }
    }

    #[test]
    fn resolve_takes_an_address_of_either_family() {
        let v6 = reroute(Some("a.example.com"), Some(443), Some("2001:db8::1"), None);
        assert_eq!(resolve("a.example.com:443:2001:db8::1", AT), Ok(v6.clone()));
        assert_eq!(resolve("a.example.com:443:[2001:db8::1]", AT), Ok(v6));
        for wrong in
            ["a.example.com", "a.example.com:443", "a.example.com:443:b.example.com", "a:x:192.0.2.1"]
        {
            assert!(resolve(wrong, AT).unwrap_err().what.contains("is not HOST:PORT:ADDRESS"), "{wrong}");
        }
    }
}
