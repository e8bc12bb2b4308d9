//! What the clients send: series of several shapes; rows in order, out of order, over others, twice; small and huge.

use std::sync::{Arc, LazyLock};

use model::{SeriesKey, SlotId};

use super::model::Batch;
use super::rows::{Row, Value, row};
use crate::random::Random;

const SECOND_NS: i64 = 1_000_000_000;
/// Times that are written again and again.
const CROWDED_TIMES: u64 = 48;
/// No post has a time at which a bucket begins: the bucket wins there, which the model does not know.
const BUCKET_NS: i64 = 7 * SECOND_NS + 123;
/// Live series that a seed begins with.
const SERIES_MAX: usize = 7;

pub(super) struct Poster {
    slots: u64,
    /// No infinities, no NaN, no name of two kinds: what retention makes of the rows can be computed.
    is_plain: bool,
    series: Vec<Source>,
    counter_last: u64,
    value_last: u64,
    /// Sent again now and then, as a client does that has missed the answer.
    last: Batch,
}

/// One sensor.
struct Source {
    key: SeriesKey,
    shape: Shape,
    cursor_ns: i64,
}

#[derive(Clone, Copy)]
enum Shape {
    Number,
    Track,
    Text,
    Boolean,
    /// All kinds, many cells without a value, one name with two kinds.
    Mixed,
}

/// The columns; made once, since there are many rows.
struct Names {
    value: Arc<str>,
    track: [Arc<str>; 3],
    state: Arc<str>,
    on: Arc<str>,
    size: Arc<str>,
}

static NAMES: LazyLock<Names> = LazyLock::new(|| Names {
    value: "value".into(),
    track: ["alt".into(), "lat".into(), "lon".into()],
    state: "state".into(),
    on: "on".into(),
    size: "größe".into(),
});

const SHAPES: &[Shape] = &[Shape::Number, Shape::Number, Shape::Track, Shape::Text, Shape::Boolean, Shape::Mixed];

impl Poster {
    pub(super) fn new(random: &mut Random) -> Self {
        let mut poster = Self {
            // Few, so that there are neighbours to merge.
            slots: [1, 1, 2, 4].get(random.below(4)).copied().unwrap_or(1),
            is_plain: random.one_in(2),
            series: Vec::new(),
            counter_last: 0,
            value_last: 0,
            last: Batch::new(),
        };
        for _ in 0..=random.below(SERIES_MAX) {
            poster.create(random);
        }
        poster
    }

    pub(super) fn slots(&self) -> u64 {
        self.slots
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = SeriesKey> {
        self.series.iter().map(|source| source.key)
    }

    /// A new series; its key was never used before.
    pub(super) fn create(&mut self, random: &mut Random) -> SeriesKey {
        self.counter_last += 1;
        let slot = SlotId(u16::try_from(random.between(0, self.slots)).expect("a few slots"));
        let key = SeriesKey::new(slot, self.counter_last).expect("a few series");
        let shape = any_shape(self.is_plain, random);
        self.series.push(Source { key, shape, cursor_ns: 1_000 * SECOND_NS });
        key
    }

    /// What a retention rule may leave: whole buckets, always of the same length, or nothing.
    pub(super) fn bucket_ns(&self, random: &mut Random) -> Option<i64> {
        (self.is_plain && !random.one_in(3)).then_some(BUCKET_NS)
    }

    pub(super) fn delete(&mut self, key: SeriesKey) {
        self.series.retain(|source| source.key != key);
        self.last.retain(|(other, _)| *other != key);
    }

    /// One post to some of the series that `is_of_shard` admits; empty when there are none.
    pub(super) fn batch(&mut self, is_of_shard: impl Fn(SeriesKey) -> bool, random: &mut Random) -> Batch {
        let is_whole = self.last.iter().all(|(key, _)| is_of_shard(*key));
        if is_whole && !self.last.is_empty() && random.one_in(20) {
            return self.last.clone();
        }
        let mut here: Vec<&mut Source> = self.series.iter_mut().filter(|source| is_of_shard(source.key)).collect();
        let mut batch = Batch::new();
        let parts = if here.is_empty() { 0 } else { 1 + random.below(3) };
        for _ in 0..parts {
            let position = random.below(here.len());
            if let Some(source) = here.get_mut(position) {
                batch.push((source.key, source.rows(self.is_plain, &mut self.value_last, random)));
            }
        }
        self.last.clone_from(&batch);
        batch
    }

    /// One row with one number.
    pub(super) fn single(&mut self, key: SeriesKey, random: &mut Random) -> Batch {
        self.value_last += 1;
        let time_ns = signed(random.between(1, CROWDED_TIMES)) * SECOND_NS;
        vec![(key, vec![(time_ns, Shape::Number.row(true, self.value_last, random))])]
    }

    /// Rows for a series that is no more.
    pub(super) fn stale(&mut self, key: SeriesKey, random: &mut Random) -> Batch {
        let mut source = Source { key, shape: Shape::Text, cursor_ns: 0 };
        vec![(key, source.rows(self.is_plain, &mut self.value_last, random))]
    }
}

impl Source {
    fn rows(&mut self, is_plain: bool, value_last: &mut u64, random: &mut Random) -> Vec<(i64, Row)> {
        if random.one_in(60) {
            self.shape = any_shape(is_plain, random);
        }
        let count = match random.below(800) {
            0 => random.between(500, 5_000),
            1..30 => random.between(10, 100),
            _ => random.between(1, 7),
        };
        let order = random.below(8);
        let mut rows = Vec::new();
        for _ in 0..count {
            *value_last += 1;
            rows.push((self.time_ns(is_plain, order, random), self.shape.row(is_plain, *value_last, random)));
        }
        rows
    }

