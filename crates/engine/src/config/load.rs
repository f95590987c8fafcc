//! Reads `safelight.toml` and says what is wrong with it: every unknown key at once, with line, column and the nearest
//! name; then wrong types; then values that cannot be meant.

use super::Config;
use super::validate::Validation;
use crate::text::{Lang, Text};
use serde_json::Value;
use std::{ops::Range, path::PathBuf};
use toml::{Spanned, de::DeTable, de::DeValue};

/// One thing that is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Bytes of the file it is about.
    pub span: Range<usize>,
    /// What is wrong.
    pub message: Text,
    /// What to write instead.
    pub hint: Option<Text>,
}

/// Everything that is wrong with a configuration file.
#[derive(Clone, Debug)]
pub struct ConfigError {
    /// The file.
    pub file: PathBuf,
    /// Its text.
    pub source: String,
    /// At least one problem.
    pub problems: Vec<Problem>,
}

impl std::error::Error for ConfigError {}
impl std::fmt::Display for ConfigError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.render(Lang::En))
    }
}

impl ConfigError {
    /// Line and column (in characters), both from 1.
    #[must_use]
    pub fn position(&self, at: usize) -> (usize, usize) {
        let mut at = at.min(self.source.len());
        while !self.source.is_char_boundary(at) {
            at -= 1;
        }
        let before = &self.source[..at];
        let line_start = before.rfind('\n').map_or(0, |i| i + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }

    /// The message for people: file, line, column, the line itself with a caret, and the hint.
    #[must_use]
    pub fn render(&self, lang: Lang) -> String {
        use std::fmt::Write as _;
        let mut out = String::new();
        for p in &self.problems {
            let (line, column) = self.position(p.span.start);
            let text = self.source.lines().nth(line - 1).unwrap_or("");
            let width = self
                .source
                .get(p.span.clone())
                .map_or(1, |s| s.lines().next().unwrap_or("").chars().count())
                .max(1);
            let width = width.min(text.chars().count().saturating_sub(column - 1).max(1));
            // Tabs and wide characters before the caret keep their width when the same text stands above it.
            let pad: String = text
                .chars()
                .take(column - 1)
                .map(|c| {
                    if c == '\t' {
                        "\t"
                    } else if c.is_ascii() {
                        " "
                    } else {
                        "\u{3000}"
                    }
                })
                .collect();
            let gutter = " ".repeat(line.to_string().len());
            let _ = writeln!(out, "{}:{line}:{column}: {}", self.file.display(), p.message.get(lang));
            let _ = writeln!(out, "{gutter} |\n{line} | {text}\n{gutter} | {pad}{}", "^".repeat(width));
            if let Some(hint) = &p.hint {
                let _ = writeln!(out, "{gutter} = {}", hint.get(lang));
            }
        }
        out.trim_end().to_owned()
    }
}

/// Parses and validates. `file` is for messages only.
pub fn parse(file: impl Into<PathBuf>, source: &str) -> Result<Config, ConfigError> {
    read(file, source, true)
}

/// Parses what was accepted when it was stored. Its values are not judged again: a Safelight that has become stricter must
/// still be able to carry on, take back, and bring back what an earlier one began.
pub fn parse_stored(source: &str) -> Result<Config, ConfigError> {
    read("safelight.toml", source, false)
}

fn read(file: impl Into<PathBuf>, source: &str, judge: bool) -> Result<Config, ConfigError> {
    // A byte order mark is what some editors write; it is not part of the document.
    let source = source.strip_prefix('\u{feff}').unwrap_or(source);
    let fail = |problems| ConfigError { file: file.into(), source: source.to_owned(), problems };
    let from_toml = |e: &toml::de::Error| {
        let message = e.message();
        Problem { span: e.span().unwrap_or(0..0), message: translate(message), hint: None }
    };
    let table = match DeTable::parse(source) {
        Ok(t) => t,
        Err(e) => return Err(fail(vec![from_toml(&e)])),
    };
    let schema = Config::schema();
    let mut problems = Vec::new();
    unknown_keys(table.get_ref(), &schema, &schema, "", &mut problems);
    if !problems.is_empty() {
        return Err(fail(problems));
    }
    let config: Config = match toml::from_str(source) {
        Ok(c) => c,
        Err(e) => return Err(fail(vec![from_toml(&e)])),
    };
    let mut check = Validation { table: table.get_ref(), problems };
    if judge {
        check.all(&config);
    }
    if check.problems.is_empty() { Ok(config) } else { Err(fail(check.problems)) }
}

/// An error about a value of a sound configuration that only turned out when it was used: a file that is not there.
/// `path` is where it stands: `env.production.tls.certificates.0.key`.
#[must_use]
pub fn problem_at(
    file: impl Into<PathBuf>,
    source: &str,
    path: &str,
    message: Text,
    hint: Option<Text>,
) -> ConfigError {
    let source = source.strip_prefix('\u{feff}').unwrap_or(source);
    let problems = match DeTable::parse(source) {
        Ok(table) => {
            let mut here = Validation { table: table.get_ref(), problems: Vec::new() };
            here.add(path, message, hint);
            here.problems
        }
        Err(_) => vec![Problem { span: 0..0, message, hint }],
    };
    ConfigError { file: file.into(), source: source.to_owned(), problems }
}

fn translate(message: &str) -> Text {
    let zh = message
        .replace("missing field", "缺少字段")
        .replace("invalid type: ", "类型不对：")
        .replace("expected", "应为")
        .replace("duplicate key", "重复的键")
        .replace("invalid value: ", "值不对：");
    Text::new(message, zh)
}

fn resolve<'s>(schema: &'s Value, root: &'s Value) -> &'s Value {
    if let Some(r) = schema.get("$ref").and_then(Value::as_str) {
        return r.strip_prefix('#').and_then(|p| root.pointer(p)).map_or(schema, |s| resolve(s, root));
    }
    // An optional struct is `anyOf: [its schema, null]`.
    if let Some(options) = schema.get("anyOf").and_then(Value::as_array) {
        return options
            .iter()
            .map(|o| resolve(o, root))
            .find(|o| o.get("properties").is_some())
            .unwrap_or(schema);
    }
    schema
}

fn unknown_keys(table: &DeTable<'_>, schema: &Value, root: &Value, path: &str, problems: &mut Vec<Problem>) {
    let schema = resolve(schema, root);
    let properties = schema.get("properties").and_then(Value::as_object);
    for (key, value) in table {
        let name = key.get_ref().as_ref();
        let next = match properties.and_then(|p| p.get(name)) {
            Some(s) => s,
            None => match schema.get("additionalProperties") {
                Some(s) if s.is_object() => s,
                Some(Value::Bool(false)) => {
                    let known: Vec<&str> =
                        properties.into_iter().flatten().map(|(k, _)| k.as_str()).collect();
                    problems.push(unknown_key(key.span(), name, path, &known));
                    continue;
                }
                _ => continue,
            },
        };
        let path = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
        below(value, next, root, &path, problems);
    }
}

fn below(
    value: &Spanned<DeValue<'_>>,
    schema: &Value,
    root: &Value,
    path: &str,
    problems: &mut Vec<Problem>,
) {
    match value.get_ref() {
        DeValue::Table(t) => unknown_keys(t, schema, root, path, problems),
        DeValue::Array(items) => {
            if let Some(item) = resolve(schema, root).get("items") {
                items.iter().for_each(|v| below(v, item, root, path, problems));
            }
        }
        _ => {}
    }
}

fn unknown_key(span: Range<usize>, name: &str, path: &str, known: &[&str]) -> Problem {
    let place = if path.is_empty() {
        Text::new("at the top level", "在顶层")
    } else {
        crate::text!("in [{path}]", "在 [{path}] 中")
    };
    let nearest = known.iter().map(|k| (distance(name, k), *k)).min();
    let hint = match nearest {
        Some((d, k)) if d <= 2 || d * 5 <= name.len() * 2 => {
            crate::text!("did you mean `{k}`?", "是不是想写 `{k}`？")
        }
        _ => {
            let list = known.join(", ");
            crate::text!("known here: {list}", "这里可用的键：{list}")
        }
    };
    Problem {
        span,
        message: Text::new(
            format!("unknown key `{name}` {}", place.en),
            format!("{}有未知的键 `{name}`", place.zh),
        ),
        hint: Some(hint),
    }
}

/// Edits (insert, delete, replace, swap neighbours) that turn `a` into `b`; `-` and `_` count as the same letter.
fn distance(a: &str, b: &str) -> usize {
    let norm = |s: &str| s.to_lowercase().replace('_', "-").chars().collect::<Vec<_>>();
    let (a, b) = (norm(a), norm(b));
    let mut rows = vec![(0..=b.len()).collect::<Vec<_>>()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let cost = usize::from(a[i - 1] != b[j - 1]);
            let mut best = (rows[i - 1][j] + 1).min(row[j - 1] + 1).min(rows[i - 1][j - 1] + cost);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "[app]\nname = \"filmtrip\"\n[[service]]\nname = \"web\"\ncommand = \"node server.js\"\npath = \"/\"\n[env.production]\nurl = \"https://filmtrip.cn\"\n";

    fn errors(s: &str) -> String {
        parse("safelight.toml", s).unwrap_err().render(Lang::En)
    }

    #[test]
    fn a_small_config_gets_the_missions_limits() {
        let c = parse("safelight.toml", GOOD).unwrap();
        assert_eq!((c.checks.cpu_max_percent, c.checks.disk_min_free.0), (80.0, 5_000_000_000));
        assert_eq!(c.watch.duration, crate::config::Span::secs(3600));
        assert_eq!(c.app.keep_releases, 5);
    }

    #[test]
    fn every_unknown_key_is_named_with_line_column_and_the_nearest_name() {
        let e = errors(&format!("{GOOD}reqired = [\"A\"]\n[watch]\ndurashun = \"1h\"\n"));
        assert!(e.contains("safelight.toml:9:1: unknown key `reqired` in [env.production]"), "{e}");
        assert!(e.contains("did you mean `required`?"), "{e}");
        assert!(e.contains("safelight.toml:11:1: unknown key `durashun` in [watch]"), "{e}");
        assert!(e.contains("did you mean `duration`?"), "{e}");
    }

    #[test]
    fn an_underscore_for_a_hyphen_is_understood_as_a_slip() {
        assert!(errors(&format!("{GOOD}env_file = \".env\"\n")).contains("did you mean `env-file`?"));
    }

    #[test]
    fn a_wrong_type_is_named_where_it_stands() {
        let e = errors(&GOOD.replace("name = \"filmtrip\"", "name = \"filmtrip\"\nkeep-releases = \"five\""));
        assert!(e.contains("safelight.toml:3:17:") && e.contains("invalid type: string"), "{e}");
    }

    #[test]
    fn crlf_and_byte_order_mark_are_no_trouble() {
        let dos = format!("\u{feff}{}", GOOD.replace('\n', "\r\n"));
        assert_eq!(parse("f", &dos).unwrap().app.name, "filmtrip");
    }

    #[test]
    fn values_that_cannot_be_meant_are_refused_together() {
        let bad = GOOD
            .replace("\"filmtrip\"", "\"Film Trip\"")
            .replace("https://filmtrip.cn\"", "https://filmtrip.cn\"\ntest-host = \"filmtrip.cn\"")
            + "[watch]\nmax-error-rate = 7.0\n[window]\nfrom = \"25:00\"\nto = \"04:00\"\nzone = \"Mars/Base\"\n";
        let e = parse("f", &bad).unwrap_err();
        assert_eq!(e.problems.len(), 5, "{}", e.render(Lang::Zh));
    }

    #[test]
    fn what_only_the_watch_would_read_is_refused_before_with_its_place() {
        let e = errors(&format!("{GOOD}[watch]\nsevere-log-patterns = [\"FATAL\", \"(ERROR\"]\n"));
        assert!(
            e.contains("safelight.toml:10:33: `(ERROR` is not a regular expression: unclosed group"),
            "{e}"
        );
        let bad = format!("{GOOD}connect = \"localhost:8080\"\n");
        let e = errors(&bad);
        assert!(e.contains("safelight.toml:9:11: `localhost:8080` is not address:port"), "{e}");
        assert!(parse("f", &format!("{GOOD}connect = \"[::1]:8080\"\n")).is_ok());
        // One that an earlier Safelight has accepted does not lock its runs up.
        assert_eq!(parse_stored(&bad).unwrap().app.name, "filmtrip");
        assert!(parse_stored("[app]\nnam = 1\n").is_err());
    }

    #[test]
    fn a_resolver_is_an_address_with_or_without_a_port() {
        assert!(parse("f", &format!("{GOOD}resolvers = [\"192.0.2.8\", \"[2001:db8::1]:5353\"]\n")).is_ok());
        assert!(errors(&format!("{GOOD}resolvers = [\"dns.example.com\"]\n")).contains("DNS server"));
    }

    #[test]
    fn tls_needs_certificates_and_an_https_address_and_redirects_by_host() {
        let files = "certificates = [{ certificate = \"c.pem\", key = \"k.pem\" }]\n";
        let with = |tls: &str| {
            format!(
                "{GOOD}urls = [\"http://old.filmtrip.cn\", \"https://img.filmtrip.cn:8443\"]\n[env.production.tls]\n{tls}"
            )
        };
        let c = parse("f", &with(files)).unwrap();
        let ports = Config::https_ports(&c.environments["production"]);
        assert_eq!(
            ports.into_iter().collect::<Vec<_>>(),
            [("filmtrip.cn".to_owned(), 443), ("img.filmtrip.cn".to_owned(), 8443)]
        );
        let c = parse("f", &with(&format!("{files}redirect = false\n"))).unwrap();
        assert!(Config::https_ports(&c.environments["production"]).is_empty());
        let e = errors(&with("certificates = []\n"));
        assert!(e.contains("safelight.toml:11:16: there is no certificate"), "{e}");
        let e = errors(&with("certificates = [{ certificate = \"c.pem\", keys = \"k.pem\" }]\n"));
        assert!(e.contains(":11:42:") && e.contains("did you mean `key`?"), "{e}");
        let plain = with(files).replace("https://", "http://");
        assert!(errors(&plain).contains("begins with https://"), "{}", errors(&plain));
    }

    #[test]
    fn what_turns_out_later_is_told_with_its_place() {
        let source = format!(
            "{GOOD}[env.production.tls]\ncertificates = [{{ certificate = \"c.pem\", key = \"k.pem\" }}]\n"
        );
        let path = "env.production.tls.certificates.0.key";
        let e = problem_at("safelight.toml", &source, path, Text::same("is gone"), None).render(Lang::En);
        assert!(e.contains("safelight.toml:10:48: is gone"), "{e}");
    }

    #[test]
    fn a_syntax_error_has_its_place_and_no_panic_on_any_bytes() {
        assert!(errors("[app\nname=1").contains(":1:"));
        for s in ["\u{0}", "é = ", "[[service]]\n[service]", "a.b.c=1", "[env]\nproduction=3"] {
            assert!(parse("f", s).is_err(), "{s:?}");
        }
    }
}
