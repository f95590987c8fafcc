//! Git and directory sources, with real repositories and a bare remote beside them.

#![allow(clippy::unwrap_used)]

#[path = "../../../testkit/src/not_run.rs"]
#[expect(unreachable_pub, reason = "the testkit, whose file this is, stands above this crate")]
mod not_run;

use safelight_drivers::{
    host::LocalHost,
    source::{Dir, Git, Store},
};
use safelight_engine::driver::{
    host::HostErrorKind,
    source::{EntryKind, Ingested, ManifestEntry, Source},
};
use std::{
    fs,
    io::Write as _,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

/// A repository with a bare remote `origin`, both in a directory of their own.
struct Repo {
    dir: tempfile::TempDir,
}

fn git_at(dir: &Path, args: &[&str]) -> String {
    let output = Command::new("git")
        .args(["-c", "protocol.file.allow=always", "-c", "init.defaultBranch=main", "-c", "user.name=T"])
        .args(["-c", "user.email=t@example.com", "-c", "commit.gpgSign=false", "-c", "tag.gpgSign=false"])
        .args(args)
        .current_dir(dir)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_SYSTEM", "/dev/null")
        .env_remove("GIT_DIR")
        .output()
        .unwrap();
    assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

impl Repo {
    fn new() -> Self {
        let repo = Self { dir: tempfile::tempdir().unwrap() };
        fs::create_dir(repo.work()).unwrap();
        git_at(repo.dir.path(), &["init", "-q", "--bare", "remote.git"]);
        repo.git(&["init", "-q"]);
        repo.git(&["remote", "add", "origin", "../remote.git"]);
        repo.write("server.js", "console.log('one')\n");
        repo.write("bin/run.sh", "#!/bin/sh\n");
        fs::set_permissions(repo.work().join("bin/run.sh"), fs::Permissions::from_mode(0o755)).unwrap();
        symlink("../server.js", repo.work().join("bin/link")).unwrap();
        repo.commit("first");
        repo.git(&["push", "-q", "-u", "origin", "main"]);
        repo
    }

    fn work(&self) -> PathBuf {
        self.dir.path().join("work")
    }

    fn store(&self) -> PathBuf {
        self.dir.path().join("store")
    }

    fn git(&self, args: &[&str]) -> String {
        git_at(&self.work(), args)
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.work().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn commit(&self, message: &str) -> String {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "-m", message]);
        self.git(&["rev-parse", "HEAD"])
    }

    fn source(&self) -> Git {
        Git::new(LocalHost::new(), self.work(), &[])
    }

    async fn dirty(&self) -> Vec<String> {
        self.source().git_state().await.unwrap().unwrap().dirty
    }
}

async fn ingest(source: &dyn Source, asked: Option<&str>, store: &Path) -> Ingested {
    let revision = source.resolve(asked).await.unwrap();
    source.ingest(&revision, store).await.unwrap()
}

fn paths(manifest: &[ManifestEntry]) -> Vec<&str> {
    manifest.iter().map(|e| e.path.as_str()).collect()
}

#[tokio::test]
async fn tags_branches_and_commits_resolve_to_the_commit_itself() {
    let repo = Repo::new();
    let first = repo.git(&["rev-parse", "HEAD"]);
    repo.git(&["tag", "-a", "v1", "-m", "an annotated tag"]);
    repo.git(&["tag", "light"]);
    repo.write("b", "x");
    let second = repo.commit("second: does more");
    let source = repo.source();
    let revision = source.resolve(Some("v1")).await.unwrap();
    assert_eq!((revision.commit.as_ref(), revision.asked.as_str()), (Some(&first), "v1"));
    assert_eq!(revision.tags, ["light", "v1"]);
    assert_eq!(revision.subject.as_deref(), Some("first"));
    for asked in [None, Some("main"), Some(second.as_str()), Some(&second[..10])] {
        let revision = source.resolve(asked).await.unwrap();
        assert_eq!((revision.commit.as_ref(), revision.tags.len()), (Some(&second), 0), "{asked:?}");
        assert_eq!(revision.subject.as_deref(), Some("second: does more"));
    }
    assert_eq!(source.resolve(Some("v9")).await.unwrap_err().kind, HostErrorKind::NotFound);
    for bad in ["-x", "--output=/tmp/x", "", "a\nb"] {
        assert_eq!(source.resolve(Some(bad)).await.unwrap_err().kind, HostErrorKind::Other, "{bad:?}");
    }
}

#[tokio::test]
async fn a_host_without_git_is_told_so() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_string_lossy().into_owned();
    let host = LocalHost::new().with_path_of(&path, safelight_engine::text::Text::same("of a test"));
    let error = Git::new(host, dir.path(), &[]).resolve(Some("v1")).await.unwrap_err();
    assert!(error.to_string().contains("git is not installed (or not on the PATH)"), "{error}");
}

