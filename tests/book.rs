//! The book is true: what it quotes is the source, what it says that a command prints is printed, where it leads
//! there is something, and it says as much in Korean as in English.
//!
//! `UPDATE=1 cargo test --test book quotation` writes the quotations anew from the source.

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use support::alike::says;
use support::named;
use support::pages::{Fence, Page, files_below, without_code};
use support::quotes::Source;
use support::tour;

const ENGLISH: &str = "docs/book/en";
const KOREAN: &str = "docs/book/ko";
const LABS: &str = "scripts/labs";

fn pages(folder: &str) -> Vec<Page> {
    files_below(folder, ".md").iter().map(Page::read).collect()
}

fn book() -> impl Iterator<Item = Page> {
    pages(ENGLISH).into_iter().chain(pages(KOREAN))
}

/// The pages of one language that are numbered, such as `04-long-polling.md`.
fn chapters(folder: &str) -> Vec<Page> {
    pages(folder).into_iter().filter(|page| number(page).is_some()).collect()
}

fn file_name(page: &Page) -> &str {
    page.path.file_name().unwrap().to_str().unwrap()
}

fn number(page: &Page) -> Option<&str> {
    let (number, _) = file_name(page).split_once('-')?;
    number.bytes().all(|byte| byte.is_ascii_digit()).then_some(number)
}

/// Everything that is written for readers.
fn everything() -> Vec<Page> {
    let mut paths = files_below("docs", ".md");
    let at_the_top = fs::read_dir(".").unwrap().map(|entry| entry.unwrap().path());
    paths.extend(at_the_top.filter(|path| path.extension().is_some_and(|ending| ending == "md")));
    paths.iter().map(Page::read).collect()
}

// What is quoted.

#[test]
fn every_quotation_is_what_the_source_says() {
    for page in book() {
        let wrong: Vec<&Fence> =
            quotations(&page).filter(|fence| !source(&page, fence).holds(&fence.body)).collect();
        if std::env::var_os("UPDATE").is_some() {
            rewrite(&page, &wrong);
        } else if let Some(fence) = wrong.first() {
            let advice = "UPDATE=1 cargo test --test book quotation writes it anew";
            panic!("{}:{}: the source says it otherwise; {advice}", page.name(), fence.line + 1);
        }
    }
}

#[test]
fn every_quotation_shows_its_reader_where_it_is_from() {
    for page in book() {
        for fence in quotations(&page) {
            let file = fence.info.split(' ').nth(1).unwrap();
            let end = fence.line + fence.body.len() + 1;
            let near =
                |line: usize| (fence.line.saturating_sub(6)..fence.line).contains(&line) || line == end + 2;
            let leads_there = |target: &str| target.strip_prefix("../../../") == Some(file);
            let shown = page.links().iter().any(|(line, target)| near(*line) && leads_there(target));
            assert!(shown, "{}:{}: no link to {file} above or below", page.name(), fence.line + 1);
        }
    }
}

/// What is in Rust is quoted from the source; so is what is in bash.
fn quotations(page: &Page) -> impl Iterator<Item = &Fence> {
    page.fences.iter().filter(|fence| matches!(fence.kind(), "rust" | "bash"))
}

fn source(page: &Page, fence: &Fence) -> Source {
    let place = format!("{}:{}", page.name(), fence.line + 1);
    let (_, named) =
        fence.info.split_once(' ').unwrap_or_else(|| panic!("{place}: it does not say what it quotes"));
    Source::named(named).unwrap_or_else(|why| panic!("{place}: {why}"))
}

fn rewrite(page: &Page, wrong: &[&Fence]) {
    let mut lines: Vec<String> = page.text.lines().map(str::to_owned).collect();
    for fence in wrong.iter().rev() {
        let place = format!("{}:{}", page.name(), fence.line + 1);
        let fresh = source(page, fence).refreshed(&fence.body);
        let fresh =
            fresh.unwrap_or_else(|| panic!("{place}: its first or last lines are gone; quote it by hand"));
        let start = fence.line + 1;
        lines.splice(start..start + fence.body.len(), fresh);
    }
    fs::write(&page.path, lines.join("\n") + "\n").unwrap();
}

