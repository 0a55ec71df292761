//! The tour in the README is true: its commands are run, and say what it says.

mod support;

use support::pages::Page;
use support::tour;

#[test]
fn the_tour_goes_as_the_readme_says() {
    let commands = tour::take(&Page::read("README.md"));
    assert!(commands >= 8, "the tour is found");
}
