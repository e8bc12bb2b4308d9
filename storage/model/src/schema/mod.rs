//! Checks of JSON values against JSON-schema (draft 4), reported in the form of Pryv's API.
//!
//! An own validator, because the API promises one entry per problem, in an order and with texts of its own, and
//! leniency with keywords that are not valid schema; no crate reports so. Extension: a property's schema may carry
//! `messages: {<CODE>: {code, message}}`; all problems of that property then name it in `param` and have no `params`.

mod check;
mod compile;
mod format;

use std::collections::HashMap;

use fancy_regex::Regex;
use serde_json::{Map, Value};

/// A compiled schema. Nodes refer to one another by position, so that `$ref` may be recursive.
#[derive(Debug)]
pub struct Schema {
    nodes: Vec<Node>,
    root: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    #[error("schema at {at}: \"{keyword}\" must be {expected}")]
    Keyword { at: String, keyword: String, expected: &'static str },
    #[error("schema at {at}: the pattern {pattern:?} is not a regular expression: {reason}")]
    Pattern { at: String, pattern: String, reason: String },
    #[error("schema at {at}: nothing is found at \"{reference}\"; only references inside the same document work")]
    Reference { at: String, reference: String },
    #[error("schema at {at}: nested too deep; the maximum is {} levels", compile::SCHEMA_DEPTH_MAX)]
    TooDeep { at: String },
}

/// One violation, as `error.data` lists it.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    /// Upper-case keyword, or the code of a custom message.
    pub code: String,
    /// Argument of the keyword; `None` for fields with custom messages.
    pub params: Option<Vec<Value>>,
    pub message: String,
    /// `#` and a JSON pointer; for a missing property its parent's, with `/` at the end.
    pub path: String,
    /// Name of the field, if it has custom messages.
    pub param: Option<String>,
}

impl Schema {
    pub fn compile(document: &Value) -> Result<Self, SchemaError> {
        compile::compile(document, document)
    }

    /// Compiles a part of `document`, to which `$ref` refers.
    pub fn compile_part(document: &Value, part: &Value) -> Result<Self, SchemaError> {
        compile::compile(document, part)
    }

    /// All problems of the value, not only the first.
    pub fn check(&self, value: &Value) -> Result<(), Vec<Problem>> {
        let problems = check::problems(self, value);
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }
}

impl Problem {
    pub fn to_json(&self) -> Value {
        let mut out = Map::new();
        out.insert("code".into(), self.code.clone().into());
        if let Some(params) = &self.params {
            out.insert("params".into(), params.clone().into());
        }
        out.insert("message".into(), self.message.clone().into());
        out.insert("path".into(), self.path.clone().into());
        if let Some(param) = &self.param {
            out.insert("param".into(), param.clone().into());
        }
        Value::Object(out)
    }
}

/// Keywords of one schema object.
#[derive(Debug, Default)]
struct Node {
    reference: Option<usize>,
    types: Vec<Type>,
    constants: Option<Vec<Value>>,
    constant: Option<Value>,
    numbers: Vec<NumberRule>,
    length_min: Option<u64>,
    length_max: Option<u64>,
    pattern: Option<(String, Regex)>,
    format: Option<String>,
    items: Items,
    additional_items: Additional,
    items_min: Option<u64>,
    items_max: Option<u64>,
    items_unique: bool,
    properties: Vec<(String, usize)>,
    pattern_properties: Vec<(Regex, usize)>,
    additional: Additional,
    required: Vec<String>,
    properties_min: Option<u64>,
    properties_max: Option<u64>,
    dependencies: Vec<(String, Dependency)>,
    all_of: Vec<usize>,
    any_of: Vec<usize>,
    one_of: Vec<usize>,
    not: Option<usize>,
    custom: Option<Custom>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Type {
    Null,
    Boolean,
    Integer,
    Number,
    String,
    Array,
    Object,
}

#[derive(Debug)]
enum NumberRule {
    Minimum { limit: f64, shown: Value, exclusive: bool },
    Maximum { limit: f64, shown: Value, exclusive: bool },
    MultipleOf { factor: f64, shown: Value },
}

#[derive(Debug, Default)]
enum Items {
    #[default]
    Free,
    All(usize),
    ByPosition(Vec<usize>),
}

/// What is not named by the schema.
#[derive(Debug, Default)]
enum Additional {
    #[default]
    Free,
    Refused,
    Like(usize),
}

#[derive(Debug)]
enum Dependency {
    Properties(Vec<String>),
    Schema(usize),
}

/// The extension for custom messages: by keyword code, a code and a text.
#[derive(Debug)]
struct Custom {
    field: String,
    messages: HashMap<String, (String, String)>,
}

impl Type {
    const ALL: [(&'static str, Self); 7] = [
        ("null", Self::Null),
        ("boolean", Self::Boolean),
        ("integer", Self::Integer),
        ("number", Self::Number),
        ("string", Self::String),
        ("array", Self::Array),
        ("object", Self::Object),
    ];

    fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind)
    }

    fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| name)
    }

    fn accepts(self, value: &Value) -> bool {
        match self {
            Self::Null => value.is_null(),
            Self::Boolean => value.is_boolean(),
            Self::Integer => value.as_f64().is_some_and(|number| number.fract() == 0.0),
            Self::Number => value.is_number(),
            Self::String => value.is_string(),
            Self::Array => value.is_array(),
            Self::Object => value.is_object(),
        }
    }
}
