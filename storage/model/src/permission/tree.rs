//! A user's streams in memory: the tree that permissions climb and queries expand.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::stream::Stream;

/// Deeper streams are neither listed as `children` nor to be created: JSON readers and writers recurse.
pub const STREAM_DEPTH_MAX: usize = 200;

/// Every change costs O(log siblings). Ids come from clients, so the maps are keyed with std's seeded hash.
#[derive(Clone, Debug, Default)]
pub struct StreamTree {
    streams: HashMap<Arc<str>, Stream>,
    /// By the parent's id, whether or not the parent is there: streams may be loaded in any order.
    children: HashMap<Arc<str>, BTreeSet<ChildKey>>,
    roots: BTreeSet<ChildKey>,
    trashed_count: usize,
    bytes: usize,
}

/// Children are kept sorted by name, case aside.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct ChildKey {
    folded_name: Box<str>,
    id: Arc<str>,
}

impl ChildKey {
    fn of(stream: &Stream, id: Arc<str>) -> Self {
        Self { folded_name: stream.name.to_lowercase().into(), id }
    }
}

impl StreamTree {
    pub fn new(streams: Vec<Stream>) -> Self {
        let mut tree = Self::default();
        for stream in streams {
            tree.insert(stream);
        }
        tree
    }

    pub fn get(&self, id: &str) -> Option<&Stream> {
        self.streams.get(id)
    }

    pub fn contains(&self, id: &str) -> bool {
        self.streams.contains_key(id)
    }

    pub fn len(&self) -> usize {
        self.streams.len()
    }

    pub fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    /// Streams with their own trash flag.
    pub fn trashed_count(&self) -> usize {
        self.trashed_count
    }

    /// Approximate memory, for the budget of a user's space.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Every stream, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Stream> {
        self.streams.values()
    }

    /// Adds the stream; one of the same id is replaced (moved, renamed).
    pub fn insert(&mut self, stream: Stream) {
        self.remove(&stream.id);
        let id: Arc<str> = stream.id.as_str().into();
        self.siblings_mut(stream.parent_id.as_deref()).insert(ChildKey::of(&stream, Arc::clone(&id)));
        self.trashed_count += usize::from(stream.trashed);
        self.bytes += approximate_bytes(&stream);
        self.streams.insert(id, stream);
    }

    /// The new state of a stream that is in the tree; its children follow a move.
    pub fn update(&mut self, stream: Stream) {
        self.insert(stream);
    }

    /// Takes out this stream only. Its children stay, unreachable, until they are removed as well.
    pub fn remove(&mut self, id: &str) -> Option<Stream> {
        let (id, stream) = self.streams.remove_entry(id)?;
        let key = ChildKey::of(&stream, id);
        match stream.parent_id.as_deref() {
            None => drop(self.roots.remove(&key)),
            Some(parent) => {
                if let Some(siblings) = self.children.get_mut(parent) {
                    siblings.remove(&key);
                    if siblings.is_empty() {
                        self.children.remove(parent);
                    }
                }
            }
        }
        self.trashed_count -= usize::from(stream.trashed);
        self.bytes -= approximate_bytes(&stream);
        Some(stream)
    }

    /// Children (or the roots, for `None`) sorted by name, case aside.
    pub fn children(&self, parent: Option<&str>) -> impl Iterator<Item = &Stream> {
        self.siblings(parent).into_iter().flatten().filter_map(|key| self.streams.get(&key.id))
    }

    /// From the parent up to the root.
    pub fn ancestors(&self, id: &str) -> impl Iterator<Item = &Stream> {
        let parent_of = |stream: &Stream| stream.parent_id.as_deref().and_then(|parent| self.get(parent));
        // A cycle cannot be made by the API; the bound keeps a damaged tree from hanging the shard.
        std::iter::successors(self.get(id).and_then(parent_of), move |stream| parent_of(stream)).take(self.len())
    }

    /// The stream and all below it, parents before children; empty if the stream is unknown.
    pub fn descendants(&self, id: &str) -> Vec<&Stream> {
        self.walk(id, |_| Descend::Take)
    }

    /// Like [`Self::descendants`], with a choice at each stream.
    pub fn walk(&self, id: &str, mut choose: impl FnMut(&Stream) -> Descend) -> Vec<&Stream> {
        let mut taken = Vec::new();
        let mut open: Vec<&Stream> = self.get(id).into_iter().collect();
        let mut visited = 0;
        while let Some(stream) = open.pop() {
            visited += 1;
            let choice = choose(stream);
            if visited > self.len() || choice == Descend::Prune {
                continue;
            }
            if choice == Descend::Take {
                taken.push(stream);
            }
            open.extend(self.children(Some(&stream.id)));
        }
        taken
    }

    pub fn is_under(&self, id: &str, ancestor: &str) -> bool {
        self.ancestors(id).any(|stream| stream.id == ancestor)
    }

    pub fn is_trashed_or_under_trashed(&self, id: &str) -> bool {
        self.get(id).is_some_and(|stream| stream.trashed) || self.ancestors(id).any(|stream| stream.trashed)
    }

    /// The child of `parent` (or the root) with exactly this name.
    pub fn sibling_named(&self, parent: Option<&str>, name: &str) -> Option<&Stream> {
        let first = ChildKey { folded_name: name.to_lowercase().into(), id: "".into() };
        let same_folded_name = |key: &&ChildKey| key.folded_name == first.folded_name;
        self.siblings(parent)?
            .range(&first..)
            .take_while(same_folded_name)
            .filter_map(|key| self.streams.get(&key.id))
            .find(|stream| stream.name == name)
    }

    /// 1 for a root stream.
    pub fn depth(&self, id: &str) -> usize {
        1 + self.ancestors(id).count()
    }

    fn siblings(&self, parent: Option<&str>) -> Option<&BTreeSet<ChildKey>> {
        match parent {
            None => Some(&self.roots),
            Some(parent) => self.children.get(parent),
        }
    }

    fn siblings_mut(&mut self, parent: Option<&str>) -> &mut BTreeSet<ChildKey> {
        match parent {
            None => &mut self.roots,
            Some(parent) => self.children.entry(parent.into()).or_default(),
        }
    }
}

