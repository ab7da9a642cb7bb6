// A host of Proxy-Wasm filters that keeps nothing for them, as Google's Service Extensions describe
// theirs: no shared memory, timers, metrics, queues, properties and calls. It runs the built filter
// in V8, in front of an API, and measures each callback.
//
//   node host.mjs --wasm FILE --config FILE --api PORT [--missing trap|error]
//
// What is missing either traps or says "unimplemented" (12). Prints {"port", "control_port", "pid"}
// once it listens, on the loopback interface only. The control port answers
//   GET  /state   {"memory_bytes", "missing": {call: count}, "callbacks": {name: {count, max_us}}, "log"}
//   POST /burst   [[[name, value], ...], ...]: so many requests at once, all of them open until the
//                 last has come; answers {"statuses", "memory_bytes", "worst_us"}
import http from 'node:http';
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';

const { values: args } = parseArgs({
  options: {
    wasm: { type: 'string' },
    config: { type: 'string' },
    api: { type: 'string' },
    missing: { type: 'string', default: 'trap' },
  },
});

const OK = 0;
const NOT_FOUND = 1;
const BAD_ARGUMENT = 2;
const UNIMPLEMENTED = 12;
const REQUEST = 0;
const RESPONSE = 2;
const PLUGIN_CONFIGURATION = 7;
const ROOT = 1;
const CONTINUE = 0;

const configuration = readFileSync(args.config);
const state = { missing: {}, callbacks: {}, log: [], peak: 0 };
const contexts = new Map();
let current = null;
let wasm;

const view = () => new DataView(wasm.memory.buffer);
const read = (at, size) => Buffer.from(wasm.memory.buffer, at, size);
const text = (at, size) => read(at, size).toString('latin1');

/** Hands bytes over in memory that the filter allocates. */
function give(bytes, at, size) {
  const block = bytes.length ? wasm.proxy_on_memory_allocate(bytes.length) : 0;
  read(block, bytes.length).set(bytes);
  view().setUint32(at, block, true);
  view().setUint32(size, bytes.length, true);
  return OK;
}

/** Header pairs in the form of the ABI. */
function pairs(list) {
  const words = Buffer.alloc(4 + 8 * list.length);
  words.writeUInt32LE(list.length, 0);
  const parts = [words];
  list.forEach(([name, value], index) => {
    words.writeUInt32LE(name.length, 4 + 8 * index);
    words.writeUInt32LE(value.length, 8 + 8 * index);
    parts.push(Buffer.from(`${name}\0${value}\0`, 'latin1'));
  });
  return Buffer.concat(parts);
}

function unpair(bytes) {
  const list = [];
  let at = 4 + 8 * (bytes.length ? bytes.readUInt32LE(0) : 0);
  const next = (length) => {
    const value = bytes.subarray(at, at + length).toString('latin1');
    at += length + 1;
    return value;
  };
  for (let index = 0; bytes.length && index < bytes.readUInt32LE(0); index += 1) {
    const [name, value] = [bytes.readUInt32LE(4 + 8 * index), bytes.readUInt32LE(8 + 8 * index)];
    list.push([next(name), next(value)]);
  }
  return list;
}

const map = (which) => (which === REQUEST ? current?.request : which === RESPONSE ? current?.response : undefined);

