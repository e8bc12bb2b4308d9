//! A panel for each figure, a bar for each variant, a mark where the goal is.

use super::svg::{Anchor, CHAR_WIDTH, COLORS, Canvas, FAINT, GRID, INK, ticks};
use crate::report::short;

const PLOT_WIDTH: f64 = 480.0;
const MARGIN: f64 = 16.0;
const TITLE_HEIGHT: f64 = 34.0;
const BAR_HEIGHT: f64 = 16.0;
const BAR_GAP: f64 = 6.0;
/// Below the bars: the axis.
const AXIS_HEIGHT: f64 = 26.0;
const PANEL_TITLE_HEIGHT: f64 = 28.0;
/// Right of the bars: the value of a bar that fills its axis.
const VALUE_WIDTH: f64 = 60.0;

pub(crate) struct BarPanel {
    pub(crate) title: String,
    pub(crate) bars: Vec<Bar>,
}

pub(crate) struct Bar {
    pub(crate) label: String,
    pub(crate) value: f64,
    pub(crate) goal: Option<f64>,
}

pub(crate) fn bars(title: &str, panels: &[BarPanel]) -> String {
    let labels = panels.iter().flat_map(|panel| &panel.bars).map(|bar| bar.label.chars().count());
    let label_width = labels.max().unwrap_or(0) as f64 * CHAR_WIDTH;
    let left = MARGIN + label_width + 8.0;
    let mut canvas = Canvas::new(left + PLOT_WIDTH + VALUE_WIDTH + MARGIN);
    canvas.title((MARGIN, 24.0), title);
    let mut y = TITLE_HEIGHT;
    for panel in panels.iter().filter(|panel| !panel.bars.is_empty()) {
        y = draw(&mut canvas, panel, left, y);
    }
    canvas.finish(y + MARGIN)
}

/// Draws a panel with its top at `top`; says where it ends.
fn draw(canvas: &mut Canvas, panel: &BarPanel, left: f64, top: f64) -> f64 {
    let has_goal = panel.bars.iter().any(|bar| bar.goal.is_some());
    canvas.text((left, top + 18.0), Anchor::Start, INK, &panel.title);
    if has_goal {
        let at = left + PLOT_WIDTH;
        canvas.rect((at - 64.0, top + 8.0), (2.0, 14.0), COLORS[1]);
        canvas.text((at, top + 18.0), Anchor::End, FAINT, "first goal");
    }
    let largest = panel.bars.iter().flat_map(|bar| [Some(bar.value), bar.goal]).flatten();
    let ticks = ticks(largest.filter(|value| value.is_finite()).fold(0.0, f64::max));
    let scale = PLOT_WIDTH / ticks.last().copied().unwrap_or(1.0);
    let first = top + PANEL_TITLE_HEIGHT;
    let bottom = first + panel.bars.len() as f64 * (BAR_HEIGHT + BAR_GAP);
    for tick in &ticks {
        let x = left + tick * scale;
        canvas.line((x, first), (x, bottom), GRID);
        canvas.text((x, bottom + 15.0), Anchor::Middle, FAINT, &short(*tick));
    }
    for (number, bar) in panel.bars.iter().enumerate() {
        let y = first + number as f64 * (BAR_HEIGHT + BAR_GAP);
        let width = if bar.value.is_finite() { bar.value.max(0.0) * scale } else { 0.0 };
        canvas.text((left - 8.0, y + 12.0), Anchor::End, INK, &bar.label);
        canvas.rect((left, y), (width, BAR_HEIGHT), COLORS[0]);
        canvas.text((left + width + 5.0, y + 12.0), Anchor::Start, INK, &short(bar.value));
        if let Some(goal) = bar.goal {
            let x = left + goal * scale;
            canvas.rect((x - 1.0, y - 2.0), (2.0, BAR_HEIGHT + 4.0), COLORS[1]);
        }
    }
    bottom + AXIS_HEIGHT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_variant_has_a_bar_with_its_value_and_its_goal_a_mark() {
        let bar = |label: &str, value, goal| Bar { label: label.to_owned(), value, goal };
        let panel = BarPanel {
            title: "points/cpu-s".to_owned(),
            bars: vec![bar("one <user>", 8e6, Some(9e6)), bar("many users", 4e6, None), bar("none", f64::NAN, None)],
        };
        let svg = bars("Posts", &[panel]);
        assert!(svg.contains("one &lt;user&gt;") && svg.contains(">8.00M<") && svg.contains("points/cpu-s"), "{svg}");
        assert_eq!(svg.matches("fill=\"#0072b2\"").count(), 3, "{svg}");
        assert!(svg.contains("first goal") && !svg.contains("NaN\""), "{svg}");
    }
}
