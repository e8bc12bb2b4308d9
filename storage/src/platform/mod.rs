//! The contract of the platform directory: who lives where, and what must be unique on the platform.

mod embedded;

pub use embedded::EmbeddedPlatform;

use model::{SlotId, UserEntry, UserId};
use serde_json::Value;

use crate::Reply;

pub trait PlatformStore: Send + Sync + 'static {
    fn call(&self, command: Command) -> Reply<Answer>;
}

#[derive(Clone, Debug)]
pub enum Command {
    /// One conditional write, before the account exists: fails with `StoreError::Taken` naming *all* conflicts.
    Reserve {
        entry: UserEntry,
        unique: Vec<(String, String)>,
    },
    /// The account exists now.
    Confirm {
        user: UserId,
    },
    /// Takes a reservation or an account off the directory (name and unique fields become free).
    Release {
        user: UserId,
    },
    /// By username or alias, confirmed accounts only.
    FindUser {
        name: String,
    },
    /// Confirmed accounts only.
    FindUnique {
        field: String,
        value: String,
    },
    /// Takes one more value of the field for the user, beside the present one: the account follows, then `SetUnique`
    /// leaves only the new one. A crash in between leaves both taken, for `DoubledUnique` to find.
    AddUnique {
        user: UserId,
        field: String,
        value: String,
    },
    /// Replaces the user's value of the field; `None` frees it.
    SetUnique {
        user: UserId,
        field: String,
        value: Option<String>,
    },
    /// Reservations that were never confirmed (a crash between the steps of a registration).
    HalfMade,
    /// Fields of which a confirmed account holds more than one value (a crash between the steps of a change).
    DoubledUnique,
    Users,
    Get {
        key: String,
    },
    Set {
        key: String,
        value: Option<Value>,
    },
    /// User names and aliases share one space of names: `Taken {"alias"}`.
    AddAlias {
        user: UserId,
        alias: String,
        slot: SlotId,
    },
    RemoveAlias {
        alias: String,
    },
}

#[derive(Clone, Debug)]
pub enum Answer {
    Done,
    User(Option<UserEntry>),
    Users(Vec<UserEntry>),
    /// Accounts and the names of their fields.
    Fields(Vec<(UserEntry, String)>),
    Value(Option<Value>),
}
