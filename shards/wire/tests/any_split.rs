//! However the network cuts the input, the same events come out: requests (chunked, pipelined, malformed) and encodings.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests; clippy.toml covers test functions only"
)]

use std::io::Write;

use proptest::collection::vec;
use proptest::prelude::*;
use wire::http1::decode::{DecodeError, Decoder, Encoding};
use wire::http1::{Event, Head, Limits, Parser, ProtocolError};

#[derive(Debug, PartialEq)]
enum Seen {
    Head(Box<Head>),
    Body(Vec<u8>),
    End,
    Error(ProtocolError),
}

/// Feeds the input cut at these places; body parts are joined, because where they are cut is the network's choice.
fn events(input: &[u8], cuts: &[prop::sample::Index], limits: Limits) -> Vec<Seen> {
    events_of_parts(split(input, cuts).into_iter(), limits)
}

fn one_by_one(input: &[u8], limits: Limits) -> Vec<Seen> {
    events_of_parts(input.chunks(1), limits)
}

fn events_of_parts<'a>(parts: impl Iterator<Item = &'a [u8]>, limits: Limits) -> Vec<Seen> {
    let mut parser = Parser::new(limits);
    let mut seen = Vec::new();
    for part in parts {
        parser.feed(part);
        loop {
            match parser.next() {
                Ok(Some(Event::Head(head))) => seen.push(Seen::Head(Box::new(head))),
                Ok(Some(Event::Body(bytes))) => match seen.last_mut() {
                    Some(Seen::Body(body)) => body.extend_from_slice(&bytes),
                    _ => seen.push(Seen::Body(bytes.to_vec())),
                },
                Ok(Some(Event::End)) => seen.push(Seen::End),
                Ok(None) => break,
                Err(error) => {
                    seen.push(Seen::Error(error));
                    return seen;
                }
            }
        }
    }
    seen
}

fn split<'a>(input: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(input.len() + 1)).collect();
    places.extend([0, input.len()]);
    places.sort_unstable();
    places.windows(2).map(|pair| &input[pair[0]..pair[1]]).collect()
}

