//! Quotations of the source: a fence such as
//!
//! ```text
//! rust src/technique/long_poll.rs impl LongPoll > fn on_deadline
//! ```
//!
//! names a file, and an item in it by how it begins, from the outside to the inside. What stands in the fence must
//! be the item, word for word, without its indentation. A line `// …` (in a script `# …`) leaves out one line of the source or
//! more. Without an item the parts may stand anywhere in the file, in order.

use std::fs;

/// What a fence quotes: the lines of the item, or of the whole file.
pub struct Source {
    lines: Vec<String>,
    whole_item: bool,
}

impl Source {
    /// By what the info line says behind the language.
    pub fn named(info: &str) -> Result<Source, String> {
        let (file, item) = info.split_once(' ').unwrap_or((info, ""));
        let text = fs::read_to_string(file).map_err(|error| format!("{file}: {error}"))?;
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        for name in item.split(" > ").filter(|name| !name.is_empty()) {
            lines = item_named(&lines, name).ok_or(format!("{file} has not exactly one {name:?}"))?;
        }
        Ok(Source { lines: dedented(&lines), whole_item: !item.is_empty() })
    }

    /// Whether the quotation is true.
    pub fn holds(&self, quotation: &[String]) -> bool {
        let parts = parts(quotation);
        let (mut from, last) = (0, parts.len() - 1);
        for (number, part) in parts.iter().enumerate() {
            let found = match number {
                _ if part.is_empty() => (last > 0 && (number == 0 || number == last)).then_some(from),
                0 if self.whole_item => self.lines.starts_with(part).then_some(0),
                0 => self.find(part, 0),
                _ if number == last && self.whole_item => self.find_last(part, from + 1),
                // A gap leaves out one line at least.
                _ => self.find(part, from + 1),
            };
            let Some(at) = found else { return false };
            from = at + part.len();
        }
        let (ends, whole) = (from == self.lines.len(), self.whole_item);
        if parts[last].is_empty() { !ends } else { ends || !whole }
    }

    fn find(&self, part: &[String], from: usize) -> Option<usize> {
        let last = self.lines.len().checked_sub(part.len())?;
        (from..=last).find(|at| self.lines[*at..at + part.len()] == *part)
    }

    fn find_last(&self, part: &[String], from: usize) -> Option<usize> {
        let at = self.lines.len().checked_sub(part.len())?;
        (at >= from && self.lines.ends_with(part)).then_some(at)
    }

    /// The quotation as it should be: each part from its first line to its last, as these are found in the source.
    pub fn refreshed(&self, quotation: &[String]) -> Option<Vec<String>> {
        let parts = parts(quotation);
        let (mut from, mut lines) = (0, Vec::new());
        for (number, part) in parts.iter().enumerate() {
            if number > 0 {
                lines.push(quotation.iter().find(|line| is_gap(line))?.clone());
            }
            let (Some(first), Some(last)) = (part.first(), part.last()) else { continue };
            let start = if number == 0 && self.whole_item { 0 } else { self.place(first, from)? };
            let to_the_end = number + 1 == parts.len() && self.whole_item;
            let end = match to_the_end {
                true => self.lines.len() - 1,
                false if part.len() == 1 => start,
                false => self.place(last, start + 1)?,
            };
            lines.extend_from_slice(&self.lines[start..=end]);
            from = end + 1;
        }
        Some(lines)
    }

    fn place(&self, line: &String, from: usize) -> Option<usize> {
        self.find(std::slice::from_ref(line), from)
    }
}

fn is_gap(line: &str) -> bool {
    matches!(line.trim(), "// …" | "# …")
}

/// What stands between the gaps.
fn parts(quotation: &[String]) -> Vec<&[String]> {
    quotation.split(|line| is_gap(line)).collect()
}

/// The lines of the one item that begins so.
fn item_named(lines: &[String], name: &str) -> Option<Vec<String>> {
    let begins = |line: &str| {
        let rest = without_visibility(line.trim_start()).strip_prefix(name);
        rest.is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
    };
    let mut found = lines.iter().enumerate().filter(|(_, line)| begins(line));
    let (start, first) = found.next()?;
    if found.next().is_some() {
        return None;
    }
    let is_whole = first.ends_with(';') || (first.contains('{') && first.ends_with('}'));
    let closes = |line: &String| indent(line) == indent(first) && line.trim_start().starts_with(['}', ']']);
    let closes_list = |line: &String| indent(line) == indent(first) && line.trim_start() == ");";
    let length = if is_whole {
        0
    } else {
        lines[start..].iter().position(|line| closes(line) || closes_list(line))?
    };
    Some(lines[start..=start + length].to_vec())
}

/// What an item is called begins behind `pub`.
fn without_visibility(line: &str) -> &str {
    let Some(rest) = line.strip_prefix("pub") else { return line };
    match rest.strip_prefix('(') {
        Some(inside) => inside.split_once(") ").map_or(line, |(_, rest)| rest),
        None => rest.strip_prefix(' ').unwrap_or(line),
    }
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

fn dedented(lines: &[String]) -> Vec<String> {
    let least =
        lines.iter().filter(|line| !line.trim().is_empty()).map(|line| indent(line)).min().unwrap_or(0);
    lines.iter().map(|line| line.get(least..).unwrap_or("").to_owned()).collect()
}
