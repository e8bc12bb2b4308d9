//! The API methods, one file per resource, and the registry that batch calls go through.

pub mod access_info;
pub mod accesses;
pub mod account_events;
pub mod attachments;
pub mod auth;
pub mod batch;
pub mod events;
pub mod events_query;
pub mod params;
pub mod streams;

use model::permission::Refused;
use serde_json::{Map, Value};

use crate::context::Context;
use crate::error::{ApiError, ApiResult};

/// Every method that can be called by HTTP or by name in a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MethodId {
    GetAccessInfo,
    CallBatch,
    ServiceInfo,
    AuthLogin,
    AuthLogout,
    AccessesGet,
    AccessesCreate,
    AccessesDelete,
    StreamsGet,
    StreamsCreate,
    StreamsUpdate,
    StreamsDelete,
    EventsGet,
    EventsGetOne,
    EventsCreate,
    EventsUpdate,
    /// `events.update` with files: a route of its own, and no name of its own.
    EventsAddAttachments,
    EventsDelete,
    /// A route only: no batch calls it.
    EventsGetAttachment,
    EventsDeleteAttachment,
}

impl MethodId {
    const ALL: [(Self, &'static str); 20] = [
        (Self::GetAccessInfo, "getAccessInfo"),
        (Self::CallBatch, "callBatch"),
        (Self::ServiceInfo, "service.info"),
        (Self::AuthLogin, "auth.login"),
        (Self::AuthLogout, "auth.logout"),
        (Self::AccessesGet, "accesses.get"),
        (Self::AccessesCreate, "accesses.create"),
        (Self::AccessesDelete, "accesses.delete"),
        (Self::StreamsGet, "streams.get"),
        (Self::StreamsCreate, "streams.create"),
        (Self::StreamsUpdate, "streams.update"),
        (Self::StreamsDelete, "streams.delete"),
        (Self::EventsGet, "events.get"),
        (Self::EventsGetOne, "events.getOne"),
        (Self::EventsCreate, "events.create"),
        (Self::EventsUpdate, "events.update"),
        (Self::EventsAddAttachments, "events.update"),
        (Self::EventsDelete, "events.delete"),
        (Self::EventsGetAttachment, "events.getAttachment"),
        (Self::EventsDeleteAttachment, "events.deleteAttachment"),
    ];

    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(id, _)| *id == self).map_or("", |(_, name)| name)
    }

    pub fn parse(name: &str) -> Option<Self> {
        let found = Self::ALL.iter().find(|(_, known)| *known == name).map(|(id, _)| *id);
        found.filter(|id| *id != Self::EventsGetAttachment)
    }

    /// `events.get` -> `events:get`, the key of the usage counters (spec 01, section 10).
    pub fn counter(self) -> String {
        self.as_str().replacen('.', ":", 1)
    }

    /// The status of a success.
    pub fn success_status(self) -> u16 {
        match self {
            Self::AccessesCreate | Self::StreamsCreate | Self::EventsCreate => 201,
            _ => 200,
        }
    }

    /// Methods that read an event, and write it if it is still the same.
    pub fn changes_event(self) -> bool {
        matches!(
            self,
            Self::EventsCreate
                | Self::EventsUpdate
                | Self::EventsAddAttachments
                | Self::EventsDelete
                | Self::EventsDeleteAttachment
        )
    }

    /// Whether the counter grows even if the method then fails (spec 01, section 10).
    pub fn counts_failures(self) -> bool {
        self.as_str().starts_with("streams.") || self.as_str().starts_with("events.")
    }
}

/// What a method gives back, before it becomes an HTTP answer or an entry of a batch.
pub enum Outcome {
    Fields(Map<String, Value>),
    /// Pages of finished JSON, asked for as the socket drains.
    Events(Box<events_query::EventsAnswer>),
}

impl Outcome {
    pub fn field(name: &str, value: impl Into<Value>) -> Self {
        let mut fields = Map::new();
        fields.insert(name.to_owned(), value.into());
        Self::Fields(fields)
    }
}

/// Runs one method with loaded access. `params` is an object (spec 01, section 4.4).
pub async fn run(id: MethodId, context: &mut Context, params: &Value) -> ApiResult<Outcome> {
    match id {
        MethodId::GetAccessInfo => access_info::get(context),
        MethodId::ServiceInfo => Ok(Outcome::Fields(context.shard.node.service_info())),
        MethodId::AuthLogout => auth::logout(context).await,
        MethodId::AccessesGet => accesses::get(context, params).await,
        MethodId::AccessesCreate => accesses::create(context, params).await,
        MethodId::AccessesDelete => accesses::delete(context, params).await,
        MethodId::StreamsGet => streams::get(context, params).await,
        MethodId::StreamsCreate => streams::create(context, params).await,
        MethodId::StreamsUpdate => streams::update(context, params).await,
        MethodId::StreamsDelete => streams::delete(context, params).await,
        MethodId::EventsGet => events_query::get(context, params).await,
        MethodId::EventsGetOne => events::get_one(context, params).await,
        MethodId::EventsCreate => events::create(context, params).await,
        MethodId::EventsUpdate => events::update(context, params).await,
        MethodId::EventsDelete => events::delete(context, params).await,
        MethodId::EventsAddAttachments => attachments::add(context, params).await,
        MethodId::EventsDeleteAttachment => attachments::delete(context, params).await,
        // A batch inside a batch is run by `batch` itself; a login needs a call without an access; a file is no JSON.
        MethodId::CallBatch | MethodId::AuthLogin | MethodId::EventsGetAttachment => {
            let message = format!("Unexpected error: {} cannot be called with an access", id.as_str());
            Err(ApiError::new(500, "unexpected-error", message))
        }
    }
}

/// A refusal of the permission module, as an API error.
pub fn refused(why: Refused) -> ApiError {
    match why {
        Refused::Forbidden(message) => ApiError::forbidden(message),
        Refused::Unknown(message) => ApiError::new(404, "unknown-resource", message),
        Refused::InvalidOperation { message, data } => ApiError::invalid_operation(message).with_data(data),
        Refused::InvalidStructure(message) => ApiError::invalid_structure(message),
    }
}
