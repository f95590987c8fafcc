//! A command line under test: what came of one that has ended, and one that still runs.

use crate::{
    bed::{Bed, PATIENCE},
    processes,
};
use rustix::process::Signal;
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Output},
    time::{Duration, Instant},
};

/// What came of a command.
#[derive(Debug)]
pub struct Said {
    /// Its exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Said {
    /// # Panics
    /// When the command ended with another code.
    #[track_caller]
    pub fn ended(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "standard output:\n{}\nstandard error:\n{}", self.out, self.err);
        self
    }

    /// # Panics
    /// When one of the words is not in what it said.
    #[track_caller]
    pub fn says(self, words: &[&str]) -> Self {
        for w in words {
            assert!(
                self.err.contains(w) || self.out.contains(w),
                "`{w}` is missing in:\n{}\n{}",
                self.out,
                self.err
            );
        }
        self
    }

    /// Was there no run to finish: none was open, or it had ended?
    #[must_use]
    pub fn found_no_open_run(&self) -> bool {
        self.code == Some(2) && (self.err.contains("is open") || self.err.contains("has ended"))
    }

    /// The JSON lines of standard output.
    #[must_use]
    pub fn json(&self) -> Vec<Value> {
        self.out.lines().filter_map(|l| serde_json::from_str(l).ok()).collect()
    }
}

impl From<Output> for Said {
    fn from(o: Output) -> Self {
        let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
        Self { code: o.status.code(), out: text(&o.stdout), err: text(&o.stderr) }
    }
}

/// A command that runs.
pub struct Background {
    pub(crate) child: Child,
    pub(crate) out: PathBuf,
    pub(crate) err: PathBuf,
}

impl Background {
    /// Kills it with SIGKILL.
    pub fn kill(&mut self) {
        // One that has ended already has its code read elsewhere.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Waits until its run has come to a point.
    ///
    /// # Panics
    /// When the command ends before, or the run never comes there.
    #[track_caller]
    pub fn comes_to(&mut self, bed: &Bed, point: &str) {
        let until = Instant::now() + PATIENCE;
        while !bed.points().iter().any(|p| p == point) {
            let ended = matches!(self.child.try_wait(), Ok(Some(_)));
            let late = Instant::now() >= until;
            assert!(
                !ended && !late,
                "the run never came to {point}; it said:\n{}\n{}",
                self.so_far(),
                bed.host_log()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// What Ctrl-C does, once the command listens for it: before, it would just end.
    ///
    /// # Panics
    /// When it never listens.
    #[track_caller]
    pub fn interrupt(&self) {
        let until = Instant::now() + PATIENCE;
        while !processes::catches(self.child.id(), Signal::INT) {
            assert!(Instant::now() < until, "it does not listen for Ctrl-C; it said:\n{}", self.so_far());
            std::thread::sleep(Duration::from_millis(5));
        }
        processes::kill(self.child.id(), Signal::INT);
    }

    /// What it has said so far.
    #[must_use]
    pub fn so_far(&self) -> String {
        fs::read_to_string(&self.err).unwrap_or_default()
    }

    /// The JSON lines of standard output so far.
    #[must_use]
    pub fn events(&self) -> Vec<Value> {
        let text = fs::read_to_string(&self.out).unwrap_or_default();
        text.lines().filter_map(|l| serde_json::from_str(l).ok()).collect()
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it does not come.
    #[track_caller]
    pub fn end(&mut self) -> Said {
        let until = Instant::now() + PATIENCE;
        let read = |p: &Path| fs::read_to_string(p).unwrap_or_default();
        loop {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Said { code: status.code(), out: read(&self.out), err: read(&self.err) };
            }
            assert!(Instant::now() < until, "it does not end; it said:\n{}", self.so_far());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.kill();
    }
}