    fn time_ns(&mut self, is_plain: bool, order: usize, random: &mut Random) -> i64 {
        match order {
            // As a sensor measures: evenly, or nearly.
            0..4 => {
                let jitter = if order == 0 { signed(random.between(0, 1_000_000)) } else { 0 };
                self.cursor_ns = self.cursor_ns.saturating_add(SECOND_NS);
                self.cursor_ns.saturating_add(jitter)
            }
            4..7 => signed(random.between(1, CROWDED_TIMES)) * SECOND_NS,
            _ => match random.below(6) {
                0 if !is_plain => i64::MIN,
                // The largest time that an append takes.
                1 => i64::MAX - 1,
                _ => signed(random.next()).min(i64::MAX - 1),
            },
        }
    }
}

impl Shape {
    fn row(self, is_plain: bool, value: u64, random: &mut Random) -> Row {
        match self {
            Shape::Number => row(vec![(NAMES.value.clone(), number(is_plain, value, random))]),
            Shape::Track => {
                row(NAMES.track.iter().map(|name| (name.clone(), number(is_plain, value, random))).collect())
            }
            Shape::Text => row(vec![(NAMES.state.clone(), text(value, random))]),
            Shape::Boolean => row(vec![(NAMES.on.clone(), Value::Boolean(value.is_multiple_of(2)))]),
            Shape::Mixed => row(mixed(is_plain, value, random)),
        }
    }
}

fn mixed(is_plain: bool, value: u64, random: &mut Random) -> Vec<(Arc<str>, Value)> {
    let all = [
        (&NAMES.value, number(is_plain, value, random)),
        (&NAMES.value, text(value, random)),
        (&NAMES.on, Value::Boolean(value.is_multiple_of(3))),
        (&NAMES.size, number(is_plain, value, random)),
    ];
    all.into_iter().filter(|_| !random.one_in(3)).map(|(name, value)| (name.clone(), value)).collect()
}

fn number(is_plain: bool, value: u64, random: &mut Random) -> Value {
    const ODD: [f64; 7] =
        [-0.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MIN_POSITIVE / 2.0, f64::MAX, 1.0e-300];
    let plain = f64::from(u32::try_from(value).unwrap_or(u32::MAX));
    let number = match random.below(24) {
        0 | 6 if is_plain => plain * 0.1,
        0 => random.pick(&ODD).copied().unwrap_or(plain),
        1..6 => plain / 100.0,
        6 => f64::from_bits(random.next()),
        _ => plain,
    };
    Value::Number(number.to_bits())
}

fn text(value: u64, random: &mut Random) -> Value {
    match random.below(30) {
        0 => Value::Text(format!("{value} ").repeat(200).into()),
        1 => Value::Text("".into()),
        2..15 => Value::Text(format!("état {value}").into()),
        _ => Value::Text(["idle", "walking", "asleep"].get(random.below(3)).copied().unwrap_or("idle").into()),
    }
}

fn any_shape(is_plain: bool, random: &mut Random) -> Shape {
    // The last one is for worlds that are not plain.
    let count = SHAPES.len() - usize::from(is_plain);
    SHAPES.get(random.below(count)).copied().unwrap_or(Shape::Number)
}

fn signed(word: u64) -> i64 {
    word.cast_signed()
}
