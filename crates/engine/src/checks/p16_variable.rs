//! The second half of P16: is the app told of another database than the one that is backed up? What an environment file
//! says wins over the configuration; if the two differ, every backup and every rehearsal is of the wrong file, and well.
//! The value may hold a password: it is compared, never shown.

use super::support::unknown;
use crate::{
    check::{CheckContext, CheckSpec},
    config::Database,
    driver::host::Cmd,
    finding::{Finding, Outcome},
    text::Text,
};
use std::path::{Component, Path, PathBuf};

/// A finding for each place that tells the app of another database, or that cannot be read.
pub(super) async fn look(spec: &CheckSpec, ctx: &CheckContext) -> Vec<Finding> {
    let Some(config) = &ctx.config.database else { return Vec::new() };
    let mut findings = Vec::new();
    let variable = &config.url_variable;
    if let Some(path) = &ctx.env.env_file {
        let place = path.display().to_string();
        match ctx.env_file.as_ref() {
            Err(e) => findings.push(unknown(
                spec,
                &place,
                crate::text!(
                    "whether {place} names the configured database cannot be seen: {e}",
                    "无法确认 {place} 指向的是否为所配置的数据库：{e}"
                ),
                crate::text!("repair {place} first", "请先修复 {place}"),
            )),
            Ok(file) => {
                if let Some(value) = file.vars.get(variable) {
                    findings.extend(compare(spec, ctx, config, &place, value).await);
                }
            }
        }
    }
    for service in &ctx.config.services {
        if let Some(value) = service.env.get(variable) {
            let place = format!("service.{}", service.name);
            let value = value.replace("{shared}", &shared(ctx).to_string_lossy());
            findings.extend(compare(spec, ctx, config, &place, &value).await);
        }
    }
    findings
}

async fn compare(
    spec: &CheckSpec,
    ctx: &CheckContext,
    config: &Database,
    place: &str,
    value: &str,
) -> Option<Finding> {
    let live = shared(ctx).join(&config.path);
    let wanted = config.url.replace("{path}", &live.to_string_lossy());
    if value == wanted || leads_to(ctx, config, value, &live).await {
        return None;
    }
    let variable = &config.url_variable;
    let path = config.path.display();
    Some(
        Finding::new(
            spec,
            place,
            Outcome::Fail,
            crate::text!(
                "{variable} in {place} leads to another database than `database.path`, {path}: backups and rehearsals would be of one that the app does not use",
                "{place} 中的 {variable} 指向的不是 `database.path`（{path}）：备份与演练针对的将不是应用使用的数据库"
            ),
        )
        .with_limit(Text::same(variable), "another database", wanted)
        .with_help(crate::text!(
            "take {variable} out of {place}, as Safelight sets it, and bring the data to the configured place; or set `database.path` to where the database is",
            "从 {place} 中删除 {variable}（由 Safelight 设置），并把数据放到所配置的位置；或把 `database.path` 改为数据库实际所在"
        )),
    )
}

fn shared(ctx: &CheckContext) -> PathBuf {
    ctx.state.data_dir.join("shared")
}

/// Does `value` name the file `live`, in another form than the configuration?
async fn leads_to(ctx: &CheckContext, config: &Database, value: &str, live: &Path) -> bool {
    let Some(file) = file_of(value) else { return false };
    if file.is_relative() {
        // Processes run in the release, where shared paths are links.
        let file = normal(&file);
        let linked = ctx.config.build.shared.iter().any(|p| file.starts_with(normal(Path::new(p))));
        return linked && file == normal(&config.path);
    }
    if normal(&file) == normal(live) {
        return true;
    }
    let (file, live) = (file.to_string_lossy(), live.to_string_lossy());
    match ctx.host.run(&Cmd::new(["realpath", "-m", "--", &file, &live])).await {
        Ok(o) if o.ok() => {
            let text = o.text();
            let mut lines = text.lines();
            matches!((lines.next(), lines.next()), (Some(a), Some(b)) if a == b)
        }
        _ => false,
    }
}

