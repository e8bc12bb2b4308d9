//! One page of an answer, and its rows as JSON.

use crate::points::{Cells, Column};
use std::sync::Arc;

/// Rows in ascending order of time, each time once.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    pub times_ns: Vec<i64>,
    pub columns: Vec<Column>,
}

const NS_PER_SECOND: u64 = 1_000_000_000;
/// Up to 15 significant digits a decimal is the shortest form of its double, so it can be written from the integer.
const EXACT_NS: u64 = 1_000_000_000_000_000;
/// Integers that a double holds exactly and that are written without an exponent.
const EXACT_INTEGER: f64 = 9_007_199_254_740_992.0;

impl Page {
    pub fn rows(&self) -> usize {
        self.times_ns.len()
    }

    /// Appends `[0.5,46.5,null],[..]`: deltaTime in seconds, then the named columns, `null` where a row has no value.
    /// No comma behind the last row.
    pub fn write_json_rows(&self, columns: &[Arc<str>], out: &mut Vec<u8>) {
        let columns: Vec<NamedCells<'_>> = columns.iter().map(|name| NamedCells::of(name, &self.columns)).collect();
        out.reserve(self.rows() * (16 + 12 * columns.len()));
        let mut numbers = ryu_js::Buffer::new();
        for (row, time_ns) in self.times_ns.iter().enumerate() {
            out.extend_from_slice(if row == 0 { b"[" } else { b",[" });
            write_seconds(*time_ns, &mut numbers, out);
            for column in &columns {
                out.push(b',');
                column.write(row, &mut numbers, out);
            }
            out.push(b']');
        }
    }
}

/// The columns of one name: usually one, none when the page has no value of it, several when its type was changed.
struct NamedCells<'a> {
    first: Option<&'a Column>,
    others: Vec<&'a Column>,
}

impl<'a> NamedCells<'a> {
    fn of(name: &Arc<str>, columns: &'a [Column]) -> Self {
        let mut named = columns.iter().filter(|column| Arc::ptr_eq(&column.name, name) || column.name == *name);
        Self { first: named.next(), others: named.collect() }
    }

    fn write(&self, row: usize, numbers: &mut ryu_js::Buffer, out: &mut Vec<u8>) {
        let has_value = |column: &&&Column| column.is_present(row);
        match self.first.as_ref().filter(has_value).or_else(|| self.others.iter().find(has_value)) {
            Some(column) => write_cell(&column.cells, row, numbers, out),
            None => out.extend_from_slice(b"null"),
        }
    }
}

fn write_cell(cells: &Cells, row: usize, numbers: &mut ryu_js::Buffer, out: &mut Vec<u8>) {
    match cells {
        Cells::Number(values) => write_number(values.get(row).copied().unwrap_or(f64::NAN), numbers, out),
        Cells::Boolean(values) => {
            let is_true = values.get(row).copied().unwrap_or_default();
            out.extend_from_slice(if is_true { b"true" } else { b"false" });
        }
        Cells::Text { dictionary, codes } => {
            let code = codes.get(row).and_then(|code| usize::try_from(*code).ok());
            write_text(code.and_then(|code| dictionary.get(code)).map_or("", |text| text), out);
        }
    }
}

/// Seconds as the shortest decimal of the double `ns / 1e9`.
fn write_seconds(time_ns: i64, numbers: &mut ryu_js::Buffer, out: &mut Vec<u8>) {
    let magnitude = time_ns.unsigned_abs();
    let (seconds, fraction_ns) = (magnitude / NS_PER_SECOND, magnitude % NS_PER_SECOND);
    if fraction_ns != 0 && magnitude >= EXACT_NS {
        // The double is what the client sent and what it gets back; digits beyond its precision are no information.
        #[allow(clippy::cast_precision_loss, reason = "spec 08 4.2: nanoseconds are read back in double precision")]
        let seconds = time_ns as f64 / 1e9;
        return write_number(seconds, numbers, out);
    }
    if time_ns < 0 {
        out.push(b'-');
    }
    write_integer(seconds, out);
    if fraction_ns != 0 {
        write_fraction(fraction_ns, out);
    }
}

/// As JavaScript writes it; what JSON cannot say becomes null.
fn write_number(value: f64, numbers: &mut ryu_js::Buffer, out: &mut Vec<u8>) {
    if value.abs() < EXACT_INTEGER && value.trunc() == value {
        if value < 0.0 {
            out.push(b'-');
        }
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an integer below 2^53, checked")]
        write_integer(value.abs() as u64, out);
    } else if let Some(micros) = as_micros(value) {
        if value < 0.0 {
            out.push(b'-');
        }
        write_integer(micros / MICROS, out);
        write_fraction(micros % MICROS * 1000, out);
    } else if value.is_finite() {
        out.extend_from_slice(numbers.format_finite(value).as_bytes());
    } else {
        out.extend_from_slice(b"null");
    }
}

const MICROS: u64 = 1_000_000;

