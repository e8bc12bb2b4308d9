//! Pryv's nouns and the permission truth: no I/O, no clock, no engine.

pub mod access;
pub mod account;
pub mod audit;
pub mod event;
pub mod id;
pub mod integrity;
pub mod permission;
pub mod query;
pub mod query_input;
pub mod schema;
pub mod slug;
pub mod stream;
pub mod time;
pub mod types;
pub mod username;

pub use access::{Access, AccessKind, Level, Permission};
pub use account::{NewAccount, PasswordHash, Session, UserEntry};
pub use audit::AuditRecord;
pub use event::{Attachment, Duration, Event, EventDeletion};
pub use id::{SeriesKey, SlotId, UserId};
pub use permission::grant::{Author, Grant, Right, ServerTask};
pub use permission::{Caller, Refused, StreamTree};
pub use query::EventsQuery;
pub use stream::{Stream, StreamDeletion};
