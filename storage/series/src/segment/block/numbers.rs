//! Measured values as integers: decimals of a common number of places, or else the bits of the doubles.
//!
//! ```text
//! nothing at all for no values, else:
//!        1  scale: 0..=15 decimal places; 64 + n: bits of which the lowest n are zero in all values
//!           integers (integers.rs): value * 10^places, or sign and magnitude of the bits above the lowest n
//! with decimal places only:
//!   varint  exceptions, values that are no such decimal
//!           each: varint how many values after the one before (from the start: its position), then 8 bytes, f64
//! ```
//! Every double comes back bit for bit, negative zero and the payloads of NaN included.

use super::{Effort, integers, varint};
use crate::codec::{CodecError, Reader};

/// Ten to all of these is exact in a double, and so are all quotients that count.
const POWERS_OF_TEN: [f64; 16] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];
const SCALE_BITS: u8 = 64;
/// Values that are looked at to choose the number of places.
const SAMPLES: usize = 32;
/// One exception costs about as much as one value not compressed; beyond this part of all the other form is better.
const EXCEPTIONS_PART: usize = 32;

pub(super) fn encode(values: &[f64], effort: Effort, out: &mut Vec<u8>) {
    if values.is_empty() {
        return;
    }
    match Decimals::of(values) {
        Some(decimals) => {
            out.push(decimals.places);
            integers::encode(&decimals.integers, effort, out);
            decimals.put_exceptions(values, out);
        }
        None => {
            let zeroes = values.iter().fold(0, |all, value| all | value.to_bits()).trailing_zeros().min(63);
            out.push(SCALE_BITS + u8::try_from(zeroes).expect("below 64"));
            let integers: Vec<i64> = values.iter().map(|value| integer_of_bits(*value, zeroes)).collect();
            integers::encode(&integers, effort, out);
        }
    }
}

pub(super) fn decode(reader: &mut Reader<'_>, count: usize) -> Result<Vec<f64>, CodecError> {
    if count == 0 {
        return Ok(Vec::new());
    }
    let scale = reader.u8()?;
    let integers = integers::decode(reader, count)?;
    if let Some(zeroes) = scale.checked_sub(SCALE_BITS) {
        let zeroes = u32::from(zeroes);
        if zeroes >= u64::BITS {
            return Err(CodecError("unknown scale of numbers"));
        }
        return Ok(integers.into_iter().map(|integer| number_of_bits(integer, zeroes)).collect());
    }
    let power = *POWERS_OF_TEN.get(usize::from(scale)).ok_or(CodecError("unknown scale of numbers"))?;
    let mut values: Vec<f64> = integers.into_iter().map(|integer| number_of_decimal(integer, power)).collect();
    take_exceptions(reader, &mut values)?;
    Ok(values)
}

/// Adding this to a double below [`WHOLE_MAX`] rounds it to an integer and leaves that in the lowest bits.
const ROUNDER: f64 = 6_755_399_441_055_744.0;
const WHOLE_MAX: f64 = 2_251_799_813_685_248.0;

struct Decimals {
    places: u8,
    /// In place of an exception: the integer before it.
    integers: Vec<i64>,
    exceptions: Vec<usize>,
}

impl Decimals {
    /// `None`: too many of the values are not decimals of a common number of places.
    fn of(values: &[f64]) -> Option<Self> {
        let mut places = sampled_places(values)?;
        loop {
            let power = *POWERS_OF_TEN.get(usize::from(places))?;
            let decimals = Self::at(values, places, power);
            if decimals.exceptions.len() <= values.len() / EXCEPTIONS_PART {
                return Some(decimals);
            }
            let exceptions = decimals.exceptions.iter().filter_map(|position| values.get(*position));
            places = exceptions.filter_map(|value| places_of(*value)).find(|needed| *needed > places)?;
        }
    }

    fn at(values: &[f64], places: u8, power: f64) -> Self {
        let mut all_fit = true;
        let mut integers: Vec<i64> = values
            .iter()
            .map(|value| {
                let (integer, fits) = decimal_of_number(*value, power);
                all_fit &= fits;
                integer
            })
            .collect();
        let mut exceptions = Vec::new();
        if !all_fit {
            let mut before = 0;
            for (position, (integer, value)) in integers.iter_mut().zip(values).enumerate() {
                if decimal_of_number(*value, power).1 {
                    before = *integer;
                } else {
                    exceptions.push(position);
                    *integer = before;
                }
            }
        }
        Self { places, integers, exceptions }
    }

    fn put_exceptions(&self, values: &[f64], out: &mut Vec<u8>) {
        varint::put_count(out, self.exceptions.len());
        let mut before = 0;
        for position in &self.exceptions {
            varint::put_count(out, position - before);
            before = *position;
            out.extend_from_slice(&values.get(*position).copied().unwrap_or_default().to_le_bytes());
        }
    }
}

fn take_exceptions(reader: &mut Reader<'_>, values: &mut [f64]) -> Result<(), CodecError> {
    let count = varint::take_count(reader, values.len())?;
    let mut position = 0;
    for _ in 0..count {
        position += varint::take_count(reader, values.len())?;
        let value = values.get_mut(position).ok_or(CodecError("an exception outside of the block"))?;
        *value = f64::from_le_bytes(reader.array()?);
    }
    Ok(())
}

/// As many places as most values of a sample need; `None` when they are no decimals.
fn sampled_places(values: &[f64]) -> Option<u8> {
    let step = values.len().div_ceil(SAMPLES).max(1);
    let sample = values.iter().step_by(step);
    let sampled = sample.len();
    let mut needed: Vec<u8> = sample.filter_map(|value| places_of(*value)).collect();
    needed.sort_unstable();
    needed.get(sampled - 1 - sampled / 8).copied()
}

fn places_of(value: f64) -> Option<u8> {
    let fits = |(_, power): &(u8, &f64)| decimal_of_number(value, **power).1;
    (0u8..).zip(&POWERS_OF_TEN).find(fits).map(|(places, _)| places)
}

/// The integer nearest to `value * power`, and whether the value comes back from it.
fn decimal_of_number(value: f64, power: f64) -> (i64, bool) {
    let rounded = value * power + ROUNDER;
    let whole = rounded - ROUNDER;
    let fits = (whole / power).to_bits() == value.to_bits() && whole.abs() < WHOLE_MAX;
    (rounded.to_bits().wrapping_sub(ROUNDER.to_bits()).cast_signed(), fits)
}

/// Both operands of the division are exact, so it rounds as reading the decimal would.
fn number_of_decimal(integer: i64, power: f64) -> f64 {
    (f64::from_bits(ROUNDER.to_bits().wrapping_add(integer.cast_unsigned())) - ROUNDER) / power
}

const MAGNITUDE: u64 = u64::MAX >> 1;

/// Ordered as the numbers are, so that close numbers are close integers.
fn integer_of_bits(value: f64, zeroes: u32) -> i64 {
    let magnitude = ((value.to_bits() & MAGNITUDE) >> zeroes).cast_signed();
    if value.is_sign_negative() { !magnitude } else { magnitude }
}

fn number_of_bits(integer: i64, zeroes: u32) -> f64 {
    let sign = if integer < 0 { !MAGNITUDE } else { 0 };
    let magnitude = if integer < 0 { !integer } else { integer }.cast_unsigned();
    f64::from_bits(magnitude << zeroes & MAGNITUDE | sign)
}
