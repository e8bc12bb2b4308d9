//! What the whole process shares ([`Node`]), and what each core keeps for itself ([`Shard`]).

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use model::schema::Schema;
use model::{Grant, Right, SeriesKey, ServerTask, UserEntry, UserId};
use rustc_hash::FxHashMap;
use serde_json::{Map, Value};
use shards::{Pool, Response, ShardHandle, placement};
use storage::base::{Answer, BaseStore, Read, ReadCall, SpaceData};
use storage::files::LocalFiles;
use storage::platform::{self, PlatformStore};
use tokio::sync::oneshot;

use crate::audit::{AuditDraft, AuditFilter, AuditQueue};
use crate::config::Config;
use crate::error::{ApiError, ApiResult};
use crate::event_types::EventTypes;
use crate::metrics::Metrics;
use crate::points::Points;
use crate::space::{Spaces, UserSpace};
use crate::trunk::UserCall;
use crate::upkeep::Upkeep;

/// Memory for the spaces of users, over all shards; the least recently used go first.
const SPACES_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Names that a shard remembers; beyond it the memory starts anew.
const NAMES_MAX: usize = 100_000;

/// Shared by all shards; everything in it is set at start or is a counter.
pub struct Node {
    pub config: Config,
    pub base: Arc<dyn BaseStore>,
    pub platform: Arc<dyn PlatformStore>,
    pub pool: Pool,
    pub event_types: Arc<EventTypes>,
    /// What a registration must look like.
    pub registration: Schema,
    pub segments: Arc<series::Catalog>,
    pub files: LocalFiles,
    pub upkeep: Upkeep,
    pub metrics: Metrics,
    pub audit_filter: AuditFilter,
    pub started: Instant,
    /// The rest of the start is done: `/ready` says yes.
    pub is_ready: AtomicBool,
    /// A log failed: no points are accepted until the restart.
    pub is_series_read_only: AtomicBool,
    /// Shards whose log has no space: they refuse points until there is some.
    pub shards_without_space: AtomicUsize,
}

/// What the node can do for series now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeriesState {
    Open,
    /// Reads go on, posts are refused; it ends by itself.
    NoSpace,
    /// Reads go on, posts are refused; it ends with a restart.
    ReadOnly,
}

impl Node {
    pub fn service_info(&self) -> Map<String, Value> {
        crate::config::service::service_info(&self.config)
    }

    /// `service.serial`, for `meta`.
    pub fn serial(&self) -> Option<&str> {
        self.config.service.get("serial").and_then(Value::as_str)
    }

    /// How long a session lives after its last use.
    pub fn session_max_s(&self) -> f64 {
        self.config.auth.session_max_age.as_secs_f64()
    }

    /// `service.api` with the name filled in and the token as user info.
    pub fn api_endpoint(&self, name: &str, token: Option<&str>) -> String {
        let url = crate::config::service::api_url(&self.config, name).unwrap_or_default();
        match (token, url.split_once("//")) {
            (Some(token), Some((scheme, rest))) => format!("{scheme}//{token}@{rest}"),
            _ => url,
        }
    }

    /// Deleted series: their points leave the log and the segments soon. The shard that has them in its ring is told apart.
    pub fn forget_series(&self, keys: &[SeriesKey]) {
        if !keys.is_empty() {
            self.segments.forget(keys);
            self.upkeep.deleted();
        }
    }

    pub fn series_state(&self) -> SeriesState {
        if self.is_series_read_only.load(Ordering::Acquire) {
            SeriesState::ReadOnly
        } else if self.shards_without_space.load(Ordering::Acquire) > 0 {
            SeriesState::NoSpace
        } else {
            SeriesState::Open
        }
    }

    /// The same for all series of a person who has left: without waiting for other deletions.
    pub fn forget_account(&self, keys: &[SeriesKey]) {
        if !keys.is_empty() {
            self.segments.forget(keys);
            self.upkeep.account_deleted();
        }
    }

    pub fn ready(&self) -> bool {
        self.is_ready.load(Ordering::Acquire)
    }
}

