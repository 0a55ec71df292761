// The kernel's side: what GET /kernel tells, asked for once a second while the page is seen.

import { reason, refusal } from './client.js';
import { find, make, write } from './dom.js';
import { drawGrid, fdWords, iconOf, isFull, KINDS, kindOf, wordOf } from './grid.js';
import { drawWheel } from './wheel.js';
import { count, duration, noteWords, onSpeak, say, spoken } from './words.js';

const EVERY = 1_000; // ms between an answer and the next question: the server looks no oftener
const WITHIN = 10_000;
const FDS = 2_500; // listed at most
const TURNS = 64; // asked for; the server keeps no more
const SHOWN_TURNS = 16;
const SHOWN_LINES = 10; // of each
const KEPT = 1_500; // turns and samples on the time axis
/** By what each mechanism waits, as strace calls it. */
const WAITS = { select: 'pselect6', poll: 'poll', epoll: 'epoll_wait' };

export class Kernel {
  #wasAsked;
  latest = null; // what was told last
  samples = []; // of the time axis: from when to when how many calls and wake-ups a second
  turns = []; // turns of the loop, by our clock
  switches = []; // of the mechanism: when, from what, to what
  onAnswer = []; // who wants to hear of each answer
  asked = new Promise((resolve) => { // until the first question was answered, or was not
    this.#wasAsked = resolve;
  });
  isSeen = false;

  #before = null;
  #first = {}; // the receipt when the page was opened
  #offset = Infinity; // from the server's ticks to our clock: the least of what was seen
  #trouble = null;
  #wake = () => {};
  #lanes;

  constructor(lanes) {
    this.#lanes = lanes;
    this.#buildSwitch();
    find('onlookers').addEventListener('change', () => this.#draw());
    onSpeak(() => {
      this.#draw();
      this.#wake(); // The turns are told in the language that is asked for.
    });
    this.#askOnAndOn();
  }

  get call() {
    return this.latest && WAITS[this.latest.multiplexer];
  }

  /** Whether the page is seen: else nothing is asked. */
  see(isSeen) {
    this.isSeen = isSeen;
    this.#before = null; // What happened meanwhile is no rate.
    this.#wake();
  }

  /** Asks now. */
  hurry() {
    this.#wake();
  }

  async #askOnAndOn() {
    for (;;) {
      if (this.isSeen) {
        await this.#ask();
      }
      await new Promise((resolve) => {
        const timer = setTimeout(resolve, EVERY);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  async #ask() {
    try {
      const url = `/kernel?limit=${FDS}&turns=${TURNS}&narrate=${spoken()}`;
      const answer = await fetch(url, { cache: 'no-store', signal: AbortSignal.timeout(WITHIN) });
      if (!answer.ok) {
        throw await refusal(answer);
      }
      this.#take(await answer.json(), Date.now());
      this.#trouble = null;
    } catch (error) {
      this.#trouble = reason(error);
      this.#before = null;
    }
    this.#wasAsked();
    this.#draw();
  }

  #take(told, at) {
    const isAnew = told.pid !== this.latest?.pid;
    if (isAnew) {
      Object.assign(this, { turns: [], switches: [] });
      this.#before = null;
      this.#offset = Infinity;
      this.#first = told.receipt;
    } else if (told.multiplexer !== this.latest.multiplexer) {
      this.#noteSwitch(told.multiplexer, at);
    }
    const now = told.timing_wheel.now_ms;
    if (now !== undefined) {
      this.#offset = Math.min(this.#offset, at - now);
    }
    this.latest = { ...told, at };
    this.#takeTurns(told.turns ?? []);
    this.#takeSample(told, at);
    this.onAnswer.forEach((listener) => listener(told, isAnew));
  }

  #noteSwitch(to, at) {
    const was = this.latest.multiplexer;
    this.switches.push({ at, to, was: WAITS[was], call: WAITS[to] });
    this.latest.multiplexer = to;
  }

  #takeTurns(turns) {
    const last = this.turns.at(-1)?.turn ?? -1;
    for (const turn of turns.filter((turn) => turn.turn > last)) {
      this.turns.push({ ...turn, at: turn.at_ms + this.#offset });
    }
    this.turns.splice(0, Math.max(0, this.turns.length - KEPT));
  }

  #takeSample(told, at) {
    const now = { at, wakeups: told.loop.wakeups, syscalls: told.syscalls };
    if (this.#before) {
      this.rates = ratesBetween(this.#before, now);
      this.samples.push({ at, since: this.#before.at, calls: this.rates.calls });
      this.samples.splice(0, Math.max(0, this.samples.length - KEPT));
    }
    this.#before = now;
  }

  // ---- The switch ---------------------------------------------------------------------------------

  #buildSwitch() {
    for (const input of find('mechanisms').querySelectorAll('input')) {
      input.addEventListener('change', () => this.#switchTo(input.value));
    }
  }

  async #switchTo(multiplexer) {
    const [reconnects, losses] = [this.#lanes.sum('reconnects'), this.#lanes.sum('losses')];
    const was = this.latest?.multiplexer;
    try {
      const { moved } = await post('/kernel/multiplexer', { multiplexer });
      if (this.latest && was !== multiplexer) {
        this.#noteSwitch(multiplexer, Date.now());
      }
      this.#tellSwitch(() => say('switched', {
        now: multiplexer,
        moved: count(moved),
        calls: was === multiplexer ? WAITS[was] : `${WAITS[was] ?? '…'} → ${WAITS[multiplexer]}`,
        reconnects: this.#lanes.sum('reconnects') - reconnects,
        losses: this.#lanes.sum('losses') - losses,
      }));
    } catch (error) {
      this.#tellSwitch(() => say('notSwitched', { why: noteWords(reason(error)) }), true);
    }
    this.#draw();
    this.hurry();
  }

  #switchSays = () => '';
  #tellSwitch(words, isRefused = false) {
    this.#switchSays = words;
    find('switched').classList.toggle('is-refused', isRefused);
  }

