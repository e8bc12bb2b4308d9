//! What is wrong with a request on the level of HTTP itself, and the status that says so.

use thiserror::Error;

/// A request that cannot be framed or is over a limit. The connection must be closed after the answer: what follows on it
/// cannot be trusted to be where a request starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ProtocolError {
    #[error("The request does not start with a method: is the client speaking TLS or another protocol on this port?")]
    NotHttp,
    #[error("More than {} empty lines before the request line", super::LEADING_EMPTY_LINES_MAX)]
    EmptyLines,
    #[error("The request line must be: method, one space, target, one space, HTTP/1.1")]
    RequestLine,
    #[error("Only HTTP/1.1 and HTTP/1.0 are spoken on this connection")]
    Version,
    #[error(
        "The request target must be a path, an absolute http(s) URI without user or fragment, or * with OPTIONS, in UTF-8"
    )]
    Target,
    #[error("A line of the head ends in a bare line feed or contains a bare carriage return; lines end in CR LF")]
    BareLineBreak,
    #[error("A header line starts with white space; folded header lines are not accepted")]
    FoldedHeader,
    #[error("A header name is empty, contains a character that is not allowed, or has white space before its colon")]
    HeaderName,
    #[error("A header value contains a control character")]
    HeaderValue,
    #[error("Request line and headers are too large; shorten the URL or the headers")]
    HeadTooLarge,
    #[error("Too many header lines")]
    TooManyHeaders,
    #[error("More than one Host header, or a Host that is not a host name")]
    Host,
    #[error("Content-Length must be given once, as decimal digits")]
    ContentLength,
    #[error("Content-Length and Transfer-Encoding exclude each other")]
    LengthAndEncoding,
    #[error("The only Transfer-Encoding accepted is: chunked, given once, in HTTP/1.1")]
    TransferEncoding,
    #[error("The only expectation that can be met is: 100-continue")]
    Expectation,
    #[error("A chunk size must be hexadecimal digits that fit into 64 bits, followed by CR LF or an extension")]
    ChunkSize,
    #[error("A chunk's data must be followed by CR LF")]
    ChunkEnd,
    #[error("A chunk extension is too long or contains a control character")]
    ChunkExtension,
    #[error("The trailers of a chunked body are malformed")]
    Trailer,
    #[error("The trailers of a chunked body are too large")]
    TrailersTooLarge,
}

impl ProtocolError {
    /// The HTTP status to answer with before closing.
    pub fn status(&self) -> u16 {
        match self {
            Self::HeadTooLarge | Self::TooManyHeaders | Self::TrailersTooLarge => 431,
            Self::Version => 505,
            Self::Expectation => 417,
            _ => 400,
        }
    }
}