const there = {
  proxy_log(level, at, size) {
    state.log.push(text(at, size));
    return OK;
  },
  proxy_get_current_time_nanoseconds(at) {
    view().setBigUint64(at, BigInt(Date.now()) * 1_000_000n, true);
    return OK;
  },
  proxy_set_effective_context(context) {
    if (context !== ROOT && !contexts.has(context)) return BAD_ARGUMENT;
    current = contexts.get(context) ?? null;
    return OK;
  },
  proxy_get_header_map_pairs: (which, at, size) => (map(which) ? give(pairs(map(which)), at, size) : BAD_ARGUMENT),
  proxy_get_header_map_value(which, name, nameSize, at, size) {
    const found = map(which)?.find(([one]) => one === text(name, nameSize).toLowerCase());
    return found ? give(Buffer.from(found[1], 'latin1'), at, size) : NOT_FOUND;
  },
  proxy_replace_header_map_value(which, name, nameSize, value, valueSize) {
    const [key, list] = [text(name, nameSize).toLowerCase(), map(which)];
    if (!list) return BAD_ARGUMENT;
    there.proxy_remove_header_map_value(which, name, nameSize);
    list.push([key, text(value, valueSize)]);
    return OK;
  },
  proxy_remove_header_map_value(which, name, nameSize) {
    const [key, list] = [text(name, nameSize).toLowerCase(), map(which)];
    for (let at = list.length - 1; at >= 0; at -= 1) if (list[at][0] === key) list.splice(at, 1);
    return OK;
  },
  proxy_get_buffer_bytes(which, start, max, at, size) {
    if (which !== PLUGIN_CONFIGURATION) return NOT_FOUND;
    return give(configuration.subarray(start, start + max), at, size);
  },
  proxy_send_local_response(status, _details, _size, body, bodySize, headers, headersSize) {
    current.answer = {
      status,
      body: Buffer.from(read(body, bodySize)),
      headers: unpair(read(headers, headersSize)),
    };
    return OK;
  },
  proxy_continue_stream: () => OK,
  proxy_get_property: () => NOT_FOUND,
};

const wasi = {
  random_get(at, size) {
    crypto.getRandomValues(new Uint8Array(wasm.memory.buffer, at, size));
    return 0;
  },
  environ_sizes_get(count, size) {
    view().setUint32(count, 0, true);
    view().setUint32(size, 0, true);
    return 0;
  },
  environ_get: () => 0,
  clock_time_get(_id, _precision, at) {
    view().setBigUint64(at, BigInt(Date.now()) * 1_000_000n, true);
    return 0;
  },
  fd_write: () => 8,
  proc_exit(code) {
    throw new Error(`the filter ended itself (${code})`);
  },
};

/** What the host doesn't have. */
const missing = (name) => () => {
  state.missing[name] = (state.missing[name] ?? 0) + 1;
  if (args.missing === 'trap') throw new Error(`this host has no ${name}`);
  return UNIMPLEMENTED;
};

function call(name, ...values) {
  const started = process.hrtime.bigint();
  const result = wasm[name](...values);
  const us = Number(process.hrtime.bigint() - started) / 1000;
  const one = (state.callbacks[name] ??= { count: 0, max_us: 0 });
  one.count += 1;
  one.max_us = Math.max(one.max_us, us);
  state.peak = Math.max(state.peak, wasm.memory.buffer.byteLength);
  return { result, us };
}

function start() {
  const module = new WebAssembly.Module(readFileSync(args.wasm));
  const imports = {};
  for (const { module: from, name } of WebAssembly.Module.imports(module)) {
    imports[from] ??= {};
    imports[from][name] = (from === 'env' ? there : wasi)[name] ?? missing(name);
  }
  wasm = new WebAssembly.Instance(module, imports).exports;
  wasm._initialize?.();
  wasm._start?.();
  call('proxy_on_context_create', ROOT, 0);
  call('proxy_on_vm_start', ROOT, 0);
  return call('proxy_on_configure', ROOT, configuration.length).result === 1;
}

let last = ROOT;

/** A request's headers have come: its context, and how long that took. */
function open(request, ends) {
  last += 1;
  current = { id: last, request, response: undefined, answer: undefined };
  const context = current;
  contexts.set(last, context);
  call('proxy_on_context_create', last, ROOT);
  const { result, us } = call('proxy_on_request_headers', last, request.length, ends ? 1 : 0);
  if (result !== CONTINUE && !context.answer) throw new Error('a request waits, and nothing will wake it');
  return { context, us };
}

