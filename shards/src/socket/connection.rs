//! One connection: requests in order, one at a time, each read whole, called, answered.
//!
//! ```text
//! wait (no buffer held) -> head -> limits -> 100 Continue -> body -> decode -> Service::call -> reply -> wait
//!                            \-------- any fault ----------------> Service::refuse -> reply -> linger -> close
//! ```
//! Where the service reads the body itself, the call comes before the body (`pull.rs`).
//! Nothing is read ahead while a call runs: pipelined requests wait in the parser (at most one read) and in the kernel.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use wire::http1::decode::{DecodeError, Decoder, Encoding};
use wire::http1::{BodyLength, Event, Head, Method, Parser, reply};

use super::link::{Progress, Registered, Wait};
use super::reply::ReplyTo;
use crate::rt;
use crate::service::{Body, Port, Refusal, Request, Response, Service};
use crate::shard::Shard;

/// After a refusal the client may still be sending: its bytes are read and thrown away for this long, since closing
/// at once would reset the connection and could destroy the answer before the client reads it.
const LINGER_TIMEOUT: Duration = Duration::from_secs(2);
/// Bytes thrown away at most after a refusal.
const LINGER_BYTES_MAX: usize = 64 * 1024 * 1024;
/// First allocation for a body whose length is announced; more is allocated only as bytes really arrive.
const BODY_FIRST_ALLOCATION_MAX: usize = 64 * 1024;

/// Why a request did not become whole.
pub(super) enum Fault {
    /// The client closed, or the socket failed: there is nobody to answer.
    Gone,
    /// The client is to be told.
    Refused(Refusal),
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// Whether the connection goes on after an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    KeepAlive,
    Close,
}

pub(super) struct Connection<S: Service> {
    pub(super) shard: Rc<Shard<S>>,
    pub(super) link: Registered,
    pub(super) parser: Parser,
    pub(super) peer: SocketAddr,
    pub(super) port: Port,
}

/// Serves a connection until it ends.
pub(crate) async fn serve<S: Service>(shard: Rc<Shard<S>>, link: Registered, peer: SocketAddr, port: Port) {
    let _open = OpenCount::of(&shard);
    let parser = Parser::new(shard.limits.http1);
    let mut wait_timeout = shard.limits.head_timeout;
    let mut connection = Connection { shard, link, parser, peer, port };
    while connection.wait_for_request(wait_timeout).await {
        // Boxed, so that a waiting connection does not hold the room that an answering one needs.
        match Box::pin(connection.answer_requests()).await {
            After::KeepAlive => wait_timeout = connection.shard.limits.idle_timeout,
            After::Close => return,
        }
    }
}

/// Tells a client that the shard has as many connections as it may have.
pub(crate) async fn refuse_overload<S: Service>(shard: Rc<Shard<S>>, link: Registered) {
    let peer = SocketAddr::from(([0, 0, 0, 0], 0));
    let parser = Parser::new(shard.limits.http1);
    let mut connection = Connection { shard, link, parser, peer, port: Port::Main };
    connection.refuse(&Refusal::Overloaded, None).await;
}

impl<S: Service> Connection<S> {
    /// Waits for the first byte of a request; false when the connection is to end.
    async fn wait_for_request(&mut self, timeout: Duration) -> bool {
        if self.shard.links.is_draining() {
            return false;
        }
        self.link.wait_for(Wait::Request, Some(self.shard.now() + timeout));
        loop {
            if self.link.stream.readable().await.is_err() {
                return false;
            }
            match self.read_some() {
                Ok(0) => return false,
                Ok(_) => return true,
                Err(error) if is_retry(&error) => {}
                Err(_) => return false,
            }
        }
    }

    /// Answers what has arrived, until the parser is between two requests.
    async fn answer_requests(&mut self) -> After {
        let head_deadline = self.shard.now() + self.shard.limits.head_timeout;
        loop {
            let (fault, head) = match self.parser.next() {
                Ok(Some(Event::Head(head))) => match self.answer(head).await {
                    After::KeepAlive => continue,
                    After::Close => return After::Close,
                },
                // Body and End belong to a head and are taken while its body is read.
                Ok(Some(Event::Body(_) | Event::End)) => return After::Close,
                Ok(None) if self.parser.is_between_requests() => return After::KeepAlive,
                Ok(None) => match self.read_more(head_deadline, &Refusal::HeadTimeout).await {
                    Ok(_) => continue,
                    Err(fault) => (fault, None::<&Head>),
                },
                Err(error) => (Fault::Refused(error.into()), None),
            };
            if let Fault::Refused(refusal) = fault {
                self.refuse(&refusal, head).await;
            }
            return After::Close;
        }
    }

