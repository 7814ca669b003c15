//! Plots as inline SVG; the only file that knows what draws them.
//!
//! The drawing library writes colours as literals, which could not follow a reader's colour scheme. So everything is
//! painted in colours that only say what it is, which [`ink`](crate::study::page::ink) replaces by classes; the
//! page's style sheet gives those their colours, dashes and patterns. Text has no size here either: the style sheet
//! knows how wide the reader's screen is. Margins are wide enough for the largest size that it sets.

use std::ops::Range;

use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint, Ranged};
use plotters::prelude::{
    Cartesian2d, ChartBuilder, ChartContext, Circle, EmptyElement, IntoDrawingArea, IntoFont, LineSeries,
    PathElement, Polygon, RGBColor, Rectangle, SVGBackend, ShapeStyle, Text,
};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, TextStyle};

use crate::study::page::ink::{Role, figure};
use crate::study::page::quantity::{Unit, quantity, tick};

/// Lines and marks that can be told apart: by colour, dash and shape.
pub(super) const LOOKS: usize = 5;

/// The width of every plot in its own units; on the page it takes the width that there is.
const WIDTH: u32 = 640;
const LINES_HEIGHT: u32 = 380;
/// Above a plot: the name of the vertical axis.
const TOP: u32 = 40;
/// Bars are named at their left.
const BARS_TOP: u32 = 8;
/// Below it: marks, and the name of the horizontal axis.
const BOTTOM: u32 = 68;
/// Left of lines: marks such as `500 ms`. Left of bars: their names.
const LINES_LEFT: u32 = 84;
const BARS_LEFT: u32 = 140;
/// Right of lines: half of the last mark. Right of bars: what the longest one amounts to.
const LINES_RIGHT: u32 = 36;
const BARS_RIGHT: u32 = 104;
const BAR_ROW: u32 = 46;

/// How an axis is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scale {
    /// Evenly, from 0.
    Linear,
    /// By powers of ten; what is not above 0 has no place on it.
    Log,
}

impl Scale {
    fn place(self, value: f64) -> Option<f64> {
        match self {
            Self::Linear => value.is_finite().then_some(value),
            Self::Log => (value.is_finite() && value > 0.0).then(|| value.log10()),
        }
    }

    fn value(self, place: f64) -> f64 {
        match self {
            Self::Linear => place,
            Self::Log => 10f64.powf(place),
        }
    }
}

/// One axis: what it says, in what unit, and how it is divided.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    pub(super) name: &'static str,
    pub(super) unit: Unit,
    pub(super) scale: Scale,
}

/// A measured point, with the range it was measured in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Point {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) low: f64,
    pub(super) high: f64,
}

impl Point {
    /// A point without a range.
    pub(super) fn exact(x: f64, y: f64) -> Self {
        Self { x, y, low: y, high: y }
    }
}

/// Whether a line shows measurements or something to hold them against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Drawn with marks and ranges.
    Measured,
    /// Drawn thin and in its look's dashes, without marks.
    Reference,
    /// Drawn thin and evenly dashed, whatever its look: the straight growth that a measured line is held against.
    Straight,
}

/// One line of a plot.
#[derive(Clone, Debug)]
pub(super) struct Line {
    /// What the legend says; a line without a name is not in it.
    pub(super) name: String,
    /// Below [`LOOKS`].
    pub(super) look: usize,
    pub(super) kind: Kind,
    pub(super) points: Vec<Point>,
}

/// Lines over two axes.
#[derive(Clone, Debug)]
pub(super) struct LinePlot {
    /// Unique on the page.
    pub(super) id: String,
    pub(super) title: String,
    pub(super) x: Axis,
    pub(super) y: Axis,
    pub(super) lines: Vec<Line>,
    /// What the axes show besides, so that several plots can be compared: values of x, values of y.
    pub(super) shows: (Vec<f64>, Vec<f64>),
}

/// One bar: parts laid end to end, what they amount to, and the range that the whole was measured in.
#[derive(Clone, Debug)]
pub(super) struct Bar {
    pub(super) name: String,
    pub(super) parts: Vec<f64>,
    pub(super) label: String,
    pub(super) range: Option<(f64, f64)>,
}

