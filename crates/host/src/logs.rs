//! Reading log files while somebody writes and rotates them.

use serde::{Deserialize, Serialize};
use std::{
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom},
    os::unix::fs::MetadataExt as _,
    path::Path,
};

/// At most this much is read of one file in one go; a flood of logs must not stop the watch.
const MOST: u64 = 4 * 1024 * 1024;

/// The last `bytes` of a file as text.
///
/// # Errors
/// When it cannot be read.
pub fn tail(path: &Path, bytes: u64) -> io::Result<String> {
    let mut f = File::open(path)?;
    let len = f.metadata()?.len();
    f.seek(SeekFrom::Start(len.saturating_sub(bytes)))?;
    let mut buf = Vec::new();
    f.take(bytes).read_to_end(&mut buf)?;
    Ok(String::from_utf8_lossy(&buf).into_owned())
}

/// The last lines of a program that tell something, at most `most`: of a trace of calls only where it begins, and no
/// empty ones. The line that names an error stands above such a trace, and would be cut off with it.
#[must_use]
pub fn telling(text: &str, most: usize) -> Vec<&str> {
    let mut kept: Vec<&str> = Vec::new();
    let mut in_a_trace = false;
    for line in text.lines().filter(|l| !l.trim().is_empty()) {
        let frame = line.trim_start().starts_with("at ") && line.starts_with(char::is_whitespace)
            || line.trim_start().starts_with("node:internal");
        if !(frame && in_a_trace) {
            kept.push(line);
        }
        in_a_trace = frame;
    }
    kept.split_off(kept.len().saturating_sub(most))
}

/// Where a reader is in a file that grows and is rotated.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Follower {
    inode: u64,
    offset: u64,
}

impl Follower {
    /// Begins at the end of the file as it is now.
    #[must_use]
    pub fn at_end(path: &Path) -> Self {
        std::fs::metadata(path).map_or_else(|_| Self::default(), |m| Self { inode: m.ino(), offset: m.len() })
    }

    /// Whole lines written since. A file that was replaced or became shorter is read from its start; one that is not
    /// there holds none.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn new_lines(&mut self, path: &Path) -> io::Result<Vec<String>> {
        let mut f = match File::open(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            f => f?,
        };
        let meta = f.metadata()?;
        if meta.ino() != self.inode || meta.len() < self.offset {
            *self = Self { inode: meta.ino(), offset: 0 };
        }
        // Far behind: the newest part is what matters.
        self.offset = self.offset.max(meta.len().saturating_sub(MOST));
        let mut buf = Vec::new();
        f.seek(SeekFrom::Start(self.offset))?;
        f.take(MOST).read_to_end(&mut buf)?;
        // The last line may still be being written; it is read whole the next time.
        let Some(end) = buf.iter().rposition(|b| *b == b'\n') else { return Ok(Vec::new()) };
        self.offset += end as u64 + 1;
        Ok(String::from_utf8_lossy(&buf[..end]).lines().map(str::to_owned).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_that_names_an_error_is_not_cut_off_by_the_trace_below_it() {
        let trace = "    at wrapSafe (node:internal/modules/cjs/loader:1464:18)\n".repeat(40);
        let text = format!(
            "listening\n/srv/app.js:1\nx = y z\n      ^\n\nSyntaxError: Unexpected identifier 'z'\n{trace}\nNode.js v22.1.0\n"
        );
        let shown = telling(&text, 6);
        assert_eq!(shown[0], "/srv/app.js:1", "{shown:#?}");
        assert!(shown[3].starts_with("SyntaxError") && shown[4].contains("wrapSafe"), "{shown:#?}");
        assert_eq!(shown[5..], ["Node.js v22.1.0"]);
        assert_eq!(
            telling("at noon all is well\nat one, too", 10).len(),
            2,
            "no frames: nothing is indented"
        );
        assert!(telling("", 3).is_empty());
    }
    use std::io::Write as _;

    #[test]
    fn only_whole_new_lines_come_and_rotation_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out.log");
        std::fs::write(&path, "old\n").unwrap();
        let mut f = Follower::at_end(&path);
        let mut w = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
        write!(w, "one\ntw").unwrap();
        assert_eq!(f.new_lines(&path).unwrap(), ["one"]);
        writeln!(w, "o").unwrap();
        assert_eq!(f.new_lines(&path).unwrap(), ["two"]);
        std::fs::rename(&path, dir.path().join("out.log.1")).unwrap();
        std::fs::write(&path, "fresh\n").unwrap();
        assert_eq!(f.new_lines(&path).unwrap(), ["fresh"]);
        std::fs::write(&path, "x\n").unwrap();
        assert_eq!(f.new_lines(&path).unwrap(), ["x"], "copied and truncated");
        let nowhere = Path::new("/nonexistent");
        assert!(Follower::at_end(nowhere).new_lines(nowhere).unwrap().is_empty());
        assert!(f.new_lines(dir.path()).is_err(), "what cannot be read is not silent");
    }
}
