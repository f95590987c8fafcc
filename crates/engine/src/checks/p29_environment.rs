//! P29: is the environment of the running release kept, so that a rollback brings it back?
//! What is kept is read and hashed: a record of it brings nothing back. No value is shown.

use super::support::{skipped, unknown, unknown_host};
use crate::{
    check::{Check, CheckContext, CheckSpec},
    driver::{env::hex, host::HostErrorKind},
    finding::{Finding, Outcome},
    text::Text,
};
use async_trait::async_trait;
use sha2::{Digest as _, Sha256};

/// The check.
#[derive(Clone, Copy, Debug)]
pub(super) struct EnvironmentKept;

fn short(sha256: &str) -> &str {
    sha256.get(..12).unwrap_or(sha256)
}

#[async_trait]
impl Check for EnvironmentKept {
    fn spec(&self) -> CheckSpec {
        CheckSpec {
            id: "P29", title: ("Environment backed up", "环境变量已备份"), risks: &["R8", "R2"]
        }
    }

    async fn run(&self, ctx: &CheckContext) -> Vec<Finding> {
        vec![look(&self.spec(), ctx).await]
    }
}

async fn look(spec: &CheckSpec, ctx: &CheckContext) -> Finding {
    let env = &ctx.env_name;
    let Some(path) = &ctx.env.env_file else {
        return skipped(
            spec,
            format!("env.{env}"),
            Text::new(
                "no `env-file` is configured: there is nothing to keep",
                "未配置 `env-file`，没有需要备份的内容",
            ),
        );
    };
    let subject = path.display().to_string();
    let Some(current) = &ctx.state.current else {
        return skipped(
            spec,
            &subject,
            crate::text!(
                "nothing is deployed here yet; this deploy keeps {subject} with the release (mode 0600)",
                "这里尚未部署过任何版本；本次部署会把 {subject} 随版本保存（权限 0600）"
            ),
        );
    };
    let id = &current.id;
    let Some(kept) = &current.env_sha256 else {
        return Finding::new(
            spec,
            &subject,
            Outcome::Warn,
            crate::text!(
                "the running release {id} was deployed without an environment file: a rollback to it brings none back",
                "当前版本 {id} 部署时没有环境文件：回滚到它时也不会恢复环境文件"
            ),
        )
        .with_limit(Text::new("environment kept", "已保存的环境"), "none", "one a release")
        .with_help(crate::text!(
            "copy {subject} to a safe place by hand before this deploy (`cp -p {subject} {subject}.before`); later releases keep theirs by themselves",
            "本次部署前请手动备份 {subject}（`cp -p {subject} {subject}.before`）；之后的版本会自动保存"
        ));
    };
    let file = match ctx.env_file.as_ref() {
        Ok(f) => f,
        Err(e) => {
            return unknown(
                spec,
                &subject,
                crate::text!(
                    "release {id} keeps its environment, but {subject} cannot be compared with it: {e}",
                    "版本 {id} 已保存环境，但无法与 {subject} 比对：{e}"
                ),
                crate::text!("repair {subject} (see P14)", "修复 {subject}（见 P14）"),
            );
        }
    };
    let same = *kept == file.sha256;
    let copy = ctx.state.env_dir.join(format!("{kept}.env"));
    match ctx.host.read(&copy).await {
        Ok(bytes) if hex(&Sha256::digest(&bytes)) == *kept => {}
        Ok(_) => return lost(spec, &subject, id, &copy, same, Text::new("is damaged", "已损坏")),
        Err(e) if e.kind == HostErrorKind::NotFound => {
            return lost(spec, &subject, id, &copy, same, Text::new("is gone", "已丢失"));
        }
        Err(e) => return unknown_host(spec, &subject, &e),
    }
    let summary = if same {
        crate::text!("release {id} keeps this very environment", "版本 {id} 已保存同一份环境")
    } else {
        crate::text!(
            "release {id} keeps its environment; this deploy changes it, and a rollback brings the old one back",
            "版本 {id} 已保存其环境；本次部署会变更环境，回滚时恢复旧的"
        )
    };
    Finding::new(spec, &subject, Outcome::Pass, summary)
        .with_fact(crate::text!("SHA-256 kept with {id}", "{id} 保存的 SHA-256"), short(kept))
        .with_fact(Text::new("SHA-256 of the file now", "当前文件的 SHA-256"), short(&file.sha256))
}