function close(context) {
  current = context;
  call('proxy_on_done', context.id);
  call('proxy_on_log', context.id);
  call('proxy_on_delete', context.id);
  contexts.delete(context.id);
}

function answered(context, status, headers) {
  current = context;
  context.response = [[':status', String(status)], ...headers];
  call('proxy_on_response_headers', context.id, context.response.length, 0);
  return context.response.filter(([name]) => name[0] !== ':');
}

const HOP = new Set(['connection', 'transfer-encoding', 'keep-alive', 'content-length']);
const rawPairs = (raw) =>
  Array.from({ length: raw.length / 2 }, (_, at) => [raw[2 * at].toLowerCase(), raw[2 * at + 1]]);

function handle(req, res, body) {
  const sent = rawPairs(req.rawHeaders);
  const host = sent.find(([name]) => name === 'host')?.[1] ?? '';
  const request = [
    [':method', req.method],
    [':path', req.url],
    [':authority', host],
    [':scheme', 'http'],
    ...sent.filter(([name]) => name !== 'host'),
  ];
  const { context } = open(request, body.length === 0);
  const end = (status, headers, bytes) => {
    const rest = answered(context, status, headers).filter(([name]) => !HOP.has(name));
    close(context);
    res.writeHead(status, [...rest, ['content-length', String(bytes.length)]].flat());
    res.end(bytes);
  };
  if (context.answer) return end(context.answer.status, context.answer.headers, context.answer.body);
  const value = (name) => request.find(([one]) => one === name)[1];
  const headers = [
    ['host', value(':authority')],
    ...request.filter(([name]) => name[0] !== ':' && !HOP.has(name)),
    ['content-length', String(body.length)],
  ];
  const options = { port: args.api, method: value(':method'), path: value(':path') };
  const upstream = http.request({ ...options, headers: headers.flat(), setHost: false }, (answer) => {
    const chunks = [];
    answer.on('data', (chunk) => chunks.push(chunk));
    answer.on('end', () => end(answer.statusCode, rawPairs(answer.rawHeaders), Buffer.concat(chunks)));
  });
  upstream.on('error', () => end(503, [], Buffer.from('the API does not answer')));
  return upstream.end(body);
}

function burst(requests) {
  const opened = requests.map((headers) => {
    const own = [[':method', 'GET'], [':path', '/orders'], [':authority', 'api.example'], [':scheme', 'https']];
    return open([...own, ...headers], true);
  });
  const memory_bytes = wasm.memory.buffer.byteLength;
  for (const { context } of opened) {
    answered(context, context.answer?.status ?? 200, []);
    close(context);
  }
  const statuses = {};
  for (const { context } of opened) {
    const status = context.answer?.status ?? 200;
    statuses[status] = (statuses[status] ?? 0) + 1;
  }
  const times = opened.map(({ us }) => us).sort((one, other) => one - other);
  return { statuses, memory_bytes, median_us: times[times.length >> 1], worst_us: times.at(-1) };
}

const whole = (work) => (req, res) => {
  const chunks = [];
  req.on('data', (chunk) => chunks.push(chunk));
  req.on('end', () => work(req, res, Buffer.concat(chunks)));
};
const listen = (handler) =>
  new Promise((resolve) => {
    const server = http.createServer({ maxHeaderSize: 131_072 }, whole(handler));
    server.listen(0, '127.0.0.1', () => resolve(server.address().port));
  });

if (!start()) {
  console.log(JSON.stringify({ refused: state.log }));
  process.exit(1);
}
const port = await listen(handle);
const control_port = await listen((req, res, body) => {
  const { missing: asked, callbacks, log, peak } = state;
  const answer =
    req.url === '/burst' ? burst(JSON.parse(body)) : { memory_bytes: peak, missing: asked, callbacks, log };
  res.end(JSON.stringify(answer));
});
console.log(JSON.stringify({ port, control_port, pid: process.pid }));
