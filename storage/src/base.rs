//! The contract of a base engine (users' data): a closed set of plain-data commands, each atomic in
//! the engine. No closure over a transaction crosses it, so every engine can serve the same set.

use bytes::Bytes;
use model::{
    Access, AuditRecord, Duration, Event, EventDeletion, EventsQuery, Grant, NewAccount, PasswordHash, SeriesKey,
    Session, SlotId, Stream, StreamDeletion, UserId,
};
use serde_json::{Map, Value};

use crate::{Reply, StoreError};

/// A base engine. What gives a [`Reply`] does not block; what gives a `Result`, and [`BaseStore::close`], may: it is for threads
/// that are no shard's and no runtime's.
pub trait BaseStore: Send + Sync + 'static {
    /// Runs one command: all of it or nothing, after the user's commands before it. The answer comes after the commit (or,
    /// inside a batch, as soon as the command ran: the batch's own end is what is durable). After `Engine`, `NoSpace` or
    /// `Unavailable` nobody knows what is stored: drop the space. After any other error nothing is.
    fn write(&self, call: WriteCall) -> Reply<Written>;

    /// Runs one read. Inside a batch it sees the batch's own writes.
    fn read(&self, call: ReadCall) -> Reply<Answer>;

    /// Opens a batch of a slot's user: its commands share a transaction, which the engine may cut into parts and share with
    /// others (never for longer than others can wait).
    fn batch(&self, slot: SlotId) -> Reply<BatchId>;

    /// Commits what the batch wrote. An error means: the last part is not stored, or nobody knows; drop the space.
    fn batch_end(&self, slot: SlotId, batch: BatchId) -> Reply<()>;

    /// Stores audit records that have no write of their own (reads, refusals).
    fn audit(&self, slot: SlotId, records: Vec<(UserId, AuditRecord)>) -> Reply<()>;

    fn slots(&self) -> u16;

    /// Every series key that has a holder event, for recovery and merges.
    fn live_series(&self, slot: SlotId) -> Result<Vec<SeriesKey>, StoreError>;

    /// The same series with what is known of their holder events, in the order of their keys. Those of accounts that
    /// are being erased are left out.
    fn series_holders(&self, slot: SlotId) -> Result<Vec<SeriesHolder>, StoreError>;

    /// Every account of a slot: id and username.
    fn accounts(&self, slot: SlotId) -> Result<Vec<(UserId, String)>, StoreError>;

    /// Commits what waits and closes files or connections.
    fn close(&self);
}

/// A batch that is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BatchId(pub u64);

#[derive(Debug)]
pub struct WriteCall {
    pub grant: Grant,
    pub write: Write,
    /// Committed with the write. For events.create/update and accesses.create the writer adds
    /// `record: {key, integrity}` to its detail.
    pub audit: Option<AuditRecord>,
    pub batch: Option<BatchId>,
    /// The caller's clock, in seconds; the writer stamps `max(now, the user's last stamp + 1 us)`.
    pub now: f64,
}

/// `created*`/`modified*`/`integrity` of items are set by the writer from the grant's author and its stamp.
#[derive(Debug)]
pub enum Write {
    CreateAccount(Box<NewAccount>),
    /// Every row of the account is removed (the first commit makes it unreachable; see `erase`).
    EraseAccount {
        keep_audit: bool,
    },
    SetPassword {
        password: PasswordHash,
    },

    /// Login: opens or prolongs the session and creates or re-tokens the personal access of its app id.
    OpenSession {
        session: Session,
        access: Box<Access>,
    },
    CloseSession {
        token: String,
    },

    CreateEvent {
        event: Box<Event>,
    },
    /// The whole new state, but `created*` and the series key, which stay. `expected_modified` is that of the
    /// state it was made from: otherwise `Stale`.
    UpdateEvent {
        event: Box<Event>,
        expected_modified: f64,
    },
    /// Trash is an update; this is the real deletion, by the configured deletion mode.
    DeleteEvent {
        id: String,
        expected_modified: f64,
    },
    /// Durations of series holders, after points were written.
    ExtendSeries {
        holders: Vec<SeriesExtent>,
    },

