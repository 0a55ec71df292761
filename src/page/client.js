// A client of doorbell: follows a channel by one of five techniques, and comes back whatever happens.
//
// Read the five small functions under "The techniques" first: each listens once, by one request or one
// connection; it returns when that is over, and throws when it failed. What they have in common is in the
// class Follower: it listens again and again, remembers the cursor (the id of the last event that it has),
// backs off after failures, and falls back to another technique where its own does not get through.
//
// The module knows no page: whoever wants to see passes an object with the functions of SILENT.

/* All times are in milliseconds. */
const ANSWER_WITHIN = 10_000; // for what is answered at once
const LONGER_THAN_THE_HOLD = 20_000; // for a long poll, on top of the hold
const BACK_OFF_FIRST = 1_000;
const BACK_OFF_MOST = 30_000;
const STEADY = 5_000; // what worked for so long is a new start
const NO_HOLD = 1_000; // an empty answer that comes sooner was not held back

/** What a follower tells of itself. */
const SILENT = {
  state() {}, // how it is, and why
  asks() {}, // a request, or a handshake; what is returned is handed to `answers`
  answers() {}, // what came of it, once or, for what does not end, again and again
  event() {}, // an event
  missed() {}, // the server says that it keeps something no longer
  heard() {}, // an answer's Date, and between which moments it came
};

// ---- The techniques ---------------------------------------------------------------------------------

// Asks, is answered at once, and sleeps. News that comes meanwhile waits until it asks again.
async function shortPoll(follower, attempt) {
  await follower.askFor('/news', {}, attempt, ANSWER_WITHIN);
  follower.is('waiting', { key: 'asksEvery', ms: follower.interval });
  await pause(follower.interval, attempt.signal);
}

// Asks, and the answer is held back until there is news, or for the hold. Then it asks again at once.
//
// Where the browser can lock, one tab asks for all of them: each parked poll would take one of the six
// connections that a browser opens to an origin, and a second poll of one browser releases the first
// (`replaced`), so that two tabs would drive each other out for ever. Without locks each tab is a client
// of its own.
function longPoll(follower, attempt) {
  return navigator.locks && globalThis.BroadcastChannel
    ? pollForAllTabs(follower, attempt)
    : pollOnce(follower, attempt, { client: follower.client });
}

// Whoever holds the lock asks, and passes each answer on. Whoever waits for it listens to that.
async function pollForAllTabs(follower, attempt) {
  const name = `doorbell: the long poll of ${follower.channel}`;
  const tabs = new BroadcastChannel(name);
  const askForAll = async (lock) => {
    while (lock) { // It ends by what is thrown.
      tabs.postMessage(await pollOnce(follower, attempt, {}));
    }
  };
  try {
    await navigator.locks.request(name, { ifAvailable: true }, askForAll);
    const caughtUp = listenTo(tabs, follower, attempt);
    follower.is('waiting', { key: 'otherTabAsks' });
    await navigator.locks.request(name, { signal: attempt.signal }, async (lock) => {
      await caughtUp();
      await askForAll(lock);
    });
  } finally {
    tabs.close();
  }
}

// Takes what another tab is answered, and asks itself for what that tab was told before we listened.
function listenTo(tabs, follower, attempt) {
  const catchUp = () => pollOnce(follower, attempt, { client: follower.client, timeout: 0 });
  let last = catchUp();
  tabs.onmessage = ({ data: said }) => {
    last = last.then(() => (follower.isUpTo(said) ? follower.takeNew(said) : catchUp()));
    last.catch((error) => attempt.abort(error));
  };
  last.catch((error) => attempt.abort(error));
  return () => last;
}

async function pollOnce(follower, attempt, who) {
  // At first it only asks where it stands: so "waiting" is said only when the server was heard of.
  const isHeld = who.timeout !== 0 && follower.state !== 'connecting';
  const hold = isHeld ? `${Math.round(follower.hold)}ms` : 0;
  if (isHeld) {
    follower.is('waiting', { key: 'isHeld' });
  }
  const asked = Date.now();
  const within = (isHeld ? follower.hold : 0) + LONGER_THAN_THE_HOLD;
  const said = await follower.askFor('/poll', { ...who, timeout: hold }, attempt, within);
  if (said.type === 'draining') {
    throw new Failure({ key: 'draining' });
  }
  follower.is('waiting');
  if (said.type === 'replaced') { // by somebody who shares our name; two must not do so at once
    await pause(2_000 + Math.random() * 3_000, attempt.signal);
  } else if (isHeld && !said.events.length && Date.now() - asked < Math.min(NO_HOLD, follower.hold)) {
    await pause(NO_HOLD, attempt.signal); // A server that holds nothing back is not asked without a rest.
  }
  return said;
}

