//! Owns the curves.
//! Must show the same judges in the same colours everywhere.

use std::error::Error;
use std::path::Path;

use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::prelude::*;

use crate::peeking::Peeking;
use crate::run::{JUDGES, Outcome};
use crate::scenarios::DELAY_RATES;
use crate::traffic::HOUR;

const SIZE: (u32, u32) = (860, 480);
/// Okabe and Ito's palette, which colour-blind readers can tell apart.
const COLOURS: [RGBColor; JUDGES.len()] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(230, 159, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(110, 110, 110),
];

type Drawn = Result<(), Box<dyn Error>>;

struct Axes<'a> {
    caption: &'a str,
    legend: SeriesLabelPosition,
    x: &'a str,
    y: &'a str,
}

struct Line<'a> {
    name: &'a str,
    colour: RGBColor,
    points: Vec<(f64, f64)>,
    marks: bool,
}

impl Line<'_> {
    /// The two Argo lines often coincide, so the plain one is wide enough to show on both sides of the other.
    fn width(&self) -> u32 {
        match COLOURS.iter().position(|colour| *colour == self.colour) {
            Some(0) => 3,
            Some(1) => 5,
            _ => 2,
        }
    }
}

/// False alarms by the number of looks.
pub(crate) fn peeking(path: &Path, rows: &[Peeking]) -> Drawn {
    let line = |name, judge: usize, value: fn(&Peeking) -> f64| {
        let points = rows.iter().map(|row| (row.looks as f64, value(row))).collect();
        Line { name, colour: COLOURS[judge], points, marks: true }
    };
    let bound =
        Line { name: "the bound, 5%", colour: BLACK, points: vec![(1.0, 5.0), (100.0, 5.0)], marks: false };
    let lines = [
        line("z-test at 5%", 5, |row| row.z_test.share() * 100.0),
        line("Safelight at 5%", 0, |row| row.judge.share() * 100.0),
        bound,
    ];
    let axes = Axes {
        caption: "Looking again breaks an ordinary test",
        legend: SeriesLabelPosition::UpperLeft,
        x: "looks at the data",
        y: "false alarms, %",
    };
    draw(path, &axes, (1.0_f64..100.0).log_scale(), 0.0..40.0, &lines)
}

/// The part of harmful canaries rolled back by each moment.
pub(crate) fn power(path: &Path, outcome: &Outcome) -> Drawn {
    let lines: Vec<Line> = (0..JUDGES.len())
        .map(|judge| {
            let mut delays = outcome.delays(judge);
            delays.sort_by(f64::total_cmp);
            let runs = outcome.hours.len() as f64;
            let mut points = vec![(0.0, 0.0)];
            for (n, delay) in delays.iter().enumerate() {
                points.push((delay / 60.0, n as f64 / runs * 100.0));
                points.push((delay / 60.0, (n + 1) as f64 / runs * 100.0));
            }
            points.push((HOUR / 60.0, delays.len() as f64 / runs * 100.0));
            Line { name: JUDGES[judge], colour: COLOURS[judge], points: thinned(points), marks: false }
        })
        .collect();
    let caption = "A canary that fails 10% instead of 0.5%, at 1 request/s and a share of 10%";
    let axes = Axes {
        caption,
        legend: SeriesLabelPosition::LowerRight,
        x: "minutes since the canary began",
        y: "rolled back, %",
    };
    draw(path, &axes, 0.0..60.0, 0.0..100.0, &lines)
}

/// Keeps the first and last point at each drawn place.
fn thinned(points: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    let pixel = |p: &(f64, f64)| ((p.0 * 10.0) as i64, (p.1 * 2.0) as i64);
    let mut kept: Vec<(f64, f64)> = Vec::new();
    for (place, point) in points.iter().enumerate() {
        let last = place + 1 == points.len();
        let corner = points.get(place + 1).is_some_and(|next| next.0 - point.0 > 0.1);
        if last || corner || kept.last().is_none_or(|before| pixel(before) != pixel(point)) {
            kept.push(*point);
        }
    }
    kept
}

