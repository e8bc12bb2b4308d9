//! The tables, and how an older database is brought up to date.
//!
//! JSON rests as text, so that pages give the bytes that were written. What clients choose rests by
//! [`super::text::Text`] and compares by bytes (`COLLATE "C"`), whatever the locale of the database.

use super::connection::Connection;
use crate::StoreError;

/// Each step brings the database from version `index` to `index + 1`. Steps are never changed, only added.
const STEPS: &[&str] = &[V1];

/// Of all programs that speak to the database, one migrates at a time ("coreward" in ASCII).
const LOCK: i64 = i64::from_be_bytes(*b"coreward");

const V1: &str = r#"
CREATE SEQUENCE series_counter MAXVALUE 281474976710655 NO CYCLE;

CREATE TABLE account (
    row BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, id TEXT COLLATE "C" NOT NULL UNIQUE, slot INTEGER NOT NULL,
    username TEXT NOT NULL, password TEXT, fields TEXT NOT NULL, erased BOOLEAN NOT NULL DEFAULT FALSE);
CREATE INDEX account_slot ON account (slot, row);
CREATE TABLE account_clock (owner BIGINT PRIMARY KEY, version BIGINT NOT NULL, stamp DOUBLE PRECISION NOT NULL)
    WITH (fillfactor = 50);
CREATE TABLE session (owner BIGINT NOT NULL, token TEXT COLLATE "C" NOT NULL, app_id TEXT NOT NULL,
    expires DOUBLE PRECISION NOT NULL, PRIMARY KEY (owner, token));
CREATE TABLE profile (owner BIGINT NOT NULL, name TEXT COLLATE "C" NOT NULL, value TEXT NOT NULL,
    PRIMARY KEY (owner, name));

CREATE TABLE event (
    row BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, owner BIGINT NOT NULL, id TEXT COLLATE "C" NOT NULL,
    streams TEXT NOT NULL, time DOUBLE PRECISION NOT NULL, end_time DOUBLE PRECISION, duration DOUBLE PRECISION,
    kind TEXT COLLATE "C" NOT NULL, content TEXT, description TEXT, client_data TEXT, attachments TEXT,
    trashed BOOLEAN NOT NULL, created DOUBLE PRECISION NOT NULL, created_by TEXT NOT NULL,
    modified DOUBLE PRECISION NOT NULL, modified_by TEXT NOT NULL, integrity TEXT, series BIGINT);
CREATE UNIQUE INDEX event_id ON event (owner, id);
CREATE INDEX event_time ON event (owner, time, row);
CREATE INDEX event_kind ON event (owner, kind, time, row);
CREATE INDEX event_modified ON event (owner, modified);
CREATE INDEX event_running ON event (owner, time, row) WHERE end_time IS NULL;
CREATE INDEX event_long ON event (owner, end_time) WHERE end_time > time;
CREATE INDEX event_trashed ON event (owner, time, row) WHERE trashed;
CREATE INDEX event_series ON event (series) WHERE series IS NOT NULL;
CREATE TABLE event_stream (owner BIGINT NOT NULL, stream TEXT COLLATE "C" NOT NULL, time DOUBLE PRECISION NOT NULL,
    event BIGINT NOT NULL, PRIMARY KEY (owner, stream, time, event));
CREATE TABLE event_deletion (owner BIGINT NOT NULL, id TEXT COLLATE "C" NOT NULL, deleted DOUBLE PRECISION NOT NULL,
    integrity TEXT, modified DOUBLE PRECISION, modified_by TEXT, doc TEXT, PRIMARY KEY (owner, id));
CREATE INDEX event_deletion_time ON event_deletion (owner, deleted);
CREATE TABLE event_version (row BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, owner BIGINT NOT NULL,
    event_id TEXT COLLATE "C" NOT NULL, modified DOUBLE PRECISION NOT NULL, modified_by TEXT NOT NULL, doc TEXT);
CREATE INDEX event_version_head ON event_version (owner, event_id, modified);

CREATE TABLE stream (
    owner BIGINT NOT NULL, id TEXT COLLATE "C" NOT NULL, name TEXT COLLATE "C" NOT NULL, parent TEXT COLLATE "C",
    client_data TEXT, trashed BOOLEAN NOT NULL, created DOUBLE PRECISION NOT NULL, created_by TEXT NOT NULL,
    modified DOUBLE PRECISION NOT NULL, modified_by TEXT NOT NULL, PRIMARY KEY (owner, id));
CREATE INDEX stream_parent ON stream (owner, parent);
CREATE TABLE stream_deletion (owner BIGINT NOT NULL, id TEXT COLLATE "C" NOT NULL, deleted DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (owner, id));
CREATE INDEX stream_deletion_time ON stream_deletion (owner, deleted);

