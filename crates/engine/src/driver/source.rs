//! Where releases come from: a git revision or a directory.

use super::host::HostError;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// A revision, resolved: what exactly will be deployed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revision {
    /// What was asked for, `v1.2.0`, or the directory.
    pub asked: String,
    /// Full commit id; `None` for a directory.
    pub commit: Option<String>,
    /// Tags that point at it.
    pub tags: Vec<String>,
    /// First line of the commit message.
    pub subject: Option<String>,
}

/// The state of a git working copy, as far as a deploy cares.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GitState {
    /// Branch; `None` when HEAD is detached.
    pub branch: Option<String>,
    /// Paths with changes that are not committed: tracked, staged, untracked, in submodules; also those hidden by
    /// `assume-unchanged` or `skip-worktree` that differ.
    pub dirty: Vec<String>,
    /// A merge, rebase, cherry-pick, revert or bisect is under way.
    pub in_progress: Option<String>,
    /// History is cut off.
    pub shallow: bool,
    /// Files that are still Git LFS pointers.
    pub lfs_pointers: Vec<String>,
    /// Remote that was asked; `None` when there is none.
    pub remote: Option<String>,
}

/// What the remote itself says now, not what was last fetched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoteState {
    /// A branch or tag on the remote points at the commit, or the commit is an ancestor of a branch there.
    pub has_commit: bool,
    /// For each asked tag: the peeled commit it has on the remote, if it is there.
    pub tags: Vec<(String, Option<String>)>,
}

/// One file of a release.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ManifestEntry {
    /// Path below the release, with `/`.
    pub path: String,
    /// SHA-256 of the content, hex; of the target for a link.
    pub sha256: String,
    /// Size in bytes.
    pub size: u64,
    /// What it is.
    pub kind: EntryKind,
}

/// What a manifest entry is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EntryKind {
    /// An ordinary file.
    File,
    /// A file that may be executed.
    Executable,
    /// A symbolic link, with its target.
    Link(String),
}

/// What putting a revision into the store moved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ingested {
    /// Hash of the whole manifest: names this content for good.
    pub content_id: String,
    /// Every file.
    pub manifest: Vec<ManifestEntry>,
    /// Files that were not in the store yet.
    pub new_files: usize,
    /// Bytes that were not in the store yet.
    pub new_bytes: u64,
    /// Bytes of the whole release.
    pub total_bytes: u64,
}

/// A place that releases come from.
#[async_trait]
pub trait Source: Send + Sync {
    /// Resolves `asked` (`None`: HEAD, or the directory as it is).
    async fn resolve(&self, asked: Option<&str>) -> Result<Revision, HostError>;

    /// The state of the working copy; `None` for a source that is not git.
    async fn git_state(&self) -> Result<Option<GitState>, HostError>;

    /// Asks the remote now; `None` for a source without a remote.
    async fn remote_state(&self, revision: &Revision) -> Result<Option<RemoteState>, HostError>;

    /// Puts the content of `revision` into the content-addressed store at `store`. May be repeated.
    async fn ingest(&self, revision: &Revision, store: &Path) -> Result<Ingested, HostError>;

    /// The directory that relative paths of the source start from, for messages.
    fn location(&self) -> PathBuf;
}
