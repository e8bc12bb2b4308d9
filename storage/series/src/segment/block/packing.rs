//! Integers in groups of 128, each as wide as its own values need. Values far from all others are kept apart, so that
//! one gap or spike does not widen its group.
//!
//! ```text
//! a group (signed values, wrapping arithmetic):
//!   varint  base, as the signed difference to the base of the group before (before the first: 0)
//!        1  bits of a value, 0..=64; 128 is added when exceptions follow
//!           with this byte 0: varint: how many groups after this one are equal to it; no payload
//!           payload, ceil(values x bits / 8) bytes, lowest bit first: value - base
//!           exceptions: 1 byte how many, 1 byte each for the positions, then a signed varint each: value - base
//! ```

use super::varint;
use crate::codec::{CodecError, Reader};

pub(super) const GROUP: usize = 128;
const EXCEPTIONS: u8 = 0x80;
/// Payload words of a group of 64-bit values, with room to read one more; a power of two spares the bound checks.
const WORDS: usize = 256;
/// Values of a group that are looked at to find its middle.
const SAMPLE: usize = 9;
/// Lengths in bits of a signed difference: 0 to 64.
const LENGTHS: usize = 65;

pub(super) fn encode(values: &[u64], out: &mut Vec<u8>) {
    let mut base_before = 0u64;
    let mut groups = values.chunks(GROUP).peekable();
    while let Some(group) = groups.next() {
        let plan = Plan::of(group);
        varint::put_signed(out, plan.base.wrapping_sub(base_before).cast_signed());
        base_before = plan.base;
        let bits = u8::try_from(plan.width).expect("at most 64");
        out.push(if plan.has_exceptions { bits | EXCEPTIONS } else { bits });
        if plan.width == 0 && !plan.has_exceptions {
            let is_equal = |group: &&[u64]| group.iter().all(|value| *value == plan.base);
            let more = std::iter::from_fn(|| groups.next_if(is_equal)).count();
            varint::put_count(out, more);
        } else {
            pack(group, &plan, out);
        }
        if plan.has_exceptions {
            put_exceptions(group, &plan, out);
        }
    }
}

/// Appends to `values` until there are `count`, which must be bounded: a few bytes can stand for many equal values.
pub(super) fn decode(reader: &mut Reader<'_>, count: usize, values: &mut Vec<u64>) -> Result<(), CodecError> {
    let mut unpacker = Unpacker { words: [0; WORDS] };
    let mut base = 0u64;
    while values.len() < count {
        let start = values.len();
        let rest = count - start;
        base = base.wrapping_add(varint::take_signed(reader)?.cast_unsigned());
        let bits = reader.u8()?;
        let width = u32::from(bits & !EXCEPTIONS);
        if width > u64::BITS {
            return Err(CodecError("integers of more than 64 bits"));
        }
        if bits == 0 {
            let groups = 1 + varint::take_count(reader, rest.div_ceil(GROUP) - 1)?;
            values.resize(start + rest.min(groups * GROUP), base);
            continue;
        }
        unpacker.unpack(reader, rest.min(GROUP), base, width, values)?;
        if bits & EXCEPTIONS != 0 {
            take_exceptions(reader, base, values.get_mut(start..).unwrap_or_default())?;
        }
    }
    Ok(())
}

