// An EventSource by the letter of HTML §9.2: node event_source.mjs URL
//
// Prints one JSON object a line for everything that a page would be told, until it is ended.
import http from "node:http";

const MEDIA_TYPE = "text/event-stream";

let lastEventId = "";
let reconnectionTime = 1000;

function tell(object) {
  process.stdout.write(JSON.stringify(object) + "\n");
}

/** §9.2.6: from bytes to events. */
class Interpreter {
  // A UTF-8 decode replaces what is malformed and drops one BOM at the beginning.
  decoder = new TextDecoder("utf-8");
  rest = "";
  // A line has ended in CR: a LF that comes next belongs to it.
  isBehindCr = false;
  data = "";
  type = "";
  id = "";

  take(bytes) {
    this.rest += this.decoder.decode(bytes, { stream: true });
    for (;;) {
      if (this.isBehindCr && this.rest !== "") {
        if (this.rest[0] === "\n") this.rest = this.rest.slice(1);
        this.isBehindCr = false;
      }
      const end = this.rest.search(/[\r\n]/);
      if (end < 0) return;
      const line = this.rest.slice(0, end);
      this.isBehindCr = this.rest[end] === "\r";
      this.rest = this.rest.slice(end + 1);
      this.line(line);
    }
  }

  line(line) {
    if (line === "") return this.dispatch();
    if (line.startsWith(":")) return;
    const colon = line.indexOf(":");
    if (colon < 0) return this.field(line, "");
    const value = line.slice(colon + 1);
    this.field(line.slice(0, colon), value.startsWith(" ") ? value.slice(1) : value);
  }

  field(name, value) {
    if (name === "event") this.type = value;
    if (name === "data") this.data += value + "\n";
    if (name === "id" && !value.includes("\0")) this.id = value;
    if (name === "retry" && /^[0-9]+$/.test(value)) reconnectionTime = Number(value);
  }

  dispatch() {
    lastEventId = this.id;
    const { data, type } = this;
    [this.data, this.type] = ["", ""];
    if (data === "") return;
    // The line feed behind the last line is none of the data.
    tell({ type: type || "message", data: data.slice(0, -1), lastEventId });
  }
}

/** §9.2.3: one connection. An event that the end cuts short is dropped with the interpreter. */
function connect(url) {
  const headers = { Accept: MEDIA_TYPE, "Cache-Control": "no-store" };
  if (lastEventId !== "") headers["Last-Event-ID"] = lastEventId;
  const request = http.get(url, { headers, agent: false }, (response) => {
    const mediaType = (response.headers["content-type"] ?? "").split(";")[0].trim().toLowerCase();
    if (response.statusCode !== 200 || mediaType !== MEDIA_TYPE) {
      tell({ type: "failed", status: response.statusCode, mediaType });
      process.exit(1);
    }
    tell({ type: "open" });
    const interpreter = new Interpreter();
    response.on("data", (bytes) => interpreter.take(bytes));
    response.on("error", () => {});
    response.on("close", () => reestablish(url));
  });
  request.on("error", () => { if (!request.res) reestablish(url); });
}

function reestablish(url) {
  tell({ type: "error" });
  setTimeout(() => connect(url), reconnectionTime);
}

connect(process.argv[2]);
