//! Room on the disk that is kept back for the journal: a file that is given up when a journal line finds no room, so that
//! a run can still be watched and undone on a full disk, and made again when there is room to spare.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

/// Its size: some hundred journal lines with what SQLite writes beside them, the proxy's route table, records of
/// processes.
pub(crate) const BYTES: u64 = 4 << 20;
/// It is made only where this many times its size is free: it must not be what fills the disk.
const SPARE: u64 = 4;

/// The file, there or not.
pub(crate) struct Reserve(PathBuf);

impl Reserve {
    /// In the directory of `database`.
    pub(crate) fn beside(database: &Path) -> Self {
        Self(database.with_file_name("reserve"))
    }

    /// Makes it where it is not there and there is room to spare. True when it is there.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(crate) fn make(&self) -> io::Result<bool> {
        if fs::metadata(&self.0).is_ok_and(|m| m.len() == BYTES) {
            return Ok(true);
        }
        let dir = self.0.parent().unwrap_or(Path::new("."));
        let there = rustix::fs::statvfs(dir)?;
        if there.f_bavail * there.f_frsize < SPARE * BYTES {
            return Ok(false);
        }
        let temp = self.0.with_extension("tmp");
        let write = || {
            let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&temp)?;
            // Written, not only allocated: not every file system can do that, and some count it late.
            let zeros = vec![0; 64 << 10];
            for _ in 0..BYTES / (64 << 10) {
                file.write_all(&zeros)?;
            }
            file.sync_all()?;
            fs::rename(&temp, &self.0)
        };
        write().map(|()| true).inspect_err(|_| {
            let _ = fs::remove_file(&temp);
        })
    }

    /// Gives the room back to the disk. False when there was none to give.
    pub(crate) fn free(&self) -> bool {
        fs::remove_file(&self.0).is_ok()
    }
}
