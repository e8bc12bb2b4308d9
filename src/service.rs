//! What a shard does with requests, messages and time: the way from `shards` into the trunk.

use std::rc::Rc;

use model::{Grant, Right, ServerTask};
use shards::{Refusal, Request, Response, Service};
use storage::base::{Write, WriteCall};
use wire::http1::Head;

use crate::audit;
use crate::edge;
use crate::error::ApiError;
use crate::node::{Message, Shard};
use crate::reply::{self, Echo, now};
use crate::space::UserSpace;

/// An upload may be this many times as large as one file may be (`uploads.maxSizeMb`).
const UPLOAD_TIMES_MAX: usize = 10;
/// Usage counters and sliding sessions are flushed this often.
const USAGE_FLUSH_S: f64 = 10.0;

impl Service for Shard {
    type Message = Message;

    fn body_bytes_max(&self, head: &Head) -> usize {
        let one = usize::try_from(self.node.config.upload_bytes_max).unwrap_or(usize::MAX);
        if self.reads_body(head) { one.saturating_mul(UPLOAD_TIMES_MAX) } else { one }
    }

    fn reads_body(&self, head: &Head) -> bool {
        edge::is_upload(&self.node.config, head)
    }

    fn call(self: Rc<Self>, request: Request) -> impl Future<Output = Response> + 'static {
        self.serve(request)
    }

    async fn receive(self: Rc<Self>, message: Message) {
        match message {
            Message::Call { call, reply } => {
                // A caller that went away needs no answer.
                let _ = reply.send(self.answer(*call).await);
            }
            Message::ForgetUser { user, series } => {
                self.forget_user(&user);
                self.forget_series(&series);
            }
        }
    }

    fn refuse(&self, why: &Refusal, head: Option<&Head>) -> Response {
        let echo = head.map(Echo::of).unwrap_or_default();
        let error = match why {
            // The reference answers 400 where HTTP has 413 (spec 01, section 4.1).
            Refusal::BodyTooLarge { .. } | Refusal::BadEncoding { .. } => ApiError::invalid_structure(why.to_string()),
            Refusal::Overloaded => ApiError::busy(),
            Refusal::Panicked => ApiError::unexpected(why),
            Refusal::Protocol(_) | Refusal::HeadTimeout | Refusal::BodyTimeout => {
                ApiError::new(why.status(), "invalid-request-structure", why.to_string())
            }
        };
        let is_series = head.is_some_and(|head| crate::router::is_series_target(&head.method, head.target()));
        let mut response = match is_series {
            true => reply::bare_failure(echo, &error),
            false => reply::failure(echo, &error, self.node.serial()),
        };
        response.close = true;
        response
    }

    async fn tick(self: Rc<Self>) {
        let now = now();
        self.node.metrics.series(self.handle.index, &self.points);
        self.flush_if_old();
        self.flush_audit().await;
        self.apply_extents(false).await;
        if now >= self.usage_due.get() {
            self.usage_due.set(now + USAGE_FLUSH_S);
            self.flush_usage().await;
        }
    }

    async fn stop(self: Rc<Self>) {
        self.close_points().await;
        self.apply_extents(true).await;
        self.flush_usage().await;
        self.flush_audit().await;
    }
}

// The shard ticks every 100 ms, so records wait at most half of what is promised before they are sent to be stored.
const _: () = assert!(shards::TICK.as_millis() * 2 <= audit::FLUSH_MS as u128);

impl Shard {
    /// Commits the audit records that wait; those that another flush has taken are committed, too, when this returns. What
    /// cannot be stored now stays in the queue, whose end stops the calls.
    pub async fn flush_audit(&self) {
        let flight = self.audit.take_off();
        for (slot, records) in self.audit.take() {
            match self.node.base.audit(slot, records.clone()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    tracing::warn!(%error, "audit records could not be stored; trying again");
                    self.audit.put_back(slot, records);
                }
                Err(_) => self.audit.put_back(slot, records),
            }
        }
        flight.land().await;
    }

    async fn flush_usage(&self) {
        for space in self.spaces.all() {
            if space.data.borrow().has_usage() {
                self.flush_usage_of(&space).await;
            }
        }
    }

    async fn flush_usage_of(&self, space: &UserSpace) {
        let (entry, (accesses, sessions)) = {
            let mut space = space.data.borrow_mut();
            (space.entry.clone(), space.take_usage())
        };
        let grant = Grant::server_itself(ServerTask::Bookkeeping, entry.user, entry.slot, Right::Write);
        let write = Write::Usage { accesses, sessions };
        let call = WriteCall { grant, write, audit: None, batch: None, now: now() };
        if let Ok(Err(error)) = self.node.base.write(call).await {
            // Counters are approximate (spec 06, section 10): a failed flush is not kept for ever.
            tracing::warn!(%error, "usage counters were not stored");
        }
    }
}
