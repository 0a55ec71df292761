//! What was measured, for people and as JSON.

use super::{Figures, Manner, Plan};
use serde_json::{Value, json};
use std::fmt::Write;

/// What a run has come to.
#[derive(Debug)]
pub struct Report {
    /// What was to be done.
    pub plan: Plan,
    /// What was heard.
    pub figures: Figures,
    /// How long the crowd stayed, in milliseconds.
    pub stayed: u64,
    /// A signal ended it.
    pub interrupted: bool,
    /// How many were there at the same time, at most.
    pub connected: u32,
    /// Connections that were made after the first of a client.
    pub reconnects: u64,
    /// Clients that were frozen or slow, and to whom it came through that the server has let them go. (Behind bytes
    /// that nobody reads a FIN does not.)
    pub let_go: u64,
    /// Events that the crowd published itself.
    pub published: u64,
    /// Events that were still on their way to somebody when it ended.
    pub owed: u64,
    /// Addresses that were connected from.
    pub addresses: u8,
    /// fds that were open when most clients were there, and how many there may be.
    pub fds: u64,
    /// See `fds`.
    pub fd_limit: u64,
    /// Resident memory at that time, in bytes.
    pub resident: u64,
}

impl Report {
    /// One object.
    pub fn json(&self) -> String {
        let Report { plan, figures, .. } = self;
        json!({
            "via": plan.via.name(),
            "clients": plan.clients,
            "seconds": self.stayed as f64 / 1000.0,
            "interrupted": self.interrupted,
            "connected": self.connected,
            "refused": figures.refused,
            "cuts": figures.cuts,
            "let_go": self.let_go,
            "reconnects": self.reconnects,
            "published": self.published,
            "events": figures.events,
            "lost": figures.lost,
            "doubled": figures.doubled,
            "owed": self.owed,
            "restarts": figures.restarts,
            "latency": self.latency(),
            "addresses": self.addresses,
            "fds": self.fds,
            "fd_limit": self.fd_limit,
            "room": super::room_for(self.fd_limit),
            "resident_bytes": self.resident,
        })
        .to_string()
    }

    /// `null` if nothing was measured.
    fn latency(&self) -> Value {
        let latency = &self.figures.latency;
        if latency.is_empty() {
            return Value::Null;
        }
        json!({
            "measured_by": if self.plan.publish.is_some() { "own_events" } else { "time" },
            "count": latency.len(),
            "p50_us": latency.value_at_quantile(0.5),
            "p99_us": latency.value_at_quantile(0.99),
            "max_us": latency.max(),
        })
    }

    /// A few lines.
    pub fn text(&self) -> String {
        let Report { plan, figures, .. } = self;
        let seconds = self.stayed as f64 / 1000.0;
        let mut text = format!("{} clients via {}, {seconds:.1} s", plan.clients, plan.via.name());
        if self.interrupted {
            text += ", interrupted";
        }
        let mut row = |name: &str, value: String| {
            // OK because writing to a String cannot fail.
            let _ = write!(text, "\n  {name:<12}{value}");
        };
        let mut connected = self.connected.to_string();
        if self.addresses > 1 {
            connected += &format!(", from {} addresses", self.addresses);
        }
        for (count, what) in [(figures.refused, "refusals"), (figures.cuts, "cuts")] {
            if count > 0 {
                connected += &format!(", {count} {what}");
            }
        }
        row("connected", connected);
        if matches!(plan.manner, Manner::Freeze | Manner::Slow) {
            row("let go", format!("{} by the server, as far as they notice", self.let_go));
        }
        if plan.publish.is_some() {
            row("published", self.published.to_string());
        }
        let mut events = format!("{}, {} lost, {} doubled", figures.events, figures.lost, figures.doubled);
        if self.owed > 0 {
            events += &format!(", {} still on their way", self.owed);
        }
        if figures.restarts > 0 {
            events += &format!("; {} times the server had begun anew", figures.restarts);
        }
        row("events", events);
        row("latency", self.latency_text());
        row("reconnects", self.reconnects.to_string());
        let room = super::room_for(self.fd_limit);
        row("fds", format!("{} of {}, which is room for {room} clients", self.fds, self.fd_limit));
        row("memory", format!("{:.1} MiB resident", self.resident as f64 / f64::from(1 << 20)));
        text
    }

    fn latency_text(&self) -> String {
        let latency = &self.figures.latency;
        if latency.is_empty() {
            return "not measured: no event told when it was published".into();
        }
        let (digits, measured) = match self.plan.publish {
            Some(_) => (2, "from its own publications"),
            None => (0, "by the time of each event"),
        };
        let millis = |micros: u64| format!("{:.digits$} ms", micros as f64 / 1000.0);
        let [p50, p99] = [0.5, 0.99].map(|quantile| millis(latency.value_at_quantile(quantile)));
        format!("p50 {p50}, p99 {p99}, max {}, {measured}", millis(latency.max()))
    }
}
