//! Databases that an app has made in the directory of its release. The next release does not have them: for users their
//! data is gone, and some deploys later it is gone for good.

use std::{
    fs::{self, File},
    io::Read as _,
    path::{Path, PathBuf},
    time::SystemTime,
};

/// What every SQLite database begins with.
const SQLITE: &[u8; 16] = b"SQLite format 3\0";
/// Longest search: a release of more files than this is searched in part.
const MOST_FILES: usize = 50_000;
/// More than these are not named.
const MOST_FOUND: usize = 5;

/// SQLite databases below `release`, relative to it, that were written after `staged`. Links, which lead to what releases
/// share, are not followed, nor are installed dependencies.
pub(crate) fn databases(release: &Path, staged: SystemTime) -> Vec<PathBuf> {
    let (mut found, mut left, mut seen) = (Vec::new(), vec![release.to_path_buf()], 0);
    'search: while let Some(dir) = left.pop() {
        for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
            seen += 1;
            if seen > MOST_FILES || found.len() >= MOST_FOUND {
                break 'search;
            }
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() && entry.file_name() != "node_modules" {
                left.push(entry.path());
            }
            let newer = || entry.metadata().and_then(|m| m.modified()).is_ok_and(|at| at > staged);
            if kind.is_file() && newer() && is_sqlite(&entry.path()) {
                found.extend(entry.path().strip_prefix(release).map(Path::to_path_buf));
            }
        }
    }
    found.sort();
    found
}

fn is_sqlite(file: &Path) -> bool {
    let mut head = [0; 16];
    File::open(file).and_then(|mut f| f.read_exact(&mut head)).is_ok() && &head == SQLITE
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn only_databases_that_were_written_since_and_are_the_releases_own_are_found() {
        let dir = tempfile::tempdir().unwrap();
        let release = dir.path().join("r1");
        for sub in ["data", "node_modules"] {
            fs::create_dir_all(release.join(sub)).unwrap();
        }
        let write = |name: &str, head: &[u8], age_s: u64| {
            let path = release.join(name);
            fs::write(&path, head).unwrap();
            let at = SystemTime::now() - Duration::from_secs(age_s);
            File::options().write(true).open(path).unwrap().set_modified(at).unwrap();
        };
        let staged = SystemTime::now() - Duration::from_secs(60);
        write("seed.db", SQLITE, 90);
        write("data/app.db", SQLITE, 5);
        write("guests", SQLITE, 5);
        write("app.log", b"SQLite format 4, a log line", 5);
        write("node_modules/cache.db", SQLITE, 5);
        std::os::unix::fs::symlink(dir.path().join("shared.db"), release.join("shared.db")).unwrap();
        fs::write(dir.path().join("shared.db"), SQLITE).unwrap();
        assert_eq!(databases(&release, staged), [Path::new("data/app.db"), Path::new("guests")]);
        assert!(databases(&dir.path().join("none"), staged).is_empty());
    }
}
