//! The tour in the README is true: its commands are run, and say what it says.

mod support;

use std::process::Command;
use support::Server;

/// What differs from run to run is made the same: epochs, times, and the chance in `retry:`.
fn masked(text: &str) -> String {
    let mut masked = String::new();
    for line in text.lines() {
        if line.starts_with("retry: ") {
            masked.push_str("retry: …\n");
            continue;
        }
        let mut rest = line;
        while let Some(at) = rest.find("\"time\":\"") {
            let (before, after) = rest.split_at(at);
            masked.push_str(before);
            masked.push_str("\"time\":…");
            rest = &after[8 + after[8..].find('"').unwrap() + 1..];
        }
        masked.push_str(rest);
        masked.push('\n');
    }
    masked
}

fn sorted(text: &str) -> String {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines.join("\n")
}

/// The commands of the blocks that show a console, each with what it prints.
fn commands(readme: &str) -> Vec<(String, String)> {
    let blocks = readme.split("```console\n").skip(1).map(|block| block.split("```").next().unwrap());
    let curls = blocks.filter_map(|block| block.strip_prefix("$ curl"));
    curls
        .map(|block| {
            let (command, output) = block.split_once('\n').unwrap();
            (format!("curl{command}"), output.to_owned())
        })
        .collect()
}

#[test]
fn the_tour_goes_as_the_readme_says() {
    let readme = std::fs::read_to_string("README.md").unwrap();
    let commands = commands(&readme);
    assert!(commands.len() >= 8, "the tour is found");
    let server = Server::start(&[]);
    let epoch = server.connect().get("/news").body;
    let epoch = epoch.split("\"cursor\":\"").nth(1).unwrap().split('-').next().unwrap();
    for (command, expected) in commands {
        let here = command.replace("127.0.0.1:8080", &server.address.to_string());
        let output = Command::new("bash").args(["-c", &here]).output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap().replace(epoch, "5dz6w3");
        let (mut said, mut expected) = (masked(&said), masked(&expected));
        if command.contains(" & ") {
            // Two programs at a time say what they say in either order.
            (said, expected) = (sorted(&said), sorted(&expected));
        }
        assert_eq!(said, expected, "{command}");
    }
}
