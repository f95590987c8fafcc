//! What must be so before a run begins: the request comes from the directory that the app was deployed from, the
//! certificates that it is to serve can be served, its journeys can be run, and a migration can be taken back only when
//! it can be seen.

use crate::{
    api::{ApiError, ErrorKind, RunRequest},
    context::Context,
    store::RunRow,
};
use safelight_engine::{
    config::load::problem_at,
    text::{Lang, Text},
};
use std::path::Path;

/// An app is known by its name and environment. The same name in another directory is another app, or a copy: it would
/// act on releases that are not its own.
pub(crate) fn same_directory(last: Option<&RunRow>, req: &RunRequest) -> Result<(), ApiError> {
    let Some(last) = last.filter(|r| !req.moved && !same(&r.project, &req.project)) else { return Ok(()) };
    let (app, env, here) = (&last.plan.app, &last.plan.env, req.project.display());
    let (there, when) = (last.project.display(), last.began.strftime("%Y-%m-%d %H:%M UTC"));
    Err(ApiError::new(
        ErrorKind::Usage,
        safelight_engine::text!(
            "{app} in {env} is deployed here from {there} (last at {when}), and this is {here}",
            "本机 {env} 的 {app} 由 {there} 部署（最近一次 {when}），而当前目录是 {here}"
        ),
    )
    .with_help(Text::new(
        "another app needs another `app.name`; when this one has moved here for good, or is checked out anew for each deploy, say so with --moved",
        "若是另一个应用，请更换 `app.name`；若应用确已迁到此目录，或每次部署都重新检出，请加 --moved 确认",
    )))
}

/// The same directory, whatever links lead there.
fn same(a: &Path, b: &Path) -> bool {
    a == b || matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

/// Files of certificates that cannot be served are errors of the configuration that names them. One that is past its end
/// is a finding of P25: it is judged there, and may be waived.
pub(crate) async fn certificates(ctx: &Context, source: &str) -> Result<(), ApiError> {
    let Some(tls) = &ctx.env.tls else { return Ok(()) };
    for (i, files) in tls.certificates.iter().enumerate() {
        let Err(t) = ctx.net.certificate_files(&files.below(&ctx.project)).await else { continue };
        let key = if t.key { "key" } else { "certificate" };
        let path = format!("env.{}.tls.certificates.{i}.{key}", ctx.env_name);
        return Err(misconfigured(source, &path, t.what, Some(t.help)));
    }
    Ok(())
}

/// `unmigrate` takes something back whatever there is: without the schema nobody knows when it must not be run. Asked
/// here and not when the file is read, as runs of before are carried on with the file that they began with.
pub(crate) fn unmigrate(ctx: &Context, source: &str) -> Result<(), ApiError> {
    let Some(db) = &ctx.config.database else { return Ok(()) };
    if db.unmigrate.is_none() || db.schema_query.is_some() {
        return Ok(());
    }
    let what = Text::new("`unmigrate` needs a `schema-query`", "使用 `unmigrate` 需要 `schema-query`");
    let help = Text::new(
        "it is run only when the schema is another one than before the migration",
        "只有表结构与迁移前不同时才会运行它",
    );
    Err(misconfigured(source, "database.unmigrate", what, Some(help)))
}

fn misconfigured(source: &str, path: &str, what: Text, help: Option<Text>) -> ApiError {
    let e = problem_at("safelight.toml", source, path, what, help);
    ApiError::new(ErrorKind::Config, Text::new(e.render(Lang::En), e.render(Lang::Zh)))
}

/// A journey that cannot be read or understood is an error of the configuration: else it would be found when users have
/// been moved already.
pub(crate) fn journeys(ctx: &Context, source: &str) -> Result<(), ApiError> {
    let mut wrong = Vec::new();
    for (i, file) in ctx.config.journeys.files.iter().enumerate() {
        let shown = file.display().to_string();
        let text = match std::fs::read(ctx.project.join(file)) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(e) => {
                return Err(misconfigured(
                    source,
                    &format!("journeys.files.{i}"),
                    safelight_engine::text!(
                        "the journey {shown} cannot be read: {e}",
                        "无法读取用户路径 {shown}：{e}"
                    ),
                    Some(Text::new("paths are relative to safelight.toml", "路径相对于 safelight.toml")),
                ));
            }
        };
        if let Err(e) = safelight_journeys::Journey::parse(&shown, &text) {
            wrong.push(e.to_string());
        }
    }
    if wrong.is_empty() {
        Ok(())
    } else {
        Err(ApiError::new(ErrorKind::Config, Text::same(wrong.join("\n"))))
    }
}
