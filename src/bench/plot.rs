//! A plot as a value, drawn as SVG.

use plotters::coord::ranged1d::{AsRangedCoord, DefaultFormatting, KeyPointHint, Ranged, ValueFormatter};
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;

/// Panels side by side, at most four in a row.
#[derive(Clone, Debug)]
pub struct Plot {
    /// What is shown.
    pub title: String,
    /// From left to right, and then the next row.
    pub panels: Vec<Panel>,
}

/// One pair of axes and what is drawn on it.
#[derive(Clone, Debug)]
pub struct Panel {
    /// What distinguishes it from its neighbours.
    pub title: String,
    /// Along the bottom.
    pub x: Axis,
    /// Along the left side.
    pub y: Axis,
    /// A line of the same name has the same colour in each panel. Over an axis of names they are bars.
    pub lines: Vec<Line>,
}

/// What an axis says, and how it counts. Panels with the same axis show the same piece of it, so that they can
/// be compared.
#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    /// The quantity with its unit.
    pub label: String,
    /// Whether equal distances are equal ratios. What is not above 0 cannot be shown then.
    pub logarithmic: bool,
    /// If there are any: x is no quantity, but the place of one of these names, counted from 0.
    pub names: Vec<String>,
}

impl Axis {
    /// Equal distances are equal differences.
    pub fn linear(label: &str) -> Axis {
        Axis { label: label.to_owned(), logarithmic: false, names: Vec::new() }
    }

    /// Equal distances are equal ratios.
    pub fn logarithmic(label: &str) -> Axis {
        Axis { logarithmic: true, ..Axis::linear(label) }
    }

    /// One name beside the other, for the bottom. The bars over it are true to scale if y is linear.
    pub fn of_names(names: &[&str]) -> Axis {
        Axis { names: names.iter().map(|&name| name.to_owned()).collect(), ..Axis::linear("") }
    }

    fn is_of_names(&self) -> bool {
        !self.names.is_empty()
    }

    /// What stands at a place of the axis.
    fn text_at(&self, value: f64) -> String {
        if !self.is_of_names() {
            return short(value);
        }
        self.names.get(value.round() as usize).cloned().unwrap_or_default()
    }
}

/// Points that belong together, from left to right.
#[derive(Clone, Debug)]
pub struct Line {
    /// Whose they are.
    pub name: String,
    /// x and y.
    pub points: Vec<(f64, f64)>,
}

const PANEL: (u32, u32) = (420, 380);
const TITLE: u32 = 40;
const IN_A_ROW: usize = 4;
/// Distinct for those, too, who do not see all colours (Okabe and Ito).
const COLOURS: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(230, 159, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(213, 94, 0),
    RGBColor(86, 180, 233),
];
const FONT: &str = "sans-serif";

impl Plot {
    /// The picture, as SVG.
    pub fn svg(&self) -> Result<String, String> {
        let mut text = String::new();
        let (rows, columns) = self.grid();
        let size = (PANEL.0 * columns as u32, PANEL.1 * rows as u32 + TITLE);
        self.draw(SVGBackend::with_string(&mut text, size))
            .map_err(|error| format!("cannot draw: {error}"))?;
        Ok(text)
    }

    /// Rows and columns.
    fn grid(&self) -> (usize, usize) {
        let count = self.panels.len().max(1);
        (count.div_ceil(IN_A_ROW), count.min(IN_A_ROW))
    }

