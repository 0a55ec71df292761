// The five lanes: a follower, its record, and what is seen of them.

import { Follower, TECHNIQUES } from './client.js';
import { find, make, onDraw, redraw, shape, write } from './dom.js';
import { isKept, journal, Record, took } from './record.js';
import { SHAPES } from './timeline.js';
import { bytes, count, duration, noteWords, onSpeak, say, translate } from './words.js';

const ROWS = 8; // events in the table of the newest
const RECENT = 60_000; // ms in which it is said what a lane has missed

// Who we are to the server where browsers cannot lock: each tab is a client of its own.
const CLIENT = Array.from(crypto.getRandomValues(new Uint32Array(4)), (part) => part.toString(36).padStart(7, '0'))
  .join('');

/** What may be set of a lane: the slider's steps, and what they mean. */
const SLIDERS = {
  short_poll: { word: 'every', steps: [250, 500, 1_000, 2_000, 5_000, 10_000], at: 3, field: 'interval' },
  long_poll: { word: 'holdFor', steps: [1_000, 2_000, 5_000, 10_000, 20_000, 30_000, 60_000], at: 5, field: 'hold' },
};

class Lane {
  constructor(technique, channel, start) {
    this.technique = technique;
    this.record = new Record(redraw);
    this.follower = new Follower(technique, { channel, client: CLIENT, start, on: this.record });
    this.isWanted = true;
    this.root = find('lane').content.cloneNode(true).firstElementChild;
    this.#build();
  }

  part(selector) {
    return this.root.querySelector(selector);
  }

  /** Turns as wanted; `rest` says why it is to rest, if it is. */
  turn(rest) {
    this.follower.turn(this.isWanted && !rest, this.isWanted ? rest : null);
  }

  #build() {
    const { root, technique } = this;
    root.dataset.technique = technique;
    root.style.setProperty('--accent', `var(--${technique})`);
    this.part('.shape path').setAttribute('d', SHAPES[technique]);
    this.part('.cut').addEventListener('click', () => this.follower.cut());
    this.part('.read').hidden = technique !== 'stream';
    this.part('.read').addEventListener('click', () => this.#toggleReading());
    this.#buildSlider(SLIDERS[technique]);
    onDraw(() => this.#draw());
    onSpeak(() => this.#speak());
  }

  #buildSlider(slider) {
    if (!slider) {
      return;
    }
    const [input, output] = [this.part('.slider input'), this.part('.slider output')];
    this.part('.slider').hidden = false;
    Object.assign(input, { min: 0, max: slider.steps.length - 1, step: 1, value: slider.at });
    const show = () => {
      write(output, duration(this.follower[slider.field]));
      input.setAttribute('aria-valuetext', output.textContent);
    };
    input.addEventListener('input', () => {
      this.follower[slider.field] = slider.steps[input.value];
      show();
    });
    input.addEventListener('change', () => this.follower.again());
    onSpeak(show);
  }

  #toggleReading() {
    if (this.follower.state === 'open') {
      this.follower.reads(false);
      this.follower.is('not reading', { key: 'notReadingSays' });
    } else if (this.follower.state === 'not reading') {
      this.follower.reads(true);
      this.follower.is('open', { key: 'endless' });
    }
  }

  #speak() {
    const { root, technique } = this;
    translate(root);
    const name = say(technique);
    write(this.part('.name'), name);
    root.title = say(`${technique}Says`);
    this.part('.cut').setAttribute('aria-label', say('cutLane', { lane: name }));
    if (SLIDERS[technique]) {
      write(this.part('.slider-name'), say(SLIDERS[technique].word));
    }
    this.#draw();
  }

  #draw() {
    const { record, follower, root } = this;
    root.dataset.state = record.how;
    write(this.part('.word'), say(record.how));
    write(this.part('.note'), this.#note());
    write(this.part('.read'), say(record.how === 'not reading' ? 'readOn' : 'stopReading'));
    this.part('.read').disabled = !['open', 'not reading'].includes(record.how);
    this.part('.cut').disabled = ['off', 'resting'].includes(record.how);
    for (const name of ['requests', 'empties', 'events', 'reconnects']) {
      write(this.part(`.${name}`), count(record[name]));
    }
    write(this.part('.payload'), bytes(record.payload));
    const latency = record.latency();
    write(this.part('.median'), latency ? duration(latency.median) : '–');
    write(this.part('.worst'), latency ? duration(latency.worst) : '–');
    const wrong = record.doubles || record.losses;
    write(this.part('.bug'), wrong ? say('bug', record) : '');
    root.dataset.via = follower.via;
  }

  // Why it is as it is; and for a while what it missed, or what was kept for it.
  #note() {
    const { record, follower, technique } = this;
    const last = record.marks.findLast((mark) => mark.missed);
    const isAway = ['backing off', 'connecting', 'off', 'resting'].includes(record.how);
    const parts = [];
    if (follower.via !== technique) {
      parts.push(say('fellBack', { from: say(technique), to: say(follower.via) }));
    }
    if (last && Date.now() - last.at < RECENT) {
      parts.push(say(last.missed));
    }
    if (record.kept && !isAway) {
      parts.push(say('caughtUp', { n: record.kept }));
    }
    if (!parts.length || isAway || record.how === 'not reading') {
      parts.unshift(noteWords(record.note));
    }
    return parts.filter(Boolean).join(' · ');
  }

  /** Shows bytes of header, which only the server can see. */
  showHeader(number) {
    write(this.part('.header'), number === null ? '–' : bytes(number));
    this.part('.header').dataset.bytes = number ?? '';
  }
}