// Asks once, and reads the answer line by line. It does not end; if it does, that is a failure.
async function stream(follower, attempt) {
  const { request, answer } = await follower.ask('/stream', {}, attempt, ANSWER_WITHIN);
  try {
    for await (const line of lines(answer.body, follower)) {
      follower.on.answers(request, { bytes: byteLength(line) + 1, text: line });
      if (line) { // An empty line is only a sign of life.
        follower.take(JSON.parse(line), request);
      }
    }
    throw new Failure({ key: 'ended' });
  } finally {
    follower.on.answers(request, end(attempt));
  }
}

// Cuts a body into lines. A piece of the body may end anywhere, even in the middle of a character.
async function* lines(body, follower) {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let rest = '';
  try {
    for (;;) {
      await follower.mayRead; // While we do not read, TCP's window closes, and the server's outbox fills.
      const { value, done } = await reader.read();
      if (done) {
        return;
      }
      const pieces = (rest + decoder.decode(value, { stream: true })).split('\n');
      rest = pieces.pop();
      yield* pieces;
    }
  } finally {
    reader.cancel().catch(() => {}); // so that the connection ends, whatever the reason
  }
}

// EventSource reads the notation, remembers the last id, and after a broken connection comes back by
// itself with that id. After an answer other than 200 it gives up for good: then we make a new one, and
// also after one that never was open, for it would try again for ever without growing slower.
function serverSentEvents(follower, attempt) {
  return untilAborted(attempt, (fail) => {
    const source = new EventSource(follower.url('/connect'));
    let request = follower.asks('/connect');
    let wasOpen = false;
    const late = setTimeout(() => fail(new Failure({ key: 'noAnswer' })), ANSWER_WITHIN);
    source.onopen = () => {
      clearTimeout(late);
      wasOpen = true;
      request ??= follower.asks('/connect');
      follower.is('open', { key: 'endless' });
    };
    source.onmessage = ({ lastEventId, data }) => {
      follower.on.answers(request, { bytes: byteLength(data), text: data });
      follower.take({ id: lastEventId, data }, request);
    };
    source.addEventListener('missed', ({ lastEventId }) => {
      follower.take({ cursor: lastEventId, missed: true }, request);
    });
    source.onerror = () => {
      follower.on.answers(request ?? follower.asks('/connect'), { ended: true, failed: true });
      request = null;
      if (source.readyState === EventSource.CLOSED || !wasOpen) {
        fail(new Failure({ key: wasOpen ? 'gaveUp' : 'noConnection' }));
      } else {
        follower.is('backing off', { key: 'browserComesBack' });
      }
    };
    return () => {
      clearTimeout(late);
      source.close();
      follower.on.answers(request, end(attempt));
    };
  });
}

// One request turns the connection into a WebSocket; from then on both sides send messages.
function webSocket(follower, attempt) {
  return untilAborted(attempt, (fail) => {
    const socket = new WebSocket(follower.url('/ws').replace(/^http/, 'ws'));
    const request = follower.asks('/ws');
    const late = setTimeout(() => fail(new Failure({ key: 'noAnswer' })), ANSWER_WITHIN);
    socket.onopen = () => clearTimeout(late);
    socket.onmessage = ({ data }) => {
      follower.on.answers(request, { bytes: byteLength(data), text: data });
      follower.take(JSON.parse(data), request);
    };
    socket.onclose = ({ code, reason }) => {
      fail(new Failure(code === 1006 ? { key: 'noConnection' } : { key: 'closedWith', code, reason }));
    };
    return () => {
      clearTimeout(late);
      socket.onopen = socket.onmessage = socket.onclose = null;
      socket.close();
      follower.on.answers(request, end(attempt));
    };
  });
}

// How a request ended that was not answered: it failed, unless it was given up because it was wanted no more.
function end({ signal }) {
  return { ended: true, failed: !signal.aborted || (signal.reason instanceof Failure && signal.reason !== AGAIN) };
}

// Runs until it fails or is aborted; what `begin` returns tidies up after both.
function untilAborted(attempt, begin) {
  return new Promise((resolve, reject) => {
    let failed = false;
    const end = begin((error) => {
      failed = true;
      attempt.abort(error);
    });
    attempt.signal.addEventListener('abort', () => {
      end();
      failed ? reject(attempt.signal.reason) : resolve();
    }, { once: true });
  });
}

