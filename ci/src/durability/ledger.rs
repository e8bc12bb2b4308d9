//! What was sent and what was acknowledged, and the comparison with what is read back after an outage.
//!
//! Nothing is ever sent twice, so that each point and event read back belongs to exactly one request:
//! acknowledged -> all of it is there; unanswered -> all of it or nothing; never sent -> must not exist.

use std::collections::HashMap;

use serde::Deserialize;

/// At most this many problems are written out; a broken run would name millions.
const PROBLEMS_SHOWN_MAX: usize = 20;

/// Differences between the promises and the data.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Findings {
    pub(crate) lost: u64,
    pub(crate) invented: u64,
    /// Requests of which only a part survived.
    pub(crate) torn: u64,
    pub(crate) problems: Vec<String>,
}

impl Findings {
    pub(crate) fn is_clean(&self) -> bool {
        self.lost == 0 && self.invented == 0 && self.torn == 0
    }

    pub(crate) fn merge(&mut self, other: Self) {
        self.lost += other.lost;
        self.invented += other.invented;
        self.torn += other.torn;
        other.problems.into_iter().for_each(|problem| self.explain(problem));
    }

    fn explain(&mut self, problem: String) {
        if self.problems.len() < PROBLEMS_SHOWN_MAX {
            self.problems.push(problem);
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// Sent, no answer (yet), or refused.
    Unanswered,
    Acknowledged,
    /// Found absent after a recovery: it may not come back later.
    Absent,
}

#[derive(Debug, Clone, Copy)]
struct Post {
    first: u64,
    count: u64,
    fate: Fate,
}

/// The posts of one writer to its own series. Point `i` has the time `i` and a value that only this writer would give it.
#[derive(Debug)]
pub(crate) struct SeriesLedger {
    writer: u64,
    posts: Vec<Post>,
    /// Posts before this one were compared since the last outage and cannot change any more.
    settled: usize,
}

/// `GET .../series`, as far as the comparison needs it.
#[derive(Debug, Deserialize)]
pub(crate) struct SeriesAnswer {
    pub(crate) fields: Vec<String>,
    pub(crate) points: Vec<(f64, f64)>,
}

impl SeriesLedger {
    pub(crate) fn new(writer: u64) -> Self {
        Self { writer, posts: Vec::new(), settled: 0 }
    }

    /// Notes a post of `count` new points as sent and returns its body.
    pub(crate) fn prepare(&mut self, count: u64) -> String {
        let first = self.sent_count();
        self.posts.push(Post { first, count, fate: Fate::Unanswered });
        let points: Vec<_> = (first..first + count).map(|i| format!("[{i},{}]", value_of(self.writer, i))).collect();
        format!(r#"{{"format":"flatJSON","fields":["deltaTime","value"],"points":[{}]}}"#, points.join(","))
    }

    /// The last prepared post was answered 200.
    pub(crate) fn acknowledge(&mut self) {
        if let Some(post) = self.posts.last_mut() {
            post.fate = Fate::Acknowledged;
        }
    }

    pub(crate) fn sent_count(&self) -> u64 {
        self.posts.last().map_or(0, |post| post.first + post.count)
    }

    pub(crate) fn acknowledged_count(&self) -> u64 {
        self.posts.iter().filter(|post| post.fate == Fate::Acknowledged).map(|post| post.count).sum()
    }

    /// The time from which an answer is needed to compare what is not settled yet.
    pub(crate) fn unsettled_from(&self) -> u64 {
        self.posts.get(self.settled).map_or_else(|| self.sent_count(), |post| post.first)
    }

    /// Compares the points with a time of at least `from`, which must be where a post begins.
    pub(crate) fn compare(&mut self, from: u64, points: &[(f64, f64)]) -> Findings {
        let mut findings = Findings::default();
        let mut rest = points;
        for post in self.posts.iter_mut().filter(|post| post.first >= from) {
            let found = take_post(self.writer, *post, &mut rest, &mut findings);
            settle(self.writer, post, found, &mut findings);
        }
        if let Some(point) = rest.first() {
            findings.invented += u64::try_from(rest.len()).unwrap_or(u64::MAX);
            findings.explain(format!("writer {}: {point:?} lies beyond everything sent", self.writer));
        }
        self.settled = self.posts.len();
        findings
    }
}

/// Takes the points that lie in the time range of `post` and counts those which it sent.
fn take_post(writer: u64, post: Post, rest: &mut &[(f64, f64)], findings: &mut Findings) -> u64 {
    let end = post.first + post.count;
    let mut found = 0;
    let mut expected = post.first;
    while let Some(((time, value), others)) = rest.split_first().filter(|((time, _), _)| *time < end as f64) {
        *rest = others;
        while expected < end && (expected as f64) < *time {
            expected += 1;
        }
        if (expected as f64) == *time && expected < end && value_of(writer, expected) == *value {
            found += 1;
            expected += 1;
        } else {
            findings.invented += 1;
            findings.explain(format!("writer {writer}: the point {time} = {value} was never sent, or comes twice"));
        }
    }
    found
}

fn settle(writer: u64, post: &mut Post, found: u64, findings: &mut Findings) {
    let describe = |what: &str| format!("writer {writer}: post {}+{}: {what}, {found} found", post.first, post.count);
    match post.fate {
        Fate::Acknowledged if found < post.count => {
            findings.lost += post.count - found;
            findings.explain(describe("acknowledged points are lost"));
        }
        Fate::Absent if found > 0 => {
            findings.invented += found;
            findings.explain(describe("points came back after they were absent"));
        }
        Fate::Unanswered if found == 0 => post.fate = Fate::Absent,
        Fate::Unanswered if found == post.count => post.fate = Fate::Acknowledged,
        Fate::Unanswered => {
            findings.torn += 1;
            findings.explain(describe("only a part of an unanswered post survived"));
        }
        Fate::Acknowledged | Fate::Absent => {}
    }
}

/// Any point of any writer has its own value, exact in a double and short in JSON.
fn value_of(writer: u64, index: u64) -> f64 {
    let mixed = index.wrapping_mul(2_654_435_761).wrapping_add(writer.wrapping_mul(40_503)) % 1_000_003;
    mixed as f64 / 8.0
}

/// The events of one creator, told apart by their content.
#[derive(Debug)]
pub(crate) struct EventLedger {
    creator: u64,
    /// By content: the id when it was acknowledged.
    sent: HashMap<String, Option<String>>,
}

impl EventLedger {
    pub(crate) fn new(creator: u64) -> Self {
        Self { creator, sent: HashMap::new() }
    }

    /// Notes an event as sent and returns its content, different from every other one.
    pub(crate) fn prepare(&mut self) -> String {
        let content = format!("event {} of creator {}", self.sent.len(), self.creator);
        self.sent.insert(content.clone(), None);
        content
    }

    pub(crate) fn acknowledge(&mut self, content: &str, id: &str) {
        self.sent.insert(content.to_owned(), Some(id.to_owned()));
    }

    pub(crate) fn acknowledged_count(&self) -> u64 {
        u64::try_from(self.sent.values().flatten().count()).unwrap_or(u64::MAX)
    }

    /// Compares all events of the creator, each given as (id, content).
    pub(crate) fn compare(&mut self, events: &[(String, String)]) -> Findings {
        let mut findings = Findings::default();
        let mut seen = HashMap::with_capacity(events.len());
        for (id, content) in events {
            let is_known = self.sent.get(content).is_some_and(|known| known.as_ref().is_none_or(|known| known == id));
            if !is_known || seen.insert(content.clone(), id.clone()).is_some() {
                findings.invented += 1;
                findings
                    .explain(format!("creator {}: {content:?} as {id} was never sent, or comes twice", self.creator));
            }
        }
        for (content, id) in self.sent.iter().filter_map(|(content, id)| id.as_ref().map(|id| (content, id))) {
            if !seen.contains_key(content) {
                findings.lost += 1;
                findings.explain(format!("creator {}: the acknowledged {content:?} ({id}) is lost", self.creator));
            }
        }
        // What survived without an answer is there to stay; what did not may not come back.
        self.sent = seen.into_iter().map(|(content, id)| (content, Some(id))).collect();
        findings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger(posts: &[(u64, bool)]) -> SeriesLedger {
        let mut ledger = SeriesLedger::new(3);
        for (count, is_acknowledged) in posts {
            ledger.prepare(*count);
            if *is_acknowledged {
                ledger.acknowledge();
            }
        }
        ledger
    }

    fn points(range: std::ops::Range<u64>) -> Vec<(f64, f64)> {
        range.map(|i| (i as f64, value_of(3, i))).collect()
    }

    #[test]
    fn all_acknowledged_points_found_is_clean() {
        assert!(ledger(&[(10, true), (5, true)]).compare(0, &points(0..15)).is_clean());
    }

    #[test]
    fn a_missing_acknowledged_point_is_lost() {
        let mut found = points(0..15);
        found.remove(12);
        assert_eq!(ledger(&[(10, true), (5, true)]).compare(0, &found).lost, 1);
        assert_eq!(ledger(&[(10, true), (5, true)]).compare(0, &[]).lost, 15);
    }

    #[test]
    fn an_unanswered_post_may_be_there_or_not_but_not_in_part() {
        assert!(ledger(&[(10, true), (5, false)]).compare(0, &points(0..10)).is_clean());
        assert!(ledger(&[(10, true), (5, false)]).compare(0, &points(0..15)).is_clean());
        assert_eq!(ledger(&[(10, true), (5, false)]).compare(0, &points(0..12)).torn, 1);
    }

    #[test]
    fn a_point_never_sent_is_invented() {
        assert_eq!(ledger(&[(10, true)]).compare(0, &points(0..11)).invented, 1);
        let mut wrong = points(0..10);
        wrong[4].1 += 1.0;
        let findings = ledger(&[(10, true)]).compare(0, &wrong);
        assert_eq!((findings.invented, findings.lost), (1, 1));
        let mut twice = points(0..10);
        twice.insert(4, twice[4]);
        assert_eq!(ledger(&[(10, true)]).compare(0, &twice).invented, 1);
    }

    #[test]
    fn an_unanswered_post_found_absent_may_not_come_back_and_one_found_may_not_go() {
        let mut absent = ledger(&[(10, true), (5, false)]);
        assert!(absent.compare(0, &points(0..10)).is_clean());
        assert_eq!(absent.compare(0, &points(0..15)).invented, 5);
        let mut present = ledger(&[(10, true), (5, false)]);
        assert!(present.compare(0, &points(0..15)).is_clean());
        assert_eq!(present.compare(0, &points(0..10)).lost, 5);
    }

    #[test]
    fn only_the_posts_after_the_last_comparison_need_to_be_read_again() {
        let mut ledger = ledger(&[(10, true)]);
        assert!(ledger.compare(0, &points(0..10)).is_clean());
        assert_eq!(ledger.unsettled_from(), 10);
        ledger.prepare(3);
        ledger.acknowledge();
        assert!(ledger.compare(10, &points(10..13)).is_clean());
        assert_eq!(ledger.acknowledged_count(), 13);
    }

    #[test]
    fn a_lost_an_invented_and_a_doubled_event_are_each_found() {
        let mut ledger = EventLedger::new(1);
        let (first, second) = (ledger.prepare(), ledger.prepare());
        ledger.acknowledge(&first, "id1");
        let item = |id: &str, content: &str| (id.to_owned(), content.to_owned());
        assert!(ledger.compare(&[item("id1", &first), item("id2", &second)]).is_clean());
        assert_eq!(ledger.compare(&[item("id1", &first)]).lost, 1);
        assert_eq!(ledger.compare(&[item("id1", &first), item("x", "other")]).invented, 1);
        assert_eq!(ledger.compare(&[item("id1", &first), item("id9", &first)]).invented, 1);
    }
}