/// The value's magnitude in millionths, if it is a decimal of at most six places and 15 digits: then those digits are
/// its shortest form. Most measured values are; this spares them the search of the general algorithm.
fn as_micros(value: f64) -> Option<u64> {
    let scaled = (value.abs() * 1e6).round();
    // Both operands are exact, so the division rounds as reading the decimal would.
    let is_exact = scaled < 1e15 && scaled / 1e6 == value.abs();
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an integer below 10^15, checked")]
    is_exact.then_some(scaled as u64)
}

const DIGITS_MAX: usize = 20;

fn write_integer(value: u64, out: &mut Vec<u8>) {
    let mut digits = [0u8; DIGITS_MAX];
    let mut rest = value;
    let mut start = DIGITS_MAX;
    for (position, digit) in digits.iter_mut().enumerate().rev() {
        *digit = ascii_digit(rest);
        rest /= 10;
        start = position;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(start..).unwrap_or_default());
}

/// `.` and the nine digits without the zeroes at their end.
fn write_fraction(fraction_ns: u64, out: &mut Vec<u8>) {
    let mut digits = *b".000000000";
    let mut rest = fraction_ns;
    for digit in digits.iter_mut().skip(1).rev() {
        *digit = ascii_digit(rest);
        rest /= 10;
    }
    let end = digits.iter().rposition(|digit| *digit != b'0').map_or(0, |last| last + 1);
    out.extend_from_slice(digits.get(..end).unwrap_or_default());
}

fn ascii_digit(value: u64) -> u8 {
    b'0' + u8::try_from(value % 10).unwrap_or_default()
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push(b'"');
    for byte in text.bytes() {
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0..0x20 => {
                let [high, low] =
                    [byte >> 4, byte & 15].map(|nibble| HEX.get(usize::from(nibble)).copied().unwrap_or(b'0'));
                out.extend_from_slice(&[b'\\', b'u', b'0', b'0', high, low]);
            }
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn json(page: &Page, names: &[&str]) -> String {
        let names: Vec<Arc<str>> = names.iter().map(|name| Arc::from(*name)).collect();
        let mut out = Vec::new();
        page.write_json_rows(&names, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn rows_are_written_in_seconds_with_null_for_what_is_absent() {
        let numbers =
            Column { name: "v".into(), cells: Cells::Number(vec![46.5, -3.0]), present: Some(vec![true, false]) };
        let text = Cells::Text { dictionary: vec!["a\"\\\n\u{1}é".into()], codes: vec![0, 0] };
        let text = Column { name: "t".into(), cells: text, present: None };
        let flags = Column { name: "b".into(), cells: Cells::Boolean(vec![true, false]), present: None };
        let page = Page { times_ns: vec![500_000_000, 2_000_000_000], columns: vec![numbers, text, flags] };
        assert_eq!(
            json(&page, &["v", "none", "t", "b"]),
            r#"[0.5,46.5,null,"a\"\\\n\u0001é",true],[2,null,null,"a\"\\\n\u0001é",false]"#
        );
        assert_eq!(json(&page, &[]), "[0.5],[2]");
    }

    #[test]
    fn a_name_of_two_kinds_shows_the_kind_that_the_row_has() {
        let numbers =
            Column { name: "v".into(), cells: Cells::Number(vec![1.0, 0.0]), present: Some(vec![true, false]) };
        let flags =
            Column { name: "v".into(), cells: Cells::Boolean(vec![false, true]), present: Some(vec![false, true]) };
        assert_eq!(
            json(&Page { times_ns: vec![0, 1], columns: vec![numbers, flags] }, &["v"]),
            "[0,1],[0.000000001,true]"
        );
    }

    #[test]
    fn numbers_that_json_does_not_know_become_null() {
        let cells = Cells::Number(vec![f64::NAN, f64::INFINITY, 1e21, -0.0]);
        let page = Page {
            times_ns: vec![0, 1_000_000_000, 2_000_000_000, 3_000_000_000],
            columns: vec![Column { name: "v".into(), cells, present: None }],
        };
        assert_eq!(json(&page, &["v"]), "[0,null],[1,null],[2,1e+21],[3,0]");
    }

    proptest! {
        #[test]
        fn seconds_and_numbers_are_read_back_as_the_same_double(ns in any::<i64>(), small in 0i64..20_000_000_000_000_000, any in any::<f64>(), digits in -10_000_000_000_000i64..10_000_000_000_000, places in 0..9i32) {
            let mut numbers = ryu_js::Buffer::new();
            for time_ns in [ns, small, -small, small / 1_000_000 * 1_000_000] {
                let mut out = Vec::new();
                write_seconds(time_ns, &mut numbers, &mut out);
                let text = String::from_utf8(out).unwrap();
                prop_assert_eq!(text.parse::<f64>().unwrap(), time_ns as f64 / 1e9, "{}", text);
            }
            for value in [any, digits as f64 / 10f64.powi(places)] {
                prop_assume!(value.is_finite());
                let mut out = Vec::new();
                write_number(value, &mut numbers, &mut out);
                let text = String::from_utf8(out).unwrap();
                prop_assert_eq!(text.parse::<f64>().unwrap(), value);
                prop_assert_eq!(text, numbers.format_finite(value), "as JavaScript writes it");
            }
        }
    }
}
