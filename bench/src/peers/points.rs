//! The points that every peer gets: the same times, the same values, in the same posts; only their spelling differs.
//!
//! A post is a ready request in which the time and the value of every row are overwritten: the generator shares the
//! machine with the server, and all peers pay the same for it.

use memchr::memmem;

const TIME_DIGITS: usize = 10;
const VALUE_CHARS: usize = 5;
/// 13 September 2020, in seconds: within what every peer keeps, and of ten digits for centuries.
pub(crate) const FIRST_TIME: u64 = 1_600_000_000;
/// Stand for a time and a value until the first post is written: no spelling of a row contains them otherwise.
const TIME_MARK: &str = "TTTTTTTTTT";
const VALUE_MARK: &str = "VVVVV";

/// Texts of one point; a row is written around them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row<'a> {
    pub(crate) time: &'a str,
    pub(crate) value: &'a str,
}

/// A request with places for times and values.
struct Template {
    bytes: Vec<u8>,
    times_at: Vec<usize>,
    values_at: Vec<usize>,
}

impl Template {
    fn new(points: usize, spell: impl FnOnce(&[Row<'_>]) -> Vec<u8>) -> Self {
        let bytes = spell(&vec![Row { time: TIME_MARK, value: VALUE_MARK }; points]);
        let times_at = memmem::find_iter(&bytes, TIME_MARK).collect();
        let values_at = memmem::find_iter(&bytes, VALUE_MARK).collect();
        Self { bytes, times_at, values_at }
    }

    /// Appends the request whose first point is number `first` of its series.
    fn write(&self, first: u64, values: &Values, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&self.bytes);
        let Some(request) = out.get_mut(start..) else { return };
        let mut time = Counter::new(FIRST_TIME + first);
        for (number, (time_at, value_at)) in (first..).zip(self.times_at.iter().zip(&self.values_at)) {
            if let Some(place) = request.get_mut(*time_at..time_at + TIME_DIGITS) {
                place.copy_from_slice(&time.digits);
            }
            if let Some(place) = request.get_mut(*value_at..value_at + VALUE_CHARS) {
                place.copy_from_slice(values.at(number));
            }
            time.advance();
        }
    }
}

/// The posts to one series, and how many of them were answered with success.
pub(crate) struct Posts {
    template: Template,
    points: u64,
    sent: u64,
    acknowledged: u64,
}

impl Posts {
    /// `spell` writes a whole request for the rows of a post.
    pub(crate) fn new(points: usize, spell: impl FnOnce(&[Row<'_>]) -> Vec<u8>) -> Self {
        let template = Template::new(points, spell);
        Self { template, points: u64::try_from(points).expect("a number of points fits"), sent: 0, acknowledged: 0 }
    }

    /// Appends the next post, which continues the last one.
    pub(crate) fn write_next(&mut self, values: &Values, out: &mut Vec<u8>) {
        self.template.write(self.points_sent(), values, out);
        self.sent += 1;
    }

    pub(crate) fn acknowledge(&mut self) {
        self.acknowledged += 1;
    }

    pub(crate) fn points_a_post(&self) -> u64 {
        self.points
    }

    pub(crate) fn points_sent(&self) -> u64 {
        self.sent * self.points
    }

    pub(crate) fn points_acknowledged(&self) -> u64 {
        self.acknowledged * self.points
    }
}

/// A number in decimal that grows by one.
struct Counter {
    digits: [u8; TIME_DIGITS],
}

impl Counter {
    fn new(mut number: u64) -> Self {
        let mut digits = [b'0'; TIME_DIGITS];
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + u8::try_from(number % 10).expect("a remainder of ten is below ten");
            number /= 10;
        }
        Self { digits }
    }

    fn advance(&mut self) {
        for digit in self.digits.iter_mut().rev() {
            if *digit < b'9' {
                *digit += 1;
                return;
            }
            *digit = b'0';
        }
    }
}

/// What a sensor would say: a slow wave and noise, with two decimals. The sequence starts again only after more points
/// than any peer compresses together.
pub(crate) struct Values {
    texts: Vec<[u8; VALUE_CHARS]>,
}

const VALUES: u64 = 65_536;
const WAVE_POINTS: f64 = 4_096.0;

impl Values {
    pub(crate) fn new() -> Self {
        let mut random = Random(1);
        let texts = (0..VALUES).map(|number| {
            let wave = (number as f64 / WAVE_POINTS * std::f64::consts::TAU).sin();
            let text = format!("{:.2}", 72.0 + 2.0 * wave + random.within(0.25));
            text.as_bytes().try_into().expect("two digits before the point and two behind it")
        });
        Self { texts: texts.collect() }
    }

    fn at(&self, number: u64) -> &[u8; VALUE_CHARS] {
        let index = usize::try_from(number % VALUES).expect("below the number of values");
        self.texts.get(index).expect("below the number of values")
    }
}

/// xorshift64: the same values in every run.
struct Random(u64);

impl Random {
    /// Evenly between -`bound` and `bound`.
    fn within(&mut self, bound: f64) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let unit = (self.0 >> 11) as f64 / (1_u64 << 53) as f64;
        bound * (2.0 * unit - 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spell(rows: &[Row<'_>]) -> Vec<u8> {
        rows.iter().map(|row| format!("[{},{}]", row.time, row.value)).collect::<String>().into_bytes()
    }

    #[test]
    fn times_and_values_continue_from_post_to_post() {
        let values = Values::new();
        let mut posts = Posts::new(3, spell);
        let mut out = Vec::new();
        posts.write_next(&values, &mut out);
        posts.write_next(&values, &mut out);
        let text = String::from_utf8(out).unwrap();
        let rows: Vec<(u64, f64)> = text
            .split_terminator(']')
            .map(|row| row.trim_start_matches('[').split_once(',').unwrap())
            .map(|(time, value)| (time.parse().unwrap(), value.parse().unwrap()))
            .collect();
        let times: Vec<u64> = rows.iter().map(|(time, _)| time - FIRST_TIME).collect();
        assert_eq!(times, [0, 1, 2, 3, 4, 5]);
        assert!(rows.iter().all(|(_, value)| (69.0..75.0).contains(value)), "{rows:?}");
    }

    #[test]
    fn a_carry_runs_through_all_digits() {
        let mut counter = Counter::new(1_699_999_999);
        counter.advance();
        assert_eq!(&counter.digits, b"1700000000");
    }
}
