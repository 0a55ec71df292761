//! `doorbell bench matrix`: five techniques over three mechanisms, the same conversation in each row.
//!
//! Rows change what is said. Columns change how the server waits, and so the name of one system call, and
//! whether there is epoll_ctl(2). Both are shown here and not claimed: what goes over the wire is compared
//! byte by byte between the columns (what differs by its nature is masked, see `mask.rs`), and the calls are
//! those that the server itself has counted (`stage.rs`).

mod mask;
mod script;
mod stage;

use super::report::Report;
use super::server::Calls;
use super::table::{Cell, Table};
use super::{Effort, progress};
use crate::multiplexer::Mechanism;
use mask::first_difference;
use script::SCRIPTS;
use serde_json::{Map, Value, json};
use stage::{House, Take, wait_name};

/// From left to right, in the order in which they were invented.
const COLUMNS: [Mechanism; 3] = [Mechanism::Select, Mechanism::Poll, Mechanism::Epoll];

const NOTES: [&str; 6] = [
    "A row of the table is a call; what a column changes is the name of the wait, and whether there is epoll_ctl.",
    "Counted by the server itself, from the connect until the last answer was read, the connection still open. \
     Each wait returned one ready fd, which was checked; readings of the counts are subtracted.",
    "accept4 is called once for the connection and once to hear that there is no other (EAGAIN).",
    "A delivery is one write and no wait of its own: it goes out in the turn that the publisher's request woke.",
    "While a long poll is parked nothing is called: its read is answered by the write of the delivery.",
    "Between the columns the same bytes went over the wire, each way and to the publisher, but for epochs, \
     times, Date, cookies, retry's chance, and WebSocket keys and masks.",
];

