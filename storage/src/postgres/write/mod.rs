//! The commands. The first statement of each locks the user's clock, so that the writes of a user follow each other, whichever
//! node they come from; checks of what is taken need no further care.

mod accesses;
mod account;
pub(super) mod audit;
mod events;
mod linked;
mod streams;

use model::Grant;

use super::connection::Connection;
use super::text::Text;
use super::{Settings, not_yet};
use crate::StoreError;
use crate::base::{Write, WriteCall, Written};
use crate::stored::next_stamp;

/// What a command needs beside its own data: whose rows, who acts, when.
struct Act<'a> {
    owner: i64,
    author: &'a str,
    stamp: f64,
}

struct Clock {
    owner: i64,
    version: i64,
    stamp: f64,
}

/// Runs one command in the open savepoint.
pub(super) async fn apply(
    connection: &mut Connection,
    settings: &Settings,
    call: WriteCall,
) -> Result<Written, StoreError> {
    let WriteCall { grant, write, audit, now, batch: _ } = call;
    if !grant.may_write() {
        return Err(StoreError::NotGranted);
    }
    let (owner, written) = match write {
        Write::CreateAccount(account) => account::create(connection, &grant, &account).await?,
        write => {
            let clock = lock_clock(connection, &grant).await?;
            (clock.owner, change(connection, settings, &grant, clock, write, now).await?)
        }
    };
    if let Some(record) = audit {
        audit::insert(connection, owner, record, &written).await?;
    }
    Ok(written)
}

async fn change(
    connection: &mut Connection,
    settings: &Settings,
    grant: &Grant,
    clock: Clock,
    write: Write,
    now: f64,
) -> Result<Written, StoreError> {
    let changes_space = write.changes_space();
    let act = Act { owner: clock.owner, author: grant.author().as_str(), stamp: next_stamp(clock.stamp, now) };
    let written = match write {
        Write::CreateEvent { event } => events::create(connection, settings, &act, *event).await,
        Write::CreateStream { stream } => streams::create(connection, &act, *stream).await,
        Write::DeleteStreams { ids, linked } => streams::delete(connection, settings, &act, &ids, &linked).await,
        Write::CreateAccess { access } => accesses::create(connection, settings, &act, *access).await,
        _ => Err(not_yet()),
    }?;
    let is_new_space = changes_space && !matches!(written, Written::LinkedEventsExist);
    let version = clock.version + i64::from(is_new_space);
    connection
        .execute(
            "UPDATE account_clock SET version = $2, stamp = $3 WHERE owner = $1",
            &[&act.owner, &version, &act.stamp],
        )
        .await?;
    Ok(written)
}

/// Refuses a grant of another version of the space.
async fn lock_clock(connection: &mut Connection, grant: &Grant) -> Result<Clock, StoreError> {
    let row = connection
        .optional(
            "SELECT c.owner, c.version, c.stamp FROM account a JOIN account_clock c ON c.owner = a.row
             WHERE a.id = $1 AND a.slot = $2 AND NOT a.erased FOR NO KEY UPDATE OF c",
            &[&Text(grant.user().as_str()), &i32::from(grant.slot().0)],
        )
        .await?
        .ok_or(StoreError::NotFound)?;
    let clock = Clock { owner: row.try_get(0)?, version: row.try_get(1)?, stamp: row.try_get(2)? };
    if grant.space_version().is_some_and(|seen| seen != clock.version.cast_unsigned()) {
        return Err(StoreError::Stale);
    }
    Ok(clock)
}
