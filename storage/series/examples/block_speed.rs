//! What a block of 4096 rows costs: bytes and time per point, for series of different kinds.
//!
//! `cargo run --release -p series --example block_speed [rounds]`: the best of that many rounds, 200 if not said.

#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    reason = "a measurement by hand"
)]

use series::segment::block::{Effort, decode, encode};
use series::{Cells, Column, Points};
use std::hint::black_box;
use std::time::Instant;

const ROWS: usize = 4096;
const ROUNDS: usize = 200;

fn main() {
    let rounds = std::env::args().nth(1).map_or(ROUNDS, |rounds| rounds.parse().unwrap());
    println!("| series | flush B/point | merge B/point | flush M/s | merge M/s | read flushed M/s | read merged M/s |");
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    for (name, points) in all() {
        let [flush, merge] = [Effort::Flush, Effort::Merge].map(|effort| measure(&points, effort, rounds));
        println!(
            "| {name} | {:.2} | {:.2} | {:.0} | {:.0} | {:.0} | {:.0} |",
            flush.bytes, merge.bytes, flush.encoded, merge.encoded, flush.decoded, merge.decoded
        );
    }
}

/// Bytes for each point; millions of points a second.
struct Measured {
    bytes: f64,
    encoded: f64,
    decoded: f64,
}

fn measure(points: &Points, effort: Effort, rounds: usize) -> Measured {
    let mut block = Vec::new();
    let encoded = best(rounds, || {
        block.clear();
        encode(black_box(points), effort, &mut block);
    });
    let decoded = best(rounds, || drop(black_box(decode(black_box(&block)).unwrap())));
    Measured { bytes: block.len() as f64 / ROWS as f64, encoded, decoded }
}

fn best(rounds: usize, mut act: impl FnMut()) -> f64 {
    let round = |_| {
        let start = Instant::now();
        act();
        start.elapsed().as_secs_f64()
    };
    ROWS as f64 / 1e6 / (0..rounds).map(round).fold(f64::MAX, f64::min)
}

fn all() -> Vec<(&'static str, Points)> {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let counter = numbers((0..ROWS).map(|row| row as f64).collect());
    let noise = numbers((0..ROWS).map(|_| (2150.0 + 5.0 * random.normal()).round() / 100.0).collect());
    let walk = walk(&mut random, 2.0, 100.0, 21.5);
    let doubles = (0..ROWS).map(|_| random.unit()).collect();
    let singles = (0..ROWS).map(|row| f64::from((row as f32 * 0.01).sin() + 0.01 * random.normal() as f32)).collect();
    let track = vec![
        number("latitude", self::walk(&mut random, 12.0, 1e6, 46.519_653)),
        number("longitude", self::walk(&mut random, 17.0, 1e6, 6.632_273)),
        number("altitude", self::walk(&mut random, 3.0, 10.0, 495.0)),
    ];
    let dictionary = ["awake", "light", "deep", "rem"].map(Into::into).to_vec();
    let codes = (0..ROWS).map(|row| (row as u32 / 90) * 7 % 4).collect();
    let text = Column { name: "state".into(), cells: Cells::Text { dictionary, codes }, present: None };
    let flags = (0..ROWS).map(|_| random.unit() < 0.3).collect();
    let flags = Column { name: "flag".into(), cells: Cells::Boolean(flags), present: None };
    let jitter: Vec<i64> =
        (0i64..).take(ROWS).map(|row| row * 1_000_000_000 + (2e6 * random.normal()) as i64).collect();
    let millis = (0i64..).take(ROWS).map(|row| (row * 1000 + (20.0 * random.normal()) as i64) * 1_000_000).collect();
    let times = || (0i64..).take(ROWS).map(|row| row * 1_000_000_000).collect::<Vec<i64>>();
    let at = |times_ns, columns| Points { times_ns, columns };
    vec![
        ("1 Hz counter", at(times(), vec![counter])),
        ("ECG, 250 Hz, 12 bits", at((0i64..).take(ROWS).map(|row| row * 4_000_000).collect(), vec![ecg(&mut random)])),
        ("1 Hz, 2 digits, noise", at(times(), vec![noise.clone()])),
        ("1 Hz, 2 digits, walk", at(times(), vec![number("temperature", walk)])),
        ("same noise, times jitter by 20 ms", at(millis, vec![noise.clone()])),
        ("same noise, times jitter by 2 ms in ns", at(jitter, vec![noise])),
        ("random doubles", at(times(), vec![number("value", doubles)])),
        ("noisy 32-bit floats", at(times(), vec![number("value", singles)])),
        ("wgs84 track, 3 columns", at(times(), track)),
        ("text states", at(times(), vec![text])),
        ("random booleans", at(times(), vec![flags])),
    ]
}

fn number(name: &str, values: Vec<f64>) -> Column {
    Column { name: name.into(), cells: Cells::Number(values), present: None }
}

fn numbers(values: Vec<f64>) -> Column {
    number("value", values)
}

fn walk(random: &mut Random, step: f64, scale: f64, start: f64) -> Vec<f64> {
    let mut sum = (start * scale).round();
    (0..ROWS)
        .map(|_| {
            sum += (step * random.normal()).round();
            sum / scale
        })
        .collect()
}

/// A beat of 0.8 s: P, QRS and T as bells, noise of 6 units.
fn ecg(random: &mut Random) -> Column {
    let bell = |phase: f64, at: f64, sharpness: f64| (-((phase - at) * sharpness).powi(2)).exp();
    let sample = |row: usize| {
        let phase = (row % 200) as f64 / 200.0;
        let wave = 900.0 * bell(phase, 0.3, 40.0) - 200.0 * bell(phase, 0.35, 40.0) + 120.0 * bell(phase, 0.6, 12.0);
        (2048.0 + wave + 6.0 * random.normal()).round()
    };
    numbers((0..ROWS).map(sample).collect())
}

struct Random(u64);

impl Random {
    /// In [0, 1).
    fn unit(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Mean 0, deviation 1 (Box and Muller).
    fn normal(&mut self) -> f64 {
        let (radius, angle) = (self.unit().max(f64::MIN_POSITIVE), self.unit());
        (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
    }
}
