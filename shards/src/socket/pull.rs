//! Requests whose body the service reads itself ([`BodyReader`]): the service runs beside the connection and asks.

use std::rc::Rc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use tokio::sync::{mpsc, oneshot};
use wire::http1::decode::Encoding;
use wire::http1::{BodyLength, Event, Head, reply};

use super::connection::{After, Connection, Fault, encoding_of};
use super::link::Wait;
use super::reply::ReplyTo;
use crate::body::{Ask, BodyReader};
use crate::rt;
use crate::service::{Refusal, Request, Service};

/// What of the head decides how the body is read.
struct BodyFraming {
    bytes_left: usize,
    bytes_max: usize,
    continue_due: bool,
}

impl<S: Service> Connection<S> {
    /// Lets the service answer while it reads the body that belongs to `head`.
    pub(super) async fn answer_reader(&mut self, head: Head) -> After {
        let received = Instant::now();
        let framing = match self.framing_of(&head) {
            Ok(framing) => framing,
            Err(refusal) => {
                self.refuse(&refusal, Some(&head)).await;
                return After::Close;
            }
        };
        self.shard.metrics().requests.add(1);
        let to = ReplyTo::of(&head);
        let (body, mut asks) = BodyReader::new();
        let (sender, response) = oneshot::channel();
        let kept_head = head.clone();
        let request =
            Request { head, body: Bytes::new(), reader: Some(body), peer: self.peer, port: self.port, received };
        let shard = Rc::clone(&self.shard);
        rt::spawn(async move {
            // A connection that went away needs no answer.
            let _ = sender.send(super::connection::call(&shard, request).await);
        });
        let fed = self.feed(framing, &mut asks).await;
        drop(asks);
        self.link.wait_for(Wait::Call, None);
        let response = response.await;
        let (mut response, is_whole) = match (response, fed) {
            (Ok(response), Ok(is_whole)) => (response, is_whole),
            (_, Err(Fault::Refused(refusal))) => {
                self.refuse(&refusal, Some(&kept_head)).await;
                return After::Close;
            }
            (Err(_), _) | (_, Err(Fault::Gone)) => return After::Close,
        };
        response.close |= !is_whole;
        let after = self.reply(response, to).await;
        self.end_after(after).await
    }

    fn framing_of(&self, head: &Head) -> Result<BodyFraming, Refusal> {
        if encoding_of(head)? != Encoding::Identity {
            let text = "A body of this type is taken without a Content-Encoding only".to_owned();
            return Err(Refusal::BadEncoding { text, status: 415 });
        }
        let bytes_max = self.shard.service.body_bytes_max(head);
        if let BodyLength::Length(length) = head.body
            && usize::try_from(length).map_or(true, |length| length > bytes_max)
        {
            return Err(Refusal::BodyTooLarge { bytes_max });
        }
        let continue_due = head.expect_continue && self.parser.buffered_bytes() == 0;
        Ok(BodyFraming { bytes_left: bytes_max, bytes_max, continue_due })
    }

    /// Serves the asks until the service wants no more; whether the body was read to its end.
    async fn feed(&mut self, mut framing: BodyFraming, asks: &mut mpsc::Receiver<Ask>) -> Result<bool, Fault> {
        let mut is_whole = false;
        loop {
            self.link.wait_for(Wait::Call, None);
            let Some(ask) = asks.recv().await else { return Ok(is_whole) };
            if framing.continue_due {
                framing.continue_due = false;
                self.write_all(reply::CONTINUE_100, false).await.map_err(|_| Fault::Gone)?;
            }
            let part = match is_whole {
                true => Bytes::new(),
                false => self.read_part(&mut framing, &mut is_whole).await?,
            };
            // A service that stopped waiting has its answer ready.
            let _ = ask.send(Some(part).filter(|part| !part.is_empty()));
        }
    }

    /// At least as many bytes as count as progress, or what is left of the body: so each ask has its own deadline, and
    /// a trickle does not hold the connection.
    async fn read_part(&mut self, framing: &mut BodyFraming, is_whole: &mut bool) -> Result<Bytes, Fault> {
        let deadline = self.shard.now() + self.shard.limits.body_progress_timeout;
        let bytes_min = self.shard.limits.progress_bytes_min;
        let mut gathered = BytesMut::new();
        loop {
            match self.parser.next().map_err(Refusal::Protocol)? {
                Some(Event::Body(part)) => {
                    let left = framing.bytes_left.checked_sub(part.len());
                    framing.bytes_left = left.ok_or(Refusal::BodyTooLarge { bytes_max: framing.bytes_max })?;
                    if gathered.is_empty() && part.len() >= bytes_min {
                        return Ok(part);
                    }
                    gathered.extend_from_slice(&part);
                    if gathered.len() >= bytes_min {
                        return Ok(gathered.freeze());
                    }
                }
                Some(Event::End) => {
                    *is_whole = true;
                    return Ok(gathered.freeze());
                }
                Some(Event::Head(_)) => return Err(Fault::Gone),
                None => drop(self.read_more(deadline, &Refusal::BodyTimeout).await?),
            }
        }
    }
}
