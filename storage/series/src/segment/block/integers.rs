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
    encode_packed(&offsets, order, out);
    let packed_bytes = out.len() - start;
    if let Effort::Merge = effort
        && packed_bytes > ENTROPY_BYTES_MIN
        && let Some(coded) = entropy::encode(&offsets, order)
        && coded.len() + 3 < packed_bytes
    {
        out.truncate(start);
        out.push(FORM_ENTROPY);
        varint::put_count(out, coded.len());
        out.extend_from_slice(&coded);
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
        order => decode_packed(reader, usize::from(order), count)?,
    };
    let value_of = |offset: u64| min.wrapping_add(offset.wrapping_mul(unit).cast_signed());
    Ok(offsets.into_iter().map(value_of).collect())
}

fn encode_packed(offsets: &[u64], order: usize, out: &mut Vec<u8>) {
    out.push(u8::try_from(order).expect("at most 2"));
    let mut rest = offsets.to_vec();
    for _ in 0..order {
        varint::put_signed(out, rest.first().copied().unwrap_or_default().cast_signed());
        rest = differences(&rest);
    }
    packing::encode(&rest, out);
}

fn decode_packed(reader: &mut Reader<'_>, order: usize, count: usize) -> Result<Vec<u64>, CodecError> {
    if order > ORDER_MAX || order >= count {
        return Err(CodecError("unknown form of integers"));
    }
    let mut firsts = [0u64; ORDER_MAX];
    for first in firsts.iter_mut().take(order) {
        *first = varint::take_signed(reader)?.cast_unsigned();
    }
    let mut values = packing::decode(reader, count - order)?;
    for first in firsts.iter().take(order).rev() {
        let mut sum = *first;
        for value in &mut values {
            sum = sum.wrapping_add(std::mem::replace(value, sum));
        }
        values.push(sum);
    }
    Ok(values)
}

fn differences(values: &[u64]) -> Vec<u64> {
    values.iter().zip(values.iter().skip(1)).map(|(before, value)| value.wrapping_sub(*before)).collect()
}

/// The order of differences whose sample packs best; the lowest of equals.
fn choose_order(values: &[u64]) -> usize {
    let order_max = ORDER_MAX.min(values.len().saturating_sub(1));
    let stride = (values.len() / SAMPLES).max(packing::GROUP);
    let mut costs = [0u64; ORDER_MAX + 1];
    for start in (0..values.len()).step_by(stride) {
        let end = values.len().min(start + packing::GROUP + ORDER_MAX);
        let mut sample = values.get(start..end).unwrap_or_default().to_vec();
        for cost in costs.iter_mut().take(order_max + 1) {
            *cost += packing::cost_bits(sample.get(..packing::GROUP).unwrap_or(&sample));
            sample = differences(&sample);
        }
    }
    (0..=order_max).min_by_key(|order| costs.get(*order).copied().unwrap_or(u64::MAX)).unwrap_or_default()
}
