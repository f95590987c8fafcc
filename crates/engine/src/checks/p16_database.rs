//! P16: can the database be reached and written, and does it tell its schema version?
//! Changes nothing in it: the driver tries a write in a transaction that it takes back.

use super::{
    p16_variable,
    support::{skipped, unknown},
};
use crate::{
    check::{Check, CheckContext, CheckSpec},
    config::ByteSize,
    driver::database::{DatabaseError, DatabaseErrorKind},
    finding::{Finding, Outcome},
    text::Text,
};
use async_trait::async_trait;

/// The check.
#[derive(Clone, Copy, Debug)]
pub(super) struct DatabaseStatus;

/// What each kind of trouble calls for.
pub(super) fn help(e: &DatabaseError) -> Text {
    let at = &e.location;
    match e.kind {
        DatabaseErrorKind::Missing => crate::text!(
            "check `database.path`, and look with `ls -l {at}`; if it is lost, `safelight rollback --database` goes back to the release before and the data of then",
            "核对 `database.path`，并用 `ls -l {at}` 查看；若已丢失，`safelight rollback --database` 可回到上一版本及其当时的数据"
        ),
        DatabaseErrorKind::Denied => crate::text!(
            "give the deploying user rights to the file and its directory: `ls -ld {at} $(dirname {at})`",
            "为部署用户授予该文件及其目录的读写权限：`ls -ld {at} $(dirname {at})`"
        ),
        DatabaseErrorKind::Busy => crate::text!(
            "somebody holds a lock: `fuser -v {at}`; wait for a long transaction to end and check again",
            "有进程持有锁：`fuser -v {at}`；等待长事务结束后重新检查"
        ),
        DatabaseErrorKind::Corrupt => crate::text!(
            "do not deploy. Look with `sqlite3 {at} 'pragma integrity_check'`; `safelight rollback --database` goes back to the release before and the data of then, shows first what is lost, and keeps the damaged files",
            "请勿部署。先用 `sqlite3 {at} 'pragma integrity_check'` 查看；`safelight rollback --database` 会回到上一版本及其当时的数据，事先显示将丢失的内容，并保留损坏的文件"
        ),
        DatabaseErrorKind::NoSpace => {
            crate::text!("make room on its disk: `df -h {at}`", "清理其所在磁盘：`df -h {at}`")
        }
        DatabaseErrorKind::Query => Text::new(
            "try `database.schema-query` by hand and correct it",
            "手动执行 `database.schema-query` 并修正",
        ),
        DatabaseErrorKind::Unreachable | DatabaseErrorKind::Other => crate::text!(
            "look at {at} and what the error says, then check again",
            "根据错误信息检查 {at}，然后重新检查"
        ),
    }
}

#[async_trait]
impl Check for DatabaseStatus {
    fn spec(&self) -> CheckSpec {
        CheckSpec { id: "P16", title: ("Database", "数据库"), risks: &["R2", "R7"] }
    }

    async fn run(&self, ctx: &CheckContext) -> Vec<Finding> {
        let mut findings = vec![look(&self.spec(), ctx).await];
        findings.extend(p16_variable::look(&self.spec(), ctx).await);
        findings.extend(inside(&self.spec(), ctx));
        findings
    }
}

