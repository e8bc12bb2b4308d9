//! What a read of points asks for: bounds, limit and continuation (spec 08, section 9; the latter two are ours).

use serde_json::{Map, Value};

use crate::error::{ApiError, ApiResult};

/// Bounds are truncated to milliseconds, as the reference does.
const NS_PER_MS: i64 = 1_000_000;
/// Bounds beyond this (seconds) are refused: they are no times of any clock.
const BOUND_MAX_S: f64 = 8.64e12;
/// A larger `limit` is refused: without one everything is read.
const LIMIT_MAX: usize = 1_000_000_000;
/// The form of a continuation, so that a later one can be told from it.
const CONTINUATION_FORM: &str = "a";
const CONTINUATION_DIGITS: usize = 16;

/// The points of one answer: the first `limit` of those in `[from_ns, to_ns)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) from_ns: i64,
    pub(super) to_ns: i64,
    pub(super) limit: usize,
}

impl Window {
    /// Absent, zero or negative lower bounds and an absent or zero upper bound are none.
    pub(super) fn of(query: &Map<String, Value>) -> ApiResult<Self> {
        let from = bound(query, "fromDeltaTime", "'from' must contain seconds since epoch.")?.filter(|from| *from > 0);
        let to = bound(query, "toDeltaTime", "'to' must contain seconds since epoch.")?;
        if from.zip(to).is_some_and(|(from, to)| to < from) {
            return Err(ApiError::invalid_parameters_text("'to' must be >= 'from'."));
        }
        let nanoseconds = |ms: i64| ms.saturating_mul(NS_PER_MS);
        let from_ns = from.map_or(0, nanoseconds).max(continuation(query)?);
        let to_ns = to.map_or(i64::MAX, nanoseconds).max(from_ns);
        Ok(Self { from_ns, to_ns, limit: limit(query)? })
    }
}

/// What a client sends back to go on behind a point. Opaque to clients, and exact, which no bound is.
pub(super) fn continuation_after(last_ns: i64) -> String {
    // No point has i64::MAX as its time: the engine refuses it.
    format!("{CONTINUATION_FORM}{:0CONTINUATION_DIGITS$x}", last_ns.saturating_add(1))
}

/// A bound in whole milliseconds; `None` when there is none.
fn bound(query: &Map<String, Value>, name: &str, message: &'static str) -> ApiResult<Option<i64>> {
    let Some(given) = query.get(name) else { return Ok(None) };
    let text = given.as_str().map(str::trim);
    if text == Some("") {
        return Ok(None);
    }
    let seconds: Option<f64> = text.and_then(|text| text.parse().ok());
    match seconds.filter(|seconds| seconds.is_finite() && seconds.abs() <= BOUND_MAX_S) {
        Some(0.0) => Ok(None),
        #[allow(clippy::cast_possible_truncation, reason = "bounded just above, far below 2^63")]
        Some(seconds) => Ok(Some((seconds * 1000.0).trunc() as i64)),
        None => Err(ApiError::invalid_parameters_text(message)),
    }
}

fn limit(query: &Map<String, Value>) -> ApiResult<usize> {
    let Some(given) = query.get("limit") else { return Ok(usize::MAX) };
    let digits = given.as_str().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let limit = digits.and_then(|digits| digits.parse().ok()).filter(|limit| (1..=LIMIT_MAX).contains(limit));
    limit.ok_or_else(|| ApiError::invalid_parameters_text(format!("'limit' must be an integer from 1 to {LIMIT_MAX}.")))
}

