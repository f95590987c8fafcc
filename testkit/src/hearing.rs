//! A listener who measures how long a command is silent: each line of both its outputs, with the moment it came.

use crate::{
    bed::{Bed, PATIENCE},
    command::Said,
    processes,
};
use rustix::process::Signal;
use std::{
    io::{BufRead as _, BufReader, Read},
    process::{Child, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
    time::{Duration, Instant},
};

type Lines = Arc<Mutex<Vec<(Instant, String)>>>;

/// A command that is listened to.
pub struct Hearing {
    child: Child,
    began: Instant,
    out: Lines,
    err: Lines,
    readers: Vec<JoinHandle<()>>,
}

/// What was heard of one that has ended.
pub struct Heard {
    /// Its code and words.
    pub said: Said,
    began: Instant,
    ended: Instant,
    out: Vec<(Instant, String)>,
    err: Vec<(Instant, String)>,
}

fn read(from: impl Read + Send + 'static, to: &Lines) -> JoinHandle<()> {
    let to = to.clone();
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            to.lock().unwrap_or_else(PoisonError::into_inner).push((Instant::now(), line));
        }
    })
}

fn so_far(lines: &Lines) -> Vec<(Instant, String)> {
    lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

fn text(lines: &[(Instant, String)]) -> String {
    lines.iter().map(|(_, l)| format!("{l}\n")).collect()
}

impl Hearing {
    /// Starts `safelight` with these arguments.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn of(bed: &Bed, args: &[&str]) -> Self {
        let mut command = bed.command(args);
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("safelight starts");
        let (out, err) = (Lines::default(), Lines::default());
        let readers = vec![
            read(child.stdout.take().expect("a pipe"), &out),
            read(child.stderr.take().expect("a pipe"), &err),
        ];
        Self { child, began: Instant::now(), out, err, readers }
    }

    /// Everything so far.
    #[must_use]
    pub fn so_far(&self) -> String {
        format!("{}{}", text(&so_far(&self.out)), text(&so_far(&self.err)))
    }

    /// Waits until its run has come to a point.
    ///
    /// # Panics
    /// When it never does.
    #[track_caller]
    pub fn comes_to(&mut self, bed: &Bed, point: &str) {
        let until = Instant::now() + PATIENCE;
        while !bed.points().iter().any(|p| p == point) {
            assert!(Instant::now() < until, "the run never came to {point}; it said:\n{}", self.so_far());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it does not come.
    #[track_caller]
    pub fn end(mut self) -> Heard {
        let until = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("its state") {
                break status;
            }
            assert!(Instant::now() < until, "it does not end; it said:\n{}", self.so_far());
            std::thread::sleep(Duration::from_millis(5));
        };
        let ended = Instant::now();
        for reader in std::mem::take(&mut self.readers) {
            reader.join().expect("the reader");
        }
        let (out, err) = (so_far(&self.out), so_far(&self.err));
        let said = Said { code: status.code(), out: text(&out), err: text(&err) };
        Heard { said, began: self.began, ended, out, err }
    }
}

impl Drop for Hearing {
    fn drop(&mut self) {
        // One that has ended is not there any more.
        processes::kill(self.child.id(), Signal::KILL);
        let _ = self.child.wait();
    }
}

impl Heard {
    /// The longest time without a line on either output, and the lines before it.
    #[must_use]
    pub fn longest_silence(&self) -> (Duration, String) {
        let mut all = [self.out.clone(), self.err.clone()].concat();
        all.sort_by_key(|(at, _)| *at);
        self.longest(self.began, &all)
    }

    /// The same on standard output alone, from its first line on: for programs that read events.
    #[must_use]
    pub fn longest_silence_of_events(&self) -> (Duration, String) {
        let first = self.out.first().map_or(self.began, |(at, _)| *at);
        self.longest(first, &self.out)
    }

    fn longest(&self, began: Instant, lines: &[(Instant, String)]) -> (Duration, String) {
        let mut last = (began, "(its start)".to_owned());
        let mut longest = (Duration::ZERO, String::new());
        for (at, line) in lines.iter().chain([&(self.ended, "(its end)".to_owned())]) {
            let gap = at.saturating_duration_since(last.0);
            if gap > longest.0 {
                longest = (gap, format!("after `{}`, before `{line}`", last.1));
            }
            last = (*at, line.clone());
        }
        longest
    }
}
