//! What a start makes up for after a crash, before anybody is served.

use std::collections::{BTreeMap, BTreeSet};

use model::{SeriesKey, SlotId, UserId};
use rustc_hash::FxHashMap;
use storage::StoreError;
use storage::base::{BaseStore, SeriesExtent};

use super::extents::{extend, seconds};
use crate::reply::now;

/// Users whose events are updated in one commit.
const USERS_AT_ONCE: usize = 256;

/// The updates of holder events that waited, from the largest times that the replayed log knew. It does not know the
/// authors, so `modifiedBy` stays.
pub fn extents(base: &dyn BaseStore, last_ns: &BTreeMap<SeriesKey, i64>) -> Result<(), StoreError> {
    let slots: BTreeSet<SlotId> = last_ns.keys().map(|key| key.slot()).collect();
    for slot in slots {
        let behind: Vec<_> = holders_behind(base, slot, last_ns)?.into_iter().collect();
        for group in behind.chunks(USERS_AT_ONCE) {
            let extend = |(user, holders): &(UserId, Vec<_>)| base.write(extend(user.clone(), slot, holders.clone()));
            let replies: Vec<_> = group.iter().map(extend).collect();
            for reply in replies {
                let stopped = || StoreError::Unavailable("the storage engine has stopped".into());
                reply.blocking_recv().map_err(|_| stopped())??;
            }
        }
    }
    Ok(())
}

/// The holder events that are shorter than their points, by user.
fn holders_behind(
    base: &dyn BaseStore,
    slot: SlotId,
    last_ns: &BTreeMap<SeriesKey, i64>,
) -> Result<FxHashMap<UserId, Vec<SeriesExtent>>, StoreError> {
    let mut behind: FxHashMap<UserId, Vec<SeriesExtent>> = FxHashMap::default();
    for holder in base.series_holders(slot)? {
        let Some(last_ns) = last_ns.get(&holder.key) else { continue };
        let duration = seconds(*last_ns);
        let extent = SeriesExtent { event_id: holder.event_id, duration, modified: now(), modified_by: None };
        if extent.exceeds(&holder.duration) {
            behind.entry(holder.user).or_default().push(extent);
        }
    }
    Ok(behind)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use model::{Duration, Event, Grant, NewAccount, PasswordHash, Right, ServerTask};
    use storage::base::{Answer, Found, Read, ReadCall, Write, WriteCall, Written};
    use storage::embedded::{EmbeddedConfig, EmbeddedStore, ThreadLane};

    use super::*;

    #[test]
    fn a_start_gives_holders_the_length_of_their_replayed_points_and_leaves_their_author() {
        let home = Home::open();
        let (short, long) = (home.create_series("u1", "a"), home.create_series("u1", "b"));
        let other = home.create_series("u2", "a");
        let before = home.event("u1", "b");
        let last_ns = BTreeMap::from([(short, 2_500_000_000), (long, 0), (other, 1_000_000_000)]);
        extents(home.store.as_ref(), &last_ns).unwrap();
        let resumed = home.event("u1", "a");
        assert_eq!(resumed.duration, Duration::Seconds(2.5));
        assert!(resumed.modified > resumed.created && resumed.modified_by == resumed.created_by);
        assert_eq!(home.event("u2", "a").duration, Duration::Seconds(1.0));
        assert_eq!(home.event("u1", "b"), before);
        let shorter = BTreeMap::from([(short, 1_000_000_000), (SeriesKey::from_u64(99), 7)]);
        extents(home.store.as_ref(), &shorter).unwrap();
        assert_eq!(home.event("u1", "a"), resumed);
    }

    /// A store with the users `u1` and `u2`.
    struct Home {
        store: Arc<EmbeddedStore>,
        _dir: tempfile::TempDir,
    }

    impl Home {
        fn open() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let mut config = EmbeddedConfig::new(dir.path());
            config.slots = 1;
            let store = EmbeddedStore::open(config, ThreadLane::start(1, 16).unwrap()).unwrap();
            let home = Self { store, _dir: dir };
            for user in ["u1", "u2"] {
                let account = NewAccount {
                    username: user.into(),
                    password: PasswordHash("hash".into()),
                    fields: serde_json::Map::new(),
                    session: None,
                };
                home.write(user, Write::CreateAccount(Box::new(account)));
            }
            home
        }

        fn write(&self, user: &str, write: Write) -> Written {
            let grant = Grant::server_itself(ServerTask::Operator, UserId::new(user), SlotId(0), Right::Write);
            let call = WriteCall { grant, write, audit: None, batch: None, now: 1.0 };
            self.store.write(call).blocking_recv().unwrap().unwrap()
        }

        fn create_series(&self, user: &str, id: &str) -> SeriesKey {
            let kind = "series:mass/kg".into();
            let event = Event { id: id.into(), stream_ids: vec!["s".into()], kind, ..Event::default() };
            match self.write(user, Write::CreateEvent { event: Box::new(event) }) {
                Written::Event(event) => event.series_key.unwrap(),
                other => panic!("{other:?}"),
            }
        }

        fn event(&self, user: &str, id: &str) -> Event {
            let grant = Grant::server_itself(ServerTask::Operator, UserId::new(user), SlotId(0), Right::Read);
            let read = Read::Event { id: id.into() };
            match self.store.read(ReadCall { grant, read, batch: None }).blocking_recv().unwrap().unwrap() {
                Answer::Event(Some(Found::Event(event))) => *event,
                other => panic!("{other:?}"),
            }
        }
    }
}
