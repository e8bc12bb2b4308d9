//! A value against the nodes of a schema. Order and texts of the problems are those that Pryv's clients have seen.

use serde_json::{Map, Value};

use super::format::fits;
use super::{Additional, Dependency, Items, Node, NumberRule, Problem, Schema, Type};

/// Levels of nodes under check, references included; a schema that only refers to itself ends here.
const CHECK_DEPTH_MAX: usize = 256;

/// Problems reported for one value: a long array of wrong items must not become a longer answer.
pub(super) const PROBLEMS_MAX: usize = 1_000;

pub(super) fn problems(schema: &Schema, value: &Value) -> Vec<Problem> {
    let mut check = Check { schema, problems: Vec::new(), depth: 0 };
    check.value(schema.root, value, &Path::Root);
    check.problems
}

/// The way to the value under check, written out only when there is something to report.
enum Path<'a> {
    Root,
    Property(&'a Path<'a>, &'a str),
    Item(&'a Path<'a>, usize),
}

impl Path<'_> {
    fn write(&self) -> String {
        match self {
            Self::Root => "#".to_owned(),
            Self::Property(parent, name) => {
                format!("{}/{}", parent.write(), name.replace('~', "~0").replace('/', "~1"))
            }
            Self::Item(parent, position) => format!("{}/{position}", parent.write()),
        }
    }
}

struct Check<'s> {
    schema: &'s Schema,
    problems: Vec<Problem>,
    depth: usize,
}

impl<'s> Check<'s> {
    fn value(&mut self, position: usize, value: &Value, path: &Path<'_>) {
        let Some(node) = self.schema.nodes.get(position) else { return };
        if self.depth >= CHECK_DEPTH_MAX || self.problems.len() >= PROBLEMS_MAX {
            return;
        }
        self.depth += 1;
        // Beside `$ref` nothing else counts in draft 4.
        if let Some(reference) = node.reference {
            self.value(reference, value, path);
        } else {
            self.node(node, value, path);
        }
        self.depth -= 1;
    }

    fn node(&mut self, node: &'s Node, value: &Value, path: &Path<'_>) {
        if !node.types.is_empty() && !node.types.iter().any(|kind| kind.accepts(value)) {
            let names: Vec<&str> = node.types.iter().map(|kind| Type::as_str(*kind)).collect();
            let message = format!("must be {}", names.join(","));
            self.report(node, path, "INVALID_TYPE", vec![names.into()], message);
        }
        match value {
            Value::Number(number) => self.number(node, number.as_f64().unwrap_or_default(), path),
            Value::String(text) => self.text(node, text, path),
            _ => {}
        }
        self.constants(node, value, path);
        self.combinations(node, value, path);
        match value {
            Value::Array(items) => self.array(node, items, path),
            Value::Object(map) => self.object(node, map, path),
            _ => {}
        }
    }

    fn number(&mut self, node: &'s Node, number: f64, path: &Path<'_>) {
        for rule in &node.numbers {
            let (ok, code, shown, text) = match rule {
                NumberRule::Minimum { limit, shown, exclusive: false } => {
                    (number >= *limit, "MINIMUM", shown, "must be >=")
                }
                NumberRule::Minimum { limit, shown, exclusive: true } => {
                    (number > *limit, "MINIMUM_EXCLUSIVE", shown, "must be >")
                }
                NumberRule::Maximum { limit, shown, exclusive: false } => {
                    (number <= *limit, "MAXIMUM", shown, "must be <=")
                }
                NumberRule::Maximum { limit, shown, exclusive: true } => {
                    (number < *limit, "MAXIMUM_EXCLUSIVE", shown, "must be <")
                }
                NumberRule::MultipleOf { factor, shown } => {
                    ((number / factor).fract() == 0.0, "MULTIPLE_OF", shown, "must be multiple of")
                }
            };
            if !ok {
                self.report(node, path, code, vec![shown.clone()], format!("{text} {shown}"));
            }
        }
    }

    fn text(&mut self, node: &'s Node, text: &str, path: &Path<'_>) {
        let length = || u64::try_from(text.chars().count()).unwrap_or(u64::MAX);
        if let Some(max) = node.length_max.filter(|max| length() > *max) {
            self.report(
                node,
                path,
                "MAX_LENGTH",
                vec![max.into()],
                format!("must NOT have more than {max} characters"),
            );
        }
        if let Some(min) = node.length_min.filter(|min| length() < *min) {
            self.report(
                node,
                path,
                "MIN_LENGTH",
                vec![min.into()],
                format!("must NOT have fewer than {min} characters"),
            );
        }
        if let Some((source, regex)) = &node.pattern
            && !regex.is_match(text).unwrap_or(false)
        {
            self.report(node, path, "PATTERN", vec![source.clone().into()], format!("must match pattern \"{source}\""));
        }
        if let Some(format) = node.format.as_deref().filter(|format| !fits(format, text)) {
            self.report(node, path, "FORMAT", vec![format.into()], format!("must match format \"{format}\""));
        }
    }

