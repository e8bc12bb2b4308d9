//! As much of PostgreSQL's protocol (version 3.0) as COPY and a count need.
//!
//! A message is `kind: u8, length: u32 big-endian (itself included, the kind not), payload`; the first one of a connection has no
//! kind. The answer to anything ends with `ReadyForQuery`.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::answer::Reply;
use crate::error::{BenchError, Result};

pub(super) const USER: &str = "bench";
const DATABASE: &str = "postgres";
const PROTOCOL: u32 = 3 << 16;
const LENGTH_BYTES: usize = 4;
const HEADER_BYTES: usize = 1 + LENGTH_BYTES;
/// Counting a large table takes a while.
const SILENCE_MAX: Duration = Duration::from_secs(300);
const READ_BYTES: usize = 16 * 1024;
/// Of an error or a row this much is kept.
const KEPT_BYTES_MAX: usize = 2_000;

const AUTHENTICATION: u8 = b'R';
const ERROR: u8 = b'E';
const DATA_ROW: u8 = b'D';
const COPY_DATA: u8 = b'd';
const COPY_DONE: u8 = b'c';
const QUERY: u8 = b'Q';
const READY_FOR_QUERY: u8 = b'Z';

/// A message with its kind.
pub(super) fn message(kind: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind];
    extend_with_length(&mut bytes, payload);
    bytes
}

/// A COPY with its data behind it: the server reads on in order, so nobody waits for its consent.
pub(super) fn copy_in(statement: &str, rows: &[u8]) -> Vec<u8> {
    let mut bytes = message(QUERY, format!("{statement}\0").as_bytes());
    bytes.extend(message(COPY_DATA, rows));
    bytes.extend(message(COPY_DONE, b""));
    bytes
}

/// A connection that is ready for queries.
pub(super) fn connect(address: SocketAddr) -> Result<TcpStream> {
    let open = || -> std::io::Result<TcpStream> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(SILENCE_MAX))?;
        Ok(stream)
    };
    let mut stream = open().map_err(BenchError::system("connect to PostgreSQL"))?;
    let mut payload = PROTOCOL.to_be_bytes().to_vec();
    payload.extend_from_slice(format!("user\0{USER}\0database\0{DATABASE}\0\0").as_bytes());
    let mut hello = Vec::new();
    extend_with_length(&mut hello, &payload);
    exchange(&mut stream, &hello, "the start of a connection")?;
    Ok(stream)
}

/// The first column of the first row, as text; empty without rows.
pub(super) fn query(stream: &mut TcpStream, statement: &str) -> Result<String> {
    let answered = exchange(stream, &message(QUERY, format!("{statement}\0").as_bytes()), statement)?;
    Ok(answered.first_column().unwrap_or_default())
}

pub(super) fn exchange(stream: &mut TcpStream, bytes: &[u8], request: &str) -> Result<Answered> {
    stream.write_all(bytes).map_err(BenchError::system("send to PostgreSQL"))?;
    let mut answered = Answered::new();
    let mut buffer = [0; READ_BYTES];
    while !answered.is_done() {
        let count = stream.read(&mut buffer).map_err(BenchError::system("read from PostgreSQL"))?;
        if count == 0 && answered.is_success() {
            return Err(BenchError::Malformed("PostgreSQL ended the connection within an answer".to_owned()));
        }
        if count == 0 {
            break;
        }
        answered.feed(buffer.get(..count).unwrap_or_default())?;
    }
    if answered.is_success() {
        return Ok(answered);
    }
    Err(BenchError::Unexpected { request: request.to_owned(), text: answered.refusal() })
}

fn extend_with_length(bytes: &mut Vec<u8>, payload: &[u8]) {
    let length = u32::try_from(payload.len() + LENGTH_BYTES).expect("a post is far below 4 GiB");
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(payload);
}

/// Messages of the server up to `ReadyForQuery`.
pub(super) struct Answered {
    header: Vec<u8>,
    kind: u8,
    /// Of the current message's payload.
    left_bytes: usize,
    error: Vec<u8>,
    row: Vec<u8>,
    authentication: Vec<u8>,
    data_bytes: u64,
    is_done: bool,
}

impl Answered {
    pub(super) fn new() -> Self {
        Self {
            header: Vec::with_capacity(HEADER_BYTES),
            kind: 0,
            left_bytes: 0,
            error: Vec::new(),
            row: Vec::new(),
            authentication: Vec::new(),
            data_bytes: 0,
            is_done: false,
        }
    }

