// The page of doorbell: five clients of one channel on one time axis, and what the kernel holds meanwhile.
//
// A reading order: client.js (how a client behaves), record.js (what is noted of it), lanes.js and timeline.js (how it
// is shown), kernel.js with grid.js and wheel.js (the other axis), publish.js, crowd.js, words.js.

import { pause } from './client.js';
import { Crowd } from './crowd.js';
import { find, redraw, write } from './dom.js';
import { drawGrid, startGrid } from './grid.js';
import { Kernel, turnWords } from './kernel.js';
import { arrival, Lanes } from './lanes.js';
import { ring, startPublishing, turnPrice } from './publish.js';
import { takeSeat } from './seat.js';
import { colours, Timeline } from './timeline.js';
import { bytes, duration, onSpeak, say, speak, spoken } from './words.js';

const CHANNEL = new URLSearchParams(location.search).get('channel') ?? 'lobby';
const CHANNEL_NAME = /^[A-Za-z0-9._-]{1,64}$/;
const LONGEST_BEGINNING = 2_000; // ms until the lanes listen, whether or not /kernel was answered

// ---- Language and light -----------------------------------------------------------------------------

// What was chosen, kept where the browser lets us; else it is chosen for this time.
const memory = {
  chosen: {},
  get(name) {
    try {
      return localStorage.getItem(`doorbell ${name}`);
    } catch {
      return this.chosen[name] ?? null;
    }
  },
  set(name, value) {
    this.chosen[name] = value;
    try {
      localStorage.setItem(`doorbell ${name}`, value);
    } catch { /* See above. */ }
  },
};

function startLanguage() {
  find('language').addEventListener('click', () => {
    speak(spoken() === 'en' ? 'ko' : 'en');
    memory.set('language', spoken());
  });
  const asked = new URLSearchParams(location.search).get('lang');
  onSpeak(() => {
    find('language').lang = spoken() === 'en' ? 'ko' : 'en';
  });
  speak(asked ?? memory.get('language') ?? navigator.language.slice(0, 2));
}

function startTheme() {
  const prefersDark = matchMedia('(prefers-color-scheme: dark)');
  const show = () => {
    document.documentElement.dataset.theme = memory.get('theme') ?? (prefersDark.matches ? 'dark' : 'light');
    colours.read();
    drawGrid();
    redraw();
  };
  prefersDark.addEventListener('change', show);
  find('theme').addEventListener('click', () => {
    memory.set('theme', document.documentElement.dataset.theme === 'dark' ? 'light' : 'dark');
    show();
  });
  show();
}

// ---- The time axis ----------------------------------------------------------------------------------

function startAxis() {
  const show = () => {
    write(find('pause'), say(timeline.isPaused ? 'resume' : 'pause'));
    find('pause').setAttribute('aria-pressed', timeline.isPaused);
    write(find('span'), duration(timeline.span));
  };
  const timeline = new Timeline({ axis: find('axis').querySelector('canvas'), changed: show });
  find('pause').addEventListener('click', () => timeline.pause(!timeline.isPaused));
  find('wider').addEventListener('click', () => timeline.zoom(1));
  find('closer').addEventListener('click', () => timeline.zoom(-1));
  onSpeak(show);
  return timeline;
}

// What a bar or a mark is, in words.
function tell({ bar, mark }, lane) {
  const tip = find('tip');
  const [head, body, code] = ['b', 'span', 'code'].map((name) => document.createElement(name));
  if (mark?.event) {
    const { event } = mark;
    head.textContent = `${say(lane.technique)}: ${arrival(mark, lane.record)}`;
    body.textContent = `${event.id} · ${say('payload')} ${bytes(event.bytes)}`;
    code.textContent = event.text;
  } else if (mark) {
    head.textContent = say(mark.missed);
  } else {
    const how = bar.until === null ? say('open') : bar.failed ? say('noConnection') : bar.type;
    head.textContent = `GET ${bar.path}${how && ` · ${how}`}`;
    body.textContent = [
      duration((bar.until ?? Date.now()) - bar.at),
      `${say('events')} ${bar.events}`,
      `${say('payload')} ${bar.bytes.toLocaleString('en')} B`,
    ].join(' · ');
    code.textContent = bar.text;
  }
  tip.replaceChildren(head, body, code);
  return `${head.textContent}. ${body.textContent}. ${code.textContent}`;
}

function tellTurn(turn) {
  const [head, code] = ['b', 'code'].map((name) => document.createElement(name));
  head.textContent = turnWords(turn);
  code.textContent = turn.lines.slice(0, 6).map(({ call, why }) => (why ? `${call}\n    ${why}` : call)).join('\n');
  find('tip').replaceChildren(head, code);
}

