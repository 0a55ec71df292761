//! What only the server itself can tell, or do: the door between a request and the loop.

use super::Server;
use crate::http::router::{JSON, Report};
use crate::http::{Manner, Problem, Status};
use crate::table::Id;
use crate::tick::Now;
use serde::Serialize;

/// An answer: its status, its media type and its bytes, or what is wrong.
pub(super) type Answer = Result<(Status, &'static str, Vec<u8>), Problem>;

/// An answer in JSON.
pub(super) fn json(status: Status, object: &impl Serialize) -> Answer {
    let mut text = serde_json::to_vec(object).expect("OK because names and numbers are always JSON");
    text.push(b'\n');
    Ok((status, JSON, text))
}

impl Server {
    /// The answer to `id`; `None` if it is given later.
    pub(super) fn report(&mut self, id: Id, report: Report, manner: &Manner, now: Now) -> Option<Answer> {
        match report {
            Report::Metrics => {
                let page = self.metrics(now).into_bytes();
                Some(Ok((Status::Ok, "text/plain; version=0.0.4; charset=utf-8", page)))
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
            Report::BringCrowd(wish) => Some(self.bring_crowd(&wish, now)),
            Report::DismissCrowd => Some(self.dismiss_crowd(now)),
        }
    }
}
