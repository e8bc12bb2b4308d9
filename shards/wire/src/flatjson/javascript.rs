//! Conversions as ECMAScript does them, because the reference server and its clients are written in it.

/// `String(number)`.
pub(super) fn number_text(number: f64) -> String {
    ryu_js::Buffer::new().format(number).to_owned()
}

/// `parseFloat(text)`: the longest numeric start of the text, NaN if there is none.
pub(super) fn parse_float(text: &str) -> f64 {
    let text = text.trim_start_matches(is_white_space);
    let end = numeric_prefix(text.as_bytes());
    let (negative, digits) = match text.as_bytes().first() {
        Some(b'-') => (true, text.get(1..end)),
        Some(b'+') => (false, text.get(1..end)),
        _ => (false, text.get(..end)),
    };
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let magnitude = match digits {
        Some(digits) if !digits.is_empty() => fast_float2::parse(digits).unwrap_or(f64::NAN),
        _ if unsigned.starts_with("Infinity") => f64::INFINITY,
        _ => f64::NAN,
    };
    if negative { -magnitude } else { magnitude }
}

/// Length of the start that is a StrDecimalLiteral (ECMA-262 7.1.4.1), 0 if there is none.
fn numeric_prefix(text: &[u8]) -> usize {
    let sign = usize::from(matches!(text.first(), Some(b'-' | b'+')));
    let whole = digit_count(text, sign);
    let mut end = sign + whole;
    let mut fraction = 0;
    if text.get(end) == Some(&b'.') {
        fraction = digit_count(text, end + 1);
        if whole + fraction > 0 {
            end += 1 + fraction;
        }
    }
    if whole + fraction == 0 {
        return 0;
    }
    if matches!(text.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(text.get(end + 1), Some(b'-' | b'+')));
        let exponent = digit_count(text, end + 1 + sign);
        if exponent > 0 {
            end += 1 + sign + exponent;
        }
    }
    end
}

fn digit_count(text: &[u8], from: usize) -> usize {
    text.get(from..).unwrap_or_default().iter().take_while(|byte| byte.is_ascii_digit()).count()
}

/// WhiteSpace and LineTerminator of ECMA-262: Unicode's spaces and the byte order mark, but not NEL.
fn is_white_space(character: char) -> bool {
    character == '\u{feff}' || (character.is_whitespace() && character != '\u{85}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_printed_as_ecmascript_does() {
        for (number, text) in [
            (12.0, "12"),
            (-0.0, "0"),
            (1e21, "1e+21"),
            (123_456_789_012_345_680_000.0, "123456789012345680000"),
            (1e-7, "1e-7"),
            (0.000_001, "0.000001"),
            (-1.5, "-1.5"),
            (5e-324, "5e-324"),
        ] {
            assert_eq!(number_text(number), text);
        }
    }

    #[test]
    fn a_number_is_read_from_the_start_of_a_text() {
        for (text, number) in [
            ("5", 5.0),
            ("12abc", 12.0),
            ("  \u{feff}\n-3.5e2x", -350.0),
            ("+4", 4.0),
            (".5", 0.5),
            ("5.", 5.0),
            ("5.e1", 50.0),
            ("1e", 1.0),
            ("1e+", 1.0),
            ("0x10", 0.0),
            ("1_000", 1.0),
            ("-Infinityx", f64::NEG_INFINITY),
            ("1e999", f64::INFINITY),
        ] {
            assert_eq!(parse_float(text), number, "{text}");
        }
        for text in ["", "abc", ".", "-", "+.", "e5", "NaN", "inf", "infinity", "--1", "\u{85}1"] {
            assert!(parse_float(text).is_nan(), "{text}");
        }
    }
}
