// Tabs of a real browser, for a lab: node tabs.mjs URL MODULES, and then a word or two a line on standard input. Each
// is answered by one line.
//
// tabs N:            closes all tabs and opens so many. A tab is a page of the server's own, so they are of one origin.
// sse, websocket:    lets the next tab follow the server by it, and says as look does.
// look:              "tab K open" or "tab K waits", for the tab that was spoken of last. It is given four seconds.
// other:             lets that tab ask the server by its other name, localhost; "tab K answered" or "tab K waits".
// close:             closes the first tab.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { options } from "./chromium.mjs";

const [url, modules] = process.argv.slice(2);
const { chromium } = createRequire(modules + "/")("playwright-core");
const PATIENCE = 4000;

const browser = await chromium.launch(options);
let context = await browser.newContext();
let tabs = [];
let last = -1;

/** In the tab: opens the connection, and keeps whether it is open. */
function follow([technique, host]) {
  window.following = "waits";
  window.source =
    technique === "websocket" ? new WebSocket(`ws://${host}/ws`) : new EventSource("/connect");
  window.source.onopen = () => (window.following = "open");
}

/** In the tab: asks, and keeps whether there was an answer. It may not read it, for it is another origin's. */
function ask(address) {
  window.asking = "waits";
  fetch(address, { mode: "no-cors" }).then(() => (window.asking = "answered"));
}

/** What has become of what the tab does; it is given a while. */
async function told(doing) {
  const tab = tabs[last];
  const is_over = (doing) => window[doing] !== "waits";
  await tab.waitForFunction(is_over, doing, { timeout: PATIENCE }).catch(() => {});
  return `tab ${last + 1} ${await tab.evaluate((doing) => window[doing], doing)}`;
}

async function start(technique) {
  last += 1;
  await tabs[last].evaluate(follow, [technique, new URL(url).host]);
  return told("following");
}

const words = {
  async tabs(count) {
    await context.close();
    context = await browser.newContext();
    tabs = [];
    last = -1;
    while (tabs.length < Number(count)) {
      tabs.push(await context.newPage());
      await tabs.at(-1).goto(url + "/healthz");
    }
    return `${count} tabs`;
  },
  sse: () => start("sse"),
  websocket: () => start("websocket"),
  look: () => told("following"),
  async other() {
    await tabs[last].evaluate(ask, url.replace("127.0.0.1", "localhost") + "/news");
    return told("asking");
  },
  async close() {
    await tabs[0].close();
    return "tab 1 closed";
  },
};

console.log("ready");
for await (const line of createInterface({ input: process.stdin })) {
  const [word, argument] = line.split(" ");
  console.log(await words[word](argument));
}
await browser.close();