#[tokio::test]
async fn a_directory_that_is_no_working_copy_is_an_error_with_gits_own_words() {
    let dir = tempfile::tempdir().unwrap();
    let source = Git::new(LocalHost::new(), dir.path(), &[]);
    let error = source.resolve(None).await.unwrap_err();
    assert!(error.detail.contains("not a git repository"), "{error}");
    assert!(source.git_state().await.is_err());
}

#[tokio::test]
async fn a_clean_copy_is_clean_and_every_kind_of_change_is_found() {
    let repo = Repo::new();
    repo.write("staged", "1");
    repo.write("hidden", "1");
    repo.write("skipped", "1");
    repo.write("a name with spaces ü", "1");
    repo.commit("more");
    let state = repo.source().git_state().await.unwrap().unwrap();
    assert_eq!((state.branch.as_deref(), state.remote.as_deref()), (Some("main"), Some("origin")));
    assert!(state.dirty.is_empty() && !state.shallow && state.in_progress.is_none());
    assert!(state.lfs_pointers.is_empty());

    repo.git(&["config", "status.showUntrackedFiles", "no"]);
    repo.write("new file", "x");
    repo.write("server.js", "changed");
    repo.write("staged", "2");
    repo.git(&["add", "staged"]);
    repo.write("a name with spaces ü", "2");
    assert_eq!(repo.dirty().await, ["a name with spaces ü", "new file", "server.js", "staged"]);
    repo.git(&["stash", "-q", "-u"]);
    assert!(repo.dirty().await.is_empty());

    repo.git(&["update-index", "--assume-unchanged", "hidden"]);
    repo.git(&["update-index", "--skip-worktree", "skipped"]);
    assert!(repo.dirty().await.is_empty(), "hidden files without changes are no changes");
    repo.write("hidden", "2");
    repo.write("skipped", "2");
    assert_eq!(repo.dirty().await, ["hidden", "skipped"]);
    fs::remove_file(repo.work().join("skipped")).unwrap();
    assert_eq!(repo.dirty().await, ["hidden"], "a sparse checkout lacks files");
}

#[tokio::test]
async fn a_detached_head_a_merge_and_cut_off_history_are_told() {
    let repo = Repo::new();
    repo.git(&["checkout", "-q", "-b", "other"]);
    repo.write("server.js", "other");
    repo.commit("other");
    repo.git(&["checkout", "-q", "main"]);
    repo.write("server.js", "main");
    repo.commit("main");
    let merge = Command::new("git").args(["merge", "-q", "other"]).current_dir(repo.work()).output().unwrap();
    assert!(!merge.status.success());
    let state = repo.source().git_state().await.unwrap().unwrap();
    assert_eq!((state.in_progress.as_deref(), state.dirty.len()), (Some("merge"), 1));
    repo.git(&["merge", "--abort"]);
    repo.git(&["checkout", "-q", "--detach"]);
    let state = repo.source().git_state().await.unwrap().unwrap();
    assert_eq!((state.branch, state.in_progress), (None, None));

    let url = format!("file://{}", repo.dir.path().join("remote.git").display());
    repo.git(&["push", "-q", "origin", "main"]);
    git_at(repo.dir.path(), &["clone", "-q", "--depth=1", &url, "cut"]);
    let cut = Git::new(LocalHost::new(), repo.dir.path().join("cut"), &[]);
    assert!(cut.git_state().await.unwrap().unwrap().shallow);
}

