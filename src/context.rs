//! One call on its owner's shard: who calls, with which access, and the way to the stores.

use std::rc::Rc;

use model::permission::{AccountStreams, Caller};
use model::{Access, Grant};
use storage::StoreError;
use storage::base::{Answer, BatchId, Read, ReadCall, Write, WriteCall, Written};
use storage::platform;

use crate::audit::AuditDraft;
use crate::edge::Source;
use crate::error::{ApiError, ApiResult};
use crate::methods::attachments::Uploads;
use crate::node::Shard;
use crate::space::{Space, TurnGuard, UserSpace};

/// A version that no space has.
const VERSION_NEVER: u64 = u64::MAX;

pub struct Context {
    pub shard: Rc<Shard>,
    pub space: Rc<UserSpace>,
    pub access: Rc<Access>,
    pub caller_id: Option<String>,
    pub source: Source,
    /// Set while the calls of a batch share one transaction of the writer.
    pub batch: Option<BatchId>,
    /// What the platform must learn when the batch is stored.
    pub after_batch: Vec<platform::Command>,
    pub audit: AuditDraft,
    pub now: f64,
    /// Files that came with the call.
    pub uploads: Option<Uploads>,
    /// Events whose stored files may be more than they list: settled after the call.
    pub unsettled: Vec<String>,
}

impl Context {
    /// Checks against the space and the access as they are now. The borrow ends with `check`: nothing is held while
    /// waiting.
    pub fn caller<T>(&self, check: impl FnOnce(&Caller<'_>, &Space) -> T) -> T {
        let space = self.space.data.borrow();
        let current = space.access(&self.access.id);
        let caller = Caller {
            user: &space.entry.user,
            slot: space.entry.slot,
            access: current.unwrap_or(&self.access),
            caller_id: self.caller_id.as_deref(),
            tree: &space.tree,
            account_streams: self.account_streams(),
            // An access that was deleted meanwhile grants nothing that the writer would accept.
            space_version: if current.is_some() { space.version } else { VERSION_NEVER },
            audit_active: self.shard.node.config.audit.active,
        };
        check(&caller, &space)
    }

    /// The account fields of this platform.
    pub fn account_streams(&self) -> &AccountStreams {
        &self.shard.node.config.account_streams
    }

    /// Before a method that changes streams or accesses: waits until the changes before it are applied.
    pub async fn turn(&self) -> TurnGuard {
        self.space.turn().await
    }

    pub async fn read(&self, grant: Grant, read: Read) -> Result<Answer, StoreError> {
        let call = ReadCall { grant, read, batch: self.batch };
        self.shard.node.base.read(call).await.unwrap_or(Err(closed()))
    }

    /// A write on the way; the method's last one is [`Self::commit`].
    pub async fn write(&self, grant: Grant, write: Write) -> Result<Written, StoreError> {
        self.send(WriteCall { grant, write, audit: None, batch: self.batch, now: self.now }).await
    }

    /// The method's last write: its audit record is committed with it.
    pub async fn commit(&mut self, grant: Grant, write: Write) -> Result<Written, StoreError> {
        let audit = self.shard.audit_filter(&self.audit).then(|| self.audit.record(None));
        let is_audited = audit.is_some();
        let written = self.send(WriteCall { grant, write, audit, batch: self.batch, now: self.now }).await;
        self.audit.is_stored = written.is_ok() && is_audited;
        written
    }

    async fn send(&self, call: WriteCall) -> Result<Written, StoreError> {
        let written = self.shard.node.base.write(call).await.unwrap_or(Err(closed()));
        if matches!(written, Err(StoreError::Engine(_) | StoreError::NoSpace | StoreError::Unavailable(_))) {
            // Unknown what was stored: the space is loaded again.
            self.shard.forget_space(&self.space);
        }
        written
    }

    /// Applies a change to the space after its commit, and follows the version that the writer has counted.
    pub fn apply(&self, change: impl FnOnce(&mut Space)) {
        let mut space = self.space.data.borrow_mut();
        change(&mut space);
        space.version += 1;
        if self.space.is_dropped() {
            // Another call failed meanwhile; what was loaded since may be from before this commit.
            self.shard.spaces.forget(&space.entry.user);
        }
    }

    /// Before an event is read to be changed: waits until the change before it is committed.
    pub async fn event_turn(&self, id: &str) -> TurnGuard {
        self.space.turn_of(id).await
    }

    /// After `Stale`: the space again, from memory once the change before us is applied, or else from the store.
    /// While the guard lives, nobody else changes streams or accesses.
    pub async fn refresh(&mut self, from_store: bool) -> ApiResult<TurnGuard> {
        let entry = self.space.data.borrow().entry.clone();
        let mut turn = self.space.turn().await;
        if from_store {
            self.shard.forget_space(&self.space);
        }
        let space = self.shard.space(&entry).await?;
        if !Rc::ptr_eq(&space, &self.space) {
            self.space = space;
            turn = self.space.turn().await;
        }
        self.reload_access()?;
        Ok(turn)
    }

    /// The access as it is now: it may have been changed or deleted since the call began.
    pub fn reload_access(&mut self) -> ApiResult<()> {
        let access = self.space.data.borrow().access(&self.access.id).map(Rc::clone);
        self.access = access.ok_or_else(|| ApiError::invalid_token(403, "Cannot find access from token."))?;
        Ok(())
    }

    /// Opens a batch in the writer: reads see what is not yet committed, and nothing is stored before its end.
    pub async fn open_batch(&mut self) -> ApiResult<()> {
        let slot = self.space.data.borrow().entry.slot;
        self.batch = Some(self.shard.node.base.batch(slot).await.unwrap_or(Err(closed()))?);
        Ok(())
    }

    /// Commits what the batch wrote. After an error nothing of its last part is stored, so the space is loaded again.
    pub async fn end_batch(&mut self) -> ApiResult<()> {
        let Some(batch) = self.batch.take() else { return Ok(()) };
        let slot = self.space.data.borrow().entry.slot;
        let ended = self.shard.node.base.batch_end(slot, batch).await.unwrap_or(Err(closed()));
        let after = std::mem::take(&mut self.after_batch);
        if ended.is_err() {
            self.shard.forget_space(&self.space);
        } else {
            for command in after {
                self.settle(command).await;
            }
        }
        Ok(ended?)
    }

    /// Tells the platform of what was stored in the account: now, or when the batch is stored. What fails is settled by
    /// the next start.
    pub async fn settle(&mut self, command: platform::Command) {
        if self.batch.is_some() {
            self.after_batch.push(command);
        } else if let Err(error) = self.shard.platform(command).await {
            tracing::warn!(%error, "a former unique value stays taken until the next start");
        }
    }
}

fn closed() -> StoreError {
    StoreError::Unavailable("the storage engine has stopped".into())
}
