//! P28: does a tag name the commit, here and on the remote alike?
//! A release without a name is hard to talk about at night; whether it blocks is the user's choice.

use super::{
    p13_git::short,
    support::{list, skipped, unknown, unknown_host},
};
use crate::{
    check::{Check, CheckContext, CheckSpec},
    finding::{Finding, Outcome},
    text::Text,
};
use async_trait::async_trait;
use std::time::Duration;

/// The check.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tag;

#[async_trait]
impl Check for Tag {
    fn spec(&self) -> CheckSpec {
        CheckSpec { id: "P28", title: ("Code tagged", "代码已打标签"), risks: &["R1", "R7"] }
    }

    fn timeout(&self) -> Duration {
        Duration::from_secs(20)
    }

    async fn run(&self, ctx: &CheckContext) -> Vec<Finding> {
        vec![look(&self.spec(), ctx).await]
    }
}

async fn look(spec: &CheckSpec, ctx: &CheckContext) -> Finding {
    let place = ctx.source.location().display().to_string();
    let state = match ctx.source.git_state().await {
        Ok(Some(s)) => s,
        Ok(None) => {
            return skipped(
                spec,
                place,
                Text::new(
                    "the source is a plain directory (`source.dir`): there is nothing to tag",
                    "来源是普通目录（`source.dir`），没有可打标签的提交",
                ),
            );
        }
        Err(e) => return unknown_host(spec, place, &e),
    };
    let revision = match ctx.source.resolve(ctx.revision.as_deref()).await {
        Ok(r) => r,
        Err(e) => return unknown_host(spec, place, &e),
    };
    let required = ctx.config.source.require_tag;
    let lacking = if required { Outcome::Fail } else { Outcome::Warn };
    let Some(local) = revision.commit.clone() else {
        return unknown(
            spec,
            place,
            Text::new("the revision has no commit", "该版本没有对应的提交"),
            Text::new("look with `git rev-parse HEAD`", "用 `git rev-parse HEAD` 查看"),
        );
    };
    let commit = short(&local).to_owned();
    let fact = |f: Finding| {
        let tags = if revision.tags.is_empty() { Text::new("none", "无") } else { list(&revision.tags, 5) };
        let count = revision.tags.len().to_string();
        let f = f.with_note(Text::new("tags here", "本地标签"), tags);
        if required {
            f.with_limit(
                Text::new("number of tags (`source.require-tag`)", "标签数（`source.require-tag`）"),
                count,
                ">= 1",
            )
        } else {
            f
        }
    };
    if revision.tags.is_empty() {
        return fact(Finding::new(
            spec,
            commit.clone(),
            lacking,
            crate::text!("no tag names commit {commit}", "没有标签指向提交 {commit}"),
        ))
        .with_help(crate::text!(
            "tag it and push the tag: `git tag -a v1.2.3 {commit} -m v1.2.3 && git push origin v1.2.3`",
            "打标签并推送：`git tag -a v1.2.3 {commit} -m v1.2.3 && git push origin v1.2.3`"
        ));
    }
    let Some(remote) = &state.remote else {
        let tag = &revision.tags[0];
        return fact(Finding::new(
            spec,
            commit.clone(),
            Outcome::Pass,
            crate::text!(
                "{tag} names {commit}; there is no remote to compare with",
                "{tag} 指向 {commit}；没有远程仓库可供比对"
            ),
        ));
    };
    let there = match ctx.source.remote_state(&revision).await {
        Ok(Some(r)) => r.tags,
        other => {
            let e = other.err().map_or_else(|| "no answer".to_owned(), |e| e.to_string());
            return fact(unknown(
                spec,
                commit.clone(),
                crate::text!(
                    "{remote} cannot be asked where its tags point: {e}",
                    "无法向 {remote} 查询标签指向：{e}"
                ),
                crate::text!("try `git ls-remote --tags {remote}`", "试 `git ls-remote --tags {remote}`"),
            ));
        }
    };
    // The tag that was asked for decides; otherwise any tag that agrees will do.
    let asked: Vec<&String> = revision.tags.iter().filter(|t| **t == revision.asked).collect();
    let candidates = if asked.is_empty() { revision.tags.iter().collect() } else { asked };
    let on_remote = |tag: &str| there.iter().find(|(t, _)| t == tag).and_then(|(_, c)| c.clone());
    if let Some((tag, other)) =
        candidates.iter().find_map(|t| on_remote(t).filter(|c| *c != local).map(|c| ((*t).clone(), c)))
    {
        let other = short(&other).to_owned();
        return fact(Finding::new(
            spec,
            commit.clone(),
            Outcome::Fail,
            crate::text!(
                "{tag} is {commit} here and {other} on {remote}: two releases with one name",
                "{tag} 在本地是 {commit}，在 {remote} 上是 {other}：一个名字对应两个版本"
            ),
        ))
        .with_limit(crate::text!("{tag} on {remote}", "{remote} 上的 {tag}"), &other, &commit)
        .with_help(crate::text!(
            "find out who moved it (`git ls-remote --tags {remote} {tag}`) and make a new tag rather than moving this one",
            "查明是谁移动了标签（`git ls-remote --tags {remote} {tag}`），另打新标签，不要移动旧标签"
        ));
    }
    if let Some(tag) = candidates.iter().find(|t| on_remote(t).is_some()) {
        return fact(Finding::new(
            spec,
            commit.clone(),
            Outcome::Pass,
            crate::text!("{tag} names {commit}, on {remote} too", "{tag} 指向 {commit}，与 {remote} 一致"),
        ));
    }
    let tag = candidates[0];
    fact(Finding::new(
        spec,
        commit.clone(),
        lacking,
        crate::text!("{tag} is not on {remote}", "标签 {tag} 尚未推送到 {remote}"),
    ))
    .with_help(crate::text!("push it: `git push {remote} {tag}`", "推送标签：`git push {remote} {tag}`"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::testing::{COMMIT, World, host_error};
    use crate::driver::host::HostErrorKind;

    fn world(local: &[&str], remote: &[(&str, Option<&str>)]) -> World {
        let mut w = World::new("");
        if let Ok(r) = &mut w.source.revision {
            r.tags = local.iter().map(|t| (*t).to_owned()).collect();
        }
        if let Ok(Some(r)) = &mut w.source.remote {
            r.tags = remote.iter().map(|(t, c)| ((*t).to_owned(), c.map(str::to_owned))).collect();
        }
        w
    }

    fn strict(mut w: World) -> World {
        w.toml.push_str("[source]\nrequire-tag = true\n");
        w
    }

    #[tokio::test]
    async fn a_tag_that_agrees_with_the_remote_passes() {
        assert_eq!(world(&["v1.2.0"], &[("v1.2.0", Some(COMMIT))]).one(Tag).await.outcome, Outcome::Pass);
    }

    #[tokio::test]
    async fn no_tag_warns_and_fails_where_one_is_required() {
        assert_eq!(world(&[], &[]).one(Tag).await.outcome, Outcome::Warn);
        assert_eq!(strict(world(&[], &[])).one(Tag).await.outcome, Outcome::Fail);
    }

    #[tokio::test]
    async fn a_tag_that_is_another_commit_on_the_remote_fails() {
        let f = world(&["v1.2.0"], &[("v1.2.0", Some("ffff"))]).one(Tag).await;
        assert_eq!(f.outcome, Outcome::Fail);
        assert!(f.summary.en.contains("two releases with one name"));
    }

    #[tokio::test]
    async fn an_unpushed_tag_warns_and_fails_where_one_is_required() {
        assert_eq!(world(&["v1.2.0"], &[("v1.2.0", None)]).one(Tag).await.outcome, Outcome::Warn);
        assert_eq!(strict(world(&["v1.2.0"], &[("v1.2.0", None)])).one(Tag).await.outcome, Outcome::Fail);
    }

    #[tokio::test]
    async fn offline_is_unknown_no_remote_passes_and_a_directory_is_skipped() {
        let mut w = world(&["v1.2.0"], &[]);
        w.source.remote = Err(host_error(HostErrorKind::Unreachable));
        assert_eq!(w.one(Tag).await.outcome, Outcome::Unknown);
        if let Ok(Some(s)) = &mut w.source.git {
            s.remote = None;
        }
        assert_eq!(w.one(Tag).await.outcome, Outcome::Pass);
        w.source.git = Ok(None);
        assert_eq!(w.one(Tag).await.outcome, Outcome::Skipped);
    }
}
