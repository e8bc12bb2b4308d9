//! `auth.*`: sessions and personal tokens (spec 02, sections 1 to 3).

use std::rc::Rc;
use std::sync::LazyLock;

use model::schema::Schema;
use model::{Access, AccessKind, Grant, PasswordHash, Right, ServerTask, Session, UserEntry};
use serde_json::{Map, Value, json};
use shards::Response;
use storage::base::{Answer, Read, ReadCall, Write, WriteCall, Written};

use super::Outcome;
use super::params::{self, checked};
use crate::audit::{ACCESS_INVALID, ACCESS_VALID_PASSWORD, AuditDraft};
use crate::context::Context;
use crate::edge::Body;
use crate::error::{ApiError, ApiResult};
use crate::node::Shard;
use crate::passwords;
use crate::reply;
use crate::space::UserSpace;
use crate::trunk::UserCall;

static LOGIN: LazyLock<Schema> = LazyLock::new(|| {
    params::schema(json!({
        "type": "object",
        "properties": {
            "username": { "type": "string" },
            "password": { "type": "string" },
            "appId": { "type": "string" },
        },
        "required": ["username", "password", "appId"],
    }))
});

/// Longer passwords cannot exist (spec 02, section 4): they are refused before they are hashed.
const PASSWORD_CHARS_MAX: usize = 100;

/// `POST /{username}/auth/login`: the one method of a user without a token.
pub async fn login(shard: &Rc<Shard>, call: UserCall) -> Response {
    let UserCall { entry, body, origin, source, echo, .. } = call;
    let mut audit = AuditDraft::new("auth.login", ACCESS_INVALID, &source);
    let outcome = try_login(shard, &entry, body, origin.as_deref().unwrap_or_default(), &mut audit).await;
    shard.audited(&entry, &audit, outcome.as_ref().err());
    match outcome {
        Ok(fields) => reply::success(200, echo, fields, shard.node.serial()),
        Err(error) => reply::failure(echo, &error, shard.node.serial()),
    }
}

async fn try_login(
    shard: &Rc<Shard>,
    entry: &UserEntry,
    body: Body,
    origin: &str,
    audit: &mut AuditDraft,
) -> ApiResult<Map<String, Value>> {
    let Body::Json(params @ Value::Object(_)) = body else {
        return Err(ApiError::invalid_operation("Missing parameters: username, password and appId are required."));
    };
    let missing = ["username", "password", "appId"].into_iter().find(|name| params.get(name).is_none());
    if let Some(name) = missing {
        return Err(ApiError::invalid_operation(format!("Missing parameter: {name} is required.")));
    }
    let params = checked(&LOGIN, &params)?;
    let app_id = params::text(params, "appId").unwrap_or_default();
    let Some(trusted) = &shard.node.config.auth.trusted_apps else {
        return Err(ApiError::unexpected("auth.trustedApps is not set: nobody can log in"));
    };
    if !is_trusted(trusted, app_id, origin) {
        tracing::warn!(app_id, origin, "login from an app or origin that auth.trustedApps does not list");
        return Err(ApiError::invalid_credentials("The app id (\"appId\") is either missing or not trusted."));
    }
    let username = params::text(params, "username").unwrap_or_default().to_lowercase();
    let space = shard.space(entry).await?;
    if space.data.borrow().entry.username != username {
        return Err(ApiError::invalid_operation("The username does not match that of the address."));
    }
    check_password(shard, entry, params::text(params, "password").unwrap_or_default()).await?;
    audit.access_id = ACCESS_VALID_PASSWORD.to_owned();
    let token = open_session(shard, &space, app_id, audit).await?;
    let space = space.data.borrow();
    let mut out = Map::new();
    out.insert("token".into(), token.clone().into());
    out.insert("apiEndpoint".into(), shard.node.api_endpoint(&space.entry.username, Some(&token)).into());
    if let Some(language) = space.fields.get("language") {
        out.insert("preferredLanguage".into(), language.clone());
    }
    Ok(out)
}

async fn check_password(shard: &Shard, entry: &UserEntry, password: &str) -> ApiResult<()> {
    let wrong = || ApiError::invalid_credentials("The given username/password pair is invalid.");
    if password.chars().count() > PASSWORD_CHARS_MAX {
        return Err(wrong());
    }
    let grant = Grant::server_itself(ServerTask::Account, entry.user.clone(), entry.slot, Right::Read);
    let call = ReadCall { grant, read: Read::Password, batch: None };
    let hash: Option<PasswordHash> = match shard.node.base.read(call).await {
        Ok(Ok(Answer::Password(hash))) => hash,
        Ok(Ok(other)) => return Err(ApiError::unexpected(format!("a password was asked for, not {other:?}"))),
        Ok(Err(error)) => return Err(error.into()),
        Err(_) => return Err(ApiError::busy()),
    };
    match passwords::verify(&shard.node.pool, password.to_owned(), hash).await? {
        true => Ok(()),
        false => Err(wrong()),
    }
}

