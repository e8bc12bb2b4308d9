//! What the layer above gives to the shards: the service that answers requests, and what goes in and out of it.

use std::borrow::Cow;
use std::future::Future;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::mpsc;
use wire::http1::{Head, ProtocolError};

use crate::body::BodyReader;
use crate::config::Driver;
use crate::mailbox::Mailboxes;
use crate::metrics::Metrics;
use crate::pool::Pool;

/// Which port a request came in on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Port {
    Main,
    Hfs,
}

/// A request: head and decoded body.
#[derive(Debug)]
pub struct Request {
    pub head: Head,
    /// The body after chunked framing and `Content-Encoding` are undone.
    pub body: Bytes,
    /// The body, when the service wanted to read it itself; `body` is empty then.
    pub reader: Option<BodyReader>,
    pub peer: SocketAddr,
    pub port: Port,
    /// When the head was complete.
    pub received: Instant,
}

/// An answer. Framing headers (`Content-Length`, `Transfer-Encoding`, `Connection`) and `Date` are the connection's
/// matter.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(Cow<'static, str>, Cow<'static, str>)>,
    pub body: Body,
    /// Close the connection after this answer.
    pub close: bool,
}

impl Response {
    /// An answer without headers that keeps the connection.
    pub fn new(status: u16, body: Body) -> Self {
        Self { status, headers: Vec::new(), body, close: false }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Cow<'static, str>>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }
}

/// The body of an answer.
#[derive(Debug)]
pub enum Body {
    Empty,
    Full(Bytes),
    /// Pages as they become ready: chunked (HTTP/1.1) or until the close (HTTP/1.0). A page is taken from the channel
    /// only when the one before is in the socket, so a producer that awaits capacity follows the client's speed.
    Stream(mpsc::Receiver<Result<Bytes, Aborted>>),
    /// The same with a length that is known before: its pages together must have it, or the connection is cut.
    Sized {
        length: u64,
        pages: mpsc::Receiver<Result<Bytes, Aborted>>,
    },
}

/// The producer cannot go on: the connection is cut without the last chunk, so the client sees that a part is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the answer was aborted while it was being sent")]
pub struct Aborted;

/// Why a request is answered by [`Service::refuse`] instead of [`Service::call`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error(transparent)]
    Protocol(#[from] ProtocolError),
    #[error("The body is larger than the {bytes_max} bytes allowed here; send less in one request")]
    BodyTooLarge { bytes_max: usize },
    /// The `Content-Encoding` is unknown, or the body is not valid in it.
    #[error("{text}")]
    BadEncoding { text: String, status: u16 },
    #[error("The head of the request did not arrive in time")]
    HeadTimeout,
    #[error("The body of the request did not arrive in time")]
    BodyTimeout,
    #[error("Too many connections; come again later")]
    Overloaded,
    #[error("The server met an unexpected error; it is in its log")]
    Panicked,
}

impl Refusal {
    /// The HTTP status that says so, unless the API has another opinion.
    pub fn status(&self) -> u16 {
        match self {
            Self::Protocol(error) => error.status(),
            Self::BodyTooLarge { .. } => 413,
            Self::BadEncoding { status, .. } => *status,
            Self::HeadTimeout | Self::BodyTimeout => 408,
            Self::Overloaded => 503,
            Self::Panicked => 500,
        }
    }
}

/// The server of one shard: one value per shard, shared by its connections, never sent to another thread.
///
/// A panic in `call`, `receive`, `tick` or `stop` is logged and ends only that future.
pub trait Service: 'static {
    /// What travels between shards.
    type Message: Send + 'static;

    /// The largest body accepted for this head; it bounds the body on the wire and the decoded one.
    fn body_bytes_max(&self, head: &Head) -> usize;

    /// Whether the body of such a request is not given whole: the service reads it through [`Request::reader`] while
    /// it arrives, and may answer before its end. A `Content-Encoding` is refused then.
    fn reads_body(&self, _head: &Head) -> bool {
        false
    }

    /// Answers a request.
    fn call(self: Rc<Self>, request: Request) -> impl Future<Output = Response> + 'static;

    /// Works on a message from a shard (or from any thread that holds the mailboxes).
    fn receive(self: Rc<Self>, message: Self::Message) -> impl Future<Output = ()> + 'static;

    /// The answer to a request that does not reach `call`. `head` is given where it is known. Except after a panic, the
    /// connection is closed whatever the answer says.
    fn refuse(&self, why: &Refusal, head: Option<&Head>) -> Response;

    /// Called about every 100 ms, one call after another.
    fn tick(self: Rc<Self>) -> impl Future<Output = ()> + 'static {
        async {}
    }

    /// Called once after the last connection ended: flush what must not be lost. Mailboxes still work.
    fn stop(self: Rc<Self>) -> impl Future<Output = ()> + 'static {
        async {}
    }
}

/// What the maker of a service learns about its shard.
pub struct ShardHandle<M> {
    /// The number of this shard, below `count`.
    pub index: usize,
    pub count: usize,
    pub mailboxes: Mailboxes<M>,
    pub pool: Pool,
    pub metrics: Metrics,
    pub driver: Driver,
    /// Where the server listens, with true port numbers.
    pub addresses: Addresses,
}

/// Where the server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addresses {
    pub main: Vec<SocketAddr>,
    pub hfs: Option<SocketAddr>,
}
