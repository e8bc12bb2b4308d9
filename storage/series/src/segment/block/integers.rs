//! A sequence of integers: times, scaled measurements, codes of strings.
//!
//! What all have in common is taken out first: `value = min + unit * x`, where `unit` divides all differences. Steady
//! times are thereby 0, 1, 2..., milliseconds in nanoseconds a million times smaller. Then the differences of the order
//! that a sample favours (0: the values; 1: to the value before; 2: of differences) are packed in groups.
//!
//! ```text
//! nothing at all for a sequence of no integers, else:
//!   varint  min, signed
//!   varint  unit, at least 1
//!        1  form: 0, 1 or 2 differences of that order, packed; 3 entropy-coded
//! packed:
//!   varint  (signed) the first value, then the first difference: as many as the order says
//!           groups of the others (packing.rs)
//! entropy-coded (entropy.rs):
//!   varint  bytes
//!           the bytes
//! ```

use super::unit::Unit;
use super::{Effort, entropy, packing, varint};
use crate::codec::{CodecError, Reader};

const FORM_ENTROPY: u8 = 3;
const ORDER_MAX: usize = 2;
/// Groups that are looked at to choose the order of differences.
const SAMPLES: usize = 4;
/// Shorter than this the head of the entropy coder costs more than it saves.
const ENTROPY_BYTES_MIN: usize = 40;
/// A count below [`super::ROWS_MAX`] times 8.
const CODED_HEAD_BYTES_MAX: usize = 3;

pub(super) fn encode(values: &[i64], effort: Effort, out: &mut Vec<u8>) {
    let Some(min) = values.iter().min() else { return };
    let mut offsets: Vec<u64> = values.iter().map(|value| value.wrapping_sub(*min).cast_unsigned()).collect();
    let unit = Unit::common(&offsets);
    if unit.get() > 1 {
        offsets.iter_mut().for_each(|offset| *offset = unit.quotient(*offset));
    }
    varint::put_signed(out, *min);
    varint::put(out, unit.get());
    let order = choose_order(&offsets);
    let start = out.len();
    match effort {
        Effort::Flush => put_packed(&mut offsets, order, out),
        Effort::Merge => {
            put_packed(&mut offsets.clone(), order, out);
            replace_by_coded(&offsets, order, start, out);
        }
    }
}

/// `count` must be bounded by the caller: a few bytes can stand for many values.
pub(super) fn decode(reader: &mut Reader<'_>, count: usize) -> Result<Vec<i64>, CodecError> {
    if count == 0 {
        return Ok(Vec::new());
    }
    let min = varint::take_signed(reader)?;
    let unit = varint::take(reader)?;
    let offsets = match reader.u8()? {
        FORM_ENTROPY => {
            let bytes = varint::take_count(reader, reader.rest.len())?;
            entropy::decode(reader.take(bytes)?, count)?
        }
        order => take_packed(reader, usize::from(order), count)?,
    };
    let value_of = |offset: u64| min.wrapping_add(offset.wrapping_mul(unit).cast_signed());
    Ok(offsets.into_iter().map(value_of).collect())
}

/// What was packed from `start` on gives way to the entropy-coded form if that is smaller.
fn replace_by_coded(offsets: &[u64], order: usize, start: usize, out: &mut Vec<u8>) {
    let packed_bytes = out.len() - start;
    if packed_bytes <= ENTROPY_BYTES_MIN {
        return;
    }
    let Some(coded) = entropy::encode(offsets, order) else { return };
    if coded.len() + CODED_HEAD_BYTES_MAX < packed_bytes {
        out.truncate(start);
        out.push(FORM_ENTROPY);
        varint::put_count(out, coded.len());
        out.extend_from_slice(&coded);
    }
}

fn put_packed(values: &mut [u64], order: usize, out: &mut Vec<u8>) {
    out.push(u8::try_from(order).expect("at most 2"));
    difference(values, order);
    let (firsts, rest) = values.split_at_checked(order).unwrap_or_default();
    firsts.iter().for_each(|first| varint::put_signed(out, first.cast_signed()));
    packing::encode(rest, out);
}

fn take_packed(reader: &mut Reader<'_>, order: usize, count: usize) -> Result<Vec<u64>, CodecError> {
    if order > ORDER_MAX || order >= count {
        return Err(CodecError("unknown form of integers"));
    }
    let mut values = Vec::with_capacity(count);
    for _ in 0..order {
        values.push(varint::take_signed(reader)?.cast_unsigned());
    }
    packing::decode(reader, count, &mut values)?;
    sum_up(&mut values, order);
    Ok(values)
}

/// Every value but the first `order` becomes its difference of that order; those before it, their first differences.
fn difference(values: &mut [u64], order: usize) {
    for round in 0..order {
        let mut before = 0;
        let rest = values.get_mut(round..).unwrap_or_default();
        rest.iter_mut().for_each(|value| before = std::mem::replace(value, value.wrapping_sub(before)));
    }
}

/// Undoes [`difference`].
fn sum_up(values: &mut [u64], order: usize) {
    for round in (0..order).rev() {
        let mut sum = 0u64;
        for value in values.get_mut(round..).unwrap_or_default() {
            sum = sum.wrapping_add(*value);
            *value = sum;
        }
    }
}

/// The order of differences whose sample packs best; the lowest of equals.
fn choose_order(values: &[u64]) -> usize {
    let order_max = ORDER_MAX.min(values.len().saturating_sub(1));
    let stride = (values.len() / SAMPLES).max(packing::GROUP);
    let mut costs = [0u64; ORDER_MAX + 1];
    for start in (0..values.len()).step_by(stride) {
        let end = values.len().min(start + packing::GROUP + ORDER_MAX);
        let mut sample = values.get(start..end).unwrap_or_default().to_vec();
        let mut sample = sample.as_mut_slice();
        for cost in costs.iter_mut().take(order_max + 1) {
            *cost += packing::cost_bits(sample.get(..packing::GROUP).unwrap_or(sample));
            difference(sample, 1);
            sample = sample.get_mut(1..).unwrap_or_default();
        }
    }
    (0..=order_max).min_by_key(|order| costs.get(*order).copied().unwrap_or(u64::MAX)).unwrap_or_default()
}
