//! A table as a value: it renders itself for the terminal, as Markdown and as JSON.

use super::rounds::Spread;
use crate::digits::grouped;
use serde_json::{Map, Value, json};

/// Rows under headings.
#[derive(Clone, Debug)]
pub struct Table {
    /// What is in it.
    pub title: String,
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
    grouped: bool,
}

/// A column: what JSON calls it, and its heading with the unit.
#[derive(Clone, Debug)]
struct Column {
    key: &'static str,
    heading: String,
}

/// One field of a table.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// Words, set to the left.
    Text(String),
    /// What was counted.
    Count(u64),
    /// What was calculated.
    Figure(f64),
    /// What was measured in several rounds.
    Measured(Spread),
    /// There is nothing to tell: a dash.
    Nothing,
}

impl From<&str> for Cell {
    fn from(text: &str) -> Cell {
        Cell::Text(text.to_owned())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Cell {
        Cell::Text(text)
    }
}

impl From<u64> for Cell {
    fn from(count: u64) -> Cell {
        Cell::Count(count)
    }
}

impl From<usize> for Cell {
    fn from(count: usize) -> Cell {
        Cell::Count(count as u64)
    }
}

impl From<f64> for Cell {
    fn from(figure: f64) -> Cell {
        Cell::Figure(figure)
    }
}

impl From<Spread> for Cell {
    fn from(spread: Spread) -> Cell {
        Cell::Measured(spread)
    }
}

impl<T: Into<Cell>> From<Option<T>> for Cell {
    fn from(cell: Option<T>) -> Cell {
        cell.map_or(Cell::Nothing, Into::into)
    }
}

impl Cell {
    fn text(&self) -> String {
        match self {
            Cell::Text(text) => text.clone(),
            Cell::Count(count) => grouped(*count),
            Cell::Figure(figure) => readable(*figure),
            Cell::Measured(spread) => {
                let Spread { median, lowest, highest, .. } = *spread;
                format!("{} ({}–{})", readable(median), readable(lowest), readable(highest))
            }
            Cell::Nothing => "–".to_owned(),
        }
    }

    fn json(&self) -> Value {
        match self {
            Cell::Text(text) => json!(text),
            Cell::Count(count) => json!(count),
            Cell::Figure(figure) => json!(figure),
            Cell::Measured(spread) => spread.json(),
            Cell::Nothing => Value::Null,
        }
    }

