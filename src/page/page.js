// The page of doorbell: five clients of one channel, each by its own technique.
//
// Read the five small functions under "The techniques" first: each listens once, by one request or
// one connection, and returns when that is over or throws when it failed. What they have in common
// is in the class Lane: it listens again and again, backs off after failures, remembers the cursor
// (the id of the last event that it has) and counts. All text is put in as textContent, never as HTML.

const CHANNEL = new URLSearchParams(location.search).get('channel') ?? 'lobby';
const CHANNEL_NAME = /^[A-Za-z0-9._-]{1,64}$/;

const SHORT_POLL_EVERY = 2_000; // All times are in milliseconds.
const ANSWER_WITHIN = 10_000; // for what is answered at once
const LONG_ANSWER_WITHIN = 150_000; // for a long poll: longer than the server holds one
const BACK_OFF_FIRST = 1_000;
const BACK_OFF_MOST = 30_000;
const STEADY = 5_000; // what worked for so long is a new start

const FULL_BAR = 2_000; // the whole width of the table of the newest event
const ROWS = 30; // events shown in a lane
const LONGEST_TEXT = 300; // characters shown of an event
const REMEMBERED = 2_000; // ids remembered, to find doubles

// Who we are to the server. A new long poll of the same client takes the place of the one before, so
// each tab is a client of its own.
const CLIENT = Array.from(crypto.getRandomValues(new Uint32Array(4)), (part) => part.toString(36).padStart(7, '0'))
  .join('');

const ENDLESS = 'the answer has not ended';

// ---- The techniques ---------------------------------------------------------------------------------

// Asks, is answered at once, and sleeps. News that comes meanwhile waits until it asks again.
async function shortPoll(lane, signal) {
  const answer = await lane.ask('/news', {}, signal, ANSWER_WITHIN);
  lane.take(await answer.json());
  lane.is('waiting', `asks every ${SHORT_POLL_EVERY / 1000} s`);
  await pause(SHORT_POLL_EVERY, signal);
}

// Asks, and the answer is held back until there is news, or for the hold. Then it asks again at once.
async function longPoll(lane, signal) {
  // At first it only asks where it stands: so "waiting" is said only when the server was heard of.
  const first = lane.state === 'connecting';
  if (!first) {
    lane.is('waiting', 'the server holds the answer');
  }
  const asked = Date.now();
  const wanted = first ? { client: CLIENT, timeout: 0 } : { client: CLIENT };
  const answer = await lane.ask('/poll', wanted, signal, LONG_ANSWER_WITHIN);
  const { type, events } = lane.take(await answer.json());
  if (type === 'draining') {
    throw new Error('the server is going away');
  }
  lane.is('waiting', type === 'replaced' ? 'another poll took this one’s place' : '');
  if (type === 'replaced') {
    return pause(2_000 + Math.random() * 3_000, signal);
  }
  // A server that holds nothing back is not asked without a rest.
  if (!first && !events.length && Date.now() - asked < 1_000) {
    await pause(1_000, signal);
  }
}

// Asks once, and reads the answer line by line. It does not end; if it does, that is a failure.
async function stream(lane, signal) {
  const answer = await lane.ask('/stream', {}, signal);
  for await (const line of lines(answer.body)) {
    if (line) { // An empty line is only a sign of life.
      lane.take(JSON.parse(line));
    }
  }
  throw new Error('the answer ended');
}

// Cuts a body into lines. A piece of the body may end anywhere, even in the middle of a character.
async function* lines(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) {
        return;
      }
      const pieces = (rest + value).split('\n');
      rest = pieces.pop();
      yield* pieces;
    }
  } finally {
    reader.cancel().catch(() => {}); // so that the connection ends, whatever the reason
  }
}

