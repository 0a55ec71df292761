//! `--via`: the techniques, by their names.

use crate::client::Via;
use clap::builder::{PossibleValuesParser, TypedValueParser};

/// One technique, or whichever works.
#[derive(Clone, Copy, Debug)]
pub(super) struct Choice {
    /// The one, or the first that is tried.
    pub(super) via: Via,
    /// Whether others may be tried.
    pub(super) auto: bool,
}

/// Reads the name of a technique.
pub(super) fn technique() -> impl TypedValueParser<Value = Via> {
    PossibleValuesParser::new(Via::ALL.map(Via::name)).map(|name| named(&name))
}

/// Reads the name of a technique, or `auto`.
pub(super) fn technique_or_auto() -> impl TypedValueParser<Value = Choice> {
    let names = ["auto"].into_iter().chain(Via::ALL.map(Via::name));
    PossibleValuesParser::new(names).map(|name| match name.as_str() {
        "auto" => Choice { via: Via::WebSocket, auto: true },
        name => Choice { via: named(name), auto: false },
    })
}

fn named(name: &str) -> Via {
    let found = Via::ALL.into_iter().find(|via| via.name() == name);
    found.expect("OK because clap lets these names pass and no others")
}