export const TECHNIQUES = {
  short_poll: shortPoll,
  long_poll: longPoll,
  stream,
  sse: serverSentEvents,
  websocket: webSocket,
};

/** What is tried where a technique does not get through. */
const FALL_BACK = { websocket: 'sse', sse: 'long_poll' };

// ---- A follower -------------------------------------------------------------------------------------

/** Follows a channel, from when it is turned on until it is turned off. */
export class Follower {
  state = 'off';
  interval = 2_000; // between two short polls
  hold = 30_000; // how long a long poll may be held back
  mayRead = null; // a promise while a stream is not to be read
  cursor; // the id of the last event that it has

  #attempt = null; // one connection, or one request; aborting it is how it ends
  #isOn = false;
  #readOn = () => {};

  constructor(technique, { channel, client, start = whereItStands, on = SILENT }) {
    Object.assign(this, { technique, via: technique, channel, client, start, on });
  }

  /** Begins or ends. The cursor stays, so it goes on from where it stood. */
  turn(isOn, note) {
    if (isOn && !this.#isOn) {
      this.#isOn = true;
      this.via = this.technique;
      this.#listen();
    } else if (!isOn) {
      this.#isOn = false;
      this.#end();
      this.is(note ? 'resting' : 'off', note);
    }
  }

  /** Cuts the connection, as trouble on the way would. */
  cut() {
    this.#end(new Failure({ key: 'cut' }));
  }

  /** Ends what it is at and begins again at once, because it is to ask otherwise. */
  again() {
    this.#end(AGAIN);
  }

  /** Whether a stream is to be read. */
  reads(does) {
    this.#readOn();
    this.mayRead = does ? null : new Promise((resolve) => {
      this.#readOn = resolve;
    });
  }

  #end(why) {
    this.reads(true);
    this.#attempt?.abort(why);
  }

  async #listen() {
    const isNewest = this.#takeOver();
    this.is('connecting');
    for (let failures = 0; isNewest();) {
      const attempt = this.#attempt = new AbortController();
      const began = Date.now();
      try {
        this.cursor ??= await this.start(this, attempt);
        attempt.signal.throwIfAborted();
        await TECHNIQUES[this.via](this, attempt);
        attempt.signal.throwIfAborted();
        failures = 0;
      } catch (thrown) {
        // What was aborted is known by why it was.
        const error = attempt.signal.reason ?? thrown;
        attempt.abort(error);
        if (isNewest() && error !== AGAIN) {
          failures = Date.now() - began > STEADY ? 1 : failures + 1;
          failures = await this.#comeAgain(error, failures, isNewest);
        }
      }
    }
  }

  // By another technique, or after a pause. Returns how many failures that leaves.
  async #comeAgain(error, failures, isNewest) {
    const fallsBack = await this.#fallsBack(error, failures);
    if (!fallsBack && isNewest()) {
      await this.#backOff(error, failures);
    }
    if (isNewest()) {
      this.is('connecting');
    }
    return fallsBack ? 0 : failures;
  }

  // Turned off and on again, it may be that the old loop has not noticed yet.
  #run = 0;
  #takeOver() {
    const run = ++this.#run;
    return () => this.#isOn && this.#run === run;
  }

  // Exponential backoff with full jitter: clients that failed together do not come back together.
  async #backOff(error, failures) {
    const most = Math.min(BACK_OFF_MOST, BACK_OFF_FIRST * 2 ** (failures - 1));
    const wait = (error.retryAfter ?? 0) + Math.random() * most;
    const attempt = this.#attempt = new AbortController();
    this.is('backing off', { ...reason(error), wait });
    await pause(wait, attempt.signal);
  }

  // If plain HTTP gets through and this does not, twice in a row, then something between us and the
  // server does not let it.
  #blocked = 0;
  async #fallsBack(error, failures) {
    const next = FALL_BACK[this.via];
    this.#blocked = failures > 1 ? this.#blocked : 0;
    this.#blocked = next && error.note?.key !== 'cut' && await isThere() ? this.#blocked + 1 : 0;
    if (this.#blocked < 2) {
      return false;
    }
    this.via = next;
    return true;
  }

  is(state, note = null) {
    this.state = state;
    this.note = note;
    this.on.state(state, note);
  }

  url(path, parameters = {}) {
    const url = new URL(path, location.origin);
    const all = Object.entries({ channel: this.channel, since: this.cursor, ...parameters });
    url.search = new URLSearchParams(all.filter(([, value]) => value !== undefined));
    return url.href;
  }

  asks(path) {
    return this.on.asks({ path, via: this.via, at: Date.now() });
  }

  // Asks for something that ends, and takes it.
  async askFor(path, parameters, attempt, within) {
    const { request, answer, sent } = await this.ask(path, parameters, attempt, within);
    const late = setTimeout(() => attempt.abort(new Failure({ key: 'noAnswer' })), ANSWER_WITHIN);
    try {
      const text = await answer.text();
      this.on.heard(Date.parse(answer.headers.get('Date')), sent, Date.now());
      const said = JSON.parse(text);
      this.on.answers(request, { bytes: byteLength(text), text, said, ended: true });
      return this.take(said, request);
    } finally {
      clearTimeout(late);
      this.on.answers(request, end(attempt)); // unless it was answered
    }
  }

  // Asks; what is returned has a head, and its body is on its way.
  async ask(path, parameters, attempt, within) {
    const sent = Date.now();
    const request = this.asks(path);
    const late = setTimeout(() => attempt.abort(new Failure({ key: 'noAnswer' })), within);
    try {
      const answer = await fetch(this.url(path, parameters), { cache: 'no-store', signal: attempt.signal });
      if (!answer.ok) {
        throw await refusal(answer);
      }
      return { request, answer, sent };
    } catch (error) {
      this.on.answers(request, end(attempt));
      throw error;
    } finally {
      clearTimeout(late);
    }
  }

  // Takes whatever the server says in JSON: the answer to a poll, a welcome, or one event.
  take(said, request) {
    if (said.missed) {
      this.on.missed(said.cursor, this.cursor);
    }
    if (said.type === 'welcome') {
      this.is('open', { key: this.via === 'websocket' ? 'bothSpeak' : 'endless' });
    }
    const events = said.id ? [said] : said.events ?? [];
    for (const event of events) {
      this.on.event(event, request, { was: this.cursor, missed: said.missed });
      this.cursor = event.id;
      this.#blocked = 0; // It does get through.
    }
    this.cursor = said.cursor ?? this.cursor;
    return said;
  }

  // Whether what another tab was told begins where we stand, or before.
  isUpTo({ missed, events: [first] }) {
    const [ours, next] = [place(this.cursor), first && place(first.id)];
    return missed || !first || (next.epoch === ours.epoch && next.number <= ours.number + 1);
  }

  // Takes of what another tab was told what is new.
  takeNew(said) {
    const ours = place(this.cursor);
    const isNew = ({ id }) => place(id).epoch !== ours.epoch || place(id).number > ours.number;
    const events = said.events.filter(isNew);
    const isMissed = said.missed && place(said.cursor).epoch !== ours.epoch;
    if (events.length || isMissed) {
      this.take({ ...said, events, missed: isMissed }, null);
    }
  }
}

