// Long polling with Node's fetch: node long_poll.mjs URL
//
// Asks again and again, each time from the cursor that it was given last. Prints a line for each
// event, the JSON of its data, until one has the data "end"; and at last how many answers were a
// timeout.
const base = process.argv[2];
let cursor = "start";
let timeouts = 0;

for (let isOver = false; !isOver; ) {
  const response = await fetch(`${base}&since=${cursor}`, { cache: "no-store" });
  if (response.status !== 200) throw new Error(`status ${response.status}: ${await response.text()}`);
  const answer = await response.json();
  if (answer.missed) throw new Error("something was missed");
  if (answer.type === "timeout") timeouts += 1;
  for (const { data } of answer.events) {
    console.log(JSON.stringify(data));
    isOver = data === "end";
  }
  cursor = answer.cursor;
}
console.log(`timeouts: ${timeouts}`);
