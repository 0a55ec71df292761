// A crowd: doorbell swarm, started beside the server. A browser cannot open so many connections itself.

import { reason, TECHNIQUES } from './client.js';
import { find, make, write } from './dom.js';
import { post } from './kernel.js';
import { count, duration, noteWords, onSpeak, say } from './words.js';

const PATH = '/kernel/crowd';

export class Crowd {
  #kernel;
  #channel;
  #says = () => ''; // what came of the last press
  #isAsking = false;

  constructor(kernel, channel) {
    this.#kernel = kernel;
    this.#channel = channel;
    find('by').replaceChildren(...Object.keys(TECHNIQUES).map((technique) => {
      const option = make('option');
      return Object.assign(option, { value: technique, selected: technique === 'long_poll' });
    }));
    find('crowd').addEventListener('submit', (submission) => {
      submission.preventDefault();
      this.#bringIn();
    });
    find('let-go').addEventListener('click', () => this.#letGo());
    find('clients').addEventListener('input', () => this.#draw());
    kernel.onAnswer.push(() => this.#draw());
    onSpeak(() => this.#draw());
  }

  async #bringIn() {
    const [clients, technique] = [Number(find('clients').value), find('by').value];
    await this.#ask('POST', { technique, clients, channel: this.#channel }, () => say('crowdComing', { n: count(clients) }));
  }

  async #letGo() {
    await this.#ask('DELETE', undefined, () => say('crowdGone'));
  }

  async #ask(method, body, says) {
    this.#isAsking = true;
    this.#draw();
    try {
      await post(PATH, body, method);
      this.#says = says;
    } catch (error) {
      this.#says = () => say('notCrowd', { why: noteWords(reason(error)) });
      this.#isAbsent ||= error.status === 404 && method === 'POST' || error.status === 501;
    }
    this.#isAsking = false;
    this.#draw();
    this.#kernel.hurry();
  }

  #isAbsent = false;
  #draw() {
    for (const option of find('by').options) {
      write(option, say(option.value));
    }
    const { crowd, crowd_room: room, pid, timing_wheel: wheel } = this.#kernel.latest ?? {};
    const isAbsent = this.#isAbsent || (pid !== undefined && room === undefined);
    find('crowd').querySelector('button').disabled = this.#isAsking || Boolean(crowd) || isAbsent;
    find('let-go').disabled = this.#isAsking || !crowd || crowd.leaving;
    find('crowd-hand').hidden = !isAbsent;
    write(find('crowd-hand').firstElementChild, this.#byHand());
    write(find('crowd-says'), isAbsent ? say('crowdAbsent') : this.#words(crowd, room, wheel));
  }

  #words(crowd, room, wheel) {
    this.#notice(crowd);
    const here = crowd && say(crowd.leaving ? 'crowdLeaving' : 'crowdHere', {
      n: count(crowd.clients), technique: say(crowd.technique), pid: crowd.pid, s: duration(wheel.now_ms - crowd.since_ms),
    });
    const fits = room === undefined || crowd ? '' : room ? say('crowdRoom', { n: count(room) }) : say('crowdNone');
    return [here ?? this.#says(), fits].filter(Boolean).join(' ');
  }

  // It may go by itself, too.
  #had = false;
  #notice(crowd) {
    if (this.#had && crowd === null) {
      this.#says = () => say('crowdGone');
    }
    this.#had = Boolean(crowd);
  }

  #byHand() {
    const clients = Number(find('clients').value) || 1_000;
    return `doorbell swarm ${location.origin} --via ${find('by').value} --clients ${clients} --for 5m`;
  }
}
