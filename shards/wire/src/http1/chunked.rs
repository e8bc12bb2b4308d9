//! The chunked transfer coding (RFC 9112 7.1), read strictly: exact CRLFs, plain hexadecimal sizes, bounded extensions
//! (skipped) and bounded trailers (dropped).

use bytes::{Buf, BytesMut};
use memchr::memchr;

use super::head::is_token_byte;
use super::{Limits, ProtocolError};

/// Extension bytes of all chunks of one body together: a sender of one-byte chunks must not make us read a kilobyte for
/// each. More: 400.
pub const EXTENSION_BYTES_MAX: usize = 16 * 1024;
/// More digits than this cannot be a 64-bit size without leading zeros, which nobody needs.
const SIZE_DIGITS_MAX: usize = 16;

#[derive(Debug, Default)]
pub(super) struct Chunked {
    part: Part,
    extension_bytes: usize,
    trailer_bytes: usize,
}

#[derive(Clone, Copy, Debug, Default)]
enum Part {
    #[default]
    Size,
    Data {
        left: u64,
    },
    DataEnd,
    Trailers,
}

pub(super) enum Step {
    NeedMore,
    /// This many bytes at the front of the buffer are body; the caller takes them.
    Data(usize),
    End,
}

impl Chunked {
    pub(super) fn step(&mut self, buffer: &mut BytesMut, limits: &Limits) -> Result<Step, ProtocolError> {
        loop {
            let done = match self.part {
                Part::Size => self.size(buffer, limits)?,
                Part::Data { left } => return Ok(self.data(left, buffer.len())),
                Part::DataEnd => self.data_end(buffer)?,
                Part::Trailers => match self.trailer(buffer, limits)? {
                    Some(true) => return Ok(Step::End),
                    done => done.is_some(),
                },
            };
            if !done {
                return Ok(Step::NeedMore);
            }
        }
    }

    fn size(&mut self, buffer: &mut BytesMut, limits: &Limits) -> Result<bool, ProtocolError> {
        // Checked before the line is complete: a size that is wrong already will not become right. Only within the
        // limit, so that the error is the same however the line was cut.
        let reach = buffer.get(..limits.chunk_line_bytes_max).unwrap_or(buffer);
        let digits = reach.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        match reach.get(digits) {
            _ if digits > SIZE_DIGITS_MAX => return Err(ProtocolError::ChunkSize),
            Some(b';' | b'\r') if digits > 0 => {}
            Some(b'\n') if digits > 0 => return Err(ProtocolError::BareLineBreak),
            Some(_) => return Err(ProtocolError::ChunkSize),
            None => {}
        }
        let too_long = ProtocolError::ChunkExtension;
        let Some(line) = line(buffer, limits.chunk_line_bytes_max, too_long)? else { return Ok(false) };
        let (size, extension) = line.split_at(digits);
        if extension.iter().any(|byte| is_control(*byte)) {
            return Err(ProtocolError::ChunkExtension);
        }
        self.extension_bytes += extension.len();
        if self.extension_bytes > EXTENSION_BYTES_MAX {
            return Err(ProtocolError::ChunkExtension);
        }
        let size = std::str::from_utf8(size).map_err(|_| ProtocolError::ChunkSize)?;
        let left = u64::from_str_radix(size, 16).map_err(|_| ProtocolError::ChunkSize)?;
        let line_bytes = line.len() + 2;
        buffer.advance(line_bytes);
        self.part = if left == 0 { Part::Trailers } else { Part::Data { left } };
        Ok(true)
    }

    fn data(&mut self, left: u64, buffered: usize) -> Step {
        let part = usize::try_from(left).unwrap_or(usize::MAX).min(buffered);
        if part == 0 {
            return Step::NeedMore;
        }
        let left = left - part as u64;
        self.part = if left == 0 { Part::DataEnd } else { Part::Data { left } };
        Step::Data(part)
    }

    fn data_end(&mut self, buffer: &mut BytesMut) -> Result<bool, ProtocolError> {
        match buffer.as_ref() {
            [] | [b'\r'] => Ok(false),
            [b'\r', b'\n', ..] => {
                buffer.advance(2);
                self.part = Part::Size;
                Ok(true)
            }
            _ => Err(ProtocolError::ChunkEnd),
        }
    }

    /// Reads one trailer line; `Some(true)` is the empty line that ends the body.
    fn trailer(&mut self, buffer: &mut BytesMut, limits: &Limits) -> Result<Option<bool>, ProtocolError> {
        let bytes_max = limits.trailer_bytes_max.saturating_sub(self.trailer_bytes).max(2);
        let Some(line) = line(buffer, bytes_max, ProtocolError::TrailersTooLarge)? else { return Ok(None) };
        let is_last = line.is_empty();
        if !is_last && !is_field_line(line) {
            return Err(ProtocolError::Trailer);
        }
        let line_bytes = line.len() + 2;
        self.trailer_bytes += line_bytes;
        buffer.advance(line_bytes);
        Ok(Some(is_last))
    }
}

/// The first line of the buffer without its CRLF, once that has arrived within `bytes_max`.
fn line(buffer: &[u8], bytes_max: usize, too_long: ProtocolError) -> Result<Option<&[u8]>, ProtocolError> {
    let reach = buffer.get(..bytes_max).unwrap_or(buffer);
    match memchr(b'\n', reach) {
        Some(end) => match reach.get(..end) {
            Some([line @ .., b'\r']) => Ok(Some(line)),
            _ => Err(ProtocolError::BareLineBreak),
        },
        None if buffer.len() >= bytes_max => Err(too_long),
        None => Ok(None),
    }
}

fn is_field_line(line: &[u8]) -> bool {
    let Some(colon) = memchr(b':', line) else { return false };
    let (name, value) = line.split_at(colon);
    !name.is_empty() && name.iter().all(|byte| is_token_byte(*byte)) && !value.iter().any(|byte| is_control(*byte))
}

fn is_control(byte: u8) -> bool {
    byte.is_ascii_control() && byte != b'\t'
}
