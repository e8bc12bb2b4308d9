//! A user's in-memory state on the shard that owns the user: accesses by token, stream tree, sessions,
//! series holders, usage counters. It lives on one thread, changes only after a commit, and is dropped when a
//! commit fails, to be loaded again.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::collections::hash_map::Entry;
use std::rc::Rc;

use model::permission::StreamTree;
use model::{Access, AccessKind, SeriesKey, Session, UserEntry, UserId};
use rustc_hash::FxHashMap;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use storage::base::{AccessUsage, SpaceData};
use tokio::sync::oneshot;

use crate::error::{ApiError, ApiResult};

/// Rough bytes that an item costs beside its text.
const ITEM_OVERHEAD_BYTES: usize = 400;

/// Where the points of a series event are, and what the write path checks.
#[derive(Clone, Debug)]
pub struct Holder {
    pub key: SeriesKey,
    pub stream_ids: Vec<String>,
    pub time: f64,
    /// The content of the event, which names the columns.
    pub columns: String,
    pub trashed: bool,
}

/// One user's space with its turn.
pub struct UserSpace {
    pub data: RefCell<Space>,
    /// By the event's id; the turn of the space itself is under the empty text.
    turns: RefCell<Turns>,
    /// No longer in the shard's table: a commit failed, or the user is gone.
    dropped: Cell<bool>,
}

/// Methods that change streams or accesses take turns, and so do those that change one event, so that each sees the
/// change of the one before: otherwise the writer would refuse all but one of them as stale. A turn that is taken has
/// an entry, with those who wait for it.
type Turns = FxHashMap<String, VecDeque<oneshot::Sender<TurnGuard>>>;

/// A turn, given back when it is dropped: handed to the next who waits. `None`: handed over already.
pub struct TurnGuard {
    space: Option<Rc<UserSpace>>,
    of: String,
}

/// What the turn of the space itself is called: no event has an empty id.
const SPACE_TURN: &str = "";

impl UserSpace {
    fn new(space: Space) -> Self {
        Self { data: RefCell::new(space), turns: RefCell::default(), dropped: Cell::new(false) }
    }

    /// The turn of those who change streams or accesses.
    pub async fn turn(self: &Rc<Self>) -> TurnGuard {
        self.turn_of(SPACE_TURN).await
    }

    /// The turn of those who change one event.
    pub async fn turn_of(self: &Rc<Self>, event_id: &str) -> TurnGuard {
        let handed_over = match self.turns.borrow_mut().entry(event_id.to_owned()) {
            Entry::Vacant(free) => {
                free.insert(VecDeque::new());
                None
            }
            Entry::Occupied(mut taken) => {
                let (sender, receiver) = oneshot::channel();
                taken.get_mut().push_back(sender);
                Some(receiver)
            }
        };
        let free = || TurnGuard { space: Some(Rc::clone(self)), of: event_id.to_owned() };
        match handed_over {
            None => free(),
            // The sender is used before it goes; were it lost, the turn would be nobody's.
            Some(receiver) => receiver.await.unwrap_or_else(|_| free()),
        }
    }

    pub fn is_dropped(&self) -> bool {
        self.dropped.get()
    }
}

impl Drop for TurnGuard {
    fn drop(&mut self) {
        let Some(space) = self.space.take() else { return };
        loop {
            let next = {
                let mut turns = space.turns.borrow_mut();
                let Some(next) = turns.get_mut(&self.of).and_then(VecDeque::pop_front) else {
                    turns.remove(&self.of);
                    return;
                };
                next
            };
            // Who goes away with the turn in hand drops it, and so hands it on.
            match next.send(Self { space: Some(Rc::clone(&space)), of: self.of.clone() }) {
                Ok(()) => return,
                Err(mut gone) => gone.space = None,
            }
        }
    }
}

type TokenDigest = [u8; 32];

/// The digest takes the place of the token in look-ups: comparing it tells nothing about the token.
fn digest(token: &str) -> TokenDigest {
    Sha256::digest(token.as_bytes()).into()
}

pub struct Space {
    pub entry: UserEntry,
    pub version: u64,
    pub tree: StreamTree,
    pub fields: Map<String, Value>,
    accesses: FxHashMap<String, Rc<Access>>,
    by_token: FxHashMap<TokenDigest, String>,
    sessions: FxHashMap<TokenDigest, Session>,
    holders: FxHashMap<String, Rc<Holder>>,
    /// How often a holder was forgotten: what was read before may be out of date.
    holders_forgotten: u64,
    usage: Usage,
    bytes: usize,
}

