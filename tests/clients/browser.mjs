// A real browser's EventSource: node browser.mjs URL
//
// Opens a plain page of the same origin and makes an EventSource there; prints one JSON object a line for
// everything that the page is told, until standard input ends.
import { once } from "node:events";
import { createRequire } from "node:module";
import { options } from "../../scripts/labs/lib/chromium.mjs";

const { chromium } = createRequire(process.env.DOORBELL_NODE_PATH + "/")("playwright-core");
const [url] = process.argv.slice(2);
const PATIENCE = 20_000;

function tell(object) {
  process.stdout.write(JSON.stringify(object) + "\n");
}

async function follow(page) {
  await page.goto(new URL("/healthz", url).href);
  await page.exposeFunction("tell", tell);
  await page.evaluate((url) => {
    const source = new EventSource(url);
    const pass = ({ type, data, lastEventId }) => window.tell({ type, data, lastEventId });
    source.onopen = () => window.tell({ type: "open" });
    source.onerror = () => window.tell({ type: "error", state: source.readyState });
    source.onmessage = pass;
    source.addEventListener("missed", pass);
  }, url);
  await once(process.stdin, "end");
}

const browser = await chromium.launch(options);
try {
  process.stdin.resume();
  const tab = await browser.newPage();
  tab.setDefaultTimeout(PATIENCE);
  await follow(tab);
} finally {
  await browser.close();
}
