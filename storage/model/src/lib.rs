//! Pryv's nouns and the permission truth: no I/O, no clock, no engine.

pub mod id;
pub mod permission;

pub use id::{SeriesKey, SlotId, UserId};
pub use permission::grant::{Author, Grant, Right, ServerTask};