#[test]
fn a_quotation_that_is_not_so_is_noticed() {
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let source = Source::named("src/tick.rs struct Tick").unwrap();
    let whole = source.refreshed(&lines("x")).unwrap();
    assert!(source.holds(&whole));
    assert!(!source.holds(&lines("pub struct Tock(pub u64);")));
    let run = Source::named("src/server/mod.rs impl Server > fn run").unwrap();
    assert!(run.holds(&lines("pub fn run(mut self) -> io::Result<Exit> {\n// …\n}")));
    assert!(!run.holds(&lines("pub fn run(mut self) -> io::Result<Exit> {\n}")), "a gap is shown");
    assert!(!run.holds(&lines("pub fn run(mut self) -> io::Result<Exit> {\n// …\nnothing\n// …\n}")));
    assert!(
        !run.holds(&lines("pub fn run(mut self) -> io::Result<Exit> {")),
        "so is an end that is left out"
    );
    assert!(Source::named("src/server/mod.rs fn runs").is_err());
}

// What is run.

#[test]
fn every_command_prints_what_the_book_says() {
    let pages = std::sync::Mutex::new(book());
    std::thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                while let Some(page) = next(&pages) {
                    tour::take(&page);
                }
            });
        }
    });
}

/// How many pages are walked through at a time: most of them only wait.
const AT_A_TIME: usize = 6;

fn next(pages: &std::sync::Mutex<impl Iterator<Item = Page>>) -> Option<Page> {
    // Another thread may have found a page that is wrong; this one goes on.
    pages.lock().unwrap_or_else(std::sync::PoisonError::into_inner).next()
}