    fn constants(&mut self, node: &'s Node, value: &Value, path: &Path<'_>) {
        if let Some(constant) = node.constant.as_ref().filter(|constant| !same(constant, value)) {
            self.report(node, path, "VALUE_NOT_EQUAL", vec![constant.clone()], "must be equal to constant".into());
        }
        if let Some(allowed) = node.constants.as_ref().filter(|allowed| !allowed.iter().any(|one| same(one, value))) {
            let message = "must be equal to one of the allowed values".into();
            self.report(node, path, "ENUM_MISMATCH", vec![allowed.clone().into()], message);
        }
    }

    fn combinations(&mut self, node: &'s Node, value: &Value, path: &Path<'_>) {
        if node.not.is_some_and(|position| self.passes(position, value)) {
            self.report(node, path, "NOT_PASSED", Vec::new(), "must NOT be valid".into());
        }
        if !node.any_of.is_empty() && !node.any_of.iter().any(|position| self.passes(*position, value)) {
            node.any_of.iter().for_each(|position| self.value(*position, value, path));
            self.report(node, path, "ANY_OF_MISSING", Vec::new(), "must match a schema in anyOf".into());
        }
        if !node.one_of.is_empty() {
            let passing = node.one_of.iter().filter(|position| self.passes(**position, value)).count();
            if passing == 0 {
                node.one_of.iter().for_each(|position| self.value(*position, value, path));
            }
            if passing != 1 {
                self.report(node, path, "ONE_OF_MISSING", Vec::new(), "must match exactly one schema in oneOf".into());
            }
        }
        node.all_of.iter().for_each(|position| self.value(*position, value, path));
    }

    /// Whether a value passes, without keeping what is wrong with it.
    fn passes(&self, position: usize, value: &Value) -> bool {
        let mut trial = Check { schema: self.schema, problems: Vec::new(), depth: self.depth };
        trial.value(position, value, &Path::Root);
        trial.problems.is_empty()
    }

    fn array(&mut self, node: &'s Node, items: &[Value], path: &Path<'_>) {
        let length = u64::try_from(items.len()).unwrap_or(u64::MAX);
        if let Some(max) = node.items_max.filter(|max| length > *max) {
            let message = format!("must NOT have more than {max} items");
            self.report(node, path, "ARRAY_LENGTH_LONG", vec![max.into()], message);
        }
        if let Some(min) = node.items_min.filter(|min| length < *min) {
            let message = format!("must NOT have fewer than {min} items");
            self.report(node, path, "ARRAY_LENGTH_SHORT", vec![min.into()], message);
        }
        if let Some((earlier, later)) = node.items_unique.then(|| duplicate(items)).flatten() {
            let message = format!("must NOT have duplicate items (items ## {earlier} and {later} are identical)");
            self.report(node, path, "ARRAY_UNIQUE", vec![earlier.into(), later.into()], message);
        }
        for (position, item) in items.iter().enumerate() {
            let by_position = match &node.items {
                Items::Free => None,
                Items::All(schema) => Some(*schema),
                Items::ByPosition(schemas) => match (schemas.get(position), &node.additional_items) {
                    (Some(schema), _) => Some(*schema),
                    (None, Additional::Like(schema)) => Some(*schema),
                    _ => None,
                },
            };
            if let Some(schema) = by_position {
                self.value(schema, item, &Path::Item(path, position));
            }
        }
        if let (Items::ByPosition(schemas), Additional::Refused) = (&node.items, &node.additional_items)
            && items.len() > schemas.len()
        {
            let max = schemas.len();
            let message = format!("must NOT have more than {max} items");
            self.report(node, path, "ADDITIONALITEMS", vec![max.into()], message);
        }
    }

