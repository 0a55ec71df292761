//! What a page names is there: commands with their flags, benches, exhibits, scripts, files.

use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

/// Whether what these words run exists: a doorbell with these flags, a script.
pub fn runs(command: &str) -> Result<(), String> {
    let command = command.replace("cargo run --release --", "doorbell").replace("\\\n", " ");
    for part in command.split(['|', ';', '&', '(', ')']) {
        let words: Vec<&str> = part.split_whitespace().collect();
        match words.as_slice() {
            ["doorbell", rest @ ..] => doorbell(rest)?,
            [script, ..] if script.starts_with("./scripts/") && !Path::new(script).exists() => {
                return Err(format!("there is no {script}"));
            }
            _ => {}
        }
    }
    Ok(())
}

fn doorbell(words: &[&str]) -> Result<(), String> {
    let is_name = |word: &&&str| word.starts_with(|c: char| c.is_ascii_lowercase());
    let names: Vec<&str> = words.iter().take_while(is_name).copied().collect();
    let depth = if names.first() == Some(&"bench") { 2 } else { 1 };
    let help = output_of(&[&names[..names.len().min(depth)], &["--help"]].concat())?;
    // Where something is left out, nobody knows whose flag it is.
    let is_whole = !words.contains(&"…");
    for flag in words.iter().filter(|word| is_whole && word.starts_with("--") && word.len() > 2) {
        let flag = flag.split(['=', '[']).next().unwrap();
        let known = help.split(|c: char| !c.is_ascii_lowercase() && c != '-').any(|word| word == flag);
        if !known {
            return Err(format!("doorbell {} has no {flag}", names.join(" ")));
        }
    }
    match names.as_slice() {
        ["exhibit", exhibit, ..] if !exhibits().iter().any(|known| known == exhibit) => {
            Err(format!("there is no exhibit {exhibit}"))
        }
        _ => Ok(()),
    }
}

fn exhibits() -> &'static [String] {
    static LIST: OnceLock<Vec<String>> = OnceLock::new();
    LIST.get_or_init(|| {
        let list = output_of(&["exhibit"]).expect("a list of exhibits");
        list.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
    })
}

fn output_of(words: &[&str]) -> Result<String, String> {
    let output = Command::new(env!("CARGO_BIN_EXE_doorbell")).args(words).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    output.status.success().then_some(text).ok_or_else(|| format!("there is no doorbell {}", words.join(" ")))
}

/// Whether what stands between backticks exists, if it is a command or the name of a file.
pub fn exists(words: &str) -> Result<(), String> {
    let is_file = ["src/", "tests/", "scripts/", "docs/"].iter().any(|folder| words.starts_with(folder));
    let is_plain = words.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c));
    if is_file && is_plain && !Path::new(words).exists() {
        return Err(format!("there is no {words}"));
    }
    if words.starts_with("doorbell ") || words.starts_with("./scripts/") { runs(words) } else { Ok(()) }
}