  // ---- What is seen -------------------------------------------------------------------------------

  #draw() {
    write(find('switched'), this.#switchSays());
    if (this.#trouble) {
      write(find('asked'), say('kernelSilent', { why: noteWords(this.#trouble) }));
    }
    if (!this.latest) {
      return;
    }
    const { latest } = this;
    if (!this.#trouble) {
      write(find('asked'), say('kernelAsked', { pid: latest.pid }));
    }
    for (const input of find('mechanisms').querySelectorAll('input')) {
      input.checked = input.value === latest.multiplexer;
    }
    const rates = this.rates ?? { calls: 0, wakeups: 0, byCall: [] };
    const per = { calls: perSecond(rates.calls), wakeups: perSecond(rates.wakeups) };
    write(find('loop-says'), this.rates ? say('callsSay', per) : '');
    this.#drawHeaders();
    drawFds(latest);
    drawCalls(rates, this.call, this.rates ? per : null);
    drawWheel(latest);
    this.#drawTurns();
  }

  // The bytes of header that each technique has cost since the page was opened.
  #drawHeaders() {
    for (const lane of this.#lanes.all) {
      const [now, first] = [this.latest.receipt?.[lane.technique], this.#first?.[lane.technique]];
      const header = (receipt) => receipt.received.header + receipt.sent.header;
      lane.showHeader(now && first ? header(now) - header(first) : null);
    }
  }

  #shownTurns = '';
  #drawTurns() {
    const isTold = this.latest.turns !== undefined;
    const turns = isTold ? this.latest.turns.slice(-SHOWN_TURNS).reverse() : [];
    write(find('turns-say'), say(!isTold ? 'turnsAbsent' : turns.length ? 'turnsSay' : 'turnsNone'));
    const key = `${spoken()} ${this.latest.pid} ${turns[0]?.turn} ${turns[0]?.sleep}`;
    if (key !== this.#shownTurns && !find('turns').matches(':hover, :focus')) {
      this.#shownTurns = key;
      find('turns').replaceChildren(...turns.map(turnItem));
    }
  }
}

// How often each call was made in a second, the wait first and then the most frequent.
function ratesBetween(before, now) {
  const seconds = Math.max(0.001, (now.at - before.at) / 1_000);
  const byCall = Object.entries(now.syscalls)
    .map(([call, number]) => ({ call, rate: (number - (before.syscalls[call] ?? 0)) / seconds }))
    .filter(({ rate }) => rate > 0)
    .sort((a, b) => b.rate - a.rate || a.call.localeCompare(b.call));
  const calls = byCall.reduce((sum, { rate }) => sum + rate, 0);
  return { calls, wakeups: (now.wakeups - before.wakeups) / seconds, byCall };
}

const perSecond = (rate) => (rate < 10 ? rate.toFixed(1) : count(rate));

/** POSTs JSON, or deletes, and returns the answer; throws what was refused. */
export async function post(path, body, method = 'POST') {
  const answer = await fetch(path, {
    method,
    headers: body && { 'Content-Type': 'application/json' },
    body: body && JSON.stringify(body),
    signal: AbortSignal.timeout(WITHIN),
  });
  if (!answer.ok) {
    throw Object.assign(await refusal(answer), { status: answer.status });
  }
  return answer.json();
}

// ---- The fds ----------------------------------------------------------------------------------------

function drawFds(told) {
  write(find('fds-open'), say('fdsOpen', { open: count(told.open_fds), limit: count(told.fd_limit) }));
  const fds = told.fds.filter(({ onlooker }) => !onlooker || find('onlookers').checked);
  drawGrid(fds);
  const numbers = new Map(KINDS.map((kind) => [kind, 0]));
  fds.forEach((fd) => numbers.set(kindOf(fd), numbers.get(kindOf(fd)) + 1));
  numbers.set('full', fds.filter(isFull).length);
  const present = [...numbers].filter(([, number]) => number);
  const items = present.map(([kind, number]) => {
    const item = make('li');
    item.append(iconOf(kind), `${wordOf(kind)} ${count(number)}`);
    return item;
  });
  const list = present.map(([kind, number]) => `${wordOf(kind)} ${number}`).join(', ');
  if (find('kinds').dataset.list !== list) {
    find('kinds').dataset.list = list;
    find('kinds').replaceChildren(...items);
    find('grid').setAttribute('aria-label', say('fdsLabel', { list }));
  }
  drawAgreement(told);
}

function drawAgreement({ disagreements, fds, open_fds: open }) {
  const wrong = fds.filter(({ agree }) => agree === false).map(fdWords);
  const watched = fds.filter(({ watched }) => watched?.length).length;
  const words = disagreements
    ? say('disagree', { n: disagreements, list: wrong.join('; ') })
    : say('agreeAll', { n: count(watched) });
  write(find('agree'), open > fds.length ? `${words} ${say('fdsCut', { n: count(fds.length) })}` : words);
  find('agree').classList.toggle('is-ill', disagreements > 0);
}

// ---- The calls --------------------------------------------------------------------------------------

function drawCalls({ byCall }, wait, per) {
  write(find('calls-say'), per ? (byCall.length ? say('callsSay', per) : say('callsBare')) : '');
  const most = Math.max(1, ...byCall.map(({ rate }) => rate));
  find('calls').tBodies[0].replaceChildren(...byCall.slice(0, 12).map(({ call, rate }) => {
    const line = make('tr', call === wait ? 'is-wait' : '');
    const name = make('th', '', call);
    name.scope = 'row';
    const bar = make('td');
    const track = make('div', 'track');
    const amount = make('div', 'amount');
    amount.style.inlineSize = `${100 * rate / most}%`;
    track.append(amount);
    bar.append(track);
    line.append(name, bar, make('td', 'per', perSecond(rate)));
    return line;
  }));
}

// ---- The turns --------------------------------------------------------------------------------------

function turnItem(turn) {
  const item = make('li');
  item.append(make('p', 'rule', turnWords(turn)));
  for (const { call, why = '' } of turn.lines.slice(0, SHOWN_LINES)) {
    const line = make('div', 'call');
    const code = make('code', '', call);
    code.title = call;
    line.append(code, make('span', 'why', why));
    item.append(line);
  }
  const more = turn.more + Math.max(0, turn.lines.length - SHOWN_LINES);
  if (more) {
    item.append(make('div', 'why', say('more', { n: count(more) })));
  }
  return item;
}

/** A turn in words: for how long it slept, and how long it might have. */
export function turnWords({ sleep, slept_ms: slept }) {
  return `${sleep} · ${say('slept', { s: duration(slept) })}`;
}
