//! P13: is what will be deployed committed, whole, and pushed?
//! The remote is asked now: what was last fetched proves nothing.

use super::support::{list, skipped, unknown, unknown_host};
use crate::{
    check::{Check, CheckContext, CheckSpec},
    driver::{
        host::HostErrorKind,
        source::{GitState, Revision},
    },
    finding::{Finding, Outcome},
    text::Text,
};
use async_trait::async_trait;
use std::time::Duration;

/// The check.
#[derive(Clone, Copy, Debug)]
pub(super) struct Git;

/// The first 12 letters of a commit id: enough for people, and for git.
pub(super) fn short(commit: &str) -> &str {
    commit.get(..12).unwrap_or(commit)
}

#[async_trait]
impl Check for Git {
    fn spec(&self) -> CheckSpec {
        CheckSpec {
            id: "P13", title: ("Commit clean and pushed", "提交干净且已推送"), risks: &["R7", "R1"]
        }
    }

    fn timeout(&self) -> Duration {
        Duration::from_secs(20)
    }

    async fn run(&self, ctx: &CheckContext) -> Vec<Finding> {
        let spec = self.spec();
        let place = ctx.source.location().display().to_string();
        let state = match ctx.source.git_state().await {
            Ok(Some(s)) => s,
            Ok(None) => {
                return vec![skipped(
                    &spec,
                    place,
                    Text::new(
                        "the source is a plain directory (`source.dir`), not git",
                        "来源是普通目录（`source.dir`），不是 git",
                    ),
                )];
            }
            Err(e) => return vec![unknown_host(&spec, place, &e)],
        };
        let revision = match ctx.source.resolve(ctx.revision.as_deref()).await {
            Ok(r) => r,
            Err(e) if e.kind == HostErrorKind::NotFound => {
                let asked = ctx.revision.as_deref().unwrap_or("HEAD").to_owned();
                return vec![
                    Finding::new(
                        &spec,
                        place,
                        Outcome::Fail,
                        crate::text!("there is no revision `{asked}`", "不存在版本 `{asked}`"),
                    )
                    .with_help(Text::new(
                        "list them with `git tag` and `git branch -a`, or fetch first: `git fetch --tags`",
                        "用 `git tag`、`git branch -a` 查看，或先执行 `git fetch --tags`",
                    )),
                ];
            }
            Err(e) => return vec![unknown_host(&spec, place, &e)],
        };
        vec![
            working_copy(&spec, ctx, &place, &state, &revision),
            pushed(&spec, ctx, &place, &state, &revision).await,
        ]
    }
}

