// Node's ws on a server's WebSocket: node websocket.mjs (converse|echo) URL
//
// Ends with status 0 if everything went as RFC 6455 and the server's own words promise.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createRequire } from "node:module";

const { WebSocket } = createRequire(process.env.DOORBELL_NODE_PATH + "/")("ws");
const [scenario, url] = process.argv.slice(2);

/** A WebSocket whose messages are taken one by one: [data, whether it was binary]. */
function open(url) {
  const socket = new WebSocket(url);
  const came = [];
  let wake = () => {};
  socket.on("message", (data, isBinary) => { came.push([data, isBinary]); wake(); });
  socket.next = async () => {
    while (came.length === 0) await new Promise((resolve) => { wake = resolve; });
    return came.shift();
  };
  return socket;
}

async function nextObject(socket) {
  const [data, isBinary] = await socket.next();
  assert.equal(isBinary, false);
  return JSON.parse(data.toString());
}

async function publishAndHear(socket, text) {
  socket.send(text);
  const { type, id, time, data } = await nextObject(socket);
  assert.deepEqual([type, data], ["event", text]);
  assert.ok(!Number.isNaN(Date.parse(time)), time);
  return id;
}

async function converse(socket) {
  const { type, cursor, missed } = await nextObject(socket);
  assert.deepEqual([type, missed], ["welcome", false]);
  const epoch = cursor.split("-")[0];
  assert.equal(await publishAndHear(socket, "hello"), `${epoch}-1`);
  assert.equal(await publishAndHear(socket, "안녕하세요"), `${epoch}-2`);

  socket.ping("are you there?");
  const [pong] = await once(socket, "pong");
  assert.equal(pong.toString(), "are you there?");

  // The server asks too, and ws answers by itself: it would not be asked twice otherwise.
  for (let pings = 0; pings < 2; pings += 1) await once(socket, "ping");
  assert.equal(await publishAndHear(socket, "still there"), `${epoch}-3`);
}

async function echo(socket) {
  for (const size of [0, 1, 20, 125, 126, 1000, 65535, 65536, 1 << 20]) {
    // Three bytes a letter, and what is left over in letters of one byte.
    const text = "벨".repeat(Math.floor(size / 3)) + "x".repeat(size % 3);
    socket.send(text);
    const [asText, isBinary] = await socket.next();
    assert.equal(isBinary, false);
    assert.ok(asText.toString() === text, `a text of ${size} bytes`);

    const bytes = Buffer.from(Array.from({ length: size }, (_, at) => (at * 7) % 256));
    socket.send(bytes);
    const [asBytes, wasBinary] = await socket.next();
    assert.equal(wasBinary, true);
    assert.ok(asBytes.equals(bytes), `${size} bytes`);
  }
}

const socket = open(url);
await once(socket, "open");
await ({ converse, echo })[scenario](socket);
socket.close(1000, "enough");
const [code] = await once(socket, "close");
assert.equal(code, 1000);
console.log(`closed with 1000${socket.extensions && `, ${socket.extensions}`}`);