/// The median time to rollback by the size of the harm.
pub(crate) fn delay(path: &Path, outcomes: &[Outcome]) -> Drawn {
    let lines: Vec<Line> = (0..JUDGES.len())
        .map(|judge| {
            let medians = DELAY_RATES.iter().zip(outcomes);
            let points =
                medians.filter_map(|(rate, o)| Some((rate * 100.0, o.median_delay(judge)?))).collect();
            Line { name: JUDGES[judge], colour: COLOURS[judge], points, marks: true }
        })
        .collect();
    let caption = "Median time to rollback; 0.5% errors on stable, 1 request/s, a share of 10%";
    let axes =
        Axes { caption, legend: SeriesLabelPosition::LowerLeft, x: "errors on the canary, %", y: "seconds" };
    draw(path, &axes, (2.0_f64..90.0).log_scale(), (30.0_f64..3_600.0).log_scale(), &lines)
}

/// False alarms in each harmless scenario, one row of dots each.
pub(crate) fn false_alarms(path: &Path, outcomes: &[Outcome]) -> Drawn {
    let root = SVGBackend::new(path, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let rows = outcomes.len() as f64;
    // Beyond 100% there is room for the legend.
    const LEGEND_TO: f64 = 149.0;
    let mut chart = ChartBuilder::on(&root)
        .caption("Harmless canaries rolled back within an hour", ("sans-serif", 19))
        .margin(14)
        .x_label_area_size(44)
        .y_label_area_size(300)
        .build_cartesian_2d(-1.0..LEGEND_TO, -0.5..rows - 0.5)?;
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .x_desc("rolled back, %")
        .x_labels(15)
        .x_label_formatter(&|x| if *x <= 100.0 { format!("{x:.0}") } else { String::new() })
        .y_labels(outcomes.len())
        .y_label_formatter(&|y| {
            let row = rows - 1.0 - y.round();
            let name = outcomes.get(row as usize).map_or("", |o| o.scenario.name);
            if (y - y.round()).abs() < 0.01 { name.to_owned() } else { String::new() }
        })
        .label_style(("sans-serif", 13))
        .draw()?;
    for judge in 0..JUDGES.len() {
        let colour = COLOURS[judge];
        let dots = outcomes.iter().enumerate().map(move |(row, outcome)| {
            // A little apart, since many share a value.
            let y = rows - 1.0 - row as f64 + (2.5 - judge as f64) * 0.13;
            Circle::new((outcome.alarmed(judge).share() * 100.0, y), 4, colour.filled())
        });
        chart
            .draw_series(dots)?
            .label(JUDGES[judge])
            .legend(move |(x, y)| Circle::new((x + 8, y), 4, colour.filled()));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .background_style(WHITE.mix(0.9))
        .border_style(RGBColor(200, 200, 200))
        .label_font(("sans-serif", 13))
        .draw()?;
    root.present()?;
    Ok(())
}

fn draw<X, Y>(path: &Path, axes: &Axes<'_>, x: X, y: Y, lines: &[Line<'_>]) -> Drawn
where
    X: AsRangedCoord<Value = f64>,
    Y: AsRangedCoord<Value = f64>,
    X::CoordDescType: ValueFormatter<f64>,
    Y::CoordDescType: ValueFormatter<f64>,
{
    let root = SVGBackend::new(path, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .caption(axes.caption, ("sans-serif", 19))
        .margin(14)
        .x_label_area_size(44)
        .y_label_area_size(60)
        .build_cartesian_2d(x, y)?;
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .x_desc(axes.x)
        .y_desc(axes.y)
        .x_label_formatter(&|x| format!("{x:.0}"))
        .y_label_formatter(&|y| format!("{y:.0}"))
        .label_style(("sans-serif", 14))
        .draw()?;
    // In the order of the legend, and Safelight once more so that nothing hides it.
    let on_top = lines.iter().filter(|line| line.colour == COLOURS[0]).map(|line| (line, false));
    for (line, in_legend) in lines.iter().map(|line| (line, true)).chain(on_top) {
        let style = line.colour.stroke_width(line.width());
        let points = line.points.iter().copied();
        let series = chart.draw_series(LineSeries::new(points, style))?;
        if in_legend {
            series.label(line.name).legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style));
        }
        if line.marks {
            chart.draw_series(line.points.iter().map(|p| Circle::new(*p, 4, line.colour.filled())))?;
        }
    }
    chart
        .configure_series_labels()
        .position(axes.legend.clone())
        .background_style(WHITE.mix(0.9))
        .border_style(RGBColor(200, 200, 200))
        .label_font(("sans-serif", 14))
        .draw()?;
    root.present()?;
    Ok(())
}
