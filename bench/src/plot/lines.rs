//! Panels below each other on one time axis, each with the curves that share its scale.

use super::svg::{Anchor, CHAR_WIDTH, COLORS, Canvas, FAINT, GRID, INK, ticks};
use crate::report::short;

const LEFT: f64 = 64.0;
const RIGHT: f64 = 24.0;
const PLOT_WIDTH: f64 = 760.0;
const PLOT_HEIGHT: f64 = 96.0;
const LEGEND_HEIGHT: f64 = 26.0;
const TITLE_HEIGHT: f64 = 34.0;
const TIME_HEIGHT: f64 = 40.0;
/// From here on time is shown in minutes.
const MINUTES_FROM_S: f64 = 180.0;
/// A curve has no more points than the picture can show.
const POINTS_MAX: usize = 800;

pub(crate) struct LinePanel {
    pub(crate) curves: Vec<Curve>,
}

pub(crate) struct Curve {
    pub(crate) label: String,
    /// Seconds since the start, value.
    pub(crate) points: Vec<(f64, f64)>,
}

pub(crate) fn lines(title: &str, panels: &[LinePanel]) -> String {
    let mut canvas = Canvas::new(LEFT + PLOT_WIDTH + RIGHT);
    canvas.title((16.0, 24.0), title);
    let points = panels.iter().flat_map(|panel| &panel.curves).flat_map(|curve| &curve.points);
    let end_s = points.map(|(s, _)| *s).fold(0.0, f64::max).max(1.0);
    let mut y = TITLE_HEIGHT;
    for panel in panels {
        draw(&mut canvas, panel, end_s, y + LEGEND_HEIGHT);
        y += LEGEND_HEIGHT + PLOT_HEIGHT;
    }
    time_axis(&mut canvas, end_s, y);
    canvas.finish(y + TIME_HEIGHT)
}

fn draw(canvas: &mut Canvas, panel: &LinePanel, end_s: f64, top: f64) {
    let values = panel.curves.iter().flat_map(|curve| &curve.points).map(|(_, value)| *value);
    let ticks = ticks(values.filter(|value| value.is_finite()).fold(0.0, f64::max));
    let max = ticks.last().copied().unwrap_or(1.0);
    let place = |(s, value): (f64, f64)| (LEFT + s / end_s * PLOT_WIDTH, top + PLOT_HEIGHT * (1.0 - value / max));
    for tick in &ticks {
        let (x, y) = place((0.0, *tick));
        canvas.line((x, y), (x + PLOT_WIDTH, y), GRID);
        canvas.text((x - 6.0, y + 4.0), Anchor::End, FAINT, &short(*tick));
    }
    let mut x = LEFT;
    for (curve, color) in panel.curves.iter().zip(COLORS.iter().cycle()) {
        canvas.rect((x, top - 14.0), (14.0, 4.0), color);
        canvas.text((x + 19.0, top - 8.0), Anchor::Start, INK, &curve.label);
        x += 19.0 + curve.label.chars().count() as f64 * CHAR_WIDTH + 18.0;
        let step = curve.points.len().div_ceil(POINTS_MAX).max(1);
        let shown = curve.points.iter().step_by(step).copied().filter(|(_, value)| value.is_finite());
        canvas.curve(shown.map(place), color);
    }
}

fn time_axis(canvas: &mut Canvas, end_s: f64, top: f64) {
    let (unit, seconds) = if end_s >= MINUTES_FROM_S { ("minutes", 60.0) } else { ("seconds", 1.0) };
    for tick in ticks(end_s / seconds).into_iter().filter(|tick| tick * seconds <= end_s * 1.001) {
        let x = LEFT + tick * seconds / end_s * PLOT_WIDTH;
        canvas.line((x, top), (x, top + 4.0), FAINT);
        canvas.text((x, top + 17.0), Anchor::Middle, FAINT, &short(tick));
    }
    canvas.text((LEFT + PLOT_WIDTH / 2.0, top + 33.0), Anchor::Middle, FAINT, unit);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curves_stay_within_their_panel_and_are_thinned() {
        let points: Vec<(f64, f64)> = (0..3_600).map(|s| (f64::from(s), f64::from(s % 100))).collect();
        let panel = LinePanel { curves: vec![Curve { label: "rss MiB".to_owned(), points }] };
        let svg = lines("A long run", &[panel]);
        assert!(svg.contains("rss MiB") && svg.contains("minutes"), "{svg}");
        let curve = svg.split("points=\"").nth(1).unwrap().split('"').next().unwrap();
        let places: Vec<(f64, f64)> = curve
            .split_whitespace()
            .map(|pair| pair.split_once(',').map(|(x, y)| (x.parse().unwrap(), y.parse().unwrap())).unwrap())
            .collect();
        assert!(places.len() <= POINTS_MAX);
        let top = TITLE_HEIGHT + LEGEND_HEIGHT - 0.1;
        assert!(places.iter().all(|(x, y)| *x >= LEFT && (top..=top + PLOT_HEIGHT + 0.2).contains(y)), "{places:?}");
    }

    #[test]
    fn an_empty_curve_is_no_fault() {
        assert!(lines("Nothing", &[LinePanel { curves: Vec::new() }]).contains("seconds"));
    }
}