/// The app's session, reused while it lives, else a new one with a new token.
async fn open_session(shard: &Shard, space: &Rc<UserSpace>, app_id: &str, audit: &mut AuditDraft) -> ApiResult<String> {
    let _turn = space.turn().await;
    let now = reply::now();
    let expires = now + shard.node.session_max_s();
    let (entry, session, known) = {
        let space = space.data.borrow();
        let session = space.session_of(app_id, now).cloned();
        (space.entry.clone(), session, space.personal_access_of(app_id).map(Rc::clone))
    };
    let session = match session {
        Some(session) => Session { expires, ..session },
        None => Session { token: model::id::fresh_item_id(), app_id: app_id.to_owned(), expires },
    };
    let access = match known {
        Some(access) => Access { token: session.token.clone(), ..Access::clone(&access) },
        None => personal_access(app_id, &session.token, now),
    };
    let grant = Grant::server_itself(ServerTask::Account, entry.user.clone(), entry.slot, Right::Write);
    let write = Write::OpenSession { session: session.clone(), access: Box::new(access) };
    let record = shard.audit_filter(audit).then(|| audit.record(None));
    let is_audited = record.is_some();
    let call = WriteCall { grant, write, audit: record, batch: None, now };
    match shard.node.base.write(call).await.unwrap_or(Err(storage::StoreError::Busy))? {
        Written::Access(access) => {
            audit.is_stored = is_audited;
            let mut space = space.data.borrow_mut();
            space.put_access(*access);
            space.put_session(session.clone());
            space.version += 1;
            Ok(session.token)
        }
        other => Err(ApiError::unexpected(format!("a session was opened, {other:?} came back"))),
    }
}

/// The personal access of an app id (Pryv: one per user and app id, without permissions).
pub fn personal_access(app_id: &str, token: &str, now: f64) -> Access {
    Access {
        id: model::id::fresh_item_id(),
        token: token.to_owned(),
        kind: AccessKind::Personal,
        name: app_id.to_owned(),
        device_name: None,
        permissions: Vec::new(),
        expires: None,
        client_data: None,
        alias: None,
        last_used: None,
        calls: Map::new(),
        integrity: None,
        created: now,
        created_by: "system".into(),
        modified: now,
        modified_by: "system".into(),
        deleted: None,
        serial: None,
    }
}

pub async fn logout(context: &mut Context) -> ApiResult<Outcome> {
    let token = context.access.token.clone();
    if context.access.kind == AccessKind::Personal {
        let grant = context.caller(|caller, _| caller.own_account()).map_err(super::refused)?;
        context.commit(grant, Write::CloseSession { token: token.clone() }).await?;
        context.space.data.borrow_mut().remove_session(&token);
    }
    Ok(Outcome::Fields(Map::new()))
}

/// `auth.trustedApps`: `appId@origin` pairs, comma separated; `*` stands for any app id, or any run of characters
/// of an origin.
fn is_trusted(trusted: &str, app_id: &str, origin: &str) -> bool {
    !app_id.is_empty()
        && trusted
            .split(',')
            .filter_map(|pair| pair.trim().split_once('@'))
            .any(|(app, pattern)| (app == "*" || app == app_id) && matches_pattern(pattern, origin))
}

fn matches_pattern(pattern: &str, text: &str) -> bool {
    if text.contains(char::is_whitespace) {
        return false;
    }
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part).and_then(|at| rest.get(at + part.len()..)) {
            Some(after) => rest = after,
            None => return false,
        }
    }
    rest.len() >= last.len() && rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_app_is_trusted_with_its_origin_only() {
        let trusted = "my-app@https://login.example.com, *@https://*.example.org*";
        assert!(is_trusted(trusted, "my-app", "https://login.example.com"));
        assert!(!is_trusted(trusted, "my-app", "https://login.example.com/x"));
        assert!(!is_trusted(trusted, "other", "https://login.example.com"));
        assert!(is_trusted(trusted, "other", "https://a.b.example.org:3000/reg/"));
        assert!(!is_trusted(trusted, "other", "https://example.com"));
        assert!(!is_trusted(trusted, "", "https://a.example.org"));
        assert!(is_trusted("*@*", "any", ""));
        assert!(!is_trusted("*@https://*", "any", ""));
    }
}
