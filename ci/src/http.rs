//! A small blocking HTTP/1.1 client over one keep-alive connection. It is deliberately independent of the `wire` crate, so
//! that the checks do not read the server's answers with the server's own parser.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// A status line, a header line or a chunk size line longer than this is refused.
const LINE_BYTES_MAX: u64 = 64 * 1024;
/// More interim answers (`100 Continue`) than this before a final one are refused.
const INTERIM_ANSWERS_MAX: usize = 8;
/// A socket that says nothing for this long counts as broken.
const SILENCE_MAX: Duration = Duration::from_secs(60);

#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpError {
    #[error("the connection broke: {0}")]
    Io(#[from] std::io::Error),
    #[error("the answer is not HTTP/1.1: {0}")]
    Malformed(String),
}

/// One answer, whole.
#[derive(Debug, Default)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// In how many chunks the body came; 0 when it had a length.
    pub(crate) chunk_count: usize,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> Option<serde_json::Value> {
        serde_json::from_slice(&self.body).ok()
    }

    /// The body for a message to a person: its beginning is enough.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).chars().take(600).collect()
    }

    pub(crate) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    fn closes(&self) -> bool {
        self.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }
}

/// A request; the body, when there is one, is sent with its length.
#[derive(Debug, Clone, Default)]
pub(crate) struct Request<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Option<Vec<u8>>,
}

impl<'a> Request<'a> {
    pub(crate) fn new(method: &'a str, path: &'a str) -> Self {
        Self { method, path, ..Self::default() }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn token(self, token: &str) -> Self {
        self.header("Authorization", token)
    }

    pub(crate) fn json(self, body: &serde_json::Value) -> Self {
        self.json_text(body.to_string())
    }

    pub(crate) fn json_text(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self.header("Content-Type", "application/json")
    }

    fn encode(&self, address: SocketAddr) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.path);
        if !self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            head.push_str(&format!("Host: {address}\r\n"));
        }
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if let Some(body) = &self.body {
            head.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(self.body.as_deref().unwrap_or_default());
        bytes
    }
}

/// One connection, opened at the first request and again after it broke.
pub(crate) struct Client {
    address: SocketAddr,
    connection: Option<BufReader<TcpStream>>,
}

impl Client {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { address, connection: None }
    }

    /// Sends and waits for the whole answer. After an error nothing is known about what the server did with the request.
    pub(crate) fn send(&mut self, request: &Request<'_>) -> Result<Reply, HttpError> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.connect()?,
        };
        connection.get_mut().write_all(&request.encode(self.address))?;
        let reply = read_reply(&mut connection, request.method == "HEAD")?;
        if !reply.closes() {
            self.connection = Some(connection);
        }
        Ok(reply)
    }

    fn connect(&self) -> Result<BufReader<TcpStream>, HttpError> {
        let stream = TcpStream::connect_timeout(&self.address, SILENCE_MAX)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(SILENCE_MAX))?;
        stream.set_write_timeout(Some(SILENCE_MAX))?;
        Ok(BufReader::with_capacity(64 * 1024, stream))
    }
}

/// Sends raw bytes on a connection of their own and reads the first answer; what is no request must be answered as well.
pub(crate) fn send_raw(address: SocketAddr, bytes: &[u8]) -> Result<Reply, HttpError> {
    let mut stream = TcpStream::connect_timeout(&address, SILENCE_MAX)?;
    stream.set_read_timeout(Some(SILENCE_MAX))?;
    stream.write_all(bytes)?;
    read_reply(&mut BufReader::new(stream), false)
}

fn read_reply(input: &mut impl BufRead, is_head: bool) -> Result<Reply, HttpError> {
    for _ in 0..INTERIM_ANSWERS_MAX {
        let mut reply = read_head(input)?;
        if (100..200).contains(&reply.status) {
            continue;
        }
        if !is_head && reply.status != 204 && reply.status != 304 {
            read_body(input, &mut reply)?;
        }
        return Ok(reply);
    }
    Err(HttpError::Malformed("too many interim answers".to_owned()))
}

