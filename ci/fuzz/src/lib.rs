//! Fuzz targets: functions that panic when a promise of `wire`, of `series`, or of `model` on parameters is broken for some input. Each is of the form a libFuzzer
//! harness calls; [`TARGETS`] lists them for our own driver (`main.rs`).

mod logs;
mod segments;

pub use logs::fuzz_log_recovery;
pub use segments::{fuzz_block, fuzz_segment};
mod parameters;

use serde_json::Value;
use wire::flatjson::{self, CellKind, Field, Schema};
use wire::http1::decode::{DecodeError, Decoder, Encoding};
use wire::http1::{Event, Limits, Parser, ProtocolError};
use wire::multipart;
use wire::query;

/// A function to feed, and words of its language for the mutator.
pub struct Target {
    pub name: &'static str,
    pub run: fn(&[u8]),
    pub dictionary: &'static [&'static str],
}

pub const TARGETS: &[Target] = &[
    Target {
        name: "http1",
        run: fuzz_http1,
        dictionary: &[
            "\r\n",
            "\r\n\r\n",
            "\n",
            "\r",
            " ",
            "\t",
            ":",
            ",",
            ";",
            "GET / HTTP/1.1\r\n",
            "POST /a HTTP/1.0\r\n",
            "HTTP/2.0",
            "Content-Length: 3\r\n",
            "Transfer-Encoding: chunked\r\n",
            "Host: a\r\n",
            "Connection: close\r\n",
            "Expect: 100-continue\r\n",
            "http://h/",
            "0\r\n\r\n",
            "3\r\nabc\r\n",
            "\u{0}",
            "\u{7f}",
            "é",
            "*",
            "OPTIONS",
        ],
    },
    Target {
        name: "chunked",
        run: fuzz_chunked,
        dictionary: &[
            "\r\n",
            "\n",
            "\r",
            "0\r\n",
            "0\r\n\r\n",
            "3\r\nabc\r\n",
            ";a=b",
            ";a=\"b;c\"",
            "ffffffffffffffff",
            "A: b\r\n",
            " ",
            "\u{0}",
            "00000000",
            "GET / HTTP/1.1\r\n\r\n",
            "+",
            "-",
            "0x",
            "_",
        ],
    },
    Target {
        name: "flatjson",
        run: fuzz_flatjson,
        dictionary: &[
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            "\"",
            "\\",
            "null",
            "true",
            "false",
            "\"deltaTime\"",
            "\"timestamp\"",
            "\"n\"",
            "\"on\"",
            "\"t\"",
            "\"b\"",
            "\"x\"",
            "\"o\"",
            "\"format\":\"flatJSON\"",
            "\"fields\":",
            "\"points\":",
            "[]",
            "{}",
            "-0",
            "1e3",
            "1e999",
            "0.1",
            "9007199254740993",
            "18446744073709551616",
            "\\u00e9",
            "\\ud800",
            "\\ud83d\\ude00",
            "\\n",
            "\\\"",
            "\\u006e",
            "1E+5",
            "1e-400",
            "-9223372036854775809",
            "123456789012345678901234567890",
            "0.30000000000000004",
            "[[[[[[[[",
            "]]]]]]]]",
            "\t",
            "\r\n",
            "\u{feff}",
            "é",
            " ",
            "[[1,2]]",
            "\"seriesBatch\"",
            "\"data\":",
            "\"eventId\":",
        ],
    },
    Target {
        name: "multipart",
        run: fuzz_multipart,
        dictionary: &[
            "\r\n",
            "\r\n\r\n",
            "\r",
            "\n",
            "-",
            "--",
            "--B",
            "\r\n--B",
            "\r\n--B\r\n",
            "\r\n--B--",
            "Content-Disposition: form-data; name=\"a\"\r\n\r\n",
            "; filename=\"b.txt\"",
            "; filename*=UTF-8''%C3%A9",
            "Content-Type: text/plain\r\n",
            "boundary=B",
            "\\\"",
            "\"",
            ";",
            "=",
            ":",
            " ",
            "é",
            "\u{0}",
        ],
    },
    Target {
        name: "query",
        run: fuzz_query,
        dictionary: &[
            "&", "=", "[", "]", "[]", "[0]", "[20]", "[21]", "[a]", "%5B", "%5d=", "]=", "%", "%zz", "%C3%A9", "+", "a",
        ],
    },
    Target {
        name: "decode",
        run: fuzz_decode,
        dictionary: &["\u{1f}", "\u{8}", "\u{0}", "x\u{1}", "\u{3}\u{0}", "\u{1}\u{0}\u{0}"],
    },
    Target {
        name: "log_recovery",
        run: fuzz_log_recovery,
        dictionary: &[
            "CWSERLOG",
            "CWFR",
            "\0\0\0\0",
            "\0\0\0\0\0\0\0\0",
            "\u{1}\0\0\0",
            "\u{2}\0\0\0",
            "@\0\0\0\0\0\0\0",
        ],
    },
    Target {
        name: "segment",
        run: fuzz_segment,
        dictionary: &[
            "CWSEGMNT",
            "CWSEGEND",
            "\0\0\0\0",
            "\0\0\0\0\0\0\0\0",
            "\u{1}\0\0\0",
            "\u{2}\0\0\0",
            "\u{10}\0\0\0\0\0\0\0",
        ],
    },
    Target {
        name: "block",
        run: fuzz_block,
        dictionary: &["\u{1}", "\0", "\u{2}", "\u{7f}", "\u{1}\0\0", "\0\0\0\0\0\0\0\0", "value"],
    },
    Target { name: "events-query", run: parameters::fuzz_events_query, dictionary: parameters::QUERY_WORDS },
    Target { name: "schema", run: parameters::fuzz_schema, dictionary: parameters::SCHEMA_WORDS },
    Target { name: "names", run: parameters::fuzz_names, dictionary: parameters::NAME_WORDS },
    Target { name: "integrity", run: parameters::fuzz_integrity, dictionary: parameters::QUERY_WORDS },
];

