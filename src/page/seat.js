// A browser opens six HTTP/1.1 connections to one origin. A window of this page keeps two of them busy (a stream and
// Server-Sent Events), and all windows together a third (the long poll). So two windows may listen at a time, and
// one connection is left for questions that are answered at once.

const SEATS = ['doorbell: seat 1', 'doorbell: seat 2'];

/** Calls back with whether there is a seat, now and when that changes. Where browsers cannot lock, there always is. */
export function takeSeat(tell) {
  const left = new AbortController();
  if (navigator.locks) {
    sit(left.signal, tell);
  } else {
    tell(true);
  }
  return { leave: () => left.abort() };
}

async function sit(signal, tell) {
  for (const seat of SEATS) {
    if (await hold(seat, { ifAvailable: true }, signal, tell)) {
      return;
    }
  }
  if (!signal.aborted) {
    tell(false);
    // Whichever is free first; the other is given back as soon as it comes.
    const waiting = new AbortController();
    signal.addEventListener('abort', () => waiting.abort());
    SEATS.forEach((seat) => hold(seat, { signal: waiting.signal }, signal, tell, waiting).catch(() => {}));
  }
}

// Holds a seat until the signal. Returns false if it was not free.
async function hold(seat, options, signal, tell, waiting) {
  let sits = true;
  await navigator.locks.request(seat, options, async (lock) => {
    sits = lock !== null;
    if (sits && !signal.aborted && !waiting?.taken) {
      Object.assign(waiting ?? {}, { taken: true });
      tell(true);
      await new Promise((resolve) => {
        signal.addEventListener('abort', resolve);
      });
    }
  });
  return sits;
}
