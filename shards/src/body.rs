//! A request's body that the service reads while it arrives, instead of getting it whole.
//!
//! Nothing is read ahead: a part is taken from the socket when the service asks for it, so a slow disk slows the
//! client down, a body that is not wanted is never read, and `100 Continue` is sent with the first ask.

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

/// The connection was lost, or the request refused, before the body was whole: whatever was made of it must go. The
/// answer of the service is not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the body of the request did not arrive whole")]
pub struct BodyCut;

/// The asking end.
#[derive(Debug)]
pub struct BodyReader {
    asks: mpsc::Sender<Ask>,
}

pub(crate) type Ask = oneshot::Sender<Option<Bytes>>;

impl BodyReader {
    pub(crate) fn new() -> (Self, mpsc::Receiver<Ask>) {
        let (asks, receiver) = mpsc::channel(1);
        (Self { asks }, receiver)
    }

    /// The next part of the body, without its chunked framing; `None` at its end.
    pub async fn next(&mut self) -> Result<Option<Bytes>, BodyCut> {
        let (sender, receiver) = oneshot::channel();
        self.asks.send(sender).await.map_err(|_| BodyCut)?;
        receiver.await.map_err(|_| BodyCut)
    }
}
