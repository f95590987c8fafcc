//! `safelight init`: writes a safelight.toml from what it finds, and says what it could not know.

mod kinds;

use crate::{Global, error::CommandError, local, output::Output};
use safelight_engine::{
    config::{Config, UNKNOWN_COMMAND, load},
    text::{Lang, Text},
};
use serde_json::Value;
use std::{fmt::Write as _, path::Path};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Replace an existing safelight.toml.
    #[arg(long)]
    force: bool,
    /// Address that users type; `http://<app>.localhost:8080`, where the proxy listens, when absent.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Print the JSON schema of safelight.toml instead, for editors.
    #[arg(long)]
    schema: bool,
}

/// What was found in the directory.
#[derive(Default)]
struct Found {
    name: String,
    git: bool,
    start: Option<String>,
    install: Option<String>,
    /// What `install` makes, and the file that decides it, where they are not the usual ones.
    dependencies: Option<&'static str>,
    lock_file: Option<&'static str>,
    /// What is not part of a release.
    exclude: Vec<&'static str>,
    /// A remark about the start command.
    note: Option<&'static str>,
    build: Option<String>,
    node: Option<String>,
    env_file: Option<&'static str>,
    env_keys: Vec<String>,
    /// File of a SQLite database.
    database: Option<String>,
    /// Variable under which the app looks for it.
    database_variable: Option<String>,
    /// What stands before the path in that variable.
    database_prefix: &'static str,
    migrate: Option<String>,
    health: Option<String>,
    /// False when the sources were read and none of them mentions the variable PORT.
    reads_port: bool,
    pm2: bool,
}

pub(crate) async fn run(args: &Args, g: &Global, out: &Output) -> Result<u8, CommandError> {
    if args.schema {
        out.line(&serde_json::to_string_pretty(&Config::schema()).unwrap_or_default());
        return Ok(0);
    }
    let dir = local::project(&g.dir)?;
    let file = dir.join("safelight.toml");
    if file.exists() && !args.force {
        let shown = file.display();
        return Err(CommandError::usage(safelight_engine::text!("{shown} exists already", "{shown} 已存在"))
            .with_help(Text::new("--force replaces it", "--force 可覆盖")));
    }
    let found = look(&dir, &on_path);
    let url = args.url.clone().unwrap_or_else(|| format!("http://{}.localhost:8080", found.name));
    let text = write(&found, &url);
    // What this writes must load, but for a start command that is not known; anything else is a bug worth hearing about.
    match load::parse("safelight.toml", &text) {
        Err(e) if found.start.is_some() || e.problems.len() != 1 => {
            return Err(CommandError::usage(Text::new(e.render(Lang::En), e.render(Lang::Zh))));
        }
        _ => {}
    }
    std::fs::write(&file, &text).map_err(|e| CommandError::io(&file.to_string_lossy(), &e))?;
    let journey = dir.join("journeys/site.hurl");
    let wrote_journey = !journey.exists();
    if wrote_journey {
        std::fs::create_dir_all(dir.join("journeys"))
            .and_then(|()| std::fs::write(&journey, "# What a user does. One file, one journey; see https://hurl.dev for the format.\nGET {{base_url}}/\nHTTP 200\n[Asserts]\nduration < 5000\n"))
            .map_err(|e| CommandError::io(&journey.to_string_lossy(), &e))?;
    }
    let zh = out.lang == Lang::Zh;
    out.line(&format!("{} {}", if zh { "已写入" } else { "wrote" }, file.display()));
    if wrote_journey {
        out.line(&format!("{} {}", if zh { "已写入" } else { "wrote" }, journey.display()));
    }
    if found.start.is_none() {
        out.line(if zh {
            "没找到启动命令：请填写 [[service]] 的 command，填写之前配置无法使用"
        } else {
            "no start command was found: write `command` of [[service]]; until then the file is refused"
        });
    } else if !found.reads_port {
        out.line(if zh {
            "源码中没有用到变量 PORT：应用必须在该端口监听；也可在 command 中用 {port}，或设置 fixed-port"
        } else {
            "no source mentions the variable PORT: the app must listen there; or pass {port} in `command`, or set `fixed-port`"
        });
    }
    out.line(match (found.git, zh) {
        (true, false) => {
            "next: look through both, commit and push them, then safelight check and safelight deploy"
        }
        (true, true) => "下一步：检查并提交、推送这些文件，然后运行 safelight check 和 safelight deploy",
        (false, false) => "next: look through both, then safelight check and safelight deploy",
        (false, true) => "下一步：检查这些文件，然后运行 safelight check 和 safelight deploy",
    });
    Ok(0)
}