/// Bars from 0, one below the other.
#[derive(Clone, Debug)]
pub(super) struct BarPlot {
    pub(super) id: &'static str,
    pub(super) title: String,
    pub(super) axis: &'static str,
    pub(super) unit: Unit,
    /// What the parts are; empty where a bar has one part only, as is the name of one that is always 0.
    pub(super) parts: Vec<&'static str>,
    pub(super) bars: Vec<Bar>,
}

/// The colour that stands for what something drawn is.
fn paint(role: Role, look: usize) -> RGBColor {
    let [red, green, blue] = role.ink(look % LOOKS);
    RGBColor(red, green, blue)
}

type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<Extent, Extent>>;

/// Why drawing does not fail: it writes to a string.
const DRAWS: &str = "a string takes all that is drawn";

/// The part of an axis that is shown, and where its marks are; places, not values.
#[derive(Clone, Debug, PartialEq)]
struct Extent {
    from: f64,
    to: f64,
    marks: Vec<f64>,
}

impl Ranged for Extent {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, place: &f64, (from, to): (i32, i32)) -> i32 {
        let share = (place - self.from) / (self.to - self.from);
        from + (share * f64::from(to - from)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        // Light lines between the marks are not drawn.
        if hint.weight().allow_light_points() { Vec::new() } else { self.marks.clone() }
    }

    fn range(&self) -> Range<f64> {
        self.from..self.to
    }
}

impl Extent {
    /// An extent that holds these places, with marks at round values. `None` if there are none.
    fn around(scale: Scale, places: &[f64]) -> Option<Self> {
        let least = places.iter().copied().reduce(f64::min)?;
        let most = places.iter().copied().reduce(f64::max)?;
        Some(match scale {
            Scale::Linear => Self::linear(most),
            Scale::Log => Self::log(least, most),
        })
    }

    fn linear(most: f64) -> Self {
        let most = if most > 0.0 { most } else { 1.0 };
        let rough = most / LINEAR_STEPS;
        let power = 10f64.powf(rough.log10().floor());
        let step =
            [1.0, 2.0, 5.0, 10.0].into_iter().find(|step| step * power >= rough * 0.999).unwrap_or(10.0)
                * power;
        let steps = (most / step * 0.9999).ceil().max(1.0) as usize;
        let marks = (0..=steps).map(|at| at as f64 * step).collect();
        Self { from: 0.0, to: steps as f64 * step, marks }
    }

    /// A little more than the values take, so that points on the edge are not cut in half.
    fn log(least: f64, most: f64) -> Self {
        // A lone value gets half a power of ten to each side.
        let pad = if most - least < 0.1 { 0.5 } else { (most - least) * 0.04 };
        let (from, to) = (least - pad, most + pad);
        let powers = || from.floor() as i32..=to.ceil() as i32;
        let shown = |steps: &[f64]| -> Vec<f64> {
            let all =
                powers().flat_map(|power| steps.iter().map(move |step| step.log10() + f64::from(power)));
            all.filter(|mark| (from..=to).contains(mark)).collect()
        };
        let (decades, finer) = (shown(&[1.0]), shown(&[1.0, 2.0, 5.0]));
        let marks = if finer.len() <= LOG_MARKS_MAX {
            finer
        } else {
            let every = decades.len().div_ceil(LOG_MARKS_MAX);
            decades.into_iter().step_by(every).collect()
        };
        Self { from, to, marks }
    }
}

/// About as many steps an even axis has; more of them, with their units, touch each other on a phone.
const LINEAR_STEPS: f64 = 4.0;

/// Marks of a logarithmic axis: more of them touch each other on a phone.
const LOG_MARKS_MAX: usize = 7;

/// What surrounds a plot's inside.
struct Frame<'a> {
    height: u32,
    top: u32,
    left: u32,
    right: u32,
    x_name: &'a str,
    y_name: &'a str,
    x: Extent,
    y: Extent,
    x_mark: &'a dyn Fn(&f64) -> String,
    y_mark: &'a dyn Fn(&f64) -> String,
    /// Whether lines run up from the marks of the horizontal axis, or across from those of the vertical one.
    upright_grid: bool,
}

