// The time axis: requests as bars, open while they wait; events as marks; turns of the loop as ticks. Each line
// of the page has a strip of canvas, and all strips show the same stretch of time.

import { journal, isKept } from './record.js';
import { say } from './words.js';

const SPANS = [2, 5, 10, 20, 30, 60, 120, 300].map((seconds) => seconds * 1_000);
const STILL = matchMedia('(prefers-reduced-motion: reduce)');
const FRAME = 33; // ms between two pictures; the eye takes it for motion
const STEP = 500; // and for those who do not want motion
const NEAR = 8; // px from the pointer
const HEAD = 0.42; // where in a strip's height the bar lies

/** The shapes of the techniques, in a square of 16 by 16. */
export const SHAPES = {
  short_poll: 'M2.5 2.5h11v11h-11z',
  long_poll: 'M8 1.5a6.5 6.5 0 1 0 0 13a6.5 6.5 0 1 0 0-13z',
  stream: 'M2.5 1.5l12 6.5l-12 6.5z',
  sse: 'M8 0.5l7.5 7.5l-7.5 7.5l-7.5-7.5z',
  websocket: 'M8 0.5l2.2 5.3l5.3 2.2l-5.3 2.2l-2.2 5.3l-2.2-5.3l-5.3-2.2l5.3-2.2z',
  http: 'M6 6h4v4h-4z',
};

export const paths = Object.fromEntries(Object.entries(SHAPES).map(([name, path]) => [name, new Path2D(path)]));

/** The page's colours as the canvas needs them; read anew when the theme changes. */
export const colours = {
  read() {
    const style = getComputedStyle(document.documentElement);
    for (const name of ['ground', 'card', 'line', 'ink', 'soft', 'well', 'ill', ...Object.keys(SHAPES)]) {
      this[name] = style.getPropertyValue(`--${name}`).trim();
    }
    this.sans = getComputedStyle(document.body).fontFamily;
  },
};

// How large elements are. To ask them would have the browser lay the page out in the midst of a frame.
const sizes = new WeakMap();
const resizes = new ResizeObserver((entries) => {
  entries.forEach(({ target, contentRect: { width, height } }) => sizes.set(target, { width, height }));
});

/** How large an element was when the page was last laid out. */
export function sizeOf(element) {
  if (!sizes.has(element)) {
    sizes.set(element, { width: element.clientWidth, height: element.clientHeight });
    resizes.observe(element);
  }
  return sizes.get(element);
}

/** Fits a canvas to the room it has, and returns its pen, in CSS pixels. */
export function fit(canvas) {
  const { width, height } = sizeOf(canvas);
  const scale = devicePixelRatio;
  if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
  }
  const pen = canvas.getContext('2d');
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  pen.clearRect(0, 0, width, height);
  return { pen, width, height };
}

export class Timeline {
  #strips = []; // of the lanes: canvas, technique, record
  #loop = null; // the strip of the loop
  #axis = null;
  #span = 3; // which of SPANS
  #frozen = null; // the moment at the right edge while it stands still
  #pointed = null;
  #stale = true;
  #last = 0;

