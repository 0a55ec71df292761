// The page in a real browser: node page.mjs SCENARIO URL [FOLDER [firefox]]
//
// Prints one JSON object a line for what is to be compared, and waits on standard input where the test has
// something to do to the server.
import { once } from "node:events";
import fs from "node:fs";
import { createRequire } from "node:module";
import net from "node:net";
import path from "node:path";
import { options } from "../../scripts/labs/lib/chromium.mjs";

const load = createRequire(process.env.DOORBELL_NODE_PATH + "/");
const { chromium, _bidiFirefox: firefox } = load("playwright-core");
const [scenario, url, folder, which = "chromium"] = process.argv.slice(2);
const PATIENCE = 30_000;
const TECHNIQUES = ["short_poll", "long_poll", "stream", "sse", "websocket"];
const SCRIPT = "<script>window.rung = 1</script><img src=x onerror='window.rung = 1'>";

function tell(object) {
  process.stdout.write(JSON.stringify(object) + "\n");
}

/** Tells something, and waits until the test has done its part. */
async function handOver(object) {
  tell(object);
  await once(process.stdin, "data");
}

/** Everything that a browser would complain of on its console. */
function complaintsOf(page) {
  const complaints = [];
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) complaints.push(message.text());
  });
  page.on("pageerror", (error) => complaints.push(String(error)));
  return complaints;
}

