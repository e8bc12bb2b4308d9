//! Who may do what: the only place where a [`grant::Grant`] can be made.

pub mod access_rules;
pub mod account_streams;
pub mod caller;
pub mod event_rules;
pub mod events_query;
pub mod grant;
mod level;
pub mod reserved;
pub mod stream_list;
pub mod stream_rules;
pub mod tree;

pub use access_rules::{AccessChange, NewAccess};
pub use account_streams::{ACCOUNT_ROOT, AccountField, AccountStreams};
pub use caller::{Caller, Refused};
pub use events_query::{QueryRefused, Scope};
pub use reserved::{Reserved, Store, reserved};
pub use stream_list::{ListRefused, ListStreams};
pub use tree::{STREAM_DEPTH_MAX, StreamTree};