fn working_copy(
    spec: &CheckSpec,
    ctx: &CheckContext,
    place: &str,
    state: &GitState,
    revision: &Revision,
) -> Finding {
    // With a revision named, that is deployed and not what lies around here.
    let matters = if ctx.revision.is_none() { Outcome::Fail } else { Outcome::Warn };
    let mut worst = Outcome::Pass;
    let mut wrong: Vec<(Text, Text)> = Vec::new();
    let mut add = |outcome: Outcome, what: Text, help: Text| {
        worst = worst.max(outcome);
        wrong.push((what, help));
    };
    if !state.dirty.is_empty() {
        let n = state.dirty.len();
        add(
            matters,
            crate::text!("{n} paths with changes that are not committed", "{n} 个路径有未提交的改动"),
            Text::new(
                "commit them, or put them aside with `git stash -u`",
                "提交这些改动，或用 `git stash -u` 暂存",
            ),
        );
    }
    if let Some(what) = &state.in_progress {
        add(
            matters,
            crate::text!("a {what} is under way", "正在进行 {what}"),
            crate::text!(
                "finish it, or abandon it with `git {what} --abort` (`git bisect reset` for a bisect)",
                "完成它，或用 `git {what} --abort` 放弃（bisect 用 `git bisect reset`）"
            ),
        );
    }
    if !state.lfs_pointers.is_empty() {
        let n = state.lfs_pointers.len();
        add(
            Outcome::Fail,
            crate::text!(
                "{n} files are still Git LFS pointers and would be deployed as such",
                "{n} 个文件仍是 Git LFS 指针，会被原样部署"
            ),
            Text::new("fetch their content: `git lfs pull`", "拉取内容：`git lfs pull`"),
        );
    }
    if state.shallow {
        add(
            Outcome::Warn,
            Text::new("the history is cut off (shallow clone)", "历史不完整（浅克隆）"),
            Text::new(
                "fetch all of it: `git fetch --unshallow --tags`",
                "补全历史：`git fetch --unshallow --tags`",
            ),
        );
    }
    let commit = revision.commit.as_deref().map_or("-", short);
    let summary = if wrong.is_empty() {
        crate::text!("clean at {commit}", "工作区干净，位于 {commit}")
    } else {
        let en = wrong.iter().map(|(t, _)| t.en.as_str()).collect::<Vec<_>>().join("; ");
        let zh = wrong.iter().map(|(t, _)| t.zh.as_str()).collect::<Vec<_>>().join("；");
        Text { en, zh }
    };
    let branch =
        state.branch.clone().map_or_else(|| Text::new("none (detached HEAD)", "无（游离 HEAD）"), Text::same);
    let mut finding = Finding::new(spec, place, worst, summary)
        .with_fact(Text::new("revision", "版本"), format!("{} = {commit}", revision.asked))
        .with_note(Text::new("branch", "分支"), branch);
    for (label, paths) in [
        (Text::new("not committed", "未提交"), &state.dirty),
        (Text::new("LFS pointers", "LFS 指针"), &state.lfs_pointers),
    ] {
        if !paths.is_empty() {
            finding = finding.with_note(label, list(paths, 10));
        }
    }
    if wrong.is_empty() {
        return finding;
    }
    let en = wrong.iter().map(|(_, h)| h.en.as_str()).collect::<Vec<_>>().join("; ");
    let zh = wrong.iter().map(|(_, h)| h.zh.as_str()).collect::<Vec<_>>().join("；");
    finding.with_help(Text { en, zh })
}