/// What was used since the last flush.
#[derive(Default)]
struct Usage {
    accesses: FxHashMap<String, (f64, FxHashMap<String, u64>)>,
    sessions: FxHashMap<TokenDigest, Session>,
}

impl Space {
    fn new(entry: UserEntry, data: SpaceData) -> Self {
        let bytes = data.streams.iter().map(|s| s.id.len() + s.name.len() + ITEM_OVERHEAD_BYTES).sum::<usize>()
            + data.accesses.iter().map(|a| a.permissions.len() * 80 + ITEM_OVERHEAD_BYTES).sum::<usize>()
            + ITEM_OVERHEAD_BYTES;
        let mut space = Self {
            entry: UserEntry { username: data.username, ..entry },
            version: data.version,
            tree: StreamTree::new(data.streams),
            fields: data.fields,
            accesses: FxHashMap::default(),
            by_token: FxHashMap::default(),
            sessions: data.sessions.into_iter().map(|session| (digest(&session.token), session)).collect(),
            holders: FxHashMap::default(),
            holders_forgotten: 0,
            usage: Usage::default(),
            bytes,
        };
        for access in data.accesses {
            space.put_access(access);
        }
        space
    }

    pub fn accesses(&self) -> impl Iterator<Item = &Rc<Access>> {
        self.accesses.values()
    }

    pub fn access(&self, id: &str) -> Option<&Rc<Access>> {
        self.accesses.get(id)
    }

    pub fn put_access(&mut self, access: Access) {
        self.remove_access(&access.id.clone());
        self.by_token.insert(digest(&access.token), access.id.clone());
        self.accesses.insert(access.id.clone(), Rc::new(access));
    }

    pub fn remove_access(&mut self, id: &str) {
        if let Some(former) = self.accesses.remove(id) {
            self.by_token.remove(&digest(&former.token));
        }
    }

    pub fn put_session(&mut self, session: Session) {
        self.sessions.insert(digest(&session.token), session);
    }

    pub fn remove_session(&mut self, token: &str) {
        self.sessions.remove(&digest(token));
        self.usage.sessions.remove(&digest(token));
    }

    /// The open session of an app, to be reused by a new login.
    pub fn session_of(&self, app_id: &str, now: f64) -> Option<&Session> {
        self.sessions.values().find(|session| session.app_id == app_id && session.expires > now)
    }

    pub fn personal_access_of(&self, app_id: &str) -> Option<&Rc<Access>> {
        self.accesses.values().find(|access| access.kind == AccessKind::Personal && access.name == app_id)
    }

    /// The access of a token. `Err((error, id))`: the id is that of the access when one was found.
    pub fn authenticate(&mut self, token: &str, now: f64, session_s: f64) -> Result<Rc<Access>, Refusal> {
        let key = digest(token);
        let access = self.by_token.get(&key).and_then(|id| self.accesses.get(id)).map(Rc::clone);
        let Some(access) = access else {
            return Err(Refusal::new(ApiError::invalid_token(403, "Cannot find access from token."), None));
        };
        if access.is_expired(now) {
            return Err(Refusal::new(ApiError::forbidden("Access has expired."), Some(access.id.clone())));
        }
        if access.kind == AccessKind::Personal {
            let live = self.sessions.get_mut(&key).filter(|session| session.expires > now);
            let Some(session) = live else {
                let error = ApiError::invalid_token(403, "Access session has expired.");
                return Err(Refusal::new(error, Some(access.id.clone())));
            };
            session.expires = now + session_s;
            self.usage.sessions.insert(key, session.clone());
        }
        Ok(access)
    }

    pub fn holder(&self, event_id: &str) -> Option<Rc<Holder>> {
        self.holders.get(event_id).map(Rc::clone)
    }

    /// To be taken before an event is read, and given to [`Self::put_holder`] after.
    pub fn holders_forgotten(&self) -> u64 {
        self.holders_forgotten
    }

    /// Remembers a holder, unless one was forgotten since the event was read: it may be this one.
    pub fn put_holder(&mut self, event_id: &str, holder: Holder, forgotten_before: u64) -> Rc<Holder> {
        let holder = Rc::new(holder);
        if forgotten_before == self.holders_forgotten {
            self.bytes += ITEM_OVERHEAD_BYTES;
            self.holders.insert(event_id.to_owned(), Rc::clone(&holder));
        }
        holder
    }

    /// The event was changed or deleted: its holder is read again when points come.
    pub fn forget_holder(&mut self, event_id: &str) {
        self.holders_forgotten += 1;
        if self.holders.remove(event_id).is_some() {
            self.bytes = self.bytes.saturating_sub(ITEM_OVERHEAD_BYTES);
        }
    }