    /// Reads the body that belongs to `head`, lets the service answer, writes the answer.
    async fn answer(&mut self, head: Head) -> After {
        if head.body != BodyLength::None && self.shard.service.reads_body(&head) {
            // Boxed, so that all other requests do not need its room.
            return Box::pin(self.answer_reader(head)).await;
        }
        let received = Instant::now();
        let body = match self.read_body(&head).await {
            Ok(body) => body,
            Err(Fault::Gone) => return After::Close,
            Err(Fault::Refused(refusal)) => {
                self.refuse(&refusal, Some(&head)).await;
                return After::Close;
            }
        };
        self.link.wait_for(Wait::Call, None);
        self.shard.metrics().requests.add(1);
        let to = ReplyTo::of(&head);
        let request = Request { head, body, reader: None, peer: self.peer, port: self.port, received };
        let response = call(&self.shard, request).await;
        let after = self.reply(response, to).await;
        self.end_after(after).await
    }

    /// Closing with bytes unread would reset the connection, and the answer could be lost.
    pub(super) async fn end_after(&mut self, after: After) -> After {
        if after == After::Close && self.has_unread_input() {
            self.linger().await;
        }
        after
    }

    async fn read_body(&mut self, head: &Head) -> Result<Bytes, Fault> {
        let bytes_max = self.shard.service.body_bytes_max(head);
        let announced = match head.body {
            BodyLength::None => 0,
            BodyLength::Length(length) => match usize::try_from(length) {
                Ok(length) if length <= bytes_max => length,
                _ => return Err(Refusal::BodyTooLarge { bytes_max }.into()),
            },
            BodyLength::Chunked => 0,
        };
        let mut sink = BodySink::new(encoding_of(head)?, bytes_max, announced);
        if head.expect_continue && head.body != BodyLength::None && self.parser.buffered_bytes() == 0 {
            self.write_all(reply::CONTINUE_100, false).await.map_err(|_| Fault::Gone)?;
        }
        let limits = &self.shard.limits;
        let mut progress = Progress::new(self.shard.now(), limits.body_progress_timeout, limits.progress_bytes_min);
        loop {
            match self.parser.next().map_err(Refusal::Protocol)? {
                Some(Event::Body(part)) => sink.push(part)?,
                Some(Event::End) => return Ok(sink.finish()?),
                Some(Event::Head(_)) => return Err(Fault::Gone),
                None => {
                    let count = self.read_more(progress.deadline, &Refusal::BodyTimeout).await?;
                    progress.add(count, self.shard.now());
                }
            }
        }
    }

    /// Reads more of a request that has begun.
    pub(super) async fn read_more(&mut self, deadline: Instant, late: &Refusal) -> Result<usize, Fault> {
        self.link.wait_for(Wait::Input, Some(deadline));
        loop {
            match self.read_some() {
                Ok(0) if self.link.is_cut() => return Err(late.clone().into()),
                Ok(0) => return Err(Fault::Gone),
                Ok(count) => return Ok(count),
                Err(error) if is_retry(&error) => {}
                Err(_) => return Err(Fault::Gone),
            }
            self.link.stream.readable().await.map_err(|_| Fault::Gone)?;
        }
    }

    /// Feeds the parser with what the socket has, through the one read buffer of the shard.
    fn read_some(&mut self) -> io::Result<usize> {
        let mut buffer = self.shard.read_buffer.borrow_mut();
        let count = self.link.stream.try_read(&mut buffer)?;
        self.parser.feed(buffer.get(..count).unwrap_or_default());
        self.shard.metrics().bytes_in.add(count);
        Ok(count)
    }

