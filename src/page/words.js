// The page's words, in English and in Korean, switched in place.
//
// An element with data-t="key" shows the word of that key; data-t-label="key" and data-t-title="key" name it for
// those who hear the page, or hover. What is made while the page runs asks for a word by `say`.

const WORDS = {
  lead: [
    'One event, five ways to hear of it. One thread, three ways to wait for it.',
    '이벤트 하나, 소식을 듣는 다섯 가지 방법. 스레드 하나, 기다리는 세 가지 방법.',
  ],
  channel: ['channel', '채널'],
  badChannel: ['This is no channel’s name: that is 1 to 64 of A-Z a-z 0-9 . _ and -.', '채널 이름이 아닙니다. A-Z a-z 0-9 . _ - 로 1~64자여야 합니다.'],
  language: ['한국어', 'English'],
  theme: ['Light or dark', '밝게 / 어둡게'],
  keys: ['Keys', '단축키'],
  keysList: [
    'P publish · S price · Space pause · + − zoom · 1 to 5 lanes · ← → ↑ ↓ on the time axis',
    'P 발행 · S 시세 · Space 멈춤 · + − 확대 · 1~5 레인 · 시간축에서 ← → ↑ ↓',
  ],

  publish: ['Publish', '발행'],
  publishLabel: ['An event', '이벤트'],
  ring: ['Ding-dong!', '딩동!'],
  price: ['A stock price', '주식 시세'],
  perSecond: ['{n} a second', '초당 {n}건'],
  published: [
    'Event {n}. Waiting for it: long polling {long_poll}, streaming {stream}, SSE {sse}, WebSocket {websocket}. Short polling comes for it.',
    '이벤트 {n}. 기다리던 쪽: 롱 폴링 {long_poll}, 스트리밍 {stream}, SSE {sse}, WebSocket {websocket}. 쇼트 폴링은 가지러 옵니다.',
  ],
  pricing: ['Published {n}, {rate} a second.', '{n}건 발행, 초당 {rate}건.'],
  notPublished: ['Not published: {why}', '발행하지 못했습니다: {why}'],
  orCurl: ['or from a shell:', '셸에서는:'],

  axis7: ['How a client learns of news', '클라이언트가 소식을 아는 방법'],
  axisKernel: ['How one thread waits', '스레드 하나가 기다리는 방법'],
  pause: ['Pause', '멈춤'],
  resume: ['Go on', '이어 보기'],
  zoomIn: ['Closer', '확대'],
  zoomOut: ['Wider', '축소'],
  timeAxis: [
    'Time axis. Requests are bars, open while they wait; events are marks; a line leads from publication to arrival. The table of the newest events says the same.',
    '시간축. 요청은 막대이고 기다리는 동안 열려 있습니다. 이벤트는 점이고, 선은 발행에서 도착까지입니다. 최근 이벤트 표에 같은 내용이 있습니다.',
  ],
  legend: [
    'Bar: a request, open while it waits. Hollow: an answer without news. Mark: an event; its line begins where it was published.',
    '막대: 요청, 기다리는 동안 열려 있음. 빈 막대: 소식 없는 응답. 점: 이벤트, 선은 발행 시점에서 시작.',
  ],
  publishedRow: ['Published', '발행'],

  short_poll: ['Short polling', '쇼트 폴링'],
  long_poll: ['Long polling', '롱 폴링'],
  stream: ['HTTP streaming', 'HTTP 스트리밍'],
  sse: ['Server-Sent Events', 'Server-Sent Events'],
  websocket: ['WebSocket', 'WebSocket'],
  http: ['HTTP, between two requests', 'HTTP, 요청 사이'],
  short_pollSays: ['Asks again and again; answered at once, news or none.', '계속 묻습니다. 소식이 있든 없든 바로 답이 옵니다.'],
  long_pollSays: ['Asks; the answer waits for news. Then asks again.', '한 번 묻고, 응답은 소식이 생길 때까지 보류됩니다. 그리고 다시 묻습니다.'],
  streamSays: ['Asks once; the answer never ends. Each event is a line of it.', '한 번 묻고, 응답이 끝나지 않습니다. 이벤트마다 한 줄.'],
  sseSays: ['An endless answer too; the browser reads it and comes back by itself.', '역시 끝나지 않는 응답. 브라우저가 읽고, 끊기면 스스로 다시 붙습니다.'],
  websocketSays: ['Asks once to leave HTTP; then either side speaks when it likes.', '한 번 요청해 HTTP를 떠납니다. 그 뒤로는 양쪽이 아무 때나 말합니다.'],
  every: ['every', '주기'],
  holdFor: ['hold', '보류'],
  cut: ['Cut', '끊기'],
  cutLane: ['Cut the connection of {lane}', '{lane} 연결 끊기'],
  stopReading: ['Stop reading', '읽기 멈춤'],
  readOn: ['Read on', '다시 읽기'],

  requests: ['requests', '요청'],
  empty: ['empty', '빈 응답'],
  events: ['events', '이벤트'],
  header: ['header', '헤더'],
  payload: ['payload', '페이로드'],
  median: ['median', '중앙값'],
  worst: ['worst', '최악'],
  reconnects: ['came back', '재연결'],
  headerTitle: [
    'A page cannot see headers: this is the server’s receipt, of all its clients of this technique since the page opened.',
    '페이지에서는 헤더를 볼 수 없습니다. 서버가 센 값으로, 이 페이지가 열린 뒤 같은 기법을 쓰는 모든 클라이언트의 합입니다.',
  ],
  payloadTitle: ['Bytes of bodies and messages that came to this lane.', '이 레인이 받은 본문과 메시지의 바이트.'],
  latencyTitle: ['From publication to arrival, of the newest 1,000 events.', '발행에서 도착까지, 최근 이벤트 1,000개 기준.'],

  off: ['off', '꺼짐'],
  resting: ['resting', '쉬는 중'],
  connecting: ['connecting', '연결 중'],
  waiting: ['waiting', '대기 중'],
  open: ['open', '열림'],
  'backing off': ['backing off', '재시도 대기'],
  'not reading': ['not reading', '읽지 않음'],
  asksEvery: ['asks every {s}', '{s}마다 묻습니다'],
  isHeld: ['the answer is held back', '응답이 보류되어 있습니다'],
  otherTabAsks: ['another tab asks for both', '다른 탭이 대신 묻고 있습니다'],
  endless: ['the answer has not ended', '응답이 끝나지 않았습니다'],
  bothSpeak: ['both sides may speak', '양쪽 모두 말할 수 있습니다'],
  hidden: ['this tab is hidden', '탭이 가려져 있습니다'],
  crowded: ['two windows listen already; a browser has six connections', '이미 두 창이 듣고 있습니다. 브라우저 연결은 여섯 개뿐입니다'],
  noAnswer: ['no answer in time', '제때 답이 오지 않았습니다'],
  noConnection: ['no connection', '연결되지 않습니다'],
  ended: ['the answer ended', '응답이 끝났습니다'],
  draining: ['the server is going away', '서버가 종료 중입니다'],
  gaveUp: ['the browser gave up; a new one is made', '브라우저가 포기해 새로 만듭니다'],
  browserComesBack: ['the browser comes back by itself', '브라우저가 스스로 다시 연결합니다'],
  closedWith: ['closed with {code} {reason}', '종료 코드 {code} {reason}'],
  wasCut: ['cut', '끊었습니다'],
  failed: ['{message}', '{message}'],
  answered: ['answered {status}. {detail}', '{status} 응답. {detail}'],
  again: ['; again in {s}', ' · {s} 뒤 다시'],
  fellBack: ['{from} does not get through here: listening by {to}.', '{from} 연결이 통하지 않아 {to} 방식으로 듣습니다.'],
  caughtUp: ['back; {n} kept for it', '돌아옴 · 그동안 보관된 {n}개'],
  notReadingSays: ['TCP’s window closes, then the server’s outbox fills', 'TCP 윈도가 닫히고, 서버의 outbox가 찹니다'],
  startedAnew: ['missed: the server was started anew', '놓침: 서버가 새로 시작됐습니다'],
  keptNoLonger: ['missed: kept no longer', '놓침: 더는 보관되지 않습니다'],
  bug: ['{doubles} came twice, {losses} never came: a bug', '두 번 온 것 {doubles}, 오지 않은 것 {losses}: 버그입니다'],

  newest: ['The newest events', '최근 이벤트'],
  newestCaption: ['From publication to arrival.', '발행에서 도착까지.'],
  none: ['None yet: publish one.', '아직 없습니다. 하나 발행해 보세요.'],
  notYet: ['not yet', '아직'],
  keptMark: ['kept', '보관'],

  kernel: ['What the kernel holds meanwhile', '그동안 커널에서는'],
  kernelAsked: ['from GET /kernel, process {pid}', 'GET /kernel 기준, 프로세스 {pid}'],
  kernelSilent: ['GET /kernel is not answered: {why}', 'GET /kernel 응답이 없습니다: {why}'],
  fds: ['File descriptors', '파일 디스크립터'],
  fdsOpen: ['{open} open of {limit}', '{limit}개 중 {open}개 열림'],
  fdsCut: ['The first {n} are drawn.', '앞의 {n}개만 그립니다.'],
  fdsLabel: ['Open file descriptors: {list}', '열린 파일 디스크립터: {list}'],
  onlookers: ['show who only looks at /kernel', '/kernel만 보는 연결도 표시'],
  listener: ['listener', '리스너'],
  epoll: ['epoll', 'epoll'],
  signal: ['signals', '시그널'],
  spare: ['spare', '예비'],
  other: ['other', '기타'],
  crowdKind: ['crowd’s pidfd', '무리의 pidfd'],
  onlooker: ['onlooker', '구경꾼'],
  full: ['waits to write', '쓰기를 기다림'],
  agreeAll: ['{n} watched. What the kernel watches is what the server believes.', '감시 중 {n}개. 커널이 지켜보는 목록과 서버의 기억이 같습니다.'],
  disagree: ['{n} disagree: {list}', '{n}개가 다릅니다: {list}'],
  deadlineIn: ['deadline in {s}', '마감까지 {s}'],

  wheel: ['Timing wheel', '타이밍 휠'],
  wheelSays: ['{n} timers; the next in {s}. So long may the thread sleep.', '타이머 {n}개, 다음은 {s} 뒤. 스레드는 그때까지 잘 수 있습니다.'],
  wheelNone: ['No timer: the thread may sleep for ever.', '타이머 없음: 스레드는 언제까지나 잘 수 있습니다.'],
  wheelRings: ['Outer ring: 4.1 s a slot. Middle: 64 ms. Inner: 1 ms.', '바깥 고리: 칸당 4.1초. 가운데: 64 ms. 안쪽: 1 ms.'],

  calls: ['System calls a second', '초당 시스템 콜'],
  callsSay: ['{calls} calls, {wakeups} wake-ups a second', '초당 시스템 콜 {calls}회, 깨어남 {wakeups}회'],
  callsBare: ['Nothing: the thread sleeps.', '없음: 스레드가 자고 있습니다.'],

  turns: ['The last turns of the loop', '이벤트 루프의 최근 바퀴'],
  turnsSay: ['Only turns in which something else happened than this page’s looking.', '이 페이지가 들여다본 것 말고 다른 일이 있었던 바퀴만 보입니다.'],
  turnsNone: ['The thread sleeps.', '스레드가 자고 있습니다.'],
  turnsAbsent: ['This server tells no turns here; start it with --narrate.', '이 서버는 루프의 바퀴를 알려 주지 않습니다. --narrate로 띄우세요.'],
  slept: ['slept {s}', '{s} 잠'],
  more: ['… {n} more', '… {n}줄 더'],

  mechanism: ['Mechanism', '메커니즘'],
  switched: [
    'Now {now}: {moved} fds moved, {calls}. The lanes noticed nothing: {reconnects} came back, {losses} lost.',
    '이제 {now}: fd {moved}개를 옮김, {calls}. 레인은 눈치채지 못했습니다: 재연결 {reconnects}, 유실 {losses}.',
  ],
  notSwitched: ['Not switched: {why}', '바꾸지 못했습니다: {why}'],

  crowd: ['A crowd', '클라이언트 무리'],
  crowdSays: ['A browser cannot open a thousand connections; doorbell swarm can, beside the server.', '브라우저는 연결 천 개를 열 수 없습니다. 서버 옆에서 doorbell swarm이 대신 엽니다.'],
  clients: ['clients', '클라이언트 수'],
  technique: ['technique', '기법'],
  bringIn: ['Bring them in', '불러오기'],
  letGo: ['Let them go', '내보내기'],
  crowdRoom: ['Room for {n} more.', '{n}개 더 들어올 수 있습니다.'],
  crowdNone: ['No room for a crowd now.', '지금은 무리가 들어올 자리가 없습니다.'],
  crowdHere: ['{n} × {technique}, process {pid}, for {s}.', '{technique} {n}개, 프로세스 {pid}, {s}째.'],
  crowdComing: ['{n} on their way.', '{n}개가 오는 중.'],
  crowdLeaving: ['{n} × {technique} are leaving.', '{technique} {n}개가 나가는 중입니다.'],
  crowdGone: ['They have gone.', '나갔습니다.'],
  crowdAbsent: ['This server brings in no crowd; by hand:', '이 서버는 무리를 불러오지 않습니다. 직접 하려면:'],
  notCrowd: ['Not brought in: {why}', '불러오지 못했습니다: {why}'],

  trouble: ['Trouble on purpose', '일부러 고장 내 보기'],
  troubleCut: ['Cut a lane: it comes back after a pause at random, with its cursor, and hears what was kept for it.', '레인을 끊으면 무작위로 정한 시간만큼 쉬었다가, 커서를 들고 돌아와 보관된 것을 듣습니다.'],
  troubleRead: ['Stop reading: only HTTP streaming can. A page cannot slow an EventSource or a WebSocket: the browser reads them.', '읽기 멈춤은 HTTP 스트리밍만 됩니다. EventSource와 WebSocket은 브라우저가 읽으므로 페이지가 늦출 수 없습니다.'],
  troubleFill: ['Publish 48 × 64 KiB', '64 KiB × 48건 발행'],
  troubleFilled: [
    'Published {n} of {bytes} each. The buffers of browser and kernel fill first (megabytes: press again), then the server’s outbox; past --outbox-limit it lets the lane go.',
    '{bytes}짜리 {n}건 발행. 브라우저와 커널 버퍼가 먼저 차고(수 MB이니 여러 번 누르세요), 그다음 서버의 outbox가 찹니다. --outbox-limit을 넘으면 서버가 레인을 놓아줍니다.',
  ],
  troubleKill: ['Kill the server and start it again:', '서버를 죽이고 다시 시작하기:'],
};