async fn pushed(
    spec: &CheckSpec,
    ctx: &CheckContext,
    place: &str,
    state: &GitState,
    revision: &Revision,
) -> Finding {
    let commit = revision.commit.as_deref().map_or("-", short).to_owned();
    let Some(remote) = &state.remote else {
        return Finding::new(
            spec,
            format!("{place} remote"),
            Outcome::Warn,
            crate::text!(
                "there is no remote: commit {commit} exists on this machine only",
                "没有远程仓库：提交 {commit} 只存在于这台机器上"
            ),
        )
        .with_help(Text::new(
            "add one, so that the code of a release cannot be lost: `git remote add origin <url> && git push -u origin HEAD`",
            "添加远程仓库以免代码丢失：`git remote add origin <url> && git push -u origin HEAD`",
        ));
    };
    let subject = format!("{place} {remote}");
    let answer = match ctx.source.remote_state(revision).await {
        Ok(Some(a)) => a,
        Ok(None) => {
            return unknown(
                spec,
                subject,
                crate::text!("{remote} gave no answer", "{remote} 没有给出结果"),
                crate::text!(
                    "ask it yourself: `git ls-remote {remote}`",
                    "请自行查询：`git ls-remote {remote}`"
                ),
            );
        }
        Err(e) => {
            return unknown(
                spec,
                subject,
                crate::text!(
                    "{remote} cannot be asked whether it has {commit}: {e}",
                    "无法向 {remote} 查询是否已有 {commit}：{e}"
                ),
                crate::text!(
                    "try `git ls-remote {remote}`; offline or without a key nobody can tell whether the commit was pushed",
                    "试 `git ls-remote {remote}`；离线或缺少密钥时无法确认提交是否已推送"
                ),
            );
        }
    };
    if answer.has_commit {
        return Finding::new(
            spec,
            subject,
            Outcome::Pass,
            crate::text!("{remote} has {commit}", "{remote} 已有提交 {commit}"),
        );
    }
    if state.shallow {
        return unknown(
            spec,
            subject,
            crate::text!(
                "no branch or tag of {remote} points at {commit}, and the cut-off history does not show whether one contains it",
                "{remote} 没有分支或标签指向 {commit}，而浅克隆的历史无法判断是否已被包含"
            ),
            Text::new("fetch the history: `git fetch --unshallow`", "补全历史：`git fetch --unshallow`"),
        );
    }
    Finding::new(
        spec,
        subject,
        Outcome::Fail,
        crate::text!("{commit} is not on {remote}", "提交 {commit} 尚未推送到 {remote}"),
    )
    .with_limit(Text::new("commit on the remote", "远程是否有该提交"), "no", "yes")
    .with_help(crate::text!("push it: `git push {remote} HEAD`", "推送：`git push {remote} HEAD`"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::testing::{World, host_error};

    async fn outcomes(w: &World) -> (Outcome, Outcome) {
        let f = w.run(Git).await;
        (f[0].outcome, f[1].outcome)
    }

    fn world(change: impl FnOnce(&mut GitState)) -> World {
        let mut w = World::new("");
        if let Ok(Some(state)) = &mut w.source.git {
            change(state);
        }
        w
    }

    #[tokio::test]
    async fn a_clean_pushed_commit_passes_also_when_head_is_detached() {
        assert_eq!(outcomes(&world(|_| ())).await, (Outcome::Pass, Outcome::Pass));
        let w = world(|s| s.branch = None);
        let found = w.run(Git).await;
        assert_eq!(found[0].outcome, Outcome::Pass);
        assert!(found[0].evidence[1].value.en.contains("detached"));
    }

    #[tokio::test]
    async fn changes_fail_when_head_is_deployed_and_warn_when_a_revision_is_named() {
        let mut w = world(|s| s.dirty = vec!["server.js".into(), "new.js".into()]);
        let found = w.run(Git).await;
        assert_eq!(found[0].outcome, Outcome::Fail);
        assert!(found[0].evidence.iter().any(|e| e.value.en == "server.js, new.js"));
        w.revision = Some("v1.2.0".into());
        assert_eq!(outcomes(&w).await.0, Outcome::Warn);
    }

    #[tokio::test]
    async fn a_merge_under_way_and_lfs_pointers_fail_and_a_shallow_clone_warns() {
        let w = world(|s| s.in_progress = Some("merge".into()));
        let found = w.run(Git).await;
        assert_eq!(found[0].outcome, Outcome::Fail);
        assert!(found[0].help.as_ref().unwrap().en.contains("git merge --abort"));
        let lfs = world(|s| s.lfs_pointers = vec!["photo.jpg".into()]);
        assert_eq!(outcomes(&lfs).await.0, Outcome::Fail);
        assert_eq!(outcomes(&world(|s| s.shallow = true)).await.0, Outcome::Warn);
    }

    #[tokio::test]
    async fn an_unpushed_commit_fails_and_a_shallow_clone_cannot_tell() {
        let mut w = world(|_| ());
        if let Ok(Some(r)) = &mut w.source.remote {
            r.has_commit = false;
        }
        assert_eq!(outcomes(&w).await.1, Outcome::Fail);
        if let Ok(Some(s)) = &mut w.source.git {
            s.shallow = true;
        }
        assert_eq!(outcomes(&w).await.1, Outcome::Unknown);
    }

    #[tokio::test]
    async fn offline_is_unknown_and_no_remote_a_warning() {
        let mut w = world(|_| ());
        w.source.remote = Err(host_error(HostErrorKind::Unreachable));
        assert_eq!(outcomes(&w).await.1, Outcome::Unknown);
        w.source.remote = Ok(None);
        assert_eq!(outcomes(&w).await.1, Outcome::Unknown);
        assert_eq!(outcomes(&world(|s| s.remote = None)).await.1, Outcome::Warn);
    }

    #[tokio::test]
    async fn a_directory_is_skipped_git_trouble_unknown_and_an_absent_revision_fails() {
        let mut w = world(|_| ());
        w.source.revision = Err(host_error(HostErrorKind::NotFound));
        assert_eq!(w.one(Git).await.outcome, Outcome::Fail);
        w.source.revision = Err(host_error(HostErrorKind::Other));
        assert_eq!(w.one(Git).await.outcome, Outcome::Unknown);
        w.source.git = Err(host_error(HostErrorKind::Permission));
        assert_eq!(w.one(Git).await.outcome, Outcome::Unknown);
        w.source.git = Ok(None);
        assert_eq!(w.one(Git).await.outcome, Outcome::Skipped);
    }
}
