//! Points as bytes: the body of a log entry and of a segment block. No checksum here: frame and index carry it.
//!
//! ```text
//! offset  bytes  all little-endian
//!      0      4  rows
//!      4      2  columns
//!      6      2  zero
//!      8   rows  x 8 times, i64 nanoseconds
//! then each column:
//!      0      2  bytes of the name
//!      2      1  kind: 0 number, 1 text, 2 boolean
//!      3      1  1 = a presence bitmap follows, 0 = every row has a value
//!      4         name, UTF-8
//!                presence bitmap, ceil(rows / 8) bytes, lowest bit first (only with flag 1)
//!                number:  rows x 8, f64
//!                boolean: ceil(rows / 8) bytes, lowest bit first
//!                text:    4 entries, 4 bytes of all strings, rows x 4 codes, entries x 4 lengths, the strings
//! ```

use crate::points::{Cells, Column, Points};
use std::sync::Arc;

const HEADER_BYTES: usize = 8;
const COLUMN_HEADER_BYTES: usize = 4;
const KIND_NUMBER: u8 = 0;
const KIND_TEXT: u8 = 1;
const KIND_BOOLEAN: u8 = 2;

/// The bytes were intact (their checksum held) but are no points: another version wrote them, or a defect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the bytes are no points ({0}): were they written by a newer version of coreward?")]
pub struct CodecError(pub(crate) &'static str);

impl CodecError {
    pub(crate) const CUT_OFF: Self = Self("cut off");
    pub(crate) const SHAPE: Self = Self("columns do not fit the rows");
}

/// How many bytes [`encode`] will append; exact.
pub(crate) fn encoded_bytes(points: &Points) -> usize {
    let rows = points.rows();
    let bitmap = rows.div_ceil(8);
    let columns: usize = points
        .columns
        .iter()
        .map(|column| {
            let cells = match &column.cells {
                Cells::Number(_) => rows * 8,
                Cells::Boolean(_) => bitmap,
                Cells::Text { dictionary, .. } => {
                    8 + rows * 4 + dictionary.iter().map(|text| 4 + text.len()).sum::<usize>()
                }
            };
            COLUMN_HEADER_BYTES + column.name.len() + column.present.as_ref().map_or(0, |_| bitmap) + cells
        })
        .sum();
    HEADER_BYTES + rows * 8 + columns
}

/// `points` must have passed `check_shape`, which bounds every length.
pub(crate) fn encode(points: &Points, out: &mut Vec<u8>) {
    put_u32(out, points.rows());
    put_u16(out, points.columns.len());
    out.extend_from_slice(&[0, 0]);
    put_each(out, &points.times_ns, |time_ns| time_ns.to_le_bytes());
    for column in &points.columns {
        put_u16(out, column.name.len());
        let kind = match &column.cells {
            Cells::Number(_) => KIND_NUMBER,
            Cells::Text { .. } => KIND_TEXT,
            Cells::Boolean(_) => KIND_BOOLEAN,
        };
        out.extend_from_slice(&[kind, u8::from(column.present.is_some())]);
        out.extend_from_slice(column.name.as_bytes());
        if let Some(present) = &column.present {
            put_bitmap(out, present);
        }
        match &column.cells {
            Cells::Number(values) => put_each(out, values, |value| value.to_le_bytes()),
            Cells::Boolean(values) => put_bitmap(out, values),
            Cells::Text { dictionary, codes } => {
                put_u32(out, dictionary.len());
                put_u32(out, dictionary.iter().map(|text| text.len()).sum());
                put_each(out, codes, |code| code.to_le_bytes());
                dictionary.iter().for_each(|text| put_u32(out, text.len()));
                dictionary.iter().for_each(|text| out.extend_from_slice(text.as_bytes()));
            }
        }
    }
}

pub(crate) fn decode(bytes: &[u8]) -> Result<Points, CodecError> {
    let mut reader = Reader { rest: bytes };
    let rows = reader.u32()?;
    let columns = reader.u16()?;
    reader.take(2)?;
    let times_ns = reader.each(rows, i64::from_le_bytes)?;
    let columns = (0..columns).map(|_| decode_column(&mut reader, rows)).collect::<Result<_, _>>()?;
    if !reader.rest.is_empty() {
        return Err(CodecError("bytes left over"));
    }
    Ok(Points { times_ns, columns })
}

fn decode_column(reader: &mut Reader<'_>, rows: usize) -> Result<Column, CodecError> {
    let name_bytes = reader.u16()?;
    let kind = reader.u8()?;
    let has_bitmap = reader.u8()?;
    let name = std::str::from_utf8(reader.take(name_bytes)?).map_err(|_| CodecError("a name is not UTF-8"))?;
    let name: Arc<str> = name.into();
    let present = match has_bitmap {
        0 => None,
        1 => Some(reader.bitmap(rows)?),
        _ => return Err(CodecError("unknown column flag")),
    };
    let cells = match kind {
        KIND_NUMBER => Cells::Number(reader.each(rows, f64::from_le_bytes)?),
        KIND_BOOLEAN => Cells::Boolean(reader.bitmap(rows)?),
        KIND_TEXT => decode_text(reader, rows)?,
        _ => return Err(CodecError("unknown kind of column")),
    };
    Ok(Column { name, cells, present })
}

fn decode_text(reader: &mut Reader<'_>, rows: usize) -> Result<Cells, CodecError> {
    let entries = reader.u32()?;
    let text_bytes = reader.u32()?;
    let codes = reader.each(rows, u32::from_le_bytes)?;
    let lengths = reader.each(entries, u32::from_le_bytes)?;
    let mut text =
        std::str::from_utf8(reader.take(text_bytes)?).map_err(|_| CodecError("a dictionary is not UTF-8"))?;
    let mut dictionary = Vec::with_capacity(entries);
    for length in lengths {
        let length = usize::try_from(length).map_err(|_| CodecError("a string is too long"))?;
        let (entry, rest) = text.split_at_checked(length).ok_or(CodecError("a dictionary is cut off"))?;
        dictionary.push(entry.into());
        text = rest;
    }
    Ok(Cells::Text { dictionary, codes })
}

fn put_u32(out: &mut Vec<u8>, count: usize) {
    let count = u32::try_from(count).expect("check_shape and the frame limit bound every count below 4 GiB");
    out.extend_from_slice(&count.to_le_bytes());
}

fn put_u16(out: &mut Vec<u8>, count: usize) {
    let count = u16::try_from(count).expect("check_shape bounds columns and names");
    out.extend_from_slice(&count.to_le_bytes());
}

/// Written so that the compiler makes one memory copy of it on a little-endian machine.
fn put_each<T: Copy, const N: usize>(out: &mut Vec<u8>, values: &[T], bytes_of: impl Fn(T) -> [u8; N]) {
    let start = out.len();
    out.resize(start + values.len() * N, 0);
    let (chunks, _) = out.get_mut(start..).unwrap_or_default().as_chunks_mut::<N>();
    for (chunk, value) in chunks.iter_mut().zip(values) {
        *chunk = bytes_of(*value);
    }
}

pub(crate) fn put_bitmap(out: &mut Vec<u8>, bits: &[bool]) {
    out.extend(
        bits.chunks(8).map(|eight| {
            eight.iter().enumerate().fold(0u8, |byte, (position, bit)| byte | (u8::from(*bit) << position))
        }),
    );
}

pub(crate) struct Reader<'a> {
    pub(crate) rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn take(&mut self, bytes: usize) -> Result<&'a [u8], CodecError> {
        let (taken, rest) = self.rest.split_at_checked(bytes).ok_or(CodecError::CUT_OFF)?;
        self.rest = rest;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], CodecError> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(CodecError::CUT_OFF)?;
        self.rest = rest;
        Ok(*taken)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, CodecError> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    fn u16(&mut self) -> Result<usize, CodecError> {
        Ok(usize::from(u16::from_le_bytes(self.array()?)))
    }

    fn u32(&mut self) -> Result<usize, CodecError> {
        usize::try_from(u32::from_le_bytes(self.array()?)).map_err(|_| CodecError("too large for this machine"))
    }

    fn each<T, const N: usize>(&mut self, count: usize, of: impl Fn([u8; N]) -> T) -> Result<Vec<T>, CodecError> {
        let bytes = self.take(count.checked_mul(N).ok_or(CodecError::CUT_OFF)?)?;
        Ok(bytes.as_chunks::<N>().0.iter().map(|chunk| of(*chunk)).collect())
    }

    pub(crate) fn bitmap(&mut self, rows: usize) -> Result<Vec<bool>, CodecError> {
        let bytes = self.take(rows.div_ceil(8))?;
        let bits = bytes.iter().flat_map(|byte| (0..8).map(move |position| (byte >> position) & 1 == 1));
        Ok(bits.take(rows).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Points {
        let text = Cells::Text { dictionary: vec!["".into(), "é".into()], codes: vec![1, 0, 1] };
        Points {
            times_ns: vec![-5, 0, i64::MAX],
            columns: vec![
                Column { name: "value".into(), cells: Cells::Number(vec![1.5, -0.0, f64::MAX]), present: None },
                Column { name: "t".into(), cells: text, present: Some(vec![true, false, true]) },
                Column { name: "b".into(), cells: Cells::Boolean(vec![true, false, true]), present: None },
            ],
        }
    }

    #[test]
    fn points_come_back_as_they_were_and_the_size_is_foretold() {
        for points in [sample(), Points { times_ns: vec![7], columns: vec![] }] {
            let mut bytes = Vec::new();
            encode(&points, &mut bytes);
            assert_eq!(bytes.len(), encoded_bytes(&points));
            assert_eq!(decode(&bytes).unwrap(), points);
        }
    }

    #[test]
    fn points_cut_off_anywhere_are_refused() {
        let mut bytes = Vec::new();
        encode(&sample(), &mut bytes);
        for length in 0..bytes.len() {
            assert!(decode(&bytes[..length]).is_err(), "{length}");
        }
        bytes.push(0);
        assert!(decode(&bytes).is_err());
    }
}