    /// Writes all of `bytes`, waiting for the client to take them. `more`: another write follows at once.
    pub(super) async fn write_all(&self, mut bytes: &[u8], more: bool) -> io::Result<()> {
        let limits = &self.shard.limits;
        let mut progress = Progress::new(self.shard.now(), limits.write_timeout, limits.progress_bytes_min);
        while !bytes.is_empty() {
            match self.link.stream.try_write(bytes, more) {
                Ok(count) => {
                    self.shard.metrics().bytes_out.add(count);
                    progress.add(count, self.shard.now());
                    bytes = bytes.get(count..).unwrap_or_default();
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.link.wait_for(Wait::Output, Some(progress.deadline));
                    self.link.stream.writable().await?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Answers with what the service says about `why`, and ends the connection.
    pub(super) async fn refuse(&mut self, why: &Refusal, head: Option<&Head>) {
        self.shard.metrics().refusals.add(1);
        let mut response = refusal_response(&self.shard, why, head);
        response.close = true;
        let to = head.map_or_else(ReplyTo::unknown, ReplyTo::of);
        self.reply(response, to).await;
        self.linger().await;
    }

    /// Whether the client has sent more than is answered: closing now would reset the connection.
    fn has_unread_input(&mut self) -> bool {
        self.parser.buffered_bytes() > 0 || self.read_some().is_ok_and(|count| count > 0)
    }

    async fn linger(&mut self) {
        self.link.stream.shutdown_write();
        // Like a wait for a request: the answer is out, so a stop need not wait for this.
        self.link.wait_for(Wait::Request, Some(self.shard.now() + LINGER_TIMEOUT));
        let mut bytes_left = LINGER_BYTES_MAX;
        while bytes_left > 0 {
            let read = self.link.stream.try_read(&mut self.shard.read_buffer.borrow_mut());
            match read {
                Ok(0) => return,
                Ok(count) => bytes_left = bytes_left.saturating_sub(count),
                Err(error) if is_retry(&error) => {
                    if self.link.stream.readable().await.is_err() {
                        return;
                    }
                }
                Err(_) => return,
            }
        }
    }
}

/// The service's answer, also when it panics.
pub(super) async fn call<S: Service>(shard: &Rc<Shard<S>>, request: Request) -> Response {
    let service = Rc::clone(&shard.service);
    match rt::catch_panic(async move { service.call(request).await }).await {
        Ok(response) => response,
        Err(panic) => {
            tracing::error!(%panic, "a call panicked; it is answered with an error and the shard goes on");
            shard.metrics().panics.add(1);
            refusal_response(shard, &Refusal::Panicked, None)
        }
    }
}

fn refusal_response<S: Service>(shard: &Shard<S>, why: &Refusal, head: Option<&Head>) -> Response {
    let refuse = std::panic::AssertUnwindSafe(|| shard.service.refuse(why, head));
    std::panic::catch_unwind(refuse).unwrap_or_else(|payload| {
        let panic = rt::PanicText::of(payload.as_ref());
        tracing::error!(%panic, "the answer to a refused request panicked");
        Response::new(why.status(), Body::Empty)
    })
}

/// The body of a request while it arrives.
struct BodySink {
    decoder: Option<Decoder>,
    bytes_max: usize,
    announced: usize,
    /// The first part, kept as it came: most bodies have no second one.
    first: Bytes,
    rest: Vec<u8>,
}

impl BodySink {
    fn new(encoding: Encoding, bytes_max: usize, announced: usize) -> Self {
        let decoder = (encoding != Encoding::Identity).then(|| Decoder::new(encoding));
        Self { decoder, bytes_max, announced, first: Bytes::new(), rest: Vec::new() }
    }

    fn push(&mut self, part: Bytes) -> Result<(), Refusal> {
        if let Some(decoder) = &mut self.decoder {
            return decoder.push(&part, &mut self.rest, self.bytes_max).map_err(|error| self.refusal(error));
        }
        if self.first.len() + self.rest.len() + part.len() > self.bytes_max {
            return Err(Refusal::BodyTooLarge { bytes_max: self.bytes_max });
        }
        if self.first.is_empty() && self.rest.is_empty() {
            self.first = part;
            return Ok(());
        }
        if self.rest.is_empty() {
            self.rest.reserve(self.announced.min(BODY_FIRST_ALLOCATION_MAX).max(self.first.len() + part.len()));
            self.rest.extend_from_slice(&std::mem::take(&mut self.first));
        }
        self.rest.extend_from_slice(&part);
        Ok(())
    }

    fn finish(mut self) -> Result<Bytes, Refusal> {
        if let Some(decoder) = self.decoder.take() {
            decoder.finish(&mut self.rest, self.bytes_max).map_err(|error| self.refusal(error))?;
        }
        if self.rest.is_empty() { Ok(self.first) } else { Ok(Bytes::from(self.rest)) }
    }

    fn refusal(&self, error: DecodeError) -> Refusal {
        match error {
            DecodeError::TooLarge => Refusal::BodyTooLarge { bytes_max: self.bytes_max },
            DecodeError::Corrupt => Refusal::BadEncoding { text: error.to_string(), status: 400 },
        }
    }
}

/// RFC 9110 15.5.16: an unknown coding is 415.
pub(super) fn encoding_of(head: &Head) -> Result<Encoding, Refusal> {
    let value = head.headers.get("content-encoding").unwrap_or_default();
    Encoding::parse(value).map_err(|error| Refusal::BadEncoding { text: error.to_string(), status: 415 })
}

/// Whether a socket only asks for patience.
fn is_retry(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

/// Counts a connection as open while it lives.
struct OpenCount<S: Service>(Rc<Shard<S>>);

impl<S: Service> OpenCount<S> {
    fn of(shard: &Rc<Shard<S>>) -> Self {
        shard.metrics().connections_open.add(1);
        Self(Rc::clone(shard))
    }
}

impl<S: Service> Drop for OpenCount<S> {
    fn drop(&mut self) {
        self.0.metrics().connections_open.subtract_one();
    }
}

/// Whether the method asks for the head of the answer only.
pub(super) fn wants_head_only(head: &Head) -> bool {
    head.method == Method::Head
}