/// What shards send each other.
pub enum Message {
    /// A call for a user that the receiving shard owns.
    Call { call: Box<UserCall>, reply: oneshot::Sender<Response> },
    /// A user is gone: nothing remembered about it holds any more, and its points are gone for readers.
    ForgetUser { user: UserId, series: Vec<SeriesKey> },
}

/// One core's own state. Nothing here is shared, so nothing is locked.
pub struct Shard {
    pub node: Arc<Node>,
    pub handle: ShardHandle<Message>,
    pub spaces: Spaces,
    pub audit: AuditQueue,
    pub points: Points,
    /// When usage counters are flushed next.
    pub usage_due: Cell<f64>,
    names: RefCell<FxHashMap<String, UserEntry>>,
}

impl Shard {
    pub fn new(node: Arc<Node>, handle: ShardHandle<Message>, points: Points) -> Self {
        let shards = handle.count.max(1);
        Self {
            spaces: Spaces::new(SPACES_BYTES_MAX / shards),
            node,
            handle,
            audit: AuditQueue::default(),
            points,
            usage_due: Cell::new(0.0),
            names: RefCell::default(),
        }
    }

    /// The account behind a username or alias. Only confirmed accounts; what is found is remembered.
    pub async fn resolve(&self, name: &str) -> ApiResult<UserEntry> {
        if let Some(entry) = self.names.borrow().get(name) {
            return Ok(entry.clone());
        }
        match self.platform(platform::Command::FindUser { name: name.to_owned() }).await? {
            platform::Answer::User(Some(entry)) => {
                let mut names = self.names.borrow_mut();
                if names.len() >= NAMES_MAX {
                    names.clear();
                }
                names.insert(name.to_owned(), entry.clone());
                Ok(entry)
            }
            _ => Err(ApiError::unknown_resource("user", name)),
        }
    }

    pub async fn platform(&self, command: platform::Command) -> Result<platform::Answer, storage::StoreError> {
        let stopped = || storage::StoreError::Unavailable("the platform directory has stopped".into());
        self.node.platform.call(command).await.unwrap_or_else(|_| Err(stopped()))
    }

    pub fn owner_of(&self, entry: &UserEntry) -> usize {
        placement::shard_of(entry.user.as_str(), self.handle.count)
    }

    pub async fn space(&self, entry: &UserEntry) -> ApiResult<Rc<UserSpace>> {
        self.spaces.get(entry, || self.load_space(entry)).await
    }

    async fn load_space(&self, entry: &UserEntry) -> ApiResult<SpaceData> {
        let grant = Grant::server_itself(ServerTask::LoadSpace, entry.user.clone(), entry.slot, Right::Read);
        let call = ReadCall { grant, read: Read::Space, batch: None };
        match self.node.base.read(call).await {
            Ok(Ok(Answer::Space(data))) => Ok(*data),
            Ok(Ok(other)) => Err(ApiError::unexpected(format!("a space was asked for, not {other:?}"))),
            Ok(Err(storage::StoreError::NotFound)) => {
                // Erased since its name was remembered.
                self.forget_user(&entry.user);
                Err(ApiError::unknown_resource("user", &entry.username))
            }
            Ok(Err(error)) => Err(error.into()),
            Err(_) => Err(ApiError::busy()),
        }
    }

    pub fn forget_space(&self, space: &UserSpace) {
        if !space.is_dropped() {
            let user = space.data.borrow().entry.user.clone();
            self.spaces.forget(&user);
        }
    }

    pub fn forget_user(&self, user: &UserId) {
        self.spaces.forget(user);
        self.names.borrow_mut().retain(|_, entry| entry.user != *user);
    }

    /// Whether a call is stored in the audit (`audit.active` and the filter).
    pub fn audit_filter(&self, draft: &AuditDraft) -> bool {
        const NEVER: [&str; 1] = ["service.info"];
        self.node.config.audit.active && !NEVER.contains(&draft.action) && self.node.audit_filter.accepts(draft.action)
    }

    /// Stores the record of a call unless its own write has done so.
    pub fn audited(&self, entry: &UserEntry, draft: &AuditDraft, error: Option<&ApiError>) {
        if !draft.is_stored && self.audit_filter(draft) {
            self.audit.push(entry, draft.record(error));
        }
    }
}
