//! The proof that a permission was checked. Storage and series take it as an argument; code that
//! forgot to check does not compile.

use crate::id::{SeriesKey, SlotId, UserId};

/// Who acts: `<access id>` or `<access id> <caller id>`, or `system` for the server itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Author(String);

impl Author {
    pub fn new(access_id: &str, caller_id: Option<&str>) -> Self {
        match caller_id {
            Some(caller) => Self(format!("{access_id} {caller}")),
            None => Self(access_id.to_owned()),
        }
    }

    pub fn system() -> Self {
        Self("system".to_owned())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What the holder of a [`Grant`] was found to be allowed to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Right {
    /// Read the account's data that the check has put into the query.
    Read,
    /// Write the item that was checked.
    Write,
    ReadSeries(SeriesKey),
    WriteSeries(SeriesKey),
}

/// Reasons for which the server acts by itself, without an access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerTask {
    /// Registration, erasure: the account itself is made or removed.
    Account,
    /// Loading an account's accesses and streams, so that a permission can be checked at all.
    LoadSpace,
    /// Audit, usage counters, sessions, holder metadata.
    Bookkeeping,
    /// An operator's command line, tests, benchmarks.
    Operator,
}

/// A checked permission: for this user, this author, this right, at this version of the user's space.
#[derive(Clone, Debug)]
pub struct Grant {
    user: UserId,
    slot: SlotId,
    author: Author,
    right: Right,
    /// The `space` version that the check has seen. A writer refuses a stale one, and the method runs again.
    /// `None` for the server's own tasks.
    space_version: Option<u64>,
}

impl Grant {
    pub(super) fn checked(user: UserId, slot: SlotId, author: Author, right: Right, space_version: u64) -> Self {
        Self { user, slot, author, right, space_version: Some(space_version) }
    }

    /// The server acting for itself. `cargo ci tidy` lists the files that may call this.
    pub fn server_itself(_task: ServerTask, user: UserId, slot: SlotId, right: Right) -> Self {
        Self { user, slot, author: Author::system(), right, space_version: None }
    }

    pub fn user(&self) -> &UserId {
        &self.user
    }

    pub fn slot(&self) -> SlotId {
        self.slot
    }

    pub fn author(&self) -> &Author {
        &self.author
    }

    pub fn right(&self) -> &Right {
        &self.right
    }

    pub fn may_write(&self) -> bool {
        matches!(self.right, Right::Write)
    }

    /// The series that may be written under this grant.
    pub fn writable_series(&self) -> Option<SeriesKey> {
        match self.right {
            Right::WriteSeries(key) => Some(key),
            _ => None,
        }
    }

    /// The series that may be read under this grant.
    pub fn readable_series(&self) -> Option<SeriesKey> {
        match self.right {
            Right::ReadSeries(key) => Some(key),
            _ => None,
        }
    }

    pub fn space_version(&self) -> Option<u64> {
        self.space_version
    }
}