fn look(dir: &Path, programs: &dyn Fn(&str) -> bool) -> Found {
    let has = |name: &str| dir.join(name).exists();
    let mut f = Found {
        name: slug(&dir.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default()),
        git: has(".git"),
        ..Found::default()
    };
    if let Some(p) =
        std::fs::read(dir.join("package.json")).ok().and_then(|b| serde_json::from_slice::<Value>(&b).ok())
    {
        if let Some(n) = p["name"].as_str() {
            f.name = slug(n.rsplit('/').next().unwrap_or(n));
        }
        f.start = match (p["scripts"]["start"].as_str(), p["main"].as_str()) {
            // Without npm in between, signals reach the app itself.
            (Some(s), _) if s.starts_with("node ") => Some(s.to_owned()),
            (Some(_), _) => Some("npm start".to_owned()),
            (None, Some(main)) => Some(format!("node {main}")),
            (None, None) => {
                ["server.js", "index.js", "app.js"].iter().find(|n| has(n)).map(|n| format!("node {n}"))
            }
        };
        f.migrate = match p["scripts"]["migrate"].as_str() {
            Some(s) if s.starts_with("node ") => Some(s.to_owned()),
            other => other.map(|_| "npm run migrate".to_owned()),
        };
        f.build = p["scripts"]["build"].as_str().map(|_| "npm run build".to_owned());
        f.node = Some(p["engines"]["node"].as_str().unwrap_or(">=18").to_owned());
        f.install = if has("pnpm-lock.yaml") {
            Some("pnpm install --frozen-lockfile --prod")
        } else if has("yarn.lock") {
            Some("yarn install --frozen-lockfile")
        } else if has("package-lock.json") {
            Some(if f.build.is_some() { "npm ci" } else { "npm ci --omit=dev" })
        } else if p["dependencies"].as_object().is_some_and(|d| !d.is_empty()) {
            Some("npm install --omit=dev")
        } else {
            None
        }
        .map(str::to_owned);
        f.exclude.push("node_modules");
    }
    kinds::look(dir, &mut f, programs);
    f.env_file = [".env.production", ".env"].into_iter().find(|n| has(n));
    let example = [".env.production.example", ".env.example", ".env.sample"]
        .into_iter()
        .find(|n| has(n))
        .or(f.env_file);
    if let Some(raw) = example.and_then(|n| std::fs::read(dir.join(n)).ok())
        && let Ok(env) = safelight_engine::driver::env::EnvFile::parse(&raw)
    {
        f.env_keys = env.vars.keys().filter(|k| *k != "PORT").cloned().collect();
    }
    for sub in ["", "data", "db", "prisma"] {
        let entries = std::fs::read_dir(dir.join(sub)).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries
            .map(|e| e.file_name().to_string_lossy().into_owned())
            .filter(|n| is_database(n))
            .collect();
        names.sort();
        if let Some(n) = names.first() {
            f.database = Some(if sub.is_empty() { n.clone() } else { format!("{sub}/{n}") });
            break;
        }
    }
    f.pm2 = ["ecosystem.config.js", "ecosystem.config.cjs", "ecosystem.json"].iter().any(|n| has(n))
        || f.node.is_some() && programs("pm2");
    read_sources(dir, &mut f);
    f
}

/// Is there such a program on the PATH? Asking `pm2` itself would start its daemon.
fn on_path(program: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|d| d.join(program).is_file()))
}

/// What the app's own sources give away: where its health is asked, where its database is. Only an outline: a person
/// looks through the result.
fn read_sources(dir: &Path, f: &mut Found) {
    const LANGUAGES: [&str; 7] = ["js", "mjs", "cjs", "ts", "py", "rs", "go"];
    const MOST_FILES: usize = 200;
    const MOST_BYTES: u64 = 512 * 1024;
    let mut files: Vec<_> = ["", "src", "lib", "server", "app"]
        .iter()
        .flat_map(|sub| LANGUAGES.iter().flat_map(move |x| kinds::sources(&dir.join(sub), x)))
        .filter(|p| p.metadata().is_ok_and(|m| m.is_file() && m.len() < MOST_BYTES))
        .collect();
    files.sort();
    files.truncate(MOST_FILES);
    let text: String = files.iter().filter_map(|p| std::fs::read_to_string(p).ok()).collect();
    let mentions = |variable: &str| {
        text.contains(&format!("env.{variable}"))
            || text.contains(&format!("\"{variable}\""))
            || text.contains(&format!("'{variable}'"))
    };
    f.reads_port =
        mentions("PORT") || f.start.as_ref().is_some_and(|s| s.contains("PORT") || s.contains("{port}"));
    let literals: Vec<&str> =
        text.split(['"', '\'', '`']).filter(|s| !s.contains(char::is_whitespace)).collect();
    let health = ["/health", "/healthz", "/api/health", "/_health", "/-/ping"];
    f.health = health.iter().find(|h| literals.contains(h)).map(|h| (*h).to_owned());
    f.database_variable =
        ["DATABASE_URL", "DATABASE_PATH", "DATABASE_FILE", "DB_PATH", "DB_FILE", "SQLITE_PATH"]
            .iter()
            .find(|v| mentions(v))
            .map(|v| (*v).to_owned());
    let inside = |s: &str| !s.starts_with(['/', '.']) && !s.contains("..") && s.len() > 3;
    let plain = |s: &&str| s.trim_start_matches("sqlite:").trim_start_matches('/').to_owned();
    if f.database_variable.is_some() {
        f.database_prefix = ["sqlite:///", "sqlite://", "sqlite:"]
            .into_iter()
            .find(|prefix| literals.iter().any(|s| s.starts_with(prefix) && is_database(s)))
            .unwrap_or_default();
        if f.database.is_none() {
            let mut written = literals.iter().filter(|s| is_database(s)).filter(|s| {
                inside(
                    s.strip_prefix(f.database_prefix).filter(|_| !f.database_prefix.is_empty()).unwrap_or(s),
                )
            });
            f.database = written.next().map(plain);
        }
    } else if f.node.is_none() {
        // It would be told of its database by a variable that it does not read.
        f.database = None;
    }
}

