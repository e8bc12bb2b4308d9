//! What a block must be: the same points again, small, and never a panic.

use super::*;
use proptest::prelude::*;

fn encoded(points: &Points, effort: Effort) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(points, effort, &mut bytes);
    bytes
}

/// Equal bit for bit; absent cells may hold anything.
fn assert_same(found: &Points, expected: &Points) {
    assert_eq!(found.times_ns, expected.times_ns);
    assert_eq!(found.columns.len(), expected.columns.len());
    for (found, expected) in found.columns.iter().zip(&expected.columns) {
        assert_eq!((&found.name, &found.present), (&expected.name, &expected.present));
        let rows = (0..expected.cells.len()).filter(|row| expected.is_present(*row));
        match (&found.cells, &expected.cells) {
            (Cells::Number(found), Cells::Number(expected)) => {
                rows.for_each(|row| assert_eq!(found[row].to_bits(), expected[row].to_bits(), "row {row}"));
            }
            (Cells::Boolean(found), Cells::Boolean(expected)) => {
                rows.for_each(|row| assert_eq!(found[row], expected[row], "row {row}"));
            }
            (Cells::Text { dictionary, codes }, Cells::Text { dictionary: same, codes: expected }) => {
                assert_eq!(dictionary, same);
                rows.for_each(|row| assert_eq!(codes[row], expected[row], "row {row}"));
            }
            _ => panic!("another kind of cells"),
        }
        assert_eq!(found.cells.len(), expected.cells.len());
    }
}

fn round_trip(points: &Points) -> usize {
    let sizes = [Effort::Flush, Effort::Merge].map(|effort| {
        let bytes = encoded(points, effort);
        assert_same(&decode(&bytes).unwrap(), points);
        bytes.len()
    });
    sizes[0].min(sizes[1])
}

fn numbers(values: Vec<f64>) -> Points {
    let times_ns = (0..).map(|row| row * 1_000_000_000).take(values.len()).collect();
    Points { times_ns, columns: vec![Column { name: "v".into(), cells: Cells::Number(values), present: None }] }
}

fn of_times(times_ns: Vec<i64>) -> Points {
    Points { times_ns, columns: vec![] }
}

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, bound: u64) -> u64 {
        (self.next() >> 20) % bound
    }
}

#[test]
fn times_at_a_steady_pace_cost_less_than_32_bytes_a_block() {
    for step in [1, 4_000_000, 1_000_000_000, 86_400_000_000_000, 333_333_333] {
        for start in [0, i64::MIN, -7, 1_700_000_000_123_456_789] {
            assert!(round_trip(&of_times((0..4096).map(|row| start + row * step).collect())) <= 32);
        }
    }
}

#[test]
fn a_gap_in_steady_times_costs_a_few_bytes() {
    let times = (0..4096).map(|row| row * 1_000_000_000 + if row > 1000 { 86_400_123_000_000 } else { 0 });
    assert!(round_trip(&of_times(times.collect())) <= 60);
}

#[test]
fn times_that_jitter_by_milliseconds_cost_what_the_jitter_needs() {
    let mut random = Random(7);
    let times = (0..4096).map(|row| row * 1_000_000_000 + i64::try_from(random.below(64)).unwrap() * 1_000_000);
    let bytes = round_trip(&of_times(times.collect()));
    assert!(bytes <= 4096 * 7 / 8 + 120, "6 bits and a little, found {bytes} bytes");
}

#[test]
fn times_from_end_to_end_are_read_back() {
    round_trip(&of_times(vec![i64::MIN, -1, 0, 1, i64::MAX - 1]));
    round_trip(&of_times(vec![i64::MIN, i64::MAX - 1]));
    round_trip(&of_times(vec![i64::MIN]));
    round_trip(&of_times(vec![]));
    let mut random = Random(3);
    let mut times: Vec<i64> = (0..5000).map(|_| random.next().cast_signed()).filter(|time| *time != i64::MAX).collect();
    times.sort_unstable();
    times.dedup();
    round_trip(&of_times(times));
}

#[test]
fn a_constant_column_costs_a_few_bytes() {
    for value in [0.0, -0.0, 71.25, 1e300, f64::NAN, f64::NEG_INFINITY, 4096.0, 0.1 + 0.2] {
        let bytes = round_trip(&numbers(vec![value; 4096]));
        assert!(bytes <= 26 + 24, "{value}: {bytes} bytes");
    }
}

#[test]
fn measurements_cost_what_their_noise_needs() {
    let mut random = Random(11);
    let mut noise = |span: u64| i32::try_from(random.below(span)).unwrap();
    let hundredths: Vec<f64> = (0..4096).map(|_| f64::from(2100 + noise(32)) / 100.0).collect();
    assert!(round_trip(&numbers(hundredths)) <= 4096 * 5 / 8 + 150, "5 bits");
    let sixteenths: Vec<f64> = (0..4096).map(|_| f64::from(300 + noise(16)) / 16.0).collect();
    assert!(round_trip(&numbers(sixteenths)) <= 4096 * 4 / 8 + 150, "4 bits");
    let singles: Vec<f64> = (0..4096).map(|_| f64::from(1.0 + noise(1 << 20) as f32 / 3e6)).collect();
    assert!(round_trip(&numbers(singles)) <= 4096 * 23 / 8 + 150, "the bits of a 32-bit float");
    let random_doubles: Vec<f64> = (0..4096).map(|_| f64::from_bits(random.next())).collect();
    assert!(round_trip(&numbers(random_doubles)) <= 4096 * 8 + 150, "never much more than 8 bytes");
}

