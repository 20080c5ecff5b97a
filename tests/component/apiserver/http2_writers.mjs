// Sixteen writers over one HTTP/2 session, each making one ConfigMap after the other until it is acknowledged, for as long as
// standard input is open. Says in the end how often each happened: `unanswered` are those that were there already on a retry.
import http2 from "node:http2";

const [, , url, token] = process.argv;
const counts = { created: 0, unanswered: 0, retried: 0, goaway: 0 };
let session = null;
let stopping = false;

function current() {
  if (!session || session.closed || session.destroyed) {
    const made = http2.connect(url, { rejectUnauthorized: false });
    made.on("error", () => {});
    made.on("goaway", () => {
      counts.goaway++;
      if (session === made) session = null;
    });
    session = made;
  }
  return session;
}

function create(name) {
  return new Promise((resolve) => {
    let status = 0;
    let request;
    try {
      request = current().request({
        ":method": "POST", ":path": "/api/v1/namespaces/default/configmaps", authorization: `Bearer ${token}`,
        "content-type": "application/json",
      });
    } catch {
      resolve(0);
      return;
    }
    request.on("response", (headers) => { status = headers[":status"]; });
    request.on("data", () => {});
    request.on("error", () => {});
    request.on("close", () => resolve(status));
    request.end(JSON.stringify({ metadata: { name } }));
  });
}

async function write(writer) {
  for (let number = 0; !stopping; ) {
    const status = await create(`h2-${writer}-${number}`);
    if (status === 201 || status === 409) {
      counts[status === 201 ? "created" : "unanswered"]++;
      number++;
    } else {
      counts.retried++;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}

process.stdin.on("data", () => {});
process.stdin.on("end", () => { stopping = true; });
await Promise.all(Array.from({ length: 16 }, (_, writer) => write(writer)));
console.log(JSON.stringify(counts));
process.exit();
