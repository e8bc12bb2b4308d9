//! Writing an answer: head and small body in one write, long bodies as they are, streams page by page.

use std::io;

use bytes::Bytes;
use tokio::sync::mpsc;
use wire::http1::Head;
use wire::http1::reply::{ReplyLength, write_chunk, write_head, write_last_chunk};

use super::connection::{After, Connection, wants_head_only};
use super::link::Wait;
use crate::service::{Aborted, Body, Response, Service};

/// Bodies and chunks up to this are copied behind the head and leave in one write; longer ones are written from where
/// they are.
const COALESCE_BYTES_MAX: usize = 32 * 1024;
/// Room for a head, so that an ordinary answer grows no buffer.
const HEAD_BYTES_EXPECTED: usize = 512;
const TRANSFER_ENCODING_LINE: &[u8] = b"Transfer-Encoding: chunked\r\n";

/// What of the request decides the form of its answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct ReplyTo {
    head_only: bool,
    keep_alive: bool,
    chunks_allowed: bool,
}

impl ReplyTo {
    pub(super) fn of(head: &Head) -> Self {
        Self { head_only: wants_head_only(head), keep_alive: head.keep_alive, chunks_allowed: head.minor_version >= 1 }
    }

    /// The request could not be read.
    pub(super) fn unknown() -> Self {
        Self { head_only: false, keep_alive: false, chunks_allowed: false }
    }
}

impl<S: Service> Connection<S> {
    /// Writes the answer; the connection ends when either side wants that or the socket fails.
    pub(super) async fn reply(&mut self, response: Response, to: ReplyTo) -> After {
        let mut out = self.shard.take_write_buffer();
        out.reserve(HEAD_BYTES_EXPECTED);
        let written = self.write_response(&mut out, response, to).await;
        self.shard.give_write_buffer(out);
        written.unwrap_or(After::Close)
    }

    async fn write_response(&self, out: &mut Vec<u8>, response: Response, to: ReplyTo) -> io::Result<After> {
        let Response { status, headers, body, close } = response;
        let streams_to_close = matches!(body, Body::Stream(_)) && !to.chunks_allowed;
        let keep_alive = to.keep_alive && !close && !streams_to_close && !self.shard.links.is_draining();
        let length = match &body {
            Body::Empty => ReplyLength::Empty,
            Body::Full(bytes) => ReplyLength::Length(u64::try_from(bytes.len()).unwrap_or(u64::MAX)),
            Body::Stream(_) => ReplyLength::Chunked,
            Body::Sized { length, .. } => ReplyLength::Length(*length),
        };
        let headers = headers.iter().map(|(name, value)| (name.as_ref(), value.as_ref()));
        {
            let date = self.shard.date();
            let headers = std::iter::once(("Date", date.as_str())).chain(headers);
            write_head(out, status, headers, length, keep_alive);
        }
        if streams_to_close {
            remove_transfer_encoding(out);
        }
        let has_body = !to.head_only && !matches!(status, 100..200 | 204 | 304);
        match body {
            Body::Full(bytes) if has_body => self.write_full(out, &bytes).await?,
            Body::Stream(pages) if has_body => {
                self.write_stream(out, pages, to.chunks_allowed).await?;
            }
            Body::Sized { length, pages } if has_body => {
                if self.write_stream(out, pages, false).await? != length {
                    return Err(io::Error::other("the answer was shorter or longer than announced"));
                }
            }
            _ => self.write_all(out, false).await?,
        }
        Ok(if keep_alive { After::KeepAlive } else { After::Close })
    }

    async fn write_full(&self, out: &mut Vec<u8>, body: &Bytes) -> io::Result<()> {
        if body.len() <= COALESCE_BYTES_MAX {
            out.extend_from_slice(body);
            return self.write_all(out, false).await;
        }
        self.write_all(out, true).await?;
        self.write_all(body, false).await
    }

    /// Writes pages until the producer ends, and counts their bytes. An aborted or vanished answer is left without its
    /// last chunk.
    async fn write_stream(
        &self,
        out: &mut Vec<u8>,
        mut pages: mpsc::Receiver<Result<Bytes, Aborted>>,
        chunked: bool,
    ) -> io::Result<u64> {
        let mut byte_count = 0;
        loop {
            // What is ready now goes into this write; then the head or the last page must not wait for the next one.
            let page = match pages.try_recv() {
                Ok(page) => Some(page),
                Err(mpsc::error::TryRecvError::Disconnected) => None,
                Err(mpsc::error::TryRecvError::Empty) => {
                    self.write_all(out, false).await?;
                    out.clear();
                    self.link.wait_for(Wait::Call, None);
                    pages.recv().await
                }
            };
            let Some(page) = page else { break };
            let page = page.map_err(io::Error::other)?;
            byte_count += u64::try_from(page.len()).unwrap_or(u64::MAX);
            self.write_page(out, &page, chunked).await?;
        }
        if chunked {
            write_last_chunk(out);
        }
        self.write_all(out, false).await?;
        Ok(byte_count)
    }

    /// Puts a page behind what `out` holds, and writes when that is enough.
    async fn write_page(&self, out: &mut Vec<u8>, page: &Bytes, chunked: bool) -> io::Result<()> {
        if page.len() > COALESCE_BYTES_MAX {
            if chunked {
                out.extend_from_slice(format!("{:x}\r\n", page.len()).as_bytes());
            }
            self.write_all(out, true).await?;
            out.clear();
            self.write_all(page, chunked).await?;
            if chunked {
                out.extend_from_slice(b"\r\n");
            }
            return Ok(());
        }
        if chunked {
            write_chunk(out, page);
        } else {
            out.extend_from_slice(page);
        }
        if out.len() > COALESCE_BYTES_MAX {
            self.write_all(out, false).await?;
            out.clear();
        }
        Ok(())
    }
}

/// An HTTP/1.0 client knows no chunks: its body ends with the connection, and the head must not say otherwise.
fn remove_transfer_encoding(head: &mut Vec<u8>) {
    let length = TRANSFER_ENCODING_LINE.len();
    if let Some(start) = head.windows(length).position(|window| window == TRANSFER_ENCODING_LINE) {
        head.drain(start..start + length);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_for_an_http_1_0_client_says_nothing_about_chunks() {
        let mut head = Vec::new();
        write_head(&mut head, 200, [("A", "b")].into_iter(), ReplyLength::Chunked, false);
        remove_transfer_encoding(&mut head);
        assert_eq!(String::from_utf8(head).unwrap(), "HTTP/1.1 200 OK\r\nA: b\r\nConnection: close\r\n\r\n");
    }
}
