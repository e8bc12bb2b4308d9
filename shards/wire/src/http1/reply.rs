//! The answer side of HTTP/1.1: heads and chunks written into a buffer the caller owns.

use std::io::Write;

/// Tells a client that waits with `Expect: 100-continue` to send its body.
pub const CONTINUE_100: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// How the end of the answer's body is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyLength {
    /// No body. Where the status allows one, this is said by `Content-Length: 0`.
    Empty,
    /// For HEAD: the length a GET would have.
    Length(u64),
    /// Never to an HTTP/1.0 client.
    Chunked,
}

/// Writes a status line, the headers and the final empty line.
///
/// Framing is decided here alone: `Content-Length`, `Transfer-Encoding` and (except in 1xx, for upgrades) `Connection`
/// among `headers` are left out. So is a header whose name is not a token or whose value contains a control character:
/// a value from a client must not be able to write a header line of its own. 1xx and 204 carry no length (RFC 9112 6.3);
/// nor does 304, whose length would be that of another answer.
pub fn write_head<'a>(
    out: &mut Vec<u8>,
    status: u16,
    headers: impl Iterator<Item = (&'a str, &'a str)>,
    length: ReplyLength,
    keep_alive: bool,
) {
    let is_informational = (100..200).contains(&status);
    out.extend_from_slice(b"HTTP/1.1 ");
    write_number(out, u64::from(status));
    out.push(b' ');
    out.extend_from_slice(reason(status).as_bytes());
    out.extend_from_slice(b"\r\n");
    for (name, value) in headers {
        if is_emittable(name, value) && !is_framing(name, is_informational) {
            for part in [name, ": ", value, "\r\n"] {
                out.extend_from_slice(part.as_bytes());
            }
        }
    }
    if !is_informational {
        write_length(out, status, length);
        out.extend_from_slice(if keep_alive { b"Connection: keep-alive\r\n" } else { b"Connection: close\r\n" });
    }
    out.extend_from_slice(b"\r\n");
}

/// Writes one chunk of a chunked body. An empty one is left out: it would end the body.
pub fn write_chunk(out: &mut Vec<u8>, data: &[u8]) {
    if data.is_empty() {
        return;
    }
    // Writing into a Vec cannot fail.
    let _ = write!(out, "{:x}\r\n", data.len());
    out.extend_from_slice(data);
    out.extend_from_slice(b"\r\n");
}

/// Ends a chunked body, without trailers.
pub fn write_last_chunk(out: &mut Vec<u8>) {
    out.extend_from_slice(b"0\r\n\r\n");
}

/// The reason phrase of a status; empty for one that is not registered (RFC 9112 4 allows that).
pub fn reason(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        101 => "Switching Protocols",
        103 => "Early Hints",
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        203 => "Non-Authoritative Information",
        204 => "No Content",
        205 => "Reset Content",
        206 => "Partial Content",
        207 => "Multi-Status",
        300 => "Multiple Choices",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        500..600 => server_error_reason(status),
        _ => client_error_reason(status),
    }
}

fn client_error_reason(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Payload Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        418 => "I'm a Teapot",
        421 => "Misdirected Request",
        422 => "Unprocessable Entity",
        423 => "Locked",
        424 => "Failed Dependency",
        425 => "Too Early",
        426 => "Upgrade Required",
        428 => "Precondition Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        451 => "Unavailable For Legal Reasons",
        _ => "",
    }
}

fn server_error_reason(status: u16) -> &'static str {
    match status {
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        507 => "Insufficient Storage",
        508 => "Loop Detected",
        511 => "Network Authentication Required",
        _ => "",
    }
}

fn write_length(out: &mut Vec<u8>, status: u16, length: ReplyLength) {
    if matches!(status, 204 | 304) {
        return;
    }
    match length {
        ReplyLength::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
        ReplyLength::Empty => out.extend_from_slice(b"Content-Length: 0\r\n"),
        ReplyLength::Length(length) => {
            out.extend_from_slice(b"Content-Length: ");
            write_number(out, length);
            out.extend_from_slice(b"\r\n");
        }
    }
}

fn write_number(out: &mut Vec<u8>, number: u64) {
    // Writing into a Vec cannot fail.
    let _ = write!(out, "{number}");
}

fn is_emittable(name: &str, value: &str) -> bool {
    !name.is_empty()
        && name.bytes().all(super::head::is_token_byte)
        && !value.bytes().any(|byte| byte.is_ascii_control() && byte != b'\t')
}

fn is_framing(name: &str, is_informational: bool) -> bool {
    match name.len() {
        10 => !is_informational && name.eq_ignore_ascii_case("connection"),
        14 => name.eq_ignore_ascii_case("content-length"),
        17 => name.eq_ignore_ascii_case("transfer-encoding"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(status: u16, headers: &[(&str, &str)], length: ReplyLength, keep_alive: bool) -> String {
        let mut out = Vec::new();
        write_head(&mut out, status, headers.iter().copied(), length, keep_alive);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_head_carries_status_headers_length_and_connection_in_this_order() {
        assert_eq!(
            head(200, &[("Content-Type", "text/plain")], ReplyLength::Length(12), true),
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 12\r\nConnection: keep-alive\r\n\r\n"
        );
        assert_eq!(
            head(431, &[], ReplyLength::Empty, false),
            "HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
        assert!(head(200, &[], ReplyLength::Chunked, true).contains("Transfer-Encoding: chunked\r\n"));
    }

    #[test]
    fn answers_that_cannot_have_a_body_carry_no_length() {
        for status in [101, 204, 304] {
            for length in [ReplyLength::Empty, ReplyLength::Length(3), ReplyLength::Chunked] {
                let head = head(status, &[], length, true).to_ascii_lowercase();
                assert!(!head.contains("content-length") && !head.contains("transfer-encoding"), "{head}");
            }
        }
    }

    #[test]
    fn a_header_value_cannot_write_a_line_of_its_own() {
        let evil = [("Location", "/a\r\nSet-Cookie: x=1"), ("X\r\nY", "1"), ("", "1"), ("Z", "a\nb"), ("N", "a\0b")];
        assert_eq!(head(200, &evil, ReplyLength::Empty, true), head(200, &[], ReplyLength::Empty, true));
    }

    #[test]
    fn framing_headers_of_the_caller_are_left_out_but_an_upgrade_keeps_its_connection_header() {
        let framing = [("content-length", "9"), ("TRANSFER-ENCODING", "chunked"), ("Connection", "close")];
        assert_eq!(head(200, &framing, ReplyLength::Empty, true), head(200, &[], ReplyLength::Empty, true));
        let upgrade = [("Connection", "Upgrade"), ("Upgrade", "websocket")];
        assert_eq!(
            head(101, &upgrade, ReplyLength::Empty, true),
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
        );
    }

    #[test]
    fn chunks_are_framed_and_an_empty_one_does_not_end_the_body() {
        let mut out = Vec::new();
        write_chunk(&mut out, &[b'x'; 26]);
        write_chunk(&mut out, b"");
        write_last_chunk(&mut out);
        assert_eq!(out, [b"1a\r\n".as_slice(), &[b'x'; 26], b"\r\n0\r\n\r\n"].concat());
    }

    #[test]
    fn every_status_the_server_uses_has_a_reason() {
        for status in [200, 201, 400, 401, 403, 404, 408, 413, 417, 421, 431, 451, 500, 502, 503, 505, 507] {
            assert_ne!(reason(status), "", "{status}");
        }
        assert_eq!(reason(799), "");
    }
}
