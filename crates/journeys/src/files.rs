//! Reads the files a journey names, and nothing outside of its folder.

use std::path::{Component, Path, PathBuf};

use thiserror::Error;

/// Why a file is not given to a journey.
#[derive(Debug, Error)]
pub(crate) enum FileError {
    #[error("the file {0:?} lies outside of the file root")]
    Outside(String),
    #[error("this journey has no file root, so it can read no file ({0:?})")]
    NoRoot(String),
    #[error("cannot read the file {0:?}: {1}")]
    Read(String, std::io::Error),
    #[error("{0:?} is not a regular file")]
    NotAFile(String),
}

impl FileError {
    pub(crate) fn hint(&self) -> &'static str {
        match self {
            Self::Outside(_) => {
                "put the file below the file root: a journey reads nothing else of this machine"
            }
            Self::NoRoot(_) => "load the journey from a file, or set file_root in the options of the run",
            Self::Read(..) | Self::NotAFile(_) => "paths in a journey are relative to its file root",
        }
    }
}

/// The folder whose files a journey may read.
#[derive(Clone, Debug)]
pub(crate) struct FileRoot(pub(crate) Option<PathBuf>);

impl FileRoot {
    /// The bytes of `name`, a path relative to the root (or absolute and inside of it). Neither `..` nor a
    /// symbolic link leads out. Blocks for as long as the disk takes.
    pub(crate) fn read(&self, name: &str) -> Result<Vec<u8>, FileError> {
        let root = self.0.as_deref().ok_or_else(|| FileError::NoRoot(name.to_owned()))?;
        let failed = |error| FileError::Read(name.to_owned(), error);
        let root = std::path::absolute(root).map_err(failed)?;
        let path = root.join(name);
        // First by name alone, so that the answer does not tell whether a file outside exists.
        if !normalize(&path).starts_with(normalize(&root)) {
            return Err(FileError::Outside(name.to_owned()));
        }
        let real = path.canonicalize().map_err(failed)?;
        if !real.starts_with(root.canonicalize().map_err(failed)?) {
            return Err(FileError::Outside(name.to_owned()));
        }
        // A pipe or a device would block the run for ever.
        if !real.metadata().map_err(failed)?.is_file() {
            return Err(FileError::NotAFile(name.to_owned()));
        }
        std::fs::read(real).map_err(failed)
    }
}

fn normalize(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                out.pop();
            }
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_below_the_root_are_read_and_no_others() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        std::fs::create_dir_all(root.join("sub")).unwrap();
        std::fs::write(root.join("sub/in.txt"), "in").unwrap();
        std::fs::write(dir.path().join("out.txt"), "out").unwrap();
        std::os::unix::fs::symlink(dir.path().join("out.txt"), root.join("link.txt")).unwrap();
        let files = FileRoot(Some(root.clone()));
        assert_eq!(files.read("sub/in.txt").unwrap(), b"in");
        assert_eq!(files.read("sub/../sub/in.txt").unwrap(), b"in");
        assert_eq!(files.read(root.join("sub/in.txt").to_str().unwrap()).unwrap(), b"in");
        for outside in ["../out.txt", "sub/../../out.txt", "/etc/hostname", "link.txt", "../missing.txt"] {
            assert!(matches!(files.read(outside), Err(FileError::Outside(_))), "{outside}");
        }
        assert!(matches!(files.read("missing.txt"), Err(FileError::Read(..))));
        assert!(matches!(files.read("sub"), Err(FileError::NotAFile(_))));
        assert!(matches!(FileRoot(None).read("a"), Err(FileError::NoRoot(_))));
    }
}
