//! `doorbell bench receipt`: what an event costs by each technique, and whether that is what theory says.
//!
//! So many events are published, one after the other, and so many clients hear each of them. They do so in
//! lock-step: nobody asks before the server has heard the last question, and nothing is published before all
//! are there. So the figures are no averages. Beside each one of the server's own receipt stands what it must
//! be by a formula, or by what the clients have counted at their end of the wire.

mod crowd;

use super::report::Report;
use super::table::{Cell, Table};
use super::{Effort, progress};
use crowd::{Growth, House, Seen};
use serde_json::{Value, json};

/// The techniques, by the names that everything gives them.
const TECHNIQUES: [&str; 5] = ["short_poll", "long_poll", "stream", "sse", "websocket"];

/// How much the clock of the clients may differ from the server's when they count fds by the second: the time
/// that a reading takes on a machine that does other things.
const CLOCK_SLACK: f64 = 0.25;

/// How many are to hear how much.
#[derive(Clone, Copy, Debug)]
pub struct Crowd {
    /// How many clients there are.
    pub clients: u64,
    /// How many events each of them hears.
    pub events: u64,
}

/// One figure of the server, and what it must be.
struct Figure {
    name: &'static str,
    counted: f64,
    formula: String,
    expected: f64,
    slack: f64,
}

impl Figure {
    fn agrees(&self) -> bool {
        (self.counted - self.expected).abs() <= self.slack
    }
}

/// A receipt of one technique.
struct Receipt {
    technique: &'static str,
    figures: Vec<Figure>,
}

/// Publishes to a crowd of each technique in turn.
pub fn run(_: &Effort, crowd: Crowd) -> Result<Report, String> {
    let mut house = House::open()?;
    let mut receipts = Vec::new();
    for technique in TECHNIQUES {
        progress(&format!("bench receipt: {technique}"));
        let (counted, seen) =
            house.deliver(technique, crowd).map_err(|error| format!("{technique}: {error}"))?;
        receipts.push(Receipt { technique, figures: figures(technique, crowd, &counted, seen) });
    }
    Ok(report(crowd, &receipts))
}

/// Each figure of the receipt, and what it must be.
fn figures(technique: &'static str, crowd: Crowd, counted: &Growth, seen: Seen) -> Vec<Figure> {
    let Crowd { clients, events } = crowd;
    let deliveries = (clients * events) as f64;
    let asks = matches!(technique, "short_poll" | "long_poll");
    let exactly = |name, counted, formula: &str, expected| Figure {
        name,
        counted,
        formula: formula.to_owned(),
        expected,
        slack: 0.0,
    };
    let each = |name, counted| {
        let (formula, expected) = if asks { ("N × K", deliveries) } else { ("0", 0.0) };
        exactly(name, counted, formula, expected)
    };
    let of = |figure: &str, labels: &str| counted.of(figure, technique, labels);
    let held = clients as f64 * seen.seconds;
    vec![
        exactly("events", of("deliveries_total", ""), "N × K", deliveries),
        each("requests", of("technique_requests_total", "")),
        each("wakeups", of("technique_wakeups_total", "")),
        each("read", counted.calls(technique, "read")),
        exactly("write", counted.calls(technique, "write"), "N × K", deliveries),
        exactly("epoll_ctl", counted.calls(technique, "epoll_ctl"), "0", 0.0),
        each("packets in", of("technique_packets_total", ",direction=\"received\"")),
        exactly("packets out", of("technique_packets_total", ",direction=\"sent\""), "N × K", deliveries),
        exactly(
            "header bytes in",
            counted.bytes(technique, "received", "header"),
            if asks { "sent by the clients" } else { "0" },
            seen.asked as f64,
        ),
        exactly("payload bytes in", counted.bytes(technique, "received", "payload"), "0", 0.0),
        exactly(
            "header bytes out",
            counted.bytes(technique, "sent", "header"),
            match technique {
                "websocket" => "N × K × 2, as seen",
                _ if asks => "heads, as seen by the clients",
                _ => "chunk sizes, as seen",
            },
            seen.header as f64,
        ),
        exactly(
            "payload bytes out",
            counted.bytes(technique, "sent", "payload"),
            "as seen by the clients",
            seen.payload as f64,
        ),
        Figure {
            name: "fd seconds",
            counted: of("technique_fd_seconds_total", ""),
            formula: "N × seconds".to_owned(),
            expected: held,
            slack: clients as f64 * CLOCK_SLACK,
        },
    ]
}