/** All lanes, in their order. */
export class Lanes {
  constructor(channel, timeline) {
    let starting;
    const start = () => {
      starting ??= this.#whereItStands().catch((error) => {
        starting = undefined;
        throw error;
      });
      return starting;
    };
    this.all = Object.keys(TECHNIQUES).map((technique) => new Lane(technique, channel, start));
    for (const lane of this.all) {
      find('lanes').append(lane.root);
      timeline.add(lane.part('canvas'), lane.technique, lane.record);
      lane.part('.on').addEventListener('change', ({ target }) => this.want(lane, target.checked));
    }
    onDraw(() => timeline.touch());
    addTable(this.all);
  }

  // All lanes start at the same cursor, which is asked for once, as a long poll that is not held.
  async #whereItStands() {
    const { follower } = this.all.find(({ technique }) => technique === 'long_poll');
    const attempt = new AbortController();
    const { cursor } = await follower.askFor('/poll', { timeout: 0, client: CLIENT }, attempt, 10_000);
    if (follower.state === 'connecting') {
      follower.is('waiting'); // It has heard of the server, and need not ask once more.
    }
    return cursor;
  }

  want(lane, isWanted) {
    lane.isWanted = isWanted;
    lane.part('.on').checked = isWanted;
    lane.turn(this.rest);
  }

  /** Lets all rest, and says why; null lets them go on. */
  turn(rest) {
    this.rest = rest;
    this.all.forEach((lane) => lane.turn(rest));
  }

  sum(name) {
    return this.all.reduce((sum, { record }) => sum + record[name], 0);
  }
}

// The newest events, a line each: how long each took to each lane. What the time axis shows, in words.
function addTable(lanes) {
  const table = find('newest');
  let version = -1;
  const draw = () => {
    if (version !== journal.version) {
      version = journal.version;
      const events = [...journal.known.values()].slice(-ROWS).reverse();
      table.tBodies[0].replaceChildren(...events.map((event) => row(event, lanes)));
      write(find('newest-says'), say(events.length ? 'newestCaption' : 'none'));
    }
  };
  onDraw(draw);
  onSpeak(() => {
    version = -1;
    table.tHead.rows[0].replaceChildren(headCell(say('events')), ...lanes.map(({ technique }) => {
      const cell = headCell('');
      cell.append(shape(technique, SHAPES[technique]), ` ${say(technique)}`);
      cell.firstChild.setAttribute('width', '11');
      return cell;
    }));
    draw();
  });
}

function headCell(text) {
  const cell = make('th', '', text);
  cell.scope = 'col';
  return cell;
}

function row(event, lanes) {
  const line = make('tr');
  const data = make('th', 'data', event.text || '""');
  Object.assign(data, { scope: 'row', title: event.id, dir: 'auto' });
  line.append(data, ...lanes.map(({ record }) => make('td', '', arrival(event.arrivals.get(record), record))));
  return line;
}

/** How long an event took to a lane, in words. */
export function arrival(mark, record) {
  if (!mark) {
    return ['open', 'waiting', 'connecting'].includes(record.how) ? say('notYet') : say(record.how);
  }
  if (isKept(mark)) {
    return say('keptMark');
  }
  const time = took(mark);
  return time === null ? '–' : duration(time);
}
