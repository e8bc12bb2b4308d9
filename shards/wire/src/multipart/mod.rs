//! `multipart/form-data` (RFC 7578, RFC 2046 5.1) as a state machine: [`Parser::feed`] takes what the body gave,
//! [`Parser::next`] gives events. A part is `Part`, any number of `Data`, `PartEnd`; `End` comes after the last one.
//!
//! ```text
//! Preamble --boundary--> Line --CRLF--> Head --empty line--> Data --boundary--> Line ...
//!                          \--"--"--> Epilogue (ignored)
//! ```
//! Boundaries are taken strictly: what follows one on its line may be `--`, or blanks and CRLF, nothing else. So no two
//! readers can disagree about where a part ends.

mod head;

pub use head::{PartHead, boundary_of};

use bytes::{Bytes, BytesMut};
use memchr::memmem::Finder;

/// Parts of one body. More: an error.
pub const PARTS_MAX: usize = 100;
/// Header lines of one part together, with the empty line. More: an error.
pub const HEADER_BYTES_MAX: usize = 8 * 1024;
/// A part's name, or a file's name. More: an error.
pub const NAME_BYTES_MAX: usize = 1024;
/// Text before the first boundary, which is ignored (RFC 2046 5.1.1). More: an error.
pub const PREAMBLE_BYTES_MAX: usize = 1024;
/// A boundary, without its dashes (RFC 2046 5.1.1).
pub const BOUNDARY_BYTES_MAX: usize = 70;
/// Blanks after a boundary on its line.
const PADDING_BYTES_MAX: usize = 128;
const HEAD_END: &[u8] = b"\r\n\r\n";
const LINE_END: &[u8] = b"\r\n";

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    Part(PartHead),
    /// A piece of the part's content, never empty. Where pieces are cut follows the network, not the sender.
    Data(Bytes),
    PartEnd,
    /// The last boundary was seen; whatever follows is ignored.
    End,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MultipartError {
    #[error("the content type of a multipart body must name a boundary of 1 to {BOUNDARY_BYTES_MAX} characters")]
    NoBoundary,
    #[error("the multipart body does not begin with its boundary")]
    NoStart,
    #[error("a boundary of the multipart body is followed by something else on its line")]
    BoundaryLine,
    #[error("a part's headers are larger than {HEADER_BYTES_MAX} bytes")]
    HeadTooLarge,
    #[error("a header of a part is malformed")]
    Header,
    #[error("a part has no `Content-Disposition: form-data` with a name")]
    Disposition,
    #[error("the name of a part or file is longer than {NAME_BYTES_MAX} bytes")]
    NameTooLong,
    #[error("the body has more than {PARTS_MAX} parts; send fewer in one request")]
    TooManyParts,
    #[error("the multipart body ends before its last boundary")]
    Truncated,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Preamble,
    /// Behind a boundary.
    Line,
    /// The buffer begins with the CRLF of the boundary's line.
    Head,
    /// The buffer begins with the CRLF of the empty line.
    DataStart,
    Data,
    PartEnd,
    Epilogue,
    Failed,
}

/// The parser of one body.
///
/// It buffers what was fed and not yet returned; a caller bounds that by not feeding while [`Parser::next`] still gives
/// events.
#[derive(Debug)]
pub struct Parser {
    /// CRLF, two dashes and the boundary: what ends a part.
    delimiter: Finder<'static>,
    buffer: BytesMut,
    state: State,
    part_count: usize,
}

impl Parser {
    /// `boundary` as [`boundary_of`] gives it.
    pub fn new(boundary: &str) -> Self {
        let delimiter = format!("\r\n--{boundary}");
        let mut buffer = BytesMut::new();
        // The first boundary has no line before it; with this it looks like the others.
        buffer.extend_from_slice(LINE_END);
        let delimiter = Finder::new(delimiter.as_bytes()).into_owned();
        Self { delimiter, buffer, state: State::Preamble, part_count: 0 }
    }

    pub fn feed(&mut self, bytes: &[u8]) {
        if self.state != State::Epilogue {
            self.buffer.extend_from_slice(bytes);
        }
    }