/// Draws axes, grid and names, and inside of them whatever `inside` draws.
fn draw(frame: &Frame<'_>, inside: impl FnOnce(&mut Chart<'_, '_>)) -> String {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (WIDTH, frame.height)).into_drawing_area();
        let mut chart = ChartBuilder::on(&area)
            .margin_top(frame.top)
            .margin_right(frame.right)
            .x_label_area_size(BOTTOM)
            .y_label_area_size(frame.left)
            .build_cartesian_2d(frame.x.clone(), frame.y.clone())
            .expect(DRAWS);
        let mut mesh = chart.configure_mesh();
        if frame.upright_grid {
            mesh.disable_y_mesh();
        } else {
            mesh.disable_x_mesh();
        }
        mesh.bold_line_style(paint(Role::Grid, 0))
            .axis_style(paint(Role::Axis, 0))
            .label_style(words(HPos::Center, VPos::Center))
            .x_label_formatter(frame.x_mark)
            .y_label_formatter(frame.y_mark)
            .draw()
            .expect(DRAWS);
        let middle = frame.left as i32 + (WIDTH - frame.left - frame.right) as i32 / 2;
        let names = [
            (frame.y_name, (8, 6), words(HPos::Left, VPos::Top)),
            (frame.x_name, (middle, frame.height as i32 - 12), words(HPos::Center, VPos::Bottom)),
        ];
        for (name, place, style) in names {
            area.draw(&Text::new(name.to_owned(), place, style)).expect(DRAWS);
        }
        inside(&mut chart);
        area.present().expect(DRAWS);
    }
    svg
}

fn words(horizontal: HPos, vertical: VPos) -> TextStyle<'static> {
    // The style sheet sets family and size.
    let mut style = TextStyle::from(("sans-serif", 14).into_font()).pos(Pos::new(horizontal, vertical));
    style.color = paint(Role::Words, 0).to_backend_color();
    style
}

impl LinePlot {
    /// The plot with its legend; `None` if nothing of it can be drawn.
    pub(super) fn figure(&self) -> Option<String> {
        let places = |line: &Line| -> Vec<(Point, f64, f64)> {
            let place =
                |point: &Point| Some((*point, self.x.scale.place(point.x)?, self.y.scale.place(point.y)?));
            line.points.iter().filter_map(place).collect()
        };
        let placed: Vec<(&Line, Vec<_>)> = self.lines.iter().map(|line| (line, places(line))).collect();
        let placed: Vec<_> = placed.into_iter().filter(|(_, points)| !points.is_empty()).collect();
        let all = || placed.iter().flat_map(|(_, points)| points);
        let range = |(point, _, y): &(Point, f64, f64)| {
            [Some(*y), self.y.scale.place(point.low), self.y.scale.place(point.high)]
        };
        if placed.is_empty() {
            return None;
        }
        let (also_x, also_y) = &self.shows;
        let also_x = also_x.iter().filter_map(|x| self.x.scale.place(*x));
        let also_y = also_y.iter().filter_map(|y| self.y.scale.place(*y));
        let x: Vec<f64> = all().map(|(_, x, _)| *x).chain(also_x).collect();
        let y: Vec<f64> = all().flat_map(range).flatten().chain(also_y).collect();
        let (x, y) = (Extent::around(self.x.scale, &x)?, Extent::around(self.y.scale, &y)?);
        let (x_scale, y_scale, x_unit, y_unit) = (self.x.scale, self.y.scale, self.x.unit, self.y.unit);
        let frame = Frame {
            height: LINES_HEIGHT,
            top: TOP,
            left: LINES_LEFT,
            right: LINES_RIGHT,
            x_name: self.x.name,
            y_name: self.y.name,
            x,
            y,
            x_mark: &|place| tick(x_scale.value(*place), x_unit),
            y_mark: &|place| tick(y_scale.value(*place), y_unit),
            upright_grid: false,
        };
        let svg = draw(&frame, |chart| {
            for (line, points) in &placed {
                draw_line(chart, line, points, y_scale);
            }
        });
        let named = placed.iter().filter(|(line, _)| !line.name.is_empty());
        let keys: Vec<_> = named.clone().map(|(line, _)| (line_key(line), line.name.as_str())).collect();
        let told: Vec<_> = named.map(|(line, points)| self.told(line, points)).collect();
        let description = format!("{} over {}. {}.", self.y.name, self.x.name, told.join("; "));
        Some(figure(&self.id, &self.title, &description, &svg, &keys))
    }

