//! Bytes on their way in and out.
//!
//! The rule of both: an idle connection owns no buffer. What can be dealt with in the turn it came
//! in is dealt with in the loop's own buffers.

use crate::tick::Tick;
use std::collections::VecDeque;
use std::io::IoSlice;
use std::ops::Deref;
use std::rc::Rc;

/// Bytes that were encoded once and go to many. One pointer, and a count of who still needs them.
#[derive(Clone, Debug)]
pub struct Shared(Rc<Encoded>);

/// Bytes to be said, and how many of them are payload: the rest is what a protocol puts around it.
#[derive(Debug, Default)]
pub struct Encoded {
    /// All of them.
    pub bytes: Vec<u8>,
    /// How many of them a client's program gets to see: the body of an answer, the content of a message.
    pub payload: usize,
}

impl Shared {
    /// Shares these bytes from now on.
    pub fn new(encoded: Encoded) -> Shared {
        Shared(Rc::new(encoded))
    }
}

impl Shared {
    /// How many of its bytes are payload.
    #[inline]
    pub fn payload(&self) -> usize {
        self.0.payload
    }
}

impl Deref for Shared {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0.bytes
    }
}

/// What one reaction of one connection has to say: its own bytes, and behind them perhaps bytes that
/// it shares with others. The loop owns one, and empties it after each reaction.
#[derive(Debug, Default)]
pub struct Outgoing {
    /// Bytes for this connection alone.
    pub own: Vec<u8>,
    /// How many of those are payload.
    pub payload: usize,
    /// Bytes for many; they go last.
    pub shared: Option<Shared>,
}

impl Outgoing {
    /// Says nothing, or nothing any more. A buffer that has grown large is given back.
    #[inline]
    pub fn clear(&mut self) {
        const KEEP: usize = 256 * 1024;
        self.own.clear();
        if self.own.capacity() > KEEP {
            self.own.shrink_to(KEEP);
        }
        self.payload = 0;
        self.shared = None;
    }

    /// Makes what is shared with others its own too, so that more may be said behind it.
    pub fn unshare(&mut self) {
        self.payload = self.all_payload();
        if let Some(shared) = self.shared.take() {
            self.own.extend_from_slice(&shared);
        }
    }

    /// How many bytes of it are payload, those for many included.
    pub fn all_payload(&self) -> usize {
        self.payload + self.shared.as_ref().map_or(0, |shared| shared.0.payload)
    }

    /// How many bytes.
    pub fn len(&self) -> usize {
        self.own.len() + self.shared.as_ref().map_or(0, |shared| shared.len())
    }

    /// Whether there is nothing to say.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether one reaction has said enough, and pauses. Requests that came in one piece, each of a few bytes,
    /// could otherwise ask for any amount of answers.
    #[inline]
    pub fn is_a_mouthful(&self) -> bool {
        const MOUTHFUL: usize = 64 * 1024;
        self.len() >= MOUTHFUL
    }
}

/// Bytes that have come and cannot be dealt with yet.
#[derive(Debug, Default)]
pub struct Inbox(Option<Box<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    bytes: Vec<u8>,
    /// See [`Inbox::pause_at`]. (It lies here because there is room: a connection has one inbox, and most are empty.)
    is_paused: bool,
}

impl Inbox {
    /// How many bytes are kept.
    pub fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |kept| kept.bytes.len())
    }

    /// Whether nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Takes everything out, with `fresh` behind it.
    pub fn take_with(&mut self, fresh: &[u8]) -> Vec<u8> {
        let mut bytes = self.0.take().map_or_else(Vec::new, |kept| kept.bytes);
        bytes.extend_from_slice(fresh);
        bytes
    }

    /// Keeps these bytes, of which there are some, for later.
    pub fn keep(&mut self, bytes: Vec<u8>) {
        self.put(bytes, false);
    }

    /// Keeps these bytes for when it is the reader's turn again: it could deal with them, and has done enough.
    pub fn pause_at(&mut self, bytes: Vec<u8>) {
        self.put(bytes, true);
    }

    /// Whether the reader could go on with what is kept.
    #[inline]
    pub fn is_paused(&self) -> bool {
        self.0.as_ref().is_some_and(|kept| kept.is_paused)
    }

    fn put(&mut self, bytes: Vec<u8>, is_paused: bool) {
        debug_assert!(self.is_empty(), "what was kept is taken out before something else is kept");
        self.0 = (!bytes.is_empty()).then(|| Box::new(Kept { bytes, is_paused }));
    }
}

/// Bytes that the kernel would not take yet.
#[derive(Debug, Default)]
pub struct Outbox(Option<Box<Queue>>);

#[derive(Debug, Default)]
struct Queue {
    pieces: VecDeque<Piece>,
    /// How many bytes of the first piece are gone.
    sent: usize,
    /// How many bytes wait.
    waiting: usize,
    /// When the kernel last took some, or refused the first.
    moved: Tick,
}