#[test]
fn what_a_command_prints_is_compared() {
    assert!(says("a … c\n…\nz", "a b c\n1\n2\nz"));
    assert!(says(r#"{"cursor":"5dz6w3-1","pid":12}"#, r#"{"cursor":"zzzzz1-1","pid":7}"#));
    assert!(!says(r#"{"cursor":"5dz6w3-1"}"#, r#"{"cursor":"zzzzz1-2"}"#));
    assert!(!says("a … c", "a b d"));
    assert!(!says("a\n…\nz", "a\n1"));
    assert!(!says("a", "a\nb"));
}

/// The words above a console that is not run.
const NOT_RUN: [&str; 2] = ["*(Not run by the tests: ", "*(테스트에서 실행하지 않는다: "];

#[test]
fn what_is_not_run_says_so_and_exists_all_the_same() {
    for page in book() {
        for fence in page.consoles().filter(|fence| !tour::is_run(fence)) {
            let place = format!("{}:{}", page.name(), fence.line + 1);
            assert_eq!(fence.info, "console not-run", "{place}");
            let says_so = NOT_RUN.iter().any(|words| fence.above.contains(words));
            assert!(says_so, "{place}: the line above must say why it is not run: {:?}", fence.above);
        }
        for fence in page.consoles() {
            for command in fence.commands() {
                if let Err(why) = named::runs(&command.words) {
                    panic!("{}:{}: {why}", page.name(), fence.line + 1);
                }
            }
        }
    }
}

#[test]
fn every_command_and_file_that_is_named_is_there() {
    for page in everything().iter().filter(|page| !page.path.ends_with("CHANGELOG.md")) {
        for (line, words) in page.code() {
            if let Err(why) = named::exists(&words) {
                panic!("{}:{}: `{words}`: {why}", page.name(), line + 1);
            }
        }
    }
    assert!(named::exists("src/server/nowhere.rs").is_err());
    assert!(named::exists("doorbell exhibit nothing").is_err());
    assert!(named::exists("doorbell bench nothing").is_err());
    assert!(named::exists("doorbell serve --nothing").is_err());
}

#[test]
fn every_fence_is_of_a_kind_that_is_known() {
    let known = ["console", "rust", "bash", "text", "mermaid", "js", "html", "json", "http", "nginx", "c"];
    for page in book() {
        for fence in &page.fences {
            assert!(known.contains(&fence.kind()), "{}:{}: {:?}", page.name(), fence.line + 1, fence.info);
        }
    }
}

// Where it leads.

#[test]
fn every_link_and_anchor_leads_somewhere() {
    for page in everything() {
        for (line, target) in page.links() {
            if let Err(why) = follow(&page, &target) {
                panic!("{}:{}: {target}: {why}", page.name(), line + 1);
            }
        }
    }
}

fn follow(page: &Page, target: &str) -> Result<(), String> {
    if let Some(rest) = target.strip_prefix("https://").or(target.strip_prefix("http://")) {
        return if rest.contains('.') { Ok(()) } else { Err("no host".to_owned()) };
    }
    let (file, anchor) = target.split_once('#').map_or((target, None), |(file, anchor)| (file, Some(anchor)));
    let path = if file.is_empty() { page.path.clone() } else { page.path.parent().unwrap().join(file) };
    if !path.exists() {
        return Err(format!("there is no {}", path.display()));
    }
    match anchor {
        Some(anchor) if !Page::read(&path).anchors().iter().any(|known| known == anchor) => {
            Err(format!("{} has no heading of that name", path.display()))
        }
        _ => Ok(()),
    }
}

#[test]
fn a_link_that_leads_nowhere_is_noticed() {
    let page = Page::read("README.md");
    assert_eq!(follow(&page, "docs/MAP.md#tests"), Ok(()));
    assert!(follow(&page, "docs/MAP.md#nothing-of-the-kind").is_err());
    assert!(follow(&page, "docs/NOWHERE.md").is_err());
}

#[test]
fn every_picture_has_the_command_beside_it_that_made_it() {
    for page in book() {
        for (line, picture) in page.pictures() {
            let name = Path::new(&picture).file_name().unwrap().to_str().unwrap();
            let lines: Vec<&str> = page.text.lines().collect();
            let near = &lines[line.saturating_sub(8)..lines.len().min(line + 9)];
            let made = near.iter().any(|text| {
                text.contains("doorbell bench ") && text.contains(&format!("--svg docs/book/pictures/{name}"))
            });
            assert!(made, "{}:{}: nothing near it says what made {name}", page.name(), line + 1);
        }
    }
    let shown: BTreeSet<String> = book().flat_map(|page| page.pictures()).map(|(_, target)| target).collect();
    for picture in files_below("docs/book", ".svg") {
        let name = picture.file_name().unwrap().to_string_lossy().into_owned();
        assert!(shown.iter().any(|target| target.ends_with(&name)), "nobody shows {name}");
    }
}

#[test]
fn one_script_draws_every_picture_anew() {
    let script = Command::new("scripts/book-pictures").arg("--list").output().unwrap();
    let commands = String::from_utf8(script.stdout).unwrap();
    for picture in files_below("docs/book/pictures", ".svg") {
        let drawn = format!(" --svg {}\n", picture.display());
        assert!(commands.contains(&drawn), "scripts/book-pictures does not draw {}", picture.display());
    }
}

// Both languages.

#[test]
fn both_languages_tell_the_same() {
    let names = |folder| pages(folder).iter().map(|page| file_name(page).to_owned()).collect::<Vec<_>>();
    assert_eq!(names(ENGLISH), names(KOREAN), "a page is missing in one language");
    for (english, korean) in pages(ENGLISH).iter().zip(&pages(KOREAN)) {
        same(english, korean, "headings", |page| {
            page.headings().iter().map(|(level, _)| *level).collect::<Vec<_>>()
        });
        same(english, korean, "tables", Page::tables);
        same(english, korean, "quotations", |page| {
            quotations(page).map(|fence| fence.info.clone()).collect::<Vec<_>>()
        });
        same(english, korean, "consoles", consoles);
        same(english, korean, "blocks", |page| {
            page.fences.iter().map(|fence| fence.kind().to_owned()).collect::<Vec<_>>()
        });
        same(english, korean, "pictures", |page| {
            page.pictures().into_iter().map(|(_, target)| target).collect::<Vec<_>>()
        });
        same(english, korean, "labs", labs);
        same(english, korean, "files linked to", files_linked_to);
    }
}

fn same<T: PartialEq + std::fmt::Debug>(english: &Page, korean: &Page, what: &str, of: impl Fn(&Page) -> T) {
    assert_eq!(of(english), of(korean), "{what} of {} and of {}", english.name(), korean.name());
}

/// The commands. What they print may be told in either language.
fn consoles(page: &Page) -> Vec<(String, Vec<String>)> {
    let in_english =
        |words: String| words.replace("--narrate=ko", "--narrate=en").replace("--lang ko", "--lang en");
    let commands =
        |fence: &Fence| fence.commands().into_iter().map(|command| in_english(command.words)).collect();
    page.consoles().map(|fence| (fence.info.clone(), commands(fence))).collect()
}

fn files_linked_to(page: &Page) -> BTreeSet<String> {
    let files = page.links().into_iter().map(|(_, target)| target.split('#').next().unwrap().to_owned());
    // Each language's index leads to the other's.
    files.filter(|file| !file.starts_with("../en/") && !file.starts_with("../ko/")).collect()
}

#[test]
fn each_page_is_in_its_own_language() {
    let is_korean = |text: &str| text.chars().any(|c| ('가'..='힣').contains(&c));
    for page in pages(KOREAN) {
        for (line, text) in paragraphs(&page) {
            let letters = without_code(&text).chars().filter(|c| c.is_alphabetic()).count();
            assert!(letters < 60 || is_korean(&text), "{}:{}: not in Korean: {text}", page.name(), line + 1);
        }
    }
    for page in pages(ENGLISH) {
        for (line, text) in paragraphs(&page) {
            let korean = without_code(&text).chars().filter(|c| ('가'..='힣').contains(c)).count();
            assert!(korean < 20, "{}:{}: not in English: {text}", page.name(), line + 1);
        }
    }
}

/// Lines of prose that belong together, each with the number of its first.
fn paragraphs(page: &Page) -> Vec<(usize, String)> {
    let mut paragraphs: Vec<(usize, String)> = Vec::new();
    let mut before = None;
    let is_code = |line: &str| line.starts_with("    ");
    for (number, line) in page.prose.iter().filter(|(_, line)| !line.trim().is_empty() && !is_code(line)) {
        match paragraphs.last_mut() {
            Some((_, text)) if before == Some(number - 1) => *text = format!("{text} {line}"),
            _ => paragraphs.push((*number, line.clone())),
        }
        before = Some(*number);
    }
    paragraphs
}

// Chapters and labs.

#[test]
fn every_chapter_is_in_the_index_and_ends_in_a_lab() {
    for (folder, title) in [(ENGLISH, "Lab"), (KOREAN, "실습")] {
        let index = Page::read(Path::new(folder).join("README.md"));
        let linked: Vec<String> = index.links().into_iter().map(|(_, target)| target).collect();
        let chapters = chapters(folder);
        let names: Vec<String> = chapters.iter().map(|page| file_name(page).to_owned()).collect();
        let listed: Vec<String> = linked.into_iter().filter(|target| names.contains(target)).collect();
        assert_eq!(listed, names, "{} lists each chapter once, in order", index.name());
        for page in &chapters {
            let (level, last) = page.headings().pop().unwrap();
            assert_eq!((level, last.as_str()), (2, title), "the last section of {}", page.name());
            assert!(!labs(page).is_empty(), "{} names no lab", page.name());
        }
    }
}

/// The labs that the last section names, as `./scripts/lab NAME`.
fn labs(page: &Page) -> Vec<String> {
    let title = if page.path.starts_with(KOREAN) { "실습" } else { "Lab" };
    let section = page.section(2, title).unwrap_or_default();
    let named = section.split("./scripts/lab ").skip(1).map(lab_name);
    named.filter(|name| !name.is_empty()).collect()
}

/// The word at the start, if it could be a lab's name.
fn lab_name(text: &str) -> String {
    text.chars().take_while(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || *c == '-').collect()
}

#[test]
fn chapters_and_labs_know_each_other() {
    for page in book() {
        for rest in page.text.split("./scripts/lab ").skip(1) {
            let name = lab_name(rest);
            let is_word = name.is_empty() || name == "all" || name.starts_with('-');
            let exists = Path::new(LABS).join(&name).is_file();
            assert!(is_word || exists, "{} names the lab {name}, which is not there", page.name());
        }
    }
    let chapters = chapters(ENGLISH);
    for (lab, chapter) in labs_with_chapters() {
        let lab = lab.file_name().unwrap().to_string_lossy().into_owned();
        let page = chapters.iter().find(|page| number(page) == Some(&chapter));
        let page = page.unwrap_or_else(|| panic!("{lab} belongs to chapter {chapter}, which is not there"));
        assert!(labs(page).contains(&lab), "{} does not name its lab {lab}", page.name());
    }
}

/// Each lab says of itself to which chapter it belongs: `chapter=04`.
fn labs_with_chapters() -> Vec<(PathBuf, String)> {
    let files = fs::read_dir(LABS).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
    files
        .map(|lab| {
            let text = fs::read_to_string(&lab).unwrap();
            let line = text.lines().find_map(|line| line.strip_prefix("chapter"));
            let line = line.unwrap_or_else(|| panic!("{} does not say its chapter", lab.display()));
            let chapter = line.chars().filter(char::is_ascii_digit).take(2).collect();
            (lab, chapter)
        })
        .collect()
}
