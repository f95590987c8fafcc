//! A small line chart as SVG. Colours come from the page's style sheet, so that it follows light and dark.

use super::escape;
use std::fmt::Write as _;

const WIDTH: f64 = 340.0;
const HEIGHT: f64 = 120.0;
const LEFT: f64 = 42.0;
const BOTTOM: f64 = 18.0;
const COLOURS: [&str; 4] = ["#d9482b", "#3a7bd5", "#2e9e6b", "#a56cc1"];

/// One line: a name and its points (seconds, value).
pub(super) struct Series {
    pub(super) name: String,
    pub(super) points: Vec<(f64, f64)>,
}

/// Draws the series over seconds, with a dashed limit and a mark at each second in `marks`.
pub(super) fn draw(
    caption: &str,
    unit: &str,
    series: &[Series],
    limit: Option<f64>,
    marks: &[f64],
) -> String {
    let all = series.iter().flat_map(|s| &s.points);
    let (mut x_max, mut y_max) = (1.0_f64, limit.unwrap_or(0.0));
    for (x, y) in all {
        x_max = x_max.max(*x);
        y_max = y_max.max(*y);
    }
    // A share cannot be more than the whole.
    let y_max = if unit == "%" { nice(y_max).min(100.0) } else { nice(y_max * 1.08) };
    let px = |x: f64| LEFT + x / x_max * (WIDTH - LEFT - 6.0);
    let py = |y: f64| (HEIGHT - BOTTOM) * (1.0 - y / y_max) + 10.0;
    let mut o = format!(
        "<figure><figcaption>{}</figcaption><svg viewBox=\"0 0 {WIDTH} {}\" role=\"img\" aria-label=\"{}\">",
        escape(caption),
        HEIGHT + 14.0,
        escape(caption)
    );
    for share in [0.0, 0.5, 1.0] {
        let y = y_max * share;
        let _ = write!(
            o,
            "<line class=\"axis\" x1=\"{LEFT}\" x2=\"{WIDTH}\" y1=\"{0:.1}\" y2=\"{0:.1}\"/><text x=\"{1}\" y=\"{2:.1}\" text-anchor=\"end\">{3}</text>",
            py(y),
            LEFT - 5.0,
            py(y) + 4.0,
            label(y, unit)
        );
    }
    let _ = write!(
        o,
        "<text x=\"{LEFT}\" y=\"{0}\">0 s</text><text x=\"{WIDTH}\" y=\"{0}\" text-anchor=\"end\">{x_max:.0} s</text>",
        HEIGHT + 6.0
    );
    if let Some(l) = limit.filter(|l| *l <= y_max) {
        let _ = write!(
            o,
            "<line class=\"limit\" x1=\"{LEFT}\" x2=\"{WIDTH}\" y1=\"{0:.1}\" y2=\"{0:.1}\"/>",
            py(l)
        );
    }
    for (s, colour) in series.iter().zip(COLOURS.iter().cycle()) {
        let points: Vec<String> =
            s.points.iter().map(|(x, y)| format!("{:.1},{:.1}", px(*x), py(*y))).collect();
        let _ = write!(
            o,
            "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.8\" stroke-linejoin=\"round\" points=\"{}\"><title>{}</title></polyline>",
            points.join(" "),
            escape(&s.name)
        );
    }
    for m in marks {
        let _ = write!(o, "<circle class=\"breach\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\"/>", px(*m), py(0.0));
    }
    o.push_str("</svg><figcaption>");
    for (s, colour) in series.iter().zip(COLOURS.iter().cycle()) {
        let _ = write!(o, "<span style=\"color:{colour}\">●</span> {} &nbsp; ", escape(&s.name));
    }
    o.push_str("</figcaption></figure>");
    o
}

/// The next of 1, 2, 5, 10 ... at or above.
fn nice(v: f64) -> f64 {
    if !v.is_finite() || v <= 0.0 {
        return 1.0;
    }
    let base = 10_f64.powf(v.log10().floor());
    [1.0, 2.0, 5.0, 10.0].iter().map(|m| m * base).find(|n| *n >= v).unwrap_or(v)
}

fn label(v: f64, unit: &str) -> String {
    if v >= 10.0 || v == 0.0 { format!("{v:.0}{unit}") } else { format!("{v:.1}{unit}") }
}
