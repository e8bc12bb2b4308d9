//! From a schema document to its nodes. Unknown keywords are tolerated, as is a schema that is not an object
//! where the catalogue of types is known to have one.

use std::collections::HashMap;

use fancy_regex::{Regex, RegexBuilder};
use serde_json::{Map, Value};

use super::{Additional, Custom, Dependency, Items, Node, NumberRule, Schema, SchemaError, Type};

pub(super) const SCHEMA_DEPTH_MAX: usize = 64;

/// Steps that a pattern with look-around may take on one text; beyond, the text does not match.
const PATTERN_STEPS_MAX: usize = 100_000;

pub(super) fn compile(document: &Value, part: &Value) -> Result<Schema, SchemaError> {
    let mut compiler = Compiler { document, nodes: Vec::new(), references: HashMap::new() };
    let root = compiler.node(part, "#", None, 0)?;
    Ok(Schema { nodes: compiler.nodes, root })
}

struct Compiler<'a> {
    document: &'a Value,
    nodes: Vec<Node>,
    /// Targets of `$ref` that have their node already, or are being compiled.
    references: HashMap<String, usize>,
}

impl Compiler<'_> {
    fn node(&mut self, schema: &Value, at: &str, field: Option<&str>, depth: usize) -> Result<usize, SchemaError> {
        let position = self.nodes.len();
        self.nodes.push(Node::default());
        self.fill(position, schema, at, field, depth)?;
        Ok(position)
    }

    fn fill(
        &mut self,
        position: usize,
        schema: &Value,
        at: &str,
        field: Option<&str>,
        depth: usize,
    ) -> Result<(), SchemaError> {
        if depth > SCHEMA_DEPTH_MAX {
            return Err(SchemaError::TooDeep { at: at.to_owned() });
        }
        // `true` and `false` as schemas are of later drafts, and cheap to accept.
        let empty = Map::new();
        let map = match schema {
            Value::Object(map) => map,
            Value::Bool(true) => &empty,
            _ => return Err(wrong(at, "schema", "an object")),
        };
        let mut node = simple_keywords(map, at)?;
        node.custom = custom_of(map, at, field)?;
        node.reference = self.reference(map, at, depth)?;
        self.nested_keywords(&mut node, map, at, depth)?;
        if let Some(place) = self.nodes.get_mut(position) {
            *place = node;
        }
        Ok(())
    }

    fn reference(&mut self, map: &Map<String, Value>, at: &str, depth: usize) -> Result<Option<usize>, SchemaError> {
        let Some(Value::String(reference)) = map.get("$ref") else { return Ok(None) };
        if let Some(position) = self.references.get(reference) {
            return Ok(Some(*position));
        }
        let missing = || SchemaError::Reference { at: at.to_owned(), reference: reference.clone() };
        let pointer = reference.strip_prefix('#').ok_or_else(missing)?;
        let target = self.document.pointer(pointer).ok_or_else(missing)?;
        let position = self.nodes.len();
        self.nodes.push(Node::default());
        self.references.insert(reference.clone(), position);
        self.fill(position, target, reference, None, depth + 1)?;
        Ok(Some(position))
    }

    fn nested_keywords(
        &mut self,
        node: &mut Node,
        map: &Map<String, Value>,
        at: &str,
        depth: usize,
    ) -> Result<(), SchemaError> {
        let below = depth + 1;
        for (name, schema) in object(map, "properties", at)?.into_iter().flatten() {
            let position = self.node(schema, &format!("{at}/properties/{name}"), Some(name), below)?;
            node.properties.push((name.clone(), position));
        }
        for (pattern, schema) in object(map, "patternProperties", at)?.into_iter().flatten() {
            let position = self.node(schema, &format!("{at}/patternProperties/{pattern}"), None, below)?;
            node.pattern_properties.push((regex(pattern, at)?, position));
        }
        node.additional = self.additional(map.get("additionalProperties"), at, below)?;
        node.additional_items = self.additional(map.get("additionalItems"), at, below)?;
        node.items = match map.get("items") {
            None => Items::Free,
            Some(Value::Array(schemas)) => Items::ByPosition(self.list(schemas, &format!("{at}/items"), below)?),
            Some(schema) => Items::All(self.node(schema, &format!("{at}/items"), None, below)?),
        };
        node.all_of = self.alternatives(map, "allOf", at, below)?;
        node.any_of = self.alternatives(map, "anyOf", at, below)?;
        node.one_of = self.alternatives(map, "oneOf", at, below)?;
        if let Some(schema) = map.get("not") {
            node.not = Some(self.node(schema, &format!("{at}/not"), None, below)?);
        }
        for (name, value) in object(map, "dependencies", at)?.into_iter().flatten() {
            let dependency = match value {
                Value::Array(_) => Dependency::Properties(texts(Some(value), "dependencies", at)?),
                schema => Dependency::Schema(self.node(schema, &format!("{at}/dependencies/{name}"), None, below)?),
            };
            node.dependencies.push((name.clone(), dependency));
        }
        Ok(())
    }

    fn additional(&mut self, value: Option<&Value>, at: &str, depth: usize) -> Result<Additional, SchemaError> {
        match value {
            Some(Value::Bool(false)) => Ok(Additional::Refused),
            Some(schema @ Value::Object(_)) => Ok(Additional::Like(self.node(schema, at, None, depth)?)),
            // Two published types carry a text here, which is not valid schema: they are meant to be open.
            _ => Ok(Additional::Free),
        }
    }

    fn alternatives(
        &mut self,
        map: &Map<String, Value>,
        keyword: &str,
        at: &str,
        depth: usize,
    ) -> Result<Vec<usize>, SchemaError> {
        match map.get(keyword) {
            None => Ok(Vec::new()),
            Some(Value::Array(schemas)) => self.list(schemas, &format!("{at}/{keyword}"), depth),
            Some(_) => Err(wrong(at, keyword, "an array of schemas")),
        }
    }

    fn list(&mut self, schemas: &[Value], at: &str, depth: usize) -> Result<Vec<usize>, SchemaError> {
        schemas.iter().map(|schema| self.node(schema, at, None, depth)).collect()
    }
}