/// Any split of a request stream gives the same events, and what the parser gives keeps its promises.
pub fn fuzz_http1(data: &[u8]) {
    for limits in [Limits::default(), small_limits()] {
        let whole = events(std::iter::once(data), limits);
        assert_eq!(whole, events(data.chunks(1), limits), "byte by byte");
        assert_eq!(whole, events(data.chunks(step_of(data)), limits), "in steps of {}", step_of(data));
    }
}

/// The same core behind a head that announces a chunked body.
pub fn fuzz_chunked(data: &[u8]) {
    fuzz_http1(&[b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", data].concat());
}

/// The fast way gives what the general way gives, for series and for the elements of a batch.
pub fn fuzz_flatjson(data: &[u8]) {
    let schema = schema();
    compare(data, &schema);
    for element in flatjson::parse_batch(data).into_iter().flatten().flatten() {
        compare(element.flat_json, &schema);
    }
}

/// Any split of a body gives the same parts, and what the parser gives keeps its promises. The input is a header, too.
pub fn fuzz_multipart(data: &[u8]) {
    let whole = parts(std::iter::once(data));
    assert_eq!(whole, parts(data.chunks(1)), "byte by byte");
    assert_eq!(whole, parts(data.chunks(step_of(data))), "in steps of {}", step_of(data));
    if let Ok(boundary) = multipart::boundary_of(&String::from_utf8_lossy(data)) {
        assert!((1..=multipart::BOUNDARY_BYTES_MAX).contains(&boundary.len()), "{boundary}");
    }
}

/// Parsing ends, within the depth limit, and a flat form never nests.
pub fn fuzz_query(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let nested = query::parse(&text);
    assert!(nested.values().all(|value| depth(value) <= query::DEPTH_MAX + 2), "{nested:?}");
    let flat = query::parse_flat(&text);
    assert!(flat.values().all(|value| depth(value) <= 1), "{flat:?}");
}

/// Any split of an encoded body decodes to the same bytes, never beyond the limit.
pub fn fuzz_decode(data: &[u8]) {
    const LIMIT_BYTES: usize = 10_000;
    for encoding in [Encoding::Gzip, Encoding::Deflate] {
        let whole = decode(encoding, std::iter::once(data), LIMIT_BYTES);
        let in_steps = decode(encoding, data.chunks(step_of(data)), LIMIT_BYTES);
        assert_eq!(whole.is_ok(), in_steps.is_ok(), "{whole:?} {in_steps:?}");
        if let (Ok(whole), Ok(in_steps)) = (whole, in_steps) {
            assert!(whole == in_steps && whole.len() <= LIMIT_BYTES, "{} bytes", whole.len());
        }
    }
}

#[derive(Debug, PartialEq)]
enum Seen {
    Event(Event),
    Body(Vec<u8>),
    Error(ProtocolError),
}

fn events<'a>(parts: impl Iterator<Item = &'a [u8]>, limits: Limits) -> Vec<Seen> {
    let mut parser = Parser::new(limits);
    let mut seen = Vec::new();
    for part in parts {
        parser.feed(part);
        loop {
            match parser.next() {
                Ok(None) => break,
                Ok(Some(Event::Body(bytes))) => {
                    assert!(!bytes.is_empty(), "an empty part of a body");
                    match seen.last_mut() {
                        Some(Seen::Body(body)) => body.extend_from_slice(&bytes),
                        _ => seen.push(Seen::Body(bytes.to_vec())),
                    }
                }
                Ok(Some(event)) => {
                    if let Event::Head(head) = &event {
                        let starts_well = head.path().starts_with('/') || head.path() == "*";
                        assert!(starts_well && head.headers.len() <= limits.header_count_max, "{head:?}");
                    }
                    seen.push(Seen::Event(event));
                }
                Err(error) => {
                    assert_eq!(parser.next(), Err(error), "an error is for ever");
                    assert!(matches!(error.status(), 400 | 417 | 431 | 505), "{error}");
                    seen.push(Seen::Error(error));
                    return seen;
                }
            }
        }
    }
    seen
}

#[derive(Debug, PartialEq)]
enum SeenPart {
    Event(multipart::Event),
    Data(Vec<u8>),
    Error(multipart::MultipartError),
}

fn parts<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Vec<SeenPart> {
    let mut parser = multipart::Parser::new("B");
    let mut seen = Vec::new();
    for piece in pieces {
        parser.feed(piece);
        loop {
            match parser.next() {
                Ok(None) => break,
                Ok(Some(multipart::Event::Data(bytes))) => {
                    assert!(!bytes.is_empty(), "an empty piece of a part");
                    match seen.last_mut() {
                        Some(SeenPart::Data(data)) => data.extend_from_slice(&bytes),
                        _ => seen.push(SeenPart::Data(bytes.to_vec())),
                    }
                }
                Ok(Some(event)) => {
                    if let multipart::Event::Part(head) = &event {
                        let file_name = head.file_name.as_deref().unwrap_or_default();
                        assert!(!file_name.contains(['/', '\\', '\r', '\n', '\0']), "{head:?}");
                        assert!(head.name.len().max(file_name.len()) <= multipart::NAME_BYTES_MAX, "{head:?}");
                    }
                    seen.push(SeenPart::Event(event));
                }
                Err(error) => {
                    seen.push(SeenPart::Error(error));
                    return seen;
                }
            }
        }
    }
    seen.extend(parser.finish().err().map(SeenPart::Error));
    seen
}

fn small_limits() -> Limits {
    Limits { head_bytes_max: 100, header_count_max: 3, chunk_line_bytes_max: 8, trailer_bytes_max: 20 }
}

/// 2 to 9, taken from the input, so that a crash repeats.
fn step_of(data: &[u8]) -> usize {
    2 + data.len() % 8
}

fn schema() -> Schema {
    let field = |name: &str, kind, required| Field { name: name.into(), kind, required };
    Schema {
        fields: vec![
            field("n", CellKind::Number, true),
            field("on", CellKind::Number, false),
            field("t", CellKind::Text, false),
            field("b", CellKind::Boolean, false),
            field("x", CellKind::Null, false),
            field("o", CellKind::Unsupported("object".into()), false),
        ],
    }
}

fn compare(body: &[u8], schema: &Schema) {
    let typed = flatjson::parse_typed(body, schema, 3.5);
    match flatjson::parse_simple(body, schema, 3.5) {
        Some(points) => assert_eq!(Ok(points), typed),
        None => drop(typed),
    }
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(list) => 1 + list.iter().map(depth).max().unwrap_or(0),
        Value::Object(map) => 1 + map.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

fn decode<'a>(
    encoding: Encoding,
    parts: impl Iterator<Item = &'a [u8]>,
    limit_bytes: usize,
) -> Result<Vec<u8>, DecodeError> {
    let (mut decoder, mut out) = (Decoder::new(encoding), Vec::new());
    for part in parts {
        decoder.push(part, &mut out, limit_bytes)?;
    }
    decoder.finish(&mut out, limit_bytes)?;
    Ok(out)
}