/// The file of `./x.db`, `file:x.db?mode=rwc`, `sqlite:///srv/x.db`; none for a database on a server.
fn file_of(value: &str) -> Option<PathBuf> {
    let rest = match value.split_once(':') {
        Some((scheme, rest)) if !scheme.is_empty() && !scheme.contains(['/', '.']) => {
            if !matches!(scheme, "sqlite" | "sqlite3" | "file") {
                return None;
            }
            // With four slashes, the path itself has the last one.
            match rest.bytes().take_while(|b| *b == b'/').count() {
                0 | 1 => rest,
                2 | 3 => &rest[2..],
                _ => &rest[3..],
            }
        }
        _ => value,
    };
    let path = rest.split('?').next().unwrap_or_default();
    (!path.is_empty()).then(|| PathBuf::from(path))
}

/// Without `.` and `..`, as far as they can be seen.
fn normal(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                out.pop();
            }
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use crate::{
        checks::{
            p16_database::DatabaseStatus,
            testing::{FakeDatabase, World, host_error},
        },
        driver::{env::EnvFile, host::HostErrorKind},
        finding::Outcome,
    };

    const LIVE: &str = "/var/lib/safelight/shared/data/app.db";

    /// An app whose environment file says `line`.
    fn told(line: &str, more: &str) -> World {
        let mut w = World::new(&format!(
            "env-file = \".env\"\n{more}[database]\nkind = \"sqlite\"\npath = \"data/app.db\"\n[build]\nshared = [\"data\"]\n"
        ))
        .deployed();
        w.database = Some(FakeDatabase::good());
        w.env_file = Ok(EnvFile::parse(line.as_bytes()).unwrap());
        w
    }

    #[tokio::test]
    async fn an_environment_file_that_names_another_database_fails_and_its_value_is_not_shown() {
        for other in [
            "/srv/hunter2/app.db",
            "sqlite:/srv/hunter2/app.db",
            "postgres://app:hunter2@db/app",
            "./hunter2/app.db",
            "",
        ] {
            let findings = told(&format!("DATABASE_URL={other}\n"), "").run(DatabaseStatus).await;
            assert_eq!(findings.len(), 2, "{other}: {findings:#?}");
            assert_eq!(
                (findings[1].outcome, findings[1].subject.as_str()),
                (Outcome::Fail, ".env"),
                "{other}"
            );
            assert!(!format!("{findings:?}").contains("hunter2"), "{findings:#?}");
        }
    }

    #[tokio::test]
    async fn the_configured_database_in_any_form_is_the_same() {
        for same in [
            LIVE.to_owned(),
            format!("file:{LIVE}?mode=rwc"),
            format!("sqlite://{LIVE}"),
            format!("sqlite:///{LIVE}"),
            "./data/app.db".to_owned(),
            "file:data/../data/app.db".to_owned(),
        ] {
            let f = told(&format!("DATABASE_URL={same}\nOTHER=/srv/app.db\n"), "").one(DatabaseStatus).await;
            assert_eq!(f.outcome, Outcome::Pass, "{same}");
        }
    }

    #[tokio::test]
    async fn links_that_lead_to_the_same_file_are_the_same() {
        let mut w = told("DATABASE_URL=/srv/app.db\n", "");
        w.host = w.host.output("realpath -m -- /srv/app.db", 0, &format!("{LIVE}\n{LIVE}\n"));
        assert_eq!(w.one(DatabaseStatus).await.outcome, Outcome::Pass);
    }

    #[tokio::test]
    async fn a_service_that_is_told_of_another_database_fails_and_an_unreadable_file_is_unknown() {
        let mut w = told("", "");
        w.toml =
            w.toml.replace("path = \"/\"\n", "path = \"/\"\nenv = { DATABASE_URL = \"{shared}/x.db\" }\n");
        let findings = w.run(DatabaseStatus).await;
        assert_eq!((findings[1].outcome, findings[1].subject.as_str()), (Outcome::Fail, "service.web"));
        w.toml = w.toml.replace("{shared}/x.db", "{shared}/data/app.db");
        assert_eq!(w.one(DatabaseStatus).await.outcome, Outcome::Pass);
        w.env_file = Err(host_error(HostErrorKind::Permission));
        assert_eq!(w.run(DatabaseStatus).await[1].outcome, Outcome::Unknown);
    }
}