    fn draw(&self, backend: SVGBackend<'_>) -> Result<(), Box<dyn std::error::Error + '_>> {
        let area = backend.into_drawing_area();
        area.fill(&WHITE)?;
        let area = area.titled(&self.title, (FONT, 20))?;
        let names = self.names();
        for (panel, area) in self.panels.iter().zip(area.split_evenly(self.grid())) {
            let x = self.range(&panel.x, |panel| &panel.x, |point| point.0);
            let mut y = self.range(&panel.y, |panel| &panel.y, |point| point.1);
            if panel.x.is_of_names() {
                // Room for the legend above the bars.
                y.end *= 1.3;
            }
            let floor = y.start;
            let places = || Places(x.clone().into(), panel.x.names.len());
            match (panel.x.is_of_names(), panel.x.logarithmic, panel.y.logarithmic) {
                (true, _, false) => panel.draw(&area, places(), y, floor, &names),
                (true, _, true) => panel.draw(&area, places(), y.log_scale(), floor, &names),
                (_, false, false) => panel.draw(&area, x, y, floor, &names),
                (_, true, false) => panel.draw(&area, x.log_scale(), y, floor, &names),
                (_, false, true) => panel.draw(&area, x, y.log_scale(), floor, &names),
                (_, true, true) => panel.draw(&area, x.log_scale(), y.log_scale(), floor, &names),
            }
            .map_err(|error| error.to_string())?;
        }
        area.present()?;
        Ok(())
    }

    /// The piece of an axis that holds all of its points: from a little below the lowest to a little above the
    /// highest; from 0 if it is linear.
    fn range(
        &self,
        axis: &Axis,
        axis_of: impl Fn(&Panel) -> &Axis,
        value_of: impl Fn(&(f64, f64)) -> f64,
    ) -> std::ops::Range<f64> {
        if axis.is_of_names() {
            return -0.5..axis.names.len() as f64 - 0.5;
        }
        let panels = self.panels.iter().filter(|panel| axis_of(panel) == axis);
        let points = panels.flat_map(|panel| &panel.lines).flat_map(|line| &line.points);
        let (low, high) = points
            .map(value_of)
            .filter(|&value| !axis.logarithmic || value > 0.0)
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
        match (low <= high, axis.logarithmic) {
            (false, true) => 1.0..10.0,
            (false, false) => 0.0..1.0,
            (true, true) => low / 1.3..high * 1.3,
            (true, false) => low.min(0.0)..(high * 1.05).max(low.min(0.0) + 1e-9),
        }
    }

    /// The names of all lines, each once.
    fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for line in self.panels.iter().flat_map(|panel| &panel.lines) {
            if !names.contains(&line.name.as_str()) {
                names.push(&line.name);
            }
        }
        names
    }
}

/// The bottom of a panel with so many names: each has its label at a whole number.
struct Places(RangedCoordf64, usize);

impl Ranged for Places {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        self.0.map(value, limit)
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        (0..self.1).map(|place| place as f64).collect()
    }

    fn range(&self) -> std::ops::Range<f64> {
        self.0.range()
    }
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

impl Panel {
    /// The corners of a bar: those of one name stand side by side, on the floor.
    fn bar(&self, at: usize, (place, height): (f64, f64), floor: f64) -> [(f64, f64); 2] {
        const TOGETHER: f64 = 0.8;
        let width = TOGETHER / self.lines.len() as f64;
        let left = place - TOGETHER / 2.0 + width * at as f64;
        [(left, floor), (left + width * 0.95, height)]
    }

