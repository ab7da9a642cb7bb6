// The program without the filter's callbacks, which a gateway would call: what only they use goes
// with wasm-opt. Called by scripts/playground.
//
//     node trim.mjs program.wasm trimmed.wasm     before wasm-opt
//     node trim.mjs --check program.wasm          after it: whether only WASI is asked for
import { readFileSync, writeFileSync } from 'node:fs';
import { Module } from '../../scripts/wasm_module.mjs';

const [first, second] = process.argv.slice(2);
if (first === '--check') {
  const others = WebAssembly.Module.imports(new WebAssembly.Module(readFileSync(second)));
  const foreign = others.filter(({ module }) => module !== 'wasi_snapshot_preview1');
  if (foreign.length) {
    console.error(`playground: the program asks for ${foreign.map(({ name }) => name).join(', ')}`);
    process.exit(2);
  }
} else {
  const module = new Module(readFileSync(first));
  module.keepExports(new Set(['memory', '_start']), new Map());
  writeFileSync(second, module.toBytes());
}
