// Builds dist/playground: the checker as WebAssembly inside one script, a page and its style. Called
// by scripts/playground, which has made the program.
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const HERE = path.dirname(fileURLToPath(import.meta.url));
const ROOT = path.dirname(path.dirname(HERE));
const OUT = path.join(ROOT, 'dist/playground');
const read = (...parts) => readFileSync(path.join(...parts), 'utf8');
const json = (...parts) => (existsSync(path.join(...parts)) ? JSON.parse(read(...parts)) : undefined);

/** Each folder with a herdgate.json, as a sample. */
function folders() {
  const found = {};
  for (const parent of ['docs/identity-providers', 'examples']) {
    for (const name of readdirSync(path.join(ROOT, parent)).sort()) {
      const folder = path.join(ROOT, parent, name);
      if (!existsSync(path.join(folder, 'herdgate.json'))) continue;
      found[name] = {
        config: read(folder, 'herdgate.json'),
        documents: json(folder, 'documents.json'),
        tokens: json(folder, 'tokens.json'),
      };
    }
  }
  return found;
}

const given = {
  name: 'given',
  setup(context) {
    context.onResolve({ filter: /^(samples|program\.wasm)$/ }, ({ path: name }) => ({ path: name, namespace: 'given' }));
    context.onLoad({ filter: /^samples$/, namespace: 'given' }, () => ({ contents: JSON.stringify(folders()), loader: 'json' }));
    context.onLoad({ filter: /^program\.wasm$/, namespace: 'given' }, () => ({
      contents: readFileSync(path.join(ROOT, 'dist/playground.wasm')),
      loader: 'binary',
    }));
  },
};

mkdirSync(OUT, { recursive: true });
const result = await build({
  entryPoints: [path.join(HERE, 'src/main.mjs')],
  bundle: true,
  minify: true,
  format: 'iife',
  target: ['es2022'],
  outfile: path.join(OUT, 'playground.js'),
  plugins: [given],
  legalComments: 'eof',
  logLevel: 'warning',
});
if (result.errors.length) process.exit(2);
writeFileSync(path.join(OUT, 'playground.css'), read(HERE, 'src/style.css'));
// The editor makes its style sheet when it runs. What it may carry is a digest of this very build.
const nonce = createHash('sha256').update(read(OUT, 'playground.js')).digest('base64url').slice(0, 24);
writeFileSync(path.join(OUT, 'index.html'), read(HERE, 'src/index.html').replace('NONCE', nonce));
