//! The request side of HTTP/1.1 (RFC 9112) as a state machine: [`Parser::feed`] takes what the socket gave,
//! [`Parser::next`] gives events. One request is `Head`, any number of `Body`, `End`; pipelined requests follow each other.
//!
//! ```text
//! Head --(no body)--------------------------> End --> Head of the next request
//!   \--(Content-Length)--> Body*  -----------/
//!   \--(chunked)---------> Body*, trailers --/            any error: Failed for ever, the connection must be closed
//! ```
//!
//! Framing is stricter than the RFC's leniencies wherever two readers could disagree about where a request ends
//! (request smuggling); the table of forms is in `tests/framing_forms.rs`.

mod chunked;
pub mod decode;
mod error;
mod framing;
mod head;
pub mod reply;

pub use chunked::EXTENSION_BYTES_MAX;
pub use error::ProtocolError;
pub use head::{HEADER_SLOTS, Head, Headers, Method};

use bytes::{Buf, Bytes, BytesMut};
use chunked::{Chunked, Step};
use head::HeadScan;

/// Request line, header lines and the final empty line together. More: 431.
pub const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Header lines of one request. More: 431. Cannot be configured beyond [`HEADER_SLOTS`].
pub const HEADER_COUNT_MAX: usize = 100;
/// One chunk-size line with its extensions and CRLF. More: 400.
pub const CHUNK_LINE_BYTES_MAX: usize = 1024;
/// All trailer lines of one chunked body. More: 431.
pub const TRAILER_BYTES_MAX: usize = 4 * 1024;
/// Empty lines ignored before a request line (RFC 9112 2.2). More: 400.
pub const LEADING_EMPTY_LINES_MAX: u8 = 2;

/// What a client may send before it is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub head_bytes_max: usize,
    pub header_count_max: usize,
    pub chunk_line_bytes_max: usize,
    pub trailer_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_bytes_max: HEAD_BYTES_MAX,
            header_count_max: HEADER_COUNT_MAX,
            chunk_line_bytes_max: CHUNK_LINE_BYTES_MAX,
            trailer_bytes_max: TRAILER_BYTES_MAX,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    Head(Head),
    /// A part of the body, never empty. Where parts are cut follows the socket, not the sender.
    Body(Bytes),
    End,
}

/// How the end of a request's body is found (RFC 9112 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyLength {
    None,
    Length(u64),
    Chunked,
}

/// The request parser of one connection.
///
/// It buffers what was fed and not yet returned; a caller bounds that by not feeding while [`Parser::next`] still gives
/// events. An idle parser holds no buffer.
#[derive(Debug)]
pub struct Parser {
    limits: Limits,
    buffer: BytesMut,
    state: State,
}

#[derive(Debug)]
enum State {
    Head(HeadScan),
    Fixed { left: u64 },
    Chunked(Chunked),
    Failed(ProtocolError),
}

impl Parser {
    pub fn new(limits: Limits) -> Self {
        Self { limits, buffer: BytesMut::new(), state: State::Head(HeadScan::default()) }
    }

    /// Adds bytes as they came from the socket. Ignored after an error.
    pub fn feed(&mut self, bytes: &[u8]) {
        if !matches!(self.state, State::Failed(_)) {
            self.buffer.extend_from_slice(bytes);
        }
    }

    /// The next event, or `None` when more bytes are needed.
    ///
    /// # Errors
    /// After the first error every call returns the same one: answer with its status and close the connection.
    #[allow(clippy::should_implement_trait, reason = "a fallible pull, not an iterator: None is not the end")]
    pub fn next(&mut self) -> Result<Option<Event>, ProtocolError> {
        let result = match &mut self.state {
            State::Head(_) => self.next_head(),
            State::Fixed { .. } => Ok(self.next_fixed()),
            State::Chunked(_) => self.next_chunked(),
            State::Failed(error) => Err(*error),
        };
        if let Err(error) = result {
            self.state = State::Failed(error);
            self.buffer = BytesMut::new();
        }
        result
    }

    /// True when closing the connection now would cut no request: nothing of a next request has been fed.
    pub fn is_between_requests(&self) -> bool {
        matches!(self.state, State::Head(_)) && self.buffer.is_empty()
    }

    /// Bytes fed and not yet returned as events.
    pub fn buffered_bytes(&self) -> usize {
        self.buffer.len()
    }

    /// Everything fed behind the last event, for a connection that leaves HTTP (WebSocket upgrade).
    pub fn take_buffered(&mut self) -> Bytes {
        std::mem::take(&mut self.buffer).freeze()
    }

    fn next_head(&mut self) -> Result<Option<Event>, ProtocolError> {
        let State::Head(scan) = &mut self.state else { return Ok(None) };
        scan.skip_empty_lines(&mut self.buffer)?;
        let Some(head_bytes) = scan.find_end(&self.buffer, &self.limits)? else { return Ok(None) };
        let head = Head::parse(self.buffer.get(..head_bytes).unwrap_or_default(), &self.limits)?;
        self.buffer.advance(head_bytes);
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
        }
        self.state = match head.body {
            BodyLength::None => State::Fixed { left: 0 },
            BodyLength::Length(left) => State::Fixed { left },
            BodyLength::Chunked => State::Chunked(Chunked::default()),
        };
        Ok(Some(Event::Head(head)))
    }

    fn next_fixed(&mut self) -> Option<Event> {
        let State::Fixed { left } = &mut self.state else { return None };
        if *left == 0 {
            return Some(self.end());
        }
        let part = usize::try_from(*left).unwrap_or(usize::MAX).min(self.buffer.len());
        if part == 0 {
            return None;
        }
        *left -= part as u64;
        Some(Event::Body(take(&mut self.buffer, part)))
    }

    fn next_chunked(&mut self) -> Result<Option<Event>, ProtocolError> {
        let State::Chunked(chunked) = &mut self.state else { return Ok(None) };
        Ok(match chunked.step(&mut self.buffer, &self.limits)? {
            Step::NeedMore => None,
            Step::Data(part) => Some(Event::Body(take(&mut self.buffer, part))),
            Step::End => Some(self.end()),
        })
    }

    fn end(&mut self) -> Event {
        self.state = State::Head(HeadScan::default());
        Event::End
    }
}

/// Cuts the first `count` bytes off. The usual case, all of them, hands the allocation over, so that an idle connection
/// holds none.
fn take(buffer: &mut BytesMut, count: usize) -> Bytes {
    if count == buffer.len() { std::mem::take(buffer).freeze() } else { buffer.split_to(count).freeze() }
}