    CreateStream {
        stream: Box<Stream>,
    },
    UpdateStream {
        stream: Box<Stream>,
    },
    /// Deletes these streams (a stream and all its descendants). `linked` says what becomes of events in them.
    DeleteStreams {
        ids: Vec<String>,
        linked: LinkedEvents,
    },

    CreateAccess {
        access: Box<Access>,
    },
    /// Keeps the former state as history when the serial grew.
    UpdateAccess {
        access: Box<Access>,
        expected_modified: f64,
    },
    DeleteAccesses {
        ids: Vec<String>,
    },

    /// Deltas of usage counters and sliding sessions, flushed by the owner every 10 s.
    Usage {
        accesses: Vec<AccessUsage>,
        sessions: Vec<Session>,
    },

    SetProfile {
        set: String,
        value: Map<String, Value>,
    },
    /// Sets the field, or removes it when the event has no content. `event`: the field's event, with its id, streams,
    /// type and content. The state before becomes a version of it.
    SetAccountField {
        name: String,
        event: Box<Event>,
    },
}

impl Write {
    /// Whether this command, when it succeeds, raises the version of the user's space: by exactly 1.
    pub fn changes_space(&self) -> bool {
        match self {
            Self::OpenSession { .. }
            | Self::CreateStream { .. }
            | Self::UpdateStream { .. }
            | Self::DeleteStreams { .. }
            | Self::CreateAccess { .. }
            | Self::UpdateAccess { .. }
            | Self::DeleteAccesses { .. }
            | Self::SetAccountField { .. } => true,
            Self::CreateAccount(_)
            | Self::EraseAccount { .. }
            | Self::SetPassword { .. }
            | Self::CloseSession { .. }
            | Self::CreateEvent { .. }
            | Self::UpdateEvent { .. }
            | Self::DeleteEvent { .. }
            | Self::ExtendSeries { .. }
            | Self::Usage { .. }
            | Self::SetProfile { .. } => false,
        }
    }
}

/// What a stream deletion does to events that are in the deleted streams and not trashed.
#[derive(Clone, Debug, PartialEq)]
pub enum LinkedEvents {
    /// No choice was made: if there are such events, nothing is done and the answer is `LinkedEventsExist`.
    Refuse,
    /// Deleted ids are replaced by the parent's.
    MergeWithParent { parent_id: String },
    /// Deleted ids are removed; events without another stream are really deleted.
    Delete,
}

#[derive(Clone, Debug, PartialEq)]
pub struct SeriesExtent {
    pub event_id: String,
    /// Largest deltaTime written, in seconds.
    pub duration: f64,
    /// Time of the last write of points, and its author. `None`, when nobody knows the author any more, leaves the one
    /// that the event has.
    pub modified: f64,
    pub modified_by: Option<String>,
}

impl SeriesExtent {
    /// Points inside the known range leave the event as it is, `modified` too (Pryv: spec 08, section 7).
    pub fn exceeds(&self, known: &Duration) -> bool {
        match known {
            Duration::Seconds(length) => self.duration > *length,
            Duration::Instant => self.duration > 0.0,
            Duration::Running => true,
        }
    }
}

