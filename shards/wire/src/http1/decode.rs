//! Request bodies with a `Content-Encoding`: gzip and deflate, decoded as they arrive and bounded in size, so that a few
//! kilobytes cannot unfold into gigabytes.

use std::io::Write;

use flate2::write::MultiGzDecoder;
use flate2::{Decompress, FlushDecompress, Status};
use thiserror::Error;

/// How much room the output gets at a time.
const OUTPUT_STEP_BYTES: usize = 16 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    Identity,
    Gzip,
    /// zlib (RFC 9110 8.4.1.2) or, as many clients send, raw deflate; told apart by the first two bytes.
    Deflate,
}

impl Encoding {
    /// Reads a `Content-Encoding` value. Only a single encoding is accepted; an unknown one is for the caller to refuse.
    ///
    /// # Errors
    /// Names the encoding that is not known.
    pub fn parse(value: &str) -> Result<Self, UnknownEncoding> {
        match value.trim().to_ascii_lowercase().as_str() {
            "" | "identity" => Ok(Self::Identity),
            "gzip" | "x-gzip" => Ok(Self::Gzip),
            "deflate" => Ok(Self::Deflate),
            other => Err(UnknownEncoding(other.into())),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("Unsupported content encoding \"{0}\"; send the body plain, or with gzip or deflate")]
pub struct UnknownEncoding(pub Box<str>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DecodeError {
    #[error("The decoded body is larger than allowed; send less in one request")]
    TooLarge,
    #[error("The body is not valid in the encoding its Content-Encoding header names, or is cut short")]
    Corrupt,
}

/// The decoder of one request body.
#[derive(Debug)]
pub struct Decoder {
    inner: Inner,
    decoded_bytes: usize,
}

#[derive(Debug)]
enum Inner {
    Identity,
    Gzip(Box<MultiGzDecoder<Sink>>),
    Deflate(Deflate),
    Failed(DecodeError),
}

impl Decoder {
    pub fn new(encoding: Encoding) -> Self {
        let inner = match encoding {
            Encoding::Identity => Inner::Identity,
            Encoding::Gzip => Inner::Gzip(Box::new(MultiGzDecoder::new(Sink::default()))),
            Encoding::Deflate => Inner::Deflate(Deflate::Unknown { first: None }),
        };
        Self { inner, decoded_bytes: 0 }
    }

    /// Appends what `bytes` decode to. `limit_bytes` is that of the whole body, not of this call.
    ///
    /// # Errors
    /// `TooLarge` as soon as the body exceeds the limit, `Corrupt` as soon as it cannot be right; both for ever.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>, limit_bytes: usize) -> Result<(), DecodeError> {
        let room_bytes = limit_bytes.saturating_sub(self.decoded_bytes);
        let length_before = out.len();
        let result = match &mut self.inner {
            Inner::Identity if bytes.len() > room_bytes => Err(DecodeError::TooLarge),
            Inner::Identity => {
                out.extend_from_slice(bytes);
                Ok(())
            }
            Inner::Gzip(decoder) => push_gzip(decoder, bytes, out, room_bytes),
            Inner::Deflate(decoder) => decoder.push(bytes, out, room_bytes),
            Inner::Failed(error) => Err(*error),
        };
        self.decoded_bytes += out.len().saturating_sub(length_before);
        if let Err(error) = result {
            self.inner = Inner::Failed(error);
        }
        result
    }

    /// Gives what the decoder still held, and checks that the body is complete. A body without a single byte is.
    ///
    /// # Errors
    /// As [`Decoder::push`].
    pub fn finish(self, out: &mut Vec<u8>, limit_bytes: usize) -> Result<(), DecodeError> {
        let room_bytes = limit_bytes.saturating_sub(self.decoded_bytes);
        match self.inner {
            Inner::Identity => Ok(()),
            Inner::Gzip(mut decoder) => finish_gzip(&mut decoder, out, room_bytes),
            Inner::Deflate(Deflate::Unknown { first: None } | Deflate::Ended) => Ok(()),
            Inner::Deflate(_) => Err(DecodeError::Corrupt),
            Inner::Failed(error) => Err(error),
        }
    }
}

/// Where flate2's writer puts the output: the caller's buffer while a call lasts.
#[derive(Debug, Default)]
struct Sink {
    out: Vec<u8>,
    room_bytes: usize,
    is_over: bool,
    has_input: bool,
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if bytes.len() > self.room_bytes {
            self.is_over = true;
            return Err(std::io::Error::other("over the limit"));
        }
        self.room_bytes -= bytes.len();
        self.out.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn push_gzip(
    decoder: &mut MultiGzDecoder<Sink>,
    bytes: &[u8],
    out: &mut Vec<u8>,
    room_bytes: usize,
) -> Result<(), DecodeError> {
    decoder.get_mut().has_input |= !bytes.is_empty();
    with_sink(decoder, out, room_bytes, |decoder| {
        decoder.write_all(bytes)?;
        // Empties flate2's buffer of decoded bytes, so that `out` has all there is.
        decoder.flush()
    })
}

fn finish_gzip(decoder: &mut MultiGzDecoder<Sink>, out: &mut Vec<u8>, room_bytes: usize) -> Result<(), DecodeError> {
    if !decoder.get_ref().has_input {
        return Ok(());
    }
    with_sink(decoder, out, room_bytes, MultiGzDecoder::try_finish)
}

fn with_sink(
    decoder: &mut MultiGzDecoder<Sink>,
    out: &mut Vec<u8>,
    room_bytes: usize,
    act: impl FnOnce(&mut MultiGzDecoder<Sink>) -> std::io::Result<()>,
) -> Result<(), DecodeError> {
    let sink = decoder.get_mut();
    sink.room_bytes = room_bytes;
    std::mem::swap(&mut sink.out, out);
    let result = act(decoder);
    let sink = decoder.get_mut();
    std::mem::swap(&mut sink.out, out);
    let is_over = sink.is_over;
    result.map_err(|_| if is_over { DecodeError::TooLarge } else { DecodeError::Corrupt })
}

#[derive(Debug)]
enum Deflate {
    /// Waiting for two bytes, to see whether they are a zlib header (RFC 1950 2.2).
    Unknown {
        first: Option<u8>,
    },
    Running(Box<Decompress>),
    Ended,
}

impl Deflate {
    fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>, room_bytes: usize) -> Result<(), DecodeError> {
        let limit_length = out.len().saturating_add(room_bytes);
        let Self::Unknown { first } = self else { return self.run(bytes, out, limit_length) };
        match (*first, bytes) {
            (_, []) => Ok(()),
            (None, [only]) => {
                *first = Some(*only);
                Ok(())
            }
            (None, [first, second, ..]) => {
                *self = Self::start(*first, *second);
                self.run(bytes, out, limit_length)
            }
            (Some(first), [second, ..]) => {
                *self = Self::start(first, *second);
                self.run(&[first], out, limit_length)?;
                self.run(bytes, out, limit_length)
            }
        }
    }

    fn start(first: u8, second: u8) -> Self {
        let is_zlib = first & 0x0f == 8 && u16::from_be_bytes([first, second]).is_multiple_of(31);
        Self::Running(Box::new(Decompress::new(is_zlib)))
    }

    fn run(&mut self, mut bytes: &[u8], out: &mut Vec<u8>, limit_length: usize) -> Result<(), DecodeError> {
        let Self::Running(inflate) = self else {
            return if bytes.is_empty() { Ok(()) } else { Err(DecodeError::Corrupt) };
        };
        loop {
            // One byte above the limit is room enough to see that there is more.
            let room = limit_length.saturating_sub(out.len()).saturating_add(1).min(OUTPUT_STEP_BYTES);
            out.reserve(room);
            let (read_before, length_before) = (inflate.total_in(), out.len());
            let status = inflate.decompress_vec(bytes, out, FlushDecompress::None).map_err(|_| DecodeError::Corrupt)?;
            let read = usize::try_from(inflate.total_in() - read_before).unwrap_or(usize::MAX);
            bytes = bytes.get(read..).unwrap_or_default();
            if out.len() > limit_length {
                out.truncate(limit_length);
                return Err(DecodeError::TooLarge);
            }
            if status == Status::StreamEnd {
                *self = Self::Ended;
                return if bytes.is_empty() { Ok(()) } else { Err(DecodeError::Corrupt) };
            }
            if read == 0 && out.len() == length_before {
                return if bytes.is_empty() { Ok(()) } else { Err(DecodeError::Corrupt) };
            }
        }
    }
}
