//! The account (system) streams: one per account field, the same for every user of the platform.

use std::sync::OnceLock;

use serde_json::{Map, Value};

use crate::time::{Seconds, number};

pub const ACCOUNT_ROOT: &str = ":_system:account";
pub const BUILT_IN_PREFIX: &str = ":_system:";
pub const CONFIGURED_PREFIX: &str = ":system:";
/// What every stream that is not the user's own shows as its tracking times.
pub const SYSTEM_STREAM_TIME: Seconds = 10_000_000.000_000_01;

/// One account field (Pryv: system stream).
#[derive(Clone, Debug, PartialEq)]
pub struct AccountField {
    /// Full stream id, e.g. `:_system:language`.
    pub id: String,
    pub name: String,
    /// `None` for a field directly below the root.
    pub parent_id: Option<String>,
    /// Event type of the field's event.
    pub kind: String,
    pub default: Option<Value>,
    pub indexed: bool,
    pub unique: bool,
    pub shown: bool,
    pub editable: bool,
    pub required: bool,
    /// Whether the field has an event (`storageUsed` only groups others).
    pub has_value: bool,
    pub regex: Option<String>,
    /// Code and message of a value that does not fit `regex`.
    pub regex_error: Option<(String, String)>,
}

/// Built-in fields, then the configured ones; parents before their children.
#[derive(Clone, Debug, PartialEq)]
pub struct AccountStreams {
    fields: Vec<AccountField>,
}

impl Default for AccountStreams {
    /// The built-in fields and the shipped configuration (`:system:email`).
    fn default() -> Self {
        let email = AccountField {
            indexed: true,
            unique: true,
            required: true,
            ..AccountField::new(":system:email", "Email", "email/string")
        };
        Self::with_configured(vec![email])
    }
}

impl AccountStreams {
    /// The built-in fields followed by those of the configuration.
    pub fn with_configured(configured: Vec<AccountField>) -> Self {
        let mut fields = built_in();
        fields.extend(configured);
        Self { fields }
    }

    /// The streams of a platform without own configuration.
    pub fn shipped() -> &'static Self {
        static SHIPPED: OnceLock<AccountStreams> = OnceLock::new();
        SHIPPED.get_or_init(Self::default)
    }

    pub fn fields(&self) -> &[AccountField] {
        &self.fields
    }

    pub fn get(&self, id: &str) -> Option<&AccountField> {
        self.fields.iter().find(|field| field.id == id)
    }

    /// By the name that `account.get` and registration use: the id without its prefix.
    pub fn field_named(&self, name: &str) -> Option<&AccountField> {
        self.fields.iter().find(|field| field.field_name() == name)
    }

    /// The root or a field.
    pub fn contains(&self, id: &str) -> bool {
        id == ACCOUNT_ROOT || self.get(id).is_some()
    }

    pub fn parent_of(&self, id: &str) -> Option<&str> {
        let field = self.get(id)?;
        Some(field.parent_id.as_deref().unwrap_or(ACCOUNT_ROOT))
    }

    /// Hidden itself or below a hidden field.
    pub fn is_hidden(&self, id: &str) -> bool {
        let mut next = Some(id);
        for _ in 0..=self.fields.len() {
            match next.and_then(|id| self.get(id)) {
                Some(field) if !field.shown => return true,
                Some(field) => next = field.parent_id.as_deref(),
                None => return false,
            }
        }
        false
    }

    /// The fields at or below `id`, hidden ones included.
    pub fn fields_under<'a>(&'a self, id: &'a str) -> impl Iterator<Item = &'a AccountField> {
        self.fields.iter().filter(move |field| self.is_at_or_under(&field.id, id))
    }

    fn is_at_or_under(&self, id: &str, ancestor: &str) -> bool {
        let climb = std::iter::successors(Some(id), |id| self.parent_of(id));
        climb.take(self.fields.len() + 2).any(|id| id == ancestor)
    }

    /// A stream of the account tree with those children that `keep` accepts.
    pub fn tree_json(&self, id: &str, keep: &impl Fn(&str) -> bool) -> Option<Value> {
        let (name, parent) = match self.get(id) {
            Some(field) => (field.name.as_str(), self.parent_of(id)),
            None if id == ACCOUNT_ROOT => ("Account", None),
            None => return None,
        };
        let children = self.children_json(id, keep);
        Some(system_stream(id, name, parent, SYSTEM_STREAM_TIME, children))
    }

    pub fn children_json(&self, id: &str, keep: &impl Fn(&str) -> bool) -> Vec<Value> {
        let is_child = |field: &&AccountField| self.parent_of(&field.id) == Some(id) && keep(&field.id);
        self.fields.iter().filter(is_child).filter_map(|field| self.tree_json(&field.id, keep)).collect()
    }
}