/** A cursor is EPOCH-NUMBER: the epoch is another after each start of the server, and the events of a
 * channel are numbered from 1. */
export function place(cursor) {
  const [epoch, number] = cursor.split('-');
  return { epoch, number: Number(number) };
}

// The cursor of the channel now. Who began without one would not know what it misses before its first event.
async function whereItStands(follower, attempt) {
  const said = await follower.askFor('/poll', { timeout: 0, client: follower.client }, attempt, ANSWER_WITHIN);
  return said.cursor;
}

// Whether the server answers plain HTTP.
function isThere() {
  const signal = AbortSignal.timeout(ANSWER_WITHIN);
  return fetch('/healthz', { cache: 'no-store', signal }).then((answer) => answer.ok, () => false);
}

/** What failed, as a note: a key of words.js and its values. */
class Failure extends Error {
  constructor(note, retryAfter) {
    super(note.key);
    Object.assign(this, { note, retryAfter });
  }
}

const AGAIN = new Failure({ key: 'again' });

/** An answer that is no success, as an error. */
export async function refusal(answer) {
  const { detail = '' } = await answer.json().catch(() => ({}));
  const retryAfter = 1000 * Number(answer.headers.get('Retry-After')) || 0;
  return new Failure({ key: 'answered', status: answer.status, detail }, retryAfter);
}

/** Why something failed, as a note. */
export function reason(error) {
  if (error.note) {
    return error.note;
  }
  switch (error.name) {
    case 'TypeError': return { key: 'noConnection' }; // what fetch calls it
    case 'AbortError':
    case 'TimeoutError': return { key: 'noAnswer' };
    default: return { key: 'failed', message: error.message };
  }
}

/** Waits, but not past the abort. */
export function pause(time, signal) {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, time);
    signal?.addEventListener('abort', done);
  });
}

const encoder = new TextEncoder();

/** How many bytes a text is in UTF-8. */
export function byteLength(text) {
  return encoder.encode(text).length;
}
