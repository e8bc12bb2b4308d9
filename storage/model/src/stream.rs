//! The stream: a node of the tree that gives events their context (Pryv: streams).

use serde_json::{Map, Value};

use crate::time::{Seconds, number};

#[derive(Clone, Debug, PartialEq, Default)]
pub struct Stream {
    pub id: String,
    pub name: String,
    pub parent_id: Option<String>,
    pub client_data: Option<Map<String, Value>>,
    pub trashed: bool,
    pub created: Seconds,
    pub created_by: String,
    pub modified: Seconds,
    pub modified_by: String,
}

/// What is left of a deleted stream (Pryv: `streamDeletions`).
#[derive(Clone, Debug, PartialEq)]
pub struct StreamDeletion {
    pub id: String,
    pub deleted: Seconds,
}

impl Stream {
    /// The stream as the API shows it, without `children`.
    pub fn to_json(&self) -> Map<String, Value> {
        let mut out = Map::new();
        out.insert("id".into(), self.id.clone().into());
        out.insert("name".into(), self.name.clone().into());
        out.insert("parentId".into(), self.parent_id.clone().map_or(Value::Null, Value::from));
        if let Some(data) = &self.client_data {
            out.insert("clientData".into(), data.clone().into());
        }
        if self.trashed {
            out.insert("trashed".into(), true.into());
        }
        out.insert("created".into(), number(self.created));
        out.insert("createdBy".into(), self.created_by.clone().into());
        out.insert("modified".into(), number(self.modified));
        out.insert("modifiedBy".into(), self.modified_by.clone().into());
        out
    }
}

impl StreamDeletion {
    pub fn to_json(&self) -> Value {
        let mut out = Map::new();
        out.insert("id".into(), self.id.clone().into());
        out.insert("deleted".into(), number(self.deleted));
        Value::Object(out)
    }
}