#[test]
fn a_few_odd_values_do_not_spoil_the_decimals_around_them() {
    let mut values: Vec<f64> = (0..4096).map(|row| f64::from(row % 32) / 100.0).collect();
    for (row, odd) in [(0, f64::NAN), (77, -0.0), (1000, 0.1 + 0.2), (2000, f64::INFINITY), (4095, 1e18)] {
        values[row] = odd;
    }
    assert!(round_trip(&numbers(values)) <= 4096 * 5 / 8 + 250);
}

#[test]
fn more_places_than_the_sample_showed_are_found() {
    let mut values: Vec<f64> = (0..4096).map(|row| f64::from(row % 128 / 2) / 10.0).collect();
    values.iter_mut().skip(1).step_by(2).for_each(|value| *value += 0.0625);
    let values: Vec<f64> = values.iter().map(|value| (value * 1e4).round() / 1e4).collect();
    assert!(round_trip(&numbers(values)) <= 4096 * 12 / 8 + 150);
}

#[test]
fn states_that_last_cost_a_few_bytes_each() {
    let dictionary: Vec<Box<str>> = vec!["awake".into(), "light".into(), "deep".into()];
    let codes = (0..4096).map(|row| row / 500 % 3).collect();
    let text = Column { name: "t".into(), cells: Cells::Text { dictionary, codes }, present: None };
    let flags =
        Column { name: "b".into(), cells: Cells::Boolean((0..4096).map(|row| row > 300).collect()), present: None };
    let present = Some((0..4096).map(|row| row % 1000 != 5).collect());
    let sparse = Column { name: "s".into(), cells: Cells::Boolean(vec![true; 4096]), present };
    let points = Points { times_ns: (0..4096).collect(), columns: vec![text, flags, sparse] };
    assert!(round_trip(&points) <= 320, "{}", round_trip(&points));
}

#[test]
fn more_rows_than_usual_are_read_back_up_to_the_limit() {
    let mut random = Random(5);
    round_trip(&numbers((0..ROWS_MAX).map(|_| f64::from(i32::try_from(random.below(1000)).unwrap())).collect()));
    assert_eq!((rows_max(1), rows_max(4095), rows_max(1 << 30)), (ROWS_MAX, 4096, 1));
}

#[test]
#[should_panic(expected = "the writer of a segment splits its blocks")]
fn a_block_beyond_the_limit_is_not_written() {
    encoded(&of_times((0..=65_536).collect()), Effort::Flush);
}

fn sample() -> Vec<Points> {
    let mut random = Random(23);
    let rows = 700usize;
    let mut column = |name: &str, cells: Cells, sparse: bool| Column {
        name: name.into(),
        cells,
        present: sparse.then(|| (0..rows).map(|_| random.below(3) > 0).collect()),
    };
    let walk = (0..rows).scan(0.0, |sum, row| {
        *sum += f64::from(u32::try_from(row * 7919 % 11).unwrap()) - 5.0;
        Some(*sum / 100.0)
    });
    let dictionary: Vec<Box<str>> = vec!["".into(), "é".into(), "off".into()];
    let codes = (0..rows).map(|row| u32::try_from(row * row % 3).unwrap()).collect();
    let columns = vec![
        column("walk", Cells::Number(walk.collect()), true),
        column(
            "bits",
            Cells::Number(
                (0..rows).map(|row| f64::from_bits((row as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15))).collect(),
            ),
            false,
        ),
        column(
            "odd",
            Cells::Number((0..rows).map(|row| if row == 9 { f64::NAN } else { row as f64 }).collect()),
            false,
        ),
        column("text", Cells::Text { dictionary, codes }, true),
        column("flag", Cells::Boolean((0..rows).map(|row| row % 50 < 9).collect()), true),
        column("noise", Cells::Boolean((0..rows).map(|row| row * row % 7 < 3).collect()), false),
    ];
    let times_ns = (0i64..).take(rows).map(|row| row * 4_000_000 + row * row % 1000).collect();
    let mixed = Points { times_ns, columns };
    let single = numbers(vec![1.5]);
    vec![mixed, single]
}

#[test]
fn a_block_cut_off_anywhere_or_with_a_byte_too_many_is_refused() {
    for points in sample() {
        for effort in [Effort::Flush, Effort::Merge] {
            let mut bytes = encoded(&points, effort);
            assert_same(&decode(&bytes).unwrap(), &points);
            for length in 0..bytes.len() {
                assert!(decode(&bytes[..length]).is_err(), "{length} of {}", bytes.len());
            }
            bytes.push(0);
            assert!(decode(&bytes).is_err());
        }
    }
}

