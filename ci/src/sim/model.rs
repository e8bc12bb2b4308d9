//! The truth: what a node that keeps its promises would answer. No files, no segments, only the order of the acts.
//!
//! While a process lives its answers are known exactly: the acknowledged acts, in their order. What a restart makes of
//! those that got no answer, or a refusal, is open: each is there as a whole or not at all, and never over a later
//! acknowledged one. After the restart that is settled, and known exactly again.

use std::collections::BTreeMap;

use model::SeriesKey;
use series::Retain;

use super::counts::{Counts, Event};
use super::reduction::reduce;
use super::rows::Row;

/// A post or a reduction of the present life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ActId(usize);

/// What a post brings, in its order: the last row of a time counts.
pub(super) type Batch = Vec<(SeriesKey, Vec<(i64, Row)>)>;

/// What an act makes of some rows; `None`: the row goes.
type Changes = Vec<(SeriesKey, Vec<(i64, Option<Row>)>)>;

#[derive(Default)]
pub(super) struct Model {
    series: BTreeMap<SeriesKey, Series>,
    acts: Vec<Act>,
}

#[derive(Default)]
struct Series {
    /// What a reader sees now.
    rows: BTreeMap<i64, Row>,
    /// What was changed in this life, in the order of the acts.
    writes: BTreeMap<i64, Writes>,
}

struct Writes {
    /// What was there when the life began.
    before: Option<Row>,
    acts: Vec<(ActId, Option<Row>)>,
}

struct Act {
    changes: Changes,
    is_reduction: bool,
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
    of: BTreeMap<ActId, Trail>,
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

    pub(super) fn delete(&mut self, key: SeriesKey) {
        self.series.remove(&key);
    }

    /// A post was taken in; whether it is acknowledged is to be seen.
    pub(super) fn begin(&mut self, batch: Batch) -> ActId {
        let some = |rows: Vec<(i64, Row)>| rows.into_iter().map(|(time_ns, row)| (time_ns, Some(row))).collect();
        self.begin_act(batch.into_iter().map(|(key, rows)| (key, some(rows))).collect(), false)
    }

    /// Retention begins. All rows of these series are in segments, and no post to them is on its way.
    pub(super) fn begin_reduction(&mut self, rules: &[Retain]) -> ActId {
        let of_rule = |rule: &Retain| Some((rule.key, reduce(&self.series.get(&rule.key)?.rows, *rule)));
        self.begin_act(rules.iter().filter_map(of_rule).collect(), true)
    }

    fn begin_act(&mut self, changes: Changes, is_reduction: bool) -> ActId {
        let id = ActId(self.acts.len());
        for (key, rows) in &changes {
            let Some(series) = self.series.get_mut(key) else { continue };
            for (time_ns, row) in rows {
                let before = series.rows.get(time_ns).cloned();
                let writes = series.writes.entry(*time_ns).or_insert_with(|| Writes { before, acts: Vec::new() });
                // Of two rows of a time in one post the last one counts.
                writes.acts.retain(|(act, _)| *act != id);
                writes.acts.push((id, row.clone()));
            }
        }
        self.acts.push(Act { changes, is_reduction, is_acknowledged: false });
        id
    }

    /// The client has its answer 200; the rule was applied.
    pub(super) fn acknowledge(&mut self, id: ActId) {
        let Some(act) = self.acts.get_mut(id.0) else { return };
        act.is_acknowledged = true;
        let changes = std::mem::take(&mut act.changes);
        for (key, rows) in &changes {
            let Some(series) = self.series.get_mut(key) else { continue };
            for (time_ns, row) in rows {
                let later = series.writes.get(time_ns).into_iter().flat_map(|writes| &writes.acts);
                let is_overwritten =
                    later.filter(|(act, _)| *act > id).any(|(act, _)| is_acknowledged(&self.acts, *act));
                match row {
                    _ if is_overwritten => {}
                    Some(row) => drop(series.rows.insert(*time_ns, row.clone())),
                    None => drop(series.rows.remove(time_ns)),
                }
            }
        }
    }

    /// It was not even begun.
    pub(super) fn give_up(&mut self, id: ActId) {
        for series in self.series.values_mut() {
            series.writes.values_mut().for_each(|writes| writes.acts.retain(|(act, _)| *act != id));
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
                .compare(found, &self.acts, &mut trails)
                .map_err(|what| format!("series {:#x}: {what}", key.as_u64()))?;
        }
        for trail in trails.of.values() {
            counts.one(match trail {
                Trail::Present => Event::OpenPostSurvived,
                Trail::Absent => Event::OpenPostLost,
            });
        }
        self.acts.clear();
        for (key, series) in &mut self.series {
            series.rows = found.remove(key).unwrap_or_default();
            series.writes.clear();
        }
        Ok(())
    }
}