/// What the values would take, in bits: to choose between ways to write the same numbers.
pub(super) fn cost_bits(group: &[u64]) -> u64 {
    Plan::of(group).bits
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Plan {
    base: u64,
    width: u32,
    has_exceptions: bool,
    bits: u64,
}

impl Plan {
    fn of(group: &[u64]) -> Self {
        let whole = Self::spanning(group.iter().copied(), group.len());
        if whole.width == 0 { whole } else { Self::trimmed(group, whole) }
    }

    /// Wide enough for these values of a group of `count`.
    fn spanning(values: impl Iterator<Item = u64>, count: usize) -> Self {
        let signed = values.map(u64::cast_signed);
        let (min, max) = signed.fold((i64::MAX, i64::MIN), |(min, max), value| (min.min(value), max.max(value)));
        let width = bit_length(max.wrapping_sub(min).cast_unsigned());
        Self { base: min.cast_unsigned(), width, has_exceptions: false, bits: payload_bits(count, width) }
    }

    /// Values far from the middle become exceptions where that is cheaper than `whole`.
    fn trimmed(group: &[u64], whole: Self) -> Self {
        let middle = middle_of(group);
        let length_of = |value: u64| bit_length(varint::zigzag(value.wrapping_sub(middle).cast_signed()));
        let mut values_of_length = [0u64; LENGTHS];
        for value in group {
            if let Some(values) = values_of_length.get_mut(index(length_of(*value))) {
                *values += 1;
            }
        }
        let (mut best_bits, mut best_length) = (whole.bits, None);
        let (mut exceptions, mut exception_bits) = (0, 8);
        // No difference to the middle is longer than the span of all values and a sign.
        for length in (0..=whole.width).rev() {
            let beyond = length + 1;
            let values = values_of_length.get(index(beyond)).copied().unwrap_or_default();
            exceptions += values;
            exception_bits += values * (8 + 8 * u64::from(beyond.div_ceil(varint::PAYLOAD_BITS)));
            let bits = payload_bits(group.len(), length) + exception_bits;
            if exceptions > 0 && bits < best_bits {
                (best_bits, best_length) = (bits, Some(length));
            }
        }
        let Some(length) = best_length else { return whole };
        let near = group.iter().copied().filter(|value| length_of(*value) <= length);
        let narrow = Self::spanning(near, group.len());
        // Near to the middle modulo 2^64, and far apart: values at both ends of the range.
        let Some(narrower) = length.checked_sub(narrow.width) else { return whole };
        let saved_bits = payload_bits(group.len(), narrower);
        Self { has_exceptions: true, bits: best_bits - saved_bits, ..narrow }
    }

    /// Whether the payload can hold the value.
    fn holds(&self, value: u64) -> bool {
        bit_length(value.wrapping_sub(self.base)) <= self.width
    }
}

/// The median of a few.
fn middle_of(group: &[u64]) -> u64 {
    let mut sample = [i64::MAX; SAMPLE];
    let step = group.len().div_ceil(SAMPLE).max(1);
    let mut taken = 0;
    for (slot, value) in sample.iter_mut().zip(group.iter().step_by(step)) {
        *slot = value.cast_signed();
        taken += 1;
    }
    sample.sort_unstable();
    sample.get(taken / 2).copied().unwrap_or_default().cast_unsigned()
}

fn put_exceptions(group: &[u64], plan: &Plan, out: &mut Vec<u8>) {
    let exceptions = || (0u8..).zip(group).filter(|(_, value)| !plan.holds(**value));
    out.push(u8::try_from(exceptions().count()).expect("at most 128"));
    out.extend(exceptions().map(|(position, _)| position));
    exceptions().for_each(|(_, value)| varint::put_signed(out, value.wrapping_sub(plan.base).cast_signed()));
}

fn take_exceptions(reader: &mut Reader<'_>, base: u64, group: &mut [u64]) -> Result<(), CodecError> {
    let count = reader.u8()?;
    for position in reader.take(usize::from(count))? {
        let value = group.get_mut(usize::from(*position)).ok_or(CodecError("an exception outside of its group"))?;
        *value = base.wrapping_add(varint::take_signed(reader)?.cast_unsigned());
    }
    Ok(())
}

fn pack(group: &[u64], plan: &Plan, out: &mut Vec<u8>) {
    let mut words = [0u64; GROUP];
    let (mut word, mut filled) = (0u64, 0);
    let mut slots = words.iter_mut();
    for value in group {
        let offset = value.wrapping_sub(plan.base);
        let offset = if bit_length(offset) <= plan.width { offset } else { 0 };
        word |= offset.unbounded_shl(filled);
        filled += plan.width;
        if filled >= u64::BITS {
            filled -= u64::BITS;
            *slots.next().expect("128 values of 64 bits are 128 words") = word;
            word = offset.unbounded_shr(plan.width - filled);
        }
    }
    if let Some(slot) = slots.next() {
        *slot = word;
    }
    let start = out.len();
    let bytes = payload_bytes(group.len(), plan.width);
    out.extend(words.iter().take(bytes.div_ceil(8)).flat_map(|word| word.to_le_bytes()));
    out.truncate(start + bytes);
}

struct Unpacker {
    /// What is left from a group before lies behind the bits that are read.
    words: [u64; WORDS],
}

impl Unpacker {
    fn unpack(
        &mut self,
        reader: &mut Reader<'_>,
        count: usize,
        base: u64,
        width: u32,
        values: &mut Vec<u64>,
    ) -> Result<(), CodecError> {
        self.load(reader.take(payload_bytes(count, width))?);
        let mask = u64::MAX.unbounded_shr(u64::BITS - width);
        let width = index(width);
        values.extend((0..count).map(|position| {
            let bit = position * width;
            let (word, shift) = (bit / 64, bit % 64);
            let low = self.words.get(word % WORDS).copied().unwrap_or_default() >> shift;
            let high = self.words.get((word + 1) % WORDS).copied().unwrap_or_default() << 1 << (63 - shift);
            base.wrapping_add((low | high) & mask)
        }));
        Ok(())
    }

    fn load(&mut self, payload: &[u8]) {
        let (whole, rest) = payload.as_chunks::<8>();
        let mut last = [0; 8];
        last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
        for (word, bytes) in self.words.iter_mut().zip(whole.iter().chain([&last])) {
            *word = u64::from_le_bytes(*bytes);
        }
    }
}

fn payload_bits(count: usize, width: u32) -> u64 {
    u64::try_from(count).expect("a usize fits") * u64::from(width)
}

fn payload_bytes(count: usize, width: u32) -> usize {
    (count * index(width)).div_ceil(8)
}

fn bit_length(value: u64) -> u32 {
    u64::BITS - value.leading_zeros()
}

fn index(bits: u32) -> usize {
    usize::try_from(bits).expect("a count of bits fits")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decoded(bytes: &[u8], count: usize) -> Option<Vec<u64>> {
        let mut values = Vec::new();
        let mut reader = Reader { rest: bytes };
        decode(&mut reader, count, &mut values).ok()?;
        reader.rest.is_empty().then_some(values)
    }

    fn round_trip(values: &[u64]) -> usize {
        let mut bytes = Vec::new();
        encode(values, &mut bytes);
        assert_eq!(decoded(&bytes, values.len()).unwrap(), values);
        bytes.len()
    }

    #[test]
    fn equal_values_cost_a_few_bytes_whatever_their_number() {
        assert_eq!(round_trip(&[]), 0);
        assert!(round_trip(&[7; 4096]) <= 4);
        assert!(round_trip(&[u64::MAX; 65_535]) <= 6);
    }

    #[test]
    fn a_few_outliers_do_not_widen_their_group() {
        let mut values: Vec<u64> = (0..128).map(|position| position % 4).collect();
        values[17] = 1 << 40;
        values[99] = 0u64.wrapping_sub(1 << 40);
        assert!(round_trip(&values) <= 128 / 4 + 25);
    }

    #[test]
    fn values_at_both_ends_of_the_range_are_read_back() {
        // All but one of them are near to each other when the differences wrap around.
        let mut values: Vec<u64> = (0..100).map(|position| (i64::MAX - position).cast_unsigned()).collect();
        values[0] = i64::MIN.cast_unsigned();
        values[7] = 0;
        round_trip(&values);
    }

    #[test]
    fn every_width_is_read_back() {
        for width in 0..=64u32 {
            let max = u64::MAX.unbounded_shr(64 - width);
            for count in [1, 2, 127, 128, 129, 300] {
                let values: Vec<u64> = (0..count).map(|position| max - ((position * 7919) & max)).collect();
                round_trip(&values);
                let ends: Vec<u64> = (0..count).map(|position| if position % 2 == 0 { 0 } else { max }).collect();
                round_trip(&ends);
            }
        }
    }

    #[test]
    fn a_run_beyond_the_count_or_a_position_outside_of_the_group_is_refused() {
        let run_of_three = [2, 0, 2];
        assert_eq!(decoded(&run_of_three, 300).unwrap(), vec![1; 300]);
        assert!(decoded(&run_of_three, 256).is_none());
        let exception_at_9 = [2, 0x80, 1, 9, 2];
        assert_eq!(decoded(&exception_at_9, 10).unwrap()[9], 2);
        assert!(decoded(&exception_at_9, 9).is_none());
        assert!(decoded(&[2, 65, 0, 0, 0, 0, 0, 0, 0, 0, 0], 1).is_none());
    }

    proptest! {
        #[test]
        fn integers_of_mixed_sizes_are_read_back(values in prop::collection::vec((any::<u64>(), 0u32..64), 0..700), count in 0usize..700) {
            let mixed: Vec<u64> = values.iter().map(|(value, shift)| value >> shift).collect();
            round_trip(&mixed);
            let narrow: Vec<u64> = values.iter().take(count).map(|(value, shift)| if *shift == 0 { *value } else { value % 50 }).collect();
            round_trip(&narrow);
        }
    }
}
