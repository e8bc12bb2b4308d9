//! The stamps of a user's writes: always growing, whatever the clock does.

/// Strictly after `last`; `now` as it is (milliseconds) when it already is.
pub(crate) fn next_stamp(last: f64, now: f64) -> f64 {
    const PER_SECOND: f64 = 1e6;
    if now > last { now } else { ((last * PER_SECOND).round() + 1.0) / PER_SECOND }
}

#[cfg(test)]
mod tests {
    use super::next_stamp;

    #[test]
    fn stamps_grow_even_when_the_clock_steps_back() {
        let mut last = 1_700_000_000.123;
        assert_eq!(next_stamp(0.0, last), last);
        for _ in 0..1000 {
            let next = next_stamp(last, 1_600_000_000.0);
            assert!(next > last && next < last + 0.000_003);
            last = next;
        }
    }
}
