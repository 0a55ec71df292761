// A real browser: node browser.mjs (page|follow) URL
//
// page: opens the page, publishes by its form, and prints as one JSON object what is to be seen.
// follow: opens a plain page of the same origin and makes an EventSource there; prints one JSON object
// a line for everything that the page is told, until standard input ends.
import { once } from "node:events";
import { createRequire } from "node:module";

const { chromium } = createRequire(process.env.DOORBELL_NODE_PATH + "/")("playwright-core");
const [scenario, url] = process.argv.slice(2);
const PATIENCE = 20_000;
const SCRIPT = "<script>window.rung = 1</script><img src=x onerror='window.rung = 1'>";

function tell(object) {
  process.stdout.write(JSON.stringify(object) + "\n");
}

/** Everything that a browser would complain of on its console. */
function complaintsOf(page) {
  const complaints = [];
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) complaints.push(message.text());
  });
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("requestfailed", (request) => complaints.push(`${request.url()}: ${request.failure().errorText}`));
  return complaints;
}

async function page(page) {
  const complaints = complaintsOf(page);
  await page.goto(url);
  await page.waitForFunction(() => {
    const states = [...document.querySelectorAll(".lane")].map((lane) => lane.dataset.state);
    return states.length === 5 && states.every((state) => ["open", "waiting"].includes(state));
  });
  tell({ type: "listening" });
  await once(process.stdin, "data");
  await page.fill("#text", SCRIPT);
  await page.click("#publish button");
  await page.waitForFunction(() => {
    const counts = [...document.querySelectorAll(".lane .events")].map((count) => count.textContent);
    return counts.every((count) => count === "1");
  });
  const seen = await page.evaluate(() => {
    const texts = (selector) => [...document.querySelectorAll(selector)].map((one) => one.textContent);
    return {
      names: texts(".lane .name"),
      data: texts(".lane .data"),
      newest: texts("#newest"),
      trouble: texts(".trouble:not(noscript *)").filter((text) => text !== ""),
      scripts: document.scripts.length,
      images: document.images.length,
      rung: window.rung ?? null,
    };
  });
  tell({ ...seen, published: SCRIPT, complaints });
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

const browser = await chromium.launch({
  executablePath: process.env.DOORBELL_CHROMIUM ?? "/usr/bin/chromium",
  headless: true,
  args: [
    // It may be root who runs it, and it visits nobody but us.
    "--no-sandbox", "--no-proxy-server", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
  ],
});
try {
  process.stdin.resume();
  const tab = await browser.newPage();
  tab.setDefaultTimeout(PATIENCE);
  await { page, follow }[scenario](tab);
} finally {
  await browser.close();
}
