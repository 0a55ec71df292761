// Publishing: by the box, by a key, and as a stock price, n a second.

import { byteLength, reason, refusal } from './client.js';
import { find, write } from './dom.js';
import { journal } from './record.js';
import { bytes, count, noteWords, onSpeak, say } from './words.js';

const FIRST_PRICE = 52_300;
const SAYS_EVERY = 500; // ms

let channel;
let outcome = () => {}; // writes what came of the last publication, in the language that is spoken

function tell(element, words) {
  outcome = () => write(find(element), words());
  outcome();
}

/** Publishes, and returns what the server answers. */
export async function publish(body, type = 'text/plain;charset=UTF-8') {
  const sent = Date.now();
  const answer = await fetch(`/event?channel=${encodeURIComponent(channel)}`, {
    method: 'POST',
    headers: { 'Content-Type': type },
    body,
    signal: AbortSignal.timeout(10_000),
  });
  if (!answer.ok) {
    throw await refusal(answer);
  }
  const said = await answer.json();
  journal.wasPublished(said.id, sent, Date.now());
  return said;
}

async function tryTo(action) {
  try {
    await action();
    write(find('trouble'), '');
    return true;
  } catch (error) {
    write(find('published'), '');
    tell('trouble', () => say('notPublished', { why: noteWords(reason(error)) }));
    return false;
  }
}

/** Publishes what is in the box. */
export function ring() {
  return tryTo(async () => {
    const { id, delivered } = await publish(find('text').value);
    tell('published', () => say('published', { n: id.split('-')[1], ...delivered }));
  });
}

// ---- The price --------------------------------------------------------------------------------------

let price = FIRST_PRICE;
let published = 0; // since it was begun
let run = 0; // grows when it begins or ends

function nextPrice() {
  const step = 50 * Math.round((Math.random() - 0.5) * 10);
  price = Math.max(1_000, price + step);
  return JSON.stringify({ symbol: 'BELL', price });
}

// One after another: a publication that is late is not overtaken, and the rate is what it comes to.
async function streamPrices() {
  const own = ++run;
  const began = performance.now();
  let [due, said] = [began, 0];
  for (published = 0; run === own;) {
    if (!await tryTo(() => publish(nextPrice(), 'application/json'))) {
      find('price').checked = false;
      return;
    }
    published++;
    const now = performance.now();
    if (now - said > SAYS_EVERY) {
      said = now;
      const rate = (published / Math.max(1, (now - began) / 1_000)).toFixed(1);
      tell('published', () => say('pricing', { n: count(published), rate }));
    }
    due = Math.max(due + 1_000 / find('rate').value, now - 1_000);
    await new Promise((resolve) => setTimeout(resolve, Math.max(0, due - now)));
  }
}

/** Begins or ends the stream of prices. */
export function turnPrice(isOn) {
  find('price').checked = isOn;
  run++;
  if (isOn) {
    streamPrices();
  }
}

// ---- Filling an outbox ------------------------------------------------------------------------------

const BIG = 64 * 1024;
const MANY = 48;

async function fill() {
  const text = `${'0123456789abcdef'.repeat(BIG / 16 - 1)}0123456789abcde\n`;
  find('fill').disabled = true;
  let done = 0;
  await tryTo(async () => {
    for (; done < MANY; done++) {
      await publish(text);
    }
  });
  find('fill').disabled = false;
  const says = () => write(find('filled'), say('troubleFilled', { n: done, bytes: bytes(byteLength(text)) }));
  says();
}

// ---- The start --------------------------------------------------------------------------------------

export function startPublishing(name) {
  channel = name;
  const [text, rate] = [find('text'), find('rate')];
  const url = new URL(`/event?channel=${encodeURIComponent(channel)}`, location.origin);
  const curl = () => write(find('curl'), `curl -d '${say('ring')}' '${url}'`);
  const sayRate = () => {
    write(find('rate-says'), say('perSecond', { n: rate.value }));
    rate.setAttribute('aria-valuetext', find('rate-says').textContent);
  };
  let was = '';
  onSpeak(() => {
    if (text.value === was) {
      was = text.value = say('ring');
    }
    curl();
    sayRate();
    outcome();
  });
  rate.addEventListener('input', sayRate);
  find('price').addEventListener('change', ({ target }) => turnPrice(target.checked));
  find('fill').addEventListener('click', fill);
  find('publish').addEventListener('submit', (submission) => {
    submission.preventDefault();
    ring();
  });
}
