//! The greatest common divisor of many integers, and division by it without dividing.

/// A divisor that is at least 1, ready to test for divisibility and to divide by one multiplication.
///
/// With `unit = odd << shift`, `x * inverse(odd)` rotated right by `shift` is `x / unit` when that is exact, and larger
/// than any quotient otherwise (Granlund and Montgomery 1994, section 9).
#[derive(Clone, Copy, Debug)]
pub(super) struct Unit {
    unit: u64,
    inverse: u64,
    shift: u32,
    quotient_max: u64,
}

impl Unit {
    /// The largest unit of which all values are multiples; 1 when all are zero.
    pub(super) fn common(values: &[u64]) -> Self {
        let first = values.iter().copied().find(|value| *value != 0).unwrap_or(1);
        let mut unit = Self::new(first);
        for value in values {
            if !unit.divides(*value) {
                unit = Self::new(greatest_common_divisor(unit.unit, *value));
                if unit.unit == 1 {
                    break;
                }
            }
        }
        unit
    }

    pub(super) fn get(self) -> u64 {
        self.unit
    }

    /// Exact for values that the unit divides, nonsense for others.
    pub(super) fn quotient(self, value: u64) -> u64 {
        value.wrapping_mul(self.inverse).rotate_right(self.shift)
    }

    fn divides(self, value: u64) -> bool {
        self.quotient(value) <= self.quotient_max
    }

    fn new(unit: u64) -> Self {
        let shift = unit.trailing_zeros();
        let odd = unit >> shift;
        // Newton's method: right in the lowest 5 bits, then in 10, 20, 40, 80.
        let mut inverse = odd.wrapping_mul(3) ^ 2;
        for _ in 0..4 {
            inverse = inverse.wrapping_mul(2u64.wrapping_sub(odd.wrapping_mul(inverse)));
        }
        Self { unit, inverse, shift, quotient_max: u64::MAX / unit }
    }
}

fn greatest_common_divisor(a: u64, b: u64) -> u64 {
    let (mut a, mut b) = (a, b);
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_common_unit_divides_all_and_nothing_larger_does(
            values in prop::collection::vec(any::<u64>(), 1..20), unit in any::<u64>(), shifts in (0u32..64, 0u32..64),
        ) {
            let unit = (unit >> shifts.0).max(1);
            let multiples: Vec<u64> = values.iter().map(|value| (value >> shifts.1) % (u64::MAX / unit) * unit).collect();
            let found = Unit::common(&multiples);
            let expected = multiples.iter().fold(0, |a, b| greatest_common_divisor(a, *b)).max(1);
            prop_assert_eq!(found.get(), expected);
            for multiple in multiples {
                prop_assert_eq!(found.quotient(multiple), multiple / expected);
            }
        }
    }
}
