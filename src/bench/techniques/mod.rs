//! `doorbell bench techniques`: the same events to the same crowd by each technique, and what is gained and paid.
//!
//! Four questions, each with a table of its own: what an event costs and how late it is ([`delivery`]); from which
//! rate on short polling costs a server less than long polling ([`overtaking`]); how many events share an answer of
//! long polling when there are many (RFC 6202 §2.2, graceful degradation: [`degradation`]); and how often an event
//! has to cross a distance before it is heard (RFC 6202 §2.2, maximal latency: [`transits`]).

mod degradation;
mod delivery;
mod overtaking;
mod stage;
mod transits;

use super::Effort;
use super::plot::{Panel, Plot};
use super::report::Report;
use super::table::Table;
use stage::Stage;

/// How many are to hear how much; what is not said is chosen by the [`Effort`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Crowd {
    /// How many clients there are in each of the first two tables.
    pub clients: Option<u64>,
    /// How many events each of them hears, in the first table.
    pub events: Option<u64>,
    /// How many events are published in a second, in the first table.
    pub rate: Option<u64>,
}

/// What one of the four questions has come to.
struct Finding {
    table: Table,
    notes: Vec<String>,
    panels: Vec<Panel>,
    verdict: Result<String, String>,
}

/// Asks the four questions.
pub fn run(effort: &Effort, crowd: Crowd) -> Result<Report, String> {
    let mut report = Report::timed("techniques");
    let mut stage = Stage::open()?;
    let findings = [
        delivery::find(&mut stage, effort, crowd)?,
        overtaking::find(&mut stage, effort, crowd)?,
        degradation::find(&mut stage, effort)?,
        transits::find(&mut stage, effort)?,
    ];
    let (mut panels, mut praise, mut blame) = (Vec::new(), Vec::new(), Vec::new());
    for finding in findings {
        report.tables.push(finding.table);
        report.notes.extend(finding.notes);
        panels.extend(finding.panels);
        match finding.verdict {
            Ok(text) => praise.push(text),
            Err(text) => blame.push(text),
        }
    }
    report.plot = Some(Plot { title: "What a technique gains and pays".to_owned(), panels });
    report.verdict = if blame.is_empty() { Ok(praise.join(" ")) } else { Err(blame.join("; ")) };
    Ok(report)
}
