//! The head of a request: where it ends, its request line and its headers.
//!
//! httparse splits the lines; what it tolerates and we do not (bare LF, folding, other targets) is checked here first.

use std::mem::MaybeUninit;

use bytes::{Buf, BytesMut};
use httparse::Status;
use memchr::memchr;

use super::{BodyLength, LEADING_EMPTY_LINES_MAX, Limits, ProtocolError, framing};

/// Upper bound of `Limits::header_count_max`: the size of the table on the stack that httparse fills.
pub const HEADER_SLOTS: usize = 128;

/// A parsed request head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    pub method: Method,
    pub headers: Headers,
    /// 0 or 1, of HTTP/1.x.
    pub minor_version: u8,
    /// Whether the client wants to send another request on this connection.
    pub keep_alive: bool,
    /// The client waits for [`super::reply::CONTINUE_100`] before it sends the body.
    pub expect_continue: bool,
    pub body: BodyLength,
    target: Span,
    /// Host and port of an absolute-form target, empty otherwise.
    authority: Span,
    /// The part of the target from the path on; of an absolute form without a path: what follows the authority.
    path_and_query: Span,
}

/// Methods are case-sensitive (RFC 9110 9.1): `get` is `Other`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Method {
    Get,
    Head,
    Post,
    Put,
    Delete,
    Options,
    Other(Box<str>),
}

/// Header lines in the order sent: one shared text of the head and a table of places in it.
///
/// Values are UTF-8 if the whole head is; otherwise the header lines are read as Latin-1, as the reference server
/// always does, so that one odd `User-Agent` does not refuse a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers {
    text: Box<str>,
    lines: Vec<Line>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Line {
    name: Span,
    value: Span,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Span {
    start: u32,
    end: u32,
}

impl Head {
    /// `bytes` is a whole head with its final empty line, as found by [`HeadScan::find_end`].
    pub(super) fn parse(bytes: &[u8], limits: &Limits) -> Result<Self, ProtocolError> {
        let text = decode_text(bytes)?;
        check_version(&text)?;
        let mut slots = [const { MaybeUninit::uninit() }; HEADER_SLOTS];
        let mut request = httparse::Request::new(&mut []);
        match request.parse_with_uninit_headers(text.as_bytes(), &mut slots).map_err(from_httparse)? {
            Status::Complete(length) if length == text.len() => {}
            // The scan found the end where httparse does not: refuse instead of guessing.
            _ => return Err(ProtocolError::RequestLine),
        }
        let (Some(method), Some(target), Some(minor_version)) = (request.method, request.path, request.version) else {
            return Err(ProtocolError::RequestLine);
        };
        let lines = lines_of(request.headers, &text)?;
        let method = Method::from_token(method);
        let target = span_of(&text, target.as_bytes())?;
        if lines.len() > limits.header_count_max {
            return Err(ProtocolError::TooManyHeaders);
        }
        let headers = Headers { text: text.into_boxed_str(), lines };
        let (authority, path_and_query) = split_target(&method, &headers.text, target)?;
        let rules = framing::Rules::of(&headers, minor_version)?;
        Ok(Self {
            method,
            headers,
            minor_version,
            keep_alive: rules.keep_alive,
            expect_continue: rules.expect_continue,
            body: rules.body,
            target,
            authority,
            path_and_query,
        })
    }

    /// The request target as sent.
    pub fn target(&self) -> &str {
        self.headers.text_at(self.target)
    }

    /// The path, still percent-encoded; `/` for an absolute form without one; `*` for the asterisk form.
    pub fn path(&self) -> &str {
        let whole = self.headers.text_at(self.path_and_query);
        match whole.split_once('?').map_or(whole, |(path, _)| path) {
            "" => "/",
            path => path,
        }
    }

    /// The query string without its `?`, if there is one.
    pub fn query(&self) -> Option<&str> {
        self.headers.text_at(self.path_and_query).split_once('?').map(|(_, query)| query)
    }

    /// The host addressed: of an absolute-form target, which overrules the header (RFC 9112 3.2.2), else of `Host`.
    pub fn host(&self) -> Option<&str> {
        match self.headers.text_at(self.authority) {
            "" => self.headers.get("host"),
            authority => Some(authority),
        }
    }
}

impl Method {
    pub fn as_str(&self) -> &str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
            Self::Options => "OPTIONS",
            Self::Other(name) => name,
        }
    }

    fn from_token(token: &str) -> Self {
        match token {
            "GET" => Self::Get,
            "HEAD" => Self::Head,
            "POST" => Self::Post,
            "PUT" => Self::Put,
            "DELETE" => Self::Delete,
            "OPTIONS" => Self::Options,
            other => Self::Other(other.into()),
        }
    }
}

