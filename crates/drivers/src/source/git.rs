//! A git working copy as the source of releases. What is deployed is a commit, byte for byte as git has it: no
//! `export-ignore` or `export-subst` (those are for publishing archives), no line end conversion.

use super::{git_run::Run, paths::Excludes};
use crate::host::LocalHost;
use async_trait::async_trait;
use safelight_engine::driver::{
    host::{HostError, HostErrorKind},
    source::{GitState, Ingested, RemoteState, Revision, Source},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Read as _,
    path::{Path, PathBuf},
    time::Duration,
};

/// Longest time for the remote to answer.
const REMOTE_LIMIT: Duration = Duration::from_secs(20);
/// Longest time to get what the remote has and we do not.
const FETCH_LIMIT: Duration = Duration::from_secs(60);

/// How a Git LFS pointer begins.
pub(super) const LFS_HEAD: &str = "version https://git-lfs.github.com/spec/";

/// A git working copy, or a directory within one: then only what is below it is released.
#[derive(Clone, Debug)]
pub struct Git {
    pub(super) run: Run,
    pub(super) excludes: Excludes,
    remote_limit: Duration,
}

impl Git {
    /// The working copy at `dir`, without the paths in `exclude` (a name anywhere, or a path from the top; `*` within a
    /// name).
    #[must_use]
    pub fn new(host: LocalHost, dir: impl Into<PathBuf>, exclude: &[String]) -> Self {
        Self {
            run: Run { host, dir: dir.into() },
            excludes: Excludes::new(exclude),
            remote_limit: REMOTE_LIMIT,
        }
    }

    /// With another limit for the remote's answer than 20 s.
    #[must_use]
    pub fn with_remote_limit(mut self, limit: Duration) -> Self {
        self.remote_limit = limit;
        self
    }

    async fn git_dir(&self) -> Result<PathBuf, HostError> {
        let dir = self.run.ok(&["rev-parse", "--absolute-git-dir"]).await?;
        Ok(PathBuf::from(String::from_utf8_lossy(&dir).trim_end()))
    }

    /// Paths with changes that git itself reports.
    async fn changed(&self) -> Result<BTreeSet<String>, HostError> {
        // Said explicitly, as the user's settings may hide untracked files and submodules.
        let args = [
            "status",
            "--porcelain=v2",
            "-z",
            "--no-renames",
            "--untracked-files=normal",
            "--ignore-submodules=none",
        ];
        let raw = self.run.ok(&args).await?;
        let mut paths = BTreeSet::new();
        for record in String::from_utf8_lossy(&raw).split('\0') {
            let fields = match record.as_bytes().first() {
                Some(b'1') => 9,
                Some(b'u') => 11,
                Some(b'?') => 2,
                _ => continue,
            };
            if let Some(path) = record.splitn(fields, ' ').nth(fields - 1) {
                paths.insert(path.to_owned());
            }
        }
        Ok(paths)
    }

    /// Changes that the user told git not to look for. A file that is missing because it is outside of a sparse
    /// checkout is no change.
    async fn hidden_changes(&self, top: &Run) -> Result<BTreeSet<String>, HostError> {
        let tagged = top.ok(&["ls-files", "-v", "-z"]).await?;
        let mut changed = BTreeSet::new();
        let mut look = Vec::new();
        for record in String::from_utf8_lossy(&tagged).split('\0') {
            let Some((tag, path)) = record.split_once(' ') else { continue };
            let (assumed, skipped) =
                (tag.starts_with(|c: char| c.is_ascii_lowercase()), tag.eq_ignore_ascii_case("s"));
            if !assumed && !skipped {
                continue;
            }
            match fs::symlink_metadata(top.dir.join(path)) {
                Ok(meta) if meta.is_file() && !path.contains('\n') => look.push(path.to_owned()),
                Ok(_) => {}
                Err(_) if skipped => {}
                Err(_) => {
                    changed.insert(path.to_owned());
                }
            }
        }
        if look.is_empty() {
            return Ok(changed);
        }
        let index = top.ok(&["ls-files", "-s", "-z"]).await?;
        let index = String::from_utf8_lossy(&index);
        let ids: BTreeMap<&str, &str> = index
            .split('\0')
            .filter_map(|r| r.split_once('\t'))
            .filter_map(|(meta, path)| Some((path, meta.split(' ').nth(1)?)))
            .collect();
        let now = top.ok_with(&["hash-object", "--stdin-paths"], (look.join("\n") + "\n").as_bytes()).await?;
        for (path, id) in look.iter().zip(String::from_utf8_lossy(&now).lines()) {
            if ids.get(path.as_str()) != Some(&id) {
                changed.insert(path.clone());
            }
        }
        Ok(changed)
    }

