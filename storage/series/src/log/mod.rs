//! The log: an append-only chain of files per shard and epoch. [`frame`] is the format of one post, [`file`] that of the
//! files, [`writer`] turns waiting posts into one sync, [`reader`] finds what a crash left.

pub mod file;
pub mod frame;
pub mod reader;
pub mod writer;

/// These posts survive a power cut. Made only by the writer, after a successful sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Durable {
    epoch: u64,
    chain: u32,
    /// The last sequence that was refused, 0 if none: this commit vouches for `(after, through]`.
    after: u64,
    through: u64,
}

/// These posts did not get into the log for want of space (507); writing goes on when there is space again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    epoch: u64,
    chain: u32,
    first: u64,
    last: u64,
}

impl Durable {
    /// The highest sequence that is durable.
    pub fn through(&self) -> u64 {
        self.through
    }

    pub(crate) fn covers(&self, sequence: u64) -> bool {
        self.after < sequence && sequence <= self.through
    }

    pub(crate) fn is_of(&self, epoch: u64, chain: u32) -> bool {
        self.epoch == epoch && self.chain == chain
    }
}

impl Refused {
    pub fn first(&self) -> u64 {
        self.first
    }

    pub fn last(&self) -> u64 {
        self.last
    }

    pub(crate) fn is_of(&self, epoch: u64, chain: u32) -> bool {
        self.epoch == epoch && self.chain == chain
    }
}
