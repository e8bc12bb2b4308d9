//! flatJSON, the body of a series post (spec 08 section 4), read straight into columns.
//!
//! ```text
//! parse -- simple.rs: one pass over the bytes, the usual form only
//!            \--(anything it does not know)--> typed.rs: serde_json, every form and every error message
//! ```
//! Both give the same columns; a property test holds them to it.