  constructor({ axis, changed }) {
    this.#axis = axis;
    this.changed = changed;
    requestAnimationFrame((time) => this.#frame(time));
  }

  add(canvas, technique, record) {
    this.#strips.push({ canvas, technique, record });
  }

  addLoop(canvas, loop) {
    this.#loop = { canvas, loop };
  }

  get isPaused() {
    return this.#frozen !== null;
  }

  get span() {
    return SPANS[this.#span];
  }

  pause(isPaused) {
    this.#frozen = isPaused ? Date.now() : null;
    this.touch();
    this.changed();
  }

  zoom(steps) {
    this.#span = Math.max(0, Math.min(SPANS.length - 1, this.#span + steps));
    this.touch();
    this.changed();
  }

  /** Something is to be drawn anew. */
  touch() {
    this.#stale = true;
  }

  /** What is drawn in fuller colour: a bar, a mark, or null. */
  point(at) {
    this.#pointed = at;
    this.touch();
  }

  #frame(time) {
    requestAnimationFrame((next) => this.#frame(next));
    const rest = STILL.matches ? STEP : FRAME;
    const isDue = time - this.#last >= rest - 4 && (this.#stale || this.#frozen === null);
    if (isDue && !document.hidden) {
      this.#last = time;
      this.#stale = false;
      this.#draw();
    }
  }

  #draw() {
    const now = this.#frozen ?? Date.now();
    const view = { now, from: now - this.span, pointed: this.#pointed, frozen: this.#frozen !== null };
    drawAxis(this.#axis, view, this.#loop?.loop);
    for (const strip of this.#strips) {
      drawLane(strip, view, this.#loop?.loop);
    }
    if (this.#loop) {
      drawLoop(this.#loop, view);
    }
    this.view = view;
  }

  /** What of a lane is near a place on its strip. */
  near(record, x, width) {
    const { now, from } = this.view ?? { now: 0, from: 0 };
    const time = from + (x / width) * (now - from);
    const reach = (NEAR / width) * (now - from);
    const close = (at) => Math.abs(at - time);
    const marks = stretch(record.marks, from, now).filter((mark) => close(mark.at) <= reach);
    if (marks.length) {
      return { mark: marks.reduce((best, mark) => (close(mark.at) < close(best.at) ? mark : best)) };
    }
    const covers = (bar) => bar.at - reach <= time && (bar.until ?? now) + reach >= time;
    const bar = record.bars.findLast(covers);
    return bar ? { bar } : null;
  }

  /** The turn of the loop that is near a place on its strip. */
  nearTurn(x, width) {
    const { now, from } = this.view ?? { now: 0, from: 0 };
    const time = from + (x / width) * (now - from);
    const reach = (NEAR / width) * (now - from);
    const close = ({ at }) => Math.abs(at - time);
    const turns = stretch(this.#loop.loop.turns, time - reach, time + reach);
    return turns.length ? turns.reduce((best, turn) => (close(turn) < close(best) ? turn : best)) : null;
  }

  /** The next of a lane's events in time, forward or back, and moves the view to where it is seen. */
  next(record, from, forward) {
    const marks = record.marks.filter((mark) => mark.event);
    const mark = forward
      ? marks.find((mark) => mark.at > (from ?? 0))
      : marks.findLast((mark) => mark.at < (from ?? Infinity));
    if (mark && this.#frozen !== null) {
      const [left, right] = [this.#frozen - this.span, this.#frozen];
      this.#frozen = mark.at < left ? mark.at + this.span / 2 : mark.at > right ? mark.at + this.span / 2 : right;
    }
    return mark;
  }
}

// The part of a list ordered by time that is in view.
function stretch(list, from, to, time = (one) => one.at) {
  let [low, high] = [0, list.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (time(list[middle]) < from) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  let end = list.length;
  while (end > low && time(list[end - 1]) > to) {
    end--;
  }
  return list.slice(low, end);
}

const scale = ({ now, from }, width) => (time) => ((time - from) / (now - from)) * width;

// ---- The axis, with what was published --------------------------------------------------------------

function drawAxis(canvas, view, loop) {
  const { pen, width, height } = fit(canvas);
  const x = scale(view, width);
  const step = [1, 2, 5, 10, 20, 60].map((s) => s * 1_000).find((step) => (view.now - view.from) / step <= width / 70) ?? 60_000;
  pen.font = `12px ${colours.sans}`;
  pen.textBaseline = 'top';
  pen.textAlign = 'center';
  for (let time = Math.ceil(view.from / step) * step; time <= view.now; time += step) {
    pen.fillStyle = colours.line;
    pen.fillRect(Math.round(x(time)), height - 6, 1, 6);
    pen.fillStyle = colours.soft;
    const text = new Date(time).toTimeString().slice(3, 8);
    if (x(time) > 20 && x(time) < width - 20) {
      pen.fillText(text, x(time), 4);
    }
  }
  drawSwitches(pen, view, x, height, loop, true);
  pen.fillStyle = colours.ink;
  let last = -Infinity;
  for (const event of journal.known.values()) {
    const time = journal.time(event);
    if (time >= view.from && time <= view.now && x(time) - last >= 2) {
      last = x(time);
      pen.beginPath();
      pen.moveTo(last - 4, height - 14);
      pen.lineTo(last + 4, height - 14);
      pen.lineTo(last, height - 6);
      pen.fill();
    }
  }
}

// A switch of the mechanism is a line through everything.
function drawSwitches(pen, view, x, height, loop, isNamed) {
  for (const { at, to } of loop?.switches ?? []) {
    if (at < view.from || at > view.now) {
      continue;
    }
    pen.strokeStyle = colours.ink;
    pen.setLineDash([3, 3]);
    line(pen, x(at), 0, x(at), height);
    pen.setLineDash([]);
    if (isNamed) {
      pen.font = `600 12px ${colours.sans}`;
      pen.textAlign = x(at) > 60 ? 'right' : 'left';
      pen.fillStyle = colours.card;
      const [room, left] = [pen.measureText(to).width + 8, x(at) > 60];
      pen.fillRect(left ? x(at) - room - 2 : x(at) + 2, 2, room, 16);
      pen.fillStyle = colours.ink;
      pen.fillText(to, left ? x(at) - 6 : x(at) + 6, 4);
    }
  }
}

function line(pen, x1, y1, x2, y2) {
  pen.beginPath();
  pen.moveTo(x1, y1);
  pen.lineTo(x2, y2);
  pen.stroke();
}

// ---- A lane -----------------------------------------------------------------------------------------

function drawLane({ canvas, technique, record }, view, loop) {
  const { pen, width, height } = fit(canvas);
  const x = scale(view, width);
  const colour = colours[technique];
  drawSwitches(pen, view, x, height, loop, false);
  drawSaying(pen, record, x, height, technique);
  for (const bar of record.bars) {
    if ((bar.until ?? view.now) >= view.from && bar.at <= view.now) {
      drawBar(pen, bar, view, x, height, colour);
    }
  }
  drawMarks(pen, stretch(record.marks, view.from, view.now), view, x, height, technique);
}

// What the technique does, where nothing else is to be seen yet.
function drawSaying(pen, { bars }, x, height, technique) {
  const words = say(`${technique}Says`);
  pen.font = `14px ${colours.sans}`;
  pen.textAlign = 'left';
  pen.textBaseline = 'middle';
  if (!bars.length || x(bars[0].at) > pen.measureText(words).width + 28) {
    pen.fillStyle = colours.soft;
    pen.fillText(words, 14, height * HEAD);
  }
}

function drawBar(pen, bar, view, x, height, colour) {
  const [top, thick] = [height * HEAD - 9, 18];
  const left = Math.max(-4, x(bar.at));
  const isOpen = bar.until === null || bar.until > view.now;
  const right = Math.max(left + 3, isOpen ? x(view.now) + 4 : x(bar.until) - 1.5);
  const isEmpty = !isOpen && !bar.events;
  pen.globalAlpha = view.pointed === bar ? 0.55 : isEmpty ? 0 : isOpen ? 0.3 : 0.22;
  pen.fillStyle = colour;
  pen.fillRect(left, top, right - left, thick);
  pen.globalAlpha = 1;
  pen.strokeStyle = bar.failed ? colours.ill : colour;
  pen.lineWidth = 1.5;
  if (right - left < 5 && bar.events) {
    pen.fillRect(left, top, right - left, thick);
  } else {
    pen.strokeRect(left, top, right - left, thick);
  }
  if (bar.failed && !isOpen) {
    drawCross(pen, right, top + thick / 2);
  }
}

function drawCross(pen, x, y) {
  pen.lineWidth = 2.5;
  line(pen, x - 5, y - 5, x + 5, y + 5);
  line(pen, x - 5, y + 5, x + 5, y - 5);
}

// Marks that would lie on each other are drawn once; whiskers lead from publication to arrival.
function drawMarks(pen, marks, view, x, height, technique) {
  const y = height * HEAD;
  const foot = height - 11;
  // Many in little room are drawn smaller, so that each can be told from the next.
  const size = Math.max(0.6, Math.min(1, (x(view.now) - x(marks[0]?.at ?? 0)) / marks.length / 14));
  let last = -Infinity;
  pen.lineWidth = 1.5;
  for (const mark of marks) {
    const at = x(mark.at);
    const isPointed = view.pointed !== null && mark.event !== undefined && view.pointed?.event === mark.event;
    if (at - last < 2.5 && !isPointed && !mark.missed) {
      continue;
    }
    last = at;
    if (mark.missed) {
      drawMissed(pen, at, y);
      continue;
    }
    drawWhisker(pen, mark, at, foot, x, colours[technique], isPointed);
    pen.fillStyle = isKept(mark) ? colours.card : colours[technique];
    pen.strokeStyle = isPointed ? colours.ink : isKept(mark) ? colours[technique] : colours.card;
    pen.save();
    const large = isPointed ? 1.25 : size;
    pen.translate(at - 8 * large, y - 8 * large);
    pen.scale(large, large);
    pen.fill(paths[technique]);
    pen.stroke(paths[technique]);
    pen.restore();
  }
}

function drawWhisker(pen, mark, at, foot, x, colour, isPointed) {
  const time = journal.time(mark.event);
  if (time === undefined) {
    return;
  }
  const from = Math.max(-4, x(time));
  pen.strokeStyle = isPointed ? colours.ink : colour;
  if (isKept(mark)) {
    pen.setLineDash([2, 3]);
  }
  line(pen, from, foot, at, foot);
  pen.setLineDash([]);
  line(pen, from, foot - 4, from, foot + 4);
  line(pen, at, foot - 3, at, foot + 3);
}

function drawMissed(pen, x, y) {
  pen.fillStyle = colours.ill;
  pen.beginPath();
  pen.moveTo(x, y - 12);
  pen.lineTo(x + 11, y + 9);
  pen.lineTo(x - 11, y + 9);
  pen.fill();
  pen.fillStyle = colours.card;
  pen.fillRect(x - 1, y - 5, 2, 8);
  pen.fillRect(x - 1, y + 5, 2, 2);
}

// ---- The loop ---------------------------------------------------------------------------------------

// Above, by what the thread waited; below, how many system calls a second, and the turns that were told.
function drawLoop({ canvas, loop }, view) {
  const { pen, width, height } = fit(canvas);
  const x = scale(view, width);
  const base = height - 6;
  const room = height - 30;
  const samples = stretch(loop.samples, view.from - 2_500, view.now);
  const most = Math.max(10, ...samples.map(({ calls }) => calls));
  pen.fillStyle = colours.well;
  pen.globalAlpha = 0.25;
  samples.forEach(({ at, since, calls }) => {
    const tall = room * Math.log1p(calls) / Math.log1p(most);
    pen.fillRect(x(since), base - tall, Math.max(1, x(at) - x(since)), tall);
  });
  pen.globalAlpha = 1;
  drawTurns(pen, stretch(loop.turns, view.from, view.now), x, base);
  drawStretches(pen, loop, view, x, width);
  drawSwitches(pen, view, x, height, loop, false);
}

function drawTurns(pen, turns, x, base) {
  pen.fillStyle = colours.well;
  let last = -Infinity;
  for (const { at, lines, more } of turns) {
    if (x(at) - last >= 2) {
      last = x(at);
      pen.fillRect(last - 0.75, base, 1.5, -8 - 3 * Math.min(12, lines.length + more));
    }
  }
}

function drawStretches(pen, loop, view, x, width) {
  pen.font = `600 12px ${colours.sans}`;
  pen.textBaseline = 'top';
  pen.textAlign = 'left';
  const begins = [{ at: -Infinity, call: loop.switches[0]?.was ?? loop.call }, ...loop.switches];
  begins.forEach(({ at, call }, index) => {
    const [left, right] = [Math.max(0, x(at)), Math.min(width, x(begins[index + 1]?.at ?? Infinity))];
    if (call && right > left) {
      pen.fillStyle = colours.ink;
      pen.globalAlpha = 0.08 + 0.08 * (index % 2);
      pen.fillRect(left, 0, right - left, 20);
      pen.globalAlpha = 1;
      if (right - left > pen.measureText(call).width + 12) {
        pen.fillText(call, left + 6, 4);
      }
    }
  });
}
