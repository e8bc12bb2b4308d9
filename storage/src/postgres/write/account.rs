//! The account itself.

use model::{Grant, NewAccount};

use crate::StoreError;
use crate::base::Written;
use crate::postgres::connection::Connection;
use crate::postgres::not_yet;
use crate::postgres::text::Text;
use crate::stored::taken;

/// The version of a fresh account's space.
const FIRST_VERSION: i64 = 1;

/// The account's row and the answer.
pub(super) async fn create(
    connection: &mut Connection,
    grant: &Grant,
    account: &NewAccount,
) -> Result<(i64, Written), StoreError> {
    if account.session.is_some() {
        return Err(not_yet());
    }
    let id = grant.user().as_str();
    let fields = serde_json::to_string(&account.fields)?;
    let row = connection
        .optional(
            "INSERT INTO account (id, slot, username, password, fields) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (id) DO NOTHING RETURNING row",
            &[&Text(id), &i32::from(grant.slot().0), &Text(&account.username), &account.password.0, &fields],
        )
        .await?
        .ok_or_else(|| taken([("id", id.into())]))?;
    let owner: i64 = row.try_get(0)?;
    connection
        .execute("INSERT INTO account_clock (owner, version, stamp) VALUES ($1, $2, 0)", &[&owner, &FIRST_VERSION])
        .await?;
    Ok((owner, Written::Done))
}