/// The copy that a rollback would need cannot serve. Where the file is still the same, this deploy keeps it again.
fn lost(spec: &CheckSpec, subject: &str, id: &str, copy: &std::path::Path, same: bool, how: Text) -> Finding {
    let (en, zh, at) = (&how.en, &how.zh, copy.display());
    let outcome = if same { Outcome::Warn } else { Outcome::Fail };
    let summary = crate::text!(
        "the environment kept with release {id} {en}: a rollback to it cannot start",
        "版本 {id} 保存的环境{zh}：回滚到它将无法启动"
    );
    let help = if same {
        crate::text!(
            "{subject} is the same file still: this deploy keeps it again",
            "{subject} 仍是同一份文件：本次部署会重新保存"
        )
    } else {
        crate::text!(
            "put the file that {id} was deployed with back at {at} (mode 0600), from a backup or from the running process (`tr '\\0' '\\n' < /proc/<pid>/environ`)",
            "从备份或运行中的进程（`tr '\\0' '\\n' < /proc/<pid>/environ`）找回 {id} 部署时的文件，放回 {at}（权限 0600）"
        )
    };
    Finding::new(spec, subject, outcome, summary)
        .with_limit(
            Text::new("environment kept", "已保存的环境"),
            how.en.clone(),
            "readable, with its SHA-256",
        )
        .with_help(help)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::testing::{World, host_error};
    use crate::driver::{env::EnvFile, host::HostErrorKind};

    fn world(kept: Option<&str>) -> World {
        let mut w = World::new("env-file = \".env\"\n").deployed();
        w.env_file = Ok(EnvFile::parse(b"TOKEN=hunter2\n").unwrap());
        w.state.current.as_mut().unwrap().env_sha256 = kept.map(str::to_owned);
        w.state.env_dir = "/var/lib/safelight/env".into();
        w
    }

    fn kept(w: World, content: &[u8]) -> World {
        let sha = EnvFile::parse(content).unwrap().sha256;
        World { host: w.host.clone().file(format!("/var/lib/safelight/env/{sha}.env"), content), ..w }
    }

    #[tokio::test]
    async fn a_kept_environment_passes_whether_or_not_it_changes() {
        let sha = EnvFile::parse(b"TOKEN=hunter2\n").unwrap().sha256;
        let f = kept(world(Some(&sha)), b"TOKEN=hunter2\n").one(EnvironmentKept).await;
        assert_eq!((f.outcome, f.summary.en.contains("very environment")), (Outcome::Pass, true));
        let before = EnvFile::parse(b"TOKEN=before\n").unwrap().sha256;
        let f = kept(world(Some(&before)), b"TOKEN=before\n").one(EnvironmentKept).await;
        assert_eq!((f.outcome, f.summary.en.contains("changes it")), (Outcome::Pass, true));
        assert!(!serde_json::to_string(&f).unwrap().contains("hunter2"));
    }

    #[tokio::test]
    async fn a_copy_that_is_gone_damaged_or_unreadable_is_no_backup() {
        let before = EnvFile::parse(b"TOKEN=before\n").unwrap().sha256;
        let at = format!("/var/lib/safelight/env/{before}.env");
        let gone = |kind| {
            let w = world(Some(&before));
            World { host: w.host.clone().broken_file(&at, kind), ..w }
        };
        let f = gone(HostErrorKind::NotFound).one(EnvironmentKept).await;
        assert_eq!((f.outcome, f.summary.en.contains("is gone")), (Outcome::Fail, true), "{f:?}");
        let f = gone(HostErrorKind::Permission).one(EnvironmentKept).await;
        assert_eq!(f.outcome, Outcome::Unknown);
        let w = world(Some(&before));
        let w = World { host: w.host.clone().file(&at, "TOKEN=cut"), ..w };
        let f = w.one(EnvironmentKept).await;
        assert_eq!((f.outcome, f.summary.en.contains("is damaged")), (Outcome::Fail, true), "{f:?}");
        assert!(!serde_json::to_string(&f).unwrap().contains("cut"));
        // The file that it was made from is still there: this deploy keeps it again.
        let now = EnvFile::parse(b"TOKEN=hunter2\n").unwrap().sha256;
        let w = world(Some(&now));
        let at = format!("/var/lib/safelight/env/{now}.env");
        let w = World { host: w.host.clone().broken_file(&at, HostErrorKind::NotFound), ..w };
        assert_eq!(w.one(EnvironmentKept).await.outcome, Outcome::Warn);
    }

    #[tokio::test]
    async fn a_release_without_its_environment_warns() {
        assert_eq!(world(None).one(EnvironmentKept).await.outcome, Outcome::Warn);
    }

    #[tokio::test]
    async fn a_file_that_cannot_be_read_is_unknown() {
        let mut w = world(Some("abc"));
        w.env_file = Err(host_error(HostErrorKind::Permission));
        assert_eq!(w.one(EnvironmentKept).await.outcome, Outcome::Unknown);
    }

    #[tokio::test]
    async fn the_first_deploy_and_an_app_without_a_file_are_skipped() {
        assert_eq!(World::new("env-file = \".env\"\n").one(EnvironmentKept).await.outcome, Outcome::Skipped);
        assert_eq!(World::new("").deployed().one(EnvironmentKept).await.outcome, Outcome::Skipped);
    }
}