#[derive(Debug)]
enum Piece {
    Own(Vec<u8>),
    Shared(Shared),
}

impl Deref for Piece {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Piece::Own(bytes) => bytes,
            Piece::Shared(shared) => shared,
        }
    }
}

impl Outbox {
    /// How many bytes wait.
    pub fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |queue| queue.waiting)
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Since when nothing has moved, if something waits.
    pub fn waiting_since(&self) -> Option<Tick> {
        self.0.as_ref().map(|queue| queue.moved)
    }

    /// Queues what was to be said, less its first `sent` bytes, which the kernel took.
    pub fn keep(&mut self, outgoing: &mut Outgoing, sent: usize, now: Tick) {
        if outgoing.len() > sent {
            self.queue(outgoing, sent, now);
        }
    }

    fn queue(&mut self, outgoing: &mut Outgoing, sent: usize, now: Tick) {
        let queue = self.0.get_or_insert_with(|| Box::new(Queue { moved: now, ..Queue::default() }));
        let own = &outgoing.own[sent.min(outgoing.own.len())..];
        if !own.is_empty() {
            queue.waiting += own.len();
            queue.pieces.push_back(Piece::Own(own.to_vec()));
        }
        let sent = sent - sent.min(outgoing.own.len());
        if let Some(shared) = outgoing.shared.take() {
            queue.waiting += shared.len() - sent;
            if queue.pieces.is_empty() {
                queue.sent = sent;
            }
            queue.pieces.push_back(Piece::Shared(shared));
        }
    }

    /// What waits, piece by piece, for one gathered write: at most sixteen pieces.
    pub fn pieces(&self) -> impl Iterator<Item = IoSlice<'_>> {
        let (pieces, sent) = self.0.as_ref().map_or((None, 0), |queue| (Some(&queue.pieces), queue.sent));
        let skip = std::iter::once(sent).chain(std::iter::repeat(0));
        pieces.into_iter().flatten().take(16).zip(skip).map(|(piece, skip)| IoSlice::new(&piece[skip..]))
    }

    /// The kernel took so many bytes.
    pub fn advance(&mut self, mut count: usize, now: Tick) {
        let Some(queue) = &mut self.0 else { return };
        queue.waiting -= count;
        if count > 0 {
            queue.moved = now;
        }
        while let Some(first) = queue.pieces.front() {
            let left = first.len() - queue.sent;
            if count < left {
                queue.sent += count;
                return;
            }
            count -= left;
            queue.sent = 0;
            queue.pieces.pop_front();
        }
        self.0 = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn outgoing(own: &[u8], shared: Option<&[u8]>) -> Outgoing {
        let encoded = |bytes: &[u8]| Encoded { bytes: bytes.to_vec(), payload: bytes.len() };
        Outgoing { own: own.to_vec(), payload: 0, shared: shared.map(|bytes| Shared::new(encoded(bytes))) }
    }

    #[test]
    fn nothing_left_over_owns_nothing() {
        let mut outbox = Outbox::default();
        outbox.keep(&mut outgoing(b"abc", Some(b"de")), 5, Tick(0));
        assert!(outbox.is_empty());
        assert_eq!(size_of::<Outbox>(), size_of::<usize>());
        assert_eq!(size_of::<Inbox>(), size_of::<usize>());
    }

    proptest! {
        #[test]
        fn what_is_queued_comes_out_in_order(
            sayings in prop::collection::vec((any::<Vec<u8>>(), any::<Option<Vec<u8>>>()), 1..9),
            first_sent in 0..20usize,
            takes in prop::collection::vec(1..40usize, 0..200),
        ) {
            let mut outbox = Outbox::default();
            let mut expected = Vec::new();
            for (at, (own, shared)) in sayings.iter().enumerate() {
                let mut saying = outgoing(own, shared.as_deref());
                // Only the first may have been taken in part: behind it the outbox is not empty.
                let sent = if at == 0 { first_sent.min(saying.len()) } else { 0 };
                let all = [own.as_slice(), shared.as_deref().unwrap_or(&[])].concat();
                expected.extend_from_slice(&all[sent..]);
                outbox.keep(&mut saying, sent, Tick(0));
            }
            let mut got = Vec::new();
            for take in takes {
                prop_assert_eq!(outbox.len(), expected.len() - got.len());
                let offered: Vec<u8> = outbox.pieces().flat_map(|piece| piece.to_vec()).collect();
                let take = take.min(offered.len());
                got.extend_from_slice(&offered[..take]);
                outbox.advance(take, Tick(0));
            }
            prop_assert_eq!(&got[..], &expected[..got.len()]);
            prop_assert_eq!(outbox.is_empty(), got.len() == expected.len());
        }
    }
}