impl Headers {
    /// The first value of a header; names are compared without regard to ASCII case.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(line, _)| line.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// All values of a header, in the order sent.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> + 'a {
        self.iter().filter(move |(line, _)| line.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Names as sent, and values without surrounding white space.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.lines.iter().map(|line| (self.text_at(line.name), self.text_at(line.value)))
    }

    pub fn len(&self) -> usize {
        self.lines.len()
    }

    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    fn text_at(&self, span: Span) -> &str {
        slice(&self.text, span)
    }
}

/// Where the search for the end of a head stands. Every byte is looked at once however the input is cut, and an error
/// depends only on the bytes before it, so that any split of the input gives the same one.
#[derive(Debug, Default)]
pub(super) struct HeadScan {
    empty_lines: u8,
    scanned: usize,
    line_start: usize,
    line_count: usize,
}

impl HeadScan {
    /// RFC 9112 2.2: empty lines before a request line are ignored (clients of old ended bodies with one too many).
    pub(super) fn skip_empty_lines(&mut self, buffer: &mut BytesMut) -> Result<(), ProtocolError> {
        while self.scanned == 0 {
            match buffer.as_ref() {
                [b'\r', b'\n', ..] if self.empty_lines == LEADING_EMPTY_LINES_MAX => {
                    return Err(ProtocolError::EmptyLines);
                }
                [b'\r', b'\n', ..] => {
                    buffer.advance(2);
                    self.empty_lines += 1;
                }
                [b'\r'] | [] => return Ok(()),
                [b'\r' | b'\n', ..] => return Err(ProtocolError::BareLineBreak),
                [first, ..] if !is_token_byte(*first) => return Err(ProtocolError::NotHttp),
                _ => return Ok(()),
            }
        }
        Ok(())
    }

    /// The length of the head with its final empty line, when that has arrived.
    pub(super) fn find_end(&mut self, buffer: &[u8], limits: &Limits) -> Result<Option<usize>, ProtocolError> {
        if buffer == b"\r" {
            return Ok(None); // perhaps an empty line to skip
        }
        let reach = buffer.len().min(limits.head_bytes_max);
        while let Some(offset) = buffer.get(self.scanned..reach).and_then(|rest| memchr(b'\n', rest)) {
            let line = buffer.get(self.line_start..self.scanned + offset).unwrap_or_default();
            let next_line = self.scanned + offset + 1;
            match line {
                [b'\r'] => return Ok(Some(next_line)),
                [b' ' | b'\t', ..] => return Err(ProtocolError::FoldedHeader),
                [.., b'\r'] => {}
                _ => return Err(ProtocolError::BareLineBreak),
            }
            if self.line_count > limits.header_count_max.min(HEADER_SLOTS) {
                return Err(ProtocolError::TooManyHeaders);
            }
            self.line_count += 1;
            (self.scanned, self.line_start) = (next_line, next_line);
        }
        if buffer.len() >= limits.head_bytes_max {
            return Err(ProtocolError::HeadTooLarge);
        }
        self.scanned = reach;
        Ok(None)
    }
}