    /// One line in words: where it begins and ends.
    fn told(&self, line: &Line, points: &[(Point, f64, f64)]) -> String {
        let at = |(point, ..): &(Point, f64, f64)| {
            format!("{} at {}", quantity(point.y, self.y.unit), quantity(point.x, self.x.unit))
        };
        match points {
            [] => line.name.clone(),
            [only] => format!("{}: {}", line.name, at(only)),
            [first, .., last] => format!("{}: from {} to {}", line.name, at(first), at(last)),
        }
    }
}

fn draw_line(chart: &mut Chart<'_, '_>, line: &Line, points: &[(Point, f64, f64)], scale: Scale) {
    let path = points.iter().map(|(_, x, y)| (*x, *y));
    let role = match line.kind {
        Kind::Measured => Role::Line,
        Kind::Reference => Role::Reference,
        Kind::Straight => Role::Straight,
    };
    if line.kind != Kind::Measured {
        chart.draw_series(LineSeries::new(path, paint(role, line.look))).expect(DRAWS);
        return;
    }
    let whisker: ShapeStyle = paint(Role::Whisker, line.look).into();
    for (point, x, _) in points {
        let (Some(low), Some(high)) = (scale.place(point.low), scale.place(point.high)) else { continue };
        if low < high {
            let path = PathElement::new(vec![(*x, low), (*x, high)], whisker);
            chart.draw_series([path]).expect(DRAWS);
        }
    }
    chart.draw_series(LineSeries::new(path, paint(role, line.look))).expect(DRAWS);
    let style = paint(Role::Mark, line.look).filled();
    for (_, x, y) in points {
        match mark_corners(line.look) {
            None => chart.draw_series([Circle::new((*x, *y), 5, style)]).map(drop),
            Some(corners) => {
                let mark = EmptyElement::at((*x, *y)) + Polygon::new(corners, style);
                chart.draw_series([mark]).map(drop)
            }
        }
        .expect(DRAWS);
    }
}

/// The corners of a look's mark around its middle; `None` for the circle.
fn mark_corners(look: usize) -> Option<Vec<(i32, i32)>> {
    match look % LOOKS {
        0 => None,
        1 => Some(vec![(-5, -5), (5, -5), (5, 5), (-5, 5)]),
        2 => Some(vec![(0, -6), (6, 5), (-6, 5)]),
        3 => Some(vec![(0, -7), (7, 0), (0, 7), (-7, 0)]),
        _ => Some(vec![(0, 6), (6, -5), (-6, -5)]),
    }
}