    fn is_figure(&self) -> bool {
        !matches!(self, Cell::Text(_) | Cell::Nothing)
    }
}

impl Table {
    /// A table without rows. Each column is its name in JSON and its heading.
    pub fn new(title: &str, columns: &[(&'static str, &str)]) -> Table {
        let columns = columns.iter().map(|&(key, heading)| Column { key, heading: heading.to_owned() });
        Table { title: title.to_owned(), columns: columns.collect(), rows: Vec::new(), grouped: false }
    }

    /// Has people read the first field of several rows in the first of them only.
    pub fn grouped(mut self) -> Table {
        self.grouped = true;
        self
    }

    /// Appends a row. Panics if it has not as many cells as there are columns.
    pub fn push(&mut self, row: Vec<Cell>) {
        assert_eq!(row.len(), self.columns.len(), "a row of {:?}", self.title);
        self.rows.push(row);
    }

    /// Aligned by spaces, a line for each row, under a heading.
    pub fn terminal(&self) -> String {
        let cells = self.texts();
        let widths: Vec<usize> = (0..self.columns.len())
            .map(|column| cells.iter().map(|row| row[column].chars().count()).max().unwrap_or(0))
            .collect();
        let line = |row: &[String]| {
            let padded = row.iter().enumerate().map(|(column, text)| {
                let space = " ".repeat(widths[column] - text.chars().count());
                if self.is_left(column) { format!("{text}{space}") } else { format!("{space}{text}") }
            });
            padded.collect::<Vec<_>>().join("   ").trim_end().to_owned()
        };
        let mut lines = vec![self.title.clone(), String::new(), line(&cells[0])];
        lines.push("-".repeat(widths.iter().sum::<usize>() + 3 * (widths.len() - 1)));
        lines.extend(cells[1..].iter().map(|row| line(row)));
        lines.join("\n")
    }

    /// As GitHub reads it.
    pub fn markdown(&self) -> String {
        let line = |row: &[String]| {
            let cells: Vec<String> = row.iter().map(|text| text.replace('|', "\\|")).collect();
            format!("| {} |", cells.join(" | "))
        };
        let cells = self.texts();
        let rules: Vec<String> = (0..self.columns.len())
            .map(|column| if self.is_left(column) { "---".to_owned() } else { "---:".to_owned() })
            .collect();
        let mut lines = vec![format!("**{}**", self.title), String::new(), line(&cells[0]), line(&rules)];
        lines.extend(cells[1..].iter().map(|row| line(row)));
        lines.join("\n")
    }

    /// Title, headings, and an object for each row.
    pub fn json(&self) -> Value {
        let headings: Map<String, Value> =
            self.columns.iter().map(|column| (column.key.to_owned(), json!(column.heading))).collect();
        let object = |row: &Vec<Cell>| -> Value {
            let fields = self.columns.iter().zip(row);
            fields.map(|(column, cell)| (column.key.to_owned(), cell.json())).collect::<Map<_, _>>().into()
        };
        let rows: Vec<Value> = self.rows.iter().map(object).collect();
        json!({ "title": self.title, "headings": headings, "rows": rows })
    }

    /// The headings, and then each row.
    fn texts(&self) -> Vec<Vec<String>> {
        let headings = self.columns.iter().map(|column| column.heading.clone()).collect();
        let rows = self.rows.iter().enumerate().map(|(at, row)| {
            let mut texts: Vec<String> = row.iter().map(Cell::text).collect();
            if self.grouped && at > 0 && self.rows[at - 1].first() == row.first() {
                texts[0].clear();
            }
            texts
        });
        std::iter::once(headings).chain(rows).collect()
    }

    /// Words are set to the left, figures to the right; so is a column that has both.
    fn is_left(&self, column: usize) -> bool {
        !self.rows.iter().any(|row| row[column].is_figure())
    }
}

/// Three digits that count, more before the point if there are more.
pub fn readable(figure: f64) -> String {
    match figure.abs() {
        large if large >= 99.95 => {
            let sign = if figure < 0.0 { "-" } else { "" };
            format!("{sign}{}", grouped(large.round() as u64))
        }
        middling if middling >= 9.995 => format!("{figure:.1}"),
        small if small >= 0.9995 || small == 0.0 => format!("{figure:.2}"),
        _ => format!("{figure:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new("Waits", &[("name", "name"), ("idle", "idle fds"), ("time", "µs")]);
        let time = Spread::of(&[3.0, 1.0, 2.0]);
        table.push(vec!["poll | select".into(), 19_000u64.into(), time.into()]);
        table.push(vec!["epoll".into(), 10u64.into(), Cell::Nothing]);
        table
    }

    #[test]
    fn columns_are_aligned_on_a_terminal() {
        let expected = "Waits\n\n\
                        name            idle fds                 µs\n\
                        -------------------------------------------\n\
                        poll | select     19,000   2.00 (1.00–3.00)\n\
                        epoll                 10                  –";
        assert_eq!(table().terminal(), expected);
    }

    #[test]
    fn a_group_is_named_once_but_for_programs() {
        let mut table = Table::new("", &[("group", "group"), ("count", "count")]).grouped();
        for count in 1..3u64 {
            table.push(vec!["a".into(), count.into()]);
        }
        assert!(table.markdown().ends_with("| a | 1 |\n|  | 2 |"), "{}", table.markdown());
        assert_eq!(table.json()["rows"][1]["group"], "a");
    }

    #[test]
    fn markdown_escapes_what_would_end_a_cell() {
        let text = table().markdown();
        assert!(text.contains("| poll \\| select | 19,000 | 2.00 (1.00–3.00) |"), "{text}");
        assert!(text.contains("| --- | ---: | ---: |"), "{text}");
    }

    #[test]
    fn json_has_figures_and_not_words() {
        let value = table().json();
        assert_eq!(value["rows"][0]["idle"], 19_000);
        let measured = json!({ "median": 2.0, "lowest": 1.0, "highest": 3.0, "rounds": 3 });
        assert_eq!(value["rows"][0]["time"], measured);
        assert_eq!(value["rows"][1]["time"], Value::Null);
    }

    #[test]
    fn figures_keep_three_digits() {
        for (figure, text) in [
            (0.0, "0.00"),
            (0.1234, "0.123"),
            (1.0, "1.00"),
            (9.999, "10.0"),
            (12.34, "12.3"),
            (123.4, "123"),
            (1_234_567.0, "1,234,567"),
            (-1234.0, "-1,234"),
        ] {
            assert_eq!(readable(figure), text);
        }
    }
}
