//! Bodies of several parts: what is read, what is refused, and that the cuts of the network change nothing.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests; clippy.toml covers test functions only"
)]

use proptest::collection::vec;
use proptest::prelude::*;
use wire::multipart::{Event, HEADER_BYTES_MAX, MultipartError, PARTS_MAX, PREAMBLE_BYTES_MAX, Parser};

#[derive(Debug, PartialEq)]
enum Seen {
    Part(String, Option<String>),
    Data(Vec<u8>),
    PartEnd,
    End,
    Error(MultipartError),
}

/// Pieces of content are joined: where they are cut is the network's choice.
fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Vec<Seen> {
    let mut parser = Parser::new("B");
    let mut seen = Vec::new();
    for piece in pieces {
        parser.feed(piece);
        loop {
            match parser.next() {
                Ok(Some(Event::Part(head))) => seen.push(Seen::Part(head.name, head.file_name)),
                Ok(Some(Event::Data(data))) => {
                    assert!(!data.is_empty());
                    match seen.last_mut() {
                        Some(Seen::Data(before)) => before.extend_from_slice(&data),
                        _ => seen.push(Seen::Data(data.to_vec())),
                    }
                }
                Ok(Some(Event::PartEnd)) => seen.push(Seen::PartEnd),
                Ok(Some(Event::End)) => seen.push(Seen::End),
                Ok(None) => break,
                Err(error) => {
                    seen.push(Seen::Error(error));
                    return seen;
                }
            }
        }
    }
    if let Err(error) = parser.finish() {
        seen.push(Seen::Error(error));
    }
    seen
}

fn read_whole(input: &[u8]) -> Vec<Seen> {
    let seen = read(std::iter::once(input));
    assert_eq!(read(input.chunks(1)), seen, "byte by byte");
    seen
}

fn error_of(input: &[u8]) -> Option<MultipartError> {
    match read_whole(input).pop() {
        Some(Seen::Error(error)) => Some(error),
        _ => None,
    }
}

fn part(name: &str, file: Option<&str>, data: &[u8]) -> Vec<u8> {
    let file = file.map(|file| format!("; filename=\"{file}\"")).unwrap_or_default();
    let head = format!("--B\r\nContent-Disposition: form-data; name=\"{name}\"{file}\r\n\r\n");
    [head.as_bytes(), data, b"\r\n"].concat()
}

#[test]
fn fields_and_files_come_out_in_order() {
    let body = [part("event", None, b"{}"), part("f", Some("a.txt"), b"\r\n--\r\n--C"), b"--B--\r\n".to_vec()].concat();
    let expected = vec![
        Seen::Part("event".into(), None),
        Seen::Data(b"{}".to_vec()),
        Seen::PartEnd,
        Seen::Part("f".into(), Some("a.txt".into())),
        Seen::Data(b"\r\n--\r\n--C".to_vec()),
        Seen::PartEnd,
        Seen::End,
    ];
    assert_eq!(read_whole(&body), expected);
}

#[test]
fn a_preamble_an_epilogue_and_blanks_behind_a_boundary_are_ignored() {
    let body = b"hello\r\n--B \t\r\nContent-Disposition: form-data; name=a\r\n\r\n\r\n--B--\r\nbye --B\r\n";
    assert_eq!(read_whole(body), vec![Seen::Part("a".into(), None), Seen::PartEnd, Seen::End]);
}

#[test]
fn a_part_may_end_with_its_head() {
    let body = b"--B\r\nContent-Disposition: form-data; name=a\r\n\r\n--B--";
    assert_eq!(read_whole(body), vec![Seen::Part("a".into(), None), Seen::PartEnd, Seen::End]);
}

#[test]
fn no_part_at_all_is_a_whole_body() {
    assert_eq!(read_whole(b"--B--"), vec![Seen::End]);
}

#[test]
fn what_two_readers_could_read_differently_is_refused() {
    assert_eq!(error_of(b"--Bx\r\n"), Some(MultipartError::BoundaryLine));
    assert_eq!(error_of(b"--B\n"), Some(MultipartError::BoundaryLine));
    assert_eq!(error_of(b"--B \r-"), Some(MultipartError::BoundaryLine));
    assert_eq!(error_of(b"--B --"), Some(MultipartError::BoundaryLine));
    let body = [part("a", None, b"\r\n--Bcd\r\n"), b"--B--".to_vec()].concat();
    assert_eq!(error_of(&body), Some(MultipartError::BoundaryLine));
    assert_eq!(error_of(b"--B\r\n\r\nx"), Some(MultipartError::Disposition));
}

#[test]
fn a_body_that_ends_early_is_refused() {
    let body = [part("a", Some("b"), b"content"), b"--B--".to_vec()].concat();
    for length in 0..body.len() {
        assert_eq!(error_of(&body[..length]), Some(MultipartError::Truncated), "{length} bytes");
    }
}

#[test]
fn every_limit_is_kept() {
    let long = "x".repeat(HEADER_BYTES_MAX);
    assert_eq!(error_of(format!("--B\r\nA: {long}\r\n\r\n").as_bytes()), Some(MultipartError::HeadTooLarge));
    let parts = part("a", None, b"").repeat(PARTS_MAX + 1);
    assert_eq!(error_of(&parts), Some(MultipartError::TooManyParts));
    let preamble = "x".repeat(PREAMBLE_BYTES_MAX + 100);
    assert_eq!(error_of(preamble.as_bytes()), Some(MultipartError::NoStart));
    assert_eq!(error_of(format!("--B{}\r\n", " ".repeat(200)).as_bytes()), Some(MultipartError::BoundaryLine));
}

/// Text that is full of what boundaries are made of.
fn content() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(b"\r\n".to_vec()),
        Just(b"--".to_vec()),
        Just(b"\r\n--".to_vec()),
        Just(b"B".to_vec()),
        Just(b"\r".to_vec()),
        Just(b"\n".to_vec()),
        Just(b"\r\n--B\r\n".to_vec()),
        Just(b"\r\n--B--".to_vec()),
        Just(b"Content-Disposition: form-data; name=a; filename=b\r\n\r\n".to_vec()),
        vec(any::<u8>(), 0..5),
    ];
    vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_split_gives_the_same_events(
        parts in vec(content(), 0..4),
        tail in prop_oneof![Just("--B--\r\n"), Just(""), Just("--B")],
        cuts in vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let mut input: Vec<u8> = parts.iter().flat_map(|data| part("f", Some("n"), data)).collect();
        input.extend_from_slice(tail.as_bytes());
        let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(input.len() + 1)).collect();
        places.extend([0, input.len()]);
        places.sort_unstable();
        let pieces = places.windows(2).map(|pair| &input[pair[0]..pair[1]]);
        prop_assert_eq!(read(pieces), read_whole(&input));
    }

    #[test]
    fn content_without_the_boundary_comes_out_as_it_went_in(data in vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'-'), Just(b'x')], 0..60)) {
        let body = [part("f", Some("n"), &data), b"--B--".to_vec()].concat();
        let seen = read_whole(&body);
        let found = seen.iter().find_map(|seen| match seen { Seen::Data(data) => Some(data.clone()), _ => None });
        prop_assert_eq!(found.unwrap_or_default(), data);
        prop_assert_eq!(seen.last(), Some(&Seen::End));
    }
}
