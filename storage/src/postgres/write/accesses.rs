//! Accesses: created.

use model::Access;

use super::Act;
use crate::StoreError;
use crate::base::Written;
use crate::postgres::Settings;
use crate::postgres::connection::Connection;
use crate::postgres::rows::ACCESS_COLUMNS;
use crate::postgres::text::Text;
use crate::stored::{access, map_text, taken};

pub(super) async fn create(
    connection: &mut Connection,
    settings: &Settings,
    act: &Act<'_>,
    mut access: Access,
) -> Result<Written, StoreError> {
    check_unique(connection, act, &access).await?;
    (access.created, access.modified) = (act.stamp, act.stamp);
    access.created_by = act.author.to_owned();
    access.modified_by = act.author.to_owned();
    access.integrity = settings.seals.access(|| access.to_json());
    insert(connection, act, &access).await?;
    Ok(Written::Access(Box::new(access)))
}

/// Pryv: token, and the triple name, type, deviceName, among live accesses of the user.
async fn check_unique(connection: &mut Connection, act: &Act<'_>, access: &Access) -> Result<(), StoreError> {
    let (token, id) = (Text(&access.token), Text(&access.id));
    let sql = "SELECT 1 FROM access WHERE owner = $1 AND md5(token) = md5($2) AND token = $2 AND deleted IS NULL
         AND id <> $3";
    if connection.optional(sql, &[&act.owner, &token, &id]).await?.is_some() {
        return Err(access::token_taken());
    }
    let sql = "SELECT 1 FROM access WHERE owner = $1 AND md5(name) = md5($2) AND name = $2 AND kind = $3
         AND device IS NOT DISTINCT FROM $4 AND deleted IS NULL AND id <> $5";
    let device = access.device_name.as_deref().map(Text);
    let params = &[&act.owner as _, &Text(&access.name) as _, &access.kind.as_str() as _, &device as _, &id as _];
    match connection.optional(sql, params).await? {
        Some(_) => Err(access::triple_taken(access)),
        None => Ok(()),
    }
}

async fn insert(connection: &mut Connection, act: &Act<'_>, access: &Access) -> Result<(), StoreError> {
    let sql = format!(
        "INSERT INTO access (owner, {ACCESS_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13,
         $14, $15, $16, $17, $18, $19) ON CONFLICT (owner, id) DO NOTHING"
    );
    let stored = connection
        .execute(
            &sql,
            &[
                &act.owner,
                &Text(&access.id),
                &Text(&access.token),
                &access.kind.as_str(),
                &Text(&access.name),
                &access.device_name.as_deref().map(Text),
                &access::permissions_text(&access.permissions),
                &access.expires,
                &map_text(access.client_data.as_ref())?,
                &access.alias.as_deref().map(Text),
                &access.last_used,
                &serde_json::to_string(&access.calls)?,
                &access.integrity,
                &access.created,
                &Text(&access.created_by),
                &access.modified,
                &Text(&access.modified_by),
                &access.deleted,
                &access.serial.map(u32::cast_signed),
            ],
        )
        .await?;
    if stored == 0 { Err(taken([("id", access.id.clone().into())])) } else { Ok(()) }
}
