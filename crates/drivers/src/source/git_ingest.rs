//! Reading a commit out of git into the store: `ls-tree` for the names, one `cat-file --batch` for the content.
//! Submodules are included at the commit they are pinned to, Git LFS files with the content that was fetched for them.

use super::{
    cache::Cache,
    dir::link_entry,
    git::{Git, LFS_HEAD},
    store::{Filler, Store, check_entry, content_id, io_error},
};
use safelight_engine::driver::{
    host::{HostError, HostErrorKind},
    source::{EntryKind, Ingested, ManifestEntry},
};
use std::{
    fs::{self, File},
    io::{self, BufRead as _, BufReader, Read, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout},
};

/// A pointer file of Git LFS is smaller than this.
const POINTER_MAX: u64 = 1024;

/// A file of a commit.
struct Item {
    mode: String,
    id: String,
    path: String,
}

pub(super) fn ingest(
    git: &Git,
    top: &Path,
    commit: &str,
    below: &str,
    store: &Path,
) -> Result<Ingested, HostError> {
    let store = Store::open(store)?;
    let _lock = store.share()?;
    let mut work = Work {
        git,
        store: &store,
        filler: Filler::new(&store),
        cache: Cache::load(&store.root().join("cache/git.json")),
        manifest: Vec::new(),
    };
    let tree = if below.is_empty() { commit.to_owned() } else { format!("{commit}:{below}") };
    work.tree(top, &tree, below, "")?;
    work.filler.flush()?;
    let Work { mut manifest, cache, filler, .. } = work;
    cache.save();
    manifest.sort();
    Ok(Ingested {
        content_id: content_id(&manifest),
        total_bytes: manifest.iter().map(|e| e.size).sum(),
        new_files: filler.new_files,
        new_bytes: filler.new_bytes,
        manifest,
    })
}

struct Work<'a> {
    git: &'a Git,
    store: &'a Store,
    filler: Filler<'a>,
    cache: Cache,
    manifest: Vec<ManifestEntry>,
}

impl Work<'_> {
    /// Takes `tree` of the repository at `repo`. `within` is where the tree lies in the working copy, `below` where its
    /// files go in the release.
    fn tree(&mut self, repo: &Path, tree: &str, within: &str, below: &str) -> Result<(), HostError> {
        let items = self.list(repo, tree)?;
        let mut objects = Objects::open(self.git, repo)?;
        for item in items {
            let path = join(below, &item.path);
            if self.git.excludes.hit(&path) {
                continue;
            }
            match item.mode.as_str() {
                "160000" => self.submodule(&repo.join(join(within, &item.path)), &item.id, &path)?,
                "120000" => {
                    let target = objects.read(&item.id)?;
                    let target = String::from_utf8(target)
                        .map_err(|_| refuse(&path, "it links to a name that is not UTF-8"))?;
                    self.push(link_entry(path, &target))?;
                }
                mode => {
                    let (sha256, size) = self.content(repo, &mut objects, &item.id, &path)?;
                    let kind = if mode == "100755" { EntryKind::Executable } else { EntryKind::File };
                    self.push(ManifestEntry { path, sha256, size, kind })?;
                }
            }
        }
        Ok(())
    }

    fn push(&mut self, entry: ManifestEntry) -> Result<(), HostError> {
        check_entry(&entry)?;
        self.manifest.push(entry);
        Ok(())
    }

    fn list(&self, repo: &Path, tree: &str) -> Result<Vec<Item>, HostError> {
        let op = format!("git ls-tree in {}", repo.display());
        let output = self
            .git
            .run
            .piped(repo, &["ls-tree", "-r", "-z", "--full-tree", tree])
            .output()
            .map_err(|e| HostError::io(&*op, &e))?;
        if !output.status.success() {
            let detail = format!("{}; is {tree} in this working copy?", output.status);
            return Err(HostError::new(HostErrorKind::NotFound, op, detail));
        }
        output
            .stdout
            .split(|b| *b == 0)
            .filter(|r| !r.is_empty())
            .map(|record| {
                let text = std::str::from_utf8(record).map_err(|_| {
                    refuse(&String::from_utf8_lossy(record), "its name is not UTF-8; rename it")
                })?;
                let (meta, path) = text.split_once('\t').unwrap_or((text, ""));
                let mut fields = meta.split(' ');
                Ok(Item {
                    mode: fields.next().unwrap_or_default().to_owned(),
                    id: fields.nth(1).unwrap_or_default().to_owned(),
                    path: path.to_owned(),
                })
            })
            .collect()
    }

    fn submodule(&mut self, repo: &Path, commit: &str, path: &str) -> Result<(), HostError> {
        if !repo.join(".git").exists() {
            let why =
                "it is a submodule that is not checked out; run `git submodule update --init --recursive`";
            return Err(refuse(path, why));
        }
        self.tree(repo, commit, "", path).map_err(|e| match e.kind {
            HostErrorKind::NotFound => refuse(
                path,
                &format!("submodule: {}; run `git submodule update --init --recursive`", e.detail),
            ),
            _ => e,
        })
    }

    fn content(
        &mut self,
        repo: &Path,
        objects: &mut Objects,
        id: &str,
        path: &str,
    ) -> Result<(String, u64), HostError> {
        if let Some((sha256, size)) =
            self.cache.get(id).filter(|(sha, size)| self.store.has(sha, *size)).cloned()
        {
            self.cache.note(id.to_owned(), &sha256, size);
            return Ok((sha256, size));
        }
        let size = objects.ask(id)?;
        let (sha256, size) = if size <= POINTER_MAX {
            let bytes = objects.rest(size)?;
            match lfs_object(&bytes) {
                Some(oid) => {
                    let object = self.lfs_file(repo, &oid).ok_or_else(|| {
                        refuse(path, "it is in Git LFS and its content was not fetched; run `git lfs fetch`")
                    })?;
                    let mut file = File::open(&object).map_err(|e| io_error("read", &object, &e))?;
                    let (sha256, size) = self.filler.put(&mut file)?;
                    if sha256 != oid {
                        return Err(refuse(path, "its content in .git/lfs is damaged; run `git lfs fsck`"));
                    }
                    (sha256, size)
                }
                None => self.filler.put(&mut bytes.as_slice())?,
            }
        } else {
            let mut body = (&mut objects.from).take(size);
            let stored = self.filler.put(&mut body)?;
            if body.limit() != 0 {
                return Err(objects.broken());
            }
            objects.end()?;
            stored
        };
        self.cache.note(id.to_owned(), &sha256, size);
        Ok((sha256, size))
    }

    fn lfs_file(&self, repo: &Path, oid: &str) -> Option<PathBuf> {
        let output = self
            .git
            .run
            .piped(repo, &["rev-parse", "--path-format=absolute", "--git-common-dir"])
            .output()
            .ok()?;
        let dir = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim_end());
        let file = dir.join("lfs/objects").join(&oid[..2]).join(&oid[2..4]).join(oid);
        fs::metadata(&file).ok().filter(fs::Metadata::is_file)?;
        Some(file)
    }
}