/** Waits until something is so; what it is last is in the error. */
async function eventually(what, attempt) {
  const deadline = Date.now() + PATIENCE;
  for (;;) {
    const seen = await attempt();
    if (seen === true) return;
    if (Date.now() > deadline) throw new Error(`waited in vain: ${what}: ${JSON.stringify(seen)}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** A tab with the page, in which the lanes listen; it may be told that it is hidden. */
async function openPage(context, at = url) {
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE);
  await page.addInitScript(() => {
    let isHidden = false;
    Object.defineProperty(document, "hidden", { get: () => isHidden });
    window.hide = (value) => {
      isHidden = value;
      document.dispatchEvent(new Event("visibilitychange", { bubbles: true }));
    };
  });
  await page.goto(at);
  return page;
}

const states = (page) => page.$$eval(".lane", (lanes) => lanes.map((lane) => lane.dataset.state));

async function listening(page) {
  await eventually("five lanes that listen", async () => {
    const seen = await states(page);
    return (seen.length === 5 && seen.every((state) => ["open", "waiting"].includes(state))) || seen;
  });
}

/** The figures of a kind, a lane each. */
const figures = (page, kind) => page.$$eval(`.lane .${kind}`, (all) => all.map((one) => Number(one.textContent.replaceAll(",", ""))));

async function heard(page, count) {
  await eventually(`${count} events in each lane`, async () => {
    const seen = await figures(page, "events");
    return seen.every((number) => number === count) || seen;
  });
}

const bugs = (page) => page.$$eval(".lane .bug", (all) => all.map((one) => one.textContent).join(""));

const kernel = async (at = url) => (await fetch(new URL("/kernel?limit=3000", at), { headers: { Connection: "close" } })).json();

/** Publishes from outside the page. */
async function publish(text, at = url) {
  const answer = await fetch(new URL("/event", at), { method: "POST", body: text });
  if (answer.status !== 201) throw new Error(`answered ${answer.status}`);
}

const parked = async () => (await kernel()).fds.filter((fd) => fd.technique === "long_poll" && fd.channel).length;

// ---- The scenarios ----------------------------------------------------------------------------------

/** Each lane hears one event, as text, and counts what the server counts. */
async function lanes(browser) {
  for (const language of ["en", "ko"]) {
    const locale = language === "ko" ? "ko-KR" : "en-US";
    const context = await browser.newContext(which === "firefox" ? {} : { locale });
    const page = await context.newPage();
    page.setDefaultTimeout(PATIENCE);
    const complaints = complaintsOf(page);
    const requests = [];
    page.on("request", (request) => requests.push(new URL(request.url()).host));
    const before = (await kernel()).receipt;
    // Firefox is not told of a locale this way.
    await page.goto(which === "firefox" ? `${url}?lang=${language}` : url);
    await listening(page);
    await page.fill("#text", SCRIPT);
    await page.click("#publish button");
    await heard(page, 1);
    // It would ask on while we compare.
    await page.click("[data-technique=short_poll] .on");
    await countsAgree(page, before);
    const seen = await page.evaluate(() => {
      const texts = (selector) => [...document.querySelectorAll(selector)].map((one) => one.textContent);
      return {
        language: document.documentElement.lang,
        names: texts(".lane .name"),
        published: texts("#newest .data").slice(0, 1),
        trouble: texts(".trouble:not([hidden], noscript *)").filter((text) => text !== ""),
        scripts: document.scripts.length,
        images: document.images.length,
        rung: window.rung ?? null,
      };
    });
    const elsewhere = requests.filter((host) => host !== new URL(url).host);
    tell({ ...seen, complaints, elsewhere });
    await context.close();
  }
}

const headers = (page) => page.$$eval(".lane .header", (all) => all.map((one) => Number(one.dataset.bytes)));
const headerOf = ({ received, sent }) => received.header + sent.header;

/** What the page counts is what the server counts. */
async function countsAgree(page, before) {
  await eventually("the page to count what the server counts", async () => {
    const ours = { requests: await figures(page, "requests"), events: await figures(page, "events"), header: await headers(page) };
    const { receipt } = await kernel();
    const servers = (kind) => TECHNIQUES.map((name) => receipt[name][kind] - before[name][kind]);
    const header = TECHNIQUES.map((name) => headerOf(receipt[name]) - headerOf(before[name]));
    const theirs = { requests: servers("requests"), events: servers("events"), header };
    return JSON.stringify(ours) === JSON.stringify(theirs) || { ours, theirs };
  });
}

/** The switch moves everything, the lanes stay, and what is refused is said. */
async function swap(browser) {
  const page = await openPage(await browser.newContext());
  const complaints = complaintsOf(page);
  await listening(page);
  let published = 0;
  for (const mechanism of ["poll", "select", "epoll"]) {
    await page.check(`input[value=${mechanism}]`);
    await page.waitForFunction((name) => document.querySelector("#switched").textContent.includes(name), `Now ${mechanism}`);
    await publish("after a switch");
    await heard(page, ++published);
    tell({ mechanism: (await kernel()).multiplexer, said: await page.textContent("#switched") });
  }
  await handOver({ type: "full", complaints: complaints.length, bugs: await bugs(page) });
  await page.click("input[value=select]");
  await page.waitForSelector("#switched.is-refused");
  await page.waitForFunction(() => document.querySelector("input[value=epoll]").checked);
  await publish("after a refusal");
  await heard(page, ++published);
  tell({
    mechanism: (await kernel()).multiplexer,
    said: await page.textContent("#switched"),
    reconnects: await figures(page, "reconnects"),
    cells: await page.textContent("#fds-open"),
  });
}

/** A server that is killed and started again; a lane that is cut. */
async function restart(browser) {
  const page = await openPage(await browser.newContext());
  await listening(page);
  await publish("before");
  await heard(page, 1);
  await handOver({ type: "kill" });
  await eventually("five lanes that back off", async () => {
    const seen = await states(page);
    return seen.every((state) => ["backing off", "connecting"].includes(state)) || seen;
  });
  await handOver({ type: "start" });
  await publish("meanwhile");
  await heard(page, 2);
  await listening(page);
  const notes = await page.$$eval(".lane .note", (all) => all.map((one) => one.textContent));
  tell({ type: "back", misses: notes.filter((note) => note.includes("the server was started anew")).length, bugs: await bugs(page) });

  let events = 2;
  for (const name of TECHNIQUES) {
    await page.click(`[data-technique=${name}] .cut`);
    for (let number = 0; number < 3; number++) await publish(`while ${name} is away`);
    await heard(page, events += 3);
    await listening(page);
  }
  tell({ type: "cut", reconnects: await figures(page, "reconnects"), bugs: await bugs(page) });
}

/** The stream is not read until the server lets it go, and read on. */
async function unread(browser) {
  const page = await openPage(await browser.newContext());
  await listening(page);
  // Short polling takes 256 KiB at a time, and would need minutes.
  await page.click("[data-technique=short_poll] .on");
  await page.click("[data-technique=stream] .read");
  await page.waitForSelector("[data-technique=stream][data-state='not reading']");
  const served = async () => (await kernel()).fds.some((fd) => fd.technique === "stream");
  let published = 0;
  for (; published < 100 && await served(); published++) await publish("x".repeat(500_000));
  const unheard = published - (await figures(page, "events"))[2];
  await page.click("[data-technique=stream] .read");
  await eventually("four lanes that have heard all", async () => {
    const seen = await figures(page, "events");
    return seen.slice(1).every((number) => number === published) || seen;
  });
  const reconnects = (await figures(page, "reconnects"))[2];
  tell({ published, unheard, reconnects, bugs: await bugs(page), buttons: await page.$$eval(".read:not([hidden])", (all) => all.length) });
}

/** How many long polls were answered that another took their place. */
function countReplaced(context) {
  const types = [];
  context.on("response", async (response) => {
    if (new URL(response.url()).pathname === "/poll") {
      types.push(await response.json().then(({ type }) => type, () => "cut"));
    }
  });
  return () => {
    if (!types.includes("event")) throw new Error(`no long poll was answered: ${types}`);
    return types.filter((type) => type === "replaced").length;
  };
}

/** Three tabs of one browser do not starve each other, and share one long poll; hidden ones rest. */
async function tabs(browser) {
  const context = await browser.newContext();
  const replaced = countReplaced(context);
  const [first, second] = [await openPage(context), await openPage(context)];
  await listening(first);
  await listening(second);
  const third = await openPage(context);
  const rest = async (page) => eventually("five lanes that rest", async () => {
    const seen = await states(page);
    return seen.every((state) => state === "resting") || seen;
  });
  await rest(third);
  await publish("to two tabs");
  await heard(first, 1);
  await heard(second, 1);
  await eventually("one long poll for all tabs", async () => (await parked()) === 1 || parked());
  const began = Date.now();
  await third.evaluate(() => fetch("/healthz").then((answer) => answer.text()));
  const answered = Date.now() - began;

  await first.evaluate(() => window.hide(true));
  await rest(first);
  await listening(third);
  await publish("to two others");
  await heard(second, 2);
  await heard(third, 1);
  await eventually("one long poll still", async () => (await parked()) === 1 || parked());
  await first.evaluate(() => window.hide(false));
  await second.evaluate(() => window.hide(true));
  await listening(first);
  await heard(first, 2);
  const all = [await bugs(first), await bugs(second), await bugs(third)].join("");
  tell({ answered, bugs: all, replaced: replaced() });
}

/** Where browsers cannot lock, each tab is a client of its own; and a foreign name may not switch. */
async function unlocked(browser) {
  const at = url.replace("127.0.0.1", "lab.test");
  const context = await browser.newContext();
  // Nor does this browser keep anything.
  await context.addInitScript(() => {
    Storage.prototype.getItem = Storage.prototype.setItem = () => {
      throw new DOMException("", "SecurityError");
    };
  });
  const replaced = countReplaced(context);
  const pages = [await openPage(context, at)];
  await listening(pages[0]);
  const locks = await pages[0].evaluate(() => [isSecureContext, "locks" in navigator]);
  // A window that is seen keeps three of the six connections: there is room for two if one lane rests.
  await pages[0].click("[data-technique=sse] .on");
  pages.push(await openPage(context, at));
  await listening(pages[1]);
  await pages[1].click("[data-technique=sse] .on");
  await eventually("a long poll for each tab", async () => (await parked()) === 2 || parked());
  await publish("to both");
  const others = async (page) => (await figures(page, "events")).filter((_, index) => index !== 3);
  for (const page of pages) {
    await eventually("an event in four lanes", async () => {
      const seen = await others(page);
      return seen.every((number) => number === 1) || seen;
    });
  }
  await pages[0].click("input[value=poll]");
  await pages[0].waitForSelector("#switched.is-refused");
  const theme = () => pages[0].evaluate(() => document.documentElement.dataset.theme);
  const themes = [await theme()];
  await pages[0].click("#theme");
  themes.push(await theme());
  tell({ locks, themes, replaced: replaced(), said: await pages[0].textContent("#switched"), bugs: (await bugs(pages[0])) + (await bugs(pages[1])) });
}

/** Something between page and server that cuts whatever is asked for with one of some words. */
async function startProxy(words) {
  const upstream = Number(new URL(url).port);
  const server = net.createServer((client) => {
    const server = net.connect(upstream, "127.0.0.1");
    client.on("data", (bytes) => {
      const head = bytes.toString("latin1");
      if (words.some((word) => head.includes(word))) client.destroy();
      else server.write(bytes);
    });
    server.on("data", (bytes) => client.write(bytes));
    client.on("close", () => server.destroy()).on("error", () => {});
    server.on("close", () => client.destroy()).on("error", () => {});
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return server;
}

/** A proxy that lets no WebSocket through, and one that lets no Server-Sent Events through either. */
async function proxied(browser) {
  for (const words of [["Upgrade: websocket"], ["Upgrade: websocket", "GET /connect"]]) {
    const proxy = await startProxy(words);
    const page = await openPage(await browser.newContext(), `http://127.0.0.1:${proxy.address().port}/`);
    const instead = words.length === 1 ? "sse" : "long_poll";
    await page.waitForSelector(`[data-technique=websocket][data-via=${instead}]`);
    await listening(page);
    const before = await figures(page, "events");
    await publish("around the proxy");
    await eventually("an event in each lane", async () => {
      const seen = await figures(page, "events");
      return seen.every((number, index) => number === before[index] + 1) || seen;
    });
    tell({ instead, note: await page.textContent("[data-technique=websocket] .note"), bugs: await bugs(page) });
    await page.context().close();
    proxy.close();
  }
}

/** By key alone, and as axe sees it; and pictures for a person to look at. */
async function people(browser) {
  const axe = fs.readFileSync(load.resolve("axe-core/axe.min.js"), "utf8");
  for (const [theme, language, width, height] of [
    ["light", "en", 1600, 1000], ["dark", "ko", 1600, 1000], ["dark", "en", 390, 844], ["light", "ko", 390, 844],
  ]) {
    const context = await browser.newContext({
      viewport: { width, height }, colorScheme: theme, locale: language === "ko" ? "ko-KR" : "en-US",
    });
    const page = await openPage(context);
    await listening(page);
    await page.keyboard.press("p");
    await page.keyboard.press("p");
    await eventually("two events", async () => (await figures(page, "events")).every((number) => number === 2));
    await page.waitForFunction(() => document.querySelector("#calls tbody tr"));
    await page.evaluate(axe);
    const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
    const serious = violations.filter(({ impact }) => ["serious", "critical"].includes(impact));
    const wide = await page.evaluate(() => document.documentElement.scrollWidth > innerWidth);
    await page.screenshot({ path: path.join(folder, `page-${theme}-${language}-${width}.png`) });
    await page.evaluate(() => document.querySelector(".kernel").scrollIntoView());
    await page.waitForTimeout(300); // for a picture only
    await page.screenshot({ path: path.join(folder, `kernel-${theme}-${language}-${width}.png`) });
    const found = serious.map(({ id, nodes }) => [id, ...nodes.map(({ target, failureSummary }) => `${target} ${failureSummary}`)]);
    tell({ theme, language, width, found, wide });
    await context.close();
  }
  tell(await byKey(browser));
}

async function byKey(browser) {
  const page = await openPage(await browser.newContext());
  await listening(page);
  // From the top to the box, without a mouse.
  for (let steps = 0; steps < 10; steps++) {
    await page.keyboard.press("Tab");
    if (await page.evaluate(() => document.activeElement.id === "text")) break;
  }
  await page.keyboard.type(" by key p");
  await page.keyboard.press("Enter");
  await heard(page, 1);
  await page.focus("#axis");
  await page.keyboard.press("ArrowLeft");
  const first = await page.textContent("#axis-says");
  await page.keyboard.press("ArrowDown");
  const second = await page.textContent("#axis-says");
  await page.keyboard.press("1");
  await page.waitForSelector("[data-technique=short_poll][data-state=off]");
  await page.keyboard.press("1");
  await page.keyboard.press(" ");
  const isPaused = await page.getAttribute("#pause", "aria-pressed");
  await page.uncheck("#keys");
  await page.focus("#axis");
  await page.keyboard.press(" ");
  const isStillPaused = await page.getAttribute("#pause", "aria-pressed");
  await page.focus("input[name=mechanism]:checked");
  await page.keyboard.press("ArrowLeft");
  await page.waitForFunction(() => document.querySelector("#switched").textContent.includes("poll"));
  const mechanism = (await kernel()).multiplexer;
  return { first, second, isPaused, isStillPaused, mechanism, language: await switchLanguage(page) };
}

async function switchLanguage(page) {
  const before = await page.textContent("#stage-heading");
  await page.click("#language");
  const after = await page.textContent("#stage-heading");
  const isMissing = (all) => all.filter((one) => one.textContent === one.dataset.t).map((one) => one.dataset.t);
  const missing = await page.$$eval("[data-t]", isMissing);
  return { before, after, missing, lang: await page.getAttribute("html", "lang"), state: await states(page) };
}

/** A thousand events in a burst, three times, thousands in all, and two hundred comings and goings. */
async function endurance(browser) {
  const page = await openPage(await browser.newContext());
  await listening(page);
  const socket = await openSocket();
  const burst = async (count) => {
    for (let number = 0; number < count; number++) socket.send(JSON.stringify({ symbol: "BELL", price: number }));
  };
  // A processor that others share may take twice as long for the same task, so the median of three bursts counts.
  let events = 0;
  const longest = [];
  for (let time = 0; time < 3; time++) {
    await browser.startTracing(page, { categories: ["toplevel", "devtools.timeline"] });
    await burst(1_000);
    await heard(page, events += 1_000);
    longest.push(longestTask(JSON.parse(await browser.stopTracing())));
  }
  const session = await page.context().newCDPSession(page);
  await session.send("Performance.enable");
  // What is remembered is full after 2,500 events; from then on nothing may grow.
  const measures = [];
  for (let round = 0; round < 4; round++) {
    for (let part = 0; part < 3; part++) {
      await burst(900);
      await heard(page, events += 900);
    }
    await comeAndGo(page, 50);
    await listening(page);
    measures.push(await measure(session));
  }
  socket.close();
  tell({ longest: longest.sort((one, other) => one - other)[1], measures, bugs: await bugs(page) });
}

/** The longest task of the page's main thread, in ms of processor time: so a busy machine does not count. */
function longestTask({ traceEvents }) {
  const thread = ({ pid, tid }) => `${pid} ${tid}`;
  const named = traceEvents.filter(({ name, args }) => name === "thread_name" && args.name === "CrRendererMain");
  const main = new Set(named.map(thread));
  const tasks = traceEvents.filter((event) => event.name.endsWith("RunTask") && event.tdur && main.has(thread(event)));
  if (tasks.length < 100) throw new Error(`only ${tasks.length} tasks were seen`);
  return Math.max(...tasks.map(({ tdur }) => tdur / 1_000));
}

async function openSocket() {
  const { WebSocket } = load("ws");
  const socket = new WebSocket(url.replace("http", "ws"));
  await once(socket, "open");
  socket.on("message", () => {});
  return socket;
}

// Lanes that are turned off and on, and tabs that are hidden and shown.
async function comeAndGo(page, times) {
  await page.evaluate(async (times) => {
    const soon = () => new Promise((resolve) => setTimeout(resolve, 20));
    for (let time = 0; time < times; time++) {
      window.hide(true);
      await soon();
      window.hide(false);
      await soon();
    }
  }, times);
}

async function measure(session) {
  await session.send("HeapProfiler.collectGarbage");
  const { metrics } = await session.send("Performance.getMetrics");
  const value = (name) => metrics.find((metric) => metric.name === name).value;
  return { heap: value("JSHeapUsedSize"), nodes: value("Nodes"), listeners: value("JSEventListeners") };
}

/** A crowd comes, is seen, hears, and goes. */
async function crowd(browser) {
  const page = await openPage(await browser.newContext({ viewport: { width: 1600, height: 1000 } }));
  await listening(page);
  await page.fill("#clients", "500");
  await page.selectOption("#by", "long_poll");
  await page.click("#crowd button:not([type])");
  const open = () => page.textContent("#fds-open").then((text) => Number(text.split(" ")[0].replaceAll(",", "")));
  await eventually("five hundred more fds", async () => (await open()) > 500 || open());
  await publish("to the crowd");
  await heard(page, 1);
  await page.evaluate(() => document.querySelector(".kernel").scrollIntoView());
  await page.screenshot({ path: path.join(folder, "kernel-crowd.png") });
  const said = await page.textContent("#crowd-says");
  await page.click("#let-go");
  await eventually("the crowd to be gone", async () => (await open()) < 100 || open());
  await page.fill("#clients", "20000");
  await page.click("#crowd button:not([type])");
  await eventually("a refusal", async () => (await page.textContent("#crowd-says")).startsWith("Not brought in") || page.textContent("#crowd-says"));
  tell({ said, refused: await page.textContent("#crowd-says"), bugs: await bugs(page) });
}

// ---- The browser ------------------------------------------------------------------------------------

const launch = {
  chromium: () => chromium.launch({
    ...options,
    args: [...options.args, "--host-resolver-rules=MAP lab.test 127.0.0.1"],
  }),
  firefox: () => firefox.launch({ executablePath: process.env.DOORBELL_FIREFOX ?? "/usr/bin/firefox-esr", headless: true }),
};
const browser = await launch[which]();
try {
  process.stdin.resume();
  await { lanes, swap, restart, unread, tabs, unlocked, proxied, people, endurance, crowd }[scenario](browser);
} finally {
  await browser.close();
}
process.exit(0);
