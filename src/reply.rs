//! Answers: the common headers and the JSON envelopes (spec 01, section 5).

use std::borrow::Cow;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use model::time::number;
use serde_json::{Map, Value, json};
use shards::{Body, Response};
use tokio::sync::mpsc;
use wire::http1::Head;

use crate::error::ApiError;

/// What `API-Version`, `meta.apiVersion` and `service.info` say: the API's version, not ours.
pub const API_VERSION: &str = "2.0.0";
const JSON_TYPE: &str = "application/json; charset=utf-8";
/// With every refusal of a token that should be bound to a key (spec 01, section 3.1).
const DPOP_CHALLENGE: &str = "DPoP algs=\"ES256\", error=\"invalid_token\"";
/// Seconds that a client is asked to wait after a 503.
const RETRY_AFTER_S: &str = "1";

/// The request headers that shape the answer's; taken off the head so that it can travel.
#[derive(Clone, Debug, Default)]
pub struct Echo {
    origin: Option<String>,
    requested_method: Option<String>,
    requested_headers: Option<String>,
}

impl Echo {
    pub fn of(head: &Head) -> Self {
        let take = |name: &str| head.headers.get(name).map(str::to_owned);
        Self {
            origin: take("origin"),
            requested_method: take("access-control-request-method"),
            requested_headers: take("access-control-request-headers"),
        }
    }

    /// The CORS headers and `API-Version`, on every answer.
    fn headers(self) -> Vec<(Cow<'static, str>, Cow<'static, str>)> {
        let or = |value: Option<String>, default: &'static str| value.map_or(Cow::Borrowed(default), Cow::Owned);
        vec![
            ("Access-Control-Allow-Origin".into(), or(self.origin, "*")),
            ("Access-Control-Allow-Methods".into(), or(self.requested_method, "POST, GET, PUT, DELETE, OPTIONS")),
            ("Access-Control-Allow-Headers".into(), or(self.requested_headers, "Authorization, Content-Type")),
            ("Access-Control-Expose-Headers".into(), "API-Version".into()),
            ("Access-Control-Max-Age".into(), "31536000".into()),
            ("Access-Control-Allow-Credentials".into(), "true".into()),
            ("API-Version".into(), API_VERSION.into()),
        ]
    }
}

/// Unix seconds, to the millisecond as the API has always shown them.
pub fn now() -> f64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    #[allow(clippy::cast_precision_loss, reason = "milliseconds since 1970 are far below 2^53")]
    let millis = elapsed.as_millis() as f64;
    millis / 1000.0
}

pub fn meta(serial: Option<&str>) -> Value {
    let mut meta = json!({ "apiVersion": API_VERSION, "serverTime": number(now()) });
    if let (Some(serial), Some(fields)) = (serial, meta.as_object_mut()) {
        fields.insert("serial".into(), serial.into());
    }
    meta
}

fn response(status: u16, echo: Echo, content_type: impl Into<Cow<'static, str>>, body: Body) -> Response {
    let mut headers = echo.headers();
    headers.push(("Content-Type".into(), content_type.into()));
    if status == 503 {
        headers.push(("Retry-After".into(), RETRY_AFTER_S.into()));
    }
    Response { status, headers, body, close: false }
}

/// A JSON value as it is, without `meta`.
pub fn raw_json(status: u16, echo: Echo, value: &Value) -> Response {
    response(status, echo, JSON_TYPE, Body::Full(Bytes::from(value.to_string())))
}

/// A result: its fields at the top level, then `meta`.
pub fn success(status: u16, echo: Echo, mut fields: Map<String, Value>, serial: Option<&str>) -> Response {
    fields.insert("meta".into(), meta(serial));
    raw_json(status, echo, &Value::Object(fields))
}

pub fn failure(echo: Echo, error: &ApiError, serial: Option<&str>) -> Response {
    refusal(echo, error, &json!({ "error": error.to_json(), "meta": meta(serial) }))
}

/// Errors of the series routes have no `meta` (spec 08, section 1.2).
pub fn bare_failure(echo: Echo, error: &ApiError) -> Response {
    refusal(echo, error, &json!({ "error": error.to_json() }))
}

fn refusal(echo: Echo, error: &ApiError, envelope: &Value) -> Response {
    let mut response = raw_json(error.status, echo, envelope);
    if error.has_challenge {
        response.headers.push(("WWW-Authenticate".into(), DPOP_CHALLENGE.into()));
    }
    response
}

pub fn text(status: u16, echo: Echo, content_type: &'static str, text: impl Into<Bytes>) -> Response {
    response(status, echo, content_type, Body::Full(text.into()))
}

/// The bytes of a file, or a part of them.
pub fn file(status: u16, echo: Echo, content_type: Cow<'static, str>, body: Body) -> Response {
    response(status, echo, content_type, body)
}

pub fn empty(status: u16, echo: Echo) -> Response {
    Response { status, headers: echo.headers(), body: Body::Empty, close: false }
}

/// A body that is written while it is made: `application/json` without a charset (spec 03, section 2.6).
pub fn streamed(echo: Echo, pages: mpsc::Receiver<Result<Bytes, shards::Aborted>>) -> Response {
    response(200, echo, "application/json", Body::Stream(pages))
}

/// The same for points, which name their charset always (spec 08, section 1.2).
pub fn streamed_points(echo: Echo, pages: mpsc::Receiver<Result<Bytes, shards::Aborted>>) -> Response {
    response(200, echo, JSON_TYPE, Body::Stream(pages))
}

pub fn with_access_id(mut response: Response, access_id: Option<String>) -> Response {
    if let Some(id) = access_id {
        response.headers.push(("Pryv-Access-Id".into(), id.into()));
    }
    response
}
