// Builds dist/herdgate.wasm: cargo, then only the callbacks that the filter needs, then wasm-opt.
//
//     scripts/build            the filter -> dist/herdgate.wasm (and the schemas beside it), and
//                              without the callbacks for answers -> dist/herdgate-bearer.wasm
//     scripts/build --quick    the same in a fraction of the time, barely optimised: for work in
//                              progress, never to ship
//     scripts/build --empty    the benchmark's yardsticks, made the same way: a filter that does
//                              nothing -> dist/empty.wasm, the same with all callbacks that Herdgate
//                              has -> dist/empty-callbacks.wasm, and the host calls of a hot request
//                              alone -> dist/empty-calls.wasm
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Module } from './wasm_module.mjs';

const ROOT = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const TARGET = 'wasm32-wasip1';
const WASM_OPT = path.join(ROOT, 'tools/wasm-opt/node_modules/.bin/wasm-opt');

// The host enters the VM for every callback that is exported, so one that does nothing still costs.
// Measured in Envoy: an empty filter is 1.22 times no filter with all of them and 1.17 with these.
const KEEP = [
  'memory',
  '_initialize',
  '_start',
  'proxy_abi_version_0_2_1',
  'proxy_on_memory_allocate',
  'proxy_on_context_create',
  'proxy_on_vm_start',
  'proxy_on_configure',
  'proxy_on_tick',
  'proxy_on_queue_ready',
  'proxy_on_request_headers',
  'proxy_on_request_body',
  // Where this one is missing the host takes it for "go on": trailers would carry a request past
  // its verdict.
  'proxy_on_request_trailers',
  'proxy_on_response_headers',
  'proxy_on_response_body',
  'proxy_on_response_trailers',
  'proxy_on_http_call_response',
  'proxy_on_delete',
  // Kong's host calls these two after each request without a look whether they are there: a worker
  // dies of it.
  'proxy_on_done',
  'proxy_on_log',
];
/** Callbacks of this prefix in place of the SDK's. */
function inPlace(prefix) {
  const names = KEEP.filter((name) => name.startsWith('proxy_on_'));
  return new Map(names.map((name) => [name.replace('proxy_', prefix), name]));
}
// The filter's own: see src/shell/entry.rs.
const RENAMED = inPlace('herdgate_');
// dist/herdgate-bearer.wasm is without those for answers, for configurations that look at requests
// alone. The body's callback stays: where it is missing a body, as trailers, would carry a request
// past its verdict. The filter is told by another name of the callback that configures it.
const OF_ANSWERS = ['response_headers', 'response_body', 'response_trailers'];
const BEARER_ON_CONFIGURE = 'herdgate_bearer_on_configure';
const KEEP_BEARER = KEEP.filter((name) => !OF_ANSWERS.includes(name.replace('proxy_on_', '')));
// The empty filter looks at request headers alone.
const OF_BODIES = [
  'request_body',
  'request_trailers',
  'response_headers',
  'response_body',
  'response_trailers',
];
const KEEP_EMPTY = KEEP.filter((name) => !OF_BODIES.includes(name.replace('proxy_on_', '')));
const REQUIRED = [
  'memory',
  'proxy_abi_version_0_2_1',
  'proxy_on_context_create',
  'proxy_on_request_headers',
  'proxy_on_done',
  'proxy_on_log',
];

// What both hosts load; wide-arithmetic is refused by both.
const OPTIONS = [
  '-O4',
  // What the compiler keeps apart has a reason: rare ways are kept out of the hot one.
  '--one-caller-inline-max-function-size=20',
  '--enable-bulk-memory',
  '--enable-bulk-memory-opt',
  '--enable-sign-ext',
  '--enable-mutable-globals',
  '--enable-nontrapping-float-to-int',
  '--enable-multivalue',
  '--enable-reference-types',
  '--enable-call-indirect-overlong',
];

/** What can't go on, in one sentence for who called. */
class Failure extends Error {}

/** Runs a command with our own output; its exit code, or a failure if it isn't there. */
function run(command, args, env = process.env) {
  const { error, status } = spawnSync(command, args, { cwd: ROOT, env, stdio: 'inherit' });
  if (error?.code === 'ENOENT') throw new Failure(`${command} is missing.`);
  if (error) throw error;
  return status;
}

/** Refuses what a host would refuse, or abort on. */
function check(module) {
  if (module.imports().some(({ name }) => name === 'proxy_get_log_level')) {
    throw new Failure("the module imports proxy_get_log_level, which Kong's host does not have");
  }
  const [vector] = module.exportsWithVectors();
  if (vector)
    throw new Failure(`the export ${vector.name} has a v128 parameter, on which Envoy aborts`);
  const present = new Set(module.exports().map(({ name }) => name));
  const missing = REQUIRED.filter((name) => !present.has(name));
  if (missing.length)
    throw new Failure(`the module lacks ${missing.join(', ')}: the filter's shell is not in it`);
}