fn read_head(input: &mut impl BufRead) -> Result<Reply, HttpError> {
    let status_line = read_line(input)?;
    let mut parts = status_line.splitn(3, ' ');
    let status = match (parts.next(), parts.next().and_then(|code| code.parse().ok())) {
        (Some("HTTP/1.1"), Some(status)) => status,
        _ => return Err(HttpError::Malformed(format!("status line {status_line:?}"))),
    };
    let mut headers = Vec::new();
    loop {
        let line = read_line(input)?;
        if line.is_empty() {
            return Ok(Reply { status, headers, ..Reply::default() });
        }
        let (name, value) =
            line.split_once(':').ok_or_else(|| HttpError::Malformed(format!("header line {line:?}")))?;
        headers.push((name.to_owned(), value.trim().to_owned()));
    }
}

fn read_body(input: &mut impl BufRead, reply: &mut Reply) -> Result<(), HttpError> {
    if reply.header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
        return read_chunks(input, reply);
    }
    match reply.header("content-length") {
        Some(length) => {
            let length = length.parse().map_err(|_| HttpError::Malformed(format!("content-length {length:?}")))?;
            read_exactly(input, length, &mut reply.body)
        }
        None => Ok(input.read_to_end(&mut reply.body).map(|_| ())?),
    }
}

fn read_chunks(input: &mut impl BufRead, reply: &mut Reply) -> Result<(), HttpError> {
    loop {
        let line = read_line(input)?;
        let digits = line.split(';').next().unwrap_or_default().trim();
        let size = u64::from_str_radix(digits, 16).map_err(|_| HttpError::Malformed(format!("chunk size {line:?}")))?;
        read_exactly(input, size, &mut reply.body)?;
        if size == 0 {
            while !read_line(input)?.is_empty() {}
            return Ok(());
        }
        if !read_line(input)?.is_empty() {
            return Err(HttpError::Malformed("a chunk longer than its size line says".to_owned()));
        }
        reply.chunk_count += 1;
    }
}

fn read_exactly(input: &mut impl BufRead, length: u64, body: &mut Vec<u8>) -> Result<(), HttpError> {
    let read = input.by_ref().take(length).read_to_end(body)?;
    match u64::try_from(read) == Ok(length) {
        true => Ok(()),
        false => Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into()),
    }
}

fn read_line(input: &mut impl BufRead) -> Result<String, HttpError> {
    let mut line = Vec::new();
    input.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
    }
    match line.strip_suffix(b"\r\n") {
        Some(line) => Ok(String::from_utf8_lossy(line).into_owned()),
        None => Err(HttpError::Malformed(format!("a line without CRLF: {:?}", String::from_utf8_lossy(&line)))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(bytes: &str, is_head: bool) -> Result<Reply, HttpError> {
        read_reply(&mut bytes.as_bytes(), is_head)
    }

    #[test]
    fn an_answer_with_a_length_ends_where_the_length_says() {
        let mut input = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nabHTTP/1.1 204 x\r\n\r\n".as_bytes();
        let first = read_reply(&mut input, false).unwrap();
        let second = read_reply(&mut input, false).unwrap();
        assert_eq!((first.status, first.body.as_slice()), (200, b"ab".as_slice()));
        assert_eq!((second.status, second.body.len()), (204, 0));
    }

    #[test]
    fn chunks_are_joined_and_trailers_skipped() {
        let reply = parse(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=1\r\nabc\r\nA\r\n0123456789\r\n0\r\nT: 1\r\n\r\n",
            false,
        )
        .unwrap();
        assert_eq!(reply.body, b"abc0123456789");
    }

    #[test]
    fn an_interim_answer_is_skipped() {
        let reply =
            parse("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\ncontent-length: 1\r\n\r\nx", false).unwrap();
        assert_eq!((reply.status, reply.body.as_slice()), (201, b"x".as_slice()));
    }

    #[test]
    fn an_answer_to_head_has_no_body_whatever_its_length_says() {
        assert!(parse("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n", true).unwrap().body.is_empty());
    }

    #[test]
    fn a_cut_answer_is_an_error_and_not_a_short_body() {
        assert!(parse("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", false).is_err());
        assert!(parse("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", false).is_err());
        assert!(parse("HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n", false).is_err());
    }

    #[test]
    fn a_request_carries_host_and_length() {
        let bytes = Request::new("POST", "/x").json_text("{}").encode("127.0.0.1:3000".parse().unwrap());
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.starts_with("POST /x HTTP/1.1\r\nHost: 127.0.0.1:3000\r\n"));
        assert!(text.ends_with("Content-Length: 2\r\n\r\n{}"));
    }
}
