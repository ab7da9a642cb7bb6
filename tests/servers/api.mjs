// The API behind the gateway: answers every request with what it saw, as JSON, and counts.
//
//   node api.mjs [--port N] [--stdin-bound]
//
// GET /__counts {"total": n, "paths": {...}}, POST /__reset; every other request is echoed:
// {"method", "path", "headers": {name: [values]}, "body_bytes"}. Header names keep no case (Node lowers them),
// repeated headers keep every value. Prints {"port", "pid"} once it listens, on the loopback interface only.
import http from 'node:http';
import { parseArgs } from 'node:util';
import { listen, sendJson } from './faults.mjs';

const { values: args } = parseArgs({
  options: { port: { type: 'string', default: '0' }, 'stdin-bound': { type: 'boolean', default: false } },
});

let total = 0;
let paths = new Map();

function headersOf(req) {
  const headers = {};
  for (let i = 0; i < req.rawHeaders.length; i += 2) {
    (headers[req.rawHeaders[i].toLowerCase()] ??= []).push(req.rawHeaders[i + 1]);
  }
  return headers;
}

const server = http.createServer({ keepAliveTimeout: 60_000 }, (req, res) => {
  if (req.url === '/__counts') return sendJson(res, 200, { total, paths: Object.fromEntries(paths) });
  if (req.url === '/__reset') {
    total = 0;
    paths = new Map();
    return sendJson(res, 200, {});
  }
  total += 1;
  const path = req.url.split('?', 1)[0];
  if (paths.size < 10_000) paths.set(path, (paths.get(path) ?? 0) + 1);
  let bytes = 0;
  req.on('data', (chunk) => { bytes += chunk.length; });
  req.on('end', () => sendJson(res, 200, { method: req.method, path: req.url, headers: headersOf(req), body_bytes: bytes }));
  return undefined;
});

const port = await listen(server, Number(args.port));
console.log(JSON.stringify({ port, pid: process.pid }));
if (args['stdin-bound']) process.stdin.resume().once('end', () => process.exit(0));
