//! Caps on image work, by jobs and by pixels: ten small photos are not ten flatbed scans.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::error::ApiError;
use crate::images::{self, Header};

/// How much image work this process does at once.
pub struct Capacity {
    cpu: Semaphore,
    megapixels: Semaphore,
    total_megapixels: u32,
    in_work: AtomicUsize,
}

/// Work that is waiting or running; over when dropped.
pub struct InWork<'a>(&'a AtomicUsize);

impl Drop for InWork<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The right to process one image.
pub struct Turn<'a> {
    _pixels: SemaphorePermit<'a>,
    _core: SemaphorePermit<'a>,
}

impl Capacity {
    /// As many images as there are cores, and together no more pixels than the largest one allowed.
    #[must_use]
    pub fn new(max_pixels: u64) -> Self {
        Self::of(std::thread::available_parallelism().map_or(1, std::num::NonZero::get), max_pixels)
    }

    fn of(cores: usize, max_pixels: u64) -> Self {
        let total = u32::try_from(max_pixels / 1_000_000).unwrap_or(u32::MAX).max(1);
        Self {
            cpu: Semaphore::new(cores),
            megapixels: Semaphore::new(total as usize),
            total_megapixels: total,
            in_work: AtomicUsize::new(0),
        }
    }

    /// Images waiting or being processed.
    #[must_use]
    pub fn in_work(&self) -> usize {
        self.in_work.load(Ordering::Relaxed)
    }

    /// Counts a piece of work until what is returned is dropped.
    pub fn enter(&self) -> InWork<'_> {
        self.in_work.fetch_add(1, Ordering::Relaxed);
        InWork(&self.in_work)
    }

    /// Waits for the turn of an image.
    ///
    /// # Errors
    /// [`ApiError::Busy`] when the process is ending.
    pub async fn turn(&self, header: Header) -> Result<Turn<'_>, ApiError> {
        let share = images::megapixels(header).min(self.total_megapixels);
        let closed = |_| ApiError::Busy;
        let pixels = self.megapixels.acquire_many(share).await.map_err(closed)?;
        let core = self.cpu.acquire().await.map_err(closed)?;
        Ok(Turn { _pixels: pixels, _core: core })
    }

    /// Waits until nothing is being worked on.
    pub async fn drained(&self) {
        while self.in_work() > 0 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::images::Format;

    fn header(megapixels: u32) -> Header {
        Header { format: Format::Jpeg, width: 1000, height: megapixels * 1000, memory: 0 }
    }

    #[tokio::test]
    async fn two_flatbed_scans_take_turns_however_many_cores_there_are() {
        let capacity = Capacity::of(8, 200_000_000);
        let first = capacity.turn(header(150)).now_or_never().expect("free").expect("a turn");
        let mut second = std::pin::pin!(capacity.turn(header(150)));
        assert!(second.as_mut().now_or_never().is_none(), "300 megapixels are decoded at once");
        drop(first);
        let second = second.now_or_never().expect("its turn has come").expect("a turn");
        // Beside it there is room for small ones, and for no more than fit.
        let small = capacity.turn(header(20)).now_or_never().expect("room").expect("a turn");
        assert!(capacity.turn(header(40)).now_or_never().is_none());
        drop((second, small));
        // One that is larger than all the room takes all of it, and does not wait for ever.
        let all = capacity.turn(header(900)).now_or_never().expect("free").expect("a turn");
        assert!(capacity.turn(header(1)).now_or_never().is_none());
        drop(all);
        // A scan of 16 bits in one strip counts by the memory that it takes.
        let deep = Header { memory: 150_000_000 * 6, ..header(10) };
        let deep = capacity.turn(deep).now_or_never().expect("free").expect("a turn");
        assert!(capacity.turn(header(60)).now_or_never().is_none());
        drop(deep);
    }

    #[tokio::test]
    async fn small_photos_take_turns_by_cores() {
        let capacity = Capacity::of(2, 200_000_000);
        let both: Vec<Turn<'_>> =
            (0..2).map(|_| capacity.turn(header(2)).now_or_never().expect("free").expect("a turn")).collect();
        assert!(capacity.turn(header(2)).now_or_never().is_none());
        drop(both);
        assert!(capacity.turn(header(2)).now_or_never().is_some());
    }
}