    /// Files that should have been replaced by Git LFS and were not.
    async fn lfs_pointers(&self, top: &Run) -> Result<Vec<String>, HostError> {
        let files = top.ok(&["ls-files", "-z"]).await?;
        if files.is_empty() {
            return Ok(Vec::new());
        }
        let raw = top.ok_with(&["check-attr", "--stdin", "-z", "filter"], &files).await?;
        let raw = String::from_utf8_lossy(&raw);
        let fields: Vec<&str> = raw.split('\0').collect();
        Ok(fields
            .chunks_exact(3)
            .filter(|c| c[2] == "lfs")
            .map(|c| c[0].to_owned())
            .filter(|path| {
                let mut head = Vec::new();
                fs::File::open(top.dir.join(path))
                    .and_then(|f| f.take(LFS_HEAD.len() as u64).read_to_end(&mut head))
                    .is_ok()
                    && head == LFS_HEAD.as_bytes()
            })
            .collect())
    }

    /// The remote of the current branch, else `origin`, else the only one.
    async fn remote(&self, branch: Option<&str>) -> Result<Option<String>, HostError> {
        if let Some(branch) = branch
            && let Some(remote) =
                self.run.line(&["config", "--get", &format!("branch.{branch}.remote")]).await?
            && remote != "."
        {
            return Ok(Some(remote));
        }
        let all = self.run.ok(&["remote"]).await?;
        let all = String::from_utf8_lossy(&all);
        let names: Vec<&str> = all.lines().collect();
        Ok(match names.as_slice() {
            names if names.contains(&"origin") => Some("origin".to_owned()),
            [only] => Some((*only).to_owned()),
            _ => None,
        })
    }

    async fn branch(&self) -> Result<Option<String>, HostError> {
        self.run.line(&["symbolic-ref", "--quiet", "--short", "HEAD"]).await
    }

    async fn top(&self) -> Result<Run, HostError> {
        let top = self.run.ok(&["rev-parse", "--show-toplevel"]).await?;
        let dir = PathBuf::from(String::from_utf8_lossy(&top).trim_end());
        Ok(Run { host: self.run.host.clone(), dir })
    }

    /// Talks to the remote without ever asking a person for a password.
    async fn ask_remote(&self, args: &[&str], limit: Duration) -> Result<Vec<u8>, HostError> {
        let configured = self.run.line(&["config", "--get", "core.sshCommand"]).await?.is_some()
            || ["GIT_SSH", "GIT_SSH_COMMAND"].iter().any(|v| std::env::var_os(v).is_some());
        let mut all = Vec::new();
        if !configured {
            all.extend(["-c", "core.sshCommand=ssh -o BatchMode=yes -o ConnectTimeout=10"]);
        }
        all.extend(args);
        let output = self.run.any(&all, b"", limit).await?;
        if output.ok() {
            return Ok(output.stdout);
        }
        let mut error = self.run.failed(args, &output);
        error.kind = HostErrorKind::Unreachable;
        Err(error)
    }

    /// True when `commit` is in the history of one of `heads`, which must all be here.
    async fn is_within(&self, commit: &str, heads: &[&str]) -> Result<bool, HostError> {
        if heads.is_empty() {
            return Ok(false);
        }
        let input = heads.iter().fold(format!("{commit}\n"), |text, head| text + "^" + head + "\n");
        let left = self.run.ok_with(&["rev-list", "-n", "1", "--stdin"], input.as_bytes()).await?;
        Ok(left.is_empty())
    }

    /// Of `ids`, the commits that are not in this working copy.
    async fn absent<'a>(&self, ids: &[&'a str]) -> Result<Vec<&'a str>, HostError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let said =
            self.run.ok_with(&["cat-file", "--batch-check"], (ids.join("\n") + "\n").as_bytes()).await?;
        let said = String::from_utf8_lossy(&said);
        Ok(ids
            .iter()
            .zip(said.lines())
            .filter(|(_, line)| line.ends_with(" missing"))
            .map(|(id, _)| *id)
            .collect())
    }
}

#[async_trait]
impl Source for Git {
    async fn resolve(&self, asked: Option<&str>) -> Result<Revision, HostError> {
        let asked = asked.unwrap_or("HEAD");
        let op = || format!("find the revision {asked:?} in {}", self.run.dir.display());
        if asked.is_empty() || asked.starts_with('-') || asked.chars().any(char::is_control) {
            let detail = "not the name of a tag, branch or commit";
            return Err(HostError::new(HostErrorKind::Other, op(), detail));
        }
        // Fails with git's own words when this is no working copy.
        self.run.ok(&["rev-parse", "--absolute-git-dir"]).await?;
        let peeled = format!("{asked}^{{commit}}");
        let args = ["rev-parse", "--verify", "--quiet", "--end-of-options", &peeled];
        let found = match self.run.line(&args).await {
            Err(e) if e.kind != HostErrorKind::Other => return Err(e),
            // Git also fails with words of its own, for one on an ambiguous id.
            Err(e) => return Err(HostError { kind: HostErrorKind::NotFound, op: op(), ..e }),
            Ok(found) => found,
        };
        let Some(commit) = found else {
            return Err(HostError::new(
                HostErrorKind::NotFound,
                op(),
                "no such tag, branch or commit here; `git fetch --tags` gets those of the remote",
            ));
        };
        let tags = self.run.ok(&["tag", "--points-at", &commit]).await?;
        let subject = self.run.line(&["log", "-1", "--format=%s", "--no-show-signature", &commit]).await?;
        Ok(Revision {
            asked: asked.to_owned(),
            commit: Some(commit),
            tags: String::from_utf8_lossy(&tags).lines().map(str::to_owned).collect(),
            subject,
        })
    }

