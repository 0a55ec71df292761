//! Pages in Markdown, taken apart: headings, fences, links, tables.

use std::fs;
use std::path::{Path, PathBuf};

/// A block between two lines of three backticks.
#[derive(Clone, Debug)]
pub struct Fence {
    /// What the opening line says behind the backticks.
    pub info: String,
    pub body: Vec<String>,
    /// The number of the opening line, from 0.
    pub line: usize,
    /// The last line before it that is not empty.
    pub above: String,
}

impl Fence {
    /// The first word of the info line.
    pub fn kind(&self) -> &str {
        self.info.split(' ').next().unwrap()
    }

    /// The commands of a console, each with what it prints. A command whose line ends with a backslash goes on.
    pub fn commands(&self) -> Vec<Command> {
        let mut commands: Vec<Command> = Vec::new();
        let mut goes_on = false;
        for line in &self.body {
            if let Some(words) = line.strip_prefix("$ ") {
                commands.push(Command { words: words.to_owned(), output: String::new() });
            } else {
                let last = commands.last_mut().unwrap_or_else(|| panic!("no command before {line:?}"));
                let text = if goes_on { &mut last.words } else { &mut last.output };
                text.push_str(if goes_on { "\n" } else { "" });
                text.push_str(line);
                text.push_str(if goes_on { "" } else { "\n" });
            }
            let in_command = line.starts_with("$ ") || goes_on;
            goes_on = in_command && line.ends_with('\\');
        }
        commands
    }
}

/// A command, and what the page says that it prints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    pub words: String,
    pub output: String,
}

/// A page in Markdown.
pub struct Page {
    pub path: PathBuf,
    pub text: String,
    pub fences: Vec<Fence>,
    /// The lines outside of fences, each with its number from 0.
    pub prose: Vec<(usize, String)>,
}

impl Page {
    pub fn read(path: impl AsRef<Path>) -> Page {
        let path = path.as_ref().to_owned();
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let (mut fences, mut prose) = (Vec::new(), Vec::new());
        let mut open: Option<Fence> = None;
        let mut above = String::new();
        for (number, line) in text.lines().enumerate() {
            match (&mut open, line.trim_start().strip_prefix("```")) {
                (None, Some(info)) => {
                    let (info, above) = (info.trim().to_owned(), std::mem::take(&mut above));
                    open = Some(Fence { info, body: Vec::new(), line: number, above });
                }
                (Some(_), Some(_)) => fences.extend(open.take()),
                (Some(fence), None) => fence.body.push(line.to_owned()),
                (None, None) => {
                    prose.push((number, line.to_owned()));
                    if !line.trim().is_empty() {
                        line.clone_into(&mut above);
                    }
                }
            }
        }
        assert!(open.is_none(), "a fence in {} is never closed", path.display());
        Page { path, text, fences, prose }
    }

    /// As a reader would call it.
    pub fn name(&self) -> String {
        self.path.to_string_lossy().into_owned()
    }

    pub fn consoles(&self) -> impl Iterator<Item = &Fence> {
        self.fences.iter().filter(|fence| fence.kind() == "console")
    }

    /// The headings, each with its level.
    pub fn headings(&self) -> Vec<(usize, String)> {
        let lines = self.prose.iter().filter(|(_, line)| line.starts_with('#'));
        lines
            .filter_map(|(_, line)| {
                let text = line.trim_start_matches('#');
                text.starts_with(' ').then(|| (line.len() - text.len(), text.trim().to_owned()))
            })
            .collect()
    }

    /// The names by which the headings can be linked to, as GitHub makes them.
    pub fn anchors(&self) -> Vec<String> {
        let mut anchors: Vec<String> = Vec::new();
        for (_, text) in self.headings() {
            let plain = anchor(&text);
            let again = |anchor: &String| *anchor == plain || is_numbered(anchor, &plain);
            let count = anchors.iter().filter(|known| again(known)).count();
            anchors.push(if count == 0 { plain } else { format!("{plain}-{count}") });
        }
        anchors
    }

    /// The shapes of the tables: rows, with the line under the heads, and columns.
    pub fn tables(&self) -> Vec<(usize, usize)> {
        let mut tables: Vec<(usize, usize)> = Vec::new();
        let mut before = None;
        for (number, line) in self.prose.iter().filter(|(_, line)| line.starts_with('|')) {
            let columns = without_code(line).matches('|').count() - 1;
            match tables.last_mut() {
                Some((rows, known)) if before == Some(number - 1) => {
                    assert_eq!(columns, *known, "{}:{}: {line}", self.name(), number + 1);
                    *rows += 1;
                }
                _ => tables.push((1, columns)),
            }
            before = Some(*number);
        }
        tables
    }

    /// Where its links and pictures lead, each with the number of its line.
    pub fn links(&self) -> Vec<(usize, String)> {
        let mut links = Vec::new();
        for (number, outside, _) in self.by_code() {
            for rest in outside.split("](").skip(1) {
                let target = rest.split(')').next().unwrap();
                links.push((number, target.split(' ').next().unwrap().to_owned()));
            }
        }
        links
    }

    /// What stands between backticks or is indented, each with the number of its line.
    pub fn code(&self) -> Vec<(usize, String)> {
        let mut code = Vec::new();
        for ((number, line), (_, _, inside)) in self.prose.iter().zip(self.by_code()) {
            let indented = line.strip_prefix("    ").map(|line| line.trim().to_owned());
            code.extend(indented.map_or(inside, |line| vec![line]).into_iter().map(|words| (*number, words)));
        }
        code
    }

    /// Each line of prose: what stands outside of backticks, and what between them, which may go on in the next line
    /// of a paragraph.
    fn by_code(&self) -> Vec<(usize, String, Vec<String>)> {
        let (mut lines, mut in_code, mut before) = (Vec::new(), false, 0);
        for (number, line) in &self.prose {
            if line.trim().is_empty() || *number != before + 1 {
                in_code = false;
            }
            let pieces: Vec<&str> = line.split('`').collect();
            let first = usize::from(in_code);
            let outside = pieces.iter().skip(first).step_by(2).copied().collect();
            let inside = pieces.iter().skip(1 - first).step_by(2).map(|&code| code.to_owned()).collect();
            lines.push((*number, outside, inside));
            in_code ^= pieces.len().is_multiple_of(2);
            before = *number;
        }
        lines
    }

    /// The pictures among them.
    pub fn pictures(&self) -> Vec<(usize, String)> {
        self.links().into_iter().filter(|(_, target)| target.ends_with(".svg")).collect()
    }

    /// The text under the heading of this level and name.
    pub fn section(&self, level: usize, title: &str) -> Option<String> {
        let start = format!("{} {title}", "#".repeat(level));
        let mut lines = self.text.lines().skip_while(|line| *line != start);
        lines.next()?;
        let under = lines.take_while(|line| !line.starts_with(&format!("{} ", "#".repeat(level))));
        Some(under.collect::<Vec<_>>().join("\n"))
    }
}

fn is_numbered(anchor: &str, plain: &str) -> bool {
    let number = anchor.strip_prefix(plain).and_then(|rest| rest.strip_prefix('-'));
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// A heading as a link's anchor: small letters, hyphens for spaces, and nothing else but letters and digits.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.flat_map(char::to_lowercase).map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// A line without what stands between backticks.
pub fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect()
}

/// The files of this ending below a folder, in order.
pub fn files_below(folder: impl AsRef<Path>, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_below(&path, ending));
        } else if path.to_string_lossy().ends_with(ending) {
            found.push(path);
        }
    }
    found.sort();
    found
}
