//! What a series must hold, in little memory: its posts, from which every row can be made again. Of several posts with a
//! position the last one counts, as a whole row.
//!
//! Positions are whole seconds. Appends take the even ones, ascending; points that come late take odd ones between them.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::ops::Range;

use crate::scenario::mixed;

/// Positions between two points of a post.
const STEP: u32 = 2;
const TRACK_COLUMNS: [&str; 4] = ["latitude", "longitude", "altitude", "speed"];

#[derive(Debug)]
pub(super) struct Model {
    /// No two series have the same values.
    key: u64,
    is_track: bool,
    /// The next even position.
    end: u32,
    posts: Vec<Post>,
    /// Posts made so far, also refused ones: no two have the same values.
    made: u32,
}

/// Rows at `first`, `first + STEP`, ...
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Post {
    first: u32,
    count: u32,
    number: u32,
}

impl Model {
    pub(super) fn new(key: u64, is_track: bool) -> Self {
        Self { key, is_track, end: 0, posts: Vec::new(), made: 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.end == 0
    }

    /// The next points in order.
    pub(super) fn append(&mut self, count: u32) -> Post {
        self.post(self.end, count)
    }

    /// Points between those that are there; `place` is anything.
    pub(super) fn late(&mut self, count: u32, place: u32) -> Post {
        let even = self.written_place(count, place);
        self.post(even + 1, count)
    }

    /// Other rows for points that are there.
    pub(super) fn overwrite(&mut self, count: u32, place: u32) -> Post {
        let even = self.written_place(count, place);
        self.post(even, count)
    }

    /// An even position with `count` points from there on, as far as there are so many.
    fn written_place(&self, count: u32, place: u32) -> u32 {
        let last = self.end.saturating_sub(count * STEP);
        place % (last / STEP + 1) * STEP
    }

    fn post(&mut self, first: u32, count: u32) -> Post {
        self.made += 1;
        Post { first, count, number: self.made }
    }

    /// The server has acknowledged it.
    pub(super) fn acknowledged(&mut self, post: Post) {
        self.posts.push(post);
        self.end = self.end.max((post.first + post.count * STEP) & !1);
    }

    /// A range of this length somewhere in what is written.
    pub(super) fn range(&self, span: u32, place: u32) -> Range<u32> {
        let from = place % self.end.saturating_sub(span).max(1);
        from..from + span
    }

    pub(super) fn body(&self, post: Post) -> Vec<u8> {
        let columns = self.columns(post.number);
        let mut body = r#"{"format":"flatJSON","fields":["deltaTime""#.to_owned();
        for column in columns {
            let _ = write!(body, ",\"{column}\"");
        }
        body.push_str("],\"points\":[");
        for index in 0..post.count {
            let position = post.first + index * STEP;
            let _ = write!(body, "{}[{position}", if index > 0 { "," } else { "" });
            for column in 0..columns.len() {
                let hundredths = self.hundredths(post.number, position, column);
                let _ = write!(body, ",{}.{:02}", hundredths / 100, hundredths % 100);
            }
            body.push(']');
        }
        body.push_str("]}");
        body.into_bytes()
    }

    /// Positions with the number of the post whose row stands there.
    pub(super) fn rows(&self, range: Range<u32>) -> BTreeMap<u32, u32> {
        let mut rows = BTreeMap::new();
        for post in &self.posts {
            let end = post.first + post.count * STEP;
            let skipped = range.start.saturating_sub(post.first).div_ceil(STEP) * STEP;
            let positions = (post.first + skipped..end.min(range.end)).step_by(2);
            rows.extend(positions.map(|position| (position, post.number)));
        }
        rows
    }

    /// A post of a track has optional columns in turn, so that an overwrite must make some of them vanish.
    pub(super) fn columns(&self, number: u32) -> &'static [&'static str] {
        match (self.is_track, number % 3) {
            (false, _) => &["value"],
            (true, 0) => &TRACK_COLUMNS,
            (true, 1) => TRACK_COLUMNS.split_at(2).0,
            (true, _) => TRACK_COLUMNS.split_at(3).0,
        }
    }

    /// The value of a column, if the post wrote one.
    pub(super) fn value(&self, number: u32, position: u32, column: &str) -> Option<f64> {
        let at = self.columns(number).iter().position(|known| *known == column)?;
        // A whole number of hundredths over 100 is the double that its decimals mean.
        Some(f64::from(self.hundredths(number, position, at)) / 100.0)
    }

    /// As a sensor: two decimals within a band.
    fn hundredths(&self, number: u32, position: u32, column: usize) -> u32 {
        let column = u64::try_from(column).unwrap_or_default();
        let seed = self.key ^ u64::from(number) << 40 ^ u64::from(position) << 8 ^ column;
        4_000 + u32::try_from(mixed(seed) % 1_000).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn positions(model: &Model, post: Post) -> Vec<u64> {
        let body: Value = serde_json::from_slice(&model.body(post)).unwrap();
        body["points"].as_array().unwrap().iter().map(|row| row[0].as_u64().unwrap()).collect()
    }

    #[test]
    fn appends_follow_each_other_and_late_points_lie_between_them() {
        let mut model = Model::new(1, false);
        for expected in [[0, 2, 4], [6, 8, 10]] {
            let post = model.append(3);
            assert_eq!(positions(&model, post), expected);
            model.acknowledged(post);
        }
        for place in 0..20 {
            let late = model.late(3, place);
            let positions = positions(&model, late);
            assert!(positions.iter().all(|at| at % 2 == 1 && *at < 12), "{positions:?}");
            let over = model.overwrite(2, place);
            assert!(over.first.is_multiple_of(2) && over.first + 2 < 12, "{over:?}");
        }
    }

    #[test]
    fn a_refused_post_leaves_its_place_to_the_next() {
        let mut model = Model::new(1, false);
        let refused = model.append(3);
        let next = model.append(3);
        assert_eq!(refused.first, next.first);
        assert_ne!(model.body(refused), model.body(next));
        model.acknowledged(next);
        assert_eq!(model.rows(0..100).into_values().collect::<Vec<_>>(), [next.number; 3]);
    }

    #[test]
    fn the_last_post_of_a_position_counts_and_bounds_are_half_open() {
        let mut model = Model::new(1, false);
        for post in [
            Post { first: 0, count: 5, number: 1 },
            Post { first: 3, count: 2, number: 2 },
            Post { first: 4, count: 1, number: 3 },
        ] {
            model.acknowledged(post);
        }
        let rows: Vec<(u32, u32)> = model.rows(2..6).into_iter().collect();
        assert_eq!(rows, [(2, 1), (3, 2), (4, 3), (5, 2)]);
        assert!(model.rows(9..100).is_empty());
    }

    #[test]
    fn the_values_of_a_body_are_those_that_are_expected() {
        let mut model = Model::new(7, true);
        for _ in 0..3 {
            let post = model.append(4);
            let body: Value = serde_json::from_slice(&model.body(post)).unwrap();
            let fields: Vec<&str> =
                body["fields"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
            for row in body["points"].as_array().unwrap() {
                let position = u32::try_from(row[0].as_u64().unwrap()).unwrap();
                for (at, field) in fields.iter().enumerate().skip(1) {
                    assert_eq!(model.value(post.number, position, field), row[at].as_f64(), "{field}");
                }
            }
            assert_eq!(model.value(post.number, 0, "bearing"), None);
            model.acknowledged(post);
        }
    }
}