fn simple_keywords(map: &Map<String, Value>, at: &str) -> Result<Node, SchemaError> {
    let pattern = match map.get("pattern") {
        None => None,
        Some(Value::String(pattern)) => Some((pattern.clone(), regex(pattern, at)?)),
        Some(_) => return Err(wrong(at, "pattern", "a text")),
    };
    let constants = match map.get("enum") {
        None => None,
        Some(Value::Array(values)) => Some(values.clone()),
        Some(_) => return Err(wrong(at, "enum", "an array")),
    };
    Ok(Node {
        types: types(map.get("type"), at)?,
        constants,
        constant: map.get("const").cloned(),
        numbers: number_rules(map, at)?,
        length_min: count(map, "minLength", at)?,
        length_max: count(map, "maxLength", at)?,
        pattern,
        format: map.get("format").and_then(Value::as_str).map(str::to_owned),
        items_min: count(map, "minItems", at)?,
        items_max: count(map, "maxItems", at)?,
        items_unique: map.get("uniqueItems") == Some(&Value::Bool(true)),
        // In draft 3 `required` is a boolean of the property; tolerated without effect.
        required: match map.get("required") {
            Some(Value::Bool(_)) => Vec::new(),
            value => texts(value, "required", at)?,
        },
        properties_min: count(map, "minProperties", at)?,
        properties_max: count(map, "maxProperties", at)?,
        ..Node::default()
    })
}

fn types(value: Option<&Value>, at: &str) -> Result<Vec<Type>, SchemaError> {
    let names = match value {
        Some(Value::String(name)) => vec![name.clone()],
        value => texts(value, "type", at)?,
    };
    let expected = "one of null, boolean, integer, number, string, array, object, or an array of them";
    names.iter().map(|name| Type::parse(name).ok_or_else(|| wrong(at, "type", expected))).collect()
}

