//! The open connections of a shard and their deadlines.
//!
//! A connection says what it waits for and until when; once every few ticks the shard looks at all of them and shuts
//! down the sockets that are overdue. The waiting task then wakes up, finds the end of the stream and [`Link::is_cut`].
//! So no wait needs a timer of its own, nothing in flight is ever cancelled, and an idle connection costs a few words.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;

use crate::metrics::ShardMetrics;
use crate::rt::net::Stream;

/// What a connection waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    /// The first byte of a request: nothing is lost by a close.
    Request,
    /// More of a head or of a body, or the client's close after a refusal.
    Input,
    /// Room in the socket for the answer.
    Output,
    /// The service.
    Call,
}

/// A connection as the shard sees it.
pub(crate) struct Link {
    pub(crate) stream: Stream,
    wait: Cell<Wait>,
    deadline: Cell<Option<Instant>>,
    is_cut: Cell<bool>,
}

impl Link {
    pub(crate) fn new(stream: Stream) -> Self {
        Self { stream, wait: Cell::new(Wait::Call), deadline: Cell::new(None), is_cut: Cell::new(false) }
    }

    /// Says what the connection waits for and until when.
    pub(crate) fn wait_for(&self, wait: Wait, deadline: Option<Instant>) {
        self.wait.set(wait);
        self.deadline.set(deadline);
    }

    /// Whether the shard ended a wait of this connection: its deadline passed, or the shard is draining.
    pub(crate) fn is_cut(&self) -> bool {
        self.is_cut.get()
    }

    fn cut(&self) {
        self.deadline.set(None);
        let was_cut = self.is_cut.replace(true);
        match self.wait.get() {
            Wait::Request | Wait::Input if !was_cut => self.stream.shutdown_read(),
            _ => self.stream.shutdown_both(),
        }
    }
}

/// All connections of a shard.
#[derive(Default)]
pub(crate) struct Links {
    by_number: RefCell<FxHashMap<u64, Rc<Link>>>,
    next_number: Cell<u64>,
    draining: Cell<bool>,
}

impl Links {
    pub(crate) fn count(&self) -> usize {
        self.by_number.borrow().len()
    }

    /// Whether connections are to end after the request they are at.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// Keeps the connection under its deadline until the returned value is dropped.
    pub(crate) fn register(self: &Rc<Self>, link: Rc<Link>) -> Registered {
        let number = self.next_number.get();
        self.next_number.set(number.wrapping_add(1));
        self.by_number.borrow_mut().insert(number, Rc::clone(&link));
        Registered { links: Rc::clone(self), number, link }
    }

    /// Cuts the connections whose deadline has passed.
    pub(crate) fn sweep(&self, now: Instant, metrics: &ShardMetrics) {
        let links = self.by_number.borrow();
        for link in links.values().filter(|link| link.deadline.get().is_some_and(|deadline| deadline <= now)) {
            metrics.timeouts.add(1);
            link.cut();
        }
    }

    /// Lets no connection begin another request, and ends those that are between two.
    pub(crate) fn drain(&self) {
        self.draining.set(true);
        for link in self.by_number.borrow().values().filter(|link| link.wait.get() == Wait::Request) {
            link.cut();
        }
    }

    /// Ends all connections, whatever they are at.
    pub(crate) fn cut_all(&self) {
        for link in self.by_number.borrow().values() {
            link.is_cut.set(true);
            link.stream.shutdown_both();
        }
    }
}

/// A connection in the list of its shard.
pub(crate) struct Registered {
    links: Rc<Links>,
    number: u64,
    link: Rc<Link>,
}

impl std::ops::Deref for Registered {
    type Target = Link;

    fn deref(&self) -> &Link {
        &self.link
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.links.by_number.borrow_mut().remove(&self.number);
    }
}

/// The deadline of a transfer: moved only by enough progress, so that a trickle of bytes does not hold a connection.
pub(crate) struct Progress {
    timeout: Duration,
    bytes_min: usize,
    bytes: usize,
    pub(crate) deadline: Instant,
}

impl Progress {
    pub(crate) fn new(now: Instant, timeout: Duration, bytes_min: usize) -> Self {
        Self { timeout, bytes_min, bytes: 0, deadline: now + timeout }
    }

    /// Counts moved bytes; moves the deadline when enough have come together.
    pub(crate) fn add(&mut self, bytes: usize, now: Instant) {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes >= self.bytes_min {
            self.bytes = 0;
            self.deadline = now + self.timeout;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trickle_does_not_move_the_deadline_but_enough_bytes_do() {
        let start = Instant::now();
        let later = start + Duration::from_secs(9);
        let mut progress = Progress::new(start, Duration::from_secs(10), 100);
        progress.add(99, later);
        assert_eq!(progress.deadline, start + Duration::from_secs(10));
        progress.add(1, later);
        assert_eq!(progress.deadline, start + Duration::from_secs(19));
    }
}
