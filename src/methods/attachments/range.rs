//! `Range` (RFC 9110, section 14): one range of bytes; several at once, and what is no range, get the whole file.

/// What of a file is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    Whole,
    Part {
        offset: u64,
        length: u64,
    },
    /// Nothing of the file: 416.
    Unsatisfiable,
}

pub fn wanted(header: Option<&str>, size: u64) -> Wanted {
    let Some(range) = header.and_then(parse) else { return Wanted::Whole };
    let (first, end) = match range {
        Range::From(first) => (first, size),
        Range::Between(first, last) => (first, size.min(last.saturating_add(1))),
        Range::Last(count) => (size.saturating_sub(count), size),
    };
    match end.checked_sub(first).filter(|length| *length > 0) {
        Some(length) => Wanted::Part { offset: first, length },
        None => Wanted::Unsatisfiable,
    }
}

enum Range {
    From(u64),
    /// Both included, in this order.
    Between(u64, u64),
    Last(u64),
}

fn parse(header: &str) -> Option<Range> {
    let (unit, range) = header.split_once('=')?;
    let (first, last) = range.trim().split_once('-')?;
    // Rust also reads a plus sign.
    let number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten();
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    match (first, last) {
        ("", count) => number(count).map(Range::Last),
        (first, "") => number(first).map(Range::From),
        (first, last) => number(first).zip(number(last)).filter(|(a, b)| a <= b).map(|(a, b)| Range::Between(a, b)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn single_open_and_suffix_ranges_are_cut_at_the_end_of_the_file() {
        for (header, offset, length) in [
            ("bytes=0-0", 0, 1),
            ("bytes=2-4", 2, 3),
            ("Bytes = 2-99", 2, 8),
            ("bytes=9-", 9, 1),
            ("bytes=-3", 7, 3),
            ("bytes=-99", 0, 10),
            ("bytes=0-18446744073709551615", 0, 10),
        ] {
            assert_eq!(wanted(Some(header), 10), Wanted::Part { offset, length }, "{header}");
        }
    }

    #[test]
    fn what_lies_behind_the_end_cannot_be_given() {
        for header in ["bytes=10-", "bytes=10-12", "bytes=-0"] {
            assert_eq!(wanted(Some(header), 10), Wanted::Unsatisfiable, "{header}");
        }
        assert_eq!(wanted(Some("bytes=0-"), 0), Wanted::Unsatisfiable);
    }

    #[test]
    fn what_is_no_single_range_of_bytes_gets_everything() {
        assert_eq!(wanted(None, 10), Wanted::Whole);
        for header in [
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=4-2",
            "bytes=0-1,4-5",
            "bytes=+1-2",
            "bytes=a-b",
            "lines=0-1",
            "bytes=99999999999999999999-",
        ] {
            assert_eq!(wanted(Some(header), 10), Wanted::Whole, "{header}");
        }
    }
}
