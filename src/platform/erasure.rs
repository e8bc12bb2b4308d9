//! `auth.delete`: an account is erased (spec 02, section 8). The rows go in one commit, which makes the user
//! unreachable; then every shard forgets it; the name is freed last, so that nobody can take it while traces are left.

use std::rc::Rc;

use model::{AccessKind, Grant, Right, ServerTask, UserEntry};
use serde_json::{Map, Value, json};
use shards::Lane;
use storage::StoreError;
use storage::base::{Write, WriteCall, Written};
use storage::platform::Command;

use crate::edge::{Incoming, parse_auth};
use crate::error::{ApiError, ApiResult};
use crate::node::{Message, Shard};
use crate::reply;
use crate::routes::is_admin;

/// How often a full mailbox is tried again; what a shard remembers of an erased user is only a short cut to a 404.
const FORGET_TRIES: usize = 100;

pub async fn delete_user(shard: &Rc<Shard>, incoming: &Incoming, username: &str) -> ApiResult<Map<String, Value>> {
    let entry = shard.resolve(username).await?;
    authorize(shard, incoming, &entry).await?;
    let keep_audit = shard.node.config.audit.keep_on_user_delete;
    let grant = Grant::server_itself(ServerTask::Account, entry.user.clone(), entry.slot, Right::Write);
    let write = Write::EraseAccount { keep_audit };
    let call = WriteCall { grant, write, audit: None, batch: None, now: reply::now() };
    let series = match shard.node.base.write(call).await.unwrap_or(Err(StoreError::Busy)) {
        Ok(Written::Erased { series }) => series,
        Ok(other) => return Err(ApiError::unexpected(format!("an account was erased, {other:?} came back"))),
        // Erased before, but its name was not freed: that is what is left to do.
        Err(StoreError::NotFound) => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    shard.node.forget_account(&series);
    remove_files(shard, &entry).await?;
    for index in 0..shard.handle.count {
        let mut message = Message::ForgetUser { user: entry.user.clone(), series: series.clone() };
        for _ in 0..FORGET_TRIES {
            match shard.handle.mailboxes.try_send(index, message) {
                Ok(()) => break,
                Err(refused) => message = refused.into_message(),
            }
            shards::rt::breathe().await;
        }
    }
    shard.forget_user(&entry.user);
    shard.platform(Command::Release { user: entry.user.clone() }).await?;
    let out = json!({ "userDeletion": { "username": entry.username } });
    Ok(out.as_object().cloned().unwrap_or_default())
}

/// The name is not free before the files are gone: an attempt that fails here can be made again.
async fn remove_files(shard: &Shard, entry: &UserEntry) -> ApiResult<()> {
    let (files, user) = (shard.node.files.clone(), entry.user.clone());
    let removed = shard.node.pool.run(Lane::File, move || files.remove_user(&user)).await;
    removed.map_err(|_| ApiError::busy())?.map_err(ApiError::unexpected)
}

/// `user-account.delete` says who may: the admin key, or the user's own personal token.
async fn authorize(shard: &Rc<Shard>, incoming: &Incoming, entry: &UserEntry) -> ApiResult<()> {
    let may = &shard.node.config.user_account_delete;
    let auth = incoming.authorization.as_deref().and_then(parse_auth).filter(|auth| !auth.is_key_bound);
    let token = auth.map(|auth| auth.token);
    if may.admin_token && is_admin(shard, token.as_deref()) {
        return Ok(());
    }
    if !may.personal_token {
        return Err(ApiError::unknown_route(&incoming.path));
    }
    let space = shard.space(entry).await?;
    let session_s = shard.node.session_max_s();
    let found = space.data.borrow_mut().authenticate(&token.unwrap_or_default(), reply::now(), session_s);
    match found {
        Ok(access) if access.kind == AccessKind::Personal => Ok(()),
        _ => Err(ApiError::invalid_token(403, "Cannot find access from token.")),
    }
}
