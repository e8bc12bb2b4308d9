//! The headers that decide where a request ends and whether the connection goes on. Every ambiguity is an error: two
//! servers that read such a request differently are what request smuggling is made of (RFC 9112 6.3, 11.2).

use super::{BodyLength, Headers, ProtocolError};

pub(super) struct Rules {
    pub(super) body: BodyLength,
    pub(super) keep_alive: bool,
    pub(super) expect_continue: bool,
}

impl Rules {
    /// Reads all framing headers in one pass over the lines.
    pub(super) fn of(headers: &Headers, minor_version: u8) -> Result<Self, ProtocolError> {
        let (mut length, mut is_chunked, mut has_host) = (None, false, false);
        let (mut wants_close, mut wants_keep_alive, mut expects_continue) = (false, false, false);
        for (name, value) in headers.iter() {
            match name.len() {
                4 if name.eq_ignore_ascii_case("host") => {
                    if has_host || !is_host(value) {
                        return Err(ProtocolError::Host);
                    }
                    has_host = true;
                }
                6 if name.eq_ignore_ascii_case("expect") => {
                    if !value.eq_ignore_ascii_case("100-continue") {
                        return Err(ProtocolError::Expectation);
                    }
                    expects_continue = true;
                }
                10 if name.eq_ignore_ascii_case("connection") => {
                    wants_close |= has_token(value, "close");
                    wants_keep_alive |= has_token(value, "keep-alive");
                }
                14 if name.eq_ignore_ascii_case("content-length")
                    && length.replace(content_length(value)?).is_some() =>
                {
                    return Err(ProtocolError::ContentLength);
                }
                17 if name.eq_ignore_ascii_case("transfer-encoding") => {
                    if is_chunked || minor_version == 0 || !value.eq_ignore_ascii_case("chunked") {
                        return Err(ProtocolError::TransferEncoding);
                    }
                    is_chunked = true;
                }
                _ => {}
            }
        }
        let body = match (length, is_chunked) {
            (Some(_), true) => return Err(ProtocolError::LengthAndEncoding),
            (None, true) => BodyLength::Chunked,
            (Some(length), false) => BodyLength::Length(length),
            (None, false) => BodyLength::None,
        };
        let keep_alive = !wants_close && (minor_version == 1 || wants_keep_alive);
        // RFC 9110 10.1.1: an expectation in HTTP/1.0 is ignored; without a body there is nothing to wait for.
        let expect_continue = expects_continue && minor_version == 1 && body != BodyLength::None;
        Ok(Self { body, keep_alive, expect_continue })
    }
}

/// Digits only: `str::parse` alone would take a plus sign.
fn content_length(value: &str) -> Result<u64, ProtocolError> {
    if value.is_empty() || !value.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(ProtocolError::ContentLength);
    }
    value.parse().map_err(|_| ProtocolError::ContentLength)
}

/// Host and optional port. Only what would change the meaning of a URL or a list is refused; an empty `Host` is allowed
/// (RFC 9110 7.2).
pub(super) fn is_host(value: &str) -> bool {
    value.bytes().all(|byte| byte.is_ascii_graphic() && !b"/?#@\\,<>\"^`{|}".contains(&byte))
}

fn has_token(list: &str, token: &str) -> bool {
    list.split(',').any(|item| item.trim_matches([' ', '\t']).eq_ignore_ascii_case(token))
}