#[tokio::test]
async fn the_remote_itself_says_whether_it_has_commit_and_tags() {
    let repo = Repo::new();
    let source = repo.source();
    repo.git(&["tag", "-a", "v1", "-m", "x"]);
    repo.git(&["tag", "local-only"]);
    repo.git(&["push", "-q", "origin", "v1"]);
    let revision = source.resolve(Some("v1")).await.unwrap();
    let state = source.remote_state(&revision).await.unwrap().unwrap();
    assert!(state.has_commit);
    assert_eq!(state.tags, [("local-only".to_owned(), None), ("v1".to_owned(), revision.commit.clone())]);

    repo.write("b", "x");
    repo.commit("not pushed");
    let revision = source.resolve(None).await.unwrap();
    assert!(!source.remote_state(&revision).await.unwrap().unwrap().has_commit);

    // Somebody else pushes on top of it: the commit is there, behind one that is not here.
    repo.git(&["push", "-q", "origin", "main"]);
    git_at(repo.dir.path(), &["clone", "-q", "remote.git", "colleague"]);
    let colleague = repo.dir.path().join("colleague");
    fs::write(colleague.join("c"), "x").unwrap();
    git_at(&colleague, &["add", "-A"]);
    git_at(&colleague, &["commit", "-q", "-m", "on top"]);
    git_at(&colleague, &["push", "-q", "origin", "HEAD:main"]);
    let before = repo.git(&["for-each-ref"]);
    assert!(source.remote_state(&revision).await.unwrap().unwrap().has_commit);
    assert_eq!(repo.git(&["for-each-ref"]), before, "asking changed references");

    // Somebody takes it back by force; what was last fetched still says that it is there.
    git_at(&colleague, &["push", "-q", "-f", "origin", "HEAD~2:main"]);
    assert!(!source.remote_state(&revision).await.unwrap().unwrap().has_commit);

    repo.git(&["remote", "remove", "origin"]);
    assert_eq!(source.remote_state(&revision).await.unwrap(), None);
}

