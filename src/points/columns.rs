//! The columns of a series: named by the content of its event, which stays as the server wrote it, with the kinds that the
//! catalogue knows now (Pryv: spec 05, section 4.4). So a series takes points also when its type is no longer listed.

use std::sync::Arc;

use model::Event;
use model::types::{Catalogue, DELTA_TIME, LeafKind};
use serde_json::Value;
use wire::flatjson::{CellKind, Field, Schema};

/// Column lists that a shard remembers; beyond it the memory starts anew.
pub(super) const SCHEMAS_MAX: usize = 1_000;

/// Columns as the parser wants them.
#[derive(Debug)]
pub(super) struct Columns {
    schema: Arc<Schema>,
    /// Places of those that the catalogue does not know: the first cell of a post tells what such a column holds.
    unknown: Vec<usize>,
}

impl Columns {
    /// `content`: that of the holder event, `{elementType, fields, required}`.
    pub(super) fn of(content: &Value, catalogue: &Catalogue) -> Self {
        let names = |key: &str| content.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let element = content.get("elementType").and_then(Value::as_str).unwrap_or_default();
        let known = catalogue.series_columns(element).ok();
        let kind_of = |name: &str| {
            let field = known.as_ref()?.fields.iter().find(|field| field.name == name)?;
            Some(cell_kind(&field.kind))
        };
        let is_required = |name: &str| names("required").iter().any(|one| one.as_str() == Some(name));
        let columns = names("fields").iter().filter_map(Value::as_str).filter(|name| *name != DELTA_TIME);
        let kinds: Vec<(&str, Option<CellKind>)> = columns.map(|name| (name, kind_of(name))).collect();
        let unknown =
            kinds.iter().enumerate().filter(|(_, (_, kind))| kind.is_none()).map(|(place, _)| place).collect();
        let field = |(name, kind): (&str, Option<CellKind>)| Field {
            name: name.into(),
            kind: kind.unwrap_or(CellKind::Number),
            required: is_required(name),
        };
        Self { schema: Arc::new(Schema { fields: kinds.into_iter().map(field).collect() }), unknown }
    }

    /// Where the column stands in the content of the event; those of a former type come last.
    pub(super) fn place(&self, name: &str) -> usize {
        self.schema.fields.iter().position(|field| &*field.name == name).unwrap_or(usize::MAX)
    }

    /// The schema for this post.
    pub(super) fn schema(&self, body: &[u8]) -> Arc<Schema> {
        if self.unknown.is_empty() {
            return Arc::clone(&self.schema);
        }
        // What is no post is told by the parser.
        let Ok(post) = serde_json::from_slice::<Value>(body) else { return Arc::clone(&self.schema) };
        let mut schema = Schema::clone(&self.schema);
        for place in &self.unknown {
            if let Some(field) = schema.fields.get_mut(*place)
                && let Some(kind) = first_kind(&post, &field.name)
            {
                field.kind = kind;
            }
        }
        Arc::new(schema)
    }
}

fn first_kind(post: &Value, name: &str) -> Option<CellKind> {
    let place = post.get("fields")?.as_array()?.iter().position(|field| field.as_str() == Some(name))?;
    let mut cells = post.get("points")?.as_array()?.iter().filter_map(|row| row.get(place));
    cells.find_map(|cell| match cell {
        Value::Number(_) => Some(CellKind::Number),
        Value::String(_) => Some(CellKind::Text),
        Value::Bool(_) => Some(CellKind::Boolean),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    })
}

fn cell_kind(kind: &LeafKind) -> CellKind {
    match kind {
        LeafKind::Number => CellKind::Number,
        LeafKind::Text => CellKind::Text,
        LeafKind::Boolean => CellKind::Boolean,
        LeafKind::Null => CellKind::Null,
        LeafKind::Other(other) => CellKind::Unsupported(other.as_str().into()),
    }
}

/// What the columns of a holder event follow from, as one text; also tells series of the same columns.
pub(super) fn descriptor(event: &Event) -> String {
    event.content.as_ref().map(Value::to_string).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn kinds(schema: &Schema) -> Vec<(&str, CellKind, bool)> {
        schema.fields.iter().map(|field| (&*field.name, field.kind.clone(), field.required)).collect()
    }

    #[test]
    fn the_content_of_the_event_names_the_columns_and_the_catalogue_their_kinds() {
        let content = json!({
            "elementType": "position/wgs84", "fields": ["deltaTime", "longitude", "latitude"], "required": ["deltaTime", "latitude"],
        });
        let columns = Columns::of(&content, &Catalogue::bundled());
        let expected = [("longitude", CellKind::Number, false), ("latitude", CellKind::Number, true)];
        assert_eq!(kinds(&columns.schema(b"{}")), expected);
    }

    #[test]
    fn the_first_cell_of_a_column_tells_the_kind_that_the_catalogue_does_not_know() {
        let fields = ["deltaTime", "a", "b", "c"];
        let content = json!({ "elementType": "no-such/type", "fields": fields, "required": fields });
        let columns = Columns::of(&content, &Catalogue::bundled());
        let post = json!({ "fields": fields, "points": [[0, null, "x", true], [1, 2.5, "y", false]] }).to_string();
        let expected = [("a", CellKind::Number, true), ("b", CellKind::Text, true), ("c", CellKind::Boolean, true)];
        assert_eq!(kinds(&columns.schema(post.as_bytes())), expected);
        assert_eq!(columns.schema(b"{\"points\": 3").fields.len(), 3);
    }
}