/// Everything that was found: a row for each technique, in the order of [`COLUMNS`].
struct Findings {
    rows: Vec<(&'static str, Vec<Take>)>,
    publications: Vec<Calls>,
}

/// Holds the fifteen conversations.
pub fn run(_: &Effort) -> Result<Report, String> {
    let mut houses = COLUMNS.into_iter().map(House::open).collect::<Result<Vec<_>, _>>()?;
    let mut rows = Vec::new();
    for (technique, script) in SCRIPTS {
        progress(&format!("bench matrix: {technique}"));
        let takes = houses.iter_mut().map(|house| {
            let mechanism = house.mechanism.name();
            house.hold(script).map_err(|error| format!("{technique} over {mechanism}: {error}"))
        });
        rows.push((technique, takes.collect::<Result<Vec<_>, _>>()?));
    }
    let publications = houses.iter().map(|house| house.publication.clone()).collect();
    Ok(report(&Findings { rows, publications }))
}

fn report(found: &Findings) -> Report {
    let mut report = Report::new("matrix");
    report.tables = vec![calls_table(found), wire_table(found)];
    report.notes = NOTES.map(str::to_owned).to_vec();
    report.notes.insert(4, publication_note(found));
    report.facts = facts(found);
    report.verdict = judge(found);
    report
}

/// The calls of a column, with the wait under one name for all, which strace(1) does not know.
fn alike(calls: &Calls, mechanism: Mechanism) -> Calls {
    let name = |name| if name == wait_name(mechanism) { "wait" } else { name };
    calls.iter().filter(|(call, _)| *call != "epoll_ctl").map(|(call, count)| (name(call), count)).collect()
}

/// The names of all calls of a row: first what the columns share.
fn names(takes: &[Take]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for (take, mechanism) in takes.iter().zip(COLUMNS) {
        for (name, _) in alike(&take.calls, mechanism).iter() {
            if name != "wait" && !names.iter().any(|known| known == name) {
                names.push(name.to_owned());
            }
        }
    }
    names.extend(["wait".to_owned(), "epoll_ctl".to_owned()]);
    names
}

fn calls_table(found: &Findings) -> Table {
    let columns =
        [("technique", ""), ("call", ""), ("select", "select"), ("poll", "poll"), ("epoll", "epoll")];
    let mut table = Table::new("System calls of the server for one conversation", &columns).grouped();
    for (technique, takes) in &found.rows {
        for name in names(takes) {
            let cells =
                takes.iter().zip(COLUMNS).map(|(take, mechanism)| cell(&take.calls, &name, mechanism));
            let row = [Cell::from(*technique), Cell::from(name.as_str())].into_iter().chain(cells);
            table.push(row.collect());
        }
    }
    table
}

fn cell(calls: &Calls, name: &str, mechanism: Mechanism) -> Cell {
    if name == "wait" {
        let wait = wait_name(mechanism);
        return format!("{} {wait}", calls.get(wait)).into();
    }
    match calls.get(name) {
        0 => Cell::Nothing,
        count => Cell::from(count.to_string()),
    }
}

fn wire_table(found: &Findings) -> Table {
    let columns = [
        ("technique", "technique"),
        ("steps", "steps"),
        ("publications", "events from others"),
        ("sent", "bytes from the client"),
        ("received", "bytes from the server"),
        ("same", "select, poll, epoll"),
    ];
    let mut table = Table::new("Over the wire", &columns);
    for (technique, takes) in &found.rows {
        let take = &takes[0];
        let same = if difference(technique, takes).is_none() { "the same" } else { "DIFFERENT" };
        table.push(vec![
            (*technique).into(),
            take.said.len().into(),
            take.publications.into(),
            take.sent.into(),
            take.received.into(),
            same.into(),
        ]);
    }
    table
}

fn publication_note(found: &Findings) -> String {
    let words: Vec<String> = found
        .publications
        .iter()
        .zip(COLUMNS)
        .map(|(calls, mechanism)| {
            let calls = calls.iter().map(|(name, count)| format!("{count} {name}"));
            format!("{} ({})", calls.collect::<Vec<_>>().join(", "), mechanism.name())
        })
        .collect();
    format!(
        "Publishing is counted apart, for it is the publisher's: on its own open connection each event costs {}.",
        words.join("; ")
    )
}

fn facts(found: &Findings) -> Map<String, Value> {
    let object = |calls: &Calls| -> Value {
        calls.iter().map(|(name, count)| (name.to_owned(), json!(count))).collect::<Map<_, _>>().into()
    };
    let mut cells = Vec::new();
    for (technique, takes) in &found.rows {
        for (take, mechanism) in takes.iter().zip(COLUMNS) {
            cells.push(json!({
                "technique": technique, "mechanism": mechanism.name(), "wait": wait_name(mechanism),
                "calls": object(&take.calls), "publications": take.publications,
                "bytes_from_client": take.sent, "bytes_from_server": take.received, "said": take.said,
            }));
        }
    }
    let publications = found.publications.iter().zip(COLUMNS);
    let publication: Map<String, Value> =
        publications.map(|(calls, mechanism)| (mechanism.name().to_owned(), object(calls))).collect();
    let identical = found.rows.iter().all(|(technique, takes)| difference(technique, takes).is_none());
    Map::from_iter([
        ("cells".to_owned(), json!(cells)),
        ("publication".to_owned(), publication.into()),
        ("identical".to_owned(), json!(identical)),
    ])
}

/// Where two columns first differ on the wire.
fn difference(technique: &str, takes: &[Take]) -> Option<String> {
    let first = takes.first()?;
    takes.iter().zip(COLUMNS).find_map(|(take, mechanism)| {
        let (step, one, other) = first_difference(&first.said, &take.said)?;
        let (left, right) = (COLUMNS[0].name(), mechanism.name());
        Some(format!(
            "{technique}, step {step}: over {left} it is …{one}… and over {right} …{other}…; the two axes \
             should not touch, so this is a defect"
        ))
    })
}

/// The wire first, then the counts.
fn judge(found: &Findings) -> Result<String, String> {
    for (technique, takes) in &found.rows {
        if let Some(difference) = difference(technique, takes) {
            return Err(difference);
        }
    }
    let rows = found.rows.iter().map(|(technique, takes)| {
        let calls: Vec<Calls> = takes.iter().map(|take| take.calls.clone()).collect();
        (*technique, calls)
    });
    for (what, calls) in rows.chain([("a publication", found.publications.clone())]) {
        let columns: Vec<Calls> =
            calls.iter().zip(COLUMNS).map(|(calls, mechanism)| alike(calls, mechanism)).collect();
        if let Some(at) = columns.iter().position(|calls| *calls != columns[0]) {
            let (left, right) = (COLUMNS[0].name(), COLUMNS[at].name());
            return Err(format!(
                "{what}: over {left} and over {right} the counts differ by more than the wait's name and epoll_ctl"
            ));
        }
    }
    Ok("The two axes are independent: the wire is the same in each column, and so are the counts but for the \
        wait's name and epoll_ctl."
        .to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What one would find: each column as it should be.
    fn found() -> Findings {
        let calls = |mechanism, waits| {
            let calls = [("read", 1), ("write", 3), (wait_name(mechanism), waits)];
            let epoll_ctl = (mechanism == Mechanism::Epoll).then_some(("epoll_ctl", 1));
            calls.into_iter().chain(epoll_ctl).collect::<Calls>()
        };
        let take = |mechanism| Take {
            calls: calls(mechanism, 2),
            said: vec!["GET /connect".into(), "id: <epoch>-1".into()],
            sent: 12,
            received: 11,
            publications: 1,
        };
        Findings {
            rows: vec![("sse", COLUMNS.map(take).to_vec())],
            publications: COLUMNS.map(|mechanism| calls(mechanism, 1)).to_vec(),
        }
    }

    #[test]
    fn another_name_of_the_wait_and_epoll_ctl_are_no_difference() {
        assert!(judge(&found()).is_ok());
        let table = report(&found()).tables[0].markdown();
        assert!(table.contains("|  | wait | 2 pselect6 | 2 poll | 2 epoll_wait |"), "{table}");
        assert!(table.contains("|  | epoll_ctl | – | – | 1 |"), "{table}");
    }

    #[test]
    fn one_byte_that_differs_is_told_with_its_place() {
        let mut found = found();
        found.rows[0].1[1].said[1] = "id: <epoch>-2".into();
        let said = judge(&found).unwrap_err();
        assert!(
            said.starts_with("sse, step 2: over select it is …id: <epoch>-1… and over poll …id: <epoch>-2…")
        );
        assert_eq!(report(&found).facts["identical"], false);
    }

    #[test]
    fn one_call_too_many_is_told() {
        for call in ["read", "epoll_wait"] {
            let mut found = found();
            let calls = &mut found.rows[0].1[2].calls;
            *calls = calls.less(&Calls::from_iter([(call, -1)]), 1);
            assert!(judge(&found).unwrap_err().starts_with("sse: over select and over epoll"), "{call}");
        }
        let mut found = found();
        found.publications[1] = Calls::default();
        assert!(judge(&found).unwrap_err().starts_with("a publication: over select and over poll"));
    }
}