pub(super) fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// UTF-8, or Latin-1 header lines under an UTF-8 request line.
fn decode_text(bytes: &[u8]) -> Result<String, ProtocolError> {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Ok(text.to_owned());
    }
    let request_line_end = memchr(b'\n', bytes).map_or(bytes.len(), |end| end + 1);
    let (request_line, headers) = bytes.split_at(request_line_end);
    let mut text = std::str::from_utf8(request_line).map_err(|_| ProtocolError::Target)?.to_owned();
    text.extend(headers.iter().copied().map(char::from));
    Ok(text)
}

/// Told apart from other faults of the request line, because the client can do something about it.
fn check_version(text: &str) -> Result<(), ProtocolError> {
    let line = text.split_once("\r\n").map_or(text, |(line, _)| line);
    let version = line.rsplit_once(' ').map_or("", |(_, version)| version);
    match version.strip_prefix("HTTP/").map(str::as_bytes) {
        Some(b"1.1" | b"1.0") => Ok(()),
        Some([major, b'.', minor]) if major.is_ascii_digit() && minor.is_ascii_digit() => Err(ProtocolError::Version),
        Some([major]) if major.is_ascii_digit() => Err(ProtocolError::Version),
        _ => Err(ProtocolError::RequestLine),
    }
}

fn from_httparse(error: httparse::Error) -> ProtocolError {
    match error {
        httparse::Error::HeaderName => ProtocolError::HeaderName,
        httparse::Error::HeaderValue => ProtocolError::HeaderValue,
        // Line ends were checked before: a CR that is not followed by LF is left.
        httparse::Error::NewLine => ProtocolError::BareLineBreak,
        httparse::Error::TooManyHeaders => ProtocolError::TooManyHeaders,
        httparse::Error::Status | httparse::Error::Token | httparse::Error::Version => ProtocolError::RequestLine,
    }
}

fn lines_of(headers: &[httparse::Header<'_>], text: &str) -> Result<Vec<Line>, ProtocolError> {
    let mut lines = Vec::with_capacity(headers.len());
    for header in headers {
        let name = span_of(text, header.name.as_bytes())?;
        lines.push(Line { name, value: span_of(text, header.value)? });
    }
    Ok(lines)
}

/// The place of `part`, a slice of `text`, in it.
fn span_of(text: &str, part: &[u8]) -> Result<Span, ProtocolError> {
    if part.is_empty() {
        return Ok(Span::default()); // httparse may return an empty slice that is not a part of its input
    }
    let start = part.as_ptr().addr().wrapping_sub(text.as_ptr().addr());
    let span = (u32::try_from(start), u32::try_from(start.wrapping_add(part.len())));
    let (Ok(start), Ok(end)) = span else { return Err(ProtocolError::HeadTooLarge) };
    Ok(Span { start, end })
}

/// The spans of the authority (absolute form only) and of the path with the query.
fn split_target(method: &Method, text: &str, target: Span) -> Result<(Span, Span), ProtocolError> {
    let whole = slice(text, target);
    if whole.contains('#') {
        return Err(ProtocolError::Target);
    }
    if whole.starts_with('/') || (whole == "*" && *method == Method::Options) {
        return Ok((Span::default(), target));
    }
    let (Some((scheme, rest)), true) = (whole.split_once("://"), whole.is_ascii()) else {
        return Err(ProtocolError::Target);
    };
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let is_web = scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
    if !is_web || authority.is_empty() || !framing::is_host(authority) {
        return Err(ProtocolError::Target);
    }
    let authority_span = span_of(text, authority.as_bytes())?;
    Ok((authority_span, Span { start: authority_span.end, end: target.end }))
}

fn slice(text: &str, span: Span) -> &str {
    // Spans are places in a text below 4 GiB, so neither conversion loses anything on a 64-bit (or 32-bit) machine.
    let (Ok(start), Ok(end)) = (usize::try_from(span.start), usize::try_from(span.end)) else { return "" };
    text.get(start..end).unwrap_or_default()
}
