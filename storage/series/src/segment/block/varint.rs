//! Integers of variable length: seven bits a byte, lowest first, the highest bit says that more follow.

use crate::codec::{CodecError, Reader};

const CONTINUES: u8 = 0x80;
pub(super) const PAYLOAD_BITS: u32 = 7;

pub(super) fn put(out: &mut Vec<u8>, value: u64) {
    let mut rest = value;
    while let [low, ..] = rest.to_le_bytes()
        && rest >= u64::from(CONTINUES)
    {
        out.push(low | CONTINUES);
        rest >>= PAYLOAD_BITS;
    }
    out.push(rest.to_le_bytes()[0]);
}

/// A signed value as [`zigzag`] maps it.
pub(super) fn put_signed(out: &mut Vec<u8>, value: i64) {
    put(out, zigzag(value));
}

pub(super) fn put_count(out: &mut Vec<u8>, count: usize) {
    put(out, u64::try_from(count).expect("a usize fits"));
}

pub(super) fn take(reader: &mut Reader<'_>) -> Result<u64, CodecError> {
    let mut value = 0;
    for shift in (0..u64::BITS).step_by(7) {
        let byte = reader.u8()?;
        let low = u64::from(byte & !CONTINUES);
        if low << shift >> shift != low {
            break;
        }
        value |= low << shift;
        if byte & CONTINUES == 0 {
            return Ok(value);
        }
    }
    Err(CodecError("an integer of more than 64 bits"))
}

pub(super) fn take_signed(reader: &mut Reader<'_>) -> Result<i64, CodecError> {
    take(reader).map(unzigzag)
}

/// At most `max`: what bounds every allocation of a decoder.
pub(super) fn take_count(reader: &mut Reader<'_>, max: usize) -> Result<usize, CodecError> {
    let count = usize::try_from(take(reader)?).ok();
    count.filter(|count| *count <= max).ok_or(CodecError("a count beyond its limit"))
}

/// Small for values near zero of either sign: 0, -1, 1, -2 become 0, 1, 2, 3.
pub(super) fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_integer_that_is_cut_off_or_too_long_is_refused() {
        for bytes in
            [&[][..], &[0x80], &[0xff; 9], &[0xff; 11], &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]]
        {
            assert!(take(&mut Reader { rest: bytes }).is_err(), "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn integers_of_any_size_are_read_back(value in any::<i64>(), bits in 0u32..64) {
            let value = value >> bits;
            let mut bytes = Vec::new();
            put_signed(&mut bytes, value);
            put(&mut bytes, value.cast_unsigned());
            let mut reader = Reader { rest: &bytes };
            prop_assert_eq!(take_signed(&mut reader).unwrap(), value);
            prop_assert_eq!(take(&mut reader).unwrap(), value.cast_unsigned());
            prop_assert!(reader.rest.is_empty());
        }
    }
}