fn chunked_body() -> impl Strategy<Value = Vec<u8>> {
    let chunk = (vec(any::<u8>(), 1..40), "(;[a-z=\"]{0,8})?");
    (vec(chunk, 0..5), "(X-[A-Z]{1,3}: [a-z]{0,5}\r\n){0,2}").prop_map(|(chunks, trailers)| {
        let mut out = Vec::new();
        for (data, extension) in chunks {
            out.extend_from_slice(format!("{:X}{extension}\r\n", data.len()).as_bytes());
            out.extend_from_slice(&data);
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(format!("0\r\n{trailers}\r\n").as_bytes());
        out
    })
}

fn request() -> impl Strategy<Value = Vec<u8>> {
    let line = "(\r\n){0,2}(GET|POST|put) /[a-z?&=%]{0,20} HTTP/1\\.1\r\n(X-[a-z]{1,5}:[ a-zé]{0,9}\r\n){0,4}";
    let body = prop_oneof![
        Just(b"\r\n".to_vec()),
        vec(any::<u8>(), 0..80)
            .prop_map(|body| { [format!("Content-Length: {}\r\n\r\n", body.len()).into_bytes(), body].concat() }),
        chunked_body().prop_map(|body| [b"Transfer-Encoding: chunked\r\n\r\n".to_vec(), body].concat()),
    ];
    (line, body).prop_map(|(line, body)| [line.into_bytes(), body].concat())
}

/// Small limits, so that they are met often.
fn small_limits() -> Limits {
    Limits { head_bytes_max: 120, header_count_max: 3, chunk_line_bytes_max: 8, trailer_bytes_max: 20 }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn pipelined_requests_give_the_same_events_at_any_split(
        requests in vec(request(), 1..4), cuts in vec(any::<prop::sample::Index>(), 0..12)
    ) {
        let input = requests.concat();
        let whole = events(&input, &[], Limits::default());
        prop_assert_eq!(whole.iter().filter(|seen| **seen == Seen::End).count(), requests.len());
        prop_assert_eq!(&events(&input, &cuts, Limits::default()), &whole);
    }

    #[test]
    fn malformed_requests_give_the_same_error_at_any_split(
        requests in vec(request(), 1..3),
        damage in vec((any::<prop::sample::Index>(), prop::sample::select(b"\r\n :;\0x0A,\t\xff".to_vec())), 0..4),
        cuts in vec(any::<prop::sample::Index>(), 0..40),
    ) {
        let mut input = requests.concat();
        for (place, byte) in damage {
            let place = place.index(input.len());
            input[place] = byte;
        }
        for limits in [Limits::default(), small_limits()] {
            let whole = events(&input, &[], limits);
            prop_assert_eq!(&events(&input, &cuts, limits), &whole);
            let bytewise = one_by_one(&input, limits);
            prop_assert_eq!(&bytewise, &whole);
        }
    }

    #[test]
    fn encoded_bodies_decode_to_the_same_bytes_at_any_split(
        body in vec(prop::sample::select(b"abcdefgh\0\xff".to_vec()), 0..5000),
        cuts in vec(any::<prop::sample::Index>(), 0..12),
        limit_bytes in 0_usize..6000,
    ) {
        for (encoding, encoded) in encodings(&body) {
            let whole = decode(encoding, &encoded, &[], usize::MAX);
            prop_assert_eq!(whole, Ok(body.clone()));
            let expected = if body.len() <= limit_bytes { Ok(body.clone()) } else { Err(DecodeError::TooLarge) };
            prop_assert_eq!(decode(encoding, &encoded, &cuts, limit_bytes), expected);
        }
    }

    #[test]
    fn a_cut_or_prolonged_encoded_body_is_corrupt(body in vec(any::<u8>(), 1..300), cut in any::<prop::sample::Index>()) {
        for (encoding, encoded) in encodings(&body).into_iter().skip(1) {
            let short = &encoded[..1 + cut.index(encoded.len() - 1)];
            prop_assert_eq!(decode(encoding, short, &[cut], usize::MAX), Err(DecodeError::Corrupt));
            let long = [encoded.as_slice(), b"xy"].concat();
            prop_assert_eq!(decode(encoding, &long, &[cut], usize::MAX), Err(DecodeError::Corrupt));
        }
    }

    #[test]
    fn any_bytes_are_decoded_or_refused_the_same_way_at_any_split(
        bytes in vec(any::<u8>(), 0..100), cuts in vec(any::<prop::sample::Index>(), 0..5)
    ) {
        for encoding in [Encoding::Gzip, Encoding::Deflate] {
            prop_assert_eq!(decode(encoding, &bytes, &cuts, 1000).is_ok(), decode(encoding, &bytes, &[], 1000).is_ok());
        }
    }
}

#[test]
fn a_small_bomb_is_stopped_at_the_limit_without_unfolding() {
    let zeros = vec![0; 50_000_000];
    for (encoding, encoded) in encodings(&zeros).into_iter().skip(1) {
        let mut out = Vec::new();
        let result = Decoder::new(encoding).push(&encoded, &mut out, 100_000);
        assert_eq!(result, Err(DecodeError::TooLarge));
        assert!(out.len() <= 100_000 && out.capacity() < 1_000_000, "{} bytes reserved", out.capacity());
    }
}

#[test]
fn two_gzip_members_decode_to_both_contents() {
    let member = |text: &[u8]| encodings(text)[1].1.clone();
    let both = [member(b"ab"), member(b"cd")].concat();
    assert_eq!(decode(Encoding::Gzip, &both, &[], 100), Ok(b"abcd".to_vec()));
}

#[test]
fn an_empty_body_is_complete_in_every_encoding() {
    for encoding in [Encoding::Identity, Encoding::Gzip, Encoding::Deflate] {
        assert_eq!(decode(encoding, b"", &[], 0), Ok(Vec::new()));
    }
}

#[test]
fn encodings_are_known_by_name_and_others_are_named_in_the_error() {
    assert_eq!(Encoding::parse(" GZip "), Ok(Encoding::Gzip));
    assert_eq!(Encoding::parse("deflate"), Ok(Encoding::Deflate));
    assert_eq!(Encoding::parse("identity"), Ok(Encoding::Identity));
    assert!(Encoding::parse("br").unwrap_err().to_string().contains("\"br\""));
    assert!(Encoding::parse("gzip, gzip").is_err());
}

fn encodings(body: &[u8]) -> Vec<(Encoding, Vec<u8>)> {
    let level = flate2::Compression::fast();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), level);
    let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), level);
    let mut raw = flate2::write::DeflateEncoder::new(Vec::new(), level);
    gzip.write_all(body).unwrap();
    zlib.write_all(body).unwrap();
    raw.write_all(body).unwrap();
    vec![
        (Encoding::Identity, body.to_vec()),
        (Encoding::Gzip, gzip.finish().unwrap()),
        (Encoding::Deflate, zlib.finish().unwrap()),
        (Encoding::Deflate, raw.finish().unwrap()),
    ]
}

fn decode(
    encoding: Encoding,
    input: &[u8],
    cuts: &[prop::sample::Index],
    limit_bytes: usize,
) -> Result<Vec<u8>, DecodeError> {
    let (mut decoder, mut out) = (Decoder::new(encoding), Vec::new());
    for part in split(input, cuts) {
        decoder.push(part, &mut out, limit_bytes)?;
    }
    decoder.finish(&mut out, limit_bytes)?;
    Ok(out)
}
