// A layer of faults and counts in front of any node:http request handler. Test equipment.
//
// A fault belongs to one exact path, or with a * at its end to all that begin so, and is one of:
//   status  answers with `status`, `headers` and a small text body
//   slow    waits `delay_ms`, then lets the real handler answer
//   database  waits for one of `connections` connections and holds it for `hold_ms`, then lets the real handler answer:
//           what comes faster than connections / hold_ms queues up, in the order in which it came
//   hang    never answers, the connection stays open
//   reset   closes the connection with a TCP reset
//   cut     promises 1,000 bytes of JSON, sends the first few, closes
//   garbage 200 and application/json, but the body is no JSON
//   empty   200 and application/json with an empty body
//   trailers  200 with a token and, after it, a trailer
//   huge    200 and application/json with `bytes` (default 8 MiB) of well-formed JSON
//   html    200 and text/html, as a captive portal or an error page of a proxy answers
// `client` bounds it to requests with that client id in their Basic credentials.
// `times` bounds how many requests meet the fault (default: all until it is cleared).

const sleep = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

export class Faults {
  #faults = new Map();
  #counts = new Map();
  #open = new Map();
  #seconds = new Map();

  set(path, fault) {
    if (!fault || fault.kind === 'none') this.#faults.delete(path);
    else this.#faults.set(path, { times: Infinity, ...fault, database: new Database(fault) });
  }

  clear() { this.#faults.clear(); }

  /** Requests per path since the last reset, the most that were open at one time, and the last one's headers. */
  counts() {
    return Object.fromEntries(this.#counts);
  }

  /** Requests per path and second since the last reset: {"/jwks": {"1700000000": 3}}. */
  rates() {
    return Object.fromEntries([...this.#seconds].map(([path, seconds]) => [path, Object.fromEntries(seconds)]));
  }

  resetCounts() {
    this.#counts.clear();
    this.#seconds.clear();
  }

  /** Wraps `handler(req, res)`; counts every request, the failed ones too. */
  wrap(handler) {
    return async (req, res) => {
      const path = req.url.split('?', 1)[0];
      this.#count(path, req, res);
      const fault = this.#take(path, req);
      if (!fault) return handler(req, res);
      return this.#play(fault, req, res, handler);
    };
  }

  #count(path, req, res) {
    const entry = this.#counts.get(path) ?? { requests: 0, open_max: 0 };
    const open = (this.#open.get(path) ?? 0) + 1;
    this.#open.set(path, open);
    entry.requests += 1;
    entry.open_max = Math.max(entry.open_max, open);
    entry.headers = req.headers;
    this.#counts.set(path, entry);
    if (!this.#seconds.has(path)) this.#seconds.set(path, new Map());
    const seconds = this.#seconds.get(path);
    const now = Math.floor(Date.now() / 1000);
    seconds.set(now, (seconds.get(now) ?? 0) + 1);
    res.once('close', () => this.#open.set(path, this.#open.get(path) - 1));
  }

  #take(path, req) {
    const of = (name) => name === path || (name.endsWith('*') && path.startsWith(name.slice(0, -1)));
    const [name, fault] = [...this.#faults].find(([name]) => of(name)) ?? [];
    if (!fault || (fault.client && clientOf(req) !== fault.client)) return undefined;
    fault.times -= 1;
    if (fault.times <= 0) this.#faults.delete(name);
    return fault;
  }

  async #play(fault, req, res, handler) {
    const json = { 'content-type': 'application/json' };
    if (fault.delay_ms) await sleep(fault.delay_ms);
    switch (fault.kind) {
      case 'status':
        req.resume();
        res.writeHead(fault.status ?? 500, { 'content-type': 'text/plain', ...fault.headers }).end('deliberate failure');
        return;
      case 'slow':
        await handler(req, res);
        return;
      case 'database':
        await fault.database.use();
        await handler(req, res);
        return;
      case 'hang':
        req.resume();
        return;
      case 'reset':
        req.socket.resetAndDestroy();
        return;
      case 'cut':
        res.writeHead(200, { ...json, 'content-length': '1000' });
        res.write('{"access_token":"cut');
        await sleep(20);
        req.socket.destroy();
        return;
      case 'garbage':
        req.resume();
        res.writeHead(200, json).end(Buffer.from([0x7b, 0x22, 0xff, 0xfe, 0x00, 0x7d, 0x7d, 0x0a]));
        return;
      case 'empty':
        req.resume();
        res.writeHead(200, { ...json, 'content-length': '0' }).end();
        return;
      case 'huge':
        req.resume();
        res.writeHead(200, json).end(`{"padding":"${'x'.repeat(fault.bytes ?? 8 * 1024 * 1024)}"}`);
        return;
      case 'trailers':
        req.resume();
        res.writeHead(200, { ...json, trailer: 'x-trailer' });
        res.write('{"access_token":"trailed","token_type":"Bearer","expires_in":3600}');
        res.addTrailers({ 'x-trailer': '1' });
        res.end();
        return;
      case 'html':
        req.resume();
        res.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html><title>Sign in</title><p>Please sign in.</p>');
        return;
      default:
        res.writeHead(500).end(`no such fault: ${fault.kind}`);
    }
  }
}

/** A pool of connections, each of which is busy for a while with what it is used for. */
class Database {
  #free;
  #holdMs;
  #queue = [];

  constructor({ connections = 1, hold_ms: holdMs = 0 }) {
    this.#free = connections;
    this.#holdMs = holdMs;
  }

  async use() {
    if (this.#free > 0) this.#free -= 1;
    else await new Promise((resolve) => { this.#queue.push(resolve); });
    await sleep(this.#holdMs);
    const next = this.#queue.shift();
    if (next) next();
    else this.#free += 1;
  }
}

/** The client id in Basic credentials, as far as it needs no decoding. */
function clientOf(req) {
  const [, pair] = /^Basic (.*)$/i.exec(req.headers.authorization ?? '') ?? [];
  return pair && Buffer.from(pair, 'base64').toString().split(':', 1)[0];
}

/** Reads a whole request body as text. */
export async function bodyOf(req) {
  const chunks = [];
  for await (const chunk of req) chunks.push(chunk);
  return Buffer.concat(chunks).toString('utf8');
}

/** Answers with JSON. */
export function sendJson(res, status, value) {
  res.writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store' }).end(JSON.stringify(value));
}

/** Listens on the loopback interface; resolves to the port. */
export function listen(server, port) {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', () => resolve(server.address().port));
  });
}
