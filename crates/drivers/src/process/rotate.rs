//! Keeping a log file small while an app writes to it, without losing a line.
//!
//! The app holds the file itself, opened for appending, so that it goes on logging when the shim is killed; a pipe
//! through the shim would break then. A file held by somebody else cannot be renamed away, so its head is copied and
//! then cut out in one step with `FALLOC_FL_COLLAPSE_RANGE`: bytes are appended before or after the cut, never lost.
//! Where the file system cannot do that (tmpfs, btrfs, NFS) the file is copied and truncated instead; a line written in
//! the microseconds between the last look and the cut can be lost there.

use rustix::{
    fs::{FallocateFlags, fallocate},
    io::Errno,
};
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, File},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

/// How much one log file and its older pieces may take. Each process has two, stdout and stderr.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLimits {
    /// Bytes at which the file is rotated. Checked once a second, so a burst may exceed it.
    pub max_bytes: u64,
    /// Older pieces kept beside it: `x.log.1` is the newest.
    pub keep: u32,
    /// Bytes for all older pieces together; the oldest go first.
    pub total_bytes: u64,
}

impl Default for LogLimits {
    /// 20 MB a file, four older pieces, 80 MB for these.
    fn default() -> Self {
        Self { max_bytes: 20_000_000, keep: 4, total_bytes: 80_000_000 }
    }
}

fn piece(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

/// Rotates `path` when it is larger than its limit. True when it did.
///
/// # Errors
/// When it cannot be read, copied or cut.
pub fn rotate(path: &Path, limits: &LogLimits) -> io::Result<bool> {
    let size = match fs::metadata(path) {
        Ok(meta) => meta.size(),
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(e) => return Err(e),
    };
    if size <= limits.max_bytes {
        return Ok(false);
    }
    let mut file = fs::OpenOptions::new().read(true).write(true).open(path)?;
    let block = file.metadata()?.blksize().max(4096);
    // The cut must leave something: the end of the file cannot be collapsed.
    let cut = (size - 1) / block * block;
    let temp = piece(path, 0);
    if let Err(e) = copy_head(&mut file, &temp, cut) {
        let _ = fs::remove_file(&temp);
        if e.kind() == io::ErrorKind::StorageFull {
            // The disk is full, perhaps of our own pieces: give these up, the app needs the room more.
            for number in 1..=limits.keep {
                let _ = fs::remove_file(piece(path, number));
            }
        }
        return Err(e);
    }
    // Named first and cut after: a crash in between doubles lines, the other order would lose them.
    let _ = fs::remove_file(piece(path, limits.keep.max(1)));
    for number in (0..limits.keep.max(1)).rev() {
        match fs::rename(piece(path, number), piece(path, number + 1)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
    }
    if cut == 0 || !collapse(&file, cut)? {
        copy_rest_and_truncate(&mut file, &piece(path, 1), cut)?;
    }
    prune(path, limits);
    Ok(true)
}

/// Removes the oldest pieces beyond the count and the total size.
fn prune(path: &Path, limits: &LogLimits) {
    let mut total = 0;
    for number in 1..=limits.keep.max(1) {
        let piece = piece(path, number);
        let Ok(meta) = fs::metadata(&piece) else { continue };
        total += meta.size();
        if number > limits.keep || total > limits.total_bytes {
            let _ = fs::remove_file(&piece);
        }
    }
}

fn copy_head(file: &mut File, to: &Path, bytes: u64) -> io::Result<()> {
    let mut target = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o640).open(to)?;
    file.seek(SeekFrom::Start(0))?;
    io::copy(&mut file.take(bytes), &mut target)?;
    Ok(())
}

/// Cuts the head out in one step; false when this file system cannot.
fn collapse(file: &File, bytes: u64) -> io::Result<bool> {
    match fallocate(file, FallocateFlags::COLLAPSE_RANGE, 0, bytes) {
        Ok(()) => Ok(true),
        Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => Ok(false),
        Err(e) => Err(e.into()),
    }
}

fn copy_rest_and_truncate(file: &mut File, to: &Path, from: u64) -> io::Result<()> {
    let mut target = fs::OpenOptions::new().append(true).open(to)?;
    file.seek(SeekFrom::Start(from))?;
    let mut chunk = vec![0; 256 << 10];
    loop {
        let n = file.read(&mut chunk)?;
        if n == 0 {
            break;
        }
        target.write_all(&chunk[..n])?;
    }
    file.set_len(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(max_bytes: u64, keep: u32, total_bytes: u64) -> LogLimits {
        LogLimits { max_bytes, keep, total_bytes }
    }

    #[test]
    fn no_line_is_lost_or_doubled_while_a_writer_appends() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.log");
        let writer = std::thread::spawn({
            let mut file = fs::OpenOptions::new().create(true).append(true).open(&path).unwrap();
            move || {
                for i in 0..60_000 {
                    file.write_all(format!("line {i}\n").as_bytes()).unwrap();
                }
            }
        });
        let mut rotations = 0;
        while !writer.is_finished() {
            rotations += u32::from(rotate(&path, &limits(64 << 10, 100, u64::MAX)).unwrap());
        }
        writer.join().unwrap();
        assert!(rotations >= 2, "{rotations} rotations");
        let file = File::open(&path).unwrap();
        let atomic = fallocate(&file, FallocateFlags::COLLAPSE_RANGE, 0, 0) != Err(Errno::OPNOTSUPP);
        let mut all = String::new();
        for number in (1..=100).rev() {
            all += &fs::read_to_string(piece(&path, number)).unwrap_or_default();
        }
        all += &fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = all.lines().collect();
        // Where the cut is not one step, all that is promised is that nearly nothing is lost.
        let least = if atomic { 60_000 } else { 59_000 };
        assert!((least..=60_000).contains(&lines.len()), "{} lines, atomic: {atomic}", lines.len());
        if atomic {
            for (i, line) in lines.iter().enumerate() {
                assert_eq!(*line, format!("line {i}"));
            }
        }
    }

    #[test]
    fn old_pieces_are_kept_up_to_count_and_total_size() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.log");
        for round in 0..6 {
            let mut file = fs::OpenOptions::new().create(true).append(true).open(&path).unwrap();
            file.write_all(format!("round {round}\n").repeat(2000).as_bytes()).unwrap();
            assert!(rotate(&path, &limits(10_000, 3, u64::MAX)).unwrap());
        }
        assert!(piece(&path, 1).exists() && piece(&path, 3).exists());
        assert!(!piece(&path, 4).exists() && !piece(&path, 0).exists());
        assert!(fs::read_to_string(piece(&path, 1)).unwrap().contains("round 5"));

        let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(&[b'x'; 20_000]).unwrap();
        assert!(rotate(&path, &limits(10_000, 3, 30_000)).unwrap());
        let kept: u64 = (1..=3).filter_map(|n| fs::metadata(piece(&path, n)).ok()).map(|m| m.size()).sum();
        assert!(kept <= 30_000, "{kept} bytes");
    }

    #[test]
    fn a_small_file_and_a_missing_one_are_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.log");
        assert!(!rotate(&path, &LogLimits::default()).unwrap());
        fs::write(&path, "one line\n").unwrap();
        assert!(!rotate(&path, &LogLimits::default()).unwrap());
        assert_eq!(fs::read_to_string(&path).unwrap(), "one line\n");
    }
}
