//! Reads HTTP/1.1 answers as bytes arrive, without I/O. It is independent of the `wire` crate, so that a fault there cannot
//! hide itself, and it looks at little: the load generator shares the machine with the server.

use memchr::{memchr, memmem};

use crate::error::{BenchError, Result};

/// A head, a chunk size line or a trailer line longer than this is refused.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Of a body whose text nobody asked for this much is kept, for the message about a refusal.
const REFUSAL_BYTES_KEPT: usize = 600;

/// An answer in the making, of HTTP ([`Answer`]) or of another protocol.
pub(crate) trait Reply {
    /// Ready for the next answer of the connection.
    fn reset(&mut self);
    /// Takes what belongs to this answer and says how many bytes that was.
    fn feed(&mut self, bytes: &[u8]) -> Result<usize>;
    fn is_done(&self) -> bool;
    fn is_success(&self) -> bool;
    fn closes(&self) -> bool;
    fn body_bytes(&self) -> u64;
    /// What the server said instead of success.
    fn refusal(&self) -> String;
}

/// One answer of HTTP/1.1 in the making.
#[derive(Debug)]
pub(crate) struct Answer {
    state: State,
    /// The head, or the current line within a chunked body.
    line: Vec<u8>,
    status: u16,
    closes: bool,
    body: Vec<u8>,
    body_bytes_kept: usize,
    body_bytes: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Head,
    Counted(u64),
    ChunkSize,
    Chunk(u64),
    /// The line end behind a chunk's data.
    ChunkEnd,
    Trailer,
    Done,
}

impl Answer {
    pub(crate) fn new() -> Self {
        Self {
            state: State::Head,
            line: Vec::new(),
            status: 0,
            closes: false,
            body: Vec::new(),
            body_bytes_kept: REFUSAL_BYTES_KEPT,
            body_bytes: 0,
        }
    }

    /// Keeps the whole body instead of its beginning.
    pub(crate) fn keeping_body() -> Self {
        Self { body_bytes_kept: usize::MAX, ..Self::new() }
    }

    /// Ready for the next answer of the connection.
    pub(crate) fn reset(&mut self) {
        self.state = State::Head;
        self.line.clear();
        self.body.clear();
        self.body_bytes = 0;
    }

    pub(crate) fn status(&self) -> u16 {
        self.status
    }

    pub(crate) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    pub(crate) fn closes(&self) -> bool {
        self.closes
    }

    pub(crate) fn body(&self) -> &[u8] {
        &self.body
    }

    pub(crate) fn body_bytes(&self) -> u64 {
        self.body_bytes
    }

    pub(crate) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Takes what belongs to this answer and says how many bytes that was.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Result<usize> {
        let mut rest = bytes;
        while !rest.is_empty() && self.state != State::Done {
            let taken = match self.state {
                State::Head => self.take_head(rest)?,
                State::Counted(left) => {
                    let taken = self.take_data(rest, left);
                    let left = left.saturating_sub(length(taken));
                    self.state = if left == 0 { State::Done } else { State::Counted(left) };
                    taken
                }
                State::Chunk(left) => {
                    let taken = self.take_data(rest, left);
                    let left = left.saturating_sub(length(taken));
                    self.state = if left == 0 { State::ChunkEnd } else { State::Chunk(left) };
                    taken
                }
                State::ChunkSize | State::ChunkEnd | State::Trailer => self.take_line(rest)?,
                State::Done => 0,
            };
            rest = rest.get(taken..).unwrap_or_default();
        }
        Ok(bytes.len() - rest.len())
    }

    fn take_data(&mut self, bytes: &[u8], left: u64) -> usize {
        let taken = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
        let wanted = self.body_bytes_kept.saturating_sub(self.body.len()).min(taken);
        self.body.extend_from_slice(bytes.get(..wanted).unwrap_or_default());
        self.body_bytes += length(taken);
        taken
    }

    fn take_head(&mut self, bytes: &[u8]) -> Result<usize> {
        const END: &[u8] = b"\r\n\r\n";
        let before = self.line.len();
        self.line.extend_from_slice(bytes.get(..bytes.len().min(HEAD_BYTES_MAX)).unwrap_or_default());
        let from = before.saturating_sub(END.len() - 1);
        let Some(at) = memmem::find(self.line.get(from..).unwrap_or_default(), END) else {
            self.refuse_long_line()?;
            return Ok(self.line.len() - before);
        };
        let end = from + at + END.len();
        self.line.truncate(end);
        let head = std::mem::take(&mut self.line);
        self.state = self.read_head(&head)?;
        self.line = head;
        self.line.clear();
        Ok(end - before)
    }