fn report(crowd: Crowd, receipts: &[Receipt]) -> Report {
    let mut report = Report::new("receipt");
    report.tables = vec![price_table(crowd, receipts), proof_table(receipts)];
    let Crowd { clients, events } = crowd;
    report.notes = vec![
        format!("N = {clients} clients, K = {events} events of 10 bytes; connections are open before and after."),
        "header: what a protocol puts around what is said (heads, chunk sizes, frame headers); payload: the rest. \
         packets: segments of 1,460 bytes that a read or a write would fill, at least one each."
            .to_owned(),
        "The publisher's own requests are not in it: they cost one wait, one read and one write an event, \
         however many hear it."
            .to_owned(),
    ];
    report.facts.insert("clients".to_owned(), json!(clients));
    report.facts.insert("events".to_owned(), json!(events));
    report.facts.insert("receipts".to_owned(), receipts.iter().map(fact).collect());
    report.verdict = judge(receipts);
    report
}

fn fact(receipt: &Receipt) -> Value {
    let figures: serde_json::Map<String, Value> = receipt
        .figures
        .iter()
        .map(|figure| {
            (figure.name.to_owned(), json!({"counted": figure.counted, "expected": figure.expected}))
        })
        .collect();
    json!({"technique": receipt.technique, "figures": figures})
}

/// What one delivered event costs.
fn price_table(crowd: Crowd, receipts: &[Receipt]) -> Table {
    let columns = [
        ("technique", "technique"),
        ("requests", "requests"),
        ("wakeups", "wake-ups"),
        ("calls", "system calls"),
        ("packets", "packets"),
        ("header_in", "header B in"),
        ("header_out", "header B out"),
        ("payload_out", "payload B out"),
    ];
    let mut table = Table::new("What one delivered event costs the server", &columns);
    let deliveries = (crowd.clients * crowd.events) as f64;
    for receipt in receipts {
        let of = |names: &[&str]| -> Cell {
            let sum: f64 = receipt
                .figures
                .iter()
                .filter(|figure| names.contains(&figure.name))
                .map(|figure| figure.counted)
                .sum();
            Cell::Figure(sum / deliveries)
        };
        table.push(vec![
            receipt.technique.into(),
            of(&["requests"]),
            of(&["wakeups"]),
            of(&["read", "write", "epoll_ctl"]),
            of(&["packets in", "packets out"]),
            of(&["header bytes in"]),
            of(&["header bytes out"]),
            of(&["payload bytes out"]),
        ]);
    }
    table
}

/// Every figure beside what it must be.
fn proof_table(receipts: &[Receipt]) -> Table {
    let columns = [
        ("technique", "technique"),
        ("figure", "figure"),
        ("counted", "counted"),
        ("expected", "must be"),
        ("formula", "for"),
        ("agree", "agree"),
    ];
    let mut table = Table::new("The whole receipt, and what it must be", &columns).grouped();
    for receipt in receipts {
        for figure in &receipt.figures {
            let number = |value: f64| match figure.slack {
                0.0 => Cell::Count(value as u64),
                _ => Cell::Figure(value),
            };
            table.push(vec![
                receipt.technique.into(),
                figure.name.into(),
                number(figure.counted),
                number(figure.expected),
                figure.formula.clone().into(),
                if figure.agrees() { "yes" } else { "NO" }.into(),
            ]);
        }
    }
    table
}

fn judge(receipts: &[Receipt]) -> Result<String, String> {
    let figures =
        receipts.iter().flat_map(|receipt| receipt.figures.iter().map(|figure| (receipt.technique, figure)));
    let wrong: Vec<String> = figures
        .filter(|(_, figure)| !figure.agrees())
        .map(|(technique, Figure { name, counted, expected, .. })| {
            format!("{technique}: {name} is {counted} and must be {expected}")
        })
        .collect();
    if wrong.is_empty() {
        return Ok(
            "Every figure is what it must be: long polling pays one read and one write for an event, \
                   streams and WebSockets one write."
                .to_owned(),
        );
    }
    Err(wrong.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receipt(counted: f64, slack: f64) -> Receipt {
        let figure = Figure { name: "write", counted, formula: "N × K".to_owned(), expected: 6.0, slack };
        Receipt { technique: "sse", figures: vec![figure] }
    }

    #[test]
    fn a_figure_that_is_not_what_it_must_be_is_told() {
        assert!(judge(&[receipt(6.0, 0.0)]).is_ok());
        assert!(judge(&[receipt(6.1, 0.2)]).is_ok());
        let crowd = Crowd { clients: 2, events: 3 };
        let report = report(crowd, &[receipt(7.0, 0.0)]);
        assert_eq!(report.verdict, Err("sse: write is 7 and must be 6".to_owned()));
        assert!(report.terminal().contains("NO"));
    }
}