CREATE TABLE access (
    row BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, owner BIGINT NOT NULL, id TEXT COLLATE "C" NOT NULL,
    token TEXT COLLATE "C" NOT NULL, kind TEXT NOT NULL, name TEXT COLLATE "C" NOT NULL, device TEXT COLLATE "C",
    permissions TEXT NOT NULL, expires DOUBLE PRECISION, client_data TEXT, alias TEXT, last_used DOUBLE PRECISION,
    calls TEXT NOT NULL, integrity TEXT, created DOUBLE PRECISION NOT NULL, created_by TEXT NOT NULL,
    modified DOUBLE PRECISION NOT NULL, modified_by TEXT NOT NULL, deleted DOUBLE PRECISION, serial INTEGER);
CREATE UNIQUE INDEX access_id ON access (owner, id);
-- Names may be longer than an index takes: the digest leads, the text decides.
CREATE INDEX access_name ON access (owner, md5(name)) WHERE deleted IS NULL;
CREATE INDEX access_token ON access (owner, md5(token)) WHERE deleted IS NULL;

CREATE TABLE audit (
    row BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, owner BIGINT NOT NULL, time DOUBLE PRECISION NOT NULL,
    id TEXT NOT NULL, access TEXT COLLATE "C" NOT NULL, serial INTEGER, action TEXT NOT NULL, kind TEXT NOT NULL,
    content TEXT NOT NULL);
CREATE INDEX audit_time ON audit (owner, time, row);
CREATE INDEX audit_access ON audit (owner, access, time, row);
"#;

/// Makes the tables, or brings them up to date, and compares the number of slots, which is fixed for ever.
pub(super) async fn migrate(connection: &mut Connection, schema: &str, slots: u16) -> Result<(), StoreError> {
    connection.run("BEGIN; SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0").await?;
    connection.execute("SELECT pg_advisory_xact_lock($1)", &[&LOCK]).await?;
    check_encoding(connection).await?;
    if connection.optional("SELECT 1 FROM pg_namespace WHERE nspname = $1", &[&schema]).await?.is_none() {
        connection.run(&format!("CREATE SCHEMA \"{schema}\"")).await?;
    }
    let steps = steps(connection, schema).await?;
    connection.run(&steps).await?;
    fix_slot_count(connection, slots).await?;
    connection.run("COMMIT").await
}

/// The steps that the database has not seen, and the new version.
async fn steps(connection: &mut Connection, schema: &str) -> Result<String, StoreError> {
    const MAKE_META: &str = "CREATE TABLE meta (name TEXT PRIMARY KEY, value BIGINT NOT NULL);
        INSERT INTO meta (name, value) VALUES ('schema_version', 0);";
    let meta = connection.optional("SELECT to_regclass($1)::text", &[&format!("\"{schema}\".meta")]).await?;
    let is_made = meta.map(|row| row.try_get::<_, Option<&str>>(0).map(|name| name.is_some())).transpose()?;
    let found: i64 = match is_made {
        Some(true) => {
            let row = connection.optional("SELECT value FROM meta WHERE name = 'schema_version'", &[]).await?;
            row.ok_or_else(|| StoreError::Corrupt("the database has no schema version".into()))?.try_get(0)?
        }
        _ => {
            connection.run(MAKE_META).await?;
            0
        }
    };
    let found = usize::try_from(found).map_err(|_| StoreError::Corrupt("a negative schema version".into()))?;
    let Some(unseen) = STEPS.get(found..) else {
        return Err(StoreError::Unavailable(format!(
            "the database has schema version {found}, this program knows {}: start a newer program",
            STEPS.len()
        )));
    };
    let version = format!("UPDATE meta SET value = {} WHERE name = 'schema_version'", STEPS.len());
    Ok(format!("{}{version}", unseen.concat()))
}

async fn check_encoding(connection: &mut Connection) -> Result<(), StoreError> {
    let row = connection.optional("SELECT current_setting('server_encoding')", &[]).await?;
    let encoding: Option<String> = row.map(|row| row.try_get(0)).transpose()?;
    match encoding.as_deref() {
        Some("UTF8") => Ok(()),
        other => Err(StoreError::Unavailable(format!(
            "the database's encoding is {}: create it with ENCODING 'UTF8'",
            other.unwrap_or("unknown")
        ))),
    }
}

/// Users' places depend on it.
async fn fix_slot_count(connection: &mut Connection, wanted: u16) -> Result<(), StoreError> {
    let wanted = i64::from(wanted);
    let sql = "INSERT INTO meta (name, value) VALUES ('slots', $1) ON CONFLICT (name) DO NOTHING";
    connection.execute(sql, &[&wanted]).await?;
    let row = connection.optional("SELECT value FROM meta WHERE name = 'slots'", &[]).await?;
    match row.map(|row| row.try_get::<_, i64>(0)).transpose()? {
        Some(found) if found == wanted => Ok(()),
        found => Err(StoreError::Unavailable(format!(
            "the database was made for {} slots, the configuration says {wanted}: set it back",
            found.unwrap_or_default()
        ))),
    }
}