function placeTip(x, y) {
  const tip = find('tip');
  tip.hidden = false;
  const { width, height } = tip.getBoundingClientRect();
  tip.style.left = `${Math.max(8, Math.min(innerWidth - width - 8, x + 14))}px`;
  tip.style.top = `${y + 18 + height > innerHeight ? y - height - 12 : y + 18}px`;
}

function startHovering(timeline, lanes) {
  const hover = (strip, look) => {
    strip.addEventListener('pointermove', ({ offsetX, clientX, clientY }) => {
      const found = look(offsetX, strip.clientWidth);
      find('tip').hidden = !found;
      if (found) {
        placeTip(clientX, clientY);
      }
    });
    strip.addEventListener('pointerleave', () => {
      timeline.point(null);
      find('tip').hidden = true;
    });
  };
  for (const lane of lanes.all) {
    hover(lane.part('.strip'), (x, width) => {
      const found = timeline.near(lane.record, x, width);
      timeline.point(found?.mark ?? found?.bar ?? null);
      return found && tell(found, lane);
    });
  }
  hover(find('loop').querySelector('.strip'), (x, width) => {
    const turn = timeline.nearTurn(x, width);
    if (turn) {
      tellTurn(turn);
    }
    return turn;
  });
}

// By key: left and right go from event to event of a lane, up and down from lane to lane.
function startWalking(timeline, lanes) {
  let [index, mark] = [0, null];
  find('axis').addEventListener('keydown', (press) => {
    const [aside, down] = [{ ArrowLeft: -1, ArrowRight: 1 }[press.key], { ArrowUp: -1, ArrowDown: 1 }[press.key]];
    if (!aside && !down) {
      return;
    }
    press.preventDefault();
    index = (index + (down ?? 0) + lanes.all.length) % lanes.all.length;
    const lane = lanes.all[index];
    mark = down ? mark && mark.event.arrivals.get(lane.record) : timeline.next(lane.record, mark?.at, aside > 0) ?? mark;
    mark ??= timeline.next(lane.record, undefined, false);
    timeline.point(mark ?? null);
    write(find('axis-says'), mark ? tell({ mark }, lane) : say('none'));
  });
  find('axis').addEventListener('blur', () => timeline.point(null));
}

// ---- Keys -------------------------------------------------------------------------------------------

function startKeys(timeline, lanes) {
  const actions = {
    p: ring,
    s: () => turnPrice(!find('price').checked),
    ' ': () => timeline.pause(!timeline.isPaused),
    '+': () => timeline.zoom(-1),
    '=': () => timeline.zoom(-1),
    '-': () => timeline.zoom(1),
  };
  lanes.all.forEach((lane, index) => {
    actions[index + 1] = () => lanes.want(lane, !lane.isWanted);
  });
  addEventListener('keydown', (press) => {
    const { key, target, ctrlKey, metaKey, altKey } = press;
    const isTaken = target.closest('input, select, textarea') || (key === ' ' && target.closest('button, label'));
    const action = actions[key.toLowerCase()];
    if (action && find('keys').checked && !isTaken && !ctrlKey && !metaKey && !altKey) {
      press.preventDefault();
      action();
    }
  });
}

// ---- The start --------------------------------------------------------------------------------------

// A hidden tab needs no news, and a browser has few connections.
function startResting(lanes, kernel) {
  let seat = null;
  const turn = async () => {
    seat?.leave();
    const own = seat = { leave() {} };
    kernel.see(!document.hidden);
    if (document.hidden) {
      return lanes.turn({ key: 'hidden' });
    }
    // What the lanes cost is counted from before their first request.
    await Promise.race([kernel.asked, pause(LONGEST_BEGINNING)]);
    if (seat === own) {
      seat = takeSeat((has) => lanes.turn(has ? null : { key: 'crowded' }));
    }
  };
  addEventListener('visibilitychange', turn);
  turn();
}

function showCommands(kernel) {
  const show = () => {
    const pid = kernel.latest?.pid ?? '…';
    write(find('kill'), `kill -9 ${pid}; doorbell serve --listen ${location.host}`);
  };
  kernel.onAnswer.push(show);
  show();
}

function start() {
  const timeline = startAxis();
  const lanes = new Lanes(CHANNEL, timeline);
  const kernel = new Kernel(lanes);
  timeline.addLoop(find('loop').querySelector('canvas'), kernel);
  new Crowd(kernel, CHANNEL);
  startGrid();
  startPublishing(CHANNEL);
  startHovering(timeline, lanes);
  startWalking(timeline, lanes);
  startKeys(timeline, lanes);
  showCommands(kernel);
  startTheme();
  startLanguage();
  startResting(lanes, kernel);
}

write(find('channel'), CHANNEL);
document.title = `doorbell: ${CHANNEL}`;
if (CHANNEL_NAME.test(CHANNEL)) {
  start();
} else {
  document.querySelectorAll('main, footer').forEach((part) => {
    part.hidden = true;
  });
  find('bad-channel').hidden = false;
  startTheme();
  startLanguage();
}