/// The time that a continuation stands for; 0 without one.
fn continuation(query: &Map<String, Value>) -> ApiResult<i64> {
    let Some(given) = query.get("continuation") else { return Ok(0) };
    let digits = given.as_str().and_then(|text| text.strip_prefix(CONTINUATION_FORM));
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let digits = digits.filter(|digits| digits.len() == CONTINUATION_DIGITS && digits.bytes().all(is_digit));
    // 16 digits may be beyond i64, and no point comes before 0.
    digits.and_then(|digits| i64::from_str_radix(digits, 16).ok()).ok_or_else(|| {
        ApiError::invalid_parameters_text("'continuation' must be given as it was in the answer before.")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> ApiResult<Window> {
        Window::of(&wire::query::parse(text))
    }

    fn bounds(text: &str) -> Option<(i64, i64)> {
        of(text).ok().map(|window| (window.from_ns, window.to_ns))
    }

    fn refused(text: &str) -> bool {
        of(text).is_err_and(|error| (error.status, error.id) == (400, "invalid-parameters-format"))
    }

    #[test]
    fn bounds_are_truncated_to_milliseconds() {
        let found = bounds("fromDeltaTime=1.5009&toDeltaTime=20.0001");
        assert_eq!(found, Some((1_500_000_000, 20_000_000_000)));
    }

    #[test]
    fn empty_zero_and_negative_lower_bounds_and_a_zero_upper_bound_are_none() {
        for text in ["", "fromDeltaTime=0", "fromDeltaTime=", "fromDeltaTime=-3", "toDeltaTime=0", "fromTime=5"] {
            assert_eq!(bounds(text), Some((0, i64::MAX)), "{text}");
        }
    }

    #[test]
    fn an_upper_bound_below_a_millisecond_or_zero_leaves_nothing() {
        for text in ["toDeltaTime=0.0004", "toDeltaTime=-5", "fromDeltaTime=-9&toDeltaTime=-5"] {
            assert_eq!(bounds(text), Some((0, 0)), "{text}");
        }
    }

    #[test]
    fn reversed_repeated_and_wordy_bounds_are_refused() {
        for text in [
            "fromDeltaTime=2&toDeltaTime=1",
            "fromDeltaTime=2&toDeltaTime=-1",
            "fromDeltaTime=a",
            "toDeltaTime=1&toDeltaTime=2",
            "toDeltaTime=1e13",
            "toDeltaTime=NaN",
        ] {
            assert!(refused(text), "{text}");
        }
        assert_eq!(bounds("fromDeltaTime=2&toDeltaTime=2"), Some((2_000_000_000, 2_000_000_000)));
    }

    #[test]
    fn a_limit_is_an_integer_in_its_range_and_absent_means_everything() {
        assert_eq!(of("").map(|window| window.limit), Ok(usize::MAX));
        assert_eq!(of("limit=1").map(|window| window.limit), Ok(1));
        assert_eq!(of("limit=1000000000").map(|window| window.limit), Ok(LIMIT_MAX));
        for text in ["0", "", "-1", "%2B1", "1.0", "1e3", "1000000001", "99999999999999999999", "all", "1&limit=2"] {
            assert!(refused(&format!("limit={text}")), "{text}");
        }
    }

    #[test]
    fn a_continuation_goes_on_behind_its_point_to_the_nanosecond() {
        for last_ns in [0, 1, 1_500_000_000, 1_690_000_000_123_456_789, i64::MAX - 1] {
            let text = format!("continuation={}", continuation_after(last_ns));
            assert_eq!(bounds(&text), Some((last_ns + 1, i64::MAX)));
        }
    }

    #[test]
    fn bounds_hold_beside_a_continuation() {
        let token = continuation_after(2_000_000_000);
        let with = |text: &str| bounds(&format!("{text}&continuation={token}"));
        assert_eq!(with("fromDeltaTime=1&toDeltaTime=3"), Some((2_000_000_001, 3_000_000_000)));
        assert_eq!(with("fromDeltaTime=4"), Some((4_000_000_000, i64::MAX)));
        assert_eq!(with("toDeltaTime=2"), Some((2_000_000_001, 2_000_000_001)));
        assert!(refused(&format!("fromDeltaTime=3&toDeltaTime=2&continuation={token}")));
    }

    #[test]
    fn a_continuation_that_no_answer_gave_is_refused() {
        let token = continuation_after(255);
        assert_eq!(token, "a0000000000000100");
        for text in [
            "",
            "0000000000000100",
            "b0000000000000100",
            "a000000000000010",
            "a00000000000001000",
            "a00000000000000FF",
            "a+000000000000100",
            "a8000000000000000",
            "a0000000000000100&continuation=a0000000000000100",
        ] {
            assert!(refused(&format!("continuation={text}")), "{text}");
        }
    }
}
