//! A transaction on a leased connection. Each command has its savepoint: all of it or nothing.

use std::sync::Arc;

use model::{AuditRecord, UserId};

use super::connection::{Lease, Pool};
use super::{Settings, read, write};
use crate::StoreError;
use crate::base::{Answer, ReadCall, WriteCall, Written};

pub(super) struct Transaction {
    lease: Lease,
    /// Nobody knows its state any more: it can only be dropped.
    is_lost: bool,
}

impl Transaction {
    pub(super) async fn begin(pool: &Arc<Pool>) -> Result<Self, StoreError> {
        loop {
            let mut lease = pool.lease().await?;
            match lease.connection().run("BEGIN ISOLATION LEVEL READ COMMITTED").await {
                Ok(()) => return Ok(Self { lease, is_lost: false }),
                // Each round uses up an idle connection.
                Err(error) if lease.may_be_stale(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }

    pub(super) async fn write(&mut self, settings: &Settings, call: WriteCall) -> Result<Written, StoreError> {
        self.set_savepoint().await?;
        let outcome = write::apply(self.lease.connection(), settings, call).await;
        self.leave_savepoint(outcome).await
    }

    /// Records of one user that have no write of their own; those of unknown users are dropped.
    pub(super) async fn audit(&mut self, user: &UserId, record: AuditRecord) -> Result<(), StoreError> {
        self.set_savepoint().await?;
        let outcome = write::audit::insert_alone(self.lease.connection(), user, record).await;
        self.leave_savepoint(outcome).await
    }

    /// Sees what the transaction wrote. A failed statement would otherwise end the transaction.
    pub(super) async fn read(&mut self, call: &ReadCall) -> Result<Answer, StoreError> {
        self.set_savepoint().await?;
        let outcome = read::answer(self.lease.connection(), call).await;
        self.leave_savepoint(outcome).await
    }

    async fn set_savepoint(&mut self) -> Result<(), StoreError> {
        let set = self.lease.connection().run("SAVEPOINT command").await;
        self.is_lost |= set.is_err();
        set
    }

    async fn leave_savepoint<T>(&mut self, outcome: Result<T, StoreError>) -> Result<T, StoreError> {
        let leave = match outcome {
            Ok(_) => "RELEASE command",
            Err(_) => "ROLLBACK TO command; RELEASE command",
        };
        let left = self.lease.connection().run(leave).await;
        self.is_lost |= left.is_err();
        match (outcome, left) {
            (Ok(_), Err(error)) => Err(error),
            (outcome, _) => outcome,
        }
    }

    pub(super) fn is_lost(&self) -> bool {
        self.is_lost
    }

    /// After an error nobody knows whether it is stored.
    pub(super) async fn commit(mut self) -> Result<(), StoreError> {
        self.lease.connection().run("COMMIT").await?;
        self.lease.give_back();
        Ok(())
    }

    pub(super) async fn roll_back(mut self) {
        if !self.is_lost && self.lease.connection().run("ROLLBACK").await.is_ok() {
            self.lease.give_back();
        }
    }
}
