// What has happened: the events of the channel, when each came to which lane, and by which request.
//
// Everything here is bounded, so that a tab may stay open for days.

import { byteLength, place } from './client.js';

const REMEMBERED = 2_000; // events known; ids seen by a lane
const BARS = 2_000; // requests of a lane
const MARKS = 2_000; // arrivals in a lane
const COUNTED = 1_000; // arrivals of which the median is taken
const LONGEST_TEXT = 400; // characters kept of an event or an answer

/** The server's clock may be ahead of ours or behind. How far lies between two bounds, which become
 * narrower with what is learnt; of what is possible, the least difference is taken. */
export const clock = {
  low: -Infinity,
  high: Infinity,

  // The server's clock showed something from `from` to `to`, at some moment between `sent` and `received`.
  compare(from, to, sent, received) {
    if (Number.isNaN(from)) {
      return;
    }
    const [low, high] = [from - received, to - sent];
    this.low = Math.max(this.low, low);
    this.high = Math.min(this.high, high);
    if (this.low > this.high) { // A clock was set.
      [this.low, this.high] = [low, high];
    }
  },

  // A time of the server's as a time of ours.
  ours(time) {
    return time - Math.min(Math.max(0, this.low), this.high);
  },

  // The latest that it can have been.
  latest(time) {
    return time - this.low;
  },
};

/** All events, whichever lane they came by. */
export const journal = {
  version: 0, // grows when there is something new to show
  newest: null,
  known: new Map(),
  published: new Map(), // by this page: when it was sent, and when that was answered

  // The event of this id. Server-Sent Events do not tell its time; another lane may.
  event(id, data, time) {
    const event = this.known.get(id) ?? this.add(id, data);
    if (time && event.time === undefined) {
      event.time = Date.parse(time);
      clock.compare(event.time, Infinity, 0, Date.now()); // Nothing arrives before it is published.
      this.compareClocks(event);
    }
    this.version++;
    return event;
  },

  wasPublished(id, sent, answered) {
    remember(this.published, id, { sent, answered });
    const event = this.known.get(id);
    if (event) {
      this.compareClocks(event);
    }
  },

  // When an event was published, by our clock; undefined if nobody has told.
  time(event) {
    return event.time === undefined ? this.published.get(event.id)?.sent : clock.ours(event.time);
  },

  add(id, data) {
    const text = typeof data === 'string' ? data : JSON.stringify(data);
    const event = { id, ...place(id), text: brief(text), bytes: byteLength(text), time: undefined, arrivals: new Map() };
    remember(this.known, id, event);
    if (event.epoch !== this.newest?.epoch || event.number > this.newest.number) {
      this.newest = event;
    }
    return event;
  },

  compareClocks(event) {
    const publication = this.published.get(event.id);
    if (event.time !== undefined && publication) {
      clock.compare(event.time, event.time + 1, publication.sent, publication.answered);
    }
  },
};

/** What one lane has done and heard. Its functions `asks`, `answers`, `event`, `missed`, `state` and `heard`
 * are what a follower tells. */
export class Record {
  how = 'off';
  note = null;
  requests = 0;
  empties = 0; // answers without news
  events = 0;
  payload = 0; // bytes
  reconnects = 0;
  doubles = 0; // Events that came twice or never. Both would be bugs.
  losses = 0;
  kept = 0; // events that were kept for the lane while it was away, last time
  bars = []; // requests, oldest first
  marks = []; // arrivals, oldest first

  #seen = new Map();
  #listensSince = Infinity;
  #wasAway = false;

  constructor(changed = () => {}) {
    this.changed = changed;
  }

  state(state, note) {
    const listens = state === 'open' || state === 'waiting' || state === 'not reading';
    if (!listens) {
      this.#wasAway ||= this.#listensSince < Infinity;
      this.#listensSince = Infinity;
    } else if (this.#listensSince === Infinity) {
      this.#listensSince = Date.now();
      this.reconnects += Number(this.#wasAway);
      this.#wasAway = false;
      this.kept = 0;
    }
    Object.assign(this, { how: state, note });
    this.changed();
  }

  asks(request) {
    this.requests++;
    const bar = { ...request, until: null, bytes: 0, events: 0, text: '', failed: false, type: '' };
    push(this.bars, bar, BARS);
    this.changed();
    return bar;
  }

  answers(bar, { bytes = 0, text, said, ended = false, failed = false }) {
    if (!bar || bar.until !== null) {
      return;
    }
    bar.bytes += bytes;
    this.payload += bytes;
    bar.text = text === undefined ? bar.text : brief(text);
    bar.type = said?.type ?? bar.type;
    this.empties += Number(said !== undefined && !said.events.length);
    if (ended || failed) {
      bar.until = Date.now();
      bar.failed = failed;
    }
    this.changed();
  }

  event({ id, time, data }, bar, { was, missed }) {
    if (this.#seen.has(id)) {
      this.doubles++;
      return this.changed();
    }
    this.#countLosses(place(was ?? id), place(id), missed);
    remember(this.#seen, id, true);
    const event = journal.event(id, data, time);
    const mark = { at: Date.now(), event, listensSince: this.#listensSince };
    event.arrivals.set(this, mark);
    push(this.marks, mark, MARKS);
    this.events++;
    this.kept += Number(isKept(mark));
    if (bar) {
      bar.events++;
    }
    this.changed();
  }

  // The numbers of a channel's events have no gaps, so what is jumped over and not told of is lost.
  #countLosses(was, now, missed) {
    if (!missed && now.epoch === was.epoch) {
      this.losses += Math.max(0, now.number - was.number - 1);
    }
  }

  missed(cursor, was) {
    const isAnew = was !== undefined && place(cursor).epoch !== place(was).epoch;
    push(this.marks, { at: Date.now(), missed: isAnew ? 'startedAnew' : 'keptNoLonger' }, MARKS);
    this.changed();
  }

  heard(date, sent, received) {
    clock.compare(date, date + 1000, sent, received); // A Date is in whole seconds.
  }

  /** The median and the worst of how long the newest arrivals took; what was kept for the lane does not count. */
  latency() {
    const times = this.marks.slice(-COUNTED).map(took).filter((time) => time !== null).sort((a, b) => a - b);
    return times.length ? { median: times[times.length >> 1], worst: times[times.length - 1] } : null;
  }
}

/** Whether an event was published while its lane did not listen. */
export function isKept({ event, listensSince }) {
  return event?.time !== undefined && clock.latest(event.time) < listensSince;
}

/** How long an event took to a lane; null if that is not known, or says nothing of the technique. */
export function took(mark) {
  const time = mark.event && !isKept(mark) ? journal.time(mark.event) : undefined;
  return time === undefined ? null : Math.max(0, mark.at - time);
}

/** As much of a text as is shown. */
function brief(text) {
  return text.length > LONGEST_TEXT ? `${text.slice(0, LONGEST_TEXT)}…` : text;
}

// Adds to a list that forgets its oldest; not one by one, for that would move all the others.
function push(list, value, most) {
  list.push(value);
  if (list.length > most * 1.25) {
    list.splice(0, list.length - most);
  }
}

// Puts a key into a Map that forgets its oldest.
function remember(map, key, value) {
  map.set(key, value);
  if (map.size > REMEMBERED) {
    map.delete(map.keys().next().value);
  }
}
