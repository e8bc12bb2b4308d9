//! Routes that do not belong to one user.

mod operations;
mod register;

pub use operations::operations;
pub use register::register;

use model::time::number;
use serde_json::{Map, json};
use shards::Response;
use subtle::ConstantTimeEq;

use crate::edge::Incoming;
use crate::error::ApiError;
use crate::node::Shard;
use crate::reply::{self, API_VERSION};

/// `GET /` and `GET /{anything}` (spec 01, section 9.1).
pub fn greeting(shard: &Shard, incoming: &Incoming) -> Response {
    let echo = incoming.echo.clone();
    if incoming.accepts_html_only {
        let text = format!(
            "<html><head><title>Pryv API</title></head><body><h1>Pryv API</h1><p>Version {API_VERSION}, \
             server time {}.</p><p>Learn more at <a href=\"https://pryv.github.io/\">pryv.github.io</a>.</p></body></html>",
            number(reply::now())
        );
        return reply::text(200, echo, "text/html; charset=utf-8", text);
    }
    let fields = json!({ "cheersFrom": "Pryv API", "learnMoreAt": "https://pryv.github.io/" });
    reply::success(200, echo, fields.as_object().cloned().unwrap_or_else(Map::new), shard.node.serial())
}

/// `/system/*`: whoever has no admin key learns nothing, not even that there is something (spec 02, section 12.1).
pub fn system(shard: &Shard, incoming: &Incoming) -> Response {
    if !is_admin(shard, incoming.authorization.as_deref()) {
        tracing::warn!(ip = incoming.source.ip, "a /system call without the admin key");
    }
    reply::failure(incoming.echo.clone(), &ApiError::unknown_route(&incoming.path), shard.node.serial())
}

/// The header equals `auth.adminAccessKey` verbatim; compared in constant time.
pub fn is_admin(shard: &Shard, authorization: Option<&str>) -> bool {
    let key = shard.node.config.auth.admin_access_key.expose();
    !key.is_empty() && authorization.is_some_and(|given| bool::from(given.as_bytes().ct_eq(key.as_bytes())))
}