/// A series and its holder event, for those who look at all series of a node.
#[derive(Clone, Debug, PartialEq)]
pub struct SeriesHolder {
    pub key: SeriesKey,
    pub user: UserId,
    pub event_id: String,
    /// Seconds since the epoch: what the times of the points are relative to.
    pub time: f64,
    pub duration: Duration,
    /// The event's type, with its `series:`.
    pub kind: String,
    /// The event's streams, then all streams above them.
    pub stream_ids: Vec<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct AccessUsage {
    pub access_id: String,
    pub last_used: f64,
    /// `events:get` -> how many more calls.
    pub calls: Vec<(String, u64)>,
}

#[derive(Debug)]
pub enum Written {
    Done,
    /// Stamped and hashed, with its `series_key` if it is a series holder.
    Event(Box<Event>),
    EventDeletion(EventDeletion),
    Stream(Box<Stream>),
    Access(Box<Access>),
    AccessDeletions(Vec<Access>),
    StreamDeletion(StreamsDeleted),
    LinkedEventsExist,
    /// Series keys whose points must go (after EraseAccount), all of the account's.
    Erased {
        series: Vec<SeriesKey>,
    },
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct StreamsDeleted {
    /// (`mergedToParent` | `updatedStreamIds` | `deleted`, event id)
    pub events: Vec<(&'static str, String)>,
    /// Keys of deleted holder events.
    pub series: Vec<SeriesKey>,
    /// One per deleted stream.
    pub deletions: Vec<StreamDeletion>,
}

#[derive(Debug)]
pub struct ReadCall {
    pub grant: Grant,
    pub read: Read,
    pub batch: Option<BatchId>,
}

#[derive(Debug)]
pub enum Read {
    /// All that the owner keeps in memory about the user.
    Space,
    Password,
    Profile {
        set: String,
    },
    Event {
        id: String,
    },
    /// Former states, oldest first; of an account field, the present one too, as the last. One that `keep-authors` has reduced has no stream ids: only `id`,
    /// `modified` and `modified_by` count.
    EventHistory {
        id: String,
    },
    /// One page of finished JSON. `after` is the cursor of the page before.
    EventsPage {
        query: Box<EventsQuery>,
        after: Option<Cursor>,
    },
    /// Audit events of the user, same shape of pages. Stream ids are `access-<id>` / `action-<method>` (no prefix).
    AuditPage {
        query: Box<EventsQuery>,
        after: Option<Cursor>,
    },
    /// Names of the audit streams that have records: `access-<id>`, or `action-<method>` of the latest ones.
    AuditStreams {
        actions: bool,
    },
    EventDeletions {
        since: f64,
        ascending: bool,
        limit: Option<u64>,
        skip: u64,
    },
    StreamDeletions {
        since: f64,
    },
    AccessDeletions,
    AccessHistory {
        id: String,
    },
    /// Are there events that are not trashed in one of these streams?
    AnyEventIn {
        stream_ids: Vec<String>,
    },
}

#[derive(Debug)]
pub enum Answer {
    Space(Box<SpaceData>),
    Password(Option<PasswordHash>),
    Profile(Map<String, Value>),
    Event(Option<Found>),
    Events(Vec<Event>),
    Page(Page),
    EventDeletions(Vec<EventDeletion>),
    StreamDeletions(Vec<StreamDeletion>),
    Accesses(Vec<Access>),
    Names(Vec<String>),
    Yes(bool),
}

#[derive(Debug)]
pub enum Found {
    Event(Box<Event>),
    Deletion(EventDeletion),
    /// Deletion mode `keep-everything`: all fields are still there.
    Kept(EventDeletion, Box<Event>),
}

/// Finished JSON of consecutive items, comma separated, without brackets: `{...},{...}`.
/// May be empty and still have a next page (many rows were looked at and none matched).
#[derive(Debug)]
pub struct Page {
    pub json: Bytes,
    pub item_count: u64,
    /// The attachments in it, in the order of their places.
    pub files: Vec<FilePlace>,
    /// What is left of the query's `skip`: not 0 only if fewer items matched than were to be skipped.
    pub skip_left: u64,
    /// `None` when this was the last page.
    pub next: Option<Cursor>,
}

/// An attachment in a page.
#[derive(Clone, Debug, PartialEq)]
pub struct FilePlace {
    /// Where its object closes: the reader may add properties in front of this byte of the page.
    pub at: usize,
    pub id: String,
}

/// Where the next page starts; made and read by the engine only.
#[derive(Clone, Debug, PartialEq)]
pub struct Cursor {
    pub time: f64,
    pub row: i64,
    /// How many items the pages so far have delivered (for `limit`).
    pub delivered: u64,
}

#[derive(Debug, Default)]
pub struct SpaceData {
    pub username: String,
    pub fields: Map<String, Value>,
    /// Live heads (not deleted), expired ones included.
    pub accesses: Vec<Access>,
    /// All streams that are not deleted, trashed ones included.
    pub streams: Vec<Stream>,
    pub sessions: Vec<Session>,
    pub version: u64,
}
