//! `custom.systemStreams`: the account fields that an operator adds to the built-in ones (Pryv: spec 05, section 2.2).

use std::collections::BTreeSet;

use model::permission::account_streams::CONFIGURED_PREFIX;
use model::permission::{AccountField, AccountStreams};
use model::schema::Schema;
use serde_json::{Map, Value, json};

use super::error::Findings;
use super::settings::Reader;

const ACCOUNT: &str = "custom:systemStreams:account";
const OTHER: &str = "custom:systemStreams:other";

/// Fields of both lists together, sub-fields included: each may be a value in the memory of every user.
pub(crate) const FIELDS_MAX: usize = 200;
/// How deep fields may hold fields.
pub(crate) const FIELD_DEPTH_MAX: usize = 10;

const NAME_CHARS_MIN: usize = 2;
/// Parameters of a registration that are no account fields: a field of that name would be filled with them.
const TAKEN_NAMES: [&str; 3] = ["username", "password", "hosting"];

/// Without a list of its own, the platform has the shipped one: the e-mail address.
pub(super) fn read(reader: &mut Reader<'_>) -> AccountStreams {
    let account = list(reader, ACCOUNT);
    let other = list(reader, OTHER);
    let mut fields = Fields { read: Vec::new(), findings: reader.findings };
    fields.take_all(OTHER, other.as_deref().unwrap_or_default(), None, 0);
    for field in &fields.read {
        let is_plain = !field.unique && !field.indexed && !field.required && field.editable && field.shown;
        if !is_plain {
            let text = format!(
                "invalid custom system stream \"{}\": an other stream is shown, editable, not unique, not indexed and not required",
                field.id
            );
            fields.findings.rule(OTHER, text);
        }
    }
    let other_count = fields.read.len();
    fields.take_all(ACCOUNT, account.as_deref().unwrap_or_default(), None, 0);
    fields.check_together();
    // The others are validated, but no store serves them (as in the reference).
    let configured = fields.read.split_off(other_count);
    if account.is_some() { AccountStreams::with_configured(configured) } else { AccountStreams::default() }
}

fn list(reader: &Reader<'_>, path: &str) -> Option<Vec<Value>> {
    match reader.tree.get(path) {
        Some(Value::Array(items)) => Some(items),
        _ => None,
    }
}

struct Fields<'f> {
    /// Parents before their children.
    read: Vec<AccountField>,
    findings: &'f mut Findings,
}

impl Fields<'_> {
    fn take_all(&mut self, path: &str, items: &[Value], parent_id: Option<&str>, depth: usize) {
        if depth > FIELD_DEPTH_MAX || self.read.len() + items.len() > FIELDS_MAX {
            let text = format!(
                "invalid custom system stream: there may be {FIELDS_MAX} of them, {FIELD_DEPTH_MAX} levels deep"
            );
            return self.findings.rule(path, text);
        }
        for item in items {
            match field(item, parent_id) {
                Ok(field) => {
                    let id = field.id.clone();
                    self.read.push(field);
                    if let Some(Value::Array(children)) = item.get("children") {
                        self.take_all(path, children, Some(&id), depth + 1);
                    }
                }
                Err(why) => self.findings.rule(path, format!("invalid custom system stream {}: {why}", shown(item))),
            }
        }
    }

    fn check_together(&mut self) {
        let mut ids = BTreeSet::new();
        let doubled = self.read.iter().find(|field| !ids.insert(field.id.as_str())).map(|field| field.id.clone());
        if let Some(id) = doubled {
            self.findings.rule(ACCOUNT, format!("invalid custom system stream: the id \"{id}\" is there twice"));
        }
    }
}

/// Its id, or what stands in its place.
fn shown(item: &Value) -> String {
    item.get("id").unwrap_or(item).to_string().chars().take(100).collect()
}

fn field(item: &Value, parent_id: Option<&str>) -> Result<AccountField, String> {
    let item = item.as_object().ok_or("it must be a map")?;
    let id = text(item, "id")?.ok_or("it needs an id")?;
    let bare = id.strip_prefix(CONFIGURED_PREFIX).unwrap_or(&id).to_owned();
    let is_plain = |char: char| char.is_ascii_alphanumeric() || char == '-' || char == '_';
    if bare.len() < NAME_CHARS_MIN || !bare.chars().all(is_plain) {
        return Err("the id needs at least 2 letters, digits, - or _".into());
    }
    if TAKEN_NAMES.contains(&bare.as_str()) {
        return Err("this id means something else at a registration: choose another".into());
    }
    let kind = text(item, "type")?.ok_or("it needs a type")?;
    let is_word = |word: &str| {
        !word.is_empty() && word.chars().all(|char| char.is_ascii_lowercase() || char.is_ascii_digit() || char == '-')
    };
    if !kind.split_once('/').is_some_and(|(class, format)| is_word(class) && is_word(format)) {
        return Err("the type must be class/format, each of a-z, 0-9 and -".into());
    }
    let name = text(item, "name")?.unwrap_or_else(|| bare.clone());
    if name.chars().count() < NAME_CHARS_MIN {
        return Err("the name needs at least 2 characters".into());
    }
    if !matches!(item.get("children"), None | Some(Value::Null | Value::Array(_))) {
        return Err("children must be a list".into());
    }
    let read = AccountField {
        parent_id: parent_id.map(str::to_owned),
        default: item.get("default").filter(|value| !value.is_null()).cloned(),
        indexed: flag(item, "isIndexed", false)?,
        unique: flag(item, "isUnique", false)?,
        shown: flag(item, "isShown", true)?,
        editable: flag(item, "isEditable", true)?,
        required: flag(item, "isRequiredInValidation", false)?,
        regex: regex(item)?,
        regex_error: regex_error(item)?,
        ..AccountField::new(&format!("{CONFIGURED_PREFIX}{bare}"), &name, &kind)
    };
    if !matches!(read.default, None | Some(Value::String(_) | Value::Number(_))) {
        return Err("the default must be a text or a number".into());
    }
    if read.unique && !read.indexed {
        return Err("isUnique needs isIndexed: true".into());
    }
    Ok(read)
}

fn text(item: &Map<String, Value>, name: &str) -> Result<Option<String>, String> {
    match item.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(format!("{name} must be a text")),
    }
}

fn flag(item: &Map<String, Value>, name: &str, default: bool) -> Result<bool, String> {
    match item.get(name) {
        None | Some(Value::Null) => Ok(default),
        Some(Value::Bool(flag)) => Ok(*flag),
        Some(_) => Err(format!("{name} must be true or false")),
    }
}

fn regex(item: &Map<String, Value>) -> Result<Option<String>, String> {
    let Some(pattern) = text(item, "regexValidation")? else { return Ok(None) };
    match Schema::compile(&json!({ "type": "string", "pattern": pattern })) {
        Ok(_) => Ok(Some(pattern)),
        Err(error) => Err(format!("regexValidation: {error}")),
    }
}

fn regex_error(item: &Map<String, Value>) -> Result<Option<(String, String)>, String> {
    let Some(error) = item.get("regexError").filter(|error| !error.is_null()) else { return Ok(None) };
    let part = |name: &str| error.get(name).and_then(Value::as_str).map(str::to_owned);
    let both = part("code").zip(part("message"));
    both.map(Some).ok_or_else(|| "regexError must be a map with the texts code and message".into())
}
