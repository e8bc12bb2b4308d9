//! The record of one API call (Pryv: the `:_audit:` store). Never holds a token, a password or a body.

use serde_json::{Map, Value};

use crate::time::Seconds;

#[derive(Clone, Debug, PartialEq)]
pub struct AuditRecord {
    pub id: String,
    pub time: Seconds,
    /// Base id of the access, or a pseudo id such as `public`, `invalid`, `valid-password`.
    pub access_id: String,
    pub access_serial: Option<u32>,
    /// Method id, e.g. `events.get`.
    pub action: String,
    /// Id and message of the API error, if the call failed.
    pub error: Option<(String, String)>,
    /// `source`, `query`, `callerId`, `recordCount`, `scopedStreamIds`...: the rest of `content`.
    pub detail: Map<String, Value>,
}
