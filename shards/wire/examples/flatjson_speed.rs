//! How many points per second one core reads: `cargo run --release -p wire --example flatjson_speed`.

use std::fmt::Write;
use std::hint::black_box;
use std::time::Instant;

use wire::flatjson::{CellKind, Field, Points, Schema, parse, parse_typed};

const POINT_COUNT: u32 = 1000;
const ROUNDS: u32 = 5;
const POSTS_PER_ROUND: u32 = 4000;

fn main() {
    let fields = vec![Field { name: "value".into(), kind: CellKind::Number, required: true }];
    let schema = Schema { fields };
    for (name, body) in [
        ("[n, n]", body(|n| format!("[{n},{}]", n % 200))),
        ("[n, float]", body(|n| format!("[{n},{}.{}]", n % 200, n % 97))),
        (
            "[float, float] of 15 digits",
            body(|n| format!("[{}.{:03},{:.15}]", n / 1000, n % 1000, f64::from(n).sqrt() / 33.0)),
        ),
    ] {
        let fast = points_per_second(&body, &|body| parse(body, &schema, 0.0).ok());
        let typed = points_per_second(&body, &|body| parse_typed(body, &schema, 0.0).ok());
        println!("{name}: {:.1} M points/s, by serde_json {:.1} ({} bytes)", fast / 1e6, typed / 1e6, body.len());
    }
}

fn body(row: impl Fn(u32) -> String) -> Vec<u8> {
    let mut text = String::from(r#"{"format":"flatJSON","fields":["deltaTime","value"],"points":["#);
    for n in 0..POINT_COUNT {
        let comma = if n == 0 { "" } else { "," };
        // Writing into a String cannot fail.
        let _ = write!(text, "{comma}{}", row(n));
    }
    text.push_str("]}");
    text.into_bytes()
}

/// The best round: what disturbs a round only makes it slower.
fn points_per_second(body: &[u8], parse: &dyn Fn(&[u8]) -> Option<Points>) -> f64 {
    let round = |_| {
        let start = Instant::now();
        for _ in 0..POSTS_PER_ROUND {
            let points = parse(black_box(body)).map_or(0, |points| black_box(points).times_ns.len());
            assert_eq!(points, POINT_COUNT as usize, "a post of the bench must be readable");
        }
        f64::from(POSTS_PER_ROUND * POINT_COUNT) / start.elapsed().as_secs_f64()
    };
    (0..ROUNDS).map(round).fold(0.0, f64::max)
}
