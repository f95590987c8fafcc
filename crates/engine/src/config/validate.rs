//! Values that have the right type and still cannot be meant.

use super::load::Problem;
use super::{Config, url_of, value};
use crate::text::Text;
use std::ops::Range;
use toml::{Spanned, de::DeTable, de::DeValue};

/// A sound document whose values are looked at.
pub(super) struct Validation<'t, 's> {
    /// For the places of values.
    pub(super) table: &'t DeTable<'s>,
    /// What is wrong so far.
    pub(super) problems: Vec<Problem>,
}

impl Validation<'_, '_> {
    /// Bytes of the value at a path such as `service.1.name`; the nearest parent's when it is absent.
    pub(super) fn span(&self, path: &str) -> Range<usize> {
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

    pub(super) fn add(&mut self, path: &str, message: Text, hint: Option<Text>) {
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

    pub(super) fn all(&mut self, c: &Config) {
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
        for (i, p) in c.runtime.programs.iter().enumerate() {
            let name = &p.name;
            if name.is_empty() || name.contains(char::is_whitespace) {
                self.add(
                    &format!("runtime.program.{i}.name"),
                    crate::text!(
                        "`{name}` is not the name or path of a program",
                        "`{name}` 不是程序的名称或路径"
                    ),
                    Some(Text::new(
                        "arguments go into `version-arguments`",
                        "参数写在 `version-arguments` 中",
                    )),
                );
            }
        }
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
        self.watch(c);
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

    fn watch(&mut self, c: &Config) {
        self.range("watch.max-error-rate", c.watch.max_error_rate, 0.0, 1.0);
        if c.watch.breaches_to_undo == 0 {
            self.add("watch.breaches-to-undo", Text::new("must be at least 1", "至少为 1"), None);
        }
        if c.watch.every.0.is_zero() {
            self.add("watch.every", Text::new("must be longer than 0", "必须大于 0"), None);
        }
        for (i, p) in c.watch.severe_log_patterns.iter().enumerate() {
            if let Err(e) = regex::Regex::new(p) {
                // Several lines with a drawing; the last one says what is wrong.
                let e = e.to_string();
                let why = e.lines().last().unwrap_or_default().trim().trim_start_matches("error: ");
                self.add(
                    &format!("watch.severe-log-patterns.{i}"),
                    crate::text!("`{p}` is not a regular expression: {why}", "`{p}` 不是正则表达式：{why}"),
                    Some(Text::new(
                        "put a `\\` before signs that mean themselves",
                        "表示字面含义的符号前加 `\\`",
                    )),
                );
            }
        }
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
            if s.command.display() == super::UNKNOWN_COMMAND {
                self.add(
                    &format!("service.{i}.command"),
                    Text::new(
                        "nobody has written yet what starts the app: `safelight init` could not tell",
                        "还没有填写应用的启动命令：`safelight init` 未能判断",
                    ),
                    Some(Text::new(
                        "write the command; the app has to listen on 127.0.0.1 at the port in the variable PORT, or pass it as {port}",
                        "请填写启动命令；应用须在 127.0.0.1 监听变量 PORT 所给的端口，也可用 {port} 传入",
                    )),
                );
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
            if let Some(at) = e.connect.as_ref().filter(|a| a.parse::<std::net::SocketAddr>().is_err()) {
                self.add(
                    &format!("env.{name}.connect"),
                    crate::text!("`{at}` is not address:port", "`{at}` 不是 地址:端口"),
                    Some(Text::same("127.0.0.1:8080, [::1]:8080")),
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