impl BarPlot {
    /// The plot with its legend; `None` if no bar is longer than 0.
    pub(super) fn figure(&self) -> Option<String> {
        let total = |bar: &Bar| bar.parts.iter().filter(|part| part.is_finite()).sum::<f64>();
        let shown: Vec<&Bar> = self.bars.iter().filter(|bar| total(bar) > 0.0).collect();
        if shown.is_empty() {
            return None;
        }
        let ends = shown.iter().flat_map(|bar| [total(bar), bar.range.map_or(0.0, |(_, high)| high)]);
        let x = Extent::around(Scale::Linear, &ends.filter(|end| end.is_finite()).collect::<Vec<_>>())?;
        let rows = shown.len() as f64;
        // The first bar is the uppermost.
        let middle = |at: usize| rows - at as f64 - 0.5;
        let y = Extent { from: 0.0, to: rows, marks: (0..shown.len()).map(middle).collect() };
        let names: Vec<&str> = shown.iter().map(|bar| bar.name.as_str()).collect();
        let unit = self.unit;
        let frame = Frame {
            top: BARS_TOP,
            height: BARS_TOP + BOTTOM + BAR_ROW * shown.len() as u32,
            left: BARS_LEFT,
            right: BARS_RIGHT,
            x_name: self.axis,
            y_name: "",
            x,
            y,
            x_mark: &|value| tick(*value, unit),
            y_mark: &|place| {
                let at = (rows - 0.5 - place).round() as usize;
                names.get(at).copied().unwrap_or_default().to_owned()
            },
            upright_grid: true,
        };
        let svg = draw(&frame, |chart| {
            for (at, bar) in shown.iter().enumerate() {
                draw_bar(chart, bar, middle(at));
            }
        });
        let key = |(at, name): (usize, &&'static str)| (area_key(at), *name);
        let keys: Vec<_> =
            self.parts.iter().enumerate().filter(|(_, name)| !name.is_empty()).map(key).collect();
        let told: Vec<_> = shown.iter().map(|bar| format!("{}: {}", bar.name, bar.label)).collect();
        let description = format!("{}. {}.", self.axis, told.join("; "));
        Some(figure(self.id, &self.title, &description, &svg, &keys))
    }
}

fn draw_bar(chart: &mut Chart<'_, '_>, bar: &Bar, middle: f64) {
    let mut from = 0.0;
    for (look, part) in bar.parts.iter().enumerate().filter(|(_, part)| part.is_finite() && **part > 0.0) {
        let to = from + part;
        let style = paint(Role::Area, look).filled();
        chart.draw_series([Rectangle::new([(from, middle + 0.3), (to, middle - 0.3)], style)]).expect(DRAWS);
        from = to;
    }
    let mut end = from;
    if let Some((low, high)) = bar.range.filter(|(low, high)| low < high && high.is_finite()) {
        let paths = [
            vec![(low, middle), (high, middle)],
            vec![(low, middle + 0.12), (low, middle - 0.12)],
            vec![(high, middle + 0.12), (high, middle - 0.12)],
        ];
        // Twice, so that it shows on the bar and off it.
        for role in [Role::Halo, Role::Range] {
            let paths = paths.iter().map(|path| PathElement::new(path.clone(), paint(role, 0)));
            chart.draw_series(paths).expect(DRAWS);
        }
        end = end.max(high);
    }
    let label = Text::new(bar.label.clone(), (8, 0), words(HPos::Left, VPos::Center));
    chart.draw_series([EmptyElement::at((end, middle)) + label]).expect(DRAWS);
}

/// The small picture of a line that a legend shows.
fn line_key(line: &Line) -> String {
    let look = line.look % LOOKS;
    let class = match line.kind {
        Kind::Measured => "line",
        Kind::Reference => "reference",
        Kind::Straight => "straight",
    };
    let stroke = format!("<line class=\"{class}-{look}\" x1=\"0\" y1=\"9\" x2=\"36\" y2=\"9\"/>");
    if line.kind != Kind::Measured {
        return stroke;
    }
    let mark = match mark_corners(look) {
        None => format!("<circle class=\"mark-{look}\" cx=\"18\" cy=\"9\" r=\"5\"/>"),
        Some(corners) => {
            let corners: Vec<_> = corners.iter().map(|(x, y)| format!("{},{}", x + 18, y + 9)).collect();
            format!("<polygon class=\"mark-{look}\" points=\"{}\"/>", corners.join(" "))
        }
    };
    format!("{stroke}{mark}")
}

fn area_key(look: usize) -> String {
    format!("<rect class=\"area-{}\" x=\"6\" y=\"2\" width=\"24\" height=\"14\"/>", look % LOOKS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plot(scale: Scale, points: &[(f64, f64)]) -> LinePlot {
        let points = points.iter().map(|(x, y)| Point::exact(*x, *y)).collect();
        LinePlot {
            id: "plot".to_owned(),
            title: "a title".to_owned(),
            x: Axis { name: "over", unit: Unit::Count, scale: Scale::Log },
            y: Axis { name: "under", unit: Unit::Micros, scale },
            lines: vec![Line { name: "one".to_owned(), look: 1, kind: Kind::Measured, points }],
            shows: Default::default(),
        }
    }

    #[track_caller]
    fn check_marks(extent: &Extent, scale: Scale, expected: &[f64]) {
        let marks: Vec<f64> = extent.marks.iter().map(|mark| scale.value(*mark)).collect();
        let near = |one: f64, other: f64| (one - other).abs() <= other.abs() * 1e-9;
        let same = marks.len() == expected.len() && marks.iter().zip(expected).all(|(a, b)| near(*a, *b));
        assert!(same, "{marks:?} are not {expected:?}");
        assert!(extent.marks.iter().all(|mark| (extent.from..=extent.to).contains(mark)), "{extent:?}");
    }

    #[test]
    fn even_axes_have_round_marks_from_zero_past_the_most() {
        for (most, expected) in [
            (344.0, [0.0, 100.0, 200.0, 300.0, 400.0].as_slice()),
            (0.96, &[0.0, 0.5, 1.0]),
            (5.0, &[0.0, 2.0, 4.0, 6.0]),
            (0.0, &[0.0, 0.5, 1.0]),
        ] {
            check_marks(&Extent::linear(most), Scale::Linear, expected);
        }
    }

    #[test]
    fn logarithmic_axes_have_round_marks_within() {
        for (least, most, expected) in [
            (1.0, 5000.0, [1.0, 10.0, 100.0, 1000.0].as_slice()),
            (990.0, 100_000.0, &[1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5]),
            (300.0, 300.0, &[100.0, 200.0, 500.0]),
            (1e-9, 1e9, &[1e-9, 1e-6, 1e-3, 1.0, 1e3, 1e6, 1e9]),
        ] {
            check_marks(&Extent::log(f64::log10(least), f64::log10(most)), Scale::Log, expected);
        }
    }

    #[test]
    fn a_plot_holds_its_marks_axes_and_words() {
        let html = plot(Scale::Log, &[(1000.0, 300.0), (2000.0, 900.0)]).figure().expect("there are points");
        assert_eq!(html.matches("class=\"mark-1\"").count(), 3, "two points and the legend's: {html}");
        assert_eq!(html.matches("<polyline fill=\"none\" class=\"line-1\"").count(), 1, "{html}");
        for word in ["over", "under", "1k", "500\u{a0}µs", "one"] {
            assert!(html.contains(word), "no {word} in {html}");
        }
        assert!(
            html.contains("under over over. one: from 300\u{a0}µs at 1,000 to 900\u{a0}µs at 2,000."),
            "{html}"
        );
        assert!(!html.contains('#'), "a colour of its own: {html}");
    }

    #[test]
    fn points_without_a_place_are_left_out() {
        let shown = plot(Scale::Log, &[(0.0, 5.0), (-1.0, 5.0), (f64::NAN, 5.0), (10.0, 0.0), (10.0, 5.0)]);
        let html = shown.figure().expect("there is one point");
        assert_eq!(html.matches("class=\"mark-1\"").count(), 2, "one point and the legend's: {html}");
        assert!(plot(Scale::Log, &[(0.0, 1.0), (1.0, f64::INFINITY)]).figure().is_none());
        assert!(plot(Scale::Linear, &[]).figure().is_none());
    }

    #[test]
    fn what_other_plots_show_widens_the_axes_alone() {
        let narrow = plot(Scale::Log, &[(1000.0, 300.0)]);
        let wide = LinePlot { shows: (vec![10.0], vec![3e7, f64::NAN]), ..narrow.clone() };
        assert!(wide.figure().expect("there is a point").contains("10\u{a0}s"));
        assert!(LinePlot { lines: Vec::new(), ..wide }.figure().is_none());
        assert!(!narrow.figure().expect("there is a point").contains("10\u{a0}s"));
    }

    #[test]
    fn bars_stand_from_zero_each_behind_its_name() {
        let bar = |name: &str, parts: &[f64], range| Bar {
            name: name.to_owned(),
            parts: parts.to_vec(),
            label: format!("label of {name}"),
            range,
        };
        let bars = vec![
            bar("first", &[100.0, 0.0, 50.0], None),
            bar("second", &[200.0], Some((180.0, 230.0))),
            bar("empty", &[0.0, f64::NAN], None),
        ];
        let parts = vec!["a part", "", "another"];
        let whole =
            BarPlot { id: "bars", title: "t".to_owned(), axis: "bytes", unit: Unit::Bytes, parts, bars };
        let html = whole.figure().expect("there are bars");
        let (legend, drawing) = html.split_once("<svg class=\"plot\"").expect("there is a plot");
        assert_eq!(legend.matches("<li>").count(), 2, "{legend}");
        assert_eq!(drawing.matches("class=\"area-0\"").count(), 2, "{drawing}");
        assert_eq!(drawing.matches("class=\"area-2\"").count(), 1, "{drawing}");
        assert_eq!(drawing.matches("class=\"range\"").count(), 3, "{drawing}");
        assert!(drawing.contains("label of first") && !drawing.contains("empty"), "{drawing}");
        assert!(BarPlot { bars: Vec::new(), ..whole }.figure().is_none());
    }
}