fn is_database(name: &str) -> bool {
    [".db", ".sqlite", ".sqlite3"].iter().any(|e| name.ends_with(e))
}

fn slug(name: &str) -> String {
    let s: String =
        name.to_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let s: String = s.trim_matches('-').chars().take(40).collect();
    if s.is_empty() { "app".to_owned() } else { s }
}

fn quoted(s: &str) -> String {
    Value::from(s).to_string()
}

fn write(f: &Found, url: &str) -> String {
    let mut o = String::from(
        "# What Safelight deploys, and how. Every key is explained in docs/config.md;\n# `safelight init --schema` prints a schema for editors.\n\n",
    );
    let _ = write!(o, "[app]\nname = {}\n\n", quoted(&f.name));
    if !f.git {
        let out: Vec<String> =
            f.exclude.iter().copied().chain([".env*", "safelight-reports"]).map(quoted).collect();
        let _ = write!(o, "[source]\ndir = \".\"\nexclude = [{}]\n\n", out.join(", "));
    }
    if f.install.is_some() || f.build.is_some() || f.database.is_some() {
        o.push_str("[build]\n");
        if let Some(i) = &f.install {
            let _ = writeln!(o, "install = {}", quoted(i));
        }
        if let Some(l) = f.lock_file {
            let _ = writeln!(o, "lock-files = [{}]", quoted(l));
        }
        if let Some(d) = f.dependencies {
            let _ = writeln!(o, "dependency-dirs = [{}]", quoted(d));
        }
        if let Some(b) = &f.build {
            let _ = writeln!(o, "build = {}", quoted(b));
        }
        o.push_str("# Paths that all releases share, uploads for example.\n# shared = [\"uploads\"]\n\n");
    }
    if let Some(n) = &f.node {
        let _ = write!(o, "[runtime]\nnode = {}\n\n", quoted(n));
    }
    o.push_str("# Processes, in the order in which users are moved: backend before frontend.\n[[service]]\nname = \"web\"\n");
    if let Some(note) = f.note {
        let _ = writeln!(o, "# {note}");
    }
    let start = f.start.as_deref().unwrap_or(UNKNOWN_COMMAND);
    let _ = write!(
        o,
        "# It must listen on 127.0.0.1 at the port in the variable PORT.\ncommand = {}\nhealth = {}\npath = \"/\"\n\n",
        quoted(start),
        quoted(f.health.as_deref().unwrap_or("/"))
    );
    if let Some(db) = &f.database {
        let _ = write!(
            o,
            "# Kept outside of releases, in the shared directory; the app finds it by the variable.\n[database]\nkind = \"sqlite\"\npath = {}\nurl-variable = {}\n",
            quoted(db),
            quoted(f.database_variable.as_deref().unwrap_or("DATABASE_URL"))
        );
        if !f.database_prefix.is_empty() {
            let _ = writeln!(o, "url = {}", quoted(&format!("{}{{path}}", f.database_prefix)));
        }
        match &f.migrate {
            Some(m) => {
                let _ = writeln!(o, "migrate = {}", quoted(m));
            }
            None => o.push_str("# migrate = \"what brings the schema up to date\"\n"),
        }
        o.push_str("# schema-query = \"PRAGMA user_version\"\n\n");
    }
    o.push_str("# What a user does: tried on the test host name before users are moved, and again afterwards.\n[journeys]\nfiles = [\"journeys/site.hurl\"]\n\n");
    o.push_str("[watch]\nduration = \"1h\"\n\n# When production may be touched.\n# [window]\n# from = \"02:00\"\n# to = \"04:00\"\n# zone = \"Asia/Shanghai\"\n\n");
    let _ = write!(o, "[env.production]\nurl = {}\n", quoted(url));
    if let Some(p) = safelight_engine::config::value::url_parts(url) {
        let _ = writeln!(
            o,
            "# Reaches a new release before users do.\ntest-host = {}",
            quoted(&format!("test.{}", p.host))
        );
    }
    let _ = writeln!(o, "process = {}", quoted(if f.pm2 { "pm2" } else { "detached" }));
    if let Some(e) = f.env_file {
        let _ = writeln!(o, "env-file = {}", quoted(e));
    }
    if f.env_file.is_some() && !f.env_keys.is_empty() {
        let list: Vec<String> = f.env_keys.iter().map(|k| quoted(k)).collect();
        let _ = writeln!(o, "required = [{}]", list.join(", "));
    }
    o
}

#[cfg(test)]
mod tests;
