// node --test scripts/wasm_module.test.mjs
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Module } from './wasm_module.mjs';

const word = (text) => [text.length, ...Buffer.from(text)];
const section = (id, bytes) => [id, bytes.length, ...bytes];
const MAGIC = [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0];

/** Two imports of type 0, two functions of type 1, and the exports given as [name, kind, index]. */
function module({ exports, parameter = 0x7f, more = [] }) {
  const types = [2, 0x60, 0, 0, 0x60, 1, parameter, 1, 0x7f];
  const imports = [2, ...['a', 'b'].flatMap((name) => [...word('env'), ...word(name), 0, 0])];
  const entries = [
    exports.length,
    ...exports.flatMap(([name, kind, index]) => [...word(name), kind, index]),
  ];
  const sections = [
    section(1, types),
    section(2, imports),
    section(3, [2, 1, 1]),
    section(7, entries),
    more,
  ];
  return Buffer.from([...MAGIC, ...sections.flat()]);
}

test('what is read is what was written', () => {
  const bytes = module({
    exports: [
      ['one', 0, 2],
      ['memory', 2, 0],
    ],
  });
  const read = new Module(bytes);
  assert.deepEqual(read.imports(), [
    { module: 'env', name: 'a', type: 0 },
    { module: 'env', name: 'b', type: 0 },
  ]);
  assert.deepEqual(read.functionTypes(), [0, 0, 1, 1]);
  assert.deepEqual(read.exports(), [
    { name: 'one', kind: 0, index: 2 },
    { name: 'memory', kind: 2, index: 0 },
  ]);
  assert.deepEqual(read.toBytes(), bytes);
});

test('an export is dropped, kept, or put in the place of another', () => {
  const exports = [
    ['hot', 0, 3],
    ['old', 0, 2],
    ['unwanted', 0, 2],
    ['memory', 2, 0],
  ];
  const read = new Module(module({ exports, more: section(0, word('name')) }));
  read.keepExports(new Set(['old', 'memory', 'absent']), new Map([['hot', 'old']]));
  const wanted = module({
    exports: [
      ['old', 0, 3],
      ['memory', 2, 0],
    ],
    more: section(0, word('name')),
  });
  assert.deepEqual(read.toBytes(), wanted);
});

test('lengths of more than seven bits are read and written', () => {
  const exports = Array.from({ length: 100 }, (_, n) => ({
    name: `export-${n}`,
    kind: 0,
    index: 130 + n,
  }));
  const read = new Module(module({ exports: [] }));
  read.exports = () => exports;
  read.keepExports(new Set(exports.map(({ name }) => name)));
  delete read.exports;
  const again = new Module(read.toBytes());
  assert.deepEqual(again.exports(), exports);
  assert.deepEqual(again.toBytes(), read.toBytes());
});

test('a vector in an export is found, elsewhere it may be', () => {
  const names = (bytes) => new Module(bytes).exportsWithVectors().map(({ name }) => name);
  assert.deepEqual(
    names(
      module({
        exports: [
          ['one', 0, 2],
          ['memory', 2, 0],
        ],
        parameter: 0x7b,
      }),
    ),
    ['one'],
  );
  assert.deepEqual(names(module({ exports: [['memory', 2, 0]], parameter: 0x7b })), []);
});

test('what is no module, or only part of one, is refused', () => {
  const bytes = module({ exports: [['one', 0, 2]] });
  assert.throws(() => new Module(Buffer.from('text')), /not a WebAssembly 1.0 module/);
  assert.throws(() => new Module(bytes.subarray(0, bytes.length - 1)), /ends too early/);
  assert.throws(
    () => new Module(bytes).keepExports(new Set(), new Map([['none', 'one']])),
    /no export none to rename/,
  );
});

test('a custom section is added once, and read again', () => {
  const read = new Module(module({ exports: [['one', 0, 2]], more: section(0, [...word('other'), 1]) }));
  assert.equal(read.customText('herdgate.version'), undefined);
  read.setCustomText('herdgate.version', '0.1.0');
  read.setCustomText('herdgate.version', '0.2.0');
  const again = new Module(read.toBytes());
  assert.equal(again.customText('herdgate.version'), '0.2.0');
  assert.equal(again.customText('other'), '\u0001');
  assert.equal(again.sections.filter(([id]) => id === 0).length, 2);
  assert.equal(again.exports().length, 1);
});
