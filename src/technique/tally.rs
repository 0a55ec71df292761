//! What is counted: requests where they are answered, deliveries where they are handed out.

use super::Name;
use crate::http::{Path, Status};

/// Counts since the server started.
#[derive(Debug)]
pub struct Tally {
    requests: Box<[[u64; Status::ALL.len()]; Path::ALL.len()]>,
    deliveries: [u64; Name::ALL.len()],
    asked: [u64; Name::ALL.len()],
    /// Bytes of payload that came since it was last asked.
    heard: usize,
    /// What was answered since it was last asked, where a log wants to know.
    journal: Option<Vec<(Path, Status)>>,
}

impl Default for Tally {
    fn default() -> Tally {
        let requests = Box::new([[0; Status::ALL.len()]; Path::ALL.len()]);
        let none = [0; Name::ALL.len()];
        Tally { requests, deliveries: none, asked: none, heard: 0, journal: None }
    }
}

impl Tally {
    /// A request was answered.
    pub fn request(&mut self, path: Path, status: Status) {
        self.requests[path as usize][status as usize] += 1;
        if let Some(journal) = &mut self.journal {
            journal.push((path, status));
        }
    }

    /// A request has come whole, for this technique and with so many bytes of body.
    pub fn ask(&mut self, technique: Name, body: usize) {
        self.asked[technique as usize] += 1;
        self.heard += body;
    }

    /// How many requests have come for one technique.
    pub fn asked(&self, technique: Name) -> u64 {
        self.asked[technique as usize]
    }

    /// A message of so many bytes has come.
    pub fn hear(&mut self, payload: usize) {
        self.heard += payload;
    }

    /// How many bytes of payload have come since the last time.
    #[inline]
    pub fn take_heard(&mut self) -> usize {
        std::mem::take(&mut self.heard)
    }

    /// Keeps a journal of requests from now on, or not.
    pub fn keep_journal(&mut self, keep: bool) {
        self.journal = keep.then(Vec::new);
    }

    /// The requests that were answered since the last time, if a journal is kept.
    pub fn take_journal(&mut self) -> Vec<(Path, Status)> {
        self.journal.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// So many events were handed to one client.
    pub fn deliver(&mut self, technique: Name, events: u64) {
        self.deliveries[technique as usize] += events;
    }

    /// How many events were handed out by one technique.
    pub fn deliveries(&self, technique: Name) -> u64 {
        self.deliveries[technique as usize]
    }

    /// How many requests were answered with each status, by path; only what happened.
    pub fn requests(&self) -> impl Iterator<Item = (Path, Status, u64)> {
        Path::ALL
            .iter()
            .flat_map(move |&path| {
                let row = self.requests[path as usize];
                Status::ALL.iter().map(move |&status| (path, status, row[status as usize]))
            })
            .filter(|&(.., count)| count > 0)
    }
}