    fn draw<X, Y>(
        &self,
        area: &Area<'_>,
        x: X,
        y: Y,
        floor: f64,
        names: &[&str],
    ) -> Result<(), Box<dyn std::error::Error>>
    where
        X: AsRangedCoord<Value = f64>,
        Y: AsRangedCoord<Value = f64>,
        X::CoordDescType: Ranged<ValueType = f64> + ValueFormatter<f64>,
        Y::CoordDescType: Ranged<ValueType = f64> + ValueFormatter<f64>,
    {
        let told = |error: DrawingAreaErrorKind<_>| error.to_string();
        let mut chart = ChartBuilder::on(area)
            .caption(&self.title, (FONT, 15))
            .margin(10)
            .x_label_area_size(40)
            .y_label_area_size(60)
            .build_cartesian_2d(x, y)
            .map_err(told)?;
        let mut mesh = chart.configure_mesh();
        if self.x.is_of_names() {
            mesh.disable_x_mesh();
        }
        mesh.light_line_style(WHITE)
            .x_desc(&self.x.label)
            .y_desc(&self.y.label)
            .x_label_formatter(&|value| self.x.text_at(*value))
            .y_label_formatter(&|value| short(*value))
            .draw()
            .map_err(told)?;
        for (at, line) in self.lines.iter().enumerate() {
            let place = names.iter().position(|name| *name == line.name).unwrap_or(0);
            let colour = COLOURS[place % COLOURS.len()];
            let drawn = if self.x.is_of_names() {
                let bars = line
                    .points
                    .iter()
                    .map(|&point| Rectangle::new(self.bar(at, point, floor), colour.filled()));
                chart.draw_series(bars)
            } else {
                let points = line.points.iter().copied();
                chart.draw_series(LineSeries::new(points, colour.stroke_width(2)).point_size(3))
            };
            drawn
                .map_err(told)?
                .label(&line.name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour.stroke_width(2)));
        }
        let mut legend = chart.configure_series_labels();
        legend
            .position(SeriesLabelPosition::UpperLeft)
            .background_style(WHITE.mix(0.8))
            .label_font((FONT, 13));
        legend.draw().map_err(told)?;
        Ok(())
    }
}

/// A label: `10k` for 10,000.
fn short(value: f64) -> String {
    match value.abs() {
        large if large >= 1e6 => format!("{}M", value / 1e6),
        large if large >= 1e3 => format!("{}k", value / 1e3),
        small if small >= 1.0 || small == 0.0 => format!("{}", (value * 10.0).round() / 10.0),
        _ => format!("{}", (value * 1e4).round() / 1e4),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plot(x: Axis, y: Axis) -> Plot {
        let line = |name: &str, factor: f64| Line {
            name: name.into(),
            points: vec![(10.0, factor), (1000.0, 100.0 * factor)],
        };
        let panel =
            Panel { title: "a panel".into(), x, y, lines: vec![line("poll", 2.0), line("epoll", 0.5)] };
        Plot { title: "A title & more".into(), panels: vec![panel.clone(), panel] }
    }

    #[test]
    fn every_pair_of_axes_can_be_drawn() {
        for (x, y) in [(false, false), (true, false), (false, true), (true, true)] {
            let axis = |logarithmic| Axis { logarithmic, ..Axis::linear("µs") };
            let svg = plot(axis(x), axis(y)).svg().unwrap();
            assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"), "{svg}");
            for part in ["A title &amp; more", "a panel", "poll", "epoll", "µs", "<polyline"] {
                assert!(svg.contains(part), "{part} in {svg}");
            }
        }
    }

    #[test]
    fn over_names_there_are_bars() {
        let mut plot = plot(Axis::of_names(&["long_poll", "sse"]), Axis::linear("bytes"));
        for line in plot.panels.iter_mut().flat_map(|panel| &mut panel.lines) {
            line.points = vec![(0.0, 100.0), (1.0, 150.0)];
        }
        let svg = plot.svg().unwrap();
        for part in ["long_poll", "sse", "bytes", "<rect"] {
            assert!(svg.contains(part), "{part} in {svg}");
        }
        assert_eq!(svg.matches("fill=\"#0072B2\"").count(), 4, "two bars in each of two panels: {svg}");
    }

    #[test]
    fn a_plot_of_nothing_is_empty_and_no_panic() {
        let mut plot = plot(Axis::logarithmic("x"), Axis::linear("y"));
        plot.panels[0].lines.clear();
        plot.panels[1].lines[0].points = vec![(0.0, 0.0)];
        assert!(plot.svg().is_ok());
        plot.panels.clear();
        assert!(plot.svg().is_ok());
    }

    #[test]
    fn labels_are_short() {
        for (value, label) in [(0.0, "0"), (0.25, "0.25"), (10.0, "10"), (1e4, "10k"), (2.5e6, "2.5M")] {
            assert_eq!(short(value), label);
        }
    }
}
