//! Values with units: durations, sizes, command lines, URLs.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::{borrow::Cow, time::Duration};

/// A length of time, written `90s`, `1h 30m`, `250ms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

impl Span {
    /// Whole seconds.
    #[must_use]
    pub const fn secs(s: u64) -> Self {
        Self(Duration::from_secs(s))
    }
    /// Milliseconds.
    #[must_use]
    pub const fn millis(ms: u64) -> Self {
        Self(Duration::from_millis(ms))
    }
}

impl std::fmt::Display for Span {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ms = self.0.as_millis();
        let (h, m, s, rest) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60, ms % 1000);
        let mut parts = Vec::new();
        for (n, unit) in [(h, "h"), (m, "m"), (s, "s"), (rest, "ms")] {
            if n > 0 {
                parts.push(format!("{n}{unit}"));
            }
        }
        f.write_str(&if parts.is_empty() { "0s".to_owned() } else { parts.join(" ") })
    }
}

impl std::str::FromStr for Span {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        let d: jiff::SignedDuration = s
            .trim()
            .parse()
            .map_err(|_| format!("`{s}` is not a length of time; write `90s`, `1h 30m` or `250ms`"))?;
        Duration::try_from(d).map(Self).map_err(|_| format!("`{s}` is negative"))
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}
impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(D::Error::custom)
    }
}
impl JsonSchema for Span {
    fn schema_name() -> Cow<'static, str> {
        "Span".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "string", "description": "A length of time: 90s, 1h 30m, 250ms"})
    }
}

/// A number of bytes, written `5GB` (10^9) or `5GiB` (2^30).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

impl std::fmt::Display for ByteSize {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const UNITS: [(&str, u64); 4] =
            [("TB", 1_000_000_000_000), ("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1000)];
        for (unit, size) in UNITS {
            if self.0 >= size {
                #[expect(clippy::cast_precision_loss, reason = "one digit after the point is shown")]
                return write!(f, "{:.1} {unit}", self.0 as f64 / size as f64);
            }
        }
        write!(f, "{} B", self.0)
    }
}

impl std::str::FromStr for ByteSize {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        let bad = || format!("`{s}` is not a size; write `5GB`, `500MB` or `2GiB`");
        let t = s.trim();
        let split = t.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(t.len());
        let n: f64 = t[..split].parse().map_err(|_| bad())?;
        let factor: f64 = match t[split..].trim().to_ascii_lowercase().as_str() {
            "" | "b" => 1.0,
            "k" | "kb" => 1e3,
            "m" | "mb" => 1e6,
            "g" | "gb" => 1e9,
            "t" | "tb" => 1e12,
            "kib" => 1024.0,
            "mib" => 1_048_576.0,
            "gib" => 1_073_741_824.0,
            "tib" => 1_099_511_627_776.0,
            _ => return Err(bad()),
        };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "digits and a point only: never negative; saturates"
        )]
        Ok(Self((n * factor) as u64))
    }
}

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(&format_args!("{}B", self.0))
    }
}
impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(D::Error::custom)
    }
}
impl JsonSchema for ByteSize {
    fn schema_name() -> Cow<'static, str> {
        "ByteSize".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "string", "description": "A number of bytes: 5GB, 500MB, 2GiB"})
    }
}

/// A command: a string for `/bin/sh -c`, or a list of words run as they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum CommandLine {
    /// For `/bin/sh -c`.
    Shell(String),
    /// Run as they are.
    Words(Vec<String>),
}

impl CommandLine {
    /// Program and arguments. A shell line without anything for a shell in it is run directly: one process less, and
    /// signals reach the app itself.
    #[must_use]
    pub fn argv(&self) -> Vec<String> {
        match self {
            Self::Words(w) => w.clone(),
            Self::Shell(s) => {
                let simple = |c: char| c.is_ascii_alphanumeric() || "-_./=:@%+, {}".contains(c);
                if s.chars().all(simple) && !s.split(' ').next().unwrap_or("").contains('=') {
                    s.split_whitespace().map(str::to_owned).collect()
                } else {
                    vec!["/bin/sh".to_owned(), "-c".to_owned(), s.clone()]
                }
            }
        }
    }