const LANGUAGES = ['en', 'ko'];
let language = 0;
const listeners = [];

/** The language that is spoken. */
export const spoken = () => LANGUAGES[language];

/** The word of a key, with values put in where {name} stands. */
export function say(key, values = {}) {
  const word = WORDS[key]?.[language] ?? key;
  return word.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? '');
}

/** Speaks another language, everywhere. */
export function speak(name) {
  language = Math.max(0, LANGUAGES.indexOf(name));
  document.documentElement.lang = spoken();
  translate(document);
  listeners.forEach((listener) => listener());
}

/** Calls back when another language is spoken. */
export function onSpeak(listener) {
  listeners.push(listener);
}

/** Puts the words into a part of the page. */
export function translate(root) {
  for (const element of root.querySelectorAll('[data-t]')) {
    element.textContent = say(element.dataset.t);
  }
  for (const element of root.querySelectorAll('[data-t-label]')) {
    element.setAttribute('aria-label', say(element.dataset.tLabel));
  }
  for (const element of root.querySelectorAll('[data-t-title]')) {
    element.title = say(element.dataset.tTitle);
  }
}

// ---- Numbers ----------------------------------------------------------------------------------------

/** 1234567 as 1,234,567. */
export const count = (number) => Math.round(number).toLocaleString('en');

