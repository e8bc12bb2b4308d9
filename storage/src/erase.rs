//! All that must vanish with a user: the one list for every engine.
//!
//! | where | what | who removes it |
//! |---|---|---|
//! | slot file | [`SLOT_PARTS`], then the user's row | `Write::EraseAccount`, in one commit (`secure_delete`) |
//! | slot file's WAL | all of it | the writer, `wal_checkpoint(TRUNCATE)` before the answer |
//! | platform | name, aliases, unique fields | `platform::Command::Release`, the last step |
//! | log and segments | points of `Written::Erased { series }` | the series engine |
//! | files | the account's folder: `files::LocalFiles::remove_user` | the caller of `EraseAccount`, before the release |
//! | previews | the account's folder | the caller of `EraseAccount` |

pub(crate) struct SlotPart {
    pub delete: &'static str,
    /// Kept when `audit.onUserDelete` is `keep`.
    pub audit: bool,
}

const fn part(delete: &'static str) -> SlotPart {
    SlotPart { delete, audit: false }
}

/// Every table of a slot file that holds rows of users. Tables that hang on another one come before it.
pub(crate) const SLOT_PARTS: &[SlotPart] = &[
    part("DELETE FROM event_stream WHERE stream IN (SELECT row FROM stream_key WHERE user = ?1)"),
    part("DELETE FROM event WHERE user = ?1"),
    part("DELETE FROM event_version WHERE user = ?1"),
    part("DELETE FROM event_deletion WHERE user = ?1"),
    part("DELETE FROM kind WHERE user = ?1"),
    part("DELETE FROM stream_key WHERE user = ?1"),
    part("DELETE FROM stream WHERE user = ?1"),
    part("DELETE FROM stream_deletion WHERE user = ?1"),
    part("DELETE FROM access WHERE user = ?1"),
    part("DELETE FROM access_version WHERE user = ?1"),
    part("DELETE FROM session WHERE user = ?1"),
    part("DELETE FROM profile WHERE user = ?1"),
    part("DELETE FROM user_clock WHERE user = ?1"),
    SlotPart { delete: "DELETE FROM audit WHERE user = ?1", audit: true },
];

pub(crate) const DELETE_USER: &str = "DELETE FROM user WHERE row = ?1";
/// The audit rows stay: so does the key that they hang on, without anything else.
pub(crate) const KEEP_USER_KEY: &str =
    "UPDATE user SET username = '', password = NULL, fields = '{}', erased = 1 WHERE row = ?1";
