//! The truth: what a node that keeps its promises would answer. No files, no segments, only the order of the posts.
//!
//! While a process lives its answers are known exactly: the acknowledged posts, in their order. What a restart makes of
//! the posts that got no answer, or a refusal, is open: each is there as a whole or not at all, and never over a later
//! acknowledged one. After the restart that is settled, and known exactly again.

use std::collections::{BTreeMap, BTreeSet};

use model::SeriesKey;

use super::counts::{Counts, Event};
use super::rows::Row;

/// A post of the present life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PostId(usize);

/// What a post brings, in its order: the last row of a time counts.
pub(super) type Batch = Vec<(SeriesKey, Vec<(i64, Row)>)>;

#[derive(Default)]
pub(super) struct Model {
    series: BTreeMap<SeriesKey, Series>,
    dead: BTreeSet<SeriesKey>,
    posts: Vec<Post>,
}

#[derive(Default)]
struct Series {
    /// What a reader sees now.
    rows: BTreeMap<i64, Row>,
    /// What was written in this life, in the order of the posts.
    writes: BTreeMap<i64, Writes>,
}

struct Writes {
    /// What was there when the life began.
    before: Option<Row>,
    posts: Vec<(PostId, Row)>,
}

struct Post {
    batch: Batch,
    is_acknowledged: bool,
}

/// What the rows after a restart say of an open post.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Trail {
    Present,
    Absent,
}

struct Trails {
    may_tear: bool,
    of: BTreeMap<PostId, Trail>,
}

impl Model {
    pub(super) fn create(&mut self, key: SeriesKey) {
        self.series.insert(key, Series::default());
    }

    pub(super) fn live(&self) -> Vec<SeriesKey> {
        self.series.keys().copied().collect()
    }

    pub(super) fn is_alive(&self, key: SeriesKey) -> bool {
        self.series.contains_key(&key)
    }

    pub(super) fn dead(&self) -> &BTreeSet<SeriesKey> {
        &self.dead
    }

    pub(super) fn delete(&mut self, key: SeriesKey) {
        self.series.remove(&key);
        self.dead.insert(key);
    }

    /// A post was taken in; whether it is acknowledged is to be seen.
    pub(super) fn begin(&mut self, batch: Batch) -> PostId {
        let id = PostId(self.posts.len());
        for (key, rows) in &batch {
            let Some(series) = self.series.get_mut(key) else { continue };
            for (time_ns, row) in rows {
                let before = series.rows.get(time_ns).cloned();
                let writes = series.writes.entry(*time_ns).or_insert_with(|| Writes { before, posts: Vec::new() });
                // Of two rows of a time in one post the last one counts.
                writes.posts.retain(|(post, _)| *post != id);
                writes.posts.push((id, row.clone()));
            }
        }
        self.posts.push(Post { batch, is_acknowledged: false });
        id
    }

    /// The client has its answer 200.
    pub(super) fn acknowledge(&mut self, id: PostId) {
        let Some(post) = self.posts.get_mut(id.0) else { return };
        post.is_acknowledged = true;
        for (key, rows) in &post.batch {
            let Some(series) = self.series.get_mut(key) else { continue };
            series.rows.extend(rows.iter().cloned());
        }
    }

    /// What a reader gets of `[from_ns, to_ns)` now.
    pub(super) fn read(&self, key: SeriesKey, from_ns: i64, to_ns: i64) -> Vec<(i64, Row)> {
        let Some(series) = self.series.get(&key).filter(|_| from_ns < to_ns) else { return Vec::new() };
        series.rows.range(from_ns..to_ns).map(|(time_ns, row)| (*time_ns, row.clone())).collect()
    }

    /// A new process has recovered these rows of all live series. `Err`: a promise was broken. `may_tear`: open posts need
    /// not be whole.
    pub(super) fn settle(
        &mut self,
        mut found: BTreeMap<SeriesKey, BTreeMap<i64, Row>>,
        may_tear: bool,
        counts: &mut Counts,
    ) -> Result<(), String> {
        let mut trails = Trails { may_tear, of: BTreeMap::new() };
        for (key, series) in &self.series {
            let found = found.entry(*key).or_default();
            series
                .compare(found, &self.posts, &mut trails)
                .map_err(|what| format!("series {:#x}: {what}", key.as_u64()))?;
        }
        for trail in trails.of.values() {
            counts.one(match trail {
                Trail::Present => Event::OpenPostSurvived,
                Trail::Absent => Event::OpenPostLost,
            });
        }
        self.posts.clear();
        for (key, series) in &mut self.series {
            series.rows = found.remove(key).unwrap_or_default();
            series.writes.clear();
        }
        Ok(())
    }
}

impl Series {
    fn compare(&self, found: &BTreeMap<i64, Row>, posts: &[Post], trails: &mut Trails) -> Result<(), String> {
        for (time_ns, row) in &self.rows {
            if !self.writes.contains_key(time_ns) && found.get(time_ns) != Some(row) {
                return Err(format!("at {time_ns} there was {row:?}, now there is {:?}", found.get(time_ns)));
            }
        }
        for time_ns in found.keys() {
            if !self.rows.contains_key(time_ns) && !self.writes.contains_key(time_ns) {
                return Err(format!("at {time_ns} nothing was ever written, now there is {:?}", found.get(time_ns)));
            }
        }
        for (time_ns, writes) in &self.writes {
            writes.compare(found.get(time_ns), posts, trails).map_err(|what| format!("at {time_ns} {what}"))?;
        }
        Ok(())
    }
}