    pub fn count_use(&mut self, access_id: &str, counter: Option<String>, now: f64) {
        let used = self.usage.accesses.entry(access_id.to_owned()).or_default();
        used.0 = now;
        if let Some(counter) = counter {
            *used.1.entry(counter).or_default() += 1;
        }
    }

    /// Takes what was used since the last call, and shows it on the accesses in memory.
    pub fn take_usage(&mut self) -> (Vec<AccessUsage>, Vec<Session>) {
        let mut accesses = Vec::new();
        for (id, (last_used, calls)) in self.usage.accesses.drain() {
            let Some(access) = self.accesses.get_mut(&id) else { continue };
            let shown = Rc::make_mut(access);
            shown.last_used = Some(last_used);
            for (counter, count) in &calls {
                let total = shown.calls.get(counter).and_then(Value::as_u64).unwrap_or_default() + count;
                shown.calls.insert(counter.clone(), total.into());
            }
            accesses.push(AccessUsage { access_id: id, last_used, calls: calls.into_iter().collect() });
        }
        (accesses, self.usage.sessions.drain().map(|(_, session)| session).collect())
    }

    pub fn has_usage(&self) -> bool {
        !(self.usage.accesses.is_empty() && self.usage.sessions.is_empty())
    }
}

/// A refused token, and the access it belongs to if there is one.
pub struct Refusal {
    pub error: Box<ApiError>,
    pub access_id: Option<String>,
}

impl Refusal {
    pub fn new(error: ApiError, access_id: Option<String>) -> Self {
        Self { error: Box::new(error), access_id }
    }
}

enum Kept {
    Loading(Vec<oneshot::Sender<ApiResult<()>>>),
    Ready { space: Rc<UserSpace>, last_used: u64 },
}

/// The spaces of one shard, within a byte budget.
pub struct Spaces {
    table: RefCell<FxHashMap<UserId, Kept>>,
    clock: Cell<u64>,
    bytes: Cell<usize>,
    bytes_max: usize,
}

/// What a look-up found.
enum Found {
    Ready(Rc<UserSpace>),
    Wait(oneshot::Receiver<ApiResult<()>>),
    Load,
}

impl Spaces {
    pub fn new(bytes_max: usize) -> Self {
        Self { table: RefCell::default(), clock: Cell::new(0), bytes: Cell::new(0), bytes_max }
    }

    /// The user's space; loaded once however many calls ask for it at the same time.
    pub async fn get<L>(&self, entry: &UserEntry, load: impl Fn() -> L) -> ApiResult<Rc<UserSpace>>
    where
        L: Future<Output = ApiResult<SpaceData>>,
    {
        loop {
            match self.find(&entry.user) {
                Found::Ready(space) => return Ok(space),
                Found::Wait(loaded) => match loaded.await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => return Err(error),
                    Err(_) => return Err(ApiError::busy()),
                },
                Found::Load => {
                    let guard = LoadGuard { spaces: self, user: &entry.user };
                    let loaded = load().await;
                    return guard.finish(entry, loaded);
                }
            }
        }
    }

    fn find(&self, user: &UserId) -> Found {
        let now = self.clock.get() + 1;
        self.clock.set(now);
        let mut table = self.table.borrow_mut();
        match table.get_mut(user) {
            Some(Kept::Ready { space, last_used }) => {
                *last_used = now;
                Found::Ready(Rc::clone(space))
            }
            Some(Kept::Loading(waiting)) => {
                let (sender, receiver) = oneshot::channel();
                waiting.push(sender);
                Found::Wait(receiver)
            }
            None => {
                table.insert(user.clone(), Kept::Loading(Vec::new()));
                Found::Load
            }
        }
    }

    /// Drops a user's space: the next call loads it again. Usage counters not yet flushed are lost with it.
    pub fn forget(&self, user: &UserId) {
        let mut table = self.table.borrow_mut();
        if let Some(Kept::Ready { space, .. }) = table.get(user) {
            space.dropped.set(true);
            table.remove(user);
        }
    }

    /// Every space in memory, for the flush of usage counters.
    pub fn all(&self) -> Vec<Rc<UserSpace>> {
        let ready = |entry: &Kept| match entry {
            Kept::Ready { space, .. } => Some(Rc::clone(space)),
            Kept::Loading(_) => None,
        };
        self.table.borrow().values().filter_map(ready).collect()
    }

    /// When the budget is passed: measures anew, and removes the least recently used spaces that nobody works
    /// with until three quarters of it are left, so that this does not run at each load.
    fn evict(&self) {
        if self.bytes.get() <= self.bytes_max {
            return;
        }
        let mut table = self.table.borrow_mut();
        let mut idle: Vec<(u64, usize, UserId)> = Vec::new();
        let mut total = 0;
        for (user, entry) in table.iter() {
            let Kept::Ready { space, last_used } = entry else { continue };
            let data = space.data.borrow();
            total += data.bytes;
            if Rc::strong_count(space) == 1 && !data.has_usage() {
                idle.push((*last_used, data.bytes, user.clone()));
            }
        }
        idle.sort_unstable_by_key(|(last_used, ..)| *last_used);
        for (_, bytes, user) in idle {
            if total <= self.bytes_max / 4 * 3 {
                break;
            }
            table.remove(&user);
            total -= bytes;
        }
        self.bytes.set(total);
    }
}

