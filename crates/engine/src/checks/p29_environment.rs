//! P29: is the environment of the running release kept, so that a rollback brings it back?
//! Compares hashes only; no value is looked at.

use super::support::{skipped, unknown};
use crate::{
    check::{Check, CheckContext, CheckSpec},
    finding::{Finding, Outcome},
    text::Text,
};
use async_trait::async_trait;

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
        vec![look(&self.spec(), ctx)]
    }
}

fn look(spec: &CheckSpec, ctx: &CheckContext) -> Finding {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::testing::{World, host_error};
    use crate::driver::{env::EnvFile, host::HostErrorKind};

    fn world(kept: Option<&str>) -> World {
        let mut w = World::new("env-file = \".env\"\n").deployed();
        w.env_file = Ok(EnvFile::parse(b"TOKEN=hunter2\n").unwrap());
        w.state.current.as_mut().unwrap().env_sha256 = kept.map(str::to_owned);
        w
    }

    #[tokio::test]
    async fn a_kept_environment_passes_whether_or_not_it_changes() {
        let sha = EnvFile::parse(b"TOKEN=hunter2\n").unwrap().sha256;
        let f = world(Some(&sha)).one(EnvironmentKept).await;
        assert_eq!((f.outcome, f.summary.en.contains("very environment")), (Outcome::Pass, true));
        let f = world(Some("abc")).one(EnvironmentKept).await;
        assert_eq!((f.outcome, f.summary.en.contains("changes it")), (Outcome::Pass, true));
        assert!(!serde_json::to_string(&f).unwrap().contains("hunter2"));
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
