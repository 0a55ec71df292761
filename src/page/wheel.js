// The timing wheel, as src/wheel.rs builds it: rings of 64 slots, and on each a hand. A deadline hangs on the ring
// of the first digit, in base 64, in which it differs from the present: so it moves inward as its time comes.

import { find, write } from './dom.js';
import { colourOf, kindOf } from './grid.js';
import { colours, fit } from './timeline.js';
import { count, duration, say } from './words.js';

const SLOTS = 64;
const STILL = matchMedia('(prefers-reduced-motion: reduce)');
/** The rings, from within: how long a slot is, in ticks of a millisecond. */
const RINGS = [1, SLOTS, SLOTS * SLOTS];
const INNER = 0.26; // of the radius
const WIDE = 0.21;

let told = null;
let isMoving = false;

/** Where a deadline hangs: which ring, and which slot. What lies further than the last ring reaches is left out. */
function hang(deadline, now) {
  for (let ring = RINGS.length - 1; ring >= 0; ring--) {
    const [due, present] = [Math.floor(deadline / RINGS[ring]), Math.floor(now / RINGS[ring])];
    if (due !== present) {
      return due - present < SLOTS ? { ring, slot: due % SLOTS } : null;
    }
  }
  return { ring: 0, slot: deadline % SLOTS };
}

/** Shows the timers of an answer of /kernel. */
export function drawWheel(latest) {
  told = latest;
  const { armed, next_ms: next } = latest.timing_wheel;
  const words = armed ? say('wheelSays', { n: count(armed), s: duration(next) }) : say('wheelNone');
  write(find('wheel-says'), words);
  find('wheel').firstElementChild.setAttribute('aria-label', words);
  if (!isMoving) {
    isMoving = true;
    requestAnimationFrame(move);
  }
  if (STILL.matches) {
    draw();
  }
}

let last = 0;
function move(time) {
  requestAnimationFrame(move);
  if (!STILL.matches && time - last > 60 && isInView()) {
    last = time;
    draw();
  }
}

let inView = true;
const isInView = () => inView && !document.hidden;
new IntersectionObserver(([entry]) => {
  inView = entry.isIntersecting;
}).observe(find('wheel'));

function draw() {
  const { pen, width, height } = fit(find('wheel').firstElementChild);
  const radius = Math.min(width, height) / 2 - 4;
  const then = told.timing_wheel.now_ms ?? 0;
  const now = then + (STILL.matches ? 0 : Date.now() - told.at);
  pen.translate(width / 2, height / 2);
  RINGS.forEach((_, ring) => drawRing(pen, ring, radius));
  for (const { ring, slot, kinds } of hung(then, now)) {
    drawSlot(pen, ring, slot, kinds, radius);
  }
  RINGS.forEach((length, ring) => ring > 0 && drawHand(pen, ring, (now / length) % SLOTS, radius));
}

// The slots in use: how many timers of which kind hang there.
function hung(then, now) {
  const slots = new Map();
  for (const fd of told.fds) {
    const place = fd.deadline_ms === undefined ? null : hang(Math.max(now, then + fd.deadline_ms), Math.floor(now));
    if (place) {
      const key = place.ring * SLOTS + place.slot;
      const slot = slots.get(key) ?? { ...place, kinds: new Map() };
      slot.kinds.set(kindOf(fd), (slot.kinds.get(kindOf(fd)) ?? 0) + 1);
      slots.set(key, slot);
    }
  }
  return slots.values();
}

const angle = (slot) => (slot / SLOTS) * 2 * Math.PI - Math.PI / 2;
const inside = (ring, radius) => radius * (INNER + ring * (WIDE + 0.035));

function drawRing(pen, ring, radius) {
  const [from, to] = [inside(ring, radius), inside(ring, radius) + WIDE * radius];
  pen.lineWidth = 1;
  pen.strokeStyle = colours.line;
  for (const edge of [from, to]) {
    pen.beginPath();
    pen.arc(0, 0, edge, 0, 2 * Math.PI);
    pen.stroke();
  }
  for (let slot = 0; slot < SLOTS; slot++) {
    const [x, y] = [Math.cos(angle(slot)), Math.sin(angle(slot))];
    pen.beginPath();
    pen.moveTo(x * from, y * from);
    pen.lineTo(x * to, y * to);
    pen.stroke();
  }
}

// A slot is filled the further the more timers hang there; ten times as many are one step.
function drawSlot(pen, ring, slot, kinds, radius) {
  const from = inside(ring, radius);
  const [first, end] = [angle(slot) + 0.012, angle(slot + 1) - 0.012];
  let inner = from + 1;
  for (const [kind, number] of [...kinds].sort(([, a], [, b]) => b - a)) {
    const tall = (WIDE * radius - 2) * Math.min(1, (1 + Math.log10(number)) / 4);
    const outer = Math.min(from + WIDE * radius - 1, inner + tall);
    pen.fillStyle = colours[colourOf(kind)];
    pen.beginPath();
    pen.arc(0, 0, outer, first, end);
    pen.arc(0, 0, inner, end, first, true);
    pen.fill();
    inner = outer;
  }
}

function drawHand(pen, ring, slot, radius) {
  const [from, to] = [inside(ring, radius) - 2, inside(ring, radius) + WIDE * radius + 2];
  const [x, y] = [Math.cos(angle(slot)), Math.sin(angle(slot))];
  pen.strokeStyle = colours.ink;
  pen.lineWidth = 2.5;
  pen.beginPath();
  pen.moveTo(x * from, y * from);
  pen.lineTo(x * to, y * to);
  pen.stroke();
}