impl AccountField {
    /// Shown, editable, not indexed: what the configuration assumes.
    pub fn new(id: &str, name: &str, kind: &str) -> Self {
        Self {
            id: id.into(),
            name: name.into(),
            parent_id: None,
            kind: kind.into(),
            default: None,
            indexed: false,
            unique: false,
            shown: true,
            editable: true,
            required: false,
            has_value: true,
            regex: None,
            regex_error: None,
        }
    }

    /// `email` for `:system:email`.
    pub fn field_name(&self) -> &str {
        self.id.strip_prefix(BUILT_IN_PREFIX).or_else(|| self.id.strip_prefix(CONFIGURED_PREFIX)).unwrap_or(&self.id)
    }
}

/// A stream that the server shows of itself, as JSON.
pub(super) fn system_stream(
    id: &str,
    name: &str,
    parent: Option<&str>,
    created: Seconds,
    children: Vec<Value>,
) -> Value {
    let mut out = Map::new();
    out.insert("id".into(), id.into());
    out.insert("name".into(), name.into());
    out.insert("parentId".into(), parent.map_or(Value::Null, Value::from));
    out.insert("created".into(), number(created));
    out.insert("createdBy".into(), "system".into());
    out.insert("modified".into(), number(SYSTEM_STREAM_TIME));
    out.insert("modifiedBy".into(), "system".into());
    out.insert("children".into(), children.into());
    Value::Object(out)
}

fn built_in() -> Vec<AccountField> {
    let hidden = |id, name, kind, default, required| AccountField {
        default: Some(default),
        indexed: true,
        shown: false,
        editable: false,
        required,
        ..AccountField::new(id, name, kind)
    };
    let counter = |id, name| AccountField {
        parent_id: Some(":_system:storageUsed".into()),
        default: Some(0.into()),
        editable: false,
        ..AccountField::new(id, name, "data-quantity/b")
    };
    vec![
        AccountField {
            default: Some("en".into()),
            indexed: true,
            ..AccountField::new(":_system:language", "Language", "language/iso-639-1")
        },
        hidden(":_system:appId", "appId", "identifier/string", "".into(), true),
        hidden(":_system:invitationToken", "Invitation Token", "token/string", "no-token".into(), false),
        hidden(":_system:referer", "Referer", "identifier/string", Value::Null, false),
        AccountField {
            has_value: false,
            ..AccountField::new(":_system:storageUsed", "Storage used", "data-quantity/b")
        },
        counter(":_system:dbDocuments", "Db Documents"),
        counter(":_system:attachedFiles", "Attached files"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn children_of(value: &Value) -> Vec<&str> {
        value["children"].as_array().unwrap().iter().map(|child| child["id"].as_str().unwrap()).collect()
    }

    #[test]
    fn the_shown_tree_is_that_of_the_specification() {
        let streams = AccountStreams::default();
        let tree = streams.tree_json(ACCOUNT_ROOT, &|id| !streams.is_hidden(id)).unwrap();
        assert_eq!(children_of(&tree), [":_system:language", ":_system:storageUsed", ":system:email"]);
        assert_eq!(children_of(&tree["children"][1]), [":_system:dbDocuments", ":_system:attachedFiles"]);
        assert_eq!(tree["parentId"], Value::Null);
        assert_eq!(tree["children"][2]["parentId"], ACCOUNT_ROOT);
        assert_eq!(tree["created"].to_string(), "10000000.00000001");
    }

    #[test]
    fn a_field_is_known_by_its_bare_name() {
        let streams = AccountStreams::default();
        assert_eq!(streams.field_named("email").map(|f| f.id.as_str()), Some(":system:email"));
        assert_eq!(streams.field_named("language").map(|f| f.id.as_str()), Some(":_system:language"));
        assert!(streams.field_named("account").is_none());
    }

    #[test]
    fn what_is_below_a_hidden_field_is_hidden() {
        let child = AccountField {
            parent_id: Some(":system:secret".into()),
            ..AccountField::new(":system:part", "Part", "a/b")
        };
        let secret = AccountField { shown: false, ..AccountField::new(":system:secret", "Secret", "a/b") };
        let streams = AccountStreams::with_configured(vec![secret, child]);
        assert!(streams.is_hidden(":system:part") && !streams.is_hidden(":_system:language"));
    }
}
