// Runs a WASI program, such as a test binary, in Node: `node scripts/wasi-run.mjs program.wasm arguments...`.
// cargo calls it as CARGO_TARGET_WASM32_WASIP1_RUNNER. The program sees the folder that cargo runs it in,
// under its own name, because tests know their files by absolute paths, and nothing else.
import { readFile } from 'node:fs/promises';
import { WASI } from 'node:wasi';

const [program, ...args] = process.argv.slice(2);
const folder = process.cwd();
const wanted = /^(RUST_|PROPTEST_|INSTA_|HERDGATE_|SEED$|ROUNDS$)/;
const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => wanted.test(name)));
const wasi = new WASI({ version: 'preview1', args: [program, ...args], env, preopens: { [folder]: folder }, returnOnExit: true });
const module = await WebAssembly.compile(await readFile(program));
const imports = wasi.getImportObject();
// The filter's shell is in the program too; a test that called the gateway would hear that there is none.
for (const { module: from, name } of WebAssembly.Module.imports(module)) {
  if (!(from in imports)) imports[from] = {};
  imports[from][name] ??= () => { throw new Error(`a test called ${from}.${name}: there is no gateway here`); };
}
const { exports } = await WebAssembly.instantiate(module, imports);
// `_initialize` is the filter's, for a gateway; what runs here is the program's `_start`.
process.exitCode = wasi.start({ exports: { memory: exports.memory, _start: exports._start } });