/// A database in the directory of the release that serves stays behind with it.
fn inside(spec: &CheckSpec, ctx: &CheckContext) -> Option<Finding> {
    let current = &ctx.state.current.as_ref()?.id;
    let first = ctx.state.own_databases.first()?;
    let names: Vec<String> = ctx.state.own_databases.iter().map(|p| p.display().to_string()).collect();
    let (names, first) = (names.join(", "), first.display());
    let dir = ctx.state.data_dir.display();
    let summary = crate::text!(
        "{current} keeps a database in its own directory: {names}; the next release begins without it",
        "{current} 的数据库在其版本目录内：{names}；下一个版本将看不到这些数据"
    );
    Some(Finding::new(spec, current, Outcome::Fail, summary).with_help(crate::text!(
        "let releases share it: `build.shared = [\"{first}\"]`, and while nobody writes `sqlite3 {dir}/releases/{current}/{first} \".backup '{dir}/shared/{first}'\"`; or name it in `[database]`, outside of releases; if it may be lost, waive P16 for {current}",
        "让各版本共享它：`build.shared = [\"{first}\"]`，并在无人写入时执行 `sqlite3 {dir}/releases/{current}/{first} \".backup '{dir}/shared/{first}'\"`；或在 `[database]` 中配置版本目录之外的路径；若可以丢失，请为 {current} 豁免 P16"
    )))
}

async fn look(spec: &CheckSpec, ctx: &CheckContext) -> Finding {
    let Some(config) = &ctx.config.database else {
        return skipped(spec, "database", Text::new("no [database] is configured", "未配置 [database]"));
    };
    let subject = config.path.display().to_string();
    let Some(database) = &ctx.database else {
        return unknown(
            spec,
            subject,
            Text::new("no driver could be made for the configured database", "无法为所配置的数据库创建驱动"),
            Text::new("check `database.kind` and `database.path`", "核对 `database.kind` 与 `database.path`"),
        );
    };
    let status = match database.status().await {
        Ok(s) => s,
        Err(e) => return trouble(spec, ctx, subject, &e),
    };
    let schema_wanted = config.schema_query.is_some();
    let (outcome, summary, what) = if !status.writable {
        (
            Outcome::Fail,
            crate::text!("{subject} can be read and not written", "{subject} 可读但不可写"),
            Text::new(
                "the app could not save anything: check the rights of the file and of its directory, and whether the disk is mounted read-only",
                "应用将无法保存数据：检查文件及其目录的权限，以及磁盘是否只读挂载",
            ),
        )
    } else if schema_wanted && status.schema.is_none() {
        (
            Outcome::Fail,
            Text::new(
                "`database.schema-query` returned no version",
                "`database.schema-query` 没有返回版本号",
            ),
            Text::new(
                "run the query by hand: it has to return one row with the schema version in its first column",
                "手动执行该查询：它必须返回一行，第一列为结构版本号",
            ),
        )
    } else {
        let product = &status.product;
        (
            Outcome::Pass,
            crate::text!("{product} can be read and written", "{product} 可读可写"),
            Text::same(""),
        )
    };
    let mut finding = Finding::new(spec, &subject, outcome, summary)
        .with_fact(Text::new("product", "产品"), &status.product)
        .with_fact(Text::new("location", "位置"), &status.location)
        .with_fact(Text::new("size", "大小"), ByteSize(status.bytes).to_string())
        .with_limit(Text::new("writable", "可写"), status.writable.to_string(), "true");
    if schema_wanted {
        finding = finding.with_limit(
            Text::new("schema version", "结构版本"),
            status.schema.as_deref().unwrap_or("-"),
            "readable",
        );
    }
    if outcome == Outcome::Pass { finding } else { finding.with_help(what) }
}

