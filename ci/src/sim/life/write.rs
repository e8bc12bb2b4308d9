//! Posts on their way: ring, log, acknowledgement, segment, checkpoint. And their end: deletion.

use std::sync::Arc;

use model::SeriesKey;
use series::fault::Fault;
use series::{Durable, Ingest, IngestError, LogEvent, Refused};

use super::Life;
use crate::sim::counts::Event;
use crate::sim::ground::{LOG, may_write};
use crate::sim::model::Batch;
use crate::sim::process::shard_of;
use crate::sim::rows::to_points;

impl Life<'_> {
    pub(super) fn post(&mut self) {
        let (shard, count) = (self.any_shard(), self.process.shards.len());
        let batch = self.ground.poster.batch(|key| shard_of(key, count) == shard, &mut self.ground.random);
        self.append(shard, batch);
    }

    /// Small posts of the same size that go to the log together, at times without space for all of them: what is left of
    /// them in the file lies where later ones begin.
    pub(super) fn burst(&mut self) {
        let (shard, count) = (self.any_shard(), self.process.shards.len());
        let here = |key: &SeriesKey| shard_of(*key, count) == shard;
        let live: Vec<SeriesKey> = self.ground.model.live().into_iter().filter(here).collect();
        let Some(key) = self.ground.random.pick(&live).copied() else { return };
        for _ in 0..1 + self.ground.random.below(6) {
            let batch = self.ground.poster.single(key, &mut self.ground.random);
            self.append(shard, batch);
        }
        if self.ground.has_faults && self.ground.random.one_in(3) && !self.ground.disk.memory().is_fault_ahead() {
            self.ground.plan_fault(0, 1, Fault::NoSpace);
        }
        self.step(shard);
    }

    /// A post whose permission was checked before the deletion of its series, and that is appended behind it.
    pub(super) fn post_to_the_dead(&mut self) {
        let Some(key) = self.ground.random.pick(&self.process.deleted).copied() else { return };
        let batch = self.ground.poster.stale(key, &mut self.ground.random);
        self.append(self.process.shard_of(key), batch);
    }

    fn append(&mut self, shard: usize, batch: Batch) {
        let ground = &mut *self.ground;
        let (Some(shard), false) = (self.process.shards.get_mut(shard), batch.is_empty()) else { return };
        let points = batch.iter().map(|(key, rows)| (may_write(*key), to_points(rows))).collect();
        let rows: usize = batch.iter().map(|(_, rows)| rows.len()).sum();
        let keys: Vec<u64> = keys_of(&batch).map(SeriesKey::as_u64).collect();
        ground.disk.tell(|| format!("post of {rows} rows to {keys:x?}"));
        match shard.ingest.append(points) {
            Ok((ticket, group)) => {
                shard.inbox.push(group);
                shard.waiting.push((ticket, ground.model.begin(batch)));
                ground.counts.add(Event::RowsWritten, u64::try_from(rows).unwrap_or(0));
                let all_alive = keys.iter().all(|key| ground.model.is_alive(SeriesKey::from_u64(*key)));
                ground.check(all_alive, || "a post to a deleted series was taken in".to_owned());
                ground.check(!shard.is_poisoned, || "a post was taken in behind the failure of the log".to_owned());
            }
            Err(IngestError::Full { .. }) => ground.counts.one(Event::RingFull),
            Err(IngestError::Poisoned { .. }) => ground.counts.one(Event::Poisoned),
            Err(IngestError::Deleted) => {
                let any_dead = keys_of(&batch).any(|key| !ground.model.is_alive(key));
                ground.check(any_dead, || "a living series was taken for a deleted one".to_owned());
                ground.counts.one(Event::StalePost);
            }
            Err(error) => ground.fail(format!("a post was refused: {error}")),
        }
    }

    pub(super) fn step_any(&mut self) {
        let shard = self.any_shard();
        self.step(shard);
    }

    /// The log writer commits what waits; posts go on meanwhile.
    pub(super) fn step(&mut self, number: usize) {
        let Some(shard) = self.process.shards.get_mut(number).filter(|shard| shard.has_work()) else { return };
        let Some(mut writer) = shard.writer.take() else { return };
        shard.inbox.drain(..).for_each(|group| writer.push(group));
        let waiting = shard.waiting.len();
        let was_poisoned = writer.is_poisoned();
        self.ground.disk.tell(|| format!("shard {number}: the log writer takes {waiting} posts"));
        let events = writer.step(&mut self.disk());
        for event in events {
            let is_ack = matches!(event, LogEvent::Durable(_));
            self.ground.check(!(is_ack && was_poisoned), || "a commit behind the failure of the log".to_owned());
            match event {
                LogEvent::Durable(durable) => self.durable(number, &durable),
                LogEvent::NoSpace { refused, .. } => self.refused(number, &refused),
                LogEvent::Poisoned { why } => self.poisoned(number, why),
            }
        }
        let Some(shard) = self.process.shards.get_mut(number) else { return };
        shard.writer = Some(writer);
        // What came while the writer was at work waits for its next step.
        let answered = shard.inbox.len() == shard.waiting.len() || shard.is_poisoned;
        self.ground.check(answered, || "a post got no answer from the log".to_owned());
        self.checkpoint(number);
    }

    fn durable(&mut self, number: usize, durable: &Durable) {
        let Some(shard) = self.process.shards.get_mut(number) else { return };
        let ground = &mut *self.ground;
        shard.ingest.durable(durable);
        shard.waiting.retain(|(ticket, post)| {
            let is_acknowledged = Ingest::acknowledge(*ticket, durable).is_some();
            if is_acknowledged {
                ground.model.acknowledge(*post);
                ground.counts.one(Event::Acknowledged);
                self.process.changes += 1;
            }
            !is_acknowledged
        });
        let vouches = shard.refused.iter().any(|ticket| Ingest::acknowledge(*ticket, durable).is_some());
        ground.check(!vouches, || "a commit vouches for a post that was refused".to_owned());
    }

    fn refused(&mut self, number: usize, refused: &Refused) {
        let Some(shard) = self.process.shards.get_mut(number) else { return };
        let ground = &mut *self.ground;
        shard.ingest.refused(refused);
        shard.waiting.retain(|(ticket, _)| {
            let is_refused = (refused.first()..=refused.last()).contains(&ticket.sequence());
            ground.counts.add(Event::NoSpace, u64::from(is_refused));
            shard.refused.extend(is_refused.then_some(*ticket));
            !is_refused
        });
    }

    fn poisoned(&mut self, number: usize, why: Arc<str>) {
        let Some(shard) = self.process.shards.get_mut(number) else { return };
        self.ground.disk.tell(|| format!("shard {number}: the log has failed: {why}"));
        self.ground.counts.add(Event::Poisoned, u64::try_from(shard.waiting.len()).unwrap_or(0));
        shard.ingest.poisoned(why);
        shard.is_poisoned = true;
        shard.waiting.clear();
    }

    pub(super) fn freeze_any(&mut self) {
        let shard = self.any_shard();
        self.freeze(shard);
    }

    pub(super) fn freeze(&mut self, number: usize) {
        let Some(shard) = self.process.shards.get_mut(number) else { return };
        if shard.ingest.freeze() {
            self.ground.disk.tell(|| format!("shard {number}: the ring is frozen"));
        }
    }

    pub(super) fn flush_any(&mut self) {
        let shard = self.any_shard();
        if self.process.shards.get(shard).is_some_and(|shard| shard.ingest.flush_due()) {
            self.freeze(shard);
        }
        self.flush(shard);
    }

    /// The frozen ring becomes segments, if the log has decided on all of it.
    pub(super) fn flush(&mut self, number: usize) {
        let Some(shard) = self.process.shards.get_mut(number).filter(|shard| !shard.is_flushing) else { return };
        let Some(frozen) = shard.ingest.frozen_ready() else { return };
        shard.is_flushing = true;
        self.ground.disk.tell(|| format!("shard {number}: flush through {}", frozen.through()));
        let catalog = Arc::clone(&self.process.catalog);
        let mut disk = self.disk();
        let flushed = catalog.flush(&frozen, &mut disk);
        let interruptions = disk.interruptions;
        self.ground.counts.add(Event::FlushInterleaved, u64::from(interruptions > 0));
        let Some(shard) = self.process.shards.get_mut(number) else { return };
        shard.is_flushing = false;
        match flushed {
            Ok(_) => {
                self.ground.counts.one(Event::Flushed);
                self.process.changes += 1;
                shard.ingest.flushed(frozen.through());
                shard.checkpoint_due = Some(frozen.through());
                self.checkpoint(number);
            }
            Err(_) => self.ground.counts.one(Event::FlushFailed),
        }
    }

    /// The log is cut behind what is in segments.
    pub(super) fn checkpoint(&mut self, number: usize) {
        let Some(shard) = self.process.shards.get_mut(number) else { return };
        let Some(through) = shard.checkpoint_due else { return };
        // A writer at work does it when it comes back.
        let Some(mut writer) = shard.writer.take() else { return };
        let result = writer.checkpoint(through, &mut self.disk());
        let Some(shard) = self.process.shards.get_mut(number) else { return };
        let count = writer.file_count();
        shard.writer = Some(writer);
        let Ok(removed) = result else { return };
        shard.checkpoint_due = shard.checkpoint_due.filter(|due| *due > through);
        self.ground.counts.add(Event::LogFilesRemoved, u64::try_from(removed).unwrap_or(0));
        let chain = format!("e{:010}-c{:02}-", self.ground.epoch, shard.chain);
        let is_of_chain = |name: &&String| name.starts_with(&chain) && name.ends_with(".log");
        let on_disk = self.ground.files_in(LOG).iter().filter(is_of_chain).count();
        let is_all_behind = shard.ingest.stats().sequence_last <= through;
        self.ground.check(on_disk == count, || format!("the log knows {count} files, there are {on_disk}"));
        self.ground.check(!is_all_behind || count == 0, || format!("{count} files of log behind the checkpoint"));
    }

    /// The holder event is gone from the store, durably; then the ring is told.
    pub(super) fn delete_any(&mut self) {
        let live = self.ground.model.live();
        let Some(key) = self.ground.random.pick(&live).copied() else { return };
        self.ground.disk.tell(|| format!("series {:x} is deleted", key.as_u64()));
        self.ground.model.delete(key);
        self.ground.poster.delete(key);
        self.ground.counts.one(Event::Deleted);
        self.process.changes += 1;
        let shard = self.process.shard_of(key);
        self.process.catalog.forget(&[key]);
        if let Some(shard) = self.process.shards.get_mut(shard) {
            shard.ingest.forget(key);
        }
        self.process.deleted.push(key);
        self.check_is_gone(key);
        if !self.ground.random.one_in(4) {
            let key = self.ground.poster.create(&mut self.ground.random);
            self.ground.model.create(key);
        }
    }
}

fn keys_of(batch: &Batch) -> impl Iterator<Item = SeriesKey> {
    batch.iter().map(|(key, _)| *key)
}