/// Takes the `Loading` mark away when a load is given up (its client went away), so that others can load.
struct LoadGuard<'a> {
    spaces: &'a Spaces,
    user: &'a UserId,
}

impl LoadGuard<'_> {
    fn finish(self, entry: &UserEntry, loaded: ApiResult<SpaceData>) -> ApiResult<Rc<UserSpace>> {
        let waiting = match self.spaces.table.borrow_mut().remove(self.user) {
            Some(Kept::Loading(waiting)) => waiting,
            _ => Vec::new(),
        };
        let outcome = loaded.map(|data| {
            let space = Rc::new(UserSpace::new(Space::new(entry.clone(), data)));
            self.spaces.bytes.set(self.spaces.bytes.get() + space.data.borrow().bytes);
            let ready = Kept::Ready { space: Rc::clone(&space), last_used: self.spaces.clock.get() };
            self.spaces.table.borrow_mut().insert(self.user.clone(), ready);
            space
        });
        for waiter in waiting {
            let _ = waiter.send(outcome.as_ref().map(|_| ()).map_err(Clone::clone));
        }
        if outcome.is_ok() {
            self.spaces.evict();
        }
        outcome
    }
}

impl Drop for LoadGuard<'_> {
    fn drop(&mut self) {
        let mut table = self.spaces.table.borrow_mut();
        if let Some(Kept::Loading(_)) = table.get(self.user) {
            table.remove(self.user);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn space() -> Rc<UserSpace> {
        let entry = UserEntry { user: UserId::new("u1"), username: "alice".into(), slot: model::SlotId(0) };
        Rc::new(UserSpace::new(Space::new(entry, SpaceData::default())))
    }

    fn poll<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn changes_of_one_event_wait_for_each_other_and_not_for_those_of_another() {
        let space = space();
        let Poll::Ready(first) = poll(pin!(space.turn_of("e1"))) else { panic!("a free turn is taken at once") };
        assert!(poll(pin!(space.turn_of("e2"))).is_ready());
        assert!(poll(pin!(space.turn())).is_ready());
        let mut second = pin!(space.turn_of("e1"));
        assert!(poll(second.as_mut()).is_pending());
        drop(first);
        assert!(poll(second.as_mut()).is_ready());
    }

    #[test]
    fn a_turn_is_handed_over_in_the_order_of_asking() {
        let space = space();
        let Poll::Ready(first) = poll(pin!(space.turn())) else { panic!("a free turn is taken at once") };
        let (mut second, mut third) = (pin!(space.turn()), pin!(space.turn()));
        assert!(poll(second.as_mut()).is_pending());
        assert!(poll(third.as_mut()).is_pending());
        drop(first);
        assert!(poll(pin!(space.turn())).is_pending(), "nobody overtakes those who wait");
        assert!(poll(third.as_mut()).is_pending());
        let Poll::Ready(held) = poll(second.as_mut()) else { panic!("the second is next") };
        drop(held);
        assert!(poll(third.as_mut()).is_ready());
    }

    #[test]
    fn who_goes_away_while_waiting_or_with_the_turn_in_hand_stops_nobody() {
        let space = space();
        let Poll::Ready(first) = poll(pin!(space.turn())) else { panic!("a free turn is taken at once") };
        let mut last = pin!(space.turn());
        {
            let (mut waits, mut handed) = (pin!(space.turn()), pin!(space.turn()));
            assert!(poll(waits.as_mut()).is_pending());
            assert!(poll(handed.as_mut()).is_pending());
            assert!(poll(last.as_mut()).is_pending());
            drop(first);
        }
        assert!(poll(last.as_mut()).is_ready());
        assert!(space.turns.borrow().is_empty(), "a turn that nobody wants leaves nothing behind");
    }
}
