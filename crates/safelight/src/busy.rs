//! A word every second or two while a command is at work: nothing is silent for more than two seconds.
//! On a thread of its own, so that work which blocks does not silence it.

use crate::output::Output;
use safelight_engine::text::Text;
use std::{
    sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// After this long without a word one is due: early enough that a machine under load is not silent for two seconds.
pub(crate) const QUIET: Duration = Duration::from_millis(1400);

/// How often that is looked at.
pub(crate) const BEAT: Duration = Duration::from_millis(100);

/// Says what a command is at, until it is dropped.
pub(crate) struct Busy {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Busy {
    /// Begins to say `doing` whenever nothing else was said for a while.
    pub(crate) fn with(out: &Output, doing: &Text) -> Self {
        let (stop, stopped) = channel();
        let (voice, doing) = (out.voice(), out.t(doing).to_owned());
        let unit = out.t(&Text::new("s", "秒")).to_owned();
        let speak = move || {
            let began = Instant::now();
            while goes_on(&stopped) {
                if voice.quiet() >= QUIET {
                    voice.say(&format!("  … {doing} ({} {unit})", began.elapsed().as_secs()));
                }
            }
        };
        // Without a thread the command is silent, and does its work all the same.
        let thread = std::thread::Builder::new().name("busy".to_owned()).spawn(speak).ok();
        Self { stop: Some(stop), thread }
    }
}

fn goes_on(stopped: &Receiver<()>) -> bool {
    matches!(stopped.recv_timeout(BEAT), Err(RecvTimeoutError::Timeout))
}

impl Drop for Busy {
    fn drop(&mut self) {
        // The thread wakes up by it.
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