/** The module that cargo makes of a crate; returns its file. */
function compile({ crate, library, quick }) {
  const env = { ...process.env };
  // A flag such as target-cpu=native, meant for the machine, must not reach the module.
  delete env.RUSTFLAGS;
  const profile = quick ? 'quick' : 'release';
  const manifest = path.join(crate, 'Cargo.toml');
  const command = [
    'build',
    '--profile',
    profile,
    '--locked',
    '--target',
    TARGET,
    '--manifest-path',
    manifest,
    '--lib',
  ];
  if (run('cargo', command, env) !== 0)
    throw new Failure('cargo could not build the module (see above).');
  return path.join(
    path.resolve(ROOT, env.CARGO_TARGET_DIR ?? path.join(crate, 'target')),
    TARGET,
    profile,
    `${library}.wasm`,
  );
}

/** The version that Cargo.toml names. */
function version(crate) {
  const [, found] = /^version = "([^"]+)"$/m.exec(readFileSync(path.join(crate, 'Cargo.toml'))) ?? [];
  if (!found) throw new Failure(`${crate}/Cargo.toml names no version`);
  return found;
}

/** `raw` without what the filter doesn't need, optimised, as `out`. */
function finish(raw, out, { keep, renamed, quick, release }) {
  const module = new Module(raw);
  check(module);
  module.keepExports(new Set(keep), renamed);
  const [trimmed, made] = [`${out}.trimmed`, `${out}.new`];
  writeFileSync(trimmed, module.toBytes());
  try {
    if (quick) {
      copyFileSync(trimmed, made);
    } else if (!existsSync(WASM_OPT)) {
      throw new Failure('wasm-opt is missing: run `scripts/setup build` first.');
    } else if (run(WASM_OPT, [...OPTIONS, trimmed, '-o', made]) !== 0) {
      throw new Failure('wasm-opt could not optimise the module (see above).');
    }
  } finally {
    rmSync(trimmed);
  }
  const built = new Module(readFileSync(made));
  check(built);
  // So that a file tells which version it is; the filter's first log line says the same.
  built.setCustomText('herdgate.version', release);
  writeFileSync(made, built.toBytes());
  renameSync(made, out);
}

function build({ name, crate, library, keep, renamed = new Map(), quick = false }) {
  const started = performance.now();
  const file = compile({ crate, library, quick });
  const [raw, out] = [readFileSync(file), path.join(ROOT, 'dist', name)];
  const release = version(crate);
  const recipe = JSON.stringify([keep, [...renamed], quick ? null : OPTIONS, release]);
  const digest = createHash('sha256').update(raw).update(recipe).digest('hex');
  const stamp = path.join(ROOT, '.tools', `${name}.stamp`);
  if (!(existsSync(out) && existsSync(stamp) && readFileSync(stamp, 'utf8') === digest)) {
    for (const folder of [out, stamp]) mkdirSync(path.dirname(folder), { recursive: true });
    finish(raw, out, { keep, renamed, quick, release });
    writeFileSync(stamp, digest);
  }
  const [size, before] = [statSync(out).size, raw.length].map((bytes) =>
    bytes.toLocaleString('en-US'),
  );
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  console.log(
    `build: ${path.relative(ROOT, out)} ${size} bytes (${before} before) in ${seconds} s`,
  );
}

/** dist/herdgate-bearer.wasm: dist/herdgate.wasm with fewer of its callbacks. */
function trimToBearer() {
  const [whole, out] = ['herdgate.wasm', 'herdgate-bearer.wasm'].map((name) =>
    path.join(ROOT, 'dist', name),
  );
  const module = new Module(readFileSync(whole));
  module.keepExports(new Set(KEEP_BEARER), new Map([[BEARER_ON_CONFIGURE, 'proxy_on_configure']]));
  check(module);
  writeFileSync(`${out}.new`, module.toBytes());
  renameSync(`${out}.new`, out);
  console.log(`build: ${path.relative(ROOT, out)} is the same without the API's answers`);
}

function copySchemas() {
  for (const source of ['kong/herdgate.meta.json', 'herdgate.schema.json']) {
    copyFileSync(path.join(ROOT, source), path.join(ROOT, 'dist', path.basename(source)));
  }
}

function main() {
  const options = {
    empty: { type: 'boolean', default: false },
    quick: { type: 'boolean', default: false },
  };
  let given;
  try {
    given = parseArgs({ options }).values;
  } catch {
    throw new Failure('usage: scripts/build [--quick | --empty]');
  }
  if (given.empty) {
    const empty = { crate: path.join(ROOT, 'tests/empty-filter'), library: 'empty_filter' };
    build({ ...empty, name: 'empty.wasm', keep: KEEP_EMPTY });
    build({ ...empty, name: 'empty-callbacks.wasm', keep: KEEP });
    build({ ...empty, name: 'empty-calls.wasm', keep: KEEP, renamed: inPlace('calls_') });
  } else {
    build({
      name: 'herdgate.wasm',
      crate: ROOT,
      library: 'herdgate',
      keep: [...KEEP, BEARER_ON_CONFIGURE],
      renamed: RENAMED,
      quick: given.quick,
    });
    trimToBearer();
    copySchemas();
  }
}

try {
  main();
} catch (error) {
  if (!(error instanceof Failure)) throw error;
  console.error(`build: ${error.message}`);
  process.exitCode = 2;
}
