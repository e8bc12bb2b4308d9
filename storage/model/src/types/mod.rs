//! The event types that the server knows, and what their content must look like (Pryv: event types).

use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde_json::{Map, Value, json};

use crate::event::SERIES_PREFIX;
use crate::schema::{Problem, Schema, SchemaError};

/// The time column of every series.
pub const DELTA_TIME: &str = "deltaTime";
/// The column of a series whose element is a single value.
pub const VALUE: &str = "value";

const BUNDLED: &str = include_str!("bundled.json");

/// Known types by name. Their schemas are compiled when they are first used.
#[derive(Debug)]
pub struct Catalogue {
    document: Value,
    types: BTreeMap<String, KnownType>,
}

#[derive(Debug)]
struct KnownType {
    schema: Value,
    compiled: OnceLock<Schema>,
}

#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum CatalogueError {
    #[error("the list of event types needs an object \"types\"; check the document behind service.eventTypes")]
    NoTypes,
    #[error("event type \"{name}\": {source}; the whole list is refused, check the document behind service.eventTypes")]
    Type { name: String, source: SchemaError },
}

#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ContentError {
    /// Pryv: invalid-event-type, `data: {type}`.
    #[error("Event type '{0}' not allowed for High-Frequency Series. Please use a predefined simple type")]
    UnknownSeriesType(String),
    /// Pryv: invalid-parameters-format, `data`: the problems.
    #[error("The event content's format is invalid.")]
    Problems(Vec<Problem>),
    /// Pryv: invalid-parameters-format, `data`: [`SERIES_CONTENT_TEXT`].
    #[error("The event content's format is invalid.")]
    SeriesContent,
}

/// `data` of [`ContentError::SeriesContent`].
pub const SERIES_CONTENT_TEXT: &str = "Events of type High-frequency have a read-only content";

/// What the points of a series look like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeriesType {
    /// Columns besides time, in the order of the schema.
    pub fields: Vec<SeriesField>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeriesField {
    pub name: String,
    pub kind: LeafKind,
    pub required: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeafKind {
    Number,
    Text,
    Boolean,
    /// Its cells are accepted and dropped.
    Null,
    /// `integer`, `array`, `object`...: a column that can only hold null.
    Other(String),
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SeriesTypeError {
    #[error("Event type 'series:{0}' not allowed for High-Frequency Series. Please use a predefined simple type")]
    Unknown(String),
}

impl Catalogue {
    /// The types that every server knows.
    pub fn bundled() -> Self {
        let document: Value = serde_json::from_str(BUNDLED).expect("a test reads the bundled list");
        Self::of_document(document).expect("a test reads the bundled list")
    }

    /// With the types of another document, merged over these ones; refused as a whole if one does not compile.
    pub fn merged(&self, other: &Value) -> Result<Self, CatalogueError> {
        if !other.get("types").is_some_and(Value::is_object) {
            return Err(CatalogueError::NoTypes);
        }
        let mut document = self.document.clone();
        merge(&mut document, other);
        let merged = Self::of_document(document)?;
        for (name, known) in &merged.types {
            merged.compile(name, known)?;
        }
        Ok(merged)
    }

    pub fn len(&self) -> usize {
        self.types.len()
    }

    pub fn is_empty(&self) -> bool {
        self.types.is_empty()
    }

    pub fn contains(&self, name: &str) -> bool {
        self.types.contains_key(name)
    }

    /// Whether an event of this type may have this content; `None` counts as null.
    pub fn check_content(&self, kind: &str, content: Option<&Value>) -> Result<(), ContentError> {
        if let Some(element) = kind.strip_prefix(SERIES_PREFIX) {
            if !self.contains(element) {
                return Err(ContentError::UnknownSeriesType(kind.to_owned()));
            }
            let given = content.is_some_and(|content| !content.is_null());
            return if given { Err(ContentError::SeriesContent) } else { Ok(()) };
        }
        let Some(known) = self.types.get(kind) else { return Ok(()) };
        // A bundled type always compiles and a merged one has been compiled; without a schema nothing is refused.
        let Ok(schema) = self.compile(kind, known) else { return Ok(()) };
        schema.check(content.unwrap_or(&Value::Null)).map_err(ContentError::Problems)
    }

    /// Columns of `series:<element>`. A type without a list of required fields has none that are required.
    pub fn series_columns(&self, element: &str) -> Result<SeriesType, SeriesTypeError> {
        let known = self.types.get(element).ok_or_else(|| SeriesTypeError::Unknown(element.to_owned()))?;
        let kind = leaf_kind(&known.schema);
        if !matches!(&kind, LeafKind::Other(name) if name == "object") {
            return Ok(SeriesType { fields: vec![SeriesField { name: VALUE.to_owned(), kind, required: true }] });
        }
        let required = known.schema.get("required").and_then(Value::as_array);
        let is_required = |name: &str| required.is_some_and(|names| names.iter().any(|one| one.as_str() == Some(name)));
        let properties = known.schema.get("properties").and_then(Value::as_object);
        let fields = properties.into_iter().flatten().map(|(name, schema)| SeriesField {
            name: name.clone(),
            kind: leaf_kind(schema),
            required: is_required(name),
        });
        Ok(SeriesType { fields: fields.collect() })
    }

    /// The content that the server writes into a holder event.
    pub fn series_content(&self, element: &str) -> Result<Value, SeriesTypeError> {
        let series = self.series_columns(element)?;
        let with_time = |fields: &mut dyn Iterator<Item = &SeriesField>| -> Vec<String> {
            std::iter::once(DELTA_TIME.to_owned()).chain(fields.map(|field| field.name.clone())).collect()
        };
        Ok(json!({
            "elementType": element,
            "fields": with_time(&mut series.fields.iter()),
            "required": with_time(&mut series.fields.iter().filter(|field| field.required)),
        }))
    }

    fn of_document(document: Value) -> Result<Self, CatalogueError> {
        let types = document.get("types").and_then(Value::as_object).ok_or(CatalogueError::NoTypes)?;
        let known = |(name, schema): (&String, &Value)| {
            (name.clone(), KnownType { schema: schema.clone(), compiled: OnceLock::new() })
        };
        Ok(Self { types: types.iter().map(known).collect(), document })
    }

    fn compile<'k>(&self, name: &str, known: &'k KnownType) -> Result<&'k Schema, CatalogueError> {
        if let Some(schema) = known.compiled.get() {
            return Ok(schema);
        }
        let schema = Schema::compile_part(&self.document, &known.schema)
            .map_err(|source| CatalogueError::Type { name: name.to_owned(), source })?;
        Ok(known.compiled.get_or_init(|| schema))
    }
}

fn leaf_kind(schema: &Value) -> LeafKind {
    match schema.get("type").and_then(Value::as_str) {
        Some("number") => LeafKind::Number,
        Some("string") => LeafKind::Text,
        Some("boolean") => LeafKind::Boolean,
        Some("null") => LeafKind::Null,
        Some(other) => LeafKind::Other(other.to_owned()),
        None => LeafKind::Other("any".to_owned()),
    }
}

/// Objects are merged by key, all else is replaced.
fn merge(target: &mut Value, source: &Value) {
    match (target, source) {
        (Value::Object(target), Value::Object(source)) => merge_objects(target, source),
        (target, source) => *target = source.clone(),
    }
}

fn merge_objects(target: &mut Map<String, Value>, source: &Map<String, Value>) {
    for (key, value) in source {
        match target.get_mut(key) {
            Some(present) => merge(present, value),
            None => drop(target.insert(key.clone(), value.clone())),
        }
    }
}
