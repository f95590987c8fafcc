//! Blocking work on threads beside the runtime. Dropping a future does not end the work that it began there: whoever gives
//! up on a future can tell that work so, and wait until none of it is left.

use std::{
    cell::RefCell,
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::{
    sync::watch,
    task::{JoinError, spawn_blocking},
};

tokio::task_local! {
    static OF_TASK: Work;
}

thread_local! {
    static OF_THREAD: RefCell<Option<Work>> = const { RefCell::new(None) };
}

/// The blocking work that one future begins.
#[derive(Clone, Debug, Default)]
pub struct Work {
    running: watch::Sender<usize>,
    given_up: Arc<AtomicBool>,
}

impl Work {
    /// Counts the blocking work that `future` begins, until it is dropped or done.
    pub async fn of<F: Future>(&self, future: F) -> F::Output {
        OF_TASK.scope(self.clone(), future).await
    }

    /// Tells the work that nobody wants it any more, and returns when it has ended.
    pub async fn give_up(&self) {
        self.given_up.store(true, Ordering::SeqCst);
        // The sender is this one's own: it is not closed.
        let _ = self.running.subscribe().wait_for(|n| *n == 0).await;
    }
}

/// Counts while it lives.
struct Running(Work);

impl Running {
    fn new(work: Work) -> Self {
        work.running.send_modify(|n| *n += 1);
        Self(work)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.send_modify(|n| *n -= 1);
    }
}

/// Runs blocking work beside the runtime.
///
/// # Errors
/// When it panicked.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, JoinError> {
    let running = OF_TASK.try_with(Work::clone).ok().map(Running::new);
    spawn_blocking(move || {
        // Threads are used again: what the last one said is replaced.
        OF_THREAD.replace(running.as_ref().map(|r| r.0.clone()));
        let result = work();
        OF_THREAD.take();
        drop(running);
        result
    })
    .await
}

/// Asked by long blocking work now and then: has whoever began it given up?
#[must_use]
pub fn given_up() -> bool {
    OF_THREAD.with_borrow(|w| w.as_ref().is_some_and(|w| w.given_up.load(Ordering::SeqCst)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[tokio::test]
    async fn giving_up_ends_the_work_of_a_dropped_future_and_waits_for_it() {
        let work = Work::default();
        let (begun, has_begun) = tokio::sync::oneshot::channel();
        let (ended, has_ended) = mpsc::channel();
        let future = work.of(blocking(move || {
            let _ = begun.send(());
            while !given_up() {
                std::thread::yield_now();
            }
            let _ = ended.send(());
        }));
        tokio::select! {
            _ = future => panic!("it ends only when it is given up"),
            r = has_begun => r.unwrap(),
        }
        assert!(has_ended.try_recv().is_err(), "dropping the future has ended its work");
        work.give_up().await;
        has_ended.try_recv().expect("the work has ended before the wait for it");
    }

    #[tokio::test]
    async fn work_of_others_is_not_given_up_and_not_waited_for() {
        let work = Work::default();
        assert_eq!(work.of(blocking(|| 7)).await.unwrap(), 7);
        work.give_up().await;
        assert!(!blocking(given_up).await.unwrap());
        assert!(work.of(blocking(given_up)).await.unwrap());
    }
}
