//! What a bench has found, in each form in which it is asked for.

use super::machine::Machine;
use super::plot::Plot;
use super::table::Table;
use serde_json::{Map, Value, json};

/// What a bench has found.
#[derive(Clone, Debug)]
pub struct Report {
    /// The name of the bench.
    pub name: &'static str,
    /// Where it ran.
    pub machine: Machine,
    /// What was found.
    pub tables: Vec<Table>,
    /// How to read it: formulas, what was measured and what was not.
    pub notes: Vec<String>,
    /// Whether time was measured, which a busy machine and a slow build make longer.
    pub is_timed: bool,
    /// What speaks against quoting it.
    pub warnings: Vec<String>,
    /// The same to be looked at.
    pub plot: Option<Plot>,
    /// What a program may want to read besides, by name, in the JSON.
    pub facts: Map<String, Value>,
    /// What was expected and is so; or what is not so.
    pub verdict: Result<String, String>,
}

impl Report {
    /// An empty report of this machine.
    pub fn new(name: &'static str) -> Report {
        Report {
            name,
            machine: Machine::here(),
            tables: Vec::new(),
            notes: Vec::new(),
            is_timed: false,
            warnings: Vec::new(),
            plot: None,
            facts: Map::new(),
            verdict: Ok(String::new()),
        }
    }

    /// The same for a bench that measures time: warns of a build that is not made for speed.
    pub fn timed(name: &'static str) -> Report {
        let mut report = Report { is_timed: true, ..Report::new(name) };
        if cfg!(debug_assertions) {
            report.warnings.push("this is a debug build: measure with cargo run --release".to_owned());
        }
        report
    }

    /// For people at a terminal.
    pub fn terminal(&self) -> String {
        let mut parts = vec![self.machine.line()];
        parts.extend(self.tables.iter().map(Table::terminal));
        parts.push(self.notes.join("\n"));
        parts.push(self.conclusion());
        parts
            .push(self.warnings.iter().map(|what| format!("warning: {what}")).collect::<Vec<_>>().join("\n"));
        parts.retain(|part| !part.is_empty());
        parts.join("\n\n")
    }

    /// For a page.
    pub fn markdown(&self) -> String {
        let mut parts: Vec<String> = self.tables.iter().map(Table::markdown).collect();
        let list = |lines: Vec<String>| lines.join("\n");
        parts.push(list(self.notes.iter().map(|note| format!("- {note}")).collect()));
        parts.push(self.conclusion());
        parts.push(list(self.warnings.iter().map(|what| format!("> warning: {what}")).collect()));
        parts.push(format!("Measured on {}.", self.machine.line()));
        parts.retain(|part| !part.is_empty());
        parts.join("\n\n")
    }

    /// For programs.
    pub fn json(&self) -> Value {
        let mut value = json!({
            "bench": self.name,
            "machine": self.machine.json(),
            "tables": self.tables.iter().map(Table::json).collect::<Vec<_>>(),
            "notes": self.notes,
            "warnings": self.warnings,
            "ok": self.verdict.is_ok(),
            "verdict": self.conclusion(),
        });
        let fields = value.as_object_mut().expect("OK because it was written as one above");
        fields.extend(self.facts.clone());
        value
    }

    fn conclusion(&self) -> String {
        match &self.verdict {
            Ok(text) => text.clone(),
            Err(text) => format!("NOT AS EXPECTED: {text}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let mut report = Report::new("test");
        let mut table = Table::new("Title", &[("a", "A")]);
        table.push(vec![1u64.into()]);
        report.tables.push(table);
        report.notes.push("a note".into());
        report.warnings.push("a warning".into());
        report.facts.insert("more".into(), json!([1]));
        report.verdict = Err("2 is not 1".into());
        report
    }

    #[test]
    fn everything_is_in_every_form() {
        let report = report();
        for text in [report.terminal(), report.markdown()] {
            for part in ["Title", "a note", "warning: a warning", "NOT AS EXPECTED: 2 is not 1", "Linux"] {
                assert!(text.contains(part), "{part} in {text}");
            }
        }
        let value = report.json();
        assert_eq!(value["ok"], false);
        assert_eq!(value["more"][0], 1);
        assert_eq!(value["tables"][0]["rows"][0]["a"], 1);
        assert_eq!(value["warnings"][0], "a warning");
    }
}
