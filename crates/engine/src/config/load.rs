//! Reads `safelight.toml` and says what is wrong with it: every unknown key at once, with line, column and the nearest
//! name; then wrong types; then values that cannot be meant.

use super::{Config, url_of, value};
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
    check.all(&config);
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

struct Validation<'t, 's> {
    table: &'t DeTable<'s>,
    problems: Vec<Problem>,
}

impl Validation<'_, '_> {
    /// Bytes of the value at a path such as `service.1.name`; the nearest parent's when it is absent.
    fn span(&self, path: &str) -> Range<usize> {
        let mut span = 0..0;
        let mut here: Option<&Spanned<DeValue<'_>>> = None;
        for part in path.split('.') {
            let next = match here.map(Spanned::get_ref) {
                None => self.table.get(part),
                Some(DeValue::Table(t)) => t.get(part),
                Some(DeValue::Array(a)) => part.parse::<usize>().ok().and_then(|i| a.get(i)),
                Some(_) => None,
            };
            let Some(next) = next else { break };
            span = next.span();
            here = Some(next);
        }
        span
    }

    fn add(&mut self, path: &str, message: Text, hint: Option<Text>) {
        let span = self.span(path);
        self.problems.push(Problem { span, message, hint });
    }

    fn name(&mut self, path: &str, name: &str) {
        let ok = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if name.is_empty() || name.len() > 40 || !name.chars().all(ok) || name.starts_with('-') {
            self.add(
                path,
                crate::text!("`{name}` cannot be a name", "`{name}` 不能用作名称"),
                Some(Text::new(
                    "use lower-case letters, digits and `-`, 40 at most",
                    "只用小写字母、数字和 `-`，最多 40 个字符",
                )),
            );
        }
    }

    fn range(&mut self, path: &str, value: f64, low: f64, high: f64) {
        if !(low..=high).contains(&value) {
            self.add(
                path,
                crate::text!("{value} is outside of {low} to {high}", "{value} 不在 {low} 到 {high} 之间"),
                None,
            );
        }
    }

    fn relative(&mut self, path: &str, p: &str) {
        let bad = p.is_empty() || p.starts_with('/') || p.split('/').any(|c| c == "..");
        if bad {
            self.add(
                path,
                crate::text!("`{p}` must be a path inside the release", "`{p}` 必须是版本目录内的路径"),
                Some(Text::new("no leading `/`, no `..`", "不能以 `/` 开头，不能含 `..`")),
            );
        }
    }

    fn all(&mut self, c: &Config) {
        self.name("app.name", &c.app.name);
        if c.app.keep_releases < 2 {
            self.add(
                "app.keep-releases",
                Text::new(
                    "fewer than 2 releases leave nothing to roll back to",
                    "少于 2 个版本就没有可回滚的目标",
                ),
                None,
            );
        }
        if c.source.git.is_some() && c.source.dir.is_some() {
            self.add(
                "source.dir",
                Text::new("`git` and `dir` exclude each other", "`git` 与 `dir` 只能写一个"),
                None,
            );
        }
        self.services(c);
        for (i, p) in c.build.shared.iter().enumerate() {
            self.relative(&format!("build.shared.{i}"), p);
        }
        for (i, p) in c.build.dependency_dirs.iter().enumerate() {
            self.relative(&format!("build.dependency-dirs.{i}"), p);
        }
        for (i, f) in c.journeys.skip_in_rehearsal.iter().enumerate() {
            if !c.journeys.files.contains(f) {
                let f = f.display();
                self.add(
                    &format!("journeys.skip-in-rehearsal.{i}"),
                    crate::text!("`{f}` is not one of `files`", "`{f}` 不在 `files` 中"),
                    None,
                );
            }
        }
        self.range("watch.max-error-rate", c.watch.max_error_rate, 0.0, 1.0);
        if c.watch.breaches_to_undo == 0 {
            self.add("watch.breaches-to-undo", Text::new("must be at least 1", "至少为 1"), None);
        }
        if c.watch.every.0.is_zero() {
            self.add("watch.every", Text::new("must be longer than 0", "必须大于 0"), None);
        }
        for (path, v) in [
            ("checks.cpu-max-percent", c.checks.cpu_max_percent),
            ("checks.memory-max-percent", c.checks.memory_max_percent),
            ("checks.disk-min-free-percent", c.checks.disk_min_free_percent),
            ("checks.certificate-min-left-percent", c.checks.certificate_min_left_percent),
        ] {
            self.range(path, v, 0.0, 100.0);
        }
        if let Some(w) = &c.window {
            self.window(w);
        }
        self.risks(c);
        self.environments(c);
    }

    fn services(&mut self, c: &Config) {
        if c.services.is_empty() {
            self.add(
                "service",
                Text::new("there is no [[service]]: nothing to run", "没有 [[service]]：没有可运行的进程"),
                None,
            );
        }
        for (i, s) in c.services.iter().enumerate() {
            self.name(&format!("service.{i}.name"), &s.name);
            if c.services[..i].iter().any(|o| o.name == s.name) {
                let name = &s.name;
                self.add(
                    &format!("service.{i}.name"),
                    crate::text!("a service `{name}` exists already", "已有名为 `{name}` 的服务"),
                    None,
                );
            }
            if s.command.argv().is_empty() {
                self.add(&format!("service.{i}.command"), Text::new("is empty", "是空的"), None);
            }
            for (key, p) in [("health", Some(&s.health)), ("path", s.path.as_ref())] {
                if let Some(p) = p.filter(|p| !p.starts_with('/')) {
                    self.add(
                        &format!("service.{i}.{key}"),
                        crate::text!("`{p}` must begin with `/`", "`{p}` 必须以 `/` 开头"),
                        None,
                    );
                }
            }
        }
        if !c.services.is_empty() && c.services.iter().all(|s| s.path.is_none()) {
            self.add(
                "service",
                Text::new(
                    "no service has a `path`: users reach none of them",
                    "没有任何服务设置 `path`：用户无法访问",
                ),
                Some(Text::new(
                    "write `path = \"/\"` in the one that serves users",
                    "在面向用户的服务中写 `path = \"/\"`",
                )),
            );
        }
    }

