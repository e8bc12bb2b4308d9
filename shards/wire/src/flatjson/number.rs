//! JSON numbers (RFC 8259 section 6) straight from bytes: short ones by integer arithmetic, the others by fast-float2.

/// A double holds every integer up to here exactly.
const EXACT_INTEGER_MAX: u64 = 1 << 53;
/// More digits could overflow the 64-bit mantissa.
const MANTISSA_DIGITS_MAX: usize = 19;
/// Powers of ten that a double holds exactly.
const EXACT_POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20,
    1e21, 1e22,
];

/// The number at the start of `text` and how many bytes it takes; `None` if there is none, or if it is not finite.
#[inline]
pub(super) fn parse(text: &[u8]) -> Option<(f64, usize)> {
    let is_negative = text.first() == Some(&b'-');
    let start = usize::from(is_negative);
    let mut mantissa = 0;
    let whole_end = digits(text, start, &mut mantissa);
    let mut digit_count = whole_end - start;
    // No digits, or a leading zero before others.
    if digit_count == 0 || (digit_count > 1 && text.get(start) == Some(&b'0')) {
        return None;
    }
    let (mut end, mut fraction_count) = (whole_end, 0);
    if text.get(end) == Some(&b'.') {
        end = digits(text, whole_end + 1, &mut mantissa);
        fraction_count = end - whole_end - 1;
        if fraction_count == 0 {
            return None;
        }
        digit_count += fraction_count;
    }
    if matches!(text.get(end), Some(b'e' | b'E')) {
        return parse_slow(text, exponent_end(text, end)?);
    }
    // Clinger's fast path: an exact integer divided by an exact power of ten is rounded once, hence correctly.
    match EXACT_POWERS.get(fraction_count) {
        Some(power) if digit_count <= MANTISSA_DIGITS_MAX && mantissa <= EXACT_INTEGER_MAX => {
            let magnitude = mantissa as f64 / power;
            Some((if is_negative { -magnitude } else { magnitude }, end))
        }
        _ => parse_slow(text, end),
    }
}

/// Reads digits from `at` on into the mantissa, which wraps if there are too many; returns where they end.
#[inline]
fn digits(text: &[u8], at: usize, mantissa: &mut u64) -> usize {
    let mut count = 0;
    for byte in text.get(at..).unwrap_or_default() {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            break;
        }
        *mantissa = mantissa.wrapping_mul(10).wrapping_add(u64::from(digit));
        count += 1;
    }
    at + count
}

fn exponent_end(text: &[u8], e: usize) -> Option<usize> {
    let sign = usize::from(matches!(text.get(e + 1), Some(b'+' | b'-')));
    let start = e + 1 + sign;
    let end = digits(text, start, &mut 0);
    (end > start).then_some(end)
}

#[cold]
fn parse_slow(text: &[u8], end: usize) -> Option<(f64, usize)> {
    let number: f64 = fast_float2::parse(text.get(..end)?).ok()?;
    number.is_finite().then_some((number, end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_json_numbers_are_read() {
        for text in ["", "-", "+1", ".5", "1.", "01", "-01", "1e", "1e+", "1.e5", "inf", "NaN", "1e999", "-1e999", "x"]
        {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
        for (text, number, length) in [
            ("0,", 0.0_f64, 1),
            ("-0", -0.0, 2),
            ("12]", 12.0, 2),
            ("0.5 ", 0.5, 3),
            ("1e3", 1000.0, 3),
            ("1E-3x", 0.001, 4),
            ("9007199254740993", 9_007_199_254_740_992.0, 16),
            ("18446744073709551617", 18_446_744_073_709_551_616.0, 20),
            ("0.00000000000000000000000000012", 1.2e-28, 31),
        ] {
            let (parsed, end) = parse(text.as_bytes()).unwrap();
            assert_eq!((parsed.to_bits(), end), (number.to_bits(), length), "{text}");
        }
    }

    proptest! {
        #[test]
        fn numbers_are_those_of_the_standard_library(text in "-?(0|[1-9][0-9]{0,24})(\\.[0-9]{1,28})?([eE][+-]?[0-9]{1,2})?") {
            let (number, end) = parse(text.as_bytes()).unwrap();
            prop_assert_eq!(number.to_bits(), text.parse::<f64>().unwrap().to_bits());
            prop_assert_eq!(end, text.len());
        }
    }
}