/** A duration in milliseconds, in few characters. */
export function duration(ms) {
  const [unit, minutes] = language ? ['초', '분'] : [' s', ' min'];
  if (ms < 1) {
    return language ? '1 ms 미만' : '< 1 ms';
  }
  if (ms < 1_000) {
    return `${Math.round(ms)} ms`;
  }
  if (ms < 120_000) {
    return `${(ms / 1_000).toFixed(ms < 10_000 ? 1 : 0)}${unit}`;
  }
  return `${Math.round(ms / 60_000)}${minutes}`;
}

/** A number of bytes, in few characters. */
export function bytes(number) {
  const units = [['B', 1, 0], ['kB', 1e3, 1e4], ['MB', 1e6, 1e6], ['GB', 1e9, 1e9]];
  const [unit, size] = units.findLast(([, , from]) => number >= from);
  const shown = number / size;
  return `${size === 1 || shown >= 100 ? count(shown) : shown.toFixed(1)} ${unit}`;
}

/** A note of a follower as words. */
export function noteWords(note) {
  if (!note) {
    return '';
  }
  const { key, wait, ms, ...values } = note;
  const words = say(key === 'cut' ? 'wasCut' : key, { s: ms && duration(ms), ...values }).trim();
  return wait === undefined ? words : words + say('again', { s: duration(wait) });
}
