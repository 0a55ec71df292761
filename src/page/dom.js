// Small things that every part of the page needs. All text is put in as textContent, never as HTML.

export const find = (id) => document.getElementById(id);

/** Writes a text where it is another one. */
export function write(element, text) {
  if (element.textContent !== String(text)) {
    element.textContent = text;
  }
}

/** Makes an element with a class and a text. */
export function make(name, className = '', text = '') {
  const element = document.createElement(name);
  element.className = className;
  element.textContent = text;
  return element;
}

/** Makes the shape of a technique, in its colour. */
export function shape(name, path) {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  svg.setAttribute('viewBox', '0 0 16 16');
  svg.setAttribute('aria-hidden', 'true');
  svg.style.fill = `var(--${name})`;
  const inner = document.createElementNS('http://www.w3.org/2000/svg', 'path');
  inner.setAttribute('d', path);
  svg.append(inner);
  return svg;
}

const draws = []; // the functions that bring a part of the page up to date
const WORDS_EVERY = 150; // ms; figures that change faster cannot be read
let isDrawing = false;
let last = 0;

/** Registers what brings a part of the page up to date. */
export function onDraw(draw) {
  draws.push(draw);
  redraw();
}

/** Brings the page up to date soon, once for all that happens until then. */
export function redraw() {
  if (!isDrawing) {
    isDrawing = true;
    setTimeout(drawAll, Math.max(0, last + WORDS_EVERY - Date.now()));
  }
}

function drawAll() {
  isDrawing = false;
  last = Date.now();
  draws.forEach((draw) => draw());
}