impl Writes {
    /// Whether the row may be there, and what that tells of the open posts.
    fn compare(&self, found: Option<&Row>, posts: &[Post], trails: &mut Trails) -> Result<(), String> {
        let is_acknowledged = |id: &PostId| posts.get(id.0).is_some_and(|post| post.is_acknowledged);
        let last_acknowledged = self.posts.iter().rposition(|(id, _)| is_acknowledged(id));
        // Those that may show: the last acknowledged one, or what was there before, and the open ones behind it.
        let behind = last_acknowledged.map_or(0, |position| position + 1);
        let open = self.posts.get(behind..).unwrap_or_default();
        let settled = match last_acknowledged.and_then(|position| self.posts.get(position)) {
            Some((_, row)) => Some(row),
            None => self.before.as_ref(),
        };
        let candidates: Vec<usize> =
            open.iter().enumerate().filter(|(_, (_, row))| Some(row) == found).map(|(position, _)| position).collect();
        let is_settled_candidate = settled == found;
        let absent_from = match (candidates.last(), is_settled_candidate) {
            (Some(position), _) => position + 1,
            (None, true) => 0,
            (None, false) => return Err(self.unexpected(found, settled, open)),
        };
        let only = candidates.first().filter(|_| candidates.len() == 1 && !is_settled_candidate);
        if let Some((id, _)) = only.and_then(|position| open.get(*position)) {
            trails.note(*id, Trail::Present)?;
        }
        open.get(absent_from..).unwrap_or_default().iter().try_for_each(|(id, _)| trails.note(*id, Trail::Absent))
    }

    fn unexpected(&self, found: Option<&Row>, settled: Option<&Row>, open: &[(PostId, Row)]) -> String {
        let earlier = self.posts.iter().any(|(_, row)| Some(row) == found) || self.before.as_ref() == found;
        let what = match (found, earlier) {
            (None, _) => "an acknowledged row is lost",
            (_, true) => "an acknowledged row was overwritten by an earlier one",
            (_, false) => "a row was invented",
        };
        format!("{what}: {settled:?} was acknowledged, open are {open:?}, found is {found:?}")
    }
}

impl Trails {
    fn note(&mut self, id: PostId, trail: Trail) -> Result<(), String> {
        match self.of.insert(id, trail) {
            Some(before) if before != trail && !self.may_tear => {
                Err("one half of a post is there, the other is not".to_owned())
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::rows::{Value, row};
    use super::*;

    fn key(counter: u64) -> SeriesKey {
        SeriesKey::new(model::SlotId(0), counter).unwrap()
    }

    fn value(number: u64) -> Row {
        row(vec![("v".into(), Value::Number(number))])
    }

    /// Posts 0.. bring the value of their number to time 5 of both series; the acknowledged ones are listed.
    fn restarted(posts: u64, acknowledged: &[usize], found: [Option<u64>; 2]) -> Result<(), String> {
        let mut model = Model::default();
        model.create(key(1));
        model.create(key(2));
        for number in 0..posts {
            let rows = vec![(5, value(number))];
            model.begin(vec![(key(1), rows.clone()), (key(2), rows)]);
        }
        acknowledged.iter().for_each(|id| model.acknowledge(PostId(*id)));
        let rows = |found: Option<u64>| found.map(|number| (5, value(number))).into_iter().collect();
        let found = BTreeMap::from([(key(1), rows(found[0])), (key(2), rows(found[1]))]);
        model.settle(found, false, &mut Counts::default())
    }

    #[test]
    fn a_restart_may_keep_or_lose_what_was_not_answered_and_nothing_else() {
        assert_eq!(restarted(3, &[1], [Some(1), Some(1)]), Ok(()));
        assert_eq!(restarted(3, &[1], [Some(2), Some(2)]), Ok(()));
        assert_eq!(restarted(1, &[], [None, None]), Ok(()));
        let error = |posts, acknowledged, found| restarted(posts, acknowledged, found).unwrap_err();
        assert!(error(3, &[1], [None, None]).contains("lost"));
        assert!(error(3, &[1], [Some(0), Some(0)]).contains("earlier"));
        assert!(error(3, &[1], [Some(7), Some(7)]).contains("invented"));
        assert!(error(3, &[1], [Some(2), Some(1)]).contains("half"));
        assert!(error(1, &[], [Some(0), None]).contains("half"));
    }

    #[test]
    fn what_a_restart_has_shown_stays() {
        let mut model = Model::default();
        model.create(key(1));
        model.begin(vec![(key(1), vec![(5, value(1))])]);
        let found = || BTreeMap::from([(key(1), BTreeMap::from([(5, value(1))]))]);
        assert_eq!(model.settle(found(), false, &mut Counts::default()), Ok(()));
        assert_eq!(model.read(key(1), 0, 9), [(5, value(1))]);
        assert!(
            model.settle(BTreeMap::new(), false, &mut Counts::default()).unwrap_err().contains("now there is None")
        );
    }
}
