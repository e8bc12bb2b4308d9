//! The platform's side of accounts: registration, and what leads from a name to a user.

pub mod erasure;
pub mod registration;
