//! A plot as a value, drawn as SVG.

use plotters::coord::ranged1d::{AsRangedCoord, Ranged, ValueFormatter};
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
    /// A line of the same name has the same colour in each panel.
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
}

impl Axis {
    /// Equal distances are equal differences.
    pub fn linear(label: &str) -> Axis {
        Axis { label: label.to_owned(), logarithmic: false }
    }

    /// Equal distances are equal ratios.
    pub fn logarithmic(label: &str) -> Axis {
        Axis { label: label.to_owned(), logarithmic: true }
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
            let y = self.range(&panel.y, |panel| &panel.y, |point| point.1);
            match (panel.x.logarithmic, panel.y.logarithmic) {
                (false, false) => panel.draw(&area, x, y, &names),
                (true, false) => panel.draw(&area, x.log_scale(), y, &names),
                (false, true) => panel.draw(&area, x, y.log_scale(), &names),
                (true, true) => panel.draw(&area, x.log_scale(), y.log_scale(), &names),
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

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

impl Panel {
    fn draw<X, Y>(
        &self,
        area: &Area<'_>,
        x: X,
        y: Y,
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
        chart
            .configure_mesh()
            .light_line_style(WHITE)
            .x_desc(&self.x.label)
            .y_desc(&self.y.label)
            .x_label_formatter(&|value| short(*value))
            .y_label_formatter(&|value| short(*value))
            .draw()
            .map_err(told)?;
        for line in &self.lines {
            let place = names.iter().position(|name| *name == line.name).unwrap_or(0);
            let colour = COLOURS[place % COLOURS.len()];
            let drawn = LineSeries::new(line.points.iter().copied(), colour.stroke_width(2)).point_size(3);
            let drawn = chart.draw_series(drawn).map_err(told)?;
            drawn
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
            let axis = |logarithmic| Axis { label: "µs".into(), logarithmic };
            let svg = plot(axis(x), axis(y)).svg().unwrap();
            assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"), "{svg}");
            for part in ["A title &amp; more", "a panel", "poll", "epoll", "µs", "<polyline"] {
                assert!(svg.contains(part), "{part} in {svg}");
            }
        }
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