    fn object(&mut self, node: &'s Node, map: &Map<String, Value>, path: &Path<'_>) {
        self.property_count(node, map, path);
        for name in node.required.iter().filter(|name| !map.contains_key(*name)) {
            self.report_missing(node, path, name);
        }
        for (name, dependency) in node.dependencies.iter().filter(|(name, _)| map.contains_key(name)) {
            match dependency {
                Dependency::Schema(schema) => {
                    // The whole object is checked against it.
                    let object = Value::Object(map.clone());
                    self.value(*schema, &object, path);
                }
                Dependency::Properties(names) => {
                    for missing in names.iter().filter(|other| !map.contains_key(*other)) {
                        let message = format!("must have property {missing} when property {name} is present");
                        self.report(node, path, "DEPENDENCIES", vec![missing.clone().into()], message);
                    }
                }
            }
        }
        self.unnamed_properties(node, map, path);
        for (name, schema) in &node.properties {
            if let Some(value) = map.get(name) {
                self.value(*schema, value, &Path::Property(path, name));
            }
        }
    }

    fn property_count(&mut self, node: &'s Node, map: &Map<String, Value>, path: &Path<'_>) {
        let length = u64::try_from(map.len()).unwrap_or(u64::MAX);
        if let Some(max) = node.properties_max.filter(|max| length > *max) {
            let message = format!("must NOT have more than {max} properties");
            self.report(node, path, "MAXPROPERTIES", vec![max.into()], message);
        }
        if let Some(min) = node.properties_min.filter(|min| length < *min) {
            let message = format!("must NOT have fewer than {min} properties");
            self.report(node, path, "MINPROPERTIES", vec![min.into()], message);
        }
    }

    fn unnamed_properties(&mut self, node: &'s Node, map: &Map<String, Value>, path: &Path<'_>) {
        if matches!(node.additional, Additional::Free) && node.pattern_properties.is_empty() {
            return;
        }
        for (name, value) in map {
            let mut is_named = node.properties.iter().any(|(known, _)| known == name);
            for (regex, schema) in &node.pattern_properties {
                if regex.is_match(name).unwrap_or(false) {
                    is_named = true;
                    self.value(*schema, value, &Path::Property(path, name));
                }
            }
            match node.additional {
                _ if is_named => {}
                Additional::Free => {}
                Additional::Like(schema) => self.value(schema, value, &Path::Property(path, name)),
                Additional::Refused => {
                    let message = "must NOT have additional properties".into();
                    self.report(node, path, "OBJECT_ADDITIONAL_PROPERTIES", vec![name.clone().into()], message);
                }
            }
        }
    }

    fn report_missing(&mut self, node: &'s Node, path: &Path<'_>, name: &str) {
        let field = node.properties.iter().find(|(known, _)| known == name);
        let owner = field.and_then(|(_, position)| self.schema.nodes.get(*position));
        let params = vec![name.into()];
        let message = format!("must have required property '{name}'");
        let path = format!("{}/", path.write());
        self.push(owner, path, "OBJECT_MISSING_REQUIRED_PROPERTY", params, message);
    }

    fn report(&mut self, node: &'s Node, path: &Path<'_>, code: &str, params: Vec<Value>, message: String) {
        self.push(Some(node), path.write(), code, params, message);
    }

    /// `owner`: the property whose custom messages apply.
    fn push(&mut self, owner: Option<&Node>, path: String, code: &str, params: Vec<Value>, message: String) {
        if self.problems.len() >= PROBLEMS_MAX {
            return;
        }
        let custom = owner.and_then(|node| node.custom.as_ref());
        let own = custom.and_then(|custom| custom.messages.get(code));
        let (code, message) = own.cloned().unwrap_or_else(|| (code.to_owned(), message));
        let param = custom.map(|custom| custom.field.clone());
        let params = if custom.is_some() { None } else { Some(params) };
        self.problems.push(Problem { code, params, message, path, param });
    }
}

/// Equal as JSON: `1` and `1.0` are the same number.
fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => left.as_f64() == right.as_f64(),
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| same(left, right))
        }
        (Value::Object(left), Value::Object(right)) => {
            let has_same = |(key, value): (&String, &Value)| right.get(key).is_some_and(|other| same(value, other));
            left.len() == right.len() && left.iter().all(has_same)
        }
        _ => left == right,
    }
}

/// Positions of two equal items, found by their stable text, so that long arrays stay cheap.
fn duplicate(items: &[Value]) -> Option<(usize, usize)> {
    let mut seen = std::collections::HashMap::new();
    items.iter().enumerate().find_map(|(position, item)| {
        // Null properties count here, unlike in hashes.
        let text = item.to_string();
        seen.insert(text, position).map(|earlier| (earlier, position))
    })
}