const MUTATIONS: u64 = if cfg!(debug_assertions) { 20_000 } else { 1_000_000 };

/// Any bytes: an error or points that fit together, never a panic.
#[test]
fn mutated_blocks_never_panic() {
    let blocks: Vec<Vec<u8>> = sample()
        .iter()
        .flat_map(|points| [Effort::Flush, Effort::Merge].map(|effort| encoded(points, effort)))
        .collect();
    let mut random = Random(0x5eed);
    let mut bytes = Vec::new();
    for round in 0..MUTATIONS {
        let block = &blocks[usize::try_from(round).unwrap() % blocks.len()];
        bytes.clear();
        bytes.extend_from_slice(block);
        for _ in 0..=random.below(4) {
            let position = usize::try_from(random.below(bytes.len() as u64)).unwrap();
            match random.below(5) {
                0 => bytes[position] ^= 1 << random.below(8),
                1 => bytes[position] = random.next().to_le_bytes()[0],
                2 => bytes[position] = [0, 1, 0x7f, 0x80, 0xff][usize::try_from(random.below(5)).unwrap()],
                3 => drop(bytes.remove(position)),
                _ => bytes.truncate(position.max(1)),
            }
            if bytes.is_empty() {
                break;
            }
        }
        if let Ok(points) = decode(&bytes) {
            points.check_shape().unwrap();
        }
    }
}

fn any_number() -> impl Strategy<Value = f64> {
    let extremes = prop::sample::select(vec![
        0.0,
        -0.0,
        1.0,
        f64::MAX,
        f64::MIN,
        f64::MIN_POSITIVE,
        5e-324,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::NAN,
        2_251_799_813_685_248.0,
        9_007_199_254_740_993.0,
        1e15,
        1e-15,
        0.1 + 0.2,
    ]);
    let decimals = (-1_000_000_000i64..1_000_000_000, 0i32..12);
    prop_oneof![
        any::<u64>().prop_map(f64::from_bits),
        extremes,
        decimals.prop_map(|(digits, places)| digits as f64 / 10f64.powi(places)),
        any::<f32>().prop_map(f64::from),
    ]
}

/// Numbers as sensors send them: one scale for all, odd ones in between.
fn any_numbers(rows: usize) -> impl Strategy<Value = Vec<f64>> {
    let uniform = (0i32..10, 1i64..5000, prop::collection::vec(any::<u32>(), rows..=rows));
    let uniform = uniform.prop_map(|(places, span, values)| {
        values.iter().map(|value| (i64::from(*value) % span) as f64 / 10f64.powi(places)).collect::<Vec<_>>()
    });
    let patched = (uniform.clone(), 0..rows, any_number()).prop_map(|(mut values, row, odd)| {
        values[row] = odd;
        values
    });
    prop_oneof![prop::collection::vec(any_number(), rows..=rows), uniform, patched]
}

fn any_cells(rows: usize) -> impl Strategy<Value = Cells> {
    let dictionary = prop::collection::vec("[a-zé]{0,6}", 1..20);
    let text = (dictionary, prop::collection::vec(any::<u32>(), rows..=rows)).prop_map(|(dictionary, codes)| {
        let entries = u32::try_from(dictionary.len()).unwrap();
        let codes = codes.into_iter().map(|code| code % entries).collect();
        Cells::Text { dictionary: dictionary.into_iter().map(String::into_boxed_str).collect(), codes }
    });
    prop_oneof![
        any_numbers(rows).prop_map(Cells::Number),
        text,
        prop::collection::vec(any::<bool>(), rows..=rows).prop_map(Cells::Boolean),
    ]
}

fn any_points() -> impl Strategy<Value = Points> {
    (1usize..400).prop_flat_map(|rows| {
        let steps = prop_oneof![
            prop::collection::vec(1i64..1_000_000_000, rows..=rows),
            (1i64..1_000_000_000).prop_map(move |step| vec![step; rows]),
            prop::collection::vec(1i64..=i64::MAX / 500, rows..=rows),
        ];
        let present = prop::option::of(prop::collection::vec(any::<bool>(), rows..=rows));
        let columns = prop::collection::vec((any_cells(rows), present), 0..4);
        (any::<i64>(), steps, columns).prop_map(|(start, steps, columns)| {
            let times = steps.iter().scan(start / 4, |time, step| {
                *time = time.checked_add(*step)?;
                Some(*time)
            });
            let times_ns: Vec<i64> = times.collect();
            let rows = times_ns.len();
            let columns = columns.into_iter().enumerate().map(|(position, (cells, present))| Column {
                name: format!("column {position}").into(),
                cells,
                present,
            });
            let columns = if times_ns.len() == steps.len() { columns.collect() } else { vec![] };
            assert!(rows > 0);
            Points { times_ns, columns }
        })
    })
}

proptest! {
    #[test]
    fn points_of_any_kind_are_read_back_bit_for_bit(points in any_points()) {
        round_trip(&points);
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = decode(&bytes);
        let mut block = vec![VERSION];
        block.extend(bytes);
        let _ = decode(&block);
    }
}
