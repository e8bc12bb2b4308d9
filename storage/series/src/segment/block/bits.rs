//! Booleans and presence: one bit each, or the lengths of runs where these are shorter.
//!
//! ```text
//!        1  form: 0 bitmap; 1 or 2 runs, the first of false or of true
//! bitmap:   ceil(count / 8) bytes, lowest bit first
//! runs:     each a varint, at least 1, until count is reached
//! ```

use super::varint;
use crate::codec::{CodecError, Reader, put_bitmap};

const FORM_BITMAP: u8 = 0;
const FORM_RUNS_FALSE: u8 = 1;
const FORM_RUNS_TRUE: u8 = 2;

pub(super) fn encode(bits: &[bool], out: &mut Vec<u8>) {
    let start = out.len();
    let bitmap_end = start + 1 + bits.len().div_ceil(8);
    out.push(if bits.first().is_some_and(|first| *first) { FORM_RUNS_TRUE } else { FORM_RUNS_FALSE });
    for run in bits.chunk_by(|a, b| a == b) {
        varint::put_count(out, run.len());
        if out.len() > bitmap_end {
            out.truncate(start);
            out.push(FORM_BITMAP);
            put_bitmap(out, bits);
            return;
        }
    }
}

pub(super) fn decode(reader: &mut Reader<'_>, count: usize) -> Result<Vec<bool>, CodecError> {
    let mut bit = match reader.u8()? {
        FORM_BITMAP => return reader.bitmap(count),
        FORM_RUNS_FALSE => false,
        FORM_RUNS_TRUE => true,
        _ => return Err(CodecError("unknown form of bits")),
    };
    let mut bits = Vec::with_capacity(count);
    while bits.len() < count {
        let run = varint::take_count(reader, count - bits.len())?;
        if run == 0 {
            return Err(CodecError("an empty run of bits"));
        }
        bits.resize(bits.len() + run, bit);
        bit = !bit;
    }
    Ok(bits)
}
