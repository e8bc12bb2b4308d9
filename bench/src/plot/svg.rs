//! The few shapes that the pictures are made of.

use std::fmt::Write;

pub(super) const INK: &str = "#1b1f24";
pub(super) const FAINT: &str = "#6b7280";
pub(super) const GRID: &str = "#e5e7eb";
/// Told apart also by those who do not see red and green (Okabe and Ito).
pub(super) const COLORS: [&str; 5] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9"];
/// About the width of a character of the small text.
pub(super) const CHAR_WIDTH: f64 = 6.7;

#[derive(Debug, Clone, Copy)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

impl Anchor {
    fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Middle => "middle",
            Self::End => "end",
        }
    }
}

pub(super) struct Canvas {
    body: String,
    width: f64,
}

impl Canvas {
    pub(super) fn new(width: f64) -> Self {
        Self { body: String::new(), width }
    }

    pub(super) fn text(&mut self, (x, y): (f64, f64), anchor: Anchor, color: &str, text: &str) {
        self.sized_text((x, y), 12.0, anchor, color, text);
    }

    pub(super) fn title(&mut self, (x, y): (f64, f64), text: &str) {
        self.sized_text((x, y), 15.0, Anchor::Start, INK, text);
    }

    fn sized_text(&mut self, (x, y): (f64, f64), size: f64, anchor: Anchor, color: &str, text: &str) {
        let (anchor, text) = (anchor.name(), escaped(text));
        self.push(&format!(
            r#"<text x="{x:.1}" y="{y:.1}" font-size="{size}" text-anchor="{anchor}" fill="{color}">{text}</text>"#
        ));
    }

    pub(super) fn rect(&mut self, (x, y): (f64, f64), (width, height): (f64, f64), color: &str) {
        self.push(&format!(r#"<rect x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{height:.1}" fill="{color}"/>"#));
    }

    pub(super) fn line(&mut self, (x1, y1): (f64, f64), (x2, y2): (f64, f64), color: &str) {
        self.push(&format!(r#"<line x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}" stroke="{color}"/>"#));
    }

    pub(super) fn curve(&mut self, points: impl Iterator<Item = (f64, f64)>, color: &str) {
        let points = points.fold(String::new(), |mut text, (x, y)| {
            let _ = write!(text, "{x:.1},{y:.1} ");
            text
        });
        self.push(&format!(r#"<polyline points="{points}" fill="none" stroke="{color}" stroke-width="1.5"/>"#));
    }

    fn push(&mut self, element: &str) {
        self.body.push_str(element);
        self.body.push('\n');
    }

    pub(super) fn finish(self, height: f64) -> String {
        let Self { body, width } = self;
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
             viewBox=\"0 0 {width:.0} {height:.0}\" font-family=\"Helvetica, Arial, DejaVu Sans, sans-serif\">\n\
             <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n{body}</svg>\n"
        )
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Round values from 0 to at least `max`, a few of them.
pub(super) fn ticks(max: f64) -> Vec<f64> {
    const COUNT: f64 = 4.0;
    if max <= 0.0 || !max.is_finite() {
        return vec![0.0, 1.0];
    }
    let magnitude = 10_f64.powf((max / COUNT).log10().floor());
    let step = [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().map(|factor| factor * magnitude);
    let step = step.into_iter().find(|step| step * COUNT >= max * 0.999).unwrap_or(10.0 * magnitude);
    let mut ticks = vec![0.0];
    while ticks.last().is_some_and(|last| *last < max * 0.999) {
        ticks.push(step * ticks.len() as f64);
    }
    ticks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_reach_the_largest_value() {
        assert_eq!(ticks(8_650_000.0), [0.0, 2_500_000.0, 5_000_000.0, 7_500_000.0, 10_000_000.0]);
        assert_eq!(ticks(4.0), [0.0, 1.0, 2.0, 3.0, 4.0]);
        assert_eq!(ticks(0.0), [0.0, 1.0]);
        assert_eq!(ticks(f64::NAN), [0.0, 1.0]);
        for max in [0.003, 1.0, 7.3, 99.0, 123_456.0] {
            let ticks = ticks(max);
            assert!(ticks.len() <= 6 && *ticks.last().unwrap() >= max * 0.999, "{max}: {ticks:?}");
        }
    }

    #[test]
    fn text_cannot_become_markup() {
        let mut canvas = Canvas::new(10.0);
        canvas.text((0.0, 0.0), Anchor::Start, INK, "a < b & c");
        assert!(canvas.finish(10.0).contains("a &lt; b &amp; c"));
    }
}
