//! `GET /metrics`: the counts, in Prometheus' text format.

use super::Server;
use super::ledger::Receipt;
use crate::sys;
use crate::technique::Name;
use crate::tick::Now;
use std::fmt::{Display, Write};

impl Server {
    pub(super) fn metrics(&self, now: Now) -> String {
        let mut page = Page::default();
        self.write_process(&mut page);
        self.write_loop(&mut page);
        self.write_conversations(&mut page);
        self.write_receipts(&mut page, now);
        page.text
    }

    fn write_process(&self, page: &mut Page) {
        if let Some(count) = sys::open_fds() {
            page.one("process_open_fds", "gauge", "Open file descriptors.", count);
        }
        page.one("process_max_fds", "gauge", "The limit on open file descriptors.", sys::fd_limit());
        if let Some(bytes) = sys::resident_bytes() {
            page.one("process_resident_memory_bytes", "gauge", "Resident memory, in bytes.", bytes);
        }
        if let Some(seconds) = sys::cpu_seconds() {
            page.one(
                "process_cpu_seconds_total",
                "counter",
                "CPU time in user mode and kernel, in seconds.",
                seconds,
            );
        }
    }

    fn write_loop(&self, page: &mut Page) {
        let meters = &self.meters;
        page.one("doorbell_wakeups_total", "counter", "How often the loop woke.", meters.wakeups);
        page.one("doorbell_ready_total", "counter", "How many fds were ready when it woke.", meters.ready);
        page.one(
            "doorbell_stale_total",
            "counter",
            "Readiness of fds whose connection was gone.",
            meters.stale,
        );
        page.one("doorbell_timers", "gauge", "Timers armed on the wheel.", self.wheel.armed());
        page.head("doorbell_syscalls_total", "counter", "System calls, by the names that strace gives them.");
        for (call, count) in sys::counts() {
            page.line("doorbell_syscalls_total", &[("call", &call.name())], count);
        }
        let name = "doorbell_timer_lateness_seconds";
        page.head(name, "histogram", "From a deadline to its being told, in seconds.");
        meters.lateness.write(&mut page.text, name);
        let name = "doorbell_turn_seconds";
        page.head(name, "histogram", "From the loop's waking to its going to sleep, in seconds.");
        meters.turns.write(&mut page.text, name);
    }

    fn write_conversations(&self, page: &mut Page) {
        let channels = &self.hub.channels;
        page.one("doorbell_accepted_total", "counter", "Connections accepted.", self.meters.accepted);
        let name = "doorbell_connections";
        page.head(name, "gauge", "Open connections, by what they speak or spoke last.");
        for technique in Name::ALL {
            page.line(name, &[("technique", &technique.as_str())], self.ledger.open(technique));
        }
        page.one(
            "doorbell_subscribers",
            "gauge",
            "Seats taken: parked polls, streams, WebSockets.",
            channels.seats(),
        );
        page.one("doorbell_channels", "gauge", "Channels.", channels.count());
        page.head("doorbell_requests_total", "counter", "Requests answered, by path and status.");
        for (path, status, count) in self.hub.tally.requests() {
            let labels: [(&str, &dyn Display); 2] = [("path", &path.label()), ("status", &status.code())];
            page.line("doorbell_requests_total", &labels, count);
        }
        page.one("doorbell_events_published_total", "counter", "Events published.", channels.published());
        page.head("doorbell_deliveries_total", "counter", "Events handed to clients, by technique.");
        for technique in Name::ALL.into_iter().filter(|&name| name != Name::Http) {
            let count = self.hub.tally.deliveries(technique);
            page.line("doorbell_deliveries_total", &[("technique", &technique.as_str())], count);
        }
    }
}

impl Server {
    /// What each technique costs.
    fn write_receipts(&self, page: &mut Page, now: Now) {
        let receipts = Name::ALL.map(|name| (name.as_str(), self.receipt(name, now.tick)));
        let ways = |receipt: &Receipt| [("received", receipt.received), ("sent", receipt.sent)];
        let mut family = |name: &str, help: &str, write: &dyn Fn(&mut Page, &str, &str, &Receipt)| {
            let name = format!("doorbell_technique_{name}_total");
            page.head(&name, "counter", help);
            receipts.iter().for_each(|(technique, receipt)| write(page, &name, technique, receipt));
        };
        family("requests", "Requests that came whole, by technique.", &|page, name, technique, receipt| {
            page.line(name, &[("technique", &technique)], receipt.requests);
        });
        let help = "Turns of the loop that found a connection of the technique ready or due.";
        family("wakeups", help, &|page, name, technique, receipt| {
            page.line(name, &[("technique", &technique)], receipt.wakeups);
        });
        let help = "System calls made for connections of the technique.";
        family("syscalls", help, &|page, name, technique, receipt| {
            for (call, count) in &receipt.syscalls {
                page.line(name, &[("technique", &technique), ("call", call)], count);
            }
        });
        let help = "Bytes, by whether they are a protocol's or what is said.";
        family("bytes", help, &|page, name, technique, receipt| {
            for (direction, traffic) in ways(receipt) {
                for (part, count) in [("header", traffic.header), ("payload", traffic.payload)] {
                    let labels: [(&str, &dyn Display); 3] =
                        [("technique", &technique), ("direction", &direction), ("part", &part)];
                    page.line(name, &labels, count);
                }
            }
        });
        let help = "Segments of 1,460 bytes that each read or write would fill.";
        family("packets", help, &|page, name, technique, receipt| {
            for (direction, traffic) in ways(receipt) {
                page.line(name, &[("technique", &technique), ("direction", &direction)], traffic.packets);
            }
        });
        let help = "Fds held by connections of the technique, times seconds.";
        family("fd_seconds", help, &|page, name, technique, receipt| {
            page.line(name, &[("technique", &technique)], receipt.fd_seconds);
        });
    }
}

/// A page of metrics that is being written.
#[derive(Default)]
struct Page {
    text: String,
}

impl Page {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn line(&mut self, name: &str, labels: &[(&str, &dyn Display)], value: impl Display) {
        let labels: Vec<String> =
            labels.iter().map(|(label, value)| format!("{label}=\"{value}\"")).collect();
        let _ = writeln!(self.text, "{name}{{{}}} {value}", labels.join(","));
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.head(name, kind, help);
        let _ = writeln!(self.text, "{name} {value}");
    }
}
