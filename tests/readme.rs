//! The tour in the README is true, in both languages: its commands are run, and say what it says. And both say the same.

mod support;

use support::pages::Page;
use support::tour;

const ENGLISH: &str = "README.md";
const KOREAN: &str = "README.ko.md";

#[test]
fn the_tour_goes_as_the_readme_says() {
    let commands = tour::take(&Page::read(ENGLISH));
    assert!(commands >= 8, "the tour is found");
}

#[test]
fn the_tour_goes_as_the_korean_readme_says() {
    assert!(tour::take(&Page::read(KOREAN)) >= 8, "the tour is found");
}

#[test]
fn neither_language_lacks_a_section_or_a_command() {
    let (english, korean) = (Page::read(ENGLISH), Page::read(KOREAN));
    let levels = |page: &Page| page.headings().iter().map(|(level, _)| *level).collect::<Vec<_>>();
    assert_eq!(levels(&english), levels(&korean), "sections");
    for ((english, above), (korean, below)) in commands(&english).iter().zip(&commands(&korean)) {
        assert_eq!(english, korean, "commands under {above} and {below}");
    }
    assert_eq!(commands(&english).len(), commands(&korean).len(), "commands");
    assert_eq!(files(&english), files(&korean), "files that are linked to");
    assert_eq!(english.tables(), korean.tables(), "tables");
    let has_korean = |text: &str| text.chars().any(|c| ('가'..='힣').contains(&c));
    for (_, title) in korean.headings().iter().skip(1) {
        assert!(title.contains("curl") || has_korean(title), "not in Korean: {title}");
    }
}

/// The commands in consoles and in indented blocks, each with the heading above it. Comments may differ.
fn commands(page: &Page) -> Vec<(String, String)> {
    let (mut found, mut heading) = (Vec::new(), String::new());
    for line in page.text.lines() {
        let command = line.strip_prefix("$ ").or_else(|| {
            let indented = line.strip_prefix("    ")?;
            (indented.starts_with("./") || indented.starts_with("cargo ")).then_some(indented)
        });
        if line.starts_with('#') {
            line.clone_into(&mut heading);
        }
        if let Some(command) = command {
            let words = command.split("  # ").next().unwrap().trim_end();
            found.push((words.replace("--narrate=ko", "--narrate=en"), heading.clone()));
        }
    }
    found
}

/// Where the links lead; the book and the other README are each language's own.
fn files(page: &Page) -> Vec<String> {
    let files = page.links().into_iter().map(|(_, target)| target);
    files
        .map(|file| file.replace("docs/book/ko/", "docs/book/en/").replace("README.ko.md", "README.md"))
        .collect()
}
