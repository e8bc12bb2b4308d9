//! flatJSON, the body of a series post (spec 08 section 4), read straight into columns.
//!
//! ```text
//! parse -- simple.rs: one pass over the bytes, the usual form only
//!            \--(anything it does not know)--> typed.rs: serde_json, every form and every error message
//! ```
//! Both give the same columns; a property test holds them to it. The body must be JSON that fits Rust's types: numbers
//! beyond the range of a double, lone surrogates and more than 128 levels are syntax errors, wherever they stand.

mod batch;
mod columns;
mod javascript;
mod number;
mod simple;
mod typed;

use std::borrow::Cow;
use std::sync::Arc;

use thiserror::Error;

pub use batch::{BatchElement, parse_batch};

/// What a column's cells may hold, from the leaf type of the series (spec 08 section 4.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CellKind {
    Number,
    Text,
    Boolean,
    /// Anything is accepted, nothing is kept.
    Null,
    /// A JSON-schema type that cells cannot have (`object`, `array`, `integer`): only null in an optional column.
    Unsupported(Box<str>),
}

/// A column of a series type besides the time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    pub name: Arc<str>,
    pub kind: CellKind,
    pub required: bool,
}

/// The columns of a series type in schema order, without `deltaTime`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schema {
    pub fields: Vec<Field>,
}

/// One value per point; a placeholder (zero, false, code 0) where the cell is absent.
#[derive(Clone, Debug, PartialEq)]
pub enum Cells {
    Number(Vec<f64>),
    /// `codes` are places in `dictionary`, which holds every text once in order of appearance.
    Text {
        dictionary: Vec<Box<str>>,
        codes: Vec<u32>,
    },
    Boolean(Vec<bool>),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// Place in [`Schema::fields`].
    pub field: usize,
    pub cells: Cells,
    /// Which cells are there; `None` means all.
    pub present: Option<Vec<bool>>,
}

/// Points in the order sent. Columns are in schema order; those of kind null or unsupported hold nothing and are left out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Points {
    /// Nanoseconds since the time of the holder event, never negative.
    pub times_ns: Vec<i64>,
    pub columns: Vec<Column>,
}

#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FlatJsonError {
    #[error("The request body is not valid JSON: {0}")]
    Syntax(Box<str>),
    /// The literal message of the specification.
    #[error("{0}")]
    Structure(Cow<'static, str>),
}

/// Reads a flatJSON body.
///
/// `event_time_seconds` is the holder event's time, subtracted from a `timestamp` column. Times become nanoseconds by
/// truncation of `seconds * 1e9` in double precision, as the reference server does (spec 08 section 4.2).
///
/// # Errors
/// `Syntax` before any `Structure`; the first failing check in the order of spec 08 section 4.1. Where the reference
/// fails with 500 (a time that is not a number or does not fit 64 bits of nanoseconds) this is `Structure`.
pub fn parse(body: &[u8], schema: &Schema, event_time_seconds: f64) -> Result<Points, FlatJsonError> {
    match simple::parse(body, schema, event_time_seconds) {
        Some(points) => Ok(points),
        None => typed::parse(body, schema, event_time_seconds),
    }
}

/// Reads a flatJSON body by the general way only; for tests that compare the two ways.
#[doc(hidden)]
pub fn parse_typed(body: &[u8], schema: &Schema, event_time_seconds: f64) -> Result<Points, FlatJsonError> {
    typed::parse(body, schema, event_time_seconds)
}

/// Reads a flatJSON body by the fast way only, `None` if it is not simple; for tests that compare the two ways.
#[doc(hidden)]
pub fn parse_simple(body: &[u8], schema: &Schema, event_time_seconds: f64) -> Option<Points> {
    simple::parse(body, schema, event_time_seconds)
}

const FORMAT: &str = "flatJSON";
const DELTA_TIME: &str = "deltaTime";
const TIMESTAMP: &str = "timestamp";

impl FlatJsonError {
    fn structure(message: &'static str) -> Self {
        Self::Structure(Cow::Borrowed(message))
    }
}

impl From<serde_json::Error> for FlatJsonError {
    fn from(error: serde_json::Error) -> Self {
        Self::Syntax(error.to_string().into())
    }
}