    fn take_header<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8]> {
        let (taken, rest) = bytes.split_at(bytes.len().min(HEADER_BYTES - self.header.len()));
        self.header.extend_from_slice(taken);
        let Some((kind, length)) = self.header.split_first() else { return Ok(rest) };
        let Ok(length) = <[u8; LENGTH_BYTES]>::try_from(length) else { return Ok(rest) };
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        let malformed = || BenchError::Malformed(format!("a message of PostgreSQL with a length of {length}"));
        self.left_bytes = length.checked_sub(LENGTH_BYTES).ok_or_else(malformed)?;
        self.kind = *kind;
        Ok(rest)
    }

    fn take_payload<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let (taken, rest) = bytes.split_at(bytes.len().min(self.left_bytes));
        self.left_bytes -= taken.len();
        let kept = match self.kind {
            ERROR => &mut self.error,
            DATA_ROW => &mut self.row,
            AUTHENTICATION => &mut self.authentication,
            COPY_DATA => {
                self.data_bytes += u64::try_from(taken.len()).expect("a length fits");
                return rest;
            }
            _ => return rest,
        };
        let wanted = taken.len().min(KEPT_BYTES_MAX.saturating_sub(kept.len()));
        kept.extend_from_slice(taken.get(..wanted).unwrap_or_default());
        rest
    }

    /// `DataRow`: the number of columns (u16), then for each its length (u32) and its text.
    fn first_column(&self) -> Option<String> {
        let length = self.row.get(2..6)?.try_into().ok().map(u32::from_be_bytes)?;
        let text = self.row.get(6..)?.get(..usize::try_from(length).ok()?)?;
        Some(String::from_utf8_lossy(text).into_owned())
    }

    fn asks_for_password(&self) -> bool {
        self.authentication.iter().any(|byte| *byte != 0)
    }
}

impl Reply for Answered {
    fn reset(&mut self) {
        self.error.clear();
        self.row.clear();
        self.data_bytes = 0;
        self.is_done = false;
    }

    fn feed(&mut self, bytes: &[u8]) -> Result<usize> {
        let mut rest = bytes;
        while !rest.is_empty() && !self.is_done {
            if self.header.len() < HEADER_BYTES {
                rest = self.take_header(rest)?;
            }
            rest = self.take_payload(rest);
            if self.header.len() == HEADER_BYTES && self.left_bytes == 0 {
                self.header.clear();
                // Nothing follows a question for a password that is not answered.
                self.is_done = self.kind == READY_FOR_QUERY || self.asks_for_password();
            }
        }
        Ok(bytes.len() - rest.len())
    }

    fn is_done(&self) -> bool {
        self.is_done
    }

    fn is_success(&self) -> bool {
        self.error.is_empty() && !self.asks_for_password()
    }

    fn closes(&self) -> bool {
        false
    }

    fn body_bytes(&self) -> u64 {
        self.data_bytes
    }

    fn refusal(&self) -> String {
        if self.asks_for_password() {
            return "PostgreSQL asks for a password".to_owned();
        }
        String::from_utf8_lossy(&self.error).replace('\0', " ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed_in_pieces(answer: &[u8], piece_bytes: usize) -> Answered {
        let mut answered = Answered::new();
        for piece in answer.chunks(piece_bytes) {
            assert_eq!(answered.feed(piece).unwrap(), piece.len());
        }
        answered
    }

    #[test]
    fn an_answer_is_read_at_any_split_of_its_bytes() {
        let mut answer = message(b'H', &[0, 0, 2]);
        answer.extend(message(COPY_DATA, b"1600000000,70.12\n"));
        answer.extend(message(COPY_DATA, b"1600000001,70.13\n"));
        answer.extend(message(COPY_DONE, b""));
        answer.extend(message(b'C', b"COPY 2\0"));
        answer.extend(message(READY_FOR_QUERY, b"I"));
        for piece_bytes in 1..=answer.len() {
            let answered = feed_in_pieces(&answer, piece_bytes);
            assert!(answered.is_done() && answered.is_success(), "pieces of {piece_bytes}");
            assert_eq!(answered.body_bytes(), 34);
        }
    }

    #[test]
    fn an_error_is_no_success_and_the_next_answer_may_be_one() {
        let mut answer = message(ERROR, b"SERROR\0Mduplicate key\0\0");
        answer.extend(message(READY_FOR_QUERY, b"I"));
        let mut answered = feed_in_pieces(&answer, 7);
        assert!(answered.is_done() && !answered.is_success());
        assert!(answered.refusal().contains("duplicate key"), "{}", answered.refusal());
        answered.reset();
        answered.feed(&message(READY_FOR_QUERY, b"I")).unwrap();
        assert!(answered.is_done() && answered.is_success());
    }

    #[test]
    fn the_first_column_of_a_row_is_its_text() {
        let mut answer = message(DATA_ROW, &[0, 1, 0, 0, 0, 3, b'1', b'2', b'3']);
        answer.extend(message(READY_FOR_QUERY, b"I"));
        assert_eq!(feed_in_pieces(&answer, 4).first_column().unwrap(), "123");
    }

    #[test]
    fn a_question_for_a_password_ends_the_answer() {
        let answered = feed_in_pieces(&message(AUTHENTICATION, &[0, 0, 0, 10]), 3);
        assert!(answered.is_done() && !answered.is_success());
    }

    #[test]
    fn the_data_of_a_copy_follows_its_statement() {
        let bytes = copy_in("COPY t FROM STDIN", b"1\n");
        assert_eq!(bytes, b"Q\0\0\0\x16COPY t FROM STDIN\0d\0\0\0\x061\nc\0\0\0\x04");
    }
}
