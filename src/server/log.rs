//! What is said of connections, on standard error.

use super::Server;
use crate::connection::{Connection, Peer};
use crate::http::{Path, Status};
use crate::sys;
use crate::table::Id;
use crate::technique::Why;
use crate::tick::{Now, Tick};
use std::io;

/// What is said of each connection. (What an operator must know is always said.)
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Log {
    /// Nothing.
    #[default]
    Off,
    /// A line when it closes.
    Connections,
    /// And a line for each request.
    Requests,
}

impl Log {
    /// A connection has closed. One that was let go because of a limit is told of in any case.
    pub(super) fn closed(self, connection: &Connection, why: Why, now: Tick) {
        let must_be_told = matches!(why, Why::TooSlow | Why::Stalled);
        if self == Log::Off && !must_be_told {
            return;
        }
        let Connection { peer, received, sent, opened, .. } = connection;
        let technique = connection.name.as_str();
        let seconds = now.since(*opened) as f64 / 1000.0;
        let why = match why {
            Why::Failed(errno) => io::Error::from_raw_os_error(errno).to_string(),
            why => why.to_string(),
        };
        sys::attend_to(connection.fd.number());
        sys::stderr_line(&format!(
            "closed peer={peer} technique={technique} seconds={seconds:.3} in={received} out={sent} why=\"{why}\""
        ));
    }
}

impl Server {
    /// Tells of the reaction just over, if anybody wants to know: which requests it answered and, where calls
    /// are told, why it said its `said` bytes, and whether it has taken another seat.
    #[inline]
    pub(super) fn report_reaction(&mut self, id: Id, is_reseated: bool, said: usize, now: Now) {
        if self.log == Log::Requests || sys::is_narrating() {
            self.tell_of(id, is_reseated, said, now);
        }
    }

    #[cold]
    fn tell_of(&mut self, id: Id, is_reseated: bool, said: usize, now: Now) {
        let answered = self.hub.tally.take_journal();
        if sys::is_narrating() {
            self.tell_reaction(id, is_reseated, said, &answered, now);
        }
        if let Some(peer) = self.table.get(id).map(|connection| connection.peer) {
            self.log_requests(peer, &answered);
        }
    }

    /// A line for each request of this peer that was answered.
    pub(super) fn log_requests(&mut self, peer: Peer, answered: &[(Path, Status)]) {
        if self.log != Log::Requests {
            return;
        }
        for (path, status) in answered {
            let (path, status) = (path.label(), status.code());
            sys::stderr_line(&format!("request peer={peer} path={path} status={status}"));
        }
    }
}