// EventSource reads the notation, remembers the last id, and after a broken connection comes back by
// itself with that id. After an answer other than 200 it gives up: then we make a new one.
function serverSentEvents(lane, signal) {
  return new Promise((resolve, reject) => {
    const source = new EventSource(lane.url('/connect'));
    source.onopen = () => {
      lane.requests++;
      lane.is('open', ENDLESS);
    };
    source.onmessage = ({ lastEventId, data }) => lane.receive({ id: lastEventId, data });
    source.addEventListener('missed', ({ lastEventId }) => lane.take({ cursor: lastEventId, missed: true }));
    source.onerror = () => {
      if (lane.state !== 'open') {
        lane.requests++; // one that came to nothing
      }
      if (source.readyState === EventSource.CLOSED) {
        reject(new Error('the browser gave up'));
      } else {
        lane.is('backing off', 'no connection; the browser comes back by itself');
      }
    };
    signal.onabort = () => {
      source.close();
      resolve();
    };
  });
}

// One request turns the connection into a WebSocket; from then on both sides send messages.
function webSocket(lane, signal) {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(lane.url('/ws').replace(/^http/, 'ws'));
    lane.requests++;
    socket.onmessage = ({ data }) => lane.take(JSON.parse(data));
    socket.onclose = ({ code, reason }) => {
      reject(new Error(code === 1006 ? 'no connection' : `closed with ${code}${reason && `: ${reason}`}`));
    };
    signal.onabort = () => {
      socket.onmessage = socket.onclose = null;
      socket.close();
      resolve();
    };
  });
}

const TECHNIQUES = [
  { name: 'Short polling', path: '/news', listen: shortPoll,
    says: 'Asks every 2 s, and is answered at once: news or none.' },
  { name: 'Long polling', path: '/poll', listen: longPoll,
    says: 'Asks, and the answer waits for news. Then asks again.' },
  { name: 'HTTP streaming', path: '/stream', listen: stream, open: ENDLESS,
    says: 'Asks once. The answer never ends: each event is a line of it.' },
  { name: 'Server-Sent Events', path: '/connect', listen: serverSentEvents,
    says: 'An endless answer too, but the browser reads it, and comes back by itself.' },
  { name: 'WebSocket', path: '/ws', listen: webSocket, open: 'both sides may speak',
    says: 'Asks once to leave HTTP. Then either side speaks when it likes.' },
];

// ---- A lane -----------------------------------------------------------------------------------------

class Lane {
  state = 'off';
  note = '';
  requests = 0;
  events = 0;
  doubles = 0; // Events that came twice or never. Both would be bugs.
  losses = 0;
  misses = 0; // how often the server said that events were missed
  rows = []; // what is shown, newest first

  #technique;
  #cursor;
  #sure = false; // whether the next event must be the one right after the cursor
  #seen = new Set();
  #listensSince = Infinity;
  #run = null;

  constructor(technique) {
    this.#technique = technique;
    this.name = technique.name;
  }

  // Starts or stops. Where it stood is kept.
  turn(on, why) {
    if (on && !this.#run) {
      this.#run = new AbortController();
      this.is('connecting');
      this.#listen(this.#run.signal);
    } else if (!on) {
      this.#run?.abort();
      this.#run = null;
      this.is(why);
    }
  }

