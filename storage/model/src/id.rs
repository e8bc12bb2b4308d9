//! Identifiers: what names a user, a slot, a series, an item.

use std::fmt;
use std::sync::Arc;

/// The internal, immutable id of an account (cuid2 form). Clients never see it.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UserId(Arc<str>);

impl UserId {
    pub fn new(id: impl Into<Arc<str>>) -> Self {
        Self(id.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One of the few files of the embedded engine. A user belongs to one slot for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SlotId(pub u16);

/// Names the points of one holder event, never reused: the slot in the upper 16 bits, a counter of
/// that slot in the lower 48. Committed with the holder event before its creation is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SeriesKey(u64);

impl SeriesKey {
    const COUNTER_BITS: u32 = 48;
    pub const COUNTER_MAX: u64 = (1 << Self::COUNTER_BITS) - 1;

    /// `None` when the counter of the slot is exhausted (beyond 2^48 - 1).
    pub fn new(slot: SlotId, counter: u64) -> Option<Self> {
        (counter <= Self::COUNTER_MAX).then(|| Self((u64::from(slot.0) << Self::COUNTER_BITS) | counter))
    }

    pub fn from_u64(raw: u64) -> Self {
        Self(raw)
    }

    pub fn as_u64(self) -> u64 {
        self.0
    }

    pub fn slot(self) -> SlotId {
        SlotId(u16::try_from(self.0 >> Self::COUNTER_BITS).expect("48 bits were shifted away"))
    }
}
