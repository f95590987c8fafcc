//! Lets requests of one service wait while its process is restarted in place, and lets them go in the
//! order in which they came. It must not know what a request is.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::lock;

/// Terms of a hold.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms {
    pub(crate) max_wait: Duration,
    pub(crate) queue_cap: usize,
    pub(crate) since: Instant,
    pub(crate) since_unix_ms: u64,
    /// Tells one hold from the next, so that an old lease does not end a new hold.
    pub(crate) id: u64,
}

#[derive(Default)]
struct Queue {
    terms: Option<Terms>,
    waiting: VecDeque<(u64, oneshot::Sender<()>)>,
    next: u64,
    /// A released request is on its way through; the next one goes when it is through.
    passing: bool,
}

/// The gate of one service; it outlives changes of the table.
#[derive(Default)]
pub(crate) struct Gate {
    queue: Mutex<Queue>,
    /// Whether a request has to queue: a copy of the queue's state that costs no lock to read.
    closed: AtomicBool,
}

/// Why a request was not let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    QueueFull,
    TooLong,
}

/// Held by a released request until it has claimed its target; the next one goes when it is dropped.
#[must_use]
pub(crate) struct Pass(Option<Arc<Gate>>);

impl Gate {
    /// Whether a request has to call [`Gate::wait`]: one whose turn has come only when a new hold began.
    pub(crate) fn stops(&self, has_pass: bool) -> bool {
        self.closed.load(Ordering::Acquire) && !(has_pass && lock(&self.queue).terms.is_none())
    }

    /// Closes the gate. Those that already wait stay, under the new terms for newcomers.
    pub(crate) fn hold(&self, terms: Terms) {
        let mut queue = lock(&self.queue);
        queue.terms = Some(terms);
        self.closed.store(true, Ordering::Release);
    }

    /// Opens the gate: one request after the other, in order. Returns how many waited and the terms.
    pub(crate) fn release(self: &Arc<Self>, only: Option<u64>) -> Option<(u64, Terms)> {
        let mut queue = lock(&self.queue);
        if only.is_some_and(|id| queue.terms.is_none_or(|t| t.id != id)) {
            return None;
        }
        let terms = queue.terms.take()?;
        let waiting = queue.waiting.len() as u64;
        if !queue.passing {
            self.next(&mut queue);
        }
        Some((waiting, terms))
    }

    /// The terms and how many wait, when held.
    pub(crate) fn state(&self) -> Option<(Terms, u64)> {
        let queue = lock(&self.queue);
        queue.terms.map(|t| (t, queue.waiting.len() as u64))
    }

    /// Waits until the gate opens for this request.
    pub(crate) async fn wait(self: &Arc<Self>) -> Result<Pass, Refused> {
        let (id, turn, max_wait) = {
            let mut queue = lock(&self.queue);
            if queue.terms.is_none() && queue.waiting.is_empty() && !queue.passing {
                return Ok(Pass(None));
            }
            let (max_wait, cap) =
                queue.terms.map_or((Duration::from_secs(30), usize::MAX), |t| (t.max_wait, t.queue_cap));
            if queue.waiting.len() >= cap {
                return Err(Refused::QueueFull);
            }
            let (tell, turn) = oneshot::channel();
            let id = queue.next;
            queue.next += 1;
            queue.waiting.push_back((id, tell));
            (id, turn, max_wait)
        };
        let leave = Leave { gate: self, id };
        match tokio::time::timeout(max_wait, turn).await {
            Ok(Ok(())) => {
                std::mem::forget(leave);
                Ok(Pass(Some(self.clone())))
            }
            Ok(Err(_)) | Err(_) => Err(Refused::TooLong),
        }
    }

    fn next(&self, queue: &mut Queue) {
        queue.passing = false;
        if queue.terms.is_some() {
            return;
        }
        while let Some((_, tell)) = queue.waiting.pop_front() {
            if tell.send(()).is_ok() {
                queue.passing = true;
                return;
            }
        }
        self.closed.store(false, Ordering::Release);
    }
}

/// Takes a waiting request out of the queue when it gives up; passes its turn on when it had just come.
struct Leave<'a> {
    gate: &'a Gate,
    id: u64,
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        let mut queue = lock(&self.gate.queue);
        match queue.waiting.iter().position(|(id, _)| *id == self.id) {
            Some(at) => drop(queue.waiting.remove(at)),
            // Its turn came in the moment in which it gave up.
            None => self.gate.next(&mut queue),
        }
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        if let Some(gate) = &self.0 {
            gate.next(&mut lock(&gate.queue));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(max_wait_ms: u64, queue_cap: usize) -> Terms {
        let max_wait = Duration::from_millis(max_wait_ms);
        Terms { max_wait, queue_cap, since: Instant::now(), since_unix_ms: 0, id: 1 }
    }

    async fn waiting(gate: &Gate, n: u64) {
        while gate.state().is_none_or(|(_, w)| w != n) {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn held_requests_pass_one_by_one_in_the_order_in_which_they_came() {
        let gate = Arc::new(Gate::default());
        gate.hold(terms(10_000, 100));
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = Vec::new();
        for i in 0..20 {
            let (gate, order) = (gate.clone(), order.clone());
            let mine = gate.clone();
            tasks.push(tokio::spawn(async move {
                let pass = mine.wait().await.ok().unwrap();
                tokio::task::yield_now().await;
                order.lock().unwrap().push(i);
                drop(pass);
            }));
            waiting(&gate, i + 1).await;
        }
        assert_eq!(gate.release(None).unwrap().0, 20);
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(*order.lock().unwrap(), (0..20).collect::<Vec<_>>());
        assert!(!gate.stops(false));
    }

    #[tokio::test]
    async fn one_more_than_the_queue_holds_is_refused_at_once() {
        let gate = Arc::new(Gate::default());
        gate.hold(terms(10_000, 1));
        let mine = gate.clone();
        let first = tokio::spawn(async move { mine.wait().await.is_ok() });
        waiting(&gate, 1).await;
        assert_eq!(gate.wait().await.err(), Some(Refused::QueueFull));
        gate.release(None).unwrap();
        assert!(first.await.unwrap());
    }

    #[tokio::test]
    async fn a_request_that_waits_too_long_is_refused_and_leaves_the_queue() {
        let gate = Arc::new(Gate::default());
        gate.hold(terms(10, 10));
        assert_eq!(gate.wait().await.err(), Some(Refused::TooLong));
        assert_eq!(gate.state().unwrap().1, 0);
    }

    #[tokio::test]
    async fn a_request_whose_client_left_does_not_stop_the_ones_behind_it() {
        let gate = Arc::new(Gate::default());
        gate.hold(terms(10_000, 10));
        let (a, b) = (gate.clone(), gate.clone());
        let first = tokio::spawn(async move { a.wait().await.map(drop) });
        waiting(&gate, 1).await;
        let second = tokio::spawn(async move { b.wait().await.is_ok() });
        waiting(&gate, 2).await;
        first.abort();
        assert!(first.await.unwrap_err().is_cancelled());
        gate.release(None).unwrap();
        assert!(second.await.unwrap());
    }

    #[tokio::test]
    async fn the_lease_of_an_old_hold_does_not_end_a_new_one() {
        let gate = Arc::new(Gate::default());
        gate.hold(terms(10_000, 10));
        assert!(gate.release(Some(7)).is_none());
        assert!(gate.stops(false));
        assert!(gate.release(Some(1)).is_some());
    }
}
