//! The threads that carry connections: one to a core, each with a runtime of its own. A connection stays with the thread
//! that it was given to, and so do its connections towards releases: no request wakes another thread.

use std::io::Result as IoResult;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::{Builder, Handle};
use tokio::sync::watch;

/// How long the tasks of a thread get at the end of the process.
const END_WITHIN: Duration = Duration::from_millis(200);

/// All threads that carry connections. Dropping it ends them, and must not happen on one of them.
pub(crate) struct Workers {
    places: Places,
    threads: Vec<JoinHandle<()>>,
    /// None once they are told to end.
    serving: Option<watch::Sender<()>>,
}

/// Where connections can go.
#[derive(Clone)]
pub(crate) struct Places(Arc<[Worker]>);

struct Worker {
    runtime: Handle,
    connections: Arc<AtomicUsize>,
}

/// A connection's place at a thread; dropping it makes room for another.
pub(crate) struct Place {
    /// Which of the threads.
    pub(crate) index: usize,
    /// Its runtime.
    pub(crate) runtime: Handle,
    connections: Arc<AtomicUsize>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Workers {
    /// Starts `count` threads, at least one.
    ///
    /// # Errors
    /// When the system gives no more threads or descriptors.
    pub(crate) fn start(count: usize) -> IoResult<Self> {
        let (serving, ended) = watch::channel(());
        let (mut workers, mut threads) = (Vec::new(), Vec::new());
        for n in 0..count.max(1) {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            workers.push(Worker { runtime: runtime.handle().clone(), connections: Arc::default() });
            let mut ended = ended.clone();
            let serve = move || {
                // Comes back when the sender is dropped.
                let _ = runtime.block_on(ended.changed());
                runtime.shutdown_timeout(END_WITHIN);
            };
            threads.push(std::thread::Builder::new().name(format!("safelight-px-{n}")).spawn(serve)?);
        }
        Ok(Self { places: Places(workers.into()), threads, serving: Some(serving) })
    }

    /// For whoever accepts connections.
    pub(crate) fn places(&self) -> Places {
        self.places.clone()
    }
}

impl Places {
    /// A place at the thread that has the fewest connections.
    pub(crate) fn take(&self) -> Place {
        let (mut index, mut fewest) = (0, usize::MAX);
        for (n, worker) in self.0.iter().enumerate() {
            let connections = worker.connections.load(Ordering::Relaxed);
            if connections < fewest {
                (index, fewest) = (n, connections);
            }
        }
        let worker = &self.0[index];
        worker.connections.fetch_add(1, Ordering::Relaxed);
        Place { index, runtime: worker.runtime.clone(), connections: worker.connections.clone() }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.serving = None;
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread that carried connections panicked");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_go_to_the_thread_with_the_fewest_and_leave_room_behind() {
        let workers = Workers::start(2).unwrap();
        let first = workers.places().take();
        let second = workers.places().take();
        assert_ne!(first.index, second.index);
        let freed = first.index;
        drop(first);
        assert_eq!(workers.places().take().index, freed);
    }

    #[test]
    fn a_task_runs_on_the_thread_of_its_place() {
        let workers = Workers::start(2).unwrap();
        let names: Vec<String> = [workers.places().take(), workers.places().take()]
            .iter()
            .map(|place| {
                let (tell, told) = std::sync::mpsc::channel();
                place.runtime.spawn(async move {
                    tell.send(std::thread::current().name().unwrap_or_default().to_owned()).unwrap();
                });
                told.recv_timeout(Duration::from_secs(5)).unwrap()
            })
            .collect();
        assert_eq!(names, ["safelight-px-0", "safelight-px-1"]);
    }
}
