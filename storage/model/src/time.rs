//! Time as Pryv gives it: Unix seconds as a number with decimals.

use serde_json::{Number, Value};

/// Seconds since the epoch, fractional.
pub type Seconds = f64;

/// Whole numbers are written without a fraction, as every Pryv client has seen them since v1.
pub fn number(value: f64) -> Value {
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0; // 2^53
    if value.fract() == 0.0 && value.abs() < EXACT_MAX {
        #[allow(clippy::cast_possible_truncation, reason = "whole and below 2^53")]
        return Value::Number(Number::from(value as i64));
    }
    Number::from_f64(value).map_or(Value::Null, Value::Number)
}