  async #listen(signal) {
    let failures = 0;
    while (!signal.aborted) {
      const began = Date.now();
      try {
        this.#cursor ??= await startingPoint();
        signal.throwIfAborted();
        await this.#technique.listen(this, signal);
        failures = 0;
      } catch (error) {
        failures = Date.now() - began > STEADY ? 1 : failures + 1;
        await this.#backOff(error, failures, signal);
      }
    }
  }

  // Exponential backoff with full jitter: clients that failed together do not come back together.
  async #backOff(error, failures, signal) {
    if (signal.aborted) {
      return;
    }
    const most = Math.min(BACK_OFF_MOST, BACK_OFF_FIRST * 2 ** (failures - 1));
    const wait = (error.retryAfter ?? 0) + Math.random() * most;
    this.is('backing off', `${reason(error)}; again in ${(wait / 1000).toFixed(1)} s`);
    await pause(wait, signal);
    if (!signal.aborted) {
      this.is('connecting');
    }
  }

  // Tells how things are.
  is(state, note = '') {
    const listens = state === 'open' || state === 'waiting';
    this.#listensSince = listens ? Math.min(this.#listensSince, Date.now()) : Infinity;
    this.state = state;
    this.note = note;
    redraw();
  }

  url(path, parameters = {}) {
    return address(path, { since: this.#cursor, ...parameters });
  }

  ask(path, parameters, signal, within) {
    this.requests++;
    redraw();
    return ask(this.url(path, parameters), { signal, within });
  }

  // Takes whatever the server says in JSON: the answer to a poll, a welcome, or one event.
  take(said) {
    if (said.missed) {
      this.#missed(said.cursor);
    }
    if (said.type === 'welcome') {
      this.is('open', this.#technique.open);
    }
    if (said.id) {
      this.receive(said);
    }
    said.events?.forEach((event) => this.receive(event));
    if (said.cursor) {
      this.#moveTo(said.cursor, 0);
    }
    return said;
  }

  receive({ id, time, data }) {
    if (this.#seen.has(id)) {
      this.doubles++;
      return redraw();
    }
    remember(this.#seen, id);
    this.#moveTo(id, 1);
    this.events++;
    const [text, at] = [brief(data), Date.now()];
    const row = { text, at, event: journal.event(id, text, time), listensSince: this.#listensSince };
    row.event.arrivals.set(this, row);
    this.#show(row);
  }

  // The numbers of a channel's events have no gaps, so whatever was jumped over is lost.
  #moveTo(cursor, events) {
    const [was, now] = [place(this.#cursor), place(cursor)];
    if (this.#sure) {
      const jumped = now.epoch === was.epoch ? now.number - was.number - events : 1;
      this.losses += Math.max(0, jumped);
    }
    this.#sure = true;
    this.#cursor = cursor;
  }

  // The server says that events were missed. It says so rather than to go on as if nothing happened.
  #missed(cursor) {
    const anew = place(cursor).epoch !== place(this.#cursor).epoch;
    this.#sure = false;
    this.misses++;
    this.#show({ missed: `Missed: ${anew ? 'the server was started anew' : 'what came here is kept no longer'}.` });
  }

  #show(row) {
    this.rows.unshift(row);
    this.rows.length = Math.min(this.rows.length, ROWS);
    journal.version++;
    redraw();
  }
}

// A cursor is EPOCH-NUMBER: the epoch is another after each start of the server, and the events of a
// channel are numbered from 1.
function place(cursor) {
  const [epoch, number] = cursor.split('-');
  return { epoch, number: Number(number) };
}

// Puts a key into a Set or Map that forgets its oldest.
function remember(collection, key, value) {
  collection instanceof Map ? collection.set(key, value) : collection.add(key);
  if (collection.size > REMEMBERED) {
    collection.delete(collection.keys().next().value);
  }
}

// Where all lanes start: the cursor of the channel now. Asked once, so that all start at the same one.
let starting;
function startingPoint() {
  starting ??= ask(address('/poll', { timeout: 0 }), { within: ANSWER_WITHIN })
    .then((answer) => answer.json())
    .then(({ cursor }) => cursor)
    .catch((error) => {
      starting = undefined;
      throw error;
    });
  return starting;
}

// ---- Asking -----------------------------------------------------------------------------------------

function address(path, parameters = {}) {
  const url = new URL(path, location.origin);
  const all = Object.entries({ channel: CHANNEL, ...parameters });
  url.search = new URLSearchParams(all.filter(([, value]) => value !== undefined));
  return url.href;
}

// Fetches, and throws unless all is well.
async function ask(url, { signal, within, ...options }) {
  const signals = [signal, within && AbortSignal.timeout(within)].filter(Boolean);
  const sent = Date.now();
  const answer = await fetch(url, { cache: 'no-store', signal: AbortSignal.any(signals), ...options });
  const date = Date.parse(answer.headers.get('Date')); // in whole seconds
  clock.compare(date, date + 1000, sent, Date.now());
  if (!answer.ok) {
    const problem = await answer.json().catch(() => ({}));
    const error = new Error(`answered ${answer.status}${problem.detail ? `: ${problem.detail}` : ''}`);
    error.retryAfter = 1000 * Number(answer.headers.get('Retry-After')) || 0;
    throw error;
  }
  return answer;
}

// What failed, in few words.
function reason(error) {
  switch (error.name) {
    case 'TypeError': return 'no connection'; // what fetch calls it
    case 'TimeoutError': return 'no answer in time (windows of one browser share six connections)';
    default: return error.message;
  }
}

// Waits, but not past the abort.
function pause(time, signal) {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, time);
    signal.addEventListener('abort', done);
  });
}

// ---- Events and times -------------------------------------------------------------------------------

// The server's clock may be ahead of ours or behind. How far lies between two bounds, which become
// narrower with what is learnt; of what is possible, the least difference is taken.
const clock = {
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

// All events, whichever lane they came by. `version` grows when there is something new to show.
const journal = {
  version: 0,
  newest: null,
  known: new Map(),
  published: new Map(), // by this page: when it was sent, and when that was answered

  // The event of this id. Server-Sent Events do not tell its time; another lane may.
  event(id, text, time) {
    const event = this.known.get(id) ?? this.add(id, text);
    if (time && event.time === undefined) {
      event.time = Date.parse(time);
      clock.compare(event.time, Infinity, 0, Date.now()); // Nothing arrives before it is published.
      this.compareClocks(id);
    }
    return event;
  },

  add(id, text) {
    const event = { id, ...place(id), text, time: undefined, arrivals: new Map() };
    remember(this.known, id, event);
    if (event.epoch !== this.newest?.epoch || event.number > this.newest.number) {
      this.newest = event;
    }
    return event;
  },

  compareClocks(id) {
    const [event, publication] = [this.known.get(id), this.published.get(id)];
    if (event?.time !== undefined && publication) {
      clock.compare(event.time, event.time + 1, publication.sent, publication.answered);
    }
  },
};

// The data of an event as text, and not too much of it.
function brief(data) {
  const text = typeof data === 'string' ? data : JSON.stringify(data);
  return text.length > LONGEST_TEXT ? `${text.slice(0, LONGEST_TEXT)}… (${text.length} characters)` : text;
}

// How long an event took to a lane, if that is known yet; and whether it was published while the lane
// did not listen, and kept for it by the server.
function took({ event, at, listensSince }) {
  if (event.time === undefined) {
    return { time: '–', share: 0, kept: '' };
  }
  const time = Math.max(0, at - clock.ours(event.time));
  const kept = clock.latest(event.time) < listensSince ? ', kept' : '';
  return { time: duration(time), share: Math.min(1, time / FULL_BAR), kept };
}

function duration(time) {
  if (time < 1) {
    return '< 1 ms';
  }
  if (time < 1_000) {
    return `${Math.round(time)} ms`;
  }
  return time < 60_000 ? `${(time / 1_000).toFixed(2)} s` : `${Math.round(time / 60_000)} min`;
}

// ---- Publishing -------------------------------------------------------------------------------------

async function publish(text) {
  const sent = Date.now();
  const answer = await ask(address('/event'), { method: 'POST', body: text, within: ANSWER_WITHIN });
  const { id, delivered } = await answer.json();
  remember(journal.published, id, { sent, answered: Date.now() });
  journal.compareClocks(id);
  journal.version++;
  redraw();
  const { long_poll, stream, sse, websocket } = delivered;
  return `Event ${place(id).number}. Who waited for it: long polling ${long_poll}, HTTP streaming ${stream}, `
    + `Server-Sent Events ${sse}, WebSocket ${websocket}. Short polling comes for it.`;
}

// ---- What is seen -----------------------------------------------------------------------------------

const find = (id) => document.getElementById(id);
const draws = []; // the functions that bring a part of the page up to date
let drawsSoon = false;

// Brings the page up to date, once for all that happens until the next frame.
function redraw() {
  if (!drawsSoon) {
    drawsSoon = true;
    requestAnimationFrame(() => {
      drawsSoon = false;
      draws.forEach((draw) => draw());
    });
  }
}

function write(element, text) {
  if (element.textContent !== String(text)) {
    element.textContent = text;
  }
}

function make(name, className, text) {
  const element = document.createElement(name);
  element.className = className;
  element.textContent = text;
  return element;
}

// Puts a lane into the page; returns it with its switch.
function addLane(technique) {
  const lane = new Lane(technique);
  const root = find('lane').content.cloneNode(true).firstElementChild;
  const part = (selector) => root.querySelector(selector);
  part('.name').textContent = technique.name;
  part('.path code').textContent = `GET ${technique.path}`;
  part('.says').textContent = technique.says;
  part('ol').setAttribute('aria-label', `Newest events by ${technique.name}`);
  find('lanes').append(root);

  let version = 0;
  draws.push(() => {
    root.dataset.state = lane.state;
    write(part('.word'), lane.state);
    write(part('.note'), lane.note);
    write(part('.requests'), lane.requests);
    write(part('.events'), lane.events);
    const last = lane.rows.find((row) => row.event);
    write(part('.latency'), last ? took(last).time : '–');
    write(part('.misses'), lane.misses ? `missed something ${times(lane.misses)}` : '');
    const wrong = lane.doubles || lane.losses;
    write(part('.bug'), wrong ? `${lane.doubles} came twice, ${lane.losses} never came: a bug` : '');
    if (version !== journal.version) {
      version = journal.version;
      part('ol').replaceChildren(...lane.rows.map(listItem));
    }
  });
  addToRace(lane);
  return { lane, checkbox: part('input') };
}

const times = (count) => (count === 1 ? 'once' : `${count} times`);

function listItem(row) {
  if (row.missed) {
    return make('li', 'missed', row.missed);
  }
  const item = make('li', row.event === journal.newest ? 'fresh' : '', '');
  const data = make('span', 'data', row.text);
  data.dir = 'auto';
  const { time, kept } = took(row);
  item.append(data, make('span', 'took', time + kept), make('span', 'number', row.event.id));
  return item;
}

// A lane's row in the table of the newest event.
function addToRace(lane) {
  const row = find('racer').content.cloneNode(true).firstElementChild;
  const part = (selector) => row.querySelector(selector);
  part('th').textContent = lane.name;
  find('race').append(row);

  draws.push(() => {
    const arrival = journal.newest?.arrivals.get(lane);
    const { time, share, kept } = arrival ? took(arrival) : { time: absent(lane), share: 0, kept: '' };
    row.className = !arrival ? 'absent' : kept ? 'kept' : '';
    part('.bar').style.inlineSize = `${100 * share}%`;
    write(part('.time'), time + kept);
  });
}

function absent(lane) {
  if (['off', 'resting', 'backing off'].includes(lane.state)) {
    return lane.state;
  }
  return journal.newest ? 'not yet' : '–';
}

function drawNewest() {
  if (journal.newest) {
    write(find('newest'), journal.newest.text || '(empty)');
  }
}

// ---- The start --------------------------------------------------------------------------------------

function startLane(technique) {
  const { lane, checkbox } = addLane(technique);
  // A hidden tab needs no news, and a browser has few connections.
  const turn = () => lane.turn(checkbox.checked && !document.hidden, checkbox.checked ? 'resting' : 'off');
  checkbox.addEventListener('change', turn);
  document.addEventListener('visibilitychange', turn);
  turn();
}

function startPublishing() {
  find('curl').textContent = `curl -d Hello '${address('/event')}'`;
  find('publish').addEventListener('submit', async (submission) => {
    submission.preventDefault();
    find('text').select();
    try {
      write(find('published'), await publish(find('text').value));
      write(find('trouble'), '');
    } catch (error) {
      write(find('published'), '');
      write(find('trouble'), `Not published: ${reason(error)}`);
    }
  });
}

find('channel').textContent = `channel ${CHANNEL}`;
document.title = `doorbell: ${CHANNEL}`;
if (CHANNEL_NAME.test(CHANNEL)) {
  draws.push(drawNewest);
  TECHNIQUES.forEach(startLane);
  startPublishing();
} else {
  find('publish').hidden = true;
  write(find('newest'), 'This is no channel’s name: that is 1 to 64 of A-Z a-z 0-9 . _ and -.');
}
