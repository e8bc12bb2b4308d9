//! The merged configuration: maps are merged across sources, lists and scalars replaced, each leaf knows its origin.

use std::fmt;

use serde_json::{Map, Value};

use super::error::Origin;

/// The separator of a key path, as in the reference's `a:b` notation (segments may contain dots).
pub(super) const PATH_SEPARATOR: char = ':';

#[derive(Clone, Default)]
pub(super) struct Tree {
    root: Branch,
}

/// The tree holds secrets, so it never prints itself; `config show` does, with the secrets hidden.
impl fmt::Debug for Tree {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Tree(hidden)")
    }
}

type Branch = Vec<(String, Node)>;

#[derive(Clone)]
enum Node {
    Leaf(Value, Origin),
    Branch(Branch),
}

impl Tree {
    /// Lays `value` over what is there. `null` removes it, so the default of the key applies again.
    pub(super) fn merge(&mut self, path: &[String], value: Value, origin: &Origin) {
        if let Some((last, parents)) = path.split_last() {
            let mut branch = &mut self.root;
            for segment in parents {
                branch = branch_at(branch, segment);
            }
            merge_node(branch, last, value, origin);
        }
    }

    /// Puts `value` only where no source has anything, neither there nor as a scalar above.
    pub(super) fn fill(&mut self, path: &str, value: Value, origin: &Origin) {
        let segments = split(path);
        if self.node(&segments).is_none() && !self.scalar_above(&segments) {
            self.merge(&segments, value, origin);
        }
    }

    /// Replaces the value of a key, whatever it was.
    pub(super) fn replace(&mut self, path: &str, value: Value, origin: &Origin) {
        let segments = split(path);
        self.merge(&segments, Value::Null, origin);
        self.merge(&segments, value, origin);
    }

    pub(super) fn get(&self, path: &str) -> Option<Value> {
        self.node(&split(path)).map(assemble)
    }

    pub(super) fn has(&self, path: &str) -> bool {
        self.node(&split(path)).is_some()
    }

    pub(super) fn origin(&self, path: &str) -> Option<&Origin> {
        match self.node(&split(path))? {
            Node::Leaf(_, origin) => Some(origin),
            Node::Branch(_) => None,
        }
    }

    /// All leaves in order of appearance, with their path.
    pub(super) fn leaves(&self) -> Vec<(Vec<String>, &Value, &Origin)> {
        let mut found = Vec::new();
        collect(&self.root, &mut Vec::new(), &mut found);
        found
    }

    fn node(&self, path: &[String]) -> Option<&Node> {
        let (last, parents) = path.split_last()?;
        let mut branch = &self.root;
        for segment in parents {
            match find(branch, segment)? {
                Node::Branch(inner) => branch = inner,
                Node::Leaf(..) => return None,
            }
        }
        find(branch, last)
    }

    fn scalar_above(&self, path: &[String]) -> bool {
        (1..path.len()).any(|length| {
            path.get(..length).and_then(|above| self.node(above)).is_some_and(|node| matches!(node, Node::Leaf(..)))
        })
    }
}

pub(super) fn split(path: &str) -> Vec<String> {
    path.split(PATH_SEPARATOR).map(str::to_owned).collect()
}

pub(super) fn join(path: &[String]) -> String {
    path.join(":")
}

fn find<'a>(branch: &'a Branch, key: &str) -> Option<&'a Node> {
    branch.iter().find(|(name, _)| name == key).map(|(_, node)| node)
}

fn merge_node(branch: &mut Branch, key: &str, value: Value, origin: &Origin) {
    match value {
        Value::Null => branch.retain(|(name, _)| name != key),
        Value::Object(fields) => {
            let inner = branch_at(branch, key);
            for (name, field) in fields {
                merge_node(inner, &name, field, origin);
            }
        }
        leaf => *node_at(branch, key) = Node::Leaf(leaf, origin.clone()),
    }
}

fn branch_at<'a>(branch: &'a mut Branch, key: &str) -> &'a mut Branch {
    let node = node_at(branch, key);
    if matches!(node, Node::Leaf(..)) {
        *node = Node::Branch(Branch::new());
    }
    match node {
        Node::Branch(inner) => inner,
        Node::Leaf(..) => unreachable!("made a branch on the line above"),
    }
}

fn node_at<'a>(branch: &'a mut Branch, key: &str) -> &'a mut Node {
    let index = branch.iter().position(|(name, _)| name == key).unwrap_or_else(|| {
        branch.push((key.to_owned(), Node::Branch(Branch::new())));
        branch.len() - 1
    });
    let (_, node) = branch.get_mut(index).expect("found or pushed on the line above");
    node
}

fn assemble(node: &Node) -> Value {
    match node {
        Node::Leaf(value, _) => value.clone(),
        Node::Branch(inner) => {
            let fields = inner.iter().map(|(name, node)| (name.clone(), assemble(node)));
            Value::Object(fields.collect::<Map<_, _>>())
        }
    }
}

fn collect<'a>(branch: &'a Branch, path: &mut Vec<String>, found: &mut Vec<(Vec<String>, &'a Value, &'a Origin)>) {
    for (name, node) in branch {
        path.push(name.clone());
        match node {
            Node::Leaf(value, origin) => found.push((path.clone(), value, origin)),
            Node::Branch(inner) => collect(inner, path, found),
        }
        path.pop();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn tree_of(layers: &[(Value, Origin)]) -> Tree {
        let mut tree = Tree::default();
        for (value, origin) in layers {
            for (key, field) in value.as_object().unwrap() {
                tree.merge(std::slice::from_ref(key), field.clone(), origin);
            }
        }
        tree
    }

    #[test]
    fn maps_merge_while_lists_and_scalars_are_replaced() {
        let tree = tree_of(&[
            (json!({"a": {"x": 1, "list": [1, 2]}, "b": 1}), Origin::Default),
            (json!({"a": {"y": 2, "list": [3]}, "b": "two"}), Origin::Argument("later".into())),
        ]);
        assert_eq!(tree.get("a"), Some(json!({"x": 1, "list": [3], "y": 2})));
        assert_eq!(tree.get("b"), Some(json!("two")));
        assert_eq!(tree.origin("a:x"), Some(&Origin::Default));
        assert_eq!(tree.origin("a:list"), Some(&Origin::Argument("later".into())));
    }

    #[test]
    fn null_takes_away_what_a_lower_source_said() {
        let tree = tree_of(&[
            (json!({"a": {"x": 1, "y": 2}}), Origin::Default),
            (json!({"a": {"x": null}}), Origin::Argument("later".into())),
        ]);
        assert_eq!(tree.get("a"), Some(json!({"y": 2})));
    }

    #[test]
    fn a_default_does_not_replace_a_scalar_above_it() {
        let mut tree = tree_of(&[(json!({"enabled": false}), Origin::Argument("x".into()))]);
        tree.fill("enabled:welcome", json!(true), &Origin::Default);
        assert_eq!(tree.get("enabled"), Some(json!(false)));
    }
}
