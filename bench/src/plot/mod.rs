//! Pictures of figures as SVG: bars for variants, lines over time.

mod bars;
mod lines;
mod svg;

pub(crate) use bars::{Bar, BarPanel, bars};
pub(crate) use lines::{Curve, LinePanel, lines};
