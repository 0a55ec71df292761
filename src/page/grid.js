// The fds of the server's process as a grid: one cell for each open fd, in the order of their numbers.

import { find, shape, write } from './dom.js';
import { colours, fit, paths, SHAPES, sizeOf } from './timeline.js';
import { duration, say } from './words.js';

/** What an fd can be, in the order of the legend. */
export const KINDS = [
  'long_poll', 'stream', 'sse', 'websocket', 'short_poll', 'http', 'onlooker',
  'listener', 'epoll', 'signal', 'spare', 'crowd', 'other',
];

/** The word of a kind. */
export const wordOf = (kind) => say(kind === 'crowd' ? 'crowdKind' : kind);

/** The name of a kind's colour. */
export const colourOf = (kind) => (SHAPES[kind] ? kind : kind === 'onlooker' ? 'http' : 'ink');

/** The shape of a kind, for the legend. */
export const iconOf = (kind) => shape(colourOf(kind), SHAPES[kind] ?? OTHERS[kind] ?? OTHERS.other);

/** The shapes of what is no connection, and of an onlooker. */
const OTHERS = {
  onlooker: 'M3 3h10v10h-10zM5 5v6h6v-6z',
  listener: 'M2 3h12v3h-12zM2 10h12v3h-12z',
  epoll: 'M3 2h10v2.5h-10zM3 6.8h10v2.5h-10zM3 11.5h10v2.5h-10z',
  signal: 'M9 1l-6 8h4l-1 6l6-8h-4z',
  spare: 'M2 2h12v12h-12zM3.5 3.5v9h9v-9z',
  crowd: 'M2 14v-5h3v5zM6.5 14v-11h3v11zM11 14v-7h3v7z',
  other: 'M6 6h4v4h-4z',
  full: 'M1 1h14v14h-14zM3 3v10h10v-10z',
};
const others = Object.fromEntries(Object.entries(OTHERS).map(([name, path]) => [name, new Path2D(path)]));

/** Which of KINDS an fd is. */
export function kindOf({ kind, technique, onlooker }) {
  if (onlooker) {
    return 'onlooker';
  }
  const name = kind === 'connection' ? technique : kind;
  return KINDS.includes(name) ? name : 'other';
}

/** Whether the server waits until it may write: its outbox is not empty, and the kernel takes no more. */
export function isFull({ interest = [] }) {
  return interest.some((event) => event.endsWith('OUT') || event === 'writefds');
}

/** An fd in words. */
export function fdWords({ fd, kind, technique, onlooker, peer, channel, target, interest, watched, ...rest }) {
  const what = wordOf(kindOf({ kind, technique, onlooker }));
  const parts = [`fd ${fd}`, what, peer, channel && `${say('channel')} ${channel}`, target];
  if (watched) {
    const [ours, kernels] = [interest ?? [], watched].map((events) => events.join('|') || '∅');
    parts.push(ours === kernels ? kernels : `${ours} ≠ ${kernels}`);
  }
  if (rest.deadline_ms !== undefined) {
    parts.push(say('deadlineIn', { s: duration(rest.deadline_ms) }));
  }
  return parts.filter(Boolean).join(' · ');
}

/** Up to how many fds a cell is how large, in px. */
const SIZES = [[30, 38], [60, 30], [150, 22], [400, 16], [1_200, 12], [Infinity, 8]];

let shown = []; // the fds of the grid
let columns = 1;
let size = 18;
let pointed = -1;

/** Draws the grid. Its cells shrink as they become many. */
export function drawGrid(fds = shown) {
  shown = fds;
  const grid = find('grid');
  const { width } = sizeOf(grid);
  if (!width) {
    return;
  }
  size = SIZES.find(([most]) => fds.length <= most)[1];
  columns = Math.max(1, Math.floor(width / size));
  grid.style.blockSize = `${Math.max(1, Math.ceil(fds.length / columns)) * size}px`;
  const { pen } = fit(grid.firstElementChild);
  fds.forEach((fd, index) => drawCell(pen, fd, (index % columns) * size, Math.floor(index / columns) * size, index));
}

function drawCell(pen, fd, x, y, index) {
  const kind = kindOf(fd);
  pen.save();
  pen.translate(x + 0.5, y + 0.5);
  pen.scale((size - 1) / 16, (size - 1) / 16);
  pen.fillStyle = colours[colourOf(kind)];
  pen.fill(paths[kind] ?? others[kind] ?? others.other, 'evenodd');
  if (fd.agree === false || index === pointed || isFull(fd)) {
    pen.strokeStyle = fd.agree === false ? colours.ill : colours.ink;
    pen.lineWidth = 2;
    pen.strokeRect(1, 1, 14, 14);
  }
  pen.restore();
}

function point(index) {
  pointed = index;
  write(find('grid-says'), shown[index] ? fdWords(shown[index]) : '');
  drawGrid();
}

/** Lets the grid be hovered, and walked through by key. */
export function startGrid() {
  const grid = find('grid');
  grid.addEventListener('pointermove', ({ offsetX, offsetY }) => {
    point(Math.floor(offsetY / size) * columns + Math.floor(offsetX / size));
  });
  grid.addEventListener('pointerleave', () => point(-1));
  grid.addEventListener('keydown', (press) => {
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[press.key];
    if (step) {
      press.preventDefault();
      find('grid-says').setAttribute('aria-live', 'polite');
      point(Math.max(0, Math.min(shown.length - 1, pointed < 0 ? 0 : pointed + step)));
    }
  });
  grid.addEventListener('blur', () => point(-1));
  new ResizeObserver(() => drawGrid()).observe(grid);
}
