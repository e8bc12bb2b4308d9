//! The account: what the server itself keeps about a user, beside the user's data.

use serde_json::{Map, Value};

use crate::access::Access;
use crate::id::{SlotId, UserId};
use crate::time::Seconds;

/// Who a username (or alias) leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserEntry {
    pub user: UserId,
    pub slot: SlotId,
    /// The canonical username.
    pub username: String,
}

/// Server-side state behind a personal token, with sliding expiry.
#[derive(Clone, Debug, PartialEq)]
pub struct Session {
    /// The personal token.
    pub token: String,
    pub app_id: String,
    pub expires: Seconds,
}

/// A PHC string (argon2id) or a bcrypt hash.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(pub String);

impl std::fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PasswordHash(hidden)")
    }
}

/// All that registration writes into the user's slot, in one commit.
#[derive(Clone, Debug)]
pub struct NewAccount {
    pub username: String,
    pub password: PasswordHash,
    /// Account fields by name (`email`, `language`, `appId`...), as given or defaulted.
    pub fields: Map<String, Value>,
    /// The session and personal access opened for `appId`.
    pub session: Option<(Session, Access)>,
}