fn number_rules(map: &Map<String, Value>, at: &str) -> Result<Vec<NumberRule>, SchemaError> {
    let number = |keyword: &str| match map.get(keyword) {
        None => Ok(None),
        Some(value) => match value.as_f64() {
            Some(limit) => Ok(Some((limit, value.clone()))),
            None => Err(wrong(at, keyword, "a number")),
        },
    };
    // Draft 4 has a flag beside the limit, later drafts a limit of its own.
    let flag = |keyword: &str| map.get(keyword) == Some(&Value::Bool(true));
    let later =
        |keyword: &str| if map.get(keyword).is_some_and(Value::is_boolean) { Ok(None) } else { number(keyword) };
    let mut rules = Vec::new();
    for (found, exclusive) in [(number("minimum")?, flag("exclusiveMinimum")), (later("exclusiveMinimum")?, true)] {
        rules.extend(found.map(|(limit, shown)| NumberRule::Minimum { limit, shown, exclusive }));
    }
    for (found, exclusive) in [(number("maximum")?, flag("exclusiveMaximum")), (later("exclusiveMaximum")?, true)] {
        rules.extend(found.map(|(limit, shown)| NumberRule::Maximum { limit, shown, exclusive }));
    }
    if let Some((factor, shown)) = number("multipleOf")? {
        if factor <= 0.0 {
            return Err(wrong(at, "multipleOf", "a number above 0"));
        }
        rules.push(NumberRule::MultipleOf { factor, shown });
    }
    Ok(rules)
}

fn custom_of(map: &Map<String, Value>, at: &str, field: Option<&str>) -> Result<Option<Custom>, SchemaError> {
    let (Some(field), Some(messages)) = (field, object(map, "messages", at)?) else { return Ok(None) };
    let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
    let mut custom = Custom { field: field.to_owned(), messages: HashMap::new() };
    for (keyword, value) in messages {
        let (Some(code), Some(message)) = (text(value, "code"), text(value, "message")) else {
            return Err(wrong(at, "messages", "an object of {code, message} by keyword code"));
        };
        custom.messages.insert(keyword.clone(), (code, message));
    }
    Ok(Some(custom))
}

fn count(map: &Map<String, Value>, keyword: &str, at: &str) -> Result<Option<u64>, SchemaError> {
    match map.get(keyword) {
        None => Ok(None),
        Some(value) => value.as_u64().map(Some).ok_or_else(|| wrong(at, keyword, "a whole number, 0 or more")),
    }
}

fn object<'m>(
    map: &'m Map<String, Value>,
    keyword: &str,
    at: &str,
) -> Result<Option<&'m Map<String, Value>>, SchemaError> {
    match map.get(keyword) {
        None => Ok(None),
        Some(Value::Object(found)) => Ok(Some(found)),
        Some(_) => Err(wrong(at, keyword, "an object")),
    }
}

fn texts(value: Option<&Value>, keyword: &str, at: &str) -> Result<Vec<String>, SchemaError> {
    let Some(value) = value else { return Ok(Vec::new()) };
    let items = value.as_array().ok_or_else(|| wrong(at, keyword, "an array of texts"))?;
    let text = |item: &Value| item.as_str().map(str::to_owned).ok_or_else(|| wrong(at, keyword, "an array of texts"));
    items.iter().map(text).collect()
}

fn regex(pattern: &str, at: &str) -> Result<Regex, SchemaError> {
    RegexBuilder::new(pattern).backtrack_limit(PATTERN_STEPS_MAX).build().map_err(|error| SchemaError::Pattern {
        at: at.to_owned(),
        pattern: pattern.to_owned(),
        reason: error.to_string(),
    })
}

fn wrong(at: &str, keyword: &str, expected: &'static str) -> SchemaError {
    SchemaError::Keyword { at: at.to_owned(), keyword: keyword.to_owned(), expected }
}
