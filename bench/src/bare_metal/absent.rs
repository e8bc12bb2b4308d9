//! What stands in for the generator in an ordinary build.

use serde::de::IgnoredAny;

use crate::error::{BenchError, Result};
use crate::scenario::Run;

/// The scenario can be listed, but not run.
pub(crate) type Plan = IgnoredAny;

pub(crate) fn run(_plan: &Plan, _run: &mut Run<'_>) -> Result<()> {
    Err(BenchError::Usage("this scenario needs a build with --features bare-metal".to_owned()))
}