fn trouble(spec: &CheckSpec, ctx: &CheckContext, subject: String, e: &DatabaseError) -> Finding {
    let first = ctx.state.current.is_none();
    if e.kind == DatabaseErrorKind::Missing && first {
        return Finding::new(
            spec,
            subject.clone(),
            Outcome::Warn,
            crate::text!(
                "{subject} is not there yet, and nothing was ever deployed here: the app or its migration has to create it",
                "{subject} 尚不存在，且这里从未部署过：需由应用或迁移命令创建"
            ),
        )
        .with_help(crate::text!(
            "if production data should be there already, correct `database.path` before deploying; otherwise go on"
            , "如果这里本应已有生产数据，请先修正 `database.path`；否则可继续部署"
        ));
    }
    let outcome = match e.kind {
        // Locked or strange: nobody looked inside.
        DatabaseErrorKind::Busy | DatabaseErrorKind::Other => Outcome::Unknown,
        _ => Outcome::Fail,
    };
    Finding::new(
        spec,
        subject,
        outcome,
        crate::text!("the database does not answer: {e}", "数据库无法使用：{e}"),
    )
    .with_limit(
        Text::new("database", "数据库"),
        format!("{:?}", e.kind).to_lowercase(),
        "reachable, writable",
    )
    .with_help(help(e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::testing::{FakeDatabase, World, database_error, value};

    fn world(change: impl FnOnce(&mut FakeDatabase)) -> World {
        let mut w = World::new(
            "[database]\nkind = \"sqlite\"\npath = \"app.db\"\nschema-query = \"select max(v) from m\"\n",
        )
        .deployed();
        let mut database = FakeDatabase::good();
        change(&mut database);
        w.database = Some(database);
        w
    }

    #[tokio::test]
    async fn a_writable_database_with_a_schema_version_passes() {
        let f = world(|_| ()).one(DatabaseStatus).await;
        assert_eq!((f.outcome, value(&f, "schema")), (Outcome::Pass, "7"));
    }

    #[tokio::test]
    async fn a_database_in_the_directory_of_the_release_fails_with_the_way_out() {
        let mut w = World::new("").deployed();
        assert_eq!(w.one(DatabaseStatus).await.outcome, Outcome::Skipped);
        w.state.own_databases = vec!["data/app.db".into(), "sessions.sqlite".into()];
        let found = w.run(DatabaseStatus).await;
        let current = w.state.current.as_ref().unwrap().id.clone();
        assert_eq!((found[1].outcome, found[1].subject.as_str()), (Outcome::Fail, current.as_str()));
        assert!(found[1].summary.en.contains("data/app.db, sessions.sqlite"), "{:?}", found[1].summary);
        let help = found[1].help.clone().unwrap().en;
        assert!(help.contains("build.shared = [\"data/app.db\"]"), "{help}");
        assert!(help.contains("/shared/data/app.db"), "{help}");
    }

    #[tokio::test]
    async fn read_only_and_no_schema_version_fail() {
        let w = world(|d| d.status.as_mut().unwrap().writable = false);
        assert_eq!(w.one(DatabaseStatus).await.outcome, Outcome::Fail);
        let w = world(|d| d.status.as_mut().unwrap().schema = None);
        assert_eq!(w.one(DatabaseStatus).await.outcome, Outcome::Fail);
    }

    #[tokio::test]
    async fn each_kind_of_trouble_is_judged_by_whether_it_was_seen() {
        use DatabaseErrorKind as K;
        for (kind, expected) in [
            (K::Missing, Outcome::Fail),
            (K::Unreachable, Outcome::Fail),
            (K::Denied, Outcome::Fail),
            (K::Corrupt, Outcome::Fail),
            (K::NoSpace, Outcome::Fail),
            (K::Query, Outcome::Fail),
            (K::Busy, Outcome::Unknown),
            (K::Other, Outcome::Unknown),
        ] {
            let w = world(|d| d.status = Err(database_error(kind)));
            assert_eq!(w.one(DatabaseStatus).await.outcome, expected, "{kind:?}");
        }
    }

    #[tokio::test]
    async fn no_database_yet_is_a_warning_before_the_first_deploy_only() {
        let mut w = world(|d| d.status = Err(database_error(DatabaseErrorKind::Missing)));
        w.state.current = None;
        assert_eq!(w.one(DatabaseStatus).await.outcome, Outcome::Warn);
    }

    #[tokio::test]
    async fn no_driver_is_unknown_and_no_database_is_skipped() {
        let mut w = world(|_| ());
        w.database = None;
        assert_eq!(w.one(DatabaseStatus).await.outcome, Outcome::Unknown);
        assert_eq!(World::new("").one(DatabaseStatus).await.outcome, Outcome::Skipped);
    }
}