#[tokio::test]
async fn a_remote_that_is_gone_or_silent_is_told_apart() {
    let repo = Repo::new();
    let revision = repo.source().resolve(None).await.unwrap();
    repo.git(&["remote", "set-url", "origin", "../no-such.git"]);
    let error = repo.source().remote_state(&revision).await.unwrap_err();
    assert_eq!(error.kind, HostErrorKind::Unreachable, "{error}");

    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("git://{}/x.git", silent.local_addr().unwrap());
    repo.git(&["remote", "set-url", "origin", &url]);
    let begin = Instant::now();
    let source = repo.source().with_remote_limit(Duration::from_millis(600));
    let error = source.remote_state(&revision).await.unwrap_err();
    assert_eq!(error.kind, HostErrorKind::Timeout, "{error}");
    assert!(begin.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_commit_is_stored_whatever_the_working_copy_holds() {
    let repo = Repo::new();
    repo.write(".gitattributes", "private.txt export-ignore\n*.txt text eol=crlf\n");
    repo.write("private.txt", "kept\n");
    repo.write("docs/x.md", "left out");
    repo.commit("attributes");
    repo.write("server.js", "changed, not committed");
    repo.write("untracked", "x");
    let source = Git::new(LocalHost::new(), repo.work(), &["docs".to_owned()]);
    let got = ingest(&source, None, &repo.store()).await;
    assert_eq!(
        paths(&got.manifest),
        [".gitattributes", "bin/link", "bin/run.sh", "private.txt", "server.js"]
    );
    assert_eq!(got.manifest[1].kind, EntryKind::Link("../server.js".into()));
    assert_eq!(got.manifest[2].kind, EntryKind::Executable);
    assert_eq!((got.new_files, got.total_bytes > got.new_bytes), (4, true));

    let target = repo.dir.path().join("release");
    let store = Store::open(repo.store()).unwrap();
    let made = store.materialise(&got.manifest, &target).unwrap();
    assert_eq!(made.entries, 5);
    assert_eq!(fs::read_to_string(target.join("server.js")).unwrap(), "console.log('one')\n");
    assert_eq!(fs::read(target.join("private.txt")).unwrap(), b"kept\n");
    assert_eq!(fs::read_link(target.join("bin/link")).unwrap(), Path::new("../server.js"));
    let mode = |p: &str| fs::metadata(target.join(p)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("bin/run.sh"), mode("server.js")), (0o755, 0o644));
}

#[tokio::test]
async fn the_same_content_has_the_same_id_and_moves_nothing_twice() {
    let repo = Repo::new();
    let first = ingest(&repo.source(), None, &repo.store()).await;
    let again = ingest(&repo.source(), None, &repo.store()).await;
    assert_eq!((again.content_id.as_str(), again.new_files), (first.content_id.as_str(), 0));
    assert_eq!(again.manifest, first.manifest);
    repo.write("b", "one more\n");
    repo.commit("second");
    let second = ingest(&repo.source(), None, &repo.store()).await;
    assert_eq!((second.new_files, second.new_bytes), (1, 9));
    assert_ne!(second.content_id, first.content_id);
    // A directory with the same files is the same content.
    let dir = Dir::new(repo.work(), &[]);
    assert_eq!(ingest(&dir, None, &repo.store()).await.content_id, second.content_id);
}

#[tokio::test]
async fn a_directory_within_the_repository_can_be_the_release() {
    let repo = Repo::new();
    repo.write("apps/web/index.js", "web");
    repo.write("apps/api/index.js", "api");
    repo.commit("two apps");
    let source = Git::new(LocalHost::new(), repo.work().join("apps/web"), &[]);
    assert_eq!(paths(&ingest(&source, None, &repo.store()).await.manifest), ["index.js"]);
}

#[tokio::test]
async fn submodules_are_included_as_pinned_or_refused() {
    let repo = Repo::new();
    let library = Repo::new();
    let url = library.work().display().to_string();
    repo.git(&["submodule", "--quiet", "add", &url, "lib/it"]);
    repo.commit("with a submodule");
    let got = ingest(&repo.source(), None, &repo.store()).await;
    assert!(paths(&got.manifest).contains(&"lib/it/server.js"), "{:?}", paths(&got.manifest));

    fs::write(repo.work().join("lib/it/server.js"), "changed").unwrap();
    assert_eq!(repo.dirty().await, ["lib/it"]);
    git_at(&repo.work().join("lib/it"), &["checkout", "-q", "."]);
    assert!(repo.dirty().await.is_empty());

    repo.git(&["submodule", "--quiet", "deinit", "-f", "lib/it"]);
    let revision = repo.source().resolve(None).await.unwrap();
    let error = repo.source().ingest(&revision, &repo.store()).await.unwrap_err();
    assert!(error.to_string().contains("git submodule update --init"), "{error}");
}

#[tokio::test]
async fn lfs_pointers_are_found_and_replaced_by_what_was_fetched() {
    let repo = Repo::new();
    let content = "a large picture";
    let oid = "d3f09ae35ad11a2bd0bf0f9f6ec9e14c03ed2ac9cd4f2d0b6b47b1ea4a9b2b3d";
    let sum = Command::new("sh").args(["-c", &format!("printf '{content}' | sha256sum")]).output().unwrap();
    let real = String::from_utf8(sum.stdout).unwrap()[..64].to_owned();
    assert_ne!(real, oid);
    repo.write(".gitattributes", "*.bin filter=lfs -text\n");
    repo.write(
        "picture.bin",
        &format!("version https://git-lfs.github.com/spec/v1\noid sha256:{real}\nsize {}\n", content.len()),
    );
    // As without git-lfs installed: the pointer is committed as it is.
    repo.commit("a picture");
    let state = repo.source().git_state().await.unwrap().unwrap();
    assert_eq!(state.lfs_pointers, ["picture.bin"]);
    let revision = repo.source().resolve(None).await.unwrap();
    let error = repo.source().ingest(&revision, &repo.store()).await.unwrap_err();
    assert!(error.to_string().contains("git lfs fetch"), "{error}");

    let object = repo.work().join(".git/lfs/objects").join(&real[..2]).join(&real[2..4]).join(&real);
    fs::create_dir_all(object.parent().unwrap()).unwrap();
    fs::write(object, content).unwrap();
    let got = repo.source().ingest(&revision, &repo.store()).await.unwrap();
    let entry = got.manifest.iter().find(|e| e.path == "picture.bin").unwrap();
    assert_eq!((entry.sha256.as_str(), entry.size), (real.as_str(), content.len() as u64));
}

#[tokio::test]
async fn links_that_leave_the_release_and_special_files_are_refused() {
    let repo = Repo::new();
    symlink("/etc/passwd", repo.work().join("out")).unwrap();
    repo.commit("a link out");
    let revision = repo.source().resolve(None).await.unwrap();
    let error = repo.source().ingest(&revision, &repo.store()).await.unwrap_err();
    assert!(error.to_string().contains("/etc/passwd"), "{error}");
    let dir = Dir::new(repo.work(), &[]);
    let revision = dir.resolve(None).await.unwrap();
    assert!(dir.ingest(&revision, &repo.store()).await.unwrap_err().to_string().contains("/etc/passwd"));
    fs::remove_file(repo.work().join("out")).unwrap();
    assert!(Command::new("mkfifo").arg(repo.work().join("pipe")).status().unwrap().success());
    assert!(dir.ingest(&revision, &repo.store()).await.unwrap_err().to_string().contains("pipe"));
    let without = Dir::new(repo.work(), &["pipe".to_owned()]);
    assert_eq!(
        paths(&ingest(&without, None, &repo.store()).await.manifest),
        ["bin/link", "bin/run.sh", "server.js"]
    );
}

#[tokio::test]
async fn a_directory_has_no_revisions_and_no_git() {
    let dir = tempfile::tempdir().unwrap();
    let source = Dir::new(dir.path(), &[]);
    assert_eq!(source.resolve(Some("v1")).await.unwrap_err().kind, HostErrorKind::NotFound);
    let revision = source.resolve(None).await.unwrap();
    assert_eq!(revision.commit, None);
    assert_eq!(source.git_state().await.unwrap(), None);
    assert_eq!(source.remote_state(&revision).await.unwrap(), None);
    let gone = Dir::new(dir.path().join("gone"), &[]);
    assert_eq!(gone.resolve(None).await.unwrap_err().kind, HostErrorKind::NotFound);
}

#[tokio::test]
async fn files_that_did_not_change_are_not_read_again() {
    let repo = Repo::new();
    repo.write("a", "first");
    repo.write("b", "other");
    // Old enough to be settled.
    tokio::time::sleep(Duration::from_millis(3100)).await;
    let dir = Dir::new(repo.work(), &[]);
    let first = ingest(&dir, None, &repo.store()).await;
    let sha =
        |got: &Ingested, path: &str| got.manifest.iter().find(|e| e.path == path).unwrap().sha256.clone();
    let (a, b) = (sha(&first, "a"), sha(&first, "b"));
    // What is remembered of `a` is made wrong: only a look into the file itself could tell.
    let cache = fs::read_dir(repo.store().join("cache")).unwrap().next().unwrap().unwrap().path();
    let text = fs::read_to_string(&cache).unwrap();
    assert!(text.contains(&a));
    fs::write(&cache, text.replace(&a, &b)).unwrap();
    let second = ingest(&dir, None, &repo.store()).await;
    assert_eq!((sha(&second, "a"), second.new_files), (b, 0));
    // Same size, other time: it is read.
    repo.write("a", "again");
    let third = ingest(&dir, None, &repo.store()).await;
    assert_eq!(third.new_files, 1);
    assert_ne!(third.content_id, first.content_id);
}

#[tokio::test]
async fn a_full_disk_is_told_and_the_next_try_succeeds() {
    let repo = Repo::new();
    let big = "x".repeat(100_000);
    for i in 0..6 {
        repo.write(&format!("big{i}"), &format!("{i}{big}"));
    }
    repo.commit("big");
    let mount = repo.dir.path().join("small");
    fs::create_dir(&mount).unwrap();
    let tmpfs = |options: &str| {
        Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(&mount).output()
    };
    let mounted = tmpfs("size=400k").unwrap();
    if !mounted.status.success() {
        not_run::not_run(&format!(
            "no right to mount a tmpfs: {}",
            String::from_utf8_lossy(&mounted.stderr).trim()
        ));
        return;
    }
    let revision = repo.source().resolve(None).await.unwrap();
    let error = repo.source().ingest(&revision, &mount).await.unwrap_err();
    let left: Vec<_> = fs::read_dir(mount.join("tmp")).unwrap().collect();
    let grown = Command::new("mount").args(["-o", "remount,size=4m"]).arg(&mount).status().unwrap();
    let second = repo.source().ingest(&revision, &mount).await;
    let made = Store::open(&mount).unwrap().materialise(&second.as_ref().unwrap().manifest, &mount.join("r"));
    Command::new("umount").arg("-l").arg(&mount).status().unwrap();
    assert_eq!(error.kind, HostErrorKind::NoSpace, "{error}");
    assert!(left.is_empty() && grown.success());
    assert_eq!(made.unwrap().entries, 9);
}

#[tokio::test]
async fn a_damaged_stored_file_is_noticed_removed_and_stored_anew() {
    let repo = Repo::new();
    let got = ingest(&repo.source(), None, &repo.store()).await;
    let sha = &got.manifest.iter().find(|e| e.path == "server.js").unwrap().sha256;
    let blob = repo.store().join("blobs").join(&sha[..2]).join(sha);
    let mut bytes = fs::read(&blob).unwrap();
    bytes[0] ^= 1;
    fs::write(&blob, bytes).unwrap();
    let store = Store::open(repo.store()).unwrap();
    let target = repo.dir.path().join("release");
    let error = store.materialise(&got.manifest, &target).unwrap_err();
    assert!(error.to_string().contains("damaged"), "{error}");
    assert!(!target.exists() && !repo.dir.path().join("release.tmp").exists());
    assert_eq!(ingest(&repo.source(), None, &repo.store()).await.new_files, 1);
    store.materialise(&got.manifest, &target).unwrap();
}

#[tokio::test]
async fn an_interrupted_build_is_done_over_and_a_finished_one_left_alone() {
    let repo = Repo::new();
    let got = ingest(&repo.source(), None, &repo.store()).await;
    let store = Store::open(repo.store()).unwrap();
    let target = repo.dir.path().join("release");
    fs::create_dir_all(repo.dir.path().join("release.tmp/bin")).unwrap();
    fs::write(repo.dir.path().join("release.tmp/half"), "x").unwrap();
    assert_eq!(store.materialise(&got.manifest, &target).unwrap().entries, 3);
    assert!(!target.join("half").exists());
    fs::write(target.join("server.js"), "changed by the app").unwrap();
    assert_eq!(store.materialise(&got.manifest, &target).unwrap().entries, 0);
    assert_eq!(fs::read_to_string(target.join("server.js")).unwrap(), "changed by the app");
    let evil = ManifestEntry { path: "../evil".into(), ..got.manifest[0].clone() };
    assert!(store.materialise(&[evil], &repo.dir.path().join("r2")).is_err());
    assert!(!repo.dir.path().join("evil").exists());
}

#[tokio::test]
async fn tidying_keeps_what_kept_releases_name() {
    let repo = Repo::new();
    let first = ingest(&repo.source(), None, &repo.store()).await;
    repo.write("server.js", "two");
    repo.commit("second");
    let second = ingest(&repo.source(), None, &repo.store()).await;
    let store = Store::open(repo.store()).unwrap();
    fs::write(repo.store().join("tmp/1-1"), "left behind").unwrap();
    let freed = store.gc(&[&second.manifest]).unwrap();
    assert_eq!((freed.files, freed.bytes), (2, 19 + 11));
    store.materialise(&second.manifest, &repo.dir.path().join("two")).unwrap();
    assert!(store.materialise(&first.manifest, &repo.dir.path().join("one")).is_err());
    // What was tidied away is stored again when it is needed, whatever the caches say.
    repo.git(&["checkout", "-q", "HEAD~1"]);
    assert_eq!(ingest(&repo.source(), None, &repo.store()).await.new_files, 1);
    store.materialise(&first.manifest, &repo.dir.path().join("one")).unwrap();
}

#[test]
fn dependencies_are_linked_into_the_next_release_until_somebody_writes_into_them() {
    use safelight_drivers::source::deps::{DepsInput, deps_key};
    use std::os::unix::fs::MetadataExt as _;
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path().join("store")).unwrap();
    let lock = [("package-lock.json".to_owned(), b"{}".to_vec())];
    let input = DepsInput { lock_files: &lock, runtime: "v20.20.2", install: "npm ci", env: &[] };
    let key = deps_key(&input);
    assert_ne!(key, deps_key(&DepsInput { runtime: "v22.0.0", ..input.clone() }));
    assert_ne!(key, deps_key(&DepsInput { install: "npm ci --omit=dev", ..input.clone() }));
    assert_ne!(key, deps_key(&DepsInput { lock_files: &[], ..input.clone() }));

    let release = |name: &str| {
        let path = dir.path().join(name);
        fs::create_dir_all(&path).unwrap();
        path
    };
    let one = release("r1");
    fs::create_dir_all(one.join("node_modules/.bin")).unwrap();
    fs::create_dir_all(one.join("node_modules/it")).unwrap();
    fs::write(one.join("node_modules/it/index.js"), "it").unwrap();
    symlink("../it/index.js", one.join("node_modules/.bin/it")).unwrap();
    let dirs = ["node_modules".to_owned(), "vendor".to_owned()];
    assert!(!store.restore_deps(&key, &one).unwrap());
    store.save_deps(&key, &one, &dirs).unwrap();
    store.save_deps(&key, &one, &dirs).unwrap();

    let two = release("r2");
    assert!(store.restore_deps(&key, &two).unwrap());
    assert!(store.restore_deps(&key, &two).unwrap());
    let file = |release: &Path| release.join("node_modules/it/index.js");
    assert_eq!(fs::metadata(file(&one)).unwrap().ino(), fs::metadata(file(&two)).unwrap().ino());
    assert_eq!(fs::read_to_string(two.join("node_modules/.bin/it")).unwrap(), "it");

    // A new file, or one that is replaced, stays in its release.
    fs::write(two.join("node_modules/it/cache"), "x").unwrap();
    let three = release("r3");
    assert!(store.restore_deps(&key, &three).unwrap());
    assert!(!three.join("node_modules/it/cache").exists());

    let mut open = fs::OpenOptions::new().append(true).open(file(&two)).unwrap();
    open.write_all(b" was changed").unwrap();
    assert!(!store.restore_deps(&key, &release("r4")).unwrap(), "changed dependencies were handed out");
    store.save_deps(&key, &three, &dirs).unwrap();
    assert!(store.gc_deps(&[]).unwrap().files >= 1);
    assert!(!store.restore_deps(&key, &release("r5")).unwrap());
    assert!(store.save_deps("../x", &one, &dirs).is_err());
    assert!(store.save_deps(&key, &one, &["../r3".to_owned()]).is_err());
}