/// The object that a Git LFS pointer names; `None` for any other content.
fn lfs_object(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?;
    if !text.starts_with(LFS_HEAD) {
        return None;
    }
    let oid = text.lines().find_map(|l| l.strip_prefix("oid sha256:"))?;
    (oid.len() == 64 && oid.bytes().all(|b| b.is_ascii_hexdigit())).then(|| oid.to_owned())
}

/// A `git cat-file --batch` that is asked for one object after the other.
struct Objects {
    child: Child,
    to: Option<ChildStdin>,
    from: BufReader<ChildStdout>,
    repo: PathBuf,
}

impl Objects {
    fn open(git: &Git, repo: &Path) -> Result<Self, HostError> {
        let op = format!("git cat-file in {}", repo.display());
        let mut child =
            git.run.piped(repo, &["cat-file", "--batch"]).spawn().map_err(|e| HostError::io(&*op, &e))?;
        let to = child.stdin.take();
        let Some(from) = child.stdout.take() else {
            return Err(HostError::new(HostErrorKind::Other, op, "its output could not be captured"));
        };
        Ok(Self { child, to, from: BufReader::with_capacity(128 << 10, from), repo: repo.to_owned() })
    }

    fn broken(&self) -> HostError {
        HostError::new(
            HostErrorKind::Other,
            format!("git cat-file in {}", self.repo.display()),
            "it ended early; is the repository sound? `git fsck` tells",
        )
    }

    /// Asks for an object; its content comes next. Returns its size.
    fn ask(&mut self, id: &str) -> Result<u64, HostError> {
        let mut line = String::new();
        let talk = |this: &mut Self, line: &mut String| -> io::Result<()> {
            let to = this.to.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
            to.write_all(format!("{id}\n").as_bytes())?;
            this.from.read_line(line)?;
            Ok(())
        };
        talk(self, &mut line).map_err(|_| self.broken())?;
        line.split_whitespace().nth(2).and_then(|n| n.parse().ok()).ok_or_else(|| {
            HostError::new(
                HostErrorKind::NotFound,
                format!("read the object {id} of {}", self.repo.display()),
                format!("git says: {}; a partial clone lacks it, `git fetch` gets it", line.trim()),
            )
        })
    }

    fn rest(&mut self, size: u64) -> Result<Vec<u8>, HostError> {
        let mut bytes = Vec::new();
        let n = (&mut self.from).take(size).read_to_end(&mut bytes).map_err(|_| self.broken())?;
        if n as u64 != size {
            return Err(self.broken());
        }
        self.end()?;
        Ok(bytes)
    }

    fn read(&mut self, id: &str) -> Result<Vec<u8>, HostError> {
        let size = self.ask(id)?;
        self.rest(size)
    }

    /// The line end after each object.
    fn end(&mut self) -> Result<(), HostError> {
        let mut byte = [0];
        self.from.read_exact(&mut byte).map_err(|_| self.broken())
    }
}

impl Drop for Objects {
    fn drop(&mut self) {
        // It ends when its input does; the kill is for one that was left in the middle of an object.
        self.to.take();
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn join(a: &str, b: &str) -> String {
    if a.is_empty() { b.to_owned() } else { format!("{a}/{b}") }
}

fn refuse(path: &str, why: &str) -> HostError {
    HostError::new(HostErrorKind::Other, format!("take {path} into a release"), why)
}