    async fn git_state(&self) -> Result<Option<GitState>, HostError> {
        let top = self.top().await?;
        let git_dir = self.git_dir().await?;
        let branch = self.branch().await?;
        let mut dirty = self.changed().await?;
        dirty.extend(self.hidden_changes(&top).await?);
        let in_progress = [
            ("MERGE_HEAD", "merge"),
            ("rebase-merge", "rebase"),
            ("rebase-apply", "rebase"),
            ("CHERRY_PICK_HEAD", "cherry-pick"),
            ("REVERT_HEAD", "revert"),
            ("BISECT_LOG", "bisect"),
        ]
        .iter()
        .find(|(file, _)| git_dir.join(file).exists())
        .map(|(_, what)| (*what).to_owned());
        Ok(Some(GitState {
            remote: self.remote(branch.as_deref()).await?,
            branch,
            dirty: dirty.into_iter().collect(),
            in_progress,
            shallow: self.run.line(&["rev-parse", "--is-shallow-repository"]).await?.as_deref()
                == Some("true"),
            lfs_pointers: self.lfs_pointers(&top).await?,
        }))
    }

    /// Asks with `ls-remote`. Where a branch there has moved on to commits that are not here, these are fetched
    /// (objects only; no reference changes) to tell whether the commit is among their ancestors.
    async fn remote_state(&self, revision: &Revision) -> Result<Option<RemoteState>, HostError> {
        let Some(commit) = revision.commit.as_deref() else { return Ok(None) };
        let Some(remote) = self.remote(self.branch().await?.as_deref()).await? else { return Ok(None) };
        let raw =
            self.ask_remote(&["ls-remote", "--heads", "--tags", "--", &remote], self.remote_limit).await?;
        let raw = String::from_utf8_lossy(&raw);
        let refs: BTreeMap<&str, &str> =
            raw.lines().filter_map(|l| l.split_once('\t')).map(|(id, name)| (name, id)).collect();
        let tag = |name: &str| {
            // An annotated tag is listed twice: itself, and peeled.
            refs.get(format!("refs/tags/{name}^{{}}").as_str())
                .or_else(|| refs.get(format!("refs/tags/{name}").as_str()))
                .map(|id| (*id).to_owned())
        };
        let tags = revision.tags.iter().map(|name| (name.clone(), tag(name))).collect();

        let mut has_commit = refs.values().any(|id| *id == commit);
        if !has_commit {
            let heads: Vec<&str> =
                refs.iter().filter(|(name, _)| name.starts_with("refs/heads/")).map(|(_, id)| *id).collect();
            let absent = self.absent(&heads).await?;
            let present: Vec<&str> = heads.iter().copied().filter(|id| !absent.contains(id)).collect();
            has_commit = self.is_within(commit, &present).await?;
            if !has_commit && !absent.is_empty() {
                let mut args = vec![
                    "fetch",
                    "--quiet",
                    "--no-tags",
                    "--no-write-fetch-head",
                    "--no-auto-maintenance",
                    "--no-recurse-submodules",
                    "--refmap=",
                    "--",
                    &remote,
                ];
                args.extend(&absent);
                self.ask_remote(&args, FETCH_LIMIT).await?;
                has_commit = self.is_within(commit, &absent).await?;
            }
        }
        Ok(Some(RemoteState { has_commit, tags }))
    }

    async fn ingest(&self, revision: &Revision, store: &Path) -> Result<Ingested, HostError> {
        let commit = match &revision.commit {
            Some(commit) => commit.clone(),
            None => self.resolve(Some(&revision.asked)).await?.commit.unwrap_or_default(),
        };
        let top = self.top().await?.dir;
        let prefix = self.run.line(&["rev-parse", "--show-prefix"]).await?.unwrap_or_default();
        let (this, store) = (self.clone(), store.to_owned());
        super::git_run::blocking("store the commit", move || {
            super::git_ingest::ingest(&this, &top, &commit, prefix.trim_end_matches('/'), &store)
        })
        .await
    }

    fn location(&self) -> PathBuf {
        self.run.dir.clone()
    }
}