    /// As the user wrote it.
    #[must_use]
    pub fn display(&self) -> String {
        match self {
            Self::Shell(s) => s.clone(),
            Self::Words(w) => w.join(" "),
        }
    }
}

/// The parts of an http or https URL that deploys care about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UrlParts {
    /// `https` rather than `http`.
    pub tls: bool,
    /// Host name or address, without brackets, in lower case.
    pub host: String,
    /// The port, explicit or the scheme's.
    pub port: u16,
    /// Path and query, at least `/`.
    pub path: String,
}

/// Splits `http(s)://host[:port][/path]`; `None` for anything else, user information included.
#[must_use]
pub fn url_parts(url: &str) -> Option<UrlParts> {
    let (tls, rest) = if let Some(r) = url.strip_prefix("https://") {
        (true, r)
    } else {
        (false, url.strip_prefix("http://")?)
    };
    let at = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(at);
    if authority.contains('@') {
        return None;
    }
    let (host, port) = match authority.strip_prefix('[') {
        Some(v6) => {
            let (host, after) = v6.split_once(']')?;
            (host, after.strip_prefix(':'))
        }
        None => match authority.split_once(':') {
            Some((h, p)) => (h, Some(p)),
            None => (authority, None),
        },
    };
    let port = match port {
        Some(p) => p.parse().ok()?,
        None => {
            if tls {
                443
            } else {
                80
            }
        }
    };
    let ok = |c: char| c.is_ascii_alphanumeric() || "-._:*".contains(c) || !c.is_ascii();
    if host.is_empty() || !host.chars().all(ok) {
        return None;
    }
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    Some(UrlParts { tls, host: host.to_lowercase(), port, path })
}

/// The address of a DNS server: `ip:port`, or `ip` for port 53.
#[must_use]
pub fn resolver(s: &str) -> Option<std::net::SocketAddr> {
    s.parse().ok().or_else(|| Some(std::net::SocketAddr::new(s.parse().ok()?, 53)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_and_sizes_read_back_what_they_print() {
        for (s, ms) in [("1h 30m", 5_400_000), ("90s", 90_000), ("250ms", 250), ("1h", 3_600_000)] {
            let span: Span = s.parse().unwrap();
            assert_eq!(span.0.as_millis(), ms);
            assert_eq!(span.to_string().parse::<Span>().unwrap(), span);
        }
        assert!("-5s".parse::<Span>().is_err());
        assert!("ten minutes".parse::<Span>().is_err());
        assert_eq!("5GB".parse::<ByteSize>().unwrap().0, 5_000_000_000);
        assert_eq!("2 GiB".parse::<ByteSize>().unwrap().0, 2_147_483_648);
        assert!("5 potatoes".parse::<ByteSize>().is_err());
    }

    #[test]
    fn a_plain_command_line_needs_no_shell() {
        assert_eq!(
            CommandLine::Shell("node server.js --port {port}".into()).argv(),
            ["node", "server.js", "--port", "{port}"]
        );
        assert_eq!(CommandLine::Shell("A=1 node x".into()).argv()[0], "/bin/sh");
        assert_eq!(CommandLine::Shell("a && b".into()).argv()[1], "-c");
    }

    #[test]
    fn urls_split_and_hostile_ones_are_refused() {
        let p = url_parts("https://Filmtrip.cn/api?x=1").unwrap();
        assert_eq!((p.tls, p.host.as_str(), p.port, p.path.as_str()), (true, "filmtrip.cn", 443, "/api?x=1"));
        assert_eq!(url_parts("http://[::1]:8080").unwrap().host, "::1");
        for bad in ["ftp://x", "http://", "https://user:pw@host/", "http://a b/", "http://x:99999/"] {
            assert!(url_parts(bad).is_none(), "{bad}");
        }
    }
}
