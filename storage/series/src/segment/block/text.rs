//! Strings: a dictionary, and the codes as integers.
//!
//! ```text
//!   varint  entries of the dictionary
//!           each entry's bytes, varint
//!           all strings, UTF-8
//!           codes (integers.rs), of the rows that have a value
//! ```

use super::{Effort, integers, varint};
use crate::codec::{CodecError, Reader};

pub(super) fn encode(dictionary: &[Box<str>], codes: &[u32], effort: Effort, out: &mut Vec<u8>) {
    varint::put_count(out, dictionary.len());
    dictionary.iter().for_each(|text| varint::put_count(out, text.len()));
    dictionary.iter().for_each(|text| out.extend_from_slice(text.as_bytes()));
    let codes: Vec<i64> = codes.iter().map(|code| i64::from(*code)).collect();
    integers::encode(&codes, effort, out);
}

pub(super) fn decode(reader: &mut Reader<'_>, count: usize) -> Result<(Vec<Box<str>>, Vec<u32>), CodecError> {
    // Each length takes a byte at least, and each string what its length says.
    let entries = varint::take_count(reader, reader.rest.len())?;
    let lengths = (0..entries).map(|_| varint::take_count(reader, reader.rest.len())).collect::<Result<Vec<_>, _>>()?;
    let mut dictionary = Vec::with_capacity(entries);
    for length in lengths {
        let text = std::str::from_utf8(reader.take(length)?).map_err(|_| CodecError("a string is not UTF-8"))?;
        dictionary.push(text.into());
    }
    let code_of = |code: i64| {
        let code = u32::try_from(code).ok();
        code.filter(|code| usize::try_from(*code).is_ok_and(|code| code < entries)).ok_or(CodecError::SHAPE)
    };
    let codes = integers::decode(reader, count)?.into_iter().map(code_of).collect::<Result<_, _>>()?;
    Ok((dictionary, codes))
}
