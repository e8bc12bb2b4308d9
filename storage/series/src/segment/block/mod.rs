//! A block of points at rest, compressed. No checksum here: the index of the segment carries it.
//!
//! ```text
//! offset  bytes  little-endian; a varint has 7 bits a byte, the lowest first (varint.rs), a signed one zig-zag
//!      0      1  version of this format, 1
//!      1 varint  rows
//!        varint  columns
//!                times, ascending (integers.rs)
//! then each column:
//!        varint  bytes of the name
//!             1  kind: 0 number, 1 text, 2 boolean; 128 is added when not every row has a value
//!                name, UTF-8
//!                which rows have a value (bits.rs), only with 128
//!                the values of those rows: numbers.rs, text.rs or bits.rs
//! ```
//! Steady times cost some twenty bytes a block, measurements of few digits about what their noise demands.

mod bits;
mod entropy;
mod integers;
mod numbers;
mod packing;
mod text;
mod unit;
mod varint;

use crate::codec::{CodecError, Reader};
use crate::points::{Cells, Column, Kind, NAME_BYTES_MAX, Points};
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

const VERSION: u8 = 1;
const KIND_NUMBER: u8 = 0;
const KIND_TEXT: u8 = 1;
const KIND_BOOLEAN: u8 = 2;
const HAS_ABSENT: u8 = 0x80;

/// More rows are no block. Writers make smaller ones; this bounds what a few damaged bytes can ask of a reader.
pub const ROWS_MAX: usize = 1 << 16;
/// Rows times columns (the times count as one) of a block.
pub const CELLS_MAX: usize = 1 << 24;

/// How hard the block is compressed: a flush is in the way of posts, a merge is not. Measured on sensor data: a merge
/// makes blocks some 10 % smaller, takes twice the time to write and to read them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    Flush,
    Merge,
}

/// How many rows with so many columns may go into one block.
pub fn rows_max(columns: usize) -> usize {
    (CELLS_MAX / columns.saturating_add(1)).clamp(1, ROWS_MAX)
}

/// Appends `points`, which are normalised and have passed `check_shape`.
///
/// # Panics
///
/// With more than [`rows_max`] rows: the caller has to split them.
pub fn encode(points: &Points, effort: Effort, out: &mut Vec<u8>) {
    assert!(points.rows() <= rows_max(points.columns.len()), "the writer of a segment splits its blocks");
    out.push(VERSION);
    varint::put_count(out, points.rows());
    varint::put_count(out, points.columns.len());
    integers::encode(&points.times_ns, effort, out);
    for column in &points.columns {
        encode_column(column, effort, out);
    }
}

/// Any bytes give points of a valid shape or an error, never a panic. Memory: at most 9 bytes for each of [`CELLS_MAX`]
/// cells, some 60 bytes for each byte given (columns and strings without content), and a MiB of tables.
pub fn decode(bytes: &[u8]) -> Result<Points, CodecError> {
    let mut reader = Reader { rest: bytes };
    if reader.u8()? != VERSION {
        return Err(CodecError("unknown version of a block"));
    }
    let rows = varint::take_count(&mut reader, ROWS_MAX)?;
    let columns = varint::take_count(&mut reader, CELLS_MAX)?;
    if rows > rows_max(columns) {
        return Err(CodecError("more cells than a block may have"));
    }
    let times_ns = integers::decode(&mut reader, rows)?;
    let is_ascending = times_ns.is_sorted_by(|earlier, later| earlier < later);
    if !is_ascending || times_ns.last() == Some(&i64::MAX) {
        return Err(CodecError("times are not ascending, or reach the end of time"));
    }
    let columns: Vec<Column> = (0..columns).map(|_| decode_column(&mut reader, rows)).collect::<Result<_, _>>()?;
    let mut names = BTreeSet::new();
    if !columns.iter().all(|column| names.insert((&*column.name, kind_of(&column.cells)))) {
        return Err(CodecError("a column appears twice"));
    }
    if !reader.rest.is_empty() {
        return Err(CodecError("bytes left over"));
    }
    Ok(Points { times_ns, columns })
}

fn encode_column(column: &Column, effort: Effort, out: &mut Vec<u8>) {
    varint::put_count(out, column.name.len());
    let kind = kind_of(&column.cells);
    out.push(if column.present.is_some() { kind | HAS_ABSENT } else { kind });
    out.extend_from_slice(column.name.as_bytes());
    if let Some(present) = &column.present {
        bits::encode(present, out);
    }
    match &column.cells {
        Cells::Number(values) => numbers::encode(&present_cells(values, column), effort, out),
        Cells::Text { dictionary, codes } => text::encode(dictionary, &present_cells(codes, column), effort, out),
        Cells::Boolean(values) => bits::encode(&present_cells(values, column), out),
    }
}

fn decode_column(reader: &mut Reader<'_>, rows: usize) -> Result<Column, CodecError> {
    let name_bytes = varint::take_count(reader, NAME_BYTES_MAX)?;
    let kind = reader.u8()?;
    let name = std::str::from_utf8(reader.take(name_bytes)?).map_err(|_| CodecError("a name is not UTF-8"))?;
    let name: Arc<str> = name.into();
    let present = if kind & HAS_ABSENT == 0 { None } else { Some(bits::decode(reader, rows)?) };
    let count = present.as_ref().map_or(rows, |present| present.iter().filter(|cell| **cell).count());
    let cells = match kind & !HAS_ABSENT {
        KIND_NUMBER => Cells::Number(spread(numbers::decode(reader, count)?, present.as_deref())),
        KIND_BOOLEAN => Cells::Boolean(spread(bits::decode(reader, count)?, present.as_deref())),
        KIND_TEXT => {
            let (dictionary, codes) = text::decode(reader, count)?;
            Cells::Text { dictionary, codes: spread(codes, present.as_deref()) }
        }
        _ => return Err(CodecError("unknown kind of column")),
    };
    Ok(Column { name, cells, present })
}

fn kind_of(cells: &Cells) -> u8 {
    match cells.kind() {
        Kind::Number => KIND_NUMBER,
        Kind::Text => KIND_TEXT,
        Kind::Boolean => KIND_BOOLEAN,
    }
}

/// The cells of the rows that have a value.
fn present_cells<'a, T: Copy>(cells: &'a [T], column: &Column) -> Cow<'a, [T]>
where
    [T]: ToOwned<Owned = Vec<T>>,
{
    match &column.present {
        None => Cow::Borrowed(cells),
        Some(present) => {
            cells.iter().zip(present).filter(|(_, is_present)| **is_present).map(|(cell, _)| *cell).collect()
        }
    }
}

/// The other way round: rows without a value get the default.
fn spread<T: Copy + Default>(cells: Vec<T>, present: Option<&[bool]>) -> Vec<T> {
    let Some(present) = present else { return cells };
    let mut rest = cells.into_iter();
    present.iter().map(|is_present| if *is_present { rest.next().unwrap_or_default() } else { T::default() }).collect()
}

#[cfg(test)]
mod tests;