    fn window(&mut self, w: &super::Window) {
        for (key, v) in [("from", &w.from), ("to", &w.to)] {
            if v.parse::<jiff::civil::Time>().is_err() {
                self.add(
                    &format!("window.{key}"),
                    crate::text!("`{v}` is not a time of day", "`{v}` 不是时刻"),
                    Some(Text::same("02:00")),
                );
            }
        }
        if jiff::tz::TimeZone::get(&w.zone).is_err() {
            let zone = &w.zone;
            self.add(
                "window.zone",
                crate::text!("`{zone}` is not a time zone", "`{zone}` 不是时区"),
                Some(Text::same("Asia/Shanghai")),
            );
        }
    }

    fn risks(&mut self, c: &Config) {
        let ids: Vec<&str> = crate::checks::all().iter().map(|k| k.spec().id).collect();
        let known = |id: &str| ids.contains(&id);
        for (i, r) in c.risks.iter().enumerate() {
            let built_in =
                r.id.strip_prefix('R')
                    .and_then(|n| n.parse::<u32>().ok())
                    .is_some_and(|n| (1..=10).contains(&n));
            if built_in || c.risks[..i].iter().any(|o| o.id == r.id) {
                let id = &r.id;
                self.add(
                    &format!("risk.{i}.id"),
                    crate::text!("the id `{id}` is taken", "编号 `{id}` 已被占用"),
                    None,
                );
            }
            for (j, id) in r.checks.iter().enumerate().filter(|(_, id)| !known(id)) {
                self.add(
                    &format!("risk.{i}.checks.{j}"),
                    crate::text!("there is no check `{id}`", "没有检查项 `{id}`"),
                    None,
                );
            }
        }
        for (i, w) in c.waivers.iter().enumerate() {
            let id = &w.check;
            if !known(id) {
                self.add(
                    &format!("waiver.{i}.check"),
                    crate::text!("there is no check `{id}`", "没有检查项 `{id}`"),
                    None,
                );
            }
            for (key, v) in [("reason", &w.reason), ("who", &w.who)] {
                if v.trim().is_empty() {
                    self.add(&format!("waiver.{i}.{key}"), Text::new("must not be empty", "不能为空"), None);
                }
            }
        }
    }

    fn tls(&mut self, env: &str, e: &super::Environment, tls: &super::Tls) {
        let path = format!("env.{env}.tls");
        if tls.certificates.is_empty() {
            self.add(
                &format!("{path}.certificates"),
                Text::new("there is no certificate", "没有证书"),
                Some(Text::same("[{ certificate = \"fullchain.pem\", key = \"privkey.pem\" }]")),
            );
        }
        let secure = |u: &String| value::url_parts(u).is_some_and(|p| p.tls);
        if !std::iter::once(&e.url).chain(&e.urls).any(secure) {
            self.add(
                &path,
                Text::new(
                    "no address of this environment begins with https://",
                    "该环境没有以 https:// 开头的地址",
                ),
                Some(Text::new("write `url = \"https://...\"`", "请写 `url = \"https://...\"`")),
            );
        }
    }

    fn environments(&mut self, c: &Config) {
        if c.environments.is_empty() {
            self.add("env", Text::new("there is no [env.production]", "没有 [env.production]"), None);
        }
        for (name, e) in &c.environments {
            self.name(&format!("env.{name}"), name);
            for (i, url) in std::iter::once(&e.url).chain(&e.urls).enumerate() {
                if value::url_parts(url).is_none() {
                    let path =
                        if i == 0 { format!("env.{name}.url") } else { format!("env.{name}.urls.{}", i - 1) };
                    self.add(
                        &path,
                        crate::text!(
                            "`{url}` is not an http or https address",
                            "`{url}` 不是 http 或 https 地址"
                        ),
                        Some(Text::same("https://example.com")),
                    );
                }
            }
            for (i, r) in e.resolvers.iter().enumerate().filter(|(_, r)| value::resolver(r).is_none()) {
                self.add(
                    &format!("env.{name}.resolvers.{i}"),
                    crate::text!("`{r}` is not the address of a DNS server", "`{r}` 不是 DNS 服务器地址"),
                    Some(Text::same("192.0.2.53, 192.0.2.53:5353")),
                );
            }
            if let Some(tls) = &e.tls {
                self.tls(name, e, tls);
            }
            let host = url_of(e).map(|u| u.host);
            if e.test_host.is_some() && e.test_host == host {
                self.add(
                    &format!("env.{name}.test-host"),
                    Text::new(
                        "is the host that users use: they would meet the untested release",
                        "与用户使用的域名相同：用户会直接碰到未验证的版本",
                    ),
                    None,
                );
            }
        }
    }
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
        assert_eq!(c.watch.duration, value::Span::secs(3600));
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
