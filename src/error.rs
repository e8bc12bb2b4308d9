//! Errors of the API: the one place that pairs a Pryv error id with its HTTP status (spec: error ids).

use std::borrow::Cow;

use serde_json::{Map, Value, json};
use storage::StoreError;

/// An error as clients see it: `{"error": {"id", "message", "data"?}}`.
#[derive(Clone, Debug, PartialEq)]
pub struct ApiError {
    pub status: u16,
    pub id: &'static str,
    pub message: Cow<'static, str>,
    pub data: Option<Value>,
    /// Not an answer: the method must run again on fresh data.
    pub is_stale: bool,
    /// The answer asks for a proof of possession, by its `WWW-Authenticate`.
    pub has_challenge: bool,
}

pub type ApiResult<T> = Result<T, ApiError>;

impl ApiError {
    pub fn new(status: u16, id: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self { status, id, message: message.into(), data: None, is_stale: false, has_challenge: false }
    }

    pub fn with_data(mut self, data: Value) -> Self {
        self.data = Some(data);
        self
    }

    pub fn invalid_structure(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(400, "invalid-request-structure", message)
    }

    pub fn invalid_parameters(data: Value) -> Self {
        Self::new(400, "invalid-parameters-format", "The parameters' format is invalid.").with_data(data)
    }

    pub fn invalid_parameters_text(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(400, "invalid-parameters-format", message)
    }

    pub fn invalid_operation(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(400, "invalid-operation", message)
    }

    pub fn unknown_referenced(message: impl Into<Cow<'static, str>>, data: Value) -> Self {
        Self::new(400, "unknown-referenced-resource", message).with_data(data)
    }

    pub fn forbidden(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(403, "forbidden", message)
    }

    pub fn not_granted() -> Self {
        Self::forbidden("The given token's access permissions do not allow this operation.")
    }

    pub fn invalid_token(status: u16, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(status, "invalid-access-token", message)
    }

    /// The `DPoP` scheme with a token that is not bound to a key (spec 01, section 3.1): one answer, whatever the cause.
    pub fn not_key_bound() -> Self {
        Self { has_challenge: true, ..Self::invalid_token(403, "The DPoP-bound access token is not valid.") }
    }

    pub fn invalid_credentials(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(401, "invalid-credentials", message)
    }

    /// 404 of an item: the message holds the kind and the id in double quotes.
    pub fn unknown_resource(kind: &str, id: &str) -> Self {
        Self::new(404, "unknown-resource", format!("Unknown {kind} \"{id}\""))
    }

    pub fn unknown_route(path: &str) -> Self {
        Self::new(404, "unknown-resource", format!("Unknown resource {path}"))
    }

    pub fn invalid_method(id: &str) -> Self {
        Self::new(404, "invalid-method", format!("Invalid method id \"{id}\""))
    }

    /// 409 with every conflicting key and its value.
    pub fn already_exists(kind: &str, taken: Map<String, Value>) -> Self {
        let pairs: Vec<String> =
            taken.iter().map(|(key, value)| format!("{key} \"{}\"", value.as_str().unwrap_or_default())).collect();
        Self::new(409, "item-already-exists", format!("A {kind} with {} already exists", pairs.join(", ")))
            .with_data(Value::Object(taken))
    }

    pub fn unavailable(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(503, "api-unavailable", message)
    }

    /// Full queues: the client may try again soon (the reply carries Retry-After).
    pub fn busy() -> Self {
        Self::unavailable("The server is too busy; try again in a moment.")
    }

    pub fn no_space() -> Self {
        Self::new(507, "api-unavailable", "No space left on the server's storage; reading still works.")
    }

    pub fn read_only() -> Self {
        Self::unavailable("The series log failed; this node accepts no points until it is restarted.")
    }

    /// Anything unforeseen: details go to the log, never to the client.
    pub fn unexpected(cause: impl std::fmt::Display) -> Self {
        tracing::error!(%cause, "unexpected error");
        Self::new(
            500,
            "unexpected-error",
            "Sorry, something went wrong on our side. Please try again, and contact support if it persists.",
        )
    }

    /// `{"id", "message", "data"?}`
    pub fn to_json(&self) -> Value {
        let mut out = json!({ "id": self.id, "message": self.message });
        if let (Some(data), Some(fields)) = (&self.data, out.as_object_mut()) {
            fields.insert("data".into(), data.clone());
        }
        out
    }
}

/// What a store error means to a client when the method has no better reading of it.
impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Busy => Self::busy(),
            StoreError::Stale => Self { is_stale: true, ..Self::busy() },
            StoreError::NotFound => Self::new(404, "unknown-resource", "Unknown resource"),
            StoreError::Taken(taken) => Self::already_exists("item", taken.into_iter().collect()),
            StoreError::NoSpace => Self::no_space(),
            StoreError::Unavailable(cause) => {
                tracing::error!(%cause, "a store cannot be reached");
                Self::unavailable("A storage service cannot be reached.")
            }
            StoreError::NotGranted | StoreError::Corrupt(_) | StoreError::Engine(_) => Self::unexpected(error),
        }
    }
}