impl Series {
    fn compare(&self, found: &BTreeMap<i64, Row>, acts: &[Act], trails: &mut Trails) -> Result<(), String> {
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
            writes.compare(found.get(time_ns), acts, trails).map_err(|what| format!("at {time_ns} {what}"))?;
        }
        Ok(())
    }
}

impl Writes {
    /// Whether the row may be there, and what that tells of the open posts.
    fn compare(&self, found: Option<&Row>, acts: &[Act], trails: &mut Trails) -> Result<(), String> {
        let last = |is_reduction| {
            let is_such = |id: &ActId| acts.get(id.0).is_some_and(|act| act.is_reduction == is_reduction);
            self.acts.iter().rposition(|(id, _)| is_such(id) && is_acknowledged(acts, *id))
        };
        let (post, reduction) = (last(false), last(true));
        // What was reduced comes back with the log that still holds it, to be reduced once more.
        let open_from = post.map_or(0, |position| position + 1);
        let open = self.acts.get(open_from..).unwrap_or_default();
        let is_reduced_last = reduction > post;
        let row_at = |position: usize| self.acts.get(position).map(|(_, row)| row.as_ref());
        let mut settled = vec![post.and_then(row_at).unwrap_or(self.before.as_ref())];
        if let Some(reduced) = reduction.filter(|_| is_reduced_last).and_then(row_at) {
            settled = if post.is_some() { vec![settled.remove(0), reduced] } else { vec![reduced] };
        }
        let candidates: Vec<usize> = (0..open.len())
            .filter(|position| open.get(*position).is_some_and(|(_, row)| row.as_ref() == found))
            .collect();
        let is_settled = settled.contains(&found);
        if candidates.is_empty() && !is_settled {
            return Err(self.unexpected(found, &settled, open));
        }
        if is_reduced_last {
            return Ok(());
        }
        let only = candidates.first().filter(|_| candidates.len() == 1 && !is_settled);
        if let Some((id, _)) = only.and_then(|position| open.get(*position)) {
            trails.note(*id, Trail::Present, acts)?;
        }
        let absent = open.get(candidates.last().map_or(0, |position| position + 1)..).unwrap_or_default();
        absent.iter().try_for_each(|(id, _)| trails.note(*id, Trail::Absent, acts))
    }

    fn unexpected(&self, found: Option<&Row>, settled: &[Option<&Row>], open: &[(ActId, Option<Row>)]) -> String {
        let earlier = self.acts.iter().any(|(_, row)| row.as_ref() == found) || self.before.as_ref() == found;
        let what = match (found, earlier) {
            (None, _) => "an acknowledged row is lost",
            (_, true) => "an acknowledged row was overwritten by an earlier one",
            (_, false) => "a row was invented",
        };
        format!("{what}: {settled:?} was acknowledged, open are {open:?}, found is {found:?}")
    }
}

impl Trails {
    fn note(&mut self, id: ActId, trail: Trail, acts: &[Act]) -> Result<(), String> {
        // A reduction may be covered by what the log brings back.
        if acts.get(id.0).is_none_or(|act| act.is_reduction) {
            return Ok(());
        }
        match self.of.insert(id, trail) {
            Some(before) if before != trail && !self.may_tear => {
                Err("one half of a post is there, the other is not".to_owned())
            }
            _ => Ok(()),
        }
    }
}

fn is_acknowledged(acts: &[Act], id: ActId) -> bool {
    acts.get(id.0).is_some_and(|act| act.is_acknowledged)
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
        acknowledged.iter().for_each(|id| model.acknowledge(ActId(*id)));
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

    #[test]
    fn a_reduction_counts_as_a_whole_write_that_later_posts_overwrite_and_the_log_may_undo() {
        let rule = Retain { key: key(1), before_ns: 9, bucket_ns: None };
        let post = |model: &mut Model, number| {
            let id = model.begin(vec![(key(1), vec![(5, value(number))])]);
            model.acknowledge(id);
        };
        let settle = |model: &mut Model, found: Option<u64>| {
            let rows = found.map(|number| (5, value(number))).into_iter().collect();
            model.settle(BTreeMap::from([(key(1), rows)]), false, &mut Counts::default()).is_ok()
        };
        let reduced = || {
            let mut model = Model::default();
            model.create(key(1));
            post(&mut model, 1);
            let id = model.begin_reduction(&[rule]);
            model.acknowledge(id);
            model
        };
        assert_eq!(reduced().read(key(1), 0, 9), []);
        assert!(settle(&mut reduced(), None));
        assert!(settle(&mut reduced(), Some(1)), "replayed");
        assert!(!settle(&mut reduced(), Some(2)));
        let mut model = reduced();
        assert!(settle(&mut model, None));
        assert!(!settle(&mut model, Some(1)), "its log is gone");
        let mut model = reduced();
        post(&mut model, 2);
        assert_eq!(model.read(key(1), 0, 9), [(5, value(2))]);
        assert!(!settle(&mut model, None));
    }
}