    fn read_head(&mut self, head: &[u8]) -> Result<State> {
        let malformed = || BenchError::Malformed(String::from_utf8_lossy(head).into_owned());
        let text = std::str::from_utf8(head).map_err(|_| malformed())?;
        let mut lines = text.split("\r\n");
        let status_line = lines.next().unwrap_or_default();
        let code = status_line.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3));
        self.status = code.and_then(|code| code.parse().ok()).ok_or_else(malformed)?;
        self.closes = false;
        let mut state = None;
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            let value = value.trim();
            if name.eq_ignore_ascii_case("content-length") {
                state = Some(State::Counted(value.parse().map_err(|_| malformed())?));
            } else if name.eq_ignore_ascii_case("transfer-encoding") && value.eq_ignore_ascii_case("chunked") {
                state = Some(State::ChunkSize);
            } else if name.eq_ignore_ascii_case("connection") && value.eq_ignore_ascii_case("close") {
                self.closes = true;
            }
        }
        match (self.status, state) {
            (100..200, _) => Ok(State::Head),
            (204 | 304, _) | (_, Some(State::Counted(0))) => Ok(State::Done),
            (_, Some(state)) => Ok(state),
            // A body that ends with the connection cannot be measured over keep-alive.
            (_, None) => Err(malformed()),
        }
    }

    fn take_line(&mut self, bytes: &[u8]) -> Result<usize> {
        let Some(at) = memchr(b'\n', bytes) else {
            self.line.extend_from_slice(bytes);
            self.refuse_long_line()?;
            return Ok(bytes.len());
        };
        self.line.extend_from_slice(bytes.get(..at).unwrap_or_default());
        let text = String::from_utf8_lossy(&self.line);
        let line = text.trim_end_matches('\r');
        self.state = match self.state {
            State::ChunkEnd if line.is_empty() => State::ChunkSize,
            State::Trailer if line.is_empty() => State::Done,
            State::Trailer => State::Trailer,
            State::ChunkSize => {
                let digits = line.split(';').next().unwrap_or_default().trim();
                match u64::from_str_radix(digits, 16) {
                    Ok(0) => State::Trailer,
                    Ok(size) => State::Chunk(size),
                    Err(_) => return Err(BenchError::Malformed(format!("chunk size {line:?}"))),
                }
            }
            _ => return Err(BenchError::Malformed(format!("{line:?} instead of the end of a chunk"))),
        };
        self.line.clear();
        Ok(at + 1)
    }

    fn refuse_long_line(&self) -> Result<()> {
        if self.line.len() > HEAD_BYTES_MAX {
            return Err(BenchError::Malformed(format!("a head or line of more than {HEAD_BYTES_MAX} bytes")));
        }
        Ok(())
    }
}

impl Reply for Answer {
    fn reset(&mut self) {
        self.reset();
    }

    fn feed(&mut self, bytes: &[u8]) -> Result<usize> {
        self.feed(bytes)
    }

    fn is_done(&self) -> bool {
        self.is_done()
    }

    fn is_success(&self) -> bool {
        self.is_success()
    }

    fn closes(&self) -> bool {
        self.closes()
    }

    fn body_bytes(&self) -> u64 {
        self.body_bytes()
    }

    fn refusal(&self) -> String {
        format!("{} {}", self.status, String::from_utf8_lossy(&self.body))
    }
}

fn length(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const COUNTED: &[u8] = b"HTTP/1.1 201 Created\r\ncontent-length: 5\r\n\r\nhello";
    const CHUNKED: &[u8] =
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\nTrailer: 1\r\n\r\n";

    fn read(pieces: impl Iterator<Item = Vec<u8>>) -> Answer {
        let mut answer = Answer::keeping_body();
        for piece in pieces {
            assert_eq!(answer.feed(&piece).unwrap(), piece.len());
        }
        answer
    }

    #[test]
    fn an_answer_reads_the_same_however_it_is_split() {
        for (bytes, status) in [(COUNTED, 201), (CHUNKED, 200)] {
            for size in 1..=bytes.len() {
                let answer = read(bytes.chunks(size).map(<[u8]>::to_vec));
                assert!(answer.is_done(), "pieces of {size}");
                assert_eq!((answer.status(), answer.body(), answer.body_bytes()), (status, &b"hello"[..], 5));
            }
        }
    }

    #[test]
    fn bytes_behind_an_answer_are_left_to_the_next_one() {
        let mut both = COUNTED.to_vec();
        both.extend_from_slice(CHUNKED);
        let mut answer = Answer::new();
        assert_eq!(answer.feed(&both).unwrap(), COUNTED.len());
        assert!(answer.is_done());
        answer.reset();
        assert_eq!(answer.feed(&both[COUNTED.len()..]).unwrap(), CHUNKED.len());
        assert!(answer.is_done() && answer.is_success());
    }

    #[test]
    fn an_interim_answer_is_skipped_and_a_closing_one_noticed() {
        let answer = read(std::iter::once(
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 503 No\r\nConnection: close\r\nContent-Length: 0\r\n\r\n".to_vec(),
        ));
        assert!(answer.is_done() && answer.closes() && !answer.is_success());
    }

    #[test]
    fn only_the_beginning_of_a_body_is_kept_unless_asked_for() {
        let mut bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n".to_vec();
        bytes.extend(std::iter::repeat_n(b'x', 100_000));
        let mut answer = Answer::new();
        answer.feed(&bytes).unwrap();
        assert_eq!((answer.body().len(), answer.body_bytes()), (REFUSAL_BYTES_KEPT, 100_000));
    }

    #[test]
    fn what_is_no_answer_or_has_no_length_is_an_error() {
        for bytes in [
            &b"SSH-2.0-OpenSSH\r\n\r\n"[..],
            b"HTTP/1.1 200 OK\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n",
        ] {
            assert!(Answer::new().feed(bytes).is_err(), "{}", String::from_utf8_lossy(bytes));
        }
    }
}