    /// The next event; `None` when more bytes are needed. After an error nothing follows.
    #[allow(clippy::should_implement_trait, reason = "a fallible pull, not an iterator: None is not the end")]
    pub fn next(&mut self) -> Result<Option<Event>, MultipartError> {
        loop {
            let step = match self.state {
                State::Preamble => self.skip_preamble(),
                State::Line => self.read_line(),
                State::Head => self.read_head(),
                State::DataStart => self.start_data(),
                State::Data => self.read_data(),
                State::PartEnd => {
                    self.state = State::Line;
                    Ok(Step::Give(Event::PartEnd))
                }
                State::Epilogue | State::Failed => Ok(Step::Wait),
            };
            match step {
                Ok(Step::Go) => {}
                Ok(Step::Wait) => return Ok(None),
                Ok(Step::Give(event)) => return Ok(Some(event)),
                Err(error) => {
                    self.state = State::Failed;
                    self.buffer = BytesMut::new();
                    return Err(error);
                }
            }
        }
    }

    /// To be called when the body has ended and [`Parser::next`] gives nothing more.
    pub fn finish(&self) -> Result<(), MultipartError> {
        match self.state {
            State::Epilogue => Ok(()),
            _ => Err(MultipartError::Truncated),
        }
    }

    fn skip_preamble(&mut self) -> Result<Step, MultipartError> {
        let found = self.delimiter.find(&self.buffer);
        // The CRLF that was put before it does not count.
        if found.unwrap_or(self.buffer.len()) > PREAMBLE_BYTES_MAX + self.delimiter.needle().len() {
            return Err(MultipartError::NoStart);
        }
        let Some(at) = found else { return Ok(Step::Wait) };
        self.skip(at + self.delimiter.needle().len());
        self.state = State::Line;
        Ok(Step::Go)
    }

    fn read_line(&mut self) -> Result<Step, MultipartError> {
        if self.buffer.starts_with(b"--") {
            self.buffer = BytesMut::new();
            self.state = State::Epilogue;
            return Ok(Step::Give(Event::End));
        }
        let padding = self.buffer.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        if padding > PADDING_BYTES_MAX {
            return Err(MultipartError::BoundaryLine);
        }
        match self.buffer.get(padding..).unwrap_or_default() {
            [b'\r', b'\n', ..] => {
                self.skip(padding);
                self.state = State::Head;
                Ok(Step::Go)
            }
            [] | [b'\r'] => Ok(Step::Wait),
            [b'-'] if padding == 0 => Ok(Step::Wait),
            _ => Err(MultipartError::BoundaryLine),
        }
    }

    fn read_head(&mut self) -> Result<Step, MultipartError> {
        let found = memchr::memmem::find(&self.buffer, HEAD_END);
        if found.unwrap_or(self.buffer.len()) > HEADER_BYTES_MAX {
            return Err(MultipartError::HeadTooLarge);
        }
        let Some(end) = found else { return Ok(Step::Wait) };
        let head = PartHead::parse(self.buffer.get(LINE_END.len()..end).unwrap_or_default())?;
        if self.part_count >= PARTS_MAX {
            return Err(MultipartError::TooManyParts);
        }
        self.part_count += 1;
        // The CRLF of the empty line stays: a boundary may follow at once.
        self.skip(end + LINE_END.len());
        self.state = State::DataStart;
        Ok(Step::Give(Event::Part(head)))
    }

    /// A part without content ends with the empty line of its head; otherwise that line is none of the content.
    fn start_data(&mut self) -> Result<Step, MultipartError> {
        let needle = self.delimiter.needle();
        if self.buffer.len() < needle.len() && needle.starts_with(&self.buffer) {
            return Ok(Step::Wait);
        }
        if !self.buffer.starts_with(needle) {
            self.skip(LINE_END.len());
        }
        self.state = State::Data;
        Ok(Step::Go)
    }

    fn read_data(&mut self) -> Result<Step, MultipartError> {
        if let Some(at) = self.delimiter.find(&self.buffer) {
            let data = self.buffer.split_to(at).freeze();
            self.skip(self.delimiter.needle().len());
            if data.is_empty() {
                self.state = State::Line;
                return Ok(Step::Give(Event::PartEnd));
            }
            self.state = State::PartEnd;
            return Ok(Step::Give(Event::Data(data)));
        }
        // The end may be the beginning of a boundary.
        let kept = self.delimiter.needle().len() - 1;
        match self.buffer.len().checked_sub(kept).filter(|length| *length > 0) {
            Some(length) => Ok(Step::Give(Event::Data(self.buffer.split_to(length).freeze()))),
            None => Ok(Step::Wait),
        }
    }

    fn skip(&mut self, count: usize) {
        drop(self.buffer.split_to(count.min(self.buffer.len())));
    }
}

enum Step {
    Go,
    Wait,
    Give(Event),
}
