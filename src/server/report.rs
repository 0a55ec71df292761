//! What only the server itself can tell, or do: the door between a request and the loop.

use super::Server;
use crate::http::router::Report;
use crate::http::{Manner, Problem};
use crate::table::Id;
use crate::tick::Now;

/// An answer: its media type and its bytes, or what is wrong.
pub(super) type Answer = Result<(&'static str, Vec<u8>), Problem>;

impl Server {
    /// The answer to `id`; `None` if it is given later.
    pub(super) fn report(&mut self, id: Id, report: Report, manner: &Manner, now: Now) -> Option<Answer> {
        match report {
            Report::Metrics => {
                Some(Ok(("text/plain; version=0.0.4; charset=utf-8", self.metrics(now).into_bytes())))
            }
            Report::Kernel(view) => {
                if view.turns > 0 {
                    self.show_turns(now);
                }
                self.note_onlooker(id);
                self.mirror.ask(id, *manner, view);
                None
            }
            Report::Multiplexer(name) => Some(self.swap(&name)),
        }
    }
}
