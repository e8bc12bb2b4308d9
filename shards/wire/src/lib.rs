//! Protocols without I/O: bytes in, events and bytes out. No socket, clock or random source is touched here, so every
//! part can be tested at any split of its input and fuzzed.
#![forbid(unsafe_code)]

pub mod flatjson;
pub mod http1;
pub mod multipart;
pub mod query;
