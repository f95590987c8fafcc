//! P14: are all variables set that production needs?
//! Names and line numbers only: a value never leaves the file.

use super::support::{list, skipped};
use crate::{
    check::{Check, CheckContext, CheckSpec},
    finding::{Finding, Outcome},
    text::Text,
};
use async_trait::async_trait;

/// The check.
#[derive(Clone, Copy, Debug)]
pub(super) struct Variables;

const ODDITIES_SHOWN: usize = 20;

#[async_trait]
impl Check for Variables {
    fn spec(&self) -> CheckSpec {
        CheckSpec { id: "P14", title: ("Environment variables", "环境变量"), risks: &["R8"] }
    }

    async fn run(&self, ctx: &CheckContext) -> Vec<Finding> {
        vec![look(&self.spec(), ctx)]
    }
}

fn look(spec: &CheckSpec, ctx: &CheckContext) -> Finding {
    // A journey without its secret cannot run: better found here than when users have been moved.
    let mut required = ctx.env.required.clone();
    required.extend(ctx.config.journeys.secrets.values().filter(|v| !ctx.env.required.contains(v)).cloned());
    let required = &required;
    let env = &ctx.env_name;
    let Some(path) = &ctx.env.env_file else {
        if required.is_empty() {
            return skipped(
                spec,
                format!("env.{env}"),
                Text::new(
                    "no `env-file` and no required variables are configured",
                    "未配置 `env-file`，也没有必需变量",
                ),
            );
        }
        let n = required.len();
        return Finding::new(
            spec,
            format!("env.{env}"),
            Outcome::Fail,
            crate::text!(
                "{n} variables are required, but no `env-file` is configured",
                "要求 {n} 个变量，但未配置 `env-file`"
            ),
        )
        .with_note(Text::new("required", "必需变量"), list(required, 30))
        .with_help(crate::text!(
            "name the file in [env.{env}]: `env-file = \".env.{env}\"`",
            "在 [env.{env}] 中写明文件：`env-file = \".env.{env}\"`"
        ));
    };
    let subject = path.display().to_string();
    let file = match ctx.env_file.as_ref() {
        Ok(f) => f,
        Err(e) => {
            return Finding::new(
                spec,
                &subject,
                Outcome::Fail,
                crate::text!("{subject} cannot be used: {e}", "无法使用 {subject}：{e}"),
            )
            .with_limit(Text::new("environment file", "环境文件"), "unreadable", "readable")
            .with_help(crate::text!(
                "create or repair {subject}, readable by the deploying user only: `chmod 600 {subject}`",
                "创建或修复 {subject}，并仅允许部署用户读取：`chmod 600 {subject}`"
            ));
        }
    };
    let missing: Vec<String> = required.iter().filter(|k| file.get(k).is_none()).cloned().collect();
    let empty: Vec<String> = missing.iter().filter(|k| file.vars.contains_key(*k)).cloned().collect();
    let (have, want) = (required.len() - missing.len(), required.len());
    let odd = file.oddities.len();
    let (outcome, summary) = if !missing.is_empty() {
        let names = list(&missing, 20);
        let (en, zh) = (names.en, names.zh);
        (Outcome::Fail, crate::text!("not set: {en}", "未设置：{zh}"))
    } else if odd > 0 {
        (
            Outcome::Warn,
            crate::text!(
                "all {want} required variables are set; {odd} lines are read differently by other programs",
                "{want} 个必需变量均已设置；有 {odd} 行在其他程序中的解析结果不同"
            ),
        )
    } else {
        (Outcome::Pass, crate::text!("all {want} required variables are set", "{want} 个必需变量均已设置"))
    };
    let mut finding = Finding::new(spec, &subject, outcome, summary)
        .with_limit(
            Text::new("required variables set", "已设置的必需变量"),
            have.to_string(),
            want.to_string(),
        )
        .with_fact(Text::new("read as", "解析方式"), "Node.js dotenv");
    if !empty.is_empty() {
        finding = finding.with_note(Text::new("there, but empty", "存在但为空"), list(&empty, 20));
    }
    for (line, what) in file.oddities.iter().take(ODDITIES_SHOWN) {
        finding = finding.with_note(crate::text!("line {line}", "第 {line} 行"), what.clone());
    }
    if odd > ODDITIES_SHOWN {
        let more = odd - ODDITIES_SHOWN;
        finding =
            finding.with_note(Text::new("more", "其余"), crate::text!("{more} lines", "另有 {more} 行"));
    }
    match outcome {
        Outcome::Pass => finding,
        Outcome::Warn => finding.with_help(crate::text!(
            "put such values in single quotes, save {subject} as UTF-8 without a byte order mark and with LF line ends (`dos2unix {subject}`)",
            "用单引号括住这些值，并以无 BOM 的 UTF-8、LF 换行保存 {subject}（`dos2unix {subject}`）"
        )),
        _ => finding.with_help(crate::text!(
            "set them in {subject} (an empty value counts as not set), or take them out of `required` in [env.{env}]",
            "在 {subject} 中设置这些变量（空值视为未设置），或从 [env.{env}] 的 `required` 中移除"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::testing::{World, host_error, value};
    use crate::driver::{env::EnvFile, host::HostErrorKind};

    fn world(content: &str) -> World {
        let mut w = World::new("env-file = \".env\"\nrequired = [\"TOKEN\", \"BUCKET\"]\n");
        w.env_file = Ok(EnvFile::parse(content.as_bytes()).unwrap());
        w
    }

    #[tokio::test]
    async fn a_complete_file_passes() {
        let f = world("TOKEN=hunter2\nBUCKET=film\n").one(Variables).await;
        assert_eq!((f.outcome, value(&f, "required")), (Outcome::Pass, "2"));
    }

    #[tokio::test]
    async fn absent_and_empty_variables_fail_by_name_and_no_value_is_shown() {
        let f = world("TOKEN=\nSECRET=hunter2\n").one(Variables).await;
        assert_eq!((f.outcome, f.summary.en.as_str()), (Outcome::Fail, "not set: TOKEN, BUCKET"));
        assert_eq!(value(&f, "there, but empty"), "TOKEN");
        assert!(!serde_json::to_string(&f).unwrap().contains("hunter2"));
    }

    #[tokio::test]
    async fn the_secrets_of_journeys_are_required_too() {
        let mut w = World::from_toml(
            "[app]\nname = \"a\"\n[[service]]\nname = \"web\"\ncommand = \"x\"\npath = \"/\"\n\
             [journeys]\nsecrets = { password = \"ADMIN_PASSWORD\", token = \"TOKEN\" }\n\
             [env.production]\nurl = \"https://example.com\"\nenv-file = \".env\"\nrequired = [\"TOKEN\"]\n",
        );
        w.env_file = Ok(EnvFile::parse(b"TOKEN=1\n").unwrap());
        let f = w.one(Variables).await;
        assert_eq!((f.outcome, f.summary.en.as_str()), (Outcome::Fail, "not set: ADMIN_PASSWORD"));
    }

    #[tokio::test]
    async fn lines_that_dialects_read_differently_warn_with_their_number() {
        let f = world("TOKEN=a#b\nBUCKET=film $HOME\n").one(Variables).await;
        assert_eq!(f.outcome, Outcome::Warn);
        assert!(f.evidence.iter().any(|e| e.label.en == "line 1" && e.label.zh == "第 1 行"));
        assert!(!serde_json::to_string(&f).unwrap().contains("a#b"));
    }

    #[tokio::test]
    async fn an_absent_or_unreadable_file_fails() {
        for kind in [HostErrorKind::NotFound, HostErrorKind::Permission, HostErrorKind::Other] {
            let mut w = world("");
            w.env_file = Err(host_error(kind));
            assert_eq!(w.one(Variables).await.outcome, Outcome::Fail, "{kind:?}");
        }
    }

    #[tokio::test]
    async fn requirements_without_a_file_fail_and_no_wish_at_all_is_skipped() {
        assert_eq!(World::new("required = [\"A\"]\n").one(Variables).await.outcome, Outcome::Fail);
        assert_eq!(World::new("").one(Variables).await.outcome, Outcome::Skipped);
    }
}