/// What [`StreamTree::walk`] does at a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Descend {
    Take,
    /// Leave this one out, go on below it.
    Skip,
    /// Leave out the whole sub-tree.
    Prune,
}

fn approximate_bytes(stream: &Stream) -> usize {
    const NODE_BYTES: usize = size_of::<Stream>() + 2 * size_of::<ChildKey>() + 64;
    let texts = 3 * stream.id.len() + 2 * stream.name.len() + stream.created_by.len() + stream.modified_by.len();
    let data =
        stream.client_data.as_ref().map_or(0, |data| data.iter().map(|(k, v)| 64 + k.len() + json_bytes(v)).sum());
    NODE_BYTES + texts + stream.parent_id.as_ref().map_or(0, |id| 2 * id.len()) + data
}

fn json_bytes(value: &serde_json::Value) -> usize {
    use serde_json::Value;
    match value {
        Value::String(text) => 32 + text.len(),
        Value::Array(items) => 32 + items.iter().map(json_bytes).sum::<usize>(),
        Value::Object(map) => 32 + map.iter().map(|(k, v)| 64 + k.len() + json_bytes(v)).sum::<usize>(),
        _ => 32,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(id: &str, name: &str, parent: Option<&str>) -> Stream {
        Stream { id: id.into(), name: name.into(), parent_id: parent.map(str::to_owned), ..Stream::default() }
    }

    fn ids<'a>(streams: impl IntoIterator<Item = &'a Stream>) -> Vec<&'a str> {
        streams.into_iter().map(|s| s.id.as_str()).collect()
    }

    #[test]
    fn children_are_sorted_by_name_case_aside_whatever_the_order_of_loading() {
        let tree = StreamTree::new(vec![
            stream("c", "beta", Some("p")),
            stream("a", "Gamma", Some("p")),
            stream("p", "Parent", None),
            stream("b", "Alpha", Some("p")),
        ]);
        assert_eq!(ids(tree.children(Some("p"))), ["b", "c", "a"]);
        assert_eq!(ids(tree.children(None)), ["p"]);
    }

    #[test]
    fn a_move_takes_the_sub_tree_along() {
        let mut tree = StreamTree::new(vec![
            stream("p", "P", None),
            stream("q", "Q", None),
            stream("c", "C", Some("p")),
            stream("d", "D", Some("c")),
        ]);
        tree.update(stream("c", "C", Some("q")));
        assert_eq!(ids(tree.ancestors("d")), ["c", "q"]);
        assert_eq!(ids(tree.descendants("q")), ["q", "c", "d"]);
        assert_eq!(tree.children(Some("p")).count(), 0);
        assert!(tree.is_under("d", "q") && !tree.is_under("d", "p"));
    }

    #[test]
    fn a_sibling_is_found_by_its_exact_name_only() {
        let tree =
            StreamTree::new(vec![stream("a", "Name", None), stream("b", "name", None), stream("c", "NAME", Some("a"))]);
        assert_eq!(tree.sibling_named(None, "name").map(|s| s.id.as_str()), Some("b"));
        assert_eq!(tree.sibling_named(None, "Name").map(|s| s.id.as_str()), Some("a"));
        assert!(tree.sibling_named(None, "NAME").is_none());
        assert!(tree.sibling_named(Some("b"), "name").is_none());
    }

    #[test]
    fn the_trash_of_an_ancestor_counts() {
        let mut parent = stream("p", "P", None);
        parent.trashed = true;
        let mut tree = StreamTree::new(vec![parent.clone(), stream("c", "C", Some("p"))]);
        assert!(tree.is_trashed_or_under_trashed("c"));
        assert_eq!(tree.trashed_count(), 1);
        parent.trashed = false;
        tree.update(parent);
        assert!(!tree.is_trashed_or_under_trashed("c"));
        assert_eq!(tree.trashed_count(), 0);
    }

    #[test]
    fn removing_everything_gives_back_every_byte() {
        let mut tree = StreamTree::new(vec![stream("p", "P", None), stream("c", "C", Some("p"))]);
        assert!(tree.bytes() > 0);
        tree.remove("p");
        tree.remove("c");
        assert!(tree.is_empty() && tree.bytes() == 0 && tree.children.is_empty() && tree.roots.is_empty());
    }

    #[test]
    fn a_damaged_tree_with_a_cycle_does_not_hang() {
        let tree = StreamTree::new(vec![stream("a", "A", Some("b")), stream("b", "B", Some("a"))]);
        assert!(tree.ancestors("a").count() <= 2);
        assert!(tree.descendants("a").len() <= 2);
        assert!(!tree.is_trashed_or_under_trashed("a"));
    }
}
